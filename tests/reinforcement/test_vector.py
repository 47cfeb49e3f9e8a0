"""Copies in lockstep: of our own environments, of anybody's, and of Gymnasium's vector environments."""

import numpy as np
import pytest
from _contract import odd_worlds as worlds

from skml.reinforcement import (
    Box,
    CartPole,
    Discrete,
    EnvironmentFailed,
    FiniteMDP,
    FrozenLake,
    MountainCar,
    MultiDiscrete,
    Taxi,
    vectorize,
)
from skml.reinforcement.vector_gymnasium import GymnasiumVector


def fall(vector, seed, n_steps, actions=None, first=0):
    """Return what a vector shows under fixed actions: observations, rewards, terminated, truncated, last."""
    seen = [vector.reset(seed, first)]
    answers = []
    for t in range(n_steps):
        answers.append(vector.step(np.full(vector.n_envs, 1) if actions is None else actions[t]))
        seen.append(answers[-1][0])
    return [np.array(seen), *(np.array(column) for column in zip(*(answer[1:] for answer in answers)))]


@pytest.mark.parametrize("envs", [CartPole(), FrozenLake(), [FrozenLake(), FrozenLake()], worlds.Corridor()])
def test_a_step_comes_after_a_reset(envs):
    vector = vectorize(envs, 2)
    with pytest.raises(RuntimeError, match="No episode has begun: call reset"):
        vector.step(np.array([0, 1]))
    vector.reset(0)
    assert len(vector.step(np.array([0, 1]))) == 5


# ------------------------------------------------------------------------------------------------ our own


def test_a_copy_is_the_environment_under_the_same_stream(seed):
    """Copy 0 of a vector under a seed plays the episodes of the environment alone."""
    env, vector = CartPole(max_episode_steps=7), vectorize(CartPole(max_episode_steps=7), 3)
    seen, reward, terminated, truncated, last = fall(vector, seed, 40)
    observation, _ = env.reset(seed=seed)
    for t in range(40):
        np.testing.assert_array_equal(observation, seen[t, 0])
        answer = env.step(1)
        np.testing.assert_array_equal(answer[0], last[t, 0])
        assert answer[1:4] == (reward[t, 0], terminated[t, 0], truncated[t, 0])
        observation = env.reset()[0] if answer[2] or answer[3] else answer[0]
    assert truncated[:, 0].sum() == 5


def test_copies_do_not_depend_on_how_many_there_are(seed, rng):
    actions = rng.integers(0, 2, (60, 5))
    whole = fall(vectorize(CartPole(), 5), seed, 60, actions)
    part = fall(vectorize(CartPole(), 2), seed, 60, actions[:, 3:], first=3)
    for all_of_them, some in zip(whole, part):
        np.testing.assert_array_equal(all_of_them[:, 3:], some)


def test_what_a_step_led_to_and_the_next_beginning(seed):
    seen, _, terminated, truncated, last = fall(vectorize(CartPole(), 4), seed, 60)
    over = terminated | truncated
    assert over.sum() >= 8  # a cart that is only pushed to the right falls within 12 steps or so
    np.testing.assert_array_equal(seen[1:][~over], last[~over])
    assert np.all(np.abs(last[over][:, 2]) > 0.2)
    assert np.all(np.abs(seen[1:][over]) < 0.05)


