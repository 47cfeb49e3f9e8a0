"""Activations: values by hand, gradients by differences, names."""

import numpy as np
import pytest
from _contract.gradients import check_gradients, check_layer

from skml.network import (
    Activation,
    activation_backward,
    activation_forward,
    softmax_backward,
    softmax_forward,
)
from skml.network.activations import FROM_INPUT, NAMES

each = pytest.mark.parametrize("name", NAMES)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("identity", [-2.0, 0.0, 1.0]),
        ("relu", [0.0, 0.0, 1.0]),
        ("leaky_relu", [-0.02, 0.0, 1.0]),
        ("gelu", [-0.04550026, 0.0, 0.84134475]),
        ("tanh", [-0.96402758, 0.0, 0.76159416]),
        ("sigmoid", [0.11920292, 0.5, 0.73105858]),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_by_hand(name, expected, dtype):
    y = activation_forward(np.array([[-2.0, 0.0, 1.0]], dtype=dtype), name)
    assert y.dtype == dtype
    assert np.allclose(y, expected, atol=1e-7)


@each
def test_gradients_are_the_differences(rng, name):
    x, dy = rng.normal(size=(2, 3, 5)), rng.normal(size=(2, 3, 5))
    y = activation_forward(x, name)
    dz = activation_backward(dy, x if name in FROM_INPUT else y, name)
    check_gradients(lambda: activation_forward(x, name), [x], [dz], dy, rng)


@each
def test_the_layer_is_the_pair(rng, name):
    check_layer(Activation(name), (4, 3), rng)


def test_relu_at_zero_has_no_gradient():
    assert activation_backward(np.ones((1, 1)), np.zeros((1, 1)), "relu")[0, 0] == 0


def test_an_unknown_name_is_refused():
    for call in (lambda: Activation("relu6"), lambda: activation_forward(np.ones((1, 1)), "relu6")):
        with pytest.raises(ValueError, match="activation='relu6' is unknown; there are identity, relu"):
            call()


def test_softmax_by_hand_and_by_differences(rng):
    assert np.allclose(softmax_forward(np.log([[1.0, 2.0, 5.0]])), [[0.125, 0.25, 0.625]])
    assert softmax_forward(np.array([[-1e300, 1e300]])).tolist() == [[0, 1]]
    x, dp = rng.normal(size=(4, 5)), rng.normal(size=(4, 5))
    dx = softmax_backward(dp, softmax_forward(x))
    check_gradients(lambda: softmax_forward(x), [x], [dx], dp, rng)
    assert np.allclose(dx.sum(axis=1), 0)


def test_softmax_in_place(rng):
    x = rng.normal(size=(4, 5))
    expected = softmax_forward(x)
    assert softmax_forward(x, out=x) is x
    assert np.array_equal(x, expected)
