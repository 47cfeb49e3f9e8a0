// Least squares row by row: (G + sum_i a_i q_i q_i' + s diag(ridge)) x = sum_i b_i q_i + s diag(ridge) m.
//
// q_i are the rows of `others` that a row's interactions point to. Explicit: a_i = w_i, b_i = w_i t_i with the target
// t_i = data_i - shift of q_i. Implicit (Hu, Koren & Volinsky 2008; where there is a Gram matrix G): a_i = c_i - 1,
// b_i = c_i. Rows have K numbers, whole lines of 64 bytes, of which k count and the others are 0.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include "normal_tiles.hpp"

namespace skml_normal {

template <class T> struct Problem {
    const int32_t* indptr = nullptr;
    const int32_t* indices = nullptr;
    const T* data = nullptr;
    const T* weights = nullptr;  // null: 1 everywhere
    const T* others = nullptr;
    const T* shift = nullptr;    // null: 0
    const T* gram = nullptr;     // (K, K); null: explicit
    const T* ridge = nullptr;    // (k,)
    const T* scales = nullptr;   // per row; null: 1
    const T* prior = nullptr;    // (n_rows, K), m above; null: 0
    T* found = nullptr;          // (n_rows, K), where conjugate gradients start
    double* losses = nullptr;    // per row
    ptrdiff_t start = 0, stop = 0, K = 0, k = 0;
    int steps = 0;               // of conjugate gradients; 0: Cholesky

    const T* other(ptrdiff_t e) const { return others + indices[e] * K; }
    T target(ptrdiff_t e) const { return gram ? T(1) : shift ? data[e] - shift[indices[e]] : data[e]; }
    T weight(ptrdiff_t e) const { return gram ? data[e] : weights ? weights[e] : T(1); }  // of the target
    T excess(ptrdiff_t e) const { return gram ? data[e] - 1 : weight(e); }  // of the weight over that in G
    double loss(ptrdiff_t e, T score) const {
        const double off = (double)target(e) - score;
        return weight(e) * off * off - (gram ? (double)score * score : 0.0);
    }
};

constexpr ptrdiff_t DEPTH = 32;  // rows gathered at a time
constexpr ptrdiff_t FAR = 1 << 18;  // bytes that don't stay in the second-level cache from one pass to the next

inline ptrdiff_t space_size(ptrdiff_t K, ptrdiff_t longest) { return K * K + (2 * DEPTH + 6) * K + 2 * (longest + 16) + 16; }

template <class T> struct Space {  // of one thread
    T *matrix, *rows, *scaled, *rhs, *ridge, *x, *r, *p, *Ap, *scores, *steps;
    Space(T* memory, ptrdiff_t K, ptrdiff_t longest) {
        T* at = reinterpret_cast<T*>((reinterpret_cast<std::uintptr_t>(memory) + 63) / 64 * 64);
        auto take = [&at](ptrdiff_t n) { T* part = at; at += n; return part; };
        matrix = take(K * K), rows = take(DEPTH * K), scaled = take(DEPTH * K), rhs = take(K), ridge = take(K);
        x = take(K), r = take(K), p = take(K), Ap = take(K), scores = take(longest + 8), steps = take(longest + 8);
    }
};

template <class T> static inline void prefetch(const T* row, ptrdiff_t K) {
    for (ptrdiff_t c = 0; c < K; c += 64 / (ptrdiff_t)sizeof(T)) __builtin_prefetch(row + c);
}

// The ridge of a row, and the right side's part that comes from its prior.
template <class T> static inline void begin(const Problem<T>& f, const Space<T>& s, ptrdiff_t row) {
    const T scale = f.scales ? f.scales[row] : T(1);
    for (ptrdiff_t c = 0; c < f.K; c++) {
        s.ridge[c] = c < f.k ? scale * f.ridge[c] : T(0);
        s.rhs[c] = f.prior ? s.ridge[c] * f.prior[row * f.K + c] : T(0);
    }
}

// Gathers some rows, as they are and times their excess; adds b_i q_i to the right side.
template <class T> static inline void gather(const Problem<T>& f, const Space<T>& s, ptrdiff_t e, int n, ptrdiff_t end) {
    constexpr int N = lanes<T>;
    const ptrdiff_t K = f.K;
    for (ptrdiff_t ahead = e + n; ahead < std::min(end, e + n + DEPTH); ahead++) prefetch(f.other(ahead), K);
    T b[DEPTH];
    for (int i = 0; i < n; i++) {
        const T* from = f.other(e + i);
        const T a = f.excess(e + i);
        b[i] = f.weight(e + i) * f.target(e + i);
        for (ptrdiff_t c = 0; c < K; c += N) {
            const vec<T> v = load(from + c);
            store(s.rows + i * K + c, v), store(s.scaled + i * K + c, v * a);
        }
    }
    for (ptrdiff_t c = 0; c < K; c += N) {
        vec<T> sum[4] = {};
        int i = 0;
        for (; i + 4 <= n; i += 4)
            for (int q = 0; q < 4; q++) sum[q] += b[i + q] * load(s.rows + (i + q) * K + c);
        for (; i < n; i++) sum[0] += b[i] * load(s.rows + i * K + c);
        store(s.rhs + c, load(s.rhs + c) + ((sum[0] + sum[1]) + (sum[2] + sum[3])));
    }
}

// The upper tiles of G + sum_i a_i q_i q_i', and the right side.
template <class T> static inline void build(const Problem<T>& f, const Space<T>& s, ptrdiff_t e, ptrdiff_t end) {
    constexpr int N = lanes<T>;
    const ptrdiff_t K = f.K;
    const T* from = f.gram;
    for (ptrdiff_t c = e; c < std::min(end, e + DEPTH); c++) prefetch(f.other(c), K);
    do {
        const int n = (int)std::min(DEPTH, end - e);
        gather(f, s, e, n, end);
        for (ptrdiff_t i = 0; i < K; i += N)
            for (ptrdiff_t j = i; j < K; j += N) {
                vec<T> sum[N] = {};
                add_tile<T, 1>(s.scaled + i, s.rows + j, n, K, sum);
                for (int p = 0; p < N; p++) {
                    const ptrdiff_t at = (i + p) * K + j;
                    store(s.matrix + at, from ? load(from + at) + sum[p] : sum[p]);
                }
            }
        from = s.matrix;
        e += n;
    } while (e < end);
}

// Writes `out` = what the row's interactions make of `p`: sum_i a_i (q_i'p) q_i, and the q_i'p. Instead of a_i (q_i'p),
// the first pass (`first`) takes b_i - a_i (q_i'p). Without `out`, only the q_i'p.
template <class T> static inline void pass(const Problem<T>& f, ptrdiff_t e, ptrdiff_t end, const T* p, T* scores, T* out,
                                           bool first) {
    constexpr int N = lanes<T>;
    const ptrdiff_t K = f.K;
    const bool far = first || (end - e) * K * (ptrdiff_t)sizeof(T) > FAR;
    const T* rows[8];
    for (; e < end; e += 8, scores += 8) {
        const int n = (int)std::min<ptrdiff_t>(8, end - e);
        for (int i = 0; i < 8; i++) rows[i] = f.other(e + (i < n ? i : 0));
        if (far)
            for (ptrdiff_t ahead = e + 16; ahead < std::min(end, e + 24); ahead++) prefetch(f.other(ahead), K);
        vec<T> sum[8] = {};
        for (ptrdiff_t c = 0; c < K; c += N) {
            const vec<T> v = load(p + c);
            for (int i = 0; i < 8; i++) sum[i] += load(rows[i] + c) * v;
        }
        for (int i = 0; i < 8; i++) scores[i] = total<T>(sum[i]);
        if (!out) continue;
        T factor[8] = {};
        for (int i = 0; i < n; i++)
            factor[i] = (first ? f.weight(e + i) * f.target(e + i) : T(0)) + (first ? -1 : 1) * f.excess(e + i) * scores[i];
        for (ptrdiff_t c = 0; c < K; c += N) {
            vec<T> even = load(out + c), odd = {};
            for (int i = 0; i < 8; i += 2) {
                even += factor[i] * load(rows[i] + c);
                odd += factor[i + 1] * load(rows[i + 1] + c);
            }
            store(out + c, even + odd);
        }
    }
}

// (G + s diag(ridge)) p
template <class T> static inline void common(const Problem<T>& f, const Space<T>& s, const T* p, T* out) {
    constexpr int N = lanes<T>;
    for (ptrdiff_t c = 0; c < f.K; c += N) {
        vec<T> sum[4] = {load(s.ridge + c) * load(p + c)};
        for (ptrdiff_t i = 0; f.gram && i < f.K; i += 4)
            for (int q = 0; q < 4; q++) sum[q] += p[i + q] * load(f.gram + (i + q) * f.K + c);
        store(out + c, (sum[0] + sum[1]) + (sum[2] + sum[3]));
    }
}

// Conjugate gradients from the row's x as it is. Scores q_i'x follow x, so that the loss needs no pass of its own.
template <class T> static inline void descend(const Problem<T>& f, const Space<T>& s, T* x, ptrdiff_t e, ptrdiff_t end) {
    const ptrdiff_t K = f.K, n = end - e;
    common(f, s, x, s.Ap);
    for (ptrdiff_t c = 0; c < K; c++) s.r[c] = s.rhs[c] - s.Ap[c];
    pass(f, e, end, x, s.scores, s.r, true);
    std::copy(s.r, s.r + K, s.p);
    double square = dot(s.r, s.r, K);
    const double enough = square * std::numeric_limits<T>::epsilon() * std::numeric_limits<T>::epsilon();
    for (int step = 0; step < f.steps && square > enough; step++) {
        const bool last = step + 1 == f.steps;  // asks for p'Ap only
        common(f, s, s.p, s.Ap);
        double curve = last ? dot(s.p, s.Ap, K) : 0.0;
        pass(f, e, end, s.p, s.steps, last ? nullptr : s.Ap, false);
        if (last)
            for (ptrdiff_t i = 0; i < n; i++) curve += (double)f.excess(e + i) * s.steps[i] * s.steps[i];
        else
            curve = dot(s.p, s.Ap, K);
        if (!(curve > 0)) break;
        const T alpha = (T)(square / curve);
        for (ptrdiff_t c = 0; c < K; c++) x[c] += alpha * s.p[c];
        for (ptrdiff_t i = 0; i < n; i++) s.scores[i] += alpha * s.steps[i];
        if (last) break;
        for (ptrdiff_t c = 0; c < K; c++) s.r[c] -= alpha * s.Ap[c];
        const double next = dot(s.r, s.r, K);
        const T beta = (T)(next / square);
        for (ptrdiff_t c = 0; c < K; c++) s.p[c] = s.r[c] + beta * s.p[c];
        square = next;
    }
}

template <class T> static inline void solve_row(const Problem<T>& f, const Space<T>& s, ptrdiff_t row) {
    const ptrdiff_t e = f.indptr[row], end = f.indptr[row + 1];
    T* x = f.found + row * f.K;
    begin(f, s, row);
    if (f.steps) {
        descend(f, s, x, e, end);
    } else {
        build(f, s, e, end);
        for (ptrdiff_t c = 0; c < f.K; c++) s.matrix[c * f.K + c] += c < f.k ? s.ridge[c] : T(1);
        solve_positive(s.matrix, s.rhs, s.r, s.p, f.K);
        std::copy(s.rhs, s.rhs + f.K, x);
        if (f.losses) pass<T>(f, e, end, x, s.scores, nullptr, false);
    }
    if (!f.losses) return;
    double loss = 0;
    for (ptrdiff_t i = 0; i < end - e; i++) loss += f.loss(e + i, s.scores[i]);
    f.losses[row] = loss;
}

// What one thread does: rows as they come, a few at a time.
template <class T> static inline void work(const Problem<T>& f, T* memory, ptrdiff_t longest, int64_t* next) {
    const Space<T> s(memory, f.K, longest);
    constexpr ptrdiff_t few = 4;
    for (;;) {
        const ptrdiff_t first = __atomic_fetch_add(next, few, __ATOMIC_RELAXED);
        if (first >= f.stop) return;
        for (ptrdiff_t row = first; row < std::min(first + few, f.stop); row++) solve_row(f, s, row);
    }
}

}  // namespace skml_normal
