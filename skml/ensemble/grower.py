"""Trees grown one by one, each from its own bag of the same binned rows."""

from dataclasses import dataclass, replace
from numbers import Integral

import numpy as np

from skml import _kernels
from skml.ensemble.binning import Table
from skml.ensemble.criteria import ABSOLUTE, ENTROPY, POISSON
from skml.ensemble.predictor import CATEGORIES, Forest
from skml.ensemble.pruning import node_risks, pruned
from skml.ensemble.sampling import Bagging, draw_bag, generator

# Weights up to here have their x log x in a table.
_TABLE = 2**16


@dataclass(frozen=True)
class Rule:
    """When a node is split, and how.

    Attributes
    ----------
    criterion : int
        GINI, ENTROPY, SQUARED, POISSON or ABSOLUTE.
    max_depth, max_leaves : int
        Limits; 0 leaves: none.
    max_features : int
        How many features are tried at a node.
    min_split, min_leaf : int
        The least count of rows in a node that is split, and in a leaf.
    min_weight : float
        The least weight of a leaf.
    min_gain : float
        The least gain of a split.
    monotonic : ndarray of shape (n_features,) or (0,), int8
        Signs.
    """

    criterion: int
    max_depth: int
    max_leaves: int
    max_features: int
    min_split: int
    min_leaf: int
    min_weight: float
    min_gain: float
    monotonic: np.ndarray


def least_counts(split, leaf, total, unit):
    """Return `min_samples_split` and `min_samples_leaf` as counts.

    Parameters
    ----------
    split, leaf : int or float
        As given; a float is a share.
    total : float
        How many rows there are, as weights count.
    unit : float
        What a count of 1 stands for.

    Returns
    -------
    split, leaf : int
        The least asks for nothing: any two rows may be split.
    """
    split = split if isinstance(split, Integral) else max(2, int(np.ceil(split * total)))
    leaf = leaf if isinstance(leaf, Integral) else int(np.ceil(leaf * total))
    split = max(split, 2 * leaf)
    return 2 if split == 2 else int(np.ceil(split / unit)), 1 if leaf == 1 else int(np.ceil(leaf / unit))


@dataclass(frozen=True)
class Classes:
    """Classes to learn, as numbers counted on through the outputs.

    Attributes
    ----------
    y : ndarray of shape (n_outputs, n_rows), int32
        Of each distinct row.
    first : ndarray of shape (n_outputs + 1,), int32
        The first class of each output, and the number of all.
    weights : ndarray of shape (n_classes,)
        Of the classes.
    balanced : bool
        Whether each bag balances its classes by weights of its own.
    """

    y: np.ndarray
    first: np.ndarray
    weights: np.ndarray
    balanced: bool = False


@dataclass(frozen=True)
class Numbers:
    """Numbers to learn, exactly and in fixed point.

    Attributes
    ----------
    y : ndarray of shape (n_outputs, n_rows)
        Of each distinct row.
    fixed : ndarray of shape (n_outputs, n_rows), int64
        ``fixed * units + offsets`` is y.
    units, offsets : ndarray of shape (n_outputs,)
        As above.
    """

    y: np.ndarray
    fixed: np.ndarray
    units: np.ndarray
    offsets: np.ndarray


@dataclass(frozen=True)
class Problem:
    """All that the trees of a forest have in common.

    Attributes
    ----------
    table : Table
        The binned rows.
    targets : Classes or Numbers
        What to learn.
    bagging : Bagging
        How bags are drawn.
    rule : Rule
        How nodes are split.
    columns : int
        With fewer than all, each tree draws so many features for itself.
    ccp_alpha : float
        Subtrees that gain less per leaf, relative to all weight, are cut off.
    """

    table: Table
    targets: Classes | Numbers
    bagging: Bagging
    rule: Rule
    columns: int
    ccp_alpha: float = 0.0


@dataclass(frozen=True)
class Grown:
    """Room for one tree, for the kernel to fill."""

    features: np.ndarray
    children: np.ndarray
    codes: np.ndarray
    kinds: np.ndarray
    set_features: np.ndarray
    sets: np.ndarray
    leaf_begins: np.ndarray
    bounds: np.ndarray
    gains: np.ndarray


def room(n_leaves):
    """Return room for a tree.

    Parameters
    ----------
    n_leaves : int
        At most so many leaves.

    Returns
    -------
    grown : Grown
        Empty arrays.
    """
    return Grown(
        features=np.empty(n_leaves, np.int32),
        children=np.empty((n_leaves, 2), np.int32),
        codes=np.empty(n_leaves, np.uint8),
        kinds=np.empty(n_leaves, np.uint8),
        set_features=np.empty(n_leaves, np.int32),
        sets=np.empty((n_leaves, 8), np.uint32),
        leaf_begins=np.empty(n_leaves, np.int32),
        bounds=np.empty((n_leaves, 2)),
        gains=np.empty(n_leaves),
    )


