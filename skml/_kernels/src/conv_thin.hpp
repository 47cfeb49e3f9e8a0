// Products with one to three columns: vectors run over channels instead, and each sum is folded at its end.
#pragma once
#include "conv_geometry.hpp"

namespace skml_convolution {

constexpr int thin_columns = 3;

template <class T> static inline bool is_thin(ptrdiff_t columns, ptrdiff_t depth) {
    return columns <= thin_columns && depth * sizeof(T) % 16 == 0;
}

// The sum of a vector's numbers, by halves.
template <class T, int bytes> static inline T total(typename Vector<T, bytes>::type v) {
    if constexpr (bytes == 2 * (int)sizeof(T)) {
        return v[0] + v[1];
    } else {
        typename Vector<T, bytes / 2>::type half[2];
        __builtin_memcpy(half, &v, bytes);
        return total<T, bytes / 2>(half[0] + half[1]);
    }
}

// Rows `begin` to `end`, a multiple of P; `columns` holds C columns of `depth` numbers.
template <class T, int bytes, int C, int P>
static void thin_tiles(const Rows<T>& rows, ptrdiff_t begin, ptrdiff_t end, const int32_t* __restrict offsets, ptrdiff_t depth,
                       const T* __restrict columns, const Finish<T>& finish) {
    typedef typename Vector<T, bytes>::anywhere anywhere;
    constexpr int N = bytes / sizeof(T);
    for (ptrdiff_t i = begin; i < end; i += P) {
        const T* source[P];
        typename Vector<T, bytes>::type sums[P][C] = {};
        for (int p = 0; p < P; p++) source[p] = rows.source + rows.sources[i + p];
        for (ptrdiff_t k = 0; k < depth; k += N) {
            const ptrdiff_t offset = offsets[k];
            for (int p = 0; p < P; p++) {
                const typename Vector<T, bytes>::type x = *reinterpret_cast<const anywhere*>(source[p] + offset);
                for (int c = 0; c < C; c++) sums[p][c] += x * *reinterpret_cast<const anywhere*>(columns + c * depth + k);
            }
        }
        for (int p = 0; p < P; p++)
            for (int c = 0; c < C; c++) {
                T sum = total<T, bytes>(sums[p][c]) + finish.bias[c];
                if (finish.activation == relu) sum = sum < 0 ? T(0) : sum;  // NaN stays
                if (finish.activation == leaky_relu) sum = sum < 0 ? sum * T(0.01) : sum;
                rows.at(i + p)[c] = sum;
            }
    }
}

template <class T, int bytes, int C>
static inline void multiply_columns(const Rows<T>& rows, ptrdiff_t n, const int32_t* offsets, ptrdiff_t depth, const T* columns,
                                    const Finish<T>& finish) {
    thin_tiles<T, bytes, C, 4>(rows, 0, n / 4 * 4, offsets, depth, columns, finish);
    thin_tiles<T, bytes, C, 1>(rows, n / 4 * 4, n, offsets, depth, columns, finish);
}

// The product of n rows with `finish.columns` columns. `channels`: so many offsets are neighbours.
template <class T, int bytes = vector_bytes>
static inline void multiply_thin(const Rows<T>& rows, ptrdiff_t n, ptrdiff_t channels, const int32_t* offsets, ptrdiff_t depth,
                                 const T* columns, const Finish<T>& finish) {
    if constexpr (bytes > 16)
        if (channels * sizeof(T) % bytes)
            return multiply_thin<T, bytes / 2>(rows, n, channels, offsets, depth, columns, finish);
    if (finish.columns == 1) multiply_columns<T, bytes, 1>(rows, n, offsets, depth, columns, finish);
    if (finish.columns == 2) multiply_columns<T, bytes, 2>(rows, n, offsets, depth, columns, finish);
    if (finish.columns == 3) multiply_columns<T, bytes, 3>(rows, n, offsets, depth, columns, finish);
}

}  // namespace skml_convolution
