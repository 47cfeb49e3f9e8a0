"""The Gaussian that PCA stands for: ``N(mean, V.T diag(variances - noise) V + noise I)`` (Tipping & Bishop 1999)."""

import numpy as np
import scipy.sparse as sp

from skml._kernels import blas_threads
from skml.base import require_memory
from skml.decomposition.lanes import blocks, in_lanes, lanes
from skml.decomposition.moments import project


def floored(variances, noise):
    """Return variances and noise as float64, none so small that the density would be infinite."""
    variances = np.asarray(variances, np.float64)
    noise = float(noise)
    floor = np.finfo(np.float64).eps * max(noise, variances.max(initial=0.0), np.finfo(np.float64).tiny)
    noise = max(noise, floor)
    return np.maximum(variances, noise), noise


def covariance(components, variances, noise):
    """Return the covariance matrix of the model.

    Parameters
    ----------
    components : ndarray of shape (n_components, n_features)
        Orthonormal rows.
    variances : ndarray of shape (n_components,)
        Along the components.
    noise : float
        The variance in every other direction.

    Returns
    -------
    C : ndarray of shape (n_features, n_features)
        In the dtype of the components.
    """
    require_memory(8 * components.shape[1] ** 2, "The covariance matrix")
    with blas_threads(1):
        C = (components.T * np.maximum(variances - noise, 0)) @ components
    C.flat[:: len(C) + 1] += noise
    return C


def precision(components, variances, noise):
    """Return the inverse of the model's covariance matrix, by the matrix inversion lemma.

    With orthonormal components it is ``(I - V.T diag(1 - noise / variances) V) / noise``.

    Parameters
    ----------
    components : ndarray of shape (n_components, n_features)
        Orthonormal rows.
    variances : ndarray of shape (n_components,)
        Along the components.
    noise : float
        The variance in every other direction.

    Returns
    -------
    P : ndarray of shape (n_features, n_features)
        In the dtype of the components.
    """
    k, n_features = components.shape
    require_memory(8 * n_features**2, "The precision matrix")
    V = components.astype(np.float64)
    if k == n_features:  # no other direction is left: the noise has no say, and 1 / noise would cost digits
        variances, _ = floored(np.maximum(variances, noise), 0.0)
        with blas_threads(1):
            return ((V.T / variances) @ V).astype(components.dtype)
    variances, noise = floored(variances, noise)
    with blas_threads(1):
        P = (V.T * (noise / variances - 1)) @ V
    P.flat[:: n_features + 1] += 1
    P /= noise
    return P.astype(components.dtype)


def log_density(X, mean, components, variances, noise):
    """Return the logarithm of the model's density at each row.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        Complete rows.
    mean : ndarray of shape (n_features,)
        The centre.
    components : ndarray of shape (n_components, n_features)
        Orthonormal rows.
    variances : ndarray of shape (n_components,)
        Along the components.
    noise : float
        The variance in every other direction.

    Returns
    -------
    log_density : ndarray of shape (n_samples,), float64
        In nats.
    """
    k, n_features = components.shape
    variances, noise = floored(variances, noise if k < n_features else 0.0)
    V = components.astype(np.float64).T
    Y = project(X, mean, V)
    # x' C^-1 x = sum (v'x)^2 / variance + |x - V V'x|^2 / noise
    distance = (Y**2 / variances).sum(axis=1)
    log_determinant = np.log(variances).sum()
    if k < n_features:
        distance += squared_residuals(X, mean, components, Y) / noise
        log_determinant += (n_features - k) * np.log(noise)
    return -0.5 * (distance + log_determinant + n_features * np.log(2 * np.pi))


def squared_residuals(X, mean, components, Y):
    """Return ``|x - mean - V.T y|**2`` for each row x and its projection y, leaving out entries that are NaN.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        The rows; NaN is missing.
    mean : ndarray of shape (n_features,)
        The centre.
    components : ndarray of shape (n_components, n_features)
        Orthonormal rows.
    Y : ndarray of shape (n_samples, n_components)
        The projections.

    Returns
    -------
    squares : ndarray of shape (n_samples,), float64
        The sums of squares.
    """
    squares = np.empty(X.shape[0])
    V = components.astype(np.float64)

    def one_chunk(rows):
        residual = (X[rows].toarray() if sp.issparse(X) else X[rows]) - mean
        residual = residual - Y[rows] @ V
        squares[rows] = np.nansum(residual * residual, axis=1)

    in_lanes(one_chunk, list(blocks(slice(0, X.shape[0]), max(1, 2**17 // X.shape[1]))))
    return squares


def reconstructed(Y, mean, components):
    """Return ``Y @ components + mean``.

    Parameters
    ----------
    Y : ndarray of shape (n_samples, n_components)
        The projections.
    mean : ndarray of shape (n_features,)
        The centre.
    components : ndarray of shape (n_components, n_features)
        Orthonormal rows.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
        The points they stand for.
    """
    X = np.empty((len(Y), components.shape[1]), np.result_type(Y, components))

    def one_lane(rows):
        np.matmul(Y[rows], components, out=X[rows])
        X[rows] += mean

    in_lanes(one_lane, lanes(len(Y), 16))
    return X
