"""Architectures: from the shape parameters of an estimator to the layers of its network."""

from dataclasses import dataclass
from math import prod
from numbers import Integral

from skml._sklearn import InvalidParameterError
from skml.network.composition import Residual, Sequential
from skml.network.convolution import Convolution
from skml.network.layers import Activation, Dropout, Flatten, Layer, Linear, weight_init
from skml.network.normalization import BatchNormalization
from skml.network.pooling import Pooling

POOLS = ("max", "average", "min")


@dataclass(frozen=True)
class Body:
    """The part of a network that classifier, regressor and encoder share: convolutions, then hidden layers.

    Attributes
    ----------
    filters, kernel_size, stride, pool, pool_size : int, str or None, or sequences of such
        One for all convolutions, or one for each.
    padding : {"same", "valid"} or int
        Of the convolutions.
    hidden_layer_sizes : sequence of int
        Sizes of the linear layers after them.
    activation : str
        After every layer of the body.
    normalization : {"batch"} or None
        Of the convolutions.
    residual : bool
        Whether each convolution is a block of two beside a short cut.
    dropout : float
        Before every linear layer.
    """

    filters: object = (16, 32)
    kernel_size: object = 3
    stride: object = 1
    padding: object = "same"
    pool: object = "max"
    pool_size: object = 2
    hidden_layer_sizes: tuple = ()
    activation: str = "relu"
    normalization: str | None = None
    residual: bool = False
    dropout: float = 0.0


@dataclass(frozen=True)
class InitFor:
    """The initialiser that suits an activation which another layer applies.

    It is an object rather than a function so that a checkpoint of the network holds no functions.

    Attributes
    ----------
    activation : str
        Its name.
    """

    activation: str

    def __call__(self, generator, shape, fan_in, fan_out, dtype):
        """Return filters, as initialisers of :mod:`skml.network` do."""
        return weight_init(None, self.activation)(generator, shape, fan_in, fan_out, dtype)


def body_layers(body, shape):
    """Return the layers of a body, up to where the last linear layer follows.

    Parameters
    ----------
    body : Body
        What is asked for.
    shape : (int, int, int)
        H, W, C of an image; a signal has H = 1.

    Returns
    -------
    layers : list of Layer
        From images to rows of features.

    Raises
    ------
    InvalidParameterError
        If a parameter's entry is no such thing, or there are more or fewer than convolutions.
    ValueError
        If a layer leaves nothing; the message shows the table of those before it.
    """
    layers = convolution_layers(body, shape)
    sizes = _whole(body.hidden_layer_sizes, "hidden_layer_sizes")
    drop = [Dropout(body.dropout)] if body.dropout else []
    hidden = [layer for size in sizes for layer in (*drop, Linear(size, activation=body.activation))]
    return [*layers, Flatten(), *hidden, *drop]


def convolution_layers(body, shape):
    """Return the layers of a body that make images of images; see :func:`body_layers`."""
    layers, at = [], shape
    for settings in _settings(body):
        block = _block(body, settings, at)
        layers += block
        # the whole is asked for, so that an error shows the table of the whole
        at = Sequential(layers).output_shape(shape)
    return layers


def with_head(layers, shape, n_outputs):
    """Return a network that ends with a linear layer.

    Parameters
    ----------
    layers : sequence of Layer
        The body.
    shape : (int, int, int)
        Of an image.
    n_outputs : int
        The numbers to end with.

    Returns
    -------
    network : Sequential
        The body, flattened if it ends with images, and the linear layer.

    Raises
    ------
    ValueError
        If the layers don't fit each other.
    """
    for i, layer in enumerate(layers):
        if not isinstance(layer, Layer):
            raise InvalidParameterError(f"architecture must hold layers of skml.network, but item {i} is {layer!r}.")
    body = Sequential(layers)
    flatten = [] if len(body.output_shape(shape)) == 1 else [Flatten()]
    network = Sequential([*layers, *flatten, Linear(n_outputs)])
    network.output_shape(shape)
    return network


def n_bytes(network, shape, B, dtype):
    """Return about how many bytes a network takes in training, with batches of `B` samples."""
    specs = network.specs(shape)
    # weights, their gradient, two moments and what is kept of each epoch; outputs, their gradients, columns
    held = 8 * sum(prod(spec.shape) for spec in specs)
    made = 3 * B * sum(prod(part.output_shape(at)) for _, part, at in network.parts(shape))
    return (held + made) * dtype.itemsize


