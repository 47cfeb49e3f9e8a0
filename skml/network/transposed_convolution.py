"""Transposed convolution: the adjoint of a convolution, which spreads each pixel over a window.

What it makes is the input of that convolution, what it is given is that one's output. So its forward pass is the
convolution's backward pass, and the other way round.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from skml import _kernels
from skml.network.activations import CODES, NONE, as_rows, check_activation
from skml.network.convolution import (
    check_groups,
    columns_of,
    convolution_forward,
    filter_specs,
    image_shape,
    input_gradient,
    path_of,
    weight_gradients,
)
from skml.network.geometry import Geometry, require_size, require_whole
from skml.network.layers import Layer, Space, after, before, outputs, undone

__all__ = ["TransposedConvolution", "transposed_convolution_backward", "transposed_convolution_forward"]


def transposed_convolution_forward(
    x, w, b=None, geometry=None, activation="identity", size=None, *, out=None, n_threads=1
):
    """Spread images: y = activation(adjoint of the convolution with w, applied to x, + b).

    Parameters
    ----------
    x : ndarray of shape (B, H, W, C), float32 or float64
        Images; C-contiguous.
    w : ndarray of shape (KH, KW, F // groups, C)
        Filters of the convolution that makes C channels of F.
    b : ndarray of shape (F,) or None, default=None
        What is added.
    geometry : Geometry or None, default=None
        Of that convolution; None means the size of the filters, at stride 1 and without padding.
    activation : str, default="identity"
        See :func:`activation_forward`.
    size : (int, int) or None, default=None
        Height and width of what is made, of which the convolution makes H and W again. None means the least such
        size, and with padding "same" H and W times the stride.
    out : ndarray of shape (B, OH, OW, F) or None, default=None
        Where to write.
    n_threads : int, default=1
        How many threads to use; no result depends on it.

    Returns
    -------
    y : ndarray of shape (B, OH, OW, F)
        `out`, if given.

    Raises
    ------
    ValueError
        If the size is not one that the convolution makes H and W of, or channels and groups don't fit the filters.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import Geometry, transposed_convolution_forward
    >>> x, w = np.array([1.0, 10.0]).reshape(1, 1, 2, 1), np.array([1.0, 2.0]).reshape(1, 2, 1, 1)
    >>> transposed_convolution_forward(x, w, geometry=Geometry((1, 2), stride=2)).ravel()
    array([ 1.,  2., 10., 20.])
    """
    geometry = geometry or Geometry(w.shape[:2])
    H, W = spread_size(geometry, x.shape[1:3], size)
    F = w.shape[2] * geometry.groups
    y = np.empty((len(x), H, W, F), dtype=x.dtype) if out is None else out
    input_gradient(x, w, y, geometry, n_threads)
    if b is not None or activation != "identity":
        b = NONE[x.dtype] if b is None else b
        _kernels.fused.bias_activation(as_rows(y), b, CODES[check_activation(activation)], n_threads)
    return y


def transposed_convolution_backward(dy, x, w, geometry=None, out=None, need_dx=True, n_threads=1, *, columns=None):
    """Carry a gradient back through a transposed convolution without an activation.

    Parameters
    ----------
    dy : ndarray of shape (B, OH, OW, F)
        At the output; C-contiguous.
    x : ndarray of shape (B, H, W, C)
        What went in.
    w : ndarray of shape (KH, KW, F // groups, C)
        Filters.
    geometry : Geometry or None, default=None
        As for :func:`transposed_convolution_forward`.
    out : (ndarray or None, ndarray, ndarray or None) or None, default=None
        Where to write dx, dw and db; if given, a db of None is not computed.
    need_dx : bool, default=True
        Whether to compute dx.
    n_threads : int, default=1
        How many threads to use.
    columns : Columns or None, default=None
        Buffers from an earlier call, if matrices are multiplied.

    Returns
    -------
    dx : ndarray of shape (B, H, W, C) or None
        The gradient at x.
    dw : ndarray of shape (KH, KW, F // groups, C)
        The gradient at w.
    db : ndarray of shape (F,) or None
        The gradient at b.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import transposed_convolution_backward
    >>> x, w = np.array([1.0, 10.0]).reshape(1, 1, 2, 1), np.array([1.0, 2.0]).reshape(1, 2, 1, 1)
    >>> dx, dw, db = transposed_convolution_backward(np.ones((1, 1, 3, 1)), x, w)
    >>> dx.ravel().tolist(), dw.ravel().tolist(), db.tolist()
    ([3.0, 3.0], [11.0, 11.0], [3.0])
    """
    geometry = geometry or Geometry(w.shape[:2])
    dx, dw, db = (np.empty_like(x), np.empty_like(w), np.empty(dy.shape[3], w.dtype)) if out is None else out
    columns = columns or columns_of(geometry, (*dy.shape[1:], x.shape[3]), len(x), x.dtype)
    weight_gradients(x, dy, (dw, None), geometry, n_threads, columns)
    if db is not None:
        as_rows(dy).sum(axis=0, out=db)
    if not need_dx:
        return None, dw, db
    return convolution_forward(dy, w, None, geometry, "identity", dx, n_threads, columns=columns), dw, db


def spread_size(geometry, small, size=None):
    """Return height and width of what a transposed convolution makes of an image of the size `small`."""
    if size is None:
        same, pads = geometry.padding == "same", geometry.pads(1, 1) if geometry.padding != "same" else (0, 0)
        axes = zip(small, geometry.stride, geometry.reach, pads)
        size = tuple(n * step if same else (n - 1) * step + reach - 2 * pad for n, step, reach, pad in axes)
    if min(size) < 1 or geometry.output(*size) != tuple(small):
        made = f"makes {geometry.output(*size)} of it" if min(size) >= 1 else "cannot take it"
        raise ValueError(f"An image of {tuple(small)} cannot be spread to {tuple(size)}: the convolution {made}.")
    return tuple(size)


@dataclass(frozen=True)
class TransposedConvolution(Layer):
    """A transposed convolution with an activation: with a stride it enlarges images.

    Attributes
    ----------
    filters : int
        The channels that come out.
    kernel : int or (int, int), default=3
        Height and width of a window.
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
    size : (int, int) or None, default=None
        Height and width of the output; None means the image's times the stride with padding "same", and else the
        least of which the convolution makes the image's.
    bias : bool, default=True
        Whether a number of its own is added to each channel.
    init : callable or None, default=None
        The initialiser; None means `he_uniform` before relu, leaky_relu and gelu, and else `glorot_uniform`.

    Raises
    ------
    ValueError
        If a number is not a whole one of at least 1, or there is no such activation.

    Examples
    --------
    >>> from skml.network import TransposedConvolution
    >>> TransposedConvolution(8, stride=2).output_shape((7, 7, 16))
    (14, 14, 8)
    >>> TransposedConvolution(8, stride=2, size=(13, 14)).output_shape((7, 7, 16))
    (13, 14, 8)
    """

    filters: int
    kernel: int | tuple = 3
    stride: int | tuple = 1
    padding: int | tuple | str = "same"
    dilation: int | tuple = 1
    groups: int = 1
    activation: str = "identity"
    size: tuple | None = None
    bias: bool = True
    init: Callable | None = None

    def __post_init__(self):
        require_whole(self.filters, "filters")
        check_activation(self.activation)
        if self.size is not None:
            object.__setattr__(self, "size", require_size(self.size))
        self.geometry()

    def geometry(self):
        """Return how the windows lie.

        Returns
        -------
        geometry : Geometry
            Of the convolution whose adjoint this is.
        """
        return Geometry(self.kernel, self.stride, self.padding, self.dilation, self.groups)

    def output_shape(self, shape):
        H, W, C = image_shape(shape, "TransposedConvolution")
        check_groups(C, self.filters, self.groups)
        return (*spread_size(self.geometry(), (H, W), self.size), self.filters)

    def specs(self, shape):
        geometry = self.geometry()
        C, F, K = shape[2], self.filters // self.groups, math.prod(geometry.kernel)
        # A pixel lies in K / stride^2 windows.
        fan_in = max(1, K * C // (self.groups * math.prod(geometry.stride)))
        return filter_specs(self, (F, C), (fan_in, K * F), self.filters)

    def uses_blas(self, shape, dtype):
        sizes = (*self.output_shape(shape), shape[2])
        return path_of(self.geometry(), sizes, dtype) == "matmul"

    def workspace(self, shape, B, dtype):
        geometry, made = self.geometry(), self.output_shape(shape)
        columns = columns_of(geometry, (*made, shape[2]), B, dtype)
        buffers = outputs(made, B, dtype, self.activation)
        return Space(dx=np.empty((B, *shape), dtype=dtype), geometry=geometry, columns=columns, **buffers)

    def forward(self, x, p, space, mode):
        space.x = x
        product, activation = before(space, self.activation, len(x))
        given = x, p["weight"], p.get("bias"), space.geometry, activation, product.shape[1:3]
        transposed_convolution_forward(*given, out=product, n_threads=mode.n_threads)
        return after(space, self.activation, len(x), mode)

    def backward(self, dy, p, g, space, mode, need_dx=True):
        dz = undone(dy, space, self.activation, mode)
        out = space.dx[: len(dy)], g["weight"], g.get("bias")
        given = dz, space.x, p["weight"], space.geometry, out, need_dx, mode.n_threads
        return transposed_convolution_backward(*given, columns=space.columns)[0]

    def cost(self, shape):
        return math.prod(shape) * math.prod(self.geometry().kernel) * self.filters // self.groups
