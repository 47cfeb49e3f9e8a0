"""ContentFilter: profiles by hand and by scikit-learn, new items, users of one rating, and what does not fit."""

import pickle

import numpy as np
import pandas
import polars
import pytest
import scipy.sparse as sp
from sklearn import config_context
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

from skml import ContentFilter
from skml._sklearn import InvalidParameterError
from skml.recommendation import get_scorer

SETTINGS = [
    {"profile": "ridge"},
    {"profile": "rocchio"},
    {"profile": "ridge", "feedback": "implicit"},
    {"profile": "rocchio", "feedback": "implicit"},
]
each_setting = pytest.mark.parametrize("params", SETTINGS, ids=lambda p: "-".join(p.values()))


def wide(A):
    """Return attributes as a sparse matrix of so many columns that it stays one."""
    A = sp.csr_array(A)
    return sp.csr_array((A.data, A.indices, A.indptr), shape=(A.shape[0], 70))


KINDS = {"dense": np.asarray, "sparse": wide}
each_kind = pytest.mark.parametrize("kind", KINDS)


def board(n_users=6, n_items=8, seen=6):
    """Return ratings of 5 for items of the user's parity, else 1, of the first items."""
    X = np.array([[u, i] for u in range(n_users) for i in range(min(seen, n_items))])
    return X, np.where(X.sum(axis=1) % 2 == 0, 5.0, 1.0)


def parity(n_items=8):
    return np.eye(2)[np.arange(n_items) % 2]


def world(rng, n_users=60, n_items=40, d=4, noise=0.1):
    """Return interactions, ratings and attributes of a stated truth: r = 3 + b_u + b_i + p_u' a_i + noise."""
    A, P = rng.normal(size=(n_items + 10, d)), rng.normal(size=(n_users, d))
    b_u, b_i = rng.normal(size=n_users), rng.normal(size=n_items + 10) * 0.3
    truth = 3 + b_u[:, None] + b_i + P @ A.T
    u, i = np.nonzero(rng.random((n_users, n_items)) < 0.6)
    return np.c_[u, i], truth[u, i] + noise * rng.normal(size=len(u)), A, truth


# ------------------------------------------------------------------------------------------------ the model


def test_ridge_profiles_are_scikit_learns(rng):
    X, y, A, _ = world(rng)
    weights = rng.integers(1, 4, size=len(X)) * 1.0
    model = ContentFilter(alpha=2.0, transformer=FunctionTransformer()).fit(X, y, weights, item_features=A)
    base = model.mean_ + model.user_bias_[X[:, 0]] + model.item_bias_[X[:, 1]]
    for user in (0, 7, 59):
        own = X[:, 0] == user
        ridge = Ridge(alpha=2.0, fit_intercept=False, tol=1e-12)
        expected = ridge.fit(A[X[own, 1]], (y - base)[own], sample_weight=weights[own]).coef_
        np.testing.assert_allclose(model.user_profiles_[user], expected, atol=1e-8)
    personal = np.sum(model.user_profiles_[X[:, 0]] * A[X[:, 1]], axis=1)
    np.testing.assert_allclose(model.predict(X), base + personal)


def test_it_finds_what_the_truth_is(rng):
    X, y, A, truth = world(rng)
    model = ContentFilter(alpha=0.1, bias_alpha=0.1).fit(X, y, item_features=A)
    old = np.sqrt(np.mean((model.predict(X) - truth[X[:, 0], X[:, 1]]) ** 2))
    cold = np.array([[u, i] for u in range(60) for i in range(40, 50)])
    new = np.sqrt(np.mean((model.predict(cold) - truth[cold[:, 0], cold[:, 1]]) ** 2))
    assert old < 0.2 * np.std(truth[:, :40])
    assert new < 0.35 * np.std(truth[:, 40:])  # what is left is the bias that nobody can know
    assert get_scorer("ndcg@5")(model, cold[truth[cold[:, 0], cold[:, 1]] > 5]) > 0.2


