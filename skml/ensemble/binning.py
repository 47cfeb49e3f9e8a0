"""Bins: each value of a feature becomes one byte, once for a whole forest."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp

from skml import _kernels
from skml.ensemble.side_by_side import in_order

MISSING = 255  # the code of NaN
UNKNOWN = 254  # the code of categories that were not there when the bins were made
# Up to so many features a row's codes lie together (a cache line serves all of them); beyond, both orders are kept.
TOGETHER = 64
_NO_CODES = np.empty((0, 0), np.uint8)
_IN_A_WORD = 48  # features of a packed row
_WIDEST = 65_535  # features of rows that are packed
# Rows are packed if at most this share of their codes, by a sample of so many, differs from their feature's commonest.
_RARE, _SAMPLE = 0.4, 1024
_A_BLOCK = 1 << 20  # values encoded at a time
# Below so many values, a thread costs more than it saves.
_ALONE = 50_000
_SIDE_BY_SIDE = 16  # columns copied at a time: about as many values as come with each from memory
_AT_ONCE = 256  # columns of sparse rows looked at together


@dataclass(frozen=True)
class Bins:
    """Where the values of each feature are cut.

    Attributes
    ----------
    edges : ndarray of shape (n_edges,)
        Of all features, ascending within each. A number up to the edge of a bin and above the one before is in that
        bin; the last edge is infinity. The edges of a category are its values.
    starts : ndarray of shape (n_features + 1,), int64
        Where each feature's edges begin, and the end.
    category_codes : ndarray of shape (n_edges,), uint8
        The code of each category.
    categorical : ndarray of shape (n_features,), uint8
        1 for categories.
    unknown : ndarray of shape (n_features,), uint8
        The code of other categories.
    """

    edges: np.ndarray
    starts: np.ndarray
    category_codes: np.ndarray
    categorical: np.ndarray
    unknown: np.ndarray

    def of(self, feature):
        """Return the edges of a feature."""
        return self.edges[self.starts[feature] : self.starts[feature + 1]]

    def parts(self):
        """Return what the kernels take."""
        return self.edges, self.starts, self.category_codes, self.categorical, self.unknown


@dataclass(frozen=True)
class Packed:
    """The codes of a table that are not their feature's commonest, by row for small nodes and by column for large ones.

    Attributes
    ----------
    words : ndarray of shape (n_rows, n_words), uint64
        For each 48 features the bits of those that have a code here, and above them how many come before.
    starts : ndarray of shape (n_rows + 1,), int64
        Where each row's codes begin, and the end.
    codes : ndarray of shape (n_codes,), uint8
        Row by row.
    column_words : ndarray of shape (n_features, n_column_words), uint64
        For each 64 rows the bits of those that have a code here.
    column_starts : ndarray of shape (n_features + 1,), int64
        Where each feature's codes begin, and the end.
    column_codes : ndarray of shape (n_codes,), uint8
        Column by column.
    """

    words: np.ndarray
    starts: np.ndarray
    codes: np.ndarray
    column_words: np.ndarray
    column_starts: np.ndarray
    column_codes: np.ndarray

    def rows(self):
        """Return the arrays by row."""
        return self.words, self.starts, self.codes


@dataclass(frozen=True)
class Table:
    """Binned rows to grow trees from: dense codes, packed rows, or the columns of sparse ones.

    Attributes
    ----------
    codes : ndarray of shape (n_rows, n_features), uint8
        In either order; empty if packed or sparse.
    by_row : ndarray of shape (n_rows, n_features), uint8, C-contiguous
        The same once more if `codes` keeps the features together; else empty.
    starts, entry_rows, entry_codes, zero_codes : ndarray
        The columns of sparse rows, and the code that zero has in each feature, of packed rows the commonest one; else
        empty.
    bins : Bins
        What the codes mean.
    n_rows : int
        The number of rows.
    packed : Packed or None
        What packed rows hold.
    """

    codes: np.ndarray
    by_row: np.ndarray
    starts: np.ndarray
    entry_rows: np.ndarray
    entry_codes: np.ndarray
    zero_codes: np.ndarray
    bins: Bins
    n_rows: int
    packed: Packed | None = None

    @property
    def categorical(self):
        """Whether each feature is one of categories."""
        return self.bins.categorical

    @property
    def edges(self):
        """The edges of all features."""
        return self.bins.edges

    @property
    def edge_starts(self):
        """Where the edges of each feature begin."""
        return self.bins.starts


def find_bins(X, weights, categorical, max_bins, n_threads):
    """Choose the bins of each feature by the quantiles of its values.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_rows, n_features)
        NaN is missing.
    weights : ndarray of shape (n_rows,)
        How often each row counts; with 0, not at all.
    categorical : ndarray of shape (n_features,), bool
        Which features hold categories.
    max_bins : int
        At most so many bins, or categories with a code of their own; a feature with fewer values is kept exactly.
    n_threads : int
        Features are looked at side by side.

    Returns
    -------
    bins : Bins
        The bins.
    """
    categorical = np.asarray(categorical)
    if sp.issparse(X):
        columns, total, step = X.tocsc(), weights.sum(), _AT_ONCE
    else:
        even, step = np.all(weights == 1), _SIDE_BY_SIDE

    def look(first):
        some = slice(first, min(first + step, X.shape[1]))
        if sp.issparse(X):
            return _of_entries(columns[:, some], weights, total, categorical[some], max_bins)
        found = (_distinct(column, weights, even) for column in np.ascontiguousarray(X[:, some].T))
        return [_bins_of(*one, by_name, max_bins) for one, by_name in zip(found, categorical[some])]

    firsts = range(0, X.shape[1], step)
    if n_threads > 1 and X.shape[0] * X.shape[1] > 100_000:
        with ThreadPoolExecutor(n_threads) as pool:
            groups = list(pool.map(look, firsts))
    else:
        groups = [look(first) for first in firsts]
    found = [one for group in groups for one in group]
    starts = np.append(0, np.cumsum([len(edges) for edges, _ in found])).astype(np.int64)
    edges, codes = (np.concatenate(parts) for parts in zip(*found))
    return Bins(edges, starts, codes, categorical.astype(np.uint8), np.full(X.shape[1], UNKNOWN, np.uint8))


def lacking(table):
    """Return which features have missing values.

    Parameters
    ----------
    table : Table
        Binned rows.

    Returns
    -------
    found : ndarray of shape (n_features,), bool
        Whether any row lacks the feature.
    """
    if table.codes.size:
        return table.codes.max(axis=0) == MISSING
    if table.packed is not None:
        return _lacking_packed(table)
    found = np.zeros(len(table.categorical), bool)
    found[np.repeat(np.arange(len(found)), np.diff(table.starts))[table.entry_codes == MISSING]] = True
    return found


def _lacking_packed(table):
    found = table.zero_codes == MISSING
    if np.any(table.packed.codes == MISSING):
        for rows in _blocks(np.arange(table.n_rows), len(found)):
            found |= row_codes(table, rows).max(axis=0) == MISSING
    return found


def _bins_of(values, counts, categorical, max_bins):
    """Return the edges of a feature, and the codes of its categories."""
    if categorical:
        return _categories(values, counts, max_bins)
    edges = _cuts(values, counts, max_bins)
    return edges, np.zeros(len(edges), np.uint8)


def _of_entries(columns, weights, total, categorical, max_bins):
    """Return the edges and codes of sparse columns; those of few entries keep all values, and are read at once."""
    sizes = np.diff(columns.indptr)
    few, n_counted = sizes < min(max_bins, UNKNOWN), np.count_nonzero(weights)
    edges, codes, lengths = _of_few(columns[:, few], weights, categorical[few])
    ends = np.cumsum(lengths)
    kept = ((edges[begin:end], codes[begin:end]) for begin, end in zip(ends - lengths, ends))

    def of_many(f):
        entries = slice(columns.indptr[f], columns.indptr[f + 1])
        values, counts = columns.data[entries], weights[columns.indices[entries]]
        if np.count_nonzero(counts) < n_counted:  # by number: what is left of the sum may be rounding
            rest = max(total - counts.sum(), np.finfo(float).tiny)
            values, counts = np.append(values, values.dtype.type(0)), np.append(counts, rest)
        return _bins_of(*_distinct(values, counts, False), categorical[f], max_bins)

    return [next(kept) if short else of_many(f) for f, short in enumerate(few)]


def _of_few(columns, weights, categorical):
    """Return the edges and codes of sparse columns, one after the other, all values told apart; and each one's number.

    A column of nothing but NaN has an edge at infinity.
    """
    n_features = columns.shape[1]
    features = np.repeat(np.arange(n_features), np.diff(columns.indptr))
    counted = weights[columns.indices] > 0
    held = np.bincount(features[counted], minlength=n_features)
    known = counted & ~np.isnan(columns.data)
    zeros = np.flatnonzero(held < np.count_nonzero(weights))  # these have rows without an entry
    features = np.concatenate([features[known], zeros])
    values = np.concatenate([columns.data[known].astype(np.float64), np.zeros(len(zeros))]) + 0.0  # no -0.0
    empty = np.flatnonzero(np.bincount(features, minlength=n_features) == 0)
    features, values = np.append(features, empty), np.append(values, np.full(len(empty), np.inf))
    order = np.lexsort((values, features))
    features, values = features[order], values[order]
    new = np.append(True, (features[1:] != features[:-1]) | (values[1:] != values[:-1]))[: len(order)]
    features, values = features[new], values[new]
    lengths = np.bincount(features, minlength=n_features)
    ends = np.cumsum(lengths)
    cuts = _between(values, np.append(values[1:], np.inf))
    cuts[ends - 1] = np.inf
    ranks = np.arange(len(values)) - np.repeat(ends - lengths, lengths)
    named = categorical[features]
    return np.where(named, values, cuts), np.where(named, ranks, 0).astype(np.uint8), lengths


def _distinct(values, counts, even):
    """Return the distinct known values of a feature, ascending, and how often each counts."""
    known = ~np.isnan(values) if even else ~np.isnan(values) & (counts > 0)
    if not known.all():
        values, counts = values[known], counts[known]
    if (counted := _counted(values, None if even else counts)) is not None:
        return counted
    if even:
        values = np.sort(values)
    else:
        order = np.argsort(values, kind="stable")
        values, counts = values[order], counts[order]
    first = np.flatnonzero(np.append(len(values) > 0, values[1:] != values[:-1]))
    totals = np.diff(np.append(first, len(values))) if even else _sums(counts, first)
    return values[first].astype(np.float64), totals


def _counted(values, counts):
    """Return what `_distinct` does of whole numbers that lie close together, without sorting them; else None."""
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, np.inf)
    if not (high - low < len(values) and abs(low) < 2**31):
        return None
    places = values.astype(np.uint16 if low >= 0 and high < 2**16 else np.int64)  # of short ones the copy is quick
    if np.any(places.astype(values.dtype) != values):
        return None
    places -= places.dtype.type(low)
    times = np.bincount(places)
    held = np.flatnonzero(times)
    return held + low, (times if counts is None else np.bincount(places, counts))[held]


def _sums(counts, first):
    return np.add.reduceat(counts, first) if len(first) else counts[:0]


def _cuts(values, counts, max_bins):
    """Return the edges of a number: between all values, or near the quantiles."""
    if len(values) <= max_bins:
        below = np.arange(len(values) - 1)
    else:
        reached = np.cumsum(counts, dtype=np.float64)
        wanted = reached[-1] * np.arange(1, max_bins) / max_bins
        below = np.unique(np.searchsorted(reached, wanted))
        below = below[below < len(values) - 1]
    return np.append(_between(values[below], values[below + 1]), np.inf)


def _between(low, high):
    """Return numbers in the middle, at least the low ones and below the high ones."""
    middle = low / 2 + high / 2
    return np.where((middle >= low) & (middle < high), middle, low)


def _categories(values, counts, max_bins):
    """Return the values of categories and their codes; beyond `max_bins` the rare ones share the last code."""
    most = min(max_bins, UNKNOWN)
    codes = np.arange(len(values))
    if len(values) > most:
        codes = np.full(len(values), most - 1)
        frequent = np.sort(np.lexsort((values, -counts))[: most - 1])
        codes[frequent] = np.arange(most - 1)
    if len(values) == 0:
        values, codes = np.array([np.inf]), np.zeros(1)
    return values, codes.astype(np.uint8)


def encode(bins, X, n_threads):
    """Return the codes of rows, each row's together.

    Parameters
    ----------
    bins : Bins
        The bins.
    X : ndarray or CSR matrix of shape (n_rows, n_features)
        Rows; sparse ones are made dense, a byte per value.
    n_threads : int
        How many threads work, if there is enough to do.

    Returns
    -------
    codes : ndarray of shape (n_rows, n_features), uint8, C-contiguous
        255 for NaN.
    """
    n_threads = n_threads if X.shape[0] * X.shape[1] > _ALONE else 1
    if sp.issparse(X):
        codes = np.empty(X.shape, np.uint8)
        codes[:] = _zero_codes(bins, n_threads)
        rows = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))
        codes[rows, X.indices] = _entry_codes(bins, X.data, X.indices, n_threads)
        return codes
    codes = np.empty(X.shape, np.uint8)
    _kernels.bins.encode(X, *bins.parts(), codes, n_threads)
    return codes


def tabulate(bins, X, n_threads, index=None):
    """Return rows as trees are grown from them.

    Parameters
    ----------
    bins : Bins
        The bins.
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        Rows.
    n_threads : int
        How many threads work.
    index : ndarray of shape (n_rows,), int, or None, default=None
        Which rows, in the order of the table; None takes all.

    Returns
    -------
    table : Table
        Their codes; sparse rows stay sparse.
    """
    none, index = np.empty(0, np.uint8), np.arange(X.shape[0]) if index is None else index
    if sp.issparse(X):
        columns = X[index].tocsc()
        features = np.repeat(np.arange(X.shape[1], dtype=np.int32), np.diff(columns.indptr))
        codes = _entry_codes(bins, columns.data, features, n_threads)
        starts, rows = columns.indptr.astype(np.int64), columns.indices.astype(np.int32)
        return Table(_NO_CODES, _NO_CODES, starts, rows, codes, _zero_codes(bins, n_threads), bins, len(index))
    parts = _blocks(index, X.shape[1])
    within = n_threads if len(parts) == 1 else 1
    blocks = in_order(lambda rows: encode(bins, X[rows], within), parts, n_threads if len(parts) > 1 else 1)
    common, rare = _commonest(bins, X, index)
    if TOGETHER < X.shape[1] <= _WIDEST and rare <= _RARE:
        return _packed(bins, blocks, common, len(index))
    codes, by_row, at = np.empty((len(index), X.shape[1]), np.uint8), _NO_CODES, 0
    for block in blocks:
        codes[at : at + len(block)] = block
        at += len(block)
    if X.shape[1] > TOGETHER:
        codes, by_row = _flipped(codes), codes
    return Table(codes, by_row, np.empty(0, np.int64), np.empty(0, np.int32), none, none, bins, len(index))


def _blocks(rows, n_features):
    """Return rows, some at a time."""
    step = max(1, _A_BLOCK // n_features)
    return [rows[first : first + step] for first in range(0, len(rows), step)]


def _commonest(bins, X, index):
    """Return each feature's commonest code in a sample of rows, and the share of the codes that are others."""
    if X.shape[1] <= TOGETHER:
        return None, 1.0
    codes = encode(bins, X[index[:: -(-len(index) // _SAMPLE)]], 1)
    times = [np.bincount(column, minlength=1) for column in np.ascontiguousarray(codes.T)]
    common = np.array([one.argmax() for one in times], np.uint8)
    return common, float(np.mean(codes != common))


def _packed(bins, blocks, common, n_rows):
    """Return a table of packed rows."""
    p, held, at = len(common), [], 0
    words, starts = np.empty((n_rows, -(-p // _IN_A_WORD)), np.uint64), np.zeros(n_rows + 1, np.int64)
    for block in blocks:
        room, end = np.empty(block.size, np.uint8), at + len(block)
        before = starts[at]
        _kernels.bins.pack(block, common, words[at:end], starts[at : end + 1], room)
        held.append(room[: starts[end]].copy())
        starts[at : end + 1] += before
        at = end
    codes = np.concatenate(held)
    held.clear()
    columns = np.zeros((p, -(-n_rows // 64)), np.uint64), np.empty(p + 1, np.int64), np.empty(len(codes), np.uint8)
    _kernels.bins.turn(words, starts, codes, *columns)
    none = np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.uint8)
    return Table(_NO_CODES, _NO_CODES, *none, common, bins, n_rows, Packed(words, starts, codes, *columns))


def _flipped(codes):
    """Return the codes with each feature's together, some rows at a time so that they stay in the cache."""
    flipped = np.empty(codes.shape, np.uint8, order="F")
    for first in range(0, len(codes), 256):
        flipped[first : first + 256] = codes[first : first + 256]
    return flipped


def row_codes(table, rows):
    """Return the codes of some rows of a table, each row's together.

    Parameters
    ----------
    table : Table
        Binned rows.
    rows : ndarray of shape (n,), int
        Which ones, ascending.

    Returns
    -------
    codes : ndarray of shape (n, n_features), uint8, C-contiguous
        Their codes.
    """
    if table.packed is not None:
        codes = np.empty((len(rows), len(table.zero_codes)), np.uint8)
        _kernels.bins.unpack(*table.packed.rows(), table.zero_codes, np.asarray(rows, np.int32), codes)
        return codes
    if len(table.starts) == 0:
        return np.ascontiguousarray((table.by_row if len(table.by_row) else table.codes)[rows])
    codes = np.empty((len(rows), len(table.zero_codes)), np.uint8)
    codes[:] = table.zero_codes
    at = np.searchsorted(rows, table.entry_rows)
    held = np.flatnonzero(rows[np.minimum(at, len(rows) - 1)] == table.entry_rows) if len(rows) else at[:0]
    features = np.repeat(np.arange(codes.shape[1]), np.diff(table.starts))
    codes[at[held], features[held]] = table.entry_codes[held]
    return codes


def kept_rows(table):
    """Return a table to keep: dense codes once, each row's together.

    Parameters
    ----------
    table : Table or None
        Binned rows; None stays None.

    Returns
    -------
    table : Table or None
        The same rows.
    """
    if table is None or len(table.by_row) == 0:
        return table
    return replace(table, codes=table.by_row, by_row=_NO_CODES)


def _zero_codes(bins, n_threads):
    codes = np.empty((1, len(bins.categorical)), np.uint8)
    _kernels.bins.encode(np.zeros(codes.shape), *bins.parts(), codes, n_threads)
    return codes[0]


def _entry_codes(bins, data, features, n_threads):
    codes = np.empty(len(data), np.uint8)
    _kernels.bins.encode_entries(data, features.astype(np.int32, copy=False), *bins.parts(), codes, n_threads)
    return codes
