"""Maxima, minima and means over windows of images, and their gradients."""

import skml._kernels as _kernels

from cpython.exc cimport PyErr_CheckSignals
from cython cimport floating
from cython.parallel cimport prange
from libc.stdint cimport int32_t, uint8_t

cdef extern from "pooling.hpp" namespace "skml_pooling" nogil:
    cdef struct Geometry:
        Py_ssize_t H, W, C, OH, OW, kh, kw, sh, sw, top, left
    void row[T](const Geometry&, const T*, Py_ssize_t, T*, uint8_t*, int) noexcept
    void mean_row[T](const Geometry&, const T*, Py_ssize_t, T*) noexcept
    void image_backward[T](const Geometry&, const T*, const uint8_t*, T*) noexcept
    void mean_backward[T](const Geometry&, const T*, T*) noexcept

include "checks.pxi"

cdef enum:
    ROUND = 1 << 27  # comparisons or additions between two returns to Python: about a tenth of a second


cdef Geometry _geometry(tuple image, tuple windows, tuple kernel, tuple stride, tuple pad) except *:
    """Return the sizes of a pooling, or raise if they cannot be."""
    cdef Geometry g
    g.H, g.W, g.C = image
    g.OH, g.OW = windows
    g.kh, g.kw = kernel
    g.sh, g.sw = stride
    g.top, g.left = pad
    if g.kh < 1 or g.kw < 1 or g.kh > 2**31 or g.kw > 2**31:
        raise ValueError(f"kernel must have at least one place, got {kernel}.")
    if min(g.sh, g.sw) < 1 or min(g.top, g.left) < 0 or max(g.sh, g.sw, g.top, g.left) > 2**31:
        raise ValueError(f"stride must be positive and pad not negative, got {stride} and {pad}.")
    return g


cdef int _check_places(Geometry g) except -1:
    if g.kh > 255 or g.kw > 255 or g.kh * g.kw > 255:
        raise ValueError(f"kernel must have 1 to 255 places, got {g.kh, g.kw}.")
    return 0


cdef int _check_windows(tuple x, tuple y) except -1:
    if x[0] != y[0] or x[3] != y[3]:
        raise ValueError(f"The images and channels of {x} and {y} must agree.")
    return 0


cdef int _check_index(tuple y, tuple index) except -1:
    if y != index:
        raise ValueError(f"y and index must agree in shape, got {y} and {index}.")
    return 0


cdef tuple _shape(const floating[:, :, :, ::1] a):
    return a.shape[0], a.shape[1], a.shape[2], a.shape[3]


cdef tuple _places(const uint8_t[:, :, :, ::1] a):
    return a.shape[0], a.shape[1], a.shape[2], a.shape[3]


