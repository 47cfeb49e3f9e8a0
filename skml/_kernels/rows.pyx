"""Hashes of the content of rows."""

from cython cimport floating
from cython.parallel cimport prange
from libc.stdint cimport int32_t, uint64_t

cdef extern from "rows.hpp" namespace "skml_rows" nogil:
    uint64_t dense[T](const T*, Py_ssize_t, bint) noexcept
    uint64_t sparse[T](const T*, const int32_t*, Py_ssize_t, Py_ssize_t, bint) noexcept


include "checks.pxi"


def hash_rows(
    const floating[:, ::1] X,  # in
    bint coarse,  # hash the values rounded to float32
    uint64_t[::1] hashes,  # out
    int n_threads,
):
    """Write a 64-bit hash of each row's values; zeros of either sign count as absent, any NaN as the same."""
    cdef Py_ssize_t i, n = X.shape[0], d = X.shape[1]
    cdef const floating* first = NULL
    if hashes.shape[0] != n:
        raise ValueError(f"hashes has {hashes.shape[0]} entries for {n} rows.")
    _check_threads(n_threads)
    if n * d:
        first = &X[0, 0]
    for i in prange(n, nogil=True, num_threads=n_threads, schedule="static"):
        hashes[i] = dense(first + i * d, d, coarse)


def hash_sparse_rows(
    const floating[::1] data,  # in
    const int32_t[::1] indices,  # in: each column at most once in a row
    const int32_t[::1] indptr,  # in
    bint coarse,  # hash the values rounded to float32
    uint64_t[::1] hashes,  # out
    int n_threads,
):
    """Write the hash of each row of a CSR matrix: that of its dense twin."""
    cdef Py_ssize_t i, n = hashes.shape[0]
    cdef const floating* values = NULL
    cdef const int32_t* columns = NULL
    if indptr.shape[0] != n + 1:
        raise ValueError(f"hashes has {n} entries, indptr {indptr.shape[0]}.")
    _check_indptr(indptr, indices.shape[0], data.shape[0])
    _check_threads(n_threads)
    if data.shape[0]:
        values, columns = &data[0], &indices[0]
    for i in prange(n, nogil=True, num_threads=n_threads, schedule="static"):
        hashes[i] = sparse(values, columns, indptr[i], indptr[i + 1], coarse)
