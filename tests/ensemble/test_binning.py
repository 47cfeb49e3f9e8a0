"""Bins: exact where values are few, even where they are many, the same for every way to hold the same rows."""

import numpy as np
import pytest
import scipy.sparse as sp

from skml.ensemble.binning import MISSING, TOGETHER, UNKNOWN, encode, find_bins, lacking, row_codes, tabulate

INF = np.inf


def bins_of(X, weights=None, categorical=None, max_bins=255, n_threads=1):
    n, p = X.shape
    weights = np.ones(n) if weights is None else weights
    categorical = np.zeros(p, bool) if categorical is None else np.asarray(categorical)
    return find_bins(X, weights, categorical, max_bins, n_threads)


def assert_same(ours, theirs):
    for one, other in zip(ours.parts(), theirs.parts()):
        np.testing.assert_array_equal(one, other)


def test_few_values_are_kept_exactly():
    X = np.array([[3.0, 1], [-1, 1], [np.nan, 1], [3, 1], [7, 1]])
    bins = bins_of(X)
    np.testing.assert_array_equal(bins.of(0), [1, 5, INF])
    np.testing.assert_array_equal(bins.of(1), [INF])
    np.testing.assert_array_equal(encode(bins, X, 1), [[1, 0], [0, 0], [MISSING, 0], [1, 0], [2, 0]])
    np.testing.assert_array_equal(
        encode(bins, np.array([[1.0, -9], [1.1, INF], [9, np.nan]]), 1), [[0, 0], [1, 0], [2, MISSING]]
    )


@pytest.mark.parametrize("n_values", [2, 4, 20, 255])
def test_as_many_values_as_bins_are_told_apart(rng, n_values):
    values = np.unique(rng.normal(size=n_values))
    x = rng.permutation(np.repeat(values, rng.integers(1, 5, n_values)))
    codes = encode(bins_of(x[:, None], max_bins=n_values), x[:, None], 1)
    np.testing.assert_array_equal(codes[:, 0], np.searchsorted(values, x))


@pytest.mark.parametrize("max_bins", [2, 3, 16, 255])
def test_many_values_fill_bins_evenly(rng, max_bins):
    x = rng.standard_cauchy(2000)
    codes = encode(bins_of(x[:, None], max_bins=max_bins), x[:, None], 1)[:, 0]
    sizes = np.bincount(codes)
    assert len(sizes) == max_bins
    assert np.all(np.abs(sizes - 2000 / max_bins) <= 1)
    np.testing.assert_array_equal(codes[np.argsort(x)], np.sort(codes))


@pytest.mark.parametrize("max_bins", [2, 8, 50])
def test_no_bin_is_larger_than_its_share_and_one_value(rng, max_bins):
    x = rng.zipf(1.3, 3000).astype(np.float64)
    weights = rng.uniform(0.1, 3, 3000)
    codes = encode(bins_of(x[:, None], weights, max_bins=max_bins), x[:, None], 1)[:, 0]
    values, owner = np.unique(x, return_inverse=True)
    largest = np.bincount(owner, weights).max()
    sizes = np.bincount(codes, weights, minlength=max_bins)
    assert len(sizes) == max_bins
    assert sizes.max() <= (weights.sum() / max_bins + largest) * (1 + 1e-9)


@pytest.mark.parametrize("max_bins", [2, 8, 300])
def test_weights_are_as_many_copies(rng, max_bins):
    X = np.column_stack([rng.normal(size=300), rng.integers(0, 20, 300)]).astype(np.float64)
    X[rng.random(X.shape) < 0.1] = np.nan
    weights = rng.integers(1, 5, 300)
    for categorical in ([False, False], [False, True]):
        most = min(max_bins, 255)
        copied = bins_of(np.repeat(X, weights, axis=0), categorical=categorical, max_bins=most)
        assert_same(bins_of(X, weights.astype(np.float64), categorical, most), copied)
        order = rng.permutation(300)
        assert_same(bins_of(X[order], weights[order].astype(np.float64), categorical, most), copied)