def fixed_point(y, total):
    """Return numbers as multiples of a unit so small that rounding does not show, so large that sums fit in 64 bits.

    Parameters
    ----------
    y : ndarray of shape (n_outputs, n_rows)
        Finite.
    total : int
        The largest sum of weights.

    Returns
    -------
    targets : Numbers
        The same numbers.
    """
    tamed, power = tame(y)
    offsets = (tamed / y.shape[1]).sum(axis=1)
    spread = np.abs(tamed / 2 - offsets[:, None] / 2).max(axis=1, initial=0) * 2
    units = np.where(spread > 0, spread / (2.0**61 / max(1, total)), 1.0)
    units = np.maximum(units, np.finfo(float).tiny)
    fixed = np.rint((tamed - offsets[:, None]) / units[:, None]).astype(np.int64)
    return Numbers(np.ascontiguousarray(y), fixed, np.ldexp(units, power), np.ldexp(offsets, power))


def tame(y):
    """Return numbers whose squares can be summed: huge ones divided by a power of two, which costs no bit.

    Parameters
    ----------
    y : ndarray
        Finite.

    Returns
    -------
    tamed : ndarray
        ``y / 2**power``.
    power : int
        0 where nothing is huge.
    """
    power = max(0, int(np.frexp(np.abs(y).max(initial=0))[1]) - 480)
    return (np.ldexp(y, -power) if power else y), power


def grow_tree(problem, number):
    """Grow one tree.

    Parameters
    ----------
    problem : Problem
        The rows and the rules.
    number : int
        Which tree of the forest; its bag and its features depend on it.

    Returns
    -------
    tree : Forest
        Of a single tree.
    importances : ndarray of shape (n_features,)
        What each feature's splits gained, relative to the weight of the bag; of numbers, times a power of two that
        all trees of a forest share.
    rows : ndarray of int
        The distinct rows in the bag, ascending.
    """
    rows, counts = draw_bag(problem.bagging, number)
    bag, total = rows.copy(), counts.sum(dtype=np.float64)
    n_features = len(problem.table.categorical)
    grown = room(len(rows))
    seed, features = _chances(problem, number, n_features)
    if isinstance(problem.targets, Classes):
        weights = _class_weights(problem.targets, rows, counts)
        total = _weight(problem.targets, rows, counts, weights)
        sizes = _grow_classes(problem, rows, counts, (weights, features, seed, grown), total)
    else:
        weights = None
        sizes = _grow_numbers(problem, rows, counts, (features, seed, grown), total)
    tree, importances = _as_forest(problem, grown, sizes, (rows, counts, weights))
    return tree, importances / total, bag


def _chances(problem, number, n_features):
    """Return the seed of a tree's splits, and its features."""
    rng = generator(problem.bagging.entropy ^ 0x5851F42D4C957F2D, number)
    features = np.arange(n_features, dtype=np.int32)
    if problem.columns < n_features:
        features = np.sort(rng.permutation(features)[: problem.columns])
    return int(rng.integers(2**63)), features


def _class_weights(classes, rows, counts):
    if not classes.balanced:
        return classes.weights
    held = np.bincount(classes.y[0, rows], counts, minlength=len(classes.weights))
    return held.sum() / (np.count_nonzero(held) * np.where(held > 0, held, 1.0))


def _weight(classes, rows, counts, weights):
    return float(np.bincount(classes.y[0, rows], counts, minlength=classes.first[1]) @ weights[: classes.first[1]])


def _rule(problem, total):
    rule = problem.rule
    return replace(rule, min_weight=rule.min_weight * total, min_gain=rule.min_gain * total)


def _grow_classes(problem, rows, counts, chances, total):
    classes, weights = problem.targets, chances[0]
    even = problem.rule.criterion == ENTROPY and np.all(weights == 1)
    table = np.empty(0)
    if even:
        x = np.arange(min(_TABLE, int(counts.sum(dtype=np.int64)) + 1), dtype=np.float64)
        table = x * np.log(np.maximum(x, 1))
    targets = np.ascontiguousarray(classes.y[:, rows])
    parts = (problem.table, _rule(problem, total), rows, counts, targets, classes.first, weights, table)
    return _kernels.trees.grow_classes(*parts, *chances[1:])


def _grow_numbers(problem, rows, counts, chances, total):
    numbers = problem.targets
    # Gains are squares: near 1 they neither overflow nor vanish, and a power of two costs no bit.
    half = np.frexp(numbers.units.max())[1] + 50
    rule = _rule(problem, total)
    power = half if rule.criterion in (ABSOLUTE, POISSON) else 2 * half
    rule = replace(rule, min_gain=np.ldexp(rule.min_gain, -power))
    parts = (problem.table, rule, rows, counts, np.ascontiguousarray(numbers.fixed[:, rows]))
    scales = np.ldexp(numbers.units, -half), np.ldexp(numbers.offsets, -half)
    sizes = _kernels.trees.grow_numbers(*parts, *scales, *chances)
    bounds = chances[-1].bounds[: sizes[2]]
    bounds[:] = np.ldexp(bounds, half)
    return sizes


