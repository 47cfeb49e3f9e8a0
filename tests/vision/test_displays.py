"""Pictures of networks: what is drawn is what the layers hold; axes are the caller's or new."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from _contract.children import run
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError

from skml import PCA, ConvAutoencoder, ConvClassifier
from skml.vision import FeatureMapDisplay, FilterDisplay, HistoryDisplay
from skml.vision.displays import mosaic


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


# ---------------------------------------------------------------------------------------------- mosaics


def test_a_mosaic_holds_each_image_once():
    images = np.arange(5 * 2 * 3.0).reshape(5, 2, 3)
    whole = mosaic(images, n_columns=2)
    assert whole.shape == (3 * 3 - 1, 2 * 4 - 1)
    np.testing.assert_array_equal(whole[6:8, 0:3], images[4])
    np.testing.assert_array_equal(np.sort(whole[~np.isnan(whole)]), np.arange(30))
    assert mosaic(images[:1]).shape == (2, 3)
    assert mosaic(np.zeros((3, 2, 2, 3)), 3)[0, 2].tolist() == [1.0, 1.0, 1.0]


def test_signals_lie_below_each_other():
    assert mosaic(np.zeros((6, 1, 30))).shape[0] > mosaic(np.zeros((6, 30, 30))).shape[0] / 31


def test_filters_over_one_channel_share_a_scale():
    filters = np.random.default_rng(0).normal(size=(3, 3, 1, 6))
    display = FilterDisplay(filters, layer="0").plot(max_filters=4, n_columns=2)
    assert display.image_.get_array().shape == (7, 7)
    low, high = display.image_.get_clim()
    assert -low == high == np.abs(filters[..., :4]).max()
    np.testing.assert_array_equal(display.image_.get_array()[:3, 4:], filters[:, :, 0, 1])
    assert display.ax_.get_title() == "layer 0"


def test_filters_over_colours_and_over_many_channels():
    filters = np.random.default_rng(0).normal(size=(3, 3, 3, 4))
    coloured = FilterDisplay(filters).plot(n_columns=4).image_.get_array()
    assert coloured.shape == (3, 15, 3)
    assert coloured.min() >= 0
    assert coloured.max() <= 1
    chosen = FilterDisplay(filters).plot(channel=1, n_columns=4).image_.get_array()
    np.testing.assert_array_equal(chosen[:, :3], filters[:, :, 1, 0])
    deep = FilterDisplay(np.zeros((3, 3, 5, 4))).plot().image_.get_array()
    assert deep.shape == (15, 19)
    with pytest.raises(ValueError, match="channel must be from 0 to 2, got 3"):
        FilterDisplay(filters).plot(channel=3)


def test_maps_of_several_images_have_a_row_each():
    maps = np.random.default_rng(0).normal(size=(2, 4, 4, 6))
    _, ax = plt.subplots()
    display = FeatureMapDisplay(maps, layer="3").plot(ax, max_maps=5, cmap="gray")
    assert display.ax_ is ax
    assert display.image_.get_cmap().name == "gray"
    assert display.image_.get_array().shape == (9, 24)
    np.testing.assert_array_equal(display.image_.get_array()[5:, 5:9], maps[1, :, :, 1])
    with pytest.raises(ValueError, match=r"draws images \(a height, a width, channels\), not \(10,\)"):
        FeatureMapDisplay(np.zeros((2, 10))).plot()


# --------------------------------------------------------------------------------------------- of networks


@pytest.fixture(scope="module")
def network():
    X, y = load_digits(return_X_y=True)
    return ConvClassifier((4, 6), max_iter=2, early_stopping=True, random_state=0).fit(X[:300], y[:300]), X


def test_displays_of_a_network(network):
    classifier, X = network
    history = HistoryDisplay.from_estimator(classifier)
    assert list(history.lines_) == ["loss", "validation_loss", "validation_score"]
    assert history.axes_[0].get_xlabel() == "epoch"
    weights = classifier.pool_.program.parameters
    filters = FilterDisplay.from_estimator(classifier)
    np.testing.assert_array_equal(filters.filters, weights["0.weight"])
    deep = FilterDisplay.from_estimator(classifier, layer=2, channel=3, max_filters=2, n_columns=2)
    np.testing.assert_array_equal(deep.image_.get_array()[:, 4:], weights["2.weight"][:, :, 3, 1])
    maps = FeatureMapDisplay.from_estimator(classifier, X[:3], layer=2)
    np.testing.assert_array_equal(maps.maps, classifier.feature_maps(X[:3], 2))
    assert maps.image_.get_array().shape == (3 * 5 - 1, 6 * 5 - 1)
    assert maps.ax_.get_title() == "layer 2"


def test_filters_inside_blocks_have_names(rng):
    X, y = rng.random((30, 6, 6, 3)), np.arange(30) % 2
    classifier = ConvClassifier((5,), residual=True, max_iter=1).fit(X, y)
    assert FilterDisplay.from_estimator(classifier).layer == "0.block.0"
    assert FilterDisplay.from_estimator(classifier, layer="0.block.1").filters.shape == (3, 3, 5, 5)


def test_an_autoencoder_has_all_three(rng):
    model = ConvAutoencoder(2, filters=(3,), max_iter=2).fit(rng.random((20, 5, 7, 2)))
    assert list(HistoryDisplay.from_estimator(model).lines_) == ["loss"]
    assert FilterDisplay.from_estimator(model).image_.get_array().shape == (11, 7)
    assert FeatureMapDisplay.from_estimator(model, rng.random((1, 5, 7, 2))).maps.shape == (1, 3, 4, 3)


def test_what_is_no_layer_or_no_network_says_so(network):
    classifier, X = network
    with pytest.raises(ValueError, match="layer=1 is no convolution; those are 0, 2"):
        FilterDisplay.from_estimator(classifier, layer=1)
    with pytest.raises(ValueError, match="layer=17 is none of"):
        FeatureMapDisplay.from_estimator(classifier, X[:1], layer=17)
    with pytest.raises(ValueError, match="draws images"):
        FeatureMapDisplay.from_estimator(classifier, X[:1], layer=-1)
    for call in (FilterDisplay.from_estimator, lambda one: FeatureMapDisplay.from_estimator(one, X[:1])):
        with pytest.raises(NotFittedError):
            call(ConvClassifier())
        with pytest.raises(TypeError, match="PCA doesn't have"):
            call(PCA(2).fit(X))


WITHOUT_MATPLOTLIB = """
import sys
sys.modules["matplotlib"] = sys.modules["matplotlib.pyplot"] = None
import numpy as np
from skml.vision import FeatureMapDisplay, FilterDisplay
images = np.zeros((1, 2, 2, 1))
for display in (FilterDisplay(images), FeatureMapDisplay(images)):
    try:
        display.plot()
    except ImportError as error:
        print(error)
"""


def test_only_drawing_needs_matplotlib():
    said = run(["-c", WITHOUT_MATPLOTLIB]).strip().splitlines()
    assert len(said) == 2
    assert all(line.endswith("needs matplotlib; install it with: pip install 'skml[plot]'") for line in said)
