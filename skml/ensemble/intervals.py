"""What a forest of numbers knows beyond means: the whole conditional distribution, and intervals with a guarantee."""

import numpy as np

from skml.base import chunk_slices
from skml.ensemble.grower import tame
from skml.ensemble.predictor import leaves
from skml.ensemble.sampling import whole

# Sums of weights reach a quantile up to so much rounding.
_SLACK = 1e-12


def quantiles(forest, codes, y, levels, n_threads):
    """Return quantiles of the conditional distribution (Meinshausen 2006, equations 4 to 6).

    Row i has the weight w_i(x), the mean over trees of its share of the leaf that x falls in; the quantile is the
    least y whose rows up to it weigh at least the level.

    Parameters
    ----------
    forest : Forest
        Of numbers.
    codes : ndarray of shape (n_rows, n_features), uint8, C-contiguous
        Binned rows.
    y : ndarray of shape (n_outputs, n_train)
        Targets of the distinct training rows.
    levels : ndarray of shape (n_levels,)
        Between 0 and 1.
    n_threads : int
        How many threads walk.

    Returns
    -------
    found : ndarray of shape (n_rows, n_outputs, n_levels)
        Values of y.
    """
    out = np.empty((len(codes), len(y), len(levels)))
    shares = forest.counts / np.repeat(forest.weights, np.diff(forest.row_starts)) / forest.n_trees
    ranks, ordered = _ranks(y)
    held = len(forest.rows) / max(1, len(forest.weights))
    for part in chunk_slices(len(codes), 64 * forest.n_trees * max(1.0, held)):
        found = leaves(forest, codes[part], n_threads)
        at, owner = _members(forest, found)
        for o in range(len(y)):
            keys = owner * y.shape[1] + ranks[o, forest.rows[at]]
            order = np.argsort(keys, kind="stable")
            out[part, o] = _reached(keys[order], shares[at][order], len(found), ordered[o], levels)
    return out


def _ranks(y):
    order = np.argsort(y, axis=1, kind="stable")
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(y.shape[1])[None], axis=1)
    return ranks, np.take_along_axis(y, order, axis=1)


def _members(forest, found):
    """Return the places in ``forest.rows`` of the rows in the leaves found, and which row found them."""
    begins, sizes = forest.row_starts[found].ravel(), np.diff(forest.row_starts)[found].ravel()
    ends = np.cumsum(sizes)
    at = np.arange(ends[-1]) + np.repeat(begins - (ends - sizes), sizes)
    return at, np.repeat(np.repeat(np.arange(len(found)), found.shape[1]), sizes)


def _reached(keys, shares, n, ordered, levels):
    """Return, for each of n groups of keys, the values at which the shares add up to the levels."""
    owner = keys // len(ordered)
    sums = np.cumsum(shares)
    first = np.searchsorted(owner, np.arange(n))
    before = np.append(0.0, sums)[first]
    last = np.append(first[1:], len(keys)) - 1
    total = sums[last] - before
    out = np.empty((n, len(levels)))
    for i, level in enumerate(levels):
        wanted = before + total * level - _SLACK * (1 + before)
        at = np.clip(np.searchsorted(sums, wanted), first, last)
        out[:, i] = ordered[keys[at] - owner[at] * len(ordered)]
    return out


def deviations(forest, codes, y, means, n_threads):
    """Return the standard deviation of the conditional distribution whose weights `quantiles` uses.

    Parameters
    ----------
    forest : Forest
        Of numbers.
    codes : ndarray of shape (n_rows, n_features), uint8, C-contiguous
        Binned rows.
    y : ndarray of shape (n_outputs, n_train)
        Targets of the distinct training rows.
    means : ndarray of shape (n_rows, n_outputs)
        What is measured from.
    n_threads : int
        How many threads walk.

    Returns
    -------
    std : ndarray of shape (n_rows, n_outputs)
        In the units of y.
    """
    begins, (y, power) = forest.row_starts[:-1], tame(y)
    means = np.ldexp(means, -power)
    values, weights = y[:, forest.rows], forest.counts / np.repeat(forest.weights, np.diff(forest.row_starts))
    centres = np.add.reduceat(values * weights, begins, axis=1)
    gaps = values - np.repeat(centres, np.diff(forest.row_starts), axis=1)
    spread = np.add.reduceat(gaps**2 * weights, begins, axis=1)
    out = np.empty(means.shape)
    for part in chunk_slices(len(codes), 24 * forest.n_trees * len(y)):
        found = leaves(forest, codes[part], n_threads)
        for o in range(len(y)):
            squares = spread[o][found] + (centres[o][found] - means[part, o, None]) ** 2
            out[part, o] = np.sqrt(squares.mean(axis=1))
    return np.ldexp(out, power)


