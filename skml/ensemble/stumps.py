"""The built-in members of a boosted committee: stumps and small trees over features sorted once."""

from dataclasses import dataclass
from numbers import Integral

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from skml import _kernels
from skml._sklearn import Interval
from skml.base import fitting, validate_weights, validate_X

MISSING = 255  # the bin of missing entries
SAME = 1e-13  # relative; scores and weights that differ by less differ by rounding
_NONE = np.empty(0, dtype=np.int32)
_RARE = 3  # entries outside the most common bin are counted alone where they are at most one in so many
_ENTRIES_PER_THREAD = 2**20  # a thread takes longer to wake on a busy machine than to count fewer
_LEAVES_PER_THREAD = 2**22
_SAMPLE = 256  # values looked at to tell whether there are few


@dataclass(frozen=True)
class Binned:
    """Rows prepared for many trees: each feature sorted and binned once.

    Attributes
    ----------
    X : ndarray of shape (n_features, n_samples)
        The rows, a feature after the other.
    codes : ndarray of shape (n_features, n_samples), uint8
        The bin of each entry; 255 is missing.
    order : ndarray of shape (n_features, n_samples), int32
        The rows by value, missing ones last; of no columns if splits inside bins are not wanted.
    offsets : ndarray of shape (n_features, 256), int32
        Where each bin starts in that order; the one after the last bin is where it ends.
    n_bins : ndarray of shape (n_features,), int32
        How many bins a feature has.
    edges : ndarray of shape (n_features, 255)
        The threshold after each bin.
    common : ndarray of shape (n_features,), int32
        The bin, 255 included, that holds most entries of a feature, if nearly all; or -1.
    rare : ndarray of int32
        The rows outside that bin, increasing, feature by feature; none of features without one.
    rare_starts : ndarray of shape (n_features + 1,), int64
        Where each feature's start.
    """

    X: np.ndarray
    codes: np.ndarray
    order: np.ndarray
    offsets: np.ndarray
    n_bins: np.ndarray
    edges: np.ndarray
    common: np.ndarray
    rare: np.ndarray
    rare_starts: np.ndarray

    def arrays(self):
        """Return the arrays that a search for splits needs."""
        counted = (self.rare, self.rare_starts, self.common)
        return self.codes, self.order, self.offsets, self.n_bins, *counted, self.X

    def n_counted(self):
        """Return how many entries a search over all rows counts."""
        return len(self.rare) + np.count_nonzero(self.common < 0) * self.X.shape[1]


