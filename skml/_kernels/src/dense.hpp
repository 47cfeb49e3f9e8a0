// What follows a product of matrices, on the rows that it has just left in the cache.
#pragma once
#include "fused.hpp"

namespace skml_dense {

using skml_fused::below;
using skml_fused::exponential;

// y += b + add; either may be null.
template <class T>
static inline void finish_rows(T* __restrict y, const T* __restrict b, const T* __restrict add, ptrdiff_t n, ptrdiff_t M) {
    for (ptrdiff_t i = 0; i < n; i++, y += M) {
        if (b) for (ptrdiff_t j = 0; j < M; j++) y[j] += b[j];
        if (add) for (ptrdiff_t j = 0; j < M; j++) y[j] += add[i * M + j];
    }
}

// z += b; h = gelu(z).
template <class T> static inline void gelu_rows(T* __restrict z, const T* __restrict b, T* __restrict h, ptrdiff_t n, ptrdiff_t M) {
    for (ptrdiff_t i = 0; i < n; i++, z += M, h += M) {
        if (b) for (ptrdiff_t j = 0; j < M; j++) z[j] += b[j];
        for (ptrdiff_t j = 0; j < M; j++) h[j] = z[j] * below(z[j], exponential(T(-0.5) * z[j] * z[j]));
    }
}

// d *= gelu'(z); h = gelu(z): both need the same bell.
template <class T> static inline void gelu_slopes(const T* __restrict z, T* __restrict d, T* __restrict h, ptrdiff_t n) {
    for (ptrdiff_t i = 0; i < n; i++) {
        const T at = z[i], bell = exponential(T(-0.5) * at * at), share = below(at, bell);
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
