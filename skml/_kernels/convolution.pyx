"""Convolutions of batches of images, their channels last: forward, and back to the data and to the weights."""

import numpy as np

import skml._kernels as _kernels

from cpython.exc cimport PyErr_CheckSignals
from cython cimport floating
from cython.parallel cimport prange
from libc.stdint cimport int32_t, int64_t, uintptr_t

cdef extern from "conv_geometry.hpp" namespace "skml_convolution" nogil:
    cdef struct Axis:
        Py_ssize_t n
    cdef cppclass Pass[T]:
        const T* source
        const T* weights
        const T* bias
        T* out
        Py_ssize_t B, groups, depth, columns, out_h, out_w, KW, tap_weights, depth_step, column_step
        Axis h, w
        int activation
        Py_ssize_t n_slabs, window_size
        int32_t* offsets
        T* panels
        T* biases
        Py_ssize_t taps()
        Py_ssize_t group_columns()
    Axis forward_axis(Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept
    Axis backward_axis(Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept
    void write_offsets[T](const Pass[T]&) noexcept

cdef extern from "conv_data.hpp" namespace "skml_convolution" nogil:
    void plan_data[T](Pass[T]&, int) noexcept
    Py_ssize_t data_space[T](const Pass[T]&) noexcept
    void pack_weights[T](const Pass[T]&) noexcept
    Py_ssize_t panels_size[T](const Pass[T]&) noexcept
    void fill[T](const Pass[T]&, char*, int64_t*, Py_ssize_t) noexcept

cdef extern from "conv_weights.hpp" namespace "skml_convolution" nogil:
    Py_ssize_t plan_weights[T](Pass[T]&) noexcept
    Py_ssize_t weights_space[T](const Pass[T]&) noexcept
    Py_ssize_t sums_size[T](const Pass[T]&) noexcept
    void add_some[T](const Pass[T]&, Py_ssize_t, char*, T*, int64_t*, Py_ssize_t, Py_ssize_t) noexcept
    void add_chunks[T](const Pass[T]&, Py_ssize_t, Py_ssize_t, const T*, T*, Py_ssize_t) noexcept
    bint turns[T](const Pass[T]&) noexcept
    void turn[T](Pass[T]&) noexcept
    void add_turned[T](const Pass[T]&, Py_ssize_t, Py_ssize_t, const T*, T*) noexcept
    void sum_rows[T](const T*, Py_ssize_t, Py_ssize_t, T*) noexcept

include "checks.pxi"

cdef enum:
    ROUND = 1 << 30  # multiply-adds between two returns to Python, a twentieth of a second or so

cdef struct Sizes:
    Py_ssize_t B, H, W, C, OH, OW, F, KH, KW, sh, sw, top, left, dh, dw, groups


cdef Sizes _sizes(tuple x, tuple w, tuple y, tuple stride, tuple pad, tuple dilation, Py_ssize_t groups, int n_threads):
    """Return what the shapes and numbers say, checked."""
    cdef Sizes s
    _check_threads(n_threads)
    s.B, s.H, s.W, s.C = x
    s.KH, s.KW, _, s.F = w
    _, s.OH, s.OW, _ = y
    s.sh, s.sw = stride
    s.top, s.left = pad
    s.dh, s.dw = dilation
    s.groups = groups
    if s.B != y[0] or s.F != y[3]:
        raise ValueError(f"The images and filters of {x}, {w} and {y} must agree.")
    if groups < 1 or s.C % groups or s.F % groups or w[2] != s.C // groups:
        raise ValueError(f"{groups} groups do not fit {s.C} channels, {s.F} filters and weights of {w[2]} channels.")
    if (min(s.H, s.W, s.C, s.F, s.OH, s.OW, s.KH, s.KW) < 1 or min(s.sh, s.sw, s.dh, s.dw) < 1
            or min(s.top, s.left) < 0):
        raise ValueError(f"Sizes, stride {stride} and dilation {dilation} must be at least 1, pad {pad} 0; got {x}, {w}, {y}.")
    # Offsets within the window of one position have 32 bits; all that slabs are planned with fits 64.
    cdef double channels = max(s.C, s.F), kh = s.KH, kw = s.KW
    cdef double height = s.H + <double> s.OH * s.sh + kh * s.dh + s.top
    cdef double width = s.W + <double> s.OW * s.sw + kw * s.dw + s.left
    cdef double window = (kh * s.dh + s.sh) * (kw * s.dw + s.sw) * channels
    if max(kh * kw * s.C * s.F, window) >= 2.0**31 or height * width * channels >= 2.0**62:
        raise ValueError("The weights, or the window that one position reads, have 2^31 numbers or more.")
    return s


cdef tuple _shape(const floating[:, :, :, ::1] a):
    return a.shape[0], a.shape[1], a.shape[2], a.shape[3]


cdef int _check_bias(Py_ssize_t size, Py_ssize_t F) except -1:
    if size not in (0, F):
        raise ValueError(f"The bias has {size} entries, expected {F} or none.")
    return 0


cdef void _forward_pass(Pass[floating]* p, Sizes s) noexcept:
    p.B, p.groups, p.depth, p.columns, p.out_h, p.out_w, p.KW = s.B, s.groups, s.C // s.groups, s.F // s.groups, s.OH, s.OW, s.KW
    p.tap_weights, p.depth_step, p.column_step = s.C // s.groups * s.F, s.F, 1
    p.h = forward_axis(s.H, s.OH, s.KH, s.sh, s.top, s.dh)
    p.w = forward_axis(s.W, s.OW, s.KW, s.sw, s.left, s.dw)


cdef char* _aligned(char* start) noexcept nogil:
    return <char*> ((<uintptr_t> start + 63) // 64 * 64)


cdef Py_ssize_t _lines(Py_ssize_t size) noexcept nogil:
    """Return `size` bytes rounded up to whole cache lines."""
    return (size + 63) // 64 * 64


cdef int _breathe() except -1:
    """See to signals, and to whoever wants this thread to stop."""
    PyErr_CheckSignals()
    _kernels.breathe()
    return 0


cdef int _useful_threads(Py_ssize_t multiply_adds, int n_threads) noexcept nogil:
    return <int> max(1, min(<Py_ssize_t> n_threads, multiply_adds // 524288))


cdef int _run(Pass[floating]* p, int n_threads) except -1:
    """Compute a pass from positions to positions."""
    cdef Py_ssize_t work = p.B * p.h.n * p.w.n * p.taps() * p.columns * p.groups
    n_threads = _useful_threads(work, n_threads)
    plan_data(p[0], n_threads)
    cdef Py_ssize_t offsets = _lines(p.taps() * sizeof(int32_t)), biases = _lines(p.groups * p.group_columns() * sizeof(floating))
    cdef Py_ssize_t panels = _lines(panels_size(p[0]) * sizeof(floating)), own = _lines(data_space(p[0]))
    cdef char[::1] space = np.empty(64 + offsets + biases + panels + n_threads * own, dtype=np.int8).view("c")
    cdef char* start = _aligned(&space[0])
    cdef Py_ssize_t worker, begin, end, some = max(<Py_ssize_t> 1, <Py_ssize_t> (p.n_slabs * (<double> ROUND / max(work, <Py_ssize_t> 1))))
    cdef int64_t next_slab
    p.offsets, p.biases = <int32_t*> start, <floating*> (start + offsets)
    p.panels = <floating*> (start + offsets + biases)
    start += offsets + biases + panels
    with nogil:
        write_offsets(p[0])
        pack_weights(p[0])
    for begin in range(0, p.n_slabs, some):
        next_slab, end = begin, min(p.n_slabs, begin + some)
        for worker in prange(n_threads, nogil=True, num_threads=n_threads, schedule="static"):
            fill(p[0], start + worker * own, &next_slab, end)
        if end < p.n_slabs:
            _breathe()


def forward(
    const floating[:, :, :, ::1] x,  # in: (B, H, W, C)
    const floating[:, :, :, ::1] w,  # in: (KH, KW, C / groups, F)
    const floating[::1] b,  # in: (F,); empty: 0
    floating[:, :, :, ::1] y,  # out: (B, OH, OW, F)
    tuple stride,
    tuple pad,  # rows of 0 above x and columns left of it; below and to the right there are as many as y needs
    tuple dilation,
    Py_ssize_t groups,
    int activation,  # 0 identity, 1 relu, 2 leaky relu, 3 gelu, 4 tanh, 5 sigmoid
    int n_threads,
):
    """Write y[i, j] = activation(b + sum_kl x[i s + k d - top, j s + l d - left] w[k, l])."""
    cdef Sizes s = _sizes(_shape(x), _shape(w), _shape(y), stride, pad, dilation, groups, n_threads)
    cdef Pass[floating] p
    _check_bias(b.shape[0], s.F)
    if not 0 <= activation <= 5:
        raise ValueError(f"activation is {activation}, outside 0 to 5.")
    if s.B == 0:
        return
    p.source, p.weights, p.out, p.activation = &x[0, 0, 0, 0], &w[0, 0, 0, 0], &y[0, 0, 0, 0], activation
    if b.shape[0]:
        p.bias = &b[0]
    _forward_pass(&p, s)
    _run(&p, n_threads)


def backward_data(
    const floating[:, :, :, ::1] dy,  # in: (B, OH, OW, F)
    const floating[:, :, :, ::1] w,  # in: (KH, KW, C / groups, F)
    floating[:, :, :, ::1] dx,  # out: (B, H, W, C)
    tuple stride,
    tuple pad,
    tuple dilation,
    Py_ssize_t groups,
    int n_threads,
):
    """Write the gradient at x of sum(y * dy)."""
    cdef Sizes s = _sizes(_shape(dx), _shape(w), _shape(dy), stride, pad, dilation, groups, n_threads)
    cdef Pass[floating] p
    cdef Py_ssize_t i, j
    if s.B == 0:
        return
    p.source, p.weights, p.out = &dy[0, 0, 0, 0], &w[0, 0, 0, 0], &dx[0, 0, 0, 0]
    p.B, p.groups, p.depth, p.columns, p.out_h, p.out_w, p.KW = s.B, groups, s.F // groups, s.C // groups, s.H, s.W, s.KW
    p.tap_weights, p.depth_step, p.column_step = s.C // groups * s.F, 1, s.F
    for i in range(min(s.sh, s.H)):  # entries of x of one phase meet the same entries of the kernel
        for j in range(min(s.sw, s.W)):
            p.h = backward_axis(s.OH, s.H, s.KH, s.sh, s.top, s.dh, i)
            p.w = backward_axis(s.OW, s.W, s.KW, s.sw, s.left, s.dw, j)
            _run(&p, n_threads)


def backward_weights(
    const floating[:, :, :, ::1] x,  # in: (B, H, W, C)
    const floating[:, :, :, ::1] dy,  # in: (B, OH, OW, F)
    floating[:, :, :, ::1] dw,  # out: (KH, KW, C / groups, F)
    floating[::1] db,  # out: (F,); empty: not wanted
    tuple stride,
    tuple pad,
    tuple dilation,
    Py_ssize_t groups,
    int n_threads,
):
    """Write the gradients at w and b of sum(y * dy)."""
    cdef Sizes s = _sizes(_shape(x), _shape(dw), _shape(dy), stride, pad, dilation, groups, n_threads)
    cdef Pass[floating] p
    cdef Py_ssize_t n_chunks, size, own, offsets, k, worker, round, n_rounds
    cdef int threads
    cdef bint turned
    _check_bias(db.shape[0], s.F)
    if s.B == 0:
        dw[...] = 0
        db[...] = 0
        return
    p.source, p.out = &x[0, 0, 0, 0], <floating*> &dy[0, 0, 0, 0]
    _forward_pass(&p, s)
    turned = turns(p)
    if turned:
        turn(p)
    n_chunks = plan_weights(p)
    threads = <int> min(<Py_ssize_t> _useful_threads(s.B * s.OH * s.OW * s.F * p.taps(), n_threads), n_chunks)
    size, own, offsets = _lines(sums_size(p) * sizeof(floating)), _lines(weights_space(p)), _lines(p.taps() * sizeof(int32_t))
    cdef char[::1] space = np.empty(64 + offsets + n_chunks * size + threads * own, dtype=np.int8).view("c")
    cdef char* start = _aligned(&space[0])
    cdef floating* sums = <floating*> (start + offsets)
    cdef floating* weights = &dw[0, 0, 0, 0]
    cdef floating* biases = &db[0] if db.shape[0] else NULL
    cdef char* rooms = start + offsets + n_chunks * size
    cdef int64_t next_chunk
    p.offsets = <int32_t*> start
    write_offsets(p)
    n_rounds = 1 + <Py_ssize_t> (<double> (s.B * s.OH * s.OW * s.F) * p.taps() / ROUND)
    for round in range(n_rounds):
        next_chunk = 0
        for worker in prange(threads, nogil=True, num_threads=threads, schedule="static"):
            add_some(p, n_chunks, rooms + worker * own, sums, &next_chunk, round, n_rounds)
        if round + 1 < n_rounds:
            _breathe()
    for k in prange(p.taps() + 1, nogil=True, num_threads=threads, schedule="static"):
        if turned and k < p.taps():
            add_turned(p, k, n_chunks, sums, weights)
        elif k < p.taps():
            add_chunks(p, k, n_chunks, sums, weights + k * s.F, 1)
        elif turned and biases != NULL:
            sum_rows(p.source, s.B * s.OH * s.OW, s.F, biases)
        elif biases != NULL:
            add_chunks(p, k, n_chunks, sums, biases, 1)
