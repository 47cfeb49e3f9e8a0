"""Ensembles: a row of X is an observation; NaN means missing, and categories are welcome."""

import importlib

_HOMES = {
    "AdaBoost": "skml.ensemble.adaboost",
    "MarginDisplay": "skml.ensemble.displays_adaboost",
    "BaggingForest": "skml.ensemble.forest",
    "BaggingForestRegressor": "skml.ensemble.forest",
    "ImportanceDisplay": "skml.ensemble.displays",
    "IntervalDisplay": "skml.ensemble.displays",
    "OOBCurveDisplay": "skml.ensemble.displays",
    "TreeDisplay": "skml.ensemble.displays_tree",
}

__all__ = sorted(_HOMES)


def __getattr__(name):
    """Import an estimator or a display on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'skml.ensemble' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__():
    return __all__
