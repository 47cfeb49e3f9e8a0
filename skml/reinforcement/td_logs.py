"""Temporal differences on a log: whole sweeps over its steps, which no order of the rows and no draw decides."""

from dataclasses import dataclass, replace

import numpy as np

from skml.base import Step
from skml.reinforcement.td import EXPECTED, TAKEN, Learned


@dataclass(frozen=True)
class Steps:
    """Steps of a log, by states.

    Attributes
    ----------
    states, actions : ndarray of shape (n,), int
        What each step was.
    weights : ndarray of shape (n,), float64
        Of the steps.
    reward : ndarray of shape (n,), float64
        What came of each.
    following : ndarray of shape (n,), int64
        The row of the step that follows; -1 where there is none.
    shape : tuple of int
        How many states and actions there are.
    """

    states: np.ndarray
    actions: np.ndarray
    weights: np.ndarray
    reward: np.ndarray
    following: np.ndarray
    shape: tuple

    @property
    def pairs(self):
        """The entry of the table that each step is about."""
        return self.states * self.shape[1] + self.actions

    def totals(self, column):
        """Return weighted sums of a column by pair, (n_states, n_actions)."""
        n = self.shape[0] * self.shape[1]
        return np.bincount(self.pairs, self.weights * column, minlength=n).reshape(self.shape)


def frequencies(steps, before):
    """Return the weighted share of each action among the steps of each state: the values of imitation.

    Parameters
    ----------
    steps : Steps
        Whose rewards play no part.
    before : ndarray of shape (n_states, n_actions), float64
        Weights of steps that were seen earlier.

    Returns
    -------
    learned : Learned
        Q(s, a) is the mean of 1 for the action taken and 0 for every other, with discount 0.
    """
    weights = before + steps.totals(np.ones(len(steps.actions)))
    # Q(s, a) = sum of w over the steps (s, a) / sum of w over the steps (s, .)
    return Learned((weights / weights.sum(axis=1, keepdims=True))[None], weights, len(steps.actions))


def sweeps(steps, teaches, rule, tol, prior):
    """Yield a step for each sweep over the log.

    A sweep sets each value to the weighted mean of what the log's steps of that pair aim at. Of the actions in a next
    state, those that the log never shows there do not count: nothing is known of them.

    Parameters
    ----------
    steps : Steps
        Of the log.
    teaches : ndarray of shape (n,), bool
        Which steps tell what they led to.
    rule : Rule
        MAXIMUM, TAKEN (the action that the log took next) or EXPECTED (under the log's own frequencies).
    tol : float
        The sweeps end when no value changes by more.
    prior : tuple of two ndarray of shape (n_states, n_actions), float64
        Values and weights of what was known before; those of no weight stand for what no log has shown.

    Yields
    ------
    step : Step
        Its state is a :class:`Learned`; its metric "td_error" is the mean absolute change of a step's target.
    """
    lesson = replace(steps, weights=np.where(teaches, steps.weights, 0.0))
    n, (Q_0, w_0) = len(steps.actions), prior
    shown, weights = w_0 + steps.totals(np.ones(n)), w_0 + lesson.totals(np.ones(n))
    known, Q, G, n_done = weights > 0, Q_0, np.zeros(n), 0
    while True:
        G_new = _targets(lesson, rule, (Q, G), known, shown)
        # Q(s, a) <- (w_0 Q_0 + sum of w G over the steps (s, a)) / (w_0 + sum of w)
        Q_new = np.where(known, (w_0 * Q_0 + lesson.totals(G_new)) / np.where(known, weights, 1.0), Q_0)
        moved, error = np.abs(Q_new - Q).max(), np.average(np.abs(G_new - G), weights=lesson.weights + 1e-300)
        Q, G, n_done = Q_new, G_new, n_done + n
        over = bool(moved <= tol or n_done >= rule.total_steps)
        yield Step(Learned(Q[None].copy(), shown, n_done), {"td_error": error}, last=over)
        if over:
            return


def _targets(steps, rule, before, known, shown):
    """Return what each step's pair should be worth, (n,)."""
    (Q, G), goes_on = before, steps.following >= 0
    after = np.where(goes_on, steps.following, 0)
    bootstrap = np.where(goes_on, _worth(steps, rule, Q, known, shown)[after], 0.0)
    if rule.trace_decay > 0:  # G_t = r + discount ((1 - decay) V(s') + decay G_tp1), G_tp1 of the sweep before
        bootstrap = (1 - rule.trace_decay) * bootstrap + rule.trace_decay * np.where(goes_on, G[after], 0.0)
    targets = steps.reward + rule.discount * bootstrap
    for _ in range(rule.n_steps - 1):
        # what doesn't go on, or goes on to a step that tells nothing, stays as it is
        further = goes_on & (steps.weights[after] > 0)
        targets = np.where(further, steps.reward + rule.discount * targets[after], targets)
    return targets


def _worth(steps, rule, Q, known, shown):
    """Return what the state of each step is worth to who comes there, (n,)."""
    if rule.target == TAKEN:
        return Q[steps.states, steps.actions]
    if rule.target == EXPECTED:
        values = (Q * shown).sum(axis=1) / np.maximum(shown.sum(axis=1), 1e-300)
    else:
        values = np.where(known, Q, -np.inf).max(axis=1)
        values = np.where(known.any(axis=1), values, Q[:, 0])
    return values[steps.states]
