"""Products of matrices whose bits don't depend on the number of threads, which BLAS doesn't promise."""

import numpy as np

from cython cimport floating
from cython.parallel cimport prange, threadid
from libc.stdint cimport int32_t

cdef extern from "matrices.hpp" namespace "skml_matrices" nogil:
    const Py_ssize_t ROWS, DEPTH, BLOCK, COLUMNS
    Py_ssize_t width_of[T](const T*) noexcept
    Py_ssize_t padded[T](Py_ssize_t, const T*) noexcept
    T* aligned[T](T*) noexcept
    void pack_panel[T](const T*, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, T*) noexcept
    void pack_rows[T](const T*, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, T*) noexcept
    void multiply_block[T](const T*, Py_ssize_t, const T*, Py_ssize_t, Py_ssize_t, T*, Py_ssize_t, bint) noexcept

include "checks.pxi"

from skml._kernels import breathe

cdef enum:
    ALONE = 1 << 20  # multiplications for which a second thread doesn't pay
    LONG = 4294967296  # those after which signals are seen to


def multiply(
    const floating[:, :] left,  # in: (m, k)
    const floating[:, :] right,  # in: (k, n), each with any strides: the transpose of a matrix costs nothing
    floating[:, :] out,  # out: (m, n), its rows contiguous
    bint add,  # whether the product is added to what is there
    int n_threads,
):
    """Write the product of two matrices."""
    cdef Py_ssize_t m = left.shape[0], k = left.shape[1], n = right.shape[1], j, at, width, depth, done = 0
    _check_threads(n_threads)
    _same((k, right.shape[0]), "The columns of left and the rows of right")
    _same((m, out.shape[0]), "The rows of left and out")
    _same((n, out.shape[1]), "The columns of right and out")
    if m > 0 and n > 1 and out.strides[1] != sizeof(floating):
        raise ValueError("The rows of out must be contiguous.")
    _check_strides(left.strides[0], left.strides[1], sizeof(floating), "left")
    _check_strides(right.strides[0], right.strides[1], sizeof(floating), "right")
    _check_strides(out.strides[0], 0, sizeof(floating), "out")
    if k == 0 and not add:
        out[:, :] = 0
    if m == 0 or n == 0 or k == 0:
        return
    cdef int threads = <int> min(<Py_ssize_t> n_threads, 1 + m * n * k // ALONE)
    width, depth = min(n, COLUMNS) + 64, min(k, DEPTH)
    cdef floating[::1] panels = np.empty(width * depth + 64, np.asarray(out).dtype)
    cdef floating[:, ::1] blocks = np.empty((threads, BLOCK * depth + 64), np.asarray(out).dtype)
    for j in range(0, n, COLUMNS):
        for at in range(0, k, DEPTH):
            depth, width = min(<Py_ssize_t> DEPTH, k - at), min(<Py_ssize_t> COLUMNS, n - j)
            _part(left[:, at:at + depth], right[at:at + depth, j:j + width], out[:, j:j + width], add or at > 0, panels,
                  blocks, threads)
            done += m * depth * width
            if done > LONG:
                done = 0
                breathe()


cdef int _part(
    const floating[:, :] left,
    const floating[:, :] right,
    floating[:, :] out,
    bint add,
    floating[::1] panels,
    floating[:, ::1] blocks,
    int threads,
) except -1:
    """Multiply so many columns of left with so many columns of right that what is packed fits in."""
    cdef Py_ssize_t m = left.shape[0], k = left.shape[1], n = right.shape[1], size = sizeof(floating), i, j, task
    cdef Py_ssize_t rows = left.strides[0] // size, step = left.strides[1] // size, out_step = out.strides[0] // size
    cdef Py_ssize_t down = right.strides[0] // size, across = right.strides[1] // size
    cdef Py_ssize_t wide = width_of(&panels[0]), n_blocks = (m + BLOCK - 1) // BLOCK
    cdef const floating* a = &left[0, 0]
    # where there are few rows, the columns are shared out as well
    cdef Py_ssize_t group = padded(n if n_blocks >= 2 * threads else (n + 2 * threads - 1) // (2 * threads), a)
    cdef Py_ssize_t n_groups = (n + group - 1) // group
    cdef const floating* b = &right[0, 0]
    cdef floating* to = &out[0, 0]
    cdef floating* packed = aligned(&panels[0])
    cdef floating* block
    for task in prange((n + wide - 1) // wide, nogil=True, num_threads=threads, schedule="static"):
        pack_panel(b + task * wide * across, down, across, k, n - task * wide, packed + task * wide * k)
    for task in prange(n_blocks * n_groups, nogil=True, num_threads=threads, schedule="static"):
        i, j = task // n_groups * BLOCK, task % n_groups * group
        block = aligned(&blocks[threadid(), 0])
        pack_rows(a + i * rows, rows, step, min(<Py_ssize_t> BLOCK, m - i), k, block)
        multiply_block(block, min(<Py_ssize_t> BLOCK, m - i), packed + j * k, k, min(group, n - j), to + i * out_step + j,
                       out_step, add)
    return 0
