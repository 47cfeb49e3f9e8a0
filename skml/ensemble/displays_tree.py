"""The picture of one tree of a forest."""

import textwrap
from numbers import Integral

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted

from skml._axes import take_axes
from skml.ensemble.trees import ForestTree, names_of, require_count, sides_of

__all__ = ["TreeDisplay"]


class TreeDisplay:
    """One tree of a forest: what its nodes ask, rows that say yes to the left, and what its leaves say.

    Make one with :meth:`from_estimator`. A figure of its own is as large as the boxes need; in axes of yours letters
    shrink until the boxes fit, so give it wide ones. Long lists are shortened, of more than four classes the share of
    the likeliest alone is written, and "or missing" is said of features that had missing values in training.

    Parameters
    ----------
    tree : ForestTreeClassifier or ForestTreeRegressor
        A member of a forest.
    feature_names : list of str or None, default=None
        Names of the features; None takes those of the training data, or numbers.
    decimals : int, default=2
        How many decimals numbers have.

    Attributes
    ----------
    texts_ : list of matplotlib Annotation
        The nodes, each with the arrow that leads to it, the root first.
    ax_ : matplotlib Axes
        Where they are drawn.
    figure_ : matplotlib Figure
        What holds the axes.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skml.ensemble import BaggingForest, TreeDisplay
    >>> forest = BaggingForest(n_estimators=3, max_depth=2, random_state=0).fit(*load_iris(return_X_y=True))
    >>> display = TreeDisplay.from_estimator(forest, number=1)
    >>> len(display.texts_) == forest.estimators_[1].tree_.node_count
    True
    """

    def __init__(self, tree, *, feature_names=None, decimals=2):
        self.tree = tree
        self.feature_names = feature_names
        self.decimals = decimals

    @classmethod
    def from_estimator(cls, estimator, *, number=0, max_depth=3, feature_names=None, decimals=2, ax=None, **kwargs):
        """Draw a tree of a forest.

        Parameters
        ----------
        estimator : BaggingForest, BaggingForestRegressor, or a member of one
            Fitted, with trees of its own.
        number : int, default=0
            Which tree of a forest; negative ones count from the last.
        max_depth : int or None, default=3
            Deeper nodes are left out; None draws all.
        feature_names : list of str or None, default=None
            Names of the features; None takes those of the training data, or numbers.
        decimals : int, default=2
            How many decimals numbers have.
        ax : matplotlib Axes or None, default=None
            Where to draw; None makes a figure.
        **kwargs : dict
            For ``matplotlib.axes.Axes.annotate``.

        Returns
        -------
        display : TreeDisplay
            The picture.

        Raises
        ------
        TypeError
            If `number`, `decimals` or `max_depth` is no integer, or `feature_names` no list.
        ValueError
            If the members are no trees of ours, there is no such tree, or there aren't as many names as features.
        """
        tree = estimator
        if not isinstance(tree, ForestTree):
            check_is_fitted(estimator)
            tree = _member(estimator.estimators_, number) if hasattr(estimator, "estimators_") else estimator
        display = cls(tree, feature_names=feature_names, decimals=decimals)
        return display.plot(ax, max_depth=max_depth, **kwargs)

    def plot(self, ax=None, *, max_depth=3, **kwargs):
        """Draw the tree.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Where to draw; None makes a figure.
        max_depth : int or None, default=3
            Deeper nodes are left out; None draws all.
        **kwargs : dict
            For ``matplotlib.axes.Axes.annotate``.

        Returns
        -------
        display : TreeDisplay
            The picture.
        """
        if not isinstance(self.tree, ForestTree):
            what = f"{type(self).__name__} draws trees of our own; this is a {type(self.tree).__name__}."
            raise ValueError(f"{what} Give it a BaggingForest, a BaggingForestRegressor, or a member of one.")
        shape = self.tree.tree_
        max_depth = np.inf if max_depth is None else require_count("max_depth", max_depth)
        order, parents, places = _places(shape, max_depth)
        words = self._words(shape, order, set(parents.values()))
        colours, across, down = self._colours(shape), *np.array(list(places.values())).T
        size = self._room(ax, words.values(), int(across.max()) + 1, int(-down.min()) + 1, kwargs)
        self.texts_ = []
        for node in order:
            how = {"ha": "center", "va": "center", "bbox": _BOX | {"facecolor": colours[node]}, "parse_math": False}
            how |= size | {"xy": places[node]}
            how["zorder"] = 3 + 0.001 * places[node][1]  # above the arrows to its children
            if node in parents:
                how |= {"xy": places[parents[node]], "arrowprops": {"arrowstyle": "-", "color": "0.6"}}
            self.texts_.append(self.ax_.annotate(words[node], xytext=places[node], **(how | kwargs)))
        self.ax_.set(xlim=(across.min() - 0.5, across.max() + 0.5), ylim=(down.min() - 0.5, down.max() + 0.5))
        self.ax_.set_axis_off()
        return self

    def _room(self, ax, words, n_across, n_down, kwargs):
        """Take axes with room for the boxes, and return the size of letters, if the caller gave none."""
        lines = [text.split("\n") for text in words]
        width = _LETTER * max(len(line) for text in lines for line in text) + _AROUND  # in units of the letters' size
        height = _LINE * max(map(len, lines)) + 2 * _AROUND
        inches = np.array([n_across * width, n_down * height]) * _POINTS / 72
        edges = {"left": 0, "right": 1, "bottom": 0, "top": 1}
        take_axes(self, ax, figsize=np.clip(inches, 1, _LONGEST), gridspec_kw=edges)
        if {"size", "fontsize"} & set(kwargs):
            return {}
        box = self.ax_.get_window_extent()
        fits = np.divide([box.width / (n_across * width), box.height / (n_down * height)], self.figure_.dpi / 72)
        return {"size": min(_POINTS, *fits)}

    def _words(self, shape, order, asking):
        """Return what stands in each node."""
        names, decimals = names_of(self.tree, self.feature_names), require_count("decimals", self.decimals)
        words = {}
        for node in order:
            lines = self.tree.describe(shape.value[node], decimals, _MOST).replace(", share", "\nshare").split("\n")
            if shape.children_left[node] >= 0:
                asks = node in asking
                lines.insert(0, sides_of(self.tree, shape, node, names, decimals, _MOST)[0] if asks else "(...)")
            lines.append(f"rows: {shape.weighted_n_node_samples[node]:g}")
            words[node] = "\n".join(textwrap.fill(line, _WRAP) for line in lines)
        return words

    def _colours(self, shape):
        """Return a colour for each node: the class and how sure it is, or how large the value is."""
        from matplotlib import colormaps

        value = shape.value
        if is_classifier(self.tree):
            width = value.shape[1] if self.tree.owner.n_outputs_ == 1 else self.tree.owner.n_classes_[0]
            best, share = value[:, :width].argmax(axis=1), value[:, :width].max(axis=1)
            sure = np.clip((share - 1 / width) / max(1 - 1 / width, 1e-12), 0, 1)[:, None] * 0.8
            return sure * colormaps["tab10"](best % 10)[:, :3] + 1 - sure
        low, high = value[:, 0].min(), value[:, 0].max()
        return colormaps["Blues"](0.6 * (value[:, 0] - low) / (high - low if high > low else 1.0))


