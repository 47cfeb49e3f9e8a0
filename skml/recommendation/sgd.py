"""Matrix factorization by stochastic gradient descent, one interaction at a time.

Of ratings: Funk (2006); Koren, Bell & Volinsky (2009). Of interactions without ratings: Bayesian personalised ranking
(Rendle, Freudenthaler, Gantner & Schmidt-Thieme 2009), and the logistic loss with unseen items drawn (Johnson 2014).
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from skml._kernels import interaction_sgd
from skml.base import Step
from skml.recommendation.factors import Factors
from skml.recommendation.padding import padded_copy
from skml.recommendation.penalties import Penalties
from skml.recommendation.strata import count_parts, cut, deal_evenly, deal_randomly, random_key, random_numbers

# What random numbers are for: none are used twice.
_SHUFFLE, _DEAL, _NEGATIVES, _STRATA, _START = range(5)
# Numbers that one call of a kernel moves: so many take far less than half a second.
_CALL = 10**8
_TRIES = 64  # the kernel's, for an item that the user has not seen
_PER_TRY = 10  # numbers that take as long to move as a try
# Blocks are ordered by user and shuffled in windows of so many interactions: the users of one stay in the cache.
_WINDOW = 1024


@dataclass(frozen=True)
class Descent:
    """How to descend.

    Attributes
    ----------
    loss : {"squared", "bpr", "logistic"}
        Half the squared error; -ln s(x_ui - x_uj) for an unseen item j; -ln s(x_ui) - sum_j ln s(-x_uj); s is the
        logistic function.
    penalties : Penalties
        In the units of the ratings as given. Under "bpr" and "logistic" they count per interaction, weighted or not.
    learning_rate : {"constant", "invscaling", "adaptive", "cosine"}
        In epoch t = 1, 2, ...: eta0; eta0 / t**power_t; eta0, a fifth each time that the objective has not fallen by
        `tol`; eta0 (1 + cos(pi (t - 1) / max_iter)) / 2.
    eta0 : float
        The step for ratings and weights whose (root) mean (square) is 1: ratings are brought to that, so that a good
        value does not depend on their scale.
    power_t : float
        The exponent of "invscaling".
    max_iter : int
        The number of epochs, those of the start included.
    tol : float or None
        Stop when the objective has fallen by less than `tol` times its value in `n_iter_no_change` epochs running;
        None never stops.
    n_iter_no_change : int
        See `tol`.
    average : int
        The states of the last so many epochs are averaged (Polyak & Juditsky 1992); 0 and 1 mean the last alone.
    fit_bias : bool
        Whether biases are learned; otherwise they stay 0. Under "bpr" those of users stay: they cancel.
    n_negatives : int
        Unseen items drawn per interaction ("bpr" and "logistic").
    seed : int
        Of the random numbers; what an epoch draws depends on it and on the epoch alone.
    n_threads : int
        No result depends on it.
    """

    loss: str = "squared"
    penalties: Penalties = Penalties(0.01, 0.01, 0.01, weighted=True)
    learning_rate: str = "constant"
    eta0: float = 0.02
    power_t: float = 0.25
    max_iter: int = 20
    tol: float | None = None
    n_iter_no_change: int = 3
    average: int = 0
    fit_bias: bool = True
    n_negatives: int = 1
    seed: int = 0
    n_threads: int = 1


def random_factors(shape, n_components, dtype, *, init_scale=0.1, seed=0, mean=0.0):
    """Return where to start: normal factors, biases of 0.

    Parameters
    ----------
    shape : (int, int)
        How many users and items there are.
    n_components : int
        The length of a row of factors.
    dtype : dtype
        The type of all.
    init_scale : float, default=0.1
        The standard deviation of the factors; with ratings of another scale than 1, times its root.
    seed : int, default=0
        Of the random numbers.
    mean : float, default=0.0
        Of the model.

    Returns
    -------
    start : Factors
        Of that type.
    """
    rng = random_numbers(seed, _START)
    rows = (rng.standard_normal((n, n_components)) * init_scale for n in shape)  # the same numbers for either type
    return Factors.unbiased(*(side.astype(dtype) for side in rows), mean)


@dataclass(frozen=True)
class Motion:
    """What the factors of an epoch do not tell, and what those of the next depend on.

    Attributes
    ----------
    arrays : tuple of ndarray
        Factors and biases before they were averaged, in the units of the descent.
    mean : Factors or None
        The mean of the epochs since, where these are averaged.
    since, window : int
        The epochs before the first of these, of this run and of any.
    """

    arrays: tuple
    mean: Factors | None
    since: int
    window: int


def sgd_steps(ratings, start, descent, before=()):
    """Descend from given factors, epoch by epoch.

    Parameters
    ----------
    ratings : Ratings
        What to learn from; under the losses "bpr" and "logistic" the data are not looked at.
    start : Factors
        Where to start; the mean stays. With a :class:`Motion` the descent, of the same problem, goes on as if it had
        not been cut short.
    descent : Descent
        How to descend.
    before : sequence of float, default=()
        The objectives of the epochs that have led to the start.

    Yields
    ------
    step : Step
        One per epoch; its state is a :class:`Factors` with its :class:`Motion`, its metrics are "objective" and
        "learning_rate". The objective is half the squared error plus penalties, or the mean loss, each error as it was
        met during the epoch: before the step that it led to, as in scikit-learn's stochastic gradient descents.

    Raises
    ------
    FloatingPointError
        If the factors grew without bounds.
    """
    ratings = _centred(ratings, start.mean)
    model = _Model.of(ratings, start, descent)
    learn = _rating_epoch(ratings, model, descent) if descent.loss == "squared" else _ranking_epoch(ratings, descent)
    scales = descent.penalties.scales(ratings)
    plateau, done, motion = Plateau(descent, before), len(before), start.motion
    window = descent.max_iter - descent.average
    goes_on = motion is not None and motion.window == window
    since, mean = (motion.since, motion.mean) if goes_on else (max(done, window), None)
    for epoch in range(done + 1, descent.max_iter + 1):
        eta = plateau.damping * rate_at(descent, epoch)
        with np.errstate(over="ignore", invalid="ignore"):
            met = learn(model, epoch, eta)
            state = model.state()
            added = descent.penalties.of(state, scales)
        objective = met + (added if descent.loss == "squared" else 0.0)
        if not math.isfinite(met + added):
            raise FloatingPointError(
                f"The factors grew without bounds in epoch {epoch} at a learning rate of {eta:.3g}; lower "
                "learning_rate_init, or raise the penalties."
            )
        if epoch > window:
            state = mean = averaged(mean, state, epoch - since)
        plateau.see(objective)
        last = plateau.ended or epoch == descent.max_iter
        state = replace(state, motion=Motion(model.running(), mean, since, window))
        yield Step(state, {"objective": objective, "learning_rate": eta}, last=last)
        if last:
            return


def rate_at(descent, epoch):
    """Return the learning rate of an epoch, the first of which is 1."""
    if descent.learning_rate == "invscaling":
        return descent.eta0 / epoch**descent.power_t
    if descent.learning_rate == "cosine":
        return descent.eta0 * (1 + math.cos(math.pi * (epoch - 1) / descent.max_iter)) / 2
    return descent.eta0


class Plateau:
    """Tells whether an objective has stopped to fall.

    Parameters
    ----------
    descent : Descent
        With `tol` and `n_iter_no_change`.
    objectives : sequence of float, default=()
        What has been seen.

    Attributes
    ----------
    ended : bool
        Whether it is time to stop.
    damping : float
        What an adaptive learning rate is multiplied with.
    """

    def __init__(self, descent, objectives=()):
        self.tol, self.patience = descent.tol, descent.n_iter_no_change
        self.divisor = 5 if descent.learning_rate == "adaptive" else 1
        self.best, self.waited, self.damping = math.inf, 0, 1.0
        for objective in objectives:
            self.see(objective)

    def see(self, objective):
        """Take in the objective of an epoch."""
        stalled = objective > self.best - (self.tol or 0.0) * abs(self.best) if self.best < math.inf else False
        self.waited = self.waited + 1 if stalled else 0
        self.damping = self.damping / self.divisor if stalled else self.damping
        self.best = min(self.best, objective)

    @property
    def ended(self):
        return self.tol is not None and self.waited >= self.patience


def averaged(mean, state, count):
    """Return the mean of `count` states, of which `mean` is that of all but the last.

    Parameters
    ----------
    mean : Factors or None
        None if `count` is 1.
    state : Factors
        The last one.
    count : int
        How many states there are.

    Returns
    -------
    mean : Factors
        Of the same type.
    """
    if mean is None:
        return state
    parts = zip(mean.arrays(), state.arrays())
    return Factors(*(a + (b - a) / a.dtype.type(count) for a, b in parts), state.mean)


def _centred(ratings, mean):
    return ratings.with_data(ratings.data - ratings.data.dtype.type(mean)) if mean else ratings


@dataclass(frozen=True)
class _Model:
    """The factors that kernels write into: ratings are divided by a scale, factors by its root, weights by a mean."""

    U: np.ndarray
    V: np.ndarray
    user_bias: np.ndarray
    item_bias: np.ndarray
    start: Factors
    scale: float

    @classmethod
    def of(cls, ratings, start, descent):
        scale = ratings.scale if descent.loss == "squared" else 1.0
        root, kind, none = 1 / math.sqrt(scale), start.users.dtype.type, np.empty(0, dtype=start.users.dtype)
        arrays = start.users, start.items, *((start.user_bias, start.item_bias) if descent.fit_bias else (none, none))
        units = root, root, 1 / scale, 1 / scale
        if start.motion is not None:
            arrays, units = start.motion.arrays, (1.0,) * 4
        sides = (padded_copy(rows, kind, unit) for rows, unit in zip(arrays[:2], units))
        biases = arrays[2] * kind(units[2]), padded_copy(arrays[3][:, None], kind, units[3])
        return cls(*sides, *biases, start, scale)

    def arrays(self):
        return self.U, self.V, self.user_bias, self.item_bias

    def running(self):
        """Return copies in the units of the descent."""
        k = self.start.users.shape[1]
        return self.U[:, :k].copy(), self.V[:, :k].copy(), self.user_bias.copy(), self.item_bias[:, 0].copy()

    def state(self):
        """Return a copy in the units of the ratings."""
        kind, start = self.U.dtype.type, self.start
        rows = [array[:, : start.users.shape[1]] * kind(math.sqrt(self.scale)) for array in (self.U, self.V)]
        if not len(self.user_bias):
            return Factors(*rows, start.user_bias, start.item_bias, start.mean)
        return Factors(*rows, self.user_bias * kind(self.scale), self.item_bias[:, 0] * kind(self.scale), start.mean)

    def rates(self, eta, penalties):
        # dJ/dp_u = -sum_i w e q_i + 2 lambda p_u, with p, q in units of the root of the scale
        charges = np.array([penalties.users, penalties.items, penalties.biases, penalties.biases])
        pulls = charges * 2 / np.array([self.scale, self.scale, 1, 1])
        return np.append(eta, pulls).astype(self.U.dtype)


def _rating_epoch(ratings, model, descent):
    """Return a function that descends the squared error for one epoch, and returns half of it."""
    kind, n_parts = ratings.data.dtype.type, count_parts(ratings)
    item_counts = np.bincount(ratings.indices, minlength=ratings.n_columns)
    parts = deal_evenly(np.diff(ratings.indptr), n_parts), deal_evenly(item_counts, n_parts)
    strata = cut(ratings, *parts, n_parts)
    mean = 1.0 if ratings.weights is None else float(ratings.weights.mean(dtype=np.float64))
    none = np.empty(0, dtype=kind)
    weights = none if ratings.weights is None else ratings.weights[strata.order] / kind(mean)
    data = (ratings.data * kind(1 / model.scale))[strata.order]
    arrays = (ratings.rows()[strata.order], ratings.indices[strata.order], data, weights)
    counts = [] if descent.penalties.weighted else [ratings.row_weights(), ratings.column_weights()]
    shares = [_inverse(count).astype(kind) for count in counts] or [none, none]
    order = np.empty(len(data), dtype=np.int32)

    def learn(model, epoch, eta):
        order[:] = np.arange(len(order), dtype=np.int32)
        total, rates = 0.0, model.rates(eta, descent.penalties)
        for starts, stops, _ in _pieces(strata, order, model, descent, epoch):
            losses = np.empty(len(starts))
            where = (order, starts, stops)
            interaction_sgd.rate_blocks(*arrays, *where, *model.arrays(), *shares, rates, losses, descent.n_threads)
            total += float(losses.sum())
            if not math.isfinite(total):
                break
        return total * mean * model.scale**2

    return learn


def _inverse(weights):
    return 1 / np.where(weights > 0, weights, 1.0)


def _ranking_epoch(ratings, descent):
    """Return a function that descends a ranking loss for one epoch, and returns its mean."""
    users, n_parts, n_items = ratings.rows(), count_parts(ratings), ratings.n_columns
    none = np.empty(0, dtype=ratings.data.dtype)
    weights = none if ratings.weights is None else ratings.weights / ratings.weights.mean()
    user_parts = deal_evenly(np.diff(ratings.indptr), n_parts)
    tries = _expected_tries(ratings, n_parts)

    def learn(model, epoch, eta):
        # Negatives are drawn from the block's items; items are dealt anew each epoch, so that any two meet.
        item_parts = deal_randomly(n_items, n_parts, random_numbers(descent.seed, _DEAL, epoch))
        strata = cut(ratings, user_parts, item_parts, n_parts)
        key, rates, sums = random_key(descent.seed, _NEGATIVES, epoch), model.rates(eta, descent.penalties), np.zeros(2)
        for starts, stops, parts in _pieces(strata, strata.order, model, descent, epoch, tries):
            losses, seen = np.empty((len(starts), 2)), (ratings.indptr, ratings.indices)
            members = _members(strata, parts)
            arrays = (users, ratings.indices, weights, strata.order, starts, stops, *members, *seen, *model.arrays())
            last = (rates, descent.n_negatives, key, losses, descent.n_threads)
            interaction_sgd.rank_blocks(descent.loss == "bpr", *arrays, *last)
            sums += losses.sum(axis=0)
        return float(sums[0] / max(sums[1], 1e-300))

    return learn


def _expected_tries(ratings, n_parts):
    """Return how many tries a negative takes at most, on average over the interactions of blocks yet to be dealt.

    Of n items in a block a user has not seen k ~ B(n, p). Where k > 0 that takes n / k tries, 2 / p at most on average;
    where k = 0, which has a probability of (1 - p)^n, it takes all there are.
    """
    counts, n = np.diff(ratings.indptr), ratings.n_columns / n_parts
    p = 1 - counts / ratings.n_columns
    tries = np.minimum(2 / np.maximum(p, 2 / _TRIES) + _TRIES * (1 - p) ** n, _TRIES)
    return float(np.average(tries, weights=counts))


def _members(strata, parts):
    """Return the items of a stratum's blocks, in the order of the blocks."""
    first = int(parts[0])
    turned = np.roll(strata.members, -int(strata.member_starts[first]))
    sizes = np.diff(strata.member_starts)[parts]
    return turned, np.append(0, np.cumsum(sizes)).astype(np.int32)


