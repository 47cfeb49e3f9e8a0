"""Q-learning and SARSA: what they reach in small worlds, where they learn, what they refuse."""

import functools
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import FunctionTransformer, KBinsDiscretizer, OneHotEncoder, PolynomialFeatures

from skml import SARSA, QLearning
from skml.base import FitInterruptedWarning
from skml.callback import EarlyStopping
from skml.reinforcement import (
    Box,
    CliffWalking,
    Discrete,
    EnvironmentFailed,
    FiniteMDP,
    FrozenLake,
    GridWorld,
    MountainCar,
    MultiDiscrete,
    Taxi,
    TileCoding,
    ValueIteration,
)
from skml.reinforcement.td import MAXIMUM
from skml.reinforcement.td_training import rule_of

each_agent = pytest.mark.parametrize("cls", [QLearning, SARSA])


def corridor(n=5, discount=0.99):
    """Return a process of n states in a row: to the left, or to the right, where each step costs 1."""
    left, right = np.eye(n, k=-1), np.eye(n, k=1)
    left[0, 0], left[-1], right[-1] = 1, np.eye(n)[-1], np.eye(n)[-1]
    return FiniteMDP([left, right], rewards=[-1.0] * (n - 1) + [0.0], discount=discount, start=0)


def mean_return(env, policy, horizon):
    """Return the exact mean return of `horizon` steps of a policy in a finite environment."""
    mdp = env.mdp
    chosen = np.flatnonzero(mdp.pair_actions == policy[mdp.pair_states])
    chain, value = mdp.continuation()[chosen], np.zeros(mdp.n_states + 1)
    for _ in range(horizon):
        value[mdp.pair_states[chosen]] = mdp.rewards[chosen] + chain @ value
    return float(mdp.start @ value[:-1])


class Python:
    """An environment of somebody else: a corridor, whose `fail_at`-th step in all raises."""

    observation_space, action_space = Discrete(5), Discrete(2)

    def __init__(self, fail_at=None):
        self.fail_at, self.n = fail_at, 0

    def reset(self, *, seed=None, options=None):
        self.place = 0
        return 0, {}

    def step(self, action):
        self.n += 1
        if self.n == self.fail_at:
            raise ZeroDivisionError("the motor is hot")
        self.place = max(0, self.place + (1 if action else -1))
        return self.place, -1.0, self.place == 4, False, {}


# ------------------------------------------------------------------------------------- what they reach, by the book


@pytest.mark.parametrize(("env", "best"), [(CliffWalking(), -13.0), (Taxi(), 7.93)], ids=["cliff", "taxi"])
def test_q_learning_reaches_the_best_return(env, best, seed):
    agent = QLearning(random_state=seed).fit(env)
    assert mean_return(env, agent.policy_, 200) >= best - 0.01 * abs(best)


def test_q_learning_crosses_the_slippery_lake(seed):
    env = FrozenLake()
    agent = QLearning(random_state=seed, max_steps=1_500_000).fit(env)
    assert mean_return(env, agent.policy_, 100) >= 0.73
    assert agent.action_values_[0].max() == pytest.approx(0.542026, abs=0.05)


def test_the_default_is_long_enough_for_the_lake(seed):
    # of 600 seeds three end below .73, so three of five hardly ever do
    env = FrozenLake()
    reached = [mean_return(env, QLearning(random_state=5 * seed + k).fit(env).policy_, 100) for k in range(5)]
    assert np.median(reached) >= 0.73


def path(env, agent):
    """Return the states that the greedy policy goes through."""
    states, (state, _), over = [], env.reset(seed=0), False
    while not over:
        states.append(state)
        state, _, terminated, truncated, _ = env.step(int(agent.predict([state])[0]))
        over = terminated or truncated
    return states


def test_sarsa_takes_the_safe_path_and_q_learning_the_edge(seed):
    # Sutton & Barto, figure 6.4: epsilon 0.1, no discount; the rate falls here so that no last step decides
    settings = {"discount": 1.0, "epsilon": 0.1, "learning_rate": (0.5, 0.01), "max_steps": 400_000}
    env = CliffWalking(max_episode_steps=500)
    bold = QLearning(random_state=seed, **settings).fit(env)
    safe = SARSA(random_state=seed, **settings).fit(env)
    edge = set(range(25, 35))  # just above the cliff
    assert len(path(env, bold)) == 13
    assert edge < set(path(env, bold))
    assert len(edge & set(path(env, safe))) <= 2
    assert 15 <= len(path(env, safe)) <= 19
    # while it learns, the one on the edge falls more often
    assert np.mean(safe.history_["return"][-2000:]) > np.mean(bold.history_["return"][-2000:])


