"""The adapter: every import from scikit-learn that is not public API, and nothing else."""

from sklearn.base import _fit_context as fit_context
from sklearn.callback._callback_context import get_context_path
from sklearn.utils._openmp_helpers import _openmp_effective_n_threads as openmp_threads
from sklearn.utils._param_validation import (
    HasMethods,
    Hidden,
    Interval,
    InvalidParameterError,
    Options,
    StrOptions,
    validate_params,
)
from sklearn.utils.validation import _check_sample_weight as check_sample_weight

__all__ = [
    "HasMethods",
    "Hidden",
    "Interval",
    "InvalidParameterError",
    "Options",
    "StrOptions",
    "check_sample_weight",
    "fit_context",
    "get_context_path",
    "openmp_threads",
    "validate_params",
]
