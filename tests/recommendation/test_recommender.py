"""What all recommenders share, tried on a small one: both doors, ids, merging, questions, and bad input."""

import numpy as np
import pandas
import polars
import pytest
import scipy.sparse as sp
from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.utils.estimator_checks import estimator_checks_generator
from threadpoolctl import threadpool_limits

from skml import ContentFilter, MatrixFactorization, NeighborhoodFilter
from skml._sklearn import InvalidParameterError
from skml.base import Step, run_steps
from skml.recommendation.baseline import fit_baseline
from skml.recommendation.ranking import closest_rows
from skml.recommendation.recommender import BaseRecommender
from skml.recommendation.reconstruction import row_products
from skml.recommendation.scorers import get_scorer

FEEDBACK = ("explicit", "implicit")


class Tastes(BaseRecommender):
    """Biases, and the cosines of what they leave over: the smallest recommender that uses every hook."""

    _parameter_constraints = {**BaseRecommender._parameter_constraints, "warm_start": ["boolean"]}

    def __init__(self, *, feedback="explicit", duplicates="mean", handle_unknown="bias", warm_start=False, n_jobs=None):
        self.feedback = feedback
        self.duplicates = duplicates
        self.handle_unknown = handle_unknown
        self.warm_start = warm_start
        self.n_jobs = n_jobs

    def _learn(self, context, ratings, extra):
        run = run_steps(self, context, self._steps(ratings), task="step", attributes=self._attributes, **extra.seen)
        return self._attributes(run.state, run.history)

    def _steps(self, ratings):
        implicit = self.feedback == "implicit"
        baseline = fit_baseline(ratings, (1e-3, 1e-3), mean=0.0 if implicit else None)
        rest = ratings.data.astype(np.float64)
        if not implicit:
            rest = rest - baseline.mean - baseline.user_bias[ratings.rows()] - baseline.item_bias[ratings.indices]
        dense = np.zeros((ratings.n_rows, ratings.n_columns))
        dense[ratings.rows(), ratings.indices] = rest
        lengths = np.linalg.norm(dense, axis=0)
        unit = dense / np.where(lengths > 1e-9, lengths, np.inf)
        yield Step((baseline, dense, unit.T @ unit), {"loss": float(rest @ rest)}, last=True)

    def _attributes(self, state, history):
        baseline, rest, cosines = state
        dtype = self._ratings.data.dtype
        names = {"user_bias_": baseline.user_bias, "item_bias_": baseline.item_bias, "mean_": baseline.mean}
        return {**names, "rest_": rest.astype(dtype), "cosines_": cosines.astype(dtype), "history_": history}

    def _states(self, users):
        return np.c_[self.user_bias_[users], self.rest_[users]]

    def _fold(self, ratings):
        rest = np.zeros((ratings.n_rows, ratings.n_columns), ratings.data.dtype)
        base = 0 if self.feedback == "implicit" else self.mean_ + self.item_bias_[ratings.indices]
        counts = np.maximum(np.diff(ratings.indptr), 1)
        bias = np.bincount(ratings.rows(), ratings.data - base, minlength=ratings.n_rows) / counts
        bias = np.zeros_like(bias) if self.feedback == "implicit" else bias
        rest[ratings.rows(), ratings.indices] = ratings.data - base - bias[ratings.rows()]
        return np.c_[bias, rest].astype(ratings.data.dtype)

    def _scores(self, states, items=None):
        items = slice(None) if items is None else items
        pull = np.abs(self.cosines_[:, items]).sum(axis=0) + 1e-9
        personal = row_products(states[:, 1:], self.cosines_[items], self._n_threads) / pull  # cosines are symmetric
        return personal + self.mean_ + states[:, :1] + self.item_bias_[items]

    def _pairs(self, users, items):
        scores = self._scores(self._states(np.maximum(users, 0)))[np.arange(len(users)), items]
        b_u = np.where(users >= 0, self.user_bias_[users], 0)
        b_i = np.where(items >= 0, self.item_bias_[items], 0)
        return np.where((users >= 0) & (items >= 0), scores, self.mean_ + b_u + b_i).astype(self.rest_.dtype)

    def _item_vectors(self):
        return np.ascontiguousarray(self.rest_.T)

    def _user_vectors(self):
        return sp.csr_array(self.rest_)

    def _reasons(self, user, item):
        past = self._ratings.indices[self._ratings.indptr[user] : self._ratings.indptr[user + 1]]
        return self.rest_[user, past] * self.cosines_[past, item]


def checkerboard(n_users=8, n_items=8, missing=()):
    """Return ratings of 5 where user and item are both even or both odd, else 1."""
    R = np.where(np.add.outer(np.arange(n_users), np.arange(n_items)) % 2 == 0, 5.0, 1.0)
    for user, item in missing:
        R[user, item] = np.nan
    return R


HOLES = [(0, 2), (0, 3), (1, 2), (1, 3), (4, 6), (5, 7), (6, 0), (7, 1)]


def rows_of(R, users=None, items=None):
    """Return the known entries of R as users, items and ratings."""
    u, i = np.nonzero(~np.isnan(R))
    return u if users is None else users[u], i if items is None else items[i], R[u, i]


def board_rows(dtype=np.int64):
    u, i, y = rows_of(checkerboard(missing=HOLES))
    return np.c_[u, i].astype(dtype), y


NAMES = np.array(["ann", "bob", "cid", "dee", "eve", "fay", "gus", "hal"], dtype=object)


# ----------------------------------------------------------------------------------------- scikit-learn


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "check",
    [check for _, check in estimator_checks_generator(Tastes(), legacy=True, mark=None)],
    ids=lambda check: getattr(check, "func", check).__name__,
)
def test_check_estimator(check):
    check(Tastes())


