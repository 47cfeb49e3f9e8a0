"""What a forest says of binned rows."""

from cython.parallel cimport prange
from libc.stdint cimport int32_t, uint8_t, uint32_t

cdef extern from "forest.hpp" namespace "skml_forest" nogil:
    const int BLOCK
    cdef cppclass Forest:
        const int32_t* nodes
        const int32_t* roots
        const int32_t* set_features
        const uint32_t* sets
        Py_ssize_t n_trees, n_sets
        const int32_t* numbers
    cdef cppclass Walker:
        Walker(const Forest&, Py_ssize_t) except +
        void pack(Py_ssize_t) noexcept
        Py_ssize_t block_rows(Py_ssize_t, Py_ssize_t, int) noexcept
    void sum_at(const Walker&, const uint8_t*, Py_ssize_t, Py_ssize_t, const double*, Py_ssize_t, Py_ssize_t,
                double*) noexcept
    void leaves_at(const Walker&, const uint8_t*, Py_ssize_t, Py_ssize_t, int32_t*) noexcept


include "checks.pxi"


cdef int _set_forest(Forest* forest, const int32_t[:, ::1] nodes, const int32_t[::1] roots,
                     const int32_t[::1] set_features, const uint32_t[:, ::1] sets) except -1:
    forest.n_trees, forest.n_sets = roots.shape[0], set_features.shape[0]
    forest.numbers = NULL
    if forest.n_trees == 0 or (nodes.shape[0] and nodes.shape[1] != 4) or sets.shape[0] != forest.n_sets or (
            forest.n_sets and sets.shape[1] != 8):
        raise ValueError("nodes, roots, set_features and sets are not those of a forest.")
    forest.roots = &roots[0]
    if nodes.shape[0]:
        forest.nodes = &nodes[0, 0]
    if forest.n_sets:
        forest.set_features, forest.sets = &set_features[0], &sets[0, 0]
    return 0


def check(
    const int32_t[:, ::1] nodes,  # in
    const int32_t[::1] roots,  # in
    const int32_t[::1] set_features,  # in
    Py_ssize_t n_columns,
    Py_ssize_t n_leaves,
):
    """Raise unless every link of a forest leads down to a later node or a leaf, and every feature is a column."""
    cdef Py_ssize_t i, n = nodes.shape[0], n_sets = set_features.shape[0]
    cdef int side
    cdef int32_t child
    if nodes.shape[1] != 4:
        raise ValueError("nodes must have shape (n_inner, 4).")
    _check_indices(roots, "roots", -n_leaves, n)
    _check_indices(set_features, "set_features", 0, n_columns)
    for i in range(n):
        for side in range(2):
            child = nodes[i, side]
            if child >= n or child < -n_leaves or (child >= 0 and child <= i):
                raise ValueError(f"node {i} leads to {child}, which is no later node and no leaf.")
        if nodes[i, 2] < 0 or nodes[i, 2] >= (n_sets if nodes[i, 3] >> 8 == 2 else n_columns):
            raise ValueError(f"node {i} asks column {nodes[i, 2]} of {n_columns}.")


def sum_values(
    const int32_t[:, ::1] nodes,  # in: children, feature, bound | kind << 8; sound, as `check` finds it
    const int32_t[::1] roots,  # in
    const int32_t[::1] set_features,  # in
    const uint32_t[:, ::1] sets,  # in
    const uint8_t[:, ::1] codes,  # in
    const int32_t[::1] numbers,  # in: of each leaf; empty: its own
    const double[:, ::1] values,  # in: of each number from n_pure on
    Py_ssize_t n_pure,  # the numbers below it stand for a single 1
    double[:, ::1] sums,  # out
    int n_threads,
):
    """Write the sums over the trees of what the leaves say."""
    cdef Forest forest
    cdef Walker* walker
    cdef Py_ssize_t b, n = codes.shape[0], p = codes.shape[1], width = sums.shape[1]
    cdef Py_ssize_t size
    _check_threads(n_threads)
    _set_forest(&forest, nodes, roots, set_features, sets)
    _same((n, sums.shape[0]), "codes and sums")
    if width == 0 or (values.shape[0] and values.shape[1] != width) or n_pure > width:
        raise ValueError(f"values must have {width} columns.")
    if n == 0:
        return
    cdef const double* value = NULL
    if numbers.shape[0]:
        forest.numbers = &numbers[0]
    if values.shape[0]:
        value = &values[0, 0]
    walker = new Walker(forest, n)
    try:
        if n >= BLOCK:
            for b in prange(forest.n_trees, nogil=True, num_threads=n_threads, schedule="dynamic"):
                walker.pack(b)
        size = walker.block_rows(p + 8 * width, n, n_threads)
        for b in prange((n + size - 1) // size, nogil=True, num_threads=n_threads, schedule="dynamic"):
            sum_at(walker[0], &codes[b * size, 0], p, min(size, n - b * size), value, width, n_pure, &sums[b * size, 0])
    finally:
        del walker


def find_leaves(
    const int32_t[:, ::1] nodes,  # in
    const int32_t[::1] roots,  # in
    const int32_t[::1] set_features,  # in
    const uint32_t[:, ::1] sets,  # in
    const uint8_t[:, ::1] codes,  # in
    int32_t[:, ::1] leaves,  # out: (n_rows, n_trees)
    int n_threads,
):
    """Write the leaf that each row reaches in each tree."""
    cdef Forest forest
    cdef Walker* walker
    cdef Py_ssize_t b, n = codes.shape[0], p = codes.shape[1]
    cdef Py_ssize_t size
    _check_threads(n_threads)
    _set_forest(&forest, nodes, roots, set_features, sets)
    if leaves.shape[0] != n or leaves.shape[1] != forest.n_trees:
        raise ValueError("leaves must have shape (n_rows, n_trees).")
    if n == 0:
        return
    walker = new Walker(forest, n)
    try:
        if n >= BLOCK:
            for b in prange(forest.n_trees, nogil=True, num_threads=n_threads, schedule="dynamic"):
                walker.pack(b)
        size = walker.block_rows(p + 64, n, n_threads)  # a line of memory for each leaf that is written
        for b in prange((n + size - 1) // size, nogil=True, num_threads=n_threads, schedule="dynamic"):
            leaves_at(walker[0], &codes[b * size, 0], p, min(size, n - b * size), &leaves[b * size, 0])
    finally:
        del walker
