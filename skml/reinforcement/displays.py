"""Pictures of policies, in scikit-learn's style: what an agent would do where, and what it thinks of it."""

from numbers import Integral

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skml._axes import lacking, take_axes
from skml.reinforcement.base import BaseAgent
from skml.reinforcement.grid_worlds import COLORS, GROUND
from skml.reinforcement.scenes import scene_of

__all__ = ["PolicyDisplay"]

SHOWN = ("auto", "value", "action")
DARK = 0.45  # luminance under which what is written on a colour is white
SLENDER = {"units": "xy", "width": 0.07, "headwidth": 3.5, "headlength": 3.5, "headaxislength": 3, "minlength": 0}
FAINT = 0.02  # probability under which an arrow is left out


class PolicyDisplay:
    """What an agent does at which observation, and what it takes the observation to be worth.

    Make one with :meth:`from_estimator`. A grid world is drawn as its map: each cell in the colour of its value, with
    an arrow to where the agent goes from there. Where an observation is one or two numbers, they are the axes. States
    that are mere numbers are rows of a table, with a column for each action and its probability.

    Parameters
    ----------
    actions : ndarray of shape (n_points,)
        What the agent does at each point.
    probabilities : ndarray of shape (n_points, n_actions) or None, default=None
        Of the actions; None where they are no choice among some.
    values : ndarray of shape (n_points,) or None, default=None
        What each point is worth.
    classes : ndarray of shape (n_actions,) or None, default=None
        The actions that there are.
    grid : tuple of three ndarray or None, default=None
        Of a map: its letters (R, C), the points being its cells, row by row; the move (down, right) of each action; and
        in which cells one may act, (R, C) of bool.
    plane : tuple of one or two ndarray or None, default=None
        Of a plane: the places along each axis, ascending, the points running through the last one fastest.
    names : tuple of str, default=()
        Of the axes.
    action_names : list of str or None, default=None
        What a legend calls the actions; None takes `classes`.

    Attributes
    ----------
    image_ : matplotlib AxesImage or None
        The values, the actions or the probabilities; None on a map without values, and where there are lines or bars.
    arrows_ : matplotlib Quiver or None
        Where one goes; on a map only.
    lines_ : list of matplotlib artists
        Lines or bars, where there is one axis or one state.
    ax_ : matplotlib Axes
        Where all is drawn.
    figure_ : matplotlib Figure
        What holds the axes.

    Examples
    --------
    >>> from skml.reinforcement import CliffWalking, PolicyDisplay, PolicyIteration
    >>> env = CliffWalking()
    >>> planner = PolicyIteration(discount=1.0).fit(env)
    >>> display = PolicyDisplay.from_estimator(planner, env)
    >>> display.image_.get_array().shape
    (4, 12)
    """

    def __init__(
        self,
        actions,
        *,
        probabilities=None,
        values=None,
        classes=None,
        grid=None,
        plane=None,
        names=(),
        action_names=None,
    ):
        self.actions = actions
        self.probabilities = probabilities
        self.values = values
        self.classes = classes
        self.grid = grid
        self.plane = plane
        self.names = names
        self.action_names = action_names

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        *,
        show="auto",
        greedy=True,
        features=None,
        resolution=100,
        action_names=None,
        ax=None,
        **kwargs,
    ):
        """Draw the policy of an agent, or of a classifier of observations.

        Parameters
        ----------
        estimator : estimator
            Fitted.
        X : environment, FiniteMDP or array-like of shape (n_samples, n_features)
            Where it acts, which may be another place than it learned in; or observations, between the least and the
            largest of which the policy is drawn.
        show : {"auto", "value", "action"}, default="auto"
            What colours say. "auto" means the value on a map, if the agent knows it, and else the action.
        greedy : bool, default=True
            Whether the likeliest action is drawn; else all are, as their probabilities have it: arrows of such lengths,
            or colours mixed in such shares.
        features : list of int or None, default=None
            Which one or two numbers of an observation to draw, where it has more; others are held at their medians (of
            X, or of ten episodes that the agent plays).
        resolution : int, default=100
            Points along an axis.
        action_names : list of str or None, default=None
            What a legend calls the actions; None takes `classes_`.
        ax : matplotlib Axes or None, default=None
            Where to draw; None makes a figure.
        **kwargs : dict
            For ``matplotlib.axes.Axes.imshow``.

        Returns
        -------
        display : PolicyDisplay
            The picture.

        Raises
        ------
        TypeError
            If the estimator has no `predict`, or no `predict_proba` where it is needed, or `resolution` is no whole
            number from 2.
        ValueError
            If observations have more than two numbers and `features` doesn't choose, if the agent takes actions that
            the environment doesn't know, or as :meth:`plot` does.
        """
        check_is_fitted(estimator)
        if not hasattr(estimator, "predict"):
            raise TypeError(lacking(cls, "predict", estimator))
        if not isinstance(resolution, Integral) or resolution < 2:
            raise TypeError(f"resolution must be a whole number from 2, got {resolution!r}.")
        scene = scene_of(X, estimator, features, resolution)
        told = _asked(estimator, scene)
        if not greedy and told["probabilities"] is None:
            raise TypeError(lacking(cls, "predict_proba", estimator))
        grid = None if scene.grid is None else _grid_of(scene, told)
        display = cls(**told, grid=grid, plane=scene.plane, names=scene.names, action_names=action_names)
        return display.plot(ax, show=show, greedy=greedy, **kwargs)

    def plot(self, ax=None, *, show="auto", greedy=True, **kwargs):
        """Draw the picture.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Where to draw; None makes a figure.
        show : {"auto", "value", "action"}, default="auto"
            What colours say. "auto" means the value on a map, if it is known, and else the action.
        greedy : bool, default=True
            Whether the likeliest action is drawn; else all are, as their probabilities have it.
        **kwargs : dict
            For ``matplotlib.axes.Axes.imshow``.

        Returns
        -------
        display : PolicyDisplay
            The picture.

        Raises
        ------
        ValueError
            If `show` is unknown, or values are to be shown that aren't known.
        """
        if show not in SHOWN:
            raise ValueError(f"show must be one of {list(SHOWN)}, got {show!r}.")
        if show == "value" and self.values is None:
            raise ValueError("This policy has no values to show; take show='action'.")
        take_axes(self, ax)
        self.image_, self.arrows_, self.lines_ = None, None, []
        if self.grid is not None:
            self._draw_map(show, greedy, kwargs)
        elif self.plane is not None and len(self.plane) == 2:
            self._draw_plane(show, greedy, kwargs)
        else:
            self._draw_numbers(show, greedy, kwargs)
        return self

    # ------------------------------------------------------------------------------------------------ maps

    def _draw_map(self, show, greedy, style):
        letters, moves, inside = (np.asarray(part) for part in self.grid)
        colors = np.array([[COLORS.get(letter, GROUND) for letter in row] for row in letters], np.uint8)
        self.ax_.imshow(colors)
        if self.values is not None and show != "action":
            values = np.ma.masked_where(~inside, np.reshape(self.values, letters.shape))
            self.image_ = self.ax_.imshow(values, **({"cmap": "viridis"} | style))
            beside = self.ax_.inset_axes([1.02, 0, 0.03, 1])  # as high as the map, whatever its shape
            self.figure_.colorbar(self.image_, cax=beside, label="value")
        for (i, j), letter in np.ndenumerate(letters):
            if letter in COLORS and letter != "#":
                self._write(i, j, letter, inside[i, j])
        self._draw_arrows(letters.shape, moves, np.flatnonzero(inside), greedy)
        self.ax_.set(xticks=[], yticks=[])

    def _write(self, i, j, letter, in_corner):
        """Write a letter into a cell: the corner of it, where an arrow is in the middle."""
        place = (j - 0.35, i - 0.3) if in_corner else (j, i)
        size = 7 if in_corner else None
        color = self._ink(i, j) if in_corner else "black"
        self.ax_.text(*place, letter, ha="center", va="center", fontsize=size, color=color)

    def _ink(self, i, j):
        """Return the colour in which one can write on a cell."""
        if self.image_ is None:
            return "black"
        value = self.image_.get_array()[i, j]
        red, green, blue, _ = self.image_.cmap(self.image_.norm(value))
        return "white" if 0.3 * red + 0.59 * green + 0.11 * blue < DARK else "black"

    def _draw_arrows(self, shape, moves, cells, greedy):
        """Draw an arrow in each cell, or one for each action, as long as it is probable."""
        shares = self._shares(greedy)[cells]
        which, action = np.nonzero(shares > FAINT)
        rows, columns = np.divmod(cells[which], shape[1])
        down, right = moves[action].T * (0.6 if greedy else 0.45 * shares[which, action])
        inks = [self._ink(i, j) for i, j in zip(rows, columns)]
        how = {"angles": "xy", "scale_units": "xy", "scale": 1, "pivot": "mid" if greedy else "tail", "color": inks}
        slender = {
            "units": "xy",
            "width": 0.07,
            "headwidth": 3.5,
            "headlength": 3.5,
            "headaxislength": 3,
            "minlength": 0,
        }
        self.arrows_ = self.ax_.quiver(columns, rows, right, down, **how, **slender)

    # ---------------------------------------------------------------------------------------------- planes

    def _draw_plane(self, show, greedy, style):
        x, y = self.plane
        shape = (len(x), len(y))
        edges = [edge for axis in (x, y) for edge in _edges(axis)]
        placed = {"origin": "lower", "extent": edges, "aspect": "auto", "interpolation": "nearest"} | style
        if show == "value" or self.classes is None:
            numbers = self.values if show == "value" else self.actions
            self.image_ = self.ax_.imshow(np.reshape(numbers, shape).T, **placed)
            self.figure_.colorbar(self.image_, ax=self.ax_, label="value" if show == "value" else "action")
        else:
            mixed = self._shares(greedy) @ _palette(len(self.classes))
            self.image_ = self.ax_.imshow(mixed.reshape(*shape, 3).swapaxes(0, 1), **placed)
            self._explain_colors()
        self.ax_.set(**dict(zip(("xlabel", "ylabel"), self.names)))

    def _explain_colors(self):
        """Write down which colour is which action."""
        for name, color in zip(self._action_names(), _palette(len(self.classes))):
            self.ax_.plot([], [], "s", color=color, label=name)
        self.ax_.legend(title="action")

    # -------------------------------------------------------------------------- one number, numbered states

    def _draw_numbers(self, show, greedy, style):
        """Draw what is known of each place along one axis: a line, lines, a table of whole numbers, or bars of one."""
        x = np.arange(len(self.actions)) if self.plane is None else np.asarray(self.plane[0])
        self.ax_.set(xlabel=self.names[0] if self.names else "state")
        if show == "value" or self.classes is None:
            self.lines_ = self.ax_.plot(x, self.values if show == "value" else self.actions)
            self.ax_.set(ylabel="value" if show == "value" else "action")
        elif len(x) == 1:
            self.lines_ = list(self.ax_.bar(self._action_names(), self._shares(greedy)[0]))
            self.ax_.set(xlabel="action", ylabel="probability")
        elif (x == np.rint(x)).all():
            self._draw_table(x.astype(int), self._shares(greedy), style)
        else:
            self.lines_ = self.ax_.plot(x, self._shares(greedy), label=self._action_names())
            self.ax_.legend(title="action")
            self.ax_.set(ylabel="probability")

    def _draw_table(self, numbers, shares, style):
        """Draw a row for each number between the first and the last; of those that were not asked an empty one."""
        table = np.full((numbers[-1] - numbers[0] + 1, shares.shape[1]), np.nan)
        table[numbers - numbers[0]] = shares
        placed = {"extent": (-0.5, shares.shape[1] - 0.5, numbers[-1] + 0.5, numbers[0] - 0.5), "aspect": "auto"}
        how = {"cmap": "Blues", "vmin": 0, "vmax": 1, "interpolation": "nearest"}
        self.image_ = self.ax_.imshow(table, **(placed | how | style))
        self.ax_.set_xticks(np.arange(shares.shape[1]), self._action_names())
        self.ax_.set(xlabel="action", ylabel=self.names[0] if self.names else "state")
        self.figure_.colorbar(self.image_, ax=self.ax_, label="probability")

    # ------------------------------------------------------------------------------------------------ what

    def _shares(self, greedy):
        """Return how much of each point belongs to each action, (n_points, n_actions)."""
        if not greedy:
            return np.asarray(self.probabilities, dtype=np.float64)
        return (np.asarray(self.actions)[:, None] == np.asarray(self.classes)).astype(np.float64)

    def _action_names(self):
        names = self.classes if self.action_names is None else self.action_names
        if len(names) != len(self.classes):
            raise ValueError(f"action_names holds {len(names)} names for {len(self.classes)} actions.")
        return [str(name) for name in names]


