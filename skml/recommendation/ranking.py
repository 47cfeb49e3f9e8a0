"""The best items for many users, a block of users at a time, never all users x items at once."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from skml import _kernels
from skml._kernels import blas_threads
from skml.base import chunk_slices
from skml.recommendation.metrics import match, ndcg_values
from skml.recommendation.ratings import Ratings
from skml.recommendation.reconstruction import row_products
from skml.recommendation.slices import threads_for

# A block of scores, one for each thread, stays near the processor's caches, whatever memory would be allowed.
_BLOCK_BYTES = 1 << 24

_thread = threading.local()


def blocks_of(n_users, n_items, itemsize=8):
    """Yield slices of users whose scores take a few megabytes, within ``working_memory``."""
    least = -(-n_users * n_items * itemsize // _BLOCK_BYTES)
    size = max(1, -(-n_users // max(1, least)))
    for rows in chunk_slices(n_users, n_items * itemsize):
        for start in range(rows.start, rows.stop, size):
            yield slice(start, min(start + size, rows.stop))


def best_of_scores(scores, n, hidden, n_threads):
    """Return the n columns of highest score per row.

    Parameters
    ----------
    scores : ndarray of shape (n_rows, n_columns), float32 or float64
        Of equal scores the lower column comes first; NaN come last.
    n : int
        How many.
    hidden : (ndarray, ndarray) or None
        The columns to leave out, as CSR's indptr and indices (int32, ascending within a row).
    n_threads : int
        For the kernel.

    Returns
    -------
    columns : ndarray of shape (n_rows, n), int32
        -1 where none is left.
    best : ndarray of shape (n_rows, n)
        Their scores; NaN where none is left.
    """
    scores = np.ascontiguousarray(scores)
    n_rows = len(scores)
    indptr, indices = (np.zeros(n_rows + 1, np.int32), np.empty(0, np.int32)) if hidden is None else hidden
    width = min(n, scores.shape[1])
    columns, best = np.empty((n_rows, width), np.int32), np.empty((n_rows, width), scores.dtype)
    _kernels.topk.top_items(scores, indptr, indices, columns, best, threads_for(scores.size, n_threads))
    if width < n:
        columns = np.pad(columns, ((0, 0), (0, n - width)), constant_values=-1)
        best = np.pad(best, ((0, 0), (0, n - width)), constant_values=np.nan)
    return columns, best


def best_items(score, users, n, seen, candidates, n_threads):
    """Return the best items for users, block by block.

    Parameters
    ----------
    score : callable
        ``score(rows, candidates)`` gives the scores of a slice of the users for the candidates, or for all items
        where these are None.
    users : int
        How many users there are.
    n : int
        How many items each gets.
    seen : Ratings
        The items to leave out, one row for each user; its `n_columns` says how many items there are.
    candidates : ndarray of int32 or None
        Items to choose from, ascending; None means all of `seen`.
    n_threads : int
        For the kernel.

    Returns
    -------
    items : ndarray of shape (users, n), int32
        Codes, -1 where none is left.
    scores : ndarray of shape (users, n)
        NaN where none is left.
    """
    width = seen.n_columns if candidates is None else len(candidates)
    kept = min(n, max(width, 1))

    def best_of(rows, n_threads):
        scores = score(rows, candidates)
        columns, best = best_of_scores(scores, kept, hidden_columns(seen, rows, candidates), n_threads)
        return (columns if candidates is None else np.append(candidates, np.int32(-1))[columns]), best

    parts = _each(best_of, list(blocks_of(users, width)), n_threads)
    if not parts:
        return np.empty((0, n), np.int32), np.empty((0, n))
    return tuple(_widened(np.concatenate(part), n, empty) for part, empty in zip(zip(*parts), (-1, np.nan)))


def _widened(best, n, empty):
    """Return answers with as many columns as were asked for."""
    if best.shape[1] == n:
        return best
    return np.pad(best, ((0, 0), (0, n - best.shape[1])), constant_values=empty)


def _each(function, blocks, n_threads):
    """Return ``function(block, threads)`` of all blocks; each of several blocks has one thread for all it does."""
    with blas_threads(1):
        if n_threads == 1 or len(blocks) < 2:
            return [function(block, n_threads) for block in blocks]
        with ThreadPoolExecutor(min(n_threads, len(blocks)), initializer=_begin_thread) as pool:
            return list(pool.map(lambda block: function(block, 1), blocks))


def _begin_thread():
    _thread.is_one_of_many = True


def is_one_of_many():
    """Tell whether this thread is one of those that share blocks of users, and should start no others."""
    return getattr(_thread, "is_one_of_many", False)


def hidden_columns(seen, rows, candidates):
    """Return indptr and indices of the columns that a slice of users has seen, columns being the candidates."""
    indptr = seen.indptr[rows.start : rows.stop + 1]
    indices = seen.indices[indptr[0] : indptr[-1]]
    indptr = indptr - indptr[0]
    if candidates is None:
        return indptr, indices
    places = np.full(seen.n_columns, -1, np.int32)
    places[candidates] = np.arange(len(candidates), dtype=np.int32)
    places = places[indices]
    kept = places >= 0
    return np.append(np.int32(0), np.cumsum(kept, dtype=np.int32))[indptr], places[kept]


def take_rows(ratings, users):
    """Return the rows of some users; -1 gives an empty row.

    Parameters
    ----------
    ratings : Ratings
        By user.
    users : ndarray of shape (n,), int32
        Codes, repeated ones allowed.

    Returns
    -------
    ratings : Ratings
        A row for each.
    """
    users = np.asarray(users)
    starts = ratings.indptr[users]
    counts = np.where(users >= 0, ratings.indptr[np.maximum(users, 0) + 1] - starts, 0)
    indptr = np.append(0, np.cumsum(counts))
    places = np.repeat(starts - indptr[:-1], counts) + np.arange(indptr[-1])
    weights = None if ratings.weights is None else ratings.weights[places]
    return Ratings(indptr.astype(np.int32), ratings.indices[places], ratings.data[places], weights, ratings.n_columns)


def closest_rows(vectors, rows, n, n_threads):
    """Return the rows of largest cosine with some rows, themselves left out.

    Parameters
    ----------
    vectors : ndarray or CSR matrix of shape (n_vectors, n_features)
        A row of zeros has cosine 0 with all.
    rows : ndarray of shape (n_rows,), int32
        Which to compare with all; -1 finds nothing.
    n : int
        How many.
    n_threads : int
        For the kernel.

    Returns
    -------
    places : ndarray of shape (n_rows, n), int32
        Row numbers, -1 where none is left.
    cosines : ndarray of shape (n_rows, n)
        NaN where none is left.
    """
    normed, known = unit_rows(vectors), np.flatnonzero(rows >= 0)
    places = np.full((len(rows), n), -1, np.int32)
    cosines, kept = np.full((len(rows), n), np.nan, vectors.dtype), min(n, vectors.shape[0])
    for block in blocks_of(len(known), vectors.shape[0]):
        asked = known[block]
        if isinstance(normed, np.ndarray):
            products = row_products(normed[rows[asked]], normed, n_threads)
        else:
            products = (normed[rows[asked]] @ normed.T).toarray()
        own = np.arange(len(asked) + 1, dtype=np.int32), rows[asked]
        places[asked, :kept], cosines[asked, :kept] = best_of_scores(products, kept, own, n_threads)
    return places, cosines


def unit_rows(vectors):
    """Return rows of length 1, dense or CSR; rows of zeros stay zero."""
    dense = isinstance(vectors, np.ndarray)
    lengths = np.sqrt((vectors * vectors).sum(axis=1))
    inverse = np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    if dense:
        return vectors * inverse[:, np.newaxis]
    scaled = vectors.copy()
    scaled.data = scaled.data * np.repeat(inverse, np.diff(vectors.indptr))
    return scaled


def in_order(scores, codes):
    """Return the order of each row's scores, largest first, NaN last; of equal ones the lower code, -1 last."""
    codes = np.where(codes < 0, np.iinfo(np.int32).max, codes)
    by_code = np.argsort(codes, kind="stable")
    return by_code[np.argsort(-scores[:, by_code], axis=1, kind="stable")]


def ndcg_without(score, relevant, seen, n_threads, k=10):
    """Return the mean normalised discounted cumulative gain at k, gains being 0 or 1 (Jarvelin & Kekalainen 2002).

    Parameters
    ----------
    score : callable
        As for :func:`best_items`.
    relevant : Ratings
        The items to find, a row for each user; users without any do not count. Those that cannot be recommended, as
        they have been seen or their codes are beyond the columns of `seen`, are missed.
    seen : Ratings
        Items that are not recommended; a row for each user.
    n_threads : int
        For the kernel.
    k : int, default=10
        How many recommendations are looked at.

    Returns
    -------
    ndcg : float
        From 0 to 1, NaN if nobody has relevant items.
    """
    items, scores = best_items(score, relevant.n_rows, k, seen, None, n_threads)
    hits = match(items, relevant.rows(), relevant.indices, None, (items >= 0) & ~np.isnan(scores))
    values = ndcg_values(hits, k)
    return float(np.mean(values[~np.isnan(values)])) if len(hits.users) else np.nan
