"""One more token of each of a few sequences through all layers of a transformer, with a cache of keys and values."""

import numpy as np

from cython cimport floating
from cython.parallel cimport prange
from libc.stdint cimport int32_t, int64_t

cdef extern from "decoding.hpp" namespace "skml_decoding" nogil:
    cdef cppclass Rotary[T]:
        const T* cosine
        const T* sine
    cdef cppclass Past[T]:
        T* keys
        T* values
        Py_ssize_t first, at, D, C
        Rotary[T] rotary
    cdef cppclass Product[T]:
        const T* x
        const T* w
        const T* b
        const T* add
        T* y
        Py_ssize_t B, K, M
        int gelu
    Py_ssize_t strip_of[T](const T*) noexcept
    void some_columns[T](const Product[T]&, Py_ssize_t, Py_ssize_t) noexcept
    void logits_part[T](const T*, const T*, T*, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept
    void attend[T](const T*, const Past[T]&, T*, T*, T*) noexcept
    void normed[T](const T*, const T*, const T*, double, T*, Py_ssize_t, Py_ssize_t) noexcept

include "checks.pxi"

cdef enum:
    ALONE = 130000  # multiplications for which a second thread doesn't pay
    ROWS = 128  # of logits that one thread takes at a time

cdef struct Sizes:
    Py_ssize_t B, H, T, C, D, M
    bint post, residual, by_tanh
    double eps
    int n_threads


cdef int _check_places(const int64_t[:, ::1] places, tuple sizes, Py_ssize_t n) except -1:
    """Raise unless all arrays lie in a buffer of n numbers; -1 stands for an array that isn't there."""
    cdef Py_ssize_t i, j, size
    for j in range(places.shape[1]):
        size = sizes[j]
        for i in range(places.shape[0]):
            if places[i, j] < -1 or (places[i, j] >= 0 and places[i, j] > n - size):
                raise ValueError(f"An array of {size} numbers at {places[i, j]} is not in a buffer of {n}.")
            if places[i, j] < 0 and places.shape[1] == 12 and j in (2, 4, 8, 10):
                raise ValueError("The weights of a product are not there.")
    return 0


cdef int _check_moments(const int32_t[::1] first, const int32_t[::1] at, Py_ssize_t T, Py_ssize_t n_positions) except -1:
    cdef Py_ssize_t b
    for b in range(at.shape[0]):
        if not 0 <= first[b] <= at[b] < T or at[b] - first[b] >= n_positions:
            raise ValueError(f"Row {b} is at {at[b]} and begins at {first[b]}; there is room for {T} moments and "
                             f"{n_positions} positions.")
    return 0


def step(
    const floating[::1] weights,  # in: (n,), all parameters
    const int64_t[:, ::1] places,  # in: (L, 12), where weights and biases of ln_1, c_attn, c_proj, ln_2, c_fc and c_proj are
    const int64_t[:, ::1] ends,  # in: (1, 4), where wte, ln_f's weight and bias and the logits' weights are
    tuple settings,  # (channels in the middle, whether norms follow the sum, whether there are short cuts, eps, which gelu)
    const int32_t[::1] tokens,  # in: (B,)
    const int32_t[::1] first,  # in: (B,), the first moment that each row sees
    const int32_t[::1] at,  # in: (B,), the moment that each row is at
    const floating[:, ::1] positions,  # in: (P, C), what is added, or (0, 0)
    const floating[:, ::1] cosine,  # in: (P, D / 2) of rotary positions, or (0, 0)
    const floating[:, ::1] sine,  # in: of the same shape
    floating[:, :, :, :, :, ::1] cache,  # in, out: (L, 2, B, H, T, D), keys and values
    floating[:, ::1] hidden,  # out: (B, C), after the last norm
    floating[:, ::1] logits,  # out: (B, V), or (0, 0)
    int n_threads,
):
    """Take one token of each row through all layers; rows' results don't depend on each other."""
    cdef Py_ssize_t L = places.shape[0], C = hidden.shape[1], V = logits.shape[1], n, i, b, layer
    cdef Sizes s
    s.B, s.H, s.T, s.D, s.C, s.n_threads = cache.shape[2], cache.shape[3], cache.shape[4], cache.shape[5], C, n_threads
    s.M, s.post, s.residual, s.eps, s.by_tanh = settings
    _check_threads(n_threads)
    _same((s.B, tokens.shape[0], first.shape[0], at.shape[0], hidden.shape[0], logits.shape[0] if V else s.B), "All rows")
    _same((12, places.shape[1]), "An array for each weight and bias and the columns of places")
    _same((L, cache.shape[0]), "The layers of places and cache")
    if cache.shape[1] != 2 or s.H * s.D != C or s.M < 1 or C < 1 or ends.shape[0] != 1 or ends.shape[1] != 4:
        raise ValueError("cache must be (L, 2, B, H, T, D) with C = H D, and ends (1, 4).")
    if positions.shape[0] and positions.shape[1] != C or cosine.shape[0] and 2 * cosine.shape[1] != s.D:
        raise ValueError("positions must have C columns, and cosine and sine D / 2.")
    _same((cosine.shape[0], sine.shape[0]), "The rows of cosine and sine")
    _same((cosine.shape[1], sine.shape[1]), "The columns of cosine and sine")
    n = min(positions.shape[0] or s.T, cosine.shape[0] or s.T)
    _check_moments(first, at, s.T, n)
    n = weights.shape[0]
    _check_places(places, (C, C, 3 * C * C, 3 * C, C * C, C, C, C, C * s.M, s.M, s.M * C, C), n)
    _check_places(ends, (C, C, C, V * C), n)
    if ends[0, 0] < 0 or (V and ends[0, 3] < 0):
        raise ValueError("The weights of embeddings and logits must be there.")
    _check_indices(tokens, "tokens", 0, (n - ends[0, 0]) // C)
    if s.B == 0:
        return
    dtype = np.asarray(hidden).dtype
    cdef floating[::1] space = np.empty(s.B * (6 * C + s.M + s.H * (s.T + s.D)), dtype)
    cdef floating* x = &space[0]
    cdef const floating* base = &weights[0]
    for b in range(s.B):
        for i in range(C):
            x[b * C + i] = base[ends[0, 0] + tokens[b] * C + i] + (positions[at[b] - first[b], i] if positions.shape[0] else 0)
    cdef Past[floating] past
    past.rotary.cosine = &cosine[0, 0] if cosine.shape[0] else NULL
    past.rotary.sine = &sine[0, 0] if sine.shape[0] else NULL
    for layer in range(L):
        past.keys, past.values = &cache[layer, 0, 0, 0, 0, 0], &cache[layer, 1, 0, 0, 0, 0]
        with nogil:
            _layer(base, &places[layer, 0], s, past, &first[0], &at[0], x, x + s.B * C)
    normed(<const floating*> x, _at(base, ends[0, 1]), _at(base, ends[0, 2]), s.eps, &hidden[0, 0], s.B, C)
    cdef int threads = <int> min(<Py_ssize_t> n_threads, 1 + s.B * C * V // ALONE)
    for i in prange((V + ROWS - 1) // ROWS, nogil=True, num_threads=threads, schedule="static"):
        logits_part(<const floating*> &hidden[0, 0], base + ends[0, 3], &logits[0, 0], s.B, C, V, i * ROWS,
                    min(<Py_ssize_t> ROWS, V - i * ROWS))


cdef const floating* _at(const floating* base, int64_t place) noexcept nogil:
    return base + place if place >= 0 else NULL


cdef void _layer(const floating* base, const int64_t* places, Sizes s, Past[floating] past, const int32_t* first,
                 const int32_t* at, floating* x, floating* space) noexcept nogil:
    """Replace x (B, C) by what a block makes of it."""
    cdef Py_ssize_t N = s.B * s.C
    cdef floating* u = space
    cdef floating* qkv = u + N
    cdef floating* a = qkv + 3 * N
    cdef floating* h = a + N
    cdef floating* scores = h + s.B * s.M
    cdef const floating* into = x if s.post else u
    if not s.post:
        normed(<const floating*> x, _at(base, places[0]), _at(base, places[1]), s.eps, u, s.B, s.C)
    _product(into, base, places + 2, s, s.C, 3 * s.C, <const floating*> NULL, qkv, 0)
    _attend_all(qkv, s, past, first, at, scores, a)
    _product(<const floating*> a, base, places + 4, s, s.C, s.C, <const floating*> x if s.residual else <const floating*> NULL, x, 0)
    if s.post:
        normed(<const floating*> x, _at(base, places[0]), _at(base, places[1]), s.eps, x, s.B, s.C)
    else:
        normed(<const floating*> x, _at(base, places[6]), _at(base, places[7]), s.eps, u, s.B, s.C)
    _product(into, base, places + 8, s, s.C, s.M, <const floating*> NULL, h, 1 + s.by_tanh)
    _product(<const floating*> h, base, places + 10, s, s.M, s.C, <const floating*> x if s.residual else <const floating*> NULL, x, 0)
    if s.post:
        normed(<const floating*> x, _at(base, places[6]), _at(base, places[7]), s.eps, x, s.B, s.C)


cdef void _product(const floating* x, const floating* base, const int64_t* places, Sizes s, Py_ssize_t K, Py_ssize_t M,
                   const floating* add, floating* y, int gelu) noexcept nogil:
    """Write y = x w + b + add, or gelu(x w + b)."""
    cdef Product[floating] p
    cdef Py_ssize_t width = strip_of(x), step, i
    cdef int threads = <int> min(<Py_ssize_t> s.n_threads, 1 + s.B * K * M // ALONE)
    p.x, p.w, p.b, p.add, p.y = x, _at(base, places[0]), _at(base, places[1]), add, y
    p.B, p.K, p.M, p.gelu = s.B, K, M, gelu
    if threads == 1:
        some_columns(p, 0, M)
        return
    step = ((M + threads - 1) // threads + width - 1) // width * width
    for i in prange((M + step - 1) // step, num_threads=threads, schedule="static"):
        some_columns(p, i * step, min(M, (i + 1) * step))


cdef void _attend_all(const floating* qkv, Sizes s, Past[floating] past, const int32_t* first, const int32_t* at,
                      floating* scores, floating* a) noexcept nogil:
    """Attend with all heads of all rows."""
    cdef Py_ssize_t i
    cdef int threads = <int> min(<Py_ssize_t> s.n_threads, 1 + s.B * s.C * s.T // ALONE)
    if threads == 1:
        for i in range(s.B * s.H):
            _attend(qkv, s, past, first, at, scores, a, i)
        return
    for i in prange(s.B * s.H, num_threads=threads, schedule="static"):
        _attend(qkv, s, past, first, at, scores, a, i)


cdef void _attend(const floating* qkv, Sizes s, Past[floating] past, const int32_t* first, const int32_t* at,
                  floating* scores, floating* a, Py_ssize_t i) noexcept nogil:
    cdef Py_ssize_t b = i // s.H, h = i % s.H
    cdef floating* own = scores + i * (s.T + s.D)
    past.keys, past.values = past.keys + i * s.T * s.D, past.values + i * s.T * s.D
    past.first, past.at, past.D, past.C = first[b], at[b], s.D, s.C
    attend(qkv + b * 3 * s.C + h * s.D, past, own, own + s.T, a + b * s.C + h * s.D)