def _asked(estimator, scene):
    """Return what an estimator says of the observations of a scene, as parameters of a display."""
    X, classes = scene.observations, getattr(estimator, "classes_", None)
    actions = np.asarray(estimator.predict(X))
    if actions.ndim == 2 and actions.shape[1] == 1:
        actions = actions[:, 0]
    if actions.ndim > 1:
        raise ValueError(f"An action has {actions.shape[1]} numbers; a picture shows one.")
    policy = np.asarray(estimator.predict_proba(X)) if hasattr(estimator, "predict_proba") else None
    values = _values(estimator, X, policy)
    return {"actions": actions, "probabilities": policy, "values": values, "classes": classes}


def _values(estimator, X, policy):
    """Return V(s) = sum_a pi(a|s) Q(s, a), of an agent that has action values; else None."""
    knows = hasattr(estimator, "action_values_") or hasattr(estimator, "coef_")
    if not (isinstance(estimator, BaseAgent) and knows):
        return None
    q = np.asarray(estimator.transform(X), dtype=np.float64)
    return np.where(policy > 0, policy * np.where(policy > 0, q, 0.0), 0.0).sum(axis=1)


def _grid_of(scene, told):
    """Return the grid of a scene, with a move for each action that the agent knows."""
    letters, moves, inside = scene.grid
    numbers = np.asarray(np.unique(told["actions"]) if told["classes"] is None else told["classes"])
    known = np.isin(numbers, scene.first_action + np.arange(len(moves)))
    if not known.all():
        strange = numbers[~known].tolist()[0]
        raise ValueError(f"The environment takes {len(moves)} actions; {strange!r} is none of them.")
    return letters, moves[numbers.astype(int) - scene.first_action], inside


def _edges(axis):
    """Return where a picture of places along an axis begins and ends."""
    half = (axis[-1] - axis[0]) / (2 * max(len(axis) - 1, 1)) or 0.5
    return axis[0] - half, axis[-1] + half


def _palette(n):
    """Return n colours that differ, (n, 3): red, green, blue from 0 to 1, by turning the hue about a circle."""
    hues = np.arange(n)[:, None] / n * 2 * np.pi + 2 * np.pi * np.array([0.6, 0.27, 0.94])
    return 0.55 + 0.35 * np.cos(hues)
