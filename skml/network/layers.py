"""The protocol of a layer, and the plain ones: linear, flatten, embedding, dropout, activation.

B: batch, T: time, C: channels. A layer is a frozen dataclass that holds sizes and no arrays: its parameters come
from :class:`~skml.network.parameters.Parameters`, its buffers from a :class:`Space`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import scipy.sparse as sp

from skml import _kernels
from skml.network.activations import (
    CODES,
    FROM_INPUT,
    NONE,
    ONE_SIDED,
    activation_backward,
    activation_forward,
    as_rows,
    check_activation,
    softmax_backward,
    softmax_forward,
)
from skml.network.geometry import require_whole
from skml.network.parameters import Spec, glorot_uniform, he_normal, he_uniform

__all__ = [
    "Activation",
    "Dropout",
    "Embedding",
    "Flatten",
    "Layer",
    "Linear",
    "Mode",
    "Softmax",
    "Space",
    "dropout_backward",
    "dropout_forward",
    "embedding_backward",
    "embedding_forward",
    "linear_backward",
    "linear_forward",
]


@dataclass(frozen=True)
class Mode:
    """How a network is run.

    Attributes
    ----------
    train : bool, default=False
        Whether dropout drops, and batch normalisation uses (and keeps) the statistics of the batch.
    seed, step : int, default=0
        What chance depends on, along with the number of the layer and the place of the element: nothing else.
    n_threads : int, default=1
        How many threads kernels may use; no result depends on it.
    first : ndarray of shape (b, T), int32, or None, default=None
        Where in its row the document of each moment begins, for layers of sequences; None means at 0. A number below 0
        says that it began before the row.

    Examples
    --------
    >>> from skml.network import Mode
    >>> Mode(train=True, seed=1, step=20)
    Mode(train=True, seed=1, step=20, n_threads=1)
    """

    train: bool = False
    seed: int = 0
    step: int = 0
    n_threads: int = 1
    first: np.ndarray | None = field(default=None, compare=False, repr=False)


class Space(SimpleNamespace):
    """The buffers of a layer for batches up to some size: outputs, gradients at the input, and what backward needs.

    A buffer named ``dx`` is what `backward` writes and returns, one named ``dz`` is used within `backward` alone:
    :class:`Sequential` lets layers share them. ``reads_x`` and ``reads_y`` tell whether `backward` reads the input and
    the output ``y`` of `forward`: what neither layer beside it reads again is written over. ``parts`` holds the spaces
    of the layers inside, ``number`` is the layer's number in the network.

    Parameters
    ----------
    **buffers : ndarray or object
        By name.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import Space
    >>> Space(y=np.empty((2, 3))).number
    0
    """

    def __init__(self, **buffers):
        super().__init__(**{"parts": (), "number": 0, "reads_x": True, "reads_y": True, **buffers})


class Layer:
    """What every layer can do; a layer of your own derives from it.

    ``shape`` is that of a sample, without the batch: (H, W, C), (T, C) or (n_features,). Arrays are C-contiguous and
    of one dtype. A batch may be smaller than its space: the leading rows of the buffers are used.

    Examples
    --------
    >>> from skml.network import Layer, Linear
    >>> isinstance(Linear(3), Layer)
    True
    """

    def output_shape(self, shape):
        """Return the shape that a sample has after the layer.

        Parameters
        ----------
        shape : tuple of int
            Before the layer.

        Returns
        -------
        shape : tuple of int
            After it.

        Raises
        ------
        ValueError
            If the layer cannot take such samples.
        """
        return shape

    def parts(self, shape):
        """Return the layers inside.

        Parameters
        ----------
        shape : tuple of int
            Of a sample.

        Returns
        -------
        parts : tuple of (str, Layer, tuple of int)
            Their names, they, and the shapes that they are given.
        """
        return ()

    def specs(self, shape):
        """Return the arrays to be trained.

        Parameters
        ----------
        shape : tuple of int
            Of a sample.

        Returns
        -------
        specs : tuple of Spec
            In order.
        """
        return ()

    def states(self, shape):
        """Return the arrays to be kept, but not trained.

        Parameters
        ----------
        shape : tuple of int
            Of a sample.

        Returns
        -------
        specs : tuple of Spec
            In order.
        """
        return ()

    def workspace(self, shape, B, dtype):
        """Allocate buffers.

        Parameters
        ----------
        shape : tuple of int
            Of a sample.
        B : int
            The most samples in a batch.
        dtype : dtype
            float32 or float64.

        Returns
        -------
        space : Space
            For `forward` and `backward`.
        """
        raise NotImplementedError

    def forward(self, x, p, space, mode):
        """Compute the output.

        Parameters
        ----------
        x : ndarray of shape (b, *shape)
            A batch of at most B samples; it must stay as it is until `backward`.
        p : dict of str to ndarray
            Parameters and states by their own names; of a composition, dicts by the names of the layers inside.
        space : Space
            From `workspace`.
        mode : Mode
            How to run.

        Returns
        -------
        y : ndarray of shape (b, *output_shape)
            It lies in `space` (or is x), and holds until the next call.
        """
        raise NotImplementedError

    def backward(self, dy, p, g, space, mode, need_dx=True):
        """Carry a gradient back through the last `forward`.

        Parameters
        ----------
        dy : ndarray of shape (b, *output_shape)
            At the output; it is left as it is.
        p : dict of str to ndarray
            As for `forward`.
        g : dict of str to ndarray
            Where the gradients at the parameters are written; what was there is lost.
        space : Space
            As for `forward`.
        mode : Mode
            As for `forward`.
        need_dx : bool, default=True
            Whether the gradient at the input is asked for.

        Returns
        -------
        dx : ndarray of shape (b, *shape) or None
            It lies in `space` (or is dy), and holds until the next call. None if it was not asked for.
        """
        raise NotImplementedError

    def uses_blas(self, shape, dtype):
        """Tell whether `forward` multiplies matrices with BLAS, whose threads, and the batch's size, show in the bits.

        Parameters
        ----------
        shape : tuple of int
            Of a sample.
        dtype : dtype
            float32 or float64.

        Returns
        -------
        uses_blas : bool
            True, unless the layer knows better.
        """
        parts = self.parts(shape)
        return not parts or any(part.uses_blas(at, dtype) for _, part, at in parts)

    def cost(self, shape):
        """Return the multiplications, each with an addition, that a sample takes.

        Parameters
        ----------
        shape : tuple of int
            Of a sample.

        Returns
        -------
        cost : int
            0 for layers whose work is not mainly that.
        """
        return 0


# ------------------------------------------------------------------------- products with an activation


# As many columns a kernel multiplies by as fast as BLAS does, adding the bias while it is about it; and each row's bits
# depend on that row alone. What else the kernel asks for: a row is a pixel.
FEW_OUTPUTS = 32
_PLAIN = ((1, 1), (0, 0), (1, 1), 1)


def weight_init(init, activation):
    """Return the initialiser asked for: He's for one-sided activations and Glorot's for others, unless given."""
    return init or (he_uniform if activation in ONE_SIDED else glorot_uniform)


def empty(shape, dtype):
    """Return a new array that begins where a cache line does, so that vectors written to it lie in one."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(size + 64, dtype=np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + size].view(dtype).reshape(shape)


