"""What every recommender owes its users, on a checkerboard whose right answers are known by construction."""

import pickle
import sys

import numpy as np
import pytest
import scipy.sparse as sp
from _contract import board
from _contract.board import N, attributes, fitted, is_implicit, known, matrix, ratings, recommenders, unknown
from _contract.cases import label, make
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict, cross_val_score, cross_validate
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags

from skml.recommendation import ContentFilter, PerUserKFold, get_scorer

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
CASES = [pytest.param(cls, p, id=f"{cls.__name__}-{label(p)}") for cls in recommenders() for p in board.settings(cls)]
each = pytest.mark.parametrize(("cls", "params"), CASES)
each_explicit = pytest.mark.parametrize(("cls", "params"), [case for case in CASES if not is_implicit(case.values[1])])
each_implicit = pytest.mark.parametrize(("cls", "params"), [case for case in CASES if is_implicit(case.values[1])])
each_class = pytest.mark.parametrize("cls", recommenders(), ids=lambda cls: cls.__name__)
each_door = pytest.mark.parametrize("door", ["interactions", "matrix"])
NAMES = np.array([f"id {k:02d}" for k in range(N)], dtype=object)


def test_there_are_recommenders():
    assert ContentFilter in recommenders()
    assert {cls.__name__ for cls in recommenders()} <= board.SUITABLE.keys()


# --------------------------------------------------------------------------------------------- the board


@each_door
@each
def test_users_get_the_items_of_their_parity(cls, params, door):
    model = fitted(cls, params, door)
    ids, scores = model.recommend(n=4)
    assert ids.shape == scores.shape == (N, 4)
    for user in range(N):
        assert set(ids[user, :2].tolist()) == unknown(user, liked=True)
        if not is_implicit(params):
            assert set(ids[user, 2:].tolist()) == unknown(user, liked=False)
    assert (scores[:, 1] > scores[:, 2]).all()
    if not is_implicit(params):
        liked = [[u, i] for u in range(N) for i in unknown(u, liked=True)]
        others = [[u, i] for u in range(N) for i in unknown(u, liked=False)]
        assert model.predict(liked).min() > 3.1 > 2.9 > model.predict(others).max()


@each
def test_both_doors_are_one_model(cls, params):
    X, _ = known(is_implicit(params))
    rows, whole = fitted(cls, params), fitted(cls, params, "matrix")
    np.testing.assert_allclose(whole.predict(X), rows.predict(X), rtol=1e-6, atol=1e-9)
    if not is_implicit(params):
        R = ratings()
        u, i = np.nonzero(~np.isnan(R))
        sparse = make(cls, params).fit(sp.csr_array((R[u, i], (u, i)), shape=R.shape), **attributes(cls))
        np.testing.assert_allclose(sparse.predict(X), whole.predict(X), rtol=1e-6, atol=1e-9)


@each_door
@each
def test_scores_are_good(cls, params, door):
    model = fitted(cls, params, door)
    if is_implicit(params):
        held_out = np.array([[u, i] for u in range(N) for i in unknown(u, liked=True)])
        assert model.score(held_out) > 0.9
        X, _ = known(True)
        everything = sp.csr_array(
            (np.ones(len(X)), X.T), shape=(N, N)
        )  # a part of each row is told, the rest looked for
        assert model.score(everything) > 0.25
    else:
        assert model.score(*(known() if door == "interactions" else (matrix(),))) > 0.5


@each
def test_what_was_seen_is_not_recommended_unless_asked(cls, params):
    model = fitted(cls, params)
    X, _ = known(is_implicit(params))
    seen = {tuple(pair) for pair in X.tolist()}
    ids, scores = model.recommend(n=N + 5)  # more than there are
    assert ids.shape == (N, N + 5)
    for user in range(N):
        left = [item for item, score in zip(ids[user].tolist(), scores[user]) if not np.isnan(score)]
        assert sorted(left) == [item for item in range(N) if (user, item) not in seen]
        assert (ids[user, len(left) :] == -1).all()
    everything, scores = model.recommend(n=N, exclude_seen=False)
    np.testing.assert_array_equal(np.sort(everything, axis=1), np.tile(np.arange(N), (N, 1)))
    if not is_implicit(params):
        for user in range(N):
            assert {item % 2 for item in everything[user, :6].tolist()} == {user % 2}


