"""Tables of interactions, column by column: arrays, lists, and the frames of pandas and polars."""

from dataclasses import dataclass
from numbers import Integral

import numpy as np
import scipy.sparse as sp

from skml.base import warn_caller
from skml.recommendation.ids import Labels, as_numbers, as_objects, is_missing, is_numeric, listed, missing

USERS, ITEMS = "The users in column 0 of X", "The items in column 1 of X"

_WHOLE = 2**53  # the first integers that are not all float64 lie beyond

TWO_DOORS = (
    "There are two ways in: fit(X, y) takes interactions, rows of user, item and numeric features without missing "
    "values, and their ratings; fit(R) without y takes a matrix of ratings, users x items, dense with NaN for missing "
    "ones or sparse with the known ones stored."
)


AS_INTERACTIONS = (
    "A row must be an interaction: user, item and features. If X is a matrix of ratings, users x items, make it "
    "interactions first, X, y = skml.recommendation.interactions(R), and fit on these."
)


DENSE_MATRIX = (
    "With implicit feedback a dense X is interactions. If it is a matrix, users x items, give it sparse, "
    "R = scipy.sparse.csr_array(X) and score(R), or its interactions, score(skml.recommendation.interactions(R)[0])."
)


@dataclass(frozen=True)
class Table:
    """Interactions as they came.

    Attributes
    ----------
    users, items : ndarray of shape (n_rows,) or Labels
        Their ids.
    features : ndarray of shape (n_rows, n_features), float32 or float64
        What else the rows say.
    dtype : dtype or None
        The type of X, if X was an array of floats.
    """

    users: object
    items: object
    features: np.ndarray
    dtype: np.dtype | None


def as_table(X):
    """Return X as a two-dimensional array, as a frame, or as a tuple of columns.

    Parameters
    ----------
    X : array-like or DataFrame
        Rows of user, item and features.

    Returns
    -------
    X : ndarray, DataFrame or list of ndarray
        A list holds columns of objects.

    Raises
    ------
    ValueError
        If X is sparse, or no table.
    """
    if sp.issparse(X):
        raise ValueError(f"X is sparse, and sparse interactions cannot be. {TWO_DOORS}")
    if is_frame(X):
        return X
    if isinstance(X, (list, tuple)) and len(X) and all(isinstance(row, (list, tuple)) for row in X):
        return _of_rows(X)
    return np.asarray(X)


def is_frame(X):
    """Tell whether X is a frame of pandas or polars."""
    return hasattr(X, "columns") and hasattr(X, "dtypes") and len(getattr(X, "shape", ())) == 2


def has_row_names(X):
    """Tell whether X is a frame of pandas with an index of its own, not 0, 1, 2... that pandas gives by itself."""
    if not (is_frame(X) and hasattr(X, "index")):
        return False
    index = X.index
    return not (type(index).__name__ == "RangeIndex" and index.start == 0 and index.step == 1)


def _of_rows(X):
    lengths = {len(row) for row in X}
    if len(lengths) > 1:
        raise ValueError(f"The rows of X have an inhomogeneous shape: lengths from {min(lengths)} to {max(lengths)}.")
    try:
        numbers = np.asarray(X)
        whole = numbers.dtype.kind == "f" and np.max(np.abs(numbers), initial=0) > _WHOLE  # integers may be rounded
        if (is_numeric(numbers) and not whole) or numbers.dtype.kind == "c":
            return numbers
    except ValueError:  # ids that are sequences
        pass
    return [as_objects(column) for column in zip(*X)]


def shape_of(table):
    """Return the rows and columns of what :func:`as_table` gave; an array may have another number of dimensions."""
    if isinstance(table, list):
        return len(table[0]), len(table)
    return tuple(table.shape)


def column_of(table, f, *, times=False):
    """Return one column: an array of numbers, strings or objects, or Labels of a categorical one.

    Parameters
    ----------
    table : ndarray, DataFrame or list of ndarray
        From :func:`as_table`.
    f : int
        Which column.
    times : bool, default=False
        Whether it may hold times; otherwise they are a TypeError.

    Returns
    -------
    column : ndarray of shape (n_rows,) or Labels
        As it came.
    """
    if isinstance(table, list):
        return table[f]
    return _plainer(table.iloc[:, f] if hasattr(table, "iloc") else table[:, f], times)


def _plainer(column, times=False):
    if _is_time(column.dtype):
        return np.asarray(column) if times else no_time(column.dtype)
    if hasattr(column, "iloc"):
        return _of_pandas(column)
    return _of_polars(column) if hasattr(column, "null_count") else np.asarray(column)


def named_column(X, which, name):
    """Return one column of a table by its place or name.

    Parameters
    ----------
    X : array-like, DataFrame or list of rows of shape (n_samples, n_columns)
        The table.
    which : int or str
        The column's index, or its name in a DataFrame.
    name : str
        The parameter that says which; for errors.

    Returns
    -------
    values : ndarray of shape (n_samples,)
        None missing; they may be times.

    Raises
    ------
    ValueError
        If X is no table of rows, has no such column, or the column has missing entries.
    """
    table = as_table(X)
    if len(shape_of(table)) != 2:
        raise ValueError(f"X must be a table of shape (n_samples, n_columns), got shape {shape_of(table)}.")
    values = without_labels(column_of(table, _place_of(which, table, name), times=True))
    if (lost := missing(values)).any():
        numbers = f" {AS_INTERACTIONS}" if is_numeric(values) else ""
        raise ValueError(f"Column {which!r} of X ({name}) is missing in row {int(np.argmax(lost))}.{numbers}")
    if name != "time" and values.dtype.kind == "f" and (values != np.floor(values)).any():
        warn_caller(f"Column {which!r} of X ({name}) holds fractions as ids. {AS_INTERACTIONS}", UserWarning)
    return values


