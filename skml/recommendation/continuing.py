"""How a factorisation goes on when users and items have come and gone."""

import zlib
from dataclasses import replace

import numpy as np
import scipy.sparse as sp

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
    return replace(factors, **dict(zip(("users", "items", "user_bias", "item_bias"), arrays))), *new


def started(factors, settings, dtype, n_attributes):
    """Return the factors of a fit of other settings as those that one of these starts from.

    Parameters
    ----------
    factors : Factors
        Of that many components.
    settings : Settings
        Of the fit to come.
    dtype : dtype
        Of its ratings.
    n_attributes : int or None
        How many its items have that are the attributes of the last fit.

    Returns
    -------
    factors : Factors
        Without biases if there shall be none, without the map if it doesn't suit.
    """
    users, items, user_bias, item_bias = (array.astype(dtype, copy=False) for array in factors.arrays())
    found = replace(factors, users=users, items=items, user_bias=user_bias, item_bias=item_bias)
    if not settings.fit_bias:
        found = replace(found, user_bias=np.zeros_like(user_bias), item_bias=np.zeros_like(item_bias))
    A = factors.attributes
    suits = A is not None and A.shape == (n_attributes, settings.n_components + settings.fit_bias)
    return replace(found, attributes=A if suits else None)


def seal_of(ratings, settings, attributes, held):
    """Return what two fits have in common of which one can go on where the other has stopped.

    Parameters
    ----------
    ratings : Ratings
        All of them.
    settings : Settings
        Those that say how long to go on do not count.
    attributes : ndarray or CSR matrix of shape (n_items, n_attributes) or None
        Of the items.
    held : float
        What part is held out.

    Returns
    -------
    seal : tuple
        Others hardly share it.
    """
    arrays = [ratings.indptr, ratings.indices, ratings.data, ratings.filled_weights()]
    if attributes is not None:
        arrays += _arrays_of(attributes)
    sums = [zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8)) for array in arrays]
    shapes = [(array.shape, array.dtype.str) for array in arrays]
    model = replace(settings, max_iter=0, tol=None, n_threads=1, n_iter_no_change=0)
    return ratings.n_columns, model, held, *sums, *shapes


def _arrays_of(matrix):
    return [matrix.indptr, matrix.indices, matrix.data] if sp.issparse(matrix) else [matrix]


def can_start(old, new):
    """Tell whether the factors of some settings mean to others what theirs mean."""
    return all(getattr(old, name) == getattr(new, name) for name in ("solver", "constraint", "implicit", "loss"))


def with_newcomers(solver, ratings, factors, new_users, new_items, attributes=None):
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
    attributes : ndarray or CSR matrix of shape (n_items, n_attributes) or None
        Of all items, where the factors have a map from them.

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
        theirs = take_rows(ratings.flipped()[0], new_items)
        given = [] if attributes is None or factors.attributes is None else [attributes[new_items]]
        items[new_items], item_bias[new_items] = solver.fold_items(theirs, factors, *given)
    for rows, new in ((users, new_users), (items, new_items)):
        _disturb(rows, new)
    return replace(factors, users=users, items=items, user_bias=user_bias, item_bias=item_bias)


def _disturb(rows, new):
    lost = new[~rows[new].any(axis=1)]
    size = np.sqrt(np.mean(rows**2)) / 10 if rows.size else 0.0
    rows[lost] = np.random.default_rng(4).standard_normal((len(lost), rows.shape[1])) * size
