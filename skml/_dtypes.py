"""The floating type that data has of itself, also where scikit-learn looks past it."""

import numpy as np
from sklearn import get_config

__all__ = ["kept_dtype"]


def kept_dtype(X, accepted):
    """Return what to have :func:`sklearn.utils.check_array` make of data, so that it keeps the type it is of.

    Of a list of types scikit-learn takes the first unless X is of another one; but it sees no type in polars' columns,
    nullable ones, and tables that say none, nor in the other byte order, or leaves that as it is.

    Parameters
    ----------
    X : array-like, DataFrame or sparse matrix
        As the user gave it.
    accepted : sequence of types
        What X may be; the first is made of everything else.

    Returns
    -------
    dtype : dtype or list of types
        That of X, in this machine's byte order, if it is accepted; else all.

    Notes
    -----
    A list has no type of its own.
    """
    found = _own_dtype(X)
    known = found is not None and found in map(np.dtype, accepted)
    return found if known and (found.kind == "f" or _is_complete(X)) else list(accepted)


def _own_dtype(X):
    """Return NumPy's type for what X holds, in this machine's byte order; None where that is not known."""
    dtype, dtypes = getattr(X, "dtype", None), getattr(X, "dtypes", None)
    if isinstance(dtype, np.dtype):
        return _native(dtype)
    if dtypes is not None:
        return _common_dtype(dtypes)
    if not hasattr(X, "__array__") or get_config()["array_api_dispatch"]:
        return None
    return _native(np.asarray(X).dtype)


def _native(dtype):
    return dtype if dtype.isnative else dtype.newbyteorder("=")


def _common_dtype(dtypes):
    """Return the type that holds all columns of a frame; None if they are no plain numbers."""
    try:
        return _native(np.result_type(*map(_numpy_dtype, dtypes)))
    except (TypeError, ValueError):
        return None


def _numpy_dtype(dtype):
    """Return NumPy's type of a column of pandas or polars, both of which name numbers as NumPy does."""
    for name in ("numpy_dtype", "subtype"):  # of nullable and of sparse columns in pandas
        dtype = getattr(dtype, name, dtype)
    return dtype if isinstance(dtype, np.dtype) else np.dtype({"Boolean": "bool"}.get(str(dtype), str(dtype).lower()))


def _is_complete(X):
    """Return whether nothing is missing in a frame of whole numbers, of which only a float could say so."""
    missing = X.isna() if hasattr(X, "isna") else X.null_count() if hasattr(X, "null_count") else False
    return not np.asarray(missing).any()
