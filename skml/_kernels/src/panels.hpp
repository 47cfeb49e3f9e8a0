// Symmetric products B'B summed in double precision, from rows packed in panels.
//
// A panel holds `panel_width` neighbouring columns of B, row after row, so that a tile of the product reads two streams.
// The products of at most `panel_rows` rows are summed in registers in the precision of B, then added to the result.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace skml {

using std::ptrdiff_t;

// A tile has as many sums as registers hold.
#if defined(__AVX512F__)
constexpr int vector_bytes = 64, tile_rows = 8, tile_vectors = 3;
#elif defined(__AVX__)
constexpr int vector_bytes = 32, tile_rows = 4, tile_vectors = 3;
#else
constexpr int vector_bytes = 16, tile_rows = 4, tile_vectors = 2;
#endif
constexpr ptrdiff_t panel_rows = 240;  // two panels in the first-level cache; not a power of two, which would collide

template <class Real>
constexpr int lanes = vector_bytes / static_cast<int>(sizeof(Real));
template <class Real>
constexpr int panel_width = tile_vectors * lanes<Real>;
static_assert(panel_width<double> % tile_rows == 0, "the rows of a tile lie in one panel");

inline ptrdiff_t rounded_up(ptrdiff_t n, ptrdiff_t unit) { return (n + unit - 1) / unit * unit; }

// How many numbers of working space packed rows of n columns need at most, alignment included.
inline ptrdiff_t packed_size(ptrdiff_t n_rows, ptrdiff_t n) {
    return std::min(panel_rows, n_rows) * rounded_up(n, panel_width<float>) + vector_bytes;
}

template <class Real>
inline Real *aligned(Real *space) {
    return reinterpret_cast<Real *>((reinterpret_cast<std::uintptr_t>(space) + vector_bytes - 1) / vector_bytes * vector_bytes);
}

// Adds the product of tile_rows columns, from `a`, and a whole panel, from `b`, to rows i.. and columns j.. of `out`.
template <class Real>
inline void add_tile(const Real *__restrict a, const Real *__restrict b, ptrdiff_t depth, double *__restrict out,
                     ptrdiff_t i, ptrdiff_t j, ptrdiff_t n) {
    constexpr int width = panel_width<Real>;
    typedef Real vector __attribute__((vector_size(vector_bytes), may_alias));
    const int height = static_cast<int>(std::min<ptrdiff_t>(tile_rows, n - i));
    for (int p = 0; p < height; ++p)
        for (int c = 0; c < width; c += 8) __builtin_prefetch(out + (i + p) * n + j + c, 1);
    vector sum[tile_rows][tile_vectors] = {};
    for (ptrdiff_t r = 0; r < depth; ++r, a += width, b += width) {
        vector v[tile_vectors];
        for (int q = 0; q < tile_vectors; ++q) v[q] = *reinterpret_cast<const vector *>(b + q * lanes<Real>);
        for (int p = 0; p < tile_rows; ++p)
            for (int q = 0; q < tile_vectors; ++q) sum[p][q] += a[p] * v[q];
    }
    Real flat[tile_rows][width];
    for (int p = 0; p < tile_rows; ++p)
        for (int q = 0; q < tile_vectors; ++q)
            __builtin_memcpy(&flat[p][q * lanes<Real>], &sum[p][q], vector_bytes);
    if (height == tile_rows && i >= j + width - 1) {
        for (int p = 0; p < tile_rows; ++p)
            for (int c = 0; c < width; ++c) out[(i + p) * n + j + c] += flat[p][c];
    } else {  // on the diagonal or at the end
        for (int p = 0; p < height; ++p)
            for (int c = 0; c < width && j + c <= i + p; ++c) out[(i + p) * n + j + c] += flat[p][c];
    }
}

