"""From parameters to layers."""

import numpy as np
import pytest

from skml._sklearn import InvalidParameterError
from skml.network import Convolution, Flatten, GlobalPooling, Linear, Pooling, Residual, network_table
from skml.vision.architectures import Body, body_layers, n_bytes, with_head


def shapes(body, shape):
    """Return the output shapes of a network with three outputs."""
    return [row.output_shape for row in network_table(with_head(body_layers(body, shape), shape, 3), shape)]


def test_defaults():
    assert shapes(Body(), (28, 28, 1)) == [(28, 28, 16), (14, 14, 16), (14, 14, 32), (7, 7, 32), (1568,), (3,)]


def test_sizes_are_rounded_up_so_that_something_is_left():
    assert shapes(Body(filters=(2,) * 6), (1, 5, 2))[-3:] == [(1, 1, 2), (2,), (3,)]


def test_signals_have_kernels_of_height_one():
    first, pool = body_layers(Body(filters=4, stride=2), (1, 40, 3))[:2]
    assert (first.kernel, first.stride, pool.size) == ((1, 3), (1, 2), (1, 2))


def test_sequences_are_per_layer():
    body = Body((4, 8, 8), (5, (3, 1), 1), (1, 2, 1), pool=("average", None, "min"), pool_size=(2, 2, 3))
    layers = body_layers(body, (32, 32, 3))
    assert [layer.kernel for layer in layers if isinstance(layer, Convolution)] == [(5, 5), (3, 1), (1, 1)]
    assert [(layer.kind, layer.size) for layer in layers if isinstance(layer, Pooling)] == [
        ("average", (2, 2)),
        ("min", (3, 3)),
    ]


def test_hidden_layers_and_dropout():
    names = [
        type(layer).__name__ for layer in body_layers(Body(filters=4, hidden_layer_sizes=(9,), dropout=0.5), (8, 8, 1))
    ]
    assert names == ["Convolution", "Pooling", "Flatten", "Dropout", "Linear", "Dropout"]


def test_residual_blocks_have_a_shortcut_where_shapes_differ():
    blocks = [one for one in body_layers(Body((8, 8), residual=True), (9, 9, 8)) if isinstance(one, Residual)]
    assert blocks[0].shortcut is None
    blocks = [
        one for one in body_layers(Body((8, 16), residual=True, stride=2), (9, 9, 8)) if isinstance(one, Residual)
    ]
    assert all(block.shortcut is not None for block in blocks)


@pytest.mark.parametrize("residual", [False, True])
def test_batch_normalization_follows_convolutions_without_bias(residual):
    body = Body(filters=(4,), normalization="batch", residual=residual)
    specs = [spec.name for spec in with_head(body_layers(body, (8, 8, 1)), (8, 8, 1), 2).specs((8, 8, 1))]
    assert sum(name.endswith("bias") for name in specs) == 1  # the last layer's
    assert sum(name.endswith("gamma") for name in specs) == (3 if residual else 1)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"filters": (4, 0)}, "filters must hold whole numbers of at least 1, got 0"),
        ({"filters": (4, 2.5)}, "filters must hold"),
        ({"filters": (True,)}, "filters must hold"),
        ({"kernel_size": (3, 3, 3)}, "kernel_size must be one size or one for each of 2 filters"),
        ({"stride": (1, (1, 2, 3))}, "stride must hold sizes, or pairs"),
        ({"pool": ("max", "median")}, "pool must be"),
        ({"pool": ("max",)}, "pool must be"),
        ({"hidden_layer_sizes": (-1,)}, "hidden_layer_sizes must hold"),
        ({"residual": True, "padding": "valid"}, "residual=True needs padding='same'"),
    ],
)
def test_bad_entries_are_named(params, message):
    with pytest.raises(InvalidParameterError, match=message):
        body_layers(Body(**params), (8, 8, 1))


def test_a_layer_that_leaves_nothing_shows_the_table():
    with pytest.raises(ValueError, match="(?s)does not fit an axis of 3.*0  Convolution.*1  Pooling +3 x 3 x 16"):
        body_layers(Body(padding="valid", kernel_size=(3, 5)), (8, 8, 1))


def test_a_list_of_layers_gets_a_head():
    network = with_head([Convolution(4), GlobalPooling()], (8, 8, 1), 3)
    assert [type(layer) for layer in network.layers] == [Convolution, GlobalPooling, Linear]
    assert [type(layer) for layer in with_head([Convolution(4)], (8, 8, 1), 3).layers] == [Convolution, Flatten, Linear]
    with pytest.raises(InvalidParameterError, match="architecture must hold layers.*item 1 is 'relu'"):
        with_head([Convolution(4), "relu"], (8, 8, 1), 3)


def test_bytes_grow_with_the_batch():
    network = with_head(body_layers(Body(), (28, 28, 1)), (28, 28, 1), 10)
    one, two = (n_bytes(network, (28, 28, 1), B, np.dtype(np.float32)) for B in (1, 2))
    assert two > one > 4 * 20_490
