"""AdaBoost: rounds by hand, scikit-learn as oracle, other members, bad input, stopping and going on."""

import copy
import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn.ensemble
from _contract.plain import Plain
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from skml import AdaBoost
from skml.ensemble import MarginDisplay
from skml.ensemble.stumps import BoostedTree, by_values

algorithms = pytest.mark.parametrize("algorithm", ["SAMME", "SAMME.R"])


def problem(rng, n=200, p=5, K=2):
    """Return rows that stumps can tell apart somewhat, as values of single precision (scikit-learn's trees round)."""
    X = rng.normal(size=(n, p)).astype(np.float32).astype(np.float64)
    y = np.digitize(X[:, 0] + X[:, 1] ** 2 + X[:, 2] + rng.normal(size=n), np.linspace(0, 3, K + 1)[1:-1])
    y[:K] = range(K)
    return X, y


def partitions(X):
    """Return every way in which a threshold parts the rows, as bits that hold the first row on the left."""
    for x in X.T:
        for at in np.sort(x)[:-1]:
            left = x <= at
            yield np.packbits(left if left[0] else ~left).tobytes()


def untied(rng, **shape):
    """Return a problem in which no two splits part the rows alike, with weights that no sums of make equal."""
    while True:
        X, y = problem(rng, **shape)
        ways = list(partitions(X))
        if len(set(ways)) == len(ways):
            return X, y, rng.uniform(0.5, 1.5, len(y))


# ---------------------------------------------------------------------------------------------- by hand


def test_the_first_rounds_by_hand():
    # x:      0  1  2  3  4  5  6  7  8  9      the stump x <= 2.5 has rows 6, 7, 8 wrong: epsilon = 3/10
    y = [1, 1, 1, -1, -1, -1, 1, 1, 1, -1]
    X = np.arange(10.0)[:, None]
    boost = AdaBoost(n_estimators=3).fit(X, y)
    np.testing.assert_allclose(boost.estimator_errors_[0], 0.3)
    np.testing.assert_allclose(boost.estimator_weights_[0], 0.5 * np.log(0.7 / 0.3))
    # w = 1/6 for the three wrong rows and 1/14 for the others; x <= 8.5 has rows 3, 4, 5 wrong: 3/14
    np.testing.assert_allclose(boost.estimator_errors_[1], 3 / 14)
    thresholds = [member.tree_.thresholds[0] for member in boost.estimators_]
    assert thresholds == [2.5, 8.5, 5.5]  # the example of Freund and Schapire's lectures
    np.testing.assert_allclose(boost.estimator_errors_[2], 2 / 11)
    np.testing.assert_array_equal(boost.predict(X), y)
    bound = np.cumprod(2 * np.sqrt(boost.estimator_errors_ * (1 - boost.estimator_errors_)))
    np.testing.assert_allclose(boost.training_error_bound_, bound)


def test_weights_of_votes_for_three_classes():
    X, y = np.arange(6.0)[:, None], [0, 0, 1, 1, 2, 2]
    boost = AdaBoost(n_estimators=1).fit(X, y)
    error = boost.estimator_errors_[0]
    np.testing.assert_allclose(error, 1 / 3)
    np.testing.assert_allclose(boost.estimator_weights_[0], 0.5 * (np.log((1 - error) / error) + np.log(2)))


def test_a_member_without_error_ends_the_fit():
    X, y = np.array([[0.0], [1.0], [2.0]]), ["a", "b", "b"]
    boost = AdaBoost().fit(X, y)
    assert boost.n_iter_ == 1
    assert boost.estimator_weights_.tolist() == [0.5]
    assert boost.estimator_errors_.tolist() == [0.0]
    assert boost.predict(X).tolist() == y
    np.testing.assert_array_equal(boost.margins(X, y), 1)


