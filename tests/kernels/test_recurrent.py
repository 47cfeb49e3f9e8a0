"""Recurrent cells: compiled equals twin, forward and backward, for any threads; wrong arguments are refused."""

import numpy as np
import pytest

from skml import _kernels
from skml._kernels import recurrent
from skml._kernels.reference import recurrent as twin

each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
each_cell = pytest.mark.parametrize("cell", [0, 1, 2])
GATES, KEPT, STATES = (1, 3, 4), (1, 4, 4), (1, 1, 2)
NONE = np.empty((0, 0), np.int32)


def drawn(rng, sizes, cell, dtype, n_codes=0, with_first=False):
    """Return the arrays of a call, as a dict."""
    B, T, H = sizes
    width = GATES[cell] * H
    found = {
        "w": rng.normal(size=(H, width)) / np.sqrt(max(H, 1)),
        "inputs": rng.normal(size=(n_codes or B * T, width)),
        "bias": rng.normal(size=KEPT[cell] * H),
        "state": rng.normal(size=(STATES[cell], B, H)),
        "dy": rng.normal(size=(B, T, H)),
        "dstate": rng.normal(size=(STATES[cell], B, H)),
    }
    found = {name: value.astype(dtype) for name, value in found.items()}
    found["codes"] = rng.integers(n_codes, size=(B, T)).astype(np.int32) if n_codes else NONE
    # of each row some moments begin anew, and the first goes on
    found["first"] = rng.integers(-1, max(T, 1), size=(B, T)).astype(np.int32) if with_first else NONE
    return found


def run(module, a, cell, activation=4, n_threads=1, keep=True):
    """Go forward and backward, and return all that was written."""
    B, T, H = sizes = a["dy"].shape
    dtype, width = a["dy"].dtype, GATES[cell] * H
    packed = np.empty(module.packed_size(H, width), dtype)
    module.pack(a["w"], packed)
    state, y, none = a["state"].copy(), np.full(sizes, np.nan, dtype), np.empty((0, 0, 0), dtype)
    kept = np.full((B, T, KEPT[cell] * H), np.nan, dtype) if keep else none
    before = np.full(sizes, np.nan, dtype) if keep else none
    cells = np.full(sizes, np.nan, dtype) if keep and cell == 2 else none
    given = a["inputs"], a["codes"], packed, a["bias"], a["first"]
    module.forward(*given, state, kept, before, cells, y, cell, activation, n_threads)
    if not keep:
        return [y, state]
    packed = np.empty(module.packed_size(width, H), dtype)
    module.pack(a["w"].T, packed)
    dstate, found = a["dstate"].copy(), [y, state, kept.copy(), before, cells]
    module.backward(a["dy"], packed, a["first"], dstate, kept, before, cells, cell, activation, n_threads)
    return [*found, kept, dstate]


@each_dtype
@each_cell
@pytest.mark.parametrize("sizes", [(1, 1, 1), (3, 5, 7), (17, 4, 33), (5, 9, 64), (0, 3, 4), (3, 0, 4), (2, 3, 0)])
@pytest.mark.parametrize("n_codes", [0, 6])
@pytest.mark.parametrize("with_first", [False, True])
def test_cells_are_the_twins(rng, dtype, cell, sizes, n_codes, with_first):
    a = drawn(rng, sizes, cell, dtype, n_codes, with_first)
    expected = run(twin, {name: v.astype(np.float64) if v.dtype == dtype else v for name, v in a.items()}, cell)
    ours = run(recurrent, a, cell)
    for x, e in zip(ours, expected):
        assert x.dtype == dtype
        assert x.shape == e.shape
        scale = max(1, abs(e).max(initial=0))
        assert abs(x - e).max(initial=0) <= (1e-5 if dtype == np.float32 else 1e-12) * scale
    for n_threads in (2, 3):
        for x, e in zip(run(recurrent, a, cell, n_threads=n_threads), ours):
            assert np.array_equal(x, e)


