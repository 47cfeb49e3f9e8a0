"""Profiles of users over the attributes of items: what an item is tells how a user will like it.

A profile p is a sum over the user's past interactions, p = Σ_i c_i a_i, with a_i the attributes of item i. So the score
of an item j, pᵀa_j = Σ_i c_i a_iᵀa_j, is a sum of what each past interaction says. States of users are profiles where
attributes are dense, and rows of coefficients c where they are sparse, for then a profile would be long.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from skml._kernels import blas_threads
from skml.base import chunk_slices, require_memory
from skml.recommendation.baseline import conjugate_gradient
from skml.recommendation.reconstruction import row_products

_BATCH_BYTES = 2**25
_SHARED_BYTES = 2**28  # the most that the products of all items with each other may take

# ------------------------------------------------------------------------------------------------- ridge


@dataclass(frozen=True)
class _Problem:
    """Of each user: (Σ v a aᵀ + α I) p = Σ b a over the interactions."""

    indptr: np.ndarray
    indices: np.ndarray
    v: np.ndarray
    b: np.ndarray
    attributes: object
    alpha: float


def ridge_states(ratings, attributes, alpha, *, confidence=False, n_threads=1):
    """Return the states of users by ridge regression of their ratings on the items' attributes.

    Of each user by itself: min_p Σ_i w_i (r_i - a_iᵀp)² + α ‖p‖², without an intercept.

    Parameters
    ----------
    ratings : Ratings
        The users' interactions; an intercept, biases or means are taken off before.
    attributes : ndarray or CSR of shape (n_items, n_attributes)
        Of all items.
    alpha : float
        The penalty, above 0.
    confidence : bool, default=False
        Whether the ratings, times their weights, are confidences c > 0 that the user likes the item, the confidence
        of no interaction being 1: min_p Σ_all c_i ([i is one of the user's] - a_iᵀp)² + α ‖p‖². Then `attributes` are
        whitened with that α (:func:`whitening`) and the `alpha` here is 1.
    n_threads : int, default=1
        Threads; the result does not depend on it.

    Returns
    -------
    states : ndarray of shape (n_users, n_attributes), or CSR of shape (n_users, n_items)
        Profiles; coefficients if `attributes` are sparse. Users without interactions have zeros.
    """
    problem = _posed(ratings, attributes, alpha, confidence)
    if sp.issparse(attributes):
        return _compressed(ratings, _solve(problem, n_threads))
    profiles = np.zeros((ratings.n_rows, attributes.shape[1]))
    states = _compressed(ratings, _solve(problem, n_threads, profiles)) @ attributes
    direct = np.diff(ratings.indptr) > attributes.shape[1]
    states[direct] = profiles[direct]
    return states


@blas_threads(1)
def ridge_reasons(ratings, attributes, wanted, alpha, *, confidence=False):
    """Return what each past interaction of one user adds to the score of one item: a^T (A^T V A + α I)^-1 a_i b_i.

    The profile is linear in what the user has said, and these are its terms. The coefficients of :func:`ridge_states`
    add up to the score as well, but they are residuals, near nothing where the fit is close.

    Parameters
    ----------
    ratings : Ratings
        One row, the user's interactions.
    attributes, alpha, confidence
        As in :func:`ridge_states`.
    wanted : ndarray or CSR of shape (1, n_attributes)
        The attributes of the item.

    Returns
    -------
    contributions : ndarray of shape (n_past,)
        Of the ratings' type.
    """
    problem, own = _posed(ratings, attributes, alpha, confidence), attributes[ratings.indices].astype(np.float64)
    alpha = problem.alpha
    if own.shape[0] > own.shape[1]:
        a = _dense(own)
        left = (a * problem.v[:, None]).T @ a + alpha * np.eye(a.shape[1])
        terms = a @ np.linalg.solve(left, _dense(wanted).ravel().astype(np.float64))
    else:
        # (V A A^T + α I)^-T A a
        left = problem.v[:, None] * _dense(own @ own.T) + alpha * np.eye(own.shape[0])
        terms = np.linalg.solve(left.T, _dense(own @ wanted.T).ravel())
    return (problem.b * terms).astype(ratings.data.dtype, copy=False)


def _dense(matrix):
    return matrix.toarray() if sp.issparse(matrix) else matrix


def whitening(attributes, alpha):
    """Return the matrix by which attributes are multiplied so that all items together weigh nothing more.

    With L Lᵀ = AᵀA + α I and ã = L⁻¹ a, the sum over all items of `ridge_states(confidence=True)` is the same for
    every user: it is shared, and what is left is a sum over the user's own items.

    Parameters
    ----------
    attributes : ndarray of shape (n_items, n_attributes)
        Of all items.
    alpha : float
        The penalty, above 0.

    Returns
    -------
    back : ndarray of shape (n_attributes, n_attributes)
        L⁻ᵀ: whitened attributes are ``attributes @ back``, those of new items too.
    """
    A = attributes.astype(np.float64, copy=False)
    with blas_threads(1):  # LAPACK's bits change with the number of BLAS threads
        L = np.linalg.cholesky(A.T @ A + alpha * np.eye(A.shape[1]))
        return np.linalg.inv(L).T.astype(attributes.dtype)


def _posed(ratings, attributes, alpha, confidence):
    r = ratings.data.astype(np.float64, copy=False)
    w = 1.0 if ratings.weights is None else ratings.weights.astype(np.float64, copy=False)
    # Σ_all c_i ([i is the user's] - aᵀp)²: the ones of all items are in the whitening, c - 1 is what is over
    v, b = (w * r - 1, w * r) if confidence else (w * np.ones_like(r), w * r)
    return _Problem(ratings.indptr, ratings.indices, v, b, attributes, float(alpha))


def _compressed(ratings, coefficients):
    return ratings.with_data(coefficients.astype(ratings.data.dtype, copy=False)).matrix()


@blas_threads(1)
def _solve(problem, n_threads, profiles=None):
    """Return the coefficients of all interactions; the profiles of users with many are written into `profiles`."""
    coefficients = np.zeros(len(problem.indices))
    shared = _shared_products(problem)

    def work(users):
        _solve_batch(problem, users, shared, coefficients, profiles)

    batches = list(_batches(problem))
    if n_threads == 1:
        for users in batches:
            work(users)
    else:
        with ThreadPoolExecutor(n_threads) as pool:
            list(pool.map(work, batches))
    return coefficients


def _batches(problem):
    """Yield users of about the same number of interactions, as many at a time as fit the cache."""
    lengths, d = np.diff(problem.indptr), problem.attributes.shape[1]
    order = np.argsort(lengths, kind="stable")
    sizes = lengths[order]
    start = int(np.searchsorted(sizes, 1))
    while start < len(order):
        longest = int(sizes[start] + sizes[start] // 4)
        many = sizes[start] > d
        stop = int(np.searchsorted(sizes, longest if many else min(longest, d), side="right"))
        bytes_per_user = 8 * (longest * d + d * d if many else longest * (longest + (d if _is_dense(problem) else 0)))
        stop = min(stop, start + max(1, _BATCH_BYTES // bytes_per_user))
        yield order[start:stop]
        start = stop


def _is_dense(problem):
    return not sp.issparse(problem.attributes)


def _shared_products(problem):
    """Return the products of all items with each other where users need them often enough, else None."""
    A = problem.attributes
    lengths = np.diff(problem.indptr).astype(np.float64)
    needed = np.sum(lengths[lengths <= A.shape[1]] ** 2)
    if 8 * A.shape[0] ** 2 > _SHARED_BYTES or needed < A.shape[0] ** 2:
        return None
    A = A.astype(np.float64)
    return (A @ A.T).toarray() if sp.issparse(A) else A @ A.T


def _solve_batch(problem, users, shared, coefficients, profiles):
    lengths = problem.indptr[users + 1] - problem.indptr[users]
    inside = np.arange(lengths.max()) < lengths[:, None]
    at = np.where(inside, problem.indptr[users][:, None] + np.arange(lengths.max()), 0)
    # What pads the shorter users has v = b = 0, and with it the coefficient 0.
    items, v, b = problem.indices[at], np.where(inside, problem.v[at], 0), np.where(inside, problem.b[at], 0)
    if lengths.max() > problem.attributes.shape[1]:
        a = _rows(problem.attributes, items)
        p = _direct(a, v, b, problem.alpha)
        c = (b - v * (a @ p[:, :, None])[:, :, 0]) / problem.alpha
        if profiles is not None:
            profiles[users] = p
    else:
        c = _dual(_products(problem.attributes, items, shared), v, b, problem.alpha)
    coefficients[at[inside]] = c[inside]


def _direct(a, v, b, alpha):
    # (Σ v a aᵀ + α I) p = Σ b a
    left = (a * v[:, :, None]).transpose(0, 2, 1) @ a + alpha * np.eye(a.shape[2])
    return np.linalg.solve(left, a.transpose(0, 2, 1) @ b[:, :, None])[:, :, 0]


def _dual(products, v, b, alpha):
    # p = Aᵀc with (V A Aᵀ + α I) c = b
    left = v[:, :, None] * products + alpha * np.eye(products.shape[1])
    return np.linalg.solve(left, b[:, :, None])[:, :, 0]


def _rows(attributes, items):
    """Return the attributes of items as a dense array of shape (*items.shape, n_attributes)."""
    if sp.issparse(attributes):
        require_memory(8 * items.size * attributes.shape[1], "A ridge regression on sparse attributes")
        return attributes[items.ravel()].toarray().reshape(*items.shape, -1).astype(np.float64, copy=False)
    return attributes[items].astype(np.float64, copy=False)


def _products(attributes, items, shared):
    """Return the products of each user's items with each other."""
    if shared is not None:
        return shared[items[:, :, None], items[:, None, :]]
    if sp.issparse(attributes):
        require_memory(16 * items.size * items.shape[1], "The ridge regression of users with many interactions")
        some = (attributes[own].astype(np.float64) for own in items)
        return np.stack([(a @ a.T).toarray() for a in some])
    a = _rows(attributes, items)
    return a @ a.transpose(0, 2, 1)


# --------------------------------------------------------------------------------- what all users share


@dataclass(frozen=True)
class _Gram:
    """AᵀWA + α I, for products with vectors."""

    attributes: object
    weights: np.ndarray
    alpha: float

    def __matmul__(self, v):
        return self.attributes.T @ (self.weights * (self.attributes @ v)) + self.alpha * v

    def diagonal(self):
        A = self.attributes
        squares = A.multiply(A) if sp.issparse(A) else A * A
        return squares.T @ self.weights + self.alpha


@blas_threads(1)
def common_profile(attributes, values, weights, alpha):
    """Return what attributes are worth to everybody, by ridge regression of the items' values on them.

    min_p Σ_i w_i (v_i - a_iᵀp)² + α ‖p‖².

    Parameters
    ----------
    attributes : ndarray or CSR of shape (n_items, n_attributes)
        Of the items.
    values : ndarray of shape (n_items,)
        Such as their biases.
    weights : ndarray of shape (n_items,)
        Such as how often they were rated.
    alpha : float
        The penalty, above 0.

    Returns
    -------
    profile : ndarray of shape (n_attributes,)
        Of the attributes' type.
    """
    A, w = attributes.astype(np.float64), weights.astype(np.float64)
    scale = max(float(np.max(np.abs(values), initial=0)), np.finfo(np.float64).tiny)
    system = _Gram(A, w, float(alpha))
    solution = conjugate_gradient(system, A.T @ (w * (values / scale)), system.diagonal())
    return (solution * scale).astype(attributes.dtype)


# ----------------------------------------------------------------------------------------------- Rocchio


def liked(ratings, threshold, middle):
    """Return which interactions speak for their item.

    Parameters
    ----------
    ratings : Ratings
        The users' interactions.
    threshold : float or None
        Ratings of at least this; None means at least the user's weighted mean. Users whose ratings are all one number
        have no such scale of their own: they are compared with `middle`.
    middle : float
        The mean of all ratings in training.

    Returns
    -------
    liked : ndarray of shape (n_interactions,), bool
        Those that do.
    """
    if threshold is not None:
        return ratings.data >= threshold
    rows, n_users = ratings.rows(), ratings.n_rows
    r = ratings.data.astype(np.float64)
    low, high = np.full(n_users, np.inf), np.full(n_users, -np.inf)
    np.minimum.at(low, rows, r)
    np.maximum.at(high, rows, r)
    bound = np.where(low == high, middle, ratings.row_means())
    return r >= bound[rows]


def rocchio_coefficients(ratings, attributes, speaks_for, gamma):
    """Return the coefficient of each interaction in the user's centroid (Rocchio 1971).

    p = Σ_liked w a / Σ_liked w - γ Σ_others w a / Σ_others w, brought to length 1.

    Parameters
    ----------
    ratings : Ratings
        The users' interactions; their weights count.
    attributes : ndarray or CSR of shape (n_items, n_attributes)
        Rows of length 1, so that scores are cosines.
    speaks_for : ndarray of shape (n_interactions,), bool
        From :func:`liked`.
    gamma : float
        How much the others count, at least 0.

    Returns
    -------
    coefficients : ndarray of shape (n_interactions,)
        Of the ratings' type; zeros for users whose centroid is 0.
    """
    rows, w = ratings.rows(), ratings.filled_weights().astype(np.float64)
    side = 2 * rows.astype(np.int64) + speaks_for
    share = w / np.bincount(side, w, 2 * ratings.n_rows)[side]
    coefficients = np.where(speaks_for, share, -gamma * share)
    lengths = _lengths(ratings.with_data(coefficients).matrix(), attributes)
    # what cancels but for rounding has no direction
    scale = np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 1e-10 * (1 + gamma))
    return (coefficients * scale[rows]).astype(ratings.data.dtype)


def rocchio_states(ratings, attributes, speaks_for, gamma):
    """Return the states of users by their centroids; parameters as in :func:`rocchio_coefficients`.

    Returns
    -------
    states : ndarray of shape (n_users, n_attributes), or CSR of shape (n_users, n_items)
        Profiles of length 1; coefficients if `attributes` are sparse. Users without interactions have zeros.
    """
    states = _compressed(ratings, rocchio_coefficients(ratings, attributes, speaks_for, gamma))
    return states if sp.issparse(attributes) else states @ attributes


def _lengths(states, attributes):
    lengths = np.empty(states.shape[0])
    for rows in chunk_slices(states.shape[0], 16 * attributes.shape[1]):
        profiles = states[rows] @ attributes
        squares = profiles.multiply(profiles) if sp.issparse(profiles) else profiles**2
        lengths[rows] = np.sqrt(np.asarray(squares.sum(axis=1)).ravel())
    return lengths


# ------------------------------------------------------------------------------------------------ scores


@dataclass(frozen=True)
class People:
    """What is known of some users.

    Attributes
    ----------
    bias : ndarray of shape (n_users,)
        How much more than others each of them gives.
    profiles : ndarray of shape (n_users, n_attributes), or CSR of shape (n_users, n_items)
        Their states.
    """

    bias: np.ndarray
    profiles: object

    def __len__(self):
        return len(self.bias)

    def __getitem__(self, users):
        return People(self.bias[users], self.profiles[users])

    def among(self, n_items):
        """Return the same with coefficients for as many items; further ones have none."""
        if not sp.issparse(self.profiles):
            return self
        p = self.profiles
        return People(self.bias, sp.csr_array((p.data, p.indices, p.indptr), shape=(len(self), n_items)))


def profiles_of(states, attributes):
    """Return the profiles of users.

    Parameters
    ----------
    states : ndarray of shape (n_users, n_attributes), or CSR of shape (n_users, n_items)
        Profiles, or coefficients of `attributes`.
    attributes : ndarray or CSR of shape (n_items, n_attributes)
        Of the items that users were fitted on.

    Returns
    -------
    profiles : ndarray or CSR of shape (n_users, n_attributes)
        Sparse where states are.
    """
    return states @ attributes if sp.issparse(states) else states


def content_scores(states, attributes, wanted):
    """Return how well each wanted item fits each user, profile times attributes.

    Parameters
    ----------
    states : ndarray of shape (n_users, n_attributes), or CSR of shape (n_users, n_items)
        Profiles, or coefficients of `attributes`.
    attributes : ndarray or CSR of shape (n_items, n_attributes)
        Of the items that users were fitted on.
    wanted : ndarray or CSR of shape (n_wanted, n_attributes)
        The attributes of the items to score; nobody need have rated them.

    Returns
    -------
    scores : ndarray of shape (n_users, n_wanted)
        In chunks of users inside; the caller asks for as many as it can hold.
    """
    if not sp.issparse(states):
        return row_products(states, wanted, 1)
    scores = np.empty((states.shape[0], wanted.shape[0]), states.dtype)
    for rows in chunk_slices(states.shape[0], 16 * (wanted.shape[0] + wanted.shape[1])):
        scores[rows] = (wanted @ (states[rows] @ attributes).toarray().T).T
    return scores


def content_pairs(states, attributes, users, wanted):
    """Return the score of one item per user.

    Parameters
    ----------
    states : ndarray of shape (n_users, n_attributes), or CSR of shape (n_users, n_items)
        Profiles, or coefficients of `attributes`.
    attributes : ndarray or CSR of shape (n_items, n_attributes)
        Of the items that users were fitted on.
    users : ndarray of shape (n_pairs,), int
        Rows of `states`.
    wanted : ndarray of shape (n_pairs,), int
        Rows of `attributes`.

    Returns
    -------
    scores : ndarray of shape (n_pairs,)
        Of the states' type.
    """
    scores = np.empty(len(users), states.dtype)
    for some in chunk_slices(len(users), 32 * attributes.shape[1]):
        profiles, a = profiles_of(states[users[some]], attributes), attributes[wanted[some]]
        if sp.issparse(a):
            scores[some] = np.asarray(a.multiply(profiles).sum(axis=1)).ravel()
        else:
            scores[some] = np.einsum("ij,ij->i", profiles, a)
    return scores


def contributions(coefficients, own, wanted):
    """Return what each past interaction of one user adds to the score of one item: c_i a_iᵀa.

    Parameters
    ----------
    coefficients : ndarray of shape (n_past,)
        Of the user's interactions, from :func:`rocchio_coefficients`.
    own : ndarray or CSR of shape (n_past, n_attributes)
        The attributes of the items of those interactions.
    wanted : ndarray or CSR of shape (1, n_attributes)
        The attributes of the item.

    Returns
    -------
    contributions : ndarray of shape (n_past,)
        They add up to the score.
    """
    products = own @ wanted.T
    return coefficients * (products.toarray() if sp.issparse(products) else products).ravel()


def line_through(scores, data, weights=None):
    """Return the line that turns scores into ratings: least squares of data on scores.

    Parameters
    ----------
    scores, data : ndarray of shape (n,)
        One pair per interaction.
    weights : ndarray of shape (n,) or None
        Positive; None means 1 everywhere.

    Returns
    -------
    slope, intercept : float
        The slope is 0 where all scores are equal.
    """
    w = np.ones(len(scores)) if weights is None else weights.astype(np.float64)
    x, y = scores.astype(np.float64), data.astype(np.float64)
    x_mean, y_mean = np.average(x, weights=w), np.average(y, weights=w)
    spread = np.sum(w * (x - x_mean) ** 2)
    slope = np.sum(w * (x - x_mean) * (y - y_mean)) / spread if spread > 0 else 0.0
    return float(slope), float(y_mean - slope * x_mean)
