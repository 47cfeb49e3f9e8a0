"""Twin of convolution.pyx: convolutions of batches of images in plain NumPy."""

import math

import numpy as np

ACTIVATIONS = (
    lambda z: z,
    lambda z: np.maximum(z, 0),
    lambda z: np.where(z < 0, z * z.dtype.type(0.01), z),
    lambda z: (z * (0.5 + 0.5 * np.vectorize(math.erf, otypes=[float])(z * math.sqrt(0.5)))).astype(z.dtype),
    np.tanh,
    lambda z: np.where(z < 0, np.exp(np.minimum(z, 0)), 1) / (1 + np.exp(-np.abs(z))),
)


def forward(x, w, b, y, stride, pad, dilation, groups, activation, n_threads):
    """Write y[i, j] = activation(b + sum_kl x[i s + k d - top, j s + l d - left] w[k, l])."""
    _check(x, w, b, y, (stride, pad, dilation, groups, n_threads))
    if not 0 <= activation <= 5:
        raise ValueError(f"activation is {activation}, outside 0 to 5.")
    padded, C, F = _padded(x, w, y, stride, pad, dilation), w.shape[2], y.shape[3] // groups
    z = np.zeros_like(y)
    for i, j, g in np.ndindex(*w.shape[:2], groups):
        taken = padded[_taken(i, j, y, stride, dilation)][..., g * C : (g + 1) * C]
        z[..., g * F : (g + 1) * F] += taken @ w[i, j, :, g * F : (g + 1) * F]
    y[...] = ACTIVATIONS[activation](z + b if len(b) else z)


def backward_data(dy, w, dx, stride, pad, dilation, groups, n_threads):
    """Write the gradient at x of sum(y * dy)."""
    _check(dx, w, dx[:0, 0, 0, 0], dy, (stride, pad, dilation, groups, n_threads))
    padded, C, F = _padded(np.zeros_like(dx), w, dy, stride, pad, dilation), w.shape[2], dy.shape[3] // groups
    for i, j, g in np.ndindex(*w.shape[:2], groups):
        at = _taken(i, j, dy, stride, dilation)
        padded[at][..., g * C : (g + 1) * C] += dy[..., g * F : (g + 1) * F] @ w[i, j, :, g * F : (g + 1) * F].T
    dx[...] = padded[:, pad[0] :, pad[1] :][:, : dx.shape[1], : dx.shape[2]]


def backward_weights(x, dy, dw, db, stride, pad, dilation, groups, n_threads):
    """Write the gradients at w and b of sum(y * dy)."""
    _check(x, dw, db, dy, (stride, pad, dilation, groups, n_threads))
    padded, C, F = _padded(x, dw, dy, stride, pad, dilation), dw.shape[2], dy.shape[3] // groups
    for i, j, g in np.ndindex(*dw.shape[:2], groups):
        taken = padded[_taken(i, j, dy, stride, dilation)][..., g * C : (g + 1) * C]
        dw[i, j, :, g * F : (g + 1) * F] = np.tensordot(
            taken, dy[..., g * F : (g + 1) * F], axes=((0, 1, 2), (0, 1, 2))
        )
    if len(db):
        db[:] = dy.sum(axis=(0, 1, 2))


def _padded(x, w, y, stride, pad, dilation):
    """Return x with as many zeros around it as the windows of y need."""
    needed = [(n - 1) * s + (k - 1) * d + 1 for n, s, k, d in zip(y.shape[1:3], stride, w.shape, dilation)]
    after = [max(0, n - p - size) for n, p, size in zip(needed, pad, x.shape[1:3])]
    return np.pad(x, ((0, 0), (pad[0], after[0]), (pad[1], after[1]), (0, 0)))


def _taken(i, j, y, stride, dilation):
    """Return the slices of the padded images that entry (i, j) of the kernel meets."""
    starts = (i * dilation[0], j * dilation[1])
    return (slice(None), *(slice(a, a + (n - 1) * s + 1, s) for a, n, s in zip(starts, y.shape[1:3], stride)))


def _check(x, w, b, y, numbers):
    stride, pad, dilation, groups, n_threads = numbers
    if len({array.dtype for array in (x, w, b, y)}) > 1 or not all(array.flags.c_contiguous for array in (x, w, y)):
        raise ValueError("The arrays are not of one dtype, or not contiguous.")
    if x.shape[0] != y.shape[0] or w.shape[3] != y.shape[3] or len(b) not in (0, y.shape[3]):
        raise ValueError("The images, filters or biases do not agree.")
    if groups < 1 or x.shape[3] % groups or y.shape[3] % groups or w.shape[2] * groups != x.shape[3]:
        raise ValueError(f"{groups} groups do not fit.")
    if min((*x.shape[1:], *w.shape, *y.shape[1:], *stride, *dilation, n_threads)) < 1 or min(pad) < 0:
        raise ValueError("Sizes, stride, dilation and n_threads must be at least 1, pad 0.")
