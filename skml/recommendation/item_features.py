"""Attributes of items: a table of numbers, categories and text becomes one matrix, a row for each item."""

from dataclasses import dataclass
from datetime import date, time, timedelta
from numbers import Number

import numpy as np
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skml.base import check_sparse_structure
from skml.recommendation.ids import find, listed, merge_ids, missing, other_kind
from skml.recommendation.tables import as_column, column_names, no_time, refuse_times, without_labels

_PLAIN = (str, bytes, Number, np.generic)
_WHERE = (
    "Ids of item_features are the index of a DataFrame, else the row numbers, unless id_column names a column that "
    "holds them (where there is such a parameter), or item_features is a pair (ids, table)."
)
_TIMES = (date, time, timedelta, np.datetime64, np.timedelta64)
_DENSE_COLUMNS = 64  # so narrow a matrix is worked on as a dense one


@dataclass(frozen=True)
class ItemFeatures:
    """Attributes of items, and how to make them of a table.

    Attributes
    ----------
    ids : ndarray of shape (n_items,)
        The items of training in their order, then those that only the table knows, in its order.
    matrix : ndarray or CSR of shape (n_items, n_attributes)
        Finite floats.
    names : ndarray of str of shape (n_attributes,)
        What the columns are.
    transformer : estimator or None
        Fitted; turns a table into the matrix. None: the table is the matrix.
    reader : _Reader
        How the table holds ids and columns.
    """

    ids: np.ndarray
    matrix: object
    names: np.ndarray
    transformer: object
    reader: object


def fit_item_features(
    features, item_ids, *, transformer=None, text=(), id_column=None, absent="error", dtype=np.float64
):
    """Read the attributes of items.

    Parameters
    ----------
    features : DataFrame, array-like or sparse matrix of shape (n_rows, n_columns), or pair (ids, table)
        A row for each item. The ids are the index of a pandas DataFrame, the column `id_column`, or the first of the
        pair. Where there is none of these, row j is the item whose id is the integer j.
    item_ids : ndarray of shape (n_items,)
        The distinct items of training. Other rows of the table are new items, which nobody has rated.
    transformer : transformer or None, default=None
        Makes numbers of the table without its ids, e.g. a ColumnTransformer; a clone of it is fitted on the items of
        training. None: numbers are standardised, missing ones replaced by the mean; categories (text, objects, pandas
        and polars categories, booleans) are one-hot, a missing one being one more; columns of `text` are tf-idf. A
        sparse matrix is taken as it is.
    text : str, int or sequence of these, default=()
        Columns to take as text; for the default transformer.
    id_column : str, int or None, default=None
        The column that holds the ids.
    absent : {"error", "zeros"}, default="error"
        What to do with items of training that have no row: refuse, or give them zeros (with standardised numbers
        those are the mean; of categories and words they have none).
    dtype : dtype, default=float64
        The type of the matrix.

    Returns
    -------
    item_features : ItemFeatures
        The attributes of the items of training and of the new ones.

    Raises
    ------
    ValueError
        If items of training are absent, an item has two rows, or the matrix is not finite numbers.
    """
    reader = _Reader(id_column, _columns_of(text), transformer, column_names(_split_pair(features)[1]))
    ids, table = reader.read(features)
    if words := other_kind(ids, item_ids, find(ids, item_ids)):
        raise ValueError(f"The ids of item_features {words}; use one type. {_WHERE}")
    all_ids, _, codes = merge_ids(item_ids, ids, "The ids of items", ordered=False)
    rows = np.full(len(all_ids), -1)
    rows[codes] = np.arange(len(ids))
    own = rows[: len(item_ids)]
    check_absent(item_ids, own, absent)
    transformer = reader.fitted(_take(table, own[own >= 0]))
    matrix = rows_or_zeros(_made(table, transformer, dtype), rows)
    return ItemFeatures(all_ids, matrix, _names(transformer, reader, matrix.shape[1]), transformer, reader)


def transform_item_features(item_features, features):
    """Return the attributes of items of another table, made as at fit.

    Parameters
    ----------
    item_features : ItemFeatures
        From :func:`fit_item_features`.
    features : DataFrame, array-like or sparse matrix of shape (n_rows, n_columns), or pair (ids, table)
        With the same columns; ids where it held them at fit.

    Returns
    -------
    ids : ndarray of shape (n_rows,)
        The items.
    matrix : ndarray or CSR of shape (n_rows, n_attributes)
        Their attributes; sparse where those of training are.

    Raises
    ------
    ValueError
        If columns are missing, an item has two rows, or the matrix is not finite numbers.
    """
    ids, table = item_features.reader.read(features)
    matrix = _made(table, item_features.transformer, item_features.matrix.dtype)
    if matrix.shape[1] != len(item_features.names):
        raise ValueError(f"item_features has {matrix.shape[1]} columns; at fit there were {len(item_features.names)}.")
    if sp.issparse(item_features.matrix):
        return ids, sp.csr_array(matrix)
    return ids, matrix.toarray() if sp.issparse(matrix) else matrix


