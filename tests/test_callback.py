"""EarlyStopping, TimeBudget, History, Checkpoint and step-wise fits, on an estimator whose answer is known by hand."""

import os
import pathlib
import re
import stat
import time
import warnings

import numpy as np
import pandas
import pytest
import skops.io
from _contract.listening import Listener
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.callback import CallbackSupportMixin
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KBinsDiscretizer, StandardScaler

import skml
from skml import PCA, callback
from skml.base import FitInterruptedWarning, Step, fit_task, fitting, run_steps, validate_X
from skml.callback import Checkpoint, EarlyStopping, History, TimeBudget
from skml.reinforcement import CartPole, FrozenLake, TileCoding

REPOSITORY = pathlib.Path(__file__).parents[1]


class Halving(CallbackSupportMixin, TransformerMixin, BaseEstimator):
    """Halves a number per step: after n steps ``value_`` is 2 ** -n."""

    _parameter_constraints = {"max_iter": [int], "floor": [float], "sleep": [float], "warm_start": ["boolean"]}

    def __init__(self, max_iter=10, floor=0.0, sleep=0.0, warm_start=False):
        self.max_iter = max_iter
        self.floor = floor
        self.sleep = sleep
        self.warm_start = warm_start

    @fitting
    def fit(self, X, y=None):
        warm = self.warm_start and hasattr(self, "value_")
        value, done, history = (self.value_, self.n_iter_, self.history_) if warm else (1.0, 0, None)
        X = validate_X(self, X, reset=True)
        with fit_task(self, X=X, y=y, max_subtasks=self.max_iter) as context:
            run = run_steps(
                self,
                context,
                self._steps(value, done),
                task="halving",
                attributes=self._attributes,
                X=X,
                y=y,
                history=history,
            )
            vars(self).update(self._attributes(run.state, run.history))
        return self

    def _steps(self, value, done):
        for step in range(done, self.max_iter):
            time.sleep(self.sleep)
            value = max(value / 2, self.floor)
            yield Step((value, step + 1), {"loss": value}, last=step + 1 == self.max_iter)

    @staticmethod
    def _attributes(state, history):
        return {"value_": state[0], "n_iter_": state[1], "history_": history}

    def transform(self, X):
        return validate_X(self, X, reset=False) * self.value_


class InterruptAt(Listener):
    """Press Ctrl-C at the beginning of a given step."""

    def __init__(self, step):
        self.step = step

    def teardown(self, estimator, context):
        self.torn_down = True

    def on_fit_task_begin(self, estimator, context):
        if context.task_name == "halving" and context.task_id == self.step:
            raise KeyboardInterrupt


X = np.arange(6.0).reshape(3, 2)


def test_all_steps_run_and_are_recorded():
    fitted = Halving(max_iter=3).fit(X)
    assert fitted.history_ == {"loss": [0.5, 0.25, 0.125]}
    assert fitted.n_iter_ == 3


def test_early_stopping_waits_for_its_patience():
    # 0.5, 0.25, then the floor of 0.2 at steps 3, 4, 5: the third is the last improvement.
    fitted = Halving(floor=0.2).set_callbacks(EarlyStopping(patience=2)).fit(X)
    assert fitted.n_iter_ == 5


def test_early_stopping_counts_only_changes_of_min_delta():
    # 0.5 -> 0.25 improves by 0.25, 0.25 -> 0.125 by less than 0.2.
    fitted = Halving().set_callbacks(EarlyStopping(patience=1, min_delta=0.2)).fit(X)
    assert fitted.n_iter_ == 3


def test_early_stopping_warns_of_a_fit_without_steps(rng):
    X = rng.normal(size=(30, 4))
    with pytest.warns(UserWarning, match=r"PCA\(svd_solver='auto'\) took no steps; svd_solver='em' takes") as caught:
        PCA(2).set_callbacks(EarlyStopping("error")).fit(X)
    assert [warning.filename for warning in caught] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        PCA(2, svd_solver="em", random_state=0).set_callbacks(EarlyStopping("error")).fit(X)
        done = Halving(max_iter=3, warm_start=True).fit([[0.0]])
        done.set_params(max_iter=4).set_callbacks(EarlyStopping("loss")).fit([[0.0]])


