"""Ensembles: a row of X is an observation; NaN means missing."""

import importlib

_HOMES = {
    "AdaBoost": "skml.ensemble.adaboost",
    "MarginDisplay": "skml.ensemble.displays_adaboost",
}

__all__ = sorted(_HOMES)


def __getattr__(name):
    """Import an estimator on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'skml.ensemble' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__():
    return __all__
