// Coordinate descent on 1/2 |x_j - X w|^2 + l2/2 |w|^2 + l1 |w|_1 with w_j = 0, given the Gram matrix G = X^T X.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace skml_slim {

struct Gram {
    const int32_t* indptr;
    const int32_t* indices;
    const double* data;
    const double* diagonal;
    ptrdiff_t n;
};

struct Penalty {
    double l1, l2;
    bool nonnegative;
};

enum Status { ALL = 0, SUPPORT = 1, DONE = 2 };  // which coordinates the sweep goes over

struct State {
    double *w, *q, *worst;  // q = X^T (x_j - X w) is kept up to date; the worst violation that the sweep has met
    int32_t *status, *place, *n_sweeps;  // place: the coordinate that the sweep comes to next
};

// Goes on with a sweep over the coordinates, until it is done or `work` is used up.
static inline void sweep(const Gram& g, const Penalty& p, ptrdiff_t j, const State& s, double* work) {
    ptrdiff_t k = *s.place;
    for (; k < g.n && *work > 0; k++) {
        *work -= 1;
        if (k == j || !(g.diagonal[k] > 0) || (*s.status == SUPPORT && s.w[k] == 0)) continue;
        const double curvature = g.diagonal[k] + p.l2, z = s.q[k] + g.diagonal[k] * s.w[k];
        const double size = std::max(0.0, (p.nonnegative ? z : std::fabs(z)) - p.l1);
        const double updated = std::copysign(size, z) / curvature, step = updated - s.w[k];
        if (step == 0) continue;
        *s.worst = std::max(*s.worst, std::fabs(step) * curvature);
        s.w[k] = size == 0 ? 0.0 : updated;
        for (int32_t t = g.indptr[k]; t < g.indptr[k + 1]; t++) s.q[g.indices[t]] -= step * g.data[t];
        *work -= g.indptr[k + 1] - g.indptr[k];
    }
    *s.place = (int32_t)k;
}

// Sweeps until the violations are within the tolerance, or the sweeps or the work of this call are used up.
static inline void descend(const Gram& g, const Penalty& p, ptrdiff_t j, double tolerance, int32_t max_sweeps,
                           double work, const State& s) {
    while (*s.status != DONE && *s.n_sweeps < max_sweeps && work > 0) {
        sweep(g, p, j, s, &work);
        if (*s.place < g.n) return;
        const bool within = *s.worst <= tolerance * g.diagonal[j];
        *s.status = !within ? SUPPORT : *s.status == SUPPORT ? ALL : DONE;
        *s.place = 0, *s.worst = 0, ++*s.n_sweeps;
    }
}

}  // namespace skml_slim
