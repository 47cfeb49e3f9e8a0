"""Convolution and transposed convolution of images.

B: batch, H W C: height, width, channels of an image, F: filters, KH KW: size of a filter. Images are (B, H, W, C),
filters (KH, KW, C // groups, F); a signal is an image of H = 1.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from skml import _kernels
from skml.network.activations import CODES, NONE, as_rows, check_activation
from skml.network.columns import Columns
from skml.network.geometry import Geometry, require_whole
from skml.network.layers import Layer, Space, after, before, outputs, undone, weight_init
from skml.network.parameters import Spec

__all__ = [
    "Convolution",
    "convolution_backward",
    "convolution_forward",
    "convolution_matrix",
]

MANY_FILTERS = 3 * 2**18  # bytes of filters that are not in the cache any more when the next tile needs them


def path_of(geometry, shape, dtype):
    """Return how a convolution is computed.

    "matmul" if each window is a pixel: the images are the matrix. Else "direct", a kernel that walks over the
    images, unless there are no groups and the filters take more than `MANY_FILTERS`: then "columns", a matrix of
    windows, chunk by chunk, times the filters. (On one core with AVX-512, in GFLOP/s of float32: up to 128 channels
    and filters of 3 x 3 the kernel reaches 70 to 100 and columns no more; from 192 or 256 on it falls to 50 to 80,
    and columns stay at 90. The gradient at the input is the kernel's throughout.)

    Parameters
    ----------
    geometry : Geometry
        Of the windows.
    shape : (H, W, C, F)
        Of an image, and the number of filters.
    dtype : dtype
        Of the images.

    Returns
    -------
    path : {"matmul", "direct", "columns"}
        No result depends on it, but for rounding.
    """
    if geometry.groups > 1:
        return "direct"
    if geometry.kernel == geometry.stride == (1, 1) and geometry.pads(*shape[:2]) == (0, 0):
        return "matmul"
    n_bytes = math.prod(geometry.kernel) * shape[2] * shape[3] * np.dtype(dtype).itemsize
    return "columns" if n_bytes > MANY_FILTERS else "direct"


def as_matrix(w):
    """Return filters as a matrix of F columns."""
    return w.reshape(-1, w.shape[-1])


def columns_of(geometry, shape, B, dtype):
    """Return the buffers for a convolution that takes the path "columns", and None for others."""
    return Columns(geometry, shape, B, dtype) if path_of(geometry, shape, dtype) == "columns" else None


def convolution_forward(x, w, b=None, geometry=None, activation="identity", out=None, n_threads=1, *, columns=None):
    """Convolve images: y = activation(x * w + b).

    y[n, o, p, f] = sum_ijc x[n, o s + i d - top, p s + j d - left, c] w[i, j, c, f] + b[f], with stride s and
    dilation d, where pixels outside the image are 0.

    Parameters
    ----------
    x : ndarray of shape (B, H, W, C), float32 or float64
        Images; C-contiguous.
    w : ndarray of shape (KH, KW, C // groups, F)
        Filters. Filter f is of group f // (F // groups).
    b : ndarray of shape (F,) or None, default=None
        What is added.
    geometry : Geometry or None, default=None
        Of the windows; None means the size of the filters, at stride 1 and without padding.
    activation : str, default="identity"
        See :func:`activation_forward`.
    out : ndarray of shape (B, OH, OW, F) or None, default=None
        Where to write.
    n_threads : int, default=1
        How many threads to use; no result depends on it.
    columns : Columns or None, default=None
        Buffers from an earlier call, if matrices are multiplied.

    Returns
    -------
    y : ndarray of shape (B, OH, OW, F)
        `out`, if given.

    Raises
    ------
    ValueError
        If no window fits the image, or channels and groups don't fit the filters.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import convolution_forward
    >>> x, w = np.arange(5.0).reshape(1, 1, 5, 1), np.array([-1.0, 1.0]).reshape(1, 2, 1, 1)
    >>> convolution_forward(x, w).ravel()
    array([1., 1., 1., 1.])
    """
    geometry = geometry or Geometry(w.shape[:2])
    check_filters(x.shape, w.shape, geometry)
    if out is None:
        out = np.empty((len(x), *geometry.output(*x.shape[1:3]), w.shape[3]), dtype=x.dtype)
    b, code = NONE[x.dtype] if b is None else b, CODES[check_activation(activation)]
    path = path_of(geometry, (*x.shape[1:], w.shape[3]), x.dtype)
    if path == "direct":
        _kernels.convolution.forward(x, w, b, out, *_numbers(geometry, x.shape), code, n_threads)
        return out
    for rows in _products(path, x, as_matrix(w), out, columns or _columns(geometry, x, w)):
        _kernels.fused.bias_activation(rows, b, code, n_threads)
    return out


def _numbers(geometry, shape):
    """Return stride, pads, dilation and groups as the kernels take them, for images of the shape (B, H, W, C)."""
    return geometry.stride, geometry.pads(*shape[1:3]), geometry.dilation, geometry.groups


def _columns(geometry, x, w):
    return columns_of(geometry, (*x.shape[1:], w.shape[3]), len(x), x.dtype)


def _products(path, x, w, y, columns):
    if path == "columns":
        yield from columns.products(x, w, y)
    else:
        yield np.matmul(as_rows(x), w, out=as_rows(y))


def check_filters(shape, filters, geometry):
    """Raise a ValueError unless filters fit images of the shape (B, H, W, C)."""
    if len(shape) != 4 or len(filters) != 4:
        raise ValueError(f"Images and filters have four axes each, got shapes {shape} and {filters}.")
    if filters[:2] != geometry.kernel:
        raise ValueError(f"The filters are {filters[0]} x {filters[1]}, the geometry's kernel is {geometry.kernel}.")
    check_groups(shape[3], filters[3], geometry.groups)
    if filters[2] * geometry.groups != shape[3]:
        raise ValueError(f"The images have {shape[3]} channels, the filters {filters[2]} in {geometry.groups} groups.")


def check_groups(C, F, groups):
    """Raise a ValueError unless groups divide both channels and filters."""
    if C % groups or F % groups:
        raise ValueError(f"{groups} groups do not divide {C} channels and {F} filters without a rest.")


def convolution_backward(dy, x, w, geometry=None, out=None, need_dx=True, n_threads=1, *, columns=None):
    """Carry a gradient back through a convolution without an activation.

    Parameters
    ----------
    dy : ndarray of shape (B, OH, OW, F)
        At the output; C-contiguous.
    x : ndarray of shape (B, H, W, C)
        What went in.
    w : ndarray of shape (KH, KW, C // groups, F)
        Filters.
    geometry : Geometry or None, default=None
        As for :func:`convolution_forward`.
    out : (ndarray or None, ndarray, ndarray or None) or None, default=None
        Where to write dx, dw and db; if given, a db of None is not computed.
    need_dx : bool, default=True
        Whether to compute dx.
    n_threads : int, default=1
        How many threads to use; no result depends on it.
    columns : Columns or None, default=None
        Buffers from an earlier call, if matrices are multiplied.

    Returns
    -------
    dx : ndarray of shape (B, H, W, C) or None
        The gradient at x.
    dw : ndarray of shape (KH, KW, C // groups, F)
        The gradient at w.
    db : ndarray of shape (F,) or None
        The gradient at b.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import convolution_backward
    >>> x, w = np.arange(3.0).reshape(1, 1, 3, 1), np.array([-1.0, 1.0]).reshape(1, 2, 1, 1)
    >>> dx, dw, db = convolution_backward(np.ones((1, 1, 2, 1)), x, w)
    >>> dx.ravel().tolist(), dw.ravel().tolist(), db.tolist()
    ([-1.0, 0.0, 1.0], [1.0, 3.0], [2.0])
    """
    geometry = geometry or Geometry(w.shape[:2])
    check_filters(x.shape, w.shape, geometry)
    dx, dw, db = (np.empty_like(x), np.empty_like(w), np.empty(w.shape[3], w.dtype)) if out is None else out
    columns = columns or _columns(geometry, x, w)
    weight_gradients(dy, x, (dw, db), geometry, n_threads, columns)
    return (input_gradient(dy, w, dx, geometry, n_threads) if need_dx else None), dw, db


def weight_gradients(dy, x, out, geometry, n_threads, columns=None):
    """Write the gradients (dw, db) at filters and bias; db may be None."""
    dw, db = out
    path = path_of(geometry, (*x.shape[1:], dw.shape[3]), x.dtype)
    if path == "direct":
        db = NONE[x.dtype] if db is None else db
        _kernels.convolution.backward_weights(x, dy, dw, db, *_numbers(geometry, x.shape), n_threads)
        return
    if path == "columns":
        columns.weights(x, dy, as_matrix(dw))
    else:
        np.matmul(as_rows(x).T, as_rows(dy), out=as_matrix(dw))
    if db is not None:
        as_rows(dy).sum(axis=0, out=db)


def input_gradient(dy, w, dx, geometry, n_threads):
    """Write the gradient at the images, and return it."""
    if path_of(geometry, (*dx.shape[1:], w.shape[3]), dx.dtype) == "matmul":
        return np.matmul(as_rows(dy), as_matrix(w).T, out=as_rows(dx)).reshape(dx.shape)
    # adding up overlapping windows takes longer than their product: there is no path by columns
    _kernels.convolution.backward_data(dy, w, dx, *_numbers(geometry, dx.shape), n_threads)
    return dx


@dataclass(frozen=True)
class Convolution(Layer):
    """A convolution with an activation.

    Attributes
    ----------
    filters : int
        How many, that is, the channels that come out.
    kernel : int or (int, int), default=3
        Height and width of a filter. For signals, whose height is 1, give (1, width).
    stride : int or (int, int), default=1
        See :class:`Geometry`, as for the next three.
    padding : int, (int, int), "valid" or "same", default="same"
        Zeros around the image.
    dilation : int or (int, int), default=1
        Steps between the places that a window looks at.
    groups : int, default=1
        Groups of channels that don't see each other.
    activation : str, default="identity"
        See :func:`activation_forward`.
    bias : bool, default=True
        Whether a number of its own is added to each filter's output.
    init : callable or None, default=None
        The initialiser; None means `he_uniform` before relu, leaky_relu and gelu, and else `glorot_uniform`.

    Raises
    ------
    ValueError
        If a number is not a whole one of at least 1, or there is no such activation.

    Examples
    --------
    >>> from skml.network import Convolution
    >>> layer = Convolution(16, kernel=3, activation="relu")
    >>> layer.output_shape((28, 28, 1)), layer.cost((28, 28, 1))
    ((28, 28, 16), 112896)
    """

    filters: int
    kernel: int | tuple = 3
    stride: int | tuple = 1
    padding: int | tuple | str = "same"
    dilation: int | tuple = 1
    groups: int = 1
    activation: str = "identity"
    bias: bool = True
    init: Callable | None = None

    def __post_init__(self):
        require_whole(self.filters, "filters")
        check_activation(self.activation)
        self.geometry()

    def geometry(self):
        """Return how the windows lie.

        Returns
        -------
        geometry : Geometry
            Of one image.
        """
        return Geometry(self.kernel, self.stride, self.padding, self.dilation, self.groups)

    def output_shape(self, shape):
        H, W, C = image_shape(shape, "Convolution")
        check_groups(C, self.filters, self.groups)
        return (*self.geometry().output(H, W), self.filters)

    def specs(self, shape):
        C, F, K = shape[2] // self.groups, self.filters, math.prod(self.geometry().kernel)
        return filter_specs(self, (C, F), (K * C, K * F // self.groups), F)

    def uses_blas(self, shape, dtype):
        return path_of(self.geometry(), (*shape, self.filters), dtype) != "direct"

    def workspace(self, shape, B, dtype):
        geometry, buffers = self.geometry(), outputs(self.output_shape(shape), B, dtype, self.activation)
        sizes = (*shape, self.filters)
        columns = columns_of(geometry, sizes, B, dtype)
        direct = _numbers(geometry, (B, *shape)) if path_of(geometry, sizes, dtype) == "direct" else None
        buffers |= {"dx": np.empty((B, *shape), dtype=dtype), "reads_y": self.activation != "identity"}
        return Space(geometry=geometry, columns=columns, direct=direct, none=NONE[np.dtype(dtype)], **buffers)

    def forward(self, x, p, space, mode):
        space.x = x
        product, activation = before(space, self.activation, len(x))
        w, b = p["weight"], p.get("bias", space.none)
        if space.direct:
            _kernels.convolution.forward(x, w, b, product, *space.direct, CODES[activation], mode.n_threads)
        else:
            given = x, w, b, space.geometry, activation, product, mode.n_threads
            convolution_forward(*given, columns=space.columns)
        return after(space, self.activation, len(x), mode)

    def backward(self, dy, p, g, space, mode, need_dx=True):
        dz = undone(dy, space, self.activation, mode)
        out = space.dx[: len(dy)], g["weight"], g.get("bias")
        given = dz, space.x, p["weight"], space.geometry, out, need_dx, mode.n_threads
        return convolution_backward(*given, columns=space.columns)[0]

    def cost(self, shape):
        return math.prod(self.output_shape(shape)) * math.prod(self.geometry().kernel) * shape[2] // self.groups


def image_shape(shape, name):
    """Return the shape of an image, or raise a ValueError that tells the layer's name."""
    if len(shape) != 3:
        raise ValueError(f"{name} takes images of shape (height, width, channels), not samples of shape {shape}.")
    return shape


def filter_specs(layer, channels, fans, n_bias):
    """Return the specs of filters, whose last two axes are `channels`, and of `n_bias` numbers added."""
    init = weight_init(layer.init, layer.activation)
    weight = Spec("weight", (*layer.geometry().kernel, *channels), init, *fans)
    return (weight, Spec("bias", (n_bias,))) if layer.bias else (weight,)


def convolution_matrix(kernel, input_shape, *, stride=1, padding=0, dilation=1, groups=1):
    """Return the sparse matrix that a convolution multiplies images by: conv(x) = matrix @ vec(x).

    Its rows are the windows, each with the same shared parameters at the places of its pixels (a Toeplitz-like
    matrix).

    Parameters
    ----------
    kernel : array-like of shape (K,), (KH, KW) or (KH, KW, C // groups, F)
        The filters.
    input_shape : int, (W,), (H, W) or (H, W, C)
        Of an image, with as many numbers as the kernel has axes, the last aside.
    stride : int or (int, int), default=1
        See :class:`Geometry`. For a kernel of one axis, whose image has a height of 1, numbers mean its only axis.
    padding : int, (int, int), "valid" or "same", default=0
        See :class:`Geometry`.
    dilation : int or (int, int), default=1
        See :class:`Geometry`.
    groups : int, default=1
        See :class:`Geometry`.

    Returns
    -------
    matrix : CSR array of shape (OH * OW * F, H * W * C)
        Of the dtype of the kernel. ``vec`` is ``ravel`` in C order.

    Raises
    ------
    ValueError
        If the axes don't match, or no window fits.

    Examples
    --------
    >>> from skml.network import convolution_matrix
    >>> convolution_matrix([1, 2], 4).toarray()
    array([[1., 2., 0., 0.],
           [0., 1., 2., 0.],
           [0., 0., 1., 2.]])
    """
    w, (H, W, C) = _four_axes(np.asarray(kernel), (input_shape,) if np.ndim(input_shape) == 0 else tuple(input_shape))
    if np.ndim(kernel) == 1:
        stride, dilation = ((1, value) if np.ndim(value) == 0 else value for value in (stride, dilation))
        padding = padding if isinstance(padding, str) or np.ndim(padding) else (0, padding)
    geometry = Geometry(w.shape[:2], stride, padding, dilation, groups)
    check_filters((1, H, W, C), w.shape, geometry)
    OH, OW = geometry.output(H, W)
    F, Cg = w.shape[3], w.shape[2]
    outs, ins = np.arange(OH * OW * F).reshape(OH, OW, F), np.arange(H * W * C).reshape(H, W, C)
    entries = []
    for i, j, windows, pixels in geometry.taps(H, W):
        for f in range(F):
            first = f // (F // groups) * Cg
            row, column = outs[windows][..., f, None], ins[pixels][..., first : first + Cg]
            entries.append([part.ravel() for part in np.broadcast_arrays(w[i, j, :, f], row, column)])
    values, rows, columns = (np.concatenate(parts) for parts in zip(*entries))
    return sp.coo_array((values, (rows, columns)), shape=(outs.size, ins.size)).tocsr()


def _four_axes(w, shape):
    """Return filters of four axes and the (H, W, C) that belongs to them."""
    if w.ndim not in (1, 2, 4) or len(shape) != {1: 1, 2: 2, 4: 3}[w.ndim]:
        raise ValueError(f"A kernel of shape {w.shape} and an input of shape {shape} do not belong together.")
    w = w if w.dtype.kind == "f" else w.astype(np.float64)
    if w.ndim == 4:
        return w, shape
    return np.atleast_2d(w)[:, :, None, None], ((1,) * (2 - len(shape)) + shape + (1,))
