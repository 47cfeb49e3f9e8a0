"""How agents with action values are trained: in finite worlds by a kernel, in others step by step, or on a log."""

import functools
from dataclasses import dataclass, replace

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from skml.base import Step, fit_task, require_memory, run_steps, warn_caller
from skml.reinforcement.encoders import Features, FoundStates, fitted_on_play, settle, state_encoder
from skml.reinforcement.environments import Table, until_failure
from skml.reinforcement.exploration import KINDS, knots_of
from skml.reinforcement.spaces import Box, Discrete
from skml.reinforcement.states import known_states, warn_of_passing_states
from skml.reinforcement.td import COUNTED, RESCALED, SCHEDULED, Learned, Linear, Rule, Walk, is_over, walk_steps
from skml.reinforcement.td import Table as Values
from skml.reinforcement.td_logs import Steps, frequencies, sweeps
from skml.reinforcement.td_models import LinearModel, TableModel
from skml.reinforcement.td_tables import new_loop, stack_worlds, table_steps
from skml.reinforcement.td_walks import TableWalk
from skml.reinforcement.vector import COPY, is_own, is_vector, playable, vectorize
from skml.reinforcement.worlds import worlds_of

UNENDING = 2**62  # more steps or episodes than anybody takes, of which kernels can count
FORGETTING = 0.2  # k of the rate 1 / (1 + k (n - 1)) with discount 1, where 1 - discount would never average
# The discount of a step that discount=1 stands for: of ways that earn the same, the shorter one is better, and one that
# ends is better than going round before it. Values of episodes of a thousand steps are off by a millionth part.
NEXT_TO_1 = 1 - 1e-9
RATES = {"1/n": COUNTED, "rescaled": RESCALED}


def rule_of(agent, target):
    """Return the rule that an agent's parameters ask for.

    Parameters
    ----------
    agent : QLearning or SARSA
        With valid parameters.
    target : int
        MAXIMUM, TAKEN or EXPECTED.

    Returns
    -------
    rule : Rule
        Of the whole training.

    Raises
    ------
    ValueError
        If a schedule leaves its range, or parameters contradict each other.
    """
    if agent.trace_decay > 0 and agent.n_steps > 1:
        raise ValueError(f"trace_decay={agent.trace_decay} and n_steps={agent.n_steps} exclude each other: use one.")
    if agent.trace_decay > 0 and getattr(agent, "double", False):
        raise ValueError("double=True has no traces; set trace_decay=0, or use n_steps.")
    rate, total = agent.learning_rate, min(int(agent.max_steps), UNENDING)
    named, discount = isinstance(rate, str), float(agent.discount)
    discount, forgetting = (NEXT_TO_1, FORGETTING) if discount == 1 else (discount, 1 - discount)
    return Rule(
        target=target,
        exploration=KINDS[agent.exploration],
        levels=_levels(agent, total),
        rate=RATES[rate] if named else SCHEDULED,
        rates=np.full(1, forgetting) if named else knots_of(rate, total, "learning_rate", np.nextafter(0, 1), 1.0),
        discount=discount,
        n_steps=int(agent.n_steps),
        trace_decay=float(agent.trace_decay),
        replacing=int(agent.replacing_traces),
        total_steps=total,
        total_episodes=min(int(agent.max_episodes or 0), UNENDING),
    )


def _levels(agent, total):
    if agent.exploration == "softmax":
        return knots_of(agent.temperature, total, "temperature", np.nextafter(0, 1))
    if agent.exploration == "ucb":
        return knots_of(agent.bonus, total, "bonus")
    return np.zeros(1) if agent.exploration == "optimistic" else knots_of(agent.epsilon, total, "epsilon", 0.0, 1.0)


def seed_of(agent):
    """Return the seed of a training."""
    return int(check_random_state(agent.random_state).randint(2**31 - 1))


# ------------------------------------------------------------------------------------------------------- going on


def taken_up(agent):
    """Return what a fit with ``warm_start`` goes on from, or None.

    Parameters
    ----------
    agent : QLearning or SARSA
        Fitted or not.

    Returns
    -------
    before : tuple of (Learned, model) or None
        What the agent knows, if it learned in environments.
    """
    fitted = agent.warm_start and hasattr(agent, "_model") and "return" in agent.history_
    return (_fitting_tables(agent), agent._model) if fitted else None


