"""Columns of tables: categories become numbers, so that all of X is one array."""

from dataclasses import dataclass
from numbers import Integral

import numpy as np
import scipy.sparse as sp

from skml.base import validate_X

# What to do with columns of strings.
STRINGS_IN_TREES = (
    "name it in categorical_features, with all other columns of categories, to split it by categories, or convert it "
    "to numbers"
)
# What a category that was not there at fit becomes: no category's number.
_OTHER = -1.0


@dataclass(frozen=True)
class Columns:
    """Which columns hold categories, and which categories those are.

    Attributes
    ----------
    categorical : ndarray of shape (n_features,), bool
        Columns that are split by subsets of their values.
    categories : dict of int to ndarray
        For columns that aren't numbers: the values that stand for 0, 1, 2...
    """

    categorical: np.ndarray
    categories: dict


def read_columns(X, wanted):
    """Find the columns that hold categories.

    Parameters
    ----------
    X : array-like, DataFrame or sparse matrix of shape (n_samples, n_features)
        The data.
    wanted : "from_dtype", None, or array-like of bool, int or str
        Columns by their type in a DataFrame, by a mask, by index or by name.

    Returns
    -------
    columns : Columns
        The columns.

    Raises
    ------
    ValueError
        If `wanted` names no column of X.
    """
    if len(getattr(X, "shape", ())) != 2:  # lists, and what validation refuses
        X = np.atleast_2d(np.asarray(X, dtype=object))
    n_features, names = X.shape[1], getattr(X, "columns", None)
    typed = np.array([_is_categorical(dtype) for dtype in _dtypes(X, n_features)], bool)
    if isinstance(wanted, str) and wanted == "from_dtype":
        mask = typed
    else:
        mask = _mask(wanted, n_features, names)
    categories = {}
    for f in np.flatnonzero(mask):
        values = None if sp.issparse(X) else column_values(X, f)
        if values is not None and values.dtype.kind == "O":
            categories[int(f)] = _categories(values, _named(X, f))
    return Columns(mask, categories)


def _mask(wanted, n_features, names):
    mask = np.zeros(n_features, bool)
    if wanted is None:
        return mask
    wanted = np.asarray(wanted)
    said = "categorical_features"
    if wanted.ndim != 1 or (wanted.size and wanted.dtype.kind not in "biuOUS"):
        raise ValueError(f"{said} must be a mask, indices or names of columns, got {wanted!r}.")
    if wanted.dtype.kind == "b":
        if len(wanted) != n_features:
            raise ValueError(f"{said} is a mask of {len(wanted)} columns; X has {n_features}.")
        return wanted.copy()
    for one in wanted.tolist():
        if isinstance(one, str):
            found = [i for i, name in enumerate(() if names is None else names) if name == one]
            if len(found) == 0:
                raise ValueError(f"{said} names the column {one!r}, which X does not have.")
            mask[found] = True
        elif isinstance(one, Integral) and -n_features <= one < n_features:
            mask[one] = True
        else:
            raise ValueError(f"{said} holds {one!r}; the columns of X are 0 to {n_features - 1}.")
    return mask


def _dtypes(X, n_features):
    dtypes = getattr(X, "dtypes", None)
    return [None] * n_features if dtypes is None else list(dtypes)


def _is_categorical(dtype):
    return type(dtype).__name__ in ("CategoricalDtype", "Categorical", "Enum") or getattr(dtype, "__name__", "") in (
        "Categorical",
        "Enum",
    )


def column_values(X, f):
    """Return one column as numbers or objects; missing values are None or NaN."""
    if hasattr(X, "iloc"):
        column = X.iloc[:, f]
        values = np.asarray(column.astype(object) if _is_categorical(column.dtype) else column)
    elif hasattr(X, "get_column"):
        values = np.asarray(X[:, int(f)].to_list(), dtype=object)
    else:
        values = np.asarray(X)[:, f]
    if values.dtype.kind in "biuf":
        return values
    values = values.astype(object)
    known = values[~_missing(values)]
    if all(isinstance(value, (int, float, np.number)) and not isinstance(value, bool) for value in known):
        return np.where(_missing(values), np.nan, values).astype(np.float64)
    return values


def _missing(values):
    return np.array([_is_missing(value) for value in values], dtype=bool)


def _is_missing(value):
    if value is None or type(value).__name__ == "NAType":
        return True
    other = value != value
    return other is True or other is np.True_  # of arrays in cells it is neither


def validate_numbers(estimator, X, cure, **takes):
    """Return X as :func:`skml.base.validate_X` does; a column of strings is told by its name, with what to do.

    Parameters
    ----------
    estimator : estimator
        Whose features are set or compared.
    X : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_features)
        The data.
    cure : str
        What to do with strings.
    **takes : dict
        ``reset``, and what X may be.

    Returns
    -------
    X : ndarray or CSR matrix
        Numbers.

    Raises
    ------
    ValueError
        If X is nothing of that kind.
    """
    try:
        return validate_X(estimator, X, **takes)
    except ValueError as error:
        found = None if sp.issparse(X) else _first_string(X)
        if found is None:
            raise
        f, value = found
        names = None if takes["reset"] else getattr(estimator, "feature_names_in_", None)
        column = f"{_named(X, f, names)}{_typed(X, f)}"
        raise ValueError(f"Column {column} holds strings such as {value!r}; {cure}.") from error


