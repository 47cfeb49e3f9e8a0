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
    cdef cppclass Room[T]:
        T* take(Py_ssize_t) except +
    void pack_columns[T](const T*, bint, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, T*) noexcept
    void multiply_rows[T](const T*, Py_ssize_t, Py_ssize_t, const T*, Py_ssize_t, Py_ssize_t, T*, Py_ssize_t, bint) noexcept
    cdef cppclass Slopes[T]:
        const T* x
        const T* dy
        Py_ssize_t K, M
        T* dw
        double* sums
    Py_ssize_t scratch_of(Py_ssize_t, Py_ssize_t) noexcept
    void share_of_gradients[T](const Slopes[T]&, Py_ssize_t, bint, Py_ssize_t, Py_ssize_t, T*) noexcept
    void finish_rows[T](T*, const T*, const T*, Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept
    void gelu_rows[T](T*, const T*, T*, Py_ssize_t, Py_ssize_t, Py_ssize_t, bint) noexcept
    void gelu_slopes[T](T*, T*, Py_ssize_t, Py_ssize_t, Py_ssize_t, bint) noexcept

include "checks.pxi"

from skml._kernels import breathe

cdef enum:
    ALONE = 400000  # multiplications for which a second thread doesn't pay
    LONG = 4294967296  # those of a thread after which signals are seen to
    PACKED = 131072  # numbers of w that are packed at a time: they stay in the second-level cache
    BOTH = 524288  # those of the two matrices of a feed-forward layer, of which a panel at a time is in use


cdef Py_ssize_t _panel(Py_ssize_t N) noexcept nogil:
    """Return how many rows a panel has: a number of panels that four threads can share, of at most 256 rows."""
    cdef Py_ssize_t parts = 4 * max(<Py_ssize_t> 1, (N + 1023) // 1024)
    return max(<Py_ssize_t> 48, (N + parts - 1) // parts)


cdef Py_ssize_t _low_panel(Py_ssize_t N) noexcept nogil:
    """Return the same for panels of at most 96 rows."""
    cdef Py_ssize_t parts = 4 * max(<Py_ssize_t> 1, (N + 383) // 384)
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
    int n_threads,
):
    """Write y = x w + b + add."""
    cdef Py_ssize_t N = x.shape[0], K = x.shape[1], M = y.shape[1], step = _panel(x.shape[0]), i, n, at, start, end, some
    cdef Py_ssize_t panels = (N + step - 1) // step, left, columns, wide
    cdef int threads = _threads(n_threads, N, K, M)
    _same((K, w.shape[1] if transposed else w.shape[0]), "The columns of x and the inner axis of w")
    _same((M, w.shape[0] if transposed else w.shape[1]), "The columns of y and the outer axis of w")
    _same((N, y.shape[0]), "The rows of x and y")
    _check_add(add, y)
    if b.shape[0]:
        _same((M, b.shape[0]), "The columns of y and b")
    if N * M == 0:
        return
    if K == 0:
        raise ValueError("x has no columns.")
    _apart(y, x)
    _apart(y, w)
    cdef const floating* bias = &b[0] if b.shape[0] else NULL
    cdef const floating* more = &add[0, 0] if add.shape[0] * add.shape[1] else NULL
    wide = _columns(w, K, M)
    cdef Room[floating] room
    cdef floating* packed = room.take(wide * K)
    some = _at_a_time(threads, step * K * min(wide, M))
    for left in range(0, M, wide):
        columns = min(wide, M - left)
        _pack(w, transposed, left, left + columns, M, packed, threads)
        for start in range(0, panels, some):
            end = min(start + some, panels)
            for i in prange(start, end, nogil=True, num_threads=threads, schedule="static"):
                at = i * step
                n = min(step, N - at)
                multiply_rows(&x[at, 0], n, K, packed, K, columns, &y[at, left], M, True)
                at = at * M + left
                if bias != NULL or more != NULL:
                    finish_rows(&y[0, 0] + at, bias + left if bias != NULL else bias,
                                more + at if more != NULL else more, n, columns, M)
            breathe()


cdef int _apart(const floating[:, ::1] out, const floating[:, ::1] read) except -1:
    """Raise if what is written shares memory with what is read; neither is empty."""
    if &out[0, 0] < &read[0, 0] + read.shape[0] * read.shape[1] and &read[0, 0] < &out[0, 0] + out.shape[0] * out.shape[1]:
        raise ValueError("What is written may share no memory with what is read.")
    return 0


cdef int _check_add(const floating[:, ::1] add, const floating[:, ::1] y) except -1:
    """Raise unless one can be added to the other."""
    cdef Py_ssize_t size = add.shape[0] * add.shape[1]
    if size and (add.shape[0] != y.shape[0] or add.shape[1] != y.shape[1]):
        raise ValueError("add must be empty or of the shape of y.")
    if size and &add[0, 0] == &y[0, 0]:
        raise ValueError("add may not be y.")
    return 0


def feed_forward(
    const floating[:, ::1] x,  # in: (N, K)
    const floating[:, ::1] w,  # in: (K, M)
    const floating[::1] b,  # in: (M,)
    const floating[:, ::1] w_out,  # in: (M, L)
    const floating[::1] b_out,  # in: (L,)
    const floating[:, ::1] add,  # in: (N, L), or empty for none
    floating[:, ::1] z,  # out: (N, M), what goes into gelu
    floating[:, ::1] y,  # out: (N, L)
    bint by_tanh,  # which gelu: by the normal distribution or by the hyperbolic tangent
    int n_threads,
):
    """Write z = x w + b and y = gelu(z) w_out + b_out + add; what is between the two products stays in the cache."""
    cdef Py_ssize_t N = x.shape[0], K = x.shape[1], M = z.shape[1], L = y.shape[1], step = _low_panel(N), i, n, at, start
    cdef Py_ssize_t panels = (N + step - 1) // step, left, columns, wide, some, end
    cdef int threads = _threads(n_threads, N, K + L, M)
    _same((N, z.shape[0], y.shape[0]), "The rows of x, z and y")
    _same((K, w.shape[0]), "The columns of x and the rows of w")
    _same((M, w.shape[1], b.shape[0], w_out.shape[0]), "The columns of z, w and b and the rows of w_out")
    _same((L, w_out.shape[1], b_out.shape[0]), "The columns of y, w_out and b_out")
    _check_add(add, y)
    if N == 0:
        return
    if K * M * L == 0:
        raise ValueError("x, z or y has no columns.")
    _apart(z, x)
    _apart(y, x)
    _apart(y, z)
    wide = min(M, max(<Py_ssize_t> DEPTH, BOTH // (K + L) // DEPTH * DEPTH))
    cdef Py_ssize_t width = width_of(&x[0, 0]), first = _rounded(wide, width) * K, last = _rounded(L, width) * wide
    cdef Room[floating] room
    cdef floating* packed = room.take(first + last + threads * step * wide)
    cdef floating* middle = packed + first + last
    cdef const floating* more = &add[0, 0] if add.shape[0] * add.shape[1] else NULL
    cdef floating* h
    some = _at_a_time(threads, step * (K + L) * wide)
    for left in range(0, M, wide):
        columns = min(wide, M - left)
        _pack(w, False, left, left + columns, M, packed, threads)
        _pack(w_out[left : left + columns], False, 0, L, L, packed + first, threads)
        for start in range(0, panels, some):
            end = min(start + some, panels)
            for i in prange(start, end, nogil=True, num_threads=threads, schedule="static"):
                at = i * step
                n = min(step, N - at)
                h = middle + threadid() * step * wide
                multiply_rows(&x[at, 0], n, K, packed, K, columns, &z[at, left], M, True)
                gelu_rows(&z[at, left], &b[left], h, n, columns, M, by_tanh)
                multiply_rows(h, n, columns, packed + first, columns, L, &y[at, 0], L, left == 0)
                if left + columns == M:
                    finish_rows(&y[at, 0], &b_out[0], more + at * L if more != NULL else more, n, L, L)
            breathe()


def feed_backward(
    const floating[:, ::1] dy,  # in: (N, L)
    const floating[:, ::1] w_out,  # in: (M, L)
    floating[:, ::1] z,  # in: (N, M); out: the gradient at it, (dy w_out^T) gelu'(z)
    floating[:, ::1] dw_out,  # out: (M, L)
    floating[::1] db_out,  # out: (L,)
    bint by_tanh,  # which gelu
    int n_threads,
):
    """Carry dy back through y = gelu(z) w_out + b_out, with gelu(z) computed once more for some rows at a time."""
    cdef Py_ssize_t N = dy.shape[0], L = dy.shape[1], M = z.shape[1], i, n, at, start, rows, left, columns
    cdef Py_ssize_t wide, step = 64, most = min(N, <Py_ssize_t> DEPTH), width, space
    cdef int threads = _threads(n_threads, N, L, M)
    _same((N, z.shape[0]), "The rows of dy and z")
    _same((L, w_out.shape[1], dw_out.shape[1], db_out.shape[0]), "The columns of dy, w_out, dw_out and db_out")
    _same((M, w_out.shape[0], dw_out.shape[0]), "The columns of z and the rows of w_out and dw_out")
    if N * M == 0:
        np.asarray(dw_out)[:], np.asarray(db_out)[:] = 0, np.asarray(dy).sum(axis=0)
        return
    if L == 0:
        raise ValueError("dy has no columns.")
    _apart(z, dy)
    _apart(dw_out, dy)
    _apart(dw_out, z)
    width = width_of(&dy[0, 0])
    wide = min(M, max(width, BOTH // 2 // L // width * width))
    space = scratch_of(wide, width)
    cdef Py_ssize_t packs = _rounded(wide, width) * L
    cdef Room[floating] room
    cdef floating* packed = room.take(packs + most * wide + threads * space)
    cdef floating* h = packed + packs
    cdef floating* scratch = h + most * wide
    cdef double[::1] sums = np.zeros(L)
    cdef Slopes[floating] g
    g.x, g.M = h, L
    for left in range(0, M, wide):
        columns = min(wide, M - left)
        _pack(w_out, True, left, left + columns, M, packed, threads)
        g.K, g.dw, g.sums = columns, &dw_out[left, 0], &sums[0] if left == 0 else NULL
        for start in range(0, N, most):
            rows = min(most, N - start)
            g.dy = &dy[start, 0]
            for i in prange((rows + step - 1) // step, nogil=True, num_threads=threads, schedule="static"):
                at = i * step
                n = min(step, rows - at)
                multiply_rows(&dy[start + at, 0], n, L, packed, L, columns, h + at * columns, columns, True)
                gelu_slopes(h + at * columns, &z[start + at, left], n, columns, M, by_tanh)
            for i in prange(threads, nogil=True, num_threads=threads, schedule="static", chunksize=1):
                share_of_gradients(g, rows, start == 0, i, threads, scratch + i * space)
            breathe()
    for i in range(L):
        db_out[i] = <floating> sums[i]


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
    _apart(dw, x)
    _apart(dw, dy)
    cdef double[::1] sums = np.zeros(db.shape[0])
    cdef Slopes[floating] g
    g.K, g.M, g.dw, g.sums = K, M, &dw[0, 0], &sums[0] if db.shape[0] else NULL
    cdef Py_ssize_t space = scratch_of(K, width_of(&x[0, 0])), some = _rounded(max(<Py_ssize_t> 1, LONG // (K * M)), DEPTH)
    cdef Room[floating] room
    cdef floating* scratch = room.take(threads * space)
    for start in range(0, N, some):
        g.x, g.dy = &x[start, 0], &dy[start, 0]
        for i in prange(threads, nogil=True, num_threads=threads, schedule="static", chunksize=1):
            share_of_gradients(g, min(some, N - start), start == 0, i, threads, scratch + i * space)
        breathe()
    for i in range(db.shape[0]):
        db[i] = <floating> sums[i]
