"""Moments: means, scatter and Gram matrices, and products with centred data, in one pass and without a centred copy.

``scale`` is the square root of the sample weights, or an empty array where there are none. ``Xc`` is X minus its
mean and ``D`` the diagonal matrix of the weights.
"""

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from skml._kernels import blas_threads, moments, sparse_moments
from skml.base import require_memory
from skml.decomposition.lanes import CALL_FLOPS, block_rows, blocks, in_lanes, lanes

UNWEIGHTED = np.empty(0)
FEW = 2**16  # entries of the vectors up to which the own kernel is quicker than centring and BLAS
SPARSE_CALL = 2e7  # stored values times vectors between two looks at Ctrl-C: about a tenth of a second


class Centred(NamedTuple):
    """Data with its mean and scale: stands for ``scale * (X - mean)`` without ever holding it.

    Attributes
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        The data as given.
    mean : ndarray of shape (n_features,), float64
        The weighted mean.
    scale : ndarray of shape (n_samples,) or (0,), float64
        The square roots of the weights; empty for none.
    total : float
        The sum of all squares of ``scale * (X - mean)``: the trace of the scatter matrix.
    """

    X: object
    mean: np.ndarray
    scale: np.ndarray
    total: float


def sum_of_weights(X, scale):
    """Return the sum of the weights, the number of rows where there are none."""
    return float(scale @ scale) if len(scale) else X.shape[0]


