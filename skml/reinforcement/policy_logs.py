"""Policy gradients from a log: maximum likelihood without rewards, weighted by importance with them.

With rewards the steps follow J(pi) = E_log[sum_a pi(a|s) A(s, a)], where states and advantages A are those of the
policy b that wrote the log: the gradient E_log[rho A grad ln pi(a|s)] with the ratio rho = pi(a|s) / b(a|s), cut off
above, is that of Degris, White & Sutton (2012), "Off-policy actor-critic", equation 5.
"""

from dataclasses import dataclass, replace

import numpy as np

from skml import _kernels
from skml.base import Step
from skml.reinforcement.policies import Encoder
from skml.reinforcement.policy_learning import ROWS, Learner
from skml.reinforcement.returns import explained_variance

PATIENCE = 10  # iterations without an improvement after which maximum likelihood has converged


@dataclass(frozen=True)
class Pass:
    """How to learn from a log.

    Attributes
    ----------
    max_iter : int
        How many times all rows are gone through, in all.
    tol : float
        What counts as an improvement of the loss.
    largest_ratio : float
        Where the ratio of probabilities is cut off.
    """

    max_iter: int
    tol: float = 1e-4
    largest_ratio: float = 10.0


def log_encoder(log):
    """Return an encoder that makes the weighted columns of a log have the mean 0 and the deviation 1."""
    X, share = log.observations, log.weights / log.weights.sum()
    with np.errstate(over="ignore", invalid="ignore"):
        mean = share @ X
        gap = X - mean
        largest = np.abs(gap).max(axis=0)
        unit = np.where(largest > 0, largest, 1.0)
        deviation = unit * np.sqrt(share @ (gap / unit) ** 2)
    small = deviation <= 1e-10 * np.abs(mean)  # what is left of equal numbers is rounding
    return Encoder(np.stack([mean, 1 / np.where(small | (deviation < 1e-300), 1.0, deviation)]))


def imitation_steps(log, plan, learnt, passes, n_threads):
    """Maximise the weighted likelihood of the actions of a log: the policy gradient with every return 1.

    Parameters
    ----------
    log : Log
        Its rows, in the order in which they are added up.
    plan : Plan
        How.
    learnt : Learnt
        What to begin with.
    passes : Pass
        How long.
    n_threads : int
        How many threads to use; no result depends on it.

    Yields
    ------
    step : Step
        After each step along the gradient of all rows.
    """
    learner = Learner(plan, learnt, n_threads)
    x, share = learner.actor.features(log.observations), log.weights / log.weights.sum()
    best, since, last = learnt.best, learnt.since, False
    while learner.counts[0] < passes.max_iter and not last:
        figures = learner.gradient_of_rows(x, log.actions, (share, plan.entropy_weight * share))
        learner.descend(of_critic=False)
        loss = -float(share @ figures[:, 0])
        learner.require_finite()
        best, since = (loss, 0) if loss < best - passes.tol else (best, since + 1)
        last = learner.counts[0] >= passes.max_iter or since >= PATIENCE
        yield Step(learner.snapshot(best=best, since=since), {"loss": loss, **_spread_of(figures, share)}, last)


def _spread_of(figures, share):
    return {"entropy": float(share @ figures[:, 1]), "boundary_distance": float(share @ figures[:, 2])}


# -------------------------------------------------------------------------------------------- with rewards


def importance_steps(log, plan, learnt, passes, behavior, n_threads):
    """Follow the importance-weighted policy gradient of a log with rewards.

    Parameters
    ----------
    log : Log
        With rewards.
    plan : Plan
        How; ``gae_lambda`` says how far advantages look, and ``baseline`` what returns are compared with.
    learnt : Learnt
        What to begin with.
    passes : Pass
        How long.
    behavior : ndarray of shape (n,), float64
        The probability with which each action was taken.
    n_threads : int
        How many threads to use; no result depends on it.

    Yields
    ------
    step : Step
        After each step along the gradient of all rows.
    """
    learner, chains = Learner(plan, learnt, n_threads), Chains.of(log, plan.discount)
    x, share = learner.actor.features(log.observations), log.weights / log.weights.sum()
    last = learner.counts[0] + passes.max_iter
    while learner.counts[0] < last:
        judgement = _judged(learner, log, x, chains, share)
        taken = probabilities_of(learner.actor, learner.flat, x, log.actions, n_threads)
        ratio = np.minimum(taken / behavior, passes.largest_ratio)
        pulls = share * ratio * judgement.advantage, plan.entropy_weight * share
        figures = learner.gradient_of_rows(x, log.actions, pulls)
        learner.descend(of_critic=False)
        metrics = {
            "objective": float(share @ (ratio * judgement.advantage)) * chains.unit,
            "effective_share": float((share @ ratio) ** 2 / max(share @ ratio**2, 1e-300)),
            **_spread_of(figures, share),
        }
        if judgement.target is not None:
            learner.teach(x, judgement.target, share, 1, judgement.columns)
            metrics["explained_variance"] = explained_variance(judgement.value, judgement.target)
        learner.require_finite()
        yield Step(learner.snapshot(), metrics, learner.counts[0] >= last)