def test_attributes_tell_the_bias_of_new_items(rng):
    X = np.array([[u, i] for u in range(10) for i in range(6)])
    good = np.arange(8) % 2
    y = 2.0 + 2 * good[X[:, 1]] + 0.1 * rng.normal(size=60)
    model = ContentFilter().fit(X, y, item_features=good[:, None] * 1.0)
    assert model.item_bias_[7] > 0.5 > -0.5 > model.item_bias_[6]
    assert model.recommend([999], 1)[0].tolist()[0][0] % 2 == 1
    assert model.recommend([999], 8, candidates=[6, 7])[0][0, :2].tolist() == [7, 6]


def test_one_rating_is_enough():
    X, y = board()
    for profile in ("ridge", "rocchio"):
        model = ContentFilter(profile).fit(np.vstack([X, [[90, 1], [91, 2]]]), [*y, 5, 5], item_features=parity())
        ids, scores = model.recommend([90, 91], 2)
        assert [ids[0, 0] % 2, ids[1, 0] % 2] == [1, 0]
        folded, _ = model.recommend(histories=[{1: 5}, {2: 5}], n=2)
        np.testing.assert_array_equal(folded, ids)
        assert np.isfinite(scores).all()


@each_kind
@each_setting
def test_a_user_folded_in_is_the_same_user(rng, params, kind):
    X, y, A, _ = world(rng)
    y = y - y.min() + 0.1
    model = ContentFilter(**params, transformer=FunctionTransformer()).fit(X, y, item_features=KINDS[kind](A))
    histories = [dict(zip(X[X[:, 0] == u, 1].tolist(), y[X[:, 0] == u])) for u in range(60)]
    ids, scores = model.recommend(n=5)
    folded, again = model.recommend(histories=histories, n=5)
    np.testing.assert_allclose(again, scores, rtol=1e-9)
    assert np.mean(folded == ids) > 0.99
    R = np.full((60, 50), np.nan)
    R[X[:, 0], X[:, 1]] = y
    assert np.isfinite(model.predict(X)).all() and sp.issparse(model.item_attributes_) == (kind == "sparse")


@each_setting
def test_sparse_attributes_are_as_dense_ones(rng, params):
    X, y, A, _ = world(rng)
    A, y = A * (np.abs(A) > 0.5), y - y.min() + 0.1
    dense, sparse = (ContentFilter(**params, transformer=FunctionTransformer()) for _ in range(2))
    dense.fit(X, y, item_features=A), sparse.fit(X, y, item_features=wide(A))
    np.testing.assert_allclose(sparse.predict(X), dense.predict(X), atol=1e-9)
    np.testing.assert_allclose(sparse.recommend(n=5)[1], dense.recommend(n=5)[1], atol=1e-9)
    np.testing.assert_allclose(_array(sparse.transform(X[:9]))[:, :4], dense.transform(X[:9]), atol=1e-9)
    np.testing.assert_allclose(_array(sparse.user_profiles_)[:, :4], dense.user_profiles_, atol=1e-9)
    for one, other in zip(sparse.similar_users([3], 5), dense.similar_users([3], 5)):
        np.testing.assert_allclose(one, other, rtol=1e-7)


def _array(value):
    return value.toarray() if sp.issparse(value) else value


def test_implicit_profiles_look_at_every_item(rng):
    X, _, A, _ = world(rng, n_users=12)
    y = rng.integers(1, 5, size=len(X)) * 1.0
    model = ContentFilter(feedback="implicit", alpha=3.0, transformer=FunctionTransformer()).fit(X, y, item_features=A)
    for user in (0, 11):
        confidence, is_liked = np.ones(40), np.zeros(40)
        confidence[X[X[:, 0] == user, 1]], is_liked[X[X[:, 0] == user, 1]] = y[X[:, 0] == user], 1
        ridge = Ridge(alpha=3.0, fit_intercept=False, tol=1e-12).fit(A[:40], is_liked, sample_weight=confidence)
        np.testing.assert_allclose(model.user_profiles_[user], ridge.coef_, atol=1e-8)
        pairs = np.c_[np.full(50, user), np.arange(50)]
        np.testing.assert_allclose(model.predict(pairs), A @ ridge.coef_, atol=1e-8)


