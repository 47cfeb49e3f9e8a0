"""Out of bag: what members say of rows that they were not trained on."""

from dataclasses import dataclass

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.metrics import accuracy_score, check_scoring, r2_score


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


class _Said(BaseEstimator):
    """A model that says what it was given, for scorers."""

    def __init__(self, said):
        self.said = said

    def fit(self, X, y):
        return self

    def __sklearn_is_fitted__(self):
        return True

    def predict(self, X):
        return self.said


class _SaidRegressor(RegressorMixin, _Said):
    pass


class _SaidClassifier(ClassifierMixin, _Said):
    def __init__(self, said, classes):
        super().__init__(said)
        self.classes = classes
        self.classes_ = classes

    def predict(self, X):
        return self.classes_[self.said.argmax(axis=1)]

    def predict_proba(self, X):
        return self.said


def scorer(oob_score, classes):
    """Return a function that scores out-of-bag answers.

    Parameters
    ----------
    oob_score : True, callable or str
        Accuracy or R², ``metric(y_true, y_pred)``, or the name of a scorer.
    classes : ndarray or None
        The classes; None for numbers.

    Returns
    -------
    score : callable
        ``score(y, said, sample_weight)`` takes targets as the user wrote them and means as :meth:`OutOfBag.means`
        gives them.
    """

    def predicted(said):
        return said if classes is None else classes[said.argmax(axis=1)]

    if isinstance(oob_score, str):
        named = check_scoring(_SaidRegressor(None) if classes is None else _SaidClassifier(None, classes), oob_score)

        def score(y, said, sample_weight=None):
            model = _SaidRegressor(said) if classes is None else _SaidClassifier(said, classes)
            return float(named(model, np.zeros((len(said), 1)), y))

    elif callable(oob_score):

        def score(y, said, sample_weight=None):
            return float(oob_score(y, predicted(said)))

    else:
        metric = r2_score if classes is None else accuracy_score

        def score(y, said, sample_weight=None):
            return float(metric(y, predicted(said), sample_weight=sample_weight))

    return score
