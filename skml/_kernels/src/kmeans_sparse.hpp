// Rows of a CSR matrix against dense centres: |x|^2 - 2 x.c + |c|^2, accumulated in double.
#pragma once
#include "kmeans_seeds.hpp"

namespace skml_kmeans {

// transposed: features x kp doubles, so that one stored value meets all centres side by side; out: kp doubles.
template <class T>
static inline void sparse_row(const T* data, const int32_t* indices, ptrdiff_t begin, ptrdiff_t end, const double* transposed,
                              const double* norms, ptrdiff_t k, ptrdiff_t kp, double* out) {
    double square = 0;
    for (ptrdiff_t q = 0; q < k; q++) out[q] = 0;
    for (ptrdiff_t s = begin; s < end; s++) {
        const double v = (double)data[s];
        const double* c = transposed + (ptrdiff_t)indices[s] * kp;
        square += v * v;
        for (ptrdiff_t q = 0; q < k; q++) out[q] += v * c[q];
    }
    for (ptrdiff_t q = 0; q < k; q++) {
        const double D = square - 2 * out[q] + norms[q];
        out[q] = D > 0 ? D : 0;
    }
}
}  // namespace skml_kmeans
