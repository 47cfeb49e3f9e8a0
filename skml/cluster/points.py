"""The observations to cluster: dense, with missing entries, or sparse; and their distances to centres.

A row with missing entries (NaN) is compared over the entries it has. Everything here answers row by row, so
neither the batch nor the number of threads can change an answer.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from skml import _kernels

# Between two kernel calls Python sees a Ctrl-C: one thread does so many terms in at most half a second.
_TERMS_PER_CALL = 1_500_000_000
_FEWEST_ROWS = 64  # per call, which then lasts longer: fewer would leave threads idle
_TERMS_PER_THREAD = 1_000_000


@dataclass(frozen=True)
class Points:
    """What is to be clustered.

    Attributes
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        C-contiguous float32 or float64.
    weights : ndarray of shape (n_samples,) or None
        Float64 weights; None means 1 each.
    missing : bool
        Whether X holds NaN.
    """

    X: object
    weights: object = None
    missing: bool = False

    @property
    def sparse(self):
        """Whether X is a CSR matrix."""
        return sp.issparse(self.X)

    def weighed(self, values):
        """Return the weighted sum of one value per row, in float64."""
        return float(values.sum(dtype=np.float64) if self.weights is None else values @ self.weights)

    def rows(self, indices):
        """Return some rows as a dense array."""
        picked = self.X[indices]
        return picked.toarray() if sp.issparse(picked) else picked


def refuse_unusable(X, heaviest, whole):
    """Raise a ValueError if distances would overflow or vanish, or entries are missing that must not be.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        Validated data.
    heaviest : float
        The largest weight.
    whole : bool
        Whether X defines the model: then each feature must have been seen, and the squares must not vanish.

    Returns
    -------
    missing : bool
        Whether X holds NaN.
    """
    values = X.data if sp.issparse(X) else X
    if not values.size:
        return False
    largest = max(float(np.fmax.reduce(values, axis=None)), -float(np.fmin.reduce(values, axis=None)))
    with np.errstate(over="ignore", invalid="ignore"):
        suspect = np.isnan(values.sum())  # a sum is cheaper than a look at each
    missing = bool(suspect and np.isnan(values).any())
    if missing:
        _refuse_unseen(X, whole)
    # a distance must fit the dtype, their sum over all rows a double
    limit = (
        np.sqrt(min(float(np.finfo(X.dtype).max), np.finfo(np.float64).max / (heaviest * X.shape[0])) / X.shape[1]) / 4
    )
    if largest > limit:
        raise ValueError(
            f"X holds values up to {largest:.3g} in size, whose squared distances overflow {X.dtype}; "
            f"scale the columns below {limit:.3g}."
        )
    least = np.sqrt(float(np.finfo(X.dtype).tiny))
    if whole and 0 < largest < least:
        raise ValueError(
            f"X holds no value above {largest:.3g} in size, whose squared distances vanish in {X.dtype}; "
            f"scale the columns above {least:.3g}."
        )
    return missing


def _refuse_unseen(X, whole):
    if sp.issparse(X):
        raise ValueError("Sparse X holds NaN; missing entries are taken from dense X only.")
    nothing = np.isnan(X).all(axis=1)
    if nothing.any():
        raise ValueError(
            f"Row {int(nothing.argmax())} of X has no value at all, so no centre is nearer to it than another; "
            "drop such rows first."
        )
    nothing = np.isnan(X).all(axis=0)
    if whole and nothing.any():
        raise ValueError(f"Column {int(nothing.argmax())} of X has no value at all; drop such columns first.")


def unit_rows(X, missing):
    """Return the rows scaled to length 1 (a zero row stays): there, squared distance is twice the cosine distance."""
    if missing:
        raise ValueError("X holds NaN, and metric='cosine' needs complete rows; impute them first.")
    if sp.issparse(X):
        lengths = np.sqrt(np.asarray(X.multiply(X).sum(axis=1), dtype=np.float64)).ravel()
        scale = np.repeat(np.where(lengths > 0, lengths, 1), np.diff(X.indptr))
        return type(X)(((X.data / scale).astype(X.dtype), X.indices, X.indptr), shape=X.shape)
    lengths = np.sqrt(np.einsum("ij,ij->i", X, X, dtype=np.float64))[:, None]
    return (X / np.where(lengths > 0, lengths, 1)).astype(X.dtype)


def unit_centers(centers):
    """Return centres scaled to length 1; those that have it, up to rounding, keep their bits."""
    off = np.abs(np.einsum("ij,ij->i", centers, centers, dtype=np.float64) - 1) > 8 * np.finfo(centers.dtype).eps
    return np.where(off[:, None], unit_rows(centers, False), centers)


def observed(X):
    """Return how many entries each row of X has, in the dtype of X."""
    return X.shape[1] - np.isnan(X).sum(axis=1, dtype=X.dtype)


def threads_for(terms):
    """Return how many threads to use on so much arithmetic: one where waking others would cost more."""
    return _kernels.n_threads() if terms > _TERMS_PER_THREAD else 1


def call_slices(n_rows, terms_per_row, fewest=_FEWEST_ROWS):
    """Yield slices of rows that keep each kernel call short."""
    size = max(1, n_rows)
    if n_rows * terms_per_row > _TERMS_PER_CALL:
        size = max(fewest, _TERMS_PER_CALL * _kernels.n_threads() // max(1, terms_per_row))
    for start in range(0, n_rows, size):
        yield slice(start, min(start + size, n_rows))


def nearest(points, centers):
    """Return each row's nearest centre (the lowest index on ties) and the squared distance to it."""
    X, (k, d) = points.X, centers.shape
    labels, squared = np.empty(X.shape[0], dtype=np.int32), np.empty(X.shape[0], dtype=X.dtype)
    if points.sparse:
        for rows, distances in _sparse_chunks(X, centers):
            labels[rows] = distances.argmin(axis=1)
            squared[rows] = distances.min(axis=1)
        return labels, squared
    for rows in call_slices(X.shape[0], k * d):
        threads = threads_for(X.shape[0] * k * d)
        _kernels.kmeans.nearest(X[rows], centers, points.missing, labels[rows], squared[rows], threads)
    return labels, squared


