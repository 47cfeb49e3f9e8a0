"""Lloyd's iteration: assign rows to their nearest centres, move centres to the means of their rows.

The assignment may be pruned (see ``bounds.py``); the iteration cannot tell.
"""

from dataclasses import dataclass, replace

import numpy as np

from skml.base import Step
from skml.cluster.bounds import assigner, choose
from skml.cluster.points import nearest, observed, own_distances
from skml.cluster.sums import cluster_sums, column_means


@dataclass(frozen=True)
class Plan:
    """How to iterate.

    Attributes
    ----------
    algorithm : str
        Who computes the assignment; no result depends on it.
    max_iter : int
        The most iterations.
    tol : float
        Squared movement of all centres together at which to stop, in units of the mean variance of the columns.
    spherical : bool
        Whether centres are scaled to unit length.
    """

    algorithm: str = "lloyd"
    max_iter: int = 300
    tol: float = 0.0
    spherical: bool = False


@dataclass(frozen=True)
class Clustering:
    """Centres, and what is known of them.

    Attributes
    ----------
    centers : ndarray of shape (n_clusters, n_features)
        After the iteration's move.
    labels : ndarray of shape (n_samples,) or None
        The nearest of `centers` to each row once there is an `outcome`; before, those that `centers` are the means of.
    inertia : float or None
        Weighted sum of the squared distances that belong to `labels`; before the end, to the centres before the move.
    n_iter : int
        Iterations done.
    n_refilled : int
        Clusters found empty and refilled, so far.
    outcome : {None, "strict", "shift", "max_iter"}
        Why the iteration ended: labels unchanged, centres all but still, or `max_iter` reached.
    counts : ndarray of shape (n_clusters,) or None
        The weight of the rows that each centre is the mean of; None means those of `labels`.
    """

    centers: np.ndarray
    labels: np.ndarray | None = None
    inertia: float | None = None
    n_iter: int = 0
    n_refilled: int = 0
    outcome: str | None = None
    counts: np.ndarray | None = None


def lloyd_steps(points, start, plan):
    """Iterate from given centres.

    Parameters
    ----------
    points : Points
        What to cluster.
    start : Clustering
        Where to start, and the iterations done before.
    plan : Plan
        How to iterate.

    Yields
    ------
    step : Step
        One per iteration; its state is a :class:`Clustering`, its metrics are the inertia of the assignment and
        the squared movement of the centres.
    """
    centers, k = start.centers, len(start.centers)
    algorithm = choose(points, k) if plan.algorithm == "auto" else plan.algorithm
    assign, sums, spread = assigner(points, k, algorithm), cluster_sums(points, k), Spread.of(points)
    labels, n_refilled, refilled = np.full(points.X.shape[0], -1, dtype=np.int32), start.n_refilled, 0
    tol = plan.tol * spread.variance
    for n_iter in range(start.n_iter + 1, plan.max_iter + 1):
        found = assign(centers)
        unchanged = sums.move(labels, found) == 0 and not refilled
        labels = found.copy()
        inertia = spread.inertia(points, sums, centers, labels)
        refilled = refill(points, sums, centers, labels, assign)
        n_refilled += refilled
        moved = sums.means(centers)
        if plan.spherical:
            moved = on_sphere(moved, centers)
        shift = float(((moved - centers) ** 2).sum())
        centers = moved
        outcome = (
            "strict" if unchanged else "shift" if shift <= tol else "max_iter" if n_iter == plan.max_iter else None
        )
        state = Clustering(centers, labels, inertia, n_iter, n_refilled, outcome)
        if outcome:
            # unless no label changed, the last move has left the labels behind
            state = settled(points, state, found if unchanged else assign(centers))
        yield Step(state, {"inertia": inertia, "center_shift": shift}, last=outcome is not None)
        if outcome:
            return


def resumed(points, last, shift, plan):
    """Return where an earlier fit stopped, its `outcome` set if there is nothing left to do.

    Parameters
    ----------
    points : Points
        What to cluster, perhaps other rows than before.
    last : Clustering
        The earlier fit's end.
    shift : float
        The squared movement in its last iteration.
    plan : Plan
        How to iterate.

    Returns
    -------
    start : Clustering
        With the labels and inertia that `points` have at its centres.
    """
    start = settled(points, last, nearest(points, last.centers)[0])
    # centres that stand still do so on the rows that they were fitted to only
    same = start.inertia == last.inertia and np.array_equal(start.labels, last.labels)
    if same and shift <= plan.tol * Spread.of(points).variance:
        return replace(start, outcome="shift")
    return replace(start, outcome="max_iter" if last.n_iter >= plan.max_iter else None)


def settled(points, state, labels):
    """Return a clustering with its labels and their exact inertia."""
    inertia = points.weighed(own_distances(points, state.centers, labels))
    return replace(state, labels=labels.copy(), inertia=inertia)


def on_sphere(centers, otherwise):
    """Return centres scaled to length 1; a centre of length 0 stays where it was."""
    lengths = np.sqrt((centers.astype(np.float64) ** 2).sum(axis=1, keepdims=True))
    return np.where(lengths > 0, centers / np.where(lengths > 0, lengths, 1), otherwise).astype(centers.dtype)


_BLOCK = 2**16  # numbers at a time
_CANCELLED = 1e-6  # of the moment; below, its rounding is more than a few digits of an inertia


