"""BaggingForest: trees by hand, the limits of its parameters, bags, classes; scikit-learn where splits are unique."""

import copy
import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.tree import DecisionTreeClassifier

from skml import BaggingForest, BaggingForestRegressor

ALONE = {"n_estimators": 1, "bootstrap": False, "feature_sampling": "none"}


def data(rng, n=300, p=5, classes=3):
    X = rng.normal(size=(n, p))
    y = (X[:, 0] + 0.5 * rng.normal(size=n) > 0) * 1 + (X[:, 1] > 0.8) * (classes - 2)
    return X, y


def leaf_sizes(tree):
    shape = tree.tree_
    return shape.weighted_n_node_samples[shape.children_left < 0]


def same_bits(a, b, X):
    return (
        len(a) == len(b)
        and np.array_equal(a.predict_proba(X), b.predict_proba(X))
        and np.array_equal(a.apply(X), b.apply(X))
        and np.array_equal(a.feature_importances_, b.feature_importances_)
    )


# ----------------------------------------------------------------------------------------------- one tree


def test_a_stump_by_hand():
    X, y = np.array([[0.0, 7], [1, 7], [2, 7], [4, 7]]), ["a", "a", "b", "b"]
    forest = BaggingForest(**ALONE).fit(X, y)
    tree = forest.estimators_[0]
    shape = tree.tree_
    np.testing.assert_array_equal(shape.children_left, [1, -1, -1])
    np.testing.assert_array_equal(shape.children_right, [2, -1, -1])
    np.testing.assert_array_equal(shape.feature, [0, -2, -2])
    assert shape.threshold[0] == 1.5
    np.testing.assert_array_equal(shape.value, [[0.5, 0.5], [1, 0], [0, 1]])
    np.testing.assert_array_equal(shape.weighted_n_node_samples, [4, 2, 2])
    assert (shape.node_count, tree.get_depth(), tree.get_n_leaves()) == (3, 1, 2)
    np.testing.assert_array_equal(tree.apply(X), [1, 1, 2, 2])
    np.testing.assert_array_equal(forest.apply(X)[:, 0], [1, 1, 2, 2])
    np.testing.assert_array_equal(forest.feature_importances_, [1, 0])
    assert tree.export_text(feature_names=["size", "x"]).splitlines() == [
        "|--- size <= 1.50",
        "|   |--- class: a, shares: [1.00, 0.00]",
        "|--- size >  1.50",
        "|   |--- class: b, shares: [0.00, 1.00]",
    ]


def test_shares_are_those_of_the_leaf():
    X, y = np.array([[0.0]] * 4 + [[1.0]] * 4), [0, 0, 0, 1, 1, 1, 2, 2]
    forest = BaggingForest(**ALONE).fit(X, y)
    np.testing.assert_allclose(forest.predict_proba([[0], [1]]), [[0.75, 0.25, 0], [0, 0.5, 0.5]])
    np.testing.assert_array_equal(forest.predict([[0], [1]]), [0, 1])  # the first of equals


@pytest.mark.parametrize("criterion", ["gini", "entropy", "log_loss"])
def test_a_tree_is_scikit_learns_where_splits_are_unique(rng, criterion):
    X, y = data(rng, n=200, p=3)
    weights = rng.uniform(0.5, 2, size=200)  # no two splits gain the same
    params = {"criterion": criterion, "max_depth": 3, "min_weight_fraction_leaf": 0.06}
    ours = BaggingForest(**ALONE, **params).fit(X, y, sample_weight=weights)
    theirs = DecisionTreeClassifier(**params, random_state=0).fit(X, y, sample_weight=weights)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-6)
    np.testing.assert_allclose(ours.feature_importances_, theirs.feature_importances_, atol=1e-6)


def test_entropy_and_log_loss_are_the_same(rng):
    X, y = data(rng)
    a, b = (BaggingForest(n_estimators=5, criterion=name, random_state=0) for name in ("entropy", "log_loss"))
    assert same_bits(a.fit(X, y), b.fit(X, y), X)


