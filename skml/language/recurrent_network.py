"""The network of a recurrent language model, and how it reads on after training.

B: rows, T: moments, V: tokens, C: channels of an embedding, H: hidden units.
"""

import math
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from skml import _kernels
from skml.network.composition import numbered, prefixed
from skml.network.layers import Dropout, Layer, Space
from skml.network.parameters import Spec, glorot_uniform, normal
from skml.network.recurrent import Cell, EmbeddedRecurrent, Recurrent, RecurrentStep

_NOTHING = np.empty((0, 0, 0))


@dataclass(frozen=True)
class RecurrentNetwork(Layer):
    """Tokens in, the logits of each next token out: an embedding, recurrent layers, and a product with a matrix.

    A sample is of shape (2, T): tokens, and ``first``, which says where the document of each moment begins.

    Attributes
    ----------
    n_tokens, n_embedding, n_hidden, n_layers : int
        V, C, H, and how many recurrent layers follow each other.
    cell, activation, carry
        As of :class:`skml.network.Recurrent`.
    tied : bool, default=False
        Whether the embedding is also the matrix of the logits (Press & Wolf 2017); where H isn't C, a product with a
        matrix of shape (H, C) comes before.
    dropout : float, default=0.0
        The share of each layer's output that is dropped while training (Zaremba et al. 2014).
    """

    n_tokens: int
    n_embedding: int
    n_hidden: int
    n_layers: int = 1
    cell: str = "lstm"
    activation: str = "tanh"
    tied: bool = False
    dropout: float = 0.0
    carry: int = 0

    def recurrent(self):
        """Return the recurrent layers."""
        shared = self.n_hidden, self.cell, self.activation, self.carry
        init = partial(normal, 1 / math.sqrt(self.n_embedding) if self.tied else 1.0)
        first = EmbeddedRecurrent(self.n_tokens, self.n_embedding, *shared, init)
        return (first, *[Recurrent(*shared)] * (self.n_layers - 1))

    def output_shape(self, shape):
        if len(shape) != 2 or shape[0] != 2:
            raise ValueError(f"RecurrentNetwork takes samples of shape (2, T), not {tuple(shape)}.")
        return shape[1], self.n_tokens

    def parts(self, shape):
        inner = [(shape[1],), *[(shape[1], self.n_hidden)] * (self.n_layers - 1)]
        return tuple((str(i), layer, at) for i, (layer, at) in enumerate(zip(self.recurrent(), inner)))

    def specs(self, shape):
        H, C, V = self.n_hidden, self.n_embedding, self.n_tokens
        head = [] if self.tied else [Spec("head.weight", (H, V), glorot_uniform, H, V)]
        if self.projects:
            head.append(Spec("head.projection", (H, C), glorot_uniform, H, C))
        return *prefixed(self.parts(shape), "specs"), *head, Spec("head.bias", (V,))

    @property
    def projects(self):
        """Whether states become embeddings before they are compared with those of tokens."""
        return self.tied and self.n_hidden != self.n_embedding

    def states(self, shape):
        return prefixed(self.parts(shape), "states")

    def workspace(self, shape, B, dtype):
        T, H = shape[1], self.n_hidden
        space = self.hidden_workspace(shape, B, dtype)
        space.z, space.dh = np.empty((B, T, self.n_tokens), dtype=dtype), np.empty((B, T, H), dtype=dtype)
        if self.projects:
            space.e, space.de = (np.empty((B, T, self.n_embedding), dtype=dtype) for _ in range(2))
        return numbered(space)

    def hidden_workspace(self, shape, B, dtype):
        """Return the buffers of the recurrent layers."""
        T, H = shape[1], self.n_hidden
        spaces = [layer.workspace(at, B, dtype) for _, layer, at in self.parts(shape)]
        drops = [Dropout(self.dropout).workspace((T, H), B, dtype) for _ in spaces] if self.dropout else []
        return Space(parts=(*spaces, *drops), first=np.zeros((B, T), dtype=np.int32))

    def forward(self, x, p, space, mode):
        b = len(x)
        space.h = self.hidden(x, p, space, mode)
        return self.logits(space.h, p, space.z[:b], mode.n_threads, space.e[:b] if self.projects else None)

    def hidden(self, x, p, space, mode):
        """Return the last layer's states."""
        b = len(x)
        np.copyto(space.first[:b], x[:, 1], casting="unsafe")
        mode, h = replace(mode, first=space.first[:b]), x[:, 0]
        for i, layer in enumerate(self.recurrent()):
            h = layer.forward(h, p[str(i)], space.parts[i], mode)
            if self.dropout:
                h = Dropout(self.dropout).forward(h, {}, space.parts[self.n_layers + i], mode)
        return h

    def logits(self, h, p, out, n_threads, e=None):
        """Write the logits of states to `out`, and embeddings to `e` if there is a projection."""
        if self.projects:
            h = _product(h, p["head"]["projection"], e, n_threads)
        w = p["0"]["embedding"].T if self.tied else p["head"]["weight"]
        z = _product(h, w, out, n_threads)
        z += p["head"]["bias"]
        return z

    def backward(self, dy, p, g, space, mode, need_dx=True):
        dh, dembedding = self._head_back(dy, p, g, space, mode.n_threads)
        self.hidden_back(dh, p, g, space, mode)
        if self.tied:
            g["0"]["embedding"] += dembedding

    def hidden_back(self, dh, p, g, space, mode):
        """Carry a gradient at the last layer's states back."""
        mode = replace(mode, first=space.first[: len(dh)])
        for i, layer in reversed(list(enumerate(self.recurrent()))):
            if self.dropout:
                dh = Dropout(self.dropout).backward(dh, {}, {}, space.parts[self.n_layers + i], mode)
            dh = layer.backward(dh, p[str(i)], g[str(i)], space.parts[i], mode)

    def _head_back(self, dz, p, g, space, n_threads):
        """Return the gradient at the states, and that at the embedding where it makes the logits."""
        b, dembedding = len(dz), None
        rows, dh = _flat(dz), space.dh[:b]
        rows.sum(axis=0, out=g["head"]["bias"])
        into = space.e[:b] if self.projects else space.h
        if self.tied:
            w, dembedding = p["0"]["embedding"].T, np.empty_like(p["0"]["embedding"])
            _kernels.matrices.multiply(rows.T, _flat(into), dembedding, False, n_threads)
        else:
            w = p["head"]["weight"]
            _kernels.matrices.multiply(_flat(into).T, rows, g["head"]["weight"], False, n_threads)
        dinto = _product(dz, w.T, space.de[:b] if self.projects else dh, n_threads)
        if self.projects:
            _kernels.matrices.multiply(_flat(space.h).T, _flat(dinto), g["head"]["projection"], False, n_threads)
            _product(dinto, p["head"]["projection"].T, dh, n_threads)
        return dh, dembedding

    def cost(self, shape):
        layers = sum(layer.cost(at) for _, layer, at in self.parts(shape))
        inner = self.n_embedding if self.tied else self.n_hidden
        return layers + shape[1] * (inner * self.n_tokens + self.projects * self.n_hidden * self.n_embedding)


