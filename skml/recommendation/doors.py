"""The two doors: interactions with their ratings, or a matrix of users x items, read into the same rows of codes."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from sklearn.utils import assert_all_finite, check_array, check_consistent_length, column_or_1d
from sklearn.utils.validation import validate_data

from skml._dtypes import kept_dtype
from skml.base import validate_weights, validate_X, warn_caller
from skml.recommendation.ids import as_objects, encode, is_numeric, kind_of, look_up, other_kind
from skml.recommendation.interactions import (
    LARGEST,
    confidence,
    matrix_ids,
    merged,
    refuse_large,
    require_small,
    sorted_matrix,
    weights_of_type,
)
from skml.recommendation.ratings import Ratings
from skml.recommendation.tables import (
    ITEMS,
    TWO_DOORS,
    USERS,
    Table,
    as_column,
    as_table,
    column_of,
    features_of,
    has_row_names,
    refuse_times,
    shape_of,
)

# Types in which validation leaves an array: labels that are integers must not be rounded.
_KEPT = (np.float64, np.float32, np.bool_, *(np.dtype(char).type for char in np.typecodes["AllInteger"]))


@dataclass(frozen=True)
class Rows:
    """Training rows of positive weight, whichever door they came through.

    Attributes
    ----------
    user_ids, item_ids : ndarray
        Who the codes are.
    users, items : ndarray of shape (n_rows,), int32
        Codes.
    y : ndarray of shape (n_rows,), float32 or float64
        Ratings, or confidences.
    weights : ndarray of shape (n_rows,) of y's type, or None
        Positive.
    features : ndarray of shape (n_rows, n_features) of y's type
        What else the rows say.
    """

    user_ids: np.ndarray
    item_ids: np.ndarray
    users: np.ndarray
    items: np.ndarray
    y: np.ndarray
    weights: np.ndarray | None
    features: np.ndarray

    @property
    def shape(self):
        """How many users and items there are."""
        return len(self.user_ids), len(self.item_ids)


def door_of(X, y, implicit):
    """Return which door data comes through: "matrix" or "interactions"."""
    return "matrix" if y is None and (sp.issparse(X) or not implicit) else "interactions"


def warn_of_doors(X, y, door, uses_features):
    """Warn if training data looks as if the other door had been meant.

    Parameters
    ----------
    X : array-like, DataFrame or sparse matrix
        The data.
    y : array-like of shape (n_samples,) or None
        Ratings, or confidences.
    door : {"matrix", "interactions"}
        Which it comes through.
    uses_features : bool
        Whether columns of interactions after the second mean anything to the model.
    """
    if sp.issparse(X) or y is not None:
        return
    table = as_table(X)
    n_columns = shape_of(table)[1] if len(shape_of(table)) == 2 else 0
    if door == "matrix" and n_columns in (2, 3) and _are_whole(table):
        shape = " x ".join(map(str, shape_of(table)))
        warn_caller(f"Without y, X is taken for a matrix of {shape} ratings, yet it looks like {_AS_ROWS}", UserWarning)
    if door == "interactions" and n_columns > 2 and (not uses_features or _has_names(X)):
        warn_caller(f"With implicit feedback and no y, a dense X is taken for interactions: {_AS_MATRIX}", UserWarning)


_AS_ROWS = (
    "interactions, rows of user and item: give their ratings as y, fit(X[:, :2], ratings), or take "
    'feedback="implicit". A matrix may be given as interactions too, fit(*interactions(R)), or sparse, without this '
    "warning."
)
_AS_MATRIX = (
    "its columns are users, items, and features, which mean nothing to this model or not what they look like. If it is "
    "a matrix, users x items, give it sparse, fit(scipy.sparse.csr_array(X)); else leave out all columns but the first "
    "two, or give y."
)


def _are_whole(table):
    """Tell whether the first columns could be ids: whole numbers, none missing, in more rows than there are columns."""
    n_rows, n_columns = shape_of(table)
    columns = [column_of(table, f) for f in range(n_columns)]
    if n_rows <= n_columns or not all(isinstance(one, np.ndarray) and is_numeric(one) for one in columns):
        return False
    return all(np.isfinite(one).all() for one in columns) and all(
        np.all((one >= 0) & (one == np.floor(one))) for one in columns[:2]
    )


def _has_names(X):
    """Tell whether X is a frame of numbers whose index are strings, as those of matrices are."""
    return has_row_names(X) and kind_of(np.asarray(X.index)) == "strings"


def read_rows(estimator, X, y, sample_weight, *, reset, implicit, dtype=None):
    """Validate training data of either door.

    Parameters
    ----------
    estimator : BaseEstimator or None
        Whose ``n_features_in_`` and ``feature_names_in_`` are set or compared; of interactions None compares nothing.
    X : array-like, DataFrame or sparse matrix
        Interactions, or a matrix of ratings.
    y : array-like of shape (n_samples,) or None
        Ratings, confidences, or None.
    sample_weight : array-like of shape (n_samples,), float or None
        Weights of X's rows.
    reset : bool
        Whether X defines the features.
    implicit : bool
        Whether y are confidences.
    dtype : dtype or None, default=None
        The type to work in; None means that of the data.

    Returns
    -------
    rows : Rows
        At least one.
    """
    if door_of(X, y, implicit) == "matrix":
        return _rows_of_matrix(estimator, X, sample_weight, reset, implicit, dtype)
    table = read_table(estimator, X, reset=reset)
    n_rows = len(table.users)
    require_small(n_rows)
    y, dtype = _ratings(y, n_rows, dtype or table.dtype, implicit)
    weights = _weights(sample_weight, np.empty((n_rows, 0)), dtype)
    kept = _kept(y, weights, implicit)
    user_ids, users = encode(table.users[kept], USERS)
    item_ids, items = encode(table.items[kept], ITEMS)
    features = table.features[kept].astype(dtype, copy=False)
    return Rows(user_ids, item_ids, users, items, y[kept], _at(weights, kept), features)


def _weights(sample_weight, X, dtype):
    weights = validate_weights(sample_weight, X, dtype=np.float64)
    return None if weights is None else weights_of_type(weights, dtype)


def _at(weights, kept):
    return None if weights is None else weights[kept]


def _kept(y, weights, implicit):
    """Return the rows that are there: those of positive weight and, if it is one, of positive confidence."""
    if not implicit:
        return slice(None) if weights is None else weights > 0
    if len(y) and y.min() < 0:
        raise ValueError(f"Confidences must not be negative, got {y.min():g} in row {int(np.argmin(y))}.")
    kept = y > 0 if weights is None else (y > 0) & (weights > 0)
    if not kept.any():
        raise ValueError("There are no interactions of positive confidence and weight.")
    return kept


def _ratings(y, n_rows, dtype, implicit):
    """Return ratings and the type to work in."""
    if y is None:
        dtype = dtype or np.dtype(np.float64)
        return np.ones(n_rows, dtype), dtype
    y = column_or_1d(y, warn=True)
    check_consistent_length(np.empty(n_rows), y)
    if y.dtype.kind == "c":
        raise ValueError("Complex data not supported: y must hold real numbers.")
    try:
        y = y if y.dtype.kind in "biuf" else as_objects(y.tolist()).astype(np.float64)
    except (TypeError, ValueError):
        raise ValueError("y must hold numbers, the ratings; it holds strings or objects.") from None
    assert_all_finite(y, input_name="y")
    dtype = dtype or np.dtype(np.float32 if y.dtype == np.float32 else np.float64)
    with np.errstate(over="ignore"):
        y = y.astype(dtype)
    return _not_too_large(y, "y"), dtype


def _not_too_large(y, name):
    largest, limit = np.max(np.abs(y), initial=0), np.sqrt(np.finfo(y.dtype).max) / LARGEST
    if not largest <= limit:
        raise ValueError(f"{name} holds {largest:g}: sums of squares of ratings above {limit:.0e} leave {y.dtype}.")
    return y


# ------------------------------------------------------------------------------------------- interactions


def read_table(estimator, X, *, reset):
    """Validate interactions.

    Parameters
    ----------
    estimator : BaseEstimator or None
        Whose ``n_features_in_`` and ``feature_names_in_`` are set or compared; None compares nothing.
    X : array-like or DataFrame of shape (n_samples, n_columns)
        Users, items and features.
    reset : bool
        Whether X defines the features.

    Returns
    -------
    table : Table
        Ids are not yet looked at.
    """
    if np.ma.is_masked(X):
        raise ValueError("X is a masked array, whose mask would be ignored; leave out masked rows.")
    table = as_table(X)
    if isinstance(table, np.ndarray) and table.dtype.kind in "biufc":
        table = _checked_numbers(estimator, table, reset)
    else:
        _check_shape(table)
        refuse_times(table)
        _compare(estimator, table, reset)
    if shape_of(table)[1] < 2:
        raise ValueError(
            f"X has {shape_of(table)[1]} feature(s), but two are needed: a column of users and one of items."
        )
    dtype = _common_float(table)
    return Table(column_of(table, 0), column_of(table, 1), features_of(table, dtype or np.float64), dtype)


def _checked_numbers(estimator, X, reset):
    if X.ndim == 2 and X.dtype.kind == "f" and (lost := np.isnan(X)).any():
        row, column = np.argwhere(lost)[0]
        raise ValueError(f"Input X contains NaN, the first in row {row}, column {column}. {TWO_DOORS}")
    if estimator is None:
        return check_array(X, dtype=kept_dtype(X, _KEPT))
    return validate_X(estimator, X, reset=reset, dtype=_KEPT)


def _compare(estimator, table, reset):
    if estimator is not None:
        shown = table if not isinstance(table, list) else np.broadcast_to(np.empty((), object), shape_of(table))
        validate_data(estimator, shown, reset=reset, skip_check_array=True)


def _check_shape(table):
    shape = shape_of(table)
    if len(shape) != 2:
        raise ValueError(
            f"Expected 2D array, got {len(shape)}D array instead: X must be a table of user, item, features."
        )
    if min(shape) == 0:
        which, what = (0, "sample(s)") if shape[0] == 0 else (1, "feature(s)")
        raise ValueError(f"Found array with 0 {what} (shape={shape}) while a minimum of {1 + which} is required.")


def _common_float(table):
    """Return the type of an array, or of all columns, if it is float32 or float64."""
    if isinstance(table, np.ndarray):
        return table.dtype if table.dtype.kind == "f" else None
    dtypes = {getattr(column_of(table, f), "dtype", None) for f in range(shape_of(table)[1])}
    dtype = dtypes.pop()
    return dtype if not dtypes and dtype in (np.float32, np.float64) else None


def ask_codes(table, user_ids, item_ids):
    """Return the codes of a table's users and items, -1 for those that are unknown."""
    return known_codes(table.users, user_ids, USERS), known_codes(table.items, item_ids, ITEMS)


