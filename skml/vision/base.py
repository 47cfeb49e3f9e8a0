"""What classifier, regressor and autoencoder share: images come in, a network is trained, and may go on later."""

import functools
from dataclasses import dataclass, field, fields, replace
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.callback import CallbackSupportMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from skml import _kernels
from skml._rows import distinct_rows
from skml._sklearn import Interval, StrOptions
from skml.base import Run, fit_task, require_memory, run_steps, validate_weights, validate_X, warn_caller
from skml.network.optimizers import SGD, Adam, AdamW
from skml.network.program import Program
from skml.network.schedules import SCHEDULES, constant, schedule
from skml.network.training import Job, Plan, split_rows, start_training, training_outcome, training_steps
from skml.vision.architectures import Body, body_layers, n_bytes
from skml.vision.augmentation import AUGMENTATIONS, augmentation
from skml.vision.images import (
    as_shape,
    flat_rows,
    is_square_pair,
    n_axes,
    scale_images,
    shape_of_rows,
    warn_of_signals_as_images,
)
from skml.vision.running import Pool, threads_for
from skml.vision.validation import NONE, Rows, given_rows, of_validation, weighted_rows
from skml.vision.weighting import Weighted, spread

_POSITIVE = Interval(Integral, 1, None, closed="left")
_SOLVERS = {
    "adam": Adam,
    "adamw": AdamW,
    "sgd": functools.partial(SGD, nesterov=True),
}

# Of the parameters that all have.
BODY_CONSTRAINTS = {
    "filters": [_POSITIVE, "array-like"],
    "kernel_size": [_POSITIVE, "array-like"],
    "stride": [_POSITIVE, "array-like"],
    "padding": [StrOptions({"same", "valid"}), Interval(Integral, 0, None, closed="left")],
    "pool": [StrOptions({"max", "average", "min"}), "array-like", None],
    "pool_size": [_POSITIVE, "array-like"],
    "hidden_layer_sizes": [_POSITIVE, "array-like"],
    "activation": [StrOptions({"identity", "relu", "leaky_relu", "gelu", "tanh", "sigmoid"})],
    "normalization": [StrOptions({"batch"}), None],
    "residual": ["boolean"],
    "dropout": [Interval(Real, 0, 1, closed="left")],
    "image_shape": [_POSITIVE, "array-like", None],
    "data_format": [StrOptions({"channels_last", "channels_first"})],
    "architecture": ["array-like", None],
}
TRAINING_CONSTRAINTS = {
    "solver": [StrOptions(set(_SOLVERS))],
    "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
    "learning_rate": [StrOptions(set(SCHEDULES)), callable],
    "batch_size": [_POSITIVE, StrOptions({"auto"})],
    "max_iter": [_POSITIVE],
    "max_steps": [_POSITIVE, None],
    "weight_decay": [Interval(Real, 0, None, closed="left")],
    "augment": [StrOptions(set(AUGMENTATIONS)), callable, None],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    "n_iter_no_change": [_POSITIVE],
    "tol": [Interval(Real, 0, None, closed="left")],
    "dtype": [StrOptions({"float32", "float64"}), None],
    "random_state": ["random_state"],
    "n_jobs": [Integral, None],
    "warm_start": ["boolean"],
}


@dataclass(frozen=True)
class Task:
    """What a network is to learn.

    Attributes
    ----------
    loss : object
        Of skml.network.
    n_outputs : int
        The numbers that the network ends with.
    y : ndarray of shape (n_samples, ...) or None, default=None
        Targets as the loss takes them; None means the images themselves.
    weights : ndarray of shape (n_samples,) or None, default=None
        Of the rows.
    codes : ndarray of shape (n_samples,), int, or None, default=None
        Classes that a validation split keeps in proportion.
    attributes : dict, default={}
        Fitted attributes that belong to the targets.
    content : ndarray of shape (n_samples, ...) or None, default=None
        Targets as they were given, which tell rows apart; None means y.
    of_class : ndarray of shape (n_classes,) or None, default=None
        The weights of classes that `weights` hold already.
    """

    loss: object
    n_outputs: int
    y: np.ndarray | None = None
    weights: np.ndarray | None = None
    codes: np.ndarray | None = None
    attributes: dict = field(default_factory=dict)
    content: np.ndarray | None = None
    of_class: np.ndarray | None = None


