// The register tile of all convolutions, and the panels that it multiplies with.
//
// A tile holds the sums out_p += sum_k source_p[offset_k] * panel_k of up to `most_rows` rows p and one panel of
// columns. Forward and backward to the data, rows are positions and k runs over kernel entries; backward to the
// weights, rows are kernel entries and k runs over positions.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace skml_convolution {

using std::int32_t;
using std::int64_t;
using std::ptrdiff_t;

#if defined(__AVX512F__)
constexpr int vector_bytes = 64, most_rows = 8;
#elif defined(__AVX__)
constexpr int vector_bytes = 32, most_rows = 6;
#else
constexpr int vector_bytes = 16, most_rows = 6;
#endif

enum Activation { identity, relu, leaky_relu, gelu, tanh, sigmoid };

template <class T, int bytes> struct Vector {
    typedef T type __attribute__((vector_size(bytes)));
    typedef T anywhere __attribute__((vector_size(bytes), aligned(sizeof(T)), may_alias));
};
template <class T> constexpr int lanes = vector_bytes / static_cast<int>(sizeof(T));

// The width of the next panel when n columns are left: two vectors, one, or, where that is enough, a narrower one.
template <class T> static inline int panel_width(ptrdiff_t n) {
    if (2 * n > 3 * lanes<T>) return 2 * lanes<T>;
    int width = lanes<T>;
    while (2 * n <= width && width * sizeof(T) >= 32) width /= 2;
    return width;
}

// The columns of all panels for n columns, padding included.
template <class T> static inline ptrdiff_t panel_columns(ptrdiff_t n) {
    ptrdiff_t column = 0;
    while (column < n) column += panel_width<T>(n - column);
    return column;
}

// How a tile ends: its sums are stored, after `bias` and `activation`, or added to what is there.
template <class T> struct Finish {
    const T* bias;  // as wide as the panel, or null
    int activation, columns;  // only so many columns are stored
    bool add;
};

template <class T, int bytes, int V> static inline void put(const typename Vector<T, bytes>::type* sums, T* out, int columns) {
    constexpr int N = bytes / sizeof(T);
    if (columns >= V * N) {
        for (int v = 0; v < V; v++) *reinterpret_cast<typename Vector<T, bytes>::anywhere*>(out + v * N) = sums[v];
    } else {
        std::memcpy(out, sums, columns * sizeof(T));
    }
}

// Rows that meet the same panel: row i reads source + sources[i], and writes out + outs[i], or out + i * step.
template <class T> struct Rows {
    const T* source;
    const int32_t* sources;
    T* out;
    const ptrdiff_t* outs;  // or null
    ptrdiff_t step;
    T* at(ptrdiff_t i) const { return outs ? out + outs[i] : out + i * step; }
};

