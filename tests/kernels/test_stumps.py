"""Splits and votes: compiled equals twin, splits equal a search of all, and the entries refuse what doesn't fit."""

import sys

import numpy as np
import pytest
from _contract.children import run

from skml import _kernels
from skml._kernels import stumps
from skml._kernels.reference import stumps as twin
from skml.ensemble.stumps import bin_rows

each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
each_threads = pytest.mark.parametrize("n_threads", [1, 2, 3])


def node(rng, n=400, p=6, K=3, dtype=np.float64, missing=0.0, distinct=None):
    X = rng.normal(size=(n, p))
    if distinct:
        X = np.rint(X * distinct)
    X[rng.random(X.shape) < missing] = np.nan
    y = rng.integers(K, size=n).astype(np.int32)
    return X.astype(dtype), y, rng.random(n) + 0.01


def search(module, binned, y, weights, rows, n_classes, n_threads=1, tolerance=1e-13):
    rows = np.asarray(rows, dtype=np.int32)
    inside = rows if len(rows) else slice(None)
    totals = np.bincount(y[inside], weights[inside], minlength=n_classes)
    found = np.empty(4, dtype=np.int64)
    arrays = binned.arrays()
    module.find_split(*arrays, weights, y, rows, totals, tolerance * totals.sum(), found, n_threads)
    return found.tolist()


def score(left, y, weights, n_classes):
    total = 0.0
    for side in (left, ~left):
        per_class = np.bincount(y[side], weights[side], minlength=n_classes)
        total += (per_class**2).sum() / per_class.sum()
    return total


@each_dtype
@each_threads
@pytest.mark.parametrize("K", [2, 3, 7])
@pytest.mark.parametrize("missing", [0.0, 0.2, 0.8])
@pytest.mark.parametrize("max_bins", [None, 255, 9])
@pytest.mark.parametrize("n", [2, 3, 40, 900])
def test_splits_are_the_twins(rng, dtype, n_threads, K, missing, max_bins, n):
    X, y, weights = node(rng, n=n, K=K, dtype=dtype, missing=missing)
    binned = bin_rows(X, weights, max_bins)
    some = np.flatnonzero(rng.random(n) < 0.4)
    for rows in ([], some if len(some) else [0]):
        expected = search(twin, binned, y, weights, rows, K)
        assert search(stumps, binned, y, weights, rows, K, n_threads) == expected


@each_threads
@pytest.mark.parametrize("K", [2, 5])
@pytest.mark.parametrize("max_bins", [None, 20])
def test_splits_of_rare_entries_are_the_twins(rng, n_threads, K, max_bins):
    X, y, weights = node(rng, n=500, p=7, K=K)
    X[:, 1:6] *= rng.random((500, 5)) < [0, 0.01, 0.1, 0.2, 0.3]
    X[:, 4:6] += np.where(rng.random((500, 2)) < 0.05, np.nan, y[:, None] * 1.0)
    X[:, 3] = np.sign(X[:, 3])
    binned = bin_rows(X, weights, max_bins)
    assert (binned.common >= 0)[1:4].all()
    assert not (binned.common >= 0)[[0, 6]].any()
    for rows in ([], np.flatnonzero(rng.random(500) < 0.4)):
        assert search(stumps, binned, y, weights, rows, K, n_threads) == search(twin, binned, y, weights, rows, K)


