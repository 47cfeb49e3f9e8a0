"""Forests of our own trees as models: how their trees are made, what they say of rows, and each as an estimator."""

from dataclasses import dataclass, replace
from numbers import Integral

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.utils.validation import check_is_fitted

from skml.base import chunk_slices
from skml.ensemble.binning import Bins, encode, row_codes
from skml.ensemble.grower import Problem, grow_tree
from skml.ensemble.paths import ways_of_rows
from skml.ensemble.predictor import CATEGORIES, Forest, joined, leaf_values, leaves, member_values, part, sums
from skml.ensemble.sampling import out_of_bag, unit_of
from skml.ensemble.side_by_side import in_order

# What a forest keeps about its training rows or all of its trees, and one of them doesn't need.
_OF_ALL_TREES = frozenset(
    ("_table", "_bags", "_y", "_codes_of_y", "_residuals", "_leaf_rows", "_importance_sums", "_origin", "history_")
    + ("oob_score_", "oob_curve_", "oob_prediction_", "oob_decision_function_")
)
_WIDE = 24  # the longest word in a list that is shortened


@dataclass(frozen=True)
class BinnedForest:
    """Trees, and the bins that they ask about.

    Attributes
    ----------
    bins : Bins
        Where values are cut.
    forest : Forest
        The trees.
    """

    bins: Bins
    forest: Forest

    def __setstate__(self, state):
        """Take the parts back; trees of other columns than the bins' are refused."""
        vars(self).update(state)
        n_asked, n_binned = self.forest.n_features, len(self.bins.categorical)
        if n_asked != n_binned:
            raise ValueError(f"The trees ask about {n_asked} columns, of which {n_binned} have bins.")

    @property
    def n_members(self):
        """The number of trees."""
        return self.forest.n_trees

    @property
    def columns(self):
        """The columns that each tree takes: None, which means all."""
        return (None,) * self.n_members

    @property
    def n_leaves(self):
        """The number of leaves of all trees."""
        return len(self.forest.weights)

    def joined(self, others):
        """Return one model of this and others.

        Parameters
        ----------
        others : list of BinnedForest
            With the same bins.

        Returns
        -------
        model : BinnedForest
            All trees, in order.
        """
        return replace(self, forest=joined([self.forest, *(other.forest for other in others)]))

    def codes(self, X, n_threads):
        """Return the codes of rows."""
        return encode(self.bins, X, n_threads)

    def means(self, X, n_threads):
        """Return what the trees say of rows, on average."""
        return np.concatenate([self._mean(codes, n_threads) for _, codes in self._code_chunks(X, n_threads)])

    def _mean(self, codes, n_threads):
        total = sums(self.forest, codes, n_threads)
        if np.isfinite(total).all():
            return total / self.n_members
        shares = replace(self.forest, values=self.forest.values / self.n_members)  # huge numbers, divided first
        return sums(shares, codes, n_threads)

    def leaves(self, X, n_threads):
        """Return the leaf of each row in each tree, counted on through the forest."""
        found = [leaves(self.forest, codes, n_threads) for _, codes in self._code_chunks(X, n_threads)]
        return np.concatenate(found)

    def _code_chunks(self, X, n_threads):
        """Yield slices of rows, and their codes."""
        for rows in chunk_slices(X.shape[0], X.shape[1]):
            yield rows, self.codes(X[rows], n_threads)

    def of_members(self, X, n_threads):
        """Yield slices of rows and what each tree says of them: (n_chunk, n_trees, n_columns)."""
        for some, codes in self._code_chunks(X, n_threads):
            for rows, values in member_values(self.forest, codes, n_threads):
                yield slice(some.start + rows.start, some.start + rows.stop), values

    def staged(self, X, n_threads):
        """Yield the mean of what the first trees say, after each tree."""
        codes = self.codes(X, n_threads)
        total = np.zeros((len(codes), self.forest.values.shape[1]))
        for number in range(self.n_members):
            total += sums(part(self.forest, np.array([number])), codes, n_threads)
            yield total / (number + 1)

    def category_names(self, feature, left_codes, known):
        """Return the categories of a feature whose codes go left; `known` names them, None: they are numbers."""
        at = slice(self.bins.starts[feature], self.bins.starts[feature + 1])
        values = self.bins.edges[at][left_codes[self.bins.category_codes[at]]]
        return [f"{value:g}" if known is None else str(known[int(value)]) for value in values]

    def voting(self, first):
        """Return the model whose leaves vote for one class of each output."""
        forest = self.forest
        values = np.zeros_like(forest.values)
        for begin, end in zip(first[:-1], first[1:]):
            winners = begin + forest.values[:, begin:end].argmax(axis=1)
            values[np.arange(len(values)), winners] = 1.0
        return replace(self, forest=replace(forest, values=values))