def test_members_average_to_the_forest(rng):
    X, y = data(rng)
    forest = BaggingForest(n_estimators=7, max_depth=4, random_state=0).fit(X, y)
    mean = np.mean([tree.predict_proba(X) for tree in forest], axis=0)
    np.testing.assert_allclose(forest.predict_proba(X), mean, atol=1e-12)
    np.testing.assert_array_equal(forest.classes_[mean.argmax(axis=1)], forest.predict(X))
    np.testing.assert_array_equal(forest.apply(X), np.column_stack([tree.apply(X) for tree in forest]))
    assert len(forest) == 7
    assert [tree.predict(X[:1])[0] for tree in forest][2] == forest[2].predict(X[:1])[0]
    assert max(tree.get_depth() for tree in forest) <= 4
    for tree, leaves in zip(forest, forest.apply(X).T):
        np.testing.assert_allclose(tree.tree_.value[leaves], tree.predict_proba(X), atol=1e-12)
        assert not set(leaves) & set(np.flatnonzero(tree.tree_.children_left >= 0))


def test_the_nodes_lead_where_the_walk_leads(rng):
    X, y = data(rng)
    tree = BaggingForest(n_estimators=1, random_state=0).fit(X, y)[0]
    shape, at = tree.tree_, np.zeros(len(X), int)
    for _ in range(shape.max_depth):
        inner = shape.feature[at] >= 0
        left = X[np.arange(len(X)), np.maximum(shape.feature[at], 0)] <= shape.threshold[at]
        at = np.where(inner, np.where(left, shape.children_left[at], shape.children_right[at]), at)
    np.testing.assert_array_equal(at, tree.apply(X))


def test_ways_by_hand():
    # x <= 1.5 ? a : (x <= 3.5 ? b : a): node 0 asks, node 1 asks, the leaves are 2, 3, 4 from left to right
    forest = BaggingForest(**ALONE).fit([[0.0], [1], [2], [3], [4], [4]], list("aabbaa"))
    indicator, starts = forest.decision_path([[0.0], [2], [9]])
    np.testing.assert_array_equal(indicator.toarray(), [[1, 0, 1, 0, 0], [1, 1, 0, 1, 0], [1, 1, 0, 0, 1]])
    np.testing.assert_array_equal(starts, [0, 5])
    constant = BaggingForest(**ALONE).fit([[0.0], [1]], ["a", "a"])
    np.testing.assert_array_equal(constant.decision_path([[7.0]])[0].toarray(), [[1]])


def test_the_nodes_that_rows_pass(rng):
    X, y = data(rng)
    forest = BaggingForest(n_estimators=3, random_state=0).fit(X, y)
    indicator, starts = forest.decision_path(X)
    assert indicator.shape == (len(X), starts[-1])
    for tree, begin, end in zip(forest, starts[:-1], starts[1:]):
        shape, passed = tree.tree_, indicator[:, begin:end].toarray()
        np.testing.assert_array_equal(passed, tree.decision_path(X).toarray())
        expected, at = np.zeros((len(X), shape.node_count)), np.zeros(len(X), int)
        for _ in range(shape.max_depth + 1):
            expected[np.arange(len(X)), at] = 1
            left = X[np.arange(len(X)), np.maximum(shape.feature[at], 0)] <= shape.threshold[at]
            child = np.where(left, shape.children_left[at], shape.children_right[at])
            at = np.where(child >= 0, child, at)
        np.testing.assert_array_equal(passed, expected)


# -------------------------------------------------------------------------------------------------- limits


@pytest.mark.parametrize("max_depth", [1, 2, 5])
def test_max_depth(rng, max_depth):
    X, y = data(rng)
    forest = BaggingForest(n_estimators=5, max_depth=max_depth, random_state=0).fit(X, y)
    assert max(tree.get_depth() for tree in forest) == max_depth


@pytest.mark.parametrize(("asked", "least"), [(1, 1), (7, 7), (0.1, 30)])
@pytest.mark.parametrize("max_leaf_nodes", [None, 40])
def test_min_samples_leaf_counts_drawn_rows(rng, asked, least, max_leaf_nodes):
    X, y = data(rng)
    forest = BaggingForest(n_estimators=5, min_samples_leaf=asked, max_leaf_nodes=max_leaf_nodes, random_state=0)
    for tree in forest.fit(X, y):
        assert leaf_sizes(tree).min() >= least
        assert leaf_sizes(tree).sum() == 300


