"""Forests on breast cancer in a grid search, wine with holes in a pipeline, digits out of bag, and diabetes."""

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
from sklearn.callback import ProgressBar
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skml import BaggingForest, BaggingForestRegressor
from skml.ensemble import ImportanceDisplay, IntervalDisplay, OOBCurveDisplay

GRID = {"min_samples_leaf": [1, 3], "max_features": ["sqrt", 0.5]}


def search(forest):
    """Return the best accuracy of a grid on breast cancer."""
    return GridSearchCV(forest, GRID, cv=3).fit(*load_breast_cancer(return_X_y=True)).best_score_


def with_holes(forest):
    """Return the accuracy of a pipeline on wine of which a fifth of the values is missing."""
    X, y = load_wine(return_X_y=True)
    X[np.random.default_rng(0).random(X.shape) < 0.2] = np.nan
    return cross_val_score(make_pipeline(StandardScaler(), forest), X, y, cv=5).mean()


def out_of_bag(forest):
    """Return the out-of-bag accuracy on digits."""
    if isinstance(forest, BaggingForest):
        forest.set_callbacks(ProgressBar())
    return forest.set_params(oob_score=True).fit(*load_digits(return_X_y=True)).oob_score_


def put_aside(forest):
    """Return R² on rows of diabetes put aside."""
    train, test, y_train, y_test = train_test_split(*load_diabetes(return_X_y=True), random_state=0)
    return forest.fit(train, y_train).score(test, y_test)


def visit(pictures, timed):
    """Return rows of (what, score, skml, seconds, peer, seconds)."""
    classes, numbers = (BaggingForest, RandomForestClassifier), (BaggingForestRegressor, RandomForestRegressor)
    rows = []
    for what, score, task, pair in (
        ("BaggingForest in a grid search, breast cancer", "accuracy", search, classes),
        ("BaggingForest in a pipeline, wine, 20 % missing", "accuracy", with_holes, classes),
        ("BaggingForest, digits", "out-of-bag accuracy", out_of_bag, classes),
        ("BaggingForestRegressor, diabetes", "R²", put_aside, numbers),
    ):
        found = [timed(lambda task=task, forest=forest: task(forest(random_state=0))) for forest in pair]
        rows.append((what, score, *found[0], *found[1]))
    picture(pictures / "forest.png")
    return rows


def picture(path):
    """Draw an out-of-bag curve and importances of wine, and intervals of diabetes."""
    bottles = load_wine()
    wine = BaggingForest(oob_score=True, random_state=0).fit(bottles.data, bottles.target)
    train, test, y_train, y_test = train_test_split(*load_diabetes(return_X_y=True), random_state=0)
    diabetes = BaggingForestRegressor(oob_score=True, random_state=0).fit(train, y_train)
    figure, axes = plt.subplots(1, 3, figsize=(14, 4), layout="constrained")
    OOBCurveDisplay.from_estimator(wine, ax=axes[0]).ax_.set_title("wine")
    names = bottles.feature_names
    drawn = ImportanceDisplay.from_estimator(wine, method="oob_permutation", feature_names=names, ax=axes[1])
    drawn.ax_.set_title("wine")
    IntervalDisplay.from_estimator(diabetes, test, y_test, method="jackknife+", ax=axes[2])
    figure.savefig(path, dpi=120)
    plt.close(figure)
