"""Our environments as Gymnasium's: its own checker passes, steps are the same, planners still see the model."""

import sys
import warnings

import numpy as np
import pytest
from _contract import odd_worlds as worlds

from skml.reinforcement import CartPole, FiniteMDP, FrozenLake, MountainCar, Taxi, to_gymnasium

MAKERS = pytest.mark.parametrize("make", [CartPole, FrozenLake, MountainCar, Taxi], ids=lambda make: make.__name__)


@MAKERS
def test_gymnasiums_checker_passes(make):
    pytest.importorskip("gymnasium")
    from gymnasium.utils.env_checker import check_env

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*A Box observation space m")  # speeds have no bounds, there as here
        check_env(to_gymnasium(make()), skip_render_check=True)


@MAKERS
def test_steps_are_the_same(make, seed):
    pytest.importorskip("gymnasium")
    ours, theirs = make(), to_gymnasium(make())
    np.testing.assert_array_equal(ours.reset(seed=seed)[0], theirs.reset(seed=seed)[0])
    for t in range(60):
        answer, expected = theirs.step(np.int64(t % 2)), ours.step(t % 2)
        np.testing.assert_array_equal(answer[0], expected[0])
        assert answer[1:4] == expected[1:4]
        if answer[2] or answer[3]:
            np.testing.assert_array_equal(ours.reset()[0], theirs.reset()[0])


def test_vectors_of_gymnasium_take_it(seed):
    gymnasium = pytest.importorskip("gymnasium")
    vector = gymnasium.vector.SyncVectorEnv([lambda: to_gymnasium(CartPole())] * 3)
    observation, _ = vector.reset(seed=seed)
    assert observation.shape == (3, 4)
    vector.step(np.ones(3, int))


def test_the_model_is_still_there():
    pytest.importorskip("gymnasium")
    lake = FrozenLake()
    wrapped = to_gymnasium(lake)
    assert wrapped.P == lake.P
    assert FiniteMDP.from_gymnasium(wrapped).n_states == 16
    assert not hasattr(to_gymnasium(CartPole()), "P")
    mdp = FiniteMDP([[[0, 1], [0, 1]]], rewards=[2.5, 0.0], start=0, terminal=[1])
    env = to_gymnasium(mdp)
    env.reset(seed=0)
    assert env.step(0)[:3] == (1, 2.5, True)
    assert env.render() == "state 1\n"


def test_only_ours_are_wrapped():
    pytest.importorskip("gymnasium")
    with pytest.raises(ValueError, match="got Corridor"):
        to_gymnasium(worlds.Corridor())


def test_without_gymnasium_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    with pytest.raises(ImportError, match=r"skml\[rl\]"):
        to_gymnasium(CartPole())
