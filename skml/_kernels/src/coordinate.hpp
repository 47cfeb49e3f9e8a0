// Coordinate descent over interactions: rank-one sweeps, exact solutions of rows, and residuals with their products.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace skml_coordinate {

using std::ptrdiff_t;
constexpr int LANES = 8;  // sums go in so many parts, added up in a fixed order

inline double total(const double *parts) {
    return ((parts[0] + parts[4]) + (parts[1] + parts[5])) + ((parts[2] + parts[6]) + (parts[3] + parts[7]));
}

template <class T>
inline T dot(const T *a, const T *b, ptrdiff_t n) {
    T parts[16] = {}, sum = 0;
    ptrdiff_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (int c = 0; c < 16; ++c) parts[c] += a[i + c] * b[i + c];
    for (int half = 8; half; half /= 2)
        for (int c = 0; c < half; ++c) parts[c] += parts[c + half];
    for (; i < n; ++i) sum += a[i] * b[i];
    return parts[0] + sum;
}

// One coordinate of one row. The residual first learns what the other side has changed since: held * change, then
// what this row changes. `pairs` holds the change beside the coordinate: one cache line brings both.
template <class T, bool weighted>
inline T descend_as(const int32_t *indices, T *residual, const T *weights, ptrdiff_t n, T held, const T *pairs, T own,
                    double penalty, double low) {
    double slope[LANES] = {}, curvature[LANES] = {};
    auto add = [&](ptrdiff_t e, int lane) {
        const T *pair = pairs + 2 * static_cast<ptrdiff_t>(indices[e]);
        const T left = residual[e] - held * pair[0];
        residual[e] = left;
        const double x = pair[1], wx = weighted ? x * weights[e] : x;
        slope[lane] += wx * left;
        curvature[lane] += wx * x;
    };
    ptrdiff_t e = 0;
    for (; e + LANES <= n; e += LANES)
        for (int lane = 0; lane < LANES; ++lane) add(e + lane, lane);
    for (int lane = 0; e < n; ++e, ++lane) add(e, lane);
    const double h = total(curvature), g = total(slope) + h * own;
    if (!(h + penalty > 0)) return own;
    // argmin_z 1/2 sum w (residual + own x - z x)^2 + penalty z^2 / 2, z >= low
    const T value = static_cast<T>(std::max(low, g / (h + penalty))), step = value - own;
    if (step != 0)
        for (e = 0; e < n; ++e) residual[e] -= step * pairs[2 * static_cast<ptrdiff_t>(indices[e]) + 1];
    return value;
}

// `weights` NULL: ones.
template <class T>
inline T descend(const int32_t *indices, T *residual, const T *weights, ptrdiff_t n, T held, const T *pairs, T own,
                 double penalty, double low) {
    return weights ? descend_as<T, true>(indices, residual, weights, n, held, pairs, own, penalty, low)
                   : descend_as<T, false>(indices, residual, weights, n, held, pairs, own, penalty, low);
}

template <class T>
struct Rows {
    const int32_t *indptr;
    const int32_t *indices;
    const T *data;
    const T *weights;  // NULL: ones
};

// ------------------------------------------------------------------------------------------- rows solved exactly

template <class T>
struct Problem {
    Rows<T> rows;
    const T *design;  // (m, K)
    const T *offsets;  // (m,)
    const double *base;  // (K, K)
    const double *penalties;  // (K,)
    const double *scales;  // (n,)
    ptrdiff_t K;
    bool nonnegative;
    T *own;  // (n, K)
};

