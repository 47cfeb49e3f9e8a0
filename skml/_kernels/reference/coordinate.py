"""Twin of coordinate.pyx: rank-one sweeps, exact solutions of rows, residuals and their products, in plain NumPy."""

import numpy as np
from scipy.optimize import nnls


def sweep_rows(indptr, indices, residual, weights, held, pairs, own, penalties, low, start, stop, n_threads):
    """Subtract ``held * change`` from the residuals, then minimise ``sum w residual^2 + penalty own^2`` over own."""
    _check_rows(indptr, indices, (residual, weights), len(pairs), (start, stop))
    if not len(own) == len(held) == len(penalties) == len(indptr) - 1 or pairs.shape[1] != 2:
        raise ValueError("own, held, penalties, indptr and pairs disagree in shape.")
    for r in range(start, stop):
        row = slice(indptr[r], indptr[r + 1])
        change, x = pairs[indices[row]].T
        residual[row] -= held[r] * change
        w, before = (weights[row] if len(weights) else 1.0), own[r]
        slope, curvature = (w * x * residual[row]).sum(), (w * x * x).sum()
        if curvature + penalties[r] > 0:
            own[r] = max(low, (slope + curvature * before) / (curvature + penalties[r]))
        residual[row] -= (own[r] - before) * x


def solve_rows(
    indptr, indices, data, weights, design, offsets, base, penalties, scales, own, nonnegative, start, stop, n_threads
):
    """Minimise ``sum w (data - offset - x'z)^2 + z'(base + scale diag(penalties)) z`` over each row's z, exactly."""
    _check_rows(indptr, indices, (data, weights), len(design), (start, stop))
    _check_shapes(design, offsets, base, penalties, own, len(scales) == len(indptr) - 1)
    for r in range(start, stop):
        row = slice(indptr[r], indptr[r + 1])
        x, y = design[indices[row]].astype(np.float64), data[row] - offsets[indices[row]].astype(np.float64)
        w = weights[row] if len(weights) else np.ones(len(y))
        normal = (x * w[:, None]).T @ x + base + scales[r] * np.diag(penalties)
        own[r] = _nonnegative(normal, x.T @ (w * y)) if nonnegative else np.linalg.pinv(normal) @ (x.T @ (w * y))


def _nonnegative(normal, b):
    """Return the minimiser of ``z'normal z / 2 - b'z`` without negative entries."""
    values, vectors = np.linalg.eigh(normal)
    kept = values > 1e-13 * values.max(initial=0.0)
    roots = np.sqrt(values[kept])
    return nnls((vectors[:, kept] * roots).T, (vectors[:, kept].T @ b) / roots)[0] if kept.any() else 0 * b


def write_residuals(indptr, indices, data, left, right, residual, start, stop, n_threads):
    """Write ``data - left right'`` at the entries."""
    _check_rows(indptr, indices, (data, residual), len(right), (start, stop))
    if left.shape[1] != right.shape[1] or len(left) != len(indptr) - 1 or len(data) != len(residual):
        raise ValueError("left, right, indptr, data and residual disagree in shape.")
    rows = np.repeat(np.arange(start, stop), np.diff(indptr[start : stop + 1]))
    part = slice(indptr[start], indptr[stop])
    residual[part] = data[part] - np.einsum("ij,ij->i", left[rows], right[indices[part]])


def residual_products(indptr, indices, data, weights, left, right, basis, out, errors, start, stop, n_threads):
    """Write ``S @ basis``, where S holds ``weight * (data - left right')`` at the entries and 0 elsewhere."""
    _check_rows(indptr, indices, (data, weights), len(right), (start, stop))
    if left.shape[1] != right.shape[1] or len(right) != len(basis) or basis.shape[1] != out.shape[1]:
        raise ValueError("left, right, basis and out disagree in shape.")
    if not len(left) == len(out) == len(errors) == len(indptr) - 1:
        raise ValueError("left, out, errors and indptr disagree in length.")
    for r in range(start, stop):
        row = slice(indptr[r], indptr[r + 1])
        residual = data[row] - right[indices[row]] @ left[r]
        scaled = residual * weights[row] if len(weights) else residual
        out[r], errors[r] = scaled @ basis[indices[row]], scaled @ residual


def _check_rows(indptr, indices, values, n_columns, rows):
    start, stop = rows
    if not 0 <= start <= stop < len(indptr) or np.any(np.diff(indptr[start : stop + 1]) < 0):
        raise ValueError("indptr decreases, or start and stop point outside.")
    if len(values[0]) != len(indices) or len(values[1]) not in (0, len(indices)):
        raise ValueError("indices and values, and weights if there are any, disagree in length.")
    if indptr[start] < 0 or indptr[stop] > len(indices):
        raise ValueError("indptr points outside the entries.")
    part = indices[indptr[start] : indptr[stop]]
    if len(part) and not 0 <= part.min() <= part.max() < n_columns:
        raise ValueError("indices point outside the columns.")


def _check_shapes(design, offsets, base, penalties, own, agree):
    K = design.shape[1]
    if len(offsets) != len(design) or base.shape != (K, K) or len(penalties) != K or own.shape[1] != K or not agree:
        raise ValueError("design, offsets, base, penalties, scales and own disagree in shape.")
