"""Trees: compiled equals twin node by node, best splits found by hand, and those of scikit-learn."""

import dataclasses
import itertools

import numpy as np
import pytest
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from skml import _kernels
from skml._kernels import bins as codes_kernels
from skml._kernels import trees
from skml._kernels.reference import trees as twin
from skml.ensemble.binning import MISSING, Bins, Packed, Table
from skml.ensemble.criteria import ABSOLUTE, ENTROPY, GINI, POISSON, SQUARED
from skml.ensemble.grower import Rule, fixed_point, room

LAYOUTS = ("C", "F", "strided", "sparse", "packed")
NO_LIMITS = Rule(
    criterion=GINI,
    max_depth=2**31 - 1,
    max_leaves=0,
    max_features=2**31 - 1,
    min_split=2,
    min_leaf=1,
    min_weight=0.0,
    min_gain=-np.inf,
    monotonic=np.empty(0, np.int8),
)


def rule_of(criterion, **limits):
    return dataclasses.replace(NO_LIMITS, criterion=criterion, **limits)


def bins_of(n_codes, categorical=None, edges=None):
    """Return bins of as many codes per feature; the edges are whole numbers unless given."""
    p = len(n_codes)
    categorical = np.zeros(p, np.uint8) if categorical is None else np.asarray(categorical, np.uint8)
    if edges is None:
        edges = [np.append(np.arange(n - 1.0), np.inf) for n in n_codes]
    starts = np.append(0, np.cumsum([len(own) for own in edges])).astype(np.int64)
    return Bins(np.concatenate(edges), starts, np.zeros(starts[-1], np.uint8), categorical, np.full(p, 254, np.uint8))