def test_rocchio_by_hand():
    A = np.array([[3.0, 0], [0, 2.0], [4.0, 3.0]])
    model = ContentFilter("rocchio", gamma=0.5, threshold=3, transformer=FunctionTransformer())
    model.fit([["a", 0], ["a", 1], ["b", 0]], [5, 1, 4], item_features=A)
    expected = np.array([1.0, -0.5]) / np.hypot(1, 0.5)
    np.testing.assert_allclose(model.user_profiles_, [expected, [1, 0]])
    slope, intercept = model._line
    base = model.mean_ + model.user_bias_[0] + model.item_bias_[2]
    cosine = expected @ [0.8, 0.6]
    np.testing.assert_allclose(model.predict([["a", 2]]), base + intercept + slope * cosine)


def test_without_attributes_each_item_is_its_own():
    X, y = [[0, 0], [0, 1], [1, 0], [1, 1], [2, 1]], [5.0, 3, 4, 1, 2]
    model = ContentFilter(alpha=3.0).fit(X, y)
    base = model.mean_ + model.user_bias_[[0, 2]] + model.item_bias_[[0, 0]]
    expected = [base[0] + (5 - base[0]) / (1 + 3), base[1]]  # what the user said of the item, shrunken; or nothing
    np.testing.assert_allclose(model.predict([[0, 0], [2, 0]]), expected)
    assert model.get_feature_names_out().tolist() == ["0", "1"]
    assert model.transform(X).shape == (5, 2)


# -------------------------------------------------------------------------------------------- attributes


def test_columns_of_x_are_attributes(rng):
    X, y, A, _ = world(rng)
    trained = np.unique(X[:, 1])
    wide = np.c_[X, A[X[:, 1]]]
    by_columns = ContentFilter().fit(wide, y)
    by_table = ContentFilter().fit(X, y, item_features=(trained, A[trained]))
    np.testing.assert_allclose(by_columns.predict(wide), by_table.predict(X))
    np.testing.assert_allclose(by_columns.user_profiles_, by_table.user_profiles_)
    assert by_columns.get_feature_names_out().tolist() == ["x2", "x3", "x4", "x5"]
    assert not hasattr(by_columns, "coef_")
    other = A.copy()
    other[X[:, 1]] += 5  # of a known item the attributes of training count
    np.testing.assert_array_equal(by_columns.predict(np.c_[X, other[X[:, 1]]]), by_columns.predict(wide))


def test_columns_of_x_describe_new_items(rng):
    X, y, A, _ = world(rng)
    model, table = ContentFilter().fit(np.c_[X, A[X[:, 1]]], y), ContentFilter().fit(X, y, item_features=A)
    table = ContentFilter().fit(X, y, item_features=(np.arange(50), A))
    cold = np.array([[3, 45], [7, 49], [99, 45]])
    np.testing.assert_allclose(model.predict(np.c_[cold, A[cold[:, 1]]]), table.predict(cold))
    nothing = model.set_params(handle_unknown="mean").predict(np.c_[cold, A[cold[:, 1]]])
    np.testing.assert_allclose(nothing, model.mean_)


def test_columns_of_x_are_context_where_there_is_a_table(rng):
    X, y, A, _ = world(rng)
    x = rng.normal(size=(len(X), 1))
    model = ContentFilter(alpha=0.1).fit(np.c_[X, x], y + 2 * x[:, 0], item_features=A)
    np.testing.assert_allclose(model.coef_, [2], rtol=0.1)
    assert model.score(np.c_[X, x], y + 2 * x[:, 0]) > 0.98
    assert model.item_attributes_.shape == (50, 4)