def test_a_limit_of_our_own_is_on_top(seed):
    for own, asked, expected in ((None, 4, 4), (6, None, 6), (6, 4, 4), (4, 6, 4), (None, None, 0)):
        vector = vectorize(MountainCar(max_episode_steps=own), 2, asked)
        truncated = fall(vector, seed, 12)[3]
        assert truncated[:, 0].sum() == (12 // expected if expected else 0)
        if expected:
            assert truncated[expected - 1, 0]


def test_tasks_with_other_parameters_step_together(seed, rng):
    envs = [CartPole(), CartPole(gravity=20.0), CartPole(force=3.0, max_episode_steps=9)]
    actions = rng.integers(0, 2, (50, 6))
    together = fall(vectorize(envs, 6), seed, 50, actions)
    for i, env in enumerate(envs):
        for copy in (i, i + 3):  # dealt round
            alone = fall(vectorize(env, 1), seed, 50, actions[:, [copy]], first=copy)
            for one, all_of_them in zip(alone, together):
                np.testing.assert_array_equal(one[:, 0], all_of_them[:, copy])


def chain(n, pay, **given):
    step = np.eye(n, k=1)
    step[-1, -1] = 1
    return FiniteMDP([step, np.eye(n) * 0 + np.eye(n)[0]], rewards=np.full((n, 2), pay), start=0, terminal=[n - 1])


def test_processes_are_played_and_several_together(seed):
    first, second = chain(4, 1.0), chain(4, 2.0)
    vector = vectorize([first, second], 5)
    assert vector.observation_space == Discrete(4)
    seen, reward, terminated, truncated, last = fall(vector, seed, 7, np.zeros((7, 5), int))
    np.testing.assert_array_equal(seen, np.tile([[0, 1, 2, 0, 1, 2, 0, 1]], (5, 1)).T)
    np.testing.assert_array_equal(reward, np.tile([1.0, 2.0, 1.0, 2.0, 1.0], (7, 1)))
    np.testing.assert_array_equal(last[:, 0], [1, 2, 3, 1, 2, 3, 1])
    np.testing.assert_array_equal(terminated[:, 0], [0, 0, 1, 0, 0, 1, 0])
    assert not truncated.any() and vector.action_mask is None and vector.live is None


def test_several_processes_draw_as_each_does_alone(seed, rng):
    tables = [FiniteMDP(rng.dirichlet(np.ones(6), (2, 6)), rng.normal(size=6), terminal=[5]) for _ in range(2)]
    together = fall(vectorize(tables, 4, 9), seed, 30, np.zeros((30, 4), int))
    for i in range(4):
        alone = fall(vectorize(tables[i % 2], 1, 9), seed, 30, np.zeros((30, 1), int), first=i)
        for one, all_of_them in zip(alone, together):
            np.testing.assert_array_equal(one[:, 0], all_of_them[:, i])


def test_actions_that_a_process_lacks_are_masked(seed):
    step = np.eye(3, k=1)
    step[2, 2] = 1
    mdp = FiniteMDP(step[[0, 0, 1]], np.ones(3), pairs=[[0, 0], [0, 1], [1, 1]], start=0, terminal=[2])
    vector = vectorize(mdp, 2)
    vector.reset(seed)
    np.testing.assert_array_equal(vector.action_mask, [[True, True]] * 2)
    vector.step([0, 1])
    np.testing.assert_array_equal(vector.action_mask, [[False, True]] * 2)
    with pytest.raises(ValueError):
        vector.step([0, 0])


@pytest.mark.parametrize("bad", [[0.0, 1.0], [0, 2], [0, -1], [0], [[0, 1]], ["left", "right"]])
def test_actions_that_there_are_not_are_refused(bad):
    vector = vectorize(CartPole(), 2)
    vector.reset(0)
    with pytest.raises(ValueError):
        vector.step(bad)


# ---------------------------------------------------------------------------------------------- anybody's


def test_any_environment_with_the_words_goes(seed):
    env = worlds.Corridor()
    vector = vectorize(env, 3)
    seen, reward, terminated, truncated, last = fall(vector, seed, 9)
    np.testing.assert_array_equal(seen[:, 0], [0, 1, 2, 3, 0, 1, 2, 3, 0, 1])
    assert seen.dtype == np.int64 and reward.dtype == np.float64 and terminated.dtype == truncated.dtype == bool
    np.testing.assert_array_equal(last[:, 1], [1, 2, 3, 4, 1, 2, 3, 4, 1])
    np.testing.assert_array_equal(reward[:, 2], terminated[:, 2])
    assert not truncated.any()
    assert env.n_resets == 0  # what the user handed in is left alone


def test_a_subclass_that_steps_otherwise_is_stepped_in_python():
    class Doubled(CartPole):
        def step(self, action):
            observation, reward, *others = super().step(action)
            return observation, 2 * reward, *others

    vector = vectorize(Doubled(), 2)
    vector.reset(0)
    np.testing.assert_array_equal(vector.step([0, 1])[1], [2.0, 2.0])


def test_arrays_are_flat_and_keep_their_type(seed):
    vector = vectorize(worlds.Corridor(width=3), 2, max_episode_steps=2)
    seen, _, terminated, truncated, last = fall(vector, seed, 4)
    assert seen.shape == (5, 2, 3) and seen.dtype == np.float32
    np.testing.assert_array_equal(seen[:, 0, 0], [0, 1, 0, 1, 0])
    np.testing.assert_array_equal(last[:, 0, 0], [1, 2, 1, 2])
    np.testing.assert_array_equal(truncated[:, 0], [False, True, False, True])
    assert not terminated.any()


def test_termination_at_the_limit_is_no_truncation():
    vector = vectorize(worlds.Corridor(n=3), 1, max_episode_steps=2)
    _, _, terminated, truncated, _ = fall(vector, 0, 2)
    assert terminated[:, 0].tolist() == [False, True] and not truncated.any()


def test_a_seed_fixes_python_environments(seed):
    runs = [fall(vectorize(worlds.Corridor(9, random_start=True), 4), s, 20) for s in (seed, seed, seed + 1)]
    for one, other in zip(runs[0], runs[1]):
        np.testing.assert_array_equal(one, other)
    starts = np.concatenate([run[0][0] for run in runs[::2]])
    assert len(set(starts.tolist())) > 1


class Parts:
    """A spaces of parts: observation (number, array), action (number, number from 5)."""

    class Both:
        def __init__(self, *spaces):
            self.spaces = spaces

    def __init__(self):
        self.observation_space = self.Both(Discrete(4), Box(-1, 1, (2, 2)))
        self.action_space = self.Both(Discrete(2), Discrete(3, start=5))
        self.heard = []

    def reset(self, *, seed=None, options=None):
        return (3, np.array([[0, 0.5], [1, -1]], np.float32)), {}

    def step(self, action):
        self.heard.append(action)
        return (0, np.zeros((2, 2), np.float32)), 0.0, False, False, {}


def test_spaces_of_parts_stand_in_one_row():
    vector = vectorize(Parts(), 2)
    assert vector.action_space == MultiDiscrete([2, 3], start=[0, 5])
    np.testing.assert_array_equal(vector.observation_space.high, [3, 1, 1, 1, 1])
    np.testing.assert_array_equal(vector.reset(0), [[3, 0, 0.5, 1, -1]] * 2)
    vector.step([[1, 7], [0, 5]])
    assert [env.heard for env in vector.envs] == [[(1, 7)], [(0, 5)]]
    with pytest.raises(ValueError, match="shape"):
        vector.step([[1, 7]])


class Foreign(Taxi):
    """A taxi that Python steps."""

    def step(self, action):
        return super().step(action)


def test_the_mask_of_what_a_step_led_to_is_kept_where_an_episode_ends(seed):
    env = Taxi(max_episode_steps=3)
    for vector in (vectorize(env, 4), vectorize(Foreign(max_episode_steps=3), 4)):
        vector.reset(seed)
        for _ in range(7):
            *_, truncated, last = vector.step(vector.action_mask.argmax(axis=1))
            np.testing.assert_array_equal(vector.last_mask, env.dynamics.masks[last])
        vector.step(vector.action_mask.argmax(axis=1))
        assert (vector.last_mask == vector.action_mask).all()
    assert vectorize(FrozenLake()).last_mask is None


def test_masks_of_actions_are_handed_on(seed):
    vector = vectorize(worlds.Masked(), 2)
    vector.reset(seed)
    np.testing.assert_array_equal(vector.action_mask, [[False, True]] * 2)
    vector.step([1, 1])
    np.testing.assert_array_equal(vector.action_mask, [[True, True]] * 2)
    vector = vectorize([worlds.Corridor(), worlds.Masked()])
    vector.reset(seed)
    np.testing.assert_array_equal(vector.action_mask, [[True, True], [False, True]])


def test_an_exception_in_the_middle_names_the_environment():
    vector = vectorize(worlds.Failing(when=3), 1)
    vector.reset(0)
    vector.step([1])
    vector.step([1])
    with pytest.raises(EnvironmentFailed, match="Failing.step raised ZeroDivisionError: the pole has melted") as caught:
        vector.step([1])
    assert isinstance(caught.value.original, ZeroDivisionError)


def test_an_environment_without_seeds_is_warned_of():
    with pytest.warns(UserWarning, match="Unseeded.reset takes no seed"):
        vector = vectorize(worlds.Unseeded(), 2)
    np.testing.assert_array_equal(vector.reset(0), [0, 0])


def test_a_wrapper_hands_on_what_it_wraps():
    class Wrapper:
        def __init__(self, env):
            self.env, self.unwrapped = env, env
            self.observation_space, self.action_space = env.observation_space, env.action_space

        def reset(self, **given):
            return self.env.reset(**given)

        def step(self, action):
            return self.env.step(action)

    with pytest.warns(UserWarning, match="takes no seed"):
        vector = vectorize(Wrapper(worlds.Unseeded()), 2)
    np.testing.assert_array_equal(vector.reset(0), [0, 0])
    np.testing.assert_array_equal(vectorize(Wrapper(worlds.Corridor()), 2).reset(0), [0, 0])


def test_numbers_may_come_as_arrays_of_one():
    vector = vectorize(worlds.Answering(lambda o, r, e, c, i: (o, np.array([r]), np.array([e]), np.array(c), i)), 1)
    _, reward, terminated, truncated, _ = fall(vector, 0, 4)
    np.testing.assert_array_equal(reward[:, 0], [0, 0, 0, 1])
    np.testing.assert_array_equal(terminated[:, 0], [False, False, False, True])
    assert not truncated.any()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (lambda o, r, e, c, i: (o, r, e, i), "must return"),
        (lambda o, r, e, c, i: (7, r, e, c, i), "gave the observation 7, outside"),
        (lambda o, r, e, c, i: (-1, r, e, c, i), "gave the observation -1, outside"),
        (lambda o, r, e, c, i: (0.5, r, e, c, i), "gave the observation 0.5, outside"),
        (lambda o, r, e, c, i: (np.array([0, 1]), r, e, c, i), "shape"),
        (lambda o, r, e, c, i: (o, np.nan, e, c, i), "gave the reward nan; rewards must be finite"),
        (lambda o, r, e, c, i: (o, None, e, c, i), "gave the reward None"),
        (lambda o, r, e, c, i: (o, "much", e, c, i), "gave the reward 'much'"),
        (lambda o, r, e, c, i: (o, np.ones(2), e, c, i), "gave the reward array"),
        (lambda o, r, e, c, i: (o, r, e, c, {"action_mask": [True] * 3}), "mask"),
    ],
)
def test_what_a_step_may_not_answer(changed, words):
    vector = vectorize(worlds.Answering(changed), 1)
    vector.reset(0)
    with pytest.raises(ValueError, match=words):
        vector.step([1])
        vector.action_mask  # noqa: B018


