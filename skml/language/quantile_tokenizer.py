"""Numbers as tokens: the tokenizer."""

from numbers import Integral

import numpy as np

from skml._sklearn import Interval, StrOptions
from skml.language.quantiles import assign, quantile_bins, uniform_bins
from skml.language.texts import check_rows
from skml.language.tokenizers import Tokenizer

__all__ = ["QuantileTokenizer"]


class QuantileTokenizer(Tokenizer):
    """A token per number: its bin.

    With it rows of numbers are sequences, and forecasting is language modelling (Ansari et al. 2024).

    Parameters
    ----------
    n_bins : int, default=256
        The largest number of bins. Where there are fewer different numbers, each has a bin of its own.
    strategy : {"quantile", "uniform"}, default="quantile"
        Whether bins hold equally many numbers, or are equally wide.
    special_tokens : tuple of str or None, default=('<start>', '<end>', '<pad>', '<unk>')
        The tokens for start, end, padding and missing numbers (NaN), in this order, which get the first ids; None, or
        leaving off the last ones, means that there is none.

    Attributes
    ----------
    edges_ : ndarray of shape (n_found - 1,), float64
        Between the bins; a number on an edge belongs to the lower bin.
    centers_ : ndarray of shape (n_found,)
        What stands for the numbers of a bin: their median, or the middle of the bin with "uniform". Of the type of X.
    vocabulary_ : list
        The token of each id: special tokens, then centers.
    n_tokens_ : int
        How many there are.
    start_id_, end_id_, pad_id_, unknown_id_ : int or None
        The special tokens.

    See Also
    --------
    sklearn.preprocessing.KBinsDiscretizer : Bins for each column; here all columns share them.

    Notes
    -----
    Numbers below or above those of training belong to the first or the last bin. Series of different scales are best
    divided by their mean absolute value first, as in the paper. Neither the order of numbers nor having all of them
    twice changes a bin.

    References
    ----------
    A. F. Ansari et al. (2024). Chronos: learning the language of time series. TMLR.

    Examples
    --------
    >>> import numpy as np
    >>> from skml import QuantileTokenizer
    >>> X = np.array([[0.0, 0.1, 5.0], [0.2, 5.1, np.nan]])
    >>> tokenizer = QuantileTokenizer(n_bins=2).fit(X)
    >>> tokenizer.transform(X)
    [array([4, 4, 5], dtype=int32), array([4, 5, 3], dtype=int32)]
    >>> tokenizer.decode([4, 5, 3])
    array([0.1, 5. , nan])
    """

    _parameter_constraints = {
        **Tokenizer._parameter_constraints,
        "n_bins": [Interval(Integral, 1, None, closed="left")],
        "strategy": [StrOptions({"quantile", "uniform"})],
    }

    def __init__(self, n_bins=256, *, strategy="quantile", special_tokens=("<start>", "<end>", "<pad>", "<unk>")):
        self.n_bins = n_bins
        self.strategy = strategy
        self.special_tokens = special_tokens

    def _documents(self, X):
        return check_rows(X)

    def _refuse_nothing(self, documents):
        if not any(np.isfinite(row).any() for row in documents):
            raise ValueError("X holds no numbers, or none but NaN; there is nothing to learn from.")

    def _learn(self, documents, n_special):
        values = np.concatenate(documents)
        bins = quantile_bins if self.strategy == "quantile" else uniform_bins
        self.edges_, centers = bins(values[~np.isnan(values)], self.n_bins)
        self.centers_ = centers.astype(values.dtype)
        return self.centers_.tolist()

    def _encode(self, documents):
        return [self._encode_row(row) for row in documents]

    def _encode_row(self, row):
        missing = np.isnan(row)
        if self.unknown_id_ is None and missing.any():
            raise ValueError("X holds NaN, and special_tokens has no token for missing numbers, its fourth.")
        first = np.int32(self.n_tokens_ - len(self.centers_))
        return np.where(missing, np.int32(self.unknown_id_ or 0), assign(row, self.edges_) + first)

    def _decode(self, ids):
        first = self.n_tokens_ - len(self.centers_)
        kept = ids[(ids >= first) | (ids == (-1 if self.unknown_id_ is None else self.unknown_id_))]
        values = self.centers_[np.maximum(kept - first, 0)]
        values[kept < first] = np.nan
        return values

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.two_d_array, tags.input_tags.allow_nan = False, True, True
        return tags
