"""Logs: rows become steps of episodes, or stand alone to be imitated."""

import numpy as np
import pandas as pd
import polars
import pytest
from sklearn.base import clone
from sklearn.preprocessing import KBinsDiscretizer

from skml.reinforcement import (
    SARSA,
    AdvantageActorCritic,
    CartPole,
    CliffWalking,
    PolicyIteration,
    QLearning,
    ValueIteration,
    rollout,
)
from skml.reinforcement.logged import LogColumns, episode_log, imitation_log


def log_of(reward, episode=None, terminated=None):
    n = len(reward)
    return episode_log(
        np.arange(n, dtype=float)[:, None], np.zeros(n, int), 2, None, LogColumns(reward, episode, terminated)
    )


def test_rows_of_an_episode_follow_each_other_whatever_stands_between():
    log = log_of(np.zeros(6), ["a", "b", "a", "b", "c", "a"], [0, 0, 0, 1, 0, 0])
    assert log.following.tolist() == [2, 3, 5, -1, -1, -1]
    assert log.first.tolist() == [0, 1, 4]
    assert log.teaches.tolist() == [True, True, True, True, False, False]


def test_without_episodes_rows_are_one_that_begins_anew_after_its_end():
    log = log_of(np.zeros(5), None, [False, True, False, False, False])
    assert log.following.tolist() == [1, -1, 3, 4, -1]
    assert log.first.tolist() == [0, 2]


def test_a_log_to_imitate_has_no_order_and_no_copies(rng):
    X = rng.integers(3, size=(40, 2)).astype(float)
    y = rng.integers(2, size=40)
    order = rng.permutation(40)
    ours = imitation_log(X, y, 2, None)
    shuffled = imitation_log(X[order], y[order], 2, None)
    twice = imitation_log(np.r_[X, X], np.r_[y, y], 2, None)
    for other, factor in ((shuffled, 1), (twice, 2)):
        np.testing.assert_array_equal(ours.observations, other.observations)
        np.testing.assert_array_equal(ours.actions, other.actions)
        np.testing.assert_array_equal(ours.weights * factor, other.weights)
    assert len(ours.actions) == len(np.unique(np.c_[X, y], axis=0))


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"reward": [0, np.nan, 1]}, "reward is nan in row 1"),
        ({"reward": [0, np.inf, 1]}, "reward is inf in row 1"),
        ({"reward": [0, 1]}, "reward has 2 entries for 3 rows"),
        ({"reward": [0, 1, 2], "episode": [1, 1]}, "episode has 2 entries"),
        ({"reward": [0, 1, 2], "episode": [1, np.nan, 1]}, "episode is NaN in row 1"),
        ({"reward": [0, 1, 2], "episode": np.array([1, "a", None], dtype=object)}, "several types"),
        ({"reward": [0, 1, 2], "terminated": [0, 2, 1]}, "true and false"),
        ({"reward": [0, 1, 2], "terminated": ["no", "no", "yes"]}, "true and false"),
        ({"reward": [0, 1, 2], "episode": [5, 5, 5], "terminated": [1, 0, 0]}, "goes on in row 1"),
    ],
)
def test_what_is_no_log_is_refused_in_words(columns, words):
    with pytest.raises(ValueError, match=words):
        episode_log(np.zeros((3, 1)), np.zeros(3, int), 2, None, LogColumns(**columns))


# ------------------------------------------------------------------------------------------------------ tables


def swing(observations):
    return (observations[:, 2] + observations[:, 3] > 0).astype(int)


@pytest.mark.parametrize("as_frame", [dict, pd.DataFrame, polars.DataFrame])
def test_what_rollout_returns_is_a_log(as_frame):
    table = rollout(CliffWalking(max_episode_steps=50), lambda X: np.arange(len(X)) % 4, n_episodes=8)
    steps = {name: table[name] for name in ("reward", "episode", "terminated")}
    apart = QLearning().fit(table["observation"][:, None].astype(float), table["action"], **steps)
    one = QLearning().fit(as_frame(table))
    np.testing.assert_array_equal(one.action_values_, apart.action_values_)
    assert not hasattr(one, "feature_names_in_")
    counts = one.visit_counts_
    np.testing.assert_array_equal(one.partial_fit(as_frame(table)).visit_counts_, 2 * counts)


