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

constexpr ptrdiff_t few = 16;  // rows that are summed up in T, and then in double precision

// The gradients of some rows of a normalisation, by their mean and variance or (without a mean) their square, plus those
// of a short cut around it. With h = gamma dy and xh = (x - mean) rstd: dx = rstd (h - mean(h) - xh mean(h xh)) + add.
template <class T, bool centred>
static inline void few_rows_backward(const T* dy, const T* x, const T* gamma, const T* mean, const T* rstd, const T* add,
                                     T* dx, T* __restrict dgamma, T* __restrict dbeta, ptrdiff_t n, ptrdiff_t F) {
    for (ptrdiff_t i = 0; i < n; i++, x += F, dy += F, dx += F) {
        const T r = rstd[i], mu = centred ? mean[i] : T(0);
        const T of_h = centred ? sum_of<T>(F, [=](ptrdiff_t f) { return gamma[f] * dy[f]; }) / T(F) : T(0);
        const T of_hx = sum_of<T>(F, [=](ptrdiff_t f) { return gamma[f] * dy[f] * (x[f] - mu); }) * r / T(F);
        const T* more = add ? add + i * F : nullptr;
#pragma GCC ivdep
        for (ptrdiff_t f = 0; f < F; f++) {
            const T xh = (x[f] - mu) * r, slope = r * (gamma[f] * dy[f] - of_h - xh * of_hx);
            dgamma[f] += dy[f] * xh;
            if (centred) dbeta[f] += dy[f];
            dx[f] = more ? slope + more[f] : slope;
        }
    }
}

// The same for many; sums gets those of gamma and beta, and room for as many numbers.
template <class T>
static inline void norm_rows_backward(const T* dy, const T* x, const T* gamma, const T* mean, const T* rstd, const T* add,
                                      T* dx, double* sums, ptrdiff_t n, ptrdiff_t F) {
    T* part = reinterpret_cast<T*>(sums + 2 * F);
    std::fill(sums, sums + 2 * F, 0.0);
    for (ptrdiff_t i = 0; i < n; i += few) {
        const ptrdiff_t m = std::min(few, n - i), at = i * F;
        const T* more = add ? add + at : nullptr;
        std::fill(part, part + 2 * F, T(0));
        if (mean) few_rows_backward<T, true>(dy + at, x + at, gamma, mean + i, rstd + i, more, dx + at, part, part + F, m, F);
        else few_rows_backward<T, false>(dy + at, x + at, gamma, mean, rstd + i, more, dx + at, part, part + F, m, F);
        for (ptrdiff_t f = 0; f < 2 * F; f++) sums[f] += part[f];
    }
}

}  // namespace skml_sequences