class BaseConvNet(CallbackSupportMixin, BaseEstimator):
    """The shell of estimators that train a network on images.

    A class of it says what is to be learnt in ``_task(y, X, weights, goes_on)``, which returns a :class:`Task`, and how
    a network for it looks in ``_network(shape, task)``.
    """

    # ------------------------------------------------------------------------------------------------ fitting

    def _fit(self, X, y, sample_weight, held_out):
        """Fit anew, or go on from the last fit with `warm_start`."""
        goes_on = self.warm_start and hasattr(self, "pool_")
        return self._learn(X, y, sample_weight, goes_on, self._plan, held_out)

    def _go_on(self, X, y, sample_weight, **given):
        """Train for one more epoch; what is given besides is for ``_task``."""
        return self._learn(X, y, sample_weight, hasattr(self, "pool_"), self._one_epoch, again=True, **given)

    def _learn(self, X, y, sample_weight, goes_on, plan_of, held_out=NONE, again=False, **given):
        X, shape = self._rows(X, reset=not again or not goes_on)
        weights = validate_weights(sample_weight, X)
        seen = {"X": X, "y": y, "sample_weight": weights}
        task = self._task(y, X, weights, goes_on, **given)
        index, merged = distinct_rows(X, task.weights, task.y if task.content is None else task.content)
        if goes_on:
            self._require_same_images(X, shape, again)
        images = self.images_ if goes_on else self._scaling(X, shape, index, merged)
        images.warn_of_scale(X)
        program, start = self._beginning(images, task, (X.dtype, len(index)), goes_on, again)
        plan = plan_of(task, len(index), start)
        validation = self._validation(held_out, images, task, program.dtype)
        job = self._job(program, plan, images, task, (X, index, merged), start, validation)
        with fit_task(self, **seen, max_subtasks=max(plan.max_iter - start.n_epochs, 0)) as context:
            attributes = functools.partial(self._attributes, program, images, task)
            run = self._run(context, job, start, attributes, seen, self.history_ if goes_on else {})
            state = replace(run.state, outcome=run.state.outcome or run.stopped)
            vars(self).update(attributes(state, run.history))
        return self

    def _rows(self, X, reset, images=None):
        """Return validated flat rows, and the shape of an image; without `reset` as of `images`, or the last fit's."""
        images = None if reset else images or self.images_
        first = self.data_format == "channels_first" if reset else images.channels_first
        pair = is_square_pair(self.image_shape)
        known = images.shape if pair and not reset else self.image_shape
        doubtful = reset and self.image_shape is None and n_axes(X) == 3
        X, shape = flat_rows(X, known, first, self.image_shape)
        if not reset and shape not in (None, images.shape):
            found, known = (" x ".join(map(str, some)) for some in (shape, images.shape))
            raise ValueError(f"X holds images of {found} (height, width, channels); those of fit were {known}.")
        X = validate_X(self, X, reset=reset, dtype=(np.float64, np.float32, np.uint8), order="C")
        if reset:
            told = shape is not None
            shape = as_shape(shape) if told else shape_of_rows(X.shape[1], self.image_shape)
            if pair and not told:
                self._warn_of_signals()
        if doubtful:
            warn_of_signals_as_images(shape[:2], first)
        return X, shape

    def _warn_of_signals(self):
        length, channels = self.image_shape
        warn_caller(
            f"image_shape=({length}, {channels}) reads flat rows as signals of length {length} with {channels} "
            f"channels. Grey images are image_shape=({length}, {channels}, 1); image_shape=(1, {length}, {channels}) "
            "says signals without this warning.",
            UserWarning,
        )

    def _require_same_images(self, X, shape, again):
        """Refuse to go on with images of another shape or order; in partial_fit, flat rows are what they were."""
        if shape is None:
            grey = is_square_pair(self.image_shape) and self.image_shape_ == (*self.image_shape, 1)
            known = again and (self.image_shape is None or grey)
            shape = self.image_shape_ if known else shape_of_rows(X.shape[1], self.image_shape)
        asked = shape, self.data_format == "channels_first"
        found = self.image_shape_, self.images_.channels_first
        if asked != found:
            asked, found = (
                f"{' x '.join(map(str, sizes))}, channels {'first' if first else 'last'}"
                for sizes, first in (asked, found)
            )
            raise self._refusal(f"images of {asked}; those of the last fit were {found}")

    def _refusal(self, asked):
        """Return the error that says why a fit cannot go on."""
        return ValueError(
            f"{type(self).__name__} cannot go on: its parameters and X ask for {asked}. Set warm_start=False, or fit a "
            "clone."
        )

    def _scaling(self, X, shape, index, merged):
        with _kernels.blas_threads(1):
            return scale_images(X, shape, self.data_format == "channels_first", index, merged)

    def _body(self):
        return Body(**{one.name: getattr(self, one.name) for one in fields(Body)})

    def _layers(self, shape):
        """Return the layers that the parameters ask for, up to where the last one follows."""
        return body_layers(self._body(), shape) if self.architecture is None else list(self.architecture)

    def _beginning(self, images, task, rows, goes_on, again):
        """Return a program, and the state to train it from; rows are the type of X and how many distinct ones."""
        network, (dtype, n) = self._network(images.shape, task), rows
        if goes_on:
            return self._last(network, again)
        dtype = np.dtype(self.dtype or (np.float32 if dtype == np.uint8 else dtype))
        batch = min(self._batch(n), n)
        require_memory(n_bytes(network, images.shape, batch, dtype), f"{type(self).__name__} with batches of {batch}")
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        program = Program(network, images.shape, dtype, seed)
        return program, start_training(program, self._optimizer(), seed)

    def _last(self, network, again):
        """Return the last fit's program, and where its training stands, if the parameters still ask for them."""
        program, start = self.pool_.program, self.training_.again() if again else self.training_
        if network != program.network:
            raise self._refusal("another network than the last fit's")
        if self.dtype not in (None, program.dtype.name):
            raise self._refusal(f"dtype={self.dtype!r}; the last fit computed in {program.dtype}")
        if len(self._optimizer().moments(start.parameters[:0])) != len(start.moments):
            raise self._refusal(f"solver={self.solver!r}, which cannot take up the moments of the last fit's")
        return program.with_numbers(start.parameters.copy(), start.states.copy()), start

    def _batch(self, n):
        """Return how many of n distinct rows a batch holds."""
        return min(max(n // 16, 8), 64) if self.batch_size == "auto" else self.batch_size

    def _optimizer(self):
        return _SOLVERS[self.solver](self.learning_rate_init, weight_decay=self.weight_decay)

    def _plan(self, task, n, start):
        """Return how to train on n distinct rows."""
        stops = self.early_stopping
        return Plan(
            task.loss,
            self._optimizer(),
            schedule(self.learning_rate),
            batch_size=min(self._batch(n), n),
            max_iter=self.max_iter,
            max_steps=self.max_steps,
            augment=self._augmentation(),
            monitor="validation_score" if stops else "loss",
            patience=self.n_iter_no_change if stops else None,
            tol=self.tol,
            restore_best=stops,
            n_threads=self._threads(),
        )

    def _one_epoch(self, task, n, start):
        plan = self._plan(task, n, start)
        fixed = {"schedule": constant, "max_steps": None, "monitor": "loss", "patience": None, "restore_best": False}
        return replace(plan, max_iter=start.n_epochs + 1, **fixed)

    def _augmentation(self):
        return augmentation(self.augment)

    def _threads(self):
        return _kernels.n_threads() if self.n_jobs is None else _kernels.threads_of(self.n_jobs)

    def _validation(self, held_out, images, task, dtype):
        """Return the rows that the user gives to validate with, or None."""
        held_out.require(needs_y=task.y is not None)
        if held_out.X is None:
            return None
        with of_validation():
            X, _ = self._rows(held_out.X, reset=False, images=images)
            images.warn_of_scale(X)
            y, weights, content = self._held_out(held_out.y, X, validate_weights(held_out.weights, X), task)
            return given_rows(X, y, weights, content, images.preparation(X.dtype, dtype))

    def _held_out(self, y, X, weights, task):
        """Return targets of rows to validate with as the loss takes them, weights, and targets as they were given."""
        return None, weights, None

    def _job(self, program, plan, images, task, data, start, validation):
        """Return what to train, with rows set aside if the plan looks at some and none are given."""
        X, index, merged = data
        prepare = images.preparation(X.dtype, program.dtype)
        work = plan.batch_size * program.network.cost(program.shape)
        plan = replace(plan, n_threads=threads_for(plan.n_threads, work))
        if plan.patience is not None and validation is None:
            codes = None if task.codes is None else task.codes[index]
            kept, aside = split_rows(len(index), self.validation_fraction, start.seed, codes)
            validation = weighted_rows(X, task.y, index[aside], merged[aside], prepare)
            index, merged = index[kept], merged[kept]
        if not (merged == 1).all():
            shown, shares = spread(index, merged)
            plan = replace(plan, loss=Weighted(plan.loss, merged.sum() / len(shown)))
            rows = replace(weighted_rows(X, task.y, index, shares, prepare), index=shown)
        else:
            rows = Rows(X, task.y, prepare=prepare, index=index)
        return Job(program, rows, plan, validation)

    def _run(self, context, job, start, attributes, seen, history):
        if training_outcome(start, job.plan) is not None:
            return Run(start, history, None)
        steps = training_steps(job, start)
        with _kernels.blas_threads(1):
            return run_steps(self, context, steps, task="epoch", attributes=attributes, history=history, **seen)

    def _attributes(self, program, images, task, state, history):
        return {
            **task.attributes,
            "history_": history,
            "images_": images,
            "image_shape_": images.shape,
            "n_iter_": state.n_iter,
            "n_parameters_": program.parameters.count,
            "n_steps_": state.n_steps,
            "pool_": Pool(program.with_numbers(*state.model())),
            "training_": state,
        }

    # ---------------------------------------------------------------------------------------------------- use

    def _checked(self, X):
        """Return validated rows for a fitted network."""
        check_is_fitted(self, "pool_")
        X, _ = self._rows(X, reset=False)
        self.images_.warn_of_scale(X)
        return X

    def _outputs(self, X):
        """Return what the network says about validated rows."""
        return self.pool_.outputs(X, self.images_, self._threads())

    def _saliency(self, rows, slopes, X):
        """Return the gradient of outputs, weighted by slopes, at the numbers of X, in the shape of X."""
        images = self.images_
        gradients = images.rows(self.pool_.gradients(rows, images, slopes, self._threads()))
        gradients = gradients / images.flat(images.deviation * images.unit(rows.dtype)).astype(gradients.dtype)
        return gradients.reshape(np.shape(X)) if np.ndim(X) > 2 else gradients

    def _features(self, X):
        """Return what the last layer is given."""
        X = self._checked(X)
        return self._head(len(self.pool_.program.network.layers) - 1).outputs(X, self.images_, self._threads())

    def feature_maps(self, X, layer=0):
        """Return what a layer makes of images.

        Parameters
        ----------
        X : array-like
            As for :meth:`fit`.
        layer : int or str, default=0
            The number of the layer, as in :meth:`summary`; from the end if negative.

        Returns
        -------
        maps : ndarray of shape (n_samples, height, width, n_filters) or (n_samples, n_outputs)
            Channels last.

        Raises
        ------
        ValueError
            If there is no such layer.
        """
        X = self._checked(X)
        return self._head(self._number(layer) + 1).outputs(X, self.images_, self._threads())

    def _head(self, k):
        return Pool(self.pool_.program.part(0, k))

    def _number(self, layer):
        """Return the number of a layer that the user names."""
        names = list(map(str, range(len(self.pool_.program.network.layers))))
        name = str(layer + len(names)) if isinstance(layer, Integral) and layer < 0 else str(layer)
        if name not in names:
            raise ValueError(f"layer={layer!r} is none of 0 to {len(names) - 1}:\n{self.summary()}")
        return names.index(name)

    @property
    def _n_features_out(self):
        program = self.pool_.program
        return program.part(0, len(program.network.layers) - 1).output_shape[0]

    def summary(self):
        """Return the table of layers, output shapes, parameters and multiply-adds.

        Returns
        -------
        table : str
            A line for each layer, and one for the sum.
        """
        check_is_fitted(self)
        return self.pool_.program.table()
