// Causal attention of one head in tiles of 64 queries and 64 keys (Dao et al. 2022, algorithms 1 and 4): no matrix of
// all scores is kept.
#pragma once
#include "attention_tiles.hpp"
#include "fused.hpp"

namespace skml_attention {

template <class T> struct Head {
    ptrdiff_t n, D, C;  // moments, channels of the head, channels of all heads
    T scale;  // 1 / sqrt(D)
    Rotary<T> rotary;
    const int32_t* first;
    const T* qkv;  // the head's queries; keys and values come C and 2 C later; a moment has 3 C numbers
};

template <class T> static inline ptrdiff_t padded(ptrdiff_t D) { return rounded_up(D, lanes<T>); }

// Numbers of scratch for one head of n moments, at most.
template <class T> static inline ptrdiff_t space_of(const T*, ptrdiff_t n, ptrdiff_t D) {
    const ptrdiff_t tall = rounded_up(n, side), wide = padded<T>(D);
    return 4 * tall * wide + 2 * tall * D + 2 * side * wide + 2 * side * side + tall + 2 * side + lanes<T>;
}

template <class T> static inline T* aligned(T* space) {
    return reinterpret_cast<T*>((reinterpret_cast<std::uintptr_t>(space) + vector_bytes - 1) / vector_bytes * vector_bytes);
}

// Hands out scratch piece by piece.
template <class T> struct Space {
    T* next;
    T* take(ptrdiff_t n) {
        T* piece = next;
        next += n;
        return piece;
    }
};

// Rows of a head lie too far apart for the processor to foresee the next one: each is fetched while others are copied.
constexpr ptrdiff_t ahead = 12;
template <int write, class T> static inline void fetch(const T* row, ptrdiff_t D) {
    for (ptrdiff_t d = 0; d < D; d += 64 / (ptrdiff_t)sizeof(T)) __builtin_prefetch(row + d, write);
}

// Copies the queries (0), keys (1) or values (2) of a head into rows of `wide` numbers, turned and scaled.
template <class T> static inline void gather(const Head<T>& h, int which, T* out, ptrdiff_t wide) {
    const Rotary<T> rotary = which < 2 ? h.rotary : Rotary<T>{nullptr, nullptr};
    for (ptrdiff_t t = 0; t < h.n; t++) {
        T* row = out + t * wide;
        fetch<0>(h.qkv + std::min(t + ahead, h.n - 1) * 3 * h.C + which * h.C, h.D);
        turned(h.qkv + t * 3 * h.C + which * h.C, row, h.D, rotary, t - h.first[t], T(1), which ? T(1) : h.scale);
        if (h.D < wide) std::fill(row + h.D, row + wide, T(0));
    }
    std::fill(out + h.n * wide, out + rounded_up(h.n, side) * wide, T(0));
}

// Turns rows of `wide` numbers into tiles of D rows, 64 moments wide.
template <class T> static inline void transposed(const T* x, ptrdiff_t n, ptrdiff_t D, ptrdiff_t wide, T* out) {
    for (ptrdiff_t t0 = 0; t0 < n; t0 += side, x += side * wide, out += side * D)
        for (ptrdiff_t j0 = 0; j0 < side; j0 += 16)
            for (ptrdiff_t d = 0; d < D; d++)
                for (ptrdiff_t j = j0; j < j0 + 16; j++) out[d * side + j] = x[j * wide + d];
}

// Writes softmax(q k^T / sqrt(D)) v of the moments that each query sees, and the logarithm of the sum of exponentials.
template <class T> static inline void forward_head(const Head<T>& h, T* out, T* lse, T* scratch) {
    const ptrdiff_t wide = padded<T>(h.D), tall = rounded_up(h.n, side);
    Space<T> space{aligned(scratch)};
    T *q = space.take(tall * wide), *k = space.take(tall * wide), *v = space.take(tall * wide);
    T *keys = space.take(tall * h.D), *s = space.take(side * side), *sum = space.take(side * wide);
    T *top = space.take(side), *total = space.take(side);
    gather(h, 0, q, wide), gather(h, 1, k, wide), gather(h, 2, v, wide);
    transposed(k, tall, h.D, wide, keys);
    for (ptrdiff_t t0 = 0; t0 < h.n; t0 += side) {
        const ptrdiff_t n = std::min(side, h.n - t0);
        std::fill(sum, sum + side * wide, T(0)), std::fill(total, total + side, T(0));
        std::fill(top, top + side, T(-1e30));
        for (ptrdiff_t j0 = 0; j0 <= t0; j0 += side) {
            Window w;
            if (!w.open(h.first + t0, n, t0, j0)) continue;
            scores(q + t0 * wide, wide, keys + j0 * h.D, h.D, w, s);
            for (ptrdiff_t i = 0; i < side; i++) {
                T* row = s + i * side;
                if (w.from[i] == w.to[i]) {
                    std::fill(row, row + side, T(0));
                    continue;
                }
                // m' = max(m, max_j s_j); l = exp(m - m') l + sum_j exp(s_j - m')
                const T higher = largest(row, w.from[i], w.to[i], top[i]);
                if (total[i] > T(0) && higher > top[i]) {
                    const T factor = std::exp(top[i] - higher);
                    total[i] *= factor;
                    for (ptrdiff_t d = 0; d < wide; d++) sum[i * wide + d] *= factor;
                }
                top[i] = higher;
                exponentials(row, higher, w.from[i], w.to[i]);
                total[i] += total_of(row, w.to[i]);
            }
            over_keys(s, v + j0 * wide, wide, w, sum);
        }
        for (ptrdiff_t i = 0; i < n; i++) {
            const T share = T(1) / total[i];
            for (ptrdiff_t d = 0; d < h.D; d++) out[(t0 + i) * h.C + d] = sum[i * wide + d] * share;
            lse[t0 + i] = top[i] + std::log(total[i]);
        }
    }
}

template <class T> struct Slopes {
    const T *out, *dout, *lse;  // of the head; a moment of the first two has C numbers
    T* dqkv;  // as qkv
};

// p = exp(s - lse) where seen; ds = p (dp - delta), in place of dp.
template <class T>
static inline void tile_slopes(T* p, T* dp, const T* lse, const T* delta, const Window& w) {
    for (ptrdiff_t i = 0; i < side; i++, p += side, dp += side) {
        if (w.from[i] == w.to[i]) {
            std::fill(p, p + side, T(0)), std::fill(dp, dp + side, T(0));
            continue;
        }
        exponentials(p, lse[i], w.from[i], w.to[i]);
        const int32_t end = (int32_t)rounded_up(w.to[i], lanes<T>);
        const T d = delta[i];
#pragma GCC ivdep
        for (int32_t j = 0; j < end; j++) dp[j] = p[j] * (dp[j] - d);
        std::fill(dp, dp + w.from[i], T(0)), std::fill(dp + w.to[i], dp + side, T(0));
    }
}

// Writes one of the three gradients back, turned back by the position.
template <class T> static inline void scatter(const Head<T>& h, const T* x, ptrdiff_t t0, ptrdiff_t n, int which, T* dqkv) {
    const Rotary<T> rotary = which < 2 ? h.rotary : Rotary<T>{nullptr, nullptr};
    const ptrdiff_t wide = padded<T>(h.D);
    for (ptrdiff_t t = t0; t < t0 + n; t++) {
        fetch<1>(dqkv + std::min(t + ahead, h.n - 1) * 3 * h.C + which * h.C, h.D);
        turned(x + (t - t0) * wide, dqkv + t * 3 * h.C + which * h.C, h.D, rotary, t - h.first[t], T(-1),
               which ? T(1) : h.scale);
    }
}

// Writes the gradients at queries, keys and values.
template <class T> static inline void backward_head(const Head<T>& h, const Slopes<T>& g, T* scratch) {
    const ptrdiff_t wide = padded<T>(h.D), tall = rounded_up(h.n, side);
    Space<T> space{aligned(scratch)};
    T *q = space.take(tall * wide), *k = space.take(tall * wide), *dout = space.take(tall * wide);
    T *dq = space.take(tall * wide), *keys = space.take(tall * h.D), *values = space.take(tall * h.D);
    T *p = space.take(side * side), *ds = space.take(side * side), *delta = space.take(tall);
    T *dk = space.take(side * wide), *dv = space.take(side * wide), *lse = space.take(side);
    gather(h, 2, k, wide);
    transposed(k, tall, h.D, wide, values);
    gather(h, 0, q, wide), gather(h, 1, k, wide);
    transposed(k, tall, h.D, wide, keys);
    std::fill(dout, dout + tall * wide, T(0)), std::fill(dq, dq + tall * wide, T(0)), std::fill(delta, delta + tall, T(0));
    for (ptrdiff_t t = 0; t < h.n; t++) {
        std::copy(g.dout + t * h.C, g.dout + t * h.C + h.D, dout + t * wide);
        // delta_t = sum_d do_td o_td = sum_j p_tj dp_tj
        const T *of_dout = g.dout + t * h.C, *of_out = g.out + t * h.C;
        delta[t] = skml_fused::sum_of<T>(h.D, [=](ptrdiff_t d) { return of_dout[d] * of_out[d]; });
    }
    for (ptrdiff_t j0 = 0; j0 < h.n; j0 += side) {
        std::fill(dk, dk + side * wide, T(0)), std::fill(dv, dv + side * wide, T(0));
        for (ptrdiff_t t0 = j0; t0 < h.n; t0 += side) {
            const ptrdiff_t n = std::min(side, h.n - t0);
            Window w;
            if (!w.open(h.first + t0, n, t0, j0)) continue;
            std::copy(g.lse + t0, g.lse + t0 + n, lse);
            scores(q + t0 * wide, wide, keys + j0 * h.D, h.D, w, p);
            scores(dout + t0 * wide, wide, values + j0 * h.D, h.D, w, ds);
            tile_slopes(p, ds, lse, delta + t0, w);
            over_queries(p, dout + t0 * wide, wide, w, dv);  // dv_j = sum_t p_tj do_t
            over_queries(ds, q + t0 * wide, wide, w, dk);  // dk_j = sum_t ds_tj q_t / sqrt(D)
            over_keys(ds, k + j0 * wide, wide, w, dq + t0 * wide);  // dq_t = sum_j ds_tj k_j / sqrt(D)
        }
        const ptrdiff_t n = std::min(side, h.n - j0);
        scatter(h, dk, j0, n, 1, g.dqkv), scatter(h, dv, j0, n, 2, g.dqkv);
    }
    scatter(h, dq, 0, h.n, 0, g.dqkv);
}

}  // namespace skml_attention