@algorithms
def test_no_better_than_chance(algorithm):
    X, y = np.array([[0.0], [0.0], [1.0], [1.0]]), [0, 1, 0, 1]
    with pytest.raises(ValueError, match="no better than chance: its weighted error, 0.5, is not below 0.5"):
        AdaBoost(algorithm=algorithm).fit(X, y)
    # Here the second round is no better; it is dropped.
    boost = AdaBoost(algorithm=algorithm).fit(np.zeros((3, 1)), [0, 1, 1])
    assert boost.n_iter_ == 1
    assert boost.predict([[5.0]]) == [1]


@algorithms
def test_weights_lost_to_rounding_end_the_fit_with_a_warning(algorithm):
    # The stump x <= 2.5 has rows 6, 7, 8 wrong; the others' weights are multiplied by less than 1e-2000. The next
    # member then sees one class, and has rows wrong that weigh nothing.
    X, y = np.arange(10.0)[:, None], [1, 1, 1, -1, -1, -1, 1, 1, 1, -1]
    boost = AdaBoost(n_estimators=3, learning_rate=20000, algorithm=algorithm, warm_start=True)
    with pytest.warns(UserWarning, match="ended after round 1: .* 0 by rounding. A learning_rate below 20000"):
        boost.fit(X, y)
    np.testing.assert_allclose(boost.estimator_errors_, [0.3])
    assert boost.score(X, y) == 0.7
    with pytest.warns(UserWarning, match="ended after round 1"):  # there is nothing to add
        boost.set_params(n_estimators=5).fit(X, y)
    assert boost.n_iter_ == 1


def test_a_row_that_weighs_nothing_beside_others_from_the_start():
    X, y = np.array([[0.0], [0.0], [1.0]]), [0, 1, 1]
    assert AdaBoost().fit(X, y, sample_weight=[1e-200, 1e200, 1e200]).predict(X).tolist() == [1, 1, 1]


def test_real_adaboost_by_hand():
    X, y = np.array([[0.0], [0.0], [0.0], [1.0], [1.0]]), np.array([0, 0, 1, 1, 1])
    boost = AdaBoost(algorithm="SAMME.R", n_estimators=1).fit(X, y)
    # leaves hold 2/3 of class 0, and class 1 alone; h_1 - h_0 = ln p_1 - ln p_0
    expected = [np.log((1 / 3) / (2 / 3)), -np.log(np.finfo(float).eps)]
    np.testing.assert_allclose(boost.decision_function([[0.0], [1.0]]), expected)
    np.testing.assert_allclose(boost.predict_proba([[0.0]]), [[1 / (1 + 0.5), 0.5 / 1.5]])
    assert boost.estimator_weights_.tolist() == [1.0]


# --------------------------------------------------------------------------------- scikit-learn as oracle


def decidable(peer, X, y, weights, rng):
    """Return how many of scikit-learn's rounds stay what they are when weights change in the tenth digit.

    With three classes, stumps may go round in circles in which leaves come to hold two classes of equal weight.
    """
    moved = clone(peer).fit(X, y, weights * (1 + 1e-10 * rng.standard_normal(len(y))))
    members = list(zip(peer.estimators_, moved.estimators_))
    same = [
        np.array_equal(a.tree_.threshold, b.tree_.threshold) and np.array_equal(a.predict(X), b.predict(X))
        for a, b in members
    ]
    same.append(False)
    return same.index(False)


@pytest.mark.parametrize("K", [2, 3])
@pytest.mark.parametrize("n", [30, 120])
@pytest.mark.parametrize("learning_rate", [1.0, 0.3])
def test_exact_stumps_equal_scikit_learns(rng, K, n, learning_rate):
    X, y, weights = untied(rng, n=n, K=K, p=4)
    options = {"n_estimators": 25, "learning_rate": learning_rate}
    peer = sklearn.ensemble.AdaBoostClassifier(**options, random_state=0).fit(X, y, weights)
    rounds = decidable(peer, X, y, weights, rng)
    assert rounds >= min(5, len(peer.estimators_))
    options["n_estimators"] = rounds
    peer = sklearn.ensemble.AdaBoostClassifier(**options, random_state=0).fit(X, y, weights)
    ours = AdaBoost(**options).fit(X, y, weights)
    np.testing.assert_allclose(ours.estimator_errors_, peer.estimator_errors_, rtol=0, atol=1e-10)
    np.testing.assert_allclose(2 * ours.estimator_weights_, peer.estimator_weights_, rtol=1e-8)
    new = rng.normal(size=(300, 4))
    for rows in (X, new):
        decision = peer.decision_function(rows)
        np.testing.assert_allclose(ours.decision_function(rows), decision, atol=1e-9)
        np.testing.assert_allclose(ours.predict_proba(rows), peer.predict_proba(rows), atol=1e-9)
        ordered = np.sort(np.c_[-decision, decision] if K == 2 else decision, axis=1)
        clear = ordered[:, -1] - ordered[:, -2] > 1e-9
        np.testing.assert_array_equal(ours.predict(rows)[clear], peer.predict(rows)[clear])


