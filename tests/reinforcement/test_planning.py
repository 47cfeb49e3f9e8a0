"""Planners find the optimum, know how near they are, and plan on whatever shows or suggests a model."""

import numpy as np
import pytest
import scipy.sparse as sp
from _contract.listening import Listener
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import KBinsDiscretizer

from skml.base import FitInterruptedWarning
from skml.callback import History
from skml.reinforcement import Discrete, FiniteMDP, FrozenLake, PolicyIteration, ValueIteration
from skml.reinforcement import bellman as operator
from skml.reinforcement.sweeping import backward_induction

ALGORITHMS = ("synchronous", "gauss-seidel", "prioritized", "modified")
PLANNERS = [
    *(ValueIteration(algorithm=name, tol=1e-10) for name in ALGORITHMS),
    PolicyIteration(evaluation="solve", tol=1e-10),
    PolicyIteration(evaluation="sweeps", tol=1e-10),
]
each_planner = pytest.mark.parametrize("planner", PLANNERS, ids=lambda p: getattr(p, "algorithm", None) or p.evaluation)


def random_mdp(rng, n_states=30, n_actions=3, n_next=4, discount=0.9, terminal=()):
    """Return a sparse process of random outcomes, some of them in terminal states."""
    n = n_states * n_actions
    columns = np.array([rng.choice(n_states, n_next, replace=False) for _ in range(n)])
    rows = np.repeat(np.arange(n), n_next)
    T = sp.csr_array((rng.dirichlet(np.ones(n_next), n).ravel(), (rows, columns.ravel())), shape=(n, n_states))
    pairs = np.stack([np.repeat(np.arange(n_states), n_actions), np.tile(np.arange(n_actions), n_states)], axis=1)
    return FiniteMDP(T, rng.normal(size=n), discount, pairs=pairs, terminal=list(terminal))


def corridor(n=6, discount=1.0, start=None):
    """Return states 0 to n in a row: left or right, each step costs 1, the last state ends it."""
    T = np.zeros((2, n + 1, n + 1))
    s = np.arange(n)
    T[0, s, np.maximum(s - 1, 0)] = T[1, s, s + 1] = 1
    T[:, n, n] = 1
    return FiniteMDP(T, np.append(-np.ones(n), 0.0), discount, start)


def exact_values(mdp, planner, atol=1e-9):
    """Return the optimal values by elimination over the planner's policy, after a check that nothing is better."""
    T, S = mdp.continuation().toarray()[:, : mdp.n_states], mdp.n_states
    chosen = [np.flatnonzero((mdp.pair_states == s) & (mdp.pair_actions == planner.policy_[s])) for s in range(S)]
    P, r = np.zeros((S, S)), np.zeros(S)
    for s, pair in enumerate(chosen):
        if len(pair):
            P[s], r[s] = T[pair[0]], mdp.rewards[pair[0]]
    v = np.linalg.solve(np.eye(S) - mdp.discount * P, r)
    q = mdp.rewards + mdp.discount * T @ v
    assert np.all(q <= v[mdp.pair_states] + atol)
    return v


# ---------------------------------------------------------------------------------------------- the optimum


@each_planner
@pytest.mark.parametrize("terminal", [(), (3, 7)])
def test_planners_find_the_optimum_within_their_bounds(planner, terminal, rng):
    mdp = random_mdp(rng, terminal=terminal)
    planner = clone(planner).fit(mdp)
    v = exact_values(mdp, planner)
    assert_allclose(planner.value_, v, rtol=0, atol=1e-8)
    assert np.all(planner.value_lower_ <= v + 1e-12)
    assert np.all(planner.value_upper_ >= v - 1e-12)
    assert np.all(planner.value_upper_ - planner.value_lower_ <= 1e-8)
    assert_allclose(planner.action_values_.max(axis=1), planner.value_, atol=1e-9)
    assert np.all(planner.action_values_[list(terminal)] == 0)
    assert_array_equal(planner.predict(np.arange(30)), planner.policy_)
    assert planner.history_["residual"][-1] <= 1e-9
    assert planner.n_iter_ == len(planner.history_["residual"])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("terminal", [(), (3, 7)])
