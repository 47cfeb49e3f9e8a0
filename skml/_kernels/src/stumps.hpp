// The best split of a node by weighted gini. Rows are binned (at most 255 values, and one bin for missing ones).
// Where splits inside bins are asked for as well, a bin is looked into only if a bound says that it may hold the best.
// Of a feature most of whose entries lie in one bin only the others are counted: that bin holds what they leave.
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
    const int32_t* rare;     // rows outside each feature's most common bin, increasing, feature by feature
    const int64_t* starts;   // (p + 1,): where each feature's start
    const int32_t* common;   // (p,): that bin, or -1 for a feature that is counted whole
    const int32_t* whole;    // (n_whole,): the features that are counted whole
    ptrdiff_t n, m, p, K, n_whole;
    double all, tolerance;
    double* sums;            // (p, K, BINS): weights per bin, then of all bins up to it
    double* spare;           // (p, K)
    int* broken;             // out: set where `order` points outside
};

// The weight per class and bin, of several features at once: additions to one histogram would wait for each other.
template <class T, int F> static inline void count(const Search<T>& s, const int32_t* features) {
    const uint8_t* codes[F];
    double* sums[F];
    for (int f = 0; f < F; f++) {
        codes[f] = s.codes + features[f] * s.n;
        sums[f] = s.sums + features[f] * s.K * BINS;
        std::fill(sums[f], sums[f] + s.K * BINS, 0.0);
    }
    for (ptrdiff_t q = 0; q < s.m; q++) {
        const ptrdiff_t i = s.rows ? s.rows[q] : q, base = (ptrdiff_t)s.y[i] * BINS;
        const double w = s.weights[i];
        for (int f = 0; f < F; f++) sums[f][base + codes[f][i]] += w;
    }
}

