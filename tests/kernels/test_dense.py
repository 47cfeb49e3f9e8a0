"""Products with what follows them: compiled equals twin for any sizes and threads; wrong arguments are refused."""

import threading

import numpy as np
import pytest

from skml import _kernels
from skml._kernels import dense
from skml._kernels.reference import dense as twin

each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
SIZES = [(1, 3, 5), (70, 17, 33), (260, 40, 70), (0, 3, 4), (5, 3, 0), (300, 130, 1)]
SIZES += [(70, 600, 300), (3, 4100, 5), (3, 5, 1060)]  # weights in several pieces, of either side


def close(found, expected, dtype):
    # sums of some thousand products of normal numbers at most: rounding adds up to K / 5 eps or so, the sums to sqrt(K)
    assert abs(found - expected).max(initial=0) <= 200 * np.finfo(dtype).eps * max(1, abs(expected).max(initial=0))


def normals(rng, dtype, *shapes):
    return [rng.normal(size=shape).astype(dtype) for shape in shapes]


@each_dtype
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("after", ["", "bias", "bias add", "add", "gelu", "bias gelu", "bias gelu by_tanh"])
def test_multiply_is_the_twins(rng, dtype, size, transposed, after):
    N, K, M = size
    x, w, b, add = normals(rng, dtype, (N, K), (M, K) if transposed else (K, M), (M if "bias" in after else 0,), (N, M))
    add = add if "add" in after else np.empty((0, 0), dtype)
    found = []
    for module, n_threads in ((twin, 1), (dense, 1), (dense, 2), (dense, 3)):
        y = np.full((N, M), np.nan, dtype)
        h = np.full((N, M) if "gelu" in after else (0, 0), np.nan, dtype)
        module.multiply(x, w, transposed, b, add, y, h, "by_tanh" in after, n_threads)
        found.append((y, h))
    for i in (0, 1):
        close(found[1][i], found[0][i], dtype)
        for other in found[2:]:
            np.testing.assert_array_equal(other[i], found[1][i])


@each_dtype
@pytest.mark.parametrize("size", [size for size in SIZES if size[2]])
@pytest.mark.parametrize("by_tanh", [False, True])
def test_through_gelu_is_the_twins(rng, dtype, size, by_tanh):
    N, K, M = size
    dy, w, z = normals(rng, dtype, (N, M), (K, M), (N, K))
    found = []
    for module, n_threads in ((twin, 1), (dense, 1), (dense, 2)):
        dz, h = z.copy(), np.full_like(z, np.nan)
        module.through_gelu(dy, w, dz, h, by_tanh, n_threads)
        found.append((dz, h))
    for i in (0, 1):
        close(found[1][i], found[0][i], dtype)
        np.testing.assert_array_equal(found[2][i], found[1][i])


@each_dtype
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("bias", [True, False])
def test_gradients_are_the_twins(rng, dtype, size, bias):
    N, K, M = size
    x, dy = normals(rng, dtype, (N, K), (N, M))
    found = []
    for module, n_threads in ((twin, 1), (dense, 1), (dense, 2), (dense, 3)):
        dw, db = np.full((K, M), np.nan, dtype), np.full(M if bias else 0, np.nan, dtype)
        module.gradients(x, dy, dw, db, n_threads)
        found.append((dw, db))
    for i in (0, 1):
        close(found[1][i], found[0][i], dtype)
        for other in found[2:]:
            np.testing.assert_array_equal(other[i], found[1][i])


@pytest.mark.skipif(_kernels.LEVEL == "reference", reason="a twin is not told to stop")
def test_products_stop_when_they_are_told_to(rng):
    told, N = threading.Event(), 200
    x, w, y, h, db = normals(rng, np.float64, (N, 3), (3, 3), (N, 3), (N, 3), 3)
    none = np.empty((0, 0))
    told.set()
    for call in (
        lambda: dense.multiply(x, w, False, db, none, y, none, False, 1),
        lambda: dense.through_gelu(x, w, y, h, False, 1),
        lambda: dense.gradients(x, y, w, db, 1),
    ):
        with _kernels.stoppable(told), pytest.raises(_kernels.Stopped):
            call()


@pytest.mark.parametrize("module", [dense, twin])
def test_what_does_not_fit_is_refused(module):
    x, w, b, y, none = np.ones((5, 3)), np.ones((3, 4)), np.ones(4), np.ones((5, 4)), np.empty((0, 0))
    threads = [0] if module is not twin else []
    good = [x, w, False, b, none, y, none, False, 1]
    module.multiply(*good)
    bad = [(0, x[:4]), (0, np.ones((5, 2))), (1, np.ones((3, 5))), (2, True), (3, b[:3]), (4, np.ones((5, 3))), (4, y)]
    bad += [(5, np.ones((5, 5))), (6, np.ones((4, 4)))]
    refused(module.multiply, good, [*bad, *((8, n) for n in threads)])
    refused(module.multiply, [x, w, False, b, np.ones((5, 4)), y, np.ones((5, 4)), False, 1], [(0, x)])
    refused(module.multiply, [np.ones((5, 0)), np.ones((0, 4)), False, b, none, y, none, False, 1], [(8, 1)])
    good = [y, w, x.copy(), np.ones((5, 3)), False, 1]
    module.through_gelu(*good)
    refused(module.through_gelu, good, [(0, y[:4]), (1, np.ones((3, 5))), (2, x[:4]), (3, x[:4]), (3, np.ones((5, 2)))])
    refused(module.through_gelu, [np.ones((5, 0)), np.ones((3, 0)), *good[2:]], [(5, 1)])
    good = [x, y, np.ones((3, 4)), b, 1]
    module.gradients(*good)
    bad = [(0, x[:4]), (1, y[:4]), (2, np.ones((3, 3))), (3, b[:3])]
    refused(module.gradients, good, [*bad, *((4, n) for n in threads)])


def refused(function, good, bad):
    for at, value in bad:
        with pytest.raises(ValueError):
            function(*[value if i == at else argument for i, argument in enumerate(good)])