def test_observations_are_finite():
    vector = vectorize(worlds.Answering(lambda o, *others: (o * np.nan, *others), width=2), 1)
    vector.reset(0)
    with pytest.raises(ValueError, match="NaN"):
        vector.step([1])


def test_the_old_words_are_refused_with_the_report():
    vector = vectorize(worlds.Answering(None, changed_reset=lambda o, i: o), 1)
    with pytest.raises(ValueError, match=r"Answering: reset\(\) must return"):
        vector.reset(0)


def test_what_cannot_be_copied_goes_once():
    env = worlds.Uncopyable()
    vector = vectorize(env)
    assert vector.envs[0] is env
    assert vectorize([env, worlds.Uncopyable()], 2).n_envs == 2
    with pytest.raises(ValueError, match="can't be copied .*cannot copy a socket"):
        vectorize(env, 2)


def test_lists_of_environments():
    with pytest.raises(ValueError, match="empty"):
        vectorize([])
    with pytest.raises(ValueError, match=r"observations of X.0. are in Box.*of X.1. in Discrete\(5\)"):
        vectorize([CartPole(), worlds.Corridor()])
    with pytest.raises(ValueError, match=r"observations of X.0. are in Discrete\(5\), of X.1. in Discrete\(6\)"):
        vectorize([worlds.Corridor(), worlds.Corridor(6)])
    assert vectorize([worlds.Corridor()] * 3, 2).n_envs == 3
    for bad in (0, -1, 1.5, True, "two"):
        with pytest.raises(ValueError, match="n_envs"):
            vectorize(CartPole(), bad)
    with pytest.raises(ValueError, match="max_episode_steps"):
        vectorize(CartPole(), 1, 0)


