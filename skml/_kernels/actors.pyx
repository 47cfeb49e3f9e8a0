"""Policies and critics that are small networks: forward, backward, and the slopes of policy gradients."""

import numpy as np

from cython cimport floating
from cython.parallel cimport prange
from libc.stdint cimport int32_t, uint8_t, uint64_t

include "checks.pxi"
include "nets.pxi"

cdef extern from "actors.hpp" namespace "skml_actors" nogil:
    const Py_ssize_t ROWS
    void forward_rows[T](const Net&, const T*, const T*, T*, Py_ssize_t, Py_ssize_t, Py_ssize_t, T*) noexcept
    void turn_all[T](const Net&, const T*, T*) noexcept
    void add_gradients[T](const Net&, const T*, const T*, const T*, const T*, T*, Py_ssize_t, Py_ssize_t, Py_ssize_t,
                          T*) noexcept

cdef extern from "choices.hpp" namespace "skml_actors" nogil:
    double drawn(uint64_t, uint64_t, uint64_t) noexcept
    int32_t choose[T](const T*, const uint8_t*, Py_ssize_t, double, double*) noexcept
    void slope_of_choice[T](const T*, const uint8_t*, Py_ssize_t, int32_t, double, double, double*, T*, double*) noexcept


cdef enum:
    PARTS = 16  # that a gradient is a sum of, at most
    SHARE = 256  # rows of a part, at least


def forward(
    const floating[:, ::1] x,  # in: (N, sizes[0])
    const floating[::1] w,  # in: layer by layer a matrix (n_in, n_out) and a bias
    const int32_t[::1] sizes,  # in: the numbers that go in, and those that each layer gives
    int activation,  # after each layer but the last
    floating[::1] y,  # out: layer by layer (N, n_out)
    int n_threads,
):
    """Compute the outputs of all layers of a network."""
    cdef Net net = _net(sizes, activation, w.shape[0])
    cdef Py_ssize_t N = x.shape[0], start, part, n_parts = (N + ROWS - 1) // ROWS
    _check_threads(n_threads)
    if x.shape[1] != sizes[0] or y.shape[0] != N * net.outputs(net.n_layers):
        raise ValueError("x, sizes and y disagree in shape.")
    if N == 0:
        return
    cdef Py_ssize_t size = net.space(&w[0])
    n_threads = <int> min(<Py_ssize_t> n_threads, n_parts)
    cdef floating[:, ::1] space = np.empty((n_parts if n_threads > 1 else 1, size), np.asarray(y).dtype)
    for part in prange(n_parts, nogil=True, num_threads=n_threads, schedule="static"):
        forward_rows(net, &x[0, 0], &w[0], &y[0], N, part * ROWS, min(ROWS, N - part * ROWS),
                     &space[part % space.shape[0], 0])