def fits_of_the_table():
    """Return each line of the table in docs/callbacks.md as (estimator, method, X, keys of history_)."""
    X = np.random.default_rng(0).normal(size=(60, 5))
    holes = np.where(np.random.default_rng(1).random(X.shape) < 0.1, np.nan, X)
    lines = (REPOSITORY / "docs" / "callbacks.md").read_text().splitlines()
    for line in lines:
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        for name, method in re.findall(r"`(\w+)\.(fit|partial_fit)`", cells[0]) if len(cells) == 3 else ():
            params = dict(re.findall(r'`(\w*solver)="(\w+)"`', cells[0]))
            params |= {"solver": "sgd"} if (name, method) == ("LinearAutoencoder", "partial_fit") else {}
            cls = getattr(skml, name)
            yield cls(**params), method, holes if "NaN" in cells[0] else X, set(re.findall(r'`"(\w+)"`', cells[2]))


@pytest.mark.filterwarnings("ignore:.*did not converge", "ignore:All weights are 0")
def test_the_table_of_steps_is_true():
    fits = list(fits_of_the_table())
    assert len(fits) == 28
    for estimator, method, X, keys in fits:
        callback = History()
        getattr(estimator.set_callbacks(callback), method)(X, np.arange(len(X)) % 2)
        assert getattr(estimator, "history_", {}).keys() == keys, (estimator, method)
        assert bool(callback.records) == bool(keys), (estimator, method)
        assert all(record.keys() >= keys for record in callback.records)
        assert {type(record[key]) for record in callback.records for key in keys} <= {float}


def test_early_stopping_can_maximise():
    assert Halving().set_callbacks(EarlyStopping(patience=4, mode="max")).fit(X).n_iter_ == 5


def test_early_stopping_names_what_it_could_monitor():
    with pytest.raises(ValueError, match=r"cannot monitor 'score' of Halving: it records \['loss'\]"):
        Halving().set_callbacks(EarlyStopping(monitor="score")).fit(X)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EarlyStopping(patience=0), "patience"),
        (lambda: EarlyStopping(min_delta=-1.0), "min_delta"),
        (lambda: EarlyStopping(mode="up"), "mode must be 'min' or 'max', got 'up'"),
        (lambda: TimeBudget(0), "seconds"),
        (lambda: TimeBudget(float("nan")), "seconds must be a number, got nan"),
        (lambda: Checkpoint("x", every=0), "every"),
        (lambda: Checkpoint("no such folder/x"), "path must name a file in a folder that exists"),
        (lambda: Checkpoint(os.curdir), "path must name a file in a folder that exists"),
    ],
)
def test_bad_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_time_budget_finishes_the_step_it_is_in():
    budget = TimeBudget(0.05)
    fitted = Halving(max_iter=1000, sleep=0.02).set_callbacks(budget).fit(X)
    assert 1 <= fitted.n_iter_ <= 4
    assert budget._starts == {}


def test_history_has_a_record_per_step_inside_a_pipeline():
    history = History()
    make_pipeline(StandardScaler(), Halving(max_iter=4).set_callbacks(history)).fit(X)
    assert [record["loss"] for record in history.records] == [0.5, 0.25, 0.125, 0.0625]
    assert [record["step"] for record in history.records] == [0, 1, 2, 3]
    assert {record["estimator"] for record in history.records} == {"Halving"}


def test_callbacks_reach_the_clones_of_a_grid_search():
    history = History()
    search = GridSearchCV(
        Halving().set_callbacks(EarlyStopping(patience=1, min_delta=0.2), history),
        {"floor": [0.0, 0.1]},
        cv=2,
        scoring=lambda estimator, X, y=None: -estimator.value_,
    )
    search.fit(np.arange(8.0).reshape(4, 2))
    assert search.best_estimator_.n_iter_ == 3
    assert len(history.records) == 5 * 3