template <class T> static inline void count_rare(const Search<T>& s, ptrdiff_t feature) {
    const uint8_t* codes = s.codes + feature * s.n;
    double* sums = s.sums + feature * s.K * BINS;
    std::fill(sums, sums + s.K * BINS, 0.0);
    for (int64_t q = s.starts[feature]; q < s.starts[feature + 1]; q++) {
        const int32_t i = s.rare[q];
        sums[(ptrdiff_t)s.y[i] * BINS + codes[i]] += s.weights[i];
    }
    for (ptrdiff_t k = 0; k < s.K; k++) {
        double *p = sums + k * BINS, others = 0;
        p[s.common[feature]] = 0;
        for (ptrdiff_t b = 0; b < BINS; b++) others += p[b];
        p[s.common[feature]] = std::max(s.totals[k] - others, 0.0);
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

template <class T> static inline double score_of(const Search<T>& s, ptrdiff_t feature) {
    if (s.n_bins[feature] == 0) return -std::numeric_limits<double>::infinity();
    accumulate(s, feature);
    return best_edge(s, feature);
}

// Count several features, and write the best score of each among splits after bins.
template <class T> static inline void count_group(const Search<T>& s, ptrdiff_t group, double* best) {
    const ptrdiff_t first = 4 * group, last = std::min(first + 4, s.n_whole);
    if (last - first == 4) count<T, 4>(s, s.whole + first);
    else for (ptrdiff_t f = first; f < last; f++) count<T, 1>(s, s.whole + f);
    for (ptrdiff_t f = first; f < last; f++) best[s.whole[f]] = score_of(s, s.whole[f]);
}

template <class T> static inline void count_one(const Search<T>& s, ptrdiff_t feature, double* best) {
    if (s.common[feature] < 0 || s.rows) return;
    count_rare(s, feature);
    best[feature] = score_of(s, feature);
}

struct Split {
    double score;
    int64_t bin, position, missing_left;
};

// Some rows of a bin, by value, and the weight in each class that is left of them.
template <class T> struct Part {
    static const ptrdiff_t SIZE = 128;
    ptrdiff_t n;
    int32_t at[SIZE], y[SIZE];
    T x[SIZE];
    double w[SIZE], left[SIZE], squares[SIZE], rest[SIZE], score[2][SIZE];
};

// Take rows that are the node's; returns where to go on, or -1 if `order` points outside.
template <class T> static inline ptrdiff_t take(const Search<T>& s, ptrdiff_t feature, ptrdiff_t q, ptrdiff_t end,
                                                Part<T>& part) {
    const int32_t* order = s.order + feature * s.n;
    const T* x = s.X + feature * s.n;
    part.n = 0;
    for (; q < end && part.n < Part<T>::SIZE; q++) {
        const int32_t i = order[q];
        if (i < 0 || i >= s.n) return -1;
        if (s.inside && !s.inside[i]) continue;
        part.at[part.n] = (int32_t)q, part.x[part.n] = x[i], part.w[part.n] = s.weights[i], part.y[part.n] = s.y[i];
        part.n++;
    }
    return q;
}

// The score of a split before each row of a part; `left` holds the weight per class before the first of them.
template <class T> static inline void score_part(const Search<T>& s, Part<T>& part, const double* left,
                                                 const double* missing, double* score) {
    double before[Part<T>::SIZE];
    const ptrdiff_t n = part.n;
    std::fill(part.left, part.left + n, 0.0), std::fill(part.squares, part.squares + n, 0.0);
    std::fill(part.rest, part.rest + n, 0.0);
    for (ptrdiff_t k = 0; k < s.K; k++) {
        const double add = missing ? missing[k * BINS] : 0.0, total = s.totals[k];
        double run = left[k];
        for (ptrdiff_t j = 0; j < n; j++) before[j] = run, run += part.y[j] == k ? part.w[j] : 0.0;
        for (ptrdiff_t j = 0; j < n; j++) {
            const double a = before[j] + add, b = std::max(total - a, 0.0);
            part.left[j] += a, part.squares[j] += a * a, part.rest[j] += b * b;
        }
    }
    const double none = -std::numeric_limits<double>::infinity();
    for (ptrdiff_t j = 0; j < n; j++) {
        const double l = part.left[j], r = s.all - l, value = part.squares[j] / l + part.rest[j] / r;
        score[j] = (l > 0) & (r > 0) ? value : none;
    }
}

// The first split inside a bin whose score reaches the target, or else the best one.
template <class T>
static inline Split look_inside(const Search<T>& s, ptrdiff_t feature, ptrdiff_t bin, double target, bool missing) {
    const int32_t *order = s.order + feature * s.n, *offsets = s.offsets + feature * BINS;
    const ptrdiff_t end = offsets[bin + 1];
    const T* x = s.X + feature * s.n;
    const double* sums = s.sums + feature * s.K * BINS;
    double* left = s.spare + feature * s.K;
    Split found = {-std::numeric_limits<double>::infinity(), (int64_t)bin, -1, 0};
    const int32_t first = order[offsets[bin]], last = order[end - 1];
    if (first < 0 || first >= s.n || last < 0 || last >= s.n) { *s.broken = 1; return found; }
    if (x[first] == x[last]) return found;
    for (ptrdiff_t k = 0; k < s.K; k++) left[k] = bin ? sums[k * BINS + bin - 1] : 0.0;
    Part<T> part;
    T previous = std::numeric_limits<T>::quiet_NaN();  // differs from any: no split before the bin's first row
    for (ptrdiff_t q = offsets[bin]; q < end;) {
        q = take(s, feature, q, end, part);
        if (q < 0) { *s.broken = 1; return found; }
        for (int way = 0; way < (missing ? 2 : 1); way++)
            score_part(s, part, left, way ? sums + MISSING : nullptr, part.score[way]);
        for (ptrdiff_t j = 0; j < part.n; j++) {
            const bool between = previous < part.x[j];
            previous = part.x[j];
            for (int way = 0; between && way < (missing ? 2 : 1); way++)
                if (part.score[way][j] > found.score) {
                    found = {part.score[way][j], (int64_t)bin, part.at[j], way};
                    if (found.score >= target) return found;
                }
            left[part.y[j]] += part.w[j];
        }
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

typedef double Eight __attribute__((vector_size(64), aligned(8), may_alias));
typedef int64_t EightLong __attribute__((vector_size(64)));
typedef int32_t EightInt __attribute__((vector_size(32), aligned(4), may_alias));
typedef uint8_t EightByte __attribute__((vector_size(8), aligned(1), may_alias));

// The weight per side and class, of several rows at a time: additions to one sum would wait for each other.
static inline void add_two_classes(const int32_t* y, const double* weights, const uint8_t* left, ptrdiff_t n,
                                   double* sums) {
    Eight parts[4] = {};
    ptrdiff_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const EightLong one = __builtin_convertvector(*(const EightInt*)(y + i), EightLong);
        const EightLong on_left = __builtin_convertvector(*(const EightByte*)(left + i), EightLong) != 0;
        const Eight w = *(const Eight*)(weights + i), none = {};
        const Eight first = one == 0 ? w : none, second = one == 0 ? none : w;
        parts[0] += on_left ? first : none, parts[1] += on_left ? second : none;
        parts[2] += on_left ? none : first, parts[3] += on_left ? none : second;
    }
    for (; i < n; i++) parts[(left[i] ? 0 : 2) + y[i]][i & 7] += weights[i];
    for (int c = 0; c < 4; c++) {
        const Eight p = parts[c];
        sums[c] = ((p[0] + p[1]) + (p[2] + p[3])) + ((p[4] + p[5]) + (p[6] + p[7]));
    }
}

static inline void add_sides(const int32_t* y, const double* weights, const uint8_t* left, ptrdiff_t n, ptrdiff_t K,
                             double* parts, double* sums) {  // parts: (4, 2, K), zero
    if (K == 2) return add_two_classes(y, weights, left, n, sums);
    for (ptrdiff_t i = 0; i < n; i++) parts[(i & 3) * 2 * K + (left[i] ? 0 : K) + y[i]] += weights[i];
    for (ptrdiff_t k = 0; k < 2 * K; k++)
        sums[k] = (parts[k] + parts[2 * K + k]) + (parts[4 * K + k] + parts[6 * K + k]);
}
}  // namespace skml_stumps
