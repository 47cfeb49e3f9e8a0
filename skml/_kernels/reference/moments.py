"""Twins of the kernels that sum centred products over blocks of the data."""

import numpy as np


def centre(X, shift, scale, out, total):
    """Write ``scale * (X - shift)`` to `out` and add its `scale`-weighted column sums to `total`."""
    factor = scale[:, None] if len(scale) else np.ones(1)
    out[...] = (X - shift) * factor
    total += (out * factor).sum(axis=0, dtype=np.float64)


def add_scatter(X, shift, scale, total, scatter):
    """Add ``B.T @ B`` with ``B = scale * (X - shift)`` to the lower triangle of `scatter`, some rows at a time."""
    for start in range(0, len(X), 240):
        rows = slice(start, start + 240)
        B = np.empty_like(X[rows])
        centre(X[rows], shift, scale[rows], B, total)
        scatter += np.tril(B.T @ B)


def add_gram(X, scale, mean, gram):
    """Centre columns by their weighted means and add ``B @ B.T`` to the lower triangle of `gram`."""
    factor = scale[:, None] if len(scale) else np.ones((len(X), 1))
    B = X - X[0].astype(np.float64)
    offset = (factor**2 * B).sum(axis=0) / (factor**2).sum()
    mean[...] = X[0] + offset
    B = factor * (B - offset)
    gram += np.tril(B @ B.T)


def project(X, mean, V, out):
    """Write ``(X - mean) @ V`` to `out`."""
    out[...] = (X.astype(V.dtype) - mean) @ V
