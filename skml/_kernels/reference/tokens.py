"""Twin of tokens.pyx: losses of tokens, and sums over the rows of equal ones."""

import numpy as np
from scipy.special import log_softmax


def cross_entropy(z, targets, shares, dz, losses, n_threads):
    """Write ln sum_k exp(z_k) - z_target per token and its gradient."""
    N, V = z.shape
    _same(len(targets) == len(shares) == len(losses) == N, dz.shape == z.shape, n_threads >= 1)
    _same(not N or -1 <= targets.min() <= targets.max() < V)
    for i in range(N if V else 0):
        logs = log_softmax(z[i].astype(np.float64))
        losses[i] = -logs[targets[i]] if targets[i] >= 0 else 0
        dz[i] = shares[i] * np.exp(logs) if targets[i] >= 0 else 0
        dz[i, targets[i]] -= shares[i] if targets[i] >= 0 else 0
    losses[:] = losses if V else 0


def sum_rows(rows, codes, out, n_threads):
    """Write for each code the sum of its rows, in their order."""
    _same(len(rows) == len(codes), rows.shape[1] == out.shape[1], n_threads >= 1)
    _same(not len(codes) or 0 <= codes.min() <= codes.max() < len(out))
    _same(rows.shape[1] < 2 or not rows.size or rows.strides[1] == rows.itemsize)
    out[:] = 0
    np.add.at(out, codes, rows)


def _same(*conditions):
    """Raise unless all hold."""
    if not all(conditions):
        raise ValueError("The arguments disagree in shape, or a number lies outside its range.")
