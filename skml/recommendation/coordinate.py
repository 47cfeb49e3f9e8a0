"""Coordinate descent: rank-one updates with the residual kept up (CCD++), and its two constrained problems.

The model and its objective, for ratings r with weights w::

    r_ui ~ mean + b_u + b_i + p_u'q_i
    J = 1/2 sum w (r - mean - b_u - b_i - p_u'q_i)^2
        + users sum s_u |p_u|^2 + items sum s_i |q_i|^2 + biases (sum s_u b_u^2 + sum s_i b_i^2)

where s is 1, or the total weight of the row's interactions (weighted lambda, Zhou, Wilkinson, Schreiber & Pan 2008).
CCD++ (Yu, Hsieh, Si & Dhillon 2012) minimises J over one coordinate of all users, then of all items, the biases being
coordinates that multiply 1. Each minimiser is exact, so J never increases.

"nonnegative" bounds the coordinates of p and q by 0: a coordinate's minimiser is then the larger of the free one and 0
(Cichocki & Phan 2009), and without mean and biases the model is non-negative matrix factorization of what is observed.

"orthogonal" asks for Q'Q = I and has no penalty on Q, whose size is given. Any matrix of rank k is such a PQ', so the
constraint chooses coordinates and leaves the problem

    min over X of rank k:   1/2 sum w (r - ... - x_ui)^2 + users sum s_u |x_u|^2,     |p_u| = |x_u|

P given Q is ridge regression for each user. X = PQ' given P is least squares for each item with the penalty
q'(users sum s_u p_u p_u')q, after which Q = UR brings X back to the constraint as (PR')U', the orthogonalisation of
Hastie, Mazumder, Lee & Zadeh (2015, section 3). On complete data this is orthogonal iteration, and U spans what the
polar factor of R'P (the Procrustes solution, Schoenemann 1966) spans.
"""

from dataclasses import dataclass, replace

import numpy as np

from skml import _kernels
from skml._kernels import blas_threads
from skml.recommendation.descent import Motion, accelerated, descent_steps
from skml.recommendation.factors import Factors
from skml.recommendation.least_squares import solve_rows
from skml.recommendation.penalties import Penalties
from skml.recommendation.reconstruction import residuals, squared_error, squared_sum
from skml.recommendation.singular import sign_of_largest
from skml.recommendation.slices import row_slices


@dataclass(frozen=True)
class Descent:
    """Where a descent has come to.

    Attributes
    ----------
    factors : Factors
        The parameters.
    objective : float
        J.
    squared_error : float
        The weighted sum of squared residuals.
    """

    factors: Factors
    objective: float
    squared_error: float


def coordinate_steps(ratings, start, penalties, *, constraint=None, fit_bias=True, max_iter=100, tol=1e-5, n_threads=1):
    """Minimise J by sweeps over all coordinates, each component being refined once in a sweep (T = 1 of Yu et al.).

    Parameters
    ----------
    ratings : Ratings
        The interactions, of float32 or float64.
    start : Factors or Motion
        Where to start, in the type of the ratings; it is left as it is. A motion, of the same problem, goes on as if it
        had not been cut short. The mean stays. With "nonnegative" no
        coordinate is negative, mean and biases are 0; with "orthogonal" there are at least as many items as columns.
    penalties : Penalties
        Of J.
    constraint : {None, "nonnegative", "orthogonal"}, default=None
        See the head of this file.
    fit_bias : bool, default=True
        Whether biases are coordinates too; otherwise they stay. Not with "nonnegative".
    max_iter : int, default=100
        At most so many sweeps.
    tol : float, default=1e-5
        Ends when a sweep after the first lowers J by no more than this times itself.
    n_threads : int, default=1
        It does not show in the result.

    Yields
    ------
    step : Step
        State :class:`Motion`, of a :class:`Descent`; metrics "objective" and "rmse".
    """
    by_item = ratings.flipped()[0]
    if constraint == "orthogonal":
        penalties = replace(penalties, items=0.0)
    problem = _Problem(penalties, constraint, fit_bias, n_threads, penalties.scales(ratings))
    goes_on = isinstance(start, Motion)
    motion = start if goes_on else _started(ratings, by_item, start, problem)
    sweeps = _orthogonal_sweeps if constraint == "orthogonal" else _rank_one_sweeps
    motions = sweeps(ratings, by_item, motion, problem)
    before = motion.current.objective if goes_on else np.inf
    yield from descent_steps(motions, before, ratings.total_weight, max_iter, tol)


@dataclass(frozen=True)
class _Problem:
    """What does not change during a descent."""

    penalties: Penalties
    constraint: str | None
    fit_bias: bool
    n_threads: int
    scales: tuple

    def descent(self, factors, squared_error):
        return Descent(factors, squared_error / 2 + self.penalties.of(factors, self.scales), squared_error)


