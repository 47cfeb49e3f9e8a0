"""Minimal cost-complexity pruning (Breiman et al. 1984, section 3.3)."""

import heapq

import numpy as np

from skml.ensemble.criteria import ABSOLUTE, GINI, POISSON


def pruned(nodes, risk_of, alpha):
    """Cut the weakest links of a tree.

    Parameters
    ----------
    nodes : ndarray of shape (n_inner, 4), int32
        Of one tree; the first two columns lead to an inner node, which comes later, or ~leaf. Leaves are numbered
        from left to right.
    risk_of : callable
        ``risk_of(first, last)`` gives what leaves ``first`` to ``last`` (arrays) would cost as one.
    alpha : float
        What a leaf costs.

    Returns
    -------
    nodes : ndarray of shape (n_kept, 4), int32
        The smaller tree.
    leaves : ndarray of int
        The first of the old leaves in each new one.
    kept : ndarray of shape (n_inner,), bool
        Which inner nodes are left.
    """
    children = nodes[:, :2]
    first, last = _spans(children)
    n_leaves = len(children) + 1
    own = np.arange(n_leaves)
    kept = _strong(children, risk_of(first, last), risk_of(own, own), alpha)
    number = np.cumsum(kept) - 1
    inner = children >= 0
    stays = inner & kept[np.where(inner, children, 0)]
    begins = np.where(inner, first[np.where(inner, children, 0)], ~children)
    leaves = np.unique(begins[kept][~stays[kept]]) if kept.any() else np.zeros(1, int)
    out = nodes[kept].copy()
    links = np.where(stays, number[np.where(inner, children, 0)], ~np.searchsorted(leaves, begins))
    out[:, :2] = links[kept]
    return out, leaves, kept


def _spans(children):
    """Return the first and the last leaf below each inner node."""
    first, last = np.empty(len(children), int), np.empty(len(children), int)
    for i in range(len(children) - 1, -1, -1):
        left, right = children[i]
        first[i] = ~left if left < 0 else first[left]
        last[i] = ~right if right < 0 else last[right]
    return first, last


def _strong(children, risks, leaf_risks, alpha):
    """Return which inner nodes stay when links of strength up to alpha are cut, the weakest first."""
    n = len(children)
    parent, below, leaves = np.full(n, -1), np.zeros(n), np.zeros(n, int)
    for i in range(n - 1, -1, -1):
        for child in children[i]:
            below[i] += leaf_risks[~child] if child < 0 else below[child]
            leaves[i] += 1 if child < 0 else leaves[child]
            if child >= 0:
                parent[child] = i
    strength = (risks - below) / (leaves - 1)
    kept, links = np.ones(n, bool), [(strength[i], i) for i in range(n)]
    heapq.heapify(links)
    while links and links[0][0] <= alpha:
        weakest, node = heapq.heappop(links)
        if not kept[node] or strength[node] != weakest:
            continue
        _cut(children, kept, node)
        change, fewer, above = risks[node] - below[node], leaves[node] - 1, parent[node]
        while above >= 0:
            below[above] += change
            leaves[above] -= fewer
            strength[above] = (risks[above] - below[above]) / (leaves[above] - 1)
            heapq.heappush(links, (strength[above], above))
            above = parent[above]
    return kept


def _cut(children, kept, node):
    pending = [node]
    while pending:
        node = pending.pop()
        kept[node] = False
        pending += [child for child in children[node] if child >= 0 and kept[child]]


def node_risks(problem, rows, counts, class_weights, begins):
    """Return the function that tells what a span of leaves costs as one: its impurity times its share of the weight.

    Parameters
    ----------
    problem : Problem
        The targets and the criterion.
    rows, counts : ndarray of shape (n_bag,)
        The bag, leaf by leaf.
    class_weights : ndarray or None
        Of classes; None for numbers.
    begins : ndarray of shape (n_leaves,)
        Where the rows of each leaf begin.

    Returns
    -------
    risk_of : callable
        ``risk_of(first, last)`` takes and gives arrays.
    """
    ends = np.append(begins[1:], len(rows))
    y, criterion, total = problem.targets.y[:, rows], problem.rule.criterion, counts.sum(dtype=np.float64)
    if criterion == ABSOLUTE:

        def risk_of(first, last):
            spans = zip(begins[first], ends[last])
            return np.array([_absolute(y[:, begin:end], counts[begin:end]) for begin, end in spans]) / total

        return risk_of
    if class_weights is None:
        sums, impurity = _sums_of_numbers(y, counts, criterion), _deviance if criterion == POISSON else _squares
    else:
        bounds = zip(problem.targets.first[:-1], problem.targets.first[1:])
        sums = [
            _running(np.eye(end - begin)[labels - begin].T * (counts * class_weights[labels]))
            for labels, (begin, end) in zip(y, bounds)
        ]
        impurity, total = _gini if criterion == GINI else _entropy, sums[0][:, -1].sum()

    def risk_of(first, last):
        return sum(impurity(one[:, ends[last]] - one[:, begins[first]]) for one in sums) / len(sums) / total

    return risk_of


def _sums_of_numbers(y, counts, criterion):
    if criterion == POISSON:
        second = y * np.log(np.where(y > 0, y, 1.0))
    else:
        y = y - np.average(y, axis=1, weights=counts)[:, None]
        second = y * y
    return [_running(np.stack([counts, counts * one, counts * two])) for one, two in zip(y, second)]


def _running(columns):
    return np.concatenate([np.zeros((len(columns), 1)), np.cumsum(columns, axis=1, dtype=np.float64)], axis=1)


def _gini(held):
    weight = held.sum(axis=0)
    return weight - (held**2).sum(axis=0) / weight


def _entropy(held):
    weight = held.sum(axis=0)
    logs = held * np.log2(np.where(held > 0, held / weight, 1.0))
    return -logs.sum(axis=0)


def _squares(sums):
    return np.maximum(sums[2] - sums[1] ** 2 / sums[0], 0.0)


def _deviance(sums):
    return sums[2] - sums[1] * np.log(np.where(sums[1] > 0, sums[1] / sums[0], 1.0))


def _absolute(y, counts):
    order = np.argsort(y, axis=1)
    risk = 0.0
    for values, places in zip(y, order):
        reached = np.cumsum(counts[places])
        median = values[places[np.searchsorted(reached, reached[-1] / 2)]]
        risk += counts @ np.abs(values - median)
    return risk / len(y)
