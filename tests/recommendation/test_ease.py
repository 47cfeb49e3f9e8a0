"""EASE: the minimum of its objective, by its gradient and by ridge regressions one item at a time."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import Ridge
from threadpoolctl import threadpool_limits

from skml import _kernels
from skml.base import _free_memory
from skml.recommendation import slices
from skml.recommendation.ease import ease_weights, linear_pairs, linear_scores
from skml.recommendation.ratings import Ratings, build_ratings


def ratings_of(R, weights=None, dtype=np.float64):
    users, items = np.nonzero(R)
    weights = None if weights is None else weights[users, items]
    codes = users.astype(np.int32), items.astype(np.int32)
    return build_ratings(*codes, R[users, items].astype(dtype), weights, R.shape)


@pytest.fixture(params=[(40, 12), (60, 300)], ids=str)
def R(request, rng):
    return rng.standard_normal(request.param) * (rng.uniform(size=request.param) < 0.3)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_gradient_vanishes_off_the_diagonal(R, rng, weighted):
    weights = rng.uniform(0.3, 3, R.shape) if weighted else None
    X, alpha = R * np.sqrt(1 if weights is None else weights), 2.0
    B = ease_weights(ratings_of(R, weights), alpha)
    gradient = X.T @ (X @ B - X) + alpha * B
    assert_array_equal(np.diag(B), 0)
    off = ~np.eye(len(B), dtype=bool)
    assert_allclose(gradient[off], 0, atol=1e-10 * np.abs(X.T @ X).max())


def test_each_item_is_a_ridge_regression_on_the_others(R):
    B = ease_weights(ratings_of(R), 3.0)
    for j in (0, 5, 11):
        others = np.delete(np.arange(R.shape[1]), j)
        ridge = Ridge(alpha=3.0, fit_intercept=False).fit(R[:, others], R[:, j])
        assert_allclose(B[others, j], ridge.coef_, atol=1e-9)


def test_two_items_by_hand():
    """B_01 = x_0.x_1 / (|x_0|^2 + alpha)."""
    B = ease_weights(ratings_of(np.array([[1.0, 2], [3, 0]])), 5.0)
    assert_allclose(B, [[0, 2 / 15], [2 / 9, 0]])


def test_float32(R):
    B = ease_weights(ratings_of(R, dtype=np.float32), 2.0)
    assert B.dtype == np.float32
    assert_allclose(B, ease_weights(ratings_of(R), 2.0), atol=1e-5)


def test_a_user_of_weight_k_is_k_users(rng, R):
    copies = rng.integers(1, 4, len(R))
    weights = np.broadcast_to(copies[:, None], R.shape).astype(float)
    assert_allclose(
        ease_weights(ratings_of(R, weights), 2.0), ease_weights(ratings_of(np.repeat(R, copies, 0)), 2.0), atol=1e-10
    )


@pytest.mark.skipif(_kernels.LEVEL == "reference", reason="twins multiply by BLAS, whose bits are its own")
def test_threads_change_no_bit(R, monkeypatch):
    results = []
    monkeypatch.setattr(slices, "_LEAST_WORK", 0)
    for n_threads in (1, 2):
        with threadpool_limits(n_threads):
            results.append(ease_weights(ratings_of(R), 1.0, n_threads))
    assert_array_equal(*results)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_scores_and_pairs_agree(R, rng, dtype):
    states = ratings_of(R, dtype=dtype)
    B = ease_weights(states, 1.0)
    scores = linear_scores(states, B)
    assert scores.dtype == dtype
    tolerance = 1e-10 if dtype is np.float64 else 1e-4
    assert_allclose(scores, R @ B, atol=tolerance)
    some = np.array([7, 2])
    assert_allclose(linear_scores(states, B, some), scores[:, some], atol=tolerance)
    rows, targets = rng.integers(0, len(R), 30).astype(np.int32), rng.integers(0, R.shape[1], 30).astype(np.int32)
    pairs = linear_pairs(states, B, rows, targets)
    assert pairs.dtype == dtype
    assert_allclose(pairs, scores[rows, targets], atol=tolerance)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (4, 1)])
def test_hardly_anything(shape):
    ratings = ratings_of(np.ones(shape))
    B = ease_weights(ratings, 1.0)
    assert B.shape == (shape[1], shape[1])
    assert_allclose(linear_scores(ratings, B), np.zeros(shape) if shape[1] < 2 else np.empty((0, 3)))
    nobody = np.empty(0, np.int32)
    assert linear_pairs(ratings, B, nobody, nobody).shape == (0,)


@pytest.mark.skipif(_free_memory() is None, reason="the system does not tell its free memory")
def test_a_catalogue_too_large_is_refused():
    indptr, nothing = np.zeros(2, np.int32), np.empty(0, np.int32)
    with pytest.raises(MemoryError, match="EASE's weights of 20,000,000 items would take"):
        ease_weights(Ratings(indptr, nothing, np.empty(0), None, 20_000_000), 1.0)


def test_a_ridge_too_small_is_refused():
    with pytest.raises(ValueError, match="raise alpha"):
        ease_weights(ratings_of(np.full((3, 2), 1e9)), 1e-12)
