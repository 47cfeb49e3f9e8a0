"""Training with a stand-in for a network: what a fit promises whatever it trains."""

import warnings
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.callback import CallbackSupportMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from skml.base import FitInterruptedWarning, fit_task, fitting, run_steps
from skml.network import (
    SGD,
    Adam,
    CrossEntropy,
    Data,
    Job,
    Plan,
    Squared,
    cosine,
    evaluate,
    split_rows,
    start_training,
    training_outcome,
    training_steps,
)

CLASSES = 3


class Line:
    """A linear model in the place of a program; its state is the running mean of its outputs."""

    def __init__(self, shape, K, dtype=np.float64):
        self.shape, self.K, self.dtype = shape, K, np.dtype(dtype)
        self.n = int(np.prod(shape))
        flat = np.random.default_rng(0).normal(size=(self.n + 1) * K).astype(dtype)
        self.parameters, self.gradients = SimpleNamespace(flat=flat), SimpleNamespace(flat=np.zeros_like(flat))
        self.states = SimpleNamespace(flat=np.zeros(K, dtype))
        self.seen = []

    def weights(self, flat):
        return flat.reshape(self.n + 1, self.K)

    def forward(self, x, mode):
        self.x = x.reshape(len(x), self.n).copy()
        w = self.weights(self.parameters.flat)
        z = self.x @ w[:-1] + w[-1]
        if mode.train:
            self.seen.append(self.x)
            self.states.flat[:] = 0.9 * self.states.flat + 0.1 * z.mean(axis=0)
        return z

    def backward(self, dy, mode):
        g = self.weights(self.gradients.flat)
        g[:-1], g[-1] = self.x.T @ dy, dy.sum(axis=0)


def classes(rng, n=150, dtype=np.float64):
    X = rng.normal(size=(n, 4)).astype(dtype)
    return X, (X[:, :CLASSES] + 0.3 * rng.normal(size=(n, CLASSES))).argmax(axis=1).astype(np.int32)


def job(data, K=CLASSES, validation=None, **plan):
    plan = Plan(**{"loss": CrossEntropy(), "optimizer": Adam(0.05), "batch_size": 32, "max_iter": 5, **plan})
    return Job(
        Line(data.X.shape[1:], K, np.float32 if data.X.dtype == np.float32 else np.float64), data, plan, validation
    )


def train(job, start=None, seed=1):
    start = start or start_training(job.program, job.plan.optimizer, seed)
    return list(training_steps(job, start))


