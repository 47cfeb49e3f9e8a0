"""Environments in lockstep: compiled equals twin, draws are functions of counters, and the entries refuse nonsense."""

import numpy as np
import pytest

from skml._kernels import environments
from skml._kernels.reference import environments as twin

BOTH = pytest.mark.parametrize("kernels", [environments, twin], ids=["compiled", "twin"])
CART_POLE = [9.8, 1.0, 0.1, 0.5, 10.0, 0.02, 1.0, 1.0, -0.05, 0.05]
MOUNTAIN_CAR = [0.001, 0.0025, 0.0, 0, 0, 0, 0, 0, -0.6, -0.4]


def seeded(kernels, seed, n, limit=0, first=0):
    clock = np.zeros((n, 4), np.int64)
    clock[:, 3] = limit
    kernels.seed_copies(seed, first, clock)
    return clock


def table_of(rng, n_states=7, n_actions=3, n_outcomes=4):
    """Return a table whose states have from one action to all of them."""
    have = rng.random((n_states, n_actions)) < 0.7
    have[np.arange(n_states), rng.integers(0, n_actions, n_states)] = True
    offsets = np.append(0, np.cumsum(have.sum(axis=1))).astype(np.int32)
    counts = rng.integers(1, n_outcomes + 1, offsets[-1])
    indptr = np.append(0, np.cumsum(counts)).astype(np.int32)
    cumulative = np.concatenate([np.cumsum(rng.dirichlet(np.ones(count))) for count in counts])
    next_states = rng.integers(0, n_states, indptr[-1]).astype(np.int32)
    rewards, terminated = rng.normal(size=indptr[-1]), (rng.random(indptr[-1]) < 0.2).astype(np.uint8)
    pair_actions = np.nonzero(have)[1].astype(np.int32)
    start = np.cumsum(rng.dirichlet(np.ones(n_states)))
    return (offsets, pair_actions, indptr, cumulative, next_states, rewards, terminated, start)


def play_control(kernels, kind, parameters, actions, go_on, seed, limit):
    n_steps, n = actions.shape
    width = (4, 2)[kind]
    clock, states = seeded(kernels, seed, n, limit), np.empty((n, width))
    observations, last = np.empty((n_steps + 1, n, width), np.float32), np.empty((n_steps, n, width), np.float32)
    rewards, ended = np.empty((n_steps, n)), np.empty((n_steps, 2, n), np.uint8)
    kernels.start_control(kind, parameters, clock, states, observations[0])
    for t in range(n_steps):
        out = (observations[t + 1], last[t], rewards[t], ended[t])
        kernels.step_control(kind, parameters, actions[t], go_on, clock, states, *out)
    return observations, last, rewards, ended, clock, states


@pytest.mark.parametrize("kind", [0, 1])
@pytest.mark.parametrize("go_on", [True, False])
@pytest.mark.parametrize("n", [0, 1, 5])
def test_compiled_control_equals_twin(rng, seed, kind, go_on, n):
    parameters = np.tile([CART_POLE, MOUNTAIN_CAR][kind], (n, 1)) * rng.uniform(0.9, 1.1, (n, 10))
    actions = rng.integers(0, (2, 3)[kind], (40, n))
    compiled = play_control(environments, kind, parameters, actions, go_on, seed, 15)
    expected = play_control(twin, kind, parameters, actions, go_on, seed, 15)
    for ours, theirs in zip(compiled, expected):
        # sines of two libraries may differ in the last place; the cart's fall multiplies it by ten each ten steps or so
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-9)


def play_table(kernels, table, n_steps, n, go_on, seed, limit):
    clock, states = seeded(kernels, seed, n, limit), np.empty(n, np.int64)
    kernels.start_table(table, clock, states)
    seen = []
    for t in range(n_steps):
        offsets, pair_actions = table[:2]
        chosen = [pair_actions[offsets[s] + (t + i) % (offsets[s + 1] - offsets[s])] for i, s in enumerate(states)]
        last, rewards, ended = np.empty(n, np.int64), np.empty(n), np.empty((2, n), np.uint8)
        kernels.step_table(table, np.array(chosen, np.int64), go_on, clock, states, last, rewards, ended)
        seen.append([states.copy(), last, rewards, ended[0], ended[1], *clock.T.copy()])
    return np.array(seen)


@pytest.mark.parametrize("go_on", [True, False])
@pytest.mark.parametrize("n", [0, 1, 6])
def test_compiled_tables_equal_twin(rng, seed, go_on, n):
    table = table_of(rng)
    compiled = play_table(environments, table, 30, n, go_on, seed, 5)
    np.testing.assert_array_equal(compiled, play_table(twin, table, 30, n, go_on, seed, 5))


