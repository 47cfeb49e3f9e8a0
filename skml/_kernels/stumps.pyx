"""The best split of a node over binned features, and the votes of a committee of small trees."""

import numpy as np

from cython cimport floating
from cython.parallel cimport prange
from libc.stdint cimport int32_t, int64_t, uint8_t

cdef extern from "stumps.hpp" namespace "skml_stumps" nogil:
    cdef cppclass Search[T]:
        const uint8_t* codes
        const int32_t* order
        const int32_t* offsets
        const int32_t* n_bins
        const T* X
        const double* weights
        const int32_t* y
        const int32_t* rows
        const uint8_t* inside
        const double* totals
        const int32_t* rare
        const int64_t* starts
        const int32_t* common
        const int32_t* whole
        Py_ssize_t n, m, p, K, n_whole
        double all, tolerance
        double* sums
        double* spare
        int* broken
    cdef struct Split:
        double score
        int64_t bin, position, missing_left
    void count_group[T](const Search[T]&, Py_ssize_t, double*) noexcept
    void count_one[T](const Search[T]&, Py_ssize_t, double*) noexcept
    double best_inside[T](const Search[T]&, Py_ssize_t, double, double) noexcept
    void add_sides(const int32_t*, const double*, const uint8_t*, Py_ssize_t, Py_ssize_t, double*, double*) noexcept
    Split first_split[T](const Search[T]&, Py_ssize_t, double) noexcept

cdef extern from "votes.hpp" namespace "skml_votes" nogil:
    cdef cppclass Trees:
        const int32_t* starts
        const int32_t* features
        const int32_t* left
        const uint8_t* missing_left
        const double* values
        const int32_t* used
        Py_ssize_t n_trees, n_used, K
    double cast(const int32_t*, const int32_t*, Py_ssize_t, Py_ssize_t, Py_ssize_t, double, double, double, double*,
                double*, double*) noexcept
    int quantiles(const double*, const double*, Py_ssize_t, const double*, Py_ssize_t, double*) noexcept
    void vote[T](const Trees&, const T*, const T*, Py_ssize_t, Py_ssize_t, double*, T*, double*) noexcept

include "checks.pxi"


cdef int _check_bins(const int32_t[:, ::1] offsets, const int32_t[::1] n_bins, Py_ssize_t n) except -1:
    cdef Py_ssize_t f, b
    for f in range(n_bins.shape[0]):
        if not 0 <= n_bins[f] <= 255:
            raise ValueError(f"n_bins[{f}] is {n_bins[f]}, outside 0 to 255.")
        for b in range(n_bins[f]):
            if not 0 <= offsets[f, b] < offsets[f, b + 1] <= n:
                raise ValueError(f"The offsets of feature {f} do not increase within 0 to {n}.")
    return 0


cdef int _check_rare(
    const int32_t[::1] rare, const int64_t[::1] starts, const int32_t[::1] common, Py_ssize_t n
) except -1:
    cdef Py_ssize_t f
    _check_indices(rare, "rare", 0, n)
    _check_indices(common, "common", -1, 256)
    if starts.shape[0] != common.shape[0] + 1 or starts[0] != 0 or starts[starts.shape[0] - 1] != rare.shape[0]:
        raise ValueError("rare_starts must go from 0 to the length of rare, with one entry more than features.")
    for f in range(common.shape[0]):
        if starts[f] > starts[f + 1]:
            raise ValueError(f"rare_starts decreases after entry {f}.")
    return 0