def test_bounds_hold_long_before_the_end(algorithm, terminal, rng):
    mdp = random_mdp(rng, terminal=terminal)
    v = exact_values(mdp, PolicyIteration().fit(mdp))
    widths = []
    for n in (1, 2, 5):
        planner = ValueIteration(algorithm=algorithm, n_evaluations=2, max_iter=n, tol=0.0)
        with pytest.warns(ConvergenceWarning, match=f"max_iter={n}"):
            planner.fit(mdp)
        assert np.all(planner.value_lower_ <= v + 1e-12)
        assert np.all(planner.value_upper_ >= v - 1e-12)
        widths.append(np.max(planner.value_upper_ - planner.value_lower_))
    assert widths[2] < widths[0]


def test_macqueens_bounds_by_hand():
    # One state that pays 1 or 0 for ever: T 0 = 1 and v* = 1 / (1 - 0.5) = 2 = T 0 + 0.5 / (1 - 0.5) * (1 - 0).
    mdp = FiniteMDP(np.ones((2, 1, 1)), [[1.0, 0.0]], 0.5)
    model = operator.model_of(mdp, 0.5)
    assert operator.bounds(model, 1.0, 1.0) == (1.0, 1.0)
    assert_allclose(operator.solution(model, np.zeros(2)).value, [2.0])
    # Where every step may end, values are off by less: the flow is 0.5 * 0.8 at most, 0.5 * 0.2 at least.
    T = np.array([[[0.8, 0.2], [0, 1.0]], [[0.2, 0.8], [0, 1.0]]])
    model = operator.model_of(FiniteMDP(T, [1.0, 0.0], 0.5, terminal=[1]), 0.5)
    assert_allclose(operator.bounds(model, -1.0, 1.0), (-0.4 / 0.6, 0.4 / 0.6))
    assert_allclose(operator.bounds(model, 1.0, 2.0), (0.1 / 0.9, 2 * 0.4 / 0.6))
    assert_allclose(operator.bounds(model, -2.0, -1.0), (-2 * 0.4 / 0.6, -0.1 / 0.9))


@each_planner
def test_steps_that_all_end_with_the_same_probability(planner, rng):
    T = rng.dirichlet(np.ones(9), size=(3, 10))
    T = np.concatenate([np.full((3, 10, 1), 0.2), 0.8 * T], axis=2)
    mdp = FiniteMDP(T, rng.normal(size=(10, 3)), 0.95, terminal=[0])
    planner = clone(planner).fit(mdp)
    v = exact_values(mdp, planner)
    assert planner.value_[0] == 0
    assert_allclose(planner.value_, v, atol=1e-8)
    assert np.all((planner.value_lower_ <= v + 1e-12) & (planner.value_upper_ >= v - 1e-12))
    assert_allclose(planner.action_values_.max(axis=1), planner.value_, atol=1e-12)


def test_without_ends_bounds_settle_long_before_values_do(rng):
    mdp = random_mdp(rng, discount=0.999)
    planner = ValueIteration(algorithm="synchronous", tol=1e-6).fit(mdp)
    assert planner.n_iter_ < 200  # by plain sweeps, log(1e-6) / log(0.999) = 13,800


@pytest.mark.parametrize("discount", [0.0, 1e-3])
def test_a_short_sight_takes_what_pays_at_once(discount, rng):
    mdp = random_mdp(rng, discount=discount)
    planner = ValueIteration().fit(mdp)
    best = mdp.rewards.reshape(30, 3).max(axis=1)
    assert_allclose(planner.value_, best, atol=1e-2)
    if discount == 0:
        assert_allclose(planner.value_, best, rtol=1e-14)


@each_planner
def test_many_states_in_blocks(planner, rng, monkeypatch):
    monkeypatch.setattr(operator, "LARGE_BLOCK", 7)
    monkeypatch.setattr(operator, "BLOCK", 4)
    monkeypatch.setattr(operator, "WORK", 50)
    mdp = random_mdp(rng, terminal=[5])
    planner = clone(planner).fit(mdp)
    assert_allclose(planner.value_, exact_values(mdp, planner), atol=1e-8)


@pytest.mark.parametrize("n_states", [300, 700])
def test_elimination_dense_and_sparse(n_states, rng):
    mdp = random_mdp(rng, n_states)
    ours, theirs = PolicyIteration(evaluation="solve").fit(mdp), ValueIteration().fit(mdp)
    assert_allclose(ours.value_, theirs.value_, atol=1e-6)
    assert np.all(ours.value_upper_ - ours.value_lower_ < 1e-10)


