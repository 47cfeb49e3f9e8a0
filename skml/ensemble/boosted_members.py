"""What boosting needs of its members: how they are trained on weighted rows, and what they say about rows."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.utils.validation import has_fit_parameter

from skml.ensemble.boosting import Ballot, boost_rounds, real_votes
from skml.ensemble.members import kind_of, seeded
from skml.ensemble.stumps import BoostedTree, bin_rows, grow

_TRIES = 100  # draws of rows, until there are two classes among them


@dataclass(frozen=True)
class Rows:
    """Training rows: distinct ones, in an order of their own.

    Attributes
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        The rows.
    y : ndarray of shape (n_samples,), int32
        Their classes, as indices of `classes`.
    weights : ndarray of shape (n_samples,)
        Positive.
    classes : ndarray of shape (n_classes,)
        The labels.
    """

    X: np.ndarray
    y: np.ndarray
    weights: np.ndarray
    classes: np.ndarray

    def only(self, chosen):
        """Return some of the rows."""
        X = self.X[chosen] if sp.issparse(self.X) else np.ascontiguousarray(self.X[chosen])
        return Rows(X, self.y[chosen], self.weights[chosen], self.classes)


class Trees:
    """Trains built-in members: the rows are sorted once for all of them.

    Parameters
    ----------
    rows : Rows
        The training rows.
    unfitted : BoostedTree
        Says how to grow.
    real : bool
        Whether members say probabilities and not classes.
    """

    def __init__(self, rows, unfitted, real):
        self.rows, self.unfitted, self.real = rows, unfitted, real
        self.binned = bin_rows(rows.X, rows.weights, unfitted.max_bins)

    def train(self, weights, seed):
        """Return a member, and what it says about the training rows."""
        rows, how = self.rows, self.unfitted
        tree, leaves = grow(self.binned, rows.y, weights, len(rows.classes), how.max_depth)
        member = BoostedTree(how.max_depth, how.max_bins).holding(tree, rows.classes, rows.X.shape[1])
        return member, (tree.shares() if self.real else tree.classes())[leaves]


class Others:
    """Trains members of any other kind.

    Parameters
    ----------
    rows : Rows
        The training rows.
    unfitted : classifier
        Cloned for each round.
    real : bool
        Whether members say probabilities and not classes.
    """

    def __init__(self, rows, unfitted, real):
        self.rows, self.unfitted, self.real = rows, unfitted, real
        self.takes_weights = has_fit_parameter(unfitted, "sample_weight")

    def train(self, weights, seed):
        """Return a member, and what it says about the training rows."""
        random_state, rows = np.random.RandomState(seed), self.rows
        member = seeded(clone(self.unfitted), random_state.randint)
        if self.takes_weights:
            member.fit(rows.X, rows.classes[rows.y], sample_weight=weights)
        else:
            drawn = weighted_draw(rows.y, weights, random_state)
            member.fit(rows.X[drawn], rows.classes[rows.y[drawn]])
        return member, answer(member, rows.X, rows.classes, self.real)


def weighted_draw(y, weights, random_state):
    """Draw as many rows as there are, in proportion to their weights, until two classes are among them."""
    for _ in range(_TRIES):
        drawn = random_state.choice(len(y), len(y), p=weights / weights.sum())
        if np.ptp(y[drawn]) > 0:
            break
    return drawn


def answer(member, X, classes, real):
    """Return what a member says about rows.

    Parameters
    ----------
    member : classifier
        Fitted; it may know some of the classes only.
    X : ndarray of shape (n_samples, n_features)
        The rows.
    classes : ndarray of shape (n_classes,)
        All labels.
    real : bool
        Whether to ask for probabilities.

    Returns
    -------
    said : ndarray of shape (n_samples,), int32, or (n_samples, n_classes)
        Indices of classes, or probabilities.

    Raises
    ------
    ValueError
        If it names other classes, or gives NaN or another number of answers.
    """
    if not real:
        said = _indices(member.predict(X), classes, "predict")
        if said.shape != (X.shape[0],):
            raise ValueError(f"predict gives shape {said.shape}, not {(X.shape[0],)}.")
        return said
    known, given = _indices(member.classes_, classes, "classes_"), np.asarray(member.predict_proba(X))
    if given.shape != (X.shape[0], len(known)) or np.isnan(given).any():
        what = "gives NaN" if np.isnan(given).any() else f"gives shape {given.shape}, not {(X.shape[0], len(known))}"
        raise ValueError(f"predict_proba {what}.")
    shares = np.zeros((X.shape[0], len(classes)))
    shares[:, known] = given
    return shares


def _indices(labels, classes, what):
    """Return which of the classes labels are."""
    labels = np.asarray(labels)
    found = np.minimum(np.searchsorted(classes, labels), len(classes) - 1)
    if np.any(strange := classes[found] != labels):
        raise ValueError(f"{what} has {labels[strange].tolist()[0]!r}, none of the classes {classes.tolist()}.")
    return found.astype(np.int32)


def set_aside(rows, fraction, random_state):
    """Split rows into those to train on and those to validate with: a share of each class, one row at least stays.

    Parameters
    ----------
    rows : Rows
        The rows.
    fraction : float
        The share to set aside.
    random_state : RandomState
        Draws them.

    Returns
    -------
    training, validation : Rows
        In their order.
    """
    aside = np.zeros(len(rows.y), dtype=bool)
    for k in range(len(rows.classes)):
        of_class = random_state.permutation(np.flatnonzero(rows.y == k))
        aside[of_class[: min(round(fraction * len(of_class)), len(of_class) - 1)]] = True
    if not aside.any():
        raise ValueError(
            f"validation_fraction={fraction} of {len(rows.y)} distinct rows leaves none to validate with; raise it, or "
            "set n_iter_no_change=None."
        )
    return rows.only(~aside), rows.only(aside)


def boosting_steps(rows, unfitted, plan, start, fraction, random_state):
    """Boost members of any kind.

    Parameters
    ----------
    rows : Rows
        The training rows.
    unfitted : classifier
        The member.
    plan : Plan
        How to boost.
    start : Committee or None
        An earlier fit to go on from.
    fraction : float
        The share of rows to validate with, where the plan has patience.
    random_state : RandomState
        The source of chance.

    Returns
    -------
    steps : generator of Step
        One per round.
    """
    score = None
    if plan.patience is not None:
        rows, validation = set_aside(rows, fraction, random_state)
        score = scorer(validation, plan.real)
    trainer = (Trees if isinstance(unfitted, BoostedTree) else Others)(rows, unfitted, plan.real)
    for _ in range(len(start.members) if start else 0):
        random_state.randint(np.iinfo(np.int32).max)

    def train(weights, number):
        seed = random_state.randint(np.iinfo(np.int32).max)
        try:
            return trainer.train(weights, seed)
        except Exception as error:
            if isinstance(unfitted, BoostedTree):
                raise
            kind = type(unfitted).__name__
            raise ValueError(f"Round {number} of boosting failed: its member, {kind}, says: {error}") from error

    def recall(member):
        return answer(member, rows.X, rows.classes, plan.real)

    return boost_rounds(Ballot(rows.y, rows.weights, len(rows.classes), plan), train, start, recall, score)


def scorer(rows, real):
    """Return ``score(member, vote)``: the accuracy on validation rows of a committee that grows by each call."""
    votes, each = np.zeros((len(rows.y), len(rows.classes))), np.arange(len(rows.y))

    def score(member, vote):
        said = answer(member, rows.X, rows.classes, real)
        if real:
            votes[:] += real_votes(said)
        else:
            votes[each, said] += vote
        return float((rows.weights * (votes.argmax(axis=1) == rows.y)).sum() / rows.weights.sum())

    return score


def member_to_boost(estimator, max_depth, max_bins, real):
    """Return the unfitted member, or raise a ValueError if it cannot be one.

    Parameters
    ----------
    estimator : classifier or None
        The user's; None means a built-in tree.
    max_depth, max_bins : int, int or None
        Of the built-in tree.
    real : bool
        Whether it must know probabilities.

    Returns
    -------
    unfitted : BaseEstimator
        Not shared with the caller.
    """
    if estimator is None:
        return BoostedTree(max_depth, max_bins)
    if kind_of(estimator) not in ("classifier", None):
        raise ValueError(f"AdaBoost boosts classifiers; estimator is a {type(estimator).__name__}, which is none.")
    if real and not hasattr(estimator, "predict_proba"):
        raise ValueError(f"algorithm='SAMME.R' needs predict_proba, which {type(estimator).__name__} hasn't.")
    return clone(estimator)
