"""How the agents that follow policy gradients are fitted and used; what each of them does is in its plan."""

from dataclasses import replace
from numbers import Integral, Real

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from skml import _kernels
from skml._sklearn import HasMethods, Interval, StrOptions
from skml.base import chunk_slices, fit_task, run_steps, warn_caller
from skml.network.schedules import SCHEDULES
from skml.reinforcement.environments import until_failure
from skml.reinforcement.policies import ACTIVATIONS, Actor, Gaussian, Mlp, Softmax, spaces_encoder
from skml.reinforcement.policy_learning import Plan, begin, unit_of
from skml.reinforcement.policy_logs import (
    Chains,
    Pass,
    imitation_steps,
    importance_steps,
    log_encoder,
    probabilities_of,
    with_offset,
)
from skml.reinforcement.vector import vectorize

CONSTRAINTS = {
    "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
    "activation": [StrOptions(set(ACTIVATIONS))],
    "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
    "learning_rate": [StrOptions(set(SCHEDULES)), callable],
    "discount": [Interval(Real, 0, 1, closed="both")],
    "n_envs": [Interval(Integral, 1, None, closed="left")],
    "max_steps": [Interval(Integral, 1, None, closed="left")],
    "max_episode_steps": [None, Interval(Integral, 1, None, closed="left")],
    "entropy_weight": [Interval(Real, 0, None, closed="left")],
    "gradient_clip": [None, Interval(Real, 0, None, closed="neither")],
    "normalize_observations": ["boolean"],
    "normalize_rewards": ["boolean"],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "tol": [Interval(Real, 0, None, closed="left")],
    "behavior": [None, HasMethods(["predict_proba"])],
    "max_ratio": [Interval(Real, 0, None, closed="neither")],
    "random_state": ["random_state"],
    "n_jobs": [None, Integral],
    "warm_start": ["boolean"],
}


def hidden_sizes(agent):
    """Return the sizes of hidden layers as a tuple; raise a ValueError if one is no whole number from 1."""
    sizes = np.atleast_1d(np.asarray(agent.hidden_layer_sizes))
    if sizes.size and (sizes.dtype.kind not in "iu" or sizes.ndim != 1 or sizes.min() < 1):
        raise ValueError(f"hidden_layer_sizes must hold whole numbers from 1, got {agent.hidden_layer_sizes!r}.")
    return tuple(sizes.astype(int).tolist())


def threads_of(agent):
    """Return how many threads an agent may use."""
    return _kernels.n_threads() if agent.n_jobs is None else _kernels.threads_of(agent.n_jobs)


def _actor(agent, encoder, head, dtype, plan):
    """Return the networks of an agent: the policy begins almost even, as its last matrix is small."""
    sizes = (encoder.n_features, *hidden_sizes(agent))
    policy = Mlp((*sizes, head.n_outputs), agent.activation, 0.01)
    n_values = head.n_outputs if plan.critic == "q" else 1
    critic = Mlp((*sizes, n_values), agent.activation) if plan.baseline == "value" else None
    return Actor(encoder, head, policy, critic, np.dtype(dtype).name)


def plan_of(agent, **others):
    """Return how an agent learns: what all of them have, and what others add."""
    return Plan(
        discount=agent.discount,
        entropy_weight=agent.entropy_weight,
        learning_rate=agent.learning_rate_init,
        schedule=agent.learning_rate,
        gradient_clip=agent.gradient_clip,
        max_steps=agent.max_steps,
        normalize_observations=agent.normalize_observations,
        normalize_rewards=agent.normalize_rewards,
        **others,
    )


def _attributes(learnt, history):
    return {
        "learnt_": learnt,
        "history_": history,
        "n_steps_": learnt.n_steps,
        "n_iter_": len(next(iter(history.values()))),
    }


def _seed(agent):
    return int(check_random_state(agent.random_state).randint(2**31 - 1))


# --------------------------------------------------------------------------------------------- environments


