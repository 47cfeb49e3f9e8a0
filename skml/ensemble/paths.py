"""The ways down trees: which nodes rows pass."""

import numpy as np
import scipy.sparse as sp

from skml.base import require_memory


def ways(left, right, ends):
    """Return which nodes of a tree lie on the way to some of them.

    Parameters
    ----------
    left, right : ndarray of shape (n_nodes,)
        The children of each node, -1 for leaves.
    ends : ndarray of shape (n_ends,), int
        Where ways end.

    Returns
    -------
    passed : CSR array of shape (n_ends, n_nodes), int
        1 for the root, the node itself and all between.
    """
    parent, inner = np.full(len(left), -1), np.flatnonzero(left >= 0)
    parent[left[inner]] = parent[right[inner]] = inner
    at, way = ends, np.arange(len(ends))
    rows, columns = [], []
    while len(at):
        rows.append(way)
        columns.append(at)
        at = parent[at]
        at, way = at[at >= 0], way[at >= 0]
    rows, columns = np.concatenate(rows), np.concatenate(columns)
    return sp.csr_array((np.ones(len(rows), np.intp), (rows, columns)), shape=(len(ends), len(left)))


def ways_of_rows(children, ends):
    """Return which nodes rows pass in several trees.

    Parameters
    ----------
    children : list of tuple of ndarray
        The left and right children in each tree.
    ends : ndarray of shape (n_rows, n_trees), int
        The node in each tree at which each row ends.

    Returns
    -------
    passed : CSR array of shape (n_rows, n_nodes), int
        1 for nodes that a row passes or ends at, tree after tree.

    Raises
    ------
    MemoryError
        If it would not fit.
    """
    found = [np.unique(column, return_inverse=True) for column in ends.T]
    trees = [ways(left, right, each) for (left, right), (each, _) in zip(children, found)]
    lengths = sum(int(np.diff(tree.indptr)[which].sum()) for tree, (_, which) in zip(trees, found))
    require_memory(2 * lengths * (np.intp(0).nbytes + 8), "The ways of the rows")
    return sp.hstack([tree[which] for tree, (_, which) in zip(trees, found)], format="csr")
