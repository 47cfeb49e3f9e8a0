// What a tree predicts: sums over the rows of a side, in whole numbers, so that their order cannot show, and the
// score of a split, of which more is better.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace skml_trees {

constexpr int LANES = 8;  // splits that are scored side by side

typedef double lanes_t __attribute__((vector_size(LANES * sizeof(double))));
typedef int32_t counts_t __attribute__((vector_size(LANES * sizeof(int32_t))));

enum Criterion { GINI, ENTROPY, SQUARED, POISSON, ABSOLUTE };

// Classes of one or several outputs. A cell counts the weight of each class; S is their number where it is known.
template <int S>
struct Classes {
    static constexpr bool NUMBERS = false;
    static constexpr int SIZE = S;
    struct Centre {};
    using cell_t = int32_t;
    using target_t = int32_t;  // a class, counted on through the outputs
    int criterion, n_outputs, n_cells;
    const int32_t* first;         // of each output's classes, and the end
    const double* class_weights;  // per class
    const double* x_log_x;        // a table of x log x, or null where weights are no whole numbers
    int32_t table_size;

    int size() const { return S ? S : n_cells; }
    int outputs() const { return S ? 1 : n_outputs; }

    // Adds rows begin .. end to the cells of their codes.
    template <class C>
    void add(int32_t* cells, C code, ptrdiff_t begin, ptrdiff_t end, const target_t* const* planes,
             const int32_t* weights) const {
        for (int o = 0; o < outputs(); o++) {
            const target_t* plane = planes[o];
            for (ptrdiff_t i = begin; i < end; i++) cells[code(i) * size() + plane[i]] += weights[i];
        }
    }
    // Adds a row of a single output to a cell.
    static void put(int32_t* cell, int32_t y, int32_t weight) { cell[y] += weight; }
    bool any(const int32_t* cell) const {  // whether a cell has rows
        int32_t all = 0;
        for (int c = 0; c < (S ? S : first[1]); c++) all |= cell[c];
        return all != 0;
    }
    void add_all(int32_t* cell, ptrdiff_t begin, ptrdiff_t end, target_t* const* planes, const int32_t* weights) const {
        for (int o = 0; o < outputs(); o++)
            for (ptrdiff_t i = begin; i < end; i++) cell[planes[o][i]] += weights[i];
    }

