"""The Bellman operator of a finite decision process: sweeps of it, and how far from the optimum they can be.

v has n_states + 1 places; the last is the end of an episode, of value 0. (T v)(s) is the best over the actions of
r(s, a) + discount E[v(s')].
"""

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp

from skml._kernels import bellman, breathe

BLOCK = 4096  # states; what threads share in a sweep that reads only old values
LONG = 10_000  # sweeps after which the length of episodes is given up
LARGE_BLOCK = 2**15  # states; within such a block a Gauss-Seidel sweep uses new values at once
WORK = 2**23  # outcomes of one call of a kernel: a tenth of a second or so


@dataclass(frozen=True)
class Model:
    """A :class:`FiniteMDP` as sweeps read it.

    Attributes
    ----------
    firsts, lasts : ndarray of shape (n_states,), int32
        State s may take the pairs ``firsts[s]:lasts[s]``.
    table : tuple of (indptr, indices, data, rewards)
        CSR (n_pairs, n_states + 1) of what goes on, and expected rewards.
    discount : float
    flow : tuple of (least, most)
        discount times the least and the most probability, over the pairs, that the episode goes on.
    noise : tuple of (relative, absolute)
        What rounding may add to a backup, as a part of the largest value, and beside it.
    n_threads : int
    """

    firsts: np.ndarray
    lasts: np.ndarray
    table: tuple
    discount: float
    flow: tuple
    noise: tuple = (0.0, 0.0)
    n_threads: int = 1

    @property
    def n_states(self):
        """The number of states."""
        return len(self.firsts)

    @property
    def endless(self):
        """Whether every pair goes on with the same probability, so that T(v + c) = T v + flow c."""
        return self.flow[1] - self.flow[0] <= 1e-14


def policy_model(model, policy):
    """Return the model in which each state may take the pair of a policy alone, its rows next to each other."""
    indptr, indices, data, rewards = model.table
    table = sp.csr_array((data, indices, indptr), shape=(len(rewards), model.n_states + 1))
    has = policy >= 0
    rows, lasts = table[policy[has]], np.cumsum(has, dtype=np.int32)
    parts = (rows.indptr.astype(np.int32), rows.indices.astype(np.int32), rows.data, rewards[policy[has]])
    return replace(model, firsts=lasts - has, lasts=lasts, table=parts)


def model_of(mdp, discount, n_threads=1):
    """Return the :class:`Model` of a :class:`FiniteMDP`."""
    going_on = mdp.continuation()
    indptr, indices, data = going_on.indptr, going_on.indices, going_on.data
    goes = going_on @ np.append(~mdp.terminal, False).astype(np.float64)
    flow = (discount * goes.min(), discount * min(goes.max(), 1.0))
    table = (indptr, indices, data, mdp.rewards)
    # A sum of n products, taken in four parts, is off by about n / 4 + 4 units in the last place.
    unit = 2 * (np.diff(indptr).max(initial=1) / 4 + 4) * np.finfo(np.float64).eps
    noise = (unit, unit * np.abs(mdp.rewards).max(initial=0))
    n_threads = n_threads if len(data) > 2**14 else 1
    return Model(mdp.offsets[:-1], mdp.offsets[1:], table, discount, flow, noise, n_threads)


