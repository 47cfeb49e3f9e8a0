"""The cart with the pole, and the car in the valley: by hand, beside Gymnasium, and as objects."""

import copy
import pickle

import numpy as np
import pytest

from skml.reinforcement import CartPole, MountainCar

BOTH = pytest.mark.parametrize("make", [CartPole, MountainCar])


def test_a_step_of_the_cart_by_hand():
    env = CartPole()
    env.reset(seed=0, options={"state": [0.0, 0.0, 0.0, 0.0]})
    observation, reward, terminated, truncated, info = env.step(1)
    # upright and at rest, the sine is 0 and the cosine 1
    pull = 10 / 1.1
    turning = -pull / (0.5 * (4 / 3 - 0.1 / 1.1))
    expected = [0, 0.02 * (pull - 0.05 * turning / 1.1), 0, 0.02 * turning]
    np.testing.assert_allclose(env.state, expected, rtol=1e-14)
    np.testing.assert_array_equal(observation, np.float32(env.state))
    assert (reward, terminated, truncated, info) == (1.0, False, False, {})
    env.step(0)
    np.testing.assert_allclose(env.state[[0, 2]], 0.02 * np.array(expected)[[1, 3]], rtol=1e-14)


def test_a_step_of_the_car_by_hand():
    env = MountainCar()
    env.reset(seed=0, options={"state": [-0.5, 0.01]})
    observation, reward, terminated, truncated, _ = env.step(2)
    speed = 0.01 + 0.001 - 0.0025 * np.cos(-1.5)
    np.testing.assert_allclose(env.state, [-0.5 + speed, speed], rtol=1e-14)
    assert observation.dtype == np.float32
    assert (reward, terminated, truncated) == (-1.0, False, False)


def test_the_car_stops_at_the_wall_and_arrives_on_the_hill():
    env = MountainCar()
    env.reset(options={"state": [-1.19, -0.07]})
    env.step(0)
    np.testing.assert_array_equal(env.state, [-1.2, 0])
    env.reset(options={"state": [0.49, 0.05]})
    assert env.step(2)[1:4] == (-1.0, True, False)
    env = MountainCar(goal_velocity=0.06)
    env.reset(options={"state": [0.49, 0.05]})
    assert env.step(2)[1:4] == (-1.0, False, False)


@pytest.mark.parametrize(
    ("state", "over"),
    [([2.399, 1, 0, 0], True), ([2.399, 0, 0, 0], False), ([0, 0, 0.2094, 1], True), ([0, 0, -0.2094, -1], True)],
)
def test_the_episode_is_over_beyond_the_limits(state, over):
    for plain, earned in ((True, 1.0), (False, -1.0 if over else 0.0)):
        env = CartPole(sutton_barto_reward=not plain)
        env.reset(options={"state": state})
        assert env.step(0)[1:4] == (earned, over, False)