@pytest.mark.parametrize("terminal", [(), (3,)])
def test_a_tolerance_below_rounding_ends_all_the_same(terminal, rng):
    mdp = random_mdp(rng, terminal=terminal, discount=0.99)
    pairs = np.stack([mdp.pair_states, mdp.pair_actions], axis=1)
    mdp = FiniteMDP(mdp.transitions, mdp.rewards * 1e9, 0.99, pairs=pairs, terminal=list(terminal))
    v = exact_values(mdp, PolicyIteration().fit(mdp), atol=1.0)
    for planner in PLANNERS:
        planner = clone(planner).set_params(tol=0.0).fit(mdp)
        assert_allclose(planner.value_, v, rtol=0, atol=1e-9 * np.abs(v).max())


def test_the_same_bits_on_any_number_of_threads(rng, monkeypatch):
    mdp = random_mdp(rng, 1500, n_next=12)
    monkeypatch.setattr(operator, "BLOCK", 64)
    monkeypatch.setattr(operator, "LARGE_BLOCK", 500)
    monkeypatch.setattr(operator, "MANY", 1)
    for planner in (*PLANNERS[:4], PolicyIteration(evaluation="sweeps")):
        said = []
        for n in (1, 2, 3):
            monkeypatch.setattr("skml.reinforcement.planning.n_threads", lambda n=n: n)
            said.append(clone(planner).set_params(tol=1e-2).fit(mdp))
        for other in said[1:]:
            for name in ("value_", "value_lower_", "value_upper_", "action_values_", "policy_"):
                assert_array_equal(getattr(said[0], name), getattr(other, name))
            assert other.history_ == said[0].history_


# ------------------------------------------------------------------------------------------- without discount


@each_planner
def test_costs_without_discount(planner):
    planner = clone(planner).fit(corridor())
    assert_allclose(planner.value_, [-6, -5, -4, -3, -2, -1, 0], atol=1e-9)
    assert_array_equal(planner.policy_[:6], 1)
    assert np.all(planner.value_upper_[:6] == np.inf)  # going left for ever never ends


@each_planner
def test_bounds_without_discount_where_every_policy_ends(planner, rng):
    T = rng.dirichlet(np.ones(8), size=(3, 8))
    mdp = FiniteMDP(T, rng.normal(size=(8, 3)), 1.0, terminal=[7])
    planner = clone(planner).fit(mdp)
    v = exact_values(mdp, planner)
    assert np.all(planner.value_lower_ <= v)
    assert np.all(planner.value_upper_ >= v)
    assert np.all(planner.value_upper_ - planner.value_lower_ < 1e-6)


def test_the_longest_episodes_by_hand():
    # Each step ends with probability 1/2 or 1/4: at most 4 steps in the mean.
    T = np.array([[[0.5, 0.5], [0, 1]], [[0.75, 0.25], [0, 1]]])
    model = operator.model_of(FiniteMDP(T, [1.0, 0.0], 1.0, terminal=[1]), 1.0)
    longest = operator.longest_episodes(model)
    assert 4 <= longest[0] <= 8
    assert operator.longest_episodes(operator.model_of(corridor(), 1.0)) is None


def test_a_circle_that_pays_has_no_value():
    T = np.zeros((2, 3, 3))
    T[0, [0, 1, 2], [1, 0, 2]] = T[1, [0, 1, 2], [2, 2, 2]] = 1
    mdp = FiniteMDP(T, [1.0, 1.0, 0.0], 1.0, terminal=[2])
    with pytest.raises(ValueError, match="episodes never end"):
        PolicyIteration(evaluation="solve").fit(mdp)
    with pytest.warns(ConvergenceWarning, match="going round in circles pays"):
        ValueIteration(max_iter=10).fit(mdp)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("toll", [-2.0, 0.0, 2.5])
