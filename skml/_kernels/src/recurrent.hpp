// Recurrent cells over whole sequences, some rows of a batch at a time. The states of those rows are kept side by side
// and multiplied with packed weights; the gates follow in one pass over what the product left in the cache.
#pragma once
#include "fused.hpp"
#include "matrices.hpp"

namespace skml_recurrent {

using skml_fused::hyperbolic_tangent;
using skml_fused::sigmoid;
using std::int32_t;
using std::ptrdiff_t;

enum Cell { RNN, GRU, LSTM };

// How many gates have a product with the state, and how many numbers per unit are kept for the way back.
static inline ptrdiff_t n_gates(int cell) { return cell == RNN ? 1 : cell == GRU ? 3 : 4; }
static inline ptrdiff_t n_kept(int cell) { return cell == RNN ? 1 : 4; }

// The arrays of a call. B rows, T moments, H units, G gates, K numbers kept per unit; absent arrays are null.
template <class T> struct Sequence {
    ptrdiff_t B = 0, T_ = 0, H = 0, input_step = 0;
    int cell = 0, activation = 0;
    const int32_t* first = nullptr;  // (B, T)
    const int32_t* codes = nullptr;  // (B, T), or null where each moment has a row of inputs of its own
    const T* panels = nullptr;  // the packed weights
    const T* inputs = nullptr;  // rows of G H numbers, input_step apart
    const T* bias = nullptr;  // (K, H)
    const T* dy = nullptr;  // (B, T, H)
    T* state = nullptr;  // (S, B, H)
    T* kept = nullptr;  // (B, T, K, H)
    T *before = nullptr, *cells = nullptr, *y = nullptr;  // (B, T, H)
};

// A few numbers more than a row needs, so that rows don't meet in the same lines of the cache.
template <class T> static inline ptrdiff_t row_of(ptrdiff_t n) { return skml_matrices::padded(n, (T*)nullptr) + 16; }
template <class T> static inline ptrdiff_t space_of(int cell, ptrdiff_t H, ptrdiff_t rows, const T*) {
    return rows * (row_of<T>(H) + row_of<T>(n_kept(cell) * H)) + 64;
}
template <class T> static inline ptrdiff_t packed_size(ptrdiff_t depth, ptrdiff_t columns, const T* none) {
    return depth * skml_matrices::padded(columns, none) + 64;
}

// -------------------------------------------------------------------------------------------------- forward

// Each of these takes one row at one moment: z is the product with the state h, x that with the input. h is replaced;
// what the way back needs is written to `kept` (K, H).

template <int A, class T>
static inline void plain_cell(const T* z, const T* x, const T* b, T* h, T* kept, ptrdiff_t H) {
#pragma GCC ivdep
    for (ptrdiff_t j = 0; j < H; j++) h[j] = kept[j] = skml_fused::activated<A>(z[j] + (x[j] + b[j]));
}

template <class T> static inline void gru_cell(const T* z, const T* x, const T* b, T* h, T* kept, ptrdiff_t H) {
#pragma GCC ivdep
    for (ptrdiff_t j = 0; j < H; j++) {
        const T r = sigmoid(z[j] + (x[j] + b[j])), u = sigmoid(z[H + j] + (x[H + j] + b[H + j]));
        const T m = z[2 * H + j] + b[3 * H + j], n = hyperbolic_tangent(x[2 * H + j] + b[2 * H + j] + r * m);
        kept[j] = r, kept[H + j] = u, kept[2 * H + j] = n, kept[3 * H + j] = m;
        h[j] = n + u * (h[j] - n);
    }
}

template <class T> static inline void lstm_cell(const T* z, const T* x, const T* b, T* h, T* c, T* kept, ptrdiff_t H) {
#pragma GCC ivdep
    for (ptrdiff_t j = 0; j < H; j++) {
        const T i = sigmoid(z[j] + (x[j] + b[j])), f = sigmoid(z[H + j] + (x[H + j] + b[H + j]));
        const T g = hyperbolic_tangent(z[2 * H + j] + (x[2 * H + j] + b[2 * H + j]));
        const T o = sigmoid(z[3 * H + j] + (x[3 * H + j] + b[3 * H + j]));
        c[j] = f * c[j] + i * g;
        h[j] = o * hyperbolic_tangent(c[j]);
        kept[j] = i, kept[H + j] = f, kept[2 * H + j] = g, kept[3 * H + j] = o;
    }
}

template <class T>
static inline void cell_forward(const Sequence<T>& s, const T* z, const T* x, T* h, T* c, T* kept) {
    if (s.cell == LSTM) return lstm_cell(z, x, s.bias, h, c, kept, s.H);
    if (s.cell == GRU) return gru_cell(z, x, s.bias, h, kept, s.H);
    skml_fused::with_activation(s.activation, [&](auto a) { plain_cell<decltype(a)::value>(z, x, s.bias, h, kept, s.H); });
}

template <class T> static inline bool starts(const Sequence<T>& s, ptrdiff_t at, ptrdiff_t t) {
    return s.first ? s.first[at] == t : t == 0;
}

// Moments start to stop of rows from to end.
template <class T>
static void forward_rows(const Sequence<T>& s, ptrdiff_t from, ptrdiff_t end, ptrdiff_t start, ptrdiff_t stop, T* space) {
    const ptrdiff_t H = s.H, G = n_gates(s.cell) * H, K = n_kept(s.cell) * H, rows = end - from;
    const ptrdiff_t h_step = row_of<T>(H), z_step = row_of<T>(K);
    T *h = skml_matrices::aligned(space), *z = h + rows * h_step;
    for (ptrdiff_t r = 0; r < rows; r++) std::copy_n(s.state + (from + r) * H, H, h + r * h_step);
    for (ptrdiff_t t = start; t < stop; t++) {
        for (ptrdiff_t r = 0; r < rows; r++) {
            const ptrdiff_t at = (from + r) * s.T_ + t;
            T* c = s.state + (s.B + from + r) * H;
            if (starts(s, at, t)) {
                std::fill_n(h + r * h_step, H, T(0));
                if (s.cell == LSTM) std::fill_n(c, H, T(0));
            }
            if (s.before) std::copy_n(h + r * h_step, H, s.before + at * H);
            if (s.cells) std::copy_n(c, H, s.cells + at * H);
        }
        skml_matrices::multiply_rows(h, h_step, rows, s.panels, H, G, z, z_step, false);
        for (ptrdiff_t r = 0; r < rows; r++) {
            const ptrdiff_t at = (from + r) * s.T_ + t;
            const T* x = s.inputs + (s.codes ? s.codes[at] : at) * s.input_step;
            T* kept = s.kept ? s.kept + at * K : z + r * z_step;  // or where the product was
            cell_forward(s, z + r * z_step, x, h + r * h_step, s.state + (s.B + from + r) * H, kept);
            std::copy_n(h + r * h_step, H, s.y + at * H);
        }
    }
    for (ptrdiff_t r = 0; r < rows; r++) std::copy_n(h + r * h_step, H, s.state + (from + r) * H);
}

// ------------------------------------------------------------------------------------------------- backward

// Each of these takes one row at one moment: from the gradient dh at the state that came out it writes those at the
// product, dz, and at the input and the bias, over `kept` (K, H); dh becomes what reaches the state before but through dz.

template <int A, class T> static inline void plain_cell_backward(T* dh, T* dz, T* kept, ptrdiff_t H) {
#pragma GCC ivdep
    for (ptrdiff_t j = 0; j < H; j++) dz[j] = kept[j] = dh[j] * skml_fused::derivative<A>(kept[j]);
}

template <class T> static inline void gru_cell_backward(T* dh, T* dz, T* kept, const T* before, ptrdiff_t H) {
#pragma GCC ivdep
    for (ptrdiff_t j = 0; j < H; j++) {
        const T r = kept[j], u = kept[H + j], n = kept[2 * H + j], m = kept[3 * H + j], d = dh[j];
        const T dn = d * (T(1) - u) * (T(1) - n * n), du = d * (before[j] - n) * u * (T(1) - u);
        const T dr = dn * m * r * (T(1) - r), dm = dn * r;
        kept[j] = dz[j] = dr, kept[H + j] = dz[H + j] = du;
        kept[2 * H + j] = dn, kept[3 * H + j] = dz[2 * H + j] = dm;
        dh[j] = d * u;
    }
}

template <class T>
static inline void lstm_cell_backward(const T* dh, T* dc, T* dz, T* kept, const T* cells, ptrdiff_t H) {
#pragma GCC ivdep
    for (ptrdiff_t j = 0; j < H; j++) {
        const T i = kept[j], f = kept[H + j], g = kept[2 * H + j], o = kept[3 * H + j], c = cells[j];
        const T y = hyperbolic_tangent(f * c + i * g), d = dc[j] + dh[j] * o * (T(1) - y * y);
        kept[j] = dz[j] = d * g * i * (T(1) - i);
        kept[H + j] = dz[H + j] = d * c * f * (T(1) - f);
        kept[2 * H + j] = dz[2 * H + j] = d * i * (T(1) - g * g);
        kept[3 * H + j] = dz[3 * H + j] = dh[j] * y * o * (T(1) - o);
        dc[j] = d * f;
    }
}

template <class T>
static inline void cell_backward(const Sequence<T>& s, ptrdiff_t at, T* dh, T* dc, T* dz) {
    T* kept = s.kept + at * n_kept(s.cell) * s.H;
    if (s.cell == LSTM) return lstm_cell_backward(dh, dc, dz, kept, s.cells + at * s.H, s.H);
    if (s.cell == GRU) return gru_cell_backward(dh, dz, kept, s.before + at * s.H, s.H);
    skml_fused::with_activation(s.activation, [&](auto a) { plain_cell_backward<decltype(a)::value>(dh, dz, kept, s.H); });
}

// Moments stop - 1 down to start of rows from to end; the state is the gradient at it.
template <class T>
static void backward_rows(const Sequence<T>& s, ptrdiff_t from, ptrdiff_t end, ptrdiff_t start, ptrdiff_t stop, T* space) {
    const ptrdiff_t H = s.H, G = n_gates(s.cell) * H, rows = end - from;
    const ptrdiff_t h_step = row_of<T>(H), z_step = row_of<T>(n_kept(s.cell) * H);
    T *dh = skml_matrices::aligned(space), *dz = dh + rows * h_step;
    for (ptrdiff_t r = 0; r < rows; r++) std::copy_n(s.state + (from + r) * H, H, dh + r * h_step);
    for (ptrdiff_t t = stop - 1; t >= start; t--) {
        for (ptrdiff_t r = 0; r < rows; r++) {
            const ptrdiff_t at = (from + r) * s.T_ + t;
            for (ptrdiff_t j = 0; j < H; j++) dh[r * h_step + j] += s.dy[at * H + j];
            cell_backward(s, at, dh + r * h_step, s.state + (s.B + from + r) * H, dz + r * z_step);
        }
        skml_matrices::multiply_rows(dz, z_step, rows, s.panels, G, H, dh, h_step, s.cell == GRU);
        for (ptrdiff_t r = 0; r < rows; r++)
            if (starts(s, (from + r) * s.T_ + t, t)) {
                std::fill_n(dh + r * h_step, H, T(0));
                if (s.cell == LSTM) std::fill_n(s.state + (s.B + from + r) * H, H, T(0));
            }
    }
    for (ptrdiff_t r = 0; r < rows; r++) std::copy_n(dh + r * h_step, H, s.state + (from + r) * H);
}

}  // namespace skml_recurrent