@pytest.mark.parametrize("bad", [None, 3, "CartPole-v1", CartPole, object()])
def test_what_is_no_environment_is_refused_in_words(bad):
    with pytest.raises(ValueError, match="is no environment to act in"):
        vectorize(bad)


# --------------------------------------------------------------------------- Gymnasium's vector environments


class Batch:
    """A vector environment in Gymnasium's words: N corridors of four cells whose starts differ, in each mode."""

    def __init__(self, mode, n=3):
        self.num_envs, self.mode = n, mode
        self.single_observation_space, self.single_action_space = Box(0, 4, (1,)), Discrete(2)
        self.metadata = {} if mode is None else {"autoreset_mode": mode}
        self.wrong = None

    def reset(self, *, seed=None, options=None):
        mask = (options or {}).get("reset_mask", np.ones(self.num_envs, bool))
        if mask.all():
            self.cells, self.over = np.arange(self.num_envs) % 3, np.zeros(self.num_envs, bool)
        self.cells[mask], self.over[mask] = 0 if "reset_mask" in (options or {}) else self.cells[mask], False
        return self.seen(), {}

    def seen(self):
        return self.cells[:, None].astype(np.float32)

    def step(self, actions):
        resting = self.over if self.mode in (None, "NextStep") else np.zeros(self.num_envs, bool)
        assert self.mode != "Disabled" or not self.over.any()
        self.cells = np.where(resting, 0, np.maximum(self.cells + np.where(actions, 1, -1), 0))
        self.over = (self.cells == 3) & ~resting
        reward = np.where(resting, 0, 1 + self.over).astype(np.float64)
        terminated, info = self.over.copy(), {}
        if self.mode == "SameStep" and self.over.any():
            final = np.full(self.num_envs, None, object)
            for i in np.flatnonzero(self.over):
                final[i] = self.seen()[i]
            info["final_obs"] = final
            self.cells[self.over] = 0
        return self.seen(), reward, terminated, np.zeros(self.num_envs, bool), info


