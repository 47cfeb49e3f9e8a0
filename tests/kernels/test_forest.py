"""Walks through forests: compiled equals twin, by hand, and links that lead astray are refused."""

import numpy as np
import pytest

from skml import _kernels
from skml._kernels import forest
from skml._kernels.reference import forest as twin

BOTH = pytest.mark.parametrize("module", [forest, twin], ids=["compiled", "twin"])
SIZES = [0, 1, 7, 8, 9, 256, 257, 1000]


def some_forest(rng, n_trees, n_columns, with_sets=True, lone=0.2):
    """Return nodes, roots, set_features, sets and the number of leaves of random trees; some are a single leaf."""
    nodes, roots, set_features = [], [], []
    n_leaves = 0
    for _ in range(n_trees):
        begin, size = len(nodes), 0 if rng.random() < lone else int(rng.integers(1, 20))
        roots.append(begin if size else ~n_leaves)
        links = []  # where a child is still to be named
        for _ in range(size):
            here = len(nodes)
            kind = int(rng.choice(3 if with_sets else 2))
            nodes.append([0, 0, int(rng.integers(n_columns)), int(rng.integers(256)) | kind << 8])
            if kind == 2:
                set_features.append(nodes[-1][2])
                nodes[-1][2] = len(set_features) - 1
            if here > begin:
                parent, side = links.pop(int(rng.integers(len(links))))
                nodes[parent][side] = here
            links += [(here, 0), (here, 1)]
        for parent, side in links:
            nodes[parent][side] = ~n_leaves
            n_leaves += 1
        n_leaves += size == 0
    sets = rng.integers(0, 2**32, (len(set_features), 8), dtype=np.uint32)
    nodes = np.array(nodes, np.int32).reshape(-1, 4)
    return (nodes, np.array(roots, np.int32), np.array(set_features, np.int32), sets), n_leaves


def some_codes(rng, n, p, missing=0.2):
    codes = rng.integers(0, 255, (n, p), dtype=np.uint8)
    codes[rng.random((n, p)) < missing] = 255
    return codes


