"""Alternating least squares for linear codes: codes given the decoder, decoder given the codes."""

from dataclasses import dataclass

import numpy as np

from skml.base import Step, require_memory
from skml.decomposition.autoencoding import LinearCode, Trained, encode_incomplete, gains, solve_systems
from skml.decomposition.magnitude import has_missing
from skml.decomposition.missing import symmetric, triangles
from skml.decomposition.principal import principal_directions
from skml.decomposition.row_blocks import open_block, row_blocks
from skml.decomposition.spectral import with_fixed_signs

# With missing values the first iterations work with a penalty of their own, in units of the mean variance, that
# dies out: a code that few values determine could otherwise run away and take a component with it.
CAUTION, CAUTIOUS_STEPS = 0.7, 50


@dataclass(frozen=True)
class Regression:
    """Sums over all rows from which one alternation makes the next decoder.

    Attributes
    ----------
    errors : float
        Weighted mean of the squared errors of the present code.
    mean, covariance : ndarray of shape (k,), (k, k)
        Of the scores.
    slopes : ndarray of shape (k + 1, n_features)
        Least-squares decoder of the observed values, the intercept last.
    """

    errors: float
    mean: np.ndarray
    covariance: np.ndarray
    slopes: np.ndarray


def start_alternation(X, weights, centre, n_components, seed):
    """Return the memory before a first iteration.

    Complete data starts from a random basis, whatever the number and order of rows. With missing values it would, now
    and then, lead to a component that is one column alone, whose codes grow without bound where that column is
    missing; so these start from the principal directions of the data with means in the gaps.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        The data; NaN is missing.
    weights : ndarray of shape (n_samples,)
        Of the rows.
    centre : Centre
        Of the data.
    n_components : int
        The size of a code.
    seed : int
        Draws the basis.

    Returns
    -------
    memory : dict
        What :func:`alternating_steps` goes on from: the "basis" U (n_features, n_components), the "variances" along
        it and the "mean" of the next iteration, "n_iter", "loss" and "converged" of the last.
    """
    if has_missing(X):
        require_memory(X.nbytes + X.size, "The data with means in its gaps")
        filled = np.where(np.isnan(X), centre.mean.astype(X.dtype), X)
        _, directions, variances, _ = principal_directions(filled, weights, n_components, seed)
        basis, variances = directions.T.astype(np.float64, order="C"), variances / centre.scale**2
    else:
        noise = np.random.default_rng(seed).standard_normal((len(centre.mean), n_components))
        basis, variances = np.linalg.qr(noise)[0], np.full(n_components, 2.0)
    start = {"basis": basis, "variances": variances, "mean": centre.mean}
    return {**start, "n_iter": 0, "loss": np.inf, "converged": False}


def alternation_done(memory, max_iter):
    """Tell whether there is nothing left to iterate."""
    return memory["converged"] or memory["n_iter"] >= max_iter


def alternating_steps(X, weights, centre, memory, *, alpha, max_iter, tol):
    """Alternate between codes and decoder until the loss stops to fall.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        The data; NaN is missing.
    weights : ndarray of shape (n_samples,)
        Summing to one.
    centre : Centre
        Of the data.
    memory : dict
        From :func:`start_alternation` or an earlier step.
    alpha : float
        The penalty, in the units of X squared.
    max_iter : int
        At most so many iterations, earlier ones included.
    tol : float
        Ends when the loss changes by less than `tol` times itself, or by less than rounding.

    Yields
    ------
    step : Step
        State :class:`Trained`, metric "loss".
    """
    incomplete = has_missing(X)
    regress = _regress_incomplete if incomplete else _regress_complete
    unit = centre.scale**2
    rounding = np.finfo(X.dtype).eps * centre.total
    while not alternation_done(memory, max_iter):
        caution = _caution(memory["n_iter"]) if incomplete else 0.0
        roots = np.sqrt(gains(memory["variances"], max(alpha / unit, caution)))
        code = _as_code(memory, roots, X.dtype)
        sums = regress(X, weights, centre, memory, roots)
        loss = sums.errors + 2 * (alpha / unit) * float(roots @ roots)
        converged = abs(memory["loss"] / unit - loss) <= max(tol * loss, rounding) and caution <= alpha / unit
        progress = {"n_iter": memory["n_iter"] + 1, "loss": loss * unit, "converged": bool(converged)}
        memory = _next_memory(memory, sums, centre.scale) | progress
        yield Step(Trained(code, memory["n_iter"], memory), {"loss": loss * unit}, alternation_done(memory, max_iter))


