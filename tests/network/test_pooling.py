"""Pooling: by hand, by differences, against a search, with padding that takes no part."""

import numpy as np
import pytest
from _contract.gradients import check_layer

from skml.network import (
    Activation,
    Geometry,
    GlobalPooling,
    Mode,
    Pooling,
    Sequential,
    average_pooling_forward,
    global_pooling_forward,
    max_pooling_backward,
    max_pooling_forward,
)

KINDS = {"max": np.max, "min": np.min, "average": np.mean}
CASES = [
    {"size": 2},
    {"size": 2, "padding": "same"},
    {"size": 3, "stride": 2, "padding": 1},
    {"size": 3, "stride": 1},
    {"size": (1, 4), "stride": (2, 3), "padding": (0, 2)},
]
each_kind = pytest.mark.parametrize("kind", KINDS)
each_case = pytest.mark.parametrize("case", CASES, ids=str)


@each_kind
@each_case
def test_values_are_those_of_a_search(rng, kind, case):
    layer, x = Pooling(kind, **case), rng.normal(size=(2, 7, 5, 3))
    geometry = layer.geometry()
    y = average_pooling_forward(x, geometry) if kind == "average" else max_pooling_forward(x, geometry, kind)[0]
    (KH, KW), (sh, sw), (top, left) = geometry.kernel, geometry.stride, geometry.pads(7, 5)
    for o, p in np.ndindex(y.shape[1:3]):
        row, column = o * sh - top, p * sw - left
        seen = x[:, max(row, 0) : row + KH, max(column, 0) : column + KW]
        assert np.allclose(y[:, o, p], KINDS[kind](seen, axis=(1, 2)))


@each_kind
@each_case
def test_gradients(rng, kind, case):
    check_layer(Pooling(kind, **case), (7, 5, 2), rng)


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "tanh", "sigmoid"])
@each_kind
def test_an_activation_follows(rng, kind, activation):
    layer = Pooling(kind, activation=activation)
    check_layer(layer, (6, 5, 2), rng)
    x, mode = rng.normal(size=(3, 6, 5, 2)), Mode(train=True)
    after = Sequential([Pooling(kind), Activation(activation)])
    before = Sequential([Activation(activation), Pooling(kind)])
    said = []
    for network in (layer, after, before):
        space = network.workspace((6, 5, 2), 3, x.dtype)
        y = network.forward(x, {}, space, mode).copy()
        said.append((y, network.backward(np.ones_like(y), {}, {}, space, mode).copy()))
    for ours, theirs in zip(said[0], said[1]):
        np.testing.assert_array_equal(ours, theirs)
    if kind != "average":  # what never falls commutes with the largest and the smallest
        for ours, theirs in zip(said[0], said[2]):
            np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_gelu_does_not_follow():
    with pytest.raises(ValueError, match="put an Activation after it"):
        Pooling(activation="gelu")


@each_kind
def test_global_gradients_and_values(rng, kind):
    check_layer(GlobalPooling(kind), (3, 4, 2), rng)
    x = rng.normal(size=(3, 4, 5, 2))
    assert np.allclose(global_pooling_forward(x, kind)[0], KINDS[kind](x, axis=(1, 2)))


def test_of_equals_the_first_counts_and_gets_the_gradient():
    geometry = Geometry(2, 2)
    y, index = max_pooling_forward(np.full((1, 2, 2, 1), 3.0), geometry)
    assert (y.ravel().tolist(), index.ravel().tolist()) == ([3], [0])
    dx = max_pooling_backward(np.ones((1, 1, 1, 1)), index, geometry, np.empty((1, 2, 2, 1)))
    assert dx.ravel().tolist() == [1, 0, 0, 0]


def test_overlapping_windows_add_their_gradients():
    geometry, x = Geometry((1, 2), 1), np.array([0.0, 9.0, 1.0]).reshape(1, 1, 3, 1)
    _, index = max_pooling_forward(x, geometry)
    dx = max_pooling_backward(np.array([1.0, 10.0]).reshape(1, 1, 2, 1), index, geometry, np.empty_like(x))
    assert dx.ravel().tolist() == [0, 11, 0]


def test_padding_is_never_the_largest():
    x = np.full((1, 3, 3, 1), -5.0)
    assert (max_pooling_forward(x, Geometry(3, 1, "same"))[0] == -5).all()
    assert (max_pooling_forward(-x, Geometry(3, 1, "same"), "min")[0] == 5).all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Pooling("median"), "kind='median' of pooling is unknown; there are max, average, min"),
        (lambda: GlobalPooling("sum"), "kind='sum'"),
        (lambda: Pooling("max", 2, padding=2), r"Padding of \(2, 2\) leaves nothing in windows of \(2, 2\)"),
        (lambda: Pooling("max", 16), "more than 255 places"),
        (lambda: Pooling("max", 4).output_shape((3, 8, 1)), "A window of 4 does not fit an axis of 3"),
        (lambda: Pooling().output_shape((64,)), "Pooling takes images"),
        (lambda: GlobalPooling().output_shape((64,)), "GlobalPooling takes images"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_averages_have_no_limit_of_size(rng):
    assert Pooling("average", 16).output_shape((16, 16, 3)) == (1, 1, 3)
