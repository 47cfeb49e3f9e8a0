"""Importances: by hand, summing to one, and what noise gets out of bag and in it."""

import dataclasses

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import accuracy_score, mean_squared_error
from sklearn.tree import DecisionTreeRegressor

from skml import BaggingForest, BaggingForestRegressor
from skml.ensemble.importance import by_impurity

pytestmark = pytest.mark.filterwarnings("ignore:Some inputs do not have OOB scores")


def noisy(rng, n=400):
    """Return a binary feature that matters a little, noise of many values, noise of two, and the classes."""
    X = np.column_stack([rng.integers(2, size=n), rng.normal(size=(n, 2)), rng.integers(2, size=n)]).astype(float)
    return X, (rng.random(n) < np.where(X[:, 0] == 1, 0.7, 0.3)).astype(int)


def test_impurity_by_hand():
    X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]] * 2, dtype=float)
    y = np.array([0, 0, 1, 2] * 2)
    forest = BaggingForest(n_estimators=1, bootstrap=False, max_features=None).fit(X, y)
    # 5/8 at the root; the left half is pure, the right half 1/2, then pure: gains 5/8 - 1/4 and 1/4
    np.testing.assert_allclose(forest.feature_importances_, [0.6, 0.4])


@pytest.mark.parametrize("kind", [BaggingForest, BaggingForestRegressor])
def test_impurity_sums_to_one(rng, kind):
    X, y = noisy(rng)
    forest = kind(n_estimators=6, random_state=0).fit(X, y)
    assert forest.feature_importances_.sum() == pytest.approx(1)
    assert forest.feature_importances_.min() >= 0
    np.testing.assert_array_equal(kind(n_estimators=3).fit(np.zeros((9, 2)), y[:9]).feature_importances_, [0, 0])


def test_noise_of_many_values_is_nothing_out_of_bag(rng):
    X, y = noisy(rng, n=2000)
    forest = BaggingForest(n_estimators=60, oob_score=True, random_state=0).fit(X, y)
    assert forest.feature_importances_[1:3].sum() > 0.5  # the known flaw of impurity in the bag
    found = forest.oob_impurity_importance()
    assert found.shape == (4,)
    assert found[0] > 0.03  # the true decrease is 2 (0.2)^2 = 0.08
    assert np.abs(found[1:]).max() < 0.03
    assert found[0] > 3 * np.abs(found[1:]).max()


def test_noise_of_many_values_is_nothing_out_of_bag_for_numbers(rng):
    X, y = noisy(rng, n=2000)
    forest = BaggingForestRegressor(n_estimators=60, oob_score=True, random_state=0).fit(X, 3 * y)
    assert forest.feature_importances_[1:3].sum() > 0.5
    found = forest.oob_impurity_importance()
    assert found[0] > 0.15  # the true decrease is 9 (0.2)^2 = 0.36
    assert np.abs(found[1:]).sum() / np.abs(found).sum() < 0.6 * forest.feature_importances_[1:].sum()


def test_in_the_bag_the_formula_is_the_usual_importance(rng):
    X, y = noisy(rng, n=150)
    forest = BaggingForest(n_estimators=1, max_features=None, random_state=0).fit(X, y)
    shape, (bag,) = forest[0].tree_, forest.estimators_samples_
    at, gains, target = np.zeros(len(bag), int), np.zeros(4), np.eye(2)[y[bag]]
    for _ in range(shape.max_depth):
        inner = shape.feature[at] >= 0
        feature = np.maximum(shape.feature[at], 0)
        left = X[bag, feature] <= shape.threshold[at]
        below = np.where(left, shape.children_left[at], shape.children_right[at])
        gain = ((shape.value[below] - shape.value[at]) * target).sum(axis=1)
        gains += np.bincount(feature[inner], gain[inner], minlength=4)
        at = np.where(inner, below, at)
    np.testing.assert_allclose(gains / gains.sum(), forest.feature_importances_, atol=1e-9)


