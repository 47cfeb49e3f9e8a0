"""Causal attention of many heads, forward and backward, without a matrix of all scores."""

import numpy as np

from cython cimport floating
from cython.parallel cimport prange, threadid
from libc.math cimport sqrt
from libc.stdint cimport int32_t

cdef extern from "attention.hpp" namespace "skml_attention" nogil:
    cdef cppclass Rotary[T]:
        const T* cosine
        const T* sine
    cdef cppclass Head[T]:
        Py_ssize_t n, D, C
        T scale
        Rotary[T] rotary
        const int32_t* first
        const T* qkv
    cdef cppclass Slopes[T]:
        const T* out
        const T* dout
        const T* lse
        T* dqkv
    Py_ssize_t space_of[T](const T*, Py_ssize_t, Py_ssize_t) noexcept
    void forward_head[T](const Head[T]&, T*, T*, T*) noexcept
    void backward_head[T](const Head[T]&, const Slopes[T]&, T*) noexcept

include "checks.pxi"

from skml._kernels import breathe

cdef enum:
    LONG = 4294967296  # multiplications of a thread after which signals are seen to


cdef Py_ssize_t _heads(tuple qkv, tuple out, tuple lse, tuple first, int n_heads, tuple angles) except -1:
    """Return the channels of a head, or raise unless all shapes belong together."""
    if n_heads < 1 or qkv[2] % (3 * n_heads):
        raise ValueError(f"qkv has {qkv[2]} columns, which are not 3 times those of {n_heads} heads.")
    cdef Py_ssize_t B = qkv[0], T = qkv[1], C = qkv[2] // 3, D = qkv[2] // (3 * n_heads)
    if out != (B, T, C) or lse != (B, n_heads, T) or first != (B, T):
        raise ValueError(f"qkv of shape {qkv} does not go with out {out}, lse {lse} and first {first}.")
    if angles[0] != angles[1] or (angles[0][0] and (D % 2 or angles[0][1] != D // 2 or angles[0][0] < T)):
        raise ValueError(f"Cosines and sines of shapes {angles} do not go with {T} moments and {D} channels.")
    if T >= 2**31 // 64:
        raise ValueError(f"{T} moments are too many.")
    return D


cdef int _check_first(const int32_t[:, ::1] first) except -1:
    cdef Py_ssize_t b, t
    cdef int outside = 0
    for b in range(first.shape[0]):
        for t in range(first.shape[1]):
            outside |= (first[b, t] < 0) | (first[b, t] > t)
    if outside:
        raise ValueError("first must be at least 0, and at most the moment that it is about.")
    return 0


cdef tuple _shape(array):
    return np.shape(array)


cdef Py_ssize_t _at_a_time(int threads, Py_ssize_t T, Py_ssize_t D) noexcept:
    """Return after how many heads signals are seen to: some for each thread."""
    return threads * max(<Py_ssize_t> 1, LONG // (T * T * D))


def forward(
    const floating[:, :, ::1] qkv,  # in: (B, T, 3 C), queries, keys and values, each n_heads times D channels
    const int32_t[:, ::1] first,  # in: (B, T), the first moment that each one sees; the last is itself
    int n_heads,
    const floating[:, ::1] cosine,  # in: (at least T, D / 2) of rotary positions, counted from first, or empty
    const floating[:, ::1] sine,  # in: of the same shape
    floating[:, :, ::1] out,  # out: (B, T, C)
    floating[:, :, ::1] lse,  # out: (B, n_heads, T), the logarithm of the sum of the exponentials of the scores
    int n_threads,
):
    """Write softmax(q k^T / sqrt(D)) v of each head."""
    cdef Py_ssize_t B = qkv.shape[0], T = qkv.shape[1], C = out.shape[2], i, start, end, some
    cdef Py_ssize_t D = _heads(_shape(qkv), _shape(out), _shape(lse), _shape(first), n_heads,
                               (_shape(cosine), _shape(sine)))
    _check_threads(n_threads)
    _check_first(first)
    if B * T * D == 0:
        np.asarray(lse)[:] = 0
        return
    cdef int threads = <int> min(<Py_ssize_t> n_threads, 1 + B * n_heads * T * T * D // 65536)
    cdef floating[:, ::1] space = np.empty((threads, space_of(&qkv[0, 0, 0], T, D)), np.asarray(out).dtype)
    cdef Head[floating] head
    head.n, head.D, head.C, head.scale = T, D, C, <floating> (1 / sqrt(<double> D))
    head.rotary.cosine = &cosine[0, 0] if cosine.shape[0] else NULL
    head.rotary.sine = &sine[0, 0] if sine.shape[0] else NULL
    some = _at_a_time(threads, T, D)
    for start in range(0, B * n_heads, some):
        end = min(start + some, B * n_heads)
        for i in prange(start, end, nogil=True, num_threads=threads, schedule="static"):
            _forward(head, &qkv[0, 0, 0], &first[0, 0], n_heads, &out[0, 0, 0], &lse[0, 0, 0], i, &space[threadid(), 0])
        breathe()


cdef void _forward(Head[floating] head, const floating* qkv, const int32_t* first, int n_heads, floating* out,
                   floating* lse, Py_ssize_t i, floating* space) noexcept nogil:
    cdef Py_ssize_t b = i // n_heads, h = i % n_heads
    head.first = first + b * head.n
    head.qkv = qkv + b * head.n * 3 * head.C + h * head.D
    forward_head(head, out + b * head.n * head.C + h * head.D, lse + i * head.n, space)


def backward(
    const floating[:, :, ::1] dout,  # in: (B, T, C)
    const floating[:, :, ::1] qkv,  # in: (B, T, 3 C)
    const int32_t[:, ::1] first,  # in: (B, T)
    int n_heads,
    const floating[:, ::1] cosine,  # in: as forward's
    const floating[:, ::1] sine,  # in: as forward's
    const floating[:, :, ::1] out,  # in: (B, T, C), what forward wrote
    const floating[:, :, ::1] lse,  # in: (B, n_heads, T), what forward wrote
    floating[:, :, ::1] dqkv,  # out: (B, T, 3 C), may be qkv
    int n_threads,
):
    """Write the gradient at queries, keys and values."""
    cdef Py_ssize_t B = qkv.shape[0], T = qkv.shape[1], C = out.shape[2], i, start, end, some
    cdef Py_ssize_t D = _heads(_shape(qkv), _shape(out), _shape(lse), _shape(first), n_heads,
                               (_shape(cosine), _shape(sine)))
    _check_threads(n_threads)
    _check_first(first)
    if _shape(dout) != _shape(out) or _shape(dqkv) != _shape(qkv):
        raise ValueError("dout must be of the shape of out, and dqkv of that of qkv.")
    if B * T * D == 0:
        return
    cdef int threads = <int> min(<Py_ssize_t> n_threads, 1 + B * n_heads * T * T * D // 65536)
    cdef floating[:, ::1] space = np.empty((threads, space_of(&qkv[0, 0, 0], T, D)), np.asarray(out).dtype)
    cdef Head[floating] head
    head.n, head.D, head.C, head.scale = T, D, C, <floating> (1 / sqrt(<double> D))
    head.rotary.cosine = &cosine[0, 0] if cosine.shape[0] else NULL
    head.rotary.sine = &sine[0, 0] if sine.shape[0] else NULL
    cdef Slopes[floating] slopes
    slopes.out, slopes.dout, slopes.lse, slopes.dqkv = &out[0, 0, 0], &dout[0, 0, 0], &lse[0, 0, 0], &dqkv[0, 0, 0]
    some = _at_a_time(threads, T, D)
    for start in range(0, B * n_heads, some):
        end = min(start + some, B * n_heads)
        for i in prange(start, end, nogil=True, num_threads=threads, schedule="static"):
            _backward(head, slopes, &qkv[0, 0, 0], &first[0, 0], n_heads, i, &space[threadid(), 0])
        breathe()


cdef void _backward(Head[floating] head, Slopes[floating] slopes, const floating* qkv, const int32_t* first,
                    int n_heads, Py_ssize_t i, floating* space) noexcept nogil:
    cdef Py_ssize_t b = i // n_heads, h = i % n_heads, at = b * head.n * head.C + h * head.D
    head.first = first + b * head.n
    head.qkv = qkv + b * head.n * 3 * head.C + h * head.D
    slopes.out, slopes.dout, slopes.lse = slopes.out + at, slopes.dout + at, slopes.lse + i * head.n
    slopes.dqkv = slopes.dqkv + b * head.n * 3 * head.C + h * head.D
    backward_head(head, slopes, space)
