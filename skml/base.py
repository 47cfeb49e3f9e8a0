"""The few words that scikit-learn lacks: validated input, all-or-nothing fits, and fits that go step by step."""

import functools
import inspect
import os
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp
from sklearn import get_config
from sklearn.utils.validation import check_array, validate_data

from skml._dtypes import kept_dtype
from skml._sklearn import check_sample_weight, fit_context, open_fit

__all__ = [
    "FitInterruptedWarning",
    "Run",
    "Step",
    "chunk_slices",
    "fit_task",
    "fitting",
    "refuse_series",
    "require_memory",
    "run_steps",
    "validate_X",
    "validate_codes",
    "validate_weights",
    "warn_caller",
]


# The least and the largest sum of weights: with either, sums over weighted rows are still ordinary numbers.
WEIGHT_SUMS = (1e-300, 1e300)

# ---------------------------------------------------------------------------------------------------- input


def validate_X(estimator, X, *, reset, accept_sparse=False, allow_nan=False, **check_params):
    """Validate X as scikit-learn does, and also sparse structure and times.

    Parameters
    ----------
    estimator : BaseEstimator
        Whose ``n_features_in_`` and ``feature_names_in_`` are set or compared.
    X : array-like, DataFrame or sparse matrix of shape (n_samples, n_features)
        The data.
    reset : bool
        Whether X defines the features (fit) or is compared with them.
    accept_sparse : bool, default=False
        Whether sparse X is allowed; it comes back as canonical CSR (indices sorted, duplicates added up) with
        32-bit indices.
    allow_nan : bool, default=False
        Whether NaN (missing) is allowed; infinity never is.
    **check_params : dict
        Passed to :func:`sklearn.utils.check_array`; the default ``dtype`` keeps float32, in whatever container and
        byte order, and makes float64 of everything else.

    Returns
    -------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        Float data.

    Raises
    ------
    ValueError
        If X is not a finite two-dimensional float array, is a Series, a sparse structure is broken, or entries are
        masked.
    TypeError
        If X is sparse where only dense data is accepted, or holds times.
    """
    if not reset and _is_plain(estimator, X, allow_nan, check_params):
        return X
    refuse_series(X)
    _refuse_times(X)
    if np.ma.is_masked(X):
        raise ValueError("X is a masked array, whose mask would be ignored; give X.filled(np.nan) for missing entries.")
    if sp.issparse(X):
        check_sparse_structure(X)
    check_params["dtype"] = kept_dtype(X, check_params.get("dtype", (np.float64, np.float32)))
    with np.errstate(over="ignore", invalid="ignore"):  # what becomes infinite is refused in words
        X = validate_data(
            estimator,
            X,
            reset=reset,
            accept_sparse="csr" if accept_sparse else False,
            accept_large_sparse=True,
            ensure_all_finite="allow-nan" if allow_nan else True,
            **check_params,
        )
    if sp.issparse(X):
        check_sparse_structure(X)
        X = _canonical(_with_small_indices(X))
    return X


_FEW = 2**12  # numbers, of which scikit-learn's validation takes longer than a prediction


def _asks_nothing(dtype=None, order="C", **others):
    """Return whether checks change nothing about a C-contiguous array of floats."""
    return order in ("C", None) and not others


def _is_plain(estimator, X, allow_nan, check_params):
    """Return whether X is a small array that validation would hand back as it is, without a word."""
    if type(X) is not np.ndarray or X.ndim != 2 or not 0 < X.size <= _FEW or not X.flags.c_contiguous:
        return False
    if X.dtype not in check_params.get("dtype", (np.float64, np.float32)) or not _asks_nothing(**check_params):
        return False
    if X.shape[1] != getattr(estimator, "n_features_in_", None) or hasattr(estimator, "feature_names_in_"):
        return False
    return not np.isinf(X).any() if allow_nan else bool(np.isfinite(X).all())