def test_value_iteration_refuses_circles_that_pay_early(algorithm, toll, rng):
    # a circle of n steps, of which one earns 3 and one `toll`; from each state of it a step leads to the end
    n = int(rng.integers(2, 7))
    round_about, out, rewards = np.eye(n + 1), np.zeros((n + 1, n + 1)), np.zeros((n + 1, 2))
    round_about[:n, :n], out[:, n] = np.roll(np.eye(n), 1, axis=1), 1
    rewards[0, 0], rewards[1, 0] = 3.0, toll
    mdp = FiniteMDP([round_about, out], rewards, 1.0, terminal=[n])
    planner = ValueIteration(algorithm=algorithm, max_iter=600)
    with pytest.raises(ValueError, match="Going round in circles pays"):
        planner.fit(mdp)
    assert not hasattr(planner, "value_")
    rewards[1, 0] = -3.0  # pays nothing
    assert clone(planner).fit(FiniteMDP([round_about, out], rewards, 1.0, terminal=[n])).value_[0] == 3.0


UNDISCOUNTED = [*(ValueIteration(1.0, algorithm=name) for name in ALGORITHMS)]
UNDISCOUNTED += [PolicyIteration(1.0), PolicyIteration(1.0, evaluation="sweeps")]
each_undiscounted = pytest.mark.parametrize("planner", UNDISCOUNTED, ids=repr)


@each_undiscounted
def test_without_discount_a_policy_that_ends_is_chosen_among_equals(planner):
    stay, go = np.eye(4), np.eye(4, k=1)
    go[3, 3] = 1
    mdp = FiniteMDP([stay, go], rewards=[[0, 0], [0, 0], [0, 1], [0, 0]], discount=1, terminal=[3], start=0)
    planner = clone(planner).fit(mdp)
    np.testing.assert_array_equal(planner.policy_[:3], [1, 1, 1])
    np.testing.assert_array_equal(planner.value_, [1, 1, 1, 0])
    nothing = clone(planner).fit(FiniteMDP([stay, go], rewards=np.zeros((4, 2)), discount=1, terminal=[3]))
    np.testing.assert_array_equal(nothing.policy_[:3], [1, 1, 1])


@each_undiscounted
@pytest.mark.parametrize("is_slippery", [False, True])
def test_without_discount_values_are_what_the_policy_earns(planner, is_slippery):
    lake = FrozenLake(is_slippery=is_slippery)
    planner, mdp = clone(planner).fit(lake), FiniteMDP.from_gymnasium(lake, discount=1.0)
    # exact_values solves for what the policy earns, a singular system if it never ends; sweeps end at 1e-8 a step
    atol = 1e-9 if planner.get_params().get("evaluation") == "auto" else 1e-5
    np.testing.assert_allclose(planner.value_, exact_values(mdp, planner, atol), atol=atol)
    assert planner.value_[0] == pytest.approx(14 / 17 if is_slippery else 1, abs=1e-5)


@each_undiscounted
def test_a_state_that_is_best_left_alone_stays(planner):
    stay, go = np.eye(2), np.array([[0.0, 1.0], [0.0, 1.0]])
    mdp = FiniteMDP([go, stay], rewards=[[-1, 0], [0, 0]], discount=1, terminal=[1])
    planner = clone(planner).fit(mdp)
    assert (planner.policy_[0], planner.value_[0]) == ((0, -1) if "Policy" in repr(planner) else (1, 0))


@pytest.mark.parametrize("evaluation", ["solve", "sweeps"])
def test_a_circle_that_pays_is_found_though_rounding_hides_it(evaluation, rng):
    n = 5  # whoever stays goes round for ever, by rows that do not add up to 1 exactly
    round_about = rng.random((n, n))
    T = np.zeros((2, n + 1, n + 1))
    T[0, :n, :n] = round_about / round_about.sum(axis=1, keepdims=True)
    T[1, :n, n] = T[:, n, n] = 1
    mdp = FiniteMDP(T, np.append(np.tile([1.0, 0.5], (n, 1)), [[0, 0]], axis=0), 1.0)
    with pytest.raises(ValueError, match="episodes never end"):
        PolicyIteration(evaluation=evaluation).fit(mdp)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("reward", [1e308, -1e308])
@pytest.mark.parametrize(
    "planner",
    [ValueIteration(algorithm=name) for name in ("synchronous", "gauss-seidel", "modified", "prioritized")]
    + [ValueIteration(horizon=10), PolicyIteration(), PolicyIteration(evaluation="sweeps")],
    ids=repr,
)
def test_values_that_no_number_can_hold_are_refused(planner, reward):
    mdp = FiniteMDP([[[0.5, 0.5], [0.5, 0.5]]], [reward, reward], 0.99)
    with pytest.raises(ValueError, match="beyond what float64 can hold"):
        clone(planner).fit(mdp)


