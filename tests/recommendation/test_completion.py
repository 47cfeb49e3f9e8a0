"""Completion by singular values: svds where nothing is missing, J never rises elsewhere, fold-in is exact."""

import numpy as np
import pytest
import scipy.sparse.linalg
from numpy.testing import assert_allclose, assert_array_equal

from skml.recommendation.completion import (
    completion_steps,
    fold,
    is_complete,
    nonnegative_start,
    svd_start,
)
from skml.recommendation.coordinate import coordinate_steps
from skml.recommendation.factors import Factors
from skml.recommendation.penalties import Penalties
from skml.recommendation.ratings import build_ratings
from skml.recommendation.singular import truncated_svd

each_dtype = pytest.mark.parametrize("dtype", ["f", "d"])


def ratings_of(R, weights=None):
    """Return the known entries of a matrix with NaN."""
    rows, columns = np.nonzero(~np.isnan(R))
    weights = None if weights is None else weights[rows, columns]
    return build_ratings(rows.astype("i4"), columns.astype("i4"), R[rows, columns], weights, R.shape)


def low_rank(rng, shape=(50, 30), rank=4, noise=0.3, dtype="d"):
    """Return a matrix of low rank and noise."""
    R = rng.standard_normal((shape[0], rank)) @ rng.standard_normal((rank, shape[1]))
    return (R + noise * rng.standard_normal(shape)).astype(dtype)


def with_gaps(rng, R, share=0.5):
    """Return a matrix of which so large a share is known."""
    return np.where(rng.random(R.shape) < share, R, np.asarray(np.nan, R.dtype))


def balanced(found):
    """Return P = U sqrt(s) and Q = V sqrt(s)."""
    return found.left * np.sqrt(found.sizes), found.right * np.sqrt(found.sizes)


def final_of(*args, **options):
    *_, step = completion_steps(*args, **options)
    return step.state.current


@pytest.mark.parametrize("shape", [(50, 30), (30, 50), (420, 330), (330, 420)])
@each_dtype
def test_nothing_missing_is_svds(rng, shape, dtype):
    R = low_rank(rng, shape, rank=6, dtype=dtype)
    found = final_of(ratings_of(R), 5, alpha=0.0)
    _, s, Vt = scipy.sparse.linalg.svds(R.astype("d"), 5)
    tol = {"atol": 1e-7} if dtype == "d" else {"atol": 2e-2}
    assert_allclose(found.sizes, s[::-1], rtol=1e-10 if dtype == "d" else 1e-4)
    signs = np.sign((Vt[::-1] * found.right.T).sum(axis=1))
    assert_allclose(found.right.T, Vt[::-1] * signs[:, None], **tol)
    assert_allclose(found.left * found.sizes, R @ found.right, **tol)
    for side in (found.left, found.right):
        assert_allclose(side.T @ side, np.eye(5), atol=1e-12 if dtype == "d" else 1e-5)
    # The largest entry of each is positive, or of those nearly as large (as sign_of_largest has it) the first.
    assert np.all(found.right.max(axis=0) >= -found.right.min(axis=0) * (1 - np.sqrt(np.finfo(dtype).eps)))
    assert_allclose(
        found.objective, ((R.astype("d") - (found.left * found.sizes) @ found.right.T) ** 2).sum() / 2, rtol=1e-3
    )


def test_of_low_rank_both_sides_stay_orthonormal(rng):
    R = low_rank(rng, (400, 320), rank=2, noise=0.0)
    U, s, V = truncated_svd(R, 5)
    assert_allclose(s[2:], 0, atol=1e-10)
    for side in (U, V):
        assert_allclose(side.T @ side, np.eye(5), atol=1e-12)


def test_nothing_missing_with_a_penalty_shrinks(rng):
    R, alpha = low_rank(rng), 1.5
    s = np.linalg.svd(R, compute_uv=False)[:6]
    for weight in (None, 3.0):
        weights = None if weight is None else np.full(R.shape, weight)
        found = final_of(ratings_of(R, weights), 6, alpha=alpha)
        assert_allclose(found.sizes, np.maximum(s - 2 * alpha / (weight or 1.0), 0))
        P, Q = balanced(found)
        error = (weight or 1.0) * ((R - P @ Q.T) ** 2).sum()
        assert_allclose(found.squared_error, error)
        assert_allclose(found.objective, error / 2 + alpha * ((P**2).sum() + (Q**2).sum()))


