"""Interactions as rows, and as a matrix of users x items: what becomes of duplicates, and how one turns into the other.

Both directions are exact: a stored zero is a rating, and what is missing stays missing.
"""

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from sklearn.utils import assert_all_finite, check_array, check_consistent_length, column_or_1d

from skml.base import check_sparse_structure
from skml.recommendation.ids import as_objects, encode, is_numeric, look_up, loses
from skml.recommendation.ratings import Ratings, build_ratings, compressed, pair_order
from skml.recommendation.tables import ITEMS, USERS, as_table, column_of, is_frame, shape_of

LARGEST = np.iinfo(np.int32).max

_LARGEST_SUM = {4: 1e30, 8: 1e300}  # of weights, by the bytes of their type; the least weight is its inverse


class RatingsMatrix(NamedTuple):
    """Ratings as a sparse matrix, and who its rows and columns are.

    Attributes
    ----------
    matrix : scipy.sparse.csr_array of shape (n_users, n_items)
        Unstored entries are missing; a stored 0 is a rating.
    user_ids : ndarray of shape (n_users,)
        The users of the rows.
    item_ids : ndarray of shape (n_items,)
        The items of the columns.
    """

    matrix: sp.csr_array
    user_ids: np.ndarray
    item_ids: np.ndarray


def interactions(R, *, user_ids=None, item_ids=None):
    """Return the ratings of a matrix as interactions, one row each.

    Parameters
    ----------
    R : array-like, DataFrame or sparse matrix of shape (n_users, n_items)
        Dense with NaN for missing ratings, or sparse with the known ones stored. Entries stored twice are added up,
        as scipy means them.
    user_ids : array-like of shape (n_users,) or None, default=None
        The users of the rows; None means a pandas DataFrame's index, else 0, 1, 2...
    item_ids : array-like of shape (n_items,) or None, default=None
        The items of the columns; None means a DataFrame's column names, else 0, 1, 2...

    Returns
    -------
    X : ndarray of shape (n_ratings, 2)
        User and item of each rating, by row and then column of R; an array of objects if the ids need it.
    y : ndarray of shape (n_ratings,)
        The ratings, of R's type.

    Raises
    ------
    ValueError
        If R is no matrix, or ids do not fit it.

    See Also
    --------
    ratings_matrix : The way back.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.recommendation import interactions
    >>> X, y = interactions([[5.0, np.nan], [0.0, 1.0]], item_ids=["tea", "milk"])
    >>> X.tolist(), y.tolist()
    ([[0, 'tea'], [1, 'tea'], [1, 'milk']], [5.0, 0.0, 1.0])
    """
    own = matrix_ids(R)
    R = sorted_matrix(R)
    users = own[0] if user_ids is None else _checked_ids(user_ids, R.shape[0], "user_ids", "rows")
    items = own[1] if item_ids is None else _checked_ids(item_ids, R.shape[1], "item_ids", "columns")
    rows = np.repeat(np.arange(R.shape[0]), np.diff(R.indptr))
    return _side_by_side(users[rows], items[R.indices]), R.data.copy()


def ratings_matrix(X, y, *, user_ids=None, item_ids=None, duplicates="error"):
    """Return interactions as a sparse matrix of users x items.

    Parameters
    ----------
    X : array-like or DataFrame of shape (n_ratings, n_columns)
        Users in column 0, items in column 1; further columns are not looked at.
    y : array-like of shape (n_ratings,)
        Ratings.
    user_ids : array-like of shape (n_users,) or None, default=None
        Who the rows are, in this order, with or without ratings; None means the users of X, sorted.
    item_ids : array-like of shape (n_items,) or None, default=None
        Who the columns are; None means the items of X, sorted.
    duplicates : {"error", "mean", "last", "sum"}, default="error"
        What becomes of several ratings of an item by a user.

    Returns
    -------
    ratings : RatingsMatrix
        ``matrix``, ``user_ids`` and ``item_ids``.

    Raises
    ------
    ValueError
        If X is no table, y is not finite, ids do not hold all of X's, or there are duplicates and `duplicates` is
        "error".

    See Also
    --------
    interactions : The way back.

    Examples
    --------
    >>> from skml.recommendation import ratings_matrix
    >>> matrix, users, items = ratings_matrix([["ann", 7], ["bob", 3], ["ann", 3]], [5, 2, 0])
    >>> users.tolist(), items.tolist(), matrix.nnz
    (['ann', 'bob'], [3, 7], 3)
    """
    if duplicates not in ("error", "mean", "last", "sum"):
        raise ValueError(f"duplicates must be 'error', 'mean', 'last' or 'sum', got {duplicates!r}.")
    table = as_table(X)
    if len(shape_of(table)) != 2 or shape_of(table)[1] < 2:
        raise ValueError(f"X must have two columns or more, user and item, got shape {shape_of(table)}.")
    y = column_or_1d(check_array(y, ensure_2d=False, dtype=None, ensure_all_finite=False, input_name="y"))
    y = y if is_numeric(y) and y.dtype.kind != "b" else y.astype(np.float64)
    assert_all_finite(y, input_name="y")
    check_consistent_length(table if not isinstance(table, list) else table[0], y)
    require_small(len(y))
    user_ids, users = _coded(column_of(table, 0), user_ids, USERS, "user_ids")
    item_ids, items = _coded(column_of(table, 1), item_ids, ITEMS, "item_ids")
    shape = (len(user_ids), len(item_ids))
    ratings = merged(users, items, y, None, shape, duplicates)
    matrix = sp.csr_array((ratings.data, ratings.indices, ratings.indptr), shape=shape)
    return RatingsMatrix(matrix, user_ids, item_ids)


