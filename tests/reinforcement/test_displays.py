"""Pictures of policies: what is drawn is what the agent says, cell for cell and point for point."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from _contract.children import run
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KBinsDiscretizer, StandardScaler

from skml import PCA
from skml.reinforcement import (
    Bandit,
    Box,
    CartPole,
    CliffWalking,
    Discrete,
    FiniteMDP,
    FrozenLake,
    GridWorld,
    MountainCar,
    MultiDiscrete,
    PolicyDisplay,
    PolicyIteration,
    QLearning,
    Taxi,
    ValueIteration,
)
from skml.reinforcement.displays import _palette

MAP = ["S..#", "H.#.", "...G"]


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def colors_of(image, classes):
    """Return the action whose colour each pixel has."""
    far = ((image[:, :, None] - _palette(len(classes))) ** 2).sum(axis=3)
    assert far.min(axis=2).max() < 1e-12
    return np.asarray(classes)[far.argmin(axis=2)]


class Rule(BaseEstimator):
    """A policy that isn't learnt: a function of observations."""

    def __init__(self, rule, classes=None):
        self.rule = rule
        if classes is not None:
            self.classes_ = np.array(classes)

    def fit(self, X, y=None):
        return self

    def __sklearn_is_fitted__(self):
        return True

    def predict(self, X):
        return self.rule(np.asarray(X))


# ------------------------------------------------------------------------------------------------- maps


