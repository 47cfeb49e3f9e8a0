"""Exact sums of rows per cluster, kept up while rows change clusters."""

from cython cimport floating
from cython.parallel cimport prange
from libc.stdint cimport int32_t, int64_t

cdef extern from "kmeans_sums.hpp" namespace "skml_kmeans" nogil:
    cdef cppclass Moves[T]:
        const T* X
        const double* weights
        const int32_t* before
        const int32_t* after
        Py_ssize_t n, d
    void move_share[T](int, const Moves[T]&, const double*, double, int, int, int64_t*, int64_t*) noexcept


include "checks.pxi"


def move_sums(
    const floating[:, ::1] X,  # in
    const double[::1] weights,  # in: one per row of X, or empty for ones
    const int32_t[::1] before,  # in: the cluster that each row leaves, negative for none
    const int32_t[::1] after,  # in: the cluster that each row joins, negative for none
    int mode,  # 0: x; 1: x, or 0 where missing; 2: 0 where missing, else 1
    const double[::1] scale,  # in: units per 1, a power of two per feature, and one for the weights
    double fine,  # low units per high unit, a power of two
    int64_t[:, ::1] high,  # in, out: per cluster, the features' sums and the weight
    int64_t[:, ::1] low,  # in, out
    int n_threads,
):
    """Keep exact fixed-point sums of weight * x and of weights per cluster; return how many rows changed theirs."""
    cdef Moves[floating] m
    cdef Py_ssize_t i, changed = 0
    cdef int share
    _check_threads(n_threads)
    if mode < 0 or mode > 2:
        raise ValueError(f"mode must be 0, 1 or 2, got {mode}.")
    m.n, m.d = _same((X.shape[0], before.shape[0], after.shape[0]), "X, before and after"), X.shape[1]
    if weights.shape[0]:
        _same((m.n, weights.shape[0]), "X and weights")
        m.weights = &weights[0]
    _same((high.shape[0], low.shape[0]), "high and low")
    _same((m.d + 1, scale.shape[0], high.shape[1], low.shape[1]), "The columns of X, with one more, scale, high and low")
    _check_indices(before, "before", -1, high.shape[0])
    _check_indices(after, "after", -1, high.shape[0])
    for i in range(m.n):
        changed += before[i] != after[i]
    if changed == 0 or m.d == 0:
        return changed
    m.X, m.before, m.after = &X[0, 0], &before[0], &after[0]
    for share in prange(n_threads, nogil=True, num_threads=n_threads, schedule="static", chunksize=1):
        move_share(mode, m, &scale[0], fine, share, n_threads, &high[0, 0], &low[0, 0])
    return changed
