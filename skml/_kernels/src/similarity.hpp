// Similarities between the rows of two sparse matrices by Gustavson's products, and what neighbours say together.
// All sums are in double precision and in ascending order of the codes, whoever computes them.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace skml_similarity {

enum Kind { PRODUCT = 0, COSINE = 1, JACCARD = 2, COMMON_COSINE = 3, PEARSON = 4 };

template <class T> struct Csr {
    const int32_t* indptr;
    const int32_t* indices;
    const T* data;
    const T* weights;  // null: 1 everywhere
    double weight(ptrdiff_t p) const { return weights ? (double)weights[p] : 1.0; }
};

// ------------------------------------------------------------------------------------------ similarities

struct Measure {
    int kind;
    double shrinkage, min_support;
    bool negative;            // whether similarities below 0 are kept, and ranked by their absolute value
    const double* left_size;  // per row of the left matrix, for COSINE and JACCARD
    const double* right_size;
};

// The sums of a pair, as one vector: n, sum xy (then sum x^2, sum y^2 (then sum x, sum y)), each weighted.
template <int K> struct Lanes;
template <> struct Lanes<2> { typedef double type __attribute__((vector_size(16), aligned(8))); };
template <> struct Lanes<4> { typedef double type __attribute__((vector_size(32), aligned(8))); };
template <> struct Lanes<8> { typedef double type __attribute__((vector_size(64), aligned(8))); };

// What an entry of weight g^2 and value x gives to its pairs' sums: each is a product of a left and a right factor.
static inline Lanes<2>::type factors(double g, double x, bool, Lanes<2>) { return Lanes<2>::type{g, g * x}; }
static inline Lanes<4>::type factors(double g, double x, bool left, Lanes<4>) {
    const double gx = g * x, gxx = gx * x;
    return left ? Lanes<4>::type{g, gx, gxx, g} : Lanes<4>::type{g, gx, g, gxx};
}
static inline Lanes<8>::type factors(double g, double x, bool left, Lanes<8>) {
    const double gx = g * x, gxx = gx * x;
    return left ? Lanes<8>::type{g, gx, gxx, g, gx, g, 0, 0} : Lanes<8>::type{g, gx, g, gxx, g, gx, 0, 0};
}

// Sums over the common columns of row i and each row of the right matrix (given by column); returns how many rows
// have one. sums: (n_right, K), zero before. The first sum is one of positive numbers, so 0 means not met before: the
// entry sees to it that no product of weights is 0, or `touched` would overflow.
template <class T, int K>
static inline ptrdiff_t common_sums(const Csr<T>& left, const Csr<T>& right, ptrdiff_t i, double* sums,
                                    int32_t* touched) {
    typedef typename Lanes<K>::type V;
    ptrdiff_t n_touched = 0;
    for (int32_t p = left.indptr[i]; p < left.indptr[i + 1]; p++) {
        const V a = factors(left.weight(p), (double)left.data[p], true, Lanes<K>());
        const int32_t column = left.indices[p];
        for (int32_t q = right.indptr[column]; q < right.indptr[column + 1]; q++) {
            V* s = (V*)(sums + (ptrdiff_t)right.indices[q] * K);
            const V b = factors(right.weight(q), (double)right.data[q], false, Lanes<K>()), old = *s;
            if (old[0] == 0) touched[n_touched++] = right.indices[q];
            *s = old + a * b;
        }
    }
    return n_touched;
}

// What is 1 or -1 but for rounding is just that: of one or two common columns all are, and equal ones must be equal.
static inline double ratio(double numerator, double square) {
    const double value = square > 0 ? numerator / std::sqrt(square) : 0.0;
    return std::fabs(value) > 1 - 1e-10 ? std::copysign(1.0, value) : value;
}

