"""Documents: what a row of X is, as sequences of tokens, and the canonical order of documents.

A document is a string, a row of integers or a row of numbers. :class:`Coder` knows how those of a fit were read.
"""

import hashlib
import math
from dataclasses import dataclass

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from skml._rows import distinct_rows
from skml.base import validate_X, warn_caller
from skml.language.quantile_tokenizer import QuantileTokenizer
from skml.language.texts import check_documents
from skml.language.tokenizers import BPETokenizer, CharTokenizer, WordTokenizer

PADDING = -1
# One token begins and ends documents.
_BOUND = "<end>"
_SPECIAL = (_BOUND, _BOUND, None, "<unk>")
_TOKENIZERS = {
    "char": lambda: CharTokenizer(special_tokens=_SPECIAL),
    "word": lambda: WordTokenizer(special_tokens=_SPECIAL),
    "bpe": lambda: BPETokenizer(special_tokens=_SPECIAL[:2]),
}
# Of numbers: whole ones keep a token each up to so many; others get a bin for so many numbers, within bounds.
_WHOLE, _MOST_BINS, _LEAST_BINS, _PER_BIN = 256, 64, 16, 16


@dataclass(frozen=True)
class Rows:
    """Documents as they were given, checked.

    Attributes
    ----------
    kind : {"texts", "integers", "numbers"}
        What they are.
    values : list of str, or ndarray of shape (n_documents, n_columns), float32 or float64
        The documents.
    """

    kind: str
    values: object

    def __len__(self):
        return len(self.values)

    def take(self, index):
        """Return some of the documents."""
        if self.kind == "texts":
            return Rows(self.kind, [self.values[i] for i in index])
        return Rows(self.kind, self.values[index])


# ------------------------------------------------------------------------------------------------ reading


def read_rows(estimator, X, *, reset):
    """Return what a user gives as documents, checked.

    Parameters
    ----------
    estimator : BaseEstimator
        Whose number and names of features are set or compared, where X is two-dimensional.
    X : iterable of str, or array-like of shape (n_documents, n_columns)
        Texts, integers or numbers.
    reset : bool
        Whether X defines what documents are (fit), or is compared with that.

    Returns
    -------
    rows : Rows
        The documents.

    Raises
    ------
    ValueError
        If there are none, a number is NaN or infinite, or X is neither.
    TypeError
        If one of the texts is no string.
    """
    if isinstance(X, (str, bytes)) or hasattr(X, "__next__"):
        X = check_documents(X)
    if holds_texts(X):
        return Rows("texts", _texts(estimator, X, reset))
    kind = "integers" if holds_integers(X) else "numbers"
    known = getattr(estimator, "coder_", None)
    if not reset and known is not None and known.kind == "texts":
        raise ValueError(f"{type(estimator).__name__} was fitted on texts; X must be a list of strings.")
    _refuse_table_of_texts(X)
    _refuse_ragged(X)
    _refuse_other_shapes(X)
    values = validate_X(estimator, X, reset=reset, order="C", allow_nan=True)
    _refuse_missing(values)
    return Rows(kind, values)


def _refuse_table_of_texts(X):
    """Raise a ValueError if X is no list of strings, but has words in rows and columns."""
    if getattr(X, "ndim", 2) == 2 and (word := next(filter(_is_word, _first_row(X)), None)) is not None:
        raise ValueError(
            f"X must be a list of strings, one per document, or rows of numbers; a row holds the text {word[:40]!r}. "
            "Of a table give one column: X['text'] or X[:, 0]; of lists of words [' '.join(words) for words in X]."
        )


def _refuse_ragged(X):
    """Raise a ValueError if X is a list of rows, lists or arrays, of different lengths."""
    if not isinstance(X, (list, tuple)):
        return
    lengths = {len(row) for row in X if isinstance(row, (list, tuple)) or getattr(row, "ndim", 0) == 1}
    if len(lengths) > 1:
        raise ValueError(
            f"The rows of X have {min(lengths)} to {max(lengths)} numbers; of sequences of integers make one array by "
            "skml.language.pad_sequences(X)[0], which fills up with -1."
        )


