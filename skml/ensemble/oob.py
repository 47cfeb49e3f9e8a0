"""Out of bag: what members say of rows that they were not trained on."""

import inspect
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Real

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.metrics import check_scoring, r2_score

from skml.base import warn_caller
from skml.ensemble.sampling import stratum_sizes, total_weight, whole

# Bags that draw so many times the rows there are leave less than a seventh of them out; and so many copies of a row,
# on average, leave but a seventh of the rows without a copy in the bag.
_LARGE = 2
# What scikit-learn's metrics say where y_true lacks a class.
_OF_LACKING_CLASSES = "y_pred contains classes not in y_true|A single label was found in 'y_true' and 'y_pred'"


@dataclass(frozen=True)
class OutOfBag:
    """Sums over the members that have not seen a row.

    Attributes
    ----------
    sums : ndarray of shape (n_rows, n_columns)
        Of what they say; a member that has seen some copies of a row counts by the share of those that it has not.
    times : ndarray of shape (n_rows,)
        How many they are, counted in the same way.
    """

    sums: np.ndarray
    times: np.ndarray

    def means(self):
        """Return what they say on average; NaN where there is none."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.sums / self.times[:, None]


def nothing_yet(n_rows, n_columns):
    """Return the sums before the first member."""
    return OutOfBag(np.zeros((n_rows, n_columns)), np.zeros(n_rows))


def add_answers(oob, rows, shares, values):
    """Add one more member's answers, in place.

    Parameters
    ----------
    oob : OutOfBag
        So far.
    rows : ndarray of int
        The rows out of its bag, each once.
    shares : ndarray of shape (n_out,)
        To which share each is.
    values : ndarray of shape (n_out, n_columns)
        What it says of them.
    """
    oob.sums[rows] += shares[:, None] * values
    oob.times[rows] += shares


def warn_of_rows_never_out(oob, bagging, few, labels=()):
    """Warn once if some rows were in every bag, and say why.

    Parameters
    ----------
    oob : OutOfBag
        What was said.
    bagging : Bagging
        How bags are drawn.
    few : str
        The parameter to raise for more members.
    labels : sequence of (ndarray of shape (n_classes,), ndarray of shape (n_rows,))
        Of each output the classes, and which of them each row has.
    """
    never = oob.times == 0
    if not never.any():
        return
    some = "Some inputs do not have OOB scores"
    if never.all():
        cure = _of_large_bags(bagging) or "Use more members, or a smaller max_samples."
        warn_caller(f"{some}: no row was out of any bag, so oob_score_ is NaN. {cure}", UserWarning)
    elif (found := _class_never_out(never, labels)) is not None:
        name, rows = found
        cure = _of_large_strata(bagging, rows) or _of_large_bags(bagging) or f"Use more members: raise {few}."
        text = f"{some}: no row of class {name} was out of any bag, so oob_score_ is that of other classes. {cure}"
        warn_caller(text, UserWarning)
    else:
        too_few = f"This probably means too few trees were used to compute any reliable OOB estimates; raise {few}."
        cure = _of_large_strata(bagging, never) or _of_large_bags(bagging) or too_few
        warn_caller(f"{some}. {cure}", UserWarning)


def _class_never_out(never, labels):
    """Return the first class of which every row was in every bag, as text, and its rows; None: there is none."""
    for number, (classes, codes) in enumerate(labels):
        counts = np.bincount(codes, minlength=len(classes))
        missing = np.flatnonzero((np.bincount(codes, never, len(classes)) == counts) & (counts > 0))
        if len(missing):
            of = f" of output {number}" if len(labels) > 1 else ""
            more = f" (nor of {len(missing) - 1} more)" if len(missing) > 1 else ""
            return f"{classes[missing[0]]!s}{of}{more}", codes == missing[0]
    return None


def warn_of_copies(weights, bagging):
    """Warn if rows are scored while other copies of them are in the bag because weights say that they have copies.

    Parameters
    ----------
    weights : ndarray of shape (n_samples,) or None
        As given.
    bagging : Bagging
        How bags are drawn.
    """
    if weights is None or not (bagging.weights_are_drawn and whole(weights)):
        return
    mean = weights[weights > 0].mean()
    if mean >= _LARGE:
        warn_caller(
            f"A whole-number weight k means k copies of a row, {mean:.3g} on average: each row is scored out of bag by "
            "members that have seen other copies of it. If weights are importance, those are scores of rows "
            "seen: divide the weights by their mean.",
            UserWarning,
        )


def require_rows_out(oob, bagging, asked):
    """Raise if no row is out of any bag, where something needs scores."""
    if not oob.times.any():
        cure = _of_large_bags(bagging) or "Set a smaller max_samples."
        raise ValueError(f"{asked} needs out-of-bag scores, and no row is out of any bag. {cure}")


def _of_large_strata(bagging, never):
    """Say that bags draw so many of a stratum that hardly a row of it is left out, and what helps; None: they don't.

    Parameters
    ----------
    bagging : Bagging
        How bags are drawn.
    never : ndarray of shape (n_rows,), bool
        The rows that were in every bag.
    """
    if bagging.strata is None:
        return None
    sizes, of_rows = stratum_sizes(bagging.weights, bagging.strata), np.bincount(bagging.strata[never])
    at = of_rows.argmax()  # the stratum that lacks most
    drawn, held = int(bagging.shares[at]), int(sizes[at])
    if held == 1:
        return "Bags draw from each class, so the only row of one is in all; sampling='uniform' leaves it out of some."
    if drawn < _LARGE * held:
        return None
    lower = int(bagging.size * held / drawn)
    return f"Each bag draws {drawn} of the {held} rows of a class, so hardly any is left out; set max_samples={lower}."


def _of_large_bags(bagging):
    """Say that bags leave hardly a row out because they draw so many, and what helps; None: they don't."""
    if bagging.groups is None:
        what, n = "rows", int(total_weight(bagging.weights))
    else:
        what, n = "groups", int(bagging.groups.max()) + 1
    if bagging.size < _LARGE * n:
        return None
    return f"Each bag draws {bagging.size} {what} of {n}, so hardly any is left out; set max_samples={n}."


