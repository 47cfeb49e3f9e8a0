"""Recommenders whose rows are interactions: a user, an item, and what the one said of the other."""

import importlib

_HOMES = {
    "MatrixFactorization": "skml.recommendation.factorization",
    "interactions": "skml.recommendation.interactions",
    "ratings_matrix": "skml.recommendation.interactions",
}

__all__ = sorted(_HOMES)


def __getattr__(name):
    """Import a public name on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'skml.recommendation' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__():
    return __all__
