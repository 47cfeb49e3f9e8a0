"""NeighborhoodFilter: against hand-computed and dense formulas, on the checkerboard, both doors, and bad input."""

import numpy as np
import pandas
import pytest
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import ElasticNet
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score

from skml import _kernels
from skml._sklearn import InvalidParameterError
from skml.recommendation import NeighborhoodFilter, ranking, slices

METRICS = ("pearson_baseline", "cosine", "pearson", "adjusted_cosine", "jaccard")
# Every way to a prediction.
WAYS = [
    *({"metric": metric} for metric in METRICS),
    *({"kind": "user", "metric": metric} for metric in METRICS),
    {"negative": True, "damping": 0.3},
    {"solver": "ease", "alpha": 5.0},
    {"solver": "slim", "alpha": 1.0, "tol": 1e-10, "max_iter": 20_000},
    {"feedback": "implicit"},
    {"feedback": "implicit", "kind": "user"},
    {"feedback": "implicit", "metric": "jaccard"},
    {"feedback": "implicit", "solver": "ease", "alpha": 5.0},
    {"feedback": "implicit", "solver": "slim", "alpha": 1.0},
]
each_way = pytest.mark.parametrize("params", WAYS, ids=lambda p: "-".join(map(str, p.values())))
HOLES = [(0, 2), (0, 3), (1, 2), (1, 3), (4, 6), (5, 7), (6, 0), (7, 1)]


def checkerboard(n=8):
    """Return known entries of ratings of 5 where user and item are both even or both odd, else 1."""
    R = np.where(np.add.outer(np.arange(n), np.arange(n)) % 2 == 0, 5.0, 1.0)
    R[tuple(zip(*HOLES))] = np.nan
    u, i = np.nonzero(~np.isnan(R))
    return np.c_[u, i], R[u, i]


def some_ratings(rng, n_users=25, n_items=12, share=0.5):
    """Return ratings of two factors and biases, as interactions; each user and item has one at least."""
    taste = rng.normal(size=(n_users, 2)) @ rng.normal(size=(2, n_items))
    R = 3 + taste + rng.normal(size=(n_users, 1)) + rng.normal(size=n_items)
    held = rng.random(R.shape) < share
    held[~held.any(axis=1), 0] = True
    held[0, ~held.any(axis=0)] = True
    u, i = np.nonzero(held)
    return np.c_[u, i], R[u, i]


def make(**params):
    return NeighborhoodFilter(**{"shrinkage": 1.0, "n_neighbors": 5, "baseline": 0.5, **params})


def told(params, y):
    """Return y as the feedback takes it."""
    return np.exp(y / 4) if params.get("feedback") == "implicit" else y


def dense(X, y):
    R = np.full(X.max(axis=0) + 1, np.nan)
    R[tuple(X.T)] = y
    return R


# ------------------------------------------------------------------------------------------ predictions


def test_by_hand():
    # Mean 3, no biases: deviations of item 0 are (2, -2, 1), of item 1 (1, -1). Their cosine is 1; shrunk, 2 / (2 + 2).
    X, y = [[0, 0], [1, 0], [2, 0], [0, 1], [1, 1], [3, 2]], [5.0, 1.0, 4.0, 4.0, 2.0, 2.0]
    model = NeighborhoodFilter(baseline=None, shrinkage=2.0, damping=0.0).fit(X, y)
    assert model.mean_ == 3
    np.testing.assert_allclose(model.similarities_.toarray(), [[0, 0.5, 0], [0.5, 0, 0], [0, 0, 0]])
    np.testing.assert_allclose(model.predict([[2, 1], [2, 2], [3, 0]]), [4, 3, 3])
    damped = NeighborhoodFilter(baseline=None, shrinkage=2.0, damping=0.5).fit(X, y)
    np.testing.assert_allclose(damped.predict([[2, 1]]), [3.5])


