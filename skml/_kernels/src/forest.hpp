// Walks through the trees of a forest: eight rows at a time, each step without a branch.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace skml_forest {

constexpr int LANES = 8, BLOCK = 256;

struct Forest {
    const int32_t* nodes;  // four per inner node: children (a node, or ~leaf), feature, bound | kind << 8
    const int32_t* roots;  // of each tree
    const int32_t* set_features;
    const uint32_t* sets;  // eight words per set of categories
    ptrdiff_t n_trees, n_sets;
};

// Kind 1 sends a missing value, 255, left: adding 1 makes 0 of it. Kind 2 asks a set of categories.
template <bool SETS>
static inline int32_t step(const Forest& forest, int32_t at, const uint8_t* row) {
    const int32_t* node = forest.nodes + 4 * (ptrdiff_t)at;
    const int32_t bound = node[3] & 255, kind = node[3] >> 8;
    if (SETS && kind == 2) {
        const uint8_t code = row[forest.set_features[node[2]]];
        return node[!(forest.sets[8 * (ptrdiff_t)node[2] + (code >> 5)] >> (code & 31) & 1)];
    }
    return node[(uint8_t)(row[node[2]] + kind) > bound];
}

// Writes the leaves that some rows reach in one tree.
template <bool SETS>
static void walk(const Forest& forest, ptrdiff_t tree, const uint8_t* codes, ptrdiff_t p, ptrdiff_t n, int32_t* leaves) {
    const int32_t root = forest.roots[tree];
    ptrdiff_t i = 0;
    for (; i + LANES <= n && root >= 0; i += LANES) {
        int32_t at[LANES], done = 0;
        const uint8_t* row = codes + i * p;
        for (int l = 0; l < LANES; l++) at[l] = root;
        while (done >= 0) {  // negative once all are leaves
            done = -1;
            for (int l = 0; l < LANES; l++) {
                const int32_t next = step<SETS>(forest, std::max(at[l], 0), row + l * p);
                at[l] = at[l] < 0 ? at[l] : next;
                done &= at[l];
            }
        }
        for (int l = 0; l < LANES; l++) leaves[i + l] = ~at[l];
    }
    for (; i < n; i++) {
        int32_t at = root;
        while (at >= 0) at = step<SETS>(forest, at, codes + i * p);
        leaves[i] = ~at;
    }
}

static inline void find(const Forest& forest, ptrdiff_t tree, const uint8_t* codes, ptrdiff_t p, ptrdiff_t n,
                        int32_t* leaves) {
    if (forest.n_sets) walk<true>(forest, tree, codes, p, n, leaves);
    else walk<false>(forest, tree, codes, p, n, leaves);
}

// Adds up what the trees say of block b of the rows, tree after tree: rows of `values`, one per leaf, or, where
// `numbers` name them, one per number of a leaf, of which those below `n_pure` are a single 1.
static void sum_at(const Forest& forest, const uint8_t* codes, ptrdiff_t p, ptrdiff_t n, const int32_t* numbers,
                   const double* values, ptrdiff_t width, ptrdiff_t n_pure, double* out, ptrdiff_t b) noexcept {
    int32_t leaves[BLOCK];
    const ptrdiff_t begin = b * BLOCK, m = std::min<ptrdiff_t>(BLOCK, n - begin);
    double* sums = out + begin * width;
    std::fill_n(sums, m * width, 0.0);
    for (ptrdiff_t t = 0; t < forest.n_trees; t++) {
        find(forest, t, codes + begin * p, p, m, leaves);
        for (ptrdiff_t i = 0; i < m; i++) {
            const ptrdiff_t number = numbers ? numbers[leaves[i]] : leaves[i];
            if (number < n_pure) {
                sums[i * width + number] += 1;
            } else {
                const double* value = values + (number - n_pure) * width;
                for (ptrdiff_t k = 0; k < width; k++) sums[i * width + k] += value[k];
            }
        }
    }
}

static void leaves_at(const Forest& forest, const uint8_t* codes, ptrdiff_t p, ptrdiff_t n, int32_t* out,
                      ptrdiff_t b) noexcept {
    int32_t leaves[BLOCK];
    const ptrdiff_t begin = b * BLOCK, m = std::min<ptrdiff_t>(BLOCK, n - begin);
    for (ptrdiff_t t = 0; t < forest.n_trees; t++) {
        find(forest, t, codes + begin * p, p, m, leaves);
        for (ptrdiff_t i = 0; i < m; i++) out[(begin + i) * forest.n_trees + t] = leaves[i];
    }
}
}  // namespace skml_forest