def find_split(
    const uint8_t[:, ::1] codes,  # in: (p, n), the bin of each entry; 255 is missing
    const int32_t[:, ::1] order,  # in: (p, n), rows by value, missing ones last; (p, 0): splits after whole bins only
    const int32_t[:, ::1] offsets,  # in: (p, 256), where each bin starts in `order`
    const int32_t[::1] n_bins,  # in: (p,), 0 for a feature that is never known
    const int32_t[::1] rare,  # in: the rows outside each feature's most common bin, increasing, feature by feature
    const int64_t[::1] rare_starts,  # in: (p + 1,), where each feature's start
    const int32_t[::1] common,  # in: (p,), that bin; -1 for a feature whose entries are all counted
    const floating[:, ::1] X,  # in: (p, n)
    const double[::1] weights,  # in: (n,)
    const int32_t[::1] y,  # in: (n,), classes
    const int32_t[::1] rows,  # in: the node's rows; empty: all
    const double[::1] totals,  # in: (K,), the node's weight per class
    double tolerance,  # scores that differ by less are equal; a split must gain more
    int64_t[::1] found,  # out: feature or -1, bin, rows of `order` to the left or -1, whether missing ones go left
    int n_threads,
):
    """Find the split of largest sum_sides sum_k w_k^2 / w; of equals the lowest feature, then the lowest value."""
    cdef Search[floating] s
    cdef Split split
    cdef Py_ssize_t p = codes.shape[0], n = codes.shape[1], K = totals.shape[0], f, group, n_groups
    cdef uint8_t[::1] inside
    cdef double parent = 0, known
    cdef int broken = 0
    _check_threads(n_threads)
    _same((n, X.shape[1], weights.shape[0], y.shape[0]), "The rows of codes, X, weights and y")
    _same((p, X.shape[0], order.shape[0], offsets.shape[0], n_bins.shape[0], common.shape[0]), "The features of all arguments")
    if offsets.shape[1] != 256 or found.shape[0] != 4 or order.shape[1] not in (0, n):
        raise ValueError("offsets needs 256 columns, found 4 entries, and order n columns or none.")
    _check_bins(offsets, n_bins, n)
    _check_rare(rare, rare_starts, common, n)
    _check_indices(rows, "rows", 0, n)
    _check_indices(y, "y", 0, K)
    found[0], found[1], found[2], found[3] = -1, -1, -1, 0
    if n == 0 or p == 0 or K == 0:
        return
    cdef double[::1] sums = np.empty(p * K * 256)
    cdef double[::1] best = np.empty(p), spare = np.empty(p * K)
    cdef int32_t[::1] whole = np.flatnonzero((np.asarray(common) < 0) | (rows.shape[0] > 0)).astype(np.int32)
    s.n, s.p, s.K, s.tolerance, s.m = n, p, K, tolerance, rows.shape[0] if rows.shape[0] else n
    s.codes, s.offsets, s.n_bins, s.X, s.weights = &codes[0, 0], &offsets[0, 0], &n_bins[0], &X[0, 0], &weights[0]
    s.y, s.totals, s.sums, s.broken = &y[0], &totals[0], &sums[0], &broken
    s.rare, s.whole = &rare[0] if rare.shape[0] else NULL, &whole[0] if whole.shape[0] else NULL
    s.starts, s.common, s.n_whole, s.spare = &rare_starts[0], &common[0], whole.shape[0], &spare[0]
    s.order = &order[0, 0] if order.shape[1] else NULL
    s.rows = NULL
    s.inside = NULL
    if rows.shape[0]:
        inside = np.zeros(n, dtype=np.uint8)
        for f in range(rows.shape[0]):
            inside[rows[f]] = 1
        s.rows, s.inside = &rows[0], &inside[0]
    s.all = 0
    for f in range(K):
        s.all += totals[f]
    for f in range(K):
        parent += totals[f] * totals[f] / s.all
    n_groups = (whole.shape[0] + 3) // 4
    for group in prange(n_groups + p, nogil=True, num_threads=n_threads, schedule="dynamic"):
        if group < n_groups:
            count_group(s, group, &best[0])
        else:
            count_one(s, group - n_groups, &best[0])
    known = max(np.max(best), parent + tolerance)
    if s.order != NULL:
        for f in prange(p, nogil=True, num_threads=n_threads, schedule="dynamic"):
            if n_bins[f]:
                best[f] = best_inside(s, f, best[f], known)
    if broken:
        raise ValueError(f"order points outside 0 to {n - 1}.")
    known = np.max(best)
    if known <= parent + tolerance:
        return
    for f in range(p):
        if best[f] >= known - tolerance:
            split = first_split(s, f, known - tolerance)
            found[0], found[1], found[2], found[3] = f, split.bin, split.position, split.missing_left
            return


def side_sums(
    const int32_t[::1] y,  # in: (m,), classes
    const double[::1] weights,  # in: (m,)
    const uint8_t[::1] left,  # in: (m,), whether a row is on the left side
    double[:, ::1] sums,  # out: (2, K), the weight per side, left first, and class
):
    """Write the weight of each class on both sides of a split."""
    _same((y.shape[0], weights.shape[0], left.shape[0]), "y, weights and left")
    if sums.shape[0] != 2:
        raise ValueError(f"sums has {sums.shape[0]} rows, expected 2.")
    _check_indices(y, "y", 0, sums.shape[1])
    sums[:, :] = 0
    if y.shape[0] == 0:
        return
    cdef double[::1] parts = np.zeros(8 * sums.shape[1])
    with nogil:
        add_sides(&y[0], &weights[0], &left[0], y.shape[0], sums.shape[1], &parts[0], &sums[0, 0])


