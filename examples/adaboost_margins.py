"""Margins grow after the training error is zero: AdaBoost's stumps on breast cancer data; writes a picture.

Usage: python examples/adaboost_margins.py [picture.png]
"""

import sys

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

from skml import AdaBoost
from skml.ensemble import MarginDisplay


def main(path="adaboost_margins.png", n_estimators=1000):
    """Fit, print where the error reached zero and what margins did since, and draw."""
    X, y = load_breast_cancer(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.4, random_state=0, stratify=y)
    boost = AdaBoost(n_estimators=n_estimators).fit(X, y)

    training = np.array(boost.history_["training_error"])
    test = 1 - np.array(list(boost.staged_score(X_test, y_test)))
    perfect = int(np.argmax(training == 0))
    print(f"{'round':>8}{'training error':>16}{'test error':>12}{'least margin':>14}{'median margin':>15}")
    for number in sorted({0, 9, perfect, 99, len(training) // 2 - 1, len(training) - 1}):
        least, median = boost.margin_history_[number, [0, 3]]
        print(f"{number + 1:>8}{training[number]:>16.3f}{test[number]:>12.3f}{least:>14.3f}{median:>15.3f}")

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    rounds = np.arange(1, len(training) + 1)
    left.semilogx(rounds, training, label="training error")
    left.semilogx(rounds, test, label="test error")
    left.semilogx(rounds, np.minimum(boost.training_error_bound_, 1), ":", label="bound on the training error")
    left.semilogx(rounds, boost.margin_history_[:, 0], label="least margin")
    left.set(xlabel="rounds", ylim=(-0.6, 1))
    left.axhline(0, color="0.7", linewidth=1, zorder=0)
    left.legend()
    MarginDisplay.from_estimator(boost, X, y, rounds=[5, perfect + 1, len(training)], ax=right)
    figure.savefig(path, dpi=120)
    plt.close(figure)
    print(f"Picture: {path}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
