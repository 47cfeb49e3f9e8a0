// Products of matrices: a register tile that multiplies rows with a packed panel of columns. Every sum has one order,
// first term first, whatever tile it is computed in: neither threads nor the number of rows show in its bits.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace skml_matrices {

using std::ptrdiff_t;

#if defined(__AVX512F__)
constexpr int vector_bytes = 64, ROWS = 8;
#elif defined(__AVX__)
constexpr int vector_bytes = 32, ROWS = 6;
#else
constexpr int vector_bytes = 16, ROWS = 6;
#endif
constexpr ptrdiff_t DEPTH = 512, BLOCK = 8 * ROWS, COLUMNS = 1024;  // of what is packed at a time

template <class T> constexpr int LANES = vector_bytes / static_cast<int>(sizeof(T));
template <class T> constexpr int WIDTH = 2 * LANES<T>;
template <class T> struct Vectors {
    typedef T whole __attribute__((vector_size(vector_bytes)));
    typedef T anywhere __attribute__((vector_size(vector_bytes), aligned(sizeof(T)), may_alias));
};

template <class T> static inline ptrdiff_t padded(ptrdiff_t n, const T*) { return (n + WIDTH<T> - 1) / WIDTH<T> * WIDTH<T>; }
template <class T> static inline ptrdiff_t width_of(const T*) { return WIDTH<T>; }
template <class T> static inline T* aligned(T* space) {
    return reinterpret_cast<T*>((reinterpret_cast<std::uintptr_t>(space) + 63) / 64 * 64);
}

// P rows times a panel, written to `out` or added to what is there. Row p of the left side is packed beside the others,
// or lies at left + p * row_step.
template <class T, int P, int V, bool packed>
static inline void tile(const T* __restrict left, ptrdiff_t row_step, const T* __restrict panel, ptrdiff_t depth,
                        T* __restrict out, ptrdiff_t out_step, ptrdiff_t columns, bool add) {
    typedef typename Vectors<T>::whole vec;
    typedef typename Vectors<T>::anywhere anywhere;
    constexpr int L = LANES<T>;
    const bool whole = columns >= V * L;
    vec sums[P][V] = {};
    for (int p = 0; p < P && add; p++) {
        T flat[V * L] = {};
        const T* from = out + p * out_step;
        if (!whole) std::memcpy(flat, from, columns * sizeof(T)), from = flat;
        for (int v = 0; v < V; v++) sums[p][v] = *reinterpret_cast<const anywhere*>(from + v * L);
    }
    for (ptrdiff_t k = 0; k < depth; k++, panel += WIDTH<T>) {
        vec column[V];
        for (int v = 0; v < V; v++) column[v] = *reinterpret_cast<const anywhere*>(panel + v * L);
#pragma GCC unroll 8
        for (int p = 0; p < P; p++) {
            const T x = packed ? left[k * ROWS + p] : left[p * row_step + k];
            for (int v = 0; v < V; v++) sums[p][v] += x * column[v];
        }
    }
    for (int p = 0; p < P; p++) {
        if (whole)
            for (int v = 0; v < V; v++) *reinterpret_cast<anywhere*>(out + p * out_step + v * L) = sums[p][v];
        else
            std::memcpy(out + p * out_step, sums[p], columns * sizeof(T));
    }
}

template <class T> using Tile = void (*)(const T*, ptrdiff_t, const T*, ptrdiff_t, T*, ptrdiff_t, ptrdiff_t, bool);

template <class T, int V, bool packed> static inline Tile<T> tile_of(ptrdiff_t rows) {
    static constexpr Tile<T> all[8] = {
        tile<T, 1, V, packed>, tile<T, 2, V, packed>, tile<T, 3, V, packed>, tile<T, 4, V, packed>,
        tile<T, 5, V, packed>, tile<T, 6, V, packed>, tile<T, ROWS < 7 ? ROWS : 7, V, packed>, tile<T, ROWS, V, packed>};
    return all[rows - 1];
}

// The tile for so many rows and columns: half of the last panel may be padding.
template <class T, bool packed> static inline Tile<T> tile_of(ptrdiff_t rows, ptrdiff_t columns) {
    return columns > LANES<T> ? tile_of<T, 2, packed>(rows) : tile_of<T, 1, packed>(rows);
}

// Four numbers of each of four rows, turned round.
template <class T> static inline void turn(const T* rows, ptrdiff_t step, T* out, ptrdiff_t out_step) {
    typedef T Four __attribute__((vector_size(4 * sizeof(T)), aligned(sizeof(T)), may_alias));
    typedef std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t> Int;
    typedef Int Places __attribute__((vector_size(4 * sizeof(T))));
    Four row[4];
    for (int i = 0; i < 4; i++) row[i] = *reinterpret_cast<const Four*>(rows + i * step);
    const Places low = {0, 4, 1, 5}, high = {2, 6, 3, 7}, front = {0, 1, 4, 5}, back = {2, 3, 6, 7};
    const Four ab = __builtin_shuffle(row[0], row[1], low), cd = __builtin_shuffle(row[2], row[3], low);
    const Four AB = __builtin_shuffle(row[0], row[1], high), CD = __builtin_shuffle(row[2], row[3], high);
    *reinterpret_cast<Four*>(out) = __builtin_shuffle(ab, cd, front);
    *reinterpret_cast<Four*>(out + out_step) = __builtin_shuffle(ab, cd, back);
    *reinterpret_cast<Four*>(out + 2 * out_step) = __builtin_shuffle(AB, CD, front);
    *reinterpret_cast<Four*>(out + 3 * out_step) = __builtin_shuffle(AB, CD, back);
}