@each
def test_candidates_are_chosen_from(cls, params):
    model = fitted(cls, params)
    whole, all_scores = model.recommend(n=N, exclude_seen=False)
    chosen = [7, 3, 2, 10, 999, 3]
    ids, scores = model.recommend(n=6, candidates=chosen, exclude_seen=False)
    for user in range(N):
        assert sorted(ids[user, :4].tolist()) == [2, 3, 7, 10]
        for item, score in zip(ids[user, :4], scores[user]):
            np.testing.assert_allclose(score, all_scores[user, whole[user] == item][0], rtol=1e-6, atol=1e-9)
    assert (ids[:, 4:] == -1).all() and np.isnan(scores[:, 4:]).all()
    assert (model.recommend(n=2, candidates=[])[0] == -1).all()


@each
def test_ties_go_to_the_lower_id(cls, params):
    X, _ = known()
    constant = make(cls, params).fit(X, np.full(len(X), 3.0), **attributes(cls))
    ids, scores = constant.recommend([12_345], n=N)
    np.testing.assert_allclose(scores, scores[0, 0], rtol=1e-4)
    assert ids[0].tolist() == np.lexsort((np.sort(ids[0]), -scores[0][np.argsort(ids[0])])).tolist()
    halves = fitted(cls, params)
    scores_of = halves._scores
    halves._scores = lambda *args: (scores_of(*args) > scores_of(*args).mean()).astype(halves._dtype)
    assert (np.diff(halves.recommend(n=N, exclude_seen=False)[1], axis=1) == 0).sum(axis=1).min() >= N - 2
    for model in (constant, fitted(cls, params), halves):
        ids, scores = model.recommend(n=N, exclude_seen=False)
        equal, again = scores[:, :-1] == scores[:, 1:], model.recommend(n=N, exclude_seen=False)
        assert (scores[:, :-1] >= scores[:, 1:]).all()
        assert (ids[:, :-1] < ids[:, 1:])[equal].all()
        np.testing.assert_array_equal(again[0], ids)
        np.testing.assert_array_equal(again[1], scores)


@each
def test_ranks_are_predictions_in_order(cls, params):
    model = fitted(cls, params)
    ranked, scores = model.rank([0, 1, 5], [4, 3, 8, 1, 0])
    for row, user in enumerate([0, 1, 5]):
        pairs = np.c_[np.full(5, user), ranked[row]]
        np.testing.assert_allclose(model.predict(pairs), scores[row], rtol=1e-9, atol=1e-12)
    assert sorted(ranked[0].tolist()) == [0, 1, 3, 4, 8]
    assert (np.diff(scores) <= 0).all()


@each
def test_those_alike_have_the_same_parity(cls, params):
    model = fitted(cls, params)
    for ask, ids in ((model.similar_items, model.item_ids_), (model.similar_users, model.user_ids_)):
        found, cosines = ask(ids, 4)
        alike = (found % 2 == ids[:, None] % 2) | np.isnan(cosines)
        assert alike[:, 0].all()
        assert (found != ids[:, None]).all()
        assert np.nanmax(cosines) < 1 + 1e-6


@each
def test_reasons_are_what_the_user_said(cls, params):
    model = fitted(cls, params)
    X, _ = known(is_implicit(params))
    for user in (0, 5):
        wanted = min(unknown(user, liked=True))
        items, reasons = model.explain(user, wanted)
        assert sorted(items.tolist()) == sorted(X[X[:, 0] == user, 1].tolist())
        assert np.isfinite(reasons).all() and (np.diff(reasons) <= 0).all()
        assert reasons.sum() > 0


# ---------------------------------------------------------------------------------------- people and items


def history(items, params):
    """Return what somebody says who likes the even ones of some items."""
    likes = [item for item in items if item % 2 == 0]
    return likes if is_implicit(params) else {item: 5.0 if item in likes else 1.0 for item in items}


@each_door
@each
def test_people_are_folded_in(cls, params, door):
    model = fitted(cls, params, door)
    ids, scores = model.recommend(histories=[history([0, 1, 2, 3, 4, 5], params), history([6, 7, 8, 9], params)], n=3)
    assert set(ids[0].tolist()) == {6, 8, 10}
    assert {item % 2 for item in ids[1].tolist()} == {0}
    R = np.full((1, N), np.nan)
    R[0, :6] = [5, 1, 5, 1, 5, 1]
    asked = [sp.csr_array((R == 5) * 1.0)] if is_implicit(params) else [R, R.tolist(), sp.csr_array(np.nan_to_num(R))]
    for given in asked:
        given = np.asarray(given) if isinstance(given, list) else given
        again = model.recommend(histories=given, n=3)
        assert set(again[0][0].tolist()) == {6, 8, 10}
        np.testing.assert_allclose(again[1], scores[:1], rtol=1e-6)


