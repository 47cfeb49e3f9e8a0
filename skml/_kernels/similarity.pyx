"""Similarities between the rows of sparse matrices, the largest kept, and what neighbours predict."""

import numpy as np

from cython cimport floating
from cython.parallel cimport prange, threadid
from libc.stdint cimport int32_t

cdef extern from "similarity.hpp" namespace "skml_similarity" nogil:
    cdef cppclass Csr[T]:
        const int32_t* indptr
        const int32_t* indices
        const T* data
        const T* weights
    cdef cppclass Measure:
        int kind
        double shrinkage, min_support
        bint negative
        const double* left_size
        const double* right_size
    cdef cppclass Rule:
        Py_ssize_t k
        bint mean
        double damping
        bint state_says
    cdef struct Said:
        double num, den
    Py_ssize_t similar_to[T](const Csr[T]&, const Csr[T]&, const Measure&, Py_ssize_t, Py_ssize_t, Py_ssize_t, double*,
                             int32_t*, int32_t*, T*) noexcept
    Said said_by[T](const Csr[T]&, Py_ssize_t, const Csr[T]&, Py_ssize_t, const Rule&, double*, Py_ssize_t) noexcept
    double outcome(const Rule&, const Said&) noexcept
    void say_all[T](const Csr[T]&, Py_ssize_t, const Csr[T]&, const Csr[T]&, const Rule&, Py_ssize_t, double*, int32_t*,
                    double*, Py_ssize_t, T*) noexcept

include "checks.pxi"


cdef int _check_rows(const int32_t[::1] indptr, const int32_t[::1] indices, Py_ssize_t n_values, Py_ssize_t n_weights,
                     Py_ssize_t n_columns) except -1:
    _check_indptr(indptr, indices.shape[0], n_values)
    _check_indices(indices, "indices", 0, n_columns)
    if n_weights not in (0, n_values):
        raise ValueError(f"There are {n_weights} weights for {n_values} values.")
    return 0


cdef double _least(const floating[::1] roots) except? -1:
    """Return the smallest root, 1 where there are none; refuse what is no positive number."""
    cdef Py_ssize_t i
    cdef floating least = 1
    cdef int sound = 1
    for i in range(roots.shape[0]):
        sound &= (roots[i] > 0) & (roots[i] - roots[i] == 0)
        least = min(least, roots[i])
    if not sound:
        raise ValueError("Roots of weights must be positive and finite.")
    return least


cdef Csr[floating] _rows(const int32_t[::1] indptr, const int32_t[::1] indices, const floating[::1] data,
                         const floating[::1] weights) noexcept:
    cdef Csr[floating] rows
    rows.indptr = &indptr[0]
    rows.indices = &indices[0] if indices.shape[0] else NULL
    rows.data = &data[0] if data.shape[0] else NULL
    rows.weights = &weights[0] if weights.shape[0] else NULL
    return rows


cdef Py_ssize_t _longest(const int32_t[::1] indptr) noexcept:
    cdef Py_ssize_t i, longest = 0
    for i in range(indptr.shape[0] - 1):
        longest = max(longest, indptr[i + 1] - indptr[i])
    return longest