def cast_votes(
    const int32_t[::1] said,  # in: (n,), the class that the round's member votes for
    const int32_t[::1] y,  # in: (n,), the true class
    double vote,  # the member's weight
    double right,  # what the weight of a row that it has right is multiplied with
    double total,  # the sum of all members' weights
    double[::1] weights,  # in, out: (n,)
    double[:, ::1] votes,  # in, out: (n, K)
    double[::1] margins,  # out: (n,), the true class's votes less the most of any other, over total
    double[::1] sums,  # out: the new weights' sums, one per 4096 rows
    int n_threads,
):
    """Add a member's votes, reweigh the rows, and write their margins."""
    cdef Py_ssize_t b, n = said.shape[0], K = votes.shape[1], block = 4096
    _check_threads(n_threads)
    _same((n, y.shape[0], weights.shape[0], votes.shape[0], margins.shape[0]), "said, y, weights, votes and margins")
    if K < 2 or sums.shape[0] != (n + block - 1) // block:
        raise ValueError("votes needs at least 2 columns, sums one entry per 4096 rows.")
    _check_indices(said, "said", 0, K)
    _check_indices(y, "y", 0, K)
    for b in prange(sums.shape[0], nogil=True, num_threads=n_threads, schedule="static"):
        sums[b] = cast(&said[0], &y[0], b * block, min(n, (b + 1) * block), K, vote, right, total, &weights[0],
                       &votes[0, 0], &margins[0])


def weighted_quantiles(
    const double[::1] values,  # in: (n,), best within [-1, 1]
    const double[::1] weights,  # in: (n,), of positive sum
    const double[::1] levels,  # in: increasing
    double[::1] found,  # out
):
    """Write, per level, the smallest value that no less than this share of the weight does not exceed."""
    _same((values.shape[0], weights.shape[0]), "values and weights")
    _same((levels.shape[0], found.shape[0]), "levels and found")
    if values.shape[0] == 0 or levels.shape[0] == 0:
        raise ValueError("There are no quantiles of nothing.")
    cdef int failed
    with nogil:
        failed = quantiles(&values[0], &weights[0], values.shape[0], &levels[0], levels.shape[0], &found[0])
    if failed:
        raise MemoryError("The quantiles ran out of memory.")


def tree_votes(
    const floating[:, ::1] X,  # in: (n, d)
    const int32_t[::1] used,  # in: the columns that trees ask for
    const int32_t[::1] starts,  # in: (n_trees + 1,), where each tree's nodes start
    const int32_t[::1] features,  # in: per node, an index into `used`
    const floating[::1] thresholds,  # in: per node; smaller or equal goes left
    const int32_t[::1] left,  # in: per node the left child within its tree, the right one follows it; -1 for a leaf
    const uint8_t[::1] missing_left,  # in: per node
    const double[:, ::1] values,  # in: (n_nodes, K), what a leaf adds
    double[:, ::1] votes,  # out: (n, K)
    int n_threads,
):
    """Write the sums of what the trees' leaves hold for each row, added in the order of the trees."""
    cdef Trees t
    cdef Py_ssize_t b, n = X.shape[0], d = X.shape[1], nodes = features.shape[0], i, tree, n_blocks = (n + 63) // 64
    _check_threads(n_threads)
    _same((nodes, thresholds.shape[0], left.shape[0], missing_left.shape[0], values.shape[0]), "The nodes' arrays")
    _same((n, votes.shape[0]), "X and votes")
    _same((values.shape[1], votes.shape[1]), "values and votes")
    _check_indptr(starts, nodes, nodes)
    _check_indices(used, "used", 0, d)
    _check_indices(features, "features", 0, max(1, used.shape[0]))
    for tree in range(starts.shape[0] - 1):
        if starts[tree] == starts[tree + 1]:
            raise ValueError(f"Tree {tree} has no nodes.")
        for i in range(starts[tree], starts[tree + 1]):  # children come after their parent: no walk goes in circles
            if left[i] >= 0 and not (i < starts[tree] + left[i] < starts[tree + 1] - 1):
                raise ValueError(f"left[{i}] is {left[i]}, outside its tree.")
            if left[i] >= 0 and used.shape[0] == 0:
                raise ValueError("Trees that split need a column in `used`.")
            if starts[tree + 1] - starts[tree] == 3 and (left[i] >= 0) != (i == starts[tree]):
                raise ValueError(f"Tree {tree} has 3 nodes but no split at its first.")
    if n == 0 or values.shape[1] == 0:
        return
    votes[:, :] = 0
    if nodes == 0:
        return
    cdef floating[:, ::1] columns = np.empty((n_threads, max(1, used.shape[0]) * 64), dtype=np.asarray(X).dtype)
    cdef double[:, ::1] sums = np.empty((n_threads, values.shape[1] * 64))
    cdef Py_ssize_t first, last, worker
    t.starts, t.features, t.left, t.missing_left = &starts[0], &features[0], &left[0], &missing_left[0]
    t.values, t.n_trees, t.n_used, t.K = &values[0, 0], starts.shape[0] - 1, used.shape[0], values.shape[1]
    t.used = &used[0] if used.shape[0] else NULL
    for worker in prange(n_threads, nogil=True, num_threads=n_threads, schedule="static"):
        first, last = worker * n_blocks // n_threads, (worker + 1) * n_blocks // n_threads
        for b in range(first, last):
            vote(t, &thresholds[0], &X[b * 64, 0], d, min(<Py_ssize_t> 64, n - b * 64), &votes[b * 64, 0],
                 &columns[worker, 0], &sums[worker, 0])
