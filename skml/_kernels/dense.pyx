"""Products of tall matrices with small ones, and what comes after them, panel by panel on several threads.

The panels depend on the sizes alone, and each is a product that BLAS computes on one thread: callers limit it to that.
"""

import numpy as np

from cython cimport floating
from cython.parallel cimport prange
from libc.stdint cimport int32_t
from scipy.linalg.cython_blas cimport dgemm, sgemm

cdef extern from "dense.hpp" namespace "skml_dense" nogil:
    void finish_rows[T](T*, const T*, const T*, Py_ssize_t, Py_ssize_t) noexcept
    void gelu_rows[T](T*, const T*, T*, Py_ssize_t, Py_ssize_t, bint) noexcept
    void gelu_slopes[T](const T*, T*, T*, Py_ssize_t, bint) noexcept
    void add_parts[T](T*, const T*, Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept
    void row_sums[T](const T*, Py_ssize_t, Py_ssize_t, double*) noexcept
    void column_sums[T](const T*, Py_ssize_t, Py_ssize_t, Py_ssize_t, T*) noexcept

include "checks.pxi"

from skml._kernels import breathe

cdef enum:
    STRIP = 64  # columns that are summed up together
    ALONE = 400000  # multiplications for which a second thread doesn't pay
    LONG = 4294967296  # those of a thread after which signals are seen to


cdef void _gemm(char* left, char* right, Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, const floating* a, Py_ssize_t lda,
                const floating* b, Py_ssize_t ldb, floating* c, Py_ssize_t ldc) noexcept nogil:
    """Write a product of matrices that stand column by column, as BLAS has them."""
    cdef int M = <int> m, N = <int> n, K = <int> k, LDA = <int> lda, LDB = <int> ldb, LDC = <int> ldc
    cdef floating one = 1, none = 0
    if floating is float:
        sgemm(left, right, &M, &N, &K, &one, <float*> a, &LDA, <float*> b, &LDB, &none, c, &LDC)
    else:
        dgemm(left, right, &M, &N, &K, &one, <double*> a, &LDA, <double*> b, &LDB, &none, c, &LDC)


cdef Py_ssize_t _panel(Py_ssize_t N) noexcept nogil:
    """Return how many rows a panel has: a number of panels that four threads can share, of at most 256 rows."""
    cdef Py_ssize_t parts = 4 * max(<Py_ssize_t> 1, (N + 1023) // 1024)
    return max(<Py_ssize_t> 48, (N + parts - 1) // parts)


cdef int _threads(int n_threads, Py_ssize_t N, Py_ssize_t K, Py_ssize_t M) except -1:
    """Return how many threads a product of these sizes is worth; no result depends on it."""
    _check_threads(n_threads)
    if max(N, K, M) >= 2**31:
        raise ValueError("Matrices of 2^31 rows or columns are too large.")
    return <int> min(<double> n_threads, 1 + <double> N * K * M / ALONE)


cdef Py_ssize_t _at_a_time(int threads, Py_ssize_t work) noexcept:
    """Return after how many products signals are seen to: some for each thread."""
    return threads * max(<Py_ssize_t> 1, LONG // work)


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
    cdef Py_ssize_t panels = (N + step - 1) // step
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
    some = _at_a_time(threads, step * K * M)
    for start in range(0, panels, some):
        end = min(start + some, panels)
        for i in prange(start, end, nogil=True, num_threads=threads, schedule="static"):
            at = i * step
            n = min(step, N - at)
            if transposed:
                _gemm(b"T", b"N", M, n, K, &w[0, 0], K, &x[at, 0], K, &y[at, 0], M)
            else:
                _gemm(b"N", b"N", M, n, K, &w[0, 0], M, &x[at, 0], K, &y[at, 0], M)
            if after != NULL:
                gelu_rows(&y[at, 0], bias, after + at * M, n, M, by_tanh)
            elif bias != NULL or more != NULL:
                finish_rows(&y[at, 0], bias, more + at * M if more != NULL else more, n, M)
        breathe()


def through_gelu(
    const floating[:, ::1] dy,  # in: (N, M)
    const floating[:, ::1] w,  # in: (K, M)
    const floating[:, ::1] z,  # in: (N, K)
    floating[:, ::1] dz,  # out: (N, K)
    floating[:, ::1] h,  # out: (N, K)
    bint by_tanh,  # which gelu
    int n_threads,
):
    """Write dz = (dy w^T) gelu'(z), and h = gelu(z) once more."""
    cdef Py_ssize_t N = dy.shape[0], M = dy.shape[1], K = w.shape[0], step = _panel(dy.shape[0]), i, n, at, start, end, some
    cdef Py_ssize_t panels = (N + step - 1) // step
    cdef int threads = _threads(n_threads, N, K, M)
    _same((M, w.shape[1]), "The columns of dy and w")
    _same((N, z.shape[0], dz.shape[0], h.shape[0]), "The rows of dy, z, dz and h")
    _same((K, z.shape[1], dz.shape[1], h.shape[1]), "The rows of w and the columns of z, dz and h")
    if N * K == 0:
        return
    if M == 0:
        raise ValueError("dy has no columns.")
    some = _at_a_time(threads, step * K * M)
    for start in range(0, panels, some):
        end = min(start + some, panels)
        for i in prange(start, end, nogil=True, num_threads=threads, schedule="static"):
            at = i * step
            n = min(step, N - at)
            _gemm(b"T", b"N", K, n, M, &w[0, 0], M, &dy[at, 0], M, &dz[at, 0], K)
            gelu_slopes(&z[at, 0], &dz[at, 0], &h[at, 0], n * K, by_tanh)
        breathe()


def gradients(
    const floating[:, ::1] x,  # in: (N, K)
    const floating[:, ::1] dy,  # in: (N, M)
    floating[:, ::1] dw,  # out: (K, M)
    floating[::1] db,  # out: (M,), or empty
    floating[:, ::1] space,  # scratch: (at most 3, at least K M): with it the rows are summed in so many parts and one
    int n_threads,
):
    """Write dw = x^T dy, and the sums of the columns of dy."""
    cdef Py_ssize_t N = x.shape[0], K = x.shape[1], M = dy.shape[1], i
    cdef int threads = _threads(n_threads, N, K, M)
    _same((N, dy.shape[0]), "The rows of x and dy")
    _same((K, dw.shape[0]), "The columns of x and the rows of dw")
    _same((M, dw.shape[1]), "The columns of dy and dw")
    if db.shape[0]:
        _same((M, db.shape[0]), "The columns of dy and db")
    if space.shape[0] > 3 or (space.shape[0] and space.shape[1] < K * M):
        raise ValueError(f"space must have at most 3 rows, of at least {K * M} numbers.")
    if N == 0 or K * M == 0:
        np.asarray(dw)[:] = 0
        np.asarray(db)[:] = np.asarray(dy).sum(axis=0) if db.shape[0] else 0
        return
    cdef Py_ssize_t parts = min(space.shape[0] + 1, max(<Py_ssize_t> 1, N // 64))
    if parts > 1:
        _part_by_part(x, dy, dw, db, space, parts, threads)
        return
    _side_by_side(x, dy, dw, threads)
    if db.shape[0]:
        for i in prange((M + STRIP - 1) // STRIP, nogil=True, num_threads=threads, schedule="static"):
            column_sums(&dy[0, i * STRIP], N, M, min(<Py_ssize_t> STRIP, M - i * STRIP), &db[i * STRIP])


cdef int _part_by_part(const floating[:, ::1] x, const floating[:, ::1] dy, floating[:, ::1] dw, floating[::1] db,
                       floating[:, ::1] space, Py_ssize_t parts, int n_threads) except -1:
    """Write dw as a sum over parts of the rows: BLAS is fastest with whole matrices, and a thread has met its rows."""
    cdef Py_ssize_t N = x.shape[0], K = x.shape[1], M = dy.shape[1], step = (N + parts - 1) // parts, i, at
    cdef Py_ssize_t size = K * M, piece = (K * M + 15) // 16, some = _at_a_time(n_threads, step * K * M), start, end
    cdef double[:, ::1] sums = np.zeros((parts, db.shape[0]))
    for start in range(0, parts, some):
        end = min(start + some, parts)
        for i in prange(start, end, nogil=True, num_threads=n_threads, schedule="static"):
            at = i * step
            _gemm(b"N", b"T", M, K, min(step, N - at), &dy[at, 0], M, &x[at, 0], K, &space[i - 1, 0] if i else &dw[0, 0], M)
            if db.shape[0]:
                row_sums(&dy[at, 0], min(step, N - at), M, &sums[i, 0])
        breathe()
    for i in prange((size + piece - 1) // piece, nogil=True, num_threads=n_threads, schedule="static"):
        at = i * piece
        add_parts(&dw[0, 0] + at, &space[0, 0] + at, space.shape[1], parts - 1, min(piece, size - at))
    for i in range(db.shape[0]):
        for at in range(1, parts):
            sums[0, i] += sums[at, i]
        db[i] = <floating> sums[0, i]
    return 0


cdef int _side_by_side(const floating[:, ::1] x, const floating[:, ::1] dy, floating[:, ::1] dw,
                       int n_threads) except -1:
    """Write dw in pieces of its longer side: in four, or in more if those are wide."""
    cdef Py_ssize_t N = x.shape[0], K = x.shape[1], M = dy.shape[1], size = max(x.shape[1], dy.shape[1]), i, at, n
    cdef Py_ssize_t parts = 4 * ((size + 1023) // 1024), step, start, end, some
    step = (size + parts - 1) // parts
    parts, some = (size + step - 1) // step, _at_a_time(n_threads, step * N * min(K, M))
    for start in range(0, parts, some):
        end = min(start + some, parts)
        for i in prange(start, end, nogil=True, num_threads=n_threads, schedule="static"):
            at = i * step
            n = min(step, size - at)
            if M > K:
                _gemm(b"N", b"T", n, K, N, &dy[0, at], M, &x[0, 0], K, &dw[0, at], M)
            else:
                _gemm(b"N", b"T", M, n, N, &dy[0, 0], M, &x[0, at], K, &dw[at, 0], M)
        breathe()
    return 0
