"""BaggingForest and BaggingForestRegressor beside scikit-learn's random forests; ratios above 1 are in our favour.

``SKML_DATA=folder python benchmarks/ensemble_forest.py [word ...]`` runs the parts that are named, all without words:
fit, mnist, predict, row, memory, pickle, lightgbm, growth, quality, coverage. Real data is read from the folder, where
it is there. The word "quick" makes everything small, to see that it runs. Two threads and 100 trees on either side;
with the word "alone" one thread, and times are those of the processor, which other work on the machine changes less.
"""

import functools
import pickle
import subprocess
import sys
import tempfile
import time
import warnings

import _bench
import numpy as np
from _bench import real_data, row
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_wine,
    make_classification,
    make_friedman1,
)
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.model_selection import train_test_split

from skml import BaggingForest, BaggingForestRegressor

QUICK, ALONE = "quick" in sys.argv, "alone" in sys.argv
N_JOBS = 1 if ALONE else 2
compare = functools.partial(_bench.compare, clock=time.process_time if ALONE else time.perf_counter)
REPEAT = 1 if QUICK else 5
N_TREES = 10 if QUICK else 100
OPTIONS = {"n_estimators": N_TREES, "n_jobs": N_JOBS, "random_state": 0}
PAIRS = {
    "classes": (BaggingForest, RandomForestClassifier),
    "numbers": (BaggingForestRegressor, RandomForestRegressor),
}
WIDTHS = (34, 10, 10, 8, 10, 10)