// Rows `begin` to `end`, a multiple of P.
template <class T, int bytes, int V, int P>
static void tiles(const Rows<T>& rows, ptrdiff_t begin, ptrdiff_t end, const int32_t* __restrict offsets, ptrdiff_t depth,
                  const T* __restrict panel, const Finish<T>& finish) {
    typedef typename Vector<T, bytes>::type vec;
    typedef typename Vector<T, bytes>::anywhere anywhere;
    constexpr int N = bytes / sizeof(T);
    const vec zero = {};
    const bool plain = !finish.add && finish.columns >= V * N;
    vec start[V];
    for (int v = 0; v < V; v++) start[v] = finish.bias ? *reinterpret_cast<const anywhere*>(finish.bias + v * N) : zero;
    for (ptrdiff_t i = begin; i < end; i += P) {
        const T* source[P];
        vec sums[P][V];
        for (int p = 0; p < P; p++) source[p] = rows.source + rows.sources[i + p];
        for (int p = 0; p < P; p++)
            for (int v = 0; v < V; v++) sums[p][v] = start[v];
        const T* right = panel;
        for (ptrdiff_t k = 0; k < depth; k++, right += V * N) {
            const ptrdiff_t offset = offsets[k];
            vec column[V];
            for (int v = 0; v < V; v++) column[v] = *reinterpret_cast<const anywhere*>(right + v * N);
            for (int p = 0; p < P; p++)
                for (int v = 0; v < V; v++) sums[p][v] += source[p][offset] * column[v];
        }
        // The commonest ends first, each without a branch for its numbers; unrolled, so that sums stay in registers.
        const auto each = [&](auto end) __attribute__((always_inline)) {
#pragma GCC unroll 8
            for (int p = 0; p < P; p++) {
                T* out = rows.at(i + p);
#pragma GCC unroll 2
                for (int v = 0; v < V; v++) end(sums[p][v], out + v * N, finish.columns - v * N);
            }
        };
        if (plain && finish.activation == relu) {
            each([&](const vec& sum, T* out, int) { *reinterpret_cast<anywhere*>(out) = sum < zero ? zero : sum; });  // NaN stays
        } else if (plain && finish.activation != leaky_relu) {
            each([](const vec& sum, T* out, int) { *reinterpret_cast<anywhere*>(out) = sum; });
        } else {
            each([&](vec sum, T* out, int columns) {
                if (finish.add) sum += *reinterpret_cast<const anywhere*>(out);
                if (finish.activation == relu) sum = sum < zero ? zero : sum;
                if (finish.activation == leaky_relu) sum = sum < zero ? sum * T(0.01) : sum;
                put<T, bytes, 1>(&sum, out, columns);
            });
        }
    }
}

template <class T>
using Tiles = void (*)(const Rows<T>&, ptrdiff_t, ptrdiff_t, const int32_t*, ptrdiff_t, const T*, const Finish<T>&);

template <class T, int bytes, int V> static inline Tiles<T> tiles_of(int rows) {
    static constexpr Tiles<T> all[8] = {tiles<T, bytes, V, 1>, tiles<T, bytes, V, 2>, tiles<T, bytes, V, 3>,
                                        tiles<T, bytes, V, 4>, tiles<T, bytes, V, 5>, tiles<T, bytes, V, 6>,
                                        tiles<T, bytes, V, most_rows - 1>, tiles<T, bytes, V, most_rows>};
    return all[rows - 1];
}

template <class T> static inline Tiles<T> tiles_of(int width, int rows) {
    if (width == 2 * lanes<T>) return tiles_of<T, vector_bytes, 2>(rows);
    if (width == lanes<T>) return tiles_of<T, vector_bytes, 1>(rows);
    if constexpr (vector_bytes >= 64)
        if (width == lanes<T> / 4) return tiles_of<T, vector_bytes / 4, 1>(rows);
    return tiles_of<T, (vector_bytes > 16 ? vector_bytes / 2 : 16), 1>(rows);
}

// The product of n rows with one panel, in tiles of about equal size.
template <class T>
static inline void multiply(const Rows<T>& rows, ptrdiff_t n, int width, const int32_t* offsets, ptrdiff_t depth,
                            const T* panel, const Finish<T>& finish) {
    const ptrdiff_t count = (n + most_rows - 1) / most_rows;
    const int size = static_cast<int>(n / count);
    const ptrdiff_t larger = n % count * (size + 1);
    if (larger) tiles_of<T>(width, size + 1)(rows, 0, larger, offsets, depth, panel, finish);
    tiles_of<T>(width, size)(rows, larger, n, offsets, depth, panel, finish);
}

// Writes `depth` rows of `columns` numbers side by side; the rest of the panel's width is 0.
template <class T>
static inline T* pack(const T* from, ptrdiff_t depth, ptrdiff_t row_step, ptrdiff_t column_step, int columns, int width, T* to) {
    for (ptrdiff_t k = 0; k < depth; k++, from += row_step, to += width) {
        if (column_step == 1)
            std::memcpy(to, from, columns * sizeof(T));
        else
            for (int j = 0; j < columns; j++) to[j] = from[j * column_step];
        if (columns < width) std::memset(to + columns, 0, (width - columns) * sizeof(T));
    }
    return to;
}

}  // namespace skml_convolution