// G = base + scale diag(penalties) + sum w x x', lower triangle by rows, and b = sum w (r - offset) x.
template <class T>
inline void normal_equations(const Problem<T> &p, ptrdiff_t r, double *G, double *b, double *x) {
    const ptrdiff_t K = p.K, start = p.rows.indptr[r], stop = p.rows.indptr[r + 1];
    std::copy(p.base, p.base + K * K, G);
    std::fill(b, b + K, 0.0);
    for (ptrdiff_t i = 0; i < K; ++i) G[i * K + i] += p.scales[r] * p.penalties[i];
    for (ptrdiff_t e = start; e < stop; e += 4) {
        double w[4] = {}, y[4] = {};
        std::fill(x, x + 4 * K, 0.0);
        for (int c = 0; c < 4 && e + c < stop; ++c) {
            const ptrdiff_t j = p.rows.indices[e + c];
            w[c] = p.rows.weights ? p.rows.weights[e + c] : 1.0;
            y[c] = w[c] * (static_cast<double>(p.rows.data[e + c]) - p.offsets[j]);
            for (ptrdiff_t i = 0; i < K; ++i) x[c * K + i] = p.design[j * K + i];
        }
        for (ptrdiff_t i = 0; i < K; ++i) {
            const double a0 = w[0] * x[i], a1 = w[1] * x[K + i], a2 = w[2] * x[2 * K + i], a3 = w[3] * x[3 * K + i];
            double *line = G + i * K;
            for (ptrdiff_t l = 0; l <= i; ++l)
                line[l] += (a0 * x[l] + a1 * x[K + l]) + (a2 * x[2 * K + l] + a3 * x[3 * K + l]);
            b[i] += (y[0] * x[i] + y[1] * x[K + i]) + (y[2] * x[2 * K + i] + y[3] * x[3 * K + i]);
        }
    }
    for (ptrdiff_t i = 0; i < K; ++i)
        for (ptrdiff_t l = 0; l < i; ++l) G[l * K + i] = G[i * K + l];
}

// z of the free coordinates with G z = b, by Cholesky; a coordinate that earlier ones determine stays 0.
inline void solve_free(const double *G, const double *b, ptrdiff_t K, const double *free, ptrdiff_t n, double *L,
                       double *column, double *z) {
    for (ptrdiff_t i = 0; i < n; ++i) {
        const double *line = G + static_cast<ptrdiff_t>(free[i]) * K;
        for (ptrdiff_t l = 0; l <= i; ++l) L[i * K + l] = line[static_cast<ptrdiff_t>(free[l])];
        z[i] = b[static_cast<ptrdiff_t>(free[i])];
    }
    for (ptrdiff_t j = 0; j < n; ++j) {
        const double pivot = L[j * K + j], full = G[static_cast<ptrdiff_t>(free[j]) * (K + 1)];
        const double root = pivot > 1e-14 * n * full ? std::sqrt(pivot) : 0.0;
        for (ptrdiff_t i = j; i < n; ++i) column[i] = L[i * K + j] = root > 0 ? L[i * K + j] / root : 0.0;
        for (ptrdiff_t i = j + 1; i < n; ++i) {
            double *line = L + i * K;
            for (ptrdiff_t l = j + 1; l <= i; ++l) line[l] -= column[i] * column[l];
        }
        z[j] = root > 0 ? z[j] / root : 0.0;
        for (ptrdiff_t i = j + 1; i < n; ++i) z[i] -= column[i] * z[j];
    }
    for (ptrdiff_t j = n - 1; j >= 0; --j) {
        z[j] = L[j * K + j] > 0 ? z[j] / L[j * K + j] : 0.0;
        for (ptrdiff_t l = 0; l < j; ++l) z[l] -= L[j * K + l] * z[j];
    }
}

// Tries the minimiser over the positive coordinates: it is the answer if the conditions of Karush, Kuhn and Tucker
// hold.
inline bool polish(const double *G, const double *b, ptrdiff_t K, double *x, double *work) {
    double *L = work, *column = L + K * K, *z = column + K, *free = z + K;
    ptrdiff_t n = 0;
    for (ptrdiff_t t = 0; t < K; ++t)
        if (x[t] > 0) free[n++] = static_cast<double>(t);
    solve_free(G, b, K, free, n, L, column, z);
    for (ptrdiff_t i = 0; i < n; ++i)
        if (!(z[i] >= 0)) return false;
    for (ptrdiff_t t = 0; t < K; ++t) {
        double slope = -b[t], size = std::fabs(b[t]);
        for (ptrdiff_t i = 0; i < n; ++i) {
            const double term = G[t * K + static_cast<ptrdiff_t>(free[i])] * z[i];
            slope += term;
            size += std::fabs(term);
        }
        if (slope < -1e-12 * size) return false;
    }
    for (ptrdiff_t i = 0; i < n; ++i) x[static_cast<ptrdiff_t>(free[i])] = z[i];
    return true;
}

