"""Sequences of tokens: rows that say where documents begin, streams cut into rows, and the loss of tokens.

B: batch, T: time, V: codes. Position t of row b belongs to the document that begins at ``first[b, t]``, below 0 if that
was before the row: padding, several documents in a row, and documents of several rows are all this one array.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import softmax

from skml import _kernels
from skml.network.composition import numbered
from skml.network.layers import Layer, Space
from skml.network.losses import Loss

__all__ = ["SequenceCrossEntropy", "Sequences", "StreamOrder", "sequence_cross_entropy", "stream_windows"]


@dataclass(frozen=True)
class Sequences(Layer):
    """A network for rows of codes, given samples (T, 2): the codes, and where the document of each begins.

    Layers inside find that in ``mode.first``. Codes may be floats, as the batches of a trainer are: up to 2^24 they are
    exact in float32.

    Attributes
    ----------
    network : Layer
        For samples (T,) of int32.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import EmbeddedRecurrent, Mode, Program, Sequences
    >>> program = Program(Sequences(EmbeddedRecurrent(5, 4, 3, "gru")), (4, 2))
    >>> row = np.array([[[1, 0], [2, 0], [1, 2], [2, 2]]], dtype=np.float32)  # two documents of two codes
    >>> y = program.forward(row, Mode())
    >>> bool((y[0, :2] == y[0, 2:]).all())
    True
    """

    network: Layer

    def output_shape(self, shape):
        if len(shape) != 2 or shape[1] != 2:
            raise ValueError(f"Sequences takes samples (T, 2) of codes and where they begin, not {shape}.")
        return self.network.output_shape(shape[:1])

    def parts(self, shape):
        return self.network.parts(shape[:1])

    def specs(self, shape):
        return self.network.specs(shape[:1])

    def states(self, shape):
        return self.network.states(shape[:1])

    def workspace(self, shape, B, dtype):
        inner = self.network.workspace(shape[:1], B, dtype)
        return numbered(Space(parts=(inner,), given=np.empty((2, B, shape[0]), dtype=np.int32)))

    def forward(self, x, p, space, mode):
        given = space.given[:, : len(x)]
        np.copyto(given, np.moveaxis(x, 2, 0), casting="unsafe")
        return self.network.forward(given[0], p, space.parts[0], replace(mode, first=given[1]))

    def backward(self, dy, p, g, space, mode, need_dx=True):
        mode = replace(mode, first=space.given[1, : len(dy)])
        self.network.backward(dy, p, g, space.parts[0], mode, need_dx=False)  # codes have no gradient

    def cost(self, shape):
        return self.network.cost(shape[:1])


# ----------------------------------------------------------------------------------------------- streams


def stream_windows(ids, T, batch_size, starts=(0,)):
    """Cut a text into streams side by side, and these into rows that follow each other from batch to batch.

    Batch k holds the k-th row of each stream: a network that carries its state from batch to batch (truncated
    back-propagation through time, Williams & Peng 1990) reads each stream from its beginning to its end. What does not
    fill all streams is left out.

    Parameters
    ----------
    ids : ndarray of shape (n,), int
        Codes; more than `T` times `batch_size` of them.
    T : int
        Codes in a row.
    batch_size : int
        Streams.
    starts : sequence of int, default=(0,)
        Where documents begin in `ids`, increasing.

    Returns
    -------
    X : ndarray of shape (n_chunks * batch_size, T, 2), float32
        Samples of :class:`Sequences`, batch after batch.
    y : ndarray of shape (n_chunks * batch_size, T), int32
        The code that follows each; -1 where a new document begins.
    n_chunks : int
        Rows of a stream.

    Raises
    ------
    ValueError
        If there are too few codes.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import stream_windows
    >>> X, y, n_chunks = stream_windows(np.arange(9), T=2, batch_size=2)
    >>> X[..., 0].astype(int).tolist(), y.tolist(), n_chunks
    ([[0, 1], [4, 5], [2, 3], [6, 7]], [[1, 2], [5, 6], [3, 4], [7, 8]], 2)
    >>> X[..., 1].astype(int).tolist()
    [[0, 0], [0, 0], [-2, -2], [-2, -2]]
    """
    n_chunks = (len(ids) - 1) // (T * batch_size)
    if n_chunks < 1:
        raise ValueError(f"{len(ids)} codes are too few for {batch_size} streams of rows of {T}, and the code after.")
    n, length = n_chunks * T * batch_size, n_chunks * T
    begins = np.zeros(len(ids), dtype=bool)
    begins[np.asarray(starts, dtype=np.int64)] = True
    following = np.where(begins[1 : n + 1], -1, ids[1 : n + 1])
    begins[:n:length] = True  # nothing is known of what was before a stream
    places = np.arange(n)
    first = np.maximum.accumulate(np.where(begins[:n], places, 0)) - places // T * T
    rows = [_by_chunk(part, T, n_chunks) for part in (ids[:n], first, following)]
    return np.stack(rows[:2], axis=2).astype(np.float32), rows[2].astype(np.int32), n_chunks


def _by_chunk(values, T, n_chunks):
    """Return a text's values in rows: the first of each stream, then the second of each."""
    return values.reshape(-1, n_chunks, T).swapaxes(0, 1).reshape(-1, T)


