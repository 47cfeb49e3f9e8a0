"""Trees grown from histograms of binned rows."""

import numpy as np

import skml._kernels as _kernels

from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint32_t, uint64_t

ctypedef int (*breathe_t)() except -1 nogil

cdef extern from "tree_grower.hpp" namespace "skml_trees" nogil:
    cdef cppclass Table:
        const uint8_t* codes
        Py_ssize_t row_stride, feature_stride
        const uint8_t* by_row
        const int64_t* starts
        const int32_t* entry_rows
        const uint8_t* entry_codes
        const uint8_t* zero_codes
        const uint64_t* words
        Py_ssize_t n_words
        const uint64_t* column_words
        const int64_t* column_starts
        const uint8_t* column_codes
        const uint8_t* categorical
        const int8_t* monotonic
        const double* edges
        const int64_t* edge_starts
        Py_ssize_t n, p
    cdef cppclass Limits:
        int64_t min_leaf
        double min_weight
        bint monotone, free
    cdef cppclass Options:
        int32_t max_depth, max_features, max_leaves
        int64_t min_split
        double min_gain
        uint64_t seed
        breathe_t breathe
    cdef cppclass Grown:
        int32_t* features
        int32_t* children
        uint8_t* codes
        uint8_t* kinds
        int32_t* set_features
        uint32_t* sets
        int32_t* leaf_begins
        double* bounds
        double* gains
        int64_t n_inner, n_sets, n_leaves
    cdef cppclass Classes2 "skml_trees::Classes<2>":
        int criterion, n_outputs, n_cells
        const int32_t* first
        const double* class_weights
        const double* x_log_x
        int32_t table_size
    cdef cppclass Classes "skml_trees::Classes<0>":
        int criterion, n_outputs, n_cells
        const int32_t* first
        const double* class_weights
        const double* x_log_x
        int32_t table_size
    cdef cppclass Numbers2 "skml_trees::Numbers<2>":
        int criterion, n_outputs, n_cells
        const double* units
        const double* offsets
    cdef cppclass Numbers "skml_trees::Numbers<0>":
        int criterion, n_outputs, n_cells
        const double* units
        const double* offsets
    bint fits(const Table&, Py_ssize_t)
    int grow_tree "skml_trees::grow"(const Classes2&, const Table&, const Limits&, const Options&, int32_t*, int32_t*, int32_t*,
                                     Py_ssize_t, const int32_t*, Py_ssize_t, Grown&) except -1
    int grow_tree "skml_trees::grow"(const Classes&, const Table&, const Limits&, const Options&, int32_t*, int32_t*, int32_t*,
                                     Py_ssize_t, const int32_t*, Py_ssize_t, Grown&) except -1
    int grow_tree "skml_trees::grow"(const Numbers2&, const Table&, const Limits&, const Options&, int32_t*, int32_t*, int64_t*,
                                     Py_ssize_t, const int32_t*, Py_ssize_t, Grown&) except -1
    int grow_tree "skml_trees::grow"(const Numbers&, const Table&, const Limits&, const Options&, int32_t*, int32_t*, int64_t*,
                                     Py_ssize_t, const int32_t*, Py_ssize_t, Grown&) except -1

include "checks.pxi"


cdef int _breathe() except -1 nogil:
    """See to signals, and to whoever wants this thread to stop."""
    with gil:
        PyErr_CheckSignals()
        _kernels.breathe()
    return 0


cdef int _set_table(Table* t, object table) except -1:
    """Read and check the arrays of a binned table."""
    cdef const uint8_t[:, :] codes = table.codes
    cdef const uint8_t[:, ::1] by_row = table.by_row
    cdef const int64_t[::1] starts = table.starts, edge_starts = table.edge_starts
    cdef const int32_t[::1] entry_rows = table.entry_rows
    cdef const uint8_t[::1] entry_codes = table.entry_codes, zero_codes = table.zero_codes
    cdef const uint8_t[::1] categorical = table.categorical
    cdef const double[::1] edges = table.edges
    t.n, t.p = table.n_rows, categorical.shape[0]
    if edge_starts.shape[0] != t.p + 1 or t.p == 0 or edge_starts[t.p] != edges.shape[0] or edges.shape[0] < t.p:
        raise ValueError("edges and edge_starts must be those of as many features as categorical has.")
    if np.any(np.diff(edge_starts) < 1) or edge_starts[0] != 0:
        raise ValueError("edge_starts must ascend from 0.")
    t.categorical, t.edges, t.edge_starts = &categorical[0], &edges[0], &edge_starts[0]
    if table.packed is not None:
        return _set_packed(t, table.packed, table.zero_codes)
    if starts.shape[0] == 0:
        if codes.shape[0] != t.n or codes.shape[1] != t.p or t.n == 0:
            raise ValueError("codes must have shape (n_rows, n_features).")
        t.codes, t.row_stride, t.feature_stride = &codes[0, 0], codes.strides[0], codes.strides[1]
        if by_row.shape[0]:
            if by_row.shape[0] != t.n or by_row.shape[1] != t.p:
                raise ValueError("by_row must have the shape of codes.")
            t.by_row = &by_row[0, 0]
        return 0
    if starts.shape[0] != t.p + 1 or zero_codes.shape[0] != t.p or starts[0] != 0 or np.any(np.diff(starts) < 0) or (
            starts[t.p] != entry_rows.shape[0]) or entry_rows.shape[0] != entry_codes.shape[0]:
        raise ValueError("starts, entry_rows, entry_codes and zero_codes are not those of sparse columns.")
    _check_indices(entry_rows, "entry_rows", 0, t.n)
    t.starts, t.zero_codes = &starts[0], &zero_codes[0]
    if entry_rows.shape[0]:
        t.entry_rows, t.entry_codes = &entry_rows[0], &entry_codes[0]
    return 0