def _refuse_other_shapes(X):
    """Raise a ValueError if X has not two dimensions, as scikit-learn's would, but says what documents are."""
    n = len(X.shape) if hasattr(X, "shape") else _depth(X)
    if n != 2:
        found = f"{n}D array" if n else f"{X!r:.40}"
        raise ValueError(
            f"Expected 2D array, got {found} instead: X must be a list of strings, one per document, or an array of "
            "numbers with two dimensions, one row per document. Reshape your data: a single row of numbers is [row]."
        )


def _depth(X):
    """Return how many dimensions a list has by its first elements."""
    if not isinstance(X, (list, tuple)):
        return np.asarray(X).ndim
    return 1 + (_depth(X[0]) if len(X) else 0)


def _refuse_missing(values):
    """Raise a ValueError that names the first document with NaN."""
    if len(bad := np.flatnonzero(np.isnan(values).any(axis=1))):
        raise ValueError(
            f"X contains NaN, in row {bad[0]} first: documents are strings, or rows of numbers none of which is "
            "missing (rows of tokens are filled up with -1). Fill it, or leave such rows out."
        )


def _first_row(X):
    row = X.row(0) if hasattr(X, "row") and len(X) else X.iloc[0] if hasattr(X, "iloc") and len(X) else None
    row = X[0] if row is None and isinstance(X, (list, tuple, np.ndarray)) and len(X) else row
    return row if hasattr(row, "__iter__") else ()


def _is_word(one):
    """Tell whether something is a string that is no number."""
    if not isinstance(one, str):
        return False
    try:
        return float(one) is None
    except ValueError:
        return True


def _texts(estimator, X, reset):
    documents = check_documents(X)
    if not documents:
        raise ValueError("X holds no documents; at least one is needed.")
    known = getattr(estimator, "coder_", None)
    if not reset and known is not None and known.kind != "texts":
        raise ValueError(f"{type(estimator).__name__} was fitted on rows of numbers, but X holds texts.")
    if reset:
        for name in ("n_features_in_", "feature_names_in_"):
            vars(estimator).pop(name, None)
    return documents


def holds_texts(X):
    """Tell whether X is one-dimensional and meant to hold strings; nothing is said about each of them yet."""
    if X is None or hasattr(X, "columns") or getattr(X, "ndim", 1) != 1 or not hasattr(X, "__iter__"):
        return False
    if getattr(getattr(X, "dtype", None), "kind", "O") not in "OUTS":
        return False
    if not isinstance(X, (list, tuple)) and not hasattr(X, "dtype"):
        return True  # a set, a dictionary and so on, of which check_documents has an opinion
    return len(X) == 0 and not hasattr(X, "dtype") or any(isinstance(one, (str, bytes)) for one in X)


def holds_integers(X):
    """Tell whether the type of X says that its numbers are integers."""
    dtypes = getattr(X, "dtypes", None)
    if dtypes is None:
        dtype = getattr(X, "dtype", None)
        dtypes = [_array_dtype(X) if dtype is None else dtype]
    return all(_is_integer(dtype) for dtype in np.atleast_1d(np.asarray(dtypes, dtype=object)))


def _is_integer(dtype):
    asks = getattr(dtype, "is_integer", None)  # polars
    return bool(asks()) if callable(asks) else getattr(dtype, "kind", "") in tuple("iub")


def _array_dtype(X):
    try:
        return np.asarray(X).dtype
    except (ValueError, TypeError):
        return None


# ------------------------------------------------------------------------------------- the canonical order


def distinct_documents(rows, weights, codes=None):
    """Return a representative of each group of equal documents, in an order that content alone decides.

    Parameters
    ----------
    rows : Rows
        The documents.
    weights : ndarray of shape (n_documents,) or None
        Those of weight 0 are left out; None means 1 everywhere.
    codes : ndarray of shape (n_documents,), int, or None, default=None
        Classes, which belong to the content.

    Returns
    -------
    index : ndarray of shape (n_distinct,), int
        One document of each group.
    merged : ndarray of shape (n_distinct,), float64
        The sum of the group's weights.
    """
    if rows.kind != "texts":
        return distinct_rows(rows.values, weights, codes)
    codes = np.zeros(len(rows), dtype=np.int64) if codes is None else codes
    groups = {}
    for i, (text, code) in enumerate(zip(rows.values, codes.tolist())):
        if weights is None or weights[i] > 0:
            groups.setdefault((text, code), []).append(i)
    order = sorted(groups, key=lambda one: (_digest(one[0]), *one))
    w = np.ones(len(rows)) if weights is None else weights
    index = np.array([groups[one][0] for one in order], dtype=np.int64)
    # sorted, so that the sum doesn't depend on the order of the rows
    return index, np.array([math.fsum(w[i] for i in groups[one]) for one in order])


