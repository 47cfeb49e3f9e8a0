"""Decoders: layers that lead from a code back to an image, the way of an encoder in reverse."""

import math
from dataclasses import dataclass

import numpy as np

from skml.network.composition import Sequential
from skml.network.convolution import Convolution
from skml.network.layers import Layer, Linear, Space
from skml.network.normalization import BatchNormalization
from skml.network.upsampling import Upsampling


@dataclass(frozen=True)
class Unflatten(Layer):
    """The numbers of a row in another shape.

    Attributes
    ----------
    shape : tuple of int
        Of a sample afterwards.

    Raises
    ------
    ValueError
        If a sample has another number of numbers.

    Examples
    --------
    >>> from skml.vision.decoding import Unflatten
    >>> Unflatten((2, 2, 8)).output_shape((32,))
    (2, 2, 8)
    """

    shape: tuple

    def output_shape(self, shape):
        if math.prod(shape) != math.prod(self.shape):
            raise ValueError(f"A sample of shape {shape} cannot be given the shape {self.shape}.")
        return tuple(self.shape)

    def workspace(self, shape, B, dtype):
        return Space(shape=tuple(shape))

    def forward(self, x, p, space, mode):
        return x.reshape(len(x), *self.shape)

    def backward(self, dy, p, g, space, mode, need_dx=True):
        return dy.reshape(len(dy), *space.shape) if need_dx else None


@dataclass(frozen=True)
class Codes:
    """Codes in the place of images: they go into a network as they are."""

    def preparation(self, rows_dtype, dtype):
        """Return a function that copies rows to a batch."""
        return lambda rows, out: np.copyto(out, rows)


def decoder_layers(encoder, shape, hidden_layer_sizes=(), method="nearest"):
    """Return the layers that lead from a code to an image.

    Where the encoder makes an image smaller, the decoder resamples it to the size before; and where the encoder has a
    convolution, the decoder has one, to the channels before that one (the last one: its own), of the same kernel,
    activation and normalisation. In the end a convolution makes the channels of the image, of any size and sign.

    Parameters
    ----------
    encoder : list of Layer
        From images to rows of features, without the last linear layer.
    shape : (int, int, int)
        H, W, C of an image.
    hidden_layer_sizes : sequence of int, default=()
        Of the encoder.
    method : {"nearest", "bilinear"}, default="nearest"
        Of resampling.

    Returns
    -------
    layers : list of Layer
        What they make has the shape `shape`.
    """
    parts = [(layer, at) for _, layer, at in Sequential(encoder).parts(shape) if len(at) == 3]
    *images, (_, inmost) = parts  # what flattens is the last that is given an image
    activations = [layer.activation for layer in encoder if isinstance(layer, Linear)]
    layers = [Linear(size, activation=activations[0]) for size in reversed(hidden_layer_sizes)]
    # no activation here: what a code stands for may have either sign
    layers += [Linear(math.prod(inmost)), Unflatten(inmost)]
    normalised = {i for i, (layer, _) in enumerate(images[1:]) if isinstance(layer, BatchNormalization)}
    for i, (layer, at) in reversed(list(enumerate(images))):
        if layer.output_shape(at)[:2] != at[:2]:
            layers.append(Upsampling(size=at[:2], method=method))
        if isinstance(layer, Convolution):
            filters = layer.filters if i == 0 else at[2]
            follower = images[i + 1][0] if i in normalised else None
            layers += _convolved(filters, layer, follower)
    return [*layers, Convolution(shape[2], images[0][0].kernel)]


def _convolved(filters, layer, normalization):
    if normalization is None:
        return [Convolution(filters, layer.kernel, activation=layer.activation)]
    return [Convolution(filters, layer.kernel, bias=False), BatchNormalization(normalization.activation)]
