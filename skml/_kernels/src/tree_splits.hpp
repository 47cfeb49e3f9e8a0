// The best split of one node: the histograms of its features, swept one by one.
#pragma once
#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>
#include "tree_absolute.hpp"
#include "tree_histograms.hpp"

namespace skml_trees {

constexpr int FEW = 24;        // rows whose codes are listed one by one
constexpr int SIDE_BY_SIDE = 64;  // so large cells at most are swept side by side
constexpr double TIE = 1e-12;  // scores that differ by less, relatively, are equal: the earlier split is kept

struct Limits {
    int64_t min_leaf;
    double min_weight;
    bool monotone;
    bool free;  // whether every split is allowed
};

struct Split {
    double score = -INFINITY, bar = -INFINITY;  // a better split must pass the bar
    int32_t feature = -1;
    int low = 0, high = 0;      // the neighbouring codes between which a number is split
    double between = 0;         // the middle of what the sides say, where constraints are monotonic
    bool missing_left = false;
    uint32_t left[8] = {};      // the codes that go left
    bool found() const { return feature >= 0; }
    bool goes_left(uint8_t code) const { return left[code >> 5] >> (code & 31) & 1; }
    void put_left(int code) { left[code >> 5] |= 1u << (code & 31); }
    void put_up_to(int code) {  // and none beyond
        for (int word = 0; word < 8; word++) {
            const int n = std::clamp(code + 1 - 32 * word, 0, 32);
            left[word] = (uint32_t)((uint64_t(1) << n) - 1);
        }
    }
};

template <class P>
struct Splitter {
    using cell_t = typename P::cell_t;
    const P& targets;
    const Table& table;
    const Limits& limits;
    const cell_t* cells = nullptr;  // the histogram of the feature that is looked at
    std::vector<cell_t> left, right;
    alignas(8) uint8_t seen[N_CODES] = {};
    int order[N_CODES];
    double keys[N_CODES];
    int parts[SIDE_BY_SIDE], n_parts = 0;  // of a cell, those that are not 0 all over the node
    std::vector<cell_t> sums;  // of each part of a cell, split by split
    alignas(64) double scores[N_CODES];
    std::vector<double> axis, next;
    Absolute absolute;
    typename P::Centre centre;

    Splitter(const P& targets, const Table& table, const Limits& limits)
        : targets(targets), table(table), limits(limits), left(targets.size()), right(targets.size()),
          axis(targets.size()), next(targets.size()),
          sums(targets.size() <= SIDE_BY_SIDE ? targets.size() * N_CODES : 0) {}

    // Lists the codes of rows, ascending; returns how many there are.
    int list_codes(const uint8_t* codes, ptrdiff_t m) {
        if constexpr (P::NUMBERS)
            if (targets.criterion == ABSOLUTE) absolute.sort_by_code(codes);
        return m <= FEW ? list_few(codes, m) : list_many(codes, m);
    }

    int list_few(const uint8_t* codes, ptrdiff_t m) {
        uint64_t words[N_WORDS] = {};
        for (ptrdiff_t i = 0; i < m; i++) words[codes[i] >> 6] |= uint64_t(1) << (codes[i] & 63);
        return list(words);
    }

    int list_many(const uint8_t* codes, ptrdiff_t m) {
        uint64_t words[N_WORDS];
        for (ptrdiff_t i = 0; i < m; i++) seen[codes[i]] = 1;
        pack_bits(seen, words);
        std::memset(seen, 0, N_CODES);
        return list(words);
    }

    int list(const uint64_t* words) {
        int found = 0;
        for (int w = 0; w < N_WORDS; w++)
            for (uint64_t left = words[w]; left; left &= left - 1) order[found++] = 64 * w + __builtin_ctzll(left);
        return found;
    }

    // Tells which rows the coming features are tried on.
    void enter(const cell_t* total, const typename P::target_t* const* planes, const int32_t* weights, ptrdiff_t m) {
        centre = targets.centre(total);
        if (!sums.empty()) n_parts = targets.parts(total, parts);
        if constexpr (P::NUMBERS)
            if (targets.criterion == ABSOLUTE) absolute.enter(planes, targets.outputs(), weights, m);
    }

    double score(const cell_t* l, const cell_t* r) const {
        if constexpr (P::NUMBERS)
            if (targets.criterion == ABSOLUTE) return absolute.gain(targets.units);
        return targets.score(centre, l, r);
    }