def test_the_next_step_begins_the_next_episode():
    for mode in ("NextStep", None):
        vector = vectorize(Batch(mode), 7)
        assert isinstance(vector, GymnasiumVector) and vector.n_envs == 3
        np.testing.assert_array_equal(vector.reset(0)[:, 0], [0, 1, 2])
        observation, reward, terminated, _, last = vector.step([1, 1, 1])
        assert vector.live is None
        np.testing.assert_array_equal(observation[:, 0], [1, 2, 3])
        np.testing.assert_array_equal(terminated, [False, False, True])
        observation, reward, terminated, _, last = vector.step([1, 1, 1])
        np.testing.assert_array_equal(vector.live, [True, True, False])
        np.testing.assert_array_equal(observation[:, 0], [2, 3, 0])
        np.testing.assert_array_equal(reward, [1, 2, 0])
        np.testing.assert_array_equal(terminated, [False, True, False])


def test_the_same_step_begins_the_next_episode():
    vector = vectorize(Batch("SameStep"))
    vector.reset(0)
    observation, reward, terminated, truncated, last = vector.step([1, 1, 1])
    np.testing.assert_array_equal(observation[:, 0], [1, 2, 0])
    np.testing.assert_array_equal(last[:, 0], [1, 2, 3])
    np.testing.assert_array_equal(terminated, [False, False, True])
    assert vector.live is None and not truncated.any()


def test_what_is_not_reset_is_reset():
    vector = vectorize(Batch("Disabled"))
    vector.reset(0)
    observation, _, terminated, _, last = vector.step([1, 1, 1])
    np.testing.assert_array_equal(observation[:, 0], [1, 2, 0])
    np.testing.assert_array_equal(last[:, 0], [1, 2, 3])
    vector.step([1, 1, 1])


def test_vector_environments_are_given_alone_and_keep_their_limit():
    with pytest.raises(ValueError, match="alone"):
        vectorize([Batch("NextStep"), Batch("NextStep")])
    assert vectorize([Batch("NextStep")]).n_envs == 3
    with pytest.raises(ValueError, match="max_episode_steps can't be set here"):
        vectorize(Batch("NextStep"), max_episode_steps=5)
    with pytest.raises(ValueError, match="autoreset mode 'Sometimes'"):
        vectorize(Batch("Sometimes"))


# ---------------------------------------------------------------------------------------- beside Gymnasium


