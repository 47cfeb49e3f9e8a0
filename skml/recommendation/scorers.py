"""Scorers of ranked lists for ``scoring=``, made from their names."""

import re
from numbers import Integral, Real

import numpy as np
import scipy.sparse as sp
from sklearn import metrics as sklearn_metrics
from sklearn.pipeline import Pipeline

from skml.recommendation.ids import number
from skml.recommendation.metrics import (
    covered,
    map_values,
    match,
    mrr_values,
    ndcg_values,
    precision_values,
    recall_values,
)
from skml.recommendation.tables import AS_INTERACTIONS, as_table, named_column, shape_of

__all__ = ["RankingScorer", "get_scorer"]

_VALUES = {
    "ndcg": ndcg_values,
    "recall": recall_values,
    "precision": precision_values,
    "map": map_values,
    "mrr": mrr_values,
}
# "recall" and "precision" alone are scikit-learn's scorers of classifiers.
_WITHOUT_K = ("mrr", "coverage")
_DEFAULT_K = 10
_NAME = re.compile(r"(ndcg|recall|precision|map|mrr|coverage)(?:@([1-9]\d*))?")


class RankingScorer:
    """A scorer ``scorer(estimator, X, y)`` that lets a recommender recommend, and looks whether it meets the rows of X.

    For each user of X, the estimator recommends k of the items that the user has no interaction with in training. The
    relevant ones are the items of the user's rows in X. Users without relevant items don't count. An item that
    training doesn't know cannot be recommended, and counts as missed; so does one that the user has in training, hence
    scores on the training set itself are 0 unless ``exclude_seen=False``.

    Parameters
    ----------
    metric : {"ndcg", "recall", "precision", "map", "mrr", "coverage"}, default="ndcg"
        What to measure.
    k : int, default=10
        How many items to recommend.
    threshold : float or None, default=None
        Rows with y of at least this are relevant. None: all rows are, whatever was said of the item.
    gains : {"binary", "rating"}, default="binary"
        For NDCG: the gain of a relevant item, 1 or its y, which must then not be negative.
    exclude_seen : bool, default=True
        Whether items of a user's training interactions are left out of the recommendations.

    Raises
    ------
    ValueError
        When a parameter is none of these, or when called: if X is no table of interactions, has other columns than
        the recommender was fitted to (after ``fit(R)`` more than two), or none of its rows is relevant.

    See Also
    --------
    get_scorer : Makes one from a name such as "ndcg@10".

    Examples
    --------
    >>> from skml.recommendation import RankingScorer
    >>> RankingScorer("recall", k=20, threshold=4.0)
    get_scorer('recall@20', threshold=4.0)
    """

    def __init__(self, metric="ndcg", k=10, *, threshold=None, gains="binary", exclude_seen=True):
        self.metric = metric
        self.k = k
        self.threshold = threshold
        self.gains = gains
        self.exclude_seen = exclude_seen
        _check(self)

    def __call__(self, estimator, X, y=None, sample_weight=None):
        """Return the score of a fitted recommender on the interactions X.

        Parameters
        ----------
        estimator : estimator
            Has a method ``recommend`` that returns ids and scores, the latter NaN where no item is left; may stand at
            the end of a Pipeline, or be found by a search.
        X : array-like or DataFrame of shape (n_samples, n_features)
            Interactions: column 0 holds users, column 1 items; as many columns as the recommender was fitted to, and
            after ``fit(R)`` two.
        y : array-like of shape (n_samples,) or None
            Ratings.
        sample_weight : array-like of shape (n_samples,) or None
            Rows of zero weight are left out; a list holds an item once, whatever its weight.

        Returns
        -------
        score : float
            In [0, 1]; the mean over users. For "coverage" the share of all items of training that are recommended to
            the users of X, whatever y is.
        """
        estimator, X = _recommender(estimator, X)
        if self.metric == "coverage":
            users = named_column(X, 0, "user")
            lists, filled = self._lists(estimator, users[number(users, "The users")[1]])
            return float(covered(lists[filled], np.asarray(estimator.item_ids_)))
        users, items, gains = self._relevant(X, y, sample_weight)
        rows, first = number(users, "The users")
        lists, filled = self._lists(estimator, users[first])
        hits = match(lists, rows, items, gains, filled)
        values = _VALUES[self.metric](hits, self.k)
        known = ~np.isnan(values)
        if not known.any():
            raise ValueError("The relevant rows have no gain: y is 0 everywhere.")
        return float(values[known].mean())

    def _lists(self, estimator, users):
        """Return what is recommended to distinct users, and where it is an item: what fills short rows may be an id."""
        lists, scores = estimator.recommend(users, n=self.k, exclude_seen=self.exclude_seen)
        return np.asarray(lists), ~np.isnan(scores)

    def _relevant(self, X, y, sample_weight):
        """Return users, items and gains (or None) of the rows that are relevant."""
        users, items = named_column(X, 0, "user"), named_column(X, 1, "item")
        y = None if y is None else np.asarray(y, dtype=np.float64).ravel()
        if y is None and (self.threshold is not None or self.gains == "rating"):
            raise ValueError(f"{self!r} needs y.")
        kept = np.ones(len(users), bool) if sample_weight is None else np.asarray(sample_weight).ravel() > 0
        if self.threshold is not None:
            kept &= y >= self.threshold
        if not kept.any():
            why = "sample_weight is 0" if self.threshold is None else f"y is below threshold={self.threshold}"
            raise ValueError(f"No row is relevant: {f'{why} everywhere' if len(kept) else 'X has no rows'}.")
        gains = y[kept] if self.gains == "rating" and self.metric == "ndcg" else None
        if gains is not None and not gains.min() >= 0:
            raise ValueError("gains='rating' needs y that is not negative; shift it, or use gains='binary'.")
        return users[kept], items[kept], gains

    def _accept_sample_weight(self):
        # scikit-learn asks each scorer of a dict by this name.
        return True

    def __repr__(self):
        defaults = {"threshold": None, "gains": "binary", "exclude_seen": True}
        given = {name: getattr(self, name) for name in defaults if getattr(self, name) != defaults[name]}
        return f"get_scorer('{self.metric}@{self.k}'{''.join(f', {name}={value!r}' for name, value in given.items())})"

    def __eq__(self, other):
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self):
        return hash(repr(self))


