"""Recommenders whose rows are interactions: a user, an item, and what the one said of the other."""

import importlib

# Not on first use: by then a module has taken the name.
from skml.recommendation.interactions import interactions as interactions
from skml.recommendation.interactions import ratings_matrix as ratings_matrix

_HOMES = {"MatrixFactorization": "skml.recommendation.factorization"}

__all__ = sorted([*_HOMES, "interactions", "ratings_matrix"])


def __getattr__(name):
    """Import an estimator on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'skml.recommendation' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__():
    return __all__
