"""How the figures of a fit went, as a picture in scikit-learn's style, for whatever estimator records them."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skml._axes import lacking, take_axes

__all__ = ["HistoryDisplay"]


class HistoryDisplay:
    """How the figures of a fit went, step by step: what `history_` holds.

    Make one with :meth:`from_estimator`. It works for every estimator of skml that fits in steps. Figures of
    different kinds have panels of their own; one on rows set aside ("validation_loss") is drawn with that on the rows
    learned from ("loss").

    Parameters
    ----------
    history : dict of str to list of float
        The figures. Shorter ones began later: all end at the last step.
    step_name : str, default="step"
        What the axis says.
    name : str or None, default=None
        What a legend calls the fit; None names the figures alone.

    Attributes
    ----------
    lines_ : dict of str to matplotlib Line2D
        The curves.
    axes_ : ndarray of matplotlib Axes
        The panels.
    figure_ : matplotlib Figure
        What holds them.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skml import KMeansPP
    >>> from skml.vision import HistoryDisplay
    >>> kmeans = KMeansPP(n_clusters=20, n_init=1, random_state=0).fit(make_blobs(500, random_state=0)[0])
    >>> display = HistoryDisplay.from_estimator(kmeans, figures=["inertia"])
    >>> display.axes_[0].get_ylabel()
    'inertia'
    """

    def __init__(self, history, *, step_name="step", name=None):
        self.history = history
        self.step_name = step_name
        self.name = name

    @classmethod
    def from_estimator(cls, estimator, *, figures=None, step_name=None, name=None, ax=None, **kwargs):
        """Draw what a fit recorded.

        Parameters
        ----------
        estimator : estimator
            Fitted, with `history_`.
        figures : list of str or None, default=None
            Which figures to draw; None means all but the learning rate.
        step_name : str or None, default=None
            What the axis says; None means "epoch" where there is a learning rate, and else "step".
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
        check_is_fitted(estimator)
        history = getattr(estimator, "history_", None)
        if history is None:
            raise TypeError(lacking(cls, "history_", estimator))
        if step_name is None:
            step_name = "epoch" if "learning_rate" in history else "step"
        return cls(history, step_name=step_name, name=name).plot(ax, figures=figures, **kwargs)

    def plot(self, ax=None, *, figures=None, **kwargs):
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, list of them, or None, default=None
            Where to draw: everything, or a panel each; None makes a figure.
        figures : list of str or None, default=None
            Which figures to draw; None means all but the learning rate.
        **kwargs : dict
            For ``matplotlib.axes.Axes.plot``.

        Returns
        -------
        display : HistoryDisplay
            The picture.

        Raises
        ------
        ValueError
            If nothing was recorded, a figure is unknown, or there are fewer axes than panels.
        """
        panels = _panels(self.history, figures)
        last = max(map(len, self.history.values()))
        self._take_panels(ax, len(panels))
        self.lines_ = {}
        for axis, (kind, members) in zip(np.broadcast_to(self.axes_, len(panels)), panels.items()):
            for figure in members:
                values = self.history[figure]
                named = {"label": figure if self.name is None else f"{self.name}: {figure}"} | kwargs
                steps = np.arange(last - len(values), last) + 1
                (self.lines_[figure],) = axis.plot(steps, values, **named)
            axis.set(xlabel=self.step_name, ylabel=kind.replace("_", " "))
            axis.locator_params(axis="x", integer=True)
            if len(axis.lines) > 1 or self.name is not None:
                axis.legend()
        return self

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


def _panels(history, figures):
    """Return {kind: figures of it} in order."""
    known = [figure for figure, values in history.items() if len(values)]
    if not known:
        raise ValueError("There is nothing to draw: this fit recorded no steps.")
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
