"""Off-policy evaluation: by hand, unbiased over logs of a bandit and a small chain, and what is refused."""

import numpy as np
import pytest

from skml.reinforcement.logged import LogColumns, episode_log
from skml.reinforcement.ope import Case, action_values, estimate_return

METHODS = ["ordinary", "weighted", "doubly_robust"]


def log_of(states, actions, reward, episode, terminated, n_actions=2):
    X = np.asarray(states, dtype=float)[:, None]
    return episode_log(X, np.asarray(actions), n_actions, None, LogColumns(reward, episode, terminated))


def test_two_episodes_by_hand():
    # Two steps each; the policy does action 0 with .8, the log did it with .5.
    log = log_of([0, 1, 0, 1], [0, 0, 1, 0], [1.0, 2.0, 4.0, 8.0], [0, 0, 1, 1], [0, 1, 0, 1])
    policy = np.full((4, 2), [0.8, 0.2])
    rho = np.array([1.6, 1.6**2, 0.4, 0.4 * 1.6])
    ordinary = (rho[0] * 1 + 0.5 * rho[1] * 2 + rho[2] * 4 + 0.5 * rho[3] * 8) / 2
    weighted = (rho[0] * 1 + rho[2] * 4) / (rho[0] + rho[2]) + 0.5 * (rho[1] * 2 + rho[3] * 8) / (rho[1] + rho[3])
    behavior = np.full(4, 0.5)
    assert estimate_return(log, policy, "ordinary", behavior, 0.5) == pytest.approx(ordinary)
    assert estimate_return(log, policy, "weighted", behavior, 0.5) == pytest.approx(weighted)


@pytest.mark.parametrize("method", METHODS)
def test_the_policy_that_wrote_the_log_has_its_mean_return(rng, method):
    n = 400
    states, actions = np.tile([0, 1], n), rng.integers(2, size=2 * n)
    reward = actions + states + rng.normal(size=2 * n)
    log = log_of(states, actions, reward, np.repeat(np.arange(n), 2), np.tile([0, 1], n))
    shares = np.array([[np.mean(actions[states == s] == a) for a in (0, 1)] for s in (0, 1)])
    expected = reward[::2].mean() + 0.9 * reward[1::2].mean()
    found = estimate_return(log, shares[states], method, None, 0.9)
    # With the log's own policy all ratios are 1. The control variate of the doubly robust estimate adds what the
    # fitted values miss, of which the frequencies leave only the ridge.
    assert found == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_another_policy_has_the_return_it_would_have(rng, method):
    # One step: action a earns a plus noise of 1; the policy does action 1 always, the log with .25.
    n = 4000
    actions = (rng.random(n) < 0.25).astype(int)
    reward = actions + rng.normal(size=n)
    log = log_of(np.zeros(n), actions, reward, np.arange(n), np.ones(n, bool))
    found = estimate_return(log, np.tile([0.0, 1.0], (n, 1)), method, np.where(actions, 0.25, 0.75), 1.0)
    # The variance of 4 r over a quarter of the rows: 4 (1 + 1) - 1 = 7; six standard errors.
    assert abs(found - 1) < 6 * np.sqrt(7 / n)


def test_fitted_values_solve_the_bellman_equation_of_the_policy():
    # s0 -(a)-> s1 -(a)-> end with reward 1 for action 1; all four pairs are logged.
    log = log_of([0, 1] * 4, [0, 0, 0, 1, 1, 0, 1, 1], [0, 0, 0, 1, 0, 0, 0, 1.0], np.repeat(range(4), 2), [0, 1] * 4)
    policy = np.tile([0.25, 0.75], (8, 1))
    q = action_values(Case(log, policy, np.ones(8), 0.8))
    np.testing.assert_allclose(q[1], [0, 1], atol=1e-4)
    np.testing.assert_allclose(q[0], [0.6, 0.6], atol=1e-4)


def test_doubly_robust_is_less_noisy(rng):
    spread = {}
    for method in ("ordinary", "doubly_robust"):
        found = []
        for _ in range(40):
            states, actions = np.repeat(rng.integers(2, size=200), 1), rng.integers(2, size=200)
            reward = 10.0 * states + actions
            log = log_of(states, actions, reward, np.arange(200), np.ones(200, bool))
            found.append(estimate_return(log, np.tile([0.1, 0.9], (200, 1)), method, np.full(200, 0.5), 1.0))
        spread[method] = np.std(found)
    # Rewards are certain, so that the fitted values are exact and only the draw of states is left: a standard
    # deviation of 5 over sqrt(200) instead of 7.4 over sqrt(200).
    assert spread["doubly_robust"] < spread["ordinary"]


def test_what_cannot_be_estimated_is_refused(rng):
    log = log_of(np.arange(6), [0, 1] * 3, np.zeros(6), None, None)
    policy = np.full((6, 2), 0.5)
    for arguments, words in (
        (("magic", None, 1.0), "method must be one of"),
        (("weighted", None, 1.0), "give behavior"),
        (("weighted", np.zeros(6), 1.0), "probabilities above 0"),
        (("weighted", np.full(5, 0.5), 1.0), "6 probabilities"),
        (("weighted", np.full(6, 0.5), 1.5), r"discount must be in \[0, 1\]"),
    ):
        with pytest.raises(ValueError, match=words):
            estimate_return(log, policy, *arguments)
