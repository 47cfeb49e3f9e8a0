"""Windows: documents cut, packed and padded to rows of one length, as a network is trained on them.

n: windows, T: moments of a window. A document w_1 .. w_m is read as (start, w_1, .., w_m), and what is to be told at
each moment is (w_1, .., w_m, end). ``first`` says for each moment where in its window the document begins; a number
below 0 says that it began in the window before.
"""

from dataclasses import dataclass

import numpy as np

HIDDEN = -1  # a target that doesn't count


@dataclass(frozen=True)
class Windows:
    """Windows to train on.

    Attributes
    ----------
    X : ndarray of shape (n, 2, T), int32
        Tokens, and ``first``.
    targets : ndarray of shape (n, T), int32
        The next tokens; -1 where there is nothing to tell.
    weights : ndarray of shape (n, T), float64, or None
        Of the targets; None means 1 everywhere.
    """

    X: np.ndarray
    targets: np.ndarray
    weights: np.ndarray | None

    def __len__(self):
        return len(self.X)


@dataclass(frozen=True)
class Stream:
    """Documents one after the other.

    Attributes
    ----------
    tokens, targets : ndarray of shape (L,), int32
        What is read and what is to be told.
    start : ndarray of shape (L,), int64
        Where the document of each moment begins.
    weights : ndarray of shape (L,), float64, or None
        Of the moments.
    """

    tokens: np.ndarray
    targets: np.ndarray
    start: np.ndarray
    weights: np.ndarray | None


def stream_of(sequences, weights, start, end, shares=None):
    """Return documents as a stream.

    Parameters
    ----------
    sequences : list of ndarray of shape (m,), int32
        The documents.
    weights : ndarray of shape (n_documents,)
        Their weights.
    start, end : int
        The tokens that begin and end them.
    shares : list of ndarray of shape (m + 1,), or None, default=None
        What each token and the end count, times the document's weight; None means 1.

    Returns
    -------
    stream : Stream
        Of the sum of m + 1 moments.
    """
    lengths = np.array([len(ids) + 1 for ids in sequences])
    ends = np.cumsum(lengths)
    begins = ends - lengths
    tokens, targets = np.empty(ends[-1], dtype=np.int32), np.empty(ends[-1], dtype=np.int32)
    text = np.concatenate(sequences) if len(sequences) else np.empty(0, np.int32)
    inside = np.ones(ends[-1], dtype=bool)
    inside[begins] = False
    tokens[begins], tokens[inside] = start, text
    targets[ends - 1] = end
    targets[np.flatnonzero(inside) - 1] = text
    per_moment = None if shares is None and (weights == 1).all() else np.repeat(weights, lengths)
    if shares is not None:
        per_moment *= np.concatenate(shares)
    return Stream(tokens, targets, np.repeat(begins, lengths), per_moment)


def packed(stream, T):
    """Cut a stream into windows of T moments, whatever documents end or begin in them.

    Parameters
    ----------
    stream : Stream
        The documents.
    T : int
        Moments of a window.

    Returns
    -------
    windows : Windows
        As few as there can be; what a window holds of a document is read without what came before.
    """
    at = np.arange(-(-len(stream.tokens) // T) * T).reshape(-1, T)
    return _windows(stream, np.where(at < len(stream.tokens), at, -1), at[:, :1], 0)


def padded(stream, T):
    """Cut a stream into windows of at most T moments of one document each.

    Parameters
    ----------
    stream : Stream
        The documents.
    T : int
        Moments of a window.

    Returns
    -------
    windows : Windows
        Filled up on the right.
    """
    moment = np.arange(len(stream.tokens))
    begins = np.flatnonzero((moment - stream.start) % T == 0)
    at = begins[:, None] + np.arange(T)
    ends = np.append(begins[1:], len(moment))
    return _windows(stream, np.where(at < ends[:, None], at, -1), begins[:, None], 0)


def lanes(stream, T, B):
    """Cut a stream into B lanes of equal length and these into windows, so that each goes on where the last ended.

    Parameters
    ----------
    stream : Stream
        The documents.
    T : int
        Moments of a window.
    B : int
        Lanes; row b of each batch of B windows is the next part of lane b.

    Returns
    -------
    windows : Windows
        In the order in which they are to be read. A document is told from its first moment on, but where a lane begins
        in its midst, it does without what came before.
    """
    L = len(stream.tokens)
    per_lane = -(-L // B)
    n = -(-per_lane // T)
    lane = np.arange(B)[None, :, None] * per_lane
    at = lane + np.arange(n * T).reshape(n, 1, T)
    there = (at < lane + per_lane) & (at < L)
    window = (lane + np.arange(n)[:, None, None] * T).reshape(-1, 1)
    found = _windows(stream, np.where(there, at, -1).reshape(-1, T), window)
    found.X[:B, 1] = np.maximum(found.X[:B, 1], 0)
    return found


def queues(stream, T, B):
    """Let each row read a document at a time, window by window; rows whose document is over wait for the others.

    Parameters
    ----------
    stream : Stream
        The documents.
    T : int
        Moments of a window.
    B : int
        Rows of a batch.

    Returns
    -------
    windows : Windows
        In the order in which they are to be read, in batches of B.
    """
    begins, lengths = np.unique(stream.start, return_counts=True)
    parts = []
    for some in range(0, len(begins), B):
        starts, sizes = (np.resize(array[some : some + B], B) for array in (begins, lengths))
        sizes[len(begins[some : some + B]) :] = 0
        offset = np.arange(-(-sizes.max() // T) * T).reshape(-1, 1, T)
        parts.append(np.where(offset < sizes[:, None], starts[:, None] + offset, -1).reshape(-1, T))
    at = np.concatenate(parts)
    return _windows(stream, at, np.maximum(at[:, :1], 0))


def _windows(stream, at, window, least=-1):
    """Return windows of the moments `at`, -1 for none; each begins at its `window`."""
    there = at >= 0
    where = np.where(there, at, 0)
    X = np.empty((len(at), 2, at.shape[1]), dtype=np.int32)
    X[:, 0] = np.where(there, stream.tokens[where], 0)
    X[:, 1] = np.where(there, np.maximum(stream.start[where] - window, least), 0)
    targets = np.where(there, stream.targets[where], HIDDEN).astype(np.int32)
    weights = None if stream.weights is None else np.where(there, stream.weights[where], 0.0)
    return Windows(X, targets, weights)
