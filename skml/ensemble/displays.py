"""Pictures of ensembles, in scikit-learn's style: out-of-bag curves, importances, intervals."""

from numbers import Integral

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted

from skml._axes import take_axes

# What ImportanceDisplay shows: its label for a classifier, and for a regressor.
_IMPORTANCES = {
    "impurity": ("mean decrease in impurity", "mean decrease in impurity"),
    "oob_impurity": ("decrease in impurity out of bag", "decrease in variance out of bag"),
    "oob_permutation": ("drop in accuracy when shuffled", "rise of the squared error when shuffled"),
}


class OOBCurveDisplay:
    """The out-of-bag score of a forest after each of its members.

    Make one with :meth:`from_estimator`. Where the curve is flat, more members would not help.

    Parameters
    ----------
    scores : ndarray of shape (n_scores,)
        The scores.
    n_members : ndarray of shape (n_scores,) or None, default=None
        After how many members each was measured; None counts from 1.
    score_name : str, default="out-of-bag score"
        What the axis says.
    name : str or None, default=None
        What a legend calls the curve; None draws no legend.

    Attributes
    ----------
    line_ : matplotlib Line2D
        The curve.
    ax_ : matplotlib Axes
        Where it is drawn.
    figure_ : matplotlib Figure
        What holds the axes.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skml.ensemble import BaggingForest, OOBCurveDisplay
    >>> forest = BaggingForest(n_estimators=50, oob_score=True, random_state=0).fit(*load_wine(return_X_y=True))
    >>> display = OOBCurveDisplay.from_estimator(forest)
    >>> display.ax_.get_ylabel()
    'out-of-bag accuracy'
    """

    def __init__(self, scores, *, n_members=None, score_name="out-of-bag score", name=None):
        self.scores = scores
        self.n_members = n_members
        self.score_name = score_name
        self.name = name

    @classmethod
    def from_estimator(cls, estimator, *, name=None, ax=None, **kwargs):
        """Draw the curve of a forest.

        Parameters
        ----------
        estimator : BaggingForest or BaggingForestRegressor
            Fitted with `oob_score`, or with ``n_estimators="auto"``.
        name : str or None, default=None
            What a legend calls the curve; None draws no legend.
        ax : matplotlib Axes or None, default=None
            Where to draw; None makes a figure.
        **kwargs : dict
            For ``matplotlib.axes.Axes.plot``.

        Returns
        -------
        display : OOBCurveDisplay
            The picture.

        Raises
        ------
        ValueError
            If the forest keeps no out-of-bag scores.
        """
        check_is_fitted(estimator)
        scores = getattr(estimator, "oob_curve_", None)
        if scores is None:
            raise ValueError(f"{cls.__name__} needs out-of-bag scores: fit with oob_score=True.")
        last = len(estimator)
        n_members = np.arange(last - len(scores), last) + 1
        display = cls(scores, n_members=n_members, score_name=f"out-of-bag {_score_name(estimator)}", name=name)
        return display.plot(ax, **kwargs)

    def plot(self, ax=None, **kwargs):
        """Draw the curve.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Where to draw; None makes a figure.
        **kwargs : dict
            For ``matplotlib.axes.Axes.plot``.

        Returns
        -------
        display : OOBCurveDisplay
            The picture.
        """
        take_axes(self, ax)
        n_members = np.arange(len(self.scores)) + 1 if self.n_members is None else self.n_members
        named = {} if self.name is None else {"label": self.name}
        (self.line_,) = self.ax_.plot(n_members, self.scores, **(named | kwargs))
        self.ax_.set(xlabel="members", ylabel=self.score_name)
        if "label" in named | kwargs:
            self.ax_.legend()
        return self


