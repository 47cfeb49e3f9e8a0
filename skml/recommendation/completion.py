"""Low-rank matrices by singular values: plain truncated SVD, soft-impute where entries are missing, and starts.

For ratings r with weights w, which the caller has centred, ::

    J = 1/2 sum w (r - z)^2 + 2 alpha |Z|_*        over Z = U diag(s) V' of rank k at most

|Z|_* is the sum of singular values, and 2 |Z|_* the least |P|^2 + |Q|^2 of all PQ' = Z (Srebro, Rennie & Jaakkola
2004): the same J as that of the other solvers with ``alpha (|P|^2 + |Q|^2)``, at the factors P = U sqrt(s) and
Q = V sqrt(s).

When nothing is missing, Z is the truncated SVD with its singular values lowered by 2 alpha. Otherwise each iteration
fills what is missing with the present Z (Mazumder, Hastie & Tibshirani 2010),

    F(Z | Y) = 1/2 w_max |Y + (w / w_max) (r - Y) - Z|^2 + 2 alpha |Z|_* >= J(Z) - J(Y) + F(Y | Y)

and lowers F by one round of subspace iteration that starts from Z, so that J never increases. The filled matrix is a
sparse one plus one of low rank (Hastie, Mazumder, Lee & Zadeh 2015) and is never written out. Y is Z pushed on along
its last step (Yao & Kwok 2015); a push after which J would be larger is taken back.
"""

import functools
from dataclasses import dataclass, replace

import numpy as np

from skml import _kernels
from skml._kernels import blas_threads
from skml.recommendation.descent import Motion, accelerated, descent_steps, step_of
from skml.recommendation.least_squares import solve_rows
from skml.recommendation.singular import randomized_svd, signed, truncated_svd
from skml.recommendation.slices import row_slices


@dataclass(frozen=True)
class Completion:
    """A matrix of low rank by its singular value decomposition, and where the iteration has come to.

    Attributes
    ----------
    left, right : ndarray of shape (n_users, k), (n_items, k)
        U and V: orthonormal columns; the largest entry of each column of V is positive.
    sizes : ndarray of shape (k,)
        The singular values s, descending; some may be 0.
    objective : float
        J.
    squared_error : float
        The weighted sum of squared residuals.
    """

    left: np.ndarray
    sizes: np.ndarray
    right: np.ndarray
    objective: float = np.inf
    squared_error: float = np.inf


@dataclass(frozen=True)
class _Filled:
    """The matrix Y + (w / w_max) (r - Y), zero weights where nothing is known, with Y = left right'."""

    by_user: object
    by_item: object
    left: np.ndarray
    right: np.ndarray
    largest: float
    n_threads: int

    def times(self, V):
        """Return the product with V of shape (n_items, width), and the weighted squared error of Y."""
        return _filled_product(self.by_user, self.left, self.right, V, self)

    def transposed_times(self, U):
        """Return the product of the transpose with U of shape (n_users, width)."""
        return _filled_product(self.by_item, self.right, self.left, U, self)[0]


@blas_threads(1)
def _filled_product(ratings, left, right, basis, filled):
    out, errors = np.empty((len(left), basis.shape[1]), basis.dtype), np.empty(len(left))
    arrays = *ratings.arrays(), left, right, basis, out, errors
    for rows in row_slices(ratings.indptr, left.shape[1] + basis.shape[1] + 8):
        _kernels.coordinate.residual_products(*arrays, rows.start, rows.stop, filled.n_threads)
    out /= np.asarray(filled.largest, out.dtype)
    return out + left @ (right.T @ basis), float(errors.sum())


def _unfilled(ratings, by_item, n_threads):
    """Return the ratings as a matrix with zeros where nothing is known; weights count relative to the largest."""
    nothing = (np.empty((size, 0), ratings.data.dtype) for size in (ratings.n_rows, ratings.n_columns))
    return _Filled(ratings, by_item, *nothing, largest_weight(ratings), n_threads)


def largest_weight(ratings):
    """Return the largest weight."""
    return 1.0 if ratings.weights is None or not len(ratings.weights) else float(ratings.weights.max())


def is_complete(ratings):
    """Tell whether every user has rated every item, all with the same weight."""
    n_entries = len(ratings.data)
    complete = n_entries == ratings.n_rows * ratings.n_columns > 0
    return complete and (ratings.weights is None or bool((ratings.weights == ratings.weights[0]).all()))


