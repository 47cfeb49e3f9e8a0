"""Numbers as tokens (Ansari et al. 2024): the core."""

import numpy as np


def quantile_bins(values, n_bins):
    """Return bins that hold equally many of some values each, as far as equal values allow.

    Neither the order of the values nor having all of them twice changes a bin. Where there are at most `n_bins`
    different values, each has a bin of its own.

    Parameters
    ----------
    values : ndarray of shape (n,)
        Finite.
    n_bins : int
        How many bins to make at most.

    Returns
    -------
    edges : ndarray of shape (n_found - 1,), float64
        Between the bins; a value on an edge belongs to the lower bin.
    centers : ndarray of shape (n_found,), float64
        The median value of each bin, the lower one of two.
    """
    distinct, counts = np.unique(values.astype(np.float64) + 0.0, return_counts=True)  # of zeros there is one
    at_most = np.cumsum(counts)
    if len(distinct) <= n_bins:
        return _between(distinct[:-1], distinct[1:]), distinct
    levels = -(-np.arange(1, n_bins) * at_most[-1] // n_bins)  # rounded up: the rank of each quantile
    last = np.unique(np.searchsorted(at_most, levels))
    last = last[last < len(distinct) - 1]
    before, until = np.append(0, at_most[last]), np.append(at_most[last], at_most[-1])
    middle = before + (until - before + 1) // 2
    return _between(distinct[last], distinct[last + 1]), distinct[np.searchsorted(at_most, middle)]


def _between(low, high):
    """Return numbers halfway between neighbours, none of them above `high` or equal to it."""
    middle = low / 2 + high / 2
    return np.where((low <= middle) & (middle < high), middle, low)


def uniform_bins(values, n_bins):
    """Return bins of equal width from the least to the largest value; see :func:`quantile_bins`."""
    low, high = float(values.min()) + 0.0, float(values.max()) + 0.0
    if low == high:
        return np.empty(0), np.array([low])
    marks = np.linspace(low / 2, high / 2, 2 * n_bins + 1) * 2  # halves, so that no difference is infinite
    return marks[2:-1:2], marks[1::2]


def assign(values, edges):
    """Return the bin of each value."""
    return np.searchsorted(edges, values, side="left").astype(np.int32)
