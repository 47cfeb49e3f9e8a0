"""How good ranked lists are: what was recommended to each user against what is relevant to them.

All measures look at positions alone. Ties between scores were broken by whoever ranked the items; skml's recommenders
put the item of lower code first, so that a list, and with it each measure, is the same in every run.
"""

from dataclasses import dataclass
from itertools import chain
from numbers import Integral

import numpy as np
import scipy.sparse as sp

from skml.recommendation.ids import find, is_numeric, missing, number
from skml.recommendation.tables import as_column, without_labels

__all__ = ["coverage", "map_at_k", "mrr", "ndcg_at_k", "precision_at_k", "recall_at_k"]

# ------------------------------------------------------------------------------------- lists against truth


@dataclass(frozen=True)
class Hits:
    """Recommended lists compared with the relevant items.

    Attributes
    ----------
    gains : ndarray of shape (n_users, n)
        The gain of each recommendation; 0 where it is not relevant.
    found : ndarray of shape (n_users, n), bool
        Whether it is relevant, and stands in its list for the first time.
    counts : ndarray of shape (n_users,), int
        How many relevant items each user has.
    users : ndarray of shape (n_relevant,), int
        The user of each relevant item, ascending.
    ideal : ndarray of shape (n_relevant,)
        The gains of the relevant items, descending within a user.
    """

    gains: np.ndarray
    found: np.ndarray
    counts: np.ndarray
    users: np.ndarray
    ideal: np.ndarray


def match(recommended, users, items, gains, filled=None):
    """Compare recommended lists with relevant items.

    Parameters
    ----------
    recommended : ndarray of shape (n_users, n)
        Ids, the best first.
    users : ndarray of shape (n_relevant,), int
        Rows of `recommended`.
    items : ndarray of shape (n_relevant,)
        The id of an item relevant to that user; of a pair that occurs twice the greatest gain counts.
    gains : ndarray of shape (n_relevant,) or None
        Non-negative; None means 1 everywhere.
    filled : ndarray of shape (n_users, n), bool, or None, default=None
        Where an item is recommended; what stands elsewhere is no item, whatever its id. None means everywhere.

    Returns
    -------
    hits : Hits
        The comparison.
    """
    n_users = len(recommended)
    gains = np.ones(len(users)) if gains is None else gains
    own, first = number(items, "The relevant items")
    width = max(1, len(first))
    keys, gains = _greatest(users.astype(np.int64) * width + own, gains)
    codes = _codes(recommended, items[first])
    codes = codes if filled is None else np.where(filled, codes, -1)
    wanted = np.arange(n_users)[:, None] * width + codes
    at = np.minimum(np.searchsorted(keys, wanted), max(0, len(keys) - 1))
    found = (codes >= 0) & _first_in_row(codes)
    if len(keys):
        found &= keys[at] == wanted
    gained = np.where(found, gains[at], 0) if len(keys) else np.zeros(found.shape)
    owners = keys // width
    best = np.lexsort((-gains, owners))
    return Hits(gained, found, np.bincount(owners, minlength=n_users), owners, gains[best])


def _codes(recommended, ids):
    """Return the place of each recommendation among distinct ids, -1 for one that is not there."""
    for some, others in ((recommended, ids), (ids, recommended)):
        if is_numeric(some) and some.size and others.size and all(isinstance(one, str) for one in others.flat):
            raise ValueError("Ids that are numbers are compared with ids that are strings; use one type.")
    return find(recommended.ravel(), ids).reshape(recommended.shape).astype(np.int64)


def _greatest(keys, gains):
    """Return the distinct keys, ascending, and the greatest gain of each."""
    order = np.lexsort((-gains, keys))
    keys, gains = keys[order], gains[order]
    first = np.append(True, keys[1:] != keys[:-1])[: len(keys)]
    return keys[first], gains[first]


