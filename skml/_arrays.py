"""Arrays of other libraries at the door: NumPy inside, the caller's library and device outside.

Under ``sklearn.config_context(array_api_dispatch=True)`` scikit-learn's estimators take the arrays of any library that
follows the array API standard, and return the same kind. The decorators here give a method that manner; kernels run
on the CPU, so the data visits it. Without the setting they do nothing, as in scikit-learn.
"""

import copy
import functools

import numpy as np
from sklearn import config_context, get_config

from skml._sklearn import check_same_namespace, get_namespace_and_device, is_array_api_obj, move_to


def fit_in_numpy(method):
    """Decorate a method that fits: fitted arrays of floats, and a returned array, are of the kind of X.

    Parameters
    ----------
    method : function
        A method such as ``fit``, whose first argument is X.

    Returns
    -------
    method : function
        The decorated method.
    """

    @functools.wraps(method)
    def fit(estimator, *args, **kwargs):
        if not get_config()["array_api_dispatch"]:
            return method(estimator, *args, **kwargs)
        home = _home(_first(args, kwargs))
        vars(estimator).update(_in_numpy(vars(estimator)))
        result = _call(method, estimator, args, kwargs)
        floats = {name: value for name, value in vars(estimator).items() if _is_float_array(value)}
        vars(estimator).update({name: _moved(value, home) for name, value in floats.items()})
        return _moved(result, home) if _is_float_array(result) else result

    return fit


def use_in_numpy(attribute):
    """Return a decorator of methods that use a fitted model: arrays returned are of the kind fitted.

    Parameters
    ----------
    attribute : str
        A fitted array; X must be of its library and on its device.

    Returns
    -------
    decorate : callable
        The decorator.
    """

    def decorate(method):
        @functools.wraps(method)
        def use(estimator, *args, **kwargs):
            if not (get_config()["array_api_dispatch"] and hasattr(estimator, attribute)):
                return method(estimator, *args, **kwargs)
            if args or kwargs:
                X = _first(args, kwargs)
                check_same_namespace(X, estimator, attribute=attribute, method=method.__name__)
            inside = copy.copy(estimator)
            vars(inside).update(_in_numpy(vars(estimator)))
            result = _call(method, inside, args, kwargs)
            return _moved(result, _home(getattr(estimator, attribute))) if _is_float_array(result) else result

        return use

    return decorate


def _call(method, estimator, args, kwargs):
    args = _in_numpy(dict(enumerate(args))).values()
    kwargs = _in_numpy(kwargs)
    with config_context(array_api_dispatch=False):
        return method(estimator, *args, **kwargs)


def _first(args, kwargs):
    return args[0] if args else kwargs.get("X")


def _home(array):
    """Return the namespace and device of an array; NumPy's for anything else."""
    xp, _, device = get_namespace_and_device(array)
    return xp, device


def _in_numpy(values):
    """Return a dict's values, those that are arrays of another library as NumPy arrays."""
    foreign = {
        name: value for name, value in values.items() if is_array_api_obj(value) and not isinstance(value, np.ndarray)
    }
    return {**values, **{name: move_to(value, xp=np, device="cpu") for name, value in foreign.items()}}


def _is_float_array(value):
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def _moved(array, home):
    xp, device = home
    return array if device is None else move_to(array, xp=xp, device=device)
