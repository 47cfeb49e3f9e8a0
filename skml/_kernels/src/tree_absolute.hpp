// Absolute errors around weighted medians: sums by rank of the rows on either side, in Fenwick trees (Fenwick 1994).
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

namespace skml_trees {

// Weights and weighted targets, added up over ranks.
struct Ranked {
    std::vector<int64_t> weights, sums;
    int64_t weight = 0, sum = 0;

    void reset(size_t m) {
        weights.assign(m + 1, 0);
        sums.assign(m + 1, 0);
        weight = sum = 0;
    }
    void add(size_t rank, int64_t w, int64_t wy) {
        weight += w;
        sum += wy;
        for (size_t i = rank + 1; i < weights.size(); i += i & (~i + 1)) {
            weights[i] += w;
            sums[i] += wy;
        }
    }
    // The ranks whose weight, twice, is less than so much, and what they add up to.
    struct Below {
        size_t ranks;
        int64_t weight, sum;
    };
    Below below(int64_t twice) const {
        Below found{0, 0, 0};
        size_t step = 1;
        while (2 * step < weights.size()) step *= 2;
        for (; step; step /= 2) {
            const size_t next = found.ranks + step;
            if (next < weights.size() && 2 * (found.weight + weights[next]) < twice)
                found = {next, found.weight + weights[next], found.sum + sums[next]};
        }
        return found;
    }
    // The sum of w |y - median|: exact, for all of it is whole numbers.
    int64_t error(const std::vector<int64_t>& sorted) const {
        const Below lower = below(weight);
        const int64_t median = sorted[std::min(lower.ranks, sorted.size() - 1)];
        return (median * lower.weight - lower.sum) + ((sum - lower.sum) - median * (weight - lower.weight));
    }
    // The middle of the lower and the upper median.
    double median(const std::vector<int64_t>& sorted) const {
        const size_t last = sorted.size() - 1;
        return sorted[std::min(below(weight).ranks, last)] / 2.0 + sorted[std::min(below(weight + 1).ranks, last)] / 2.0;
    }
};

struct Absolute {
    struct Output {
        std::vector<int64_t> sorted;
        std::vector<int32_t> ranks;
        Ranked left, right;
        int64_t whole;
    };
    std::vector<Output> outputs;
    std::vector<const int64_t*> planes;
    std::vector<int32_t> order, by_code;
    ptrdiff_t starts[257];
    const int32_t* weights = nullptr;
    ptrdiff_t m = 0;

    void enter(const int64_t* const* targets, int n_outputs, const int32_t* row_weights, ptrdiff_t n_rows) {
        outputs.resize(n_outputs);
        planes.assign(targets, targets + n_outputs);
        weights = row_weights;
        m = n_rows;
        order.resize(m);
        by_code.resize(m);
        for (int o = 0; o < n_outputs; o++) {
            Output& out = outputs[o];
            const int64_t* y = planes[o];
            std::iota(order.begin(), order.end(), 0);
            std::stable_sort(order.begin(), order.end(), [y](int32_t a, int32_t b) { return y[a] < y[b]; });
            out.sorted.resize(m);
            out.ranks.resize(m);
            for (ptrdiff_t r = 0; r < m; r++) {
                out.sorted[r] = y[order[r]];
                out.ranks[order[r]] = (int32_t)r;
            }
            out.right.reset(m);
            for (ptrdiff_t i = 0; i < m; i++) out.right.add(out.ranks[i], weights[i], weights[i] * y[i]);
            out.whole = out.right.error(out.sorted);
        }
    }

    void sort_by_code(const uint8_t* codes) {
        std::fill_n(starts, 257, 0);
        for (ptrdiff_t i = 0; i < m; i++) starts[codes[i] + 1]++;
        for (int c = 0; c < 256; c++) starts[c + 1] += starts[c];
        ptrdiff_t at[256];
        std::copy_n(starts, 256, at);
        for (ptrdiff_t i = 0; i < m; i++) by_code[at[codes[i]]++] = (int32_t)i;
    }

    void restart() {
        for (size_t o = 0; o < outputs.size(); o++) {
            outputs[o].left.reset(m);
            outputs[o].right.reset(m);
            for (ptrdiff_t i = 0; i < m; i++)
                outputs[o].right.add(outputs[o].ranks[i], weights[i], weights[i] * planes[o][i]);
        }
    }

    void move(int code) {
        for (ptrdiff_t q = starts[code]; q < starts[code + 1]; q++) {
            const int32_t i = by_code[q];
            for (size_t o = 0; o < outputs.size(); o++) {
                const int64_t wy = weights[i] * planes[o][i];
                outputs[o].left.add(outputs[o].ranks[i], weights[i], wy);
                outputs[o].right.add(outputs[o].ranks[i], -weights[i], -wy);
            }
        }
    }

    // Of the first output, on either side.
    std::pair<double, double> medians() const {
        return {outputs[0].left.median(outputs[0].sorted), outputs[0].right.median(outputs[0].sorted)};
    }

    double gain(const double* units) const {
        double gain = 0;
        for (size_t o = 0; o < outputs.size(); o++) {
            const Output& out = outputs[o];
            gain += (double)(out.whole - out.left.error(out.sorted) - out.right.error(out.sorted)) * units[o];
        }
        return gain;
    }
};
}  // namespace skml_trees
