"""Tile coding: which tiles a point lies in, how far neighbours share them, and scikit-learn's contract."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import estimator_checks_generator

from skml.reinforcement import TileCoding

CHECKS = list(estimator_checks_generator(TileCoding(), legacy=True, mark=None))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("number", range(len(CHECKS)))
@pytest.mark.parametrize("params", [{}, {"n_tilings": 1, "n_bins": 3, "max_tiles": 30}], ids=["default", "hashed"])
def test_scikit_learn_checks_it(number, params):
    CHECKS[number][1](TileCoding(**params))


def test_no_check_is_missing():
    assert len(CHECKS) >= 54  # of a transformer with weights


def test_a_point_lies_in_a_tile_of_each_grid(rng):
    X = rng.normal(size=(50, 2))
    coder = TileCoding(n_tilings=5, n_bins=[3, 4]).fit(X)
    Z = coder.transform(X)
    assert Z.shape == (50, 5 * 4 * 5) == (50, coder.n_tiles_)
    np.testing.assert_array_equal(Z.reshape(50, 5, 20).sum(axis=2), 1)
    np.testing.assert_array_equal(np.flatnonzero(Z[0]), np.sort(coder.tiles(X[:1])[0]))
    sparse = clone(coder).set_params(sparse_output=True).fit_transform(X)
    np.testing.assert_array_equal(sparse.toarray(), Z)


def test_one_grid_is_equal_bins():
    X = np.linspace(0, 1, 101)[:, None]
    tiles = TileCoding(n_tilings=1, n_bins=4).fit(X).tiles(X)[:, 0]
    np.testing.assert_array_equal(tiles, np.minimum(np.arange(101) // 25, 3))


def test_grids_are_shifted_by_odd_numbers():
    coder = TileCoding(n_tilings=4, n_bins=2, bounds=[[0, 8], [0, 8]]).fit(np.zeros((1, 2)))
    tiles = coder.tiles(np.array([[3.0, 1.0]])) - np.arange(4) * 9
    # in tiles: (0.75, 0.25), shifted by (0, 0), (1/4, 3/4), (2/4, 2/4), (3/4, 1/4) of a tile
    assert tiles[0].tolist() == [0 * 3 + 0, 1 * 3 + 1, 1 * 3 + 0, 1 * 3 + 0]


def test_the_nearer_the_more_tiles_in_common():
    X = np.linspace(0, 1, 200)[:, None]
    coder = TileCoding(n_tilings=8, n_bins=4).fit(X)
    shared = (coder.tiles(X) == coder.tiles(X[:1])).sum(axis=1)
    assert (np.diff(shared) <= 0).all()
    assert shared[0] == 8
    assert shared[-1] == 0
    assert set(shared) == set(range(9))


def test_outside_is_the_outermost_tile():
    coder = TileCoding(n_tilings=3, n_bins=2).fit([[0.0], [1.0]])
    np.testing.assert_array_equal(coder.transform([[-5.0], [7.0]]), coder.transform([[0.0], [1.0]]))


def test_a_feature_that_is_constant_makes_no_difference():
    coder = TileCoding(n_tilings=3, n_bins=2).fit([[0.0, 4.0], [1.0, 4.0]])
    same = coder.transform([[0.2, 4.0], [0.2, 3.0]])
    np.testing.assert_array_equal(same[0], same[1])


def test_many_features_share_tiles_by_hash(rng):
    X = rng.random((2000, 6))
    coder = TileCoding(n_tilings=4, n_bins=8, max_tiles=1026).fit(X)
    assert coder.n_tiles_ == 1024
    Z = coder.transform(X)
    np.testing.assert_array_equal(Z.reshape(2000, 4, 256).sum(axis=2), 1)
    used = Z.sum(axis=0)
    # each of 256 gets 2000 / 256 = 7.8 in the mean; Poisson
    assert used.max() < 40
    assert (used == 0).sum() < 30
    np.testing.assert_array_equal(coder.tiles(X), pickle.loads(pickle.dumps(coder)).tiles(X))


def test_weights_of_zero_leave_rows_out():
    X = np.array([[0.0], [1.0], [9.0]])
    coder = TileCoding().fit(X, sample_weight=[1, 2, 0])
    np.testing.assert_array_equal(coder.bounds_, [[0.0, 1.0]])


def test_names_and_dtypes(rng):
    X = rng.random((5, 2)).astype(np.float32)
    coder = TileCoding(2, 2, sparse_output=True).fit(X)
    assert coder.transform(X).dtype == np.float32
    assert list(coder.get_feature_names_out())[:2] == ["tilecoding0", "tilecoding1"]
    assert TileCoding(2, 2).set_output(transform="pandas").fit_transform(X).shape == (5, 18)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"n_bins": [2, 3]}, "n_bins must be a whole number from 1, or 3 of them"),
        ({"n_bins": [2, 3, 0]}, "n_bins must be"),
        ({"n_bins": [2.5, 3, 1]}, "n_bins must be"),
        ({"bounds": [[0, 1]]}, "bounds must hold a low and a high end of each of the 3 features"),
        ({"bounds": [[0, 1], [1, 0], [0, 1]]}, "bounds must hold"),
        ({"bounds": [[0, 1], [0, np.inf], [0, 1]]}, "bounds must hold"),
        ({"max_tiles": 3}, "max_tiles=3 leaves no feature"),
        ({"n_tilings": 0}, "'n_tilings' parameter of TileCoding"),
    ],
)
def test_bad_parameters_are_named(params, words, rng):
    with pytest.raises(ValueError, match=words):
        TileCoding(**params).fit(rng.random((4, 3)))
