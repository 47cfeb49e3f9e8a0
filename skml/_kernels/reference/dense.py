"""Twin of dense.pyx: products and what comes after them in plain NumPy."""

import numpy as np
from scipy.special import erf


def multiply(x, w, transposed, b, add, y, n_threads):
    """Write y = x w + b + add."""
    w = w.T if transposed else w
    _same(x.shape[1] == len(w), y.shape == (len(x), w.shape[1]), b.shape in ((0,), y.shape[1:]))
    _same(add.shape == y.shape or not add.size, x.shape[1] > 0 or not y.size, not np.shares_memory(add, y))
    y[:] = x @ w + (b if b.size else 0) + (add if add.size else 0)


def feed_forward(x, w, b, w_out, b_out, add, z, y, by_tanh, n_threads):
    """Write z = x w + b and y = gelu(z) w_out + b_out + add; what is between the two products stays in the cache."""
    _same(len(x) == len(z) == len(y), w.shape == (x.shape[1], z.shape[1]), w_out.shape == (z.shape[1], y.shape[1]))
    _same(b.shape == z.shape[1:], add.shape == y.shape or not add.size, not np.shares_memory(add, y))
    _same(b_out.shape == y.shape[1:], x.shape[1] * w_out.size > 0 or not len(x))
    z[:] = x @ w + b
    y[:] = (z * (_nearly_below(z) if by_tanh else _below(z))) @ w_out + b_out + (add if add.size else 0)


def feed_backward(dy, w_out, z, dw_out, db_out, by_tanh, n_threads):
    """Carry dy back through y = gelu(z) w_out + b_out, with gelu(z) computed once more for some rows at a time."""
    _same(dy.shape[1] == w_out.shape[1] > 0 or not z.size, z.shape == (len(dy), len(w_out)))
    _same(dw_out.shape == w_out.shape, db_out.shape == dy.shape[1:])
    share = _nearly_below(z) if by_tanh else _below(z)
    steep = 2 * share * (1 - share) * (1 + 3 * 0.044715 * z * z) if by_tanh else 0.5 * np.exp(-0.5 * z * z)
    gradients(z * share, dy, dw_out, db_out, n_threads)
    z[:] = dy @ w_out.T * (share + z * steep * np.sqrt(2 / np.pi))


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