@pytest.mark.parametrize(
    "name", ["CartPole-v1", "FrozenLake-v1", "Taxi-v3", "MountainCarContinuous-v0", "Blackjack-v1"]
)
def test_environments_of_gymnasium_go(name, seed):
    gymnasium = pytest.importorskip("gymnasium")
    if name == "Taxi-v3":
        name = next(spec for spec in sorted(gymnasium.registry, reverse=True) if spec.startswith("Taxi-v"))
    env = gymnasium.make(name)
    vector = vectorize(env, 2)
    first = vector.reset(seed)
    assert first.shape == (2, *vector.observation_space.shape)
    generator = np.random.default_rng(seed)
    for _ in range(30):
        allowed = vector.action_mask
        assert (allowed is None) == (not name.startswith("Taxi"))
        actions = np.array([vector.action_space.sample(generator) for _ in range(2)])
        if allowed is not None:
            actions = allowed.argmax(axis=1)
        observation, reward, terminated, truncated, last = vector.step(actions)
        assert observation.dtype == vector.observation_space.dtype
    np.testing.assert_array_equal(vectorize(env, 2).reset(seed), first)


@pytest.mark.parametrize("mode", ["NEXT_STEP", "SAME_STEP", "DISABLED"])
def test_the_modes_of_gymnasium_show_the_same_episodes(mode, seed):
    """Every mode, with the rows that are no steps left out, is what copies show one after another."""
    gymnasium = pytest.importorskip("gymnasium")
    autoreset = getattr(gymnasium.vector.AutoresetMode, mode)
    make = [lambda: gymnasium.wrappers.TimeLimit(gymnasium.make("CartPole-v1").unwrapped, 12)] * 3
    vector = vectorize(gymnasium.vector.SyncVectorEnv(make, autoreset_mode=autoreset))
    observation = vector.reset(seed)
    lengths, steps = [], np.zeros(3, int)
    for _ in range(60):
        acted, (observation, reward, terminated, truncated, last) = observation, vector.step([1, 1, 1])
        live = np.ones(3, bool) if vector.live is None else vector.live
        steps += live
        over = terminated | truncated
        assert not (over & ~live).any()
        np.testing.assert_array_equal(reward, live.astype(float))
        # twenty milliseconds of its speed: what the step led to follows from what was acted on
        np.testing.assert_allclose(last[live, 0], acted[live, 0] + 0.02 * acted[live, 1], atol=1e-6)
        assert np.all(np.abs(last[terminated, 2]) > 0.2) and np.all(steps[truncated] == 12)
        if mode != "NEXT_STEP":
            assert np.all(np.abs(observation[over]) < 0.05)
        lengths += steps[over].tolist()
        steps[over] = 0
    assert len(lengths) >= 9 and min(lengths) >= 8 and max(lengths) <= 12


def test_the_vector_of_gymnasium_itself(seed):
    gymnasium = pytest.importorskip("gymnasium")
    vector = vectorize(gymnasium.make_vec("CartPole-v1", num_envs=4, vectorization_mode="vector_entry_point"), 8)
    vector.reset(seed)
    lives = []
    for _ in range(40):
        vector.step(np.ones(4, int))
        lives.append(np.ones(4, bool) if vector.live is None else vector.live)
    assert vector.n_envs == 4
    assert 4 <= (~np.array(lives)).sum() < 20


@pytest.mark.parametrize("mode", ["NEXT_STEP", "SAME_STEP", "DISABLED"])
def test_spaces_of_parts_in_vectors_of_gymnasium(mode, seed):
    """Blackjack observes (sum, dealer's card, ace): after the end the last sum is handed over, in every mode."""
    gymnasium = pytest.importorskip("gymnasium")
    autoreset = getattr(gymnasium.vector.AutoresetMode, mode)
    vector = vectorize(
        gymnasium.vector.SyncVectorEnv([lambda: gymnasium.make("Blackjack-v1")] * 4, autoreset_mode=autoreset)
    )
    assert vector.observation_space == MultiDiscrete([32, 11, 2])
    observation = vector.reset(seed)
    n_bust = 0
    for _ in range(25):
        before, (observation, reward, terminated, _, last) = observation, vector.step(np.ones(4, int))
        live = np.ones(4, bool) if vector.live is None else vector.live
        bust = terminated & live
        assert np.all(last[bust, 0] > 21) and np.all(reward[bust] == -1)
        np.testing.assert_array_equal(last[live, 1], before[live, 1])  # the dealer's card stays
        assert np.all(last[live & ~bust, 0] <= 21)
        n_bust += bust.sum()
    assert n_bust >= 4  # even a run of aces is over after 21 cards
