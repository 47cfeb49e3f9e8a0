"""Per-row normal equations: the factors of one side given those of the other."""

import numpy as np

from cython cimport floating
from cython.parallel cimport prange
from libc.stdint cimport int32_t, int64_t

cdef extern from "normal.hpp" namespace "skml_normal" nogil:
    cdef cppclass Problem[T]:
        const int32_t* indptr
        const int32_t* indices
        const T* data
        const T* weights
        const T* others
        const T* shift
        const T* gram
        const T* ridge
        const T* scales
        const T* prior
        T* found
        double* losses
        Py_ssize_t start, stop, K, k
        int steps
    Py_ssize_t space_size(Py_ssize_t, Py_ssize_t) noexcept
    void work[T](const Problem[T]&, T*, Py_ssize_t, int64_t*) noexcept

include "checks.pxi"


cdef int _check_optional(Py_ssize_t size, Py_ssize_t expected, str name) except -1:
    if size not in (0, expected):
        raise ValueError(f"{name} has {size} entries, expected {expected} or none.")
    return 0


def solve_rows(
    const int32_t[::1] indptr,  # in: (n_rows + 1,)
    const int32_t[::1] indices,  # in: (n,), rows of `others`
    const floating[::1] data,  # in: (n,), targets; with `gram`, confidences
    const floating[::1] weights,  # in: (n,); empty: 1; with `gram` empty
    const floating[:, ::1] others,  # in: (m, K), rows of whole 64 bytes, 0 after the first k
    const floating[::1] shift,  # in: (m,), taken from the targets; empty: 0
    const floating[:, ::1] gram,  # in: (K, K), others' others; empty: only what is stored counts
    const floating[::1] ridge,  # in: (k,), not negative
    const floating[::1] scales,  # in: (n_rows,), times the ridge; empty: 1
    const floating[:, ::1] prior,  # in: (n_rows, K), where the ridge draws to; empty: 0
    int steps,  # of conjugate gradients; 0: Cholesky
    Py_ssize_t start,  # first row to solve
    Py_ssize_t end,  # end of the rows to solve
    floating[:, ::1] found,  # in, out: (n_rows, K)
    double[::1] loss,  # out: (n_rows,), sum w (t - q'x)^2, with `gram` sum c (1 - q'x)^2 - (q'x)^2; empty: not wanted
    int n_threads,
):
    """Minimise, per row, sum w (t - q'x)^2 + s sum_j ridge_j (x_j - prior_j)^2 (with `gram`: the implicit loss)."""
    cdef Problem[floating] f
    cdef Py_ssize_t n_rows = found.shape[0], K = found.shape[1], n = indices.shape[0], longest = 0, row, worker
    cdef int64_t next_row = start
    _check_threads(n_threads)
    _check_indptr(indptr, n, data.shape[0])
    _same((indptr.shape[0] - 1, n_rows), "indptr and found")
    _same((K, others.shape[1]), "The columns of others and found")
    _check_optional(weights.shape[0], n, "weights")
    _check_optional(shift.shape[0], others.shape[0], "shift")
    _check_optional(gram.shape[0], K, "gram")
    _check_optional(gram.shape[1], K, "A row of gram")
    _check_optional(scales.shape[0], n_rows, "scales")
    _check_optional(prior.shape[0], n_rows, "prior")
    _check_optional(prior.shape[1], K, "A row of prior")
    _check_optional(loss.shape[0], n_rows, "loss")
    if K == 0 or K * sizeof(floating) % 64 or not 0 < ridge.shape[0] <= K:
        raise ValueError(f"Rows of {K} numbers are not whole 64 bytes, or ridge has more entries ({ridge.shape[0]}).")
    if not 0 <= start <= end <= n_rows or steps < 0 or (gram.shape[0] and (weights.shape[0] or shift.shape[0])):
        raise ValueError("start, end or steps is out of range, or there are weights or a shift beside gram.")
    _check_indices(indices[indptr[start]:indptr[end]], "indices", 0, others.shape[0])
    if start == end:
        return
    for row in range(start, end):
        longest = max(longest, indptr[row + 1] - indptr[row])
    cdef floating[:, ::1] space = np.empty((n_threads, space_size(K, longest)), dtype=np.asarray(found).dtype)
    f.start, f.stop, f.K, f.k, f.steps = start, end, K, ridge.shape[0], steps
    f.indptr, f.ridge, f.found = &indptr[0], &ridge[0], &found[0, 0]
    if n:
        f.indices, f.data, f.others = &indices[0], &data[0], &others[0, 0]
    f.weights = &weights[0] if weights.shape[0] else NULL
    f.shift = &shift[0] if shift.shape[0] else NULL
    f.gram = &gram[0, 0] if gram.shape[0] else NULL
    f.scales = &scales[0] if scales.shape[0] else NULL
    f.prior = &prior[0, 0] if prior.shape[0] else NULL
    f.losses = &loss[0] if loss.shape[0] else NULL
    for worker in prange(n_threads, nogil=True, num_threads=n_threads, schedule="static"):
        work(f, &space[worker, 0], longest, &next_row)
