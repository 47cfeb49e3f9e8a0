"""Layers made of layers: one after the other, or beside a short cut; and the table of a network."""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from skml.network.layers import Layer, Space
from skml.network.parameters import Spec

__all__ = ["Residual", "Row", "Sequential", "format_table", "network_table"]

_NOTHING = {}


def prefixed(parts, what):
    """Return the specs of the layers inside, named with their names: `what` is "specs" or "states"."""
    found = ((name, spec) for name, layer, shape in parts for spec in getattr(layer, what)(shape))
    return tuple(Spec(f"{name}.{s.name}", s.shape, s.init, s.fan_in, s.fan_out) for name, s in found)


def numbered(space):
    """Number a space and those inside it in the order of the network, and return it."""
    pending, n = [space], 0
    while pending:
        at = pending.pop()
        at.number, n = n, n + 1
        pending.extend(reversed(at.parts))
    return space


def share_gradients(spaces, B, dtype):
    """Let layers that follow each other write their gradients into the same memory, so that little is touched.

    A layer reads the gradient at its output and writes that at its input: two buffers in turn are enough for all, and
    a third for what is needed only within a layer. (Layers that hand on what they are given keep the turn.) An input
    that nobody reads again makes room for the gradient there.
    """
    owners = []
    for previous, space in pairwise((Space(), *spaces)):
        if not (previous.reads_y or space.reads_x):
            space.dx = previous.y
        elif getattr(space, "dx", None) is not None:
            owners.append(space)
    turns = [(owners[0::2], "dx"), (owners[1::2], "dx"), ([s for s in spaces if hasattr(s, "dz")], "dz")]
    for some, name in turns:
        buffer = np.empty(max((getattr(space, name).size for space in some), default=0), dtype=dtype)
        for space in some:
            own = getattr(space, name)
            setattr(space, name, buffer[: own.size].reshape(own.shape))


@dataclass(frozen=True)
class Sequential(Layer):
    """Layers one after the other, named "0", "1", ...

    Attributes
    ----------
    layers : sequence of Layer
        In order.

    Raises
    ------
    ValueError
        If one of them is no layer.

    Examples
    --------
    >>> from skml.network import Convolution, Flatten, Linear, Pooling, Sequential
    >>> network = Sequential([Convolution(8, activation="relu"), Pooling(), Flatten(), Linear(10)])
    >>> network.output_shape((28, 28, 1))
    (10,)
    """

    layers: tuple

    def __post_init__(self):
        object.__setattr__(self, "layers", tuple(self.layers))
        for i, layer in enumerate(self.layers):
            if not isinstance(layer, Layer):
                raise ValueError(f"Layer {i} is {layer!r}, which is not a Layer.")

    def parts(self, shape):
        found = []
        for i, layer in enumerate(self.layers):
            try:
                after = layer.output_shape(shape)
            except ValueError as error:
                so_far = [row for name, part, at in found for row in network_table(part, at, name)]
                table = f" After the layers before it:\n{format_table(so_far)}" if so_far else ""
                raise ValueError(f"Layer {i}, {type(layer).__name__}, cannot follow: {error}{table}") from error
            found.append((str(i), layer, shape))
            shape = after
        return tuple(found)

    def output_shape(self, shape):
        parts = self.parts(shape)
        return parts[-1][1].output_shape(parts[-1][2]) if parts else tuple(shape)

    def specs(self, shape):
        return prefixed(self.parts(shape), "specs")

    def states(self, shape):
        return prefixed(self.parts(shape), "states")

    def workspace(self, shape, B, dtype):
        spaces = tuple(layer.workspace(at, B, dtype) for _, layer, at in self.parts(shape))
        share_gradients(spaces, B, dtype)
        return numbered(Space(parts=spaces, names=tuple(map(str, range(len(self.layers))))))

    def forward(self, x, p, space, mode):
        for name, layer, part in zip(space.names, self.layers, space.parts):
            x = layer.forward(x, p.get(name, _NOTHING), part, mode)
        return x

    def backward(self, dy, p, g, space, mode, need_dx=True):
        # nobody asks for what lies before the first layer that learns
        first = 0 if need_dx else min(map(int, g), default=len(self.layers))
        for i in reversed(range(first, len(self.layers))):
            own = space.names[i]
            given = p.get(own, _NOTHING), g.get(own, _NOTHING), space.parts[i], mode
            dy = self.layers[i].backward(dy, *given, need_dx or i > first)
        return dy if need_dx else None

    def cost(self, shape):
        return sum(layer.cost(at) for _, layer, at in self.parts(shape))