def _fitting_tables(agent):
    """Return what an agent learned; raise a ValueError if its tables do not fit its parameters any more."""
    learned = agent._learned
    wanted = (1 + bool(getattr(agent, "double", False)), len(agent.classes_))
    if (learned.Q.shape[0], learned.Q.shape[2]) != wanted:
        raise ValueError(f"{type(agent).__name__} has learned other actions, or with another double; fit it anew.")
    return learned


def go_on(agent, X, y, sample_weight, columns, classes):
    """Let an agent learn more, from what `partial_fit` was given; return the agent."""
    first, worlds = not hasattr(agent, "_model"), worlds_of(X)
    if worlds is None:
        log = agent._log(X, y, sample_weight, columns, reset=first, classes=classes if first else agent.classes_)
        learn_log(agent, log, agent._rule(), None if first else (agent._learned, agent._model), part=True)
    elif first:
        agent._fit_worlds(worlds, y, sample_weight, columns)
    else:
        if agent.observation_space_ is None:
            raise ValueError(f"{type(agent).__name__} has learned from logs; partial_fit goes on from more of those.")
        learned = _fitting_tables(agent)
        learned = replace(learned, n_before=learned.first_copy, n_steps=0, n_episodes=0, loop=None)
        worlds = agent._known_worlds(worlds)
        learn_worlds(agent, worlds, agent._rule(), seed_of(agent), (learned, agent._model))
    return agent


# ------------------------------------------------------------------------------------------------------- worlds


@dataclass(frozen=True)
class Course:
    """A training that is about to begin.

    Attributes
    ----------
    steps : iterator of Step
        Their states are :class:`~skml.reinforcement.td.Learned`.
    model : callable
        ``model(learned)`` gives what answers for it.
    """

    steps: object
    model: object


def learn_worlds(agent, worlds, rule, seed, before=None):
    """Train an agent in environments; it gets the fitted attributes.

    Parameters
    ----------
    agent : QLearning or SARSA
        With ``observation_space_`` and ``action_space_`` set.
    worlds : list
        Environments and decision processes.
    rule : Rule
        What is learned.
    seed : int
        Of all draws.
    before : tuple of (Learned, model) or None, default=None
        What the agent knew and how it told states apart.

    Raises
    ------
    ValueError
        If observations are no states and nothing makes states of them, or there are no actions to choose among.
    """
    if not hasattr(agent.action_space_, "n"):
        raise ValueError(f"{type(agent).__name__} chooses among a number of actions; X takes {agent.action_space_}.")
    worlds = [playable(world) for world in worlds]
    course = (_compiled if _is_compiled(agent, worlds) else _walked)(agent, worlds, rule, seed, before)
    attributes = _attributes_of(course.model)
    with fit_task(agent, X=worlds, max_subtasks=None) as context:
        steps = until_failure(course.steps, type(agent).__name__)
        history = agent.history_ if before is not None else None
        run = run_steps(agent, context, steps, task="episodes", attributes=attributes, X=worlds, history=history)
        _settle_in(agent, attributes(run.state, run.history))
    if not run.history.get("return") and not run.stopped:
        warn_caller(
            f"No episode ended within max_steps={agent.max_steps}; where they never end, set max_episode_steps.",
            ConvergenceWarning,
        )


def _is_compiled(agent, worlds):
    plain = agent.discretizer is None and agent.feature_map is None
    return plain and all(is_own(world) and isinstance(world.dynamics, Table) for world in worlds)


def _compiled(agent, worlds, rule, seed, before):
    """Return the course of a training whose loop is compiled."""
    n = max(agent.n_envs, len(worlds))
    require_memory(COPY * n, f"{n:,} copies of an environment")
    world_of = np.arange(n) % len(worlds)
    encoder = state_encoder(agent.observation_space_, None, None)
    learned = _beginning(agent, encoder.n_states) if before is None else before[0]
    own = [world.max_episode_steps or agent.max_episode_steps or 0 for world in worlds]
    limits = [min(limit, agent.max_episode_steps or limit) for limit in own]
    loop = new_loop(rule, learned, seed, np.array(limits)[world_of])
    tables = stack_worlds([world.dynamics.offered() for world in worlds], world_of)
    return Course(table_steps(tables, rule, loop, learned.n_before), functools.partial(_table_model, encoder))


