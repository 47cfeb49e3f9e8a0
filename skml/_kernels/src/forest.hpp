// Walks through the trees of a forest: of many rows side by side, each step without a branch.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <numeric>
#include <utility>
#include <vector>

namespace skml_forest {

// Keeps a value in a register of its own: collecting lanes in a vector costs more than it saves. Keeps a function to
// itself, so that what surrounds it takes none of its registers.
#if defined(__GNUC__)
#define SKML_APART __attribute__((noinline))
#define SKML_SCALAR(x) __asm__("" : "+r"(x))
// Brings a line of memory near; without the empty statement a function that only does so is taken to do nothing.
#define SKML_AHEAD(p) (__builtin_prefetch(p, 0, 2), [] { __asm__ volatile(""); }())
#else
#define SKML_APART
#define SKML_SCALAR(x)
#define SKML_AHEAD(p)
#endif

constexpr int LANES = 16, BLOCK = 256, LINE = 64;
constexpr uint8_t MISSING = 255;
constexpr size_t FETCHED = 1 << 18;  // bytes of the largest tree that is fetched while another is walked

struct Forest {
    const int32_t* nodes;  // four per inner node: children (a node, or ~leaf), feature, bound | kind << 8
    const int32_t* roots;  // of each tree
    const int32_t* set_features;
    const uint32_t* sets;  // eight words per set of categories
    ptrdiff_t n_trees, n_sets;
    const int32_t* numbers;  // what each leaf says; null: its own number

    int32_t said(int32_t leaf) const { return numbers ? numbers[leaf] : leaf; }
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

// A node in a walker's own form: codes up to `cut` go left, a missing value too if the kind is 1. The right child lies
// next to the left one; a leaf leads to itself, whatever the code.
struct Place {
    uint32_t left;
    uint16_t feature;
    uint8_t cut, kind;
};

struct Packed {
    std::vector<Place> places;
    std::vector<int32_t> ends;  // what the leaf says at each place that is one
    int first_steps;  // the way to a leaf, on average

    struct Open {
        int32_t at;
        uint32_t place;
        int32_t depth;
    };

    // Returns whether the tree fits.
    bool pack(const Forest& forest, int32_t root) {
        std::vector<Open> open{{root, 0, 0}};
        double depths = 0, n_leaves = 0;
        places.assign(1, {});
        ends.assign(1, 0);
        while (!open.empty()) {
            const auto [at, place, depth] = open.back();
            open.pop_back();
            if (at < 0) {
                places[place] = {place, 0, 255, 0};
                ends[place] = forest.said(~at);
                depths += depth, n_leaves++;
                continue;
            }
            const int32_t *node = forest.nodes + 4 * (ptrdiff_t)at, bound = node[3] & 255, kind = node[3] >> 8;
            const bool alone = kind == 1 && bound == 0;  // missing values alone go left; let them go right
            const uint32_t left = (uint32_t)places.size();
            if (node[2] > 65535) return false;
            places[place] = {left, (uint16_t)node[2], (uint8_t)(alone ? MISSING - 1 : bound - (kind == 1)),
                             (uint8_t)(alone ? 0 : kind)};
            for (int side = 0; side < 2; side++) places.push_back({}), ends.push_back(0);
            open.push_back({node[!alone], left + 1, depth + 1});
            open.push_back({node[alone], left, depth + 1});
        }
        first_steps = std::max(1, (int)(depths / n_leaves + 0.5));
        return true;
    }

    size_t bytes() const { return places.size() * (sizeof(Place) + sizeof(int32_t)); }

    // Asks for one of some parts of the tree, before it is needed.
    void fetch(ptrdiff_t part, ptrdiff_t n_parts) const {
        fetch((const char*)places.data(), places.size() * sizeof(Place), part, n_parts);
        fetch((const char*)ends.data(), ends.size() * sizeof(int32_t), part, n_parts);
    }

