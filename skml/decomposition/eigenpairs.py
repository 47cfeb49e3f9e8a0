"""The largest eigenvalues of a symmetric matrix without negative ones, and their vectors."""

import numpy as np
import scipy.linalg as sl

from skml._kernels import blas_threads


def leading_eigenpairs(A, k):
    """Return the `k` largest eigenvalues of a symmetric matrix, falling, and their vectors.

    Parameters
    ----------
    A : ndarray of shape (m, m), C-contiguous float64
        Its lower triangle is read.
    k : int
        How many; all if there are fewer.

    Returns
    -------
    values : ndarray of shape (min(k, m),)
        Never negative: A is a sum of squares.
    vectors : ndarray of shape (m, min(k, m))
        In columns.
    """
    m = len(A)
    k = min(k, m)
    if k == 0:
        return np.zeros(0), np.zeros((m, 0))
    with blas_threads(1):  # LAPACK's bits change with the number of BLAS threads
        if 4 * k <= m:
            # A.T in Fortran's order is no copy.
            values, vectors = sl.eigh(
                A.T, lower=False, driver="evr", subset_by_index=(m - k, m - 1), check_finite=False
            )
        if 4 * k > m or len(values) < k:  # where many are equal, "evr" may miss some
            values, vectors = np.linalg.eigh(A)
    return np.maximum(values[: -k - 1 : -1], 0.0), vectors[:, : -k - 1 : -1]