// Adds to the lower triangle of `out`, (n, n), the product of packed rows. Meanwhile memory from `next` to `stop`, which
// will be packed next, is fetched into the second-level cache.
template <class Real>
inline void add_product(const Real *panels, ptrdiff_t depth, ptrdiff_t n, double *out, const char *next,
                        const char *stop) {
    constexpr int width = panel_width<Real>;
    const ptrdiff_t n_tiles = rounded_up(n, width) / width * (rounded_up(n, tile_rows) / tile_rows) / 2 + 1;
    const ptrdiff_t share = rounded_up((stop - next) / n_tiles + 1, 64);
    for (ptrdiff_t top = 0; top < n; top += 10 * width) {  // ten panels stay in the second-level cache
        const ptrdiff_t bottom = std::min(n, top + 10 * width);
        for (ptrdiff_t j = 0; j < bottom; j += width)
            for (ptrdiff_t i = std::max(j, top); i < bottom; i += tile_rows) {
                for (const char *end = next + std::min(share, stop - next); next < end; next += 64)
                    __builtin_prefetch(next, 0, 2);
                const ptrdiff_t panel = i / width * width;
                add_tile(panels + panel * depth + (i - panel), panels + j * depth, depth, out, i, j, n);
            }
    }
}

// Part of a matrix in memory: its steps from row to row and from column to column are bytes.
template <class Source>
struct Strided {
    const Source *data;
    ptrdiff_t row_step, column_step;
    const Source *at(ptrdiff_t i, ptrdiff_t j) const {
        return reinterpret_cast<const Source *>(reinterpret_cast<const char *>(data) + i * row_step + j * column_step);
    }
};

// Some rows and a vector of columns: centred, scaled, written to a panel, and their weighted sums added to `total`.
template <int rows, class Real>
inline void pack_vector(const Strided<Real> &X, const Real *shift, const double *scale, Real *out, double *total) {
    typedef Real vector __attribute__((vector_size(vector_bytes), aligned(sizeof(Real)), may_alias));
    typedef double wide __attribute__((vector_size(8 * lanes<Real>), aligned(8), may_alias));
    const vector middle = *reinterpret_cast<const vector *>(shift);
    vector sum = {};
    for (int r = 0; r < rows; ++r) {
        const Real factor = scale ? static_cast<Real>(scale[r]) : Real(1);
        vector v = *reinterpret_cast<const vector *>(X.at(r, 0)) - middle;
        if (scale) v *= factor;
        *reinterpret_cast<vector *>(out + r * panel_width<Real>) = v;
        sum += scale ? v * factor : v;
    }
    *reinterpret_cast<wide *>(total) += __builtin_convertvector(sum, wide);
}

// The same for `size` columns, one number at a time, whatever their strides.
template <class Real>
inline void pack_numbers(const Strided<Real> &X, const Real *shift, const double *scale, Real *out, double *total,
                         ptrdiff_t n_rows, int size) {
    for (int c = 0; c < size; ++c)
        for (ptrdiff_t r = 0; r < n_rows; ++r) {
            const double weight = scale ? scale[r] : 1.0;
            const Real v = static_cast<Real>(weight) * (*X.at(r, c) - shift[c]);
            out[r * panel_width<Real> + c] = v;
            total[c] += weight * v;
        }
}

template <int rows, class Real>
inline void pack_rows(const Strided<Real> &X, const Real *shift, const double *scale, Real *panels, double *total,
                      ptrdiff_t depth, ptrdiff_t n) {
    for (ptrdiff_t j = 0; j < n; j += panel_width<Real>) {
        const int size = static_cast<int>(std::min<ptrdiff_t>(panel_width<Real>, n - j));
        Real *out = panels + j * depth;
        int c = 0;
        for (; c + lanes<Real> <= size; c += lanes<Real>)
            pack_vector<rows>({X.at(0, j + c), X.row_step, X.column_step}, shift + j + c, scale, out + c, total + j + c);
        pack_numbers({X.at(0, j + c), X.row_step, X.column_step}, shift + j + c, scale, out + c, total + j + c, rows,
                     size - c);
    }
}

