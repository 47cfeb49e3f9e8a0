// Scans: the two nearest of many centres, for many rows.
#pragma once
#include "kmeans_pairs.hpp"

namespace skml_kmeans {

template <class T> struct IndexVec;
template <> struct IndexVec<float> { typedef int32_t scalar; typedef int32_t vec __attribute__((vector_size(VECTOR_BYTES))); };
template <> struct IndexVec<double> { typedef int64_t scalar; typedef int64_t vec __attribute__((vector_size(VECTOR_BYTES))); };

// A scalar in all lanes; subtracting zero keeps every value, where adding it would turn -0 into 0.
template <class T> static inline Vec<T> spread(T value) { return value - Vec<T>{}; }

// The two nearest centres so far, of rows in lanes.
template <class T> struct Leaders {
    Vec<T> first = spread(std::numeric_limits<T>::infinity()), second = first;
    typename IndexVec<T>::vec label{};
    inline void see(Vec<T> s, typename IndexVec<T>::vec j) {
        const auto less = s < first;
        const Vec<T> larger = less ? first : s;
        second = larger < second ? larger : second;
        first = less ? s : first;
        label = less ? j : label;
    }
};

// Narrow rows against C centres from number q on: a row per lane, R vectors of them, so each pair keeps the narrow
// sequence, and centres come in order, so that the lowest wins ties. x: feature by feature, R vectors each.
template <class T, bool M, int R, int C>
static inline void narrow_tile(const T* x, const T* c, ptrdiff_t q, ptrdiff_t d, Leaders<T>* best) {
    typedef Vec<T> V;
    constexpr int n = Lanes<T>::n;
    V s[C][R];
    for (int a = 0; a < C; a++) for (int r = 0; r < R; r++) s[a][r] = V{};
    for (ptrdiff_t j = 0; j < d; j++) {
        V xv[R];
        for (int r = 0; r < R; r++) xv[r] = load<V>(x + (j * R + r) * n);
        for (int a = 0; a < C; a++) {
            const V cv = spread<T>(c[(q + a) * d + j]);
            for (int r = 0; r < R; r++) { V t = gap<M>(xv[r], cv); s[a][r] = madd(t, t, s[a][r]); }
        }
    }
    for (int a = 0; a < C; a++) {
        const auto j = typename IndexVec<T>::vec{} + (typename IndexVec<T>::scalar)(q + a);
        for (int r = 0; r < R; r++) best[r].see(s[a][r], j);
    }
}

// Lay W narrow rows, given by pointer, feature by feature; the last of the `rows` there are fills up.
template <class T, int W> static inline void turn(const T* const* x, ptrdiff_t rows, ptrdiff_t d, T* turned) {
    for (ptrdiff_t l = 0; l < W; l++) {
        const T* row = x[l < rows ? l : rows - 1];
        for (ptrdiff_t j = 0; j < d; j++) turned[j * W + l] = row[j];
    }
}

// Up to R vectors of narrow rows, given by pointer, against all centres.
template <class T, bool M, int R>
static inline void narrow_rows(const T* const* x, ptrdiff_t rows, const T* c, ptrdiff_t k, ptrdiff_t d, Nearest<T>* out) {
    constexpr int n = Lanes<T>::n, W = R * n;
    alignas(VECTOR_BYTES) T turned[NARROW * W];
    turn<T, W>(x, rows, d, turned);
    Leaders<T> best[R];
    ptrdiff_t q = 0;
    for (; q + 4 <= k; q += 4) narrow_tile<T, M, R, 4>(turned, c, q, d, best);
    for (; q < k; q++) narrow_tile<T, M, R, 1>(turned, c, q, d, best);
    for (ptrdiff_t l = 0; l < rows; l++) {
        const Leaders<T>& lead = best[l / n];
        out[l].first = lead.first[l % n]; out[l].second = lead.second[l % n]; out[l].label = (int32_t)lead.label[l % n];
    }
}

// One narrow row against the first `reach` of centres packed feature by feature: packed[j * kp + q], kp a multiple of
// the lanes, padded with infinity. Lanes run over centres, so each pair keeps the narrow sequence; `label` is a place
// in that order, the lowest on ties.
template <class T>
static inline void packed_scan(const T* x, const T* packed, ptrdiff_t kp, ptrdiff_t reach, ptrdiff_t d, Nearest<T>& out) {
    typedef typename IndexVec<T>::vec I;
    constexpr int n = Lanes<T>::n;
    Leaders<T> best;
    I index;
    for (int l = 0; l < n; l++) index[l] = l;
    for (ptrdiff_t q = 0; q < reach; q += n) {
        Vec<T> s{};
        for (ptrdiff_t j = 0; j < d; j++) { const Vec<T> t = spread(x[j]) - load<Vec<T>>(packed + j * kp + q); s = madd(t, t, s); }
        best.see(s, index);
        index += (typename IndexVec<T>::scalar)n;
    }
    for (int l = 0; l < n; l++) { out.see(best.first[l], (int32_t)best.label[l]); if (best.second[l] < out.second) out.second = best.second[l]; }
}

// Rows against all centres, wide.
template <class T, bool M>
static inline void wide_scan(const T* const* x, ptrdiff_t rows, const T* c, ptrdiff_t k, ptrdiff_t d, Nearest<T>* out) {
    constexpr int R = 2, C = 4;
    T tile[R * C];
    for (ptrdiff_t r = 0; r < rows; r++) out[r] = Nearest<T>();
    // centres in the outer loop: a strip of C centres stays in the first cache while all rows pass
    ptrdiff_t q = 0;
    for (; q + C <= k; q += C) {
        ptrdiff_t r = 0;
        for (; r + R <= rows; r += R) {
            wide_tile<T, M, R, C>(x + r, c + q * d, d, d, tile);
            for (int a = 0; a < R; a++)
                for (int b = 0; b < C; b++) out[r + a].see(tile[a * C + b], (int32_t)(q + b));
        }
        for (; r < rows; r++) {
            wide_tile<T, M, 1, C>(x + r, c + q * d, d, d, tile);
            for (int b = 0; b < C; b++) out[r].see(tile[b], (int32_t)(q + b));
        }
    }
    for (; q < k; q++)
        for (ptrdiff_t r = 0; r < rows; r++) {
            const T* cp = c + q * d;
            wide_pairs<T, M, 1>(x + r, &cp, d, tile);
            out[r].see(tile[0], (int32_t)q);
        }
}

constexpr int BLOCK = 64;  // rows a thread takes at a time

// Nearest and second nearest centre of rows, given by pointer.
template <class T, bool M>
static inline void scan_rows(const T* const* x, ptrdiff_t rows, const T* c, ptrdiff_t k, ptrdiff_t d, Nearest<T>* out) {
    constexpr int n = Lanes<T>::n;
    if (d > NARROW) {
        for (ptrdiff_t r = 0; r < rows; r += BLOCK) wide_scan<T, M>(x + r, rows - r < BLOCK ? rows - r : BLOCK, c, k, d, out + r);
        return;
    }
    for (ptrdiff_t r = 0; r < rows;) {
        const ptrdiff_t left = rows - r, m = left < 2 * n ? left : 2 * n;
        if (left > n) narrow_rows<T, M, 2>(x + r, m, c, k, d, out + r); else narrow_rows<T, M, 1>(x + r, m, c, k, d, out + r);
        r += m;
    }
}
}  // namespace skml_kmeans