def test_no_check_is_missing():
    assert len(list(estimator_checks_generator(Tastes(), legacy=True, mark=None))) >= 59


def test_cross_validation_and_grid_search_hold_out_interactions(rng):
    u, i, y = rows_of(checkerboard(20, 20))
    X, order = np.c_[u, i], rng.permutation(400)
    assert np.mean(cross_val_score(Tastes(), X[order], y[order], cv=4)) > 0.5
    search = GridSearchCV(Tastes(), {"handle_unknown": ["bias", "mean"]}, cv=3).fit(X[order], y[order])
    assert search.best_score_ > 0.3


# ------------------------------------------------------------------------------------------------- doors


def test_both_doors_give_one_model():
    R = checkerboard(missing=HOLES)
    X, y = board_rows()
    by_rows = Tastes().fit(X, y)
    u, i, r = rows_of(R)
    for matrix in (R, sp.csr_array((r, (u, i)), shape=R.shape), sp.coo_matrix((r, (u, i)), shape=R.shape), R.tolist()):
        by_matrix = Tastes().fit(matrix)
        np.testing.assert_array_equal(by_matrix.predict(X), by_rows.predict(X))
        np.testing.assert_array_equal(by_matrix.user_ids_, np.arange(8))
    assert by_matrix.n_features_in_ == 8


def test_a_stored_zero_is_a_rating():
    R = np.where(checkerboard(missing=HOLES) == 1, 0.0, checkerboard(missing=HOLES))
    u, i, r = rows_of(R)
    sparse = Tastes().fit(sp.csr_array((r, (u, i)), shape=R.shape))
    assert sparse._ratings.data.min() == 0
    np.testing.assert_array_equal(sparse.rest_, Tastes().fit(R).rest_)


def test_frames_name_users_and_items():
    frame = pandas.DataFrame(checkerboard(missing=HOLES), index=NAMES[::-1], columns=[f"i{k}" for k in range(8)])
    model = Tastes().fit(frame)
    np.testing.assert_array_equal(model.user_ids_, NAMES[::-1])
    np.testing.assert_array_equal(model.item_ids_, frame.columns)
    predicted = model.predict([["hal", "i2"], ["hal", "i3"], ["nobody", "i3"]])
    assert predicted[0] > 4 > 2 > predicted[1]
    ids, _ = model.recommend(["hal"], 1)
    assert ids.tolist() == [["i2"]]
    table = polars.DataFrame(frame.to_numpy(), schema=list(frame.columns), nan_to_null=False)
    np.testing.assert_array_equal(Tastes().fit(table).item_ids_, frame.columns)


def test_the_matrix_door_scores_what_is_known():
    R = checkerboard(missing=HOLES)
    model = Tastes().fit(R)
    assert model.score(R) > 0.7
    assert np.isclose(model.score(R), model.score(sp.csr_array(np.nan_to_num(R)) * 1.0))
    X, y = board_rows()
    assert model.score(X, y) > 0.7
    with pytest.raises(ValueError, match="y is needed"):
        Tastes().fit(X, y).score(X)


def test_weights_of_matrix_rows_are_copies_of_their_ratings(rng):
    R, weights = checkerboard(missing=HOLES) + rng.normal(size=(8, 8)), rng.integers(0, 4, size=8)
    weights[:2] = 1
    u, i, r = rows_of(R)
    by_rows = Tastes().fit(np.c_[u, i], r, sample_weight=weights[u])
    by_matrix = Tastes().fit(R, sample_weight=weights)
    known = np.isin(np.arange(8), by_rows.user_ids_)
    np.testing.assert_allclose(by_matrix.user_bias_[known], by_rows.user_bias_, rtol=1e-9, atol=1e-12)
    assert (by_matrix.user_bias_[~known] == 0).all()


@pytest.mark.parametrize("matrix", ["dense", "sparse"])
def test_doors_mixed_up_are_explained(matrix):
    R, y = checkerboard(missing=HOLES), np.zeros(8)
    with pytest.raises(ValueError, match="two ways in"):
        Tastes().fit(R if matrix == "dense" else sp.csr_array(np.nan_to_num(R)), y)


def test_an_empty_row_or_column_has_an_answer():
    R = checkerboard()
    R[2], R[:, 5] = np.nan, np.nan
    model = Tastes().fit(R)
    assert np.isfinite(model.predict([[2, 1], [1, 5], [2, 5]])).all()
    np.testing.assert_allclose(model.predict([[2, 5]]), model.mean_)
    assert np.isfinite(model.recommend([2], 3)[1]).all()


# --------------------------------------------------------------------------------------------------- ids


def test_ids_of_every_container_mean_the_same():
    u, i, y = rows_of(checkerboard(missing=HOLES))
    plain = Tastes().fit(np.c_[u, i], y)
    users, items = NAMES[u], np.array([f"item{k}" for k in range(8)], dtype=object)[i]
    frame = pandas.DataFrame({"u": users, "i": items})
    tables = {
        "float": np.c_[u, i] * 1.0,
        "object": np.c_[u, i].astype(object),
        "U": np.c_[users, items].astype("U"),
        "list": list(zip(users.tolist(), items.tolist())),
        "tuples": [[("u", a), ("i", b)] for a, b in zip(u.tolist(), i.tolist())],
        "mixed": [[a, b] for a, b in zip(users.tolist(), i.tolist())],
        "pandas": frame,
        "pandas-object": frame.astype(object),
        "categorical": frame.astype("category"),
        "string[python]": frame.astype("string[python]"),
        "nullable": pandas.DataFrame({"u": u, "i": i}).astype("Int64"),
        "polars": polars.DataFrame({"u": users.tolist(), "i": items.tolist()}),
        "polars-category": polars.DataFrame({"u": users.tolist(), "i": items.tolist()}).cast(polars.Categorical),
        "int8": np.c_[u, i].astype(np.int8),
        "uint64": np.c_[u, i].astype(np.uint64),
    }
    for name, X in tables.items():
        model = Tastes().fit(X, y)
        np.testing.assert_array_equal(model.predict(X), plain.predict(np.c_[u, i]), err_msg=name)
        assert len(model.user_ids_) == 8, name


