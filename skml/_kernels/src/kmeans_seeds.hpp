// Order-free seeding: the gain of several candidate centres in one pass.
#pragma once
#include "kmeans_pairs.hpp"

namespace skml_kmeans {

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