_BOX = {"boxstyle": "round", "edgecolor": "0.5"}
_MOST = 4  # entries of a list
_WRAP = 30  # letters in a line
_POINTS = 8.0  # the size of letters, unless less fits
_LETTER, _LINE, _AROUND = 0.6, 1.2, 1.3  # a letter's width, a line's height, what is around a text: in that size
_LONGEST = 400.0  # inches of a figure's side, for matplotlib draws no more than 2**16 pixels


def _member(members, number):
    """Return one of the members of a forest; a number that is none's is refused in words."""
    if isinstance(number, bool) or not isinstance(number, Integral):
        raise TypeError(f"number must be an integer, that of a tree, got {number!r}.")
    if not -len(members) <= number < len(members):
        raise ValueError(f"number must be from 0 to {len(members) - 1}, got {number}: there are {len(members)} trees.")
    return members[number]


def _places(shape, max_depth):
    """Return the nodes to draw, parents first, the parent of each, and where they stand: leaves side by side."""
    order, parents, depth = [], {}, {0: 0}
    pending = [0]
    while pending:
        node = pending.pop()
        order.append(node)
        left, right = int(shape.children_left[node]), int(shape.children_right[node])
        if left >= 0 and depth[node] < max_depth:
            parents |= {left: node, right: node}
            depth |= {left: depth[node] + 1, right: depth[node] + 1}
            pending += [right, left]
    inner, places, across = set(parents.values()), {}, 0
    for node in order:
        if node not in inner:
            places[node], across = (float(across), -depth[node]), across + 1
    for node in reversed(order):
        if node in inner:
            ends = (places[int(child)][0] for child in (shape.children_left[node], shape.children_right[node]))
            places[node] = (sum(ends) / 2, -depth[node])
    return order, parents, places
