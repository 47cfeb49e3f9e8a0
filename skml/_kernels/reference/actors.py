"""Twin of actors.pyx: policies and critics that are small networks in plain NumPy."""

import numpy as np
from scipy.special import log_softmax

from skml._kernels.reference.environments import _GOLDEN, _MASK, _uniform
from skml._kernels.reference.environments import _mixed as _draw_bits
from skml._kernels.reference.fused import _activated, _derivative, _same


def _layers(x, w, sizes, y):
    """Yield for each layer its input, its matrix, its bias and its output, as views."""
    n_weights, n_outputs = (sizes[:-1] + 1) @ sizes[1:], sizes[1:].sum()
    _same(len(sizes) > 1, min(sizes) > 0, x.shape[1] == sizes[0], len(w) == n_weights, len(y) == len(x) * n_outputs)
    for K, M in zip(sizes[:-1].tolist(), sizes[1:].tolist()):
        matrix, b, w = w[: K * M].reshape(K, M), w[K * M : K * M + M], w[K * M + M :]
        out, y = y[: len(x) * M].reshape(len(x), M), y[len(x) * M :]
        yield x, matrix, b, out
        x = out


def forward(x, w, sizes, activation, y, n_threads):
    """Compute the outputs of all layers of a network."""
    _same(activation in (0, 1, 2, 4, 5))
    layers = list(_layers(x, w, sizes, y))
    for i, (into, matrix, b, out) in enumerate(layers):
        out[:] = into @ matrix + b
        if i + 1 < len(layers):
            out[:] = _activated(out, activation)


def backward(x, w, sizes, activation, y, dz, g, n_threads):
    """Compute the gradient at the parameters."""
    n = len(dz)
    _same(activation in (0, 1, 2, 4, 5), n <= len(x), dz.shape[1] == sizes[-1], g.shape == w.shape)
    layers, gradients = list(_layers(x, w, sizes, y)), list(_layers(x, g, sizes, y))
    for (into, matrix, _, _), (_, dw, db, _) in zip(layers[::-1], gradients[::-1]):
        dw[:], db[:] = into[:n].T @ dz, dz.sum(axis=0)
        dz = (dz @ matrix.T) * _derivative(into[:n], activation)


def _log_probabilities(logits, allowed):
    """Return those of each row, minus infinity where an action isn't allowed."""
    _same(len(allowed) == 0 or allowed.shape == logits.shape and allowed.any(axis=1).all())
    exact = logits.astype(np.float64)
    return log_softmax(np.where(allowed, exact, -np.inf) if len(allowed) else exact, axis=1)


def act(logits, allowed, seed, step, actions):
    """Draw an action in each copy; chance depends on the seed, the copy and the step alone."""
    _same(len(actions) == len(logits), logits.shape[1] > 0 or len(logits) == 0)
    first, step = _draw_bits(~int(seed) & _MASK), int(step)
    drawn = [_uniform(_draw_bits(first + i * _GOLDEN), step) for i in range(len(logits))]
    cumulative = np.exp(_log_probabilities(logits, allowed)).cumsum(axis=1) if len(logits) else np.empty((0, 1))
    actions[:] = (cumulative <= (drawn * cumulative[:, -1])[:, None]).sum(axis=1)


def slopes(logits, actions, allowed, weights, bonus, dz, figures):
    """Differentiate the sum of -weight ln p(action) - bonus H(p), at the logits."""
    (N, A), rows = logits.shape, np.arange(len(logits))
    _same(len(actions) == len(weights) == len(bonus) == N, dz.shape == (N, A), figures.shape == (N, 3))
    _same(N == 0 or 0 <= actions.min() <= actions.max() < A)
    log_p = _log_probabilities(logits, allowed)
    p, finite = np.exp(log_p), np.where(np.isneginf(log_p), 0, log_p)
    entropy = -(p * finite).sum(axis=1)
    taken = np.arange(A) == actions[:, None]
    dz[:] = weights[:, None] * (p - taken) + bonus[:, None] * p * (finite + entropy[:, None])
    figures[:, 0], figures[:, 1] = log_p[rows, actions], entropy
    figures[:, 2] = np.where(np.isneginf(log_p), 1, p).min(axis=1, initial=1)


def advantages(reward, value, next_value, terminated, ended, discount, gae_lambda, out):
    """Write A_t = delta_t + discount gae_lambda A_tp1 with delta_t = r_tp1 + discount V(s_tp1) - V(s_t)."""
    shapes = (array.shape for array in (value, next_value, terminated, ended, out))
    _same(*(shape == reward.shape for shape in shapes))
    ahead = np.zeros(reward.shape[1])
    for t in reversed(range(len(reward))):
        over, last = terminated[t] > 0, (terminated[t] > 0) | (ended[t] > 0)
        delta = reward[t] + np.where(over, 0, discount * next_value[t]) - value[t]
        ahead = out[t] = delta + discount * gae_lambda * np.where(last, 0, ahead)