    static void fetch(const char* bytes, size_t size, size_t part, size_t n_parts) {
        for (size_t i = size * part / n_parts; i < size * (part + 1) / n_parts; i += LINE) SKML_AHEAD(bytes + i);
    }
};

// What may be asked: numbers, none of which is missing; numbers; sets of categories too.
enum Asked { KNOWN, NUMBERS, ANYTHING };

template <Asked ASKED>
static inline uint32_t packed_step(const Forest& forest, const Place& place, const uint8_t* row) {
    if (ASKED == ANYTHING && place.kind == 2) {
        const uint8_t code = row[forest.set_features[place.feature]];
        return place.left + !(forest.sets[8 * (ptrdiff_t)place.feature + (code >> 5)] >> (code & 31) & 1);
    }
    const uint8_t code = row[place.feature];
    if (ASKED == KNOWN) return place.left + (place.cut < code);
    return place.left + ((uint8_t)(place.cut + place.kind) < (uint8_t)(code + place.kind));  // 255 + 1 is 0
}

// Takes some rows down some steps, side by side so that none waits for another.
template <Asked ASKED>
static SKML_APART void descend(const Forest& forest, const Place* tree, const uint8_t* codes, ptrdiff_t p, int n_steps,
                               const uint16_t* rows, uint32_t* places) {
    const uint8_t* row[LANES];
    uint32_t at[LANES];
    for (int l = 0; l < LANES; l++) row[l] = codes + rows[l] * p, at[l] = places[l];
    for (int step = 0; step < n_steps; step++)
        for (int l = 0; l < LANES; l++) {
            at[l] = packed_step<ASKED>(forest, tree[at[l]], row[l]);
            SKML_SCALAR(at[l]);
        }
    for (int l = 0; l < LANES; l++) places[l] = at[l];
}

// Walks at most BLOCK rows to what their leaves say: some steps without asking whether a leaf is reached, then on with
// those that are not there.
template <Asked ASKED>
static void packed_walk(const Forest& forest, const Packed& tree, const uint8_t* codes, ptrdiff_t p, ptrdiff_t n,
                        int32_t* said) {
    uint32_t at[BLOCK + LANES] = {}, end[BLOCK];
    uint16_t rows[BLOCK + LANES];
    std::iota(rows, rows + n, 0);
    ptrdiff_t under_way = n;
    for (int n_steps = tree.first_steps; under_way; n_steps = 4) {
        for (int l = 0; l < LANES; l++) at[under_way + l] = 0, rows[under_way + l] = 0;
        for (ptrdiff_t i = 0; i < under_way; i += LANES)
            descend<ASKED>(forest, tree.places.data(), codes, p, n_steps, rows + i, at + i);
        ptrdiff_t still = 0;
        for (ptrdiff_t i = 0; i < under_way; i++) {
            const uint32_t place = at[i];
            const uint16_t row = rows[i];
            end[row] = place;
            at[still] = place;
            rows[still] = row;
            still += tree.places[place].left != place;
        }
        under_way = still;
    }
    for (ptrdiff_t i = 0; i < n; i++) said[i] = tree.ends[end[i]];
}

// Writes what some rows' leaves say, in one tree as it is.
static void walk(const Forest& forest, ptrdiff_t tree, const uint8_t* codes, ptrdiff_t p, ptrdiff_t n, int32_t* said) {
    for (ptrdiff_t i = 0; i < n; i++) {
        int32_t at = forest.roots[tree];
        while (at >= 0) at = step(forest, at, codes + i * p);
        said[i] = forest.said(~at);
    }
}

// The trees of a forest, packed if many rows are to come.
struct Walker {
    const Forest& forest;
    std::vector<Packed> packed;
    std::vector<uint8_t> fits;

    Walker(const Forest& forest, ptrdiff_t n)
        : forest(forest), packed(n >= BLOCK ? forest.n_trees : 0), fits(packed.size()) {}

