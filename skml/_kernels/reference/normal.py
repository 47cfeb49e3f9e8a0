"""Twin of normal.pyx: per-row normal equations in plain NumPy."""

import numpy as np


def solve_rows(
    indptr, indices, data, weights, others, shift, gram, ridge, scales, prior, steps, start, end, found, loss, n_threads
):
    """Minimise, per row, sum w (t - q'x)^2 + s sum_j ridge_j (x_j - prior_j)^2 (with `gram`: the implicit loss)."""
    numbers = (start, end, steps, n_threads, len(ridge))
    _check(indptr, indices, data, (weights, shift, gram, scales, prior, loss), others, found, numbers)
    for row in range(start, end):
        at, k = slice(indptr[row], indptr[row + 1]), len(ridge)
        q, scale = others[indices[at], :k], scales[row] if len(scales) else 1
        w, t = _weighed(data[at], weights[at] if len(weights) else None, shift[indices[at]] if len(shift) else 0, gram)
        A = (q.T * (w - 1)) @ q + gram[:k, :k] if len(gram) else (q.T * w) @ q
        A, b = A + np.diag(scale * ridge), (w * t) @ q + (scale * ridge * prior[row, :k] if len(prior) else 0)
        found[row] = np.append(_descend(A, b, found[row, :k], steps) if steps else _solve(A, b), found[row, k:] * 0)
        scores = q @ found[row, :k]
        if len(loss):
            loss[row] = (w * (t - scores) ** 2).sum() - ((scores**2).sum() if len(gram) else 0)


def _weighed(data, weights, shift, gram):
    """Return weights and targets."""
    if len(gram):
        return data, np.ones_like(data)
    return np.ones_like(data) if weights is None else weights, data - shift


def _solve(A, b):
    """Return the solution of A x = b, 0 where a pivot of the Cholesky factorisation is rounding."""
    U, least = A.copy(), 4 * len(A) * np.finfo(A.dtype).eps * np.diag(A)
    kept = np.zeros(len(A), dtype=bool)
    for r in range(len(A)):
        kept[r] = U[r, r] > least[r]
        if kept[r]:
            U[r, r:] /= np.sqrt(U[r, r])
            U[r + 1 :, r + 1 :] -= np.outer(U[r, r + 1 :], U[r, r + 1 :])
    x = np.zeros_like(b)
    x[kept] = np.linalg.solve(A[np.ix_(kept, kept)], b[kept])
    return x


def _descend(A, b, x, steps):
    """Return x after some conjugate gradients."""
    x, r = x.copy(), b - A @ x
    p, square = r.copy(), r @ r
    enough = square * np.finfo(A.dtype).eps ** 2
    for _ in range(steps):
        curve = p @ A @ p
        if square <= enough or curve <= 0:
            break
        x += square / curve * p
        r -= square / curve * (A @ p)
        p, square = r + (r @ r) / square * p, r @ r
    return x


def _check(indptr, indices, data, optional, others, found, numbers):
    n, n_rows, K, (start, end, steps, n_threads, k) = len(indices), len(found), found.shape[1], numbers
    expected = zip(optional, (n, len(others), K, n_rows, n_rows, n_rows))
    if any(len(a) not in (0, size) or (a.ndim == 2 and a.shape[1] != K) for a, size in expected):
        raise ValueError("An optional array is neither empty nor of the others' size.")
    if len(indptr) != n_rows + 1 or indptr[0] != 0 or indptr[-1] != n or len(data) != n or np.any(np.diff(indptr) < 0):
        raise ValueError("indptr, indices, data and found are not of one size.")
    if others.shape[1] != K or K * found.itemsize % 64 or K == 0:
        raise ValueError("others and found need rows of the same whole 64 bytes.")
    if n and not 0 <= indices.min() <= indices.max() < len(others):
        raise ValueError("indices point outside.")
    if len(optional[2]) and (len(optional[0]) or len(optional[1])):
        raise ValueError("There are weights or a shift beside gram.")
    if not (0 <= start <= end <= n_rows and 0 < k <= K and steps >= 0 and n_threads >= 1):
        raise ValueError("start, end, steps, ridge or n_threads is out of range.")
