"""Linear codes: encoder, decoder and centre; their closed form, their loss, and how far they are from PCA."""

from dataclasses import dataclass

import numpy as np
import scipy.linalg as linalg
import scipy.sparse as sp

from skml._kernels import blas_threads
from skml.base import Step
from skml.decomposition.gaussian import squared_residuals
from skml.decomposition.moments import project
from skml.decomposition.row_blocks import row_blocks

# Added to the normal equations of rows with missing values: codes that the observed values leave open become
# the smallest ones. One step of refinement afterwards takes its influence on the others below rounding.
RIDGE = 1e-8
_TINY = 1e-12


@dataclass(frozen=True)
class LinearCode:
    """The map x -> mean + (x - mean) W V.

    Attributes
    ----------
    encoder : ndarray of shape (n_features, n_components)
        W.
    decoder : ndarray of shape (n_components, n_features)
        V.
    mean : ndarray of shape (n_features,)
        The point whose code is zero.
    """

    encoder: np.ndarray
    decoder: np.ndarray
    mean: np.ndarray


@dataclass(frozen=True)
class Trained:
    """What a solver yields: a model, and what it takes to go on from it.

    Attributes
    ----------
    code : LinearCode
        The model.
    n_iter : int
        Iterations done for it.
    memory : dict
        Of plain numbers and arrays; empty where there is nothing to go on with.
    """

    code: LinearCode
    n_iter: int
    memory: dict


def gains(variances, alpha):
    """Return how much of each principal component the best autoencoder keeps, after the penalty.

    Parameters
    ----------
    variances : ndarray of shape (n_components,)
        Eigenvalues of the covariance (weights summing to one), lambda.
    alpha : float
        The penalty.

    Returns
    -------
    gains : ndarray of shape (n_components,)
        1 - alpha / lambda, zero where lambda <= alpha (Kunin et al. 2019, theorem 2); all ones without penalty.
    """
    if alpha == 0:
        return np.ones_like(variances)
    with np.errstate(divide="ignore"):
        return np.maximum(0.0, 1.0 - alpha / np.maximum(variances, 0.0))


def closed_form(mean, directions, variances, alpha):
    """Return the best :class:`LinearCode` whose decoder spans given principal directions.

    Parameters
    ----------
    mean : ndarray of shape (n_features,)
        The centre of the data.
    directions : ndarray of shape (n_components, n_features)
        Orthonormal rows, eigenvectors of the covariance.
    variances : ndarray of shape (n_components,)
        Their eigenvalues.
    alpha : float
        The penalty.

    Returns
    -------
    code : LinearCode
        V = sqrt(gain) U', W = V', a view of it.
    """
    dtype = directions.dtype
    decoder = directions
    if alpha > 0:
        decoder = np.sqrt(gains(variances, alpha)).astype(dtype)[:, None] * directions
    return LinearCode(decoder.T, decoder, mean.astype(dtype, copy=False))


def closed_form_loss(variances, total, alpha):
    """Return the loss of :func:`closed_form`.

    Parameters
    ----------
    variances : ndarray of shape (n_components,)
        Eigenvalues of the covariance.
    total : float
        Its trace.
    alpha : float
        The penalty.

    Returns
    -------
    loss : float
        total - sum(lambda) + sum(lambda (1 - gain)^2 + 2 alpha gain).
    """
    gain = gains(variances, alpha)
    rest = max(0.0, total - float(variances.sum()))
    return rest + float((variances * (1 - gain) ** 2 + 2 * alpha * gain).sum())


def closed_form_steps(principal, alpha):
    """Yield the closed form, as the one step it takes.

    Parameters
    ----------
    principal : tuple of (mean, directions, variances, total)
        Principal directions, with eigenvalues and trace of the covariance.
    alpha : float
        The penalty.

    Yields
    ------
    step : Step
        State :class:`Trained`, metric "loss".
    """
    mean, directions, variances, total = principal
    state = Trained(closed_form(mean, directions, variances, alpha), 1, {})
    yield Step(state, {"loss": closed_form_loss(variances, total, alpha)}, last=True)


def penalty(code, alpha):
    """Return alpha (|W|^2 + |V|^2)."""
    if alpha == 0:
        return 0.0
    return float(alpha) * float(np.sum(np.square(code.encoder)) + np.sum(np.square(code.decoder)))


def encode(X, code):
    """Return the codes (x - mean) W; those of incomplete rows are the codes of the rows completed by the model.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        The data; NaN is missing.
    code : LinearCode
        The model.

    Returns
    -------
    Z : ndarray of shape (n_samples, n_components)
        The codes.
    """
    with blas_threads(1):  # the bits must not depend on threads; complete rows are worked through in lanes
        Z = project(X, code.mean, code.encoder)
        open_rows = [] if sp.issparse(X) else np.flatnonzero(np.isnan(Z).any(axis=1))
        for part in row_blocks(len(open_rows), X.shape[1]):
            rows = open_rows[part]
            values = X[rows] - code.mean
            missing = np.isnan(values)
            Z[rows] = encode_incomplete(np.where(missing, 0, values), ~missing, code)
    return Z


