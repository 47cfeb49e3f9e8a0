"""Coordinate descent for sparse linear models of each item by the others."""

from cython.parallel cimport prange, threadid
from libc.stdint cimport int32_t

cdef extern from "slim.hpp" namespace "skml_slim" nogil:
    cdef cppclass Gram:
        const int32_t* indptr
        const int32_t* indices
        const double* data
        const double* diagonal
        Py_ssize_t n
    cdef cppclass Penalty:
        double l1, l2
        bint nonnegative
    cdef cppclass State:
        double* w
        double* q
        int32_t* done
        int32_t* n_sweeps
    cdef cppclass Room:
        double* violation
        double* part
        double* w
        double* q
        int32_t* members
        Py_ssize_t most
    void descend(const Gram&, const Penalty&, Py_ssize_t, double, int32_t, double, const State&,
                 const Room&) noexcept

include "checks.pxi"


cdef inline State _state(double* w, double* q, int32_t* done, int32_t* n_sweeps) noexcept nogil:
    cdef State s
    s.w, s.q, s.done, s.n_sweeps = w, q, done, n_sweeps
    return s


cdef inline Room _room(double* numbers, int32_t* codes, Py_ssize_t n, Py_ssize_t most) noexcept nogil:
    cdef Room r
    r.violation, r.part, r.w, r.q = numbers, numbers + n, numbers + n + most * most, numbers + n + most * most + most
    r.members, r.most = codes, most
    return r


def descend_columns(
    const int32_t[::1] indptr,  # in: CSR, the symmetric Gram matrix G, indices ascending within a row
    const int32_t[::1] indices,
    const double[::1] data,
    const double[::1] diagonal,  # in: that of G
    const int32_t[::1] targets,  # in: (n_targets,), the columns j to explain by the others
    double l1,
    double l2,
    bint nonnegative,  # whether no weight may be below 0
    double tolerance,  # largest violation of the conditions of optimality at the end, in units of G_jj
    int32_t max_sweeps,
    double max_work,  # what a column may do in this call before it waits for the next one, in entries of G
    int32_t most,  # the most weights that sweeps go over until the gradient of all is brought up to date
    double[:, ::1] W,  # in, out: (n_targets, n), weights
    double[:, ::1] Q,  # in, out: (n_targets, n), G_j - G w
    int32_t[::1] done,  # in, out: (n_targets,), 1 where the violations are within the tolerance
    int32_t[::1] n_sweeps,  # in, out: (n_targets,), sweeps done
    double[:, ::1] numbers,  # out: (n_threads, n + most^2 + 2 most), room
    int32_t[:, ::1] codes,  # out: (n_threads, n), room
    int n_threads,
):
    """Go on minimising 1/2 |x_j - X w|^2 + l2/2 |w|^2 + l1 |w|_1 with w_j = 0, for several j."""
    cdef Gram g
    cdef Penalty p
    cdef Py_ssize_t i, t, n = diagonal.shape[0], n_targets = targets.shape[0]
    _check_threads(n_threads)
    _same((n, indptr.shape[0] - 1, W.shape[1], Q.shape[1]), "diagonal, the rows of G and the columns of W and Q")
    _same((n_targets, W.shape[0], Q.shape[0], done.shape[0], n_sweeps.shape[0]), "targets, W, Q, done and n_sweeps")
    _check_indptr(indptr, indices.shape[0], data.shape[0])
    _check_indices(indices, "indices", 0, n)
    _check_indices(targets, "targets", 0, n)
    if most < 1 or min(numbers.shape[0], codes.shape[0]) < n_threads:
        raise ValueError("There must be room for one weight at least, and for each thread.")
    if numbers.shape[1] < n + <Py_ssize_t>most * (most + 2) or codes.shape[1] < n:
        raise ValueError("numbers or codes are too small.")
    if n_targets == 0 or data.shape[0] == 0:
        done[:] = 1
        return
    g.indptr, g.indices, g.data, g.diagonal, g.n = &indptr[0], &indices[0], &data[0], &diagonal[0], n
    p.l1, p.l2, p.nonnegative = l1, l2, nonnegative
    for i in prange(n_targets, nogil=True, num_threads=n_threads, schedule="dynamic"):
        t = threadid()
        descend(g, p, targets[i], tolerance, max_sweeps, max_work,
                _state(&W[i, 0], &Q[i, 0], &done[i], &n_sweeps[i]),
                _room(&numbers[t, 0], &codes[t, 0], n, most))
