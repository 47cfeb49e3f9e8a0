"""Recommenders on generated ratings, beside what scikit-learn's classes can be made to do.

Ratings are 3.5 + b_u + b_i + p_u . q_i + noise, the deviations of the terms being .4, .4, .7 and .6; 8 attributes of an
item tell most of its vector. A fifth is known, of the last 50 items nothing. The truth itself has an error of .6.
"""

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
from sklearn.callback import ProgressBar
from sklearn.decomposition import NMF
from sklearn.impute import KNNImputer
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV

from skml import ContentFilter, MatrixFactorization, NeighborhoodFilter
from skml.recommendation import PerUserKFold, interactions

N_USERS, N_ITEMS, N_NEW, NOISE = 500, 250, 50, 0.6
COUNTS = (1, 2, 3, 4, 6, 8, 12, 20)


def generate(rng):
    """Return ratings of all items by all users, and the items' attributes."""
    attributes = rng.normal(size=(N_ITEMS, 8))
    Q = attributes @ rng.normal(size=(8, 4)) / np.sqrt(8) + 0.3 * rng.normal(size=(N_ITEMS, 4))
    biases = 0.4 * rng.normal(size=(N_USERS, 1)) + 0.4 * rng.normal(size=N_ITEMS)
    return 3.5 + biases + 0.35 * rng.normal(size=(N_USERS, 4)) @ Q.T + NOISE * rng.normal(size=biases.shape), attributes


def error(predictions, pairs, ratings):
    """Return the root of the mean squared error."""
    return np.sqrt(np.mean((predictions - ratings[tuple(pairs.T)]) ** 2))


def filled(R):
    """Return what NMF makes of ratings whose holes are filled with the means of items."""
    nmf = NMF(4, max_iter=1000)
    return nmf.inverse_transform(nmf.fit_transform(np.where(np.isnan(R), np.nanmean(R, axis=0), R).clip(0)))


def per_user(R, attributes):
    """Return what a ridge regression on attributes says for each user."""
    rows = zip(R, ~np.isnan(R))
    return np.array([Ridge(10.0).fit(attributes[: len(k)][k], row[k]).predict(attributes) for row, k in rows])


def visit(pictures, timed):
    """Return rows of (what, score, skml, seconds, peer, seconds)."""
    rng = np.random.default_rng(0)
    ratings, attributes = generate(rng)
    R = np.where(rng.random(ratings.shape) < 0.2, ratings, np.nan)[:, :-N_NEW]
    X, y = interactions(R)
    held, new = np.argwhere(np.isnan(R)), np.argwhere(np.ones((N_USERS, 1)) * np.arange(N_ITEMS) >= R.shape[1])
    grid, cv = {"n_components": [2, 4, 8], "alpha": ["auto", 1.0]}, PerUserKFold(3, random_state=0)
    factors = GridSearchCV(MatrixFactorization(max_iter=200, random_state=0), grid, cv=cv).set_callbacks(ProgressBar())
    neighbors = NeighborhoodFilter(kind="user", shrinkage=10.0, damping=1.0, negative=True)
    rows, title = [], "ContentFilter, new items (Ridge per user)"

    def compare(what, fit, peer, pairs):
        (model, seconds), (other, peer_seconds) = timed(fit), timed(peer)
        found = [error(guess, pairs, ratings) for guess in (model.predict(pairs), other[tuple(pairs.T)])]
        rows.append((what, f"RMSE (noise {NOISE})", found[0], seconds, found[1], peer_seconds))

    compare("MatrixFactorization, grid search (NMF, filled)", lambda: factors.fit(X, y), lambda: filled(R), held)
    compare("NeighborhoodFilter (KNNImputer)", lambda: neighbors.fit(X, y), lambda: KNNImputer().fit_transform(R), held)
    compare(title, lambda: ContentFilter().fit(X, y, item_features=attributes), lambda: per_user(R, attributes), new)
    figure, axis = plt.subplots(figsize=(6, 4), layout="constrained")
    for name, alpha in (("penalty by default", "auto"), ("penalty 1", 1.0)):
        models = [MatrixFactorization(k, alpha=alpha, max_iter=200, random_state=0).fit(X, y) for k in COUNTS]
        axis.plot(COUNTS, [error(model.predict(held), held, ratings) for model in models], "o-", label=name)
    axis.axhline(NOISE, color="black", linestyle=":", label="noise")
    axis.legend()
    axis.set(xlabel="components (the truth has 4)", xticks=COUNTS, ylabel="RMSE of held-out ratings")
    figure.savefig(pictures / "recommendation.png", dpi=120)
    plt.close(figure)
    return rows
