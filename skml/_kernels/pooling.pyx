"""Maxima and minima over windows of images, and their gradients."""

from cython cimport floating
from cython.parallel cimport prange
from libc.stdint cimport int32_t, uint8_t

cdef extern from "pooling.hpp" namespace "skml_pooling" nogil:
    cdef struct Geometry:
        Py_ssize_t H, W, C, OH, OW, kh, kw, sh, sw, top, left
    void row[T](const Geometry&, const T*, Py_ssize_t, T*, uint8_t*, int) noexcept
    void image_backward[T](const Geometry&, const T*, const uint8_t*, T*) noexcept

include "checks.pxi"


cdef Geometry _geometry(tuple image, tuple windows, tuple kernel, tuple stride, tuple pad) except *:
    """Return the sizes of a pooling, or raise if they cannot be."""
    cdef Geometry g
    g.H, g.W, g.C = image
    g.OH, g.OW = windows
    g.kh, g.kw = kernel
    g.sh, g.sw = stride
    g.top, g.left = pad
    if not (1 <= g.kh <= 255 and 1 <= g.kw <= 255 and g.kh * g.kw <= 255):
        raise ValueError(f"kernel must have 1 to 255 places, got {kernel}.")
    if min(stride) < 1 or min(pad) < 0 or max(*stride, *pad) > 2**31:
        raise ValueError(f"stride must be positive and pad not negative, got {stride} and {pad}.")
    return g


def max_pool(
    const floating[:, :, :, ::1] x,  # in: (B, H, W, C)
    floating[:, :, :, ::1] y,  # out: (B, OH, OW, C)
    uint8_t[:, :, :, ::1] index,  # out: (B, OH, OW, C), the place in the window, the first of equals; 255 for padding
    tuple kernel,
    tuple stride,
    tuple pad,  # above and to the left
    int sign,  # 1: maxima, -1: minima
    int n_threads,
):
    """Write the largest (smallest) of each window; what lies outside x doesn't count, windows of only that give 0."""
    cdef Py_ssize_t B = x.shape[0], i
    cdef Geometry g = _geometry((x.shape[1], x.shape[2], x.shape[3]), (y.shape[1], y.shape[2]), kernel, stride, pad)
    _check_threads(n_threads)
    _same((B, y.shape[0], index.shape[0]), "The images of x, y and index")
    _same((g.C, y.shape[3], index.shape[3]), "The channels of x, y and index")
    _same((g.OH, index.shape[1]), "The rows of y and index")
    _same((g.OW, index.shape[2]), "The columns of y and index")
    if sign not in (1, -1):
        raise ValueError(f"sign is {sign}, expected 1 or -1.")
    if B * g.OH * g.OW * g.C == 0:
        return
    cdef int threads = <int> min(<Py_ssize_t> n_threads, 1 + B * g.OH * g.OW * g.C // 8192)
    cdef const floating* images = &x[0, 0, 0, 0] if x.shape[1] * x.shape[2] else NULL
    for i in prange(B * g.OH, nogil=True, num_threads=threads, schedule="static"):
        row(g, images + i // g.OH * g.H * g.W * g.C, i % g.OH, &y[i // g.OH, i % g.OH, 0, 0],
            &index[i // g.OH, i % g.OH, 0, 0], sign)


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
    cdef Py_ssize_t B = dx.shape[0], i
    cdef Geometry g = _geometry((dx.shape[1], dx.shape[2], dx.shape[3]), (dy.shape[1], dy.shape[2]), kernel, stride, pad)
    _check_threads(n_threads)
    _same((B, dy.shape[0], index.shape[0]), "The images of dx, dy and index")
    _same((g.C, dy.shape[3], index.shape[3]), "The channels of dx, dy and index")
    _same((g.OH, index.shape[1]), "The rows of dy and index")
    _same((g.OW, index.shape[2]), "The columns of dy and index")
    if B * g.H * g.W * g.C == 0:
        return
    cdef int threads = <int> min(<Py_ssize_t> n_threads, 1 + B * g.H * g.W * g.C // 32768)
    cdef Py_ssize_t per_image = g.OH * g.OW * g.C
    cdef const floating* slopes = &dy[0, 0, 0, 0] if per_image else NULL
    cdef const uint8_t* places = &index[0, 0, 0, 0] if per_image else NULL
    for i in prange(B, nogil=True, num_threads=threads, schedule="static"):
        image_backward(g, slopes + i * per_image, places + i * per_image, &dx[i, 0, 0, 0])