def _coded(column, wanted, name, parameter):
    if wanted is None:
        return encode(column, name)
    ids = _checked_ids(wanted, None, parameter, "")
    codes = look_up(column, ids, name)
    if len(codes) and codes.min() < 0:
        row = int(np.argmin(codes))
        raise ValueError(f"{name} hold ids that {parameter} doesn't have, the first of them in row {row}.")
    return ids, codes


def _checked_ids(ids, size, name, what):
    ids = np.asarray(ids) if hasattr(ids, "dtype") else _from_list(list(ids))
    if ids.ndim != 1 or (size is not None and len(ids) != size):
        raise ValueError(f"{name} must hold one id for each of {size} {what}, got shape {ids.shape}.")
    if len(encode(ids, name)[0]) < len(ids):
        raise ValueError(f"{name} must be distinct.")
    return ids


def _from_list(ids):
    array = np.asarray(ids) if all(isinstance(value, (int, float, np.number)) for value in ids) else np.empty(0, "O")
    return array if is_numeric(array) else as_objects(ids)


def _side_by_side(users, items):
    if is_numeric(users) and is_numeric(items) and not loses(users, items):
        return np.stack([users, items], axis=1)
    X = np.empty((len(users), 2), dtype=object)
    X[:, 0], X[:, 1] = as_objects(users.tolist()), as_objects(items.tolist())
    return X


def matrix_ids(R):
    """Return the ids of a matrix's rows and columns: a frame's index and column names, else 0, 1, 2..."""
    if not (sp.issparse(R) or hasattr(R, "shape")):
        R = np.asarray(R)
    refuse_large(R)
    n_rows, n_columns = R.shape if len(R.shape) == 2 else (0, 0)
    users, items = np.arange(n_rows), np.arange(n_columns)
    if not is_frame(R):
        return users, items
    if hasattr(R, "index"):
        users = _checked_ids(R.index.tolist(), n_rows, "The index of R", "rows")
    return users, _checked_ids(list(R.columns), n_columns, "The column names of R", "columns")


def sorted_matrix(R):
    """Return ratings as CSR with sorted 32-bit indices; entries stored twice are added up, as scipy means them."""
    if sp.issparse(R):
        check_sparse_structure(R)
        require_small(R.nnz, *R.shape)
        R = sp.csr_array(R)
        if not R.has_canonical_format:
            R = R.copy()
            R.sum_duplicates()
        indices, indptr = R.indices.astype(np.int32, copy=False), R.indptr.astype(np.int32, copy=False)
        return sp.csr_array((R.data, indices, indptr), shape=R.shape)
    R = check_array(R, dtype="numeric", ensure_all_finite="allow-nan", input_name="R")
    known = ~np.isnan(R)
    require_small(int(known.sum()), *R.shape)
    indptr = np.append(0, np.cumsum(known.sum(axis=1))).astype(np.int32)
    return sp.csr_array((R[known], np.nonzero(known)[1].astype(np.int32), indptr), shape=R.shape)


def require_small(n_interactions, n_users=0, n_items=0):
    """Raise a ValueError unless the counts fit the 32-bit integers that the kernels use."""
    for size, what in ((n_interactions, "interactions"), (n_users, "users"), (n_items, "items")):
        if size > LARGEST:
            raise ValueError(f"There may be up to {LARGEST:,} {what} (32-bit indices), got {size:,}.")


