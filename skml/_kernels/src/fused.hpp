// Passes over an array that do several things to each number while it is there: the optimisers' updates, dropout, and
// softmax with the cross-entropy.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "activations.hpp"

namespace skml_fused {

// --------------------------------------------------------------------------------------------------- losses

constexpr ptrdiff_t LANES = 16;

// Sum of f(0), ..., f(n - 1) in sixteen sums, which fit in vectors; the order depends on n alone.
template <class T, class F> static inline T sum_of(ptrdiff_t n, F f) {
    T sums[LANES] = {}, rest = 0;
    const ptrdiff_t whole = n / LANES * LANES;
    for (ptrdiff_t i = 0; i < whole; i += LANES)
        for (ptrdiff_t l = 0; l < LANES; l++) sums[l] += f(i + l);
    for (ptrdiff_t i = whole; i < n; i++) rest += f(i);
    for (ptrdiff_t half = LANES / 2; half; half /= 2)
        for (ptrdiff_t l = 0; l < half; l++) sums[l] += sums[l + half];
    return sums[0] + rest;
}

// w (ln sum_k exp(z_k) - sum_k q_k z_k) and w (softmax(z) - q), where q = (1 - s) [k = target] + s / K.
template <class T>
static inline double cross_entropy(const T* z, ptrdiff_t K, int32_t target, double weight, double smoothing, T* dz) {
    T top = z[0];
    for (ptrdiff_t k = 1; k < K; k++) top = z[k] > top ? z[k] : top;
#pragma GCC ivdep
    for (ptrdiff_t k = 0; k < K; k++) dz[k] = exponential(z[k] - top);
    const double share = smoothing / (double)K, total = sum_of<T>(K, [=](ptrdiff_t k) { return dz[k]; });
    const double own = (double)z[target] - top;
    double loss = std::log(total) - (1 - smoothing) * own;
    if (smoothing > 0) loss -= share * sum_of<double>(K, [=](ptrdiff_t k) { return (double)z[k] - top; });
    const T scale = T(weight / total), all = T(weight * share);
    for (ptrdiff_t k = 0; k < K; k++) dz[k] = dz[k] * scale - all;
    dz[target] -= T(weight * (1 - smoothing));
    return weight * loss;
}

// ----------------------------------------------------------------------------------------------- optimisers

struct AdamStep {
    double rate, beta1, beta2, eps, decay, penalty;
};

template <class T>
static inline void adam_part(T* __restrict w, const T* __restrict g, T* __restrict m, T* __restrict v, ptrdiff_t n,
                             const AdamStep& s) {
    const T rate = T(s.rate), b1 = T(s.beta1), b2 = T(s.beta2), c1 = T(1 - s.beta1), c2 = T(1 - s.beta2);
    const T eps = T(s.eps), keep = T(1 - s.decay), penalty = T(s.penalty);
    for (ptrdiff_t i = 0; i < n; i++) {
        const T slope = g[i] + penalty * w[i];
        m[i] = b1 * m[i] + c1 * slope;
        v[i] = b2 * v[i] + c2 * slope * slope;
        w[i] = keep * w[i] - rate * m[i] / (std::sqrt(v[i]) + eps);
    }
}

template <class T>
static inline void sgd_part(T* __restrict w, const T* __restrict g, T* __restrict m, ptrdiff_t n, double rate_,
                            double momentum, bool nesterov, double decay_) {
    const T rate = T(rate_), mu = T(momentum), decay = T(decay_), ahead = nesterov ? mu : T(1), now = T(nesterov);
    for (ptrdiff_t i = 0; i < n; i++) {
        const T slope = g[i] + decay * w[i];
        m[i] = mu * m[i] + slope;
        w[i] -= rate * (ahead * m[i] + now * slope);
    }
}

template <class T> static inline double squares_part(const T* x, ptrdiff_t n) {
    return sum_of<double>(n, [=](ptrdiff_t i) { return (double)x[i] * x[i]; });
}

// -------------------------------------------------------------------------------------------------- dropout

static inline uint64_t mixed(uint64_t z) {  // splitmix64 (Steele, Lea & Flood 2014)
    z += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static inline uint32_t scattered(uint32_t x) {  // an integer hash of 32 bits, whose products fit in vectors
    x ^= x >> 16, x *= 0x7FEB352Du;
    x ^= x >> 15, x *= 0x846CA68Bu;
    return x ^ (x >> 16);
}

// The key is that of (seed, step, layer, part); a number is kept where its hash is no less than the threshold.
template <class T>
static inline void dropout_part(const T* x, T* y, ptrdiff_t n, uint64_t key, uint32_t threshold, T scale) {
    const uint32_t first = (uint32_t)key, second = (uint32_t)(key >> 32);
#pragma GCC ivdep
    for (ptrdiff_t i = 0; i < n; i++) {
        const uint32_t bits = scattered(scattered((uint32_t)i ^ first) + second);
        y[i] = bits >= threshold ? x[i] * scale : T(0);
    }
}

}  // namespace skml_fused
