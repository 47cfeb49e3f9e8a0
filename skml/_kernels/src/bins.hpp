// The codes of values: how many edges lie below a number, or the code of a category.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace skml_bins {

constexpr uint8_t MISSING = 255;

struct Bins {
    const double* edges;  // ascending per feature; a number's last is infinity, a category's are its values
    const int64_t* starts;
    const uint8_t* category_codes;  // per edge
    const uint8_t* categorical;
    const uint8_t* unknown;  // per feature: the code of categories that aren't among the edges
};

// How many of n edges lie below x; without a branch, for none could be foreseen.
static inline ptrdiff_t below(const double* edges, ptrdiff_t n, double x) {
    ptrdiff_t low = 0;
    while (n > 1) {
        const ptrdiff_t half = n >> 1;
        low += half & -(ptrdiff_t)(edges[low + half - 1] < x);
        n -= half;
    }
    return low + (n == 1 && edges[low] < x);
}

static inline uint8_t code_of(const Bins& bins, ptrdiff_t f, double x) {
    if (x != x) return MISSING;
    const double* edges = bins.edges + bins.starts[f];
    const ptrdiff_t n = bins.starts[f + 1] - bins.starts[f];
    if (!bins.categorical[f]) return (uint8_t)below(edges, n - 1, x);
    const ptrdiff_t at = below(edges, n, x);
    return at < n && edges[at] == x ? bins.category_codes[bins.starts[f] + at] : bins.unknown[f];
}

constexpr int ROWS = 64, LANES = 8;

// Codes a block of rows feature by feature, eight rows side by side.
template <class T>
static void encode_at(const Bins& bins, ptrdiff_t p, const T* X, ptrdiff_t row_bytes, ptrdiff_t column_bytes,
                      uint8_t* codes, ptrdiff_t row_stride, ptrdiff_t column_stride, ptrdiff_t n, ptrdiff_t b) noexcept {
    const ptrdiff_t begin = b * ROWS, end = begin + ROWS < n ? begin + ROWS : n;
    for (ptrdiff_t f = 0; f < p; f++) {
        const char* column = reinterpret_cast<const char*>(X) + f * column_bytes;
        uint8_t* out = codes + f * column_stride;
        const double* edges = bins.edges + bins.starts[f];
        ptrdiff_t i = begin;
        for (; !bins.categorical[f] && i + LANES <= end; i += LANES) {
            double x[LANES];
            int64_t low[LANES] = {};
            for (int l = 0; l < LANES; l++) x[l] = (double)*(const T*)(column + (i + l) * row_bytes);
            int64_t m = bins.starts[f + 1] - bins.starts[f] - 1;
            bool first = true;  // as in columns of little but zeros
            for (int l = 0; l < LANES; l++) first &= x[l] <= edges[0];
            if (first) m = 0;
            for (; m > 1; m -= m >> 1) {
                const int64_t half = m >> 1;
                for (int l = 0; l < LANES; l++) low[l] += half & -(int64_t)(edges[low[l] + half - 1] < x[l]);
            }
            for (int l = 0; l < LANES; l++) {
                const int64_t code = low[l] + (m == 1 && edges[low[l]] < x[l]);
                out[(i + l) * row_stride] = x[l] != x[l] ? MISSING : (uint8_t)code;
            }
        }
        for (; i < end; i++) out[i * row_stride] = code_of(bins, f, (double)*(const T*)(column + i * row_bytes));
    }
}

// Packed rows: the codes that are not their feature's common one, and of each 48 features a word with the bits of those
// that have such a code; above them, how many there are in the words before.
constexpr int A_WORD = 48;

static inline int64_t pack_row(const uint8_t* codes, const uint8_t* common, ptrdiff_t p, uint64_t* words,
                               uint8_t* entries) noexcept {
    int64_t n = 0;
    for (ptrdiff_t first = 0; first < p; first += A_WORD) {
        const int here = (int)(p - first < A_WORD ? p - first : A_WORD);
        uint64_t word = (uint64_t)n << A_WORD;
        for (int k = 0; k < here; k++) word |= (uint64_t)(codes[first + k] != common[first + k]) << k;
        for (uint64_t left = word << (64 - A_WORD) >> (64 - A_WORD); left; left &= left - 1)
            entries[n++] = codes[first + __builtin_ctzll(left)];
        words[first / A_WORD] = word;
    }
    return n;
}

// Calls with each feature that has an entry in a packed row.
template <class F>
static inline void each_entry(const uint64_t* words, ptrdiff_t p, F call) noexcept {
    for (ptrdiff_t first = 0; first < p; first += A_WORD) {
        const int here = (int)(p - first < A_WORD ? p - first : A_WORD);
        for (uint64_t left = words[first / A_WORD] & ((uint64_t(1) << here) - 1); left; left &= left - 1)
            call(first + __builtin_ctzll(left));
    }
}

static inline int64_t count_row(const uint64_t* words, ptrdiff_t p) noexcept {
    int64_t n = 0;
    for (ptrdiff_t first = 0; first < p; first += A_WORD) {
        const int here = (int)(p - first < A_WORD ? p - first : A_WORD);
        n += __builtin_popcountll(words[first / A_WORD] & ((uint64_t(1) << here) - 1));
    }
    return n;
}

static inline void count_columns(const uint64_t* words, ptrdiff_t p, int64_t* counts) noexcept {
    each_entry(words, p, [&](ptrdiff_t f) { counts[f]++; });
}

// Appends the entries of a row to their columns, which reach up to `at`.
static inline void turn_row(const uint64_t* words, const uint8_t* entries, ptrdiff_t p, ptrdiff_t row,
                            uint64_t* column_words, ptrdiff_t n_words, int64_t* at, uint8_t* codes) noexcept {
    each_entry(words, p, [&](ptrdiff_t f) {
        column_words[f * n_words + (row >> 6)] |= uint64_t(1) << (row & 63);
        codes[at[f]++] = *entries++;
    });
}

static inline void unpack_row(const uint64_t* words, const uint8_t* entries, const uint8_t* common, ptrdiff_t p,
                              uint8_t* codes) noexcept {
    std::memcpy(codes, common, p);
    each_entry(words, p, [&](ptrdiff_t f) { codes[f] = *entries++; });
}
}  // namespace skml_bins
