"""The solvers of matrix factorization behind one face: where to start, how to go on, and how to fold in.

Each takes the :class:`Settings` of a fit and works on :class:`~skml.recommendation.factors.Factors`.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from skml._kernels import blas_threads
from skml.recommendation import als, completion, coordinate, sgd
from skml.recommendation.baseline import fit_baseline, row_biases
from skml.recommendation.factors import Factors
from skml.recommendation.newcomers import Ranking, fold_rankers, ranking_reasons
from skml.recommendation.noise import noise_deviation
from skml.recommendation.penalties import Penalties
from skml.recommendation.ratings import Ratings, power_of_two
from skml.recommendation.slices import threads_for
from skml.recommendation.strata import count_parts

# The penalties of alpha="auto"; see auto_alphas for the units of some.
AUTO = {
    "explicit": {"users": 0.4, "items": 0.4, "biases": 1.0, "attributes": 1.0},
    "weighted": {"users": 0.05, "items": 0.05, "biases": 0.02, "attributes": 1.0},
    "orthogonal": {"users": 0.3, "items": 0.0, "biases": 1.0, "attributes": 1.0},
    "implicit": {"users": 0.35, "items": 0.35, "biases": 1.0, "attributes": 1.0},
    "ranking": {"users": 0.02, "items": 0.02, "biases": 0.02, "attributes": 1.0},
}


@dataclass(frozen=True)
class Settings:
    """A fit's parameters, worked out.

    Attributes
    ----------
    n_components : int
        k.
    solver : {"als", "sgd", "svd", "ccd"}
        Which.
    implicit : bool
        Whether ratings are confidences.
    constraint : {None, "nonnegative", "orthogonal"}
        Of "ccd".
    alphas : dict of str to float
        The penalties of "users", "items", "biases" and "attributes".
    weighted : bool
        Whether a row's penalties are times its sum of weights.
    fit_bias, global_mean : bool
        What the model has beside factors.
    inner, cg_steps : str and int
        Of "als".
    loss, learning_rate, eta0, power_t, average, n_negatives, n_iter_no_change
        Of "sgd".
    max_iter, tol : int, and float or None
        When to stop.
    init : {"svd", "random"}
        How to start.
    seed, n_threads : int
        Of random numbers; no result depends on the threads.
    """

    n_components: int
    solver: str
    implicit: bool
    constraint: str | None
    alphas: dict
    weighted: bool
    fit_bias: bool
    global_mean: bool
    inner: str
    cg_steps: int
    loss: str
    learning_rate: str
    eta0: float
    power_t: float
    average: int
    n_negatives: int
    n_iter_no_change: int
    max_iter: int
    tol: float | None
    init: str
    seed: int
    n_threads: int

    @property
    def ranks(self):
        """Whether the loss is one of ranking, which looks at what was chosen and not at how it was rated."""
        return self.loss != "squared"

    def mean_of(self, ratings):
        """Return the model's mean."""
        return float(np.average(ratings.data, weights=ratings.weights)) if self.global_mean else 0.0


@dataclass(frozen=True)
class Past:
    """What has led to where a fit starts.

    Attributes
    ----------
    history : dict or None
        The figures of all steps so far.
    """

    history: dict | None = None

    @property
    def objectives(self):
        """J after each of these."""
        return [] if self.history is None else self.history["objective"]

    @property
    def n_iter(self):
        """Sweeps or epochs, of which `max_iter` is the limit."""
        return len(self.objectives)


def auto_alphas(ratings, kind):
    """Return the penalties of alpha="auto".

    Those of factors are in units of the ratings' standard deviation, as factors are in units of its root: in other
    units ratings then lead to the same model. Without weighted penalties they are in units of the singular values of
    noise, whose deviation is estimated; these grow with the roots of the numbers of ratings per user and per item (what
    is lost of a singular value is twice the penalty). Those of confidences grow likewise.

    Parameters
    ----------
    ratings : Ratings
        What is learned from.
    kind : str
        A key of AUTO.

    Returns
    -------
    alphas : dict of str to float
        For "users", "items", "biases" and "attributes".
    """
    alphas = AUTO[kind]
    if kind in ("orthogonal", "ranking"):
        return alphas
    unit = 1.0
    if kind == "implicit":
        total = math.sqrt(ratings.data.sum(dtype=np.float64))
    else:
        weights = ratings.filled_weights().astype(np.float64)
        mean, size = np.average(ratings.data, weights=weights), power_of_two(weights)
        total = size * math.sqrt(np.square(weights / size).sum())
        unit = ratings.with_data(ratings.data - mean).scale
    if kind == "explicit":
        unit = noise_deviation(ratings) or 1.0
    if kind != "weighted":
        unit *= total * (1 / math.sqrt(ratings.n_rows) + 1 / math.sqrt(ratings.n_columns))
    return {**alphas, **{side: alphas[side] * unit for side in ("users", "items")}}


