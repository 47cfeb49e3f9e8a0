"""What is learned of a step: the loop in Python does what the kernel does, and sweeps over a log reach fixed points."""

import numpy as np
import pytest

from skml.reinforcement import FiniteMDP, FrozenLake, Taxi, vectorize
from skml.reinforcement.encoders import Numbers
from skml.reinforcement.environments import MDPEnvironment
from skml.reinforcement.exploration import GREEDY, KNOTS, SOFTMAX, UCB, choose, expected_value, knots_of
from skml.reinforcement.td import (
    COUNTED,
    EXPECTED,
    MAXIMUM,
    RESCALED,
    SCHEDULED,
    TAKEN,
    Learned,
    Linear,
    Rule,
    Table,
    Walk,
    trace_width,
    walk_steps,
)
from skml.reinforcement.td_logs import Steps, frequencies, sweeps
from skml.reinforcement.td_tables import new_loop, stack_worlds, table_steps
from skml.reinforcement.td_walks import TableWalk

RULES = {
    "q-learning": {},
    "double": {},
    "sarsa": {"target": TAKEN},
    "expected": {"target": EXPECTED},
    "ucb": {"exploration": UCB, "levels": np.array([1.0])},
    "expected, softmax": {"target": EXPECTED, "exploration": SOFTMAX, "levels": np.array([0.5])},
    "3 steps": {"n_steps": 3, "rate": SCHEDULED, "rates": np.array([0.5, 0.1])},
    "sarsa, 2 steps": {"target": TAKEN, "n_steps": 2, "rate": COUNTED},
    "watkins": {"trace_decay": 0.7, "rate": SCHEDULED, "rates": np.array([0.3])},
    "traces": {"target": TAKEN, "trace_decay": 0.7, "rate": SCHEDULED, "rates": np.array([0.3])},
    "accumulating": {
        "target": EXPECTED,
        "trace_decay": 0.7,
        "replacing": 0,
        "rates": np.array([0.1]),
        "rate": SCHEDULED,
    },
}


def rule_with(**changed):
    """Return what is learned and how."""
    given = {"target": MAXIMUM, "exploration": GREEDY, "levels": np.array([0.5, 0.2]), "rate": RESCALED}
    return Rule(**(given | {"rates": np.ones(1), "discount": 0.9, "total_steps": 400} | changed))


def nothing(n_states, n_actions, n_tables=1):
    """Return what is known before the first step."""
    return Learned(np.zeros((n_tables, n_states, n_actions)), np.zeros((n_states, n_actions), dtype=np.int64))


def random_mdp(rng, n_states=6, n_actions=3):
    """Return a process in which everything is random, with one terminal state."""
    T = rng.dirichlet(np.full(n_states, 0.5), size=(n_actions, n_states))
    return FiniteMDP(T, rng.normal(size=(n_states, n_actions)), 0.9, start=0, terminal=[n_states - 1])


# ------------------------------------------------------------------------------------------ the loop in Python


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("n_envs", [1, 3])
def test_the_loop_in_python_does_what_the_kernel_does(name, n_envs, rng, seed):
    env = MDPEnvironment(random_mdp(rng), max_episode_steps=15)
    rule, known = rule_with(**RULES[name]), nothing(6, 3, 1 + (name == "double"))
    worlds = stack_worlds([env.dynamics], np.zeros(n_envs))
    (*_, compiled) = table_steps(worlds, rule, new_loop(rule, known, seed, np.full(n_envs, 15)))
    for walk in (
        Walk(vectorize(env, n_envs), rule, Table(known, Numbers(6), 0.0), seed, known),
        TableWalk(vectorize(env, n_envs), rule, known, Numbers(6), 0.0, seed),
    ):
        steps = list(walk_steps(walk))
        ours, theirs = steps[-1].state, compiled.state
        np.testing.assert_allclose(ours.Q, theirs.Q, rtol=1e-10, atol=1e-10)
        np.testing.assert_array_equal(ours.visits, theirs.visits)
        assert (ours.n_steps, ours.n_episodes) == (theirs.n_steps, theirs.n_episodes)
        assert sum(len(step.metrics["return"]) for step in steps) == theirs.n_episodes > 0


