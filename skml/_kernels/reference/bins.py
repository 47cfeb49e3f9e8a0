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
