"""Twin of slim.pyx: coordinate descent for sparse linear models of each item by the others, in plain NumPy."""

import numpy as np


def descend_columns(
    indptr, indices, data, diagonal, targets, l1, l2, nonnegative, tolerance, max_sweeps, max_work, W, Q, worst, status,
    place, n_sweeps, n_threads,
):  # fmt: skip
    """Go on minimising 1/2 |x_j - X w|^2 + l2/2 |w|^2 + l1 |w|_1 with w_j = 0, for several j."""
    _check((indptr, indices, data, diagonal), targets, W, Q, (worst, status, place, n_sweeps))
    status[:] = status if len(data) else 2
    gram, penalty = (indptr, indices, data, diagonal), (l1, l2, nonnegative)
    for i, j in enumerate(targets):
        work = max_work
        while status[i] != 2 and n_sweeps[i] < max_sweeps and work > 0:
            work, at = _sweep(gram, penalty, j, (W[i], Q[i], worst[i : i + 1], status[i]), (work, place[i]))
            place[i] = at % len(diagonal)
            if at == len(diagonal):
                within = worst[i] <= tolerance * diagonal[j]
                status[i], worst[i], n_sweeps[i] = 1 if not within else 0 if status[i] else 2, 0, n_sweeps[i] + 1


def _sweep(gram, penalty, j, state, limits):
    """Go on with a sweep until the work is used up; return what is left of it, and the weight that comes next."""
    (indptr, indices, data, diagonal), (w, q, worst, status), (work, k) = gram, state, limits
    while k < len(w) and work > 0:
        new, work = _updated(penalty, w[k], q[k], diagonal[k]), work - 1
        if k != j and diagonal[k] > 0 and new != w[k] and not (status == 1 and w[k] == 0):
            row = slice(indptr[k], indptr[k + 1])
            worst[0] = max(worst[0], abs(new - w[k]) * (diagonal[k] + penalty[1]))
            q[indices[row]] -= (new - w[k]) * data[row]
            w[k], work = new, work - (row.stop - row.start)
        k += 1
    return work, k


def _updated(penalty, w, q, square):
    """Return the best value of one weight, the others as they are."""
    l1, l2, nonnegative = penalty
    z = q + square * w
    return np.sign(z) * max(0.0, (z if nonnegative else abs(z)) - l1) / (square + l2) if square > 0 else w


def _check(gram, targets, W, Q, states):
    indptr, indices, data, diagonal = gram
    if {len(targets)} != {len(W), len(Q), *map(len, states)} or {len(diagonal)} != {W.shape[1], Q.shape[1]}:
        raise ValueError("targets, W, Q and the states disagree in shape.")
    if len(indptr) - 1 != len(diagonal) or not indptr[-1] == len(indices) == len(data):
        raise ValueError("indptr, indices, data and diagonal are not those of a CSR matrix.")
    if any(len(codes) and not 0 <= codes.min() <= codes.max() < len(diagonal) for codes in (indices, targets)):
        raise ValueError("indices or targets point outside.")