# ------------------------------------------------------------------------------------------------- completion


def completion_steps(ratings, n_components, *, alpha, start=None, seed=0, max_iter=100, tol=1e-5, n_threads=1):
    """Minimise J: at once when nothing is missing, else by iteration.

    Parameters
    ----------
    ratings : Ratings
        The centred ratings, of float32 or float64.
    n_components : int
        k, at most the number of users and that of items.
    alpha : float
        At least 0.
    start : Completion, Motion or None, default=None
        Where to start, with k columns; a motion, of the same problem, goes on as if it had not been cut short; None
        starts from the matrix with zeros where nothing is known.
    seed : int, default=0
        Of the start's random directions.
    max_iter : int, default=100
        At most so many iterations.
    tol : float, default=1e-5
        Ends when an iteration after the first lowers J by no more than this times itself.
    n_threads : int, default=1
        It does not show in the result.

    Yields
    ------
    step : Step
        State :class:`Motion`, of a :class:`Completion`; metrics "objective" and "rmse".
    """
    if is_complete(ratings):
        yield step_of(Motion(_plain(ratings, n_components, alpha)), ratings.total_weight, True)
        return
    by_item = ratings.flipped()[0]
    problem = _Imputation(ratings, by_item, alpha, largest_weight(ratings), n_threads)
    if start is None:
        start = problem.shrunk(*randomized_svd(_unfilled(ratings, by_item, n_threads), n_components, seed))
    goes_on = isinstance(start, Motion)
    motion = start if goes_on else Motion(problem.evaluated(start))
    motions = accelerated(motion, functools.partial(_filled_once, problem))
    before = motion.current.objective if goes_on else np.inf
    yield from descent_steps(motions, before, ratings.total_weight, max_iter, tol)


def _plain(ratings, n_components, alpha):
    """Return the minimiser of J when nothing is missing."""
    A, weight = ratings.data.reshape(ratings.n_rows, ratings.n_columns), largest_weight(ratings)
    U, full, V = truncated_svd(A, n_components)
    sizes = np.maximum(full - np.asarray(2 * alpha / weight, full.dtype), 0)
    # |A - Z|^2 = |A|^2 - sum s^2 + sum (s - sizes)^2
    rest = np.square(A, dtype=np.float64).sum() - np.square(full, dtype=np.float64).sum()
    error = weight * (max(0.0, float(rest)) + float(np.square(full - sizes, dtype=np.float64).sum()))
    return Completion(U, sizes, V, error / 2 + 2 * alpha * float(sizes.sum(dtype=np.float64)), error)


@dataclass(frozen=True)
class _Imputation:
    """What does not change while missing entries are filled."""

    by_user: object
    by_item: object
    alpha: float
    largest: float
    n_threads: int

    def filled(self, left, right):
        return _Filled(self.by_user, self.by_item, left, right, self.largest, self.n_threads)

    def shrunk(self, U, s, V):
        """Return the minimiser of F whose row space is that of V; s are the filled matrix's singular values there."""
        threshold = np.asarray(2 * self.alpha / self.largest, s.dtype)
        return Completion(U, np.maximum(s - threshold, 0), V)

    def evaluated(self, completion):
        """Return the completion with its J."""
        nothing = np.empty((len(completion.right), 0), completion.right.dtype)
        error = self.filled(completion.left * completion.sizes, completion.right).times(nothing)[1]
        size = float(completion.sizes.sum(dtype=np.float64))
        return replace(completion, objective=error / 2 + 2 * self.alpha * size, squared_error=error)


@blas_threads(1)
def _filled_once(problem, current, before, push):
    """Return the completion after one round of subspace iteration on the matrix filled with a pushed Z."""
    left, right = current.left * current.sizes, current.right
    if push > 0:
        step = np.asarray(push, left.dtype)
        left = np.hstack([left * (1 + step), before.left * (before.sizes * -step)])
        right = np.hstack([right, before.right])
    filled = problem.filled(np.ascontiguousarray(left), np.ascontiguousarray(right))
    V = np.linalg.qr(filled.transposed_times(current.left))[0]
    Q, R = np.linalg.qr(filled.times(V)[0])
    U, s, rotation = np.linalg.svd(R)
    return problem.evaluated(problem.shrunk(*signed(Q @ U, s, V @ rotation.T)))


