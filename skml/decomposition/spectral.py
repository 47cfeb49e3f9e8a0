"""Principal axes of centred data: the functions behind PCA's solvers, free of estimators and validation.

With ``Xc = U diag(s) V.T`` the singular value decomposition of the centred (and weighted) data, each solver returns a
:class:`Spectrum`: the leading rows of ``V.T``, the leading ``s``, the mean, and the sum of all ``s**2``.
"""

import functools
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import scipy.linalg as sl
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator, eigsh

from skml._kernels import blas_threads
from skml.base import require_memory
from skml.decomposition.eigenpairs import leading_eigenpairs
from skml.decomposition.krylov import KrylovOptions, krylov_steps, ritz_vectors
from skml.decomposition.lanes import block_rows, blocks, in_lanes, lanes
from skml.decomposition.moments import (
    Centred,
    centred,
    clear,
    combine,
    gram,
    in_single_precision,
    scatter,
    scatter_product,
    single_scatter_product,
)

SMALL = 500  # up to this many rows and columns LAPACK's SVD is fast enough
EXACT = 1500  # up to this small side, its eigenproblem costs less than iterating to the same accuracy
TAIL = 1e-5  # eigenvalues below this share of the largest are refined: squaring has cost them their digits
SINGLE = 1e-4  # eigenvalues below this share of the largest have lost digits in single precision
EM_TOL = 1e-15  # the relative error that "em" allows by default: rounding
SAFE_TOTAL = {np.dtype(np.float64): (1e-270, 1e270), np.dtype(np.float32): (1e-22, 1e30)}


class Spectrum(NamedTuple):
    """The leading part of the singular value decomposition of centred data.

    Attributes
    ----------
    mean : ndarray of shape (n_features,), float64
        The weighted mean.
    components : ndarray of shape (n_components, n_features)
        Orthonormal rows, by falling singular value; the largest entry of each is positive.
    singular_values : ndarray of shape (n_components,), float64
        Of the centred and weighted data.
    total : float
        The sum of the squares of all singular values, also those left out.
    scores : ndarray of shape (n_samples, n_components) or None
        The projections of the (weighted) data, where the solver had them anyway.
    """

    mean: np.ndarray
    components: np.ndarray
    singular_values: np.ndarray
    total: float
    scores: object = None


class Options(NamedTuple):
    """What the iterative solvers may be told; the meaning is that of PCA's parameters."""

    tol: float = 0.0
    n_oversamples: int = 10
    iterated_power: object = "auto"
    seed: int = 0


# ---------------------------------------------------------------------------------------------- pieces


def rounding(shape):
    """Return the relative size of rounding errors in the singular values of a matrix."""
    return max(shape) * np.finfo(np.float64).eps


def check_total(total, X):
    """Raise a FloatingPointError if squares of X overflowed, vanished, or met NaN: the caller finds out which."""
    low, high = SAFE_TOTAL[np.dtype(X.dtype)]
    if not low < total < high:
        raise FloatingPointError(f"the sum of squares is {total}")


def with_fixed_signs(components):
    """Turn each row so that its largest entry is positive, of nearly equal ones the first; return the factors."""
    signs = np.ones(len(components), components.dtype)
    if components.size == 0:
        return signs
    smaller = 1 - np.sqrt(np.finfo(components.dtype).eps)

    def one_lane(lane):
        for rows in blocks(lane, block_rows(components.shape[1], components.itemsize, at_least=1)):
            part = components[rows]
            sizes = np.abs(part)
            near = sizes >= sizes.max(axis=1, keepdims=True) * smaller
            signs[rows] = np.where(part[np.arange(len(part)), near.argmax(axis=1)] < 0, -1, 1)
            part *= signs[rows, None]

    in_lanes(one_lane, lanes(len(components), 8))
    return signs


def complete(components, rank):
    """Overwrite the rows from `rank` on by orthonormal ones that depend only on what the others span.

    Data of low rank leaves these directions open. Taking them from rounding errors, as a bare SVD does, would let
    equivalent data (weights instead of copies, rows in another order) have different components.
    """
    E = np.random.default_rng(0).standard_normal((components.shape[1], len(components) - rank)).T.copy()
    for _ in range(2):
        before = np.linalg.norm(E)
        clear(E, components[:rank])
        if np.linalg.norm(E) > 0.7 * before:
            break  # little was cancelled, so few digits are lost
    with blas_threads(1):
        components[rank:] = sl.qr(E.T, mode="economic", overwrite_a=True, check_finite=False)[0].T


