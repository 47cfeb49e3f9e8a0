"""BaggingForestRegressor: leaves by hand, criteria against scikit-learn, monotonic constraints, the fit itself."""

import pickle

import numpy as np
import pandas
import polars
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.tree import DecisionTreeRegressor

from skml import BaggingForest, BaggingForestRegressor

ALONE = {"n_estimators": 1, "bootstrap": False}


def data(rng, n=250, p=4):
    X = rng.normal(size=(n, p))
    return X, X[:, 0] + X[:, 1] ** 2 + 0.3 * rng.normal(size=n)


def same_bits(a, b, X):
    return len(a) == len(b) and np.array_equal(a.predict(X), b.predict(X)) and np.array_equal(a.apply(X), b.apply(X))


def test_a_tree_by_hand():
    X, y = np.array([[0.0], [1], [2], [10]]), [1.0, 2.0, 9.0, 12.0]
    forest = BaggingForestRegressor(**ALONE, max_depth=1).fit(X, y)
    np.testing.assert_array_equal(forest.predict(X), [1.5, 1.5, 10.5, 10.5])
    shape = forest[0].tree_
    assert shape.threshold[0] == 1.5
    np.testing.assert_array_equal(shape.value[:, 0], [6, 1.5, 10.5])
    np.testing.assert_array_equal(shape.weighted_n_node_samples, [4, 2, 2])
    assert "value: [1.50]" in forest[0].export_text()
    grown = BaggingForestRegressor(**ALONE).fit(X, y)
    np.testing.assert_array_equal(grown.predict(X), y)
    np.testing.assert_array_equal(grown.predict([[1.4], [1.6], [5.9], [6.1]]), [2, 9, 9, 12])


def test_weights_by_hand():
    X, y = np.zeros((3, 1)), [0.0, 1.0, 5.0]
    assert BaggingForestRegressor(**ALONE).fit(X, y, sample_weight=[1, 2, 1]).predict(X[:1]) == 1.75
    absolute = BaggingForestRegressor(**ALONE, criterion="absolute_error")
    assert absolute.fit(X, y, sample_weight=[1, 2, 1]).predict(X[:1]) == 1
    assert absolute.fit(X, y, sample_weight=[1, 1, 2]).predict(X[:1]) == 3  # between the middle two


@pytest.mark.parametrize("criterion", ["squared_error", "absolute_error", "poisson"])
@pytest.mark.parametrize("limit", [{"max_depth": 4}, {"max_leaf_nodes": 7}, {"min_impurity_decrease": 0.05}])
def test_a_tree_is_scikit_learns_where_splits_are_unique(rng, criterion, limit):
    X = rng.normal(size=(150, 1))
    y, weights = np.exp(X[:, 0]) + rng.uniform(size=150), rng.uniform(0.5, 2, size=150)
    params = {"criterion": criterion, "min_weight_fraction_leaf": 0.04, **limit}
    ours = BaggingForestRegressor(**ALONE, **params).fit(X, y, sample_weight=weights)
    theirs = DecisionTreeRegressor(**params, random_state=0).fit(X, y, sample_weight=weights)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-6)


def test_friedmans_criterion_ranks_as_squared_errors_do(rng):
    X, y = data(rng)
    a, b = (
        BaggingForestRegressor(n_estimators=3, criterion=c, random_state=0) for c in ("squared_error", "friedman_mse")
    )
    assert same_bits(a.fit(X, y), b.fit(X, y), X)


def test_several_features_and_outputs(rng):
    X = rng.normal(size=(200, 2))
    y = np.column_stack([X[:, 0] * 3, X[:, 1] ** 2, X.sum(axis=1)]) + rng.normal(size=(200, 3))
    params = {"max_depth": 4, "min_samples_leaf": 10}
    ours = BaggingForestRegressor(**ALONE, **params).fit(X, y)
    theirs = DecisionTreeRegressor(**params, random_state=0).fit(X, y)
    assert ours.n_outputs_ == 3
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), atol=1e-9)
    np.testing.assert_allclose(ours.feature_importances_, theirs.feature_importances_, atol=1e-9)
    forest = BaggingForestRegressor(n_estimators=4, random_state=0).fit(X, y)
    np.testing.assert_allclose(forest.predict(X), np.mean([tree.predict(X) for tree in forest], axis=0))


def test_quality_is_scikit_learns(rng):
    X = rng.uniform(-2, 2, size=(1500, 4))  # no row lies far out, where a single leaf would decide the score
    y = X[:, 0] + X[:, 1] ** 2 + 0.3 * rng.normal(size=1500)
    ours = BaggingForestRegressor(n_estimators=50, random_state=0).fit(X[:1000], y[:1000])
    theirs = RandomForestRegressor(n_estimators=50, random_state=0).fit(X[:1000], y[:1000])
    # Over seeds the difference is 0.000 with a standard deviation of 0.001.
    assert ours.score(X[1000:], y[1000:]) > theirs.score(X[1000:], y[1000:]) - 0.01