def fold(ratings, completion, alpha, *, n_threads=1):
    """Return the rows of U diag(s) that minimise J for users given by their centred ratings, V and s being given.

    Parameters
    ----------
    ratings : Ratings
        Of the items of `completion`.
    completion : Completion
        Whose V and s are used.
    alpha : float
        Of J.
    n_threads : int, default=1
        It does not show in the result.

    Returns
    -------
    scores : ndarray of shape (n_rows, k)
        ``scores @ V.T`` are the predictions.
    """
    roots = np.sqrt(completion.sizes)
    Q = completion.right * roots
    k = len(roots)
    P = np.zeros((ratings.n_rows, k), dtype=Q.dtype)
    quadratic = np.zeros((k, k)), np.full(k, 2.0 * alpha), np.ones(ratings.n_rows)
    solve_rows(ratings, Q, np.zeros(len(Q), dtype=Q.dtype), quadratic, P, n_threads=n_threads)
    return P * roots


# ------------------------------------------------------------------------------------------------- starts


def svd_start(ratings, n_components, seed, *, n_threads=1):
    """Return starting factors from a truncated SVD of the centred ratings, with 0 where nothing is known.

    Parameters
    ----------
    ratings : Ratings
        The centred ratings, of float32 or float64.
    n_components : int
        k; beyond the rank of the ratings the columns are small random numbers.
    seed : int
        Of the random directions.
    n_threads : int, default=1
        It does not show in the result.

    Returns
    -------
    users, items : ndarray of shape (n_users, k), (n_items, k)
        U sqrt(s) and V sqrt(s).
    """
    shape = ratings.n_rows, ratings.n_columns
    matrix = _unfilled(ratings, ratings.flipped()[0], n_threads)
    U, s, V = randomized_svd(matrix, min(n_components, *shape), seed)
    kept = int(np.count_nonzero(s > s.max(initial=0.0) * max(shape) * np.finfo(s.dtype).eps))
    unit = np.sqrt(s[:kept].min(initial=1.0) / max(shape)) / 10
    noise, sides = np.random.default_rng([seed, 1]), []
    for vectors, size in zip((U, V), shape):
        side = noise.standard_normal((size, n_components)) * unit
        side[:, :kept] = vectors[:, :kept] * np.sqrt(s[:kept])
        sides.append(side.astype(U.dtype))
    return sides[0], sides[1]


def nonnegative_start(ratings, n_components, seed, *, n_threads=1):
    """Return non-negative starting factors by NNDSVD (Boutsidis & Gallopoulos 2008); missing entries count as the mean.

    Parameters
    ----------
    ratings : Ratings
        The ratings as they are, of float32 or float64.
    n_components : int
        k.
    seed : int
        Of the random directions, and of the columns beyond the rank.
    n_threads : int, default=1
        It does not show in the result.

    Returns
    -------
    users, items : ndarray of shape (n_users, k), (n_items, k)
        No entry is negative.
    """
    shape, dtype = (ratings.n_rows, ratings.n_columns), ratings.data.dtype
    mean = max(0.0, float(ratings.data.mean(dtype=np.float64))) if len(ratings.data) else 0.0
    ratings = replace(ratings, weights=None)  # what is known is taken as it is
    left, right = np.full((shape[0], 1), mean, dtype), np.ones((shape[1], 1), dtype)
    filled = _Filled(ratings, ratings.flipped()[0], left, right, 1.0, n_threads)
    U, s, V = randomized_svd(filled, min(n_components, *shape), seed)
    unit = np.sqrt((mean or 1.0) / n_components)
    noise = np.random.default_rng([seed, 1])
    users, items = (noise.random((size, n_components)) * unit for size in shape)
    for t in range(len(s)):
        users[:, t], items[:, t] = _nonnegative_pair(U[:, t].astype(np.float64), V[:, t].astype(np.float64), s[t])
    return users.astype(dtype), items.astype(dtype)


def _nonnegative_pair(u, v, size):
    """Return the larger of the pairs of positive and of negative parts, each scaled to the root of the pair's size."""
    pairs = [(np.maximum(sign * u, 0), np.maximum(sign * v, 0)) for sign in (1, -1)]
    products = [np.linalg.norm(a) * np.linalg.norm(b) for a, b in pairs]
    best = int(products[1] > products[0])
    (a, b), root = pairs[best], np.sqrt(size * products[best])
    return (a * (root / max(np.linalg.norm(a), 1e-300)), b * (root / max(np.linalg.norm(b), 1e-300)))
