"""KMeansPP beside scikit-learn's KMeans: the same start, the same stop; ratios above 1 are in our favour.

``SKML_DATA=folder python benchmarks/cluster.py [name ...]`` adds real images (``mnist_train.npz``) where the folder
has them.
"""

import sys
import warnings

import numpy as np
from _bench import compare, peak_memory, real_data, row
from sklearn.cluster import KMeans, kmeans_plusplus
from sklearn.exceptions import ConvergenceWarning

from skml import KMeansPP
from skml.cluster.points import Points
from skml.cluster.seeding import seed


def problems():
    """Yield (name, X, numbers of clusters)."""
    rng = np.random.default_rng(0)
    yield "normal 2e5 x 8", rng.normal(size=(200_000, 8)).astype(np.float32), (64,)
    yield "normal 1e6 x 2", rng.normal(size=(1_000_000, 2)).astype(np.float32), (100,)
    images = real_data("mnist_train.npz")
    if images is not None:
        yield "MNIST 6e4 x 784", images["X"].astype(np.float32), (10, 100, 500)


def fits(name, X, k, repeat):
    """Print one line for the whole fit and one for "auto" against "lloyd"."""
    start = X[np.random.default_rng(1).choice(len(X), k, replace=False)]
    models = {}

    def fit(key, model):
        models[key] = model.fit(X)

    def ours(algorithm):
        return lambda: fit(algorithm, KMeansPP(k, init=start, n_init=1, algorithm=algorithm))

    peer = lambda: fit("peer", KMeans(k, init=start, n_init=1))  # noqa: E731
    seconds, other, ratio = compare(ours("auto"), peer, repeat)
    off = models["auto"].inertia_ / models["peer"].inertia_ - 1
    row(f"fit {name}, k={k}", seconds, other, ratio, f"inertia {off:+.1e}")
    row("  auto beside lloyd", *compare(ours("auto"), ours("lloyd"), max(1, repeat // 2)))
    row("  peak MB", peak_memory(ours("auto")) / 1e6, peak_memory(peer) / 1e6)


def seedings(name, X, k, repeat):
    """Print one line for greedy k-means++ alone."""
    ours = lambda: seed(Points(X), k, "k-means++", np.random.RandomState(0))  # noqa: E731
    row(f"seeding {name}, k={k}", *compare(ours, lambda: kmeans_plusplus(X, k, random_state=0), repeat))


if __name__ == "__main__":
    warnings.simplefilter("ignore", ConvergenceWarning)
    row("problem", "ours s", "peer s", "ratio")
    for name, X, numbers in problems():
        if not sys.argv[1:] or any(word in name for word in sys.argv[1:]):
            for k in numbers:
                fits(name, X, k, repeat=5 if k < 500 else 1)
                seedings(name, X, k, repeat=5 if k < 100 else 1)