@pytest.mark.parametrize(("asked", "least"), [(2, 2), (40, 40), (0.2, 60)])
def test_min_samples_split_counts_drawn_rows(rng, asked, least):
    X, y = data(rng)
    for tree in BaggingForest(n_estimators=5, min_samples_split=asked, random_state=0).fit(X, y):
        shape = tree.tree_
        assert shape.weighted_n_node_samples[shape.children_left >= 0].min() >= least


@pytest.mark.parametrize("class_weight", [None, {0: 1, 1: 10, 2: 3}])
def test_min_weight_fraction_leaf(rng, class_weight):
    X, y = data(rng)
    weights = rng.uniform(0, 3, size=300)
    params = {"min_weight_fraction_leaf": 0.08, "class_weight": class_weight}
    forest = BaggingForest(**ALONE, **params).fit(X, y, sample_weight=weights)
    if class_weight is not None:
        weights = weights * np.array([1, 10, 3])[y]
    held = np.bincount(forest.apply(X)[:, 0], weights)
    assert held[held > 0].min() >= 0.08 * weights.sum() * (1 - 1e-6)


@pytest.mark.parametrize("most", [2, 3, 10])
def test_max_leaf_nodes(rng, most):
    X, y = data(rng)
    forest = BaggingForest(n_estimators=5, max_leaf_nodes=most, random_state=0).fit(X, y)
    assert [tree.get_n_leaves() for tree in forest] == [most] * 5
    assert forest.history_["n_leaves"] == [most] * 5


@pytest.mark.parametrize("criterion", ["gini", "entropy"])
@pytest.mark.parametrize("limit", [{"max_leaf_nodes": 6}, {"min_impurity_decrease": 0.01}])
def test_limits_are_scikit_learns_where_splits_are_unique(rng, criterion, limit):
    X, y = data(rng, n=200, p=2)
    weights = rng.uniform(0.5, 2, size=200)
    params = {"criterion": criterion, "min_weight_fraction_leaf": 0.06, **limit}
    ours = BaggingForest(**ALONE, **params).fit(X, y, sample_weight=weights)
    theirs = DecisionTreeClassifier(**params, random_state=0).fit(X, y, sample_weight=weights)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-6)


# --------------------------------------------------------------------------------------- features and bags


def test_feature_sampling(rng):
    X, y = data(rng, p=8)
    params = {"n_estimators": 10, "max_features": 3, "random_state": 0}
    used = [set(tree.tree_.feature) - {-2} for tree in BaggingForest(feature_sampling="tree", **params).fit(X, y)]
    assert max(map(len, used)) == 3
    assert len(set().union(*used)) > 3
    used = [set(tree.tree_.feature) - {-2} for tree in BaggingForest(feature_sampling="split", **params).fit(X, y)]
    assert max(map(len, used)) > 3
    whole = BaggingForest(feature_sampling="none", **params).fit(X, y)
    assert same_bits(whole, BaggingForest(**params | {"max_features": None}).fit(X, y), X)


@pytest.mark.parametrize(("asked", "n"), [("sqrt", 3), ("log2", 3), (2, 2), (0.5, 5), (1.0, 10), (None, 10), (0.01, 1)])
def test_max_features_as_a_number(rng, asked, n):
    X, y = rng.normal(size=(400, 10)), rng.integers(2, size=400)
    forest = BaggingForest(n_estimators=10, feature_sampling="tree", max_features=asked, random_state=0).fit(X, y)
    assert max(len(set(tree.tree_.feature) - {-2}) for tree in forest) == n


def test_one_feature_at_a_split_asks_them_all_evenly(rng):
    X, y = rng.normal(size=(200, 4)), rng.integers(2, size=200)
    forest = BaggingForest(n_estimators=400, max_features=1, max_depth=1, random_state=0).fit(X, y)
    asked = np.bincount([tree.tree_.feature[0] for tree in forest], minlength=4)
    assert np.abs(asked - 100).max() < 5 * np.sqrt(400 * 0.25 * 0.75)