def threads_worth(ratings, n_components, n_threads, solver="als"):
    """Return how many threads to use, by the work of the calls of a solver; "als" stands for all least squares."""
    n, k = len(ratings.data), n_components
    rows = min(n, ratings.n_rows) + min(n, ratings.n_columns)
    least_squares = (n * (k + 8) ** 2 + rows * k**3 / 3) / 4
    work = {"ccd": 8 * n, "sgd": 2 * n * (k + 8) / count_parts(ratings), "svd": 2 * n * (k + 8)}
    return threads_for(work.get(solver, least_squares), n_threads)


def make_solver(settings):
    """Return the solver that settings name."""
    return {"als": ALS, "sgd": SGD, "svd": SVD, "ccd": CCD}[settings.solver](settings)


def _spectral(ratings, settings, mean):
    """Return starting factors of a truncated SVD of what is known; of confidences, that there are any."""
    centred = ratings.with_data(np.ones_like(ratings.data) if settings.implicit else ratings.data - mean)
    users, items = completion.svd_start(centred, settings.n_components, settings.seed, n_threads=settings.n_threads)
    # Where people and items fall into groups that share nothing, a singular vector is 0 outside of its group. That is a
    # saddle of J: what leads away from it must not be rounding.
    noise = np.random.default_rng([settings.seed, 5])
    sides = (
        side + 1e-3 * _spread(side) * noise.standard_normal(side.shape).astype(side.dtype) for side in (users, items)
    )
    return Factors.unbiased(*sides, mean)


def _spread(side):
    return np.sqrt(np.mean(np.square(side), dtype=side.dtype))


class ALS:
    """Alternating least squares."""

    def __init__(self, settings):
        self.settings = settings

    @property
    def plan(self):
        s = self.settings
        return als.Plan(
            n_components=s.n_components,
            implicit=s.implicit,
            fit_bias=s.fit_bias,
            user_penalty=s.alphas["users"],
            item_penalty=s.alphas["items"],
            bias_penalty=s.alphas["biases"],
            attribute_penalty=s.alphas["attributes"],
            weighted=s.weighted,
            inner=s.inner,
            cg_steps=min(s.cg_steps, 2 * (s.n_components + 1)),  # they end after as many as there are unknowns, about
            max_iter=s.max_iter,
            tol=s.tol,
            n_threads=s.n_threads,
        )

    def start(self, ratings):
        """Return where a first fit starts."""
        mean = self.settings.mean_of(ratings)
        if self.settings.init == "svd":
            return _spectral(ratings, self.settings, mean)
        return als.initial_factors(ratings, self.plan, self.settings.seed, mean)

    def steps(self, ratings, start, past, attributes=None):
        """Yield steps whose states are Factors."""
        plan = replace(self.plan, max_iter=self.settings.max_iter - past.n_iter)
        return als.als_steps(ratings, start, plan, attributes, past.objectives[-1] if past.n_iter else math.inf)

    def fold_users(self, ratings, factors):
        """Return factors and biases of users given by their ratings of known items."""
        return als.fold_users(ratings, factors, self.plan)

    def fold_items(self, ratings, factors, attributes=None):
        """Return factors and biases of items given by the ratings of known users."""
        return als.fold_items(ratings, factors, self.plan, attributes)


