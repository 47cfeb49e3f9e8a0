"""Twin of sequences.pyx: embeddings, normalisation and losses of tokens in plain NumPy."""

import numpy as np
from scipy.special import log_softmax


def embed(tokens, first, wte, wpe, y, n_threads):
    """Write the sum of each token's and its position's vector."""
    _same(tokens.shape == first.shape == y.shape[:2], y.shape[2] == wte.shape[1])
    _check_codes(tokens, first, len(wte), wpe, y.shape[2])
    y[:] = wte[tokens] + (wpe[np.arange(y.shape[1]) - first] if len(wpe) else 0)


def embed_backward(dy, tokens, first, dwte, dwpe, n_threads):
    """Add the gradients to those of the vectors."""
    _same(tokens.shape == first.shape == dy.shape[:2], dy.shape[2] == dwte.shape[1])
    _check_codes(tokens, first, len(dwte), dwpe, dy.shape[2])
    np.add.at(dwte, tokens, dy)
    if len(dwpe):
        np.add.at(dwpe, np.arange(dy.shape[1]) - first, dy)


def rms_norm(x, gamma, eps, y, rstd, n_threads):
    """Write gamma x rstd."""
    _same(x.shape == y.shape, len(x) == len(rstd), x.shape[1] == len(gamma))
    if x.size:
        rstd[:] = 1 / np.sqrt(np.square(x, dtype=np.float64).mean(axis=1) + eps)
        y[:] = gamma * x * rstd[:, None]


def norm_backward(dy, x, gamma, mean, rstd, add, dx, dgamma, dbeta, n_threads):
    """Write the gradients of layer_norm or rms_norm, that at x plus `add`."""
    _same(x.shape == dy.shape == dx.shape, len(rstd) == len(x), len(mean) in (0, len(x)), len(dbeta) in (0, x.shape[1]))
    _same(x.shape[1] == len(gamma) == len(dgamma), not add.size or add.shape == x.shape)
    h, xh = gamma * dy, (x - (mean[:, None] if len(mean) else 0)) * rstd[:, None]
    dgamma[:] = (dy * xh).sum(axis=0, dtype=np.float64)
    dbeta[:] = dy.sum(axis=0, dtype=np.float64) if len(dbeta) else 0
    if x.size:
        slope = h - xh * (h * xh).mean(axis=1, keepdims=True) - (h.mean(axis=1, keepdims=True) if len(mean) else 0)
        dx[:] = slope * rstd[:, None] + (add if add.size else 0)


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


def _check_codes(tokens, first, V, wpe, C):
    """Raise unless there is a vector for each token and for each place."""
    places = np.arange(tokens.shape[1]) - first
    if tokens.size and not 0 <= tokens.min() <= tokens.max() < V:
        raise ValueError(f"A token is {tokens.max() if tokens.min() >= 0 else tokens.min()}, outside 0 to {V - 1}.")
    if not ((first >= 0) & (places >= 0)).all():
        raise ValueError("first must be at least 0, and at most the moment that it is about.")
    _same(not len(wpe) or wpe.shape[1] == C, not len(wpe) or (places < len(wpe)).all())


def _same(*conditions):
    """Raise unless all hold."""
    if not all(conditions):
        raise ValueError("The arguments disagree in shape, or a number lies outside its range.")
