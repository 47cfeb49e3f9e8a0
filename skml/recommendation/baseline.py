"""The baseline of ratings: their mean, biases of users and items, and what the features of a row add."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from skml._kernels import blas_threads
from skml.recommendation.ratings import power_of_two

_ACCURACY = 1e-12  # of the residual, relative to the right-hand side
_MOST_STEPS = 2000


@dataclass(frozen=True)
class Baseline:
    """r is about mean + b_u + b_i + x' beta, x being taken from its mean.

    Attributes
    ----------
    mean : float
        The weighted mean of the ratings, or the one given.
    user_bias : ndarray of shape (n_users,)
        0 for users without ratings.
    item_bias : ndarray of shape (n_items,)
        0 for items without ratings.
    coef : ndarray of shape (n_features,)
        In units of the features.
    feature_means : ndarray of shape (n_features,)
        Weighted.
    """

    mean: float
    user_bias: np.ndarray
    item_bias: np.ndarray
    coef: np.ndarray
    feature_means: np.ndarray


@blas_threads(1)
def context(features, coef, feature_means):
    """Return (x - mean)' beta for each row, of the features' type."""
    return ((features - feature_means) @ coef).astype(features.dtype)


def fit_baseline(ratings, alphas=(0.0, 0.0), mean=None):
    """Fit the baseline to ratings without features.

    Parameters
    ----------
    ratings : Ratings
        By user.
    alphas : (float, float), default=(0, 0)
        The penalties of users and items.
    mean : float or None, default=None
        The mean to take; None means the weighted mean.

    Returns
    -------
    baseline : Baseline
        Biases of the ratings' type.
    """
    shape = (ratings.n_rows, ratings.n_columns)
    features = np.empty((len(ratings.data), 0), ratings.data.dtype)
    codes = (ratings.rows(), ratings.indices)
    return fit_rows(codes, ratings.data, ratings.weights, shape, features, (*alphas, 0.0), mean)


def row_biases(ratings, mean, item_bias, alpha):
    """Return the biases of users that the baseline's equations have for them, those of items being given.

    Parameters
    ----------
    ratings : Ratings
        By user.
    mean : float
        The mean.
    item_bias : ndarray of shape (n_items,)
        Of the columns.
    alpha : float
        The penalty, at least 0.

    Returns
    -------
    user_bias : ndarray of shape (n_users,)
        Of the ratings' type; 0 for users without ratings.
    """
    # (sum w + 2 alpha) b_u = sum w (r - mean - b_i)
    rest = (ratings.data.astype(np.float64) - mean - item_bias[ratings.indices]) * ratings.filled_weights()
    sums, totals = np.bincount(ratings.rows(), rest, ratings.n_rows), ratings.row_weights() + 2 * alpha
    return np.divide(sums, totals, out=np.zeros(len(totals)), where=totals > 0).astype(ratings.data.dtype)


@blas_threads(1)
def fit_rows(codes, y, weights, shape, features, alphas, mean=None):
    r"""Minimise a weighted ridge regression on users, items and features (Koren 2010, equation 1).

    .. math:: \tfrac12 \sum w (y - \mu - b_u - b_i - x^T\beta)^2
        + \lambda_u \|b_u\|^2 + \lambda_i \|b_i\|^2 + \lambda_x \|\beta\|^2,

    with features standardised, so that their units do not matter.

    Parameters
    ----------
    codes : (ndarray, ndarray)
        User and item of each row, int32; a pair may occur in several rows.
    y : ndarray of shape (n_rows,), float32 or float64
        Ratings.
    weights : ndarray of shape (n_rows,) or None
        Positive.
    shape : (int, int)
        How many users and items there are.
    features : ndarray of shape (n_rows, n_features)
        May have no columns.
    alphas : (float, float, float)
        The penalties of users, items and features.
    mean : float or None, default=None
        The mean to take; None means the weighted mean.

    Returns
    -------
    baseline : Baseline
        Biases of y's type.

    References
    ----------
    Y. Koren (2010). Factor in the neighbors: scalable and accurate collaborative filtering. ACM TKDD 4.
    """
    scale = power_of_two(y)  # a regression is linear in y, and squares must not overflow
    w = np.ones(len(y)) if weights is None else weights.astype(np.float64)
    w_scale = power_of_two(w)
    w, target = w / w_scale, y / scale
    mu = np.average(target, weights=w) if mean is None else mean / scale
    feature_means, deviations = _moments(features, w)
    X = (features - feature_means) / deviations
    system = _system(codes, w, shape, X, np.asarray(alphas) / w_scale)
    right = _right(codes, w, shape, X, target - mu)
    solution = conjugate_gradient(system, right, system.diagonal())
    user_bias, item_bias, beta = np.split(solution * scale, [shape[0], shape[0] + shape[1]])
    user_bias, item_bias = (bias.astype(y.dtype) for bias in (user_bias, item_bias))
    return Baseline(float(mu * scale), user_bias, item_bias, beta / deviations, feature_means)


def _moments(features, w):
    """Return the weighted mean and standard deviation of each feature; a constant one deviates by infinity."""
    p = features.shape[1]
    means, deviations = np.zeros(p), np.full(p, np.inf)
    for f in range(p):
        x = features[:, f].astype(np.float64)
        size = power_of_two(x)
        means[f] = np.average(x / size, weights=w) * size
        spread = np.sqrt(np.average(((x - means[f]) / size) ** 2, weights=w)) * size
        if spread > 1e-12 * size and spread > 1e-300:
            deviations[f] = spread
    return means, deviations


@dataclass(frozen=True)
class _System:
    """The normal equations of the regression, in blocks of users, items and features."""

    pairs: sp.csr_array  # the weight of each pair of user and item
    pairs_by_item: sp.csr_array
    users: np.ndarray  # the diagonal blocks, penalties added
    items: np.ndarray
    by_user: np.ndarray  # (n_users, p) sums of w x
    by_item: np.ndarray
    gram: np.ndarray

    def __matmul__(self, v):
        b_u, b_i, beta = np.split(v, [len(self.users), len(self.users) + len(self.items)])
        return np.concatenate(
            [
                self.users * b_u + self.pairs @ b_i + self.by_user @ beta,
                self.pairs_by_item @ b_u + self.items * b_i + self.by_item @ beta,
                b_u @ self.by_user + b_i @ self.by_item + self.gram @ beta,
            ]
        )

    def diagonal(self):
        return np.concatenate([self.users, self.items, np.diagonal(self.gram)])


def _system(codes, w, shape, X, alphas):
    pairs = sp.csr_array((w, codes), shape=shape)
    pairs.sum_duplicates()
    by_user, by_item = (_sums(code, w, X, n) for code, n in zip(codes, shape))
    users, items = (np.bincount(code, w, minlength=n) + 2 * a for code, n, a in zip(codes, shape, alphas))
    gram = X.T @ (X * w[:, np.newaxis]) + 2 * alphas[2] * np.eye(X.shape[1])
    return _System(pairs, sp.csr_array(pairs.T), users, items, by_user, by_item, gram)


def _right(codes, w, shape, X, residuals):
    weighted = w * residuals
    biases = [np.bincount(code, weighted, minlength=n) for code, n in zip(codes, shape)]
    return np.concatenate([*biases, X.T @ weighted])


def _sums(code, w, X, n):
    sums = np.empty((n, X.shape[1]))
    for f in range(X.shape[1]):
        sums[:, f] = np.bincount(code, w * X[:, f], minlength=n)
    return sums


def conjugate_gradient(A, b, diagonal):
    """Solve a symmetric system that may be singular if consistent; rows of zero diagonal stay 0.

    Parameters
    ----------
    A : object with ``@``
        Positive semi-definite.
    b : ndarray of shape (n,)
        The right-hand side.
    diagonal : ndarray of shape (n,)
        Of A, the preconditioner.

    Returns
    -------
    x : ndarray of shape (n,)
        The solution.
    """
    inverse = np.divide(1.0, diagonal, out=np.zeros_like(diagonal), where=diagonal > 0)
    x, r = np.zeros_like(b), b.copy()
    z = inverse * r
    p, rz = z, r @ z
    end = rz * _ACCURACY**2
    for _ in range(_MOST_STEPS):
        if rz <= end:
            break
        Ap = A @ p
        curvature = p @ Ap
        if curvature <= 0:
            break
        step = rz / curvature
        x = x + step * p
        r = r - step * Ap
        z = inverse * r
        previous, rz = rz, r @ z
        p = z + (rz / previous) * p
    return x