    // Notes that a code has moved to the left; -1: that all are on the right.
    void note(int code) {
        if constexpr (P::NUMBERS) {
            if (targets.criterion != ABSOLUTE) return;
            if (code < 0) absolute.restart();
            else absolute.move(code);
        }
    }

    // What the two sides say: means, shares or medians.
    std::pair<double, double> values(const cell_t* l, const cell_t* r) const {
        if constexpr (P::NUMBERS)
            if (targets.criterion == ABSOLUTE) {
                const auto [a, b] = absolute.medians();
                return {a * targets.units[0] + targets.offsets[0], b * targets.units[0] + targets.offsets[0]};
            }
        return {targets.value(l), targets.value(r)};
    }

    bool allowed(int32_t f, const cell_t* l, const cell_t* r, double low, double high, double& between) const {
        if (limits.free) return true;
        if (targets.count(l) < limits.min_leaf || targets.count(r) < limits.min_leaf) return false;
        if (targets.weight(l) < limits.min_weight || targets.weight(r) < limits.min_weight) return false;
        if (!limits.monotone) return true;
        const auto [a, b] = values(l, r);
        const int sign = table.monotonic[f];
        if (!(a >= low && a <= high && b >= low && b <= high && (sign > 0 ? a <= b : sign < 0 ? a >= b : true)))
            return false;
        between = (a + b) / 2;
        return true;
    }

    // Moves codes from right to left, in their order; returns after how many of them the best split yet is, or 0.
    int sweep(int32_t f, int found, const cell_t* total, const cell_t* start, double low, double high, Split& best) {
        if (limits.free && targets.side_by_side() && targets.size() <= SIDE_BY_SIDE)
            return sweep_side_by_side(found, total, start, best);
        const int size = targets.size(), last = start ? found - 1 : found;
        cell_t few[2 * (P::SIZE + 1)];  // in registers, where the size is known
        cell_t* l = P::SIZE ? few : left.data();
        cell_t* r = P::SIZE ? few + P::SIZE : right.data();
        int at = 0;
        for (int s = 0; s < size; s++) l[s] = start ? start[s] : 0;
        note(-1);
        if (start) note(MISSING);
        for (int j = 0; j < last; j++) {
            const cell_t* cell = &cells[order[j] * size];
            for (int s = 0; s < size; s++) {
                l[s] += cell[s];
                r[s] = total[s] - l[s];
            }
            note(order[j]);
            const double score = this->score(l, r);
            if (score > best.bar && allowed(f, l, r, low, high, best.between)) {
                best.score = score;
                best.bar = score + TIE * std::fabs(score);
                at = j + 1;
            }
        }
        return at;
    }

    // The same where every split is allowed: first all sums, then all scores, eight at a time.
    int sweep_side_by_side(int found, const cell_t* total, const cell_t* start, Split& best) {
        const int size = targets.size();
        const int last = start ? found - 1 : found, padded = (last + LANES - 1) / LANES * LANES;
        for (int a = 0; a < n_parts; a++) {
            cell_t* own = &sums[a * N_CODES];
            const cell_t* cell = cells + parts[a];
            cell_t l = start ? start[parts[a]] : 0;
            for (int j = 0; j < last; j++) own[j] = l += cell[order[j] * size];
            std::fill(own + last, own + padded, cell_t(0));
        }
        for (int j = 0; j < padded; j += LANES) targets.scores(centre, total, &sums[j], N_CODES, parts, n_parts, scores + j);
        int at = 0;
        for (int j = 0; j < last; j++) {
            if (!(scores[j] > best.bar)) continue;
            best.score = scores[j];
            best.bar = scores[j] + TIE * std::fabs(scores[j]);
            at = j + 1;
        }
        return at;
    }

    // Tries every split of a feature whose codes have been listed.
    void search(int32_t f, int found, const cell_t* total, double low, double high, Split& best) {
        if (table.categorical[f]) {
            sort_categories(found);
            const int at = sweep(f, found - 1, total, nullptr, low, high, best);
            if (at) {
                best.feature = f;
                std::memset(best.left, 0, sizeof best.left);
                for (int j = 0; j < at; j++) best.put_left(order[j]);
                settle_absent(found, at, best);
            }
        } else {
            const bool missing = order[found - 1] == MISSING;
            const int known = found - missing;
            int at = sweep(f, missing ? known : known - 1, total, nullptr, low, high, best);
            if (at) cut(f, at, known, false, best);
            if (missing) {
                at = sweep(f, known, total, &cells[MISSING * targets.size()], low, high, best);
                if (at) cut(f, at, known, true, best);
            }
            if (!missing && best.feature == f) best.missing_left = heavier_left(total, best.low, found);
        }
    }

