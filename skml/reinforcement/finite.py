"""Finite worlds as flat arrays of outcomes: of these come the table of the kernels, a FiniteMDP, and Gymnasium's P."""

import functools
from dataclasses import dataclass

import numpy as np

from skml.reinforcement.chains import running_sums
from skml.reinforcement.counts import gather
from skml.reinforcement.environments import Table
from skml.reinforcement.mdp import FiniteMDP


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What each action can lead to from each state; pairs of both stand in order of state, then action, all there.

    Attributes
    ----------
    counts : ndarray of shape (S, A), int64
        How many outcomes each pair has, at least one.
    probabilities : ndarray of shape (n_outcomes,), float64
        Of a pair they sum to 1.
    next_states : ndarray of shape (n_outcomes,), int32
    rewards : ndarray of shape (n_outcomes,), float64
    ends : ndarray of shape (n_outcomes,), bool
        Whether the episode is over with this outcome.
    start : ndarray of shape (S,), float64
        How likely an episode begins in each state.
    """

    counts: np.ndarray
    probabilities: np.ndarray
    next_states: np.ndarray
    rewards: np.ndarray
    ends: np.ndarray
    start: np.ndarray

    def __getstate__(self):
        """Return the state of a copy, which lists outcomes anew if it is asked to."""
        return {name: value for name, value in vars(self).items() if name != "listed"}

    @classmethod
    def of_equal(cls, probabilities, next_states, rewards, ends, start, keep=None):
        """Return outcomes given as arrays that broadcast to (S, A, K), of which those of a mask are kept."""
        given, types = (probabilities, next_states, rewards, ends), (np.float64, np.int32, np.float64, bool)
        shape = np.broadcast_shapes(*map(np.shape, given))
        given = [np.broadcast_to(np.asarray(array, kind), shape) for array, kind in zip(given, types)]
        if keep is None:
            return cls(np.full(shape[:2], shape[2]), *(array.ravel() for array in given), start)
        keep = np.broadcast_to(keep, shape)
        at = np.flatnonzero(keep)
        return cls(keep.sum(axis=2), *(array.ravel()[at] for array in given), start)

    @property
    def pairs(self):
        """The number of the pair of each outcome, state times A plus action."""
        return np.repeat(np.arange(self.counts.size), self.counts.ravel())

    def table(self, masks=None):
        """Return the table that kernels step."""
        S, A = self.counts.shape
        indptr = np.append(0, np.cumsum(self.counts.ravel())).astype(np.int32)
        offsets, actions = np.arange(0, S * A + 1, A, dtype=np.int32), np.tile(np.arange(A, dtype=np.int32), S)
        cumulative = running_sums(self.probabilities, indptr)
        arrays = (offsets, actions, indptr, cumulative, self.next_states, self.rewards, self.ends.astype(np.uint8))
        return Table((*arrays, running_sums(self.start, np.array([0, S]))), A, masks)

    def mdp(self, discount=0.99):
        """Return the decision process."""
        S, A = self.counts.shape
        can = self.probabilities > 0
        pairs, s2, ends = self.pairs[can], self.next_states[can], self.ends[can]
        terminal = np.zeros(S, bool)
        terminal[s2[ends]] = True
        terminal[s2[~ends]] = False
        table, _ = gather((pairs // A, pairs % A, s2, ends), self.probabilities[can], self.rewards[can], terminal)
        return FiniteMDP.of_table(table, A, terminal, self.start, discount)

    @functools.cached_property
    def listed(self):
        """What stands in Gymnasium's ``P``: ``{s: {a: [(probability, next state, reward, over), ...]}}``."""
        S, A = self.counts.shape
        columns = (self.probabilities, self.next_states, self.rewards, self.ends)
        rows = list(zip(*(column.tolist() for column in columns)))
        bounds = np.append(0, np.cumsum(self.counts.ravel())).tolist()
        return {s: {a: rows[bounds[s * A + a] : bounds[s * A + a + 1]] for a in range(A)} for s in range(S)}
