"""The picture of a boosted committee: how its margins are distributed."""

from numbers import Integral

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skml._axes import take_axes

__all__ = ["MarginDisplay"]


class MarginDisplay:
    """The cumulative distribution of margins, after one or several rounds of boosting.

    Parameters
    ----------
    margins : list of ndarray
        Margins of rows, each from -1 to 1.
    names : list of str
        What each of them is called in the legend.

    Attributes
    ----------
    lines_ : list of matplotlib lines
        One per entry of `margins`, once it is drawn.
    ax_ : matplotlib Axes
        Where they are drawn.
    figure_ : matplotlib Figure
        The figure that holds the axes.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from skml import AdaBoost
    >>> from skml.ensemble import MarginDisplay
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> boost = AdaBoost(n_estimators=100).fit(X, y)
    >>> display = MarginDisplay.from_estimator(boost, X, y, rounds=[5, 20, 100])
    >>> len(display.margins)
    3
    """

    def __init__(self, margins, names):
        self.margins = margins
        self.names = names

    @classmethod
    def from_estimator(cls, estimator, X, y, *, rounds=None, ax=None, **line_kwargs):
        """Compute margins and draw them.

        Parameters
        ----------
        estimator : AdaBoost
            Fitted.
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,)
            Their labels.
        rounds : list of int or None, default=None
            After which rounds to look, counted from 1; None means after all.
        ax : matplotlib Axes or None, default=None
            Where to draw; None makes a new figure.
        **line_kwargs : dict
            Passed to matplotlib's ``plot``.

        Returns
        -------
        display : MarginDisplay
            Drawn.

        Raises
        ------
        TypeError
            If the estimator has no margins, or `rounds` is no list of integers.
        ValueError
            If there was no such round.
        ImportError
            If matplotlib isn't installed.
        """
        if not hasattr(estimator, "staged_margins"):
            what = type(estimator).__name__
            raise TypeError(f"{cls.__name__} needs an AdaBoost, which has margins after each round; {what} has none.")
        check_is_fitted(estimator)
        last = len(estimator.estimators_)
        rounds = _round_numbers([last] if rounds is None else rounds)
        if not rounds or not all(1 <= number <= last for number in rounds):
            raise ValueError(f"rounds must be numbers from 1 to {last}, got {rounds}.")
        staged = dict(enumerate(estimator.staged_margins(X, y), start=1))
        return cls([staged[number] for number in rounds], [f"{number} rounds" for number in rounds]).plot(
            ax=ax, **line_kwargs
        )

    def plot(self, *, ax=None, **line_kwargs):
        """Draw the distributions.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Where to draw; None makes a new figure.
        **line_kwargs : dict
            Passed to matplotlib's ``plot``.

        Returns
        -------
        display : MarginDisplay
            Itself, drawn.

        Raises
        ------
        ImportError
            If matplotlib isn't installed.
        """
        take_axes(self, ax)
        ax = self.ax_
        self.lines_ = []
        for margins, name in zip(self.margins, self.names):
            share = np.arange(1, len(margins) + 1) / len(margins)
            self.lines_ += ax.plot(np.sort(margins), share, **{"drawstyle": "steps-post", "label": name, **line_kwargs})
        ax.axvline(0, color="0.7", linewidth=1, zorder=0)
        ax.set(xlim=(-1, 1), ylim=(0, 1), xlabel="margin", ylabel="share of rows with at most this margin")
        ax.legend()
        return self


def _round_numbers(rounds):
    """Return the numbers of rounds as a list; what is no list of integers is refused in words."""
    found = list(rounds) if hasattr(rounds, "__iter__") and not isinstance(rounds, str) else [None]
    if not all(isinstance(number, Integral) and not isinstance(number, bool) for number in found):
        raise TypeError(f"rounds must be a list of integers, such as [5, 50], got {rounds!r}.")
    return [int(number) for number in found]