@BOTH
def test_steps_are_those_of_gymnasium(make, rng, seed):
    gymnasium = pytest.importorskip("gymnasium")
    name, n_actions = {CartPole: ("CartPole-v1", 2), MountainCar: ("MountainCar-v0", 3)}[make]
    ours, theirs = make(), gymnasium.make(name)
    assert ours.max_episode_steps == theirs.spec.max_episode_steps
    assert ours.action_space.n == theirs.action_space.n == n_actions
    np.testing.assert_array_equal(ours.observation_space.low, theirs.observation_space.low)
    np.testing.assert_array_equal(ours.observation_space.high, theirs.observation_space.high)
    ours.reset(seed=seed)
    theirs.reset(seed=0)
    for _ in range(1500):
        action = int(rng.integers(n_actions))
        theirs.unwrapped.state = ours.state
        answer, expected = ours.step(action), theirs.step(action)
        np.testing.assert_allclose(ours.state, theirs.unwrapped.state, rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(answer[0], expected[0], rtol=3e-7)
        assert answer[0].dtype == expected[0].dtype
        assert answer[1:4] == expected[1:4]
        if answer[2] or answer[3]:
            ours.reset()
            theirs.reset()


@pytest.mark.parametrize("changed", [{"gravity": 12.0}, {"cart_mass": 2.0}, {"pole_mass": 0.3}, {"pole_length": 0.9}])
def test_other_carts_are_those_of_gymnasium(changed, rng, seed):
    gymnasium = pytest.importorskip("gymnasium")
    theirs, ours = (
        gymnasium.make("CartPole-v1", sutton_barto_reward=True).unwrapped,
        CartPole(sutton_barto_reward=True, **changed),
    )
    names = {"gravity": "gravity", "cart_mass": "masscart", "pole_mass": "masspole", "pole_length": "length"}
    for name, value in changed.items():
        setattr(theirs, names[name], value)
    theirs.total_mass, theirs.polemass_length = theirs.masspole + theirs.masscart, theirs.masspole * theirs.length
    theirs.reset(seed=0)
    ours.reset(seed=seed)
    for _ in range(200):
        theirs.state, theirs.steps_beyond_terminated = ours.state, None
        action = int(rng.integers(2))
        answer, expected = ours.step(action), theirs.step(action)
        np.testing.assert_allclose(ours.state, theirs.state, rtol=1e-12, atol=1e-15)
        assert answer[1:4] == expected[1:4]
        if answer[2] or answer[3]:
            ours.reset()


def test_episodes_begin_where_they_should(seed):
    cart, car = CartPole(), MountainCar()
    starts = np.array([cart.reset(seed=seed)[0]] + [cart.reset()[0] for _ in range(999)])
    assert np.all(np.abs(starts) < 0.05)
    # means of 1000 uniform numbers of deviation 0.05 / sqrt(3): seven deviations of the mean
    assert np.all(np.abs(starts.mean(axis=0)) < 7 * 0.05 / np.sqrt(3 * 1000))
    starts = np.array([car.reset(seed=seed)[0]] + [car.reset()[0] for _ in range(999)])
    assert np.all((starts[:, 0] >= -0.6) & (starts[:, 0] < -0.4) & (starts[:, 1] == 0))
    assert abs(starts[:, 0].mean() + 0.5) < 7 * 0.1 / np.sqrt(3 * 1000)


@BOTH
def test_a_seed_fixes_all_episodes(make, seed):
    first, second, other = make(), make(), make()
    for env, number in ((first, seed), (second, seed), (other, seed + 1)):
        env.seen = [env.reset(seed=number)[0], env.reset()[0], env.reset(seed=number)[0]]
    np.testing.assert_array_equal(first.seen, second.seen)
    np.testing.assert_array_equal(first.seen[0], first.seen[2])
    assert not np.array_equal(first.seen[0], first.seen[1])
    assert not np.array_equal(first.seen[0], other.seen[0])


@BOTH
def test_without_a_seed_runs_differ(make):
    starts = {tuple(make().reset()[0].tolist()) for _ in range(4)}
    assert len(starts) == 4


@BOTH
def test_an_episode_is_cut_off(make):
    env = make(max_episode_steps=3)
    env.reset(seed=0)
    assert [env.step(1)[2:4] for _ in range(3)] == [(False, False), (False, False), (False, True)]
    with pytest.raises(RuntimeError, match="reset"):
        env.step(1)
    env = make(max_episode_steps=None)
    env.reset(seed=0)
    assert not any(env.step(1)[3] for _ in range(3))


@BOTH
def test_misuse_is_refused(make):
    env = make()
    with pytest.raises(RuntimeError, match=r"reset\(\) first"):
        env.step(0)
    with pytest.raises(RuntimeError, match=r"reset\(\) first"):
        env.render()
    for bad in (-1, 1.5, "left", 2**70):
        with pytest.raises(ValueError, match="seed"):
            env.reset(seed=bad)
    env.reset(seed=0)
    for bad in (-1, 3, 0.0, "left", None, [0]):
        with pytest.raises(ValueError, match="is no action of"):
            env.step(bad)
    for bad in ([0.0], [np.nan] * 4, "here"):
        with pytest.raises(ValueError, match="is no state of"):
            env.reset(options={"state": bad})
    for bad in (0, -1, 2.5, True, "many"):
        with pytest.raises(ValueError, match="max_episode_steps"):
            make(max_episode_steps=bad)
    with pytest.raises(ValueError, match="render_mode"):
        make(render_mode="human")
    with pytest.raises(ValueError, match="finite"):
        make(gravity=np.inf)


def test_masses_are_positive():
    for name in ("cart_mass", "pole_mass", "pole_length"):
        with pytest.raises(ValueError, match=name):
            CartPole(**{name: 0.0})


@BOTH
def test_copies_go_on_alike(make, seed):
    env = make()
    env.reset(seed=seed)
    env.step(1)
    for other in (copy.deepcopy(env), pickle.loads(pickle.dumps(env))):
        here = copy.deepcopy(env)
        for _ in range(5):
            np.testing.assert_array_equal(here.step(0)[0], other.step(0)[0])
        np.testing.assert_array_equal(here.reset()[0], other.reset()[0])


@BOTH
def test_the_world_is_drawn(make):
    env = make()
    env.reset(seed=0)
    first = env.render()
    assert first.dtype == np.uint8 and first.shape == (100, 150, 3)
    env.reset(options={"state": [0.3, 0.0] + [0.1, 0.0] * (make is CartPole)})
    assert not np.array_equal(first, env.render())
    text = make(render_mode="ansi")
    text.reset(seed=0)
    assert "place" in text.render()


def test_repr_says_what_is_not_default():
    assert repr(CartPole()) == "CartPole()"
    assert repr(CartPole(gravity=5.0, max_episode_steps=None)) == "CartPole(gravity=5.0, max_episode_steps=None)"
