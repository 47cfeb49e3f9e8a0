"""Rows in an order that depends on their content alone, equal rows merged into their weights."""

import numpy as np
import scipy.sparse as sp

from skml.decomposition.centred import row_blocks

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_ODD = np.uint64(0xD6E8FEB86659FD93)
_SHIFT = np.uint64(32)


def distinct_rows(X, weights):
    """Return one index for each group of equal rows, in canonical order, and the summed weights.

    Neither the order of the rows nor splitting a weight into copies changes the sequence of contents that the
    result stands for, so random draws over it do not depend on them either. Rows of zero weight are left out.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        Finite data; CSR has sorted indices without duplicates.
    weights : ndarray of shape (n_samples,)
        Non-negative.

    Returns
    -------
    index : ndarray of shape (n_distinct,), int
        A representative of each group.
    merged : ndarray of shape (n_distinct,)
        Sum of the group's weights.
    """
    kept = np.flatnonzero(weights > 0)
    hashes = row_hashes(X)[kept]
    order = np.argsort(hashes, kind="stable")
    index, hashes = kept[order], hashes[order]
    same = np.flatnonzero(hashes[1:] == hashes[:-1])
    same = same[[_equal_rows(X, index[i], index[i + 1]) for i in same]] if len(same) else same
    starts = np.ones(len(index), dtype=bool)
    starts[same + 1] = False
    starts = np.flatnonzero(starts)
    return index[starts], np.add.reduceat(weights[index], starts)


def _equal_rows(X, first, second):
    if sp.issparse(X):
        return (X[[first]] != X[[second]]).nnz == 0
    return np.array_equal(X[first], X[second])


def row_hashes(X):
    """Return a 64-bit hash of each row's content, the same for dense and sparse storage of equal rows.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        Finite data.

    Returns
    -------
    hashes : ndarray of shape (n_samples,), uint64
        Sum over the features of a mixed value times a multiplier of the feature; zeros add nothing.
    """
    features = _mix(np.arange(1, X.shape[1] + 1, dtype=np.uint64) * _GOLDEN) | np.uint64(1)
    hashes = np.empty(X.shape[0], dtype=np.uint64)
    for rows in row_blocks(X):
        hashes[rows] = _hash_sparse(X[rows], features) if sp.issparse(X) else _mix(_bits(X[rows])) @ features
    return hashes


def _hash_sparse(X, features):
    terms = np.zeros(X.nnz + 1, dtype=np.uint64)
    np.cumsum(_mix(_bits(X.data)) * features[X.indices], out=terms[1:])
    return terms[X.indptr[1:]] - terms[X.indptr[:-1]]


def _bits(values):
    """Return the bits of float64 values as integers, the same for both zeros."""
    return (np.asarray(values, dtype=np.float64) + 0.0).view(np.uint64)


def _mix(bits):
    """Spread the bits of 64-bit integers; zero stays zero."""
    bits = (bits ^ (bits >> _SHIFT)) * _ODD
    return (bits ^ (bits >> _SHIFT)) * _ODD
