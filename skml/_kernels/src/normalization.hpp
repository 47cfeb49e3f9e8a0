// Layer and batch normalisation of rows: x (N, F), all statistics of one row, or of one column.
#pragma once
#include "fused.hpp"

namespace skml_normalization {

using skml_fused::sum_of;

// y = gamma (x - mean) rstd + beta, row by row; rstd = 1 / sqrt(var + eps).
template <class T>
static inline void layer_rows(const T* x, const T* gamma, const T* beta, double eps, T* y, T* mean, T* rstd,
                              ptrdiff_t n, ptrdiff_t F) {
    for (ptrdiff_t i = 0; i < n; i++, x += F, y += F) {
        const T mu = sum_of<T>(F, [=](ptrdiff_t f) { return x[f]; }) / T(F);
        const T var = sum_of<T>(F, [=](ptrdiff_t f) { return (x[f] - mu) * (x[f] - mu); }) / T(F);
        const T r = T(1) / std::sqrt(var + T(eps));
        mean[i] = mu, rstd[i] = r;
#pragma GCC ivdep
        for (ptrdiff_t f = 0; f < F; f++) y[f] = (x[f] - mu) * r * gamma[f] + beta[f];
    }
}

// Sums of x - origin and of its square, column by column.
template <class T>
static inline void moments_part(const T* x, const T* origin, ptrdiff_t n, ptrdiff_t F, double* __restrict sums) {
    double *__restrict first = sums, *__restrict second = sums + F;
    std::fill(sums, sums + 2 * F, 0.0);
    for (ptrdiff_t i = 0; i < n; i++, x += F)
        for (ptrdiff_t f = 0; f < F; f++) {
            const double d = (double)x[f] - (double)origin[f];
            first[f] += d, second[f] += d * d;
        }
}

// y = activation(x scale + shift).
template <class T>
static inline void affine_rows(const T* x, const T* scale, const T* shift, T* y, ptrdiff_t n, ptrdiff_t F,
                               int activation) {
    skml_fused::with_activation(activation, [=](auto a) {
        for (ptrdiff_t i = 0; i < n; i++) {
            const T* row = x + i * F;
            T* out = y + i * F;
#pragma GCC ivdep
            for (ptrdiff_t f = 0; f < F; f++)
                out[f] = skml_fused::activated<decltype(a)::value>(row[f] * scale[f] + shift[f]);
        }
    });
}

// Sums of dy and of dy (x - mean), column by column.
template <class T>
static inline void slopes_part(const T* dy, const T* x, const T* mean, ptrdiff_t n, ptrdiff_t F,
                               double* __restrict sums) {
    double *__restrict first = sums, *__restrict second = sums + F;
    std::fill(sums, sums + 2 * F, 0.0);
    for (ptrdiff_t i = 0; i < n; i++, x += F, dy += F)
        for (ptrdiff_t f = 0; f < F; f++) first[f] += dy[f], second[f] += dy[f] * (x[f] - mean[f]);
}

// dx = a dy - b (x - mean) - c, column by column; the coefficients stand one after the other.
template <class T>
static inline void combine_rows(const T* dy, const T* x, const T* mean, const T* coefficients, T* dx, ptrdiff_t n,
                                ptrdiff_t F) {
    const T *a = coefficients, *b = a + F, *c = b + F;
    for (ptrdiff_t i = 0; i < n; i++, x += F, dy += F, dx += F) {
#pragma GCC ivdep
        for (ptrdiff_t f = 0; f < F; f++) dx[f] = a[f] * dy[f] - b[f] * (x[f] - mean[f]) - c[f];
    }
}

}  // namespace skml_normalization