@pytest.mark.parametrize("max_bins", [2, 8, 255])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sparse_equals_dense(rng, max_bins, weighted, dtype):
    X = (rng.integers(-30, 30, (400, 4)) * (rng.random((400, 4)) < [0.02, 0.3, 0.9, 1])).astype(dtype)
    X[rng.random(X.shape) < 0.05] = np.nan
    X[:, 3] = np.abs(X[:, 3]) + 1  # no zeros
    weights = rng.integers(1, 4, 400).astype(np.float64) if weighted else np.ones(400)
    stored = sp.csr_array(X)
    stored.data[rng.random(len(stored.data)) < 0.05] = 0  # stored zeros are zeros
    X = stored.toarray()
    for categorical in ([False] * 4, [True, False, False, True]):
        bins = bins_of(X, weights, categorical, max_bins)
        assert_same(bins, bins_of(stored, weights, categorical, max_bins))
        codes = encode(bins, X, 1)
        np.testing.assert_array_equal(encode(bins, stored, 2), codes)
        dense, sparse = tabulate(bins, X, 2), tabulate(bins, stored, 2)
        np.testing.assert_array_equal(dense.codes, codes)
        assert sparse.codes.size == 0
        assert dense.n_rows == sparse.n_rows == 400
        for rows in (np.arange(400), np.flatnonzero(rng.random(400) < 0.2), np.array([399]), np.empty(0, np.int64)):
            for table in (dense, sparse):
                found = row_codes(table, rows)
                np.testing.assert_array_equal(found, codes[rows])
                assert found.flags.c_contiguous


@pytest.mark.parametrize("n", [40, 900])
@pytest.mark.parametrize("left", [0, 1e-17])
def test_zeros_of_no_weight_are_not_there(rng, n, left):
    # Sums of fractions are rounded: whether zeros count is not told by what is left of the sum.
    for _ in range(30):
        weights = rng.random(n) * (np.arange(n) % 2)
        weights[0] = left
        x = np.where(weights > left, rng.integers(1, 20, n) / 7, 0)[:, None]
        bins = bins_of(sp.csr_array(x), weights)
        assert_same(bins, bins_of(x, weights))
        assert len(bins.of(0)) == len(np.unique(x)) - (left == 0)


@pytest.mark.parametrize("max_bins", [2, 8, 255])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_columns_of_few_and_many_entries_equal_dense_ones(rng, max_bins, dtype):
    # More columns than are looked at together; those of few entries are found all at once.
    n, p = 300, 600
    shares = rng.choice([0, 0.003, 0.02, 0.1, 0.9], p)
    X = (rng.integers(-9, 200, (n, p)) * (rng.random((n, p)) < shares)).astype(dtype)
    X[:, rng.random(p) < 0.5] /= 7  # no whole numbers
    X[rng.random((n, p)) < 0.01] = np.nan
    X[:, 5], X[:, 6], X[:, 7] = 0, np.nan, 3
    weights = rng.integers(0, 3, n).astype(np.float64)
    stored = sp.csr_array(X)
    stored.data[rng.random(len(stored.data)) < 0.05] = 0
    for categorical in (np.zeros(p, bool), rng.random(p) < 0.3):
        expected = bins_of(stored.toarray(), weights, categorical, max_bins)
        for n_threads in (1, 2):
            assert_same(bins_of(stored, weights, categorical, max_bins, n_threads), expected)


def test_an_empty_column_is_all_zeros():
    X = sp.csr_array((5, 3))
    bins = bins_of(X)
    np.testing.assert_array_equal(bins.starts, [0, 1, 2, 3])
    np.testing.assert_array_equal(row_codes(tabulate(bins, X, 1), np.arange(5)), np.zeros((5, 3)))


def test_float32_is_as_good(rng):
    X = rng.normal(size=(500, 3)).astype(np.float32)
    bins = bins_of(X, max_bins=31)
    assert_same(bins, bins_of(X.astype(np.float64), max_bins=31))
    np.testing.assert_array_equal(encode(bins, X, 2), encode(bins, X.astype(np.float64), 1))
    # Neighbours in float32 have an edge between them.
    near = np.array([[1.0], [np.nextafter(np.float32(1), np.float32(2))]], np.float32)
    np.testing.assert_array_equal(encode(bins_of(near), near, 1), [[0], [1]])


@pytest.mark.parametrize(
    "values",
    [
        [-1.7e308, -1e308, 1e308, 1.7e308],
        [-5e-324, 0.0, 5e-324, 1e-323],
        [1.0, np.nextafter(1, 2), np.nextafter(np.nextafter(1, 2), 2)],
        [-1e308, -5e-324, 5e-324, 1e308],
    ],
)
def test_huge_and_tiny_values_are_told_apart(values):
    X = np.array(values)[:, None]
    for rows in (X, sp.csr_array(X)):
        bins = bins_of(rows)
        np.testing.assert_array_equal(encode(bins, rows, 1)[:, 0], np.arange(len(values)))
        assert np.all(np.isfinite(bins.edges[:-1]))


def test_zeros_of_either_sign_are_one_value():
    X = np.array([[-0.0], [0.0], [-1], [1]])
    np.testing.assert_array_equal(encode(bins_of(X), X, 1)[:, 0], [1, 1, 0, 2])
    np.testing.assert_array_equal(encode(bins_of(X, categorical=[True]), X, 1)[:, 0], [1, 1, 0, 2])


