"""Coordinate descent over interactions: rank-one sweeps, exact solutions of rows, residuals and their products.

Each function works on the rows `start` to `stop` of all: the caller cuts long work into short calls. A row belongs to
one thread and its sums have a fixed order, so neither the cuts nor the threads change a bit.
"""

import numpy as np

from cython cimport floating
from cython.parallel cimport prange, threadid
from libc.stdint cimport int32_t

cdef extern from "coordinate.hpp" namespace "skml_coordinate" nogil:
    cdef cppclass Rows[T]:
        const int32_t* indptr
        const int32_t* indices
        const T* data
        const T* weights
    cdef cppclass Problem[T]:
        Rows[T] rows
        const T* design
        const T* offsets
        const double* base
        const double* penalties
        const double* scales
        Py_ssize_t K
        bint nonnegative
        T* own
    T descend[T](const int32_t*, T*, const T*, Py_ssize_t, T, const T*, T, double, double) noexcept
    void solve_row[T](const Problem[T]&, Py_ssize_t, double*) noexcept
    void residuals_of[T](const Rows[T]&, Py_ssize_t, const T*, const T*, Py_ssize_t, T*) noexcept
    double product_of[T](const Rows[T]&, Py_ssize_t, const T*, const T*, Py_ssize_t, const T*, Py_ssize_t, T*) noexcept

include "checks.pxi"


cdef int _check_rows(const int32_t[::1] indptr, const int32_t[::1] indices, Py_ssize_t n_values, Py_ssize_t n_weights,
                     Py_ssize_t n_columns, Py_ssize_t start, Py_ssize_t stop) except -1:
    """Raise unless the rows `start` to `stop` lie within the entries and their indices within the columns."""
    cdef Py_ssize_t i
    if indptr.shape[0] == 0 or not 0 <= start <= stop < indptr.shape[0]:
        raise ValueError(f"start and stop must lie within the {indptr.shape[0] - 1} rows, got {start} and {stop}.")
    if n_weights not in (0, indices.shape[0]) or n_values != indices.shape[0]:
        raise ValueError("indices and values, and weights if there are any, must agree in length.")
    if indptr[start] < 0 or indptr[stop] > indices.shape[0]:
        raise ValueError("indptr points outside the entries.")
    for i in range(start, stop):
        if indptr[i] > indptr[i + 1]:
            raise ValueError(f"indptr decreases after entry {i}.")
    _check_indices(indices[indptr[start]:indptr[stop]], "indices", 0, n_columns)
    return 0


cdef Rows[floating] _rows(const int32_t[::1] indptr, const int32_t[::1] indices, const floating[::1] data,
                          const floating[::1] weights) noexcept:
    cdef Rows[floating] rows
    rows.indptr = &indptr[0]
    rows.indices = &indices[0] if indices.shape[0] else NULL
    rows.data = &data[0] if data.shape[0] else NULL
    rows.weights = &weights[0] if weights.shape[0] else NULL
    return rows


def sweep_rows(
    const int32_t[::1] indptr,  # in: (n + 1,)
    const int32_t[::1] indices,  # in: columns of the entries
    floating[::1] residual,  # in, out: of the entries
    const floating[::1] weights,  # in: of the entries; empty: ones
    const floating[::1] held,  # in: (n,), what multiplies `change`; it may be the same memory as `own`
    const floating[:, ::1] pairs,  # in: (m, 2), the columns' change that residual has not seen, and their coordinate x
    floating[::1] own,  # in, out: (n,), the rows' coordinate
    const double[::1] penalties,  # in: (n,)
    double low,  # no coordinate falls below; -inf: no limit
    Py_ssize_t start,
    Py_ssize_t stop,
    int n_threads,
):
    """Subtract ``held * change`` from the residuals, then minimise ``sum w residual^2 + penalty own^2`` over own."""
    cdef Py_ssize_t r, n = own.shape[0], at
    _check_threads(n_threads)
    _same((n, indptr.shape[0] - 1, held.shape[0], penalties.shape[0]), "The rows of all arguments")
    if pairs.shape[1] != 2:
        raise ValueError(f"pairs has {pairs.shape[1]} columns, expected 2.")
    _check_rows(indptr, indices, residual.shape[0], weights.shape[0], pairs.shape[0], start, stop)
    if start == stop:
        return
    cdef const int32_t* columns = &indices[0] if indices.shape[0] else NULL
    cdef floating* left = &residual[0] if residual.shape[0] else NULL
    cdef const floating* w = &weights[0] if weights.shape[0] else NULL
    cdef const floating* pair = &pairs[0, 0] if pairs.shape[0] else NULL
    for r in prange(start, stop, nogil=True, num_threads=n_threads, schedule="dynamic", chunksize=16):
        at = indptr[r]
        own[r] = descend(columns + at, left + at, w + at if w != NULL else w, indptr[r + 1] - at, held[r], pair,
                         own[r], penalties[r], low)


