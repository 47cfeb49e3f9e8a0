"""Copies of an environment in lockstep: one call is one step of all of them."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

cdef extern from "streams.hpp" namespace "skml_streams" nogil:
    cdef cppclass Clock:
        int64_t episode, step, limit
        uint64_t stream()
        double draw()
        bint late()
        void next_episode()
    uint64_t copy_stream(uint64_t, uint64_t) noexcept
    uint64_t episode_stream(uint64_t, uint64_t) noexcept
    double uniform(uint64_t, uint64_t) noexcept

cdef extern from "control.hpp" namespace "skml_control" nogil:
    cdef cppclass Outcome:
        double reward
        bint terminated, truncated
    enum: PARAMETERS, KINDS, WIDTH
    int width_of(int) noexcept
    int actions_of(int) noexcept
    void start(int, const double*, uint64_t, double*) noexcept
    Outcome advance(int, const double*, int64_t, Clock&, double*, double*, bint) noexcept

include "tables.pxi"

cdef extern from "tables.hpp" namespace "skml_tables" nogil:
    int64_t table_start "skml_tables::start"(const Table&, uint64_t) noexcept
    int64_t pair_of(const Table&, int64_t, int64_t) noexcept
    int64_t outcome_of(const Table&, int64_t, double) noexcept


def seed_copies(
    uint64_t seed,
    int64_t first,  # the number of the first copy
    int64_t[:, ::1] clock,  # out: (N, 4), the copy's stream, episode, step; the limit in the last column stays
):
    """Put copies numbered from `first` at the beginning of their episode 0 under a seed."""
    cdef Py_ssize_t i
    _check_clock(clock)
    for i in range(clock.shape[0]):
        clock[i, 0] = <int64_t> copy_stream(seed, <uint64_t> (first + i))
        clock[i, 1] = 0
        clock[i, 2] = 0


def draws(
    const int64_t[:, ::1] clock,  # in: (N, 4)
    uint64_t purpose,  # which draws, 0 being those of the environment itself
    double[:, ::1] out,  # out: (N, k), uniform in [0, 1)
):
    """Write k draws of each copy at its step: a function of seed, copy, episode, step and purpose alone."""
    cdef Py_ssize_t i, j, k = out.shape[1]
    cdef uint64_t stream
    _check_clock(clock)
    if clock.shape[0] != out.shape[0]:
        raise ValueError("The rows of clock and out must agree.")
    for i in range(out.shape[0]):
        stream = episode_stream(<uint64_t> clock[i, 0] + purpose, <uint64_t> clock[i, 1])
        stream = episode_stream(stream, <uint64_t> clock[i, 2])
        for j in range(k):
            out[i, j] = uniform(stream, <uint64_t> j)


def start_control(
    int kind,  # 0: cart and pole, 1: car on a mountain
    const double[:, ::1] parameters,  # in: (N, 10)
    const int64_t[:, ::1] clock,  # in: (N, 4)
    double[:, ::1] states,  # out: (N, D)
    float[:, ::1] observations,  # out: (N, D)
):
    """Write the states in which the episodes of all copies begin."""
    cdef Py_ssize_t i, j, N = states.shape[0], D = states.shape[1]
    _check_control(kind, parameters, clock, states, observations)
    for i in range(N):
        start(kind, &parameters[i, 0], (<Clock*> &clock[i, 0]).stream(), &states[i, 0])
        for j in range(D):
            observations[i, j] = <float> states[i, j]


def step_control(
    int kind,
    const double[:, ::1] parameters,  # in: (N, 10)
    const int64_t[::1] actions,  # in: (N,)
    bint go_on,  # whether a copy whose episode ends begins the next
    int64_t[:, ::1] clock,  # in, out: (N, 4)
    double[:, ::1] states,  # in, out: (N, D)
    float[:, ::1] observations,  # out: (N, D), of the next episode where one has begun
    float[:, ::1] last,  # out: (N, D), what the step led to
    double[::1] rewards,  # out: (N,)
    uint8_t[:, ::1] ended,  # out: (2, N), whether terminated, and whether truncated
):
    """Take one step of all copies."""
    cdef Py_ssize_t i, j, N = states.shape[0], D = states.shape[1]
    cdef Outcome o
    cdef double[WIDTH] reached
    _check_control(kind, parameters, clock, states, observations)
    _check_out(N, actions, rewards, ended)
    if last.shape[0] != N or last.shape[1] != D:
        raise ValueError("last must have the shape of states.")
    for i in range(N):
        if not 0 <= actions[i] < actions_of(kind):
            raise ValueError(f"actions[{i}] is {actions[i]}, outside 0 to {actions_of(kind) - 1}.")
    with nogil:
        for i in range(N):
            o = advance(kind, &parameters[i, 0], actions[i], (<Clock*> &clock[i, 0])[0], &states[i, 0], reached, go_on)
            rewards[i], ended[0, i], ended[1, i] = o.reward, o.terminated, o.truncated
            for j in range(D):
                last[i, j] = <float> reached[j]
                observations[i, j] = <float> states[i, j]


def start_table(
    tuple table,  # in: offsets, pair_actions, indptr, cumulative, next_states, rewards, terminated, start
    const int64_t[:, ::1] clock,  # in: (N, 4)
    int64_t[::1] states,  # out: (N,)
):
    """Write the states in which the episodes of all copies begin."""
    cdef Py_ssize_t i
    cdef Table t
    _check_clock(clock)
    if clock.shape[0] != states.shape[0]:
        raise ValueError("The rows of states and clock must agree.")
    _fill(&t, table)
    for i in range(states.shape[0]):
        states[i] = table_start(t, (<Clock*> &clock[i, 0]).stream())


def step_table(
    tuple table,  # in: offsets, pair_actions, indptr, cumulative, next_states, rewards, terminated, start
    const int64_t[::1] actions,  # in: (N,)
    bint go_on,  # whether a copy whose episode ends begins the next
    int64_t[:, ::1] clock,  # in, out: (N, 4)
    int64_t[::1] states,  # in, out: (N,), of the next episode where one has begun
    int64_t[::1] last,  # out: (N,), what the step led to
    double[::1] rewards,  # out: (N,)
    uint8_t[:, ::1] ended,  # out: (2, N), whether terminated, and whether truncated
):
    """Take one step of all copies."""
    cdef Py_ssize_t i, bad = -1, N = states.shape[0]
    cdef int64_t pair, o
    cdef Clock* at
    cdef Table t
    _check_clock(clock)
    _check_out(N, actions, rewards, ended)
    if clock.shape[0] != N or last.shape[0] != N:
        raise ValueError("The rows of states, clock and last must agree.")
    _fill(&t, table)
    for i in range(N):
        if pair_of(t, states[i], actions[i]) < 0:
            raise ValueError(f"State {states[i]} doesn't have the action {actions[i]} of copy {i}.")
    with nogil:
        for i in range(N):
            at = <Clock*> &clock[i, 0]
            pair = pair_of(t, states[i], actions[i])
            o = outcome_of(t, pair, at.draw())
            if o < 0:
                bad = i
                break
            at.step += 1
            states[i] = last[i] = t.next_states[o]
            rewards[i] = t.rewards[o]
            ended[0, i] = t.terminated[o]
            ended[1, i] = not ended[0, i] and at.late()
            if go_on and (ended[0, i] or ended[1, i]):
                at.next_episode()
                states[i] = table_start(t, at.stream())
    if bad >= 0:
        raise ValueError(f"The table has no sound outcome for state {states[bad]} and action {actions[bad]}.")


cdef int _check_clock(const int64_t[:, ::1] clock) except -1:
    if clock.shape[1] != 4:
        raise ValueError(f"clock must have 4 columns, got {clock.shape[1]}.")
    return 0


cdef int _check_control(int kind, const double[:, ::1] parameters, const int64_t[:, ::1] clock,
                        const double[:, ::1] states, const float[:, ::1] observations) except -1:
    _check_clock(clock)
    if not 0 <= kind < KINDS:
        raise ValueError(f"kind must be 0 to {KINDS - 1}, got {kind}.")
    cdef Py_ssize_t N = states.shape[0], D = width_of(kind)
    if parameters.shape[0] != N or clock.shape[0] != N or observations.shape[0] != N:
        raise ValueError("The rows of states, parameters, clock and observations must agree.")
    if states.shape[1] != D or observations.shape[1] != D or parameters.shape[1] != PARAMETERS:
        raise ValueError(f"States and observations must have {D} columns, parameters {PARAMETERS}.")
    return 0


cdef int _check_out(Py_ssize_t N, const int64_t[::1] actions, const double[::1] rewards,
                    const uint8_t[:, ::1] ended) except -1:
    if actions.shape[0] != N or rewards.shape[0] != N or ended.shape[1] != N or ended.shape[0] != 2:
        raise ValueError(f"actions and rewards must have {N} entries, and ended the shape (2, {N}).")
    return 0
