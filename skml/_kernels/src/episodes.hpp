// Tabular control: whole episodes over tables of outcomes, copies in lockstep, with counter-based random numbers.
#pragma once
#include <cmath>
#include <cstring>
#include "tables.hpp"

namespace skml_episodes {
using skml_streams::Clock;
using skml_streams::episode_stream;
using skml_streams::uniform;
using skml_tables::place_of;

enum Target { MAXIMUM, TAKEN, EXPECTED };
enum Exploration { GREEDY, SOFTMAX, UCB };
enum Rate { SCHEDULED, COUNTED, RESCALED };
enum Draw { EXPLORE, PICK, COIN };
enum Ended { NOT, TERMINATED, TRUNCATED, IDLE };  // IDLE: the copy did nothing
constexpr double NEGLIGIBLE = 1e-8;  // a trace below this is dropped
constexpr uint64_t PURPOSE = 1;      // of the agent's draws; those of the environment have 0

// Pairs of a state and an action in order of world and state; outcomes in order of pairs. Without offsets every state
// has every action.
struct Worlds {
    const int32_t *offsets = nullptr, *pair_actions = nullptr, *indptr = nullptr, *next_states, *world_of;
    const double *cumulative, *rewards, *starts;
    const uint8_t* ends;  // whether an outcome ends the episode
    ptrdiff_t n_states, n_actions;
};

struct Rule {
    int target, exploration, rate, replacing;
    double discount, trace_decay;
    const double *rates, *levels;
    ptrdiff_t n_rates, n_levels, n_steps;
    int64_t total_steps, total_episodes;  // 0 episodes: no limit
};

struct Place { int64_t state, pair; };        // of a copy; -1: not known yet
struct Move { int64_t state, pair, ended; };  // where a step leads to
struct Sums { double reward, error; };        // of a copy's episode
struct Loop {                                 // what goes on from call to call, and a copy's move within a tick
    double *Q, *weights, *gains, *worths, *scores, *finished;
    Sums* sums;
    Clock* clock;
    Place* places;
    Move* moves;
    int64_t *visits, *memory, *held, *done;
    ptrdiff_t n_tables, n_copies, width, capacity;
};

struct Game {
    Worlds w;
    Rule r;
    Loop l;
    ptrdiff_t size;      // of one table of values
    double rate, level;  // of this tick
};

// A number in [0, 1) that depends on the seed, the copy, its episode, the step and the purpose alone.
static inline double drawn(const Clock& clock, Draw purpose) {
    const uint64_t stream = episode_stream(clock.base + PURPOSE, (uint64_t)clock.episode);
    return uniform(episode_stream(stream, (uint64_t)clock.step), purpose);
}
static inline ptrdiff_t below(double u, ptrdiff_t n) { return (ptrdiff_t)(u * (double)n); }

static inline double value(const Game& g, ptrdiff_t q) {
    return g.l.n_tables == 1 ? g.l.Q[q] : 0.5 * (g.l.Q[q] + g.l.Q[g.size + q]);
}

struct Choices {  // the pairs of a state in a copy's world
    const int32_t* actions;
    int64_t first;
    ptrdiff_t n, row;
    ptrdiff_t at(ptrdiff_t k) const { return row + (actions ? actions[k] : k); }
};
static inline Choices choices(const Game& g, ptrdiff_t i, int64_t s) {
    const ptrdiff_t row = (ptrdiff_t)s * g.w.n_actions;
    if (!g.w.offsets) return {nullptr, row, g.w.n_actions, row};
    const int32_t* at = g.w.offsets + (ptrdiff_t)g.w.world_of[i] * g.w.n_states + s;
    return {g.w.pair_actions + at[0], at[0], (ptrdiff_t)(at[1] - at[0]), row};
}

// scores[k]: the value of each choice, with a bonus for what was seldom tried where UCB explores.
static inline double scored(const Game& g, const Choices& c) {
    double best = -INFINITY, tried = 0;
    if (g.r.exploration == UCB) for (ptrdiff_t k = 0; k < c.n; k++) tried += (double)g.l.visits[c.at(k)];
    const double spread = tried > 1 ? std::log(tried) : 0;
    for (ptrdiff_t k = 0; k < c.n; k++) {
        double score = value(g, c.at(k));
        if (g.r.exploration == UCB) {  // Q + c sqrt(ln N(s) / N(s, a))
            const double n = (double)g.l.visits[c.at(k)];
            score = n > 0 ? score + g.level * std::sqrt(spread / n) : INFINITY;
        }
        g.l.scores[k] = score;
        best = score > best ? score : best;
    }
    return best;
}

// exp((Q - max) / temperature) in place of the scores, and their sum.
static inline double softened(const Game& g, const Choices& c, double best) {
    double total = 0;
    for (ptrdiff_t k = 0; k < c.n; k++) total += g.l.scores[k] = std::exp((g.l.scores[k] - best) / g.level);
    return total;
}

static inline int64_t chosen(const Game& g, ptrdiff_t i, int64_t s) {
    const Choices c = choices(g, i, s);
    const Clock& clock = g.l.clock[i];
    if (g.r.exploration == GREEDY && g.level > 0 && drawn(clock, EXPLORE) < g.level)
        return c.first + below(drawn(clock, PICK), c.n);
    const double best = scored(g, c);
    ptrdiff_t k = 0;
    if (g.r.exploration == SOFTMAX) {
        double left = drawn(clock, EXPLORE) * softened(g, c, best);
        while (k < c.n - 1 && left >= g.l.scores[k]) left -= g.l.scores[k++];
        return c.first + k;
    }
    ptrdiff_t ties = 0;
    for (ptrdiff_t j = 0; j < c.n; j++) ties += g.l.scores[j] == best;
    ptrdiff_t skip = ties > 1 ? below(drawn(clock, PICK), ties) : 0;
    while (k < c.n - 1 && !(g.l.scores[k] == best && skip-- == 0)) k++;
    return c.first + k;
}

// The mean of Q(s, .) under the policy that explores.
static inline double expected(const Game& g, const Choices& c) {
    const double best = scored(g, c);
    double sum = 0, weight = 0;
    if (g.r.exploration == SOFTMAX) weight = softened(g, c, best);
    for (ptrdiff_t k = 0; k < c.n; k++) {
        const double v = value(g, c.at(k));
        if (g.r.exploration == UCB) { if (g.l.scores[k] == best) sum += v, weight += 1; }
        else sum += g.r.exploration == SOFTMAX ? g.l.scores[k] * v : v;
    }
    if (g.r.exploration == GREEDY) return (1 - g.level) * best + g.level * (sum / (double)c.n);
    return sum / weight;
}

// What state s is worth to the one who comes there; `table` is the one that will learn from it.
static inline double worth(const Game& g, ptrdiff_t i, int64_t s, int64_t pair, ptrdiff_t table) {
    const Choices c = choices(g, i, s);
    if (g.r.target == TAKEN) return value(g, c.at((ptrdiff_t)(pair - c.first)));
    if (g.r.target == EXPECTED) return expected(g, c);
    const double* own = g.l.Q + table * g.size;
    ptrdiff_t best = c.at(0);
    for (ptrdiff_t k = 1; k < c.n; k++) best = own[c.at(k)] > own[best] ? c.at(k) : best;
    return g.l.n_tables == 1 ? own[best] : g.l.Q[(1 - table) * g.size + best];
}

static inline double rate_of(const Game& g, ptrdiff_t q) {
    const double n = (double)g.l.visits[q];
    if (g.r.rate == COUNTED) return 1 / n;
    if (g.r.rate == RESCALED) return 1 / (1 + g.rate * (n - 1));
    return g.rate;
}

// The return of the oldest pending pair, and of all if the episode ended: G = r + discount r' + ... + discount^n V.
static inline void learn_returns(const Game& g, ptrdiff_t i, ptrdiff_t q, int64_t ended, ptrdiff_t table) {
    int64_t *pairs = g.l.memory + i * g.l.width, &held = g.l.held[i];
    double *rewards = g.l.weights + i * g.l.width, *Q = g.l.Q + table * g.size;
    pairs[held] = q;
    rewards[held++] = g.l.gains[i];
    if (held < g.r.n_steps && ended == NOT) return;
    do {
        double G = g.l.worths[i];
        for (ptrdiff_t k = held - 1; k >= 0; k--) G = rewards[k] + g.r.discount * G;
        const double delta = G - Q[pairs[0]];
        Q[pairs[0]] += rate_of(g, pairs[0]) * delta;  // Q <- Q + rate (G - Q)
        g.l.sums[i].error += std::fabs(delta);
        held--;
        std::memmove(pairs, pairs + 1, (size_t)held * sizeof(int64_t));
        std::memmove(rewards, rewards + 1, (size_t)held * sizeof(double));
    } while (ended != NOT && held > 0);
}

// Q <- Q + rate delta e for all pairs with a trace e, which fades by discount * trace_decay a step.
static inline void learn_traces(const Game& g, ptrdiff_t i, ptrdiff_t q, int64_t ended) {
    int64_t *pairs = g.l.memory + i * g.l.width, &held = g.l.held[i], kept = 0;
    double *traces = g.l.weights + i * g.l.width, own = 1;
    const double delta = g.l.gains[i] + g.r.discount * g.l.worths[i] - g.l.Q[q];
    const double fade = g.r.discount * g.r.trace_decay;
    if (g.r.target == MAXIMUM) {  // Watkins: what led to an action that isn't the best learns nothing from it
        const Choices c = choices(g, i, g.l.places[i].state);
        for (ptrdiff_t k = 0; k < c.n; k++) if (g.l.Q[c.at(k)] > g.l.Q[q]) held = 0;
    }
    for (int64_t k = 0; k < held; k++) {
        const double e = traces[k] * fade;
        if (pairs[k] == q) own = g.r.replacing ? 1 : 1 + e;
        else if (e >= NEGLIGIBLE) { pairs[kept] = pairs[k]; traces[kept++] = e; }
    }
    if (kept == g.l.width) {  // the oldest goes
        kept--;
        std::memmove(pairs, pairs + 1, (size_t)kept * sizeof(int64_t));
        std::memmove(traces, traces + 1, (size_t)kept * sizeof(double));
    }
    pairs[kept] = q;
    traces[kept] = own;
    for (int64_t k = 0; k <= kept; k++) g.l.Q[pairs[k]] += rate_of(g, pairs[k]) * delta * traces[k];
    g.l.sums[i].error += std::fabs(delta);
    held = ended == NOT ? kept + 1 : 0;
}

static inline void begin(const Game& g, ptrdiff_t i) {
    Place& place = g.l.places[i];
    const double* start = g.w.starts + (ptrdiff_t)g.w.world_of[i] * g.w.n_states;
    if (place.state < 0) place.state = place_of(start, g.w.n_states, uniform(g.l.clock[i].stream(), 0));
    if (place.pair < 0) place.pair = chosen(g, i, place.state);
}

static inline void step(const Game& g, ptrdiff_t i) {
    Clock& clock = g.l.clock[i];
    const int64_t pair = g.l.places[i].pair, first = g.w.indptr[pair], n = g.w.indptr[pair + 1] - first;
    const int64_t o = first + place_of(g.w.cumulative + first, n, clock.draw());
    clock.step++;
    g.l.moves[i] = {g.w.next_states[o], -1, g.w.ends[o] ? TERMINATED : clock.late() ? TRUNCATED : NOT};
    g.l.gains[i] = g.w.rewards[o];
}

// The table that learns from a copy's step.
static inline ptrdiff_t learner(const Game& g, ptrdiff_t i) {
    return g.l.n_tables == 2 && drawn(g.l.clock[i], COIN) < 0.5;
}

// What ended is worth nothing more; where the clock ran out, the state is worth what it is worth.
static inline void look_ahead(const Game& g, ptrdiff_t i) {
    const Move move = g.l.moves[i];
    g.l.worths[i] = move.ended == TERMINATED ? 0 : worth(g, i, move.state, move.pair, learner(g, i));
}

static inline void learn(const Game& g, ptrdiff_t i) {
    Place& place = g.l.places[i];
    const Move move = g.l.moves[i];
    const Choices c = choices(g, i, place.state);
    const ptrdiff_t q = c.at((ptrdiff_t)(place.pair - c.first));
    g.l.visits[q]++;
    g.l.sums[i].reward += g.l.gains[i];
    if (g.r.trace_decay > 0) learn_traces(g, i, q, move.ended);
    else learn_returns(g, i, q, move.ended, learner(g, i));
    place = {move.state, move.pair};
}

static inline void finish(const Game& g, ptrdiff_t i, ptrdiff_t row) {
    const double length = (double)g.l.clock[i].step;
    double* out = g.l.finished + 3 * row;
    out[0] = g.l.sums[i].reward;
    out[1] = length;
    out[2] = g.l.sums[i].error / length;
    g.l.sums[i] = {0, 0};
    g.l.places[i] = {-1, -1};
    g.l.clock[i].next_episode();
    g.l.done[1]++;
}

static inline double scheduled(const double* knots, ptrdiff_t n, double share) {
    const ptrdiff_t k = (ptrdiff_t)(share * (double)n);
    return knots[k < n ? k : n - 1];
}

static inline double share_done(const Game& g) {
    const double steps = (double)g.l.done[0] / (double)g.r.total_steps;
    const double episodes = g.r.total_episodes ? (double)g.l.done[1] / (double)g.r.total_episodes : 0;
    return steps > episodes ? steps : episodes;
}

// What the copies' moves teach, and the end of their episodes.
static inline void learn_all(const Game& g, int64_t before) {
    const ptrdiff_t n = g.l.n_copies;
    if (g.r.target == TAKEN)
        for (ptrdiff_t i = 0; i < n; i++)
            if (g.l.moves[i].ended % IDLE != TERMINATED) g.l.moves[i].pair = chosen(g, i, g.l.moves[i].state);
    for (ptrdiff_t i = 0; i < n; i++) if (g.l.moves[i].ended != IDLE) look_ahead(g, i);
    for (ptrdiff_t i = 0; i < n; i++) if (g.l.moves[i].ended != IDLE) learn(g, i), g.l.done[0]++;
    for (ptrdiff_t i = 0; i < n; i++)
        if (g.l.moves[i].ended % IDLE != NOT) finish(g, i, (ptrdiff_t)(g.l.done[1] - before));
}

static inline void set_schedules(Game& g, double share) {
    g.rate = scheduled(g.r.rates, g.r.n_rates, share);
    g.level = scheduled(g.r.levels, g.r.n_levels, share);
}

// Let all copies choose, move, look ahead and learn: n_ticks times, or until the budget or the room for finished
// episodes is used up.
static inline int64_t run(Game& g, int64_t n_ticks) {
    const int64_t before = g.l.done[1], room = g.l.capacity - g.l.n_copies;
    for (int64_t t = 0; t < n_ticks && g.l.done[1] - before <= room; t++) {
        const double share = share_done(g);
        if (share >= 1) break;
        set_schedules(g, share);
        for (ptrdiff_t i = 0; i < g.l.n_copies; i++) begin(g, i);
        for (ptrdiff_t i = 0; i < g.l.n_copies; i++) step(g, i);
        learn_all(g, before);
    }
    return g.l.done[1] - before;
}

// The same where somebody else moves the copies: learn from their moves, if there were any, and choose anew.
static inline int64_t follow(Game& g, bool moved, const int64_t* begins, int64_t* actions) {
    const int64_t before = g.l.done[1];
    set_schedules(g, share_done(g));
    if (moved) {
        for (ptrdiff_t i = 0; i < g.l.n_copies; i++) {
            g.l.clock[i].step += g.l.moves[i].ended != IDLE;
            g.l.moves[i].pair = -1;
        }
        learn_all(g, before);
        set_schedules(g, share_done(g));
    }
    for (ptrdiff_t i = 0; i < g.l.n_copies; i++) {
        Place& place = g.l.places[i];
        if (place.state != begins[i]) place = {begins[i], -1};
        if (place.pair < 0) place.pair = chosen(g, i, place.state);
        actions[i] = place.pair - place.state * g.w.n_actions;
    }
    return g.l.done[1] - before;
}
}  // namespace skml_episodes
