"""How alike items are by who rated them, or users by what they rated: the largest similarities, as sparse rows.

For two items i and j with the users U who rated both (for two users: turn the interactions round), each with the
weight g = sqrt(w_ui w_uj), so that a user whose interactions all weigh k counts as k such users:

- cosine, missing ratings unknown: sum_U g r_ui r_uj / sqrt(sum_U g r_ui^2 sum_U g r_uj^2)
- cosine, missing ratings zero (Sarwar et al. 2001): the same, but both sums of squares over all who rated the item
- adjusted cosine (Sarwar et al. 2001): the cosine of r_ui less the mean rating of the user
- Pearson (Herlocker et al. 1999): the correlation over U, whose means are taken over U as well
- Pearson about baselines (Koren 2010): the cosine of what a baseline leaves of the ratings
- Jaccard: sum_U g / (w_i + w_j - sum_U g), where w_i is the weight of all who rated i

Each is then shrunk, by significance: n / (n + shrinkage) with n = sum_U g (Koren 2010, eq. 4). Where a norm is 0, so
is the similarity.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from skml import _kernels
from skml.recommendation.ratings import Ratings, power_of_two
from skml.recommendation.slices import threads_for, work_slices

_KINDS = {"product": 0, "zero": 1, "jaccard": 2, "cosine": 3, "adjusted_cosine": 3, "pearson": 4}
_PAIRS_PER_CALL = 1.5e7  # of entries, per thread: below half a second
_PER_PAIR = 10  # multiplications that take as long as a pair
_PAIRS_PER_RESULT = 10  # what ranking a similarity takes
_ENTRIES_PER_CALL = 2e6  # room for results
_NOTHING = np.empty(0)


@dataclass(frozen=True)
class Measure:
    """What is called similar.

    Attributes
    ----------
    metric : {"cosine", "pearson", "adjusted_cosine", "jaccard", "product"}
        As the head of this file has it; "product" is sum_U g r_ui r_uj.
    missing : {"unknown", "zero"}
        What ratings that are not there mean to the cosine.
    shrinkage : float
        The weight of common raters at which half of a similarity is believed.
    min_support : float
        The least weight of common raters.
    n_kept : int or None
        How many are kept per row, of equal ones the lower; None keeps all.
    negative : bool
        Whether similarities below 0 are kept and ranked by their absolute value.
    """

    metric: str = "cosine"
    missing: str = "unknown"
    shrinkage: float = 0.0
    min_support: float = 0.0
    n_kept: int | None = None
    negative: bool = False

    @property
    def kind(self):
        """The kernel's number for it."""
        zero = self.metric == "cosine" and self.missing == "zero"
        return _KINDS["zero" if zero else self.metric]


_PRODUCTS = Measure("product", negative=True)


def similarities(ratings, measure, n_threads=1):
    """Return the similarities of items.

    Parameters
    ----------
    ratings : Ratings
        Interactions by user; turned round (``ratings.flipped()[0]``), users are compared.
    measure : Measure
        What is called similar.
    n_threads : int, default=1
        It does not show in the result.

    Returns
    -------
    similar : csr_array of shape (n_items, n_items)
        Of the ratings' type and int32 indices, ascending within a row; no item is its own neighbour.
    """
    by_user = compared(ratings, measure.metric)
    return _nearest(by_user.flipped()[0], by_user, measure, True, n_threads)


def similarities_to(ratings, known, measure, n_threads=1):
    """Return the similarities of new users to known ones.

    Parameters
    ----------
    ratings : Ratings
        Interactions of new users, by user.
    known : Ratings
        Interactions of known users, by user, with the same items.
    measure : Measure
        As the known users were compared with each other, by ``similarities(known.flipped()[0], measure)``.
    n_threads : int, default=1
        It does not show in the result.

    Returns
    -------
    similar : csr_array of shape (n_new_users, n_known_users)
        A new user has no likeness of themselves to leave out: the copy of a known one is most similar to it.
    """
    by_item = compared(known.flipped()[0], measure.metric)
    return _nearest(_as_compared(ratings, known, measure.metric), by_item, measure, False, n_threads)


