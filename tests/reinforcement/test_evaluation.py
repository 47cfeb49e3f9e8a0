"""Episodes under a policy: known returns, the same ones however many play at a time, intervals, tables, pictures."""

import warnings

import numpy as np
import pytest
from _contract import odd_worlds as worlds
from sklearn.dummy import DummyClassifier

from skml.reinforcement import (
    Box,
    CartPole,
    CliffWalking,
    EnvironmentFailed,
    FiniteMDP,
    FrozenLake,
    MountainCar,
    Taxi,
    evaluate,
    record,
    rollout,
)
from skml.reinforcement import evaluation as core

SAFE = {36: 0, 24: 0, 12: 0, 11: 2, 23: 2, 35: 2}  # along the cliff, two rows above it: elsewhere to the right


def right(observations):
    return np.ones(len(observations), int)


def upright(observations):
    return (observations[:, 2] + observations[:, 3] > 0).astype(int)


def safe(observations):
    return np.array([SAFE.get(int(s), 1) for s in observations[:, 0]])


def chance(observations, allowed, draws):
    """Draws an action: half of the time either."""
    return (draws.random(len(observations)) < 0.5).astype(int)


# --------------------------------------------------------------------------------------- answers of policies


def answering(answer):
    """Return a policy that gives an answer whatever it observes."""
    return lambda observations: answer


@pytest.mark.parametrize(
    ("env", "policy", "words"),
    [
        (CartPole(), answering(1), r"4 observations with an array of shape \(\), 1; return .* of shape \(4,\)"),
        (CartPole(), answering(None), r"an array of shape \(\), None"),
        (FrozenLake(), answering([[0]] * 4), r"shape \(4, 1\), \[\[0\].*return an action for each, .*\(4,\)"),
        (FrozenLake(), answering([0, 1, 2]), r"shape \(3,\)"),
        (FrozenLake(), answering([[0], [1, 2]]), r"is no array: \[\[0\], \[1, 2\]\]; return actions of shape \(4,\)"),
        (FrozenLake(), answering([0.5] * 4), r"\[0.5, .* of dtype float64; actions are whole numbers; return integers"),
        (FrozenLake(), answering(["left"] * 4), "'left'.* of dtype <U4; actions are whole numbers"),
        (FrozenLake(), answering([0, 1, 7, 2]), r"action for row 2 is 7, which is not in Discrete\(4\)"),
        (worlds.Corridor(), answering([0, 1, -1, 2]), r"action for row 2 is -1, which is not in Discrete\(2\)"),
    ],
)
def test_answers_that_are_no_actions_are_shown(env, policy, words):
    with pytest.raises(ValueError, match=words):
        evaluate(env, policy, 4)


def test_answers_to_boxes_are_rows_of_numbers():
    class Pushed(worlds.Corridor):
        def __init__(self):
            super().__init__()
            self.action_space = Box(-1.0, 1.0, (2,))

        def step(self, action):
            return super().step(action[0] > 0)

    assert evaluate(Pushed(), answering([[5.0, 0.0]]), 1).mean == 1
    for answer, words in (
        ([0.5], r"shape \(1,\).* of shape \(1, 2\)"),
        ([[np.nan, 0.0]], r"\[nan  0\.\], .* not in Box"),
    ):
        with pytest.raises(ValueError, match=words):
            evaluate(Pushed(), answering(answer), 1)
    with pytest.raises(ValueError, match=r"The policy answered 1 observations .* shape \(\)"):
        record(FrozenLake(), answering(2))


# ----------------------------------------------------------------------------------------------- returns


def test_known_returns():
    found = evaluate(CliffWalking(), safe, 3)
    np.testing.assert_array_equal(found.returns, [-17] * 3)  # two rows of detour more than the 13 of the edge
    np.testing.assert_array_equal(found.lengths, [17] * 3)
    assert found.mean == -17 and found.standard_error == 0 and found.interval == (-17, -17)
    assert not found.truncated.any() and found.method == "normal" and found.coverage == 0.95
    found = evaluate(MountainCar(), right, 4)
    np.testing.assert_array_equal(found.returns, [-200] * 4)  # it never gets up by rolling
    assert found.truncated.all()
    found = evaluate(worlds.Corridor(), right, 5)
    np.testing.assert_array_equal(found.returns, [1] * 5)
    np.testing.assert_array_equal(found.lengths, [4] * 5)


