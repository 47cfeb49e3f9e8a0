"""Twins of the kernels that sum centred products over blocks of the data."""

import numpy as np


def centre(X, shift, scale, out, total):
    """Write ``scale * (X - shift)`` to `out` and add its `scale`-weighted column sums to `total`."""
    factor = scale[:, None] if len(scale) else np.ones(1)
    out[...] = (X - shift) * factor
    total += (out * factor).sum(axis=0, dtype=np.float64)


def add_scatter(X, shift, scale, block, total, scatter):
    """Add ``B.T @ B`` with ``B = scale * (X - shift)`` to the lower triangle of `scatter`, block by block."""
    for start in range(0, len(X), len(block)):
        rows = slice(start, start + len(block))
        B = block[: len(X[rows])]
        centre(X[rows], shift, scale[rows], B, total)
        scatter += np.tril(B.T @ B)


def add_gram(X, scale, block, mean, gram):
    """Centre columns by their weighted means and add ``B @ B.T`` to the lower triangle of `gram`."""
    factor = scale[:, None] if len(scale) else np.ones((len(X), 1))
    block[...] = X - X[0].astype(np.float64)
    offset = (factor**2 * block).sum(axis=0) / (factor**2).sum()
    mean[...] = X[0] + offset
    block[...] = factor * (block - offset)
    gram += np.tril(block @ block.T)