def backward(
    const floating[:, ::1] x,  # in: (N, sizes[0])
    const floating[::1] w,  # in
    const int32_t[::1] sizes,  # in
    int activation,
    const floating[::1] y,  # in: of forward
    const floating[:, ::1] dz,  # in: (n, sizes[-1]), the gradient at the output of the first n <= N rows
    floating[::1] g,  # out: the gradient at w, summed over rows
    int n_threads,
):
    """Compute the gradient at the parameters."""
    cdef Net net = _net(sizes, activation, w.shape[0])
    cdef Py_ssize_t N = x.shape[0], n = dz.shape[0], W = w.shape[0], part, i
    cdef Py_ssize_t n_parts = max(<Py_ssize_t> 1, min(<Py_ssize_t> PARTS, n // SHARE))
    cdef Py_ssize_t share = (n + n_parts - 1) // n_parts
    _check_threads(n_threads)
    if (x.shape[1] != sizes[0] or y.shape[0] != N * net.outputs(net.n_layers) or n > N
            or dz.shape[1] != sizes[net.n_layers] or g.shape[0] != W):
        raise ValueError("x, w, sizes, y, dz and g disagree in shape.")
    g[:] = 0
    if n == 0:
        return
    cdef Py_ssize_t size = net.space(&w[0])
    cdef floating[::1] turned = np.empty(W, np.asarray(g).dtype)
    cdef floating[:, ::1] space = np.empty((n_parts, size), np.asarray(g).dtype)
    turn_all(net, &w[0], &turned[0])
    if n_parts == 1:
        add_gradients(net, &x[0, 0], &turned[0], &y[0], &dz[0, 0], &g[0], N, 0, n, &space[0, 0])
        return
    cdef floating[:, ::1] sums = np.zeros((n_parts, W), np.asarray(g).dtype)
    for part in prange(n_parts, nogil=True, num_threads=n_threads, schedule="static"):
        add_gradients(net, &x[0, 0], &turned[0], &y[0], &dz[0, 0], &sums[part, 0], N, part * share,
                      min(n, (part + 1) * share), &space[part, 0])
    for part in range(n_parts):
        for i in range(W):
            g[i] += sums[part, i]


cdef const uint8_t* _allowed(const uint8_t[:, ::1] allowed, Py_ssize_t N, Py_ssize_t A) except? NULL:
    """Return the first mask, or NULL for none."""
    cdef Py_ssize_t i, k
    cdef int some
    if allowed.shape[0] == 0:
        return NULL
    if allowed.shape[0] != N or allowed.shape[1] != A:
        raise ValueError("allowed and the logits disagree in shape.")
    for i in range(N):
        some = 0
        for k in range(A):
            some |= allowed[i, k]
        if not some:
            raise ValueError(f"No action is allowed in row {i}.")
    return &allowed[0, 0]


def act(
    const floating[:, ::1] logits,  # in: (N, A)
    const uint8_t[:, ::1] allowed,  # in: (N, A), or empty where all actions are
    uint64_t seed,
    uint64_t step,  # of all copies
    int32_t[::1] actions,  # out: (N,)
):
    """Draw an action in each copy; chance depends on the seed, the copy and the step alone."""
    cdef Py_ssize_t N = logits.shape[0], A = logits.shape[1], i
    cdef const uint8_t* mask = _allowed(allowed, N, A)
    _same((N, actions.shape[0]), "logits and actions")
    cdef double[::1] space = np.empty(max(A, 1))
    if N and A == 0:
        raise ValueError("There is no action.")
    for i in range(N):
        actions[i] = choose(&logits[i, 0], mask + i * A if mask != NULL else NULL, A, drawn(seed, i, step), &space[0])


def slopes(
    const floating[:, ::1] logits,  # in: (N, A)
    const int32_t[::1] actions,  # in: (N,)
    const uint8_t[:, ::1] allowed,  # in: (N, A), or empty where all actions are
    const double[::1] weights,  # in: (N,), of -ln p(action)
    const double[::1] bonus,  # in: (N,), of the entropy
    floating[:, ::1] dz,  # out: (N, A), the gradient at the logits
    double[:, ::1] figures,  # out: (N, 3): ln p(action), the entropy, the least probability
):
    """Differentiate the sum of -weight ln p(action) - bonus H(p), at the logits."""
    cdef Py_ssize_t N = logits.shape[0], A = logits.shape[1], i
    cdef const uint8_t* mask = _allowed(allowed, N, A)
    _same((N, actions.shape[0], weights.shape[0], bonus.shape[0], dz.shape[0], figures.shape[0]), "The arrays")
    _same((A, dz.shape[1]), "The columns of logits and dz")
    _same((3, figures.shape[1]), "The figures")
    _check_indices(actions, "actions", 0, A)
    cdef double[::1] space = np.empty(max(A, 1))
    for i in range(N):
        slope_of_choice(&logits[i, 0], mask + i * A if mask != NULL else NULL, A, actions[i], weights[i], bonus[i],
                        &space[0], &dz[i, 0], &figures[i, 0])


def advantages(
    const double[:, ::1] reward,  # in: (T, N), r_tp1
    const double[:, ::1] value,  # in: (T, N), V(s_t)
    const double[:, ::1] next_value,  # in: (T, N), V(s_tp1), of the state that the step itself led to
    const uint8_t[:, ::1] terminated,  # in: (T, N), whether nothing comes after the step
    const uint8_t[:, ::1] ended,  # in: (T, N), whether the episode's record ends with the step
    double discount,
    double gae_lambda,
    double[:, ::1] out,  # out: (T, N)
):
    """Write A_t = delta_t + discount gae_lambda A_tp1 with delta_t = r_tp1 + discount V(s_tp1) - V(s_t)."""
    cdef Py_ssize_t T = reward.shape[0], N = reward.shape[1], t, i
    cdef double ahead
    _same((T, value.shape[0], next_value.shape[0], terminated.shape[0], ended.shape[0], out.shape[0]), "The arrays")
    _same((N, value.shape[1], next_value.shape[1], terminated.shape[1], ended.shape[1], out.shape[1]), "The columns")
    for i in range(N):
        ahead = 0
        for t in range(T - 1, -1, -1):
            if ended[t, i] or terminated[t, i]:
                ahead = 0
            ahead = (reward[t, i] + (0 if terminated[t, i] else discount * next_value[t, i]) - value[t, i]
                     + discount * gae_lambda * ahead)
            out[t, i] = ahead