def test_unseen_ids_follow_handle_unknown():
    X, y = board_rows()
    asked = np.array([[0, 99], [99, 0], [99, 99], [0, 0]])
    model = Tastes().fit(X, y)
    b_u, b_i, mu = model.user_bias_[0], model.item_bias_[0], model.mean_
    known = model.predict(asked)[3]
    np.testing.assert_allclose(model.predict(asked), [mu + b_u, mu + b_i, mu, known])
    np.testing.assert_allclose(model.set_params(handle_unknown="mean").predict(asked), [mu, mu, mu, known])
    np.testing.assert_allclose(model.set_params(handle_unknown="nan").predict(asked), [np.nan] * 3 + [known])
    with pytest.raises(ValueError, match="training has not seen.*place 1"):
        model.set_params(handle_unknown="error").predict(asked)
    assert np.isnan(model.set_params(handle_unknown="nan").recommend([99], 2)[1]).all()
    np.testing.assert_allclose(model.set_params(handle_unknown="bias").predict([[777, 888]]), mu)


@pytest.mark.parametrize("handle_unknown", ["bias", "mean"])
def test_a_model_without_mean_and_biases_answers_the_mean_of_ratings(handle_unknown):
    X, y = board_rows()
    weights = 1.0 + np.arange(len(y)) % 3
    settings = {"constraint": "nonnegative", "solver": "ccd"}, {"fit_bias": False, "global_mean": False}
    for params in settings:
        model = MatrixFactorization(2, random_state=0, handle_unknown=handle_unknown, **params)
        model.fit(X, y, sample_weight=weights)
        said = model.predict([[99, 0], [0, 99], [99, 99]])
        np.testing.assert_allclose(said, np.average(y, weights=weights))


def test_the_mean_of_all_ratings_knows_no_features(rng):
    X, y = board_rows()
    x = rng.normal(size=len(y))
    model = Tastes(handle_unknown="mean").fit(np.c_[X, x], y + 2 * x)
    said = model.predict([[99, 0, 5.0], [0, 0, 5.0], [0, 0, 0.0]])
    assert said[0] == pytest.approx(np.mean(y + 2 * x))
    assert said[1] - said[2] == pytest.approx(5 * model.coef_[0])


def test_large_integers_are_not_rounded():
    X = np.array([[2**62, 1], [2**62 + 1, 1]])
    assert len(Tastes().fit(X, [1.0, 2.0]).user_ids_) == 2


# -------------------------------------------------------------------------------------------- duplicates


def test_duplicates_follow_their_rule():
    X, y = [[0, 0], [0, 1], [0, 0], [1, 1]], [1.0, 3.0, 4.0, 2.0]
    weights = [1.0, 1.0, 3.0, 1.0]
    expected = {"mean": (3.25, 4.0), "last": (4.0, 3.0), "sum": (5.0, 2.0)}
    for rule, (rating, weight) in expected.items():
        ratings = Tastes(duplicates=rule).fit(X, y, sample_weight=weights)._ratings
        assert (ratings.data[0], ratings.weights[0]) == (rating, weight), rule
    with pytest.raises(ValueError, match="Rows 0 and 2"):
        Tastes(duplicates="error").fit(X, y)
    Tastes(duplicates="error").fit(X, y, sample_weight=[0, 1, 1, 1])


def test_rows_of_weight_zero_are_not_there():
    model = Tastes().fit([[0, 0], [7, 7], [1, 1]], [1.0, 2.0, 3.0], sample_weight=[1, 0, 1])
    assert model.user_ids_.tolist() == [0, 1]


# ----------------------------------------------------------------------------------------------- context


def test_features_add_what_they_explain(rng):
    u, i = np.repeat(np.arange(30), 20), np.tile(np.arange(20), 30)
    x = rng.normal(size=(600, 2)) * [1.0, 1000.0]
    y = 3 + rng.normal(size=30)[u] + rng.normal(size=20)[i] + x @ [0.7, -0.002]
    model = Tastes().fit(np.c_[u, i, x], y)
    np.testing.assert_allclose(model.coef_, [0.7, -0.002], rtol=0.05)
    assert model.score(np.c_[u, i, x], y) > 0.99
    with pytest.raises(ValueError, match="2 features.*4 features"):
        model.predict(np.c_[u, i])
    assert not hasattr(model.fit(np.c_[u, i], y), "coef_")


@pytest.mark.parametrize("weight", [1e-50, 1e-44, 1e30, 1e39])
@pytest.mark.parametrize(
    "model", [Tastes(), NeighborhoodFilter(metric="cosine"), MatrixFactorization(2, tol=None)], ids=str
)
def test_weights_that_are_no_ordinary_numbers_in_the_type_of_work_are_refused(rng, weight, model):
    X = np.argwhere(rng.random((40, 20)) < 0.7).astype(np.float32)
    y, weights = rng.normal(size=len(X)).astype(np.float32), np.ones(len(X))
    for some in (slice(None, None, 2), slice(None)):
        weights[some] = weight
        for data in ((X, y, weights), (sp.csr_array((y, X.T.astype(int))), None, np.full(40, weight))):
            with pytest.raises(ValueError, match="sample_weight holds .* in place 0, too (small|large) for .*float32"):
                clone(model).fit(*data)
        assert np.isfinite(clone(model).fit(X.astype(float), y, weights).predict(X)).all()


