"""The decision process that a planner plans on: of an environment that shows it, of several, or of a log."""

import numpy as np
import scipy.sparse as sp

from skml.reinforcement import counts
from skml.reinforcement.mdp import FiniteMDP
from skml.reinforcement.mdp_tables import Pairs
from skml.reinforcement.spaces import Discrete
from skml.reinforcement.states import NumberedStates, known_states

DISCOUNT = 0.99  # where neither the planner nor the process says one


def model_of_worlds(worlds, discount, observation_space, name):
    """Return (FiniteMDP, states) of environments that show their model; of several the mean.

    Raises
    ------
    ValueError
        If observations are no numbers of states, an environment has no model, or discounts differ.
    """
    if not isinstance(observation_space, Discrete):
        raise ValueError(
            f"{name} plans where observations are numbers of states (Discrete), got {observation_space}; "
            "learn from a log with a discretizer, or use an agent that learns from steps."
        )
    mdps = [_model(world) for world in worlds]
    discounts = sorted({mdp.discount for mdp in mdps})
    if discount is None and len(discounts) > 1:
        raise ValueError(f"The discounts of the environments differ ({discounts}); give {name} one.")
    mdp = mdps[0] if len(mdps) == 1 else _mean(mdps)
    if mdp.n_states > observation_space.n:
        raise ValueError(f"The model has {mdp.n_states} states, but observations are in {observation_space}.")
    return mdp, NumberedStates(observation_space.n, observation_space.start)


def _model(world):
    if isinstance(world, FiniteMDP):
        return world
    inner = getattr(world, "unwrapped", world)
    mdp = getattr(inner, "mdp", None)
    return mdp if isinstance(mdp, FiniteMDP) else FiniteMDP.from_gymnasium(world, DISCOUNT)


def _mean(mdps):
    table, terminal = counts.mean_table(mdps)
    start = np.mean([mdp.start for mdp in mdps], axis=0)
    return FiniteMDP.of_table(table, mdps[0].n_actions, terminal, start, mdps[0].discount)


def model_of_log(log, discretizer):
    """Return (FiniteMDP, states) of a log: frequencies and mean rewards; imitation, if it has no rewards.

    A step that isn't known to have led anywhere tells nothing. A state in which no step was taken has value 0, and an
    action that was never taken in a state is not allowed there.
    """
    states = known_states(log.observations, discretizer)
    s = states.of(log.observations)
    if log.reward is None:
        return _imitation(s, log, states.n_states), states
    teaches = log.teaches & (log.weights > 0)
    if not teaches.any():
        raise ValueError("No step of the log is followed by another one of its episode, or ends it (terminated).")
    following = np.where(log.following >= 0, s[log.following], s)
    steps = (s[teaches], log.actions[teaches].astype(np.int64), following[teaches], log.terminated[teaches])
    table, terminal, visits = counts.estimate(steps, log.weights[teaches], log.reward[teaches], states.n_states)
    return FiniteMDP.of_table(table, log.n_actions, terminal, None, DISCOUNT, visits), states


def _imitation(s, log, n_states):
    """Return a process that pays the share of an action in the log and ends: its action values are those shares."""
    A = log.n_actions
    weight = np.bincount(s * A + log.actions, log.weights, n_states * A).reshape(n_states, A)
    shares = weight / weight.sum(axis=1, keepdims=True)
    pair_states, actions = np.repeat(np.arange(n_states), A), np.tile(np.arange(A), n_states)
    n = n_states * A
    T = sp.csr_array((np.ones(n), pair_states, np.arange(n + 1)), shape=(n, n_states))
    table = Pairs(pair_states, actions, T, shares.ravel(), None, np.ones(n, dtype=bool))
    return FiniteMDP.of_table(table, A, np.zeros(n_states, dtype=bool), None, 0.0)
