// Products of centred rows with a few vectors.
#pragma once

#include "panels.hpp"

namespace skml {

constexpr ptrdiff_t run_rows = 48;  // centred at a time: a multiple of every tile's height
static_assert(run_rows % (tile_rows * tile_vectors) == 0 && run_rows % (tile_rows * tile_vectors / 2) == 0,
              "no tile reaches beyond the rows of a run");
constexpr ptrdiff_t run_depth = panel_rows;

// Multiplies centred rows with `vectors` vectors of columns. The fewer these are, the more rows fill the registers.
template <int vectors, class Real>
inline void project_tiles(const Real *rows, ptrdiff_t n_rows, const Real *panel, ptrdiff_t depth, Real *out,
                          ptrdiff_t out_step, int n_columns, bool first) {
    typedef Real vector __attribute__((vector_size(vector_bytes), may_alias));
    typedef Real loose __attribute__((vector_size(vector_bytes), aligned(sizeof(Real)), may_alias));
    constexpr int height = tile_rows * tile_vectors / vectors, width = vectors * lanes<Real>;
    for (ptrdiff_t i = 0; i < n_rows; i += height, rows += height * depth) {
        vector sum[height][vectors] = {};
        for (ptrdiff_t f = 0; f < depth; ++f) {
            vector v[vectors];
            for (int q = 0; q < vectors; ++q)
                v[q] = *reinterpret_cast<const vector *>(panel + f * width + q * lanes<Real>);
            for (int p = 0; p < height; ++p)
                for (int q = 0; q < vectors; ++q) sum[p][q] += rows[p * depth + f] * v[q];
        }
        for (int p = 0; p < height && i + p < n_rows; ++p) {
            Real *place = out + (i + p) * out_step;
            if (n_columns == width) {
                for (int q = 0; q < vectors; ++q) {
                    loose &there = *reinterpret_cast<loose *>(place + q * lanes<Real>);
                    there = first ? sum[p][q] : there + sum[p][q];
                }
                continue;
            }
            Real flat[width];
            for (int q = 0; q < vectors; ++q) __builtin_memcpy(flat + q * lanes<Real>, &sum[p][q], vector_bytes);
            for (int c = 0; c < n_columns; ++c) place[c] = first ? flat[c] : place[c] + flat[c];
        }
    }
}

// Packs rows from.. of V, (n, k), panel after panel; the last is as wide as its columns need, in whole vectors.
template <class Real>
inline void pack_vectors(const Strided<Real> &V, Real *panels, ptrdiff_t depth, ptrdiff_t k) {
    for (ptrdiff_t c = 0; c < k; c += panel_width<Real>) {
        const ptrdiff_t size = std::min<ptrdiff_t>(panel_width<Real>, k - c), width = rounded_up(size, lanes<Real>);
        Real *panel = panels + c * depth;
        for (ptrdiff_t f = 0; f < depth; ++f)
            for (ptrdiff_t q = 0; q < width; ++q) panel[f * width + q] = q < size ? *V.at(f, c + q) : Real(0);
    }
}

template <class Source, class Real>
inline void centre_run(const Strided<Source> &X, const Real *mean, Real *rows, ptrdiff_t n_rows, ptrdiff_t depth) {
    for (ptrdiff_t i = 0; i < n_rows; ++i) {
        const Source *x = X.at(i, 0);
        if (X.column_step == sizeof(Source))
            for (ptrdiff_t f = 0; f < depth; ++f) rows[i * depth + f] = static_cast<Real>(x[f]) - mean[f];
        else
            for (ptrdiff_t f = 0; f < depth; ++f) rows[i * depth + f] = static_cast<Real>(*X.at(i, f)) - mean[f];
    }
}

// How many numbers of working space `project` needs.
inline ptrdiff_t projection_space(ptrdiff_t k) { return run_depth * (run_rows + k + 16) + 64; }

// out = (X - mean) V, with rows of `out` out_step numbers apart.
template <class Source, class Real>
inline void project(const Source *data, ptrdiff_t row_step, ptrdiff_t column_step, const Real *mean, const Real *vectors,
                    ptrdiff_t V_row_step, ptrdiff_t V_column_step, Real *space, Real *out, ptrdiff_t n_rows, ptrdiff_t n,
                    ptrdiff_t k) {
    const Strided<Source> X{data, row_step, column_step};
    const Strided<Real> V{vectors, V_row_step, V_column_step};
    Real *panels = aligned(space), *rows = panels + run_depth * rounded_up(k, lanes<Real>);
    for (ptrdiff_t from = 0; from < n; from += run_depth) {
        const ptrdiff_t depth = std::min(run_depth, n - from);
        pack_vectors<Real>({V.at(from, 0), V_row_step, V_column_step}, panels, depth, k);
        for (ptrdiff_t i = 0; i < n_rows; i += run_rows) {
            const ptrdiff_t size = std::min(run_rows, n_rows - i);
            centre_run<Source, Real>({X.at(i, from), row_step, column_step}, mean + from, rows, size, depth);
            for (ptrdiff_t c = 0; c < k; c += panel_width<Real>) {
                const int left = static_cast<int>(std::min<ptrdiff_t>(panel_width<Real>, k - c));
                const auto tiles = left > 2 * lanes<Real> ? project_tiles<3, Real>
                                   : left > lanes<Real>   ? project_tiles<2, Real>
                                                          : project_tiles<1, Real>;
                tiles(rows, size, panels + c * depth, depth, out + i * k + c, k, left, from == 0);
            }
        }
    }
}

}  // namespace skml
