"""Histories as pictures: what is drawn is what the fits recorded, of one or of several with a band."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from _contract.children import run
from sklearn.datasets import make_blobs
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skml.reinforcement
import skml.vision
from skml import PCA, AdaBoost, KMeansPP
from skml.displays import HistoryDisplay, moving_mean


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


HISTORY = {
    "loss": [3.0, 2.0, 1.0],
    "validation_loss": [3.5, 2.5, 2.0],
    "validation_score": [0.5, 0.6, 0.7],
    "learning_rate": [0.1, 0.1, 0.1],
}

# --------------------------------------------------------------------------------------------- histories


def test_a_history_has_a_panel_for_each_kind_of_figure():
    display = HistoryDisplay(HISTORY, step_name="epoch").plot()
    assert list(display.lines_) == ["loss", "validation_loss", "validation_score"]
    assert [axis.get_ylabel() for axis in display.axes_] == ["loss", "score"]
    assert [axis.get_xlabel() for axis in display.axes_] == ["epoch", "epoch"]
    np.testing.assert_array_equal(display.lines_["validation_loss"].get_ydata(), HISTORY["validation_loss"])
    np.testing.assert_array_equal(display.lines_["loss"].get_xdata(), [1, 2, 3])
    assert [text.get_text() for text in display.axes_[0].get_legend().get_texts()] == ["loss", "validation_loss"]
    assert display.axes_[1].get_legend() is None
    assert all(axis.figure is display.figure_ for axis in display.axes_)


def test_a_figure_that_began_late_ends_with_the_others():
    display = HistoryDisplay({"loss": [3.0, 2.0, 1.0], "validation_loss": [5.0]}).plot()
    np.testing.assert_array_equal(display.lines_["validation_loss"].get_xdata(), [3])


def test_figures_are_chosen_and_axes_given():
    _, ax = plt.subplots()
    first = HistoryDisplay(HISTORY, name="a").plot(ax, figures="loss", color="k")
    second = HistoryDisplay(HISTORY, name="b").plot(ax, figures=["loss"])
    assert first.axes_[0] is second.axes_[0] is ax
    assert first.lines_["loss"].get_color() == "k"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a: loss", "b: loss"]
    figure, axes = plt.subplots(2)
    display = HistoryDisplay(HISTORY).plot(axes)
    assert display.figure_ is figure
    assert list(display.axes_) == list(axes)
    assert len(HistoryDisplay(HISTORY).plot(ax).lines_) == 3
    assert list(HistoryDisplay({"learning_rate": [1.0]}).plot().lines_) == ["learning_rate"]


@pytest.mark.parametrize(
    "estimator",
    [KMeansPP(3, n_init=1), AdaBoost(n_estimators=4), PCA(2, svd_solver="em")],
    ids=lambda e: type(e).__name__,
)
def test_histories_of_any_estimator(estimator):
    X, y = make_blobs(100, n_features=4, random_state=0)
    display = HistoryDisplay.from_estimator(estimator.fit(X, y))
    assert {name: list(line.get_ydata()) for name, line in display.lines_.items()} == estimator.history_
    assert display.axes_[0].get_xlabel() == "step"


def test_what_has_no_history_says_so():
    X, y = make_blobs(60, n_features=4, random_state=0)
    with pytest.raises(NotFittedError):
        HistoryDisplay.from_estimator(KMeansPP())
    pipe = make_pipeline(StandardScaler(), KMeansPP(3)).fit(X)
    with pytest.raises(TypeError, match="needs history_, which Pipeline doesn't have.* give the fitted model inside"):
        HistoryDisplay.from_estimator(pipe)
    with pytest.raises(ValueError, match="recorded no steps"):
        HistoryDisplay.from_estimator(PCA(2).fit(X))
    boost = AdaBoost(n_estimators=3).fit(X, y)
    with pytest.raises(ValueError, match="'loss' was not recorded; there are error, weight, training_error"):
        HistoryDisplay.from_estimator(boost, figures=["loss"])
    with pytest.raises(ValueError, match="3 kinds of figures to draw, and 2 axes"):
        HistoryDisplay.from_estimator(boost, ax=plt.subplots(2)[1])


# ---------------------------------------------------------------------------------------- several fits


def seeded(seed, **settings):
    X = make_blobs(200, centers=9, random_state=0)[0]
    return KMeansPP(9, n_init=1, init="random", random_state=seed, **settings).fit(X)


def test_several_fits_are_a_mean_and_a_band():
    histories = [{"return": [1.0, 2.0, 6.0]}, {"return": [3.0, 4.0, 0.0]}]
    display = HistoryDisplay(histories).plot()
    np.testing.assert_allclose(display.lines_["return"].get_ydata(), [2, 3, 3])
    # The standard error of two numbers is half of their difference.
    low, high = ends_of(display.bands_["return"])
    np.testing.assert_allclose(low, [1, 2, 0], atol=1e-12)
    np.testing.assert_allclose(high, [3, 4, 6])
    assert display.axes_[0].get_legend() is None


def ends_of(band):
    """Return the lower and the upper end of a band at steps 1, 2, 3."""
    corners = band.get_paths()[0].vertices
    return [[pick(corners[corners[:, 0] == step, 1]) for step in (1, 2, 3)] for pick in (np.min, np.max)]


def test_a_band_may_hold_a_share_of_the_fits(rng):
    values = rng.normal(size=(11, 3))
    histories = [{"loss": row} for row in values]
    ordered = np.sort(values, axis=0)
    for share, margin in ((1, 0), (0.8, 1), (0.4, 3)):
        display = HistoryDisplay(histories).plot(band=share)
        np.testing.assert_allclose(display.lines_["loss"].get_ydata(), np.median(values, axis=0))
        low, high = ends_of(display.bands_["loss"])
        np.testing.assert_allclose(low, ordered[margin])
        np.testing.assert_allclose(high, ordered[10 - margin])
    bare = HistoryDisplay(histories).plot(band=None)
    assert bare.bands_ == {}
    np.testing.assert_allclose(bare.lines_["loss"].get_ydata(), values.mean(axis=0))


def test_a_band_has_the_color_of_its_curve():
    histories = [{"loss": [1.0, 2.0]}, {"loss": [2.0, 3.0]}]
    first = HistoryDisplay(histories, name="a").plot(color="C3")
    second = HistoryDisplay(histories, name="b").plot(first.axes_)
    colors = [tuple(display.bands_["loss"].get_facecolor()[0][:3]) for display in (first, second)]
    assert colors == [plt.matplotlib.colors.to_rgb(c) for c in ("C3", second.lines_["loss"].get_color())]
    assert second.axes_[0] is first.axes_[0]
    assert [text.get_text() for text in first.axes_[0].get_legend().get_texts()] == ["a: loss", "b: loss"]


def test_fits_are_compared_where_all_have_steps():
    histories = [{"a": [1.0] * 5, "b": [1.0, 2.0]}, {"a": [3.0] * 4, "b": [4.0, 5.0]}]
    display = HistoryDisplay(histories).plot()
    assert display.lines_["a"].get_xdata().tolist() == [1, 2, 3, 4]
    # Of the first fit b was recorded in steps 4 and 5, of the second in 3 and 4.
    assert display.lines_["b"].get_xdata().tolist() == [4]
    assert display.lines_["b"].get_ydata().tolist() == [3.0]
    with pytest.raises(ValueError, match="no step in common at which 'b' was recorded"):
        HistoryDisplay([{"a": [1.0] * 9, "b": [1.0]}, {"a": [1.0], "b": [1.0]}]).plot(figures="b")


def test_only_figures_of_all_fits_are_drawn():
    histories = [{"loss": [1.0], "score": [1.0], "learning_rate": [0.1]}, {"loss": [2.0], "learning_rate": [0.1]}]
    assert list(HistoryDisplay(histories).plot().lines_) == ["loss"]
    with pytest.raises(ValueError, match="'score' was not recorded; there are loss, learning_rate"):
        HistoryDisplay(histories).plot(figures=["score"])
    with pytest.raises(ValueError, match="no figure that every fit recorded"):
        HistoryDisplay([{"loss": [1.0]}, {"score": [1.0]}]).plot()


def test_a_fit_alone_has_no_band_and_is_smoothed_as_well(rng):
    values = rng.normal(size=20)
    display = HistoryDisplay([{"loss": values}]).plot(smooth=4)
    assert display.bands_ == {}
    expected = [values[max(0, i - 3) : i + 1].mean() for i in range(20)]
    np.testing.assert_allclose(display.lines_["loss"].get_ydata(), expected)
    np.testing.assert_array_equal(HistoryDisplay({"loss": values}).plot(smooth=4).lines_["loss"].get_ydata(), expected)


@pytest.mark.parametrize("n", [1, 2, 7, 100])
def test_a_moving_mean_passes_over_what_is_not_known(rng, n):
    values = np.where(rng.random(50) < 0.4, np.nan, rng.normal(size=50))
    windows = [values[max(0, i - n + 1) : i + 1] for i in range(50)]
    expected = [window[~np.isnan(window)].sum() / max(1, (~np.isnan(window)).sum()) for window in windows]
    unknown = [np.isnan(window).all() for window in windows]
    np.testing.assert_allclose(moving_mean(values, n), np.where(unknown, np.nan, expected), atol=1e-12)


def test_each_fit_is_smoothed_before_the_band(rng):
    values = rng.normal(size=(5, 3))
    smooth = np.array([moving_mean(row, 2) for row in values])
    low, high = ends_of(HistoryDisplay([{"loss": row} for row in values]).plot(smooth=2, band=1).bands_["loss"])
    np.testing.assert_allclose(low, smooth.min(axis=0))
    np.testing.assert_allclose(high, smooth.max(axis=0))


def test_fits_of_several_seeds():
    fits = [seeded(seed, max_iter=4, tol=0) for seed in range(4)]
    display = HistoryDisplay.from_estimators(fits, figures=["inertia"], name="k-means")
    shortest = min(len(fit.history_["inertia"]) for fit in fits)
    values = np.array([fit.history_["inertia"][:shortest] for fit in fits])
    np.testing.assert_allclose(display.lines_["inertia"].get_ydata(), values.mean(axis=0))
    assert display.axes_[0].get_xlabel() == "step"
    assert set(HistoryDisplay.from_estimators(fits).bands_) == {"inertia", "center_shift"}
    with pytest.raises(NotFittedError):
        HistoryDisplay.from_estimators([*fits, KMeansPP()])
    for wrong in (fits[0], 3):
        with pytest.raises(TypeError, match="must be a list of fitted estimators"):
            HistoryDisplay.from_estimators(wrong)
    with pytest.raises(ValueError, match="the list of fits is empty"):
        HistoryDisplay.from_estimators([])


def test_a_step_has_the_name_of_what_it_is():
    names = {
        "epoch": {"loss": [1.0], "learning_rate": [0.1]},
        "episode": {"return": [1.0], "length": [3], "td_error": [0.1]},
        "step": {"inertia": [1.0]},
    }
    for name, history in names.items():
        kmeans = seeded(0)
        kmeans.history_ = history
        assert HistoryDisplay.from_estimator(kmeans).axes_[0].get_xlabel() == name
        assert HistoryDisplay.from_estimators([kmeans, kmeans]).axes_[0].get_xlabel() == name
        assert HistoryDisplay.from_estimator(kmeans, step_name="turn").axes_[0].get_xlabel() == "turn"


def test_what_cannot_be_drawn_is_refused_in_words():
    display = HistoryDisplay({"loss": [1.0]})
    for smooth in (0, 1.5, True, "x"):
        with pytest.raises(TypeError, match="smooth must be a whole number from 1"):
            display.plot(smooth=smooth)
    for band in (0, 1.5, True, "wide"):
        with pytest.raises(ValueError, match="band must be 'standard_error', a share above 0 and up to 1, or None"):
            display.plot(band=band)


# ------------------------------------------------------------------------------------------ matplotlib


def test_packages_that_fit_in_steps_offer_it():
    assert skml.vision.HistoryDisplay is skml.reinforcement.HistoryDisplay is HistoryDisplay


WITHOUT_MATPLOTLIB = """
import sys
sys.modules["matplotlib"] = sys.modules["matplotlib.pyplot"] = None
from skml.displays import HistoryDisplay
for history in ({"loss": [1.0]}, [{"loss": [1.0]}, {"loss": [2.0]}]):
    try:
        HistoryDisplay(history).plot()
    except ImportError as error:
        print(error)
"""


def test_only_drawing_needs_matplotlib():
    said = run(["-c", WITHOUT_MATPLOTLIB]).strip().splitlines()
    assert said == ["HistoryDisplay needs matplotlib; install it with: pip install 'skml[plot]'"] * 2