def learn_in_worlds(agent, worlds, plan, goes_on, n_iter=None):
    """Fit an agent in environments.

    Parameters
    ----------
    agent : BaseAgent
        Whose fitted attributes are set; ``agent._steps_of(vector, plan, learnt, n_threads)`` gives the steps.
    worlds : list
        Environments and decision processes.
    plan : Plan
        How to learn.
    goes_on : bool
        Whether to go on from what was learnt before.
    n_iter : int or None, default=None
        After how many iterations to stop; None learns until the plan's `max_steps`.
    """
    vector = vectorize(worlds, max(agent.n_envs, len(worlds)), agent.max_episode_steps)
    box = agent.observation_space_
    dtype = np.float64 if getattr(box, "dtype", None) == np.float64 else np.float32
    actor = _actor(agent, spaces_encoder(box), _head(agent, plan), dtype, plan)
    learnt = _going_on(agent, actor) if goes_on else begin(actor, _seed(agent))
    history = agent.history_ if goes_on else None
    if learnt.n_steps >= plan.max_steps:
        return
    steps = until_failure(agent._steps_of(vector, plan, learnt, 1), type(agent).__name__)
    steps = steps if n_iter is None else _first(steps, n_iter)
    with fit_task(agent, X=worlds, max_subtasks=None) as context:
        run = run_steps(agent, context, steps, task="iteration", attributes=_attributes, X=worlds, history=history)
        vars(agent).update(_attributes(run.state, run.history))
    if n_iter is None:
        if agent.n_steps_ >= plan.max_steps and not any(agent.history_["n_episodes"]):
            warn_caller(
                f"No episode ended within max_steps={agent.max_steps}; where they never end, set max_episode_steps.",
                ConvergenceWarning,
            )
        warn_of_failure(agent)


def _first(steps, n):
    """Yield the first n steps, the last of them as the last."""
    for number, step in enumerate(steps, 1):
        yield replace(step, last=step.last or number == n)
        if number == n:
            return


def _head(agent, plan):
    space = agent.action_space_
    if hasattr(space, "n"):
        return Softmax(space.n)
    if plan.critic == "q":
        raise ValueError(f"critic='q' says what each of some actions is worth; actions here are in {space}.")
    return Gaussian(np.array(space.low, dtype=np.float64).ravel(), np.array(space.high, dtype=np.float64).ravel())


def _going_on(agent, actor):
    """Return what was learnt before, if it belongs to networks of the same sizes."""
    before = agent.learnt_.actor
    same = [(one.policy, one.critic, one.dtype, one.encoder.counts) for one in (before, actor)]
    if same[0] != same[1]:
        raise ValueError(
            f"{type(agent).__name__} cannot go on: observations, actions or networks are others than in the last fit, "
            f"{before.policy} then and {actor.policy} now."
        )
    return agent.learnt_


