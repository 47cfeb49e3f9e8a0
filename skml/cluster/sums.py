"""Sums of the rows in each cluster, kept exactly while rows change clusters.

Each term is rounded once to a fixed-point number of two integers, and integers add without rounding. So the
centres are a function of the partition alone: the order of the rows, the number of threads, and the path by
which a partition was reached cannot show, and only rows that change clusters need to be read. Sparse rows are the
exception: they are summed in floats and in their order, afresh for every partition.
"""

import numpy as np
import scipy.sparse as sp

from skml import _kernels
from skml.cluster.points import call_slices, threads_for

_VALUE, _FILLED, _SEEN = 0, 1, 2
_NO_WEIGHTS = np.empty(0)


def cluster_sums(points, n_clusters):
    """Return the keeper of sums that fits the points."""
    if points.sparse:
        return SparseSums(points, n_clusters)
    return MissingSums(points, n_clusters) if points.missing else DenseSums(points, n_clusters)


def column_means(points):
    """Return the weighted mean of each column, over the entries seen, as an array of one row."""
    sums, zeros = cluster_sums(points, 1), np.zeros(points.X.shape[0], dtype=np.int32)
    sums.move(zeros - 1, zeros)
    return sums.means(np.zeros((1, points.X.shape[1]), dtype=points.X.dtype))


class ExactSums:
    """Fixed-point sums of ``weight * x`` per (cluster, feature), and of the weights of each cluster."""

    def __init__(self, points, n_clusters, mode, largest):
        X, weights = points.X, points.weights
        total = float(len(X)) if weights is None else weights.sum()
        heaviest = 1.0 if weights is None else weights.max()
        # no sum leaves 62 bits, and no term the 50 bits that the kernel rounds by adding a constant
        largest = np.maximum(np.append(largest.astype(np.float64), 1.0), np.finfo(np.float64).tiny)
        bits = np.minimum(61 - _exponent(largest * total), 49 - _exponent(largest * heaviest))
        self.scale = np.ldexp(1.0, np.clip(bits, -1000, 1000))
        self.fine = 2.0 ** min(49, 61 - int(_exponent(float(len(X)))))
        self.high = np.zeros((n_clusters, X.shape[1] + 1), dtype=np.int64)
        self.low = np.zeros_like(self.high)
        self.X, self.weights, self.mode = X, _NO_WEIGHTS if weights is None else weights, mode
        self._values, self._changed = None, len(X)

    def move(self, before, after):
        """Let all rows go from the clusters `before` (negative: none) to `after`; return how many changed."""
        terms, changed = 40 * self.X.shape[1], 0  # in units of a distance's
        threads = threads_for(terms * self._changed)  # about as many as the last time
        for rows in call_slices(len(self.X), terms):
            changed += _kernels.sums.move_sums(
                self.X[rows],
                self.weights[rows],
                before[rows],
                after[rows],
                self.mode,
                self.scale,
                self.fine,
                self.high,
                self.low,
                threads,
            )
        self._values, self._changed = None, changed
        return changed

    def values(self):
        """Return the sums in float64, the weights in the last column."""
        if self._values is None:
            self._values = (self.high + self.low / self.fine) / self.scale
        return self._values


def _exponent(values):
    return np.frexp(values)[1]


def largest_of(X):
    """Return the largest size in each column, over the entries seen."""
    n, d = X.shape
    folds = max(1, min(256 // d, n))  # NumPy is slow on few columns: lay rows side by side
    whole = n - n % folds
    wide = X[:whole].reshape(-1, folds * d)
    sizes = np.fmax(np.fmax.reduce(wide), -np.fmin.reduce(wide)).reshape(folds, d)
    return np.fmax.reduce(np.concatenate([sizes, np.abs(X[whole:])]))


class DenseSums:
    """Sums over complete rows."""

    def __init__(self, points, n_clusters):
        self._sums = ExactSums(points, n_clusters, _VALUE, largest_of(points.X))

    def move(self, before, after):
        """Let all rows go from the clusters `before` (negative: none) to `after`; return how many changed."""
        return self._sums.move(before, after)

    def weights(self):
        """Return the total weight of each cluster."""
        return self._sums.values()[:, -1]

    def totals(self):
        """Return the sum of ``weight * x`` of each cluster."""
        return self._sums.values()[:, :-1]

    def means(self, otherwise):
        """Return the clusters' means in the dtype of `otherwise`, which is kept where a cluster is empty."""
        weights = self.weights()
        means = otherwise.copy()
        filled = weights > 0
        means[filled] = self.totals()[filled] / weights[filled, None]
        return means


class MissingSums(DenseSums):
    """Sums over the entries that rows have; each (cluster, feature) has a weight of its own."""

    def __init__(self, points, n_clusters):
        self._sums = ExactSums(points, n_clusters, _FILLED, largest_of(points.X))
        self._seen = ExactSums(points, n_clusters, _SEEN, np.ones(points.X.shape[1]))

    def move(self, before, after):
        """Let all rows go from the clusters `before` (negative: none) to `after`; return how many changed."""
        self._seen.move(before, after)
        return super().move(before, after)

    def means(self, otherwise):
        """Return the means of the entries seen; `otherwise` is kept where there are none."""
        seen = self._seen.values()[:, :-1]
        means = otherwise.copy()
        filled = seen > 0
        means[filled] = self.totals()[filled] / seen[filled]
        return means


class SparseSums(DenseSums):
    """Sums over sparse rows, afresh for every partition, in a fixed order."""

    def __init__(self, points, n_clusters):
        n = points.X.shape[0]
        self._X = points.X
        self._row_weights = np.ones(n) if points.weights is None else points.weights
        self._n_clusters = n_clusters
        self._labels = None

    def move(self, before, after):
        """Remember the new clusters."""
        self._labels = after.copy()
        return int(np.count_nonzero(before != after))

    def weights(self):
        """Return the total weight of each cluster."""
        return np.bincount(self._labels, weights=self._row_weights, minlength=self._n_clusters)

    def totals(self):
        """Return the sum of ``weight * x`` of each cluster."""
        n = len(self._labels)
        member = sp.csr_matrix((self._row_weights, (self._labels, np.arange(n))), shape=(self._n_clusters, n))
        return (member @ self._X).toarray()
