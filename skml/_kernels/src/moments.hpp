// Centring of rows that lie one after the other in memory.
#pragma once

#include <cstddef>

namespace skml {

// out = X - shift, and total += the column sums of out. Four rows at a time, so that `total` is read and written a
// quarter as often; `restrict` because the compiler would otherwise fear that `out` overlaps `total`.
template <class Source, class Real>
inline void centre_dense(const Source *__restrict X, const Real *__restrict shift, Real *__restrict out,
                         double *__restrict total, std::ptrdiff_t n_rows, std::ptrdiff_t n_features) {
    std::ptrdiff_t i = 0;
    for (; i + 4 <= n_rows; i += 4) {
        const Source *a = X + i * n_features;
        Real *b = out + i * n_features;
        for (std::ptrdiff_t j = 0; j < n_features; ++j) {
            const Real v0 = static_cast<Real>(a[j]) - shift[j];
            const Real v1 = static_cast<Real>(a[j + n_features]) - shift[j];
            const Real v2 = static_cast<Real>(a[j + 2 * n_features]) - shift[j];
            const Real v3 = static_cast<Real>(a[j + 3 * n_features]) - shift[j];
            b[j] = v0;
            b[j + n_features] = v1;
            b[j + 2 * n_features] = v2;
            b[j + 3 * n_features] = v3;
            total[j] += (static_cast<double>(v0) + v1) + (static_cast<double>(v2) + v3);
        }
    }
    for (; i < n_rows; ++i)
        for (std::ptrdiff_t j = 0; j < n_features; ++j) {
            const Real value = static_cast<Real>(X[i * n_features + j]) - shift[j];
            out[i * n_features + j] = value;
            total[j] += value;
        }
}

}  // namespace skml