def test_a_discount_of_1_is_refused_where_nothing_ends(rng):
    mdp = random_mdp(rng)
    for planner in (ValueIteration(1.0), PolicyIteration(1.0)):
        with pytest.raises(ValueError, match="discount=1 needs an end"):
            planner.fit(mdp)
        assert not hasattr(planner, "value_")
    assert np.isfinite(ValueIteration(1.0, horizon=3).fit(mdp).value_).all()


# ---------------------------------------------------------------------------------------------- horizons


def test_a_finite_horizon_by_hand():
    # 6 steps to the end; with 3 to go, 3 are paid wherever one stands further off, and it doesn't matter how.
    planner = ValueIteration(1.0, horizon=3).fit(corridor())
    assert_array_equal(planner.value_, [-3, -3, -3, -3, -2, -1, 0])
    assert planner.horizon_value_.shape == (4, 7)
    assert planner.horizon_policy_.shape == (3, 7)
    assert_array_equal(planner.horizon_value_[3], 0)
    assert_array_equal(planner.horizon_value_[2], [-1, -1, -1, -1, -1, -1, 0])
    assert_array_equal(planner.horizon_policy_[:, 5], [1, 1, 0])  # the last step costs 1 whatever it is
    assert_array_equal(planner.policy_, planner.horizon_policy_[0])
    assert planner.n_iter_ == 3
    assert not hasattr(planner.set_params(horizon=None, discount=0.9).fit(corridor()), "horizon_policy_")


def test_the_steps_of_a_horizon_share_what_they_found(rng):
    model = operator.model_of(random_mdp(rng), 0.9, 1)
    states = [step.state for step in backward_induction(model, 5)]
    assert all(values is states[0][0] and pairs is states[0][1] for values, pairs, _ in states)  # no copies
    assert [n for *_, n in states] == [1, 2, 3, 4, 5]


def test_a_plan_that_stops_early_is_one_for_fewer_steps(rng):
    mdp, seen = random_mdp(rng), []

    class Stop(Listener):
        def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
            seen.append(fitted_estimator.horizon_value_)
            return len(seen) == 3

    stopped, whole = ValueIteration(horizon=6).set_callbacks(Stop()).fit(mdp), ValueIteration(horizon=3).fit(mdp)
    assert_array_equal(stopped.horizon_value_, whole.horizon_value_)
    assert_array_equal(stopped.policy_, whole.policy_)
    assert [len(values) for values in seen] == [2, 3, 4, 4]  # each iteration, and the whole
    for values in seen:
        assert_array_equal(values, whole.horizon_value_[-len(values) :])


def test_a_finite_horizon_is_the_recursion(rng):
    mdp = random_mdp(rng, terminal=[2])
    planner = ValueIteration(horizon=4).fit(mdp)
    T, v = mdp.transitions.toarray(), np.zeros(30)
    for t in reversed(range(4)):
        q = mdp.rewards + 0.9 * T @ v
        v = np.array([q[mdp.pair_states == s].max(initial=-np.inf) if s != 2 else 0.0 for s in range(30)])
        assert_allclose(planner.horizon_value_[t], v, rtol=1e-12, atol=1e-12)
    assert np.all((planner.value_lower_ <= v) & (v <= planner.value_upper_))
    assert_allclose(planner.action_values_[mdp.pair_states, mdp.pair_actions], q, rtol=1e-12, atol=1e-12)


# -------------------------------------------------------------------------------------------- known figures

ANCHORS = [
    ("FrozenLake-v1", {}, 0.99, 0.542026),
    ("FrozenLake-v1", {}, 0.9, 0.068891),
    ("FrozenLake-v1", {"map_name": "8x8"}, 0.99, 0.414640),
    ("FrozenLake-v1", {"map_name": "8x8"}, 0.9, 0.006411),
    ("CliffWalking-v1", {}, 1.0, -13.0),
    ("Taxi-v4", {}, 1.0, 7.93),
]