def test_any_other_member_equals_scikit_learns(rng):
    X, y, weights = untied(rng)
    options = {"estimator": DecisionTreeClassifier(max_depth=2), "n_estimators": 8}
    peer = sklearn.ensemble.AdaBoostClassifier(**options, random_state=0).fit(X, y, weights)
    rounds = decidable(peer, X, y, weights, rng)
    ours = AdaBoost(**options).fit(X, y, weights)
    np.testing.assert_allclose(ours.estimator_errors_[:rounds], peer.estimator_errors_[:rounds], atol=1e-10)


def test_deeper_members_are_the_trees_of_scikit_learn(rng):
    X, y, weights = untied(rng, K=3)
    ours = BoostedTree(max_depth=3).fit(X, y, weights)
    # Without a least decrease scikit-learn parts nodes of a single class, where rounding calls them impure.
    peer = DecisionTreeClassifier(max_depth=3, min_impurity_decrease=1e-12, random_state=0).fit(X, y, weights)
    # Small nodes may be parted alike by several features: then new rows may differ, these may not.
    np.testing.assert_allclose(ours.predict_proba(X), peer.predict_proba(X), atol=1e-12)
    np.testing.assert_array_equal(np.sort(ours.tree_.left < 0), np.sort(peer.tree_.children_left < 0))


def test_importances_equal_scikit_learns(rng):
    X, y, weights = untied(rng)
    ours = AdaBoost(n_estimators=10).fit(X, y, weights)
    peer = sklearn.ensemble.AdaBoostClassifier(n_estimators=10, random_state=0).fit(X, y, weights)
    np.testing.assert_allclose(ours.feature_importances_, peer.feature_importances_, atol=1e-8)
    with pytest.raises(AttributeError, match="GaussianNB has none"):
        _ = AdaBoost(GaussianNB(), n_estimators=2).fit(X, y).feature_importances_
    assert not hasattr(AdaBoost(), "feature_importances_")


# ----------------------------------------------------------------------------------------- binned and missing


@pytest.mark.parametrize("max_bins", [2, 16, 255])
def test_bins_hold_equal_shares(rng, max_bins):
    X, y = problem(rng, n=3000)
    boost = AdaBoost(n_estimators=20, max_bins=max_bins).fit(X, y)
    exact = AdaBoost(n_estimators=20).fit(X, y)
    split = [member.tree_ for member in boost.estimators_ if member.tree_.left[0] >= 0]
    thresholds = np.unique([tree.thresholds[0] for tree in split])
    assert len(thresholds) <= min(max_bins - 1, 20) * X.shape[1]
    # The best split between bins is no better than the best of all.
    assert boost.estimator_errors_[0] >= exact.estimator_errors_[0] - 0.05
    for tree in split:
        share = np.mean(X[:, tree.features[0]] <= tree.thresholds[0]) * max_bins
        assert abs(share - round(share)) < max_bins / len(X) + 1e-6


def test_few_values_are_exact_in_bins(rng):
    X, y = problem(rng, n=500)
    X = np.rint(X * 4)
    binned, exact = (AdaBoost(n_estimators=15, max_bins=bins).fit(X, y) for bins in (100, None))
    np.testing.assert_allclose(binned.decision_function(X), exact.decision_function(X), atol=1e-9)