def _digest(text):
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()


# -------------------------------------------------------------------------------------------------- codes


@dataclass(frozen=True)
class Coder:
    """How documents become sequences of tokens.

    Attributes
    ----------
    kind : {"texts", "integers", "numbers"}
        What documents are.
    tokenizer : object or None
        Fitted; None stands for integers that are tokens already.
    n_tokens : int
        How many tokens there are, those that begin and end documents included.
    start, end : int
        The tokens that do.
    padded : bool, default=False
        Whether -1 is padding in rows of integers.
    """

    kind: str
    tokenizer: object
    n_tokens: int
    start: int
    end: int
    padded: bool = False

    def encode(self, rows):
        """Return the tokens of each document.

        Parameters
        ----------
        rows : Rows
            The documents.

        Returns
        -------
        sequences : list of ndarray of shape (n,), int32
            Without the tokens that begin and end them.

        Raises
        ------
        ValueError
            If there is no token for something in them.
        """
        if self.kind == "texts":
            return self.tokenizer.transform(rows.values)
        values = rows.values
        if self.tokenizer is None:
            ids = self._checked(rows)
        else:
            ids = np.array(self.tokenizer.transform(values), dtype=np.int32).reshape(values.shape)
            if self.kind == "integers":
                _refuse_fractions(values)
                self._mark_unseen(ids, values)
        kept = values != PADDING if self.padded else np.ones(values.shape, dtype=bool)
        return [row[there] for row, there in zip(ids, kept)]

    def read(self, rows, name="X"):
        """Return the tokens of each document as :meth:`encode` does, and warn if most of them are unknown.

        Parameters
        ----------
        rows : Rows
            The documents.
        name : str, default="X"
            What the user calls them.

        Returns
        -------
        sequences : list of ndarray of shape (n,), int32
            Without the tokens that begin and end them.

        Raises
        ------
        ValueError
            If there is no token for something in them.
        """
        sequences, unknown = self.encode(rows), getattr(self.tokenizer, "unknown_id_", None)
        n = sum(map(len, sequences))
        strange = 0 if unknown is None or n == 0 else np.count_nonzero(np.concatenate(sequences) == unknown)
        if strange > n / 2:
            other = ", or fit one whose tokenizer leaves out less: to tokenizer='bpe' no text is unknown"
            cure = other if self.kind == "texts" else ""
            warn_caller(
                f"The language model knows little of {name}: {strange / n:.0%} of the tokens are unknown, all read as "
                f"{self.tokenizer.vocabulary_[unknown]!r}. Give it documents like those of its fit{cure}.",
                UserWarning,
            )
        return sequences

    def _checked(self, rows):
        values = rows.values
        if rows.kind != "integers":
            raise ValueError("With tokenizer=None, X must hold integers, which are the tokens; -1 is padding.")
        n = self.n_tokens - 1
        if values.size and (values.min() < PADDING or values.max() >= n):
            bad = int(values.min() if values.min() < PADDING else values.max())
            raise ValueError(f"X holds {bad}; tokens are 0 to {n - 1}, and -1 is padding.")
        return values.astype(np.int32)

    def _mark_unseen(self, ids, values):
        """Give symbols that fit has not seen the token for unknown ones, if there is one."""
        unknown = getattr(self.tokenizer, "unknown_id_", None)
        symbols = getattr(self.tokenizer, "centers_", None)
        if unknown is not None and symbols is not None:
            ids[~np.isin(values, symbols)] = unknown

    def decode(self, ids):
        """Return the document of some tokens: a string, or an array of numbers.

        Parameters
        ----------
        ids : ndarray of shape (n,), int
            Tokens.

        Returns
        -------
        document : str or ndarray
            Without special tokens.
        """
        ids = np.asarray(ids, dtype=np.int32)
        if self.tokenizer is None:
            return ids[ids < self.n_tokens - 1].astype(np.int64)
        found = self.tokenizer.decode(ids[ids < self.tokenizer.n_tokens_])
        return found.astype(np.int64) if self.kind == "integers" and not np.isnan(found).any() else found

    def vocabulary(self):
        """Return what each token stands for."""
        known = list(range(self.n_tokens - 1)) if self.tokenizer is None else list(self.tokenizer.vocabulary_)
        if self.kind == "integers":
            known = [name if isinstance(name, str) else int(name) for name in known]
        others = range(len(known), self.n_tokens)  # a checkpoint may have more than its tokenizer knows
        return [*known, *(_BOUND if i in (self.start, self.end) else f"<unused {i}>" for i in others)]

    def sizes(self, rows):
        """Return how many characters, or numbers, each document has."""
        if self.kind == "texts":
            return np.array([len(text) for text in rows.values])
        if self.padded:
            return (rows.values != PADDING).sum(axis=1)
        return np.full(len(rows), rows.values.shape[1])


