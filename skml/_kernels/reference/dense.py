"""Twin of dense.pyx: products and what comes after them in plain NumPy."""

import numpy as np
from scipy.special import erf


def multiply(x, w, transposed, b, add, y, h, by_tanh, n_threads):
    """Write y = x w + b + add, and h = gelu(y) if asked for; only one of add and h."""
    w = w.T if transposed else w
    _same(x.shape[1] == len(w), y.shape == (len(x), w.shape[1]), b.shape in ((0,), y.shape[1:]))
    _same(add.shape == y.shape or not add.size, h.shape == y.shape or not h.size, not (add.size and h.size))
    _same(x.shape[1] > 0 or not y.size, not np.shares_memory(add, y))
    y[:] = x @ w + (b if b.size else 0) + (add if add.size else 0)
    if h.size:
        h[:] = y * (_nearly_below(y) if by_tanh else _below(y))


def through_gelu(dy, w, z, h, by_tanh, n_threads):
    """Carry dy back through y = gelu(z) w to z, and write h = gelu(z) once more."""
    _same(dy.shape[1] == w.shape[1] > 0 or not z.size, z.shape == h.shape == (len(dy), len(w)))
    share = _nearly_below(z) if by_tanh else _below(z)
    steep = 2 * share * (1 - share) * (1 + 3 * 0.044715 * z * z) if by_tanh else 0.5 * np.exp(-0.5 * z * z)
    h[:] = z * share
    z[:] = dy @ w.T * (share + z * steep * np.sqrt(2 / np.pi))


def gradients(x, dy, dw, db, n_threads):
    """Write dw = x^T dy, and the sums of the columns of dy."""
    _same(len(x) == len(dy), dw.shape == (x.shape[1], dy.shape[1]), db.shape in ((0,), dy.shape[1:]))
    dw[:] = x.T @ dy
    db[:] = dy.sum(axis=0, dtype=np.float64) if db.size else 0


def _below(z):
    """Return the normal distribution's P(Z <= z)."""
    return 0.5 * (1 + erf(z / np.sqrt(z.dtype.type(2))))


def _nearly_below(z):
    """Return GPT-2's curve near that, (1 + tanh(sqrt(2 / pi) (z + 0.044715 z^3))) / 2."""
    return 0.5 * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3)))


def _same(*conditions):
    """Raise unless all hold."""
    if not all(conditions):
        raise ValueError("The arguments disagree in shape, or a number lies outside its range.")