def validate_codes(X, n_components, dtype=None):
    """Validate codes as `transform` returns them.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_components)
        The codes.
    n_components : int
        The numbers in a code.
    dtype : dtype or None, default=None
        The type to make of it; None keeps float32 and makes float64 of everything else.

    Returns
    -------
    Z : ndarray of shape (n_samples, n_components)
        Finite.

    Raises
    ------
    ValueError
        If X is nothing of that shape.
    """
    expected = f"X must have shape (n_samples, {n_components}), as transform returns it"
    if not hasattr(X, "shape") and np.ndim(X) == 0:
        raise ValueError(f"{expected}, got {X!r}.")
    with np.errstate(over="ignore"):
        Z = check_array(X, dtype=dtype or kept_dtype(X, (np.float64, np.float32)), input_name="X")
    if Z.shape[1] != n_components:
        raise ValueError(f"{expected}, got {Z.shape}: the codes of this model have {n_components} components.")
    return Z


def refuse_series(X):
    """Raise a ValueError if X is a Series, which may be a row or a column of a table, in place of a table.

    Parameters
    ----------
    X : object
        What a user gives as rows.
    """
    if hasattr(X, "to_frame") and getattr(X, "ndim", len(getattr(X, "shape", ()))) == 1:
        raise ValueError(
            "Expected 2D array, got a Series, which is one-dimensional: a column of a table is X[['name']], a row "
            "X.iloc[[i]] (pandas) or X[[i]] (polars)."
        )


def _refuse_times(X):
    dtypes = getattr(X, "dtypes", None)
    dtypes = [getattr(X, "dtype", None)] if dtypes is None else list(np.atleast_1d(np.asarray(dtypes, dtype=object)))
    for dtype in dtypes:
        temporal = getattr(dtype, "is_temporal", None)  # polars
        if getattr(dtype, "kind", "") in ("m", "M") or (callable(temporal) and temporal()):
            raise TypeError(f"X holds times ({dtype}); convert them to numbers first, e.g. seconds since a date.")


def check_sparse_structure(X):
    """Raise a ValueError unless the index arrays of a sparse matrix are sound.

    Compiled code follows these indices without looking, so one that points outside would end the process.

    Parameters
    ----------
    X : sparse matrix
        CSR, CSC, BSR and COO are checked; other formats hold nothing to check.
    """
    if X.format == "coo":
        for name, index, size in zip(("row", "col"), X.coords, X.shape):
            if len(index) != len(X.data):
                raise ValueError(f"X is a broken COO matrix: {len(index)} {name} indices for {len(X.data)} values.")
            _check_indices(index, size, f"{name} indices", "COO")
    elif X.format in ("csr", "csc", "bsr"):
        _check_compressed(X)


def _check_compressed(X):
    kind = X.format.upper()
    major, minor = X.shape if X.format != "csc" else X.shape[::-1]
    if X.format == "bsr":
        block_rows, block_columns = X.data.shape[1:]
        major, minor = major // block_rows, minor // block_columns
    if len(X.indptr) != major + 1:
        raise ValueError(f"X is a broken {kind} matrix: indptr has {len(X.indptr)} entries, expected {major + 1}.")
    if X.indptr[0] != 0:
        raise ValueError(f"X is a broken {kind} matrix: indptr starts at {X.indptr[0]}, expected 0.")
    if np.any(X.indptr[1:] < X.indptr[:-1]):
        row = int(np.argmax(X.indptr[1:] < X.indptr[:-1]))
        raise ValueError(f"X is a broken {kind} matrix: indptr decreases after entry {row}.")
    if len(X.indices) != len(X.data):
        raise ValueError(f"X is a broken {kind} matrix: {len(X.indices)} indices for {len(X.data)} values.")
    if X.indptr[-1] != len(X.indices):
        raise ValueError(
            f"X is a broken {kind} matrix: indptr ends at {X.indptr[-1]}, expected {len(X.indices)}, "
            "the number of stored values."
        )
    _check_indices(X.indices, minor, "indices", kind)


def _check_indices(index, size, name, kind):
    if len(index) == 0:
        return
    low, high = index.min(), index.max()
    if low < 0 or high >= size:
        bad = low if low < 0 else high
        raise ValueError(f"X is a broken {kind} matrix: its {name} hold {bad}, outside 0 to {size - 1}.")


