"""Agents inside scikit-learn's machinery: samples are environments, or the steps of a log with routed metadata."""

import inspect

import joblib
import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    LeaveOneOut,
    cross_val_predict,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skml.reinforcement
from skml.reinforcement import Bandit, CliffWalking, FiniteMDP, FrozenLake, OPEScorer, ValueIteration, rollout
from skml.reinforcement.base import BaseAgent

SMALL = {"max_steps": 400, "hidden_layer_sizes": (8,), "max_iter": 30, "n_envs": 2, "random_state": 0}
AGENTS = [
    value
    for name in skml.reinforcement.__all__
    if inspect.isclass(value := getattr(skml.reinforcement, name)) and issubclass(value, BaseAgent)
]
# Agents of these tests learn little, and some say so.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
each_agent = pytest.mark.parametrize("cls", AGENTS, ids=lambda cls: cls.__name__)


def small(cls, **settings):
    """Return an agent that learns little, and always the same."""
    known = inspect.signature(cls).parameters
    return cls(**{name: value for name, value in (SMALL | settings).items() if name in known})


def corridor(discount=0.9, length=5):
    """Return a walk to the right end, where there is 10, past a 1 that is there at once."""
    left, right = np.eye(length), np.eye(length, k=1)
    left[0], right[-1] = np.eye(length)[-1], np.eye(length)[-1]
    rewards = np.zeros((length, 2))
    rewards[0, 0], rewards[-2, 1] = 1, 10
    return FiniteMDP([left, right], rewards, discount, start=0, terminal=[length - 1])


# ------------------------------------------------------------------------------------------ environments


@each_agent
def test_agents_are_scored_on_the_environments_that_they_have_not_seen(cls):
    # All arms of a bandit pay the same, another sum in each: whatever is done, a fold's score is the mean of its own.
    payoffs = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0])
    bandits = [Bandit([1.0, 1.0], payoffs=payoff) for payoff in payoffs]
    found = cross_validate(small(cls), bandits, cv=KFold(3), return_train_score=True)
    np.testing.assert_allclose(found["test_score"], payoffs.reshape(3, 2).mean(axis=1))
    others = [np.delete(payoffs.reshape(3, 2), i, axis=0).mean() for i in range(3)]
    np.testing.assert_allclose(found["train_score"], others)
    np.testing.assert_allclose(cross_val_score(small(cls), np.array(bandits, dtype=object), cv=LeaveOneOut()), payoffs)


@each_agent
def test_a_search_over_environments_is_the_loop_over_folds(cls):
    lakes = [FrozenLake(success_rate=rate, max_episode_steps=30) for rate in (0.4, 0.6, 0.8, 1.0)]
    search = GridSearchCV(small(cls), {"discount": [0.5, 0.95]}, cv=2).fit(lakes)
    for candidate, discount in enumerate((0.5, 0.95)):
        for fold, (train, test) in enumerate(([2, 3], [0, 1]) for _ in (0, 1)):
            train, test = (train, test) if fold == 0 else (test, train)
            agent = small(cls, discount=discount).fit([lakes[i] for i in train])
            expected = agent.score([lakes[i] for i in test])
            assert search.cv_results_[f"split{fold}_test_score"][candidate] == expected
    best = search.best_estimator_
    assert search.score(lakes) == best.score(lakes) == small(cls, **search.best_params_).fit(lakes).score(lakes)
    np.testing.assert_array_equal(search.predict(np.arange(16)), best.predict(np.arange(16)))


def test_a_search_finds_the_discount_that_looks_far_enough():
    # At once there is 1, after four steps 10: it pays to go there from discount ** 3 > 1 / 10 on.
    worlds = [corridor() for _ in range(6)]
    search = GridSearchCV(ValueIteration(), {"discount": [0.2, 0.4, 0.5, 0.9]}, cv=3).fit(worlds)
    np.testing.assert_array_equal(search.cv_results_["mean_test_score"], [1, 1, 10, 10])
    assert search.best_params_ == {"discount": 0.5}