@dataclass(frozen=True)
class StreamOrder:
    """What ``Data(arrange=...)`` needs to shuffle whole streams, each staying in its place of the batch to its end.

    The rows are laid as :func:`stream_windows` lays them, maybe several such sets of streams one after the other.

    Attributes
    ----------
    n_chunks : int
        Rows of a stream.
    batch_size : int
        Streams side by side.

    Raises
    ------
    ValueError
        When called with rows that are not whole sets of streams: a weight of 0 leaves a row out, a target of -1 does
        not.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import StreamOrder
    >>> StreamOrder(n_chunks=2, batch_size=1)(np.arange(6), np.random.default_rng(0))
    array([4, 5, 0, 1, 2, 3])
    """

    n_chunks: int
    batch_size: int

    def __call__(self, rows, generator):
        """Return the rows in the order of an epoch."""
        if len(rows) % (self.n_chunks * self.batch_size):
            sets = f"sets of {self.batch_size} streams of {self.n_chunks} rows"
            raise ValueError(f"{len(rows)} rows are no whole {sets}.")
        streams = rows.reshape(-1, self.n_chunks, self.batch_size).swapaxes(0, 1).reshape(self.n_chunks, -1)
        streams = streams[:, generator.permutation(streams.shape[1])]
        return streams.reshape(self.n_chunks, -1, self.batch_size).swapaxes(0, 1).ravel()


# -------------------------------------------------------------------------------------------------- loss


def sequence_cross_entropy(z, targets, weights=None, *, out=None, n_threads=1):
    """Compute l = ln sum_k exp(z_k) - z_target of each token.

    Parameters
    ----------
    z : ndarray of shape (B, T, V), float32 or float64
        Logits; C-contiguous.
    targets : ndarray of shape (B, T), int32
        Codes, 0 to V - 1; -1 where there is nothing to predict.
    weights : ndarray of shape (B,) or (B, T) or None, default=None
        Of rows or tokens.
    out : ndarray of shape (B, T, V) or None, default=None
        Where to write dz; may be z.
    n_threads : int, default=1
        How many threads to use; the result does not depend on it.

    Returns
    -------
    losses : ndarray of shape (B, T), float64
        Of the tokens, unweighted; 0 where the target is -1.
    dz : ndarray of shape (B, T, V)
        The gradient of the weighted mean over all tokens with a target: w (softmax(z) - [k = target]) / sum w.

    Raises
    ------
    ValueError
        If a code lies outside, or shapes disagree.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import sequence_cross_entropy
    >>> losses, dz = sequence_cross_entropy(np.zeros((1, 2, 2)), np.array([[1, -1]], dtype=np.int32))
    >>> losses.round(4), dz
    (array([[0.6931, 0.    ]]), array([[[ 0.5, -0.5],
            [ 0. ,  0. ]]]))
    """
    (B, T, V), dz = z.shape, np.empty_like(z) if out is None else out
    shares, losses = (targets >= 0).astype(np.float64), np.empty(B * T)
    if weights is not None:
        shares *= np.reshape(weights, (B, -1))
    total = shares.sum()
    shares /= total if total > 0 else 1
    arguments = targets.reshape(-1), shares.reshape(-1), dz.reshape(B * T, V), losses, n_threads
    _kernels.sequences.cross_entropy(z.reshape(B * T, V), *arguments)
    return losses.reshape(B, T), dz


@dataclass(frozen=True)
class SequenceCrossEntropy(Loss):
    """Cross-entropy of the tokens of rows, every token with a target counting the same.

    A row's loss is the mean over its tokens, and its weight is multiplied with their number; the score is the share of
    tokens whose code is the most likely one.

    Attributes
    ----------
    in_place : bool, default=True
        Whether the gradient replaces the outputs, so that there is one array of all logits and not two. A last layer
        with an activation needs its outputs: False.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import SequenceCrossEntropy
    >>> loss, y = SequenceCrossEntropy(), np.array([[1, -1], [0, 1]], dtype=np.int32)
    >>> loss.weights(y, None)
    array([1., 2.])
    >>> loss(np.zeros((2, 2, 2)), y)[0].round(4)
    array([0.6931, 0.6931])
    """

    in_place: bool = True

    def __call__(self, z, y, weights=None, n_threads=1):
        """Return (losses, dz); the weights are those of :meth:`weights`."""
        counts = np.maximum(_counts(y), 1)
        of_tokens = None if weights is None else weights / counts
        losses, dz = sequence_cross_entropy(z, y, of_tokens, out=z if self.in_place else None, n_threads=n_threads)
        return losses.sum(axis=1) / counts, dz

    def weights(self, y, weights):
        return _counts(y) * (1.0 if weights is None else weights)

    def link(self, z):
        return softmax(z, axis=-1)

    def tally(self, z, y, weights):
        return weights / np.maximum(_counts(y), 1) @ (z.argmax(axis=2) == y).sum(axis=1)

    def score(self, tally, y, weights):
        return float(tally / weights.sum())


def _counts(y):
    """Return how many tokens of each row have a target."""
    return (y >= 0).sum(axis=1)
