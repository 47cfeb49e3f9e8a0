"""Bags of any estimators: what they are given, how they vote, and what is said when one fails."""

import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn
from _contract.plain import Plain
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils import get_tags

from skml import BaggingForest, BaggingForestRegressor


def data(rng, n=150):
    X = rng.normal(size=(n, 4))
    return X, np.array(["no", "yes"])[(X[:, 0] + 0.5 * rng.normal(size=n) > 0) * 1]


class Seen(ClassifierMixin, BaseEstimator):
    """Remembers what it was given."""

    def __init__(self, random_state=None):
        self.random_state = random_state

    def fit(self, X, y):
        self.X_, self.y_, self.classes_ = X, y, np.unique(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])


class Weighed(Seen):
    """Takes weights as well."""

    def fit(self, X, y, sample_weight=None):
        self.weights_ = sample_weight
        return super().fit(X, y)


class Failing(ClassifierMixin, BaseEstimator):
    """Fails from its third bag on."""

    def __init__(self, error=ValueError, calls=None):
        self.error = error
        self.calls = calls

    def __sklearn_clone__(self):
        return self

    def fit(self, X, y):
        self.calls.append(len(X))
        if len(self.calls) == 3:
            raise self.error("no luck")
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])


# ------------------------------------------------------------------------------------- what members are given


def test_a_bag_is_its_rows_again_or_their_weights(rng):
    X, y = data(rng)
    for forest in (BaggingForest(kind, n_estimators=4, random_state=0).fit(X, y) for kind in (Seen(), Weighed())):
        for member, rows in zip(forest, forest.estimators_samples_):
            if isinstance(member, Weighed):
                rows, counts = np.unique(rows, return_counts=True)
                order = np.argsort(X[rows, 0])
                np.testing.assert_array_equal(member.weights_[np.argsort(member.X_[:, 0])], counts[order])
            order, theirs = np.argsort(X[rows, 0]), np.argsort(member.X_[:, 0])  # bags have an order of their own
            np.testing.assert_array_equal(member.X_[theirs], X[rows][order])
            np.testing.assert_array_equal(forest.classes_[member.y_[theirs]], y[rows][order])


KINDS = [DecisionTreeClassifier(max_features=1), GaussianNB(), KNeighborsClassifier(2, weights="distance")]


@pytest.mark.parametrize("container", [np.asarray, sp.csr_array, pd.DataFrame])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, int])
def test_the_order_of_rows_and_copies_change_nothing(rng, container, dtype):
    X, y = data(rng)
    X = (3 * X).astype(dtype)
    weights, new = rng.integers(1, 4, size=150), container(X[:40])
    kinds = KINDS if container is not sp.csr_array else [KINDS[0], KINDS[2]]

    def shares(rows, sample_weight=None):
        forest = BaggingForest(kinds, n_estimators=6, oob_score=lambda a, b: 0, random_state=0)
        return forest.fit(container(X[rows]), y[rows], sample_weight=sample_weight).predict_proba(new)

    with warnings.catch_warnings(action="ignore"):
        said, order = shares(np.arange(150), weights), rng.permutation(150)
        np.testing.assert_array_equal(shares(order, weights[order]), said)
        np.testing.assert_array_equal(shares(rng.permutation(np.repeat(np.arange(150), weights))), said)


def test_large_integers_are_not_taken_for_each_other():
    X = np.array([[2**60 + i] for i in range(20)])
    forest = BaggingForest(Seen(), n_estimators=1, bootstrap=False).fit(X, [0, 1] * 10)
    assert len(forest[0].X_) == 20


@pytest.mark.parametrize("class_weight", [{"no": 1.0, "yes": 3.5}, "balanced", "balanced_subsample"])
def test_class_weights_are_multiplied_into_the_weights(rng, class_weight):
    X, y = data(rng)
    y[rng.random(150) < 0.5] = "no"
    forest = BaggingForest(Weighed(), n_estimators=4, class_weight=class_weight, random_state=0).fit(X, y)
    plain = BaggingForest(Weighed(), n_estimators=4, random_state=0).fit(X, y)
    for member, alone in zip(forest, plain):
        factors = member.weights_ / alone.weights_
        bag = y if class_weight == "balanced" else np.repeat(forest.classes_[alone.y_], alone.weights_.astype(int))
        expected = (
            class_weight if isinstance(class_weight, dict) else {k: 0.5 / np.mean(bag == k) for k in ("no", "yes")}
        )
        for code, label in enumerate(("no", "yes")):
            np.testing.assert_allclose(factors[member.y_ == code], expected[label])
    with pytest.raises(ValueError, match="Seen could not be fitted: it takes no sample_weight"):
        BaggingForest(Seen(), n_estimators=1, class_weight=class_weight).fit(X, y)
    with pytest.raises(ValueError, match="class_weight names the classes"):
        BaggingForest(Weighed(), n_estimators=1, class_weight={"nonsense": 3}).fit(X, y)


