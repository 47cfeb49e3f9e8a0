// Pruned assignment with many lower bounds per row: one per group of centres, or one per centre.
#pragma once
#include "kmeans_bounds.hpp"

namespace skml_kmeans {

// Groups of centres (Ding et al. 2015, Yinyang; one centre per group is Elkan 2003). `floor` (rows x t) holds a
// lower bound per group plus the group's `fallen`, the sum of its largest drifts when the bound was set: so a
// bound moves with the centres without being rewritten.
template <class T> struct Groups { const int32_t* members = nullptr; const int32_t* starts = nullptr; const int32_t* group_of = nullptr; const T* fallen = nullptr; ptrdiff_t t = 0; };

template <class T> static inline T standing(T floor, T fallen) {
    T v = floor - fallen - 4 * std::numeric_limits<T>::epsilon() * floor;
    return v > 0 ? v : 0;
}

template <class T, bool M>
static inline void group_row(const Problem<T>& p, const Groups<T>& g, const T* x, int32_t* label, T* upper, T* lower, T* floor) {
    const T* xs[8]; const T* cs[8]; T D[8];
    const int32_t a = *label;
    T u = *upper, least = std::numeric_limits<T>::infinity();
    Nearest<T> best;
    const T* own = p.centers + (ptrdiff_t)a * p.d;
    T own_square; pair_list<T, M>(&x, &own, 1, p.d, &own_square);
    best.first = own_square; best.label = a;
    for (ptrdiff_t h = 0; h < g.t; h++) {
        T bound = standing(floor[h], g.fallen[h]);
        if (u < bound) continue;
        // within the group: the two smallest, so that the loser's bound is known whoever wins
        Nearest<T> in; in.label = std::numeric_limits<int32_t>::max();
        for (int32_t q = g.starts[h]; q < g.starts[h + 1];) {
            int m = 0;
            for (; m < 8 && q < g.starts[h + 1]; q++)
                if (g.members[q] != a) { xs[m] = x; cs[m] = p.centers + (ptrdiff_t)g.members[q] * p.d; m++; }
            pair_list<T, M>(xs, cs, m, p.d, D);
            for (int b = 0; b < m; b++) in.see(D[b], (int32_t)((cs[b] - p.centers) / p.d));
        }
        if (best.label != a && g.group_of[a] == h) in.see(own_square, a);
        if (in.first < best.first || (in.first == best.first && in.label < best.label)) {
            // the old best becomes a loser of its own group
            int32_t old = g.group_of[best.label];
            T fell = below(best.first, p.slack) + g.fallen[old];
            if (old == h) { T other = in.second < best.first ? in.second : best.first; floor[h] = below(other, p.slack) + g.fallen[h]; }
            else {
                if (fell < floor[old]) floor[old] = fell;
                floor[h] = below(in.second, p.slack) + g.fallen[h];
            }
            best.first = in.first; best.label = in.label;
            u = above(best.first, p.slack);
        } else {
            floor[h] = below(in.first, p.slack) + g.fallen[h];
        }
    }
    for (ptrdiff_t h = 0; h < g.t; h++) { T b = standing(floor[h], g.fallen[h]); least = b < least ? b : least; }
    *label = best.label; *upper = u; *lower = least;
}

template <class T, bool M>
static inline void group_block(const Problem<T>& p, const Groups<T>& g, const T* X, ptrdiff_t rows, int32_t* labels,
                               T* upper, T* lower, T* floor) {
    int list[PASS + 1];
    int n = crossing<T, M>(p, X, rows, labels, upper, lower, list);
    for (int i = 0; i < n; i++) {
        int r = list[i];
        group_row<T, M>(p, g, X + r * p.d, labels + r, upper + r, lower + r, floor + r * g.t);
    }
}

// Elkan (2003): a bound per row and centre, the own one included. Where a bound doesn't settle it, a sketch may:
// rows and centres turned into a few leading directions plus the length of the rest can only come closer, so their
// distance, less `margin` times their lengths for rounding, is a lower bound as well; it costs a fraction.
template <class T> struct Sketch {
    const T* rows = nullptr; const T* centers = nullptr; const T* row_reach = nullptr; const T* center_reach = nullptr;
    const T* fallen = nullptr; ptrdiff_t m = 0;
};

// The least standing bound on any centre but the own one.
template <class T>
static inline T least_floor(const Sketch<T>& k, T* floor, ptrdiff_t n, int32_t own) {
    typedef Vec<T> V;
    constexpr int L = Lanes<T>::n;
    constexpr T INF = std::numeric_limits<T>::infinity(), EPS = 4 * std::numeric_limits<T>::epsilon();
    const T kept = floor[own];
    floor[own] = INF;
    V least = V{} + INF;
    ptrdiff_t j = 0;
    for (; j + L <= n; j += L) {
        const V f = load<V>(floor + j), v = f - load<V>(k.fallen + j) - EPS * f;
        least = v < least ? v : least;  // infinity less infinity is NaN, and never less
    }
    T r = INF;
    for (int l = 0; l < L; l++) r = least[l] < r ? least[l] : r;
    for (; j < n; j++) { const T v = floor[j] - k.fallen[j] - EPS * floor[j]; r = v < r ? v : r; }
    floor[own] = kept;
    return r > 0 ? r : 0;
}

// Sketched bounds closer than this would have to be renewed at every pass: the true distance is worth having.
constexpr float AHEAD = 1.03f;

template <class T>
static inline int sketch_filter(const Problem<T>& p, const Sketch<T>& k, ptrdiff_t i, T u, T* floor, int32_t* list, int n) {
    const T* xs[4]; const T* cs[4]; T D[4];
    int left = 0;
    for (int b = 0; b < n; b += 4) {
        for (int q = 0; q < 4; q++) { xs[q] = k.rows + i * k.m; cs[q] = k.centers + (ptrdiff_t)list[b + q < n ? b + q : n - 1] * k.m; }
        wide_pairs<T, false, 4>(xs, cs, k.m, D);
        for (int q = 0; q < 4 && b + q < n; q++) {
            const int32_t j = list[b + q];
            const T bound = below(D[q], p.slack) - k.row_reach[i] - k.center_reach[j];
            if (u * AHEAD < bound) floor[j] = bound + k.fallen[j];
            else list[left++] = j;
        }
    }
    return left;
}

template <class T, bool M>
static inline void elkan_row(const Problem<T>& p, const Sketch<T>& k, const T* x, ptrdiff_t i, int32_t* label, T* upper, T* lower, T* floor) {
    constexpr int STRIP = 256;
    int32_t list[STRIP + 4];
    const T* xs[4]; const T* cs[4]; T D[4];
    T u = *upper;
    Nearest<T> best;
    best.label = *label; xs[0] = x; cs[0] = p.centers + (ptrdiff_t)best.label * p.d;
    pair_list<T, M>(xs, cs, 1, p.d, &best.first);
    u = above(best.first, p.slack);
    floor[best.label] = below(best.first, p.slack) + k.fallen[best.label];
    for (ptrdiff_t start = 0; start < p.k; start += STRIP) {
        const int32_t end = (int32_t)(p.k - start < STRIP ? p.k : start + STRIP);
        int n = 0;
        for (int32_t j = (int32_t)start; j < end; j++) { list[n] = j; n += !(u < standing(floor[j], k.fallen[j])) && j != best.label; }
        if (k.m) n = sketch_filter(p, k, i, u, floor, list, n);
        for (int b = 0; b < n;) {
            int m = 0;
            int32_t js[4];
            for (; b < n && m < 4; b++)
                if (!(u < standing(floor[list[b]], k.fallen[list[b]]))) { js[m] = list[b]; xs[m] = x; cs[m] = p.centers + (ptrdiff_t)js[m] * p.d; m++; }
            pair_list<T, M>(xs, cs, m, p.d, D);
            for (int q = 0; q < m; q++) {
                floor[js[q]] = below(D[q], p.slack) + k.fallen[js[q]];
                if (D[q] < best.first || (D[q] == best.first && js[q] < best.label)) { best.first = D[q]; best.label = js[q]; u = above(D[q], p.slack); }
            }
        }
    }
    *label = best.label; *upper = u; *lower = least_floor(k, floor, p.k, best.label);
}

template <class T, bool M>
static inline void elkan_block(const Problem<T>& p, const Sketch<T>& k, const T* X, ptrdiff_t rows, int32_t* labels, T* upper,
                               T* lower, T* floor, ptrdiff_t first) {
    for (ptrdiff_t r = 0; r < rows; r++) {
        const int32_t a = labels[r];
        const T h = p.half[a];
        upper[r] = raised(upper[r], p.drift[a]);
        lower[r] = lowered(lower[r], a == p.drift_owner ? p.drift_second : p.drift_first);
        if (upper[r] < (lower[r] > h ? lower[r] : h)) continue;
        T* bounds = floor + r * p.k;
        lower[r] = least_floor(k, bounds, p.k, a);
        if (upper[r] < lower[r]) continue;  // before the row itself is touched
        elkan_row<T, M>(p, k, X + r * p.d, first + r, labels + r, upper + r, lower + r, bounds);
    }
}

// ---- what the Cython entries call: block number b of the rows

template <class T> static inline void elkan_at(const Problem<T>& p, const Sketch<T>& k, const Rows<T>& s, T* floor, ptrdiff_t b) {
    const ptrdiff_t o = b * PASS;
    if (s.missing) elkan_block<T, true>(p, k, SKML_BLOCK, floor + o * p.k, o); else elkan_block<T, false>(p, k, SKML_BLOCK, floor + o * p.k, o);
}
template <class T> static inline void group_at(const Problem<T>& p, const Groups<T>& g, const Rows<T>& s, T* floor, ptrdiff_t b) {
    const ptrdiff_t o = b * PASS;
    if (s.missing) group_block<T, true>(p, g, SKML_BLOCK, floor + o * g.t); else group_block<T, false>(p, g, SKML_BLOCK, floor + o * g.t);
}
#undef SKML_BLOCK
}  // namespace skml_kmeans