@pytest.mark.parametrize("K", [2, 4])
@pytest.mark.parametrize("n", [30, 2000])
def test_splits_are_the_best_of_all(rng, K, n):
    # Classes that depend on a feature, so that bounds have something to prune.
    X, y, weights = node(rng, n=n, p=4, K=K)
    y = np.where(rng.random(n) < 0.5, (X[:, 2] > 0.3) * (K - 1), y).astype(np.int32)
    feature, _, position, _ = search(stumps, binned := bin_rows(X, weights, None), y, weights, [], K)
    position = position if position >= 0 else None
    best = max(
        (score(x <= at, y, weights, K), f, at) for f, x in enumerate(X.T) for at in np.sort(x)[:-1][:: max(1, n // 300)]
    )
    if position is None:
        bin_ = search(stumps, binned, y, weights, [], K)[1]
        position = binned.offsets[feature, bin_ + 1]
    at = X[binned.order[feature, position - 1], feature]
    assert score(X[:, feature] <= at, y, weights, K) >= best[0] - 1e-12 * weights.sum()


def test_equal_splits_go_to_the_lowest_feature_and_value():
    x = np.array([0.0, 1.0, 2.0, 3.0])
    X, y = np.c_[np.zeros(4), -x, x], np.array([0, 1, 1, 0], dtype=np.int32)
    binned = bin_rows(X, np.ones(4), None)
    assert search(stumps, binned, y, np.ones(4), [], 2)[:2] == [1, 0]
    y = np.array([0, 1, 0, 1], dtype=np.int32)
    assert search(stumps, binned, y, np.ones(4), [], 2)[:2] == [1, 0]


def test_a_split_without_gain_is_none():
    X, y = np.array([[0.0], [0.0], [1.0], [1.0]]), np.array([0, 1, 0, 1], dtype=np.int32)
    weights = np.array([0.1, 0.2, 0.3, 0.6])
    for module in (stumps, twin):
        assert search(module, bin_rows(X, weights, None), y, weights, [], 2)[0] == -1


@pytest.mark.parametrize("K", [1, 2, 5])
@pytest.mark.parametrize("n", [0, 1, 7, 1000])
def test_sums_of_sides_are_the_twins(rng, K, n):
    y, weights, left = rng.integers(K, size=n).astype(np.int32), rng.random(n), rng.integers(2, size=n).astype(np.uint8)
    ours, theirs = np.full((2, K), np.nan), np.full((2, K), np.nan)
    stumps.side_sums(y, weights, left, ours)
    twin.side_sums(y, weights, left, theirs)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)


@pytest.mark.parametrize("K", [2, 5])
@pytest.mark.parametrize("n", [1, 7, 4096, 9000])
@each_threads
def test_votes_are_the_twins(rng, K, n, n_threads):
    said, y = (rng.integers(K, size=n).astype(np.int32) for _ in range(2))
    weights, votes = rng.random(n), rng.random((n, K))
    results = []
    for module in (stumps, twin):
        w, v, margins, sums = weights.copy(), votes.copy(), np.empty(n), np.empty((n + 4095) // 4096)
        module.cast_votes(said, y, 0.7, 0.4, 3.0, w, v, margins, sums, n_threads)
        results.append((w, v, margins, sums))
    for ours, theirs in zip(*results):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(results[0][3].sum(), results[0][0].sum())


@pytest.mark.parametrize("n", [1, 2, 50, 5000])
@pytest.mark.parametrize("kind", ["spread", "few", "equal", "close"])
def test_quantiles_are_the_twins(rng, n, kind):
    values = rng.uniform(-1, 1, n)
    values = {"spread": values, "few": np.rint(values * 3) / 3, "equal": values * 0 + 0.3, "close": values * 1e-9}[kind]
    weights = rng.integers(0, 4, n) * 1.0 + (np.arange(n) == 0)
    levels = np.array([0.01, 0.25, 0.5, 0.75, 1.0])
    ours, theirs = np.empty(5), np.empty(5)
    stumps.weighted_quantiles(values, weights, levels, ours)
    twin.weighted_quantiles(values, weights, levels, theirs)
    np.testing.assert_array_equal(ours, theirs)
    if (weights == 1).all():
        np.testing.assert_array_equal(ours, np.quantile(values, levels, method="inverted_cdf"))


def committee(rng, dtype, K, d):
    """Return the arrays of a constant, two stumps and a deeper tree."""
    starts = np.array([0, 1, 4, 7, 12], dtype=np.int32)
    left = np.array([-1, 1, -1, -1, 1, -1, -1, 1, 3, -1, -1, -1], dtype=np.int32)
    used = np.sort(rng.choice(d, 3, replace=False)).astype(np.int32)
    features = rng.integers(3, size=12).astype(np.int32)
    missing_left = (rng.random(12) < 0.5).astype(np.uint8)
    return used, starts, features, rng.normal(size=12).astype(dtype), left, missing_left, rng.random((12, K))


@each_dtype
@each_threads
@pytest.mark.parametrize("n", [0, 1, 63, 64, 65, 1000])
@pytest.mark.parametrize("K", [2, 5])
def test_tree_votes_are_the_twins(rng, dtype, n, K, n_threads):
    X = rng.normal(size=(n, 8)).astype(dtype)
    X[rng.random(X.shape) < 0.1] = np.nan
    trees = committee(rng, dtype, K, 8)
    ours, theirs = np.full((n, K), np.nan), np.full((n, K), np.nan)
    stumps.tree_votes(X, *trees, ours, n_threads)
    twin.tree_votes(X, *trees, theirs, n_threads)
    np.testing.assert_array_equal(ours, theirs)


def refused(function, *arguments):
    with pytest.raises(ValueError):
        function(*arguments)


def replaced(arguments, at, value):
    return [value if i == at else argument for i, argument in enumerate(arguments)]


@pytest.mark.skipif(_kernels.LEVEL == "reference", reason="a twin trusts its caller")
def test_find_split_refuses_what_does_not_fit(rng):
    X, y, weights = node(rng, n=20, p=3, K=2)
    b = bin_rows(X, weights, None)
    none = np.empty(0, dtype=np.int32)
    good = [*b.arrays(), weights, y, none, np.ones(2), 1e-13, np.empty(4, np.int64), 1]
    stumps.find_split(*good)
    worse = [
        (0, b.codes[:, :-1].copy()),
        (1, b.order[:, :-1].copy()),
        (1, b.order + np.int32(20)),
        (2, b.offsets[:, :-1].copy()),
        (2, b.offsets[:, ::-1].copy()),
        (3, b.n_bins + np.int32(300)),
        (4, np.array([20], dtype=np.int32)),
        (5, np.array([0, 0, 0, 1])),
        (5, np.array([0, 1, 0, 0])),
        (6, b.common - np.int32(1)),
        (6, b.common[:-1].copy()),
        (7, b.X[:-1].copy()),
        (8, weights[:-1].copy()),
        (9, y + np.int32(1)),
        (10, np.array([20], dtype=np.int32)),
        (13, np.empty(3, np.int64)),
        (14, 0),
    ]
    for at, value in worse:
        refused(stumps.find_split, *replaced(good, at, value))


@pytest.mark.skipif(_kernels.LEVEL == "reference", reason="a twin trusts its caller")
def test_the_other_entries_refuse_what_does_not_fit(rng):
    said = np.zeros(5, dtype=np.int32)
    good = [said, said, 1.0, 1.0, 1.0, np.ones(5), np.ones((5, 2)), np.ones(5), np.ones(1), 1]
    stumps.cast_votes(*good)
    worse = [
        (0, said - 1),
        (1, said + 2),
        (5, np.ones(4)),
        (6, np.ones((5, 1))),
        (7, np.ones(4)),
        (8, np.ones(2)),
        (9, 0),
    ]
    for at, value in worse:
        refused(stumps.cast_votes, *replaced(good, at, value))
    sides = [said, np.ones(5), np.ones(5, np.uint8), np.ones((2, 2))]
    stumps.side_sums(*sides)
    for at, value in ((0, said + 2), (1, np.ones(4)), (2, np.ones(6, np.uint8)), (3, np.ones((1, 2)))):
        refused(stumps.side_sums, *replaced(sides, at, value))
    refused(stumps.weighted_quantiles, np.ones(3), np.ones(2), np.ones(1), np.ones(1))
    refused(stumps.weighted_quantiles, np.ones(0), np.ones(0), np.ones(1), np.ones(1))
    trees = committee(rng, np.float64, 2, 8)
    good = [np.ones((4, 8)), *trees, np.ones((4, 2)), 1]
    stumps.tree_votes(*good)
    loop = trees[4].copy()
    loop[7] = 0
    worse = [
        (1, trees[0] + np.int32(8)),
        (2, trees[1][:-1].copy()),
        (2, np.array([0, 0, 4, 7, 12], dtype=np.int32)),
        (3, trees[2] + np.int32(3)),
        (4, trees[3][:-1].copy()),
        (5, loop),
        (5, np.where(trees[4] == 3, 99, trees[4]).astype(np.int32)),
        (7, np.ones((12, 3))),
        (8, np.ones((3, 2))),
        (9, 0),
    ]
    for at, value in worse:
        refused(stumps.tree_votes, *replaced(good, at, value))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of memory are Linux's")
def test_quantiles_that_run_out_of_memory_say_so():
    program = (
        "import resource\n"
        "import numpy as np\n"
        "from skml._kernels import stumps\n"
        "values, weights = np.arange(20_000_000) * 1e-12, np.ones(20_000_000)\n"
        "with open('/proc/self/statm') as sizes:\n"
        "    used = int(sizes.read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 2**26, used + 2**26))\n"
        "try:\n"
        "    stumps.weighted_quantiles(values, weights, np.array([0.5]), np.empty(1))\n"
        "except MemoryError as error:\n"
        "    print(error)\n"
    )
    assert "ran out of memory" in run(["-c", program], OMP_NUM_THREADS=1, SKML_KERNELS="")