@pytest.mark.parametrize(
    "params", [{"monotonic_cst": [1, 0, 0, 0]}, {"categorical_features": [0]}, {"categorical_features": ["nope"]}]
)
def test_parameters_that_only_trees_can_keep_are_refused(rng, params):
    X, _ = data(rng)
    for kind, member in ((BaggingForest, GaussianNB()), (BaggingForestRegressor, Ridge())):
        with pytest.raises(ValueError, match=f"{next(iter(params))} is for trees of our own"):
            kind(member, n_estimators=2, **params).fit(X, (X[:, 0] > 0) * 1)


def test_the_history_tells_what_members_were_given(rng):
    X, y = data(rng)
    forest = BaggingForest(GaussianNB(), n_estimators=3, feature_sampling="tree", max_features=2).fit(X, y)
    assert forest.history_ == {"n_features": [2, 2, 2]}


def test_weights_are_drawn_into_the_bags(rng):
    X, y = data(rng)
    weights = np.where(np.arange(150) < 75, 3.0, 1.0)
    weights[:10] = 0
    forest = BaggingForest(Seen(), n_estimators=60, random_state=0).fit(X, y, sample_weight=weights)
    drawn = np.mean([np.bincount(rows, minlength=150) for rows in forest.estimators_samples_], axis=0)
    assert np.all(drawn[:10] == 0)
    assert abs(drawn[10:75].mean() / drawn[75:].mean() - 3) < 0.4


def test_without_bags_weights_are_handed_on(rng):
    X, y = data(rng)
    weights = rng.uniform(0.5, 2, size=150)
    params = {"n_estimators": 2, "bootstrap": False}
    forest = BaggingForest(LogisticRegression(), **params).fit(X, y, sample_weight=weights)
    alone = LogisticRegression().fit(X, y, sample_weight=weights)
    np.testing.assert_allclose(forest.predict_proba(X), alone.predict_proba(X), atol=1e-9)
    with pytest.raises(ValueError, match="Bag 0: Seen could not be fitted: it takes no sample_weight"):
        BaggingForest(Seen(), **params).fit(X, y, sample_weight=weights)
    whole = BaggingForest(Seen(), **params).fit(X, y, sample_weight=rng.integers(1, 4, size=150))
    assert len(whole[0].X_) > 150


def test_weights_of_groups_are_handed_on(rng):
    X, y = data(rng)
    weights, groups = rng.uniform(0.5, 2, size=150), np.arange(150) // 10
    forest = BaggingForest(Weighed(), n_estimators=3, random_state=0).fit(X, y, sample_weight=weights, groups=groups)
    for member, bag in zip(forest, forest.estimators_samples_):
        times = np.bincount(bag, minlength=150)
        assert times.sum() == 150
        np.testing.assert_allclose(np.sort(member.weights_), np.sort((times * weights)[times > 0]))
    with pytest.raises(ValueError, match="Bag 0: Seen could not be fitted: it takes no sample_weight"):
        BaggingForest(Seen(), n_estimators=1).fit(X, y, sample_weight=weights, groups=groups)


@pytest.mark.parametrize("estimator", [None, LogisticRegression()])
def test_rows_are_in_a_bag_once_where_nothing_is_drawn(rng, estimator):
    X, y = data(rng)
    weights = rng.uniform(0.5, 2, size=150)
    forest = BaggingForest(estimator, n_estimators=1, bootstrap=False).fit(X, y, sample_weight=weights)
    np.testing.assert_array_equal(forest.estimators_samples_[0], np.arange(150))
    if estimator is None:
        assert forest[0].tree_.weighted_n_node_samples[0] == pytest.approx(150, rel=1e-5)