def outputs(shape, B, dtype, activation):
    """Return the buffers of a layer that ends with an activation: y, dz, and z where the derivative needs it."""
    names = ["y"] + ["dz"] * (activation != "identity") + ["z"] * (activation in FROM_INPUT)
    return {name: np.empty((B, *shape), dtype=dtype) for name in names}


def before(space, activation, b):
    """Return where a layer writes its product, and the activation that it applies there itself."""
    return (space.z[:b], "identity") if activation in FROM_INPUT else (space.y[:b], activation)


def after(space, activation, b, mode):
    """Return the output of a layer whose product is in its place."""
    y = space.y[:b]
    return activation_forward(space.z[:b], activation, y, mode.n_threads) if activation in FROM_INPUT else y


def undone(dy, space, activation, mode):
    """Return the gradient before the activation."""
    if activation == "identity":
        return dy
    b = len(dy)
    known = space.z if activation in FROM_INPUT else space.y
    return activation_backward(dy, known[:b], activation, space.dz[:b], mode.n_threads)


def linear_forward(x, w, b=None, activation="identity", out=None, n_threads=1):
    """Multiply rows by a matrix: y = activation(x w + b).

    Parameters
    ----------
    x : ndarray of shape (..., n_in), float32 or float64
        C-contiguous.
    w : ndarray of shape (n_in, n_out)
        The matrix.
    b : ndarray of shape (n_out,) or None, default=None
        What is added.
    activation : str, default="identity"
        See :func:`activation_forward`.
    out : ndarray of shape (..., n_out) or None, default=None
        Where to write; C-contiguous.
    n_threads : int, default=1
        How many threads to use; a product of more than 32 columns has those of BLAS.

    Returns
    -------
    y : ndarray of shape (..., n_out)
        `out`, if given.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import linear_forward
    >>> linear_forward(np.array([[1.0, 2.0]]), np.array([[1.0, -1.0], [1.0, -1.0]]), activation="relu")
    array([[3., 0.]])
    """
    y = np.empty((*x.shape[:-1], w.shape[1]), dtype=x.dtype) if out is None else out
    rows, made, code = as_rows(x), as_rows(y), CODES[check_activation(activation)]
    if w.shape[1] <= FEW_OUTPUTS and rows.size and rows.shape[1] == len(w):
        given = (array.reshape(1, 1, *array.shape) for array in (rows, np.ascontiguousarray(w)))
        b = NONE[x.dtype] if b is None else b
        _kernels.convolution.forward(*given, b, made.reshape(1, 1, *made.shape), *_PLAIN, code, n_threads)
        return y
    np.matmul(rows, w, out=made)
    if b is not None or activation != "identity":
        b = NONE[x.dtype] if b is None else b
        _kernels.fused.bias_activation(made, b, code, n_threads)
    return y


