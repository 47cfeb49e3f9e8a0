// Pairs of tokens in a hash table of the caller: open addressing, a power of two of slots, at most half of them taken.
#pragma once
#include <cstdint>

namespace skml_bpe {

constexpr uint64_t NONE = ~0ULL;

static inline uint64_t key_of(int32_t left, int32_t right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

struct Slot {
    uint64_t key, value;
};

struct Pairs {
    const Slot* slots;
    int64_t mask;

    static uint64_t spread(uint64_t key) {
        key *= 0x9E3779B97F4A7C15ULL;
        return key ^ key >> 32;
    }

    // The slot that holds the key, or the free one where it would be put.
    int64_t find(uint64_t key) const {
        int64_t at = static_cast<int64_t>(spread(key)) & mask;
        while (slots[at].key != key && slots[at].key != NONE) at = (at + 1) & mask;
        return at;
    }

    // rank << 32 | token of a pair that merges, else NONE (which the values of free slots are too).
    uint64_t merge(int32_t left, int32_t right) const { return slots[find(key_of(left, right))].value; }
};

}  // namespace skml_bpe