def test_a_process_is_played():
    mdp = FiniteMDP([[[0, 1], [0, 1]]], rewards=[2.5, 0.0], start=0, terminal=[1])
    assert evaluate(mdp, lambda s: np.zeros(len(s), int), 3).returns.tolist() == [2.5] * 3


def test_the_mean_is_that_of_the_lake(seed):
    """To the right twice, each time with a third of the chance: else one is in a hole."""
    lake = FrozenLake(desc=["HHH", "SFG", "HHH"])
    found = evaluate(lake, lambda s: np.full(len(s), 2), 4000, random_state=seed)
    assert abs(found.mean - 1 / 9) < 7 * np.sqrt(8 / 81 / 4000)
    np.testing.assert_allclose(found.standard_error, found.returns.std(ddof=1) / np.sqrt(4000))


@pytest.mark.parametrize(
    "make",
    [
        CartPole,
        FrozenLake,
        lambda: worlds.Corridor(9, random_start=True),
        lambda: worlds.Corridor(9, width=2, random_start=True),
    ],
)
@pytest.mark.parametrize("policy", ["fixed", "drawn"])
def test_returns_do_not_depend_on_how_many_play_at_a_time(make, policy, seed, monkeypatch):
    act = chance if policy == "drawn" else core._actor(right)
    found = {}
    for n in (1, 3, 7, 50):
        monkeypatch.setattr(core, "SIDE_BY_SIDE", n)
        monkeypatch.setattr(core, "IN_PYTHON", n)
        found[n] = core.evaluate_policy([make()], act, 20, 0.95, 60, seed)
    for n in (3, 7, 50):
        np.testing.assert_array_equal(found[n].returns, found[1].returns)
        np.testing.assert_array_equal(found[n].lengths, found[1].lengths)
    others = core.evaluate_policy([make()], act, 20, 0.95, 60, seed + 1)
    if policy == "drawn":
        assert not np.array_equal(others.lengths, found[1].lengths)


def test_the_first_episodes_are_the_same_when_there_are_more(seed):
    few, many = (evaluate(CartPole(), right, n, random_state=seed) for n in (10, 200))
    np.testing.assert_array_equal(many.returns[:10], few.returns)


def test_several_environments_count_the_same():
    mdps = [FiniteMDP([[[0, 1], [0, 1]]], rewards=[pay, 0.0], start=0, terminal=[1]) for pay in (1.0, 4.0)]
    found = evaluate(mdps, lambda s: np.zeros(len(s), int), 5)
    np.testing.assert_array_equal(found.environment, [0, 0, 0, 1, 1])
    np.testing.assert_array_equal(found.returns, [1, 1, 1, 4, 4])
    assert found.mean == 2.5
    with pytest.raises(ValueError, match="n_episodes=1 is too few"):
        evaluate(mdps, right, 1)
    with pytest.raises(ValueError, match="n_episodes must be a whole number from 1, of an integer type, got 10.0"):
        evaluate(mdps, right, 10.0)
    with pytest.raises(ValueError, match="empty"):
        evaluate([], right)


def test_an_estimator_is_a_policy():
    always = DummyClassifier(strategy="constant", constant=1).fit(np.zeros((2, 4)), [0, 1])
    np.testing.assert_array_equal(evaluate(CartPole(), always, 5).returns, evaluate(CartPole(), right, 5).returns)


def test_masks_reach_the_policy(seed):
    def act(observations, allowed, draws):
        assert allowed.shape == (len(observations), 6) and allowed.any(axis=1).all()
        return np.where(allowed, draws.random(allowed.shape), -1).argmax(axis=1)

    found = core.evaluate_policy([Taxi()], act, 3, 0.95, 50, seed)
    # nothing that is allowed costs 10
    assert np.all(found.returns >= -50)


# ----------------------------------------------------------------------------------------------- intervals


def groups(rng):
    return [rng.normal(size=12), rng.normal(3, 2, size=7)]


def test_the_interval_of_one_environment_is_students(rng):
    from scipy import stats

    group, _ = groups(rng)
    error = core._standard_error([group])
    low, high = core._normal([group], group.mean(), error, 0.9, 0)
    expected = stats.t.interval(0.9, 11, group.mean(), stats.sem(group))
    np.testing.assert_allclose([low, high], expected, rtol=1e-10)