def test_without_bootstrap_trees_differ_by_features_alone(rng):
    X, y = data(rng)
    forest = BaggingForest(n_estimators=3, bootstrap=False, max_features=None, random_state=0).fit(X, y)
    for tree in forest:
        np.testing.assert_array_equal(tree.predict_proba(X), forest[0].predict_proba(X))
    assert forest.score(X, y) == 1
    assert all(len(out) == 0 for out in forest.oob_samples_)


@pytest.mark.parametrize(("asked", "size"), [(None, 300), (40, 40), (0.25, 75), (1.0, 300), (1, 1), (1.5, 450)])
def test_max_samples(rng, asked, size):
    X, y = data(rng)
    forest = BaggingForest(n_estimators=3, max_samples=asked, random_state=0).fit(X, y)
    assert [len(rows) for rows in forest.estimators_samples_] == [size] * 3
    assert {float(leaf_sizes(tree).sum()) for tree in forest} == {size}


def test_bags_are_bootstrap_samples(rng):
    X, y = data(rng, n=200)
    forest = BaggingForest(n_estimators=300, max_depth=1, random_state=0).fit(X, y)
    drawn = np.array([np.bincount(rows, minlength=200) for rows in forest.estimators_samples_])
    assert drawn.sum(axis=1).tolist() == [200] * 300
    assert abs((drawn == 0).mean() - (1 - 1 / 200) ** 200) < 0.01
    assert np.abs(drawn.mean(axis=0) - 1).max() < 6 / np.sqrt(300)


@pytest.mark.parametrize("sampling", ["stratified", "balanced"])
def test_strata_are_drawn_as_promised(rng, sampling):
    y = np.repeat([0, 1, 2], [200, 80, 20])
    X = rng.normal(size=(300, 3))
    forest = BaggingForest(n_estimators=5, sampling=sampling, random_state=0).fit(X, y)
    for rows in forest.estimators_samples_:
        held = np.bincount(y[rows], minlength=3).tolist()
        assert held == ([200, 80, 20] if sampling == "stratified" else [20, 20, 20])


@pytest.mark.parametrize(("max_samples", "held"), [(None, 20), (300, 100), (0.5, 50), (30, 10)])
def test_balanced_bags_share_max_samples_or_follow_the_smallest_class(rng, max_samples, held):
    y = np.repeat([0, 1, 2], [200, 80, 20])
    forest = BaggingForest(n_estimators=3, sampling="balanced", max_samples=max_samples, random_state=0)
    forest.fit(rng.normal(size=(300, 3)), y)
    assert [np.bincount(y[rows]).tolist() for rows in forest.estimators_samples_] == [[held] * 3] * 3


@pytest.mark.parametrize(("rare", "other", "held"), [(3.0, 1.0, 60), (0.5, 1.5, 20), (9.5, 0.1, 20), (20.0, 1.0, 100)])
def test_the_smallest_class_counts_copies_or_rows(rng, rare, other, held):
    y = np.repeat([0, 1], [100, 20])
    forest = BaggingForest(n_estimators=3, sampling="balanced", random_state=0)
    forest.fit(rng.normal(size=(120, 3)), y, sample_weight=np.where(y == 1, rare, other))
    assert [np.bincount(y[rows]).tolist() for rows in forest.estimators_samples_] == [[held] * 2] * 3


def test_a_stratum_follows_its_weight(rng):
    X, y = rng.normal(size=(100, 2)), np.repeat([0, 1], 50)
    forest = BaggingForest(n_estimators=3, sampling="stratified", max_samples=80, random_state=0)
    forest.fit(X, y, sample_weight=np.where(y == 0, 3, 1))
    assert [np.bincount(y[rows]).tolist() for rows in forest.estimators_samples_] == [[60, 20]] * 3


