"""Twin of slim.pyx: coordinate descent for sparse linear models of each item by the others, in plain NumPy."""

import numpy as np


def descend_columns(
    indptr, indices, data, diagonal, targets, l1, l2, nonnegative, tolerance, max_sweeps, max_work, most, W, Q, done,
    n_sweeps, numbers, codes, n_threads,
):  # fmt: skip
    """Go on minimising 1/2 |x_j - X w|^2 + l2/2 |w|^2 + l1 |w|_1 with w_j = 0, for several j."""
    _check((indptr, indices, data, diagonal), targets, W, Q, (done, n_sweeps), (most, numbers, codes, n_threads))
    gram, penalty = (indptr, indices, data, diagonal), (l1, l2, nonnegative)
    done[:] = done if len(data) else 1
    for i, j in enumerate(targets):
        work = max_work
        while not done[i] and n_sweeps[i] < max_sweeps and work > 0:
            at_most = (tolerance * diagonal[j], min(100, max_sweeps - n_sweeps[i]), most)
            n = _round(gram, penalty, j, W[i], Q[i], at_most)
            done[i], n_sweeps[i], work = n == 0, n_sweeps[i] + n, work - 1 - len(diagonal) * n


def _round(gram, penalty, j, w, q, at_most):
    """Optimise the weights of a working set; return how many sweeps that took, 0 if there was nothing to do."""
    indptr, indices, data, diagonal = gram
    tolerance, max_sweeps, most = at_most
    step = np.where(diagonal > 0, _best(penalty, w, q, diagonal) - w, 0)
    step[j] = 0
    violation = np.abs(step) * (diagonal + penalty[1])
    if not violation.max() > tolerance:
        return 0
    members = _chosen(w, violation, tolerance, most)
    rows = np.array([_dense_row(indptr, indices, data, k) for k in members])
    enough = max(0.5 * tolerance, 0.1 * violation.max())
    new, n = _swept(penalty, rows[:, members], w[members], q[members], (enough, max_sweeps))
    q -= (new - w[members]) @ rows
    w[members] = new
    return n


def _chosen(w, violation, tolerance, most):
    """Return the working set: the weights that are not 0, then those whose violation is worst."""
    members, support = np.flatnonzero((w != 0) | (violation > tolerance)), np.count_nonzero(w)
    first = (w[members] == 0) & (2 * support <= most)
    order = np.lexsort((members, -violation[members], first))
    return np.sort(members[order[: min(most, max(64, 2 * support))]])


def _swept(penalty, part, w, q, at_most):
    """Return the weights after sweeps until the worst violation is small enough, and how many there were."""
    w, q, n, worst = w.copy(), q.copy(), 0, np.inf
    while worst > at_most[0] and n < at_most[1]:
        n, worst = n + 1, 0.0
        for a in range(len(w)):
            step = _best(penalty, w[a], q[a], part[a, a]) - w[a]
            w[a], q = w[a] + step if w[a] + step else 0.0, q - step * part[a]
            worst = max(worst, abs(step) * (part[a, a] + penalty[1]))
    return w, n


def _best(penalty, w, q, square):
    """Return the best value of weights, each with the others as they are."""
    l1, l2, nonnegative = penalty
    z = q + square * w
    size = np.maximum(0.0, (z if nonnegative else np.abs(z)) - l1)
    return np.sign(z) * np.divide(size, square + l2, out=np.zeros_like(size), where=size > 0)


def _dense_row(indptr, indices, data, k):
    row, part = np.zeros(len(indptr) - 1), slice(indptr[k], indptr[k + 1])
    row[indices[part]] = data[part]
    return row


def _check(gram, targets, W, Q, states, room):
    (indptr, indices, data), (most, numbers, codes, n_threads), n = gram[:3], room, len(gram[3])
    if {len(targets)} != {len(W), len(Q), *map(len, states)} or {n} != {W.shape[1], Q.shape[1]}:
        raise ValueError("targets, W, Q and the states disagree in shape.")
    if len(indptr) - 1 != n or not indptr[-1] == len(indices) == len(data):
        raise ValueError("indptr, indices, data and diagonal are not those of a CSR matrix.")
    if any(len(given) and not 0 <= given.min() <= given.max() < n for given in (indices, targets)):
        raise ValueError("indices or targets point outside.")
    if most < 1 or min(len(numbers), len(codes)) < n_threads or numbers.shape[1] < n + most * (most + 2):
        raise ValueError("There is too little room.")
