"""Twin of fused.pyx: activations, normalisation, cross-entropy, optimisers and dropout in plain NumPy."""

import numpy as np
from scipy.special import expit, log_softmax, ndtr, softmax

_PART, _LOW = 8192, np.uint64(0xFFFFFFFF)


def bias_activation(z, b, activation, n_threads):
    """Replace z by activation(z + b)."""
    _same(activation in range(6), len(b) in (0, z.shape[1]))
    z += b if len(b) else 0
    z[:] = _activated(z, activation)


def activation_backward(dy, y_or_z, dz, activation, n_threads):
    """Write dy times the activation's derivative."""
    _same(activation in range(6), dy.shape == y_or_z.shape == dz.shape)
    dz[:] = dy * _derivative(y_or_z, activation)


def _activated(z, activation):
    """Return identity, relu, leaky relu, gelu, tanh or sigmoid of z."""
    if activation == 3:
        with np.errstate(invalid="ignore"):  # -inf times 0 is NaN
            return z * ndtr(z)
    if activation == 1:
        return np.where(z < 0, z.dtype.type(0), z)
    if activation == 2:
        return np.where(z < 0, z.dtype.type(0.01) * z, z)
    return {0: np.copy, 4: np.tanh, 5: expit}[activation](z)


def _derivative(y, activation):
    """Return the derivative, from what came out; of gelu from what went in."""
    if activation == 3:
        return ndtr(y) + y * np.exp(-0.5 * y * y) / np.sqrt(2 * np.pi)
    if activation in (1, 2):
        return np.where(y > 0, 1, 0 if activation == 1 else 0.01)
    return {0: np.ones_like(y), 4: 1 - y * y, 5: y * (1 - y)}[activation]


def softmax_cross_entropy(z, target_codes, sample_weight, smoothing, class_weight, dz, loss, n_threads):
    """Write w (ln sum_k exp(z_k) - sum_k q_k z_k) per row and its gradient, with q = (1 - s) [k = target] + s / K."""
    B, K = z.shape
    _same(len(target_codes) == len(loss) == B, dz.shape == z.shape, len(sample_weight) in (0, B))
    _same(len(class_weight) in (0, K), 0 <= smoothing <= 1)
    if len(target_codes) and not 0 <= target_codes.min() <= target_codes.max() < K:
        raise ValueError(f"target_codes lie outside 0 to {K - 1}.")
    q = (1 - smoothing) * np.eye(K)[target_codes] + smoothing / max(K, 1)
    w = sample_weight if len(sample_weight) else np.ones(B)
    w = w * (class_weight[target_codes] if len(class_weight) else 1)
    with np.errstate(over="ignore"):
        loss[:] = -w * (q * log_softmax(z.astype(np.float64), axis=1)).sum(axis=1) if B else 0
    dz[:] = w[:, None] * (softmax(z.astype(np.float64), axis=1) - q) if B else 0


def layer_norm(x, gamma, beta, eps, y, mean, rstd, n_threads):
    """Write gamma (x - mean) rstd + beta, with the mean and the variance of each row."""
    _same(x.shape == y.shape, len(x) == len(mean) == len(rstd), x.shape[1] == len(gamma) == len(beta))
    if x.size:
        mean[:], rstd[:] = x.mean(axis=1, dtype=np.float64), 1 / np.sqrt(x.var(axis=1, dtype=np.float64) + eps)
        y[:] = gamma * (x - mean[:, None]) * rstd[:, None] + beta


def batch_norm_statistics(x, mean, var, n_threads):
    """Write the mean and the variance of each column."""
    _same(len(x) > 0, x.shape[1] == len(mean) == len(var))
    apart = x.astype(np.float64) - x[0]  # equal numbers are then 0
    mean[:], var[:] = x[0] + apart.mean(axis=0), apart.var(axis=0)


def batch_norm(x, scale, shift, y, activation, n_threads):
    """Write activation(x scale + shift)."""
    _same(x.shape == y.shape, x.shape[1] == len(scale) == len(shift), activation in range(6))
    y[:] = _activated(x * scale + shift, activation)


def batch_norm_backward(dy, x, mean, rstd, gamma, dx, dgamma, dbeta, n_threads):
    """Write the gradients of gamma (x - mean) rstd + beta, whose mean and rstd depend on x."""
    _same(x.shape == dy.shape == dx.shape)
    _same(x.shape[1] == len(mean) == len(rstd) == len(gamma) == len(dgamma) == len(dbeta))
    xh = (x - mean) * rstd
    of_dy, of_dyx = dy.sum(axis=0, dtype=np.float64), (dy * xh).sum(axis=0, dtype=np.float64)
    dbeta[:], dgamma[:] = of_dy, of_dyx
    dx[:] = gamma * rstd * (dy - of_dy / max(len(x), 1) - xh * of_dyx / max(len(x), 1))


def adam(w, g, m, v, rate, beta1, beta2, eps, decay, penalty, n_threads):
    """Take one step of Adam: w <- (1 - decay) w - rate m / (sqrt(v) + eps), m and v those of g + penalty w."""
    _same(len(w) == len(g) == len(m) == len(v))
    slope = g + penalty * w
    m[:] = beta1 * m + (1 - beta1) * slope
    v[:] = beta2 * v + (1 - beta2) * slope * slope
    w[:] = (1 - decay) * w - rate * m / (np.sqrt(v) + eps)


def sgd(w, g, m, rate, momentum, nesterov, decay, n_threads):
    """Take one step: m <- momentum m + g; w <- w - rate m, or with Nesterov's momentum w - rate (momentum m + g)."""
    _same(len(w) == len(g) == len(m))
    slope = g + decay * w
    m[:] = momentum * m + slope
    w -= rate * (momentum * m + slope if nesterov else m)


def sum_of_squares(x, n_threads):
    """Return the sum of the squares, a float64."""
    return float(np.square(x, dtype=np.float64).sum())


@np.errstate(over="ignore")
def dropout(x, y, p, seed, step, layer, n_threads):
    """Write x / (1 - p) where a hash of (seed, step, layer, element) is no less than p, and 0 elsewhere."""
    _same(len(x) == len(y), 0 <= p < 1)
    first, of_layer = _mixed(_mixed(seed) + np.uint64(step)), np.uint64(layer)
    element = np.arange(len(x), dtype=np.uint64)
    key = _mixed(_mixed(first + of_layer) + element // np.uint64(_PART))
    bits = _scattered((_scattered((element % np.uint64(_PART)) ^ (key & _LOW)) + (key >> np.uint64(32))) & _LOW)
    y[:] = np.where(bits >= int(p * 2**32), x * x.dtype.type(1 / (1 - p)), 0)


@np.errstate(over="ignore")
def _mixed(z):
    """Return 64 random bits: splitmix64 (Steele, Lea & Flood 2014)."""
    z = np.uint64(z) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _scattered(x):
    """Return an integer hash of 32 bits."""
    x = ((x ^ (x >> np.uint64(16))) * np.uint64(0x7FEB352D)) & _LOW
    x = ((x ^ (x >> np.uint64(15))) * np.uint64(0x846CA68B)) & _LOW
    return x ^ (x >> np.uint64(16))


def _same(*conditions):
    """Raise unless all hold."""
    if not all(conditions):
        raise ValueError("The arguments disagree in shape, or a number lies outside its range.")