def test_weights_that_partial_fit_brings_are_ordinary_numbers_in_the_models_type(rng):
    X = np.argwhere(rng.random((9, 9)) < 0.7).astype(np.float32)
    model = MatrixFactorization(2, max_iter=3, tol=None).fit(X, rng.normal(size=len(X)).astype(np.float32))
    with pytest.raises(ValueError, match="sample_weight holds"):
        model.partial_fit([[0.0, 10.0], [1.0, 10.0]], [1.0, 2.0], sample_weight=[1.0, 1e-50])


# ------------------------------------------------------------------------------------------- partial_fit


def test_partial_fit_is_a_fit_of_all(rng):
    X, y = board_rows()
    order = rng.permutation(len(X))
    for cut in (5, 20, 40):
        first, second = order[:cut], order[cut:]
        model = Tastes().fit(X[first], y[first]).partial_fit(X[second], y[second])
        np.testing.assert_allclose(model.predict(X), Tastes().fit(X, y).predict(X), rtol=1e-9)
        np.testing.assert_array_equal(model.user_ids_, np.arange(8))
    assert Tastes().partial_fit(X, y).score(X, y) > 0.7


@pytest.mark.parametrize("cls", [MatrixFactorization, NeighborhoodFilter, ContentFilter])
@pytest.mark.parametrize("first", [np.float32, np.float64])
def test_partial_fit_works_in_the_type_of_the_model(rng, cls, first):
    X, y = board_rows()
    X, second = np.asarray(X, np.int32), np.float64 if first == np.float32 else np.float32
    model = cls().fit(X[:-9], y[:-9].astype(first)).partial_fit(X[-9:], y[-9:].astype(second))
    assert model.predict(X).dtype == model._ratings.data.dtype == first
    R = np.where(rng.random((8, 5)) < 0.7, rng.normal(size=(8, 5)), np.nan)
    R[:, 0], R[0] = 1.0, 2.0
    model = cls().fit(R.astype(first)).partial_fit(R.astype(second))
    assert model.predict([[0, 0]]).dtype == model._ratings.data.dtype == first
    if first == np.float32:
        with pytest.raises(ValueError, match="float32"):  # the limits too are those of the type
            model.partial_fit(R * 1e30)


def test_partial_fit_merges_by_the_rule():
    model = Tastes(duplicates="last").fit([[0, 0], [0, 1]], [1.0, 2.0]).partial_fit([[0, 0]], [5.0])
    assert model._ratings.data.tolist() == [5.0, 2.0]
    model = Tastes().fit([[0, 0], [0, 1]], [1.0, 2.0]).partial_fit([[0, 0], [9, 0]], [4.0, 1.0])
    assert model._ratings.data.tolist() == [2.5, 2.0, 1.0]
    assert model._ratings.weights.tolist() == [2.0, 1.0, 1.0]


def test_partial_fit_tells_where_the_old_ones_are():
    seen = {}

    class Spy(Tastes):
        def _learn(self, context, ratings, extra):
            seen["extra"] = extra
            return super()._learn(context, ratings, extra)

    model = Spy().fit([["b", 1], ["d", 3]], [1.0, 2.0])
    assert seen["extra"].old_users is None
    model.partial_fit([["c", 0], ["a", 3]], [1.0, 2.0])
    assert seen["extra"].old_users.tolist() == [1, 3]
    assert seen["extra"].old_items.tolist() == [1, 2]
    assert seen["extra"].new.indptr.tolist() == [0, 1, 1, 2, 2]
    model.set_params(warm_start=True).fit([["d", 0], ["e", 3]], [1.0, 2.0])
    assert seen["extra"].old_users.tolist() == [-1, -1, -1, 0]
    assert seen["extra"].new is None


def test_partial_fit_of_a_matrix_adds_users():
    R = checkerboard(missing=HOLES)
    model = Tastes().fit(R[:5]).partial_fit(R[5:])
    whole = Tastes().fit(R)
    np.testing.assert_allclose(model.rest_, whole.rest_, atol=1e-12)
    frame = pandas.DataFrame(R, index=NAMES)
    model = Tastes().fit(frame[:6]).partial_fit(frame[6:])
    np.testing.assert_array_equal(model.user_ids_, NAMES)
    np.testing.assert_allclose(model.rest_, whole.rest_, atol=1e-12)
    with pytest.raises(ValueError, match="index names"):
        model.partial_fit(pandas.DataFrame(R).to_numpy())
    with pytest.raises(ValueError, match="through the door"):
        model.partial_fit(*board_rows())


# --------------------------------------------------------------------------------------------- questions


def test_recommendations_of_the_checkerboard():
    X, y = board_rows()
    model = Tastes().fit(X, y)
    ids, scores = model.recommend(n=2)
    assert ids.shape == scores.shape == (8, 2)
    assert ids[0].tolist() == [2, 3]
    assert ids[1].tolist() == [3, 2]
    assert ids[4].tolist() == [6, -1]  # one item is left
    assert np.isnan(scores[4, 1])
    assert ids[2].tolist() == [-1, -1]
    everything, scores = model.recommend([0, 1], 8, exclude_seen=False)
    assert sorted(everything[0, :4].tolist()) == [0, 2, 4, 6]
    assert sorted(everything[1, :4].tolist()) == [1, 3, 5, 7]
    assert (np.diff(scores, axis=1) <= 0).all()


def test_ties_go_to_the_lower_code():
    X = np.array([[u, i] for u in range(3) for i in range(5)])
    ids = Tastes().fit(X, np.full(15, 2.0)).recommend([0, 9], 5, exclude_seen=False, return_scores=False)
    assert ids.tolist() == [[0, 1, 2, 3, 4]] * 2