def test_a_map_shows_values_and_arrows():
    env = GridWorld(MAP, step_reward=-0.1, slip=0.3)
    planner = ValueIteration().fit(env)
    display = PolicyDisplay.from_estimator(planner, env)
    values = display.image_.get_array()
    # One can neither stand in walls, nor go on from a hole or the goal; behind the walls nobody ever comes.
    blocked = np.array([[c in "#HG" for c in row] for row in MAP])
    np.testing.assert_array_equal(values.mask, blocked)
    np.testing.assert_allclose(values[~blocked], planner.value_.reshape(3, 4)[~blocked], atol=1e-12)
    cells = np.flatnonzero(~blocked)
    np.testing.assert_array_equal(display.arrows_.XY, np.stack([cells % 4, cells // 4], axis=1))
    ways = np.array([[-1, 0], [0, 1], [1, 0], [0, -1]])[planner.policy_[cells]]  # to the right, down
    drawn = np.stack([display.arrows_.U, display.arrows_.V], axis=1)
    np.testing.assert_allclose(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), ways, atol=1e-12)
    assert sorted(text.get_text() for text in display.ax_.texts) == ["G", "H", "S"]
    assert display.ax_.yaxis_inverted()
    display.figure_.canvas.draw()


def test_arrows_follow_the_order_of_actions_of_the_world():
    env = CliffWalking()
    display = PolicyDisplay.from_estimator(PolicyIteration(discount=1.0).fit(env), env)
    ways = np.stack([display.arrows_.U, display.arrows_.V], axis=1)  # to the right, down
    place = dict(zip(map(tuple, display.arrows_.XY), ways.tolist()))
    assert place[0, 3] == pytest.approx((0, -0.6))  # up from the start, along the edge, and down to the goal
    assert all(place[j, 2] == pytest.approx((0.6, 0)) for j in range(11))
    assert place[11, 2] == pytest.approx((0, 0.6))
    assert len(place) == 37
    assert display.image_.get_array()[3, 0] == pytest.approx(-13)


def test_arrows_are_as_long_as_actions_are_probable(rng):
    env = FrozenLake(max_episode_steps=None)
    shares = rng.dirichlet(np.ones(4), size=16)
    agent = QLearning().fit(np.repeat(np.arange(16.0), 4)[:, None], np.tile(np.arange(4), 16), shares.ravel())
    display = PolicyDisplay.from_estimator(agent, env, greedy=False)
    standing = np.flatnonzero([c not in "HG" for c in "SFFFFHFHFFFHHFFG"])
    assert set(map(tuple, display.arrows_.XY)) == {(s % 4, s // 4) for s in standing}
    lengths = np.hypot(display.arrows_.U, display.arrows_.V)
    expected = shares[standing][agent.predict_proba(standing[:, None].astype(float)) > 0.02]
    np.testing.assert_allclose(lengths, 0.45 * expected, rtol=1e-9)


def test_a_map_without_values_or_with_other_colours():
    env = GridWorld(MAP)
    right = PolicyDisplay.from_estimator(Rule(lambda X: np.full(len(X), 2), [0, 2]), env)
    assert right.image_ is None
    assert set(right.arrows_.U) == {0.6}
    planner = ValueIteration().fit(env)
    assert PolicyDisplay.from_estimator(planner, env, show="action").image_ is None
    assert PolicyDisplay.from_estimator(planner, env, cmap="magma").image_.get_cmap().name == "magma"
    with pytest.raises(ValueError, match="no values to show"):
        PolicyDisplay.from_estimator(Rule(lambda X: np.full(len(X), 2)), env, show="value")


def test_an_agent_of_another_world_may_be_drawn_if_it_knows_the_actions():
    agent = ValueIteration().fit(FrozenLake())
    display = PolicyDisplay.from_estimator(agent, FrozenLake(is_slippery=False, success_rate=1.0))
    np.testing.assert_allclose(display.values, agent.value_, atol=1e-12)
    log = QLearning().fit([[0.0], [1.0]], [0, 7])
    with pytest.raises(ValueError, match="takes 4 actions; 7 is none of them"):
        PolicyDisplay.from_estimator(log, FrozenLake())


def test_the_frozen_lake_of_gymnasium_has_its_map():
    gymnasium = pytest.importorskip("gymnasium")
    theirs = gymnasium.make("FrozenLake-v1")
    planner = ValueIteration().fit(theirs)
    display = PolicyDisplay.from_estimator(planner, theirs)
    ours = PolicyDisplay.from_estimator(planner, FrozenLake())
    np.testing.assert_array_equal(display.image_.get_array(), ours.image_.get_array())
    np.testing.assert_array_equal(display.arrows_.U, ours.arrows_.U)


# ----------------------------------------------------------------------------------------------- planes


def test_two_numbers_are_the_axes():
    pump = Rule(lambda X: np.where(X[:, 1] < 0, 0, 2), [0, 1, 2])
    display = PolicyDisplay.from_estimator(pump, MountainCar(), resolution=20, action_names=["left", "roll", "right"])
    image = display.image_.get_array()
    assert image.shape == (20, 20, 3)
    speeds = np.linspace(-0.07, 0.07, 20)
    expected = np.tile(np.where(speeds < 0, 0, 2)[:, None], (1, 20))
    np.testing.assert_array_equal(colors_of(image, [0, 1, 2]), expected)
    left, right, bottom, top = display.image_.get_extent()
    assert (left, right) == pytest.approx((-1.2 - 0.9 / 19, 0.6 + 0.9 / 19))
    assert (bottom, top) == pytest.approx((-0.07 - 0.07 / 19, 0.07 + 0.07 / 19))
    assert [text.get_text() for text in display.ax_.get_legend().get_texts()] == ["left", "roll", "right"]
    assert display.ax_.get_xlabel() == "observation 0"
    with pytest.raises(ValueError, match="action_names holds 2 names for 3 actions"):
        display.action_names = ["a", "b"]
        display.plot()


def test_probabilities_mix_colours(rng):
    X = rng.normal(size=(200, 2))
    classifier = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, X[:, 0] > 0)
    display = PolicyDisplay.from_estimator(classifier, X, greedy=False, resolution=7)
    points = np.stack(np.meshgrid(*(np.linspace(x.min(), x.max(), 7) for x in X.T)), axis=2)  # rows go up
    expected = classifier.predict_proba(points.reshape(-1, 2)) @ _palette(2)
    np.testing.assert_allclose(display.image_.get_array().reshape(-1, 3), expected, atol=1e-9)


def test_values_of_a_plane():
    env = MountainCar(max_episode_steps=50)
    cells = KBinsDiscretizer(4, encode="ordinal", strategy="uniform")
    agent = QLearning(discretizer=cells, max_steps=400, n_envs=4, random_state=0).fit(env)
    display = PolicyDisplay.from_estimator(agent, env, show="value", resolution=12)
    x, y = np.linspace(-1.2, 0.6, 12), np.linspace(-0.07, 0.07, 12)
    points = np.array([[a, b] for b in y for a in x])
    np.testing.assert_allclose(display.image_.get_array().ravel(), agent.transform(points).max(axis=1), atol=1e-6)


def test_of_more_numbers_some_are_chosen_and_others_held():
    seen = []

    def rule(X):
        seen.append(X)
        return (X[:, 2] + X[:, 3] > 0).astype(int)

    balance = Rule(rule, [0, 1])
    display = PolicyDisplay.from_estimator(balance, CartPole(), features=[2, 3], resolution=9)
    asked = seen[-1]
    assert len(asked) == 81
    assert np.ptp(asked[:, :2], axis=0).tolist() == [0, 0]
    # The angle has bounds; the angular speed goes as far as in episodes.
    high = 24 * 2 * np.pi / 360
    np.testing.assert_allclose([asked[:, 2].min(), asked[:, 2].max()], [-high, high], rtol=1e-6)
    played = np.concatenate(seen[:-1])
    assert played[:, 3].min() <= asked[:, 3].min() < asked[:, 3].max() <= played[:, 3].max()
    np.testing.assert_array_equal(colors_of(display.image_.get_array(), [0, 1]), balance.predict(asked).reshape(9, 9).T)
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("observation 2", "observation 3")
    with pytest.raises(ValueError, match=r"has 4 numbers; choose one or two .* features=\[0, 1\]"):
        PolicyDisplay.from_estimator(balance, CartPole())
    for bad in ([0, 0], [0, 1, 2], [4], []):
        with pytest.raises(ValueError, match="one or two different numbers from 0 to 3"):
            PolicyDisplay.from_estimator(balance, CartPole(), features=bad)


def test_numbers_of_actions_that_are_floats_are_colours(rng):
    X = rng.normal(size=(50, 2))
    force = LinearRegression().fit(X, X @ [1.0, -2.0])
    display = PolicyDisplay.from_estimator(force, X, resolution=5)
    points = np.stack(np.meshgrid(*(np.linspace(x.min(), x.max(), 5) for x in X.T)), axis=2)
    np.testing.assert_allclose(display.image_.get_array(), points @ [1.0, -2.0], atol=1e-9)
    with pytest.raises(TypeError, match="needs predict_proba"):
        PolicyDisplay.from_estimator(force, X, greedy=False)
    several = LinearRegression().fit(X, X)
    with pytest.raises(ValueError, match="An action has 2 numbers"):
        PolicyDisplay.from_estimator(several, X)


# -------------------------------------------------------------------------------------- one number, states


def test_states_that_are_numbers_are_a_table():
    env = Taxi()
    planner = PolicyIteration().fit(env)
    display = PolicyDisplay.from_estimator(planner, env)
    table = display.image_.get_array()
    going_on = np.flatnonzero(~env.mdp.terminal)
    assert table.shape == (going_on[-1] - going_on[0] + 1, 6)
    np.testing.assert_array_equal(table[going_on - going_on[0]].argmax(axis=1), planner.policy_[going_on])
    bottom, top = display.image_.get_extent()[2:]
    assert (top, bottom) == (going_on[0] - 0.5, going_on[-1] + 0.5)
    ended = np.setdiff1d(np.arange(going_on[0], going_on[-1]), going_on) - going_on[0]
    assert np.ma.getmaskarray(table)[ended].all()
    values = PolicyDisplay.from_estimator(planner, env, show="value").lines_[0]
    np.testing.assert_array_equal(values.get_xdata(), going_on)
    np.testing.assert_allclose(values.get_ydata(), planner.value_[going_on], atol=1e-9)


def test_one_state_has_bars():
    env = Bandit([0.1, 0.7, 0.2])
    agent = QLearning().fit([[0.0]] * 4, [0, 1, 1, 2])
    display = PolicyDisplay.from_estimator(agent, env, greedy=False)
    assert [bar.get_height() for bar in display.lines_] == pytest.approx([0.25, 0.5, 0.25])
    best = PolicyDisplay.from_estimator(ValueIteration().fit(env), env)
    assert [bar.get_height() for bar in best.lines_] == [0, 1, 0]


def test_a_process_and_a_log_are_tables_as_well(rng):
    mdp = FiniteMDP([[[0, 1], [0, 1]], [[1, 0], [0, 1]]], [[1.0, 0], [0, 0]], 0.9, terminal=[False] * 2)
    planner = ValueIteration().fit(mdp)
    display = PolicyDisplay.from_estimator(planner, mdp)
    np.testing.assert_array_equal(display.image_.get_array(), planner.predict_proba([0, 1]))
    X, y = rng.integers(3, 7, size=(40, 1)), rng.choice(["left", "right"], 40)
    y[:2] = "left", "right"
    agent = QLearning().fit(X, y)
    table = PolicyDisplay.from_estimator(agent, X, greedy=False)
    shown, rows = np.unique(X), table.image_.get_array()
    np.testing.assert_allclose(rows[shown - shown[0]], agent.predict_proba(shown[:, None]), atol=1e-9)
    assert [label.get_text() for label in table.ax_.get_xticklabels()] == ["left", "right"]


def test_one_number_that_is_no_state_is_an_axis(rng):
    X = rng.normal(size=(60, 1))
    classifier = LogisticRegression().fit(X, X[:, 0] > 0)
    display = PolicyDisplay.from_estimator(classifier, X, greedy=False, resolution=11)
    x = np.linspace(X.min(), X.max(), 11)
    drawn = np.stack([line.get_ydata() for line in display.lines_], axis=1)
    np.testing.assert_allclose(drawn, classifier.predict_proba(x[:, None]), atol=1e-9)
    line = PolicyDisplay.from_estimator(LinearRegression().fit(X, 2 * X[:, 0]), X, resolution=11).lines_[0]
    np.testing.assert_allclose(line.get_ydata(), 2 * x, atol=1e-9)


class Still:
    """An environment in which nothing happens."""

    def __init__(self, observation_space):
        self.observation_space, self.action_space = observation_space, Discrete(2)

    def reset(self, seed=None, options=None):
        return self.observation_space.sample(seed), {}

    def step(self, action):
        return self.observation_space.sample(0), 0.0, True, False, {}


def test_whole_numbers_are_places_of_their_own():
    parity = Rule(lambda X: X.sum(axis=1).astype(int) % 2, [0, 1])
    display = PolicyDisplay.from_estimator(parity, Still(MultiDiscrete([4, 3])))
    expected = (np.arange(4) + np.arange(3)[:, None]) % 2
    np.testing.assert_array_equal(colors_of(display.image_.get_array(), [0, 1]), expected)
    assert display.image_.get_extent() == [-0.5, 3.5, -0.5, 2.5]
    unknown = PolicyDisplay.from_estimator(parity, Still(Discrete(5, start=2)))
    np.testing.assert_array_equal(unknown.image_.get_array().argmax(axis=1), [0, 1, 0, 1, 0])
    assert unknown.image_.get_extent()[2:] == [6.5, 1.5]


# ---------------------------------------------------------------------------------------------- manners


def test_axes_are_the_callers():
    ax = plt.subplots()[1]
    display = PolicyDisplay.from_estimator(ValueIteration().fit(FrozenLake()), FrozenLake(), ax=ax)
    assert display.ax_ is ax
    assert display.figure_ is ax.figure
    other = plt.subplots()[1]
    assert display.plot(other).ax_ is other


def test_what_is_no_policy_says_so(rng):
    env = FrozenLake()
    with pytest.raises(NotFittedError):
        PolicyDisplay.from_estimator(ValueIteration(), env)
    with pytest.raises(TypeError, match="needs predict, which PCA doesn't have"):
        PolicyDisplay.from_estimator(PCA(1).fit(rng.normal(size=(5, 2))), env)
    planner = ValueIteration().fit(env)
    with pytest.raises(ValueError, match="show must be one of"):
        PolicyDisplay.from_estimator(planner, env, show="all")
    for bad in (1, 2.5):
        with pytest.raises(TypeError, match="resolution must be a whole number from 2"):
            PolicyDisplay.from_estimator(planner, env, resolution=bad)
    with pytest.raises(ValueError, match="choose one or two"):
        PolicyDisplay.from_estimator(planner, Still(Box(0, 1, (3,))))


WITHOUT_MATPLOTLIB = """
import sys
sys.modules["matplotlib"] = sys.modules["matplotlib.pyplot"] = None
from skml.reinforcement import FrozenLake, PolicyDisplay, ValueIteration
try:
    PolicyDisplay.from_estimator(ValueIteration().fit(FrozenLake()), FrozenLake())
except ImportError as error:
    print(error)
"""


def test_only_drawing_needs_matplotlib():
    said = run(["-c", WITHOUT_MATPLOTLIB]).strip()
    assert said == "PolicyDisplay needs matplotlib; install it with: pip install 'skml[plot]'"
