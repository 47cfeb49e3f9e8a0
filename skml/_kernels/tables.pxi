# The table of a finite world, as it comes from Python; included, so that each module has its own copy.

cdef extern from "tables.hpp" namespace "skml_tables" nogil:
    cdef cppclass Table:
        const int32_t* offsets
        const int32_t* pair_actions
        const int32_t* indptr
        const double* cumulative
        const int32_t* next_states
        const double* rewards
        const uint8_t* terminated
        const double* start
        int64_t n_states, n_pairs, n_outcomes


cdef int _fill(Table* t, tuple table) except -1:
    """Point to the arrays of a table, whose lengths must fit; what they hold is seen to as it is read."""
    cdef const int32_t[::1] offsets = table[0], indptr = table[2]
    cdef const int32_t[::1] pair_actions = table[1], next_states = table[4]
    cdef const double[::1] cumulative = table[3], rewards = table[5], first = table[7]
    cdef const uint8_t[::1] terminated = table[6]
    t.n_states, t.n_pairs, t.n_outcomes = first.shape[0], pair_actions.shape[0], next_states.shape[0]
    if cumulative.shape[0] != t.n_outcomes or rewards.shape[0] != t.n_outcomes or terminated.shape[0] != t.n_outcomes:
        raise ValueError("The outcomes of a table must agree in length.")
    if offsets.shape[0] != t.n_states + 1 or indptr.shape[0] != t.n_pairs + 1:
        raise ValueError("offsets must have one entry more than states, and indptr one more than pairs.")
    if not t.n_states or not t.n_pairs or not t.n_outcomes:
        raise ValueError("A table needs at least one state, one pair and one outcome.")
    t.offsets, t.pair_actions, t.indptr, t.cumulative = &offsets[0], &pair_actions[0], &indptr[0], &cumulative[0]
    t.next_states, t.rewards, t.terminated, t.start = &next_states[0], &rewards[0], &terminated[0], &first[0]
    return 0
