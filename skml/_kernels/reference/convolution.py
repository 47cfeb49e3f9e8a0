"""Twin of convolution.pyx: convolution of images and its two adjoints, a place of the kernel at a time."""

import numpy as np

from skml._kernels.reference.fused import bias_activation


def forward(x, w, b, y, stride, pad, dilation, groups, activation, n_threads):
    """Write y = activation(x * w + b)."""
    y[...] = 0
    for i, j, g, windows, pixels in _taps(x, w, y, (stride, pad, dilation), groups):
        C, F = _groups(w, groups, g)
        y[windows][..., F] += x[pixels][..., C] @ w[i, j, :, F]
    bias_activation(y.reshape(-1, y.shape[-1]), b, activation, n_threads)


def backward_data(dy, w, dx, stride, pad, dilation, groups, n_threads):
    """Write the gradient at x."""
    dx[...] = 0
    for i, j, g, windows, pixels in _taps(dx, w, dy, (stride, pad, dilation), groups):
        C, F = _groups(w, groups, g)
        dx[pixels][..., C] += dy[windows][..., F] @ w[i, j, :, F].T


def backward_weights(x, dy, dw, db, stride, pad, dilation, groups, n_threads):
    """Write the gradients at w and b."""
    for i, j, g, windows, pixels in _taps(x, dw, dy, (stride, pad, dilation), groups):
        C, F = _groups(dw, groups, g)
        dw[i, j, :, F] = np.tensordot(x[pixels][..., C], dy[windows][..., F], axes=((0, 1, 2), (0, 1, 2)))
    if len(db):
        db[:] = dy.sum(axis=(0, 1, 2))


def _groups(w, groups, g):
    C, F = w.shape[2], w.shape[3] // groups
    return slice(g * C, (g + 1) * C), slice(g * F, (g + 1) * F)


def _taps(x, w, y, geometry, groups):
    """Yield each place of the kernel and group, with the windows whose place is on the image, and the pixels there."""
    stride, pad, dilation = geometry
    for i, j in np.ndindex(w.shape[:2]):
        axes = [_tap(k * d, *axis) for k, d, *axis in zip((i, j), dilation, x.shape[1:3], y.shape[1:3], stride, pad)]
        windows, pixels = ((slice(None), *parts) for parts in zip(*axes))
        for g in range(groups):
            yield i, j, g, windows, pixels


def _tap(offset, size, windows, step, pad):
    found = [o for o in range(windows) if 0 <= o * step + offset - pad < size]
    if not found:
        return slice(0, 0), slice(0, 0)
    start = found[0] * step + offset - pad
    return slice(found[0], found[-1] + 1), slice(start, start + (len(found) - 1) * step + 1, step)