def walked(walks, codes):
    """Return the leaves that rows reach, row by row."""
    nodes, roots, set_features, sets = walks
    leaves = np.empty((len(codes), len(roots)), np.int32)
    for i, row in enumerate(codes.tolist()):
        for t, at in enumerate(roots.tolist()):
            while at >= 0:
                left, right, asked, question = nodes[at].tolist()
                bound, kind = question & 255, question >> 8
                if kind == 2:
                    code = row[set_features[asked]]
                    goes_left = int(sets[asked, code // 32]) >> code % 32 & 1
                else:
                    code = row[asked]
                    goes_left = (code + 1) % 256 <= bound if kind else code <= bound
                at = left if goes_left else right
            leaves[i, t] = ~at
    return leaves


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("with_sets", [False, True])
@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_leaves_equal_the_twins(rng, n, n_threads, with_sets, missing):
    walks, n_leaves = some_forest(rng, 9, 4, with_sets)
    codes = some_codes(rng, n, 4, missing)
    ours, theirs = np.full((2, n, 9), -7, np.int32)
    forest.find_leaves(*walks, codes, ours, n_threads)
    twin.find_leaves(*walks, codes, theirs, 1)
    np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(ours[:60], walked(walks, codes[:60]))
    forest.check(*walks[:3], 4, n_leaves)
    twin.check(*walks[:3], 4, n_leaves)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize(
    ("width", "n_pure", "named"),
    [(1, 0, False), (3, 0, False), (3, 0, True), (3, 3, True), (3, 2, False), (2, 1, True)],
)
def test_sums_equal_the_twins(rng, n, n_threads, width, n_pure, named):
    walks, n_leaves = some_forest(rng, 9, 4)
    codes = some_codes(rng, n, 4)
    n_values = int(rng.integers(1, 30)) if named else n_leaves
    values = rng.normal(size=(n_values, width))
    numbers = rng.integers(0, n_pure + n_values, n_leaves if named else 0).astype(np.int32)
    ours, theirs = np.full((2, n, width), np.nan)
    forest.sum_values(*walks, codes, numbers, values, n_pure, ours, n_threads)
    twin.sum_values(*walks, codes, numbers, values, n_pure, theirs, 1)
    np.testing.assert_array_equal(ours, theirs)  # the same bits: tree after tree
    leaves = walked(walks, codes[:60])
    known = np.concatenate([np.eye(n_pure, width), values])
    expected = known[numbers[leaves] if named else leaves].sum(axis=1)
    np.testing.assert_allclose(ours[:60], expected, rtol=1e-12, atol=1e-12)


@BOTH
def test_trees_that_are_a_single_leaf(module, rng):
    walks = (
        np.empty((0, 4), np.int32),
        np.array([-1, -3, -2], np.int32),
        np.empty(0, np.int32),
        np.empty((0, 8), np.uint32),
    )
    codes, leaves, sums = some_codes(rng, 21, 2), np.empty((21, 3), np.int32), np.empty((21, 2))
    module.check(*walks[:3], 2, 3)
    module.find_leaves(*walks, codes, leaves, 2)
    np.testing.assert_array_equal(leaves, np.tile([0, 2, 1], (21, 1)))
    values = np.array([[1.0, 10], [2, 20], [4, 40]])
    module.sum_values(*walks, codes, np.empty(0, np.int32), values, 0, sums, 2)
    np.testing.assert_array_equal(sums, np.tile([7.0, 70], (21, 1)))
    # ... which say a class each, and no values are needed
    module.sum_values(*walks, codes, np.array([1, 1, 0], np.int32), np.empty((0, 2)), 2, sums, 1)
    np.testing.assert_array_equal(sums, np.tile([1.0, 2], (21, 1)))


@BOTH
@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("copies", [1, 100], ids=["few rows", "many rows"])
@pytest.mark.parametrize("with_sets", [False, True])
def test_kinds_by_hand(module, missing, copies, with_sets):
    n = 6 if missing else 5
    codes = np.tile(np.array([[0], [3], [4], [64], [254], [255]], np.uint8)[:n], (copies, 1))
    sets = np.zeros((1, 8), np.uint32)
    sets[0, 0], sets[0, 2], sets[0, 7] = 1 << 3, 1, 1 << 31
    for question, asked, right in (
        (3, 0, [0, 0, 1, 1, 1, 1]),  # up to 3 goes left, missing right
        (4 | 1 << 8, 0, [0, 0, 1, 1, 1, 0]),  # the same with missing left
        (0 | 1 << 8, 0, [1, 1, 1, 1, 1, 0]),  # missing alone goes left
        (254, 0, [0, 0, 0, 0, 0, 1]),  # missing alone goes right
        (255, 0, [0, 0, 0, 0, 0, 0]),
        (2 << 8, 0, [1, 0, 1, 0, 1, 0]),  # the set {3, 64, 255}
    ):
        if question >> 8 == 2 and not with_sets:
            continue
        leaves = np.empty((n * copies, 1), np.int32)
        nodes = np.array([[-1, -2, asked, question]], np.int32)
        held = (np.zeros(1, np.int32), sets) if with_sets else (np.zeros(0, np.int32), sets[:0])
        module.find_leaves(nodes, np.zeros(1, np.int32), *held, codes, leaves, 1)
        np.testing.assert_array_equal(leaves[:, 0], right[:n] * copies, err_msg=str(question))


def sound():
    """Return a forest of two trees and a set, with its arguments to `check`."""
    nodes = np.array([[1, ~0, 0, 5], [~1, ~2, 0, 2 << 8], [~3, ~4, 1, 7 | 1 << 8]], np.int32)
    return nodes, np.array([0, 2], np.int32), np.array([1], np.int32), 2, 5


@BOTH
def test_links_that_lead_astray_are_refused(module):
    nodes, *others = sound()
    module.check(nodes, *others)
    for at, value in (
        ((0, 0), 3),  # no such node
        ((0, 0), 0),  # round and round
        ((1, 1), 0),
        ((2, 0), 1),
        ((0, 1), -6),  # no such leaf
        ((0, 1), -(2**31)),
        ((0, 0), 2**31 - 1),
        ((0, 2), 2),  # no such column
        ((0, 2), -1),
        ((1, 2), 1),  # no such set
        ((1, 2), -1),
        ((2, 2), 2**31 - 1),
    ):
        wrong = nodes.copy()
        wrong[at] = value
        with pytest.raises(ValueError):
            module.check(wrong, *others)


@BOTH
def test_roots_and_sets_that_lead_astray_are_refused(module):
    nodes, roots, set_features, n_columns, n_leaves = sound()
    for wrong in ([0, 3], [0, -6], [2**31 - 1, 0], [-(2**31), 0]):
        with pytest.raises(ValueError):
            module.check(nodes, np.array(wrong, np.int32), set_features, n_columns, n_leaves)
    for wrong in ([2], [-1]):
        with pytest.raises(ValueError):
            module.check(nodes, roots, np.array(wrong, np.int32), n_columns, n_leaves)
    for columns, leaves in ((1, 5), (2, 4), (2, 0), (0, 5)):
        with pytest.raises(ValueError):
            module.check(nodes, roots, set_features, columns, leaves)
    for width in (0, 3, 5):
        with pytest.raises(ValueError):
            module.check(np.resize(nodes, (3, width)), roots, set_features, n_columns, n_leaves)


@BOTH
def test_wrong_shapes_are_refused(module):
    nodes, roots, set_features, *_ = sound()
    sets = np.zeros((1, 8), np.uint32)
    codes, leaves, sums = np.zeros((9, 2), np.uint8), np.zeros((9, 2), np.int32), np.zeros((9, 3))
    no_names, values = np.empty(0, np.int32), np.zeros((5, 3))
    module.find_leaves(nodes, roots, set_features, sets, codes, leaves, 1)
    module.sum_values(nodes, roots, set_features, sets, codes, no_names, values, 0, sums, 1)
    for walks in (
        (nodes[:, :3].copy(), roots, set_features, sets),
        (nodes, roots[:0], set_features, sets),
        (nodes, roots, set_features, sets[:, :7].copy()),
        (nodes, roots, set_features[:0], sets),
    ):
        with pytest.raises(ValueError):
            module.find_leaves(*walks, codes, leaves, 1)
        with pytest.raises(ValueError):
            module.sum_values(*walks, codes, no_names, values, 0, sums, 1)
    walks = nodes, roots, set_features, sets
    for wrong in (leaves[:8], leaves[:, :1].copy()):
        with pytest.raises(ValueError):
            module.find_leaves(*walks, codes, wrong, 1)
    for parts in (
        (values[:, :2].copy(), 0, sums),
        (values, 4, sums),
        (values, 0, sums[:8]),
        (values, 0, sums[:, :0].copy()),
    ):
        with pytest.raises(ValueError):
            module.sum_values(*walks, codes, no_names, *parts, 1)


@pytest.mark.skipif(_kernels.LEVEL == "reference", reason="a twin trusts its caller")
def test_wrong_types_and_threads_are_refused():
    nodes, roots, set_features, *_ = sound()
    sets = np.zeros((1, 8), np.uint32)
    parts = [nodes, roots, set_features, sets, np.zeros((9, 2), np.uint8), np.zeros((9, 2), np.int32)]
    with pytest.raises(ValueError, match="n_threads must be at least 1"):
        forest.find_leaves(*parts, 0)
    for i, kind in enumerate((np.int64, np.int64, np.int64, np.int32, np.int8, np.int64)):
        wrong = [part.astype(kind) if i == j else part for j, part in enumerate(parts)]
        with pytest.raises(ValueError, match="Buffer dtype mismatch"):
            forest.find_leaves(*wrong, 1)
    for i in (0, 3, 4, 5):
        wrong = [np.asfortranarray(part) if i == j else part for j, part in enumerate(parts)]
        if not wrong[i].flags.c_contiguous:
            with pytest.raises(ValueError, match="not C-contiguous"):
                forest.find_leaves(*wrong, 1)
