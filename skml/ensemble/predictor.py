"""A forest as flat arrays, and what it says of binned rows."""

from dataclasses import dataclass

import numpy as np

from skml import _kernels
from skml.base import chunk_slices

CATEGORIES = 2  # the kind of a node that asks a set of categories
# Below so many steps through trees, a thread costs more than it saves.
_ALONE = 50_000


@dataclass(frozen=True)
class Forest:
    """The trees of a forest, one after the other.

    Attributes
    ----------
    nodes : ndarray of shape (n_inner, 4), int32
        Of each inner node: the two children (a node, or ~leaf), the feature (of a split by categories: its set), and
        ``bound | kind << 8``: kind 0 sends a missing value right, 1 left, 2 asks a set.
    roots : ndarray of shape (n_trees,), int32
        Where each tree begins.
    node_starts, leaf_starts : ndarray of shape (n_trees + 1,), int64
        Where each tree's inner nodes and leaves begin, and the end.
    set_features : ndarray of shape (n_sets,), int32
        Which feature each set of categories is about.
    sets : ndarray of shape (n_sets, 8), uint32
        The codes that go left, a bit each.
    numbers : ndarray of shape (n_leaves,), int32
        What each leaf says: a class, or, counted on from `n_pure`, a row of `values`. Empty: each its own row.
    values : ndarray of shape (n_values, n_columns)
        Shares of classes, or means.
    n_pure : int
        How many numbers stand for one class alone.
    weights : ndarray of shape (n_leaves,), float32
        How often the rows of its bag in each leaf count, class weights included.
    n_features : int
        How many columns rows have.
    """

    nodes: np.ndarray
    roots: np.ndarray
    node_starts: np.ndarray
    leaf_starts: np.ndarray
    set_features: np.ndarray
    sets: np.ndarray
    numbers: np.ndarray
    values: np.ndarray
    n_pure: int
    weights: np.ndarray
    n_features: int

    @property
    def n_trees(self):
        """The number of trees."""
        return len(self.roots)

    def walks(self):
        """Return what the kernels take."""
        return self.nodes, self.roots, self.set_features, self.sets

    def __getstate__(self):
        """Return the arrays in as few bytes as they need."""
        state = dict(vars(self))
        nodes = state.pop("nodes")
        state["children"], state["features"] = np.ascontiguousarray(nodes[:, :2]), _small(nodes[:, 2])
        state["bounds"], state["kinds"] = nodes[:, 3].astype(np.uint8), (nodes[:, 3] >> 8).astype(np.uint8)
        return state | {"numbers": _small(state["numbers"])}

    def __setstate__(self, state):
        """Take the arrays back; links that lead astray are refused."""
        state = dict(state)
        children, features = state.pop("children"), state.pop("features")
        bounds = state.pop("bounds").astype(np.int32) | state.pop("kinds").astype(np.int32) << 8
        state["nodes"] = np.column_stack([children, features, bounds]).astype(np.int32)
        vars(self).update(state | {"numbers": state["numbers"].astype(np.int32)})
        _check_sizes(self)
        _kernels.forest.check(self.nodes, self.roots, self.set_features, self.n_features, int(self.leaf_starts[-1]))


def _check_sizes(forest):
    """Raise unless what leaves say is there, and the arrays agree in length."""
    n_leaves, numbers, values = len(forest.weights), forest.numbers, forest.values
    named = len(numbers) == n_leaves and np.all((numbers >= 0) & (numbers < forest.n_pure + len(values)))
    if values.ndim != 2 or not 0 <= forest.n_pure <= values.shape[1]:
        raise ValueError("values and n_pure are not those of a forest.")
    if len(forest.node_starts) != len(forest.leaf_starts) or int(forest.node_starts[-1]) != len(forest.nodes):
        raise ValueError("nodes, node_starts and leaf_starts disagree.")
    if int(forest.leaf_starts[-1]) != n_leaves or not (
        named if len(numbers) else (len(values), forest.n_pure) == (n_leaves, 0)
    ):
        raise ValueError("numbers, values, weights and leaf_starts disagree.")
    if forest.sets.shape != (len(forest.set_features), 8):
        raise ValueError("sets and set_features disagree.")


def _small(values):
    """Return whole numbers in the smallest type that holds them."""
    least, most = (int(values.min()), int(values.max())) if len(values) else (0, 0)
    for kind in (np.uint8, np.uint16, np.int32):
        if np.iinfo(kind).min <= least and most <= np.iinfo(kind).max:
            return values.astype(kind)
    return values