def lone_tree(forest, number):
    """Return one tree of a forest as a forest that shares nothing with it.

    Parameters
    ----------
    forest : Forest
        Trees.
    number : int
        Which one.

    Returns
    -------
    forest : Forest
        Of a single tree.
    """
    (begin, end), (first, last) = forest.node_starts[number : number + 2], forest.leaf_starts[number : number + 2]
    nodes, values, numbers = forest.nodes[begin:end].copy(), forest.values[first:last], forest.numbers[first:last]
    nodes[:, :2] += np.where(nodes[:, :2] >= 0, -begin, first).astype(np.int32)
    asks = nodes[:, 3] >> 8 == CATEGORIES
    sets, nodes[asks, 2] = np.unique(nodes[asks, 2], return_inverse=True)
    if len(numbers):
        mixed = numbers >= forest.n_pure
        said, places = np.unique(numbers[mixed] - forest.n_pure, return_inverse=True)
        numbers, values = numbers.copy(), forest.values[said]
        numbers[mixed] = forest.n_pure + places
    kept = {"weights": forest.weights[first:last], "sets": forest.sets[sets], "set_features": forest.set_features[sets]}
    ends = {"node_starts": np.array([0, end - begin]), "leaf_starts": np.array([0, last - first])}
    roots = np.array([0 if end > begin else -1], np.int32)
    return replace(forest, nodes=nodes, roots=roots, numbers=numbers, values=values, **kept, **ends)


@dataclass(frozen=True)
class TreeMaker:
    """Makes the trees of a forest.

    Attributes
    ----------
    problem : Problem
        What they learn.
    n_threads : int
        How many trees grow at a time.
    voters : ndarray of shape (n_outputs + 1,) or None
        The first class of each output, and the number of all, where trees vote for one class; None: they don't.
    """

    problem: Problem
    n_threads: int
    voters: np.ndarray | None = None

    @property
    def table(self):
        """The binned training rows."""
        return self.problem.table

    def make(self, numbers, wanted):
        """Yield the trees of some numbers, the gains of their features, and their answers out of bag if wanted."""

        def one(number):
            tree, importances, _ = grow_tree(self.problem, number)
            unit = unit_of(self.problem.bagging, number, tree.weights.sum(dtype=np.float64))
            tree = replace(tree, weights=tree.weights * np.float32(unit))
            member = BinnedForest(self.table.bins, tree)
            return member, importances, self._answers(tree, number) if wanted else None

        return in_order(one, numbers, self.n_threads)

    def metrics(self, member):
        """Return what the history keeps of a tree."""
        return {"n_leaves": member.n_leaves}

    def ask_again(self, model):
        """Yield the answers of trees that were made before."""

        def one(number):
            return self._answers(part(model.forest, np.array([number])), number)

        return in_order(one, range(model.n_members), self.n_threads)

    def _answers(self, tree, number):
        out, shares = out_of_bag(self.problem.bagging, number)
        if self.voters is not None:
            tree = BinnedForest(self.table.bins, tree).voting(self.voters).forest
        return out, shares, sums(tree, row_codes(self.table, out), 1)