def encode_incomplete(values, observed, code):
    """Return the codes of centred rows with missing values.

    A missing value is what the autoencoder makes of the completed row: x_m = z V_m with z = x_o W_o + x_m W_m,
    so z (I - V_m W_m) = x_o W_o. Without penalty that is the least-squares code of the observed values; with it,
    the conditional mean under the Gaussian of covariance U (Lambda - alpha) U' + alpha I.

    Parameters
    ----------
    values : ndarray of shape (n_rows, n_features)
        Centred values, zero where missing.
    observed : ndarray of shape (n_rows, n_features), bool
        What is observed.
    code : LinearCode
        The model.

    Returns
    -------
    Z : ndarray of shape (n_rows, n_components)
        The codes, in the dtype of `values`; zero where a row has no observed value.
    """
    p, k = code.encoder.shape
    W, V = code.encoder.astype(np.float64, copy=False), code.decoder.astype(np.float64, copy=False)
    Z = (values @ W).astype(np.float64, copy=False)
    open_rows = np.flatnonzero(~observed.all(axis=1))
    outer = (V.T[:, :, None] * W[:, None, :]).reshape(p, k * k)  # v_j w_j of each feature
    size = max(1, p * 64 // (k * k) + 64)
    for start in range(0, len(open_rows), size):
        rows = open_rows[start : start + size]
        systems = (observed[rows].astype(np.float64) @ outer).reshape(-1, k, k) + (np.eye(k) - V @ W)
        Z[rows] = solve_systems(systems.transpose(0, 2, 1), Z[rows, :, None])[:, :, 0]
    return Z.astype(values.dtype, copy=False)


def solve_systems(systems, right):
    """Solve small, possibly singular, positive semi-definite systems, each for its own right-hand sides.

    Parameters
    ----------
    systems : ndarray of shape (n, k, k)
        Matrices of norm about one or less.
    right : ndarray of shape (n, k, m)
        Right-hand sides.

    Returns
    -------
    solutions : ndarray of shape (n, k, m)
        The smallest solutions, to rounding, where a system leaves some open.
    """
    inverse = np.linalg.inv(systems + RIDGE * np.eye(systems.shape[1]))
    solutions = inverse @ right
    return solutions + inverse @ (right - systems @ solutions)


def squared_errors(X, code):
    """Return each row's sum of squared reconstruction errors.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        The data; NaN is missing.
    code : LinearCode
        The model.

    Returns
    -------
    errors : ndarray of shape (n_samples,), float64
        Over the observed values.
    """
    return squared_residuals(X, code.mean, code.decoder, encode(X, code))


def mean_loss(X, weights, code, alpha):
    """Return the weighted mean of the rows' squared errors, plus the penalty.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        The data.
    weights : ndarray of shape (n_samples,)
        Non-negative.
    code : LinearCode
        The model.
    alpha : float
        The penalty.

    Returns
    -------
    loss : float
        What the autoencoder minimises.
    """
    return float(weights @ squared_errors(X, code) / weights.sum()) + penalty(code, alpha)


def certificate(code, loss, principal, alpha):
    """Say how far a linear code is from the best one.

    Parameters
    ----------
    code : LinearCode
        The model.
    loss : float
        Its loss.
    principal : tuple of (mean, directions, variances, total)
        Principal directions of the same data, with eigenvalues and trace of the covariance.
    alpha : float
        The penalty.

    Returns
    -------
    certificate : dict
        "angle": largest principal angle, in radians, between the row space of the decoder and PCA's subspace, of
        which only directions of positive gain count; "excess_loss": (loss - optimal_loss) / optimal_loss, or over
        the total variance where the optimum is zero; "optimal_loss".
    """
    _, directions, variances, total = principal
    optimum = closed_form_loss(variances, total, alpha)
    counted = (gains(variances, alpha) > 0) & (variances > _TINY * max(total, 0.0))
    unit = optimum if optimum > _TINY * total else total
    return {
        "angle": largest_angle(code.decoder, directions[counted]),
        "excess_loss": (loss - optimum) / unit if unit > 0 else 0.0,
        "optimal_loss": optimum,
    }


def largest_angle(decoder, directions):
    """Return the largest angle between a subspace and the row space of a decoder, in radians.

    Parameters
    ----------
    decoder : ndarray of shape (n_components, n_features)
        Rows that span one subspace.
    directions : ndarray of shape (r, n_features)
        Orthonormal rows of the other; r <= n_components.

    Returns
    -------
    angle : float
        Between 0 and pi / 2; 0 if `directions` is empty.
    """
    if len(directions) == 0:
        return 0.0
    directions = directions.astype(np.float64)
    basis = linalg.orth(decoder.astype(np.float64).T)
    outside = directions.T - basis @ (basis.T @ directions.T)
    return float(np.arcsin(min(1.0, np.linalg.norm(outside, 2))))
