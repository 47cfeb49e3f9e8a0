"""KMeansPP beside scikit-learn's KMeans: the same start, the same stop; ratios above 1 are in our favour.

``SKML_DATA=folder python benchmarks/cluster.py [name ...]`` adds real images (``mnist_train.npz``) where the folder
has them; names pick problems by a part of theirs. "iterations" stops both after 60 iterations: on data without
clusters a fit to the end goes through hundreds of partitions, and a difference in the last digit becomes another one.
"""

import sys
import warnings

import numpy as np
from _bench import compare, peak_memory, real_data, row
from sklearn.cluster import KMeans, kmeans_plusplus
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import ConvergenceWarning

from skml import KMeansPP
from skml.cluster.points import Points
from skml.cluster.seeding import seed


def problems():
    """Yield (name, X, numbers of clusters), the large ones."""
    rng = np.random.default_rng(0)
    yield "normal 2e5 x 8", rng.normal(size=(200_000, 8)).astype(np.float32), (64,)
    yield "normal 1e6 x 2", rng.normal(size=(1_000_000, 2)).astype(np.float32), (100,)
    images = real_data("mnist_train.npz")
    if images is not None:
        yield "MNIST 6e4 x 784", images["X"].astype(np.float32), (10, 100, 500)


def small_problems():
    """Yield (name, X, numbers of clusters), those in which "auto" might cost more than it saves."""
    rng = np.random.default_rng(0)
    yield "iris", load_iris().data, (3,)
    yield "digits", load_digits().data, (10, 50)
    for n, d, k in ((1000, 2, 3), (5000, 50, 20), (20_000, 16, 20), (10_000, 128, 50), (20_000, 400, 60)):
        X = rng.normal(size=(n, d))
        yield f"small normal {n} x {d}", X, (k,)
        yield f"small groups {n} x {d}", X / 4 + rng.normal(size=(k, d))[rng.integers(k, size=n)], (k,)


def starting(X, k):
    """Return some rows of X to start from."""
    return X[np.random.default_rng(1).choice(len(X), k, replace=False)]


def fits(name, X, k, repeat):
    """Print a line each for the whole fit, some iterations, "auto" against "lloyd", and the memory."""
    start, models = starting(X, k), {}

    def fit(key, model):
        models[key] = model.fit(X)

    def ours(algorithm, **params):
        return lambda: fit(algorithm, KMeansPP(k, init=start, n_init=1, algorithm=algorithm, **params))

    def peer(**params):
        return lambda: fit("peer", KMeans(k, init=start, n_init=1, **params))

    for what, params in (("fit", {}), ("iterations", {"max_iter": 60})):
        times = compare(ours("auto", **params), peer(**params), repeat)
        off = models["auto"].inertia_ / models["peer"].inertia_ - 1
        row(f"{what} {name}, k={k}", *times, f"inertia {off:+.1e} in {models['auto'].n_iter_} iterations")
    row("  auto beside lloyd", *compare(ours("auto"), ours("lloyd"), max(1, repeat // 2)))
    once = {"max_iter": 3}
    mine, theirs = peak_memory(ours("auto", **once)), peak_memory(peer(**once))
    row("  peak MB", mine / 1e6, theirs / 1e6, theirs / mine, f"{mine / len(X):.0f} bytes per row")


def shortcuts(name, X, k, repeat):
    """Print one line for "auto" against "lloyd"."""
    X = X.astype(np.float32)

    def ours(algorithm):
        model = KMeansPP(k, init=starting(X, k), n_init=1, algorithm=algorithm)
        return lambda: model.fit(X)

    row(f"auto beside lloyd, {name}, k={k}", *compare(ours("auto"), ours("lloyd"), repeat))


def seedings(name, X, k, repeat):
    """Print one line for greedy k-means++ alone."""
    ours = lambda: seed(Points(X), k, "k-means++", np.random.RandomState(0))  # noqa: E731
    row(f"seeding {name}, k={k}", *compare(ours, lambda: kmeans_plusplus(X, k, random_state=0), repeat))


if __name__ == "__main__":
    warnings.simplefilter("ignore", ConvergenceWarning)

    def picked(found):
        """Yield those of the problems that are asked for, one number of clusters at a time."""
        wanted = (case for case in found if not sys.argv[1:] or any(word in case[0] for word in sys.argv[1:]))
        return ((name, X, k) for name, X, numbers in wanted for k in numbers)

    row("problem", "ours s", "peer s", "ratio")
    for case in picked(problems()):
        seedings(*case, repeat=5 if case[2] < 100 else 3)
        fits(*case, repeat=5 if case[2] < 100 else 3 if case[2] < 500 else 1)
    for case in picked(small_problems()):
        shortcuts(*case, repeat=11)