class ImportanceDisplay:
    """How important each feature is to an ensemble, as bars, the most important on top.

    Make one with :meth:`from_estimator`.

    Parameters
    ----------
    importances : ndarray of shape (n_features,)
        The importances.
    std : ndarray of shape (n_features,) or None, default=None
        Their standard deviations over the members, drawn as whiskers.
    feature_names : array-like of str of shape (n_features,) or None, default=None
        Names; None numbers the features.
    importance_name : str, default="importance"
        What the axis says.

    Attributes
    ----------
    bars_ : matplotlib BarContainer
        The bars.
    ax_ : matplotlib Axes
        Where they are drawn.
    figure_ : matplotlib Figure
        What holds the axes.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skml.ensemble import BaggingForest, ImportanceDisplay
    >>> X, y = load_wine(return_X_y=True, as_frame=True)
    >>> forest = BaggingForest(n_estimators=50, oob_score=True, random_state=0).fit(X, y)
    >>> display = ImportanceDisplay.from_estimator(forest, method="oob_permutation", max_features=5)
    >>> len(display.bars_)
    5
    """

    def __init__(self, importances, *, std=None, feature_names=None, importance_name="importance"):
        self.importances = importances
        self.std = std
        self.feature_names = feature_names
        self.importance_name = importance_name

    @classmethod
    def from_estimator(
        cls, estimator, *, method="impurity", n_repeats=5, feature_names=None, max_features=20, ax=None, **kwargs
    ):
        """Draw the importances of a forest.

        Parameters
        ----------
        estimator : estimator
            Fitted. "impurity" needs `feature_importances_`, the others a forest fitted with `oob_score`.
        method : {"impurity", "oob_impurity", "oob_permutation"}, default="impurity"
            `feature_importances_`, which favours features with many values, `oob_impurity_importance()`, or
            `oob_permutation_importance()`, which has whiskers.
        n_repeats : int, default=5
            How often "oob_permutation" shuffles each feature.
        feature_names : array-like of str of shape (n_features,) or None, default=None
            Names; None takes those of the training data, or numbers.
        max_features : int or None, default=20
            How many to show; None shows all.
        ax : matplotlib Axes or None, default=None
            Where to draw; None makes a figure.
        **kwargs : dict
            For ``matplotlib.axes.Axes.barh``.

        Returns
        -------
        display : ImportanceDisplay
            The picture.

        Raises
        ------
        TypeError
            If the estimator has no such importances, or `max_features` is no integer.
        ValueError
            If `method` is unknown, or the forest keeps no out-of-bag rows.
        """
        check_is_fitted(estimator)
        if method not in list(_IMPORTANCES):
            raise ValueError(f"method must be one of {sorted(_IMPORTANCES)}, got {method!r}.")
        importances, std = _importances(estimator, method, n_repeats)
        names = getattr(estimator, "feature_names_in_", None) if feature_names is None else feature_names
        label = _IMPORTANCES[method][0 if is_classifier(estimator) else 1]
        display = cls(importances, std=std, feature_names=names, importance_name=label)
        return display.plot(ax, max_features=max_features, **kwargs)

    def plot(self, ax=None, *, max_features=20, **kwargs):
        """Draw the bars.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Where to draw; None makes a figure.
        max_features : int or None, default=20
            How many to show; None shows all.
        **kwargs : dict
            For ``matplotlib.axes.Axes.barh``.

        Returns
        -------
        display : ImportanceDisplay
            The picture.
        """
        importances, names = np.asarray(self.importances), self.feature_names
        names = [f"feature_{i}" for i in range(len(importances))] if names is None else list(names)
        if len(names) != len(importances):
            raise ValueError(f"feature_names holds {len(names)} names for {len(importances)} features.")
        if max_features is not None and (not isinstance(max_features, Integral) or max_features < 1):
            raise TypeError(f"max_features must be an integer of at least 1, or None, got {max_features!r}.")
        shown = np.argsort(-importances, kind="stable")[:max_features][::-1]
        whiskers = {} if self.std is None else {"xerr": np.asarray(self.std)[shown]}
        take_axes(self, ax, figsize=(6.4, max(4.8, 0.8 + 0.2 * len(shown))))
        self.bars_ = self.ax_.barh(np.arange(len(shown)), importances[shown], **(whiskers | kwargs))
        self.ax_.set_yticks(np.arange(len(shown)), [str(names[i]) for i in shown], parse_math=False)
        self.ax_.set_xlabel(self.importance_name)
        return self