@pytest.mark.parametrize(("name", "options", "discount", "value"), ANCHORS)
@pytest.mark.parametrize("planner", [ValueIteration(), PolicyIteration()], ids=lambda p: type(p).__name__)
def test_known_values_of_gymnasiums_worlds(name, options, discount, value, planner):
    gymnasium = pytest.importorskip("gymnasium")
    env = gymnasium.make(name, **options)
    planner = clone(planner).set_params(discount=discount).fit(env)
    assert planner.value_ @ env.unwrapped.initial_state_distrib == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize(("name", "horizon", "value"), [("4x4", 100, 0.7442), ("8x8", 200, 0.9132)])
def test_known_best_success_on_the_frozen_lake(name, horizon, value):
    gymnasium = pytest.importorskip("gymnasium")
    env = gymnasium.make("FrozenLake-v1", map_name=name)
    planner = ValueIteration(1.0, horizon=horizon).fit(env)
    assert planner.value_[0] == pytest.approx(value, abs=5e-5)


# ------------------------------------------------------------------------------------------------- the shells


def test_the_discount_is_the_planners_then_that_of_the_process():
    mdp = corridor(discount=0.5)
    assert ValueIteration().fit(mdp).value_[5] == -1
    assert ValueIteration().fit(mdp).value_[4] == pytest.approx(-1.5)
    assert ValueIteration(0.1).fit(mdp).value_[4] == pytest.approx(-1.1)
    assert PolicyIteration(0.1).fit(mdp).value_[4] == pytest.approx(-1.1)


def test_several_worlds_are_planned_on_as_their_mean(rng):
    mdps = [random_mdp(rng, terminal=[0]) for _ in range(3)]
    T = sum(mdp.transitions.toarray() for mdp in mdps) / 3
    rewards = np.mean([mdp.rewards for mdp in mdps], axis=0)
    pairs = np.stack([mdps[0].pair_states, mdps[0].pair_actions], axis=1)
    mean = FiniteMDP(T, rewards, 0.9, pairs=pairs, terminal=[0])
    for planner in (ValueIteration(), PolicyIteration()):
        assert_allclose(planner.fit(mdps).value_, clone(planner).fit(mean).value_, atol=1e-6)
    with pytest.raises(ValueError, match=r"discounts of the environments differ \(\[0.5, 0.9\]\)"):
        ValueIteration().fit([mdps[0], mdps[1].with_discount(0.5)])
    assert ValueIteration(0.9).fit([mdps[0], mdps[1].with_discount(0.5)]).n_iter_ > 0


def test_a_state_may_be_terminal_in_one_world_and_not_in_another():
    T = np.array([[[0, 1.0, 0], [0, 0, 1.0], [0, 0, 1.0]]])
    ends, goes_on = (FiniteMDP(T, [0.0, 1.0, 0.0], 1.0, terminal=terminal) for terminal in ([1, 2], [2]))
    planner = ValueIteration().fit([ends, goes_on])
    assert_allclose(planner.value_, [0.5, 1.0, 0.0])  # after the first step it is over every other time


def test_an_environment_that_shows_its_model():
    mdp = corridor(discount=0.9)
    env = mdp.to_env(max_episode_steps=20)
    planner = ValueIteration().fit(env)
    assert_array_equal(planner.value_, ValueIteration().fit(mdp).value_)
    assert_array_equal(planner.classes_, [0, 1])
    assert_array_equal(planner.predict([[0], [3]]), [1, 1])
    assert_array_equal(planner.predict_proba([0]), [[0, 1]])
    assert planner.transform(np.array([0], dtype=np.float32)).shape == (1, 2)


def test_an_environment_without_a_model():
    env = pytest.importorskip("gymnasium").make("CartPole-v1")
    with pytest.raises(ValueError, match="numbers of states .*discretizer"):
        ValueIteration().fit(env)
    with pytest.raises(ValueError, match="Hidden has no table P of its transitions"):
        PolicyIteration().fit(Hidden())


class Hidden:
    """An environment that doesn't show its model."""

    observation_space, action_space = Discrete(2), Discrete(2)

    def reset(self, seed=None, options=None):
        return 0, {}

    def step(self, action):
        return 0, 0.0, True, False, {}


def episodes(mdp, rng, n=4000):
    """Return a log of random steps: observations, actions, and the columns of fit."""
    data = mdp.sample(n, random_state=int(rng.integers(2**31)))
    columns = {name: data[name] for name in ("reward", "episode", "terminated")}
    return data["state"][:, None] * 1.5 + 2, data["action"], columns


