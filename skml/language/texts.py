"""Texts and tokens as a user gives them: checked, and refused in words."""

from collections.abc import Iterable, Mapping

import numpy as np
from sklearn.utils.validation import check_array

from skml._dtypes import kept_dtype


def check_documents(X):
    """Return documents as a list.

    Parameters
    ----------
    X : iterable of str
        A list, Series, one-dimensional array, generator and so on.

    Returns
    -------
    documents : list of str
        The same strings.

    Raises
    ------
    ValueError
        If X is a string, or a table.
    TypeError
        If X is not iterable, or one of its elements is no string.
    """
    if isinstance(X, (str, bytes)):
        raise ValueError(f"X must be a list of strings, one per document; {type(X).__name__} alone was given. Use [X].")
    if hasattr(X, "columns") or isinstance(X, Mapping) or getattr(X, "ndim", 1) != 1:
        raise ValueError("X must be one-dimensional, a string per document; of a table give one column: X['text'].")
    if not isinstance(X, Iterable):
        raise TypeError(f"X must be a list of strings, one per document, got {type(X).__name__}.")
    documents = list(X)
    wrong = next((i for i, document in enumerate(documents) if not isinstance(document, str)), None)
    if wrong is not None:
        raise TypeError(f"X must hold strings; document {wrong} is {_described(documents[wrong])}.")
    return documents


def _described(document):
    """Return what a document is that is no string, and what to do about it."""
    if isinstance(document, (bytes, bytearray)):
        return "bytes; decode them first: document.decode('utf-8')"
    if document is None or document != document or type(document).__name__ == "NAType":
        return f"{document!r}, missing; fill it first, e.g. with ''"
    return f"of type {type(document).__name__}; convert it first: str(document)"


def check_some(documents):
    """Raise a ValueError unless there is a document that isn't empty."""
    if not documents:
        raise ValueError("X holds no documents; at least one is needed.")
    if not any(documents):
        raise ValueError("All documents in X are empty; there is nothing to learn from.")


def check_rows(X):
    """Return rows of numbers as a list of arrays.

    Parameters
    ----------
    X : array-like of shape (n_rows, n_columns), or iterable of array-like of shape (n,)
        Numbers; NaN is allowed.

    Returns
    -------
    rows : list of ndarray of shape (n,)
        All of float32, or of float64.

    Raises
    ------
    ValueError
        If X holds anything else, or infinity.
    """
    if isinstance(X, (str, bytes, Mapping)) or not isinstance(X, Iterable) or getattr(X, "ndim", 2) == 0:
        raise ValueError(f"X must be rows of numbers, got {type(X).__name__}.")
    if hasattr(X, "shape") and len(X.shape) == 2:
        dtype = kept_dtype(X, (np.float64, np.float32))
        return list(check_array(X, dtype=dtype, ensure_all_finite="allow-nan", ensure_min_features=0))
    rows = [_checked_row(row, i) for i, row in enumerate(X)]
    dtype = np.result_type(*rows) if rows else np.float64
    return [row.astype(dtype, copy=False) for row in rows]


def _checked_row(row, i):
    try:
        values = np.asarray(row)
    except ValueError as error:
        raise ValueError(f"Row {i} of X is no sequence of numbers: {error}") from error
    if values.ndim != 1 or (values.size and values.dtype.kind not in "biuf"):
        raise ValueError(f"X must hold rows of numbers, NaN for missing ones; row {i} is none. Of one row give [X].")
    if np.isinf(values).any():
        raise ValueError(f"Row {i} of X holds infinity.")
    return values.astype(np.float32 if values.dtype == np.float32 else np.float64)


def check_ids(X, n_tokens):
    """Return sequences of tokens as arrays without padding.

    Parameters
    ----------
    X : iterable of array-like of shape (n,)
        Of integers; -1 is padding.
    n_tokens : int
        How many tokens there are.

    Returns
    -------
    sequences : list of ndarray of shape (at most n,)
        Integers from 0 to ``n_tokens - 1``.

    Raises
    ------
    ValueError
        If anything is no such sequence.
    """
    if not isinstance(X, Iterable) or isinstance(X, (str, bytes)) or getattr(X, "ndim", 2) == 0:
        raise ValueError(f"X must be a list of sequences of tokens, got {type(X).__name__}.")
    return [_checked_ids(ids, n_tokens, i) for i, ids in enumerate(X)]


def _checked_ids(sequence, n_tokens, i):
    ids = np.asarray(sequence)
    if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
        raise ValueError(f"X must hold a one-dimensional sequence of integers per document; sequence {i} is none.")
    if ids.size == 0:
        return np.empty(0, dtype=np.int32)
    low, high = int(ids.min()), int(ids.max())
    if low < -1 or high >= n_tokens:
        bad = low if low < -1 else high
        raise ValueError(f"Sequence {i} holds {bad}; tokens are 0 to {n_tokens - 1}, and -1 is padding.")
    return ids[ids >= 0] if low < 0 else ids