def test_a_column_of_nothing_but_nan():
    X = np.full((4, 2), np.nan)
    for rows in (X, sp.csr_array(X)):
        bins = bins_of(rows, categorical=[False, True])
        np.testing.assert_array_equal(encode(bins, rows, 1), np.full((4, 2), MISSING))
        np.testing.assert_array_equal(encode(bins, np.array([[5.0, 5.0]]), 1), [[0, UNKNOWN]])


def test_categories_have_codes_of_their_own(rng):
    values = rng.permutation(np.append(rng.integers(-900, 900, 200) / 4, [-0.25, 0.25]))
    X = np.append(values, np.nan)[:, None]
    bins = bins_of(X, categorical=[True])
    known = np.unique(values)
    np.testing.assert_array_equal(bins.of(0), known)
    np.testing.assert_array_equal(encode(bins, X, 1)[:-1, 0], np.searchsorted(known, values))
    np.testing.assert_array_equal(
        encode(bins, np.array([[1e4], [0.1], [np.nan]]), 1)[:, 0], [UNKNOWN, UNKNOWN, MISSING]
    )


@pytest.mark.parametrize(("n_values", "max_bins"), [(254, 255), (255, 255), (400, 255), (30, 10), (10, 10), (5, 2)])
def test_rare_categories_share_a_code(rng, n_values, max_bins):
    most = min(max_bins, UNKNOWN)
    counts = rng.permutation(np.arange(1, n_values + 1))
    x = rng.permutation(np.repeat(np.arange(n_values) * 2.0, counts))
    codes = encode(bins_of(x[:, None], categorical=[True], max_bins=max_bins), x[:, None], 1)[:, 0]
    owners = np.array([np.unique(codes[x == 2.0 * value]) for value in range(n_values)])
    assert owners.shape == (n_values, 1)
    own = counts > n_values - most + 1 if n_values > most else np.ones(n_values, bool)
    np.testing.assert_array_equal(owners[own, 0], np.arange(own.sum()))
    assert np.all(owners[~own] == most - 1)


def test_of_categories_equally_frequent_the_lower_are_kept():
    x = np.arange(300.0)
    codes = encode(bins_of(x[:, None], categorical=[True]), x[:, None], 1)[:, 0]
    np.testing.assert_array_equal(codes, np.minimum(np.arange(300), 253))


def test_threads_change_nothing(rng):
    X = rng.normal(size=(2000, 60))
    assert_same(bins_of(X), bins_of(X, n_threads=3))
    np.testing.assert_array_equal(encode(bins_of(X), X, 1), encode(bins_of(X), X, 3))


@pytest.mark.parametrize("p", [1, TOGETHER, TOGETHER + 1])
def test_rows_lie_together_where_they_are_short(rng, p):
    X = rng.normal(size=(9, p))
    bins = bins_of(X)
    table = tabulate(bins, np.asfortranarray(X), 1)
    assert table.codes.flags.c_contiguous if p <= TOGETHER else table.codes.flags.f_contiguous
    np.testing.assert_array_equal(table.codes, encode(bins, X, 1))
    np.testing.assert_array_equal(table.categorical, np.zeros(p))
    np.testing.assert_array_equal(table.edges, bins.edges)
    np.testing.assert_array_equal(table.edge_starts, bins.starts)


@pytest.mark.parametrize("p", [TOGETHER, TOGETHER + 1, 150])
def test_wide_rows_of_common_codes_are_packed(rng, p):
    X = np.where(rng.random((300, p)) < 0.1, rng.normal(size=(300, p)), 0.0)
    X[rng.random(X.shape) < 0.02] = np.nan
    X[:, 1] = np.where(rng.random(300) < 0.9, np.nan, 1.0)
    X[:, 2] = 5.0
    bins, index = bins_of(X), rng.permutation(300)[:250]
    table, codes = tabulate(bins, X, 1, index), encode(bins, X[index], 1)
    assert (table.packed is not None) == (p > TOGETHER)
    rows = np.sort(rng.permutation(250)[:40])
    np.testing.assert_array_equal(row_codes(table, rows), codes[rows])
    np.testing.assert_array_equal(lacking(table), (codes == MISSING).any(axis=0))


def test_wide_rows_without_common_codes_are_kept_whole(rng):
    X = rng.normal(size=(200, TOGETHER + 1))
    bins = bins_of(X)
    table = tabulate(bins, X, 1)
    assert table.packed is None
    np.testing.assert_array_equal(table.codes, encode(bins, X, 1))
