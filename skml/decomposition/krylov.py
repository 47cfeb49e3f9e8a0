"""Block Krylov iteration with a thick restart, for the leading eigenpairs of a symmetric positive operator."""

from dataclasses import dataclass
from itertools import count
from typing import NamedTuple

import numpy as np
import scipy.linalg as sl

from skml._kernels import blas_threads
from skml.base import Step
from skml.decomposition.eigenpairs import leading_eigenpairs
from skml.decomposition.lanes import in_lanes, lanes

FEW = 2**17  # numbers of a basis that one thread has gone through before another has woken up
NOISE = 4  # residuals of so many rounding errors of the largest value get no smaller
INDEPENDENT = 0.05  # a column that is shorter than this share of its block is cleared of the others twice


@dataclass(frozen=True)
class KrylovOptions:
    """How far and how wide to iterate.

    Attributes
    ----------
    tol : float
        The relative error allowed in a singular value.
    block : int
        Vectors multiplied at a time.
    max_basis : int
        Vectors kept before a restart.
    max_steps : int
        Products at most.
    seed : int
        Of the start vectors.
    dtype : type
        Of the vectors.
    stride : float
        The share of the steps so far after which convergence is looked at again; 0 looks after each step.
    """

    tol: float = 5e-5
    block: int = 8
    max_basis: int = 400
    max_steps: int = 1000
    seed: int = 0
    dtype: type = np.float64
    stride: float = 0.0


class Ritz(NamedTuple):
    """Approximate eigenpairs: ``basis @ coefficients`` are the vectors, by falling value."""

    basis: np.ndarray
    coefficients: np.ndarray
    values: np.ndarray
    residuals: np.ndarray


def ritz_vectors(ritz):
    """Return the values and vectors of a state."""
    with blas_threads(1):
        return ritz.values, ritz.basis @ ritz.coefficients


def _cleared(W, Q):
    """Take what lies in the span of Q out of W, in place, and return its coefficients."""
    parts = lanes(len(W), 2 if Q.size > FEW else 1)
    first, *others = in_lanes(lambda rows: Q[rows].T @ W[rows], parts)
    h = sum(others, first)

    def subtract(rows):
        W[rows] -= Q[rows] @ h

    in_lanes(subtract, parts)
    return h


def _expanded(product, Q, size, rng):
    """Multiply the operator with the last `size` columns of Q.

    Returns
    -------
    h : ndarray of shape (n_columns, size)
        ``Q.T`` times the product.
    new : ndarray of shape (n_features, size)
        An orthonormal basis of what the product has outside the span of Q, filled up with random vectors.
    B : ndarray of shape (size, size)
        The product is ``Q @ h + new @ B``.
    """
    W = np.asfortranarray(product(np.ascontiguousarray(Q[:, -size:])))
    h, rounding = np.zeros((Q.shape[1], size)), NOISE * np.finfo(W.dtype).eps * np.linalg.norm(W)
    # All but the last two blocks are orthogonal to the product but for rounding errors (Lanczos' recurrence), so
    # once they are gone one round over the whole basis is enough.
    recent = Q[:, -2 * size :]
    h[-2 * size :] += _cleared(W, recent)
    length = np.linalg.norm(W)
    h += _cleared(W, Q)
    with blas_threads(1):
        new, B = sl.qr(W, mode="economic", overwrite_a=True, check_finite=False)
    if np.abs(np.diag(B)).min(initial=np.inf) > INDEPENDENT * length:
        return h, new, B
    # Columns that were nearly in the span of the others are mostly rounding errors: clear them again, or, where
    # nothing else is left, take random ones.
    with blas_threads(1):
        rotation, R, order = sl.qr(B, pivoting=True, check_finite=False)
        rank = np.count_nonzero(np.abs(np.diag(R)) > rounding)
        new = np.asfortranarray(new @ rotation[:, :rank])
        _cleared(new, Q)
        new, C = sl.qr(new, mode="economic", overwrite_a=True, check_finite=False)
        B = np.zeros_like(B)
        B[:rank, order] = C @ R[:rank]
    return h, _filled_up(new, size, Q, rng), B


def _filled_up(new, size, Q, rng):
    """Add random vectors to an orthonormal block, up to `size`, that are orthogonal to it and to Q."""
    more = np.asfortranarray(rng.standard_normal((len(new), size - new.shape[1])), new.dtype)
    for _ in range(2):
        _cleared(more, Q)
        _cleared(more, new)
    with blas_threads(1):
        return np.hstack([new, sl.qr(more, mode="economic", overwrite_a=True, check_finite=False)[0]])