def test_interrupt_keeps_the_last_finished_step():
    interrupt = InterruptAt(2)
    with pytest.warns(FitInterruptedWarning, match="last finished halving is kept"):
        fitted = Halving().set_callbacks(interrupt).fit(X)
    assert fitted.value_ == 0.25
    assert interrupt.torn_down


def test_interrupt_before_the_first_step_leaves_the_estimator_as_it_was():
    fitted = Halving(max_iter=2).fit(X)
    with pytest.raises(KeyboardInterrupt):
        fitted.set_callbacks(InterruptAt(0)).fit(np.ones((3, 5)))
    assert fitted.n_features_in_ == 2
    assert fitted.value_ == 0.25


def test_a_failing_callback_leaves_the_estimator_as_it_was():
    fitted = Halving(max_iter=2).fit(X)
    with pytest.raises(ValueError, match="cannot monitor"):
        fitted.set_callbacks(EarlyStopping(monitor="nothing")).fit(np.ones((3, 5)))
    assert fitted.n_features_in_ == 2
    assert not any("callback_ctx" in name for name in vars(fitted))


@pytest.fixture
def trusted():
    return [f"{Halving.__module__}.Halving"]


def test_checkpoint_and_warm_start_equal_the_uninterrupted_fit(tmp_path, trusted):
    path = tmp_path / "model.skops"
    with pytest.warns(FitInterruptedWarning):
        Halving().set_callbacks(Checkpoint(path, every=2), InterruptAt(5)).fit(X)
    whole = Halving().fit(X)
    saved = Checkpoint.load(path, trusted=trusted)
    assert saved.n_iter_ == 5  # the end of the interrupted fit is saved too
    resumed = saved.set_params(warm_start=True).fit(X)
    assert (resumed.value_, resumed.n_iter_, resumed.history_) == (whole.value_, whole.n_iter_, whole.history_)


def test_checkpoint_is_written_every_so_often(tmp_path, trusted):
    path = tmp_path / "model.skops"
    seen = []

    class Look(InterruptAt):
        def on_fit_task_begin(self, estimator, context):
            if context.task_name == "halving":
                seen.append(Checkpoint.load(path, trusted=trusted).n_iter_ if path.exists() else 0)

    Halving(max_iter=6).set_callbacks(Checkpoint(path, every=2), Look(None)).fit(X)
    assert seen == [0, 0, 2, 2, 4, 4]
    assert Checkpoint.load(path, trusted=trusted).n_iter_ == 6


def test_checkpoint_holds_no_callbacks(tmp_path, trusted):
    path = tmp_path / "model.skops"
    Halving().set_callbacks(Checkpoint(path)).fit(X)
    assert not hasattr(Checkpoint.load(path, trusted=trusted), "_skl_callbacks")


def test_checkpoint_refuses_types_it_does_not_know(tmp_path):
    path = tmp_path / "model.skops"
    Halving().set_callbacks(Checkpoint(path)).fit(X)
    with pytest.raises(ValueError, match=r"types that are not trusted: \['.*Halving'\]"):
        Checkpoint.load(path)


class Planted:
    """No type of skml, whatever its name says."""


@pytest.mark.parametrize("name", ["skml.callback.os", "skml.callback.np", "skml.nowhere.Bins", "skml.callback.Planted"])
def test_checkpoint_trusts_only_classes_that_skml_defines(tmp_path, monkeypatch, name):
    assert callback._is_ours("skml.ensemble.binning.Bins")
    monkeypatch.setattr(callback, "Planted", Planted, raising=False)
    monkeypatch.setattr(skops.io, "get_untrusted_types", lambda data: [name])
    path = tmp_path / "model.skops"
    path.write_bytes(b"never read")
    with pytest.raises(ValueError, match=rf"types that are not trusted: \['{name}'\]"):
        Checkpoint.load(path)


