"""Bags: which rows each member of an ensemble is trained on, and how often each counts."""

from dataclasses import dataclass

import numpy as np

from skml.base import require_memory, warn_caller

# Weights that are no whole numbers are rounded to so many units in all.
UNITS = 2**30
# So many draws are drawn one by one, as those of copies are; of more (and four to a row) the counts alone.
_LISTED = 2**20
# Rows of which a smaller share is out of a bag are in it.
_SLIGHT = 1e-9


@dataclass(frozen=True)
class Bagging:
    """How bags are drawn.

    Attributes
    ----------
    weights : ndarray of shape (n_rows,)
        Of the distinct rows.
    entropy : int
        Bag t depends on it and on t alone.
    bootstrap : bool
        Whether bags are drawn; otherwise each is the whole.
    size : int
        How many rows, or groups of rows, a bag draws.
    strata : ndarray of shape (n_rows,) or None
        The stratum of each row, from 0.
    shares : ndarray of shape (n_strata,) or None
        How many of a bag's draws fall on each stratum.
    groups : ndarray of shape (n_rows,) or None
        The group of each row, from 0: whole groups are drawn.
    """

    weights: np.ndarray
    entropy: int
    bootstrap: bool = True
    size: int = 0
    strata: np.ndarray | None = None
    shares: np.ndarray | None = None
    groups: np.ndarray | None = None

    @property
    def weights_are_drawn(self):
        """Whether draws follow the weights, so that a row counts as often as it is drawn."""
        return self.bootstrap and self.groups is None

    def __getstate__(self):
        """Return the arrays in as few bytes as they need; of weights that are all the same, one."""
        weights, state = self.weights, vars(self) | {"n_rows": len(self.weights)}
        state["weights"] = weights[:1] if np.all(weights == weights[:1]) else weights
        return state | {name: least(state[name]) for name in ("weights", "strata", "groups") if state[name] is not None}

    def __setstate__(self, state):
        """Take the arrays back."""
        state = dict(state)
        state["weights"] = np.zeros(state.pop("n_rows")) + state["weights"]
        vars(self).update(state)


@dataclass(frozen=True)
class Bags:
    """What it takes to tell which rows were in which bag.

    Attributes
    ----------
    index : ndarray of shape (n_rows,), int
        One row of each group of equal ones.
    bagging : Bagging
        How bags were drawn.
    """

    index: np.ndarray
    bagging: Bagging

    def rows(self, number):
        """Return the rows in a bag, as often as they are, ascending."""
        rows, copies, _ = draw_copies(self.bagging, number)
        require_memory(16 * int(copies.sum()), "The rows of a bag")
        return np.sort(np.repeat(self.index[rows].astype(int), copies))

    def rows_out(self, number):
        """Return the rows of which a bag holds no copy, ascending."""
        return np.sort(np.delete(self.index, draw_bag(self.bagging, number)[0])).astype(int)


def least(values):
    """Return numbers in the smallest type that holds them; fractions as they are."""
    if len(values) == 0 or np.any(values != np.rint(values)):
        return values
    for kind in (np.uint8, np.uint16, np.int32):
        if np.iinfo(kind).min <= values.min() and values.max() <= np.iinfo(kind).max:
            return values.astype(kind)
    return values


def whole(weights):
    """Tell whether weights are numbers of copies."""
    return bool(np.all(weights == np.rint(weights)) and weights.sum() < UNITS)


def total_weight(weights):
    """Return what weights add up to: copies, or relative to a mean of 1."""
    return float(weights.sum()) if whole(weights) else float(len(weights))


def stratum_sizes(weights, strata):
    """Return how many rows each stratum has, copies counted if weights are whole.

    Parameters
    ----------
    weights : ndarray of shape (n_rows,)
        Positive.
    strata : ndarray of shape (n_rows,), int
        The stratum of each row, from 0.

    Returns
    -------
    sizes : ndarray of shape (n_strata,)
        Whole numbers.
    """
    return np.bincount(strata, weights if whole(weights) else None)


def warn_of_small_bags(bagging, max_samples):
    """Warn if balanced bags hold one row of each class because one class has no more.

    Parameters
    ----------
    bagging : Bagging
        How bags are drawn.
    max_samples : int, float or None
        As the user set it; None lets the smallest class rule.
    """
    if max_samples is None and bagging.strata is not None and bagging.size == len(bagging.shares) < len(bagging.strata):
        warn_caller(
            "sampling='balanced' draws from each class as many rows as the smallest has, and one has a single row: "
            f"bags are of {bagging.size} rows. Set max_samples for larger ones.",
            UserWarning,
        )


def as_counts(weights):
    """Return weights as whole numbers: as they are, or in units of a billionth of their sum.

    Parameters
    ----------
    weights : ndarray of shape (n_rows,)
        Positive.

    Returns
    -------
    counts : ndarray of shape (n_rows,), int32
        At least 1.
    unit : float
        What 1 stands for, relative to a mean weight of 1 where the weights aren't whole.
    """
    if whole(weights):
        return weights.astype(np.int32), 1.0
    counts = np.maximum(1, np.rint(weights * (UNITS / weights.sum()))).astype(np.int32)
    return counts, len(weights) / float(counts.sum(dtype=np.int64))


def largest_bag(bagging):
    """Return what the counts of a bag add up to at most."""
    if not bagging.bootstrap:
        return int(as_counts(bagging.weights)[0].sum(dtype=np.int64))
    if bagging.groups is not None:
        return 2 * UNITS + len(bagging.weights)
    return bagging.size + (0 if bagging.shares is None else int(bagging.shares.sum()))


def generator(entropy, number):
    """Return the random numbers of one member, which depend on no other."""
    return np.random.Generator(np.random.Philox(key=[entropy, number]))