def _started(ratings, by_item, start, problem):
    """Return the motion of a descent that begins."""
    start = _settled(start, ratings, by_item)
    if problem.constraint == "orthogonal":
        start = _orthonormal(start)
    return Motion(problem.descent(start, squared_error(ratings, start, problem.n_threads)))


def _settled(factors, ratings, by_item):
    """Return the parameters with zeros for users and items without any interaction."""
    users, items = (np.diff(side.indptr) > 0 for side in (ratings, by_item))
    return Factors(
        factors.users * users[:, None],
        factors.items * items[:, None],
        factors.user_bias * users,
        factors.item_bias * items,
        factors.mean,
    )


# ------------------------------------------------------------------------------------------------- CCD++


@dataclass
class _Side:
    """The interactions by user or by item, with a residual of their own.

    The residual is up to date but for ``held[row] * change[column]``, what the other side has changed last: the next
    sweep over this side reads all of it anyway and subtracts that on the way.
    """

    ratings: object
    residual: np.ndarray
    scales: np.ndarray
    slices: list
    held: np.ndarray
    change: np.ndarray


def _side(ratings, scales):
    zeros = (np.zeros(size, ratings.data.dtype) for size in (ratings.n_rows, ratings.n_columns))
    return _Side(ratings, None, scales, row_slices(ratings.indptr, 8), *zeros)


def _rank_one_sweeps(ratings, by_item, motion, problem):
    """Yield the Motion after each sweep of CCD++."""
    sides = _side(ratings, problem.scales[0]), _side(by_item, problem.scales[1])

    def move(current, before, push):
        factors = current.factors
        if push > 0:
            factors = _pushed(factors, before.factors, push, problem.constraint == "nonnegative")
        _refresh(sides, factors, problem.n_threads)
        factors = _swept(sides, factors, problem)
        return problem.descent(factors, squared_sum(sides[1].residual, sides[1].ratings.weights))

    return accelerated(motion, move)


def _pushed(factors, before, push, nonnegative):
    """Return the factors moved on by so much of their last step, within what the constraint allows."""

    def moved(name):
        value = getattr(factors, name)
        value = value + np.asarray(push, value.dtype) * (value - getattr(before, name))
        return np.maximum(value, 0) if nonnegative else value

    return Factors(*(moved(name) for name in ("users", "items", "user_bias", "item_bias")), factors.mean)


def _swept(sides, factors, problem):
    """Return the factors after one sweep of CCD++; the sides' residuals follow."""
    # By component, so that a coordinate of all users or items lies together.
    components = np.array(factors.users.T, order="C"), np.array(factors.items.T, order="C")
    biases, ones = _copies(factors), [np.ones_like(bias) for bias in _copies(factors)]
    if problem.fit_bias:
        _alternate(sides, biases, ones, problem, biases=True)
    for pair in zip(*components):
        _alternate(sides, pair, pair, problem)
    return Factors(*(np.array(side.T, order="C") for side in components), *biases, factors.mean)


def _copies(factors):
    return [factors.user_bias.copy(), factors.item_bias.copy()]


def _refresh(sides, factors, n_threads):
    for side, its in zip(sides, (factors, factors.flipped())):
        side.residual = residuals(side.ratings, its, n_threads)
        side.change = np.zeros_like(side.change)


def _alternate(sides, own, other, problem, *, biases=False):
    """Minimise J over one coordinate of all users, then over one of all items.

    `own` are the coordinates of users and items, `other` what they are multiplied with, users' first; of factors they
    are the same two arrays.
    """
    charges = problem.penalties
    charges = (charges.biases,) * 2 if biases else (charges.users, charges.items)
    users, items = sides
    _descend(users, items, (own[0], other[1]), charges[0], problem)
    _descend(items, users, (own[1], other[0]), charges[1], problem)


def _descend(side, others, coordinates, charge, problem):
    """Minimise J over a coordinate `own` of the rows of `side`, which multiplies `x` of its columns."""
    own, x = coordinates
    before, pairs, (indptr, indices, _, weights) = own.copy(), np.column_stack([side.change, x]), side.ratings.arrays()
    arrays = indptr, indices, side.residual, weights, side.held, pairs, own
    low = 0.0 if problem.constraint == "nonnegative" else -np.inf
    for rows in side.slices:
        _kernels.coordinate.sweep_rows(*arrays, 2 * charge * side.scales, low, rows.start, rows.stop, problem.n_threads)
    others.held, others.change = x, own - before


# ------------------------------------------------------------------------------------------------- fold-in