def test_candidates_are_chosen_from():
    X, y = board_rows()
    model = Tastes().fit(X, y)
    ids, scores = model.recommend([0, 1, 2], 3, candidates=[7, 3, 2, 1234, 3], exclude_seen=False)
    assert ids[0, 0] == 2
    assert set(ids[1, :2]) == {3, 7}
    assert sorted(ids[2]) == [2, 3, 7]
    whole, all_scores = model.recommend([0, 1, 2], 8, exclude_seen=False)
    for row in range(3):
        for item, score in zip(ids[row], scores[row]):
            np.testing.assert_allclose(score, all_scores[row, whole[row] == item], rtol=1e-12)
    assert model.recommend([0], 3, candidates=[4], return_scores=False).tolist() == [[-1, -1, -1]]
    assert model.recommend([0], 2, candidates=[], return_scores=False).tolist() == [[-1, -1]]


def test_recommendations_do_not_depend_on_blocks_or_threads(rng):
    X = rng.integers(0, 60, size=(900, 2))
    model = Tastes().fit(X, rng.normal(size=900))
    ids, scores = model.recommend(n=7)
    with config_context(working_memory=0.002):
        again, also = model.set_params(n_jobs=3).recommend(n=7)
    np.testing.assert_array_equal(ids, again)
    np.testing.assert_array_equal(scores, also)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("k", [3, 20, 64, 65, 300])
@pytest.mark.parametrize("equal", [False, True])
def test_recommendations_do_not_depend_on_who_else_is_asked_for(rng, k, dtype, equal):
    X = np.column_stack([np.repeat(np.arange(50), 61), np.tile(np.arange(61), 50)]).astype(dtype)
    model = MatrixFactorization(k, max_iter=1, tol=None, random_state=0).fit(X, rng.normal(size=len(X)).astype(dtype))
    model.user_factors_ = rng.normal(size=(50, k)).astype(dtype)
    model.item_factors_ = rng.normal(size=(1 if equal else 61, k)).astype(dtype).repeat(61 if equal else 1, axis=0)
    model.item_bias_ = np.zeros_like(model.item_bias_) if equal else model.item_bias_
    ids, scores = model.recommend(n=61, exclude_seen=False)
    if equal:
        np.testing.assert_array_equal(ids, X[:61, 1] * np.ones((50, 1)))  # of equal ones the lower code first
    for size in (1, 2, 5, 17):
        for start in range(0, 50, size):
            some, also = model.recommend(np.arange(50)[start : start + size], n=61, exclude_seen=False)
            np.testing.assert_array_equal(some, ids[start : start + size])
            np.testing.assert_array_equal(also, scores[start : start + size])
    alike, cosines = model.similar_items(model.item_ids_, 60)
    for start in range(0, 61, 7):
        some, also = model.similar_items(model.item_ids_[start : start + 7], 60)
        np.testing.assert_array_equal(some, alike[start : start + 7])
        np.testing.assert_array_equal(also, cosines[start : start + 7])


def test_more_answers_than_there_is_memory_for_are_refused():
    for model in (Tastes().fit(*board_rows()), NeighborhoodFilter().fit(*board_rows())):
        for ask in (model.recommend, model.similar_items, model.similar_users):
            with pytest.raises(MemoryError, match="answers for each of 1 would take"):
                ask([0], n=10**12)


@pytest.mark.parametrize("form", ["dicts", "dense", "sparse", "frame"])
def test_people_who_were_not_in_training(form):
    model = Tastes().fit(*board_rows())
    new = np.full((3, 8), np.nan)
    new[0, :4], new[1, :4] = [5, 1, 5, 1], [1, 5, 1, 5]
    u, i, r = rows_of(new)
    histories = {
        "dicts": [{k: v for k, v in enumerate(row) if v == v} for row in new],
        "dense": new,
        "sparse": sp.csr_array((r, (u, i)), shape=new.shape),
        "frame": pandas.DataFrame(new),
    }[form]
    ids, scores = model.recommend(histories=histories, n=4)
    assert sorted(ids[0, :2].tolist()) == [4, 6]
    assert sorted(ids[1, :2].tolist()) == [5, 7]
    assert not set(ids[0]) & {0, 1, 2, 3}
    assert np.isfinite(scores[2]).all()  # an empty history is one
    np.testing.assert_array_equal(ids[2], model.recommend([999], 4, return_scores=False)[0])


def test_columns_of_a_frame_of_histories_are_looked_up(rng):
    X, y = board_rows()
    names = np.array(list("abcdefgh"), dtype=object)
    model = Tastes().fit(np.c_[X[:, :1].astype(object), names[X[:, 1]]], y)
    new = np.full((2, 8), np.nan)
    new[0, :4], new[1, :3] = [5, 1, 5, 1], [1, 5, 1]
    frame = pandas.DataFrame(new, columns=names)
    ids, scores = model.recommend(histories=frame, n=4)
    assert set(ids[0, :2]) == {"e", "g"}
    np.testing.assert_array_equal(ids, model.recommend(histories=new, n=4)[0])
    mixed = frame[list("dhbac")].assign(unheard_of=3.0)
    for histories in (frame[list("hgfedcba")], mixed, polars.DataFrame(mixed.to_dict("list"))):
        again, also = model.recommend(histories=histories, n=4)
        np.testing.assert_array_equal(again, ids)
        np.testing.assert_allclose(also, scores)
    by_matrix = Tastes().fit(pandas.DataFrame(checkerboard(missing=HOLES), columns=names))
    np.testing.assert_array_equal(by_matrix.recommend(histories=mixed, n=4)[0], ids)
    with pytest.raises(ValueError, match="twice"):
        model.recommend(histories=frame[["a", "a"]])