@pytest.mark.parametrize("max_bins", [2, 10, 255])
def test_at_most_so_many_bins(rng, max_bins):
    X, y = rng.normal(size=(2000, 1)), rng.normal(size=2000)
    forest = BaggingForestRegressor(n_estimators=3, max_bins=max_bins, random_state=0).fit(X, y)
    assert len(np.unique(np.concatenate([tree.tree_.threshold[tree.tree_.feature >= 0] for tree in forest]))) < max_bins
    assert max(tree.get_n_leaves() for tree in forest) == max_bins


# ---------------------------------------------------------------------------------------------- monotonic


def along(forest, X, feature, predict):
    """Return predictions for the rows with one feature moved through its range: (n_rows, n_steps)."""
    steps = np.linspace(X[:, feature].min() - 1, X[:, feature].max() + 1, 60)
    moved = np.repeat(X[:40], len(steps), axis=0)
    moved[:, feature] = np.tile(steps, 40)
    return predict(forest, moved).reshape(40, -1)


@pytest.mark.parametrize("criterion", ["squared_error", "poisson", "absolute_error"])
@pytest.mark.parametrize("limit", [{}, {"max_leaf_nodes": 15}])
def test_predictions_are_monotone(rng, criterion, limit):
    X, y = data(rng)
    y = y - y.min() + 0.1
    forest = BaggingForestRegressor(
        n_estimators=5, criterion=criterion, monotonic_cst=[1, -1, 0, 1], random_state=0, **limit
    ).fit(X, y)
    for feature, sign in ((0, 1), (1, -1), (3, 1)):
        steps = np.diff(along(forest, X, feature, lambda forest, rows: forest.predict(rows)), axis=1)
        assert (sign * steps).min() >= -1e-12
        for tree in forest:
            steps = np.diff(along(tree, X, feature, lambda tree, rows: tree.predict(rows)), axis=1)
            assert (sign * steps).min() >= -1e-12


@pytest.mark.parametrize("criterion", ["gini", "entropy"])
def test_shares_are_monotone(rng, criterion):
    X, y = data(rng)
    params = {"n_estimators": 5, "criterion": criterion, "random_state": 0}
    forest = BaggingForest(monotonic_cst=[1, 0, -1, 0], **params).fit(X, np.where(y > 1, "yes", "no"))
    for feature, sign in ((0, 1), (2, -1)):
        steps = np.diff(along(forest, X, feature, lambda f, rows: f.predict_proba(rows)[:, 1]), axis=1)
        assert (sign * steps).min() >= -1e-12


def test_monotonic_constraints_by_name(rng):
    pandas = pytest.importorskip("pandas")
    X, y = data(rng)
    frame = pandas.DataFrame(X, columns=list("abcd"))
    named = BaggingForestRegressor(n_estimators=3, monotonic_cst={"b": -1, "d": 1}, random_state=0).fit(frame, y)
    listed = BaggingForestRegressor(n_estimators=3, monotonic_cst=[0, -1, 0, 1], random_state=0).fit(X, y)
    np.testing.assert_array_equal(named.predict(frame), listed.predict(X))
    none = BaggingForestRegressor(n_estimators=3, random_state=0).fit(X, y)
    zeros = BaggingForestRegressor(n_estimators=3, monotonic_cst=[0] * 4, random_state=0).fit(X, y)
    np.testing.assert_array_equal(none.predict(X), zeros.predict(X))


@pytest.mark.parametrize(
    ("signs", "message"),
    [
        ([1, 0], "-1, 0 or 1 for each of 4 features"),
        ([2, 0, 0, 0], "-1, 0 or 1 for each of 4 features"),
        ({"nobody": 1}, "names the columns"),
        (["a", "b", "c", "d"], "-1, 0 or 1"),
    ],
)
def test_bad_monotonic_constraints(rng, signs, message):
    X, y = data(rng)
    with pytest.raises(ValueError, match=message):
        BaggingForestRegressor(n_estimators=1, monotonic_cst=signs).fit(X, y)


def test_monotonic_constraints_need_one_output_and_two_classes(rng):
    X, y = data(rng)
    signs = [1, 0, 0, 0]
    with pytest.raises(ValueError, match="single output"):
        BaggingForestRegressor(n_estimators=1, monotonic_cst=signs).fit(X, np.column_stack([y, y]))
    with pytest.raises(ValueError, match="two classes"):
        BaggingForest(n_estimators=1, monotonic_cst=signs).fit(X, np.digitize(y, [0, 1]))
    with pytest.raises(ValueError, match="a category has no order"):
        BaggingForest(n_estimators=1, monotonic_cst=signs, categorical_features=[0]).fit(X, y > 0)