def test_the_interval_of_two_environments_is_welchs(rng):
    """Half of the interval of a difference of means, about the mean of means."""
    from scipy import stats

    first, second = groups(rng)
    error = core._standard_error([first, second])
    low, high = core._normal([first, second], (first.mean() + second.mean()) / 2, error, 0.95, 0)
    difference = stats.ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    np.testing.assert_allclose(high - low, (difference.high - difference.low) / 2, rtol=1e-10)


def test_a_bootstrap_interval_is_near_students_for_many_episodes(seed):
    many = [evaluate(CartPole(), right, 2000, interval=kind, random_state=seed) for kind in ("normal", "bootstrap")]
    assert [found.method for found in many] == ["normal", "bootstrap"]
    widths = [np.diff(found.interval)[0] for found in many]
    # the ends of a percentile interval of 2000 resamples have a relative error of about 3 percent
    np.testing.assert_allclose(widths[0], widths[1], rtol=0.25)
    assert many[1].interval[0] < many[1].mean < many[1].interval[1]


def test_one_episode_has_no_standard_error():
    found = evaluate(CartPole(), right, 1)
    assert np.isnan(found.standard_error) and np.isnan(found.interval).all()


@pytest.mark.parametrize(
    "given",
    [
        {"coverage": 0.0},
        {"coverage": 1.0},
        {"interval": "wild"},
        {"n_episodes": 0},
        {"n_episodes": 2.5},
        {"max_episode_steps": 0},
        {"random_state": -1},
    ],
)
def test_numbers_out_of_range_are_refused(given):
    with pytest.raises(ValueError, match=next(iter(given)).replace("random_state", "seed")):
        evaluate(CartPole(), right, **given)


def test_what_is_no_policy_is_refused():
    with pytest.raises(ValueError, match="policy must"):
        evaluate(CartPole(), 3)
    with pytest.raises(ValueError):
        evaluate(CartPole(), lambda observations: np.full(len(observations), 5), 2)


# --------------------------------------------------------------------------------------------- the ends


def test_episodes_that_never_end_are_cut_off(monkeypatch):
    monkeypatch.setattr(core, "ENDLESS", 30)
    with pytest.warns(UserWarning, match="2 of 2 episodes were cut off after 30 steps"):
        found = evaluate(worlds.Endless(), right, 2)
    assert found.lengths.tolist() == [30, 30] and found.truncated.all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = evaluate(worlds.Endless(), right, 2, max_episode_steps=30)
        assert found.lengths.tolist() == [30, 30]
        assert evaluate(MountainCar(max_episode_steps=30), right, 1).lengths.tolist() == [30]


def test_the_smaller_limit_holds():
    assert evaluate(MountainCar(), right, 2, max_episode_steps=5).lengths.tolist() == [5, 5]
    assert evaluate(MountainCar(max_episode_steps=4), right, 2, max_episode_steps=5).lengths.tolist() == [4, 4]


def test_an_environment_that_fails_says_so():
    for play in (evaluate, rollout):
        with pytest.raises(EnvironmentFailed, match="melted"):
            play(worlds.Failing(when=2), right, 1)


# ---------------------------------------------------------------------------------------- tables and frames


def test_a_table_of_steps():
    table = rollout(worlds.Corridor(n=4), right, 2)
    assert list(table) == ["episode", "step", "observation", "action", "reward", "terminated", "truncated"]
    np.testing.assert_array_equal(table["episode"], [0, 0, 0, 1, 1, 1])
    np.testing.assert_array_equal(table["step"], [0, 1, 2] * 2)
    np.testing.assert_array_equal(table["observation"], [0, 1, 2] * 2)
    np.testing.assert_array_equal(table["action"], [1] * 6)
    np.testing.assert_array_equal(table["reward"], [0, 0, 1] * 2)
    np.testing.assert_array_equal(table["terminated"], [False, False, True] * 2)
    assert not table["truncated"].any()


