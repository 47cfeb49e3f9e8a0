"""How a factorisation goes on when users and items have come and gone."""

import zlib
from dataclasses import replace

import numpy as np

from skml.recommendation.factors import Factors
from skml.recommendation.ranking import take_rows


def carried(factors, old_users, old_items, shape):
    """Return factors in new codes, zeros for those who are new.

    Parameters
    ----------
    factors : Factors
        The old ones.
    old_users, old_items : ndarray of int32
        Where the old users and items are now, -1 for those that are gone.
    shape : (int, int)
        How many users and items there are now.

    Returns
    -------
    factors : Factors
        Of that shape.
    new_users, new_items : ndarray of int
        The codes of those who are new.
    """
    places, arrays = (old_users, old_items) * 2, []
    for array, at, size in zip(factors.arrays(), places, shape * 2):
        moved = np.zeros((size, *array.shape[1:]), array.dtype)
        moved[at[at >= 0]] = array[at >= 0]
        arrays.append(moved)
    new = [np.setdiff1d(np.arange(size), at) for at, size in zip(places, shape)]
    return replace(Factors(*arrays), mean=factors.mean), *new


def fingerprint(ratings):
    """Return a number that other ratings hardly share."""
    arrays = ratings.indptr, ratings.indices, ratings.data, ratings.filled_weights()
    sums = [zlib.crc32(np.ascontiguousarray(array).view(np.uint8)) for array in arrays]
    return hash((ratings.n_columns, *sums))


def with_newcomers(solver, ratings, factors, new_users, new_items):
    """Return factors in which new users and items have what fold-in gives them.

    Users come first; items are folded in with all users. Who has only interactions with others that are new gets a
    small random start.

    Parameters
    ----------
    solver : object
        Of :mod:`skml.recommendation.solvers`.
    ratings : Ratings
        By user.
    factors : Factors
        Zeros for those who are new.
    new_users, new_items : ndarray of int
        Their codes.

    Returns
    -------
    factors : Factors
        Complete.
    """
    users, items, user_bias, item_bias = (array.copy() for array in factors.arrays())
    if len(new_users):
        users[new_users], user_bias[new_users] = solver.fold_users(take_rows(ratings, new_users), factors)
        factors = replace(factors, users=users, user_bias=user_bias)
    if len(new_items):
        by_item = ratings.flipped()[0]
        items[new_items], item_bias[new_items] = solver.fold_items(take_rows(by_item, new_items), factors)
    for rows, new in ((users, new_users), (items, new_items)):
        _disturb(rows, new)
    return Factors(users, items, user_bias, item_bias, factors.mean)


def _disturb(rows, new):
    lost = new[~rows[new].any(axis=1)]
    size = np.sqrt(np.mean(rows**2)) / 10 if rows.size else 0.0
    rows[lost] = np.random.default_rng(4).standard_normal((len(lost), rows.shape[1])) * size
