// Histograms of several features at once, of one walk over the rows of a node; and those that nodes hand to children.
#pragma once
#include <algorithm>
#include <cstring>
#include <vector>
#include "tree_table.hpp"
#include "tree_targets.hpp"

namespace skml_trees {

constexpr int AT_ONCE = 32;                     // features at most
constexpr size_t ROOM = size_t(1) << 19;        // bytes of their cells, about
constexpr int MANY = 1024;                      // entries listed at once
constexpr int N_WORDS = N_CODES / 64;

// Eight bytes of 0 or 1 as bits.
static inline uint32_t eight_bits(const uint8_t* bytes) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    uint64_t eight;
    std::memcpy(&eight, bytes, 8);
    return (uint32_t)(eight * 0x0102040810204080ULL >> 56);
#else
    uint32_t bits = 0;
    for (int k = 0; k < 8; k++) bits |= (uint32_t)bytes[k] << k;
    return bits;
#endif
}

static inline void pack_bits(const uint8_t* bytes, uint64_t* words) {
    std::fill_n(words, N_WORDS, 0);
    for (int at = 0; at < N_CODES; at += 8) words[at >> 6] |= (uint64_t)eight_bits(bytes + at) << (at & 63);
}

// Whether the features of a table can be summed in one walk over rows.
template <class P>
static bool together(const Table& table, const P& targets) {
    return (table.words || !table.starts) && !(P::NUMBERS && targets.criterion == ABSOLUTE);
}

// The rows of a node, in their order.
template <class P>
struct Rows {
    const int32_t* rows;
    const typename P::target_t* const* planes;
    const int32_t* weights;
    ptrdiff_t m;
    const typename P::cell_t* total;  // of all of them
};

template <class P>
struct Histograms {
    using cell_t = typename P::cell_t;
    const P& targets;
    const Table& table;
    const int size;     // of a cell
    const int n_slots;  // features at once
    std::vector<cell_t> slots;  // all 0 between two features' use
    uint64_t seen[AT_ONCE][N_WORDS], found[N_WORDS];
    std::vector<uint64_t> masks;   // of packed rows, the features that are asked for
    std::vector<uint8_t> slot_of;  // and where they go
    int32_t asked[AT_ONCE];        // the words that hold them
    std::vector<cell_t> sum;
    Members members;

    Histograms(const P& targets, const Table& table)
        : targets(targets), table(table), size(targets.size()),
          n_slots((int)std::clamp<size_t>(ROOM / (sizeof(cell_t) * N_CODES * targets.size()), 1, AT_ONCE)),
          slots((size_t)N_CODES * targets.size() * n_slots), masks(table.n_words),
          slot_of(table.words ? table.p : 0), sum(targets.size()) {}

    ptrdiff_t length() const { return (ptrdiff_t)N_CODES * size; }
    cell_t* slot(int s) { return slots.data() + s * length(); }

    // Adds all rows to the slots of k features.
    void add(const int32_t* features, int k, const Rows<P>& node) {
        cell_t* cells[AT_ONCE];
        for (int s = 0; s < k; s++) cells[s] = slot(s);
        add(features, cells, k, node);
    }

    // Adds all rows to the cells of k features; of packed tables notes which codes were seen.
    void add(const int32_t* features, cell_t* const* cells, int k, const Rows<P>& node) {
        if (table.words) add_packed(features, cells, k, node);
        else add_dense(features, cells, k, node);
    }

    void add_dense(const int32_t* features, cell_t* const* cells, int k, const Rows<P>& node) {
        constexpr bool PAIRS = P::NUMBERS && P::SIZE == 2;
        int64_t pairs[2 * STRETCH];
        for (ptrdiff_t begin = 0; begin < node.m; begin += STRETCH) {
            const ptrdiff_t end = std::min(node.m, begin + STRETCH);
            if constexpr (PAIRS)
                for (ptrdiff_t i = begin; i < end; i++) {
                    pairs[2 * (i - begin)] = node.planes[0][i] * node.weights[i];
                    pairs[2 * (i - begin) + 1] = node.weights[i];
                }
            for (int s = 0; s < k; s++) {
                const uint8_t* column = table.codes + features[s] * table.feature_stride;
                const auto code = [&](ptrdiff_t i) { return column[node.rows[i] * table.row_stride]; };
                if constexpr (PAIRS) add_pairs(cells[s], code, begin, end, pairs);
                else targets.add(cells[s], code, begin, end, node.planes, node.weights);
            }
        }
    }

    template <class C>
    static void add_pairs(int64_t* __restrict cells, C code, ptrdiff_t begin, ptrdiff_t end,
                          const int64_t* __restrict pairs) {
        for (ptrdiff_t i = begin; i < end; i++, pairs += 2) {
            int64_t* cell = cells + 2 * code(i);
            const int64_t sum = cell[0] + pairs[0], weight = cell[1] + pairs[1];
            cell[0] = sum;
            cell[1] = weight;
        }
    }

    // Adds entries; what is left of the node has each feature's common code.
    void add_packed(const int32_t* features, cell_t* const* cells, int k, const Rows<P>& node) {
        for (int s = 0; s < k; s++) std::fill_n(seen[s], N_WORDS, 0);
        if (by_column(table, node.m)) add_columns(features, cells, k, node);
        else add_rows(features, cells, k, node);
        for (int s = 0; s < k; s++) complete(table.zero_codes[features[s]], cells[s], seen[s], node.total);
    }