def threads_for(work, share):
    """Return how many threads to use: one for each `share` of the work, as far as there are some."""
    return min(_kernels.n_threads(), 1 + int(work // share))


def bin_rows(X, weights, max_bins):
    """Sort and bin rows.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Float rows; NaN means missing.
    weights : ndarray of shape (n_samples,)
        Positive; bins are quantiles of the weighted rows.
    max_bins : int or None
        The most bins, up to 255; None keeps the order of all values.

    Returns
    -------
    binned : Binned
        The rows, and their bins.
    """
    n, p = X.shape
    columns = np.ascontiguousarray(X.T)
    codes, order = np.empty((p, n), dtype=np.uint8), np.empty((p, n if max_bins is None else 0), dtype=np.int32)
    offsets, n_bins, edges = np.zeros((p, 256), np.int32), np.empty(p, np.int32), np.zeros((p, 255))
    common, rare, rare_starts = np.full(p, -1, np.int32), [_NONE], np.zeros(p + 1, np.int64)
    for f, x in enumerate(columns):
        by_value = by_values(x)
        values = x[by_value]
        n_known = int(np.searchsorted(np.isnan(values), True))
        starts = _bin_starts(values[:n_known], weights[by_value[:n_known]], max_bins or MISSING)
        bins = np.zeros(n_known, dtype=np.uint8)
        bins[starts[1:]] = 1
        codes[f, by_value[:n_known]] = np.cumsum(bins, dtype=np.uint8)
        codes[f, by_value[n_known:]] = MISSING
        n_bins[f] = len(starts) if n_known else 0
        offsets[f, : n_bins[f]], offsets[f, n_bins[f]] = starts[: n_bins[f]], n_known
        if n_known:
            edges[f, : len(starts) - 1] = middles(values[starts[1:] - 1], values[starts[1:]])
            edges[f, len(starts) - 1] = np.finfo(np.float64).max  # all that is known | all that is missing
        if max_bins is None:
            order[f] = by_value
        sizes = np.bincount(codes[f])
        if (n - sizes.max()) * _RARE <= n:
            common[f] = sizes.argmax()
            rare.append(np.flatnonzero(codes[f] != common[f]).astype(np.int32))
        rare_starts[f + 1] = rare_starts[f] + (len(rare[-1]) if common[f] >= 0 else 0)
    return Binned(columns, codes, order, offsets, n_bins, edges, common, np.concatenate(rare), rare_starts)


def by_values(x):
    """Return the order of values, NaN last.

    Parameters
    ----------
    x : ndarray of shape (n_samples,)
        Floats.

    Returns
    -------
    order : ndarray of shape (n_samples,), int
        As of `numpy.argsort`; where there are few values, found by counting them.
    """
    values = np.unique(x[:: max(1, len(x) // _SAMPLE)])
    if len(values) > _SAMPLE // 4:
        return np.argsort(x)
    codes = np.searchsorted(values, x)
    strange = values[np.minimum(codes, len(values) - 1)] != x
    values = np.unique(np.append(values, x[strange]))
    if len(values) > 256:
        return np.argsort(x)
    return np.argsort(np.searchsorted(values, x).astype(np.uint8), kind="stable")  # a radix sort


def _bin_starts(values, weights, max_bins):
    """Return where each bin starts among sorted values: at the first of equal ones, after equal shares of weight."""
    starts = np.flatnonzero(np.append(True, values[1:] != values[:-1]))
    if len(starts) <= max_bins:
        return starts
    reached = np.cumsum(weights)
    share = np.append(0.0, reached[starts[1:] - 1]) / reached[-1]
    bins = np.minimum((share * max_bins).astype(np.int64), max_bins - 1)
    return starts[np.append(True, bins[1:] != bins[:-1])]


def middles(low, high):
    """Return thresholds halfway between neighbouring values, or the lower ones where halfway rounds to the upper.

    Parameters
    ----------
    low, high : ndarray of floats
        Values, each of `high` above its neighbour in `low`.

    Returns
    -------
    thresholds : ndarray of float64
        At least `low` and below `high`.
    """
    middle = low.astype(np.float64) / 2 + high.astype(np.float64) / 2
    middle = np.where((middle < low) | ~np.isfinite(middle), low, middle)
    return np.where(middle.astype(low.dtype) >= high, low, middle)


@dataclass(frozen=True)
class Tree:
    """A binary tree as flat arrays; the right child of a node follows its left one.

    Attributes
    ----------
    features : ndarray of shape (n_nodes,), int32
        Which feature an inner node asks for; 0 in leaves.
    thresholds : ndarray of shape (n_nodes,), float64
        Rows whose value is no larger go left.
    left : ndarray of shape (n_nodes,), int32
        The left child; -1 in leaves.
    missing_left : ndarray of shape (n_nodes,), uint8
        Whether rows with a missing value go left.
    weights : ndarray of shape (n_nodes, n_classes)
        The training weight of each class that came to a node.
    """

    features: np.ndarray
    thresholds: np.ndarray
    left: np.ndarray
    missing_left: np.ndarray
    weights: np.ndarray

    def shares(self):
        """Return each node's class probabilities."""
        return self.weights / self.weights.sum(axis=1, keepdims=True)

    def classes(self):
        """Return each node's class of most weight, the lowest of equal ones."""
        most = self.weights.max(axis=1, keepdims=True) - SAME * self.weights.sum(axis=1, keepdims=True)
        return np.argmax(self.weights >= most, axis=1).astype(np.int32)

    def gains(self, n_features):
        """Return how much weighted gini impurity the splits on each feature took away."""
        totals = self.weights.sum(axis=1)
        scores = np.divide((self.weights**2).sum(axis=1), totals, out=np.zeros_like(totals), where=totals > 0)
        inner = np.flatnonzero(self.left >= 0)
        children = scores[self.left[inner]] + scores[self.left[inner] + 1]
        return np.bincount(self.features[inner], children - scores[inner], minlength=n_features)


def grow(binned, y, weights, n_classes, max_depth):
    """Grow a tree on binned rows.

    Parameters
    ----------
    binned : Binned
        The rows.
    y : ndarray of shape (n_samples,), int32
        Their classes.
    weights : ndarray of shape (n_samples,)
        Non-negative.
    n_classes : int
        The number of classes.
    max_depth : int
        The most splits between the root and a leaf.

    Returns
    -------
    tree : Tree
        Split greedily by weighted gini; a node stays a leaf where no split gains more than rounding.
    leaves : ndarray of shape (n_samples,), intp
        The leaf of each row.
    """
    totals = side_sums(y, weights, np.ones(len(y), dtype=bool), n_classes)[0]
    nodes, leaves = [[0, 0.0, -1, 0, totals]], np.zeros(len(y), dtype=np.intp)
    level = [(0, _NONE)]
    for _ in range(max_depth):
        level, above = [], level
        for node, rows in above:
            split = best_split(binned, y, weights, rows, nodes[node][-1])
            if split is None:
                continue
            feature, threshold, missing_left, goes_left = split
            inside, child = (rows if len(rows) else slice(None)), len(nodes)
            leaves[inside] = child + 1
            leaves[inside] -= goes_left
            sides = side_sums(y[inside], weights[inside], goes_left, n_classes)
            if missing_left is None:  # rows to come that lack what all rows here have follow the heavier side
                missing_left = sides[0].sum() > sides[1].sum()
            nodes[node][:4] = feature, threshold, child, missing_left
            nodes += [[0, 0.0, -1, 0, side] for side in sides]
            if max_depth > 1:
                rows = rows if len(rows) else np.arange(len(y), dtype=np.int32)
                level += [(child, rows[goes_left]), (child + 1, rows[~goes_left])]
    kinds = (np.int32, np.float64, np.int32, np.uint8, np.float64)
    return Tree(*(np.array(column, dtype=kind) for column, kind in zip(zip(*nodes), kinds))), leaves


def side_sums(y, weights, goes_left, n_classes):
    """Return the weight per side, left first, and class."""
    sums = np.empty((2, n_classes))
    _kernels.stumps.side_sums(y, weights, goes_left.view(np.uint8), sums)
    return sums


def best_split(binned, y, weights, rows, totals):
    """Return (feature, threshold, missing_left, which rows go left) of a node's best split, or None.

    Parameters
    ----------
    binned, y, weights
        As for :func:`grow`.
    rows : ndarray of int32
        The node's rows, increasing; empty for all.
    totals : ndarray of shape (n_classes,)
        Their weight per class.

    Returns
    -------
    split : tuple or None
        `missing_left` is None where no row of the node lacks the value.
    """
    total, found = totals.sum(), np.empty(4, dtype=np.int64)
    if np.count_nonzero(totals) < 2:
        return None
    threads = threads_for(len(rows) * len(binned.X) or binned.n_counted(), _ENTRIES_PER_THREAD)
    _kernels.stumps.find_split(*binned.arrays(), weights, y, rows, totals, SAME * total, found, threads)
    feature, bin_, position, missing_left = found.tolist()
    if feature < 0:
        return None
    x = binned.X[feature] if len(rows) == 0 else binned.X[feature, rows]
    threshold = _threshold(binned, feature, bin_, position, x if len(rows) else None)
    goes_left = x <= threshold
    if binned.offsets[feature, binned.n_bins[feature]] < len(y) and (missing := np.isnan(x)).any():
        return feature, threshold, missing_left, goes_left | missing if missing_left else goes_left
    return feature, threshold, None, goes_left


def _threshold(binned, feature, bin_, position, x):
    """Return the threshold of a split; `x` are the node's values where it isn't the root."""
    if binned.order.shape[1] == 0 or bin_ == binned.n_bins[feature] - 1 and position < 0:
        return float(binned.edges[feature, bin_])
    at = binned.offsets[feature, bin_ + 1] if position < 0 else position
    order, values = binned.order[feature], binned.X[feature]
    low, high = values[order[at - 1]], values[order[at]]
    if x is not None:  # its neighbours among the node's own rows
        low, high = np.max(x[x <= low]), np.min(x[x >= high], initial=np.inf)
    return float(middles(np.asarray(low), np.asarray(high))) if np.isfinite(high) else float(np.finfo(np.float64).max)


@dataclass(frozen=True)
class Packed:
    """Trees in one set of arrays, for the kernel.

    Attributes
    ----------
    used : ndarray of shape (n_used,), int32
        The features that trees ask for.
    starts : ndarray of shape (n_trees + 1,), int32
        Where each tree's nodes start.
    features, thresholds, left, missing_left : ndarray of shape (n_nodes,)
        As in :class:`Tree`, but `features` index `used`.
    """

    used: np.ndarray
    starts: np.ndarray
    features: np.ndarray
    thresholds: np.ndarray
    left: np.ndarray
    missing_left: np.ndarray

    def votes(self, X, values):
        """Return the sums over trees of the values that rows find in their leaves, in order.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
            C-contiguous rows.
        values : ndarray of shape (n_nodes, n_values)
            What nodes hold.

        Returns
        -------
        votes : ndarray of shape (n_samples, n_values)
            float64.
        """
        votes = np.empty((len(X), values.shape[1]))
        nodes = (self.features, rounded_down(self.thresholds, X.dtype), self.left, self.missing_left, values)
        threads = threads_for(len(X) * len(self.starts) * values.shape[1], _LEAVES_PER_THREAD)
        _kernels.stumps.tree_votes(X, self.used, self.starts, *nodes, votes, threads)
        return votes


def packed(trees):
    """Return trees in one set of arrays.

    Parameters
    ----------
    trees : list of Tree
        At least one.

    Returns
    -------
    packed : Packed
        Their nodes, tree by tree.
    """
    starts = np.cumsum([0, *(len(tree.left) for tree in trees)], dtype=np.int32)
    joined = (np.concatenate([getattr(tree, name) for tree in trees]) for name in ("features", "thresholds", "left"))
    features, thresholds, left = joined
    used = np.unique(features)
    indices = np.searchsorted(used, features).astype(np.int32)
    return Packed(used, starts, indices, thresholds, left, np.concatenate([tree.missing_left for tree in trees]))


def rounded_down(thresholds, dtype):
    """Return thresholds in a type of floats, none larger than it was: the same values of that type are no larger.

    Parameters
    ----------
    thresholds : ndarray of float64
        The thresholds.
    dtype : dtype
        float32 or float64.

    Returns
    -------
    thresholds : ndarray
        Of that type.
    """
    with np.errstate(over="ignore"):
        near = thresholds.astype(dtype)
    return np.where(near > thresholds, np.nextafter(near, dtype.type(-np.inf)), near)


class BoostedTree(ClassifierMixin, BaseEstimator):
    """A stump or small tree: the built-in member of :class:`skml.AdaBoost`.

    Parameters
    ----------
    max_depth : int, default=1
        The most splits between the root and a leaf.
    max_bins : int or None, default=None
        The most bins per feature; None finds the exact best split.

    Attributes
    ----------
    tree_ : Tree
        The tree.
    classes_ : ndarray of shape (n_classes,)
        The labels.
    n_classes_ : int
        Their number.
    n_features_in_ : int
        Number of features seen in fit.
    """

    _parameter_constraints = {
        "max_depth": [Interval(Integral, 1, None, closed="left")],
        "max_bins": [None, Interval(Integral, 2, 255, closed="both")],
    }

    def __init__(self, max_depth=1, max_bins=None):
        self.max_depth = max_depth
        self.max_bins = max_bins

    def holding(self, tree, classes, n_features):
        """Return self with a tree grown elsewhere."""
        self.tree_, self.classes_, self.n_classes_, self.n_features_in_ = tree, classes, len(classes), n_features
        return self

    @fitting
    def fit(self, X, y, sample_weight=None):
        """Grow the tree on rows X of shape (n_samples, n_features) with labels y and weights."""
        X = validate_X(self, X, reset=True, allow_nan=True, order="C")
        check_classification_targets(y)
        classes, codes = np.unique(y, return_inverse=True)
        weights = validate_weights(sample_weight, X)
        kept = slice(None) if weights is None else weights > 0
        weights = np.ones(len(X)) if weights is None else weights[kept]
        X, codes = X[kept], codes[kept].astype(np.int32)
        tree, _ = grow(bin_rows(X, weights, self.max_bins), codes, weights, len(classes), self.max_depth)
        return self.holding(tree, classes, X.shape[1])

    def predict_proba(self, X):
        """Return the class shares, by training weight, of the leaves that rows of X come to."""
        check_is_fitted(self)
        X = validate_X(self, X, reset=False, allow_nan=True, order="C")
        return packed([self.tree_]).votes(X, self.tree_.shares()).astype(X.dtype, copy=False)

    def predict(self, X):
        """Return the class of most weight in the leaf that each row of X comes to."""
        check_is_fitted(self)
        X = validate_X(self, X, reset=False, allow_nan=True, order="C")
        said = packed([self.tree_]).votes(X, self.tree_.classes()[:, None].astype(np.float64))
        return self.classes_[said[:, 0].astype(np.intp)]

    @property
    def feature_importances_(self):
        """The share of each feature in the gini impurity taken away."""
        gains = self.tree_.gains(self.n_features_in_)
        return gains / gains.sum() if gains.sum() > 0 else gains

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags
