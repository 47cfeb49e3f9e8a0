"""Columns of tables and their ids, whatever holds the table: array, DataFrame or list of rows."""

from numbers import Integral

import numpy as np
import scipy.sparse as sp

_NAMED = 10  # how many offenders an error names


def as_ids(values):
    """Return ids as an array of one dimension in which each keeps its type.

    Parameters
    ----------
    values : array-like of shape (n,)
        Ids; NumPy would make strings of the numbers in a list of both.

    Returns
    -------
    ids : ndarray of shape (n,)
        Of objects where the ids are of several types, or are tuples.
    """
    if isinstance(values, np.ndarray) or hasattr(values, "dtype"):
        return np.asarray(values)
    values = list(values)
    if len({type(value) for value in values}) == 1 and np.ndim(values[0]) == 0:
        return np.asarray(values)
    if values and all(isinstance(value, (int, float, np.number)) for value in values):
        return np.asarray(values)
    return np.fromiter(values, dtype=object, count=len(values))


def missing(values):
    """Return which entries of an array are None, NaN or NaT.

    Parameters
    ----------
    values : ndarray
        Of any type.

    Returns
    -------
    mask : ndarray of bool
        Of the same shape.
    """
    if values.dtype.kind == "O":
        flat = [value is None or type(value).__name__ == "NAType" or value != value for value in values.ravel()]
        return np.array(flat, bool).reshape(values.shape)
    if values.dtype.kind in "fcmM":
        return values != values
    return np.zeros(values.shape, bool)


def column(X, which, name="column"):
    """Return one column of a table.

    Parameters
    ----------
    X : array-like, DataFrame or list of rows of shape (n_samples, n_features)
        The table.
    which : int or str
        The column's index, or its name in a DataFrame.
    name : str, default="column"
        The parameter that says which; for errors.

    Returns
    -------
    values : ndarray of shape (n_samples,)
        None missing.

    Raises
    ------
    ValueError
        If X is no table of rows, has no such column, or the column has missing entries.
    """
    values = _values(X, _position(X, which, name))
    if (lost := missing(values)).any():
        raise ValueError(f"Column {which!r} of X ({name}) is missing in row {int(np.argmax(lost))}.")
    return values


def _position(X, which, name):
    n_features, names = _width(X), column_names(X)
    if isinstance(which, str):
        if names is None or which not in names:
            known = "X has no column names" if names is None else f"the columns of X are {names[:_NAMED]}"
            raise ValueError(f"{name}={which!r} names no column: {known}.")
        return names.index(which)
    if isinstance(which, (bool, np.bool_)) or not isinstance(which, Integral):
        raise ValueError(f"{name} must be the index or the name of a column of X, got {which!r}.")
    if not -n_features <= which < n_features:
        raise ValueError(f"{name}={which} is no column: X has {n_features}.")
    return int(which) % n_features


def _width(X):
    if sp.issparse(X):
        raise ValueError(
            "X is sparse; rows must be interactions (user, item, ...). The rows of a ratings matrix are users: "
            "turn it into interactions first, or split it with scikit-learn's KFold."
        )
    if hasattr(X, "shape"):
        if len(X.shape) != 2:
            raise ValueError(f"X must be a table of shape (n_samples, n_features), got shape {tuple(X.shape)}.")
        return X.shape[1]
    widths = {len(row) if np.ndim(row) or isinstance(row, (list, tuple)) else 0 for row in X}
    if len(widths) != 1 or widths == {0}:
        raise ValueError("X must be a table: rows of one length, each holding user, item and perhaps more.")
    return widths.pop()


def column_names(X):
    """Return the column names of a DataFrame as a list, None for anything else."""
    names = getattr(X, "columns", None)
    return None if names is None else list(names)


def _values(X, position):
    if hasattr(X, "iloc"):
        return np.asarray(X.iloc[:, position])
    if hasattr(X, "get_column"):  # polars
        return X[:, position].to_numpy()
    if hasattr(X, "shape"):
        return np.asarray(X)[:, position]
    return as_ids([row[position] for row in X])


def codes(values):
    """Return each value as a number from 0, in the order in which they first occur.

    So the numbers are the same whatever type the values have.

    Parameters
    ----------
    values : ndarray of shape (n,)
        None missing; hashable where they are objects.

    Returns
    -------
    codes : ndarray of shape (n,), int
        Equal for equal values.
    first : ndarray of shape (n_codes,), int
        Where each code first occurs.
    """
    if values.dtype.kind == "O":
        known = {}
        codes = np.array([known.setdefault(value, len(known)) for value in values.tolist()], dtype=np.intp)
        return codes, np.unique(codes, return_index=True)[1]
    _, first, codes = np.unique(values, return_index=True, return_inverse=True)
    order = np.argsort(first)
    number = np.empty(len(first), dtype=np.intp)
    number[order] = np.arange(len(first))
    return number[codes], first[order]


def positions(values, among):
    """Return where each value stands in an array of distinct ones.

    Parameters
    ----------
    values : ndarray
        Of any shape; None and NaN stand nowhere.
    among : ndarray of shape (n,)
        Distinct; sorted unless one of the two holds objects.

    Returns
    -------
    positions : ndarray of int, of the shape of `values`
        -1 for values that are not there.

    Raises
    ------
    ValueError
        If one holds numbers and the other text: they would never be equal.
    """
    if values.size == 0 or among.size == 0:
        return np.full(values.shape, -1)
    if "O" in (values.dtype.kind, among.dtype.kind):
        where = {value: i for i, value in enumerate(among.tolist())}
        found = [where.get(value, -1) for value in values.ravel().tolist()]
        return np.array(found, dtype=np.intp).reshape(values.shape)
    if (values.dtype.kind in "US") != (among.dtype.kind in "US"):
        raise ValueError(f"Ids of type {values.dtype} are compared with ids of type {among.dtype}; use one type.")
    at = np.minimum(np.searchsorted(among, values), len(among) - 1)
    return np.where(among[at] == values, at, -1)


def distinct(values):
    """Return the distinct values of an array, sorted unless they are objects.

    Parameters
    ----------
    values : ndarray of shape (n,)
        None missing.

    Returns
    -------
    distinct : ndarray of shape (n_distinct,)
        Objects in the order of their first occurrence.
    """
    if values.dtype.kind != "O":
        return np.unique(values)
    return np.fromiter(dict.fromkeys(values.tolist()), dtype=object)


def listed(values):
    """Return the first few of some values, as an error names them."""
    values = list(values)
    return ", ".join(map(repr, values[:_NAMED])) + (", ..." if len(values) > _NAMED else "")
