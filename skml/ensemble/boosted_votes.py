"""The votes of a boosted committee on rows, and the decisions and probabilities that come of them."""

from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from skml.ensemble.boosted_members import answer
from skml.ensemble.boosting import real_votes


@dataclass(frozen=True)
class Tally:
    """Votes on rows.

    Attributes
    ----------
    votes : ndarray of shape (n_samples, n_classes)
        The votes for each class.
    total : float
        The sum of the members' weights.
    spread : float or ndarray of shape (n_samples,)
        The most that the votes for two classes could differ by.
    real : bool
        Whether votes are SAMME.R's.
    """

    votes: np.ndarray
    total: float
    spread: float | np.ndarray
    real: bool

    def decision(self):
        """Return the decision function as scikit-learn scales it."""
        v, K = self.votes, self.votes.shape[1]
        if K == 2:
            return (v[:, 1] - v[:, 0]) / self.total * (1 if self.real else 2)
        # a member votes 1 for a class and -1 / (K - 1) for the others
        return (v if self.real else v - (self.total - v) / (K - 1)) / self.total

    def codes(self):
        """Return the class of most votes as an index, the first of equal ones."""
        decision = self.decision()
        return (decision > 0).astype(np.intp) if decision.ndim == 1 else decision.argmax(axis=1)

    def shares(self):
        """Return class probabilities: softmax of f_k / (K - 1) (Zhu et al. 2009, equation 15)."""
        decision, K = self.decision(), self.votes.shape[1]
        if K == 2:
            return softmax(np.c_[-decision, decision] / 2, axis=1)
        return softmax(decision / (K - 1), axis=1)


def leaf_votes(trees, weights, real):
    """Return what the nodes of built-in members hold: votes per class, and for SAMME.R their spread.

    Parameters
    ----------
    trees : list of Tree
        The members' trees.
    weights : sequence of float
        The members' weights.
    real : bool
        Whether they vote with probabilities.

    Returns
    -------
    values : ndarray of shape (n_nodes, n_classes) or (n_nodes, n_classes + 1)
        Tree by tree.
    """
    if real:
        votes = real_votes(np.concatenate([tree.shares() for tree in trees]))
        return np.c_[votes, votes.max(axis=1) - votes.min(axis=1)]
    codes = np.concatenate([tree.classes() for tree in trees])
    values = np.zeros((len(codes), trees[0].weights.shape[1]))
    values[np.arange(len(codes)), codes] = np.repeat(weights, [len(tree.left) for tree in trees])
    return values


def tree_tally(X, packed, values, weights, real):
    """Return the tally of built-in members.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        C-contiguous rows.
    packed : Packed
        The trees.
    values : ndarray of shape (n_nodes, n_values)
        As :func:`leaf_votes` gives them.
    weights : ndarray of shape (n_rounds,)
        The members' weights.
    real : bool
        Whether they vote with probabilities.

    Returns
    -------
    tally : Tally
        Of all members.
    """
    votes, total = packed.votes(X, values), float(np.cumsum(weights)[-1])
    return Tally(votes[:, :-1], total, votes[:, -1], True) if real else Tally(votes, total, total, False)


def staged_tallies(said, weights, n_classes, real):
    """Yield the tally after each round.

    Parameters
    ----------
    said : iterator of ndarray
        What each member says about the rows: classes or probabilities.
    weights : sequence of float
        The members' weights.
    n_classes : int
        The number of classes.
    real : bool
        Whether members vote with probabilities.

    Yields
    ------
    tally : Tally
        Its arrays are the caller's to keep.
    """
    votes, total, spread = 0.0, 0.0, 0.0
    for one, weight in zip(said, weights):
        h = real_votes(one) if real else np.where(one[:, None] == np.arange(n_classes), weight, 0.0)
        votes, total = votes + h, total + float(weight)
        spread = spread + (h.max(axis=1) - h.min(axis=1)) if real else total
        yield Tally(votes, total, spread, real)


def answers(members, X, classes, real):
    """Yield what each member says about rows.

    Parameters
    ----------
    members : list of classifiers
        Fitted.
    X : ndarray of shape (n_samples, n_features)
        The rows.
    classes : ndarray of shape (n_classes,)
        All labels.
    real : bool
        Whether to ask for probabilities.

    Yields
    ------
    said : ndarray
        As :func:`answer` gives it.
    """
    for number, member in enumerate(members):
        try:
            said = answer(member, X, classes, real)
        except (ValueError, TypeError) as error:
            raise ValueError(f"Member {number}, {type(member).__name__}, could not be asked: {error}") from error
        yield said