def _as_forest(problem, grown, sizes, bag):
    """Make a forest of one tree of what the kernel wrote; return what its features gain as well."""
    n_inner, n_sets, n_leaves = sizes
    rows, counts, class_weights = bag
    order = np.argsort(grown.leaf_begins[:n_leaves])
    rank = np.empty(n_leaves, np.int32)
    rank[order] = np.arange(n_leaves, dtype=np.int32)
    children = grown.children[:n_inner]
    leaf = children < 0
    children[leaf] = ~rank[~children[leaf]]
    kinds = grown.kinds[:n_inner].astype(np.int32)
    bounds = np.where(kinds == 1, grown.codes[:n_inner] + np.int32(1), grown.codes[:n_inner])
    nodes = np.column_stack([children, grown.features[:n_inner], bounds | kinds << 8]).astype(np.int32)
    begins, limits, gains = grown.leaf_begins[:n_leaves][order], grown.bounds[:n_leaves][order], grown.gains[:n_inner]
    if problem.ccp_alpha > 0 and n_inner:
        risks = node_risks(problem, rows, counts, class_weights, begins)
        nodes, kept, stays = pruned(nodes, risks, problem.ccp_alpha)
        gains = gains[stays]
        limits = np.column_stack([np.minimum.reduceat(limits[:, 0], kept), np.maximum.reduceat(limits[:, 1], kept)])
        begins = begins[kept]
    n_inner, n_leaves = len(nodes), len(begins)
    sizes = np.diff(np.append(begins, len(rows)))
    if class_weights is None:
        mass, said = counts, (np.empty(0, np.int32), _means(problem, rows, counts, begins), 0)
    else:
        mass = counts * class_weights[problem.targets.y[0, rows]]
        said = _shares(problem.targets, rows, mass, begins, sizes)
    if len(problem.rule.monotonic):
        said = _clipped(said, limits)
    weights = np.add.reduceat(mass.astype(np.float64), begins).astype(np.float32)
    ends = (np.array([0, n_inner]), np.array([0, n_leaves]))
    roots = np.array([0 if n_inner else -1], np.int32)
    sets = (grown.set_features[:n_sets].copy(), grown.sets[:n_sets].copy())
    asked = nodes[:, 2].copy()
    by_set = nodes[:, 3] >> 8 == CATEGORIES
    asked[by_set] = sets[0][asked[by_set]]
    n_features = len(problem.table.categorical)
    importances = np.bincount(asked, gains, minlength=n_features)
    return Forest(nodes, roots, *ends, *sets, *said, weights, n_features), importances


def _means(problem, rows, counts, begins):
    """Return the mean of each leaf, or with absolute errors its median."""
    y = problem.targets.y[:, rows]
    if problem.rule.criterion == ABSOLUTE:
        return np.column_stack([_medians(values, counts, begins) for values in y])
    total = np.add.reduceat(counts.astype(np.float64), begins)
    tamed, power = tame(y)
    means = np.ascontiguousarray((np.add.reduceat(tamed * counts, begins, axis=1) / total).T)
    return np.ldexp(means, power) if power else means


def _medians(y, counts, begins):
    sizes = np.diff(np.append(begins, len(y)))
    order = np.lexsort((y, np.repeat(np.arange(len(begins)), sizes)))
    reached = np.cumsum(counts[order], dtype=np.float64)
    before = np.append(0.0, reached)[begins]
    half = before + (reached[begins + sizes - 1] - before) / 2
    low, high = np.searchsorted(reached, half, side="left"), np.searchsorted(reached, half, side="right")
    high = np.minimum(high, begins + sizes - 1)
    return y[order[low]] / 2 + y[order[high]] / 2


def _shares(classes, rows, weights, begins, sizes):
    """Return what each leaf says: one class alone, or shares of classes, a row for each leaf that has several."""
    n_classes, n_outputs = int(classes.first[-1]), len(classes.y)
    here = classes.y[:, rows]
    mixed = np.ones(len(begins), bool)
    numbers = np.empty(0, np.int32)
    if n_outputs == 1:
        numbers = np.minimum.reduceat(here[0], begins)
        mixed = numbers != np.maximum.reduceat(here[0], begins)
    position = np.cumsum(mixed) - 1
    of_row = np.repeat(np.where(mixed, position, -1), sizes)
    kept = of_row >= 0
    values = np.zeros(int(mixed.sum()) * n_classes)
    for y in here:
        values += np.bincount(of_row[kept] * n_classes + y[kept], weights[kept], minlength=len(values))
    values = values.reshape(-1, n_classes)
    values /= values[:, : classes.first[1]].sum(axis=1, keepdims=True)
    if n_outputs == 1:
        numbers = np.where(mixed, n_classes + position, numbers).astype(np.int32)
    return numbers, values, n_classes if n_outputs == 1 else 0


def _clipped(said, bounds):
    """Keep what leaves say within the bounds that monotonic constraints set."""
    numbers, values, n_pure = said
    if not n_pure:
        return numbers, np.clip(values, bounds[:, :1], bounds[:, 1:]), 0
    second = np.concatenate([[0.0, 1.0], values[:, 1]])[numbers]
    second = np.clip(second, bounds[:, 0], bounds[:, 1])
    return np.empty(0, np.int32), np.column_stack([1 - second, second]), 0