def _pieces(strata, order, model, descent, epoch, tries=0.0):
    """Yield starts, stops and item parts of what one call of a kernel learns from; shuffle the order before."""
    key = random_key(descent.seed, _SHUFFLE, epoch)
    n_negatives = 0 if descent.loss == "squared" else descent.n_negatives
    numbers = model.U.shape[1] * (1 + n_negatives) + _PER_TRY * tries * n_negatives
    size = max(1, int(_CALL / (numbers * strata.n_parts)))
    rng = random_numbers(descent.seed, _STRATA, epoch)
    for shift in rng.permutation(strata.n_parts):
        starts, stops, parts = strata.stratum(shift)
        interaction_sgd.shuffle_blocks(order, *_windows(starts, stops), key, descent.n_threads)
        # No user is always the last: which window is first is drawn.
        turns = starts + (rng.random() * (stops - starts)).astype(np.int64) // _WINDOW * _WINDOW
        for begins, ends in ((turns, stops), (starts, turns)):
            while (begins < ends).any():
                yield begins, np.minimum(begins + size, ends), parts
                begins = np.minimum(begins + size, ends)


def _windows(starts, stops):
    """Return where the windows of blocks start and stop."""
    first = [np.arange(start, stop, _WINDOW) for start, stop in zip(starts, stops)]
    at, ends = np.concatenate(first), np.repeat(stops, [len(windows) for windows in first])
    return at, np.minimum(at + _WINDOW, ends)