def _caution(n_iter):
    return CAUTION ** (n_iter + 1) if n_iter < CAUTIOUS_STEPS else 0.0


def _as_code(memory, roots, dtype):
    encoder = (memory["basis"] * roots).astype(dtype)
    return LinearCode(encoder, np.ascontiguousarray(encoder.T), memory["mean"].astype(dtype))


def _next_memory(memory, sums, scale):
    """Turn the least-squares decoder B into principal form: root(cov) B = Q sqrt(variances) U'."""
    slopes, intercept = sums.slopes[:-1], sums.slopes[-1]
    values, vectors = np.linalg.eigh(sums.covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    _, singular, directions = np.linalg.svd(root @ slopes, full_matrices=False)
    with_fixed_signs(directions)
    mean = memory["mean"] + scale * (intercept + sums.mean @ slopes)
    return {"basis": np.ascontiguousarray(directions.T), "variances": singular**2, "mean": mean}


def _regress_complete(X, weights, centre, memory, roots):
    """Regress complete rows on their scores y = x U."""
    basis, mean = memory["basis"].astype(X.dtype), centre.mean.astype(X.dtype)
    k = basis.shape[1]
    covariance, cross = np.zeros((k, k)), np.zeros((X.shape[1], k))
    for rows in row_blocks(*X.shape):
        block = open_block(X, rows, mean, centre.scale)
        scores = block.times(basis)
        weighted = scores * weights[rows, None].astype(X.dtype)
        covariance += weighted.T @ scores
        cross += block.transposed_times(weighted)
    gain = roots**2
    # |x - x U g U'|^2 = |x|^2 - 2 y g y' + y g g y'
    errors = max(0.0, centre.total - float(np.diag(covariance) @ (gain * (2 - gain))))
    size = np.trace(covariance) or 1.0
    slopes = solve_systems(covariance[None] / size, cross.T[None] / size)[0]
    return Regression(errors, np.zeros(k), covariance, np.vstack([slopes, np.zeros(X.shape[1])]))


def _regress_incomplete(X, weights, centre, memory, roots):
    """Regress the observed values of each feature on the scores of their rows and a constant."""
    code, p, k = _as_code(memory, roots, np.float64), *memory["basis"].shape
    width = (k + 1) * (k + 2) // 2
    grams, cross, errors = np.zeros((p, width)), np.zeros((p, k + 1)), 0.0
    total = np.zeros(width)
    for rows in row_blocks(len(X), p + width):
        values = (X[rows] - memory["mean"]) / centre.scale
        observed = ~np.isnan(values)
        values[~observed] = 0.0
        fitted = encode_incomplete(values, observed, code) @ code.decoder
        residuals = np.where(observed, values - fitted, 0.0)
        errors += weights[rows] @ np.einsum("ij,ij->i", residuals, residuals)
        scores = np.column_stack([np.where(observed, values, fitted) @ memory["basis"], np.ones(len(values))])
        products = triangles(scores) * weights[rows, None]
        total += products.sum(axis=0)
        grams += observed.T.astype(np.float64) @ products
        cross += values.T @ (scores * weights[rows, None])
    grams, total = symmetric(grams, k + 1), symmetric(total[None], k + 1)[0]
    size = np.trace(total[:k, :k]) or 1.0
    slopes = solve_systems(grams / size, cross[:, :, None] / size)[:, :, 0].T
    mean = total[k, :k]
    return Regression(float(errors), mean, total[:k, :k] - np.outer(mean, mean), slopes)