def gram(ratings, n_threads=1):
    """Return the products of items' weighted columns, X^T X with X = sqrt(w) r, the diagonal included.

    Parameters
    ----------
    ratings : Ratings
        Interactions by user.
    n_threads : int, default=1
        It does not show in the result.

    Returns
    -------
    products : csr_array of shape (n_items, n_items)
        float64; what is 0 is not stored.
    """
    by_user, by_item = _in_double(ratings)
    return _nearest(by_item, by_user, _PRODUCTS, False, n_threads)


def dense_gram(ratings, n_threads=1):
    """Return :func:`gram` as a dense array, without a sparse one in between.

    Parameters
    ----------
    ratings : Ratings
        Interactions by user.
    n_threads : int, default=1
        It does not show in the result.

    Returns
    -------
    products : ndarray of shape (n_items, n_items)
        float64.
    """
    by_user, by_item = _in_double(ratings)
    products = np.zeros((ratings.n_columns, ratings.n_columns))
    for rows, counts, indices, data in _chunks(by_item, by_user, _PRODUCTS, False, n_threads):
        products[np.repeat(np.arange(rows.start, rows.stop), counts), indices] = data
    return products


def _in_double(ratings):
    """Return interactions by user and by item in double precision."""
    weights = None if ratings.weights is None else ratings.weights.astype(np.float64)
    data = ratings.data.astype(np.float64)
    by_user = Ratings(ratings.indptr, ratings.indices, data, weights, ratings.n_columns)
    return by_user, by_user.flipped()[0]


def compared(ratings, metric):
    """Return interactions whose ratings are what a metric compares columns by.

    Parameters
    ----------
    ratings : Ratings
        Interactions by user.
    metric : str
        Of :class:`Measure`.

    Returns
    -------
    compared : Ratings
        Less the users' means for the adjusted cosine; less the items' means for Pearson, which doesn't change it but
        keeps its sums exact.
    """
    if metric == "adjusted_cosine":
        return ratings.with_data(less(ratings.data, ratings.row_means()[ratings.rows()]))
    if metric == "pearson":
        return ratings.with_data(less(ratings.data, ratings.flipped()[0].row_means()[ratings.indices]))
    return ratings


def _as_compared(ratings, known, metric):
    """Return new users' interactions as :func:`compared` makes those of known users, which are columns there."""
    if metric == "adjusted_cosine":
        return ratings.with_data(less(ratings.data, known.flipped()[0].row_means()[ratings.indices]))
    if metric == "pearson":
        return ratings.with_data(less(ratings.data, ratings.row_means()[ratings.rows()]))
    return ratings


def less(data, centers):
    """Return ratings less their centres, exactly 0 where the difference is but rounding.

    Parameters
    ----------
    data : ndarray of shape (n_interactions,)
        The ratings.
    centers : ndarray of shape (n_interactions,)
        float64.

    Returns
    -------
    left : ndarray of shape (n_interactions,)
        Of data's type.
    """
    left = data - centers
    left[np.abs(left) <= 1e-13 * np.abs(centers)] = 0  # a constant rater has no opinion, however it is rounded
    return left.astype(data.dtype, copy=False)


def largest(similar, n):
    """Return the n largest of each row, of equal ones the lower column first.

    Parameters
    ----------
    similar : Ratings
        Similarities, by row.
    n : int
        How many.

    Returns
    -------
    columns : ndarray of shape (n_rows, n), int32
        -1 where none is left.
    values : ndarray of shape (n_rows, n)
        NaN where none is left.
    """
    rows = similar.rows()
    order = np.lexsort((similar.indices, -similar.data, rows))
    places = np.arange(len(rows)) - similar.indptr[:-1][rows]
    kept = places < n
    columns = np.full((similar.n_rows, n), -1, np.int32)
    values = np.full(columns.shape, np.nan, similar.data.dtype)
    columns[rows[kept], places[kept]] = similar.indices[order][kept]
    values[rows[kept], places[kept]] = similar.data[order][kept]
    return columns, values