def test_a_table_is_sampled_with_its_probabilities(seed):
    # One state, one action, four outcomes; the chance that a fair sampler misses any bound is below 1e-9.
    p, n = np.array([0.5, 0.25, 0.2, 0.05]), 40_000
    table = (
        *(
            np.array([0, 1], np.int32),
            np.zeros(1, np.int32),
            np.array([0, 4], np.int32),
            np.cumsum(p),
            np.zeros(4, np.int32),
        ),
        *(np.arange(4.0), np.zeros(4, np.uint8), np.ones(1)),
    )
    clock, states, last = seeded(environments, seed, n), np.zeros(n, np.int64), np.empty(n, np.int64)
    rewards, ended = np.empty(n), np.empty((2, n), np.uint8)
    environments.step_table(table, np.zeros(n, np.int64), True, clock, states, last, rewards, ended)
    found = np.bincount(rewards.astype(int), minlength=4) / n
    assert np.all(np.abs(found - p) < 6.5 * np.sqrt(p * (1 - p) / n))


@BOTH
def test_draws_depend_on_the_counters_alone(kernels, seed):
    clock = seeded(kernels, seed, 6)
    clock[:, 1] = [0, 0, 1, 1, 2, 0]
    clock[:, 2] = [0, 3, 0, 1, 0, 0]
    wide, narrow = np.empty((6, 4)), np.empty((2, 2))
    kernels.draws(clock, 3, wide)
    kernels.draws(np.ascontiguousarray(clock[3:5]), 3, narrow)
    np.testing.assert_array_equal(narrow, wide[3:5, :2])
    assert len(np.unique(wide)) == wide.size
    assert wide.min() >= 0 and wide.max() < 1
    shifted = seeded(kernels, seed, 2, first=4)
    np.testing.assert_array_equal(shifted[:, 0], clock[4:, 0])


def test_compiled_draws_equal_twin(rng, seed):
    ours, theirs = seeded(environments, seed, 9), seeded(twin, seed, 9)
    np.testing.assert_array_equal(ours, theirs)
    ours[:, 1:3] = rng.integers(0, 2**40, (9, 2))
    compiled, expected = np.empty((9, 3)), np.empty((9, 3))
    for purpose in (0, 1, 2**63):
        environments.draws(ours, purpose, compiled)
        twin.draws(ours, purpose, expected)
        np.testing.assert_array_equal(compiled, expected)


def test_draws_are_uniform(seed):
    drawn = np.empty((20_000, 2))
    environments.draws(seeded(environments, seed, 20_000), 1, drawn)
    counts = np.histogram2d(*drawn.T, bins=4, range=[[0, 1], [0, 1]])[0]
    # Sixteen cells of 1250 on average, with a deviation of 34: seven of them never happen.
    assert np.all(np.abs(counts - 1250) < 7 * 34.3)


def refused(function, *arguments):
    with pytest.raises(ValueError):
        function(*arguments)


def control_arguments(n=2):
    clock, parameters = np.zeros((n, 4), np.int64), np.tile(CART_POLE, (n, 1))
    states, observations = np.zeros((n, 4)), np.zeros((n, 4), np.float32)
    return clock, parameters, states, observations


@BOTH
def test_the_control_entries_refuse_what_does_not_fit(kernels):
    clock, parameters, states, seen = control_arguments()
    refused(kernels.seed_copies, 0, 0, clock[:, :3].copy())
    refused(kernels.draws, clock, 0, np.empty((3, 1)))
    refused(kernels.start_control, 2, parameters, clock, states, seen)
    refused(kernels.start_control, 1, parameters, clock, states, seen)
    refused(kernels.start_control, 0, parameters[:, :9].copy(), clock, states, seen)
    refused(kernels.start_control, 0, parameters, clock[:1], states, seen)
    rewards, ended, actions = np.empty(2), np.empty((2, 2), np.uint8), np.zeros(2, np.int64)
    for bad in (np.array([0, 2]), np.array([-1, 0]), np.zeros(3, np.int64)):
        refused(kernels.step_control, 0, parameters, bad, True, clock, states, seen, seen.copy(), rewards, ended)
    refused(kernels.step_control, 0, parameters, actions, True, clock, states, seen, seen[:1], rewards, ended)
    refused(kernels.step_control, 0, parameters, actions, True, clock, states, seen, seen.copy(), rewards, ended[:1])
    assert not states.any() and not clock.any()


@BOTH
def test_the_table_entries_refuse_what_does_not_fit(kernels):
    table = table_of(np.random.default_rng(0))
    clock, states, last = seeded(kernels, 0, 2), np.zeros(2, np.int64), np.zeros(2, np.int64)
    out = (last, np.empty(2), np.empty((2, 2), np.uint8))
    for k in range(8):
        shorter = (*table[:k], table[k][:-1].copy(), *table[k + 1 :])
        refused(kernels.start_table, shorter, clock, states)
    action = np.full(2, table[1][0], np.int64)
    refused(kernels.step_table, table, np.array([3, 3]), True, clock, states, *out)
    refused(kernels.step_table, table, action, True, clock, np.array([0, 7]), *out)
    refused(kernels.step_table, table, action, True, clock, np.array([-1, 0]), *out)
    refused(kernels.step_table, table, action[:1], True, clock, states, *out)
    for k, value in ((0, 10**6), (0, -(10**6)), (2, 10**6), (2, -5), (4, 7), (4, -1)):
        broken = (*table[:k], np.full_like(table[k], value), *table[k + 1 :])
        refused(kernels.step_table, broken, action, True, clock, states, *out)
