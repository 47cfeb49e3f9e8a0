"""Ratings as factors give them back: products of many rows, and how far off they are."""

import numpy as np

from skml import _kernels
from skml.recommendation.least_squares import gram_matrix
from skml.recommendation.slices import CALL_WORK, row_slices, threads_for, work_slices

_CHUNK = 2**18


def row_products(left, right, n_threads):
    """Return ``left @ right.T``; a product's bits depend on its two rows alone, not on how many there are with them.

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
        Of right's type.
    """
    left, right = (np.ascontiguousarray(side, dtype=right.dtype) for side in (left, right))
    out = np.empty((len(left), len(right)), right.dtype)
    n_threads = threads_for(left.size * len(right), n_threads)
    for rows in work_slices(np.full(len(left), right.size + 1.0), CALL_WORK * n_threads):
        _kernels.products.row_products(left[rows], right, out[rows], n_threads)
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
