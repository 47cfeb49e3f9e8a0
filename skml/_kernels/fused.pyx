"""Passes over arrays that NumPy would take several for: activations, normalisation, cross-entropy, optimisers, dropout."""

import numpy as np

from cython cimport floating
from cython.parallel cimport prange
from libc.stdint cimport int32_t, uint32_t, uint64_t

cdef extern from "fused.hpp" namespace "skml_fused" nogil:
    cdef struct AdamStep:
        double rate, beta1, beta2, eps, decay, penalty
    void bias_rows[T](T*, const T*, Py_ssize_t, Py_ssize_t, int) noexcept
    void slope[T](const T*, const T*, T*, Py_ssize_t, int) noexcept
    double cross_entropy[T](const T*, Py_ssize_t, int32_t, double, double, T*) noexcept
    void adam_part[T](T*, const T*, T*, T*, Py_ssize_t, const AdamStep&) noexcept
    void sgd_part[T](T*, const T*, T*, Py_ssize_t, double, double, bint, double) noexcept
    double squares_part[T](const T*, Py_ssize_t) noexcept
    uint64_t mixed(uint64_t) noexcept
    void dropout_part[T](const T*, T*, Py_ssize_t, uint64_t, uint32_t, T) noexcept

cdef extern from "normalization.hpp" namespace "skml_normalization" nogil:
    void layer_rows[T](const T*, const T*, const T*, double, T*, T*, T*, Py_ssize_t, Py_ssize_t) noexcept
    void moments_part[T](const T*, const T*, Py_ssize_t, Py_ssize_t, double*) noexcept
    void affine_rows[T](const T*, const T*, const T*, T*, Py_ssize_t, Py_ssize_t, int) noexcept
    void slopes_part[T](const T*, const T*, const T*, Py_ssize_t, Py_ssize_t, double*) noexcept
    void combine_rows[T](const T*, const T*, const T*, const T*, T*, Py_ssize_t, Py_ssize_t) noexcept

include "checks.pxi"

cdef enum:
    PART = 8192  # numbers that one thread takes at a time
    ALONE = 32768  # numbers for which a second thread doesn't pay


cdef int _check_activation(int activation) except -1:
    if not 0 <= activation <= 5:
        raise ValueError(f"activation is {activation}, outside 0 to 5.")
    return 0


