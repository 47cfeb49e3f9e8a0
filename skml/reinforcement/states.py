"""Which state an observation is: its number, the cell it lies in, or the nearest that is known."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.metrics import pairwise_distances_argmin

from skml._rows import distinct_rows, row_hashes
from skml.base import warn_caller


@dataclass(frozen=True)
class NumberedStates:
    """Observations that are numbers of states.

    Attributes
    ----------
    n_states : int
        How many there are.
    start : int, default=0
        The number of the first one.
    """

    n_states: int
    start: int = 0

    def of(self, observations):
        """Return the states of observations (n, 1), counted from 0."""
        return observations[:, 0].astype(np.int64) - self.start


@dataclass(frozen=True)
class KnownStates:
    """Observations that were seen, or the cells in which they lay; any other is taken for the nearest one.

    One neighbour is the simplest kernel of Ormoneit & Sen (2002), "Kernel-based reinforcement learning".

    Attributes
    ----------
    keys : ndarray of shape (n_states, n_columns)
        Distinct rows in canonical order.
    discretizer : object or None
        The fitted transformer that makes cells of observations.
    hashes : ndarray of shape (n_states,), uint64
        Of the keys, ascending.
    """

    keys: np.ndarray
    discretizer: object
    hashes: np.ndarray

    @property
    def n_states(self):
        """How many there are."""
        return len(self.keys)

    def of(self, observations):
        """Return the states of observations (n, n_features), counted from 0."""
        rows = cells(observations, self.discretizer).astype(self.keys.dtype, copy=False)
        at = np.minimum(np.searchsorted(self.hashes, row_hashes(rows)), len(self.keys) - 1)
        unknown = np.flatnonzero((self.keys[at] != rows).any(axis=1))
        if unknown.size:
            at[unknown] = pairwise_distances_argmin(rows[unknown], self.keys)
        return at


def cells(observations, discretizer):
    """Return what tells states apart: the observations themselves, or what a transformer makes of them.

    Parameters
    ----------
    observations : ndarray of shape (n, n_features)
        As validated.
    discretizer : object or None
        A fitted transformer.

    Returns
    -------
    rows : ndarray of shape (n, n_columns)
        Floats, C-contiguous.
    """
    if discretizer is None:
        return np.ascontiguousarray(observations)
    rows = discretizer.transform(observations)
    rows = rows.toarray() if sp.issparse(rows) else np.asarray(rows)
    return np.ascontiguousarray(rows, dtype=rows.dtype if rows.dtype in (np.float32, np.float64) else np.float64)


def warn_of_passing_states(states, n_steps, name):
    """Warn if a log with rewards hardly ever comes back to a state, so that no two actions are compared in one.

    States of whole numbers may be few in a longer log; measurements never come twice in any.

    Parameters
    ----------
    states : KnownStates
        Of the log.
    n_steps : int
        How many it has.
    name : str
        Of the agent.
    """
    if 2 * states.n_states > n_steps and (states.keys != np.floor(states.keys)).any():
        warn_caller(
            f"{name} found {states.n_states} states in the {n_steps} steps of the log: where observations hardly ever "
            "come twice, no actions are compared, and it learns little but to do what was done. Set discretizer "
            "(KBinsDiscretizer(encode='ordinal')), or take an agent that learns from measurements as they are "
            "(Reinforce, ActorCritic, AdvantageActorCritic).",
            UserWarning,
        )


def known_states(observations, discretizer=None):
    """Return the states that observations lie in.

    Parameters
    ----------
    observations : ndarray of shape (n, n_features)
        Some that were seen.
    discretizer : object or None, default=None
        A transformer, such as ``KBinsDiscretizer(encode="ordinal")``; a clone of it is fitted on the distinct
        observations. None makes each distinct observation a state.

    Returns
    -------
    states : KnownStates
        Of them.
    """
    if discretizer is not None:
        index, _ = distinct_rows(np.ascontiguousarray(observations))
        discretizer = clone(discretizer).fit(observations[index])
    rows = cells(observations, discretizer)
    index, _ = distinct_rows(rows)
    hashes = row_hashes(rows[index])
    order = np.argsort(hashes, kind="stable")
    return KnownStates(rows[index][order], discretizer, hashes[order])
