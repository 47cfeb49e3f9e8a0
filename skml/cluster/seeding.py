"""Where to start: k-means++, k-means||, farthest-point, and random seeds.

Draws are made over the distinct rows in an order that their content alone decides (a hash), with the weights of
equal rows added up. So neither the order of the rows nor writing a row twice instead of weighting it 2 changes
a seed.
"""

from dataclasses import dataclass

import numpy as np

from skml import _kernels
from skml._rows import distinct_rows
from skml.cluster.points import Points, all_distances, call_slices, nearest, observed, threads_for
from skml.cluster.sums import column_means


@dataclass(frozen=True)
class Distinct:
    """The distinct rows of positive weight, in canonical order.

    Attributes
    ----------
    rows : ndarray of shape (n_distinct,)
        One row index per distinct content.
    mass : ndarray of shape (n_distinct,)
        The total weight of the rows with that content.
    spread_mass : ndarray of shape (n_samples,)
        The mass at the chosen row, 0 at its copies.
    filler : ndarray of shape (1, n_features) or None
        The columns' means, to complete seeds that have missing entries.
    """

    rows: np.ndarray
    mass: np.ndarray
    spread_mass: np.ndarray
    filler: np.ndarray | None = None

    def take(self, points, which):
        """Return some distinct rows as centres."""
        centers = points.rows(self.rows[which])
        return centers if self.filler is None else np.where(np.isnan(centers), self.filler, centers)


def distinct(points):
    """Return the distinct rows in canonical order."""
    rows, mass = distinct_rows(points.X, points.weights)
    spread_mass = np.zeros(points.X.shape[0])
    spread_mass[rows] = mass
    return Distinct(rows, mass, spread_mass, column_means(points) if points.missing else None)


def seed(points, n_clusters, init, random_state, n_trials=None):
    """Return the centres that a named strategy starts from.

    Parameters
    ----------
    points : Points
        The data.
    n_clusters : int
        Number of centres.
    init : {"k-means++", "k-means||", "farthest", "random"}
        The strategy.
    random_state : RandomState
        The source of chance.
    n_trials : int or None
        Candidates per centre of k-means++; None means ``2 + log(n_clusters)``.

    Returns
    -------
    centers : ndarray of shape (n_clusters, n_features)
        Rows of the data.
    """
    units = distinct(points)
    if init == "random":
        return random_rows(points, units, n_clusters, random_state)
    if init == "farthest":
        return farthest_point(points, units, n_clusters, random_state)
    if init == "k-means||":
        return parallel(points, units, n_clusters, random_state, n_trials)
    return plus_plus(points, units, n_clusters, random_state, n_trials)


def random_rows(points, units, n_clusters, random_state):
    """Draw distinct rows without replacement, in proportion to weight (Efraimidis & Spirakis 2006)."""
    # the k first arrivals among exponential clocks of rate `mass`
    arrival = random_state.exponential(size=len(units.mass)) / units.mass
    picked = np.argsort(arrival, kind="stable")[:n_clusters]
    return units.take(points, np.resize(picked, n_clusters))


def farthest_point(points, units, n_clusters, random_state):
    """Take a random row, then each time the row farthest from all taken (Gonzalez 1985)."""
    cost = Cost(points, units)
    centers = [cost.add(units.take(points, draw(units.mass, random_state, 1)))]
    for _ in range(n_clusters - 1):
        farthest = np.argmax(cost.closest[units.rows])
        centers.append(cost.add(units.take(points, slice(farthest, farthest + 1))))
    return np.concatenate(centers)


def plus_plus(points, units, n_clusters, random_state, n_trials=None):
    """Draw rows in proportion to squared distance (Arthur & Vassilvitskii 2007).

    Of several candidates per centre the one that leaves the smallest potential is kept (their greedy variant).
    """
    n_trials = 2 + int(np.log(n_clusters)) if n_trials is None else n_trials
    cost = Cost(points, units)
    centers = [cost.add(units.take(points, draw(units.mass, random_state, 1)))]
    for _ in range(n_clusters - 1):
        drawn = draw(cost.shares(), random_state, n_trials)
        centers.append(cost.add(units.take(points, drawn)))
    return np.concatenate(centers)


