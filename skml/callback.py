"""Callbacks on scikit-learn's protocol: stop early, stop in time, save on the way, keep a record.

They are set on any skml estimator that fits step by step, ``estimator.set_callbacks(EarlyStopping(...))``, beside
scikit-learn's own ``ProgressBar`` and ``ScoringMonitor``, and work inside ``Pipeline`` and ``GridSearchCV``. A hook
that returns True asks the level of iterations that it was called from to stop; skml's estimators then keep the
model of that task.
"""

import math
import os
import pathlib
import secrets
import shutil
import sys
import time

import numpy as np
import scipy.sparse as sp
from sklearn.utils import check_scalar

from skml._sklearn import is_whole_fit, without_callback_state
from skml.base import warn_caller
from skml.inspection import all_estimators

__all__ = ["Checkpoint", "EarlyStopping", "History", "TimeBudget"]

_CONTAINERS = tuple(
    getattr(sp, f"{form}_{kind}")
    for form in ("bsr", "coo", "csc", "csr", "dia", "dok", "lil")
    for kind in ("array", "matrix")
)


class _TaskCallback:
    """The hooks of the protocol that most callbacks leave empty."""

    def setup(self, estimator, context):
        """Do nothing before the fit."""

    def teardown(self, estimator, context):
        """Do nothing after the fit."""

    def on_fit_task_begin(self, estimator, context):
        """Do nothing before a task."""


def _is_step(context):
    """Tell whether a context is one of the steps of a fit, rather than the fit itself or a group of steps."""
    return context.max_subtasks == 0 and context.parent is not None and context.source_estimator_name is None


def _recorded(estimator, fitted_estimator, monitor, caller):
    """Return the values of ``history_[monitor]`` so far."""
    history = getattr(fitted_estimator, "history_", None)
    if not history or monitor not in history:
        known = (
            f"it records {sorted(history)}"
            if history
            else "it records no history_ (the callback belongs on an estimator that does)"
        )
        raise ValueError(f"{caller} cannot monitor {monitor!r} of {type(estimator).__name__}: {known}.")
    return history[monitor]


def _warn_of_no_steps(estimator):
    names = [name for name in ("solver", "svd_solver") if hasattr(estimator, name)]
    setting = ", ".join(f"{name}={getattr(estimator, name)!r}" for name in names)
    message = f"EarlyStopping had nothing to stop: this fit of {type(estimator).__name__}({setting}) took no steps"
    advice = getattr(estimator, "_takes_steps", "docs/callbacks.md lists which fits do")
    warn_caller(f"{message}; {advice}.", UserWarning)


class EarlyStopping(_TaskCallback):
    """Stop a fit when a recorded figure no longer improves.

    Parameters
    ----------
    monitor : str, default="loss"
        A key of the estimator's ``history_``, such as "loss", "val_loss" or "inertia".
    patience : int, default=5
        How many steps without an improvement are allowed.
    min_delta : float, default=0.0
        The least change that counts as an improvement, in the units of the figure.
    mode : {"min", "max"}, default="min"
        Whether smaller or larger is better.

    Notes
    -----
    docs/callbacks.md lists which estimators and solvers take steps and what they record. On a fit that takes none
    there is nothing to stop: it ends as ever, with a warning.

    The decision depends on ``history_`` alone, so a fit that is resumed with ``warm_start=True`` stops where the
    uninterrupted one would have.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skml import KMeansPP
    >>> from skml.callback import EarlyStopping
    >>> X, _ = load_digits(return_X_y=True)
    >>> kmeans = KMeansPP(n_clusters=10, n_init=1, tol=0, random_state=0)
    >>> kmeans.set_callbacks(EarlyStopping(monitor="inertia", patience=1, min_delta=1000.0)).fit(X)
    KMeansPP(...)
    >>> kmeans.n_iter_ < 15
    True
    """

    def __init__(self, monitor="loss", patience=5, min_delta=0.0, mode="min"):
        if mode not in ("min", "max"):
            raise ValueError(f"mode must be 'min' or 'max', got {mode!r}.")
        check_scalar(patience, "patience", int, min_val=1)
        check_scalar(min_delta, "min_delta", (int, float), min_val=0)
        self.monitor = monitor
        self.patience = patience
        self.min_delta = min_delta
        self.mode = mode

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        """Return True when the last `patience` steps brought no improvement; warn of a fit without steps."""
        if is_whole_fit(estimator, context):
            if self.monitor not in getattr(fitted_estimator, "history_", {}):
                _warn_of_no_steps(estimator)
            return False
        if not _is_step(context):
            return False
        values = _recorded(estimator, fitted_estimator, self.monitor, "EarlyStopping")
        sign = 1 if self.mode == "min" else -1
        best, best_step = float("inf"), 0
        for step, value in enumerate(values):
            if sign * value < best - self.min_delta or step == 0:
                best, best_step = sign * value, step
        return len(values) - 1 - best_step >= self.patience