@dataclass(frozen=True)
class Shape:
    """One tree of a forest, node by node: inner nodes in their order, root first, then leaves from left to right.

    Attributes
    ----------
    children_left, children_right : ndarray of shape (n_nodes,)
        Nodes; -1 for leaves.
    feature : ndarray of shape (n_nodes,)
        What is asked; -2 for leaves.
    threshold : ndarray of shape (n_nodes,)
        Up to it a value goes left; NaN for categories and leaves.
    left_codes : ndarray of shape (n_nodes, 256), bool
        Which codes of the feature go left; 255 is a missing value.
    value : ndarray of shape (n_nodes, n_columns)
        Shares of classes, or numbers: what a leaf says; of an inner node the mean of what its leaves say, by weight.
        That is what the rows of the node average to, but with absolute errors (where leaves say medians) and where
        monotonic constraints have moved a leaf.
    weighted_n_node_samples : ndarray of shape (n_nodes,)
        How often the rows of the bag in each node count, class weights included.
    """

    children_left: np.ndarray
    children_right: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    left_codes: np.ndarray
    value: np.ndarray
    weighted_n_node_samples: np.ndarray

    @property
    def node_count(self):
        """The number of nodes."""
        return len(self.feature)

    @property
    def missing_go_to_left(self):
        """Whether missing values go left, for each node."""
        return self.left_codes[:, 255]

    @property
    def max_depth(self):
        """The length of the longest way down."""
        return len(levels(self.children_left, self.children_right)) - 1


def levels(left, right):
    """Return the nodes of each depth."""
    found = [np.zeros(1, int)]
    while True:
        inner = found[-1][left[found[-1]] >= 0]
        if len(inner) == 0:
            return found
        found.append(np.concatenate([left[inner], right[inner]]))


def children_of(forest, number):
    """Return the children of each node of a tree, as :class:`Shape` counts them.

    Parameters
    ----------
    forest : Forest
        The forest.
    number : int
        Which tree.

    Returns
    -------
    children : ndarray of shape (n_nodes, 2)
        The left and the right one; -1 for leaves.
    """
    (begin, end), (first, last) = forest.node_starts[number : number + 2], forest.leaf_starts[number : number + 2]
    n_inner = int(end - begin)
    children = np.full((n_inner + int(last - first), 2), -1)
    links = forest.nodes[begin:end, :2].astype(np.int64)
    children[:n_inner] = np.where(links >= 0, links - begin, n_inner + ~links - first)
    return children


def shape_of(model, number):
    """Return a tree of a forest, node by node.

    Parameters
    ----------
    model : BinnedForest
        The forest.
    number : int
        Which tree.

    Returns
    -------
    shape : Shape
        The tree.
    """
    forest = model.forest
    (begin, end), (first, last) = forest.node_starts[number : number + 2], forest.leaf_starts[number : number + 2]
    nodes, n_inner, children = forest.nodes[begin:end], int(end - begin), children_of(forest, number)
    n_nodes = len(children)
    feature, threshold, left_codes = _questions(model, nodes, n_nodes)
    value, weight = np.zeros((n_nodes, forest.values.shape[1])), np.zeros(n_nodes)
    value[n_inner:] = leaf_values(forest, np.arange(first, last))
    weight[n_inner:] = forest.weights[first:last]
    for level in levels(children[:, 0], children[:, 1])[::-1]:
        inner = level[level < n_inner]
        left, right = children[inner, 0], children[inner, 1]
        weight[inner] = weight[left] + weight[right]
        share = (weight[left] / weight[inner])[:, None]  # shares, for weights times huge values overflow
        value[inner] = value[left] * share + value[right] * (1 - share)
    return Shape(children[:, 0], children[:, 1], feature, threshold, left_codes, value, weight)


def _questions(model, nodes, n_nodes):
    """Return what each node asks, where it cuts, and which codes go left."""
    bins, n_inner = model.bins, len(nodes)
    bound, kind = nodes[:, 3] & 255, nodes[:, 3] >> 8
    sets = kind == CATEGORIES
    feature, threshold = np.full(n_nodes, -2), np.full(n_nodes, np.nan)
    left_codes = np.zeros((n_nodes, 256), bool)
    asked = nodes[:, 2].copy()
    asked[sets] = model.forest.set_features[nodes[sets, 2]]
    feature[:n_inner] = asked
    cut = np.where(sets, 0, bound - (kind == 1))
    threshold[:n_inner] = np.where(sets, np.nan, bins.edges[bins.starts[asked] + cut])
    left_codes[:n_inner] = np.arange(256) <= cut[:, None]
    left_codes[:n_inner, 255] = kind == 1
    words = model.forest.sets[nodes[sets, 2]].astype("<u4").view(np.uint8).reshape(-1, 32)
    left_codes[np.flatnonzero(sets)] = np.unpackbits(words, axis=1, bitorder="little").astype(bool)
    return feature, threshold, left_codes