@pytest.mark.parametrize("max_bins", [None, 64])
@pytest.mark.parametrize("max_depth", [1, 3])
def test_missing_goes_to_the_better_side(rng, max_bins, max_depth):
    X, y = problem(rng, n=400)
    holes = np.where(rng.random(X.shape) < 0.2, np.nan, X)
    informative = np.where(y[:, None] == 1, np.nan, rng.normal(size=(400, 1)))  # missing tells the class
    options = {"max_bins": max_bins, "max_depth": max_depth}
    told = AdaBoost(**options).fit(np.c_[holes, informative], y)
    assert told.n_iter_ == 1
    assert told.score(np.c_[holes, informative], y) == 1
    guess = max(np.mean(y), 1 - np.mean(y))
    assert AdaBoost(**options).fit(holes, y).score(holes, y) >= guess


def test_missing_only_later_follows_the_heavier_side():
    X, y = np.array([[0.0], [1.0], [2.0], [3.0], [4.0]]), [0, 0, 0, 1, 1]
    assert AdaBoost().fit(X, y).predict([[np.nan]]) == [0]
    assert AdaBoost().fit(-X, y).predict([[np.nan]]) == [0]
    assert AdaBoost().fit(X, [0, 0, 1, 1, 1]).predict([[np.nan]]) == [1]


def test_a_column_that_is_never_known(rng):
    X, y = problem(rng)
    X[:, 1] = np.nan
    rest = X[:, [0, 2, 3, 4]]
    boost, without = AdaBoost(n_estimators=5).fit(X, y), AdaBoost(n_estimators=5).fit(rest, y)
    np.testing.assert_allclose(boost.decision_function(X), without.decision_function(rest), atol=1e-9)


def test_thresholds_lie_between_neighbours():
    above = np.nextafter(1.0, 2.0)
    for low, high in ((1.0, above), (0.0, 5e-324), (-1.7e308, 1.7e308), (1e308, 1.7e308)):
        boost = AdaBoost().fit([[low], [high]], [0, 1])
        assert boost.predict([[low], [high]]).tolist() == [0, 1]
    single = np.array([[1.0], [np.nextafter(np.float32(1), np.float32(2))]], dtype=np.float32)
    boost = AdaBoost().fit(single, [0, 1])
    for dtype in (np.float32, np.float64):
        assert boost.predict(single.astype(dtype)).tolist() == [0, 1]


# -------------------------------------------------------------------------------------------- any member


class Raises(ClassifierMixin, BaseEstimator):
    """Fails in its third fit."""

    fits = 0

    def fit(self, X, y, sample_weight=None):
        Raises.fits += 1
        if Raises.fits == 3:
            raise RuntimeError("the disk is full")
        self.inner_ = DecisionTreeClassifier(max_depth=1).fit(X, y, sample_weight)
        self.classes_ = self.inner_.classes_
        return self

    def predict(self, X):
        return self.inner_.predict(X)


def test_a_member_that_raises_is_named(rng):
    X, y = problem(rng)
    Raises.fits = 0
    boost = AdaBoost(Raises())
    with pytest.raises(ValueError, match="Round 2 of boosting failed: its member, Raises, says: the disk is full"):
        boost.fit(X, y)
    assert not hasattr(boost, "estimators_")


def test_a_regressor_is_refused(rng):
    X, y = problem(rng)
    for regressor in (LinearRegression(), make_pipeline(StandardScaler(), LinearRegression())):
        with pytest.raises(ValueError, match="boosts classifiers; estimator is a .*, which is none"):
            AdaBoost(regressor).fit(X, y)


class Nameless(BaseEstimator):
    """A stump of a class without mixins, which does not say that it classifies."""

    def fit(self, X, y):
        self.inner_ = DecisionTreeClassifier(max_depth=1).fit(X, y)
        return self

    def predict(self, X):
        return self.inner_.predict(X)