    void pack(ptrdiff_t t) noexcept {
        try {
            fits[t] = packed[t].pack(forest, forest.roots[t]);
        } catch (const std::bad_alloc&) {
            fits[t] = 0;
        }
    }

    // How many rows to walk tree by tree: the bytes that are read in order for each are to be no less than those of a
    // tree, which come at random, so that a tree is fetched from far away seldom.
    ptrdiff_t block_rows(ptrdiff_t row_bytes, ptrdiff_t n, int n_threads) const {
        size_t bytes = 0;
        for (const Packed& tree : packed) bytes += tree.bytes();
        const ptrdiff_t wanted = (ptrdiff_t)(bytes / forest.n_trees) * 2 / row_bytes;
        const ptrdiff_t shared = (n + n_threads - 1) / n_threads;
        return std::max<ptrdiff_t>(std::min(wanted, shared) / BLOCK, 1) * BLOCK;
    }

    // Writes what the leaves of at most BLOCK rows say.
    void find(ptrdiff_t t, const uint8_t* codes, ptrdiff_t p, ptrdiff_t n, Asked asked, int32_t* said) const {
        if (packed.empty() || !fits[t]) walk(forest, t, codes, p, n, said);
        else if (asked == KNOWN) packed_walk<KNOWN>(forest, packed[t], codes, p, n, said);
        else if (asked == NUMBERS) packed_walk<NUMBERS>(forest, packed[t], codes, p, n, said);
        else packed_walk<ANYTHING>(forest, packed[t], codes, p, n, said);
    }

    // Fetches a part of the tree that comes next, unless it would push out the one at work.
    void fetch_next(ptrdiff_t t, ptrdiff_t part, ptrdiff_t n_parts) const {
        if (packed.empty()) return;
        const Packed& next = packed[(t + 1) % forest.n_trees];
        if (next.bytes() <= FETCHED) next.fetch(part, n_parts);
    }

    // Calls take(t, i, number) with what the leaf of each of m rows says in each tree, trees in order.
    template <class Take>
    void each(const uint8_t* codes, ptrdiff_t p, ptrdiff_t m, const Take& take) const {
        int32_t said[BLOCK];
        const Asked asked = forest.n_sets ? ANYTHING : std::memchr(codes, MISSING, m * p) ? NUMBERS : KNOWN;
        for (ptrdiff_t t = 0; t < forest.n_trees; t++)
            for (ptrdiff_t first = 0; first < m; first += BLOCK) {
                const ptrdiff_t size = std::min<ptrdiff_t>(BLOCK, m - first);
                fetch_next(t, first / BLOCK, (m + BLOCK - 1) / BLOCK);
                find(t, codes + first * p, p, size, asked, said);
                for (ptrdiff_t i = 0; i < size; i++) take(t, first + i, said[i]);
            }
    }
};

// Adds up what the trees say of m rows, tree after tree: rows of `values`, one per number from `n_pure` on; those below
// are a single 1.
static void sum_at(const Walker& walker, const uint8_t* codes, ptrdiff_t p, ptrdiff_t m, const double* values,
                   ptrdiff_t width, ptrdiff_t n_pure, double* sums) noexcept {
    std::fill_n(sums, m * width, 0.0);
    walker.each(codes, p, m, [=](ptrdiff_t, ptrdiff_t i, ptrdiff_t number) {
        if (number < n_pure) {
            sums[i * width + number] += 1;
        } else {
            const double* value = values + (number - n_pure) * width;
            for (ptrdiff_t k = 0; k < width; k++) sums[i * width + k] += value[k];
        }
    });
}

static void leaves_at(const Walker& walker, const uint8_t* codes, ptrdiff_t p, ptrdiff_t m, int32_t* out) noexcept {
    const ptrdiff_t n_trees = walker.forest.n_trees;
    walker.each(codes, p, m, [=](ptrdiff_t t, ptrdiff_t i, int32_t leaf) { out[i * n_trees + t] = leaf; });
}
}  // namespace skml_forest
