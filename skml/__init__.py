"""skml: scikit-learn compatible estimators on numpy, scipy and scikit-learn alone."""

import importlib

__version__ = "0.1.0"

# Public name -> the module that defines it. Nothing is imported before it is asked for.
_HOMES = {
    "ActorCritic": "skml.reinforcement",
    "AdaBoost": "skml.ensemble",
    "AdvantageActorCritic": "skml.reinforcement",
    "BPETokenizer": "skml.language",
    "BaggingForest": "skml.ensemble",
    "BaggingForestRegressor": "skml.ensemble",
    "CharTokenizer": "skml.language",
    "ContentFilter": "skml.recommendation",
    "ConvAutoencoder": "skml.vision",
    "ConvClassifier": "skml.vision",
    "ConvRegressor": "skml.vision",
    "KMeansPP": "skml.cluster",
    "LinearAutoencoder": "skml.decomposition",
    "MatrixFactorization": "skml.recommendation",
    "NeighborhoodFilter": "skml.recommendation",
    "PCA": "skml.decomposition",
    "PolicyIteration": "skml.reinforcement",
    "QLearning": "skml.reinforcement",
    "QuantileTokenizer": "skml.language",
    "RNNLanguageModel": "skml.language",
    "Reinforce": "skml.reinforcement",
    "SARSA": "skml.reinforcement",
    "TransformerLanguageModel": "skml.language",
    "ValueIteration": "skml.reinforcement",
    "WordTokenizer": "skml.language",
    "all_estimators": "skml.inspection",
    "show_versions": "skml.inspection",
}
_PACKAGES = (
    "base",
    "callback",
    "cluster",
    "decomposition",
    "displays",
    "ensemble",
    "inspection",
    "language",
    "recommendation",
    "reinforcement",
    "vision",
)

__all__ = sorted(["__version__", *_HOMES])


def __getattr__(name):
    """Import a public name or a package on first use (PEP 562)."""
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    elif name in _PACKAGES:
        value = importlib.import_module(f"skml.{name}")
    else:
        raise AttributeError(f"module 'skml' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__():
    return sorted({*__all__, *_PACKAGES})
