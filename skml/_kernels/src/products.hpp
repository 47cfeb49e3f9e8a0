// Products of rows with rows. Every sum has one order, first component first, whatever tile it is computed in: so equal
// rows have equal products, and how many rows there are shows in no bit, as it does in those of BLAS.
#pragma once
#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "kmeans_pairs.hpp"

namespace skml_products {
using skml_kmeans::Lanes;
using skml_kmeans::Vec;
using skml_kmeans::load;
using skml_kmeans::madd;
using skml_kmeans::store;

#if defined(__AVX512F__)  // as many sums as registers hold
constexpr int HEIGHT = 8, VECTORS = 3;
#elif defined(__AVX__)
constexpr int HEIGHT = 4, VECTORS = 3;
#else
constexpr int HEIGHT = 4, VECTORS = 2;
#endif
constexpr ptrdiff_t DEPTH = 256;  // components of a panel

template <class T> constexpr int WIDTH = VECTORS * Lanes<T>::n;  // rows of the right side in a panel

template <class T> inline ptrdiff_t width_of(const T*) { return WIDTH<T>; }
// How many numbers of working space a thread needs, alignment included.
template <class T> inline ptrdiff_t space_of(const T*) { return WIDTH<T> * DEPTH + 64; }

// Four components of four rows, turned round.
template <class T> static inline void turn(const T* rows, ptrdiff_t step, T* out) {
    typedef T Four __attribute__((vector_size(4 * sizeof(T))));
    typedef std::conditional_t<sizeof(T) == 4, int32_t, int64_t> Int;
    typedef Int Places __attribute__((vector_size(4 * sizeof(T))));
    const Four a = load<Four>(rows), b = load<Four>(rows + step), c = load<Four>(rows + 2 * step),
               d = load<Four>(rows + 3 * step);
    const Places low = {0, 4, 1, 5}, high = {2, 6, 3, 7}, front = {0, 1, 4, 5}, back = {2, 3, 6, 7};
    const Four ab = __builtin_shuffle(a, b, low), cd = __builtin_shuffle(c, d, low);
    const Four AB = __builtin_shuffle(a, b, high), CD = __builtin_shuffle(c, d, high);
    store(out, __builtin_shuffle(ab, cd, front));
    store(out + WIDTH<T>, __builtin_shuffle(ab, cd, back));
    store(out + 2 * WIDTH<T>, __builtin_shuffle(AB, CD, front));
    store(out + 3 * WIDTH<T>, __builtin_shuffle(AB, CD, back));
}

// `depth` components of up to WIDTH rows, k numbers apart, component by component; zeros for rows that are not there.
template <class T> static inline void pack(const T* rows, ptrdiff_t n_rows, ptrdiff_t k, ptrdiff_t depth, T* panel) {
    ptrdiff_t q = 0;
    for (; q + 4 <= n_rows; q += 4) {
        ptrdiff_t f = 0;
        for (; f + 4 <= depth; f += 4) turn(rows + q * k + f, k, panel + f * WIDTH<T> + q);
        for (; f < depth; f++)
            for (ptrdiff_t r = q; r < q + 4; r++) panel[f * WIDTH<T> + r] = rows[r * k + f];
    }
    for (; q < WIDTH<T>; q++)
        for (ptrdiff_t f = 0; f < depth; f++) panel[f * WIDTH<T> + q] = q < n_rows ? rows[q * k + f] : T(0);
}

// `depth` rows of up to W columns, `step` numbers apart, side by side; zeros for columns that are not there.
template <int W, class T>
static inline void pack_across(const T* rows, ptrdiff_t n_columns, ptrdiff_t step, ptrdiff_t depth, T* packed) {
    constexpr int piece = std::min(W, Lanes<T>::n);
    for (ptrdiff_t f = 0; f < depth; f++, rows += step, packed += W) {
        if (n_columns >= W) for (int q = 0; q < W; q += piece) std::memcpy(packed + q, rows + q, piece * sizeof(T));
        else std::fill(std::copy(rows, rows + n_columns, packed), packed + W, T(0));
    }
}

// H rows of the left side times Q vectors of a panel, whose sums stay in registers; added to what is there unless this is
// the first. The left side has its rows k numbers apart; or it was packed across, in groups of HEIGHT.
template <class T, int H, int Q, bool PACKED>
static inline void sum_up(const T* left, ptrdiff_t k, const T* panel, ptrdiff_t depth, T* out, ptrdiff_t n, bool first) {
    typedef Vec<T> V;
    constexpr int L = Lanes<T>::n;
    const ptrdiff_t row = PACKED ? 1 : k, next = PACKED ? HEIGHT : 1;
    for (int p = 0; p < H; p++)  // where the sums will be written
        for (int q = 0; q < Q; q++) __builtin_prefetch(out + p * n + q * L, 1);
    V sum[H][Q];
    for (int p = 0; p < H; p++)
        for (int q = 0; q < Q; q++) sum[p][q] = first ? V{} : load<V>(out + p * n + q * L);
    for (ptrdiff_t f = 0; f < depth; f++) {
        V v[Q];
        for (int q = 0; q < Q; q++) v[q] = load<V>(panel + f * WIDTH<T> + q * L);
        for (int p = 0; p < H; p++) {
            const V x = left[p * row + f * next] - V{};  // in all lanes
            for (int q = 0; q < Q; q++) sum[p][q] = madd(x, v[q], sum[p][q]);
        }
    }
    for (int p = 0; p < H; p++)
        for (int q = 0; q < Q; q++) store(out + p * n + q * L, sum[p][q]);
}

// The same where only some of the columns are there.
template <class T, int H, int Q, bool PACKED>
static inline void tile(const T* left, ptrdiff_t k, const T* panel, ptrdiff_t depth, T* out, ptrdiff_t n,
                        ptrdiff_t n_columns, bool first) {
    constexpr int W = Q * Lanes<T>::n;
    if (n_columns >= W) return sum_up<T, H, Q, PACKED>(left, k, panel, depth, out, n, first);
    T flat[H * W] = {};
    for (int p = 0; p < H && !first; p++) std::copy(out + p * n, out + p * n + n_columns, flat + p * W);
    sum_up<T, H, Q, PACKED>(left, k, panel, depth, flat, W, first);
    for (int p = 0; p < H; p++) std::copy(flat + p * W, flat + p * W + n_columns, out + p * n);
}

// m rows of the left side times the n_columns columns of a panel that there are.
template <bool PACKED, class T>
static inline void times_panel(const T* left, ptrdiff_t m, ptrdiff_t k, const T* panel, ptrdiff_t depth, T* out, ptrdiff_t n,
                               ptrdiff_t n_columns, bool first) {
    const auto by = [&](auto vectors) {
        const auto each = [&](auto height, ptrdiff_t i) {
            for (; i + height <= m; i += height) {
                const T* rows = left + (PACKED ? i / HEIGHT * HEIGHT * depth + i % HEIGHT : i * k);
                tile<T, height, vectors, PACKED>(rows, k, panel, depth, out + i * n, n, n_columns, first);
            }
            return i;
        };
        const ptrdiff_t i = each(std::integral_constant<int, HEIGHT>(), 0);
        each(std::integral_constant<int, 1>(), each(std::integral_constant<int, 2>(), i));
    };
    const ptrdiff_t vectors = (n_columns + Lanes<T>::n - 1) / Lanes<T>::n;
    if (vectors >= VECTORS) by(std::integral_constant<int, VECTORS>());
    else if (vectors == 2) by(std::integral_constant<int, 2>());
    else by(std::integral_constant<int, 1>());
}

template <class T> static inline T* aligned(T* space) { return (T*)(((std::uintptr_t)space + 63) / 64 * 64); }

// All rows of the left side, (m, k), times up to WIDTH rows of the right side from j on, (n, k).
template <class T>
static inline void multiply_panel(const T* left, ptrdiff_t m, const T* right, ptrdiff_t n, ptrdiff_t k, ptrdiff_t j,
                                  T* space, T* out) {
    T* panel = aligned(space);
    const ptrdiff_t n_columns = std::min<ptrdiff_t>(WIDTH<T>, n - j);
    for (ptrdiff_t from = 0; from < k; from += DEPTH) {
        const ptrdiff_t depth = std::min(DEPTH, k - from);
        pack(right + j * k + from, n_columns, k, depth, panel);
        times_panel<false>(left + from, m, k, panel, depth, out + j, n, n_columns, from == 0);
    }
}

}  // namespace skml_products