def test_features_that_differ_between_rows_of_an_item_are_averaged():
    X = np.array([[0, 0, 1.0], [1, 0, 3.0], [0, 1, 7.0]])
    model = ContentFilter().fit(X, [1, 2, 3], sample_weight=[1, 3, 1])
    assert model._means.means.tolist() == [[2.5], [7.0]]
    np.testing.assert_allclose(model.item_attributes_, [[-1], [1]])


def films():
    columns = {
        "year": [1979.0, 1972, 2001, 2000, 1985],
        "genre": ["sf", "sf", "romance", "romance", "sf"],
        "plot": ["crew in space", "sea in space", "paris love", "love and chocolate", "lost in space"],
    }
    return pandas.DataFrame(columns, index=["alien", "solaris", "amelie", "chocolat", "gravity"])


FILM_X = [["ann", "alien"], ["ann", "amelie"], ["bob", "alien"], ["bob", "amelie"], ["bob", "chocolat"]]
FILM_Y = [5, 1, 1, 5, 4]


def test_numbers_categories_and_text():
    model = ContentFilter(alpha=1.0, text="plot").fit(FILM_X, FILM_Y, item_features=films())
    assert model.item_ids_.tolist() == ["alien", "amelie", "chocolat", "solaris", "gravity"]
    assert {"year", "genre_sf", "text2_space"} <= set(model.get_feature_names_out())
    ids = model.recommend(["ann", "bob"], 2, return_scores=False)
    assert set(ids[0]) == {"solaris", "gravity"}
    assert ids[1, 0] in ("solaris", "gravity")  # all that is left
    assert model.predict([["ann", "gravity"]]) > model.predict([["bob", "gravity"]])
    frame = model.set_output(transform="pandas").transform(FILM_X)
    assert list(frame.columns) == list(model.get_feature_names_out())
    assert frame["genre_sf"][0] > 0 > frame["genre_sf"][2]


def test_a_transformer_is_cloned():
    transformer = make_column_transformer((OneHotEncoder(), ["genre"]), (CountVectorizer(), "plot"))
    model = ContentFilter(alpha=1.0, transformer=transformer).fit(FILM_X, FILM_Y, item_features=films())
    assert not hasattr(transformer, "transformers_")
    assert hasattr(model.transformer_, "transformers_")
    assert model.recommend(["ann"], 1)[0][0, 0] in ("solaris", "gravity")


def test_tables_of_polars_and_arrays():
    plain = ContentFilter().fit(FILM_X, FILM_Y, item_features=films()[["genre"]])
    table = films()[["genre"]].rename_axis("film").reset_index()
    for given, column in ((polars.from_pandas(table), "film"), (table, "film"), (table.to_numpy(), 0)):
        model = ContentFilter(id_column=column).fit(FILM_X, FILM_Y, item_features=given)
        np.testing.assert_allclose(model.predict(FILM_X), plain.predict(FILM_X))


# --------------------------------------------------------------------------------------------- new items


@each_kind
@each_setting
def test_items_that_come_after_the_fit(rng, params, kind):
    X, y, A, _ = world(rng)
    y, make = y - y.min() + 0.1, KINDS[kind]
    plain = FunctionTransformer()
    early = ContentFilter(**params, transformer=plain).fit(X, y, item_features=make(A[:40]))
    both = ContentFilter(**params, transformer=plain).fit(X, y, item_features=make(A))
    later = (np.arange(40, 50), make(A[40:]))
    ids, scores = early.recommend([0, 1, 99], 6, candidates=np.arange(38, 60), item_features=later)
    expected = both.recommend([0, 1, 99], 6, candidates=np.arange(38, 60))
    np.testing.assert_array_equal(ids, expected[0])
    np.testing.assert_allclose(scores, expected[1], atol=1e-12)
    assert early.recommend([0], 3, candidates=[45])[0].tolist() == [[-1, -1, -1]]
    folded = early.recommend(histories=[{0: 5.0, 3: 1.0}], n=50, item_features=later)[0]
    assert set(range(40, 50)) <= set(folded[0].tolist())
    assert len(early.item_ids_) == 40 and early.item_attributes_.shape[0] == 40


