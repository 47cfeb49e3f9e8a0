"""Coordinate descent for sparse linear models of each item by the others."""

from cython.parallel cimport prange
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
        double* worst
        int32_t* status
        int32_t* place
        int32_t* n_sweeps
    void descend(const Gram&, const Penalty&, Py_ssize_t, double, int32_t, double, const State&) noexcept

include "checks.pxi"


cdef inline State _state(double* w, double* q, double* worst, int32_t* status, int32_t* place,
                         int32_t* n_sweeps) noexcept nogil:
    cdef State s
    s.w, s.q, s.worst, s.status, s.place, s.n_sweeps = w, q, worst, status, place, n_sweeps
    return s


def descend_columns(
    const int32_t[::1] indptr,  # in: CSR, the symmetric Gram matrix G
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
    double[:, ::1] W,  # in, out: (n_targets, n), weights
    double[:, ::1] Q,  # in, out: (n_targets, n), G_j - G w
    double[::1] worst,  # in, out: (n_targets,), the largest violation that the sweep has met
    int32_t[::1] status,  # in, out: (n_targets,), the sweep: 0 over all weights, 1 over those that are not 0, 2 done
    int32_t[::1] place,  # in, out: (n_targets,), the weight that the sweep comes to next
    int32_t[::1] n_sweeps,  # in, out: (n_targets,), sweeps done
    int n_threads,
):
    """Go on minimising 1/2 |x_j - X w|^2 + l2/2 |w|^2 + l1 |w|_1 with w_j = 0, for several j."""
    cdef Gram g
    cdef Penalty p
    cdef Py_ssize_t i, n = diagonal.shape[0], n_targets = targets.shape[0]
    _check_threads(n_threads)
    _same((n, indptr.shape[0] - 1, W.shape[1], Q.shape[1]), "diagonal, the rows of G and the columns of W and Q")
    _same((n_targets, W.shape[0], Q.shape[0], worst.shape[0], status.shape[0], place.shape[0], n_sweeps.shape[0]),
          "targets, W, Q, worst, status, place and n_sweeps")
    _check_indptr(indptr, indices.shape[0], data.shape[0])
    _check_indices(indices, "indices", 0, n)
    _check_indices(targets, "targets", 0, n)
    _check_indices(place, "place", 0, max(n, 1))
    if n_targets == 0 or data.shape[0] == 0:
        status[:] = 2
        return
    g.indptr, g.indices, g.data, g.diagonal, g.n = &indptr[0], &indices[0], &data[0], &diagonal[0], n
    p.l1, p.l2, p.nonnegative = l1, l2, nonnegative
    for i in prange(n_targets, nogil=True, num_threads=n_threads, schedule="dynamic"):
        descend(g, p, targets[i], tolerance, max_sweeps, max_work,
                _state(&W[i, 0], &Q[i, 0], &worst[i], &status[i], &place[i], &n_sweeps[i]))
