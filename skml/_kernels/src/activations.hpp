// Activations and their derivatives, of one number and over arrays.
#pragma once
#include <cstddef>
#include <type_traits>

#include "exponential.hpp"

namespace skml_fused {

enum Activation { IDENTITY, RELU, LEAKY_RELU, GELU, TANH, SIGMOID };

template <int A, class T> static inline T activated(T z) {
    if (A == RELU) return z < T(0) ? T(0) : z;
    if (A == LEAKY_RELU) return z < T(0) ? T(0.01) * z : z;
    if (A == GELU) return z * below(z, exponential(T(-0.5) * z * z));
    if (A == TANH) return hyperbolic_tangent(z);
    if (A == SIGMOID) return sigmoid(z);
    return z;
}

// From what comes out, y; of gelu from what goes in.
template <int A, class T> static inline T derivative(T y) {
    if (A == RELU) return y > T(0) ? T(1) : T(0);
    if (A == LEAKY_RELU) return y > T(0) ? T(1) : T(0.01);
    if (A == GELU) {
        const T bell = exponential(T(-0.5) * y * y);
        return below(y, bell) + y * bell * T(0.39894228040143268);
    }
    if (A == TANH) return T(1) - y * y;
    if (A == SIGMOID) return y * (T(1) - y);
    return T(1);
}

// Calls f with the activation as a constant, so that its loop has no branch.
template <class F> static inline void with_activation(int activation, F f) {
    switch (activation) {
        case RELU: return f(std::integral_constant<int, RELU>());
        case LEAKY_RELU: return f(std::integral_constant<int, LEAKY_RELU>());
        case GELU: return f(std::integral_constant<int, GELU>());
        case TANH: return f(std::integral_constant<int, TANH>());
        case SIGMOID: return f(std::integral_constant<int, SIGMOID>());
        default: return f(std::integral_constant<int, IDENTITY>());
    }
}

template <class T>
static inline void bias_rows(T* __restrict z, const T* __restrict b, ptrdiff_t n, ptrdiff_t F, int activation) {
    with_activation(activation, [=](auto a) {
        for (ptrdiff_t i = 0; i < n; i++) {
            T* __restrict row = z + i * F;
            if (b) for (ptrdiff_t f = 0; f < F; f++) row[f] = activated<decltype(a)::value>(row[f] + b[f]);
            else for (ptrdiff_t f = 0; f < F; f++) row[f] = activated<decltype(a)::value>(row[f]);
        }
    });
}

template <class T> static inline void slope(const T* dy, const T* y, T* dz, ptrdiff_t n, int activation) {
    with_activation(activation, [=](auto a) {
#pragma GCC ivdep
        for (ptrdiff_t i = 0; i < n; i++) dz[i] = dy[i] * derivative<decltype(a)::value>(y[i]);
    });
}

}  // namespace skml_fused
