// The best of a row of scores: one pass that keeps a heap, and looks closer only at stretches that hold a better one.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace skml_topk {

static const ptrdiff_t STRETCH = 64;

template <class T> struct Entry {
    T score;
    int32_t item;
};

// Whether a comes before b: of equal scores the lower item does. With it the heap's front is the worst entry.
template <class T> static inline bool before(const Entry<T>& a, const Entry<T>& b) {
    return a.score > b.score || (a.score == b.score && a.item < b.item);
}

template <class T> static inline bool any_above(const T* scores, ptrdiff_t n, T least) {
    int found = 0;
    for (ptrdiff_t i = 0; i < n; i++) found |= scores[i] > least;
    return found;
}

static inline bool is_in(const int32_t* sorted, ptrdiff_t n, int32_t item) {
    return std::binary_search(sorted, sorted + n, item);
}

// Writes the n best of N scores but those of the (sorted) hidden ones; NaN come last, -1 and NaN where none is left.
template <class T>
static inline void best_of_row(const T* scores, ptrdiff_t N, const int32_t* hidden, ptrdiff_t n_hidden, ptrdiff_t n,
                               Entry<T>* heap, int32_t* items, T* best) {
    const T nan = std::numeric_limits<T>::quiet_NaN();
    ptrdiff_t held = 0;
    for (ptrdiff_t start = 0; start < N && n > 0; start += STRETCH) {
        const ptrdiff_t end = std::min(N, start + STRETCH);
        if (held == n && !any_above(scores + start, end - start, heap[0].score)) continue;
        for (ptrdiff_t i = start; i < end; i++) {
            const Entry<T> entry = {scores[i], (int32_t)i};
            if (entry.score != entry.score || (held == n && !(entry.score > heap[0].score))) continue;
            if (is_in(hidden, n_hidden, entry.item)) continue;
            if (held == n) std::pop_heap(heap, heap + held--, before<T>);
            heap[held++] = entry;
            std::push_heap(heap, heap + held, before<T>);
        }
    }
    std::sort_heap(heap, heap + held, before<T>);
    for (ptrdiff_t k = 0; k < held; k++) items[k] = heap[k].item, best[k] = heap[k].score;
    for (ptrdiff_t i = 0; i < N && held < n; i++)
        if (scores[i] != scores[i] && !is_in(hidden, n_hidden, (int32_t)i)) items[held] = (int32_t)i, best[held++] = nan;
    for (; held < n; held++) items[held] = -1, best[held] = nan;
}

}  // namespace skml_topk