    // Sum over outputs of sum_c x_c^2 / sum_c x_c (gini), or sum_c x_c log x_c - (sum_c x_c) log(sum_c x_c).
    double side(const int32_t* sums) const {
        double score = 0;
        for (int o = 0; o < outputs(); o++) {
            const int begin = S ? 0 : first[o], end = S ? S : first[o + 1];
            double total = 0, squares = 0;
            if (criterion == GINI) {
                for (int c = begin; c < end; c++) {
                    const double x = sums[c] * class_weights[c];
                    total += x;
                    squares += x * x;
                }
                score += total > 0 ? squares / total : 0;
            } else {
                int64_t count = 0;
                for (int c = begin; c < end; c++) {
                    count += sums[c];
                    const double x = sums[c] * class_weights[c];
                    total += x;
                    squares += x_log_x && sums[c] < table_size ? x_log_x[sums[c]] : x > 0 ? x * std::log(x) : 0;
                }
                score += squares;
                score -= x_log_x && count < table_size ? x_log_x[count] : total > 0 ? total * std::log(total) : 0;
            }
        }
        return score;
    }
    Centre centre(const int32_t*) const { return {}; }
    double score(const Centre&, const int32_t* left, const int32_t* right) const { return side(left) + side(right); }
    bool side_by_side() const { return criterion == GINI && outputs() == 1; }
    // Lists what of a cell is not 0 all over a node, and returns how much that is.
    int parts(const int32_t* total, int* found) const {
        int n = 0;
        for (int c = 0; c < size(); c++) {
            found[n] = c;
            n += total[c] != 0;
        }
        return n;
    }
    // The scores of eight splits; left[a * n] are sums of the class parts[a], split by split.
    void scores(const Centre&, const int32_t* total, const int32_t* left, ptrdiff_t n, const int* parts, int n_parts,
                double* scores) const {
        lanes_t l = {}, r = {}, l2 = {}, r2 = {};
        for (int a = 0; a < n_parts; a++) {
            const int c = parts[a];
            counts_t here;
            std::memcpy(&here, left + a * n, sizeof here);
            const lanes_t x = __builtin_convertvector(here, lanes_t) * class_weights[c];
            const lanes_t y = __builtin_convertvector(total[c] - here, lanes_t) * class_weights[c];
            l += x;
            r += y;
            l2 += x * x;
            r2 += y * y;
        }
        for (int k = 0; k < LANES; k++) scores[k] = (l[k] > 0 ? l2[k] / l[k] : 0) + (r[k] > 0 ? r2[k] / r[k] : 0);
    }
    // Whether nothing can beat a score: both sides are pure.
    bool perfect(double score, const int32_t* total, ptrdiff_t) const {
        double weight = 0;
        for (int c = 0; c < size(); c++) weight += total[c] * class_weights[c];
        return score >= (criterion == GINI ? weight : 0) - 1e-12 * weight;
    }
    double base(const int32_t* total) const { return side(total); }
    int64_t count(const int32_t* sums) const {
        int64_t count = 0;
        for (int c = 0; c < (S ? S : first[1]); c++) count += sums[c];
        return count;
    }
    double weight(const int32_t* sums) const {
        double weight = 0;
        for (int c = 0; c < (S ? S : first[1]); c++) weight += sums[c] * class_weights[c];
        return weight;
    }
    // The share of the second class: what monotonic constraints speak of.
    double value(const int32_t* sums) const { return sums[1] * class_weights[1] / weight(sums); }
    bool pure(const int32_t* sums, const target_t* const*, ptrdiff_t, ptrdiff_t) const {
        for (int o = 0; o < outputs(); o++) {
            int found = 0;
            for (int c = S ? 0 : first[o]; c < (S ? S : first[o + 1]); c++) found += sums[c] != 0;
            if (found > 1) return false;
        }
        return true;
    }
};

// Numbers of one or several outputs in fixed point: a cell holds their weighted sums, and last the weight.
template <int S>
struct Numbers {
    static constexpr bool NUMBERS = true;
    static constexpr int SIZE = S;
    // The mean of a node, per output: a whole number and the rest.
    struct Centre {
        std::vector<int64_t> whole;
        std::vector<double> rest;
        int64_t whole0;
        double rest0, weight;
    };
    using cell_t = int64_t;
    using target_t = int64_t;
    int criterion, n_outputs, n_cells;
    const double* units;  // of each output: its value is target * unit + offset
    const double* offsets;

    int size() const { return S ? S : n_cells; }
    int outputs() const { return size() - 1; }

    // Adds rows begin .. end to the cells of their codes.
    template <class C>
    void add(int64_t* cells, C code, ptrdiff_t begin, ptrdiff_t end, const target_t* const* planes,
             const int32_t* weights) const {
        for (int o = 0; o < outputs(); o++) {
            const target_t* plane = planes[o];
            for (ptrdiff_t i = begin; i < end; i++) {
                int64_t* cell = cells + code(i) * size();
                cell[o] += plane[i] * weights[i];
                if (o == 0) cell[outputs()] += weights[i];
            }
        }
    }
    // Adds a row of a single output to a cell.
    static void put(int64_t* cell, int64_t y, int32_t weight) {
        cell[0] += y * weight;
        cell[1] += weight;
    }
    bool any(const int64_t* cell) const { return cell[outputs()] != 0; }  // whether a cell has rows
    void add_all(int64_t* cell, ptrdiff_t begin, ptrdiff_t end, target_t* const* planes, const int32_t* weights) const {
        for (int o = 0; o < outputs(); o++)
            for (ptrdiff_t i = begin; i < end; i++) cell[o] += planes[o][i] * weights[i];
        for (ptrdiff_t i = begin; i < end; i++) cell[outputs()] += weights[i];
    }