def warn_of_failure(agent):
    """Say why returns did not rise, if they did not, and what helps."""
    history, n_actions = agent.history_, getattr(agent.action_space_, "n", None)
    returns = np.array(history["return"])
    returns = returns[np.isfinite(returns)]
    quarter = len(returns) // 4
    if quarter < 2 or np.ptp(returns) == 0 or _rose(returns[: max(2, len(returns) // 10)], returns[-quarter:]):
        return
    snr, boundary = (_known_mean(history[name][-quarter:]) for name in ("gradient_snr", "boundary_distance"))
    if n_actions and boundary < 0.02 / n_actions:
        cause = (
            "the policy is stuck at the boundary of the simplex, where gradients vanish (the least probability of an "
            f"action is {boundary:.2g}): raise entropy_weight, or lower learning_rate_init"
        )
    elif snr < 2:
        cause = (
            f"cancellation: the terms of the gradient cancel each other (its signal-to-noise ratio is {snr:.2g}, mere "
            f"noise gives 1): {_against_noise(agent)}"
        )
    else:
        return
    name = type(agent).__name__
    warn_caller(f"{name} ended with returns no higher than at its start; {cause}.", ConvergenceWarning)


def _against_noise(agent):
    """Return what an agent's own parameters offer against noise in its gradient."""
    has = agent.get_params()
    more = [name for name in ("n_envs", "n_steps") if name in has]
    less = [name for name in ("discount", "gae_lambda") if name in has]
    baseline = "baseline='value' or " if has.get("baseline", "value") != "value" else ""
    return (
        f"raise {' or '.join(more)}, take {baseline}a lower {' or '.join(less)}, or an environment whose rewards are "
        "less rare"
    )


def _known_mean(values):
    """Return the mean of the numbers that are known, or NaN."""
    values = np.array(values)
    known = values[~np.isnan(values)]
    return known.mean() if known.size else np.nan


def _rose(first, last):
    """Tell whether returns rose by more than two standard errors."""
    return last.mean() - first.mean() > 2 * np.sqrt(first.var() / len(first) + last.var() / len(last))


# ----------------------------------------------------------------------------------------------------- logs


def learn_from_log(agent, log, plan, goes_on, max_iter=None):
    """Fit an agent to a log.

    Parameters
    ----------
    agent : BaseAgent
        Whose fitted attributes are set.
    log : Log
        The steps.
    plan : Plan
        How to learn.
    goes_on : bool
        Whether to go on from what was learnt before.
    max_iter : int or None, default=None
        How many iterations more; None takes the agent's.
    """
    plan, X = replace(plan, schedule="constant"), log.observations
    encoder = agent.learnt_.actor.encoder if goes_on else log_encoder(log)
    dtype = agent.learnt_.actor.dtype if goes_on else X.dtype
    actor = _actor(agent, encoder, Softmax(log.n_actions), dtype, plan)
    learnt = _going_on(agent, actor) if goes_on else begin(actor, _seed(agent))
    history = agent.history_ if goes_on else None
    passes = Pass(agent.max_iter if max_iter is None else learnt.counts[0] + max_iter, agent.tol, agent.max_ratio)
    if log.reward is None:
        steps = imitation_steps(log, plan, learnt, passes, threads_of(agent))
        if learnt.counts[0] >= passes.max_iter:
            return
    else:
        passes = replace(passes, max_iter=max_iter or agent.max_iter)
        steps = _weighted_steps(agent, log, plan, learnt, passes, goes_on)
    with fit_task(agent, X=X, y=log.actions, sample_weight=log.weights, max_subtasks=None) as context:
        run = run_steps(agent, context, steps, task="iteration", attributes=_attributes, history=history)
        vars(agent).update(_attributes(run.state, run.history))


def _weighted_steps(agent, log, plan, learnt, passes, goes_on):
    """Return steps along the importance-weighted gradient, that begin at the policy which wrote the log."""
    n_threads, share = threads_of(agent), log.weights / log.weights.sum()
    if not share.any():
        raise ValueError("All steps have the weight 0.")
    copied = begin(learnt.actor, learnt.seed) if goes_on else learnt
    whole = Pass(agent.max_iter, agent.tol)
    for step in imitation_steps(log, replace(plan, entropy_weight=0.0), copied, whole, n_threads):
        copied = step.state
    if agent.behavior is None:
        x = copied.actor.features(log.observations)
        behavior = probabilities_of(copied.actor, copied.flat, x, log.actions, n_threads)
    else:
        behavior = _given_behavior(agent, log)
    if not goes_on:
        learnt = with_offset(replace(copied, counts=(0, 0)), Chains.of(log, plan.discount), share)
    return importance_steps(log, plan, learnt, passes, behavior, n_threads)


def _given_behavior(agent, log):
    """Return the probability with which the given estimator takes each action of a log."""
    told = np.asarray(agent.behavior.predict_proba(log.observations), dtype=np.float64)
    known = getattr(agent.behavior, "classes_", agent.classes_)
    places = {label: place for place, label in enumerate(np.asarray(known).tolist())}
    missing = [label for label in agent.classes_.tolist() if label not in places]
    if missing or told.ndim != 2 or told.shape != (len(log.actions), len(known)):
        raise ValueError(f"behavior knows the actions {list(places)}, and not {missing} of the log.")
    columns = np.array([places[label] for label in agent.classes_.tolist()])
    taken = told[np.arange(len(told)), columns[log.actions]]
    if not (np.isfinite(taken) & (taken > 0))[log.weights > 0].all():
        raise ValueError("behavior gives the probability 0 to an action that was taken.")
    return np.where(taken > 0, taken, 1.0)


# ------------------------------------------------------------------------------------------------------ use


def said_of(agent, observations):
    """Return what the policy's network gives for observations, (n, n_outputs), some rows at a time."""
    return _in_chunks(agent, observations, lambda net, y, n: net.outputs(y, n), agent.learnt_.actor.head.n_outputs)


def policy_of(agent, observations):
    """Return the probabilities of actions, of the dtype of observations."""
    z = said_of(agent, observations)
    return agent.learnt_.actor.head.probabilities(z.astype(np.float64)).astype(observations.dtype)


def features_of(agent, observations):
    """Return what the last hidden layer makes of observations; the logarithms of probabilities where there is none."""
    if len(agent.learnt_.actor.policy.sizes) > 2:
        layer = agent.learnt_.actor.policy.sizes[-2]
        found = _in_chunks(agent, observations, lambda net, y, n: net.outputs(y, n, -2), layer)
    else:
        z = said_of(agent, observations).astype(np.float64)
        top = z.max(axis=1, keepdims=True)
        found = z - top - np.log(np.exp(z - top).sum(axis=1, keepdims=True)) if _is_softmax(agent) else z
    return found.astype(observations.dtype, copy=False)


def _is_softmax(agent):
    return isinstance(agent.learnt_.actor.head, Softmax)


def _in_chunks(agent, observations, take, width):
    learnt = agent.learnt_
    actor, n_threads = learnt.actor, threads_of(agent)
    w = learnt.flat[actor.parts[0]]
    found = np.empty((len(observations), width), dtype=actor.dtype)
    bytes_per_row = (actor.policy.n_kept + 2 * actor.policy.sizes[0]) * found.itemsize
    for rows in chunk_slices(len(observations), bytes_per_row):
        x = actor.features(observations[rows])
        found[rows] = take(actor.policy, actor.policy.forward(x, w, n_threads), len(x))
    return found


def has_values(agent):
    """Tell whether there is a critic that has learnt: not from a log that was imitated."""
    if not hasattr(agent, "learnt_"):
        return getattr(agent, "baseline", "value") == "value"
    return agent.learnt_.actor.critic is not None and "loss" not in agent.history_


def values_of(agent, observations):
    """Return what the critic says of observations, (n,); if it says Q(s, a), the mean of that under the policy."""
    learnt, n_threads = agent.learnt_, threads_of(agent)
    found = np.empty((len(observations), learnt.actor.critic.n_outputs), dtype=learnt.actor.dtype)
    bytes_per_row = (learnt.actor.critic.n_kept + 2 * learnt.actor.critic.sizes[0]) * found.itemsize
    for rows in chunk_slices(len(observations), bytes_per_row):
        found[rows] = learnt.actor.valued(learnt.actor.features(observations[rows]), learnt.flat, n_threads)
    if found.shape[1] > 1:
        found = (policy_of(agent, observations) * found).sum(axis=1)
    found = found * unit_of(learnt.earned)
    return found.reshape(len(observations)).astype(observations.dtype, copy=False)


def greedy_of(agent, observations):
    """Return the likeliest actions: labels, or numbers inside the action space."""
    if _is_softmax(agent):
        return agent.classes_[policy_of(agent, observations).argmax(axis=1)]
    return _played(agent, said_of(agent, observations).astype(np.float64))


def chosen_of(agent, observations, generator):
    """Return actions drawn from a Gaussian policy, or the likeliest (no generator)."""
    z = said_of(agent, observations).astype(np.float64)
    if generator is not None:
        spread = agent.learnt_.flat[agent.learnt_.actor.parts[1]].astype(np.float64)
        z = z + np.exp(spread) * generator.standard_normal(z.shape)
    return _played(agent, z)


def _played(agent, z):
    space = agent.action_space_
    return agent.learnt_.actor.head.played(z).astype(space.dtype).reshape(len(z), *space.shape)