def known_codes(column, ids, name):
    """Return the codes of ids, -1 for those that are unknown, with a warning if by their type they cannot but be."""
    codes = look_up(column, ids, name)
    if words := other_kind(column, ids, codes):
        warn_caller(f"{name} {words}.", UserWarning)
    return codes


def _told_codes(column, item_ids, name):
    """Return the codes of items of histories, -1 for those that are unknown, with a warning if all are."""
    codes = look_up(column, item_ids, name)
    if len(codes) and codes.max() < 0:
        words = other_kind(column, item_ids, codes) or f"({len(codes)}) are all unknown to training"
        warn_caller(f"{name} {words}: these people are taken for such of whom nothing is known.", UserWarning)
    return codes


# -------------------------------------------------------------------------------------------------- matrix


def read_matrix(estimator, R, *, reset, dtype=None):
    """Validate a matrix of ratings.

    Parameters
    ----------
    estimator : BaseEstimator
        Whose ``n_features_in_`` (items) and ``feature_names_in_`` are set or compared.
    R : array-like, DataFrame or sparse matrix of shape (n_users, n_items)
        Dense with NaN, or sparse with unstored entries, for what is missing.
    reset : bool
        Whether R defines the items.
    dtype : dtype or None, default=None
        The type to work in; None means that of R.

    Returns
    -------
    R : CSR array of shape (n_users, n_items)
        float32 or float64, stored zeros kept.
    """
    refuse_large(R)
    stored = getattr(R, "data", None) if sp.issparse(R) else None
    if isinstance(stored, np.ndarray) and stored.dtype.kind == "f" and np.isnan(stored).any():
        raise ValueError("R contains NaN as a stored entry; in a sparse matrix what is missing is not stored.")
    dtypes = (np.float64, np.float32) if dtype is None else (dtype,)
    R = validate_X(estimator, R, reset=reset, accept_sparse=True, allow_nan=not sp.issparse(R), dtype=dtypes)
    R = sorted_matrix(R)
    _not_too_large(R.data, "R")
    return R


