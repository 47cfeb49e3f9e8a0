"""Products of rows against their twin, and what they promise of bits."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skml import _kernels
from skml._kernels import products
from skml._kernels.reference import products as twin

SHAPES = [
    (0, 3, 2),
    (3, 0, 2),
    (3, 4, 0),
    (1, 1, 1),
    (1, 50, 7),
    (8, 48, 16),
    (13, 101, 65),
    (31, 24, 300),
    (5, 7, 600),
]


def multiplied(module, left, right, n_threads=1):
    out = np.full((len(left), len(right)), np.nan, left.dtype)
    module.row_products(left, right, out, n_threads)
    return out


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["d", "f"])
def test_is_as_the_twin(rng, shape, dtype):
    m, n, k = shape
    left, right = rng.normal(size=(m, k)).astype(dtype), rng.normal(size=(n, k)).astype(dtype)
    ours, theirs = (multiplied(module, left, right) for module in (products, twin))
    assert_allclose(ours, theirs, rtol=0, atol=1e-11 if dtype == "d" else 2e-3)
    assert_allclose(theirs, left @ right.T, rtol=0, atol=1e-11 if dtype == "d" else 2e-3)
    whole = np.rint(5 * left), np.rint(5 * right)  # of integers to the bit
    assert_array_equal(multiplied(products, *whole), whole[0] @ whole[1].T)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["d", "f"])
def test_a_products_bits_depend_on_its_rows_alone(rng, shape, dtype):
    m, n, k = shape
    left, right = rng.normal(size=(m, k)).astype(dtype), rng.normal(size=(n, k)).astype(dtype)
    for module in (products, twin):
        whole = multiplied(module, left, right)
        for n_threads in (2, 5):
            assert_array_equal(multiplied(module, left, right, n_threads), whole)
        some, others = rng.permutation(m)[: m // 2 + 1], rng.permutation(n)[: n // 2 + 1]
        assert_array_equal(multiplied(module, left[some], right[others]), whole[np.ix_(some, others)])
        for row in range(m):
            assert_array_equal(multiplied(module, left[row : row + 1], right)[0], whole[row])
        if n:
            equal = multiplied(module, left, np.ascontiguousarray(np.broadcast_to(right[:1], right.shape)))
            assert_array_equal(equal, equal[:, :1].repeat(n, axis=1))


def test_what_is_no_number_stays_where_it_is(rng):
    left, right = rng.normal(size=(9, 5)), rng.normal(size=(30, 5))
    left[2, 3], right[11, 0] = np.nan, np.inf
    out = multiplied(products, left, right)
    assert np.isnan(out[2]).all()
    assert np.isinf(np.delete(out[:, 11], 2)).all()
    assert np.isfinite(np.delete(np.delete(out, 2, 0), 11, 1)).all()


@pytest.mark.skipif(_kernels.LEVEL == "reference", reason="a twin trusts its caller")
@pytest.mark.parametrize("broken", ["k", "m", "n", "threads", "dtype"])
def test_refuses_what_does_not_fit(broken):
    left, right, out = np.ones((3, 2)), np.ones((4, 2 + (broken == "k"))), np.empty((3 + (broken == "m"), 4))
    out = np.empty((3, 5)) if broken == "n" else out.astype("f") if broken == "dtype" else out
    with pytest.raises((ValueError, TypeError)):
        products.row_products(left, right, out, int(broken != "threads"))
    if broken in "kmn":
        with pytest.raises(ValueError):
            twin.row_products(left, right, out, 1)
