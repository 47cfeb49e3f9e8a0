"""SLIM: the conditions of optimality, and scikit-learn's elastic net on each item."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import ElasticNet as SklearnElasticNet

from skml.recommendation import slices
from skml.recommendation import slim as module
from skml.recommendation.ease import ease_weights
from skml.recommendation.neighbors import Vote, item_neighborhood, predict_rows
from skml.recommendation.ratings import build_ratings
from skml.recommendation.slim import ElasticNet, slim_steps, slim_weights


def ratings_of(R, weights=None, dtype=np.float64):
    users, items = np.nonzero(R)
    weights = None if weights is None else weights[users, items]
    codes = users.astype(np.int32), items.astype(np.int32)
    return build_ratings(*codes, R[users, items].astype(dtype), weights, R.shape)


@pytest.fixture
def R(rng):
    R = rng.standard_normal((50, 14)) + 0.5
    R *= rng.uniform(size=R.shape) < 0.4
    R[:, 4] = 0
    return R


def learned(ratings, n_threads=1, **net):
    steps = list(slim_steps(ratings, ElasticNet(**net), n_threads))
    assert [step.last for step in steps] == [False] * (len(steps) - 1) + [True]
    objective = sum(step.metrics["objective"] for step in steps)
    return slim_weights(steps[-1].state, ratings.n_columns), objective


def violations(X, W, l1, l2, nonnegative):
    """Return by how far the subgradient of (4) stays away from 0, per pair of items."""
    gradient = X.T @ (X @ W - X) + l2 * W
    there = np.abs(gradient + l1 * np.sign(W))
    absent = np.maximum(0, -gradient - l1) if nonnegative else np.maximum(0, np.abs(gradient) - l1)
    found = np.where(W != 0, there, absent)
    np.fill_diagonal(found, 0)
    return found


@pytest.mark.parametrize("nonnegative", [False, True])
@pytest.mark.parametrize("penalty", [(0.5, 1.0), (0.0, 2.0), (2.0, 0.0)])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_conditions_of_optimality_hold(R, rng, nonnegative, penalty, weighted):
    weights = rng.uniform(0.3, 3, R.shape) if weighted else None
    X, (l1, l2) = R * np.sqrt(1 if weights is None else weights), penalty
    similar, _ = learned(ratings_of(R, weights), l1=l1, l2=l2, nonnegative=nonnegative, tol=1e-12, max_iter=100_000)
    W = similar.toarray().T
    assert_array_equal(np.diag(W), 0)
    assert not nonnegative or np.all(W >= 0)
    assert_allclose(violations(X, W, l1, l2, nonnegative), 0, atol=1e-8)


@pytest.mark.parametrize("nonnegative", [False, True])
def test_as_scikit_learns_elastic_net(R, nonnegative):
    l1, l2, n = 1.0, 2.0, len(R)
    W = learned(ratings_of(R), l1=l1, l2=l2, nonnegative=nonnegative, tol=1e-12)[0].toarray().T
    net = SklearnElasticNet(
        alpha=(l1 + l2) / n, l1_ratio=l1 / (l1 + l2), fit_intercept=False, positive=nonnegative, tol=1e-12,
        max_iter=100_000,
    )  # fmt: skip
    for j in (0, 9):
        others = np.delete(np.arange(R.shape[1]), j)
        assert_allclose(W[others, j], net.fit(R[:, others], R[:, j]).coef_, atol=1e-6)


def test_without_l1_and_bound_it_is_ease(R):
    W = learned(ratings_of(R), l1=0.0, l2=3.0, nonnegative=False, tol=1e-13, max_iter=100_000)[0].toarray().T
    assert_allclose(W, ease_weights(ratings_of(R), 3.0), atol=1e-9)


@pytest.mark.parametrize("nonnegative", [False, True])
def test_the_objective_is_the_one_told(R, nonnegative):
    l1, l2 = 0.3, 0.7
    similar, objective = learned(ratings_of(R), l1=l1, l2=l2, nonnegative=nonnegative)
    W = similar.toarray().T
    told = 0.5 * ((R - R @ W) ** 2).sum() + 0.5 * l2 * (W**2).sum() + l1 * np.abs(W).sum()
    assert_allclose(objective, told)


def test_a_large_l1_leaves_nothing(R):
    assert learned(ratings_of(R), l1=1e6)[0].nnz == 0


def test_a_tighter_tolerance_finds_a_lower_minimum(R):
    objectives = [learned(ratings_of(R), l1=0.1, tol=tol)[1] for tol in (1e-1, 1e-3, 1e-9)]
    assert objectives[0] >= objectives[1] >= objectives[2] - 1e-12


def test_neither_threads_nor_pauses_nor_steps_change_a_bit(R, monkeypatch):
    results = []
    monkeypatch.setattr(slices, "_LEAST_WORK", 0)
    for n_threads, work, steps in ((1, 1e8, 1), (2, 1e8, 1), (3, 60, 3)):
        monkeypatch.setattr(module, "_WORK_PER_CALL", work)
        monkeypatch.setattr(module, "_STEPS", steps)
        results.append(learned(ratings_of(R), n_threads=n_threads)[0].toarray())
    assert_array_equal(results[0], results[1])
    assert_array_equal(results[0], results[2])


def test_what_is_learned_so_far_is_a_model(R, monkeypatch):
    monkeypatch.setattr(module, "_STEPS", 3)
    whole = learned(ratings_of(R))[0].toarray()
    steps = list(slim_steps(ratings_of(R), ElasticNet()))
    assert [step.last for step in steps] == [False, False, True]
    partly = slim_weights(steps[0].state, 14).toarray()
    assert_array_equal(partly[:5], whole[:5])
    assert not partly[5:].any()


def test_products_are_counted_where_they_might_not_fit(R, monkeypatch):
    ratings = ratings_of(R)
    n = module.count_products(ratings)
    assert n == np.count_nonzero((R != 0).T.astype(int) @ (R != 0))
    asked = []

    def refuse(n_bytes, purpose):
        asked.append(n_bytes)
        if n_bytes > 24 * room:
            raise MemoryError(purpose)

    monkeypatch.setattr(module, "require_memory", refuse)
    room = n
    learned(ratings)  # the bound is refused, the count is not
    assert asked[-1] == 24 * n <= asked[0]
    room = n - 1
    with pytest.raises(MemoryError, match="products of 14 items"):
        learned(ratings)


def test_float32_and_predictions(R):
    ratings = ratings_of(R, dtype=np.float32)
    similar = learned(ratings)[0]
    assert similar.dtype == np.float32
    assert similar.indices.dtype == similar.indptr.dtype == np.int32
    scores = predict_rows(ratings, item_neighborhood(similar, Vote(len(R), mean=False)))
    assert_allclose(scores, R @ similar.toarray().T, atol=1e-5)