# ------------------------------------------------------------------------------------- ids and their rows


@dataclass(frozen=True)
class _Reader:
    """How a table of attributes is read.

    Attributes
    ----------
    id_column : str, int or None
        Where the ids are, if in a column.
    text : list
        Columns of text.
    given : transformer or None
        The user's.
    columns : list or None
        The columns of the table at fit, ids included.
    """

    id_column: object
    text: list
    given: object
    columns: list | None

    def read(self, features):
        """Return the ids and the table without them; columns in the order of fit."""
        ids, table = _split_pair(features)
        if not hasattr(table, "shape"):
            _check_rows(table)
            table = np.asarray(table) if not _mixed(table) else np.array([list(row) for row in table], dtype=object)
        if len(table.shape) != 2:
            raise ValueError(f"item_features must have shape (n_rows, n_columns), got {tuple(table.shape)}.")
        if sp.issparse(table):
            check_sparse_structure(table)
            table = table.tocsr()
        table = self._in_order(table)
        if ids is None:
            ids, table = self._own_ids(table)
        ids = without_labels(as_column(ids, "The ids of item_features"))
        ids = as_column(ids.tolist(), "The ids of item_features") if ids.dtype == object else ids
        _check_ids(ids, table.shape[0])
        if self.given is not None or sp.issparse(table):
            return ids, table
        table = _as_objects(table)
        for i in self._text_positions(table):
            table[:, i] = [value if isinstance(value, str) else _as_text(value) for value in table[:, i]]
        return ids, table

    def _in_order(self, table):
        names = column_names(table)
        if self.columns is None or names is None or names == self.columns:
            return table
        if lacking := [name for name in self.columns if name not in names]:
            raise ValueError(f"item_features lacks the columns {listed(lacking)}.")
        return table[self.columns]

    def _own_ids(self, table):
        if self.id_column is not None:
            return _without_column(table, _index_of(table, self.id_column))
        if hasattr(table, "iloc"):
            return np.asarray(table.index), table
        if hasattr(table, "get_column"):
            raise ValueError("A polars DataFrame has no index: name the column of the item ids (id_column).")
        return np.arange(table.shape[0]), table

    def fitted(self, table):
        """Return a fitted transformer of tables without ids, or None for a sparse matrix."""
        if self.given is not None:
            return clone(self.given).fit(table)
        return None if sp.issparse(table) else _default(table, self._text_positions(table)).fit(table)

    def names(self):
        """Return the names of the columns without the ids, if there are any."""
        if self.columns is None:
            return None
        names = [str(name) for name in self.columns]
        if self.id_column is not None:
            del names[self.columns.index(self.id_column) if isinstance(self.id_column, str) else self.id_column]
        return names

    def _text_positions(self, table):
        names = self.names()
        found = []
        for one in self.text:
            if isinstance(one, str) and (names is None or one not in names):
                raise ValueError(f"text names the column {one!r}, which item_features does not have.")
            found.append(names.index(one) if isinstance(one, str) else int(one))
        if wrong := [one for one in found if not 0 <= one < table.shape[1]]:
            raise ValueError(f"text holds {wrong[0]}; the columns of item_features are 0 to {table.shape[1] - 1}.")
        return found


def _split_pair(features):
    return features if isinstance(features, tuple) and len(features) == 2 else (None, features)


def _columns_of(text):
    return [text] if isinstance(text, (str, int)) else list(text)


def _check_rows(table):
    if not (isinstance(table, (list, tuple)) and all(isinstance(row, (list, tuple, np.ndarray)) for row in table)):
        raise ValueError(
            "item_features must be a table, a DataFrame, an array, a sparse matrix or a list of rows, or a pair "
            f"(ids, table) of one; got a {type(table).__name__}" + (" of other things." if len(table) else ".")
        )


def _mixed(table):
    return len({isinstance(value, str) for row in table for value in row}) > 1


def _index_of(table, which):
    names = column_names(table)
    if isinstance(which, str):
        if names is None or which not in names:
            raise ValueError(f"id_column={which!r} names no column of item_features.")
        return names.index(which)
    if not 0 <= which < table.shape[1]:
        raise ValueError(f"id_column={which} is no column: item_features has {table.shape[1]}.")
    return which


def _without_column(table, at):
    others = [i for i in range(table.shape[1]) if i != at]
    if hasattr(table, "iloc"):
        return np.asarray(table.iloc[:, at]), table.iloc[:, others]
    if hasattr(table, "get_column"):
        return table[:, at].to_numpy(), table[:, others]
    if sp.issparse(table):
        raise ValueError("A sparse matrix holds no ids: give item_features=(ids, matrix).")
    return np.asarray(table)[:, at], np.asarray(table)[:, others]


