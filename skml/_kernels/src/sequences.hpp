// Rows of a sequence: looking up and adding vectors, and normalisation beside a short cut.
#pragma once
#include "normalization.hpp"

namespace skml_sequences {

using skml_fused::sum_of;
using std::int32_t;

// y = token's vector + position's vector, if there are any.
template <class T>
static inline void embed_rows(const int32_t* tokens, const int32_t* first, const T* wte, const T* wpe, T* y, ptrdiff_t n,
                              ptrdiff_t C) {
    for (ptrdiff_t t = 0; t < n; t++, y += C) {
        const T* __restrict of_token = wte + tokens[t] * C;
        if (!wpe) {
            std::copy(of_token, of_token + C, y);
            continue;
        }
        const T* __restrict of_place = wpe + (t - first[t]) * C;
        for (ptrdiff_t c = 0; c < C; c++) y[c] = of_token[c] + of_place[c];
    }
}

// Adds the gradients of some columns where their vectors came from, in the order of the rows.
template <class T>
static inline void embed_columns(const T* dy, const int32_t* tokens, const int32_t* first, T* dwte, T* dwpe, ptrdiff_t n,
                                 ptrdiff_t C, ptrdiff_t columns) {
    for (ptrdiff_t t = 0; t < n; t++, dy += C) {
        T* __restrict of_token = dwte + tokens[t] * C;
        for (ptrdiff_t c = 0; c < columns; c++) of_token[c] += dy[c];
        if (!dwpe) continue;
        T* __restrict of_place = dwpe + (t - first[t]) * C;
        for (ptrdiff_t c = 0; c < columns; c++) of_place[c] += dy[c];
    }
}

// y = gamma x rstd with rstd = 1 / sqrt(mean(x^2) + eps) (Zhang & Sennrich 2019, eq. 4).
template <class T>
static inline void rms_rows(const T* x, const T* gamma, double eps, T* y, T* rstd, ptrdiff_t n, ptrdiff_t F) {
    for (ptrdiff_t i = 0; i < n; i++, x += F, y += F) {
        const T square = sum_of<T>(F, [=](ptrdiff_t f) { return x[f] * x[f]; }) / T(F);
        const T r = rstd[i] = T(1) / std::sqrt(square + T(eps));
#pragma GCC ivdep
        for (ptrdiff_t f = 0; f < F; f++) y[f] = x[f] * r * gamma[f];
    }
}

// With h = gamma dy and xh = x rstd: dx = rstd (h - xh mean(h xh)), dgamma = sum dy xh.
template <class T>
static inline void rms_rows_backward(const T* dy, const T* x, const T* gamma, const T* rstd, T* dx,
                                     double* __restrict dgamma, ptrdiff_t n, ptrdiff_t F) {
    std::fill(dgamma, dgamma + F, 0.0);
    for (ptrdiff_t i = 0; i < n; i++, x += F, dy += F, dx += F) {
        const T r = rstd[i], of_hx = sum_of<T>(F, [=](ptrdiff_t f) { return gamma[f] * dy[f] * x[f]; }) * r / T(F);
        for (ptrdiff_t f = 0; f < F; f++) dgamma[f] += dy[f] * (x[f] * r);
#pragma GCC ivdep
        for (ptrdiff_t f = 0; f < F; f++) dx[f] = r * (gamma[f] * dy[f] - x[f] * r * of_hx);
    }
}

// The gradients of a normalisation, of rows' mean and variance or (without a mean) of their square, plus those of a
// short cut around it.
template <class T>
static inline void norm_rows_backward(const T* dy, const T* x, const T* gamma, const T* mean, const T* rstd, const T* add,
                                      T* dx, double* sums, ptrdiff_t n, ptrdiff_t F) {
    constexpr ptrdiff_t few = 16;  // rows that stay in the cache until what is added is
    double* total = sums + 2 * F;
    std::fill(total, total + 2 * F, 0.0);
    for (ptrdiff_t i = 0; i < n; i += few) {
        const ptrdiff_t m = std::min(few, n - i), at = i * F;
        if (mean) skml_normalization::layer_rows_backward(dy + at, x + at, gamma, mean + i, rstd + i, dx + at, sums,
                                                          sums + F, m, F);
        else rms_rows_backward(dy + at, x + at, gamma, rstd + i, dx + at, sums, m, F);
        for (ptrdiff_t f = 0; f < (mean ? 2 : 1) * F; f++) total[f] += sums[f];
        if (add) for (ptrdiff_t f = at; f < at + m * F; f++) dx[f] += add[f];
    }
}

}  // namespace skml_sequences