cdef int _threads(int n_threads, Py_ssize_t size) except -1:
    """Return how many threads so many numbers are worth; no result depends on it."""
    _check_threads(n_threads)
    return <int> min(<Py_ssize_t> n_threads, 1 + size // ALONE)


cdef Py_ssize_t _rows(Py_ssize_t F) noexcept nogil:
    """Return how many rows one thread takes at a time."""
    return max(<Py_ssize_t> 1, PART // max(F, <Py_ssize_t> 1))


cdef Py_ssize_t _summed_rows(Py_ssize_t N) noexcept nogil:
    """Return how many rows are summed up together: at most 64 sums are added up in the end."""
    return max(<Py_ssize_t> 256, (N + 63) // 64)


cdef double[:, :, ::1] _space_of_sums(Py_ssize_t N, Py_ssize_t F):
    cdef Py_ssize_t step = _summed_rows(N)
    return np.empty(((N + step - 1) // step, 2, F))


def bias_activation(
    floating[:, ::1] z,  # in, out: (N, F)
    const floating[::1] b,  # in: (F,), or empty for none
    int activation,  # 0 identity, 1 relu, 2 leaky relu (slope 0.01), 3 gelu, 4 tanh, 5 sigmoid
    int n_threads,
):
    """Replace z by activation(z + b)."""
    cdef Py_ssize_t N = z.shape[0], F = z.shape[1], step = _rows(F), i
    cdef int threads = _threads(n_threads, N * F)
    _check_activation(activation)
    if b.shape[0]:
        _same((F, b.shape[0]), "The columns of z and b")
    if N == 0 or F == 0:
        return
    cdef const floating* bias = &b[0] if b.shape[0] else NULL
    for i in prange((N + step - 1) // step, nogil=True, num_threads=threads, schedule="static"):
        bias_rows(&z[i * step, 0], bias, min(step, N - i * step), F, activation)


def activation_backward(
    const floating[:, ::1] dy,  # in: (N, F)
    const floating[:, ::1] y_or_z,  # in: (N, F), what came out; for gelu what went in, bias included
    floating[:, ::1] dz,  # out: (N, F), may be dy
    int activation,
    int n_threads,
):
    """Write dy times the activation's derivative."""
    cdef Py_ssize_t n = dy.shape[0] * dy.shape[1], i
    cdef int threads = _threads(n_threads, n)
    _check_activation(activation)
    _same((dy.shape[0], y_or_z.shape[0], dz.shape[0]), "The rows of dy, y and dz")
    _same((dy.shape[1], y_or_z.shape[1], dz.shape[1]), "The columns of dy, y and dz")
    if n == 0:
        return
    cdef const floating* into = &dy[0, 0]
    cdef const floating* y = &y_or_z[0, 0]
    for i in prange((n + PART - 1) // PART, nogil=True, num_threads=threads, schedule="static"):
        slope(into + i * PART, y + i * PART, &dz[0, 0] + i * PART, min(<Py_ssize_t> PART, n - i * PART), activation)


def softmax_cross_entropy(
    const floating[:, ::1] z,  # in: (B, K)
    const int32_t[::1] target_codes,  # in: (B,)
    const double[::1] sample_weight,  # in: (B,), or empty for ones
    double smoothing,  # share of the target that is spread over all classes
    const double[::1] class_weight,  # in: (K,), what rows of each class are weighted with as well; empty for ones
    floating[:, ::1] dz,  # out: (B, K), of the sum of the weighted losses
    double[::1] loss,  # out: (B,), weighted
    int n_threads,
):
    """Write w (ln sum_k exp(z_k) - sum_k q_k z_k) per row and its gradient, with q = (1 - s) [k = target] + s / K."""
    cdef Py_ssize_t B = z.shape[0], K = z.shape[1], step = _rows(K), i, j
    cdef int threads = _threads(n_threads, B * K * 4)
    cdef double weight
    _same((B, target_codes.shape[0], dz.shape[0], loss.shape[0]), "The rows of z, target_codes, dz and loss")
    _same((K, dz.shape[1]), "The columns of z and dz")
    _check_indices(target_codes, "target_codes", 0, K)
    if sample_weight.shape[0]:
        _same((B, sample_weight.shape[0]), "The rows of z and sample_weight")
    if class_weight.shape[0]:
        _same((K, class_weight.shape[0]), "The columns of z and class_weight")
    if not 0 <= smoothing <= 1:
        raise ValueError(f"smoothing is {smoothing}, outside 0 to 1.")
    for i in prange((B + step - 1) // step, nogil=True, num_threads=threads, schedule="static"):
        for j in range(i * step, min(B, (i + 1) * step)):
            weight = sample_weight[j] if sample_weight.shape[0] else 1.0
            if class_weight.shape[0]:
                weight = weight * class_weight[target_codes[j]]
            loss[j] = cross_entropy(&z[j, 0], K, target_codes[j], weight, smoothing, &dz[j, 0])


def layer_norm(
    const floating[:, ::1] x,  # in: (N, F)
    const floating[::1] gamma,  # in: (F,)
    const floating[::1] beta,  # in: (F,)
    double eps,
    floating[:, ::1] y,  # out: (N, F), may be x
    floating[::1] mean,  # out: (N,)
    floating[::1] rstd,  # out: (N,), 1 / sqrt(var + eps)
    int n_threads,
):
    """Write gamma (x - mean) rstd + beta, with the mean and the variance of each row."""
    cdef Py_ssize_t N = x.shape[0], F = x.shape[1], step = _rows(F), i
    cdef int threads = _threads(n_threads, N * F)
    _same((N, y.shape[0], mean.shape[0], rstd.shape[0]), "The rows of x, y, mean and rstd")
    _same((F, y.shape[1], gamma.shape[0], beta.shape[0]), "The columns of x, y, gamma and beta")
    if N == 0 or F == 0:
        return
    for i in prange((N + step - 1) // step, nogil=True, num_threads=threads, schedule="static"):
        layer_rows(&x[i * step, 0], &gamma[0], &beta[0], eps, &y[i * step, 0], &mean[i * step], &rstd[i * step],
                   min(step, N - i * step), F)


def batch_norm_statistics(
    const floating[:, ::1] x,  # in: (N, F)
    floating[::1] mean,  # out: (F,)
    floating[::1] var,  # out: (F,), divided by N
    int n_threads,
):
    """Write the mean and the variance of each column."""
    cdef Py_ssize_t N = x.shape[0], F = x.shape[1], step = _summed_rows(x.shape[0]), i
    cdef int threads = _threads(n_threads, N * F)
    _same((F, mean.shape[0], var.shape[0]), "The columns of x, mean and var")
    if N == 0:
        raise ValueError("There are no statistics of nothing.")
    cdef double[:, :, ::1] sums = _space_of_sums(N, F)
    if F == 0:
        return
    for i in prange(sums.shape[0], nogil=True, num_threads=threads, schedule="static"):
        moments_part(&x[i * step, 0], &x[0, 0], min(step, N - i * step), F, &sums[i, 0, 0])
    first, second = np.asarray(sums).sum(axis=0) / N
    np.asarray(mean)[:] = np.asarray(x)[0] + first
    np.asarray(var)[:] = np.maximum(second - first * first, 0)


def batch_norm(
    const floating[:, ::1] x,  # in: (N, F)
    const floating[::1] scale,  # in: (F,), gamma rstd
    const floating[::1] shift,  # in: (F,), beta - mean gamma rstd
    floating[:, ::1] y,  # out: (N, F), may be x
    int activation,
    int n_threads,
):
    """Write activation(x scale + shift)."""
    cdef Py_ssize_t N = x.shape[0], F = x.shape[1], step = _rows(F), i
    cdef int threads = _threads(n_threads, N * F)
    _check_activation(activation)
    _same((N, y.shape[0]), "The rows of x and y")
    _same((F, y.shape[1], scale.shape[0], shift.shape[0]), "The columns of x, y, scale and shift")
    if N == 0 or F == 0:
        return
    for i in prange((N + step - 1) // step, nogil=True, num_threads=threads, schedule="static"):
        affine_rows(&x[i * step, 0], &scale[0], &shift[0], &y[i * step, 0], min(step, N - i * step), F, activation)


def batch_norm_backward(
    const floating[:, ::1] dy,  # in: (N, F)
    const floating[:, ::1] x,  # in: (N, F)
    const floating[::1] mean,  # in: (F,), of x
    const floating[::1] rstd,  # in: (F,), 1 / sqrt(var + eps) of x
    const floating[::1] gamma,  # in: (F,)
    floating[:, ::1] dx,  # out: (N, F), may be dy
    floating[::1] dgamma,  # out: (F,)
    floating[::1] dbeta,  # out: (F,)
    int n_threads,
):
    """Write the gradients of gamma (x - mean) rstd + beta, whose mean and rstd depend on x."""
    cdef Py_ssize_t N = x.shape[0], F = x.shape[1], step = _summed_rows(x.shape[0]), i
    cdef int threads = _threads(n_threads, N * F)
    _same((N, dy.shape[0], dx.shape[0]), "The rows of x, dy and dx")
    _same((F, dy.shape[1], dx.shape[1], mean.shape[0], rstd.shape[0], gamma.shape[0], dgamma.shape[0], dbeta.shape[0]),
          "The columns of all arguments")
    cdef double[:, :, ::1] sums = _space_of_sums(N, F)
    if F:
        for i in prange(sums.shape[0], nogil=True, num_threads=threads, schedule="static"):
            slopes_part(&dy[i * step, 0], &x[i * step, 0], &mean[0], min(step, N - i * step), F, &sums[i, 0, 0])
    of_dy, of_dyx = np.asarray(sums).sum(axis=0)
    r = np.asarray(rstd).astype(np.float64)
    np.asarray(dbeta)[:], np.asarray(dgamma)[:] = of_dy, of_dyx * r
    if N == 0 or F == 0:
        return
    # dx = gamma rstd (dy - dbeta / N - xh dgamma / N), xh = (x - mean) rstd
    a = np.asarray(gamma) * r
    parts = np.stack([a, a * r * r * of_dyx / N, a * of_dy / N])
    cdef const floating[:, ::1] coefficients = parts.astype(np.asarray(x).dtype)
    step = _rows(F)
    for i in prange((N + step - 1) // step, nogil=True, num_threads=threads, schedule="static"):
        combine_rows(&dy[i * step, 0], &x[i * step, 0], &mean[0], &coefficients[0, 0], &dx[i * step, 0],
                     min(step, N - i * step), F)


def adam(
    floating[::1] w,  # in, out: (n,), the parameters
    const floating[::1] g,  # in: (n,), the gradient
    floating[::1] m,  # in, out: (n,), running mean of the gradient
    floating[::1] v,  # in, out: (n,), running mean of its square
    double rate,  # the learning rate, corrected for the start
    double beta1,
    double beta2,
    double eps,
    double decay,  # the share of w that is taken away
    double penalty,  # what times w is added to the gradient
    int n_threads,
):
    """Take one step of Adam: w <- (1 - decay) w - rate m / (sqrt(v) + eps), m and v those of g + penalty w."""
    cdef Py_ssize_t n = w.shape[0], i
    cdef int threads = _threads(n_threads, n)
    cdef AdamStep s = AdamStep(rate, beta1, beta2, eps, decay, penalty)
    _same((n, g.shape[0], m.shape[0], v.shape[0]), "w, g, m and v")
    for i in prange((n + PART - 1) // PART, nogil=True, num_threads=threads, schedule="static"):
        adam_part(&w[i * PART], &g[i * PART], &m[i * PART], &v[i * PART], min(<Py_ssize_t> PART, n - i * PART), s)


def sgd(
    floating[::1] w,  # in, out: (n,), the parameters
    const floating[::1] g,  # in: (n,), the gradient
    floating[::1] m,  # in, out: (n,), the velocity
    double rate,
    double momentum,
    bint nesterov,
    double decay,  # what times w is added to the gradient
    int n_threads,
):
    """Take one step: m <- momentum m + g; w <- w - rate m, or with Nesterov's momentum w - rate (momentum m + g)."""
    cdef Py_ssize_t n = w.shape[0], i
    cdef int threads = _threads(n_threads, n)
    _same((n, g.shape[0], m.shape[0]), "w, g and m")
    for i in prange((n + PART - 1) // PART, nogil=True, num_threads=threads, schedule="static"):
        sgd_part(&w[i * PART], &g[i * PART], &m[i * PART], min(<Py_ssize_t> PART, n - i * PART), rate, momentum,
                 nesterov, decay)


def sum_of_squares(
    const floating[::1] x,  # in: (n,)
    int n_threads,
):
    """Return the sum of the squares, a float64."""
    cdef Py_ssize_t n = x.shape[0], i
    cdef int threads = _threads(n_threads, n)
    cdef double[::1] sums = np.empty((n + PART - 1) // PART)
    for i in prange(sums.shape[0], nogil=True, num_threads=threads, schedule="static"):
        sums[i] = squares_part(&x[i * PART], min(<Py_ssize_t> PART, n - i * PART))
    return float(np.asarray(sums).sum())


def dropout(
    const floating[::1] x,  # in: (n,)
    floating[::1] y,  # out: (n,), may be x
    double p,  # the share that is dropped
    uint64_t seed,
    uint64_t step,
    uint64_t layer,
    int n_threads,
):
    """Write x / (1 - p) where a hash of (seed, step, layer, element) is no less than p, and 0 elsewhere."""
    cdef Py_ssize_t n = x.shape[0], i
    cdef int threads = _threads(n_threads, n)
    _same((n, y.shape[0]), "x and y")
    if not 0 <= p < 1:
        raise ValueError(f"p is {p}, outside [0, 1).")
    cdef uint64_t key = mixed(mixed(mixed(seed) + step) + layer)
    cdef uint32_t threshold = <uint32_t> (p * 4294967296.0)
    cdef double scale = 1 / (1 - p)
    for i in prange((n + PART - 1) // PART, nogil=True, num_threads=threads, schedule="static"):
        dropout_part(&x[i * PART], &y[i * PART], min(<Py_ssize_t> PART, n - i * PART), mixed(key + <uint64_t> i),
                     threshold, <floating> scale)
