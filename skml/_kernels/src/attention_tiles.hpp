// Products of small matrices in registers, and what attention does to a tile of scores: mask, softmax, slopes.
//
// All arrays are scratch of a thread, padded with zeros to whole tiles and whole vectors, so that no loop has a rest.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>
#include "exponential.hpp"

namespace skml_attention {

using std::int32_t;
using std::ptrdiff_t;

#if defined(__AVX512F__)
constexpr int vector_bytes = 64, rows = 8;
#elif defined(__AVX__)
constexpr int vector_bytes = 32, rows = 4;
#else
constexpr int vector_bytes = 16, rows = 4;
#endif
constexpr ptrdiff_t side = 64;  // queries and keys of a tile

template <class T> constexpr int lanes = vector_bytes / static_cast<int>(sizeof(T));

static inline ptrdiff_t rounded_up(ptrdiff_t n, ptrdiff_t unit) { return (n + unit - 1) / unit * unit; }

// A matrix whose entry (i, k) is at data[i * row + k * column].
template <class T> struct Matrix {
    const T* data;
    ptrdiff_t row, column;
};

// out_i (+)= sum_k a_ik b_k for `rows` rows i and V vectors of columns; k runs from `from` to `to`.
template <class T, int V, bool add>
static inline void block(const T* a, ptrdiff_t row, ptrdiff_t column, const T* b, ptrdiff_t step, ptrdiff_t from,
                         ptrdiff_t to, T* out, ptrdiff_t stride) {
    typedef T vector __attribute__((vector_size(vector_bytes)));
    typedef T anywhere __attribute__((vector_size(vector_bytes), aligned(sizeof(T)), may_alias));
    vector sum[rows][V];
    for (int i = 0; i < rows; i++)
        for (int v = 0; v < V; v++)
            sum[i][v] = add ? *reinterpret_cast<const anywhere*>(out + i * stride + v * lanes<T>) : vector{};
    a += from * column, b += from * step;
    for (ptrdiff_t k = from; k < to; k++, a += column, b += step) {
        vector right[V];
        for (int v = 0; v < V; v++) right[v] = *reinterpret_cast<const anywhere*>(b + v * lanes<T>);
        for (int i = 0; i < rows; i++)
            for (int v = 0; v < V; v++) sum[i][v] += a[i * row] * right[v];
    }
    for (int i = 0; i < rows; i++)
        for (int v = 0; v < V; v++) *reinterpret_cast<anywhere*>(out + i * stride + v * lanes<T>) = sum[i][v];
}

// The columns of one block of rows: four vectors at a time where registers hold them, and the rest.
template <class T, bool add>
static inline void strip(const T* a, ptrdiff_t row, ptrdiff_t column, const T* b, ptrdiff_t step, ptrdiff_t from,
                         ptrdiff_t to, T* out, ptrdiff_t stride, ptrdiff_t columns) {
    ptrdiff_t c = 0;
    for (; c + 2 * lanes<T> <= columns; c += 2 * lanes<T>)
        block<T, 2, add>(a, row, column, b + c, step, from, to, out + c, stride);
    for (; c < columns; c += lanes<T>) block<T, 1, add>(a, row, column, b + c, step, from, to, out + c, stride);
}

// Which keys the queries of a tile see, counted from the tile's first key.
struct Window {
    int32_t from[side], to[side];
    int32_t least[side / rows], most[side / rows];  // of each block of rows

