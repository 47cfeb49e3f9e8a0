// Distributions over a number of actions, from logits: drawn from by counters, and the slopes of policy gradients.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "exponential.hpp"
#include "streams.hpp"

namespace skml_actors {

// Evenly in [0, 1): a function of the seed, the copy of the environment, and the number of the step.
static inline double drawn(uint64_t seed, uint64_t copy, uint64_t step) {
    return skml_streams::uniform(skml_streams::copy_stream(~seed, copy), step);  // what environments draw is of `seed`
}

// exp(z_k - max z) of the actions that are allowed and 0 of others; returns their sum.
template <class T> static inline double powers(const T* z, const uint8_t* allowed, ptrdiff_t A, double* __restrict e) {
    double top = -INFINITY, sum = 0;
    for (ptrdiff_t k = 0; k < A; k++)
        if (!allowed || allowed[k]) top = std::max<double>(top, z[k]);
    for (ptrdiff_t k = 0; k < A; k++) {
        e[k] = allowed && !allowed[k] ? 0.0 : skml_fused::exponential<double>(z[k] - top);
        sum += e[k];
    }
    return sum;
}

// The first action whose cumulative probability is above u.
template <class T> static inline int32_t choose(const T* z, const uint8_t* allowed, ptrdiff_t A, double u, double* e) {
    const double at = u * powers(z, allowed, A, e);
    double sum = 0;
    int32_t last = 0;
    for (ptrdiff_t k = 0; k < A; k++) {
        if (e[k] > 0) last = int32_t(k);
        sum += e[k];
        if (sum > at) return int32_t(k);
    }
    return last;
}

// Of -weight ln p_a - bonus H(p), the gradient at the logits: weight (p_k - [k = a]) + bonus p_k (ln p_k + H).
// `figures`: ln p_a, the entropy H, and the least probability of an action that is allowed.
template <class T>
static inline void slope_of_choice(const T* z, const uint8_t* allowed, ptrdiff_t A, int32_t a, double weight,
                                   double bonus, double* e, T* dz, double* figures) {
    const double sum = powers(z, allowed, A, e), log_sum = std::log(sum);
    double top = -INFINITY, entropy = 0, least = 1;
    for (ptrdiff_t k = 0; k < A; k++)
        if (!allowed || allowed[k]) top = std::max<double>(top, z[k]);
    for (ptrdiff_t k = 0; k < A; k++) {
        if (allowed && !allowed[k]) continue;
        const double p = e[k] / sum;
        entropy -= p * (z[k] - top - log_sum);
        least = std::min(least, p);
    }
    for (ptrdiff_t k = 0; k < A; k++) {
        const double p = e[k] / sum, log_p = p > 0 ? z[k] - top - log_sum : 0.0;
        dz[k] = T(weight * (p - double(k == a)) + bonus * p * (log_p + entropy));
    }
    figures[0] = z[a] - top - log_sum;
    figures[1] = entropy;
    figures[2] = least;
}

}  // namespace skml_actors