@each_agent
def test_threads_change_no_score(cls):
    lakes = [FrozenLake(success_rate=rate, max_episode_steps=20) for rate in (0.5, 0.7, 0.9)]
    scores = []
    for n_jobs in (1, 3):
        with joblib.parallel_config("threading", n_jobs=n_jobs):
            scores.append(cross_val_score(small(cls), lakes, cv=3).tolist())
    assert scores[0] == scores[1]


@each_agent
def test_a_clone_has_learnt_nothing_and_learns_the_same(cls):
    agent = small(cls, discount=0.8).fit(corridor())
    copy = clone(agent)
    assert copy.get_params() == agent.get_params()
    assert not [name for name in vars(copy) if name.endswith("_")]
    np.testing.assert_array_equal(copy.fit(corridor()).predict_proba(np.arange(5)), agent.predict_proba(np.arange(5)))


@each_agent
def test_other_environments_are_refused_in_a_search(cls):
    worlds = [CliffWalking(), FrozenLake(), CliffWalking(), FrozenLake()]
    with pytest.raises(ValueError, match="Environments differ"):
        GridSearchCV(small(cls), {"discount": [0.5]}, cv=2, error_score="raise").fit(worlds)


# -------------------------------------------------------------------------------------------------- logs


@pytest.fixture
def log(rng):
    """Return observations, actions and the metadata of 40 episodes in which actions were drawn."""
    table = rollout(corridor(), lambda X: rng.integers(2, size=len(X)), 40, random_state=int(rng.integers(1000)))
    X = table["observation"].astype(np.float64)[:, None]
    return X, table["action"], {name: table[name] for name in ("reward", "episode", "terminated")}


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def routed(agent):
    return agent.set_fit_request(reward=True, episode=True, terminated=True)


def of_log(cls, **settings):
    """Return an agent for logs, over whose rows tables sweep until nothing moves."""
    return small(cls, max_steps=1_000_000, **settings)


def taken(metadata, rows):
    return {name: column[rows] for name, column in metadata.items()}


@each_agent
def test_a_search_over_a_log_routes_what_belongs_to_steps(cls, log, routing):
    X, y, metadata = log
    groups = metadata["episode"]
    agent = routed(of_log(cls))
    search = GridSearchCV(agent, {"discount": [0.3, 0.9]}, cv=GroupKFold(2)).fit(X, y, groups=groups, **metadata)
    for candidate, discount in enumerate((0.3, 0.9)):
        for fold, (train, test) in enumerate(GroupKFold(2).split(X, y, groups)):
            alone = of_log(cls, discount=discount).fit(X[train], y[train], **taken(metadata, train))
            assert search.cv_results_[f"split{fold}_test_score"][candidate] == alone.score(X[test], y[test])
    scores = cross_val_score(agent, X, y, cv=GroupKFold(2), params={"groups": groups, **metadata})
    assert scores.shape == (2,)
    found = cross_val_predict(agent, X, y, cv=GroupKFold(2), params={"groups": groups, **metadata})
    assert set(found) <= set(y)


@each_agent
def test_metadata_must_be_asked_for(cls, log, routing):
    X, y, metadata = log
    with pytest.raises(UnsetMetadataPassedError, match="reward"):
        GridSearchCV(of_log(cls), {"discount": [0.9]}, cv=2).fit(X, y, **metadata)


@each_agent
def test_a_pipeline_hands_the_log_on(cls, log, routing):
    X, y, metadata = log
    pipeline = make_pipeline(StandardScaler(), routed(of_log(cls))).fit(X, y, **metadata)
    scaled = StandardScaler().fit_transform(X)
    alone = of_log(cls).fit(scaled, y, **metadata)
    np.testing.assert_array_equal(pipeline.predict_proba(X), alone.predict_proba(scaled))
    step = pipeline.steps[-1][0]
    search = GridSearchCV(pipeline, {f"{step}__discount": [0.5, 0.9]}, cv=GroupKFold(2))
    search.fit(X, y, groups=metadata["episode"], **metadata)
    assert search.best_score_ == search.cv_results_["mean_test_score"].max() > 0


