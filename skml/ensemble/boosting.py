"""Boosting, a round at a time: a member is trained on weighted rows, and the rows it has wrong gain weight.

The members may be anything: the core sees only what they say about the rows.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from skml import _kernels
from skml.base import Step
from skml.ensemble.stumps import SAME, side_sums, threads_for

QUANTILES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)  # of the margins, kept for each round
PERFECT = 0.5  # the vote of a member without error, whose ln((1 - error) / error) is infinite
_VOTES_PER_THREAD = 2**19
_TINY = np.finfo(np.float64).eps  # the least probability whose logarithm is taken


@dataclass(frozen=True)
class Plan:
    """How to boost.

    Attributes
    ----------
    n_rounds : int
        The most rounds, those of an earlier fit included.
    learning_rate : float
        What each round's vote, or change of weights, is multiplied with.
    real : bool
        Whether members say probabilities (SAMME.R) and not classes (SAMME).
    patience : int or None
        Rounds without a better validation score after which to stop.
    tol : float
        What counts as better.
    """

    n_rounds: int = 50
    learning_rate: float = 1.0
    real: bool = False
    patience: int | None = None
    tol: float = 0.0


@dataclass(frozen=True)
class Committee:
    """Members, and what is known of them.

    Attributes
    ----------
    members : tuple
        In the order of their rounds.
    votes, errors, log_losses : tuple of float
        Per round the member's vote, its weighted error, and the logarithm of what the weights were divided by.
    margins : tuple of ndarray
        Per round the `QUANTILES` of the margins.
    scores : tuple of float
        Per round the validation score, if there is one.
    outcome : {None, "perfect", "chance", "vanished", "patience", "n_rounds"}
        Why no round follows; "vanished": all that the next member had wrong were rows that have lost their weight.
    """

    members: tuple = ()
    votes: tuple = ()
    errors: tuple = ()
    log_losses: tuple = ()
    margins: tuple = ()
    scores: tuple = ()
    outcome: str | None = None


@dataclass
class Ballot:
    """The rows' weights and the votes given for their classes so far: what a round changes.

    Attributes
    ----------
    y : ndarray of shape (n_samples,), int32
        The true classes.
    given : ndarray of shape (n_samples,)
        The weights that the rows came with.
    n_classes : int
        The number of classes.
    plan : Plan
        How to boost.
    """

    y: np.ndarray
    given: np.ndarray
    n_classes: int
    plan: Plan
    weights: np.ndarray = field(init=False)
    votes: np.ndarray = field(init=False)
    total: float | np.ndarray = field(init=False)

    def __post_init__(self):
        n = len(self.y)
        self.weights = self.given / self.given.sum()  # w_1 = 1 / N
        self.votes, self.margins = np.zeros((n, self.n_classes)), np.empty(n)
        self.total = np.zeros(n) if self.plan.real else 0.0
        self._sums, self._each = np.empty((n + 4095) // 4096), np.arange(n)

    def error(self, said):
        """Return the weight of the rows that a member has wrong, epsilon_t = sum_i w_i [y_i != h_t(x_i)]."""
        wrong, right = side_sums(self.y, self.weights, self._wrong(said), self.n_classes).sum(axis=1)
        return float(wrong / (wrong + right))

    def is_right(self, said):
        """Tell whether a member has every row right, those included whose weight rounding has made 0."""
        return not self._wrong(said).any()

    def _wrong(self, said):
        return (said.argmax(axis=1) if self.plan.real else said) != self.y

    def count(self, said, error):
        """Count a member's votes, and reweigh the rows.

        Parameters
        ----------
        said : ndarray of shape (n_samples,), int32, or (n_samples, n_classes)
            The classes, or for SAMME.R the probabilities, that it gives the rows.
        error : float
            Its weighted error.

        Returns
        -------
        vote, log_loss : float
            The weight of its vote, and the logarithm of Z_t, the mean factor of the weights.
        """
        return self._count_real(said, error) if self.plan.real else self._count_classes(said, error)

    def _count_classes(self, said, error):
        K = self.n_classes
        # alpha_t = 1/2 [ln((1 - epsilon_t) / epsilon_t) + ln(K - 1)]
        alpha = PERFECT
        if error > 0:
            alpha = 0.5 * self.plan.learning_rate * (np.log((1 - error) / error) + np.log(K - 1))
        self.total += alpha
        # w <- w exp(-alpha_t) where h_t is right, w exp(alpha_t) where it is wrong; then w <- w / Z_t.
        right = np.exp(-2 * alpha) if error > 0 else 1.0
        arrays = (self.weights, self.votes, self.margins, self._sums)
        said, threads = np.ascontiguousarray(said, dtype=np.int32), threads_for(len(said) * K, _VOTES_PER_THREAD)
        _kernels.stumps.cast_votes(said, self.y, alpha, right, self.total, *arrays, threads)
        self.weights /= self._sums.sum()
        return float(alpha), float(np.logaddexp(np.log1p(-error) - alpha, _log(error) + alpha))

    def _count_real(self, said, error):
        h = real_votes(said)
        own = h[self._each, self.y] / (self.n_classes - 1)
        self.votes += h
        self.total += h.max(axis=1) - h.min(axis=1)
        others = self.votes.copy()
        others[self._each, self.y] = -np.inf
        margins = self.votes[self._each, self.y] - others.max(axis=1)
        self.margins = np.divide(margins, self.total, out=np.zeros_like(margins), where=self.total > 0)
        # w <- w exp(-(K - 1) / K y_i . ln p(x_i)), which is exp(-own) by the coding of y_i
        change = -self.plan.learning_rate * own
        largest = change.max()
        weights = self.weights * np.exp(change - largest)
        mean = weights.sum()
        if error > 0 and mean > 0:
            self.weights = weights / mean
        return 1.0, float(_log(mean) + largest)

    def summary(self):
        """Return the quantiles of the margins, and the share of the given weight whose margin is not positive."""
        found = np.empty(len(QUANTILES))
        found[0], found[-1] = self.margins.min(), self.margins.max()
        levels, inner = np.array(QUANTILES[1:-1]), np.empty(len(QUANTILES) - 2)
        _kernels.stumps.weighted_quantiles(self.margins, self.given, levels, inner)
        found[1:-1] = inner
        wrong = 0.0 if found[0] > 0 else (self.given * (self.margins <= 0)).sum() / self.given.sum()
        return found, float(wrong)


def _log(value):
    return np.log(value) if value > 0 else -np.inf


def real_votes(shares):
    """Return the votes h_k = (K - 1) (ln p_k - mean_j ln p_j) of SAMME.R.

    Parameters
    ----------
    shares : ndarray of shape (n_samples, n_classes)
        Class probabilities; those below 2.2e-16 count as that.

    Returns
    -------
    votes : ndarray of shape (n_samples, n_classes)
        Their sum per row is 0.
    """
    logs = np.log(np.maximum(shares, _TINY, dtype=np.float64))
    return (shares.shape[1] - 1) * (logs - logs.mean(axis=1, keepdims=True))


def boost_rounds(ballot, train, start=None, recall=None, score=None):
    """Boost.

    Parameters
    ----------
    ballot : Ballot
        The rows; it is changed.
    train : callable
        ``train(weights, round)`` gives (member, what it says about the rows).
    start : Committee or None, default=None
        An earlier fit to go on from.
    recall : callable or None, default=None
        ``recall(member)`` gives what a member of `start` says about the rows.
    score : callable or None, default=None
        ``score(member, vote)`` gives the validation score of the committee with that member added.

    Yields
    ------
    step : Step
        One per round; its state is a :class:`Committee`. There is none if the first new member of a committee that
        goes on does no better than chance, or has only rows wrong that weigh nothing any more.
    """
    state = start or Committee()
    for member, error in zip(state.members, state.errors):
        vote, _ = ballot.count(recall(member), error)
        if score is not None:
            score(member, vote)
    ahead, end = _trained(ballot, train, len(state.members))
    while ahead is not None:
        member, said, error = ahead
        vote, log_loss = ballot.count(said, error)
        margins, wrong = ballot.summary()
        metrics = {"error": error, "weight": vote, "training_error": wrong}
        if score is not None:
            metrics["validation_score"] = score(member, vote)
        state = _longer(state, (member, vote, error, log_loss, margins), metrics, ballot.plan)
        # The next member is trained before the step is yielded: only it can tell whether this round was the last.
        ahead, end = (None, state.outcome) if state.outcome else _trained(ballot, train, len(state.members))
        yield Step(replace(state, outcome=end), metrics, last=ahead is None)


def _trained(ballot, train, number):
    """Return a round's member, what it says, and its error, and None; or None, and why there is no such round."""
    member, said = train(ballot.weights, number)
    error, chance = ballot.error(said), 1 - 1 / ballot.n_classes
    if error <= 0 and number and not ballot.is_right(said):
        return None, "vanished"
    if error < chance - SAME:
        return (member, said, error), None
    if number == 0:
        raise ValueError(
            f"The first member is no better than chance: its weighted error, {error:.3g}, is not below {chance:.3g}; "
            "there is nothing to boost. Another estimator, or a larger max_depth, may do better."
        )
    return None, "chance"


def _longer(state, entry, metrics, plan):
    """Return a committee with one more member."""
    columns = (state.members, state.votes, state.errors, state.log_losses, state.margins)
    scores = state.scores + ((metrics["validation_score"],) if "validation_score" in metrics else ())
    longer = [(*column, value) for column, value in zip(columns, entry)]
    outcome = None
    if metrics["error"] <= 0:
        outcome = "perfect"
    elif stalled(scores, plan):
        outcome = "patience"
    elif len(longer[0]) == plan.n_rounds:
        outcome = "n_rounds"
    return Committee(*longer, scores, outcome)


def stalled(scores, plan):
    """Tell whether the last `patience` validation scores are no better than the best before them."""
    if plan.patience is None or len(scores) <= plan.patience:
        return False
    return max(scores[-plan.patience :]) <= max(scores[: -plan.patience]) + plan.tol