def test_ids_of_another_type_are_told():
    X, y = board_rows()
    model = Tastes().fit(np.c_[X.astype(str).astype(object)], y)
    calls = [
        lambda: model.recommend([1]),
        lambda: model.recommend(["1"], candidates=[1]),
        lambda: model.recommend(histories=[{1: 5.0}]),
        lambda: model.recommend(histories=pandas.DataFrame([[1.0, 2.0]])),
        lambda: model.rank(["1"], [1]),
        lambda: model.similar_items([1]),
        lambda: model.predict([[1, 1]]),
    ]
    for call in calls:
        with pytest.warns(UserWarning, match="are numbers, and those of training are strings"):
            call()


def test_a_forgotten_y_is_explained():
    for X in ([["ann", "tea"], ["bob", "tea"]], pandas.DataFrame({"user": ["ann"], "item": ["tea"]})):
        with pytest.raises(ValueError, match="Without y, X is taken for a matrix.*two ways in"):
            Tastes().fit(X)


def test_the_index_that_pandas_gives_names_nobody():
    first = pandas.DataFrame(checkerboard(missing=HOLES)[:5], columns=list("abcdefgh"))
    model = Tastes().fit(first)
    model.partial_fit(first.iloc[:1])
    assert model.user_ids_.tolist() == [0, 1, 2, 3, 4, 5]
    named = first.iloc[:1].set_axis([3])
    assert model.partial_fit(named).user_ids_.tolist() == [0, 1, 2, 3, 4, 5]
    people = Tastes().fit(first.set_axis(list("vwxyz")))
    with pytest.raises(ValueError, match="index names the users"):
        people.partial_fit(first)


def test_blocks_are_shared_by_threads_that_start_no_others(rng, monkeypatch):
    X, y = np.column_stack([np.arange(300) % 60, rng.integers(9, size=300)]), rng.random(300)
    model, seen = Tastes(n_jobs=3, duplicates="last").fit(X, y), []
    scores = model._scores
    model._scores = lambda *args: seen.append(model._n_threads) or scores(*args)
    monkeypatch.setattr("skml.recommendation.ranking._BLOCK_BYTES", 9 * 8 * 7)
    model.recommend()
    assert len(seen) > 5 and set(seen) == {1} and model._n_threads == 3


def test_an_error_in_one_of_the_threads_is_raised(rng, monkeypatch):
    def fail(*args):
        raise FloatingPointError("wrong")

    model = Tastes(n_jobs=2).fit(np.column_stack([np.arange(60), np.arange(60) % 9]), rng.random(60))
    monkeypatch.setattr("skml.recommendation.ranking._BLOCK_BYTES", 9 * 8 * 7)
    model._scores = fail
    with pytest.raises(FloatingPointError, match="wrong"):
        model.recommend()


def test_histories_may_name_unknown_items():
    model = Tastes().fit(*board_rows())
    plain = model.recommend(histories=[{0: 5.0, 1: 1.0}], n=3)
    odd = model.recommend(histories=[{0: 5.0, 77: 3.0, 1: 1.0}], n=3)
    np.testing.assert_array_equal(plain[0], odd[0])


@pytest.mark.parametrize("histories", [[{77: 3.0, 78: 1.0}, {}], pandas.DataFrame([[3.0, 1.0]], columns=[77, 78])])
def test_histories_of_nothing_but_unknown_items_are_warned_of(histories):
    model = Tastes().fit(*board_rows())
    with pytest.warns(UserWarning, match=r"histories \(2\) are all unknown to training") as said:
        found = model.recommend(histories=histories, n=3)
    assert len(said) == 1
    for ids, expected in zip(found[0], model.recommend(histories=[{}], n=3)[0]):
        np.testing.assert_array_equal(ids, expected)


def test_rank_orders_items():
    model = Tastes().fit(*board_rows())
    ranked, scores = model.rank([0, 1], [3, 2, 999])
    assert ranked[0].tolist() == [2, 999, 3]
    assert ranked[1].tolist() == [3, 999, 2]
    np.testing.assert_allclose(scores[0], model.predict([[0, 2], [0, 999], [0, 3]]))
    assert model.rank([999], [1])[0].tolist() == [[1]]


@pytest.mark.parametrize("handle_unknown", ["bias", "mean", "nan"])
def test_rank_orders_items_for_people_who_are_told(handle_unknown):
    model = Tastes(handle_unknown=handle_unknown).fit(*board_rows())
    told = [{0: 5.0, 1: 1.0, 2: 5.0, 3: 1.0}, {}]
    ranked, scores = model.rank(None, [5, 999, 4, 0], histories=told)
    known = [item for item in ranked[0].tolist() if item != 999]
    assert set(known[:2]) == {0, 4} and known[2] == 5
    ids, all_scores = model.recommend(histories=told, n=8, exclude_seen=False)
    for row in range(2):
        expected = dict(zip(ids[row].tolist(), all_scores[row].tolist()))
        expected[999] = model.predict([[777, 999]])[0]
        np.testing.assert_allclose(scores[row], [expected[item] for item in ranked[row].tolist()])
    assert model.rank(None, [], histories=told)[0].shape == (2, 0)
    with pytest.raises(ValueError, match="not both"):
        model.rank([0], [1], histories=told)


def test_cosines_do_not_depend_on_threads_of_blas(rng):
    for shape, dtype in (((1501, 33), "f"), ((97, 301), "d"), ((701, 517), "f")):
        vectors, rows = rng.normal(size=shape).astype(dtype), np.arange(shape[0], dtype=np.int32)
        found = []
        for n_threads in (1, 2):
            with threadpool_limits(n_threads, user_api="blas"):
                found.append(closest_rows(vectors, rows, 5, 1))
        np.testing.assert_array_equal(found[0][0], found[1][0])
        np.testing.assert_array_equal(found[0][1], found[1][1])