def _rows_of_matrix(estimator, R, sample_weight, reset, implicit, dtype):
    user_ids, item_ids = matrix_ids(R)
    try:
        R = read_matrix(estimator, R, reset=reset, dtype=dtype)
    except ValueError as error:
        if "could not convert string" not in str(error):
            raise
        raise ValueError(f"Without y, X is taken for a matrix of ratings, but it holds strings. {TWO_DOORS}") from error
    users = np.repeat(np.arange(R.shape[0], dtype=np.int32), np.diff(R.indptr))
    weights = _weights(sample_weight, R, R.dtype)
    weights = None if weights is None else weights[users]
    kept = _kept(R.data, weights, implicit)
    y = R.data[kept]
    if len(y) == 0:
        raise ValueError("R holds no ratings: there are no interactions to learn from.")
    features = np.empty((len(y), 0), y.dtype)
    return Rows(user_ids, item_ids, users[kept], R.indices[kept], y, _at(weights, kept), features)


def matrix_histories(estimator, R, implicit, n_items):
    """Return the rows of a matrix as histories of people who need not be known.

    Parameters
    ----------
    estimator : BaseEstimator
        Fitted.
    R : array-like, DataFrame or sparse matrix of shape (n_people, n_items)
        As for the matrix door.
    implicit : bool
        Whether R holds confidences.
    n_items : int
        How many items are known.

    Returns
    -------
    ratings : Ratings
        A row for each; rows may be empty.
    """
    if estimator._door == "matrix":
        R = read_matrix(estimator, R, reset=False)
    else:
        refuse_large(R)
        allow = False if sp.issparse(R) else "allow-nan"
        dtype = kept_dtype(R, (np.float64, np.float32))
        R = check_array(R, dtype=dtype, accept_sparse="csr", ensure_all_finite=allow, input_name="R")
        R = sorted_matrix(R)
    if R.shape[1] != n_items and estimator._door != "matrix":
        raise ValueError(f"The matrix has {R.shape[1]} columns; expected {n_items}, one for each of item_ids_.")
    users = np.repeat(np.arange(R.shape[0], dtype=np.int32), np.diff(R.indptr))
    kept = _history_kept(R.data, implicit)
    # of items that came after the matrix nothing is said
    return merged(users[kept], R.indices[kept], R.data[kept], None, (R.shape[0], n_items), "error")


