"""Cost-complexity pruning: by hand, nested in alpha, and scikit-learn's where splits are unique."""

import numpy as np
import pytest
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from skml import BaggingForest, BaggingForestRegressor

ALONE = {"n_estimators": 1, "bootstrap": False, "feature_sampling": "none"}


def data(rng, n=200):
    X = rng.normal(size=(n, 2))
    return X, np.digitize(X[:, 0] + 0.8 * rng.normal(size=n), [-0.6, 0.6]), rng.uniform(0.5, 2, size=n)


def alphas(tree):
    """Return values between those at which scikit-learn's tree loses a branch, but the tiny ones of rounding."""
    path = tree.ccp_alphas[tree.ccp_alphas > 1e-6]
    gaps = np.diff(path) / path[1:]
    return ((path[:-1] + path[1:]) / 2)[gaps > 1e-3]


def test_by_hand():
    X, y = np.arange(4.0)[:, None], np.array([0.0, 2, 10, 14])
    # the root costs (41 + 1 + ... ) : variances 32.75 of all, 1 and 4 of the halves, each half of the weight
    links = {0.4: 4, 0.6: 3, 1.9: 3, 2.1: 2, 30.2: 2, 30.3: 1}
    for alpha, n_leaves in links.items():
        forest = BaggingForestRegressor(n_estimators=1, bootstrap=False, ccp_alpha=alpha).fit(X, y)
        assert forest[0].get_n_leaves() == n_leaves, alpha
    np.testing.assert_array_equal(forest.predict(X), np.full(4, 6.5))
    forest.set_params(ccp_alpha=1.0).fit(X, y)
    np.testing.assert_array_equal(forest.predict(X), [1, 1, 10, 14])
    np.testing.assert_array_equal(forest.predict(X, quantiles=[0, 1]), [[0, 2], [0, 2], [10, 10], [14, 14]])


@pytest.mark.parametrize("criterion", ["gini", "entropy"])
def test_classes_are_pruned_as_scikit_learns(rng, criterion):
    X, y, weights = data(rng)
    params = {"criterion": criterion, "min_weight_fraction_leaf": 0.02}
    theirs = DecisionTreeClassifier(**params, random_state=0)
    whole = theirs.cost_complexity_pruning_path(X, y, sample_weight=weights)
    chosen = alphas(whole)
    assert len(chosen) > 3
    for alpha in chosen:
        ours = BaggingForest(**ALONE, **params, ccp_alpha=alpha).fit(X, y, sample_weight=weights)
        theirs.set_params(ccp_alpha=alpha).fit(X, y, sample_weight=weights)
        assert ours[0].get_n_leaves() == theirs.get_n_leaves()
        np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-6)


@pytest.mark.parametrize("class_weight", [{0: 1, 1: 7, 2: 0.5}])
def test_class_weights_count_in_pruning(rng, class_weight):
    X, y, weights = data(rng)
    params = {"class_weight": class_weight, "min_weight_fraction_leaf": 0.02}
    theirs = DecisionTreeClassifier(**params, random_state=0)
    for alpha in alphas(theirs.cost_complexity_pruning_path(X, y, sample_weight=weights)):
        ours = BaggingForest(**ALONE, **params, ccp_alpha=alpha).fit(X, y, sample_weight=weights)
        theirs.set_params(ccp_alpha=alpha).fit(X, y, sample_weight=weights)
        np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-6)


@pytest.mark.parametrize("criterion", ["squared_error", "poisson", "absolute_error"])
def test_numbers_are_pruned_as_scikit_learns(rng, criterion):
    X, _, weights = data(rng, n=150)
    X, y = X[:, :1], np.exp(X[:, 0]) + rng.uniform(size=150)
    params = {"criterion": criterion, "min_weight_fraction_leaf": 0.03}
    theirs = DecisionTreeRegressor(**params, random_state=0)
    path = theirs.cost_complexity_pruning_path(X, y, sample_weight=weights)
    for alpha in alphas(path):
        ours = BaggingForestRegressor(**ALONE, **params, ccp_alpha=alpha).fit(X, y, sample_weight=weights)
        theirs.set_params(ccp_alpha=alpha).fit(X, y, sample_weight=weights)
        assert ours[0].get_n_leaves() == theirs.get_n_leaves()
        np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-6)


def test_several_outputs_are_pruned_as_scikit_learns(rng):
    X, y, weights = data(rng)
    y = np.column_stack([y, X[:, 1] + 0.5 * rng.normal(size=len(X)) > 0])
    params = {"min_weight_fraction_leaf": 0.03}
    theirs = DecisionTreeClassifier(**params, random_state=0)
    for alpha in alphas(theirs.cost_complexity_pruning_path(X, y, sample_weight=weights))[-4:]:
        ours = BaggingForest(**ALONE, **params, ccp_alpha=alpha).fit(X, y, sample_weight=weights)
        theirs.set_params(ccp_alpha=alpha).fit(X, y, sample_weight=weights)
        assert ours[0].get_n_leaves() == theirs.get_n_leaves()


@pytest.mark.parametrize("kind", [BaggingForest, BaggingForestRegressor])
def test_larger_alphas_leave_nested_trees(rng, kind):
    X, y, _ = data(rng)
    before = None
    for alpha in (0, 1e-4, 1e-3, 1e-2, 1e-1, 10):
        leaves = kind(n_estimators=3, ccp_alpha=alpha, random_state=0).fit(X, y).apply(X)
        if before is not None:
            for old, new in zip(before.T, leaves.T):
                assert len(np.unique(np.column_stack([old, new]), axis=0)) == len(np.unique(old))
        before = leaves
    assert np.all(leaves == 0)


@pytest.mark.parametrize("limit", [{"max_leaf_nodes": 12}, {"monotonic_cst": [1, 0]}, {"max_depth": 5}])
@pytest.mark.parametrize("kind", [BaggingForest, BaggingForestRegressor])
def test_pruning_goes_with_the_other_limits(rng, kind, limit):
    X, y, _ = data(rng)
    y = (y > 0) * 1
    whole = kind(n_estimators=5, random_state=0, **limit).fit(X, y)
    forest = kind(n_estimators=5, random_state=0, ccp_alpha=5e-3, **limit).fit(X, y)
    for tree, grown in zip(forest, whole):
        assert tree.get_n_leaves() <= grown.get_n_leaves()
        assert tree.tree_.weighted_n_node_samples[0] == 200
    assert forest.score(X, y) > 0.2
    if "monotonic_cst" in limit:
        steps = np.column_stack([np.linspace(-3, 3, 100), np.zeros(100)])
        said = forest.predict_proba(steps)[:, 1] if kind is BaggingForest else forest.predict(steps)
        assert np.diff(said).min() >= -1e-12