def typical_row(X, dtype):
    """Return the mean of up to 64 rows spread over X.

    Subtracting it first keeps large means from cancelling digits. The mean is taken of differences from the first row
    so that of a constant column it is exactly that constant.
    """
    n_rows = min(64, len(X))
    rows = np.arange(n_rows) * (len(X) // n_rows)
    with np.errstate(over="ignore", invalid="ignore"):
        first = X[0].astype(np.float64)
        return (first + (X[rows] - first).mean(axis=0)).astype(dtype)


def scatter(X, scale):
    """Return the mean and the scatter matrix ``Xc.T @ D @ Xc``, with one pass over X.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), float32 or float64
        The data.
    scale : ndarray of shape (n_samples,) or (0,)
        The square roots of the weights.

    Returns
    -------
    mean : ndarray of shape (n_features,), float64
        The weighted mean.
    S : ndarray of shape (n_features, n_features), float64
        The scatter matrix; only its lower triangle is meaningful.
    """
    n_features = X.shape[1]
    n_lanes = 8 if n_features <= 64 else 2  # each lane has a matrix of its own: no more memory than a bare product
    require_memory(8 * n_lanes * n_features**2, "The scatter matrix of X")
    shift = typical_row(X, X.dtype)
    step = max(240, int(CALL_FLOPS / n_features**2))

    def one_lane(lane):
        S, total = np.zeros((n_features, n_features)), np.zeros(n_features)
        for run in blocks(lane, step):
            moments.add_scatter(X[run], shift, scale[run], total, S)
        return total, S

    totals, parts = zip(*in_lanes(one_lane, lanes(len(X), n_lanes)))
    with np.errstate(over="ignore", invalid="ignore"):
        weight = sum_of_weights(X, scale)
        offset = sum(totals) / weight
        S = parts[0]
        for part in parts[1:]:
            S += part
        # sum (x - m)(x - m)' = sum (x - s)(x - s)' - w (m - s)(m - s)'
        for j in range(n_features):
            S[j, : j + 1] -= (weight * offset[j]) * offset[: j + 1]
    return shift + offset, S


def gram(X, scale):
    """Return the mean and the Gram matrix ``(scale Xc)(scale Xc).T`` in float64, with one pass over X.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), float32 or float64
        The data.
    scale : ndarray of shape (n_samples,) or (0,)
        The square roots of the weights.

    Returns
    -------
    mean : ndarray of shape (n_features,), float64
        The weighted mean.
    G : ndarray of shape (n_samples, n_samples), float64
        The Gram matrix; only its lower triangle is meaningful.
    """
    n_samples, n_features = X.shape
    require_memory(16 * n_samples**2, "The Gram matrix of X")
    mean = np.empty(n_features)
    step = max(240, int(CALL_FLOPS / n_samples**2))

    def one_lane(lane):
        G = np.zeros((n_samples, n_samples))
        for columns in blocks(lane, step):
            moments.add_gram(X[:, columns], scale, mean[columns], G)
        return G

    G, *others = in_lanes(one_lane, lanes(n_features, 2 if n_samples > 256 else 8))
    for part in others:
        G += part
    return mean, G


def centred(X, scale):
    """Return X as :class:`Centred`, with one pass over it.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        The data.
    scale : ndarray of shape (n_samples,) or (0,)
        The square roots of the weights.

    Returns
    -------
    rows : Centred
        With its mean and total sum of squares.
    """
    if sp.issparse(X):
        return _centred_sparse(X, scale)
    n_features = X.shape[1]
    shift = typical_row(X, np.float64)

    def one_lane(lane):
        total, squares = np.zeros(n_features), 0.0
        for block in _centred_blocks(X, shift, scale, lane, np.float64, total):
            squares += float(np.vdot(block, block))
        return total, squares

    totals, squares = zip(*in_lanes(one_lane, lanes(len(X), 8)))
    with np.errstate(over="ignore", invalid="ignore"):
        weight = sum_of_weights(X, scale)
        offset = sum(totals) / weight
        return Centred(X, shift + offset, scale, sum(squares) - weight * float(offset @ offset))


def _centred_sparse(X, scale):
    weights = scale**2 if len(scale) else np.ones(X.shape[0])
    weight = weights.sum()
    with np.errstate(over="ignore", invalid="ignore"):
        mean = (X.T @ weights) / weight
        squares = X.data.astype(np.float64)
        squares *= squares
        total = float(np.add.reduceat(squares, X.indptr[:-1][np.diff(X.indptr) > 0]) @ weights[np.diff(X.indptr) > 0])
        return Centred(X, np.asarray(mean, np.float64), scale, max(0.0, total - weight * float(mean @ mean)))


def _centred_blocks(X, shift, scale, lane, dtype, total=None, at_least=16):
    """Yield the rows of a lane, centred and scaled, in one buffer used again and again."""
    n_features = X.shape[1]
    rows = block_rows(n_features, np.dtype(dtype).itemsize, at_least=at_least)
    buffer = np.empty((min(rows, lane.stop - lane.start), n_features), dtype)
    shift = shift.astype(dtype, copy=False)
    total = np.zeros(n_features) if total is None else total
    for run in blocks(lane, rows):
        block = buffer[: run.stop - run.start]
        moments.centre(X[run], shift, scale[run], block, total)
        yield block


def scatter_product(rows, V):
    """Return ``Xc.T @ D @ Xc @ V`` with one pass over X.

    Parameters
    ----------
    rows : Centred
        The data.
    V : ndarray of shape (n_features, n_vectors)
        What to multiply; its dtype is that of the work and of the result.

    Returns
    -------
    Z : ndarray of shape (n_features, n_vectors)
        The product.
    """
    if sp.issparse(rows.X):
        return _sparse_scatter_product(rows, V)

    def one_lane(lane):
        Z = np.zeros(V.shape, V.dtype)
        for block in _centred_blocks(rows.X, rows.mean, rows.scale, lane, V.dtype):
            Z += block.T @ (block @ V)
        return Z

    Z, *others = in_lanes(one_lane, lanes(len(rows.X), 4))
    for part in others:
        Z += part
    return Z


class SinglePrecision(NamedTuple):
    """Dense data in float32 for many quick products: a centred copy, or float32 data itself with its mean.

    Attributes
    ----------
    X : ndarray of shape (n_samples, n_features), float32
        Centred and scaled, unless there is a mean.
    mean : ndarray of shape (n_features,) or None
        What is still to be subtracted.
    """

    X: np.ndarray
    mean: object


def in_single_precision(rows):
    """Return dense data as :class:`SinglePrecision`, with half the memory of a float64 copy, or none.

    Parameters
    ----------
    rows : Centred
        Dense data.

    Returns
    -------
    single : SinglePrecision
        C-contiguous float32 data whose mean is not large beside its deviations is not copied.
    """
    X, mean, scale, total = rows
    as_it_is = X.dtype == np.float32 and X.flags.c_contiguous and not len(scale)
    if as_it_is and X.shape[0] * float(mean @ mean) <= 100 * total:
        return SinglePrecision(X, mean.astype(np.float32))
    copy = np.empty(X.shape, np.float32)

    def one_lane(lane):
        start = lane.start
        for block in _centred_blocks(X, mean, scale, lane, np.float32):
            copy[start : start + len(block)] = block
            start += len(block)

    in_lanes(one_lane, lanes(len(X), 16))
    return SinglePrecision(copy, None)


def single_scatter_product(single, V):
    """Return ``Xc.T @ D @ Xc @ V`` in float32.

    Parameters
    ----------
    single : SinglePrecision
        The data.
    V : ndarray of shape (n_features, n_vectors), float32
        What to multiply.

    Returns
    -------
    Z : ndarray of shape (n_features, n_vectors), float32
        The product.
    """
    X, mean = single

    def one_lane(lane):
        Y = X[lane] @ V
        if mean is None:
            return Y.T @ X[lane]  # quicker than X.T @ Y
        Y -= mean @ V
        return Y.T @ X[lane] - np.outer(Y.sum(axis=0), mean)

    return sum(in_lanes(one_lane, lanes(len(X), 4))).T


@blas_threads(1)
def _sparse_scatter_product(rows, V):
    X, mean, scale, _ = rows
    most = 32 // V.itemsize  # V and its products side by side in a cache line
    Z, n_done = np.empty(V.shape, V.dtype), 0
    while n_done < V.shape[1]:  # as many vectors at a time, and the largest powers of two at the end
        group = slice(n_done, n_done + min(most, 1 << (V.shape[1] - n_done).bit_length() - 1))
        Z[:, group] = _few_sparse_products(X, mean, scale**2, V[:, group])
        n_done = group.stop
    return Z


def _few_sparse_products(X, mean, weights, V):
    size = V.shape[1]
    offset = mean @ V
    step = max(1, int(SPARSE_CALL * X.shape[0] / max(1, X.nnz * size)))

    def one_lane(lane):
        work, sums = np.zeros((len(V), 2 * size), V.dtype), np.zeros(size)
        work[:, :size] = V
        for run in blocks(lane, step):
            indptr = X.indptr[run.start : run.stop + 1]
            sparse_moments.add_sparse_product(indptr, X.indices, X.data, weights[run], offset, work, sums)
        return work, sums

    (work, sums), *others = in_lanes(one_lane, lanes(X.shape[0], 2))  # few lanes: each has a work array of its own
    for other, more in others:
        work[:, size:] += other[:, size:]
        sums += more
    # sum_i w_i (x_i - m) y_i' = sum_i w_i x_i y_i' - m (sum_i w_i y_i)'
    work[:, size:] -= np.outer(mean, sums)
    return work[:, size:]


def project(X, mean, V):
    """Return ``(X - mean) @ V``.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        The data.
    mean : ndarray of shape (n_features,)
        What is subtracted from each row.
    V : ndarray of shape (n_features, n_vectors)
        The directions; its dtype is that of the work and of the result.

    Returns
    -------
    Y : ndarray of shape (n_samples, n_vectors)
        The products.
    """
    if sp.issparse(X):
        with blas_threads(1):
            return np.asarray(X @ V - mean @ V, dtype=V.dtype)
    Y, mean = np.empty((len(X), V.shape[1]), V.dtype), mean.astype(V.dtype, copy=False)
    step = max(64, int(CALL_FLOPS / (2 * max(1, V.size))))

    def one_lane(lane):
        if V.size <= FEW:
            for run in blocks(lane, step):
                moments.project(X[run], mean, V, Y[run])
            return
        start = lane.start
        for block in _centred_blocks(X, mean, UNWEIGHTED, lane, V.dtype, at_least=384):  # V is packed for each again
            np.matmul(block, V, out=Y[start : start + len(block)])
            start += len(block)

    in_lanes(one_lane, lanes(len(X), min(16, 1 + len(X) // 256)))
    return Y


def combine(U, X, mean, out):
    """Write ``U.T @ (X - mean)`` to `out`, some columns at a time.

    Parameters
    ----------
    U : ndarray of shape (n_samples, n_rows)
        The coefficients of the rows of X.
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        The data.
    mean : ndarray of shape (n_features,)
        What is subtracted from each row.
    out : ndarray of shape (n_rows, n_features)
        Where to put the result; its dtype is that of the work.
    """
    if sp.issparse(X):
        out[...] = (X.T @ U).T
        out -= np.outer(U.sum(axis=0), mean)
        return
    Ut, mean = np.ascontiguousarray(U.T, dtype=out.dtype), mean.astype(out.dtype)
    width = block_rows(len(X), out.itemsize, at_least=512)  # each product packs all of Ut, which must pay

    def one_lane(lane):
        total = np.zeros(width)
        space = np.empty(len(X) * min(width, lane.stop - lane.start), out.dtype)
        for columns in blocks(lane, width):
            size = columns.stop - columns.start
            block = space[: len(X) * size].reshape(len(X), size)
            moments.centre(X[:, columns], mean[columns], UNWEIGHTED, block, total[:size])
            np.matmul(Ut, block, out=out[:, columns])

    in_lanes(one_lane, lanes(X.shape[1], 16))


def clear(W, V):
    """Take what the rows of `W` have in the span of V's orthonormal rows out of them, in V's precision.

    Parameters
    ----------
    W : ndarray of shape (n_rows, n_features)
        The rows, changed in place.
    V : ndarray of shape (n_vectors, n_features)
        Orthonormal rows.
    """
    parts = lanes(W.shape[1], 4)
    h = sum(in_lanes(lambda columns: W[:, columns].astype(V.dtype, copy=False) @ V[:, columns].T, parts))

    def one_lane(columns):
        W[:, columns] -= h @ V[:, columns]

    in_lanes(one_lane, parts)
