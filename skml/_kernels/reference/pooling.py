"""Twin of pooling.pyx: maxima, minima and means over windows in plain NumPy."""

import numpy as np


def max_pool(x, y, index, kernel, stride, pad, sign, n_threads):
    """Write the largest (smallest) of each window; what lies outside x doesn't count, windows of only that give 0."""
    index = index if len(index) else np.empty(y.shape, np.uint8)
    _check(x, y, index, kernel, (stride, pad, n_threads))
    if sign not in (1, -1):
        raise ValueError(f"sign is {sign}, expected 1 or -1.")
    y[:], index[:] = 0, 255
    for place in range(kernel[0] * kernel[1]):
        inside, outside = _views(x, y, place, kernel, (stride, pad))
        best, at, v = y[inside], index[inside], x[outside]
        better = (v * sign > best * sign) | (at == 255) | (np.isnan(v) & ~np.isnan(best))
        best[better], at[better] = v[better], place


def max_pool_backward(dy, index, dx, kernel, stride, pad, n_threads):
    """Write the gradient: each number of dy is added where its index points."""
    _check(dx, dy, index, kernel, (stride, pad, n_threads))
    dx[:] = 0
    for place in range(kernel[0] * kernel[1]):
        inside, outside = _views(dx, dy, place, kernel, (stride, pad))
        dx[outside] += np.where(index[inside] == place, dy[inside], 0)


def average_pool(x, y, kernel, stride, pad, n_threads):
    """Write the mean of what of each window lies in x; windows outside it give 0."""
    _check(x, y, y, (1, 1), (stride, pad, n_threads))
    y[:], counts = 0, np.zeros_like(y)
    for place in range(kernel[0] * kernel[1]):
        inside, outside = _views(x, y, place, kernel, (stride, pad))
        y[inside] += x[outside]
        counts[inside] += 1
    y *= 1 / np.maximum(counts, 1)


def average_pool_backward(dy, dx, kernel, stride, pad, n_threads):
    """Write the gradient: each number of dy is shared out evenly among what of its window lies in x."""
    _check(dx, dy, dy, (1, 1), (stride, pad, n_threads))
    one, counts = np.ones_like(dx), np.zeros_like(dy)
    for place in range(kernel[0] * kernel[1]):
        inside, outside = _views(one, dy, place, kernel, (stride, pad))
        counts[inside] += one[outside]
    dx[:] = 0
    for place in range(kernel[0] * kernel[1]):
        inside, outside = _views(dx, dy, place, kernel, (stride, pad))
        dx[outside] += dy[inside] / counts[inside]


def _views(x, y, place, kernel, steps):
    """Return which windows have that place inside the image, and where it lies there."""
    inside, outside = [slice(None)], [slice(None)]
    for axis, at in enumerate(divmod(place, kernel[1])):
        stride, pad = steps[0][axis], steps[1][axis]
        found = np.arange(y.shape[1 + axis]) * stride + at - pad
        valid = np.flatnonzero((found >= 0) & (found < x.shape[1 + axis]))
        first, n = (valid[0], len(valid)) if len(valid) else (0, 0)
        start = found[first] if n else 0
        inside.append(slice(first, first + n))
        outside.append(slice(start, start + (n - 1) * stride + 1 if n else start, stride))
    return tuple(inside), tuple(outside)


def _check(x, y, index, kernel, steps):
    """Raise unless the shapes fit."""
    stride, pad, n_threads = steps
    if y.shape != index.shape or len(x) != len(y) or x.shape[3] != y.shape[3]:
        raise ValueError("x, y and index disagree in shape.")
    if min(*kernel, *stride, n_threads) < 1 or kernel[0] * kernel[1] > 255 or min(pad) < 0:
        raise ValueError("kernel must have 1 to 255 places, stride must be positive and pad not negative.")
