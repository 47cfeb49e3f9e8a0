// Stochastic gradient descent over interactions, block by block; blocks side by side share no user and no item.
//
// A row of factors is padded with zeros to whole vectors, which stay zero. Sums have one order whatever the number of
// threads. Rows that fit into registers are read once per step.
#pragma once
#include "kmeans_pairs.hpp"

// GCC takes a function that only asks for memory ahead for one without effect, unless it is inlined.
#define SKML_INLINE static inline __attribute__((always_inline))

namespace skml_sgd {
using skml_kmeans::Lanes;
using skml_kmeans::Vec;
using skml_kmeans::load;
using skml_kmeans::madd;
using skml_kmeans::store;

constexpr ptrdiff_t ROW_BYTES = 64;            // rows of factors are padded to multiples
constexpr ptrdiff_t FAR = 24, NEAR = 5;        // how many steps ahead interactions, and their rows, are asked for
constexpr int TRIES = 64;                      // for an item that the user has not seen
constexpr uint64_t GOLDEN = 0x9E3779B97F4A7C15u;

template <class T> struct Model {
    T *U, *V;  // (n_users, width), (n_items, width)
    // An item's bias has a cache line of its own: items are few, and threads write their neighbours' at the same time.
    T *user_bias = nullptr, *item_bias = nullptr;
    const T *user_share = nullptr, *item_share = nullptr;  // per row, what its penalties are multiplied with; null: 1
    ptrdiff_t n_users, n_items, width;
    T eta, users, items, user_biases, item_biases;  // the learning rate, and how strongly each kind is pulled to 0
};

template <class T> struct Interactions {
    const int32_t *users, *items, *order;
    const T *values = nullptr, *weights = nullptr;  // no weights: 1
};

struct Negatives {  // items to draw from: those of the block that the user has not seen
    const int32_t *members, *indptr, *indices;
    ptrdiff_t first, last, each;
    uint64_t key;
};

static inline uint64_t mixed(uint64_t z) {  // splitmix64 (Steele, Lea & Flood 2014)
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}
static inline uint64_t below(uint64_t random, uint64_t n) { return ((random >> 32) * n) >> 32; }

// Fisher-Yates; what a position draws depends on the key and on itself alone.
static inline void shuffle(int32_t* order, ptrdiff_t start, ptrdiff_t stop, uint64_t key) {
    for (ptrdiff_t t = stop - 1; t > start; t--) {
        const ptrdiff_t other = start + (ptrdiff_t)below(mixed(key + GOLDEN * (uint64_t)t), (uint64_t)(t - start + 1));
        const int32_t kept = order[t];
        order[t] = order[other];
        order[other] = kept;
    }
}

template <class T> SKML_INLINE Vec<T> spread(T value) { return value - Vec<T>{}; }  // minus 0 keeps -0

// The sum of a vector's lanes, halves first.
template <class T, int n> SKML_INLINE T total(const T* a) {
    if constexpr (n == 1) return a[0];
    else {
        typedef T H __attribute__((vector_size(n / 2 * sizeof(T))));
        const H sum = load<H>(a) + load<H>(a + n / 2);
        T half[n / 2];
        store(half, sum);
        return total<T, n / 2>(half);
    }
}
template <class T> SKML_INLINE T total(Vec<T> v) {
#if defined(__AVX512F__)  // the same sums without a way through memory
    if constexpr (sizeof(T) == 4) return _mm512_reduce_add_ps((__m512)v);
    else return _mm512_reduce_add_pd((__m512d)v);
#else
    T a[Lanes<T>::n];
    store(a, v);
    return total<T, Lanes<T>::n>(a);
#endif
}

template <class T> constexpr ptrdiff_t LINE = ROW_BYTES / (ptrdiff_t)sizeof(T);

// A row of N vectors, held in registers; of any number (N = 0), read again where it is needed.
template <class T, int N> struct Row {
    Vec<T> held[N];
    Row(const T* p, ptrdiff_t) { for (int c = 0; c < N; c++) held[c] = load<Vec<T>>(p + c * Lanes<T>::n); }
    static constexpr ptrdiff_t size(ptrdiff_t) { return N; }
    Vec<T> at(ptrdiff_t c) const { return held[c]; }
};
template <class T> struct Row<T, 0> {
    const T* p;
    Row(const T* row, ptrdiff_t) : p(row) {}
    static ptrdiff_t size(ptrdiff_t width) { return width / Lanes<T>::n; }
    Vec<T> at(ptrdiff_t c) const { return load<Vec<T>>(p + c * Lanes<T>::n); }
};

template <class T> SKML_INLINE T kept(T g, T strength, const T* share, ptrdiff_t row) {
    const T left = 1 - g * strength * (share ? share[row] : T(1));
    return left < 0 ? T(0) : left;  // a large penalty ends at 0, it does not overshoot
}
static inline double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
static inline double softplus(double x) { return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x)); }