def krylov_steps(product, n_features, k, options):
    """Yield a Step whenever convergence is looked at, with the Ritz pairs of the space spanned so far.

    Parameters
    ----------
    product : callable
        ``product(V)`` multiplies the operator with V of shape (n_features, block).
    n_features : int
        The size of the operator.
    k : int
        How many eigenpairs are wanted.
    options : KrylovOptions
        When to stop, and how wide to iterate.

    Yields
    ------
    step : Step
        Its state is a :class:`Ritz`; its metrics the largest relative error bound of the wanted singular values.
    """
    width = min(options.block, n_features)
    limit, keep = min(n_features, max(options.max_basis, 2 * (k + width))), k + width
    basis, H = np.empty((n_features, limit), order="F", dtype=options.dtype), np.zeros((limit, limit))
    rng = np.random.default_rng(options.seed)
    with blas_threads(1):
        new = sl.qr(rng.standard_normal((n_features, width)).astype(options.dtype), mode="economic")[0]
    filled, look, enough = 0, 1, 0
    beyond = min(keep + 10, limit - 1)
    for n_steps in count(1):
        block = slice(filled, filled + new.shape[1])
        basis[:, block] = new
        filled = block.stop
        Q = basis[:, :filled]
        h, new, B = _expanded(product, Q, new.shape[1], rng)
        H[:filled, block] = h
        H[block, :filled] = h.T
        full = filled + width > limit and limit < n_features
        end = filled == n_features or (filled >= k and n_steps >= options.max_steps)
        if full or end or n_steps >= look:
            look = n_steps + 1 + int(options.stride * n_steps)
            values, S = leading_eigenpairs(np.ascontiguousarray(H[:filled, :filled]), max(keep, beyond + 1))
            # A Q S - Q S diag(values) = new B S[block]: so wide is the residual of each pair.
            residuals = np.linalg.norm(B @ S[block, :k], axis=0)
            error = _error_bound(values, residuals, k, beyond)
            settled = error <= options.tol or residuals.max() <= NOISE * np.finfo(options.dtype).eps * values[0]
            last = end or (filled >= k and n_steps >= enough and settled)
            if last and not end and _crowded(values[:k], width, options.tol):
                last, enough = False, 2 * n_steps  # what was added needs as long as the rest did
                width = min(2 * width, n_features - filled)
                new = _filled_up(new, width, Q, rng)
                full = filled + width > limit and limit < n_features
            yield Step(Ritz(Q, S[:, :k], values[:k], residuals), {"error": error}, last)
            if last:
                return
        if full:
            basis, H, filled = _restarted(basis, values, S, keep, limit)
        new = new[:, : limit - filled]


def _crowded(values, width, tol):
    """Return whether a value comes as often as the block is wide, and then smaller ones.

    The space that a block spans has no more copies of an eigenvalue than vectors in the block, but for rounding
    errors: others may have taken the places of those that it can't see.
    """
    if width >= len(values):
        return False
    first, last = values[: len(values) - width + 1], values[width - 1 :]
    near = 1 - 8 * tol
    return bool(np.any((last >= near * first) & (values[-1] < near * first)))


def _error_bound(values, residuals, k, beyond):
    """Return the largest relative error that a wanted singular value can have.

    An eigenvalue lies within r of a Ritz value with residual r, and within ``r**2 / gap`` where what the residual is
    made of has eigenvalues further away than `gap` (Parlett 1998, section 11.7). Directions up to `beyond` are well
    represented in the space, so the residual is made of later ones. A singular value has half that relative error.
    """
    lead = np.maximum(values[:k], np.finfo(np.float64).eps * values[0])
    bounds = residuals
    if len(values) > beyond:
        gap = np.maximum(lead - values[beyond], np.finfo(np.float64).tiny)
        bounds = np.minimum(residuals, residuals**2 / gap)
    return float(np.max(bounds / lead / 2))


def _restarted(basis, values, S, keep, limit):
    """Return a fresh basis that holds the `keep` best Ritz vectors, and the operator on it."""
    fresh = np.empty_like(basis)
    with blas_threads(1):
        fresh[:, :keep] = basis[:, : len(S)] @ S[:, :keep].astype(basis.dtype)
    H = np.zeros((limit, limit))
    H[np.arange(keep), np.arange(keep)] = values[:keep]
    return fresh, H, keep