    // Where only missing values go right, all numbers go left, those that the node hasn't seen as well.
    void cut(int32_t f, int at, int known, bool missing_left, Split& best) {
        const int n_codes = (int)(table.edge_starts[f + 1] - table.edge_starts[f]);
        best.feature = f;
        best.low = at < known ? order[at - 1] : std::max(order[at - 1], n_codes - 1);
        best.high = at < known && order[at] <= n_codes ? order[at] : best.low + 1;  // the gap has edges
        best.missing_left = missing_left;
    }

    bool heavier_left(const cell_t* total, int low, int found) {
        const int size = targets.size();
        std::fill(left.begin(), left.end(), cell_t(0));
        for (int j = 0; j < found && order[j] <= low; j++)
            for (int s = 0; s < size; s++) left[s] += cells[order[j] * size + s];
        return 2 * targets.weight(left.data()) >= targets.weight(total);
    }

    // Categories that the node hasn't seen go where more of its weight goes.
    void settle_absent(int found, int at, Split& best) {
        double sides[2] = {0, 0};
        bool present[N_CODES] = {};
        for (int j = 0; j < found; j++) {
            sides[j < at] += targets.weight(&cells[order[j] * targets.size()]);
            present[order[j]] = true;
        }
        if (sides[1] < sides[0]) return;
        for (int code = 0; code < N_CODES; code++)
            if (!present[code]) best.put_left(code);
    }

    // Along one direction the best split of categories is between neighbours: the mean of a number, the share of the
    // second of two classes (Fisher 1958; Breiman et al. 1984, section 4.2.2), the first principal component of the
    // shares of several (Coppersmith, Hong & Hosking 1999).
    void sort_categories(int found) {
        const int size = targets.size();
        if (P::NUMBERS) {
            for (int j = 0; j < found; j++) keys[order[j]] = mean(&cells[order[j] * size]);
        } else if (size == 2) {
            for (int j = 0; j < found; j++) keys[order[j]] = share(&cells[order[j] * size], 1);
        } else {
            principal(found);
        }
        std::stable_sort(order, order + found, [this](int a, int b) { return keys[a] < keys[b]; });
    }

    double share(const cell_t* cell, int c) const {
        double total = 0;
        for (int s = 0; s < targets.size(); s++) total += (double)cell[s];
        return (double)cell[c] / total;
    }

    double mean(const cell_t* cell) const {
        double sum = 0;
        for (int o = 0; o < targets.size() - 1; o++) sum += (double)cell[o] / (double)cell[targets.size() - 1];
        return sum;
    }

    void principal(int found) {
        const int size = targets.size();
        std::vector<double>& centre = next;
        std::vector<double> shares((size_t)found * size), weights(found), product(size);
        double all = 0;
        std::fill(centre.begin(), centre.end(), 0.0);
        for (int j = 0; j < found; j++) {
            const cell_t* cell = &cells[order[j] * size];
            for (int s = 0; s < size; s++) weights[j] += (double)cell[s];
            for (int s = 0; s < size; s++) {
                shares[j * size + s] = (double)cell[s] / weights[j];
                centre[s] += (double)cell[s];
            }
            all += weights[j];
        }
        for (int s = 0; s < size; s++) axis[s] = s % 2 ? 1.0 / (s + 2) : -1.0 / (s + 1);
        for (int round = 0; round < 20; round++) {
            double norm = 0;
            std::fill(product.begin(), product.end(), 0.0);
            for (int j = 0; j < found; j++) {
                double along = 0;
                for (int s = 0; s < size; s++) along += (shares[j * size + s] - centre[s] / all) * axis[s];
                keys[order[j]] = along;
                for (int s = 0; s < size; s++)
                    product[s] += weights[j] * along * (shares[j * size + s] - centre[s] / all);
            }
            for (int s = 0; s < size; s++) norm += product[s] * product[s];
            if (!(norm > 0)) return;
            for (int s = 0; s < size; s++) axis[s] = product[s] / std::sqrt(norm);
        }
    }
};
}  // namespace skml_trees
