"""Networks whose numbers stay as they are: for few samples at a time, all layers are a single compiled call."""

import math

import numpy as np

from skml import _kernels
from skml.network.activations import CODES
from skml.network.composition import Sequential
from skml.network.convolution import Convolution
from skml.network.geometry import Geometry
from skml.network.layers import Activation, Flatten, Linear, empty
from skml.network.pooling import Pooling
from skml.network.program import Program

__all__ = ["settled"]

FEW = 8  # the most samples for which it pays: of more, each layer packs its weights once for all of them
MOST_PACKED, MOST_WORK = 2**20, 2**27  # numbers of packed weights, multiply-adds of a sample
_KINDS = {"max": 1, "min": 2, "average": 3}
_PIXEL = Geometry(1)


def settled(program):
    """Return a program that runs few samples in less time, for as long as its parameters stay as they are.

    Up to eight samples go through all layers in a single compiled call, which reads weights that were put in its order
    at its first use; that takes memory for about twice the parameters. Networks of more than about a million, and such
    that hold other layers than :class:`Convolution`, :class:`Pooling`, :class:`Linear`, :class:`Flatten`,
    :class:`Activation` and :class:`Sequential`, are run layer by layer, as more samples are.

    Parameters
    ----------
    program : Program
        From :func:`for_inference`, for less to do. Its parameters must not be written to any more: what comes out would
        be that of the old ones.

    Returns
    -------
    twin : Program
        Of the same parameters, with buffers of its own. It is not to be trained: it has no `backward`.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import Flatten, Linear, Mode, Pooling, Program, Sequential, for_inference, settled
    >>> program = Program(Sequential([Pooling("max", 2), Flatten(), Linear(2)]), (4, 4, 1))
    >>> ready, x = settled(for_inference(program)), np.ones((1, 4, 4, 1), dtype=np.float32)
    >>> bool((ready.forward(x, Mode()) == program.forward(x, Mode())).all())
    True
    """
    if isinstance(program, Settled):
        return program.with_numbers(program.parameters.flat, program.states.flat)
    twin = Settled.__new__(Settled)
    twin.__setstate__(program.__getstate__())
    return twin


class Settled(Program):
    """See :func:`settled`."""

    def _open(self):
        super()._open()
        self._chain = Chain(self.network, self.shape, self.parameters)
        self._room = None

    def with_parts(self, network, parameters, states, shape=None):
        twin = super().with_parts(network, parameters, states, shape)
        if (network, twin.shape) == (self.network, self.shape) and parameters.flat is self.parameters.flat:
            twin._chain = self._chain  # which nothing changes any more
        return twin

    def release(self):
        super().release()
        self._room = None

    def forward(self, x, mode):
        b = len(x)
        if not 0 < b <= FEW or mode.train or x.shape[1:] != self.shape or not self._chain.ready():
            return super().forward(x, mode)
        if self._room is None or self._room.n_threads != mode.n_threads:
            self._room = Room(self._chain, self.output_shape, mode.n_threads)
        return self._room.run(x)

    def backward(self, dy, mode, need_dx=False):
        raise TypeError("A settled program has no gradients; use the one that it was made of.")


class Chain:
    """The layers of a network as a table for the kernel, and their packed weights, for any number of callers."""

    def __init__(self, network, shape, parameters):
        self.network, self.shape, self.parameters = network, shape, parameters
        self.usable = self.packed = self.table = None

    def ready(self):
        """Tell whether the network can be run so; in the first call, see to it."""
        if self.usable is None:
            self.table = table_of(self.network, self.shape, self.parameters)
            self.usable = self.table is not None and self._pack()
        return self.usable

    def _pack(self):
        """Pack the weights, unless they are too many."""
        numbers = self.parameters.flat
        n, _ = _kernels.chains.measure(self.table, numbers, 1, 1)
        if n > MOST_PACKED:
            return False
        packed = empty((n,), numbers.dtype)
        _kernels.chains.pack(self.table, numbers, packed)
        self.packed = packed  # only now: another caller's pack, of the same numbers, may be in use
        return True


class Room:
    """What one caller needs to run a chain."""

    def __init__(self, chain, output_shape, n_threads):
        n_bytes = _kernels.chains.measure(chain.table, chain.packed, FEW, n_threads)[1]
        self.space = np.empty(n_bytes, dtype=np.uint8)
        self.y = np.empty((FEW, *output_shape), dtype=chain.packed.dtype)
        self.rows, self.n_threads = self.y.reshape(FEW, -1), n_threads
        self.table, self.packed = chain.table, chain.packed

    def run(self, x):
        """Return what the chain makes of at most FEW samples."""
        b = len(x)
        _kernels.chains.run(self.table, self.packed, x.reshape(b, -1), self.space, self.rows[:b], self.n_threads)
        return self.y[:b]


def table_of(network, shape, parameters):
    """Return the table of a network for the kernel, or None if it holds other layers or is too large."""
    ends = np.cumsum([0, *map(math.prod, parameters.shapes.values())]).tolist()
    places = dict(zip(parameters.shapes, ends))
    rows = []
    for name, layer, at in _leaves(network, shape):
        if type(layer) not in _ROWS or layer.cost(at) > MOST_WORK:
            return None
        rows += [] if type(layer) is Flatten else [_ROWS[type(layer)](layer, at, places, name)]
    return np.array(rows, dtype=np.int64) if rows else None


def _leaves(layer, shape, name=""):
    """Yield the layers that follow each other, by name, with the shapes that they are given."""
    if type(layer) is not Sequential:
        yield name, layer, shape
        return
    for own, part, at in layer.parts(shape):
        yield from _leaves(part, at, f"{name}{own}.")


def _convolution_row(layer, shape, places, name):
    return _row(0, shape, layer.output_shape(shape), layer.geometry(), layer.activation, _where(places, name))


def _linear_row(layer, shape, places, name):
    before, after = _image(shape), _image(layer.output_shape(shape))
    return _row(0, before, after, _PIXEL, layer.activation, _where(places, name))


def _pooling_row(layer, shape, places, name):
    return _row(_KINDS[layer.kind], shape, layer.output_shape(shape), layer.geometry(), layer.activation)


def _activation_row(layer, shape, places, name):
    """Return the row of maxima of single numbers."""
    return _row(1, _image(shape), _image(shape), _PIXEL, layer.activation)


def _where(places, name):
    return places[f"{name}weight"], places.get(f"{name}bias", -1)


def _image(shape):
    """Return the shape of rows of numbers as that of an image."""
    return math.prod(shape[:-1]), 1, shape[-1]


def _row(kind, before, after, geometry, activation, where=(-1, -1)):
    H, W, _ = before
    steps = *geometry.kernel, *geometry.stride, *geometry.pads(H, W), *geometry.dilation, geometry.groups
    return [kind, *before, *after, *steps, CODES[activation], *where]


_ROWS = {
    Activation: _activation_row,
    Convolution: _convolution_row,
    Flatten: None,
    Linear: _linear_row,
    Pooling: _pooling_row,
}
