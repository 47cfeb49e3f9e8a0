"""What an agent with action values knows, as it answers questions: by states, or by weights of features."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class TableModel:
    """Values of states.

    Attributes
    ----------
    states : NumberedStates or KnownStates
        Which state an observation is.
    Q : ndarray of shape (n_states, n_actions), float64
        Values of actions.
    visits : ndarray of shape (n_states, n_actions)
        How often each was taken.
    imitates : bool
        Whether the values are the shares of actions in a log, and so the policy itself.
    """

    states: object
    Q: np.ndarray
    visits: np.ndarray
    imitates: bool = False

    def values(self, observations):
        """Return the values of all actions, (n, n_actions)."""
        return self.Q[self.states.of(observations)]

    def policy(self, observations):
        """Return the probabilities of actions, (n, n_actions)."""
        at = self.states.of(observations)
        return self.Q[at] if self.imitates else best_of(self.Q[at], self.visits[at])

    def best(self):
        """Return the action of the largest value in each state, (n_states,)."""
        return (self.Q if self.imitates else best_of(self.Q, self.visits)).argmax(axis=1)


@dataclass(frozen=True)
class LinearModel:
    """Values that are sums of weights of features.

    Attributes
    ----------
    features : skml.reinforcement.encoders.Features
        Of observations.
    Q : ndarray of shape (n_features, n_actions), float64
        The weights.
    visits : ndarray of shape (n_features, n_actions)
        How often each action was taken where the feature was there.
    """

    features: object
    Q: np.ndarray
    visits: np.ndarray

    def values(self, observations):
        """Return the values of all actions, (n, n_actions)."""
        index, value = self.features.of(observations)
        return np.einsum("nka,nk->na", self.Q[index], value)

    def policy(self, observations):
        """Return the probabilities of actions, (n, n_actions)."""
        values = self.values(observations)
        return best_of(values, np.ones(values.shape))


def best_of(values, visits):
    """Return a 1 for the best action of each row among those ever tried, or of all where none was."""
    tried = visits > 0
    scores = np.where(tried | ~tried.any(axis=1, keepdims=True), values, -np.inf)
    best = np.zeros(values.shape)
    best[np.arange(len(values)), scores.argmax(axis=1)] = 1
    return best
