"""Policies and critics that are small networks: forward, backward, and the slopes of policy gradients."""

import numpy as np

from cython cimport floating
from cython.parallel cimport prange
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

include "checks.pxi"
include "tables.pxi"

cdef extern from "actors.hpp" namespace "skml_actors" nogil:
    const Py_ssize_t ROWS
    cdef cppclass Net:
        const int32_t* sizes
        int n_layers, activation
        Py_ssize_t weights(int) noexcept
        Py_ssize_t outputs(int) noexcept
        Py_ssize_t space[T](const T*) noexcept
    void forward_rows[T](const Net&, const T*, const T*, T*, Py_ssize_t, Py_ssize_t, Py_ssize_t, T*) noexcept
    void turn_all[T](const Net&, const T*, T*) noexcept
    void add_gradients[T](const Net&, const T*, const T*, const T*, const T*, T*, Py_ssize_t, Py_ssize_t, Py_ssize_t,
                          T*) noexcept

cdef extern from "choices.hpp" namespace "skml_actors" nogil:
    double drawn(uint64_t, uint64_t, uint64_t) noexcept
    int32_t choose[T](const T*, const uint8_t*, Py_ssize_t, double, double*) noexcept
    void slope_of_choice[T](const T*, const uint8_t*, Py_ssize_t, int32_t, double, double, double*, T*, double*) noexcept

cdef extern from "rollouts.hpp" namespace "skml_actors" nogil:
    cdef cppclass Clock:
        pass
    cdef cppclass ControlWorlds:
        int kind
        const double* parameters
        const double* shift
        const double* scale
        Clock* clock
        double* states
    cdef cppclass TableWorlds:
        Table table
        const uint8_t* masks
        int64_t* states
        int64_t* bad
        Clock* clock
        Py_ssize_t n_actions
    cdef cppclass Record[T]:
        Py_ssize_t n_steps, n_copies
        bint go_on
        T* x
        int32_t* actions
        double* reward
        double* totals
        double* running
        uint8_t* terminated
        uint8_t* truncated
        uint8_t* idle
    cdef cppclass Desk[T]:
        T* x
        T* y
        T* space
        double* powers
        int64_t* who
    Py_ssize_t play[T, W](const W&, const Net&, const T*, const Record[T]&, uint64_t, uint64_t, const Desk[T]&) noexcept

cdef extern from "control.hpp" namespace "skml_control" nogil:
    enum: PARAMETERS, KINDS
    int width_of(int) noexcept
    int actions_of(int) noexcept


cdef enum:
    PARTS = 16  # that a gradient is a sum of, at most
    SHARE = 256  # rows of a part, at least


cdef Net _net(const int32_t[::1] sizes, int activation, Py_ssize_t n_weights) except *:
    """Return a network of some sizes, if it has so many parameters."""
    cdef Net net
    if sizes.shape[0] < 2:
        raise ValueError("A network has two sizes at least.")
    _check_indices(sizes, "sizes", 1, 2**31 - 1)
    if not 0 <= activation <= 5 or activation == 3:
        raise ValueError(f"activation is {activation}, none of 0, 1, 2, 4 and 5.")
    net.sizes, net.n_layers, net.activation = &sizes[0], <int> sizes.shape[0] - 1, activation
    if net.weights(net.n_layers) != n_weights:
        raise ValueError(f"A network of sizes {list(sizes)} has {net.weights(net.n_layers)} parameters, not {n_weights}.")
    return net


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


cdef Record[floating] _record(floating[:, ::1] x, tuple record, bint go_on, const Net& net) except *:
    """Point to what a rollout writes, whose shapes must fit."""
    cdef Record[floating] r
    cdef int32_t[:, ::1] actions = record[0]  # out: (T, N)
    cdef double[:, ::1] reward = record[1], totals = record[3]  # out: (T, N), and what the episode had earned by then
    cdef uint8_t[:, :, ::1] ended = record[2]  # out: (2, T, N), whether terminated, and whether truncated
    cdef double[::1] running = record[4]  # in, out: (N,), what the episode had earned before
    cdef uint8_t[::1] idle = record[5]  # in, out: (N,), which copies take no step
    r.n_steps, r.n_copies, r.go_on = actions.shape[0], actions.shape[1], go_on
    _same((r.n_steps, reward.shape[0], ended.shape[1], totals.shape[0]), "The steps")
    _same((r.n_copies, reward.shape[1], ended.shape[2], totals.shape[1], running.shape[0], idle.shape[0]), "The copies")
    if (r.n_steps == 0 or r.n_copies == 0 or x.shape[1] != net.sizes[0] or ended.shape[0] != 2
            or x.shape[0] < (2 * r.n_steps + 1) * r.n_copies):
        raise ValueError("A rollout has one step of one copy at least, and x room for (2 T + 1) N rows of the network.")
    r.x, r.actions, r.reward, r.totals, r.running = &x[0, 0], &actions[0, 0], &reward[0, 0], &totals[0, 0], &running[0]
    r.terminated, r.truncated, r.idle = &ended[0, 0, 0], &ended[1, 0, 0], &idle[0]
    return r


cdef Py_ssize_t _desk(const Net& net, Py_ssize_t N, const floating* w):
    """Return how many numbers of working space N copies take."""
    return N * (net.sizes[0] + net.outputs(net.n_layers)) + net.space(w)


