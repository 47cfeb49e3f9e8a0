"""Interactions as the solvers take them: compressed rows of users, or of items."""

import math
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp


@dataclass(frozen=True)
class Ratings:
    """Distinct interactions by user: compressed sparse rows, in which a stored 0 is a rating like any other.

    Attributes
    ----------
    indptr : ndarray of shape (n_users + 1,), int32
        Where each user's interactions begin.
    indices : ndarray of shape (n_interactions,), int32
        Items, ascending within a user, each at most once.
    data : ndarray of shape (n_interactions,), float32 or float64
        The ratings.
    weights : ndarray of shape (n_interactions,) of data's type, or None
        Positive; None means 1 everywhere.
    n_columns : int
        How many items there are.
    """

    indptr: np.ndarray
    indices: np.ndarray
    data: np.ndarray
    weights: np.ndarray | None
    n_columns: int

    @property
    def n_rows(self):
        """The number of users."""
        return len(self.indptr) - 1

    def rows(self):
        """Return the user of each interaction."""
        return np.repeat(np.arange(self.n_rows, dtype=np.int32), np.diff(self.indptr))

    def filled_weights(self):
        """Return the weights, ones where there are none."""
        return np.ones_like(self.data) if self.weights is None else self.weights

    def arrays(self):
        """Return what kernels take: indptr, indices, data, and weights, which are empty where all are 1."""
        return self.indptr, self.indices, self.data, self.data[:0] if self.weights is None else self.weights

    def matrix(self):
        """Return the ratings as a sparse matrix that shares their memory."""
        return sp.csr_array((self.data, self.indices, self.indptr), shape=(self.n_rows, self.n_columns))

    @property
    def total_weight(self):
        """The sum of the weights."""
        return float(len(self.data) if self.weights is None else self.weights.sum(dtype=np.float64))

    @property
    def scale(self):
        """The weighted root mean square of the ratings; 1 where all are 0."""
        if not self.data.any():
            return 1.0
        unit = power_of_two(self.data)
        return unit * math.sqrt(np.average(np.square(self.data / unit, dtype=np.float64), weights=self.weights))

    def row_weights(self):
        """Return the sum of each user's weights, in float64."""
        if self.weights is None:
            return np.diff(self.indptr).astype(np.float64)
        return np.bincount(self.rows(), self.weights, minlength=self.n_rows)

    def column_weights(self):
        """Return the sum of each item's weights, in float64."""
        return np.bincount(self.indices, self.weights, minlength=self.n_columns).astype(np.float64)

    def row_means(self):
        """Return the weighted mean rating of each user, in float64; 0 for a user without any."""
        totals = self.row_weights()
        products = self.data if self.weights is None else self.weights.astype(np.float64) * self.data
        return np.bincount(self.rows(), products, minlength=self.n_rows) / np.where(totals > 0, totals, 1)

    def flipped(self):
        """Return the same interactions by item, and the order that brings an array by user into that by item."""
        places = np.arange(len(self.indices), dtype=np.int32)
        turned = sp.csr_array((places, self.indices, self.indptr), shape=(self.n_rows, self.n_columns)).tocsc()
        order = turned.data
        weights = None if self.weights is None else self.weights[order]
        return Ratings(turned.indptr, turned.indices, self.data[order], weights, self.n_rows), order

    def with_data(self, data):
        """Return the same interactions with other ratings."""
        return Ratings(self.indptr, self.indices, data, self.weights, self.n_columns)

    @classmethod
    def of_matrix(cls, matrix):
        """Return the entries of a CSR matrix of int32 indices as interactions of its rows with its columns."""
        return cls(matrix.indptr, matrix.indices, matrix.data, None, matrix.shape[1])


def check_range(ratings):
    """Refuse weighted ratings whose sum of squares is no ordinary number of their type."""
    if ratings.weights is None or not ratings.data.any():
        return
    with np.errstate(over="ignore", under="ignore"):
        total = np.einsum("i,i,i->", ratings.weights, ratings.data, ratings.data, dtype=np.float64)
    low, high = np.finfo(ratings.data.dtype).tiny, np.finfo(ratings.data.dtype).max
    if not low <= total <= high:
        size = "small" if total < low else "large"
        raise ValueError(
            f"Ratings and sample_weight are together too {size}: the weighted sum of squared ratings, {total:g}, "
            f"leaves {ratings.data.dtype.name}. Bring weights nearer to 1."
        )


def power_of_two(values):
    """Return the largest power of two that no value is beyond, to divide by without rounding; 1 where all are 0."""
    largest = np.max(np.abs(values), initial=0.0)
    return float(2.0 ** np.floor(np.log2(largest, dtype=np.float64))) if largest > 0 else 1.0


def build_ratings(users, items, data, weights, shape):
    """Return interactions in order of user, then item; each pair occurs at most once.

    Parameters
    ----------
    users, items : ndarray of shape (n_interactions,), int32
        Codes.
    data : ndarray of shape (n_interactions,), float32 or float64
        The ratings.
    weights : ndarray of shape (n_interactions,) or None
        Positive.
    shape : (int, int)
        How many users and items there are.

    Returns
    -------
    ratings : Ratings
        Compressed by user.
    """
    order = pair_order(users, items, shape)
    return compressed(users[order], items[order], data[order], None if weights is None else weights[order], shape)


def compressed(users, items, data, weights, shape):
    """Return interactions that are in order of user, then item, as :func:`build_ratings` does."""
    indptr = np.append(0, np.cumsum(np.bincount(users, minlength=shape[0]))).astype(np.int32)
    weights = None if weights is None else weights.astype(data.dtype, copy=False)
    return Ratings(indptr, items.astype(np.int32, copy=False), data, weights, shape[1])


def pair_order(users, items, shape):
    """Return the order that sorts interactions by user, then item, equal ones as they come."""
    order = stable_order(items, shape[1])
    return order[stable_order(users[order], shape[0])]


def stable_order(codes, size):
    """Return the order that sorts codes below `size`, equal ones as they come: a counting sort, in linear time."""
    n = len(codes)
    rows = sp.csr_array((np.ones(n, np.int8), codes, np.arange(n + 1, dtype=np.int32)), shape=(n, size))
    return rows.tocsc().indices
