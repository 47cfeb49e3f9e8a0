"""Copies of environments of our own that act under a policy, many steps in one call."""

import numpy as np

from cython cimport floating
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

include "checks.pxi"
include "nets.pxi"
include "tables.pxi"

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
