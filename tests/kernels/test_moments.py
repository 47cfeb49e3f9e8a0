"""The kernels of centred products against their twins."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skml import _kernels
from skml._kernels import CPU_LEVEL, LEVELS, moments
from skml._kernels.reference import moments as twin

SHAPES = [(1, 1), (2, 3), (5, 4), (67, 9)]


def inputs(rng, shape, dtype, order, weighted):
    X = np.asarray(rng.standard_normal(shape), dtype=dtype, order=order)
    return X, np.sqrt(rng.uniform(0, 2, shape[0])) if weighted else np.empty(0)


@pytest.mark.parametrize("shape", [(0, 3), *SHAPES])
@pytest.mark.parametrize("dtype, out", [("d", "d"), ("f", "f"), ("f", "d"), ("d", "f")])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("weighted", [False, True])
def test_centre(rng, shape, dtype, out, order, weighted):
    X, scale = inputs(rng, shape, dtype, order, weighted)
    shift = rng.standard_normal(shape[1]).astype(out)
    results = []
    for module in (moments, twin):
        block, total = np.empty(shape, out), np.ones(shape[1])
        module.centre(X, shift, scale, block, total)
        results.append((block, total))
    for ours, theirs in zip(*results):
        assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5 if "f" in (dtype, out) else 1e-12)


def strided(X, order):
    """Return X in another layout."""
    if order == "part":
        return np.repeat(np.repeat(X, 2, axis=0), 3, axis=1)[::2, ::3]
    return X[::-1].copy()[::-1] if order == "backwards" else np.asarray(X, order=order)


LAYOUTS = ["C", "F", "part", "backwards"]
# Around the sizes of tiles (4 or 8), vectors (2 to 16), panels (6 to 48) and runs of rows (240).
WIDE = [(1, 1), (3, 2), (5, 4), (67, 9), (9, 13), (241, 24), (485, 25), (7, 49), (33, 100)]


@pytest.mark.parametrize("shape", WIDE)
@pytest.mark.parametrize("dtype", ["d", "f"])
@pytest.mark.parametrize("order", LAYOUTS)
@pytest.mark.parametrize("weighted", [False, True])
def test_add_scatter(rng, shape, dtype, order, weighted):
    X, scale = inputs(rng, shape, dtype, "C", weighted)
    X = strided(X, order)
    shift = rng.standard_normal(shape[1]).astype(dtype)
    results = []
    for module in (moments, twin):
        total, scatter = np.zeros(shape[1]), np.full((shape[1], shape[1]), 7.0)
        module.add_scatter(X, shift, scale, total, scatter)
        results.append((total, scatter))
    size = shape[0] * 10.0
    for ours, theirs in zip(*results):
        assert_allclose(ours, theirs, rtol=0, atol=size * (1e-6 if dtype == "f" else 1e-14))


@pytest.mark.parametrize("shape", [(n_rows, n_columns) for n_columns, n_rows in WIDE])
@pytest.mark.parametrize("dtype", ["d", "f"])
@pytest.mark.parametrize("order", LAYOUTS)
@pytest.mark.parametrize("weighted", [False, True])
def test_add_gram(rng, shape, dtype, order, weighted):
    X, scale = inputs(rng, shape, dtype, "C", weighted)
    X = strided(X, order)
    results = []
    for module in (moments, twin):
        mean, gram = np.empty(shape[1]), np.full((shape[0], shape[0]), 7.0)
        module.add_gram(X, scale, mean, gram)
        results.append((mean, gram))
    for ours, theirs in zip(*results):
        assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), *WIDE, (50, 500)])
@pytest.mark.parametrize("dtype, out", [("d", "d"), ("f", "f"), ("f", "d"), ("d", "f")])
@pytest.mark.parametrize("order", LAYOUTS)
@pytest.mark.parametrize("n_vectors", [0, 1, 4, 10, 24, 57])
def test_project(rng, shape, dtype, out, order, n_vectors):
    X = strided(rng.standard_normal(shape).astype(dtype), order)
    mean, V = rng.standard_normal(shape[1]).astype(out), strided(rng.standard_normal((shape[1], n_vectors)), order)
    results = []
    for module in (moments, twin):
        results.append(np.full((shape[0], n_vectors), np.nan, out))
        module.project(X, mean, V.astype(out), results[-1])
    assert_allclose(*results, rtol=0, atol=1e-3 if "f" in (dtype, out) else 1e-11)


@pytest.mark.parametrize("level", LEVELS[: LEVELS.index(CPU_LEVEL) + 1])
@pytest.mark.parametrize("dtype", ["d", "f"])
def test_every_build_multiplies_alike(rng, level, dtype):
    # Tiles have another shape in each.
    build = pytest.importorskip(f"skml._kernels.moments_{level}")
    X = rng.standard_normal((245, 53)).astype(dtype)
    results = []
    for module in (build, twin):
        scatter, gram, out = np.zeros((53, 53)), np.zeros((245, 245)), np.zeros((245, 31), dtype)
        module.add_scatter(X, X[0], np.empty(0), np.zeros(53), scatter)
        module.add_gram(X, np.empty(0), np.zeros(53), gram)
        module.project(X, X[0], X[:31].T, out)
        results.append((scatter, gram, out))
    for ours, theirs in zip(*results):
        assert_allclose(ours, theirs, rtol=0, atol=2e-3 if dtype == "f" else 1e-10)


@pytest.mark.parametrize("dtype", ["d", "f"])
def test_products_meet_nan_and_infinity(rng, dtype):
    X = rng.standard_normal((20, 30)).astype(dtype)
    X[3, 7], X[5, 11] = np.nan, np.inf
    with np.errstate(invalid="ignore"):
        scatter = np.zeros((30, 30))
        moments.add_scatter(X, np.zeros(30, dtype), np.empty(0), np.zeros(30), scatter)
    clean = np.delete(np.delete(scatter, [7, 11], axis=0), [7, 11], axis=1)
    assert np.isnan(scatter[7, :8]).all()
    assert np.isinf(scatter[11, 11])
    assert np.isfinite(clean).all()


@pytest.mark.skipif(_kernels.LEVEL == "reference", reason="a twin trusts its caller")
def test_wrong_shapes_are_refused():
    X, none = np.zeros((4, 3)), np.empty(0)
    with pytest.raises(ValueError, match="shift"):
        moments.centre(X, np.zeros(2), none, np.zeros((4, 3)), np.zeros(3))
    with pytest.raises(ValueError, match="out"):
        moments.centre(X, np.zeros(3), none, np.zeros((3, 3)), np.zeros(3))
    with pytest.raises(ValueError, match="scale"):
        moments.centre(X, np.zeros(3), np.ones(2), np.zeros((4, 3)), np.zeros(3))
    with pytest.raises(ValueError, match="scatter"):
        moments.add_scatter(X, np.zeros(3), none, np.zeros(3), np.zeros((2, 2)))
    with pytest.raises(ValueError, match="columns"):
        moments.add_scatter(X[:, :0], np.zeros(0), none, np.zeros(0), np.zeros((0, 0)))
    with pytest.raises(ValueError, match="scale"):
        moments.add_scatter(X, np.zeros(3), np.ones(3), np.zeros(3), np.zeros((3, 3)))
    with pytest.raises(ValueError, match="mean"):
        moments.project(X, np.zeros(2), np.zeros((3, 2)), np.zeros((4, 2)))
    with pytest.raises(ValueError, match="out"):
        moments.project(X, np.zeros(3), np.zeros((3, 2)), np.zeros((4, 3)))
    with pytest.raises(ValueError, match="gram"):
        moments.add_gram(X, none, np.zeros(3), np.zeros((3, 3)))
    with pytest.raises(ValueError, match="mean"):
        moments.add_gram(X, none, np.zeros(2), np.zeros((4, 4)))
