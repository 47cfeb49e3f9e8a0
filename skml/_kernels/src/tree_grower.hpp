// One tree, grown node by node over the rows of its bag, which it sorts by leaf.
#pragma once
#include <chrono>
#include <climits>
#include <memory>
#include <new>
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

static inline uint64_t draw(uint64_t& state) {  // splitmix64 (Steele, Lea & Flood 2014)
    uint64_t z = (state += 0x9e3779b97f4a7c15ULL);
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
};

template <class P>
struct Grower {
    using cell_t = typename P::cell_t;
    using target_t = typename P::target_t;
    using node_t = std::unique_ptr<Node<P>>;
    const P& targets;
    const Table& table;
    const Limits& limits;
    const Options& options;
    int32_t* rows;
    int32_t* weights;
    std::vector<target_t*> planes;  // of each output, in the order of rows
    std::vector<int32_t> features;
    Grown& out;
    Splitter<P> splitter;
    std::vector<uint8_t> codes;
    std::vector<int64_t> spare;
    std::vector<const target_t*> here;
    std::vector<node_t> open, retired;
    uint64_t state;
    ptrdiff_t work = 0;  // rows looked at since the clock was
    std::chrono::steady_clock::time_point breath = std::chrono::steady_clock::now();

    Grower(const P& targets, const Table& table, const Limits& limits, const Options& options, int32_t* rows,
           int32_t* weights, target_t* first_plane, ptrdiff_t m, const int32_t* features, ptrdiff_t n_features,
           Grown& out)
        : targets(targets), table(table), limits(limits), options(options), rows(rows), weights(weights),
          features(features, features + n_features), out(out), splitter(targets, table, limits),
          codes(m), spare(m), here(targets.outputs()), state(options.seed) {
        for (int o = 0; o < targets.outputs(); o++) planes.push_back(first_plane + o * m);
    }

    void grow(ptrdiff_t m) {
        node_t root(new Node<P>{0, m, -1, 0, -INFINITY, INFINITY, 0, {}, {}});
        root->total.assign(targets.size(), 0);
        targets.add_all(root->total.data(), 0, m, planes.data(), weights);
        evaluate(*root);
        place(std::move(root));
        while (!open.empty()) {
            node_t node = next();
            if (options.max_leaves && out.n_leaves + (int64_t)open.size() + 2 > options.max_leaves) close(*node);
            else expand(*node);
            retired.push_back(std::move(node));
        }
    }

    // A node that can be split waits for its turn; any other is a leaf.
    void place(node_t node) {
        if (!node->split.found()) {
            close(*node);
            retired.push_back(std::move(node));
            return;
        }
        open.push_back(std::move(node));
        if (options.max_leaves) std::push_heap(open.begin(), open.end(), less);
    }

    node_t next() {  // the latest, or with a limit to the leaves the one that gains most
        if (options.max_leaves) std::pop_heap(open.begin(), open.end(), less);
        node_t node = std::move(open.back());
        open.pop_back();
        return node;
    }

    static bool less(const node_t& a, const node_t& b) {
        return a->gain != b->gain ? a->gain < b->gain : a->begin > b->begin;
    }

    void close(const Node<P>& node) {
        if (node.parent >= 0) out.children[node.parent] = ~(int32_t)out.n_leaves;
        out.leaf_begins[out.n_leaves] = (int32_t)node.begin;
        out.bounds[2 * out.n_leaves] = node.low;
        out.bounds[2 * out.n_leaves + 1] = node.high;
        out.n_leaves++;
    }

    // Lets the caller see to others, twenty times a second.
    void pause(ptrdiff_t m) {
        work += m;
        if (work < (1 << 18)) return;
        work = 0;
        const auto now = std::chrono::steady_clock::now();
        if (now - breath < std::chrono::milliseconds(50)) return;
        breath = now;
        if (options.breathe()) throw Stopped();
    }

    void evaluate(Node<P>& node) {
        const ptrdiff_t m = node.end - node.begin;
        const cell_t* total = node.total.data();
        const int64_t count = targets.count(total);
        if (node.depth >= options.max_depth || count < options.min_split || count < 2 * limits.min_leaf || m < 2
            || targets.weight(total) < 2 * limits.min_weight || targets.pure(total, planes.data(), node.begin, node.end))
            return;
        for (int o = 0; o < targets.outputs(); o++) here[o] = planes[o] + node.begin;
        splitter.enter(total, here.data(), weights + node.begin, m);
        int32_t visited = 0, usable = 0;
        const int32_t n = (int32_t)features.size();
        for (; visited < n && (visited < options.max_features || !usable); visited++) {
            pause(m);
            const uint32_t left = (uint32_t)(n - visited);
            std::swap(features[visited], features[visited + (((draw(state) >> 32) * left) >> 32)]);
            const int32_t f = features[visited];
            fetch(table, f, rows + node.begin, m, codes.data());
            if (m > FEW && std::all_of(codes.data(), codes.data() + m, [&](uint8_t code) { return code == codes[0]; }))
                continue;
            const int found = splitter.add(codes.data(), m, here.data(), weights + node.begin);
            if (found == 1) {
                splitter.forget(1);
                continue;
            }
            usable++;
            splitter.search(f, found, total, node.low, node.high, node.split);
            if (node.split.found() && targets.perfect(node.split.score, total, m)) break;
        }
        if (!node.split.found()) return;
        node.gain = node.split.score - targets.base(total);
        if (node.gain < options.min_gain || node.split.score == -INFINITY) node.split = Split();
        else if (!table.categorical[node.split.feature]) finish(node.split);
    }