@pytest.mark.parametrize(
    ("cls", "params"),
    [
        (QLearning, {}),
        (QLearning, {"double": True}),
        (QLearning, {"n_envs": 4}),
        (QLearning, {"trace_decay": 0.5, "learning_rate": 0.2}),
        (QLearning, {"exploration": "ucb"}),
        (QLearning, {"exploration": "softmax"}),
        (QLearning, {"exploration": "optimistic"}),
        (QLearning, {"learning_rate": lambda step, total: 0.5}),
        (SARSA, {}),
        (SARSA, {"expected": True}),
        (SARSA, {"n_steps": 3, "learning_rate": (0.2, 0.01)}),
        (SARSA, {"trace_decay": 0.8, "learning_rate": (0.2, 0.01)}),
        (SARSA, {"trace_decay": 0.8, "replacing_traces": False, "learning_rate": (0.1, 0.01)}),
        (SARSA, {"learning_rate": "1/n", "discount": 0.5}),
    ],
)
def test_every_way_finds_the_end_of_a_corridor(cls, params, seed):
    agent = cls(random_state=seed, max_steps=20_000, max_episode_steps=100, **params).fit(corridor())
    assert agent.predict([0, 1, 2, 3]).tolist() == [1, 1, 1, 1]
    assert agent.score(corridor(), n_episodes=3) == -4
    assert agent.visit_counts_.sum() == agent.n_steps_ >= 20_000


def test_exact_values_of_a_deterministic_world(seed):
    agent = QLearning(random_state=seed, max_steps=50_000, max_episode_steps=50).fit(corridor())
    plan = ValueIteration(tol=1e-10).fit(corridor())
    np.testing.assert_allclose(agent.action_values_[:4], plan.action_values_[:4], atol=1e-6)


def test_the_first_two_steps_by_hand(seed):
    # left and right do the same here: 0 -> 1 -> 2, for 3 and for 5
    step = np.array([[0, 1.0, 0], [0, 0, 1.0], [0, 0, 1.0]])
    mdp = FiniteMDP([step, step], [3.0, 5.0, 0.0], start=0)
    agent = SARSA(learning_rate=0.5, discount=0.5, max_episodes=2, random_state=seed).fit(mdp)
    assert agent.history_["return"] == [8.0, 8.0]
    assert agent.history_["length"] == [2.0, 2.0]
    first, second = agent.action_values_[:2]
    assert set(first) <= {0.0, 1.5, 1.5 + 0.5 * 1.5, 1.5 + 0.5 * (0.5 * 2.5 + 1.5), 0.5 * (3 + 0.5 * 2.5)}
    assert set(second) <= {0.0, 2.5, 3.75}


def test_truncated_bootstraps_and_terminated_does_not(seed):
    loop = np.ones((1, 1, 1))
    endless = FiniteMDP(loop, [[1.0]], 0.5, terminal=[])
    agent = QLearning(discount=0.5, max_episode_steps=1, max_steps=300, learning_rate=0.5, random_state=seed)
    assert agent.fit(endless).action_values_[0, 0] == pytest.approx(2.0)  # 1 / (1 - 0.5), though cut off at once
    step = np.array([[[0, 1.0], [0, 1.0]]])
    assert agent.fit(FiniteMDP(step, [1.0, 0.0], start=0)).action_values_[0, 0] == pytest.approx(1.0)