def similar_rows(
    const int32_t[::1] left_indptr,  # in: CSR, the rows to find neighbours of
    const int32_t[::1] left_indices,
    const floating[::1] left_data,
    const floating[::1] left_roots,  # in: square roots of the weights; positive, as are their products; empty: 1 everywhere
    const int32_t[::1] right_indptr,  # in: CSR by column, the rows that neighbours are taken from, transposed
    const int32_t[::1] right_indices,
    const floating[::1] right_data,
    const floating[::1] right_roots,
    const double[::1] left_size,  # in: per row sum w x^2 (kind 1) or sum w (kind 2); otherwise not looked at
    const double[::1] right_size,
    int kind,  # 0 product, 1 cosine where missing is 0, 2 Jaccard, 3 cosine and 4 Pearson over common columns
    double shrinkage,
    double min_support,
    bint negative,  # whether similarities below 0 are kept
    Py_ssize_t first,  # the left row to start with
    bint same,  # whether left and right are the same rows: none is its own neighbour
    int32_t[:, ::1] indices,  # out: (n_rows, n_kept), ascending
    floating[:, ::1] data,  # out: (n_rows, n_kept)
    int32_t[::1] counts,  # out: (n_rows,), how many entries of a row are used
    int n_threads,
):
    """Write the most similar right rows of consecutive left rows."""
    cdef Py_ssize_t i, n = counts.shape[0], n_right = right_size.shape[0], n_kept = indices.shape[1], t
    cdef Measure m
    _check_threads(n_threads)
    _check_rows(left_indptr, left_indices, left_data.shape[0], left_roots.shape[0], right_indptr.shape[0] - 1)
    _check_rows(right_indptr, right_indices, right_data.shape[0], right_roots.shape[0], n_right)
    _same((n, indices.shape[0], data.shape[0]), "The rows of indices, data and counts")
    _same((n_kept, data.shape[1]), "The columns of indices and data")
    _same((left_indptr.shape[0] - 1, left_size.shape[0]), "left_size and the left rows")
    if not 0 <= first <= left_size.shape[0] - n or not 0 <= kind <= 4:
        raise ValueError(f"Rows {first} to {first + n} or kind {kind} are not there.")
    if not _least(left_roots) * _least(right_roots) > 0:  # a sum of 0 tells that a row has not been met
        raise ValueError("Roots of weights are so small that their products vanish.")
    counts[:] = 0
    if n == 0 or n_kept == 0 or n_right == 0:
        return
    cdef Csr[floating] left = _rows(left_indptr, left_indices, left_data, left_roots)
    cdef Csr[floating] right = _rows(right_indptr, right_indices, right_data, right_roots)
    cdef double[:, ::1] sums = np.zeros((n_threads, n_right * (8 if kind == 4 else 4 if kind == 3 else 2)))
    cdef int32_t[:, ::1] touched = np.empty((n_threads, n_right), dtype=np.int32)
    m.kind, m.shrinkage, m.min_support, m.negative = kind, shrinkage, min_support, negative
    m.left_size, m.right_size = &left_size[0], &right_size[0]
    for i in prange(n, nogil=True, num_threads=n_threads, schedule="dynamic"):
        t = threadid()
        counts[i] = <int32_t> similar_to(left, right, m, first + i, first + i if same else -1, n_kept, &sums[t, 0],
                                         &touched[t, 0], &indices[i, 0], &data[i, 0])


def say_pairs(
    const int32_t[::1] states_indptr,  # in: CSR, a row per state: neighbours, ascending
    const int32_t[::1] states_indices,
    const floating[::1] states_data,
    const floating[::1] states_weights,  # in: empty: 1 everywhere
    const int32_t[::1] back_indptr,  # in: CSR, a row per target: neighbours, ascending
    const int32_t[::1] back_indices,
    const floating[::1] back_data,
    const floating[::1] back_weights,
    Py_ssize_t n_neighbors,  # how many there are
    const int32_t[::1] rows,  # in: (n,), states
    const int32_t[::1] targets,  # in: (n,)
    Py_ssize_t k,  # how many speak at most, at least 1
    bint mean,  # the mean weighted by absolute similarities; otherwise the sum
    double damping,  # added to the sum of absolute similarities
    bint state_says,  # whether opinions are in the states and similarities in the targets, or the other way round
    floating[::1] out,  # out: (n,); 0 where no neighbour speaks
    int n_threads,
):
    """Write what the k most similar neighbours common to a state and a target say."""
    cdef Py_ssize_t i, n = rows.shape[0]
    cdef Rule r
    _check_threads(n_threads)
    _check_rows(states_indptr, states_indices, states_data.shape[0], states_weights.shape[0], n_neighbors)
    _check_rows(back_indptr, back_indices, back_data.shape[0], back_weights.shape[0], n_neighbors)
    _same((n, targets.shape[0], out.shape[0]), "rows, targets and out")
    _check_indices(rows, "rows", 0, states_indptr.shape[0] - 1)
    _check_indices(targets, "targets", 0, back_indptr.shape[0] - 1)
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}.")
    if n == 0:
        return
    cdef Csr[floating] states = _rows(states_indptr, states_indices, states_data, states_weights)
    cdef Csr[floating] back = _rows(back_indptr, back_indices, back_data, back_weights)
    cdef Py_ssize_t longest = max(1, min(_longest(states_indptr), _longest(back_indptr)))
    cdef double[:, ::1] work = np.empty((n_threads, 4 * longest))
    r.k, r.mean, r.damping, r.state_says = k, mean, damping, state_says
    for i in prange(n, nogil=True, num_threads=n_threads, schedule="static"):
        out[i] = <floating> outcome(r, said_by(states, rows[i], back, targets[i], r, &work[threadid(), 0], longest))


