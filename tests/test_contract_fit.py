"""What surrounds a fit: callbacks, history, interruption, and all or nothing."""

import warnings

import numpy as np
import pytest
from _contract.cases import (
    VARIANTS,
    answers,
    assert_finite,
    assert_same,
    classes,
    data,
    each_class,
    each_variant,
    label,
    make,
    state,
    with_recurring_ids,
)
from _contract.listening import Listener
from sklearn.base import clone
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skml.base import FitInterruptedWarning
from skml.callback import History

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


class Recorder(Listener):
    """Keeps what callbacks are told, and raises or asks to stop at the end of a given step."""

    def __init__(self, at=None, raises=None, when="end"):
        self.at = at
        self.raises = raises
        self.when = when
        self.begun, self.ended, self.snapshots = [], [], []

    def _act(self, when, steps):
        if self.when == when and len(steps) == self.at:
            if self.raises is None:
                return True
            raise self.raises
        return False

    def on_fit_task_begin(self, estimator, context):
        if is_step(context):
            self.begun.append(context.task_id)
            self._act("begin", self.begun)

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        if not is_step(context):
            return False
        self.ended.append(context.task_id)
        self.snapshots.append(fitted_estimator)
        return self._act("end", self.ended)


def is_step(context):
    """Tell whether a context is a leaf below the root of its estimator's fit."""
    return context.max_subtasks == 0 and context.parent is not None


def hard_data(cls, rng, params=None):
    """Return data on which an iterative fit takes more than two steps: groups that overlap, missing values for EM."""
    X, y = data(cls, rng, n=240)
    X = with_recurring_ids(cls, X + rng.normal(size=X.shape) * 6)
    if params and params.get("svd_solver") == "em":
        X[rng.random(X.shape) < 0.1] = np.nan
    return X, y


def recorded(cls, params, rng, **how):
    """Fit with a recorder and return both, with the data."""
    X, y = hard_data(cls, rng, params)
    recorder = Recorder(**how)
    estimator = make(cls, params).set_callbacks(recorder)
    return estimator, recorder, X, y


# Settings with which a fit takes several steps.
ITERATIVE = {
    "AdaBoost": [{"n_estimators": 12}, {"n_estimators": 12, "algorithm": "SAMME.R", "max_depth": 2}],
    "ConvAutoencoder": [{"max_iter": 5}, {"max_iter": 6, "early_stopping": True, "validation_fraction": 0.3}],
    "ConvClassifier": [{"max_iter": 5}, {"max_iter": 6, "augment": "flip", "dropout": 0.1}],
    "ConvRegressor": [{"max_iter": 5}],
    "FineTunedClassifier": [{"max_iter": 4}],
    "KMeansPP": [{"n_clusters": 5}, *VARIANTS["KMeansPP"][:5]],
    "LinearAutoencoder": [
        {"solver": "als", "n_components": 2, "tol": 0.0},
        {"solver": "sgd", "n_components": 2, "max_iter": 20},
    ],
    "NeighborhoodFilter": [
        {"solver": "slim", "alpha": 2.0, "n_neighbors": 2},
        {"solver": "slim", "alpha": 1.0, "n_neighbors": 2, "feedback": "implicit", "positive": True},
    ],
    "MatrixFactorization": [
        {"n_components": 2, "tol": 0.0, "max_iter": 5},
        {"n_components": 2, "tol": 0.0, "max_iter": 5, "inner": "cg"},
        {"n_components": 2, "solver": "ccd", "tol": 0.0, "max_iter": 5},
        {"n_components": 2, "solver": "svd", "alpha": 0.1, "tol": 0.0, "max_iter": 5},
        {"n_components": 2, "solver": "sgd", "tol": None, "max_iter": 5},
    ],
    "PCA": [{"svd_solver": "em", "n_components": 2}],
    "RNNLanguageModel": [{"max_iter": 4}, {"max_iter": 4, "early_stopping": True, "validation_fraction": 0.3}],
    "TransformerLanguageModel": [{"max_iter": 4}, {"max_iter": 4, "batching": "pad", "dropout": 0.1}],
}
iterative = pytest.mark.parametrize(
    ("cls", "params"),
    [
        pytest.param(cls, params, id=f"{cls.__name__}-{label(params)}")
        for cls in classes()
        for params in ITERATIVE.get(cls.__name__, [])
    ],
)


@each_variant
def test_history_has_one_entry_per_task(cls, params, rng):
    if "n_init" in cls().get_params():  # with several, the history is that of the best
        params = {**params, "n_init": 1}
    estimator, recorder, X, y = recorded(cls, params, rng)
    estimator.fit(X, y)
    assert recorder.begun == recorder.ended
    if recorder.ended:
        assert estimator.history_
    for name, values in getattr(estimator, "history_", {}).items():
        assert len(values) == len(recorder.ended), name
        assert np.isfinite(values).all(), name


@iterative
def test_iterations_are_tasks(cls, params, rng):
    estimator, recorder, X, y = recorded(cls, params, rng)
    estimator.fit(X, y)
    assert len(recorder.ended) >= 3
    assert recorder.ended == list(range(len(recorder.ended)))


@iterative
def test_callbacks_change_nothing(cls, params, rng):
    estimator, _, X, y = recorded(cls, params, rng)
    assert_same(answers(estimator.fit(X, y), X), answers(make(cls, params).fit(X, y), X))