    double sum(const int64_t* sums, int o) const { return sums[o] * units[o] + offsets[o] * (double)sums[outputs()]; }
    Centre centre(const int64_t* total) const {
        Centre centre;
        centre.weight = (double)total[outputs()];
        for (int o = 0; o < outputs(); o++) {
            centre.whole0 = total[o] / total[outputs()];
            centre.rest0 = (double)(total[o] - centre.whole0 * total[outputs()]) / centre.weight;
            if (S) break;
            centre.whole.push_back(centre.whole0);
            centre.rest.push_back(centre.rest0);
        }
        return centre;
    }
    // W / (l r) (sum of the left - l mean)^2 = l r / W (mean_l - mean_r)^2: the variance between the sides, times the
    // weight. What cancels does so in whole numbers.
    double score(const Centre& centre, const int64_t* left, const int64_t* right) const {
        if (criterion == POISSON) return base(left) + base(right);
        const int64_t weight = left[outputs()];
        const double l = (double)weight, r = (double)right[outputs()];
        double gain = 0;
        for (int o = 0; o < outputs(); o++) {
            const int64_t whole = S ? centre.whole0 : centre.whole[o];
            const double rest = S ? centre.rest0 : centre.rest[o];
            const double gap = ((double)(left[o] - weight * whole) - l * rest) * units[o];
            gain += gap * gap;
        }
        return gain * centre.weight / (l * r);
    }
    bool side_by_side() const { return criterion == SQUARED && outputs() == 1; }
    int parts(const int64_t*, int* found) const {
        for (int s = 0; s < size(); s++) found[s] = s;
        return size();
    }
    // The scores of eight splits; left[0] are sums, left[n] weights, split by split.
    void scores(const Centre& centre, const int64_t* total, const int64_t* left, ptrdiff_t n, const int*, int,
                double* scores) const {
        const double unit = units[0], rest = centre.rest0, weight = centre.weight;
        const int64_t whole = centre.whole0, all = total[1];
        for (int k = 0; k < LANES; k++) {
            const double l = (double)left[n + k], r = (double)(all - left[n + k]);
            const double gap = ((double)(left[k] - left[n + k] * whole) - l * rest) * unit;
            scores[k] = gap * gap * weight / (l * r);
        }
    }
    // Two rows that differ are told apart by any split.
    bool perfect(double, const int64_t*, ptrdiff_t m) const { return m == 2; }
    // What a node's score is measured from: the half deviance's sum y log(mean y), nothing for squares. A sum within
    // rounding of 0 is 0: a leaf of nothing has no deviance to speak of.
    double base(const int64_t* sums) const {
        if (criterion != POISSON) return 0;
        double score = 0;
        for (int o = 0; o < outputs(); o++) {
            const double y = sum(sums, o);
            const double w = (double)sums[outputs()];
            if (!(y > w * (units[o] + 1e-12 * std::fabs(offsets[o])))) return -INFINITY;
            score += y * std::log(y / w);
        }
        return score;
    }
    int64_t count(const int64_t* sums) const { return sums[outputs()]; }
    double weight(const int64_t* sums) const { return (double)sums[outputs()]; }
    double value(const int64_t* sums) const { return sum(sums, 0) / (double)sums[outputs()]; }
    bool pure(const int64_t*, const target_t* const* targets, ptrdiff_t begin, ptrdiff_t end) const {
        for (int o = 0; o < outputs(); o++) {
            const target_t first = targets[o][begin];
            bool same = true;
            for (ptrdiff_t i = begin; i < end; i++) same &= targets[o][i] == first;
            if (!same) return false;
        }
        return true;
    }
};
}  // namespace skml_trees