// Packs `depth` rows of X, centred and scaled. Columns of a panel beyond the last are left as they are: what they
// contribute is never stored.
template <class Real>
inline void pack(const Strided<Real> &X, const Real *shift, const double *scale, Real *panels, double *total,
                 ptrdiff_t depth, ptrdiff_t n) {
    const auto rest = [&](ptrdiff_t r) { return scale ? scale + r : nullptr; };
    if (X.column_step != sizeof(Real)) {
        for (ptrdiff_t j = 0; j < n; j += panel_width<Real>)
            pack_numbers({X.at(0, j), X.row_step, X.column_step}, shift + j, scale, panels + j * depth, total + j, depth,
                         static_cast<int>(std::min<ptrdiff_t>(panel_width<Real>, n - j)));
        return;
    }
    ptrdiff_t r = 0;
    for (; r + 4 <= depth; r += 4)
        pack_rows<4>({X.at(r, 0), X.row_step, X.column_step}, shift, rest(r), panels + r * panel_width<Real>, total,
                     depth, n);
    for (; r < depth; ++r)
        pack_rows<1>({X.at(r, 0), X.row_step, X.column_step}, shift, rest(r), panels + r * panel_width<Real>, total,
                     depth, n);
}

// Adds B'B of the centred and scaled rows of X to the lower triangle of `scatter`, and their weighted sums to `total`.
template <class Real>
inline void add_scatter(const Real *data, ptrdiff_t row_step, ptrdiff_t column_step, const Real *shift,
                        const double *scale, Real *space, double *total, double *scatter, ptrdiff_t n_rows,
                        ptrdiff_t n) {
    const Strided<Real> X{data, row_step, column_step};
    Real *panels = aligned(space);
    for (ptrdiff_t start = 0, depth; start < n_rows; start += depth) {
        depth = std::min(panel_rows, n_rows - start);
        pack<Real>({X.at(start, 0), row_step, column_step}, shift, scale ? scale + start : nullptr, panels, total, depth,
                   n);
        const ptrdiff_t ahead = row_step > 0 ? std::min(panel_rows, n_rows - start - depth) * row_step : 0;
        const char *next = reinterpret_cast<const char *>(X.at(start + depth, 0));
        add_product(panels, depth, n, scatter, next, next + ahead);
    }
}

// The columns `from` to `from + depth` of X less their weighted means, scaled, with a panel's width of rows side by side.
template <class Source>
inline void pack_columns(const Strided<Source> &X, const double *scale, double weight, double *panels, double *mean,
                         ptrdiff_t depth, ptrdiff_t n_rows) {
    constexpr int width = panel_width<double>;
    // Differences from the first row: a constant column then has exactly its constant as mean.
    std::fill(mean, mean + depth, 0.0);
    for (ptrdiff_t i = 0; i < n_rows; ++i) {
        const double w = scale ? scale[i] * scale[i] : 1.0;
        for (ptrdiff_t c = 0; c < depth; ++c)
            mean[c] += w * (static_cast<double>(*X.at(i, c)) - static_cast<double>(*X.at(0, c)));
    }
    for (ptrdiff_t c = 0; c < depth; ++c) mean[c] /= weight;
    for (ptrdiff_t i = 0; i < n_rows; ++i) {
        double *out = panels + i / width * width * depth + i % width;
        const double factor = scale ? scale[i] : 1.0;
        for (ptrdiff_t c = 0; c < depth; ++c)
            out[c * width] =
                factor * ((static_cast<double>(*X.at(i, c)) - static_cast<double>(*X.at(0, c))) - mean[c]);
    }
    for (ptrdiff_t c = 0; c < depth; ++c) mean[c] += static_cast<double>(*X.at(0, c));
}

// Writes the weighted means of the columns of X, and adds BB' of X less these, scaled, to the lower triangle of `gram`.
template <class Source>
inline void add_gram(const Source *data, ptrdiff_t row_step, ptrdiff_t column_step, const double *scale, double *space,
                     double *mean, double *gram, ptrdiff_t n_rows, ptrdiff_t n_columns) {
    const Strided<Source> X{data, row_step, column_step};
    double *panels = aligned(space), weight = 0.0;
    for (ptrdiff_t i = 0; i < n_rows; ++i) weight += scale ? scale[i] * scale[i] : 1.0;
    for (ptrdiff_t start = 0, depth; start < n_columns; start += depth) {
        depth = std::min(panel_rows, n_columns - start);
        pack_columns<Source>({X.at(0, start), row_step, column_step}, scale, weight, panels, mean + start, depth, n_rows);
        add_product<double>(panels, depth, n_rows, gram, nullptr, nullptr);
    }
}

}  // namespace skml