    void add_columns(const int32_t* features, cell_t* const* cells, int k, const Rows<P>& node) {
        int32_t at[MANY];
        uint8_t codes[MANY];
        members.set(node.rows, node.m, table.n);
        for (int s = 0; s < k; s++) {
            alignas(8) uint8_t marks[N_CODES] = {};
            int n = 0;
            walk_column(table, features[s], members, [&](ptrdiff_t i, uint8_t code) {
                at[n] = (int32_t)i;
                codes[n] = code;
                marks[code] = 1;
                if (++n == MANY) n = put(cells[s], at, codes, n, node);
            });
            put(cells[s], at, codes, n, node);
            pack_bits(marks, seen[s]);
        }
    }

    // Adds some of the rows to the cells of their codes.
    int put(cell_t* cells, const int32_t* at, const uint8_t* codes, int n, const Rows<P>& node) const {
        const typename P::target_t* y = node.planes[0];
        const int32_t* weights = node.weights;
        const int size = this->size;
        if (targets.outputs() == 1)
            for (int h = 0; h < n; h++) P::put(cells + codes[h] * size, y[at[h]], weights[at[h]]);
        else
            for (int h = 0; h < n; h++)
                targets.add(cells, [&](ptrdiff_t) { return codes[h]; }, at[h], at[h] + 1, node.planes, weights);
        return 0;
    }

    // The words in which rows hold any of some features, some rows at a time.
    struct Hit {
        uint64_t held, word;
        int32_t i, w;
    };

    void add_rows(const int32_t* features, cell_t* const* cells, int k, const Rows<P>& node) {
        Hit hits[STRETCH];
        int n_asked = 0, n = 0;
        for (int s = 0; s < k; s++) {
            const int32_t w = features[s] / A_WORD;
            if (!masks[w]) asked[n_asked++] = w;
            masks[w] |= uint64_t(1) << features[s] % A_WORD;
            slot_of[features[s]] = (uint8_t)s;
        }
        for (ptrdiff_t i = 0; i < node.m; i++) {
            const uint64_t* words = table.words + node.rows[i] * table.n_words;
            const uint64_t* soon = table.words + node.rows[std::min(i + AHEAD, node.m - 1)] * table.n_words;
            const uint8_t* codes = table.entry_codes + table.starts[node.rows[i]];
            for (ptrdiff_t w = 0; w < table.n_words; w += 8) __builtin_prefetch(soon + w);
            for (int a = 0; a < n_asked; a++) {
                const uint64_t word = words[asked[a]], held = word & masks[asked[a]];
                hits[n] = {held, word, (int32_t)i, asked[a]};
                __builtin_prefetch(codes + (word >> A_WORD));
                n += held != 0;
            }
            if (n > STRETCH - AT_ONCE) n = put_hits(cells, hits, n, node);
        }
        put_hits(cells, hits, n, node);
        for (int a = 0; a < n_asked; a++) masks[asked[a]] = 0;
    }

    int put_hits(cell_t* const* cells, const Hit* hits, int n, const Rows<P>& node) {
        const int64_t* starts = table.starts;
        const uint8_t *entry_codes = table.entry_codes, *slot_of = this->slot_of.data();
        const bool one = targets.outputs() == 1;
        const typename P::target_t* y = node.planes[0];
        const int size = this->size;
        for (int h = 0; h < n; h++) {
            const Hit hit = hits[h];
            const uint8_t* codes = entry_codes + starts[node.rows[hit.i]] + (hit.word >> A_WORD);
            uint64_t left = hit.held;
            do {
                const uint64_t lower = (left & -left) - 1;
                const int s = slot_of[hit.w * A_WORD + __builtin_popcountll(lower)];
                const uint8_t code = codes[__builtin_popcountll(hit.word & lower)];
                seen[s][code >> 6] |= uint64_t(1) << (code & 63);
                if (one) P::put(cells[s] + code * size, y[hit.i], node.weights[hit.i]);
                else targets.add(cells[s], [&](ptrdiff_t) { return code; }, hit.i, hit.i + 1, node.planes, node.weights);
            } while (left &= left - 1);
        }
        return 0;
    }

    // Gives the common code of a feature what its other codes leave of the node.
    void complete(uint8_t common, cell_t* cells, uint64_t* words, const cell_t* total) {
        const int size = this->size;
        cell_t* sum = this->sum.data();
        std::copy_n(total, size, sum);
        for (int w = 0; w < N_WORDS; w++)
            for (uint64_t left = words[w]; left; left &= left - 1) {
                const cell_t* cell = cells + (ptrdiff_t)(64 * w + __builtin_ctzll(left)) * size;
                for (int c = 0; c < size; c++) sum[c] -= cell[c];
            }
        if (!targets.any(sum)) return;
        for (int c = 0; c < size; c++) cells[(ptrdiff_t)common * size + c] += sum[c];
        words[common >> 6] |= uint64_t(1) << (common & 63);
    }

    void clear(int s, const int* order, int found) {
        for (int j = 0; j < found; j++) std::fill_n(slot(s) + (ptrdiff_t)order[j] * size, size, cell_t(0));
    }

    // The codes that have rows.
    const uint64_t* codes(int s) { return table.words ? seen[s] : codes_of(slot(s)); }
    const uint64_t* codes_of(const cell_t* cells) {
        alignas(8) uint8_t bytes[N_CODES];
        for (int code = 0; code < N_CODES; code++) bytes[code] = targets.any(cells + (ptrdiff_t)code * size);
        pack_bits(bytes, found);
        return found;
    }
};
}  // namespace skml_trees
