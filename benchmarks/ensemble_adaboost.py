"""AdaBoost beside scikit-learn's AdaBoostClassifier: stumps, 200 rounds; ratios above 1 are in our favour.

``SKML_DATA=folder python benchmarks/ensemble_adaboost.py [name ...]`` adds real data where the folder has it; names
pick problems by a part of theirs. Both are exact, so predictions are compared one by one; "bins" is ours with 255.
The times are processor times on one thread, medians of runs in turn: other work on the machine changes these less.
"""

import statistics
import sys
import time

import numpy as np
from _bench import peak_memory, real_data, row
from sklearn.ensemble import AdaBoostClassifier
from threadpoolctl import threadpool_limits

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
    for name in ("spambase", "phoneme", "satimage", "penbased", "adult_onehot"):
        held = real_data(f"{name}.npz")
        if held is not None:
            yield name, held["X"].astype(np.float32), held["y"], 5


def in_turn(functions, repeat):
    """Run functions in turn; return each one's median of processor seconds."""
    times = [[] for _ in functions]
    with threadpool_limits(1):
        for _ in range(repeat):
            for seconds, function in zip(times, functions):
                start = time.process_time()
                function()
                seconds.append(time.process_time() - start)
    return [statistics.median(seconds) for seconds in times]


def fits(name, X, y, repeat):
    """Print a line each for the fit, the fit on bins, the predictions, and the memory."""
    held = {}

    def fit(key, model):
        return lambda: held.update({key: model.fit(X, y)})

    peer = AdaBoostClassifier(n_estimators=ROUNDS, random_state=0)
    models = {"ours": AdaBoost(n_estimators=ROUNDS), "bins": AdaBoost(n_estimators=ROUNDS, max_bins=255), "peer": peer}
    exact, binned, theirs = in_turn([fit(*item) for item in models.items()], repeat)
    a, b = held["ours"], held["peer"]
    m = min(len(a.estimators_), len(b.estimators_))
    off = np.max(np.abs(a.estimator_errors_[:m] - b.estimator_errors_[:m]))
    differ = np.sum(a.predict(X) != b.predict(X))
    row(f"fit {name}", exact, theirs, theirs / exact, f"errors differ by {off:.1e}, {differ} predictions differ")
    row(f"fit {name}, bins", binned, theirs, theirs / binned)
    exact, theirs = in_turn([lambda: a.predict(X), lambda: b.predict(X)], max(5, repeat))
    row(f"predict {name}", exact, theirs, theirs / exact)
    few = {"n_estimators": 5}
    mine = peak_memory(lambda: AdaBoost(**few).fit(X, y))
    theirs = peak_memory(lambda: AdaBoostClassifier(**few, random_state=0).fit(X, y))
    row("  peak MB", mine / 1e6, theirs / 1e6, theirs / mine)


if __name__ == "__main__":
    row("problem", "ours s", "peer s", "ratio")
    for case in problems():
        if not sys.argv[1:] or any(word in case[0] for word in sys.argv[1:]):
            fits(*case)
