"""Nearest centres, plain and pruned by bounds."""

from cython cimport floating
from cython.parallel cimport prange
from libc.stdint cimport int32_t

cdef extern from "kmeans_groups.hpp" namespace "skml_kmeans" nogil:
    const int NARROW
    const int BLOCK
    const int PASS
    const int VECTOR_BYTES
    cdef cppclass Problem[T]:
        const T* centers
        Py_ssize_t k, d
        const T* drift
        const T* half
        T slack, drift_first, drift_second
        int32_t drift_owner
    cdef cppclass Groups[T]:
        const int32_t* members
        const int32_t* starts
        const int32_t* group_of
        const T* fallen
        Py_ssize_t t
    cdef cppclass Rows[T]:
        const T* X
        Py_ssize_t n
        int32_t* labels
        T* upper
        T* lower
        bint missing
    void nearest_at[T](const Problem[T]&, const Rows[T]&, Py_ssize_t) noexcept
    void own_at[T](const Problem[T]&, const Rows[T]&, Py_ssize_t) noexcept
    void all_at[T](const Problem[T]&, const Rows[T]&, T*, Py_ssize_t) noexcept
    void first_at[T](const Problem[T]&, const Rows[T]&, Py_ssize_t) noexcept
    void hamerly_at[T](const Problem[T]&, const Rows[T]&, Py_ssize_t) noexcept
    cdef cppclass Rings[T]:
        const int32_t* order
        const T* apart
        const T* around
        Py_ssize_t kp
    cdef cppclass Sketch[T]:
        const T* rows
        const T* centers
        const T* row_reach
        const T* center_reach
        const T* fallen
        Py_ssize_t m
    void exponion_at[T](const Problem[T]&, const Rings[T]&, const Rows[T]&, Py_ssize_t) noexcept
    void elkan_at[T](const Problem[T]&, const Sketch[T]&, const Rows[T]&, T*, Py_ssize_t) noexcept
    void group_at[T](const Problem[T]&, const Groups[T]&, const Rows[T]&, T*, Py_ssize_t) noexcept


def layout(const floating[:, ::1] centers):  # in: only its dtype is used
    """Return (widest narrow row, lanes per vector) of this build for the dtype of `centers`."""
    return NARROW, VECTOR_BYTES // sizeof(floating)


include "checks.pxi"


cdef int _set_centers(Problem[floating]* p, const floating[:, ::1] centers) except -1:
    p.k, p.d = centers.shape[0], centers.shape[1]
    if p.k == 0 or p.d == 0:
        raise ValueError("centers must have at least one row and one column.")
    p.centers = &centers[0, 0]
    return 0


cdef int _set_moves(Problem[floating]* p, const floating[::1] drift, const floating[::1] half, double slack) except -1:
    _same((p.k, drift.shape[0], half.shape[0]), "centers, drift and half")
    cdef Py_ssize_t j
    p.drift, p.half, p.slack = &drift[0], &half[0], slack
    for j in range(p.k):
        if drift[j] > p.drift_first or p.drift_owner < 0:
            p.drift_second, p.drift_first, p.drift_owner = p.drift_first, drift[j], j
        elif drift[j] > p.drift_second:
            p.drift_second = drift[j]
    return 0


cdef int _set_rows(Rows[floating]* s, const floating[:, ::1] X, const int32_t[::1] labels, floating[::1] upper,
                   floating[::1] lower, bint missing, Py_ssize_t d) except -1:
    s.n = _same((X.shape[0], labels.shape[0], upper.shape[0], lower.shape[0]), "X, labels and the bounds")
    if X.shape[1] != d:
        raise ValueError(f"X has {X.shape[1]} columns, the centers have {d}.")
    s.missing = missing
    if s.n:
        s.X, s.labels, s.upper, s.lower = &X[0, 0], <int32_t*> &labels[0], &upper[0], &lower[0]
    return 0