def _check_ids(ids, n_rows):
    if len(ids) != n_rows:
        raise ValueError(f"item_features has {n_rows} rows and {len(ids)} ids.")
    if missing(ids).any():
        raise ValueError(f"item_features has no id in row {int(np.argmax(missing(ids)))}.")
    seen = set()
    if twice := [one for one in ids.tolist() if one in seen or seen.add(one)]:
        raise ValueError(f"item_features holds items more than once: {listed(twice)}.")


def check_absent(item_ids, rows, absent):
    """Raise a ValueError if items have no row of attributes (-1), and that is to be an error."""
    if absent == "error" and (rows < 0).any():
        lost = item_ids[rows < 0].tolist()
        raise ValueError(
            f"item_features has no row for {len(lost)} of {len(rows)} items: {listed(lost)}. "
            f'Add them (ContentFilter(absent="zeros") does without). {_WHERE}'
        )
    if (rows < 0).all():
        raise ValueError(f"item_features has a row for no item of training. {_WHERE}")


# ---------------------------------------------------------------------------------------------- matrices


def _as_objects(table):
    """Return a table as an array: of floats if all is numbers, else of objects; missing is NaN, times are refused."""
    refuse_times(table, "item_features")
    if not hasattr(table, "columns"):
        array = np.asarray(table)
        return array if array.dtype.kind in "biuf" else _cleaned(array.astype(object))
    out = np.empty(table.shape, dtype=object)
    for i in range(table.shape[1]):
        out[:, i] = table.iloc[:, i].astype(object) if hasattr(table, "iloc") else table[:, i].to_list()
    return _cleaned(out)


def _cleaned(array):
    array = array.copy()
    array[missing(array)] = np.nan
    for kind in set(map(type, array.flat)):
        if issubclass(kind, _TIMES):
            no_time(kind.__name__, "item_features")
    return array


def _default(table, text):
    numbers, categories = [], []
    for i in range(table.shape[1]):
        if i not in text:
            (numbers if _is_numeric(table[:, i]) else categories).append(i)
            _require_plain(table[:, i], i)
    parts = [
        ("number", make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler()), numbers),
        ("category", OneHotEncoder(handle_unknown="ignore"), categories),
    ]
    parts += [(f"text{i}", TfidfVectorizer(), i) for i in text]
    parts = [(name, part, columns) for name, part, columns in parts if columns != []]
    return ColumnTransformer(parts, verbose_feature_names_out=PlainNames())


def _require_plain(values, i):
    odd = [value for value in values.tolist() if not isinstance(value, _PLAIN)]
    if odd:
        raise ValueError(
            f"Attribute {i} of item_features holds the {type(odd[0]).__name__} {odd[0]!r}; give one string or number "
            "per item, a column for each of several (MultiLabelBinarizer makes them), or a text to transform."
        )


def _is_numeric(values):
    if values.dtype.kind != "O":
        return values.dtype.kind in "iuf"
    return all(isinstance(value, (int, float, np.number)) and not isinstance(value, bool) for value in values)


def _as_text(value):
    return "" if value != value else str(value)


@dataclass(frozen=True)
class PlainNames:
    """What attributes are called: words of texts after their transformer too, all others by their own names alone.

    A class and no function, so that a checkpoint that holds it holds nothing but classes of skml.
    """

    def __call__(self, transformer, feature):
        """Return the name of what a transformer makes of a feature."""
        return f"{transformer}_{feature}" if transformer.startswith("text") else feature


def _take(table, rows):
    return table.iloc[rows] if hasattr(table, "iloc") else table[rows]


def _made(table, transformer, dtype):
    matrix = table if transformer is None else transformer.transform(table)
    if matrix.shape[1] == 0:
        raise ValueError("item_features has no columns, ids aside: there are no attributes to tell items apart by.")
    if sp.issparse(matrix):
        matrix = sp.csr_array(matrix).astype(dtype)
        matrix.sum_duplicates()
        matrix = matrix.toarray() if matrix.shape[1] <= _DENSE_COLUMNS else matrix
    else:
        matrix = np.asarray(matrix, dtype=dtype)
    if not np.isfinite(matrix.data if sp.issparse(matrix) else matrix).all():
        raise ValueError("Attributes of items must be finite numbers; a transformer may impute what is missing.")
    return matrix


def rows_or_zeros(matrix, rows):
    """Return rows of a matrix; zeros for -1."""
    if (rows >= 0).all():
        return matrix[rows]
    if sp.issparse(matrix):
        empty = sp.csr_array((1, matrix.shape[1]), dtype=matrix.dtype)
        return sp.csr_array(sp.vstack([matrix, empty], format="csr"))[rows]
    return np.vstack([matrix, np.zeros((1, matrix.shape[1]), matrix.dtype)])[rows]


def _names(transformer, reader, n_attributes):
    names = reader.names()
    if hasattr(transformer, "get_feature_names_out"):
        return np.asarray(transformer.get_feature_names_out(None if reader.given is not None else names), dtype=object)
    if names is not None and len(names) == n_attributes:
        return np.asarray(names, dtype=object)
    return np.array([f"x{i}" for i in range(n_attributes)], dtype=object)
