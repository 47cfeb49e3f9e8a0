"""Attributes of items beside their ratings: items that nobody has rated take part."""

from dataclasses import replace

import numpy as np
import scipy.sparse as sp

from skml.recommendation.ids import merge_ids
from skml.recommendation.item_features import transform_item_features


def widened(ratings, n_items):
    """Return the same interactions, with more items after those there are."""
    return replace(ratings, n_columns=n_items)


def kept_attributes(known, old_items, item_ids, given):
    """Return the attributes of items whose codes have changed, and of new ones.

    Parameters
    ----------
    known : ItemFeatures
        Of the last fit.
    old_items : ndarray of int32
        Where its items are now.
    item_ids : ndarray of shape (n_items,)
        All items.
    given : DataFrame, array-like, sparse matrix, pair or None
        Attributes of further items, or other ones of those there are, as at fit.

    Returns
    -------
    features : ItemFeatures
        Of `item_ids`, then of items that only `given` knows; zeros for those of which nothing is known.
    """
    stays, parts, places = old_items >= 0, [], []
    if given is not None:
        ids, matrix = transform_item_features(known, given)
        item_ids, _, at = merge_ids(item_ids, ids, "ids of items", ordered=False)
        stays &= ~np.isin(old_items, at)
        parts, places = [matrix], [at]
    parts, places = [known.matrix[stays], *parts], [old_items[stays], *places]
    return replace(known, ids=item_ids, matrix=_placed(parts, np.concatenate(places), len(item_ids)))


def _placed(parts, places, n_items):
    """Return a matrix with rows at places, zeros elsewhere."""
    if not sp.issparse(parts[0]):
        out = np.zeros((n_items, parts[0].shape[1]), parts[0].dtype)
        out[places] = np.concatenate(parts)
        return out
    rows = np.arange(len(places))
    mover = sp.csr_array((np.ones(len(places), parts[0].dtype), (places, rows)), shape=(n_items, len(places)))
    return sp.csr_array(mover @ sp.vstack(parts, format="csr"))