def test_permutation_by_construction(rng):
    X = rng.normal(size=(300, 3))
    y = (X[:, 1] > 0).astype(int)
    forest = BaggingForest(n_estimators=20, max_features=None, oob_score=True, random_state=0).fit(X, y)
    found = forest.oob_permutation_importance()
    assert found.importances.shape == (3, 20)
    np.testing.assert_allclose(found.importances_mean, found.importances.mean(axis=1))
    np.testing.assert_allclose(found.importances_std, found.importances.std(axis=1))
    assert abs(found.importances_mean[1] - 0.5) < 0.06  # shuffled, it is right half of the time
    assert np.abs(found.importances_mean[[0, 2]]).max() < 0.02
    again = forest.oob_permutation_importance()
    np.testing.assert_array_equal(again.importances, found.importances)


def test_permutation_of_numbers_by_construction(rng):
    X = np.column_stack([rng.integers(4, size=(600, 3)), rng.random(600)])  # no two rows are equal
    y = 2 * X[:, 0] + X[:, 2]
    forest = BaggingForestRegressor(n_estimators=15, oob_score=True, random_state=0).fit(X, y)
    found = forest.oob_permutation_importance(n_repeats=10).importances_mean
    np.testing.assert_allclose(found, [2 * np.var(2 * X[:, 0]), 0, 2 * np.var(X[:, 2]), 0], rtol=0.15, atol=0.03)


@pytest.mark.parametrize("kind", [BaggingForest, BaggingForestRegressor])
def test_without_rows_out_of_bag_nothing_is_told(kind):
    X, y = np.repeat([[0.0], [1.0]], 50, axis=0), np.repeat([0, 1], 50)
    forest = kind(n_estimators=3, max_samples=20_000, oob_score=True, random_state=0)
    with pytest.warns(UserWarning, match="no row was out of any bag"):
        forest.fit(X, y)
    assert np.isnan(forest.oob_impurity_importance()).all()
    found = forest.oob_permutation_importance()
    assert np.isnan(found.importances).all()
    assert np.isnan(found.importances_mean).all()


@pytest.mark.parametrize("kind", [BaggingForest, BaggingForestRegressor])
def test_a_feature_that_is_not_asked_is_nothing(rng, kind):
    X = np.column_stack([rng.normal(size=100), np.zeros(100)])
    forest = kind(n_estimators=8, oob_score=True, random_state=0).fit(X, X[:, 0] > 0)
    assert np.all(forest.oob_permutation_importance().importances[1] == 0)
    assert forest.oob_impurity_importance()[1] == 0


def test_several_outputs_and_weights(rng):
    X, y = noisy(rng)
    both = np.column_stack([y, 2 * X[:, 0].astype(int)])  # the first feature decides one and matters to the other
    forest = BaggingForest(n_estimators=20, oob_score=True, random_state=0).fit(X, both, sample_weight=1.0 + y)
    assert forest.oob_impurity_importance().argmax() == 0
    assert forest.oob_permutation_importance().importances_mean.argmax() == 0


@pytest.mark.parametrize("sparse", [False, True])
def test_permutation_written_out(rng, sparse):
    sp = pytest.importorskip("scipy.sparse")
    X = rng.integers(3, size=(80, 2)) * 1.0
    y = (X[:, 0] + X[:, 1] > 2).astype(int)
    X[:, 1] += rng.random(80) * (X[:, 1] > 0)
    forest = BaggingForest(n_estimators=3, max_features=None, oob_score=True, random_state=0)
    forest.fit(sp.csr_array(X) if sparse else X, y)
    found = forest.oob_permutation_importance(n_repeats=2000).importances
    copies = np.all(np.column_stack([X, y])[:, None] == np.column_stack([X, y]), axis=2)
    assert copies.sum() > 100  # equal rows are out of bag in part
    for tree, rows, drops in zip(forest, forest.estimators_samples_, found.T):
        weights = (1 - 1 / copies.sum(axis=1)) ** (np.bincount(rows, minlength=80) @ copies)
        right = accuracy_score(y, tree.predict(X), sample_weight=weights)
        for feature in range(2):
            swapped = np.repeat(X[None], 80, axis=0)  # all values in all rows: the mean over shuffles
            swapped[:, :, feature] = X[:, None, feature]
            said = tree.predict(swapped.reshape(-1, 2)).reshape(80, -1)
            shuffled = np.average(said == y, weights=weights, axis=1)
            assert drops[feature] == pytest.approx(right - np.average(shuffled, weights=weights), abs=0.03)


