"""Who is nearest, without asking everybody: assignment pruned by bounds, and exact.

Hamerly (2010) keeps one lower bound per row, exponion (Newling & Fleuret 2016) adds a search among the centres
around the row's own, Yinyang (Ding et al. 2015) keeps a bound per group of centres, and Elkan (2003) one per
centre. The bounds carry their own rounding errors (see ``kmeans_bounds.hpp``), so every algorithm gives the
labels of a full scan, ties included.
"""

from dataclasses import dataclass

import numpy as np

from skml import _kernels
from skml.cluster.points import Points, all_distances, call_slices, nearest, threads_for

_SKETCHED = range(96, 10_001)  # features; below, a sketch costs too much of what it saves
_SKETCH_SIZE = 32  # coordinates of a sketch
# What float32 rounding may add to a sketched distance, per unit of length: sqrt(d * 1e-16) of it for d in _SKETCHED.
_SKETCH_ROUNDING = 4e-6
_FEW_TERMS = 1_000_000  # of all distances; below, bounds cost more than they save
_MANY_TERMS = 500_000_000  # below, a sketch does
_TELLING = 0.65  # share of the variance; sketches that hold less leave most pairs open
_MOST_BOUND_BYTES = 2**31
_MOST_AROUND = 1_000_000  # entries of the table of neighbours of all centres