def _place_of(which, table, name):
    n_columns, names = shape_of(table)[1], column_names(table)
    if isinstance(which, str):
        if names is None or which not in names:
            known = "X has no column names" if names is None else f"the columns of X are {listed(names)}"
            raise ValueError(f"{name}={which!r} names no column: {known}.")
        return names.index(which)
    if isinstance(which, (bool, np.bool_)) or not isinstance(which, Integral):
        raise ValueError(f"{name} must be the index or the name of a column of X, got {which!r}.")
    if not -n_columns <= which < n_columns:
        raise ValueError(f"{name}={which} is no column: X has {n_columns}.")
    return int(which) % n_columns


def column_names(X):
    """Return the column names of a DataFrame as a list, None for anything else."""
    return list(X.columns) if is_frame(X) else None


def without_labels(column):
    """Return a column as an array: of objects where it came as Labels, None for a missing one."""
    if not isinstance(column, Labels):
        return column
    return np.append(column.values.astype(object), None)[column.codes]


def refuse_times(table, name="X"):
    """Raise a TypeError if a column of a frame or array holds times."""
    for dtype in getattr(table, "dtypes", [getattr(table, "dtype", None)]):
        if _is_time(dtype):
            no_time(dtype, name)


def _is_time(dtype):
    temporal = getattr(dtype, "is_temporal", None)  # polars
    return getattr(dtype, "kind", "") in ("m", "M") or (callable(temporal) and temporal())


def no_time(dtype, name="X"):
    """Raise the TypeError that says that a table holds times."""
    raise TypeError(f"{name} holds times ({dtype}); convert them to numbers first, e.g. seconds since a date.")


def _of_pandas(column):
    if hasattr(column, "cat"):
        return Labels(np.asarray(column.cat.codes), _plain(np.asarray(column.cat.categories)))
    if type(column.dtype).__name__ in ("StringDtype", "ArrowDtype") and not _counts(column):
        codes, values = column.factorize()
        return Labels(codes, np.asarray(values, dtype=object))
    if isinstance(column.dtype, np.dtype):
        return np.asarray(column)
    if column.isna().any():
        return np.asarray(column, dtype=object)
    kind = getattr(column.dtype, "numpy_dtype", np.dtype(object))
    return column.to_numpy(dtype=kind)


def _counts(column):
    return getattr(column.dtype, "numpy_dtype", np.dtype(object)).kind in "biuf"


def _of_polars(column):
    if column.dtype.is_numeric() and column.null_count() == 0 and not column.dtype.is_decimal():
        return column.to_numpy()
    return as_objects(column.to_list())


def _plain(values):
    return values if is_numeric(values) else values.astype(object)


def features_of(table, dtype):
    """Return the columns after the first two as an array of floats, C-contiguous.

    Parameters
    ----------
    table : ndarray, DataFrame or list of ndarray
        From :func:`as_table`.
    dtype : dtype
        float32 or float64.

    Returns
    -------
    features : ndarray of shape (n_rows, n_columns - 2)
        Finite.

    Raises
    ------
    ValueError
        If a column is not of numbers, or they are missing or infinite.
    """
    n_rows, n_columns = shape_of(table)
    features = np.empty((n_rows, n_columns - 2), dtype)
    for f in range(2, n_columns):
        with np.errstate(over="ignore"):
            features[:, f - 2] = _numbers(column_of(table, f), f)
        if not np.isfinite(features[:, f - 2]).all():
            what = "NaN" if np.isnan(features[:, f - 2]).any() else "infinity or a number too large"
            raise ValueError(f"Column {f} of X contains {what}; features must be finite numbers.")
    return features


def _numbers(column, f):
    words = f"Column {f} of X holds strings or objects; features, the columns after user and item, must be numbers."
    if isinstance(column, Labels):
        if not is_numeric(column.values):
            raise ValueError(words)
        return np.append(column.values.astype(np.float64), np.nan)[column.codes]
    if is_numeric(column):
        return column
    try:
        if any(isinstance(value, (str, bytes)) for value in column.tolist()):
            raise ValueError
        return np.array([np.nan if is_missing(value) else value for value in column.tolist()], dtype=np.float64)
    except TypeError as error:
        raise TypeError(f"{words} ({error})") from None
    except ValueError:
        raise ValueError(words) from None


def as_column(values, name, *, times=False):
    """Return ids as :func:`column_of` does.

    Parameters
    ----------
    values : array-like of shape (n,), Series, DataFrame of one column, or sequence of hashable objects
        Ids.
    name : str
        What to call them in errors.
    times : bool, default=False
        Whether times are allowed.

    Returns
    -------
    column : ndarray of shape (n,) or Labels
        The ids.
    """
    if isinstance(values, (str, bytes)) or not hasattr(values, "__len__"):
        raise ValueError(f"{name} must be a list or array of ids, got {values!r}; for one alone give [{values!r}].")
    if is_frame(values):
        if values.shape[1] != 1:
            raise ValueError(f"{name} must be a one-dimensional list of ids, got shape {tuple(values.shape)}.")
        values = values.iloc[:, 0] if hasattr(values, "iloc") else values[values.columns[0]]
    if (hasattr(values, "iloc") and len(values.shape) == 1) or hasattr(values, "null_count"):
        return _plainer(values, times)
    if not hasattr(values, "dtype"):
        numbers = all(isinstance(value, (int, float, np.number)) for value in values)
        values = as_numbers(list(values), name) if numbers and len(values) else as_objects(list(values))
    values = np.asarray(values)
    if values.ndim != 1:
        raise ValueError(f"{name} must be a one-dimensional list of ids, got shape {values.shape}.")
    return values