def _first_in_row(codes):
    order = np.argsort(codes, axis=1, kind="stable")
    in_order = np.take_along_axis(codes, order, axis=1)
    first = np.ones(codes.shape, bool)
    np.put_along_axis(first, order[:, 1:], in_order[:, 1:] != in_order[:, :-1], axis=1)
    return first


# -------------------------------------------------------------------------------------- values per user


def ndcg_values(hits, k):
    """Return the NDCG of each user; NaN for users whose relevant items have no gain.

    Parameters
    ----------
    hits : Hits
        From :func:`match`.
    k : int
        The length of the lists.

    Returns
    -------
    values : ndarray of shape (n_users,)
        In [0, 1].
    """
    n_users = len(hits.counts)
    starts = np.cumsum(hits.counts) - hits.counts
    rank = np.arange(len(hits.users)) - starts[hits.users]
    # IDCG@k = sum_{j <= k} gain of the j-th best / log2(1 + j)
    ideal = np.bincount(hits.users, np.where(rank < k, hits.ideal / np.log2(rank + 2), 0), minlength=n_users)
    # DCG@k = sum_{j <= k} gain_j / log2(1 + j)
    gains = hits.gains[:, :k]
    gained = (gains / np.log2(np.arange(gains.shape[1]) + 2)).sum(axis=1)
    return np.divide(gained, ideal, out=np.full(n_users, np.nan), where=ideal > 0)


def recall_values(hits, k):
    """Return the recall of each user: hits among the first k over relevant items; NaN where there are none."""
    return _where_relevant(hits, hits.found[:, :k].sum(axis=1) / np.maximum(hits.counts, 1))


def precision_values(hits, k):
    """Return the precision of each user: hits among the first k over k; NaN for users without relevant items."""
    return _where_relevant(hits, hits.found[:, :k].sum(axis=1) / k)


def map_values(hits, k):
    """Return the average precision of each user; NaN for users without relevant items."""
    found = hits.found[:, :k]
    precision = np.cumsum(found, axis=1) / np.arange(1, found.shape[1] + 1)
    # AP@k = 1 / min(relevant, k) sum_{j <= k} [j is a hit] precision@j
    return _where_relevant(hits, (precision * found).sum(axis=1) / np.clip(hits.counts, 1, k))


def mrr_values(hits, k):
    """Return 1 / the position of each user's first hit, 0 without a hit; NaN for users without relevant items."""
    found = hits.found[:, :k]
    first = np.argmax(found, axis=1) if found.shape[1] else 0
    return _where_relevant(hits, found.any(axis=1) / (first + 1.0))


def _where_relevant(hits, values):
    return np.where(hits.counts > 0, values, np.nan)


def covered(recommended, catalogue):
    """Return the share of distinct catalogue items that stand in any list."""
    items = catalogue[number(catalogue, "The catalogue")[1]]
    at = _codes(recommended, items)
    return len(np.unique(at[at >= 0])) / len(items)


# ------------------------------------------------------------------------------------------------- public