def packed_of(codes, common):
    """Return packed rows."""
    n, p = codes.shape
    words, starts = np.empty((n, -(-p // 48)), np.uint64), np.empty(n + 1, np.int64)
    room = np.empty(codes.size, np.uint8)
    codes_kernels.pack(np.ascontiguousarray(codes), common, words, starts, room)
    held = room[: starts[-1]].copy()
    columns = np.zeros((p, -(-n // 64)), np.uint64), np.empty(p + 1, np.int64), np.empty(len(held), np.uint8)
    codes_kernels.turn(words, starts, held, *columns)
    return Packed(words, starts, held, *columns)


def table_of(codes, layout="C", bins=None):
    """Return a table of codes in some layout."""
    codes = np.asarray(codes, np.uint8)
    n, p = codes.shape
    bins = bins_of([255] * p) if bins is None else bins
    none = np.empty(0, np.uint8)
    empty = none.reshape(0, 0)
    if layout == "packed":
        common = codes[-1].copy()
        sparse = np.empty(0, np.int64), np.empty(0, np.int32), none
        return Table(empty, empty, *sparse, common, bins, n, packed_of(codes, common))
    if layout == "sparse":
        zeros = codes[-1].copy()
        columns = [np.flatnonzero(codes[:, f] != zeros[f]) for f in range(p)]
        entries = np.concatenate([codes[rows, f] for f, rows in enumerate(columns)])
        starts = np.append(0, np.cumsum([len(rows) for rows in columns])).astype(np.int64)
        return Table(
            empty,
            empty,
            starts,
            np.concatenate(columns).astype(np.int32),
            entries,
            zeros,
            bins,
            n,
        )
    if layout == "strided":
        wide = np.zeros((2 * n, 3 * p), np.uint8)
        wide[::2, ::-3][:, :p] = codes
        codes = wide[::2, ::-3][:, :p]
    codes = codes if layout == "strided" else np.array(codes, order=layout)
    by_row = np.ascontiguousarray(codes) if codes.flags.f_contiguous else empty
    return Table(codes, by_row, np.empty(0, np.int64), np.empty(0, np.int32), none, none, bins, n)


def grow(module, table, rule, targets, rows=None, weights=None, features=None, seed=1, class_weights=None, x_log_x=()):
    """Grow a tree and return all that it is, by name. Targets: (y, first) for classes, else Numbers."""
    rows = np.arange(table.n_rows, dtype=np.int32) if rows is None else rows.copy()
    weights = np.ones(len(rows), np.int32) if weights is None else weights.copy()
    p = len(table.categorical)
    features = np.arange(p, dtype=np.int32) if features is None else features
    grown = room(len(rows))
    if isinstance(targets, tuple):
        y, first = np.ascontiguousarray(targets[0][:, rows], dtype=np.int32), np.asarray(targets[1], np.int32)
        class_weights = np.ones(first[-1]) if class_weights is None else class_weights
        parts = (y, first, class_weights, np.asarray(x_log_x, np.float64))
        sizes = module.grow_classes(table, rule, rows, weights, *parts, features, seed, grown)
    else:
        y = np.ascontiguousarray(targets.fixed[:, rows])
        parts = (y, targets.units, targets.offsets)
        sizes = module.grow_numbers(table, rule, rows, weights, *parts, features, seed, grown)
    n_inner, n_sets, n_leaves = sizes
    tree = {"sizes": np.array(sizes), "rows": rows, "weights": weights, "targets": y}
    tree |= {name: getattr(grown, name)[:n_inner] for name in ("features", "children", "codes", "kinds")}
    tree |= {name: getattr(grown, name)[:n_sets] for name in ("set_features", "sets")}
    return tree | {
        "leaf_begins": grown.leaf_begins[:n_leaves],
        "bounds": grown.bounds[:n_leaves],
        "gains": grown.gains[:n_inner],
    }


def assert_same(table, rule, targets, **parts):
    """Compare compiled and twin; return the tree."""
    ours, theirs = (grow(module, table, rule, targets, **parts) for module in (trees, twin))
    for name in ours:
        if name in ("gains", "bounds"):
            np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-9, atol=1e-9, err_msg=name)
        else:
            np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)
    assert ours["sizes"][2] == ours["sizes"][0] + 1
    np.testing.assert_array_equal(
        np.sort(ours["rows"]), np.arange(table.n_rows) if "rows" not in parts else parts["rows"]
    )
    return ours


def some_codes(rng, n, p=5, missing=True):
    """Return codes of features with 2 to 255 values, one of them constant, some missing."""
    sizes = np.array([2, 3, 17, 255, 1, 40, 5][:p])
    codes = (rng.random((n, p)) * sizes).astype(np.uint8)
    if missing:
        codes[rng.random((n, p)) < np.where(np.arange(p) % 2, 0.3, 0)] = MISSING
    edges = [np.append(np.cumsum(rng.exponential(size=size - 1)), np.inf) for size in sizes]
    return codes, sizes, edges


def some_classes(rng, n, sizes):
    first = np.append(0, np.cumsum(sizes))
    return np.array([rng.integers(a, b, n) for a, b in itertools.pairwise(first)]), first


def some_bag(rng, n):
    """Return some of the rows, and weights."""
    rows = np.flatnonzero(rng.random(n) < 0.8)
    rows = (rows if len(rows) else np.array([n - 1])).astype(np.int32)
    return {"rows": rows, "weights": rng.integers(1, 5, len(rows)).astype(np.int32), "seed": int(rng.integers(2**63))}


def x_log_x(n):
    x = np.arange(n, dtype=np.float64)
    return x * np.log(np.maximum(x, 1))


def some_numbers(rng, n, n_outputs=1, least=-9.0):
    return fixed_point(rng.uniform(least, 9.0, size=(n_outputs, n)), 8 * n)


# -------------------------------------------------------------------------------------- compiled equals twin


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("n", [1, 2, 9, 300])
@pytest.mark.parametrize("sizes", [(2,), (3,), (40,), (2, 3)])
@pytest.mark.parametrize("criterion", [GINI, ENTROPY])
def test_trees_of_classes_equal_the_twins(rng, layout, n, sizes, criterion):
    codes, n_codes, edges = some_codes(rng, n)
    table = table_of(codes, layout, bins_of(n_codes, edges=edges))
    logs = x_log_x(int(rng.choice([0, 7, 2000]))) if criterion == ENTROPY else ()
    assert_same(table, rule_of(criterion), some_classes(rng, n, sizes), x_log_x=logs, **some_bag(rng, n))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("n", [1, 2, 9, 300])
@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("criterion", [SQUARED, POISSON, ABSOLUTE])
def test_trees_of_numbers_equal_the_twins(rng, layout, n, n_outputs, criterion):
    codes, n_codes, edges = some_codes(rng, n)
    table = table_of(codes, layout, bins_of(n_codes, edges=edges))
    targets = some_numbers(rng, n, n_outputs, least=3.0 if criterion == POISSON else -9.0)
    few = {"min_split": 60, "max_depth": 4} if criterion == ABSOLUTE and n > 9 else {}  # the twin is slow
    assert_same(table, rule_of(criterion, **few), targets, **some_bag(rng, n))


LIMITS = [
    {"max_depth": 3},
    {"max_depth": 0},
    {"max_features": 1},
    {"max_features": 2},
    {"min_split": 20},
    {"min_leaf": 9},
    {"min_weight": 12.5},
    {"min_gain": 2.03},
    {"max_leaves": 2},
    {"max_leaves": 11},
    {"max_leaves": 10**6},
    {"max_leaves": 7, "max_depth": 3, "max_features": 3, "min_leaf": 4},
]


@pytest.mark.parametrize("limits", LIMITS, ids=str)
@pytest.mark.parametrize("kind", ["two", "three", "numbers"])
def test_limits_mean_the_same(rng, limits, kind):
    codes, n_codes, edges = some_codes(rng, 300)
    bag = some_bag(rng, 300)
    targets = some_numbers(rng, 300) if kind == "numbers" else some_classes(rng, 300, (2 if kind == "two" else 3,))
    rule = rule_of(SQUARED if kind == "numbers" else GINI, **limits)
    tree = assert_same(table_of(codes, bins=bins_of(n_codes, edges=edges)), rule, targets, **bag)
    sizes = np.add.reduceat(tree["weights"], np.sort(tree["leaf_begins"]))
    assert len(sizes) == 1 or sizes.min() >= max(rule.min_leaf, rule.min_weight)
    assert rule.max_leaves == 0 or len(sizes) <= rule.max_leaves
    assert len(sizes) <= 2 ** min(rule.max_depth, 30)


@pytest.mark.parametrize("kind", ["two", "three", "numbers", "several"])
@pytest.mark.parametrize("layout", ["C", "sparse"])
def test_categories_equal_the_twins(rng, kind, layout):
    codes, n_codes, edges = some_codes(rng, 300)
    table = table_of(codes, layout, bins_of(n_codes, categorical=[1, 1, 1, 0, 1], edges=edges))
    # Of several classes, few rows with few categories can tie in their order; nodes of many rows don't.
    few = {"max_depth": 3, "min_split": 60, "max_features": 3}
    if kind in ("two", "three"):
        targets, limits = some_classes(rng, 300, (2 if kind == "two" else 7,)), {} if kind == "two" else few
    else:
        targets, limits = some_numbers(rng, 300, 1 if kind == "numbers" else 2), {}
    bag = some_bag(rng, 300)
    bag["weights"] = rng.integers(1, 10**5, len(bag["rows"])).astype(np.int32)
    if not isinstance(targets, tuple):
        targets = fixed_point(targets.y, 10**8)
    tree = assert_same(table, rule_of(GINI if kind in ("two", "three") else SQUARED, **limits), targets, **bag)
    assert np.any(tree["kinds"] == 2)
    assert tree["sizes"][1] == np.sum(tree["kinds"] == 2)


@pytest.mark.parametrize("criterion", [GINI, SQUARED, ABSOLUTE])
@pytest.mark.parametrize("limits", [{}, {"max_leaves": 12}])
def test_monotonic_constraints_mean_the_same(rng, criterion, limits):
    codes, n_codes, edges = some_codes(rng, 300)
    few = {"min_leaf": 20} if criterion == ABSOLUTE else {"min_leaf": 3}  # the twin is slow
    rule = rule_of(criterion, monotonic=np.array([1, -1, 0, 1, -1], np.int8), **few, **limits)
    targets = some_classes(rng, 300, (2,)) if criterion == GINI else some_numbers(rng, 300)
    tree = assert_same(table_of(codes, bins=bins_of(n_codes, edges=edges)), rule, targets, **some_bag(rng, 300))
    assert tree["sizes"][2] > 1
    assert np.all(tree["bounds"][:, 0] <= tree["bounds"][:, 1])
    assert np.any(np.isfinite(tree["bounds"]))


@pytest.mark.parametrize("sizes", [(2,), (3,), (3, 2)])
@pytest.mark.parametrize("criterion", [GINI, ENTROPY])
def test_class_weights_mean_the_same(rng, sizes, criterion):
    codes, n_codes, edges = some_codes(rng, 300)
    targets = some_classes(rng, 300, sizes)
    class_weights = 2.0 ** rng.integers(-3, 4, sum(sizes))
    parts = {"class_weights": class_weights, **some_bag(rng, 300)}
    rule = rule_of(criterion, min_weight=float(class_weights.min()))
    assert_same(table_of(codes, bins=bins_of(n_codes, edges=edges)), rule, targets, **parts)


def test_some_features_may_be_split(rng):
    codes, n_codes, edges = some_codes(rng, 100)
    features = np.array([3, 1], np.int32)
    table = table_of(codes, bins=bins_of(n_codes, edges=edges))
    tree = assert_same(table, NO_LIMITS, some_classes(rng, 100, (2,)), features=features, **some_bag(rng, 100))
    assert set(tree["features"]) == {1, 3}


@pytest.mark.parametrize("layout", LAYOUTS[1:])
def test_the_layout_changes_no_bit(rng, layout):
    codes, n_codes, edges = some_codes(rng, 400)
    codes[rng.random(codes.shape) < 0.9] = 0  # few entries, looked up from either side
    targets, bag, bins = some_numbers(rng, 400, 2), some_bag(rng, 400), bins_of(n_codes, edges=edges)
    ours = grow(trees, table_of(codes, "C", bins), rule_of(SQUARED), targets, **bag)
    others = grow(trees, table_of(codes, layout, bins), rule_of(SQUARED), targets, **bag)
    for name, value in ours.items():
        np.testing.assert_array_equal(value, others[name], err_msg=name)


@pytest.mark.parametrize("kind", ["two", "many", "numbers", "several"])
@pytest.mark.parametrize("max_features", [9, 2**31 - 1])
def test_small_nodes_of_packed_tables_are_those_of_dense_ones(rng, kind, max_features):
    # Among 3000 rows nodes of up to 62 look at rows, larger ones at columns; 100 features fill three words.
    codes = np.where(rng.random((3000, 100)) < 0.2, rng.integers(0, 256, (3000, 100)), 7).astype(np.uint8)
    bag, rule = some_bag(rng, 3000), rule_of(SQUARED, max_features=max_features)
    targets = some_numbers(rng, 3000, 1 if kind == "numbers" else 2)
    if kind in ("two", "many"):
        targets, rule = (
            some_classes(rng, 3000, (2 if kind == "two" else 70,)),
            dataclasses.replace(rule, criterion=GINI),
        )
    ours, theirs = (grow(trees, table_of(codes, layout), rule, targets, **bag) for layout in ("packed", "C"))
    for name, value in theirs.items():
        np.testing.assert_array_equal(ours[name], value, err_msg=name)
    assert theirs["sizes"][2] > 60


@pytest.mark.parametrize("layout", ["C", "packed", "sparse"])
@pytest.mark.parametrize("kind", ["two", "three", "numbers", "several"])
@pytest.mark.parametrize("limits", [{}, {"max_leaves": 9}, {"min_leaf": 40}], ids=str)
def test_histograms_that_children_inherit_equal_the_twins(rng, layout, kind, limits):
    # Nodes of 256 rows and more, all features tried: the larger child's sums are what the smaller one leaves.
    codes, n_codes, edges = some_codes(rng, 1200)
    table = table_of(codes, layout, bins_of(n_codes, edges=edges))
    rule = rule_of(SQUARED if kind in ("numbers", "several") else GINI, min_split=100, **limits)
    if kind in ("numbers", "several"):
        targets = some_numbers(rng, 1200, 1 if kind == "numbers" else 2)
    else:
        targets = some_classes(rng, 1200, (2 if kind == "two" else 3,))
    assert_same(table, rule, targets, **some_bag(rng, 1200))


@pytest.mark.skipif(_kernels.LEVEL == "reference", reason="a twin trusts its caller")
@pytest.mark.parametrize("field", ["words", "starts", "column_words", "column_starts"])
def test_packed_rows_that_lead_astray_are_refused(rng, field):
    codes = rng.integers(0, 3, (70, 50)).astype(np.uint8)
    table = table_of(codes, "packed")
    broken = getattr(table.packed, field).copy()
    broken.reshape(-1)[-1] += 1
    if field.endswith("words"):
        broken.reshape(-1)[-1] = 2**64 - 1
    table = dataclasses.replace(table, packed=dataclasses.replace(table.packed, **{field: broken}))
    with pytest.raises(ValueError, match="packed rows"):
        grow(trees, table, NO_LIMITS, some_classes(rng, 70, (2,)))


def test_a_weight_is_as_many_copies(rng):
    codes, n_codes, edges = some_codes(rng, 200)
    y, first = some_classes(rng, 200, (3,))
    weights = rng.integers(1, 4, 200).astype(np.int32)
    owners = np.repeat(np.arange(200), weights)
    bins = bins_of(n_codes, edges=edges)
    weighted = grow(trees, table_of(codes, bins=bins), rule_of(GINI, min_leaf=4), (y, first), weights=weights)
    copied = grow(trees, table_of(codes[owners], bins=bins), rule_of(GINI, min_leaf=4), (y[:, owners], first))
    for name in ("sizes", "features", "children", "codes", "kinds", "gains"):
        np.testing.assert_array_equal(weighted[name], copied[name], err_msg=name)


def test_the_seed_changes_the_tree(rng):
    codes, n_codes, edges = some_codes(rng, 300)
    table, targets = table_of(codes, bins=bins_of(n_codes, edges=edges)), some_classes(rng, 300, (2,))
    grown = [grow(trees, table, rule_of(GINI, max_features=1), targets, seed=seed) for seed in range(20)]
    assert len({tuple(tree["features"][:5]) for tree in grown}) > 1


def test_draws_of_features_are_even():
    # Four features that tell the same: the first drawn is kept.
    codes = np.repeat(np.arange(4, dtype=np.uint8)[:, None], 4, axis=1)
    targets = (np.array([[0, 0, 1, 1]]), [0, 2])
    found = [grow(trees, table_of(codes), NO_LIMITS, targets, seed=seed)["features"][0] for seed in range(4000)]
    assert np.all(np.abs(np.bincount(found, minlength=4) - 1000) < 150)  # 5.5 standard deviations, of fixed seeds


# ------------------------------------------------------------------------------------------ found by hand


BOTH = pytest.mark.parametrize("module", [trees, twin], ids=["compiled", "twin"])


def stump(module, codes, targets, criterion, bins=None, **parts):
    codes = np.asarray(codes, np.uint8)
    table = table_of(codes.reshape(len(codes), -1), bins=bins)
    return grow(module, table, rule_of(criterion, max_depth=1), targets, **parts)


@BOTH
def test_gini_by_hand(module):
    # After two rows: 2 + 10/4 = 4.5 against 18/6 = 3 before; after four the same, and the first is kept.
    y = (np.array([[0, 0, 1, 0, 1, 1]]), [0, 2])
    tree = stump(module, range(6), y, GINI)
    assert tree["codes"].tolist() == [1]
    assert tree["gains"] == pytest.approx(1.5)
    np.testing.assert_array_equal(tree["leaf_begins"], [2, 0])  # the right side is put away first
    np.testing.assert_array_equal(tree["children"], [[~1, ~0]])
    # With the last row twice: after four rows 10/4 + 3 = 5.5, after two 2 + 17/5 = 5.4.
    tree = stump(module, range(6), y, GINI, weights=np.array([1, 1, 1, 1, 1, 2], np.int32))
    assert tree["codes"].tolist() == [3]
    assert tree["gains"] == pytest.approx(5.5 - 25 / 7)


@BOTH
def test_entropy_by_hand(module):
    y = (np.array([[0, 0, 1, 1, 2, 2]]), [0, 3])
    tree = stump(module, range(6), y, ENTROPY)
    assert tree["codes"].tolist() == [1]
    assert tree["gains"] == pytest.approx(6 * np.log(3) - 4 * np.log(2))
    # Class 2 weighs four times: it is split off first.
    tree = stump(module, range(6), y, ENTROPY, class_weights=np.array([1.0, 1, 4]))
    assert tree["codes"].tolist() == [3]
    assert tree["gains"] == pytest.approx(12 * np.log(12) - 8 * np.log(8) - 4 * np.log(4))


@BOTH
def test_squares_by_hand(module):
    tree = stump(module, range(6), fixed_point(np.array([[0.0, 0, 0, 10, 10, 12]]), 6), SQUARED)
    assert tree["codes"].tolist() == [2]
    assert tree["gains"] == pytest.approx(9 / 6 * (32 / 3) ** 2)
    two = fixed_point(np.array([[0.0, 0, 0, 10, 10, 12], [5.0, 105, 105, 105, 105, 105]]), 6)
    tree = stump(module, range(6), two, SQUARED)
    assert tree["codes"].tolist() == [0]
    assert tree["gains"] == pytest.approx(5 / 6 * (100**2 + 6.4**2))


@BOTH
def test_poisson_by_hand(module):
    y = np.array([1.0, 1, 4, 4, 4, 1])
    tree = stump(module, range(6), fixed_point(y[None], 6), POISSON)
    scores = [sum(part.sum() * np.log(part.mean()) for part in (y[:k], y[k:])) for k in range(1, 6)]
    assert np.argmax(scores) == 1
    assert tree["codes"].tolist() == [1]
    assert tree["gains"] == pytest.approx(max(scores) - 15 * np.log(2.5))


@BOTH
def test_absolute_errors_by_hand(module):
    # Of 0 0 1 | 7 8 20: 1 + 13 around the medians 0 and 8, against 34 around any number from 1 to 7.
    y = np.array([[0.0, 0, 1, 7, 8, 20]])
    tree = stump(module, range(6), fixed_point(y, 6), ABSOLUTE)
    assert tree["codes"].tolist() == [2]
    assert tree["gains"] == pytest.approx(34 - 14)
    # With the last nine times, it alone is split off: 0 0 1 7 8 have 15 around 1; before, all had 84 around 20.
    tree = stump(module, range(6), fixed_point(y, 20), ABSOLUTE, weights=np.array([1, 1, 1, 1, 1, 9], np.int32))
    assert tree["codes"].tolist() == [4]
    assert tree["gains"] == pytest.approx(84 - 15)


@BOTH
def test_absolute_errors_go_with_categories_and_missing_values(module):
    y = fixed_point(np.array([[9.0, 0, 9, 0, 8, 1, 9]]), 7)
    tree = stump(module, [0, 1, 2, 3, 0, 1, 2], y, ABSOLUTE, bins_of([6], categorical=[1]))
    assert tree["sets"][0, 0] & 0b1111 == 0b1010
    assert tree["gains"] == pytest.approx(26 - 2)
    y = fixed_point(np.array([[1.0, 0, 9, 0, 8, 0, 9]]), 7)
    tree = stump(module, [0, MISSING, 1, MISSING, 1, 0, 1], y, ABSOLUTE)
    assert (tree["codes"].tolist(), tree["kinds"].tolist()) == ([0], [1])


@BOTH
def test_no_leaf_of_a_poisson_tree_is_all_zeros(module, rng):
    for _ in range(20):
        y = np.append(np.zeros(5), rng.exponential(size=7))
        weights = rng.integers(1, 9, 12).astype(np.int32)
        tree = stump(module, np.repeat([0, 1], [5, 7]), fixed_point(y[None], 108), POISSON, weights=weights)
        assert tree["sizes"].tolist() == [0, 0, 1]
        tree = stump(module, [0, 1, 2] * 4, fixed_point(y[None], 108), POISSON, weights=weights)
        assert tree["sizes"][0] == 1


@BOTH
@pytest.mark.parametrize("criterion", [GINI, SQUARED])
def test_categories_by_hand(module, criterion):
    y = np.array([1, 0, 1, 0, 1, 0, 1])
    targets = (y[None], [0, 2]) if criterion == GINI else fixed_point(y[None] * 7.0, 7)
    codes = [0, 1, 2, 3, 0, 1, 2]
    tree = stump(module, codes, targets, criterion, bins_of([6], categorical=[1]))
    assert tree["kinds"].tolist() == [2]
    assert tree["features"].tolist() == tree["set_features"].tolist() == [0]
    np.testing.assert_array_equal(tree["sets"], [[0b1010, 0, 0, 0, 0, 0, 0, 0]])  # others go with the heavier side
    np.testing.assert_array_equal(tree["rows"], [1, 3, 5, 0, 2, 4, 6])
    weights = np.array([1, 5, 1, 1, 1, 1, 1], np.int32)
    tree = stump(module, codes, targets, criterion, bins_of([6], categorical=[1]), weights=weights)
    np.testing.assert_array_equal(tree["sets"], [[2**32 - 1 - 0b101, *[2**32 - 1] * 7]])


@BOTH
def test_categories_of_several_classes_by_hand(module):
    # Categories 0, 2, 5 hold classes 0 and 1 alike, 1 and 3 hold class 2.
    codes, y = [0, 0, 2, 2, 5, 5, 1, 1, 3, 3, 3], [0, 1, 0, 1, 0, 1, 2, 2, 2, 2, 2]
    tree = stump(module, codes, (np.array([y]), [0, 3]), GINI, bins_of([6], categorical=[1]))
    left = tree["sets"][0, 0] & 0b101111
    assert left in (0b100101, 0b001010)
    assert tree["gains"] == pytest.approx(3 + 5 - (9 + 9 + 25) / 11)


@BOTH
@pytest.mark.parametrize("side", [0, 1])
def test_missing_goes_to_the_better_side(module, side):
    codes = [0, 0, 0, MISSING, MISSING, 1, 1, 1]
    y = np.array([0, 0, 0, side, side, 1, 1, 1])
    for targets, criterion in (((y[None], [0, 2]), GINI), (fixed_point(y[None] * 3.0, 8), SQUARED)):
        tree = stump(module, codes, targets, criterion)
        assert tree["codes"].tolist() == [0]
        assert tree["kinds"].tolist() == [1 - side]
        np.testing.assert_array_equal(tree["leaf_begins"], [3 if side else 5, 0])


@BOTH
def test_missing_can_be_split_from_the_rest(module):
    codes, y = [0, 3, 1, MISSING, MISSING, 2], np.array([[0, 0, 0, 1, 1, 0]])
    tree = stump(module, codes, (y, [0, 2]), GINI, bins_of([9]))
    # All numbers go left, those that the node hasn't seen as well.
    assert (tree["codes"].tolist(), tree["kinds"].tolist()) == ([8], [0])
    np.testing.assert_array_equal(tree["rows"], [0, 1, 2, 5, 3, 4])


@BOTH
@pytest.mark.parametrize(("weights", "kind"), [([1, 1, 1, 2], 0), ([1, 1, 1, 1], 1), ([2, 2, 1, 1], 1)])
def test_where_none_is_missing_it_goes_with_the_heavier_side(module, weights, kind):
    y = (np.array([[0, 0, 1, 1]]), [0, 2])
    tree = stump(module, range(4), y, GINI, weights=np.array(weights, np.int32))
    assert (tree["codes"].tolist(), tree["kinds"].tolist()) == ([1], [kind])


@BOTH
def test_a_cut_is_the_edge_nearest_the_middle_of_the_gap(module):
    y = (np.array([[0, 0, 1, 1]]), [0, 2])
    for edges, code in (([0.0, 1, 2, 9, 10], 1), ([0.0, 4, 5, 6, 10], 2), ([0.0, 8, 9, 9.5, 10], 1)):
        # The codes 0 and 4 meet; the edges 0 to 3 lie between.
        bins = bins_of([6], edges=[np.append(edges, np.inf)])
        centre = (edges[0] + edges[3]) / 2
        nearest = int(np.argmin(np.abs(np.array(edges[:4]) - centre)))
        tree = stump(module, [0, 0, 4, 4], y, GINI, bins)
        assert tree["codes"].tolist() == [nearest], (edges, code)


@BOTH
def test_the_tree_that_gains_most_is_grown_first(module):
    # The right half gains more from its split than the left: with three leaves it is the one that is split.
    y = fixed_point(np.array([[0.0, 1, 100, 120]]), 4)
    tree = grow(module, table_of(np.arange(4)[:, None]), rule_of(SQUARED, max_leaves=3), y)
    np.testing.assert_array_equal(tree["codes"], [1, 2])
    np.testing.assert_array_equal(tree["children"], [[~2, 1], [~1, ~0]])
    np.testing.assert_array_equal(tree["leaf_begins"], [3, 2, 0])


@BOTH
def test_the_least_gain_is_meant_exactly(module):
    y = (np.array([[0, 0, 1, 0, 1, 1]]), [0, 2])
    for least, n_inner in ((1.5, 1), (1.5000001, 0)):
        rule = rule_of(GINI, max_depth=1, min_gain=least)
        assert grow(module, table_of(np.arange(6)[:, None]), rule, y)["sizes"][0] == n_inner


@BOTH
def test_a_split_without_gain_can_be_made(module):
    # Exclusive or: no first split gains anything, two of them tell all.
    codes, y = [[0, 0], [0, 1], [1, 0], [1, 1]], (np.array([[0, 1, 1, 0]]), [0, 2])
    for criterion, weights in itertools.product((GINI, ENTROPY), ([1, 1, 1, 1], [3, 3, 3, 3], [7, 7, 7, 7])):
        parts = {"weights": np.array(weights, np.int32)}
        assert grow(module, table_of(codes), rule_of(criterion), y, **parts)["sizes"][2] == 4


@BOTH
def test_monotonic_by_hand(module):
    # Falling means are had after one row and after two (6 against 4.8 and 4.5); after four they rise most.
    y, table = fixed_point(np.array([[6.0, 6, 2, 2, 7, 7]]), 6), table_of(np.arange(6)[:, None])
    for sign, code in ((0, 3), (1, 3), (-1, 1)):
        rule = rule_of(SQUARED, max_depth=1, monotonic=np.array([sign], np.int8))
        assert grow(module, table, rule, y)["codes"].tolist() == [code], sign
    tree = grow(module, table, rule_of(SQUARED, monotonic=np.array([1], np.int8)), y)
    assert tree["codes"].tolist() == [3]  # on neither side does anything rise
    np.testing.assert_array_equal(tree["bounds"], [[5.5, np.inf], [-np.inf, 5.5]])


# ------------------------------------------------------------------------------- the trees of scikit-learn


def leaves_of(tree):
    """Return a leaf number per row."""
    begins = np.sort(tree["leaf_begins"])
    out = np.empty(len(tree["rows"]), np.int64)
    out[tree["rows"]] = np.searchsorted(begins, np.arange(len(out)), side="right")
    return out


def assert_same_parts(ours, theirs):
    pairs = np.unique(np.column_stack([ours, theirs]), axis=0)
    assert len(pairs) == len(np.unique(ours)) == len(np.unique(theirs))


def known_data(rng, missing):
    codes = rng.integers(0, 6, (120, 3)).astype(np.uint8)
    X = codes.astype(np.float64)
    if missing:
        codes[rng.random(codes.shape) < 0.2] = MISSING
        X[codes == MISSING] = np.nan
    return codes, X


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("criterion", ["gini", "entropy"])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_parts_of_classes_are_those_of_scikit_learn(rng, seed, depth, missing, criterion, n_classes):
    codes, X = known_data(rng, missing)
    y = rng.integers(0, n_classes, 120)
    weights = rng.integers(1, 10**6, 120).astype(np.int32)  # no two splits are equal
    rule = rule_of(GINI if criterion == "gini" else ENTROPY, max_depth=depth)
    tree = grow(trees, table_of(codes), rule, (y[None], [0, n_classes]), weights=weights)
    peer = DecisionTreeClassifier(criterion=criterion, max_depth=depth, random_state=seed)
    peer.fit(X, y, sample_weight=weights)
    assert_same_parts(leaves_of(tree), peer.apply(X))
    impurity, shares = peer.tree_.impurity, peer.tree_.weighted_n_node_samples
    at_leaves = peer.tree_.children_left < 0
    gained = impurity[0] * shares[0] - (impurity * shares)[at_leaves].sum()
    assert tree["gains"].sum() == pytest.approx(gained * (np.log(2) if criterion == "entropy" else 1), rel=1e-6)


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("criterion", ["squared_error", "poisson"])
def test_parts_of_numbers_are_those_of_scikit_learn(rng, seed, depth, missing, criterion):
    codes, X = known_data(rng, missing)
    y = rng.exponential(size=120) + (criterion == "poisson")
    weights = rng.integers(1, 5, 120).astype(np.int32)
    targets = fixed_point(y[None], int(weights.sum()))
    rule = rule_of(SQUARED if criterion == "squared_error" else POISSON, max_depth=depth)
    tree = grow(trees, table_of(codes), rule, targets, weights=weights)
    peer = DecisionTreeRegressor(criterion=criterion, max_depth=depth, random_state=seed)
    peer.fit(X, y, sample_weight=weights)
    assert_same_parts(leaves_of(tree), peer.apply(X))


def test_each_split_by_absolute_errors_is_as_good_as_scikit_learns(rng, seed):
    # Splits can tie exactly, whatever the data: rows between two medians that are the same change nothing.
    codes, X = known_data(rng, False)
    y, weights = rng.normal(size=120), rng.integers(1, 5, 120).astype(np.int32)
    tree = grow(trees, table_of(codes), rule_of(ABSOLUTE, max_depth=3), fixed_point(y[None], 600), weights=weights)
    pending = [(0, np.arange(120))]
    while pending:
        node, rows = pending.pop()
        goes_left = codes[rows, tree["features"][node]] <= tree["codes"][node]
        peer = DecisionTreeRegressor(criterion="absolute_error", max_depth=1, random_state=seed)
        reached = peer.fit(X[rows], y[rows], sample_weight=weights[rows]).apply(X[rows])
        ours, theirs = (
            sum(absolute_error(y[rows[part]], weights[rows[part]]) for part in parts)
            for parts in ((goes_left, ~goes_left), (reached == 1, reached == 2))
        )
        assert ours == pytest.approx(theirs)
        sides = zip(tree["children"][node], (rows[goes_left], rows[~goes_left]))
        pending += [(child, side) for child, side in sides if child >= 0]


def absolute_error(y, weights):
    copies = np.sort(np.repeat(y, weights))
    return np.abs(copies - copies[len(copies) // 2]).sum()


@pytest.mark.parametrize("signs", [[1, 1, 1], [-1, 1, -1], [1, 1, -1]])  # at a sign of 0 it lets bounds be passed
def test_monotonic_parts_are_those_of_scikit_learn(rng, seed, signs):
    codes, X = known_data(rng, False)
    y = rng.normal(size=120)
    rule = rule_of(SQUARED, max_depth=3, monotonic=np.array(signs, np.int8))
    tree = grow(trees, table_of(codes), rule, fixed_point(y[None], 120))
    peer = DecisionTreeRegressor(max_depth=3, monotonic_cst=signs, random_state=seed).fit(X, y)
    assert_same_parts(leaves_of(tree), peer.apply(X))


@pytest.mark.parametrize("n_leaves", [2, 3, 6])
def test_the_best_leaves_are_those_of_scikit_learn(rng, seed, n_leaves):
    codes, X = known_data(rng, False)
    y = rng.normal(size=120)
    tree = grow(trees, table_of(codes), rule_of(SQUARED, max_leaves=n_leaves), fixed_point(y[None], 120))
    peer = DecisionTreeRegressor(max_leaf_nodes=n_leaves, random_state=seed).fit(X, y)
    assert_same_parts(leaves_of(tree), peer.apply(X))


def test_the_best_subset_of_categories_is_found(rng):
    # Of two classes and of numbers the sorted order holds the best of all subsets.
    codes = np.append(np.arange(6), rng.integers(0, 6, 34))[:, None]
    weights = rng.integers(1, 9, 40).astype(np.int32)
    numbers, classes = rng.normal(size=40), rng.integers(0, 2, 40)
    classes[:2] = 0, 1
    for y, targets, criterion in (
        (numbers, fixed_point(numbers[None], 400), SQUARED),
        (classes, (classes[None], [0, 2]), GINI),
    ):
        tree = stump(trees, codes, targets, criterion, bins_of([6], categorical=[1]), weights=weights)
        best = max(between(np.isin(codes[:, 0], subset), y, weights) for k in range(1, 4) for subset in subsets(k))
        assert tree["gains"][0] == pytest.approx(best * (2 if criterion == GINI else 1))


def subsets(k):
    return itertools.combinations(range(6), k)


def between(left, y, weights):
    """Return what a split takes from the sum of squares."""
    mean = np.average(y, weights=weights)
    sides = [(weights[side].sum(), np.average(y[side], weights=weights[side])) for side in (left, ~left)]
    return sum(weight * (m - mean) ** 2 for weight, m in sides)


# ------------------------------------------------------------------------------------- what is refused


def arguments(n=6, p=2):
    """Return sound arguments of both functions, by name."""
    codes = np.random.default_rng(0).integers(0, 3, (n, p)).astype(np.uint8)
    parts = {"table": table_of(codes, bins=bins_of([3] * p)), "rule": NO_LIMITS}
    parts |= {"rows": np.arange(n, dtype=np.int32), "weights": np.ones(n, np.int32)}
    end = {"features": np.arange(p, dtype=np.int32), "seed": 3, "grown": room(n)}
    classes = {"targets": np.zeros((1, n), np.int32), "first": np.array([0, 2], np.int32)}
    numbers = {"targets": np.zeros((1, n), np.int64), "units": np.ones(1), "offsets": np.zeros(1)}
    return parts | classes | {"class_weights": np.ones(2), "x_log_x": np.empty(0)} | end, parts | numbers | end


BAD = {
    "rows": [
        np.arange(5, dtype=np.int32),
        np.arange(1, 7, dtype=np.int32),
        np.arange(-1, 5, dtype=np.int32),
        np.array([0, 1, 3, 2, 4, 5], np.int32),
        np.array([0, 1, 1, 2, 4, 5], np.int32),
    ],
    "weights": [np.ones(5, np.int32), np.array([1, 1, 0, 1, 1, 1], np.int32), np.full(6, -1, np.int32)],
    "features": [np.empty(0, np.int32), np.array([2], np.int32), np.array([-1], np.int32)],
    "rule": [rule_of(GINI, monotonic=np.ones(3, np.int8))],
    "grown": [room(5)],
    "targets": [np.zeros((1, 5)), np.zeros((2, 6)), np.zeros((0, 6)), np.full((1, 6), 2), np.full((1, 6), -1)],
    "first": [np.array([0, 3], np.int32), np.array([1, 2], np.int32), np.array([0, 1, 2], np.int32)],
    "class_weights": [np.ones(1), np.ones(3)],
    "units": [np.ones(2), np.ones(0)],
    "offsets": [np.ones(2)],
}


@BOTH
@pytest.mark.parametrize(("name", "number"), [(name, i) for name, values in BAD.items() for i in range(len(values))])
def test_wrong_arguments_are_refused(module, name, number):
    for function, sound in zip((module.grow_classes, module.grow_numbers), arguments()):
        if name not in sound:
            continue
        bad = BAD[name][number]
        if name == "targets":
            bad = bad.astype(sound["targets"].dtype)
            if function is module.grow_numbers and number > 2:
                continue  # any number may be learned
        function(**sound)
        sound["rows"] = np.arange(6, dtype=np.int32)
        with pytest.raises(ValueError):
            function(**sound | {name: bad})


@pytest.mark.skipif(_kernels.LEVEL == "reference", reason="a twin trusts its caller")
@pytest.mark.parametrize("name", ["rows", "weights", "targets", "first", "class_weights", "features", "units"])
def test_wrong_types_are_refused(name):
    for function, sound in zip((trees.grow_classes, trees.grow_numbers), arguments()):
        if name in sound:
            for kind in (np.float32, np.int16):
                with pytest.raises(ValueError, match="Buffer dtype mismatch"):
                    function(**sound | {name: sound[name].astype(kind)})
    with pytest.raises(TypeError):
        trees.grow_classes(**arguments()[0] | {"seed": "3"})


@pytest.mark.skipif(_kernels.LEVEL == "reference", reason="a twin trusts its caller")
@pytest.mark.parametrize(
    "changed",
    [
        {"codes": np.zeros((5, 2), np.uint8)},
        {"codes": np.zeros((6, 3), np.uint8)},
        {"codes": np.zeros((6, 2), np.int32)},
        {"starts": np.array([0, 0], np.int64)},
        {"starts": np.array([0, 1, 0], np.int64), "zero_codes": np.zeros(2, np.uint8)},
        {"starts": np.array([0, 1, 2], np.int64), "zero_codes": np.zeros(2, np.uint8)},
        {
            "starts": np.array([0, 1, 1], np.int64),
            "zero_codes": np.zeros(2, np.uint8),
            "entry_rows": np.array([6], np.int32),
            "entry_codes": np.zeros(1, np.uint8),
        },
        {
            "starts": np.array([0, 1, 1], np.int64),
            "zero_codes": np.zeros(1, np.uint8),
            "entry_rows": np.array([5], np.int32),
            "entry_codes": np.zeros(1, np.uint8),
        },
        {"bins": bins_of([3, 3, 3])},
        {"bins": dataclasses.replace(bins_of([3, 3]), starts=np.array([0, 3, 7]))},
        {"bins": dataclasses.replace(bins_of([3, 3]), starts=np.array([0, 6, 6]))},
        {"bins": dataclasses.replace(bins_of([3, 3]), starts=np.array([1, 3, 6]))},
        {"n_rows": 7},
    ],
    ids=lambda changed: "-".join(changed),
)
def test_wrong_tables_are_refused(changed):
    for function, sound in zip((trees.grow_classes, trees.grow_numbers), arguments()):
        with pytest.raises(ValueError):
            function(**sound | {"table": dataclasses.replace(sound["table"], **changed)})


def test_codes_without_edges_do_no_harm():
    # A table whose codes exceed its edges is wrong, and not looked for; the tree ends, inside its room.
    codes = np.array([[0], [200], [254], [MISSING]], np.uint8)
    for y in itertools.product((0, 1), repeat=4):
        tree = grow(trees, table_of(codes, bins=bins_of([2])), NO_LIMITS, (np.array([y]), [0, 2]))
        assert tree["sizes"][2] <= 4


@BOTH
def test_weights_of_more_than_32_bits_are_refused(module):
    y = (np.array([[0, 1, 0]]), [0, 2])
    with pytest.raises(ValueError, match=r"add up to less than 2\*\*31"):
        stump(module, range(3), y, GINI, weights=np.full(3, 2**30, np.int32))