def test_members_need_not_say_what_they_are(rng):
    X, _ = problem(rng)
    y = np.where(X[:, 0] > 0, "b", "a")
    boost = AdaBoost(Nameless(), n_estimators=5, random_state=0).fit(X, y)
    np.testing.assert_allclose(boost.estimator_errors_[0], np.mean(boost.estimators_[0].predict(X) != y))
    assert AdaBoost(Plain()).fit(X, (X[:, 0] > 0) * 1).estimator_errors_.tolist() == [0.0]


def test_real_adaboost_needs_probabilities(rng):
    X, y = problem(rng)
    with pytest.raises(ValueError, match="needs predict_proba, which Raises hasn't"):
        AdaBoost(Raises(), algorithm="SAMME.R").fit(X, y)


@algorithms
@pytest.mark.parametrize(
    "member",
    [
        LogisticRegression(),
        make_pipeline(StandardScaler(), DecisionTreeClassifier(max_depth=2)),  # fits whatever rows are drawn for it
        KNeighborsClassifier(5),
        DecisionTreeClassifier(max_depth=2, max_features=1),
    ],
    ids=lambda member: type(member).__name__,
)
def test_members_of_many_kinds(rng, algorithm, member):
    X, y = problem(rng, K=3)
    labels = np.array(["low", "middle", "high"])[y]
    boost = AdaBoost(member, n_estimators=5, algorithm=algorithm, random_state=0).fit(X, labels)
    assert next(boost.staged_score(X, labels)) > 0.4
    assert np.isfinite(boost.predict_proba(X)).all()
    assert all(type(one) is type(member) for one in boost.estimators_)
    again = clone(boost).fit(X, labels)
    np.testing.assert_array_equal(again.decision_function(X), boost.decision_function(X))
    assert not hasattr(member, "n_features_in_")


@pytest.mark.parametrize("params", [{"max_depth": 2}, {"max_bins": 64}])
def test_parameters_of_trees_are_refused_for_other_members(rng, params):
    X, y = problem(rng)
    with pytest.raises(ValueError, match=f"{next(iter(params))} is for trees of our own"):
        AdaBoost(LogisticRegression(), **params).fit(X, y)


def test_members_get_seeds_of_their_own(rng):
    X, y = problem(rng)
    boost = AdaBoost(DecisionTreeClassifier(max_depth=1, max_features=1), n_estimators=10, random_state=3).fit(X, y)
    assert len({member.random_state for member in boost.estimators_}) == len(boost.estimators_)