def ndcg_at_k(recommended, relevant, k=10, *, gains=None, average=True):
    """Normalised discounted cumulative gain of the first k recommendations (Järvelin and Kekäläinen 2002).

    DCG = Σ_j gain_j / log2(1 + j) over positions j = 1..k, divided by that of the best possible list.

    Parameters
    ----------
    recommended : array-like of shape (n_users, n)
        Ids or codes of items, the best first. Where a user has fewer, an id that no item has fills the row (-1, None,
        NaN): it counts as a miss. An item that stands in a row twice counts the first time.
    relevant : sequence of n_users array-likes, or sparse matrix of shape (n_users, n_items)
        The ids of the items relevant to each user; or a matrix whose column numbers are the items' codes and whose
        stored positive values are the gains. It must be sparse: a dense one, such as scikit-learn's ``ndcg_score``
        takes, would be read as ids.
    k : int, default=10
        How long the lists are. Rows with fewer than k columns are compared with the best list of k all the same.
    gains : sequence of n_users array-likes or None
        The gain of each relevant item, non-negative, e.g. its rating r or 2**r - 1; None means 1 each (binary).
    average : bool, default=True
        Whether to return the mean over users; users without relevant items (or gain) are left out of it.

    Returns
    -------
    ndcg : float or ndarray of shape (n_users,)
        In [0, 1]; per user it is NaN where nothing is relevant.

    Raises
    ------
    ValueError
        If shapes don't fit, a gain is negative or not finite, or nothing is relevant to anybody.

    Examples
    --------
    >>> from skml.recommendation import ndcg_at_k
    >>> float(ndcg_at_k([["tea", "milk", "rum"]], [["milk", "tea"]], k=3))
    1.0
    >>> ndcg_at_k([[4, 7, 1], [3, 9, 2]], [[7], [3]], k=3, average=False).round(3)
    array([0.631, 1.   ])
    >>> round(ndcg_at_k([[4, 7]], [[4, 7]], k=2, gains=[[1, 3]]), 3)
    0.797
    """
    return _average(ndcg_values(_compare(recommended, relevant, k, gains), k), average)


def recall_at_k(recommended, relevant, k=10, *, average=True):
    """Share of a user's relevant items that stand among the first k recommendations.

    Parameters
    ----------
    recommended : array-like of shape (n_users, n)
        As for :func:`ndcg_at_k`.
    relevant : sequence of n_users array-likes, or sparse matrix of shape (n_users, n_items)
        As for :func:`ndcg_at_k`; all that has a gain counts the same.
    k : int, default=10
        How many recommendations count. The divisor is the number of all relevant items, also where that exceeds k.
    average : bool, default=True
        Whether to return the mean over users; users without relevant items are left out of it.

    Returns
    -------
    recall : float or ndarray of shape (n_users,)
        In [0, 1]; per user it is NaN where nothing is relevant.

    Raises
    ------
    ValueError
        If shapes don't fit, or nothing is relevant to anybody.

    Examples
    --------
    >>> from skml.recommendation import recall_at_k
    >>> float(recall_at_k([[4, 7, 1], [3, 9, 2]], [[7, 8], [3]], k=2))
    0.75
    """
    return _average(recall_values(_compare(recommended, relevant, k), k), average)


def precision_at_k(recommended, relevant, k=10, *, average=True):
    """Share of the first k recommendations that are relevant.

    Parameters
    ----------
    recommended : array-like of shape (n_users, n)
        As for :func:`ndcg_at_k`.
    relevant : sequence of n_users array-likes, or sparse matrix of shape (n_users, n_items)
        As for :func:`ndcg_at_k`; all that has a gain counts the same.
    k : int, default=10
        The divisor, also for users who were recommended fewer items: what is lacking counts as a miss.
    average : bool, default=True
        Whether to return the mean over users; users without relevant items are left out of it.

    Returns
    -------
    precision : float or ndarray of shape (n_users,)
        In [0, 1]; per user it is NaN where nothing is relevant.

    Raises
    ------
    ValueError
        If shapes don't fit, or nothing is relevant to anybody.

    Examples
    --------
    >>> from skml.recommendation import precision_at_k
    >>> float(precision_at_k([[4, 7, 1], [3, 9, 2]], [[7, 8], [3, 9]], k=2))
    0.75
    """
    return _average(precision_values(_compare(recommended, relevant, k), k), average)


