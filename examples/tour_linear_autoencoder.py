"""A linear autoencoder on digits, in a pipeline: trained by gradient steps, it ends where PCA does."""

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
import sklearn.decomposition
from sklearn.callback import ProgressBar
from sklearn.datasets import load_digits
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler

from skml import LinearAutoencoder


def visit(pictures, timed):
    """Return rows of (what, score, skml, seconds, peer, seconds)."""
    X, _ = load_digits(return_X_y=True)
    scaled = MaxAbsScaler().fit_transform(X)
    peer, peer_seconds = timed(lambda: sklearn.decomposition.PCA(n_components=10).fit(scaled))
    optimum = -np.mean((peer.inverse_transform(peer.transform(scaled)) - scaled) ** 2)
    rows = []
    for solver in ("exact", "als", "sgd"):
        autoencoder = LinearAutoencoder(n_components=10, solver=solver, random_state=0)
        pipeline = make_pipeline(MaxAbsScaler(), autoencoder)
        if solver == "sgd":
            pipeline.set_callbacks(ProgressBar())
        _, seconds = timed(lambda pipeline=pipeline: pipeline.fit(X))
        what = f"LinearAutoencoder({solver!r}), digits (peer: PCA)"
        rows.append((what, "-mean squared error", pipeline.score(X), seconds, optimum, peer_seconds))
    picture(pictures / "linear_autoencoder.png", autoencoder, scaled)
    return rows


def picture(path, autoencoder, X):
    """Draw the loss per epoch, and digits beside what comes out of ten numbers."""
    figure = plt.figure(figsize=(9, 3), layout="constrained")
    left, right = figure.subfigures(1, 2)
    axis = left.subplots()
    axis.plot(autoencoder.history_["loss"])
    axis.set(xlabel="epoch", ylabel="loss", yscale="log", title="solver='sgd'")
    decoded = autoencoder.inverse_transform(autoencoder.transform(X[:8]))
    for row, images, title in zip(right.subplots(2, 8), (X, decoded), ("in", "out")):
        for axis, image in zip(row, images):
            axis.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
            axis.set(xticks=[], yticks=[])
        row[0].set_ylabel(title)
    figure.savefig(path, dpi=120)
    plt.close(figure)
