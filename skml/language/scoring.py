"""What a language model says about documents that are there: probabilities of tokens, and states of documents.

n: moments, V: tokens, C: numbers of a state. What is read is (start, w_1, .., w_m), what is told (w_1, .., w_m, end).
"""

import numpy as np

from skml.base import chunk_slices

POOLINGS = ("last", "mean", "attention")


def log_softmax(z):
    """Return z - ln sum_k exp(z_k) of each row, in float64."""
    z = z.astype(np.float64)
    z -= z.max(axis=1, keepdims=True)
    z -= np.log(np.exp(z).sum(axis=1, keepdims=True))
    return z


def probabilities(z):
    """Return the softmax of each row, in the type of z; a row's bits depend on it alone."""
    return np.exp(log_softmax(z)).astype(z.dtype)


def token_log_probabilities(reader, sequences, coder, n_threads=1):
    """Return ln p(w_t | w_1 .. w_{t-1}) of all tokens of documents, and of their ends.

    Parameters
    ----------
    reader : object
        The trained network.
    sequences : list of ndarray of shape (m,), int32
        The documents.
    coder : Coder
        What begins and ends them.
    n_threads : int, default=1
        How many threads to use; the result does not depend on it.

    Returns
    -------
    found : list of ndarray of shape (m + 1,), float64
        The last one is that of the end.
    """
    lengths = np.array([len(ids) + 1 for ids in sequences])
    ends = np.cumsum(lengths)
    targets = np.concatenate([np.append(ids, coder.end) for ids in sequences])
    flat = np.empty(ends[-1])
    for piece in reader.pieces(begun(sequences, coder), n_threads):
        at = (ends - lengths)[piece.document] + piece.moment
        for some in chunk_slices(len(at), 24 * coder.n_tokens):
            logs = log_softmax(reader.logits(piece.states[some], n_threads))
            flat[at[some]] = logs[np.arange(len(logs)), targets[at[some]]]
    return np.split(flat, ends[:-1])


def begun(sequences, coder):
    """Return documents with the token that begins them."""
    start = np.array([coder.start], dtype=np.int32)
    return [np.concatenate([start, ids]) for ids in sequences]


def next_probabilities(reader, sequences, coder, n_threads=1):
    """Return the probabilities of the tokens that may follow documents.

    Parameters
    ----------
    reader, sequences, coder, n_threads
        As for :func:`token_log_probabilities`.

    Returns
    -------
    p : ndarray of shape (n_documents, V)
        Rows add up to 1.
    """
    states = reader.last(begun(sequences, coder), n_threads)
    p = np.empty((len(states), coder.n_tokens), dtype=states.dtype)
    for some in chunk_slices(len(states), 24 * coder.n_tokens):
        p[some] = probabilities(reader.logits(states[some], n_threads))
    return p


def pooled_states(reader, sequences, coder, pooling, n_threads=1):
    """Return a vector for each document.

    Parameters
    ----------
    reader, sequences, coder, n_threads
        As for :func:`token_log_probabilities`.
    pooling : {"last", "mean", "attention"}
        Whether the vector is the state after the last token, the mean of all, or their mean weighted by
        softmax(h_t h_n / sqrt(C)): how much each resembles the last.

    Returns
    -------
    vectors : ndarray of shape (n_documents, C)
        In the type of the network.
    """
    sequences = begun(sequences, coder)
    if pooling == "last":
        return reader.last(sequences, n_threads)
    vectors = np.empty((len(sequences), reader.width), dtype=reader.program.dtype)
    total = sum(map(len, sequences))
    for some in chunk_slices(len(sequences), 2 * reader.width * 8 * total // len(sequences)):
        group = sequences[some]
        states = [np.empty((len(ids), reader.width), dtype=vectors.dtype) for ids in group]
        for piece in reader.pieces(group, n_threads):
            for i in np.unique(piece.document):
                of = piece.document == i
                states[i][piece.moment[of]] = piece.states[of]
        vectors[some] = [_pooled(one, pooling) for one in states]
    return vectors


def _pooled(h, pooling):
    h64 = h.astype(np.float64)
    if pooling == "mean":
        return h64.mean(axis=0)
    scores = np.einsum("ij,j->i", h64, h64[-1]) / np.sqrt(h.shape[1])
    weights = np.exp(scores - scores.max())
    return np.einsum("ij,i->j", h64, weights / weights.sum())
