"""Sessions: rows of tokens that are being written, each with what the network keeps of it.

B: rows, T: moments, V: tokens. What is said of a row does not depend on the others.
"""

import numpy as np

from skml.language.reading import MOMENTS, StateReader, WindowReader, window_start
from skml.network.decoding import Decoder


class Recurrence:
    """Rows of a recurrent network, each with its states.

    Parameters
    ----------
    reader : StateReader
        The network.
    rows : list of ndarray of shape (n,), int32
        What has been written; at least a token each.
    n_threads : int, default=1
        How many threads to use; no result depends on it.
    """

    def __init__(self, reader, rows, n_threads=1):
        self.reader, self.n_threads = reader, n_threads
        self.states = reader.cells.start(len(rows))
        longest = max(map(len, rows))
        tokens = np.zeros((len(rows), longest), dtype=np.int32)
        for out, ids in zip(tokens, rows):
            out[longest - len(ids) :] = ids
        begins = np.array([longest - len(ids) for ids in rows], dtype=np.int32)[:, None]
        step = max(1, MOMENTS // len(rows))
        for start in range(0, longest, step):
            part = np.ascontiguousarray(tokens[:, start : start + step])
            self._read(part, np.repeat(begins - start, part.shape[1], axis=1))

    def _read(self, tokens, first=None):
        self.h = self.reader.cells.read(tokens, self.states, first, self.n_threads)[:, -1]

    def logits(self):
        """Return the logits of the next token of each row, an array of shape (B, V)."""
        return self.reader.logits(self.h, self.n_threads)

    def select(self, rows):
        """Keep some rows, in an order that may name a row several times."""
        self.states = [np.ascontiguousarray(state[:, rows]) for state in self.states]
        self.h = self.h[rows]

    def write(self, tokens, wanted=True):
        """Add a token to each row; logits are there for the asking, `wanted` or not."""
        self._read(np.asarray(tokens, dtype=np.int32)[:, None])


class Rereading:
    """Rows that are read anew for each token: without a cache, for comparison, and where there is none.

    Parameters
    ----------
    reader : object
        The network.
    rows, n_threads
        As of :class:`Recurrence`.
    """

    def __init__(self, reader, rows, n_threads=1):
        self.reader, self.rows, self.n_threads = reader, list(rows), n_threads

    def logits(self):
        """Return the logits of the next token of each row, an array of shape (B, V)."""
        return self.reader.logits(self.reader.last(self.rows, self.n_threads), self.n_threads)

    def select(self, rows):
        """Keep some rows, in an order that may name a row several times."""
        self.rows = [self.rows[i] for i in rows]

    def write(self, tokens, wanted=True):
        """Add a token to each row; logits are there for the asking, `wanted` or not."""
        self.rows = [np.append(ids, np.int32(token)) for ids, token in zip(self.rows, tokens)]


class Attention:
    """Rows of a transformer, each with the keys and values of its window.

    Parameters
    ----------
    reader : WindowReader
        The network.
    rows, n_threads
        As of :class:`Recurrence`.
    capacity : int or None, default=None
        The most tokens of a row; None is the context, and what is more begins anew.
    """

    def __init__(self, reader, rows, n_threads=1, capacity=None):
        self.reader, self.rows, self.n_threads, self.capacity = reader, list(rows), n_threads, capacity
        self._open()

    def _open(self):
        """Read the windows that the rows have now."""
        length, stride = self.reader.length, self.reader.stride
        parts = [ids[window_start(len(ids), length, stride) :] for ids in self.rows]
        n_padding = np.array([max(map(len, parts)) - len(part) for part in parts])
        tokens = np.zeros((len(parts), max(map(len, parts))), dtype=np.int32)
        for out, part, empty in zip(tokens, parts, n_padding):
            out[empty:] = part
        program = self.reader.program
        self.decoder = Decoder(program.network, program.parameters, len(parts), self.capacity)
        self.z = self.decoder.feed(tokens, n_padding, self.n_threads)

    def logits(self):
        """Return the logits of the next token of each row, an array of shape (B, V)."""
        return self.z

    def select(self, rows):
        """Keep some rows, in an order that may name a row several times."""
        self.rows, self.z = [self.rows[i] for i in rows], None if self.z is None else self.z[rows]
        self.decoder.select(np.asarray(rows))

    def write(self, tokens, wanted=True):
        """Add a token to each row, with logits if they are wanted; where a window is full, all begin anew."""
        tokens = np.asarray(tokens, dtype=np.int32)
        self.rows = [np.append(ids, token) for ids, token in zip(self.rows, tokens)]
        if self.decoder.n_seen == self.decoder.capacity:
            self._open()
        else:
            self.z = self.decoder.step(tokens, self.n_threads, wanted)


_CACHED = {StateReader: Recurrence, WindowReader: Attention}


def open_session(reader, rows, use_cache, n_threads=1, capacity=None):
    """Return a session of rows.

    Parameters
    ----------
    reader : object
        The network.
    rows : list of ndarray of shape (n,), int32
        What has been written; at least a token each.
    use_cache : bool
        Whether what was read is kept.
    n_threads : int, default=1
        How many threads to use; no result depends on it.
    capacity : int or None, default=None
        The most tokens that a row will have, if that is known: less memory is taken then.

    Returns
    -------
    session : object
        Of these rows.
    """
    kind = _CACHED.get(type(reader), Rereading) if use_cache else Rereading
    if kind is Attention and capacity is not None:
        return Attention(reader, rows, n_threads, min(max(capacity, 1), reader.length))
    return kind(reader, rows, n_threads)


def bytes_of_row(reader, n_moments):
    """Return about how much memory a row of a session takes, which has so many tokens in the end."""
    network = reader.program.network
    blocks = getattr(network, "blocks", ())
    return 24 * network.n_tokens + reader.program.dtype.itemsize * reader.width * (8 + 2 * len(blocks) * n_moments)