# ----------------------------------------------------------------------------------------------- histories


def frame_histories(frame, item_ids, implicit):
    """Return the rows of a frame, whose columns are named by items, as histories of people who need not be known.

    Parameters
    ----------
    frame : DataFrame of shape (n_people, n_columns)
        NaN for what is missing; columns in any order.
    item_ids : ndarray of shape (n_items,)
        Known items; others are left out.
    implicit : bool
        Whether the frame holds confidences.

    Returns
    -------
    ratings : Ratings
        A row for each; rows may be empty.
    """
    names = as_column(list(frame.columns), "The columns of histories")
    items = _told_codes(names, item_ids, "The columns of histories")
    if len(np.unique(names)) < len(names):
        raise ValueError("The columns of histories name an item twice.")
    dtype = kept_dtype(frame, (np.float64, np.float32))
    R = check_array(frame, dtype=dtype, ensure_all_finite="allow-nan", input_name="histories")
    R = sorted_matrix(R)
    _not_too_large(R.data, "histories")
    users = np.repeat(np.arange(R.shape[0], dtype=np.int32), np.diff(R.indptr))
    items = items[R.indices]
    kept = _history_kept(R.data, implicit) & (items >= 0)
    return merged(users[kept], items[kept], R.data[kept], None, (R.shape[0], len(item_ids)), "error")


