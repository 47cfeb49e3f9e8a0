"""Pooling: the largest, smallest or mean number of each window, channel by channel. B H W C: images.

What lies outside an image takes no part: neither is it the largest, nor does a mean count it.
"""

from dataclasses import dataclass

import numpy as np

from skml import _kernels
from skml.network.activations import FROM_INPUT, activation_backward, activation_forward, check_activation
from skml.network.convolution import image_shape
from skml.network.geometry import Geometry
from skml.network.layers import Layer, Space

__all__ = [
    "GlobalPooling",
    "Pooling",
    "average_pooling_backward",
    "average_pooling_forward",
    "global_pooling_backward",
    "global_pooling_forward",
    "max_pooling_backward",
    "max_pooling_forward",
]

SIGNS = {"max": 1, "min": -1}
LARGEST_WINDOW = 255  # places that a byte can tell, one value aside


def max_pooling_forward(x, geometry, kind="max", out=None, n_threads=1):
    """Take the largest, or smallest, number of each window.

    Parameters
    ----------
    x : ndarray of shape (B, H, W, C), float32 or float64
        Images; C-contiguous.
    geometry : Geometry
        Of the windows, without dilation; at most 255 places.
    kind : {"max", "min"}, default="max"
        Which.
    out : (ndarray, ndarray) or None, default=None
        Where to write; an index of no images is left as it is.
    n_threads : int, default=1
        How many threads to use.

    Returns
    -------
    y : ndarray of shape (B, OH, OW, C)
        The numbers.
    index : ndarray of shape (B, OH, OW, C), uint8
        Their places in the windows, i * KW + j; of equal ones the first.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import Geometry, max_pooling_forward
    >>> y, index = max_pooling_forward(np.arange(4.0).reshape(1, 2, 2, 1), Geometry(2, stride=2))
    >>> y.ravel(), index.ravel()
    (array([3.]), array([3], dtype=uint8))
    """
    if out is None:
        shape = (len(x), *geometry.output(*x.shape[1:3]), x.shape[3])
        out = np.empty(shape, dtype=x.dtype), np.empty(shape, dtype=np.uint8)
    arguments = geometry.kernel, geometry.stride, geometry.pads(*x.shape[1:3])
    _kernels.pooling.max_pool(x, *out, *arguments, SIGNS[kind], n_threads)
    return out


def max_pooling_backward(dy, index, geometry, out, n_threads=1):
    """Carry a gradient back through :func:`max_pooling_forward`: each goes to where its number came from.

    Parameters
    ----------
    dy : ndarray of shape (B, OH, OW, C)
        At the output; C-contiguous.
    index : ndarray of shape (B, OH, OW, C), uint8
        The places.
    geometry : Geometry
        Of the windows.
    out : ndarray of shape (B, H, W, C)
        Where to write.
    n_threads : int, default=1
        How many threads to use.

    Returns
    -------
    dx : ndarray of shape (B, H, W, C)
        `out`.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import Geometry, max_pooling_backward
    >>> dy, index = np.full((1, 1, 1, 1), 5.0), np.full((1, 1, 1, 1), 2, dtype=np.uint8)
    >>> max_pooling_backward(dy, index, Geometry(2, stride=2), np.empty((1, 2, 2, 1))).ravel()
    array([0., 0., 5., 0.])
    """
    arguments = geometry.kernel, geometry.stride, geometry.pads(*out.shape[1:3])
    _kernels.pooling.max_pool_backward(dy, index, out, *arguments, n_threads)
    return out


def average_pooling_forward(x, geometry, out=None, n_threads=1):
    """Take the mean of what of each window lies on the image.

    Parameters
    ----------
    x : ndarray of shape (B, H, W, C), float32 or float64
        Images; C-contiguous.
    geometry : Geometry
        Of the windows, without dilation.
    out : ndarray of shape (B, OH, OW, C) or None, default=None
        Where to write.
    n_threads : int, default=1
        How many threads to use.

    Returns
    -------
    y : ndarray of shape (B, OH, OW, C)
        `out`, if given.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import Geometry, average_pooling_forward
    >>> average_pooling_forward(np.arange(3.0).reshape(1, 1, 3, 1), Geometry((1, 2), stride=2, padding="same")).ravel()
    array([0.5, 2. ])
    """
    if out is None:
        out = np.empty((len(x), *geometry.output(*x.shape[1:3]), x.shape[3]), dtype=x.dtype)
    _kernels.pooling.average_pool(x, out, geometry.kernel, geometry.stride, geometry.pads(*x.shape[1:3]), n_threads)
    return out


