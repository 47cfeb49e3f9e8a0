// Maxima, minima and means over windows of images (B, H, W, C), and which place of its window each maximum was found at.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace skml_pooling {

struct Geometry {
    ptrdiff_t H, W, C, OH, OW, kh, kw, sh, sw, top, left;
    bool apart() const { return sh >= kh && sw >= kw; }
    bool covers() const {  // each pixel lies in a window
        return sh <= kh && sw <= kw && (OH - 1) * sh + kh - top >= H && (OW - 1) * sw + kw - left >= W;
    }
};

// The places of a window that lie in the image, and the offset of its first place from the image's first pixel.
struct Window {
    ptrdiff_t i, i_end, j, j_end, first;
    Window(const Geometry& g, ptrdiff_t oh, ptrdiff_t ow)
        : i(std::max<ptrdiff_t>(0, g.top - oh * g.sh)), i_end(std::min(g.kh, g.H + g.top - oh * g.sh)),
          j(std::max<ptrdiff_t>(0, g.left - ow * g.sw)), j_end(std::min(g.kw, g.W + g.left - ow * g.sw)),
          first(((oh * g.sh - g.top) * g.W + ow * g.sw - g.left) * g.C) {}
    bool empty() const { return i >= i_end || j >= j_end; }
    ptrdiff_t size() const { return empty() ? 0 : (i_end - i) * (j_end - j); }
    // Calls f(place, offset) for each.
    template <class F> void each(const Geometry& g, F f) const {
        for (ptrdiff_t a = i; a < i_end; a++)
            for (ptrdiff_t b = j; b < j_end; b++) f(a * g.kw + b, first + (a * g.W + b) * g.C);
    }
};

constexpr uint8_t NOWHERE = 255;

template <class T> using Place = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;  // as wide as T, for vectors

#if defined(__AVX512F__)
constexpr int VECTOR_BYTES = 64;
#elif defined(__AVX__)
constexpr int VECTOR_BYTES = 32;
#else
constexpr int VECTOR_BYTES = 16;
#endif

template <class T, int L> struct Lanes {
    typedef T Values __attribute__((vector_size(L * sizeof(T))));
    typedef T Anywhere __attribute__((vector_size(L * sizeof(T)), aligned(sizeof(T)), may_alias));
    typedef Place<T> Places __attribute__((vector_size(L * sizeof(T))));
    typedef uint8_t Bytes __attribute__((vector_size(L), aligned(1), may_alias));
    static Values at(const T* from) { return *reinterpret_cast<const Anywhere*>(from); }
    static void put(T* to, Values v) { *reinterpret_cast<Anywhere*>(to) = v; }
    static Places at(const uint8_t* from) {
        return __builtin_convertvector(*reinterpret_cast<const Bytes*>(from), Places);
    }
    static void put(uint8_t* to, Places p) { *reinterpret_cast<Bytes*>(to) = __builtin_convertvector(p, Bytes); }
};

// Calls f(Lanes, c) for channels c on, as many lanes at a time as there are channels left for.
template <class T, int L = VECTOR_BYTES / (int)sizeof(T), class F>
static inline void over_channels(ptrdiff_t c, ptrdiff_t C, F f) {
    for (; c + L <= C; c += L) f(Lanes<T, L>(), c);
    if constexpr (L > 1)
        if (c < C) over_channels<T, L / 2>(c, C, f);
}

// One row of windows; x points to the image, y and index (or null) to that row. NaN is larger, and smaller, than all.
template <class T, int SIGN, bool INDEX>
static inline void row(const Geometry& g, const T* x, ptrdiff_t oh, T* y, uint8_t* index) {
    for (ptrdiff_t ow = 0; ow < g.OW; ow++, y += g.C, index += INDEX ? g.C : 0) {
        const Window w(g, oh, ow);
        if (w.empty()) {
            std::fill(y, y + g.C, T(0));
            if (INDEX) std::fill(index, index + g.C, NOWHERE);
            continue;
        }
        over_channels<T>(0, g.C, [&](auto lanes, ptrdiff_t c) {
            using V = decltype(lanes);
            const ptrdiff_t start = w.i * g.kw + w.j;
            typename V::Values best = V::at(x + w.first + (w.i * g.W + w.j) * g.C + c);
            typename V::Places at = typename V::Places{} + (Place<T>)start;
            w.each(g, [&](ptrdiff_t place, ptrdiff_t offset) {
                const typename V::Values v = V::at(x + offset + c);
                const auto better = (SIGN > 0 ? ~(v <= best) : ~(v >= best)) & (best == best);
                best = better ? v : best;
                if (INDEX) at = better ? typename V::Places{} + (Place<T>)place : at;
            });
            V::put(y + c, best);
            if (INDEX) V::put(index + c, at);
        });
    }
}