def test_groups_are_drawn_whole(rng):
    X, y = data(rng)
    groups = rng.permutation(np.repeat(list("abcdefghij"), 30))
    forest = BaggingForest(n_estimators=6, max_samples=0.5, random_state=0).fit(X, y, groups=groups)
    for rows, out in zip(forest.estimators_samples_, forest.oob_samples_):
        counts = np.bincount(rows, minlength=300)
        per_group = [set(counts[groups == g]) for g in np.unique(groups)]
        assert all(len(times) == 1 for times in per_group)
        assert sum(times.pop() for times in per_group) == 5
        assert not set(groups[rows]) & set(groups[out])


# ------------------------------------------------------------------------------------------------- classes


@pytest.mark.parametrize("class_weight", [{0: 1, 1: 5.5, 2: 0.3}, {1: 3}, "balanced"])
def test_class_weights_are_scikit_learns(rng, class_weight):
    X, y = data(rng, n=200, p=2)
    params = {"max_depth": 3, "min_weight_fraction_leaf": 0.05}
    weights = rng.uniform(0.5, 2, size=200)
    ours = BaggingForest(**ALONE, **params, class_weight=class_weight).fit(X, y, sample_weight=weights)
    if class_weight == "balanced":  # ours counts the rows by their weights
        class_weight = dict(enumerate(weights.sum() / np.bincount(y, weights)))
    theirs = DecisionTreeClassifier(**params, class_weight=class_weight, random_state=0)
    theirs.fit(X, y, sample_weight=weights)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-6)


def test_a_balanced_subsample_balances_each_bag(rng):
    X, y = np.zeros((200, 1)), np.repeat([0, 1, 2], [150, 40, 10])
    forest = BaggingForest(n_estimators=5, class_weight="balanced_subsample", random_state=0).fit(X, y)
    np.testing.assert_allclose(forest.predict_proba(X[:1]), np.full((1, 3), 1 / 3), atol=1e-12)
    forest.set_params(class_weight="balanced").fit(X, y)
    held = [
        np.bincount(y[rows], minlength=3) * 200 / (3 * np.array([150, 40, 10])) for rows in forest.estimators_samples_
    ]
    mean = np.mean([h / h.sum() for h in held], axis=0)
    np.testing.assert_allclose(forest.predict_proba(X[:1])[0], mean, atol=1e-12)


def test_hard_votes(rng):
    X, y = data(rng)
    forest = BaggingForest(n_estimators=9, max_depth=2, voting="hard", random_state=0).fit(X, y)
    votes = np.array([tree.predict_proba(X).argmax(axis=1) for tree in forest])
    shares = np.stack([(votes == k).mean(axis=0) for k in range(3)], axis=1)
    np.testing.assert_allclose(forest.predict_proba(X), shares, atol=1e-12)
    np.testing.assert_array_equal(forest.predict(X), forest.classes_[shares.argmax(axis=1)])
    *_, last = forest.staged_predict_proba(X)
    np.testing.assert_allclose(last, shares, atol=1e-12)


def test_several_outputs(rng):
    X = rng.normal(size=(200, 2))
    y = np.column_stack([np.where(X[:, 0] > 0.1, "u", "v"), np.digitize(X[:, 1], [-0.5, 0.5]).astype(str)])
    weights = rng.uniform(0.5, 2, size=200)
    params = {"max_depth": 2, "min_weight_fraction_leaf": 0.05}
    ours = BaggingForest(**ALONE, **params).fit(X, y, sample_weight=weights)
    theirs = DecisionTreeClassifier(**params, random_state=0).fit(X, y, sample_weight=weights)
    assert [list(labels) for labels in ours.classes_] == [["u", "v"], ["0", "1", "2"]]
    assert (ours.n_outputs_, ours.n_classes_) == (2, [2, 3])
    for a, b in zip(ours.predict_proba(X), theirs.predict_proba(X)):
        np.testing.assert_allclose(a, b, atol=1e-6)
    for a, b in zip(ours.predict_log_proba(X), ours.predict_proba(X)):
        np.testing.assert_array_equal(np.exp(a).round(12), b.round(12))
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))


