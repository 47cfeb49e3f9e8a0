"""Convolutional networks on digits of 8 x 8 pixels, beside scikit-learn's MLP; their codes beside its PCA's."""

import warnings

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
import sklearn.decomposition
from sklearn.callback import ProgressBar
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skml import ConvAutoencoder, ConvClassifier
from skml.vision import FilterDisplay, HistoryDisplay

SETTINGS = {"filters": (32, 64), "batch_size": 32, "learning_rate": "one_cycle", "learning_rate_init": 4e-3}


def visit(pictures, timed):
    """Return rows of (what, score, skml, seconds, peer, seconds)."""
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X.astype(np.float32), y, test_size=0.3, stratify=y, random_state=0)

    network = ConvClassifier(dropout=0.3, max_iter=30, random_state=0, **SETTINGS)
    network.set_callbacks(ProgressBar())
    peer = make_pipeline(StandardScaler(), MLPClassifier(hidden_layer_sizes=(256,), random_state=0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        (_, seconds), (_, peer_seconds) = timed(lambda: network.fit(X, y)), timed(lambda: peer.fit(X, y))
    scores = network.score(X_test, y_test), peer.score(X_test, y_test)
    rows = [("ConvClassifier, digits (MLPClassifier)", "accuracy", scores[0], seconds, scores[1], peer_seconds)]

    codes = ConvAutoencoder(n_components=10, max_iter=30, random_state=0, **SETTINGS)
    peer = sklearn.decomposition.PCA(n_components=10)
    (_, seconds), (_, peer_seconds) = timed(lambda: codes.fit(X)), timed(lambda: peer.fit(X))
    errors = [np.mean((X_test - one.inverse_transform(one.transform(X_test))) ** 2) for one in (codes, peer)]
    rows.append(
        ("ConvAutoencoder, digits, 10 numbers (PCA)", "squared error", errors[0], seconds, errors[1], peer_seconds)
    )

    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    HistoryDisplay.from_estimator(network, figures=["loss"], ax=axes[0])
    FilterDisplay.from_estimator(network, ax=axes[1])
    figure.savefig(pictures / "vision.png", dpi=120)
    plt.close(figure)
    return rows
