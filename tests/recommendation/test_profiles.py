"""Profiles over attributes: ridge against scikit-learn's, Rocchio by hand, scores as sums of contributions."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.linear_model import Ridge

from skml.recommendation import profiles
from skml.recommendation.ranking import take_rows
from skml.recommendation.ratings import build_ratings

N_ITEMS = 25


def problem(rng, d, n_users=30, weighted=True, dtype=np.float64):
    sizes = np.append(rng.integers(1, N_ITEMS, n_users - 2), [0, N_ITEMS])
    users = np.repeat(np.arange(n_users, dtype=np.int32), sizes)
    items = np.concatenate([rng.choice(N_ITEMS, size, replace=False) for size in sizes]).astype(np.int32)
    weights = rng.integers(1, 4, len(users)).astype(dtype) if weighted else None
    data = rng.integers(1, 6, len(users)).astype(dtype)
    attributes = (rng.normal(size=(N_ITEMS, d)) * (rng.random((N_ITEMS, d)) < 0.6)).astype(dtype)
    return build_ratings(users, items, data, weights, (n_users, N_ITEMS)), attributes


def of_user(ratings, user):
    own = slice(ratings.indptr[user], ratings.indptr[user + 1])
    weights = None if ratings.weights is None else ratings.weights[own]
    return ratings.indices[own], ratings.data[own], weights


def dense(matrix):
    return matrix.toarray() if sp.issparse(matrix) else matrix


as_kind = pytest.mark.parametrize("kind", [np.asarray, sp.csr_array], ids=["dense", "sparse"])


@as_kind
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("d", [1, 4, 12, 40])
@pytest.mark.parametrize("shared", [True, False])
def test_ridge_is_scikit_learns_per_user(rng, monkeypatch, d, weighted, kind, shared):
    if not shared:
        monkeypatch.setattr(profiles, "_SHARED_BYTES", 0)
    ratings, A = problem(rng, d, weighted=weighted)
    found = dense(profiles.profiles_of(profiles.ridge_states(ratings, kind(A), 0.7), kind(A)))
    for user in range(ratings.n_rows):
        items, r, w = of_user(ratings, user)
        if len(items) == 0:
            np.testing.assert_array_equal(found[user], 0)
            continue
        expected = Ridge(alpha=0.7, fit_intercept=False, tol=1e-12).fit(A[items], r, sample_weight=w).coef_
        np.testing.assert_allclose(found[user], expected, atol=1e-8)


@as_kind
@pytest.mark.parametrize("d", [3, 40])
def test_confidence_counts_every_item(rng, d, kind):
    ratings, A = problem(rng, d)
    ratings = ratings.with_data(ratings.data - 0.8)  # from 0.2: also less than the confidence of what is absent
    white = A @ profiles.whitening(A, 0.5)
    states = profiles.ridge_states(ratings, kind(white), 1.0, confidence=True)
    scores = profiles.content_scores(states, kind(white), kind(white))
    for user in range(ratings.n_rows):
        items, c, w = of_user(ratings, user)
        confidence, liked = np.ones(N_ITEMS), np.zeros(N_ITEMS)
        confidence[items], liked[items] = c * w, 1
        left = (A.T * confidence) @ A + 0.5 * np.eye(d)
        np.testing.assert_allclose(scores[user], A @ np.linalg.solve(left, A.T @ (confidence * liked)), atol=1e-7)


@as_kind
@pytest.mark.parametrize("d", [3, 40])
def test_threads_and_other_users_change_nothing(rng, monkeypatch, d, kind):
    ratings, A = problem(rng, d)
    monkeypatch.setattr(profiles, "_BATCH_BYTES", 2**13)
    one, two = (dense(profiles.ridge_states(ratings, kind(A), 0.7, n_threads=n)) for n in (1, 2))
    np.testing.assert_array_equal(one, two)
    for user in (0, 7, 29):  # folding in is fitting that user alone
        items, r, w = of_user(ratings, user)
        alone = build_ratings(np.zeros(len(items), np.int32), items, r, w, (1, N_ITEMS))
        np.testing.assert_allclose(dense(profiles.ridge_states(alone, kind(A), 0.7))[0], one[user], atol=1e-9)


@as_kind
@pytest.mark.parametrize("d", [3, 40])
@pytest.mark.parametrize("how", ["ridge", "rocchio"])
def test_scores_are_sums_of_contributions(rng, d, kind, how):
    ratings, A = problem(rng, d)
    A = kind(A / np.maximum(np.linalg.norm(A, axis=1, keepdims=True), 1e-12))
    if how == "ridge":
        states = profiles.ridge_states(ratings, A, 0.5)
    else:
        said = (profiles.liked(ratings, None, 3.0), 0.3)
        states = profiles.rocchio_states(ratings, A, *said)
        coefficients = profiles.rocchio_coefficients(ratings, A, *said)
    scores = profiles.content_scores(states, A, A)
    np.testing.assert_allclose(profiles.content_scores(states, A, A[[4, 2]]), scores[:, [4, 2]], atol=1e-12)
    users, items = rng.integers(0, 30, 50), rng.integers(0, N_ITEMS, 50)
    np.testing.assert_allclose(profiles.content_pairs(states, A, users, items), scores[users, items], atol=1e-10)
    for user in (0, 28, 29):
        own = slice(ratings.indptr[user], ratings.indptr[user + 1])
        if how == "ridge":
            parts = profiles.ridge_reasons(take_rows(ratings, np.array([user])), A, A[[3]], 0.5)
        else:
            parts = profiles.contributions(coefficients[own], A[ratings.indices[own]], A[[3]])
        assert parts.shape == (own.stop - own.start,)
        np.testing.assert_allclose(parts.sum(), scores[user, 3], atol=1e-9)


@as_kind
@pytest.mark.parametrize("d", [3, 40])
def test_reasons_of_ridge_are_what_a_rating_adds(rng, d, kind):
    ratings, A = problem(rng, d)
    one = take_rows(ratings, np.array([28]))
    parts = profiles.ridge_reasons(one, kind(A), kind(A)[[3]], 1e-3)
    for i in range(len(one.data)):  # the score is linear in ratings: without what was said of an item, its part is gone
        data = one.data.copy()
        data[i] = 0
        change = [profiles.ridge_states(r, kind(A), 1e-3) for r in (one, one.with_data(data))]
        before, after = (profiles.content_scores(state, kind(A), kind(A)[[3]])[0, 0] for state in change)
        assert parts[i] == pytest.approx(before - after, rel=1e-4, abs=1e-7)


@as_kind
def test_float32_stays(rng, kind):
    ratings, A = problem(rng, 6, dtype=np.float32)
    exact = profiles.ridge_states(ratings, A.astype(np.float64), 1.0)
    states = profiles.ridge_states(ratings, kind(A), 1.0)
    assert states.dtype == np.float32
    scores = profiles.content_scores(states, kind(A), kind(A))
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, exact @ A.T, atol=1e-3)
    assert profiles.rocchio_states(ratings, kind(A), profiles.liked(ratings, None, 3.0), 0.2).dtype == np.float32
    one = take_rows(ratings, np.array([0]))
    assert profiles.ridge_reasons(one, kind(A), kind(A)[[1]], 1.0).dtype == np.float32
    assert profiles.whitening(A, 1.0).dtype == np.float32


@as_kind
def test_rocchio_by_hand(kind):
    A = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]])
    ratings = build_ratings(
        np.array([0, 0, 0, 1], np.int32), np.array([0, 1, 2, 1], np.int32), np.array([5.0, 4, 1, 2]),
        np.array([3.0, 1, 1, 1]), (3, 3),
    )  # fmt: skip
    said = profiles.liked(ratings, None, 3.0)
    assert said.tolist() == [True, True, False, False]  # the first user's weighted mean is 4; the other's all are 2 < 3
    said = profiles.liked(ratings, 4, 3.0)
    assert said.tolist() == [True, True, False, False]
    states = dense(profiles.profiles_of(profiles.rocchio_states(ratings, kind(A), said, 0.5), kind(A)))
    first = np.array([0.75, 0.25, -0.5])
    np.testing.assert_allclose(states, [first / np.linalg.norm(first), [0, -1, 0], [0, 0, 0]])


def test_one_opinion_is_compared_with_all():
    ratings = build_ratings(
        np.array([0, 1, 2, 2], np.int32), np.array([0, 0, 0, 1], np.int32), np.array([5.0, 1, 2, 2]), None, (3, 2)
    )
    assert profiles.liked(ratings, None, 3.0).tolist() == [True, False, False, False]
    assert profiles.liked(ratings, None, 2.0).tolist() == [True, False, True, True]


@as_kind
def test_a_centroid_that_cancels_is_none(kind):
    A = np.array([[1.0, 0], [1.0, 0]])
    users, items = np.zeros(2, np.int32), np.arange(2, dtype=np.int32)
    ratings = build_ratings(users, items, np.array([5.0, 1]), None, (1, 2))
    states = profiles.rocchio_states(ratings, kind(A), np.array([True, False]), 1.0)
    np.testing.assert_array_equal(dense(states), 0)


def test_new_items_are_scored_by_their_attributes():
    A = np.array([[1.0, 0], [0, 1.0]])  # one user likes the first kind and not the second
    users, items = np.zeros(2, np.int32), np.arange(2, dtype=np.int32)
    ratings = build_ratings(users, items, np.array([2.0, -2.0]), None, (1, 2))
    new = np.array([[1.0, 0], [0.5, 0.5], [0, 1.0]])
    scores = profiles.content_scores(profiles.ridge_states(ratings, A, 1.0), A, new)
    np.testing.assert_allclose(scores, [[1, 0, -1]])


def test_a_line(rng):
    x, w = rng.normal(size=20), rng.integers(1, 4, 20).astype(float)
    slope, intercept = profiles.line_through(x, 2 * x + 1, w)
    assert slope == pytest.approx(2) and intercept == pytest.approx(1)
    assert profiles.line_through(np.ones(3), np.array([1.0, 2, 3])) == (0, 2)
    expected = np.polyfit(x, y := rng.normal(size=20), 1, w=np.sqrt(w))
    np.testing.assert_allclose(profiles.line_through(x, y, w), expected)