@pytest.mark.parametrize("name", RULES)
def test_both_loops_obey_masks_also_where_an_episode_is_cut_off(name, seed):
    env = Taxi(max_episode_steps=15)
    rule, known = rule_with(**RULES[name]), nothing(500, 6, 1 + (name == "double"))
    worlds = stack_worlds([env.dynamics.offered()], np.zeros(3))
    (*_, compiled) = table_steps(worlds, rule, new_loop(rule, known, seed, np.full(3, 15)))
    (*_, walked) = walk_steps(Walk(vectorize(env, 3), rule, Table(known, Numbers(500), 0.0), seed, known))
    np.testing.assert_array_equal(walked.state.visits, compiled.state.visits)
    np.testing.assert_allclose(walked.state.Q, compiled.state.Q, rtol=1e-10, atol=1e-10)
    assert not compiled.state.visits[~env.dynamics.masks].any()


def test_features_of_one_state_each_are_a_table(rng, seed):
    env = MDPEnvironment(random_mdp(rng), max_episode_steps=15)

    class OneHot(Numbers):
        def of(self, observations):
            states = super().of(observations)[:, None]
            return np.c_[states, (states + 1) % 6], np.array([2.0, 0.0]) * np.ones((len(states), 1))

    for name in ("q-learning", "traces", "3 steps", "double"):
        rule = rule_with(**(RULES[name] | {"rate": SCHEDULED, "rates": np.array([0.25])}))
        known = nothing(6, 3, 1 + (name == "double"))
        ends = [
            list(walk_steps(Walk(vectorize(env, 2), rule, values, seed, known)))[-1].state
            for values in (Table(known, Numbers(6), 0.0), Linear(known, OneHot(6), 0.0))
        ]
        # a feature of value 2 needs half the weight
        np.testing.assert_allclose(2 * ends[1].Q, ends[0].Q, rtol=1e-9, atol=1e-9, err_msg=name)


def test_steps_come_when_episodes_end(rng, seed):
    env = FrozenLake(is_slippery=False)
    rule, known = rule_with(total_steps=10_000, total_episodes=20), nothing(16, 4)
    steps = list(walk_steps(Walk(vectorize(env), rule, Table(known, Numbers(16), 0.0), seed, known)))
    ended = np.cumsum([len(step.metrics["return"]) for step in steps])
    assert ended[-1] == 20
    assert [step.state.n_episodes for step in steps] == ended.tolist()
    assert [step.last for step in steps] == [False] * (len(steps) - 1) + [True]


@pytest.mark.parametrize(
    ("discount", "decay", "replacing", "n", "width"),
    [(0.0, 0.9, 1, 50, 1), (1.0, 1.0, 1, 50, 50), (1.0, 0.1, 1, 50, 10), (1.0, 0.1, 0, 50, 10), (0.99, 1.0, 1, 5, 5)],
)
def test_there_is_room_for_all_traces(discount, decay, replacing, n, width):
    assert trace_width(rule_with(discount=discount, trace_decay=decay, replacing=replacing), n) == width


# ---------------------------------------------------------------------------------------------- exploration


def test_exploration_chooses_as_often_as_it_says(rng):
    n = 40_000
    values, counts = np.tile([1.0, 3.0, 2.0, 9.0], (n, 1)), np.tile([5, 3, 0, 7], (n, 1))
    allowed, draws = np.tile([True, True, True, False], (n, 1)), rng.random((n, 3))
    soft = np.exp(np.array([1, 3, 2]) / 2.0)
    for kind, level, shares in (
        (GREEDY, 0.3, [0.1, 0.8, 0.1]),
        (GREEDY, 0.0, [0, 1, 0]),
        (SOFTMAX, 2.0, soft / soft.sum()),
        (UCB, 1.0, [0, 0, 1]),
    ):
        actions = choose(kind, level, values, counts, allowed, draws)
        seen = np.bincount(actions, minlength=4) / n
        np.testing.assert_allclose(seen, [*shares, 0], atol=6 * 0.5 / n**0.5)
        expected = expected_value(kind, level, values[:1], counts[:1], allowed[:1])[0]
        assert expected == pytest.approx(np.dot(shares, [1.0, 3.0, 2.0]))


def test_ties_are_broken_evenly(rng):
    n = 20_000
    actions = choose(GREEDY, 0.0, np.tile([1.0, 0.0, 1.0], (n, 1)), np.zeros((n, 3)), None, rng.random((n, 3)))
    assert abs(np.mean(actions == 0) - 0.5) < 6 * 0.5 / n**0.5
    assert not (actions == 1).any()