def fold(ratings, factors, penalties, *, constraint=None, fit_bias=True, n_threads=1):
    """Return factors and biases of users that minimise J, the items' being given.

    Parameters
    ----------
    ratings : Ratings
        The users' interactions with the items of `factors`.
    factors : Factors
        Whose items, item biases and mean are used.
    penalties : Penalties
        Of J.
    constraint : {None, "nonnegative", "orthogonal"}, default=None
        "nonnegative": non-negative least squares.
    fit_bias : bool, default=True
        Whether users have a bias.
    n_threads : int, default=1
        It does not show in the result.

    Returns
    -------
    users : ndarray of shape (n_rows, k)
        In the type of the items.
    user_bias : ndarray of shape (n_rows,)
        Zeros without `fit_bias`.
    """
    items = factors.items
    vectors = np.column_stack([items, np.ones_like(factors.item_bias)]) if fit_bias else items
    k, K = items.shape[1], vectors.shape[1]
    own = np.zeros((ratings.n_rows, K), dtype=items.dtype)
    charges = 2 * np.append(np.full(k, float(penalties.users)), [penalties.biases] * (K - k))
    offsets = factors.item_bias + np.asarray(factors.mean, items.dtype)
    quadratic = np.zeros((K, K)), charges, penalties.scales(ratings)[0]
    nonnegative = constraint == "nonnegative"
    solve_rows(ratings, vectors, offsets, quadratic, own, nonnegative=nonnegative, n_threads=n_threads)
    return _parted(own, k)


def _parted(own, k):
    """Return coefficients of factors, and the bias behind them or zeros."""
    bias = own[:, k] if own.shape[1] > k else np.zeros(len(own), dtype=own.dtype)
    return np.ascontiguousarray(own[:, :k]), bias.copy()


# ------------------------------------------------------------------------------------------------- orthogonal


def _orthogonal_sweeps(ratings, by_item, motion, problem):
    """Yield the Motion after each pair of exact steps, users' and items'."""
    factors = motion.current.factors
    while True:
        factors = _orthonormal(_fitted_items(by_item, _fitted_users(ratings, factors, problem), problem))
        yield Motion(problem.descent(factors, squared_error(ratings, factors, problem.n_threads)))


def _fitted_users(ratings, factors, problem):
    options = {"fit_bias": problem.fit_bias, "n_threads": problem.n_threads}
    if not problem.fit_bias:  # biases that stay belong to what is given
        ratings = ratings.with_data(ratings.data - np.repeat(factors.user_bias, np.diff(ratings.indptr)))
    users, bias = fold(ratings, factors, problem.penalties, **options)
    return replace(factors, users=users, user_bias=bias if problem.fit_bias else factors.user_bias)


def _fitted_items(by_item, factors, problem):
    """Return the parameters with the items, biases included, that minimise J over X = PQ' given P."""
    P, scales = factors.users, problem.scales
    k, n_biases = P.shape[1], int(problem.fit_bias)
    vectors = np.column_stack([P, np.ones(len(P), dtype=P.dtype)]) if n_biases else P
    base = np.zeros((k + n_biases, k + n_biases))
    with blas_threads(1):
        # users sum s_u (p_u'q)^2, twice because the quadratic form is halved
        base[:k, :k] = 2 * problem.penalties.users * _gram(P, scales[0])
    charges = np.append(np.zeros(k), [2.0 * problem.penalties.biases] * n_biases)
    offsets = factors.user_bias + np.asarray(factors.mean, P.dtype)
    if not n_biases:
        by_item = by_item.with_data(by_item.data - np.repeat(factors.item_bias, np.diff(by_item.indptr)))
    own = np.zeros((len(factors.items), k + n_biases), dtype=P.dtype)
    solve_rows(by_item, vectors, offsets, (base, charges, scales[1]), own, n_threads=problem.n_threads)
    items, bias = _parted(own, k)
    return replace(factors, items=items, item_bias=bias if n_biases else factors.item_bias)


def _gram(P, scales):
    """Return ``sum s_u p_u p_u'`` in float64."""
    return P.T.astype(np.float64) @ (P * scales[:, None])


@blas_threads(1)
def _orthonormal(factors):
    """Return the same X = PQ' with orthonormal Q and orthogonal P, the largest columns first, signs fixed."""
    Q, R = np.linalg.qr(factors.items.astype(np.float64))
    P = factors.users @ R.T  # float64
    sizes, rotation = np.linalg.eigh(_gram(P, np.ones(len(P))))
    rotation = rotation[:, np.argsort(-sizes, kind="stable")]
    rotation = rotation * sign_of_largest(Q @ rotation)
    dtype = factors.items.dtype
    users, items = (np.ascontiguousarray(side @ rotation, dtype=dtype) for side in (P, Q))
    return replace(factors, users=users, items=items)