@iterative
def test_each_task_shows_a_model_that_works(cls, params, rng):
    estimator, recorder, X, y = recorded(cls, params, rng)
    estimator.fit(X, y)
    for snapshot in recorder.snapshots:
        assert isinstance(snapshot, cls)
        assert_finite(answers(snapshot, X))
    first, last = (answers(recorder.snapshots[i], X) for i in (0, -1))
    assert any(not np.array_equal(value, last[name]) for name, value in first.items())


@iterative
def test_a_callback_stops_the_fit(cls, params, rng):
    estimator, recorder, X, y = recorded(cls, params, rng, at=2)
    estimator.fit(X, y)
    assert recorder.ended == [0, 1]
    assert {len(values) for values in estimator.history_.values()} == {2}
    assert_same(answers(estimator, X), answers(recorder.snapshots[-1], X))


@iterative
@pytest.mark.parametrize("when", ["begin", "end"])
def test_ctrl_c_keeps_the_last_finished_task(cls, params, when, rng):
    estimator, recorder, X, y = recorded(cls, params, rng, at=2, raises=KeyboardInterrupt, when=when)
    with pytest.warns(FitInterruptedWarning, match=f"{cls.__name__}.fit was interrupted"):
        estimator.fit(X, y)
    kept = -1 if when == "begin" else len(recorder.snapshots) - 1
    assert_finite(answers(estimator, X))
    assert {len(values) for values in estimator.history_.values()} <= {1, 2}
    assert_same(answers(estimator, X), answers(recorder.snapshots[kept], X))
    leftover = [name for name in vars(estimator) if name in ("_callback_fit_ctx", "_skl_callbacks_to_teardown")]
    assert leftover == []


@iterative
def test_an_error_in_a_callback_leaves_the_old_model(cls, params, rng):
    estimator, _, X, y = recorded(cls, params, rng, at=2, raises=RuntimeError("disk full"))
    with pytest.raises(RuntimeError, match="disk full"):
        estimator.fit(X, y)
    assert state(estimator) == {}
    X_old, y_old = data(cls, rng)
    fitted = make(cls, params).fit(X_old, y_old)
    before, held = answers(fitted, X_old), set(vars(fitted))
    fitted.set_callbacks(Recorder(at=2, raises=RuntimeError("disk full")))
    with pytest.raises(RuntimeError, match="disk full"):
        fitted.fit(X, y)
    assert_same(answers(fitted, X_old), before)
    assert set(vars(fitted)) - held <= {"_skl_callbacks"}


@pytest.mark.parametrize("method", ["fit", "partial_fit", "fit_transform", "fit_predict"])
@each_variant
def test_a_failed_fit_leaves_the_old_model(cls, params, method, rng):
    if not hasattr(make(cls, params), method):
        return
    X, y = data(cls, rng)
    estimator = make(cls, params).fit(X, y)
    before, held = answers(estimator, X), state(estimator)
    spoiled = X.copy()
    spoiled[-1, -1] = np.inf
    for bad in (spoiled, X[:0], np.full(X.shape, "word"), X[:, :, np.newaxis]):
        with pytest.raises((ValueError, TypeError)):
            getattr(estimator, method)(bad, y)
        assert state(estimator).keys() == held.keys()
        assert_same(answers(estimator, X), before)


def scorer(estimator, X, y=None):
    """Score a model by the sum of all it says."""
    return float(sum(np.sum(value) for value in answers(estimator, X).values() if value.dtype.kind in "fiu"))


@each_class
def test_progress_bar_inside_pipeline_and_grid_search(cls, rng, capsys):
    X, y = hard_data(cls, rng)
    y = np.zeros(len(X), dtype=int) if y is None else y
    pipeline = make_pipeline(StandardScaler(), make(cls))
    plain = clone(pipeline).fit(X, y)
    with_bar = clone(pipeline).set_callbacks(ProgressBar(max_propagation_depth=None)).fit(X, y)
    assert_same(answers(with_bar[-1], X), answers(plain[-1], X))
    assert cls.__name__ in capsys.readouterr().out
    search = GridSearchCV(pipeline, {"standardscaler__with_mean": [True, False]}, scoring=scorer, cv=2)
    search.set_callbacks(ProgressBar(max_propagation_depth=None)).fit(X, y)
    assert_finite(answers(search.best_estimator_[-1], X))
    assert cls.__name__ in capsys.readouterr().out


@iterative
def test_monitors_inside_pipeline_and_grid_search(cls, params, rng):
    X, y = hard_data(cls, rng, params)
    y = np.zeros(len(X), dtype=int) if y is None else y
    monitor, history = ScoringMonitor(scoring={"score": scorer}), History()
    estimator = make(cls, params).set_callbacks(monitor, history)
    fitted = make_pipeline(StandardScaler(), estimator).fit(X, y)[-1]
    steps = len(next(iter(fitted.history_.values())))
    rows = [row for row in monitor.get_logs().data if "score" in row]
    assert len(rows) >= steps
    assert all(np.isfinite(row["score"]) for row in rows)
    assert len(history.records) == steps
    size = next(
        name for name in ("n_components", "n_clusters", "n_estimators", "n_neighbors", "max_iter") if name in params
    )
    search = GridSearchCV(estimator, {size: [2, 3]}, scoring=scorer, cv=2)
    search.fit(X, y)
    assert len(history.records) > steps
    assert len(monitor.get_logs("all")) >= 2


@each_class
def test_a_fit_that_did_not_converge_says_so_once(cls, rng):
    if "max_iter" not in cls().get_params():
        return
    X, y = hard_data(cls, rng)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        estimator = make(cls).set_params(max_iter=1).fit(X, y)
    assert_finite(answers(estimator, X))
    assert all(issubclass(w.category, ConvergenceWarning) for w in caught)
    assert len(caught) <= 1