@pytest.mark.parametrize("voting", ["soft", "hard"])
def test_multilabel(rng, voting):
    X = rng.normal(size=(300, 3))
    y = (X + 0.1 * rng.normal(size=X.shape) > 0).astype(int)
    forest = BaggingForest(n_estimators=20, voting=voting, max_features=None, random_state=0).fit(X[:200], y[:200])
    assert forest.predict(X).shape == (300, 3)
    assert (forest.predict(X[200:]) == y[200:]).mean() > 0.8
    assert [share.shape for share in forest.predict_proba(X)] == [(300, 2)] * 3
    *_, last = forest.staged_predict(X)
    np.testing.assert_array_equal(last, forest.predict(X))


# -------------------------------------------------------------------------------------------- the fit itself


@pytest.mark.parametrize("params", [{}, {"feature_sampling": "tree"}, {"sampling": "balanced", "oob_score": True}])
@pytest.mark.filterwarnings("ignore:Some inputs do not have OOB scores")
def test_a_warm_start_has_the_bits_of_a_single_fit(rng, params):
    X, y = data(rng)
    whole = BaggingForest(n_estimators=12, random_state=0, **params).fit(X, y)
    warm = BaggingForest(n_estimators=5, random_state=0, warm_start=True, **params).fit(X, y)
    warm.set_params(n_estimators=12).fit(X, y)
    assert same_bits(warm, whole, X)
    assert warm.history_ == whole.history_
    for a, b in zip(warm.estimators_samples_, whole.estimators_samples_):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("seed_kind", [int, np.random.RandomState, None])
def test_a_warm_start_keeps_its_trees_whatever_the_random_state(rng, seed_kind):
    X, y = data(rng)
    forest = BaggingForest(n_estimators=4, warm_start=True, random_state=seed_kind(3) if seed_kind else None)
    before = forest.fit(X, y).apply(X)
    np.testing.assert_array_equal(forest.set_params(n_estimators=7).fit(X, y).apply(X)[:, :4], before)


def test_a_warm_start_that_cannot_go_on(rng):
    X, y = data(rng)
    forest = BaggingForest(n_estimators=4, warm_start=True, random_state=0).fit(X, y)
    shares = forest.predict_proba(X)
    with pytest.warns(UserWarning, match="Warm-start fitting without increasing n_estimators"):
        forest.fit(X, y)
    np.testing.assert_array_equal(forest.predict_proba(X), shares)
    with pytest.raises(ValueError, match=r"n_estimators=3 must be larger or equal to len\(estimators_\)=4"):
        clone(forest).set_params(n_estimators=4).fit(X, y).set_params(n_estimators=3).fit(X, y)
    with pytest.raises(ValueError, match="classes of y are not those of the model"):
        forest.set_params(n_estimators=6).fit(X, y + 1)
    with pytest.raises(ValueError, match="X has 2 features, but BaggingForest is expecting 5"):
        forest.fit(X[:, :2], y)
    with pytest.raises(ValueError, match="trees and members of other kinds don't mix"):
        forest.set_params(estimator=DecisionTreeClassifier()).fit(X, y)
    forest.set_params(estimator=None)
    np.testing.assert_array_equal(forest.predict_proba(X), shares)


@pytest.mark.parametrize("params", [{}, {"criterion": "entropy", "max_leaf_nodes": 20}, {"oob_score": True}])
@pytest.mark.filterwarnings("ignore:Some inputs do not have OOB scores")
def test_the_number_of_jobs_changes_no_bit(rng, params):
    X, y = data(rng, n=700)
    one, two = (BaggingForest(n_estimators=9, n_jobs=n, random_state=0, **params).fit(X, y) for n in (1, 2))
    many = rng.normal(size=(9000, 5))
    assert same_bits(one, two, many)


def test_the_order_of_rows_and_their_copies_change_no_bit(rng):
    X, y = data(rng)
    X = X.round(1)
    weights = rng.integers(0, 4, size=300)
    weighted = BaggingForest(n_estimators=6, random_state=0).fit(X, y, sample_weight=weights)
    rows = rng.permutation(np.repeat(np.arange(300), weights))
    assert same_bits(weighted, BaggingForest(n_estimators=6, random_state=0).fit(X[rows], y[rows]), X)