@dataclass(frozen=True)
class Spread:
    """The second moment of the points about an origin: it gives the inertia from the sums alone.

    ``sum_i w_i |x_i - c|^2 = M - 2 (c - o) . sum_i w_i (x_i - o) + W |c - o|^2`` summed over clusters, where M is the
    moment about the origin o. Where it doesn't hold (missing entries, sparse rows) and where almost all of M cancels
    (tight clusters far apart), distances are summed instead.
    """

    origin: np.ndarray | None = None
    moment: float = 0.0
    variance: float = 0.0

    @classmethod
    def of(cls, points):
        """Measure the points; `variance` is the mean of the columns' variances."""
        if points.sparse or points.missing:
            return cls(variance=_variance_elsewhere(points))
        sums, zeros = cluster_sums(points, 1), np.zeros(points.X.shape[0], dtype=np.int32)
        sums.move(zeros - 1, zeros)
        weight, total = sums.weights()[0], sums.totals()
        origin = sums.means(np.zeros((1, points.X.shape[1]), dtype=points.X.dtype))
        moment = points.weighed(_squared_lengths(points.X, origin))
        variance = moment / weight - ((total / weight - origin) ** 2).sum()
        return cls(origin, moment, max(0.0, float(variance)) / points.X.shape[1])

    def inertia(self, points, sums, centers, labels):
        """Return the inertia of an assignment."""
        inertia = 0.0 if self.origin is None else self._from_sums(sums, centers)
        if inertia <= _CANCELLED * self.moment:
            return points.weighed(own_distances(points, centers, labels))
        return inertia

    def _from_sums(self, sums, centers):
        weights, arms = sums.weights(), centers.astype(np.float64) - self.origin
        totals = sums.totals() - weights[:, None] * self.origin
        return float(self.moment - 2 * (totals * arms).sum() + weights @ (arms**2).sum(axis=1))


def _squared_lengths(X, origin):
    """Return the squared distance of each row to one origin, in float64: its digits are the inertia's."""
    squared, origin = np.empty(len(X)), origin.astype(np.float64)
    size = max(1, _BLOCK // X.shape[1])
    arms = np.empty((size, X.shape[1]))
    for start in range(0, len(X), size):
        part = squared[start : start + size]
        some = np.subtract(X[start : start + size], origin, out=arms[: len(part)])
        np.einsum("ij,ij->i", some, some, out=part)
    return squared


def _variance_elsewhere(points):
    """Mean variance of the columns, over what is seen of them."""
    n_rows, n_features = points.X.shape
    zeros = np.zeros(n_rows, dtype=np.int32)
    seen = observed(points.X) if points.missing else np.full(n_rows, n_features)
    return points.weighed(own_distances(points, column_means(points), zeros)) / points.weighed(seen)


def refill(points, sums, centers, labels, assign):
    """Give every empty cluster the farthest row (and all its copies); return how many were given one.

    `labels` and `sums` are changed in place; `assign` is told to forget the rows that moved.
    """
    empty = np.flatnonzero(sums.weights() <= 0)
    if not len(empty):
        return 0
    squared = own_distances(points, centers, labels)
    if points.weights is not None:
        squared = np.where(points.weights > 0, squared, 0)
    n_refilled = 0
    for rows in farthest_groups(points, squared):
        if n_refilled == len(empty):
            break
        weight = len(rows) if points.weights is None else points.weights[rows].sum()
        if weight < sums.weights()[labels[rows[0]]]:  # else it would only empty another cluster
            before = labels.copy()
            labels[rows] = empty[n_refilled]
            sums.move(before, labels)
            assign.forget(rows)
            n_refilled += 1
    return n_refilled


def farthest_groups(points, squared):
    """Yield the rows with equal content, farthest first; ties by content, so that no order of rows shows."""
    ranked = np.argsort(-squared, kind="stable")
    ranked = ranked[squared[ranked] > 0]
    starts = np.flatnonzero(np.diff(squared[ranked], prepend=np.inf))
    for start, end in zip(starts, np.append(starts[1:], len(ranked))):
        tied = ranked[start:end]
        contents = np.nan_to_num(points.rows(tied), nan=np.inf)
        _, group = np.unique(contents, axis=0, return_inverse=True)
        for g in range(group.max() + 1):
            yield tied[group == g]


def finished(points, state):
    """Return a clustering with labels and inertia, found now if its iteration was cut short."""
    return state if state.outcome else settled(points, state, nearest(points, state.centers)[0])


def batch_steps(points, start, spherical):
    """Move centres to the means of the rows they stood for and those of a batch that are nearest to them.

    Parameters
    ----------
    points : Points
        The batch.
    start : Clustering
        With the `counts` of the rows before.
    spherical : bool
        Whether centres are scaled to unit length.

    Yields
    ------
    step : Step
        The only one; its metrics are the batch's inertia after the move, and the squared movement.
    """
    centers = start.centers.astype(points.X.dtype)
    moved, counts = blended(points, centers, start.counts, nearest(points, centers)[0])
    if spherical:
        moved = on_sphere(moved, centers)
    state = replace(start, centers=moved, counts=counts, n_iter=start.n_iter + 1)
    state = settled(points, state, nearest(points, moved)[0])
    yield Step(state, {"inertia": state.inertia, "center_shift": float(((moved - centers) ** 2).sum())}, last=True)


def blended(points, centers, counts, labels):
    """Return centres moved to the mean of the `counts` rows they stood for and the new ones, and the new counts."""
    sums = cluster_sums(points, len(centers))
    sums.move(np.full_like(labels, -1), labels)
    weights = sums.weights()
    means = sums.means(centers).astype(np.float64)
    share = np.divide(weights, counts + weights, out=np.zeros_like(counts), where=counts + weights > 0)[:, None]
    return ((1 - share) * centers + share * means).astype(centers.dtype), counts + weights
