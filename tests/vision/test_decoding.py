"""Decoders: the way of an encoder in reverse, to exactly the size that an image had."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skml.network import Convolution, Linear, Mode, Program, Sequential, Upsampling
from skml.vision.architectures import Body, body_layers, with_head
from skml.vision.decoding import Codes, Unflatten, decoder_layers


def made(shape, **settings):
    """Return (encoder layers, decoder layers) for images of a shape and a code of 3 numbers."""
    body = body_layers(Body(**settings), shape)
    return with_head(body, shape, 3).layers, decoder_layers(body, shape, settings.get("hidden_layer_sizes", ()))


@pytest.mark.parametrize("shape", [(8, 8, 1), (13, 9, 3), (1, 1, 1), (1, 101, 2), (2, 1, 1), (5, 6, 4)])
@pytest.mark.parametrize(
    "settings",
    [
        {"stride": 2, "pool": None},
        {"pool": "max"},
        {"pool": "average", "pool_size": 3, "kernel_size": (5, 2)},
        {"stride": (2, 1), "pool": (None, "min"), "hidden_layer_sizes": (7, 5)},
        {"stride": 3, "pool": None, "normalization": "batch", "activation": "gelu"},
    ],
)
def test_images_come_back_in_their_size(shape, settings):
    encoder, decoder = made(shape, **settings)
    assert Sequential(encoder).output_shape(shape) == (3,)
    assert Sequential(decoder).output_shape((3,)) == shape


SIDES = st.tuples(*[st.integers(1, 3)] * 2) | st.integers(1, 4)


@settings(deadline=None, derandomize=True, max_examples=150)
@given(
    st.tuples(st.integers(1, 17), st.integers(1, 17), st.integers(1, 3)),
    st.lists(st.integers(1, 4), min_size=1, max_size=3),
    SIDES,
    SIDES,
    st.sampled_from(["same", "valid", 0, 1, 2]),
    st.sampled_from([None, "max", "average"]),
    st.sampled_from(["nearest", "bilinear"]),
)
def test_any_network_that_leaves_something_gives_images_back_in_their_size(
    shape, filters, kernel, stride, padding, pool, method
):
    body = Body(filters=filters, kernel_size=[kernel] * len(filters), stride=[stride] * len(filters), padding=padding)
    try:
        layers = body_layers(replace(body, pool=pool), shape)
    except ValueError as refusal:
        assert padding != "same"
        assert "does not fit an axis" in str(refusal)
        return
    encoder = with_head(layers, shape, 3).layers
    whole = Program(Sequential([*encoder, *decoder_layers(layers, shape, (), method)]), shape, np.float64, seed=0)
    assert whole.forward(np.ones((2, *shape)), Mode()).shape == (2, *shape)


def test_a_valid_border_is_made_up_for():
    encoder, decoder = made((11, 12, 1), padding="valid", pool=None)
    assert Sequential([*encoder, *decoder]).output_shape((11, 12, 1)) == (11, 12, 1)


def test_the_decoder_mirrors_the_encoder():
    _, decoder = made((9, 8, 2), filters=(4, 6), kernel_size=(3, 5), stride=2, pool=None, hidden_layer_sizes=(7,))
    expected = [
        Linear(7, activation="relu"),
        Linear(3 * 2 * 6),
        Unflatten((3, 2, 6)),
        Upsampling(size=(5, 4)),
        Convolution(4, (5, 5), activation="relu"),
        Upsampling(size=(9, 8)),
        Convolution(4, (3, 3), activation="relu"),
        Convolution(2, (3, 3)),
    ]
    assert decoder == expected


def test_unflatten_undoes_flatten_and_says_where_it_cannot():
    layer, x = Unflatten((2, 3, 1)), np.arange(12.0).reshape(2, 6)
    space = layer.workspace((6,), 2, x.dtype)
    y = layer.forward(x, {}, space, Mode())
    assert y.shape == (2, 2, 3, 1)
    np.testing.assert_array_equal(layer.backward(y, {}, {}, space, Mode()), x)
    assert layer.backward(y, {}, {}, space, Mode(), need_dx=False) is None
    with pytest.raises(ValueError, match=r"shape \(5,\) cannot be given the shape \(2, 3, 1\)"):
        layer.output_shape((5,))


@pytest.mark.parametrize("normalization", [None, "batch"])
def test_halves_of_a_program_make_the_whole(normalization, rng):
    encoder, decoder = made((6, 5, 2), stride=2, pool=None, normalization=normalization)
    whole = Program(Sequential([*encoder, *decoder]), (6, 5, 2), np.float64, seed=1)
    x = rng.normal(size=(4, 6, 5, 2))
    whole.forward(x, Mode(train=True))  # moves the running averages
    expected = whole.forward(x, Mode()).copy()
    code = whole.part(0, len(encoder)).forward(x, Mode()).copy()
    np.testing.assert_array_equal(whole.part(len(encoder), len(whole.network.layers)).forward(code, Mode()), expected)


def test_codes_are_taken_as_they_are():
    out = np.empty((2, 3))
    Codes().preparation(np.float64, np.float64)(np.arange(6.0).reshape(2, 3), out)
    np.testing.assert_array_equal(out, np.arange(6.0).reshape(2, 3))