class IntervalDisplay:
    """Predictions and their intervals, in ascending order of the predictions, and the targets that came.

    Make one with :meth:`from_estimator`, or with :meth:`from_predictions` of what any model says.

    Parameters
    ----------
    y_true : ndarray of shape (n_samples,)
        Targets.
    y_pred : ndarray of shape (n_samples,)
        Predictions.
    intervals : ndarray of shape (n_samples, 2)
        Lower and upper ends; infinite ones reach to the edge of the picture.
    name : str or None, default=None
        What the title says; None says nothing but the share inside.

    Attributes
    ----------
    coverage_ : float
        The share of targets inside their intervals, ends included.
    band_ : matplotlib PolyCollection
        The intervals.
    line_ : matplotlib Line2D
        The predictions.
    inside_ : matplotlib PathCollection
        Targets inside.
    outside_ : matplotlib PathCollection
        Targets outside.
    ax_ : matplotlib Axes
        Where they are drawn.
    figure_ : matplotlib Figure
        What holds the axes.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skml.ensemble import BaggingForestRegressor, IntervalDisplay
    >>> X, y = load_diabetes(return_X_y=True)
    >>> forest = BaggingForestRegressor(oob_score=True, random_state=0).fit(X[:300], y[:300])
    >>> display = IntervalDisplay.from_estimator(forest, X[300:], y[300:], coverage=0.9, method="jackknife+")
    >>> display.coverage_ > 0.8
    True
    """

    def __init__(self, y_true, y_pred, intervals, *, name=None):
        self.y_true = y_true
        self.y_pred = y_pred
        self.intervals = intervals
        self.name = name

    @classmethod
    def from_estimator(cls, estimator, X, y, *, coverage=0.9, method="quantile", name=None, ax=None, **kwargs):
        """Draw a forest's predictions and intervals.

        Parameters
        ----------
        estimator : BaggingForestRegressor
            Fitted.
        X : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_features)
            Rows that it has not seen.
        y : array-like of shape (n_samples,)
            Their targets.
        coverage : float, default=0.9
            The share of targets that shall be inside.
        method : {"quantile", "jackknife+"}, default="quantile"
            As in ``predict_interval``.
        name : str or None, default=None
            What the title says; None names the method and the coverage wanted.
        ax : matplotlib Axes or None, default=None
            Where to draw; None makes a figure.
        **kwargs : dict
            For :meth:`plot`.

        Returns
        -------
        display : IntervalDisplay
            The picture.

        Raises
        ------
        TypeError
            If the estimator predicts no intervals.
        ValueError
            As ``predict_interval`` and :meth:`from_predictions` do.
        """
        if not hasattr(estimator, "predict_interval"):
            what = type(estimator).__name__
            raise TypeError(
                f"{cls.__name__} needs a BaggingForestRegressor, which predicts intervals; {what} doesn't. Those of "
                f"other models are drawn by {cls.__name__}.from_predictions."
            )
        intervals = estimator.predict_interval(X, coverage=coverage, method=method)
        name = f"{method}, {coverage:.0%} wanted" if name is None else name
        return cls.from_predictions(y, estimator.predict(X), intervals, name=name, ax=ax, **kwargs)

    @classmethod
    def from_predictions(cls, y_true, y_pred, intervals, *, name=None, ax=None, **kwargs):
        """Draw predictions and intervals.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            Targets.
        y_pred : array-like of shape (n_samples,)
            Predictions.
        intervals : array-like of shape (n_samples, 2)
            Lower and upper ends.
        name : str or None, default=None
            What the title says; None says nothing but the share inside.
        ax : matplotlib Axes or None, default=None
            Where to draw; None makes a figure.
        **kwargs : dict
            For :meth:`plot`.

        Returns
        -------
        display : IntervalDisplay
            The picture.

        Raises
        ------
        ValueError
            If the shapes don't belong together, there are no rows, or targets and predictions aren't finite.
        """
        y_true, y_pred, intervals = (np.asarray(values, dtype=float) for values in (y_true, y_pred, intervals))
        if y_true.ndim != 1 or y_pred.shape != y_true.shape or intervals.shape != (len(y_true), 2):
            raise ValueError(
                "y_true and y_pred must be of shape (n_samples,) and intervals of shape (n_samples, 2), got "
                f"{y_true.shape}, {y_pred.shape} and {intervals.shape}."
            )
        if len(y_true) == 0:
            raise ValueError(f"{cls.__name__} needs at least one row, got none.")
        if not (np.isfinite(y_true).all() and np.isfinite(y_pred).all()) or np.isnan(intervals).any():
            raise ValueError(
                "y_true and y_pred must be finite and intervals free of NaN: what isn't known is neither inside nor "
                "outside. Leave such rows out."
            )
        return cls(y_true, y_pred, intervals, name=name).plot(ax, **kwargs)

    def plot(self, ax=None, *, band_kwargs=None, line_kwargs=None, scatter_kwargs=None):
        """Draw the picture.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Where to draw; None makes a figure.
        band_kwargs : dict or None, default=None
            For ``matplotlib.axes.Axes.fill_between``, which draws the intervals.
        line_kwargs : dict or None, default=None
            For ``matplotlib.axes.Axes.plot``, which draws the predictions.
        scatter_kwargs : dict or None, default=None
            For ``matplotlib.axes.Axes.scatter``, which draws the targets.

        Returns
        -------
        display : IntervalDisplay
            The picture.
        """
        order = np.argsort(self.y_pred, kind="stable")
        y, said, ends = self.y_true[order], self.y_pred[order], self.intervals[order]
        inside = (ends[:, 0] <= y) & (y <= ends[:, 1])
        self.coverage_ = float(inside.mean())
        low, high = _within_picture(ends, y, said)
        take_axes(self, ax)
        places, points = np.arange(len(y)), {"s": 9, "zorder": 3} | (scatter_kwargs or {})
        band = {"color": "C0", "alpha": 0.25, "linewidth": 0, "step": "mid", "label": "interval"} | (band_kwargs or {})
        self.band_ = self.ax_.fill_between(places, low, high, **band)
        line = {"color": "C0", "label": "prediction"} | (line_kwargs or {})
        (self.line_,) = self.ax_.plot(places, said, **line)
        dark, bright = {"color": "0.25", "label": "target"} | points, {"color": "C3", "label": "outside"} | points
        self.inside_ = self.ax_.scatter(places[inside], y[inside], **dark)
        self.outside_ = self.ax_.scatter(places[~inside], y[~inside], **bright)
        title = f"{self.coverage_:.1%} inside"
        self.ax_.set(
            xlabel="rows, by prediction", ylabel="target", title=f"{self.name}: {title}" if self.name else title
        )
        self.ax_.legend()
        return self


def _importances(estimator, method, n_repeats):
    """Return the importances of an estimator's features, and their deviations or None."""
    needed = "feature_importances_" if method == "impurity" else f"{method}_importance"
    try:
        found = getattr(estimator, needed)
    except AttributeError as error:
        what = type(estimator).__name__
        raise TypeError(
            f"ImportanceDisplay with method={method!r} needs {needed}, which {what} doesn't have. Of a pipeline or a "
            "search, give the fitted model inside, and its feature_names."
        ) from error
    if method == "impurity":
        return found, None
    if method == "oob_impurity":
        return found(), None
    found = found(n_repeats=n_repeats)
    return found.importances_mean, found.importances_std


def _score_name(forest):
    """Return what a forest's out-of-bag score is called."""
    asked = forest.oob_score
    if isinstance(asked, str):
        return asked
    if callable(asked):
        return getattr(asked, "__name__", "score")
    return "accuracy" if is_classifier(forest) else "R²"


def _within_picture(ends, *others):
    """Return lower and upper ends, those at infinity moved a little beyond everything else."""
    known = np.concatenate([ends[np.isfinite(ends)], *others])
    low, high = known.min(), known.max()
    room = 0.05 * (high - low)
    return np.clip(ends, low - room, high + room).T