def test_ids_of_items_need_no_order():
    X, y = [["u", "m"], ["v", "m"], ["u", "t"], ["v", "t"]], [5, 1, 1, 5]
    table = (["z", "t", "a", "m"], [["x"], ["y"], ["y"], ["x"]])
    model = ContentFilter(alpha=0.5).fit(X, y, item_features=table)
    assert model.item_ids_.tolist() == ["m", "t", "z", "a"]
    assert model.recommend(["u", "v"], 1)[0].tolist() == [["z"], ["a"]]
    assert model.recommend(["u"], 4, candidates=["a", "z", "q"])[0].tolist() == [["z", "a", None, None]]
    np.testing.assert_array_equal(model.similar_items(["z"], 1)[0], [["m"]])


def test_numbers_are_ids_whatever_their_type():
    X, y = board()
    plain = ContentFilter().fit(X, y, item_features=parity())
    floats = ContentFilter().fit(X.astype(float), y, item_features=(np.arange(8), parity()))
    np.testing.assert_array_equal(floats.predict(X.astype(float)), plain.predict(X))
    assert floats.item_ids_.dtype == float
    halves = ContentFilter().fit(X, y, item_features=(np.append(np.arange(6), [2.5, 3.5]), parity()))
    assert halves.item_ids_.tolist() == [0, 1, 2, 3, 4, 5, 2.5, 3.5]


# -------------------------------------------------------------------------------------------- partial_fit


@each_setting
def test_partial_fit_is_a_fit_of_all(rng, params):
    X, y, A, _ = world(rng)
    X, y, order = np.c_[X, A[X[:, 1]]], y - y.min() + 0.1, rng.permutation(len(X))
    weights = rng.integers(1, 4, size=len(X)) * 1.0
    first, second = order[:90], order[90:]
    for w in (None, weights):
        model = ContentFilter(**params).fit(X[first], y[first], None if w is None else w[first])
        model.partial_fit(X[second], y[second], None if w is None else w[second])
        np.testing.assert_allclose(model.predict(X), ContentFilter(**params).fit(X, y, w).predict(X), atol=1e-9)


def test_partial_fit_finds_new_items_in_the_table(rng):
    X, y, A, _ = world(rng)
    known, table = X[:, 1] < 30, (np.arange(50), A)
    keep = FunctionTransformer()
    whole = ContentFilter(transformer=keep).fit(X, y, item_features=table)
    model = ContentFilter(transformer=keep).fit(X[known], y[known], item_features=table)
    np.testing.assert_allclose(model.partial_fit(X[~known], y[~known]).predict(X), whole.predict(X), atol=1e-9)
    model = ContentFilter(transformer=keep).fit(X[known], y[known], item_features=(np.arange(35), A[:35]))
    with pytest.raises(ValueError, match="no row for .* items: 35"):
        model.partial_fit(X[~known], y[~known])
    assert len(model.item_ids_) == 35
    model.partial_fit(X[~known], y[~known], item_features=(np.arange(32, 50), A[32:]))
    np.testing.assert_allclose(model.predict(X), whole.predict(X), atol=1e-9)
    assert sorted(model.item_ids_.tolist()) == list(range(50))
    cold = np.c_[np.arange(9), np.full(9, 47)]
    np.testing.assert_allclose(model.predict(cold), whole.predict(cold), atol=1e-9)


# ------------------------------------------------------------------------------------------ matrix of ratings


