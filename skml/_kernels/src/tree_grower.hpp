// One tree, grown node by node over the rows of its bag, which it sorts by leaf.
#pragma once
#include <chrono>
#include <memory>
#include <new>
#include "tree_inheritance.hpp"
#include "tree_nodes.hpp"

namespace skml_trees {

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
    Histograms<P> histograms;
    Inheritance<P> inheritance;
    std::vector<uint8_t> codes;
    std::vector<int64_t> spare;
    std::vector<const target_t*> here;
    std::vector<node_t> open, retired;
    uint64_t state;
    int32_t drawn[AT_ONCE];  // where the features that are tried now come from
    ptrdiff_t work = 0;  // rows looked at since the clock was
    std::chrono::steady_clock::time_point breath = std::chrono::steady_clock::now();

    Grower(const P& targets, const Table& table, const Limits& limits, const Options& options, int32_t* rows,
           int32_t* weights, target_t* first_plane, ptrdiff_t m, const int32_t* features, ptrdiff_t n_features,
           Grown& out)
        : targets(targets), table(table), limits(limits), options(options), rows(rows), weights(weights),
          features(features, features + n_features), out(out), splitter(targets, table, limits),
          histograms(targets, table), inheritance(histograms, features, n_features, whole(n_features)), codes(m), spare(m), here(targets.outputs()), state(options.seed) {
        for (int o = 0; o < targets.outputs(); o++) planes.push_back(first_plane + o * m);
    }

    bool whole(ptrdiff_t n_features) const {
        return options.max_features >= n_features && together(table, targets);
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

    void close(Node<P>& node) {
        inheritance.take_back(node.kept);
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

    // Whether a node is a leaf for other reasons than that no split helps.
    bool settled(const Node<P>& node) const {
        const cell_t* total = node.total.data();
        const int64_t count = targets.count(total);
        return node.depth >= options.max_depth || count < options.min_split || count < 2 * limits.min_leaf
            || node.size() < 2 || targets.weight(total) < 2 * limits.min_weight
            || targets.pure(total, planes.data(), node.begin, node.end);
    }

    Rows<P> rows_of(const Node<P>& node) {
        for (int o = 0; o < targets.outputs(); o++) here[o] = planes[o] + node.begin;
        return {rows + node.begin, here.data(), weights + node.begin, node.size(), node.total.data()};
    }

    void evaluate(Node<P>& node) {
        if (!settled(node)) find_split(node);
        if (!node.split.found() || !inheritance.worthwhile(node.size())) inheritance.take_back(node.kept);
    }

    void find_split(Node<P>& node) {
        const Rows<P> inside = rows_of(node);
        if (inheritance.worthwhile(inside.m) && node.kept.empty()) inheritance.make(node.kept, inside);
        splitter.enter(inside.total, inside.planes, inside.weights, inside.m);
        try_features(node, inside);
        if (!node.split.found()) return;
        node.gain = node.split.score - targets.base(inside.total);
        if (node.gain < options.min_gain || node.split.score == -INFINITY) node.split = Split();
        else if (!table.categorical[node.split.feature]) finish(node.split);
    }

    // Tries features until there are enough, or none can be better.
    void try_features(Node<P>& node, const Rows<P>& inside) {
        const int32_t n = (int32_t)features.size(), enough = std::min(n, options.max_features);
        const int most = at_once(node);
        int32_t visited = 0, usable = 0;
        while (visited < n && (visited < enough || !usable)) {
            const int k = std::clamp(enough - visited, 1, most);
            pause(inside.m * k);
            for (int s = 0; s < k; s++) draw_feature(visited + s, s);
            if (most > 1 && node.kept.empty()) histograms.add(features.data() + visited, k, inside);
            for (int s = 0; s < k; s++) {
                const int32_t f = features[visited++];
                const int found = look(node, f, most > 1 ? s : -1, inside);
                if (found > 1) {
                    usable++;
                    splitter.search(f, found, inside.total, node.low, node.high, node.split);
                }
                if (node.kept.empty()) histograms.clear(s, splitter.order, found);
                if (found < 2 || !node.split.found() || !targets.perfect(node.split.score, inside.total, inside.m))
                    continue;
                for (int rest = k - 1; rest > s; rest--) put_back(visited + rest - s - 1, rest, node.kept.empty());
                return;
            }
        }
    }

    // How many features are summed at once: many where rows share cache lines and few of the sums will not be needed.
    int at_once(const Node<P>& node) const {
        if (!node.kept.empty()) return AT_ONCE;
        if (!together(table, targets)) return 1;
        const ptrdiff_t m = node.size();
        return m > (table.words ? FEW : std::max<ptrdiff_t>(256, 64 * targets.size())) ? histograms.n_slots : 1;
    }

    void draw_feature(int32_t at, int s) {
        const uint32_t left = (uint32_t)(features.size() - at);
        drawn[s] = at + (int32_t)(((draw(state) >> 32) * left) >> 32);
        std::swap(features[at], features[drawn[s]]);
    }

    // Undoes the drawing of a feature that is no longer needed.
    void put_back(int32_t at, int s, bool summed) {
        if (summed) histograms.clear(s, splitter.order, splitter.list(histograms.codes(s)));
        std::swap(features[at], features[drawn[s]]);
        state -= STEP;
    }

    // Shows the splitter a feature; returns how many codes it has here, 0 or 1 where it is constant.
    int look(const Node<P>& node, int32_t f, int s, const Rows<P>& inside) {
        if (!node.kept.empty()) {
            splitter.cells = inheritance.of(node.kept, f);
            return splitter.list(histograms.codes_of(splitter.cells));
        }
        splitter.cells = histograms.slot(std::max(s, 0));
        if (s >= 0) return splitter.list(histograms.codes(s));
        const ptrdiff_t m = inside.m;
        fetch(table, histograms.members, f, inside.rows, m, codes.data());
        if (m > FEW && std::all_of(codes.data(), codes.data() + m, [&](uint8_t code) { return code == codes[0]; }))
            return 0;
        const auto code = [&](ptrdiff_t i) { return codes[i]; };
        targets.add(histograms.slot(0), code, 0, m, inside.planes, inside.weights);
        return splitter.list_codes(codes.data(), m);
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
        if (!node.kept.empty()) hand_on(node, *left, *right);
        evaluate(*left);
        evaluate(*right);
        place(std::move(right));
        place(std::move(left));
    }

    void hand_on(Node<P>& node, Node<P>& left, Node<P>& right) {
        Node<P>& few = left.size() < right.size() ? left : right;
        Node<P>& many = left.size() < right.size() ? right : left;
        if (inheritance.worthwhile(many.size()) && !settled(many))
            inheritance.hand_on(node.kept, few.kept, many.kept, rows_of(few));
        inheritance.take_back(node.kept);
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
        fetch(table, histograms.members, node.split.feature, rows + node.begin, m, codes.data());
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
