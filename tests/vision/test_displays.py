"""Pictures of convolutional networks."""

import numpy as np
import pytest

from skml import ConvClassifier
from skml.vision import FeatureMapDisplay, FilterDisplay, HistoryDisplay

pyplot = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def _closed():
    yield
    pyplot.close("all")


def fitted(rng, channels=1, **params):
    X, y = rng.random((30, 6, 6, channels)), np.arange(30) % 2
    return ConvClassifier(**{"filters": (5,), "max_iter": 2, **params}).fit(X, y), X


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_filters(rng, channels):
    classifier, _ = fitted(rng, channels)
    display = FilterDisplay.from_estimator(classifier)
    assert display.filters.shape == (3, 3, channels, 5)
    assert display.axes_.shape == (2, 3)
    assert sum(len(ax.images) for ax in display.axes_.ravel()) == 5
    with pytest.raises(ValueError, match="(?s)layer=1 has no filters.*Pooling"):
        FilterDisplay.from_estimator(classifier, layer=1)


def test_feature_maps(rng):
    classifier, X = fitted(rng)
    for one in (X[0], X[0].ravel()):
        display = FeatureMapDisplay.from_estimator(classifier, one, layer=1, cmap="magma")
        assert display.maps.shape == (3, 3, 5)
        np.testing.assert_array_equal(display.axes_[0, 0].images[0].get_array(), display.maps[:, :, 0])
    with pytest.raises(ValueError, match="makes no maps"):
        FeatureMapDisplay.from_estimator(classifier, X[0], layer=3)


def test_history(rng):
    classifier, _ = fitted(rng)
    display = HistoryDisplay.from_estimator(classifier)
    np.testing.assert_array_equal(display.ax_.lines[0].get_ydata(), classifier.history_["loss"])
    assert display.score_ax_ is None
    classifier, _ = fitted(rng, early_stopping=True, validation_fraction=0.3)
    _, ax = pyplot.subplots()
    display = HistoryDisplay.from_estimator(classifier, ax=ax)
    assert display.ax_ is ax
    assert len(ax.lines) == 2
    assert display.score_ax_.get_ylabel() == "validation score"
