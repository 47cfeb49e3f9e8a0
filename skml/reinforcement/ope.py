"""What a policy would have earned where another one acted: off-policy evaluation by importance sampling."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import spsolve

from skml.reinforcement.states import known_states

_RIDGE = 1e-6  # of the mean square of a feature, so that values of what was never done are 0


def estimate_return(log, policy, method, behavior, discount):
    """Estimate the mean return of a policy from a log.

    Parameters
    ----------
    log : Log
        With rewards.
    policy : ndarray of shape (n, n_actions)
        What the policy would do at each observation of the log.
    method : {"ordinary", "weighted", "doubly_robust"}
        Importance sampling per decision, with weights that sum to one, or with a control variate.
    behavior : array-like of shape (n,) or None
        With which probability the log's policy did what it did.
    discount : float
        Of rewards, 0 to 1.

    Returns
    -------
    mean : float
        Over the log's episodes.

    Raises
    ------
    ValueError
        If a parameter is none of the above, or a probability is not in (0, 1].
    """
    if method not in _METHODS:
        raise ValueError(f"method must be one of {sorted(_METHODS)}, got {method!r}.")
    if not 0 <= discount <= 1:
        raise ValueError(f"discount must be in [0, 1], got {discount!r}.")
    policy = policy.astype(np.float64)
    ratios = policy[np.arange(len(policy)), log.actions] / _behavior(behavior, log)
    return float(_METHODS[method](Case(log, policy, ratios, discount)))


@dataclass(frozen=True)
class Case:
    """A log, and how much likelier its steps are under another policy.

    Attributes
    ----------
    log : Log
        Of n steps.
    policy : ndarray of shape (n, n_actions), float64
        The other policy.
    ratios : ndarray of shape (n,), float64
        The probability of what was done under it, over that under the policy that wrote the log.
    discount : float
        Of rewards.
    """

    log: object
    policy: np.ndarray
    ratios: np.ndarray
    discount: float

    def moments(self):
        """Yield, step after step, which episodes still go on, and the rows they are at."""
        rows = self.log.first
        alive = np.arange(len(rows))
        while rows.size:
            yield alive, rows
            rows = self.log.following[rows]
            alive, rows = alive[rows >= 0], rows[rows >= 0]


def _behavior(behavior, log):
    """Return the probability with which each action was taken: as given, or its share among equal observations."""
    n = len(log.actions)
    if behavior is not None:
        behavior = np.asarray(behavior, dtype=np.float64)
        if behavior.shape != (n,) or not ((behavior > 0) & (behavior <= 1)).all():
            raise ValueError(f"behavior must hold {n} probabilities above 0 and up to 1, one for each step.")
        return behavior
    states = known_states(log.observations)
    if states.n_states > n / 2:
        raise ValueError(
            f"{states.n_states} of {n} observations are distinct, so that no frequencies of actions can be had; give "
            "behavior, the probability with which each action was taken."
        )
    at = states.of(log.observations)
    pairs = at * log.n_actions + log.actions
    return np.bincount(pairs)[pairs] / np.bincount(at)[at]


def _ordinary(case):
    """Return mean_i sum_t discount^t rho_t^i r_t^i, with rho_t the product of ratios up to t."""
    weights, total = np.ones(len(case.log.first)), 0.0
    for t, (alive, rows) in enumerate(case.moments()):
        weights[alive] *= case.ratios[rows]
        total += case.discount**t * weights[alive] @ case.log.reward[rows]
    return total / len(weights)


def _weighted(case):
    """Return sum_t discount^t sum_i rho_t^i r_t^i / sum_i rho_t^i; episodes that are over keep their last rho."""
    weights, total = np.ones(len(case.log.first)), 0.0
    for t, (alive, rows) in enumerate(case.moments()):
        weights[alive] *= case.ratios[rows]
        if weights.sum() > 0:
            total += case.discount**t * (weights[alive] @ case.log.reward[rows]) / weights.sum()
    return total


def _doubly_robust(case):
    """Return the mean of V_0 with V_t = v(s_t) + ratio_t (r_t + discount V_t+1 - q(s_t, a_t)) (Jiang & Li, eq. 10)."""
    log = case.log
    q = action_values(case)
    v = (case.policy * q).sum(axis=1)
    residual = log.reward - q[np.arange(len(q)), log.actions]
    values = np.zeros(len(v) + 1)  # the last one stands for the end of an episode
    for _, rows in reversed(list(case.moments())):
        after = values[log.following[rows]]
        values[rows] = v[rows] + case.ratios[rows] * (residual[rows] + case.discount * after)
    return values[log.first].mean()


def action_values(case):
    """Return the action values of a policy fitted to a log by least squares (LSTDQ, Lagoudakis & Parr 2003).

    Where observations recur, each is a state with values of its own; else values are linear in the observations.

    Parameters
    ----------
    case : Case
        The log and the policy.

    Returns
    -------
    q : ndarray of shape (n, n_actions)
        At the log's observations.
    """
    log = case.log
    features = _features(log.observations)
    k = features.shape[1]
    rows = np.flatnonzero(log.teaches)
    phi = _of_actions(features, np.eye(log.n_actions)[log.actions])[rows]
    following = log.following[rows]
    expected = _of_actions(features, case.policy)[np.maximum(following, 0)]
    expected = sp.diags_array((following >= 0).astype(np.float64)) @ expected
    A = phi.T @ (phi - case.discount * expected)
    ridge = _RIDGE * max(1.0, phi.multiply(phi).sum()) / (k * log.n_actions)
    w = spsolve((A + ridge * sp.eye_array(A.shape[0])).tocsc(), phi.T @ log.reward[rows])
    return features @ w.reshape(log.n_actions, k).T


def _features(observations):
    """Return rows that values are linear in: which state it is, or the standardised observation and a 1."""
    states, n = known_states(observations), len(observations)
    if states.n_states <= n / 2:
        return sp.csr_array((np.ones(n), (np.arange(n), states.of(observations))), shape=(n, states.n_states))
    x = observations.astype(np.float64)
    spread = x.std(axis=0)
    x = (x - x.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    return sp.csr_array(np.c_[np.ones(n), x])


def _of_actions(features, shares):
    """Return features of states and actions: one block for each action, times its share in the row."""
    return sp.hstack([sp.diags_array(share) @ features for share in shares.T], format="csr")


_METHODS = {"ordinary": _ordinary, "weighted": _weighted, "doubly_robust": _doubly_robust}