// to[k * to_step + p] = from[p * from_step + k] for p < n, k < depth.
template <class T>
static inline void turn_all(const T* from, ptrdiff_t from_step, ptrdiff_t n, ptrdiff_t depth, T* to, ptrdiff_t to_step) {
    ptrdiff_t p = 0;
    for (; p + 4 <= n; p += 4) {
        ptrdiff_t k = 0;
        for (; k + 4 <= depth; k += 4) turn(from + p * from_step + k, from_step, to + k * to_step + p, to_step);
        for (; k < depth; k++)
            for (ptrdiff_t q = p; q < p + 4; q++) to[k * to_step + q] = from[q * from_step + k];
    }
    for (; p < n; p++)
        for (ptrdiff_t k = 0; k < depth; k++) to[k * to_step + p] = from[p * from_step + k];
}

// Writes `depth` runs of at most N numbers one after the other.
template <class T, int N>
static inline void copy_runs(const T* from, ptrdiff_t step, ptrdiff_t depth, ptrdiff_t n, T* __restrict to) {
    if (n == N)
        for (ptrdiff_t k = 0; k < depth; k++) std::memcpy(to + k * N, from + k * step, N * sizeof(T));
    else
        for (ptrdiff_t k = 0; k < depth; k++) std::memcpy(to + k * N, from + k * step, n * sizeof(T));
}

// Writes columns 0 to WIDTH of some rows one row after the other; zeros beyond the last column.
template <class T>
static inline void pack_panel(const T* from, ptrdiff_t row_step, ptrdiff_t column_step, ptrdiff_t depth, ptrdiff_t columns,
                              T* __restrict to) {
    if (columns < WIDTH<T>) std::fill(to, to + depth * WIDTH<T>, T(0));
    columns = std::min<ptrdiff_t>(columns, WIDTH<T>);
    if (column_step == 1)
        copy_runs<T, WIDTH<T>>(from, row_step, depth, columns, to);
    else if (row_step == 1)
        turn_all(from, column_step, columns, depth, to, WIDTH<T>);
    else
        for (ptrdiff_t k = 0; k < depth; k++)
            for (ptrdiff_t j = 0; j < columns; j++) to[k * WIDTH<T> + j] = from[k * row_step + j * column_step];
}

// Rows side by side, ROWS of them at a time: what the tile reads is one stream.
template <class T>
static inline void pack_rows(const T* from, ptrdiff_t row_step, ptrdiff_t step, ptrdiff_t rows, ptrdiff_t depth,
                             T* __restrict to) {
    for (ptrdiff_t i = 0; i < rows; i += ROWS, to += ROWS * depth) {
        const ptrdiff_t n = std::min<ptrdiff_t>(ROWS, rows - i);
        const T* corner = from + i * row_step;
        if (row_step == 1)
            copy_runs<T, ROWS>(corner, step, depth, n, to);
        else if (step == 1)
            turn_all(corner, row_step, n, depth, to, ROWS);
        else
            for (ptrdiff_t k = 0; k < depth; k++)
                for (ptrdiff_t p = 0; p < n; p++) to[k * ROWS + p] = corner[p * row_step + k * step];
    }
}

// All panels, packed for the whole depth, times rows that lie at left + r * row_step.
template <class T>
static inline void multiply_rows(const T* left, ptrdiff_t row_step, ptrdiff_t rows, const T* panels, ptrdiff_t depth,
                                 ptrdiff_t columns, T* out, ptrdiff_t out_step, bool add) {
    const ptrdiff_t count = (rows + ROWS - 1) / ROWS, size = rows / count, larger = rows % count;
    for (ptrdiff_t j = 0; j < columns; j += WIDTH<T>, panels += depth * WIDTH<T>) {
        ptrdiff_t i = 0;
        for (ptrdiff_t c = 0; c < count; c++) {
            const ptrdiff_t P = size + (c < larger);
            tile_of<T, false>(P, columns - j)(left + i * row_step, row_step, panels, depth, out + i * out_step + j, out_step, columns - j,
                                 add);
            i += P;
        }
    }
}

// Packed rows times packed panels.
template <class T>
static inline void multiply_block(const T* left, ptrdiff_t rows, const T* panels, ptrdiff_t depth, ptrdiff_t columns, T* out,
                                  ptrdiff_t out_step, bool add) {
    for (ptrdiff_t j = 0; j < columns; j += WIDTH<T>, panels += depth * WIDTH<T>)
        for (ptrdiff_t i = 0; i < rows; i += ROWS)
            tile_of<T, true>(std::min<ptrdiff_t>(ROWS, rows - i), columns - j)(left + i * depth, 0, panels, depth,
                                                                 out + i * out_step + j, out_step, columns - j, add);
}

}  // namespace skml_matrices
