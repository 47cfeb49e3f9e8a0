"""check_env: what is sound passes, and each thing that is wrong is named, several at once."""

import numpy as np
import pytest
from _contract import odd_worlds as worlds

from skml.reinforcement import (
    Bandit,
    Box,
    CartPole,
    CliffWalking,
    Discrete,
    FrozenLake,
    GridWorld,
    MountainCar,
    Taxi,
    check_env,
)


@pytest.mark.parametrize(
    "env",
    [
        Bandit([0.1, 0.9]),
        CartPole(),
        CliffWalking(),
        FrozenLake(),
        GridWorld(["S.G"]),
        MountainCar(),
        Taxi(),
        worlds.Corridor(),
        worlds.Corridor(width=2, random_start=True),
        worlds.Endless(),
        worlds.Masked(),
        worlds.Uncopyable(),
    ],
    ids=lambda env: type(env).__name__,
)
def test_sound_environments_pass(env):
    assert check_env(env) is None


@pytest.mark.parametrize("name", ["CartPole-v1", "FrozenLake-v1", "CliffWalking-v1", "Blackjack-v1", "Pendulum-v1"])
def test_gymnasiums_environments_pass(name):
    gymnasium = pytest.importorskip("gymnasium")
    check_env(gymnasium.make(name))


def test_a_copy_is_played():
    env = worlds.Corridor()
    check_env(env)
    assert env.n_resets == 0


def found(env, **given):
    with pytest.raises(ValueError) as caught:
        check_env(env, **given)
    first, *findings = str(caught.value).split("\n- ")
    assert first == f"{type(env).__name__} is no environment to act in:"
    assert len(set(findings)) == len(findings)
    return findings


def answering(changed=lambda *answer: answer, changed_reset=None, **given):
    return worlds.Answering(changed, changed_reset, **given)


@pytest.mark.parametrize(
    ("env", "words"),
    [
        (answering(lambda o, r, e, c, i: (o, r, e, i)), "truncated, info); it returned 4 values."),
        (answering(lambda *answer: list(answer)), "it returned a list."),
        (answering(changed_reset=lambda o, i: o), "reset() must return (observation, info); it returned a int."),
        (answering(changed_reset=lambda o, i: (o, None)), "info of reset() must be a dictionary; it was a NoneType."),
        (answering(lambda o, r, e, c, i: (o, r, e, c, [])), "info of step() must be a dictionary; it was a list."),
        (answering(lambda o, r, e, c, i: (o, np.nan, e, c, i)), "the reward of step() must be a finite number"),
        (answering(lambda o, r, e, c, i: (o, np.inf, e, c, i)), "the reward of step() must be a finite number"),
        (answering(lambda o, r, e, c, i: (o, "much", e, c, i)), "the reward of step() must be a finite number"),
        (answering(lambda o, r, e, c, i: (o, None, e, c, i)), "the reward of step() must be a finite number"),
        (answering(lambda o, r, e, c, i: (o, r, int(e), c, i)), "terminated of step() must be True or False; it was 0"),
        (answering(lambda o, r, e, c, i: (o, r, e, None, i)), "truncated of step() must be True or False; it was None"),
        (answering(lambda o, *others: (5, *others)), "it holds 5 at place 0, beyond 0 to 4."),
        (answering(lambda o, *others: (float(o), *others)), "its type is float64, not int64."),
        (answering(lambda o, *others: ([o], *others)), "its shape is (1,), not ()."),
        (answering(lambda o, *others: (o[:1], *others), width=3), "its shape is (1,), not (3,)."),
        (answering(lambda o, *others: (o * np.nan, *others), width=3), "it holds NaN."),
        (answering(lambda o, *others: (o - 9, *others), width=3), "at place 0, beyond 0 to 5."),
        (answering(lambda o, *others: (o.astype(str), *others), width=3), "its type is <U32, not float32."),
        (answering(lambda o, r, e, c, i: (o, r, e, c, {"action_mask": [1]})), "must have 2 entries, one of them true"),
        (answering(lambda o, r, e, c, i: (o, r, e, c, {"action_mask": [0, 0]})), "must have 2 entries"),
        (answering(changed_reset=lambda o, i: (-1, i)), "the observation of reset() is outside the observation space"),
        (worlds.Failing(when=3), "raised ZeroDivisionError: the pole has melted"),
        (worlds.Unseeded(), "reset() takes no seed"),
        ("CartPole-v1", "it is a name; give the environment, for instance gymnasium.make('CartPole-v1')."),
        (3, "it has no method reset."),
    ],
)
def test_each_fault_is_named(env, words):
    assert any(words in finding for finding in found(env)), found(env)


def test_several_faults_are_named_at_once():
    env = answering(lambda o, r, e, c, i: (o + 0.5, "much", int(e), None, i))
    findings = found(env)
    for words in ("outside the observation space", "the reward", "terminated", "truncated"):
        assert any(words in finding for finding in findings)


def test_missing_parts_are_named():
    class Bare:
        action_space = "two"

        def reset(self, seed=None):
            pass

    findings = found(Bare())
    assert findings[0] == "it has no method step."
    assert findings[1] == "it has no attribute observation_space."
    assert "its action_space cannot be read: 'two' is no space that skml knows" in findings[2]


def test_a_class_is_no_environment():
    with pytest.raises(ValueError, match=r"it is a class; give an object of it, CartPole\(\)."):
        check_env(CartPole)


def test_chance_that_no_seed_reaches_is_found():
    class Restless(worlds.Corridor):
        def reset(self, *, seed=None, options=None):
            self.cell = np.random.default_rng().integers(0, self.n - 1)
            return int(self.cell), {}

    assert any("the observation of reset() differs between two runs" in finding for finding in found(Restless(10**6)))

    class Windy(worlds.Corridor):
        def step(self, action):
            observation, reward, *others = super().step(action)
            return observation, np.random.default_rng().random(), *others

    assert any("step 1 differs between two runs with the same seed" in finding for finding in found(Windy()))


class Parts(worlds.Corridor):
    """Observations of parts, one of which may be wrong."""

    class Both:
        def __init__(self, spaces):
            self.spaces = spaces

    def __init__(self, second, lacking=False):
        super().__init__()
        self.second, self.lacking = second, lacking
        self.observation_space = self.Both({"cell": Discrete(5), "sound": Box(0, 1, (2,))})

    def seen(self):
        parts = {"cell": self.cell, "sound": np.array(self.second, np.float32)}
        return {"cell": self.cell} if self.lacking else parts


def test_parts_of_observations_are_looked_at():
    check_env(Parts([0, 0.5]))
    assert any("in part 'sound' it holds 2.0 at place 1" in finding for finding in found(Parts([0, 2])))
    assert any("it lacks some of the parts" in finding for finding in found(Parts([0, 1], lacking=True)))