def get_scorer(scoring, *, threshold=None, gains="binary", exclude_seen=True):
    """Return the scorer of a name, for ``scoring=`` in ``GridSearchCV`` or ``cross_validate``.

    Parameters
    ----------
    scoring : str, callable or None
        "ndcg@k", "recall@k", "precision@k", "map@k", "mrr@k" or "coverage@k" with a number for k; "mrr" and
        "coverage" alone take k = 10. Any other name is one of scikit-learn's, such as "neg_root_mean_squared_error";
        callables and None are returned as they are.
    threshold : float or None, default=None
        Rows with y of at least this are relevant. None: all rows are, whatever was said of the item.
    gains : {"binary", "rating"}, default="binary"
        For NDCG: the gain of a relevant item, 1 or its y.
    exclude_seen : bool, default=True
        Whether items of a user's training interactions are left out of the recommendations.

    Returns
    -------
    scorer : callable
        ``scorer(estimator, X, y)`` is better the greater it is.

    Raises
    ------
    ValueError
        If nothing has that name.

    Examples
    --------
    >>> from skml.recommendation import get_scorer
    >>> get_scorer("ndcg@10")
    get_scorer('ndcg@10')
    >>> scoring = {name: get_scorer(name, threshold=4) for name in ("ndcg@5", "recall@20", "coverage")}
    """
    found = _NAME.fullmatch(scoring) if isinstance(scoring, str) else None
    if found and (found[2] or found[1] in _WITHOUT_K):
        k = int(found[2] or _DEFAULT_K)
        return RankingScorer(found[1], k, threshold=threshold, gains=gains, exclude_seen=exclude_seen)
    if (threshold, gains, exclude_seen) != (None, "binary", True):
        raise ValueError(f"threshold, gains and exclude_seen are for ranked lists; {scoring!r} is no such scorer.")
    try:
        return sklearn_metrics.get_scorer(scoring)
    except ValueError:
        names = f"those of ranked lists are {', '.join(_names())}, k a number from 1"
        raise ValueError(f"{scoring!r} names no scorer; {names}; others are scikit-learn's.") from None


def _names():
    ranked = [f"{name}@k" for name in (*_VALUES, "coverage")]
    return [*ranked, *_WITHOUT_K]


def _check(scorer):
    if scorer.metric not in (*_VALUES, "coverage"):
        raise ValueError(f"metric must be one of {', '.join((*_VALUES, 'coverage'))}, got {scorer.metric!r}.")
    if isinstance(scorer.k, bool) or not isinstance(scorer.k, Integral) or scorer.k < 1:
        raise ValueError(f"k must be a positive integer, got {scorer.k!r}.")
    if scorer.gains not in ("binary", "rating"):
        raise ValueError(f"gains must be 'binary' or 'rating', got {scorer.gains!r}.")
    if scorer.threshold is not None and not isinstance(scorer.threshold, Real):
        raise ValueError(f"threshold must be a number or None, got {scorer.threshold!r}.")


def _recommender(estimator, X):
    """Return what recommends inside searches and pipelines, and X as it sees it."""
    if sp.issparse(X):
        raise ValueError(f"Ranked lists are scored on interactions; X is a sparse ratings matrix. {AS_INTERACTIONS}")
    while not hasattr(estimator, "recommend"):
        if hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif isinstance(estimator, Pipeline):
            X = estimator[:-1].transform(X) if len(estimator) > 1 else X
            estimator = estimator[-1]
        else:
            raise TypeError(f"{type(estimator).__name__} has no method recommend; ranked lists need a recommender.")
    _check_columns(estimator, shape_of(as_table(X)))
    return estimator, X


def _check_columns(estimator, shape):
    """Refuse what a recommender of this package cannot take for interactions by its columns, such as a matrix."""
    door = getattr(estimator, "_door", None)
    if door is None or len(shape) != 2:
        return
    if door == "matrix" and shape[1] > 2:
        raise ValueError(f"After fit(R) rows have two columns, user and item, not {shape[1]}. {AS_INTERACTIONS}")
    if door == "interactions" and shape[1] != estimator.n_features_in_:
        raise ValueError(
            f"X has {shape[1]} columns, but the recommender was fitted to rows of {estimator.n_features_in_} "
            f"(n_features_in_). {AS_INTERACTIONS}"
        )
