// The nodes of a tree while it grows, what says when it ends, and what is written of it.
#pragma once
#include <cstdint>
#include <vector>
#include "tree_splits.hpp"

namespace skml_trees {

struct Options {
    int32_t max_depth, max_features, max_leaves;  // max_leaves 0: depth first, without end
    int64_t min_split;
    double min_gain;  // the least gain of a split, in units of weight
    uint64_t seed;
    int (*breathe)();  // called every so often; not 0 if the tree is to end here
};

struct Stopped {};

// What the caller allocates, for as many leaves as there are rows.
struct Grown {
    int32_t* features;  // per inner node; for one split by categories the number of its set
    int32_t* children;  // two per inner node: an inner node, or ~leaf
    uint8_t* codes;     // numbers: code or less goes left
    uint8_t* kinds;     // 0 missing goes right, 1 missing goes left, 2 categories
    int32_t* set_features;
    uint32_t* sets;     // eight words per set: the codes that go left
    int32_t* leaf_begins;
    double* bounds;     // two per leaf, for monotonic constraints
    double* gains;      // per inner node
    int64_t n_inner = 0, n_sets = 0, n_leaves = 0;
};

constexpr uint64_t STEP = 0x9e3779b97f4a7c15ULL;

static inline uint64_t draw(uint64_t& state) {  // splitmix64 (Steele, Lea & Flood 2014)
    uint64_t z = (state += STEP);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

template <class P>
struct Node {
    ptrdiff_t begin, end;
    int64_t parent;  // where to write the node's number: an index into children
    int32_t depth;
    double low, high, gain;
    Split split;
    std::vector<typename P::cell_t> total;
    std::vector<typename P::cell_t> kept;  // the histograms of all features, or nothing
    ptrdiff_t size() const { return end - begin; }
};
}  // namespace skml_trees
