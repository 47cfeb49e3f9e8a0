// The gradient at the weights: sums over positions, in a fixed number of chunks that are added in fixed order.
#pragma once
#include "conv_depthwise.hpp"

namespace skml_convolution {

// Rows of a slab's part of dy in panels, with the sum of the rows.
template <class T, int bytes, int V> static inline void add_rows(const T* panel, ptrdiff_t n, T* out) {
    typedef typename Vector<T, bytes>::anywhere anywhere;
    constexpr int N = bytes / sizeof(T);
    typename Vector<T, bytes>::type sums[4][V] = {};
    ptrdiff_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (int r = 0; r < 4; r++)
            for (int v = 0; v < V; v++) sums[r][v] += *reinterpret_cast<const anywhere*>(panel + ((i + r) * V + v) * N);
    for (; i < n; i++)
        for (int v = 0; v < V; v++) sums[0][v] += *reinterpret_cast<const anywhere*>(panel + (i * V + v) * N);
    for (int v = 0; v < V; v++)
        *reinterpret_cast<anywhere*>(out + v * N) += (sums[0][v] + sums[1][v]) + (sums[2][v] + sums[3][v]);
}

template <class T> static inline void add_rows(const T* panel, ptrdiff_t n, int width, T* out) {
    if (width == 2 * lanes<T>) return add_rows<T, vector_bytes, 2>(panel, n, out);
    if (width == lanes<T>) return add_rows<T, vector_bytes, 1>(panel, n, out);
    if constexpr (vector_bytes >= 64)
        if (width == lanes<T> / 4) return add_rows<T, vector_bytes / 4, 1>(panel, n, out);
    add_rows<T, (vector_bytes > 16 ? vector_bytes / 2 : 16), 1>(panel, n, out);
}

// Here `p.out` is dy, which is only read. A chunk's sums lie panel after panel, taps() rows of weights and one of bias.
template <class T> static inline ptrdiff_t sums_size(const Pass<T>& p) {
    return (p.groups * p.group_columns() * (p.taps() + 1) + 15) / 16 * 16;
}

// The slabs and chunks depend on the sizes alone.
template <class T> static inline ptrdiff_t plan_weights(Pass<T>& p) {
    plan(p, 512, 32768, 1);
    const ptrdiff_t size = sums_size(p);
    return std::min<ptrdiff_t>(p.n_slabs, size < 131072 ? 8 : size < 1048576 ? 4 : 2);
}

template <class T> static inline ptrdiff_t weights_space(const Pass<T>& p) {
    return (p.in_place ? 0 : p.window_size * sizeof(T)) + p.positions() * (sizeof(int32_t) + 2 * lanes<T> * sizeof(T)) + 192;
}

template <class T> static inline void add_slab(const Pass<T>& p, const Slab& s, const T* window, const int32_t* places, T* panel, T* sums) {
    const ptrdiff_t n = s.positions(), K = p.taps(), F = p.out_channels();
    const T* dy = p.out + ((s.image * p.h.n + s.row) * p.w.n + s.col) * F;
    if (is_depthwise(p)) return add_lanes(p, n, window, places, dy, sums);
    for (ptrdiff_t group = 0; group < p.groups; group++)
        for (ptrdiff_t column = 0; column < p.columns;) {
            const int width = panel_width<T>(p.columns - column);
            const T* from = dy + group * p.columns + column;
            if (width != F) {  // else dy is a panel as it is
                pack(from, n, F, 1, static_cast<int>(std::min<ptrdiff_t>(width, p.columns - column)), width, panel);
                from = panel;
            }
            T* out = sums + (group * p.group_columns() + column) * (K + 1);
            multiply({window + group * p.depth, p.offsets, out, nullptr, width}, K, width, places, n, from,
                     Finish<T>{nullptr, identity, width, true});
            add_rows(from, n, width, out + K * width);
            column += width;
        }
}

// Sums part `round` of `n_rounds` of the slabs of chunks, n in all, until none are left. `space` and every chunk's sums start at whole cache lines.
template <class T> static inline void add_some(const Pass<T>& p, ptrdiff_t n, char* space, T* sums, int64_t* next, ptrdiff_t round, ptrdiff_t n_rounds) {
    T* panel = reinterpret_cast<T*>(space);
    T* window = panel + p.positions() * 2 * lanes<T>;
    int32_t* places = reinterpret_cast<int32_t*>(window + (p.in_place ? 0 : p.window_size));
    for (ptrdiff_t chunk; (chunk = __atomic_fetch_add(next, 1, __ATOMIC_RELAXED)) < n;) {
        T* own = sums + chunk * sums_size(p);
        if (round == 0) std::memset(own, 0, sums_size(p) * sizeof(T));
        const ptrdiff_t first = chunk * p.n_slabs / n, size = (chunk + 1) * p.n_slabs / n - first;
        for (ptrdiff_t i = first + round * size / n_rounds; i < first + (round + 1) * size / n_rounds; i++) {
            const Slab s = slab_of(p, i);
            write_places(p, s, places);
            add_slab(p, s, window_of(p, s, window), places, panel, own);
        }
    }
}

// Adds up n chunks of some neighbouring numbers; they are written `step` apart.
template <class T>
static inline void add_up(const T* sums, ptrdiff_t size, ptrdiff_t n, ptrdiff_t numbers, T* out, ptrdiff_t step) {
    for (ptrdiff_t j = 0; j < numbers; j++) {
        T sum = sums[j];
        for (ptrdiff_t chunk = 1; chunk < n; chunk++) sum += sums[chunk * size + j];
        out[j * step] = sum;
    }
}

// Adds up the n chunks of one row, of tap k, or of the bias where k is taps().
template <class T>
static inline void add_chunks(const Pass<T>& p, ptrdiff_t k, ptrdiff_t n, const T* sums, T* out, ptrdiff_t step) {
    const ptrdiff_t K = p.taps(), size = sums_size(p);
    if (is_depthwise(p)) return add_up(sums + k * p.groups, size, n, p.groups, out, step);
    for (ptrdiff_t group = 0; group < p.groups; group++)
        for (ptrdiff_t column = 0; column < p.columns;) {
            const int width = panel_width<T>(p.columns - column);
            const T* from = sums + (group * p.group_columns() + column) * (K + 1) + k * width;
            const ptrdiff_t columns = std::min<ptrdiff_t>(width, p.columns - column);
            add_up(from, size, n, columns, out + (group * p.columns + column) * step, step);
            column += width;
        }
}

// With few filters, channels fill the vectors: dw[k] = sum_i x[i] dy[i + pad - k * dilation] is the gradient at the
// weights of a convolution of dy, whose kernel is the other way round. Only where the stride is 1.
template <class T> static inline bool turns(const Pass<T>& p) {
    return p.groups == 1 && p.h.step == 1 && p.w.step == 1 && 4 * p.columns <= lanes<T> && p.columns < p.depth;
}

template <class T> static inline void turn(Pass<T>& p) {
    const auto around = [](const Axis& a) {
        return forward_axis(a.n, a.size, a.taps, 1, (a.taps - 1) * a.tap_step + a.first, a.tap_step);
    };
    T* dy = p.out;
    p.out = const_cast<T*>(p.source), p.source = dy;
    p.h = around(p.h), p.w = around(p.w);
    std::swap(p.depth, p.columns);
}

// The row of a turned problem belongs to the kernel's entry as far from its other end.
template <class T> static inline void add_turned(const Pass<T>& p, ptrdiff_t k, ptrdiff_t n, const T* sums, T* dw) {
    const ptrdiff_t F = p.depth, tap = p.h.taps * p.w.taps - 1 - k / F;
    add_chunks(p, k, n, sums, dw + tap * p.columns * F + k % F, F);
}

// The sums of n rows of F numbers, at most 16.
template <class T> static inline void sum_rows(const T* dy, ptrdiff_t n, ptrdiff_t F, T* out) {
    double sums[128] = {};
    for (; n >= 8; n -= 8, dy += 8 * F)
        for (ptrdiff_t j = 0; j < 8 * F; j++) sums[j] += dy[j];
    for (ptrdiff_t j = 0; j < n * F; j++) sums[j] += dy[j];
    for (ptrdiff_t j = F; j < 8 * F; j++) sums[j % F] += sums[j];
    for (ptrdiff_t f = 0; f < F; f++) out[f] = static_cast<T>(sums[f]);
}

}  // namespace skml_convolution
