"""How choices of actions come to the end of an episode: all that matters without discount beside values."""

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import breadth_first_order, connected_components

from skml.reinforcement.bellman import policy_model, rounding, sweep

ENDLESS = (
    "A policy was reached under which some episodes never end, and with discount 1 the values of those states are "
    "infinite or undefined; take a discount below 1 or a finite horizon."
)
CIRCLES = (
    "Going round in circles pays: episodes never end under some policy, which earns more and more, so that with "
    "discount 1 there is no optimum; take a discount below 1 or a finite horizon."
)


def leading_to(model, arrived, allowed):
    """Return the pair with which each state may come nearer to a state that has arrived, -1 if there is none.

    Parameters
    ----------
    model : Model
    arrived : ndarray of shape (n_states + 1,), bool
        Where to come to; states of it get no pair.
    allowed : ndarray of shape (n_pairs,), bool
        The pairs that may be taken.
    """
    indptr, indices, _, rewards = model.table
    n, n_pairs = model.n_states, len(rewards)
    pairs = np.repeat(np.arange(n_pairs, dtype=np.int32), np.diff(indptr))
    # Nodes: states, the end, pairs. Backwards: from a next state to a pair, from a pair to its state.
    sources = np.where(arrived[indices], n, indices)[allowed[pairs]]
    states = np.repeat(np.arange(n), model.lasts - model.firsts)
    rows = np.concatenate([sources, n + 1 + np.arange(n_pairs)])
    columns = np.concatenate([n + 1 + pairs[allowed[pairs]], states])
    size = n + 1 + n_pairs
    edges = sp.csr_array((np.ones(len(rows)), (rows, columns)), shape=(size, size))
    _, parents = breadth_first_order(edges, n, return_predecessors=True)
    return np.where(arrived[:n] | (parents[:n] < 0), -1, parents[:n] - (n + 1)).astype(np.int32)


def policy_to_the_end(model):
    """Return pairs each of which may bring its state nearer to the end, so that the end comes with probability 1."""
    return leading_to(model, _over(model), np.ones(len(model.table[3]), dtype=bool))


def ending(model, pairs):
    """Tell of each state whether the pairs of a policy may lead from it to the end: (n_states,), bool."""
    own = policy_model(model, pairs)
    leads = leading_to(own, _over(own), np.ones(len(own.table[3]), dtype=bool))
    return (leads >= 0) | (pairs < 0)


def require_end(model, pairs):
    """Raise a ValueError unless the pairs of a policy may lead from every state to the end.

    Rows whose sums are rounded make a system that has a solution, of some 1e16, where there is none.
    """
    if not ending(model, pairs).all():
        raise ValueError(ENDLESS)


def ending_pairs(model, q, pairs, slacks):
    """Return a best pair of each state such that, as far as ties allow, the end comes with probability 1.

    Values alone don't tell a way to the end from going round before it, which costs nothing. States from which `pairs`
    may lead to the end keep them; the others take, nearest first, what may lead to states that have a way to the end.

    Parameters
    ----------
    model : Model
    q : ndarray of shape (n_pairs,)
        Values of pairs.
    pairs : ndarray of shape (n_states,), int32
        The first best pair of each state, -1 for none.
    slacks : iterable of float
        How much worse than the best a pair may be and still count as tied, growing; the next one is for the states
        that the one before has left without a way, if they are worth more than that in size: who stays for ever earns
        nothing.
    """
    found, arrived = pairs.copy(), np.append(ending(model, pairs), True)
    top = np.where(pairs >= 0, q[pairs], 0.0)
    for i, slack in enumerate(slacks):
        left = np.abs(top[~arrived[:-1]])
        if len(left) == 0 or (i > 0 and left.max() <= slack):
            break
        tied = q >= np.repeat(top - slack, model.lasts - model.firsts)
        better = leading_to(model, arrived, tied)
        found = np.where(better >= 0, better, found)
        arrived[:-1] |= better >= 0
    return found


def refuse_circles(model, v, n_rounds):
    """Raise a ValueError if values `v` prove that going round in circles pays, so that there is no optimum.

    In a closed set of states of a policy the long-run mean of r + P v - v is that of r, whatever v. If it is positive
    in each of them, the policy earns more and more. If v doesn't show it, v + (r + P v - v) / 2 comes nearer to that.

    Parameters
    ----------
    model : Model
    v : ndarray of shape (n_states + 1,)
    n_rounds : int
        How often v is moved at most.
    """
    pairs = sweep(model, v)[1]
    if ending(model, pairs).all():
        return
    indptr, indices, data, r = policy_model(model, pairs).table
    P = sp.csr_array((data, indices, indptr), shape=(len(r), len(v)))[:, np.append(pairs >= 0, False)]
    sets, closed = _closed_sets(P, np.diff(indptr))
    u = v[:-1][pairs >= 0]
    for _ in range(n_rounds):
        gain, noise = r + P @ u - u, rounding(model, u)
        least = np.full(len(closed), np.inf)
        np.minimum.at(least, sets, gain)
        if np.any(least[closed] > noise):
            raise ValueError(CIRCLES)
        if not np.any(gain[closed[sets]] > noise):
            return
        u = u + gain / 2


def _closed_sets(P, n_outcomes):
    """Return the number of the set of each state, those that reach each other, and which sets none ever leaves."""
    n_sets, sets = connected_components(P, directed=True, connection="strong")
    rows = np.repeat(np.arange(len(sets)), np.diff(P.indptr))
    closed = np.ones(n_sets, dtype=bool)
    closed[sets[rows[sets[rows] != sets[P.indices]]]] = False
    closed[sets[np.diff(P.indptr) < n_outcomes]] = False  # may end
    return sets, closed


def _over(model):
    """Tell of each state and the end whether nothing is to be done there, (n_states + 1,)."""
    return np.append(model.firsts == model.lasts, True)