class SGD:
    """Stochastic gradient descent."""

    def __init__(self, settings):
        self.settings = settings

    def start(self, ratings):
        """Return where a first fit starts."""
        s, mean = self.settings, self.settings.mean_of(ratings)
        if s.init == "svd":
            return _spectral(ratings, s, mean)
        centred = ratings.with_data(ratings.data - ratings.data.dtype.type(mean))
        scale = 0.1 * (1.0 if s.ranks else math.sqrt(centred.scale))
        shape = ratings.n_rows, ratings.n_columns
        return sgd.random_factors(shape, s.n_components, ratings.data.dtype, init_scale=scale, seed=s.seed, mean=mean)

    def steps(self, ratings, start, past):
        """Yield steps whose states are Factors."""
        ratings = _weighed(ratings) if self.settings.ranks else ratings
        return sgd.sgd_steps(ratings, start, self.descent, past.objectives)

    def has_ended(self, past):
        """Tell whether the epochs so far have come to an end, whatever `max_iter` is."""
        return sgd.Plateau(self.descent, past.objectives).ended

    @property
    def descent(self):
        s, a = self.settings, self.settings.alphas
        return sgd.Descent(
            loss=s.loss,
            penalties=Penalties(a["users"], a["items"], a["biases"], s.weighted or s.ranks),
            learning_rate=s.learning_rate,
            eta0=s.eta0,
            power_t=s.power_t,
            max_iter=s.max_iter,
            tol=None if s.learning_rate == "cosine" else s.tol,  # which has an end of its own
            n_iter_no_change=s.n_iter_no_change,
            average=s.average,
            fit_bias=s.fit_bias,
            n_negatives=s.n_negatives,
            seed=s.seed,
            n_threads=s.n_threads,
        )

    def ranking(self, factors):
        """Return what people rank items by, under a ranking loss."""
        s = self.settings
        return Ranking(factors, s.loss, s.alphas["users"], s.alphas["biases"], s.n_negatives, s.fit_bias)

    def reasons(self, past, item, factors):
        """Return what each of a user's choices, the only row of `past`, adds to the score of an item."""
        return ranking_reasons(_weighed(past), 0, item, self.ranking(factors))

    def fold_users(self, ratings, factors):
        """Return factors and biases of users given by their ratings of known items: at the minimum of their loss."""
        if self.settings.ranks:
            return fold_rankers(_weighed(ratings), self.ranking(factors))
        return ALS(self.settings).fold_users(ratings, factors)

    def fold_items(self, ratings, factors):
        """Return factors and biases of items given by the ratings of known users."""
        if not self.settings.ranks:
            return ALS(self.settings).fold_items(ratings, factors)
        # Near the factors of those who chose it: descent finds the rest.
        counts = np.maximum(np.diff(ratings.indptr), 1)[:, np.newaxis].astype(ratings.data.dtype)
        sums = np.zeros((ratings.n_rows, self.settings.n_components), ratings.data.dtype)
        np.add.at(sums, ratings.rows(), factors.users[ratings.indices])
        return sums / counts, np.zeros(ratings.n_rows, ratings.data.dtype)


def _weighed(ratings):
    """Return chosen items whose confidences are weights."""
    weights = None if (ratings.data == 1).all() else ratings.data
    return Ratings(ratings.indptr, ratings.indices, ratings.data, weights, ratings.n_columns)


def _with_motion(step, factors):
    """Return a step of a solver, whose state was a motion, with factors for it."""
    return replace(step, state=replace(factors, motion=step.state))


class CCD:
    """Coordinate descent."""

    def __init__(self, settings):
        self.settings = settings

    @property
    def penalties(self):
        a = self.settings.alphas
        return Penalties(a["users"], a["items"], a["biases"], self.settings.weighted)

    def start(self, ratings):
        """Return where a first fit starts."""
        s, mean = self.settings, self.settings.mean_of(ratings)
        if s.constraint == "nonnegative":
            return self._nonnegative(ratings)
        if s.init == "svd":
            return _spectral(ratings, s, mean)
        return SGD(s).start(ratings)

    def _nonnegative(self, ratings):
        s = self.settings
        if s.init == "svd":
            pair = completion.nonnegative_start(ratings, s.n_components, s.seed, n_threads=s.n_threads)
            return Factors.unbiased(*pair)
        rng, dtype = np.random.default_rng([s.seed, 2]), ratings.data.dtype
        unit = 2 * math.sqrt(max(float(ratings.data.mean(dtype=np.float64)), 0.0) / s.n_components) or 1.0
        sides = (rng.random((size, s.n_components)) * unit for size in (ratings.n_rows, ratings.n_columns))
        return Factors.unbiased(*(side.astype(dtype) for side in sides))

    def steps(self, ratings, start, past):
        """Yield steps whose states are Factors."""
        s = self.settings
        if s.constraint == "nonnegative":
            start = replace(start, users=np.maximum(start.users, 0), items=np.maximum(start.items, 0))
        options = {"constraint": s.constraint, "fit_bias": s.fit_bias, "n_threads": s.n_threads}
        options |= {"max_iter": s.max_iter - past.n_iter, "tol": -math.inf if s.tol is None else s.tol}
        steps = coordinate.coordinate_steps(ratings, start.motion or start, self.penalties, **options)
        return (_with_motion(step, step.state.current.factors) for step in steps)

    def fold_users(self, ratings, factors):
        """Return factors and biases of users given by their ratings of known items."""
        s = self.settings
        options = {"constraint": s.constraint, "fit_bias": s.fit_bias, "n_threads": s.n_threads}
        return coordinate.fold(ratings, factors, self.penalties, **options)

    def fold_items(self, ratings, factors):
        """Return factors and biases of items given by the ratings of known users."""
        a = self.settings.alphas
        flipped = CCD(replace(self.settings, alphas={**a, "users": a["items"]}))
        return flipped.fold_users(ratings, factors.flipped())


