"""Canonical order: neither the order of rows nor duplication shows."""

import numpy as np
import pytest
import scipy.sparse as sp

from skml._rows import distinct_rows, row_hashes


@pytest.fixture
def X(rng):
    return rng.integers(0, 3, (40, 3)).astype(float)


def contents(X, index):
    X = X.toarray() if sp.issparse(X) else X
    return [tuple(row) for row in X[index]]


def test_merged_weights_are_those_counted_by_hand():
    X = np.array([[1.0, 2.0], [3.0, 4.0], [1.0, 2.0], [5.0, 6.0]])
    index, merged = distinct_rows(X, np.array([1.0, 2.0, 3.0, 0.0]))
    assert dict(zip(contents(X, index), merged)) == {(1.0, 2.0): 4.0, (3.0, 4.0): 2.0}


def test_the_order_of_rows_does_not_show(X, rng):
    weights = rng.integers(0, 4, len(X)).astype(float)
    shuffle = rng.permutation(len(X))
    index, merged = distinct_rows(X, weights)
    again, merged_again = distinct_rows(X[shuffle], weights[shuffle])
    assert contents(X, index) == contents(X[shuffle], again)
    np.testing.assert_array_equal(merged, merged_again)


def test_copies_are_weights(X, rng):
    weights = rng.integers(0, 4, len(X))
    index, merged = distinct_rows(X, weights.astype(float))
    copied = np.repeat(X, weights, axis=0)
    again, merged_again = distinct_rows(copied)
    assert contents(X, index) == contents(copied, again)
    np.testing.assert_array_equal(merged, merged_again)


def test_storage_does_not_show(X):
    expected = contents(X, distinct_rows(X)[0])
    assert contents(X, distinct_rows(X.astype(np.float32))[0]) == expected
    assert contents(X, distinct_rows(sp.csr_array(X))[0]) == expected
    np.testing.assert_array_equal(row_hashes(X), row_hashes(sp.csr_array(X)))
    np.testing.assert_array_equal(row_hashes(-0.0 * X), row_hashes(0.0 * X))


def test_targets_belong_to_the_content():
    X = np.array([[1.0], [1.0], [1.0]])
    index, merged = distinct_rows(X, y=np.array([0.0, 1.0, 0.0]))
    assert sorted(merged) == [1.0, 2.0]
    assert len(index) == 2


def test_missing_equals_missing():
    X = np.array([[np.nan, 1.0], [np.nan, 1.0], [1.0, np.nan]])
    assert sorted(distinct_rows(X)[1]) == [1.0, 2.0]


def test_rows_that_differ_only_in_double_precision_stay_apart(rng):
    X = np.array([[1.0], [1.0 + 1e-12], [1.0]])
    for _ in range(5):
        shuffle = rng.permutation(3)
        index, merged = distinct_rows(X[shuffle])
        assert dict(zip(contents(X[shuffle], index), merged)) == {(1.0,): 2.0, (1.0 + 1e-12,): 1.0}


def test_distinct_rows_have_distinct_hashes(rng):
    X = rng.permutation(200_000).reshape(-1, 2).astype(float)
    assert len(np.unique(row_hashes(X))) == len(X)


def test_sparse_rows_with_missing_values_are_merged(rng):
    X = rng.integers(0, 2, (30, 3)).astype(float)
    X[rng.random(X.shape) < 0.4] = np.nan
    dense, sparse = distinct_rows(X), distinct_rows(sp.csr_array(X))
    np.testing.assert_array_equal(X[dense[0]], X[sparse[0]])
    np.testing.assert_array_equal(dense[1], sparse[1])
    assert len(distinct_rows(sp.csr_array(np.array([[np.nan, 1], [1, np.nan], [np.nan, 0], [np.nan, 1]])))[0]) == 3