def _walked(agent, worlds, rule, seed, before):
    """Return the course of a training that goes step by step."""

    def copies():
        n = None if is_vector(worlds[0]) else agent.n_envs
        return vectorize(worlds, n, agent.max_episode_steps)

    if agent.feature_map is not None or hasattr(agent.discretizer, "tiles"):
        learned, features = _features_for(agent, copies, seed, before)
        course = _feature_steps(copies, rule, features, learned, seed)
        return Course(course, functools.partial(_linear_model, features))
    learned, encoder = _states_for(agent, copies, seed, before)
    course = _state_steps(copies, rule, encoder, learned, (agent.initial_value, seed))
    return Course(course, functools.partial(_table_model, encoder))


def _feature_steps(copies, rule, features, learned, seed):
    yield from walk_steps(Walk(copies(), rule, Linear(learned, features, 0.0), seed, learned))


def _state_steps(copies, rule, encoder, learned, start):
    """Yield the steps of a training by states: compiled but for the environment, if all actions are always there."""
    vector, (initial, seed) = copies(), start
    vector.reset(seed, learned.first_copy)
    if vector.action_mask is None:
        yield from walk_steps(TableWalk(vector, rule, learned, encoder, initial, seed))
    else:
        yield from walk_steps(Walk(vector, rule, Values(learned, encoder, initial), seed, learned))


def _features_for(agent, copies, seed, before):
    """Return what is known and the features of observations."""
    if before is not None:
        return before[0], before[1].features
    transformer = agent.feature_map if agent.feature_map is not None else agent.discretizer
    vector = copies()
    features = Features(fitted_on_play(transformer, vector, seed))
    rows = np.asarray(vector.reset(seed), dtype=np.float64).reshape(vector.n_envs, -1)
    return _beginning(agent, features.width(rows), weights=True), features


def _linear_model(features, learned):
    return LinearModel(features, _mean(learned.Q), learned.visits)


def _mean(tables):
    return tables[0] if len(tables) == 1 else tables.mean(axis=0)


def _states_for(agent, copies, seed, before):
    """Return what is known and the encoder of states."""
    space = agent.observation_space_
    if before is not None:
        known = before[1].states if before[0].keys is not None else None
        return before[0], state_encoder(space, getattr(before[1].states, "discretizer", None), known)
    if isinstance(space, Box) and agent.discretizer is None:
        raise ValueError(
            f"Observations are in {space}, where hardly any comes twice; set discretizer (KBinsDiscretizer(encode="
            f"'ordinal') or TileCoding()) or feature_map of {type(agent).__name__}."
        )
    fitted = None if agent.discretizer is None else fitted_on_play(agent.discretizer, copies(), seed)
    n_states = space.n if isinstance(space, Discrete) and fitted is None else 64
    return _beginning(agent, n_states), state_encoder(space, fitted, None)


def _beginning(agent, n_states, weights=False):
    """Return what an agent knows that has seen nothing."""
    n_tables, n_actions = 1 + bool(getattr(agent, "double", False)), len(agent.classes_)
    require_memory(4 * 8 * n_tables * n_states * n_actions, "The action values")
    initial = 0.0 if weights else float(agent.initial_value)
    return Learned(np.full((n_tables, n_states, n_actions), initial), np.zeros((n_states, n_actions), dtype=np.int64))


def _table_model(encoder, learned):
    states, order = settle(encoder, learned)
    return TableModel(states, _mean(learned.Q)[order], learned.visits[order])


# ---------------------------------------------------------------------------------------------------------- logs


