"""Settled programs say what others do, bit for bit, of few samples as of many; only their weights stay as they were."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from skml import _kernels
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
    settled,
)
from skml.network.chains import FEW, MOST_PACKED

SHAPE = (9, 8, 3)
CHAINS = {
    "default": [
        Convolution(16),
        Pooling("max", 2, padding="same", activation="relu"),
        Convolution(32),
        Pooling("max", 2, padding="same", activation="relu"),
        Flatten(),
        Linear(10),
    ],
    "tiles": [Convolution(32, activation="leaky_relu"), Convolution(64, activation="gelu"), Flatten(), Linear(3)],
    "strides": [
        Convolution(6, (3, 2), 2, "valid", groups=3),
        Activation("gelu"),
        Pooling("average", 2, 1),
        Activation("tanh"),
    ],
    "dilated": [Convolution(5, dilation=2, bias=False), Pooling("min", 3, 2, 1, activation="sigmoid")],
    "nested": [Sequential([Convolution(8, activation="relu"), Pooling()]), Sequential([Flatten(), Linear(7, "tanh")])],
    "normalised": [Convolution(8, bias=False), BatchNormalization("relu"), Flatten(), Dropout(0.3), Linear(4)],
    "pixels": [Convolution(4, 1, activation="relu"), Convolution(40, 1)],
}
OTHERS = {
    "residual": [Residual([Convolution(3)]), Flatten(), Linear(2)],
    "means": [Convolution(8), GlobalPooling(), Linear(2)],
    "nothing": [],
    "flat": [Flatten()],
}
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def lean(layers, dtype, rng, shape=SHAPE):
    """Return a program for use alone, with biases that are not 0."""
    program = Program(Sequential(layers), shape, dtype, seed=int(rng.integers(2**31)))
    program.parameters.flat += 0.1 * rng.normal(size=program.parameters.count).astype(dtype)
    return for_inference(program)


def chained(program):
    """Tell whether a settled program has run, or would run, few samples in one call."""
    return program._chain.ready()


def same(found, expected, exactly=True):
    """Assert that outputs are the same, but for rounding where BLAS is asked, whose bits depend on the rows beside."""
    if exactly and _kernels.LEVEL != "reference":
        np.testing.assert_array_equal(found, expected)
    else:  # sums of some hundred products
        np.testing.assert_allclose(found, expected, rtol=0, atol=100 * np.finfo(found.dtype).eps * abs(expected).max())


@each_dtype
@pytest.mark.parametrize("name", CHAINS)
def test_few_samples_are_those_of_many(rng, dtype, name):
    program, x = lean(CHAINS[name], dtype, rng), rng.normal(size=(FEW + 3, *SHAPE)).astype(dtype)
    expected = program.forward(x, Mode()).copy()
    ready = settled(program)
    assert chained(ready)
    for n in (1, 3, FEW, FEW + 3):
        for n_threads in (1, 2):
            found = ready.forward(x[:n], Mode(n_threads=n_threads))
            assert found.dtype == dtype
            assert found.shape == (n, *program.output_shape)
            same(found, expected[:n], exactly=name != "pixels")


@pytest.mark.parametrize("name", OTHERS)
def test_other_networks_are_run_layer_by_layer(rng, name):
    program, x = lean(OTHERS[name], np.float64, rng), rng.normal(size=(2, *SHAPE))
    ready = settled(program)
    assert not chained(ready)
    np.testing.assert_array_equal(ready.forward(x, Mode()), program.forward(x, Mode()))


class Doubled(Convolution):
    """A convolution that does something else."""

    def forward(self, x, p, space, mode):
        return 2 * super().forward(x, p, space, mode)


def test_what_derived_layers_do_stays(rng):
    program, x = lean([Doubled(4), Flatten(), Linear(2)], np.float64, rng), rng.normal(size=(1, *SHAPE))
    assert not chained(settled(program))
    np.testing.assert_array_equal(settled(program).forward(x, Mode()), program.forward(x, Mode()))


def test_many_parameters_are_not_held_twice(rng):
    program = Program(Sequential([Flatten(), Linear(MOST_PACKED // 100 + 1)]), (10, 10, 1))
    ready, x = settled(program), rng.normal(size=(1, 10, 10, 1)).astype(np.float32)
    assert not chained(ready)
    assert ready._chain.packed is None
    np.testing.assert_array_equal(ready.forward(x, Mode()), program.forward(x, Mode()))


def test_twins_share_packed_weights_and_other_numbers_have_their_own(rng):
    ready, x = settled(lean(CHAINS["default"], np.float64, rng)), rng.normal(size=(1, *SHAPE))
    twin, numbers = settled(ready), ready.parameters.flat
    first = ready.forward(x, Mode()).copy()
    np.testing.assert_array_equal(twin.forward(x, Mode()), first)
    assert twin._chain is ready._chain
    assert not np.shares_memory(twin.forward(x, Mode()), ready.forward(x, Mode()))
    other = ready.with_numbers(2 * numbers, ready.states.flat)
    assert other._chain is not ready._chain
    assert (other.forward(x, Mode()) != first).any()
    np.testing.assert_array_equal(other.forward(x, Mode()), Program.forward(other, x, Mode()))
    np.testing.assert_array_equal(ready.forward(x, Mode()), first)


def test_parts_have_chains_of_their_own(rng):
    ready, x = settled(lean(CHAINS["default"], np.float64, rng)), rng.normal(size=(1, *SHAPE))
    whole = ready.forward(x, Mode()).copy()
    between = ready.part(0, 2).forward(x, Mode())
    np.testing.assert_array_equal(ready.part(2, 6).forward(between, Mode()), whole)


def test_settled_programs_survive_pickling_and_let_go_of_buffers(rng):
    ready, x = settled(lean(CHAINS["default"], np.float32, rng)), rng.normal(size=(1, *SHAPE)).astype(np.float32)
    size, first = len(pickle.dumps(ready)), ready.forward(x, Mode()).copy()
    assert len(pickle.dumps(ready)) == size
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(ready)).forward(x, Mode()), first)
    ready.release()
    assert ready._room is None
    np.testing.assert_array_equal(ready.forward(x, Mode()), first)


def test_moments_of_a_sample_are_rows(rng):
    program = lean([Linear(6, activation="relu"), Flatten(), Linear(2)], np.float64, rng, (5, 4))
    ready, x = settled(program), rng.normal(size=(3, 5, 4))
    assert chained(ready)
    np.testing.assert_allclose(ready.forward(x, Mode()), program.forward(x, Mode()), rtol=0, atol=1e-12)


def test_samples_of_other_channels_are_refused(rng):
    ready, x = settled(lean(CHAINS["tiles"], np.float64, rng)), rng.normal(size=(1, 9, 4, 6))
    with pytest.raises(ValueError, match=r".+"):  # as many numbers, but other channels
        ready.forward(x, Mode())


def test_settled_programs_are_not_trained(rng):
    ready = settled(lean(CHAINS["default"], np.float32, rng))
    with pytest.raises(TypeError, match="no gradients"):
        ready.backward(np.ones((1, 10), np.float32), Mode())


def test_several_callers_at_once(rng):
    ready, x = settled(lean(CHAINS["tiles"], np.float32, rng)), rng.normal(size=(40, *SHAPE)).astype(np.float32)
    expected = ready.forward(x, Mode()).copy()
    ready = settled(lean(CHAINS["tiles"], np.float32, rng).with_numbers(ready.parameters.flat, ready.states.flat))

    def answers(i):
        own = settled(ready)  # whose weights whoever comes first packs
        return [own.forward(x[j : j + 1], Mode(n_threads=1 + i % 2)).copy() for j in range(40)]

    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(answers, range(8)):
            same(np.concatenate(found), expected)