class TimeBudget(_TaskCallback):
    """Stop a fit at the end of the first step that finishes after a given time.

    Parameters
    ----------
    seconds : float
        The time from the start of each fit, in seconds. One step is always finished.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skml import KMeansPP
    >>> from skml.callback import TimeBudget
    >>> X, _ = load_digits(return_X_y=True)
    >>> KMeansPP(n_clusters=10, n_init=1, random_state=0).set_callbacks(TimeBudget(1e-9)).fit(X).n_iter_
    1
    """

    def __init__(self, seconds):
        check_scalar(seconds, "seconds", (int, float), min_val=0, include_boundaries="neither")
        if math.isnan(seconds):
            raise ValueError("seconds must be a number, got nan.")
        self.seconds = seconds
        self._starts = {}

    def setup(self, estimator, context):
        """Start the clock of this estimator's fit."""
        self._starts[id(estimator)] = time.monotonic()

    def teardown(self, estimator, context):
        """Forget the clock of this estimator's fit."""
        self._starts.pop(id(estimator), None)

    def on_fit_task_end(self, estimator, context):
        """Return True once the time is used up."""
        return time.monotonic() - self._starts[id(estimator)] >= self.seconds


class History(_TaskCallback):
    """Keep one record per finished step, of every estimator that the callback is set on.

    Attributes
    ----------
    records : list of dict
        Each with "estimator" (class name), "task" (name), "step" (number from 0), "seconds" (since the fit
        began) and the newest value of each figure in the estimator's ``history_``. Records are kept in the process
        that fits: those of joblib workers stay there.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skml import KMeansPP
    >>> from skml.callback import History
    >>> X, _ = load_digits(return_X_y=True)
    >>> history = History()
    >>> kmeans = KMeansPP(n_clusters=10, n_init=1, random_state=0).set_callbacks(history).fit(X)
    >>> len(history.records) == kmeans.n_iter_
    True
    """

    def __init__(self):
        self.records = []
        self._starts = {}

    def setup(self, estimator, context):
        """Start the clock of this estimator's fit."""
        self._starts[id(estimator)] = time.monotonic()

    def teardown(self, estimator, context):
        """Forget the clock of this estimator's fit."""
        self._starts.pop(id(estimator), None)

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        """Append the record of a finished step."""
        if not _is_step(context):
            return
        figures = getattr(fitted_estimator, "history_", {})
        self.records.append(
            {
                "estimator": type(estimator).__name__,
                "task": context.task_name,
                "step": context.task_id,
                "seconds": time.monotonic() - self._starts[id(estimator)],
                **{name: values[-1] for name, values in figures.items() if values},
            }
        )


