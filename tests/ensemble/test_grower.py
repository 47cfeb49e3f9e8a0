"""Trees from bags: what their leaves say, exact sums, medians, and results that keep their order."""

import dataclasses
import itertools

import numpy as np
import pytest

from skml.ensemble import grower
from skml.ensemble.binning import encode, find_bins, tabulate
from skml.ensemble.criteria import ABSOLUTE, ENTROPY, GINI, POISSON, SQUARED
from skml.ensemble.grower import Classes, Problem, Rule, fixed_point, grow_tree, room
from skml.ensemble.leaf_rows import rows_of_leaves
from skml.ensemble.predictor import leaf_values, leaves, sums
from skml.ensemble.sampling import Bagging, draw_bag

RULE = Rule(
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


def problem_of(X, targets, seed, categorical=None, weights=None, columns=None, bootstrap=True, **rule):
    """Return a problem and its rows' codes."""
    n, p = X.shape
    weights = np.ones(n) if weights is None else weights
    bins = find_bins(X, weights, np.zeros(p, bool) if categorical is None else np.asarray(categorical), 255, 1)
    bagging = Bagging(weights, seed, bootstrap=bootstrap, size=n)
    columns = p if columns is None else columns
    rule = (
        dataclasses.replace(RULE, criterion=GINI if isinstance(targets, Classes) else SQUARED)
        if not rule
        else (dataclasses.replace(RULE, **{"criterion": GINI if isinstance(targets, Classes) else SQUARED} | rule))
    )
    return Problem(tabulate(bins, X, 1), targets, bagging, rule, columns), encode(bins, X, 1)


def some_rows(rng, n=150):
    X = np.column_stack([rng.normal(size=n), rng.integers(0, 4, n), rng.normal(size=n), rng.integers(0, 9, n)])
    X[rng.random(X.shape) < 0.1] = np.nan
    return X


def classes_of(rng, n, sizes=(3,), **options):
    first = np.append(0, np.cumsum(sizes)).astype(np.int32)
    y = np.array([rng.integers(a, b, n) for a, b in itertools.pairwise(first)], np.int32)
    return Classes(y, first, options.pop("weights", np.ones(sum(sizes))), **options)


KINDS = ("one", "two", "several", "numbers", "vectors", "medians", "monotonic")


def some_problem(rng, seed, kind, **rule):
    X = some_rows(rng)
    if kind == "medians":
        rule["criterion"] = ABSOLUTE
    if kind in ("numbers", "vectors", "medians"):
        targets = fixed_point(rng.normal(size=(1 if kind == "numbers" else 3, 150)), 150)
    else:
        targets = classes_of(rng, 150, {"one": (3,), "several": (2, 3)}.get(kind, (2,)))
    if kind == "monotonic":
        rule["monotonic"] = np.array([1, 0, -1, 0], np.int8)
    return problem_of(X, targets, seed, categorical=[False, False, False, True], **rule)


def median_by_hand(y, counts):
    copies = np.sort(np.repeat(y, counts))
    return copies[(len(copies) - 1) // 2] / 2 + copies[len(copies) // 2] / 2


def said_by_hand(problem, leaf, rows, counts):
    """Return what a leaf should say: shares of classes of each output, or means."""
    targets = problem.targets
    y = targets.y[:, rows]
    if not isinstance(targets, Classes):
        if problem.rule.criterion == ABSOLUTE:
            return np.array([median_by_hand(values[leaf], counts[leaf]) for values in y])
        return np.array([np.average(values[leaf], weights=counts[leaf]) for values in y])
    sums = sum(np.bincount(values[leaf], counts[leaf], minlength=targets.first[-1]) for values in y)
    return sums / sums[: targets.first[1]].sum()


@pytest.mark.parametrize("kind", KINDS[:-1])
@pytest.mark.parametrize("min_leaf", [1, 6])
def test_leaves_say_what_their_rows_do(rng, seed, kind, min_leaf):
    problem, codes = some_problem(rng, seed, kind, min_leaf=min_leaf)
    tree, importances, bag = grow_tree(problem, 4)
    rows, counts = draw_bag(problem.bagging, 4)
    np.testing.assert_array_equal(bag, rows)
    reached = leaves(tree, codes[rows], 1)[:, 0]
    assert len(np.unique(reached)) == len(tree.weights) == tree.leaf_starts[-1]
    for number in range(len(tree.weights)):
        leaf = reached == number
        assert tree.weights[number] == counts[leaf].sum() >= min_leaf
        said = leaf_values(tree, np.array([number]))[0]
        np.testing.assert_allclose(said, said_by_hand(problem, leaf, rows, counts), rtol=1e-9, atol=1e-9)
    assert importances.shape == (4,)
    assert np.all(importances > -1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_leaves_are_those_of_the_bag(rng, seed, kind):
    problem, codes = some_problem(rng, seed, kind, min_leaf=3)
    tree, _, rows = grow_tree(problem, 0)
    counts = draw_bag(problem.bagging, 0)[1]
    reached = leaves(tree, codes[rows], 1)[:, 0]
    held = rows_of_leaves(tree, problem.table, problem.bagging, 1)
    assert len(held.starts) == len(tree.weights) + 1
    for number, (begin, end) in enumerate(itertools.pairwise(held.starts)):
        here = reached == number
        np.testing.assert_array_equal(held.rows[begin:end], rows[here])
        np.testing.assert_array_equal(held.shares[begin:end], counts[here] / counts[here].sum())


def test_a_tree_without_limits_knows_its_bag(rng, seed):
    X = rng.permutation(150)[:, None] + rng.normal(size=(150, 3)) / 9
    targets = classes_of(rng, 150)
    problem, codes = problem_of(X, targets, seed)
    tree, _, rows = grow_tree(problem, 2)
    np.testing.assert_array_equal(sums(tree, codes[rows], 1).argmax(axis=1), targets.y[0, rows])
    assert len(tree.values) == 0  # every leaf says one class
    numbers = fixed_point(rng.normal(size=(2, 150)), 150)
    problem, codes = problem_of(X, numbers, seed)
    tree, _, rows = grow_tree(problem, 2)
    np.testing.assert_allclose(sums(tree, codes[rows], 1), numbers.y[:, rows].T, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("criterion", [GINI, ENTROPY, SQUARED, POISSON, ABSOLUTE])
def test_importances_are_what_the_leaves_gain(rng, seed, criterion):
    X = some_rows(rng)
    targets = classes_of(rng, 150) if criterion in (GINI, ENTROPY) else fixed_point(rng.uniform(1, 3, (1, 150)), 150)
    problem, codes = problem_of(X, targets, seed, criterion=criterion, max_depth=4)
    tree, importances, rows = grow_tree(problem, 0)
    counts = draw_bag(problem.bagging, 0)[1]
    y, reached = targets.y[0, rows], leaves(tree, codes[rows], 1)[:, 0]

    def impurity(part):
        weights = counts[part]
        if criterion in (GINI, ENTROPY):
            shares = np.bincount(y[part], weights) / weights.sum()
            return (
                1 - (shares**2).sum() if criterion == GINI else -(shares[shares > 0] * np.log(shares[shares > 0])).sum()
            )
        if criterion == ABSOLUTE:
            return np.average(np.abs(y[part] - median_by_hand(y[part], weights)), weights=weights)
        mean = np.average(y[part], weights=weights)
        return np.average(
            (y[part] - mean) ** 2 if criterion == SQUARED else y[part] * np.log(y[part] / mean), weights=weights
        )

    parts = [reached == number for number in np.unique(reached)]
    left = sum(counts[part].sum() / counts.sum() * impurity(part) for part in parts)
    gained = impurity(np.ones(len(rows), bool)) - left
    power = 0 if criterion in (GINI, ENTROPY) else round(np.log2(importances.sum() / gained))
    assert np.ldexp(importances.sum(), -power) == pytest.approx(gained)


@pytest.mark.parametrize("kind", KINDS)
def test_a_tree_depends_on_its_number_alone(rng, seed, kind):
    problem, codes = some_problem(rng, seed, kind, max_features=2)
    trees = [grow_tree(problem, number) for number in (3, 0, 3)]
    for name, value in vars(trees[0][0]).items():
        np.testing.assert_array_equal(value, getattr(trees[2][0], name), err_msg=name)
    np.testing.assert_array_equal(trees[0][1], trees[2][1])
    assert np.any(leaves(trees[0][0], codes, 1) != leaves(trees[1][0], codes, 1))


def test_the_targets_and_rows_are_left_alone(rng, seed):
    for kind in KINDS:
        problem, _ = some_problem(rng, seed, kind)
        before = problem.targets.y.copy(), problem.table.codes.copy(), problem.bagging.weights.copy()
        grow_tree(problem, 0)
        for was, now in zip(before, (problem.targets.y, problem.table.codes, problem.bagging.weights)):
            np.testing.assert_array_equal(was, now)


def test_few_columns_are_drawn_per_tree(rng, seed):
    X = rng.normal(size=(150, 8))
    problem, _ = problem_of(X, classes_of(rng, 150), seed, columns=3)
    found = [np.unique(grow_tree(problem, number)[0].nodes[:, 2]) for number in range(12)]
    assert all(len(features) <= 3 for features in found)
    assert len(np.unique(np.concatenate(found))) > 3


def test_balanced_bags_weigh_classes_alike(rng, seed):
    X = np.zeros((150, 1))  # nothing to split: one leaf
    y = np.array([[0] * 120 + [1] * 20 + [2] * 10], np.int32)
    targets = Classes(y, np.array([0, 3], np.int32), np.ones(3), balanced=True)
    problem, _ = problem_of(X, targets, seed)
    tree, _, _ = grow_tree(problem, 0)
    present = np.unique(y[0, draw_bag(problem.bagging, 0)[0]])
    np.testing.assert_allclose(leaf_values(tree, np.array([0]))[0, present], 1 / len(present))
    weighted = dataclasses.replace(targets, balanced=False, weights=np.array([1.0, 6, 12]))
    tree, _, _ = grow_tree(dataclasses.replace(problem, targets=weighted), 0)
    rows, counts = draw_bag(problem.bagging, 0)
    held = np.bincount(y[0, rows], counts, minlength=3) * [1, 6, 12]
    np.testing.assert_allclose(leaf_values(tree, np.array([0]))[0], held / held.sum())


@pytest.mark.parametrize("kind", ["one", "numbers"])
def test_limits_are_shares_of_the_bags_weight(rng, seed, kind):
    problem, codes = some_problem(rng, seed, kind, min_weight=0.1)
    tree, _, rows = grow_tree(problem, 0)
    assert len(tree.weights) > 1
    assert tree.weights.min() >= 0.1 * tree.weights.sum() - 1e-6
    problem, _ = some_problem(rng, seed, kind, min_gain=10.0)
    assert len(grow_tree(problem, 0)[0].weights) == 1


def test_monotonic_trees_are_monotonic(rng, seed):
    X = rng.normal(size=(200, 2))
    grid = np.sort(rng.normal(size=300))
    y = X[:, 0] + rng.normal(size=200)
    for targets in (
        fixed_point(y[None], 200),
        Classes((y > 0).astype(np.int32)[None], np.array([0, 2], np.int32), np.ones(2)),
    ):
        problem, _ = problem_of(X, targets, seed, monotonic=np.array([1, 0], np.int8), min_leaf=3)
        tree, _, _ = grow_tree(problem, 0)
        assert len(tree.weights) > 2
        for other in rng.normal(size=5):
            rows = np.column_stack([grid, np.full(300, other)])
            said = sums(tree, encode(find_bins(X, np.ones(200), np.zeros(2, bool), 255, 1), rows, 1), 1)[:, -1]
            assert np.all(np.diff(said) >= -1e-12)


# ------------------------------------------------------------------------------------------- fixed point


@pytest.mark.parametrize("scale", [1e-280, 1e-9, 1.0, 1e9, 1e300])
@pytest.mark.parametrize("total", [60, 2**30])
def test_fixed_point_is_y_to_the_last_digits(rng, scale, total):
    y = rng.normal(size=(2, 60)) * scale + [[0], [1e3 * scale]]
    targets = fixed_point(y, total)
    assert targets.fixed.dtype == np.int64
    again = targets.fixed * targets.units[:, None] + targets.offsets[:, None]
    spread = np.abs(y - y.mean(axis=1, keepdims=True)).max(axis=1)
    gaps = np.abs(again - y).max(axis=1)
    assert np.all(gaps <= spread * (total / 2.0**61) + 8 * np.finfo(float).eps * np.abs(y).max(axis=1))
    assert np.all(np.abs(targets.fixed).max(axis=1).astype(float) * total <= 2.0**61 * 1.001)
    assert np.all(np.abs(targets.fixed).max(axis=1) >= min(2**61 // total, 1000) / 4)  # no digit is wasted


def test_numbers_that_are_all_one_are_kept():
    for value in (0.0, 3.25, -1e200, 1e-300):
        targets = fixed_point(np.full((1, 5), value), 5)
        np.testing.assert_array_equal(targets.fixed * targets.units + targets.offsets, np.full((1, 5), value))


def test_means_do_not_show_the_order_of_rows(rng, seed):
    X, y = rng.integers(0, 5, (150, 2)).astype(float), rng.standard_cauchy((1, 150))
    order = rng.permutation(150)
    found = []
    for rows in (np.arange(150), order):
        problem, _ = problem_of(X[rows], fixed_point(y[:, rows], 150), seed, bootstrap=False)
        # The offset is a mean in floating point: given, the rest is exact.
        fixed = fixed_point(y, 150)
        targets = dataclasses.replace(fixed, y=fixed.y[:, rows].copy(), fixed=fixed.fixed[:, rows].copy())
        tree, importances, _ = grow_tree(dataclasses.replace(problem, targets=targets), 0)
        found.append((tree.nodes, importances))
    for ours, theirs in zip(*found):
        np.testing.assert_array_equal(ours, theirs)


# ----------------------------------------------------------------------------------------------- medians


@pytest.mark.parametrize("few", [False, True])
def test_medians_are_those_of_copies(rng, few):
    for _ in range(30):
        sizes = rng.integers(1, 9, 7)
        begins = np.append(0, np.cumsum(sizes)[:-1])
        y = rng.integers(0, 4, sizes.sum()).astype(float) if few else rng.normal(size=sizes.sum())
        counts = rng.integers(1, 5, sizes.sum()).astype(np.int32)
        expected = [median_by_hand(y[b : b + m], counts[b : b + m]) for b, m in zip(begins, sizes)]
        np.testing.assert_array_equal(grower._medians(y, counts, begins), expected)


def test_medians_by_hand():
    y, counts = np.array([3.0, 1, 2, 9, 7, 5, 5e307]), np.array([1, 1, 1, 1, 3, 2, 4], np.int32)
    np.testing.assert_array_equal(grower._medians(y, counts, np.array([0, 3, 5, 6])), [2, 7, 5, 5e307])
    np.testing.assert_array_equal(grower._medians(y[:4], counts[:4], np.array([0])), [2.5])


# -------------------------------------------------------------------------------------------------- room


def test_room_is_for_as_many_leaves():
    grown = room(7)
    assert {
        len(getattr(grown, name)) for name in ("features", "children", "codes", "kinds", "sets", "bounds", "gains")
    } == {7}