def sweep(model, v, policy=None, in_place=False, backward=False):
    """Return (T v, the pair taken in each state or -1, least and largest of T v - v).

    Parameters
    ----------
    model : Model
    v : ndarray of shape (n_states + 1,)
    policy : ndarray of shape (n_states,), int32, or None, default=None
        The pair to take in each state, -1 for none; None takes the best.
    in_place : bool, default=False
        Gauss-Seidel: within a fixed block of states, new values are used at once.
    backward : bool, default=False
        From the last state to the first.
    """
    n = model.n_states
    w, pairs = (v.copy() if in_place else np.zeros(n + 1)), np.empty(n, dtype=np.int32)
    firsts, lasts = _choices(model, policy)
    block = LARGE_BLOCK if in_place else BLOCK
    change = np.tile([np.inf, -np.inf], (-(-n // block), 1))
    how = (block, in_place, backward, model.n_threads)
    ranges = list(_ranges(model, block))
    for first, last in reversed(ranges) if backward else ranges:
        bellman.sweep(firsts, lasts, *model.table, model.discount, v, w, pairs, change, first, last, *how)
        breathe()
    return w, pairs, float(change[:, 0].min()), float(change[:, 1].max())


def _choices(model, policy):
    if policy is None:
        return model.firsts, model.lasts
    firsts = np.maximum(policy, 0)
    return firsts, firsts + (policy >= 0)


def _ranges(model, block):
    """Yield (first, last) of the states that one call of the kernel sweeps over, whole blocks if they are small."""
    n = model.n_states
    size = max(1, n * WORK // max(WORK, len(model.table[2])))
    size = -(-size // block) * block if block < size else size
    for first in range(0, n, size):
        yield first, min(first + size, n)


def pair_values(model, v):
    """Return q(s, a) = r(s, a) + discount E[v(s')] of each pair: (n_pairs,)."""
    n_pairs = len(model.table[3])
    q = np.empty(n_pairs)
    size = max(1, n_pairs * WORK // max(WORK, len(model.table[2])))
    for first in range(0, n_pairs, size):
        last = min(first + size, n_pairs)
        bellman.pair_values(*model.table, model.discount, v, q, first, last, model.n_threads)
        breathe()
    return q


def rounding(model, v):
    """Return how much rounding may add to a backup, in the values at hand."""
    relative, absolute = model.noise
    return relative * np.abs(v).max(initial=0) + absolute


def bounds(model, low, high):
    """Return (below, above): the optimal values lie within T v + below and T v + above.

    MacQueen (1966): low <= T v - v <= high gives T v + flow / (1 - flow) low <= v* <= T v + flow / (1 - flow) high;
    of the least and the most flow, each sign takes the one that holds for every pair.
    """
    least, most = (flow / (1 - flow) if flow < 1 else np.inf for flow in model.flow)
    below = low * (most if low < 0 else least) if low else 0.0
    above = high * (most if high > 0 else least) if high else 0.0
    return below, above


def shifted(model, w, low, high):
    """Return T v moved to the middle of its bounds where that is sure to help: where no episode ends."""
    shift = middle(model, low, high)
    if shift == 0:
        return w
    w = w.copy()
    w[:-1][model.firsts < model.lasts] += shift
    return w


def middle(model, low, high):
    """Return how far the middle of the bounds is above T v, if all pairs go on with the same probability; else 0."""
    return sum(bounds(model, low, high)) / 2 if model.endless and model.flow[1] < 1 else 0.0


@dataclass(frozen=True)
class Solution:
    """What a planner knows.

    Attributes
    ----------
    value, lower, upper : ndarray of shape (n_states,)
        An estimate, and certified bounds of the optimal values.
    pair_values : ndarray of shape (n_pairs,)
    pairs : ndarray of shape (n_states,), int32
        The best pair of each state; -1 where there is none.
    """

    value: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    pair_values: np.ndarray
    pairs: np.ndarray


def solution(model, v):
    """Return the :class:`Solution` that values `v` amount to, by one sweep more."""
    q = pair_values(model, v)
    pairs = best_pairs(model, q)
    has = pairs >= 0
    w = np.where(has, q[pairs], 0.0)
    change = (w - v[:-1])[has]
    low, high = float(change.min()), float(change.max())
    lower, upper = _certain(model, v[:-1], w, (low, high))
    shift = middle(model, low, high)
    value, lower, upper = (np.where(has, bound, 0.0) for bound in (w + shift, lower, upper))
    return Solution(value, lower, upper, q + shift, pairs)


def _certain(model, v, w, change):
    """Return lower and upper bounds of the optimal values, given v, w = T v and the range of w - v."""
    slack = rounding(model, np.append(v, w))
    if model.discount == 1 and (longest := longest_episodes(model)) is not None:
        return undiscounted_bounds(v, *change, slack, longest)
    if model.flow[1] == 1:
        return np.full(len(v), -np.inf), np.full(len(v), np.inf)
    below, above = bounds(model, *change)
    slack /= 1 - model.flow[1]
    return w + below - slack, w + above + slack


def best_pairs(model, q):
    """Return the first best pair of each state, -1 where there is none."""
    has = model.firsts < model.lasts
    best = np.full(model.n_states, -1, dtype=np.int32)
    if has.any():
        starts, counts = model.firsts[has], (model.lasts - model.firsts)[has]
        top = np.repeat(np.maximum.reduceat(q, starts), counts)
        places = np.where(q == top, np.arange(len(q), dtype=np.int32), np.int32(len(q)))
        best[has] = np.minimum.reduceat(places, starts)
    return best


# ----------------------------------------------------------------------------------- bounds without discount


def longest_episodes(model):
    """Return upper bounds of the expected number of steps to the end under any policy, or None if they may never end.

    N >= 1 + max over a of E[N(s')] holds with equality for the longest; if a sweep adds at most 1/2 to N, then
    2 N satisfies it.
    """
    if not _always_ends(model):
        return None
    indptr, indices, data, rewards = model.table
    clock = replace(model, table=(indptr, indices, data, np.ones(len(rewards))), discount=1.0)
    N = np.zeros(model.n_states + 1)
    for i in range(LONG):
        N, _, _, added = sweep(clock, N, in_place=True, backward=i % 2 == 0)
        if added <= 0.5:
            return 2 * N[:-1]
    return None


def _always_ends(model):
    """Tell whether no choice of actions keeps to a set of states for ever.

    States fall once each of their pairs may lead to the end or to a fallen state.
    """
    indptr, indices, _, rewards = model.table
    has = model.firsts < model.lasts
    left, starts = np.append(~has, True), model.firsts[has]
    while True:
        may_leave = np.maximum.reduceat(left[indices], indptr[:-1])
        falls = np.minimum.reduceat(may_leave, starts) & ~left[:-1][has]
        if not falls.any():
            return bool(left.all())
        left[np.flatnonzero(has)[falls]] = True


def undiscounted_bounds(v, low, high, slack, longest):
    """Return (lower, upper) of the optimal values where low <= T v - v <= high and episodes are at most `longest`.

    v* - v is at most the sum of T v - v along an episode: high times its length, or high where that is negative.
    """
    low, high = low - slack, high + slack
    return v + (low * longest if low < 0 else low), v + (high * longest if high > 0 else high)