def finished(mean, components, singular_values, total, noise, scores=None):
    """Return the Spectrum, with missing directions completed and signs fixed.

    Singular values up to `noise` times the largest are rounding errors: they become zero.
    """
    threshold = noise * singular_values.max(initial=0.0)
    rank = int(np.count_nonzero(singular_values > threshold))
    if rank < len(components):
        complete(components, rank)
        singular_values = np.where(np.arange(len(components)) < rank, singular_values, 0.0)
    signs = with_fixed_signs(components)
    if scores is not None and len(components):
        scores *= signs
    return Spectrum(mean, components, singular_values, total, scores)


# --------------------------------------------------------------------------------------------- solvers


def lapack_axes(X, scale, k):
    """Return the Spectrum by LAPACK's SVD of a centred copy; for small data."""
    rows = centred(X, scale)
    check_total(rows.total, X)
    B = X - rows.mean
    if len(scale):
        B *= scale[:, None]
    with blas_threads(1):
        s, Vt = sl.svd(B, full_matrices=False, overwrite_a=True, check_finite=False)[1:]
    components, values = np.zeros((k, X.shape[1])), np.zeros(k)
    components[: len(s)], values[: len(s)] = Vt[:k], s[:k]
    return finished(rows.mean, components, values, rows.total, rounding(X.shape))


def covariance_axes(X, scale, k, refine=False):
    """Return the Spectrum from the eigenvectors of the scatter matrix."""
    mean, S = _sparse_scatter(X, scale) if sp.issparse(X) else scatter(X, scale)
    total = float(np.trace(S))
    check_total(total, X)
    values, vectors = leading_eigenpairs(S, k)
    del S
    if refine:
        values, vectors = refine_tail(Centred(X, mean, scale, total), values, vectors)
    # Without refinement the eigenvalues have the rounding errors, and singular values their square root.
    noise = rounding(X.shape) if refine else np.sqrt(rounding(X.shape[1:]))
    return finished(mean, np.ascontiguousarray(vectors.T), np.sqrt(values), total, noise)


def _sparse_scatter(X, scale):
    require_memory(16 * X.shape[1] ** 2, "The scatter matrix of X")
    mean = centred(X, scale).mean
    rows, varying_mean = _without_constants(X, mean)
    weighted = sp.diags_array(scale) @ rows if len(scale) else rows
    S = np.ascontiguousarray((weighted.T @ weighted).toarray())
    weight = float(scale @ scale) if len(scale) else X.shape[0]
    S -= weight * np.outer(varying_mean, varying_mean)
    return mean, S


def _without_constants(X, mean):
    """Return X and its mean in float64 with zeros for the columns that never vary, whose products only cancel."""
    with np.errstate(invalid="ignore"):
        constant = X.max(axis=0).toarray().ravel() == X.min(axis=0).toarray().ravel()
    rows = X.astype(np.float64)
    rows.data[constant[rows.indices]] = 0
    return rows, np.where(constant, 0.0, mean)


def _sparse_gram(X, scale):
    require_memory(16 * X.shape[0] ** 2, "The Gram matrix of X")
    mean = centred(X, scale).mean
    rows, varying_mean = _without_constants(X, mean)
    shift = rows @ varying_mean
    # (x - m)'(y - m) = x'y - x'm - y'm + m'm
    G = np.ascontiguousarray((rows @ rows.T).toarray())
    G -= shift
    G -= shift[:, None]
    G += varying_mean @ varying_mean
    if len(scale):
        G *= scale
        G *= scale[:, None]
    return mean, G


def refine_tail(rows, values, vectors):
    """Return eigenpairs of the scatter matrix whose small values have been given their digits back.

    Squaring leaves an eigenvalue of relative size q only ``16 + log10(q)`` digits, so the small ones are taken once
    more from ``Z = Xc.T (D Xc V2)``: it is as exact as Xc itself. What V2 still has of the large vectors V1 shows
    in ``V1.T Z`` and is removed (a step of Rayleigh-Ritz).
    """
    head = int(np.count_nonzero(values > TAIL * values.max(initial=0.0)))
    if head == len(values) or head == 0:
        return values, vectors
    V1, V2 = vectors[:, :head], np.ascontiguousarray(vectors[:, head:])
    for _ in range(2):  # the first round leaves errors of TAIL's square root at most, the second none to speak of
        Z = scatter_product(rows, V2)
        with blas_threads(1):
            B = V1.T @ Z
            C = B / values[:head, None]
            H = V2.T @ Z - B.T @ C
            small, R = leading_eigenpairs(np.ascontiguousarray(H + H.T) / 2, H.shape[1])
            V1, V2 = V1 + V2 @ C.T, (V2 - V1 @ C) @ R  # a small rotation: both stay orthonormal to its second order
            V2 /= np.linalg.norm(V2, axis=0)
        if small[-1] > TAIL * small[0]:
            break
    return np.concatenate([values[:head], small]), np.hstack([V1, V2])