def weights_of_type(weights, dtype):
    """Return weights in a type in which they are ordinary numbers: none but 0 becomes 0, and sums over rows stay so."""
    dtype = np.dtype(dtype)
    largest = _LARGEST_SUM[dtype.itemsize]
    small = (weights > 0) & (weights < 1 / largest)
    if small.any() or not weights.sum(dtype=np.float64) <= largest:
        row = int(np.argmax(small if small.any() else weights))
        size = "small" if small.any() else "large"
        raise ValueError(
            f"sample_weight holds {weights[row]:g} in place {row}, too {size} for sums in {dtype}; bring weights near 1"
        )
    return weights.astype(dtype, copy=False)


def refuse_large(R):
    """Raise a ValueError if a matrix has more rows or columns than 32-bit integers count."""
    if len(getattr(R, "shape", ())) == 2:
        require_small(0, *R.shape)


# ----------------------------------------------------------------------------------------------- duplicates


def merged(users, items, y, weights, shape, duplicates):
    """Return ratings in which each pair of user and item occurs once.

    Parameters
    ----------
    users, items : ndarray of shape (n_rows,), int32
        Codes.
    y : ndarray of shape (n_rows,)
        Ratings.
    weights : ndarray of shape (n_rows,) or None
        Positive; None means 1.
    shape : (int, int)
        How many users and items there are.
    duplicates : {"mean", "last", "sum", "error"}
        The rule: the weighted mean, with the weights added; the last row and its weight; the sum of ratings, with the
        mean weight; or a ValueError.

    Returns
    -------
    ratings : Ratings
        By user.
    """
    order = pair_order(users, items, shape)
    u, i = users[order], items[order]
    first = np.append(True, (u[1:] != u[:-1]) | (i[1:] != i[:-1])) if len(order) else np.empty(0, bool)
    if first.all():
        return compressed(u, i, y[order], None if weights is None else weights[order], shape)
    if duplicates == "error":
        k = int(np.argmin(first))
        raise ValueError(
            f"Rows {order[k - 1]} and {order[k]} rate the same item for the same user (of the rows of positive weight, "
            "counted from 0); duplicates='mean', 'last' or 'sum' would merge them."
        )
    starts = np.flatnonzero(first)
    if duplicates == "last":
        kept = order[np.append(starts[1:], len(order)) - 1]
        return compressed(u[starts], i[starts], y[kept], None if weights is None else weights[kept], shape)
    values, totals = _pooled(y[order], None if weights is None else weights[order], starts, duplicates)
    return compressed(u[starts], i[starts], values, totals, shape)


def _pooled(y, weights, starts, duplicates):
    dtype = y.dtype if y.dtype.kind == "f" else np.float64
    weights = np.ones(len(y)) if weights is None else weights.astype(np.float64)
    counts = np.diff(np.append(starts, len(y)))
    totals = np.add.reduceat(weights, starts)
    if duplicates == "sum":
        values = np.add.reduceat(y.astype(np.float64), starts)
        return values.astype(dtype), (totals / counts).astype(dtype)
    deviations = y - np.repeat(y[starts].astype(np.float64), counts)  # so that the mean of equal ratings is exact
    values = y[starts] + np.add.reduceat(weights * deviations, starts) / totals
    return values.astype(dtype), totals.astype(dtype)


def joined(old, new, duplicates):
    """Return earlier and later ratings of the same users and items as one, duplicates merged by their rule.

    Parameters
    ----------
    old, new : Ratings
        Of equal shape.
    duplicates : {"mean", "last", "sum", "error"}
        As for :func:`merged`.

    Returns
    -------
    ratings : Ratings
        By user.
    """
    both = (old, new)
    users, items = (np.concatenate([part for part in parts]) for parts in zip(*((r.rows(), r.indices) for r in both)))
    y = np.concatenate([ratings.data for ratings in both])
    weighted = any(ratings.weights is not None for ratings in both)
    weights = np.concatenate([ratings.filled_weights() for ratings in both]) if weighted else None
    return merged(users, items, y, weights, (old.n_rows, old.n_columns), duplicates)


def moved(ratings, user_places, item_places, shape):
    """Return ratings whose users and items have got other codes."""
    users, items = user_places[ratings.rows()], item_places[ratings.indices]
    return build_ratings(users, items, ratings.data, ratings.weights, shape)


def confidence(ratings):
    """Return ratings whose weights have been multiplied into their data."""
    if ratings.weights is None:
        return ratings
    return Ratings(ratings.indptr, ratings.indices, ratings.data * ratings.weights, None, ratings.n_columns)