@dataclass(frozen=True)
class RecurrentStates(Layer):
    """Tokens in, the last layer's states out: a recurrent network without its logits.

    Attributes
    ----------
    network : RecurrentNetwork
        Whose layers these are.
    """

    network: RecurrentNetwork

    def output_shape(self, shape):
        return self.network.output_shape(shape)[0], self.network.n_hidden

    def parts(self, shape):
        return self.network.parts(shape)

    def specs(self, shape):
        return prefixed(self.parts(shape), "specs")

    def states(self, shape):
        return prefixed(self.parts(shape), "states")

    def workspace(self, shape, B, dtype):
        return numbered(self.network.hidden_workspace(shape, B, dtype))

    def forward(self, x, p, space, mode):
        return self.network.hidden(x, p, space, mode)

    def backward(self, dy, p, g, space, mode, need_dx=True):
        self.network.hidden_back(dy, p, g, space, mode)

    def cost(self, shape):
        return sum(layer.cost(at) for _, layer, at in self.parts(shape))


def _flat(x):
    return x.reshape(-1, x.shape[-1])


def _product(x, w, out, n_threads):
    """Write x w."""
    _kernels.matrices.multiply(_flat(x), w, _flat(out), False, n_threads)
    return out


# ---------------------------------------------------------------------------------------------- reading on


class RecurrentCells:
    """The recurrent layers of a trained network, prepared to read on from states.

    Parameters
    ----------
    network : RecurrentNetwork
        What they are layers of.
    p : dict
        Its parameters, by layer.
    """

    def __init__(self, network, p):
        self.cell = Cell(network.cell, network.activation)
        with _kernels.blas_threads(1):
            self.steps = [RecurrentStep(p[str(i)], self.cell, by_code=i == 0) for i in range(network.n_layers)]

    def start(self, B):
        """Return the states before the first moment, an array for each layer."""
        return [step.start(B) for step in self.steps]

    def read(self, tokens, states, first=None, n_threads=1):
        """Read tokens and return the last layer's states after each.

        Parameters
        ----------
        tokens : ndarray of shape (B, T), int32
            What comes next in each row.
        states : list of ndarray of shape (S, B, H)
            Of the layers; they are replaced.
        first : ndarray of shape (B, T), int32, or None, default=None
            Where a row's document begins, which forgets its state there; None means before.
        n_threads : int, default=1
            How many threads to use; the result does not depend on it, nor on what other rows hold.

        Returns
        -------
        h : ndarray of shape (B, T, H)
            The states.
        """
        h, first = None, np.full(tokens.shape, -1, dtype=np.int32) if first is None else first
        for step, state in zip(self.steps, states):
            h = self._read(tokens, h, (step, state, first), n_threads)
        return h

    def _read(self, tokens, h, given, n_threads):
        step, state, first = given
        (B, T), dtype, H = tokens.shape, state.dtype, state.shape[2]
        none, codes = _NOTHING.astype(dtype), np.empty((0, 0), dtype=np.int32)
        if step.by_code:
            inputs, codes = step.inputs, tokens
        else:
            inputs = np.empty((B * T, step.inputs.shape[1]), dtype=dtype)
            _kernels.matrices.multiply(_flat(h), step.inputs, inputs, False, n_threads)
        y = np.empty((B, T, H), dtype=dtype)
        kept = none, none, none, y
        _kernels.recurrent.forward(
            inputs, codes, step.packed, step.bias, first, state, *kept, *self.cell.settings, n_threads
        )
        return y