// One step of size g for r = b_u + b_i + p.q (Koren, Bell & Volinsky 2009, section "Learning algorithms"); its loss.
template <class T, int N, bool LOGISTIC>
SKML_INLINE double step(const Model<T>& m, ptrdiff_t u, ptrdiff_t i, T target, T g) {
    constexpr ptrdiff_t n = Lanes<T>::n;
    const ptrdiff_t vectors = Row<T, N>::size(m.width);
    T *pu = m.U + u * m.width, *qi = m.V + i * m.width;
    const Row<T, N> p(pu, m.width), q(qi, m.width);
    Vec<T> even{}, odd{};
    for (ptrdiff_t c = 0; c + 1 < vectors; c += 2) {
        even = madd(p.at(c), q.at(c), even);
        odd = madd(p.at(c + 1), q.at(c + 1), odd);
    }
    if (vectors & 1) even = madd(p.at(vectors - 1), q.at(vectors - 1), even);
    T x = total<T>(even + odd);
    if (m.user_bias) x += m.user_bias[u] + m.item_bias[i * LINE<T>];
    const T e = LOGISTIC ? (T)(target - sigmoid(x)) : target - x;
    // p <- p + g (e q - penalty p), q <- q + g (e p - penalty q)
    const Vec<T> ge = spread<T>(g * e), a = spread<T>(kept(g, m.users, m.user_share, u)),
                 b = spread<T>(kept(g, m.items, m.item_share, i));
    for (ptrdiff_t c = 0; c < vectors; c++) {
        const Vec<T> pc = p.at(c), qc = q.at(c);
        store(pu + c * n, madd(ge, qc, a * pc));
        store(qi + c * n, madd(ge, pc, b * qc));
    }
    if (m.user_bias) {
        m.user_bias[u] = g * e + kept(g, m.user_biases, m.user_share, u) * m.user_bias[u];
        m.item_bias[i * LINE<T>] = g * e + kept(g, m.item_biases, m.item_share, i) * m.item_bias[i * LINE<T>];
    }
    return LOGISTIC ? softplus(target > 0 ? -(double)x : (double)x) : 0.5 * (double)e * (double)e;
}

// One step of Bayesian personalised ranking (Rendle et al. 2009, fig. 4): item i should rank above item j.
template <class T, int N> SKML_INLINE double ranked(const Model<T>& m, ptrdiff_t u, ptrdiff_t i, ptrdiff_t j, T g) {
    constexpr ptrdiff_t n = Lanes<T>::n;
    const ptrdiff_t vectors = Row<T, N>::size(m.width);
    T *pu = m.U + u * m.width, *qi = m.V + i * m.width, *qj = m.V + j * m.width;
    const Row<T, N> p(pu, m.width), q(qi, m.width), r(qj, m.width);
    Vec<T> sum{};
    for (ptrdiff_t c = 0; c < vectors; c++) sum = madd(p.at(c), q.at(c) - r.at(c), sum);
    T x = total<T>(sum);
    if (m.item_bias) x += m.item_bias[i * LINE<T>] - m.item_bias[j * LINE<T>];
    const T gs = g * (T)sigmoid(-(double)x);
    const Vec<T> e = spread<T>(gs), a = spread<T>(kept(g, m.users, m.user_share, u)),
                 b = spread<T>(kept(g, m.items, m.item_share, i)), d = spread<T>(kept(g, m.items, m.item_share, j));
    for (ptrdiff_t c = 0; c < vectors; c++) {
        const Vec<T> pc = p.at(c), qc = q.at(c), rc = r.at(c);
        store(pu + c * n, madd(e, qc - rc, a * pc));
        store(qi + c * n, madd(e, pc, b * qc));
        store(qj + c * n, madd(e, -pc, d * rc));
    }
    if (m.item_bias) {
        m.item_bias[i * LINE<T>] = kept(g, m.item_biases, m.item_share, i) * m.item_bias[i * LINE<T>] + gs;
        m.item_bias[j * LINE<T>] = kept(g, m.item_biases, m.item_share, j) * m.item_bias[j * LINE<T>] - gs;
    }
    return softplus(-(double)x);
}

static inline bool seen(const Negatives& s, ptrdiff_t u, int32_t item) {
    const int32_t* from = s.indices + s.indptr[u];
    ptrdiff_t n = s.indptr[u + 1] - s.indptr[u];
    while (n > 1) {
        const ptrdiff_t half = n >> 1;
        from += half & -(ptrdiff_t)(from[half] <= item);
        n -= half;
    }
    return n == 1 && *from == item;
}

// An item that the user has not seen, or -1 if none was found.
static inline int32_t drawn(const Negatives& s, ptrdiff_t u, uint64_t count) {
    uint64_t state = mixed(s.key ^ mixed(count));
    for (int tries = 0; tries < TRIES && s.last > s.first; tries++) {
        state += GOLDEN;
        const int32_t item = s.members[s.first + (ptrdiff_t)below(mixed(state), (uint64_t)(s.last - s.first))];
        if (!seen(s, u, item)) return item;
    }
    return -1;
}

