// Byte-pair encoding is learned: the most frequent pair of neighbours becomes a token, again and again.
//
// All symbols of all pieces stand in one linked list. A pair knows its count and its places; since a merge makes pairs
// with the new token alone, the places of a pair are all found during one merge, from left to right, and are only ever
// read once: the whole training takes O(n log n).
#pragma once
#include <algorithm>
#include <cstdint>
#include <new>
#include <queue>
#include <string>
#include <unordered_set>
#include <vector>

#include "bpe_pairs.hpp"

namespace skml_bpe {

struct Pieces {
    const uint8_t* text;
    const int64_t* bounds;
    const int64_t* counts;
    int64_t n;
};

struct Pair {
    int32_t left, right;
    int64_t count;
    std::vector<int32_t> places;
};

struct Candidate {
    int64_t count;
    uint64_t key;
    int64_t pair;
    // The larger count first, then the smaller tokens.
    bool operator<(const Candidate& other) const {
        return count != other.count ? count < other.count : key > other.key;
    }
};

class Trainer {
  public:
    Trainer(const Pieces& pieces, const int32_t* byte_ids, int32_t first_id)
        : n(pieces.bounds[pieces.n]), first_id(first_id), symbols(n), before(n), after(n), counts(n), slots(1 << 10) {
        std::copy(byte_ids, byte_ids + 256, origin);
        std::fill(slots.begin(), slots.end(), Slot{NONE, NONE});
        for (int64_t p = 0; p < pieces.n; ++p)
            for (int64_t i = pieces.bounds[p]; i < pieces.bounds[p + 1]; ++i) place(pieces, p, i);
    }

    // Count the pairs of bytes. -1 if the thread is to stop.
    int read(int (*breathe)()) {
        for (int64_t i = 0; i < n; ++i) {
            if (after[i] >= 0) count(symbols[i], symbols[after[i]], static_cast<int32_t>(i), counts[i]);
            if (i % (16 * BREATH) == 0 && breathe() != 0) return -1;
        }
        offer();
        return 0;
    }

    // Write merges until there are `most`, or no pair occurs `least` times; return how many there are.
    int64_t run(int64_t most, int64_t least, int32_t* merges, int (*breathe)()) {
        int64_t n_merges = 0, since = 0;
        while (n_merges < most && !waiting.empty()) {
            const Candidate best = waiting.top();
            Pair& pair = pairs[best.pair];
            waiting.pop();
            if (pair.count < best.count) {
                if (pair.count >= least) waiting.push({pair.count, best.key, best.pair});
                continue;
            }
            if (best.count < least) break;
            if (!is_new(pair.left, pair.right)) continue;
            merges[2 * n_merges] = pair.left, merges[2 * n_merges + 1] = pair.right;
            since += static_cast<int64_t>(pair.places.size()) + 1;
            merge(best.pair, static_cast<int32_t>(first_id + n_merges++));
            if (since > BREATH) {
                since = 0;
                if (breathe() != 0) return -1;
            }
        }
        return n_merges;
    }

  private:
    static constexpr int64_t BREATH = 200000;
    int64_t n;
    int32_t first_id;
    int32_t origin[256];
    std::vector<int32_t> symbols, before, after;  // before and after: -1 at the ends of a piece
    std::vector<int64_t> counts;                  // of the piece
    std::vector<Slot> slots;
    std::vector<Pair> pairs;
    std::vector<std::string> tokens;  // of each merge
    std::unordered_set<std::string> known;
    std::priority_queue<Candidate> waiting;
    int64_t offered = 0;  // the pairs before this one have been offered

    void place(const Pieces& pieces, int64_t p, int64_t i) {
        symbols[i] = origin[pieces.text[i]];
        counts[i] = pieces.counts[p];
        before[i] = static_cast<int32_t>(i == pieces.bounds[p] ? -1 : i - 1);
        after[i] = static_cast<int32_t>(i + 1 == pieces.bounds[p + 1] ? -1 : i + 1);
    }

    std::string spelled(int32_t token) const {
        if (token >= first_id) return tokens[token - first_id];
        for (int b = 0; b < 256; ++b)
            if (origin[b] == token) return std::string(1, static_cast<char>(b));
        return std::string();
    }

    // A token is made in one way: a pair that spells one that is there is passed over.
    bool is_new(int32_t left, int32_t right) {
        std::string token = spelled(left) + spelled(right);
        if (!known.insert(token).second) return false;
        tokens.push_back(std::move(token));
        return true;
    }

    int64_t find(uint64_t key) const {
        return Pairs{slots.data(), static_cast<int64_t>(slots.size()) - 1}.find(key);
    }

    void grow() {
        std::vector<Slot> old(2 * slots.size(), Slot{NONE, NONE});
        old.swap(slots);
        for (const Slot& slot : old)
            if (slot.key != NONE) slots[find(slot.key)] = slot;
    }

    void count(int32_t left, int32_t right, int32_t i, int64_t weight) {
        const uint64_t key = key_of(left, right);
        int64_t at = find(key);
        if (slots[at].key == NONE) {
            slots[at] = {key, pairs.size()};
            pairs.push_back({left, right, 0, {}});
            if (2 * pairs.size() > slots.size()) grow(), at = find(key);
        }
        Pair& pair = pairs[slots[at].value];
        pair.count += weight;
        pair.places.push_back(i);
    }

    void uncount(int32_t left, int32_t right, int64_t weight) {
        const Slot& slot = slots[find(key_of(left, right))];
        if (slot.key != NONE) pairs[slot.value].count -= weight;
    }

    void offer() {
        for (; offered < static_cast<int64_t>(pairs.size()); ++offered) {
            const Pair& pair = pairs[offered];
            if (pair.count > 0) waiting.push({pair.count, key_of(pair.left, pair.right), offered});
        }
    }

    void merge(int64_t which, int32_t token) {
        const int32_t left = pairs[which].left, right = pairs[which].right;
        std::vector<int32_t> places;
        places.swap(pairs[which].places);  // and their memory is given back
        for (const int32_t i : places) {
            const int32_t j = after[i];
            if (symbols[i] != left || j < 0 || symbols[j] != right) continue;
            join(i, j, token);
        }
        offer();
    }

    void join(int32_t i, int32_t j, int32_t token) {
        const int32_t left = symbols[i], right = symbols[j], previous = before[i], next = after[j];
        const int64_t weight = counts[i];
        symbols[i] = token;
        symbols[j] = -1;
        after[i] = next;
        after[j] = -1;
        if (previous >= 0) {
            uncount(symbols[previous], left, weight);
            count(symbols[previous], token, previous, weight);
        }
        if (next >= 0) {
            before[next] = i;
            uncount(right, symbols[next], weight);
            count(token, symbols[next], i, weight);
        }
    }
};

// How many merges were written, -1 if the thread is to stop, -2 where memory is out.
static inline int64_t train(const Pieces& pieces, const int32_t* byte_ids, int32_t first_id, int64_t most,
                            int64_t least, int32_t* merges, int (*breathe)()) {
    try {
        Trainer trainer(pieces, byte_ids, first_id);
        return trainer.read(breathe) ? -1 : trainer.run(most, least, merges, breathe);
    } catch (const std::bad_alloc&) {
        return -2;
    }
}

}  // namespace skml_bpe
