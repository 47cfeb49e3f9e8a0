// Pruned assignment of one block of rows: who can be shown to keep its centre is not looked at.
//
// Bounds are kept on distances, not squares, and carry their own rounding: an upper bound is the true
// distance times at least (1 + g), a lower bound at most (1 - g), where g covers the rounding of one computed
// distance. Hence upper < lower proves that the *computed* squares compare the same way, strictly, and the
// label is Lloyd's, ties included. `slack` is 2g; TINY covers squares that underflow.
#pragma once
#include "kmeans_scans.hpp"

namespace skml_kmeans {

template <class T> struct Problem {  // the current centres, and how they moved
    const T* centers = nullptr; ptrdiff_t k = 0, d = 0;
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

constexpr int PASS = 256;  // rows that a pass of bounds takes at a time: those in doubt among them fill whole tiles

// Move the bounds of all rows of a block with the centres; list those whose bounds cross. No branch, so it vectorises.
template <class T>
static inline int moved_bounds(const Problem<T>& p, ptrdiff_t rows, const int32_t* __restrict labels, T* __restrict upper,
                               T* __restrict lower, int* __restrict list) {
    const T* __restrict drift = p.drift; const T* __restrict half = p.half;
    const T first = p.drift_first, second = p.drift_second;
    const int32_t owner = p.drift_owner;
    int32_t doubt[PASS];
    for (ptrdiff_t r = 0; r < rows; r++) {
        const int32_t a = labels[r];
        const T u = raised(upper[r], drift[a]), l = lowered(lower[r], a == owner ? second : first);
        upper[r] = u; lower[r] = l;
        doubt[r] = !(u < (l > half[a] ? l : half[a]));
    }
    int n = 0;
    for (int r = 0; r < rows; r++) { list[n] = r; n += doubt[r]; }
    return n;
}

// The same, then keep those whose bounds still cross with the exact distance to their own centre.
template <class T, bool M>
static inline int crossing(const Problem<T>& p, const T* X, ptrdiff_t rows, const int32_t* labels, T* upper, T* lower,
                           int* list) {
    const T* xs[PASS]; const T* cs[PASS]; T D[PASS];
    const int n = moved_bounds(p, rows, labels, upper, lower, list);
    for (int i = 0; i < n; i++) {
        xs[i] = X + list[i] * p.d; cs[i] = p.centers + labels[list[i]] * p.d;
        __builtin_prefetch(xs[i]);  // scattered rows come late: ask for all before the first is needed
    }
    pair_list<T, M>(xs, cs, n, p.d, D);
    int left = 0;
    for (int i = 0; i < n; i++) {
        const int r = list[i];
        const T u = above(D[i], p.slack), h = p.half[labels[r]];
        upper[r] = u;
        list[left] = r;
        left += !(u < (lower[r] > h ? lower[r] : h));
    }
    return left;
}

// Scan all centres for the listed rows, and set their bounds.
template <class T, bool M>
static inline void scan_listed(const Problem<T>& p, const T* X, const int* list, int n, int32_t* labels, T* upper, T* lower) {
    const T* xs[PASS]; Nearest<T> best[PASS];
    for (int i = 0; i < n; i++) xs[i] = X + list[i] * p.d;
    scan_rows<T, M>(xs, n, p.centers, p.k, p.d, best);
    for (int i = 0; i < n; i++) {
        const int r = list[i];
        labels[r] = best[i].label; upper[r] = above(best[i].first, p.slack); lower[r] = below(best[i].second, p.slack);
    }
}

// Hamerly (2010): one lower bound per row, on all centres but its own.
template <class T, bool M>
static inline void hamerly_block(const Problem<T>& p, const T* X, ptrdiff_t rows, int32_t* labels, T* upper, T* lower) {
    int list[PASS + 1];
    const int n = crossing<T, M>(p, X, rows, labels, upper, lower, list);
    scan_listed<T, M>(p, X, list, n, labels, upper, lower);
}

// The first pass of every pruned algorithm: scan all, set the bounds.
template <class T, bool M>
static inline void first_block(const Problem<T>& p, const T* X, ptrdiff_t rows, int32_t* labels, T* upper, T* lower) {
    int list[PASS];
    for (int r = 0; r < rows; r++) list[r] = r;
    scan_listed<T, M>(p, X, list, (int)rows, labels, upper, lower);
}

// Exponion (Newling & Fleuret 2016): a row whose bounds cross looks only at centres within 2u + 2 half of its
// own. Per centre, `order` (k x k) holds all centres by distance, `apart` (k x k) these distances, rounded down,
// and `around` (k x d x kp, narrow rows only) their coordinates, feature by feature. Needs true distances (nothing missing).
template <class T> struct Rings { const int32_t* order = nullptr; const T* apart = nullptr; const T* around = nullptr; ptrdiff_t kp = 0; };

template <class T>
static inline void exponion_row(const Problem<T>& p, const Rings<T>& g, const T* x, ptrdiff_t a, T radius, Nearest<T>& best) {
    const T* apart = g.apart + a * p.k;
    const int32_t* order = g.order + a * p.k;
    if (g.around) {
        constexpr ptrdiff_t n = Lanes<T>::n;
        ptrdiff_t reach = n;
        while (reach < p.k && apart[reach] <= radius) reach += n;
        packed_scan(x, g.around + a * p.d * g.kp, g.kp, reach, p.d, best);
        // by distance from a, ties would not go to the lowest index
        if (best.first == best.second) scan_rows<T, false>(&x, 1, p.centers, p.k, p.d, &best);
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
    int list[PASS + 1];
    const int n = crossing<T, false>(p, X, rows, labels, upper, lower, list);
    for (int i = 0; i < n; i++) {
        const int r = list[i]; const ptrdiff_t a = labels[r];
        const T radius = (2 * upper[r] + 2 * p.half[a] * (1 + 2 * p.slack) + 4 * tiny<T>()) * (1 + 2 * p.slack);
        Nearest<T> best;
        exponion_row(p, g, X + r * p.d, a, radius, best);
        labels[r] = best.label; upper[r] = above(best.first, p.slack); lower[r] = below(best.second, p.slack);
    }
}

// ---- what the Cython entries call: block number b of the rows

template <class T> struct Rows { const T* X = nullptr; ptrdiff_t n = 0; int32_t* labels = nullptr; T* upper = nullptr; T* lower = nullptr; bool missing = false; };

template <class T> static inline ptrdiff_t rows_from(const Rows<T>& rows, ptrdiff_t start, ptrdiff_t size) {
    return rows.n - start < size ? rows.n - start : size;
}

// Plain nearest centre; `upper` receives the squared distance.
template <class T> static inline void nearest_at(const Problem<T>& p, const Rows<T>& s, ptrdiff_t b) {
    const T* xs[BLOCK]; Nearest<T> best[BLOCK];
    const ptrdiff_t o = b * BLOCK, m = rows_from(s, o, BLOCK);
    for (ptrdiff_t r = 0; r < m; r++) xs[r] = s.X + (o + r) * p.d;
    if (s.missing) scan_rows<T, true>(xs, m, p.centers, p.k, p.d, best);
    else scan_rows<T, false>(xs, m, p.centers, p.k, p.d, best);
    for (ptrdiff_t r = 0; r < m; r++) { s.labels[o + r] = best[r].label; s.upper[o + r] = best[r].first; }
}

#define SKML_BLOCK s.X + o * p.d, rows_from(s, o, PASS), s.labels + o, s.upper + o, s.lower + o
template <class T> static inline void first_at(const Problem<T>& p, const Rows<T>& s, ptrdiff_t b) {
    const ptrdiff_t o = b * PASS;
    if (s.missing) first_block<T, true>(p, SKML_BLOCK); else first_block<T, false>(p, SKML_BLOCK);
}
template <class T> static inline void hamerly_at(const Problem<T>& p, const Rows<T>& s, ptrdiff_t b) {
    const ptrdiff_t o = b * PASS;
    if (s.missing) hamerly_block<T, true>(p, SKML_BLOCK); else hamerly_block<T, false>(p, SKML_BLOCK);
}
template <class T> static inline void exponion_at(const Problem<T>& p, const Rings<T>& g, const Rows<T>& s, ptrdiff_t b) {
    const ptrdiff_t o = b * PASS;
    exponion_block<T>(p, g, SKML_BLOCK);
}

// |x_i - centre[labels[i]]|^2, and all distances of a row.
template <class T> static inline void own_at(const Problem<T>& p, const Rows<T>& s, ptrdiff_t b) {
    const T* xs[BLOCK]; const T* cs[BLOCK];
    const ptrdiff_t o = b * BLOCK, m = rows_from(s, o, BLOCK);
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
