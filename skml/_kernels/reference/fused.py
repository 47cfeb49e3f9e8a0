"""Twin of fused.pyx: element-wise passes, pooling and normalisation, in plain NumPy."""

import numpy as np
from scipy.special import erf, expit

_SLOPE = 0.01


def bias_activation(z, b, activation, n_threads):
    """Add b to the rows of z and apply the activation, in place."""
    if len(b):
        z += b
    functions = (
        lambda z: z,
        lambda z: np.maximum(z, 0),
        lambda z: np.where(z > 0, z, _SLOPE * z),
        lambda z: z * (0.5 * (1 + erf(z / np.sqrt(z.dtype.type(2))))),
        np.tanh,
        expit,
    )
    z[...] = functions[activation](z)


def activation_backward(dy, y_or_z, dz, activation, n_threads):
    """Write the gradient before the activation."""
    derivatives = (
        lambda y: 1,
        lambda y: y > 0,
        lambda y: np.where(y > 0, y.dtype.type(1), y.dtype.type(_SLOPE)),
        lambda z: 0.5 * (1 + erf(z / np.sqrt(z.dtype.type(2)))) + z * np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi),
        lambda y: 1 - y * y,
        lambda y: y * (1 - y),
    )
    dz[...] = dy * derivatives[activation](y_or_z)


def max_pool(x, y, index, kernel, stride, pad, sign, n_threads):
    """Write the largest (sign 1) or smallest (-1) of each window, and its place."""
    y[...], index[...] = 0, 255
    for oh, ow in np.ndindex(y.shape[1:3]):
        places = _window(oh, ow, x.shape, kernel, stride, pad)
        if places:
            k, h, w = (np.array(part) for part in zip(*places))
            best = (sign * x[:, h, w]).argmax(axis=1)
            y[:, oh, ow], index[:, oh, ow] = np.take_along_axis(x[:, h, w], best[:, None], 1)[:, 0], k[best]


def max_pool_backward(dy, index, dx, kernel, stride, pad, n_threads):
    """Write the gradient at x: that of each window goes to its place."""
    dx[...] = 0
    for oh, ow in np.ndindex(dy.shape[1:3]):
        for k, h, w in _window(oh, ow, dx.shape, kernel, stride, pad):
            dx[:, h, w] += np.where(index[:, oh, ow] == k, dy[:, oh, ow], 0)


def _window(oh, ow, shape, kernel, stride, pad):
    """Return (place, row, column) of what a window sees."""
    top, left = oh * stride[0] - pad[0], ow * stride[1] - pad[1]
    places = [(i * kernel[1] + j, top + i, left + j) for i, j in np.ndindex(*kernel)]
    return [(k, h, w) for k, h, w in places if 0 <= h < shape[1] and 0 <= w < shape[2]]


def layer_norm(x, gamma, beta, eps, y, mean, rstd, n_threads):
    """Write each row at mean 0 and variance 1, times gamma, plus beta."""
    mean[:], rstd[:] = x.mean(axis=1), 1 / np.sqrt(x.var(axis=1) + eps)
    y[...] = (x - mean[:, None]) * rstd[:, None] * gamma + beta


def layer_norm_backward(dy, x, gamma, mean, rstd, dx, dgamma, dbeta, n_threads):
    """Write the gradients of layer_norm."""
    hat = (x - mean[:, None]) * rstd[:, None]
    dgamma[:], dbeta[:] = (dy * hat).sum(axis=0), dy.sum(axis=0)
    dhat = dy * gamma
    dx[...] = (dhat - dhat.mean(1, keepdims=True) - hat * (dhat * hat).mean(1, keepdims=True)) * rstd[:, None]


def batch_norm_statistics(x, mean, var, n_threads):
    """Write mean and (biased) variance of the columns."""
    mean[:], var[:] = x.mean(axis=0, dtype=np.float64), x.var(axis=0, dtype=np.float64)


def batch_norm(x, scale, shift, y, activation, n_threads):
    """Write activation(x * scale + shift)."""
    y[...] = x * scale
    bias_activation(y, shift, activation, n_threads)


def batch_norm_backward(dy, x, mean, rstd, gamma, dx, dgamma, dbeta, n_threads):
    """Write the gradients of a normalisation by the batch's own statistics."""
    hat = (x - mean) * rstd
    dgamma[:], dbeta[:] = (dy * hat).sum(axis=0), dy.sum(axis=0)
    dx[...] = (dy - (dbeta + hat * dgamma) / len(x)) * (gamma * rstd)


def dropout(x, y, p, seed, step, layer, n_threads):
    """Write x / (1 - p), and zero with probability p; element i's fate depends on (seed, step, layer, i) alone."""
    draws = np.random.default_rng([seed, step, layer]).random(x.size)
    y[...] = np.where(draws < p, 0, x / (1 - p))
