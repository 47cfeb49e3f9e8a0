// A 64-bit hash of a row's content: a sum over its entries, so that absent zeros need no visit.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace skml_rows {

static inline uint64_t mixed(uint64_t z) {
    z ^= z >> 32; z *= 0xd6e8feb86659fd93ULL;
    z ^= z >> 32; z *= 0xd6e8feb86659fd93ULL;
    return z ^ (z >> 32);
}

// Zero of either sign adds nothing, so that a sparse row and its dense twin have the same hash; NaN is one value.
template <class F, class B> static inline uint64_t entry(F x, uint64_t column) {
    if (x == 0) return 0;
    B bits = ~(B)0;
    if (x == x) std::memcpy(&bits, &x, sizeof(B));
    return mixed((uint64_t)bits + (column + 1) * 0x9e3779b97f4a7c15ULL);
}

template <class T> static inline uint64_t entry_of(T x, uint64_t column, bool coarse) {
    if (coarse || sizeof(T) == 4) return entry<float, uint32_t>((float)x, column);
    return entry<double, uint64_t>((double)x, column);
}

template <class T> static inline uint64_t dense(const T* x, ptrdiff_t n_columns, bool coarse) {
    uint64_t sum = 0;
    for (ptrdiff_t j = 0; j < n_columns; j++) sum += entry_of<T>(x[j], (uint64_t)j, coarse);
    return mixed(sum);
}

template <class T>
static inline uint64_t sparse(const T* data, const int32_t* indices, ptrdiff_t begin, ptrdiff_t end, bool coarse) {
    uint64_t sum = 0;
    for (ptrdiff_t q = begin; q < end; q++) sum += entry_of<T>(data[q], (uint64_t)indices[q], coarse);
    return mixed(sum);
}
}  // namespace skml_rows