def solve_rows(
    const int32_t[::1] indptr,  # in: (n + 1,)
    const int32_t[::1] indices,  # in: columns of the entries
    const floating[::1] data,  # in: of the entries
    const floating[::1] weights,  # in: of the entries; empty: ones
    const floating[:, ::1] design,  # in: (m, K), the columns' vectors x
    const floating[::1] offsets,  # in: (m,), what is subtracted from a column's entries
    const double[:, ::1] base,  # in: (K, K), symmetric, without negative eigenvalues
    const double[::1] penalties,  # in: (K,)
    const double[::1] scales,  # in: (n,), what a row's penalties are multiplied with
    floating[:, ::1] own,  # in, out: (n, K), the start and the solution z
    bint nonnegative,
    Py_ssize_t start,
    Py_ssize_t stop,
    int n_threads,
):
    """Minimise ``sum w (data - offset - x'z)^2 + z'(base + scale diag(penalties)) z`` over each row's z, exactly."""
    cdef Problem[floating] p
    cdef Py_ssize_t r, n = own.shape[0], m = design.shape[0], K = design.shape[1]
    _check_threads(n_threads)
    _same((n, indptr.shape[0] - 1, scales.shape[0]), "The rows of indptr, scales and own")
    _same((K, base.shape[0], base.shape[1], penalties.shape[0], own.shape[1]), "The columns of all arguments")
    _same((m, offsets.shape[0]), "design and offsets")
    _check_rows(indptr, indices, data.shape[0], weights.shape[0], m, start, stop)
    if start == stop or K == 0:
        return
    cdef double[:, ::1] work = np.empty((n_threads, 2 * K * K + 10 * K))
    p.rows = _rows(indptr, indices, data, weights)
    p.design = &design[0, 0] if m else NULL
    p.offsets = &offsets[0] if m else NULL
    p.base, p.penalties, p.scales, p.own = &base[0, 0], &penalties[0], &scales[0], &own[0, 0]
    p.K, p.nonnegative = K, nonnegative
    for r in prange(start, stop, nogil=True, num_threads=n_threads, schedule="dynamic", chunksize=4):
        solve_row(p, r, &work[threadid(), 0])


def write_residuals(
    const int32_t[::1] indptr,  # in: (n + 1,)
    const int32_t[::1] indices,  # in: columns of the entries
    const floating[::1] data,  # in: of the entries
    const floating[:, ::1] left,  # in: (n, K)
    const floating[:, ::1] right,  # in: (m, K)
    floating[::1] residual,  # out: of the entries
    Py_ssize_t start,
    Py_ssize_t stop,
    int n_threads,
):
    """Write ``data - left right'`` at the entries."""
    cdef Py_ssize_t r, n = left.shape[0], m = right.shape[0], K = left.shape[1]
    _check_threads(n_threads)
    _same((n, indptr.shape[0] - 1), "The rows of indptr and left")
    _same((K, right.shape[1]), "The columns of left and right")
    _same((data.shape[0], residual.shape[0]), "data and residual")
    _check_rows(indptr, indices, data.shape[0], 0, m, start, stop)
    if indptr[start] == indptr[stop]:
        return
    cdef Rows[floating] rows = _rows(indptr, indices, data, data[:0])
    cdef const floating* own = &left[0, 0] if K else NULL
    cdef const floating* other = &right[0, 0] if K else NULL
    for r in prange(start, stop, nogil=True, num_threads=n_threads, schedule="dynamic", chunksize=16):
        residuals_of(rows, r, own, other, K, &residual[0])


def residual_products(
    const int32_t[::1] indptr,  # in: (n + 1,)
    const int32_t[::1] indices,  # in: columns of the entries
    const floating[::1] data,  # in: of the entries
    const floating[::1] weights,  # in: of the entries; empty: ones
    const floating[:, ::1] left,  # in: (n, K); K may be 0
    const floating[:, ::1] right,  # in: (m, K)
    const floating[:, ::1] basis,  # in: (m, width)
    floating[:, ::1] out,  # out: (n, width)
    double[::1] errors,  # out: (n,), the weighted squares of each row's residuals
    Py_ssize_t start,
    Py_ssize_t stop,
    int n_threads,
):
    """Write ``S @ basis``, where S holds ``weight * (data - left right')`` at the entries and 0 elsewhere."""
    cdef Py_ssize_t r, n = left.shape[0], m = right.shape[0], K = left.shape[1], width = basis.shape[1]
    _check_threads(n_threads)
    _same((n, indptr.shape[0] - 1, out.shape[0], errors.shape[0]), "The rows of indptr, left, out and errors")
    _same((m, basis.shape[0]), "right and basis")
    _same((K, right.shape[1]), "The columns of left and right")
    _same((width, out.shape[1]), "The columns of basis and out")
    _check_rows(indptr, indices, data.shape[0], weights.shape[0], m, start, stop)
    if start == stop:
        return
    cdef Rows[floating] rows = _rows(indptr, indices, data, weights)
    cdef const floating* own = &left[0, 0] if K else NULL
    cdef const floating* other = &right[0, 0] if K and m else NULL
    cdef const floating* x = &basis[0, 0] if width and m else NULL
    cdef floating* product = &out[0, 0] if width else NULL
    for r in prange(start, stop, nogil=True, num_threads=n_threads, schedule="dynamic", chunksize=16):
        errors[r] = product_of(rows, r, own, other, K, x, width, product + r * width)
