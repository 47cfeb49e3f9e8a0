// The codes of values: how many edges lie below a number, or the code of a category.
#pragma once
#include <cstddef>
#include <cstdint>

namespace skml_bins {

constexpr uint8_t MISSING = 255;

struct Bins {
    const double* edges;  // ascending per feature; a number's last is infinity, a category's are its values
    const int64_t* starts;
    const uint8_t* category_codes;  // per edge
    const uint8_t* categorical;
    const uint8_t* unknown;  // per feature: the code of categories that aren't among the edges
};

static inline ptrdiff_t below(const double* edges, ptrdiff_t n, double x) {
    const double* low = edges;
    while (n > 1) {
        const ptrdiff_t half = n / 2;
        low += (low[half - 1] < x) * half;
        n -= half;
    }
    return low - edges + (n == 1 && *low < x);
}

static inline uint8_t code_of(const Bins& bins, ptrdiff_t f, double x) {
    if (x != x) return MISSING;
    const double* edges = bins.edges + bins.starts[f];
    const ptrdiff_t n = bins.starts[f + 1] - bins.starts[f];
    if (!bins.categorical[f]) return (uint8_t)below(edges, n - 1, x);
    const ptrdiff_t at = below(edges, n, x);
    return at < n && edges[at] == x ? bins.category_codes[bins.starts[f] + at] : bins.unknown[f];
}
}  // namespace skml_bins