def test_double_learning_takes_the_maximum_off_noise(seed):
    # Sutton & Barto, example 6.7: to the right for 0, or to the left, where ten actions pay -0.1 with noise
    rng = np.random.default_rng(seed)
    n, noise = 40, rng.choice([-1.0, 1.0], 40)
    pairs = [(0, 0), (0, 1), *((1, a) for a in range(10))]
    T = np.zeros((12, n + 3))
    T[0, 2] = T[1, 1] = 1
    T[2:, 3:] = 1 / n
    R = np.zeros((12, n + 3))
    R[2:, 3:] = -0.1 + noise - noise.mean()
    mdp = FiniteMDP(T, R, 1.0, start=0, terminal=list(range(2, n + 3)), pairs=np.array(pairs))
    values = {
        double: np.mean(
            [
                QLearning(
                    double=double, discount=1.0, learning_rate=0.1, epsilon=1.0, max_episodes=3000, random_state=k
                )
                .fit(mdp)
                .action_values_[0, 1]
                for k in range(seed, seed + 20)
            ]
        )
        for double in (False, True)
    }
    assert values[False] > 0.05  # although nothing there pays more than -0.1 in the mean
    assert values[True] < values[False] - 0.1


# ------------------------------------------------------------------------------------------------ where they learn


@each_agent
def test_environments_of_others_are_learnt_from(cls, seed):
    agent = cls(random_state=seed, max_steps=2000, max_episode_steps=40).fit(Python())
    assert agent.predict([0, 1, 2, 3]).tolist() == [1, 1, 1, 1]
    ours = cls(random_state=seed, max_steps=2000, max_episode_steps=40).fit(corridor())
    np.testing.assert_allclose(agent.action_values_, ours.action_values_, rtol=1e-12)  # the same draws, the same world
    assert agent.history_ == ours.history_


@each_agent
def test_several_worlds_are_learnt_at_once(cls, seed):
    goals = [GridWorld(["S..G"]), GridWorld(["S..G"])]
    agent = cls(random_state=seed, max_steps=3000, max_episode_steps=50).fit(goals)
    assert agent.score(goals, n_episodes=4) == pytest.approx(agent.score(goals[0], n_episodes=2))
    search = GridSearchCV(cls(max_steps=2000, max_episode_steps=50, random_state=0), {"epsilon": [0.1, 0.5]}, cv=3)
    search.fit([GridWorld(["S..G"]) for _ in range(6)])
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_gymnasium_is_played_as_our_own(seed):
    gymnasium = pytest.importorskip("gymnasium")
    agent = QLearning(random_state=seed, max_steps=4000).fit(gymnasium.make("FrozenLake-v1", is_slippery=False))
    assert mean_return(FrozenLake(is_slippery=False), agent.policy_, 100) == 1.0
    vector = gymnasium.make_vec("FrozenLake-v1", num_envs=3, is_slippery=False)
    agent.fit(vector)
    assert mean_return(FrozenLake(is_slippery=False), agent.policy_, 100) == 1.0
    assert agent.visit_counts_.sum() == agent.n_steps_  # resets that take a step of the vector are none of the agent's