    // Chooses the cut between two codes and lists the codes on its left.
    void finish(Split& split) {
        split.low = middle(table, split.feature, split.low, split.high);
        split.put_up_to(split.low);
        if (split.missing_left) split.put_left(MISSING);
    }

    void expand(Node<P>& node) {
        const Split& split = node.split;
        const int64_t inner = out.n_inner++;
        if (node.parent >= 0) out.children[node.parent] = (int32_t)inner;
        out.gains[inner] = node.gain;
        if (table.categorical[split.feature]) {
            out.kinds[inner] = 2;
            out.codes[inner] = 0;
            out.features[inner] = (int32_t)out.n_sets;
            std::copy_n(split.left, 8, out.sets + 8 * out.n_sets);
            out.set_features[out.n_sets++] = split.feature;
        } else {
            out.kinds[inner] = split.missing_left;
            out.codes[inner] = (uint8_t)split.low;
            out.features[inner] = split.feature;
        }
        branch(node, inner);
    }

    void branch(Node<P>& node, int64_t inner) {
        const ptrdiff_t at = partition(node);
        node_t left = child(node, node.begin, at, 2 * inner), right = child(node, at, node.end, 2 * inner + 1);
        targets.add_all(left->total.data(), node.begin, at, planes.data(), weights);
        for (int s = 0; s < targets.size(); s++) right->total[s] = node.total[s] - left->total[s];
        if (limits.monotone && table.monotonic[node.split.feature]) {
            const bool rises = table.monotonic[node.split.feature] > 0;
            (rises ? left->high : left->low) = node.split.between;
            (rises ? right->low : right->high) = node.split.between;
        }
        evaluate(*left);
        evaluate(*right);
        place(std::move(right));
        place(std::move(left));
    }

    node_t child(const Node<P>& node, ptrdiff_t begin, ptrdiff_t end, int64_t parent) {
        node_t made;
        if (retired.empty()) {
            made.reset(new Node<P>());
        } else {
            made = std::move(retired.back());
            retired.pop_back();
        }
        made->begin = begin;
        made->end = end;
        made->parent = parent;
        made->depth = node.depth + 1;
        made->low = node.low;
        made->high = node.high;
        made->gain = 0;
        made->split = Split();
        made->total.assign(targets.size(), 0);
        return made;
    }

    // Moves the rows that go left before those that go right; both keep their order.
    ptrdiff_t partition(const Node<P>& node) {
        const ptrdiff_t m = node.end - node.begin;
        fetch(table, node.split.feature, rows + node.begin, m, codes.data());
        for (ptrdiff_t i = 0; i < m; i++) codes[i] = node.split.goes_left(codes[i]);
        const ptrdiff_t n_left = move(rows + node.begin, m);
        move(weights + node.begin, m);
        for (int o = 0; o < targets.outputs(); o++) move(planes[o] + node.begin, m);
        return node.begin + n_left;
    }

    template <class V>
    ptrdiff_t move(V* values, ptrdiff_t m) {
        V* others = reinterpret_cast<V*>(spare.data());
        ptrdiff_t l = 0, r = 0;
        for (ptrdiff_t i = 0; i < m; i++) {
            const V value = values[i];
            values[l] = value;
            others[r] = value;
            l += codes[i];
            r += !codes[i];
        }
        std::copy_n(others, r, values + l);
        return l;
    }
};

// Returns 0, 1 where memory ran out, or -1 where it was told to stop.
template <class P>
static int grow(const P& targets, const Table& table, const Limits& limits, const Options& options, int32_t* rows,
                int32_t* weights, typename P::target_t* first_plane, ptrdiff_t m, const int32_t* features,
                ptrdiff_t n_features, Grown& out) noexcept {
    try {
        Grower<P>(targets, table, limits, options, rows, weights, first_plane, m, features, n_features, out).grow(m);
        return 0;
    } catch (const std::bad_alloc&) {
        return 1;
    } catch (const Stopped&) {
        return -1;
    }
}
}  // namespace skml_trees
