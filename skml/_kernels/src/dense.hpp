// Products of matrices, and what follows them on the numbers that they have just left in the cache.
#pragma once
#include <vector>

#include "fused.hpp"
#include "products.hpp"

namespace skml_dense {

using skml_fused::exponential;
using skml_products::DEPTH;
using skml_products::HEIGHT;
using skml_products::WIDTH;

template <class T> inline ptrdiff_t width_of(const T*) { return WIDTH<T>; }

// Working space for n numbers, which the thread keeps for its next call.
template <class T> static T* room(const T*, ptrdiff_t n) {
    static thread_local std::vector<T> kept;
    if ((ptrdiff_t)kept.size() < n + 64) std::vector<T>(n + 64).swap(kept);
    return skml_products::aligned(kept.data());
}

// Packs columns j.. of w, (K, M) or transposed (M, K), of which at most WIDTH are taken and some are there.
template <class T>
static inline void pack_columns(const T* w, bool transposed, ptrdiff_t j, ptrdiff_t some, ptrdiff_t K, ptrdiff_t M, T* panel) {
    if (transposed) skml_products::pack(w + j * K, std::min<ptrdiff_t>(some, WIDTH<T>), K, K, panel);
    else skml_products::pack_across<WIDTH<T>>(w + j, some, M, K, panel);
}

// y = x w for n rows and the packed columns, of M.
template <class T>
static inline void multiply_rows(const T* x, ptrdiff_t n, ptrdiff_t K, const T* packed, ptrdiff_t columns, T* y, ptrdiff_t M) {
    for (ptrdiff_t from = 0; from < K; from += DEPTH)
        for (ptrdiff_t j = 0; j < columns; j += WIDTH<T>)
            skml_products::times_panel<false>(x + from, n, K, packed + j * K + from * WIDTH<T>, std::min(DEPTH, K - from),
                                              y + j, M, std::min<ptrdiff_t>(WIDTH<T>, columns - j), from == 0);
}

// The i-th piece of both sides of x^T dy, packed for `depth` rows: groups of HEIGHT columns of x, then panels of dy.
template <class T>
static inline void pack_both(const T* x, ptrdiff_t tall, ptrdiff_t K, const T* dy, ptrdiff_t wide, ptrdiff_t M,
                             ptrdiff_t depth, ptrdiff_t i, T* left, T* right) {
    const ptrdiff_t groups = (tall + HEIGHT - 1) / HEIGHT, k = i * HEIGHT, j = (i - groups) * WIDTH<T>;
    if (i < groups) skml_products::pack_across<HEIGHT>(x + k, tall - k, K, depth, left + k * depth);
    else skml_products::pack_across<WIDTH<T>>(dy + j, wide - j, M, depth, right + j * depth);
}

// Rows of dw += x^T dy, or = if this is the first, from both sides packed for `depth` rows.
template <class T>
static inline void add_gradients(const T* left, ptrdiff_t rows, const T* right, ptrdiff_t wide, ptrdiff_t depth, T* dw,
                                 ptrdiff_t M, bool first) {
    for (ptrdiff_t j = 0; j < wide; j += WIDTH<T>)
        skml_products::times_panel<true>(left, rows, 0, right + j * depth, depth, dw + j, M,
                                         std::min<ptrdiff_t>(WIDTH<T>, wide - j), first);
}

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

// y += b + add, for columns of M; either may be null.
template <class T>
static inline void finish_rows(T* __restrict y, const T* __restrict b, const T* __restrict add, ptrdiff_t n,
                               ptrdiff_t columns, ptrdiff_t M) {
    for (ptrdiff_t i = 0; i < n; i++, y += M) {
        if (b) for (ptrdiff_t j = 0; j < columns; j++) y[j] += b[j];
        if (add) for (ptrdiff_t j = 0; j < columns; j++) y[j] += add[i * M + j];
    }
}

// z += b; h = gelu(z), by the normal distribution or by the hyperbolic tangent near it; for columns of M.
template <class T>
static inline void gelu_rows(T* __restrict z, const T* __restrict b, T* __restrict h, ptrdiff_t n, ptrdiff_t columns,
                             ptrdiff_t M, bool by_tanh) {
    for (ptrdiff_t i = 0; i < n; i++, z += M, h += M) {
        if (b) for (ptrdiff_t j = 0; j < columns; j++) z[j] += b[j];
        if (by_tanh) for (ptrdiff_t j = 0; j < columns; j++) h[j] = z[j] * skml_fused::nearly_below(z[j]);
        else for (ptrdiff_t j = 0; j < columns; j++) h[j] = z[j] * below(z[j]);
    }
}

// h = gelu(z); z = d gelu'(z), both of which need the same bell; for columns of M of z and h.
template <class T>
static inline void gelu_slopes(const T* __restrict d, T* __restrict z, T* __restrict h, ptrdiff_t n, ptrdiff_t columns,
                               ptrdiff_t M, bool by_tanh) {
    for (ptrdiff_t i = 0; i < n; i++, z += M, d += columns, h += M) {
        if (by_tanh) {
            for (ptrdiff_t j = 0; j < columns; j++) {
                const T at = z[j], share = skml_fused::nearly_below(at);
                h[j] = at * share;
                z[j] = d[j] * (share + at * skml_fused::slope_of(at, share));
            }
        } else {
            for (ptrdiff_t j = 0; j < columns; j++) {
                const T at = z[j], bell = exponential(T(-0.5) * at * at), share = below(at);
                h[j] = at * share;
                z[j] = d[j] * (share + at * bell * T(0.39894228040143268));
            }
        }
    }
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

}  // namespace skml_dense
