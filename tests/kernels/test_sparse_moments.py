"""The kernel of products with centred sparse rows against its twin."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose

from skml import _kernels
from skml._kernels import sparse_moments
from skml._kernels.reference import sparse_moments as twin


@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (5, 4), (67, 90), (300, 7)])
@pytest.mark.parametrize("dtype", ["d", "f"])
@pytest.mark.parametrize("work_dtype", ["d", "f"])
@pytest.mark.parametrize("n_vectors", [1, 2, 4, 8])
@pytest.mark.parametrize("weighted", [False, True])
def test_add_sparse_product(rng, shape, dtype, work_dtype, n_vectors, weighted):
    X = sp.random_array(shape, density=0.3, format="csr", dtype=dtype, rng=rng)
    rows = slice(shape[0] // 3, shape[0])
    weights = rng.uniform(0, 2, shape[0])[rows] if weighted else np.empty(0)
    offset, work = rng.standard_normal(n_vectors), rng.standard_normal((shape[1], 2 * n_vectors)).astype(work_dtype)
    indptr = X.indptr[rows.start : rows.stop + 1].astype(np.int32)
    results = []
    for module in (sparse_moments, twin):
        place, sums = work.copy(), np.ones(n_vectors)
        module.add_sparse_product(indptr, X.indices.astype(np.int32), X.data, weights, offset, place, sums)
        results.append((place, sums))
    for ours, theirs in zip(*results):
        tol = 1e-10 if work_dtype == "d" else 1e-4
        assert_allclose(ours, theirs, rtol=tol, atol=tol)


@pytest.mark.skipif(_kernels.LEVEL == "reference", reason="a twin trusts its caller")
@pytest.mark.parametrize(
    "indptr, indices, n_vectors, work, message",
    [
        ([0, 2], [0, 5], 1, (3, 2), "outside"),
        ([0, 2], [0, -1], 1, (3, 2), "outside"),
        ([0, 3], [0, 1], 1, (3, 2), "outside"),
        ([0, 2, 1], [0, 1], 1, (3, 2), "outside"),
        ([-1, 2], [0, 1], 1, (3, 2), "outside"),
        ([0, 2], [0, 1], 3, (3, 6), "1, 2, 4 or 8"),
        ([0, 2], [0, 1], 2, (3, 2), "two columns"),
    ],
)
def test_refuses_what_points_outside(indptr, indices, n_vectors, work, message):
    arrays = np.array(indptr, np.int32), np.array(indices, np.int32), np.ones(len(indices))
    with pytest.raises(ValueError, match=message):
        sparse_moments.add_sparse_product(
            *arrays, np.empty(0), np.zeros(n_vectors), np.zeros(work), np.zeros(n_vectors)
        )
