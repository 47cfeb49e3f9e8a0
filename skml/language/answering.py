"""Answering: how probable the answers to questions are, and what that says of classes.

What questions have in common at their beginnings is read once; answers branch from their prompt. K: classes.
"""

import numpy as np
from scipy.special import logsumexp

from skml.base import chunk_slices
from skml.language.scoring import log_softmax
from skml.language.sessions import bytes_of_row, open_session


def answer_log_probabilities(reader, questions, use_cache=True, n_threads=1):
    """Return ln p(answer | prompt), the sum over the answer's tokens.

    Parameters
    ----------
    reader : object
        The trained network.
    questions : list of Question
        With K answers each.
    use_cache : bool, default=True
        Whether what was read is kept.
    n_threads : int, default=1
        How many threads to use; no result depends on it.

    Returns
    -------
    logs : ndarray of shape (n_questions, K), float64
        Of each answer.
    """
    K = len(questions[0].answers)
    longest = max(len(one.prompt) + max(map(len, one.answers)) for one in questions)
    logs = np.empty((len(questions), K))
    for some in chunk_slices(len(questions), 4 * K * bytes_of_row(reader, longest)):
        logs[some] = _read(reader, questions[some], use_cache, n_threads).reshape(-1, K)
    return logs


def _read(reader, questions, use_cache, n_threads):
    """Read questions as the tree of their beginnings, a level of it at a time: each row of a session is a branch."""
    texts = [np.concatenate([one.prompt, answer]) for one in questions for answer in one.answers]
    begins = np.repeat([len(one.prompt) for one in questions], len(questions[0].answers))
    lengths = np.array([len(text) for text in texts])
    tokens = np.full((len(texts), lengths.max()), -1, dtype=np.int64)
    for row, text in zip(tokens, texts):
        row[: len(text)] = text
    at = _shared(tokens, begins.min())
    session = open_session(reader, [texts[0][:at].astype(np.int32)], use_cache, n_threads, int(lengths.max()) - 1)
    going, branch, n, logs = np.arange(len(texts)), np.zeros(len(texts), dtype=np.int64), 1, np.zeros(len(texts))
    while True:
        told = going[begins[going] <= at]
        if len(told):
            logs[told] += _told(session.logits(), branch[told], tokens[told, at])
        going = going[lengths[going] > at + 1]
        if not len(going):
            return logs
        n, branch[going] = _grow(session, n, branch[going], tokens[going, at], bool((begins[going] <= at + 1).any()))
        at += 1


def _shared(tokens, most):
    """Return how many tokens all rows have in common at their beginnings, at most so many and at least one."""
    same = (tokens[:, :most] == tokens[0, :most]).all(axis=0)
    return most if same.all() else max(1, int(np.argmin(same)))


def _told(z, branch, tokens):
    rows, where = np.unique(branch, return_inverse=True)
    return log_softmax(z[rows])[where, tokens]


def _grow(session, n, branch, tokens, wanted):
    """Read one more token of each text on n branches; return how many there are now, and that of each text."""
    pairs, found = np.unique((branch << 32) + tokens, return_inverse=True)
    parents = pairs >> 32
    if len(pairs) != n or (parents != np.arange(n)).any():
        session.select(parents)
    session.write(pairs & (2**32 - 1), wanted)
    return len(pairs), found


# ---------------------------------------------------------------------------------------------- from answers to classes


def content_free(logs):
    """Return the logarithm of the mean probabilities of labels for inputs without content.

    Parameters
    ----------
    logs : ndarray of shape (n_inputs, K)
        Logarithms of what is proportional to probabilities.

    Returns
    -------
    log_p : ndarray of shape (K,)
        Zhao et al. 2021, section 5: p_cf is normalised for each input before the mean is taken.
    """
    return logsumexp(log_softmax(logs), axis=0) - np.log(len(logs))


def batch_bias(logs, weights, shares):
    """Return what brings the mean probabilities of classes over some documents to their shares (Zhou et al. 2024).

    Parameters
    ----------
    logs : ndarray of shape (n_documents, K)
        Logarithms of what is proportional to probabilities.
    weights : ndarray of shape (n_documents,)
        Of the documents.
    shares : ndarray of shape (K,)
        Of the classes.

    Returns
    -------
    log_p : ndarray of shape (K,)
        To be subtracted.
    """
    log_mean = logsumexp(log_softmax(logs), axis=0, b=(weights / weights.sum())[:, None])
    return log_mean - np.log(shares)


def calibrated(logs, bias):
    """Return the logarithms of p_k / b_k, normalised."""
    return log_softmax(log_softmax(logs) - bias)
