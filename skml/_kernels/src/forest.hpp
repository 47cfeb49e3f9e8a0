// Walks through the trees of a forest: of many rows eight at a time, each step without a branch.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

namespace skml_forest {

// Keeps a value in a register of its own: collecting lanes in a vector costs more than it saves.
#if defined(__GNUC__)
#define SKML_SCALAR(x) __asm__("" : "+r"(x))
#else
#define SKML_SCALAR(x)
#endif

constexpr int LANES = 8, BLOCK = 256;

struct Forest {
    const int32_t* nodes;  // four per inner node: children (a node, or ~leaf), feature, bound | kind << 8
    const int32_t* roots;  // of each tree
    const int32_t* set_features;
    const uint32_t* sets;  // eight words per set of categories
    ptrdiff_t n_trees, n_sets;
};

// Kind 1 sends a missing value, 255, left: adding 1 makes 0 of it. Kind 2 asks a set of categories.
static inline int32_t step(const Forest& forest, int32_t at, const uint8_t* row) {
    const int32_t* node = forest.nodes + 4 * (ptrdiff_t)at;
    const int32_t bound = node[3] & 255, kind = node[3] >> 8;
    if (kind == 2) {
        const uint8_t code = row[forest.set_features[node[2]]];
        return node[!(forest.sets[8 * (ptrdiff_t)node[2] + (code >> 5)] >> (code & 31) & 1)];
    }
    return node[(uint8_t)(row[node[2]] + kind) > bound];
}

// A tree in a walker's own form, eight bytes per inner node so that most fit in the first cache: two children (a node,
// or ~place among `ends`), the feature, the bound, the kind. `ends` keeps the leaves.
struct Packed {
    std::vector<uint64_t> nodes;
    std::vector<int32_t> ends;

    // Returns whether the tree fits. Where no row lacks a value the kind isn't asked, so the bound must not count on it.
    bool pack(const Forest& forest, int32_t root, bool complete) {
        struct Open {
            int32_t node;
            size_t parent;
            int shift;
        };
        std::vector<Open> open;
        nodes.clear();
        ends.clear();
        open.push_back({root, 0, 0});
        while (!open.empty()) {
            const Open now = open.back();
            open.pop_back();
            const bool leaf = now.node < 0;
            const size_t place = leaf ? ends.size() : nodes.size();
            if (place > 32767) return false;
            if (now.node != root) nodes[now.parent] |= (uint64_t)(uint16_t)(leaf ? ~place : place) << now.shift;
            if (leaf) {
                ends.push_back(~now.node);
                continue;
            }
            const int32_t* node = forest.nodes + 4 * (ptrdiff_t)now.node;
            const uint64_t kind = node[3] >> 8, bound = (node[3] & 255) - (complete && kind == 1);
            if (node[2] > 65535) return false;
            nodes.push_back((uint64_t)(uint32_t)node[2] << 32 | bound << 48 | kind << 56);
            open.push_back({node[1], place, 16});
            open.push_back({node[0], place, 0});
        }
        return true;
    }
};

// Codes of eight rows at a time, feature by feature, so that one address serves all lanes.
struct Block {
    std::unique_ptr<uint8_t[]> lanes;

    Block(const uint8_t* codes, ptrdiff_t p, ptrdiff_t n) : lanes(new (std::nothrow) uint8_t[n * p + 1]) {
        for (ptrdiff_t g = 0; lanes && g + LANES <= n; g += LANES)
            for (ptrdiff_t f = 0; f < p; f++)
                for (int l = 0; l < LANES; l++) lanes[g * p + f * LANES + l] = codes[(g + l) * p + f];
    }
};

template <bool SETS, bool COMPLETE>
static inline int32_t packed_step(const Forest& forest, const uint64_t* nodes, int32_t at, const uint8_t* lane) {
    const uint64_t node = nodes[at];
    const uint32_t feature = (uint16_t)(node >> 32), bound = (uint8_t)(node >> 48), kind = (uint32_t)(node >> 56);
    bool right;
    if (SETS && kind == 2) {
        const uint8_t code = lane[forest.set_features[feature] * LANES];
        right = !(forest.sets[8 * (ptrdiff_t)feature + (code >> 5)] >> (code & 31) & 1);
    } else {
        const uint8_t code = lane[feature * LANES];
        right = COMPLETE ? code > bound : (uint8_t)(code + kind) > bound;
    }
    return (int16_t)(node >> (right ? 16 : 0));
}

// Walks groups of eight rows; returns how many rows that were.
template <bool SETS, bool COMPLETE>
static ptrdiff_t packed_walk(const Forest& forest, const Packed& tree, const uint8_t* lanes, ptrdiff_t p, ptrdiff_t n,
                             int32_t* leaves) {
    const uint64_t* nodes = tree.nodes.data();
    ptrdiff_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        int32_t at[LANES] = {}, done = tree.nodes.empty() ? -1 : 0;
        if (done) std::fill_n(at, LANES, -1);
        while (done >= 0) {  // negative once all are leaves
            done = -1;
            for (int l = 0; l < LANES; l++) {
                int32_t next = packed_step<SETS, COMPLETE>(forest, nodes, std::max(at[l], 0), lanes + i * p + l);
                SKML_SCALAR(next);
                at[l] = at[l] < 0 ? at[l] : next;
                done &= at[l];
            }
        }
        for (int l = 0; l < LANES; l++) leaves[i + l] = tree.ends[~at[l]];
    }
    return i;
}

