// Coordinate descent on 1/2 |x_j - X w|^2 + l2/2 |w|^2 + l1 |w|_1 with w_j = 0, given the Gram matrix G = X^T X.
// Sweeps go over a working set with a small dense part of G; the gradient over all is brought up to date in between.
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

struct State {
    double *w, *q;  // q = X^T (x_j - X w), right between rounds
    int32_t *done, *n_sweeps;
};

struct Room {
    double *violation, *part, *w, *q;  // of n, most * most, most, most
    int32_t* members;                  // of n
    ptrdiff_t most;                    // the most members of a working set
};

const int32_t FEW = 64, SWEEPS = 100;  // a working set to begin with; sweeps until the gradient is looked at again

static inline double best(const Penalty& p, double w, double q, double square) {
    const double z = q + square * w, size = std::max(0.0, (p.nonnegative ? z : std::fabs(z)) - p.l1);
    return size == 0 ? 0.0 : std::copysign(size, z) / (square + p.l2);
}

// Returns the worst violation, |step| times curvature; fills in all of them.
static inline double violations(const Gram& g, const Penalty& p, ptrdiff_t j, const State& s, const Room& r) {
    double worst = 0;
    for (ptrdiff_t k = 0; k < g.n; k++) {
        const bool free = k != j && g.diagonal[k] > 0;
        const double step = free ? best(p, s.w[k], s.q[k], g.diagonal[k]) - s.w[k] : 0.0;
        r.violation[k] = std::fabs(step) * (g.diagonal[k] + p.l2);
        worst = std::max(worst, r.violation[k]);
    }
    return worst;
}

// Returns the size of the working set: the weights that are not 0, then those whose violation is worst.
static inline ptrdiff_t choose(const Gram& g, double tolerance, const State& s, const Room& r) {
    ptrdiff_t m = 0, support = 0;
    for (int32_t k = 0; k < g.n; k++) {
        support += s.w[k] != 0;
        if (s.w[k] != 0 || r.violation[k] > tolerance) r.members[m++] = k;
    }
    const ptrdiff_t most = std::min(r.most, std::max<ptrdiff_t>(FEW, 2 * support));
    if (m <= most) return m;
    const bool first = 2 * support <= r.most;  // else they would leave no room for others
    std::nth_element(r.members, r.members + most, r.members + m, [&](int32_t a, int32_t b) {
        if (first && (s.w[a] != 0) != (s.w[b] != 0)) return s.w[a] != 0;
        return r.violation[a] > r.violation[b] || (r.violation[a] == r.violation[b] && a < b);
    });
    std::sort(r.members, r.members + most);
    return most;
}

// Copies the rows and columns of the working set, symmetric as they are. Indices ascend, so that each is looked for
// from the last one on, in strides that double.
static inline double gather(const Gram& g, const State& s, const Room& r, ptrdiff_t m) {
    for (ptrdiff_t a = 0; a < m; a++) {
        const int32_t k = r.members[a], *at = g.indices + g.indptr[k], *end = g.indices + g.indptr[k + 1];
        r.w[a] = s.w[k], r.q[a] = s.q[k];
        for (ptrdiff_t b = a; b < m; b++) {
            const int32_t wanted = r.members[b];
            ptrdiff_t stride = 1;
            while (stride < end - at && at[stride] < wanted) stride *= 2;
            at = std::lower_bound(at + stride / 2, std::min(at + stride + 1, end), wanted);
            const bool there = at < end && *at == wanted;
            r.part[a * m + b] = r.part[b * m + a] = there ? g.data[at - g.indices] : 0.0;
        }
    }
    return (double)m * m;
}

// Sweeps once over the working set; returns the worst violation that it met.
static inline double sweep(const Penalty& p, const Room& r, ptrdiff_t m) {
    double worst = 0;
    double* __restrict q = r.q;
    for (ptrdiff_t a = 0; a < m; a++) {
        const double* __restrict row = r.part + a * m;
        const double updated = best(p, r.w[a], q[a], row[a]), step = updated - r.w[a];
        if (step == 0) continue;
        worst = std::max(worst, std::fabs(step) * (row[a] + p.l2));
        r.w[a] = updated;
        for (ptrdiff_t b = 0; b < m; b++) q[b] -= step * row[b];
    }
    return worst;
}

// Takes over the weights of the working set, and brings the gradient up to date.
static inline double scatter(const Gram& g, const State& s, const Room& r, ptrdiff_t m) {
    double work = 0;
    for (ptrdiff_t a = 0; a < m; a++) {
        const int32_t k = r.members[a];
        const double step = r.w[a] - s.w[k];
        if (step == 0) continue;
        s.w[k] = r.w[a];
        for (int32_t t = g.indptr[k]; t < g.indptr[k + 1]; t++) s.q[g.indices[t]] -= step * g.data[t];
        work += g.indptr[k + 1] - g.indptr[k];
    }
    return work;
}

// Goes on until the violations are within the tolerance, or the sweeps or the work of this call are used up. A round
// is never cut in two, so that pauses change nothing.
static inline void descend(const Gram& g, const Penalty& p, ptrdiff_t j, double tolerance, int32_t max_sweeps,
                           double work, const State& s, const Room& r) {
    tolerance *= g.diagonal[j];
    while (!*s.done && *s.n_sweeps < max_sweeps && work > 0) {
        const double worst = violations(g, p, j, s, r);
        *s.done = !(worst > tolerance);
        if (*s.done) return;
        const ptrdiff_t m = choose(g, tolerance, s, r);
        work -= g.n + gather(g, s, r, m);
        const double enough = std::max(0.5 * tolerance, 0.1 * worst);
        const int32_t last = std::min(max_sweeps, *s.n_sweeps + SWEEPS);
        for (double met = INFINITY; met > enough && *s.n_sweeps < last; ++*s.n_sweeps, work -= m * m)
            met = sweep(p, r, m);
        work -= scatter(g, s, r, m);
    }
}

}  // namespace skml_slim