@pytest.mark.parametrize("kind", ["item", "user"])
@pytest.mark.parametrize("negative", [False, True])
def test_as_the_dense_formula(rng, kind, negative):
    X, y = some_ratings(rng, share=0.9)  # with one common rater cosines are 1, equal but for rounding
    model = make(kind=kind, negative=negative, damping=0.2).fit(X, y)
    R = dense(X, y)
    D = np.nan_to_num(R - model.mean_ - model.user_bias_[:, None] - model.item_bias_)
    known = ~np.isnan(R)
    if kind == "user":
        D, known = D.T, known.T
    counts = known.T.astype(float) @ known
    norms = np.sqrt(((D**2).T @ known) * (known.T @ (D**2)))
    S = (D.T @ D) / np.where(norms > 0, norms, 1) * counts / (counts + 1)
    np.fill_diagonal(S, 0)
    S = S if negative else np.maximum(S, 0)
    expected = np.zeros(D.shape)
    for u, i in np.ndindex(D.shape):
        speaking = np.flatnonzero(known[u] & (S[i] != 0))
        speaking = speaking[np.argsort(-np.abs(S[i, speaking]), kind="stable")[:5]]
        total = np.abs(S[i, speaking]).sum() + 0.2
        expected[u, i] = S[i, speaking] @ D[u, speaking] / total
    expected = expected if kind == "item" else expected.T
    pairs = np.argwhere(np.ones(R.shape))
    baseline = model.mean_ + model.user_bias_[pairs[:, 0]] + model.item_bias_[pairs[:, 1]]
    np.testing.assert_allclose(model.predict(pairs), baseline + expected.ravel(), rtol=1e-9, atol=1e-9)


def test_slim_is_scikit_learns_elastic_net(rng):
    X, y = some_ratings(rng)
    model = make(solver="slim", alpha=3.0, l1_ratio=0.3, tol=1e-12, baseline=None).fit(X, y)
    D = np.nan_to_num(dense(X, y) - model.mean_)
    net = ElasticNet(alpha=3.0 / len(D), l1_ratio=0.3, fit_intercept=False, tol=1e-12, max_iter=100_000)
    others = np.delete(np.arange(12), 4)
    net.fit(D[:, others], D[:, 4])
    weights = model.similarities_.toarray()[4]
    np.testing.assert_allclose(weights[others], net.coef_, atol=1e-6)
    np.testing.assert_allclose(
        model.predict(np.c_[np.arange(25), np.full(25, 4)]), model.mean_ + D @ weights, rtol=1e-9
    )


@pytest.mark.parametrize("weighted", [False, True])
def test_slim_without_l1_is_ease(rng, weighted):
    X, y = some_ratings(rng)
    w = rng.integers(1, 4, len(y)) if weighted else None
    ease, slim = (
        make(alpha=4.0, l1_ratio=0.0, tol=1e-12, max_iter=100_000, solver=name).fit(X, y, sample_weight=w)
        for name in ("ease", "slim")
    )
    np.testing.assert_allclose(slim.similarities_.toarray(), ease.similarities_, atol=1e-8)
    np.testing.assert_allclose(slim.predict(X), ease.predict(X), rtol=1e-7)
    for ask in (lambda model: model.rank([0, 3], np.arange(12)), lambda model: model.explain(X[0, 0], X[-1, 1])):
        (_, ours), (_, theirs) = ask(slim), ask(ease)
        np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("solver", ["slim", "ease"])
