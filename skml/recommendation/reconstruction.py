"""Ratings as factors give them back: products of many rows, and how far off they are."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from skml import _kernels
from skml._kernels import blas_threads
from skml.recommendation.least_squares import gram_matrix
from skml.recommendation.slices import row_slices

_ROWS = 256  # rows whose products are one call, whatever the number of threads: so these show in no bit
_CHUNK = 2**18


def row_products(left, right, n_threads):
    """Return ``left @ right.T``, of the same bits for any number of threads.

    Parameters
    ----------
    left : ndarray of shape (n_rows, k)
        One side.
    right : ndarray of shape (n_columns, k)
        The other.
    n_threads : int
        Threads to use.

    Returns
    -------
    products : ndarray of shape (n_rows, n_columns)
        Of their type.
    """
    out, turned = np.empty((len(left), len(right)), right.dtype), right.T
    parts = [slice(start, start + _ROWS) for start in range(0, len(left), _ROWS)]

    def multiply(rows):
        np.matmul(left[rows], turned, out=out[rows])

    with blas_threads(1):
        if n_threads > 1 and len(parts) > 1:
            with ThreadPoolExecutor(min(n_threads, len(parts))) as pool:
                list(pool.map(multiply, parts))
        else:
            for rows in parts:
                multiply(rows)
    return out


def residuals(ratings, factors, n_threads):
    """Return ``r - mean - b_u - b_i - p_u'q_i`` for each interaction."""
    left, right = _bordered(factors)
    residual = np.empty_like(ratings.data)
    for rows in row_slices(ratings.indptr, left.shape[1] + 8):
        arrays = ratings.indptr, ratings.indices, ratings.data, left, right, residual
        _kernels.coordinate.write_residuals(*arrays, rows.start, rows.stop, n_threads)
    return residual


def _bordered(factors):
    """Return matrices whose product with each other is the whole prediction."""
    ones = [np.ones_like(bias) for bias in (factors.user_bias, factors.item_bias)]
    shift = factors.user_bias + np.asarray(factors.mean, factors.user_bias.dtype)
    left = np.column_stack([factors.users, shift, ones[0]])
    return left, np.column_stack([factors.items, ones[1], factors.item_bias])


def squared_sum(residual, weights):
    """Return ``sum w residual^2`` in float64, in a fixed order; None stands for weights of 1."""
    total = 0.0
    for start in range(0, len(residual), _CHUNK):
        squares = np.square(residual[start : start + _CHUNK], dtype=np.float64)
        total += float((squares if weights is None else squares * weights[start : start + _CHUNK]).sum())
    return total


def squared_error(ratings, factors, n_threads):
    """Return the weighted sum of squared residuals."""
    return squared_sum(residuals(ratings, factors, n_threads), ratings.weights)


def reconstruction_error(ratings, factors, settings):
    """Return the root of what the squared error of the training data is in the objective.

    Parameters
    ----------
    ratings : Ratings
        By user.
    factors : Factors
        The model.
    settings : Settings
        Of the fit.

    Returns
    -------
    error : float or None
        Over what is known; of confidences, over all pairs. None under a loss of ranking.
    """
    if settings.ranks:
        return None
    if not settings.implicit:
        return float(np.sqrt(squared_error(ratings, factors, settings.n_threads)))
    # sum_all c (t - x)^2 = sum_stored [c (1 - x)^2 - x^2] + sum_all x^2
    errors = residuals(ratings.with_data(np.ones_like(ratings.data)), factors, settings.n_threads).astype(np.float64)
    stored = np.sum(ratings.data * errors**2) - np.sum((1 - errors) ** 2)
    return float(np.sqrt(max(stored + (gram_matrix(factors.users) * gram_matrix(factors.items)).sum(), 0.0)))
