// Losses of tokens and sums over equal ones.
#pragma once
#include "fused.hpp"

namespace skml_tokens {

using skml_fused::LANES;
using std::int32_t;
using std::ptrdiff_t;

// The largest of K numbers, in as many maxima as fit in a vector; NaN is passed over.
template <class T> static inline T largest(const T* z, ptrdiff_t K) {
    T tops[LANES], top = z[0];
    std::fill_n(tops, LANES, top);
    ptrdiff_t k = 0;
    for (; k + LANES <= K; k += LANES)
        for (ptrdiff_t l = 0; l < LANES; l++) tops[l] = z[k + l] > tops[l] ? z[k + l] : tops[l];
    for (ptrdiff_t l = 0; l < LANES; l++) top = tops[l] > top ? tops[l] : top;
    for (; k < K; k++) top = z[k] > top ? z[k] : top;
    return top;
}

// ln sum_k exp(z_k) - z_target, and `share` times its gradient; dz may be z.
template <class T> static inline double cross_entropy(const T* z, ptrdiff_t K, int32_t target, double share, T* dz) {
    const T top = largest(z, K);
    const double own = (double)z[target] - top;
#pragma GCC ivdep
    for (ptrdiff_t k = 0; k < K; k++) dz[k] = skml_fused::exponential(z[k] - top);
    const double total = skml_fused::sum_of<T>(K, [=](ptrdiff_t k) { return dz[k]; });
    const T scale = T(share / total);
    for (ptrdiff_t k = 0; k < K; k++) dz[k] *= scale;
    dz[target] -= T(share);
    return std::log(total) - own;
}

// Adds columns of rows to those of their codes, in the order of the rows.
template <class T>
static inline void add_rows(const T* rows, ptrdiff_t step, ptrdiff_t n, const int32_t* codes, T* out, ptrdiff_t out_step,
                            ptrdiff_t columns) {
    for (ptrdiff_t i = 0; i < n; i++) {
        const T* __restrict from = rows + i * step;
        T* __restrict to = out + codes[i] * out_step;
        for (ptrdiff_t j = 0; j < columns; j++) to[j] += from[j];
    }
}

}  // namespace skml_tokens
