"""PCA on breast cancer data in a grid search, and filling in missing pixels of digits."""

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
import sklearn.decomposition
from sklearn.callback import ProgressBar
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skml import PCA


def search(pca):
    """Choose the number of components by the accuracy of a classifier behind them."""
    pipeline = make_pipeline(StandardScaler(), pca, LogisticRegression(max_iter=1000))
    X, y = load_breast_cancer(return_X_y=True)
    return GridSearchCV(pipeline, {"pca__n_components": [2, 5, 10, 20]}, cv=5).fit(X, y)


def visit(pictures, timed):
    """Return rows of (what, score, skml, seconds, peer, seconds)."""
    ours, our_seconds = timed(lambda: search(PCA()))
    peer, peer_seconds = timed(lambda: search(sklearn.decomposition.PCA()))
    rows = [
        (
            "PCA in a grid search, breast cancer",
            "accuracy",
            ours.best_score_,
            our_seconds,
            peer.best_score_,
            peer_seconds,
        )
    ]

    X, _ = load_digits(return_X_y=True)
    train, test = train_test_split(X, random_state=0)
    rng = np.random.default_rng(0)
    holes = rng.random(test.shape) < 0.4
    broken = np.where(holes, np.nan, test)
    gaps = np.where(rng.random(train.shape) < 0.2, np.nan, train)
    pca = PCA(n_components=20).set_callbacks(ProgressBar())
    _, our_seconds = timed(lambda: pca.fit(gaps))
    filled = pca.inverse_transform(pca.transform(broken))
    mean, peer_seconds = timed(lambda: SimpleImputer().fit(gaps).transform(broken))
    error, peer_error = (np.sqrt(np.mean((guess - test)[holes] ** 2)) for guess in (filled, mean))
    rows.append(
        (
            "PCA with missing pixels, digits (peer: mean imputation)",
            "rmse of pixels",
            error,
            our_seconds,
            peer_error,
            peer_seconds,
        )
    )
    picture(pictures / "pca.png", test, broken, np.where(holes, filled, test))
    return rows


def picture(path, *stages):
    """Draw eight digits: whole, with holes, filled in."""
    figure, axes = plt.subplots(3, 8, figsize=(8, 3.4), layout="constrained")
    for row, images, title in zip(axes, stages, ("whole", "40 % missing", "filled in by PCA")):
        for axis, image in zip(row, images):
            axis.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=16)
            axis.set(xticks=[], yticks=[])
        row[0].set_ylabel(title, rotation=0, ha="right", va="center")
    figure.savefig(path, dpi=120)
    plt.close(figure)