def parallel(points, units, n_clusters, random_state, n_trials=None, n_rounds=5):
    """Oversample 2k rows per round, then seed among them by the weight they attract (Bahmani et al. 2012)."""
    cost = Cost(points, units)
    picked = draw(units.mass, random_state, 1)
    cost.add(units.take(points, picked))
    for _ in range(n_rounds):
        share = cost.shares()
        chance = random_state.uniform(size=len(share))
        fresh = np.flatnonzero(chance * share.sum() < 2 * n_clusters * share)
        for part in call_slices(len(fresh), points.X.size):
            cost.add_all(units.take(points, fresh[part]))
        picked = np.union1d(picked, fresh)
    if len(picked) <= n_clusters:  # too few distinct rows, or an unlucky draw
        return plus_plus(points, units, n_clusters, random_state, n_trials)
    candidates = np.ascontiguousarray(units.take(points, picked))
    labels, _ = nearest(points, candidates)
    attracted = np.bincount(labels[units.rows], weights=units.mass, minlength=len(picked))
    few = Points(candidates, attracted)
    return plus_plus(few, distinct(few), n_clusters, random_state, n_trials)


def draw(shares, random_state, size):
    """Return `size` indices drawn with replacement in proportion to `shares`."""
    running = np.cumsum(shares)
    if not running[-1] > 0:  # nothing is left to gain: all rows lie on centres
        return random_state.randint(len(shares), size=size)
    drawn = np.searchsorted(running, random_state.uniform(size=size) * running[-1], side="right")
    if drawn.max() == len(shares):  # the product was rounded up to the whole
        drawn = np.minimum(drawn, np.flatnonzero(shares)[-1])
    return drawn


class Cost:
    """The squared distance of each row to its closest seed so far."""

    def __init__(self, points, units):
        X = points.X
        self.points, self.units = points, units
        self.closest, self._shares = None, None
        self.fill = X.shape[1] / observed(X) if points.missing else np.empty(0, dtype=X.dtype)

    def add(self, candidates):
        """Add the candidate that lowers the potential most, and return it as an array of one row."""
        trials, totals = self.tried(candidates)
        best = int(np.argmin(totals))
        self.closest, self._shares = trials[best], None
        return candidates[best : best + 1]

    def shares(self):
        """Return what each distinct row adds to the potential."""
        if self._shares is None:
            self._shares = self.units.mass * self.closest[self.units.rows]
        return self._shares

    def add_all(self, candidates):
        """Add all candidates."""
        squared = nearest(self.points, np.ascontiguousarray(candidates))[1]
        if self.points.missing:
            squared *= self.fill
        self.closest, self._shares = np.minimum(self.closest, squared), None

    def tried(self, candidates):
        """Return, per candidate, the distances with it added (one row each), and the potential."""
        points = self.points
        if points.sparse or self.closest is None:
            squared = all_distances(points, np.ascontiguousarray(candidates)).T
            squared = squared * self.fill if points.missing else squared
            trials = squared if self.closest is None else np.minimum(squared, self.closest)
            return np.ascontiguousarray(trials), (trials[:, self.units.rows] * self.units.mass).sum(axis=1)
        trials = np.empty((len(candidates), len(self.closest)), dtype=points.X.dtype)
        totals = np.empty(len(candidates), dtype=np.int64)
        potential = float(self.shares().sum())
        candidates = np.ascontiguousarray(candidates)
        for some in call_slices(len(candidates), points.X.size, fewest=1):
            _kernels.seeding.try_centers(
                points.X,
                self.units.spread_mass,
                self.closest,
                candidates[some],
                self.fill,
                2.0**50 / max(potential, 2.0**-900),
                trials[some],
                totals[some],
                threads_for(trials.size * points.X.shape[1]),
            )
        return trials, totals