@each
def test_known_users_folded_in_get_the_same(cls, params):
    model = fitted(cls, params)
    X, y = known(is_implicit(params))
    told = [X[X[:, 0] == u, 1].tolist() for u in range(N)]
    if y is not None:
        told = [dict(zip(items, y[X[:, 0] == u])) for u, items in enumerate(told)]
    ids, _ = model.recommend(n=2)
    folded, _ = model.recommend(histories=told, n=2)
    np.testing.assert_array_equal(np.sort(folded, axis=1), np.sort(ids, axis=1))


@each
def test_histories_may_be_empty_or_name_unknown_items(cls, params):
    model = fitted(cls, params)
    empty = [] if is_implicit(params) else {}
    ids, scores = model.recommend(histories=[empty, history([0, 1, 2], params)], n=N)
    assert np.isfinite(scores[0]).all() and sorted(ids[0].tolist()) == list(range(N))
    np.testing.assert_array_equal(ids[0], model.recommend([12_345], N)[0][0])
    odd = [99, 0, 2] if is_implicit(params) else {99: 1.0, 0: 5.0, 1: 1.0, 2: 5.0}
    np.testing.assert_array_equal(model.recommend(histories=[odd], n=3)[0][0], ids[1, :3])
    assert model.recommend(histories=[], n=3)[0].shape == (0, 3)


@each
def test_unseen_ids_are_answered_as_asked(cls, params):
    model = fitted(cls, params)
    asked = np.array([[0, 999], [999, 0], [999, 999], [0, 0]])
    said = model.predict(asked)
    assert np.isfinite(said).all()
    mean = getattr(model, "mean_", 0.0)
    np.testing.assert_allclose(model.set_params(handle_unknown="mean").predict(asked), [mean] * 3 + [said[3]])
    np.testing.assert_array_equal(model.set_params(handle_unknown="nan").predict(asked), [np.nan] * 3 + [said[3]])
    assert (model.recommend([999], 3)[0] == -1).all()
    model.set_params(handle_unknown="error")
    for ask in (lambda: model.predict(asked), lambda: model.recommend([0, 999]), lambda: model.similar_users([999])):
        with pytest.raises(ValueError, match="training has not seen"):
            ask()


@each
def test_more_interactions_are_taken_in(cls, params):
    X, y = known(is_implicit(params))
    early = X[:, 0] < N - 2
    model = make(cls, params).fit(X[early], None if y is None else y[early], **attributes(cls))
    held = model.user_ids_.copy()
    model.partial_fit(X[~early], None if y is None else y[~early])
    assert len(held) == N - 2 and len(model.user_ids_) == N
    ids, _ = model.recommend(n=2)
    for user in range(N):
        assert set(ids[user].tolist()) == unknown(user, liked=True)


# -------------------------------------------------------------------------------------------------- laws