template <class T>
static inline void row(const Geometry& g, const T* x, ptrdiff_t oh, T* y, uint8_t* index, int sign) {
    if (sign > 0) index ? row<T, 1, true>(g, x, oh, y, index) : row<T, 1, false>(g, x, oh, y, index);
    else index ? row<T, -1, true>(g, x, oh, y, index) : row<T, -1, false>(g, x, oh, y, index);
}

// One row of means.
template <class T> static inline void mean_row(const Geometry& g, const T* x, ptrdiff_t oh, T* y) {
    for (ptrdiff_t ow = 0; ow < g.OW; ow++, y += g.C) {
        const Window w(g, oh, ow);
        const T share = w.empty() ? T(0) : T(1) / (T)w.size();
        over_channels<T>(0, g.C, [&](auto lanes, ptrdiff_t c) {
            using V = decltype(lanes);
            typename V::Values sum = {};
            w.each(g, [&](ptrdiff_t, ptrdiff_t offset) { sum += V::at(x + offset + c); });
            V::put(y + c, sum * share);
        });
    }
}

// One image: what came to a window is given to its places, as much as `part(lanes, c, place)` says. Windows that lie
// apart write, others add.
template <class T, bool ADD, class F>
static inline void give_back(const Geometry& g, const Window& w, T* dx, F part) {
    over_channels<T>(0, g.C, [&](auto lanes, ptrdiff_t c) {
        using V = decltype(lanes);
        const auto given = part(lanes, c);
        w.each(g, [&](ptrdiff_t place, ptrdiff_t offset) {
            const typename V::Values more = given(place);
            V::put(dx + offset + c, ADD ? V::at(dx + offset + c) + more : more);
        });
    });
}

template <class T, class F> static inline void image(const Geometry& g, T* dx, F part) {
    if (!g.apart() || !g.covers()) std::fill(dx, dx + g.H * g.W * g.C, T(0));
    for (ptrdiff_t oh = 0; oh < g.OH; oh++)
        for (ptrdiff_t ow = 0; ow < g.OW; ow++) {
            const Window w(g, oh, ow);
            const auto here = [&](auto lanes, ptrdiff_t c) { return part(lanes, c, oh * g.OW + ow, w); };
            g.apart() ? give_back<T, false>(g, w, dx, here) : give_back<T, true>(g, w, dx, here);
        }
}

// What came to a window goes to the place that its number came from.
template <class T> static inline void image_backward(const Geometry& g, const T* dy, const uint8_t* index, T* dx) {
    image<T>(g, dx, [&](auto lanes, ptrdiff_t c, ptrdiff_t window, const Window&) {
        using V = decltype(lanes);
        const typename V::Values d = V::at(dy + window * g.C + c);
        const typename V::Places at = V::at(index + window * g.C + c);
        return [=](ptrdiff_t place) {
            const typename V::Values nothing = {};
            return typename V::Values(at == (Place<T>)place ? d : nothing);
        };
    });
}

// What came to a mean is shared out evenly.
template <class T> static inline void mean_backward(const Geometry& g, const T* dy, T* dx) {
    image<T>(g, dx, [&](auto lanes, ptrdiff_t c, ptrdiff_t window, const Window& w) {
        using V = decltype(lanes);
        const typename V::Values d = V::at(dy + window * g.C + c) * (w.empty() ? T(0) : T(1) / (T)w.size());
        return [=](ptrdiff_t) { return d; };
    });
}

}  // namespace skml_pooling