@pytest.mark.parametrize("planner", [ValueIteration(), PolicyIteration()], ids=lambda p: type(p).__name__)
def test_a_log_with_rewards_is_planned_on_as_its_frequencies(planner, rng):
    mdp = corridor(discount=0.9)
    X, y, columns = episodes(mdp, rng)
    planner = clone(planner).set_params(discount=0.9).fit(X, y, **columns)
    # 4000 random steps pass every state; what they lead to is certain, so the model is right.
    assert_array_equal(planner.predict(X), 1)
    assert_array_equal(planner.predict(X + 0.3), 1)  # the nearest known state
    value = dict(zip(X[:, 0], planner.transform(X)[:, 1]))
    best = ValueIteration().fit(mdp).value_
    for state, v in value.items():
        assert v == pytest.approx(best[int((state - 2) / 1.5)], abs=1e-6)


def test_a_log_without_rewards_is_imitated(rng):
    X = rng.integers(3, size=(200, 1)) * 1.0
    y = np.array(["left", "stay", "right"])[(X[:, 0].astype(int) + (rng.random(200) < 0.2)) % 3]
    weights = rng.integers(1, 4, 200)
    planner = ValueIteration().fit(X, y, sample_weight=weights)
    for state in range(3):
        here = X[:, 0] == state
        shares = [np.sum(weights[here & (y == name)]) / np.sum(weights[here]) for name in planner.classes_]
        assert_allclose(planner.transform([[state]])[0], shares)
        assert planner.predict([[state]])[0] == planner.classes_[np.argmax(shares)]


def test_an_action_that_the_log_never_tried_is_not_allowed():
    X, y = np.array([[0.0], [0.0], [1.0]]), np.array([0, 1, 1])
    columns = {"reward": [-1.0, -2.0, -5.0], "terminated": [True, True, True]}
    planner = ValueIteration().fit(X, y, **columns)
    assert_array_equal(planner.transform([[0.0], [1.0]]), [[-1, -2], [-np.inf, -5]])
    assert_array_equal(planner.predict([[0.0], [1.0]]), [0, 1])


def test_a_log_that_leads_nowhere():
    X, y = np.array([[0.0], [1.0]]), np.array([0, 1])
    with pytest.raises(ValueError, match="No step of the log is followed by another"):
        ValueIteration().fit(X, y, reward=[1.0, 1.0], episode=[0, 1], terminated=[False, False])


def test_a_discretizer_makes_states_of_observations(rng):
    X = rng.random((500, 2))
    y = (X[:, 0] > 0.5).astype(int)
    binner = KBinsDiscretizer(4, encode="ordinal", strategy="uniform")
    planner = PolicyIteration(discretizer=binner).fit(X, y)
    assert planner.action_values_.shape[0] <= 16
    assert planner.score(X, y) > 0.9
    assert not hasattr(binner, "bin_edges_")


def test_callbacks_and_ctrl_c_between_sweeps(rng):
    mdp = random_mdp(rng, terminal=[1])
    history = History()
    planner = ValueIteration(algorithm="gauss-seidel").set_callbacks(history).fit(mdp)
    assert planner.n_iter_ > 3

    class Stop(Listener):
        def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
            if context.task_id == 2 and context.parent is not None:
                assert np.isfinite(fitted_estimator.value_).all()
                raise KeyboardInterrupt

    with pytest.warns(FitInterruptedWarning, match="the model of the last finished iteration is kept"):
        stopped = ValueIteration(algorithm="gauss-seidel").set_callbacks(Stop()).fit(mdp)
    assert stopped.n_iter_ == 3
    assert np.all(stopped.value_lower_ <= planner.value_ + 1e-9)
    assert np.all(stopped.value_upper_ >= planner.value_ - 1e-9)


def test_a_search_over_worlds(rng):
    worlds = [corridor(n=5, discount=0.9, start=0).to_env(max_episode_steps=20) for _ in range(4)]
    search = GridSearchCV(ValueIteration(), {"discount": [0.0, 0.9]}, cv=2).fit(worlds)
    assert search.best_score_ == -5.0
    assert search.cv_results_["mean_test_score"].tolist() == [-20.0, -5.0]  # to whom all is the same goes left