@pytest.mark.parametrize("voting", ["soft", "hard"])
def test_stages_end_with_the_whole(rng, voting):
    X, y = data(rng)
    forest = BaggingForest(n_estimators=8, max_depth=3, voting=voting, random_state=0).fit(X, y)
    stages = list(forest.staged_predict_proba(X))
    np.testing.assert_allclose(stages[-1], forest.predict_proba(X), atol=1e-12)
    small = BaggingForest(n_estimators=3, max_depth=3, voting=voting, random_state=0).fit(X, y)
    np.testing.assert_allclose(stages[2], small.predict_proba(X), atol=1e-12)
    for labels, shares in zip(forest.staged_predict(X), stages):
        np.testing.assert_array_equal(labels, forest.classes_[shares.argmax(axis=1)])


def test_proximity_is_the_share_of_common_leaves(rng):
    X, y = data(rng, n=60)
    forest = BaggingForest(n_estimators=11, max_depth=3, random_state=0).fit(X, y)
    leaves = forest.apply(X)
    expected = (leaves[:, None] == leaves[None]).mean(axis=2)
    np.testing.assert_allclose(forest.proximity(X), expected, atol=1e-12)
    np.testing.assert_allclose(forest.proximity(X[:5], X[5:20]), expected[:5, 5:20], atol=1e-12)


def test_uncertainty_adds_up(rng):
    X, y = data(rng)
    forest = BaggingForest(n_estimators=20, min_samples_leaf=10, random_state=0).fit(X, y)
    found = forest.predict_uncertainty(X)
    np.testing.assert_allclose(found.total, found.within + found.between, atol=1e-12)
    shares = np.array([tree.predict_proba(X) for tree in forest])
    entropy = lambda p: -(p * np.log(np.where(p > 0, p, 1))).sum(axis=-1)  # noqa: E731
    np.testing.assert_allclose(found.total, entropy(shares.mean(axis=0)), atol=1e-12)
    np.testing.assert_allclose(found.within, entropy(shares).mean(axis=0), atol=1e-12)
    alone = BaggingForest(**ALONE).fit(X, y).predict_uncertainty(X)
    assert alone.total.max() == alone.between.max() == 0


def test_a_pickle_is_a_quarter_of_scikit_learns(rng):
    X, y = make_classification(3000, 10, n_informative=6, n_classes=3, random_state=int(rng.integers(1000)))
    ours = BaggingForest(n_estimators=20, random_state=0).fit(X, y)
    theirs = RandomForestClassifier(n_estimators=20, random_state=0).fit(X, y)
    leaves = sum(tree.get_n_leaves() for tree in ours), sum(tree.get_n_leaves() for tree in theirs.estimators_)
    assert 0.8 < leaves[0] / leaves[1] < 1.25
    assert len(pickle.dumps(ours)) < len(pickle.dumps(theirs)) / 4
    for again in (pickle.loads(pickle.dumps(ours)), copy.deepcopy(ours)):
        assert same_bits(again, ours, X)


@pytest.mark.parametrize("max_leaf_nodes", [10, 30, 100])
def test_so_is_one_of_small_trees(rng, max_leaf_nodes):
    X, y = make_classification(3000, 10, n_informative=6, n_classes=3, random_state=int(rng.integers(1000)))
    params = {"n_estimators": 50, "max_leaf_nodes": max_leaf_nodes, "random_state": 0}
    ours, theirs = BaggingForest(**params).fit(X, y), RandomForestClassifier(**params).fit(X, y)
    assert ours._model.n_leaves == sum(tree.get_n_leaves() for tree in theirs.estimators_)
    for_all = len(pickle.dumps(ours._model.bins)) + 2 * len(X)  # the bins, and which rows are distinct
    assert len(pickle.dumps(ours)) - for_all < len(pickle.dumps(theirs)) / 4


