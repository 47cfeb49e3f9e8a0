"""Block Krylov iteration with a thick restart, for the leading eigenpairs of a symmetric positive operator."""

from dataclasses import dataclass
from itertools import count
from typing import NamedTuple

import numpy as np
import scipy.linalg as sl

from skml._kernels import blas_threads
from skml.base import Step
from skml.decomposition.lanes import in_lanes, lanes

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


def _two_lanes(work, n_features):
    return in_lanes(work, lanes(n_features, 2))


def _cleared(W, Q):
    """Take what lies in the span of Q out of W, in place, and return its coefficients."""
    first, *others = _two_lanes(lambda rows: Q[rows].T @ W[rows], len(W))
    h = sum(others, first)

    def subtract(rows):
        W[rows] -= Q[rows] @ h

    _two_lanes(subtract, len(W))
    return h


def _expanded(product, Q, size):
    """Multiply the operator with the last `size` columns of Q.

    Returns
    -------
    h : ndarray of shape (n_columns, size)
        ``Q.T`` times the product.
    new : ndarray of shape (n_features, size)
        An orthonormal basis of what the product has outside the span of Q.
    B : ndarray of shape (size, size)
        The product is ``Q @ h + new @ B``.
    """
    W = np.asfortranarray(product(np.ascontiguousarray(Q[:, -size:])))
    h = np.zeros((Q.shape[1], size))
    # All but the last two blocks are orthogonal to the product but for rounding errors (Lanczos' recurrence), so
    # once they are gone one round over the whole basis is enough.
    recent = Q[:, -2 * size :]
    h[-2 * size :] += _cleared(W, recent)
    length = np.linalg.norm(W)
    h += _cleared(W, Q)
    with blas_threads(1):
        new, B = sl.qr(W, mode="economic", overwrite_a=True, check_finite=False)
        if np.abs(np.diag(B)).min(initial=np.inf) <= INDEPENDENT * length:
            # Columns that were nearly in the span of the others are mostly rounding errors: clear them again.
            _cleared(new, Q)
            new, C = sl.qr(new, mode="economic", overwrite_a=True, check_finite=False)
            B = C @ B
    return h, new, B


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
    b = min(options.block, n_features)
    limit = min(n_features, max(options.max_basis, 2 * k + 2 * b))
    basis, H = np.empty((n_features, limit), order="F", dtype=options.dtype), np.zeros((limit, limit))
    start = np.random.default_rng(options.seed).standard_normal((n_features, b)).astype(options.dtype)
    with blas_threads(1):
        new = sl.qr(start, mode="economic")[0]
    filled, look = 0, 1
    beyond = min(k + options.block + 10, limit - 1)
    for n_steps in count(1):
        block = slice(filled, filled + new.shape[1])
        basis[:, block] = new
        filled = block.stop
        Q = basis[:, :filled]
        h, new, B = _expanded(product, Q, new.shape[1])
        H[:filled, block] = h
        H[block, :filled] = h.T
        full = filled + b > limit and limit < n_features
        end = filled == n_features or (filled >= k and n_steps >= options.max_steps)
        if full or end or n_steps >= look:
            look = n_steps + 1 + int(options.stride * n_steps)
            values, S = _leading(H[:filled, :filled], max(k + b, beyond + 1))
            # A Q S - Q S diag(values) = new B S[block]: so wide is the residual of each pair.
            residuals = np.linalg.norm(B @ S[block, :k], axis=0)
            error = _error_bound(values, residuals, k, beyond)
            last = end or (filled >= k and error <= options.tol)
            yield Step(Ritz(Q, S[:, :k], values[:k], residuals), {"error": error}, last)
            if last:
                return
        if full:
            basis, H, filled = _restarted(basis, values, S, k + b, limit)
        new = new[:, : limit - filled]


def _leading(H, n_values):
    """Return the largest eigenvalues of H, falling, and their vectors."""
    m = len(H)
    with blas_threads(1):
        values, S = sl.eigh(H, driver="evr", subset_by_index=(max(0, m - n_values), m - 1), check_finite=False)
    return values[::-1], np.ascontiguousarray(S[:, ::-1])


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
