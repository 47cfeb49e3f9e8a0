"""Tabular control: episodes over tables of outcomes, with exploration, updates and counts, copies in lockstep."""

from libc.stdint cimport int32_t, int64_t, uint8_t

cdef extern from "streams.hpp" namespace "skml_streams" nogil:
    cdef cppclass Clock:
        int64_t episode, step

cdef extern from "episodes.hpp" namespace "skml_episodes" nogil:
    cdef cppclass Worlds:
        const int32_t* offsets
        const int32_t* pair_actions
        const int32_t* indptr
        const int32_t* next_states
        const int32_t* world_of
        const double* cumulative
        const double* rewards
        const double* starts
        const uint8_t* ends
        Py_ssize_t n_states, n_actions
    cdef cppclass Rule:
        int target, exploration, rate, replacing
        double discount, trace_decay
        const double* rates
        const double* levels
        Py_ssize_t n_rates, n_levels, n_steps
        int64_t total_steps, total_episodes
    cdef cppclass Place:
        int64_t state, pair
    cdef cppclass Move:
        int64_t state, pair, ended
    cdef cppclass Sums:
        pass
    cdef cppclass Loop:
        double* Q
        double* weights
        double* gains
        double* worths
        double* scores
        double* finished
        Sums* sums
        Clock* clock
        Place* places
        Move* moves
        int64_t* visits
        int64_t* memory
        int64_t* held
        int64_t* done
        Py_ssize_t n_tables, n_copies, width, capacity
    cdef cppclass Game:
        Worlds w
        Rule r
        Loop l
        Py_ssize_t size
    int64_t run(Game&, int64_t) noexcept
    int64_t follow(Game&, bint, const int64_t*, int64_t*) noexcept

include "checks.pxi"


cdef int _check_offsets(const int32_t[::1] offsets, Py_ssize_t end, str name) except -1:
    cdef Py_ssize_t k
    if offsets.shape[0] < 2 or offsets[0] != 0 or offsets[offsets.shape[0] - 1] != end:
        raise ValueError(f"{name} must go from 0 to {end}.")
    for k in range(offsets.shape[0] - 1):
        if offsets[k] > offsets[k + 1]:
            raise ValueError(f"{name} decreases after entry {k}.")
    return 0


cdef int _check_pairs(Game* g, const int32_t[::1] offsets, const int32_t[::1] indptr) except -1:
    """Raise unless each pair has outcomes, and there is a pair wherever an outcome that goes on leads to."""
    cdef Py_ssize_t at, at_next, p, o, world
    for at in range(offsets.shape[0] - 1):
        world = at // g.w.n_states * g.w.n_states
        for p in range(offsets[at], offsets[at + 1]):
            if indptr[p] == indptr[p + 1]:
                raise ValueError(f"Pair {p} leads nowhere.")
            for o in range(indptr[p], indptr[p + 1]):
                at_next = world + g.w.next_states[o]
                if not g.w.ends[o] and offsets[at_next] == offsets[at_next + 1]:
                    raise ValueError(f"Outcome {o} goes on in state {g.w.next_states[o]}, which has no action.")
    return 0


cdef int _check_starts(Game* g, Py_ssize_t n_worlds) except -1:
    """Raise unless an episode begins where there is a pair."""
    cdef Py_ssize_t world, s, at
    cdef double before
    for world in range(n_worlds):
        before = 0
        for s in range(g.w.n_states):
            at = world * g.w.n_states + s
            if not g.w.starts[at] >= before or (g.w.starts[at] > before and g.w.offsets[at] == g.w.offsets[at + 1]):
                raise ValueError(f"starts[{world}, {s}] is {g.w.starts[at]}, after {before}, or there is no action.")
            before = g.w.starts[at]
        if before != 1:
            raise ValueError(f"starts[{world}] ends with {before}, expected 1.")
    return 0


