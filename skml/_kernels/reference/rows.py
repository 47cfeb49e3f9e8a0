"""Hashes of the content of rows: the definition."""

import numpy as np


def hash_rows(X, coarse, hashes, n_threads):
    """Write a 64-bit hash of each row's values; zeros of either sign count as absent, any NaN as the same."""
    hashes[:] = _mixed(_entries(X, np.arange(X.shape[1]), coarse).sum(axis=1, dtype=np.uint64))


def hash_sparse_rows(data, indices, indptr, coarse, hashes, n_threads):
    """Write the hash of each row of a CSR matrix: that of its dense twin."""
    running = np.append(np.uint64(0), np.cumsum(_entries(data, indices, coarse), dtype=np.uint64))
    hashes[:] = _mixed(running[indptr[1:]] - running[indptr[:-1]])


def _entries(values, columns, coarse):
    kind = np.float32 if coarse else values.dtype
    with np.errstate(over="ignore"):
        values = values.astype(kind)
    integer = np.uint32 if np.dtype(kind) == np.float32 else np.uint64
    bits = np.where(np.isnan(values), ~integer(0), values.view(integer)).astype(np.uint64)
    hashes = _mixed(bits + (columns.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15))
    return np.where(values == 0, np.uint64(0), hashes)


def _mixed(z):
    for _ in range(2):
        z = (z ^ (z >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    return z ^ (z >> np.uint64(32))
