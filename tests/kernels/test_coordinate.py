"""Coordinate descent's kernels against their twins."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from skml import _kernels
from skml._kernels import coordinate
from skml._kernels.reference import coordinate as twin

SHAPES = [(0, 3), (1, 1), (5, 4), (31, 17), (60, 150)]
each_case = pytest.mark.parametrize("shape", SHAPES)
each_dtype = pytest.mark.parametrize("dtype", ["f", "d"])
with_and_without_weights = pytest.mark.parametrize("weighted", [False, True])


def entries(rng, shape, dtype, weighted):
    """Return indptr, indices, data and weights of a sparse matrix with an empty row and a full one."""
    mask = rng.random(shape) < 0.4
    if shape[0] > 2:
        mask[0], mask[1] = False, True
    R = sp.csr_array(mask.astype(dtype))
    weights = rng.uniform(0.5, 2, R.nnz) if weighted else np.empty(0)
    return [
        R.indptr.astype("i4"),
        R.indices.astype("i4"),
        rng.standard_normal(R.nnz).astype(dtype),
        weights.astype(dtype),
    ]


def tolerances(dtype):
    return {"rtol": 1e-8, "atol": 1e-9} if dtype == "d" else {"rtol": 2e-3, "atol": 2e-4}


@each_case
@each_dtype
@with_and_without_weights
@pytest.mark.parametrize("low", [-np.inf, 0.0])
def test_sweep_rows(rng, shape, dtype, weighted, low):
    parts = entries(rng, shape, dtype, weighted)
    held, own = rng.standard_normal((2, shape[0])).astype(dtype)
    pairs, penalties = rng.standard_normal((shape[1], 2)).astype(dtype), rng.uniform(0, 1, shape[0])
    results = []
    for module, n_threads in ((twin, 1), (coordinate, 1), (coordinate, 3)):
        residual, mine = parts[2].copy(), own.copy()
        arrays = (*parts[:2], residual, parts[3], held, pairs, mine, penalties)
        for start, stop in ((0, shape[0] // 2), (shape[0] // 2, shape[0])):
            module.sweep_rows(*arrays, low, start, stop, n_threads)
        results.append((residual, mine))
    for reference, one, three in zip(*results):
        assert_allclose(one, reference, **tolerances(dtype))
        assert_array_equal(one, three)


def test_sweep_rows_takes_its_own_coordinate_as_what_was_held(rng):
    parts, own = entries(rng, (9, 5), "d", False), rng.standard_normal(9)
    pairs, penalties = rng.standard_normal((5, 2)), np.ones(9)
    first, second = parts[2].copy(), parts[2].copy()
    apart, same = own.copy(), own.copy()
    coordinate.sweep_rows(*parts[:2], first, parts[3], own, pairs, apart, penalties, -np.inf, 0, 9, 2)
    coordinate.sweep_rows(*parts[:2], second, parts[3], same, pairs, same, penalties, -np.inf, 0, 9, 2)
    assert_array_equal(apart, same)
    assert_array_equal(first, second)


def test_without_curvature_or_penalty_a_coordinate_stays():
    own = np.array([3.0])
    empty = np.array([0, 0], "i4"), np.empty(0, "i4"), np.empty(0), np.empty(0)
    coordinate.sweep_rows(*empty, own, np.zeros((2, 2)), own, np.zeros(1), -np.inf, 0, 1, 1)
    assert own[0] == 3
    coordinate.sweep_rows(*empty, own, np.zeros((2, 2)), own, np.ones(1), -np.inf, 0, 1, 1)
    assert own[0] == 0


@each_case
@each_dtype
@with_and_without_weights
@pytest.mark.parametrize("nonnegative", [False, True])
@pytest.mark.parametrize("K", [1, 2, 7, 18])
def test_solve_rows(rng, shape, dtype, weighted, nonnegative, K):
    parts = entries(rng, shape, dtype, weighted)
    design, offsets = rng.standard_normal((shape[1], K)).astype(dtype), rng.standard_normal(shape[1]).astype(dtype)
    half = rng.standard_normal((K, K))
    arrays = (*parts, design, offsets, half @ half.T / 10, rng.uniform(0.1, 1, K), rng.uniform(0.5, 2, shape[0]))
    results = []
    for module, n_threads in ((twin, 1), (coordinate, 1), (coordinate, 3)):
        own = np.zeros((shape[0], K), dtype)
        for start, stop in ((0, shape[0] // 2), (shape[0] // 2, shape[0])):
            module.solve_rows(*arrays, own, nonnegative, start, stop, n_threads)
        results.append(own)
    assert_allclose(results[1], results[0], **tolerances(dtype))
    assert_array_equal(results[1], results[2])


@pytest.mark.parametrize("nonnegative", [False, True])
def test_solve_rows_without_penalty_where_columns_depend_on_each_other(rng, nonnegative):
    X = np.abs(rng.standard_normal((12, 3))) @ np.abs(rng.standard_normal((3, 6)))
    y = X @ np.abs(rng.standard_normal(6)) + rng.standard_normal(12)
    arrays = np.array([0, 12], "i4"), np.arange(12, dtype="i4"), y, np.empty(0), X, np.zeros(12)
    own = {}
    for module in (coordinate, twin):
        own[module] = np.zeros((1, 6))
        module.solve_rows(*arrays, np.zeros((6, 6)), np.zeros(6), np.ones(1), own[module], nonnegative, 0, 1, 1)
    ours, theirs = (((X @ own[module][0] - y) ** 2).sum() for module in (coordinate, twin))
    assert_allclose(ours, theirs, rtol=1e-8)


def test_rows_of_nothing_are_zero():
    own = np.ones((2, 3))
    arrays = np.zeros(3, "i4"), np.empty(0, "i4"), np.empty(0), np.empty(0), np.ones((4, 3)), np.zeros(4)
    coordinate.solve_rows(*arrays, np.zeros((3, 3)), np.zeros(3), np.ones(2), own, False, 0, 2, 1)
    assert_array_equal(own, 0)


@each_case
@each_dtype
@pytest.mark.parametrize("K", [0, 1, 15, 35])
def test_write_residuals(rng, shape, dtype, K):
    indptr, indices, data, _ = entries(rng, shape, dtype, False)
    left, right = (rng.standard_normal((size, K)).astype(dtype) for size in shape)
    results = []
    for module, n_threads in ((twin, 1), (coordinate, 1), (coordinate, 3)):
        residual = np.zeros_like(data)
        module.write_residuals(indptr, indices, data, left, right, residual, 0, shape[0], n_threads)
        results.append(residual)
    assert_allclose(results[1], results[0], **tolerances(dtype))
    assert_array_equal(results[1], results[2])


@each_case
@each_dtype
@with_and_without_weights
@pytest.mark.parametrize(("K", "width"), [(0, 3), (4, 1), (17, 9)])
def test_residual_products(rng, shape, dtype, weighted, K, width):
    parts = entries(rng, shape, dtype, weighted)
    left, right = (rng.standard_normal((size, K)).astype(dtype) for size in shape)
    basis = rng.standard_normal((shape[1], width)).astype(dtype)
    results = []
    for module, n_threads in ((twin, 1), (coordinate, 1), (coordinate, 3)):
        out, errors = np.zeros((shape[0], width), dtype), np.zeros(shape[0])
        module.residual_products(*parts, left, right, basis, out, errors, 0, shape[0], n_threads)
        results.append((out, errors))
    for reference, one, three in zip(*results):
        assert_allclose(one, reference, **tolerances(dtype))
        assert_array_equal(one, three)


def good():
    """Return arguments of two rows and three columns, for each function."""
    sparse = [np.array([0, 1, 2], "i4"), np.array([0, 2], "i4"), np.ones(2)]
    none, two, three = np.empty(0), np.ones(2), np.ones(3)
    wide = np.ones((2, 4)), np.ones((3, 4))
    return {
        "sweep_rows": [*sparse, none, two, np.ones((3, 2)), two.copy(), two, 0.0],
        "solve_rows": [*sparse, none, wide[1], three, np.eye(4), np.ones(4), two, np.ones((2, 4)), False],
        "write_residuals": [*sparse, *wide, two.copy()],
        "residual_products": [*sparse, none, *wide, np.ones((3, 5)), np.ones((2, 5)), two],
    }


BAD = {
    0: np.array([0, 2, 1], "i4"),
    1: np.array([0, 3], "i4"),
    2: np.ones(5),
    "sweep_rows": {3: np.ones(3), 4: np.ones(3), 5: np.ones((3, 3)), 6: np.ones(1), 7: np.ones(1)},
    "solve_rows": {
        3: np.ones(1),
        4: np.ones((2, 4)),
        5: np.ones(2),
        6: np.eye(3),
        7: np.ones(3),
        8: np.ones(3),
        9: np.ones((2, 3)),
    },
    "write_residuals": {3: np.ones((3, 4)), 4: np.ones((3, 5)), 5: np.ones(3)},
    "residual_products": {
        3: np.ones(1),
        4: np.ones((1, 4)),
        5: np.ones((3, 3)),
        6: np.ones((2, 5)),
        7: np.ones((2, 4)),
        8: np.ones(3),
    },
}


@pytest.mark.parametrize("module", [coordinate, twin])
@pytest.mark.parametrize("name", sorted(good()))
def test_refuses_what_does_not_fit(module, name):
    function = getattr(module, name)
    function(*good()[name], 0, 2, 1)
    for at, value in {**{i: BAD[i] for i in range(3)}, **BAD[name]}.items():
        arguments = good()[name]
        arguments[at] = value
        with pytest.raises(ValueError):
            function(*arguments, 0, 2, 1)
    for start, stop in ((-1, 2), (0, 3), (2, 1)):
        with pytest.raises(ValueError):
            function(*good()[name], start, stop, 1)


@pytest.mark.skipif(_kernels.LEVEL == "reference", reason="a twin trusts its caller")
@pytest.mark.parametrize("name", sorted(good()))
def test_refuses_no_threads(name):
    with pytest.raises(ValueError, match="n_threads"):
        getattr(coordinate, name)(*good()[name], 0, 2, 0)