def read_histories(histories, item_ids, dtype, implicit, duplicates):
    """Read what people who need not be known have said of items.

    Parameters
    ----------
    histories : sequence of dict or, with implicit feedback, of sequences
        For each person the ratings of items, ``{item: rating}``; or the items.
    item_ids : ndarray of shape (n_items,)
        Known items; others are left out.
    dtype : dtype
        float32 or float64.
    implicit : bool
        Whether ratings are confidences.
    duplicates : {"mean", "last", "sum", "error"}
        What becomes of an item named twice.

    Returns
    -------
    ratings : Ratings
        A row for each.
    """
    histories = list(histories)
    dicts = [hasattr(history, "items") and hasattr(history, "keys") for history in histories]
    if not (implicit or all(dicts)):
        raise ValueError(
            "Each of histories must be a dict {item: rating}: without ratings only implicit feedback goes."
        )
    if any(isinstance(history, (str, bytes)) or not hasattr(history, "__iter__") for history in histories):
        raise ValueError("histories must hold a dict {item: rating} or a list of items for each person.")
    told = [list(one.items()) if rated else [(item, 1.0) for item in one] for one, rated in zip(histories, dicts)]
    names = [name for pairs in told for name, _ in pairs]
    given = np.array([_rating(pair, person) for person, pairs in enumerate(told) for pair in pairs], dtype)
    assert_all_finite(given, input_name="histories")
    y = _not_too_large(given, "histories")
    items = _told_codes(as_column(names, "histories"), item_ids, "The items of histories")
    users = np.repeat(np.arange(len(histories), dtype=np.int32), [len(pairs) for pairs in told])
    kept = (items >= 0) & _history_kept(y, implicit)
    shape = (len(histories), len(item_ids))
    return merged(users[kept], items[kept], y[kept], None, shape, duplicates)


def _rating(pair, person):
    item, rating = pair
    try:
        return float(rating)
    except (TypeError, ValueError):
        raise ValueError(f"histories[{person}] rates the item {item!r} with {rating!r}, which is no number.") from None


def _history_kept(y, implicit):
    if not implicit:
        return np.ones(len(y), bool)
    if len(y) and y.min() < 0:
        raise ValueError(f"Confidences must not be negative, got {y.min():g}.")
    return y > 0


def as_learned(ratings, implicit):
    """Return ratings as solvers take them: with implicit feedback, weights multiplied into confidences."""
    return confidence(ratings) if implicit else ratings


def no_ratings(n_rows, n_items, dtype):
    """Return empty histories."""
    return Ratings(np.zeros(n_rows + 1, np.int32), np.empty(0, np.int32), np.empty(0, dtype), None, n_items)