def learn_coder(rows, tokenizer):
    """Return how to read documents, as learnt from some of them.

    Parameters
    ----------
    rows : Rows
        The documents, each once.
    tokenizer : {"char", "word", "bpe"}, Tokenizer or None
        For texts; a fitted one is used as it is, of another a clone is fitted. Rows of numbers get a
        :class:`QuantileTokenizer` unless a tokenizer is given. None takes integers as tokens.

    Returns
    -------
    coder : Coder
        To read them with.

    Raises
    ------
    ValueError
        If there is nothing to learn from, or documents and tokenizer do not go together.
    """
    if tokenizer is None:
        return _coder_of_tokens(rows)
    padded = rows.kind == "integers" and rows.values.min() >= PADDING
    values = rows.values
    if rows.kind != "texts":
        values = values[values != PADDING].reshape(1, -1) if padded else values
        if not values.size:
            raise ValueError("All documents in X are empty: they hold nothing but padding.")
    if isinstance(tokenizer, str):
        chosen = _TOKENIZERS[tokenizer]() if rows.kind == "texts" else _of_numbers(rows.kind, values)
    else:
        chosen = tokenizer
    chosen = chosen if _is_fitted(chosen) else clone(chosen).fit(values)
    bounds = getattr(chosen, "start_id_", None), getattr(chosen, "end_id_", None)
    n = chosen.n_tokens_
    start, end = (n if bound is None else bound for bound in bounds)
    return Coder(rows.kind, chosen, n + (None in bounds), start, end, padded)


def _refuse_fractions(values):
    odd = values[values != np.rint(values)]
    if odd.size:
        raise ValueError(f"X holds {odd[0]:.6g}, but the model was fitted on rows of integers; it knows no others.")


def _coder_of_tokens(rows):
    if rows.kind != "integers":
        raise ValueError("With tokenizer=None, X must hold integers, which are the tokens; -1 is padding.")
    low, high = int(rows.values.min()), int(rows.values.max())
    if low < PADDING:
        raise ValueError(f"X holds {low}; with tokenizer=None, tokens are integers from 0 on, and -1 is padding.")
    if high < 0:
        raise ValueError("All documents in X are empty: they hold nothing but padding.")
    if high >= 2**24:
        raise ValueError(f"X holds {high}; tokens must be below {2**24:,}.")
    return Coder("integers", None, high + 2, high + 1, high + 1, padded=True)


def _of_numbers(kind, values):
    """Return a tokenizer for rows of numbers: whole ones keep a token each, as far as there are not too many."""
    distinct = len(np.unique(values))
    if kind == "integers":
        n_bins = max(_WHOLE, distinct)
    elif (values == np.rint(values)).all():
        n_bins = _WHOLE
    else:
        n_bins = min(_MOST_BINS, max(_LEAST_BINS, values.size // _PER_BIN))
    return QuantileTokenizer(n_bins, special_tokens=_SPECIAL)


def _is_fitted(tokenizer):
    try:
        check_is_fitted(tokenizer)
    except NotFittedError:
        return False
    return True
