// What follows a product of matrices, on the rows that it has just left in the cache.
#pragma once
#include "fused.hpp"

namespace skml_dense {

using skml_fused::exponential;

// The normal distribution P(Z <= z): in float32 1 / 2 + z p(z^2) / q(z^2), fitted to its error function (least squares,
// reweighted towards the largest error) to 2e-7 of one; the tail's own digits are of no use to a sum of many.
static inline double below(double z) { return skml_fused::below(z, exponential(-0.5 * z * z)); }
static inline float below(float z) {
    constexpr float far = 5.65f;
    z = z < -far ? -far : z;
    z = z > far ? far : z;
    const float u = z * z;
    const float p = ((((2.181904389e-08f * u + 6.364865533e-06f) * u + 1.769367857e-04f) * u + 4.725895560e-03f) * u +
                     3.469214813e-02f) * u + 3.989422130e-01f;
    const float q = ((((1.171277584e-06f * u + 7.602214545e-05f) * u + 1.930546809e-03f) * u + 2.911904950e-02f) * u +
                     2.536258990e-01f) * u + 1.0f;
    return 0.5f + z * (p / q);
}

// y += b + add; either may be null.
template <class T>
static inline void finish_rows(T* __restrict y, const T* __restrict b, const T* __restrict add, ptrdiff_t n, ptrdiff_t M) {
    for (ptrdiff_t i = 0; i < n; i++, y += M) {
        if (b) for (ptrdiff_t j = 0; j < M; j++) y[j] += b[j];
        if (add) for (ptrdiff_t j = 0; j < M; j++) y[j] += add[i * M + j];
    }
}

// z += b; h = gelu(z), by the normal distribution or by the hyperbolic tangent near it.
template <class T>
static inline void gelu_rows(T* __restrict z, const T* __restrict b, T* __restrict h, ptrdiff_t n, ptrdiff_t M, bool by_tanh) {
    for (ptrdiff_t i = 0; i < n; i++, z += M, h += M) {
        if (b) for (ptrdiff_t j = 0; j < M; j++) z[j] += b[j];
        if (by_tanh) for (ptrdiff_t j = 0; j < M; j++) h[j] = z[j] * skml_fused::nearly_below(z[j]);
        else for (ptrdiff_t j = 0; j < M; j++) h[j] = z[j] * below(z[j]);
    }
}

// d *= gelu'(z); h = gelu(z): both need the same bell.
template <class T>
static inline void gelu_slopes(const T* __restrict z, T* __restrict d, T* __restrict h, ptrdiff_t n, bool by_tanh) {
    if (by_tanh) {
        for (ptrdiff_t i = 0; i < n; i++) {
            const T at = z[i], share = skml_fused::nearly_below(at);
            h[i] = at * share;
            d[i] *= share + at * skml_fused::slope_of(at, share);
        }
        return;
    }
    for (ptrdiff_t i = 0; i < n; i++) {
        const T at = z[i], bell = exponential(T(-0.5) * at * at), share = below(at);
        h[i] = at * share;
        d[i] *= share + at * bell * T(0.39894228040143268);
    }
}

// total += part_0 + part_1 + ...
template <class T>
static inline void add_parts(T* __restrict total, const T* __restrict part, ptrdiff_t stride, ptrdiff_t parts, ptrdiff_t n) {
    for (ptrdiff_t p = 0; p < parts; p++, part += stride)
        for (ptrdiff_t i = 0; i < n; i++) total[i] += part[i];
}

constexpr ptrdiff_t strip = 64, run = 256;

// Sums of a strip of at most 64 columns; so many rows are summed up in T, and these sums in double precision.
template <class T> static inline void column_sums(const T* dy, ptrdiff_t N, ptrdiff_t M, ptrdiff_t columns, T* __restrict db) {
    double total[strip] = {};
    for (ptrdiff_t start = 0; start < N; start += run) {
        T part[strip] = {};
        const ptrdiff_t end = std::min(N, start + run);
        for (ptrdiff_t i = start; i < end; i++) {
            const T* row = dy + i * M;
            if (columns == strip) for (ptrdiff_t j = 0; j < strip; j++) part[j] += row[j];
            else for (ptrdiff_t j = 0; j < columns; j++) part[j] += row[j];
        }
        for (ptrdiff_t j = 0; j < columns; j++) total[j] += part[j];
    }
    for (ptrdiff_t j = 0; j < columns; j++) db[j] = T(total[j]);
}

// Sums of all columns, row after row; sixteen rows are summed up in T.
template <class T> static inline void row_sums(const T* dy, ptrdiff_t n, ptrdiff_t M, double* __restrict total) {
    constexpr ptrdiff_t few = 16;
    for (ptrdiff_t start = 0; start < n; start += few, dy += few * M) {
        const ptrdiff_t m = std::min(few, n - start);
        for (ptrdiff_t j0 = 0; j0 < M; j0 += strip) {
            T part[strip] = {};
            const ptrdiff_t columns = std::min(strip, M - j0);
            for (ptrdiff_t i = 0; i < m; i++) {
                const T* row = dy + i * M + j0;
                if (columns == strip) for (ptrdiff_t j = 0; j < strip; j++) part[j] += row[j];
                else for (ptrdiff_t j = 0; j < columns; j++) part[j] += row[j];
            }
            for (ptrdiff_t j = 0; j < columns; j++) total[j0 + j] += part[j];
        }
    }
}

}  // namespace skml_dense