def nearest(
    const floating[:, ::1] X,  # in
    const floating[:, ::1] centers,  # in
    bint missing,  # whether NaN in X means missing
    int32_t[::1] labels,  # out
    floating[::1] squared,  # out
    int n_threads,
):
    """Write each row's nearest centre (the lowest index on ties) and the squared distance to it."""
    cdef Problem[floating] p
    cdef Rows[floating] s
    cdef Py_ssize_t b
    _check_threads(n_threads)
    _set_centers(&p, centers)
    _set_rows(&s, X, labels, squared, squared, missing, p.d)
    for b in prange((s.n + BLOCK - 1) // BLOCK, nogil=True, num_threads=n_threads, schedule="dynamic"):
        nearest_at(p, s, b)


def own_distances(
    const floating[:, ::1] X,  # in
    const floating[:, ::1] centers,  # in
    const int32_t[::1] labels,  # in
    bint missing,
    floating[::1] squared,  # out
    int n_threads,
):
    """Write each row's squared distance to the centre that its label names."""
    cdef Problem[floating] p
    cdef Rows[floating] s
    cdef Py_ssize_t b
    _check_threads(n_threads)
    _set_centers(&p, centers)
    _set_rows(&s, X, labels, squared, squared, missing, p.d)
    _check_indices(labels, "labels", 0, p.k)
    for b in prange((s.n + BLOCK - 1) // BLOCK, nogil=True, num_threads=n_threads, schedule="static"):
        own_at(p, s, b)


def all_distances(
    const floating[:, ::1] X,  # in
    const floating[:, ::1] centers,  # in
    bint missing,
    floating[:, ::1] squared,  # out
    int n_threads,
):
    """Write the squared distances of all rows to all centres."""
    cdef Problem[floating] p
    cdef Rows[floating] s
    cdef Py_ssize_t i
    _check_threads(n_threads)
    _set_centers(&p, centers)
    if X.shape[1] != p.d or squared.shape[0] != X.shape[0] or squared.shape[1] != p.k:
        raise ValueError("X, centers and squared disagree in shape.")
    s.n, s.missing = X.shape[0], missing
    if s.n:
        s.X = &X[0, 0]
    for i in prange(s.n, nogil=True, num_threads=n_threads, schedule="static"):
        all_at(p, s, &squared[0, 0], i)


def first_bounds(
    const floating[:, ::1] X,  # in
    const floating[:, ::1] centers,  # in
    bint missing,
    double slack,  # relative rounding of one distance, doubled
    int32_t[::1] labels,  # out
    floating[::1] upper,  # out: at least the distance to the own centre
    floating[::1] lower,  # out: at most the distance to any other
    int n_threads,
):
    """Nearest centres by a full scan, with the bounds that the pruned passes keep."""
    cdef Problem[floating] p
    cdef Rows[floating] s
    cdef Py_ssize_t b
    _check_threads(n_threads)
    _set_centers(&p, centers)
    p.slack = slack
    _set_rows(&s, X, labels, upper, lower, missing, p.d)
    for b in prange((s.n + PASS - 1) // PASS, nogil=True, num_threads=n_threads, schedule="dynamic"):
        first_at(p, s, b)


def hamerly_pass(
    const floating[:, ::1] X,  # in
    const floating[:, ::1] centers,  # in
    bint missing,
    const floating[::1] drift,  # in: how far each centre moved, rounded up
    const floating[::1] half,  # in: half the distance to the nearest other centre, rounded down
    double slack,
    int32_t[::1] labels,  # in, out
    floating[::1] upper,  # in, out
    floating[::1] lower,  # in, out
    int n_threads,
):
    """Nearest centres after a move: rows whose bounds cross scan all centres."""
    cdef Problem[floating] p
    cdef Rows[floating] s
    cdef Py_ssize_t b
    _check_threads(n_threads)
    _set_centers(&p, centers)
    _set_moves(&p, drift, half, slack)
    _set_rows(&s, X, labels, upper, lower, missing, p.d)
    _check_indices(labels, "labels", 0, p.k)
    for b in prange((s.n + PASS - 1) // PASS, nogil=True, num_threads=n_threads, schedule="dynamic"):
        hamerly_at(p, s, b)


def exponion_pass(
    const floating[:, ::1] X,  # in
    const floating[:, ::1] centers,  # in
    const int32_t[:, ::1] order,  # in: per centre, all centres by distance
    const floating[:, ::1] apart,  # in: these distances, rounded down
    const floating[:, :, ::1] around,  # in: per centre, the centres in that order, transposed and padded with infinity to whole vectors; for narrow rows, or empty
    const floating[::1] drift,  # in
    const floating[::1] half,  # in
    double slack,
    int32_t[::1] labels,  # in, out
    floating[::1] upper,  # in, out
    floating[::1] lower,  # in, out
    int n_threads,
):
    """Nearest centres after a move: rows whose bounds cross scan the centres around their own."""
    cdef Problem[floating] p
    cdef Rings[floating] g
    cdef Rows[floating] s
    cdef Py_ssize_t b
    _check_threads(n_threads)
    _set_centers(&p, centers)
    _set_moves(&p, drift, half, slack)
    _set_rows(&s, X, labels, upper, lower, False, p.d)
    _check_indices(labels, "labels", 0, p.k)
    _same((p.k, order.shape[0], order.shape[1], apart.shape[0], apart.shape[1]), "centers, order and apart")
    for b in range(p.k):
        _check_indices(order[b], "order", 0, p.k)
    g.order, g.apart = &order[0, 0], &apart[0, 0]
    if around.shape[0]:
        g.kp = around.shape[2]
        if (p.d > NARROW or around.shape[0] != p.k or around.shape[1] != p.d or g.kp < p.k
                or g.kp % (VECTOR_BYTES // <int> sizeof(floating))):
            raise ValueError(f"around must hold, per centre, the {p.d} x {p.k} centers, padded to whole vectors.")
        g.around = &around[0, 0, 0]
    for b in prange((s.n + PASS - 1) // PASS, nogil=True, num_threads=n_threads, schedule="dynamic"):
        exponion_at(p, g, s, b)


def elkan_pass(
    const floating[:, ::1] X,  # in
    const floating[:, ::1] centers,  # in
    const floating[:, ::1] image,  # in: rows in a few dimensions, in which they are no farther apart; or no columns
    const floating[:, ::1] images,  # in: the same of the centres
    const floating[::1] blur,  # in: what rounding may have added to a row's sketched distances
    const floating[::1] blurs,  # in: the same of the centres
    const floating[::1] fallen,  # in: per centre, the sum of its drifts so far
    bint missing,
    const floating[::1] drift,  # in
    const floating[::1] half,  # in
    double slack,
    int32_t[::1] labels,  # in, out
    floating[::1] upper,  # in, out
    floating[::1] lower,  # in, out
    floating[:, ::1] floor,  # in, out: per row and centre, a lower bound plus `fallen` when it was set
    int n_threads,
):
    """Nearest centres after a move: rows whose bounds cross ask the centres whose own bound does."""
    cdef Problem[floating] p
    cdef Sketch[floating] k
    cdef Rows[floating] s
    cdef Py_ssize_t b
    _check_threads(n_threads)
    _set_centers(&p, centers)
    _set_moves(&p, drift, half, slack)
    _set_rows(&s, X, labels, upper, lower, missing, p.d)
    _check_indices(labels, "labels", 0, p.k)
    _same((p.k, fallen.shape[0], floor.shape[1], images.shape[0], blurs.shape[0]), "centers and theirs")
    _same((s.n, floor.shape[0], image.shape[0], blur.shape[0]), "X, floor, image and blur")
    k.m = _same((image.shape[1], images.shape[1]), "image and images")
    k.fallen = &fallen[0]
    if k.m and s.n:
        k.rows, k.centers, k.row_reach, k.center_reach = &image[0, 0], &images[0, 0], &blur[0], &blurs[0]
    for b in prange((s.n + PASS - 1) // PASS, nogil=True, num_threads=n_threads, schedule="dynamic"):
        elkan_at(p, k, s, &floor[0, 0], b)


def group_pass(
    const floating[:, ::1] X,  # in
    const floating[:, ::1] centers,  # in
    const int32_t[::1] members,  # in: the centres, group by group
    const int32_t[::1] starts,  # in: where each group begins, and the end
    const int32_t[::1] group_of,  # in: the group of each centre
    const floating[::1] fallen,  # in: per group, the sum of its largest drifts so far
    bint missing,
    const floating[::1] drift,  # in
    const floating[::1] half,  # in
    double slack,
    int32_t[::1] labels,  # in, out
    floating[::1] upper,  # in, out
    floating[::1] lower,  # in, out
    floating[:, ::1] floor,  # in, out: per row and group, a lower bound plus `fallen` when it was set
    int n_threads,
):
    """Nearest centres after a move: rows whose bounds cross scan the groups whose own bound does."""
    cdef Problem[floating] p
    cdef Groups[floating] g
    cdef Rows[floating] s
    cdef Py_ssize_t b
    _check_threads(n_threads)
    _set_centers(&p, centers)
    _set_moves(&p, drift, half, slack)
    _set_rows(&s, X, labels, upper, lower, missing, p.d)
    _check_indices(labels, "labels", 0, p.k)
    _same((p.k, members.shape[0], group_of.shape[0]), "centers, members and group_of")
    g.t = _same((fallen.shape[0], starts.shape[0] - 1, floor.shape[1]), "fallen, starts and floor")
    _check_indices(members, "members", 0, p.k)
    _check_indices(group_of, "group_of", 0, g.t)
    _check_indices(starts, "starts", 0, p.k + 1)
    if floor.shape[0] != s.n:
        raise ValueError(f"floor has {floor.shape[0]} rows, X has {s.n}.")
    g.members, g.starts, g.group_of, g.fallen = &members[0], &starts[0], &group_of[0], &fallen[0]
    for b in prange((s.n + PASS - 1) // PASS, nogil=True, num_threads=n_threads, schedule="dynamic"):
        group_at(p, g, s, &floor[0, 0], b)