class Checkpoint(_TaskCallback):
    """Save the estimator every few steps, so that a fit that was cut off can go on.

    The file is written beside its destination and then renamed, so it always holds a whole model: the older or
    the newer. ``Checkpoint.load(path).set_params(warm_start=True).fit(X)`` gives the bits of the fit that
    was never cut off. Needs the extra ``skml[checkpoint]`` (skops).

    Parameters
    ----------
    path : str or path-like
        The file to write, in the skops format.
    every : int, default=1
        Write after each `every`-th step, and when the fit is finished.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from sklearn.datasets import load_digits
    >>> from skml import KMeansPP
    >>> from skml.callback import Checkpoint
    >>> X, _ = load_digits(return_X_y=True)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "kmeans.skops")
    ...     short = KMeansPP(n_clusters=10, n_init=1, max_iter=3, random_state=0)
    ...     _ = short.set_callbacks(Checkpoint(path)).fit(X)
    ...     resumed = Checkpoint.load(path).set_params(warm_start=True, max_iter=300).fit(X)
    >>> whole = KMeansPP(n_clusters=10, n_init=1, random_state=0).fit(X)
    >>> bool((resumed.cluster_centers_ == whole.cluster_centers_).all())
    True
    """

    def __init__(self, path, every=1):
        check_scalar(every, "every", int, min_val=1)
        self.path = os.fspath(path)
        self.every = every
        folder = os.path.dirname(os.path.abspath(self.path))
        if not os.path.isdir(folder) or os.path.isdir(self.path):
            raise ValueError(f"path must name a file in a folder that exists, got {self.path!r}.")
        _skops()

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        """Write the model after each `every`-th step and at the end of the fit."""
        due = _is_step(context) and (context.task_id + 1) % self.every == 0
        if (due or is_whole_fit(estimator, context)) and fitted_estimator is not None:
            _write_whole(self.path, _skops().dumps(without_callback_state(fitted_estimator)))

    @staticmethod
    def load(path, trusted=()):
        """Load the estimator of a checkpoint.

        Parameters
        ----------
        path : str or path-like
            The file.
        trusted : sequence of str, default=()
            Names of types beyond skml's own, scikit-learn's, NumPy's and SciPy's matrices that the file may hold, as
            ``skops.io.get_untrusted_types(file=path)`` lists them: say them only of files that you made.

        Returns
        -------
        estimator : BaseEstimator
            Fitted as far as the checkpoint went.

        Raises
        ------
        ValueError
            If the file is not a checkpoint of an skml estimator, or holds types that are not trusted.
        """
        skops = _skops()
        estimators = {_name_of(cls) for _, cls in all_estimators()} | set(trusted)
        known = estimators | {_name_of(cls) for cls in (np.dtype, *_CONTAINERS)}
        data = pathlib.Path(path).read_bytes()
        try:
            held = set(skops.get_untrusted_types(data=data)) - known
            unknown = {name for name in held if not _is_ours(name)}
            loaded = None if unknown else skops.loads(data, trusted=sorted(known | held))
        except Exception as error:
            reason = error if data else "it is empty"
            raise ValueError(f"{os.fspath(path)!r} is not a whole checkpoint: {reason}") from error
        if unknown:
            raise ValueError(f"{os.fspath(path)!r} holds types that are not trusted: {sorted(unknown)}.")
        cls = type(loaded)
        if _name_of(cls) not in estimators:
            raise ValueError(f"{os.fspath(path)!r} holds a {cls.__name__}, which is not an estimator of skml.")
        return loaded


def _name_of(cls):
    return f"{cls.__module__}.{cls.__qualname__}"


def _is_ours(name):
    """Tell whether a name is that of a class which the very module of skml that it names defines.

    What such a module has imported does not count: ``skml.callback.os`` would lead out of skml. Nothing is imported:
    the modules of all estimators are there since `all_estimators` was called.
    """
    module, _, kind = name.rpartition(".")
    found = getattr(sys.modules.get(module), kind, None) if module.startswith("skml.") else None
    return isinstance(found, type) and (found.__module__, found.__qualname__) == (module, kind)


def _skops():
    try:
        import skops.io
    except ImportError as error:
        raise ImportError("Checkpoint needs skops; install it with: pip install 'skml[checkpoint]'") from error
    return skops.io


def _write_whole(path, data):
    """Replace a file so that a crash at any moment leaves the old or the new one, whole."""
    temporary = f"{path}.{secrets.token_hex(8)}"
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if os.path.exists(path):
            shutil.copymode(path, temporary)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    if os.name == "posix":
        directory = os.open(os.path.dirname(os.path.abspath(path)), os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