def _with_small_indices(X):
    """Return X with 32-bit indices where they fit (the kernels' index type), sharing the values."""
    if X.indices.dtype == np.int32 and X.indptr.dtype == np.int32:
        return X
    largest = np.iinfo(np.int32).max
    if max(X.nnz, *X.shape) > largest:
        raise ValueError(
            f"Sparse X may have up to {largest} rows, columns and stored values, got {X.nnz} values in shape {X.shape}."
        )
    parts = (X.data, X.indices.astype(np.int32), X.indptr.astype(np.int32))
    return type(X)(parts, shape=X.shape, copy=False)


def _canonical(X):
    """Return X with sorted indices, each at most once per row; the caller's matrix is left as it is."""
    if not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    return X


def validate_weights(sample_weight, X, *, dtype=np.float64):
    """Return the sample weights as an array, or None where none were given.

    Parameters
    ----------
    sample_weight : array-like of shape (n_samples,), float or None
        One non-negative weight per row; a number stands for that weight everywhere.
    X : ndarray or sparse matrix of shape (n_samples, n_features)
        The validated data.
    dtype : dtype, default=float64
        The type of the result.

    Returns
    -------
    weights : ndarray of shape (n_samples,) or None
        None if `sample_weight` is None.

    Raises
    ------
    ValueError
        If a weight is negative or not finite, all are zero, their sum leaves `WEIGHT_SUMS`, or the length is wrong.
    """
    if sample_weight is None:
        return None
    weights = check_sample_weight(sample_weight, X, dtype=dtype, ensure_non_negative=True)
    with np.errstate(over="ignore"):
        total = weights.sum(dtype=np.float64)
    low, high = WEIGHT_SUMS
    if not low <= total <= high:
        size = "large" if total > high else "small"
        raise ValueError(f"The sum of sample_weight, {total:g}, is too {size}; bring it near the number of rows.")
    return weights


# --------------------------------------------------------------------------------------------------- memory


def require_memory(n_bytes, purpose):
    """Raise a MemoryError, before anything is allocated, if `n_bytes` is more than what is free.

    Parameters
    ----------
    n_bytes : int
        The bytes that the request would take.
    purpose : str
        What they are for; it ends the sentence "... would take".
    """
    free = _free_memory()
    if free is not None and n_bytes > free:
        raise MemoryError(
            f"{purpose} would take {n_bytes / 2**30:,.1f} GiB ({n_bytes:,} bytes); {free / 2**30:,.1f} GiB are free."
        )


