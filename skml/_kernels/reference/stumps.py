"""Twin of stumps.pyx: the best split of a node, and the votes of small trees, in plain NumPy."""

import numpy as np

_MISSING = 255


def find_split(
    codes, order, offsets, n_bins, rare, rare_starts, common, X, weights, y, rows, totals, tolerance, found, n_threads
):
    """Find the split of largest sum_sides sum_k w_k^2 / w; of equals the lowest feature, then the lowest value."""
    rows, parent = _node(codes, order, offsets, X, (weights, y, found, rows, totals))
    known = [_by_value(codes[f], order[f], rows) for f in range(len(codes))]
    scores = [_scores(X[f], codes[f], k, order.shape[1], (rows, weights, y, totals)) for f, k in enumerate(known)]
    best = max((s.max(initial=-np.inf) for s in scores), default=-np.inf)
    found[:] = -1, -1, -1, 0
    for f, s in enumerate(scores):
        if best > parent + tolerance and s.max(initial=-np.inf) >= best - tolerance:
            at, way = divmod(int(np.argmax(s >= best - tolerance)), 2)
            last, following = known[f][at], known[f][at + 1 :][:1]
            after_bin = not len(following) or codes[f][following[0]] != codes[f][last]
            found[:] = f, codes[f][last], -1 if after_bin else np.flatnonzero(order[f] == following[0])[0], way
            return


def _by_value(codes, order, rows):
    """Return a node's rows of known value, by value."""
    by_value = order[np.isin(order, rows)] if len(order) else rows[np.argsort(codes[rows], kind="stable")]
    return by_value[codes[by_value] != _MISSING]


def _scores(x, codes, known, exact, node):
    """Return the score after each row, missing rows to the right and to the left; -inf where there is no split."""
    rows, weights, y, totals = node
    hot = np.eye(len(totals))
    missing = rows[codes[rows] == _MISSING]
    left = np.cumsum(hot[y[known]] * weights[known, None], axis=0)[:, None, :]
    left = left + np.array([0 * totals, weights[missing] @ hot[y[missing]]])  # (n_known, 2, K)
    right = np.maximum(totals - left, 0)
    of_left, of_right = left.sum(axis=2), totals.sum() - left.sum(axis=2)
    ends = np.append((x if exact else codes)[known[1:]] != (x if exact else codes)[known[:-1]], len(missing) > 0)
    valid = ends[: len(known), None] & (of_left > 0) & (of_right > 0) & np.array([True, len(missing) > 0])
    valid[len(known) - 1 :, 1] = False
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(valid, (left**2).sum(axis=2) / of_left + (right**2).sum(axis=2) / of_right, -np.inf)


def _node(codes, order, offsets, X, of_rows):
    """Return a node's rows and its score, or raise if the arguments disagree."""
    n = codes.shape[1]
    weights, y, found, rows, totals = of_rows
    if X.shape != codes.shape or not len(weights) == len(y) == n or len(order) != len(offsets) != len(codes):
        raise ValueError("codes, order, offsets, X, weights and y disagree in shape.")
    if offsets.shape[1] != 256 or len(found) != 4 or order.shape[1] not in (0, n):
        raise ValueError("offsets needs 256 columns, found 4 entries, and order n columns or none.")
    if len(rows) and not 0 <= rows.min() <= rows.max() < n:
        raise ValueError("rows point outside.")
    return (rows if len(rows) else np.arange(n)), (totals**2).sum() / totals.sum()


def side_sums(y, weights, left, sums):
    """Write the weight of each class on both sides of a split."""
    if not len(y) == len(weights) == len(left) or len(sums) != 2:
        raise ValueError("y, weights, left and sums disagree in shape.")
    for side in (0, 1):
        on_it = left == 1 - side
        sums[side] = np.bincount(y[on_it], weights[on_it], minlength=sums.shape[1])


def cast_votes(said, y, vote, right, total, weights, votes, margins, sums, n_threads):
    """Add a member's votes, reweigh the rows, and write their margins."""
    if not len(said) == len(y) == len(weights) == len(votes) == len(margins) or votes.shape[1] < 2:
        raise ValueError("said, y, weights, votes and margins disagree in shape.")
    each = np.arange(len(y))
    votes[each, said] += vote
    weights *= np.where(said == y, right, 1.0)
    own, others = votes[each, y], votes.copy()
    others[each, y] = -1
    margins[:] = (own - others.max(axis=1)) / total
    sums[:] = [weights[start : start + 4096].sum() for start in range(0, len(y), 4096)]


def weighted_quantiles(values, weights, levels, found):
    """Write, per level, the smallest value that no less than this share of the weight does not exceed."""
    if len(values) != len(weights) or len(levels) != len(found) or not len(values) or not len(levels):
        raise ValueError("values, weights, levels and found disagree in length, or are empty.")
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    at = np.searchsorted(reached, levels * reached[-1])
    found[:] = values[order[np.minimum(at, len(values) - 1)]]


def tree_votes(X, used, starts, features, thresholds, left, missing_left, values, votes, n_threads):
    """Write the sums of what the trees' leaves hold for each row, added in the order of the trees."""
    if len(X) != len(votes) or values.shape[1] != votes.shape[1] or starts[-1] != len(left):
        raise ValueError("X, starts, values and votes disagree in shape.")
    votes[:] = 0
    for start in starts[:-1]:
        node = np.full(len(X), start)
        while (inner := left[node] >= 0).any():
            at = node[inner]
            x = X[inner, used[features[at]]]
            goes_left = np.where(np.isnan(x), missing_left[at], x <= thresholds[at])
            node[inner] = start + left[at] + 1 - goes_left
        votes += values[node]
