// Order-free seeding: the gain of several candidate centres in one pass.
#pragma once
#include "kmeans_scans.hpp"
#include "kmeans_sums.hpp"

namespace skml_kmeans {

// closest[i]: squared distance to the nearest centre so far; fill[i]: what a row with missing entries stretches it by.
template <class T> struct Trials {
    const T* X = nullptr; const double* weights = nullptr; const T* closest = nullptr; const T* candidates = nullptr; const T* fill = nullptr;
    ptrdiff_t n = 0, d = 0, m = 0;  // rows, features, candidates
    double unit = 0;
    T* out = nullptr;  // m x n: min(closest[i], |x_i - candidate|^2)
};

// Squared distances of rows lo to hi to all candidates, narrow: a row per lane.
template <class T, bool M>
static inline void narrow_trials(const Trials<T>& t, ptrdiff_t lo, ptrdiff_t hi) {
    constexpr int n = Lanes<T>::n;
    alignas(VECTOR_BYTES) T turned[NARROW * n];
    for (ptrdiff_t i = lo; i < hi; i += n) {
        const ptrdiff_t rows = hi - i < n ? hi - i : n;
        const T* xs[n];
        for (ptrdiff_t l = 0; l < rows; l++) xs[l] = t.X + (i + l) * t.d;
        turn<T, n>(xs, rows, t.d, turned);
        for (ptrdiff_t c = 0; c < t.m; c++) {
            const T* candidate = t.candidates + c * t.d;
            Vec<T> s{};
            for (ptrdiff_t j = 0; j < t.d; j++) { const Vec<T> g = gap<M>(load<Vec<T>>(turned + j * n), spread(candidate[j])); s = madd(g, g, s); }
            if (rows == n) store(t.out + c * t.n + i, s);
            else for (ptrdiff_t l = 0; l < rows; l++) t.out[c * t.n + i + l] = s[l];
        }
    }
}

// The same, wide.
template <class T, bool M>
static inline void wide_trials(const Trials<T>& t, ptrdiff_t lo, ptrdiff_t hi) {
    for (ptrdiff_t i = lo; i < hi; i++) {
        const T* x = t.X + i * t.d;
        for (ptrdiff_t c = 0; c < t.m; c += 4) {
            const ptrdiff_t m = t.m - c < 4 ? t.m - c : 4;
            const T* some = t.candidates + c * t.d;
            T D[4];
            if (m == 4) wide_tile<T, M, 1, 4>(&x, some, t.d, t.d, D);
            else if (m == 3) wide_tile<T, M, 1, 3>(&x, some, t.d, t.d, D);
            else if (m == 2) wide_tile<T, M, 1, 2>(&x, some, t.d, t.d, D);
            else wide_tile<T, M, 1, 1>(&x, some, t.d, t.d, D);
            for (ptrdiff_t b = 0; b < m; b++) t.out[(c + b) * t.n + i] = D[b];
        }
    }
}

// gain[c] receives the sum of weight * out in whole units of 1 / unit: integers, so that no order shows.
template <class T, bool M>
static inline void trial_block(const Trials<T>& t, ptrdiff_t lo, ptrdiff_t hi, int64_t* gain) {
    if (t.d <= NARROW) narrow_trials<T, M>(t, lo, hi); else wide_trials<T, M>(t, lo, hi);
    for (ptrdiff_t c = 0; c < t.m; c++) {
        T* __restrict out = t.out + c * t.n;
        int64_t sum = 0;
        for (ptrdiff_t i = lo; i < hi; i++) {
            const T v = M ? out[i] * t.fill[i] : out[i], least = v < t.closest[i] ? v : t.closest[i];
            double unused;
            out[i] = least;
            sum += rounded((double)least * (t.weights[i] * t.unit), unused);
        }
        gain[c] = sum;
    }
}

template <class T> static inline void trial_at(const Trials<T>& t, ptrdiff_t block, ptrdiff_t b, int64_t* gain) {
    const ptrdiff_t lo = b * block, hi = lo + block < t.n ? lo + block : t.n;
    if (t.fill) trial_block<T, true>(t, lo, hi, gain + b * t.m); else trial_block<T, false>(t, lo, hi, gain + b * t.m);
}
}  // namespace skml_kmeans