def say_rows(
    const int32_t[::1] states_indptr,  # in: as in say_pairs
    const int32_t[::1] states_indices,
    const floating[::1] states_data,
    const floating[::1] states_weights,
    const int32_t[::1] links_indptr,  # in: CSR, a row per neighbour: targets
    const int32_t[::1] links_indices,
    const floating[::1] links_data,
    const floating[::1] links_weights,
    const int32_t[::1] back_indptr,  # in: the transposed of links, neighbours ascending
    const int32_t[::1] back_indices,
    const floating[::1] back_data,
    const floating[::1] back_weights,
    Py_ssize_t k,
    bint mean,
    double damping,
    bint state_says,
    Py_ssize_t first,  # the state to start with
    floating[:, ::1] out,  # out: (n_states, n_targets)
    int n_threads,
):
    """Write what the k most similar neighbours of consecutive states say of every target, as say_pairs does."""
    cdef Py_ssize_t i, t, n = out.shape[0], n_targets = out.shape[1], n_neighbors = links_indptr.shape[0] - 1
    cdef Rule r
    _check_threads(n_threads)
    _check_rows(states_indptr, states_indices, states_data.shape[0], states_weights.shape[0], n_neighbors)
    _check_rows(links_indptr, links_indices, links_data.shape[0], links_weights.shape[0], n_targets)
    _check_rows(back_indptr, back_indices, back_data.shape[0], back_weights.shape[0], n_neighbors)
    _same((n_targets, back_indptr.shape[0] - 1), "The targets of out and back")
    if not 0 <= first <= states_indptr.shape[0] - 1 - n or k < 1:
        raise ValueError(f"States {first} to {first + n} are not there, or k = {k} is less than 1.")
    if n == 0 or n_targets == 0:
        return
    cdef Csr[floating] states = _rows(states_indptr, states_indices, states_data, states_weights)
    cdef Csr[floating] links = _rows(links_indptr, links_indices, links_data, links_weights)
    cdef Csr[floating] back = _rows(back_indptr, back_indices, back_data, back_weights)
    cdef Py_ssize_t longest = max(1, min(_longest(states_indptr), _longest(back_indptr)))
    cdef double[:, ::1] work = np.empty((n_threads, 4 * longest)), sums = np.empty((n_threads, 2 * n_targets))
    cdef int32_t[:, ::1] counts = np.empty((n_threads, n_targets), dtype=np.int32)
    r.k, r.mean, r.damping, r.state_says = k, mean, damping, state_says
    for i in prange(n, nogil=True, num_threads=n_threads, schedule="dynamic"):
        t = threadid()
        say_all(states, first + i, links, back, r, n_targets, &sums[t, 0], &counts[t, 0], &work[t, 0], longest,
                &out[i, 0])
