"""Rows of factors padded to whole cache lines, as kernels read them."""

import numpy as np

_LINE = 64  # bytes


def padded(n_rows, width, dtype):
    """Return zeros of shape (n_rows, K): the least K >= width such that each row is a whole number of cache lines."""
    dtype = np.dtype(dtype)
    size = -(-width * dtype.itemsize // _LINE) * _LINE
    memory = np.zeros(n_rows * size + _LINE, dtype=np.uint8)
    start = -memory.ctypes.data % _LINE
    return memory[start : start + n_rows * size].view(dtype).reshape(n_rows, size // dtype.itemsize)


def padded_copy(values, dtype, scale=1):
    """Return rows of values, times a scale, and zeros behind them."""
    rows = padded(*values.shape, dtype)
    np.multiply(values, rows.dtype.type(scale), out=rows[:, : values.shape[1]], casting="same_kind")
    return rows
