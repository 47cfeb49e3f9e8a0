"""Pictures: what is drawn is what the forest says; axes are the caller's or new; matplotlib is needed to draw alone."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from _contract.children import run
from sklearn.datasets import load_breast_cancer, load_digits, load_wine, make_classification, make_regression
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.metrics import balanced_accuracy_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skml.ensemble import (
    AdaBoost,
    BaggingForest,
    BaggingForestRegressor,
    ImportanceDisplay,
    IntervalDisplay,
    MarginDisplay,
    OOBCurveDisplay,
    TreeDisplay,
)


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def forest():
    X, y = make_classification(120, n_features=6, random_state=0)
    X = pd.DataFrame(X, columns=list("abcdef"))
    return BaggingForest(n_estimators=30, oob_score=True, random_state=0).fit(X, y)


@pytest.fixture(scope="module")
def numbers():
    X, y = make_regression(200, n_features=5, noise=20.0, random_state=0)
    forest = BaggingForestRegressor(n_estimators=30, oob_score=True, random_state=0).fit(X[:120], y[:120])
    return forest, X[120:], y[120:]


# ------------------------------------------------------------------------------------------ the curve


def test_the_curve_is_that_of_the_forest(forest):
    display = OOBCurveDisplay.from_estimator(forest)
    np.testing.assert_array_equal(display.line_.get_xdata(), np.arange(1, 31))
    np.testing.assert_array_equal(display.line_.get_ydata(), forest.oob_curve_)
    assert display.ax_.get_legend() is None
    assert display.figure_ is display.ax_.figure


@pytest.mark.parametrize(
    ("oob_score", "name"),
    [(True, "accuracy"), ("roc_auc", "roc_auc"), (balanced_accuracy_score, "balanced_accuracy_score")],
)
def test_the_curve_is_named_after_its_score(oob_score, name):
    X, y = make_classification(80, random_state=0)
    forest = BaggingForest(n_estimators=40, oob_score=oob_score, random_state=0).fit(X, y)
    assert OOBCurveDisplay.from_estimator(forest).ax_.get_ylabel() == f"out-of-bag {name}"


def test_the_curve_of_numbers_is_named_after_r2(numbers):
    assert OOBCurveDisplay.from_estimator(numbers[0]).ax_.get_ylabel() == "out-of-bag R²"


def test_two_curves_share_axes_and_a_legend(forest, numbers):
    first = OOBCurveDisplay.from_estimator(forest, name="classes")
    second = OOBCurveDisplay.from_estimator(numbers[0], name="numbers", ax=first.ax_, color="k")
    assert second.ax_ is first.ax_
    assert second.line_.get_color() == "k"
    assert [text.get_text() for text in first.ax_.get_legend().get_texts()] == ["classes", "numbers"]


def test_a_curve_that_began_late_is_drawn_where_it_belongs():
    X, y = make_classification(80, random_state=0)
    forest = BaggingForest(n_estimators=10, warm_start=True, random_state=0).fit(X, y)
    forest.set_params(n_estimators=40, oob_score=True).fit(X, y)
    assert OOBCurveDisplay.from_estimator(forest).line_.get_xdata()[-1] == 40


def test_a_plain_curve_counts_from_one():
    display = OOBCurveDisplay(np.array([0.5, 0.7])).plot()
    np.testing.assert_array_equal(display.line_.get_xdata(), [1, 2])


def test_a_forest_without_a_curve_says_so():
    X, y = make_classification(50, random_state=0)
    with pytest.raises(ValueError, match="fit with oob_score=True"):
        OOBCurveDisplay.from_estimator(BaggingForest(n_estimators=3).fit(X, y))
    with pytest.raises(NotFittedError):
        OOBCurveDisplay.from_estimator(BaggingForest())


# ----------------------------------------------------------------------------------------- importances


def widths(display):
    """Return what the bars show, from the top."""
    return [bar.get_width() for bar in display.bars_][::-1]


def labels(display):
    return [text.get_text() for text in display.ax_.get_yticklabels()][::-1]


def test_bars_are_sorted_and_named(forest):
    display = ImportanceDisplay.from_estimator(forest)
    order = np.argsort(-forest.feature_importances_, kind="stable")
    np.testing.assert_array_equal(widths(display), forest.feature_importances_[order])
    assert labels(display) == list(forest.feature_names_in_[order])
    assert display.bars_.errorbar is None


def test_importances_out_of_bag(forest):
    display = ImportanceDisplay.from_estimator(forest, method="oob_impurity", color="k")
    np.testing.assert_array_equal(widths(display), np.sort(forest.oob_impurity_importance())[::-1])
    display = ImportanceDisplay.from_estimator(forest, method="oob_permutation", n_repeats=2)
    found = forest.oob_permutation_importance(n_repeats=2)
    np.testing.assert_array_equal(widths(display), np.sort(found.importances_mean)[::-1])
    assert display.bars_.errorbar is not None
    assert "accuracy" in display.ax_.get_xlabel()


def test_importances_of_numbers(numbers):
    display = ImportanceDisplay.from_estimator(numbers[0], method="oob_permutation")
    assert "squared error" in display.ax_.get_xlabel()
    assert labels(display)[0].startswith("feature_")


def test_fewer_bars_and_other_names(forest):
    display = ImportanceDisplay.from_estimator(forest, max_features=2, feature_names=list("uvwxyz"))
    assert len(display.bars_) == 2
    best = np.argsort(-forest.feature_importances_, kind="stable")[:2]
    assert labels(display) == ["uvwxyz"[i] for i in best]
    assert len(ImportanceDisplay.from_estimator(forest, max_features=None).bars_) == 6


def test_bars_of_any_estimator_with_importances():
    X, y = make_classification(50, n_features=4, n_redundant=0, random_state=0)
    display = ImportanceDisplay.from_estimator(RandomForestClassifier(n_estimators=5).fit(X, y))
    assert len(display.bars_) == 4


def test_bad_requests_for_importances(forest):
    with pytest.raises(ValueError, match="method must be one of .* got 'gain'"):
        ImportanceDisplay.from_estimator(forest, method="gain")
    with pytest.raises(ValueError, match="2 names for 6 features"):
        ImportanceDisplay.from_estimator(forest, feature_names=["a", "b"])
    with pytest.raises(NotFittedError):
        ImportanceDisplay.from_estimator(BaggingForest())


def test_what_has_no_importances_says_so(forest):
    X, y = make_classification(50, n_features=4, n_redundant=0, random_state=0)
    pipe = make_pipeline(StandardScaler(), BaggingForest(n_estimators=2)).fit(X, y)
    with pytest.raises(TypeError, match="which Pipeline doesn't have.* give the fitted model inside"):
        ImportanceDisplay.from_estimator(pipe)
    boost = AdaBoost(n_estimators=3).fit(X, y)
    assert len(ImportanceDisplay.from_estimator(boost).bars_) == 4
    for method in ("oob_permutation", "oob_impurity"):
        with pytest.raises(TypeError, match=f"needs {method}_importance, which AdaBoost doesn't have"):
            ImportanceDisplay.from_estimator(boost, method=method)
    for bad in ("x", 0, 1.5):
        with pytest.raises(TypeError, match="max_features must be an integer of at least 1"):
            ImportanceDisplay.from_estimator(forest, max_features=bad)


def test_labels_are_inside_the_figure():
    names = [f"${'a rather long name ' * 2}{i}$" for i in range(60)]
    display = ImportanceDisplay(np.arange(60.0), feature_names=names).plot(max_features=None)
    display.figure_.canvas.draw()
    boxes = [text.get_window_extent() for text in display.ax_.get_yticklabels()]
    assert min(box.x0 for box in boxes) >= 0
    assert all(low.y1 <= high.y0 for low, high in zip(boxes, boxes[1:]))
    assert not any(text.get_parse_math() for text in display.ax_.get_yticklabels())


# ------------------------------------------------------------------------------------------- intervals


@pytest.mark.parametrize("method", ["quantile", "jackknife+"])
def test_intervals_are_those_of_the_forest(numbers, method):
    forest, X, y = numbers
    display = IntervalDisplay.from_estimator(forest, X, y, coverage=0.8, method=method)
    intervals = forest.predict_interval(X, coverage=0.8, method=method)
    inside = (intervals[:, 0] <= y) & (y <= intervals[:, 1])
    assert display.coverage_ == pytest.approx(inside.mean())
    np.testing.assert_array_equal(display.line_.get_ydata(), np.sort(forest.predict(X)))
    drawn = np.concatenate([display.inside_.get_offsets()[:, 1], display.outside_.get_offsets()[:, 1]])
    np.testing.assert_array_equal(np.sort(drawn), np.sort(y))
    assert len(display.inside_.get_offsets()) == inside.sum()
    assert display.ax_.get_title().startswith(f"{method}, 80% wanted")
    extent = display.band_.get_paths()[0].get_extents()
    assert extent.y0 == pytest.approx(intervals[:, 0].min())
    assert extent.y1 == pytest.approx(intervals[:, 1].max())


def test_infinite_intervals_reach_beyond_everything():
    ends = np.array([[-np.inf, np.inf], [0.0, 2.0]])
    display = IntervalDisplay.from_predictions([5.0, 1.0], [1.0, 1.0], ends)
    extent = display.band_.get_paths()[0].get_extents()
    assert np.isfinite([extent.y0, extent.y1]).all()
    assert extent.y0 < 0
    assert extent.y1 > 5
    assert display.coverage_ == 1.0


def test_intervals_take_axes_lists_and_styles():
    _, ax = plt.subplots()
    display = IntervalDisplay.from_predictions(
        pd.Series([1.0, 2.0]), [1, 2], [[0, 3], [0, 1]], ax=ax, line_kwargs={"color": "k"}, band_kwargs={"alpha": 0.5}
    )
    assert display.ax_ is ax
    assert display.line_.get_color() == "k"
    assert display.band_.get_alpha() == 0.5
    assert display.coverage_ == 0.5
    assert display.ax_.get_title() == "50.0% inside"


def test_shapes_must_belong_together():
    with pytest.raises(ValueError, match=r"got \(2,\), \(2,\) and \(2,\)"):
        IntervalDisplay.from_predictions([1.0, 2.0], [1.0, 2.0], [1.0, 2.0])


@pytest.mark.parametrize("which", [0, 1, 2])
def test_what_is_not_known_is_neither_inside_nor_outside(which):
    parts = [np.array([1.0, 2.0]), np.array([1.0, 2.0]), np.array([[0.0, 3.0], [0.0, 3.0]])]
    parts[which][0] = np.nan
    with pytest.raises(ValueError, match="must be finite and intervals free of NaN.* Leave such rows out"):
        IntervalDisplay.from_predictions(*parts)


def test_no_rows_and_no_intervals_say_so(forest):
    with pytest.raises(ValueError, match="at least one row, got none"):
        IntervalDisplay.from_predictions([], [], np.zeros((0, 2)))
    with pytest.raises(TypeError, match="needs a BaggingForestRegressor.* BaggingForest doesn't.*from_predictions"):
        IntervalDisplay.from_estimator(forest, np.zeros((2, 6)), np.zeros(2))


def test_numbers_that_are_none_are_refused_in_words(numbers):
    forest, X, _ = numbers
    for bad in ("x", [0.5], None, 1 + 1j):
        with pytest.raises(ValueError, match="coverage must be between 0 and 1"):
            forest.predict_interval(X, coverage=bad)
    for bad in (True, "x", [True], ["a"]):
        with pytest.raises(ValueError, match="quantiles must be numbers between 0 and 1"):
            forest.predict(X, quantiles=bad)
    np.testing.assert_array_equal(forest.predict(X, quantiles=1), forest.predict(X, quantiles=1.0))


# --------------------------------------------------------------------------------------------- margins


def test_rounds_and_estimators_without_margins(forest):
    X, y = make_classification(60, random_state=0)
    boost = AdaBoost(n_estimators=5).fit(X, y)
    assert len(MarginDisplay.from_estimator(boost, X, y, rounds=np.array([1, 2])).margins) == 2
    for bad in ([1.5], 2, "x", ["a"], [True]):
        with pytest.raises(TypeError, match=r"rounds must be a list of integers, such as \[5, 50\], got"):
            MarginDisplay.from_estimator(boost, X, y, rounds=bad)
    with pytest.raises(ValueError, match="rounds must be numbers from 1 to"):
        MarginDisplay.from_estimator(boost, X, y, rounds=[500])
    with pytest.raises(TypeError, match="needs an AdaBoost.* BaggingForest has none"):
        MarginDisplay.from_estimator(forest, X, y)
    with pytest.raises(NotFittedError):
        MarginDisplay.from_estimator(AdaBoost(), X, y)
    for theta, delta in (("x", 0.1), (0.1, [0.1])):
        with pytest.raises(ValueError, match="theta must be in"):
            boost.generalization_bound(X, y, theta, delta)


# ------------------------------------------------------------------------------------------ matplotlib

WITHOUT_MATPLOTLIB = """
import sys
sys.modules["matplotlib"] = sys.modules["matplotlib.pyplot"] = None
import numpy as np
from skml.ensemble import ImportanceDisplay, IntervalDisplay, MarginDisplay, OOBCurveDisplay
ends = np.zeros((2, 2))
of_rows = [IntervalDisplay(ends[0], ends[1], ends), MarginDisplay([ends[0]], ["all"])]
for display in (OOBCurveDisplay(ends[0]), ImportanceDisplay(ends[0]), *of_rows):
    try:
        display.plot()
    except ImportError as error:
        print(error)