RATED = np.array([["a", "x"], ["a", "y"], ["b", "x"], ["b", "z"], ["c", "y"], ["c", "z"]], dtype=object)
ATTRIBUTES = pandas.DataFrame({"year": [1.0, 2.0, 3.0], "kind": ["p", "q", "p"]}, index=["x", "y", "z"])
BINS = KBinsDiscretizer(4, encode="ordinal", quantile_method="averaged_inverted_cdf")
POLE = {"max_steps": 500, "random_state": 0}
HELD_BESIDE = {
    "actor": lambda saved: skml.ActorCritic(**POLE).set_callbacks(saved).fit(CartPole()),
    "advantage": lambda saved: skml.AdvantageActorCritic(**POLE).set_callbacks(saved).fit(CartPole()),
    "reinforce": lambda saved: skml.Reinforce(**POLE).set_callbacks(saved).fit(CartPole()),
    "bins": lambda saved: skml.QLearning(discretizer=BINS, **POLE).set_callbacks(saved).fit(CartPole()),
    "tiles": lambda saved: skml.SARSA(discretizer=TileCoding(), **POLE).set_callbacks(saved).fit(CartPole()),
    "lake": lambda saved: skml.PolicyIteration().set_callbacks(saved).fit(FrozenLake()),
    "plain content": lambda saved: skml.ContentFilter().set_callbacks(saved).fit(RATED, np.arange(6.0)),
    "content": lambda saved: (
        skml.ContentFilter().set_callbacks(saved).fit(RATED, np.arange(6.0), item_features=ATTRIBUTES)
    ),
    "factors": lambda saved: (
        skml.MatrixFactorization(2, random_state=0)
        .set_callbacks(saved)
        .fit(RATED, np.arange(6.0), item_features=ATTRIBUTES)
    ),
}


@pytest.mark.parametrize("kind", HELD_BESIDE)
def test_checkpoint_trusts_what_it_has_written(tmp_path, kind):
    path = tmp_path / "model.skops"
    fitted = HELD_BESIDE[kind](Checkpoint(path))
    loaded = Checkpoint.load(path)
    X = RATED if hasattr(fitted, "user_ids_") else observed(fitted)
    np.testing.assert_array_equal(loaded.predict(X), fitted.predict(X))


def observed(agent):
    """Return observations of the pole, or numbers of states of a lake."""
    return np.zeros((3, agent.n_features_in_)) + np.arange(3)[:, None] / (1 if agent.n_features_in_ == 1 else 100)


def test_checkpoint_trusts_no_function_of_skml(tmp_path, monkeypatch):
    monkeypatch.setattr(skops.io, "get_untrusted_types", lambda data: ["skml.callback._write_whole"])
    path = tmp_path / "model.skops"
    path.write_bytes(b"never read")
    with pytest.raises(ValueError, match="types that are not trusted"):
        Checkpoint.load(path)


def test_a_file_of_something_else_is_refused(tmp_path):
    path = tmp_path / "model.skops"
    path.write_bytes(skops.io.dumps(StandardScaler().fit(X)))
    with pytest.raises(ValueError, match="holds a StandardScaler, which is not an estimator of skml"):
        Checkpoint.load(path)


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"x" * 100])
def test_a_damaged_checkpoint_is_refused(tmp_path, damage, trusted):
    path = tmp_path / "model.skops"
    Halving().set_callbacks(Checkpoint(path)).fit(X)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match="is not a whole checkpoint"):
        Checkpoint.load(path, trusted=trusted)


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failed_write_keeps_the_old_file_and_leaves_nothing_behind(tmp_path, monkeypatch, failing):
    path = tmp_path / "model.skops"
    path.write_bytes(b"old")
    path.chmod(0o640)

    def fail(*args):
        raise OSError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr(os, failing, fail)
        with pytest.raises(OSError, match="no space left"):
            Halving().set_callbacks(Checkpoint(path)).fit(X)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["model.skops"]
    Halving().set_callbacks(Checkpoint(path)).fit(X)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
