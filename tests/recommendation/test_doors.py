"""The two doors: which one is taken, what is said where the other was meant, and what errors name."""

import warnings

import numpy as np
import pandas
import polars
import pytest
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import cross_val_score

from skml import ContentFilter, MatrixFactorization, NeighborhoodFilter
from skml.recommendation import (
    ColdUserSplit,
    LeaveLastOut,
    PerUserKFold,
    coverage,
    get_scorer,
    interactions,
    map_at_k,
    mrr,
    ndcg_at_k,
    ratings_matrix,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
CLASSES = (MatrixFactorization, NeighborhoodFilter, ContentFilter)
each_class = pytest.mark.parametrize("cls", CLASSES)


def make(cls, **params):
    return cls(**({"n_components": 2, "random_state": 0} if cls is MatrixFactorization else {}), **params)


def rows(rng, n=60):
    """Return interactions of some users and items, each pair once, and ratings."""
    pairs = np.array([[u, i] for u in range(12) for i in range(9)])
    first = pairs[:, 0] % 9 == pairs[:, 1]  # every user and every item
    rest = rng.permutation(pairs[~first])[: n - first.sum()]
    return rng.permutation(np.concatenate([pairs[first], rest])), rng.normal(size=n) + 3


def with_holes(rng, shape=(12, 9)):
    R = rng.uniform(1, 5, shape)
    R[rng.random(shape) < 0.3] = np.nan
    R[:, 0], R[0] = 3.5, 2.5  # nobody and nothing is without ratings
    R[1, 1] = np.nan
    return R


# ------------------------------------------------------------------------------------------- wrong doors


@pytest.mark.parametrize("cls", [MatrixFactorization, NeighborhoodFilter])
def test_a_dense_matrix_of_confidences_is_told(cls, rng):
    counts = rng.poisson(1.0, (8, 5)) + 1
    frame = pandas.DataFrame(counts, index=[f"u{k}" for k in range(8)], columns=[f"song {k}" for k in range(5)])
    for X in (counts, frame, counts.tolist(), frame.reset_index(drop=True), polars.DataFrame(counts)):
        with pytest.warns(UserWarning, match=r"taken for interactions.*csr_array"):
            make(cls, feedback="implicit").fit(X)


def test_a_frame_of_named_users_is_told_where_columns_are_attributes(rng):
    frame = pandas.DataFrame(rng.poisson(1.0, (8, 5)) + 1, index=[f"u{k}" for k in range(8)])
    with pytest.warns(UserWarning, match="taken for interactions"):
        ContentFilter(feedback="implicit").fit(frame)


@each_class
@pytest.mark.parametrize("form", ["integers", "floats", "frame", "list", "with ratings"])
def test_a_forgotten_y_is_told(cls, form, rng):
    X, y = rows(rng)
    given = {
        "integers": X,
        "floats": X * 1.0,
        "frame": pandas.DataFrame(X, columns=["user", "item"]),
        "list": X.tolist(),
        "with ratings": np.c_[X, y],
    }[form]
    with pytest.warns(UserWarning, match="matrix of 60 x [23] ratings, yet it looks like interactions"):
        make(cls, **({"alpha": 1.0} if cls is MatrixFactorization else {})).fit(given)


@each_class
def test_doors_that_are_meant_are_silent(cls, rng):
    (X, y), R = rows(rng), with_holes(rng)
    features = rng.normal(size=(len(X), 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        make(cls).fit(X, y).partial_fit(X[:5], y[:5])
        make(cls).fit(np.c_[X, features], y)
        make(cls, feedback="implicit").fit(X)
        make(cls, feedback="implicit").fit(np.c_[X, features], np.ones(len(X)))
        make(cls, feedback="implicit").fit(sp.csr_array(np.nan_to_num(R)))
        make(cls).fit(R)
        make(cls).fit(R[:, :2])  # fractions are no ids
        make(cls).fit(np.where(np.isnan(R), np.nan, np.floor(R))[:, :3])  # what is missing is no id
        make(cls).fit(sp.csr_array(X[:, :2]))
        list(PerUserKFold(2).split(np.c_[X, features]))
        get_scorer("ndcg@5")(make(cls).fit(X, y), X)
    if cls is ContentFilter:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            ContentFilter(feedback="implicit").fit(np.c_[X, X[:, 1:] % 2])


def test_splitters_and_scorers_tell_a_matrix(rng):
    R = with_holes(rng)
    full = np.nan_to_num(R, nan=3.25)
    for X in (full, pandas.DataFrame(full)):
        with pytest.warns(UserWarning, match="holds fractions as ids.*interactions"):
            list(ColdUserSplit(2, user=1).split(X))
    R[3, 0] = np.nan
    with pytest.raises(ValueError, match="missing in row 3.*matrix of ratings.*interactions"):
        list(PerUserKFold(2).split(R))
    model = MatrixFactorization(2, random_state=0).fit(full)
    for X in (full, np.round(full), sp.csr_array(full)):
        with pytest.raises(ValueError, match="matrix.*interactions"):
            get_scorer("ndcg@5")(model, X)
    assert 0 <= get_scorer("ndcg@5", exclude_seen=False)(model, interactions(full)[0]) <= 1


# ------------------------------------------------------------------------------------- scores of matrices


@each_class
def test_rows_of_an_implicit_matrix_are_people_who_need_not_be_known(cls, rng):
    likes = (np.add.outer(np.arange(40), np.arange(10)) % 2 == 0) & (rng.random((40, 10)) < 0.8)
    likes[:, :4] = np.add.outer(np.arange(40), np.arange(4)) % 2 == 0
    R = sp.csr_array(likes * 1.0)
    model = make(cls, feedback="implicit").fit(R[:20])
    assert model.score(R[20:]) == pytest.approx(model.score(R[20:][rng.permutation(20)]))
    assert 0 <= model.score(R) <= 1  # more rows than training had
    scores = cross_val_score(make(cls, feedback="implicit"), R, cv=3)
    assert np.isfinite(scores).all() and (scores > 0).all()
    # further items of users of training are interactions
    told = np.column_stack(np.nonzero(~likes[:20]))
    assert 0 <= model.score(told) == pytest.approx(get_scorer("ndcg@10")(model, told))
    with pytest.raises(ValueError, match="two items"):
        model.score(sp.csr_array(np.eye(3, 10)))


@each_class
def test_weights_of_rows_are_validated(cls, rng):
    R, L = with_holes(rng), sp.csr_array(np.nan_to_num(with_holes(rng)))
    for model, X in ((make(cls).fit(R), R), (make(cls, feedback="implicit").fit(L), L)):
        for weights in (np.ones(1000), -np.ones(12), np.ones(3), np.full(12, np.nan), np.zeros(12)):
            with pytest.raises(ValueError, match="(?i)weight"):
                model.score(X, sample_weight=weights)
        some = np.r_[np.ones(7), np.zeros(5)]
        assert model.score(X, sample_weight=some) == pytest.approx(model.score(X[:7]))


# -------------------------------------------------------------------------------------------- strangers


@each_class
def test_strangers_are_recommended_what_is_popular(cls):
    X = [["a", "z"], ["b", "z"], ["c", "z"], ["c", "aa"], ["a", "m"], ["b", "m"]]
    model = make(cls, feedback="implicit").fit(X)
    for ask in ({"users": ["nobody"]}, {"histories": [[]]}, {"histories": [["unheard of"]]}):
        with warnings.catch_warnings(action="ignore" if ask.get("histories") == [["unheard of"]] else "error"):
            items, scores = model.recommend(n=3, **ask)
        assert items.tolist() == [["z", "m", "aa"]]
        np.testing.assert_allclose(scores, [[1, 2 / 3, 1 / 3]])
    assert model.recommend(["nobody"], n=2, candidates=["m", "aa"])[0].tolist() == [["m", "aa"]]
    ranked, scores = model.rank(["nobody"], ["aa", "m", "z", "never"])
    assert ranked.tolist() == [["z", "m", "aa", "never"]]
    np.testing.assert_allclose(scores, [[1, 2 / 3, 1 / 3, 0]])
    np.testing.assert_allclose(model.rank(None, ["aa", "m", "z", "never"], histories=[[]])[1], scores)
    np.testing.assert_allclose(model.predict([["nobody", "m"], ["nobody", "never"], ["a", "never"]]), [2 / 3, 0, 0])
    assert np.isnan(model.set_params(handle_unknown="nan").recommend(["nobody"], n=2)[1]).all()
    empty = make(cls, feedback="implicit").fit(sp.csr_array([[0.0, 1, 1], [0, 1, 0], [0, 0, 0]]))
    assert empty.recommend([2], n=3, return_scores=False).tolist() == [[1, 2, 0]]


@each_class
@pytest.mark.parametrize("rule", ["bias", "mean", "nan", "error"])
def test_an_empty_row_of_training_means_the_same_to_all_questions(cls, rule):
    model = make(cls, feedback="implicit", handle_unknown=rule).fit(sp.csr_array([[0.0, 1, 1], [0, 1, 0], [0, 0, 0]]))
    popular = [2 / 3, 1 / 3, 0]
    np.testing.assert_allclose(model.predict([[2, 1], [2, 2], [2, 0]]), popular)
    for items, scores in (model.rank([2], [0, 1, 2]), model.recommend([2], n=3)):
        assert items.tolist() == [[1, 2, 0]]
        np.testing.assert_allclose(scores, [popular])
    if rule == "error":
        return
    # who is not of training is predicted as the rule says, and recommended what is popular, or nothing
    expected = {"bias": popular, "mean": [getattr(model, "mean_", 0.0)] * 3, "nan": [np.nan] * 3}[rule]
    np.testing.assert_allclose(model.predict([[9, 1], [9, 2], [9, 0]]), expected)
    np.testing.assert_allclose(model.rank([9], [1, 2, 0])[1], [expected])
    np.testing.assert_allclose(model.recommend([9], n=3)[1], [expected if rule == "nan" else popular])
    np.testing.assert_allclose(model.recommend(histories=[[]], n=3)[1], [popular])


@each_class
def test_a_dense_matrix_is_not_scored_as_interactions(cls, rng):
    likes = (rng.random((12, 10)) < 0.5) * 1.0
    likes[:, :2] = 1
    model = make(cls, feedback="implicit").fit(sp.csr_array(likes))
    for dense in (likes, likes.tolist(), likes[:, :3]):
        with pytest.raises(ValueError, match="score takes two columns, .* give it sparse, .* or its interactions"):
            model.score(dense)
    assert 0 <= model.score(sp.csr_array(likes)) <= 1
    assert model.score(interactions(sp.csr_array(likes))[0]) == 0  # what training has is not recommended
    ratings = make(cls).fit(*interactions(with_holes(rng)))
    for found in (ratings, make(cls, feedback="implicit").fit(interactions(sp.csr_array(likes))[0])):
        for name in ("ndcg@5", "coverage@5"):
            with pytest.raises(ValueError, match=r"X has 10 columns, .* rows of 2 \(n_features_in_\)"):
                get_scorer(name)(found, likes)


# ------------------------------------------------------------------------------------------ conversions


def test_interactions_keep_large_ids_beside_fractions():
    X, _ = interactions([[1.0], [2.0]], user_ids=[2**60, 2**60 + 1], item_ids=[0.5])
    assert X.tolist() == [[2**60, 0.5], [2**60 + 1, 0.5]]
    X, _ = interactions([[1.0], [2.0]], user_ids=[2**60, 2**60 + 1], item_ids=[7])
    assert X.dtype == np.int64


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_ratings_matrix_holds_no_missing_ratings(value):
    with pytest.raises(ValueError, match="NaN|infinity"):
        ratings_matrix([[1, 1], [2, 2]], [1.0, value])


# -------------------------------------------------------------------------------------- tables of items


@each_class
def test_tables_of_items_are_refused_in_words(cls, rng):
    if cls is NeighborhoodFilter:
        return
    X, y = rows(rng)
    for features, error, match in (
        (np.empty((9, 0)), ValueError, "no columns"),
        (sp.csr_array((9, 0)), ValueError, "no columns"),
        ({0: [1]}, ValueError, "must be a table.*got a dict"),
        ([1, 2], ValueError, "must be a table"),
        (pandas.DataFrame({"out": pandas.date_range("2020", periods=9)}), TypeError, "item_features holds times"),
        (pandas.DataFrame({"out": pandas.date_range("2020", periods=9).astype(object)}), TypeError, "holds times"),
        (np.arange(9).astype("M8[D]")[:, np.newaxis], TypeError, "holds times"),
        (rng.normal(size=(3, 2)), ValueError, "no row for 6 of 9 items.*ContentFilter"),
    ):
        with pytest.raises(error, match=match):
            make(cls).fit(X, y, item_features=features)


@each_class
def test_tables_make_items_known_that_are_no_columns(cls, rng):
    if cls is NeighborhoodFilter:
        return
    R, A = with_holes(rng), rng.normal(size=(11, 3))
    model = make(cls).fit(R, item_features=A)
    assert model.item_ids_.tolist() == list(range(11))
    assert {9, 10} <= set(model.recommend([1], n=11)[0][0].tolist())
    assert len(model.transform(R)) == 12 and np.isfinite(model.score(R))
    assert len(model.partial_fit(R[:2]).item_ids_) == 11


@pytest.mark.parametrize("params", [{"text": "plot"}, {"id_column": "id"}])
def test_what_is_about_a_table_that_is_not_there_is_told(params, rng):
    X, y = rows(rng)
    with pytest.warns(UserWarning, match=f"{next(iter(params))} is about item_features"):
        ContentFilter(**params).fit(X, y)


# --------------------------------------------------------------------------------------------- messages


def test_errors_name_what_is_wrong(rng):
    X, y = rows(rng)
    model = MatrixFactorization(2, random_state=0).fit(X, y)
    ids = model.recommend([0, 1], n=2)
    for ask, match in (
        (lambda: model.recommend(histories=[{}, {1: None}]), r"histories\[1\] rates the item 1 with None"),
        (lambda: model.recommend(histories=[{1: "good"}]), r"histories\[0\] rates the item 1 with 'good'"),
        (lambda: ndcg_at_k(ids, [[1], [2]]), "return_scores=False"),
        (lambda: ndcg_at_k([1, 2], [[1], [2]]), "a list of ids for each user, got 1"),
        (lambda: ndcg_at_k([[1], [2]], [1, 2]), "a list of ids for each user, got 1"),
        (lambda: ndcg_at_k([[1], [2]], [[1], [2]], k=None), "k must be a positive integer, got None"),
        (lambda: map_at_k([[1], [2]], [[1], [2]], k=None), "k must be a positive integer, got None"),
        (lambda: ndcg_at_k([[3, 4]], np.array([[0, 0, 0, 1, 1]]), k=2), "csr_array"),
        (lambda: ndcg_at_k([[3, 4]], [[0, 0, 0, 5, 2]], k=2), "csr_array"),
        (lambda: mrr([[3, 4]], np.array([[False, True]])), "csr_array"),
        (lambda: model.partial_fit([["a", "b"]], [1.0]), "^The users in column 0 of X were numbers before"),
        (lambda: model.explain("0", 1), "no user '0' .the ids asked for are strings"),
        (lambda: model.fit([[Plain(), 1], [Plain(), 1]], [1, 2]), "type Plain, which have no order"),
        (lambda: model.fit(np.array([[1, 2, 3.0], [1, 2, np.nan]]), [1, 2]), "NaN, the first in row 1, column 2"),
        (lambda: model.fit(sp.csr_array([[1.0, np.nan]])), "R contains NaN as a stored entry"),
        (lambda: get_scorer("ndcg@5")(model, X[:0], y[:0]), "X has no rows"),
    ):
        with pytest.raises(ValueError, match=match) as caught:
            ask()
        assert "HistGradientBoosting" not in str(caught.value)
    with pytest.raises(TypeError, match=r"hold \{\}; as an id, an argument must be a string"):
        model.fit([[{}, 1], [2, 2]], [1, 2])
    for ask in (model.recommend, model.similar_items, model.similar_users):
        with pytest.raises(TypeError, match="n must be an integer, got True"):
            ask([0], n=True)
    assert mrr([[1], [2]], [[1], [2]], k=None) == coverage([[1]], [1], k=None) == 1.0


class Plain:
    """A hashable thing without an order."""


def test_unknown_ids_are_named(rng):
    X, y = rows(rng)
    model = NeighborhoodFilter(handle_unknown="error").fit(X, y)
    for ask in (
        lambda: model.predict([[0, 0], [777, 0]]),
        lambda: model.recommend([0, 777]),
        lambda: model.similar_items([0, 777]),
        lambda: model.rank([0], [0, 777]),
        lambda: model.recommend([0], candidates=[0, 777]),
    ):
        with pytest.raises(ValueError, match="first of them, 777, in place 1"):
            ask()


def test_a_history_may_be_a_series(rng):
    model = NeighborhoodFilter().fit(*rows(rng))
    told = {1: 5.0, 3: 1.0}
    for mine, theirs in zip(model.recommend(histories=[pandas.Series(told)]), model.recommend(histories=[told])):
        np.testing.assert_array_equal(mine, theirs)


def test_dates_of_splits_come_as_groups():
    X = pandas.DataFrame({"u": [0, 0, 1, 1], "i": [0, 1, 0, 1], "t": pandas.date_range("2020", periods=4)})
    [(train, test)] = LeaveLastOut().split(X[["u", "i"]], groups=X["t"])
    assert test.tolist() == [1, 3]
    NeighborhoodFilter().fit(X.loc[train, ["u", "i"]], [1.0, 2.0])


# ------------------------------------------------------------------------------------------ explanations

EXPLAINED = [
    (MatrixFactorization, {}, "mean item"),
    (MatrixFactorization, {"fit_bias": False}, "mean"),
    (MatrixFactorization, {"solver": "svd", "tol": 1e-13, "max_iter": 5000}, "mean item user"),
    (MatrixFactorization, {"feedback": "implicit"}, ""),
    (MatrixFactorization, {"feedback": "implicit", "solver": "sgd", "loss": "logistic"}, "item"),
    (MatrixFactorization, {"feedback": "implicit", "solver": "sgd", "loss": "bpr"}, "item"),
    (NeighborhoodFilter, {}, "mean item user"),
    (NeighborhoodFilter, {"kind": "user"}, "mean item user"),
    (NeighborhoodFilter, {"solver": "ease"}, "mean item user"),
    (NeighborhoodFilter, {"solver": "slim"}, "mean item user"),
    (NeighborhoodFilter, {"feedback": "implicit"}, ""),
    (ContentFilter, {}, "mean item user"),
    (ContentFilter, {"profile": "rocchio"}, "mean item user line"),
    (ContentFilter, {"feedback": "implicit"}, ""),
    (ContentFilter, {"feedback": "implicit", "profile": "rocchio"}, ""),
]


@pytest.mark.parametrize(("cls", "params", "rest"), EXPLAINED)
def test_what_explanations_add_up_to(cls, params, rest, rng):
    X, y = rows(rng, 80)
    more = {"item_features": rng.normal(size=(9, 2))} if cls is ContentFilter else {}
    alpha = {"alpha": 0.5} if params.get("solver") == "slim" else {}
    model = make(cls, **params, **alpha).fit(X, np.abs(y), **more)
    parts = {"mean": model.mean_, "line": getattr(model, "_line", (1.0, 0.0))[1]}
    for user, item in ((3, 4), (7, 0), (11, 8)):
        if user not in model.user_ids_ or item not in model.item_ids_:
            continue
        u, i = np.searchsorted(model.user_ids_, user), np.searchsorted(model.item_ids_, item)
        parts |= {"user": model.user_bias_[u], "item": model.item_bias_[i]}
        score = model.rank([user], [item])[1][0, 0]
        if "loss" in params:  # what fold-in makes of the past, as training with a loss of ranking is noisy
            past = X[X[:, 0] == user, 1].tolist()
            score = model.rank(None, [item], histories=[dict(zip(past, np.abs(y)[X[:, 0] == user]))])[1][0, 0]
        expected = score - sum(parts[name] for name in rest.split())
        np.testing.assert_allclose(model.explain(user, item)[1].sum(), expected, atol=1e-6)