def average_pooling_backward(dy, geometry, out, n_threads=1):
    """Carry a gradient back through :func:`average_pooling_forward`: it is shared out evenly.

    Parameters
    ----------
    dy : ndarray of shape (B, OH, OW, C)
        At the output; C-contiguous.
    geometry : Geometry
        Of the windows.
    out : ndarray of shape (B, H, W, C)
        Where to write; C-contiguous.
    n_threads : int, default=1
        How many threads to use.

    Returns
    -------
    dx : ndarray of shape (B, H, W, C)
        `out`.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import Geometry, average_pooling_backward
    >>> average_pooling_backward(np.ones((1, 1, 1, 1)), Geometry(2), np.empty((1, 2, 2, 1))).ravel()
    array([0.25, 0.25, 0.25, 0.25])
    """
    arguments = geometry.kernel, geometry.stride, geometry.pads(*out.shape[1:3])
    _kernels.pooling.average_pool_backward(dy, out, *arguments, n_threads)
    return out


@dataclass(frozen=True)
class Pooling(Layer):
    """The largest, smallest or mean number of each window.

    Attributes
    ----------
    kind : {"max", "average", "min"}, default="max"
        What is taken.
    size : int or (int, int), default=2
        Height and width of a window. For signals, whose height is 1, give (1, width).
    stride : int, (int, int) or None, default=None
        Steps from a window to the next; None means that they touch.
    padding : int, (int, int), "valid" or "same", default="valid"
        See :class:`Geometry`; a number must be smaller than the window.
    activation : str, default="identity"
        Applied afterwards, see :func:`activation_forward`; not "gelu". One that never falls may as well be applied
        before "max" and "min": afterwards it has fewer numbers to go over.

    Raises
    ------
    ValueError
        If there is no such kind or activation, a window holds padding only, or one of "max" and "min" has more than 255
        places.

    Examples
    --------
    >>> from skml.network import Pooling
    >>> Pooling("max", 2).output_shape((7, 7, 16)), Pooling("average", 2, padding="same").output_shape((7, 7, 16))
    ((3, 3, 16), (4, 4, 16))
    """

    kind: str = "max"
    size: int | tuple = 2
    stride: int | tuple | None = None
    padding: int | tuple | str = "valid"
    activation: str = "identity"

    def __post_init__(self):
        check_kind(self.kind)
        if check_activation(self.activation) in FROM_INPUT:
            raise ValueError(f"Pooling does not take activation={self.activation!r}; put an Activation after it.")
        geometry = self.geometry()
        if not isinstance(geometry.padding, str) and any(np.greater_equal(geometry.padding, geometry.kernel)):
            raise ValueError(f"Padding of {geometry.padding} leaves nothing in windows of {geometry.kernel}.")
        if self.kind in SIGNS and np.prod(geometry.kernel) > LARGEST_WINDOW:
            raise ValueError(f"Windows of {geometry.kernel} have more than 255 places; GlobalPooling has no limit.")

    def geometry(self):
        """Return how the windows lie.

        Returns
        -------
        geometry : Geometry
            Of one image.
        """
        return Geometry(self.size, self.size if self.stride is None else self.stride, self.padding)

    def output_shape(self, shape):
        H, W, C = image_shape(shape, "Pooling")
        return (*self.geometry().output(H, W), C)

    def uses_blas(self, shape, dtype):
        return False

    def workspace(self, shape, B, dtype):
        made, geometry = (B, *self.output_shape(shape)), self.geometry()
        index = np.empty(made, dtype=np.uint8) if self.kind in SIGNS else None
        numbers = geometry.kernel, geometry.stride, geometry.pads(*shape[:2]), SIGNS.get(self.kind)
        buffers = {"dx": np.empty((B, *shape), dtype), "y": np.empty(made, dtype), "index": index}
        space = Space(geometry=geometry, numbers=numbers, reads_x=False, **buffers)
        if self.activation != "identity":
            space.dz = np.empty(made, dtype)
        return space

    def forward(self, x, p, space, mode):
        y = space.y[: len(x)]
        if self.kind == "average":
            average_pooling_forward(x, space.geometry, y, mode.n_threads)
        else:
            _kernels.pooling.max_pool(x, y, space.index[: len(x)], *space.numbers, mode.n_threads)
        return y if self.activation == "identity" else activation_forward(y, self.activation, y, mode.n_threads)

    def backward(self, dy, p, g, space, mode, need_dx=True):
        if not need_dx:
            return None
        b, dx = len(dy), space.dx[: len(dy)]
        if self.activation != "identity":
            dy = activation_backward(dy, space.y[:b], self.activation, space.dz[:b], mode.n_threads)
        if self.kind == "average":
            return average_pooling_backward(dy, space.geometry, dx, mode.n_threads)
        return max_pooling_backward(dy, space.index[: len(dy)], space.geometry, dx, mode.n_threads)


