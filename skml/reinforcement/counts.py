"""Finite decision processes from outcomes listed one by one: Gymnasium's tables, and observed steps."""

import numpy as np
import scipy.sparse as sp

from skml.reinforcement.mdp_tables import Pairs


def read_gymnasium(P):
    """Return (pairs, number of actions, terminal mask) of ``P[s][a] = [(p, s2, r, terminated), ...]``."""
    n_states = len(P)
    rows = [
        (s, a, p, s2, r, bool(ended))
        for s in range(n_states)
        for a in sorted(P[s].keys() if hasattr(P[s], "keys") else range(len(P[s])))
        for p, s2, r, ended in P[s][a]
        if p != 0
    ]
    if not rows:
        raise ValueError("P holds no outcome of any probability.")
    s, a, p, s2, r, ended = (np.array(column) for column in zip(*rows))
    if s2.min() < 0 or s2.max() >= n_states:
        raise ValueError(f"P leads to state {s2.min() if s2.min() < 0 else s2.max()}, outside 0 to {n_states - 1}.")
    terminal = _only_entered_at_the_end(s2, ended, n_states)
    table, _ = gather((s, a, s2, ended), p.astype(np.float64), r, terminal)
    return table, int(a.max()) + 1, terminal


def _only_entered_at_the_end(s2, ended, n_states):
    terminal = np.zeros(n_states, dtype=bool)
    terminal[s2[ended]] = True
    terminal[s2[~ended]] = False
    return terminal


def gather(keys, weights, rewards, terminal, mean=False):
    """Return pairs whose outcomes are the distinct (s, a, s2, ended[, r]), and the weight of each pair.

    With `mean`, outcomes that differ in nothing but their reward are one, with the mean reward; probabilities are
    shares of the pair's weight. Otherwise weights are probabilities.
    """
    keep = ~terminal[keys[0]]
    s, a, s2, ended = (key[keep] for key in keys)
    weights, rewards = weights[keep], np.asarray(rewards, dtype=np.float64)[keep]
    order = np.lexsort((*(() if mean else (rewards,)), ended, s2, a, s))
    s, a, s2, ended, weights, rewards = (x[order] for x in (s, a, s2, ended, weights, rewards))
    new_pair = _changes(s, a)
    new = _changes(s, a, s2, ended) if mean else _changes(s, a, s2, ended, rewards)
    outcome, first = np.cumsum(new) - 1, np.flatnonzero(new)
    mass = np.bincount(outcome, weights)
    pair = np.cumsum(new_pair)[first] - 1
    pair_mass = np.bincount(pair, mass)
    outcome_rewards = np.bincount(outcome, weights * rewards) / mass if mean else rewards[first]
    data = mass / pair_mass[pair] if mean else mass
    indptr = np.concatenate([[0], np.cumsum(np.bincount(pair))])
    T = sp.csr_array((data, s2[first].astype(np.int32), indptr), shape=(len(indptr) - 1, len(terminal)))
    ends = ended[first] & ~terminal[s2[first]]
    start = np.flatnonzero(new_pair)
    return Pairs(s[start], a[start], T, None, outcome_rewards, ends), pair_mass


def _changes(*keys):
    new = np.zeros(len(keys[0]), dtype=bool)
    new[:1] = True
    for key in keys:
        new[1:] |= key[1:] != key[:-1]
    return new


def read_steps(data, n_states, n_actions, sample_weight):
    """Return (pairs, number of actions, terminal mask, visits of each pair) of observed steps."""
    columns = _columns(data)
    s, a, s2 = (_whole(columns[name], name) for name in ("state", "action", "next_state"))
    ended = np.asarray(columns.get("terminated", np.zeros(len(s), dtype=bool))).astype(bool)
    rewards = np.asarray(columns["reward"], dtype=np.float64)
    if len({len(column) for column in (s, a, s2, ended, rewards)}) > 1 or len(s) == 0:
        raise ValueError("The columns of observed steps must have the same length, at least 1.")
    if not np.isfinite(rewards).all():
        raise ValueError(f"reward of step {int(np.argmax(~np.isfinite(rewards)))} is not finite.")
    weights = _weights(sample_weight, len(s))
    S = _size(n_states, max(s.max(), s2.max()) + 1, "n_states")
    A = _size(n_actions, a.max() + 1, "n_actions")
    seen = weights > 0
    keys = tuple(key[seen] for key in (s, a, s2, ended))
    table, terminal, visits = estimate(keys, weights[seen], rewards[seen], S)
    return table, A, terminal, visits


def estimate(steps, weights, rewards, n_states):
    """Return (pairs, terminal mask, weight of each pair): frequencies of steps (s, a, s2, ended), mean rewards.

    A state in which no step was taken is terminal.
    """
    terminal = np.ones(n_states, dtype=bool)
    terminal[steps[0]] = False
    table, visits = gather(steps, weights, rewards, terminal, mean=True)
    return table, terminal, visits


def mean_table(mdps):
    """Return (pairs, terminal mask) of the mean of several processes: in each step one of them at random."""
    outcomes = [mdp.outcomes() for mdp in mdps]
    parts = [(mdp.pair_states, mdp.pair_actions, np.diff(o.indptr)) for mdp, o in zip(mdps, outcomes)]
    s, a = (np.concatenate([np.repeat(part[i], part[2]) for part in parts]).astype(np.int64) for i in (0, 1))
    s2 = np.concatenate([o.next_states for o in outcomes])
    ended = np.concatenate([o.ends for o in outcomes]).astype(bool)
    weights = np.concatenate([mdp.transitions.data for mdp in mdps])
    rewards = np.concatenate([o.rewards for o in outcomes])
    table, terminal, _ = estimate((s, a, s2, ended), weights, rewards, mdps[0].n_states)
    return table, terminal


def _columns(data):
    names = list(data.keys() if hasattr(data, "keys") else getattr(data, "columns", ()))
    missing = [name for name in ("state", "action", "reward", "next_state") if name not in names]
    if missing:
        raise ValueError(
            f"Observed steps need the columns state, action, reward and next_state (and terminated); "
            f"{', '.join(missing)} is missing."
        )
    return {name: np.asarray(data[name]) for name in names}


def _whole(column, name):
    whole = column.astype(np.int64) if column.dtype.kind in "iuf" and np.isfinite(column).all() else None
    if whole is None or column.ndim != 1 or (whole != column).any() or (whole < 0).any():
        raise ValueError(f"{name} must hold whole numbers from 0.")
    return whole


def _weights(sample_weight, n):
    if sample_weight is None:
        return np.ones(n)
    weights = np.asarray(sample_weight, dtype=np.float64)
    if weights.shape != (n,) or not np.all(weights >= 0) or not 0 < weights.sum() < np.inf:
        raise ValueError(f"sample_weight must hold {n} numbers from 0, not all of them 0.")
    return weights


def _size(asked, seen, name):
    if asked is None:
        return int(seen)
    if asked < seen:
        raise ValueError(f"{name}={asked} is too small: the steps name number {seen - 1}.")
    return int(asked)
