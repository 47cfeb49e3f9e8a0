"""LinearAutoencoder: the exact solver beside our PCA, and what the iterative ones reach.

Ratios are peer / ours for times; excess is loss / optimum - 1. SKML_DATA may name a folder with mnist_train.npz.
"""

import time
import warnings

import numpy as np
from _bench import compare, real_data, row
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPRegressor

from skml import PCA, LinearAutoencoder


def low_rank(n, p, rank, seed=0):
    """Return float32 rows of falling spectrum with noise."""
    rng = np.random.default_rng(seed)
    directions = rng.standard_normal((rank, p)) * (1 / np.arange(1, rank + 1) ** 0.5)[:, None]
    return (rng.standard_normal((n, rank)) @ directions + 0.5 * rng.standard_normal((n, p))).astype(np.float32)


def exact_beside_pca():
    print("\nexact solver beside our PCA (same data, n_components)")
    row("data", "ours s", "PCA s", "ours/PCA")
    for n, p, k in ((100_000, 100, 10), (20_000, 784, 50), (2_000, 2_000, 50), (500, 20_000, 10), (500, 20_000, 500)):
        X = low_rank(n, p, 50)
        ours, peer, ratio = compare(
            lambda X=X, k=k: LinearAutoencoder(k, random_state=0).fit(X),
            lambda X=X, k=k: PCA(k, random_state=0).fit(X),
            repeat=9,
        )
        row(f"{n} x {p}, k={k}", ours, peer, 1 / ratio)


def sgd_on_digits():
    print("\nsgd on digits, default settings: excess loss, worst of 5 seeds")
    row("model", "excess", "angle", "seconds")
    X = load_digits().data
    for k in (2, 5, 10, 20, 30):
        for tied in (False, True):
            start = time.perf_counter()
            fits = [LinearAutoencoder(k, solver="sgd", tied=tied, random_state=i).fit(X) for i in range(5)]
            seconds = (time.perf_counter() - start) / 5
            worst = {key: max(m.pca_certificate_[key] for m in fits) for key in ("excess_loss", "angle")}
            row(f"k={k}, {'tied' if tied else 'untied'}", worst["excess_loss"], worst["angle"], seconds)


def solvers_beside_mlp():
    print("\ndigits, k=10, beside MLPRegressor(hidden_layer_sizes=10, activation='identity') on the same task")
    row("model", "excess", "ours s", "MLP s", "MLP/ours")
    X = load_digits().data
    optimum = LinearAutoencoder(10).fit(X).loss_curve_[-1]
    peer = MLPRegressor(
        hidden_layer_sizes=(10,), activation="identity", alpha=0, batch_size=64, max_iter=100, random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for solver in ("exact", "als", "sgd"):
            ours = LinearAutoencoder(10, solver=solver, certify=False, random_state=0)
            times = compare(lambda ours=ours: ours.fit(X), lambda: peer.fit(X, X))
            row(solver, -ours.score(X) * X.shape[1] / optimum - 1, *times)
    row("MLPRegressor", float(np.sum((X - peer.predict(X)) ** 2)) / len(X) / optimum - 1)


def missing_values():
    print("\nimputation of hidden entries of digits (als): root mean squared error over that of column means")
    row("hidden", "alpha=0", "alpha=2", "seconds")
    X = load_digits().data
    for share in (0.1, 0.3, 0.5):
        hidden = np.random.default_rng(0).random(X.shape) < share
        holes = np.where(hidden, np.nan, X)
        base = np.sqrt(np.mean((np.nanmean(holes, axis=0) - X)[hidden] ** 2))
        errors, start = [], time.perf_counter()
        for alpha in (0.0, 2.0):
            model = LinearAutoencoder(10, solver="als", alpha=alpha, tol=1e-4, random_state=0).fit(holes)
            filled = model.inverse_transform(model.transform(holes))
            errors.append(float(np.sqrt(np.mean((filled - X)[hidden] ** 2)) / base))
        row(f"{share:.0%}", *errors, (time.perf_counter() - start) / 2)


def large():
    data = real_data("mnist_train.npz")
    X = low_rank(60_000, 784, 50) if data is None else data["X"].astype(np.float32)
    print(f"\n{X.shape[0]} x {X.shape[1]} float32, k=20")
    row("solver", "excess", "seconds", "iterations")
    optimum = None
    for solver, max_iter in (("exact", 1), ("als", 20), ("sgd", 5)):
        model = LinearAutoencoder(20, solver=solver, max_iter=max_iter, certify=False, random_state=0)
        start = time.perf_counter()
        model.fit(X)
        seconds = time.perf_counter() - start
        loss = -model.score(X)
        optimum = optimum or loss
        row(solver, loss / optimum - 1, seconds, model.n_iter_)


if __name__ == "__main__":
    exact_beside_pca()
    sgd_on_digits()
    solvers_beside_mlp()
    missing_values()
    large()
