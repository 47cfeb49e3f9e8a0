"""Lean networks say what the whole ones do, and less is done for it."""

import numpy as np
import pytest

from skml.network import (
    Activation,
    BatchNormalization,
    Convolution,
    Dropout,
    Flatten,
    GlobalPooling,
    Linear,
    Mode,
    Pooling,
    Program,
    Residual,
    Sequential,
    for_inference,
)

NETWORKS = {
    "late activations": [Convolution(8), Pooling("max", 2, activation="relu"), Convolution(4), Pooling("min", 2)],
    "leaky minima": [Convolution(8), Pooling("min", 2, padding="same", activation="leaky_relu")],
    "means": [Convolution(8), Pooling("average", 2, activation="relu"), Flatten(), Linear(3)],
    "normalised": [Convolution(8, bias=False), BatchNormalization("relu"), Flatten(), Linear(9), BatchNormalization()],
    "normalised, then pooled": [Convolution(8), BatchNormalization(), Pooling("max", 2, activation="relu")],
    "normalised twice, pooled between": [Convolution(8), BatchNormalization(), Pooling("max", 2), BatchNormalization()],
    "normalised twice": [Flatten(), Linear(9), BatchNormalization("relu"), BatchNormalization()],
    "normalised first": [BatchNormalization(), Convolution(8, activation="relu"), BatchNormalization("tanh")],
    "dropout between": [Convolution(8), Dropout(0.5), BatchNormalization("gelu"), Flatten(), Dropout(), Linear(40)],
    "residual": [
        Residual(
            [Convolution(8, bias=False), BatchNormalization("relu"), Convolution(8), BatchNormalization()],
            [Convolution(8, 1), BatchNormalization()],
        ),
        Residual([Convolution(8), Dropout(0.3)]),
        Activation("relu"),
        GlobalPooling(),
        Linear(2),
    ],
    "a layer alone": [Flatten()],
    "nothing": [],
}
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def trained(name, dtype, rng, shape=(8, 7, 3)):
    """Return a program whose parameters and running averages are not those of the start."""
    program = Program(Sequential(NETWORKS[name]), shape, dtype, seed=int(rng.integers(2**31)))
    program.parameters.flat += 0.3 * rng.normal(size=program.parameters.count).astype(dtype)
    for _ in range(3):
        program.forward(rng.normal(1, 2, size=(6, *shape)).astype(dtype), Mode(train=True))
    return program


@each_dtype
@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_are_the_same(rng, dtype, name):
    program, x = trained(name, dtype, rng), rng.normal(size=(5, 8, 7, 3)).astype(dtype)
    before = program.parameters.flat.copy(), program.states.flat.copy()
    lean, expected = for_inference(program), program.forward(x, Mode()).copy()
    found = lean.forward(x, Mode())
    assert found.dtype == dtype
    # sums of some hundred products, in another order where filters are scaled first
    scale = np.finfo(dtype).eps * 1000 * max(1, np.abs(program.parameters.flat).max(initial=0)) ** 2
    np.testing.assert_allclose(found, expected, rtol=0, atol=scale * max(1, np.abs(expected).max(initial=0)))
    for now, then in zip((program.parameters.flat, program.states.flat), before):
        np.testing.assert_array_equal(now, then)


def test_late_activations_move_without_a_change_of_bits(rng):
    program, x = trained("late activations", np.float32, rng), rng.normal(size=(5, 8, 7, 3)).astype(np.float32)
    lean = for_inference(program)
    np.testing.assert_array_equal(lean.forward(x, Mode()), program.forward(x, Mode()))
    assert [layer.activation for layer in lean.network.layers] == ["relu", "identity", "identity", "identity"]
    assert np.shares_memory(lean.parameters.flat, program.parameters.flat)


def test_less_is_done(rng):
    kinds = [type(layer) for layer in for_inference(trained("dropout between", np.float64, rng)).network.layers]
    assert kinds == [Convolution, Flatten, Linear]
    lean = for_inference(trained("residual", np.float64, rng))
    assert [type(layer) for layer in lean.network.layers[0].block.layers] == [Convolution, Convolution]
    assert [layer.activation for layer in lean.network.layers[0].block.layers] == ["relu", "identity"]
    assert lean.states.count == 0


class AlwaysDropout(Dropout):
    """Dropout that is there in use as well (as for Monte Carlo estimates of doubt), without chance: all is halved."""

    def forward(self, x, p, space, mode):
        return np.multiply(x, 0.5, out=space.y[: len(x)])


class Negated(Residual):
    """A residual block of the other sign."""

    def forward(self, x, p, space, mode):
        return -super().forward(x, p, space, mode)


def test_what_derived_layers_do_stays(rng):
    layers = [Negated([Convolution(3), BatchNormalization()]), AlwaysDropout(), Flatten(), Linear(2)]
    program, x = Program(Sequential(layers), (8, 7, 3), np.float64), rng.normal(size=(5, 8, 7, 3))
    np.testing.assert_array_equal(for_inference(program).forward(x, Mode()), program.forward(x, Mode()))
