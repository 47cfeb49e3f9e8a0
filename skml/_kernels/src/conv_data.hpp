// From positions to positions: the convolution itself, and its gradient at the data.
#pragma once
#include "activations.hpp"
#include "conv_depthwise.hpp"
#include "conv_thin.hpp"
#include "conv_winograd.hpp"

namespace skml_convolution {

// Slabs whose windows stay in the second-level cache, several for each thread; of few images one, for the weights' sake.
template <class T> static inline void plan_data(Pass<T>& p, int n_threads) {
    if (is_winograd(p)) return plan_tiles(p, n_threads);
    plan<T>(p, 4096, 65536, p.B >= 4 * n_threads && n_threads > 1 ? 4 * n_threads : n_threads);
}

// The weights of the entry of the kernel that taps i and j stand for.
template <class T> static inline const T* tap(const Pass<T>& p, ptrdiff_t i, ptrdiff_t j) {
    return p.weights + ((p.h.k_first + i * p.h.k_step) * p.KW + p.w.k_first + j * p.w.k_step) * p.tap_weights;
}

// Packs `columns` columns of weights, `from` the first, row after row into a panel of so many numbers a row, or, if thin, one by one.
template <class T> static inline T* pack_taps(const Pass<T>& p, ptrdiff_t from, int columns, int width, T* to) {
    for (ptrdiff_t i = 0; i < p.h.taps; i++)
        for (ptrdiff_t j = 0; j < p.w.taps; j++)
            to = pack(tap(p, i, j) + from, p.depth, p.depth_step, p.column_step, columns, width, to);
    return to;
}

// Packs a group's weights and biases.
template <class T> static inline void pack_group(const Pass<T>& p, ptrdiff_t group) {
    const ptrdiff_t from = group * (p.column_step == 1 ? p.columns : p.depth);
    T* to = p.panels + group * p.group_columns() * p.taps();
    T* bias = p.biases + group * p.group_columns();
    std::memset(bias, 0, p.group_columns() * sizeof(T));
    if (p.bias) std::memcpy(bias, p.bias + group * p.columns, p.columns * sizeof(T));
    const bool thin = is_thin<T>(p.columns, p.depth);
    for (ptrdiff_t column = 0; column < p.columns;) {
        const int width = thin ? 1 : panel_width<T>(p.columns - column);
        const int columns = static_cast<int>(std::min<ptrdiff_t>(width, p.columns - column));
        to = pack_taps(p, from + column * p.column_step, columns, width, to);
        column += width;
    }
}

// How many numbers they take.
template <class T> static inline ptrdiff_t panels_size(const Pass<T>& p) {
    return (is_winograd(p) ? 16 * p.depth : p.taps() * p.groups) * p.group_columns();
}

template <class T> static inline void pack_weights(const Pass<T>& p) {
    if (is_winograd(p)) {
        std::memset(p.biases, 0, p.group_columns() * sizeof(T));
        if (p.bias) std::memcpy(p.biases, p.bias, p.columns * sizeof(T));
        return pack_tiles(p, [&](ptrdiff_t i, ptrdiff_t j) { return tap(p, i, j); });
    }
    if (!is_depthwise(p)) {
        for (ptrdiff_t group = 0; group < p.groups; group++) pack_group(p, group);
        return;
    }
    std::memset(p.biases, 0, p.groups * sizeof(T));
    if (p.bias) std::memcpy(p.biases, p.bias, p.groups * sizeof(T));
    T* to = p.panels;
    for (ptrdiff_t i = 0; i < p.h.taps; i++)
        for (ptrdiff_t j = 0; j < p.w.taps; j++, to += p.groups)
            std::memcpy(to, tap(p, i, j), p.groups * sizeof(T));
}

// Where a slab's positions are written, from its first.
template <class T> static inline void write_outs(const Pass<T>& p, const Slab& s, ptrdiff_t* out) {
    for (ptrdiff_t b = 0; b < s.images; b++)
        for (ptrdiff_t i = 0; i < s.rows; i++)
            for (ptrdiff_t j = 0; j < s.cols; j++)
                *out++ = ((b * p.out_h + i * p.h.out_step) * p.out_w + j * p.w.out_step) * p.out_channels();
}

template <class T> static inline void fill_group(const Pass<T>& p, ptrdiff_t group, ptrdiff_t n, const Rows<T>& rows) {
    const T* panels = p.panels + group * p.group_columns() * p.taps();
    const T* biases = p.biases + group * p.group_columns();
    if (is_thin<T>(p.columns, p.depth)) {
        const Finish<T> finish{biases, p.activation, static_cast<int>(p.columns), false};
        return multiply_thin(rows, n, p.depth, p.offsets, p.taps(), panels, finish);
    }
    for (ptrdiff_t column = 0; column < p.columns;) {
        const int width = panel_width<T>(p.columns - column);
        const Finish<T> finish{biases + column, p.activation, static_cast<int>(std::min<ptrdiff_t>(width, p.columns - column)), false};
        const Rows<T> here{rows.source, rows.sources, rows.out + column, rows.outs, rows.step};
        multiply(here, n, width, p.offsets, p.taps(), panels + column * p.taps(), finish);
        column += width;
    }
}

template <class T> static inline void fill_slab(const Pass<T>& p, const Slab& s, const T* window, const int32_t* places, const ptrdiff_t* outs) {
    const ptrdiff_t n = s.positions(), F = p.out_channels();
    const ptrdiff_t row = p.h.out_first + s.row * p.h.out_step, col = p.w.out_first + s.col * p.w.out_step;
    T* out = p.out + ((s.image * p.out_h + row) * p.out_w + col) * F;
    if (is_depthwise(p))
        multiply_lanes<T>({window, places, out, outs, F}, n, F, p.offsets, p.taps(), p.panels, {p.biases, p.activation, 0, false});
    else
        for (ptrdiff_t group = 0; group < p.groups; group++)
            fill_group(p, group, n, {window + group * p.depth, places, out + group * p.columns, outs, F});
    if (p.activation > leaky_relu) skml_fused::bias_rows<T>(out, nullptr, n, F, p.activation);  // while it is in the cache
}

// Bytes that one thread needs.
template <class T> static inline ptrdiff_t data_space(const Pass<T>& p) {
    if (is_winograd(p)) return tiles_space(p);
    return (p.in_place ? 0 : p.window_size * sizeof(T)) + p.positions() * (sizeof(int32_t) + sizeof(ptrdiff_t)) + 192;
}

// Computes slabs until `end`.
template <class T> static inline void fill(const Pass<T>& p, char* space, int64_t* next, ptrdiff_t end) {
    if (is_winograd(p)) return fill_tiles(p, space, next, end);
    const bool apart = p.h.out_step * p.w.out_step > 1;
    ptrdiff_t* outs = reinterpret_cast<ptrdiff_t*>(space);
    int32_t* places = reinterpret_cast<int32_t*>(outs + p.positions());
    T* window = reinterpret_cast<T*>((reinterpret_cast<std::uintptr_t>(places + p.positions()) + 63) / 64 * 64);
    ptrdiff_t rows = 0, cols = 0, images = 0;
    for (ptrdiff_t i; (i = __atomic_fetch_add(next, 1, __ATOMIC_RELAXED)) < end;) {
        const Slab s = slab_of(p, i);
        if (s.rows != rows || s.cols != cols || s.images != images) {
            write_places(p, s, places);
            if (apart) write_outs(p, s, outs);
        }
        rows = s.rows, cols = s.cols, images = s.images;
        fill_slab(p, s, window_of(p, s, window), places, apart ? outs : nullptr);
    }
}

}  // namespace skml_convolution
