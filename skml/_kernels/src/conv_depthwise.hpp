// Convolutions of each channel by itself: vectors run over channels on both sides of the product.
#pragma once
#include "conv_geometry.hpp"

namespace skml_convolution {

template <class T> static inline bool is_depthwise(const Pass<T>& p) { return p.groups > 1 && p.depth == 1 && p.columns == 1; }

// Rows `begin` to `end`, a multiple of P, of out_i += sum_k source_i[offset_k] * panel_k, number by number. The first
// `skipped` numbers of a vector are not stored.
template <class T, int bytes, int P>
static void lane_tiles(const Rows<T>& rows, ptrdiff_t begin, ptrdiff_t end, const int32_t* __restrict offsets, ptrdiff_t depth,
                       const T* __restrict panel, ptrdiff_t panel_step, const Finish<T>& finish, int skipped) {
    typedef typename Vector<T, bytes>::type vec;
    typedef typename Vector<T, bytes>::anywhere anywhere;
    const vec zero = {}, start = finish.bias ? *reinterpret_cast<const anywhere*>(finish.bias) : zero;
    for (ptrdiff_t i = begin; i < end; i += P) {
        const T* source[P];
        vec sums[P];
        for (int p = 0; p < P; p++) source[p] = rows.source + rows.sources[i + p];
        for (int p = 0; p < P; p++) sums[p] = start;
        for (ptrdiff_t k = 0; k < depth; k++) {
            const vec right = *reinterpret_cast<const anywhere*>(panel + k * panel_step);
            const ptrdiff_t offset = offsets[k];
            for (int p = 0; p < P; p++) sums[p] += *reinterpret_cast<const anywhere*>(source[p] + offset) * right;
        }
        for (int p = 0; p < P; p++) {
            T* out = rows.at(i + p);
            vec sum = sums[p];
            if (finish.add) sum += *reinterpret_cast<const anywhere*>(out);
            if (finish.activation == relu) sum = sum < zero ? zero : sum;  // NaN stays
            if (finish.activation == leaky_relu) sum = sum < zero ? sum * T(0.01) : sum;
            if (skipped)
                std::memcpy(out + skipped, reinterpret_cast<const char*>(&sum) + skipped * sizeof(T), bytes - skipped * sizeof(T));
            else
                *reinterpret_cast<anywhere*>(out) = sum;
        }
    }
}

// n rows of F channels; the last vector overlaps the one before it.
template <class T, int bytes = vector_bytes>
static inline void multiply_lanes(const Rows<T>& rows, ptrdiff_t n, ptrdiff_t F, const int32_t* offsets, ptrdiff_t depth,
                                  const T* panel, const Finish<T>& finish) {
    constexpr ptrdiff_t N = bytes / sizeof(T);
    if constexpr (N > 1)
        if (F < N) return multiply_lanes<T, bytes / 2>(rows, n, F, offsets, depth, panel, finish);
    for (ptrdiff_t from = 0; from < F; from += N) {
        const ptrdiff_t f = std::min(from, F - N);
        const int skipped = static_cast<int>(from - f);
        const Rows<T> here{rows.source + f, rows.sources, rows.out + f, rows.outs, rows.step};
        const Finish<T> end{finish.bias ? finish.bias + f : nullptr, finish.activation, 0, finish.add};
        const ptrdiff_t eights = n / 8 * 8, threes = eights + (n - eights) / 3 * 3;
        lane_tiles<T, bytes, 8>(here, 0, eights, offsets, depth, panel + f, F, end, skipped);
        lane_tiles<T, bytes, 3>(here, eights, threes, offsets, depth, panel + f, F, end, skipped);
        lane_tiles<T, bytes, 1>(here, threes, n, offsets, depth, panel + f, F, end, skipped);
    }
}

// Adds a slab to the sums: taps() rows of weights and one of bias, F numbers each.
template <class T>
static inline void add_lanes(const Pass<T>& p, ptrdiff_t n, const T* window, const int32_t* places, const T* dy, T* sums) {
    const ptrdiff_t K = p.taps(), F = p.groups;
    multiply_lanes<T>({window, p.offsets, sums, nullptr, F}, K, F, places, n, dy, {nullptr, identity, 0, true});
    for (ptrdiff_t i = 0; i < n; i++)
        for (ptrdiff_t f = 0; f < F; f++) sums[K * F + f] += dy[i * F + f];
}

}  // namespace skml_convolution
