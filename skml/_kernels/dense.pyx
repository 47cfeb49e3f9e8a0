"""Products of tall matrices with small ones, and what comes after them, on several threads.

Every sum has one order, first component first, whatever the number of rows and threads.
"""

import numpy as np

from cython cimport floating
from cython.parallel cimport prange, threadid
from libc.stdint cimport int32_t

cdef extern from "dense.hpp" namespace "skml_dense" nogil:
    const Py_ssize_t DEPTH
    Py_ssize_t width_of[T](const T*) noexcept
    T* room[T](const T*, Py_ssize_t) except +
    void pack_columns[T](const T*, bint, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, T*) noexcept
    void multiply_rows[T](const T*, Py_ssize_t, Py_ssize_t, const T*, Py_ssize_t, T*, Py_ssize_t) noexcept
    cdef cppclass Slopes[T]:
        const T* x
        const T* dy
        Py_ssize_t K, M
        T* dw
        double* sums
    Py_ssize_t scratch_of(Py_ssize_t, Py_ssize_t) noexcept
    void share_of_gradients[T](const Slopes[T]&, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, T*) noexcept
    void finish_rows[T](T*, const T*, const T*, Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept
    void gelu_rows[T](T*, const T*, T*, Py_ssize_t, Py_ssize_t, Py_ssize_t, bint) noexcept
    void gelu_slopes[T](const T*, T*, T*, Py_ssize_t, Py_ssize_t, Py_ssize_t, bint) noexcept

include "checks.pxi"

from skml._kernels import breathe

cdef enum:
    ALONE = 400000  # multiplications for which a second thread doesn't pay
    LONG = 4294967296  # those of a thread after which signals are seen to
    PACKED = 131072  # numbers of w that are packed at a time: they stay in the second-level cache


cdef Py_ssize_t _panel(Py_ssize_t N) noexcept nogil:
    """Return how many rows a panel has: a number of panels that four threads can share, of at most 256 rows."""
    cdef Py_ssize_t parts = 4 * max(<Py_ssize_t> 1, (N + 1023) // 1024)
    return max(<Py_ssize_t> 48, (N + parts - 1) // parts)


cdef int _threads(int n_threads, Py_ssize_t N, Py_ssize_t K, Py_ssize_t M) except -1:
    """Return how many threads a product of these sizes is worth; no result depends on it."""
    _check_threads(n_threads)
    return <int> min(<double> n_threads, 1 + <double> N * K * M / ALONE)


cdef Py_ssize_t _at_a_time(int threads, Py_ssize_t work) noexcept:
    """Return after how many products signals are seen to: some for each thread."""
    return threads * max(<Py_ssize_t> 1, LONG // work)


cdef Py_ssize_t _rounded(Py_ssize_t n, Py_ssize_t unit) noexcept nogil:
    return (n + unit - 1) // unit * unit


cdef Py_ssize_t _columns(const floating[:, ::1] w, Py_ssize_t K, Py_ssize_t M) noexcept:
    """Return how many columns of w are packed at a time."""
    cdef Py_ssize_t width = width_of(&w[0, 0])
    return min(_rounded(M, width), max(width, PACKED // K // width * width))


cdef void _pack(const floating[:, ::1] w, bint transposed, Py_ssize_t left, Py_ssize_t right, Py_ssize_t M,
                floating* packed, int n_threads) noexcept:
    """Pack the columns of w from `left` to `right`."""
    cdef Py_ssize_t K = w.shape[1] if transposed else w.shape[0], width = width_of(packed), j, i
    for i in prange((right - left + width - 1) // width, nogil=True, num_threads=n_threads, schedule="static"):
        j = i * width
        pack_columns(&w[0, 0], transposed, left + j, right - left - j, K, M, packed + j * K)


def multiply(
    const floating[:, ::1] x,  # in: (N, K)
    const floating[:, ::1] w,  # in: (K, M), or transposed (M, K)
    bint transposed,
    const floating[::1] b,  # in: (M,), or empty for none
    const floating[:, ::1] add,  # in: (N, M), or empty for none
    floating[:, ::1] y,  # out: (N, M)
    floating[:, ::1] h,  # out: (N, M), or empty
    bint by_tanh,  # which gelu: by the normal distribution or by the hyperbolic tangent
    int n_threads,
):
    """Write y = x w + b + add, and h = gelu(y) if asked for; only one of add and h."""
    cdef Py_ssize_t N = x.shape[0], K = x.shape[1], M = y.shape[1], step = _panel(x.shape[0]), i, n, at, start, end, some
    cdef Py_ssize_t panels = (N + step - 1) // step, left, columns, wide
    cdef int threads = _threads(n_threads, N, K, M)
    _same((K, w.shape[1] if transposed else w.shape[0]), "The columns of x and the inner axis of w")
    _same((M, w.shape[0] if transposed else w.shape[1]), "The columns of y and the outer axis of w")
    _same((N, y.shape[0]), "The rows of x and y")
    for array, name in ((add, "add"), (h, "h")):
        if array.shape[0] * array.shape[1] and (array.shape[0] != N or array.shape[1] != M):
            raise ValueError(f"{name} must be empty or of the shape of y.")
    if b.shape[0]:
        _same((M, b.shape[0]), "The columns of y and b")
    if add.shape[0] * add.shape[1] and h.shape[0] * h.shape[1]:
        raise ValueError("Only one of add and h can be had.")
    if N * M == 0:
        return
    if K == 0:
        raise ValueError("x has no columns.")
    cdef const floating* bias = &b[0] if b.shape[0] else NULL
    cdef const floating* more = &add[0, 0] if add.shape[0] * add.shape[1] else NULL
    cdef floating* after = &h[0, 0] if h.shape[0] * h.shape[1] else NULL
    if more == &y[0, 0]:
        raise ValueError("add may not be y.")
    wide = _columns(w, K, M)
    cdef floating* packed = room(&x[0, 0], wide * K)
    some = _at_a_time(threads, step * K * min(wide, M))
    for left in range(0, M, wide):
        columns = min(wide, M - left)
        _pack(w, transposed, left, left + columns, M, packed, threads)
        for start in range(0, panels, some):
            end = min(start + some, panels)
            for i in prange(start, end, nogil=True, num_threads=threads, schedule="static"):
                at = i * step
                n = min(step, N - at)
                multiply_rows(&x[at, 0], n, K, packed, columns, &y[at, left], M)
                at = at * M + left
                if after != NULL:
                    gelu_rows(&y[0, 0] + at, bias + left if bias != NULL else bias, after + at, n, columns, M, by_tanh)
                elif bias != NULL or more != NULL:
                    finish_rows(&y[0, 0] + at, bias + left if bias != NULL else bias,
                                more + at if more != NULL else more, n, columns, M)
            breathe()


def through_gelu(
    const floating[:, ::1] dy,  # in: (N, M)
    const floating[:, ::1] w,  # in: (K, M)
    floating[:, ::1] z,  # in: (N, K); out: the gradient at it, (dy w^T) gelu'(z)
    floating[:, ::1] h,  # out: (N, K)
    bint by_tanh,  # which gelu
    int n_threads,
):
    """Carry dy back through y = gelu(z) w to z, and write h = gelu(z) once more."""
    cdef Py_ssize_t N = dy.shape[0], M = dy.shape[1], K = w.shape[0], step = _panel(dy.shape[0]), i, n, at, start, end, some
    cdef Py_ssize_t panels = (N + step - 1) // step, left, columns, wide
    cdef int threads = _threads(n_threads, N, K, M)
    _same((M, w.shape[1]), "The columns of dy and w")
    _same((N, z.shape[0], h.shape[0]), "The rows of dy, z and h")
    _same((K, z.shape[1], h.shape[1]), "The rows of w and the columns of z and h")
    if N * K == 0:
        return
    if M == 0:
        raise ValueError("dy has no columns.")
    wide = _columns(w, M, K)
    cdef floating* packed = room(&dy[0, 0], wide * (M + threads * step))
    cdef floating* products = packed + wide * M
    cdef floating* mine
    some = _at_a_time(threads, step * M * min(wide, K))
    for left in range(0, K, wide):
        columns = min(wide, K - left)
        _pack(w, True, left, left + columns, K, packed, threads)
        for start in range(0, panels, some):
            end = min(start + some, panels)
            for i in prange(start, end, nogil=True, num_threads=threads, schedule="static"):
                at = i * step
                n = min(step, N - at)
                mine = products + threadid() * step * wide
                multiply_rows(&dy[at, 0], n, M, packed, columns, mine, columns)
                gelu_slopes(mine, &z[at, left], &h[at, left], n, columns, K, by_tanh)
            breathe()


def gradients(
    const floating[:, ::1] x,  # in: (N, K)
    const floating[:, ::1] dy,  # in: (N, M)
    floating[:, ::1] dw,  # out: (K, M)
    floating[::1] db,  # out: (M,), or empty
    int n_threads,
):
    """Write dw = x^T dy, and the sums of the columns of dy."""
    cdef Py_ssize_t N = x.shape[0], K = x.shape[1], M = dy.shape[1], i, start
    cdef int threads = _threads(n_threads, N, K, M)
    _same((N, dy.shape[0]), "The rows of x and dy")
    _same((K, dw.shape[0]), "The columns of x and the rows of dw")
    _same((M, dw.shape[1]), "The columns of dy and dw")
    if db.shape[0]:
        _same((M, db.shape[0]), "The columns of dy and db")
    if N == 0 or K * M == 0:
        np.asarray(dw)[:] = 0
        np.asarray(db)[:] = np.asarray(dy).sum(axis=0) if db.shape[0] else 0
        return
    cdef double[::1] sums = np.zeros(db.shape[0])
    cdef Slopes[floating] g
    g.x, g.dy, g.K, g.M, g.dw, g.sums = &x[0, 0], &dy[0, 0], K, M, &dw[0, 0], &sums[0] if db.shape[0] else NULL
    cdef Py_ssize_t space = scratch_of(K, width_of(&x[0, 0])), some = _rounded(max(<Py_ssize_t> 1, LONG // (K * M)), DEPTH)
    cdef floating* scratch = room(&x[0, 0], threads * space)
    for start in range(0, N, some):
        for i in prange(threads, nogil=True, num_threads=threads, schedule="static", chunksize=1):
            share_of_gradients(g, start, min(start + some, N), i, threads, scratch + i * space)
        breathe()
    for i in range(db.shape[0]):
        db[i] = <floating> sums[i]
