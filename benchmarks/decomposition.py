"""PCA side by side with scikit-learn's: time of fit and fit_transform, and the peak of memory, as ratios.

Usage: python benchmarks/decomposition.py [tall|mnist|square|wide|sparse|memory ...] [--all] [--repeat N]
"""

import argparse
import sys

import numpy as np
import scipy.sparse as sp
from _bench import compare, peak_memory, row
from sklearn.decomposition import PCA as Peer

from skml.decomposition import PCA

SHAPES = {"tall": (100_000, 100), "mnist": (60_000, 784), "square": (5_000, 5_000), "wide": (500, 20_000)}


def data(name, dtype):
    """Return Gaussian data with a mean, or sparse uniform data."""
    rng = np.random.default_rng(0)
    if name == "sparse":
        return sp.random_array((100_000, 10_000), density=0.001, format="csr", rng=rng, dtype=dtype)
    n_samples, n_features = SHAPES[name]
    X = rng.standard_normal((n_samples, n_features), dtype=np.float32).astype(dtype)
    X += np.linspace(0, 1, n_features, dtype=dtype)
    return X


def equal_accuracy(X, k, truth):
    """Return scikit-learn's PCA with the fewest power iterations (by doubling) that reach an error of 1e-4, and it."""
    for power in (4, 8, 16, 32, 64, 128, 256):
        error = np.abs(Peer(k, iterated_power=power, random_state=0).fit(X).singular_values_ / truth - 1).max()
        if error <= 1e-4:
            break
    return power, error


def square_times(ks, repeat):
    """Print the ratios of times for leading components of a square matrix at equal accuracy."""
    for dtype in (np.float64, np.float32):
        X = data("square", dtype)
        largest = np.linalg.eigvalsh(np.cov(X, rowvar=False, dtype=np.float64))[: -max(ks) - 1 : -1]
        truth = np.sqrt(largest * (len(X) - 1))
        for k in ks:
            power, error = equal_accuracy(X, k, truth[:k])
            ours_error = np.abs(PCA(k, random_state=0).fit(X).singular_values_ / truth[:k] - 1).max()
            row(f"  largest errors, ours and scikit-learn's with iterated_power={power}", ours_error, error)
            for method in ("fit", "fit_transform"):
                ours, peer, ratio = compare(
                    lambda X=X, k=k, m=method: getattr(PCA(k, random_state=0), m)(X),
                    lambda X=X, k=k, m=method, p=power: getattr(Peer(k, iterated_power=p, random_state=0), m)(X),
                    repeat,
                )
                row(f"square {np.dtype(dtype).name} k={k} {method}", ours, peer, ratio, widths=(52, 9, 9, 9))


def times(name, ks, repeat):
    """Print the ratios of times for one shape."""
    for dtype in (np.float64, np.float32):
        X = data(name, dtype)
        for k in ks:
            for method in ("fit", "fit_transform"):

                def run(estimator, k=k, method=method, X=X):
                    getattr(estimator(k, random_state=0), method)(X)

                ours, peer, ratio = compare(lambda run=run: run(PCA), lambda run=run: run(Peer), repeat)
                label = f"{name} {X.shape[0]}x{X.shape[1]} {np.dtype(dtype).name} k={k} {method}"
                row(label, ours, peer, ratio, widths=(52, 9, 9, 9))
            difference = np.abs(PCA(k).fit(X).singular_values_ / Peer(k).fit(X).singular_values_ - 1).max()
            row("  largest relative difference of singular values", difference, widths=(52, 9))


def memory(name, ks):
    """Print the peaks of traced memory for one shape."""
    for dtype in (np.float64, np.float32):
        X = data(name, dtype)
        for k in ks:
            for method in ("fit", "fit_transform"):
                ours, peer = (
                    peak_memory(lambda e=estimator, k=k, m=method, X=X: getattr(e(k, random_state=0), m)(X)) / 2**20
                    for estimator in (PCA, Peer)
                )
                label = f"{name} {np.dtype(dtype).name} k={k} {method}, MiB"
                row(label, ours, peer, peer / ours, widths=(52, 9, 9, 9))


def main(arguments):
    """Run the parts asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=["tall", "mnist", "square", "wide", "sparse", "memory"])
    parser.add_argument("--all", action="store_true", help="also all components of the square case (minutes)")
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args(arguments)
    row("case", "ours", "sklearn", "ratio", widths=(52, 9, 9, 9))
    for part in options.parts:
        if part == "memory":
            for name, ks in (("tall", [10]), ("mnist", [10]), ("square", [10]), ("wide", [10, None]), ("sparse", [20])):
                memory(name, ks)
            continue
        ks = [20] if part == "sparse" else [10, 50, None]
        if part == "square":
            square_times([10, 50], options.repeat)
            if options.all:
                times(part, [None], 1)
            continue
        times(part, ks, options.repeat)


if __name__ == "__main__":
    main(sys.argv[1:])