def draw_bag(bagging, number):
    """Draw a bag.

    Parameters
    ----------
    bagging : Bagging
        How.
    number : int
        Which one.

    Returns
    -------
    rows : ndarray of shape (n_bag,), int32
        The distinct rows in the bag, ascending.
    counts : ndarray of shape (n_bag,), int32
        What each counts, in whole numbers: how often it was drawn, or in units of its own its weight.
    """
    times = times_drawn(bagging, number)
    counts = times if bagging.weights_are_drawn else _bounded(as_counts(bagging.weights)[0] * times)
    rows = np.flatnonzero(counts)
    return rows.astype(np.int32), counts[rows].astype(np.int32)


def draw_copies(bagging, number):
    """Draw a bag, its weights told apart from its copies.

    Parameters
    ----------
    bagging : Bagging
        How.
    number : int
        Which one.

    Returns
    -------
    rows : ndarray of shape (n_bag,), int32
        The rows of :func:`draw_bag`.
    copies : ndarray of shape (n_bag,), int64
        How often each is in the bag; a weight that isn't drawn is so many copies if all are whole.
    weights : ndarray of shape (n_bag,)
        What they weigh together.
    """
    times = times_drawn(bagging, number)
    rows = np.flatnonzero(times)
    times, own = times[rows], np.ones(len(rows)) if bagging.weights_are_drawn else bagging.weights[rows]
    copies = times * own.astype(np.int64) if whole(bagging.weights) else times
    return rows.astype(np.int32), copies, times * own


def out_of_bag(bagging, number):
    """Return the rows that are out of a bag, and to which share.

    Parameters
    ----------
    bagging : Bagging
        How bags are drawn.
    number : int
        Which one.

    Returns
    -------
    rows : ndarray of shape (n_out,), int
        Ascending; of a row that stands for several, some may be in the bag.
    shares : ndarray of shape (n_out,)
        Above 0, up to 1: of what the row stands for.
    """
    shares = shares_out(times_drawn(bagging, number), copies_drawn(bagging))
    rows = np.flatnonzero(shares)
    return rows, shares[rows]


def copies_drawn(bagging):
    """Return of how many copies of each row one is drawn at a time: 1 where weights are shares, or groups are drawn."""
    own = bagging.weights_are_drawn and whole(bagging.weights)
    return bagging.weights if own else np.ones(len(bagging.weights))


def shares_out(times, copies):
    """Return which share of each row's copies a bag misses: of k that are drawn from c times, (1 - 1/k)^c on average.

    Parameters
    ----------
    times : ndarray of shape (..., n_rows), int
        How often each row is drawn.
    copies : ndarray of shape (n_rows,)
        How many copies it has.

    Returns
    -------
    shares : ndarray of shape (..., n_rows)
        Between 0 and 1.
    """
    shares = (times == 0).astype(np.float64)
    many = np.flatnonzero(copies > 1)
    missed = (1.0 - 1.0 / copies[many]) ** times[..., many]
    shares[..., many] = np.where(missed > _SLIGHT, missed, 0.0)
    return shares


def unit_of(bagging, number, counts):
    """Return what a count of a bag stands for in copies, or in mean weights where weights aren't whole.

    Parameters
    ----------
    bagging : Bagging
        How bags are drawn.
    number : int
        Which one.
    counts : float
        The sum of its counts.

    Returns
    -------
    unit : float
        1 where the counts are copies.
    """
    if bagging.weights_are_drawn or (whole(bagging.weights) and bagging.groups is None):
        return 1.0
    mean = 1.0 if whole(bagging.weights) else bagging.weights.mean()
    return (draw_copies(bagging, number)[2] / mean).sum() / counts


def times_drawn(bagging, number):
    """Return how often each row, or the group that it is in, is drawn."""
    n, rng = len(bagging.weights), generator(bagging.entropy, number)
    if not bagging.bootstrap:
        return np.ones(n, np.int64)
    if bagging.groups is not None:
        n_groups = int(bagging.groups.max()) + 1
        return _drawn(np.ones(n_groups), bagging.size, rng)[bagging.groups]
    if bagging.strata is None:
        return _drawn(bagging.weights, bagging.size, rng)
    times = np.zeros(n, np.int64)
    for stratum, share in enumerate(bagging.shares):
        members = np.flatnonzero(bagging.strata == stratum)
        times[members] = _drawn(bagging.weights[members], int(share), rng)
    return times


def _bounded(counts):
    """Return counts in so large a unit that their sum fits in 32 bits; what counts at all keeps at least 1."""
    total = counts.sum()
    if total < 2 * UNITS:
        return counts
    return np.where(counts > 0, np.maximum(1, np.rint(counts * (UNITS / total))), 0).astype(np.int64)


def _drawn(weights, size, rng):
    """Return how often each row is among `size` draws in proportion to the weights."""
    n = len(weights)
    if size > max(_LISTED, 4 * n):  # too many to draw one by one
        return rng.multinomial(size, weights / weights.sum())
    if np.all(weights == weights[0]):  # even, like most: no table is needed
        return np.bincount(rng.integers(n, size=size), minlength=n)
    if whole(weights):
        reached = np.cumsum(weights.astype(np.int64))
        drawn = rng.integers(reached[-1], size=size)
        if reached[-1] > 8 * n:  # too long a list of copies
            return np.bincount(np.searchsorted(reached, drawn, side="right"), minlength=n)
        return np.bincount(np.repeat(np.arange(n), np.diff(reached, prepend=0))[drawn], minlength=n)
    reached = np.cumsum(weights)
    at = np.searchsorted(reached, rng.random(size) * reached[-1], side="right")
    return np.bincount(np.minimum(at, n - 1), minlength=n)
