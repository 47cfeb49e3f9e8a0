"""Logs: rows become steps of episodes, or stand alone to be imitated."""

import numpy as np
import pytest

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
