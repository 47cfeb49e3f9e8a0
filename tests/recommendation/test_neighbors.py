"""Neighbours' predictions: by hand, against a brute force, and against the formula of Surprise's KNNBaseline."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from skml.recommendation import neighbors as module
from skml.recommendation import slices
from skml.recommendation.neighbors import (
    Vote,
    baseline_of,
    deviations,
    item_neighborhood,
    predict_items,
    predict_pairs,
    predict_rows,
    reasons,
    user_neighborhood,
)
from skml.recommendation.ratings import Ratings, build_ratings
from skml.recommendation.similarity import Measure, similarities, similarities_to

VOTES = [Vote(3), Vote(100), Vote(2, damping=1.5), Vote(3, mean=False)]


def ratings_of(R, rated, weights=None, dtype=np.float64):
    users, items = np.nonzero(rated)
    weights = None if weights is None else weights[users, items]
    codes = users.astype(np.int32), items.astype(np.int32)
    return build_ratings(*codes, R[users, items].astype(dtype), weights, R.shape)


@pytest.fixture
def data(rng):
    """Deviations, where they are, and their weights; a user and an item have none."""
    rated = rng.uniform(size=(25, 14)) < 0.5
    rated[3], rated[:, 5] = False, False
    return rng.integers(-4, 5, rated.shape) / 2, rated, rng.uniform(0.3, 3, rated.shape)


def item_based(data, vote, n_kept=None, weighted=True, dtype=np.float64):
    D, rated, weights = data
    opinions = ratings_of(D, rated, weights if weighted else None, dtype)
    similar = similarities(opinions, Measure(shrinkage=3, n_kept=n_kept, negative=True))
    return opinions, item_neighborhood(similar, vote), similar.toarray()


def user_based(data, vote, n_kept=None, weighted=True, dtype=np.float64):
    D, rated, weights = data
    opinions = ratings_of(D, rated, weights if weighted else None, dtype)
    similar = similarities(opinions.flipped()[0], Measure(shrinkage=3, n_kept=n_kept, negative=True))
    return Ratings.of_matrix(similar), user_neighborhood(opinions, vote), similar.toarray()


def said(similar, opinions, weights, vote):
    """Return what those who have an opinion say, by the definition."""
    order = np.argsort(-np.abs(similar), kind="stable")[: vote.n_neighbors]
    s, d, w = similar[order], opinions[order], weights[order]
    if not vote.mean:
        return (s * w * d).sum()
    return (s * w * d).sum() / (vote.damping + (np.abs(s) * w).sum()) if len(s) else 0.0


def brute(data, similar, vote, kind):
    D, rated, weights = data
    P = np.zeros(D.shape)
    for u, i in np.ndindex(P.shape):
        if kind == "item":
            there = rated[u] & (similar[i] != 0)
            P[u, i] = said(similar[i, there], D[u, there], weights[u, there], vote)
        else:
            there = rated[:, i] & (similar[u] != 0)
            P[u, i] = said(similar[u, there], D[there, i], weights[there, i], vote)
    return P


def test_by_hand():
    """Item 0 is like items 1, 2 and 3 by 0.5, 0.25 and -0.25, which were rated 1, -2 and 1 above the baseline."""
    similar = sp.csr_array(np.array([[0, 0.5, 0.25, -0.25], *np.zeros((3, 4))]))
    similar = sp.csr_array((similar.data, similar.indices.astype(np.int32), similar.indptr.astype(np.int32)), (4, 4))
    D = np.array([[0, 1.0, -2, 1]])
    opinions, pair = ratings_of(D, D != 0), (np.zeros(1, np.int32), np.zeros(1, np.int32))
    for vote, expected in [
        (Vote(3), (0.5 - 0.5 - 0.25) / 1),
        (Vote(2), 0),  # of 2 and 3, equally alike, the lower speaks
        (Vote(1), 1),
        (Vote(1, damping=0.5), 0.5),
        (Vote(3, mean=False), -0.25),
    ]:
        assert_allclose(predict_pairs(opinions, item_neighborhood(similar, vote), *pair), expected)
    twice = ratings_of(D, D != 0, np.array([[1.0, 1, 2, 1]]))
    assert_allclose(predict_pairs(twice, item_neighborhood(similar, Vote(3)), *pair), (0.5 - 1 - 0.25) / 1.25)


@pytest.mark.parametrize("kind", ["item", "user"])
@pytest.mark.parametrize("vote", VOTES, ids=str)
@pytest.mark.parametrize("n_kept", [None, 4])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_as_brute_force(data, kind, vote, n_kept, weighted, dtype):
    build = item_based if kind == "item" else user_based
    states, neighborhood, similar = build(data, vote, n_kept, weighted, dtype)
    weights = data[2] if weighted else np.ones_like(data[2])
    expected = brute((*data[:2], weights.astype(dtype)), similar, vote, kind)
    predicted = predict_rows(states, neighborhood)
    assert predicted.dtype == dtype
    assert_allclose(predicted, expected, rtol=0, atol=1e-12 if dtype is np.float64 else 1e-5)
    rows, targets = np.indices(expected.shape, dtype=np.int32).reshape(2, -1)
    assert_array_equal(predict_pairs(states, neighborhood, rows, targets), predicted.ravel())
    some = np.array([9, 2, 2], np.int32)
    assert_array_equal(predict_items(states, neighborhood, some), predicted[:, some])


@pytest.mark.parametrize("build", [item_based, user_based])
@pytest.mark.parametrize("vote", VOTES, ids=str)
def test_reasons_add_up(data, build, vote):
    states, neighborhood, similar = build(data, vote)
    D, rated, _ = data
    predicted = predict_rows(states, neighborhood)
    for u, i in [(0, 0), (3, 2), (4, 5), (12, 13)]:
        codes, contributions = reasons(states, neighborhood, u, i)
        assert_allclose(contributions.sum(), predicted[u, i], atol=1e-12)
        assert len(codes) <= vote.n_neighbors
        assert np.all(np.diff(codes) > 0)
        signs = similar[i, codes] * D[u, codes] if build is item_based else similar[u, codes] * D[codes, i]
        assert_array_equal(np.sign(contributions), np.sign(signs))
        assert np.all(rated[u, codes] if build is item_based else rated[codes, i])


@pytest.mark.parametrize("build", [item_based, user_based])
def test_neither_threads_nor_calls_nor_batches_change_a_bit(data, build, monkeypatch):
    states, neighborhood, _ = build(data, Vote(3), dtype=np.float32)
    rows, targets = np.indices(data[0].shape, dtype=np.int32).reshape(2, -1)
    results = []
    monkeypatch.setattr(slices, "_LEAST_WORK", 0)
    for n_threads, terms in ((1, 3e7), (2, 3e7), (3, 50)):
        monkeypatch.setattr(module, "_TERMS_PER_CALL", terms)
        whole = predict_rows(states, neighborhood, n_threads)
        results.append((whole, predict_pairs(states, neighborhood, rows, targets, n_threads)))
    for other in results[1:]:
        assert_array_equal(results[0][0], other[0])
        assert_array_equal(results[0][1], other[1])


def test_a_user_folded_in_is_predicted_as_a_known_one(data):
    """Item-based, ratings are the state; user-based, similarities to all others are, the user's own copy aside."""
    D, rated, weights = data
    opinions, measure = ratings_of(D, rated, weights), Measure(shrinkage=3, negative=True)
    similar, neighborhood, _ = user_based(data, Vote(5))
    to = similarities_to(opinions, opinions, measure).toarray()
    np.fill_diagonal(to, 0)
    states = ratings_of(to, to != 0)
    assert_allclose(predict_rows(states, neighborhood), predict_rows(similar, neighborhood), atol=1e-12)