def shares(ratings, one, other, metric):
    """Return what share each common item has in the similarity of two users, in the sum over U of the metric.

    Parameters
    ----------
    ratings : Ratings
        By user, as the metric compares them.
    one, other : int
        The users.
    metric : str
        Of :class:`Measure`.

    Returns
    -------
    items : ndarray of shape (n_common,), int32
        Ascending.
    shares : ndarray of shape (n_common,)
        float64; they add up to 1. Items that make the two unlike have negative ones.
    """
    parts = [slice(ratings.indptr[row], ratings.indptr[row + 1]) for row in (one, other)]
    found = np.intersect1d(*(ratings.indices[part] for part in parts), assume_unique=True, return_indices=True)
    items, rows = found[0], [np.arange(part.start, part.stop)[at] for part, at in zip(parts, found[1:])]
    a, b = (ratings.data[row].astype(np.float64) for row in rows)
    g = np.sqrt(np.prod([ratings.filled_weights()[row].astype(np.float64) for row in rows], axis=0))
    if metric == "pearson":
        a, b = a - np.average(a, weights=g), b - np.average(b, weights=g)
    terms = g if metric == "jaccard" else g * a * b
    total = terms.sum()
    return items, terms / total if total else np.full(len(items), 1 / len(items))


def _nearest(left, right, measure, same, n_threads):
    """Return the rows of `right`, given by column, that are most similar to each row of `left`."""
    chunks = list(_chunks(left, right, measure, same, n_threads))
    return _joined(chunks, (left.n_rows, right.n_columns), left.data.dtype)


def _chunks(left, right, measure, same, n_threads):
    """Yield (rows, counts, indices, data) of consecutive rows of :func:`_nearest`."""
    n_kept = min(right.n_columns, measure.n_kept or right.n_columns)
    if measure.metric != "product":
        left, right = _in_unit(left), _in_unit(right)
    left_size = _sizes(left.rows(), left, left.n_rows, measure.kind)
    right_size = _sizes(right.indices, right, right.n_columns, measure.kind)
    parts = (*_with_roots(left), *_with_roots(right), left_size, right_size)
    plan = (measure.kind, measure.shrinkage, measure.min_support, measure.negative)
    pairs = np.append(0, np.cumsum(np.diff(right.indptr)[left.indices], dtype=np.float64))
    pairs = np.diff(pairs[left.indptr])
    work = pairs + _PAIRS_PER_RESULT * np.minimum(pairs, right.n_columns)
    n_threads = threads_for(_PER_PAIR * work.sum(), n_threads)
    work = np.maximum(work, n_kept * _PAIRS_PER_CALL / _ENTRIES_PER_CALL)
    for rows in work_slices(work, _PAIRS_PER_CALL * n_threads):
        indices = np.empty((rows.stop - rows.start, n_kept), dtype=np.int32)
        data, counts = np.empty(indices.shape, dtype=left.data.dtype), np.empty(len(indices), dtype=np.int32)
        _kernels.similarity.similar_rows(*parts, *plan, rows.start, same, indices, data, counts, n_threads)
        used = np.arange(n_kept) < counts[:, None]
        yield rows, counts, indices[used], data[used]


def _in_unit(ratings):
    """Return ratings in a unit of about their size, which no similarity depends on: squares of squares stay finite."""
    return ratings.with_data(ratings.data / ratings.data.dtype.type(power_of_two(ratings.data)))


def _joined(chunks, shape, dtype):
    _, counts, indices, data = zip(*chunks) if chunks else ((), (), (), ())
    indptr = np.append(0, np.cumsum(np.concatenate([_NOTHING, *counts]))).astype(np.int64)
    small = indptr.astype(np.int32 if indptr[-1] <= np.iinfo(np.int32).max else np.int64)
    indices = np.concatenate([np.empty(0, dtype=small.dtype), *indices])
    return sp.csr_array((np.concatenate([np.empty(0, dtype=dtype), *data]), indices, small), shape=shape)


def _with_roots(ratings):
    indptr, indices, data, weights = ratings.arrays()
    return indptr, indices, data, np.sqrt(weights)


def _sizes(codes, ratings, n, kind):
    """Return, per code, the weighted sum of squares of the ratings for the cosine, their weight for Jaccard."""
    terms = ratings.filled_weights() * (ratings.data.astype(np.float64) ** 2 if kind == _KINDS["zero"] else 1.0)
    return np.bincount(codes, terms, minlength=n).astype(np.float64)  # of no codes it would be of integers
