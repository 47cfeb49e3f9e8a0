"""Codes of values: bins of numbers, and categories."""

import numpy as np

from cython cimport floating
from cython.parallel cimport prange
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

cdef extern from "bins.hpp" namespace "skml_bins" nogil:
    cdef cppclass Bins:
        const double* edges
        const int64_t* starts
        const uint8_t* category_codes
        const uint8_t* categorical
        const uint8_t* unknown
    const int ROWS
    uint8_t code_of(const Bins&, Py_ssize_t, double) noexcept
    void encode_at[T](const Bins&, Py_ssize_t, const T*, Py_ssize_t, Py_ssize_t, uint8_t*, Py_ssize_t, Py_ssize_t,
                      Py_ssize_t, Py_ssize_t) noexcept
    int64_t pack_row(const uint8_t*, const uint8_t*, Py_ssize_t, uint64_t*, uint8_t*) noexcept
    void count_columns(const uint64_t*, Py_ssize_t, int64_t*) noexcept
    void turn_row(const uint64_t*, const uint8_t*, Py_ssize_t, Py_ssize_t, uint64_t*, Py_ssize_t, int64_t*,
                  uint8_t*) noexcept
    int64_t count_row(const uint64_t*, Py_ssize_t) noexcept
    void unpack_row(const uint64_t*, const uint8_t*, const uint8_t*, Py_ssize_t, uint8_t*) noexcept

include "checks.pxi"


cdef Py_ssize_t _set_bins(Bins* bins, const double[::1] edges, const int64_t[::1] starts,
                          const uint8_t[::1] category_codes, const uint8_t[::1] categorical,
                          const uint8_t[::1] unknown) except -1:
    cdef Py_ssize_t f, p = categorical.shape[0]
    _same((edges.shape[0], category_codes.shape[0]), "edges and category_codes")
    _same((p, unknown.shape[0], starts.shape[0] - 1), "categorical, unknown and starts")
    if p == 0 or starts[0] != 0 or starts[p] != edges.shape[0]:
        raise ValueError("starts must lead from 0 to the number of edges.")
    for f in range(p):
        if not 1 <= starts[f + 1] - starts[f] <= (edges.shape[0] if categorical[f] else 255):
            raise ValueError(f"feature {f} has {starts[f + 1] - starts[f]} edges.")
    bins.edges, bins.starts, bins.category_codes = &edges[0], &starts[0], &category_codes[0]
    bins.categorical, bins.unknown = &categorical[0], &unknown[0]
    return p


