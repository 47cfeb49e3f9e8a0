"""The picture of one tree of a forest."""

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted

from skml.ensemble.displays import take_axes
from skml.ensemble.trees import ForestTree, names_of, sides_of

__all__ = ["TreeDisplay"]


class TreeDisplay:
    """One tree of a forest: what its nodes ask, rows that say yes to the left, and what its leaves say.

    Make one with :meth:`from_estimator`.

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
            Which tree of a forest.
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
        ValueError
            If the members are no trees of ours.
        """
        tree = estimator
        if not isinstance(tree, ForestTree):
            check_is_fitted(estimator)
            tree = estimator.estimators_[number]
        if not isinstance(tree, ForestTree):
            raise ValueError(f"{cls.__name__} draws trees of our own; this is a {type(tree).__name__}.")
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
        take_axes(self, ax)
        shape = self.tree.tree_
        order, parents, places = _places(shape, np.inf if max_depth is None else max_depth)
        colours, words = self._colours(shape), self._words(shape, set(parents.values()))
        self.texts_ = []
        for node in order:
            how = {"ha": "center", "va": "center", "size": "small", "bbox": _BOX | {"facecolor": colours[node]}}
            how["zorder"] = 3 + 0.001 * places[node][1]  # above the arrows to its children
            if node in parents:
                how |= {"xy": places[parents[node]], "arrowprops": {"arrowstyle": "-", "color": "0.6"}}
            else:
                how |= {"xy": places[node]}
            self.texts_.append(self.ax_.annotate(words(node), xytext=places[node], **(how | kwargs)))
        across, down = np.array(list(places.values())).T
        self.ax_.set(xlim=(across.min() - 0.6, across.max() + 0.6), ylim=(down.min() - 0.4, down.max() + 0.4))
        self.ax_.set_axis_off()
        return self

    def _words(self, shape, asking):
        """Return the function that says what stands in a node."""
        names = names_of(self.tree, self.feature_names)

        def words(node):
            rows = f"rows: {shape.weighted_n_node_samples[node]:g}"
            said = self.tree.describe(shape.value[node], self.decimals).replace(", shares", "\nshares")
            if shape.children_left[node] < 0:
                return f"{said}\n{rows}"
            asked = sides_of(self.tree, shape, node, names, self.decimals)[0] if node in asking else "(...)"
            return f"{asked}\n{said}\n{rows}"

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
