// From positions to positions: the convolution itself, and its gradient at the data.
#pragma once
#include <cmath>

#include "conv_geometry.hpp"

namespace skml_convolution {

// Slabs whose windows stay in the second-level cache, and some for each thread.
template <class T> static inline void plan_data(Pass<T>& p, int n_threads) {
    plan(p, 4096, 65536, n_threads > 1 ? 4 * n_threads : 1);
}

// Packs a group's weights into panels.
template <class T> static inline void pack_weights(const Pass<T>& p, ptrdiff_t group) {
    const ptrdiff_t K = p.taps();
    const T* from = p.weights + group * (p.column_step == 1 ? p.columns : p.depth);
    T* to = p.panels + group * p.group_columns() * K;
    T* bias = p.biases + group * p.group_columns();
    std::memset(bias, 0, p.group_columns() * sizeof(T));
    if (p.bias) std::memcpy(bias, p.bias + group * p.columns, p.columns * sizeof(T));
    for (ptrdiff_t column = 0; column < p.columns;) {
        const int width = panel_width<T>(p.columns - column);
        const int columns = static_cast<int>(std::min<ptrdiff_t>(width, p.columns - column));
        for (ptrdiff_t i = 0; i < p.h.taps; i++)
            for (ptrdiff_t j = 0; j < p.w.taps; j++) {
                const ptrdiff_t k = (p.h.k_first + i * p.h.k_step) * p.KW + p.w.k_first + j * p.w.k_step;
                to = pack(from + k * p.tap_weights + column * p.column_step, p.depth, p.depth_step, p.column_step, columns,
                          width, to);
            }
        column += width;
    }
}

template <class T> static inline T activated(T z, int activation) {
    if (activation == gelu) return z * T(0.5) * (T(1) + std::erf(z * T(0.70710678118654752440)));
    if (activation == tanh) return std::tanh(z);
    return z < 0 ? std::exp(z) / (T(1) + std::exp(z)) : T(1) / (T(1) + std::exp(-z));
}

// Where a slab's positions are written, from its first.
template <class T> static inline void write_outs(const Pass<T>& p, const Slab& s, ptrdiff_t* out) {
    for (ptrdiff_t b = 0; b < s.images; b++)
        for (ptrdiff_t i = 0; i < s.rows; i++)
            for (ptrdiff_t j = 0; j < s.cols; j++)
                *out++ = ((b * p.out_h + i * p.h.out_step) * p.out_w + j * p.w.out_step) * p.out_channels();
}

template <class T> static inline void fill_slab(const Pass<T>& p, const Slab& s, const T* window, const int32_t* places, const ptrdiff_t* outs) {
    const ptrdiff_t n = s.positions(), K = p.taps(), F = p.out_channels();
    const ptrdiff_t row = p.h.out_first + s.row * p.h.out_step, col = p.w.out_first + s.col * p.w.out_step;
    T* out = p.out + ((s.image * p.out_h + row) * p.out_w + col) * F;
    for (ptrdiff_t group = 0; group < p.groups; group++)
        for (ptrdiff_t column = 0; column < p.columns;) {
            const int width = panel_width<T>(p.columns - column);
            const ptrdiff_t at = group * p.group_columns() + column;
            const Finish<T> finish{p.biases + at, p.activation, static_cast<int>(p.columns - column), false};
            multiply({window + group * p.depth, places, out + group * p.columns + column, outs, F}, n, width, p.offsets, K,
                     p.panels + at * K, finish);
            column += width;
        }
    if (p.activation > leaky_relu)
        for (ptrdiff_t i = 0; i < n * F; i++) out[i] = activated(out[i], p.activation);
}

// Bytes that one thread needs.
template <class T> static inline ptrdiff_t data_space(const Pass<T>& p) {
    return (p.in_place ? 0 : p.window_size * sizeof(T)) + p.positions() * (sizeof(int32_t) + sizeof(ptrdiff_t)) + 192;
}

// Computes slabs until none are left.
template <class T> static inline void fill(const Pass<T>& p, char* space, int64_t* next) {
    const bool apart = p.h.out_step * p.w.out_step > 1;
    ptrdiff_t* outs = reinterpret_cast<ptrdiff_t*>(space);
    int32_t* places = reinterpret_cast<int32_t*>(outs + p.positions());
    T* window = reinterpret_cast<T*>((reinterpret_cast<std::uintptr_t>(places + p.positions()) + 63) / 64 * 64);
    ptrdiff_t rows = 0, cols = 0, images = 0;
    for (ptrdiff_t i; (i = __atomic_fetch_add(next, 1, __ATOMIC_RELAXED)) < p.n_slabs;) {
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
