"""Importances measured on the rows that a tree was not grown from."""

import numpy as np
from sklearn.utils import Bunch

from skml.ensemble.binning import row_codes
from skml.ensemble.predictor import part, sums
from skml.ensemble.sampling import generator, out_of_bag
from skml.ensemble.trees import shape_of


def _out_of_bag(table, bagging, number):
    """Return the rows out of a bag, what they weigh there, and their codes."""
    out, shares = out_of_bag(bagging, number)
    return out, bagging.weights[out] * shares, row_codes(table, out)


def by_permutation(model, table, bagging, targets, n_repeats, first):
    """Return how much worse each tree gets on the rows out of its bag when a feature's values are shuffled.

    Breiman (2001), section 10. Features that a tree does not ask are 0 in it.

    Parameters
    ----------
    model : BinnedForest
        The forest.
    table : Table
        The training rows.
    bagging : Bagging
        How its bags were drawn.
    targets : ndarray of shape (n_rows, n_columns)
        What would have been right: shares of classes (0 or 1), or numbers.
    n_repeats : int
        How often each feature is shuffled.
    first : ndarray of shape (n_outputs + 1,) or None
        The first class of each output, and the number of all; None for numbers.

    Returns
    -------
    drops : Bunch
        ``importances``, of each feature in each tree: the drop in accuracy, or the rise of the mean squared error, the
        mean of the outputs; NaN for trees with less than two rows out of bag. ``importances_mean`` and
        ``importances_std`` over the others.
    """
    forest, n_features = model.forest, len(table.categorical)
    drops = np.zeros((n_features, forest.n_trees))
    for number in range(forest.n_trees):
        out, weights, codes = _out_of_bag(table, bagging, number)
        tree, rng = part(forest, np.array([number])), generator(bagging.entropy ^ 0x14057B7EF767814F, number)
        if len(out) < 2:
            drops[:, number] = np.nan
            continue
        error = _error(sums(tree, codes, 1), targets[out], weights, first)
        for f in np.unique(shape_of(model, number).feature):
            if f < 0:
                continue
            column = codes[:, f].copy()
            for _ in range(n_repeats):
                codes[:, f] = _shuffled(column, weights, rng)
                rise = _error(sums(tree, codes, 1), targets[out], weights, first) - error
                drops[f, number] += rise / n_repeats
            codes[:, f] = column
    told = drops[:, ~np.isnan(drops[0])]
    if told.shape[1] == 0:
        told = np.full((n_features, 1), np.nan)
    return Bunch(importances=drops, importances_mean=told.mean(axis=1), importances_std=told.std(axis=1))


def _shuffled(values, weights, rng):
    """Return values in another order; where rows weigh differently, draws by weight."""
    if np.all(weights == weights[0]):
        return rng.permutation(values)
    return rng.choice(values, len(values), p=weights / weights.sum())


def _error(said, right, weights, first):
    if first is None:
        return np.average(((said - right) ** 2).mean(axis=1), weights=weights)
    outputs = [slice(begin, end) for begin, end in zip(first[:-1], first[1:])]
    wrong = [said[:, own].argmax(axis=1) != right[:, own].argmax(axis=1) for own in outputs]
    return np.average(np.mean(wrong, axis=0), weights=weights)


def by_impurity(model, table, bagging, targets, n_outputs):
    """Return the impurity decrease of each feature, measured out of bag: MDI-oob (Li et al. 2019, equation 8).

    For each split on the way of a row out of the bag, the change of the node's value towards the child's counts by
    its product with the row's own target, measured from the root's value. In the bag that is the usual importance; out
    of it, features that only fit noise come out at 0 on average.

    Parameters
    ----------
    model : BinnedForest
        The forest.
    table : Table
        The training rows.
    bagging : Bagging
        How its bags were drawn.
    targets : ndarray of shape (n_rows, n_columns)
        Shares of classes (0 or 1), or numbers.
    n_outputs : int
        Over how many outputs the mean is taken.

    Returns
    -------
    importances : ndarray of shape (n_features,)
        Means over trees and outputs; negative by chance only. NaN if no tree has rows out of its bag.
    """
    total, n_told = np.zeros(len(table.categorical)), 0
    for number in range(model.n_members):
        out, weights, codes = _out_of_bag(table, bagging, number)
        if len(out) == 0:
            continue
        n_told += 1
        shape = shape_of(model, number)
        weights = weights / weights.sum()
        at, rows = np.zeros(len(out), int), np.arange(len(out))
        while len(rows):
            feature = shape.feature[at]
            inner = feature >= 0
            at, rows, feature = at[inner], rows[inner], feature[inner]
            below = np.where(
                shape.left_codes[at, codes[rows, feature]], shape.children_left[at], shape.children_right[at]
            )
            gain = ((shape.value[below] - shape.value[at]) * (targets[out[rows]] - shape.value[0])).sum(axis=1)
            total += np.bincount(feature, gain * weights[rows], minlength=len(total)) / n_outputs
            at = below
    return total / n_told if n_told else np.full(len(total), np.nan)
