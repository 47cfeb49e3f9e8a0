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


# --------------------------------------------------------------------------------------- vector environments


@pytest.mark.parametrize("mode", ["NEXT_STEP", "SAME_STEP", "DISABLED"])
@pytest.mark.parametrize("name", ["CartPole-v1", "Blackjack-v1"])
def test_gymnasiums_vectors_pass(mode, name):
    gymnasium = pytest.importorskip("gymnasium")
    autoreset = getattr(gymnasium.vector.AutoresetMode, mode)
    check_env(gymnasium.vector.SyncVectorEnv([lambda: gymnasium.make(name)] * 3, autoreset_mode=autoreset))


class Batch:
    """Two copies of nothing much, which answer what they are told."""

    num_envs, single_observation_space, single_action_space = 2, Box(0, 1, (3,)), Discrete(2)

    def __init__(self, mode="NextStep", **answers):
        self.metadata = {"autoreset_mode": mode}
        self.answers = {
            "observation": np.zeros((2, 3)),
            "reward": np.zeros(2),
            "terminated": np.ones(2, bool),
            **answers,
        }

    def reset(self, *, seed=None, options=None):
        return np.zeros((2, 3)), {}

    def step(self, actions):
        given = {"truncated": np.zeros(2, bool), "info": {}, **self.answers}
        if given.get("raised"):
            raise given["raised"]
        return tuple(given[key] for key in ("observation", "reward", "terminated", "truncated", "info") if key in given)


def test_a_sound_vector_passes():
    for mode in ("NextStep", "Disabled"):
        check_env(Batch(mode))
    check_env(Batch("SameStep", info={"final_obs": np.zeros((2, 3))}))


@pytest.mark.parametrize(
    ("env", "words"),
    [
        (Batch("Sometimes"), "its metadata['autoreset_mode'] is 'Sometimes'"),
        (Batch("SameStep"), "its info has no final_obs"),
        (Batch(observation=np.zeros((2, 4))), "observations have the shape (2, 4); it must be (2, 3)."),
        (Batch(reward=0.0), "reward must have one number for each of 2 copies."),
        (Batch(reward=np.array([0, np.nan])), "reward must be finite"),
        (Batch(terminated=np.zeros(2)), "terminated must have one boolean for each of 2 copies."),
        (Batch(truncated=False), "truncated must have one boolean"),
        (Batch(info=None), "info must be a dictionary; it was a NoneType."),
        (Batch(raised=OSError("gone")), "it raised OSError: gone"),
    ],
)
def test_each_fault_of_a_vector_is_named(env, words):
    assert any(words in finding for finding in found(env)), found(env)


def test_a_vector_without_spaces_is_named():
    env = Batch()
    env.single_observation_space = None
    assert found(env) == ["it has no attribute single_observation_space."]