def check_kind(kind):
    """Raise a ValueError unless pooling of that kind is known."""
    if kind not in ("max", "average", "min"):
        raise ValueError(f"kind={kind!r} of pooling is unknown; there are max, average, min.")


def global_pooling_forward(x, kind="average", out=None):
    """Take the mean, largest or smallest number of each channel.

    Parameters
    ----------
    x : ndarray of shape (B, H, W, C), float32 or float64
        Images; C-contiguous.
    kind : {"average", "max", "min"}, default="average"
        Which.
    out : (ndarray, ndarray) or None, default=None
        Where to write.

    Returns
    -------
    y : ndarray of shape (B, C)
        The numbers.
    index : ndarray of shape (B, C), int64
        For "max" and "min" their pixels, h * W + w; of equal ones the first.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import global_pooling_forward
    >>> y, index = global_pooling_forward(np.arange(6.0).reshape(1, 1, 3, 2), "max")
    >>> y, index
    (array([[4., 5.]]), array([[2, 2]]))
    """
    pixels = x.reshape(len(x), -1, x.shape[-1])
    if out is None:
        shape = (len(x), x.shape[-1])
        out = np.empty(shape, dtype=x.dtype), np.zeros(shape, dtype=np.intp)
    y, index = out
    if kind == "average":
        pixels.mean(axis=1, out=y)
    else:
        (pixels.argmax if kind == "max" else pixels.argmin)(axis=1, out=index)
        y[...] = np.take_along_axis(pixels, index[:, None], axis=1)[:, 0]
    return y, index


def global_pooling_backward(dy, index, kind, out):
    """Carry a gradient back through :func:`global_pooling_forward`.

    Parameters
    ----------
    dy : ndarray of shape (B, C)
        At the output.
    index : ndarray of shape (B, C), int64
        The pixels.
    kind : {"average", "max", "min"}
        As before.
    out : ndarray of shape (B, H, W, C)
        Where to write; C-contiguous.

    Returns
    -------
    dx : ndarray of shape (B, H, W, C)
        `out`.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import global_pooling_backward
    >>> global_pooling_backward(np.ones((1, 1)), np.array([[3]]), "max", np.empty((1, 2, 2, 1))).ravel()
    array([0., 0., 0., 1.])
    """
    pixels = out.reshape(len(out), -1, out.shape[-1])
    if kind == "average":
        np.multiply(dy[:, None], dy.dtype.type(1 / pixels.shape[1]), out=pixels)
    else:
        pixels[...] = 0
        np.put_along_axis(pixels, index[:, None], dy[:, None], axis=1)
    return out


@dataclass(frozen=True)
class GlobalPooling(Layer):
    """The mean, largest or smallest number of each channel: an image of any size becomes a row.

    Attributes
    ----------
    kind : {"average", "max", "min"}, default="average"
        What is taken.

    Raises
    ------
    ValueError
        If there is no such kind.

    Examples
    --------
    >>> from skml.network import GlobalPooling
    >>> GlobalPooling().output_shape((7, 7, 16))
    (16,)
    """

    kind: str = "average"

    def __post_init__(self):
        check_kind(self.kind)

    def output_shape(self, shape):
        return image_shape(shape, "GlobalPooling")[2:]

    def uses_blas(self, shape, dtype):
        return False

    def workspace(self, shape, B, dtype):
        made = (B, shape[2])
        return Space(dx=np.empty((B, *shape), dtype), y=np.empty(made, dtype), index=np.zeros(made, dtype=np.intp))

    def forward(self, x, p, space, mode):
        return global_pooling_forward(x, self.kind, (space.y[: len(x)], space.index[: len(x)]))[0]

    def backward(self, dy, p, g, space, mode, need_dx=True):
        b = len(dy)
        return global_pooling_backward(dy, space.index[:b], self.kind, space.dx[:b]) if need_dx else None
