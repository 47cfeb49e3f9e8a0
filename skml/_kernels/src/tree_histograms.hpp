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
    Place places[AT_ONCE];
    std::vector<cell_t> sum;

    Histograms(const P& targets, const Table& table)
        : targets(targets), table(table), size(targets.size()),
          n_slots((int)std::clamp<size_t>(ROOM / (sizeof(cell_t) * N_CODES * targets.size()), 1, AT_ONCE)),
          slots((size_t)N_CODES * targets.size() * n_slots), sum(targets.size()) {}

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

    // First lists where entries are, then adds them; what is left of the node has each feature's common code.
    void add_packed(const int32_t* features, cell_t* const* cells, int k, const Rows<P>& node) {
        uint16_t hits[STRETCH * AT_ONCE];
        for (int s = 0; s < k; s++) {
            places[s] = Place(features[s]);
            std::fill_n(seen[s], N_WORDS, 0);
        }
        for (ptrdiff_t begin = 0; begin < node.m; begin += STRETCH) {
            const ptrdiff_t end = std::min(node.m, begin + STRETCH);
            int n = 0;
            for (ptrdiff_t i = begin; i < end; i++) {
                const uint64_t* words = table.words + node.rows[i] * table.n_words;
                for (int s = 0; s < k; s++) {
                    hits[n] = (uint16_t)((i - begin) * AT_ONCE + s);
                    n += words[places[s].word] >> places[s].bit & 1;
                }
            }
            for (int h = 0; h < n; h++) {
                const ptrdiff_t i = begin + hits[h] / AT_ONCE;
                const int s = hits[h] % AT_ONCE;
                const uint8_t code = entry(table, node.rows[i], places[s]);
                seen[s][code >> 6] |= uint64_t(1) << (code & 63);
                targets.add(cells[s], [&](ptrdiff_t) { return code; }, i, i + 1, node.planes, node.weights);
            }
        }
        for (int s = 0; s < k; s++) complete(table.zero_codes[features[s]], cells[s], seen[s], node.total);
    }

    // Gives the common code of a feature what its other codes leave of the node.
    void complete(uint8_t common, cell_t* cells, uint64_t* words, const cell_t* total) {
        std::copy_n(total, size, sum.data());
        for (int w = 0; w < N_WORDS; w++)
            for (uint64_t left = words[w]; left; left &= left - 1) {
                const cell_t* cell = cells + (ptrdiff_t)(64 * w + __builtin_ctzll(left)) * size;
                for (int c = 0; c < size; c++) sum[c] -= cell[c];
            }
        if (!targets.any(sum.data())) return;
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