@each_setting
def test_the_matrix_door(rng, params):
    X, y, A, _ = world(rng)
    y = y - y.min() + 0.1
    R = sp.csr_array((y, X.T), shape=(60, 40))
    model = ContentFilter(**params, transformer=FunctionTransformer())
    by_rows = ContentFilter(**params, transformer=FunctionTransformer()).fit(X, y, item_features=A)
    model.fit(R, item_features=A)
    np.testing.assert_allclose(model.predict(X), by_rows.predict(X), rtol=1e-12)
    np.testing.assert_allclose(model.transform(R), model.user_profiles_, atol=1e-9)
    assert model.transform(R[:3]).shape == (3, 4)
    if "feedback" in params:
        assert 0 < model.score(R) < 1  # a part of each row is looked for, the rest being told
        assert model.score(X) == 0  # what training has of its users is not recommended
    else:
        assert model.score(R) > (0.7 if params == SETTINGS[0] else 0.1)
    ids, _ = model.recommend(histories=R[:2], n=4)
    np.testing.assert_array_equal(ids, model.recommend([0, 1], 4)[0])
    assert model.partial_fit(R[:5]).predict([[60, 1]]).shape == (1,)
    if "feedback" not in params:
        holes = np.full((60, 40), np.nan)
        holes[X[:, 0], X[:, 1]] = y
        dense, rows = ContentFilter(**params).fit(holes), ContentFilter(**params).fit(X, y)
        np.testing.assert_allclose(dense.predict(X), rows.predict(X))


def test_profiles_of_rows(rng):
    X, y, A, _ = world(rng)
    model = ContentFilter().fit(X, y, item_features=A)
    profiles = model.transform([[3, 0], [999, 0], [0, 1]])
    np.testing.assert_array_equal(profiles, [model.user_profiles_[3], np.zeros(4), model.user_profiles_[0]])


# ------------------------------------------------------------------------------------------------- reasons


@each_kind
@each_setting
def test_reasons_add_up(rng, params, kind):
    X, y, A, _ = world(rng)
    y = y - y.min() + 0.1
    model = ContentFilter(**params, transformer=FunctionTransformer()).fit(X, y, item_features=KINDS[kind](A))
    items, reasons = model.explain(5, 45)  # also for an item that nobody has rated
    assert set(items) == set(X[X[:, 0] == 5, 1])
    assert (np.diff(reasons) <= 0).all()
    base = 0.0
    if not model._is_implicit:
        base = model.mean_ + model.user_bias_[5] + model.item_bias_[45] + model._line[1]
    np.testing.assert_allclose(base + reasons.sum(), model.predict([[5, 45]])[0])


def test_reasons_at_a_small_penalty_are_not_residuals():
    X = [["u", "great"], ["u", "good"], ["u", "hated"], *[[v, film] for v in "vwxyz" for film in ("great", "hated")]]
    y = [5, 4, 1] + 5 * [3, 3]
    films = (["great", "good", "hated", "same"], np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]))
    model = ContentFilter(alpha=1e-3, transformer=FunctionTransformer()).fit(X, y, item_features=films)
    items, reasons = model.explain("u", "same")
    assert items.tolist() == ["great", "good", "hated"]
    rest = np.array([5, 4]) - model.predict([["new", "great"], ["new", "good"]]) - model.user_bias_[0]
    np.testing.assert_allclose(reasons, [*rest / 2, 0], atol=0.01)
    assert reasons[1] > 0  # what is good, if less so than another like it, does not speak against


def test_a_table_with_ids_in_a_column_is_explained():
    X, films = [["u", "a"], ["u", "b"]], pandas.DataFrame({"film": ["a", "b"], "year": [1, 2]})
    with pytest.raises(ValueError, match=r"index.*id_column.*\(ids, table\)"):
        ContentFilter().fit(X, [1, 2], item_features=films)
    with pytest.raises(ValueError, match=r"index.*id_column.*\(ids, table\)"):
        ContentFilter().fit([["u", 10], ["u", 20]], [1, 2], item_features=films[["year"]])
    assert ContentFilter(id_column="film").fit(X, [1, 2], item_features=films).item_attributes_.shape == (2, 1)


def test_the_reason_is_the_like_of_it():
    X, y = board()
    items, reasons = ContentFilter(alpha=1.0).fit(X, y, item_features=parity()).explain(0, 6)
    assert set(items[reasons > 0].tolist()) >= {0, 2, 4}