def test_implicit_feedback_sums_similarities(data):
    _, rated, _ = data
    liked = ratings_of(np.ones(rated.shape), rated)
    similar = similarities(liked, Measure("jaccard"))
    scores = predict_rows(liked, item_neighborhood(similar, Vote(99, mean=False)))
    assert_allclose(scores, rated @ similar.toarray().T)


def test_deviations_and_baseline(data, rng):
    R, rated, weights = data
    mean, user_bias, item_bias = 3.5, rng.standard_normal(len(R)), rng.standard_normal(R.shape[1])
    B = baseline_of(mean, user_bias[:, None], item_bias)
    assert_allclose(B, mean + user_bias[:, None] + item_bias)
    opinions = deviations(ratings_of(R, rated, weights), mean, user_bias, item_bias)
    assert_allclose(opinions.data, (R - B)[rated])
    single = deviations(ratings_of(R, rated, dtype=np.float32), mean, *(b.astype("f") for b in (user_bias, item_bias)))
    assert single.data.dtype == np.float32
    assert baseline_of(mean, user_bias.astype("f"), item_bias.astype("f")[0]).dtype == np.float32


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (2, 1)])
def test_hardly_anything(shape):
    for build in (item_based, user_based):
        states, neighborhood, _ = build((np.ones(shape), np.ones(shape, bool), np.ones(shape)), Vote())
        assert neighborhood.n_targets == shape[1]
        assert predict_rows(states, neighborhood).shape == shape
        assert predict_pairs(states, neighborhood, *np.empty((2, 0), np.int32)).shape == (0,)