class Pairs(Python):
    """A corridor of which one observes two numbers."""

    observation_space = MultiDiscrete([3, 2])

    def reset(self, *, seed=None, options=None):
        return np.array([super().reset()[0] // 2, 0]), {}

    def step(self, action):
        place, *others = super().step(action)
        return np.array([place // 2, place % 2]), *others


@each_agent
def test_states_of_several_numbers_are_found(cls, seed):
    agent = cls(random_state=seed, max_steps=2000, max_episode_steps=40).fit(Pairs())
    assert agent.action_values_.shape == (5, 2)
    assert agent.predict([[0, 0], [0, 1], [1, 0], [1, 1]]).tolist() == [1, 1, 1, 1]
    ours = cls(random_state=seed, max_steps=2000, max_episode_steps=40).fit(Python())
    np.testing.assert_allclose(np.sort(agent.action_values_[:, 1]), np.sort(ours.action_values_[:, 1]), rtol=1e-12)


class Masked(Python):
    """A corridor in which the step to the right is not there in state 2, but a third action is."""

    action_space = Discrete(3, start=1)

    def reset(self, *, seed=None, options=None):
        return super().reset()[0], self._info()

    def _info(self):
        return {"action_mask": np.array([1, self.place != 2, self.place == 2], dtype=np.int8)}

    def step(self, action):
        assert self._info()["action_mask"][action - 1]
        answer = super().step(action > 1)
        return (*answer[:4], self._info())


@each_agent
@pytest.mark.parametrize("params", [{}, {"exploration": "ucb"}, {"trace_decay": 0.5, "learning_rate": 0.2}])
def test_masks_are_respected(cls, params, seed):
    agent = cls(random_state=seed, max_steps=1500, max_episode_steps=40, **params).fit(Masked())
    assert agent.predict([0, 1, 2, 3]).tolist() == [2, 2, 3, 2]
    assert agent.visit_counts_[2, 1] == agent.visit_counts_[0, 2] == 0
    assert agent.score(Masked(), n_episodes=2) == -4


@each_agent
def test_the_masks_of_taxi_are_respected_while_learning(cls, seed):
    taxi = Taxi()
    agent = cls(random_state=seed, max_steps=3000).fit(taxi)
    assert agent.visit_counts_.sum() == 3000
    assert not agent.visit_counts_[~taxi.dynamics.masks].any()
    assert min(agent.history_["return"]) >= -200  # no step costs 10


def test_ragged_actions_are_respected(seed):
    pairs = np.array([[0, 0], [1, 0], [1, 1], [2, 1]])
    T = np.eye(4)[[1, 0, 2, 3]]
    mdp = FiniteMDP(T, [-1.0, -1.0, -1.0, -1.0], start=0, terminal=[3], pairs=pairs)
    agent = QLearning(random_state=seed, max_steps=2000, max_episode_steps=30).fit(mdp)
    assert agent.policy_[:3].tolist() == [0, 1, 1]
    assert agent.visit_counts_[0, 1] == agent.visit_counts_[2, 0] == 0


class Meadow:
    """An environment of a box: from somewhere on a line of length 1 a fifth to the left or right, as far as the end."""

    observation_space, action_space = Box(0.0, 1.0, (2,)), Discrete(2)

    def reset(self, *, seed=None, options=None):
        self.chance = self.chance if seed is None else np.random.default_rng(seed)
        self.place = self.chance.random() / 2
        return self._seen(), {}

    def _seen(self):
        return np.array([self.place, 0.5], dtype=np.float32)

    def step(self, action):
        self.place = min(1.0, max(0.0, self.place + (0.2 if action else -0.2)))
        return self._seen(), -1.0, self.place > 0.95, False, {}


@pytest.mark.parametrize(
    ("cls", "params"),
    [
        (SARSA, {"feature_map": TileCoding(4, [10, 1])}),
        (QLearning, {"discretizer": TileCoding(4, [10, 1]), "double": True}),
        (SARSA, {"feature_map": TileCoding(4, [10, 1]), "trace_decay": 0.7}),
        (QLearning, {"feature_map": TileCoding(4, [10, 1], max_tiles=40), "learning_rate": "rescaled"}),
        (QLearning, {"discretizer": KBinsDiscretizer(10, encode="ordinal", strategy="uniform")}),
    ],
)
def test_boxes_are_learnt_by_features_and_cells(cls, params, seed):
    settings = {"learning_rate": (0.3, 0.05), "epsilon": (0.5, 0.1), "max_steps": 4000, "n_envs": 8} | params
    settings["max_episode_steps"] = 60
    agent = cls(random_state=seed, **settings).fit(Meadow())
    observations = np.c_[np.linspace(0.05, 0.75, 9), np.full(9, 0.5)].astype(np.float32)
    assert agent.predict(observations).mean() > 0.7
    assert agent.transform(observations).dtype == np.float32
    assert hasattr(agent, "coef_") != hasattr(agent, "action_values_")
    assert agent.visit_counts_.sum() >= 4000


def test_boxes_are_cut_into_states(seed):
    cells = KBinsDiscretizer(20, encode="ordinal", strategy="uniform")
    agent = QLearning(discretizer=cells, max_steps=1500, n_envs=5, random_state=seed).fit(MountainCar())
    n_states = len(agent.action_values_)
    assert 1 < n_states <= 400
    assert agent.visit_counts_.sum() == 1500
    assert agent.predict([[-0.5, 0.0], [0.6, 0.07]]).shape == (2,)
    assert clone(cells).get_params() == agent.discretizer.get_params()
    assert not hasattr(agent.discretizer, "n_bins_")  # a clone was fitted
    with pytest.raises(ValueError, match="set discretizer .*TileCoding.* or feature_map of QLearning"):
        QLearning().fit(MountainCar())


def test_other_features_are_weighed_as_well(seed):
    agent = QLearning(feature_map=PolynomialFeatures(1), learning_rate=0.3, max_steps=800, random_state=seed)
    agent.set_params(max_episode_steps=40, epsilon=0.5, n_envs=8, discount=0.5).fit(corridor())
    assert agent.coef_.shape == (2, 2)
    assert agent.predict([0, 1, 2, 3]).tolist() == [1, 1, 1, 1]
    one_hot = OneHotEncoder(categories=[np.arange(5.0)])  # sparse: one weight for each state is a table
    agent.set_params(feature_map=one_hot).fit(corridor())
    table = clone(agent).set_params(feature_map=None, discretizer=FunctionTransformer()).fit(corridor())
    np.testing.assert_allclose(agent.transform(np.arange(4)), table.transform(np.arange(4)), atol=1e-12)


# ------------------------------------------------------------------------------------------------------- going on


def test_a_fit_that_was_stopped_is_completed_to_the_bit(seed):
    env = FrozenLake()
    whole = SARSA(n_steps=3, max_steps=20_000, n_envs=3, random_state=seed).fit(env)
    part = clone(whole).set_callbacks(EarlyStopping("length", patience=50, mode="max")).fit(env)
    assert 0 < part.n_steps_ < 20_000
    part.set_callbacks().set_params(warm_start=True).fit(env)
    np.testing.assert_array_equal(part.action_values_, whole.action_values_)
    assert part.history_ == whole.history_
    again = part.action_values_.copy()
    np.testing.assert_array_equal(part.fit(env).action_values_, again)  # nothing is left to do


@each_agent
@pytest.mark.parametrize("make", [corridor, Python], ids=["compiled", "python"])
def test_partial_fit_plays_other_episodes(cls, make, seed):
    agent = cls(max_steps=500, max_episode_steps=30, random_state=seed)
    agent.partial_fit(make())
    first, n_episodes = agent.visit_counts_.copy(), len(agent.history_["return"])
    agent.partial_fit(make())
    assert agent.n_steps_ == 1000 == agent.visit_counts_.sum()
    assert (agent.visit_counts_ >= first).all()
    assert len(agent.history_["return"]) > n_episodes
    with pytest.raises(ValueError, match="the agent acts in"):
        agent.partial_fit(FiniteMDP(np.full((3, 5, 5), 0.2), np.ones((5, 3)), terminal=[]))
    if cls is QLearning:
        with pytest.raises(ValueError, match="fit it anew"):
            agent.set_params(double=True).partial_fit(make())


def test_an_environment_that_fails_leaves_the_last_finished_episode(seed):
    whole = QLearning(max_steps=400, epsilon=0.5, max_episode_steps=30, random_state=seed).fit(Python())
    ends = np.cumsum(whole.history_["length"])
    fail_at = int(ends[5]) + 2  # in the seventh episode
    agent = clone(whole)
    with pytest.warns(FitInterruptedWarning, match="the motor is hot.*last finished"):
        agent.fit(Python(fail_at))
    assert agent.history_["return"] == whole.history_["return"][:6]
    assert agent.n_steps_ == ends[5]
    assert agent.visit_counts_.sum() == ends[5]
    with pytest.raises(EnvironmentFailed, match="the motor is hot"):
        clone(whole).fit(Python(1))


def test_interruption_keeps_what_was_learned(seed):
    class Tired(Python):
        def step(self, action):
            if self.n == 300:
                raise KeyboardInterrupt
            return super().step(action)

    agent = QLearning(max_episode_steps=30, random_state=seed)
    with pytest.warns(FitInterruptedWarning, match="last finished episodes"):
        agent.fit(Tired())
    assert 0 < agent.n_steps_ <= 300


def test_play_and_logs_do_not_mix(seed):
    X, y, columns = log_of(50, seed)
    agent = QLearning(max_steps=100, max_episode_steps=20).fit(corridor())
    with pytest.raises(ValueError, match="and not from play"):
        agent.partial_fit(X, y, **columns)
    agent = QLearning(discount=0.5).fit(X, y, **columns)
    with pytest.raises(ValueError, match="has learned from logs"):
        agent.partial_fit(corridor())


def test_seeds_repeat_and_copies_do_not_matter_to_them(seed):
    for n_envs in (1, 5):
        agents = [QLearning(max_steps=3000, n_envs=n_envs, random_state=seed).fit(FrozenLake()) for _ in range(2)]
        np.testing.assert_array_equal(agents[0].action_values_, agents[1].action_values_)
    other = QLearning(max_steps=3000, random_state=seed + 1).fit(FrozenLake())
    assert other.history_["length"] != agents[0].history_["length"]


# ------------------------------------------------------------------------------------------------------------ logs


def log_of(n, seed):
    """Return steps of random play in the corridor: X, y and the columns of a log."""
    played = corridor().sample(n, random_state=seed)
    columns = {name: played[name] for name in ("reward", "episode", "terminated")}
    return played["state"][:, None].astype(float), played["action"], columns


def test_a_log_of_random_play_teaches_the_best_actions(seed):
    X, y, columns = log_of(600, seed)
    agent = QLearning(discount=0.9).fit(X, y, **columns)
    plan = ValueIteration(tol=1e-10).fit(corridor(discount=0.9))
    at = agent.transform(np.arange(4.0)[:, None])
    np.testing.assert_allclose(at, plan.action_values_[:4], atol=1e-4)
    assert agent.predict(np.arange(4.0)[:, None]).tolist() == [1, 1, 1, 1]
    assert agent.score(corridor(), n_episodes=2) == -4
    behaviour = SARSA(discount=0.9).fit(X, y, **columns)
    assert (behaviour.transform(np.arange(3.0)[:, None]) < at[:3] - 0.1).all()  # random play takes longer


def test_what_a_log_never_shows_is_never_done(seed):
    X, y, columns = log_of(600, seed)
    kept = (y == 0) | (X[:, 0] != 2)  # in state 2 nobody goes to the right ... and so nobody arrives
    columns = {name: values[kept] for name, values in columns.items()}
    columns["terminated"] = np.zeros(kept.sum(), dtype=bool)
    agent = QLearning(discount=0.9).fit(X[kept], y[kept], **columns)
    assert agent.predict([[2.0]]) == 0
    assert agent.action_values_[agent.visit_counts_ == 0].tolist() == [0.0] * (agent.visit_counts_ == 0).sum()


def test_imitation_is_the_weighted_share(rng):
    X, y, weights = rng.integers(3, size=(60, 1)) * 1.0, rng.choice(["a", "b", "c"], 60), rng.integers(1, 5, 60)
    for cls in (QLearning, SARSA):
        agent = cls().fit(X, y, sample_weight=weights)
        for state in np.unique(X):
            here = X[:, 0] == state
            shares = [weights[here & (y == action)].sum() / weights[here].sum() for action in agent.classes_]
            np.testing.assert_allclose(agent.predict_proba([[state]])[0], shares)


@pytest.mark.parametrize("double", [False, True])
def test_logs_in_parts_are_one_log(double, rng):
    X, y = rng.integers(4, size=(80, 1)) * 1.0, np.r_[0, 1, 2, rng.integers(3, size=77)]
    parts = QLearning()
    for rows in (slice(0, 30), slice(30, 80)):
        parts.partial_fit(X[rows], y[rows], classes=[0, 1, 2])
    np.testing.assert_allclose(parts.predict_proba(X), QLearning().fit(X, y).predict_proba(X))
    reward = rng.normal(size=80)
    columns = {"reward": reward, "terminated": np.ones(80, dtype=bool)}
    parts, whole = QLearning(double=double), QLearning().fit(X, y, **columns)
    for rows in (slice(0, 30), slice(30, 80)):
        parts.partial_fit(X[rows], y[rows], classes=[0, 1, 2], **{n: v[rows] for n, v in columns.items()})
    np.testing.assert_allclose(parts.transform(X), whole.transform(X), atol=1e-10)
    with pytest.raises(ValueError, match="same kind"):
        parts.partial_fit(X, y)


def test_a_log_that_does_not_settle_says_so(rng):
    X, y = rng.integers(3, size=(50, 1)) * 1.0, np.r_[0, rng.integers(2, size=48), 1]
    with pytest.warns(ConvergenceWarning, match="raise max_steps or tol"):
        QLearning(max_steps=3).fit(X, y, reward=rng.normal(size=50), terminated=np.zeros(50))


# -------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("cls", "params", "words"),
    [
        (QLearning, {"epsilon": (0.5, 1.5)}, "epsilon must be"),
        (QLearning, {"epsilon": lambda step, total: 2}, "epsilon must be"),
        (QLearning, {"learning_rate": (0.5, 0.0)}, "learning_rate must be"),
        (SARSA, {"exploration": "softmax", "temperature": (1.0, 0.0)}, "temperature must be"),
        (SARSA, {"trace_decay": 0.5, "n_steps": 3}, "trace_decay=0.5 and n_steps=3"),
        (QLearning, {"trace_decay": 0.5, "double": True}, "double=True has no traces"),
        (QLearning, {"epsilon": 1.5}, "'epsilon' parameter of QLearning"),
        (SARSA, {"discount": 1.01}, "'discount' parameter of SARSA"),
        (QLearning, {"learning_rate": "fast"}, "'learning_rate' parameter of QLearning"),
        (QLearning, {"learning_rate": ("fast", "slow")}, "learning_rate must give numbers"),
        (QLearning, {"epsilon": lambda step, total: "half"}, "epsilon must give numbers"),
        (QLearning, {"feature_map": 3}, "'feature_map' parameter of QLearning"),
    ],
)
def test_bad_parameters_are_named(cls, params, words):
    with pytest.raises(ValueError, match=words):
        cls(**params).fit(corridor())


def test_no_number_of_steps_is_too_large():
    assert len(QLearning(max_steps=2**70, max_episodes=2, max_episode_steps=9).fit(corridor()).history_["return"]) == 2


def test_an_endless_world_is_pointed_out(seed):
    endless = FiniteMDP(np.full((2, 2, 2), 0.5), np.ones((2, 2)), 0.9, terminal=[])
    with pytest.warns(ConvergenceWarning, match="No episode ended within max_steps=300"):
        agent = QLearning(max_steps=300, discount=0.9, random_state=seed).fit(endless)
    assert agent.visit_counts_.sum() == 300
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        QLearning(max_steps=300, max_episode_steps=10, random_state=seed).fit(endless)


def test_values_that_explode_are_refused(seed):
    huge = FiniteMDP(np.full((2, 2, 2), 0.5), np.full((2, 2), 1e308), 0.9, terminal=[])
    with pytest.raises(ValueError, match="smaller learning_rate"):
        QLearning(learning_rate=1.0, max_steps=500, max_episode_steps=5, random_state=seed).fit(huge)


def test_a_schedule_reaches_both_of_its_ends(seed):
    seen = []

    def spy(step, total):
        seen.append(step / total)
        return 0.5

    QLearning(epsilon=functools.partial(spy), max_steps=200, max_episode_steps=20, random_state=seed).fit(corridor())
    assert seen[0] == 0
    assert seen[-1] == pytest.approx(1, abs=0.002)


# ---------------------------------------------------------------------------------------------------- no discount


@pytest.mark.parametrize("agent", [QLearning, SARSA])
def test_without_discount_agents_get_to_the_end(agent, seed):
    # all ways over a dry lake earn 1, also those that never get there
    lake = FrozenLake(is_slippery=False)
    assert agent(discount=1, random_state=seed).fit(lake).score(lake) == 1.0


@pytest.mark.parametrize("wrapped", [False, True], ids=["compiled", "in Python"])
@pytest.mark.parametrize("agent", [QLearning, SARSA])
def test_without_discount_the_default_rate_averages(agent, wrapped, seed):
    # Action 0 earns 1 or -1 with even chances, action 1 nothing. With rates near 5 / n the variance of the mean is
    # 25 / 9 / n, n = 5000 or so: a standard deviation of .024; .034 in Python, where steps take long and n is 2500.
    ends = [[0, 0.5, 0.5], [0, 1, 0], [0, 0, 1]]
    rewards = np.zeros((2, 3, 3))
    rewards[0, 0, 1:] = 1, -1
    mdp = FiniteMDP([ends, [[0, 0, 1], *ends[1:]]], rewards, 1.0, terminal=[1, 2], start=0)
    given = {"discount": 1, "epsilon": 1.0, "max_steps": 5_000 if wrapped else 10_000, "random_state": seed}
    if wrapped:
        given["discretizer"] = FunctionTransformer()
    assert abs(agent(**given).fit(mdp).action_values_[0, 0]) < 6 * (0.034 if wrapped else 0.024)


@pytest.mark.parametrize("discount", [0.0, 0.5, 0.99, 0.9999])
def test_below_1_rates_follow_the_discount(discount):
    rule = rule_of(QLearning(discount=discount), MAXIMUM)
    assert (rule.discount, rule.rates.tolist()) == (discount, [1 - discount])