@each
def test_the_order_of_rows_does_not_matter(cls, params, rng):
    X, y = known(is_implicit(params))
    order = rng.permutation(len(X))
    other = make(cls, params).fit(X[order], None if y is None else y[order], **attributes(cls))
    model = fitted(cls, params)
    np.testing.assert_allclose(other.predict(X), model.predict(X), rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(np.sort(other.recommend(n=2)[0]), np.sort(model.recommend(n=2)[0]))


@each
def test_who_is_called_what_does_not_matter(cls, params, rng):
    X, y = known(is_implicit(params))
    users, items = rng.permutation(N), rng.permutation(N)
    other = make(cls, params).fit(np.c_[users[X[:, 0]], items[X[:, 1]]], y, **attributes(cls, items))
    ids, _ = other.recommend(users, 2)
    for user in range(N):
        assert set(ids[user].tolist()) == {int(items[item]) for item in unknown(user, liked=True)}


@each
def test_names_are_as_good_as_numbers(cls, params):
    X, y = known(is_implicit(params))
    named = make(cls, params).fit(np.c_[NAMES[X[:, 0]], NAMES[X[:, 1]]], y, **attributes(cls, NAMES))
    model = fitted(cls, params)
    np.testing.assert_array_equal(named.predict(np.c_[NAMES[X[:, 0]], NAMES[X[:, 1]]]), model.predict(X))
    ids, scores = model.recommend(n=3, exclude_seen=False)
    theirs, also = named.recommend(n=3, exclude_seen=False)
    np.testing.assert_array_equal(theirs, NAMES[ids])
    np.testing.assert_array_equal(also, scores)
    assert named.recommend(NAMES[:1], N)[0][0, -1] is None
    floats = make(cls, params).fit(X.astype(float), y, **attributes(cls))
    np.testing.assert_array_equal(floats.predict(X.astype(float)), model.predict(X))


@each
def test_a_pickle_recommends_the_same(cls, params):
    model = fitted(cls, params)
    other = pickle.loads(pickle.dumps(model))
    told = [history([0, 1, 2, 3], params)]
    for ask in (
        lambda one: one.recommend(n=5),
        lambda one: one.recommend(histories=told, n=5),
        lambda one: one.explain(0, 4),
        lambda one: one.similar_items([0, 1], 3),
    ):
        for mine, theirs in zip(ask(model), ask(other)):
            np.testing.assert_array_equal(mine, theirs)


@each
def test_single_precision_stays_single(cls, params):
    X, y = known(is_implicit(params))
    X = X.astype(np.float32)
    model = make(cls, params).fit(X, y, **attributes(cls))
    assert model.predict(X).dtype == model.recommend(n=2)[1].dtype == np.float32
    ids, _ = model.recommend(n=2)
    for user in range(N):
        assert set(ids[user].astype(int).tolist()) == unknown(user, liked=True)


# ----------------------------------------------------------------------------- what other libraries were asked


def described(n=30):
    """Return most of a larger board with the parity of items as a column, in an order of chance."""
    X = np.random.default_rng(0).permutation([[u, i, i % 2] for u in range(n) for i in range(n)])[: n * n * 4 // 5]
    return X, np.where(X[:, :2].sum(axis=1) % 2 == 0, 5.0, 1.0)


@each_explicit
def test_lightfm_107_cross_validation_splits_interactions(cls, params):
    X, y = described()
    cv = KFold(5, shuffle=True, random_state=0)
    found = cross_validate(make(cls, params), X, y, cv=cv, scoring=("r2", "neg_mean_absolute_error"))
    assert len(found["test_r2"]) == 5 and np.isfinite(found["test_r2"]).all()
    assert found["test_neg_mean_absolute_error"].mean() > -2  # that of the mean is 2
    # every interaction is held out once, and predicted from the others
    predicted = cross_val_predict(make(cls, params), X, y, cv=cv)
    assert predicted.shape == y.shape
    assert np.mean((predicted > 3) == (y > 3)) > 0.65


@each_explicit
def test_surprise_208_new_users_are_folded_in(cls, params):
    model = fitted(cls, params)
    stranger = {0: 1.0, 1: 5.0, 2: 1.0, 3: 5.0}
    ids, _ = model.recommend(histories=[stranger], n=4)
    assert {item % 2 for item in ids[0].tolist()} == {1}
    if not hasattr(cls, "transform"):
        return
    whole = fitted(cls, params, "matrix")
    codes = whole.transform(np.array([[1.0, 5, 1, 5] + [np.nan] * (N - 4)]))
    assert codes.shape[0] == 1


@each
def test_implicit_31_new_users_need_no_refit(cls, params):
    model = fitted(cls, params)
    before = pickle.dumps(vars(model))
    ids, _ = model.recommend(histories=[history(range(6), params), history([6, 7, 8], params)], n=3)
    assert {item % 2 for item in ids.ravel().tolist()} == {0}
    assert pickle.dumps(vars(model)) == before


@each
def test_implicit_710_any_number_of_threads_gives_the_same_bits(cls, params, rng):
    X = np.unique(rng.integers(0, 40, size=(900, 2)), axis=0)
    y = rng.integers(1, 6, size=len(X)) * 1.0
    said = []
    for n_jobs in (1, 2, 3):
        model = make(cls, {**params, "n_jobs": n_jobs}).fit(X, y)
        said.append([model.predict(X), *model.recommend(n=7), *model.similar_items(model.item_ids_[:9], 3)])
    for other in said[1:]:
        for mine, theirs in zip(said[0], other):
            np.testing.assert_array_equal(mine, theirs)


@each
def test_implicit_736_filters_leave_as_many_as_asked_and_nothing_filtered(cls, params):
    model = fitted(cls, params)
    allowed = [1, 2, 3, 5, 8]
    for n in (1, 3, 5, 9):
        ids, scores = model.recommend(n=n, candidates=allowed)
        assert ids.shape == scores.shape == (N, n)
        X, _ = known(is_implicit(params))
        for user in range(N):
            left = set(allowed) - set(X[X[:, 0] == user, 1].tolist())
            filled = ~np.isnan(scores[user])
            assert filled.sum() == min(n, len(left)) and filled[: filled.sum()].all()
            assert set(ids[user, filled].tolist()) <= left
            assert (ids[user, ~filled] == -1).all()


def test_one_search_swaps_the_recommender_itself():
    X, y = described()
    choices = [make(case.values[0], case.values[1]) for case in CASES if not is_implicit(case.values[1])]
    pipeline = Pipeline([("rows", FunctionTransformer()), ("recommender", choices[0])])
    grid = [{"recommender": choices}, {"recommender": [ContentFilter()], "recommender__alpha": [0.1, 1e9]}]
    scoring = {"ndcg": get_scorer("ndcg@10", threshold=3), "r2": "r2"}
    search = GridSearchCV(pipeline, grid, cv=KFold(3, shuffle=True, random_state=0), scoring=scoring, refit="ndcg")
    search.fit(X, y)
    assert len(search.cv_results_["params"]) == len(choices) + 2
    for name in ("ndcg", "r2"):
        assert np.isfinite(search.cv_results_[f"mean_test_{name}"]).all()
    assert search.best_score_ > 0.4
    assert 0 <= get_scorer("ndcg@5")(search, X, y) <= 1


@each_explicit
def test_ranked_lists_score_in_cross_validation(cls, params):
    X, y = described()
    cv = PerUserKFold(4, random_state=0)
    scores = cross_val_score(make(cls, params), X, y, cv=cv, scoring=get_scorer("ndcg@10", threshold=3))
    assert len(scores) == 4 and scores.mean() > 0.3
    piped = make_pipeline(FunctionTransformer(), make(cls, params))
    np.testing.assert_allclose(cross_val_score(piped, X, y, cv=cv, scoring=get_scorer("ndcg@10", threshold=3)), scores)


@each_class
def test_what_fills_a_list_is_no_hit_even_if_it_is_an_id(cls):
    X = np.array([[0, -1], [0, 4], [1, 4]])
    model = make(cls).fit(X, [1.0, 5.0, 5.0])
    ids, scores = model.recommend([0, 1], 3)
    assert np.isnan(scores[0]).all() and (ids[0] == -1).all()  # user 0 has seen all there is
    assert get_scorer("recall@3")(model, np.array([[0, -1], [0, 4]])) == 0
    assert get_scorer("recall@3")(model, np.array([[1, -1]])) == 1
    assert get_scorer("coverage@3")(model, np.array([[0, 4]])) == 0
    assert get_scorer("coverage@3")(model, np.array([[1, 4]])) == 0.5


# -------------------------------------------------------------------------------------------------- bad input


def fails(cls, match, X, y=None, error=ValueError, **params):
    with pytest.raises(error, match=match) as caught:
        make(cls, params).fit(X, y)
    assert len(str(caught.value).split()) > 3


@each_class
def test_no_interactions(cls):
    fails(cls, "0 sample", np.empty((0, 2)), np.empty(0))
    fails(cls, "no ratings", np.full((3, 2), np.nan))
    fails(cls, "no ratings", sp.csr_array((3, 2)))
    fails(cls, "positive confidence", np.array([[0, 1]]), np.zeros(1), feedback="implicit")


@each
@pytest.mark.parametrize("X", [[[0, 0]], [[0, 0], [0, 1], [0, 2]], [[0, 0], [1, 0], [2, 0]]], ids=["1x1", "1x3", "3x1"])
def test_one_user_or_one_item(cls, params, X):
    if params.get("solver") == "svd":  # has no more components than users, or items
        params = params | {"n_components": 1}
    model = make(cls, params).fit(X, np.arange(1.0, len(X) + 1))
    assert np.isfinite(model.predict(X)).all()
    ids, scores = model.recommend(n=3, exclude_seen=False)
    assert np.isfinite(scores[:, : len(model.item_ids_)]).all()
    assert np.isnan(model.recommend(n=3)[1]).all()
    assert model.similar_items([0], 2)[0].shape == model.similar_users([0], 2)[0].shape == (1, 2)


@each_explicit
def test_a_user_or_an_item_with_no_rating_left_after_a_split(cls, params):
    X, y = known()
    kept = (X[:, 0] != 3) & (X[:, 1] != 4)
    model = make(cls, params).fit(X[kept], y[kept])
    assert np.isfinite(model.predict(X)).all() and np.isfinite(model.score(X, y))
    held_out = cross_val_predict(
        make(cls, params),
        X,
        y,
        cv=[(np.flatnonzero(kept), np.flatnonzero(~kept)), (np.flatnonzero(~kept), np.flatnonzero(kept))],
    )
    assert np.isfinite(held_out).all()


@each_class
def test_bad_ratings(cls):
    X, y = known()
    for value, match in ((np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity"), (1e200, "leave float64")):
        fails(cls, match, X, np.append(y[1:], value))
    fails(cls, "infinity", np.array([[np.inf, 1.0]]))
    fails(cls, "numbers", X, ["good"] * len(X))
    fails(cls, "(?i)inconsistent", X, y[:-1])


@each_class
def test_ids_of_mixed_types(cls):
    fails(cls, "several types.*number, str", [[1, 2], ["a", 3]], [1, 2])
    fails(cls, "several types", [["a", 2], ["b", "c"]], [1, 2])
    fails(cls, "missing id", [["a", 1], [None, 2]], [1, 2])
    fails(cls, "must be .*string", [[{}, 1], ["b", 2]], [1, 2], TypeError)


@each_class
def test_negative_confidences(cls):
    fails(cls, "negative", [[0, 1], [1, 1]], [1.0, -1.0], feedback="implicit")
    fails(cls, "negative", sp.csr_array([[1.0, -1.0]]), feedback="implicit")


@each_class
def test_features_missing_at_predict(cls):
    X, y = described()
    model = make(cls).fit(X, y)
    with pytest.raises(ValueError, match="2 features.*3 features"):
        model.predict(X[:, :2])
    with pytest.raises(ValueError, match="NaN"):
        model.predict(np.c_[X[:, :2], np.full(len(X), np.nan)])


@each_class
def test_questions_out_of_range(cls):
    model = make(cls).fit(*known())
    assert model.recommend([0], n=1000)[0].shape == (1, 1000)
    for n in (0, -3):
        with pytest.raises(ValueError, match="n == "):
            model.recommend([0], n)
    with pytest.raises(ValueError, match="dict"):
        model.recommend(histories=[[1, 2]])
    with pytest.raises(ValueError, match="NaN"):
        model.recommend(histories=[{1: np.nan}])
    with pytest.raises(ValueError, match="users or histories"):
        model.recommend([0], histories=[{}])


@each_explicit
def test_an_empty_row_or_column(cls, params):
    R = ratings()
    R[2], R[:, 5] = np.nan, np.nan
    model = make(cls, params).fit(R, **attributes(cls))
    assert np.isfinite(model.predict([[2, 1], [1, 5], [2, 5]])).all()
    assert np.isfinite(model.recommend([2], 3)[1]).all()
    assert np.isfinite(model.score(R))


@each_class
def test_sizes_beyond_32_bits(cls, monkeypatch):
    entry = (np.ones(1), (np.zeros(1, np.int64), np.zeros(1, np.int64)))
    for shape in ((2, 2**31 + 1), (2**31 + 1, 2)):
        fails(cls, "32-bit", sp.coo_array(entry, shape=shape))
        with pytest.raises(ValueError, match="32-bit"):
            make(cls).fit(*known()).recommend(histories=sp.coo_array(entry, shape=shape))
    monkeypatch.setattr(sys.modules["skml.recommendation.interactions"], "LARGEST", 50)
    fails(cls, "32-bit", *known())


@each_class
def test_doors_mixed_up(cls):
    R, y = ratings(), np.zeros(N)
    for given in (R, sp.csr_array(np.nan_to_num(R))):
        fails(cls, "two ways in", given, y)
    assert not get_tags(cls()).input_tags.sparse
    by_rows, by_matrix = make(cls).fit(*known()), make(cls).fit(R)
    for ask in (
        lambda: by_rows.score(R),
        lambda: by_rows.predict(sp.csr_array(np.nan_to_num(R))),
        lambda: by_matrix.predict(np.c_[known()[0], known()[1]]),
        lambda: by_matrix.partial_fit(*known()),
    ):
        with pytest.raises(ValueError, match="two ways in|NaN|y is needed"):
            ask()