cdef int _set_packed(Table* t, object packed, const uint8_t[::1] common) except -1:
    """Read and check rows and columns without their common codes."""
    cdef const uint64_t[:, ::1] words = packed.words, column_words = packed.column_words
    cdef const int64_t[::1] starts = packed.starts, column_starts = packed.column_starts
    cdef const uint8_t[::1] codes = packed.codes, column_codes = packed.column_codes
    _same((starts.shape[0] - 1, words.shape[0], t.n), "starts, words and rows")
    _same((column_starts.shape[0] - 1, column_words.shape[0], common.shape[0], t.p), "columns and features")
    _same((codes.shape[0], column_codes.shape[0]), "codes and column_codes")
    if t.n == 0 or words.shape[1] != (t.p + 47) // 48 or column_words.shape[1] != (t.n + 63) // 64:
        raise ValueError("words and column_words must have a bit for each value.")
    t.words, t.n_words, t.starts, t.zero_codes = &words[0, 0], words.shape[1], &starts[0], &common[0]
    t.column_words, t.column_starts = &column_words[0, 0], &column_starts[0]
    if codes.shape[0]:
        t.entry_codes, t.column_codes = &codes[0], &column_codes[0]
    if not fits(t[0], codes.shape[0]):
        raise ValueError("words and starts do not lead to the codes of packed rows.")
    return 0


cdef int _set_rule(Limits* limits, Options* options, Table* table, object rule, uint64_t seed) except -1:
    cdef const int8_t[::1] monotonic = rule.monotonic
    limits.min_leaf, limits.min_weight = rule.min_leaf, rule.min_weight
    limits.monotone = monotonic.shape[0] > 0
    limits.free = limits.min_leaf <= 1 and limits.min_weight <= 0 and not limits.monotone
    if limits.monotone:
        _same((monotonic.shape[0], table.p), "monotonic and the features")
        table.monotonic = &monotonic[0]
    options.max_depth, options.max_features, options.max_leaves = rule.max_depth, rule.max_features, rule.max_leaves
    options.min_split, options.min_gain, options.seed, options.breathe = rule.min_split, rule.min_gain, seed, _breathe
    return 0


cdef int _set_grown(Grown* g, object grown, Py_ssize_t m) except -1:
    cdef int32_t[::1] features = grown.features, set_features = grown.set_features, leaf_begins = grown.leaf_begins
    cdef int32_t[:, ::1] children = grown.children
    cdef uint8_t[::1] codes = grown.codes, kinds = grown.kinds
    cdef uint32_t[:, ::1] sets = grown.sets
    cdef double[:, ::1] bounds = grown.bounds
    cdef double[::1] gains = grown.gains
    if (features.shape[0] < m or set_features.shape[0] < m or leaf_begins.shape[0] < m or children.shape[0] < m
            or codes.shape[0] < m or kinds.shape[0] < m or sets.shape[0] < m or bounds.shape[0] < m
            or gains.shape[0] < m or children.shape[1] != 2 or sets.shape[1] != 8 or bounds.shape[1] != 2):
        raise ValueError(f"grown must have room for {m} leaves.")
    g.features, g.set_features, g.leaf_begins = &features[0], &set_features[0], &leaf_begins[0]
    g.children, g.codes, g.kinds, g.sets = &children[0, 0], &codes[0], &kinds[0], &sets[0, 0]
    g.bounds, g.gains = &bounds[0, 0], &gains[0]
    return 0


cdef int _set_bag(object table, int32_t[::1] rows, int32_t[::1] weights, Py_ssize_t n_targets,
                  const int32_t[::1] features) except -1:
    _same((rows.shape[0], weights.shape[0], n_targets), "rows, weights and targets")
    _check_indices(rows, "rows", 0, table.n_rows)
    _check_indices(weights, "weights", 1, 2**31 - 1)
    if np.sum(weights, dtype=np.int64) >= 2**31:
        raise ValueError("weights must add up to less than 2**31.")
    _check_indices(features, "features", 0, len(table.categorical))
    if rows.shape[0] == 0 or features.shape[0] == 0:
        raise ValueError("a tree needs rows and features.")
    if np.any(np.diff(rows) <= 0):
        raise ValueError("rows must ascend.")
    return 0