def jackknife_plus(members, out_of_bag, residuals, weights, alpha):
    """Yield slices of rows and their intervals by the jackknife+ after bootstrap (Kim, Xu & Barber 2020).

    For each training row i, mu_i(x) is the mean of the members whose bags miss i; the interval reaches from the
    floor(alpha (n + 1))-th smallest of mu_i(x) - R_i to the ceil((1 - alpha)(n + 1))-th smallest of mu_i(x) + R_i.

    Parameters
    ----------
    members : iterable of (slice, ndarray of shape (n_chunk, n_members))
        What members say of new rows.
    out_of_bag : ndarray of shape (n_members, n_train), float
        1 where a row is out of a bag; each row is out of some.
    residuals : ndarray of shape (n_train,)
        R_i: the absolute error of mu_i at its own row.
    weights : ndarray of shape (n_train,)
        How often each row counts; what isn't whole is relative to the mean.
    alpha : float
        Half of what may be missed at most: the guarantee is a coverage of 1 - 2 alpha.

    Yields
    ------
    rows : slice
        Which rows.
    intervals : ndarray of shape (n_chunk, 2)
        Infinite where the level asks for more rows than there are.
    """
    shares = out_of_bag / out_of_bag.sum(axis=0)
    weights = weights if whole(weights) else weights / weights.mean()
    for rows, said in members:
        intervals = np.empty((len(said), 2))
        for some in chunk_slices(len(said), 40 * len(residuals)):
            centres = said[some] @ shares
            intervals[some, 0] = -_weighted_rank(residuals - centres, weights, 1 - alpha)
            intervals[some, 1] = _weighted_rank(centres + residuals, weights, 1 - alpha)
        yield rows, intervals


def _weighted_rank(values, weights, level):
    """Return the ceil(level (n + 1))-th smallest value of each row, n being the sum of weights."""
    place = np.ceil(level * (weights.sum() + 1) - 1e-9)
    if place > weights.sum():
        return np.full(len(values), np.inf)
    if np.all(weights == 1):
        return np.partition(values, int(place) - 1, axis=1)[:, int(place) - 1]
    order = np.argsort(values, axis=1)
    at = (np.cumsum(weights[order], axis=1) >= place - 1e-9).argmax(axis=1)
    rows = np.arange(len(values))
    return values[rows, order[rows, at]]


def entropies(members):
    """Yield slices of rows and their uncertainty, split within and between members (Depeweg et al. 2018).

    Parameters
    ----------
    members : iterable of (slice, ndarray of shape (n_chunk, n_members, n_classes))
        The shares that each member gives.

    Yields
    ------
    rows : slice
        Which rows.
    parts : ndarray of shape (3, n_chunk)
        In nats: of the mean, the mean of the members', and the difference.
    """
    for rows, said in members:
        total, within = _entropy(said.mean(axis=1)), _entropy(said).mean(axis=1)
        yield rows, np.stack([total, within, np.maximum(total - within, 0.0)])


def _entropy(shares):
    return np.abs((shares * np.log(np.where(shares > 0, shares, 1.0))).sum(axis=-1))


def leaf_pairs(forest, codes, others, n_threads):
    """Return in which share of the trees rows share a leaf.

    Parameters
    ----------
    forest : Forest
        Trees.
    codes, others : ndarray of shape (n_rows, n_features) and (n_others, n_features), uint8, C-contiguous
        Binned rows.
    n_threads : int
        How many threads walk.

    Returns
    -------
    proximity : ndarray of shape (n_rows, n_others)
        Between 0 and 1.
    """
    theirs = leaves(forest, others, n_threads)
    out = np.zeros((len(codes), len(others)))
    for rows in chunk_slices(len(codes), 9 * len(others)):
        ours = leaves(forest, codes[rows], n_threads)
        for t in range(forest.n_trees):
            out[rows] += ours[:, t, None] == theirs[None, :, t]
    return out / forest.n_trees
