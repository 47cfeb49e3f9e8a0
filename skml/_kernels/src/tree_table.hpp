// Binned rows: one byte per value, dense in any strides, packed row by row, or as sparse columns; the code 255 is a
// missing value.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace skml_trees {

constexpr int MISSING = 255, N_CODES = 256;
constexpr int A_WORD = 48;            // features of a packed row that share a word
constexpr ptrdiff_t STRETCH = 64;     // rows looked at together
constexpr ptrdiff_t NEIGHBOURS = 16;  // with fewer than one row in so many, rows hardly share a feature's cache lines

struct Table {
    const uint8_t* codes = nullptr;  // dense: codes[row * row_stride + feature * feature_stride]
    ptrdiff_t row_stride = 0, feature_stride = 0;
    const uint8_t* by_row = nullptr;  // or null: the same with each row's together, for nodes of few rows
    const int64_t* starts = nullptr;  // sparse: the entries of column f are starts[f] .. starts[f + 1]
    const int32_t* entry_rows = nullptr;
    const uint8_t* entry_codes = nullptr;
    const uint8_t* zero_codes = nullptr;  // the code of the values that aren't stored
    // Packed: the entries of row i are entry_codes[starts[i]] and on; the words of a row have a bit for each feature that
    // has one there, and in their high ends the number of entries of the words before.
    const uint64_t* words = nullptr;
    ptrdiff_t n_words = 0;
    const uint8_t* categorical = nullptr;
    const int8_t* monotonic = nullptr;  // or null
    const double* edges = nullptr;      // value <= edges[edge_starts[f] + code] is what "code or less" means
    const int64_t* edge_starts = nullptr;
    ptrdiff_t n = 0, p = 0;
};

// Where packed rows hold a feature.
struct Place {
    ptrdiff_t word;
    int bit;
    uint64_t before;  // the bits of the features before it
    explicit Place(int32_t f = 0) : word(f / A_WORD), bit(f % A_WORD), before((uint64_t(1) << f % A_WORD) - 1) {}
};

static inline uint8_t entry(const Table& table, int32_t row, const Place& place) {
    const uint64_t word = table.words[row * table.n_words + place.word];
    return table.entry_codes[table.starts[row] + (int64_t)(word >> A_WORD) + __builtin_popcountll(word & place.before)];
}

static inline void fetch_packed(const Table& table, int32_t f, const int32_t* rows, ptrdiff_t m, uint8_t* out) {
    const Place place(f);
    const uint64_t* words = table.words + place.word;
    int32_t held[STRETCH];
    std::fill(out, out + m, table.zero_codes[f]);
    for (ptrdiff_t begin = 0; begin < m; begin += STRETCH) {
        const ptrdiff_t end = std::min(m, begin + STRETCH);
        int n = 0;
        for (ptrdiff_t i = begin; i < end; i++) {
            held[n] = (int32_t)i;
            n += words[rows[i] * table.n_words] >> place.bit & 1;
        }
        for (int k = 0; k < n; k++) out[held[k]] = entry(table, rows[held[k]], place);
    }
}

// Copies the codes of one feature for some rows, which ascend.
static inline void fetch(const Table& table, int32_t f, const int32_t* rows, ptrdiff_t m, uint8_t* out) {
    if (table.words) return fetch_packed(table, f, rows, m, out);
    if (!table.starts) {
        const bool few = table.by_row && NEIGHBOURS * m < table.n;
        const uint8_t* column = few ? table.by_row + f : table.codes + f * table.feature_stride;
        const ptrdiff_t stride = few ? table.p : table.row_stride;
        for (ptrdiff_t i = 0; i < m; i++) out[i] = column[rows[i] * stride];
        return;
    }
    std::fill(out, out + m, table.zero_codes[f]);
    const int32_t* entries = table.entry_rows;
    int64_t q = table.starts[f], end = table.starts[f + 1];
    if (end - q > 16 * m) {  // few rows: look each up
        for (ptrdiff_t i = 0; i < m; i++) {
            q = std::lower_bound(entries + q, entries + end, rows[i]) - entries;
            if (q < end && entries[q] == rows[i]) out[i] = table.entry_codes[q];
        }
        return;
    }
    for (ptrdiff_t i = 0; q < end && i < m; q++) {  // few entries: look for each among the rows
        if (rows[i] < entries[q]) i = m > 16 * (end - q) ? std::lower_bound(rows + i, rows + m, entries[q]) - rows : i;
        while (i < m && rows[i] < entries[q]) i++;
        if (i < m && rows[i] == entries[q]) out[i] = table.entry_codes[q];
    }
}

// The code whose edge is nearest to the middle of the gap between two neighbouring codes of a node; of two that are
// equally near, but for what rounding the data to float32 does to them, the lower.
static inline uint8_t middle(const Table& table, int32_t f, int low, int high) {
    if (high == low + 1) return (uint8_t)low;
    const double* edges = table.edges + table.edge_starts[f];
    const double first = edges[low], last = edges[high - 1], centre = first / 2 + last / 2;
    const double slack = 1e-6 * (std::fabs(first) + std::fabs(last));
    int at = (int)(std::lower_bound(edges + low, edges + high - 1, centre) - edges);
    while (at > low && centre - edges[at - 1] <= edges[at] - centre + slack) at--;
    return (uint8_t)at;
}
}  // namespace skml_trees
