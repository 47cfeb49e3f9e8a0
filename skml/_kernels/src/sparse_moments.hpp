// Products of sparse rows with a narrow block of vectors, and back, in one pass over the rows.
#pragma once

#include <cstddef>

namespace skml {

// Each row of `work` holds B numbers of V and, beside them in the same cache line, the B of the result: what the
// first half of a row's work has fetched, the second half finds there.
template <int B, class Source, class Real>
inline void scatter_rows(const int *indptr, std::ptrdiff_t n_rows, const int *indices, const Source *data,
                         const double *weights, const double *offset, Real *work, double *sums) {
    constexpr int ahead = 32;  // entries: far enough for a line to come from the third-level cache
    const int stop = indptr[n_rows];
    double total[B] = {};
    for (std::ptrdiff_t i = 0; i < n_rows; ++i) {
        Real y[B];
        for (int c = 0; c < B; ++c) y[c] = static_cast<Real>(-offset[c]);
        for (int e = indptr[i]; e < indptr[i + 1]; ++e) {
            if (e < stop - ahead) __builtin_prefetch(work + static_cast<std::ptrdiff_t>(indices[e + ahead]) * 2 * B);
            const Real x = static_cast<Real>(data[e]);
            const Real *v = work + static_cast<std::ptrdiff_t>(indices[e]) * 2 * B;
            for (int c = 0; c < B; ++c) y[c] += x * v[c];
        }
        if (weights)
            for (int c = 0; c < B; ++c) y[c] *= static_cast<Real>(weights[i]);
        for (int c = 0; c < B; ++c) total[c] += y[c];
        for (int e = indptr[i]; e < indptr[i + 1]; ++e) {
            const Real x = static_cast<Real>(data[e]);
            Real *z = work + static_cast<std::ptrdiff_t>(indices[e]) * 2 * B + B;
            for (int c = 0; c < B; ++c) z[c] += x * y[c];
        }
    }
    for (int c = 0; c < B; ++c) sums[c] += total[c];
}

// The width as a constant, so that the inner loops become vector instructions.
template <class Source, class Real>
inline void scatter_rows(int width, const int *indptr, std::ptrdiff_t n_rows, const int *indices, const Source *data,
                         const double *weights, const double *offset, Real *work, double *sums) {
    if (width == 1) scatter_rows<1>(indptr, n_rows, indices, data, weights, offset, work, sums);
    if (width == 2) scatter_rows<2>(indptr, n_rows, indices, data, weights, offset, work, sums);
    if (width == 4) scatter_rows<4>(indptr, n_rows, indices, data, weights, offset, work, sums);
    if (width == 8) scatter_rows<8>(indptr, n_rows, indices, data, weights, offset, work, sums);
}

}  // namespace skml