// Writes the leaves that some rows reach in one tree, as it is.
static void walk(const Forest& forest, ptrdiff_t tree, const uint8_t* codes, ptrdiff_t p, ptrdiff_t n, int32_t* leaves) {
    for (ptrdiff_t i = 0; i < n; i++) {
        int32_t at = forest.roots[tree];
        while (at >= 0) at = step(forest, at, codes + i * p);
        leaves[i] = ~at;
    }
}

// The trees of a forest, packed if many rows are to come.
struct Walker {
    const Forest& forest;
    std::vector<Packed> packed;
    std::vector<uint8_t> fits;
    bool complete;

    Walker(const Forest& forest, const uint8_t* codes, ptrdiff_t size, ptrdiff_t n)
        : forest(forest), packed(n >= BLOCK ? forest.n_trees : 0), fits(packed.size()),
          complete(!packed.empty() && !std::memchr(codes, 255, size)) {}

    void pack(ptrdiff_t t) noexcept {
        try {
            fits[t] = packed[t].pack(forest, forest.roots[t], complete);
        } catch (const std::bad_alloc&) {
            fits[t] = 0;
        }
    }

    void find(ptrdiff_t t, const Block& block, const uint8_t* codes, ptrdiff_t p, ptrdiff_t n, int32_t* leaves) const {
        ptrdiff_t i = 0;
        if (!packed.empty() && fits[t] && block.lanes) {
            const uint8_t* lanes = block.lanes.get();
            if (forest.n_sets) i = packed_walk<true, false>(forest, packed[t], lanes, p, n, leaves);
            else if (complete) i = packed_walk<false, true>(forest, packed[t], lanes, p, n, leaves);
            else i = packed_walk<false, false>(forest, packed[t], lanes, p, n, leaves);
        }
        walk(forest, t, codes + i * p, p, n - i, leaves + i);
    }
};

// Adds up what the trees say of block b of the rows, tree after tree: rows of `values`, one per leaf, or, where
// `numbers` name them, one per number of a leaf, of which those below `n_pure` are a single 1.
static void sum_at(const Walker& walker, const uint8_t* codes, ptrdiff_t p, ptrdiff_t n, const int32_t* numbers,
                   const double* values, ptrdiff_t width, ptrdiff_t n_pure, double* out, ptrdiff_t b) noexcept {
    int32_t leaves[BLOCK];
    const ptrdiff_t begin = b * BLOCK, m = std::min<ptrdiff_t>(BLOCK, n - begin);
    const Block block(codes + begin * p, p, m);
    double* sums = out + begin * width;
    std::fill_n(sums, m * width, 0.0);
    for (ptrdiff_t t = 0; t < walker.forest.n_trees; t++) {
        walker.find(t, block, codes + begin * p, p, m, leaves);
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

static void leaves_at(const Walker& walker, const uint8_t* codes, ptrdiff_t p, ptrdiff_t n, int32_t* out,
                      ptrdiff_t b) noexcept {
    int32_t leaves[BLOCK];
    const ptrdiff_t begin = b * BLOCK, m = std::min<ptrdiff_t>(BLOCK, n - begin);
    const Block block(codes + begin * p, p, m);
    for (ptrdiff_t t = 0; t < walker.forest.n_trees; t++) {
        walker.find(t, block, codes + begin * p, p, m, leaves);
        for (ptrdiff_t i = 0; i < m; i++) out[(begin + i) * walker.forest.n_trees + t] = leaves[i];
    }
}
}  // namespace skml_forest