cdef int _set_worlds(Game* g, object worlds) except -1:
    cdef const int32_t[::1] offsets = worlds.offsets, indptr = worlds.indptr, world_of = worlds.world_of
    cdef const int32_t[::1] pair_actions = worlds.pair_actions, next_states = worlds.next_states
    cdef const double[::1] cumulative = worlds.cumulative, rewards = worlds.rewards
    cdef const double[:, ::1] starts = worlds.starts
    cdef const uint8_t[::1] ends = worlds.ends
    cdef Py_ssize_t n_worlds = starts.shape[0], n = starts.shape[1]
    if n_worlds == 0 or n == 0 or worlds.n_actions < 1 or world_of.shape[0] == 0:
        raise ValueError("There must be a world, a state, an action and a copy.")
    if offsets.shape[0] != n_worlds * n + 1 or indptr.shape[0] != pair_actions.shape[0] + 1:
        raise ValueError("offsets must have an entry per state and world, indptr one per pair, and one more.")
    _same((cumulative.shape[0], next_states.shape[0], rewards.shape[0], ends.shape[0]), "The arrays of outcomes")
    _check_offsets(offsets, pair_actions.shape[0], "offsets")
    _check_offsets(indptr, cumulative.shape[0], "indptr")
    _check_indices(pair_actions, "pair_actions", 0, worlds.n_actions)
    _check_indices(next_states, "next_states", 0, n)
    _check_indices(world_of, "world_of", 0, n_worlds)
    if cumulative.shape[0] == 0:
        raise ValueError("There is no outcome.")
    g.w.offsets, g.w.indptr, g.w.pair_actions = &offsets[0], &indptr[0], &pair_actions[0]
    g.w.next_states, g.w.cumulative, g.w.rewards = &next_states[0], &cumulative[0], &rewards[0]
    g.w.world_of, g.w.starts, g.w.ends = &world_of[0], &starts[0, 0], &ends[0]
    g.w.n_states, g.w.n_actions = n, worlds.n_actions
    _check_pairs(g, offsets, indptr)
    _check_starts(g, n_worlds)
    return 0


cdef int _set_rule(Game* g, object rule) except -1:
    cdef const double[::1] rates = rule.rates, levels = rule.levels
    g.r.target, g.r.exploration, g.r.rate, g.r.replacing = rule.target, rule.exploration, rule.rate, rule.replacing
    if not (0 <= g.r.target <= 2 and 0 <= g.r.exploration <= 2 and 0 <= g.r.rate <= 2):
        raise ValueError("target, exploration and rate are numbers from 0 to 2.")
    if rates.shape[0] == 0 or levels.shape[0] == 0:
        raise ValueError("rates and levels must hold a number each.")
    g.r.rates, g.r.levels, g.r.n_rates, g.r.n_levels = &rates[0], &levels[0], rates.shape[0], levels.shape[0]
    g.r.discount, g.r.trace_decay, g.r.n_steps = rule.discount, rule.trace_decay, rule.n_steps
    g.r.total_steps, g.r.total_episodes = rule.total_steps, rule.total_episodes
    if g.r.n_steps < 1 or g.r.total_steps < 1 or g.r.total_episodes < 0:
        raise ValueError("n_steps and total_steps must be at least 1, total_episodes at least 0.")
    return 0


cdef int _set_loop(Game* g, object loop) except -1:
    cdef double[:, :, ::1] Q = loop.Q
    cdef int64_t[:, ::1] visits = loop.visits, memory = loop.memory
    cdef int64_t[:, ::1] clock = loop.clock, places = loop.places, moves = loop.moves
    cdef double[:, ::1] sums = loop.sums, weights = loop.weights, finished = loop.finished
    cdef int64_t[::1] held = loop.held, done = loop.done
    cdef double[::1] gains = loop.gains, worths = loop.worths, scores = loop.scores
    cdef Py_ssize_t n = places.shape[0]
    if Q.shape[0] not in (1, 2) or (Q.shape[1], Q.shape[2]) != (g.w.n_states, g.w.n_actions):
        raise ValueError(f"Q must have shape (1 or 2, {g.w.n_states}, {g.w.n_actions}).")
    _same((n, clock.shape[0], memory.shape[0], moves.shape[0], sums.shape[0], weights.shape[0],
           held.shape[0], gains.shape[0], worths.shape[0]),
          "The arrays of copies")
    if (clock.shape[1], places.shape[1], moves.shape[1], sums.shape[1], finished.shape[1]) != (4, 2, 3, 2, 3):
        raise ValueError("clock has 4 columns, places 2, moves 3, sums 2, finished 3.")
    if (visits.shape[0], visits.shape[1]) != (Q.shape[1], Q.shape[2]) or scores.shape[0] != Q.shape[2]:
        raise ValueError("visits and scores must fit Q.")
    if memory.shape[1] != weights.shape[1] or memory.shape[1] < 1 or done.shape[0] != 2 or finished.shape[0] < n:
        raise ValueError("memory and weights must agree, done has 2 entries, finished room for each copy.")
    if g.r.trace_decay <= 0 and memory.shape[1] < g.r.n_steps:
        raise ValueError(f"memory must have room for {g.r.n_steps} pairs.")
    g.l.Q, g.l.visits, g.l.memory, g.l.weights = &Q[0, 0, 0], &visits[0, 0], &memory[0, 0], &weights[0, 0]
    g.l.clock, g.l.places = <Clock*> &clock[0, 0], <Place*> &places[0, 0]
    g.l.moves, g.l.sums, g.l.finished = <Move*> &moves[0, 0], <Sums*> &sums[0, 0], &finished[0, 0]
    g.l.held, g.l.done, g.l.scores = &held[0], &done[0], &scores[0]
    g.l.gains, g.l.worths = &gains[0], &worths[0]
    g.l.n_tables, g.l.n_copies, g.l.width, g.l.capacity = Q.shape[0], n, memory.shape[1], finished.shape[0]
    g.size = Q.shape[1] * Q.shape[2]
    if g.l.n_tables == 2 and (g.r.target != 0 or g.r.trace_decay > 0):
        raise ValueError("Two tables learn from each other's maxima, without traces.")
    return 0


