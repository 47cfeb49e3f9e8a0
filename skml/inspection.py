"""What is here: the public estimators, and the versions and thread counts of what they run on."""

import platform

import numpy
import scipy
import sklearn
from sklearn.base import BaseEstimator, ClassifierMixin, ClusterMixin, RegressorMixin, TransformerMixin
from threadpoolctl import threadpool_info

import skml
from skml import _kernels

_KINDS = {
    "classifier": ClassifierMixin,
    "cluster": ClusterMixin,
    "regressor": RegressorMixin,
    "transformer": TransformerMixin,
}


def all_estimators(type_filter=None):
    """Return every public estimator of skml whose rows can be numbers; tokenizers, which take texts, are none.

    Parameters
    ----------
    type_filter : {"classifier", "cluster", "regressor", "transformer"}, list of such or None, default=None
        Which kinds of estimators to return; None returns all of them.

    Returns
    -------
    estimators : list of (str, type)
        Names and classes, sorted by name.

    Raises
    ------
    ValueError
        If `type_filter` names an unknown kind.

    Examples
    --------
    >>> from skml import all_estimators
    >>> [name for name, _ in all_estimators("cluster")]
    ['KMeansPP']
    """
    kinds = [type_filter] if isinstance(type_filter, str) else type_filter
    if kinds is not None and (unknown := set(kinds) - set(_KINDS)):
        raise ValueError(f"type_filter must be None or among {sorted(_KINDS)}, got {sorted(unknown)}.")
    public = ((name, getattr(skml, name)) for name in skml.__all__)
    classes = [(name, value) for name, value in public if isinstance(value, type) and issubclass(value, BaseEstimator)]
    classes = [(name, value) for name, value in classes if not getattr(value, "_takes_texts", False)]
    if kinds is not None:
        mixins = tuple(_KINDS[kind] for kind in kinds)
        classes = [(name, value) for name, value in classes if issubclass(value, mixins)]
    return sorted(classes)


def show_versions():
    """Print the versions of skml and of what it runs on, the kernel level, BLAS and thread counts.

    Examples
    --------
    >>> from skml import show_versions
    >>> show_versions()  # doctest: +ELLIPSIS
    skml: ...
    """
    rows = {
        "skml": skml.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "numpy": numpy.__version__,
        "scipy": scipy.__version__,
        "scikit-learn": sklearn.__version__,
        "kernels": f"{_kernels.LEVEL} (processor: {_kernels.CPU_LEVEL})",
        "kernel threads": _kernels.n_threads(),
    }
    for name, value in rows.items():
        print(f"{name}: {value}")
    for pool in threadpool_info():
        version = pool.get("version") or "version unknown"
        print(f"{pool['user_api']}: {pool['internal_api']} {version}, {pool['num_threads']} threads")