def own_distances(points, centers, labels):
    """Return each row's squared distance to the centre that its label names."""
    X = points.X
    squared = np.empty(X.shape[0], dtype=X.dtype)
    if points.sparse:
        for rows, distances in _sparse_chunks(X, centers):
            squared[rows] = np.take_along_axis(distances, labels[rows, None], axis=1)[:, 0]
        return squared
    for rows in call_slices(*X.shape):
        threads = threads_for(X.size)
        _kernels.kmeans.own_distances(X[rows], centers, labels[rows], points.missing, squared[rows], threads)
    return squared


def all_distances(points, centers):
    """Return the squared distances of all rows to all centres."""
    X, (k, d) = points.X, centers.shape
    squared = np.empty((X.shape[0], k), dtype=X.dtype)
    if points.sparse:
        for rows, distances in _sparse_chunks(X, centers):
            squared[rows] = distances
        return squared
    for rows in call_slices(X.shape[0], k * d):
        _kernels.kmeans.all_distances(X[rows], centers, points.missing, squared[rows], threads_for(squared.size * d))
    return squared


def _sparse_chunks(X, centers):
    """Yield (rows, squared distances in float64) in chunks of bounded memory."""
    transposed = np.ascontiguousarray(centers.T, dtype=np.float64)
    norms = np.einsum("ij,ij->j", transposed, transposed)
    k, entries = len(norms), max(1, X.nnz // max(1, X.shape[0]))
    size = max(_FEWEST_ROWS, min(4_000_000 // k, _TERMS_PER_CALL // (k * entries)))
    for start in range(0, X.shape[0], size):
        rows = slice(start, min(start + size, X.shape[0]))
        part = X[rows]
        distances = np.empty((part.shape[0], len(norms)))
        threads = threads_for(part.nnz * len(norms))
        _kernels.seeding.sparse_distances(part.data, part.indices, part.indptr, transposed, norms, distances, threads)
        yield rows, distances