def linear_backward(dy, x, w, out=None, need_dx=True):
    """Carry a gradient back through ``linear_forward`` without an activation.

    Parameters
    ----------
    dy : ndarray of shape (..., n_out)
        At the output; C-contiguous.
    x : ndarray of shape (..., n_in)
        What went in; C-contiguous.
    w : ndarray of shape (n_in, n_out)
        The matrix.
    out : (ndarray or None, ndarray, ndarray or None) or None, default=None
        Where to write dx, dw and db; if given, a db of None is not computed.
    need_dx : bool, default=True
        Whether to compute dx.

    Returns
    -------
    dx : ndarray of shape (..., n_in) or None
        The gradient at x.
    dw : ndarray of shape (n_in, n_out)
        The gradient at w.
    db : ndarray of shape (n_out,) or None
        The gradient at b.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import linear_backward
    >>> dx, dw, db = linear_backward(np.ones((2, 1)), np.array([[1.0], [4.0]]), np.array([[3.0]]))
    >>> dx.tolist(), dw.tolist(), db.tolist()
    ([[3.0], [3.0]], [[5.0]], [2.0])
    """
    dx, dw, db = (np.empty_like(x), np.empty_like(w), np.empty(w.shape[1], dtype=w.dtype)) if out is None else out
    rows = as_rows(dy)
    np.matmul(as_rows(x).T, rows, out=dw)
    if db is not None:
        rows.sum(axis=0, out=db)
    if not need_dx:
        return None, dw, db
    np.matmul(rows, w.T, out=as_rows(dx))
    return dx, dw, db


@dataclass(frozen=True)
class Linear(Layer):
    """A product with a matrix, of each sample or of each moment of a sample.

    Attributes
    ----------
    n_out : int
        The numbers that come out.
    activation : str, default="identity"
        Applied to them, see :func:`activation_forward`.
    bias : bool, default=True
        Whether a number of its own is added to each.
    init : callable or None, default=None
        The initialiser; None means `he_uniform` before relu, leaky_relu and gelu, and else `glorot_uniform`.

    Raises
    ------
    ValueError
        If `n_out` is not a whole number of at least 1, or there is no such activation.

    Examples
    --------
    >>> from skml.network import Linear
    >>> layer = Linear(10)
    >>> layer.output_shape((784,)), layer.cost((784,))
    ((10,), 7840)
    """

    n_out: int
    activation: str = "identity"
    bias: bool = True
    init: Callable | None = None

    def __post_init__(self):
        require_whole(self.n_out, "n_out")
        check_activation(self.activation)

    def output_shape(self, shape):
        if len(shape) > 2:
            raise ValueError(f"Linear takes rows of numbers, not samples of shape {shape}; put Flatten() before it.")
        return (*shape[:-1], self.n_out)

    def specs(self, shape):
        fans = shape[-1], self.n_out
        weight = Spec("weight", fans, weight_init(self.init, self.activation), *fans)
        return (weight, Spec("bias", (self.n_out,))) if self.bias else (weight,)

    def workspace(self, shape, B, dtype):
        buffers = outputs(self.output_shape(shape), B, dtype, self.activation)
        return Space(dx=np.empty((B, *shape), dtype=dtype), **buffers)

    def forward(self, x, p, space, mode):
        space.x = x
        product, activation = before(space, self.activation, len(x))
        linear_forward(x, p["weight"], p.get("bias"), activation, product, mode.n_threads)
        return after(space, self.activation, len(x), mode)

    def backward(self, dy, p, g, space, mode, need_dx=True):
        dz = undone(dy, space, self.activation, mode)
        out = space.dx[: len(dy)], g["weight"], g.get("bias")
        return linear_backward(dz, space.x, p["weight"], out, need_dx)[0]

    def uses_blas(self, shape, dtype):
        return self.n_out > FEW_OUTPUTS

    def cost(self, shape):
        return math.prod(shape) * self.n_out