"""


def test_only_drawing_needs_matplotlib():
    said = run(["-c", WITHOUT_MATPLOTLIB]).strip().splitlines()
    assert len(said) == 4
    assert all(line.endswith("needs matplotlib; install it with: pip install 'skml[plot]'") for line in said)


# ------------------------------------------------------------------------------------------ one tree


def test_a_tree_is_drawn_whole(forest):
    display = TreeDisplay.from_estimator(forest, number=2, max_depth=None)
    tree = forest.estimators_[2].tree_
    assert len(display.texts_) == tree.node_count
    words = [text.get_text() for text in display.texts_]
    assert words[0].startswith(f"{'abcdef'[tree.feature[0]]} <= {tree.threshold[0]:.2f}")
    assert f"rows: {tree.weighted_n_node_samples[0]:g}" in words[0]
    leaves = [word for word in words if word.startswith("class:")]
    assert len(leaves) == forest.estimators_[2].get_n_leaves()
    places = np.array([text.get_position() for text in display.texts_])
    assert len(np.unique(places, axis=0)) == tree.node_count
    assert places[:, 1].min() == -forest.estimators_[2].get_depth()
    display.figure_.canvas.draw()


def test_rows_that_say_yes_go_left(numbers):
    forest = numbers[0]
    display = TreeDisplay.from_estimator(forest[3], max_depth=1, decimals=1)
    root, left, right = display.texts_
    tree = forest[3].tree_
    assert left.get_position()[0] < root.get_position()[0] < right.get_position()[0]
    assert left.xy == right.xy == root.get_position()
    for text, node in ((left, tree.children_left[0]), (right, tree.children_right[0])):
        assert f"value: [{tree.value[node, 0]:.1f}]" in text.get_text()
        assert text.get_text().startswith("(...)")


def test_a_tree_in_the_callers_axes_with_names():
    X = pd.DataFrame({"kind": pd.Categorical(["u", "v", "w"] * 30), "size": np.arange(90.0)})
    y = np.where(X["kind"] == "v", ["yes"], ["no"])
    forest = BaggingForest(n_estimators=1, bootstrap=False, max_features=None).fit(X, y)
    ax = plt.subplots()[1]
    display = TreeDisplay(forest[0], feature_names=["sort", "size"]).plot(ax, color="C3")
    assert display.ax_ is ax
    assert display.texts_[0].get_text().startswith("sort in {")
    assert display.texts_[0].get_color() == "C3"
    alone = TreeDisplay.from_estimator(BaggingForest(n_estimators=1).fit(X, ["only"] * 90))
    assert len(alone.texts_) == 1


def test_what_is_no_tree_of_ours_is_not_drawn():
    X, y = make_classification(60, random_state=0)
    with pytest.raises(NotFittedError):
        TreeDisplay.from_estimator(BaggingForest())
    with pytest.raises(ValueError, match="draws trees of our own; this is a GaussianNB"):
        TreeDisplay.from_estimator(BaggingForest(GaussianNB(), n_estimators=2).fit(X, y))
    boost = AdaBoost(n_estimators=3).fit(X, y)
    for other in (boost, boost.estimators_[0]):
        with pytest.raises(ValueError, match="this is a BoostedTree. Give it a BaggingForest"):
            TreeDisplay.from_estimator(other)


def overlaps(display):
    """Return how many pairs of boxes cover each other, and whether one leaves the figure."""
    display.figure_.canvas.draw()
    boxes = [text.get_bbox_patch().get_window_extent() for text in display.texts_]
    pairs = sum(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i])
    whole = display.figure_.bbox
    return pairs, any(box.x0 < 0 or box.y0 < 0 or box.x1 > whole.x1 or box.y1 > whole.y1 for box in boxes)


@pytest.mark.parametrize("load", [load_breast_cancer, load_wine, load_digits])
def test_boxes_stand_apart(load):
    forest = BaggingForest(n_estimators=2, random_state=0).fit(*load(return_X_y=True, as_frame=True))
    assert overlaps(TreeDisplay.from_estimator(forest)) == (0, False)
    assert overlaps(TreeDisplay.from_estimator(forest, ax=plt.subplots()[1])) == (0, False)
    assert overlaps(TreeDisplay.from_estimator(forest, max_depth=0)) == (0, False)


def test_boxes_of_long_lists_stand_apart(rng):
    names = np.array([f"a long name of category {i}" for i in range(80)])
    X = pd.DataFrame({"a feature of a long name, and more": pd.Categorical(names[rng.integers(0, 80, 500)])})
    X["size"] = rng.normal(size=500)
    Y = rng.normal(size=(500, 12)) + X.iloc[:, 0].cat.codes.to_numpy()[:, None] % 5
    display = TreeDisplay.from_estimator(BaggingForestRegressor(n_estimators=1, random_state=0).fit(X, Y))
    assert overlaps(display) == (0, False)
    words = display.texts_[0].get_text().replace("\n", " ")
    assert "more}" in words
    assert "... 8 more]" in words
    many = BaggingForest(n_estimators=1, random_state=0).fit(X, np.column_stack([Y[:, 0] > 2] * 6))
    assert "... 2 more]" in TreeDisplay.from_estimator(many).texts_[0].get_text().replace("\n", " ")


def test_letters_are_of_the_size_that_is_asked(forest):
    assert TreeDisplay.from_estimator(forest, fontsize=3).texts_[0].get_size() == 3
    assert TreeDisplay.from_estimator(forest, size=12).texts_[0].get_size() == 12


@pytest.mark.parametrize("kind", ["dense", "sparse", "categories"])
def test_missing_is_said_of_features_that_had_some(rng, kind):
    X = rng.normal(size=(200, 3))
    y = (X[:, 0] + X[:, 1] > 0) * 1
    X[:40, 1] = np.nan
    if kind == "sparse":
        X[40:60] = 0
        X = sp.csr_array(X)
    elif kind == "categories":
        X = pd.DataFrame(X, columns=["feature_0", "feature_1", "feature_2"])
        X["feature_1"] = pd.Categorical(np.where(X["feature_1"].isna(), None, np.where(X["feature_1"] > 0, "u", "v")))
    forest = BaggingForest(n_estimators=5, random_state=0).fit(X, y)
    lines = [line for tree in forest for line in tree.export_text(max_depth=None).splitlines() if "class:" not in line]
    asked = [line for line in lines if "feature_1" in line]
    assert sum("or missing" in line for line in asked) * 2 == len(asked) > 0
    assert not any("or missing" in line for line in lines if "feature_1" not in line)


def test_what_a_tree_cannot_write_is_refused_in_words(forest):
    tree = forest[0]
    for call in (tree.export_text, lambda **how: TreeDisplay.from_estimator(forest, **how)):
        with pytest.raises(ValueError, match="a name for each of the 6 features, got 1"):
            call(feature_names=["a"])
        with pytest.raises(TypeError, match="feature_names must be a list of 6 names, got 'abcdef'"):
            call(feature_names="abcdef")
        for name in ("decimals", "max_depth"):
            with pytest.raises(ValueError, match=f"{name} must be at least 0, got -1"):
                call(**{name: -1})
            with pytest.raises(TypeError, match=f"{name} must be an integer of at least 0, got 'x'"):
                call(**{name: "x"})
    for bad in (500, -31):
        with pytest.raises(ValueError, match=f"number must be from 0 to 29, got {bad}: there are 30 trees"):
            TreeDisplay.from_estimator(forest, number=bad)
    for bad in ("a", 1.0, None, True):
        with pytest.raises(TypeError, match="number must be an integer"):
            TreeDisplay.from_estimator(forest, number=bad)
    assert TreeDisplay.from_estimator(forest, number=-1).tree.number == 29
