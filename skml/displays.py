"""How the figures of a fit, or of several, went, as a picture in scikit-learn's style; for whatever records them."""

from numbers import Integral, Real

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skml._axes import lacking, take_axes

__all__ = ["HistoryDisplay"]


class HistoryDisplay:
    """How the figures of a fit went, step by step: what `history_` holds.

    Make one with :meth:`from_estimator`, or of several fits, as of several seeds, with :meth:`from_estimators`. It
    works for every estimator of skml that fits in steps. Figures of different kinds have panels of their own; one on
    rows set aside ("validation_loss") is drawn with that on the rows learned from ("loss").

    Of several fits a curve is the mean of all and a band says how far they differ. The curve ends where the shortest of
    them does.

    Parameters
    ----------
    history : dict of str to list of float, or list of such
        The figures of a fit, or of several. Shorter ones began later: all figures of a fit end at its last step.
    step_name : str, default="step"
        What the axis says.
    name : str or None, default=None
        What a legend calls the fit, or the group of fits; None names the figures alone.

    Attributes
    ----------
    lines_ : dict of str to matplotlib Line2D
        The curves.
    bands_ : dict of str to matplotlib PolyCollection
        The bands about them; of several fits only.
    axes_ : ndarray of matplotlib Axes
        The panels.
    figure_ : matplotlib Figure
        What holds them.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skml import KMeansPP
    >>> from skml.displays import HistoryDisplay
    >>> X = make_blobs(500, random_state=0)[0]
    >>> fits = [KMeansPP(n_clusters=20, n_init=1, random_state=seed).fit(X) for seed in range(5)]
    >>> display = HistoryDisplay.from_estimator(fits[0], figures=["inertia"])
    >>> display.axes_[0].get_ylabel()
    'inertia'
    >>> display = HistoryDisplay.from_estimators(fits, figures=["inertia"], band=0.8, name="5 seeds")
    >>> list(display.bands_)
    ['inertia']
    """

    def __init__(self, history, *, step_name="step", name=None):
        self.history = history
        self.step_name = step_name
        self.name = name

    @classmethod
    def from_estimator(cls, estimator, *, figures=None, smooth=1, step_name=None, name=None, ax=None, **kwargs):
        """Draw what a fit recorded.

        Parameters
        ----------
        estimator : estimator
            Fitted, with `history_`.
        figures : list of str or None, default=None
            Which figures to draw; None means all but the learning rate.
        smooth : int, default=1
            Over how many steps to average: each point is the mean of so many values up to its step.
        step_name : str or None, default=None
            What the axis says; None means "epoch" where there is a learning rate, "episode" where each step is one, and
            else "step".
        name : str or None, default=None
            What a legend calls the fit; None names the figures alone.
        ax : matplotlib Axes, list of them, or None, default=None
            Where to draw: everything, or a panel each; None makes a figure.
        **kwargs : dict
            For ``matplotlib.axes.Axes.plot``.

        Returns
        -------
        display : HistoryDisplay
            The picture.

        Raises
        ------
        TypeError
            If the estimator has no `history_`.
        ValueError
            As :meth:`plot` does.
        """
        history = _history_of(cls, estimator)
        step_name = _step_name(history) if step_name is None else step_name
        return cls(history, step_name=step_name, name=name).plot(ax, figures=figures, smooth=smooth, **kwargs)

    @classmethod
    def from_estimators(
        cls, estimators, *, figures=None, smooth=1, band="standard_error", step_name=None, name=None, ax=None, **kwargs
    ):
        """Draw what several fits recorded: a curve of the mean, and a band.

        To compare groups of fits, draw each on the axes of the one before: ``ax=display.axes_``.

        Parameters
        ----------
        estimators : list of estimator
            Fitted, with `history_`; such as differ in their `random_state` alone.
        figures : list of str or None, default=None
            Which figures to draw; None means all that every fit has, but the learning rate.
        smooth : int, default=1
            Over how many steps to average each fit: each point is the mean of so many values up to its step.
        band : "standard_error", float in (0, 1] or None, default="standard_error"
            What the band shows: the mean and its standard error to either side; or the share of fits that it holds, the
            middle ones, about their median, such as 0.5 or 1; or nothing.
        step_name : str or None, default=None
            What the axis says; None means "epoch" where there is a learning rate, "episode" where each step is one, and
            else "step".
        name : str or None, default=None
            What a legend calls the group; None names the figures alone.
        ax : matplotlib Axes, list of them, or None, default=None
            Where to draw: everything, or a panel each; None makes a figure.
        **kwargs : dict
            For ``matplotlib.axes.Axes.plot``.

        Returns
        -------
        display : HistoryDisplay
            The picture.

        Raises
        ------
        TypeError
            If an estimator has no `history_`, or they are no list.
        ValueError
            As :meth:`plot` does.
        """
        if hasattr(estimators, "get_params") or not hasattr(estimators, "__iter__"):
            raise TypeError(f"estimators must be a list of fitted estimators, got {estimators!r}.")
        histories = [_history_of(cls, estimator) for estimator in estimators]
        if step_name is None and histories:
            step_name = _step_name(histories[0])
        return cls(histories, step_name=step_name, name=name).plot(
            ax, figures=figures, smooth=smooth, band=band, **kwargs
        )

    def plot(self, ax=None, *, figures=None, smooth=1, band="standard_error", **kwargs):
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, list of them, or None, default=None
            Where to draw: everything, or a panel each; None makes a figure.
        figures : list of str or None, default=None
            Which figures to draw; None means all but the learning rate.
        smooth : int, default=1
            Over how many steps to average: each point is the mean of so many values up to its step.
        band : "standard_error", float in (0, 1] or None, default="standard_error"
            Of several fits: the mean and its standard error to either side; or the share of fits that the band holds,
            the middle ones, about their median; or nothing.
        **kwargs : dict
            For ``matplotlib.axes.Axes.plot``.

        Returns
        -------
        display : HistoryDisplay
            The picture.

        Raises
        ------
        TypeError
            If `smooth` is no whole number from 1.
        ValueError
            If nothing was recorded, a figure is unknown, there are fewer axes than panels, `band` is none of the above,
            or fits have no step in common.
        """
        _check_style(smooth, band)
        histories = [self.history] if hasattr(self.history, "keys") else list(self.history)
        panels = _panels(histories, figures)
        curves = {figure: _curves(histories, figure, smooth) for members in panels.values() for figure in members}
        self._take_panels(ax, len(panels))
        self.lines_, self.bands_ = {}, {}
        for axis, (kind, members) in zip(np.broadcast_to(self.axes_, len(panels)), panels.items()):
            for figure in members:
                self._draw(axis, figure, *curves[figure], band, kwargs)
            axis.set(xlabel=self.step_name, ylabel=kind.replace("_", " "))
            axis.locator_params(axis="x", integer=True)
            if len(axis.lines) > 1 or self.name is not None:
                axis.legend()
        return self

    def _draw(self, axis, figure, steps, values, band, style):
        """Draw the curve of a figure, of values (n_fits, n_steps), and its band."""
        named = {"label": figure if self.name is None else f"{self.name}: {figure}"} | style
        middle, low, high = _summary(values, band)
        (self.lines_[figure],) = axis.plot(steps, middle, **named)
        if len(values) > 1 and band is not None:
            color = self.lines_[figure].get_color()
            self.bands_[figure] = axis.fill_between(steps, low, high, color=color, alpha=0.2, linewidth=0)

    def _take_panels(self, ax, n_panels):
        """Take the axes that are given, or make a row of them."""
        if ax is None:
            take_axes(self, None, ncols=n_panels, figsize=(6.4 * n_panels**0.6, 4.2), squeeze=False)
            self.axes_ = np.ravel(self.ax_)
            del self.ax_
            return
        self.axes_ = np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
        if len(self.axes_) not in (1, n_panels):
            raise ValueError(f"There are {n_panels} kinds of figures to draw, and {len(self.axes_)} axes for them.")
        self.figure_ = self.axes_[0].figure


def _history_of(display, estimator):
    check_is_fitted(estimator)
    history = getattr(estimator, "history_", None)
    if history is None:
        raise TypeError(lacking(display, "history_", estimator))
    return history


def _step_name(history):
    """Return what the steps of a history are called."""
    if "learning_rate" in history:
        return "epoch"
    return "episode" if {"return", "length"} <= set(history) else "step"


def _check_style(smooth, band):
    if not isinstance(smooth, Integral) or isinstance(smooth, bool) or smooth < 1:
        raise TypeError(f"smooth must be a whole number from 1, got {smooth!r}.")
    share = isinstance(band, Real) and not isinstance(band, bool) and 0 < band <= 1
    if not share and band is not None and band != "standard_error":
        raise ValueError(f"band must be 'standard_error', a share above 0 and up to 1, or None; got {band!r}.")


def _panels(histories, figures):
    """Return {kind: figures of it} in order; figures that every history has."""
    if not histories:
        raise ValueError("There is nothing to draw: the list of fits is empty.")
    known = [figure for figure in histories[0] if all(len(history.get(figure, ())) for history in histories)]
    if not known:
        what = "this fit recorded no steps" if len(histories) == 1 else "there is no figure that every fit recorded"
        raise ValueError(f"There is nothing to draw: {what}.")
    if isinstance(figures, str):
        figures = [figures]
    if figures is None:
        figures = [figure for figure in known if figure != "learning_rate"] or known
    panels = {}
    for figure in figures:
        if figure not in known:
            raise ValueError(f"{figure!r} was not recorded; there are {', '.join(known)}.")
        panels.setdefault(figure.removeprefix("validation_"), []).append(figure)
    return panels


def _curves(histories, figure, smooth):
    """Return the steps that all fits have, and the values of a figure at them, (n_fits, n_steps)."""
    lasts = [max(map(len, history.values())) for history in histories]
    firsts = [last - len(history[figure]) for last, history in zip(lasts, histories)]
    start, stop = max(firsts), min(lasts)
    if start >= stop:
        raise ValueError(f"The fits have no step in common at which {figure!r} was recorded.")
    smoothed = [moving_mean(history[figure], smooth) for history in histories]
    values = np.array([values[start - first : stop - first] for values, first in zip(smoothed, firsts)])
    return np.arange(start, stop) + 1, values


def moving_mean(values, n):
    """Return the mean of the last n values up to each; at first there are fewer.

    Parameters
    ----------
    values : array-like of shape (n_steps,)
        NaN is passed over.
    n : int
        How many; 1 changes nothing.

    Returns
    -------
    means : ndarray of shape (n_steps,), float64
        NaN where all of the values are.
    """
    values = np.asarray(values, dtype=np.float64)
    if n == 1:
        return values
    there = ~np.isnan(values)
    window = np.ones(min(n, len(values)))
    with np.errstate(invalid="ignore"):
        means = np.convolve(np.where(there, values, 0.0), window) / np.convolve(there, window)
    return means[: len(values)]


def _summary(values, band):
    """Return the middle of values (n_fits, n_steps), and the lower and the upper end of their band."""
    mean = values.mean(axis=0)
    if len(values) == 1 or band is None:
        return mean, mean, mean
    if band == "standard_error":
        error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
        return mean, mean - error, mean + error
    low, middle, high = np.quantile(values, [(1 - band) / 2, 0.5, (1 + band) / 2], axis=0)
    return middle, low, high
