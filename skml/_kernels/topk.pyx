"""The best items of rows of scores, but those that are hidden."""

import numpy as np

from cython cimport floating
from cython.parallel cimport prange
from libc.stdint cimport int32_t
from libc.stdlib cimport free, malloc

cdef extern from "topk.hpp" namespace "skml_topk" nogil:
    cdef cppclass Entry[T]:
        T score
        int32_t item
    void best_of_row[T](const T*, Py_ssize_t, const int32_t*, Py_ssize_t, Py_ssize_t, Entry[T]*, int32_t*,
                        T*) noexcept

include "checks.pxi"


def top_items(
    const floating[:, ::1] scores,  # in: (m, N)
    const int32_t[::1] indptr,  # in: (m + 1,), where each row's hidden items begin
    const int32_t[::1] indices,  # in: the hidden items, ascending within a row
    int32_t[:, ::1] items,  # out: (m, n), best first; -1 where none is left
    floating[:, ::1] best,  # out: (m, n), their scores; NaN where none is left
    int n_threads,
):
    """Write the n items of highest score per row; of equal ones the lower comes first, those of score NaN last."""
    cdef Py_ssize_t m = scores.shape[0], N = scores.shape[1], n = items.shape[1], row, worker, step
    cdef Py_ssize_t n_workers = max(1, min(<Py_ssize_t> n_threads, m))
    cdef Entry[floating]* heaps
    cdef const floating* first
    cdef const int32_t* hidden
    _check_threads(n_threads)
    _same((m, indptr.shape[0] - 1, items.shape[0], best.shape[0]), "scores, indptr, items and best")
    _same((n, best.shape[1]), "items and best")
    _check_indptr(indptr, indices.shape[0], indices.shape[0])
    _check_indices(indices, "indices", 0, N)
    for row in range(m):
        for step in range(indptr[row] + 1, indptr[row + 1]):
            if indices[step - 1] > indices[step]:
                raise ValueError(f"The indices of row {row} are not in ascending order.")
    if N > 2**31 - 1:
        raise ValueError(f"scores may have up to {2**31 - 1} columns, got {N}.")
    if m == 0 or n == 0:
        return
    heaps = <Entry[floating]*> malloc(n_workers * n * sizeof(Entry[floating]))
    if heaps == NULL:
        raise MemoryError(f"No memory for {n_workers} heaps of {n} entries.")
    first = &scores[0, 0] if N else NULL
    hidden = &indices[0] if indices.shape[0] else NULL
    for worker in prange(n_workers, nogil=True, num_threads=n_threads, schedule="static"):
        for row in range(worker * m // n_workers, (worker + 1) * m // n_workers):
            best_of_row(first + row * N, N, hidden + indptr[row], indptr[row + 1] - indptr[row], n,
                        heaps + worker * n, &items[row, 0], &best[row, 0])
    free(heaps)
