// exp, tanh, the logistic function and the normal distribution without a branch or a call, so that loops over them are
// computed in vectors: the standard library's are not without -ffast-math.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

namespace skml_fused {

template <class T> struct Format;
template <> struct Format<float> {
    using Word = uint32_t;
    static constexpr int mantissa = 23, bias = 127, terms = 7;
    static constexpr float magic = 12582912.0f, low = -87.0f, high = 88.0f;  // 1.5 * 2^23
    static constexpr float ln2 = 0.693359375f, ln2_rest = -2.12194440e-4f;
};
template <> struct Format<double> {
    using Word = uint64_t;
    static constexpr int mantissa = 52, bias = 1023, terms = 13;
    static constexpr double magic = 6755399441055744.0, low = -708.0, high = 709.0;  // 1.5 * 2^52
    static constexpr double ln2 = 6.93147180369123816490e-01, ln2_rest = 1.90821492927058770002e-10;
};

// x = n ln 2 + r gives exp(x) = 2^n (1 + q) with q = exp(r) - 1 = r + r^2 / 2! + ..., |r| <= ln 2 / 2: so many terms
// leave less than half a unit in the last place. Between 2^-126 (2^-1022) and the largest number; NaN stays NaN.
template <class T> static inline void parts(T x, T& power, T& q) {
    using F = Format<T>;
    x = x < F::low ? F::low : x;
    x = x > F::high ? F::high : x;
    const T rounded = x * T(1.4426950408889634) + F::magic, n = rounded - F::magic;
    const T r = (x - n * F::ln2) - n * F::ln2_rest;
    typename F::Word word;
    std::memcpy(&word, &rounded, sizeof word);
    word = (word << F::mantissa) + (typename F::Word(F::bias) << F::mantissa);
    std::memcpy(&power, &word, sizeof word);
    static constexpr T inverse[] = {T(1), T(1. / 2), T(1. / 6), T(1. / 24), T(1. / 120), T(1. / 720), T(1. / 5040),
                                    T(1. / 40320), T(1. / 362880), T(1. / 3628800), T(1. / 39916800),
                                    T(1. / 479001600), T(1. / 6227020800)};
    T sum = inverse[F::terms - 1];
#pragma GCC unroll 16
    for (int i = F::terms - 2; i >= 0; i--) sum = sum * r + inverse[i];
    q = sum * r;
}

template <class T> static inline T exponential(T x) {
    T power, q;
    parts(x, power, q);
    return power + power * q;
}

template <class T> static inline T sigmoid(T x) { return T(1) / (T(1) + exponential(-x)); }

template <class T> static inline T hyperbolic_tangent(T x) {
    const T far = sizeof(T) == 4 ? T(10) : T(20);
    T a = std::fabs(x), power, q;
    a = a > far ? far : a;  // where it is 1
    parts(2 * a, power, q);
    const T e = power * q + (power - T(1));  // exp(2 |x|) - 1
    return std::copysign(e / (e + T(2)), x);
}

// erfc(x) exp(x^2) / 2 for 0 <= x <= far, as a polynomial of s = slope c / (c + x) + shift, which goes from -1 to 1:
// interpolated at Chebyshev's points with 40 digits, to 4e-9 (float32) and 4e-17 (float64) of its value.
template <class T> struct Tail;
template <> struct Tail<float> {
    static constexpr int terms = 11;
    static constexpr float far = 9.4f, c = 3.0f, slope = 2.6382978723404255078f, shift = -1.6382978723404255078f;
    static constexpr float factors[] = {
        1.373484401e-1f, 1.803934113e-1f, 1.101585478e-1f, 5.115262818e-2f, 1.724253276e-2f, 3.659792368e-3f,
        1.979446121e-4f, -1.317361284e-4f, -2.758546844e-5f, 4.368819085e-6f, 1.655975012e-6f};
};
template <> struct Tail<double> {
    static constexpr int terms = 23;
    static constexpr double far = 26.7, c = 4.0, slope = 2.2996254681647940155, shift = -1.2996254681647940155;
    static constexpr double factors[] = {
        8.74322800446316239e-2, 1.41541043842477316e-1, 1.11781327771680852e-1, 7.67311068728150581e-2,
        4.55200118917342858e-2, 2.30595756101707464e-2, 9.75615666706894471e-3, 3.30272141312897188e-3,
        8.09943351952404248e-4, 9.77406088811935497e-5, -1.95777017562115435e-5, -1.17623394655316485e-5,
        -1.36153508086028904e-6, 6.18531077432302333e-7, 2.15888324319466002e-7, -2.12623678560527707e-8,
        -2.15835907117930979e-8, -1.87231682875324117e-11, 2.03975487537723845e-9, 8.92115586875416674e-11,
        -1.86536507156827604e-10, -7.633276251679601e-12, 1.22445404262277178e-11};
};

// The normal distribution: P(Z <= z) = erfc(-z / sqrt 2) / 2; `bell` is exp(-z^2 / 2).
template <class T> static inline T below(T z, T bell) {
    using F = Tail<T>;
    T x = std::fabs(z) * T(0.70710678118654752);
    bell = x > F::far ? T(0) : bell;
    x = x > F::far ? F::far : x;
    const T s = F::slope * (F::c / (F::c + x)) + F::shift;
    T sum = F::factors[F::terms - 1];
#pragma GCC unroll 32
    for (int i = F::terms - 2; i >= 0; i--) sum = sum * s + F::factors[i];
    const T tail = bell * sum;
    return z < T(0) ? tail : T(1) - tail;
}

// GPT-2's curve near it: (1 + tanh(u)) / 2 with u = sqrt(2 / pi) (z + 0.044715 z^3), and its slope.
template <class T> static inline T nearly_below(T z) {
    return sigmoid(T(1.5957691216057308) * (z + T(0.044715) * z * z * z));
}
template <class T> static inline T slope_of(T z, T nearly) {
    return nearly * (T(1) - nearly) * T(1.5957691216057308) * (T(1) + T(0.134145) * z * z);
}

}  // namespace skml_fused
