"""Bags: which rows each member of an ensemble is trained on, and how often each counts."""

from dataclasses import dataclass

import numpy as np

# Weights that are no whole numbers are rounded to so many units in all.
UNITS = 2**30


@dataclass(frozen=True)
class Bagging:
    """How bags are drawn.

    Attributes
    ----------
    weights : ndarray of shape (n_rows,)
        Of the distinct rows.
    entropy : int
        Bag t depends on it and on t alone.
    bootstrap : bool
        Whether bags are drawn; otherwise each is the whole.
    size : int
        How many rows, or groups of rows, a bag draws.
    strata : ndarray of shape (n_rows,) or None
        The stratum of each row, from 0.
    shares : ndarray of shape (n_strata,) or None
        How many of a bag's draws fall on each stratum.
    groups : ndarray of shape (n_rows,) or None
        The group of each row, from 0: whole groups are drawn.
    """

    weights: np.ndarray
    entropy: int
    bootstrap: bool = True
    size: int = 0
    strata: np.ndarray | None = None
    shares: np.ndarray | None = None
    groups: np.ndarray | None = None


def whole(weights):
    """Tell whether weights are numbers of copies."""
    return bool(np.all(weights == np.rint(weights)) and weights.sum() < UNITS)


def total_weight(weights):
    """Return what weights add up to: copies, or relative to a mean of 1."""
    return float(weights.sum()) if whole(weights) else float(len(weights))


def as_counts(weights):
    """Return weights as whole numbers: as they are, or in units of a billionth of their sum.

    Parameters
    ----------
    weights : ndarray of shape (n_rows,)
        Positive.

    Returns
    -------
    counts : ndarray of shape (n_rows,), int32
        At least 1.
    unit : float
        What 1 stands for, relative to a mean weight of 1 where the weights aren't whole.
    """
    if whole(weights):
        return weights.astype(np.int32), 1.0
    counts = np.maximum(1, np.rint(weights * (UNITS / weights.sum()))).astype(np.int32)
    return counts, len(weights) / float(counts.sum(dtype=np.int64))


def largest_bag(bagging):
    """Return what the counts of a bag add up to at most."""
    if not bagging.bootstrap:
        return int(as_counts(bagging.weights)[0].sum(dtype=np.int64))
    if bagging.groups is not None:
        return 2 * UNITS + len(bagging.weights)
    return bagging.size + (0 if bagging.shares is None else int(bagging.shares.sum()))


def generator(entropy, number):
    """Return the random numbers of one member, which depend on no other."""
    return np.random.Generator(np.random.Philox(key=[entropy, number]))


def draw_bag(bagging, number):
    """Draw a bag.

    Parameters
    ----------
    bagging : Bagging
        How.
    number : int
        Which one.

    Returns
    -------
    rows : ndarray of shape (n_bag,), int32
        The distinct rows in the bag, ascending.
    counts : ndarray of shape (n_bag,), int32
        How often each counts.
    """
    n, rng = len(bagging.weights), generator(bagging.entropy, number)
    if not bagging.bootstrap:
        return np.arange(n, dtype=np.int32), as_counts(bagging.weights)[0]
    if bagging.groups is not None:
        drawn = np.bincount(rng.integers(bagging.groups.max() + 1, size=bagging.size))
        times = np.zeros(bagging.groups.max() + 1, np.int64)
        times[: len(drawn)] = drawn
        counts = _bounded(as_counts(bagging.weights)[0] * times[bagging.groups])
    elif bagging.strata is not None:
        counts = np.zeros(n, np.int64)
        for stratum, share in enumerate(bagging.shares):
            members = np.flatnonzero(bagging.strata == stratum)
            counts[members] = _drawn(bagging.weights[members], int(share), rng)
    else:
        counts = _drawn(bagging.weights, bagging.size, rng)
    rows = np.flatnonzero(counts)
    return rows.astype(np.int32), counts[rows].astype(np.int32)


def _bounded(counts):
    """Return counts in so large a unit that their sum fits in 32 bits; what counts at all keeps at least 1."""
    total = counts.sum()
    if total < 2 * UNITS:
        return counts
    return np.where(counts > 0, np.maximum(1, np.rint(counts * (UNITS / total))), 0).astype(np.int64)


def _drawn(weights, size, rng):
    """Return how often each row is among `size` draws in proportion to the weights."""
    n = len(weights)
    if np.all(weights == weights[0]):  # even, like most: no table is needed
        return np.bincount(rng.integers(n, size=size), minlength=n)
    if whole(weights):
        reached = np.cumsum(weights.astype(np.int64))
        drawn = rng.integers(reached[-1], size=size)
        if reached[-1] > 8 * n:  # too long a list of copies
            return np.bincount(np.searchsorted(reached, drawn, side="right"), minlength=n)
        return np.bincount(np.repeat(np.arange(n), np.diff(reached, prepend=0))[drawn], minlength=n)
    reached = np.cumsum(weights)
    at = np.searchsorted(reached, rng.random(size) * reached[-1], side="right")
    return np.bincount(np.minimum(at, n - 1), minlength=n)