@dataclass(frozen=True)
class Residual(Layer):
    """A block beside a short cut: y = block(x) + shortcut(x) (He et al. 2016).

    Attributes
    ----------
    block : Layer or sequence of Layer
        What learns the difference; of several layers a :class:`Sequential` is made.
    shortcut : Layer or None, default=None
        What makes x of the block's output shape, for instance a convolution of kernel 1; None adds x itself.

    Raises
    ------
    ValueError
        If a part is no layer.

    Examples
    --------
    >>> from skml.network import Convolution, Residual
    >>> block = Residual([Convolution(8, activation="relu"), Convolution(8)])
    >>> block.output_shape((14, 14, 8)), [spec.name for spec in block.specs((14, 14, 8))][:2]
    ((14, 14, 8), ['block.0.weight', 'block.0.bias'])
    """

    block: Layer
    shortcut: Layer | None = None

    def __post_init__(self):
        for name in ("block", "shortcut"):
            given = getattr(self, name)
            if isinstance(given, (list, tuple)):
                object.__setattr__(self, name, Sequential(given))
            elif not isinstance(given, Layer) and (given is not None or name == "block"):
                raise ValueError(f"{name} is {given!r}, which is not a Layer.")

    def parts(self, shape):
        parts = (("block", self.block, shape), ("shortcut", self.shortcut, shape))
        return parts if self.shortcut else parts[:1]

    def output_shape(self, shape):
        made = self.block.output_shape(shape)
        added = self.shortcut.output_shape(shape) if self.shortcut else tuple(shape)
        if made != added:
            ours = "what the shortcut makes" if self.shortcut else "the input; give a shortcut"
            raise ValueError(f"The block makes {made} of {shape}, which cannot be added to {added}, {ours}.")
        return made

    def specs(self, shape):
        return prefixed(self.parts(shape), "specs")

    def states(self, shape):
        return prefixed(self.parts(shape), "states")

    def workspace(self, shape, B, dtype):
        parts = tuple(layer.workspace(at, B, dtype) for _, layer, at in self.parts(shape))
        y = np.empty((B, *self.output_shape(shape)), dtype=dtype)
        return numbered(Space(parts=parts, y=y, dx=np.empty((B, *shape), dtype=dtype)))

    def forward(self, x, p, space, mode):
        y = self.block.forward(x, p.get("block", _NOTHING), space.parts[0], mode)
        if self.shortcut:
            x = self.shortcut.forward(x, p.get("shortcut", _NOTHING), space.parts[1], mode)
        return np.add(x, y, out=space.y[: len(x)])

    def backward(self, dy, p, g, space, mode, need_dx=True):
        of = [(p.get(name, _NOTHING), g.get(name, _NOTHING)) for name in ("block", "shortcut")]
        dx = self.block.backward(dy, *of[0], space.parts[0], mode, need_dx)
        if self.shortcut:
            dy = self.shortcut.backward(dy, *of[1], space.parts[1], mode, need_dx)
        return np.add(dx, dy, out=space.dx[: len(dx)]) if need_dx else None

    def cost(self, shape):
        return sum(layer.cost(at) for _, layer, at in self.parts(shape))


# ------------------------------------------------------------------------------------------------ tables


@dataclass(frozen=True)
class Row:
    """A line in the table of a network.

    Attributes
    ----------
    name : str
        Of the layer, with those that it is in: "3.block.1".
    layer : str
        Its class.
    output_shape : tuple of int
        Of a sample, after it.
    n_parameters : int
        How many numbers it learns.
    cost : int
        Multiplications with an addition, per sample.

    Examples
    --------
    >>> from skml.network import Row
    >>> Row("0", "Linear", (10,), 7850, 7840).n_parameters
    7850
    """

    name: str
    layer: str
    output_shape: tuple
    n_parameters: int
    cost: int


def network_table(layer, shape, name=""):
    """Return the layers of a network, those inside others too.

    Parameters
    ----------
    layer : Layer
        The network.
    shape : tuple of int
        Of a sample.
    name : str, default=""
        The network's own.

    Returns
    -------
    rows : list of Row
        In order; a :class:`Residual` has a line after its parts', for the sum.

    Examples
    --------
    >>> from skml.network import Linear, Sequential, network_table
    >>> network_table(Sequential([Linear(2)]), (3,))
    [Row(name='0', layer='Linear', output_shape=(2,), n_parameters=8, cost=6)]
    """
    parts = layer.parts(shape)
    dot = name and f"{name}."
    rows = [row for own, part, at in parts for row in network_table(part, at, f"{dot}{own}")]
    if isinstance(layer, Sequential):
        return rows
    count = 0 if parts else sum(math.prod(spec.shape) for spec in layer.specs(shape))
    cost = 0 if parts else layer.cost(shape)
    return [*rows, Row(name, type(layer).__name__, tuple(layer.output_shape(shape)), count, cost)]


def format_table(rows):
    """Return the table of a network as text.

    Parameters
    ----------
    rows : list of Row
        See :func:`network_table`.

    Returns
    -------
    text : str
        A line for each, and one for the sum.

    Examples
    --------
    >>> from skml.network import Linear, Sequential, format_table, network_table
    >>> print(format_table(network_table(Sequential([Linear(200), Linear(10)]), (784,))))
    layer      output  parameters  multiply-adds
    0  Linear  200        157,000        156,800
    1  Linear  10           2,010          2,000
    total                 159,010        158,800
    """
    width = max((len(row.name) for row in rows), default=0)
    lines = [("layer", "output", "parameters", "multiply-adds")]
    for row in rows:
        kind, shape = f"{row.name:<{width}}  {row.layer}", " x ".join(map(str, row.output_shape))
        lines.append((kind, shape, f"{row.n_parameters:,}", f"{row.cost:,}"))
    total = sum(row.n_parameters for row in rows), sum(row.cost for row in rows)
    lines.append(("total", "", *(f"{number:,}" for number in total)))
    wide = [max(map(len, column)) for column in zip(*lines)]
    return "\n".join(f"{a:<{wide[0]}}  {b:<{wide[1]}}  {c:>{wide[2]}}  {d:>{wide[3]}}" for a, b, c, d in lines)
