"""The ways down trees: which nodes rows pass."""

import numpy as np
import scipy.sparse as sp

from skml.base import require_memory


def ways(left, right):
    """Return for each node of a tree which nodes lie on the way to it.

    Parameters
    ----------
    left, right : ndarray of shape (n_nodes,)
        The children of each node, -1 for leaves; those of no node come before it.

    Returns
    -------
    passed : CSR array of shape (n_nodes, n_nodes), int
        1 for the root, the node itself and all between.
    """
    parent, inner = np.full(len(left), -1), np.flatnonzero(left >= 0)
    parent[left[inner]] = parent[right[inner]] = inner
    at = below = np.arange(len(left))
    rows, columns = [], []
    while len(at):
        rows.append(below)
        columns.append(at)
        at = parent[at]
        at, below = at[at >= 0], below[at >= 0]
    rows, columns = np.concatenate(rows), np.concatenate(columns)
    return sp.csr_array((np.ones(len(rows), np.intp), (rows, columns)), shape=(len(left), len(left)))


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
    trees = [ways(left, right) for left, right in children]
    lengths = sum(int(np.diff(tree.indptr)[at].sum()) for tree, at in zip(trees, ends.T))
    require_memory(2 * lengths * (np.intp(0).nbytes + 8), "The ways of the rows")
    return sp.hstack([tree[at] for tree, at in zip(trees, ends.T)], format="csr")
