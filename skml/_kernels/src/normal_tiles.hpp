// Square tiles in registers: products of gathered rows, and the Cholesky factorisation made of the same products.
#pragma once
#include <cmath>
#include <cstddef>
#include <limits>

namespace skml_normal {

using std::ptrdiff_t;

#if defined(__AVX512F__)
constexpr int vector_bytes = 64;
#elif defined(__AVX__)
constexpr int vector_bytes = 32;
#else
constexpr int vector_bytes = 16;
#endif

template <class T> constexpr int lanes = vector_bytes / static_cast<int>(sizeof(T));
template <class T, int bytes> struct Vector {
    typedef T type __attribute__((vector_size(bytes)));
    typedef T anywhere __attribute__((vector_size(bytes), aligned(sizeof(T)), may_alias));
};
template <class T> using vec = typename Vector<T, vector_bytes>::type;

template <class T> static inline vec<T> load(const T* from) {
    return *reinterpret_cast<const typename Vector<T, vector_bytes>::anywhere*>(from);
}
template <class T> static inline void store(T* to, vec<T> v) {
    *reinterpret_cast<typename Vector<T, vector_bytes>::anywhere*>(to) = v;
}

// The sum of a vector's numbers, by halves.
template <class T, int bytes = vector_bytes> static inline T total(typename Vector<T, bytes>::type v) {
    if constexpr (bytes == (int)sizeof(T)) {
        return v[0];
    } else if constexpr (bytes == 2 * (int)sizeof(T)) {
        return v[0] + v[1];
    } else {
        typename Vector<T, bytes / 2>::type half[2];
        __builtin_memcpy(half, &v, bytes);
        return total<T, bytes / 2>(half[0] + half[1]);
    }
}

template <class T> static inline double dot(const T* a, const T* b, ptrdiff_t K) {
    vec<T> sum = {};
    for (ptrdiff_t c = 0; c < K; c += lanes<T>) sum += load(a + c) * load(b + c);
    return total<T>(sum);
}

// sum +-= left' right of `depth` rows, K numbers apart.
template <class T, int sign> static inline void add_tile(const T* __restrict left, const T* __restrict right, ptrdiff_t depth,
                                                         ptrdiff_t K, vec<T> (&sum)[lanes<T>]) {
    for (ptrdiff_t r = 0; r < depth; r++, left += K, right += K) {
        const vec<T> v = load(right);
#pragma GCC unroll 16
        for (int p = 0; p < lanes<T>; p++) sum[p] = sign > 0 ? sum[p] + left[p] * v : sum[p] - left[p] * v;
    }
}

// Factors a tile on the diagonal, U'U, in place. A pivot of rounding only (no more than `least`) is left out: 1/0 is 0.
template <class T> static inline void factor_tile(T* at, ptrdiff_t K, vec<T> (&tile)[lanes<T>], const T* least, T* inverse) {
    constexpr int N = lanes<T>;
#pragma GCC unroll 16
    for (int r = 0; r < N; r++) {
        T* row = at + r * K;
        const T pivot = tile[r][r];
        inverse[r] = pivot > least[r] ? 1 / std::sqrt(pivot) : T(0);
        tile[r] *= inverse[r];
        store(row, tile[r]);
#pragma GCC unroll 16
        for (int p = r + 1; p < N; p++) tile[p] -= row[p] * tile[r];
    }
    for (int r = 1; r < N; r++)
        for (int c = 0; c < r; c++) at[r * K + c] = 0;
}

// tile = U^-T tile
template <class T> static inline void divide_tile(const T* U, ptrdiff_t K, const T* inverse, vec<T> (&tile)[lanes<T>]) {
    constexpr int N = lanes<T>;
#pragma GCC unroll 16
    for (int r = 0; r < N; r++) {
        tile[r] *= inverse[r];
#pragma GCC unroll 16
        for (int p = r + 1; p < N; p++) tile[p] -= U[r * K + p] * tile[r];
    }
}

// A = U'U, of whose upper tiles alone is read and written; `least` in: the smallest pivots that count.
template <class T> static inline void factor(T* A, const T* least, T* inverse, ptrdiff_t K) {
    constexpr int N = lanes<T>;
    for (ptrdiff_t i = 0; i < K; i += N)
        for (ptrdiff_t j = i; j < K; j += N) {
            vec<T> tile[N];
            for (int p = 0; p < N; p++) tile[p] = load(A + (i + p) * K + j);
            add_tile<T, -1>(A + i, A + j, i, K, tile);
            if (i == j) {
                factor_tile(A + i * K + j, K, tile, least + i, inverse + i);
            } else {
                divide_tile(A + i * K + i, K, inverse + i, tile);
                for (int p = 0; p < N; p++) store(A + (i + p) * K + j, tile[p]);
            }
        }
}

// b = U^-1 U^-T b
template <class T> static inline void substitute(const T* U, const T* inverse, T* b, ptrdiff_t K) {
    constexpr int N = lanes<T>;
    for (ptrdiff_t i = 0; i < K; i += N) {
        vec<T> sum[4] = {load(b + i)};
        for (ptrdiff_t r = 0; r < i; r += N)
            for (int q = 0; q < N; q++) sum[q % 4] -= b[r + q] * load(U + (r + q) * K + i);
        vec<T> left = N > 2 ? (sum[0] + sum[1]) + (sum[2] + sum[3]) : sum[0] + sum[1];
#pragma GCC unroll 16
        for (int r = 0; r < N; r++) {
            b[i + r] = left[r] * inverse[i + r];
            left -= b[i + r] * load(U + (i + r) * K + i);
        }
    }
    for (ptrdiff_t i = K - N; i >= 0; i -= N) {
        vec<T> sum[N] = {};
        for (ptrdiff_t j = i + N; j < K; j += N)
            for (int p = 0; p < N; p++) sum[p] += load(U + (i + p) * K + j) * load(b + j);
        for (int p = 0; p < N; p++) b[i + p] -= total<T>(sum[p]);
        for (int c = N - 1; c >= 0; c--) {
            b[i + c] *= inverse[i + c];
            for (int r = 0; r < c; r++) b[i + r] -= U[(i + r) * K + i + c] * b[i + c];
        }
    }
}

// Solves A x = b for a symmetric positive (semi)definite A given in upper tiles; x replaces b, U replaces A. Where A is
// singular, numbers whose pivots are rounding are 0.
template <class T> static inline void solve_positive(T* A, T* b, T* least, T* inverse, ptrdiff_t K) {
    const T share = 4 * K * std::numeric_limits<T>::epsilon();
    for (ptrdiff_t c = 0; c < K; c++) least[c] = A[c * K + c] * share;
    factor(A, least, inverse, K);
    substitute(A, inverse, b, K);
}

}  // namespace skml_normal
