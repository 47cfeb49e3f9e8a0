"""Similarities: against hand-computed values, a brute force over pairs, and copies of users."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skml import _kernels
from skml.recommendation import similarity as module
from skml.recommendation import slices
from skml.recommendation.ratings import build_ratings
from skml.recommendation.similarity import Measure, dense_gram, gram, similarities, similarities_to

METRICS = ["cosine", "pearson", "adjusted_cosine", "jaccard", "product"]
# rows are users, 0 is missing
SMALL = np.array([[4, 2, 0, 5], [2, 1, 3, 0], [5, 0, 1, 1], [0, 4, 2, 0]])


def ratings_of(R, weights=None, dtype=np.float64):
    users, items = np.nonzero(R)
    weights = None if weights is None else weights[users, items]
    codes = users.astype(np.int32), items.astype(np.int32)
    return build_ratings(*codes, R[users, items].astype(dtype), weights, R.shape)


@pytest.fixture
def R(rng):
    R = rng.integers(1, 6, (30, 12)) * (rng.uniform(size=(30, 12)) < 0.5)
    R[3] = 4 * (R[3] > 0)  # a user who always says the same
    R[:, 5] = 2 * (R[:, 5] > 0)  # an item that always gets the same
    R[7], R[:, 8] = 0, 0
    return R


def brute(R, metric, missing="unknown", weights=None):
    """Return the similarities of columns and their supports, a pair at a time, as the definitions say."""
    rated, X = R != 0, R.astype(float)
    w = rated * (1.0 if weights is None else weights)
    if metric == "adjusted_cosine":
        X = X - ((w * X).sum(axis=1) / np.maximum(w.sum(axis=1), 1e-30))[:, None]
    n_items = R.shape[1]
    value, support = np.zeros((2, n_items, n_items))
    for i, j in np.ndindex(n_items, n_items):
        common = rated[:, i] & rated[:, j]
        g, x, y = np.sqrt(w[common, i] * w[common, j]), X[common, i], X[common, j]
        support[i, j] = g.sum()
        if i == j or not common.any():
            continue
        if metric == "pearson":
            x, y = x - np.average(x, weights=g), y - np.average(y, weights=g)
        a, b = (g * x * x).sum(), (g * y * y).sum()
        if metric == "cosine" and missing == "zero":
            a, b = (w[:, i] * X[:, i] ** 2).sum(), (w[:, j] * X[:, j] ** 2).sum()
        if metric == "jaccard":
            value[i, j] = g.sum() / (w[:, i].sum() + w[:, j].sum() - g.sum())
        elif metric == "product":
            value[i, j] = (g * x * y).sum()
        elif min(a, b) > 1e-20:
            value[i, j] = (g * x * y).sum() / np.sqrt(a * b)
    return value, support


def test_by_hand():
    """Items 0 and 1 were rated (4, 2) and (2, 1) by the users who rated both; 0 and 2 with (2, 3) and (5, 1)."""
    ratings = ratings_of(SMALL)
    everything = Measure(negative=True)
    cosine = similarities(ratings, everything).toarray()
    assert_allclose(cosine[0, [1, 2]], [1, 11 / np.sqrt(29 * 10)])
    zero = similarities(ratings, replace(everything, missing="zero")).toarray()
    assert_allclose(zero[0, [1, 2]], [10 / np.sqrt(45 * 21), 11 / np.sqrt(45 * 14)])
    assert_allclose(similarities(ratings, Measure("jaccard")).toarray()[0], [0, 2 / 4, 2 / 4, 2 / 3])
    assert_allclose(similarities(ratings, Measure("pearson", negative=True)).toarray()[0, :3], [0, 1, -1])
    # users' means are 11/3, 2, 7/3, 3
    adjusted = similarities(ratings, Measure("adjusted_cosine", negative=True)).toarray()[0, 2]
    assert_allclose(adjusted, (0 * 1 + 8 / 3 * -4 / 3) / np.sqrt((64 / 9) * (1 + 16 / 9)))
    shrunk = similarities(ratings, replace(everything, shrinkage=6)).toarray()
    assert_allclose(shrunk[0, 1], 2 / 8)


@pytest.mark.parametrize("metric", [*METRICS, "zero"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("negative", [False, True])
def test_as_brute_force(rng, R, metric, weighted, dtype, negative):
    weights = rng.uniform(0.3, 3, R.shape).astype(dtype) if weighted else None
    metric, missing = ("cosine", "zero") if metric == "zero" else (metric, "unknown")
    measure = Measure(metric, missing, shrinkage=2.5, min_support=1.5, negative=negative)
    similar = similarities(ratings_of(R, weights, dtype), measure)
    expected, support = brute(R, metric, missing, weights)
    expected *= support / (support + 2.5) * (support >= 1.5) * (negative | (expected > 0))
    assert similar.dtype == dtype
    assert similar.indices.dtype == similar.indptr.dtype == np.int32
    assert similar.has_sorted_indices
    tolerance = 1e-10 if dtype is np.float64 else 3e-5 * max(1, expected.max())
    assert_allclose(similar.toarray(), expected, rtol=0, atol=tolerance)


@pytest.mark.skipif(_kernels.LEVEL == "reference", reason="twins multiply by BLAS, whose bits are its own")
@pytest.mark.parametrize("metric", METRICS)
def test_symmetric_to_the_bit(R, rng, metric):
    similar = similarities(ratings_of(R, rng.uniform(0.3, 3, R.shape)), Measure(metric, negative=True)).toarray()
    assert_array_equal(similar, similar.T)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("n_kept", [1, 3, 50])
@pytest.mark.parametrize("negative", [False, True])
def test_the_largest_are_kept(R, metric, n_kept, negative):
    everything = similarities(ratings_of(R), Measure(metric, negative=negative)).toarray()
    kept = similarities(ratings_of(R), Measure(metric, negative=negative, n_kept=n_kept)).toarray()
    for row, few in zip(everything, kept):
        best = np.argsort(-np.abs(row), kind="stable")[:n_kept]
        assert_array_equal(few, np.where(np.isin(np.arange(len(row)), best), row, 0))


@pytest.mark.parametrize("metric", ["cosine", "pearson", "jaccard"])
def test_a_user_of_weight_k_is_k_users(rng, R, metric):
    copies = rng.integers(1, 4, len(R))
    weights = np.broadcast_to(copies[:, None], R.shape).astype(float)
    for missing in ("unknown", "zero"):
        measure = Measure(metric, missing, shrinkage=3, min_support=2, negative=True)
        weighted = similarities(ratings_of(R, weights), measure).toarray()
        assert_allclose(weighted, similarities(ratings_of(np.repeat(R, copies, axis=0)), measure).toarray(), atol=1e-12)


@pytest.mark.parametrize("scale, shift", [(3.0, 0.0), (0.1, 7.3)])
def test_pearson_ignores_units(R, scale, shift):
    a, b = (similarities(ratings_of(S), Measure("pearson", negative=True)).toarray() for S in (R, R))
    assert_allclose(a, b)
    moved = ratings_of(R)
    moved = moved.with_data(scale * moved.data + shift)
    assert_allclose(similarities(moved, Measure("pearson", negative=True)).toarray(), a, atol=1e-9)


@pytest.mark.parametrize("metric", ["pearson", "adjusted_cosine"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_who_always_says_the_same_is_like_nobody(metric, dtype):
    """0.1 has no exact sums: what is left after centring must not be taken for an opinion."""
    R = np.full((7, 5), 0.1)
    assert similarities(ratings_of(R, dtype=dtype), Measure(metric, negative=True)).nnz == 0


@pytest.mark.parametrize("metric", METRICS)
def test_new_users_are_compared_as_known_ones(R, rng, metric):
    weights, measure = rng.uniform(0.3, 3, R.shape), Measure(metric, shrinkage=2, negative=True)
    known = ratings_of(R, weights)
    among = similarities(known.flipped()[0], measure).toarray()
    to = similarities_to(known, known, measure).toarray()
    off = ~np.eye(len(R), dtype=bool)
    assert_allclose(to[off], among[off], atol=1e-12)
    if metric == "cosine":
        support = weights.astype(float) * (R > 0)
        assert_allclose(np.diag(to), support.sum(axis=1) / (support.sum(axis=1) + 2))


@pytest.mark.parametrize("metric", METRICS)
def test_neither_threads_nor_chunks_change_a_bit(R, metric, monkeypatch):
    measure, results = Measure(metric, n_kept=4, shrinkage=1), []
    monkeypatch.setattr(slices, "_LEAST_WORK", 0)
    for n_threads, pairs in ((1, 3e7), (2, 3e7), (3, 40)):
        monkeypatch.setattr(module, "_PAIRS_PER_CALL", pairs)
        results.append(similarities(ratings_of(R, dtype=np.float32), measure, n_threads))
    for other in results[1:]:
        assert_array_equal(results[0].indptr, other.indptr)
        assert_array_equal(results[0].indices, other.indices)
        assert_array_equal(results[0].data, other.data)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_gram(R, rng, weighted, dtype):
    weights = rng.uniform(0.3, 3, R.shape) if weighted else None
    ratings = ratings_of(R, weights, dtype)
    X = R * np.sqrt(1 if weights is None else weights)
    assert_allclose(gram(ratings).toarray(), X.T @ X, rtol=1e-12 if dtype is np.float64 else 1e-6)
    assert_array_equal(gram(ratings).toarray(), dense_gram(ratings))
    assert gram(ratings).dtype == dense_gram(ratings).dtype == np.float64


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (1, 1), (2, 3)])
def test_nothing_in_common(shape):
    ratings = ratings_of(np.eye(*shape))
    for metric in METRICS:
        similar = similarities(ratings, Measure(metric))
        assert similar.shape == (shape[1], shape[1])
        assert similar.nnz == 0


@pytest.mark.parametrize("metric", ["cosine", "pearson", "adjusted_cosine"])
@pytest.mark.parametrize("weighted", [False, True])
def test_similarities_of_one_or_two_common_raters_are_equal_to_the_bit(rng, metric, weighted):
    # one common rater makes cosines 1 or -1, two make correlations so: what rounding adds must not put them in order
    n, n_common = 20, 1 + (metric == "pearson")
    R = np.zeros((n_common * n, n + 1))
    for i in range(n):
        raters = slice(n_common * i, n_common * (i + 1))
        R[raters, i], R[raters, n] = rng.permutation(np.arange(1, 6) / 7)[:4].reshape(2, 2)[:, :n_common]
    weights = rng.uniform(0.5, 2, R.shape) if weighted else None
    data = similarities(ratings_of(R, weights), Measure(metric, negative=True)).data
    assert len(data) == 2 * n
    assert_array_equal(np.abs(data), 1)