def test_each_member_has_columns_of_its_own(rng):
    X, y = data(rng)
    forest = BaggingForest(Seen(), n_estimators=20, feature_sampling="tree", max_features=2, random_state=0).fit(X, y)
    assert {member.X_.shape[1] for member in forest} == {2}
    used = {tuple(np.flatnonzero([np.isin(X[:, f], m.X_).any() for f in range(4)])) for m in forest}
    assert len(used) > 2
    assert forest.predict(X).shape == (150,)
    for member, columns, rows in zip(forest, forest.estimators_features_, forest.estimators_samples_):
        assert set(map(tuple, member.X_)) == set(map(tuple, X[np.ix_(rows, columns)]))
    for sampling in ("split", "none"):
        forest = BaggingForest(Seen(), n_estimators=2, feature_sampling=sampling).fit(X, y)
        assert forest[0].X_.shape[1] == 4
        np.testing.assert_array_equal(forest.estimators_features_, [np.arange(4)] * 2)
    trees = BaggingForest(n_estimators=2, feature_sampling="tree").fit(X, y)
    np.testing.assert_array_equal(trees.estimators_features_, [np.arange(4)] * 2)  # they take all, and ask of some


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("sampling", ["split", "tree"])
@pytest.mark.filterwarnings("ignore:Some inputs do not have OOB scores")
def test_tables_stay_tables(rng, library, sampling):
    frames = pytest.importorskip(library)
    X, y = data(rng)
    frame = frames.DataFrame({"a": X[:, 0], "b": X[:, 1], "c": ["u", "v", "w"] * 50})
    params = {"n_estimators": 5, "feature_sampling": sampling, "max_features": 2, "random_state": 0}
    forest = BaggingForest(Seen(), oob_score=True, **params).fit(frame, y)
    for member in forest:
        assert isinstance(member.X_, frames.DataFrame)
        assert len(member.X_.columns) == (3 if sampling == "split" else 2)
    assert forest.predict(frame).shape == (150,)
    assert list(forest.feature_names_in_) == ["a", "b", "c"]


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_bag_of_pipelines(rng, library):
    frames = pytest.importorskip(library)
    X, y = data(rng, n=300)
    frame = frames.DataFrame({"a": X[:, 0], "b": X[:, 1], "c": ["u", "v", "w"] * 100})
    columns = make_column_transformer((StandardScaler(), ["a", "b"]), (OneHotEncoder(), ["c"]))
    forest = BaggingForest(make_pipeline(columns, LogisticRegression()), n_estimators=5, random_state=0)
    assert forest.fit(frame, y).score(frame, y) > 0.75
    assert [list(member.classes_) for member in forest] == [[0, 1]] * 5


def test_sparse_rows_stay_sparse(rng):
    X, y = data(rng)
    forest = BaggingForest(LogisticRegression(), n_estimators=3, oob_score=lambda a, b: 0, random_state=0)
    for container in (sp.csr_array, sp.csc_matrix):
        with pytest.warns(UserWarning, match="OOB"):
            sparse = forest.fit(container(X), y).predict_proba(container(X))
        with pytest.warns(UserWarning, match="OOB"):
            np.testing.assert_allclose(sparse, forest.fit(X, y).predict_proba(X), atol=1e-3)


def test_members_are_seeded_each_by_its_own(rng):
    X, y = data(rng)

    def states(**params):
        forest = BaggingForest(make_pipeline(StandardScaler(), Seen()), n_estimators=4, **params).fit(X, y)
        return [member[-1].random_state for member in forest]

    assert len(set(states(random_state=0))) == 4
    assert states(random_state=0) == states(random_state=0, n_jobs=2) != states(random_state=1)


# ---------------------------------------------------------------------------------------------- how they vote


def test_a_list_is_taken_in_turn(rng):
    X, y = data(rng)
    kinds = [LogisticRegression(), GaussianNB(), KNeighborsClassifier()]
    forest = BaggingForest(kinds, n_estimators=7, random_state=0).fit(X, y)
    assert [type(member) for member in forest] == [type(kinds[i % 3]) for i in range(7)]
    shares = np.mean([member.predict_proba(X) for member in forest], axis=0)
    np.testing.assert_allclose(forest.predict_proba(X), shares, atol=1e-12)
    *_, last = forest.staged_predict_proba(X)
    np.testing.assert_allclose(last, shares, atol=1e-12)
    uncertainty = forest.predict_uncertainty(X)
    np.testing.assert_allclose(uncertainty.total, uncertainty.within + uncertainty.between, atol=1e-12)