def map_at_k(recommended, relevant, k=10, *, average=True):
    """Mean average precision of the first k recommendations.

    A user's average precision is Σ_j [item j is relevant] precision@j / min(number of relevant items, k), over
    positions j = 1..k: 1 for the best possible list.

    Parameters
    ----------
    recommended : array-like of shape (n_users, n)
        As for :func:`ndcg_at_k`.
    relevant : sequence of n_users array-likes, or sparse matrix of shape (n_users, n_items)
        As for :func:`ndcg_at_k`; all that has a gain counts the same.
    k : int, default=10
        How many recommendations count.
    average : bool, default=True
        Whether to return the mean over users; users without relevant items are left out of it.

    Returns
    -------
    map : float or ndarray of shape (n_users,)
        In [0, 1]; per user it is NaN where nothing is relevant.

    Raises
    ------
    ValueError
        If shapes don't fit, or nothing is relevant to anybody.

    Examples
    --------
    >>> from skml.recommendation import map_at_k
    >>> map_at_k([[4, 7, 1], [3, 9, 2]], [[4, 1], [9]], k=3, average=False).round(3)
    array([0.833, 0.5  ])
    """
    return _average(map_values(_compare(recommended, relevant, k), k), average)


def mrr(recommended, relevant, k=None, *, average=True):
    """Mean reciprocal rank: 1 / the position of the first relevant recommendation, 0 if there is none.

    Parameters
    ----------
    recommended : array-like of shape (n_users, n)
        As for :func:`ndcg_at_k`.
    relevant : sequence of n_users array-likes, or sparse matrix of shape (n_users, n_items)
        As for :func:`ndcg_at_k`; all that has a gain counts the same.
    k : int or None
        How many recommendations count; None means all of them.
    average : bool, default=True
        Whether to return the mean over users; users without relevant items are left out of it.

    Returns
    -------
    mrr : float or ndarray of shape (n_users,)
        In [0, 1]; per user it is NaN where nothing is relevant.

    Raises
    ------
    ValueError
        If shapes don't fit, or nothing is relevant to anybody.

    Examples
    --------
    >>> from skml.recommendation import mrr
    >>> float(mrr([[4, 7, 1], [3, 9, 2]], [[7, 1], [3]]))
    0.75
    """
    return _average(mrr_values(_compare(recommended, relevant, k, or_none=True), k), average)


def coverage(recommended, catalogue, k=None):
    """Share of the catalogue that is recommended to anybody at all.

    Parameters
    ----------
    recommended : array-like of shape (n_users, n)
        Ids or codes of items, the best first. What is not in the catalogue, such as the id that fills short rows, is
        not counted.
    catalogue : int or array-like of shape (n_items,)
        The ids of all items; a number m stands for the codes 0 to m - 1.
    k : int or None
        How many recommendations of each user count; None means all of them.

    Returns
    -------
    coverage : float
        In [0, 1].

    Raises
    ------
    ValueError
        If the catalogue is empty, or shapes don't fit.

    Examples
    --------
    >>> from skml.recommendation import coverage
    >>> coverage([[0, 1], [1, 2], [2, -1]], 4)
    0.75
    """
    recommended = _lists(recommended)[:, : _checked(k, or_none=True)]
    catalogue = np.arange(catalogue) if isinstance(catalogue, Integral) else _ids(catalogue, "catalogue")
    if catalogue.size == 0:
        raise ValueError("The catalogue holds no items.")
    return covered(recommended, catalogue)


# -------------------------------------------------------------------------------------------------- input


def _compare(recommended, relevant, k, gains=None, *, or_none=False):
    recommended = _lists(recommended)[:, : _checked(k, or_none)]
    if sp.issparse(relevant):
        users, items, gains = _stored(relevant, gains)
        n_users = relevant.shape[0]
    else:
        n_users = len(relevant)
        users, items, gains = _flat(relevant, gains, recommended)
    if n_users != len(recommended):
        raise ValueError(f"recommended has {len(recommended)} users (rows), relevant has {n_users}.")
    if missing(items).any():
        raise ValueError("relevant holds None or NaN, which stand for no item.")
    return match(recommended, users, items, gains)


def _ids(values, name):
    return without_labels(as_column(values, name))


def _checked(k, or_none=False):
    if (k is None and or_none) or (isinstance(k, Integral) and not isinstance(k, bool) and k >= 1):
        return k
    raise ValueError(f"k must be a positive integer{' or None' if or_none else ''}, got {k!r}.")