cdef Py_ssize_t _at_once(Py_ssize_t work) noexcept nogil:
    """Return how many rows or images, each of so much work, are worth a return to Python."""
    return max(<Py_ssize_t> 1, ROUND // max(work, <Py_ssize_t> 1))


cdef int _breathe() except -1:
    """See to signals, and to whoever wants this thread to stop."""
    PyErr_CheckSignals()
    _kernels.breathe()
    return 0


def max_pool(
    const floating[:, :, :, ::1] x,  # in: (B, H, W, C)
    floating[:, :, :, ::1] y,  # out: (B, OH, OW, C)
    uint8_t[:, :, :, ::1] index,  # out: (B, OH, OW, C), the place in the window, the first of equals; 255 for padding;
    # or of no images, if it is not wanted
    tuple kernel,
    tuple stride,
    tuple pad,  # above and to the left
    int sign,  # 1: maxima, -1: minima
    int n_threads,
):
    """Write the largest (smallest) of each window; what lies outside x doesn't count, windows of only that give 0."""
    cdef Py_ssize_t B = x.shape[0], i, start, end, size
    cdef Geometry g = _geometry((x.shape[1], x.shape[2], x.shape[3]), (y.shape[1], y.shape[2]), kernel, stride, pad)
    cdef bint indexed = index.shape[0] > 0
    _check_threads(n_threads)
    _check_places(g)
    _check_windows(_shape(x), _shape(y))
    if indexed:
        _check_index(_shape(y), _places(index))
    if sign not in (1, -1):
        raise ValueError(f"sign is {sign}, expected 1 or -1.")
    size = g.OW * g.C
    if B * g.OH * size == 0:
        return
    cdef int threads = <int> min(<Py_ssize_t> n_threads, 1 + B * g.OH * size // 8192)
    cdef const floating* images = &x[0, 0, 0, 0] if x.shape[1] * x.shape[2] else NULL
    cdef floating* out = &y[0, 0, 0, 0]
    cdef uint8_t* places = &index[0, 0, 0, 0] if indexed else NULL
    cdef Py_ssize_t some = _at_once(size * g.kh * g.kw)
    for start in range(0, B * g.OH, some):
        end = min(B * g.OH, start + some)
        for i in prange(start, end, nogil=True, num_threads=threads, schedule="static"):
            row(g, images + i // g.OH * g.H * g.W * g.C, i % g.OH, out + i * size,
                places + i * size if indexed else NULL, sign)
        if end < B * g.OH:
            _breathe()


def max_pool_backward(
    const floating[:, :, :, ::1] dy,  # in: (B, OH, OW, C)
    const uint8_t[:, :, :, ::1] index,  # in: (B, OH, OW, C)
    floating[:, :, :, ::1] dx,  # out: (B, H, W, C)
    tuple kernel,
    tuple stride,
    tuple pad,
    int n_threads,
):
    """Write the gradient: each number of dy is added where its index points."""
    cdef Py_ssize_t B = dx.shape[0], i, start, end
    cdef Geometry g = _geometry((dx.shape[1], dx.shape[2], dx.shape[3]), (dy.shape[1], dy.shape[2]), kernel, stride, pad)
    _check_threads(n_threads)
    _check_places(g)
    _check_windows(_shape(dx), _shape(dy))
    _check_index(_shape(dy), _places(index))
    if B * g.H * g.W * g.C == 0:
        return
    cdef int threads = <int> min(<Py_ssize_t> n_threads, 1 + B * g.H * g.W * g.C // 32768)
    cdef Py_ssize_t per_image = g.OH * g.OW * g.C
    cdef const floating* slopes = &dy[0, 0, 0, 0] if per_image else NULL
    cdef const uint8_t* places = &index[0, 0, 0, 0] if per_image else NULL
    cdef Py_ssize_t some = _at_once(per_image * g.kh * g.kw + g.H * g.W * g.C)
    for start in range(0, B, some):
        end = min(B, start + some)
        for i in prange(start, end, nogil=True, num_threads=threads, schedule="static"):
            image_backward(g, slopes + i * per_image, places + i * per_image, &dx[i, 0, 0, 0])
        if end < B:
            _breathe()


def average_pool(
    const floating[:, :, :, ::1] x,  # in: (B, H, W, C)
    floating[:, :, :, ::1] y,  # out: (B, OH, OW, C)
    tuple kernel,
    tuple stride,
    tuple pad,  # above and to the left
    int n_threads,
):
    """Write the mean of what of each window lies in x; windows outside it give 0."""
    cdef Py_ssize_t B = x.shape[0], i, start, end, size
    cdef Geometry g = _geometry((x.shape[1], x.shape[2], x.shape[3]), (y.shape[1], y.shape[2]), kernel, stride, pad)
    _check_threads(n_threads)
    _check_windows(_shape(x), _shape(y))
    size = g.OW * g.C
    if B * g.OH * size == 0:
        return
    cdef int threads = <int> min(<Py_ssize_t> n_threads, 1 + B * g.OH * size // 8192)
    cdef const floating* images = &x[0, 0, 0, 0] if x.shape[1] * x.shape[2] else NULL
    cdef floating* out = &y[0, 0, 0, 0]
    cdef Py_ssize_t some = _at_once(size * min(g.kh, g.H) * min(g.kw, g.W))
    for start in range(0, B * g.OH, some):
        end = min(B * g.OH, start + some)
        for i in prange(start, end, nogil=True, num_threads=threads, schedule="static"):
            mean_row(g, images + i // g.OH * g.H * g.W * g.C, i % g.OH, out + i * size)
        if end < B * g.OH:
            _breathe()


def average_pool_backward(
    const floating[:, :, :, ::1] dy,  # in: (B, OH, OW, C)
    floating[:, :, :, ::1] dx,  # out: (B, H, W, C)
    tuple kernel,
    tuple stride,
    tuple pad,
    int n_threads,
):
    """Write the gradient: each number of dy is shared out evenly among what of its window lies in x."""
    cdef Py_ssize_t B = dx.shape[0], i, start, end
    cdef Geometry g = _geometry((dx.shape[1], dx.shape[2], dx.shape[3]), (dy.shape[1], dy.shape[2]), kernel, stride, pad)
    _check_threads(n_threads)
    _check_windows(_shape(dx), _shape(dy))
    if B * g.H * g.W * g.C == 0:
        return
    cdef int threads = <int> min(<Py_ssize_t> n_threads, 1 + B * g.H * g.W * g.C // 32768)
    cdef Py_ssize_t per_image = g.OH * g.OW * g.C
    cdef const floating* slopes = &dy[0, 0, 0, 0] if per_image else NULL
    cdef Py_ssize_t some = _at_once(per_image * min(g.kh, g.H) * min(g.kw, g.W) + g.H * g.W * g.C)
    for start in range(0, B, some):
        end = min(B, start + some)
        for i in prange(start, end, nogil=True, num_threads=threads, schedule="static"):
            mean_backward(g, slopes + i * per_image, &dx[i, 0, 0, 0])
        if end < B:
            _breathe()
