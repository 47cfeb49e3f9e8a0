// Binned rows: one byte per value, dense in any strides, packed row by row, or as sparse columns; the code 255 is a
// missing value.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace skml_trees {

constexpr int MISSING = 255, N_CODES = 256;
constexpr int A_WORD = 48;            // features of a packed row that share a word
constexpr ptrdiff_t AHEAD = 16;       // how far ahead rows are asked for
constexpr ptrdiff_t STRETCH = 128;     // rows looked at together
constexpr ptrdiff_t FEW_BY_COLUMN = 48;  // of packed tables, nodes of more than one row in so many look at columns
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
    // The same by column: a bit for each row that has an entry, and the codes of these from column_starts[f] on.
    const uint64_t* column_words = nullptr;
    const int64_t* column_starts = nullptr;
    const uint8_t* column_codes = nullptr;
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

// The rows of a node as a set, and how many of them come before each word.
struct Members {
    std::vector<uint64_t> words;
    std::vector<int32_t> before;
    const int32_t* rows = nullptr;
    ptrdiff_t m = 0;

    void set(const int32_t* rows, ptrdiff_t m, ptrdiff_t n) {
        if (this->rows == rows && this->m == m) return;  // only one node has these places
        this->rows = rows;
        this->m = m;
        words.assign((n + 63) / 64, 0);
        before.resize(words.size());
        for (ptrdiff_t i = 0; i < m; i++) words[rows[i] >> 6] |= uint64_t(1) << (rows[i] & 63);
        int32_t reached = 0;
        for (size_t w = 0; w < words.size(); w++) {
            before[w] = reached;
            reached += __builtin_popcountll(words[w]);
        }
    }
};

// Whether a node of so many rows is better served by columns.
static inline bool by_column(const Table& table, ptrdiff_t m) { return FEW_BY_COLUMN * m > table.n; }

// Calls for each of the members that has an entry in a column, with its place among the members and its code.
template <class F>
static inline void walk_column(const Table& table, int32_t f, const Members& members, F call) {
    const ptrdiff_t n_words = (table.n + 63) / 64;
    const uint64_t *words = table.column_words + f * n_words, *sets = members.words.data();
    const int32_t* before = members.before.data();
    const uint8_t* codes = table.column_codes + table.column_starts[f];
    for (ptrdiff_t w = 0; w < n_words; w++) {
        const uint64_t word = words[w], own = sets[w];
        for (uint64_t left = word & own; left; left &= left - 1) {
            const uint64_t lower = (left & -left) - 1;
            call(before[w] + __builtin_popcountll(own & lower), codes[__builtin_popcountll(word & lower)]);
        }
        codes += __builtin_popcountll(word);
    }
}

// Whether the words of packed rows count their entries rightly, and end within those that there are.
static inline bool fits(const Table& table, ptrdiff_t n_entries) {
    const uint64_t last = (uint64_t(1) << (table.p - 1) % A_WORD << 1) - 1;  // the bits of the features of the last word
    bool fit = table.starts[0] == 0 && table.starts[table.n] == n_entries;
    for (ptrdiff_t row = 0; row < table.n; row++) {
        const uint64_t* words = table.words + row * table.n_words;
        uint64_t n = 0;
        for (ptrdiff_t w = 0; w < table.n_words; w++) {
            fit &= words[w] >> A_WORD == n;
            n += __builtin_popcountll(words[w] << (64 - A_WORD));
        }
        fit &= (words[table.n_words - 1] << (64 - A_WORD) >> (64 - A_WORD)) <= last;
        fit &= table.starts[row + 1] - table.starts[row] == (int64_t)n;
    }
    const ptrdiff_t length = (table.n + 63) / 64;
    const uint64_t last_rows = ~uint64_t(0) >> (63 - (table.n - 1) % 64);
    fit &= table.column_starts[0] == 0 && table.column_starts[table.p] == n_entries;
    for (ptrdiff_t f = 0; f < table.p; f++) {
        const uint64_t* words = table.column_words + f * length;
        int64_t n = 0;
        for (ptrdiff_t w = 0; w < length; w++) n += __builtin_popcountll(words[w]);
        fit &= words[length - 1] <= last_rows && table.column_starts[f + 1] - table.column_starts[f] == n;
    }
    return fit;
}

static inline void fetch_packed(const Table& table, Members& members, int32_t f, const int32_t* rows, ptrdiff_t m,
                                uint8_t* out) {
    const Place place(f);
    const uint64_t* words = table.words + place.word;
    int32_t held[STRETCH];
    std::fill(out, out + m, table.zero_codes[f]);
    if (by_column(table, m)) {
        members.set(rows, m, table.n);
        return walk_column(table, f, members, [&](ptrdiff_t i, uint8_t code) { out[i] = code; });
    }
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
static inline void fetch(const Table& table, Members& members, int32_t f, const int32_t* rows, ptrdiff_t m,
                         uint8_t* out) {
    if (table.words) return fetch_packed(table, members, f, rows, m, out);
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