@pytest.mark.parametrize("activation", [0, 1, 2, 4, 5])
def test_activations_are_the_twins(rng, activation):
    a = drawn(rng, (3, 4, 5), 0, np.float64)
    for x, e in zip(run(recurrent, a, 0, activation), run(twin, a, 0, activation)):
        np.testing.assert_allclose(x, e, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("module", [recurrent, twin])
@each_cell
def test_without_keeping_the_output_is_the_same(rng, module, cell):
    a = drawn(rng, (5, 6, 19), cell, np.float32, n_codes=3, with_first=True)
    for x, e in zip(run(module, a, cell, keep=False), run(module, a, cell)):
        assert np.array_equal(x, e)


@pytest.mark.skipif(_kernels.LEVEL == "reference", reason="BLAS's bits depend on the rows beside")
@each_cell
def test_a_row_has_the_same_bits_alone(rng, cell):
    a = drawn(rng, (11, 4, 21), cell, np.float32, with_first=True)
    whole = run(recurrent, a, cell)
    rows = a["inputs"].reshape(11, 4, -1)
    for i in (0, 6, 10):
        one = {name: a[name][i : i + 1].copy() for name in ("dy", "first")}
        one |= {name: a[name][:, i : i + 1].copy() for name in ("state", "dstate")}
        found = run(recurrent, a | one | {"inputs": rows[i].copy()}, cell)
        for x, e, axis in zip(found, whole, (0, 1, 0, 0, 0, 0, 1)):
            assert np.array_equal(x, np.take(e, [i] if e.size else [], axis=axis) if e.size else e)


def test_inputs_may_lie_where_gates_will(rng):
    a = drawn(rng, (4, 3, 5), 1, np.float64)
    expected = run(recurrent, a, 1)
    kept, y, before, state = np.empty((4, 3, 20)), np.empty((4, 3, 5)), np.empty((4, 3, 5)), a["state"].copy()
    inputs = kept.reshape(12, 20)[:, :15]
    inputs[:] = a["inputs"]
    packed = np.empty(recurrent.packed_size(5, 15))
    recurrent.pack(a["w"], packed)
    none = np.empty((4, 0, 0))
    recurrent.forward(inputs, NONE, packed, a["bias"], NONE, state, kept, before, none, y, 1, 4, 1)
    assert np.array_equal(y, expected[0])
    assert np.array_equal(kept, expected[2])


def refused(function, good, bad):
    function(*[argument.copy() if isinstance(argument, np.ndarray) else argument for argument in good])
    for at, value in bad:
        with pytest.raises(ValueError):
            function(*[value if i == at else argument for i, argument in enumerate(good)])


@pytest.mark.parametrize("module", [recurrent, twin])
@each_cell
def test_wrong_arguments_are_refused(module, cell):
    B, T, H = sizes = 3, 4, 5
    G, K, S = GATES[cell], KEPT[cell], STATES[cell]
    packed, y, codes = np.zeros(module.packed_size(H, G * H)), np.zeros(sizes), np.zeros((B, T), np.int32)
    cells = np.zeros(sizes) if cell == 2 else np.zeros((B, 0, 0))
    inputs, state, kept = np.zeros((2, G * H)), np.zeros((S, B, H)), np.zeros((B, T, K * H))
    good = [inputs, codes, packed, np.zeros(K * H), codes, state, kept, y.copy(), cells, y, cell, 4, 1]
    bad = [(0, inputs[:, :-1].copy()), (1, codes + 2), (1, codes - 1), (1, codes[:2].copy())]
    bad += [
        (2, packed[: H * H * G - 1]),
        (3, np.zeros(K * H + 1)),
        (4, codes[:, :3].copy()),
        (5, state[:, :2].copy()),
        (6, kept[:, :3].copy()),
    ]
    bad += [(6, kept[..., :-1].copy()), (7, y[:2].copy()), (9, y[..., :4].copy()), (10, 3), (10, -1), (11, 3), (12, 0)]
    bad += [(1, NONE)]  # then there are too few inputs
    refused(module.forward, good, [*bad, *([(8, cells[:, :2].copy())] if cell == 2 else [])])
    packed = np.zeros(module.packed_size(G * H, H))
    good = [y, packed, codes, state, kept, y.copy(), cells, cell, 4, 1]
    bad = [(0, y[:2].copy()), (1, packed[: H * H * G - 1]), (2, codes[:2].copy()), (3, state[..., :4].copy())]
    bad += [(4, kept[:, :3].copy()), (5, y[:, :3].copy()), (7, 3), (8, 3), (9, 0)]
    refused(module.backward, good, [*bad, *([(6, cells[:, :2].copy())] if cell == 2 else [])])


def test_packing_refuses_too_little_room():
    for module in (recurrent, twin):
        with pytest.raises(ValueError):
            module.pack(np.ones((5, 6)), np.empty(29))


@pytest.mark.skipif(_kernels.LEVEL == "reference", reason="to a twin all strides are alike")
def test_strides_that_are_no_whole_numbers_are_refused():
    field = np.zeros((4, 4), dtype=[("a", "i4"), ("w", "f8")])["w"]  # 12 bytes from number to number
    with pytest.raises(ValueError, match="must be multiples of 8; make a copy"):
        recurrent.pack(field, np.empty(recurrent.packed_size(4, 4)))
