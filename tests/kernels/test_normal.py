"""Per-row normal equations: compiled equals twin, both equal least squares, and the entry refuses what doesn't fit."""

import numpy as np
import pytest

from skml import _kernels
from skml._kernels import normal
from skml._kernels.reference import normal as twin

each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def problem(rng, dtype, *, n_rows=40, m=30, k=5, implicit=False, plain=False):
    lengths = rng.integers(0, m + 1, size=n_rows)
    lengths[:3] = (0, 1, m)[: min(3, n_rows)]
    indptr = np.append(0, np.cumsum(lengths)).astype(np.int32)
    indices = [np.sort(rng.choice(m, size, replace=False)) for size in lengths]
    indices = np.concatenate([np.empty(0), *indices]).astype(np.int32)
    line = 64 // np.dtype(dtype).itemsize
    K, n = -(-k // line) * line, len(indices)
    others, prior = np.zeros((m, K), dtype), np.zeros((n_rows, K), dtype)
    others[:, :k], prior[:, :k] = rng.normal(size=(m, k)), rng.normal(size=(n_rows, k))
    none = np.empty(0, dtype)
    data = (0.3 + 3 * rng.random(n) if implicit else rng.normal(size=n)).astype(dtype)
    return {
        "indptr": indptr,
        "indices": indices,
        "data": data,
        "weights": none if plain or implicit else (0.1 + rng.random(n)).astype(dtype),
        "others": others,
        "shift": none if plain or implicit else rng.normal(size=m).astype(dtype),
        "gram": others.T @ others if implicit else np.empty((0, K), dtype),
        "ridge": (0.3 + rng.random(k)).astype(dtype),
        "scales": none if plain else (0.5 + rng.random(n_rows)).astype(dtype),
        "prior": np.empty((0, K), dtype) if plain else prior,
    }


def solve(module, given, steps=0, n_threads=1, wanted=True, begin=0.0, rows=None):
    n_rows, K = len(given["indptr"]) - 1, given["others"].shape[1]
    found = np.zeros((n_rows, K), given["data"].dtype)
    found[:, : len(given["ridge"])] = begin
    losses = np.zeros(n_rows if wanted else 0)
    start, end = rows or (0, n_rows)
    module.solve_rows(*given.values(), steps, start, end, found, losses, n_threads)
    return found, losses


@each_dtype
@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("steps", [0, 1, 3])
@pytest.mark.parametrize("k", [1, 7, 16, 21, 64, 70])
def test_compiled_is_the_twin(rng, dtype, implicit, plain, steps, k):
    given = problem(rng, dtype, k=k, implicit=implicit, plain=plain, m=90)
    expected, losses = solve(twin, given, steps, begin=0.1)
    found, found_losses = solve(normal, given, steps, begin=0.1)
    tol = 2e-3 if dtype == np.float32 else 1e-9
    np.testing.assert_allclose(found, expected, rtol=tol, atol=tol * (1 + np.abs(expected).max()))
    np.testing.assert_allclose(found_losses, losses, rtol=tol, atol=tol * (1 + np.abs(losses).max()))
    np.testing.assert_array_equal(solve(normal, given, steps, wanted=False, begin=0.1)[0], found)


@each_dtype
@pytest.mark.parametrize("steps", [0, 3])
@pytest.mark.parametrize("implicit", [False, True])
def test_neither_threads_nor_slices_change_a_bit(rng, dtype, steps, implicit):
    given = problem(rng, dtype, k=19, n_rows=100, implicit=implicit)
    found, losses = solve(normal, given, steps)
    for n_threads in (2, 3):
        other, other_losses = solve(normal, given, steps, n_threads)
        np.testing.assert_array_equal(other, found)
        np.testing.assert_array_equal(other_losses, losses)
    part, _ = solve(normal, given, steps, 2, rows=(7, 31))
    np.testing.assert_array_equal(part[7:31], found[7:31])
    assert not part[:7].any()
    assert not part[31:].any()


@pytest.mark.parametrize("module", [normal, twin])
@pytest.mark.parametrize("implicit", [False, True])
def test_each_row_is_a_ridge_regression(rng, module, implicit):
    given = problem(rng, np.float64, k=6, implicit=implicit)
    found, losses = solve(module, given)
    m, k = len(given["others"]), len(given["ridge"])
    for row in range(len(found)):
        at = slice(given["indptr"][row], given["indptr"][row + 1])
        items = given["indices"][at]
        if implicit:
            w, t, Q = np.ones(m), np.zeros(m), given["others"][:, :k]
            w[items], t[items] = given["data"][at], 1
        else:
            w, t, Q = given["weights"][at], given["data"][at] - given["shift"][items], given["others"][items, :k]
        ridge, prior = np.sqrt(given["scales"][row] * given["ridge"]), given["prior"][row, :k]
        design = np.vstack([np.sqrt(w)[:, None] * Q, np.diag(ridge)])
        x = np.linalg.lstsq(design, np.append(np.sqrt(w) * t, ridge * prior), rcond=None)[0]
        np.testing.assert_allclose(found[row, :k], x, atol=1e-9)
        everywhere = ((Q @ x) ** 2).sum() if implicit else 0
        np.testing.assert_allclose(losses[row] + everywhere, (w * (t - Q @ x) ** 2).sum(), atol=1e-8)


@each_dtype
def test_enough_conjugate_gradients_are_exact(rng, dtype):
    given = problem(rng, dtype, k=4)
    tol = 1e-3 if dtype == np.float32 else 1e-10
    np.testing.assert_allclose(solve(normal, given, 30)[0], solve(normal, given)[0], atol=tol)


@each_dtype
@pytest.mark.parametrize("module", [normal, twin])
def test_without_a_ridge_a_singular_row_has_a_solution(rng, dtype, module):
    given = problem(rng, dtype, k=20, plain=True)
    given["ridge"] = np.zeros(20, dtype)
    given["others"][:, 3] = given["others"][:, 2]
    found, losses = solve(module, given)
    assert np.isfinite(found).all()
    assert not found[0].any()
    lengths = np.diff(given["indptr"])
    # fewer ratings than factors are met, more are met no worse than any other way
    assert losses[(lengths > 0) & (lengths < 8)].max() < 1e-3
    row = int(np.argmax(lengths))
    at = slice(given["indptr"][row], given["indptr"][row + 1])
    Q, t = given["others"][given["indices"][at], :20].astype(float), given["data"][at]
    least = ((t - Q @ np.linalg.lstsq(Q, t, rcond=None)[0]) ** 2).sum()
    np.testing.assert_allclose(losses[row], least, rtol=1e-3)


@pytest.mark.parametrize("module", [normal, twin])
def test_no_rows_and_no_interactions(rng, module):
    given = problem(rng, np.float64, n_rows=0, plain=True)
    assert solve(module, given)[0].shape == (0, 8)
    given = problem(rng, np.float64, n_rows=3, plain=True)
    given.update(indptr=np.zeros(4, np.int32), indices=np.empty(0, np.int32), data=np.empty(0))
    for steps in (0, 3):
        found, losses = solve(module, given, steps)
        assert not found.any()
        assert not losses.any()


@pytest.mark.parametrize("module", [normal, twin])
@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("indices", lambda a: np.where(np.arange(len(a)) == 5, 30, a).astype(np.int32)),
        ("indices", lambda a: np.where(np.arange(len(a)) == 5, -1, a).astype(np.int32)),
        ("indptr", lambda a: a[:-1]),
        ("indptr", lambda a: a[::-1].copy()),
        ("data", lambda a: a[1:]),
        ("weights", lambda a: a[1:]),
        ("others", lambda a: np.ascontiguousarray(a[:, :7])),
        ("shift", lambda a: a[1:]),
        ("gram", lambda a: np.zeros((3, 8))),
        ("gram", lambda a: np.zeros((8, 8))),
        ("ridge", lambda a: np.ones(9)),
        ("ridge", lambda a: np.ones(0)),
        ("scales", lambda a: a[1:]),
        ("prior", lambda a: a[1:]),
    ],
)
def test_what_does_not_fit_is_refused(rng, module, name, change):
    given = problem(rng, np.float64)
    given[name] = change(given[name])
    found, losses = np.zeros((40, 8)), np.zeros(40)
    with pytest.raises(ValueError):  # noqa: PT011
        module.solve_rows(*given.values(), 0, 0, 40, found, losses, 1)


@pytest.mark.parametrize("module", [normal, twin])
@pytest.mark.parametrize("numbers", [(0, 0, 41, 1), (0, -1, 4, 1), (0, 5, 4, 1), (-1, 0, 4, 1), (0, 0, 4, 0)])
def test_numbers_out_of_range_are_refused(rng, module, numbers):
    given = problem(rng, np.float64)
    steps, start, end, n_threads = numbers
    with pytest.raises(ValueError):  # noqa: PT011
        module.solve_rows(*given.values(), steps, start, end, np.zeros((40, 8)), np.zeros(40), n_threads)


@pytest.mark.skipif(_kernels.LEVEL == "reference", reason="a twin trusts its caller")
@pytest.mark.parametrize("module", [normal])
def test_kinds_of_array_are_refused(rng, module):
    given = problem(rng, np.float64)
    for name, value in (("data", given["data"].astype(np.float32)), ("others", np.asfortranarray(given["others"]))):
        with pytest.raises((ValueError, TypeError)):
            module.solve_rows(*{**given, name: value}.values(), 0, 0, 40, np.zeros((40, 8)), np.zeros(40), 1)