@pytest.mark.parametrize("kind", [BaggingForest, BaggingForestRegressor])
def test_a_members_pickle_holds_its_own_tree(rng, kind):
    X = rng.normal(size=(800, 4))
    X[:, 3] = rng.integers(0, 6, 800)
    y = (X[:, 0] + (X[:, 3] % 2) + 0.3 * rng.normal(size=800) > 0.5) * 1
    forest = kind(n_estimators=20, categorical_features=[3], min_samples_leaf=3, oob_score=True, random_state=0)
    forest.fit(X, y)
    size = len(pickle.dumps(forest))
    for member in forest:
        again = pickle.loads(pickle.dumps(member))
        np.testing.assert_array_equal(again.predict(X), member.predict(X))
        np.testing.assert_array_equal(again.apply(X), member.apply(X))
        assert again.export_text() == member.export_text()
        assert len(pickle.dumps(member)) < size / 4
    assert len(pickle.dumps(forest)) == size
    assert not clone(member).__sklearn_is_fitted__()


def test_an_unfitted_forest_says_so():
    forest = BaggingForest()
    assert forest
    for ask in ("estimators_", "feature_importances_", "estimators_samples_", "oob_samples_"):
        assert not hasattr(forest, ask)
        with pytest.raises(NotFittedError):
            getattr(forest, ask)
    for call in (forest.predict, forest.predict_proba, forest.apply, forest.predict_uncertainty, forest.proximity):
        with pytest.raises(NotFittedError):
            call([[0.0]])
    with pytest.raises(NotFittedError):
        len(forest)


@pytest.mark.parametrize("zero", [{0: 0}, {0: 0, 1: 0}, {1: 0, 2: 5}])
@pytest.mark.parametrize("params", [{}, {"oob_score": True}, {"bootstrap": False}, {"sampling": "balanced"}])
def test_classes_that_weigh_nothing_are_in_no_bag(rng, zero, params):
    X, y = data(rng)
    forest = BaggingForest(n_estimators=25, class_weight=zero, max_depth=4, random_state=0, **params).fit(X, y)
    nothing = [label for label, weight in zero.items() if weight == 0]
    np.testing.assert_array_equal(forest.classes_, [0, 1, 2])
    assert np.all(forest.predict_proba(X)[:, nothing] == 0)
    np.testing.assert_allclose(forest.predict_proba(X).sum(axis=1), 1)
    assert not np.isin(y[np.concatenate(forest.estimators_samples_)], nothing).any()
    left = {label: weight for label, weight in zero.items() if weight}
    kept = BaggingForest(n_estimators=25, class_weight=left or None, max_depth=4, random_state=0, **params)
    kept.fit(X, y, sample_weight=~np.isin(y, nothing) * 1.0)
    np.testing.assert_array_equal(forest.predict_proba(X), kept.predict_proba(X))


def test_some_class_must_weigh_something(rng):
    X, y = data(rng)
    with pytest.raises(ValueError, match="leave no row of any weight"):
        BaggingForest(n_estimators=2, class_weight={0: 0}).fit(X, y, sample_weight=(y == 0) * 1.0)


def test_inner_nodes_weigh_classes(rng):
    X, y = data(rng, classes=2)
    params = {"class_weight": {0: 1, 1: 20}, "max_depth": 3}
    shape = BaggingForest(**ALONE, **params).fit(X, y)[0].tree_
    weights = np.where(y == 1, 20.0, 1.0)
    assert shape.value[0, 1] == pytest.approx(np.average(y, weights=weights), abs=1e-6)
    assert shape.weighted_n_node_samples[0] == pytest.approx(weights.sum())
    at = shape.feature[0]
    left = X[:, at] <= shape.threshold[0]
    expected = np.average(y[left], weights=weights[left])
    assert shape.value[shape.children_left[0], 1] == pytest.approx(expected, abs=1e-6)


def test_a_clone_of_a_tree_is_not_fitted(rng):
    X, y = data(rng)
    tree = BaggingForest(n_estimators=2, random_state=0).fit(X, y)[0]
    assert tree.__sklearn_is_fitted__()
    again = clone(tree)
    assert not again.__sklearn_is_fitted__()
    for ask in (again.predict, again.apply, lambda X: again.tree_):
        with pytest.raises(NotFittedError):
            ask(X)
