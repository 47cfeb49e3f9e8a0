"""Interactions: sums of their weights, means, and their faces as matrix and as what kernels take."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skml.recommendation.ratings import Ratings, build_ratings


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sums_and_means_are_those_of_the_matrix(rng, weighted, dtype):
    there = rng.random((9, 7)) < 0.4
    there[3], there[:, 2] = False, False
    R, W = rng.normal(size=there.shape), rng.uniform(0.5, 2, there.shape) if weighted else np.ones(there.shape)
    codes = [part.astype(np.int32) for part in np.nonzero(there)]
    ratings = build_ratings(*codes, R[there].astype(dtype), W[there] if weighted else None, there.shape)
    tol = {"rtol": 1e-5 if dtype is np.float32 else 1e-12, "atol": 1e-6}
    assert_allclose(ratings.total_weight, W[there].sum(), **tol)
    for found, expected in (
        (ratings.row_weights(), (W * there).sum(axis=1)),
        (ratings.column_weights(), (W * there).sum(axis=0)),
        (ratings.row_means(), (W * R * there).sum(axis=1) / np.maximum((W * there).sum(axis=1), 1e-300)),
    ):
        assert found.dtype == np.float64
        assert_allclose(found, expected, **tol)
    assert_array_equal(ratings.matrix().toarray(), (R * there).astype(dtype))
    assert_array_equal(Ratings.of_matrix(ratings.matrix()).data, ratings.data)
    assert [len(array) for array in ratings.arrays()] == [10, *[there.sum()] * 2, there.sum() if weighted else 0]


def test_nothing_weighs_nothing():
    nothing = Ratings(np.zeros(3, np.int32), np.empty(0, np.int32), np.empty(0), None, 4)
    assert nothing.total_weight == 0.0
    for sums, size in ((nothing.row_weights(), 2), (nothing.column_weights(), 4), (nothing.row_means(), 2)):
        assert_array_equal(sums, np.zeros(size))
