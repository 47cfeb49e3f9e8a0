// Byte-level BPE: of the pairs of neighbours the one that was learned first is merged, the leftmost of equals, until
// none is left that was learned.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <new>
#include <queue>
#include <utility>
#include <vector>

#include "bpe_pairs.hpp"

namespace skml_bpe {

constexpr int64_t SHORT = 32;   // bytes of a piece whose pairs are looked through for each merge
constexpr int64_t KEPT = 16;    // bytes of a piece whose tokens are remembered
constexpr int64_t TOKENS = 6;   // and how many these may be
constexpr int64_t MEMORY = 1 << 13;

struct Model {
    const int32_t* byte_ids;
    Pairs pairs;
};

// The tokens of pieces met before; a piece has one place, and the last to come keeps it.
struct Memory {
    struct Entry {
        uint64_t low, high;
        int32_t tokens[TOKENS];
        int32_t length, n_tokens;
    };
    std::vector<Entry> entries;

    explicit Memory(int64_t n) : entries(n, Entry{0, 0, {}, 0, 0}) {}

    Entry* place(const uint8_t* piece, int64_t n, uint64_t& low, uint64_t& high) {
        if (entries.empty() || n > KEPT) return nullptr;
        low = high = 0;
        std::memcpy(&low, piece, std::min<int64_t>(n, 8));
        if (n > 8) std::memcpy(&high, piece + 8, n - 8);
        const uint64_t spread = Pairs::spread(low ^ (high * 0xD6E8FEB86659FD93ULL) ^ static_cast<uint64_t>(n) << 56);
        return &entries[spread & (entries.size() - 1)];
    }
};

static inline int64_t merge_short(const Model& model, const uint8_t* piece, int64_t n, int32_t* ids) {
    uint64_t merges[SHORT];
    for (int64_t i = 0; i < n; ++i) ids[i] = model.byte_ids[piece[i]];
    for (int64_t i = 0; i + 1 < n; ++i) merges[i] = model.pairs.merge(ids[i], ids[i + 1]);
    while (n > 1) {
        const int64_t i = std::min_element(merges, merges + n - 1) - merges;
        if (merges[i] == NONE) break;
        ids[i] = static_cast<int32_t>(merges[i]);
        --n;
        for (int64_t k = i + 1; k < n; ++k) ids[k] = ids[k + 1];
        for (int64_t k = i + 1; k + 1 < n; ++k) merges[k] = merges[k + 1];
        if (i + 1 < n) merges[i] = model.pairs.merge(ids[i], ids[i + 1]);
        if (i > 0) merges[i - 1] = model.pairs.merge(ids[i - 1], ids[i]);
    }
    return n;
}

// The same for long pieces: the candidates wait in a heap, and those whose pair has changed are dropped.
struct Chain {
    using Candidate = std::pair<uint64_t, int64_t>;  // the merge and its place
    const Model& model;
    std::vector<int32_t> ids;
    std::vector<int64_t> before, after;
    std::priority_queue<Candidate, std::vector<Candidate>, std::greater<Candidate>> waiting;

    Chain(const Model& model, const uint8_t* piece, int64_t n) : model(model), ids(n), before(n), after(n) {
        for (int64_t i = 0; i < n; ++i) ids[i] = model.byte_ids[piece[i]], before[i] = i - 1, after[i] = i + 1;
        for (int64_t i = 0; i + 1 < n; ++i) consider(i);
    }

    uint64_t merge_at(int64_t i) const {
        const bool has_next = ids[i] >= 0 && after[i] < static_cast<int64_t>(ids.size());
        return has_next ? model.pairs.merge(ids[i], ids[after[i]]) : NONE;
    }

    void consider(int64_t i) {
        const uint64_t merge = merge_at(i);
        if (merge != NONE) waiting.push({merge, i});
    }

    void join(int64_t i, int32_t token) {
        const int64_t gone = after[i], n = static_cast<int64_t>(ids.size());
        ids[i] = token;
        ids[gone] = -1;
        after[i] = after[gone];
        if (after[i] < n) before[after[i]] = i;
        consider(i);
        if (before[i] >= 0) consider(before[i]);
    }

    int64_t write(int32_t* out) {
        while (!waiting.empty()) {
            const Candidate best = waiting.top();
            waiting.pop();
            if (merge_at(best.second) == best.first) join(best.second, static_cast<int32_t>(best.first));
        }
        int64_t n = 0;
        for (int64_t i = 0; i < static_cast<int64_t>(ids.size()); i = after[i]) out[n++] = ids[i];
        return n;
    }
};

static inline int64_t encode_piece(const Model& model, Memory& memory, const uint8_t* piece, int64_t n, int32_t* out) {
    if (n > SHORT) return Chain(model, piece, n).write(out);
    if (n == 1) return out[0] = model.byte_ids[piece[0]], 1;
    uint64_t low, high;
    Memory::Entry* entry = memory.place(piece, n, low, high);
    if (entry && entry->length == n && entry->low == low && entry->high == high) {
        std::copy(entry->tokens, entry->tokens + entry->n_tokens, out);
        return entry->n_tokens;
    }
    const int64_t n_tokens = merge_short(model, piece, n, out);
    if (entry && n_tokens <= TOKENS) {
        entry->low = low, entry->high = high, entry->length = static_cast<int32_t>(n);
        entry->n_tokens = static_cast<int32_t>(n_tokens);
        std::copy(out, out + n_tokens, entry->tokens);
    }
    return n_tokens;
}

// Write the tokens of the documents first..last, each where its bytes are, and how many there are.
// 0, or 1 where memory is out.
static inline int encode(const Model& model, const uint8_t* text, const uint8_t* begins, const int64_t* bounds,
                         int64_t first, int64_t last, int32_t* ids, int64_t* lengths) {
    try {
        Memory memory(bounds[last] - bounds[first] > MEMORY ? MEMORY : 0);
        for (int64_t d = first; d < last; ++d) {
            int32_t* out = ids + bounds[d];
            for (int64_t i = bounds[d], stop; i < bounds[d + 1]; i = stop) {
                const void* next = i + 1 < bounds[d + 1] ? std::memchr(begins + i + 1, 1, bounds[d + 1] - i - 1) : nullptr;
                stop = next ? static_cast<const uint8_t*>(next) - begins : bounds[d + 1];
                out += encode_piece(model, memory, text + i, stop - i, out);
            }
            lengths[d] = out - (ids + bounds[d]);
        }
    } catch (const std::bad_alloc&) {
        return 1;
    }
    return 0;
}

}  // namespace skml_bpe
