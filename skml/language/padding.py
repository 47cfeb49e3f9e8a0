"""Sequences of different lengths as one array."""

from numbers import Integral

import numpy as np

from skml.base import require_memory
from skml.language.texts import check_ids

__all__ = ["pad_sequences"]

_SIDES = ("left", "right")
_LARGEST = 2**31


def pad_sequences(sequences, length=None, *, padding="right", truncation="right", pad_id=-1):
    """Make one array of sequences of tokens, and say where it holds tokens.

    Parameters
    ----------
    sequences : iterable of array-like of shape (n,)
        Of integers; -1 is padding that is left out first.
    length : int or None, default=None
        The columns of the result; None means the length of the longest sequence.
    padding : {"left", "right"}, default="right"
        Where shorter sequences are filled up.
    truncation : {"left", "right", "error"}, default="right"
        Where longer sequences are cut off; "error" refuses them.
    pad_id : int, default=-1
        What they are filled up with.

    Returns
    -------
    ids : ndarray of shape (n_sequences, length), int32
        The tokens.
    mask : ndarray of shape (n_sequences, length), bool
        True where `ids` holds a token of the sequence, False where it is padding.

    Raises
    ------
    ValueError
        If a parameter or a sequence is none of those, or one is too long with ``truncation="error"``.
    MemoryError
        If the result is larger than the free memory.

    Examples
    --------
    >>> from skml.language import pad_sequences
    >>> ids, mask = pad_sequences([[5, 6], [7, 8, 9, 10]], 3, padding="left", truncation="left")
    >>> ids
    array([[-1,  5,  6],
           [ 8,  9, 10]], dtype=int32)
    >>> mask.sum(axis=1)
    array([2, 3])
    """
    _check(length, padding, truncation, pad_id)
    rows = check_ids(sequences, _LARGEST)
    longest = max(map(len, rows), default=0)
    length = longest if length is None else int(length)
    if truncation == "error" and longest > length:
        i = next(i for i, row in enumerate(rows) if len(row) > length)
        raise ValueError(f"Sequence {i} has {len(rows[i])} tokens, more than length={length}.")
    require_memory(5 * len(rows) * length, "Padded sequences")
    ids = np.full((len(rows), length), pad_id, dtype=np.int32)
    mask = np.zeros(ids.shape, dtype=bool)
    for row, out, known in zip(rows, ids, mask):
        kept = row[max(0, len(row) - length) :] if truncation == "left" else row[:length]
        where = slice(length - len(kept), length) if padding == "left" else slice(0, len(kept))
        out[where], known[where] = kept, True
    return ids, mask


def _check(length, padding, truncation, pad_id):
    """Raise a ValueError for parameters that are none."""
    if length is not None and (not isinstance(length, Integral) or isinstance(length, bool) or length < 0):
        raise ValueError(f"length must be None or an integer that is not negative, got {length!r}.")
    if padding not in _SIDES:
        raise ValueError(f"padding must be 'left' or 'right', got {padding!r}.")
    if truncation not in (*_SIDES, "error"):
        raise ValueError(f"truncation must be 'left', 'right' or 'error', got {truncation!r}.")
    if not isinstance(pad_id, Integral) or isinstance(pad_id, bool) or not -_LARGEST <= pad_id < _LARGEST:
        raise ValueError(f"pad_id must be an integer of 32 bits, got {pad_id!r}.")
