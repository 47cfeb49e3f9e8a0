"""Coordinate descent: the objective never rises, each constraint holds, fold-in is exact, NMF is no better."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import nnls
from sklearn.decomposition import NMF
from sklearn.exceptions import ConvergenceWarning

from skml.recommendation.completion import nonnegative_start
from skml.recommendation.coordinate import (
    coordinate_steps,
    fold,
)
from skml.recommendation.factors import Factors
from skml.recommendation.penalties import Penalties
from skml.recommendation.ratings import Ratings, build_ratings
from skml.recommendation.reconstruction import residuals

CONSTRAINTS = [None, "nonnegative", "orthogonal"]
each_constraint = pytest.mark.parametrize("constraint", CONSTRAINTS)
each_dtype = pytest.mark.parametrize("dtype", ["f", "d"])


def ratings_of(R, weights=None):
    """Return the known entries of a matrix with NaN."""
    rows, columns = np.nonzero(~np.isnan(R))
    weights = None if weights is None else weights[rows, columns]
    return build_ratings(rows.astype("i4"), columns.astype("i4"), R[rows, columns], weights, R.shape)


def incomplete(rng, shape=(40, 25), share=0.5, dtype="d"):
    """Return a matrix of ratings that have some structure; the last user and item have none."""
    R = rng.standard_normal((shape[0], 3)) @ rng.standard_normal((3, shape[1])) + 0.3 * rng.standard_normal(shape)
    R[rng.random(shape) > share] = np.nan
    R[-1], R[:, -1] = np.nan, np.nan
    return R.astype(dtype)


def start_of(rng, ratings, k, constraint):
    """Return random parameters that satisfy what the constraint asks of a start."""
    users, items = (rng.standard_normal((size, k)) for size in (ratings.n_rows, ratings.n_columns))
    if constraint == "nonnegative":
        users, items = np.abs(users), np.abs(items)
    dtype = ratings.data.dtype
    biases = np.zeros(ratings.n_rows, dtype), np.zeros(ratings.n_columns, dtype)
    return Factors(users.astype(dtype), items.astype(dtype), *biases, 0.0 if constraint == "nonnegative" else 0.3)


def steps_of(ratings, start, penalties, constraint, **options):
    """Return all steps with the Descent for their state, with biases where the constraint allows them."""
    fit_bias = options.pop("fit_bias", constraint != "nonnegative")
    steps = coordinate_steps(ratings, start, penalties, constraint=constraint, fit_bias=fit_bias, **options)
    return [replace(step, state=step.state.current) for step in steps]


def hand_objective(ratings, factors, penalties, constraint):
    """Return J, term by term."""
    users, items = ratings.rows(), ratings.indices
    fitted = factors.mean + factors.user_bias[users] + factors.item_bias[items]
    fitted = fitted + (factors.users[users] * factors.items[items]).sum(axis=1)
    w = ratings.filled_weights()
    by_user, by_item = (
        np.bincount(rows, w, minlength=size) if penalties.weighted else np.ones(size)
        for rows, size in ((users, ratings.n_rows), (items, ratings.n_columns))
    )
    total = (w * (ratings.data - fitted) ** 2).sum() / 2 + penalties.users * (by_user @ factors.users**2).sum()
    total += penalties.biases * (by_user @ factors.user_bias**2 + by_item @ factors.item_bias**2)
    return total + (0 if constraint == "orthogonal" else penalties.items * (by_item @ factors.items**2).sum())


@each_constraint
@each_dtype
@pytest.mark.parametrize("weighted", [False, True])
def test_the_objective_is_true_and_never_rises(rng, constraint, dtype, weighted):
    R = incomplete(rng, dtype=dtype)
    ratings = ratings_of(R, rng.uniform(0.5, 2, R.shape).astype(dtype))
    penalties = Penalties(0.1, 0.2, 0.05, weighted)
    start = start_of(rng, ratings, 4, constraint)
    steps = steps_of(ratings, start, penalties, constraint, max_iter=60, tol=0.0)
    objectives = [step.metrics["objective"] for step in steps]
    rounding = (1e-12 if dtype == "d" else 1e-5) * objectives[0] if constraint == "orthogonal" else 0.0
    assert np.all(np.diff(objectives) <= rounding)
    assert objectives[-1] < objectives[0]
    final = steps[-1].state.factors
    assert final.users.dtype == final.items.dtype == np.dtype(dtype)
    assert_allclose(objectives[-1], hand_objective(ratings, final, penalties, constraint), rtol=1e-4)


@each_constraint
def test_no_coordinate_can_do_better(rng, constraint):
    ratings, penalties = ratings_of(incomplete(rng)), Penalties(0.5, 0.4, 0.3)
    start = start_of(rng, ratings, 3, constraint)
    final = steps_of(ratings, start, penalties, constraint, max_iter=3000, tol=1e-14)[-1].state
    users, bias = fold(ratings, final.factors, penalties, constraint=constraint, fit_bias=constraint != "nonnegative")
    assert_allclose(users, final.factors.users, atol=1e-5)
    assert_allclose(bias, final.factors.user_bias, atol=1e-5)
    if constraint == "nonnegative":
        assert min(final.factors.users.min(), final.factors.items.min()) == 0
    if constraint == "orthogonal":
        assert_allclose(final.factors.items.T @ final.factors.items, np.eye(3), atol=1e-12)
        gram = final.factors.users.T @ final.factors.users
        assert_allclose(gram - np.diag(np.diag(gram)), 0, atol=1e-8 * gram.max())
    else:
        flipped, turned = ratings.flipped()[0], Penalties(penalties.items, penalties.users, penalties.biases)
        items, _ = fold(flipped, final.factors.flipped(), turned, constraint=constraint, fit_bias=constraint is None)
        assert_allclose(items, final.factors.items, atol=1e-5)


@each_constraint
@each_dtype
def test_threads_do_not_show(rng, constraint, dtype):
    ratings = ratings_of(incomplete(rng, dtype=dtype))
    start = start_of(rng, ratings, 5, constraint)
    one, three = (
        steps_of(ratings, start, Penalties(0.1, 0.1, 0.1), constraint, max_iter=7, tol=0.0, n_threads=n)[-1].state
        for n in (1, 3)
    )
    assert one.objective == three.objective
    for name in ("users", "items", "user_bias", "item_bias"):
        assert_array_equal(getattr(one.factors, name), getattr(three.factors, name))


@each_constraint
def test_weights_are_copies_and_calls_can_be_short(rng, constraint, monkeypatch):
    R = incomplete(rng)
    twice = ratings_of(R, np.full(R.shape, 2.0))
    start, penalties = start_of(rng, twice, 3, constraint), Penalties(0.2, 0.3, 0.1)
    double = steps_of(twice, start, penalties, constraint, max_iter=5, tol=0.0)[-1].state
    halved = Penalties(0.1, 0.15, 0.05)
    monkeypatch.setattr("skml.recommendation.slices.CALL_WORK", 100.0)
    single = steps_of(ratings_of(R), start, halved, constraint, max_iter=5, tol=0.0)[-1].state
    assert_allclose(double.objective, 2 * single.objective, rtol=1e-10)
    assert_allclose(double.factors.items, single.factors.items, atol=1e-8)


@each_constraint
@pytest.mark.parametrize("weighted", [False, True])
def test_those_without_interactions_are_zero(rng, constraint, weighted):
    ratings = ratings_of(incomplete(rng))
    start = start_of(rng, ratings, 3, constraint)
    steps = steps_of(ratings, start, Penalties(0.0, 0.0, 0.0, weighted), constraint, max_iter=3, tol=0.0)
    final = steps[-1].state.factors
    assert_allclose(final.users[-1], 0, atol=1e-12)
    assert_allclose(final.items[-1], 0, atol=1e-12)
    assert final.user_bias[-1] == final.item_bias[-1] == 0


def test_biases_that_are_not_fitted_stay(rng):
    ratings = ratings_of(incomplete(rng)[:-1, :-1])
    for constraint in (None, "orthogonal"):
        start = start_of(rng, ratings, 3, constraint)
        start.user_bias[:], start.item_bias[:] = 0.5, -0.25
        steps = steps_of(ratings, start, Penalties(0.1, 0.1), constraint, fit_bias=False, max_iter=4, tol=0.0)
        assert np.all(np.diff([step.metrics["objective"] for step in steps]) <= 0)
        assert_array_equal(steps[-1].state.factors.user_bias, start.user_bias)
        assert_array_equal(steps[-1].state.factors.item_bias, start.item_bias)


def test_orthogonal_factors_of_complete_data_are_its_svd(rng):
    R = rng.standard_normal((30, 12)) @ np.diag(0.7 ** np.arange(12))
    ratings = ratings_of(R)
    start = Factors(*start_of(rng, ratings, 3, "nonnegative").__dict__.values())
    final = steps_of(ratings, start, Penalties(0.0, 0.0), "orthogonal", fit_bias=False, max_iter=5000, tol=0.0)
    U, s, Vt = np.linalg.svd(R, full_matrices=False)
    factors = final[-1].state.factors
    assert_allclose(factors.users @ factors.items.T, (U[:, :3] * s[:3]) @ Vt[:3], atol=1e-4)
    assert_allclose(np.linalg.norm(factors.users, axis=0), s[:3], rtol=1e-6)


def test_nonnegative_fold_in_is_nnls(rng):
    R = np.abs(incomplete(rng))
    items, charge = np.abs(rng.standard_normal((R.shape[1], 5))), 0.3
    factors = Factors(np.empty((0, 5)), items, np.empty(0), np.zeros(len(items)))
    users, _ = fold(ratings_of(R), factors, Penalties(charge, 0.0), constraint="nonnegative", fit_bias=False)
    for row, found in zip(R, users):
        known = ~np.isnan(row)
        A = np.vstack([items[known], np.sqrt(2 * charge) * np.eye(5)])
        assert_allclose(found, nnls(A, np.append(row[known], np.zeros(5)))[0], atol=1e-9)


def test_a_matrix_of_known_factors_is_found_through_its_gaps(rng):
    truth = rng.uniform(0.5, 2, (60, 2)) @ rng.uniform(0.5, 2, (2, 40))
    R = np.where(rng.random(truth.shape) < 0.6, truth, np.nan)
    ratings = ratings_of(R)
    start = start_of(rng, ratings, 2, "nonnegative")
    steps = steps_of(ratings, start, Penalties(0.0, 0.0), "nonnegative", max_iter=3000, tol=1e-9)
    factors = steps[-1].state.factors
    assert np.abs(factors.users @ factors.items.T - truth).mean() < 0.02  # scikit-learn issue 8447


def nmf_loss(R, users, items):
    """Return the loss that scikit-learn's NMF reaches from a start."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = NMF(users.shape[1], init="custom", solver="cd", max_iter=20000, tol=1e-8)
        model.fit_transform(R, W=users.copy(), H=np.ascontiguousarray(items.T))
    return model.reconstruction_err_**2 / 2


