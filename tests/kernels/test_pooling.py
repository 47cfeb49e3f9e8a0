"""Pooling: compiled equals twin for any geometry and number of threads; wrong arguments are refused."""

import numpy as np
import pytest

from skml import _kernels
from skml._kernels import pooling
from skml._kernels.reference import pooling as twin

each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
# kernel, stride, pad
GEOMETRIES = [
    ((2, 2), (2, 2), (0, 0)),
    ((3, 3), (2, 2), (1, 1)),
    ((3, 2), (1, 3), (2, 0)),
    ((1, 4), (1, 4), (0, 3)),
    ((5, 5), (7, 6), (0, 1)),
    ((15, 17), (1, 1), (3, 3)),
]


def pooled(module, x, windows, geometry, sign=1, n_threads=1):
    y = np.full((x.shape[0], *windows, x.shape[3]), np.nan, x.dtype)
    index = np.full(y.shape, 77, np.uint8)
    module.max_pool(x, y, index, *geometry, sign, n_threads)
    return y, index


@each_dtype
@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    "shape", [(1, 1, 1, 1), (3, 9, 8, 5), (2, 7, 11, 70), (4, 28, 28, 16), (0, 4, 4, 2), (2, 4, 4, 0)]
)
def test_pooling_is_the_twins(rng, dtype, geometry, sign, shape):
    x = np.rint(rng.normal(size=shape) * 2).astype(dtype)  # with equals
    x[rng.random(shape) < 0.02] = np.nan
    windows = (shape[1] // geometry[1][0] + 2, shape[2] // geometry[1][1] + 1)  # some beyond the image
    y, index = pooled(twin, x, windows, geometry, sign)
    dy = rng.normal(size=y.shape).astype(dtype)
    expected = np.empty_like(x)
    twin.max_pool_backward(dy, index, expected, *geometry, 1)
    for n_threads in (1, 2, 3):
        ours = pooled(pooling, x, windows, geometry, sign, n_threads)
        np.testing.assert_array_equal(ours[0], y)
        np.testing.assert_array_equal(ours[1], index)
        dx = np.full_like(x, np.nan)
        pooling.max_pool_backward(dy, index, dx, *geometry, n_threads)
        np.testing.assert_allclose(dx, expected, rtol=1e-5, atol=1e-5)


@each_dtype
@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (3, 9, 8, 5), (2, 7, 11, 70), (0, 4, 4, 2), (2, 4, 4, 0)])
def test_means_are_the_twins(rng, dtype, geometry, shape):
    x = rng.normal(size=shape).astype(dtype)
    windows = (shape[1] // geometry[1][0] + 2, shape[2] // geometry[1][1] + 1)  # some beyond the image
    y = np.empty((shape[0], *windows, shape[3]), dtype)
    dy, expected = rng.normal(size=y.shape).astype(dtype), np.empty_like(x)
    twin.average_pool(x, y, *geometry, 1)
    with np.errstate(invalid="ignore"):
        twin.average_pool_backward(dy, expected, *geometry, 1)
    # at most 255 numbers of normal size are summed up, and each step rounds
    tol = 255 * 4 * np.finfo(dtype).eps
    for n_threads in (1, 2, 3):
        ours, dx = np.full_like(y, np.nan), np.full_like(x, np.nan)
        pooling.average_pool(x, ours, *geometry, n_threads)
        np.testing.assert_allclose(ours, y, atol=tol, rtol=0)
        pooling.average_pool_backward(dy, dx, *geometry, n_threads)
        np.testing.assert_allclose(dx, expected, atol=tol, rtol=0)


@each_dtype
@pytest.mark.parametrize("sign", [1, -1])
def test_an_index_may_be_left_out(rng, dtype, sign):
    x, geometry = rng.normal(size=(3, 9, 8, 21)).astype(dtype), GEOMETRIES[1]
    y, index = pooled(pooling, x, (5, 4), geometry, sign)
    for module in (pooling, twin):
        found = np.full_like(y, np.nan)
        module.max_pool(x, found, index[:0], *geometry, sign, 2)
        np.testing.assert_array_equal(found, y)


def test_means_by_hand():
    x, geometry = np.array([1, 2, 6.0, 5]).reshape(1, 1, 4, 1), ((1, 3), (1, 2), (0, 1))
    y, dx = np.empty((1, 1, 4, 1)), np.empty_like(x)
    for module in (pooling, twin):
        module.average_pool(x, y, *geometry, 1)
        assert y.ravel().tolist() == [1.5, 13 / 3, 5, 0]
        with np.errstate(invalid="ignore"):
            module.average_pool_backward(np.array([2, 3, 7.0, 9]).reshape(y.shape), dx, *geometry, 1)
        assert dx.ravel().tolist() == [1, 2, 1, 8]


def test_pooling_by_hand():
    x = np.array([[1, 2, 5, 0], [4, 3, 5, 9.0]]).reshape(1, 2, 4, 1)
    y, index = pooled(pooling, x, (1, 2), ((2, 2), (2, 2), (0, 0)))
    assert y.ravel().tolist() == [4, 9]
    assert index.ravel().tolist() == [2, 3]
    y, index = pooled(pooling, x, (1, 2), ((2, 2), (2, 2), (0, 0)), sign=-1)
    assert y.ravel().tolist() == [1, 0]
    assert index.ravel().tolist() == [0, 1]
    y, index = pooled(pooling, np.ones((1, 2, 2, 1)), (3, 1), ((2, 2), (2, 2), (2, 0)))
    assert y.ravel().tolist() == [0, 1, 0]
    assert index.ravel().tolist() == [255, 0, 255]
    dx = np.empty((1, 2, 2, 1))
    pooling.max_pool_backward(np.array([7, 5, 3.0]).reshape(1, 3, 1, 1), index, dx, (2, 2), (2, 2), (2, 0), 1)
    assert dx.ravel().tolist() == [5, 0, 0, 0]


@pytest.mark.skipif(_kernels.LEVEL == "reference", reason="a twin trusts its caller")
def test_pooling_refuses_what_does_not_fit():
    x, y, index = np.ones((2, 4, 4, 3)), np.ones((2, 2, 2, 3)), np.zeros((2, 2, 2, 3), np.uint8)
    good = [x, y, index, (2, 2), (2, 2), (0, 0), 1, 1]
    pooling.max_pool(*good)
    of_sizes = [(3, (0, 2)), (3, (16, 16)), (3, (1, 300)), (4, (0, 1)), (4, (2**62, 1)), (5, (-1, 0))]
    arrays = [(1, y[:1]), (1, y[:, :1].copy()), (1, y[:, :, :1].copy()), (1, y[..., :1].copy()), (2, index[:1])]
    for at, value in [*of_sizes, *arrays, (0, x[:1]), (0, x[..., :2].copy()), (6, 0), (7, 0)]:
        with pytest.raises(ValueError):
            pooling.max_pool(*[value if i == at else argument for i, argument in enumerate(good)])
    good = [x, y, (2, 2), (2, 2), (0, 0), 1]
    pooling.average_pool(*good)
    pooling.average_pool_backward(y, x, *good[2:])
    sizes = [(2, (0, 2)), (2, (2**62, 1)), (3, (0, 1)), (4, (-1, 0)), (5, 0)]
    for at, value in [*sizes, (1, y[:1]), (1, y[..., :1].copy())]:
        given = [value if i == at else argument for i, argument in enumerate(good)]
        for call in (lambda g: pooling.average_pool(*g), lambda g: pooling.average_pool_backward(g[1], g[0], *g[2:])):
            with pytest.raises(ValueError):
                call(given)
    good = [y, index, x, (2, 2), (2, 2), (0, 0), 1]
    pooling.max_pool_backward(*good)
    arrays = [(0, y[:1]), (0, y[:, :1].copy()), (0, y[:, :, :1].copy()), (0, y[..., :1].copy()), (1, index[:1])]
    for at, value in [*of_sizes, *arrays, (2, x[:1]), (2, x[..., :2].copy()), (6, 0)]:
        with pytest.raises(ValueError):
            pooling.max_pool_backward(*[value if i == at else argument for i, argument in enumerate(good)])
