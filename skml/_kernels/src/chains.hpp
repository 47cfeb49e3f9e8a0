// Layers that follow each other, run for one image after the other in one call: weights are packed long before, and threads
// part the rows of an image among them, and wait for each other only where one still computes what the next layer reads.
#pragma once
#include <thread>
#include <vector>

#include "conv_data.hpp"
#include "pooling.hpp"

namespace skml_chains {

using skml_convolution::Pass;
using std::int32_t;
using std::int64_t;
using std::ptrdiff_t;

enum Kind { CONVOLUTION, MAXIMUM, MINIMUM, MEAN };

// A row of the table of layers. Places of weights and bias (-1: none) are those among all numbers.
struct Layer {
    int64_t kind, H, W, C, OH, OW, F, KH, KW, sh, sw, top, left, dh, dw, groups, activation, weight, bias;
    ptrdiff_t n_in() const { return H * W * C; }
    ptrdiff_t n_out() const { return OH * OW * F; }
    bool learns() const { return kind == CONVOLUTION; }
    ptrdiff_t n_weights() const { return learns() ? KH * KW * (C / groups) * F : 0; }
    ptrdiff_t work() const { return OH * OW * F * KH * KW * (learns() ? C / groups : 1); }
};

constexpr ptrdiff_t line = 64;  // bytes
constexpr ptrdiff_t share = 65536;  // multiply-adds, or comparisons, that are worth another thread

static inline ptrdiff_t lines(ptrdiff_t bytes) { return (bytes + line - 1) / line * line; }
template <class T> static inline ptrdiff_t rounded(ptrdiff_t n) { return lines(n * sizeof(T)) / sizeof(T); }

template <class T> static inline Pass<T> pass_of(const Layer& l) {
    Pass<T> p;
    p.B = 1, p.groups = l.groups, p.depth = l.C / l.groups, p.columns = l.F / l.groups, p.out_h = l.OH, p.out_w = l.OW, p.KW = l.KW;
    p.tap_weights = l.C / l.groups * l.F, p.depth_step = l.F, p.column_step = 1, p.activation = static_cast<int>(l.activation);
    p.h = skml_convolution::forward_axis(l.H, l.OH, l.KH, l.sh, l.top, l.dh);
    p.w = skml_convolution::forward_axis(l.W, l.OW, l.KW, l.sw, l.left, l.dw);
    return p;
}

template <class T> static inline ptrdiff_t biases_size(const Pass<T>& p) { return rounded<T>(p.groups * p.group_columns()); }

// A layer, planned.
template <class T> struct Stage {
    Layer layer;
    Pass<T> pass;
    ptrdiff_t n, rows;  // tasks, and the rows of windows that each takes
};

template <class T> static inline Stage<T> stage_of(const Layer& l, int n_threads) {
    Stage<T> s{l, {}, 0, 0};
    const int useful = static_cast<int>(std::clamp<ptrdiff_t>(l.work() / share, 1, n_threads));
    if (l.learns()) {
        s.pass = pass_of<T>(l);
        skml_convolution::plan_data(s.pass, useful);
        s.n = s.pass.n_slabs;
    } else {
        s.rows = skml_convolution::parts(l.OH, useful);
        s.n = skml_convolution::parts(l.OH, s.rows);
    }
    return s;
}

// How many numbers the packed weights and biases of a layer take.
template <class T> static inline ptrdiff_t packed_size(const Stage<T>& s) {
    return s.layer.learns() ? biases_size(s.pass) + rounded<T>(skml_convolution::panels_size(s.pass)) : 0;
}

template <class T> static inline void pool_rows(const Layer& l, const T* x, ptrdiff_t first, ptrdiff_t end, T* y) {
    const skml_pooling::Geometry g{l.H, l.W, l.C, l.OH, l.OW, l.KH, l.KW, l.sh, l.sw, l.top, l.left};
    for (ptrdiff_t i = first; i < end; i++) {
        T* row = y + i * l.OW * l.F;
        if (l.kind == MEAN) skml_pooling::mean_row(g, x, i, row);
        else skml_pooling::row(g, x, i, row, nullptr, l.kind == MAXIMUM ? 1 : -1);
        if (l.activation) skml_fused::bias_rows<T>(row, nullptr, l.OW, l.F, static_cast<int>(l.activation));
    }
}

template <class T> static inline void task(const Stage<T>& s, const T* x, T* y, ptrdiff_t i, char* own) {
    if (!s.layer.learns()) return pool_rows(s.layer, x, i * s.rows, std::min<ptrdiff_t>(s.layer.OH, (i + 1) * s.rows), y);
    Pass<T> p = s.pass;
    p.source = x, p.out = y;
    int64_t next = i;
    skml_convolution::fill(p, own, &next, i + 1);
}

// Waits until n tasks are done; whoever does them may have lost the processor.
static inline void await(const int64_t* done, ptrdiff_t n) {
    for (int tries = 0; __atomic_load_n(done, __ATOMIC_ACQUIRE) < n; tries++) {
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
        if (tries > 64) std::this_thread::yield();
    }
}

// A chain, planned for a number of images and threads. Working space, from its start: counters, two images, the offsets of
// each layer, and what each thread has for itself.
template <class T> struct Chain {
    std::vector<Stage<T>> stages;
    ptrdiff_t B, n_packed = 0, image = 0, offsets = 0, own = 0;
    char* start = nullptr;

    Chain(const Layer* layers, ptrdiff_t L, ptrdiff_t n_images, int n_threads) : B(n_images) {
        stages.reserve(L);
        for (ptrdiff_t l = 0; l < L; l++) {
            stages.push_back(stage_of<T>(layers[l], n_threads));
            const Stage<T>& s = stages.back();
            n_packed += packed_size(s);
            image = std::max(image, lines(s.layer.n_out() * sizeof(T)));
            if (!s.layer.learns()) continue;
            offsets += lines(s.pass.taps() * sizeof(int32_t));
            own = std::max(own, lines(skml_convolution::data_space(s.pass)));
        }
    }

    ptrdiff_t counters() const { return 2 * line * B * static_cast<ptrdiff_t>(stages.size()); }
    ptrdiff_t space(int n_threads) const { return line + counters() + 2 * image + offsets + n_threads * own; }

    // Says where packed weights are.
    void point(T* packed) {
        for (Stage<T>& s : stages) {
            if (!s.layer.learns()) continue;
            s.pass.biases = packed, s.pass.panels = packed + biases_size(s.pass);
            packed += packed_size(s);
        }
    }

    void pack(const T* numbers) {
        for (Stage<T>& s : stages) {
            if (!s.layer.learns()) continue;
            s.pass.weights = numbers + s.layer.weight;
            s.pass.bias = s.layer.bias >= 0 ? numbers + s.layer.bias : nullptr;
            skml_convolution::pack_weights(s.pass);
        }
    }

    void begin(char* space) {
        start = reinterpret_cast<char*>(lines(reinterpret_cast<std::intptr_t>(space)));
        std::memset(start, 0, counters());
        char* to = start + counters() + 2 * image;
        for (Stage<T>& s : stages) {
            if (!s.layer.learns()) continue;
            s.pass.offsets = reinterpret_cast<int32_t*>(to);
            skml_convolution::write_offsets(s.pass);
            to += lines(s.pass.taps() * sizeof(int32_t));
        }
    }

    // What one thread does: of each layer the tasks that no other has begun. One that comes late is not waited for.
    void work(const T* x, T* y, int worker) const {
        const ptrdiff_t L = static_cast<ptrdiff_t>(stages.size());
        const ptrdiff_t n_in = stages[0].layer.n_in(), n_out = stages[L - 1].layer.n_out();
        char *counter = start, *images = start + counters(), *mine = images + 2 * image + offsets + worker * own;
        for (ptrdiff_t i = 0; i < B * L; i++, counter += 2 * line) {
            const ptrdiff_t b = i / L, l = i % L;
            const Stage<T>& s = stages[l];
            const T* from = l ? reinterpret_cast<const T*>(images + (l - 1) % 2 * image) : x + b * n_in;
            T* to = l < L - 1 ? reinterpret_cast<T*>(images + l % 2 * image) : y + b * n_out;
            int64_t *next = reinterpret_cast<int64_t*>(counter), *done = reinterpret_cast<int64_t*>(counter + line);
            for (ptrdiff_t j; (j = __atomic_fetch_add(next, 1, __ATOMIC_RELAXED)) < s.n;) {
                task(s, from, to, j, mine);
                __atomic_fetch_add(done, 1, __ATOMIC_RELEASE);
            }
            await(done, s.n);
        }
    }
};

}  // namespace skml_chains