def _settings(body):
    """Return filters, kernel, stride, pool and pool size of each convolution."""
    filters = _whole(body.filters, "filters")
    n = len(filters)
    kernels = _each(body.kernel_size, n, "kernel_size")
    strides = _each(body.stride, n, "stride")
    sizes = _each(body.pool_size, n, "pool_size")
    pools = [body.pool] * n if body.pool is None or isinstance(body.pool, str) else list(body.pool)
    if len(pools) != n or not all(pool is None or pool in POOLS for pool in pools):
        raise InvalidParameterError(
            f"pool must be 'max', 'average', 'min' or None, or one for each of {n} filters; got {body.pool!r}."
        )
    return list(zip(filters, kernels, strides, pools, sizes))


def _whole(values, name):
    """Return whole numbers of at least 1."""
    values = [values] if isinstance(values, Integral) else list(values)
    for value in values:
        if not _is_size(value):
            raise InvalidParameterError(f"{name} must hold whole numbers of at least 1, got {value!r}.")
    return [int(value) for value in values]


def _each(value, n, name):
    """Return the n sizes, numbers or pairs, that a parameter means."""
    values = [value] * n if isinstance(value, Integral) else list(value)
    if len(values) != n:
        raise InvalidParameterError(f"{name} must be one size or one for each of {n} filters, got {value!r}.")
    for one in values:
        pair = isinstance(one, (list, tuple)) and len(one) == 2 and all(map(_is_size, one))
        if not (pair or _is_size(one)):
            raise InvalidParameterError(f"{name} must hold sizes, or pairs of sizes, of at least 1; got {one!r}.")
    return values


def _is_size(value):
    return isinstance(value, Integral) and not isinstance(value, bool) and value >= 1


def _on(size, shape):
    """Return a size along height and width; signals have no height."""
    if isinstance(size, Integral):
        return (1 if shape[0] == 1 else int(size), int(size))
    return tuple(map(int, size))


def _block(body, settings, shape):
    """Return the layers of one convolution with all that belongs to it."""
    filters, kernel, stride, pool, size = settings
    geometry = {"kernel": _on(kernel, shape), "stride": _on(stride, shape), "padding": _padding(body, shape)}
    window = _on(size, shape)
    pooled = pool is not None and window != (1, 1)
    # what never falls may follow the largest or smallest of a window as well as precede it, and is cheaper there
    late = pooled and pool != "average" and body.activation != "gelu" and not body.residual
    if body.residual:
        learnt = _residual(body, filters, geometry, shape)
    else:
        learnt = _convolved(body, filters, geometry, "identity" if late else body.activation)
    if not pooled:
        return learnt
    padding = "valid" if body.padding == "valid" else "same"
    return [*learnt, Pooling(pool, window, padding=padding, activation=body.activation if late else "identity")]


def _padding(body, shape):
    return body.padding if isinstance(body.padding, str) else (0 if shape[0] == 1 else body.padding, body.padding)


def _convolved(body, filters, geometry, activation):
    """Return a convolution, normalised if asked for, and its activation; the body's comes in the end in any case."""
    init = InitFor(body.activation)
    if body.normalization is None:
        return [Convolution(filters, **geometry, activation=activation, init=init)]
    return [Convolution(filters, **geometry, bias=False, init=init), BatchNormalization(activation)]


def _residual(body, filters, geometry, shape):
    """Return a block of two convolutions beside a short cut, and the activation of the sum (He et al. 2016)."""
    if body.padding != "same":
        raise InvalidParameterError(
            f"residual=True needs padding='same', lest block and short cut differ in size; got {body.padding!r}."
        )
    again = {**geometry, "stride": (1, 1)}
    block = [*_convolved(body, filters, geometry, body.activation), *_convolved(body, filters, again, "identity")]
    passes = geometry["stride"] == (1, 1) and shape[2] == filters
    cut = {"kernel": (1, 1), "stride": geometry["stride"], "padding": "same"}
    shortcut = None if passes else Sequential(_convolved(body, filters, cut, "identity"))
    return [Residual(block, shortcut), Activation(body.activation)]