def encode(
    const floating[:, :] X,  # in
    const double[::1] edges,  # in: ascending per feature; the last of a number's is infinity
    const int64_t[::1] starts,  # in: where each feature's edges begin, and the end
    const uint8_t[::1] category_codes,  # in: per edge
    const uint8_t[::1] categorical,  # in: per feature
    const uint8_t[::1] unknown,  # in: per feature, the code of other categories
    uint8_t[:, :] codes,  # out
    int n_threads,
):
    """Write how many edges lie below each number, the code of each category; 255 for NaN."""
    cdef Bins bins
    cdef Py_ssize_t b, n = X.shape[0], p = _set_bins(&bins, edges, starts, category_codes, categorical, unknown)
    _check_threads(n_threads)
    if X.shape[1] != p or codes.shape[0] != n or codes.shape[1] != p:
        raise ValueError(f"X and codes must have {p} columns and as many rows.")
    if n == 0:
        return
    for b in prange((n + ROWS - 1) // ROWS, nogil=True, num_threads=n_threads, schedule="static"):
        encode_at(bins, p, &X[0, 0], X.strides[0], X.strides[1], &codes[0, 0], codes.strides[0], codes.strides[1],
                  n, b)


def encode_entries(
    const floating[::1] data,  # in
    const int32_t[::1] features,  # in: of each entry
    const double[::1] edges,  # in
    const int64_t[::1] starts,  # in
    const uint8_t[::1] category_codes,  # in
    const uint8_t[::1] categorical,  # in
    const uint8_t[::1] unknown,  # in
    uint8_t[::1] codes,  # out
    int n_threads,
):
    """Write the codes of single entries, as `encode` does."""
    cdef Bins bins
    cdef Py_ssize_t i, n, p = _set_bins(&bins, edges, starts, category_codes, categorical, unknown)
    n = _same((data.shape[0], features.shape[0], codes.shape[0]), "data, features and codes")
    _check_threads(n_threads)
    _check_indices(features, "features", 0, p)
    for i in prange(n, nogil=True, num_threads=n_threads, schedule="static"):
        codes[i] = code_of(bins, features[i], data[i])


cdef int _check_packed(const uint64_t[:, ::1] words, const int64_t[::1] starts, const uint8_t[::1] entries,
                       Py_ssize_t p) except -1:
    cdef Py_ssize_t i, n = words.shape[0]
    cdef bint fit = starts.shape[0] == n + 1 and p > 0 and words.shape[1] == (p + 47) // 48
    if fit:
        fit = starts[0] == 0 and starts[n] == entries.shape[0]
        for i in range(n):
            fit &= starts[i + 1] - starts[i] == count_row(&words[i, 0], p)
    if not fit:
        raise ValueError("words and starts do not lead to the entries of packed rows.")
    return 0


def pack(
    const uint8_t[:, ::1] codes,  # in
    const uint8_t[::1] common,  # in: of each feature, the code that is left out
    uint64_t[:, ::1] words,  # out: per row and 48 features the bits of those kept; above them how many come before
    int64_t[::1] starts,  # out: (n_rows + 1,), where each row's kept codes begin, and the end
    uint8_t[::1] entries,  # out: of the size of codes; as many as are kept are written
):
    """Write the codes that are not common, row by row, and where they are."""
    cdef Py_ssize_t i, n = codes.shape[0], p = codes.shape[1]
    if p == 0 or p > 65535:
        raise ValueError(f"rows to be packed must have 1 to 65535 features, got {p}.")
    if common.shape[0] != p or words.shape[0] != n or words.shape[1] != (p + 47) // 48 or starts.shape[0] != n + 1 or (
            entries.shape[0] != n * p):
        raise ValueError("common, words, starts and entries must have room for the rows.")
    starts[0] = 0
    with nogil:
        for i in range(n):
            starts[i + 1] = starts[i] + pack_row(&codes[i, 0], &common[0], p, &words[i, 0], &entries[0] + starts[i])


def turn(
    const uint64_t[:, ::1] words,  # in: as `pack` writes them
    const int64_t[::1] starts,  # in
    const uint8_t[::1] entries,  # in
    uint64_t[:, ::1] column_words,  # in: 0; out: per feature a bit for each row that has an entry there
    int64_t[::1] column_starts,  # out: (n_features + 1,), where each feature's codes begin, and the end
    uint8_t[::1] column_codes,  # out: as many as entries
):
    """Write the entries of packed rows column by column."""
    cdef Py_ssize_t i, f, n = words.shape[0], p = column_words.shape[0]
    cdef int64_t[::1] at = np.zeros(p + 1, np.int64)
    _check_packed(words, starts, entries, p)
    if column_words.shape[1] != (n + 63) // 64 or column_starts.shape[0] != p + 1 or (
            column_codes.shape[0] != entries.shape[0]):
        raise ValueError("column_words, column_starts and column_codes must have room for the entries.")
    with nogil:
        for i in range(n):
            count_columns(&words[i, 0], p, &at[1])
        for f in range(p):
            at[f + 1] += at[f]
    column_starts[:] = at
    if entries.shape[0] == 0:
        return
    with nogil:
        for i in range(n):
            turn_row(&words[i, 0], &entries[0] + starts[i], p, i, &column_words[0, 0], column_words.shape[1],
                     &at[0], &column_codes[0])


def unpack(
    const uint64_t[:, ::1] words,  # in: as `pack` writes them
    const int64_t[::1] starts,  # in
    const uint8_t[::1] entries,  # in
    const uint8_t[::1] common,  # in
    const int32_t[::1] rows,  # in: which ones
    uint8_t[:, ::1] codes,  # out
):
    """Write the codes of some packed rows."""
    cdef Py_ssize_t i, n = rows.shape[0], p = common.shape[0]
    cdef const uint8_t* kept = NULL
    _check_packed(words, starts, entries, p)
    if codes.shape[0] != n or codes.shape[1] != p:
        raise ValueError("rows, common and codes disagree in shape.")
    _check_indices(rows, "rows", 0, words.shape[0])
    if entries.shape[0]:
        kept = &entries[0]
    with nogil:
        for i in range(n):
            unpack_row(&words[rows[i], 0], kept + starts[rows[i]], &common[0], p, &codes[i, 0])
