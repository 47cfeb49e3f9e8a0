"""Bad input to the forests: each a clear error or a right answer, and a failed fit leaves no trace."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp

from skml import AdaBoost, BaggingForest, BaggingForestRegressor

KINDS = pytest.mark.parametrize("kind", [BaggingForest, BaggingForestRegressor])


def data(rng, n=60):
    X = rng.normal(size=(n, 3))
    return X, (X[:, 0] > 0).astype(int)


# -------------------------------------------------------------------------------------------------- labels


@pytest.mark.parametrize("label", ["only", 3, True, -7])
def test_one_class(rng, label):
    X, _ = data(rng)
    forest = BaggingForest(n_estimators=3, random_state=0).fit(X, [label] * 60)
    assert list(forest.classes_) == [label]
    assert np.all(forest.predict(X) == label)
    np.testing.assert_array_equal(forest.predict_proba(X), np.ones((60, 1)))
    assert forest.predict_uncertainty(X).total.max() == 0
    assert np.all(forest.feature_importances_ == 0)


@pytest.mark.parametrize(("sampling", "max_samples"), [("uniform", None), ("stratified", None), ("balanced", 60)])
def test_a_class_with_one_row(rng, sampling, max_samples):
    X, y = data(rng)
    y[0], X[0] = 2, 50
    forest = BaggingForest(n_estimators=30, sampling=sampling, max_samples=max_samples, random_state=0)
    forest.set_params(class_weight="balanced").fit(X, y)
    assert list(forest.classes_) == [0, 1, 2]
    assert forest.predict_proba(X)[0, 2] > 0.4
    assert (forest.predict(X[1:]) == y[1:]).mean() > 0.9


def test_a_class_with_one_row_makes_small_bags(rng):
    X, y = data(rng)
    y[0] = 2
    message = r"one has a single row: bags are of 3 rows. Set max_samples"
    with pytest.warns(UserWarning, match=message) as told:
        forest = BaggingForest(n_estimators=3, sampling="balanced", random_state=0).fit(X, y)
    assert len(told) == 1
    assert [len(rows) for rows in forest.estimators_samples_] == [3] * 3


LABELS = {
    "strings": np.array(["left", "right"]),
    "objects": np.array(["left", "right"], dtype=object),
    "bools": np.array([False, True]),
    "negative": np.array([-5, -1]),
    "far apart": np.array([-(2**40), 2**60]),
    "whole floats": np.array([1.0, 3.0]),
}


@pytest.mark.parametrize("name", LABELS)
def test_labels_come_back_as_they_were(rng, name):
    X, y = data(rng)
    labels = LABELS[name]
    forest = BaggingForest(n_estimators=3, max_samples=20, random_state=0).fit(X, labels[y])
    assert forest.classes_.dtype == labels.dtype
    np.testing.assert_array_equal(forest.classes_, labels)
    assert set(forest.predict(X)) <= set(labels)
    assert forest.predict(X).dtype == labels.dtype
    plain = BaggingForest(n_estimators=3, max_samples=20, random_state=0).fit(X, y)
    np.testing.assert_array_equal(forest.predict(X), labels[plain.predict(X)])


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_labels_of_tables(rng, library):
    frames = pytest.importorskip(library)
    X, y = data(rng)
    names = np.array(["left", "right"])[y]
    kind = "category" if library == "pandas" else frames.Categorical
    plain = BaggingForest(n_estimators=3, random_state=0).fit(X, y).predict(X)
    for labels in (frames.Series(names.tolist()), frames.Series(names.tolist(), dtype=kind)):
        forest = BaggingForest(n_estimators=3, random_state=0).fit(X, labels)
        assert list(forest.classes_) == ["left", "right"]
        np.testing.assert_array_equal(forest.predict(X), np.array(["left", "right"])[plain])


def test_a_category_of_labels_that_no_row_has_is_no_class(rng):
    pandas = pytest.importorskip("pandas")
    X, y = data(rng)
    labels = pandas.Categorical.from_codes(y, categories=["a", "b", "never"])
    assert list(BaggingForest(n_estimators=2).fit(X, pandas.Series(labels)).classes_) == ["a", "b"]


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.linspace(0, 1, 60), "Unknown label type|continuous"),
        (np.full(60, np.nan), "NaN|Unknown label"),
        (None, "requires y to be passed"),
        (np.zeros(59), "inconsistent numbers of samples"),
        (np.zeros((60, 2, 2)), "one or two dimensions|Unknown label"),
        (3, "one or two dimensions|0d|scalar|shape"),
    ],
)
def test_bad_labels(rng, y, message):
    X, _ = data(rng)
    forest = BaggingForest(n_estimators=2)
    with pytest.raises(ValueError, match=message):
        forest.fit(X, y)
    assert not hasattr(forest, "classes_")


def test_sparse_targets_are_refused(rng):
    X, y = data(rng)
    for kind in (BaggingForest, BaggingForestRegressor):
        with pytest.raises(ValueError, match="sparse multilabel-indicator for y is not supported"):
            kind(n_estimators=2).fit(X, sp.csr_array(np.column_stack([y, 1 - y])))


@KINDS
def test_a_column_of_targets_warns(rng, kind):
    X, y = data(rng)
    with pytest.warns(UserWarning, match="column-vector y was passed"):
        forest = kind(n_estimators=2, random_state=0).fit(X, y[:, None])
    np.testing.assert_array_equal(forest.predict(X), kind(n_estimators=2, random_state=0).fit(X, y).predict(X))


# ------------------------------------------------------------------------------------------------- weights


@KINDS
@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (-np.ones(60), "[Nn]egative"),
        (np.zeros(60), "zero"),
        (np.full(60, np.nan), "NaN"),
        (np.full(60, np.inf), "infinity"),
        (np.ones(59), "shape|samples"),
    ],
)
def test_bad_weights(rng, kind, weights, message):
    X, y = data(rng)
    with pytest.raises(ValueError, match=message):
        kind(n_estimators=2).fit(X, y, sample_weight=weights)


@KINDS
def test_rows_of_no_weight_are_not_there(rng, kind):
    X, y = data(rng)
    weights = (np.arange(60) < 40) * 1.0
    y[40:] = 5  # a class, or a value, that nobody weighs
    forest = kind(n_estimators=3, random_state=0).fit(X, y, sample_weight=weights)
    fewer = kind(n_estimators=3, random_state=0).fit(X[:40], y[:40])
    np.testing.assert_array_equal(forest.predict(X), fewer.predict(X))
    if kind is BaggingForest:
        assert list(forest.classes_) == [0, 1, 5]
        np.testing.assert_array_equal(forest.predict_proba(X)[:, 2], 0)


@pytest.mark.parametrize("sampling", ["uniform", "stratified", "balanced"])
def test_weights_on_one_class(rng, sampling):
    X, y = data(rng)
    y[0] = 1
    forest = BaggingForest(n_estimators=3, sampling=sampling, class_weight="balanced", random_state=0)
    forest.fit(X, y, sample_weight=(y == 1) * 2.0)
    np.testing.assert_array_equal(forest.predict_proba(X), np.column_stack([np.zeros(60), np.ones(60)]))


@KINDS
@pytest.mark.parametrize("scale", [1e-250, 1e-9, 1e9, 1e250])
def test_the_scale_of_weights_matters_little(rng, kind, scale):
    X, y = data(rng)
    weights = rng.uniform(0.5, 2, size=60)
    for params in ({}, {"bootstrap": False}):
        forest = kind(n_estimators=3, max_features=None, random_state=0, **params)
        scaled = forest.fit(X, y, sample_weight=weights * scale).predict(X)
        assert np.mean(np.abs(scaled - forest.fit(X, y, sample_weight=weights).predict(X)) < 1e-6) > 0.7


@KINDS
def test_one_row_of_nearly_all_weight(rng, kind):
    X, y = data(rng)
    weights = np.full(60, 1e-12)
    weights[0] = 1
    said = kind(n_estimators=3, random_state=0).fit(X, y, sample_weight=weights).predict(X)
    np.testing.assert_array_equal(said, np.full(60, y[0]))


@KINDS
def test_large_whole_weights(rng, kind):
    X, y = data(rng)
    forest = kind(n_estimators=2, random_state=0).fit(X, y, sample_weight=np.full(60, 10**6))
    assert forest.score(X, y) == 1  # no row is ever out
    huge = kind(n_estimators=20, random_state=0).fit(X, y, sample_weight=np.full(60, 2.0**60))
    assert huge.score(X, y) > 0.5


# ------------------------------------------------------------------------------------------------ features


@KINDS
def test_constant_features(rng, kind):
    y = rng.integers(2, size=60)
    X = np.full((60, 3), 7.0)
    forest = kind(n_estimators=4, random_state=0).fit(X, y)
    assert {tree.get_n_leaves() for tree in forest} == {1}
    assert all(tree.get_depth() == 0 for tree in forest)
    means = np.mean([y[rows].mean() for rows in forest.estimators_samples_])
    said = forest.predict_proba(X)[:, 1] if kind is BaggingForest else forest.predict(X)
    np.testing.assert_allclose(said, means, atol=1e-12)
    np.testing.assert_array_equal(forest.apply(X), np.zeros((60, 4)))
    np.testing.assert_array_equal(forest.feature_importances_, np.zeros(3))
    assert forest[0].export_text().startswith("|--- ")
    np.testing.assert_array_equal(forest.proximity(X[:2]), np.ones((2, 2)))


@KINDS
def test_constant_features_hide_no_other(rng, kind):
    X, y = data(rng)
    X = np.column_stack([np.zeros((60, 40)), X[:, 0], np.ones((60, 40))])
    forest = kind(n_estimators=3, max_features=1, random_state=0).fit(X, y)
    assert forest.feature_importances_[40] == 1
    assert forest.score(X, y) > 0.8


@KINDS
def test_infinity_is_refused(rng, kind):
    X, y = data(rng)
    forest = kind(n_estimators=2, random_state=0).fit(X, y)
    for value in (np.inf, -np.inf):
        X[3, 1] = value
        for rows in (X, sp.csr_array(X)):
            with pytest.raises(ValueError, match="infinity"):
                forest.predict(rows)
            with pytest.raises(ValueError, match="infinity"):
                kind(n_estimators=2).fit(rows, y)


@KINDS
def test_one_row(kind):
    forest = kind(n_estimators=3, random_state=0).fit([[1.0, 2.0]], [4])
    np.testing.assert_array_equal(forest.predict([[0.0, np.nan]]), [4])
    assert [list(rows) for rows in forest.estimators_samples_] == [[0]] * 3
    with pytest.warns(UserWarning, match="OOB"):
        assert np.isnan(kind(n_estimators=3, oob_score=True).fit([[1.0, 2.0]], [4]).oob_score_)


@KINDS
@pytest.mark.parametrize("asked", [0, -1, 0.0, 1.5, "all", True])
def test_bad_max_features(rng, kind, asked):
    X, y = data(rng)
    with pytest.raises(ValueError, match="'max_features' parameter"):
        kind(n_estimators=2, max_features=asked).fit(X, y)


@KINDS
def test_more_features_than_there_are(rng, kind):
    X, y = data(rng)
    for sampling in ("split", "tree"):
        with pytest.raises(ValueError, match="max_features=4 is more than the 3 features of X"):
            kind(n_estimators=2, max_features=4, feature_sampling=sampling).fit(X, y)


@KINDS
@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.empty((0, 3)), "0 sample"),
        (np.empty((3, 0)), "0 feature"),
        (np.ones(3), "1D array"),
        (np.ones((3, 2, 2)), "dim 3"),
        ([["a"], ["b"], ["c"]], "string|convert"),
        (np.array([[1 + 1j], [2], [3]]), "Complex"),
    ],
)
def test_bad_rows(kind, X, message):
    with pytest.raises(ValueError, match=message):
        kind(n_estimators=2).fit(X, [0, 1, 0][: len(X)])


@KINDS
@pytest.mark.parametrize("scale", [1e-300, 1e300, np.finfo(float).max])
def test_extreme_values(rng, kind, scale):
    X, y = data(rng)
    X = X / np.abs(X).max()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plain = kind(n_estimators=3, max_features=None, bootstrap=False, random_state=0).fit(X, y)
        scaled = kind(n_estimators=3, max_features=None, bootstrap=False, random_state=0).fit(X * scale, y)
        np.testing.assert_array_equal(scaled.predict(X * scale), plain.predict(X))


@KINDS
def test_neighbouring_floats_are_told_apart(kind):
    X = np.array([[1.0], [np.nextafter(1.0, 2)]])
    forest = kind(n_estimators=1, bootstrap=False).fit(X, [0, 1])
    np.testing.assert_array_equal(forest.predict(X), [0, 1])
    singles = np.array([[1.0], [np.nextafter(np.float32(1), np.float32(2))]], dtype=np.float32)
    forest = kind(n_estimators=1, bootstrap=False).fit(singles, [0, 1])
    np.testing.assert_array_equal(forest.predict(singles), [0, 1])


# ---------------------------------------------------------------------------------------------- parameters


def test_max_samples_needs_bags(rng):
    X, y = data(rng)
    with pytest.raises(ValueError, match="`max_samples` cannot be set if `bootstrap=False`"):
        BaggingForest(bootstrap=False, max_samples=0.5).fit(X, y)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"class_weight": {9: 1}}, "names the classes .9., which y does not have"),
        ({"class_weight": {0: -1}}, "at least 0"),
        ({"class_weight": {0: np.nan}}, "at least 0"),
        ({"class_weight": {0: 0, 1: 0}}, "not all 0"),
        ({"class_weight": [{0: 1}]}, "a list is for several outputs"),
        ({"class_weight": "unbalanced"}, "'class_weight' parameter"),
        ({"sampling": "fair"}, "'sampling' parameter"),
        ({"n_estimators": 0}, "'n_estimators' parameter"),
        ({"n_estimators": "many"}, "'n_estimators' parameter"),
        ({"max_samples": 0}, "'max_samples' parameter"),
        ({"max_samples": 0.0}, "'max_samples' parameter"),
        ({"max_bins": 256}, "'max_bins' parameter"),
        ({"min_samples_leaf": 0}, "'min_samples_leaf' parameter"),
        ({"min_samples_split": 1}, "'min_samples_split' parameter"),
        ({"max_leaf_nodes": 1}, "'max_leaf_nodes' parameter"),
        ({"voting": "loud"}, "'voting' parameter"),
    ],
)
def test_bad_parameters(rng, params, message):
    X, y = data(rng)
    with pytest.raises(ValueError, match=message):
        BaggingForest(**params).fit(X, y)


@pytest.mark.parametrize("sampling", ["stratified", "balanced"])
def test_strata_need_bags(rng, sampling):
    with pytest.raises(
        ValueError, match=f"sampling='{sampling}' is about bags; it has no meaning with bootstrap=False"
    ):
        BaggingForest(n_estimators=2, sampling=sampling, bootstrap=False).fit(rng.normal(size=(6, 2)), [0, 1] * 3)


def test_groups_and_strata_exclude_each_other(rng):
    X, y = data(rng)
    with pytest.raises(ValueError, match="draws rows, groups draw groups"):
        BaggingForest(n_estimators=2, sampling="balanced").fit(X, y, groups=y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        BaggingForest(n_estimators=2).fit(X, y, groups=y[:-1])


def test_class_weight_of_several_outputs_is_refused(rng):
    X, y = data(rng)
    with pytest.raises(ValueError, match="class_weight needs a single output"):
        BaggingForest(n_estimators=2, class_weight="balanced").fit(X, np.column_stack([y, y]))


@KINDS
def test_a_failed_fit_leaves_the_forest_as_it_was(rng, kind):
    X, y = data(rng)
    forest = kind(n_estimators=2, random_state=0).fit(X, y)
    before = forest.predict(X)
    for call in (lambda: forest.fit(X[:, :2], y[:-1]), lambda: forest.fit(X, y, sample_weight=-np.ones(60))):
        with pytest.raises(ValueError, match="samples|[Nn]egative"):
            call()
        np.testing.assert_array_equal(forest.predict(X), before)
        assert forest.n_features_in_ == 3


@pytest.mark.parametrize("kind", [BaggingForest, AdaBoost])
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["a", None], r"no label in 30 rows .* row 1|NaN"),
        (["a", np.nan], r"no label in 30 rows .* row 1|NaN"),
        (["a", 1], "labels of several types, int, str; use one"),
    ],
)
def test_labels_that_have_no_order_are_refused_in_words(rng, kind, labels, message):
    X, _ = data(rng)
    for y in (np.array(labels * 30, dtype=object), *([labels * 30] if labels[1] != 1 else [])):  # NumPy makes "1" of 1
        with pytest.raises(ValueError, match=message):
            kind(n_estimators=2).fit(X, y)


@KINDS
@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (np.zeros((60, 2)), "they have 2 dimensions"),
        (np.array(["a", 1] * 30, dtype=object), "groups holds labels of several types"),
        (np.array(["a", None] * 30, dtype=object), "groups has no label in 30 rows"),
        (np.array([1.0, np.nan] * 30), r"groups has no label in 30 rows \(NaN\), the first is row 1; drop those rows"),
        (np.array(["2026-01-01", "NaT"] * 30, dtype="M8[D]"), "groups has no label in 30 rows"),
    ],
)
def test_bad_groups(rng, kind, groups, message):
    X, y = data(rng)
    with pytest.raises(ValueError, match=message):
        kind(n_estimators=2).fit(X, y, groups=groups)


def test_outputs_of_several_types_side_by_side():
    X = np.arange(8.0)[:, None]
    y = np.array([["a", 1], ["b", 2]] * 4, dtype=object)
    forest = BaggingForest(n_estimators=3, random_state=0).fit(X, y)
    assert [classes.tolist() for classes in forest.classes_] == [["a", "b"], [1, 2]]
    assert {tuple(row) for row in forest.predict(X).tolist()} <= {("a", 1), ("b", 2), ("a", 2), ("b", 1)}


def test_bags_of_too_many_draws_are_refused(rng):
    X, y = data(rng)
    with pytest.raises(ValueError, match=r"max_samples=1000000000.0 makes bags of 60000000000 draws; 2\*\*31 - 1"):
        BaggingForest(n_estimators=2, max_samples=1e9).fit(X, y)