static inline double similarity(const Measure& m, const double* s, ptrdiff_t i, ptrdiff_t j) {
    const double n = s[0];
    double value = s[1];
    if (n < m.min_support) return 0;
    if (m.kind == COSINE) value = ratio(s[1], m.left_size[i] * m.right_size[j]);
    if (m.kind == JACCARD) value = std::min(1.0, n / (m.left_size[i] + m.right_size[j] - n));
    if (m.kind == COMMON_COSINE) value = ratio(s[1], s[2] * s[3]);
    if (m.kind == PEARSON) {
        const double x = s[2] - s[4] * s[4] / n, y = s[3] - s[5] * s[5] / n;
        const bool vary = x > 1e-12 * s[2] && y > 1e-12 * s[3];  // what is less is rounding
        value = vary ? ratio(s[1] - s[4] * s[5] / n, x * y) : 0;
    }
    return value * (n / (n + m.shrinkage));  // Koren (2010), eq. 4
}

// The most similar rows to row i, ascending; of equally similar ones the lower. Returns how many.
template <class T, int K>
static inline ptrdiff_t similar_row(const Csr<T>& left, const Csr<T>& right, const Measure& m, ptrdiff_t i,
                                    ptrdiff_t skipped, ptrdiff_t n_kept, double* sums, int32_t* touched,
                                    int32_t* indices, T* data) {
    const ptrdiff_t n_touched = common_sums<T, K>(left, right, i, sums, touched);
    ptrdiff_t n = 0;
    for (ptrdiff_t t = 0; t < n_touched; t++) {
        const int32_t j = touched[t];
        double* s = sums + (ptrdiff_t)j * K;
        const double value = (double)(T)similarity(m, s, i, j);
        const bool kept = j != skipped && (m.negative ? value != 0 : value > 0);
        std::fill(s, s + K, 0.0);
        if (!kept) continue;
        s[1] = value;
        touched[n++] = j;
    }
    const ptrdiff_t n_best = std::min(n, n_kept);
    if (n > n_kept)
        std::nth_element(touched, touched + n_kept, touched + n, [sums](int32_t a, int32_t b) {
            const double x = std::fabs(sums[(ptrdiff_t)a * K + 1]), y = std::fabs(sums[(ptrdiff_t)b * K + 1]);
            return x > y || (x == y && a < b);
        });
    std::sort(touched, touched + n_best);
    for (ptrdiff_t t = 0; t < n_best; t++) {
        indices[t] = touched[t];
        data[t] = (T)sums[(ptrdiff_t)touched[t] * K + 1];
    }
    for (ptrdiff_t t = 0; t < n; t++) sums[(ptrdiff_t)touched[t] * K + 1] = 0;
    return n_best;
}

template <class T>
static inline ptrdiff_t similar_to(const Csr<T>& left, const Csr<T>& right, const Measure& m, ptrdiff_t i,
                                   ptrdiff_t skipped, ptrdiff_t n_kept, double* sums, int32_t* touched,
                                   int32_t* indices, T* data) {
    if (m.kind == COMMON_COSINE)
        return similar_row<T, 4>(left, right, m, i, skipped, n_kept, sums, touched, indices, data);
    if (m.kind == PEARSON) return similar_row<T, 8>(left, right, m, i, skipped, n_kept, sums, touched, indices, data);
    return similar_row<T, 2>(left, right, m, i, skipped, n_kept, sums, touched, indices, data);
}

// -------------------------------------------------------------------------------------------- predictions

struct Rule {
    ptrdiff_t k;      // how many neighbours speak at most
    bool mean;        // whether their sum is divided by that of the absolute similarities
    double damping;   // added to the latter
    bool state_says;  // whether states hold the opinions and links the similarities, or the other way round
};

struct Said {
    double num, den;
};

static inline double outcome(const Rule& r, const Said& said) {
    const double den = said.den + r.damping;
    return !r.mean ? said.num : said.den > 0 ? said.num / den : 0.0;
}