# ------------------------------------------------------------------------------------------- the others


@dataclass(frozen=True)
class Flatten(Layer):
    """All numbers of a sample in one row.

    Examples
    --------
    >>> from skml.network import Flatten
    >>> Flatten().output_shape((7, 7, 32))
    (1568,)
    """

    def output_shape(self, shape):
        return (math.prod(shape),)

    def uses_blas(self, shape, dtype):
        return False

    def workspace(self, shape, B, dtype):
        return Space(shape=tuple(shape))

    def forward(self, x, p, space, mode):
        return x.reshape(len(x), -1)

    def backward(self, dy, p, g, space, mode, need_dx=True):
        return dy.reshape(len(dy), *space.shape) if need_dx else None


@dataclass(frozen=True)
class Activation(Layer):
    """An activation of its own, where no layer before applies it.

    Attributes
    ----------
    activation : str
        Its name, see :func:`activation_forward`.

    Raises
    ------
    ValueError
        If there is no such activation.

    Examples
    --------
    >>> from skml.network import Activation
    >>> Activation("relu").output_shape((7, 7, 32))
    (7, 7, 32)
    """

    activation: str

    def __post_init__(self):
        check_activation(self.activation)

    def uses_blas(self, shape, dtype):
        return False

    def workspace(self, shape, B, dtype):
        return Space(y=np.empty((B, *shape), dtype=dtype), dx=np.empty((B, *shape), dtype=dtype))

    def forward(self, x, p, space, mode):
        space.x = x
        return activation_forward(x, self.activation, space.y[: len(x)], mode.n_threads)

    def backward(self, dy, p, g, space, mode, need_dx=True):
        b = len(dy)
        known = space.x if self.activation in FROM_INPUT else space.y[:b]
        return activation_backward(dy, known, self.activation, space.dx[:b], mode.n_threads) if need_dx else None


@dataclass(frozen=True)
class Softmax(Layer):
    """Each row, or each pixel's channels, made a distribution, see :func:`softmax_forward`.

    A network that learns with :class:`CrossEntropy` ends without it: that loss takes logits.

    Examples
    --------
    >>> from skml.network import Softmax
    >>> Softmax().output_shape((10,))
    (10,)
    """

    def uses_blas(self, shape, dtype):
        return False

    def workspace(self, shape, B, dtype):
        return Space(y=np.empty((B, *shape), dtype=dtype), dx=np.empty((B, *shape), dtype=dtype))

    def forward(self, x, p, space, mode):
        return softmax_forward(x, space.y[: len(x)])

    def backward(self, dy, p, g, space, mode, need_dx=True):
        return softmax_backward(dy, space.y[: len(dy)], space.dx[: len(dy)]) if need_dx else None


def dropout_forward(x, rate, layer=0, out=None, mode=None):
    """Set numbers to zero at random, and divide the others by what share of them stays (Srivastava et al. 2014).

    Parameters
    ----------
    x : ndarray, float32 or float64
        C-contiguous.
    rate : float
        The probability that a number is dropped.
    layer : int, default=0
        The number of the layer in its network.
    out : ndarray or None, default=None
        Where to write.
    mode : Mode or None, default=None
        Its seed and step are what chance depends on; None means ``Mode()``.

    Returns
    -------
    y : ndarray of the shape of x
        `out`, if given.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import dropout_forward
    >>> sorted(set(dropout_forward(np.ones((100, 10)), 0.5).ravel().tolist()))
    [0.0, 2.0]
    """
    y = np.empty_like(x) if out is None else out
    mode = mode or Mode()
    _kernels.fused.dropout(x.reshape(-1), y.reshape(-1), rate, mode.seed, mode.step, layer, mode.n_threads)
    return y


def dropout_backward(dy, rate, layer=0, out=None, mode=None):
    """Carry a gradient back through dropout: what was dropped has none.

    Parameters
    ----------
    dy : ndarray
        At the output; C-contiguous.
    rate : float
        As before.
    layer : int, default=0
        As before.
    out : ndarray or None, default=None
        Where to write.
    mode : Mode or None, default=None
        As before.

    Returns
    -------
    dx : ndarray of the shape of dy
        The gradient at x.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import dropout_backward, dropout_forward
    >>> x = np.ones((4, 4))
    >>> bool((dropout_backward(x, 0.5) == dropout_forward(x, 0.5)).all())
    True
    """
    return dropout_forward(dy, rate, layer, out, mode)


