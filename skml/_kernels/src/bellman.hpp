// The Bellman operator of a finite decision process, over sparse rows of outcomes; and a queue of states by error.
#pragma once
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>

namespace skml_bellman {

struct Model {
    const int32_t* firsts;  // the pairs that state s may take: firsts[s] to lasts[s]
    const int32_t* lasts;
    const int32_t* indptr;  // the outcomes of each pair
    const int32_t* indices;
    const double* data;
    const double* rewards;
    double discount;
    int64_t n_states, n_pairs, n_outcomes;
};

// What stands for the value of a state: v, but w for the states low to low + size.
struct Values {
    const double* v;
    const double* w;
    uint64_t low, size;
    double operator[](uint32_t s) const { return (uint64_t(s) - low < size ? w : v)[s]; }
};

struct Plain {
    const double* v;
    double operator[](uint32_t s) const { return v[s]; }
};

struct Best {
    double value;
    int32_t pair;
};

// Sum over an outcome row of p v(s'). Indices are clamped, so that a broken one cannot leave the values;
// `broken` remembers it.
template <class V>
inline double expectation(const Model& m, int64_t pair, const V& values, bool& broken) {
    const uint32_t end = uint32_t(m.n_states);
    int64_t k = m.indptr[pair], last = m.indptr[pair + 1];
    if (k < 0 || k > last || last > m.n_outcomes) {
        broken = true;
        return 0.0;
    }
    auto at = [&](int64_t i) {
        uint32_t s = uint32_t(m.indices[i]);
        broken |= s > end;
        return m.data[i] * values[s > end ? end : s];
    };
    double s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    for (; k + 4 <= last; k += 4) s0 += at(k), s1 += at(k + 1), s2 += at(k + 2), s3 += at(k + 3);
    for (; k < last; ++k) s0 += at(k);
    return (s0 + s1) + (s2 + s3);
}

// max over a of r(s, a) + discount * sum over s' of p(s' | s, a) v(s'); the first pair of several as good.
template <class V>
inline Best backup(const Model& m, int64_t s, const V& values, bool& broken) {
    int64_t first = m.firsts[s], last = m.lasts[s];
    if (first < 0 || first > last || last > m.n_pairs) {
        broken = true;
        last = first;
    }
    if (first == last) return {0.0, -1};
    auto value = [&](int64_t pair) { return m.rewards[pair] + m.discount * expectation(m, pair, values, broken); };
    double best = value(first);
    int64_t taken = first;
    for (int64_t pair = first + 1; pair < last; ++pair) {
        // No branch: a wrong guess would throw away the reads ahead, which are what takes the time.
        double q = value(pair);
        int64_t better = -int64_t(q > best);
        taken ^= (taken ^ pair) & better;
        best = q > best ? q : best;
    }
    return {best, int32_t(taken)};
}

struct Range {
    double low = std::numeric_limits<double>::infinity();
    double high = -std::numeric_limits<double>::infinity();
    void add(double x) {
        low = x < low ? x : low;
        high = x > high ? x : high;
    }
};

struct Block {
    int64_t first, last;  // the states to sweep over
    uint64_t low, size;   // the states whose values are read from w
    bool backward;
};

// Sweep over the states of a block: w(s) = (T v)(s), its pair, and the range of w - v.
template <class V>
inline bool sweep(const Model& m, const double* v, double* w, int32_t* pairs, const V& values, const Block& b,
                  Range& change) {
    bool broken = false;
    int64_t s = b.backward ? b.last - 1 : b.first, step = b.backward ? -1 : 1;
    for (int64_t i = b.first; i < b.last; ++i, s += step) {
        Best best = backup(m, s, values, broken);
        w[s] = best.value;
        pairs[s] = best.pair;
        if (best.pair >= 0) change.add(best.value - v[s]);
    }
    return broken;
}

inline bool sweep_block(const Model& m, const double* v, double* w, int32_t* pairs, bool in_place, const Block& b,
                        double* low, double* high) {
    Range change{*low, *high};
    bool broken = in_place ? sweep(m, v, w, pairs, Values{v, w, b.low, b.size}, b, change)
                           : sweep(m, v, w, pairs, Plain{v}, b, change);
    *low = change.low, *high = change.high;
    return broken;
}

// q(s, a) of the pairs first to last.
inline bool pair_chunk(const Model& m, int64_t first, int64_t last, const double* v, double* q) {
    bool broken = false;
    for (int64_t pair = first; pair < last; ++pair)
        q[pair] = m.rewards[pair] + m.discount * expectation(m, pair, Plain{v}, broken);
    return broken;
}

// A binary heap of all states, the largest priority on top, of equals the lowest state; priorities change in place.
struct Queue {
    double* priority;
    int32_t* heap;
    int32_t* place;
    int64_t n;

    bool before(int32_t a, int32_t b) const {
        return priority[a] > priority[b] || (priority[a] == priority[b] && a < b);
    }
    void put(int64_t i, int32_t s) { heap[i] = s, place[s] = int32_t(i); }
    void rise(int64_t i) {
        int32_t s = heap[i];
        for (; i > 0 && before(s, heap[(i - 1) / 2]); i = (i - 1) / 2) put(i, heap[(i - 1) / 2]);
        put(i, s);
    }
    void sink(int64_t i) {
        int32_t s = heap[i];
        for (int64_t child; (child = 2 * i + 1) < n; i = child) {
            if (child + 1 < n && before(heap[child + 1], heap[child])) ++child;
            if (!before(heap[child], s)) break;
            put(i, heap[child]);
        }
        put(i, s);
    }
    void build() {
        for (int64_t i = 0; i < n; ++i) put(i, int32_t(i));
        for (int64_t i = n / 2 - 1; i >= 0; --i) sink(i);
    }
};

struct Predecessors {
    const int32_t* indptr;
    const int32_t* indices;
    const double* data;  // the largest probability of the step, over the actions
};

// Back up the state of the largest priority until none is above the tolerance, or the work is done; return how many
// backups that took, or -1 if an index was broken.
// A priority bounds the Bellman error of its state: each change adds discount * p * |change| to those before it.
inline int64_t sweep_by_priority(const Model& m, const Predecessors& before, double* v, Queue& queue, double tolerance,
                                 int64_t max_backups, int64_t max_work) {
    int64_t done = 0;
    bool broken = false;
    for (int64_t work = 0; done < max_backups && work < max_work && queue.n > 0; ++done) {
        int32_t s = queue.heap[0];
        if (!(queue.priority[s] > tolerance)) break;
        double value = backup(m, s, Plain{v}, broken).value, change = std::fabs(value - v[s]);
        if (broken) break;
        v[s] = value;
        queue.priority[s] = 0.0;
        queue.sink(0);
        work += 8 + m.indptr[m.lasts[s]] - m.indptr[m.firsts[s]];
        for (int64_t k = before.indptr[s]; k < before.indptr[s + 1]; ++k, work += 4) {
            int32_t earlier = before.indices[k];
            queue.priority[earlier] += m.discount * before.data[k] * change;
            queue.rise(queue.place[earlier]);
        }
    }
    return broken ? -1 : done;
}

}  // namespace skml_bellman
