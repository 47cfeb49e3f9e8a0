"""The kernels of centred products against their twins."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skml._kernels import moments
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


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["d", "f"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("weighted", [False, True])
def test_add_scatter(rng, shape, dtype, order, weighted):
    X, scale = inputs(rng, shape, dtype, order, weighted)
    shift = rng.standard_normal(shape[1]).astype(dtype)
    results = []
    for module in (moments, twin):
        total, scatter = np.zeros(shape[1]), np.zeros((shape[1], shape[1]), dtype)
        module.add_scatter(X, shift, scale, np.empty((4, shape[1]), dtype), total, scatter)
        results.append((total, np.tril(scatter)))
    for ours, theirs in zip(*results):
        assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4 if dtype == "f" else 1e-10)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["d", "f"])
@pytest.mark.parametrize("weighted", [False, True])
def test_add_gram(rng, shape, dtype, weighted):
    X, scale = inputs(rng, shape, dtype, "C", weighted)
    results = []
    for module in (moments, twin):
        mean, gram = np.empty(shape[1]), np.zeros((shape[0], shape[0]))
        module.add_gram(X, scale, np.empty(shape), mean, gram)
        results.append((mean, np.tril(gram)))
    for ours, theirs in zip(*results):
        assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)


def test_wrong_shapes_are_refused():
    X, none = np.zeros((4, 3)), np.empty(0)
    with pytest.raises(ValueError, match="shift"):
        moments.centre(X, np.zeros(2), none, np.zeros((4, 3)), np.zeros(3))
    with pytest.raises(ValueError, match="out"):
        moments.centre(X, np.zeros(3), none, np.zeros((3, 3)), np.zeros(3))
    with pytest.raises(ValueError, match="scale"):
        moments.centre(X, np.zeros(3), np.ones(2), np.zeros((4, 3)), np.zeros(3))
    with pytest.raises(ValueError, match="scatter"):
        moments.add_scatter(X, np.zeros(3), none, np.zeros((2, 3)), np.zeros(3), np.zeros((2, 2)))
    with pytest.raises(ValueError, match="gram"):
        moments.add_gram(X, none, np.zeros((4, 3)), np.zeros(3), np.zeros((3, 3)))