# -------------------------------------------------------------------------------------------- the fit itself


@pytest.mark.parametrize("params", [{}, {"max_leaf_nodes": 9}, {"criterion": "poisson"}, {"oob_score": True}])
@pytest.mark.filterwarnings("ignore:Some inputs do not have OOB scores")
def test_warm_starts_and_jobs_change_no_bit(rng, params):
    X, y = data(rng)
    y = y - y.min() + 1
    whole = BaggingForestRegressor(n_estimators=9, random_state=0, n_jobs=2, **params).fit(X, y)
    warm = BaggingForestRegressor(n_estimators=4, random_state=0, warm_start=True, **params).fit(X, y)
    warm.set_params(n_estimators=9).fit(X, y)
    assert same_bits(whole, warm, rng.normal(size=(8000, 4)))
    np.testing.assert_array_equal(whole.feature_importances_, warm.feature_importances_)
    if params.get("oob_score"):
        np.testing.assert_array_equal(whole.oob_curve_, warm.oob_curve_)
        np.testing.assert_array_equal(whole.oob_prediction_, warm.oob_prediction_)


def test_the_order_of_rows_and_their_copies_change_no_bit(rng):
    X, y = data(rng)
    weights = rng.integers(0, 4, size=250)
    weighted = BaggingForestRegressor(n_estimators=5, random_state=0).fit(X, y, sample_weight=weights)
    rows = rng.permutation(np.repeat(np.arange(250), weights))
    assert same_bits(weighted, BaggingForestRegressor(n_estimators=5, random_state=0).fit(X[rows], y[rows]), X)


@pytest.mark.parametrize("scale", [1e-200, 1e-3, 1e6, 1e200, 1e307])
def test_the_scale_of_y_changes_nothing(rng, scale):
    X, y = data(rng)
    plain = BaggingForestRegressor(**ALONE, random_state=0).fit(X, y)
    scaled = BaggingForestRegressor(**ALONE, random_state=0).fit(X, y * scale)
    assert plain[0].get_depth() == scaled[0].get_depth()
    np.testing.assert_allclose(scaled.predict(X), plain.predict(X) * scale, rtol=1e-9, atol=1e-12 * scale)


def test_a_large_offset_of_y_costs_no_accuracy(rng):
    X, y = data(rng)
    plain = BaggingForestRegressor(**ALONE, max_depth=4, random_state=0).fit(X, y)
    moved = BaggingForestRegressor(**ALONE, max_depth=4, random_state=0).fit(X, y + 1e6)
    np.testing.assert_allclose(moved.predict(X) - 1e6, plain.predict(X), atol=1e-6)


def test_stages_end_with_the_whole(rng):
    X, y = data(rng)
    forest = BaggingForestRegressor(n_estimators=6, random_state=0).fit(X, y)
    stages = list(forest.staged_predict(X))
    np.testing.assert_allclose(stages[-1], forest.predict(X), rtol=1e-12)
    np.testing.assert_allclose(stages[0], forest[0].predict(X), rtol=1e-12)


def answers_about_targets(forest, X):
    said = [forest.predict(X), forest.predict(X, quantiles=0.5), *forest.predict(X, return_std=True)]
    intervals = [forest.predict_interval(X, method=method) for method in ("quantile", "jackknife+")]
    return [*said, *intervals, *forest.staged_predict(X), *(tree.predict(X) for tree in forest)]


@pytest.mark.parametrize("kind", ["numpy", "pandas", "polars"])
def test_rows_of_single_precision_do_not_round_what_is_said_of_targets(rng, kind):
    rows, y = data(rng)
    rows, y = rows.astype(np.float32), y + 1.7e9  # where float32 knows every 128th number
    frames = {"numpy": np.asarray, "pandas": pandas.DataFrame, "polars": polars.DataFrame}
    X, wide = frames[kind](rows), frames[kind](rows.astype(np.float64))
    forest = BaggingForestRegressor(n_estimators=40, oob_score=True, random_state=0).fit(X, y)
    for said, expected in zip(answers_about_targets(forest, X), answers_about_targets(forest, wide), strict=True):
        np.testing.assert_array_equal(said, expected, strict=True)
        assert said.dtype == np.float64
    assert forest.score(X, y) == forest.score(wide, y)
    assert not np.array_equal(forest.predict(X), forest.predict(X).astype(np.float32))