template <class T, int N> SKML_INLINE void ask_row(const T* row, ptrdiff_t width) {
    const ptrdiff_t end = N ? N * Lanes<T>::n : width;
#pragma GCC unroll 16
    for (ptrdiff_t c = 0; c < end; c += LINE<T>) __builtin_prefetch(row + c, 1);
}

template <class T, int N> SKML_INLINE void ask_ahead(const Model<T>& m, const Interactions<T>& x, ptrdiff_t t,
                                                    ptrdiff_t stop) {
    if (t + FAR < stop) {
        const int32_t o = x.order[t + FAR];
        __builtin_prefetch(x.users + o);
        __builtin_prefetch(x.items + o);
        if (x.values) __builtin_prefetch(x.values + o);
    }
    if (t + NEAR < stop) {
        const int32_t o = x.order[t + NEAR];
        ask_row<T, N>(m.U + x.users[o] * m.width, m.width);
        ask_row<T, N>(m.V + x.items[o] * m.width, m.width);
        if (m.item_bias) __builtin_prefetch(m.item_bias + x.items[o] * LINE<T>, 1);
    }
}

static inline bool outside(int32_t code, ptrdiff_t n) { return code < 0 || code >= n; }

// The steps of positions start to stop; returns the sum of losses, or -1 if a code points outside.
template <class T, int N>
static double explicit_steps(const Model<T> m, const Interactions<T> x, ptrdiff_t start, ptrdiff_t stop) {
    double sum = 0;
    for (ptrdiff_t t = start; t < stop; t++) {
        ask_ahead<T, N>(m, x, t, stop);
        const int32_t o = x.order[t], u = x.users[o], i = x.items[o];
        if (outside(u, m.n_users) || outside(i, m.n_items)) return -1;
        const T w = x.weights ? x.weights[o] : T(1);
        sum += w * step<T, N, false>(m, u, i, x.values[o], m.eta * w);
    }
    return sum;
}

// The same with negatives drawn; adds to the sums of losses and of their weights.
template <class T, int N, bool BPR>
static bool implicit_steps(const Model<T> m, const Interactions<T> x, const Negatives s, ptrdiff_t start,
                           ptrdiff_t stop, double* sums) {
    for (ptrdiff_t t = start; t < stop; t++) {
        ask_ahead<T, N>(m, x, t, stop);
        const int32_t o = x.order[t], u = x.users[o], i = x.items[o];
        if (outside(u, m.n_users) || outside(i, m.n_items)) return false;
        const T w = x.weights ? x.weights[o] : T(1), g = m.eta * w;
        if (!BPR) sums[0] += w * step<T, N, true>(m, u, i, 1, g), sums[1] += w;
        for (ptrdiff_t c = 0; c < s.each; c++) {
            const int32_t j = drawn(s, u, (uint64_t)t * (uint64_t)s.each + (uint64_t)c);
            if (j < 0) continue;
            sums[0] += w * (BPR ? ranked<T, N>(m, u, i, j, g) : step<T, N, true>(m, u, j, 0, g));
            sums[1] += w;
        }
    }
    return true;
}

#define SKML_EACH_WIDTH(CALL) \
    switch (m.width / Lanes<T>::n) { \
        case 1: return CALL(1); case 2: return CALL(2); case 3: return CALL(3); case 4: return CALL(4); \
        case 5: return CALL(5); case 6: return CALL(6); case 7: return CALL(7); case 8: return CALL(8); \
        case 9: return CALL(9); case 10: return CALL(10); case 11: return CALL(11); case 12: return CALL(12); \
        case 13: return CALL(13); \
        default: return CALL(0); }

template <class T>
static inline double explicit_block(const Model<T>& m, const Interactions<T>& x, ptrdiff_t start, ptrdiff_t stop) {
#define SKML_CALL(N) explicit_steps<T, N>(m, x, start, stop)
    SKML_EACH_WIDTH(SKML_CALL)
#undef SKML_CALL
}

template <class T, bool BPR>
static inline bool of_kind(const Model<T>& m, const Interactions<T>& x, const Negatives& s, ptrdiff_t start,
                           ptrdiff_t stop, double* sums) {
#define SKML_CALL(N) implicit_steps<T, N, BPR>(m, x, s, start, stop, sums)
    SKML_EACH_WIDTH(SKML_CALL)
#undef SKML_CALL
}

template <class T>
static inline bool implicit_block(const Model<T>& m, const Interactions<T>& x, Negatives s, const int32_t* starts,
                                  ptrdiff_t block, bool bpr, ptrdiff_t start, ptrdiff_t stop, double* sums) {
    s.first = starts[block], s.last = starts[block + 1];
    return bpr ? of_kind<T, true>(m, x, s, start, stop, sums) : of_kind<T, false>(m, x, s, start, stop, sums);
}
}  // namespace skml_sgd
