"""The adapter: every import from scikit-learn that is not public API, and every reliance on its private names.

Callbacks in scikit-learn 1.9: a hook's wish to stop (``on_fit_task_end`` returning True) comes back from
``CallbackContext.call_on_fit_task_end``; scikit-learn's own estimators don't act on it yet, skml's do
(:func:`skml.base.run_steps`). ``_fit_context`` tears callbacks down after a fit, so ``with_callbacks`` isn't needed
where it is used.
"""

import copy

import numpy as np
from sklearn.base import _clone_parametrized as clone_parametrized
from sklearn.base import _fit_context as fit_context
from sklearn.externals.array_api_compat import is_array_api_obj
from sklearn.utils._array_api import check_same_namespace, get_namespace_and_device, move_to
from sklearn.utils._openmp_helpers import _openmp_effective_n_threads as openmp_threads
from sklearn.utils._param_validation import HasMethods, InvalidParameterError, RealNotInt, StrOptions
from sklearn.utils._param_validation import Interval as _Interval
from sklearn.utils.validation import _check_feature_names_in as check_feature_names_in
from sklearn.utils.validation import _check_sample_weight as check_sample_weight

__all__ = [
    "HasMethods",
    "Interval",
    "InvalidParameterError",
    "RealNotInt",
    "StrOptions",
    "check_feature_names_in",
    "check_same_namespace",
    "check_sample_weight",
    "clone_parametrized",
    "fit_context",
    "get_namespace_and_device",
    "is_array_api_obj",
    "is_whole_fit",
    "move_to",
    "open_fit",
    "openmp_threads",
    "without_callback_state",
]


class Interval(_Interval):
    """Numbers between two bounds; True and False are none."""

    def is_satisfied_by(self, val):
        """Tell whether a value is a number between the bounds."""
        return not isinstance(val, (bool, np.bool_)) and super().is_satisfied_by(val)


_CALLBACK_STATE = ("_callback_fit_ctx", "_parent_callback_ctx", "_skl_callbacks", "_skl_callbacks_to_teardown")


def without_callback_state(estimator):
    """Return a shallow copy of an estimator without what a fit in progress hangs on it."""
    bare = copy.copy(estimator)
    for name in _CALLBACK_STATE:
        vars(bare).pop(name, None)
    return bare


def open_fit(estimator, max_subtasks):
    """Return the root callback context of a fit that begins; callbacks are set up."""
    return estimator._init_callback_context(max_subtasks=max_subtasks)


def is_whole_fit(estimator, context):
    """Tell whether a context is the root task of the estimator's fit in progress."""
    return context is getattr(estimator, "_callback_fit_ctx", None)