@pytest.mark.parametrize(("estimator", "voting"), [(LinearSVC(), "soft"), (GaussianNB(), "hard")])
def test_votes(rng, estimator, voting):
    X, y = data(rng)
    forest = BaggingForest(estimator, n_estimators=7, voting=voting, random_state=0).fit(X, y)
    votes = np.mean([member.predict(X) == 1 for member in forest], axis=0)
    np.testing.assert_allclose(forest.predict_proba(X)[:, 1], votes, atol=1e-12)


def test_members_that_miss_a_class(rng):
    X, y = rng.normal(size=(60, 2)), np.repeat(["a", "b", "c"], [29, 29, 2])
    forest = BaggingForest(GaussianNB(), n_estimators=20, max_samples=20, random_state=0).fit(X, y)
    assert len({len(member.classes_) for member in forest}) > 1
    assert forest.predict_proba(X).shape == (60, 3)
    np.testing.assert_allclose(forest.predict_proba(X).sum(axis=1), 1)


def test_several_outputs(rng):
    X, _ = data(rng)
    y = np.column_stack([np.array(["u", "v"])[(X[:, 0] > 0) * 1], np.digitize(X[:, 1], [-1, 1])])
    forest = BaggingForest(DecisionTreeClassifier(), n_estimators=9, random_state=0).fit(X, y)
    assert [shares.shape[1] for shares in forest.predict_proba(X)] == [2, 3]
    assert (forest.predict(X) == y).mean() > 0.95
    numbers = BaggingForestRegressor(DecisionTreeRegressor(), n_estimators=9, random_state=0).fit(X, X[:, :2])
    np.testing.assert_allclose(numbers.predict(X), np.mean([m.predict(X) for m in numbers], axis=0))


def test_numbers(rng):
    X = rng.normal(size=(100, 2))
    y = X @ [1.0, 2.0]
    forest = BaggingForestRegressor([LinearRegression(), Ridge(1e-9)], n_estimators=4, random_state=0).fit(X, y)
    np.testing.assert_allclose(forest.predict(X), y, atol=1e-6)
    assert len(list(forest.staged_predict(X))) == 4


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_jobs_and_warm_starts_change_nothing(rng, n_jobs):
    X, y = data(rng)
    kinds = [DecisionTreeClassifier(max_features=1), GaussianNB()]
    params = {"random_state": 0, "n_jobs": n_jobs}
    whole = BaggingForest(kinds, n_estimators=7, random_state=0).fit(X, y)
    warm = BaggingForest(kinds, n_estimators=3, warm_start=True, **params).fit(X, y)
    warm.set_params(n_estimators=7).fit(X, y)
    np.testing.assert_array_equal(warm.predict_proba(X), whole.predict_proba(X))


# -------------------------------------------------------------------------------------------- when one fails


@pytest.mark.parametrize(
    ("error", "raised"), [(ValueError, ValueError), (TypeError, ValueError), (MemoryError, RuntimeError)]
)
def test_an_error_names_the_bag_and_the_member(rng, error, raised):
    X, y = data(rng)
    forest = BaggingForest(Failing(error, []), n_estimators=5)
    with pytest.raises(raised, match="Bag 2: Failing could not be fitted: no luck") as caught:
        forest.fit(X, y)
    assert isinstance(caught.value.__cause__, error)
    assert not hasattr(forest, "classes_")


@pytest.mark.parametrize(
    ("kind", "estimator", "message"),
    [
        (BaggingForest, LinearRegression(), "BaggingForest is a classifier; LinearRegression is none"),
        (BaggingForest, [GaussianNB(), Ridge()], "BaggingForest is a classifier; Ridge is none"),
        (BaggingForest, make_pipeline(StandardScaler(), Ridge()), "BaggingForest is a classifier; Pipeline is none"),
        (BaggingForestRegressor, GaussianNB(), "BaggingForestRegressor is a regressor; GaussianNB is none"),
        (BaggingForest, [], "empty list"),
        (BaggingForest, [GaussianNB], "must be an estimator"),
        (BaggingForest, [GaussianNB(), 3], "must be an estimator"),
        (BaggingForest, 3, "estimator"),
        (BaggingForest, GaussianNB, "estimator"),
    ],
)
def test_what_is_no_member_is_refused(rng, kind, estimator, message):
    X, _ = data(rng)
    with pytest.raises(ValueError, match=message):
        kind(estimator, n_estimators=2).fit(X, (X[:, 0] > 0) * 1)


class Nameless(BaseEstimator):
    """The mean or the most frequent class; it does not say what it is."""

    def __init__(self, answer="mean"):
        self.answer = answer

    def fit(self, X, y):
        self.said_ = np.bincount(y).argmax() if self.answer == "class" else y.mean()
        return self

    def predict(self, X):
        return np.full(len(X), self.said_)


