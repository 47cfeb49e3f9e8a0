"""Exact sums of rows per cluster, kept up while rows change clusters."""

from cython cimport floating
from cython.parallel cimport prange
from libc.stdint cimport int32_t, int64_t

cdef extern from "kmeans_sums.hpp" namespace "skml_kmeans" nogil:
    cdef cppclass Moves:
        const int64_t* rows
        const int32_t* before
        const int32_t* after
        Py_ssize_t n
    void move_share[T](int, const Moves&, const T*, const double*, Py_ssize_t, const double*, double, int, int,
                       int64_t*, int64_t*) noexcept


include "checks.pxi"


def move_sums(
    const floating[:, ::1] X,  # in
    const double[::1] weights,  # in: one per row of X, or empty for ones
    const int64_t[::1] rows,  # in: the rows that change clusters
    const int32_t[::1] before,  # in: cluster each of them leaves, negative for none
    const int32_t[::1] after,  # in: cluster each of them joins, negative for none
    int mode,  # 0: x; 1: x, or 0 where missing; 2: 0 where missing, else 1
    const double[::1] scale,  # in: units per 1, a power of two per feature
    double fine,  # low units per high unit, a power of two
    int64_t[:, ::1] high,  # in, out
    int64_t[:, ::1] low,  # in, out
    int n_threads,
):
    """Keep exact fixed-point sums of weight * x per cluster while rows change clusters."""
    cdef Moves m
    cdef Py_ssize_t d = X.shape[1], i
    cdef int share
    cdef const double* w = NULL
    _check_threads(n_threads)
    if mode < 0 or mode > 2:
        raise ValueError(f"mode must be 0, 1 or 2, got {mode}.")
    m.n = _same((rows.shape[0], before.shape[0], after.shape[0]), "rows, before and after")
    if weights.shape[0]:
        _same((X.shape[0], weights.shape[0]), "X and weights")
        w = &weights[0]
    _same((high.shape[0], low.shape[0]), "high and low")
    if _same((d, scale.shape[0], high.shape[1], low.shape[1]), "The columns of X, scale, high and low") == 0 or m.n == 0:
        return
    for i in range(m.n):
        if rows[i] < 0 or rows[i] >= X.shape[0]:
            raise ValueError(f"rows[{i}] is {rows[i]}, outside 0 to {X.shape[0] - 1}.")
    _check_indices(before, "before", -1, high.shape[0])
    _check_indices(after, "after", -1, high.shape[0])
    m.rows, m.before, m.after = &rows[0], &before[0], &after[0]
    for share in prange(n_threads, nogil=True, num_threads=n_threads, schedule="static", chunksize=1):
        move_share(mode, m, &X[0, 0], w, d, &scale[0], fine, share, n_threads, &high[0, 0], &low[0, 0])
