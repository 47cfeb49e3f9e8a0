"""Losses of tokens, and sums over the rows of equal ones."""

import numpy as np

from cython cimport floating
from cython.parallel cimport prange
from libc.stdint cimport int32_t

cdef extern from "tokens.hpp" namespace "skml_tokens" nogil:
    double c_cross_entropy "skml_tokens::cross_entropy"[T](const T*, Py_ssize_t, int32_t, double, T*) noexcept
    void add_rows[T](const T*, Py_ssize_t, Py_ssize_t, const int32_t*, T*, Py_ssize_t, Py_ssize_t) noexcept

include "checks.pxi"

cdef enum:
    PART = 16384  # numbers that one thread takes at a time
    ALONE = 32768  # numbers for which a second thread doesn't pay
    COLUMNS = 128  # of a sum, at least, that one thread takes


def cross_entropy(
    const floating[:, ::1] z,  # in: (N, V)
    const int32_t[::1] targets,  # in: (N,), 0 to V - 1; -1 for none: no loss and no gradient
    const double[::1] shares,  # in: (N,), what the gradient of each is multiplied with
    floating[:, ::1] dz,  # out: (N, V), may be z
    double[::1] losses,  # out: (N,), not multiplied
    int n_threads,
):
    """Write ln sum_k exp(z_k) - z_target per token and its gradient."""
    cdef Py_ssize_t N = z.shape[0], V = z.shape[1], step = max(<Py_ssize_t> 1, PART // max(V, <Py_ssize_t> 1)), i, j
    _check_threads(n_threads)
    cdef int threads = <int> min(<Py_ssize_t> n_threads, 1 + N * V // ALONE)
    _same((N, targets.shape[0], shares.shape[0], dz.shape[0], losses.shape[0]), "The rows of all arguments")
    _same((V, dz.shape[1]), "The columns of z and dz")
    _check_indices(targets, "targets", -1, V)
    if V == 0:
        losses[:] = 0
        return
    for i in prange((N + step - 1) // step, nogil=True, num_threads=threads, schedule="static"):
        for j in range(i * step, min(N, (i + 1) * step)):
            if targets[j] < 0:
                losses[j] = 0
                dz[j, :] = 0
            else:
                losses[j] = c_cross_entropy(&z[j, 0], V, targets[j], shares[j], &dz[j, 0])


def sum_rows(
    const floating[:, :] rows,  # in: (N, F), each row contiguous
    const int32_t[::1] codes,  # in: (N,), 0 to V - 1
    floating[:, ::1] out,  # out: (V, F)
    int n_threads,
):
    """Write for each code the sum of its rows, in their order."""
    cdef Py_ssize_t N = rows.shape[0], F = rows.shape[1], i, width
    _check_threads(n_threads)
    cdef Py_ssize_t parts = max(<Py_ssize_t> 1, min(<Py_ssize_t> n_threads, F // COLUMNS))
    _same((N, codes.shape[0]), "rows and codes")
    _same((F, out.shape[1]), "The columns of rows and out")
    _check_indices(codes, "codes", 0, out.shape[0])
    if N > 0 and F > 1 and rows.strides[1] != sizeof(floating):
        raise ValueError("Each of the rows must be contiguous.")
    out[:, :] = 0
    if N == 0 or F == 0:
        return
    width = (F + parts - 1) // parts
    for i in prange((F + width - 1) // width, nogil=True, num_threads=<int> parts, schedule="static"):
        add_rows(&rows[0, i * width], rows.strides[0] // <Py_ssize_t> sizeof(floating), N, &codes[0], &out[0, i * width], F,
                 min(width, F - i * width))