def _free_memory():
    try:
        with open("/proc/meminfo") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def chunk_slices(n_rows, bytes_per_row):
    """Yield slices that cover `n_rows`, each within scikit-learn's ``working_memory``.

    Parameters
    ----------
    n_rows : int
        Number of rows to cover.
    bytes_per_row : int
        Temporary bytes that one row takes.

    Yields
    ------
    rows : slice
        Consecutive, non-empty.
    """
    size = max(1, int(get_config()["working_memory"] * 2**20 // max(1, bytes_per_row)))
    for start in range(0, n_rows, size):
        yield slice(start, min(start + size, n_rows))


# --------------------------------------------------------------------------------------------------- fitting


def warn_caller(message, category):
    """Warn as the line that called into skml, through however many decorators and scikit-learn's own frames.

    Parameters
    ----------
    message : str
        What to say.
    category : type
        The class of the warning.
    """
    ours, frame, level = ("skml", "sklearn", "contextlib"), inspect.currentframe(), 1
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).partition(".")[0] in ours:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


class FitInterruptedWarning(UserWarning):
    """Ctrl-C, or an environment that raised, ended a fit early; the estimator keeps the last finished task's model."""


def fitting(method):
    """Decorate a method that fits: parameters checked, callbacks torn down, all or nothing.

    If the method raises, the estimator is left exactly as it was before the call.

    Parameters
    ----------
    method : function
        A method such as ``fit`` or ``partial_fit``. It must replace fitted attributes, not write into them.

    Returns
    -------
    method : function
        The decorated method.
    """
    managed = fit_context(prefer_skip_nested_validation=True)(method)

    @functools.wraps(method)
    def all_or_nothing(estimator, *args, **kwargs):
        before = dict(vars(estimator))
        try:
            return managed(estimator, *args, **kwargs)
        except BaseException:
            vars(estimator).clear()
            vars(estimator).update(before)
            raise

    return all_or_nothing


@contextmanager
def fit_task(estimator, *, X=None, y=None, sample_weight=None, max_subtasks=0):
    """Open the root callback task of a fit, and close it when the fit has succeeded.

    Parameters
    ----------
    estimator : BaseEstimator with CallbackSupportMixin
        The estimator being fitted; its fitted attributes must be set inside the block.
    X, y, sample_weight : array-like or None
        What callbacks may see of the training data.
    max_subtasks : int or None, default=0
        The number of subtasks; None if it isn't known.

    Yields
    ------
    context : CallbackContext
        The root context, to open subtasks on.
    """
    seen = _seen(X, y, sample_weight)
    context = open_fit(estimator, max_subtasks)
    context.call_on_fit_task_begin(estimator=estimator, **seen)
    yield context
    context.call_on_fit_task_end(estimator=estimator, reconstruction_attributes={}, **seen)


def _seen(X, y, sample_weight):
    metadata = None if sample_weight is None else {"sample_weight": sample_weight}
    return {"X": X, "y": y, "metadata": metadata}


@dataclass(frozen=True)
class Step:
    """What a core generator yields after each of its iterations.

    Attributes
    ----------
    state : object
        Everything needed to make a fitted estimator of it.
    metrics : dict of str to float, or to an array of floats
        The figures of this iteration, for ``history_``; several where it is made of parts that have one each.
    last : bool
        Whether the generator will yield nothing more.
    """

    state: object
    metrics: dict = field(default_factory=dict)
    last: bool = False


@dataclass(frozen=True)
class Run:
    """The outcome of :func:`run_steps`.

    Attributes
    ----------
    state : object
        The state of the last finished step.
    history : dict of str to list
        The figures of all steps.
    stopped : {None, "callback", "interrupt"}
        Who stopped the run before its end, if anybody did.
    """

    state: object
    history: dict
    stopped: str | None


def run_steps(estimator, context, steps, *, task, attributes, X=None, y=None, sample_weight=None, history=None):
    """Drive a generator of :class:`Step` with one callback task per step.

    Parameters
    ----------
    estimator : BaseEstimator with CallbackSupportMixin
        The estimator being fitted.
    context : CallbackContext
        The task that the steps are subtasks of.
    steps : iterator of Step
        The core of the algorithm; the final step says ``last=True``.
    task : str
        What one step is called, e.g. "iteration".
    attributes : callable
        ``attributes(state, history)`` gives the fitted attributes of a model stopped here.
    X, y, sample_weight : array-like or None
        What callbacks may see of the training data.
    history : dict of str to list or None
        What earlier fits recorded; the new figures are appended to a copy of it.

    Returns
    -------
    run : Run
        ``state``, ``history`` and ``stopped`` (None, "callback" or "interrupt").
    """
    seen = _seen(X, y, sample_weight)
    history = {name: list(values) for name, values in (history or {}).items()}
    state, last, stopped = None, False, None
    try:
        while not (last or stopped):
            subtask = context.subcontext(task_name=task)
            subtask.call_on_fit_task_begin(estimator=estimator, **seen)
            step = next(steps)
            state, last = step.state, step.last
            for name, value in step.metrics.items():
                history.setdefault(name, []).extend(np.ravel(np.asarray(value, dtype=np.float64)).tolist())
            fitted = functools.partial(_snapshot, attributes, state, history)
            if subtask.call_on_fit_task_end(estimator=estimator, reconstruction_attributes=fitted, **seen):
                stopped = "callback"
    except KeyboardInterrupt:
        if state is None:
            raise
        message = f"{type(estimator).__name__}.fit was interrupted; the model of the last finished {task} is kept."
        warn_caller(message, FitInterruptedWarning)
        stopped = "interrupt"
    return Run(state, history, stopped)


def _snapshot(attributes, state, history):
    return attributes(state, {name: list(values) for name, values in history.items()})
