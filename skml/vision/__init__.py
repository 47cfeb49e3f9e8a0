"""Vision: a row of X is an image, flat, or with height, width and channels; or a signal."""

import importlib

_HOMES = {
    "ConvAutoencoder": "skml.vision.conv_autoencoder",
    "ConvClassifier": "skml.vision.conv_classifier",
    "ConvRegressor": "skml.vision.conv_regressor",
    "FeatureMapDisplay": "skml.vision.displays",
    "FilterDisplay": "skml.vision.displays",
    "HistoryDisplay": "skml.displays",
}

__all__ = sorted(_HOMES)


def __getattr__(name):
    """Import an estimator or a display on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'skml.vision' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__():
    return __all__
