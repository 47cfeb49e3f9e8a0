"""The kernels of similarities and neighbours' predictions against their twins."""

from contextlib import nullcontext

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from skml import _kernels
from skml._kernels import similarity
from skml._kernels.reference import similarity as twin

SHAPES = [(0, 3, 2), (1, 1, 1), (4, 0, 5), (5, 7, 0), (7, 20, 9), (40, 33, 21)]


def csr(rng, shape, dtype, weighted):
    X = sp.random_array(shape, density=0.4, format="csr", dtype=dtype, rng=rng)
    X.data[:] = rng.integers(-3, 4, X.nnz)  # ties, and stored zeros
    weights = rng.uniform(0.5, 2, X.nnz if weighted else 0).astype(dtype)
    return X.indptr.astype(np.int32), X.indices.astype(np.int32), X.data, weights


def transposed(parts, n_columns):
    indptr, indices, data, weights = parts
    order = np.argsort(indices, kind="stable")
    rows = np.repeat(np.arange(len(indptr) - 1, dtype=np.int32), np.diff(indptr))
    starts = np.append(0, np.cumsum(np.bincount(indices, minlength=n_columns))).astype(np.int32)
    return starts, rows[order], data[order], weights[order] if len(weights) else weights


def nearest(module, left, right, sizes, plan, window, dtype, n_threads=1):
    first, n, n_kept, same = window
    indices, data = np.full((n, n_kept), -1, dtype=np.int32), np.zeros((n, n_kept), dtype=dtype)
    counts = np.empty(n, dtype=np.int32)
    module.similar_rows(*left, *right, *sizes, *plan, first, same, indices, data, counts, n_threads)
    return counts, indices, data


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["d", "f"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", range(5))
@pytest.mark.parametrize("negative", [False, True])
def test_all_similarities(rng, shape, dtype, weighted, kind, negative):
    n, m, n_right = shape
    left, right = csr(rng, (n, m), dtype, weighted), csr(rng, (m, n_right), dtype, weighted)
    sizes = rng.uniform(60, 90, n), rng.uniform(60, 90, n_right)
    for window in [(0, n, n_right, False), (n // 3, n - n // 3, n_right, True)]:
        plan = (kind, 1.5, 1.2, negative)
        ours, theirs = (nearest(module, left, right, sizes, plan, window, dtype) for module in (similarity, twin))
        dense = []
        for counts, indices, data in (ours, theirs):  # what is 0 but for rounding may be kept or not
            dense.append(np.zeros((window[1], n_right)))
            for row, count in enumerate(counts):
                assert np.all(np.diff(indices[row, :count]) > 0)
                dense[-1][row, indices[row, :count]] = data[row, :count]
        assert_allclose(*dense, rtol=0, atol=1e-10 if dtype == "d" else 3e-5)


@pytest.mark.parametrize("dtype", ["d", "f"])
@pytest.mark.parametrize("negative", [False, True])
@pytest.mark.parametrize("n_kept", [1, 2, 5, 9])
def test_the_largest_products_are_kept_and_of_equal_ones_the_lower(rng, dtype, negative, n_kept):
    left, right = csr(rng, (30, 8), dtype, False), csr(rng, (8, 30), dtype, False)  # integers: exact, many ties
    sizes, plan = (np.zeros(30), np.zeros(30)), (0, 0.0, 0.0, negative)
    ours, theirs = (
        nearest(module, left, right, sizes, plan, (0, 30, n_kept, True), dtype) for module in (similarity, twin)
    )
    for one, other in zip(ours, theirs):
        assert_array_equal(one, other)


@pytest.mark.parametrize("kind", range(5))
@pytest.mark.parametrize("n_threads", [2, 3, 7])
def test_threads_change_no_bit_of_similarities(rng, kind, n_threads):
    left, right = csr(rng, (50, 20), "f", True), csr(rng, (20, 50), "f", True)
    sizes = rng.uniform(60, 90, (2, 50))
    results = [
        nearest(similarity, left, right, sizes, (kind, 1.0, 0.0, True), (0, 50, 6, True), "f", t)
        for t in (1, n_threads)
    ]
    for one, other in zip(*results):
        assert_array_equal(one, other)


@pytest.fixture(params=[(3, 4, 5), (1, 1, 1), (12, 40, 30), (8, 200, 6)], ids=str)
def speakers(request, rng):
    """Return a function that gives states, links and their transposed."""
    n, m, n_targets = request.param

    def build(dtype, weighted):
        states, links = csr(rng, (n, m), dtype, weighted), csr(rng, (m, n_targets), dtype, weighted)
        return states, links, transposed(links, n_targets), request.param

    return build


@pytest.mark.parametrize("dtype", ["d", "f"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("rule", [(1, True, 0.0, True), (3, True, 0.7, False), (2, False, 0.0, True), (99, True, 0, 1)])
def test_what_neighbours_say(speakers, dtype, weighted, rule):
    states, links, back, (n, m, n_targets) = speakers(dtype, weighted)
    rows, targets = np.indices((n, n_targets), dtype=np.int32).reshape(2, -1).copy()
    results = {}
    for name, module in (("kernel", similarity), ("twin", twin)):
        pairs, block = np.empty(len(rows), dtype), np.empty((n, n_targets), dtype)
        module.say_pairs(*states, *back, m, rows, targets, *rule, pairs, 2)
        module.say_rows(*states, *links, *back, *rule, 0, block, 2)
        assert_array_equal(pairs.reshape(block.shape), block)
        results[name] = block
    assert_allclose(results["kernel"], results["twin"], rtol=0, atol=1e-10 if dtype == "d" else 1e-5)
    last = np.empty((1, n_targets), dtype)
    similarity.say_rows(*states, *links, *back, *rule, n - 1, last, 1)
    assert_array_equal(last[0], results["kernel"][-1])


def test_a_long_row_and_a_short_one_meet(rng):
    long = np.array([0, 400], np.int32), np.arange(400, dtype=np.int32), rng.standard_normal(400), np.empty(0)
    short = np.array([0, 3], np.int32), np.array([0, 250, 399], np.int32), np.ones(3), np.empty(0)
    for a, b in ((long, short), (short, long)):
        out = np.empty(1)
        zero = np.zeros(1, np.int32)
        similarity.say_pairs(*a, *b, 400, zero, zero, 9, False, 0.0, True, out, 1)
        assert_allclose(out, long[2][[0, 250, 399]].sum())


@pytest.mark.skipif(_kernels.LEVEL == "reference", reason="a twin trusts its caller")
@pytest.mark.parametrize("broken", ["indices", "weights", "first", "kind", "rows", "targets", "k", "size", "threads"])
def test_refuses_what_points_outside(rng, broken):
    left, right, empty = csr(rng, (4, 3), "d", False), csr(rng, (3, 4), "d", False), np.empty(0)
    if broken == "indices":
        left = (np.array([0, 1, 1, 1, 1], np.int32), np.array([3], np.int32), np.ones(1), empty)
    if broken == "weights":
        left = (*left[:3], np.ones(len(left[2]) + 1))
    first, kind, n_threads = 1 + 4 * (broken == "first"), 9 if broken == "kind" else 1, int(broken != "threads")
    sizes = np.ones(4 + (broken == "size")), np.ones(4)
    with pytest.raises(ValueError) if broken not in ("rows", "targets", "k") else nullcontext():
        nearest(similarity, left, right, sizes, (kind, 0.0, 0.0, False), (first, 3, 2, False), "d", n_threads)
    back, zero, four = transposed(right, 4), np.zeros(1, np.int32), np.full(1, 4, np.int32)
    rows, targets = four if broken == "rows" else zero, four if broken == "targets" else zero
    k = int(broken != "k")
    n_threads, n_out = int(broken != "threads"), 1 + (broken == "size")
    with pytest.raises(ValueError) if broken not in ("first", "kind") else nullcontext():
        similarity.say_pairs(*left, *back, 3, rows, targets, k, True, 0.0, True, np.empty(n_out), n_threads)
    start, targets = (4 if broken in ("first", "rows") else 0), 5 if broken in ("targets", "size") else 4
    with pytest.raises(ValueError) if broken != "kind" else nullcontext():
        out = np.empty((2, targets))
        similarity.say_rows(*left, *right, *back, k, True, 0.0, True, start, out, n_threads)


@pytest.mark.parametrize("dtype", ["d", "f"])
@pytest.mark.parametrize("root", [0.0, -1.0, np.nan, np.inf])
@pytest.mark.parametrize("side", [0, 1])
def test_refuses_roots_that_are_no_positive_numbers(rng, dtype, root, side):
    pair = [csr(rng, (4, 30), dtype, True), csr(rng, (30, 4), dtype, True)]
    pair[side][3][rng.integers(len(pair[side][3]))] = root
    for module in (similarity, twin):
        with pytest.raises(ValueError):
            nearest(module, *pair, (np.ones(4), np.ones(4)), (3, 0.0, 0.0, False), (0, 4, 4, False), dtype)


@pytest.mark.parametrize("kind", range(5))
def test_refuses_roots_whose_products_vanish(rng, kind):
    # a sum of 0 would be taken for a row not met before, and more rows than there are written down
    left, right = csr(rng, (4, 30), "d", True), csr(rng, (30, 4), "d", True)
    left[3][:], right[3][:] = 1e-200, 1e-200
    for module in (similarity, twin):
        with pytest.raises(ValueError):
            nearest(module, left, right, (np.ones(4), np.ones(4)), (kind, 0.0, 0.0, False), (0, 4, 4, False), "d")
