"""What a forest of numbers knows beyond means: the whole conditional distribution, and intervals with a guarantee."""

from dataclasses import dataclass

import numpy as np
from sklearn import get_config

from skml.base import chunk_slices, require_memory
from skml.ensemble.grower import tame
from skml.ensemble.predictor import leaves
from skml.ensemble.sampling import copies_drawn, least, shares_out, times_drawn, whole

# Sums of weights reach a quantile up to so much rounding.
_SLACK = 1e-12
# Bytes that it takes to sort a pair of a new row and a training row in its leaf.
_PER_PAIR = 80


def quantiles(forest, held, codes, y, levels, n_threads):
    """Return quantiles of the conditional distribution (Meinshausen 2006, equations 4 to 6).

    Row i has the weight w_i(x), the mean over trees of its share of the leaf that x falls in; the quantile is the
    least y whose rows up to it weigh at least the level.

    Parameters
    ----------
    forest : Forest
        Of numbers.
    held : LeafRows
        The training rows in its leaves.
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
    ranks, ordered = _ranks(y)
    for rows in chunk_slices(len(codes), 8 * forest.n_trees):
        found = leaves(forest, codes[rows], n_threads)
        for part in _small_parts(np.diff(held.starts)[found].sum(axis=1), y.shape[1]):
            at, shares, owner = _weights(held, found[part], y.shape[1])
            for o in range(len(y)):
                keys = owner * y.shape[1] + ranks[o, at]
                order = np.argsort(keys, kind="stable")
                asked = (keys[order], shares[order], part.stop - part.start, ordered[o], levels)
                out[rows.start + part.start : rows.start + part.stop, o] = _reached(*asked)
    return out


def _small_parts(sizes, n_train):
    """Yield slices of new rows, as many as fit in memory with the training rows that share their leaves.

    One that shares leaves with more rows than there are, counted by tree, is a part by itself.
    """
    room = get_config()["working_memory"] * 2**20 / _PER_PAIR
    begin, used = 0, 0
    for i, size in enumerate(sizes.tolist()):
        if i > begin and (used + size > room or max(size, sizes[i - 1]) > n_train):
            yield slice(begin, i)
            begin, used = i, 0
        used += size
    yield slice(begin, len(sizes))


def _weights(held, found, n_train):
    """Return the training rows in the leaves of new rows, the shares that they have there, and whose they are."""
    begins, sizes = held.starts[found], np.diff(held.starts)[found]
    if len(found) == 1 and sizes.sum() > n_train:  # summed over the trees as they come
        total = np.zeros(n_train)
        for begin, size in zip(begins[0], sizes[0]):
            total[held.rows[begin : begin + size]] += held.shares[begin : begin + size]
        at = np.flatnonzero(total)
        return at, total[at], np.zeros(len(at), int)
    begins, sizes = begins.ravel(), sizes.ravel()
    ends = np.cumsum(sizes)
    at = np.arange(ends[-1]) + np.repeat(begins - (ends - sizes), sizes)
    return held.rows[at], held.shares[at], np.repeat(np.repeat(np.arange(len(found)), found.shape[1]), sizes)


def _ranks(y):
    order = np.argsort(y, axis=1, kind="stable")
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(y.shape[1])[None], axis=1)
    return ranks, np.take_along_axis(y, order, axis=1)


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


def deviations(forest, held, codes, y, means, n_threads):
    """Return the standard deviation of the conditional distribution whose weights `quantiles` uses.

    Parameters
    ----------
    forest : Forest
        Of numbers.
    held : LeafRows
        The training rows in its leaves.
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
    y, power = tame(y)
    means = np.ldexp(means, -power)
    centres, spread = np.empty((2, len(y), len(held.starts) - 1))
    for number in range(forest.n_trees):
        some = slice(forest.leaf_starts[number], forest.leaf_starts[number + 1])
        sizes, here = np.diff(held.starts)[some], slice(*held.starts[[some.start, some.stop]])
        leaf = np.repeat(np.arange(len(sizes)), sizes)
        for values, centre, square in zip(y[:, held.rows[here]], centres[:, some], spread[:, some]):
            centre[:] = np.bincount(leaf, values * held.shares[here], minlength=len(sizes))
            square[:] = np.bincount(leaf, (values - centre[leaf]) ** 2 * held.shares[here], minlength=len(sizes))
    out = np.empty(means.shape)
    for part in chunk_slices(len(codes), 24 * forest.n_trees * len(y)):
        found = leaves(forest, codes[part], n_threads)
        for o in range(len(y)):
            squares = spread[o][found] + (centres[o][found] - means[part, o, None]) ** 2
            out[part, o] = np.sqrt(squares.mean(axis=1))
    return np.ldexp(out, power)