def test_a_table_agrees_with_the_evaluation(seed):
    pandas = pytest.importorskip("pandas")
    given = {"n_episodes": 150, "random_state": seed}
    frame = pandas.DataFrame(rollout(CartPole(max_episode_steps=60), upright, **given))
    found = evaluate(CartPole(max_episode_steps=60), upright, **given)
    sums = frame.groupby("episode")["reward"].sum()
    np.testing.assert_array_equal(sums, found.returns)
    np.testing.assert_array_equal(frame.groupby("episode").size(), found.lengths)
    np.testing.assert_array_equal(frame.groupby("episode")["truncated"].any(), found.truncated)
    assert (frame.groupby("episode")["step"].diff().dropna() == 1).all()
    np.testing.assert_array_equal(frame["action"], upright(frame.filter(like="observation").to_numpy()))


def test_a_table_of_several_environments():
    table = rollout([worlds.Corridor(n=3), worlds.Corridor(n=3)], right, 3)
    np.testing.assert_array_equal(table["environment"], [0, 0, 0, 0, 1, 1])
    np.testing.assert_array_equal(table["episode"], [0, 0, 1, 1, 2, 2])


def test_frames_are_those_of_the_first_episode(seed):
    env = CliffWalking()
    frames = record(env, safe, random_state=seed)
    assert len(frames) == 18
    places = [frame.replace("\n", "").index("@") for frame in frames]
    assert places[0] == 36 and places[-1] == 47
    lengths = evaluate(CartPole(), right, 1, random_state=seed).lengths
    pictures = record(CartPole(), right, random_state=seed)
    assert len(pictures) == lengths[0] + 1 and pictures[0].shape == (100, 150, 3)
    assert len(record(CartPole(), right, max_episode_steps=3)) == 4
    assert env._phase == "new"  # a copy was played


def test_a_process_is_recorded_as_text():
    mdp = FiniteMDP([[[0, 1], [0, 1]]], rewards=[2.5, 0.0], start=0, terminal=[1])
    assert record(mdp, lambda s: np.zeros(len(s), int)) == ["state 0\n", "state 1\n"]


def test_what_renders_nothing_is_refused():
    with pytest.raises(ValueError, match="Corridor renders nothing"):
        record(worlds.Corridor(), right)


# --------------------------------------------------------------------------------------- beside Gymnasium


def test_gymnasiums_environments_are_evaluated(seed):
    gymnasium = pytest.importorskip("gymnasium")
    theirs = evaluate(gymnasium.make("CartPole-v1"), right, 60, random_state=seed)
    ours = evaluate(CartPole(), right, 600, random_state=seed)
    # a cart pushed to the right falls after about 9.4 steps, with a deviation of about 0.8
    assert abs(theirs.mean - ours.mean) < 7 * np.hypot(theirs.standard_error, ours.standard_error)
    again = evaluate(gymnasium.make("CartPole-v1"), right, 60, random_state=seed)
    np.testing.assert_array_equal(theirs.returns, again.returns)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        limited = gymnasium.make("MountainCar-v0", max_episode_steps=20)
        assert evaluate(limited, right, 2).lengths.tolist() == [20, 20]


@pytest.mark.parametrize("mode", ["NEXT_STEP", "SAME_STEP", "DISABLED"])
def test_gymnasiums_vectors_are_evaluated(mode, seed):
    gymnasium = pytest.importorskip("gymnasium")
    autoreset = getattr(gymnasium.vector.AutoresetMode, mode)
    make = [lambda: gymnasium.make("CartPole-v1")] * 4
    vector = gymnasium.vector.SyncVectorEnv(make, autoreset_mode=autoreset)
    found = evaluate(vector, right, 10, random_state=seed)
    assert len(found.returns) == 10
    assert np.all((found.lengths >= 8) & (found.lengths <= 12))
    np.testing.assert_array_equal(found.returns, found.lengths)
    with pytest.raises(ValueError, match="can't be recorded"):
        record(vector, right)


def test_gymnasiums_environments_are_recorded():
    gymnasium = pytest.importorskip("gymnasium")
    frames = record(
        gymnasium.make("FrozenLake-v1", render_mode="ansi", is_slippery=False),
        lambda s: np.full(len(s), 2),
        max_episode_steps=3,
    )
    assert len(frames) == 4 and all(isinstance(frame, str) for frame in frames)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match="FrozenLakeEnv renders nothing"):
            record(gymnasium.make("FrozenLake-v1"), right)
