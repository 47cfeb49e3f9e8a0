// Small networks on few rows: products in tiles of registers, without a call, whose every sum has one order. So how many
// rows there are shows in no bit, and a policy that acts in a rollout is that which predicts.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "activations.hpp"
#include "kmeans_pairs.hpp"

namespace skml_actors {
using skml_kmeans::Lanes;
using skml_kmeans::Vec;
using skml_kmeans::load;
using skml_kmeans::madd;
using skml_kmeans::store;

#if defined(__AVX512F__)
constexpr int WIDE = 4;  // vectors of a tile: as many sums as registers hold
#else
constexpr int WIDE = 2;
#endif
constexpr ptrdiff_t ROWS = 64;  // that go through all layers together

// out(p, q) = start(q) + sum_f left(p, f) right(f, q), in the order of f. `left` has any strides, so it may stand
// transposed; with `more` the sum goes on from what out holds.
template <class T> struct Product {
    const T* left;
    ptrdiff_t by_row, by_term, n_rows;
    const T* right;
    ptrdiff_t n_columns, n_terms;
    const T* start;
    bool more;
    T* out;
    ptrdiff_t to_row;
};

template <class T, int R, int V> static inline void tile(const Product<T>& c, ptrdiff_t p, ptrdiff_t q) {
    typedef Vec<T> Some;
    constexpr int L = Lanes<T>::n;
    Some sum[R][V];
    for (int r = 0; r < R; r++)
        for (int v = 0; v < V; v++) {
            sum[r][v] = Some{};
            if (c.more) sum[r][v] = load<Some>(c.out + (p + r) * c.to_row + q + v * L);
            else if (c.start) sum[r][v] = load<Some>(c.start + q + v * L);
        }
    const T* left = c.left + p * c.by_row;
    const T* right = c.right + q;
    for (ptrdiff_t f = 0; f < c.n_terms; f++, left += c.by_term, right += c.n_columns) {
        Some b[V];
        for (int v = 0; v < V; v++) b[v] = load<Some>(right + v * L);
        for (int r = 0; r < R; r++) {
            const Some a = left[r * c.by_row] - Some{};  // in all lanes
            for (int v = 0; v < V; v++) sum[r][v] = madd(a, b[v], sum[r][v]);
        }
    }
    for (int r = 0; r < R; r++)
        for (int v = 0; v < V; v++) store(c.out + (p + r) * c.to_row + q + v * L, sum[r][v]);
}

template <class T, int V> static inline void strip(const Product<T>& c, ptrdiff_t q) {
    ptrdiff_t p = 0;
    for (; p + 4 <= c.n_rows; p += 4) tile<T, 4, V>(c, p, q);
    for (; p < c.n_rows; p++) tile<T, 1, V>(c, p, q);
}

// The last columns, fewer than a vector holds, with zeros beside them; `space` holds n_terms + 5 vectors.
template <class T> static inline void last_columns(const Product<T>& c, ptrdiff_t q, T* space) {
    constexpr ptrdiff_t L = Lanes<T>::n;
    const ptrdiff_t n = c.n_columns - q;
    T* start = space + c.n_terms * L;
    T* out = start + L;
    std::fill(space, out + 4 * L, T(0));
    for (ptrdiff_t f = 0; f < c.n_terms; f++)
        for (ptrdiff_t j = 0; j < n; j++) space[f * L + j] = c.right[f * c.n_columns + q + j];
    if (c.start) std::copy(c.start + q, c.start + q + n, start);
    for (ptrdiff_t p = 0; p < c.n_rows; p += 4) {
        const ptrdiff_t rows = std::min<ptrdiff_t>(4, c.n_rows - p);
        for (ptrdiff_t r = 0; r < rows && c.more; r++)
            for (ptrdiff_t j = 0; j < n; j++) out[r * L + j] = c.out[(p + r) * c.to_row + q + j];
        strip<T, 1>({c.left + p * c.by_row, c.by_row, c.by_term, rows, space, L, c.n_terms, start, c.more, out, L}, 0);
        for (ptrdiff_t r = 0; r < rows; r++)
            for (ptrdiff_t j = 0; j < n; j++) c.out[(p + r) * c.to_row + q + j] = out[r * L + j];
    }
}

template <class T> static inline void multiply(const Product<T>& c, T* space) {
    constexpr ptrdiff_t L = Lanes<T>::n;
    ptrdiff_t q = 0;
    for (; q + WIDE * L <= c.n_columns; q += WIDE * L) strip<T, WIDE>(c, q);
    for (; q + L <= c.n_columns; q += L) strip<T, 1>(c, q);
    if (q < c.n_columns) last_columns(c, q, space);
}

// A network of linear layers: sizes[0] numbers go in; the parameters are, layer by layer, a matrix (n_in, n_out) and a
// bias; the outputs of N rows are, layer by layer, a matrix (N, n_out). An activation follows each layer but the last.
struct Net {
    const int32_t* sizes;
    int n_layers, activation;
    ptrdiff_t widest() const { return *std::max_element(sizes, sizes + n_layers + 1); }
    ptrdiff_t weights(int to) const {  // the numbers of the layers before `to`
        ptrdiff_t n = 0;
        for (int l = 0; l < to; l++) n += (ptrdiff_t(sizes[l]) + 1) * sizes[l + 1];
        return n;
    }
    ptrdiff_t outputs(int to) const {
        ptrdiff_t n = 0;
        for (int l = 0; l < to; l++) n += sizes[l + 1];
        return n;
    }
    // Working space of one thread, in numbers.
    template <class T> ptrdiff_t space(const T*) const {
        const ptrdiff_t widest_ = widest();
        return (std::max(widest_, ROWS) + 5) * Lanes<T>::n + 2 * ROWS * widest_;
    }
};

// `rows` rows from `row` on, of N.
template <class T>
static inline void forward_rows(const Net& net, const T* x, const T* w, T* y, ptrdiff_t N, ptrdiff_t row,
                                ptrdiff_t rows, T* space) {
    const T* in = x + row * net.sizes[0];
    for (int l = 0; l < net.n_layers; l++) {
        const ptrdiff_t K = net.sizes[l], M = net.sizes[l + 1];
        T* out = y + N * net.outputs(l) + row * M;
        multiply<T>({in, K, 1, rows, w, M, K, w + K * M, false, out, M}, space);
        if (l + 1 < net.n_layers) skml_fused::bias_rows<T>(out, nullptr, 1, rows * M, net.activation);
        in = out;
        w += (K + 1) * M;
    }
}

template <class T> static inline void turn(const T* w, ptrdiff_t K, ptrdiff_t M, T* turned) {
    for (ptrdiff_t m = 0; m < M; m++)
        for (ptrdiff_t k = 0; k < K; k++) turned[m * K + k] = w[k * M + m];
}

// The matrices of all layers but the first, transposed, each where its original stands.
template <class T> static inline void turn_all(const Net& net, const T* w, T* turned) {
    for (int l = 1; l < net.n_layers; l++) turn(w + net.weights(l), net.sizes[l], net.sizes[l + 1], turned + net.weights(l));
}

// Adds the gradients of `rows` rows (at most ROWS) to g; dz is that at the outputs of the last layer.
template <class T>
static inline void backward_rows(const Net& net, const T* x, const T* turned, const T* y, const T* dz, T* g, ptrdiff_t N,
                                 ptrdiff_t row, ptrdiff_t rows, T* space) {
    const ptrdiff_t widest = net.widest();
    T* at[2] = {space + (std::max(widest, ROWS) + 5) * Lanes<T>::n, nullptr};
    at[1] = at[0] + ROWS * widest;
    const T* dout = dz + row * net.sizes[net.n_layers];
    for (int l = net.n_layers - 1; l >= 0; l--) {
        const ptrdiff_t K = net.sizes[l], M = net.sizes[l + 1];
        const T* in = l ? y + N * net.outputs(l - 1) + row * K : x + row * K;
        T* dw = g + net.weights(l);
        multiply<T>({in, 1, K, K, dout, M, rows, nullptr, true, dw, M}, space);
        T* __restrict db = dw + K * M;
        for (ptrdiff_t i = 0; i < rows; i++)
            for (ptrdiff_t j = 0; j < M; j++) db[j] += dout[i * M + j];
        if (l == 0) break;
        T* din = at[l % 2];
        multiply<T>({dout, M, 1, rows, turned + net.weights(l), K, M, nullptr, false, din, K}, space);
        skml_fused::slope(din, in, din, rows * K, net.activation);
        dout = din;
    }
}

// The same for any number of rows, from `start` to before `end`.
template <class T>
static inline void add_gradients(const Net& net, const T* x, const T* turned, const T* y, const T* dz, T* g, ptrdiff_t N,
                                 ptrdiff_t start, ptrdiff_t end, T* space) {
    for (ptrdiff_t row = start; row < end; row += ROWS)
        backward_rows(net, x, turned, y, dz, g, N, row, std::min(ROWS, end - row), space);
}

}  // namespace skml_actors