    // Query i of n, at time t0 + i, sees first[i] .. t0 + i; keys start at j0. Returns whether any is seen.
    bool open(const int32_t* first, ptrdiff_t n, ptrdiff_t t0, ptrdiff_t j0) {
        bool any = false;
        for (ptrdiff_t i = 0; i < side; i++) {
            from[i] = i < n ? (int32_t)std::clamp<ptrdiff_t>(first[i] - j0, 0, side) : 0;
            to[i] = i < n ? (int32_t)std::clamp<ptrdiff_t>(t0 + i + 1 - j0, 0, side) : 0;
            if (from[i] >= to[i]) from[i] = to[i] = 0;
            any |= from[i] < to[i];
        }
        for (ptrdiff_t r = 0; r < side / rows; r++) {
            least[r] = side, most[r] = 0;
            for (int i = 0; i < rows; i++) {
                const ptrdiff_t at = r * rows + i;
                if (from[at] < to[at]) least[r] = std::min(least[r], from[at]), most[r] = std::max(most[r], to[at]);
            }
            least[r] = std::min(least[r], most[r]);
        }
        return any;
    }
};

// Scores of a tile: s = q k^T, where blocks of queries see any; `keys` is k transposed, 64 keys wide.
template <class T>
static inline void scores(const T* q, ptrdiff_t width, const T* keys, ptrdiff_t D, const Window& w, T* s) {
    for (ptrdiff_t r = 0; r < side / rows; r++)
        if (w.most[r])
            strip<T, false>(q + r * rows * width, width, 1, keys, side, 0, D, s + r * rows * side, side,
                            rounded_up(w.most[r], lanes<T>));
}

// out (+)= p v over the keys that each block of queries sees.
template <class T> static inline void over_keys(const T* p, const T* v, ptrdiff_t width, const Window& w, T* out) {
    for (ptrdiff_t r = 0; r < side / rows; r++)
        if (w.most[r])
            strip<T, true>(p + r * rows * side, side, 1, v, width, w.least[r], w.most[r], out + r * rows * width, width,
                           width);
}

// out (+)= p^T x over the queries of blocks `first` and later that see a block of keys.
template <class T> static inline void over_queries(const T* p, const T* x, ptrdiff_t width, const Window& w, T* out) {
    for (ptrdiff_t r = 0; r < side / rows; r++) {
        ptrdiff_t from = side / rows, to = 0;
        for (ptrdiff_t i = 0; i < side / rows; i++)
            if (w.least[i] < (r + 1) * rows && w.most[i] > r * rows) from = std::min(from, i), to = i + 1;
        if (from < to)
            strip<T, true>(p + r * rows, 1, side, x, width, from * rows, to * rows, out + r * rows * width, width, width);
    }
}

template <class T> struct Lanes {
    typedef T Vector __attribute__((vector_size(vector_bytes)));
    typedef std::conditional_t<sizeof(T) == 4, int32_t, int64_t> Int;
    typedef Int Places __attribute__((vector_size(vector_bytes)));
    static Vector load(const T* x) {
        Vector v;
        std::memcpy(&v, x, sizeof v);
        return v;
    }
    // Number l and number l ^ half change places.
    template <int half, std::size_t... l> static Vector swapped(Vector v, std::index_sequence<l...>) {
        return __builtin_shuffle(v, Places{Int(l ^ half)...});
    }
    // Combines a vector's numbers in a tree, in registers.
    template <int half, class F> static T folded(Vector part, F f) {
        part = f(part, swapped<half>(part, std::make_index_sequence<lanes<T>>()));
        if constexpr (half > 1) return folded<half / 2>(part, f);
        else return part[0];
    }
};

// p = exp(s - top) where seen and 0 elsewhere, in the whole row.
template <class T> static inline void exponentials(T* s, T top, int32_t from, int32_t to) {
    const int32_t end = (int32_t)rounded_up(to, lanes<T>);
#pragma GCC ivdep
    for (int32_t j = 0; j < end; j++) s[j] = skml_fused::exponential(s[j] - top);
    std::fill(s, s + from, T(0)), std::fill(s + to, s + side, T(0));
}

template <class T> static inline T total_of(const T* s, int32_t to) {
    typename Lanes<T>::Vector part = {};
    for (int32_t j = 0; j < to; j += lanes<T>) part += Lanes<T>::load(s + j);
    return Lanes<T>::template folded<lanes<T> / 2>(part, [](auto a, auto b) { return a + b; });
}

template <class T> static inline T largest(const T* s, int32_t from, int32_t to, T top) {
    int32_t j = from;
    if (to - from >= lanes<T>) {
        const auto larger = [](auto a, auto b) { return a > b ? a : b; };
        auto part = Lanes<T>::load(s + j);
        for (j += lanes<T>; j + lanes<T> <= to; j += lanes<T>) part = larger(Lanes<T>::load(s + j), part);
        const T found = Lanes<T>::template folded<lanes<T> / 2>(part, larger);
        top = found > top ? found : top;
    }
    for (; j < to; j++) top = s[j] > top ? s[j] : top;
    return top;
}

// The cosines and sines of rotary positions: row t for position t, D / 2 numbers each; null for none.
template <class T> struct Rotary {
    const T *cosine, *sine;
};

// Copies a head of one moment, turned by its position and scaled (Su et al. 2021, eq. 34; channels i and i + D / 2
// are a pair); direction -1 turns back.
template <class T>
static inline void turned(const T* __restrict x, T* __restrict out, ptrdiff_t D, const Rotary<T>& r, ptrdiff_t position,
                          T direction, T scale) {
    if (!r.cosine) {
        for (ptrdiff_t d = 0; d < D; d++) out[d] = x[d] * scale;
        return;
    }
    const ptrdiff_t half = D / 2;
    const T *c = r.cosine + position * half, *s = r.sine + position * half;
    for (ptrdiff_t d = 0; d < half; d++) {
        const T a = x[d], b = x[d + half], sine = direction * s[d];
        out[d] = (a * c[d] - b * sine) * scale, out[d + half] = (b * c[d] + a * sine) * scale;
    }
}

}  // namespace skml_attention