# ------------------------------------------------------------------------------------------- scikit-learn


def test_attributes_are_routed(rng):
    X, y, A, _ = world(rng)
    table = (np.arange(50), A)
    with config_context(enable_metadata_routing=True):
        model = ContentFilter().set_fit_request(item_features=True)
        cv = KFold(3, shuffle=True, random_state=0)
        scores = cross_val_score(model, X, y, cv=cv, params={"item_features": table})
        assert scores.mean() > cross_val_score(ContentFilter(), X, y, cv=cv).mean() + 0.1
        search = GridSearchCV(make_pipeline(FunctionTransformer(), model), {"contentfilter__alpha": [1.0, 1e6]}, cv=cv)
        search.fit(X, y, item_features=table)
    assert search.best_params_ == {"contentfilter__alpha": 1.0}
    assert search.best_estimator_[-1].item_attributes_.shape == (50, 4)


def test_copies_know_the_table(rng):
    X, y, A, _ = world(rng)
    model = ContentFilter().fit(X, y, item_features=A)
    other = pickle.loads(pickle.dumps(model))
    later = (["k"], A[:1]) if model.item_ids_.dtype == object else ([70], A[:1])
    for one, two in zip(model.recommend(n=4, item_features=later), other.recommend(n=4, item_features=later)):
        np.testing.assert_array_equal(one, two)


# ---------------------------------------------------------------------------------------------- bad input


def test_what_does_not_fit_is_refused(rng):
    X, y, A, _ = world(rng)
    with pytest.raises(ValueError, match="no row for .*absent="):
        ContentFilter().fit(X, y, item_features=A[:30])
    zeros = ContentFilter(absent="zeros").fit(X, y, item_features=A[:30])
    assert np.isfinite(zeros.predict(X)).all()
    with pytest.raises(ValueError, match="use one type"):
        ContentFilter().fit(X, y, item_features=([str(i) for i in range(50)], A))
    with pytest.raises(ValueError, match="more than once"):
        ContentFilter().fit(X, y, item_features=([0] * 50, A))
    spoiled = A.copy()
    spoiled[3, 1] = np.inf
    with pytest.raises(ValueError, match="(?i)inf"):
        ContentFilter().fit(X, y, item_features=spoiled)
    model = ContentFilter().fit(X, y)
    with pytest.raises(ValueError, match="only if fit had them"):
        model.recommend([0], item_features=A)
    with pytest.raises(ValueError, match="only if fit had them"):
        model.partial_fit(X, y, item_features=A)
    model.fit(X, y, item_features=A)
    with pytest.raises(ValueError, match="columns|features"):
        model.recommend([0], item_features=([70], A[:1, :2]))
    for name, value in (("profile", "svm"), ("alpha", 0), ("gamma", -1), ("text", 1.5), ("absent", "drop")):
        with pytest.raises(InvalidParameterError, match=name):
            ContentFilter(**{name: value}).fit(X, y)


@pytest.mark.parametrize("value", [1e300, -1e300, 1e-300])
def test_far_attributes_of_new_items_have_an_answer(value):
    X = np.array([[0, 0, 1.0], [0, 1, 2.0], [1, 0, 1.0]])
    for dtype in (np.float64, np.float32):
        model = ContentFilter().fit(X.astype(dtype), np.array([1, 2, 3], dtype))
        new = np.array([[0, 9, np.clip(value, *(np.finfo(dtype).max * np.array([-0.5, 0.5])))]], dtype)
        assert np.isfinite(model.predict(new)).all()


def test_nothing_depends_on_threads(rng):
    X, y, A, _ = world(rng)
    answers = []
    for n_jobs in (1, 2, 3):
        model = ContentFilter(n_jobs=n_jobs).fit(X, y, item_features=A)
        answers.append([model.predict(X), *model.recommend(n=7)])
    for other in answers[1:]:
        for one, two in zip(answers[0], other):
            np.testing.assert_array_equal(one, two)
