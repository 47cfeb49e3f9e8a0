// Votes of a committee of small trees: weights and margins after a round, quantiles, and the votes for new rows.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <new>
#include <vector>

namespace skml_votes {

static const ptrdiff_t BLOCK = 64;

typedef double Eight __attribute__((vector_size(64), aligned(8), may_alias));

static inline double sum_of(const double* x, ptrdiff_t n) {
    Eight p = {};
    ptrdiff_t i = 0;
    for (; i + 8 <= n; i += 8) p += *(const Eight*)(x + i);
    for (; i < n; i++) p[i & 7] += x[i];
    return ((p[0] + p[1]) + (p[2] + p[3])) + ((p[4] + p[5]) + (p[6] + p[7]));
}

// One round's votes for some rows; returns the sum of their new weights.
static inline double cast(const int32_t* said, const int32_t* y, ptrdiff_t begin, ptrdiff_t end, ptrdiff_t K,
                          double vote, double right, double total, double* weights, double* votes, double* margins) {
    for (ptrdiff_t i = begin; i < end; i++) weights[i] *= said[i] == y[i] ? right : 1.0;
    if (K == 2)
        for (ptrdiff_t i = begin; i < end; i++) {
            const double a = votes[2 * i] + (said[i] ? 0.0 : vote), b = votes[2 * i + 1] + (said[i] ? vote : 0.0);
            votes[2 * i] = a, votes[2 * i + 1] = b;
            margins[i] = (y[i] ? b - a : a - b) / total;
        }
    else
        for (ptrdiff_t i = begin; i < end; i++) {
            double *v = votes + i * K, other = -1;
            v[said[i]] += vote;
            for (ptrdiff_t k = 0; k < K; k++) other = k != y[i] && v[k] > other ? v[k] : other;
            margins[i] = (v[y[i]] - other) / total;
        }
    return sum_of(weights + begin, end - begin);
}

struct Weighted { double value, weight; };

// The smallest value such that the weight of all that are no larger reaches `wanted`.
static inline double select(std::vector<Weighted>& all, double wanted) {
    Weighted *begin = all.data(), *end = begin + all.size();
    while (true) {
        const double a = begin->value, b = begin[(end - begin) / 2].value, c = end[-1].value;
        const double pivot = std::max(std::min(a, b), std::min(std::max(a, b), c));
        double below = 0, equal = 0;
        Weighted* middle = std::partition(begin, end, [&](const Weighted& p) { return p.value < pivot; });
        Weighted* above = std::partition(middle, end, [&](const Weighted& p) { return p.value == pivot; });
        for (Weighted* p = begin; p < middle; p++) below += p->weight;
        for (Weighted* p = middle; p < above; p++) equal += p->weight;
        if (wanted <= below && middle > begin) end = middle;
        else if (wanted <= below + equal || above == end) return pivot;
        else wanted -= below + equal, begin = above;
    }
}

static const ptrdiff_t CELLS = 2048;

// The cell of each value in [-1, 1], and the weight in each cell.
static inline void fill_cells(const double* values, const double* weights, ptrdiff_t n, uint16_t* cells,
                              double* sums) {
    double other[CELLS] = {};  // additions to one cell would wait for each other
    for (ptrdiff_t i = 0; i < n; i++) {
        const double at = (values[i] + 1) * (CELLS / 2), most = CELLS - 1, low = at > 0 ? at : 0.0;
        cells[i] = (uint16_t)(int32_t)(low < most ? low : most);
    }
    for (ptrdiff_t i = 0; i + 1 < n; i += 2) sums[cells[i]] += weights[i], other[cells[i + 1]] += weights[i + 1];
    if (n & 1) sums[cells[n - 1]] += weights[n - 1];
    for (ptrdiff_t c = 0; c < CELLS; c++) sums[c] += other[c];
}

// The values in some cells, given by the list that each cell has or -1.
static inline void gather(const double* values, const double* weights, ptrdiff_t n, const uint16_t* cells,
                          const std::vector<uint16_t>& wanted, const std::vector<int16_t>& list_of,
                          std::vector<std::vector<Weighted>>& lists) {
    for (ptrdiff_t first = 0; first < n; first += 64) {
        const ptrdiff_t m = std::min((ptrdiff_t)64, n - first);
        uint16_t any = 0;
        for (const uint16_t c : wanted)
            for (ptrdiff_t i = 0; i < m; i++) any |= cells[first + i] == c;
        for (ptrdiff_t i = first; any && i < first + m; i++) {
            if (list_of[cells[i]] < 0) continue;
            std::vector<Weighted>& list = lists[list_of[cells[i]]];
            if (!list.empty() && list[0].value == values[i]) list[0].weight += weights[i];  // in a cell all may be equal
            else list.push_back({values[i], weights[i]});
        }
    }
}

// Weighted quantiles at increasing levels in (0, 1], of values in [-1, 1]: a histogram tells whom to look at.
// Returns 0, or 1 where memory ran out.
static inline int quantiles(const double* values, const double* weights, ptrdiff_t n, const double* levels,
                            ptrdiff_t n_levels, double* found) noexcept try {
    std::vector<double> sums(CELLS, 0.0), needed(n_levels);
    std::vector<uint16_t> cells(n), cell_of(n_levels), wanted;  // where each quantile lies
    fill_cells(values, weights, n, cells.data(), sums.data());
    double total = 0, before = 0;
    for (ptrdiff_t c = 0; c < CELLS; c++) total += sums[c];
    ptrdiff_t last = 0;
    for (ptrdiff_t c = 0; c < CELLS; c++) if (sums[c] > 0) last = c;
    std::vector<int16_t> list_of(CELLS, -1);
    for (ptrdiff_t q = 0, c = 0; q < n_levels; q++) {
        while (c < last && before + sums[c] < levels[q] * total) before += sums[c++];
        cell_of[q] = (uint16_t)c, needed[q] = levels[q] * total - before;  // what of its cell does not exceed it
        if (list_of[c] >= 0) continue;
        list_of[c] = (int16_t)wanted.size();
        wanted.push_back((uint16_t)c);
    }
    std::vector<std::vector<Weighted>> lists(wanted.size());
    gather(values, weights, n, cells.data(), wanted, list_of, lists);
    for (ptrdiff_t q = 0; q < n_levels; q++) {
        std::vector<Weighted>& list = lists[list_of[cell_of[q]]];
        found[q] = list.empty() ? 0.0 : select(list, needed[q]);
    }
    return 0;
} catch (const std::bad_alloc&) {
    return 1;
}

struct Trees {
    const int32_t *starts, *features, *left;  // left: the left child, the right one follows it; a leaf has -1
    const uint8_t* missing_left;
    const double* values;                     // (n_nodes, K)
    ptrdiff_t n_trees, n_used, K;
    const int32_t* used;                      // the columns that `features` count
};

// The votes of all trees for at most BLOCK rows, in the order of the trees.
template <class T>
static inline void vote(const Trees& t, const T* thresholds, const T* X, ptrdiff_t d, ptrdiff_t n, double* votes,
                        T* columns, double* sums) {
    for (ptrdiff_t u = 0; u < t.n_used; u++)
        for (ptrdiff_t i = 0; i < BLOCK; i++) columns[u * BLOCK + i] = X[std::min(i, n - 1) * d + t.used[u]];
    std::fill(sums, sums + t.K * BLOCK, 0.0);
    for (ptrdiff_t tree = 0; tree < t.n_trees; tree++) {
        const ptrdiff_t first = t.starts[tree], size = t.starts[tree + 1] - first;
        const double* values = t.values + first * t.K;
        if (size == 3) {
            const T *x = columns + t.features[first] * BLOCK, at = thresholds[first];
            for (ptrdiff_t k = 0; k < t.K; k++) {
                const double a = values[t.K + k], b = values[2 * t.K + k];
                double* sum = sums + k * BLOCK;
                if (a == 0 && b == 0) continue;
                if (t.missing_left[first]) for (ptrdiff_t i = 0; i < BLOCK; i++) sum[i] += x[i] > at ? b : a;
                else for (ptrdiff_t i = 0; i < BLOCK; i++) sum[i] += x[i] <= at ? a : b;
            }
            continue;
        }
        for (ptrdiff_t i = 0; i < n; i++) {
            ptrdiff_t node = first;
            while (t.left[node] >= 0) {
                const T x = columns[t.features[node] * BLOCK + i];
                const bool go_left = x == x ? x <= thresholds[node] : t.missing_left[node];
                node = first + t.left[node] + (go_left ? 0 : 1);
            }
            for (ptrdiff_t k = 0; k < t.K; k++) sums[k * BLOCK + i] += t.values[node * t.K + k];
        }
    }
    for (ptrdiff_t i = 0; i < n; i++)
        for (ptrdiff_t k = 0; k < t.K; k++) votes[i * t.K + k] = sums[k * BLOCK + i];
}
}  // namespace skml_votes