def _lists(recommended):
    if isinstance(recommended, tuple) and any(np.ndim(one) > 1 for one in recommended if isinstance(one, np.ndarray)):
        raise ValueError(
            "recommended is a tuple of arrays, such as recommend gives of ids and scores; the ids alone are wanted, "
            "recommend(..., return_scores=False)."
        )
    if not hasattr(recommended, "shape"):
        recommended = _rows(recommended, "recommended")
        if len({len(row) for row in recommended}) > 1:
            raise ValueError("Rows of recommended differ in length; fill them with an id that no item has, like -1.")
        flat = _ids(list(chain.from_iterable(recommended)), "recommended")
        recommended = flat.reshape(len(recommended), -1) if len(flat) else np.empty((len(recommended), 0))
    recommended = np.asarray(recommended)
    if recommended.ndim != 2:
        raise ValueError(f"recommended must have shape (n_users, n), got {recommended.shape}.")
    return recommended


def _stored(relevant, gains):
    if gains is not None:
        raise ValueError("A sparse matrix of relevant items holds their gains itself; leave gains=None.")
    relevant = sp.coo_array(relevant)
    _check_gains(relevant.data.astype(np.float64))
    kept = relevant.data > 0
    users, items = (index[kept].astype(np.intp) for index in relevant.coords)
    return users, items, relevant.data[kept].astype(np.float64)


def _rows(lists, name):
    rows = list(lists)
    if wrong := [row for row in rows if isinstance(row, (str, bytes)) or not hasattr(row, "__len__")]:
        raise ValueError(f"{name} must hold a list of ids for each user, got {wrong[0]!r} in place of one.")
    return rows


def _refuse_indicators(items, lengths, recommended):
    """Refuse a dense matrix whose columns are items, which would be taken for ids: numbers of which 0 or 1 recurs.

    It has a column for each item that is recommended; where it has not, these are ids, of which some recur.
    """
    if not (items.size and is_numeric(items)) or len(set(lengths.tolist())) > 1:
        return
    if items.dtype.kind != "b" and recommended.size and is_numeric(recommended) and (recommended >= lengths[0]).any():
        return
    rows = items.reshape(len(lengths), -1)
    if items.dtype.kind == "b" or any(((rows == value).sum(axis=1) > 1).any() for value in (0, 1)):
        raise ValueError(
            "relevant must hold the ids of each user's relevant items, and names 0 or 1 more than once. If it is a "
            "matrix of gains, whose columns are items, give it sparse, scipy.sparse.csr_array(relevant); columns are "
            "then the items' codes. If these are ids, name each once."
        )


def _flat(relevant, gains, recommended):
    rows = [_ids(row, "relevant") for row in _rows(relevant, "relevant")]
    lengths = np.array([len(row) for row in rows], dtype=np.intp)
    users = np.repeat(np.arange(len(rows)), lengths)
    items = _ids(list(chain.from_iterable(row.tolist() for row in rows)), "relevant")
    _refuse_indicators(items, lengths, recommended)
    if gains is None:
        return users, items, None
    given = [np.asarray(row, dtype=np.float64) for row in gains]
    if len(given) != len(rows) or any(len(row) != length for row, length in zip(given, lengths)):
        raise ValueError("gains must hold one number for each relevant item of each user.")
    gains = np.concatenate([*given, np.empty(0)])
    _check_gains(gains)
    return users, items, gains


def _check_gains(gains):
    if not (np.isfinite(gains).all() and (gains >= 0).all()):
        raise ValueError("Gains must be finite and not negative; shift the ratings, or use 2**rating - 1.")


def _average(values, average):
    if not average:
        return values
    known = ~np.isnan(values)
    if not known.any():
        raise ValueError("Nothing is relevant to any user: there is nothing to measure.")
    return float(values[known].mean())
