"""Programs: they run, keep their buffers, allocate nothing in the steady state, and survive copies."""

import copy
import pickle
import tracemalloc

import numpy as np
import pytest

from skml import _kernels, network
from skml.network import (
    Activation,
    BatchNormalization,
    Convolution,
    Dropout,
    Flatten,
    GlobalPooling,
    LayerNormalization,
    Linear,
    Mode,
    Pooling,
    Program,
    Residual,
    Sequential,
    TransposedConvolution,
    Upsampling,
    columns,
    convolution,
)

TRAIN = Mode(train=True)


def made(dtype=np.float32, seed=0):
    layers = [
        Convolution(8, activation="relu"),
        Pooling("max"),
        Residual([Convolution(8, activation="relu"), Convolution(8)]),
        BatchNormalization("relu"),
        Flatten(),
        Dropout(0.2),
        Linear(10),
    ]
    return Program(Sequential(layers), (8, 8, 3), dtype, seed)


def batch(rng, n, dtype=np.float32, shape=(8, 8, 3)):
    return rng.normal(size=(n, *shape)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_everything_is_of_one_dtype(rng, dtype):
    program = made(dtype)
    y = program.forward(batch(rng, 4, dtype), TRAIN)
    dx = program.backward(np.ones_like(y), TRAIN, need_dx=True)
    assert {y.dtype, dx.dtype, program.parameters.flat.dtype, program.gradients.flat.dtype} == {np.dtype(dtype)}
    assert y.shape == (4, *program.output_shape)
    assert dx.shape == (4, 8, 8, 3)
    assert np.isfinite(program.gradients.flat).all()


def test_float32_and_float64_agree(rng):
    x, found = batch(rng, 5), []
    for dtype in (np.float32, np.float64):
        program = made(dtype)
        y = program.forward(x.astype(dtype), TRAIN)
        program.backward(np.ones_like(y), TRAIN)
        found.append((y, program.gradients.flat))
    # dropout of the two may differ in nothing, and rounding in little
    assert np.allclose(found[0][0], found[1][0], atol=1e-4)
    assert np.allclose(found[0][1], found[1][1], atol=2e-3)


def test_a_seed_is_a_start():
    assert np.array_equal(made(seed=5).parameters.flat, made(seed=5).parameters.flat)
    assert not np.array_equal(made(seed=5).parameters.flat, made(seed=6).parameters.flat)


def test_a_smaller_batch_takes_the_leading_rows(rng):
    program, alone, x = made(), made(), batch(rng, 7)
    program.forward(x, Mode())
    space = program._space
    small = program.forward(x[:3], Mode()).copy()
    assert program._space is space
    assert np.allclose(small, alone.forward(x[:3], Mode()), atol=1e-6)
    dy = np.ones_like(small)
    program.backward(dy, Mode())
    alone.backward(dy, Mode())
    assert np.allclose(program.gradients.flat, alone.gradients.flat, atol=1e-4)


def test_a_larger_batch_takes_new_buffers(rng):
    program, x = made(), batch(rng, 9)
    program.forward(x[:2], Mode())
    y = program.forward(x, Mode()).copy()
    rows = np.concatenate([program.forward(x[i : i + 1], Mode()).copy() for i in range(9)])
    assert np.allclose(y, rows, atol=1e-5)
    program.release()
    assert np.array_equal(program.forward(x, Mode()), y)


@pytest.mark.parametrize("again", [copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))])
def test_copies_predict_the_same_and_hold_no_buffer(rng, again):
    program, x = made(), batch(rng, 4)
    program.forward(x, TRAIN)  # moves the running averages
    y = program.forward(x, Mode()).copy()
    other = again(program)
    assert other._space is None
    assert len(pickle.dumps(program)) < 3 * (program.parameters.flat.nbytes + program.states.flat.nbytes) + 5000
    assert np.array_equal(other.forward(x, Mode()), y)
    other.parameters.flat[:] = 0  # its views are into its own buffer
    assert not other.forward(x, Mode()).any()
    assert np.array_equal(program.forward(x, Mode()), y)
    other.backward(np.ones_like(y), Mode())
    assert other.gradients.flat.any()