def test_members_need_not_say_what_they_are(rng):
    X, _ = data(rng)
    y = (X[:, 0] > 0) * 1
    assert BaggingForest(Plain(), n_estimators=3).fit(X, y).score(X, y) == 1
    often = y.copy()
    often[:120] = 1  # more than half of each bag, but for chances below 1e-9
    bag = BaggingForest([Nameless("class"), make_pipeline(StandardScaler(), Nameless("class"))], n_estimators=4)
    assert np.all(bag.fit(X, often).predict(X) == 1)
    means = BaggingForestRegressor(Nameless(), n_estimators=3, random_state=0).fit(X, X[:, 0])
    expected = np.mean([X[rows, 0].mean() for rows in means.estimators_samples_])
    np.testing.assert_allclose(means.predict(X), expected)


def test_what_only_trees_can_tell_is_refused(rng):
    X, y = data(rng)
    forest = BaggingForest(GaussianNB(), n_estimators=2).fit(X, y)
    for call in (forest.apply, forest.decision_path, forest.proximity):
        with pytest.raises(ValueError, match="needs trees of our own"):
            call(X)
    with pytest.raises(ValueError, match="X has 2 features, but BaggingForest is expecting 4"):
        forest.predict(X[:, :2])
    with pytest.raises(ValueError, match="max_features=9 is more than the 4 features"):
        BaggingForest(GaussianNB(), feature_sampling="tree", max_features=9).fit(X, y)


# ------------------------------------------------------------------------------------------ in scikit-learn


def test_parameters_of_members_are_found_by_a_search(rng):
    X, y = data(rng)
    forest = BaggingForest(KNeighborsClassifier(), n_estimators=3, random_state=0)
    search = GridSearchCV(forest, {"estimator__n_neighbors": [1, 9], "max_samples": [0.5]}, cv=2).fit(X, y)
    assert search.best_estimator_[0].n_neighbors == search.best_params_["estimator__n_neighbors"]


@pytest.mark.parametrize("estimator", [None, KNeighborsRegressor()])
def test_groups_are_routed(rng, estimator):
    X, y = rng.normal(size=(90, 2)), rng.normal(size=90)
    groups = np.repeat(np.arange(9), 10)
    with sklearn.config_context(enable_metadata_routing=True):
        forest = BaggingForestRegressor(estimator, n_estimators=3, random_state=0).set_fit_request(groups=True)
        scores = cross_val_score(forest, X, y, cv=GroupKFold(3), params={"groups": groups})
        assert scores.shape == (3,)
        pipeline = make_pipeline(StandardScaler(), forest).fit(X, y, groups=groups)
    for rows in pipeline[-1].estimators_samples_:
        assert np.bincount(rows, minlength=90).reshape(9, 10).std(axis=1).max() == 0


class Half(RegressorMixin, BaseEstimator):
    """Predicts a column, as some do."""

    def fit(self, X, y):
        self.mean_ = np.mean(y)
        return self

    def predict(self, X):
        return np.full((len(X), 1), self.mean_)


def test_a_member_may_answer_with_a_column(rng):
    X = rng.normal(size=(50, 2))
    forest = BaggingForestRegressor(Half(), n_estimators=3, random_state=0).fit(X, X[:, 0])
    assert forest.predict(X).shape == (50,)


def test_tags_are_those_of_the_members():
    def said(estimator):
        tags = get_tags(BaggingForest(estimator)).input_tags
        return tags.allow_nan, tags.sparse

    assert said(None) == (True, True)
    assert said(LogisticRegression()) == (False, True)
    assert said([BaggingForest(), LogisticRegression()]) == (False, True)
    assert said("nothing") == (True, True)  # refused by fit


# --------------------------------------------------------------------------------------------- what members say


class Saying(ClassifierMixin, BaseEstimator):
    """Says whatever it is told to."""

    def __init__(self, shares=None, classes=None, say=None):
        self.shares = shares
        self.classes = classes
        self.say = say

    def __sklearn_clone__(self):
        return self

    def fit(self, X, y):
        self.classes_ = np.unique(y) if self.classes is None else np.array(self.classes)
        if self.shares is not None:
            self.predict_proba = self.shares
        return self

    def predict(self, X):
        return self.say(X)


def halves(X):
    return np.full((len(X), 2), 0.5)