@pytest.mark.parametrize("user_based_too", [False, True])
def test_as_surprise(rng, user_based_too):
    """Given their similarities and baselines, KNNBaseline's predictions are these."""
    surprise = pytest.importorskip("surprise")
    pandas = pytest.importorskip("pandas")
    R = rng.uniform(1, 5, (30, 12))
    rated = rng.uniform(size=R.shape) < 0.5
    users, items = np.nonzero(rated)
    frame = pandas.DataFrame({"user": users, "item": items, "rating": R[rated]})
    reader = surprise.Reader(rating_scale=(-1e9, 1e9))
    train = surprise.Dataset.load_from_df(frame, reader).build_full_trainset()
    options = {"name": "pearson_baseline", "user_based": user_based_too, "shrinkage": 20}
    theirs = surprise.KNNBaseline(k=4, verbose=False, bsl_options={"method": "als"}, sim_options=options).fit(train)
    b_u = np.array([theirs.bu[train.to_inner_uid(u)] if rated[u].any() else 0 for u in range(30)])
    b_i = np.array([theirs.bi[train.to_inner_iid(i)] if rated[:, i].any() else 0 for i in range(12)])
    opinions = deviations(ratings_of(R, rated), train.global_mean, b_u, b_i)
    # there, similarities are shrunk by (n - 1) / (n - 1 + shrinkage)
    side = opinions.flipped()[0] if user_based_too else opinions
    plain = similarities(side, Measure(negative=True)).toarray()
    common = rated.astype(float)
    n = common @ common.T if user_based_too else common.T @ common
    shrunk = np.maximum(plain * np.where(n > 0, (n - 1) / (n - 1 + 20), 0), 0)
    close = sp.csr_array(shrunk)
    close = sp.csr_array((close.data, close.indices.astype(np.int32), close.indptr.astype(np.int32)), close.shape)
    neighborhood = (user_neighborhood if user_based_too else item_neighborhood)(
        opinions if user_based_too else close, Vote(4)
    )
    predicted = predict_rows(Ratings.of_matrix(close) if user_based_too else opinions, neighborhood)
    predicted += baseline_of(train.global_mean, b_u[:, None], b_i)
    for u, i in zip(*np.nonzero(~rated)):
        if rated[u].any() and rated[:, i].any():
            assert_allclose(predicted[u, i], theirs.predict(u, i).est, atol=1e-9)