// argmin_x x' G x / 2 - b' x, x >= 0: coordinate descent finds which coordinates are positive.
inline void solve_nonnegative(const double *G, const double *b, ptrdiff_t K, double *x, double *work) {
    double *gradient = work, *rest = work + K;
    for (ptrdiff_t t = 0; t < K; ++t) {
        gradient[t] = -b[t];
        for (ptrdiff_t l = 0; l < K; ++l) gradient[t] += G[t * K + l] * x[l];
    }
    for (int sweep = 1; sweep <= 4096; ++sweep) {
        double largest = 0, size = 0;
        for (ptrdiff_t t = 0; t < K; ++t) {
            const double h = G[t * K + t];
            if (!(h > 0)) continue;
            const double step = std::max(-x[t], -gradient[t] / h);
            x[t] = step == -x[t] ? 0.0 : x[t] + step;
            for (ptrdiff_t l = 0; l < K; ++l) gradient[l] += step * G[t * K + l];
            largest = std::max(largest, step * step * h);
            size = std::max(size, x[t] * x[t] * h);
        }
        const bool at_power = (sweep & (sweep - 1)) == 0;
        if ((at_power && polish(G, b, K, x, rest)) || !(largest > 1e-31 * size)) return;
    }
}

// work: 2 K^2 + 10 K numbers
template <class T>
inline void solve_row(const Problem<T> &p, ptrdiff_t r, double *work) {
    const ptrdiff_t K = p.K;
    double *G = work, *b = G + K * K, *x = b + K, *rest = x + K;
    normal_equations(p, r, G, b, rest);
    T *own = p.own + r * K;
    if (p.nonnegative) {
        for (ptrdiff_t t = 0; t < K; ++t) x[t] = std::max(0.0, static_cast<double>(own[t]));
        solve_nonnegative(G, b, K, x, rest);
    } else {
        double *free = rest + K * K + K;
        for (ptrdiff_t t = 0; t < K; ++t) free[t] = static_cast<double>(t);
        solve_free(G, b, K, free, K, rest, rest + K * K, x);
    }
    for (ptrdiff_t t = 0; t < K; ++t) own[t] = static_cast<T>(x[t]);
}

// ------------------------------------------------------------------------------------------- residuals

// Writes the residuals data - left right' of a row.
template <class T>
inline void residuals_of(const Rows<T> &rows, ptrdiff_t r, const T *left, const T *right, ptrdiff_t K, T *residual) {
    for (ptrdiff_t e = rows.indptr[r]; e < rows.indptr[r + 1]; ++e)
        residual[e] = rows.data[e] - dot(left + r * K, right + rows.indices[e] * K, K);
}

// Writes the product of a row's weighted residuals with `basis`; returns its weighted squared error.
template <class T>
inline double product_of(const Rows<T> &rows, ptrdiff_t r, const T *left, const T *right, ptrdiff_t K, const T *basis,
                         ptrdiff_t width, T *out) {
    double error = 0;
    std::fill(out, out + width, T(0));
    for (ptrdiff_t e = rows.indptr[r]; e < rows.indptr[r + 1]; ++e) {
        const ptrdiff_t j = rows.indices[e];
        const T residual = rows.data[e] - dot(left + r * K, right + j * K, K);
        const T scaled = rows.weights ? rows.weights[e] * residual : residual;
        error += static_cast<double>(scaled) * residual;
        const T *x = basis + j * width;
        for (ptrdiff_t c = 0; c < width; ++c) out[c] += scaled * x[c];
    }
    return error;
}

}  // namespace skml_coordinate
