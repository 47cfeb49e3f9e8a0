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

// Features lo to hi of a row; feature number d is a one, whose sum is the cluster's weight.
template <class T, Entry MODE>
static inline void add_row(const T* __restrict x, ptrdiff_t d, double w, const double* __restrict scale, double fine, ptrdiff_t lo,
                           ptrdiff_t hi, int64_t sign, int64_t* __restrict high, int64_t* __restrict low) {
    const int64_t mask = sign < 0 ? -1 : 0;
    const auto add = [&](double term, ptrdiff_t j) {
        double back, unused;
        const int64_t h = rounded(term, back), l = rounded((term - back) * fine, unused);
        high[j] += (h ^ mask) - mask;
        low[j] += (l ^ mask) - mask;
    };
    const ptrdiff_t end = hi < d ? hi : d;
    for (ptrdiff_t j = lo; j < end; j++) add(entry(x[j], MODE) * w * scale[j], j);
    if (hi > d) add(w * scale[d], d);
}

// Row i goes from cluster before[i] to after[i] (negative: none).
template <class T> struct Moves { const T* X = nullptr; const double* weights = nullptr; const int32_t* before = nullptr; const int32_t* after = nullptr; ptrdiff_t n = 0, d = 0; };

// Whether STRIDE rows from i on are there and stay where they are.
constexpr int STRIDE = 32;
template <class T> static inline bool still(const Moves<T>& m, ptrdiff_t i) {
    if (i + STRIDE > m.n) return false;
    int32_t changes = 0;
    for (int r = 0; r < STRIDE; r++) changes |= m.before[i + r] ^ m.after[i + r];
    return changes == 0;
}

template <class T, Entry MODE>
static inline void move_rows(const Moves<T>& m, const double* scale, double fine, ptrdiff_t lo, ptrdiff_t hi, int part,
                             int parts, int64_t* high, int64_t* low) {
    const ptrdiff_t d = m.d, stride = d + 1;
    for (ptrdiff_t i = 0; i < m.n; i++) {
        if (i % STRIDE == 0 && still(m, i)) { i += STRIDE - 1; continue; }
        const ptrdiff_t from = m.before[i], to = m.after[i];
        if (from == to) continue;
        const double weight = m.weights ? m.weights[i] : 1.0;
        if (weight == 0.0) continue;
        const T* x = m.X + i * d;
        if (to >= 0 && to % parts == part) add_row<T, MODE>(x, d, weight, scale, fine, lo, hi, 1, high + to * stride, low + to * stride);
        if (from >= 0 && from % parts == part) add_row<T, MODE>(x, d, weight, scale, fine, lo, hi, -1, high + from * stride, low + from * stride);
    }
}

template <class T>
static inline void move_share(int mode, const Moves<T>& m, const double* scale, double fine, int share, int shares,
                              int64_t* high, int64_t* low) {
    // wide rows are shared out by features, narrow ones by clusters: nobody writes where another does
    const bool wide = m.d >= 16 * shares;
    const ptrdiff_t all = m.d + 1, lo = wide ? all * share / shares : 0, hi = wide ? all * (share + 1) / shares : all;
    const int part = wide ? 0 : share, parts = wide ? 1 : shares;
    if (mode == 0) move_rows<T, Entry::VALUE>(m, scale, fine, lo, hi, part, parts, high, low);
    else if (mode == 1) move_rows<T, Entry::FILLED>(m, scale, fine, lo, hi, part, parts, high, low);
    else move_rows<T, Entry::SEEN>(m, scale, fine, lo, hi, part, parts, high, low);
}
}  // namespace skml_kmeans
