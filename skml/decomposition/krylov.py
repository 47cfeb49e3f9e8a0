"""Block Krylov iteration with a thick restart, for the leading eigenpairs of a symmetric positive operator."""

from dataclasses import dataclass
from itertools import count
from typing import NamedTuple

import numpy as np
import scipy.linalg as sl

from skml._kernels import blas_threads
from skml.base import Step


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
    """

    tol: float = 5e-5
    block: int = 8
    max_basis: int = 400
    max_steps: int = 1000
    seed: int = 0
    dtype: type = np.float64


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


def _orthonormal(W, Q):
    """Return an orthonormal basis of W cleared of Q, and the triangle that gives W back."""
    new, B = sl.qr(W, mode="economic", check_finite=False)
    # Columns of W that were in the span of Q leave rounding noise: clear it of Q once more.
    new -= Q @ (Q.T @ new)
    new, C = sl.qr(new, mode="economic", check_finite=False)
    return new, C @ B


def krylov_steps(product, n_features, k, options):
    """Yield a Step after each multiplication, with the Ritz pairs of the space spanned so far.

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
    filled = 0
    for n_steps in count(1):
        block = slice(filled, filled + new.shape[1])
        basis[:, block] = new
        filled = block.stop
        Q = basis[:, :filled]
        W = product(np.ascontiguousarray(new))
        with blas_threads(1):
            h = Q.T @ W
            W -= Q @ h
            again = Q.T @ W
            W -= Q @ again
            H[:filled, block] = h + again
            H[block, :filled] = H[:filled, block].T
            values, S = sl.eigh(H[:filled, :filled], driver="evr")
            values, S = values[::-1], np.ascontiguousarray(S[:, ::-1])
            # A Q S - Q S diag(values) = new B S[block]: so wide is the residual of each pair.
            new, B = _orthonormal(W, Q)
            residuals = np.linalg.norm(B @ S[block, :k], axis=0)
        error = _error_bound(values, residuals, k, min(k + options.block + 10, limit - 1))
        last = filled == n_features or (filled >= k and (error <= options.tol or n_steps >= options.max_steps))
        yield Step(Ritz(Q, S[:, :k], values[:k], residuals), {"error": error}, last)
        if last:
            return
        if filled + b > limit and limit < n_features:
            basis, H, filled = _restarted(basis, values, S, k + b, limit)
        new = new[:, : limit - filled]


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
