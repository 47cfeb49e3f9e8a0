"""Reading with a trained network: the last layer's states of all moments of documents, and logits of them.

B: rows, T: moments, V: tokens, C: numbers of a state. What is said about a document does not depend on the others.
"""

import math
from dataclasses import dataclass

import numpy as np

from skml import _kernels
from skml.language.recurrent_network import RecurrentCells
from skml.network.attention import attention_weights
from skml.network.layers import Mode
from skml.network.parameters import Parameters
from skml.network.program import Program

# Moments that are read at a time, of all rows together, and the most rows.
MOMENTS, ROWS = 2048, 64


@dataclass(frozen=True)
class Piece:
    """States of some moments.

    Attributes
    ----------
    document, moment : ndarray of shape (n,), int
        Which they are.
    states : ndarray of shape (n, C)
        What the last layer says there.
    """

    document: np.ndarray
    moment: np.ndarray
    states: np.ndarray


def twin(program, network, shape, parameters=None):
    """Return a program of another network with the same parameters, for samples of another shape.

    Parameters
    ----------
    program : Program
        Whose parameters are shared.
    network : Layer
        What needs the same arrays.
    shape : tuple of int
        Of a sample.
    parameters : ndarray of shape (n_parameters,) or None, default=None
        Other numbers; they are not copied.

    Returns
    -------
    other : Program
        With buffers of its own.
    """
    return program_of(network, shape, program.parameters.flat if parameters is None else parameters)


def program_of(network, shape, flat):
    """Return the program of a network that has its numbers already.

    Parameters
    ----------
    network : Layer
        What needs arrays.
    shape : tuple of int
        Of a sample.
    flat : ndarray of shape (n,)
        Its parameters; they are not copied, and there may be more at the end.

    Returns
    -------
    program : Program
        Of the dtype of the numbers.
    """
    shapes = {spec.name: spec.shape for spec in network.specs(shape)}
    states = {spec.name: spec.shape for spec in network.states(shape)}
    own = np.zeros(sum(math.prod(shape) for shape in states.values()), dtype=flat.dtype)
    size = sum(math.prod(shape) for shape in shapes.values())  # a head that isn't needed is the last
    found = Program.__new__(Program)
    found.__setstate__(
        {
            "network": network,
            "shape": tuple(shape),
            "output_shape": tuple(network.output_shape(shape)),
            "parameters": Parameters(shapes, flat[:size]),
            "states": Parameters(states, own),
        }
    )
    return found


