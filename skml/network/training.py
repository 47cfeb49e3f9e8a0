"""Training: fit -> epoch -> step, over mini-batches, for any network and loss.

A fit is a generator of one :class:`~skml.base.Step` per epoch. Nothing that it yields is written to later, so whoever
drives it may stop at any time and keep the last state. What chance decides depends on the seed and on the number of
the epoch or step alone: a fit that is resumed goes on as if it had never stopped.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from numbers import Real

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from skml.base import Step, warn_caller
from skml.network.layers import Mode
from skml.network.optimizers import Adam
from skml.network.schedules import constant

__all__ = [
    "Data",
    "Job",
    "Plan",
    "Training",
    "evaluate",
    "split_rows",
    "start_training",
    "training_outcome",
    "training_steps",
]

# A last epoch whose loss is so many times that before the first step has led away from what was to be learnt. Losses
# below 1 (a deviation, or a factor of e in a probability) are none of a network that is lost. So many rows, or one
# batch if that is more, tell the loss before the first step.
WORSE, FEW = 5.0, 256
# What random numbers are for: none are used twice.
_SHUFFLE, _AUGMENT, _SPLIT = range(3)


@dataclass(frozen=True)
class Data:
    """Rows to learn from, or to validate with.

    Attributes
    ----------
    X : ndarray of shape (n_samples, ...)
        Samples; batches are reshaped to what the network takes.
    y : ndarray of shape (n_samples, ...) or None, default=None
        Targets as the loss takes them; None means that each sample is its own.
    weights : ndarray of shape (n_samples,), float64, or None, default=None
        Of the rows; those of weight 0 are left out.
    prepare : callable or None, default=None
        ``prepare(rows_of_X, out)`` writes a batch to `out`, the network's dtype; None copies the numbers.
    arrange : callable or None, default=None
        ``arrange(rows, generator)`` gives the order in which an epoch takes the rows, where a plan shuffles; None draws
        any. Rows that follow each other, such as parts of a long text, need one: see :class:`StreamOrder`.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import Data
    >>> Data(np.zeros((3, 2)), weights=np.array([1.0, 0.0, 2.0])).rows()
    array([0, 2])
    """

    X: np.ndarray
    y: np.ndarray | None = None
    weights: np.ndarray | None = None
    prepare: Callable | None = None
    arrange: Callable | None = field(default=None, kw_only=True)

    def rows(self):
        """Return the numbers of the rows that count.

        Returns
        -------
        rows : ndarray of int
            Those whose weight is not 0, ascending.
        """
        return np.arange(len(self.X)) if self.weights is None else np.flatnonzero(self.weights > 0)

    def take(self, rows, buffer):
        """Return some rows as a batch.

        Parameters
        ----------
        rows : ndarray of shape (b,), int
            Which ones.
        buffer : ndarray of shape (B, ...)
            Where the samples are written, in the network's dtype.

        Returns
        -------
        x : ndarray of shape (b, ...)
            The first rows of `buffer`.
        y : ndarray of shape (b, ...)
            Their targets.
        weights : ndarray of shape (b,) or None
            Their weights.
        """
        x = buffer[: len(rows)]
        if self.prepare is not None:
            self.prepare(self.X[rows], x)
        elif self.X.dtype == x.dtype and self.X.flags.c_contiguous:  # else `take` would copy all of X
            np.take(self.X, rows, axis=0, out=x.reshape(len(rows), *self.X.shape[1:]), mode="clip")
        else:
            x[...] = self.X[rows].reshape(x.shape)
        y = x if self.y is None else self.y[rows]
        return x, y, None if self.weights is None else self.weights[rows]


@dataclass(frozen=True)
class Plan:
    """How to train.

    Attributes
    ----------
    loss : object
        Such as :class:`~skml.network.CrossEntropy`.
    optimizer : object
        Such as :class:`~skml.network.Adam`.
    schedule : callable, default=constant
        Of (step, total): what the learning rate is multiplied with, finite and at least 0.
    batch_size : int, default=64
        Rows in a batch; the last of an epoch may have fewer.
    max_iter : int, default=20
        The most epochs, those of the start included.
    max_steps : int or None, default=None
        The most steps, those of the start included; an epoch is left in its midst if need be.
    shuffle : bool, default=True
        Whether each epoch takes the rows in an order of its own.
    augment : callable or None, default=None
        ``augment(x, generator)`` gives what the network is shown instead of the batch x, which it may write to: finite
        numbers in the same shape.
    monitor : {"loss", "validation_loss", "validation_score"}, default="loss"
        What tells whether an epoch is better.
    patience : int or None, default=None
        Epochs in a row without an improvement by `tol` after which to stop; None never does.
    tol : float, default=0.0
        What counts as an improvement.
    restore_best : bool, default=False
        Whether the finished model is that of the best epoch.
    n_threads : int, default=1
        No result depends on it.

    Examples
    --------
    >>> from skml.network import CrossEntropy, Plan
    >>> Plan(CrossEntropy(), max_iter=3, max_steps=100).total(n_batches=50)
    100
    """

    loss: object
    optimizer: object = field(default_factory=Adam)
    schedule: Callable = constant
    batch_size: int = 64
    max_iter: int = 20
    max_steps: int | None = None
    shuffle: bool = True
    augment: Callable | None = None
    monitor: str = "loss"
    patience: int | None = None
    tol: float = 0.0
    restore_best: bool = False
    n_threads: int = 1

    def total(self, n_batches):
        """Return how many steps a whole fit takes.

        Parameters
        ----------
        n_batches : int
            Of an epoch.

        Returns
        -------
        total : int
            At most `max_steps`.
        """
        total = self.max_iter * n_batches
        return total if self.max_steps is None else min(total, self.max_steps)

    def factor(self, t, total):
        """Return what the learning rate is multiplied with in a step.

        Parameters
        ----------
        t : int
            The number of the step, from 0.
        total : int
            How many there are.

        Returns
        -------
        factor : float
            The schedule's.

        Raises
        ------
        ValueError
            If that is no finite number of at least 0.
        """
        value = self.schedule(t, total)
        if not (isinstance(value, Real) and 0 <= value < math.inf):
            raise ValueError(
                f"The schedule of the learning rate gave {value!r} for step {t} of {total}; what it gives must be a "
                "finite number of at least 0."
            )
        return float(value)


@dataclass(frozen=True)
class Training:
    """Where a training stands. Its arrays are never written to.

    Attributes
    ----------
    parameters, states : ndarray of shape (n_parameters,) and (n_states,)
        The network's, after the last step.
    moments : tuple of ndarray of shape (n_parameters,)
        The optimizer's.
    seed : int
        What chance depends on.
    n_steps, n_epochs, n_batches : int
        Steps and whole epochs done, and batches of the next epoch that are done already.
    first_loss : float or None
        That before the first step, of some hundred rows.
    best : float
        The best monitored figure; of a score the negative.
    best_parameters, best_states : ndarray or None
        The network's at the end of that epoch, if they are to be restored.
    stalled : int
        The last epochs without an improvement.
    monitor : str or None
        Which figure `best` and `stalled` are about.
    outcome : {None, "max_iter", "max_steps", "patience", "diverged", "callback", "interrupt"}
        Why no epoch follows; the last two are for whoever drives :func:`training_steps` to set.
    """

    parameters: np.ndarray
    states: np.ndarray
    moments: tuple
    seed: int = 0
    n_steps: int = 0
    n_epochs: int = 0
    n_batches: int = 0
    first_loss: float | None = None
    best: float = math.inf
    best_parameters: np.ndarray | None = None
    best_states: np.ndarray | None = None
    stalled: int = 0
    monitor: str | None = None
    outcome: str | None = None

    @property
    def n_iter(self):
        """How many epochs have been begun."""
        return self.n_epochs + (self.n_batches > 0)

    def model(self):
        """Return what to predict with: the best epoch's if the training has ended and kept it, else the last.

        Returns
        -------
        parameters, states : ndarray of shape (n_parameters,) and (n_states,)
            Of the network.
        """
        if self.outcome is None or self.best_parameters is None:
            return self.parameters, self.states
        return self.best_parameters, self.best_states

    def again(self):
        """Return a training that may go on with other data: what has been best so far is forgotten.

        Returns
        -------
        training : Training
            With the same parameters, states and moments.
        """
        return replace(
            self,
            n_batches=0,
            first_loss=None,
            best=math.inf,
            best_parameters=None,
            best_states=None,
            stalled=0,
            outcome=None,
        )


@dataclass(frozen=True)
class Job:
    """What is trained, with what, and how.

    Attributes
    ----------
    program : Program
        The network; its arrays are written to.
    data : Data
        To learn from.
    plan : Plan
        How.
    validation : Data or None, default=None
        To validate each epoch with.
    """

    program: object
    data: Data
    plan: Plan
    validation: Data | None = None


def split_rows(n, fraction, seed, codes=None):
    """Choose rows to validate with.

    Parameters
    ----------
    n : int
        How many rows there are.
    fraction : float
        The share to choose; at least one row.
    seed : int
        What chance depends on.
    codes : ndarray of shape (n,), int, or None, default=None
        Classes: each gives its share, and keeps at least one row to learn from.

    Returns
    -------
    training, validation : ndarray of int
        The numbers of the rows, increasing.

    Raises
    ------
    ValueError
        If nothing would be left on one side.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import split_rows
    >>> training, validation = split_rows(6, 0.34, seed=0, codes=np.array([0, 0, 0, 1, 1, 1]))
    >>> len(training), len(validation)
    (4, 2)
    """
    m = max(1, round(n * fraction))
    order = _generator(_SPLIT, seed, 0).permutation(n)
    codes = np.zeros(n, dtype=np.int64) if codes is None else codes
    order = order[np.argsort(codes[order], kind="stable")]
    chosen = order[((np.arange(m) + 0.5) * (n / m)).astype(np.int64)]
    _, first = np.unique(codes[order], return_index=True)
    left = np.ones(n, dtype=bool)
    left[chosen] = False
    for start, group in zip(first, np.split(order, first[1:])):
        left[order[start]] |= not left[group].any()
    training, validation = np.flatnonzero(left), np.flatnonzero(~left)
    if not len(training) or not len(validation):
        raise ValueError(
            f"A validation_fraction of {fraction:g} of {n} rows leaves {len(training)} to learn from and "
            f"{len(validation)} to validate with; both need at least one, and a class must keep one to learn from."
        )
    return training, validation


def start_training(program, optimizer, seed=0):
    """Return the state before the first step, with the parameters that the program has.

    Parameters
    ----------
    program : Program
        The network.
    optimizer : object
        Whose moments are needed.
    seed : int, default=0
        What chance shall depend on.

    Returns
    -------
    state : Training
        To be given to :func:`training_steps`.
    """
    w = program.parameters.flat
    return Training(w.copy(), program.states.flat.copy(), optimizer.moments(w), seed)


def training_outcome(state, plan):
    """Tell why no epoch would follow, or None if one would.

    Parameters
    ----------
    state : Training
        Where the training stands.
    plan : Plan
        How it goes on.

    Returns
    -------
    outcome : {None, "patience", "max_steps", "max_iter"}
        The reason.
    """
    if plan.patience is not None and _under(plan, state).stalled >= plan.patience:
        return "patience"
    if plan.max_steps is not None and state.n_steps >= plan.max_steps:
        return "max_steps"
    return "max_iter" if state.n_epochs >= plan.max_iter else None


def training_steps(job, start):
    """Train, epoch by epoch.

    Parameters
    ----------
    job : Job
        What to train; the program's arrays are written to, and hold no particular epoch in the end.
    start : Training
        Where to go on from; there must be something left to do.

    Yields
    ------
    step : Step
        One per epoch; its state is a :class:`Training`, its metrics are "loss" (mean over the rows as they were met,
        each before its step), "validation_loss" and "validation_score" if there is data to validate with, and
        "learning_rate" (of the last step).

    Warns
    -----
    ConvergenceWarning
        If the loss is no longer finite, or weights or outputs are so large that their squares are not; the state is
        then that before the epoch, and the last. Also if the last epoch's loss is more than 1, and more than five times
        that before the first step.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import Data, Job, Linear, Plan, Program, SGD, Sequential, Squared
    >>> from skml.network import start_training, training_steps
    >>> X = np.eye(2)
    >>> program = Program(Sequential([Linear(1)]), (2,), dtype=X.dtype)
    >>> job = Job(program, Data(X, np.array([[1.0], [3.0]])), Plan(Squared(), SGD(), max_iter=200))
    >>> for step in training_steps(job, start_training(program, job.plan.optimizer)):
    ...     pass
    >>> step.last, step.state.outcome, round(step.metrics["loss"], 6)
    (True, 'max_iter', 0.0)
    """
    state = replace(_under(job.plan, start), outcome=None)
    before = _first_loss(job, state)  # other rows than those of the first fit may be harder to begin with
    state = replace(state, first_loss=before if start.first_loss is None else start.first_loss)
    while state.outcome is None:
        after, metrics = epoch(job, state)
        if after is None:
            after = replace(state, outcome="diverged")
            _warn_of_rate(f"The training diverged in epoch {state.n_epochs + 1}", "from before it are kept", metrics)
        else:
            after = _judged(after, metrics, job.plan)
            after = replace(after, outcome=training_outcome(after, job.plan))
            if after.outcome is not None and metrics["loss"] >= before and _is_far_above(metrics["loss"], after):
                found = f"was {metrics['loss']:.3g}, before the first step {after.first_loss:.3g}"
                what = f"The training diverged (in the last epoch the loss {found})"
                _warn_of_rate(what, "of the last epoch are kept", metrics)
        state = after
        yield Step(state, metrics, last=state.outcome is not None)


def _is_far_above(loss, state):
    """Tell whether a loss says that a training has led away from where it began."""
    return loss > WORSE * state.first_loss and loss > 1


def _warn_of_rate(what, kept, metrics):
    message = (
        f"{what} at a learning rate of {metrics['learning_rate']:.3g}; the weights {kept}. A lower rate, a "
        "warm-up, or data scaled to about one may help."
    )
    warn_caller(message, ConvergenceWarning)


def _under(plan, state):
    """Return a state without what another plan has left: the best of another figure, weights not to be restored."""
    if state.monitor not in (None, plan.monitor):
        state = replace(state, best=math.inf, best_parameters=None, best_states=None, stalled=0, monitor=None)
    return state if plan.restore_best else replace(state, best_parameters=None, best_states=None)


def _judged(state, metrics, plan):
    """Return a state that knows whether its epoch was an improvement."""
    sign = -1 if plan.monitor == "validation_score" else 1
    value = sign * metrics[plan.monitor]
    stalled = 0 if value < state.best - plan.tol else state.stalled + 1
    state = replace(state, stalled=stalled, monitor=plan.monitor)
    if value < state.best:
        state = replace(state, best=value)
        if plan.restore_best:
            state = replace(state, best_parameters=state.parameters, best_states=state.states)
    return state


def epoch(job, state):
    """Go over the rows once, or as far as the steps reach.

    Parameters
    ----------
    job : Job
        What to train.
    state : Training
        Where to go on from.

    Returns
    -------
    state : Training or None
        After the epoch; None if it diverged.
    metrics : dict of str to float
        See :func:`training_steps`.
    """
    program, plan = job.program, job.plan
    program.parameters.flat[:], program.states.flat[:] = state.parameters, state.states
    moments = tuple(moment.copy() for moment in state.moments)
    rows = _order(job.data, plan, state)
    starts = range(0, len(rows), plan.batch_size)
    done = state.n_batches if state.n_batches < len(starts) else 0  # an epoch of fewer batches than that starts anew
    total, t, buffer, sums = plan.total(len(starts)), state.n_steps, _buffer(job), np.zeros(2)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for start in starts[done:]:
            if t == plan.max_steps or not np.isfinite(sums[0]):
                break
            batch = job.data.take(rows[start : start + plan.batch_size], buffer)
            sums += step(job, _augmented(batch, plan, state.seed, t), moments, (state.seed, t, total))
            t += 1
        figures = _validated(job)
    loss = float(sums[0] / sums[1])
    metrics = {"loss": loss, **figures, "learning_rate": plan.optimizer.learning_rate * plan.factor(t - 1, total)}
    if not _is_sound(job, buffer, metrics):
        worst = {name: -math.inf if name == "validation_score" else math.inf for name in metrics}
        return None, {name: value if math.isfinite(value) else worst[name] for name, value in metrics.items()}
    n_epochs, n_batches = divmod(done + t - state.n_steps, len(starts))
    after = replace(
        state,
        parameters=program.parameters.flat.copy(),
        states=program.states.flat.copy(),
        moments=moments,
        n_steps=t,
        n_epochs=state.n_epochs + n_epochs,
        n_batches=n_batches,
    )
    return after, metrics


def step(job, batch, moments, count):
    """Take one step.

    Parameters
    ----------
    job : Job
        What to train.
    batch : (x, y, weights)
        The rows.
    moments : tuple of ndarray
        The optimizer's; changed in place.
    count : (seed, t, total)
        What chance depends on, the number of this step from 0, and how many there are in all.

    Returns
    -------
    sums : (float, float)
        The sum of the weighted losses, before the step, and of the weights.
    """
    (x, y, weights), (seed, t, total) = batch, count
    program, plan = job.program, job.plan
    mode = Mode(train=True, seed=seed, step=t, n_threads=plan.n_threads)
    weights = plan.loss.weights(y, weights)
    losses, dz = plan.loss(program.forward(x, mode), y, weights, plan.n_threads)
    program.backward(dz, mode)
    w, g = program.parameters.flat, program.gradients.flat
    plan.optimizer.update(w, g, moments, t + 1, plan.factor(t, total), plan.n_threads)
    return _sums(losses, weights)


def _sums(losses, weights):
    """Return the sum of the weighted losses, and of the weights."""
    return (losses.sum(), len(losses)) if weights is None else (losses @ weights, weights.sum())


def _first_loss(job, state):
    """Return the mean loss of the first rows that will be met, as the network is."""
    program, plan = job.program, job.plan
    program.parameters.flat[:], program.states.flat[:] = state.parameters, state.states
    rows, buffer, sums = _order(job.data, plan, state)[: max(FEW, plan.batch_size)], _buffer(job), np.zeros(2)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for start in range(0, len(rows), plan.batch_size):
            x, y, weights = job.data.take(rows[start : start + plan.batch_size], buffer)
            weights = plan.loss.weights(y, weights)
            losses, _ = plan.loss(program.forward(x, Mode(n_threads=plan.n_threads)), y, weights, plan.n_threads)
            sums += _sums(losses, weights)
        return float(sums[0] / sums[1])


def evaluate(job, data):
    """Compute the loss and the score of a network on some data.

    Parameters
    ----------
    job : Job
        The network, and a plan that names the loss.
    data : Data
        The rows.

    Returns
    -------
    loss : float
        The weighted mean.
    score : float
        The loss's score (accuracy, R^2); the negative loss where each sample is its own target.
    """
    plan, rows, buffer = job.plan, data.rows(), _buffer(job)
    loss, tally, total = 0.0, 0.0, 0.0
    for start in range(0, len(rows), plan.batch_size):
        x, y, weights = data.take(rows[start : start + plan.batch_size], buffer)
        weights = plan.loss.weights(y, weights)
        weights = np.ones(len(x)) if weights is None else weights
        z = job.program.forward(x, Mode(n_threads=plan.n_threads))
        tally = tally + (0 if data.y is None else plan.loss.tally(z, y, weights))
        losses, _ = plan.loss(z, y, weights, plan.n_threads)
        loss, total = loss + float(losses @ weights), total + float(weights.sum())
    if data.y is None:
        return loss / total, -loss / total
    y = data.y[rows]
    weights = plan.loss.weights(y, None if data.weights is None else data.weights[rows])
    return loss / total, plan.loss.score(tally, y, np.ones(len(y)) if weights is None else weights)


def _validated(job):
    if job.validation is None:
        return {}
    loss, score = evaluate(job, job.validation)
    return {"validation_loss": loss, "validation_score": score}


def _buffer(job):
    """Return room for a batch."""
    return np.empty((job.plan.batch_size, *job.program.shape), dtype=job.program.dtype)


def _generator(use, seed, number):
    return np.random.default_rng([seed, use, number])


def _order(data, plan, state):
    rows = data.rows()
    if not plan.shuffle:
        return rows
    generator = _generator(_SHUFFLE, state.seed, state.n_epochs)
    return generator.permutation(rows) if data.arrange is None else data.arrange(rows, generator)


def _augmented(batch, plan, seed, t):
    """Return a batch as the network is shown it; its targets are those of the batch as it was."""
    if plan.augment is None:
        return batch
    x, y, weights = batch
    y = x.copy() if y is x else y
    shown = plan.augment(x, _generator(_AUGMENT, seed, t))
    if shown is not x:
        _require_like(shown, x)
        x[...] = shown
    if not np.isfinite(x).all():
        raise ValueError("augment returned a batch with NaN or infinity.")
    return x, y, weights


def _require_like(shown, x):
    """Refuse what is no batch of numbers of the shape of x."""
    found = np.asarray(shown)
    if found.shape != x.shape or found.dtype.kind not in "fiub":
        raise ValueError(
            f"augment must return an array of numbers of shape {x.shape}, as it is given; it returned "
            f"{type(shown).__name__} of shape {found.shape} and type {found.dtype}."
        )


def _is_sound(job, buffer, metrics):
    """Tell whether an epoch's figures are finite, and the network's numbers so small that their squares are."""
    program = job.program
    if not all(map(math.isfinite, metrics.values())):
        return False
    x, _, _ = job.data.take(job.data.rows()[: len(buffer)], buffer)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        z = program.forward(x, Mode(n_threads=job.plan.n_threads))
    # with some room: other rows may lead to larger numbers
    limit = math.sqrt(np.finfo(program.dtype).max)
    arrays = program.parameters.flat, program.states.flat, z
    return all(-limit < array.min(initial=0) and array.max(initial=0) < limit for array in arrays)