def test_similar_ones_have_the_same_taste():
    model = Tastes().fit(*board_rows())
    items, scores = model.similar_items([0, 1, 99], 3)
    assert set(items[0]) == {2, 4, 6}
    assert set(items[1]) == {3, 5, 7}
    assert items[2].tolist() == [-1] * 3
    assert np.isnan(scores[2]).all()
    assert (scores[:2] > 0.5).all()
    assert (scores[:2] <= 1 + 1e-9).all()
    users = model.similar_users([5], 7, return_scores=False)
    assert set(users[0, :3]) == {1, 3, 7}
    assert 5 not in users[0]


def test_reasons_add_up():
    model = Tastes().fit(*board_rows())
    items, reasons = model.explain(0, 2)
    assert len(items) == 6
    assert (np.diff(reasons) <= 0).all()
    assert 2 not in items
    for unknown in ((99, 2), (0, 99)):
        with pytest.raises(ValueError, match="it had no (user|item) 99"):
            model.explain(*unknown)
    with pytest.raises(ValueError, match="no user 'ann'.*are strings, and those of training are numbers"):
        model.explain("ann", 2)
    with pytest.raises(TypeError, match=r"one user, an id and not a list: got \['ann'\]"):
        model.explain(["ann"], 2)


# --------------------------------------------------------------------------------------------- implicit


def liked(n=8):
    u, i, y = rows_of(checkerboard(n, n, missing=HOLES))
    return np.c_[u, i][y == 5]


def test_implicit_interactions_need_no_ratings():
    X = liked()
    model = Tastes(feedback="implicit").fit(X)
    assert (model._ratings.data == 1).all()
    assert model.recommend([0], 1)[0].tolist() == [[2]]
    held_out = np.array([[0, 2], [1, 3], [4, 6], [5, 7]])
    assert model.score(held_out) == 1.0
    assert model.score(X) == 0.0  # what training has is not recommended
    assert 0 <= model.score(np.array([[0, 3], [99, 1]])) < 1


@pytest.mark.parametrize("handle_unknown", ["bias", "nan"])
def test_implicit_score_is_the_scorers_ndcg(rng, handle_unknown):
    X = np.unique(rng.integers(0, 40, (300, 2)), axis=0)
    model = Tastes(feedback="implicit", handle_unknown=handle_unknown).fit(X)
    asked = np.vstack([X[:20], rng.integers(0, 40, (60, 2)), [[0, 777], [1, 778], [555, 3], [556, 777]]])
    assert model.score(asked) == pytest.approx(get_scorer("ndcg@10")(model, asked), rel=1e-12)


def test_implicit_doors_agree():
    X = liked()
    y = np.arange(1.0, len(X) + 1)
    by_rows = Tastes(feedback="implicit").fit(X, y)
    by_weights = Tastes(feedback="implicit").fit(X, sample_weight=y)
    by_matrix = Tastes(feedback="implicit").fit(sp.csr_array((y, X.T), shape=(8, 8)))
    for other in (by_weights, by_matrix):
        np.testing.assert_allclose(other.rest_, by_rows.rest_, rtol=1e-12)
    held_out = np.array([[0, 2], [1, 3], [4, 6], [5, 7]])
    assert by_matrix.score(held_out) == by_rows.score(held_out) > 0.5
    people = sp.csr_array((y, X.T), shape=(8, 8))  # who need not be those of training
    np.testing.assert_allclose(by_matrix.score(people), by_rows.score(people), rtol=1e-12)


def test_implicit_weights_are_copies(rng):
    X = liked()
    weights = rng.integers(0, 4, size=len(X))
    weights[0] = 1
    weighted = Tastes(feedback="implicit").fit(X, sample_weight=weights)
    np.testing.assert_allclose(weighted.rest_, Tastes(feedback="implicit").fit(np.repeat(X, weights, axis=0)).rest_)


def test_lists_are_histories_of_likes():
    model = Tastes(feedback="implicit").fit(liked())
    ids = model.recommend(histories=[[0, 2], [1], []], n=2, return_scores=False)
    assert set(ids[0]) == {4, 6}
    assert set(ids[1]) <= {3, 5, 7}
    assert ids.shape == (3, 2)


# --------------------------------------------------------------------------------------------- bad input


def fails(error, match, X, y=None, **params):
    weights = params.pop("sample_weight", None)
    with pytest.raises(error, match=match):
        Tastes(**params).fit(X, y, sample_weight=weights)


def test_bad_interactions_are_refused():
    X, y = board_rows(float)
    fails(ValueError, "0 sample", X[:0], y[:0])
    fails(ValueError, "0 sample", pandas.DataFrame({"u": [], "i": []}), [])
    fails(ValueError, r"1 feature\(s\)", X[:, :1], y)
    fails(ValueError, "NaN", X, np.r_[np.nan, y[1:]])
    fails(ValueError, "infinity", X, np.r_[np.inf, y[1:]])
    fails(ValueError, "leave float64", X, np.r_[1e200, y[1:]])
    fails(ValueError, "(?i)inconsistent", X, y[:-1])
    fails(ValueError, "numbers", X, ["good"] * len(y))
    fails(ValueError, "(?i)complex", X, y + 1j)
    fails(ValueError, "several types.*number, str", [[1, 2], ["a", 3]], [1, 2])
    fails(ValueError, "several types", [[1, 2], [(1, 2), 3]], [1, 2])
    fails(ValueError, "missing id", [["a", 1], [None, 2]], [1, 2])
    fails(ValueError, "missing id", pandas.DataFrame({"u": ["a", None], "i": [1, 2]}), [1, 2])
    fails(ValueError, "missing id", pandas.DataFrame({"u": [1, None], "i": [1, 2]}).astype("Int64"), [1, 2])
    fails(ValueError, "missing id", polars.DataFrame({"u": ["a", None], "i": [1, 2]}), [1, 2])
    fails(ValueError, "missing id", pandas.DataFrame({"u": ["a", None], "i": [1, 2]}).astype("category"), [1, 2])
    fails(TypeError, "argument must be .* string.* number", [[{}, 1], [2, 2]], [1, 2])
    fails(ValueError, "inhomogeneous", [[1, 2], [3]], [1, 2])
    fails(ValueError, "Expected 2D", ["a", "b"], [1, 2])
    fails(ValueError, "features.*must be numbers", [["a", "b", "c"]], [1])
    fails(ValueError, "Column 2 of X contains NaN", pandas.DataFrame({"u": ["a"], "i": [1], "t": [np.nan]}), [1])
    fails(TypeError, "times", pandas.DataFrame({"u": ["a"], "t": [pandas.Timestamp("2020-01-01")]}), [1])
    fails(ValueError, "negative", liked(), -np.ones(len(liked())), feedback="implicit")
    fails(ValueError, "positive confidence", liked(), np.zeros(len(liked())), feedback="implicit")
    fails(ValueError, "(?i)weight", X, y, sample_weight=-y)
    fails(InvalidParameterError, "duplicates", X, y, duplicates="first")


