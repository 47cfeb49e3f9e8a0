// Pruned assignment of one block of rows: who can be shown to keep its centre is not looked at.
//
// Bounds are kept on distances, not squares, and carry their own rounding: an upper bound is the true
// distance times at least (1 + g), a lower bound at most (1 - g), where g covers the rounding of one computed
// distance. Hence upper < lower proves that the *computed* squares compare the same way, strictly, and the
// label is Lloyd's, ties included. `slack` is 2g; TINY covers squares that underflow.
#pragma once
#include "kmeans_pairs.hpp"

namespace skml_kmeans {

template <class T> struct Problem {  // the current centres, in the layouts the scans want
    const T* centers = nullptr; const T* packed = nullptr; ptrdiff_t k = 0, kp = 0, d = 0;
    const T* drift = nullptr;      // k: how far each centre moved since the last pass, rounded up
    const T* half = nullptr;       // k: half the distance to the nearest other centre, rounded down; zeros if unknown
    T slack = 0;
    T drift_first = 0, drift_second = 0; int32_t drift_owner = -1;  // the largest two drifts, and whose the first is
};

template <class T> static inline T tiny() { return std::sqrt(std::numeric_limits<T>::min()); }
template <class T> static inline T above(T square, T slack) { return std::sqrt(square) * (1 + slack) + tiny<T>(); }
template <class T> static inline T below(T square, T slack) {
    T v = std::sqrt(square) * (1 - slack) - tiny<T>();
    return v > 0 ? v : 0;
}
template <class T> static inline T raised(T upper, T drift) { return (upper + drift) * (1 + 2 * std::numeric_limits<T>::epsilon()); }
template <class T> static inline T lowered(T lower, T drift) {
    T v = (lower - drift) * (1 - 2 * std::numeric_limits<T>::epsilon());
    return v > 0 ? v : 0;
}

// Move the bounds of all rows of a block with the centres; list those whose bounds cross, then those that
// still cross with the exact distance to their own centre.
template <class T, bool M>
static inline int crossing(const Problem<T>& p, const T* X, ptrdiff_t rows, const int32_t* labels, T* upper, T* lower,
                           int* list) {
    const T* xs[BLOCK]; const T* cs[BLOCK]; T D[BLOCK];
    int n = 0, left = 0;
    for (int r = 0; r < rows; r++) {
        int32_t a = labels[r];
        T u = raised(upper[r], p.drift[a]);
        T l = lowered(lower[r], a == p.drift_owner ? p.drift_second : p.drift_first);
        upper[r] = u; lower[r] = l;
        T m = l > p.half[a] ? l : p.half[a];
        list[n] = r;
        n += !(u < m);
    }
    for (int i = 0; i < n; i++) { xs[i] = X + list[i] * p.d; cs[i] = p.centers + labels[list[i]] * p.d; }
    pair_list<T, M>(xs, cs, n, p.d, D);
    for (int i = 0; i < n; i++) {
        int r = list[i];
        T u = above(D[i], p.slack), h = p.half[labels[r]];
        upper[r] = u;
        list[left] = r;
        left += !(u < (lower[r] > h ? lower[r] : h));
    }
    return left;
}

// Hamerly (2010): one lower bound per row, on all centres but its own.
template <class T, bool M>
static inline void hamerly_block(const Problem<T>& p, const T* X, ptrdiff_t rows, int32_t* labels, T* upper, T* lower) {
    int list[BLOCK + 1]; const T* xs[BLOCK]; Nearest<T> best[BLOCK];
    int n = crossing<T, M>(p, X, rows, labels, upper, lower, list);
    for (int i = 0; i < n; i++) xs[i] = X + list[i] * p.d;
    scan_rows<T, M>(xs, n, p.centers, p.packed, p.k, p.kp, p.d, best);
    for (int i = 0; i < n; i++) {
        int r = list[i];
        labels[r] = best[i].label; upper[r] = above(best[i].first, p.slack); lower[r] = below(best[i].second, p.slack);
    }
}

// The first pass of every pruned algorithm: scan all, set the bounds.
template <class T, bool M>
static inline void first_block(const Problem<T>& p, const T* X, ptrdiff_t rows, int32_t* labels, T* upper, T* lower) {
    const T* xs[BLOCK]; Nearest<T> best[BLOCK];
    for (int r = 0; r < rows; r++) xs[r] = X + r * p.d;
    scan_rows<T, M>(xs, rows, p.centers, p.packed, p.k, p.kp, p.d, best);
    for (int r = 0; r < rows; r++) {
        labels[r] = best[r].label; upper[r] = above(best[r].first, p.slack); lower[r] = below(best[r].second, p.slack);
    }
}

// Exponion (Newling & Fleuret 2016): a row whose bounds cross looks only at centres within 2u + 2 half of its
// own. Per centre, `order` (k x k) holds all centres by distance, `apart` (k x k) these distances, rounded down,
// and `around` (k x d x kp, narrow rows only) their coordinates, packed. Needs true distances (nothing missing).
template <class T> struct Rings { const int32_t* order = nullptr; const T* apart = nullptr; const T* around = nullptr; };

template <class T>
static inline void exponion_row(const Problem<T>& p, const Rings<T>& g, const T* x, ptrdiff_t a, T radius, Nearest<T>& best) {
    const T* apart = g.apart + a * p.k;
    const int32_t* order = g.order + a * p.k;
    if (g.around) {
        constexpr ptrdiff_t n = Lanes<T>::n;
        ptrdiff_t reach = n;
        while (reach < p.k && apart[reach] <= radius) reach += n;
        narrow_scan<T, false, 1>(&x, g.around + a * p.d * p.kp, p.kp, reach, p.d, &best);
        // by distance from a, ties would not go to the lowest index
        if (best.first == best.second) narrow_scan<T, false, 1>(&x, p.packed, p.kp, p.kp, p.d, &best);
        else best.label = order[best.label];
        return;
    }
    const T* xs[8]; const T* cs[8]; T D[8];
    for (ptrdiff_t q = 0; q < p.k && apart[q] <= radius;) {
        int m = 0;
        for (; m < 8 && q < p.k && apart[q] <= radius; m++, q++) { xs[m] = x; cs[m] = p.centers + order[q] * p.d; }
        pair_list<T, false>(xs, cs, m, p.d, D);
        for (int b = 0; b < m; b++) best.see(D[b], (int32_t)((cs[b] - p.centers) / p.d));
    }
}

template <class T>
static inline void exponion_block(const Problem<T>& p, const Rings<T>& g, const T* X, ptrdiff_t rows, int32_t* labels, T* upper, T* lower) {
    int list[BLOCK + 1];
    int n = crossing<T, false>(p, X, rows, labels, upper, lower, list);
    for (int i = 0; i < n; i++) {
        const int r = list[i]; const ptrdiff_t a = labels[r];
        const T radius = (2 * upper[r] + 2 * p.half[a] * (1 + 2 * p.slack) + 4 * tiny<T>()) * (1 + 2 * p.slack);
        Nearest<T> best;
        exponion_row(p, g, X + r * p.d, a, radius, best);
        labels[r] = best.label; upper[r] = above(best.first, p.slack); lower[r] = below(best.second, p.slack);
    }
}

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
    int list[BLOCK + 1];
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
    T ahead = 1;  // how far beyond the upper bound a sketch must put a centre for its true distance not to be worth having
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
            if (u * k.ahead < bound) floor[j] = bound + k.fallen[j];
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

template <class T> struct Rows { const T* X = nullptr; ptrdiff_t n = 0; int32_t* labels = nullptr; T* upper = nullptr; T* lower = nullptr; bool missing = false; };

template <class T> static inline ptrdiff_t rows_in(const Rows<T>& rows, ptrdiff_t b) {
    ptrdiff_t left = rows.n - b * BLOCK;
    return left < BLOCK ? left : BLOCK;
}

// Plain nearest centre; `upper` receives the squared distance.
template <class T> static inline void nearest_at(const Problem<T>& p, const Rows<T>& s, ptrdiff_t b) {
    const T* xs[BLOCK]; Nearest<T> best[BLOCK];
    const ptrdiff_t o = b * BLOCK, m = rows_in(s, b);
    for (ptrdiff_t r = 0; r < m; r++) xs[r] = s.X + (o + r) * p.d;
    if (s.missing) scan_rows<T, true>(xs, m, p.centers, p.packed, p.k, p.kp, p.d, best);
    else scan_rows<T, false>(xs, m, p.centers, p.packed, p.k, p.kp, p.d, best);
    for (ptrdiff_t r = 0; r < m; r++) { s.labels[o + r] = best[r].label; s.upper[o + r] = best[r].first; }
}

#define SKML_BLOCK s.X + o * p.d, rows_in(s, b), s.labels + o, s.upper + o, s.lower + o
template <class T> static inline void first_at(const Problem<T>& p, const Rows<T>& s, ptrdiff_t b) {
    const ptrdiff_t o = b * BLOCK;
    if (s.missing) first_block<T, true>(p, SKML_BLOCK); else first_block<T, false>(p, SKML_BLOCK);
}
template <class T> static inline void hamerly_at(const Problem<T>& p, const Rows<T>& s, ptrdiff_t b) {
    const ptrdiff_t o = b * BLOCK;
    if (s.missing) hamerly_block<T, true>(p, SKML_BLOCK); else hamerly_block<T, false>(p, SKML_BLOCK);
}
template <class T> static inline void exponion_at(const Problem<T>& p, const Rings<T>& g, const Rows<T>& s, ptrdiff_t b) {
    const ptrdiff_t o = b * BLOCK;
    exponion_block<T>(p, g, SKML_BLOCK);
}
template <class T> static inline void elkan_at(const Problem<T>& p, const Sketch<T>& k, const Rows<T>& s, T* floor, ptrdiff_t b) {
    const ptrdiff_t o = b * BLOCK;
    if (s.missing) elkan_block<T, true>(p, k, SKML_BLOCK, floor + o * p.k, o); else elkan_block<T, false>(p, k, SKML_BLOCK, floor + o * p.k, o);
}
template <class T> static inline void group_at(const Problem<T>& p, const Groups<T>& g, const Rows<T>& s, T* floor, ptrdiff_t b) {
    const ptrdiff_t o = b * BLOCK;
    if (s.missing) group_block<T, true>(p, g, SKML_BLOCK, floor + o * g.t); else group_block<T, false>(p, g, SKML_BLOCK, floor + o * g.t);
}
#undef SKML_BLOCK

// |x_i - centre[labels[i]]|^2, and all distances of a row.
template <class T> static inline void own_at(const Problem<T>& p, const Rows<T>& s, ptrdiff_t b) {
    const T* xs[BLOCK]; const T* cs[BLOCK];
    const ptrdiff_t o = b * BLOCK, m = rows_in(s, b);
    for (ptrdiff_t r = 0; r < m; r++) { xs[r] = s.X + (o + r) * p.d; cs[r] = p.centers + s.labels[o + r] * p.d; }
    if (s.missing) pair_list<T, true>(xs, cs, m, p.d, s.upper + o); else pair_list<T, false>(xs, cs, m, p.d, s.upper + o);
}
template <class T> static inline void all_at(const Problem<T>& p, const Rows<T>& s, T* out, ptrdiff_t i) {
    const T* xs[8]; const T* cs[8];
    for (ptrdiff_t q = 0; q < p.k; q += 8) {
        const ptrdiff_t m = p.k - q < 8 ? p.k - q : 8;
        for (ptrdiff_t c = 0; c < m; c++) { xs[c] = s.X + i * p.d; cs[c] = p.centers + (q + c) * p.d; }
        if (s.missing) pair_list<T, true>(xs, cs, m, p.d, out + i * p.k + q); else pair_list<T, false>(xs, cs, m, p.d, out + i * p.k + q);
    }
}
}  // namespace skml_kmeans
