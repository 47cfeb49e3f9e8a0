"""EASE (Steck 2019, "Embarrassingly shallow autoencoders for sparse data"): item weights in closed form.

Of all B with a diagonal of zeros, the one that minimises |X - X B|^2 + alpha |B|^2, where X holds the users'
interactions, 0 where there are none, each times the square root of its weight: with P = (X^T X + alpha I)^-1,
B_ij = -P_ij / P_jj (eq. 8). For explicit ratings X is best what a baseline leaves of them.
"""

import numpy as np
from scipy.linalg import lapack

from skml import _kernels
from skml.base import require_memory
from skml.recommendation.similarity import dense_gram

_BLOCK = 256


def ease_weights(ratings, alpha, n_threads=1):
    """Return the weights of EASE.

    Parameters
    ----------
    ratings : Ratings
        Interactions by user.
    alpha : float
        The ridge, positive.
    n_threads : int, default=1
        It does not show in the result.

    Returns
    -------
    B : ndarray of shape (n_items, n_items)
        Of the ratings' type; a user's scores are their interactions times it.

    Raises
    ------
    MemoryError
        If there are too many items for a dense matrix of them.
    ValueError
        If alpha is too small for the Gram matrix to be inverted.
    """
    n = ratings.n_columns
    require_memory((8 + ratings.data.itemsize * (ratings.data.itemsize < 8)) * n**2, f"EASE's weights of {n:,} items")
    P = dense_gram(ratings, n_threads)
    P[np.diag_indices(n)] += alpha
    _invert(P)
    diagonal = P.diagonal().copy()
    B = P if ratings.data.dtype == P.dtype else np.empty(P.shape, dtype=ratings.data.dtype)
    for start in range(0, n, _BLOCK):
        rows = slice(start, start + _BLOCK)
        B[rows] = P[rows] / -diagonal  # (8)
    B[np.diag_indices(n)] = 0
    return B


def _invert(A):
    """Replace a symmetric positive definite matrix by its inverse."""
    if len(A) == 0:
        return
    with _kernels.blas_threads(1):  # LAPACK's threads would change bits
        _, failed = lapack.dpotrf(A.T, lower=1, clean=0, overwrite_a=1)
        failed = failed or lapack.dpotri(A.T, lower=1, overwrite_c=1)[1]
    if failed:
        raise ValueError("The Gram matrix plus alpha is not positive definite in double precision; raise alpha.")
    for start in range(0, len(A), _BLOCK):  # A.T's lower triangle is A's upper one
        stop = start + _BLOCK
        A[stop:, start:stop] = A[start:stop, stop:].T
        A[start:stop, start:stop] = np.triu(A[start:stop, start:stop]) + np.triu(A[start:stop, start:stop], 1).T


def linear_scores(states, B, targets=None):
    """Return what users' interactions say of items under learned weights.

    Parameters
    ----------
    states : Ratings
        Interactions by user.
    B : ndarray of shape (n_items, n_items)
        Of :func:`ease_weights`.
    targets : ndarray of int or None, default=None
        The items asked for; None for all.

    Returns
    -------
    scores : ndarray of shape (n_users, n_items) or (n_users, n_targets)
        Of B's type.
    """
    return states.matrix() @ (B if targets is None else B[:, targets])


def linear_pairs(states, B, rows, targets):
    """Return what users' interactions say of one item each, the same values as :func:`linear_scores` to rounding.

    Parameters
    ----------
    states : Ratings
        Interactions by user.
    B : ndarray of shape (n_items, n_items)
        Of :func:`ease_weights`.
    rows, targets : ndarray of shape (n_pairs,), int32
        The pairs of users and items.

    Returns
    -------
    scores : ndarray of shape (n_pairs,)
        Of B's type.
    """
    lengths = np.diff(states.indptr)[rows]
    pair = np.repeat(np.arange(len(rows)), lengths)
    ends = np.cumsum(lengths)
    at = np.arange(len(pair)) - (ends - lengths)[pair] + states.indptr[rows][pair]
    terms = states.data[at].astype(np.float64) * B[states.indices[at], targets[pair]]
    return np.bincount(pair, terms, minlength=len(rows)).astype(B.dtype)