def probabilities_of(actor, flat, x, actions, n_threads=1):
    """Return pi(a|s) of rows of features, float64, at least 1e-12."""
    found = np.empty(len(x))
    for start in range(0, len(x), ROWS):
        some = slice(start, start + ROWS)
        p = actor.head.probabilities(actor.judged(x[some], flat, n_threads).astype(np.float64))
        found[some] = p[np.arange(len(p)), actions[some]]
    return np.maximum(found, 1e-12)


@dataclass(frozen=True, eq=False)
class Chains:
    """The steps of a log, episode after episode.

    Attributes
    ----------
    order : ndarray of shape (n,)
        The rows: those of an episode one after another.
    ended : ndarray of shape (n,), bool
        In that order, whether the record of the episode ends with the step.
    returns : ndarray of shape (n,), float64
        By row: what followed each step, in units of their deviation; a record that ends ends the episode.
    unit : float
        That deviation.
    """

    order: np.ndarray
    ended: np.ndarray
    returns: np.ndarray
    unit: float

    @classmethod
    def of(cls, log, discount):
        """Return the chains of a log."""
        n = len(log.actions)
        head, followed = np.arange(n), log.following >= 0
        head[log.following[followed]] = np.flatnonzero(followed)
        while not np.array_equal(further := head[head], head):  # each time twice as far back
            head = further
        order = np.lexsort((np.arange(n), head))
        chains = cls(order, ~followed[order], np.zeros(n), 1.0)
        zero = np.zeros(n)
        returns = chains.advantages(log.reward, zero, zero, ~followed, discount, 1.0)
        unit = float(np.sqrt(np.cov(returns, aweights=log.weights, ddof=0))) if n > 1 else 0.0
        unit = unit if unit > 0 else max(float(np.abs(returns).max()), 1e-300)
        return cls(order, chains.ended, returns / unit, unit)

    def advantages(self, reward, value, after, over, discount, gae_lambda):
        """Return A_t of each row, see :func:`skml.reinforcement.returns.generalized_advantages`."""
        columns = (np.ascontiguousarray(array[self.order])[:, None] for array in (reward, value, after))
        flags = (np.ascontiguousarray(array, dtype=np.uint8)[:, None] for array in (over[self.order], self.ended))
        out = np.empty((len(reward), 1))
        _kernels.actors.advantages(*columns, *flags, discount, gae_lambda, out)
        by_row = np.empty(len(reward))
        by_row[self.order] = out[:, 0]
        return by_row


@dataclass(frozen=True, eq=False)
class _Judgement:
    """What a critic says of the rows of a log.

    Attributes
    ----------
    advantage : ndarray of shape (n,)
        How much better each action was than what the policy would do.
    value, target : ndarray of shape (n,) or None
        What the critic said and what it should have said; None where there is no critic.
    columns : ndarray of shape (n,) or int, default=0
        Of which outputs.
    """

    advantage: np.ndarray
    value: np.ndarray | None = None
    target: np.ndarray | None = None
    columns: object = 0


def _judged(learner, log, x, chains, share):
    plan, reward = learner.plan, log.reward / chains.unit
    if learner.actor.critic is None:
        return _Judgement(chains.returns - (share @ chains.returns if plan.baseline == "mean" else 0.0))
    outputs = _said(learner, x, learner.actor.valued)
    if plan.critic == "q":
        return _judged_by_actions(learner, log, x, outputs, reward)
    value = outputs[:, 0]
    unknown, over = ~log.teaches, log.following < 0
    after = np.where(over, 0.0, value[log.following])
    # of a step that leads nobody knows where, the critic's word is the best guess: its error is 0
    known = np.where(unknown, value, reward)
    advantage = chains.advantages(known, value, after, over, plan.discount, plan.gae_lambda)
    return _Judgement(advantage, value, value + advantage)


def _said(learner, x, network):
    """Return what a network makes of rows, float64, some at a time."""
    parts = (x[start : start + ROWS] for start in range(0, len(x), ROWS))
    return np.concatenate([network(part, learner.flat, learner.n_threads).astype(np.float64) for part in parts])


def _judged_by_actions(learner, log, x, q, reward):
    """Return A = Q(s, a) - V(s) with V(s) = sum_a pi(a|s) Q(s, a), and Q's target r_tp1 + discount V(s_tp1)."""
    z = _said(learner, x, learner.actor.judged)
    value, taken = (learner.actor.head.probabilities(z) * q).sum(axis=1), q[np.arange(len(q)), log.actions]
    after = np.where(log.following < 0, 0.0, value[log.following])
    target = np.where(log.teaches, reward + learner.plan.discount * after, taken)
    return _Judgement(taken - value, taken, target, log.actions)


def with_offset(learnt, chains, share):
    """Return what learning begins with, its critic's outputs moved to the mean return of a log."""
    if learnt.actor.critic is None:
        return learnt
    flat = learnt.flat.copy()
    flat[-learnt.actor.critic.n_outputs :] += share @ chains.returns
    return replace(learnt, flat=flat)