def test_scikit_learns_nmf_is_no_better(rng):
    # A problem with one valley: parts that some rows and some columns have to themselves.
    users = np.vstack([np.eye(4)] * 5 + [rng.uniform(0, 1, (60, 4))])
    items = np.vstack([np.eye(4)] * 3 + [rng.uniform(0, 1, (20, 4))])
    R = users @ items.T + 0.01 * rng.uniform(0, 1, (len(users), len(items)))
    ratings, zeros = ratings_of(R), (np.zeros(len(users)), np.zeros(len(items)))
    start = Factors(*nonnegative_start(ratings, 4, 0), *zeros)
    ours = steps_of(ratings, start, Penalties(0.0, 0.0), "nonnegative", max_iter=5000, tol=1e-10)[-1].state.objective
    assert ours <= nmf_loss(R, start.users, start.items) * (1 + 1e-5)


def test_it_ends_when_told():
    ratings = ratings_of(np.array([[1.0, np.nan], [2.0, 3.0]]))
    start = Factors(np.ones((2, 1)), np.ones((2, 1)), np.zeros(2), np.zeros(2))
    steps = list(coordinate_steps(ratings, start, Penalties(0.1, 0.1, 0.1), max_iter=500, tol=1e-6))
    assert steps[-1].last
    assert [step.last for step in steps[:-1]] == [False] * (len(steps) - 1)
    assert len(steps) < 500
    once = list(coordinate_steps(ratings, start, Penalties(0.1, 0.1, 0.1), max_iter=1, tol=0.0))
    assert len(once) == 1
    assert once[0].last


def test_no_interactions(rng):
    ratings = Ratings(np.zeros(4, "i4"), np.empty(0, "i4"), np.empty(0), None, 2)
    for constraint in CONSTRAINTS:
        step = steps_of(ratings, start_of(rng, ratings, 2, constraint), Penalties(0.1, 0.1, 0.1), constraint)[-1]
        assert_array_equal(step.state.factors.users, 0)
        assert residuals(ratings, step.state.factors, 1).shape == (0,)