class ForestTree(BaseEstimator):
    """One tree of a forest as an estimator; it takes rows of numbers, as the forest's own `predict` does.

    Parameters
    ----------
    owner : estimator
        The fitted forest.
    number : int
        Which of its trees.
    """

    def __init__(self, owner, number):
        self.owner = owner
        self.number = number

    def __sklearn_is_fitted__(self):
        """Tell whether the forest is fitted: a clone's is not."""
        return hasattr(self.owner, "_model")

    def __getstate__(self):
        """Return a copy's state: its owner has this tree alone, and nothing of the training rows."""
        state = super().__getstate__()
        if not hasattr(self.owner, "_model"):
            return state
        owner, model = clone(self.owner), self.owner._model
        kept = {name: value for name, value in vars(self.owner).items() if name not in _OF_ALL_TREES}
        vars(owner).update(kept | {"_model": replace(model, forest=lone_tree(model.forest, self.number))})
        return state | {"owner": owner, "number": 0}

    @property
    def _model(self):
        check_is_fitted(self.owner)
        return self.owner._model

    @property
    def n_features_in_(self):
        """The number of features."""
        return self.owner.n_features_in_

    @property
    def tree_(self):
        """The tree, node by node."""
        return shape_of(self._model, self.number)

    def _answers(self, X):
        model = self._model
        tree = part(model.forest, np.array([self.number]))
        return sums(tree, model.codes(self.owner._rows(X), 1), 1)

    def apply(self, X):
        """Return the node of :attr:`tree_` in which each row ends.

        Parameters
        ----------
        X : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        nodes : ndarray of shape (n_samples,)
            Leaves.
        """
        model = self._model
        found = leaves(part(model.forest, np.array([self.number])), model.codes(self.owner._rows(X), 1), 1)[:, 0]
        starts, ends = model.forest.leaf_starts, model.forest.node_starts
        return found - starts[self.number] + (ends[self.number + 1] - ends[self.number])

    def decision_path(self, X):
        """Return which nodes of :attr:`tree_` each row passes.

        Parameters
        ----------
        X : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        indicator : CSR array of shape (n_samples, n_nodes), int
            1 for nodes that a row passes, its leaf included.
        """
        return ways_of_rows([children_of(self._model.forest, self.number).T], self.apply(X)[:, None])

    def get_depth(self):
        """Return the depth of the tree.

        Returns
        -------
        depth : int
            The length of the longest way down.
        """
        return self.tree_.max_depth

    def get_n_leaves(self):
        """Return the number of leaves.

        Returns
        -------
        n_leaves : int
            Leaves.
        """
        starts = self._model.forest.leaf_starts
        return int(starts[self.number + 1] - starts[self.number])

    def export_text(self, feature_names=None, decimals=2, max_depth=10):
        """Return the tree's rules as text.

        Parameters
        ----------
        feature_names : list of str or None, default=None
            Names of the features; None takes those of the training data.
        decimals : int, default=2
            How many decimals numbers have.
        max_depth : int or None, default=10
            Deeper branches are left out; None writes all.

        Returns
        -------
        text : str
            One line per node. "or missing" is said of features that had missing values in training.

        Raises
        ------
        TypeError
            If `decimals` or `max_depth` is no integer, or `feature_names` no list.
        ValueError
            If one of them is negative, or there aren't as many names as features.
        """
        decimals = require_count("decimals", decimals)
        max_depth = np.inf if max_depth is None else require_count("max_depth", max_depth)
        return "\n".join(rules(self, feature_names, decimals, max_depth)) + "\n"


def rules(tree, feature_names, decimals, max_depth):
    """Yield the lines of a tree's rules.

    Parameters
    ----------
    tree : ForestTree
        The tree.
    feature_names : list of str or None
        Names; None takes those of the training data, or numbers.
    decimals, max_depth : int
        How much is written.

    Yields
    ------
    line : str
        Of one side of a node, or a leaf.
    """
    shape, names = tree.tree_, names_of(tree, feature_names)
    pending = [(0, 0, "")]
    while pending:
        node, depth, said = pending.pop()
        if said:
            yield "|   " * (depth - 1) + "|--- " + said
        if shape.children_left[node] < 0 or depth >= max_depth:
            what = "" if shape.children_left[node] < 0 else "truncated branch, "
            yield "|   " * depth + "|--- " + what + tree.describe(shape.value[node], decimals)
            continue
        left, right = sides_of(tree, shape, node, names, decimals)
        pending.append((shape.children_right[node], depth + 1, right))
        pending.append((shape.children_left[node], depth + 1, left))