cdef int _check_places(Game* g) except -1:
    """Raise unless each copy stands in a state, before a pair of it, and remembers pairs that exist."""
    cdef Py_ssize_t i, k
    cdef int64_t s, pair, at, first, end
    cdef int64_t limit = g.l.width if g.r.trace_decay > 0 else g.r.n_steps - 1
    for i in range(g.l.n_copies):
        s, pair = g.l.places[i].state, g.l.places[i].pair
        if s < -1 or s >= g.w.n_states or (s == -1 and pair != -1) or pair < -1:
            raise ValueError(f"Copy {i} is in state {s}, outside 0 to {g.w.n_states - 1}.")
        if s >= 0:
            if g.w.offsets == NULL:
                first, end = s * g.w.n_actions, (s + 1) * g.w.n_actions
            else:
                at = <int64_t> g.w.world_of[i] * g.w.n_states + s
                first, end = g.w.offsets[at], g.w.offsets[at + 1]
            if first == end or (pair >= 0 and not first <= pair < end):
                raise ValueError(f"Copy {i} stands before pair {pair}, which is none of state {s}.")
        if not 0 <= g.l.held[i] <= limit:
            raise ValueError(f"Copy {i} holds {g.l.held[i]} pairs, at most {limit}.")
        for k in range(g.l.held[i]):
            if not 0 <= g.l.memory[i * g.l.width + k] < g.size:
                raise ValueError(f"Copy {i} remembers pair {g.l.memory[i * g.l.width + k]}, outside the table.")
    return 0


def run_episodes(
    object worlds,  # in: the tables of outcomes, and the world that each copy is in
    object rule,  # in: what is learned, how it is explored, schedules and limits
    object loop,  # in, out: values, visits, and where each copy is
    int64_t n_ticks,
):
    """Let all copies act and learn `n_ticks` times, or until a limit; return how many episodes are in `finished`."""
    cdef Game g
    cdef int64_t n_finished
    _set_worlds(&g, worlds)
    _set_rule(&g, rule)
    _set_loop(&g, loop)
    _same((worlds.world_of.shape[0], g.l.n_copies), "world_of and the arrays of copies")
    _check_places(&g)
    with nogil:
        n_finished = run(g, n_ticks)
    return n_finished


def follow_moves(
    object rule,  # in: what is learned, how it is explored, schedules and limits
    object loop,  # in, out: values, visits, and where each copy is; in moves and gains what it did
    bint moved,  # whether there are moves to learn from
    const int64_t[::1] begins,  # in: (N,), the state in which each copy goes on, of the next episode if one has ended
    int64_t[::1] actions,  # out: (N,)
):
    """Learn from moves that somebody else made, and choose the next actions; return how many episodes ended."""
    cdef Game g
    cdef int64_t n_finished
    cdef Py_ssize_t i
    g.w.n_states, g.w.n_actions = loop.Q.shape[1], loop.Q.shape[2]
    if g.w.n_states == 0 or g.w.n_actions == 0:
        raise ValueError("There must be a state and an action.")
    _set_rule(&g, rule)
    _set_loop(&g, loop)
    _check_places(&g)
    _same((g.l.n_copies, begins.shape[0], actions.shape[0]), "begins, actions and the arrays of copies")
    for i in range(g.l.n_copies):
        if not 0 <= begins[i] < g.w.n_states:
            raise ValueError(f"begins[{i}] is {begins[i]}, outside 0 to {g.w.n_states - 1}.")
        if moved and not (0 <= g.l.moves[i].state < g.w.n_states and 0 <= g.l.moves[i].ended <= 3):
            raise ValueError(f"Copy {i} moved to state {g.l.moves[i].state}, outside 0 to {g.w.n_states - 1}.")
        if moved and g.l.moves[i].ended < 3 and g.l.places[i].pair < 0:
            raise ValueError(f"Copy {i} moved without an action.")
    with nogil:
        n_finished = follow(g, moved, &begins[0], &actions[0])
    return n_finished
