// One moment of each of a few sequences: products of few rows with a matrix that is read once, and attention to a cache.
#pragma once
#include "attention_tiles.hpp"
#include "normalization.hpp"

namespace skml_decoding {

using skml_attention::lanes;
using skml_attention::Rotary;
using skml_attention::vector_bytes;
using skml_fused::sum_of;

// Vectors of a strip of columns: their sums are in registers, and memory gives more when it is asked for long pieces.
constexpr int narrow = 4, wide = vector_bytes == 64 ? 16 : 8;
constexpr ptrdiff_t ahead = 16;  // rows that are asked for early: the processor does not foresee such strides itself
template <class T> static inline ptrdiff_t strip_of(const T*) { return narrow * lanes<T>; }

template <class T> struct Product {
    const T *x, *w, *b, *add;  // x (B, K), w (K, M); b and add may be null
    T* y;  // (B, M)
    ptrdiff_t B, K, M;
    int gelu;  // 0 none, 1 by the normal distribution, 2 by the hyperbolic tangent
};

// Some sums of a row and what comes after them.
template <class T> static inline void finish(const Product<T>& p, ptrdiff_t row, ptrdiff_t c, const T* sums, ptrdiff_t n) {
    T* y = p.y + row * p.M + c;
    const T* add = p.add ? p.add + row * p.M + c : nullptr;
#pragma GCC ivdep
    for (ptrdiff_t i = 0; i < n; i++) {
        T sum = p.b ? sums[i] + p.b[c + i] : sums[i];
        if (p.gelu == 2) sum *= skml_fused::nearly_below(sum);
        else if (p.gelu) sum *= skml_fused::below(sum, skml_fused::exponential(T(-0.5) * sum * sum));
        y[i] = add ? sum + add[i] : sum;
    }
}

// R rows and N vectors of columns; sums are taken in the order of k, so that their bits don't depend on R nor on N.
template <class T, int R, int N> static inline void rows_of_strip(const Product<T>& p, ptrdiff_t row, ptrdiff_t c) {
    typedef T vector __attribute__((vector_size(vector_bytes)));
    typedef T anywhere __attribute__((vector_size(vector_bytes), aligned(sizeof(T)), may_alias));
    vector sum[R][N] = {};
    const T* w = p.w + c;
    for (ptrdiff_t k = 0; k < p.K; k++, w += p.M) {
        vector right[N];
        for (int v = 0; v < N; v++) __builtin_prefetch(w + ahead * p.M + v * lanes<T>);
        for (int v = 0; v < N; v++) right[v] = *reinterpret_cast<const anywhere*>(w + v * lanes<T>);
        for (int r = 0; r < R; r++)
            for (int v = 0; v < N; v++) sum[r][v] += p.x[(row + r) * p.K + k] * right[v];
    }
    for (int r = 0; r < R; r++) {
        T flat[N * lanes<T>];
        std::memcpy(flat, sum[r], sizeof flat);
        finish(p, row + r, c, flat, N * lanes<T>);
    }
}

// The columns from c to before `end`: one or a few rows in wide strips, more of them four at a time in narrow ones, which
// stay in the cache meanwhile, and what is left by itself.
template <class T> static inline void some_columns(const Product<T>& p, ptrdiff_t c, ptrdiff_t end) {
    for (; p.B < 4 && c + wide * lanes<T> <= end; c += wide * lanes<T>)
        for (ptrdiff_t row = 0; row < p.B; row++) rows_of_strip<T, 1, wide>(p, row, c);
    for (; c + narrow * lanes<T> <= end; c += narrow * lanes<T>) {
        ptrdiff_t row = 0;
        for (; row + 4 <= p.B; row += 4) rows_of_strip<T, 4, narrow>(p, row, c);
        for (; row < p.B; row++) rows_of_strip<T, 1, narrow>(p, row, c);
    }
    for (ptrdiff_t row = 0; c < end && row < p.B; row++) {
        T sums[narrow * lanes<T>] = {};
        for (ptrdiff_t k = 0; k < p.K; k++)
            for (ptrdiff_t i = 0; i < end - c; i++) sums[i] += p.x[row * p.K + k] * p.w[k * p.M + c + i];
        finish(p, row, c, sums, end - c);
    }
}

// y = x w^T for some rows of w (V, C).
template <class T>
static inline void logits_part(const T* x, const T* w, T* y, ptrdiff_t B, ptrdiff_t C, ptrdiff_t V, ptrdiff_t v0, ptrdiff_t n) {
    for (ptrdiff_t v = v0; v < v0 + n; v++)
        for (ptrdiff_t b = 0; b < B; b++) {
            const T *row = w + v * C, *own = x + b * C;
            y[b * V + v] = sum_of<T>(C, [=](ptrdiff_t c) { return row[c] * own[c]; });
        }
}

// The place of a head's keys and values in the cache, and what it sees: the moments first .. at.
template <class T> struct Past {
    T *keys, *values;  // (n, D)
    ptrdiff_t first, at, D, C;
    Rotary<T> rotary;
};

// Keeps the key and the value of the head's moment, and writes softmax(q k^T / sqrt(D)) v over what it sees.
template <class T> static inline void attend(const T* qkv, const Past<T>& c, T* s, T* q, T* out) {
    const ptrdiff_t D = c.D, position = c.at - c.first, n = c.at + 1 - c.first;
    skml_attention::turned(qkv, q, D, c.rotary, position, T(1), T(1 / std::sqrt((double)D)));
    skml_attention::turned(qkv + c.C, c.keys + c.at * D, D, c.rotary, position, T(1), T(1));
    std::copy(qkv + 2 * c.C, qkv + 2 * c.C + D, c.values + c.at * D);
    const T* key = c.keys + c.first * D;
    T top = T(-1e30), total = 0;
    for (ptrdiff_t j = 0; j < n; j++, key += D) {
        s[j] = sum_of<T>(D, [=](ptrdiff_t d) { return q[d] * key[d]; });
        top = s[j] > top ? s[j] : top;
    }
#pragma GCC ivdep
    for (ptrdiff_t j = 0; j < n; j++) s[j] = skml_fused::exponential(s[j] - top);
    total = sum_of<T>(n, [=](ptrdiff_t j) { return s[j]; });
    std::fill(out, out + D, T(0));
    const T* value = c.values + c.first * D;
    for (ptrdiff_t j = 0; j < n; j++, value += D) {
        const T share = s[j];
        T* __restrict o = out;
        for (ptrdiff_t d = 0; d < D; d++) o[d] += share * value[d];
    }
    for (ptrdiff_t d = 0; d < D; d++) out[d] /= total;
}

// Normalises rows by mean and variance, or (without a beta) by the mean of squares, or copies them.
template <class T>
static inline void normed(const T* x, const T* gamma, const T* beta, double eps, T* y, ptrdiff_t n, ptrdiff_t F) {
    T mean, rstd;
    if (!gamma) std::memmove(y, x, n * F * sizeof(T));
    else if (beta)
        for (ptrdiff_t i = 0; i < n; i++)
            skml_normalization::layer_rows(x + i * F, gamma, beta, eps, y + i * F, &mean, &rstd, 1, F);
    else
        for (ptrdiff_t i = 0; i < n; i++) {
            const T* row = x + i * F;
            const T square = sum_of<T>(F, [=](ptrdiff_t f) { return row[f] * row[f]; }) / T(F);
            const T r = T(1) / std::sqrt(square + T(eps));
            for (ptrdiff_t f = 0; f < F; f++) y[i * F + f] = row[f] * r * gamma[f];
        }
}

}  // namespace skml_decoding
