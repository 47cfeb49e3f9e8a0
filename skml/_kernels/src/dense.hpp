// Products of matrices, and what follows them on the numbers that they have just left in the cache.
#pragma once
#include <memory>
#include <utility>

#include "fused.hpp"
#include "products.hpp"

namespace skml_dense {

using skml_fused::exponential;
using skml_products::DEPTH;
using skml_products::HEIGHT;
using skml_products::Lanes;
using skml_products::WIDTH;

template <class T> inline ptrdiff_t width_of(const T*) { return WIDTH<T>; }

// Working space that the thread keeps for its next call; a call within a call, as of a signal's handler, gets its own.
template <class T> class Room {
  public:
    Room() { std::swap(mine, kept()); }
    ~Room() { if (mine.size > kept().size) std::swap(mine, kept()); }
    T* take(ptrdiff_t n) {
        if (mine.size < n + 64) {
            mine = {};
            mine = {std::unique_ptr<T[]>(new T[n + 64]), n + 64};
        }
        return skml_products::aligned(mine.numbers.get());
    }

  private:
    struct Numbers {
        std::unique_ptr<T[]> numbers;
        ptrdiff_t size = 0;
    };
    static Numbers& kept() {
        static thread_local Numbers numbers;
        return numbers;
    }
    Numbers mine;
};

// Packs columns j.. of w, (K, M) or transposed (M, K), of which at most WIDTH are taken and some are there.
template <class T>
static inline void pack_columns(const T* w, bool transposed, ptrdiff_t j, ptrdiff_t some, ptrdiff_t K, ptrdiff_t M, T* panel) {
    if (transposed) skml_products::pack(w + j * K, std::min<ptrdiff_t>(some, WIDTH<T>), K, K, panel);
    else skml_products::pack_across<WIDTH<T>>(w + j, some, M, K, panel);
}

// y = x w for n rows of x, `step` numbers apart, K packed rows and some columns of M; or += unless this is the first.
template <class T>
static inline void multiply_rows(const T* x, ptrdiff_t n, ptrdiff_t step, const T* packed, ptrdiff_t K, ptrdiff_t columns,
                                 T* y, ptrdiff_t M, bool first) {
    for (ptrdiff_t from = 0; from < K; from += DEPTH)
        for (ptrdiff_t j = 0; j < columns; j += WIDTH<T>)
            skml_products::times_panel<false>(x + from, n, step, packed + j * K + from * WIDTH<T>, std::min(DEPTH, K - from),
                                              y + j, M, std::min<ptrdiff_t>(WIDTH<T>, columns - j), first && from == 0);
}

// Gradients at a matrix: x (N, K), dy (N, M), dw (K, M), and sums of the columns of dy unless that is null.
template <class T> struct Slopes {
    const T *x, *dy;
    ptrdiff_t K, M;
    T* dw;
    double* sums;
};

// Sums of a packed panel's columns, in T, are added to those in double precision.
template <class T> static inline void sum_panel(const T* panel, ptrdiff_t depth, ptrdiff_t columns, double* __restrict sums) {
    T part[WIDTH<T>] = {};
    for (ptrdiff_t f = 0; f < depth; f++, panel += WIDTH<T>)
        for (int q = 0; q < WIDTH<T>; q++) part[q] += panel[q];
    for (ptrdiff_t q = 0; q < columns; q++) sums[q] += part[q];
}

// A line of cache holds two groups of HEIGHT columns, or one: they are packed together.
template <class T>
static inline void pack_groups(const T* x, ptrdiff_t tall, ptrdiff_t K, ptrdiff_t depth, T* packed) {
    ptrdiff_t k = 0;
    for (; k + 2 * HEIGHT <= tall; k += 2 * HEIGHT) {
        T *one = packed + k * depth, *two = one + HEIGHT * depth;
        const T* row = x + k;
        for (ptrdiff_t f = 0; f < depth; f++, row += K, one += HEIGHT, two += HEIGHT)
            std::memcpy(one, row, HEIGHT * sizeof(T)), std::memcpy(two, row + HEIGHT, HEIGHT * sizeof(T));
    }
    for (; k < tall; k += HEIGHT) skml_products::pack_across<HEIGHT>(x + k, tall - k, K, depth, packed + k * depth);
}

constexpr ptrdiff_t TALL = 256;  // rows of dw for which a panel of dy is packed

// Numbers of scratch for a share of the gradients of K rows.
static inline ptrdiff_t scratch_of(ptrdiff_t K, ptrdiff_t width) { return DEPTH * (std::min(TALL, K + HEIGHT) + width) + 16; }

// Up to TALL rows of dw from `top` on, and its columns from `left` to `right`, for up to DEPTH rows of x and dy from
// `start` on. While a panel is at work, the next one is fetched.
template <class T>
static inline void part_of_gradients(const Slopes<T>& g, ptrdiff_t start, ptrdiff_t depth, ptrdiff_t top, ptrdiff_t tall,
                                     ptrdiff_t left, ptrdiff_t right, bool first, bool summed, T* panel) {
    constexpr ptrdiff_t W = WIDTH<T>, line = 64 / sizeof(T);
    T* rows = panel + DEPTH * W;
    pack_groups(g.x + start * g.K + top, tall, g.K, depth, rows);
    const ptrdiff_t groups = (tall + HEIGHT - 1) / HEIGHT, share = (depth + groups - 1) / groups;
    for (ptrdiff_t j = left; j < right; j += W) {
        const T* dy = g.dy + start * g.M + j;
        const ptrdiff_t columns = std::min(W, right - j), ahead = std::min(W, right - j - columns);
        skml_products::pack_across<W>(dy, columns, g.M, depth, panel);
        if (summed) sum_panel(panel, depth, columns, g.sums + j);
        for (ptrdiff_t i = 0; i < groups; i++) {
            for (ptrdiff_t f = i * share; f < std::min(depth, (i + 1) * share); f++)
                for (ptrdiff_t q = 0; q < ahead; q += line) __builtin_prefetch(dy + f * g.M + W + q, 0, 2);
            const ptrdiff_t k = i * HEIGHT;
            skml_products::times_panel<true>(rows + k * depth, std::min<ptrdiff_t>(HEIGHT, tall - k), 0, panel, depth,
                                             g.dw + (top + k) * g.M + j, g.M, columns, first);
        }
    }
}

// One of several shares of dw = x^T dy for n rows, or += unless they are the first: some of its columns, or of its rows
// if there are more.
template <class T>
static inline void share_of_gradients(const Slopes<T>& g, ptrdiff_t n, bool first, ptrdiff_t i, ptrdiff_t shares, T* scratch) {
    const bool across = g.M > g.K;
    const ptrdiff_t unit = across ? Lanes<T>::n : HEIGHT, size = across ? g.M : g.K, units = (size + unit - 1) / unit;
    const ptrdiff_t from = units * i / shares * unit, to = std::min(size, units * (i + 1) / shares * unit);
    const ptrdiff_t left = across ? from : 0, right = across ? to : g.M, bottom = across ? g.K : to;
    for (ptrdiff_t at = 0; at < n; at += DEPTH)
        for (ptrdiff_t top = across ? 0 : from; top < bottom; top += TALL)
            part_of_gradients(g, at, std::min(DEPTH, n - at), top, std::min(TALL, bottom - top), left, right,
                              first && at == 0, g.sums && top == 0, scratch);
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

// z += b; h = gelu(z), by the normal distribution or by the hyperbolic tangent near it; for columns of M of z.
template <class T>
static inline void gelu_rows(T* __restrict z, const T* __restrict b, T* __restrict h, ptrdiff_t n, ptrdiff_t columns,
                             ptrdiff_t M, bool by_tanh) {
    for (ptrdiff_t i = 0; i < n; i++, z += M, h += columns) {
        if (b) for (ptrdiff_t j = 0; j < columns; j++) z[j] += b[j];
        if (by_tanh) for (ptrdiff_t j = 0; j < columns; j++) h[j] = z[j] * skml_fused::nearly_below(z[j]);
        else for (ptrdiff_t j = 0; j < columns; j++) h[j] = z[j] * below(z[j]);
    }
}

// z = d gelu'(z) and, in the place of d, gelu(z), both of which need the same bell; for columns of M of z.
template <class T>
static inline void gelu_slopes(T* __restrict d, T* __restrict z, ptrdiff_t n, ptrdiff_t columns, ptrdiff_t M, bool by_tanh) {
    for (ptrdiff_t i = 0; i < n; i++, z += M, d += columns) {
        if (by_tanh) {
            for (ptrdiff_t j = 0; j < columns; j++) {
                const T at = z[j], share = skml_fused::nearly_below(at);
                z[j] = d[j] * (share + at * skml_fused::slope_of(at, share));
                d[j] = at * share;
            }
        } else {
            for (ptrdiff_t j = 0; j < columns; j++) {
                const T at = z[j], bell = exponential(T(-0.5) * at * at), share = below(at);
                z[j] = d[j] * (share + at * bell * T(0.39894228040143268));
                d[j] = at * share;
            }
        }
    }
}

}  // namespace skml_dense