@each_dtype
@pytest.mark.parametrize("alpha", [0.0, 1.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_objective_is_true_and_never_rises(rng, dtype, alpha, weighted):
    R = with_gaps(rng, low_rank(rng, dtype=dtype))
    weights = rng.uniform(0.5, 2, R.shape).astype(dtype) if weighted else None
    ratings = ratings_of(R, weights)
    steps = list(completion_steps(ratings, 5, alpha=alpha, max_iter=60, tol=0.0))
    objectives = [step.metrics["objective"] for step in steps]
    assert np.all(np.diff(objectives) <= 0)
    found = steps[-1].state.current
    assert found.left.dtype == found.sizes.dtype == found.right.dtype == np.dtype(dtype)
    P, Q = (side.astype("d") for side in balanced(found))
    w = np.ones(R.shape) if weights is None else weights
    error = np.nansum(w * (R - P @ Q.T) ** 2)
    assert_allclose(found.squared_error, error, rtol=1e-3)
    assert_allclose(found.objective, error / 2 + alpha * ((P**2).sum() + (Q**2).sum()), rtol=1e-3)
    for side in (found.left, found.right):
        assert_allclose(side.T @ side, np.eye(5), atol=1e-10 if dtype == "d" else 1e-4)


def test_it_is_the_objective_of_the_other_solvers(rng):
    ratings, alpha, k = ratings_of(with_gaps(rng, low_rank(rng), 0.7)), 3.0, 6
    ours = final_of(ratings, k, alpha=alpha, max_iter=3000, tol=1e-12).objective
    start = Factors(*svd_start(ratings, k, 0), np.zeros(50), np.zeros(30))
    *_, step = coordinate_steps(ratings, start, Penalties(alpha, alpha), fit_bias=False, max_iter=3000, tol=1e-12)
    assert_allclose(ours, step.state.current.objective, rtol=1e-4)


def test_where_all_but_nothing_is_missing_the_start_hardly_matters(rng):
    R = low_rank(rng)
    R[3, 4] = np.nan
    complete = low_rank(rng)
    ratings = ratings_of(R)
    assert not is_complete(ratings)
    assert is_complete(ratings_of(complete))
    first = final_of(ratings, 4, alpha=0.1, max_iter=500, tol=1e-13)
    other = final_of(ratings, 4, alpha=0.1, max_iter=500, tol=1e-13, start=final_of(ratings_of(complete), 4, alpha=0.0))
    assert_allclose(first.objective, other.objective, rtol=1e-6)
    assert_allclose(first.sizes, other.sizes, rtol=1e-3)


def test_iteration_and_direct_solution_agree(rng):
    R = low_rank(rng)
    weights = np.ones(R.shape)
    weights[0, 0] = 1 - 1e-9  # enough to go by iteration
    direct, iterated = (final_of(ratings_of(R, w), 4, alpha=0.5, max_iter=500, tol=1e-14) for w in (None, weights))
    assert_allclose(iterated.objective, direct.objective, rtol=1e-8)
    assert_allclose(iterated.sizes, direct.sizes, rtol=1e-4)


@pytest.mark.parametrize("share", [0.6, 1.0])
def test_fold_in_gives_what_the_fit_gave(rng, share):
    ratings = ratings_of(with_gaps(rng, low_rank(rng), share))
    found = final_of(ratings, 5, alpha=2.0, max_iter=5000, tol=1e-15)
    assert_allclose(fold(ratings, found, 2.0), found.left * found.sizes, atol=1e-4 * found.sizes[0])
    if share == 1:
        assert_allclose(fold(ratings, found, 2.0), found.left * found.sizes, atol=1e-10)


@each_dtype
def test_threads_and_short_calls_do_not_show(rng, dtype, monkeypatch):
    ratings = ratings_of(with_gaps(rng, low_rank(rng, dtype=dtype)))
    one = final_of(ratings, 4, alpha=0.5, max_iter=6, tol=0.0)
    monkeypatch.setattr("skml.recommendation.slices.CALL_WORK", 500.0)
    three = final_of(ratings, 4, alpha=0.5, max_iter=6, tol=0.0, n_threads=3)
    for name in ("left", "sizes", "right"):
        assert_array_equal(getattr(one, name), getattr(three, name))


@each_dtype
def test_svd_start_is_the_svd_of_what_is_known(rng, dtype):
    R = with_gaps(rng, low_rank(rng, rank=3, noise=0.01, dtype=dtype), 0.9)
    users, items = svd_start(ratings_of(R), 3, 7)
    U, s, Vt = np.linalg.svd(np.nan_to_num(R.astype("d")), full_matrices=False)
    assert_allclose(users @ items.T, (U[:, :3] * s[:3]) @ Vt[:3], atol=0.05)
    assert users.dtype == items.dtype == np.dtype(dtype)
    again = svd_start(ratings_of(R), 3, 7, n_threads=3)
    assert_array_equal(users, again[0])
    assert_array_equal(items, again[1])


def test_starts_have_as_many_columns_as_asked(rng):
    R = np.outer(rng.uniform(1, 2, 6), rng.uniform(1, 2, 4))
    for start in (svd_start, nonnegative_start):
        users, items = start(ratings_of(R), 9, 0)
        assert users.shape == (6, 9)
        assert items.shape == (4, 9)
        assert np.isfinite(users).all()
        assert np.all(np.abs(users).sum(axis=0) > 0)
        assert np.all(np.abs(items).sum(axis=0) > 0)
    nothing = build_ratings(np.empty(0, "i4"), np.empty(0, "i4"), np.empty(0), None, (3, 2))
    assert svd_start(nothing, 2, 0)[0].shape == (3, 2)
    assert nonnegative_start(nothing, 2, 0)[1].shape == (2, 2)


@each_dtype
def test_nonnegative_start(rng, dtype):
    R = with_gaps(rng, np.abs(low_rank(rng, dtype=dtype)))
    users, items = nonnegative_start(ratings_of(R), 4, 0)
    assert users.min() >= 0
    assert items.min() >= 0
    assert users.dtype == items.dtype == np.dtype(dtype)
    ratings = ratings_of(R)
    assert np.nanmean((R - users @ items.T) ** 2) < 2 * np.mean(ratings.data**2)
