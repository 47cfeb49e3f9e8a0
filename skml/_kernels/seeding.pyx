"""Several candidate centres tried in one pass, and the distances of sparse rows."""

import numpy as np

from cython cimport floating
from cython.parallel cimport prange
from libc.stdint cimport int32_t, int64_t

cdef extern from "kmeans_sparse.hpp" namespace "skml_kmeans" nogil:
    cdef cppclass Trials[T]:
        const T* X
        const double* weights
        const T* closest
        const T* candidates
        const T* fill
        Py_ssize_t n, d, m
        double unit
        T* out
    void trial_at[T](const Trials[T]&, Py_ssize_t, Py_ssize_t, int64_t*) noexcept
    void sparse_row[T](const T*, const int32_t*, Py_ssize_t, Py_ssize_t, const double*, const double*, Py_ssize_t,
                       Py_ssize_t, double*) noexcept

include "checks.pxi"


def try_centers(
    const floating[:, ::1] X,  # in
    const double[::1] weights,  # in
    const floating[::1] closest,  # in: squared distance to the nearest centre so far
    const floating[:, ::1] candidates,  # in
    const floating[::1] fill,  # in: d / observed per row where NaN means missing, else empty
    double unit,  # fixed-point units per 1 of weight * distance; no term may exceed 2**51 of them
    floating[:, ::1] trial,  # out: per candidate, `closest` with the candidate added
    int64_t[::1] total,  # out: per candidate, the sum of weight * trial in units
    int n_threads,
):
    """Try several new centres in one pass over X; the totals are integers, so the rows' order cannot show."""
    cdef Trials[floating] t
    cdef Py_ssize_t trials = candidates.shape[0], b, c, block = 256
    cdef bint missing = fill.shape[0] > 0
    _check_threads(n_threads)
    t.n, t.d, t.m, t.unit = X.shape[0], X.shape[1], trials, unit
    if (weights.shape[0] != t.n or closest.shape[0] != t.n or candidates.shape[1] != t.d or trial.shape[0] != trials
            or trial.shape[1] != t.n or total.shape[0] != trials or (missing and fill.shape[0] != t.n)):
        raise ValueError("X, weights, closest, candidates, fill, trial and total disagree in shape.")
    if t.n == 0 or trials == 0:
        return
    t.X, t.weights, t.closest, t.candidates, t.out = &X[0, 0], &weights[0], &closest[0], &candidates[0, 0], &trial[0, 0]
    if missing:
        t.fill = &fill[0]
    cdef Py_ssize_t n_blocks = (t.n + block - 1) // block
    cdef int64_t[:, ::1] partial = np.empty((n_blocks, trials), dtype=np.int64)
    for b in prange(n_blocks, nogil=True, num_threads=n_threads, schedule="static"):
        trial_at(t, block, b, &partial[0, 0])
    for c in range(trials):
        total[c] = 0
        for b in range(n_blocks):
            total[c] += partial[b, c]


def sparse_distances(
    const floating[::1] data,  # in
    const int32_t[::1] indices,  # in
    const int32_t[::1] indptr,  # in
    const double[:, ::1] transposed,  # in: (n_features, n_centers)
    const double[::1] norms,  # in: squared norm of each centre
    double[:, ::1] squared,  # out
    int n_threads,
):
    """Write the squared distances of CSR rows to dense centres."""
    cdef Py_ssize_t i, n = indptr.shape[0] - 1, k = transposed.shape[1]
    _check_threads(n_threads)
    _check_indptr(indptr, indices.shape[0], data.shape[0])
    _check_indices(indices, "indices", 0, transposed.shape[0])
    if squared.shape[0] != n or squared.shape[1] != k or norms.shape[0] != k or k == 0:
        raise ValueError("X, transposed, norms and squared disagree in shape.")
    cdef const floating* values = NULL
    cdef const int32_t* columns = NULL
    if data.shape[0]:
        values, columns = &data[0], &indices[0]
    for i in prange(n, nogil=True, num_threads=n_threads, schedule="static"):
        sparse_row(values, columns, indptr[i], indptr[i + 1], &transposed[0, 0], &norms[0], k, k, &squared[i, 0])
