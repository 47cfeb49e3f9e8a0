"""Tile coding: several grids over the same space, each shifted against the others."""

import math
from numbers import Integral

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from skml._sklearn import Interval
from skml.base import chunk_slices, fitting, require_memory, validate_weights, validate_X

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class TileCoding(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Binary features of several grids over the same space, each shifted against the others.

    A point lies in one tile of each grid. With the same number of features, many coarse grids tell points apart as
    finely as one fine grid does, and yet generalise as far as a coarse one.

    Parameters
    ----------
    n_tilings : int, default=8
        How many grids.
    n_bins : int or array-like of shape (n_features,), default=8
        Tiles of a grid along each feature, over the range of the data. A shifted grid needs one more.
    bounds : array-like of shape (n_features, 2) or None, default=None
        The least and the largest value of each feature; None takes those of the data. What lies outside falls into the
        outermost tile.
    max_tiles : int, default=4096
        If the grids have more tiles than this in all, tiles of a grid share features: each is given one by a hash of
        its place. The tiles grow with the power of the features, so from three features on more may be needed.
    sparse_output : bool, default=False
        Whether `transform` returns a sparse array. Agents ask for the numbers of tiles and need neither.

    Attributes
    ----------
    bounds_ : ndarray of shape (n_features, 2)
        The range of each feature, float64.
    n_tiles_ : int
        Features that come out: the tiles of all grids, at most `max_tiles`.
    n_features_in_ : int
        Number of features seen in fit.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, where X had names that are all strings.

    See Also
    --------
    sklearn.preprocessing.KBinsDiscretizer : One grid, with edges that may follow the data.
    QLearning : Learns with it: ``QLearning(feature_map=TileCoding())``.

    Notes
    -----
    Grid k of n is shifted along feature j by (k (2 j + 1) mod n) / n of a tile: the displacements by the first odd
    numbers that Miller and Glanz found to spread best [1]_.

    References
    ----------
    .. [1] W. T. Miller and F. H. Glanz (1996). UNH_CMAC version 2.1. University of New Hampshire.
    .. [2] R. S. Sutton and A. G. Barto (2018). Reinforcement Learning: An Introduction. MIT Press, section 9.5.4.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.reinforcement import TileCoding
    >>> X = np.array([[0.0], [0.3], [1.0]])
    >>> TileCoding(n_tilings=2, n_bins=2).fit_transform(X)
    array([[1., 0., 0., 1., 0., 0.],
           [1., 0., 0., 0., 1., 0.],
           [0., 1., 0., 0., 0., 1.]])
    """

    _parameter_constraints = {
        "n_tilings": [Interval(Integral, 1, None, closed="left")],
        "n_bins": [Interval(Integral, 1, None, closed="left"), "array-like"],
        "bounds": ["array-like", None],
        "max_tiles": [Interval(Integral, 1, None, closed="left")],
        "sparse_output": ["boolean"],
    }

    def __init__(self, n_tilings=8, n_bins=8, *, bounds=None, max_tiles=4096, sparse_output=False):
        self.n_tilings = n_tilings
        self.n_bins = n_bins
        self.bounds = bounds
        self.max_tiles = max_tiles
        self.sparse_output = sparse_output

    @fitting
    def fit(self, X, y=None, sample_weight=None):
        """Find the range of each feature.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : Ignored
            Not used.
        sample_weight : array-like of shape (n_samples,), default=None
            Rows of weight 0 are left out; other weights make no difference to a range.

        Returns
        -------
        self : object
            Fitted estimator.

        Raises
        ------
        ValueError
            If `n_bins` or `bounds` do not fit the features.
        """
        if self.max_tiles < self.n_tilings:
            raise ValueError(f"max_tiles={self.max_tiles} leaves no feature for some of n_tilings={self.n_tilings}.")
        X = validate_X(self, X, reset=True)
        weights = validate_weights(sample_weight, X)
        bins, bounds = self._bins(X.shape[1]), self._bounds(X if weights is None else X[weights > 0])
        n_tiles = self.n_tilings * math.prod((bins + (self.n_tilings > 1)).tolist())
        self.bounds_, self._n_bins, self._hashed = bounds, bins, n_tiles > self.max_tiles
        self.n_tiles_ = self.max_tiles // self.n_tilings * self.n_tilings if self._hashed else n_tiles
        return self

    def _bins(self, n_features):
        bins = np.asarray(self.n_bins)
        if bins.ndim == 0:
            bins = np.full(n_features, int(bins))
        if bins.shape != (n_features,) or bins.dtype.kind not in "iu" or bins.min() < 1:
            raise ValueError(f"n_bins must be a whole number from 1, or {n_features} of them; got {self.n_bins!r}.")
        return bins.astype(np.int64)

    def _bounds(self, X):
        if self.bounds is None:
            return np.stack([X.min(axis=0), X.max(axis=0)], axis=1).astype(np.float64)
        bounds = np.array(self.bounds, dtype=np.float64)
        if bounds.shape != (X.shape[1], 2) or not np.isfinite(bounds).all() or (bounds[:, 0] > bounds[:, 1]).any():
            raise ValueError(f"bounds must hold a low and a high end of each of the {X.shape[1]} features.")
        return bounds

    def tiles(self, X):
        """Return the number of the tile in which each row lies, of each grid.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
            Floats; not validated.

        Returns
        -------
        tiles : ndarray of shape (n_samples, n_tilings), int64
            Columns of what :meth:`transform` gives.
        """
        grids, n = np.arange(self.n_tilings), self.n_tilings
        # in tiles: (x - low) / (high - low) n_bins, shifted by (k (2 j + 1) mod n) / n
        shift = (grids[:, None] * (2 * np.arange(X.shape[1]) + 1)) % n / n
        place = np.floor(self._scaled(X)[:, None, :] + shift).astype(np.int64)
        sizes = self._n_bins + (n > 1)
        place = np.clip(place, 0, sizes - 1)
        if self._hashed:
            each = self.n_tiles_ // n
            return _hashed(place, grids, each) + grids * each
        strides = np.append(np.cumprod(sizes[:0:-1])[::-1], 1).astype(np.int64)
        return place @ strides + grids * np.prod(sizes)

    def _scaled(self, X):
        """Return rows in tiles of a grid that isn't shifted; the high end lies in the last tile."""
        low, high = self.bounds_.T
        width = np.where(high > low, high - low, 1.0)
        scaled = np.clip((X.astype(np.float64) - low) / width, 0, 1) * self._n_bins
        return np.minimum(scaled, np.nextafter(self._n_bins.astype(np.float64), 0))

    def transform(self, X):
        """Return which tiles each row lies in.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        coded : ndarray or CSR array of shape (n_samples, n_tiles)
            A 1 for the tile of each grid, in the dtype of X.
        """
        check_is_fitted(self)
        X = validate_X(self, X, reset=False)
        if not self.sparse_output:
            require_memory(X.dtype.itemsize * len(X) * self.n_tiles_, "The dense tiles")
        tiles = np.concatenate([self.tiles(X[rows]) for rows in chunk_slices(len(X), 32 * self.n_tilings * X.shape[1])])
        indptr = np.arange(0, tiles.size + 1, self.n_tilings)
        coded = sp.csr_array((np.ones(tiles.size, X.dtype), tiles.ravel(), indptr), shape=(len(X), self.n_tiles_))
        return coded if self.sparse_output else coded.toarray()

    @property
    def _n_features_out(self):
        return self.n_tiles_

    def __sklearn_tags__(self):
        """Return the tags of a transformer that keeps the type of floats."""
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _hashed(place, grids, n):
    """Return one of n features for each tile, by a hash of its place: splitmix64 (Steele, Lea & Flood 2014)."""
    z = np.broadcast_to(grids.astype(np.uint64), place.shape[:2])
    for column in np.moveaxis(place, 2, 0).astype(np.uint64):
        z = z * _GOLDEN + column + _GOLDEN
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z % np.uint64(n)).astype(np.int64)