def test_what_is_not_kept_cannot_be_told(rng):
    X, y = noisy(rng, n=50)
    forest = BaggingForest(n_estimators=2).fit(X, y)
    for call in (forest.oob_impurity_importance, forest.oob_permutation_importance):
        with pytest.raises(ValueError, match="fit with oob_score=True"):
            call()
    bag = BaggingForest(LogisticRegression(), n_estimators=2, oob_score=True).fit(X, y)
    with pytest.raises(ValueError, match="needs trees of our own"):
        bag.oob_permutation_importance()
    np.testing.assert_array_equal(bag.feature_importances_, np.zeros(4))
    numbers = BaggingForestRegressor(LinearRegression(), n_estimators=2).fit(X, y)
    assert mean_squared_error(y, numbers.predict(X)) < 1


@pytest.mark.parametrize("n_repeats", [0, -1, 1.5, True, "five"])
def test_bad_repeats(rng, n_repeats):
    X, y = noisy(rng, n=50)
    forest = BaggingForest(n_estimators=2, oob_score=True).fit(X, y)
    with pytest.raises(ValueError, match="n_repeats must be an integer of at least 1"):
        forest.oob_permutation_importance(n_repeats=n_repeats)


def test_impurity_out_of_bag_does_not_depend_on_the_zero_of_the_targets(rng):
    X, y = noisy(rng)
    forest = BaggingForestRegressor(n_estimators=10, oob_score=True, min_samples_leaf=5, random_state=0).fit(X, y)
    expected = forest.oob_impurity_importance()
    trees = forest._model.forest
    moved = dataclasses.replace(forest._model, forest=dataclasses.replace(trees, values=trees.values + 1e5))
    found = by_impurity(moved, forest._table, forest._bags.bagging, forest._columns_of_y() + 1e5, 1)
    np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize("kind", [BaggingForest, BaggingForestRegressor])
@pytest.mark.parametrize("ask", ["oob_impurity_importance", "oob_permutation_importance"])
def test_an_output_written_twice_changes_no_importance(rng, kind, ask):
    X, y = noisy(rng)
    X[:, 3] = rng.random(len(X))  # no two rows are equal: the bags are those of the groups
    params = {"n_estimators": 6, "oob_score": True, "max_features": None, "random_state": 0}
    groups = np.arange(len(y))
    found = []
    for targets in (y, np.column_stack([y, y])):
        answer = getattr(kind(**params, min_samples_leaf=5).fit(X, targets, groups=groups), ask)()
        found.append(answer.importances_mean if "permutation" in ask else answer)
    # Shuffles follow the order of rows, which the targets decide; nothing else does.
    np.testing.assert_allclose(found[1], found[0], atol=0.05 if "permutation" in ask else 1e-6)
    assert np.argmax(found[0]) == 0


@pytest.mark.parametrize("alpha", [0.05, 0.2, 100.0])
def test_what_pruning_cuts_off_is_no_importance(rng, alpha):
    X = rng.normal(size=(100, 2))
    y = X[:, 0] + 0.1 * rng.normal(size=100)
    ours = BaggingForestRegressor(n_estimators=1, bootstrap=False, ccp_alpha=alpha, random_state=0).fit(X, y)
    theirs = DecisionTreeRegressor(ccp_alpha=alpha, random_state=0).fit(X, y)
    np.testing.assert_allclose(ours.feature_importances_, theirs.feature_importances_, atol=1e-6)


def test_permutation_counts_wrong_classes_whatever_the_leaves_are(rng):
    X = rng.normal(size=(200, 2))
    y = (X[:, 0] + 0.5 * rng.normal(size=200) > 0).astype(int)
    params = {"n_estimators": 5, "oob_score": True, "max_depth": 3, "random_state": 0}
    for forest in (
        BaggingForest(**params, monotonic_cst=[1, 0]).fit(X, y),
        BaggingForest(**params).fit(X, np.column_stack([y, 1 - y])),
    ):
        found = forest.oob_permutation_importance(n_repeats=1).importances
        for drops, out in zip(found.T, forest.oob_samples_):
            np.testing.assert_allclose(drops * 2 * len(out), np.rint(drops * 2 * len(out)), atol=1e-9)
