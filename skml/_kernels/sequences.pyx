"""Passes over the rows of sequences: embeddings, normalisation beside a short cut, losses of tokens, sums of equal ones."""

import numpy as np

from cython cimport floating
from cython.parallel cimport prange
from libc.stdint cimport int32_t

cdef extern from "sequences.hpp" namespace "skml_sequences" nogil:
    void embed_rows[T](const int32_t*, const int32_t*, const T*, const T*, T*, Py_ssize_t, Py_ssize_t) noexcept
    void embed_columns[T](const T*, const int32_t*, const int32_t*, T*, T*, Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept
    void rms_rows[T](const T*, const T*, double, T*, T*, Py_ssize_t, Py_ssize_t) noexcept
    void norm_rows_backward[T](const T*, const T*, const T*, const T*, const T*, const T*, T*, double*, Py_ssize_t,
                               Py_ssize_t) noexcept

cdef extern from "tokens.hpp" namespace "skml_tokens" nogil:
    double c_cross_entropy "skml_tokens::cross_entropy"[T](const T*, Py_ssize_t, int32_t, double, T*) noexcept
    void add_rows[T](const T*, Py_ssize_t, Py_ssize_t, const int32_t*, T*, Py_ssize_t, Py_ssize_t) noexcept

include "checks.pxi"

cdef enum:
    STRIP = 32  # columns that one thread takes at a time
    PART = 8192  # numbers that one thread takes at a time
    ALONE = 32768  # numbers for which a second thread doesn't pay
    LOGITS = 16384  # numbers of logits that one thread takes at a time
    COLUMNS = 128  # of a sum, at least, that one thread takes


cdef int _threads(int n_threads, Py_ssize_t size) except -1:
    """Return how many threads so many numbers are worth; no result depends on it."""
    _check_threads(n_threads)
    return <int> min(<Py_ssize_t> n_threads, 1 + size // ALONE)


cdef int _check_codes(const int32_t[:, ::1] tokens, const int32_t[:, ::1] first, Py_ssize_t V, Py_ssize_t n_places) except -1:
    """Raise unless there is a vector for each token and for each place; n_places is -1 if those have none."""
    cdef Py_ssize_t b, t
    cdef int32_t low = 0, high = -1, far = 0, near = 0
    for b in range(tokens.shape[0]):
        for t in range(tokens.shape[1]):
            low = min(low, tokens[b, t])
            high = max(high, tokens[b, t])
            near = min(near, <int32_t> t - first[b, t], first[b, t])
            far = max(far, <int32_t> t - first[b, t])
    if low < 0 or high >= V:
        raise ValueError(f"A token is {low if low < 0 else high}, outside 0 to {V - 1}.")
    if near < 0:
        raise ValueError("first must be at least 0, and at most the moment that it is about.")
    if tokens.shape[0] * tokens.shape[1] and n_places >= 0 and far >= n_places:
        raise ValueError(f"A position is {far}, outside 0 to {n_places - 1}.")
    return 0


def embed(
    const int32_t[:, ::1] tokens,  # in: (B, T), 0 to V - 1
    const int32_t[:, ::1] first,  # in: (B, T), what positions are counted from
    const floating[:, ::1] wte,  # in: (V, C), the vectors of tokens
    const floating[:, ::1] wpe,  # in: (P, C), those of positions, or (0, 0)
    floating[:, :, ::1] y,  # out: (B, T, C)
    int n_threads,
):
    """Write the sum of each token's and its position's vector."""
    cdef Py_ssize_t B = y.shape[0], T = y.shape[1], C = y.shape[2], b
    cdef int threads = _threads(n_threads, B * T * C)
    _same((B, tokens.shape[0], first.shape[0]), "The rows of tokens, first and y")
    _same((T, tokens.shape[1], first.shape[1]), "The moments of tokens, first and y")
    _same((C, wte.shape[1], wpe.shape[1] if wpe.shape[0] else C), "The columns of wte, wpe and y")
    _check_codes(tokens, first, wte.shape[0], wpe.shape[0] if wpe.shape[0] else -1)
    if B * T * C == 0:
        return
    cdef const floating* places = &wpe[0, 0] if wpe.shape[0] else NULL
    for b in prange(B, nogil=True, num_threads=threads, schedule="static"):
        embed_rows(&tokens[b, 0], &first[b, 0], &wte[0, 0], places, &y[b, 0, 0], T, C)


def embed_backward(
    const floating[:, :, ::1] dy,  # in: (B, T, C)
    const int32_t[:, ::1] tokens,  # in: (B, T)
    const int32_t[:, ::1] first,  # in: (B, T)
    floating[:, ::1] dwte,  # in, out: (V, C)
    floating[:, ::1] dwpe,  # in, out: (P, C), or (0, 0)
    int n_threads,
):
    """Add the gradients to those of the vectors."""
    cdef Py_ssize_t B = dy.shape[0], T = dy.shape[1], C = dy.shape[2], b, i, c
    cdef int threads = _threads(n_threads, B * T * C)
    _same((B, tokens.shape[0], first.shape[0]), "The rows of tokens, first and dy")
    _same((T, tokens.shape[1], first.shape[1]), "The moments of tokens, first and dy")
    _same((C, dwte.shape[1], dwpe.shape[1] if dwpe.shape[0] else C), "The columns of dwte, dwpe and dy")
    _check_codes(tokens, first, dwte.shape[0], dwpe.shape[0] if dwpe.shape[0] else -1)
    if B * T * C == 0:
        return
    cdef floating* places = &dwpe[0, 0] if dwpe.shape[0] else NULL
    for i in prange((C + STRIP - 1) // STRIP, nogil=True, num_threads=threads, schedule="static"):
        c = i * STRIP
        for b in range(B):
            embed_columns(&dy[b, 0, c], &tokens[b, 0], &first[b, 0], &dwte[0, c], places + c if places != NULL else places,
                          T, C, min(<Py_ssize_t> STRIP, C - c))


def rms_norm(
    const floating[:, ::1] x,  # in: (N, F)
    const floating[::1] gamma,  # in: (F,)
    double eps,
    floating[:, ::1] y,  # out: (N, F), may be x
    floating[::1] rstd,  # out: (N,), 1 / root(mean square + eps)
    int n_threads,
):
    """Write gamma x rstd."""
    cdef Py_ssize_t N = x.shape[0], F = x.shape[1], step = max(<Py_ssize_t> 1, PART // max(x.shape[1], <Py_ssize_t> 1)), i
    cdef int threads = _threads(n_threads, N * F)
    _same((N, y.shape[0], rstd.shape[0]), "The rows of x, y and rstd")
    _same((F, y.shape[1], gamma.shape[0]), "The columns of x, y and gamma")
    if N == 0 or F == 0:
        return
    for i in prange((N + step - 1) // step, nogil=True, num_threads=threads, schedule="static"):
        rms_rows(&x[i * step, 0], &gamma[0], eps, &y[i * step, 0], &rstd[i * step], min(step, N - i * step), F)


def norm_backward(
    const floating[:, ::1] dy,  # in: (N, F)
    const floating[:, ::1] x,  # in: (N, F)
    const floating[::1] gamma,  # in: (F,)
    const floating[::1] mean,  # in: (N,) of a layer normalisation, or empty for that of rms_norm
    const floating[::1] rstd,  # in: (N,)
    const floating[:, ::1] add,  # in: (N, F), the gradient of a short cut, or empty for none
    floating[:, ::1] dx,  # out: (N, F), may be add, but not dy
    floating[::1] dgamma,  # out: (F,)
    floating[::1] dbeta,  # out: (F,), or empty
    int n_threads,
):
    """Write the gradients of layer_norm or rms_norm, that at x plus `add`."""
    cdef Py_ssize_t N = x.shape[0], F = x.shape[1], step = max(<Py_ssize_t> 96, (x.shape[0] + 63) // 64), i, f
    cdef double of_gamma, of_beta
    cdef int threads = _threads(n_threads, N * F)
    _same((N, dy.shape[0], dx.shape[0], rstd.shape[0]), "The rows of x, dy, dx and rstd")
    _same((F, dy.shape[1], dx.shape[1], gamma.shape[0], dgamma.shape[0]), "The columns of x, dy, dx, gamma and dgamma")
    if mean.shape[0]:
        _same((N, mean.shape[0]), "The rows of x and mean")
    if dbeta.shape[0]:
        _same((F, dbeta.shape[0]), "The columns of x and dbeta")
    if add.shape[0] * add.shape[1] and (add.shape[0] != N or add.shape[1] != F):
        raise ValueError("add must be empty or of the shape of x.")
    if N == 0 or F == 0:
        np.asarray(dgamma)[:], np.asarray(dbeta)[:] = 0, 0
        return
    cdef double[:, :, ::1] sums = np.empty(((N + step - 1) // step, 4, F))
    cdef const floating* means = &mean[0] if mean.shape[0] else NULL
    cdef const floating* more = &add[0, 0] if add.shape[0] * add.shape[1] else NULL
    for i in prange(sums.shape[0], nogil=True, num_threads=threads, schedule="static"):
        norm_rows_backward(&dy[i * step, 0], &x[i * step, 0], &gamma[0], means + i * step if means != NULL else means,
                           &rstd[i * step], more + i * step * F if more != NULL else more, &dx[i * step, 0], &sums[i, 0, 0],
                           min(step, N - i * step), F)
    for f in range(F):
        of_gamma, of_beta = 0, 0
        for i in range(sums.shape[0]):
            of_gamma = of_gamma + sums[i, 0, f]
            of_beta = of_beta + sums[i, 1, f]
        dgamma[f] = <floating> of_gamma
        if dbeta.shape[0]:
            dbeta[f] = <floating> of_beta


def cross_entropy(
    const floating[:, ::1] z,  # in: (N, V)
    const int32_t[::1] targets,  # in: (N,), 0 to V - 1; -1 for none: no loss and no gradient
    const double[::1] shares,  # in: (N,), what the gradient of each is multiplied with
    floating[:, ::1] dz,  # out: (N, V), may be z
    double[::1] losses,  # out: (N,), not multiplied
    int n_threads,
):
    """Write ln sum_k exp(z_k) - z_target per token and its gradient."""
    cdef Py_ssize_t N = z.shape[0], V = z.shape[1], step = max(<Py_ssize_t> 1, LOGITS // max(V, <Py_ssize_t> 1)), i, j
    cdef int threads = _threads(n_threads, N * V)
    _same((N, targets.shape[0], shares.shape[0], dz.shape[0], losses.shape[0]), "The rows of all arguments")
    _same((V, dz.shape[1]), "The columns of z and dz")
    _check_indices(targets, "targets", -1, V)
    if V == 0:
        losses[:] = 0
        return
    for i in prange((N + step - 1) // step, nogil=True, num_threads=threads, schedule="static"):
        for j in range(i * step, min(N, (i + 1) * step)):
            if targets[j] < 0:
                losses[j] = 0
                dz[j, :] = 0
            else:
                losses[j] = c_cross_entropy(&z[j, 0], V, targets[j], shares[j], &dz[j, 0])


def sum_rows(
    const floating[:, :] rows,  # in: (N, F), each row contiguous
    const int32_t[::1] codes,  # in: (N,), 0 to V - 1
    floating[:, ::1] out,  # out: (V, F)
    int n_threads,
):
    """Write for each code the sum of its rows, in their order."""
    cdef Py_ssize_t N = rows.shape[0], F = rows.shape[1], i, width
    _check_threads(n_threads)
    cdef Py_ssize_t parts = max(<Py_ssize_t> 1, min(<Py_ssize_t> n_threads, F // COLUMNS))
    _same((N, codes.shape[0]), "rows and codes")
    _same((F, out.shape[1]), "The columns of rows and out")
    _check_indices(codes, "codes", 0, out.shape[0])
    if N > 0 and F > 1 and rows.strides[1] != sizeof(floating):
        raise ValueError("Each of the rows must be contiguous.")
    _check_strides(rows.strides[0], 0, sizeof(floating), "rows")
    out[:, :] = 0
    if N == 0 or F == 0:
        return
    width = (F + parts - 1) // parts
    for i in prange((F + width - 1) // width, nogil=True, num_threads=<int> parts, schedule="static"):
        add_rows(&rows[0, i * width], rows.strides[0] // <Py_ssize_t> sizeof(floating), N, &codes[0], &out[0, i * width], F,
                 min(width, F - i * width))