def test_a_planner_finds_in_a_log_what_pays(log, routing):
    X, y, metadata = log
    planner = routed(ValueIteration(discount=0.9)).fit(X, y, **metadata)
    # Half of the episodes leave the start to the right, and such a one goes on until it has come to the 10.
    assert planner.score(corridor()) == 10
    assert planner.predict([[0], [1], [2], [3]]).tolist() == [1, 1, 1, 1]
    np.testing.assert_allclose(planner.transform([[0.0]]).max(), 10 * 0.9**3)


# ------------------------------------------------------------------------------- what an agent would earn


def test_a_search_over_a_log_may_go_by_what_agents_would_earn(log, routing):
    X, y, metadata = log
    grid = {"discount": [0.1, 0.9]}
    by_hand = np.zeros((2, 2))
    for fold, (train, test) in enumerate(GroupKFold(2).split(X, y, metadata["episode"])):
        for i, discount in enumerate(grid["discount"]):
            agent = ValueIteration(discount=discount).fit(X[train], y[train], **taken(metadata, train))
            by_hand[i, fold] = agent.ope_score(X[test], y[test], **taken(metadata, test), method="doubly_robust")
    for agent in (routed(ValueIteration()), make_pipeline(StandardScaler(), routed(ValueIteration()))):
        name = "discount" if agent.get_params().keys() >= {"discount"} else "valueiteration__discount"
        search = GridSearchCV(agent, {name: grid["discount"]}, scoring=OPEScorer(), cv=GroupKFold(2))
        search.fit(X, y, groups=metadata["episode"], **metadata)
        found = np.stack([search.cv_results_[f"split{fold}_test_score"] for fold in (0, 1)], axis=1)
        np.testing.assert_allclose(found, by_hand, rtol=1e-9)
        assert search.best_params_ == {name: 0.9}  # 10 after four steps are more than 1 at once
        assert search.score(X, y, **metadata) == OPEScorer()(search, X, y, **metadata)


def test_a_scorer_hands_on_how_likely_actions_were(log, routing):
    X, y, metadata = log
    scorer = OPEScorer("weighted", discount=0.9).set_score_request(behavior=True)
    steps = metadata | {"behavior": np.full(len(y), 0.5)}
    agent = routed(ValueIteration())
    scores = cross_val_score(agent, X, y, scoring=scorer, cv=KFold(2), params=steps)
    assert np.isfinite(scores).all()
    fitted = agent.fit(X, y, **metadata)
    assert scorer(fitted, X, y, **steps) == fitted.ope_score(X, y, **steps, discount=0.9)


def test_what_cannot_be_scored_says_so(log):
    X, y, metadata = log
    with pytest.raises(ValueError, match="needs the rewards of the steps"):
        OPEScorer()(ValueIteration().fit(X, y), X, y)
    with pytest.raises(ValueError, match=r"one of \['doubly_robust', 'ordinary', 'weighted'\], got 'dr'"):
        OPEScorer("dr")(ValueIteration().fit(X, y), X, y, **metadata)
    with pytest.raises(TypeError, match="needs an agent with ope_score, got StandardScaler"):
        OPEScorer()(StandardScaler().fit(X), X, y, **metadata)


@each_agent
def test_a_log_without_rewards_is_imitated_as_by_any_classifier(cls):
    X, y = load_iris(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), of_log(cls, max_iter=200))
    assert cross_val_score(pipeline, X, y, cv=3).min() > 0.8
    classifier = pipeline.fit(X, np.array(["a", "b", "c"])[y])
    assert set(classifier.predict(X)) == {"a", "b", "c"}
