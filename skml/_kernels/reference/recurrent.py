"""Twin of recurrent.pyx: recurrent cells over whole sequences in plain NumPy."""

import numpy as np
from scipy.special import expit

from skml._kernels.reference.fused import _activated, _derivative

_RNN, _GRU, _LSTM = range(3)


def packed_size(depth, columns):
    """Return how many numbers a packed matrix has: here as many as it had."""
    return depth * columns


def pack(w, packed):
    """Write a matrix in the order in which `forward` (with w) and `backward` (with its transpose) read it."""
    _same(len(packed) >= w.size)
    packed[: w.size] = w.ravel()


def forward(inputs, codes, packed, bias, first, state, kept, before, cells, y, cell, activation, n_threads):
    """Run a recurrent cell over sequences."""
    B, T, H = y.shape
    G, rows = (1, 3, 4)[cell] * H if cell in range(3) else 0, codes if len(codes) else np.arange(B * T).reshape(B, T)
    _fit(state, kept, before, cells, first, y.shape, cell, activation, packed, n_threads)
    _fit_inputs(inputs, codes, bias, y.shape, cell)
    w = packed[: H * G].reshape(H, G)
    for t in range(T if B and H else 0):
        state[:, _starts(first, t, B)] = 0
        h_and_c = state.copy()
        stored = _CELLS[cell](state[0] @ w, inputs[rows[:, t], :G], bias, state, activation)
        y[:, t] = state[0]
        for there, now in ((kept, np.concatenate(stored, axis=1)), (before, h_and_c[0]), (cells, h_and_c[-1])):
            if there.size:
                there[:, t] = now


def backward(dy, packed, first, dstate, kept, before, cells, cell, activation, n_threads):
    """Carry a gradient back through `forward`; of a GRU the last H columns are at the product within the new state."""
    B, T, H = dy.shape
    G = (1, 3, 4)[cell] * H if cell in range(3) else 0
    _same(kept.ndim == 3 and kept.shape[:2] == (B, T), before.shape == dy.shape)
    _fit(dstate, kept, before, cells, first, dy.shape, cell, activation, packed, n_threads)
    for t in reversed(range(T if B and H else 0)):
        dstate[0] += dy[:, t]
        parts = np.split(kept[:, t], kept.shape[2] // H, axis=1)
        c = cells[:, t] if cell == _LSTM else None
        at_product, at_inputs = _BACK[cell](parts, before[:, t], c, dstate, activation)
        kept[:, t] = np.concatenate(at_inputs, axis=1)
        dstate[0] += np.concatenate(at_product, axis=1) @ packed[: G * H].reshape(G, H)
        dstate[:, _starts(first, t, B)] = 0


def _plain(z, x, b, state, activation):
    state[0] = _activated(z + x + b, activation)
    return [state[0]]


def _gru(z, x, b, state, activation):
    """h <- (1 - u) n + u h with n = tanh(x_n + b_n + r m), m = z_n + b_m."""
    (z_r, z_u, z_n), (x_r, x_u, x_n) = np.split(z, 3, axis=1), np.split(x, 3, axis=1)
    b_r, b_u, b_n, b_m = np.split(b, 4)
    r, u, m = expit(z_r + x_r + b_r), expit(z_u + x_u + b_u), z_n + b_m
    n = np.tanh(x_n + b_n + r * m)
    state[0] = (1 - u) * n + u * state[0]
    return [r, u, n, m]


def _lstm(z, x, b, state, activation):
    """c <- f c + i g and h <- o tanh(c)."""
    i, f, g, o = (turn(part) for turn, part in zip((expit, expit, np.tanh, expit), np.split(z + x + b, 4, axis=1)))
    state[1] = f * state[1] + i * g
    state[0] = o * np.tanh(state[1])
    return [i, f, g, o]


def _plain_back(parts, before, cells, dstate, activation):
    dz = dstate[0] * _derivative(parts[0], activation)
    dstate[0] = 0
    return [dz], [dz]


def _gru_back(parts, before, cells, dstate, activation):
    r, u, n, m = parts
    dh = dstate[0].copy()
    dn, du = dh * (1 - u) * (1 - n * n), dh * (before - n) * u * (1 - u)
    dr, dm = dn * m * r * (1 - r), dn * r
    dstate[0] = dh * u
    return [dr, du, dm], [dr, du, dn, dm]


def _lstm_back(parts, before, cells, dstate, activation):
    i, f, g, o = parts
    y = np.tanh(f * cells + i * g)
    dh, dc = dstate[0].copy(), dstate[1] + dstate[0] * o * (1 - y * y)
    dz = [dc * g * i * (1 - i), dc * cells * f * (1 - f), dc * i * (1 - g * g), dh * y * o * (1 - o)]
    dstate[0], dstate[1] = 0, dc * f
    return dz, dz


_CELLS, _BACK = (_plain, _gru, _lstm), (_plain_back, _gru_back, _lstm_back)


def _starts(first, t, B):
    """Tell which rows forget their state before moment t."""
    return first[:, t] == t if len(first) else np.full(B, t == 0)


def _fit(state, kept, before, cells, first, shape, cell, activation, packed, n_threads):
    """Raise unless the arrays fit; absent ones have no rows."""
    B, T, H = shape
    _same(cell in range(3), activation in (0, 1, 2, 4, 5), n_threads >= 1)
    _same(state.shape == (1 + (cell == _LSTM), B, H), len(packed) >= (1, 3, 4)[cell] * H * H)
    _same(not len(kept) or (kept.shape == (B, T, (4 if cell else 1) * H) and before.shape == shape))
    _same(not len(kept) or cell != _LSTM or cells.shape == shape, not len(first) or first.shape == (B, T))


def _fit_inputs(inputs, codes, bias, shape, cell):
    """Raise unless there are inputs and biases for all gates."""
    (B, T, H), n = shape, len(inputs)
    G = (1, 3, 4)[cell] * H
    _same(len(bias) == (4 if cell else 1) * H, inputs.shape[1] >= G)
    _same(G < 2 or not inputs.size or inputs.strides[1] == inputs.itemsize)
    _same(not B or (codes.shape == (B, T) if len(codes) else n == B * T))
    _same(not codes.size or 0 <= codes.min() <= codes.max() < n)


def _same(*conditions):
    """Raise unless all hold."""
    if not all(conditions):
        raise ValueError("The arguments disagree in shape, or a number lies outside its range.")
