// The best split of a node by weighted gini. Rows are binned (at most 255 values, and one bin for missing ones).
// Where splits inside bins are asked for as well, a bin is looked into only if a bound says that it may hold the best.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace skml_stumps {

static const ptrdiff_t BINS = 256, MISSING = 255;

template <class T> struct Search {
    const uint8_t* codes;    // (p, n)
    const int32_t* order;    // (p, n) or null: rows by value, missing ones last
    const int32_t* offsets;  // (p, BINS): where each bin starts in `order`; the one after the last ends it
    const int32_t* n_bins;   // (p,)
    const T* X;              // (p, n)
    const double* weights;   // (n,)
    const int32_t* y;        // (n,)
    const int32_t* rows;     // (m,) or null: the node's rows
    const uint8_t* inside;   // (n,) or null: whether a row is the node's
    const double* totals;    // (K,): the node's weight per class
    ptrdiff_t n, m, p, K;
    double all, tolerance;
    double* sums;            // (p, K, BINS): weights per bin, then of all bins up to it
    double* spare;           // (p, K)
    int* broken;             // out: set where `order` points outside
};

// The weight per class and bin, of several features at once: additions to one histogram would wait for each other.
template <class T, int F> static inline void count(const Search<T>& s, ptrdiff_t feature) {
    const uint8_t* codes[F];
    double* sums[F];
    for (int f = 0; f < F; f++) {
        codes[f] = s.codes + (feature + f) * s.n;
        sums[f] = s.sums + (feature + f) * s.K * BINS;
        std::fill(sums[f], sums[f] + s.K * BINS, 0.0);
    }
    for (ptrdiff_t q = 0; q < s.m; q++) {
        const ptrdiff_t i = s.rows ? s.rows[q] : q, base = (ptrdiff_t)s.y[i] * BINS;
        const double w = s.weights[i];
        for (int f = 0; f < F; f++) sums[f][base + codes[f][i]] += w;
    }
}

struct Edges {
    double score[2][BINS], bound[BINS], missing;
};

// Scores of the splits after each bin with missing rows to the right (way 0) or left (1), and a bound per bin.
// Within a bin, weights left of the split go from a to b in each class, and their sum s from that of a to that of b:
// the score, sum of c^2/s + (t-c)^2/(t-s), is convex in each c and in s, so no larger than at the ends taken apart.
template <class T> static inline void evaluate(const Search<T>& s, ptrdiff_t feature, Edges& e, bool bounds) {
    const ptrdiff_t K = s.K, B = s.n_bins[feature];
    const double none = -std::numeric_limits<double>::infinity(), *sums = s.sums + feature * K * BINS;
    double left[BINS + 1], squares[BINS], rest[BINS], at_low[BINS], at_high[BINS], own[BINS], beyond[BINS];
    e.missing = 0;
    for (ptrdiff_t k = 0; k < K; k++) e.missing += sums[k * BINS + MISSING];
    std::fill(e.bound, e.bound + B, none);
    for (int way = 0; way < 2; way++) {
        double* score = e.score[way];
        std::fill(score, score + B, none);
        if (way && !(e.missing > 0)) break;
        std::fill(left, left + B + 1, 0.0), std::fill(squares, squares + B, 0.0), std::fill(rest, rest + B, 0.0);
        for (ptrdiff_t k = 0; k < K; k++) {
            const double add = way ? sums[k * BINS + MISSING] : 0.0, total = s.totals[k];
            left[0] += add;
            for (ptrdiff_t b = 0; b < B; b++) {
                const double l = sums[k * BINS + b] + add, r = std::max(total - l, 0.0);
                left[b + 1] += l, squares[b] += l * l, rest[b] += r * r;
            }
        }
        for (ptrdiff_t b = 0; b < B; b++) {
            const double l = left[b + 1], r = s.all - l;
            const bool known = l > (way ? e.missing : 0.0);  // rows with the value are left of it
            score[b] = known && r > 0 ? squares[b] / l + rest[b] / r : none;
        }
        if (way || !(e.missing > 0)) score[B - 1] = none;  // nothing is right of it
        if (!bounds) continue;
        std::fill(at_low, at_low + B, 0.0), std::fill(at_high, at_high + B, 0.0);
        std::fill(own, own + B, 0.0), std::fill(beyond, beyond + B, 0.0);
        for (ptrdiff_t k = 0; k < K; k++) {
            const double add = way ? sums[k * BINS + MISSING] : 0.0, total = s.totals[k];
            const double* p = sums + k * BINS;
            for (ptrdiff_t b = 0; b < B; b++) {
                const double low = (b ? p[b - 1] : 0.0) + add, high = p[b] + add, far = std::max(total - high, 0.0);
                const double l = left[b], h = left[b + 1], huge = 1e300;
                const double il = l > 0 ? 1 / l : huge, ir = s.all - l > 0 ? 1 / (s.all - l) : huge;
                const double jl = h > 0 ? 1 / h : huge, jr = s.all - h > 0 ? 1 / (s.all - h) : huge;
                const double a = low * low, c = high * high, d = (total - low) * (total - low), g = far * far;
                at_low[b] += std::max(a * il + d * ir, c * il + g * ir);
                at_high[b] += std::max(a * jl + d * jr, c * jl + g * jr);
                own[b] += a * il, beyond[b] += g * jr;
            }
        }
        for (ptrdiff_t b = 0; b < B; b++) {
            // The score is no more than that of three parts, the bin's own rows told apart without an error.
            const double apart = own[b] + beyond[b] + (left[b + 1] - left[b]);
            e.bound[b] = std::max(e.bound[b], std::min(apart, std::max(at_low[b], at_high[b])));
        }
    }
}

