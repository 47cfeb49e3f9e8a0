"""The hashes of rows: compiled equals twin, and the entry refuses what doesn't fit."""

import numpy as np
import pytest
import scipy.sparse as sp

from skml import _kernels
from skml._kernels import rows
from skml._kernels.reference import rows as twin


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("coarse", [False, True])
@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (7, 5), (33, 16), (4, 0)])
@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_compiled_equals_twin(rng, dtype, coarse, shape, n_threads):
    X = rng.standard_normal(shape).astype(dtype) * rng.integers(0, 2, shape).astype(dtype)
    X[rng.random(shape) < 0.1] = np.nan
    dense, expected, sparse, expected_sparse = (np.empty(len(X), dtype=np.uint64) for _ in range(4))
    rows.hash_rows(X, coarse, dense, n_threads)
    twin.hash_rows(X, coarse, expected, n_threads)
    np.testing.assert_array_equal(dense, expected)
    stored = sp.csr_array(X)
    parts = (stored.data, stored.indices.astype(np.int32), stored.indptr.astype(np.int32))
    rows.hash_sparse_rows(*parts, coarse, sparse, n_threads)
    twin.hash_sparse_rows(*parts, coarse, expected_sparse, n_threads)
    np.testing.assert_array_equal(sparse, expected_sparse)
    np.testing.assert_array_equal(sparse, dense)


def refused(function, *arguments):
    with pytest.raises(ValueError):
        function(*arguments)


@pytest.mark.skipif(_kernels.LEVEL == "reference", reason="a twin trusts its caller")
def test_the_entries_refuse_what_does_not_fit():
    hashes = np.empty(3, dtype=np.uint64)
    X = np.ones((2, 2))
    refused(rows.hash_rows, X, False, hashes, 1)
    refused(rows.hash_rows, np.asfortranarray(np.ones((3, 2))), False, hashes, 1)
    refused(rows.hash_rows, np.ones((3, 2)), False, hashes, 0)
    values, columns = np.ones(2), np.zeros(2, dtype=np.int32)
    for indptr in ([0, 1, 2], [0, 2, 1, 2], [1, 1, 1, 2], [0, 1, 1, 3]):
        refused(rows.hash_sparse_rows, values, columns, np.array(indptr, dtype=np.int32), False, hashes, 1)
    indptr = np.array([0, 1, 1, 2], dtype=np.int32)
    refused(rows.hash_sparse_rows, values, columns[:1], indptr, False, hashes, 1)
    refused(rows.hash_sparse_rows, values, columns, indptr.astype(np.int64), False, hashes, 1)