def test_targets_beyond_single_precision_are_said_of_rows_in_it(rng):
    X, y = data(rng)
    forest = BaggingForestRegressor(**ALONE).fit(X.astype(np.float32), y * 1e40)
    np.testing.assert_array_equal(forest.predict(X.astype(np.float32)), y * 1e40)


@pytest.mark.parametrize("max_leaf_nodes", [None, 300, 30])
def test_a_pickle_is_a_quarter_of_scikit_learns(rng, max_leaf_nodes):
    X, y = data(rng, n=2000)
    params = {"n_estimators": 20, "max_leaf_nodes": max_leaf_nodes, "random_state": 0}
    ours, theirs = BaggingForestRegressor(**params).fit(X, y), RandomForestRegressor(**params).fit(X, y)
    ours.predict(X, quantiles=0.5)  # what it finds for them is not pickled
    for_quantiles = (2 + 8 + X.shape[1]) * len(X)  # which rows are distinct, their targets, and a byte per value
    for_all = for_quantiles + len(pickle.dumps(ours._model.bins)) if max_leaf_nodes else 0
    assert len(pickle.dumps(ours)) - for_all < len(pickle.dumps(theirs)) / 4
    again = pickle.loads(pickle.dumps(ours))
    assert same_bits(again, ours, X)
    np.testing.assert_array_equal(again.predict(X, quantiles=[0.1, 0.9]), ours.predict(X, quantiles=[0.1, 0.9]))
    again.set_params(n_estimators=21, warm_start=True).fit(X, y)
    assert again.predict(X, quantiles=[0.1]).shape == (2000, 1)


@pytest.mark.parametrize(
    ("y", "message"),
    [([1.0, np.nan, 2], "NaN"), ([1.0, np.inf, 2], "infinity"), (["a", "b", "c"], "convert|could not"), (None, "y")],
)
def test_bad_targets(y, message):
    with pytest.raises(ValueError, match=message):
        BaggingForestRegressor(n_estimators=1).fit([[0.0], [1], [2]], y)


@pytest.mark.parametrize(("y", "message"), [([-1, 1, 2], "negative"), ([0, 0, 0], "not strictly positive")])
def test_poisson_needs_counts(y, message):
    with pytest.raises(ValueError, match=message):
        BaggingForestRegressor(n_estimators=1, criterion="poisson").fit([[0.0], [1], [2]], y)


def test_monotonic_medians_are_bounded_by_medians(rng):
    X = rng.normal(size=(1500, 2))
    y = np.exp(X[:, 0] + 1.5 * rng.normal(size=1500))  # the median is exp(x), the mean three times that
    params = {"criterion": "absolute_error", "min_samples_leaf": 20, "random_state": 0}
    forest = BaggingForestRegressor(**ALONE, **params, monotonic_cst=[1, 0]).fit(X, y)
    # The mean of their logarithms is 0, of the logarithms of means 1.1; a standard deviation is 0.05.
    assert abs(np.log(forest.predict(X)).mean()) < 0.4
    theirs = DecisionTreeRegressor(**params, monotonic_cst=[1, 0]).fit(X, y)
    assert np.abs(forest.predict(X) - y).mean() < 1.1 * np.abs(theirs.predict(X) - y).mean()


@pytest.mark.parametrize("decrease", [0.02, 0.05, 0.2, 0.5])
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_min_impurity_decrease_is_a_mean_over_outputs(rng, decrease, n_outputs):
    X = rng.normal(size=(200, 2))
    y = X[:, 0] + 0.1 * rng.normal(size=200)
    y = y if n_outputs == 1 else np.column_stack([y] * n_outputs)
    ours = BaggingForestRegressor(**ALONE, min_impurity_decrease=decrease).fit(X, y)
    theirs = DecisionTreeRegressor(min_impurity_decrease=decrease, random_state=0).fit(X, y)
    assert ours[0].get_n_leaves() == theirs.get_n_leaves()


@pytest.mark.parametrize("kind", [BaggingForest, BaggingForestRegressor])
def test_leaves_of_drawn_groups_hold_so_many_rows(rng, kind):
    X = rng.normal(size=(600, 4))
    y, groups = X[:, 0], np.repeat(np.arange(60), 10)
    y = (y > 0) * 1 if kind is BaggingForest else y
    params = {"n_estimators": 3, "min_samples_leaf": 50, "random_state": 0}
    plain = kind(**params).fit(X, y, groups=groups)
    halves = kind(**params).fit(X, y, groups=groups, sample_weight=np.full(600, 0.5))
    assert [tree.get_n_leaves() for tree in halves] == [tree.get_n_leaves() for tree in plain]
    for leaves, bag in zip(plain.apply(X).T, plain.estimators_samples_):
        assert np.unique(leaves[bag], return_counts=True)[1].min() >= 50
