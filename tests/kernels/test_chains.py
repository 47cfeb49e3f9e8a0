"""Chains of layers: compiled equals twin and the layers' own kernels; neither images beside nor threads show."""

import math

import numpy as np
import pytest

from skml import _kernels
from skml._kernels import chains
from skml._kernels.reference import chains as twin

each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
MODULES = [chains, twin]


def image_of(rng):
    return (*rng.integers(5, 20, size=2).tolist(), int(rng.choice([1, 3, 4, 16, 32])))


def row_of(kind, before, after, kernel=(1, 1), stride=(1, 1), pad=(0, 0), dilation=(1, 1), groups=1, activation=0):
    return [kind, *before, *after, *kernel, *stride, *pad, *dilation, groups, activation, -1, -1]


def windows(rng, shape, most=3):
    """Return kernel, stride and pad that fit images of a shape, and how many windows there are."""
    kernel, stride = rng.integers(1, most + 1, size=2), rng.integers(1, 3, size=2)
    pad = [int(rng.integers(0, k)) for k in kernel]
    made = [max(1, (size + p - k) // s + 1) for size, p, k, s in zip(shape, pad, kernel, stride)]
    return [tuple(map(int, a)) for a in (kernel, stride, pad, made)]


def convolution_of(rng, shape):
    kernel, stride, pad, made = windows(rng, shape)
    groups = int(rng.choice([g for g in (1, 1, 2, shape[2]) if shape[2] % g == 0]))
    F = groups * int(rng.choice([1, 3, 8, 33] if groups < 9 else [1, 2]))
    return row_of(0, shape, (*made, F), kernel, stride, pad, groups=groups, activation=int(rng.integers(6)))


def large_convolution(rng, shape):
    """Return a convolution that is computed in tiles of 2 x 2 results."""
    return row_of(0, shape, (*shape[:2], 64), (3, 3), pad=(1, 1), activation=int(rng.integers(6)))


def pooling_of(rng, shape):
    kernel, stride, pad, made = windows(rng, shape)
    kind, activation = int(rng.integers(1, 4)), int(rng.choice([0, 1, 2, 4, 5]))
    return row_of(kind, shape, (*made, shape[2]), kernel, stride, pad, activation=activation)


def linear_of(rng, shape):
    return row_of(0, (1, 1, math.prod(shape)), (1, 1, int(rng.choice([1, 10, 40]))), activation=int(rng.integers(6)))


def chain_of(rng, dtype):
    """Return the table of some layers, and their numbers."""
    shape, rows = image_of(rng), []
    makers = [*rng.choice([convolution_of, pooling_of], size=2), large_convolution, pooling_of, linear_of]
    for make in makers:
        if make is large_convolution:  # in front of which there are 32 channels
            rows.append(row_of(0, shape, (*shape[:2], 32), activation=1))
            shape = tuple(rows[-1][4:7])
        rows.append(make(rng, shape))
        shape = tuple(rows[-1][4:7])
    table, parts, at = np.array(rows, dtype=np.int64), [np.zeros(1)], 1
    for row in table:
        if row[0]:
            continue
        n_in, F = int(row[7] * row[8] * (row[3] // row[15])), int(row[6])
        row[17], row[18] = at, (at + n_in * F if rng.random() < 0.7 else -1)
        parts += [rng.normal(size=n_in * F) / np.sqrt(n_in), rng.normal(size=F)]
        at += (n_in + 1) * F
    return table, np.concatenate(parts).astype(dtype)


def run(module, table, numbers, x, n_threads=1):
    n_packed, n_bytes = module.measure(table, numbers, max(1, len(x)), n_threads)
    packed, space = np.full(n_packed, np.nan, numbers.dtype), np.full(n_bytes, 255, np.uint8)
    module.pack(table, numbers, packed)
    y = np.full((len(x), math.prod(table[-1, 4:7])), np.nan, numbers.dtype)
    module.run(table, packed, x, space, y, n_threads)
    return y


@each_dtype
@pytest.mark.parametrize("B", [0, 1, 3])
def test_a_chain_is_the_twins(rng, dtype, B):
    for _ in range(5):
        table, numbers = chain_of(rng, dtype)
        x = rng.normal(size=(B, math.prod(table[0, 1:4]))).astype(dtype)
        found = run(chains, table, numbers, x)
        expected = run(twin, table, numbers.astype(np.float64), x.astype(np.float64))
        # sums of n products by weights of about 1 / sqrt(n), six in turn: errors are those of a few sums of order 1
        atol = 500 * np.finfo(dtype).eps * max(1, np.abs(expected).max(initial=0))
        np.testing.assert_allclose(found, expected, rtol=0, atol=atol)
        for n_threads in (2, 3):
            np.testing.assert_array_equal(run(chains, table, numbers, x, n_threads), found)


@pytest.mark.skipif(_kernels.LEVEL == "reference", reason="BLAS's bits depend on the rows beside")
@each_dtype
def test_bits_are_those_of_the_layers_own_kernels_and_do_not_depend_on_images_beside(rng, dtype):
    table, numbers = chain_of(rng, dtype)
    table[:, 16] %= 3  # those of more than one product and sum may be compiled in two ways in two families
    x = rng.normal(size=(6, math.prod(table[0, 1:4]))).astype(dtype)
    together = run(chains, table, numbers, x)
    np.testing.assert_array_equal(run(chains, table, numbers, x[2:3].copy()), together[2:3])
    for row in table.tolist():
        x = layer(row, numbers, x.reshape(-1, *row[1:4]))
    np.testing.assert_array_equal(x.reshape(together.shape), together)


def layer(row, numbers, x):
    """Return what the kernel of a layer makes of images."""
    y = np.empty((len(x), *row[4:7]), x.dtype)
    kernel, stride, pad, dilation = (tuple(row[i : i + 2]) for i in range(7, 15, 2))
    if row[0] == 0:
        shape = *kernel, row[3] // row[15], row[6]
        w = numbers[row[17] :][: math.prod(shape)].reshape(shape)
        b = numbers[row[18] :][: row[6]] if row[18] >= 0 else numbers[:0]
        _kernels.convolution.forward(x, w, b, y, stride, pad, dilation, row[15], row[16], 1)
        return y
    if row[0] == 3:
        _kernels.pooling.average_pool(x, y, kernel, stride, pad, 1)
    else:
        index = np.empty(y.shape, np.uint8)
        _kernels.pooling.max_pool(x, y, index, kernel, stride, pad, 1 if row[0] == 1 else -1, 1)
    rows = y.reshape(-1, y.shape[-1])
    _kernels.fused.bias_activation(rows, numbers[:0], row[16], 1)
    return y


def test_weights_are_read_once(rng):
    table, numbers = chain_of(rng, np.float64)
    x = rng.normal(size=(1, math.prod(table[0, 1:4])))
    n_packed, n_bytes = chains.measure(table, numbers, 1, 1)
    packed, space, y = np.empty(n_packed), np.empty(n_bytes, np.uint8), np.empty((1, math.prod(table[-1, 4:7])))
    chains.pack(table, numbers, packed)
    expected = run(chains, table, numbers, x)
    numbers[:] = np.nan
    for _ in range(2):
        chains.run(table, packed, x, space, y, 1)
        np.testing.assert_array_equal(y, expected)


def broken(table, place, value):
    table = table.copy()
    table[place] = value
    return table


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize(
    "place, value",
    [((0, 0), 4), ((0, 0), -1), ((0, 1), 0), ((1, 3), 7), ((1, 7), 0), ((0, 9), -1), ((0, 11), -1), ((0, 15), 5)]
    + [((0, 16), 6), ((0, 13), 2**40), ((1, 4), 3)],
)
def test_tables_of_what_cannot_be_are_refused(module, place, value):
    table = np.array([row_of(0, (4, 4, 2), (4, 4, 2)), row_of(1, (4, 4, 2), (2, 2, 2), (2, 2), (2, 2)),
                      row_of(0, (1, 1, 8), (1, 1, 3))])  # fmt: skip
    table[0, 17], table[2, 17] = 0, 4
    numbers = np.zeros(28)
    assert module.measure(table, numbers, 1, 1)[0] >= 28
    with pytest.raises(ValueError, match=r".+"):
        module.measure(broken(table, place, value), numbers, 1, 1)


@pytest.mark.parametrize("module", MODULES)
def test_arrays_that_do_not_fit_are_refused(rng, module):
    table, numbers = chain_of(rng, np.float64)
    n_packed, n_bytes = module.measure(table, numbers, 2, 1)
    packed, space = np.empty(n_packed), np.empty(n_bytes, np.uint8)
    x, y = np.zeros((2, math.prod(table[0, 1:4]))), np.zeros((2, math.prod(table[-1, 4:7])))
    first = int(np.flatnonzero(table[:, 0] == 0)[0])
    for bad in (broken(table, (first, 17), len(numbers)), broken(table, (first, 17), -2)):
        with pytest.raises(ValueError, match=r".+"):
            module.pack(bad, numbers, packed)
    for given in [(table, 0, 1), (table, 1, 0), (table[:0], 1, 1), (table[:, :18].copy(), 1, 1)]:
        with pytest.raises(ValueError, match=r".+"):
            module.measure(given[0], numbers, *given[1:])
    for given in [(x[:1], y), (x[:, :-1].copy(), y), (x, y[:, :0].copy())]:
        with pytest.raises(ValueError, match=r".+"):
            module.run(table, packed, given[0], space, given[1], 1)
    with pytest.raises(ValueError, match=r".+"):
        module.pack(table, numbers, packed[:-1])


@pytest.mark.skipif(_kernels.LEVEL == "reference", reason="the twin needs no space")
def test_too_little_space_is_refused(rng):
    table, numbers = chain_of(rng, np.float64)
    n_packed, n_bytes = chains.measure(table, numbers, 2, 2)
    x, y = np.zeros((2, math.prod(table[0, 1:4]))), np.zeros((2, math.prod(table[-1, 4:7])))
    for less, fewer in [(0, 1), (1, 0)]:
        with pytest.raises(ValueError, match=r".+"):
            chains.run(table, np.zeros(n_packed - less), x, np.empty(n_bytes - fewer, np.uint8), y, 2)
