"""What rows of interactions say of their items: the mean of each item's features."""

from dataclasses import dataclass

import numpy as np

# No standardised feature is further from the mean.
_FAR = 1e9


@dataclass(frozen=True)
class ItemMeans:
    """Means of the features of items.

    Attributes
    ----------
    means : ndarray of shape (n_items, n_features), float64
        Weighted by the rows' weights.
    weights : ndarray of shape (n_items,)
        The sums of these.
    """

    means: np.ndarray
    weights: np.ndarray


def item_means(items, features, weights, n_items):
    """Return the weighted mean of the features of each item's rows; that of equal ones is exact.

    Parameters
    ----------
    items : ndarray of shape (n_rows,), int
        Codes; each item has a row.
    features : ndarray of shape (n_rows, n_features)
        Finite.
    weights : ndarray of shape (n_rows,) or None
        Positive; None means 1.
    n_items : int
        How many items there are.

    Returns
    -------
    means : ItemMeans
        Of all items.
    """
    w = np.ones(len(items)) if weights is None else weights.astype(np.float64)
    totals = np.bincount(items, w, n_items)
    first = np.unique(items, return_index=True)[1]
    means = np.empty((n_items, features.shape[1]))
    for f in range(features.shape[1]):
        x = features[:, f].astype(np.float64)
        size = _sizes(x)
        x = x / size
        means[:, f] = (x[first] + np.bincount(items, w * (x - x[first][items]), n_items) / totals) * size
    return ItemMeans(means, totals)


@dataclass(frozen=True)
class Scale:
    """What standardises features, with sizes apart so that squares do not overflow."""

    sizes: np.ndarray
    means: np.ndarray
    deviations: np.ndarray

    def standardised(self, features, dtype):
        """Return features in units of their standard deviations from their means; 0 for those that do not vary."""
        with np.errstate(over="ignore"):  # new items may be far from all there were
            scaled = np.clip(features.astype(np.float64) / self.sizes, -_FAR, _FAR)
        return np.clip((scaled - self.means) / self.deviations, -_FAR, _FAR).astype(dtype)


def scale_of(features):
    """Return the scale by which features of items have mean 0 and standard deviation 1."""
    sizes = _sizes(features)
    x = features / sizes
    means, deviations = x.mean(axis=0), x.std(axis=0)
    return Scale(sizes, means, np.where(deviations > 1e-12, deviations, np.inf))


def _sizes(x):
    """Return a power of two near the largest number, by column."""
    largest = np.max(np.abs(x), axis=0, initial=0.0)
    return np.exp2(np.floor(np.log2(np.where(largest > 0, largest, 1.0))))
