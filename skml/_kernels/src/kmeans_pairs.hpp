// Squared distances between rows of X and centres.
//
// One pair (point, centre) always goes through the same sequence of roundings, whichever
// function below computes it: that is what makes pruned assignment equal to Lloyd's bit for bit,
// and labels independent of batch, tile and thread. Two sequences exist, chosen by the width d:
//   narrow (d <= NARROW): one chain of multiply-adds over the features;
//   wide: VL chains (lane l takes features l, l + VL, ...), folded in halves, then the tail in order.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace skml_kmeans {

constexpr int NARROW = 32;
#if defined(__AVX512F__)
constexpr int VECTOR_BYTES = 64;
#elif defined(__AVX__)
constexpr int VECTOR_BYTES = 32;
#else
constexpr int VECTOR_BYTES = 16;
#endif

template <class T> struct Lanes {
    static constexpr int n = VECTOR_BYTES / sizeof(T);
    typedef T vec __attribute__((vector_size(VECTOR_BYTES)));
};

template <class T> using Vec = typename Lanes<T>::vec;

template <class V, class T> static inline V load(const T* p) { V v; std::memcpy(&v, p, sizeof(V)); return v; }
template <class V, class T> static inline void store(T* p, V v) { std::memcpy(p, &v, sizeof(V)); }

// a * b + c with one rounding where the processor can, and two where it cannot: never either by chance.
static inline float madd(float a, float b, float c) {
#if defined(__FMA__)
    return __builtin_fmaf(a, b, c);
#else
    return a * b + c;
#endif
}
static inline double madd(double a, double b, double c) {
#if defined(__FMA__)
    return __builtin_fma(a, b, c);
#else
    return a * b + c;
#endif
}
static inline Vec<float> madd(Vec<float> a, Vec<float> b, Vec<float> c) {
#if defined(__AVX512F__)
    return (Vec<float>)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__FMA__)
    return (Vec<float>)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
    return a * b + c;
#endif
}
static inline Vec<double> madd(Vec<double> a, Vec<double> b, Vec<double> c) {
#if defined(__AVX512F__)
    return (Vec<double>)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#elif defined(__FMA__)
    return (Vec<double>)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#else
    return a * b + c;
#endif
}

// x - c, or 0 where x is missing (NaN) and MISSING is asked for.
template <bool MISSING, class V> static inline V gap(V x, V c) {
    V t = x - c;
    if constexpr (MISSING) t = (x == x) ? t : V{};
    return t;
}
template <bool MISSING> static inline float gap(float x, float c) { return MISSING && x != x ? 0.0f : x - c; }
template <bool MISSING> static inline double gap(double x, double c) { return MISSING && x != x ? 0.0 : x - c; }

template <class T> static inline T fold(Vec<T> v) {
    constexpr int n = Lanes<T>::n;
    alignas(VECTOR_BYTES) T a[n];
    store(a, v);
    for (int h = n / 2; h > 0; h /= 2)
        for (int l = 0; l < h; l++) a[l] += a[l + h];
    return a[0];
}

// One pair, narrow.
template <class T, bool M> static inline T narrow_pair(const T* x, const T* c, ptrdiff_t d) {
    T s = 0;
    for (ptrdiff_t j = 0; j < d; j++) { T t = gap<M>(x[j], c[j]); s = madd(t, t, s); }
    return s;
}

// P pairs at once, wide: out[p] = |x[p] - c[p]|^2; the P chains hide each other's latency.
template <class T, bool M, int P>
static inline void wide_pairs(const T* const* x, const T* const* c, ptrdiff_t d, T* out) {
    typedef Vec<T> V;
    constexpr int n = Lanes<T>::n;
    V s[P];
    for (int p = 0; p < P; p++) s[p] = V{};
    ptrdiff_t j = 0;
    for (; j + n <= d; j += n)
        for (int p = 0; p < P; p++) {
            V t = gap<M>(load<V>(x[p] + j), load<V>(c[p] + j));
            s[p] = madd(t, t, s[p]);
        }
    for (int p = 0; p < P; p++) {
        T r = fold<T>(s[p]);
        for (ptrdiff_t q = j; q < d; q++) { T t = gap<M>(x[p][q], c[p][q]); r = madd(t, t, r); }
        out[p] = r;
    }
}

// A tile of R rows by C centres, wide: out[r * C + q].
template <class T, bool M, int R, int C>
static inline void wide_tile(const T* const* x, const T* c, ptrdiff_t stride, ptrdiff_t d, T* out) {
    typedef Vec<T> V;
    constexpr int n = Lanes<T>::n;
    V s[R][C];
    for (int r = 0; r < R; r++)
        for (int q = 0; q < C; q++) s[r][q] = V{};
    ptrdiff_t j = 0;
    for (; j + n <= d; j += n) {
        V xv[R];
        for (int r = 0; r < R; r++) xv[r] = load<V>(x[r] + j);
        for (int q = 0; q < C; q++) {
            V cv = load<V>(c + q * stride + j);
            for (int r = 0; r < R; r++) { V t = gap<M>(xv[r], cv); s[r][q] = madd(t, t, s[r][q]); }
        }
    }
    for (int r = 0; r < R; r++)
        for (int q = 0; q < C; q++) {
            T v = fold<T>(s[r][q]);
            for (ptrdiff_t p = j; p < d; p++) { T t = gap<M>(x[r][p], c[q * stride + p]); v = madd(t, t, v); }
            out[r * C + q] = v;
        }
}

// Any number of pairs; the sequence follows the width.
template <class T, bool M>
static inline void pair_list(const T* const* x, const T* const* c, ptrdiff_t n, ptrdiff_t d, T* out) {
    if (d <= NARROW) {
        for (ptrdiff_t p = 0; p < n; p++) out[p] = narrow_pair<T, M>(x[p], c[p], d);
        return;
    }
    ptrdiff_t p = 0;
    for (; p + 4 <= n; p += 4) wide_pairs<T, M, 4>(x + p, c + p, d, out + p);
    for (; p < n; p++) wide_pairs<T, M, 1>(x + p, c + p, d, out + p);
}

// The two smallest of a row's distances; ties keep the smaller centre.
template <class T> struct Nearest {
    T first = std::numeric_limits<T>::infinity(), second = std::numeric_limits<T>::infinity();
    int32_t label = 0;
    inline void see(T value, int32_t j) {
        if (value < first || (value == first && j < label)) { second = first; first = value; label = j; }
        else if (value < second) second = value;
    }
};

}  // namespace skml_kmeans
