"""Upsampling: images at another size, by repeated pixels or by lines between them.

Either is linear and goes axis by axis, so it is two products: y = R x S' with matrices R (OH, H) and S (OW, W).
"""

from dataclasses import dataclass

import numpy as np

from skml.network.convolution import image_shape
from skml.network.geometry import pair_of, require_size
from skml.network.layers import Layer, Space

__all__ = ["Upsampling", "interpolation_matrix", "upsampling_backward", "upsampling_forward"]


def interpolation_matrix(n_in, n_out, method="nearest", dtype=np.float64):
    """Return the matrix that resamples an axis.

    The centre of output pixel o lies at s = (o + 1/2) n_in / n_out - 1/2 among those of the input: "nearest" takes
    pixel floor((o + 1/2) n_in / n_out) (for whole factors that is repetition), "bilinear" a mean of the two that
    s lies between.

    Parameters
    ----------
    n_in, n_out : int
        Pixels before and after.
    method : {"nearest", "bilinear"}, default="nearest"
        How.
    dtype : dtype, default=float64
        Of the result.

    Returns
    -------
    matrix : ndarray of shape (n_out, n_in)
        Its rows sum to 1.

    Examples
    --------
    >>> from skml.network import interpolation_matrix
    >>> interpolation_matrix(2, 4, "bilinear")
    array([[1.  , 0.  ],
           [0.75, 0.25],
           [0.25, 0.75],
           [0.  , 1.  ]])
    """
    matrix, each = np.zeros((n_out, n_in), dtype=dtype), np.arange(n_out)
    if method == "nearest":
        matrix[each, (2 * each + 1) * n_in // (2 * n_out)] = 1
        return matrix
    at = np.maximum((each + 0.5) * (n_in / n_out) - 0.5, 0)
    low = np.minimum(at.astype(np.intp), n_in - 1)
    matrix[each, np.minimum(low + 1, n_in - 1)] = at - low
    matrix[each, low] += 1 - (at - low)
    return matrix


def upsampling_forward(x, size, method="nearest", out=None, half=None, matrices=None):
    """Resample images.

    Parameters
    ----------
    x : ndarray of shape (B, H, W, C), float32 or float64
        Images; C-contiguous.
    size : (OH, OW)
        Height and width afterwards.
    method : {"nearest", "bilinear"}, default="nearest"
        See :func:`interpolation_matrix`.
    out : ndarray of shape (B, OH, OW, C) or None, default=None
        Where to write.
    half : ndarray of shape (B, H, OW, C) or None, default=None
        Room for what is between the two products.
    matrices : (ndarray, ndarray) or None, default=None
        R and S from an earlier call.

    Returns
    -------
    y : ndarray of shape (B, OH, OW, C)
        `out`, if given.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import upsampling_forward
    >>> upsampling_forward(np.array([1.0, 2.0]).reshape(1, 1, 2, 1), (1, 4)).ravel()
    array([1., 1., 2., 2.])
    """
    (B, H, W, C), (OH, OW) = x.shape, size
    R, S = matrices or _matrices((H, W), size, method, x.dtype)
    half = np.empty((B, H, OW, C), dtype=x.dtype) if half is None else half
    y = np.empty((B, OH, OW, C), dtype=x.dtype) if out is None else out
    np.matmul(S, x.reshape(B * H, W, C), out=half.reshape(B * H, OW, C))
    np.matmul(R, half.reshape(B, H, OW * C), out=y.reshape(B, OH, OW * C))
    return y


def upsampling_backward(dy, size, method="nearest", out=None, half=None, matrices=None):
    """Carry a gradient back through :func:`upsampling_forward`.

    Parameters
    ----------
    dy : ndarray of shape (B, OH, OW, C)
        At the output; C-contiguous.
    size : (H, W)
        Height and width before.
    method : {"nearest", "bilinear"}, default="nearest"
        As before.
    out : ndarray of shape (B, H, W, C) or None, default=None
        Where to write.
    half : ndarray of shape (B, H, OW, C) or None, default=None
        Room for what is between the two products.
    matrices : (ndarray, ndarray) or None, default=None
        R and S from an earlier call.

    Returns
    -------
    dx : ndarray of shape (B, H, W, C)
        `out`, if given.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import upsampling_backward
    >>> upsampling_backward(np.ones((1, 1, 4, 1)), (1, 2)).ravel()
    array([2., 2.])
    """
    (B, OH, OW, C), (H, W) = dy.shape, size
    R, S = matrices or _matrices(size, (OH, OW), method, dy.dtype)
    half = np.empty((B, H, OW, C), dtype=dy.dtype) if half is None else half
    dx = np.empty((B, H, W, C), dtype=dy.dtype) if out is None else out
    np.matmul(R.T, dy.reshape(B, OH, OW * C), out=half.reshape(B, H, OW * C))
    np.matmul(S.T, half.reshape(B * H, OW, C), out=dx.reshape(B * H, W, C))
    return dx


def _matrices(before, after, method, dtype):
    return tuple(interpolation_matrix(*axis, method, dtype) for axis in zip(before, after))


@dataclass(frozen=True)
class Upsampling(Layer):
    """Images at another size.

    Attributes
    ----------
    factor : int or (int, int), default=2
        How many times as high and as wide.
    size : (int, int) or None, default=None
        Height and width instead of a factor; any will do.
    method : {"nearest", "bilinear"}, default="nearest"
        See :func:`interpolation_matrix`.

    Raises
    ------
    ValueError
        If there is no such method, or a number is not a whole one of at least 1.

    Examples
    --------
    >>> from skml.network import Upsampling
    >>> Upsampling(2).output_shape((7, 7, 16)), Upsampling(size=(13, 13)).output_shape((7, 7, 16))
    ((14, 14, 16), (13, 13, 16))
    """

    factor: int | tuple = 2
    size: tuple | None = None
    method: str = "nearest"

    def __post_init__(self):
        if self.method not in ("nearest", "bilinear"):
            raise ValueError(f"method={self.method!r} of upsampling is unknown; there are nearest, bilinear.")
        pair_of(self.factor, "factor")
        if self.size is not None:
            object.__setattr__(self, "size", require_size(self.size))

    def output_shape(self, shape):
        H, W, C = image_shape(shape, "Upsampling")
        rows, columns = np.broadcast_to(self.factor, 2).tolist()
        return (*(self.size or (H * rows, W * columns)), C)

    def workspace(self, shape, B, dtype):
        made = self.output_shape(shape)
        return Space(
            dx=np.empty((B, *shape), dtype=dtype),
            y=np.empty((B, *made), dtype=dtype),
            half=np.empty((B, shape[0], *made[1:]), dtype=dtype),
            matrices=_matrices(shape[:2], made[:2], self.method, dtype),
        )

    def forward(self, x, p, space, mode):
        buffers = space.y[: len(x)], space.half[: len(x)], space.matrices
        return upsampling_forward(x, space.y.shape[1:3], self.method, *buffers)

    def backward(self, dy, p, g, space, mode, need_dx=True):
        if not need_dx:
            return None
        buffers = space.dx[: len(dy)], space.half[: len(dy)], space.matrices
        return upsampling_backward(dy, space.dx.shape[1:3], self.method, *buffers)
