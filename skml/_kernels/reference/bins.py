"""Twin of bins.pyx: the codes of values, in plain NumPy."""

import numpy as np


def encode(X, edges, starts, category_codes, categorical, unknown, codes, n_threads):
    """Write how many edges lie below each number, the code of each category; 255 for NaN."""
    _check(edges, starts, category_codes, categorical, unknown)
    if X.shape[1] != len(categorical) or codes.shape != X.shape:
        raise ValueError("X and codes disagree in shape with the bins.")
    for f in range(len(categorical)):
        own = slice(starts[f], starts[f + 1])
        codes[:, f] = _codes(X[:, f], edges[own], category_codes[own], categorical[f], unknown[f])


def encode_entries(data, features, edges, starts, category_codes, categorical, unknown, codes, n_threads):
    """Write the codes of single entries, as `encode` does."""
    _check(edges, starts, category_codes, categorical, unknown)
    if not len(data) == len(features) == len(codes) or np.any((features < 0) | (features >= len(categorical))):
        raise ValueError("data, features and codes must agree in length, and features must be those of the bins.")
    for f in np.unique(features):
        own, here = slice(starts[f], starts[f + 1]), features == f
        codes[here] = _codes(data[here], edges[own], category_codes[own], categorical[f], unknown[f])


def pack(codes, common, words, starts, entries):
    """Write the codes that are not common, row by row, and where they are."""
    (n, p), n_words = codes.shape, words.shape[1]
    if not 0 < p == len(common) <= 65535 or words.shape != (n, -(-p // 48)) or len(starts) != n + 1:
        raise ValueError("rows must have 1 to 65535 features; common, words and starts must have room for them.")
    if len(entries) != codes.size:
        raise ValueError("entries must have room for all codes.")
    kept = codes != common
    bits = np.pad(kept, ((0, 0), (0, 48 * n_words - p))).reshape(n, n_words, 48)
    counts = bits.sum(axis=2)
    words[:] = bits @ (np.uint64(1) << np.arange(48, dtype=np.uint64))
    words |= (np.cumsum(counts, axis=1) - counts).astype(np.uint64) << np.uint64(48)
    starts[0], starts[1:] = 0, np.cumsum(kept.sum(axis=1))
    entries[: starts[-1]] = codes[kept]


def turn(words, starts, entries, column_words, column_starts, column_codes):
    """Write the entries of packed rows column by column."""
    n, p = len(words), len(column_words)
    held = _held(words, starts, entries, p)
    if column_words.shape[1] != -(-n // 64) or len(column_starts) != p + 1 or len(column_codes) != len(entries):
        raise ValueError("column_words, column_starts and column_codes must have room for the entries.")
    bits = np.pad(held.T, ((0, 0), (0, 64 * column_words.shape[1] - n))).reshape(p, -1, 64)
    column_words[:] = bits @ (np.uint64(1) << np.arange(64, dtype=np.uint64))
    column_starts[0], column_starts[1:] = 0, np.cumsum(held.sum(axis=0))
    codes = np.zeros(held.shape, np.uint8)
    codes[held] = entries
    column_codes[:] = codes.T[held.T]


def unpack(words, starts, entries, common, rows, codes):
    """Write the codes of some packed rows."""
    held = _held(words, starts, entries, len(common))
    if codes.shape != (len(rows), len(common)) or np.any((rows < 0) | (rows >= len(words))):
        raise ValueError("rows must be those that are packed, and have room in codes.")
    for i, row in enumerate(rows):
        codes[i] = common
        codes[i, held[row]] = entries[starts[row] : starts[row + 1]]


def _held(words, starts, entries, p):
    """Return which values packed rows hold."""
    if p == 0 or words.shape != (len(starts) - 1, -(-p // 48)):
        raise ValueError("words and starts do not lead to the entries of packed rows.")
    bits = words[:, :, None] >> np.arange(48, dtype=np.uint64) & np.uint64(1)
    held = bits.reshape(len(words), -1)[:, :p].astype(bool)
    if starts[0] != 0 or starts[-1] != len(entries) or np.any(np.diff(starts) != held.sum(axis=1)):
        raise ValueError("words and starts do not lead to the entries of packed rows.")
    return held


def _codes(values, edges, category_codes, categorical, unknown):
    values = values.astype(np.float64)
    if categorical:
        at = np.searchsorted(edges[:-1], values)
        codes = np.where(edges[at] == values, category_codes[at], unknown)
    else:
        codes = np.searchsorted(edges[:-1], values)
    return np.where(np.isnan(values), 255, codes)


def _check(edges, starts, category_codes, categorical, unknown):
    p, sizes = len(categorical), np.diff(starts)
    if len(edges) != len(category_codes) or not p == len(unknown) == len(sizes) or p == 0:
        raise ValueError("edges, starts, category_codes, categorical and unknown disagree in length.")
    if starts[0] != 0 or starts[-1] != len(edges) or np.any(sizes < 1) or np.any((sizes > 255) & (categorical == 0)):
        raise ValueError("starts must lead from 0 to the number of edges, at most 255 for a number.")