def window_start(n, length, stride):
    """Return where the window begins in which moment n - 1 is the last one."""
    return 0 if n <= length else -(-(n - length) // stride) * stride


def spans(n, length, stride):
    """Return the windows in which n moments are read, and how many at the beginning of each are known already.

    Parameters
    ----------
    n : int
        Moments of a document.
    length : int
        The most that a window holds.
    stride : int
        From one window to the next, at most `length`.

    Returns
    -------
    spans : list of (int, int, int)
        Start, stop, and moments to leave out.

    Examples
    --------
    >>> from skml.language.reading import spans
    >>> spans(9, length=4, stride=2)
    [(0, 4, 0), (2, 6, 2), (4, 8, 2), (6, 9, 2)]
    """
    starts = range(0, window_start(n, length, stride) + 1, stride)
    return [(start, min(n, start + length), length - stride if start else 0) for start in starts]


def by_length(lengths):
    """Yield groups of documents of similar lengths that are read together, the longest first."""
    order = np.argsort(-np.asarray(lengths), kind="stable")
    at = 0
    while at < len(order):
        rows = int(np.clip(MOMENTS // max(lengths[order[at]], 1), 1, ROWS))
        yield order[at : at + rows]
        at += rows


class Reader:
    """What both readers share: logits of states.

    Parameters
    ----------
    program : Program
        The trained network, whose arrays are not written to any more.
    """

    def __init__(self, program):
        self.program = program

    def __repr__(self):
        return f"{type(self).__name__}({self.program.network!r}, {self.program.parameters!r})"

    @property
    def n_parameters(self):
        """How many numbers the network has."""
        return self.program.parameters.count

    def last(self, sequences, n_threads=1):
        """Return the state after each document.

        Parameters
        ----------
        sequences : list of ndarray of shape (n,), int32
            What is read, at least a token of each.
        n_threads : int, default=1
            How many threads to use; the result does not depend on it.

        Returns
        -------
        states : ndarray of shape (n_documents, C)
            Of their last moments.
        """
        states = np.empty((len(sequences), self.width), dtype=self.program.dtype)
        for piece in self.pieces(sequences, n_threads, only_last=True):
            states[piece.document] = piece.states
        return states


class WindowReader(Reader):
    """A transformer, which reads documents in windows.

    Parameters
    ----------
    program : Program
        Of a :class:`skml.network.Transformer`.
    stride : int
        From one window to the next, in documents that are longer than the context.
    """

    def __init__(self, program, stride):
        super().__init__(program)
        self.stride = stride
        network = program.network
        self.length = network.context_length
        self.width = network.width

    def pieces(self, sequences, n_threads=1, only_last=False):
        """Yield the states of documents.

        Parameters
        ----------
        sequences : list of ndarray of shape (n,), int32
            What is read.
        n_threads : int, default=1
            How many threads to use; the result does not depend on it.
        only_last : bool, default=False
            Whether the last moment of each document is all that is asked for.

        Yields
        ------
        piece : Piece
            Every moment is in one of them.
        """
        windows = []
        for i, ids in enumerate(sequences):
            found = spans(len(ids), self.length, self.stride)
            if only_last:
                start, stop, _ = found[-1]
                found = [(start, stop, stop - start - 1)]
            windows += [(i, *span) for span in found]
        windows = np.array(windows).reshape(-1, 4)
        network = self._headless()
        for group in by_length(windows[:, 2] - windows[:, 1]):
            yield self._piece(sequences, windows[group], network, n_threads)

    def _headless(self):
        return type(self.program.network)(**{**vars(self.program.network), "head": False})

    def _piece(self, sequences, windows, network, n_threads):
        lengths = windows[:, 2] - windows[:, 1]
        tokens = np.zeros((len(windows), lengths.max()), dtype=np.int32)
        for row, (i, start, stop, _) in zip(tokens, windows):
            row[: stop - start] = sequences[i][start:stop]
        states = twin(self.program, network, tokens.shape[1:]).forward(tokens, Mode(n_threads=n_threads))
        moments = np.arange(tokens.shape[1])
        row, at = np.nonzero((moments >= windows[:, 3:]) & (moments < lengths[:, None]))
        return Piece(windows[row, 0], windows[row, 1] + at, states[row, at])

    def logits(self, states, n_threads=1):
        """Return the logits of the tokens that may follow.

        Parameters
        ----------
        states : ndarray of shape (n, C)
            Of the last layer.
        n_threads : int, default=1
            How many threads to use; the result does not depend on it.

        Returns
        -------
        z : ndarray of shape (n, V)
            The bits of a row depend on its state alone.
        """
        p, network = self.program.parameters, self.program.network
        w = p["wte.weight" if network.tied else "lm_head.weight"]
        z = np.empty((len(states), len(w)), dtype=states.dtype)
        _kernels.matrices.multiply(np.ascontiguousarray(states), w.T, z, False, n_threads)
        return z

    def attention(self, ids, layer):
        """Return how much each token looks at each other in a block.

        Parameters
        ----------
        ids : ndarray of shape (n,), int32
            What is read; of more than a window the last one.
        layer : int
            The number of the block.

        Returns
        -------
        weights : ndarray of shape (H, n, n)
            Of each head; rows add up to 1.
        """
        tokens = ids[None, window_start(len(ids), self.length, self.stride) :]
        program = twin(self.program, self._headless(), tokens.shape[1:])
        program.forward(tokens, Mode())
        inner = program._space.parts[layer].parts[0].inner
        first = np.zeros(tokens.shape, dtype=np.int32)
        heads = self.program.network.blocks[layer].attention.n_heads
        return attention_weights(inner.qkv[:1], first, heads, inner.angles)[0]


class StateReader(Reader):
    """A recurrent network, which reads documents from their first token to their last.

    Parameters
    ----------
    program : Program
        Of a :class:`RecurrentNetwork`.
    """

    def __init__(self, program):
        super().__init__(program)
        self.cells = RecurrentCells(program.network, program.parameters.tree())
        self.width = program.network.n_hidden

    def __getstate__(self):
        return {"program": self.program}  # the cells are made of it

    def __setstate__(self, state):
        self.__init__(**state)

    def pieces(self, sequences, n_threads=1, only_last=False):
        """Yield the states of documents; as of :class:`WindowReader`."""
        lengths = np.array([len(ids) for ids in sequences])
        for group in by_length(np.minimum(lengths, MOMENTS // ROWS)):
            yield from self._read(sequences, group[np.argsort(-lengths[group], kind="stable")], n_threads, only_last)

    def _read(self, sequences, group, n_threads, only_last):
        """Read some documents, the longest first, a part of each at a time."""
        lengths = np.array([len(sequences[i]) for i in group])
        states, step = self.cells.start(len(group)), max(1, MOMENTS // len(group))
        for start in range(0, lengths[0], step):
            b = int((lengths > start).sum())
            tokens = np.zeros((b, min(step, lengths[0] - start)), dtype=np.int32)
            for row, i in zip(tokens, group):
                part = sequences[i][start : start + step]
                row[: len(part)] = part
            states = [np.ascontiguousarray(state[:, :b]) for state in states]
            h = self.cells.read(tokens, states, n_threads=n_threads)
            at = start + np.arange(tokens.shape[1])
            wanted = at == lengths[:b, None] - 1 if only_last else at < lengths[:b, None]
            row, where = np.nonzero(wanted)
            if len(row):
                yield Piece(group[row], start + where, h[row, where])

    def logits(self, states, n_threads=1):
        """Return the logits of the tokens that may follow; as of :class:`WindowReader`."""
        network = self.program.network
        z = np.empty((len(states), network.n_tokens), dtype=states.dtype)
        e = np.empty((len(states), network.n_embedding), dtype=states.dtype) if network.projects else None
        return network.logits(np.ascontiguousarray(states), self.program.parameters.tree(), z, n_threads, e)