def test_learned_weights_take_each_rating_once_however_much_it_weighs(rng, solver):
    # b + sum w_i (r - b): weights count in what is learned, and a known user is as one folded in
    X, y = some_ratings(rng)
    params = {"solver": solver, "l1_ratio": 0.1, "tol": 1e-12, "max_iter": 100_000, "baseline": None}
    once, twice = make(**params, alpha=4.0).fit(X, y), make(**params, alpha=8.0)
    for copies in ((X, y, np.full(len(y), 2)), (np.r_[X, X], np.r_[y, y])):
        np.testing.assert_allclose(twice.fit(*copies).predict(X), once.predict(X), rtol=1e-6)
    model, theirs = twice.fit(X, y, rng.integers(1, 4, len(y))), X[:, 0] == X[0, 0]
    _, known = model.rank([X[0, 0]], X[theirs, 1])
    _, folded = model.rank(None, X[theirs, 1], histories=[dict(zip(X[theirs, 1].tolist(), y[theirs].tolist()))])
    np.testing.assert_allclose(known, folded, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("solver", ["neighbors", "ease", "slim"])
def test_neighbours_tell_more_than_biases(rng, solver):
    X, y = some_ratings(rng, 150, 20)
    model = NeighborhoodFilter(solver=solver, shrinkage=1.0, n_neighbors=5, alpha=20.0, l1_ratio=0.1)
    alone, folds = NeighborhoodFilter(min_support=1e9), KFold(4, shuffle=True, random_state=0)
    assert np.mean(cross_val_score(model, X, y, cv=folds)) > np.mean(cross_val_score(alone, X, y, cv=folds)) + 0.03


def test_huge_numbers_are_as_good_as_large_ones(rng):
    X, y = some_ratings(rng)
    for params, name in (({"solver": "slim", "alpha": 1.0}, "max_iter"), ({}, "n_neighbors"), ({}, "n_candidates")):
        some, huge = (make(**{**params, name: n}).fit(X, y).predict(X) for n in (10**6, 10**30))
        np.testing.assert_array_equal(some, huge)


def test_weights_that_are_all_zero_are_told(rng):
    X, y = some_ratings(rng)
    with pytest.warns(UserWarning, match="All weights are 0.*alpha=1e[+]06"):
        model = make(solver="slim", alpha=1e6).fit(X, y)
    assert model.similarities_.nnz == 0
    make(solver="slim").fit(X, np.full(len(y), 3.0))  # of which there is nothing to learn


@each_way
def test_answers_agree(rng, params):
    X, y = some_ratings(rng)
    model = make(**params).fit(X, told(params, y))
    users, items = np.arange(25), np.arange(12)
    predicted = model.predict(np.argwhere(np.ones((25, 12)))).reshape(25, 12)
    ids, scores = model.recommend(users, 12, exclude_seen=False)
    np.testing.assert_allclose(scores, np.take_along_axis(predicted, ids, axis=1), rtol=1e-9, atol=1e-12)
    some, of_some = model.recommend(users, 3, candidates=items[3:6], exclude_seen=False)
    np.testing.assert_allclose(of_some, np.take_along_axis(predicted, some, axis=1), rtol=1e-9, atol=1e-12)
    ranked, of_ranked = model.rank(users, items)
    np.testing.assert_allclose(of_ranked, np.take_along_axis(predicted, ranked, axis=1), rtol=1e-9, atol=1e-12)
    fresh = model.recommend(users, 12, return_scores=False)
    assert all(np.intersect1d(row, X[X[:, 0] == user, 1]).size == 0 for user, row in zip(users, fresh))


@each_way
def test_number_of_threads_changes_no_bit(rng, params, monkeypatch):
    monkeypatch.setattr(slices, "_LEAST_WORK", 0)
    X, y = some_ratings(rng, 60, 30)
    said = [make(n_jobs=n_jobs, **params).fit(X, told(params, y)).predict(X) for n_jobs in (None, 1, 2)]
    np.testing.assert_array_equal(said[1], said[0])
    np.testing.assert_array_equal(said[2], said[0])


class Watched:
    """The kernels of similarities, and the threads that each is called with."""

    def __init__(self, kernels):
        self.kernels, self.threads = kernels, []

    def __getattr__(self, name):
        def call(*args):
            self.threads.append(args[-1])
            return getattr(self.kernels, name)(*args)

        return call


@pytest.mark.parametrize("params", [{}, {"kind": "user"}, {"solver": "slim", "alpha": 1.0}], ids=str)
@pytest.mark.parametrize("n_jobs", [None, 1, 3])
def test_threads_are_those_asked_for_and_one_where_blocks_or_little_work_are_shared(rng, params, n_jobs, monkeypatch):
    X, y = some_ratings(rng, 60, 30)
    watched = Watched(_kernels.similarity)
    monkeypatch.setattr(_kernels, "similarity", watched)

    def threads_of(function):
        watched.threads.clear()
        function()
        return set(watched.threads)

    n_threads = _kernels.n_threads() if n_jobs is None else n_jobs
    model = make(n_jobs=n_jobs, **params)
    asks = [lambda: model.fit(X, y), lambda: model.predict(X), model.recommend]
    assert all(threads_of(ask) == {1} for ask in asks)
    monkeypatch.setattr(slices, "_LEAST_WORK", 0)
    assert all(threads_of(ask) == {n_threads} for ask in asks)
    monkeypatch.setattr(ranking, "_BLOCK_BYTES", 1 << 10)
    assert threads_of(model.recommend) == {1}


@each_way
def test_float32_gives_much_the_same(rng, params):
    X, y = some_ratings(rng, share=0.9)  # of few common raters many correlations would be equal but for rounding
    double = make(**params).fit(X, told(params, y))
    single = make(**params).fit(X, told(params, y).astype(np.float32))
    assert single.predict(X).dtype == single.recommend()[1].dtype == single.similar_items([0])[1].dtype == np.float32
    assert single.similarities_.dtype == single.item_bias_.dtype == np.float32
    np.testing.assert_allclose(single.predict(X), double.predict(X), rtol=5e-3, atol=5e-3)


def test_unknown_ids_follow_handle_unknown(rng):
    X, y = some_ratings(rng)
    model = make().fit(X, y)
    asked = [[99, 0], [0, 99], [99, 99]]
    biases = [model.item_bias_[0], model.user_bias_[0], 0.0]
    np.testing.assert_allclose(model.predict(asked), model.mean_ + np.array(biases))
    np.testing.assert_allclose(model.set_params(handle_unknown="mean").predict(asked), model.mean_)
    assert np.isnan(model.set_params(handle_unknown="nan").predict(asked)).all()
    with pytest.raises(ValueError, match="training has not seen"):
        model.set_params(handle_unknown="error").predict(asked)


# -------------------------------------------------------------------------------------------- both doors


@each_way
def test_both_doors_give_one_model(rng, params):
    X, y = some_ratings(rng, share=0.7)
    y = told(params, y)
    by_rows = make(**params).fit(X, y)
    by_matrix = make(**params).fit(sp.csr_array((y, X.T)))
    np.testing.assert_array_equal(by_rows.predict(X), by_matrix.predict(X))
    if params.get("feedback") != "implicit":
        by_frame = make(**params).fit(pandas.DataFrame(dense(X, y)))
        np.testing.assert_array_equal(by_rows.predict(X), by_frame.predict(X))
        assert by_matrix.score(sp.csr_array((y, X.T))) <= 1


@each_way
def test_a_history_is_a_user(rng, params):
    # A user-based history finds its own copy among the users; others are folded in exactly.
    X, y = some_ratings(rng)
    y = told(params, y)
    model = make(**params).fit(X, y)
    histories = [dict(zip(X[X[:, 0] == user, 1], y[X[:, 0] == user])) for user in range(25)]
    ids, scores = model.recommend(histories=histories, n=12)
    known_ids, known_scores = model.recommend(n=12)
    if params.get("kind") == "user":
        assert np.isfinite(scores[ids >= 0]).all()
        return
    np.testing.assert_array_equal(ids, known_ids)
    np.testing.assert_allclose(scores, known_scores, rtol=1e-8, atol=1e-8)


@each_way
def test_partial_fit_is_a_fit_of_all(rng, params):
    X, y = some_ratings(rng)
    y = told(params, y)
    first = X[:, 0] < 15
    grown = make(**params).partial_fit(X[first], y[first]).partial_fit(X[~first], y[~first])
    np.testing.assert_allclose(grown.predict(X), make(**params).fit(X, y).predict(X), rtol=1e-9)


def test_features_add_what_they_explain(rng):
    X, y = some_ratings(rng, 100)
    hours = rng.normal(size=len(X))
    table = pandas.DataFrame({"user": X[:, 0], "item": X[:, 1], "hours": hours})
    for baseline in (0.5, None):
        model = make(baseline=baseline).fit(table, y + 3 * hours)
        np.testing.assert_allclose(model.coef_, [3], atol=0.5)
        more = model.predict(table.assign(hours=hours + 1)) - model.predict(table)
        np.testing.assert_allclose(more, model.coef_[0])


# --------------------------------------------------------------------------------------------- questions


@each_way
def test_recommendations_of_the_checkerboard(params):
    X, y = checkerboard()
    params = {"alpha": 1.0, **params}
    if params.get("feedback") == "implicit":
        X, y = X[y == 5], None
    elif params.get("metric") in ("cosine", "jaccard") and "solver" not in params:
        return  # between ratings above 0 all are alike to these
    ids = make(**params).fit(X, y).recommend([0, 1], 1, return_scores=False)
    assert ids.tolist() == [[2], [3]]


@pytest.mark.parametrize("kind", ["item", "user"])
def test_similar_ones_are_those_of_the_metric(rng, kind):
    X, y = some_ratings(rng)
    model = make(kind=kind).fit(X, y)
    ask = model.similar_items if kind == "item" else model.similar_users
    S = model.similarities_.toarray()
    ids, scores = ask(np.r_[np.arange(12), 99], 4)
    for row in range(12):
        best = [j for j in np.argsort(-S[row], kind="stable")[:4] if S[row, j] > 0]
        assert ids[row].tolist() == best + [-1] * (4 - len(best))
        np.testing.assert_array_equal(scores[row, : len(best)], S[row, best])
    assert ids[12].tolist() == [-1] * 4
    assert np.isnan(scores[12]).all()
    other = model.similar_users if kind == "item" else model.similar_items
    assert (other([0, 1], 3)[1] <= 1 + 1e-9).all()


def test_similar_items_of_learned_weights(rng):
    X, y = some_ratings(rng)
    model = make(solver="ease").fit(X, y)
    ids, scores = model.similar_items([3], 11)
    assert 3 not in ids
    np.testing.assert_array_equal(scores[0], np.sort(np.delete(model.similarities_[3], 3))[::-1])


@each_way
def test_reasons_add_up_to_what_is_predicted(rng, params):
    X, y = some_ratings(rng)
    model = make(**params).fit(X, told(params, y))
    for user, item in ((0, 0), (3, 5), (7, 1), (20, 11)):
        items, contributions = model.explain(user, item)
        assert sorted(items) == sorted(X[X[:, 0] == user, 1])
        baseline = model.mean_ + model.user_bias_[user] + model.item_bias_[item]
        np.testing.assert_allclose(contributions.sum(), model.predict([[user, item]])[0] - baseline, atol=1e-9)


def test_reasons_of_neighbours_are_what_makes_them_similar():
    # Ann and Bob agree on 0 and 1, on 1 twice as strongly; what he says of 2 is credited to these, one to four.
    X = [["ann", 0], ["ann", 1], ["ann", 3], ["bob", 0], ["bob", 1], ["bob", 2]]
    model = NeighborhoodFilter(kind="user", baseline=None, shrinkage=0.0, damping=0.0)
    model.fit(X, [1.0, 2.0, -3.0, 1.0, 2.0, -3.0])
    assert model.mean_ == 0
    items, contributions = model.explain("ann", 2)
    assert items.tolist() == [3, 0, 1]
    np.testing.assert_allclose(contributions, [0, -0.6, -2.4])


# -------------------------------------------------------------------------- scikit-learn, and bad input


def test_grid_search_over_kinds_and_solvers(rng):
    X, y = some_ratings(rng, 60)
    grid = [{"kind": ["item", "user"], "metric": ["cosine", "pearson_baseline"]}, {"solver": ["ease", "slim"]}]
    search = GridSearchCV(make(alpha=5.0), grid, cv=3, error_score="raise").fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_slim_tells_its_history_and_that_it_did_not_converge(rng):
    X, y = some_ratings(rng)
    model = make(solver="slim", alpha=0.1, tol=1e-9).fit(X, y)
    assert len(model.history_["objective"]) == len(model.history_["n_sweeps"]) == 3
    assert model.n_iter_ == max(model.history_["n_sweeps"])
    with pytest.warns(ConvergenceWarning, match="max_iter=1 "):
        make(solver="slim", alpha=0.1, tol=1e-9, max_iter=1).fit(X, y)
    assert make().fit(X, y).history_ == {}


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ({"solver": "ease", "kind": "user"}, "kind must be 'item'"),
        ({"solver": "slim", "kind": "user"}, "kind must be 'item'"),
        ({"feedback": "implicit", "metric": "pearson"}, "implicit feedback has none"),
        ({"feedback": "implicit", "metric": "adjusted_cosine"}, "implicit feedback has none"),
        ({"baseline": (1.0,)}, "one or two penalties"),
        ({"baseline": [1.0, -1.0]}, "one or two penalties"),
        ({"baseline": (1.0, np.nan)}, "one or two penalties"),
        ({"baseline": ("a", "b")}, "one or two penalties"),
        ({"solver": "ease", "alpha": 0.0, "baseline": None}, "raise alpha"),
    ],
)
def test_settings_without_a_meaning_are_refused(params, match):
    X = [[0, 0], [1, 1]]
    with pytest.raises(ValueError, match=match):
        NeighborhoodFilter(**params).fit(X, [1.0, 1.0])