def joined(trees):
    """Return one forest of several, their trees in order.

    Parameters
    ----------
    trees : list of Forest
        At least one; of the same targets.

    Returns
    -------
    forest : Forest
        All trees.
    """
    if len(trees) == 1:
        return trees[0]
    before = {
        name: np.cumsum([0, *(len(getattr(tree, name)) for tree in trees)])
        for name in ("nodes", "weights", "set_features", "values")
    }
    nodes = np.concatenate([tree.nodes for tree in trees])
    roots, numbers = np.concatenate([tree.roots for tree in trees]), np.concatenate([tree.numbers for tree in trees])
    for i, tree in enumerate(trees):
        here = slice(before["nodes"][i], before["nodes"][i + 1])
        links = nodes[here, :2]
        links += np.where(links >= 0, before["nodes"][i], -before["weights"][i]).astype(np.int32)
        nodes[here, 2] += np.where(nodes[here, 3] >> 8 == CATEGORIES, before["set_features"][i], 0).astype(np.int32)
        begin, end = before["weights"][i], before["weights"][i + 1]
        if len(numbers):
            said = numbers[begin:end]
            said += np.where(said >= tree.n_pure, before["values"][i], 0).astype(np.int32)
    at = 0
    for i, tree in enumerate(trees):
        links = roots[at : at + tree.n_trees]
        links += np.where(links >= 0, before["nodes"][i], -before["weights"][i]).astype(np.int32)
        at += tree.n_trees
    plain = ("set_features", "sets", "values", "weights")
    return Forest(
        nodes=nodes,
        roots=roots,
        numbers=numbers,
        n_pure=trees[0].n_pure,
        n_features=trees[0].n_features,
        node_starts=_starts(trees, "node_starts"),
        leaf_starts=_starts(trees, "leaf_starts"),
        **{name: np.concatenate([getattr(tree, name) for tree in trees]) for name in plain},
    )


def _starts(trees, name):
    sizes = [np.diff(getattr(tree, name)) for tree in trees]
    return np.append(0, np.cumsum(np.concatenate(sizes))).astype(np.int64)


def part(forest, numbers):
    """Return some trees of a forest as a forest of their own; what they say is shared.

    Parameters
    ----------
    forest : Forest
        Trees.
    numbers : ndarray of int
        Which ones.

    Returns
    -------
    forest : Forest
        It walks like the others; its leaves and nodes keep their numbers in the whole.
    """
    return Forest(**{**vars(forest), "roots": np.ascontiguousarray(forest.roots[numbers])})


def _threads(forest, codes, n_threads):
    """Return how many threads pay; raise if rows are not as wide as the trees expect, who read where they ask."""
    if codes.shape[1] != forest.n_features:
        raise ValueError(f"Rows have {codes.shape[1]} columns; the trees ask about {forest.n_features}.")
    return n_threads if len(codes) * forest.n_trees > _ALONE else 1


def sums(forest, codes, n_threads):
    """Return the sum over trees of what they say of rows.

    Parameters
    ----------
    forest : Forest
        Trees.
    codes : ndarray of shape (n_rows, n_features), uint8, C-contiguous
        Binned rows.
    n_threads : int
        How many threads work, if there is enough to do.

    Returns
    -------
    sums : ndarray of shape (n_rows, n_columns)
        In the order of the trees.
    """
    out = np.empty((len(codes), forest.values.shape[1]))
    parts = (codes, forest.numbers, forest.values, forest.n_pure, out, _threads(forest, codes, n_threads))
    _kernels.forest.sum_values(*forest.walks(), *parts)
    return out


def leaves(forest, codes, n_threads):
    """Return the leaf of each row in each tree, counted on through the forest.

    Parameters
    ----------
    forest : Forest
        Trees.
    codes : ndarray of shape (n_rows, n_features), uint8, C-contiguous
        Binned rows.
    n_threads : int
        How many threads work, if there is enough to do.

    Returns
    -------
    leaves : ndarray of shape (n_rows, n_trees), int32
        Rows of `values`, `weights` and `numbers`.
    """
    out = np.empty((len(codes), forest.n_trees), np.int32)
    _kernels.forest.find_leaves(*forest.walks(), codes, out, _threads(forest, codes, n_threads))
    return out


def leaf_values(forest, found):
    """Return what leaves say.

    Parameters
    ----------
    forest : Forest
        Trees.
    found : ndarray of int
        Leaves.

    Returns
    -------
    values : ndarray of shape (*found.shape, n_columns)
        Shares of classes, or means.
    """
    if len(forest.numbers) == 0:
        return forest.values[found]
    numbers = forest.numbers[found]
    out = np.zeros((*numbers.shape, forest.values.shape[1]))
    pure = numbers < forest.n_pure
    out[pure, numbers[pure]] = 1.0
    out[~pure] = forest.values[numbers[~pure] - forest.n_pure]
    return out


def member_values(forest, codes, n_threads):
    """Yield slices of the rows and what each tree says of them, chunk by chunk.

    Parameters
    ----------
    forest : Forest
        Trees.
    codes : ndarray of shape (n_rows, n_features), uint8, C-contiguous
        Binned rows.
    n_threads : int
        How many threads work.

    Yields
    ------
    rows : slice
        Which rows.
    values : ndarray of shape (n_chunk, n_trees, n_columns)
        What each tree says.
    """
    for rows in chunk_slices(len(codes), 8 * forest.n_trees * (forest.values.shape[1] + 1)):
        yield rows, leaf_values(forest, leaves(forest, codes[rows], n_threads))