CELLS = KBinsDiscretizer(4, encode="ordinal", strategy="uniform")


@pytest.mark.parametrize(
    "planner", [AdvantageActorCritic(max_iter=3, random_state=0), ValueIteration(discretizer=CELLS)]
)
def test_tables_of_several_numbers_are_logs(planner):
    table = rollout(CartPole(), swing, 2, max_episode_steps=40)
    X = np.stack([table[f"observation_{j}"] for j in range(4)], axis=1)
    steps = {name: table[name] for name in ("reward", "episode", "terminated")}
    one, apart = clone(planner).fit(table), clone(planner).fit(X, table["action"], **steps)
    np.testing.assert_array_equal(one.predict_proba(X), apart.predict_proba(X))
    imitated = clone(planner).fit(table, table["action"])  # what is given is given
    np.testing.assert_array_equal(imitated.predict_proba(X), clone(planner).fit(X, table["action"]).predict_proba(X))
    paid = clone(planner).fit(table, reward=2 * table["reward"])
    twice = clone(planner).fit(X, table["action"], **(steps | {"reward": 2 * table["reward"]}))
    np.testing.assert_array_equal(paid.predict_proba(X), twice.predict_proba(X))


@pytest.mark.parametrize("agent", [QLearning(), SARSA(), ValueIteration(), PolicyIteration()])
def test_agents_of_states_warn_of_observations_that_never_come_twice(agent, rng):
    X, y = rng.normal(size=(40, 2)), np.arange(40) % 2
    steps = {"reward": rng.normal(size=40), "episode": np.arange(40) // 4, "terminated": np.arange(40) % 4 == 3}
    with pytest.warns(UserWarning, match=f"{type(agent).__name__} found 40 states in the 40 steps.*KBins.*Reinforce"):
        clone(agent).fit(X, y, **steps)
    # in silence: to imitate, in cells, in states that are numbers, and in those that come again
    clone(agent).fit(X, y)
    clone(agent).set_params(discretizer=CELLS).fit(X, y, **steps)
    clone(agent).fit(np.arange(80.0).reshape(40, 2), y, **steps)
    clone(agent).fit(np.tile(X[:20], (2, 1)), y, **steps)
    if hasattr(agent, "partial_fit"):  # a part of a log need not come back
        clone(agent).partial_fit(X, y, **steps)


def test_a_log_that_does_not_say_where_it_ends_is_warned_of():
    table = rollout(CliffWalking(max_episode_steps=50), lambda X: np.arange(len(X)) % 4, n_episodes=3)
    steps = {name: table[name] for name in ("observation", "action", "reward")}
    for agent in (QLearning(), AdvantageActorCritic(max_iter=1)):
        with pytest.warns(UserWarning, match="neither 'episode' nor 'terminated': all rows are .* one episode"):
            agent.fit(pd.DataFrame(steps))
        with pytest.warns(UserWarning, match="'reward' and 'episode', but without 'terminated'"):
            agent.fit(pd.DataFrame(steps | {"episode": table["episode"]}))
        agent.fit(pd.DataFrame(steps | {"terminated": table["terminated"]}))
        agent.fit(pd.DataFrame(steps), terminated=np.zeros(len(table["step"])))  # is what one means


def test_tables_of_other_things_are_refused():
    with pytest.raises(ValueError, match=r"needs the column 'observation', or .*\['seen', 'action'\]"):
        QLearning().fit({"seen": [0.0, 1.0], "action": [0, 1]})
    for bad in ({"observation_0": [0.0, 1.0], "observation_1": [0.0]}, {"observation": [[0.0, 1.0], [1.0, 1.0]]}):
        with pytest.raises(ValueError, match=r"a number of each step in \['observation.*shapes are \[\(2,"):
            QLearning().fit(bad | {"action": [0, 1]})
    with pytest.raises(ValueError, match="needs the column 'action'.*'observation', 'action_0'"):
        QLearning().fit({"observation": [0.0, 1.0], "action_0": [0.5, 0.5]})
    frame = pd.DataFrame({"observation": [0.0, 1.0], "weather": [1.0, 0.0]})
    assert QLearning().fit(frame, [0, 1]).feature_names_in_.tolist() == ["observation", "weather"]
