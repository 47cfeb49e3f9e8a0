"""The doors of agents: environments or logs come in, observations and actions are what they were in fit."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from skml.reinforcement import (
    ActorCritic,
    AdvantageActorCritic,
    Bandit,
    FiniteMDP,
    QLearning,
    Reinforce,
    ValueIteration,
)
from skml.reinforcement.base import BaseAgent
from skml.reinforcement.spaces import Box, Discrete, MultiDiscrete
from skml.reinforcement.worlds import spaces_of, validate_observations, worlds_of


class Majority(BaseAgent):
    """An agent that does what most of the log did, or the first action."""

    _parameter_constraints = {}
    _n_features_out = 1

    def _learn_log(self, log):
        self.shares_ = np.bincount(log.actions, log.weights, log.n_actions) / log.weights.sum()
        self.log_ = log

    def _learn_worlds(self, worlds):
        self.shares_ = np.eye(len(self.classes_))[0]

    def _policy(self, observations):
        return np.tile(self.shares_, (len(observations), 1)).astype(observations.dtype)

    def _values(self, observations):
        return observations[:, :1]


class Still:
    """An environment in which nothing happens."""

    def __init__(self, observation_space, action_space):
        self.observation_space, self.action_space = observation_space, action_space

    def reset(self, seed=None, options=None):
        return self.observation_space.sample(seed), {}

    def step(self, action):
        return self.observation_space.sample(0), 0.0, True, False, {}


def chain():
    return FiniteMDP(np.array([[[0, 1.0], [0, 1.0]], [[1.0, 0], [0, 1.0]]]), np.array([[1.0, 0], [0, 0]]), 0.9)


def test_a_log_is_learnt_from(rng):
    X, y = rng.normal(size=(30, 2)), rng.choice(["left", "right"], 30, p=[0.2, 0.8])
    y[:2] = "left", "right"
    agent = Majority().fit(X, y)
    assert agent.classes_.tolist() == ["left", "right"]
    assert set(agent.predict(X)) == {max(("left", "right"), key=list(y).count)}
    np.testing.assert_allclose(agent.predict_proba(X).sum(axis=1), 1)
    assert agent.score(X, y) == pytest.approx(max(np.mean(y == "left"), np.mean(y == "right")))
    assert agent.log_.reward is None
    agent.fit(X, y, reward=np.ones(30), episode=np.arange(30) // 3, terminated=np.zeros(30))
    assert agent.log_.following[:3].tolist() == [1, 2, -1]


def test_an_environment_is_learnt_from():
    agent = Majority().fit(Still(Discrete(5, start=2), Discrete(3, start=1)))
    assert agent.classes_.tolist() == [1, 2, 3]
    assert agent.predict([2, 6]).tolist() == [1, 1]
    assert agent.predict([[4]]).tolist() == [1]
    with pytest.raises(ValueError, match=r"\[7.0\] in row 1 of X is not in Discrete\(5, start=2\)"):
        agent.predict([2, 7])
    with pytest.raises(ValueError, match="2.5"):
        agent.predict([2.5])
    with pytest.raises(ValueError, match="2 features"):
        agent.predict([[2, 3]])
    assert Majority().fit(chain()).predict([0, 1]).tolist() == [0, 0]


def test_observations_of_boxes_may_have_their_shape():
    space = spaces_of([Still(Box(0, 1, (2, 3)), Discrete(2))])[0]
    rows = validate_observations(np.zeros((4, 2, 3), np.float32), space, "Agent")
    assert rows.shape == (4, 6)
    assert rows.dtype == np.float32
    with pytest.raises(ValueError, match=r"of one observation X\[None\]"):
        validate_observations(np.zeros(6), space, "Agent")
    with pytest.raises(ValueError, match="NaN"):
        validate_observations(np.full((1, 6), np.nan), space, "Agent")


def test_lists_of_environments_are_environments():
    one, other = Still(Discrete(2), Discrete(2)), Still(Discrete(2), Discrete(2))
    assert worlds_of([one, other]) == [one, other]
    assert worlds_of(np.array([one, other], dtype=object)) == [one, other]
    assert worlds_of(pd.Series([one, other])) == [one, other]
    assert worlds_of([[1.0, 2.0]]) is None
    assert worlds_of(np.zeros((0, 3))) is None


@pytest.mark.parametrize(
    ("X", "words"),
    [
        ([], "X is empty"),
        (Still, "X is the class Still"),
        ("CartPole-v1", r"X is the text 'CartPole-v1'; give the environment"),
        ([Still(Discrete(2), Discrete(2)), 3], "also 3"),
        (
            [Still(Discrete(2), Discrete(2)), Still(Discrete(3), Discrete(2))],
            r"X\[0\] are in Discrete\(2\), of X",
        ),
        ([Still(Discrete(2), Discrete(2)), Still(Discrete(2), Discrete(4))], "actions of"),
        (Still(Discrete(2), MultiDiscrete([2, 2])), "agents choose one number"),
        (Still(None, Discrete(2)), "has no observation_space"),
    ],
)
def test_what_is_no_environment_is_refused(X, words):
    with pytest.raises(ValueError, match=words):
        Majority().fit(X)


@pytest.mark.parametrize("name", ["y", "reward", "episode", "terminated", "sample_weight"])
def test_an_environment_needs_no_log(name):
    with pytest.raises(ValueError, match=f"{name} belongs to a log"):
        Majority().fit(Still(Discrete(2), Discrete(2)), **{name: [1]})


@pytest.mark.parametrize("cls", [QLearning, Reinforce, ValueIteration, Majority])
def test_an_agent_of_numbered_states_plays_among_those_only(cls):
    here, elsewhere = Bandit([0.1, 0.9]), FiniteMDP(np.full((2, 5, 5), 0.2), np.ones((5, 2)), terminal=[4])
    agent = cls().set_params(**{"max_steps": 50} if "max_steps" in cls().get_params() else {}).fit(here)
    for use in (agent.score, agent.evaluate, agent.rollout):
        with pytest.raises(ValueError, match=r"X are in Discrete\(5\); the agent has learnt from Discrete\(2\)"):
            use(elsewhere)
    assert 0 <= agent.score(here) <= 1


def test_a_failed_fit_changes_nothing(rng):
    agent = Majority().fit(rng.normal(size=(10, 2)), [0, 1] * 5)
    before = dict(vars(agent))
    with pytest.raises(ValueError, match="one class"):
        agent.fit(rng.normal(size=(10, 3)), [0] * 10)
    with pytest.raises(ValueError, match="reward is nan"):
        agent.fit(rng.normal(size=(4, 2)), [0, 1] * 2, reward=[0, 1, np.nan, 2])
    assert vars(agent) == before


def test_a_log_of_others_is_judged(rng):
    n = 3000
    y = rng.integers(2, size=n)
    agent = Majority().fit([[0.0]] * 4, [1, 1, 1, 0])
    found = agent.ope_score(np.zeros((n, 1)), y, reward=y.astype(float), episode=np.arange(n))
    assert found == pytest.approx(0.75, abs=0.05)  # weights are exact but for the frequencies of the log
    greedy = agent.ope_score(np.zeros((n, 1)), y, reward=y.astype(float), episode=np.arange(n), greedy=True)
    assert greedy == pytest.approx(1)  # all that has weight took action 1
    with pytest.raises(ValueError, match="none of the classes"):
        agent.ope_score([[0.0]], [2], reward=[1.0])


def test_environments_are_played():
    agent = Majority().fit(chain())
    assert agent.score(chain(), n_episodes=3) == agent.evaluate(chain(), 3).mean
    table = agent.rollout(chain(), 2)
    assert set(table["episode"].tolist()) == {0, 1}
    assert set(table["action"].tolist()) == {0}
    with pytest.raises(ValueError, match="knows 1"):
        agent.score(Still(Box(0, 1, (2,)), Discrete(2)))
    with pytest.raises(ValueError, match="takes actions in"):
        agent.score(Still(Discrete(2), Discrete(3)))
    with pytest.raises(ValueError, match="must be an environment"):
        agent.evaluate(np.zeros((2, 1)))


def test_more_environments_than_episodes_are_played_once_each(monkeypatch):
    monkeypatch.setattr("skml.reinforcement.base.EPISODES", 2)
    assert len(Majority().fit(chain()).evaluate([chain() for _ in range(3)]).returns) == 3


def test_an_agent_of_a_log_plays_an_environment_with_its_actions():
    agent = Majority().fit([[0.0], [1.0], [1.0]], [0, 1, 1])
    assert agent.rollout(chain(), max_episode_steps=5)["action"].tolist() == [1] * 5
    with pytest.raises(ValueError, match="the agent knows"):
        Majority().fit([[0.0], [1.0]], ["a", "b"]).score(chain())


def test_a_policy_that_is_drawn_has_its_shares(rng):
    agent = Majority().fit(np.zeros((4, 1)), [0, 1, 1, 1])
    drawn = agent._actor(greedy=False)(np.zeros((6000, 1)), None, rng)
    assert abs(drawn.mean() - 0.75) < 6 * np.sqrt(0.75 * 0.25 / 6000)
    allowed = np.tile([True, False], (6000, 1))
    assert not agent._actor(greedy=False)(np.zeros((6000, 1)), allowed, rng).any()
    assert not agent._actor(greedy=True)(np.zeros((6000, 1)), allowed, rng).any()


def test_states_are_worth_what_the_policy_earns_there():
    on, back = [[0, 1, 0], [0, 0, 1], [0, 0, 1]], [[1, 0, 0], [1, 0, 0], [0, 0, 1]]
    mdp = FiniteMDP([on, back], [[1.0, 0], [2, 0], [0, 0]], 0.5)
    planner = ValueIteration().fit(mdp)
    np.testing.assert_allclose(planner.state_values([0, 1, 2]), [2, 2, 0])
    assert planner.state_values(np.array([0, 1], dtype=np.float32)).dtype == np.float32
    log = QLearning().fit([[0.0]] * 4 + [[1.0]], [0, 0, 0, 1, 0])  # imitated: Q(s, a) is the share of a, as pi is
    np.testing.assert_allclose(log.state_values([[0.0], [1.0]]), [0.75**2 + 0.25**2, 1])
    shown = np.full(9, 2.0)
    never_left = ValueIteration().fit(shown[:, None], [0, 0, 1] * 3, reward=shown, terminated=np.ones(9, bool))
    np.testing.assert_allclose(never_left.state_values([[2.0]]), [2])


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # there is nothing to gain
@pytest.mark.parametrize("agent", [Reinforce(), ActorCritic(), ActorCritic(critic="q"), AdvantageActorCritic()])
def test_critics_say_what_states_are_worth(agent):
    agent = clone(agent).set_params(hidden_layer_sizes=(), learning_rate_init=0.05, max_steps=8000, random_state=0)
    assert agent.fit(Bandit([1.0, 1.0], payoffs=3.0)).state_values([0]) == pytest.approx(3, abs=0.1)
    assert not hasattr(agent.fit([[0.0], [1.0]], [0, 1]), "state_values")  # to imitate it takes no critic
    assert not hasattr(Reinforce(baseline=None, max_steps=100).fit(Bandit([1.0, 1.0])), "state_values")