def assigner(points, n_clusters, algorithm):
    """Return a callable object that gives labels for successive centres, by the algorithm of that name."""
    if points.sparse or n_clusters == 1 or algorithm == "lloyd":
        return FullScan(points)
    if algorithm == "exponion" and points.missing:
        algorithm = "hamerly"  # distances over different entries obey no triangle inequality between centres
    if algorithm == "yinyang":
        return Grouped(points, n_clusters, max(1, n_clusters // 10))
    return {"elkan": Elkan, "exponion": Exponion, "hamerly": Hamerly}[algorithm](points, n_clusters)


def choose(points, n_clusters):
    """Return the algorithm that "auto" stands for on a problem (see docs/algorithms/kmeans.md)."""
    n, n_features = points.X.shape
    terms = n * n_clusters * n_features
    if points.sparse or n_clusters < 3 or terms < _FEW_TERMS:
        return "lloyd"
    if points.missing or n_features not in _SKETCHED or n_clusters < 25 or terms < _MANY_TERMS:
        return "hamerly"
    fits = n * n_clusters * points.X.dtype.itemsize < _MOST_BOUND_BYTES
    return "elkan" if fits and leading_share(points.X) > _TELLING else "hamerly"


def leading_share(X):
    """Return roughly how much of the rows' variance their sketches would hold."""
    squares = (Sketch.of(X[:: max(1, len(X) // 512)]).rows.astype(np.float64) ** 2).sum(axis=0)
    return squares[:-1].sum() / max(squares.sum(), np.finfo(np.float64).tiny)


class FullScan:
    """Lloyd's assignment: every row asks every centre."""

    def __init__(self, points):
        self._points = points

    def __call__(self, centers):
        """Return the label of each row."""
        return nearest(self._points, centers)[0]

    def forget(self, rows):
        """Nothing is remembered, so nothing need be forgotten."""


class Hamerly:
    """One upper and one lower bound per row."""

    def __init__(self, points, n_clusters):
        X = points.X
        self.points, self.labels, self.centers = points, np.empty(X.shape[0], dtype=np.int32), None
        self.upper, self.lower = np.empty(X.shape[0], dtype=X.dtype), np.empty(X.shape[0], dtype=X.dtype)
        self.slack, self.threads = rounding_slack(X), threads_for(X.size * n_clusters)

    def __call__(self, centers):
        """Return the label of each row."""
        if self.centers is None:
            self.first(centers)
        else:
            self.again(centers, self.drift(centers))
        self.centers = centers.copy()
        return self.labels

    def forget(self, rows):
        """Drop what the bounds say about some rows."""
        self.upper[rows], self.lower[rows] = np.inf, 0

    def drift(self, centers):
        """Return how far each centre moved, rounded up."""
        moved = np.sqrt(((centers.astype(np.float64) - self.centers) ** 2).sum(axis=1))
        return (moved * (1 + 4 * self.slack)).astype(centers.dtype)

    def first(self, centers):
        """Assign by a full scan and set the bounds."""
        X = self.points.X
        for rows in call_slices(len(X), centers.size):
            _kernels.kmeans.first_bounds(
                X[rows], centers, self.points.missing, self.slack, *self.state(rows), self.threads
            )

    def again(self, centers, drift):
        """Assign after the centres have moved by `drift`."""
        X, half = self.points.X, self.half(centers)
        for rows in call_slices(len(X), centers.size):
            _kernels.kmeans.hamerly_pass(
                X[rows],
                centers,
                self.points.missing,
                drift,
                half,
                self.slack,
                *self.state(rows),
                self.threads,
            )

    def state(self, rows):
        """Return labels and bounds of a slice of rows."""
        return self.labels[rows], self.upper[rows], self.lower[rows]

    def half(self, centers):
        """Return half the distance from each centre to its nearest other one, rounded down (0: unknown)."""
        if self.points.missing:
            return np.zeros(len(centers), dtype=centers.dtype)
        apart = self.apart(centers)
        np.fill_diagonal(apart, np.inf)
        return apart.min(axis=1) / 2

    def apart(self, centers):
        """Return the distances between centres, rounded down."""
        squared = all_distances(Points(centers), centers)
        tiny = np.sqrt(np.finfo(centers.dtype).tiny)  # squares below it have lost digits
        return np.maximum(np.sqrt(squared) * centers.dtype.type(1 - 4 * self.slack) - tiny, 0)


class Exponion(Hamerly):
    """Hamerly's bounds; a row in doubt asks only centres in a ball around its own."""

    def again(self, centers, drift):
        """Assign after the centres have moved by `drift`."""
        X, apart = self.points.X, self.apart(centers)
        order = np.argsort(apart, axis=1, kind="stable").astype(np.int32)
        apart = np.take_along_axis(apart, order, axis=1)
        half, around = apart[:, 1] / 2, packed_around(centers, order)
        for rows in call_slices(len(X), centers.size):
            _kernels.kmeans.exponion_pass(
                X[rows],
                centers,
                order,
                apart,
                around,
                drift,
                half,
                self.slack,
                *self.state(rows),
                self.threads,
            )


def packed_around(centers, order):
    """Return, per centre, all centres in its order, feature by feature and padded to whole vectors with infinity.

    Empty where rows are too wide for a scan of that, or it would be too much.
    """
    narrow, lanes = _kernels.kmeans.layout(centers)
    k, d = centers.shape
    padded = -(-k // lanes) * lanes
    if d > narrow or k * d * padded > _MOST_AROUND:
        return np.empty((0, 1, 1), dtype=centers.dtype)
    around = np.full((k, d, padded), np.inf, dtype=centers.dtype)
    around[:, :, :k] = centers[order].transpose(0, 2, 1)
    return around


class Elkan(Hamerly):
    """A lower bound per row and centre, and a sketch for the pairs that these leave open."""

    def first(self, centers):
        """Sketch the rows; the first pass proper starts from the nearest sketch, with no bound in force."""
        X, k = self.points.X, len(centers)
        wide = X.shape[1] in _SKETCHED and not self.points.missing
        self.sketch = Sketch.of(X) if wide else Sketch.none(X)
        self.floor, self.fallen = np.zeros((len(X), k), dtype=X.dtype), np.zeros(k)
        self.upper[:], self.lower[:], self.labels[:] = np.inf, 0, 0
        if wide:
            self.labels[:] = nearest(Points(self.sketch.rows), self.sketch.apply(centers))[0]
        self.again(centers, np.zeros(k, dtype=X.dtype))

    def forget(self, rows):
        """Drop what the bounds say about some rows."""
        super().forget(rows)
        self.floor[rows] = 0

    def again(self, centers, drift):
        """Assign after the centres have moved by `drift`."""
        self.fallen += drift
        X, half, fallen = self.points.X, self.half(centers), rounded_up(self.fallen, drift.dtype)
        sketched = self.sketch.apply(centers)
        reach = lengths(sketched) * _SKETCH_ROUNDING
        for rows in call_slices(len(X), centers.size):
            _kernels.kmeans.elkan_pass(
                X[rows],
                centers,
                self.sketch.rows[rows],
                sketched,
                self.sketch.reach[rows],
                reach,
                fallen,
                self.points.missing,
                drift,
                half,
                self.slack,
                *self.state(rows),
                self.floor[rows],
                self.threads,
            )


@dataclass(frozen=True)
class Sketch:
    """Rows in a few leading directions, with the length of what is left as one more coordinate.

    ``|x - c|^2 >= |Qx - Qc|^2 + (|x - Q'Qx| - |c - Q'Qc|)^2`` for any orthonormal rows Q: sketches are no farther
    apart than what they stand for.
    """

    rows: np.ndarray
    reach: np.ndarray
    directions: np.ndarray
    middle: np.ndarray

    @classmethod
    def none(cls, X):
        """Return a sketch of no columns, which rules nothing out."""
        return cls(X[:, :0], np.zeros(len(X), dtype=X.dtype), np.empty((X.shape[1], 0)), np.zeros(X.shape[1]))

    @classmethod
    def of(cls, X):
        """Sketch X along roughly its principal directions, found from some of its rows."""
        some = X[:: max(1, len(X) // 2048)].astype(np.float64)
        middle = some.mean(axis=0)
        some -= middle
        with _kernels.blas_threads(1):
            directions = np.random.default_rng(0).normal(size=(X.shape[1], _SKETCH_SIZE + 8))
            for _ in range(2):
                directions = np.linalg.qr(some.T @ (some @ directions))[0]
            image = some @ directions
            turn = np.linalg.eigh(image.T @ image)[1][:, :-_SKETCH_SIZE:-1]
            bare = cls(np.empty(0), np.empty(0), directions @ turn, middle)
            rows = np.concatenate([bare.apply(X[start : start + 256]) for start in range(0, len(X), 256)])
        return cls(rows, lengths(rows) * _SKETCH_ROUNDING, bare.directions, middle)

    def apply(self, X):
        """Return the sketches of some rows."""
        if not self.directions.shape[1]:
            return X[:, :0]
        centred = X.astype(np.float64) - self.middle
        with _kernels.blas_threads(1):  # too little work to wake others for
            seen = centred @ self.directions
        left = np.einsum("ij,ij->i", centred, centred) - np.einsum("ij,ij->i", seen, seen)
        return np.column_stack([seen, np.sqrt(np.maximum(left, 0))]).astype(X.dtype)


def lengths(rows):
    """Return the Euclidean length of each row."""
    return np.sqrt(np.einsum("ij,ij->i", rows, rows))


def rounded_up(values, dtype):
    """Return float64 values in a dtype, never smaller."""
    return np.nextafter(values.astype(dtype), np.inf, dtype=dtype)


class Grouped(Hamerly):
    """A lower bound per row and group of centres."""

    def __init__(self, points, n_clusters, n_groups):
        super().__init__(points, n_clusters)
        self.n_groups, self.floor = n_groups, None

    def forget(self, rows):
        """Drop what the bounds say about some rows."""
        super().forget(rows)
        self.floor[rows] = 0

    def first(self, centers):
        """Group the centres; the first pass proper is one in which no bound holds."""
        self.group_of = group_centers(centers, self.n_groups)
        self.members = np.argsort(self.group_of, kind="stable").astype(np.int32)
        sizes = np.bincount(self.group_of)
        self.starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
        self.fallen = np.zeros(len(sizes))
        super().first(centers)
        self.floor = np.repeat(self.lower[:, None], len(sizes), axis=1)

    def again(self, centers, drift):
        """Assign after the centres have moved by `drift`."""
        self.fallen += np.maximum.reduceat(drift[self.members].astype(np.float64), self.starts[:-1])
        X, half, fallen = self.points.X, self.half(centers), rounded_up(self.fallen, centers.dtype)
        for rows in call_slices(len(X), centers.size):
            _kernels.kmeans.group_pass(
                X[rows],
                centers,
                self.members,
                self.starts,
                self.group_of,
                fallen,
                self.points.missing,
                drift,
                half,
                self.slack,
                *self.state(rows),
                self.floor[rows],
                self.threads,
            )


def rounding_slack(X):
    """Return twice a bound on the relative rounding error of one computed distance."""
    narrow, lanes = _kernels.kmeans.layout(X[:0])
    chain = X.shape[1] if X.shape[1] <= narrow else X.shape[1] // lanes + lanes
    return float((chain + 16) * np.finfo(X.dtype).eps)


def group_centers(centers, n_groups):
    """Return a group for each centre, none empty, by a few rounds of k-means on the centres."""
    if n_groups == len(centers):
        return np.arange(n_groups, dtype=np.int32)
    middles = centers[:: len(centers) // n_groups][:n_groups].copy()
    for _ in range(5):
        groups, _ = nearest(Points(centers), middles)
        for g in range(n_groups):
            if np.any(groups == g):
                middles[g] = centers[groups == g].mean(axis=0)
    return np.unique(groups, return_inverse=True)[1].astype(np.int32)