STRANGE = [
    ({"shares": lambda X: halves(X)[:, :1]}, r"predict_proba gives shape \(150, 1\), not \(150, 2\)"),
    ({"shares": lambda X: halves(X)[:-1]}, r"predict_proba gives shape \(149, 2\), not \(150, 2\)"),
    ({"shares": lambda X: halves(X)[0]}, r"predict_proba gives shape \(2,\), not \(150, 2\)"),
    ({"shares": lambda X: [halves(X)] * 2}, "predict_proba gives shares of 2 outputs, not 1"),
    ({"shares": lambda X: halves(X) * [[np.nan, 1]]}, "predict_proba gives NaN, first for row 0"),
    ({"shares": halves, "classes": [0, 2]}, "classes_ has 2, none of the classes 0 to 1"),
    ({"shares": halves, "classes": ["no", "yes"]}, "classes_ has 'no', none of the classes 0 to 1"),
    ({"say": lambda X: np.full(len(X), 7)}, "predict has 7, none of the classes 0 to 1"),
    ({"say": lambda X: np.full(len(X), np.nan)}, "predict has nan, none of the classes 0 to 1"),
    ({"say": lambda X: np.zeros(3)}, r"predict gives shape \(3,\) for 150 rows and 1 outputs"),
    ({"say": lambda X: np.zeros((1, len(X)))}, r"predict gives shape \(1, 150\) for 150 rows and 1 outputs"),
]


@pytest.mark.parametrize(("params", "message"), STRANGE)
def test_strange_answers_are_told_with_the_member(rng, params, message):
    X, y = data(rng)
    forest = BaggingForest([GaussianNB(), Saying(**params)], n_estimators=2, random_state=0).fit(X, y)
    with pytest.raises(ValueError, match=f"Member 1, Saying, could not be asked: {message}"):
        forest.predict(X)


@pytest.mark.parametrize(
    ("say", "message"),
    [
        (lambda X: np.zeros(3), r"predict gives shape \(3,\), not \(150, 1\)"),
        (lambda X: np.zeros((150, 2)), r"predict gives shape \(150, 2\), not \(150, 1\)"),
        (lambda X: np.append(np.zeros(149), np.nan), "predict gives NaN, first for row 149"),
        (lambda X: ["a"] * 150, "could not convert string"),
        (lambda X: 1 / 0, "division by zero"),
    ],
)
def test_strange_numbers_are_told_with_the_member(rng, monkeypatch, say, message):
    X, _ = data(rng)
    forest = BaggingForestRegressor(LinearRegression(), n_estimators=3, random_state=0).fit(X, X[:, 0])
    monkeypatch.setattr(forest.estimators_[2], "predict", say)
    with pytest.raises((ValueError, RuntimeError), match=f"Member 2, LinearRegression, could not be asked: {message}"):
        forest.predict(X)


@pytest.mark.filterwarnings("ignore:Some inputs do not have OOB scores")
def test_answers_out_of_bag_name_the_member_too(rng):
    X, y = data(rng)
    pair = [GaussianNB(), Saying(say=lambda X: np.full(len(X), 7))]
    with pytest.raises(ValueError, match="Member 1, Saying, could not be asked: predict has 7"):
        BaggingForest(pair, n_estimators=2, oob_score=True, random_state=0).fit(X, y)
    warm = BaggingForest(pair, n_estimators=2, warm_start=True, random_state=0).fit(X, y)
    with pytest.raises(ValueError, match="Member 1, Saying, could not be asked: predict has 7"):
        warm.set_params(n_estimators=3, oob_score=True).fit(X, y)


def test_a_bag_of_one_class_is_told_what_helps(rng):
    X, y = rng.normal(size=(60, 2)), np.arange(60) < 1
    forest = BaggingForest(LogisticRegression(), n_estimators=20, random_state=0)
    with pytest.raises(ValueError, match=r"holds one class alone; sampling='stratified' gives every bag rows of each"):
        forest.fit(X, y)
    assert forest.set_params(sampling="stratified").fit(X, y).n_classes_ == 2


@pytest.mark.parametrize(
    "params", [{"max_depth": 3}, {"criterion": "entropy"}, {"min_samples_leaf": 2}, {"max_bins": 9}, {"ccp_alpha": 0.1}]
)
def test_parameters_of_trees_are_refused(rng, params):
    X, y = data(rng)
    with pytest.raises(ValueError, match=f"{next(iter(params))} is for trees of our own"):
        BaggingForest(GaussianNB(), **params).fit(X, y)