def small(n):
    """Return a number of rows, less of them if it shall be quick."""
    return max(200, n // 50) if QUICK else n


def made(kind, n, n_more=0):
    """Return made-up rows: two classes of 20 features, or numbers of 10, n rows and more to test on."""
    if kind == "classes":
        X, y = make_classification(n + n_more, 20, n_informative=10, flip_y=0.05, class_sep=0.7, random_state=0)
    else:
        X, y = make_friedman1(n + n_more, 10, noise=1.0, random_state=0)
    return X[:n], y[:n], X[n:], y[n:]


def fitted(kind, X, y, **options):
    """Return both forests, fitted."""
    return [forest(**(OPTIONS | options)).fit(X, y) for forest in PAIRS[kind]]


def compare_fits(kind, name, data):
    """Print one line: the times of both fits, the ratio, and what both score."""
    X, y, X_test, y_test = data
    ours, peer = (forest(**OPTIONS) for forest in PAIRS[kind])
    times = compare(lambda: ours.fit(X, y), lambda: peer.fit(X, y), REPEAT)
    row(name, *times, ours.score(X_test, y_test), peer.score(X_test, y_test), widths=WIDTHS)


def fit():
    """Print the times of fits on made-up numbers."""
    row("fit", "ours s", "peer s", "ratio", "score", "peer's", widths=WIDTHS)
    for kind in PAIRS:
        for n in (500, 10_000, 50_000):
            compare_fits(kind, f"{kind} {n}", made(kind, small(n), small(10_000)))


def mnist():
    """Print the times of fits on images; the last 10 000 are for the score."""
    images = real_data("mnist_train.npz")
    if images is None:
        return
    X, y = images["X"].astype(np.float32), images["y"]
    n, n_test = small(len(y)), small(10_000)
    row("MNIST", "ours s", "peer s", "ratio", "score", "peer's", widths=WIDTHS)
    compare_fits("classes", f"all {n} x 784, scored on itself", (X[:n], y[:n], X[-n_test:], y[-n_test:]))
    fewer = small(50_000)
    compare_fits("classes", f"{fewer} x 784, scored on the rest", (X[:fewer], y[:fewer], X[-n_test:], y[-n_test:]))


def predict():
    """Print the times of answers for 100 000 rows."""
    row("predict 1e5 rows", "ours s", "peer s", "ratio", widths=WIDTHS)
    for kind in PAIRS:
        X, y, X_new, _ = made(kind, small(50_000), small(100_000))
        ours, peer = fitted(kind, X, y)
        row(kind, *compare(lambda: ours.predict(X_new), lambda: peer.predict(X_new), REPEAT), widths=WIDTHS)  # noqa: B023


def one_row():
    """Print the time of an answer for one row, in microseconds, with and without threads."""
    calls = range(10 if QUICK else 100)
    row("predict one row", "ours us", "peer us", "ratio", widths=WIDTHS)
    for kind in PAIRS:
        X, y, X_new, _ = made(kind, small(10_000), 1)
        models = fitted(kind, X, y)
        for n_jobs in dict.fromkeys((None, N_JOBS)):
            ours, peer = (model.set_params(n_jobs=n_jobs) for model in models)
            mine, theirs, ratio = compare(
                lambda: [ours.predict(X_new) for _ in calls],  # noqa: B023
                lambda: [peer.predict(X_new) for _ in calls],  # noqa: B023
                REPEAT,
            )
            row(f"{kind}, n_jobs={n_jobs}", mine / len(calls) * 1e6, theirs / len(calls) * 1e6, ratio, widths=WIDTHS)


# What a child does; VmHWM is the peak of its own memory (ru_maxrss would begin with that of the parent).
CHILD = """
import sys
import numpy as np
{imports}
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
X, y = np.load(sys.argv[1]), np.load(sys.argv[2])
forest = {forest}(n_estimators={n_trees}, n_jobs=2, random_state=0)
forest.fit(X[:100], y[:100])
before = peak()
forest.fit(X, y)
print(peak() - before)
"""


def peak_of_fit(forest, paths):
    """Return the kilobytes that a fit adds to the peak of a fresh process that holds the data."""
    imports = f"from {forest.__module__.partition('.')[0]}.ensemble import {forest.__name__}"
    program = CHILD.format(imports=imports, forest=forest.__name__, n_trees=N_TREES)
    said = subprocess.run([sys.executable, "-c", program, *paths], capture_output=True, text=True, check=True)
    return float(said.stdout)


def memory():
    """Print the peak memory of fits."""
    row("peak of fit", "ours MB", "peer MB", "ours/peer", widths=WIDTHS)
    cases = [(f"{kind} {small(50_000)}", *made(kind, small(50_000))[:2], PAIRS[kind]) for kind in PAIRS]
    images = real_data("mnist_train.npz")
    if images is not None:
        n = small(60_000)
        cases.append((f"MNIST {n}", images["X"][:n].astype(np.float32), images["y"][:n], PAIRS["classes"]))
    for name, X, y, pair in cases:
        with tempfile.TemporaryDirectory() as folder:
            paths = [f"{folder}/X.npy", f"{folder}/y.npy"]
            np.save(paths[0], X)
            np.save(paths[1], y)
            mine, theirs = (np.median([peak_of_fit(forest, paths) for _ in range(min(3, REPEAT))]) for forest in pair)
        row(name, mine / 1e3, theirs / 1e3, mine / theirs, widths=WIDTHS)


def pickled():
    """Print the bytes of pickles, and how many leaves the trees have."""
    row("pickle", "ours MB", "peer MB", "ours/peer", "leaves", "peer's", widths=WIDTHS)
    for kind in PAIRS:
        for n in (500, 10_000, 50_000):
            ours, peer = fitted(kind, *made(kind, small(n))[:2])
            mine, theirs = len(pickle.dumps(ours, 5)) / 1e6, len(pickle.dumps(peer, 5)) / 1e6
            n_leaves = sum(ours.history_["n_leaves"]), sum(tree.get_n_leaves() for tree in peer.estimators_)
            row(f"{kind} {small(n)}", mine, theirs, mine / theirs, *n_leaves, widths=WIDTHS)


def beside_lightgbm():
    """Print the times and scores of LightGBM's random forests of the same size."""
    try:
        import lightgbm
    except ImportError:
        return
    row("beside LightGBM", "ours s", "peer s", "ratio", "score", "peer's", widths=WIDTHS)
    peers = {"classes": lightgbm.LGBMClassifier, "numbers": lightgbm.LGBMRegressor}
    bags = {"boosting_type": "rf", "subsample_freq": 1, "subsample": 0.63, "verbose": -1}
    whole = {"min_child_samples": 1, "min_child_weight": 0.0}
    for kind, n in (("classes", 10_000), ("classes", 50_000), ("numbers", 10_000), ("numbers", 50_000)):
        X, y, X_test, y_test = made(kind, small(n), small(10_000))
        share = int(np.sqrt(X.shape[1])) / X.shape[1] if kind == "classes" else 1.0
        for words, n_leaves in (("31 leaves", 31), ("grown whole", None)):
            ours = PAIRS[kind][0](max_leaf_nodes=n_leaves, **OPTIONS)
            size = {"num_leaves": n_leaves or min(131_072, len(y)), "feature_fraction_bynode": share}
            peer = peers[kind](**bags, **whole, **size, **OPTIONS)
            repeat = REPEAT if n_leaves else 1  # whole trees take it minutes
            times = compare(lambda: ours.fit(X, y), lambda: peer.fit(X, y), repeat)  # noqa: B023
            scores = [[model.score(X_test, y_test) for model in (ours, peer)]]
            for seed in range(1, repeat):  # the first was 0
                refitted = (model.set_params(random_state=seed).fit(X, y) for model in (ours, peer))
                scores.append([model.score(X_test, y_test) for model in refitted])
            row(f"{kind} {len(y)}, {words}", *times, *np.mean(scores, axis=0).tolist(), widths=WIDTHS)


def growth():
    """Print the time per row and tree for more rows, and for more trees: linear if it stays, but for the depth."""
    row("growth", "rows", "trees", "s", "ns/row/tree", "per level", widths=WIDTHS)
    sizes = [(n, 10) for n in (10_000, 50_000, 200_000, 1_000_000, 2_000_000)]
    for n, n_trees in [*sizes, *((100_000, n_trees) for n_trees in (10, 20, 40, 80))]:
        for kind in PAIRS:
            X, y = made(kind, small(n))[:2]
            forest = PAIRS[kind][0](n_estimators=n_trees, n_jobs=2, random_state=0)
            seconds, _, _ = compare(lambda: forest.fit(X, y), lambda: None, 1 if n > 500_000 else min(3, REPEAT))  # noqa: B023
            each = seconds / len(y) / n_trees * 1e9
            depth = np.log2(sum(forest.history_["n_leaves"]) / n_trees)
            row(kind, len(y), n_trees, seconds, each, each / depth, widths=WIDTHS)


def real_problems():
    """Yield (name, kind, X, y) of real data."""
    for name, load in (("breast cancer", load_breast_cancer), ("digits", load_digits), ("wine", load_wine)):
        yield name, "classes", *load(return_X_y=True)
    yield "diabetes", "numbers", *load_diabetes(return_X_y=True)
    for name in ("satimage", "spambase", "penbased", "phoneme", "adult_onehot", "reg_cal_housing", "reg_fried"):
        data = real_data(f"{name}.npz")
        if data is not None:
            yield name, "numbers" if name.startswith("reg_") else "classes", data["X"], data["y"]


def quality():
    """Print by how much our accuracy or R2 differs from the peer's, over 5 divisions of real data, 40 of little."""
    row("quality", "ours", "peer", "points", "+-", widths=WIDTHS)
    for name, kind, X, y in real_problems():
        X, y = X[: small(len(y) + 1)], y[: small(len(y) + 1)]
        scores = []
        for seed in range(2 if QUICK else 40 if len(y) < 1000 else 5):
            X_fit, X_test, y_fit, y_test = train_test_split(X, y, test_size=0.3, random_state=seed)
            scores.append([model.score(X_test, y_test) for model in fitted(kind, X_fit, y_fit, random_state=seed)])
        gaps = np.subtract(*np.transpose(scores)) * 100
        spread = gaps.std(ddof=1) / np.sqrt(len(gaps))
        row(name, *(f"{mean:.4f}" for mean in np.mean(scores, axis=0)), f"{gaps.mean():+.2f}", spread, widths=WIDTHS)


def coverage():
    """Print how many targets are inside intervals, and how wide those are, over five divisions of real data."""
    row("coverage", "wanted", "inside", "width", "us/row", widths=WIDTHS)
    for name, kind, X, y in real_problems():
        if kind != "numbers":
            continue
        for method in ("quantile", "jackknife+"):
            for wanted in (0.8, 0.9):
                found = [intervals(X, y, method, wanted, seed) for seed in range(2 if QUICK else 5)]
                row(f"{name}, {method}", wanted, *map(float, np.mean(found, axis=0)), widths=WIDTHS)


def intervals(X, y, method, wanted, seed):
    """Return the share inside, the mean width, and the time per row; at most 5000 rows to learn, 2000 to ask."""
    sizes = {"train_size": min(0.7, small(5000) / len(y)), "test_size": min(0.3, small(2000) / len(y))}
    X_fit, X_test, y_fit, y_test = train_test_split(X, y, random_state=seed, **sizes)
    options = OPTIONS | {"n_estimators": 100, "random_state": seed}
    forest = BaggingForestRegressor(min_samples_leaf=5, oob_score=True, **options).fit(X_fit, y_fit)
    low, high = forest.predict_interval(X_test, coverage=wanted, method=method).T
    seconds, _, _ = compare(lambda: forest.predict_interval(X_test, wanted, method), lambda: None, 1)
    return np.mean((low <= y_test) & (y_test <= high)), np.mean(high - low), seconds / len(y_test) * 1e6


PARTS = {
    "fit": fit,
    "mnist": mnist,
    "predict": predict,
    "row": one_row,
    "memory": memory,
    "pickle": pickled,
    "lightgbm": beside_lightgbm,
    "growth": growth,
    "quality": quality,
    "coverage": coverage,
}

if __name__ == "__main__":
    warnings.filterwarnings("ignore", module="sklearn")
    words = [word for word in sys.argv[1:] if word not in ("quick", "alone")]
    if unknown := set(words) - set(PARTS):
        sys.exit(f"unknown parts {sorted(unknown)}; there are {', '.join(PARTS)}, quick and alone")
    for part in words or PARTS:
        PARTS[part]()
        print()