@dataclass(frozen=True)
class Dropout(Layer):
    """Numbers set to zero at random while training; what is dropped depends on seed, step, layer and place alone.

    Attributes
    ----------
    rate : float, default=0.5
        The probability that a number is dropped.

    Raises
    ------
    ValueError
        If the rate is not in [0, 1).

    Examples
    --------
    >>> from skml.network import Dropout
    >>> Dropout(0.2).output_shape((128,))
    (128,)
    """

    rate: float = 0.5

    def __post_init__(self):
        if not 0 <= self.rate < 1:
            raise ValueError(f"The rate of dropout must be at least 0 and below 1, got {self.rate!r}.")

    def uses_blas(self, shape, dtype):
        return False

    def workspace(self, shape, B, dtype):
        return Space(y=np.empty((B, *shape), dtype=dtype), dx=np.empty((B, *shape), dtype=dtype))

    def forward(self, x, p, space, mode):
        if not (mode.train and self.rate):
            return x
        return dropout_forward(x, self.rate, space.number, space.y[: len(x)], mode)

    def backward(self, dy, p, g, space, mode, need_dx=True):
        if not need_dx:
            return None
        dx = space.dx[: len(dy)]
        if mode.train and self.rate:
            return dropout_backward(dy, self.rate, space.number, dx, mode)
        dx[...] = dy
        return dx


def embedding_forward(x, w, out=None):
    """Look up a vector for each code.

    Parameters
    ----------
    x : ndarray of shape (...), int
        Codes from 0 to V - 1.
    w : ndarray of shape (V, C), float32 or float64
        The vectors.
    out : ndarray of shape (..., C) or None, default=None
        Where to write.

    Returns
    -------
    y : ndarray of shape (..., C)
        `out`, if given.

    Raises
    ------
    ValueError
        If a code is outside.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import embedding_forward
    >>> embedding_forward(np.array([1, 1]), np.array([[0.0, 0.0], [3.0, 4.0]]))
    array([[3., 4.],
           [3., 4.]])
    """
    if x.size and not 0 <= x.min() <= x.max() < len(w):
        bad = x.min() if x.min() < 0 else x.max()
        raise ValueError(f"A code is {bad}, outside 0 to {len(w) - 1}.")
    return np.take(w, x, axis=0, out=out, mode="clip")


def embedding_backward(dy, x, dw):
    """Write the gradient at the vectors: the sum of those at their places.

    Parameters
    ----------
    dy : ndarray of shape (..., C)
        At the output; C-contiguous.
    x : ndarray of shape (...), int
        The codes.
    dw : ndarray of shape (V, C)
        Where to write.

    Returns
    -------
    dw : ndarray of shape (V, C)
        The same.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import embedding_backward
    >>> embedding_backward(np.array([[1.0], [2.0]]), np.array([1, 1]), np.empty((2, 1)))
    array([[0.],
           [3.]])
    """
    n = x.size
    hot = sp.csc_array((np.ones(n, dtype=dw.dtype), x.reshape(-1), np.arange(n + 1)), shape=(len(dw), n))
    dw[...] = hot @ as_rows(dy)
    return dw


@dataclass(frozen=True)
class Embedding(Layer):
    """A vector for each code; samples are rows of codes.

    Attributes
    ----------
    n_codes : int
        How many codes there are.
    n_out : int
        The numbers in a vector.
    init : callable, default=he_normal
        The initialiser; it is told a fan_in of 2, so that `he_normal` draws from N(0, 1).

    Raises
    ------
    ValueError
        If a number is not a whole one of at least 1.

    Examples
    --------
    >>> from skml.network import Embedding
    >>> Embedding(1000, 64).output_shape((20,))
    (20, 64)
    """

    n_codes: int
    n_out: int
    init: Callable = he_normal

    def __post_init__(self):
        require_whole(self.n_codes, "n_codes")
        require_whole(self.n_out, "n_out")

    def output_shape(self, shape):
        if len(shape) != 1:
            raise ValueError(f"Embedding takes rows of codes, not samples of shape {shape}.")
        return (*shape, self.n_out)

    def specs(self, shape):
        return (Spec("weight", (self.n_codes, self.n_out), self.init, 2, self.n_out),)

    def uses_blas(self, shape, dtype):
        return False

    def workspace(self, shape, B, dtype):
        return Space(y=np.empty((B, *self.output_shape(shape)), dtype=dtype))

    def forward(self, x, p, space, mode):
        space.x = x
        return embedding_forward(x, p["weight"], space.y[: len(x)])

    def backward(self, dy, p, g, space, mode, need_dx=True):
        embedding_backward(dy, space.x, g["weight"])  # codes have no gradient: dx is None