def grow_classes(
    table,  # in: binned rows
    rule,  # in: criterion and limits
    int32_t[::1] rows,  # in: of the bag, ascending; out: sorted by leaf
    int32_t[::1] weights,  # in: of each row of the bag, at least 1; out: as rows
    int32_t[:, ::1] targets,  # in: (n_outputs, n_rows), classes counted on through the outputs; out: as rows
    const int32_t[::1] first,  # in: the first class of each output, and the number of all
    const double[::1] class_weights,  # in
    const double[::1] x_log_x,  # in: a table of x log x, or empty
    const int32_t[::1] features,  # in: those that may be split
    uint64_t seed,
    grown,  # out: room for the tree
):
    """Grow a tree of classes; return how many inner nodes, sets of categories and leaves it has."""
    cdef Table t
    cdef Limits limits
    cdef Options options
    cdef Grown g
    cdef Classes many
    cdef Classes2 two
    cdef Py_ssize_t m = rows.shape[0], o, n_outputs = targets.shape[0]
    cdef int failed, binary = n_outputs == 1 and class_weights.shape[0] == 2
    _set_bag(table, rows, weights, targets.shape[1], features)
    _set_table(&t, table)
    _set_rule(&limits, &options, &t, rule, seed)
    _set_grown(&g, grown, m)
    if first.shape[0] != n_outputs + 1 or n_outputs == 0 or first[n_outputs] != class_weights.shape[0] or first[0] != 0:
        raise ValueError("first must give the classes of each output.")
    for o in range(n_outputs):
        _check_indices(targets[o], "targets", first[o], first[o + 1])
    many.criterion, many.n_outputs, many.n_cells = rule.criterion, n_outputs, first[n_outputs]
    many.first, many.class_weights = &first[0], &class_weights[0]
    many.x_log_x = NULL
    many.table_size = x_log_x.shape[0]
    if x_log_x.shape[0]:
        many.x_log_x = &x_log_x[0]
    two.criterion, two.n_outputs, two.n_cells, two.first = many.criterion, 1, 2, many.first
    two.class_weights, two.x_log_x, two.table_size = many.class_weights, many.x_log_x, many.table_size
    cdef int32_t* y = &targets[0, 0]
    cdef int32_t* r = &rows[0]
    cdef int32_t* w = &weights[0]
    cdef const int32_t* f = &features[0]
    cdef Py_ssize_t n_features = features.shape[0]
    with nogil:
        if binary:
            failed = grow_tree(two, t, limits, options, r, w, y, m, f, n_features, g)
        else:
            failed = grow_tree(many, t, limits, options, r, w, y, m, f, n_features, g)
    if failed:
        raise MemoryError("A tree ran out of memory.")
    return g.n_inner, g.n_sets, g.n_leaves


def grow_numbers(
    table,  # in: binned rows
    rule,  # in: criterion and limits
    int32_t[::1] rows,  # in: of the bag, ascending; out: sorted by leaf
    int32_t[::1] weights,  # in: of each row of the bag, at least 1; out: as rows
    int64_t[:, ::1] targets,  # in: (n_outputs, n_rows), fixed point; sums with the weights fit in 64 bits; out: as rows
    const double[::1] units,  # in: of each output; a value is target * unit + offset
    const double[::1] offsets,  # in
    const int32_t[::1] features,  # in: those that may be split
    uint64_t seed,
    grown,  # out: room for the tree
):
    """Grow a tree of numbers; return how many inner nodes, sets of categories and leaves it has."""
    cdef Table t
    cdef Limits limits
    cdef Options options
    cdef Grown g
    cdef Numbers many
    cdef Numbers2 two
    cdef Py_ssize_t m = rows.shape[0], n_outputs = targets.shape[0]
    cdef int failed
    _set_bag(table, rows, weights, targets.shape[1], features)
    _set_table(&t, table)
    _set_rule(&limits, &options, &t, rule, seed)
    _set_grown(&g, grown, m)
    _same((units.shape[0], offsets.shape[0], n_outputs), "units, offsets and targets")
    if n_outputs == 0:
        raise ValueError("a tree needs targets.")
    many.criterion, many.n_outputs, many.n_cells = rule.criterion, n_outputs, n_outputs + 1
    many.units, many.offsets = &units[0], &offsets[0]
    two.criterion, two.n_outputs, two.n_cells = rule.criterion, 1, 2
    two.units, two.offsets = many.units, many.offsets
    cdef int64_t* y = &targets[0, 0]
    cdef int32_t* r = &rows[0]
    cdef int32_t* w = &weights[0]
    cdef const int32_t* f = &features[0]
    cdef Py_ssize_t n_features = features.shape[0]
    with nogil:
        if n_outputs == 1:
            failed = grow_tree(two, t, limits, options, r, w, y, m, f, n_features, g)
        else:
            failed = grow_tree(many, t, limits, options, r, w, y, m, f, n_features, g)
    if failed:
        raise MemoryError("A tree ran out of memory.")
    return g.n_inner, g.n_sets, g.n_leaves
