// 3 x 3 convolutions of stride 1, in tiles of 2 x 2 results: 16 products in the place of 36 (Winograd 1980; Lavin & Gray
// 2016, equation 8, F(2 x 2, 3 x 3)): Y = A' [(G g G') * (B' d B)] A.
#pragma once
#include "activations.hpp"
#include "conv_geometry.hpp"

namespace skml_convolution {

constexpr ptrdiff_t winograd_bytes = 393216;  // of a block's tiles, which stay in the cache
constexpr ptrdiff_t apart = 64;  // bytes between matrices, whose sizes are powers of two too often: these would share few lines

static inline bool is_winograd_axis(const Axis& a) {
    return a.taps == 3 && a.step == 1 && a.out_step == 1 && a.tap_step * a.tap_step == 1;
}

// Where products are most of the work, and few tiles reach beyond the results. (With 32 x 64 channels it took 0.8 of
// the time that tiles of windows take, with 64 x 128 0.6, with 16 x 32 1.2.) The number of images has no say: how
// images are batched shows in no bit.
template <class T> static inline bool is_winograd(const Pass<T>& p) {
    if (p.groups > 1 || !is_winograd_axis(p.h) || !is_winograd_axis(p.w)) return false;
    const ptrdiff_t made = parts(p.h.n, 2) * parts(p.w.n, 2) * 4;
    return p.depth >= 32 && p.columns >= 32 && p.depth * p.columns >= 2048 && 10 * p.h.n * p.w.n >= 7 * made;
}

template <class T> static inline ptrdiff_t count_tiles(const Pass<T>& p) { return p.B * parts(p.h.n, 2) * parts(p.w.n, 2); }

// Numbers of a tile on both sides of the products.
template <class T> static inline ptrdiff_t tile_size(const Pass<T>& p) { return 16 * (p.depth + p.group_columns()); }

template <class T> static inline void plan_tiles(Pass<T>& p, int n_threads) {
    const ptrdiff_t fit = winograd_bytes / (tile_size(p) * static_cast<ptrdiff_t>(sizeof(T))), n = count_tiles(p);
    const ptrdiff_t some = std::clamp<ptrdiff_t>(fit / most_rows, 1, 8) * most_rows;
    p.block = std::min(some, parts(n, n_threads));
    p.n_slabs = parts(n, p.block);
}

template <class T> static inline ptrdiff_t tiles_space(const Pass<T>& p) {
    return p.block * (tile_size(p) * sizeof(T) + sizeof(int32_t)) + p.depth * (sizeof(T) + sizeof(int32_t)) + 32 * apart + 192;
}

// Four numbers of three, and four of four: G, B'; two of four: A'.
template <class V> static inline void spread(const V& a, const V& b, const V& c, V* out, ptrdiff_t step) {
    const V outer = (a + c) * 0.5f, inner = b * 0.5f;
    out[0] = a, out[step] = outer + inner, out[2 * step] = outer - inner, out[3 * step] = c;
}
template <class V> static inline void differ(V* x, ptrdiff_t step) {
    V &a = x[0], &b = x[step], &c = x[2 * step], &d = x[3 * step];
    const V sum = b + c, difference = c - b;
    a -= c, d = b - d, b = sum, c = difference;
}
template <class V> static inline void gather(V* x, ptrdiff_t step) {
    x[0] = x[0] + x[step] + x[2 * step];
    x[step] = x[step] - x[2 * step] - x[3 * step];
}

// Up to a vector of numbers that lie `step` apart, and zeros.
template <class T> static inline typename Vector<T, vector_bytes>::type numbers(const T* from, ptrdiff_t step, int n) {
    typename Vector<T, vector_bytes>::type v = {};
    if (step == 1 && n == lanes<T>) return *reinterpret_cast<const typename Vector<T, vector_bytes>::anywhere*>(from);
    for (int j = 0; j < n; j++) v[j] = from[j * step];
    return v;
}

// G g G' of a vector of columns from `column` on, which are part of a panel of so many.
template <class T, class Tap>
static inline void pack_lanes(const Pass<T>& p, Tap tap, ptrdiff_t column, int columns, T* to, int width) {
    typedef typename Vector<T, vector_bytes>::type vec;
    const ptrdiff_t D = p.depth, size = D * p.group_columns();
    const auto at = [](const Axis& a, int i) { return a.tap_step > 0 ? i : 2 - i; };
    const T* from[9];
    for (int i = 0; i < 9; i++) from[i] = tap(at(p.h, i / 3), at(p.w, i % 3)) + column * p.column_step;
    for (ptrdiff_t k = 0; k < D; k++, to += width) {
        vec g[9], half[12], all[16];
        for (int i = 0; i < 9; i++) g[i] = numbers(from[i] + k * p.depth_step, p.column_step, columns);
        for (int i = 0; i < 3; i++) spread(g[i], g[3 + i], g[6 + i], half + i, 3);
        for (int i = 0; i < 4; i++) spread(half[3 * i], half[3 * i + 1], half[3 * i + 2], all + 4 * i, 1);
        for (int i = 0; i < 16; i++) put<T, vector_bytes, 1>(all + i, to + i * size, std::min(width, lanes<T>));
    }
}

// 16 matrices of weights, (depth, group_columns()), each panel after panel.
template <class T, class Tap> static inline void pack_tiles(const Pass<T>& p, Tap tap) {
    for (ptrdiff_t column = 0; column < p.columns;) {
        const int width = panel_width<T>(p.columns - column);
        for (int begin = 0; begin < width; begin += lanes<T>) {
            const int columns = static_cast<int>(std::min<ptrdiff_t>(lanes<T>, p.columns - column - begin));
            pack_lanes(p, tap, column + begin, columns, p.panels + column * p.depth + begin, width);
        }
        column += width;
    }
}

// B' d B of one tile's 4 x 4 pixels, `bytes` at a time; matrix i begins at to + i * step.
template <class T, int bytes = vector_bytes>
static inline void read_tile(const T* const* pixels, ptrdiff_t c, ptrdiff_t depth, T* to, ptrdiff_t step) {
    typedef typename Vector<T, bytes>::type vec;
    typedef typename Vector<T, bytes>::anywhere anywhere;
    constexpr ptrdiff_t N = bytes / sizeof(T);
    for (; c + N <= depth; c += N) {
        vec d[16];
        for (int i = 0; i < 16; i++) d[i] = *reinterpret_cast<const anywhere*>(pixels[i] + c);
        for (int i = 0; i < 4; i++) differ(d + i, 4);
        for (int i = 0; i < 4; i++) differ(d + 4 * i, 1);
        for (int i = 0; i < 16; i++) *reinterpret_cast<anywhere*>(to + i * step + c) = d[i];
    }
    if constexpr (N > 1)
        if (c < depth) read_tile<T, bytes / 2>(pixels, c, depth, to, step);
}

// A' m A of one tile, with bias and activation, to its 2 x 2 pixels or those of them that are there (else null).
template <class T>
static inline void write_tile(const Pass<T>& p, const T* from, ptrdiff_t step, T* const* pixels) {
    typedef typename Vector<T, vector_bytes>::type vec;
    typedef typename Vector<T, vector_bytes>::anywhere anywhere;
    constexpr ptrdiff_t N = lanes<T>;
    const vec zero = {};
    for (ptrdiff_t f = 0; f < p.columns; f += N) {
        const int columns = static_cast<int>(std::min<ptrdiff_t>(N, p.columns - f));
        vec m[16], bias = zero;
        std::memcpy(&bias, p.biases + f, columns * sizeof(T));
        for (int i = 0; i < 16; i++) m[i] = *reinterpret_cast<const anywhere*>(from + i * step + f);
        for (int i = 0; i < 4; i++) gather(m + i, 4);
        for (int i = 0; i < 2; i++) gather(m + 4 * i, 1);
        for (int i = 0; i < 4; i++) {
            vec y = m[i / 2 * 4 + i % 2] + bias;
            if (p.activation == relu) y = y < zero ? zero : y;  // NaN stays
            if (p.activation == leaky_relu) y = y < zero ? y * T(0.01) : y;
            if (pixels[i]) put<T, vector_bytes, 1>(&y, pixels[i] + f, columns);
        }
    }
    if (p.activation > leaky_relu)
        for (int i = 0; i < 4; i++)
            if (pixels[i]) skml_fused::bias_rows<T>(pixels[i], nullptr, 1, p.columns, p.activation);
}

struct Tile {
    ptrdiff_t image, row, col;  // its first result's
};

template <class T> static inline Tile tile_of(const Pass<T>& p, ptrdiff_t i) {
    const ptrdiff_t across = parts(p.w.n, 2), down = parts(p.h.n, 2);
    return {i / across / down, i / across % down * 2, i % across * 2};
}

template <class T> static inline void advance(const Pass<T>& p, Tile& t) {
    if ((t.col += 2) < p.w.n) return;
    t.col = 0;
    if ((t.row += 2) < p.h.n) return;
    t.row = 0, t.image++;
}

// The 4 x 4 pixels that a tile reads; zeros outside the image.
template <class T> static inline void pixels_of(const Pass<T>& p, const Tile& t, const T* zeros, const T** pixels) {
    const ptrdiff_t D = p.depth, H = p.h.size, W = p.w.size, top = t.row + p.h.lowest(), left = t.col + p.w.lowest();
    const T* image = p.source + t.image * H * W * D;
    if (top >= 0 && left >= 0 && top + 4 <= H && left + 4 <= W) {
        for (int j = 0; j < 16; j++) pixels[j] = image + ((top + j / 4) * W + left + j % 4) * D;
        return;
    }
    for (int j = 0; j < 16; j++) {
        const ptrdiff_t h = top + j / 4, w = left + j % 4;
        pixels[j] = h >= 0 && h < H && w >= 0 && w < W ? image + (h * W + w) * D : zeros;
    }
}

// Computes blocks of tiles until `end`.
template <class T> static inline void fill_tiles(const Pass<T>& p, char* space, int64_t* next, ptrdiff_t end) {
    const ptrdiff_t D = p.depth, C = p.group_columns(), n_tiles = count_tiles(p);
    const ptrdiff_t D_step = p.block * D + apart / sizeof(T), C_step = p.block * C + apart / sizeof(T);
    T *left = reinterpret_cast<T*>(space), *out = left + 16 * D_step, *zeros = out + 16 * C_step;
    int32_t *places = reinterpret_cast<int32_t*>(zeros + D), *offsets = places + p.block;
    std::memset(zeros, 0, D * sizeof(T));
    for (ptrdiff_t i = 0; i < p.block; i++) places[i] = static_cast<int32_t>(i * D);
    for (ptrdiff_t k = 0; k < D; k++) offsets[k] = static_cast<int32_t>(k);
    for (ptrdiff_t block; (block = __atomic_fetch_add(next, 1, __ATOMIC_RELAXED)) < end;) {
        const ptrdiff_t first = block * p.block, n = std::min(p.block, n_tiles - first);
        Tile t = tile_of(p, first);
        for (ptrdiff_t i = 0; i < n; i++, advance(p, t)) {
            const T* pixels[16];
            pixels_of(p, t, zeros, pixels);
            read_tile(pixels, 0, D, left + i * D, D_step);
        }
        for (int m = 0; m < 16; m++)
            for (ptrdiff_t column = 0; column < p.columns;) {
                const int width = panel_width<T>(p.columns - column);
                const Rows<T> rows{left + m * D_step, places, out + m * C_step + column, nullptr, C};
                multiply(rows, n, width, offsets, D, p.panels + m * D * C + column * D, Finish<T>{nullptr, identity, width, false});
                column += width;
            }
        t = tile_of(p, first);
        for (ptrdiff_t i = 0; i < n; i++, advance(p, t)) {
            T* pixels[4];
            for (int j = 0; j < 4; j++) {
                const ptrdiff_t h = t.row + j / 2, w = t.col + j % 2;
                pixels[j] = h < p.h.n && w < p.w.n ? p.out + ((t.image * p.out_h + h) * p.out_w + w) * p.columns : nullptr;
            }
            write_tile(p, out + i * C, C_step, pixels);
        }
    }
}

}  // namespace skml_convolution
