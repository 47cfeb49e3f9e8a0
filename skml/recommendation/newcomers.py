"""Fold-in under the ranking losses: what a person's choices say, the items being given.

A user's part of the loss, the mean over unseen items j in place of random ones, is convex, and Newton's method finds
its minimum::

    bpr:       sum_i w_i mean_j -ln s(x_i - x_j)                       + sum_i w_i lambda |p|^2
    logistic:  sum_i w_i (-ln s(x_i) - n mean_j ln s(-x_j))            + sum_i w_i (lambda |p|^2 + lambda_b b^2)

with x = p'q + b_i, under "logistic" + b; s is the logistic function.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import expit, log_expit

from skml.recommendation.factors import Factors

_SAMPLE = 512  # unseen items
_MOST_STEPS, _ACCURACY = 50, 1e-10
_LEAST = 1e-6  # the least penalty: without any, a person who has chosen all best items has no finite factors


@dataclass(frozen=True)
class Ranking:
    """A model of preferences, and the loss that it was fitted with.

    Attributes
    ----------
    factors : Factors
        Of whose users nothing is used.
    loss : {"bpr", "logistic"}
        Which.
    user_penalty, bias_penalty : float
        lambda and lambda_b.
    n_negatives : int
        n.
    fit_bias : bool
        Whether there are biases.
    """

    factors: Factors
    loss: str
    user_penalty: float
    bias_penalty: float
    n_negatives: int
    fit_bias: bool

    @property
    def ridge(self):
        """The penalty of each coordinate: of factors, then of a bias that is fitted."""
        k = self.factors.items.shape[1]
        charges = np.append(np.full(k, self.user_penalty), [self.bias_penalty] * self.has_bias)
        return 2 * np.maximum(charges, _LEAST)

    @property
    def has_bias(self):
        """Whether a user's bias matters to the loss."""
        return self.fit_bias and self.loss == "logistic"

    def vectors(self, items):
        """Return what coordinates are multiplied with, and what is added, for some items."""
        Q = self.factors.items[items].astype(np.float64)
        return np.column_stack([Q, np.ones(len(Q))]) if self.has_bias else Q, self.factors.item_bias[items]

    def unseen(self, seen):
        """Return the first so many items, in an order that is the same for everybody, that have not been chosen."""
        first = self._order[: _SAMPLE + len(seen)]
        return first[~np.isin(first, seen)][:_SAMPLE]

    @cached_property
    def _order(self):
        return np.random.default_rng(0).permutation(len(self.factors.items))


def fold_rankers(ratings, ranking):
    """Return factors and biases of users given by what they have chosen.

    Parameters
    ----------
    ratings : Ratings
        Chosen items by user; their weights count, their data do not.
    ranking : Ranking
        The model.

    Returns
    -------
    users : ndarray of shape (n_users, k)
        Zeros for users who have chosen nothing.
    user_bias : ndarray of shape (n_users,)
        Zeros without biases, and under "bpr".
    """
    k, dtype = ranking.factors.items.shape[1], ranking.factors.items.dtype
    users, bias = np.zeros((ratings.n_rows, k), dtype), np.zeros(ratings.n_rows, dtype)
    for user in np.flatnonzero(np.diff(ratings.indptr)):
        z = _Person.of(ratings, user, ranking).solved()
        users[user] = z[:k]
        bias[user] = z[k] if ranking.has_bias else 0
    return users, bias


def ranking_reasons(ratings, user, item, ranking):
    """Return what each choice of a user adds to the score of an item.

    At the minimum ``sum_i w_i 2 lambda p`` is the sum of what each choice pulls with, so the score is a sum over
    choices too (a representer theorem).

    Parameters
    ----------
    ratings : Ratings
        As for :func:`fold_rankers`.
    user, item : int
        Codes.
    ranking : Ranking
        The model.

    Returns
    -------
    contributions : ndarray of shape (n_choices,)
        In the order of the user's row.
    """
    person = _Person.of(ratings, user, ranking)
    pulls = person.pulls(person.solved())
    target = ranking.vectors(np.array([item]))[0][0]
    return pulls @ (target / person.ridge)


@dataclass(frozen=True)
class _Person:
    """One user's choices, weights summing to 1, and the unseen items they are compared with."""

    chosen: np.ndarray
    chosen_bias: np.ndarray
    others: np.ndarray
    others_bias: np.ndarray
    weights: np.ndarray
    ridge: np.ndarray
    loss: str
    n_negatives: int

    @classmethod
    def of(cls, ratings, user, ranking):
        at = slice(ratings.indptr[user], ratings.indptr[user + 1])
        items, weights = ratings.indices[at], ratings.filled_weights()[at].astype(np.float64)
        sides = (*ranking.vectors(items), *ranking.vectors(ranking.unseen(items)))
        return cls(*sides, weights / weights.sum(), ranking.ridge, ranking.loss, ranking.n_negatives)

    def scores(self, z):
        return self.chosen @ z + self.chosen_bias, self.others @ z + self.others_bias

    @property
    def share(self):
        return 1 / max(len(self.others), 1)

    def objective(self, z):
        x, other = self.scores(z)
        size = self.ridge @ z**2 / 2
        if self.loss == "bpr":
            return size - self.weights @ log_expit(x[:, np.newaxis] - other).sum(axis=1) * self.share
        return size - self.weights @ log_expit(x) - self.n_negatives * log_expit(-other).sum() * self.share

    def pulls(self, z):
        """Return minus the gradient of each choice's loss, of shape (n_choices, n_coordinates)."""
        x, other = self.scores(z)
        weights = self.weights[:, np.newaxis]
        if self.loss == "bpr":
            slopes = expit(other - x[:, np.newaxis]) * self.share
            return weights * (slopes.sum(axis=1)[:, np.newaxis] * self.chosen - slopes @ self.others)
        pushed = self.n_negatives * self.share * (expit(other) @ self.others)
        return weights * (expit(-x)[:, np.newaxis] * self.chosen - pushed)

    def curvature(self, z):
        """Return the Hessian."""
        x, other = self.scores(z)
        if self.loss == "bpr":
            slopes = expit(other - x[:, np.newaxis])
            h = self.weights[:, np.newaxis] * slopes * (1 - slopes) * self.share
            mixed = self.chosen.T @ (h @ self.others)
            left, right = h.sum(axis=1), h.sum(axis=0)
        else:
            left = self.weights * expit(x) * expit(-x)
            right, mixed = self.n_negatives * self.share * expit(other) * expit(-other), 0.0
        H = (self.chosen.T * left) @ self.chosen + (self.others.T * right) @ self.others
        return H - mixed - np.transpose(mixed) + np.diag(self.ridge)

    def solved(self):
        """Return the coordinates of least loss, by Newton's method with steps halved where they are too long."""
        z = np.zeros(len(self.ridge))
        for _ in range(_MOST_STEPS):
            slope = self.pulls(z).sum(axis=0) - self.ridge * z
            step = np.linalg.solve(self.curvature(z), slope)
            gain, size = slope @ step, 1.0
            if gain <= _ACCURACY**2:
                break
            before = self.objective(z)
            while self.objective(z + size * step) > before - 1e-4 * size * gain and size > 1e-6:
                size /= 2
            z = z + size * step
        return z