template <class T> static inline void accumulate(const Search<T>& s, ptrdiff_t feature) {
    for (ptrdiff_t k = 0; k < s.K; k++) {
        double sum = 0, *p = s.sums + (feature * s.K + k) * BINS;
        for (ptrdiff_t b = 0; b < s.n_bins[feature]; b++) p[b] = sum += p[b];
    }
}

// The best score among splits after bins.
template <class T> static inline double best_edge(const Search<T>& s, ptrdiff_t feature) {
    Edges e;
    evaluate(s, feature, e, false);
    double best = -std::numeric_limits<double>::infinity();
    for (int way = 0; way < 2; way++)
        for (ptrdiff_t b = 0; b < s.n_bins[feature]; b++) best = std::max(best, e.score[way][b]);
    return best;
}

// Count several features, and write the best score of each among splits after bins.
template <class T> static inline void count_group(const Search<T>& s, ptrdiff_t group, double* best) {
    const ptrdiff_t first = 4 * group, last = std::min(first + 4, s.p);
    if (last - first == 4) count<T, 4>(s, first);
    else for (ptrdiff_t f = first; f < last; f++) count<T, 1>(s, f);
    for (ptrdiff_t f = first; f < last; f++) accumulate(s, f), best[f] = best_edge(s, f);
}

struct Split {
    double score;
    int64_t bin, position, missing_left;  // position: how many rows of `order` are left of it; -1 after a whole bin
};

// Look at the splits inside a bin: the best one, or the first that reaches the target.
template <class T>
static inline Split look_inside(const Search<T>& s, ptrdiff_t feature, ptrdiff_t bin, double target, bool missing) {
    const int32_t *order = s.order + feature * s.n, *offsets = s.offsets + feature * BINS;
    const T* x = s.X + feature * s.n;
    const double* sums = s.sums + feature * s.K * BINS;
    Split found = {-std::numeric_limits<double>::infinity(), bin, -1, 0};
    double* left = s.spare + feature * s.K;
    for (ptrdiff_t k = 0; k < s.K; k++) left[k] = bin ? sums[k * BINS + bin - 1] : 0.0;
    ptrdiff_t last = -1;
    for (ptrdiff_t q = offsets[bin]; q < offsets[bin + 1]; q++) {
        const int32_t i = order[q];
        if (i < 0 || i >= s.n) { *s.broken = 1; return found; }
        if (q == offsets[bin]) {
            const int32_t end = order[offsets[bin + 1] - 1];
            if (end >= 0 && end < s.n && x[i] == x[end]) return found;
        }
        if (s.inside && !s.inside[i]) continue;
        if (last >= 0 && x[i] != x[last])
            for (int way = 0; way < (missing ? 2 : 1); way++) {
                double l = 0, l2 = 0, r2 = 0;
                for (ptrdiff_t k = 0; k < s.K; k++) {
                    const double a = left[k] + (way ? sums[k * BINS + MISSING] : 0.0), b = s.totals[k] - a;
                    l += a, l2 += a * a, r2 += b > 0 ? b * b : 0.0;
                }
                if (!(l > 0 && s.all - l > 0)) continue;
                const double score = l2 / l + r2 / (s.all - l);
                if (score > found.score) found = {score, (int64_t)bin, (int64_t)q, way};
                if (score >= target) return {score, (int64_t)bin, (int64_t)q, way};
            }
        left[s.y[i]] += s.weights[i];
        last = i;
    }
    return found;
}

// The best score of a feature, inside bins too; what cannot reach `least` need not be found.
template <class T> static inline double best_inside(const Search<T>& s, ptrdiff_t feature, double known, double least) {
    Edges e;
    evaluate(s, feature, e, true);
    for (ptrdiff_t b = 0; b < s.n_bins[feature]; b++)
        if (e.bound[b] >= std::max(known, least) - s.tolerance) {
            const double inf = std::numeric_limits<double>::infinity();
            known = std::max(known, look_inside(s, feature, b, inf, e.missing > 0).score);
        }
    return known;
}

// The first split of a feature, by threshold, whose score reaches the target.
template <class T> static inline Split first_split(const Search<T>& s, ptrdiff_t feature, double target) {
    Edges e;
    evaluate(s, feature, e, s.order != nullptr);
    for (ptrdiff_t b = 0; b < s.n_bins[feature]; b++) {
        if (s.order && e.bound[b] >= target - s.tolerance) {
            const Split found = look_inside(s, feature, b, target, e.missing > 0);
            if (found.score >= target) return found;
        }
        for (int way = 0; way < 2; way++)
            if (e.score[way][b] >= target) return {e.score[way][b], (int64_t)b, -1, way};
    }
    return {-std::numeric_limits<double>::infinity(), -1, -1, 0};
}

// The weight per side and class, of four rows at a time: additions to one sum would wait for each other. The 8 K parts
// are zeros.
static inline void add_sides(const int32_t* y, const double* weights, const uint8_t* left, ptrdiff_t n, ptrdiff_t K,
                             double* parts, double* sums) {
    for (ptrdiff_t i = 0; i < n; i++) parts[(i & 3) * 2 * K + (left[i] ? 0 : K) + y[i]] += weights[i];
    for (ptrdiff_t k = 0; k < 2 * K; k++)
        sums[k] = (parts[k] + parts[2 * K + k]) + (parts[4 * K + k] + parts[6 * K + k]);
}
}  // namespace skml_stumps
