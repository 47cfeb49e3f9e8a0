"""Codes of values: bins of numbers, and categories."""

from cython cimport floating
from cython.parallel cimport prange
from libc.stdint cimport int32_t, int64_t, uint8_t

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