def test_bad_matrices_are_refused():
    fails(ValueError, "no ratings", np.full((3, 2), np.nan))
    fails(ValueError, "no ratings", sp.csr_array((3, 2)))
    fails(ValueError, "infinity", np.array([[np.inf, 1.0]]))
    fails(ValueError, "NaN", sp.csr_array(np.array([[np.nan, 1.0]])))
    fails(ValueError, "negative", sp.csr_array(np.array([[-1.0, 1.0]])), feedback="implicit")
    fails(ValueError, "must be distinct", pandas.DataFrame(np.eye(2), index=["a", "a"]))
    broken = sp.csr_array(np.eye(3))
    broken.indices = np.array([0, 1, 9], np.int32)
    fails(ValueError, "broken", broken)


@pytest.mark.parametrize("feedback", FEEDBACK)
def test_one_user_or_one_item(feedback):
    for X in ([[0, 0]], [[0, 0], [0, 1], [0, 2]], [[0, 0], [1, 0], [2, 0]]):
        model = Tastes(feedback=feedback).fit(X, np.full(len(X), 2.0))
        assert np.isfinite(model.predict(X)).all()
        ids, scores = model.recommend(n=3)
        assert ids.shape == scores.shape == (len(model.user_ids_), 3)


def test_a_user_with_no_rating_left_after_a_split():
    X, y = board_rows()
    kept = X[:, 0] != 3
    model = Tastes().fit(X[kept], y[kept])
    assert np.isfinite(model.predict(X)).all()
    assert np.isfinite(model.score(X, y))


def test_bad_questions_are_refused():
    model = Tastes().fit(*board_rows())
    for n in (0, -1):
        with pytest.raises(ValueError, match="n == "):
            model.recommend([0], n)
    with pytest.raises(TypeError, match="n must be"):
        model.recommend([0], 2.5)
    assert model.recommend([0], 100)[0].shape == (1, 100)
    with pytest.raises(ValueError, match="users or histories"):
        model.recommend([0], histories=[{}])
    with pytest.raises(ValueError, match="for one alone give"):
        model.recommend("ann")
    with pytest.raises(ValueError, match="for one alone give"):
        model.recommend(3)
    with pytest.raises(ValueError, match="dict"):
        model.recommend(histories=[[1, 2]])
    with pytest.raises(ValueError, match="NaN"):
        model.recommend(histories=[{1: np.nan}])
    with pytest.raises(ValueError, match="columns"):
        model.recommend(histories=np.ones((2, 3)))
    with pytest.raises(ValueError, match="(?i)sparse"):
        model.predict(sp.csr_array(np.eye(2)))
    with pytest.raises(ValueError, match="NaN"):
        model.predict([[np.nan, 1.0]])
    assert model.recommend([], 3)[0].shape == (0, 3)
    assert model.predict([[0, 0]]).shape == (1,)


def test_float32_stays_float32():
    X, y = board_rows()
    for given, ratings, dtype in (
        (X, y.astype(np.float32), np.float32),
        (X.astype(np.float32), y, np.float32),
        (X.astype(float), y.astype(np.float32), np.float64),
        (X, y, np.float64),
    ):
        model = Tastes().fit(given, ratings)
        assert model.predict(given).dtype == dtype
        assert model.recommend([0], 2)[1].dtype == dtype
        assert model.user_bias_.dtype == dtype
    assert Tastes().fit(checkerboard().astype(np.float32)).predict([[0, 0]]).dtype == np.float32


@pytest.mark.parametrize("frame", [pandas.DataFrame, polars.DataFrame])
def test_a_frame_of_one_column_is_that_column(frame):
    users, items = ["a", "a", "b", "b", "c"], ["x", "y", "y", "z", "x"]
    model = MatrixFactorization(2, random_state=0).fit(np.array([users, items], dtype=object).T, np.arange(5.0))
    table = frame({"user": users, "item": items})
    U, D, asked = table[["user"]], table[["item"]], items[:2]
    np.testing.assert_array_equal(model.recommend(U, n=2)[0], model.recommend(users, n=2)[0])
    np.testing.assert_array_equal(model.rank(["a"], D)[0], model.rank(["a"], items)[0])
    np.testing.assert_array_equal(model.similar_items(D, n=1)[0], model.similar_items(items, n=1)[0])
    few = frame({"item": asked})
    np.testing.assert_array_equal(
        model.recommend(["b"], n=1, candidates=few)[0], model.recommend(["b"], n=1, candidates=asked)[0]
    )
    with pytest.raises(ValueError, match=r"users must be a one-dimensional list of ids, got shape \(5, 2\)"):
        model.recommend(table)
