"""Intervals for diabetes progression: from the forest's quantiles, and by the jackknife+ after bootstrap.

The first are narrow where the data is quiet and promise nothing; the second hold what they promise for any
distribution, and are nearly as wide everywhere. Prints the coverage on rows that the forest has not seen, over twenty
splits, and leaves a picture of the first in ``tour/forest_intervals.png``.
"""

import pathlib

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split

from skml import BaggingForestRegressor
from skml.ensemble import IntervalDisplay

METHODS = ("quantile", "jackknife+")


def measure(method, coverage, forests):
    """Return the mean coverage and the mean width over splits."""
    found = []
    for forest, X, y in forests:
        low, high = forest.predict_interval(X, coverage=coverage, method=method).T
        found.append((np.mean((low <= y) & (y <= high)), np.mean(high - low)))
    return np.mean(found, axis=0)


def main():
    """Print a table, and draw."""
    X, y = load_diabetes(return_X_y=True)
    forests = []
    for seed in range(20):
        train, test, y_train, y_test = train_test_split(X, y, test_size=0.3, random_state=seed)
        forest = BaggingForestRegressor(min_samples_leaf=5, oob_score=True, random_state=seed).fit(train, y_train)
        forests.append((forest, test, y_test))
    print(f"{'method':<12}{'wanted':>8}{'inside':>8}{'width':>8}")
    for method in METHODS:
        for coverage in (0.5, 0.8, 0.9, 0.95):
            inside, width = measure(method, coverage, forests)
            print(f"{method:<12}{coverage:>8.0%}{inside:>8.1%}{width:>8.0f}")

    figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), sharey=True, layout="constrained")
    for axis, method in zip(axes, METHODS):
        IntervalDisplay.from_estimator(*forests[0], coverage=0.9, method=method, ax=axis)
    folder = pathlib.Path("tour")
    folder.mkdir(exist_ok=True)
    figure.savefig(folder / "forest_intervals.png", dpi=120)
    print(f"\nPicture: {folder / 'forest_intervals.png'}")


if __name__ == "__main__":
    main()
