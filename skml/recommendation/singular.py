"""Singular values and vectors, the signs of which are fixed: of whole matrices, and of whatever can be multiplied."""

import numpy as np
import scipy.sparse.linalg

from skml._kernels import blas_threads

OVERSAMPLING, POWER_ITERATIONS = 10, 4  # of the randomized SVD
DIRECT_SIZE = 300  # the largest smaller side for which all singular values are computed
DENSE_WORK = 2**29


@blas_threads(1)
def truncated_svd(A, n_components):
    """Return the largest singular values of a matrix and their vectors, as :func:`scipy.sparse.linalg.svds` does.

    Parameters
    ----------
    A : ndarray of shape (n_rows, n_columns)
        Without missing entries.
    n_components : int
        At most the smaller side of A.

    Returns
    -------
    U, s, V : ndarray of shape (n_rows, n_components), (n_components,), (n_columns, n_components)
        Singular values descending; the largest entry of each column of V is positive.
    """
    if min(A.shape) <= DIRECT_SIZE or 3 * n_components >= min(A.shape):
        U, s, Vt = np.linalg.svd(A, full_matrices=False)
        return signed(U[:, :n_components], s[:n_components], Vt[:n_components].T)
    first = np.random.default_rng(0).standard_normal(min(A.shape)).astype(A.dtype)
    Vt = scipy.sparse.linalg.svds(A, n_components, v0=first, return_singular_vectors="vh")[2]
    # A round of subspace iteration: both sides orthonormal, small values right as well.
    U = np.linalg.qr(_dense_times(A, np.linalg.qr(Vt[::-1].T)[0]))[0]
    V, s, rotation = np.linalg.svd(_dense_times(A.T, U), full_matrices=False)
    return signed(U @ rotation.T, s, V)


def _dense_times(A, V):
    """Return ``A @ V``, a few rows at a time."""
    size = max(1, DENSE_WORK // (A.shape[1] * V.shape[1]))
    return np.concatenate([A[start : start + size] @ V for start in range(0, len(A), size)])


def signed(U, s, V):
    """Return a decomposition with its signs fixed: the largest entry of each column of V is positive."""
    signs = sign_of_largest(V)
    return np.ascontiguousarray(U * signs), s, np.ascontiguousarray(V * signs)


@blas_threads(1)
def randomized_svd(matrix, n_components, seed):
    """Return approximate leading singular values and vectors (Halko, Martinsson & Tropp 2011, algorithm 4.4).

    Parameters
    ----------
    matrix : object
        With the methods ``times`` and ``transposed_times`` of a filled matrix.
    n_components : int
        At most the smaller side.
    seed : int
        Of the random directions.

    Returns
    -------
    U, s, V : ndarray of shape (n_rows, n_components), (n_components,), (n_columns, n_components)
        As from :func:`truncated_svd`.
    """
    shape = len(matrix.left), len(matrix.right)
    width, dtype = min(n_components + OVERSAMPLING, *shape), matrix.right.dtype
    Q = np.random.default_rng(seed).standard_normal((shape[1], width)).astype(dtype)
    for _ in range(POWER_ITERATIONS):
        Q = np.linalg.qr(matrix.times(Q)[0])[0]
        Q = np.linalg.qr(matrix.transposed_times(Q))[0]
    U, R = np.linalg.qr(matrix.times(Q)[0])
    left, s, rotation = np.linalg.svd(R)
    U, V = U @ left, Q @ rotation.T
    return signed(U[:, :n_components], s[:n_components], V[:, :n_components])


def sign_of_largest(columns):
    """Return per column the sign of its largest entry, of nearly equal ones the first."""
    sizes = np.abs(columns)
    near = sizes >= sizes.max(axis=0, initial=0.0) * (1 - np.sqrt(np.finfo(columns.dtype).eps))
    if not len(columns):
        return np.ones(columns.shape[1], columns.dtype)
    first = columns[near.argmax(axis=0), np.arange(columns.shape[1])]
    return np.where(first < 0, -1, 1).astype(columns.dtype)