@dataclass(frozen=True)
class Draws:
    """How often each bag draws each training row.

    Attributes
    ----------
    times : ndarray of shape (n_members, n_train), int
        In the smallest type that holds them.
    copies : ndarray of shape (n_train,)
        How many copies each row has.
    """

    times: np.ndarray
    copies: np.ndarray

    def means_outside(self, said):
        """Return the means of what members say that have not seen each training row, those with some copies in part.

        Parameters
        ----------
        said : ndarray of shape (n_new, n_members)
            What they say of new rows.

        Returns
        -------
        means : ndarray of shape (n_new, n_train)
            0 for training rows that all have seen.
        """
        means = np.empty((len(said), len(self.copies)))
        for some in chunk_slices(len(self.copies), 24 * len(self.times)):
            missed = shares_out(self.times[:, some], self.copies[some])
            total = missed.sum(axis=0)
            means[:, some] = said @ (missed / np.where(total > 0, total, 1.0))
        return means


def draws(bagging, n_members):
    """Return how often each bag draws each row.

    Parameters
    ----------
    bagging : Bagging
        How bags are drawn.
    n_members : int
        How many there are.

    Returns
    -------
    draws : Draws
        What :func:`jackknife_plus` asks for.
    """
    require_memory(2 * n_members * len(bagging.weights), "What is in each bag")
    times = np.stack([least(times_drawn(bagging, number)) for number in range(n_members)])
    return Draws(times, copies_drawn(bagging))


def jackknife_plus(members, draws, residuals, weights, alpha):
    """Yield slices of rows and their intervals by the jackknife+ after bootstrap (Kim, Xu & Barber 2020).

    For each training row i, mu_i(x) is the mean of the members whose bags miss i; the interval reaches from the
    floor(alpha (n + 1))-th smallest of mu_i(x) - R_i to the ceil((1 - alpha)(n + 1))-th smallest of mu_i(x) + R_i. Of
    rows with copies mu_i is the mean over them, each bag's draws spread over the copies in all ways.

    Parameters
    ----------
    members : iterable of (slice, ndarray of shape (n_chunk, n_members))
        What members say of new rows.
    draws : Draws
        How often bags draw training rows.
    residuals : ndarray of shape (n_train,)
        R_i: the absolute error of mu_i at its own row; rows that are in all bags, whose is NaN, are left out.
    weights : ndarray of shape (n_train,)
        How often each row counts; what isn't whole is relative to the mean.
    alpha : float
        Half of what may be missed at most: the guarantee is a coverage of 1 - 2 alpha.

    Yields
    ------
    rows : slice
        Which rows.
    intervals : ndarray of shape (n_chunk, 2)
        Infinite where the level asks for more rows than there are; ends that cross, as with alpha near 1, are swapped.
    """
    usable = ~np.isnan(residuals)
    residuals, weights = residuals[usable], weights[usable]
    weights = weights if whole(weights) else weights / weights.mean()
    for rows, said in members:
        intervals = np.empty((len(said), 2))
        for some in chunk_slices(len(said), 56 * len(usable)):
            centres = draws.means_outside(said[some])[:, usable]
            intervals[some, 0] = -_weighted_rank(residuals - centres, weights, 1 - alpha)
            intervals[some, 1] = _weighted_rank(centres + residuals, weights, 1 - alpha)
        intervals.sort(axis=1)  # where alpha is near 1 they may have crossed: none was inside, now some are
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