class Refused(ValueError):
    """The metric refuses what was said out of bag."""


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
        ``scored(oob, last=False)``: NaN before two rows were out of some bag, and where the metric refuses the few rows
        that were; with `last`, or if all rows were, :class:`Refused` is raised there.
    """

    def scored(found, last=False):
        said = found.times[groups] > 0
        if said.sum() < 2:
            return np.nan
        try:
            with _classes_may_lack(said):
                return score(y[said], found.means()[groups[said]], None if weights is None else weights[said])
        except (ValueError, ArithmeticError) as error:
            if last or said.all():
                what = f"{said.sum()} of {len(said)} rows were out of a bag"
                raise Refused(f"oob_score refuses what was said out of bag ({what}): {error}") from error
            return np.nan

    return scored


@contextmanager
def _classes_may_lack(said):
    """Silence what scikit-learn says after each member while a class has no row that was out of a bag."""
    if said.all():
        yield
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", _OF_LACKING_CLASSES, UserWarning)
        yield


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
    if callable(oob_score) and _parameters(oob_score)[:1] == ["estimator"]:
        raise ValueError(f"oob_score must be a scorer's name or metric(y_true, y_pred), got the scorer {oob_score!r}.")
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
        return _number(call(y, said, **weight), oob_score)

    return score


def _number(found, oob_score):
    if np.ndim(found) or not isinstance(np.asarray(found)[()], (Real, np.bool_)):
        raise TypeError(f"oob_score={oob_score!r} must return a number, got {found!r}.")
    return float(found)


def _takes_weights(metric):
    return "sample_weight" in _parameters(metric)


def _parameters(metric):
    try:
        return list(inspect.signature(metric).parameters)
    except (TypeError, ValueError):  # no function of Python's
        return []


def _rows_right(y, said, sample_weight=None):
    right = y == said
    return np.average(right if right.ndim == 1 else right.all(axis=1), weights=sample_weight)
