"""AdaBoost beside scikit-learn's AdaBoostClassifier: stumps, 200 rounds; ratios above 1 are in our favour.

``SKML_DATA=folder python benchmarks/ensemble_adaboost.py [name ...]`` adds real data where the folder has it; names
pick problems by a part of theirs. Both are exact, so predictions are compared one by one; "bins" is ours with 255.
"""

import sys

import numpy as np
from _bench import compare, peak_memory, real_data, row
from sklearn.ensemble import AdaBoostClassifier

from skml import AdaBoost

ROUNDS = 200


def normal(n, p, rng):
    """Return normal rows, and classes that stumps can tell apart in part."""
    X = rng.normal(size=(n, p)).astype(np.float32)
    return X, (X[:, 0] + X[:, 1] ** 2 + X[:, 2] * X[:, 3] + rng.normal(size=n) / 2 > 0.8).astype(int)


def problems():
    """Yield (name, X, y, runs)."""
    rng = np.random.default_rng(0)
    for n, p, repeat in ((500, 10, 11), (10_000, 50, 5), (100_000, 10, 5)):
        yield f"normal {n} x {p}", *normal(n, p, rng), repeat
    for name, repeat in (("spambase", 5), ("phoneme", 5), ("adult_onehot", 3)):
        held = real_data(f"{name}.npz")
        if held is not None:
            yield name, held["X"].astype(np.float32), held["y"], repeat


def fits(name, X, y, repeat):
    """Print a line each for the fit, the fit on bins, the prediction, and the memory."""
    held = {}

    def fit(key, model):
        held[key] = model.fit(X, y)

    def ours(**params):
        return lambda: fit("ours", AdaBoost(n_estimators=ROUNDS, **params))

    def peer():
        fit("peer", AdaBoostClassifier(n_estimators=ROUNDS, random_state=0))

    row(f"fit {name}, bins", *compare(ours(max_bins=255), peer, max(1, repeat // 3)))
    times = compare(ours(), peer, repeat)
    a, b = held["ours"], held["peer"]
    m = min(len(a.estimators_), len(b.estimators_))
    off = np.max(np.abs(a.estimator_errors_[:m] - b.estimator_errors_[:m]))
    row(f"fit {name}", *times, f"errors differ by {off:.1e}, {np.sum(a.predict(X) != b.predict(X))} predictions differ")
    row(f"predict {name}", *compare(lambda: a.predict(X), lambda: b.predict(X), max(5, repeat)))
    few = {"n_estimators": 5}
    mine = peak_memory(lambda: AdaBoost(**few).fit(X, y))
    theirs = peak_memory(lambda: AdaBoostClassifier(**few, random_state=0).fit(X, y))
    row("  peak MB", mine / 1e6, theirs / 1e6, theirs / mine)


if __name__ == "__main__":
    row("problem", "ours s", "peer s", "ratio")
    for case in problems():
        if not sys.argv[1:] or any(word in case[0] for word in sys.argv[1:]):
            fits(*case)