// The products, weights and absolute similarities of what two ascending rows have in common; returns how many.
template <class T>
static inline ptrdiff_t matches(const Csr<T>& a, ptrdiff_t i, const Csr<T>& b, ptrdiff_t j, bool state_says,
                                double* products, double* weights, double* ranks) {
    int32_t p = a.indptr[i], q = b.indptr[j];
    const int32_t p_end = a.indptr[i + 1], q_end = b.indptr[j + 1];
    const bool p_leaps = (ptrdiff_t)(p_end - p) > 16 * (ptrdiff_t)(q_end - q);
    const bool q_leaps = (ptrdiff_t)(q_end - q) > 16 * (ptrdiff_t)(p_end - p);
    ptrdiff_t n = 0;
    while (p < p_end && q < q_end) {
        if (a.indices[p] == b.indices[q]) {
            products[n] = (double)a.data[p] * (double)b.data[q];
            weights[n] = a.weight(p) * b.weight(q);
            ranks[n++] = std::fabs((double)(state_says ? b.data[q] : a.data[p]));
            p++, q++;
        } else if (a.indices[p] < b.indices[q]) {
            p = p_leaps ? (int32_t)(std::lower_bound(a.indices + p, a.indices + p_end, b.indices[q]) - a.indices)
                        : p + 1;
        } else {
            q = q_leaps ? (int32_t)(std::lower_bound(b.indices + q, b.indices + q_end, a.indices[p]) - b.indices)
                        : q + 1;
        }
    }
    return n;
}

// What the k most similar neighbours say, in ascending order; of equally similar ones the lower. work: (4, longest).
template <class T>
static inline Said said_by(const Csr<T>& a, ptrdiff_t i, const Csr<T>& b, ptrdiff_t j, const Rule& r, double* work,
                           ptrdiff_t longest) {
    double *products = work, *weights = work + longest, *ranks = work + 2 * longest, *sorted = work + 3 * longest;
    const ptrdiff_t n = matches(a, i, b, j, r.state_says, products, weights, ranks);
    double least = 0;
    ptrdiff_t equal = n;  // how many of rank `least` speak
    if (n > r.k) {
        std::copy(ranks, ranks + n, sorted);
        std::nth_element(sorted, sorted + (r.k - 1), sorted + n, [](double x, double y) { return x > y; });
        least = sorted[r.k - 1];
        equal = r.k;
        for (ptrdiff_t t = 0; t < n; t++) equal -= ranks[t] > least;
    }
    Said said = {0, 0};
    for (ptrdiff_t t = 0; t < n; t++) {
        if (ranks[t] < least || (ranks[t] == least && equal-- <= 0)) continue;
        said.num += products[t] * weights[t];
        said.den += ranks[t] * weights[t];
    }
    return said;
}

// All targets of one state. links: by neighbour; back: the same by target, asked where more than k would speak.
template <class T>
static inline void say_all(const Csr<T>& states, ptrdiff_t i, const Csr<T>& links, const Csr<T>& back, const Rule& r,
                           ptrdiff_t n_targets, double* sums, int32_t* counts, double* work, ptrdiff_t longest,
                           T* out) {
    std::fill(sums, sums + 2 * n_targets, 0.0);
    std::fill(counts, counts + n_targets, 0);
    for (int32_t p = states.indptr[i]; p < states.indptr[i + 1]; p++) {
        const double a = (double)states.data[p], w = states.weight(p);
        const int32_t row = states.indices[p];
        for (int32_t q = links.indptr[row]; q < links.indptr[row + 1]; q++) {
            const ptrdiff_t target = links.indices[q];
            const double b = (double)links.data[q], weight = w * links.weight(q);
            sums[2 * target] += a * b * weight;
            sums[2 * target + 1] += std::fabs(r.state_says ? b : a) * weight;
            counts[target]++;
        }
    }
    for (ptrdiff_t target = 0; target < n_targets; target++) {
        Said said = {sums[2 * target], sums[2 * target + 1]};
        if (counts[target] > r.k) said = said_by(states, i, back, target, r, work, longest);
        out[target] = (T)outcome(r, said);
    }
}

}  // namespace skml_similarity
