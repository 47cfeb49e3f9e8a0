"""Twin of similarity.pyx: similarities between the rows of sparse matrices and what neighbours predict, in NumPy."""

import numpy as np


def similar_rows(
    left_indptr, left_indices, left_data, left_roots, right_indptr, right_indices, right_data, right_roots, left_size,
    right_size, kind, shrinkage, min_support, negative, first, same, indices, data, counts, n_threads,
):  # fmt: skip
    """Write the most similar right rows of consecutive left rows."""
    chosen = slice(first, first + len(counts))
    _check(_least(left_roots) * _least(right_roots) > 0)
    x, g = _dense(left_indptr, left_indices, left_data, left_roots, len(right_indptr) - 1)
    y, h = _dense(right_indptr, right_indices, right_data, right_roots, len(right_size))
    _check(indices.shape == data.shape and len(x) == len(left_size) and len(x[chosen]) == len(data) == len(counts))
    sums = _common_sums(x[chosen] * g[chosen], g[chosen], y * h, h)
    values = _similarity(kind, sums, left_size[chosen, None], right_size, (shrinkage, min_support))
    for row, value in enumerate(values.astype(data.dtype)):
        value[first + row : first + row + same] = 0
        kept = _largest(value, np.flatnonzero(value if negative else value > 0), data.shape[1])
        counts[row], indices[row, : len(kept)], data[row, : len(kept)] = len(kept), kept, value[kept]


def _largest(value, places, n):
    return np.sort(places[np.argsort(-np.abs(value[places]), kind="stable")[:n]])


def _check(sound):
    if not sound:
        raise ValueError("The arguments disagree in shape, or point outside.")


def _least(roots):
    _check(np.all((roots > 0) & np.isfinite(roots)))
    return float(min(roots, default=1.0))


def _dense(indptr, indices, data, weights, n_columns):
    """Return values and weights as dense rows, 0 where nothing is stored."""
    _check(indptr[-1] == len(indices) == len(data) and len(weights) in (0, len(data)))
    _check(np.all((indices >= 0) & (indices < n_columns)) and np.all(np.diff(indptr) >= 0))
    rows = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    values, filled = np.zeros((2, len(indptr) - 1, n_columns))
    values[rows, indices], filled[rows, indices] = data, weights if len(weights) else 1.0
    return values, filled


def _common_sums(gx, g, hy, h):
    """Return n, sum xy, sum x^2, sum y^2, sum x and sum y over the columns that each pair of rows has in common."""
    x = np.divide(gx, g, out=np.zeros_like(gx), where=g > 0)
    y = np.divide(hy, h, out=np.zeros_like(hy), where=h > 0)
    return g @ h, gx @ hy, (gx * x) @ h, g @ (hy * y), gx @ h, g @ hy


def _similarity(kind, sums, left_size, right_size, limits):
    n, xy, xx, yy, x, y = sums
    shrinkage, min_support = limits
    with np.errstate(divide="ignore", invalid="ignore"):
        if kind == 2:
            value = np.minimum(1, n / (left_size + right_size - n))
        elif kind == 4:
            vx, vy = xx - x * x / n, yy - y * y / n
            value = _ratio(xy - x * y / n, np.where((vx > 1e-12 * xx) & (vy > 1e-12 * yy), vx * vy, 0))
        else:
            value = xy if kind == 0 else _ratio(xy, left_size * right_size if kind == 1 else xx * yy)
        return np.where((n > 0) & (n >= min_support), value * (n / (n + shrinkage)), 0)


def _ratio(numerator, square):
    value = np.where(square > 0, numerator / np.sqrt(square), 0)
    return np.where(np.abs(value) > 1 - 1e-10, np.sign(value), value)  # what is 1 but for rounding is just that


def say_pairs(
    states_indptr, states_indices, states_data, states_weights, back_indptr, back_indices, back_data, back_weights,
    n_neighbors, rows, targets, k, mean, damping, state_says, out, n_threads,
):  # fmt: skip
    """Write what the k most similar neighbours common to a state and a target say."""
    a, v = _dense(states_indptr, states_indices, states_data, states_weights, n_neighbors)
    b, w = _dense(back_indptr, back_indices, back_data, back_weights, n_neighbors)
    _check(len(rows) == len(targets) == len(out) and k >= 1)
    _check(not len(rows) or min(rows.min(), targets.min()) >= 0 and rows.max() < len(a) and targets.max() < len(b))
    for at, (i, j) in enumerate(zip(rows, targets)):
        common = np.flatnonzero((v[i] > 0) & (w[j] > 0))
        similar = np.abs(b[j] if state_says else a[i])
        common = np.sort(common[np.argsort(-similar[common], kind="stable")[:k]])
        weight = v[i, common] * w[j, common]
        num, den = (a[i, common] * b[j, common] * weight).sum(), (similar[common] * weight).sum()
        out[at] = num if not mean else num / (den + damping) if den > 0 else 0


def say_rows(
    states_indptr, states_indices, states_data, states_weights, links_indptr, links_indices, links_data, links_weights,
    back_indptr, back_indices, back_data, back_weights, k, mean, damping, state_says, first, out, n_threads,
):  # fmt: skip
    """Write what the k most similar neighbours of consecutive states say of every target, as say_pairs does."""
    _check(first >= 0 and first + len(out) < len(states_indptr) and out.shape[1] == len(back_indptr) - 1 and k >= 1)
    _dense(links_indptr, links_indices, links_data, links_weights, out.shape[1])
    rows, targets = np.indices(out.shape, dtype=np.int32).reshape(2, -1)
    said = np.empty(out.size, dtype=out.dtype)
    states = (states_indptr, states_indices, states_data, states_weights)
    back = (back_indptr, back_indices, back_data, back_weights)
    say_pairs(
        *states, *back, len(links_indptr) - 1, rows + np.int32(first), targets, k, mean, damping, state_says, said, 1
    )
    out[:] = said.reshape(out.shape)
