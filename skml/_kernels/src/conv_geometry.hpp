// Where a convolution reads and writes: axes, slabs of positions, and zero-padded windows of the source.
#pragma once
#include "conv_tiles.hpp"

namespace skml_convolution {

// One axis: position i reads source entry i * step + first + t * tap_step for the kernel entries k = k_first + t * k_step,
// t < taps, and belongs to entry out_first + i * out_step of the other side.
struct Axis {
    ptrdiff_t n, step, first, taps, tap_step, k_first, k_step, size, out_first, out_step;
    ptrdiff_t reach() const { return taps ? (taps - 1) * tap_step : 0; }
    ptrdiff_t lowest() const { return first + std::min<ptrdiff_t>(0, reach()); }
    ptrdiff_t span(ptrdiff_t positions) const {  // source entries that so many neighbouring positions read
        return (positions - 1) * step + std::max(reach(), -reach()) + 1;
    }
    bool inside() const { return lowest() >= 0 && lowest() + span(n) <= size; }
};

// y[i] = sum_k x[i * stride + k * dilation - pad] w[k]
static inline Axis forward_axis(ptrdiff_t size, ptrdiff_t n, ptrdiff_t kernel, ptrdiff_t stride, ptrdiff_t pad, ptrdiff_t dilation) {
    return {n, stride, -pad, kernel, dilation, 0, 1, size, 0, 1};
}

// dx[i] = sum_k dy[(i + pad - k * dilation) / stride] w[k] over the k that divide, for i = phase, phase + stride, ...
static inline Axis backward_axis(ptrdiff_t size, ptrdiff_t n, ptrdiff_t kernel, ptrdiff_t stride, ptrdiff_t pad,
                                 ptrdiff_t dilation, ptrdiff_t phase) {
    ptrdiff_t k_step = 1, k = 0;
    while (k_step * dilation % stride) k_step++;
    while (k < k_step && (phase + pad - k * dilation) % stride) k++;
    const ptrdiff_t taps = k < k_step && k < kernel ? (kernel - k + k_step - 1) / k_step : 0;
    return {(n - phase + stride - 1) / stride, 1, taps ? (phase + pad - k * dilation) / stride : 0, taps,
            -k_step * dilation / stride, k, k_step, size, phase, stride};
}

// A convolution as products: out[position] = sum over taps and channels of source[position, tap] * weights[tap].
template <class T> struct Pass {
    const T* source;   // (B, h.size, w.size, groups * depth)
    const T* weights;  // entry (kh, kw) at (kh * KW + kw) * tap_weights, then depth_step, column_step, group_step
    T* out;            // (B, out_h, out_w, groups * columns)
    const T* bias = nullptr;  // (groups * columns,) or null
    int activation = identity;
    ptrdiff_t B, groups, depth, columns, out_h, out_w, KW, tap_weights, depth_step, column_step;
    Axis h, w;
    // planned
    bool in_place;                          // the source is read where it is
    ptrdiff_t images, rows, cols, n_slabs;  // of a slab; either several images, or rows of one, or columns of one row
    ptrdiff_t window_w, window_size, block;  // tiles of a slab of Winograd's
    int32_t *offsets, *places;  // of (tap, channel) and of a slab's positions, in a window
    T *panels, *biases;

    ptrdiff_t taps() const { return h.taps * w.taps * depth; }
    ptrdiff_t source_channels() const { return groups * depth; }
    ptrdiff_t out_channels() const { return groups * columns; }
    ptrdiff_t positions() const { return images * rows * cols; }
    ptrdiff_t group_columns() const { return panel_columns<T>(columns); }
};

struct Slab {
    ptrdiff_t image, row, col, images, rows, cols;
    ptrdiff_t positions() const { return images * rows * cols; }
};

static inline ptrdiff_t parts(ptrdiff_t n, ptrdiff_t size) { return (n + size - 1) / size; }

template <class T> static inline void count_slabs(Pass<T>& p) {
    p.n_slabs = parts(p.B, p.images) * parts(p.h.n, p.rows) * parts(p.w.n, p.cols);
    p.in_place = p.h.inside() && p.w.inside();
    const ptrdiff_t h = p.in_place && p.images > 1 ? p.h.size : p.h.span(p.rows);
    p.window_w = p.in_place ? p.w.size : p.w.span(p.cols);
    p.window_size = p.images * h * p.window_w * p.source_channels();
    if (p.in_place && p.window_size > INT32_MAX) {
        p.in_place = false;
        p.window_w = p.w.span(p.cols);
        p.window_size = p.images * p.h.span(p.rows) * p.window_w * p.source_channels();
    }
}

// Cuts the positions into slabs of at most so many, windows of at most `size` numbers, and tries for `least` slabs.
template <class T> static inline void plan(Pass<T>& p, ptrdiff_t most, ptrdiff_t size, ptrdiff_t least) {
    const auto window = [&] { return p.h.span(p.rows) * p.w.span(p.cols) * p.source_channels(); };
    const auto halve = [](ptrdiff_t& n) { n = (n + 1) / 2; };
    p.images = 1, p.rows = p.h.n, p.cols = p.w.n;
    const ptrdiff_t fit = std::min(most / (p.rows * p.cols), size / std::max<ptrdiff_t>(1, window()));
    p.images = std::max<ptrdiff_t>(1, std::min({fit, p.B, p.B / std::max<ptrdiff_t>(1, least)}));
    while (p.rows > 1 && (p.rows * p.cols > most || window() > size || p.B * parts(p.h.n, p.rows) < least)) halve(p.rows);
    while (p.cols > 1 && (p.rows * p.cols > most || window() > size)) halve(p.cols);
    if (p.rows < p.h.n) p.rows = parts(p.h.n, parts(p.h.n, p.rows));  // of about equal size
    count_slabs(p);
}

template <class T> static inline Slab slab_of(const Pass<T>& p, ptrdiff_t i) {
    const ptrdiff_t across = parts(p.w.n, p.cols), down = parts(p.h.n, p.rows);
    Slab s{i / across / down * p.images, i / across % down * p.rows, i % across * p.cols, 0, 0, 0};
    s.images = std::min(p.images, p.B - s.image);
    s.rows = std::min(p.rows, p.h.n - s.row);
    s.cols = std::min(p.cols, p.w.n - s.col);
    return s;
}

template <class T> static inline void write_offsets(const Pass<T>& p) {
    const ptrdiff_t S = p.source_channels();
    int32_t* out = p.offsets;
    for (ptrdiff_t i = 0; i < p.h.taps; i++)
        for (ptrdiff_t j = 0; j < p.w.taps; j++)
            for (ptrdiff_t c = 0; c < p.depth; c++) {
                const ptrdiff_t row = p.h.first + i * p.h.tap_step - p.h.lowest();
                const ptrdiff_t col = p.w.first + j * p.w.tap_step - p.w.lowest();
                *out++ = static_cast<int32_t>((row * p.window_w + col) * S + c);
            }
}

// The places of a slab's positions in its window.
template <class T> static inline void write_places(const Pass<T>& p, const Slab& s, int32_t* out) {
    const ptrdiff_t S = p.source_channels(), image = (p.in_place ? p.h.size : p.h.span(s.rows)) * p.window_w;
    for (ptrdiff_t b = 0; b < s.images; b++)
        for (ptrdiff_t i = 0; i < s.rows; i++)
            for (ptrdiff_t j = 0; j < s.cols; j++)
                *out++ = static_cast<int32_t>((b * image + i * p.h.step * p.window_w + j * p.w.step) * S);
}

// The part of the source that a slab reads, 0 where it lies outside: copied to `space`, or where it is.
template <class T> static inline const T* window_of(const Pass<T>& p, const Slab& s, T* space) {
    const ptrdiff_t S = p.source_channels(), W = p.window_w;
    const ptrdiff_t top = s.row * p.h.step + p.h.lowest(), left = s.col * p.w.step + p.w.lowest();
    if (p.in_place) return p.source + ((s.image * p.h.size + top) * p.w.size + left) * S;
    const ptrdiff_t begin = std::clamp<ptrdiff_t>(-left, 0, W), end = std::clamp<ptrdiff_t>(p.w.size - left, begin, W);
    T* to = space;
    for (ptrdiff_t b = 0; b < s.images; b++)
        for (ptrdiff_t i = top; i < top + p.h.span(s.rows); i++, to += W * S) {
            if (i < 0 || i >= p.h.size || begin == end) {
                std::memset(to, 0, W * S * sizeof(T));
                continue;
            }
            const T* from = p.source + (((s.image + b) * p.h.size + i) * p.w.size + left + begin) * S;
            std::memset(to, 0, begin * S * sizeof(T));
            std::memcpy(to + begin * S, from, (end - begin) * S * sizeof(T));
            std::memset(to + end * S, 0, (W - end) * S * sizeof(T));
        }
    return space;
}

}  // namespace skml_convolution
