"""Rows in an order that their content alone decides, equal rows merged into their weights.

Random draws over the result do not depend on the order of the rows, nor on whether a row is written twice or
weighted 2: so that weight k equals k copies, exactly.
"""

import numpy as np
import scipy.sparse as sp

from skml import _kernels
from skml.base import chunk_slices

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def distinct_rows(X, weights=None, y=None, *, return_inverse=False):
    """Return a representative of each group of equal rows, in canonical order, and the groups' weights.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        float32, float64 or uint8, C-contiguous; CSR holds each column at most once per row. NaN equals NaN.
    weights : ndarray of shape (n_samples,) or None
        Non-negative; rows of zero weight are left out. None means 1 everywhere.
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs) or None
        Targets that belong to the rows' content, as numbers.
    return_inverse : bool, default=False
        Whether to return the group of each row as well.

    Returns
    -------
    index : ndarray of shape (n_distinct,), int
        One row of each group. float32 data and the same data as float64 have the same order.
    merged : ndarray of shape (n_distinct,), float64
        The sum of the group's weights.
    inverse : ndarray of shape (n_samples,), int
        Only if asked for: the group of each row, -1 for rows of zero weight.
    """
    parts = [X] if y is None else [X, _as_rows(y)]
    order = _sorted_by_content(parts, None if weights is None else np.flatnonzero(weights > 0))
    first = np.flatnonzero(np.append(True, ~_same_as_next(parts, order)))
    in_order = np.ones(len(order)) if weights is None else weights[order].astype(np.float64)
    merged = np.add.reduceat(in_order, first)
    if not return_inverse:
        return order[first], merged
    inverse = np.full(X.shape[0], -1)
    inverse[order] = np.repeat(np.arange(len(first)), np.diff(np.append(first, len(order))))
    return order[first], merged, inverse


def _as_rows(y):
    return np.ascontiguousarray(y.reshape(len(y), -1), dtype=np.float64)


def row_hashes(X, coarse=False):
    """Return a 64-bit hash of each row's content, the same for dense and sparse rows.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        float32, float64 or uint8, C-contiguous; CSR holds each column at most once per row.
    coarse : bool, default=False
        Hash the values rounded to float32.

    Returns
    -------
    hashes : ndarray of shape (n_samples,), uint64
        Equal for equal rows.
    """
    hashes = np.empty(X.shape[0], dtype=np.uint64)
    threads = _kernels.n_threads()
    if sp.issparse(X):
        _kernels.rows.hash_sparse_rows(X.data, X.indices, X.indptr, coarse, hashes, threads)
        return hashes
    for rows in chunk_slices(len(X), 8 * X.shape[1]):
        some = X[rows] if X.dtype.kind == "f" else X[rows].astype(np.float32)
        _kernels.rows.hash_rows(some, coarse, hashes[rows], threads)
    return hashes


def _sorted_by_content(parts, kept):
    coarse = _combined(parts, coarse=True)
    order = _sort(coarse, kept)
    tied = coarse[order[1:]] == coarse[order[:-1]]
    if tied.any() and not _same_as_next(parts, order)[tied].all():
        order = _sort(coarse, kept, _combined(parts, coarse=False))
    return order


def _sort(coarse, kept, fine=None):
    if kept is None:
        kept = np.arange(len(coarse))
    order = np.argsort(coarse[kept]) if fine is None else np.lexsort((fine[kept], coarse[kept]))
    return kept[order]


def _combined(parts, coarse):
    hashes = row_hashes(parts[0], coarse)
    for part in parts[1:]:
        hashes = hashes * _GOLDEN + row_hashes(part, coarse)
    return hashes


def _same_as_next(parts, order):
    """Return, for each row but the last of an order, whether the next row has the same content."""
    fine = _combined(parts, coarse=False)
    same = fine[order[1:]] == fine[order[:-1]]
    suspects = np.flatnonzero(same)
    for part in parts:
        for some in chunk_slices(len(suspects), 32 * part.shape[1]):
            pairs = suspects[some]
            same[pairs] &= _equal(part[order[pairs]], part[order[pairs + 1]])
    return same


def _equal(a, b):
    if sp.issparse(a):
        return _same_entries(a, b, lambda data: np.where(np.isnan(data), 0, data)) & _same_entries(a, b, np.isnan)
    return ((a == b) | (np.isnan(a) & np.isnan(b))).all(axis=1)


def _same_entries(a, b, of):
    gaps = abs(_with(a, of(a.data)) - _with(b, of(b.data)))
    return np.asarray(gaps.sum(axis=1)).ravel() == 0


def _with(X, data):
    return sp.csr_array((data.astype(np.float64), X.indices, X.indptr), shape=X.shape)
