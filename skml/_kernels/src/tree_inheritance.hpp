// Histograms that a node hands to its children: the rows of the smaller one are summed, the larger one gets the rest.
#pragma once
#include <vector>
#include "tree_histograms.hpp"

namespace skml_trees {

constexpr size_t KEPT = size_t(1) << 22;  // bytes of histograms that wait for children, at most
constexpr ptrdiff_t ENOUGH = 256;         // with fewer rows, summing them is as fast as subtracting

template <class P>
struct Inheritance {
    using cell_t = typename P::cell_t;
    using cells_t = std::vector<cell_t>;
    Histograms<P>& histograms;
    const std::vector<int32_t> features;
    std::vector<int32_t> place;  // of each feature's cells
    std::vector<cells_t> idle;
    size_t length, n_out = 0;
    bool on;  // whether all features are tried at all nodes

    Inheritance(Histograms<P>& histograms, const int32_t* first, ptrdiff_t n, bool on)
        : histograms(histograms), features(first, first + n), place(histograms.table.p),
          length(n * histograms.length()), on(on && 4 * length * sizeof(cell_t) <= KEPT) {
        for (ptrdiff_t i = 0; i < n; i++) place[first[i]] = (int32_t)i;
    }

    bool worthwhile(ptrdiff_t m) const { return on && m >= ENOUGH; }
    const cell_t* of(const cells_t& kept, int32_t f) const { return kept.data() + place[f] * histograms.length(); }

    // Sums the rows of a node, if there is room.
    void make(cells_t& kept, const Rows<P>& node) {
        if ((n_out + 1) * length * sizeof(cell_t) > KEPT) return;
        if (!idle.empty()) {
            kept = std::move(idle.back());
            idle.pop_back();
        }
        kept.assign(length, 0);
        n_out++;
        cell_t* cells[AT_ONCE];
        for (ptrdiff_t first = 0; first < (ptrdiff_t)features.size(); first += AT_ONCE) {
            const int k = (int)std::min<ptrdiff_t>(AT_ONCE, features.size() - first);
            for (int s = 0; s < k; s++) cells[s] = kept.data() + (first + s) * histograms.length();
            histograms.add(features.data() + first, cells, k, node);
        }
    }

    void hand_on(cells_t& from, cells_t& few, cells_t& many, const Rows<P>& rows_of_few) {
        make(few, rows_of_few);
        if (few.empty()) return;
        for (size_t i = 0; i < length; i++) from[i] -= few[i];
        many = std::move(from);
        from.clear();
    }

    void take_back(cells_t& kept) {
        if (kept.empty()) return;
        idle.push_back(std::move(kept));
        kept.clear();
        n_out--;
    }
};
}  // namespace skml_trees