def names_of(tree, feature_names):
    """Return the names of features: those given, or those of the training data, or numbers."""
    n_features = tree.n_features_in_
    if feature_names is None:
        return list(getattr(tree.owner, "feature_names_in_", [f"feature_{i}" for i in range(n_features)]))
    if isinstance(feature_names, str) or not hasattr(feature_names, "__iter__"):
        raise TypeError(f"feature_names must be a list of {n_features} names, got {feature_names!r}.")
    names = [str(name) for name in feature_names]
    if len(names) != n_features:
        raise ValueError(f"feature_names must hold a name for each of the {n_features} features, got {len(names)}.")
    return names


def require_count(name, value):
    """Return a whole number of at least 0; what is none is refused in words.

    Parameters
    ----------
    name : str
        What it is called.
    value : object
        What was given.

    Returns
    -------
    value : int
        The number.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer of at least 0, got {value!r}.")
    if value < 0:
        raise ValueError(f"{name} must be at least 0, got {value!r}.")
    return int(value)


def sides_of(tree, shape, node, names, decimals, most=None):
    """Return in words which rows of an inner node go left, and which right.

    Parameters
    ----------
    tree : ForestTree
        The tree.
    shape : Shape
        Its nodes.
    node : int
        Which one.
    names : list of str
        Of the features.
    decimals : int
        How many decimals numbers have.
    most : int or None, default=None
        How many categories are named at most; None names all.

    Returns
    -------
    left, right : str
        As rules.
    """
    feature = shape.feature[node]
    name, left, right = names[feature], "", ""
    if tree.owner._lacking[feature]:
        left, right = (" or missing", "") if shape.missing_go_to_left[node] else ("", " or missing")
    if np.isnan(shape.threshold[node]):
        held = ", ".join(shortened(tree.owner.category_names(feature, shape.left_codes[node]), most))
        return f"{name} in {{{held}}}{left}", f"{name} not in {{{held}}}{right}"
    cut = f"{shape.threshold[node]:.{decimals}f}"
    return f"{name} <= {cut}{left}", f"{name} >  {cut}{right}"


def shortened(words, most):
    """Return words, or the first of them and how many are left out; None leaves out none."""
    if most is None or len(words) <= most:
        return words
    short = [word if len(word) <= _WIDE else f"{word[: _WIDE - 3]}..." for word in words[:most]]
    return [*short, f"... {len(words) - most} more"]


class ForestTreeClassifier(ClassifierMixin, ForestTree):
    """One tree of a :class:`BaggingForest` as a classifier."""

    @property
    def classes_(self):
        """The class labels."""
        return self.owner.classes_

    def predict_proba(self, X):
        """Return the shares of classes in each row's leaf.

        Parameters
        ----------
        X : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        shares : ndarray of shape (n_samples, n_classes), or a list of such
            For each output.
        """
        return self.owner._by_output(self._answers(X))

    def predict(self, X):
        """Return the most frequent class of each row's leaf.

        Parameters
        ----------
        X : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Labels.
        """
        return self.owner._labels(self._answers(X))

    def describe(self, value, decimals, most=None):
        """Return what a leaf says, in words; of more than `most` classes the share of the likeliest alone."""
        shares, said = self.owner._by_output(value[None]), self.owner._labels(value[None])[0]
        if isinstance(shares, list):
            return f"classes: [{', '.join(shortened([repr(one) for one in said.tolist()], most))}]"
        if most is not None and shares.shape[1] > most:
            return f"class: {said}, share: {shares.max():.{decimals}f}"
        return f"class: {said}, shares: [{', '.join(f'{share:.{decimals}f}' for share in shares[0])}]"


class ForestTreeRegressor(RegressorMixin, ForestTree):
    """One tree of a :class:`BaggingForestRegressor` as a regressor."""

    def predict(self, X):
        """Return the mean of each row's leaf.

        Parameters
        ----------
        X : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Means.
        """
        return self.owner._shaped(self._answers(X))

    def describe(self, value, decimals, most=None):
        """Return what a leaf says, in words; of more than `most` outputs the first."""
        return f"value: [{', '.join(shortened([f'{one:.{decimals}f}' for one in value], most))}]"
