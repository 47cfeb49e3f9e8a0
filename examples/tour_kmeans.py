"""k-means on the two sample photographs (64 colours each) and on wine in a grid search."""

import warnings

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
import sklearn.cluster
from sklearn.callback import ProgressBar
from sklearn.datasets import load_sample_images, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skml import KMeansPP

OPTIONS = {"n_clusters": 64, "n_init": 1, "max_iter": 50, "random_state": 0}


def search(kmeans):
    """Choose the number of clusters whose distances serve a classifier best."""
    pipeline = make_pipeline(StandardScaler(), kmeans, LogisticRegression(max_iter=1000))
    X, y = load_wine(return_X_y=True)
    step = pipeline.steps[1][0]
    return GridSearchCV(pipeline, {f"{step}__n_clusters": [2, 4, 8, 16]}, cv=5).fit(X, y)


def visit(pictures, timed):
    """Return rows of (what, score, skml, seconds, peer, seconds)."""
    ours, our_seconds = timed(lambda: search(KMeansPP(random_state=0)))
    peer, peer_seconds = timed(lambda: search(sklearn.cluster.KMeans(random_state=0)))
    rows = [
        ("KMeansPP in a grid search, wine", "accuracy", ours.best_score_, our_seconds, peer.best_score_, peer_seconds)
    ]

    photographs = load_sample_images()
    drawn = []
    for photograph, filename in zip(photographs.images, photographs.filenames):
        pixels = (photograph.reshape(-1, 3) / 255).astype(np.float32)
        kmeans = KMeansPP(**OPTIONS).set_callbacks(ProgressBar())
        peer = sklearn.cluster.KMeans(**OPTIONS)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            _, our_seconds = timed(lambda kmeans=kmeans, pixels=pixels: kmeans.fit(pixels))
            _, peer_seconds = timed(lambda peer=peer, pixels=pixels: peer.fit(pixels))
        name = filename.rsplit("/")[-1]
        rows.append(
            (f"KMeansPP, 64 colours of {name}", "inertia", kmeans.inertia_, our_seconds, peer.inertia_, peer_seconds)
        )
        drawn += [photograph, kmeans.inverse_transform(kmeans.labels_).reshape(photograph.shape)]
    picture(pictures / "kmeans.png", drawn)
    return rows


def picture(path, images):
    """Draw each photograph beside its 64 colours."""
    figure, axes = plt.subplots(2, 2, figsize=(8, 5.6), layout="constrained")
    for axis, image, title in zip(axes.flat, images, ("photograph", "64 colours") * 2):
        axis.imshow(np.clip(image, 0, 255 if image.dtype == np.uint8 else 1))
        axis.set(xticks=[], yticks=[], title=title)
    figure.savefig(path, dpi=120)
    plt.close(figure)
