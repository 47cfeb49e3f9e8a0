"""Networks for use alone: what learning needs is left out, and layers that follow each other become one."""

from dataclasses import replace

import numpy as np

from skml.network.composition import Residual, Sequential
from skml.network.convolution import Convolution
from skml.network.layers import Dropout, Linear
from skml.network.normalization import BatchNormalization
from skml.network.parameters import Parameters
from skml.network.pooling import SIGNS, Pooling

__all__ = ["for_inference"]

# Those that never fall, and that convolutions apply to what they still have in registers.
_RISING = ("relu", "leaky_relu")


def for_inference(program):
    """Return a program that gives the same outputs in less time, and is not to be trained.

    Dropout goes; batch normalisation by running averages becomes part of the filters before it (Jacob et al. 2018,
    section 3.2); and an activation after the largest or smallest number of a window moves before it, to the
    convolution, where it costs nothing.

    Parameters
    ----------
    program : Program
        Trained.

    Returns
    -------
    lean : Program
        Its outputs are those of `program` outside training, but for rounding. It shares its parameters as far as
        they are the same.

    Examples
    --------
    >>> from skml.network import BatchNormalization, Convolution, Dropout, Pooling, Program, Sequential, for_inference
    >>> layers = [Convolution(8, bias=False), BatchNormalization(), Pooling(activation="relu"), Dropout()]
    >>> for row in for_inference(Program(Sequential(layers), (8, 8, 1))).network.layers:
    ...     print(type(row).__name__, row.activation)
    Convolution relu
    Pooling identity
    """
    network, arrays = _lean(program.network, program.tree())
    flat = _flat(arrays)
    shapes = {name: array.shape for name, array in flat.items()}
    whole = program.parameters.flat
    if not program.states.count:  # no normalisation, hence the same arrays in the same order
        return program.with_parts(network, Parameters(shapes, whole), program.states)
    numbers = np.concatenate([array.ravel() for array in flat.values()] or [whole[:0]])
    return program.with_parts(network, Parameters(shapes, numbers), Parameters({}, whole[:0]))


def _lean(layer, p):
    """Return a layer and the tree of its parameters. Classes derived from ours may do other things: they stay."""
    if type(layer) is Residual:
        parts = {name: _lean(getattr(layer, name), p.get(name, {})) for name in ("block", "shortcut")}
        made = Residual(parts["block"][0], parts["shortcut"][0])
        return made, {name: arrays for name, (_, arrays) in parts.items() if arrays}
    if type(layer) is not Sequential:
        return layer, p
    found = []
    for i, part in enumerate(layer.layers):
        if type(part) is not Dropout:
            found.append(_lean(part, p.get(str(i), {})))
            _merge(found)
    layers = Sequential([part for part, _ in found])
    return layers, {str(i): arrays for i, (_, arrays) in enumerate(found) if arrays}


def _merge(found):
    """Make one of the last two layers, or move an activation from the last to the one before, if that can be."""
    if len(found) < 2:
        return
    (first, p), (second, q) = found[-2:]
    plain = type(first) in (Convolution, Linear) and first.activation == "identity"
    if plain and type(second) is BatchNormalization:
        found[-2:] = [_folded(first, p, second, q)]
    elif plain and type(second) is Pooling and second.kind in SIGNS and second.activation in _RISING:
        found[-2:] = [(replace(first, activation=second.activation), p), (replace(second, activation="identity"), q)]


def _folded(layer, p, normalization, q):
    """Return a product and its normalisation as one: (x w + b - mean) s + beta = x (w s) + ((b - mean) s + beta)."""
    s = q["gamma"].astype(np.float64) / np.sqrt(q["running_var"].astype(np.float64) + normalization.eps)
    b = (p.get("bias", 0.0) - q["running_mean"].astype(np.float64)) * s + q["beta"]
    dtype = p["weight"].dtype
    made = {"weight": (p["weight"] * s).astype(dtype), "bias": b.astype(dtype)}
    return replace(layer, activation=normalization.activation, bias=True), made


def _flat(tree, prefix=""):
    """Return the arrays of a tree by their whole names."""
    found = {}
    for name, value in tree.items():
        found.update(_flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value})
    return found