def _first_string(X):
    """Return the first column that holds a string which is no number, and that string; None if there is none."""
    X = X if hasattr(X, "shape") else np.asarray(X, dtype=object)
    for f in range(X.shape[1]) if len(X.shape) == 2 else ():
        values = column_values(X, f)
        for value in values.tolist() if values.dtype.kind == "O" else ():
            if isinstance(value, (str, bytes)) and not _is_number(value):
                return f, value
    return None


def _is_number(value):
    try:
        float(value)
    except ValueError:
        return False
    return True


def _named(X, f, names=None):
    """Return what a column is called: its name, if it or that at fit has one, or its number."""
    names = getattr(X, "column_names", getattr(X, "columns", names))  # the columns of pyarrow are no names
    return str(f) if names is None or f >= len(names) else repr(list(names)[f])


def _typed(X, f):
    """Return what is said of a column's type; of arrays nothing."""
    dtypes = _dtypes(X, 0)
    return f", of dtype {dtypes[f]}," if dtypes else ""


def _categories(values, name):
    known = values[~_missing(values)]
    _require_scalars(known, name)
    try:
        return np.unique(known)
    except TypeError:
        kinds = sorted({type(value).__name__ for value in known})
        raise ValueError(f"Column {name} holds categories of several types, {', '.join(kinds)}; use one.") from None


def as_numbers(X, columns):
    """Return X with its categories as numbers.

    Parameters
    ----------
    X : array-like, DataFrame or sparse matrix of shape (n_samples, n_features)
        The data; returned as it is where no column needs it.
    columns : Columns
        From :func:`read_columns` of the training data.

    Returns
    -------
    X : array-like, DataFrame or ndarray
        Numbers; NaN is missing, -1 a category that is new.
    """
    if not columns.categories:
        return X
    X = X if hasattr(X, "shape") else np.asarray(X, dtype=object)
    if len(X.shape) != 2:
        raise ValueError(f"Expected 2D array, got {len(X.shape)}D array instead.")
    out = np.empty(X.shape)
    for f in range(X.shape[1]):
        values = column_values(X, f)
        if f in columns.categories:
            values = values.astype(object)
            _require_scalars(values, _named(X, f))
            out[:, f] = _numbered(values, columns.categories[f])
        else:
            try:
                out[:, f] = _plain_numbers(values)
            except (TypeError, ValueError):
                column = f"{_named(X, f)}{_typed(X, f)}"
                raise ValueError(f"Column {column} does not hold numbers; {STRINGS_IN_TREES}.") from None
    return out


def _plain_numbers(values):
    """Return values with NaN for what is missing."""
    return np.where(_missing(values), np.nan, values) if values.dtype.kind == "O" else values


def _require_scalars(values, name):
    odd = next((value for value in values if type(value).__hash__ is None), None)
    if odd is not None:
        kind = type(odd).__name__
        raise ValueError(f"Column {name} holds the {kind} {odd!r}; a category is one string or number per row.")


def _numbered(values, categories):
    missing = _missing(values)
    number = {value: i for i, value in enumerate(categories.tolist())}
    out = np.array([number.get(value, _OTHER) for value in values.tolist()], dtype=np.float64)
    out[missing] = np.nan
    return out


def how_many(asked, n_features):
    """Return `max_features` as a number.

    Parameters
    ----------
    asked : "sqrt", "log2", int, float or None
        As given; a float is a share.
    n_features : int
        Of how many.

    Returns
    -------
    n : int
        At least 1.

    Raises
    ------
    ValueError
        If it is more than there are.
    """
    if asked is None:
        return n_features
    if isinstance(asked, str):
        return max(1, int(np.sqrt(n_features) if asked == "sqrt" else np.log2(n_features)))
    if isinstance(asked, Integral):
        if asked > n_features:
            raise ValueError(f"max_features={asked} is more than the {n_features} features of X.")
        return int(asked)
    return max(1, int(asked * n_features))


def monotonic_signs(asked, names, n_features, categorical):
    """Return `monotonic_cst` as signs.

    Parameters
    ----------
    asked : array-like of int, dict of str to int, or None
        As given.
    names : sequence of str
        Of the columns, if they have any.
    n_features : int
        Their number.
    categorical : ndarray of shape (n_features,), bool
        Columns without an order.

    Returns
    -------
    signs : ndarray of shape (n_features,) or (0,), int8
        Empty if all are 0.

    Raises
    ------
    ValueError
        If they don't fit the columns.
    """
    if isinstance(asked, dict):
        known = list(names)
        if unknown := [name for name in asked if name not in known]:
            raise ValueError(f"monotonic_cst names the columns {unknown}, which X does not have.")
        asked = [asked.get(name, 0) for name in known] if known else None
    signs = np.zeros(n_features) if asked is None else np.asarray(asked)
    if signs.shape != (n_features,) or not np.all(np.isin(signs, (-1, 0, 1))):
        raise ValueError(f"monotonic_cst must hold -1, 0 or 1 for each of {n_features} features, got {signs}.")
    if np.any(categorical & (signs != 0)):
        raise ValueError("monotonic_cst is for numbers; a category has no order.")
    return signs.astype(np.int8) if np.any(signs) else np.empty(0, np.int8)
