"""Products of matrices: compiled equals twin for any sizes, strides and threads; wrong arguments are refused."""

import numpy as np
import pytest

from skml import _kernels
from skml._kernels import matrices
from skml._kernels.reference import matrices as twin

each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
SIZES = [(1, 1, 1), (7, 3, 5), (64, 256, 32), (65, 513, 33), (130, 40, 1100), (9, 1030, 17), (1, 300, 200)]


def laid(rng, shape, dtype, how):
    """Return a matrix: row after row, column after column, or with gaps in both directions."""
    if how == "gaps":
        return rng.normal(size=(2 * shape[0], 3 * shape[1])).astype(dtype)[::2, ::3]
    a = rng.normal(size=shape).astype(dtype)
    return a if how == "rows" else np.asfortranarray(a)


@each_dtype
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("how", [("rows", "rows"), ("columns", "rows"), ("rows", "columns"), ("gaps", "gaps")])
def test_product_is_the_twins(rng, dtype, size, how):
    m, k, n = size
    left, right = laid(rng, (m, k), dtype, how[0]), laid(rng, (k, n), dtype, how[1])
    there = rng.normal(size=(m, n)).astype(dtype)
    # each sum of k products and a number is off by at most k + 1 roundings of its terms' sizes
    bound = (k + 2) * np.finfo(dtype).eps * (np.abs(left).astype(float) @ np.abs(right).astype(float) + np.abs(there))
    for add in (False, True):
        expected = there.astype(np.float64)
        twin.multiply(left.astype(np.float64), right.astype(np.float64), expected, add, 1)
        found = []
        for n_threads in (1, 2, 3):
            wide = np.full((m, n + 3), 7, dtype)
            out = wide[:, :n]
            out[:] = there if add else np.nan
            matrices.multiply(left, right, out, add, n_threads)
            assert (abs(out - expected) <= bound).all()
            assert (wide[:, n:] == 7).all(), "written beside the result"
            found.append(out.copy())
        assert np.array_equal(found[0], found[1])
        assert np.array_equal(found[0], found[2])


@pytest.mark.skipif(_kernels.LEVEL == "reference", reason="BLAS's bits depend on the rows beside")
def test_rows_have_the_same_bits_alone(rng):
    left, right = rng.normal(size=(30, 70)).astype(np.float32), rng.normal(size=(70, 50)).astype(np.float32)
    whole, one = np.empty((30, 50), np.float32), np.empty((1, 50), np.float32)
    matrices.multiply(left, right, whole, False, 1)
    for i in (0, 13, 29):
        matrices.multiply(left[i : i + 1], right, one, False, 1)
        assert np.array_equal(one[0], whole[i])


@pytest.mark.parametrize("module", [matrices, twin])
def test_products_of_nothing(module):
    out = np.ones((2, 3))
    module.multiply(np.empty((2, 0)), np.empty((0, 3)), out, True, 1)
    assert (out == 1).all()
    module.multiply(np.empty((2, 0)), np.empty((0, 3)), out, False, 1)
    assert (out == 0).all()
    module.multiply(np.empty((0, 4)), np.ones((4, 3)), np.empty((0, 3)), False, 1)
    module.multiply(np.ones((2, 4)), np.empty((4, 0)), np.empty((2, 0)), False, 1)


def test_nan_and_infinity_stay(rng):
    left, right, out = np.ones((9, 20)), np.ones((20, 5)), np.empty((9, 5))
    left[3, 4], left[7, 0] = np.nan, np.inf
    matrices.multiply(left, right, out, False, 1)
    assert np.isnan(out[3]).all()
    assert np.isposinf(out[7]).all()
    assert (out[0] == 20).all()


@pytest.mark.parametrize("module", [matrices, twin])
def test_wrong_arguments_are_refused(module):
    good = [np.ones((3, 4)), np.ones((4, 5)), np.ones((3, 5)), False, 1]
    module.multiply(*good)
    bad = [(0, np.ones((3, 5))), (1, np.ones((5, 5))), (2, np.ones((4, 5))), (2, np.ones((3, 4))), (4, 0)]
    for at, value in [*bad, (2, np.ones((3, 10))[:, ::2])]:
        with pytest.raises(ValueError):
            module.multiply(*[value if i == at else argument for i, argument in enumerate(good)])


@pytest.mark.skipif(_kernels.LEVEL == "reference", reason="to a twin all strides are alike")
def test_strides_that_are_no_whole_numbers_are_refused():
    field = np.zeros((6, 5), dtype=[("a", "i4"), ("w", "f8")])["w"]  # 12 bytes from number to number
    whole = np.zeros((6, 5))
    for left, right in ((field, whole.T), (whole, field.T)):
        with pytest.raises(ValueError, match="must be multiples of 8; make a copy"):
            matrices.multiply(left, right, np.empty((6, 6)), False, 1)
