// Maxima (or minima) over windows of images (B, H, W, C), and which place of its window each was found at.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace skml_pooling {

struct Geometry {
    ptrdiff_t H, W, C, OH, OW, kh, kw, sh, sw, top, left;
    ptrdiff_t first_row(ptrdiff_t oh) const { return std::max<ptrdiff_t>(0, top - oh * sh); }
    ptrdiff_t end_row(ptrdiff_t oh) const { return std::min(kh, H + top - oh * sh); }
    ptrdiff_t first_column(ptrdiff_t ow) const { return std::max<ptrdiff_t>(0, left - ow * sw); }
    ptrdiff_t end_column(ptrdiff_t ow) const { return std::min(kw, W + left - ow * sw); }
    bool apart() const { return sh >= kh && sw >= kw; }
};

constexpr ptrdiff_t WIDTH = 64;  // channels at a time
constexpr uint8_t NOWHERE = 255;

template <class T> using Place = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;  // as wide as T, for vectors

// Some channels of one window. x points to the image (at the first of them); NaN is larger, and smaller, than all.
template <class T, int SIGN>
static inline void window(const Geometry& g, const T* x, ptrdiff_t oh, ptrdiff_t ow, ptrdiff_t n, T* y, uint8_t* index) {
    T best[WIDTH];
    Place<T> at[WIDTH];
    bool found = false;
    for (ptrdiff_t i = g.first_row(oh); i < g.end_row(oh); i++)
        for (ptrdiff_t j = g.first_column(ow); j < g.end_column(ow); j++) {
            const T* from = x + ((oh * g.sh + i - g.top) * g.W + ow * g.sw + j - g.left) * g.C;
            const Place<T> place = (Place<T>)(i * g.kw + j);
            if (!found) {
                for (ptrdiff_t c = 0; c < n; c++) best[c] = from[c], at[c] = place;
                found = true;
                continue;
            }
            for (ptrdiff_t c = 0; c < n; c++) {
                const T v = from[c], b = best[c];
                const bool better = (SIGN > 0 ? v > b : v < b) | ((v != v) & (b == b));
                best[c] = better ? v : b;
                at[c] = better ? place : at[c];
            }
        }
    for (ptrdiff_t c = 0; c < n; c++) y[c] = found ? best[c] : T(0);
    for (ptrdiff_t c = 0; c < n; c++) index[c] = found ? (uint8_t)at[c] : NOWHERE;
}

// One row of windows; x points to the image, y and index to that row.
template <class T> static inline void row(const Geometry& g, const T* x, ptrdiff_t oh, T* y, uint8_t* index, int sign) {
    for (ptrdiff_t ow = 0; ow < g.OW; ow++, y += g.C, index += g.C)
        for (ptrdiff_t c = 0; c < g.C; c += WIDTH) {
            const ptrdiff_t n = std::min(WIDTH, g.C - c);
            if (sign > 0) window<T, 1>(g, x + c, oh, ow, n, y + c, index + c);
            else window<T, -1>(g, x + c, oh, ow, n, y + c, index + c);
        }
}

template <class T, bool ADD>
static inline void give_back(const T* __restrict dy, const Place<T>* __restrict at, T* __restrict dx, ptrdiff_t n,
                             Place<T> place) {
    for (ptrdiff_t c = 0; c < n; c++) {
        const T part = at[c] == place ? dy[c] : T(0);
        dx[c] = ADD ? dx[c] + part : part;
    }
}

// One image: what came to a window goes to the place that its number came from.
template <class T> static inline void image_backward(const Geometry& g, const T* dy, const uint8_t* index, T* dx) {
    Place<T> at[WIDTH];
    std::fill(dx, dx + g.H * g.W * g.C, T(0));
    for (ptrdiff_t oh = 0; oh < g.OH; oh++)
        for (ptrdiff_t ow = 0; ow < g.OW; ow++, dy += g.C, index += g.C)
            for (ptrdiff_t c = 0; c < g.C; c += WIDTH) {
                const ptrdiff_t n = std::min(WIDTH, g.C - c);
                for (ptrdiff_t k = 0; k < n; k++) at[k] = index[c + k];
                for (ptrdiff_t i = g.first_row(oh); i < g.end_row(oh); i++)
                    for (ptrdiff_t j = g.first_column(ow); j < g.end_column(ow); j++) {
                        T* to = dx + ((oh * g.sh + i - g.top) * g.W + ow * g.sw + j - g.left) * g.C + c;
                        const Place<T> place = (Place<T>)(i * g.kw + j);
                        if (g.apart()) give_back<T, false>(dy + c, at, to, n, place);
                        else give_back<T, true>(dy + c, at, to, n, place);
                    }
            }
}

}  // namespace skml_pooling
