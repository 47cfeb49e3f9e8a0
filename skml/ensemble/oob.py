"""Out of bag: what members say of rows that they were not trained on."""

import inspect
from dataclasses import dataclass

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.metrics import check_scoring, r2_score

from skml.base import warn_caller


@dataclass(frozen=True)
class OutOfBag:
    """Sums over the members that have not seen a row.

    Attributes
    ----------
    sums : ndarray of shape (n_rows, n_columns)
        Of what they say.
    times : ndarray of shape (n_rows,)
        How many they are.
    """

    sums: np.ndarray
    times: np.ndarray

    def means(self):
        """Return what they say on average; NaN where there is none."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.sums / self.times[:, None]


def nothing_yet(n_rows, n_columns):
    """Return the sums before the first member."""
    return OutOfBag(np.zeros((n_rows, n_columns)), np.zeros(n_rows, np.int64))


def add_answers(oob, rows, values):
    """Add one more member's answers, in place.

    Parameters
    ----------
    oob : OutOfBag
        So far.
    rows : ndarray of int
        The rows out of its bag, each once.
    values : ndarray of shape (n_out, n_columns)
        What it says of them.
    """
    oob.sums[rows] += values
    oob.times[rows] += 1


def warn_of_rows_never_out(oob):
    """Warn if some rows were in every bag."""
    if np.any(oob.times == 0):
        message = "Some inputs do not have OOB scores. This probably means too few trees were used to compute any "
        warn_caller(message + "reliable OOB estimates.", UserWarning)


def is_flat(curve, tol, patience):
    """Tell whether a curve has stopped rising.

    Parameters
    ----------
    curve : list of float
        Scores, one per member.
    tol : float
        The best must be beaten by more.
    patience : int
        How many members may fail to.

    Returns
    -------
    flat : bool
        Whether the last `patience` of them did.
    """
    best, since = -np.inf, 0
    for number, score in enumerate(curve):
        if score > best + tol:
            best, since = score, number
    return len(curve) - 1 - since >= patience


def scored(score, groups, y, weights):
    """Return the function that scores the answers so far.

    Parameters
    ----------
    score : callable
        From :func:`scorer`.
    groups : ndarray of shape (n_samples,), int
        Which of the distinct rows each row is.
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Targets as the user wrote them.
    weights : ndarray of shape (n_samples,) or None
        Of the rows.

    Returns
    -------
    scored : callable
        ``scored(oob)``: 0 before two rows were out of some bag; NaN where the metric refuses the few rows that were.
    """

    def scored(found):
        said = found.times[groups] > 0
        if said.sum() < 2:
            return 0.0
        try:
            return score(y[said], found.means()[groups[said]], None if weights is None else weights[said])
        except (ValueError, ArithmeticError):
            if said.all():
                raise
            return np.nan

    return scored


class _Said(BaseEstimator):
    """A model that says what it was given, for scorers."""

    def __init__(self, said, answer):
        self.said = said
        self.answer = answer

    def fit(self, X, y):
        return self

    def __sklearn_is_fitted__(self):
        return True

    def predict(self, X):
        return self.answer(self.said)


class _SaidRegressor(RegressorMixin, _Said):
    pass


class _SaidClassifier(ClassifierMixin, _Said):
    def __init__(self, said, answer, shares, classes):
        super().__init__(said, answer)
        self.shares = shares
        self.classes = classes
        self.classes_ = classes

    def predict_proba(self, X):
        return self.shares(self.said)


def scorer(oob_score, answer, *of_classes):
    """Return a function that scores out-of-bag answers.

    Parameters
    ----------
    oob_score : True, callable or str
        Accuracy (of several outputs: rows with all right) or R², ``metric(y_true, y_pred)``, or the name of a scorer.
    answer : callable
        Makes of means, as :meth:`OutOfBag.means` gives them, what `predict` would say.
    *of_classes : callable, ndarray or list of ndarray
        For classes: what makes of means what `predict_proba` would say, and the classes.

    Returns
    -------
    score : callable
        ``score(y, means, sample_weight)`` takes targets as the user wrote them. Weights reach metrics that know them.
    """
    kind = _SaidClassifier if of_classes else _SaidRegressor
    if isinstance(oob_score, str):
        named = check_scoring(kind(None, answer, *of_classes), oob_score)
        weighted = _takes_weights(getattr(named, "_score_func", None))
        call = lambda y, said, **weight: named(kind(said, answer, *of_classes), np.zeros((len(y), 1)), y, **weight)  # noqa: E731
    else:
        metric = oob_score if callable(oob_score) else _rows_right if of_classes else r2_score
        weighted = _takes_weights(metric)
        call = lambda y, said, **weight: metric(y, answer(said), **weight)  # noqa: E731

    def score(y, said, sample_weight=None):
        weight = {"sample_weight": sample_weight} if weighted and sample_weight is not None else {}
        return float(call(y, said, **weight))

    return score


def _takes_weights(metric):
    try:
        return "sample_weight" in inspect.signature(metric).parameters
    except (TypeError, ValueError):  # no function of Python's
        return False


def _rows_right(y, said, sample_weight=None):
    right = y == said
    return np.average(right if right.ndim == 1 else right.all(axis=1), weights=sample_weight)
