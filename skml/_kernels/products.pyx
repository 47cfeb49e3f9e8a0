"""Products of rows with rows, whose bits depend on the two rows alone."""

import numpy as np

from cython cimport floating
from cython.parallel cimport prange, threadid
from libc.stdint cimport int32_t

cdef extern from "products.hpp" namespace "skml_products" nogil:
    Py_ssize_t width_of[T](const T*) noexcept
    Py_ssize_t space_of[T](const T*) noexcept
    void multiply_panel[T](const T*, Py_ssize_t, const T*, Py_ssize_t, Py_ssize_t, Py_ssize_t, T*, T*) noexcept

include "checks.pxi"


def row_products(
    const floating[:, ::1] left,  # in: (m, k)
    const floating[:, ::1] right,  # in: (n, k)
    floating[:, ::1] out,  # out: (m, n), left times right transposed
    int n_threads,
):
    """Write the product of each left row with each right row, summed in the order of the components."""
    cdef Py_ssize_t m = left.shape[0], n = right.shape[0], k = left.shape[1], panel, width
    _check_threads(n_threads)
    _same((k, right.shape[1]), "The columns of left and right")
    _same((m, out.shape[0]), "left and the rows of out")
    _same((n, out.shape[1]), "right and the columns of out")
    if m == 0 or n == 0 or k == 0:
        out[:, :] = 0
        return
    width = width_of(&right[0, 0])
    cdef floating[:, ::1] space = np.empty((n_threads, space_of(&right[0, 0])), np.asarray(out).dtype)
    for panel in prange((n + width - 1) // width, nogil=True, num_threads=n_threads, schedule="static"):
        multiply_panel(&left[0, 0], m, &right[0, 0], n, k, panel * width, &space[threadid(), 0], &out[0, 0])
