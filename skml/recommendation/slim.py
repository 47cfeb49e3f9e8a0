"""SLIM (Ning & Karypis 2011): each item as a sparse linear combination of the others.

For each item j, with w_j = 0 and, if asked for, w >= 0:

    minimise  1/2 |x_j - X w|^2 + l2/2 |w|^2 + l1 |w|_1      (eq. 4)

where X holds the users' interactions, 0 where there are none, each times the square root of its weight. Solved by
coordinate descent on the Gram matrix, an item independently of all others: sweeps go over a working set of weights,
those that are not 0 and those that most want to be, until no others are left (as Friedman, Hastie & Tibshirani 2010
do, sec. 2.6). For explicit ratings X is best what a
baseline leaves of them.
"""

from dataclasses import dataclass
from time import perf_counter

import numpy as np
import scipy.sparse as sp

from skml import _kernels
from skml.base import Step, require_memory
from skml.recommendation.similarity import gram
from skml.recommendation.slices import threads_for, work_slices

_WORK_PER_CALL = 5e7  # entries of the Gram matrix, per thread: below half a second
_WORK_PER_PAIR = 100  # multiplications for an item and another, about
_SECONDS_PER_CALL = 0.1  # about; a call looks through the whole Gram matrix first, so few items should not share it
_STEPS = 100  # about
_ITEMS_PER_STEP = (4, 256)  # at least and at most
_PAIRS_AT_ONCE = 1e7  # are counted
_MOST = 1024  # of the weights that are swept together


@dataclass(frozen=True)
class ElasticNet:
    """What is minimised, and how long.

    Attributes
    ----------
    l1, l2 : float
        The penalties, for sums over users.
    nonnegative : bool
        Whether no weight may be below 0.
    max_iter : int
        The most sweeps for an item.
    tol : float
        The largest violation of the conditions of optimality at the end, in units of |x_j|^2.
    """

    l1: float = 1.0
    l2: float = 1.0
    nonnegative: bool = True
    max_iter: int = 1000
    tol: float = 1e-3


def slim_steps(ratings, net, n_threads=1):
    """Learn the weights of some items after others.

    Parameters
    ----------
    ratings : Ratings
        Interactions by user.
    net : ElasticNet
        What is minimised.
    n_threads : int, default=1
        It does not show in the result.

    Yields
    ------
    step : Step
        About a hundred, each of as many items; its state is a tuple of blocks of rows for :func:`slim_weights`, its
        metrics are the `objective` of these items, summed, and `n_sweeps`, the most that one of them took.

    Raises
    ------
    MemoryError
        If the Gram matrix has no room.
    """
    n, blocks = ratings.n_columns, ()
    _require_room(ratings)
    products = gram(ratings, n_threads)
    squares, pace = products.diagonal(), _Pace()
    size = int(np.clip(-(-n // _STEPS), *_ITEMS_PER_STEP))
    n_threads = threads_for(_WORK_PER_PAIR * size * n, n_threads)
    for start in range(0, n, size):
        targets = np.arange(start, min(start + size, n), dtype=np.int32)
        W, metrics = _solved(products, squares, targets, net, n_threads, pace)
        blocks = (*blocks, sp.csr_array(W.astype(ratings.data.dtype)))
        yield Step(blocks, metrics, last=bool(targets[-1] == n - 1))


def slim_weights(blocks, n_items):
    """Return the weights learned so far.

    Parameters
    ----------
    blocks : tuple of csr_array
        The state of a step of :func:`slim_steps`.
    n_items : int
        How many items there are.

    Returns
    -------
    weights : csr_array of shape (n_items, n_items)
        In row j what speaks for item j, ready for :func:`skml.recommendation.neighbors.item_neighborhood`; rows
        of items that are still to come are empty.
    """
    learned = sp.csr_array(sp.vstack(blocks, format="csr"))
    missing = n_items - learned.shape[0]
    indptr = np.append(learned.indptr, np.full(missing, learned.indptr[-1])).astype(np.int32)
    return sp.csr_array((learned.data, learned.indices.astype(np.int32), indptr), shape=(n_items, n_items))


def _require_room(ratings):
    """Refuse a Gram matrix that would not fit; it is counted only if the most entries that it can have do not."""
    pairs = float((np.diff(ratings.indptr).astype(np.float64) ** 2).sum())
    try:
        _check_products(int(min(pairs, float(ratings.n_columns) ** 2)), ratings.n_columns)
    except (MemoryError, ValueError):
        _check_products(count_products(ratings), ratings.n_columns)


def _check_products(n, n_items):
    require_memory(24 * n, f"The products of {n_items:,} items")  # in parts, and then as one
    if n > np.iinfo(np.int32).max:
        raise ValueError(f"SLIM of {n_items:,} items needs {n:,} products, more than 32 bits count.")


def count_products(ratings):
    """Return how many pairs of items have a user in common, each item with itself included."""
    shape = ratings.n_rows, ratings.n_columns
    known = sp.csr_array((np.ones(len(ratings.data), bool), ratings.indices, ratings.indptr), shape=shape)
    turned = known.T.tocsr()
    work = np.add.reduceat(np.append(np.diff(known.indptr)[turned.indices], 0.0), turned.indptr[:-1])
    work = np.where(np.diff(turned.indptr) > 0, work, 0.0)
    return sum((turned[rows] @ known).nnz for rows in work_slices(work, _PAIRS_AT_ONCE))


@dataclass
class _Pace:
    """How many items per thread a call solves, by the time that the last one took; it shows in no bit."""

    n_items: int = 8

    def see(self, seconds):
        if seconds < _SECONDS_PER_CALL / 2:
            self.n_items = min(2 * self.n_items, _ITEMS_PER_STEP[1])
        elif seconds > 2 * _SECONDS_PER_CALL:
            self.n_items = max(self.n_items // 2, 1)


def _solved(products, squares, targets, net, n_threads, pace):
    """Return the weights of the targets, a row each, and the figures of their minimisation."""
    G = (products.indptr, products.indices, products.data, squares)
    plan = (net.l1, net.l2, net.nonnegative, net.tol, net.max_iter)  # in the kernel's order
    start = products[targets].toarray()
    W, Q, n, most = np.zeros_like(start), start.copy(), start.shape[1], min(_MOST, start.shape[1])
    done, n_sweeps = np.zeros((2, len(targets)), dtype=np.int32)
    room = np.empty((n_threads, n + most * (most + 2))), np.empty((n_threads, n), dtype=np.int32)
    going = np.arange(len(targets))
    while len(going):
        now, begun = going[: pace.n_items * n_threads], perf_counter()
        state = [part[now] for part in (W, Q, done, n_sweeps)]
        work = _WORK_PER_CALL * n_threads / len(now)
        _kernels.slim.descend_columns(*G, targets[now], *plan, work, most, *state, *room, n_threads)
        pace.see(perf_counter() - begun)
        W[now], Q[now], done[now], n_sweeps[now] = state
        going = going[(done[going] == 0) & (n_sweeps[going] < net.max_iter)]
    return W, {"objective": _objective(G[3][targets], start, W, Q, net), "n_sweeps": n_sweeps.max()}


def _objective(squares, start, W, Q, net):
    """Return the sum of (4) over targets: |x_j - X w|^2 = G_jj - w^T G_j - w^T q with q = G_j - G w."""
    residual = squares.sum() - (W * (start + Q)).sum()
    return 0.5 * residual + 0.5 * net.l2 * (W**2).sum() + net.l1 * np.abs(W).sum()