def gram_axes(X, scale, k):
    """Return the Spectrum from the eigenvectors of the n x n Gram matrix, for data with few rows."""
    mean, G = _sparse_gram(X, scale) if sp.issparse(X) else gram(X, scale)
    total = float(np.trace(G))
    check_total(total, X)
    n_vectors = min(k, X.shape[0])
    values, U = leading_eigenpairs(G, n_vectors)
    del G
    s = np.zeros(k)
    s[:n_vectors] = np.sqrt(values)
    components = np.zeros((k, X.shape[1]), X.dtype)
    head = int(np.count_nonzero(values > TAIL * values.max(initial=0.0)))
    scaled = U * scale[:, None] if len(scale) else U
    # V' = diag(1 / s) U' Xc
    combine(scaled[:, :head] / s[:head], X, mean, components[:head])
    if head < n_vectors:
        s[head:n_vectors], components[head:n_vectors], R = _gram_tail(X, mean, scaled[:, head:], components[:head])
        U = np.hstack([U[:, :head], U[:, head:] @ R])
    scores = None
    if not len(scale) and n_vectors == k:
        scores = (U * s).astype(X.dtype)
    return finished(mean, components, s, total, rounding(X.shape), scores)


def _gram_tail(X, mean, U2, V1):
    """Take the small singular values once more, from the rows ``U2.T Xc`` freed of the large components."""
    W = np.empty((U2.shape[1], X.shape[1]))
    combine(U2, X, mean, W)
    clear(W, V1)
    with blas_threads(1):
        values, R = leading_eigenpairs(W @ W.T, len(W))
        s = np.sqrt(values)
        V2 = R.T @ W
        V2 /= np.maximum(s, np.finfo(np.float64).tiny)[:, None]
    return s, V2, R


def full_axes(X, scale, k):
    """Return the Spectrum to the accuracy of a full SVD of the centred data."""
    if max(X.shape) <= SMALL:
        return lapack_axes(X, scale, k)
    return gram_axes(X, scale, k) if X.shape[0] < X.shape[1] else covariance_axes(X, scale, k, refine=True)


def arpack_axes(X, scale, k, options):
    """Return the Spectrum by ARPACK on ``v -> Xc.T D Xc v``."""
    rows = centred(X, scale)
    check_total(rows.total, X)
    n_features = X.shape[1]
    start = np.random.default_rng(options.seed).uniform(-1, 1, n_features)

    def product(V):
        return scatter_product(rows, np.ascontiguousarray(V, np.float64).reshape(n_features, -1))

    if k >= n_features:  # ARPACK leaves one vector out at least
        return covariance_axes(X, scale, k, refine=True)
    operator = LinearOperator((n_features, n_features), matvec=product, matmat=product, dtype=np.float64)
    with blas_threads(1):
        values, vectors = eigsh(operator, k=k, tol=options.tol, v0=start)
    return _refined(rows, np.maximum(values[::-1], 0.0), vectors[:, ::-1])


def krylov_axes(X, scale, k, options):
    """Return the Spectrum by block Krylov iteration (Musco & Musco 2015), or exactly where that is cheaper."""
    if sp.issparse(X) and X.shape[1] <= EXACT:
        return covariance_axes(X, scale, k, refine=True)
    if not sp.issparse(X) and min(X.shape) <= EXACT:
        return full_axes(X, scale, k)
    rows = centred(X, scale)
    check_total(rows.total, X)
    how = krylov_options(X, k, options)
    if how.dtype == np.float32:
        product = functools.partial(scatter_product, rows)
        if not sp.issparse(X):
            product = functools.partial(single_scatter_product, in_single_precision(rows))
        step = _last(krylov_steps(product, X.shape[1], k, how))
        del product
        if step.metrics["error"] <= how.tol and step.state.values[-1] > SINGLE * step.state.values[0]:
            return rayleigh_ritz(rows, step.state)
        del step
        how = replace(how, dtype=np.float64)
    return spectrum_of(rows, _last(krylov_steps(functools.partial(scatter_product, rows), X.shape[1], k, how)).state)


def _last(steps):
    for step in steps:
        last = step
    return last