def same(first, second):
    for name in ("parameters", "states", "best_parameters"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    for ours, theirs in zip(first.moments, second.moments):
        np.testing.assert_array_equal(ours, theirs)
    assert (first.n_steps, first.n_epochs, first.n_batches) == (second.n_steps, second.n_epochs, second.n_batches)
    assert (first.best, first.stalled) == (second.best, second.stalled)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_line_learns(rng, dtype):
    data, validation = Data(*classes(rng, dtype=dtype)), Data(*classes(rng, dtype=dtype))
    work = job(data, validation=validation, max_iter=30)
    steps = train(work)
    assert [step.last for step in steps] == [False] * 29 + [True]
    assert steps[-1].state.outcome == "max_iter"
    assert steps[-1].metrics.keys() == {"loss", "validation_loss", "validation_score", "learning_rate"}
    assert steps[-1].metrics["loss"] < steps[0].metrics["loss"]
    best = LogisticRegression(C=np.inf).fit(data.X, data.y).score(validation.X, validation.y)
    assert steps[-1].metrics["validation_score"] > best - 0.05
    assert steps[-1].state.n_steps == 150
    assert steps[-1].state.parameters.dtype == dtype


def test_one_batch_by_hand():
    X, y = np.array([[1.0], [2.0]]), np.array([3.0, 1.0])
    work = job(Data(X, y, np.array([1.0, 3.0])), K=1, loss=Squared(), optimizer=SGD(0.1, momentum=0.0), max_iter=1)
    work.program.parameters.flat[:] = 1.0, 0.0
    (step,) = train(work)
    # errors -2 and 1, weights 1/4 and 3/4: loss 1 + 3/4; gradients 2 (-2/4 + 2 * 3/4) and 2 (-2/4 + 3/4)
    assert step.metrics["loss"] == pytest.approx(1.75)
    np.testing.assert_allclose(step.state.parameters, [0.8, -0.05])
    np.testing.assert_allclose(step.state.states, [0.1 * 1.5])


def test_an_epoch_meets_each_row_once_in_an_order_of_its_own(rng):
    X = np.arange(70.0)[:, None] / 70
    work = job(Data(X, X[:, 0]), K=1, loss=Squared(), max_iter=3)
    train(work)
    epochs = [np.concatenate(work.program.seen[3 * i : 3 * i + 3])[:, 0] for i in range(3)]
    for seen in epochs:
        np.testing.assert_array_equal(np.sort(seen), X[:, 0])
    assert not np.array_equal(epochs[0], epochs[1])
    assert [len(x) for x in work.program.seen[:3]] == [32, 32, 6]
    work = job(Data(X, X[:, 0]), K=1, loss=Squared(), max_iter=1, shuffle=False)
    train(work)
    np.testing.assert_array_equal(np.concatenate(work.program.seen), X)


def test_the_same_seed_gives_the_same_bits(rng):
    data = Data(*classes(rng))
    noisy = {"augment": lambda x, generator: x + generator.normal(size=x.shape)}
    for options in ({}, noisy):
        first, second, other = (train(job(data, **options), seed=seed)[-1] for seed in (7, 7, 8))
        same(first.state, second.state)
        assert first.metrics == second.metrics
        assert not np.array_equal(first.state.parameters, other.state.parameters)


def test_a_weight_is_a_number_of_copies(rng):
    X, y = classes(rng, 60)
    counts = rng.integers(0, 4, size=60)
    copies = np.repeat(np.arange(60), counts)
    valid = Data(X, y, counts.astype(float)), Data(X[copies], y[copies])
    found = []
    for data in (Data(X, y, counts.astype(np.float64)), Data(X[copies], y[copies])):
        work = job(data, batch_size=500, max_iter=20, validation=valid[len(found)])
        found.append(train(work)[-1])
    np.testing.assert_allclose(found[0].state.parameters, found[1].state.parameters, atol=1e-8)
    for name, value in found[0].metrics.items():
        assert value == pytest.approx(found[1].metrics[name])


def test_class_weights_are_sample_weights(rng):
    X, y = classes(rng)
    of_class = np.array([1.0, 2.0, 5.0])
    first = train(job(Data(X, y), loss=CrossEntropy(class_weight=of_class), validation=Data(X, y)))[-1]
    weighted = Data(X, y, of_class[y])
    second = train(job(weighted, validation=weighted))[-1]
    np.testing.assert_allclose(first.state.parameters, second.state.parameters, rtol=1e-12)
    assert first.metrics == pytest.approx(second.metrics)


# ------------------------------------------------------------------------------------- ends, and going on


def test_early_stopping_restores_the_best(rng):
    X, y = classes(rng, 40)
    flipped = Data(X, ((y + 1) % CLASSES).astype(np.int32))  # the better the training, the worse
    work = job(Data(X, y), validation=flipped, max_iter=50, monitor="validation_loss", patience=4, restore_best=True)
    steps = train(work)
    losses = [step.metrics["validation_loss"] for step in steps]
    best = int(np.argmin(losses))
    assert steps[-1].state.outcome == "patience"
    assert len(steps) == best + 5
    parameters, states = steps[-1].state.model()
    np.testing.assert_array_equal(parameters, steps[best].state.parameters)
    np.testing.assert_array_equal(states, steps[best].state.states)
    work.program.parameters.flat[:] = parameters
    assert evaluate(work, flipped)[0] == pytest.approx(losses[best])
    # while it runs, the model is the last one
    assert steps[-2].state.model()[0] is steps[-2].state.parameters


def test_scores_are_better_when_larger(rng):
    data = Data(*classes(rng))
    work = job(data, validation=data, max_iter=60, monitor="validation_score", patience=3, tol=1e-3, restore_best=True)
    steps = train(work)
    scores = [step.metrics["validation_score"] for step in steps]
    assert steps[-1].state.best == -max(scores)
    assert len(steps) < 60
    assert max(scores[-3:]) <= max(scores[:-3]) + 1e-3


def test_steps_end_a_fit_in_the_midst_of_an_epoch(rng):
    data = Data(*classes(rng))  # five batches
    steps = train(job(data, max_steps=13))
    assert [step.state.n_steps for step in steps] == [5, 10, 13]
    assert [step.state.n_iter for step in steps] == [1, 2, 3]
    assert (steps[-1].state.n_epochs, steps[-1].state.n_batches) == (2, 3)
    assert steps[-1].state.outcome == "max_steps"
    assert train(job(data, max_steps=10**6))[-1].state.outcome == "max_iter"


@pytest.mark.parametrize("stop", [{"max_iter": 2}, {"max_steps": 3}, {"max_steps": 13}, {"max_steps": 15}])
def test_a_resumed_fit_is_the_uninterrupted_one(rng, stop):
    data, validation = Data(*classes(rng)), Data(*classes(rng))
    options = {
        "validation": validation,
        "monitor": "validation_loss",
        "restore_best": not stop.get("max_steps", 0) % 5,  # an epoch cut in two is judged in its midst as well
        "augment": lambda x, generator: x + 0.1 * generator.normal(size=x.shape),
    }
    whole = train(job(data, **options, max_iter=6))[-1].state
    first = train(job(data, **options, **{"max_iter": 6, **stop}))[-1].state
    work = job(data, **options, max_iter=6)
    work.program.parameters.flat[:] = np.nan  # all comes from the state
    second = train(work, start=first)[-1].state
    if stop.get("max_steps", 0) % 5:
        whole, second = (replace(state, best=0.0, stalled=0) for state in (whole, second))
    same(whole, second)
    assert training_outcome(second, work.plan) == "max_iter"


@pytest.mark.parametrize("monitor", ["validation_score", "loss"])
def test_what_an_earlier_plan_kept_is_forgotten(rng, monitor):
    data = Data(*classes(rng))
    stops = {"validation": data, "monitor": monitor, "patience": 1, "tol": 10.0, "restore_best": True}
    first = train(job(data, **stops))[-1].state
    assert first.outcome == "patience"
    assert first.best_parameters is not None
    work = job(data, max_iter=6)
    assert training_outcome(first, work.plan) is None
    second = train(work, start=first)[-1].state
    assert second.model()[0] is second.parameters
    assert second.best_parameters is second.best_states is None
    # a loss is no score: neither the best nor the count of the other figure says anything
    other = job(data, **{**stops, "monitor": "validation_loss", "max_iter": 7})
    assert training_outcome(second, other.plan) is None
    (step,) = train(other, start=second)
    assert (step.state.best, step.state.stalled) == (step.metrics["validation_loss"], 0)


@pytest.mark.parametrize(("n", "batch_size"), [(60, 32), (150, 100)])
def test_a_cut_epoch_goes_on_with_fewer_batches(rng, n, batch_size):
    state = train(job(Data(*classes(rng)), max_steps=13))[-1].state
    assert (state.n_epochs, state.n_batches) == (2, 3)
    work = job(Data(*classes(rng, n)), batch_size=batch_size)  # two batches an epoch
    state = train(work, start=state)[-1].state
    assert (state.outcome, state.n_epochs, state.n_batches, state.n_steps) == ("max_iter", 5, 0, 13 + 3 * 2)


def test_a_training_goes_on_with_other_data(rng):
    work = job(Data(*classes(rng)), max_iter=1, restore_best=True)
    state = train(work)[-1].state
    for n_iter in (2, 3):
        more = job(Data(*classes(rng, 20)), max_iter=n_iter, restore_best=True)
        (step,) = train(more, start=state.again())
        state = step.state
        assert state.n_iter == n_iter
    assert state.n_steps == 5 + 1 + 1


def test_the_schedule_is_followed(rng):
    work = job(Data(*classes(rng)), schedule=cosine, max_iter=4)
    rates = [step.metrics["learning_rate"] for step in train(work)]
    np.testing.assert_allclose(rates, [0.05 * cosine(t, 20) for t in (4, 9, 14, 19)])


@pytest.mark.parametrize("rate", [1e60, 1e200, np.inf])
@pytest.mark.parametrize("validated", [False, True])
def test_a_training_that_diverges_keeps_the_last_finite_weights(rng, rate, validated):
    X, y = classes(rng)
    data = Data(X, X[:, 0])
    work = job(data, K=1, loss=Squared(), optimizer=SGD(0.01), validation=data if validated else None)
    fine = train(work)[-1].state
    work = replace(work, plan=replace(work.plan, optimizer=SGD(rate), max_iter=9))
    with pytest.warns(ConvergenceWarning, match="diverged in epoch 6 at a learning rate"):
        (step,) = train(work, start=fine)
    assert step.last
    assert step.state.outcome == "diverged"
    np.testing.assert_array_equal(step.state.model()[0], fine.parameters)
    assert step.state.n_epochs == 5
    assert not any(np.isnan(value) for value in step.metrics.values())


def test_weights_that_are_finite_but_useless_have_diverged():
    X = np.full((4, 1), 1e30, np.float32)
    work = job(Data(X, np.zeros(4)), K=1, loss=Squared(), optimizer=SGD(1e10), max_iter=1)
    work.program.parameters.flat[:] = 1e-25, 0
    with pytest.warns(ConvergenceWarning):
        (step,) = train(work)
    assert step.state.model()[0].tolist() == [np.float32(1e-25), 0]


def test_a_loss_far_above_the_first_has_diverged():
    # e = w + b - 1 becomes (1 - 4 rate) e, that is -2 e, in each step
    work = job(Data(np.ones((1, 1)), np.ones((1, 1))), K=1, loss=Squared(), optimizer=SGD(0.75, momentum=0.0))
    plan = replace(work.plan, batch_size=1)
    two, three = (replace(work, plan=replace(plan, max_iter=n)) for n in (2, 3))
    work.program.parameters.flat[:] = 0
    quiet = train(two)  # warnings are errors
    assert [step.metrics["loss"] for step in quiet] == [1, 4]
    assert quiet[-1].state.first_loss == 1
    with pytest.warns(ConvergenceWarning, match="last epoch the loss was 16, before the first step 1"):
        (step,) = train(three, start=quiet[-1].state)
    np.testing.assert_array_equal(step.state.model()[0], [4.5, 4.5])
    assert step.state.outcome == "max_iter"


def test_a_loss_that_comes_down_again_has_not_diverged():
    work = job(Data(np.ones((1, 1)), np.ones((1, 1))), K=1, loss=Squared(), optimizer=SGD(1.0, momentum=0.0))
    schedule = [0.75, 0.75, 0.75, 0.25, 0.25]
    plan = replace(work.plan, batch_size=1, max_iter=5, schedule=lambda t, total: schedule[t])
    work.program.parameters.flat[:] = 0
    steps = train(replace(work, plan=plan))
    assert [step.metrics["loss"] for step in steps] == [1, 4, 16, 64, 0]


# ------------------------------------------------------------------------------------------------- data


def test_rows_are_prepared_batch_by_batch(rng):
    raw = rng.integers(256, size=(70, 12)).astype(np.uint8)
    shown = []

    def prepare(rows, out):
        shown.append(len(rows))
        np.divide(rows.reshape(out.shape), 255, out=out)

    y = rng.normal(size=70)
    plain, prepared = Data(raw / 255.0, y), Data(raw, y, prepare=prepare)
    first = train(job(plain, K=1, loss=Squared()))[-1]
    second = train(job(prepared, K=1, loss=Squared()))[-1]
    same(first.state, second.state)
    assert max(shown) == 32
    fortran = Data(np.asfortranarray(raw / 255.0), y)
    same(first.state, train(job(fortran, K=1, loss=Squared()))[-1].state)


def test_a_row_is_its_own_target_without_the_noise(rng):
    X = rng.normal(size=(64, 3))
    seen = []

    def noise(x, generator):
        seen.append(x.copy())
        x += 100
        return x

    work = job(Data(X), K=3, loss=Squared(), augment=noise, max_iter=1, optimizer=SGD(0.0), validation=Data(X))
    work.program.parameters.flat[:] = np.vstack([np.eye(3), np.full((1, 3), -100.0)]).ravel()
    (step,) = train(work)
    assert step.metrics["loss"] == pytest.approx(0, abs=1e-20)
    assert step.metrics["validation_loss"] == pytest.approx(1e4)
    assert step.metrics["validation_score"] == pytest.approx(-1e4)
    np.testing.assert_allclose(np.concatenate(work.program.seen), np.concatenate(seen) + 100)


def test_states_are_not_written_to(rng):
    steps, kept = [], []
    for step in training_steps(work := job(Data(*classes(rng))), start_training(work.program, work.plan.optimizer)):
        steps.append(step)
        kept.append([step.state.parameters.copy(), step.state.states.copy(), *map(np.copy, step.state.moments)])
    for step, copies in zip(steps, kept):
        for ours, theirs in zip([step.state.parameters, step.state.states, *step.state.moments], copies):
            np.testing.assert_array_equal(ours, theirs)


def test_splits(seed):
    training, validation = split_rows(100, 0.1, seed)
    assert len(validation) == 10
    np.testing.assert_array_equal(np.sort(np.concatenate([training, validation])), np.arange(100))
    np.testing.assert_array_equal(split_rows(100, 0.1, seed)[1], validation)
    codes = np.repeat([0, 1, 2], [60, 30, 10])
    _, validation = split_rows(100, 0.2, seed, codes)
    np.testing.assert_array_equal(np.bincount(codes[validation]), [12, 6, 2])
    training, _ = split_rows(7, 0.5, seed, np.array([0, 1, 2, 3, 4, 4, 4]))
    assert {0, 1, 2, 3} <= set(training.tolist())
    for n, codes in ((1, None), (3, np.arange(3))):
        with pytest.raises(ValueError, match="leaves"):
            split_rows(n, 0.5, seed, codes)


# ----------------------------------------------------------------------------------- driven by an estimator


class Shell(CallbackSupportMixin, BaseEstimator):
    """The least that drives a training."""

    _parameter_constraints = {}

    @fitting
    def fit(self, X, y, during=None):
        work = job(Data(X, y), augment=during)
        with fit_task(self, X=X, y=y, max_subtasks=None) as context:
            steps = training_steps(work, start_training(work.program, work.plan.optimizer))
            run = run_steps(self, context, steps, task="epoch", attributes=lambda state, history: {"history_": history})
            self.state_, self.history_ = run.state, run.history
        return self


def test_an_interrupted_fit_keeps_the_last_finished_epoch(rng):
    X, y = classes(rng)
    calls = []

    def interrupt(x, generator):
        calls.append(len(x))
        if len(calls) == 13:
            raise KeyboardInterrupt
        return x

    with pytest.warns(FitInterruptedWarning, match="last finished epoch"):
        stopped = Shell().fit(X, y, interrupt)
    assert stopped.state_.n_steps == 10
    assert len(stopped.history_["loss"]) == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole = Shell().fit(X, y)
    assert whole.history_["loss"][:2] == stopped.history_["loss"]
