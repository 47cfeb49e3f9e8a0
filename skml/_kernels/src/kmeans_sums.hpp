// Exact sums of weighted rows per cluster, in fixed point: two 64-bit limbs per (cluster, feature).
//
// Each term is rounded once to a multiple of 1 / (scale * FINE), on its own; integers then add without rounding.
// So a sum depends on its terms only: not on their order, on threads, or on the way the clusters came about.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace skml_kmeans {

enum class Entry { VALUE, FILLED, SEEN };  // x as it is; 0 where it is missing; 1 where it is not missing, else 0

template <class T> static inline double entry(T x, Entry mode) {
    if (mode == Entry::VALUE) return (double)x;
    const bool seen = x == x;
    return mode == Entry::SEEN ? (seen ? 1.0 : 0.0) : (seen ? (double)x : 0.0);
}

// Adding 1.5 * 2^52 leaves the rounded value in the low bits of a double: a conversion that vectorises.
static inline int64_t rounded(double v, double& back) {
    const double magic = 6755399441055744.0;
    double t = v + magic;
    back = t - magic;
    int64_t bits, zero;
    std::memcpy(&bits, &t, 8); std::memcpy(&zero, &magic, 8);
    return bits - zero;
}

template <class T, Entry MODE>
static inline void add_row(const T* x, double w, const double* scale, double fine, ptrdiff_t lo, ptrdiff_t hi,
                           int64_t sign, int64_t* high, int64_t* low) {
    const int64_t mask = sign < 0 ? -1 : 0;
    for (ptrdiff_t j = lo; j < hi; j++) {
        double a = entry(x[j], MODE) * w * scale[j], back, unused;
        int64_t h = rounded(a, back);
        int64_t l = rounded((a - back) * fine, unused);
        high[j] += (h ^ mask) - mask;
        low[j] += (l ^ mask) - mask;
    }
}

// What moves: row rows[i] of X goes from cluster before[i] to after[i] (negative: none).
struct Moves { const int64_t* rows = nullptr; const int32_t* before = nullptr; const int32_t* after = nullptr; ptrdiff_t n = 0; };

template <class T, Entry MODE>
static inline void move_rows(const Moves& m, const T* X, const double* w, ptrdiff_t d, const double* scale, double fine,
                             ptrdiff_t lo, ptrdiff_t hi, int part, int parts, int64_t* high, int64_t* low) {
    for (ptrdiff_t i = 0; i < m.n; i++) {
        const ptrdiff_t from = m.before[i], to = m.after[i];
        const double weight = w ? w[m.rows[i]] : 1.0;
        if (weight == 0.0) continue;
        const T* x = X + m.rows[i] * d;
        if (to >= 0 && to % parts == part) add_row<T, MODE>(x, weight, scale, fine, lo, hi, 1, high + to * d, low + to * d);
        if (from >= 0 && from % parts == part) add_row<T, MODE>(x, weight, scale, fine, lo, hi, -1, high + from * d, low + from * d);
    }
}

template <class T>
static inline void move_share(int mode, const Moves& m, const T* X, const double* w, ptrdiff_t d, const double* scale, double fine,
                              int share, int shares, int64_t* high, int64_t* low) {
    // wide rows are shared out by features, narrow ones by clusters: nobody writes where another does
    const bool wide = d >= 16 * shares;
    const ptrdiff_t lo = wide ? d * share / shares : 0, hi = wide ? d * (share + 1) / shares : d;
    const int part = wide ? 0 : share, parts = wide ? 1 : shares;
    if (mode == 0) move_rows<T, Entry::VALUE>(m, X, w, d, scale, fine, lo, hi, part, parts, high, low);
    else if (mode == 1) move_rows<T, Entry::FILLED>(m, X, w, d, scale, fine, lo, hi, part, parts, high, low);
    else move_rows<T, Entry::SEEN>(m, X, w, d, scale, fine, lo, hi, part, parts, high, low);
}
}  // namespace skml_kmeans
