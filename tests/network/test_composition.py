"""Layers made of layers: gradients through them, shared buffers, names, tables, and errors with the table."""

import numpy as np
import pytest
from _contract.gradients import Run, check_layer

from skml.network import (
    Activation,
    BatchNormalization,
    Convolution,
    Dropout,
    Embedding,
    Flatten,
    GlobalPooling,
    LayerNormalization,
    Linear,
    Mode,
    Pooling,
    Residual,
    Sequential,
    TransposedConvolution,
    Upsampling,
    format_table,
    network_table,
)

NETWORKS = {
    "plain": ([Convolution(3, activation="tanh"), Pooling("max"), Flatten(), Linear(4, "gelu"), Linear(2)], (5, 5, 2)),
    "pooled": (
        [
            *(Convolution(3), Pooling("max", activation="tanh"), Convolution(3), Pooling("average")),
            *(Convolution(2, activation="tanh"), Pooling("max", padding="same")),
        ],
        (9, 8, 2),
    ),
    "normal": ([Convolution(3), BatchNormalization("relu"), GlobalPooling(), LayerNormalization()], (4, 4, 2)),
    "dropped": ([Linear(6, "tanh"), Dropout(0.3), Activation("sigmoid"), Dropout(0.0), Linear(5), Dropout(0.5)], (4,)),
    "residual": (
        [
            Convolution(3),
            Residual([Convolution(3, activation="relu"), Dropout(0.2), Convolution(3)]),
            Activation("relu"),
            Residual([Convolution(4, stride=2)], Convolution(4, 1, stride=2)),
            Residual(Flatten(), Flatten()),
            Linear(2),
        ],
        (4, 4, 3),
    ),
    "nested": (
        [Sequential([Linear(3), Sequential([Linear(4, "tanh")])]), Flatten(), Residual(Dropout(0.1)), Linear(2)],
        (3,),
    ),
    "decoder": ([Convolution(2, stride=2), TransposedConvolution(2, stride=2), Upsampling(size=(5, 3))], (4, 4, 1)),
    "empty": ([], (3,)),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("train", [True, False])
def test_gradients(rng, name, train):
    layers, shape = NETWORKS[name]
    if name == "empty":
        run, x = Run(Sequential(layers), shape, 2), rng.normal(size=(2, *shape))
        assert run.forward(x, Mode()) is run.backward(x, Mode()) is x
        return
    check_layer(Sequential(layers), shape, rng, mode=Mode(train, 1, 2), B=4, tol=1e-5)


def test_nothing_is_carried_back_past_the_first_layer_that_learns(rng):
    class Silent(Flatten):
        def backward(self, *arguments, **options):
            raise AssertionError("asked in vain")

    run = Run(Sequential([Silent(), Sequential([Linear(2)]), Silent()]), (3,), 2)
    dy = run.forward(rng.normal(size=(2, 3)), Mode())
    with pytest.raises(AssertionError, match="asked in vain"):
        run.backward(dy, Mode(), need_dx=False)
    run = Run(Sequential([Silent(), Sequential([Linear(2)])]), (3,), 2)
    assert run.backward(run.forward(rng.normal(size=(2, 3)), Mode()), Mode(), need_dx=False) is None
    assert run.gradients.flat.any()


def test_a_batch_can_be_of_words(rng):
    check_layer(Sequential([Embedding(5, 3), Flatten(), Linear(2)]), (4,), rng, x=rng.integers(5, size=(3, 4)))


def test_layers_share_the_memory_of_gradients():
    network = Sequential([Convolution(4, activation="relu") for _ in range(6)])
    space = network.workspace((8, 8, 4), 2, np.float32)
    for name, owners in (("dx", 2), ("dz", 1)):
        assert len({getattr(part, name).__array_interface__["data"][0] for part in space.parts}) == owners


def test_an_input_that_nobody_reads_again_makes_room_for_its_gradient():
    layers = [Convolution(4), Pooling(), Convolution(4, activation="relu"), Pooling()]
    one, pool, two, last = Sequential(layers).workspace((8, 8, 4), 2, np.float32).parts
    assert pool.dx is one.y
    assert not np.shares_memory(last.dx, two.y)  # the derivative of relu is read from y
    assert not np.shares_memory(last.dx, two.dx)


def test_layers_are_numbered_in_order():
    network = Sequential([Linear(3), Residual([Linear(3), Dropout()]), Dropout()])
    space = network.workspace((3,), 2, np.float32)
    first, residual, last = space.parts
    block = residual.parts[0]
    assert [s.number for s in (space, first, residual, block, *block.parts, last)] == list(range(7))


def test_two_dropouts_drop_differently():
    run, x = Run(Sequential([Dropout(), Dropout()]), (1000,), 1), np.ones((1, 1000))
    y = run.forward(x, Mode(train=True))
    assert (y > 0).mean() == pytest.approx(0.25, abs=0.07)


def test_names_lead_to_the_layer():
    network = Sequential([Flatten(), Residual([Linear(3), BatchNormalization()]), Linear(1, bias=False)])
    assert [spec.name for spec in network.specs((3,))] == [
        "1.block.0.weight",
        "1.block.0.bias",
        "1.block.1.gamma",
        "1.block.1.beta",
        "2.weight",
    ]
    assert [spec.name for spec in network.states((3,))] == ["1.block.1.running_mean", "1.block.1.running_var"]


def test_the_table_counts():
    network = Sequential([Convolution(8), Residual([Convolution(8)]), GlobalPooling(), Linear(10)])
    rows = network_table(network, (8, 8, 1))
    assert [(row.name, row.layer) for row in rows] == [
        ("0", "Convolution"),
        ("1.block.0", "Convolution"),
        ("1", "Residual"),
        ("2", "GlobalPooling"),
        ("3", "Linear"),
    ]
    assert [row.n_parameters for row in rows] == [80, 584, 0, 0, 90]
    assert sum(row.cost for row in rows) == network.cost((8, 8, 1)) == 64 * 8 * 9 + 64 * 8 * 8 * 9 + 80
    text = format_table(rows)
    assert "8 x 8 x 8" in text
    assert text.splitlines()[-1].split() == ["total", "754", "41,552"]
    assert len({len(line) for line in text.splitlines()}) == 1


def test_what_cannot_follow_is_refused_with_the_table():
    network = Sequential([Convolution(8), Pooling(), Pooling(), Pooling(), Linear(2)])
    with pytest.raises(
        ValueError, match="(?s)Layer 3, Pooling, cannot follow: A window of 2 does not.*2  Pooling .*1 x 1"
    ):
        network.output_shape((4, 4, 1))
    with pytest.raises(ValueError, match="Layer 0, Convolution, cannot follow: Convolution takes images"):
        network.specs((16,))
    nested = Sequential([Sequential([Linear(2), Convolution(3)])])
    with pytest.raises(ValueError, match="Layer 0, Sequential, cannot follow: Layer 1, Convolution, cannot follow"):
        nested.output_shape((3,))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Sequential([Linear(2), "relu"]), "Layer 1 is 'relu', which is not a Layer"),
        (lambda: Residual(None), "block is None, which is not a Layer"),
        (lambda: Residual(Linear(2), "same"), "shortcut is 'same', which is not a Layer"),
        (
            lambda: Residual(Linear(2)).output_shape((3,)),
            r"makes \(2,\) of \(3,\), which .* input; give a shortcut",
        ),
        (lambda: Residual(Linear(2), Linear(4)).output_shape((3,)), r"added to \(4,\), what the shortcut makes"),
    ],
)
def test_what_is_no_network_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()