cdef Desk[floating] _seated(const Net& net, Py_ssize_t N, floating[::1] room, double[::1] spare):
    """Return the working space of N copies; `spare` has a number for each of them and for each action."""
    cdef Desk[floating] desk
    desk.x, desk.powers, desk.who = &room[0], &spare[N], <int64_t*> &spare[0]
    desk.y = desk.x + N * net.sizes[0]
    desk.space = desk.y + N * net.outputs(net.n_layers)
    return desk


def play_control(
    tuple task,  # kind; parameters (N, 10); clock (N, 4) and states (N, d), in and out; scaling (2, d)
    tuple policy,  # in: parameters, sizes, and the activation, as those of forward
    uint64_t seed,
    uint64_t step,  # the number of the first
    bint go_on,  # whether a copy whose episode ends begins the next, or is idle from then on
    floating[:, ::1] x,  # out: (M, d), M = 2 T N + N: before each step, after the last, what each truncated one led to
    tuple record,  # out: actions, reward, ended, totals, running, idle, as _record describes them
):
    """Let copies of a control task act under a policy for T steps; return how many steps were truncated."""
    cdef const floating[::1] w = policy[0]
    cdef const int32_t[::1] sizes = policy[1]
    cdef const double[:, ::1] parameters = task[1], scaling = task[4]
    cdef int64_t[:, ::1] clock = task[2]
    cdef double[:, ::1] states = task[3]
    cdef Net net = _net(sizes, policy[2], w.shape[0])
    cdef Record[floating] r = _record(x, record, go_on, net)
    cdef ControlWorlds worlds
    cdef int kind = task[0]
    if not 0 <= kind < KINDS:
        raise ValueError(f"kind must be 0 to {KINDS - 1}, got {kind}.")
    _same((r.n_copies, parameters.shape[0], clock.shape[0], states.shape[0]), "The copies")
    _same((width_of(kind), net.sizes[0], states.shape[1], scaling.shape[1]), "A state's numbers and what is made of them")
    if (clock.shape[1] != 4 or scaling.shape[0] != 2 or parameters.shape[1] != PARAMETERS
            or net.sizes[net.n_layers] != actions_of(kind)):
        raise ValueError("clock, scaling, parameters or the network's outputs are not those of the task.")
    worlds.kind, worlds.parameters, worlds.states = kind, &parameters[0, 0], &states[0, 0]
    worlds.shift, worlds.scale, worlds.clock = &scaling[0, 0], &scaling[1, 0], <Clock*> &clock[0, 0]
    cdef floating[::1] room = np.empty(_desk(net, r.n_copies, &w[0]), np.asarray(x).dtype)
    cdef double[::1] spare = np.empty(r.n_copies + net.sizes[net.n_layers])
    cdef Desk[floating] desk = _seated(net, r.n_copies, room, spare)
    cdef Py_ssize_t extra
    with nogil:
        extra = play(worlds, net, &w[0], r, seed, step, desk)
    return extra


def play_table(
    tuple task,  # the table's arrays, a tuple; clock (N, 4) and states (N,), in and out; masks (S, A), empty for all actions
    tuple policy,  # in: parameters, sizes, and the activation, as those of forward
    uint64_t seed,
    uint64_t step,  # the number of the first
    bint go_on,  # whether a copy whose episode ends begins the next, or is idle from then on
    floating[:, ::1] x,  # out: (M, S), M = 2 T N + N: before each step, after the last, what each truncated one led to
    tuple record,  # out: actions, reward, ended, totals, running, idle, as _record describes them
):
    """Let copies of a finite world act under a policy for T steps; return how many steps were truncated."""
    cdef const floating[::1] w = policy[0]
    cdef const int32_t[::1] sizes = policy[1]
    cdef int64_t[:, ::1] clock = task[1]
    cdef int64_t[::1] states = task[2]
    cdef const uint8_t[:, ::1] masks = task[3]
    cdef Net net = _net(sizes, policy[2], w.shape[0])
    cdef Record[floating] r = _record(x, record, go_on, net)
    cdef TableWorlds worlds
    cdef int64_t bad = -1, extra, i, S = net.sizes[0], A = net.sizes[net.n_layers]
    _fill(&worlds.table, task[0])
    _same((r.n_copies, clock.shape[0], states.shape[0]), "The copies")
    _same((S, worlds.table.n_states), "The states and what the network takes")
    _same((4, clock.shape[1]), "The columns of clock")
    for i in range(r.n_copies):
        if not 0 <= states[i] < S:
            raise ValueError(f"states[{i}] is {states[i]}, outside 0 to {S - 1}.")
    worlds.masks, worlds.n_actions = _allowed_where(masks, S, A), A
    worlds.states, worlds.bad, worlds.clock = &states[0], &bad, <Clock*> &clock[0, 0]
    cdef floating[::1] room = np.empty(_desk(net, r.n_copies, &w[0]), np.asarray(x).dtype)
    cdef double[::1] spare = np.empty(r.n_copies + A)
    cdef Desk[floating] desk = _seated(net, r.n_copies, room, spare)
    with nogil:
        extra = play(worlds, net, &w[0], r, seed, step, desk)
    if bad >= 0:
        raise ValueError(f"The table has no sound outcome for an action of state {states[bad]}.")
    return extra


cdef const uint8_t* _allowed_where(const uint8_t[:, ::1] masks, Py_ssize_t S, Py_ssize_t A) except? NULL:
    """Return the masks of states, or NULL for none."""
    if masks.shape[0] == 0:
        return NULL
    if masks.shape[0] != S or masks.shape[1] != A:
        raise ValueError("masks must have a row for each state and a column for each action.")
    return &masks[0, 0]