def test_nan_is_refused_where_the_member_cannot_take_it(rng):
    X, y = problem(rng)
    X[0, 0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        AdaBoost(GaussianNB()).fit(X, y)
    AdaBoost(DecisionTreeClassifier(max_depth=1)).fit(X, y).predict(X)


@algorithms
@pytest.mark.parametrize("stop", [None, 3])
def test_sparse_rows_where_the_member_takes_them(rng, algorithm, stop):
    X, y = problem(rng, n=300)
    X = np.where(np.abs(X) < 0.5, 0, X)
    options = {"algorithm": algorithm, "n_estimators": 6, "n_iter_no_change": stop, "random_state": 0}
    member = LogisticRegression()
    dense = AdaBoost(member, **options).fit(X, y)
    for form in (sp.csr_matrix, sp.csc_array, sp.coo_array):
        boost = AdaBoost(member, **options).fit(form(X), y)
        np.testing.assert_allclose(boost.estimator_errors_, dense.estimator_errors_, rtol=1e-4)
        np.testing.assert_array_equal(boost.predict(form(X)), dense.predict(X))
        np.testing.assert_allclose(boost.margins(form(X), y), dense.margins(X, y), rtol=1e-3, atol=1e-6)
    with pytest.raises(TypeError, match="[Ss]parse"):
        AdaBoost().fit(sp.csr_matrix(X), y)


def test_rare_entries_are_counted_alone(rng):
    # Columns nearly all of one value, or missing, beside dense ones: scikit-learn counts all.
    n = 600
    X = rng.normal(size=(n, 6)).astype(np.float32).astype(np.float64)
    X[:, 1:4] *= rng.random((n, 3)) < [0.1, 0.2, 0.32]
    X[:, 3] += 1
    y = (X[:, 0] + 3 * X[:, 1] + 3 * (X[:, 2] > 0) - 3 * X[:, 3] + rng.normal(size=n) > -3).astype(int)
    weights = rng.uniform(0.5, 1.5, n)
    peer = sklearn.ensemble.AdaBoostClassifier(n_estimators=20, random_state=0).fit(X, y, weights)
    ours = AdaBoost(n_estimators=20).fit(X, y, weights)
    np.testing.assert_allclose(ours.estimator_errors_, peer.estimator_errors_, rtol=0, atol=1e-10)
    for f, at in ((1, 0.5), (2, 0.5), (3, 1.5)):  # a column that tells the classes alone is found
        assert AdaBoost().fit(X, X[:, f] > at).estimators_[0].tree_.features[0] == f
    X[rng.random(n) < 0.9, 5] = np.nan
    y = np.isnan(X[:, 5])  # missing is the most common
    assert AdaBoost().fit(X, y).estimators_[0].tree_.features[0] == 5


@pytest.mark.parametrize("values", [2, 5, 200, 300, 5000])
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_few_values_are_sorted_by_counting(rng, values, missing):
    x = rng.integers(values, size=5000) / 7
    x[rng.random(5000) < missing] = np.nan
    x[:3] = -1, 1e9, -0.0
    np.testing.assert_array_equal(x[by_values(x)], np.sort(x))


def test_a_dummy_that_guesses_is_no_better_than_chance(rng):
    X, y = problem(rng)
    with pytest.raises(ValueError, match="below 0.5"):
        AdaBoost(DummyClassifier(strategy="constant", constant=int(np.mean(y) < 0.5))).fit(X, y)


# ------------------------------------------------------------------------------------------------ labels


@pytest.mark.parametrize("kind", ["strings", "bools", "negative", "categories", "floats", "objects"])
def test_labels_of_any_kind(rng, kind):
    pandas = pytest.importorskip("pandas")
    X, y = problem(rng)
    labels = {
        "strings": np.array(["no", "yes"])[y],
        "bools": y == 1,
        "negative": y * 7 - 9,
        "categories": pandas.Series(pandas.Categorical(np.array(["no", "yes"])[y], categories=["yes", "no", "never"])),
        "floats": y * 1.0,
        "objects": np.array(["no", "yes"], dtype=object)[y],
    }[kind]
    boost = AdaBoost().fit(X, labels)
    np.testing.assert_array_equal(boost.predict(X), np.asarray(boost.classes_)[AdaBoost().fit(X, y).predict(X)])
    assert boost.score(X, labels) > 0.7


def test_one_class_is_refused(rng):
    X, y = problem(rng)
    with pytest.raises(ValueError, match="at least two classes; y has one class, 'a'"):
        AdaBoost().fit(X, ["a"] * len(X))
    with pytest.raises(ValueError, match="one class"):  # all the weight is on one
        AdaBoost().fit(X, y, sample_weight=1.0 * (y == 1))
    with pytest.raises(ValueError, match="one class"):
        AdaBoost().fit(X[:1], y[:1])


def test_a_class_of_one_row(rng):
    X, y = problem(rng)
    X[7] += 50
    y[7] = 2
    boost = AdaBoost(n_estimators=30, max_depth=2).fit(X, y)
    assert boost.predict(X[7:8]) == [2]
    boost = AdaBoost(n_iter_no_change=3).fit(X, y)  # it is not set aside
    assert boost.n_classes_ == 3


def test_weight_on_few_rows_is_what_counts(rng):
    X, y = problem(rng)
    weights = np.where(np.arange(len(y)) < 2, 1.0, 1e-14)
    boost = AdaBoost().fit(X, y, sample_weight=weights)
    np.testing.assert_array_equal(boost.predict(X[:2]), y[:2])


def test_labels_unknown_to_the_fit_are_refused(rng):
    X, y = problem(rng)
    boost = AdaBoost().fit(X, y)
    with pytest.raises(ValueError, match="y holds 5, none of the classes"):
        boost.margins(X, np.where(np.arange(len(y)) == 3, 5, y))


# ------------------------------------------------------------------------------------- stages and stopping


@algorithms
@pytest.mark.parametrize("K", [2, 3])
def test_stages_are_the_fits_of_fewer_rounds(rng, algorithm, K):
    X, y = problem(rng, K=K)
    boost = AdaBoost(n_estimators=8, algorithm=algorithm).fit(X, y)
    methods = ("decision_function", "predict", "predict_proba")
    staged = {name: list(getattr(boost, f"staged_{name}")(X)) for name in methods}
    scores, margins = list(boost.staged_score(X, y)), list(boost.staged_margins(X, y))
    for number in range(boost.n_iter_):
        shorter = AdaBoost(n_estimators=number + 1, algorithm=algorithm).fit(X, y)
        for name in methods:
            np.testing.assert_array_equal(staged[name][number], getattr(shorter, name)(X))
        np.testing.assert_array_equal(margins[number], shorter.margins(X, y))
        assert scores[number] == shorter.score(X, y)


@algorithms
def test_early_stopping_stops_when_nothing_improves(rng, algorithm):
    X, y = problem(rng, n=600)
    y = np.where(rng.random(600) < 0.2, 1 - y, y)
    boost = AdaBoost(n_estimators=300, n_iter_no_change=8, algorithm=algorithm, random_state=0).fit(X, y)
    scores = boost.history_["validation_score"]
    assert boost.n_iter_ == len(scores) < 300
    assert max(scores[-8:]) <= max(scores[:-8]) + 1e-4
    with pytest.raises(ValueError, match="leaves none to validate with"):
        AdaBoost(n_iter_no_change=2, validation_fraction=0.01).fit(X[:20], y[:20])


@algorithms
@pytest.mark.parametrize("extra", [{}, {"n_iter_no_change": 50}, {"estimator": KNeighborsClassifier(7)}])
def test_a_warm_start_is_the_fit_in_one_piece(rng, algorithm, extra):
    X, y = problem(rng, n=300, K=3)
    options = {"algorithm": algorithm, "random_state": 4, **extra}
    whole = AdaBoost(n_estimators=9, **options).fit(X, y)
    warm = AdaBoost(n_estimators=4, warm_start=True, **options).fit(X, y)
    warm.set_params(n_estimators=9).fit(X, y)
    np.testing.assert_array_equal(warm.decision_function(X), whole.decision_function(X))
    for name in ("estimator_errors_", "estimator_weights_", "training_error_bound_", "margin_history_"):
        np.testing.assert_array_equal(getattr(warm, name), getattr(whole, name))
    assert warm.history_ == whole.history_
    before = copy.deepcopy(warm)
    np.testing.assert_array_equal(warm.fit(X, y).decision_function(X), before.decision_function(X))
    with pytest.raises(ValueError, match="must be at least the"):
        warm.set_params(n_estimators=warm.n_iter_ - 1).fit(X, y)


def test_a_warm_start_on_other_classes_is_refused(rng):
    X, y = problem(rng)
    boost = AdaBoost(warm_start=True, n_estimators=3).fit(X, y)
    with pytest.raises(ValueError, match="cannot go on"):
        boost.set_params(n_estimators=5).fit(X, y + 1)


def test_a_warm_start_has_nothing_to_add_to_a_perfect_fit():
    X, y = np.array([[0.0], [1.0]]), [0, 1]
    boost = AdaBoost(warm_start=True).fit(X, y)
    assert boost.set_params(n_estimators=100).fit(X, y).n_iter_ == 1


# ---------------------------------------------------------------------------------------------- real data


def test_accuracy_on_real_data():
    for load, least in ((load_breast_cancer, 0.95), (load_iris, 0.9)):
        X, y = load(return_X_y=True)
        search = GridSearchCV(AdaBoost(), {"max_depth": [1, 2], "learning_rate": [0.5, 1.0]}, cv=4).fit(X, y)
        assert search.best_score_ > least


@algorithms
def test_the_training_error_keeps_its_bound(rng, algorithm):
    X, y, weights = untied(rng, n=150)
    boost = AdaBoost(n_estimators=40, algorithm=algorithm).fit(X, y, weights)
    errors = [1 - score for score in boost.staged_score(X, y, sample_weight=weights)]
    assert (np.array(errors) <= boost.training_error_bound_ + 1e-12).all()
    for K, rate in ((3, 1.0), (3, 0.3), (2, 0.5)):
        X, y = problem(rng, K=K)
        boost = AdaBoost(n_estimators=40, learning_rate=rate).fit(X, y)
        errors = [1 - score for score in boost.staged_score(X, y)]
        assert (np.array(errors) <= boost.training_error_bound_ + 1e-12).all()


# ------------------------------------------------------------------------------------------------ pictures


def test_the_display_draws_a_line_per_round(rng):
    pytest.importorskip("matplotlib").use("agg")
    import matplotlib.pyplot as plt

    X, y = problem(rng)
    boost = AdaBoost(n_estimators=10).fit(X, y)
    display = MarginDisplay.from_estimator(boost, X, y, rounds=[1, 5, 10], alpha=0.5)
    assert [line.get_label() for line in display.lines_] == ["1 rounds", "5 rounds", "10 rounds"]
    drawn = display.lines_[-1].get_xdata()
    np.testing.assert_array_equal(drawn, np.sort(boost.margins(X, y)))
    _, ax = plt.subplots()
    assert MarginDisplay.from_estimator(boost, X, y, ax=ax).ax_ is ax
    for wrong in ([], [0], [11]):
        with pytest.raises(ValueError, match="numbers from 1 to 10"):
            MarginDisplay.from_estimator(boost, X, y, rounds=wrong)
    plt.close("all")


def test_the_display_names_the_extra_it_needs(rng, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"skml\[plot\]"):
        MarginDisplay([np.zeros(3)], ["a"]).plot()


def test_votes_of_many_rounds_are_held_one_at_a_time(rng):
    X, y = problem(rng, n=200, K=4)
    boost = AdaBoost(DecisionTreeClassifier(max_depth=2), n_estimators=40, random_state=0).fit(X, y)
    assert len(boost.estimators_) == 40
    many = rng.normal(size=(20_000, 5))
    tracemalloc.start()
    boost.predict(many)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 * 20_000 * 4 * 8  # of 40 tallies


@pytest.mark.parametrize(
    ("algorithm", "name", "say", "message"),
    [
        ("SAMME", "predict", lambda X: np.full(len(X), "other"), "predict has 'other', none of the classes"),
        ("SAMME", "predict", lambda X: np.full(3, "a"), r"predict gives shape \(3,\), not \(50,\)"),
        ("SAMME.R", "predict_proba", lambda X: np.ones((len(X), 3)), r"predict_proba gives shape \(50, 3\), not"),
        ("SAMME.R", "predict_proba", lambda X: np.full((len(X), 2), np.nan), "predict_proba gives NaN"),
        ("SAMME.R", "classes_", np.array(["a", "z"]), "classes_ has 'z', none of the classes"),
    ],
)
def test_strange_answers_are_told_with_the_member(rng, monkeypatch, algorithm, name, say, message):
    X = rng.normal(size=(50, 3))
    y = np.array(["a", "b"])[(X[:, 0] + 0.3 * rng.normal(size=50) > 0) * 1]  # the first member is better than chance
    boost = AdaBoost(GaussianNB(), n_estimators=3, algorithm=algorithm, random_state=0).fit(X, y)
    last = len(boost.estimators_) - 1  # boosting ends before the third if one is no better than chance
    monkeypatch.setattr(boost.estimators_[last], name, say)
    with pytest.raises(ValueError, match=f"Member {last}, GaussianNB, could not be asked: {message}"):
        boost.predict(X)
