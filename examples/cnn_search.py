"""A convolutional network inside GridSearchCV: which shape is best for digits of 8 x 8 pixels?

A row of X is an image, so nothing is special about it: the search clones, splits and scores as for any classifier.
Prints the candidates in the order of their accuracy, the table of the best network, and its accuracy on images that
the search has not seen.
"""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, train_test_split

from skml import ConvClassifier

GRID = {"filters": [(16,), (16, 32), (32, 64)], "dropout": [0.0, 0.3]}
SETTINGS = {"batch_size": 32, "learning_rate": "one_cycle", "learning_rate_init": 4e-3}


def main():
    """Search, and print what was found."""
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X.astype(np.float32), y, test_size=0.3, stratify=y, random_state=0)
    network = ConvClassifier(max_iter=20, random_state=0, **SETTINGS)
    search = GridSearchCV(network, GRID, cv=3).fit(X, y)
    found = search.cv_results_
    for i in np.argsort(found["rank_test_score"], kind="stable"):
        print(f"{found['mean_test_score'][i]:.4f}  {found['mean_fit_time'][i]:5.2f} s  {found['params'][i]}")
    best = search.best_estimator_
    print(f"\n{best.summary()}\n")
    print(f"accuracy on {len(y_test)} other images: {best.score(X_test, y_test):.4f}")


if __name__ == "__main__":
    main()