WIDE = {
    "convolution": [Convolution(16, activation="relu"), Convolution(16, stride=2), Convolution(32, 1, padding=0)],
    "transposed": [Convolution(16, stride=2), TransposedConvolution(16, stride=2, activation="relu")],
    "pooling": [Pooling("average", 2), Upsampling(2), GlobalPooling("average")],
    "overlapping windows": [Pooling("max", 3, 2), Pooling("average", 3, 2)],
    "linear": [Flatten(), Linear(512, "gelu"), Linear(256, "tanh")],
    "normalisation": [BatchNormalization("relu"), LayerNormalization(), Dropout(0.2), Activation("tanh")],
    "residual": [Residual([Convolution(16, activation="relu"), Convolution(16)])],
}


def peak_of_a_step(layers, B, rng):
    """Return the most bytes that a step takes besides what the first step has made."""
    program, x = Program(Sequential(layers), (32, 32, 16)), batch(rng, B, shape=(32, 32, 16))
    dy = np.ones((B, *program.output_shape), dtype=np.float32)

    def step():
        program.forward(x, TRAIN)
        program.backward(dy, TRAIN, need_dx=True)

    step()
    tracemalloc.start()
    try:
        step()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.skipif(_kernels.LEVEL == "reference", reason="twins allocate")
@pytest.mark.parametrize("name", WIDE)
@pytest.mark.parametrize("filters", [0, convolution.MANY_FILTERS])  # by columns, and directly
def test_no_allocation_in_the_steady_state(rng, monkeypatch, name, filters):
    monkeypatch.setattr(convolution, "MANY_FILTERS", filters)
    monkeypatch.setattr(columns, "CHUNK_BYTES", 2**16)
    some, more = (peak_of_a_step(WIDE[name], B, rng) for B in (16, 32))  # of 1 and 2 MB
    # a kernel has a window of at most 2**16 numbers copied, and its filters turned round, whatever the batch
    assert abs(more - some) < 2000
    assert more < 4 * 2**16 + 60_000


def test_the_table_is_that_of_the_network():
    text = made().table()
    assert "2.block.1  Convolution" in text
    assert f"{made().parameters.count:,}" in text.splitlines()[-1]


def test_the_package_is_lazy_and_names_what_it_has():
    assert network.Program is Program
    with pytest.raises(AttributeError, match="skml.network.*no attribute 'Perceptron'"):
        network.Perceptron  # noqa: B018


def test_a_program_learns(rng):
    program, x = made(seed=1), batch(rng, 16)
    target, losses = rng.normal(size=(16, 10)).astype(np.float32), []
    for step in range(30):
        mode = Mode(train=True, step=step)
        dz = program.forward(x, mode) - target
        losses.append(float((dz**2).mean()))
        program.backward(dz / 16, mode)
        program.parameters.flat[:] -= 0.03 * program.gradients.flat
    assert losses[-1] < 0.5 * losses[0]


def test_parts_share_their_numbers_and_make_the_whole(rng):
    program, x = made(), batch(rng, 4)
    program.forward(x, TRAIN)
    expected = program.forward(x, Mode()).copy()
    n = len(program.network.layers)
    for k in range(n + 1):
        head, tail = program.part(0, k), program.part(k, n)
        between = head.forward(x, Mode()).copy()
        assert head.output_shape == tail.shape == between.shape[1:]
        np.testing.assert_array_equal(tail.forward(between, Mode()), expected)
        assert head.parameters.count + tail.parameters.count == program.parameters.count
        assert np.shares_memory(program.part(0, n).parameters.flat, program.parameters.flat)
    twin = program.with_numbers(0 * program.parameters.flat, program.states.flat)
    assert not twin.forward(x, Mode()).any()
