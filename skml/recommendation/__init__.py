"""Recommenders whose rows are interactions: a user, an item, and what the one said of the other."""

import importlib

# At once: importing the module of that name would hide the function.
from skml.recommendation.interactions import interactions as interactions
from skml.recommendation.interactions import ratings_matrix as ratings_matrix

_HOMES = {
    "ColdUserSplit": "skml.recommendation.splitters",
    "ContentFilter": "skml.recommendation.content",
    "LeaveLastOut": "skml.recommendation.splitters",
    "MatrixFactorization": "skml.recommendation.factorization",
    "NeighborhoodFilter": "skml.recommendation.neighborhood",
    "PerUserKFold": "skml.recommendation.splitters",
    "RankingScorer": "skml.recommendation.scorers",
    "TimeSplit": "skml.recommendation.splitters",
    "coverage": "skml.recommendation.metrics",
    "get_scorer": "skml.recommendation.scorers",
    "map_at_k": "skml.recommendation.metrics",
    "mrr": "skml.recommendation.metrics",
    "ndcg_at_k": "skml.recommendation.metrics",
    "precision_at_k": "skml.recommendation.metrics",
    "recall_at_k": "skml.recommendation.metrics",
}

__all__ = sorted([*_HOMES, "interactions", "ratings_matrix"])


def __getattr__(name):
    """Import a public name on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'skml.recommendation' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__():
    return __all__
