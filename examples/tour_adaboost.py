"""AdaBoost on breast cancer data and on wine, beside scikit-learn's."""

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import sklearn.ensemble
from sklearn.callback import ProgressBar
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.model_selection import GridSearchCV, train_test_split

from skml import AdaBoost
from skml.ensemble import MarginDisplay


def search(boost, X, y):
    """Choose the learning rate."""
    return GridSearchCV(boost, {"learning_rate": [0.3, 1.0]}, cv=5).fit(X, y)


def visit(pictures, timed):
    """Return rows of (what, score, skml, seconds, peer, seconds)."""
    rows = []
    for name, load in (("breast cancer", load_breast_cancer), ("wine", load_wine)):
        X, y = load(return_X_y=True)
        ours, our_seconds = timed(lambda X=X, y=y: search(AdaBoost(n_estimators=100), X, y))
        peer = sklearn.ensemble.AdaBoostClassifier(n_estimators=100, random_state=0)
        peer, peer_seconds = timed(lambda X=X, y=y, peer=peer: search(peer, X, y))
        what = f"AdaBoost in a grid search, {name}"
        rows.append((what, "accuracy", ours.best_score_, our_seconds, peer.best_score_, peer_seconds))

    X, y = load_breast_cancer(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, random_state=0, stratify=y)
    for algorithm in ("SAMME", "SAMME.R"):
        boost = AdaBoost(n_estimators=200, algorithm=algorithm).set_callbacks(ProgressBar())
        _, seconds = timed(lambda boost=boost, X=X, y=y: boost.fit(X, y))
        rows.append((f"AdaBoost {algorithm}, breast cancer", "accuracy", boost.score(X_test, y_test), seconds, None, 0))
    boost = AdaBoost(n_estimators=800).fit(X, y)
    figure, axis = plt.subplots(figsize=(6, 4), layout="constrained")
    MarginDisplay.from_estimator(boost, X, y, rounds=[5, 50, 800], ax=axis)
    figure.savefig(pictures / "adaboost_margins.png", dpi=120)
    plt.close(figure)
    return rows
