"""Losses of tokens and sums over equal ones: compiled equals twin; wrong arguments are refused."""

import numpy as np
import pytest

from skml._kernels import sequences
from skml._kernels.reference import sequences as twin

each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def losses_of(module, z, targets, shares, n_threads=1, in_place=False):
    z = z.copy()
    dz, losses = z if in_place else np.full_like(z, np.nan), np.full(len(z), np.nan)
    module.cross_entropy(z, targets, shares, dz, losses, n_threads)
    return losses, dz


@each_dtype
@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (5, 2), (7, 65), (40, 16), (3, 5000), (2, 50257)])
def test_cross_entropy_is_the_twins(rng, dtype, shape):
    z = (5 * rng.normal(size=shape)).astype(dtype)
    targets = rng.integers(-1, shape[1], size=shape[0]).astype(np.int32)
    shares = rng.random(shape[0])
    expected = losses_of(twin, z.astype(np.float64), targets, shares)
    tol = 5e-6 if dtype == np.float32 else 1e-12
    for n_threads in (1, 2, 3):
        for in_place in (False, True):
            losses, dz = losses_of(sequences, z, targets, shares, n_threads, in_place)
            np.testing.assert_allclose(losses, expected[0], rtol=tol, atol=tol)
            np.testing.assert_allclose(dz, expected[1], rtol=tol, atol=tol)
            assert dz.dtype == dtype
    assert not dz[targets < 0].any()


def test_cross_entropy_by_hand():
    z = np.array([[np.log(3), 0], [0, 0], [1000, 0]])
    losses, dz = losses_of(sequences, z, np.array([0, -1, 1], np.int32), np.array([4.0, 1, 1]))
    np.testing.assert_allclose(losses, [np.log(4 / 3), 0, 1000])
    np.testing.assert_allclose(dz, [[-1, 1], [0, 0], [1, -1]], atol=1e-12)


def test_nan_stays(rng):
    z = rng.normal(size=(3, 40))
    z[1, 5] = np.nan
    losses, dz = losses_of(sequences, z, np.zeros(3, np.int32), np.ones(3))
    assert np.isnan(losses).tolist() == [False, True, False]
    assert np.isnan(dz[1]).all()


@each_dtype
@pytest.mark.parametrize("shape", [(0, 5), (1, 1), (40, 3), (300, 260), (6, 0)])
def test_sums_are_the_twins(rng, dtype, shape):
    wide = rng.normal(size=(shape[0], shape[1] + 4)).astype(dtype)
    rows, codes = wide[:, : shape[1]], rng.integers(0, 7, size=shape[0]).astype(np.int32)
    expected = np.full((7, shape[1]), np.nan, dtype)
    twin.sum_rows(rows, codes, expected, 1)
    for n_threads in (1, 2, 3):
        out = np.full((7, shape[1]), np.nan, dtype)
        sequences.sum_rows(rows, codes, out, n_threads)
        assert np.array_equal(out, expected)  # both sum in the order of the rows


@pytest.mark.parametrize("module", [sequences, twin])
def test_wrong_arguments_are_refused(module):
    z, codes, shares = np.ones((3, 4)), np.array([0, 3, -1], np.int32), np.ones(3)
    good = [z, codes, shares, z.copy(), np.ones(3), 1]
    module.cross_entropy(*good)
    bad = [(1, codes[:2]), (1, codes + 1), (1, codes - 1), (2, shares[:2]), (3, z[:2].copy()), (3, np.ones((3, 5)))]
    for at, value in [*bad, (4, np.ones(2)), (5, 0)]:
        with pytest.raises(ValueError):
            module.cross_entropy(*[value if i == at else argument for i, argument in enumerate(good)])
    good = [z, np.array([0, 1, 1], np.int32), np.ones((2, 4)), 1]
    module.sum_rows(*good)
    bad = [(0, z[:2]), (0, np.ones((3, 8))[:, ::2]), (1, codes), (1, good[1] + 1), (2, np.ones((2, 3))), (3, 0)]
    for at, value in bad:
        with pytest.raises(ValueError):
            module.sum_rows(*[value if i == at else argument for i, argument in enumerate(good)])