def krylov_options(X, k, options):
    """Return how to iterate on X for `k` components: in single precision where its digits are enough."""
    if sp.issparse(X):
        tol = options.tol or (1e-9 if X.dtype == np.float64 else 1e-6)
        dtype = np.float64 if tol < 1e-7 else np.float32
        # As many vectors as half a cache line holds, and a basis that stays in the third-level cache.
        block, basis = (4 if dtype == np.float64 else 8), 160
    else:
        tol = options.tol or 5e-5
        dtype = np.float64 if tol < 1e-5 else np.float32
        block, basis = 16, 400  # as many vectors as a product takes in little more time than one
    basis = max(basis, 4 * k + options.n_oversamples)
    most = 1000 if options.iterated_power == "auto" else options.iterated_power
    most = max(-(-k // block), most)  # with fewer steps there are no k vectors yet
    return KrylovOptions(tol, block, basis, most, options.seed, dtype, stride=0.1)


def rayleigh_ritz(rows, ritz):
    """Return the Spectrum of the best axes in the span of Krylov's, computed in double precision.

    The axes have single precision's errors e; the singular values of the best axes in their span only ``e**2``.
    """
    vectors = ritz_vectors(ritz)[1]
    with blas_threads(1):
        V = sl.qr(vectors.astype(np.float64), mode="economic", check_finite=False)[0]
    H = V.T @ scatter_product(rows, np.ascontiguousarray(V))
    values, R = leading_eigenpairs(np.ascontiguousarray(H + H.T) / 2, H.shape[1])
    return _refined(rows, values, V @ R)


def em_steps(X, scale, k, options, max_iter):
    """Return the centred rows of complete data and a generator of block Krylov steps to rounding accuracy.

    Without noise an iteration of expectation maximization multiplies its axes by the scatter matrix (Roweis 1998).
    Keeping all its iterates and taking the best axes in their span (Rayleigh-Ritz) is the same at less cost.

    Parameters
    ----------
    X, scale, k, options : see :func:`principal_axes`
        The data, and how many components.
    max_iter : int
        Multiplications at most.

    Returns
    -------
    rows : Centred
        For :func:`spectrum_of`.
    steps : generator of Step
        With a :class:`skml.decomposition.krylov.Ritz` as state.
    """
    with blas_threads(1):
        rows = centred(X, scale)
    check_total(rows.total, X)
    how = KrylovOptions(tol=options.tol or EM_TOL, block=k, max_steps=max_iter, seed=options.seed)
    return rows, krylov_steps(lambda V: scatter_product(rows, V), X.shape[1], k, how)


def spectrum_of(rows, ritz):
    """Return the Spectrum that a Krylov state stands for."""
    values, vectors = ritz_vectors(ritz)
    return _refined(rows, np.maximum(values, 0.0), vectors.astype(np.float64))


def _refined(rows, values, vectors):
    """Return the Spectrum of eigenpairs of the scatter matrix, the small ones refined."""
    values, vectors = refine_tail(rows, values, vectors)
    return finished(rows.mean, np.ascontiguousarray(vectors.T), np.sqrt(values), rows.total, rounding(rows.X.shape))


SOLVERS = {
    "full": lambda X, scale, k, options: full_axes(X, scale, k),
    "covariance_eigh": lambda X, scale, k, options: covariance_axes(X, scale, k),
    "gram": lambda X, scale, k, options: gram_axes(X, scale, k),
    "arpack": arpack_axes,
    "randomized": krylov_axes,
}


def automatic_solver(n_rows, n_features, sparse, k):
    """Return the solver that ``svd_solver="auto"`` stands for.

    Parameters
    ----------
    n_rows, n_features : int
        The shape of the data, weights counted as copies.
    sparse : bool
        Whether it is sparse.
    k : int or None
        The number of components; None where all are needed.

    Returns
    -------
    solver : str
        One that :func:`principal_axes` knows.
    """
    if sparse:
        return "randomized" if k else "covariance_eigh" if n_features <= n_rows else "gram"
    if n_features <= 1000 and n_rows >= 10 * n_features:
        return "covariance_eigh"
    few = k is not None and 1 <= k < 0.8 * min(n_rows, n_features)
    return "randomized" if few and max(n_rows, n_features) > 500 else "full"


def principal_axes(X, scale, k, solver, options):
    """Return the Spectrum of X with `k` components.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features), float32 or float64
        The data.
    scale : ndarray of shape (n_samples,) or (0,), float64
        The square roots of the sample weights; empty for none.
    k : int
        The number of components.
    solver : {"full", "covariance_eigh", "gram", "arpack", "randomized"}
        How to compute them.
    options : Options
        Of the iterative solvers.

    Returns
    -------
    spectrum : Spectrum
        Mean, components, singular values and total.

    Raises
    ------
    FloatingPointError
        If X holds NaN or infinity, or its squares overflow or vanish.
    """
    # One thread, for the same bits whatever their number (lanes use them all); totals tell of what is no number.
    with blas_threads(1), np.errstate(over="ignore", invalid="ignore"):
        return SOLVERS[solver](X, scale, k, options)


def n_observations(X, weights):
    """Return the number of rows, or what weights make of it: their sum."""
    return X.shape[0] if weights is None else float(weights.sum())