@pytest.mark.parametrize(
    "params", [{"kind": "both"}, {"n_neighbors": 0}, {"metric": "msd"}, {"baseline": -1.0}, {"l1_ratio": 2.0}]
)
def test_bad_parameters_are_named(params):
    with pytest.raises(InvalidParameterError, match=f"'{next(iter(params))}' parameter"):
        NeighborhoodFilter(**params).fit([[0, 0]], [1.0])


@each_way
def test_the_smallest_data(params):
    model = make(**params).fit([["ann", "tea"]], [2.0])
    assert np.isfinite(model.predict([["ann", "tea"], ["bob", "milk"]])).all()
    assert model.recommend(["ann"], 2, return_scores=False).tolist() == [[None, None]]
    assert np.isfinite(model.recommend(histories=[{}, {"tea": 1.0}], n=1, exclude_seen=False)[1]).all()


@pytest.mark.parametrize("metric", METRICS)
def test_shares_are_the_terms_of_the_similarity(rng, metric):
    X, y = some_ratings(rng, share=0.8)
    model = make(kind="user", metric=metric, n_neighbors=1, damping=0.0, shrinkage=0.0).fit(X, y)
    R, S = dense(X, y), model.similarities_.toarray()
    D = R - model.mean_ - model.user_bias_[:, None] - model.item_bias_
    compared = {
        "pearson_baseline": D,
        "adjusted_cosine": R - np.nanmean(R, axis=0),
        "jaccard": np.where(np.isnan(R), np.nan, 1.0),
    }.get(metric, R)
    user, item = 0, 5
    rated = np.flatnonzero(~np.isnan(R[:, item]) & (S[user] > 0))
    neighbor = rated[np.argmax(S[user, rated])]
    common = np.flatnonzero(~np.isnan(R[user] + R[neighbor]))
    a, b = compared[user, common], compared[neighbor, common]
    if metric == "pearson":
        a, b = a - a.mean(), b - b.mean()
    expected = dict.fromkeys(X[X[:, 0] == user, 1].tolist(), 0.0)
    expected |= dict(zip(common.tolist(), a * b / (a @ b) * D[neighbor, item]))
    items, contributions = model.explain(user, item)
    np.testing.assert_allclose(contributions, [expected[one] for one in items.tolist()], atol=1e-9)


@pytest.mark.parametrize("kind", ["item", "user"])
@pytest.mark.parametrize("metric", METRICS)
def test_in_other_units_the_neighbours_are_the_same(rng, kind, metric):
    X, y = some_ratings(rng)
    said = make(kind=kind, metric=metric).fit(X, y).predict(X)
    for c in (2.0**470, 2.0**-470, 2.0**270):  # nearly as large, or small, as squares can be
        np.testing.assert_array_equal(make(kind=kind, metric=metric).fit(X, y * c).predict(X) / c, said)