class SVD:
    """Singular values of what mean and biases leave over; users are U diag(s), items V."""

    def __init__(self, settings):
        self.settings = settings

    @property
    def alpha(self):
        # lu |P|^2 + lv |Q|^2 is least, over all PQ' = Z, at 2 sqrt(lu lv) |Z|_*
        users, items = (self.settings.alphas[side] for side in ("users", "items"))
        return users * math.sqrt(items / users) if users else 0.0  # a product could overflow

    def start(self, ratings):
        """Return where a first fit starts: nowhere, but for mean and biases."""
        s, mean = self.settings, self.settings.mean_of(ratings)
        sides = (np.zeros((size, s.n_components), ratings.data.dtype) for size in (ratings.n_rows, ratings.n_columns))
        start = Factors.unbiased(*sides, mean)
        if not s.fit_bias:
            return start
        baseline = fit_baseline(ratings, (s.alphas["biases"],) * 2, mean)
        return replace(start, user_bias=baseline.user_bias, item_bias=baseline.item_bias)

    def steps(self, ratings, start, past):
        """Yield steps whose states are Factors."""
        s, rows = self.settings, np.diff(ratings.indptr)
        base = self.start(ratings)
        bias = np.repeat(base.user_bias + ratings.data.dtype.type(base.mean), rows) + base.item_bias[ratings.indices]
        steps = completion.completion_steps(
            ratings.with_data(ratings.data - bias),
            s.n_components,
            alpha=self.alpha,
            start=start.motion or (_orthonormal(start) if start.users.any() else None),
            seed=s.seed,
            max_iter=s.max_iter - past.n_iter,
            tol=-math.inf if s.tol is None else s.tol,
            n_threads=s.n_threads,
        )
        for step in steps:
            found = step.state.current
            yield _with_motion(step, replace(base, users=found.left * found.sizes, items=found.right))

    def fold_users(self, ratings, factors):
        """Return factors and biases of users given by their ratings of known items."""
        left, sizes = parted(factors.users)
        return self._folded(ratings, factors, completion.Completion(left, sizes, factors.items))

    def fold_items(self, ratings, factors):
        """Return factors and biases of items given by the ratings of known users."""
        left, sizes = parted(factors.users)
        found = completion.Completion(factors.items, sizes, left)
        rows, bias = self._folded(ratings, factors.flipped(), found)
        return np.divide(rows, sizes, out=np.zeros_like(rows), where=sizes > 0), bias

    def _folded(self, ratings, factors, found):
        left, bias = residual_bias(ratings, factors, self.settings)
        rows = completion.fold(left, found, self.alpha, n_threads=self.settings.n_threads)
        return rows, bias


def parted(scores):
    """Return the columns of U diag(s) of length 1, or 0, and their lengths s."""
    sizes = np.sqrt(np.einsum("ij,ij->j", scores, scores))
    return np.divide(scores, sizes, out=np.zeros_like(scores), where=sizes > 0), sizes


def residual_bias(ratings, factors, settings):
    """Return ratings less mean and biases, the rows' own being found from them; and these."""
    bias = np.zeros(ratings.n_rows, ratings.data.dtype)
    if settings.fit_bias:
        bias = row_biases(ratings, factors.mean, factors.item_bias, settings.alphas["biases"])
    rest = ratings.data - ratings.data.dtype.type(factors.mean) - factors.item_bias[ratings.indices]
    return ratings.with_data(rest - bias[ratings.rows()]), bias


@blas_threads(1)
def _orthonormal(factors):
    """Return PQ' as a Completion."""
    left, R = np.linalg.qr(factors.users)
    right, S = np.linalg.qr(factors.items)
    U, sizes, Vt = np.linalg.svd(R @ S.T)
    return completion.Completion(left @ U, sizes, right @ Vt.T)