def learn_log(agent, log, rule, before=None, warm=False, part=False):
    """Train an agent on a log.

    Parameters
    ----------
    agent : QLearning or SARSA
        Gets the fitted attributes.
    log : Log
        Of steps.
    rule : Rule
        What is learned, where there are rewards.
    before : tuple of (Learned, model) or None, default=None
        What the agent knew from other logs, to which this one adds.
    warm : bool, default=False
        Whether sweeps begin with the values that the agent has.
    part : bool, default=False
        Whether others may follow, so that this one need not tell how often states come again.
    """
    states, prior = _states_of_log(agent, log, before, warm)
    if log.reward is not None and not part:
        warn_of_passing_states(states, len(log.actions), type(agent).__name__)
    at, shape, dtype = states.of(log.observations), prior[0].shape, log.observations.dtype
    reward = np.zeros(len(at)) if log.reward is None else log.reward
    steps = Steps(at, log.actions.astype(np.int64), log.weights, reward, log.following, shape)
    if log.reward is None:
        course = iter([Step(frequencies(steps, prior[1]), {"td_error": 0.0}, last=True)])
    else:
        course = sweeps(steps, log.teaches, rule, agent.tol, prior)
    attributes = _attributes_of(lambda known: TableModel(states, known.Q[0], known.visits, log.reward is None), dtype)
    seen = {"X": log.observations, "y": agent.classes_[log.actions], "sample_weight": log.weights}
    with fit_task(agent, max_subtasks=None, **seen) as context:
        history = agent.history_ if before is not None else None
        run = run_steps(agent, context, course, task="sweep", attributes=attributes, history=history, **seen)
        _settle_in(agent, attributes(run.state, run.history))
    errors = run.history["td_error"]
    if log.reward is not None and not run.stopped and is_over(rule, run.state.n_steps, 0) and errors[-1] > agent.tol:
        warn_caller(
            f"The sweeps over the log ended at max_steps={agent.max_steps} while values still moved by "
            f"{errors[-1]:.3g}; raise max_steps or tol.",
            ConvergenceWarning,
        )


def _states_of_log(agent, log, before, warm):
    """Return the states of a log and of what was known before, and the values and weights that these had."""
    if before is None:
        states = known_states(log.observations, agent.feature_map if agent.discretizer is None else agent.discretizer)
        empty = np.full((states.n_states, log.n_actions), float(agent.initial_value))
        return states, (_values_of(agent, states, empty) if warm else empty, np.zeros(empty.shape))
    model = before[1]
    if agent.observation_space_ is not None or model.imitates != (log.reward is None):
        raise ValueError(
            "partial_fit on a log goes on from logs of the same kind, all with rewards or all without, and not from "
            "play."
        )
    found = FoundStates(model.states.discretizer, model.states)
    found.of(log.observations)
    learned = replace(before[0], keys=found.keys)
    states, order = settle(found, learned)
    n_new = found.n_states - len(model.Q)
    Q = np.pad(model.Q, ((0, n_new), (0, 0)), constant_values=agent.initial_value)[order]
    return states, (Q, np.pad(model.visits, ((0, n_new), (0, 0)))[order])


def _values_of(agent, states, empty):
    """Return the values that an agent has of just these states, else empty ones."""
    known = getattr(getattr(agent, "_model", None), "states", None)
    same = hasattr(known, "keys") and np.array_equal(known.keys, states.keys)
    return agent._model.Q if same and agent._model.Q.shape == empty.shape else empty


# ------------------------------------------------------------------------------------------------------- results


_RESULTS = ("action_values_", "policy_", "coef_")  # of which an agent has some


def _attributes_of(model_of, dtype=np.float64):
    """Return a function of what was learned and the history: the fitted attributes, tables in a dtype."""

    def attributes(learned, history):
        if not np.isfinite(learned.Q).all():
            raise ValueError("The action values have grown beyond all bounds; take a smaller learning_rate.")
        model = model_of(learned)
        visits = model.visits if model.visits.dtype.kind == "i" else model.visits.astype(dtype, copy=False)
        named = {"visit_counts_": visits, "n_steps_": learned.n_before + learned.n_steps}
        if isinstance(model, LinearModel):
            named["coef_"] = np.ascontiguousarray(model.Q.T)
        else:
            named |= {"action_values_": model.Q.astype(dtype, copy=False), "policy_": model.best()}
        return {**named, "history_": history, "_learned": learned, "_model": model}

    return attributes


def _settle_in(agent, fitted):
    """Set the fitted attributes of an agent, and none that are left from another kind of model."""
    for name in _RESULTS:
        vars(agent).pop(name, None)
    vars(agent).update(fitted)
