// Copies of an environment of our own that act under a policy, many steps at a time.
#pragma once
#include "actors.hpp"
#include "choices.hpp"
#include "control.hpp"
#include "tables.hpp"

namespace skml_actors {
using skml_streams::Clock;

struct ControlWorlds {  // copies of a control task, whose observations are centred and scaled
    int kind;
    const double *parameters, *shift, *scale;
    Clock* clock;
    double* states;

    int width() const { return skml_control::width_of(kind); }
    const uint8_t* allowed(ptrdiff_t) const { return nullptr; }
    template <class T> void show(const double* s, T* x) const {
        for (int j = 0; j < width(); j++) x[j] = T((double(float(s[j])) - shift[j]) * scale[j]);
    }
    template <class T> void see(ptrdiff_t i, T* x) const { show(states + i * width(), x); }
    // One step; what it led to goes to `last` if the episode was cut off there.
    template <class T> skml_control::Outcome step(ptrdiff_t i, int32_t action, bool go_on, T* last) const {
        double reached[skml_control::WIDTH];
        const auto o = skml_control::advance(kind, parameters + i * skml_control::PARAMETERS, action, clock[i],
                                             states + i * width(), reached, go_on);
        if (o.truncated) show(reached, last);
        return o;
    }
};

struct TableWorlds {  // copies of a finite world, whose states are seen as a 1 among zeros
    skml_tables::Table table;
    const uint8_t* masks;  // (n_states, n_actions), or null where all actions are allowed
    int64_t *states, *bad;  // where the table was found unsound, or -1
    Clock* clock;
    ptrdiff_t n_actions;

    const uint8_t* allowed(ptrdiff_t i) const { return masks ? masks + states[i] * n_actions : nullptr; }
    template <class T> void show(int64_t s, T* x) const {
        std::fill(x, x + table.n_states, T(0));
        x[s] = 1;
    }
    template <class T> void see(ptrdiff_t i, T* x) const { show(states[i], x); }
    template <class T> skml_control::Outcome step(ptrdiff_t i, int32_t action, bool go_on, T* last) const {
        const int64_t pair = skml_tables::pair_of(table, states[i], action);
        const int64_t o = pair < 0 ? -1 : skml_tables::outcome_of(table, pair, clock[i].draw());
        if (o < 0) {
            *bad = i;
            return {0, true, false};
        }
        clock[i].step++;
        states[i] = table.next_states[o];
        const bool over = table.terminated[o], cut = !over && clock[i].late();
        if (cut) show(states[i], last);
        if (go_on && (over || cut)) {
            clock[i].next_episode();
            states[i] = skml_tables::start(table, clock[i].stream());
        }
        return {table.rewards[o], over, cut};
    }
};

// What is written down of T steps of N copies. x: (T + 1) N rows, what was seen before each step and after the last, and
// then a row for each step that cut an episode off, in order. A copy that is idle takes no step; with `go_on` none ever is.
template <class T> struct Record {
    ptrdiff_t n_steps, n_copies;
    bool go_on;
    T* x;
    int32_t* actions;
    double* reward;
    uint8_t *terminated, *truncated, *idle;
    double *totals, *running;  // of rewards: of each episode up to the step, and to be gone on with
};

// Room for the copies that act: what they see, what the network makes of it, and their numbers.
template <class T> struct Desk {
    T *x, *y, *space;
    double* powers;
    int64_t* who;
};

template <class T, class Worlds>
static inline ptrdiff_t play(const Worlds& worlds, const Net& net, const T* w, const Record<T>& r, uint64_t seed,
                             uint64_t first, const Desk<T>& desk) {
    const ptrdiff_t N = r.n_copies, d = net.sizes[0], A = net.sizes[net.n_layers];
    T* extra = r.x + (r.n_steps + 1) * N * d;
    ptrdiff_t n_extra = 0;
    for (ptrdiff_t t = 0; t < r.n_steps; t++) {
        ptrdiff_t n = 0;
        for (ptrdiff_t i = 0; i < N; i++) {
            T* x = r.x + (t * N + i) * d;
            worlds.see(i, x);
            if (!r.idle[i]) std::copy(x, x + d, desk.x + n * d), desk.who[n++] = i;
            r.actions[t * N + i] = r.terminated[t * N + i] = r.truncated[t * N + i] = 0;
            r.reward[t * N + i] = r.totals[t * N + i] = 0;
        }
        for (ptrdiff_t row = 0; row < n; row += ROWS)
            forward_rows(net, desk.x, w, desk.y, n, row, std::min(ROWS, n - row), desk.space);
        const T* logits = desk.y + n * net.outputs(net.n_layers - 1);
        for (ptrdiff_t k = 0; k < n; k++) {
            const ptrdiff_t i = desk.who[k], at = t * N + i;
            const int32_t action = choose<T>(logits + k * A, worlds.allowed(i), A, drawn(seed, i, first + t), desk.powers);
            const auto o = worlds.step(i, action, r.go_on, extra + n_extra * d);
            n_extra += o.truncated;
            r.actions[at] = action;
            r.reward[at] = o.reward;
            r.terminated[at] = o.terminated;
            r.truncated[at] = o.truncated;
            r.totals[at] = r.running[i] += o.reward;
            if (o.terminated || o.truncated) r.running[i] = 0, r.idle[i] = !r.go_on;
        }
    }
    for (ptrdiff_t i = 0; i < N; i++) worlds.see(i, r.x + (r.n_steps * N + i) * d);
    return n_extra;
}

}  // namespace skml_actors
