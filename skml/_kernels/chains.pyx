"""All layers of a small convolutional network for a few images, in one call, with weights that were packed before.

A table has a row of numbers for each layer: its kind (0 convolution, 1 maxima, 2 minima, 3 means), H, W, C of what goes
in, OH, OW, F of what comes out, KH, KW of the kernel, stride, pad and dilation (two each), groups, the activation, and
where weights and bias lie among all parameters (-1: none). What comes out of a layer goes into the next as it lies there.
"""

from cython cimport floating
from cython.parallel cimport prange
from libc.stdint cimport int32_t, int64_t, uint8_t

cdef extern from "chains.hpp" namespace "skml_chains" nogil:
    cdef struct Layer:
        int64_t kind, H, W, C, OH, OW, F, KH, KW, sh, sw, top, left, dh, dw, groups, activation, weight, bias
    cdef cppclass Chain[T]:
        Py_ssize_t n_packed
        Chain(const Layer*, Py_ssize_t, Py_ssize_t, int) except +
        Py_ssize_t space(int) noexcept
        void point(T*) noexcept
        void pack(const T*) noexcept
        void begin(char*) noexcept
        void work(const T*, T*, int) noexcept

include "checks.pxi"

cdef enum:
    NUMBERS = 19  # in a row of the table
    LARGEST = 1 << 28  # multiply-adds of a layer and image, a twentieth of a second or so: no signal waits for longer
    LONGEST = 1 << 24  # of any axis, kernel, stride, pad or dilation


cdef const Layer* _layers(const int64_t[:, ::1] table) except NULL:
    """Return the layers of a table, or raise if they cannot be."""
    if table.shape[1] != NUMBERS or table.shape[0] < 1:
        raise ValueError(f"The table must have rows of {NUMBERS} numbers, got {table.shape[0]} of {table.shape[1]}.")
    cdef const Layer* layers = <const Layer*> &table[0, 0]
    cdef Py_ssize_t i, j
    cdef double work
    cdef Layer a
    for i in range(table.shape[0]):
        a = layers[i]
        for j in range(1, NUMBERS - 3):
            if table[i, j] < (0 if j in (11, 12) else 1) or table[i, j] > LONGEST:
                raise ValueError(f"Number {j} of layer {i} is {table[i, j]}, outside 1 to {LONGEST} (pads: 0).")
        if not 0 <= a.kind <= 3 or not 0 <= a.activation <= 5:
            raise ValueError(f"Layer {i} is of kind {a.kind} with activation {a.activation}; outside 0 to 3 and 0 to 5.")
        if a.C % a.groups or a.F % a.groups or a.kind and (a.C != a.F or a.KH * a.KW > 255 or a.dh * a.dw > 1):
            raise ValueError(f"Channels, groups and windows of layer {i} do not go together.")
        work = <double> a.OH * a.OW * a.F * a.KH * a.KW * (1 if a.kind else a.C // a.groups)
        if max(work, <double> a.H * a.W * a.C, <double> a.OH * a.OW * a.sh * a.sw, <double> a.dh * a.KH * a.dw * a.KW) > LARGEST:
            raise ValueError(f"Layer {i} has more than {LARGEST} numbers or multiply-adds.")
        if i and layers[i - 1].OH * layers[i - 1].OW * layers[i - 1].F != a.H * a.W * a.C:
            raise ValueError(f"Layer {i} cannot follow: the one before leaves other numbers.")
    return layers


def measure(
    const int64_t[:, ::1] table,  # in: (L, 19)
    const floating[::1] numbers,  # in: of the type of all others; they are not read
    Py_ssize_t B,  # the most images at a time
    int n_threads,
):
    """Return how many numbers packed weights take, and how many bytes of working space there must be."""
    _check_threads(n_threads)
    if B < 1:
        raise ValueError(f"B must be at least 1, got {B}.")
    cdef Chain[floating]* chain = new Chain[floating](_layers(table), table.shape[0], B, n_threads)
    try:
        return chain.n_packed, chain.space(n_threads)
    finally:
        del chain


def pack(
    const int64_t[:, ::1] table,  # in: (L, 19)
    const floating[::1] numbers,  # in: all parameters
    floating[::1] packed,  # out: as many as `measure` says
):
    """Write weights and biases as the layers read them."""
    cdef const Layer* layers = _layers(table)
    cdef Py_ssize_t i, n = numbers.shape[0]
    cdef int64_t size
    for i in range(table.shape[0]):
        size = layers[i].KH * layers[i].KW * (layers[i].C // layers[i].groups) * layers[i].F
        if not layers[i].kind and (not 0 <= layers[i].weight <= n - size or not -1 <= layers[i].bias <= n - layers[i].F):
            raise ValueError(f"Weights or bias of layer {i} do not lie among {n} numbers.")
    cdef Chain[floating]* chain = new Chain[floating](layers, table.shape[0], 1, 1)
    try:
        _same((chain.n_packed, packed.shape[0]), "packed and what the table asks for")
        if packed.shape[0]:
            chain.point(&packed[0])
            with nogil:
                chain.pack(&numbers[0])
    finally:
        del chain


def run(
    const int64_t[:, ::1] table,  # in: (L, 19)
    const floating[::1] packed,  # in: from `pack`
    const floating[:, ::1] x,  # in: (B, H W C of the first layer)
    uint8_t[::1] space,  # working space, of as many bytes as `measure` says
    floating[:, ::1] y,  # out: (B, OH OW F of the last layer)
    int n_threads,
):
    """Write what the layers make of each image; it does not depend on the others, nor on threads."""
    cdef const Layer* layers = _layers(table)
    cdef Py_ssize_t L = table.shape[0], B = x.shape[0]
    cdef int worker
    _check_threads(n_threads)
    _same((B, y.shape[0]), "The rows of x and y")
    _same((layers[0].H * layers[0].W * layers[0].C, x.shape[1]), "The columns of x and the first layer")
    _same((layers[L - 1].OH * layers[L - 1].OW * layers[L - 1].F, y.shape[1]), "The columns of y and the last layer")
    if B == 0:
        return
    cdef Chain[floating]* chain = new Chain[floating](layers, L, B, n_threads)
    try:
        _same((chain.n_packed, packed.shape[0]), "packed and what the table asks for")
        if space.shape[0] < chain.space(n_threads):
            raise ValueError(f"Working space has {space.shape[0]} bytes, of {chain.space(n_threads)} that are needed.")
        chain.point(<floating*> &packed[0] if packed.shape[0] else NULL)
        chain.begin(<char*> &space[0])
        if n_threads == 1:
            with nogil:
                chain.work(&x[0, 0], &y[0, 0], 0)
        else:
            for worker in prange(n_threads, nogil=True, num_threads=n_threads, schedule="static"):
                chain.work(&x[0, 0], &y[0, 0], worker)
    finally:
        del chain
