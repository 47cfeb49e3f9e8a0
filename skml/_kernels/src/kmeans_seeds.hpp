// Order-free seeding: a hash of each row's content, and the gain of several candidate centres in one pass.
#pragma once
#include "kmeans_pairs.hpp"

namespace skml_kmeans {

static inline uint64_t mixed(uint64_t z) {
    z ^= z >> 32; z *= 0xd6e8feb86659fd93ULL;
    z ^= z >> 32; z *= 0xd6e8feb86659fd93ULL;
    return z ^ (z >> 32);
}
// Zero (of either sign) hashes to 0, so that a sparse row and its dense twin have the same hash.
template <class F, class B> static inline uint64_t entry_hash(F x, uint64_t column) {
    if (x == 0) return 0;
    B bits = (B)0x7fc00000;  // one pattern for every NaN
    if (x == x) std::memcpy(&bits, &x, sizeof(B));
    return mixed((uint64_t)bits + (column + 1) * 0x9e3779b97f4a7c15ULL);
}
template <class T> static inline uint64_t entry_key(T x, uint64_t column, bool coarse) {
    if (coarse || sizeof(T) == 4) return entry_hash<float, uint32_t>((float)x, column);
    return entry_hash<double, uint64_t>((double)x, column);
}
template <class T> static inline uint64_t row_hash(const T* x, ptrdiff_t d, bool coarse) {
    uint64_t s = 0;
    if (coarse || sizeof(T) == 4) for (ptrdiff_t j = 0; j < d; j++) s += entry_hash<float, uint32_t>((float)x[j], (uint64_t)j);
    else for (ptrdiff_t j = 0; j < d; j++) s += entry_hash<double, uint64_t>((double)x[j], (uint64_t)j);
    return mixed(s);
}

// closest[i]: squared distance to the nearest centre so far. trial[c * n + i] = min(closest[i], |x_i - candidate_c|^2).
// gain[c] receives the sum of weight * trial in whole units of 1 / unit: integers, so that no order shows.
template <class T, bool M>
static inline void trial_block(const T* X, ptrdiff_t lo, ptrdiff_t hi, ptrdiff_t n, ptrdiff_t d, const double* w, const T* closest,
                               const T* candidates, ptrdiff_t trials, const T* fill, double unit, T* out, int64_t* gain) {
    for (ptrdiff_t i = lo; i < hi; i++) {
        const T* x = X + i * d;
        const bool counts = w[i] > 0;
        const double units = w[i] * unit;
        const T stretch = M ? fill[i] : T(1);
        for (ptrdiff_t c = 0; c < trials;) {
            ptrdiff_t m = trials - c < 4 ? trials - c : 4;
            T D[4];
            if (d <= NARROW) for (ptrdiff_t b = 0; b < m; b++) D[b] = narrow_pair<T, M>(x, candidates + (c + b) * d, d);
            else if (m == 4) wide_tile<T, M, 1, 4>(&x, candidates + c * d, d, d, D);
            else if (m == 3) wide_tile<T, M, 1, 3>(&x, candidates + c * d, d, d, D);
            else if (m == 2) wide_tile<T, M, 1, 2>(&x, candidates + c * d, d, d, D);
            else wide_tile<T, M, 1, 1>(&x, candidates + c * d, d, d, D);
            for (ptrdiff_t b = 0; b < m; b++) {
                T v = D[b] * stretch;
                v = v < closest[i] ? v : closest[i];
                out[(c + b) * n + i] = v;
                if (counts) gain[c + b] += (int64_t)((double)v * units + 0.5);
            }
            c += m;
        }
    }
}

template <class T>
static inline void trial_at(bool missing, const T* X, ptrdiff_t block, ptrdiff_t b, ptrdiff_t n, ptrdiff_t d, const double* w, const T* closest,
                            const T* candidates, ptrdiff_t trials, const T* fill, double unit, T* out, int64_t* gain) {
    const ptrdiff_t lo = b * block, hi = lo + block < n ? lo + block : n;
    if (missing) trial_block<T, true>(X, lo, hi, n, d, w, closest, candidates, trials, fill, unit, out, gain + b * trials);
    else trial_block<T, false>(X, lo, hi, n, d, w, closest, candidates, trials, fill, unit, out, gain + b * trials);
}
}  // namespace skml_kmeans
