"""Rewards in units of what is earned: the unit, and that learning does not depend on it."""

from dataclasses import dataclass

import numpy as np
import pytest

from skml.reinforcement import ActorCritic, AdvantageActorCritic, FiniteMDP, Reinforce
from skml.reinforcement.policy_learning import Plan, scaled_rewards, unit_of
from skml.reinforcement.recording import Record

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # of short fits
each_agent = pytest.mark.parametrize("cls", [ActorCritic, AdvantageActorCritic, Reinforce])


@dataclass
class Learning:
    """What a learner has of it."""

    plan: Plan
    earned: object = None


def test_rewards_are_divided_by_the_deviation_of_what_was_earned(rng):
    learning, going, earned = Learning(Plan(discount=0.9, normalize_rewards=True)), np.zeros(3), []
    for _ in range(4):
        reward, ended = rng.normal(2, 1, size=(6, 3)), (rng.random((2, 6, 3)) < 0.15).astype(np.uint8)
        for t in range(6):
            going = 0.9 * going + reward[t]
            earned.append(going)
            going = np.where(ended[:, t].any(axis=0), 0, going)
        scaled = scaled_rewards(learning, Record(None, None, reward, ended, None))
        unit = max(np.std(earned), 0.1 * abs(np.mean(earned)))
        np.testing.assert_allclose(scaled, reward / unit)
        assert unit_of(learning.earned) == pytest.approx(unit)


def test_what_was_no_step_does_not_count():
    learning, reward = Learning(Plan(discount=0.5, normalize_rewards=True)), np.array([[1.0, 0.0], [1.0, 0.0]])
    there = np.array([[True, False], [True, False]])
    record = Record(None, None, reward, np.zeros((2, 2, 2), np.uint8), None, there)
    assert scaled_rewards(learning, record)[0, 0] == pytest.approx(1 / np.std([1, 1.5]))
    same = Record(None, None, np.full((1, 2), 7.0), np.ones((2, 1, 2), np.uint8), None)
    np.testing.assert_allclose(scaled_rewards(Learning(learning.plan), same), 10)  # not infinite
    nothing = Record(None, None, np.zeros((1, 2)), np.zeros((2, 1, 2), np.uint8), None)
    assert not scaled_rewards(Learning(learning.plan), nothing).any()
    assert unit_of(None) == 1


def two_ways(scale):
    """Return a process of two states, in which one action pays, times a scale."""
    T = np.array([[[0.9, 0.1], [0.5, 0.5]], [[0.2, 0.8], [0.6, 0.4]]])
    return FiniteMDP(T, scale * np.array([[1.0, 0.25], [-0.5, 2.0]]), 0.9, start=0).to_env(max_episode_steps=20)


@each_agent
def test_the_unit_of_rewards_shows_in_no_policy_and_in_all_values(cls):
    # times a power of two every number is exact
    settings = {"normalize_rewards": True, "hidden_layer_sizes": (4,), "max_steps": 3000, "random_state": 0}
    one, many = (cls(entropy_weight=0.01 * scale, **settings).fit(two_ways(scale)) for scale in (1.0, 1024.0))
    np.testing.assert_array_equal(one.predict_proba([0, 1]), many.predict_proba([0, 1]))
    np.testing.assert_allclose(1024 * one.state_values([0, 1]), many.state_values([0, 1]))
    assert many.history_["return"][-1] == pytest.approx(1024 * one.history_["return"][-1])


@each_agent
def test_values_are_in_the_unit_of_rewards(cls):
    agent = cls(
        normalize_rewards=True, hidden_layer_sizes=(), learning_rate_init=0.05, max_steps=20_000, random_state=0
    )
    # whatever is done, every step pays 100: from the middle of an endless play 100 / (1 - .5)
    always = FiniteMDP(np.full((2, 2, 2), 0.5), np.full((2, 2), 100.0), 0.5, start=0).to_env(max_episode_steps=50)
    agent.set_params(discount=0.5).fit(always)
    np.testing.assert_allclose(agent.state_values([0, 1]), 200, rtol=0.05)


@each_agent
def test_who_goes_on_without_normalisation_forgets_the_unit(cls):
    settings = {"hidden_layer_sizes": (), "learning_rate_init": 0.05, "learning_rate": "constant", "random_state": 0}
    agent = cls(discount=0.5, normalize_rewards=True, max_steps=4000, warm_start=True, **settings)
    always = FiniteMDP(np.full((2, 2, 2), 0.5), np.ones((2, 2)), 0.5, start=0).to_env(max_episode_steps=50)
    assert unit_of(agent.fit(always).learnt_.earned) < 0.5
    agent.set_params(normalize_rewards=False, max_steps=40_000).fit(always)
    np.testing.assert_allclose(agent.state_values([0, 1]), 2, rtol=0.05)