def test_schedules_are_lines_and_functions():
    assert knots_of(0.3, 100, "rate").tolist() == [0.3]
    line = knots_of((1.0, 0.0), 100, "rate")
    np.testing.assert_allclose(line, np.linspace(1, 0, KNOTS))
    np.testing.assert_allclose(knots_of(lambda step, total: 1 - step / total, 50, "rate")[::512], [1, 0.5])
    for bad in (
        2.0,
        (0.5, 2.0),
        lambda step, total: -1.0,
        lambda step, total: np.nan,
        lambda step, total: "a",
        (1, 2, 3),
    ):
        with pytest.raises(ValueError, match="epsilon must"):
            knots_of(bad, 100, "epsilon", 0.0, 1.0)


# ------------------------------------------------------------------------------------------------------ logs


def log_of(rng, n=400, n_states=5, n_actions=3):
    """Return steps of random episodes of ten steps, the last of each of which terminates, every other one."""
    number = np.arange(n)
    following = np.where(number % 10 == 9, -1, number + 1)
    terminated = number % 20 == 19
    steps = Steps(
        rng.integers(n_states, size=n),
        rng.integers(n_actions, size=n),
        rng.integers(1, 4, size=n) * 1.0,
        rng.normal(size=n),
        following,
        (n_states, n_actions),
    )
    return steps, (following >= 0) | terminated


def swept(steps, teaches, rule, prior=None):
    shape = steps.shape
    *_, last = sweeps(steps, teaches, rule, 1e-12, (np.zeros(shape), np.zeros(shape)) if prior is None else prior)
    return last.state.Q[0]


def by_pair(steps, teaches, targets):
    """Return the weighted mean of targets by pair, a row at a time."""
    sums, weights = np.zeros(steps.shape), np.zeros(steps.shape)
    for s, a, w, G in zip(steps.states[teaches], steps.actions[teaches], steps.weights[teaches], targets[teaches]):
        sums[s, a] += w * G
        weights[s, a] += w
    return sums / np.maximum(weights, 1e-300)


@pytest.mark.parametrize("target", [MAXIMUM, TAKEN, EXPECTED])
def test_sweeps_end_where_values_are_the_means_of_their_targets(target, rng):
    steps, teaches = log_of(rng)
    Q = swept(steps, teaches, rule_with(target=target, total_steps=10**9))
    after = np.where(steps.following >= 0, steps.following, 0)
    if target == MAXIMUM:
        worth = Q.max(axis=1)[steps.states[after]]
    elif target == TAKEN:
        worth = Q[steps.states[after], steps.actions[after]]
    else:
        shares = by_pair(steps, np.ones(400, bool), np.ones(400)) * steps.totals(np.ones(400))
        worth = ((shares / shares.sum(axis=1, keepdims=True)) * Q).sum(axis=1)[steps.states[after]]
    targets = steps.reward + 0.9 * np.where(steps.following >= 0, worth, 0.0)
    np.testing.assert_allclose(Q, by_pair(steps, teaches, targets), atol=1e-9)


@pytest.mark.parametrize("changed", [{"n_steps": 100}, {"trace_decay": 1.0}])
def test_long_returns_are_monte_carlo(changed, rng):
    steps, _ = log_of(rng)
    terminated = steps.following < 0  # all episodes end
    returns = np.zeros(400)
    for i in range(399, -1, -1):
        returns[i] = steps.reward[i] + (0.0 if terminated[i] else 0.9 * returns[i + 1])
    teaches = np.ones(400, dtype=bool)
    Q = swept(steps, teaches, rule_with(target=TAKEN, total_steps=10**9, **changed))
    np.testing.assert_allclose(Q, by_pair(steps, teaches, returns), atol=1e-9)


def test_a_log_in_two_parts_counts_as_one(rng):
    steps, teaches = log_of(rng)
    rule = rule_with(discount=0.0, total_steps=10**9)
    halves = [np.arange(400) < 200, np.arange(400) >= 200]
    first = swept(steps, teaches & halves[0], rule)
    weights = by_weight(steps, teaches & halves[0])
    both = swept(steps, teaches & halves[1], rule, (first, weights))
    np.testing.assert_allclose(both, swept(steps, teaches, rule), atol=1e-12)


def by_weight(steps, teaches):
    return np.bincount(steps.pairs, steps.weights * teaches, minlength=15).reshape(steps.shape)


def test_frequencies_are_shares(rng):
    steps, _ = log_of(rng)
    learned = frequencies(steps, np.zeros(steps.shape))
    for s in range(5):
        for a in range(3):
            here = steps.states == s
            share = steps.weights[here & (steps.actions == a)].sum() / steps.weights[here].sum()
            assert learned.Q[0, s, a] == pytest.approx(share)
