"""Which training rows are in each leaf: not kept but found again, from the binned rows and the bags."""

from dataclasses import dataclass

import numpy as np

from skml.base import chunk_slices, require_memory
from skml.ensemble.binning import row_codes
from skml.ensemble.predictor import leaves, part
from skml.ensemble.sampling import draw_bag
from skml.ensemble.side_by_side import in_order


@dataclass(frozen=True)
class LeafRows:
    """The rows of the bags, leaf by leaf.

    Attributes
    ----------
    rows : ndarray of shape (n_bag_rows,), int32
        Distinct training rows, ascending within each leaf.
    shares : ndarray of shape (n_bag_rows,)
        How much of its leaf each is.
    starts : ndarray of shape (n_leaves + 1,), int64
        Where each leaf's rows begin, and the end.
    """

    rows: np.ndarray
    shares: np.ndarray
    starts: np.ndarray


def rows_of_leaves(forest, table, bagging, n_threads):
    """Find the rows of each leaf: each tree draws its bag again and is asked about it.

    Parameters
    ----------
    forest : Forest
        Trees.
    table : Table
        The rows that they were grown from.
    bagging : Bagging
        How their bags were drawn.
    n_threads : int
        How many trees are asked at a time.

    Returns
    -------
    held : LeafRows
        Of all leaves.
    """

    def one(number):
        rows, counts = draw_bag(bagging, number)
        tree, first = part(forest, np.array([number])), forest.leaf_starts[number]
        asked = (rows[some] for some in chunk_slices(len(rows), len(table.categorical) + 4))
        found = np.concatenate([leaves(tree, row_codes(table, some), 1)[:, 0] for some in asked]) - first
        order = np.argsort(found, kind="stable")
        n_leaves = int(forest.leaf_starts[number + 1] - first)
        shares = counts / np.bincount(found, counts, minlength=n_leaves)[found]
        return rows[order], shares[order], np.bincount(found, minlength=n_leaves)

    require_memory(12 * forest.n_trees * table.n_rows, "The training rows in all leaves")
    rows, shares, sizes = zip(*in_order(one, range(forest.n_trees), n_threads))
    return LeafRows(np.concatenate(rows), np.concatenate(shares), np.append(0, np.cumsum(np.concatenate(sizes))))
