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

template <class T, int bytes, int V, int P>
static void tile(const T* const* sources, const int32_t* __restrict offsets, ptrdiff_t depth, const T* __restrict panel,
                 T* const* outs, const Finish<T>& finish) {
    typedef typename Vector<T, bytes>::type vec;
    typedef typename Vector<T, bytes>::anywhere anywhere;
    constexpr int N = bytes / sizeof(T);
    const T* source[P];
    vec sums[P][V];
    for (int p = 0; p < P; p++) source[p] = sources[p];
    for (int v = 0; v < V; v++) {
        const vec start = finish.bias ? *reinterpret_cast<const anywhere*>(finish.bias + v * N) : vec{};
        for (int p = 0; p < P; p++) sums[p][v] = start;
    }
    for (ptrdiff_t k = 0; k < depth; k++, panel += V * N) {
        const ptrdiff_t offset = offsets[k];
        vec right[V];
        for (int v = 0; v < V; v++) right[v] = *reinterpret_cast<const anywhere*>(panel + v * N);
        for (int p = 0; p < P; p++)
            for (int v = 0; v < V; v++) sums[p][v] += source[p][offset] * right[v];
    }
    const vec zero = {};
    for (int p = 0; p < P; p++) {
        for (int v = 0; v < V; v++) {
            vec& sum = sums[p][v];
            if (finish.add) sum += *reinterpret_cast<const anywhere*>(outs[p] + v * N);
            if (finish.activation == relu) sum = sum < zero ? zero : sum;  // NaN stays
            if (finish.activation == leaky_relu) sum = sum < zero ? sum * T(0.01) : sum;
        }
        put<T, bytes, V>(sums[p], outs[p], finish.columns);
    }
}

template <class T>
using Tile = void (*)(const T* const*, const int32_t*, ptrdiff_t, const T*, T* const*, const Finish<T>&);

template <class T, int bytes, int V> static inline Tile<T> tile_of(int rows) {
    static constexpr Tile<T> tiles[8] = {tile<T, bytes, V, 1>, tile<T, bytes, V, 2>, tile<T, bytes, V, 3>,
                                         tile<T, bytes, V, 4>, tile<T, bytes, V, 5>, tile<T, bytes, V, 6>,
                                         tile<T, bytes, V, most_rows - 1>, tile<T, bytes, V, most_rows>};
    return tiles[rows - 1];
}

template <class T> static inline Tile<T> tile_of(int width, int rows) {
    if (width == 2 * lanes<T>) return tile_of<T, vector_bytes, 2>(rows);
    if (width == lanes<T>) return tile_of<T, vector_bytes, 1>(rows);
    if constexpr (vector_bytes >= 64)
        if (width == lanes<T> / 4) return tile_of<T, vector_bytes / 4, 1>(rows);
    return tile_of<T, (vector_bytes > 16 ? vector_bytes / 2 : 16), 1>(rows);
}

// The product of n rows with one panel, in tiles of about equal size.
template <class T, class Source, class Out>
static inline void multiply(ptrdiff_t n, int width, const int32_t* offsets, ptrdiff_t depth, const T* panel,
                            const Finish<T>& finish, const Source& source, const Out& out) {
    const T* sources[most_rows];
    T* outs[most_rows];
    ptrdiff_t tiles = (n + most_rows - 1) / most_rows;
    for (ptrdiff_t row = 0; row < n; tiles--) {
        const int rows = static_cast<int>((n - row + tiles - 1) / tiles);
        for (int p = 0; p < rows; p++, row++) {
            sources[p] = source(row);
            outs[p] = out(row);
        }
        tile_of<T>(width, rows)(sources, offsets, depth, panel, outs, finish);
    }
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
