"""AdaBoost: a weighted vote of weak classifiers, each trained on what the ones before it have wrong."""

import functools
import itertools
from collections import deque
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.callback import CallbackSupportMixin
from sklearn.metrics import accuracy_score
from sklearn.utils import assert_all_finite, check_consistent_length, check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from skml._rows import distinct_rows
from skml._sklearn import HasMethods, Interval, StrOptions
from skml.base import Run, fit_task, fitting, run_steps, validate_weights, warn_caller
from skml.ensemble.boosted_members import Rows, boosting_steps, member_to_boost
from skml.ensemble.boosted_votes import answers, leaf_votes, staged_tallies, tree_tally
from skml.ensemble.boosting import Committee, Plan
from skml.ensemble.columns import validate_numbers
from skml.ensemble.labels import as_given, numbered
from skml.ensemble.margins import log_growth, margins_of, schapire_bound
from skml.ensemble.members import input_tags, refuse_parameters_of_trees
from skml.ensemble.stumps import BoostedTree, packed

_STRINGS = "encode it before, e.g. by a OneHotEncoder or OrdinalEncoder in a pipeline"


class AdaBoost(ClassifierMixin, CallbackSupportMixin, BaseEstimator):
    """AdaBoost: a weighted vote of weak classifiers, each trained on what the ones before it have wrong.

    A drop-in for :class:`sklearn.ensemble.AdaBoostClassifier` with a fast exact stump of its own, real AdaBoost,
    margins and their bounds, early stopping, warm starts and missing values.

    Parameters
    ----------
    estimator : classifier or None, default=None
        What to boost: any classifier or pipeline, also one of a class without scikit-learn's mixins. None means
        stumps, or trees of `max_depth`. One whose ``fit`` takes no ``sample_weight`` is trained, in each round, on as
        many rows as there are distinct ones, drawn with replacement in proportion to their weight.
    n_estimators : int, default=50
        The most rounds, those before a warm start included.
    learning_rate : float, default=1.0
        Below 1, each round changes less. It multiplies the votes of "SAMME", and the exponents by which "SAMME.R"
        changes the rows' weights.
    algorithm : {"SAMME", "SAMME.R"}, default="SAMME"
        "SAMME" is AdaBoost [1]_ for two classes and its extension [2]_ for more: members vote for a class. With
        "SAMME.R", real AdaBoost [2]_, they vote with the logarithms of their probabilities, and all votes weigh 1.
    max_depth : int, default=1
        The most splits between root and leaf of the built-in member; 1 is a stump. Refused with `estimator`.
    max_bins : int or None, default=None
        None finds the best of all splits; a number from 2 to 255 the best between that many bins, quantiles of
        the training rows. Refused with `estimator`.
    n_iter_no_change : int or None, default=None
        Stop when the accuracy on rows set aside has not improved for that many rounds; None sets none aside.
    validation_fraction : float, default=0.1
        The share of each class's distinct rows to set aside; used with `n_iter_no_change`.
    tol : float, default=1e-4
        By how much the accuracy must improve; used with `n_iter_no_change`.
    warm_start : bool, default=False
        Whether `fit` goes on from the rounds of the last fit. A fit that had ended early has nothing to add.
    random_state : int, RandomState instance or None, default=None
        The source of chance for members that have a ``random_state``, for drawn rows, and for rows set aside. The
        built-in member needs none.

    Attributes
    ----------
    estimators_ : list of classifiers
        The members, in the order of their rounds.
    estimator_ : classifier
        The unfitted member that all are clones of.
    estimator_weights_ : ndarray of shape (n_rounds,)
        The votes :math:`\\alpha_t = \\frac12[\\ln\\frac{1-\\epsilon_t}{\\epsilon_t} + \\ln(K-1)]` times
        `learning_rate`: half of scikit-learn's, which gives the same weighted vote. 0.5 for a member without error; 1
        for "SAMME.R".
    estimator_errors_ : ndarray of shape (n_rounds,)
        The weighted training errors :math:`\\epsilon_t`.
    training_error_bound_ : ndarray of shape (n_rounds,)
        After each round :math:`\\prod_t Z_t`, with
        :math:`Z_t = (1-\\epsilon_t) e^{-\\alpha_t} + \\epsilon_t e^{\\alpha_t}`, which for two classes and learning
        rate 1 is :math:`\\prod_t 2\\sqrt{\\epsilon_t(1-\\epsilon_t)}`. The weighted training error is no larger.
        With "SAMME.R" :math:`Z_t` is the mean factor of the weights, and the bound holds for two classes.
    margin_history_ : ndarray of shape (n_rounds, 7)
        After each round the least, the 0.1, 0.25, 0.5, 0.75 and 0.9 quantiles and the largest of the training margins.
    classes_ : ndarray of shape (n_classes,)
        The labels of rows of positive weight.
    n_classes_ : int
        Their number.
    n_iter_ : int
        Rounds kept.
    history_ : dict of str to list
        Per round "error" and "weight" (of its member), "training_error" (the share of training weight whose margin is
        not positive) and, with `n_iter_no_change`, "validation_score".
    n_features_in_ : int
        Number of features seen in fit.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, where X had names that are all strings.
    feature_importances_ : ndarray of shape (n_features,)
        The members' importances, weighted by their votes. Only if the members have them.

    Raises
    ------
    ValueError
        In `fit`, if y has fewer than two classes, or the first member is no better than chance (an error of
        :math:`1-1/K` or more).

    See Also
    --------
    sklearn.ensemble.AdaBoostClassifier : SAMME alone, whose trees sort the data in each round.

    Notes
    -----
    A round whose error is 0 is kept and ends the fit; one whose error is chance or worse is dropped and ends the fit.
    With a `learning_rate` above 1 weights may become 0 by rounding; a member that has only such rows wrong is dropped
    as well, and ends the fit with a warning.
    Of splits that differ by rounding alone the lowest feature is taken, then the lowest threshold; a split must gain
    more than rounding. The built-in member takes NaN: of both sides rows without the value go to the better one.

    Equal rows are merged into their weights, and rows put into an order that their content decides, before anything
    is summed or drawn: weight k equals k copies, and the order of rows does not matter.

    References
    ----------
    .. [1] Y. Freund and R. E. Schapire (1997). A decision-theoretic generalization of on-line learning and an
       application to boosting. J. Comput. Syst. Sci. 55.
    .. [2] J. Zhu, H. Zou, S. Rosset and T. Hastie (2009). Multi-class AdaBoost. Statistics and Its Interface 2.
    .. [3] R. E. Schapire, Y. Freund, P. Bartlett and W. S. Lee (1998). Boosting the margin: a new explanation for the
       effectiveness of voting methods. Annals of Statistics 26.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from skml import AdaBoost
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> boost = AdaBoost(n_estimators=100).fit(X[::2], y[::2])
    >>> boost.score(X[1::2], y[1::2]) > 0.94
    True
    >>> bool(boost.margin_history_[-1, 0] > boost.margin_history_[20, 0])  # the least margin grows
    True
    """

    _parameter_constraints = {
        "estimator": [None, HasMethods(["fit", "predict"])],
        "n_estimators": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "algorithm": [StrOptions({"SAMME", "SAMME.R"})],
        "max_depth": [Interval(Integral, 1, None, closed="left")],
        "max_bins": [None, Interval(Integral, 2, 255, closed="both")],
        "n_iter_no_change": [None, Interval(Integral, 1, None, closed="left")],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator=None,
        *,
        n_estimators=50,
        learning_rate=1.0,
        algorithm="SAMME",
        max_depth=1,
        max_bins=None,
        n_iter_no_change=None,
        validation_fraction=0.1,
        tol=1e-4,
        warm_start=False,
        random_state=None,
    ):
        self.estimator = estimator
        self.n_estimators = n_estimators
        self.learning_rate = learning_rate
        self.algorithm = algorithm
        self.max_depth = max_depth
        self.max_bins = max_bins
        self.n_iter_no_change = n_iter_no_change
        self.validation_fraction = validation_fraction
        self.tol = tol
        self.warm_start = warm_start
        self.random_state = random_state

    @fitting
    def fit(self, X, y, sample_weight=None):
        """Boost.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Training rows. NaN, which means missing, and sparse rows are accepted if the members take them; the built-in
            ones take NaN alone.
        y : array-like of shape (n_samples,)
            Their labels: numbers, strings or booleans of two classes or more.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight k means the same as k copies of the row, weight 0 that it isn't there.

        Returns
        -------
        self : object
            Fitted estimator.

        Raises
        ------
        ValueError
            If y has fewer than two classes, or the first member is no better than chance.
        """
        if self.estimator is not None:
            refuse_parameters_of_trees(self)
        random_state, start = check_random_state(self.random_state), self._last()
        rows, seen = self._rows(X, y, sample_weight, start)
        if start is not None and not np.array_equal(rows.classes, self.classes_):
            raise ValueError(f"fit with warm_start=True cannot go on: y had {self.classes_}, now has {rows.classes}.")
        member = member_to_boost(self.estimator, self.max_depth, self.max_bins, self.algorithm == "SAMME.R")
        with fit_task(self, **seen, max_subtasks=None) as context:
            steps = boosting_steps(rows, member, self._plan(), start, self.validation_fraction, random_state)
            attributes = functools.partial(self._attributes, member, rows.classes, rows.X.dtype)
            run = self._run(context, steps, start, attributes, seen)
            vars(self).update(attributes(run.state, run.history))
        self._warn_of_lost_weights()
        return self

    def decision_function(self, X):
        """Return the weighted vote of the members, as scikit-learn scales it.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            New rows.

        Returns
        -------
        decision : ndarray of shape (n_samples,) or (n_samples, n_classes)
            For two classes, positive means the second one; with "SAMME" twice the share of its votes less that of the
            first one's, from -2 to 2. For K > 2 classes, a member votes 1 for a class and :math:`-1/(K-1)` for the
            others, and the votes' weighted mean is returned.
        """
        X = self._checked(X)
        return self._tally(X).decision().astype(X.dtype)

    def predict(self, X):
        """Return the class of most votes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            New rows.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            The first of equal ones.
        """
        codes = self._tally(self._checked(X)).codes()
        return self.classes_[codes]

    def predict_proba(self, X):
        """Return class probabilities, by the logistic relation of votes and odds (equation 15 of Zhu et al.).

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            New rows.

        Returns
        -------
        shares : ndarray of shape (n_samples, n_classes)
            In the order of ``classes_``.
        """
        X = self._checked(X)
        return self._tally(X).shares().astype(X.dtype)

    def predict_log_proba(self, X):
        """Return the logarithms of class probabilities.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            New rows.

        Returns
        -------
        log_shares : ndarray of shape (n_samples, n_classes)
            In the order of ``classes_``.
        """
        return np.log(self.predict_proba(X))

    def staged_decision_function(self, X):
        """Yield the decision function after each round.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            New rows.

        Yields
        ------
        decision : ndarray of shape (n_samples,) or (n_samples, n_classes)
            As :meth:`decision_function` gives it.
        """
        X = self._checked(X)
        for tally in self._tallies(X):
            yield tally.decision().astype(X.dtype)

    def staged_predict(self, X):
        """Yield the class of most votes after each round.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            New rows.

        Yields
        ------
        labels : ndarray of shape (n_samples,)
            As :meth:`predict` gives them.
        """
        for tally in self._tallies(self._checked(X)):
            yield self.classes_[tally.codes()]

    def staged_predict_proba(self, X):
        """Yield class probabilities after each round.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            New rows.

        Yields
        ------
        shares : ndarray of shape (n_samples, n_classes)
            As :meth:`predict_proba` gives them.
        """
        X = self._checked(X)
        for tally in self._tallies(X):
            yield tally.shares().astype(X.dtype)

    def staged_score(self, X, y, sample_weight=None):
        """Yield the accuracy after each round.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,)
            Their labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Yields
        ------
        score : float
            The share of rows that :meth:`predict` has right.
        """
        for labels in self.staged_predict(X):
            yield float(accuracy_score(y, labels, sample_weight=sample_weight))

    def margins(self, X, y):
        """Return the margins of rows: the share of votes for the true class less the most for another.

        With "SAMME.R" a member's votes on a row are divided by the distance from its least to its largest.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,)
            Their labels, each among ``classes_``.

        Returns
        -------
        margins : ndarray of shape (n_samples,)
            From -1 to 1; :meth:`predict` is right where they are positive.

        Raises
        ------
        ValueError
            If a label is none of ``classes_``.
        """
        X = self._checked(X)
        codes = self._codes(y, X)
        tally = self._tally(X)
        return margins_of(tally.votes, codes, tally.spread).astype(X.dtype)

    def staged_margins(self, X, y):
        """Yield the margins of rows after each round.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,)
            Their labels, each among ``classes_``.

        Yields
        ------
        margins : ndarray of shape (n_samples,)
            As :meth:`margins` gives them.
        """
        X = self._checked(X)
        codes = self._codes(y, X)
        for tally in self._tallies(X):
            yield margins_of(tally.votes, codes, tally.spread).astype(X.dtype)

    def generalization_bound(self, X, y, theta, delta):
        r"""Return a bound on the error for rows not seen, from the margins of the training rows.

        With probability :math:`1-\delta` over the draw of m training rows S, at once for every committee of the
        built-in members and whatever their number,

        .. math:: P[\text{error}] \le P_S[\text{margin} \le \theta] + \min_N \left( 2 e^{-N\theta^2/8}
            + \sqrt{\tfrac{32}{m} \ln\tfrac{8 N (N+1)^2 |H|^N}{\delta}} \right),

        the inequality in the proof of theorem 2 of Schapire et al. (1998), :math:`|H|` being the number of ways in
        which one member can tell m rows apart, at most :math:`(2p(m+1))^{L-1} 2^L` for trees of depth d on p features,
        which have :math:`L = \min(2^d, m)` leaves that hold a row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The training rows.
        y : array-like of shape (n_samples,)
            Their labels.
        theta : float
            A margin in (0, 1], chosen before looking at the data.
        delta : float
            The probability, in (0, 1), with which the bound may fail.

        Returns
        -------
        bound : float
            Above 1 it says nothing; it takes some 1e5 rows to be below.

        Raises
        ------
        ValueError
            If there are more than two classes, members of another kind, or probabilities for votes, of which the
            theorem does not speak; or theta or delta is out of range.

        Notes
        -----
        The theorem assumes rows drawn independently from one distribution, the one that the error is about, all with
        weight 1, and X to be all of them: no choice, stopping or feature may have looked at others.
        """
        check_is_fitted(self)
        numbers = isinstance(theta, Real) and isinstance(delta, Real)
        if not (numbers and 0 < theta <= 1 and 0 < delta < 1):
            raise ValueError(f"theta must be in (0, 1] and delta in (0, 1), got {theta!r} and {delta!r}.")
        if self.n_classes_ != 2 or self._packed is None or self._real:
            raise ValueError("The bound is known for two classes, algorithm='SAMME' and the built-in members alone.")
        margins = self.margins(X, y)
        depth = self.estimator_.max_depth
        return schapire_bound(margins, theta, delta, log_growth(len(margins), self.n_features_in_, depth))

    @property
    def feature_importances_(self):
        """The members' importances, weighted by their votes."""
        check_is_fitted(self)
        try:
            each = np.array([member.feature_importances_ for member in self.estimators_])
        except AttributeError as error:
            kind = type(self.estimator_).__name__
            raise AttributeError(f"feature_importances_ needs members that have them; {kind} has none.") from error
        mean = self.estimator_weights_ @ each
        return mean / mean.sum() if mean.sum() > 0 else mean

    # ---- what the methods share

    def _last(self):
        """Return the committee to go on from, or None."""
        if not (self.warm_start and hasattr(self, "estimators_")):
            return None
        known = len(self.estimators_)
        if known > self.n_estimators:
            raise ValueError(f"n_estimators={self.n_estimators} must be at least the {known} rounds of the last fit.")
        scores = tuple(self.history_.get("validation_score", ()))
        outcome = self._outcome if self._outcome != "n_rounds" else None
        columns = (self.estimators_, self.estimator_weights_.tolist(), self.estimator_errors_.tolist())
        return Committee(*map(tuple, (*columns, self._log_losses, self.margin_history_)), scores, outcome)

    def _rows(self, X, y, sample_weight, start):
        """Return the distinct rows of positive weight in an order of their own, and what callbacks may see."""
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None.")
        X = validate_numbers(self, X, _STRINGS, reset=start is None, **self._takes())
        y = column_or_1d(as_given(y), warn=True)
        check_consistent_length(X, y)
        assert_all_finite(y, input_name="y")
        labels, codes = numbered(y, "y")
        check_classification_targets(y)
        weights = validate_weights(sample_weight, X)
        held = np.unique(codes if weights is None else codes[weights > 0])
        classes = labels[held]
        if len(classes) < 2:
            raise ValueError(
                f"AdaBoost needs rows of at least two classes; y has one class, {classes[:1].tolist()[0]!r}."
            )
        codes = np.searchsorted(held, codes).astype(np.int32)
        index, merged = distinct_rows(X, weights, codes)
        return Rows(X[index], codes[index], merged, classes), {"X": X, "y": y, "sample_weight": weights}

    def _takes(self):
        """Return what X may be: what the members take."""
        if self.estimator is None:
            return {"allow_nan": True, "order": "C"}
        said = input_tags(self.estimator)
        allow_nan, sparse = any(one.allow_nan for one in said), any(one.sparse for one in said)
        return {"allow_nan": allow_nan, "accept_sparse": sparse, "order": "C"}

    def _run(self, context, steps, start, attributes, seen):
        """Run the rounds, if there are any left."""
        if start is not None:
            done = start.outcome or len(start.members) == self.n_estimators
            first = None if done else next(steps, None)
            if first is None:
                return Run(start, self.history_, None)
            steps = itertools.chain([first], steps)
        history = self.history_ if start is not None else None
        return run_steps(self, context, steps, task="round", attributes=attributes, history=history, **seen)

    def _warn_of_lost_weights(self):
        """Warn if the fit ended because weights had become 0 by rounding."""
        if self._outcome == "vanished":
            message = (
                f"The fit ended after round {self.n_iter_}: all that the next member had wrong were rows whose weight "
                f"had become 0 by rounding. A learning_rate below {self.learning_rate:g} changes weights less."
            )
            warn_caller(message, UserWarning)

    def _plan(self):
        real = self.algorithm == "SAMME.R"
        return Plan(self.n_estimators, self.learning_rate, real, self.n_iter_no_change, self.tol)

    def _attributes(self, member, classes, dtype, state, history):
        real, trees = self.algorithm == "SAMME.R", None
        if isinstance(member, BoostedTree):
            trees = [one.tree_ for one in state.members]
        return {
            "estimator_": member,
            "estimators_": list(state.members),
            "estimator_weights_": np.array(state.votes),
            "estimator_errors_": np.array(state.errors),
            "training_error_bound_": np.exp(np.minimum(np.cumsum(state.log_losses), 700)),
            "margin_history_": np.array(state.margins, dtype=dtype),
            "classes_": classes,
            "n_classes_": len(classes),
            "n_iter_": len(state.members),
            "history_": history,
            "_log_losses": state.log_losses,
            "_outcome": state.outcome,
            "_real": real,
            "_packed": packed(trees) if trees else None,
            "_values": leaf_votes(trees, state.votes, real) if trees else None,
        }

    def _tally(self, X):
        """Return all votes on rows."""
        if self._packed is not None:
            return tree_tally(X, self._packed, self._values, self.estimator_weights_, self._real)
        return deque(self._tallies(X), maxlen=1)[0]

    def _tallies(self, X):
        said = answers(self.estimators_, X, self.classes_, self._real)
        return staged_tallies(said, self.estimator_weights_, self.n_classes_, self._real)

    def _checked(self, X):
        check_is_fitted(self)
        return validate_numbers(self, X, _STRINGS, reset=False, **self._takes())

    def _codes(self, y, X):
        y = column_or_1d(y)
        check_consistent_length(X, y)
        codes = np.minimum(np.searchsorted(self.classes_, y), self.n_classes_ - 1)
        if (unknown := self.classes_[codes] != y).any():
            raise ValueError(f"y holds {y[unknown].tolist()[0]!r}, none of the classes {self.classes_}.")
        return codes

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        takes = self._takes()
        tags.input_tags.allow_nan, tags.input_tags.sparse = takes["allow_nan"], takes.get("accept_sparse", False)
        return tags
