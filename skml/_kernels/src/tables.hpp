// Finite worlds: a state, an action, and outcomes with their probabilities, as one table sampler.
#pragma once
#include "streams.hpp"

namespace skml_tables {
using skml_streams::Clock;
using skml_streams::FIRST_STEP;
using skml_streams::uniform;

// The pairs of state s are offsets[s] to offsets[s + 1], each with an action; the outcomes of pair p are indptr[p] to
// indptr[p + 1], with their cumulative probabilities, where they lead, what they pay, and whether they end the episode.
struct Table {
    const int32_t* offsets; const int32_t* pair_actions; const int32_t* indptr; const double* cumulative;
    const int32_t* next_states; const double* rewards; const uint8_t* terminated; const double* start;
    int64_t n_states, n_pairs, n_outcomes;
};

// The first of n places whose cumulative probability exceeds u, the last place at most.
static inline int64_t place_of(const double* cumulative, int64_t n, double u) {
    int64_t low = 0, high = n - 1;
    while (low < high) {
        const int64_t middle = (low + high) / 2;
        if (cumulative[middle] > u) high = middle; else low = middle + 1;
    }
    return low;
}

static inline int64_t start(const Table& t, uint64_t stream) { return place_of(t.start, t.n_states, uniform(stream, 0)); }

// The pair of a state and an action; -1 where the state doesn't have the action.
static inline int64_t pair_of(const Table& t, int64_t s, int64_t action) {
    if (s < 0 || s >= t.n_states) return -1;
    const int64_t first = t.offsets[s], end = t.offsets[s + 1];
    if (first < 0 || end > t.n_pairs) return -1;
    const int64_t guess = first + action;  // right wherever all states have all actions
    if (action >= 0 && guess < end && t.pair_actions[guess] == action) return guess;
    for (int64_t p = first; p < end; p++) if (t.pair_actions[p] == action) return p;
    return -1;
}

// The outcome of a pair that a draw u in [0, 1) picks; -1 where there is none, or it leads out of the table.
static inline int64_t outcome_of(const Table& t, int64_t pair, double u) {
    const int64_t first = t.indptr[pair], end = t.indptr[pair + 1];
    if (first < 0 || first >= end || end > t.n_outcomes) return -1;
    const int64_t o = first + place_of(t.cumulative + first, end - first, u);
    return t.next_states[o] < 0 || t.next_states[o] >= t.n_states ? -1 : o;
}
}  // namespace skml_tables
