"""Principal directions of complete data, as linear codes need them."""

import numpy as np
import scipy.sparse as sp

from skml.decomposition.magnitude import has_missing, scaled_axes
from skml.decomposition.moments import UNWEIGHTED
from skml.decomposition.spectral import Options, automatic_solver, principal_axes

NEEDS_ALS = "Input X contains NaN; only a LinearAutoencoder fitted with solver='als' takes missing values."


def principal_directions(X, weights, k, seed):
    """Return the leading eigenvectors and eigenvalues of the covariance.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        The data; it need not have been searched for NaN.
    weights : ndarray of shape (n_samples,) or None
        Sample weights.
    k : int
        The number of directions, at most min(n_samples, n_features).
    seed : int
        For the iterative solvers.

    Returns
    -------
    mean : ndarray of shape (n_features,)
        The weighted mean.
    directions : ndarray of shape (k, n_features)
        Orthonormal rows, by falling variance, in the dtype of X.
    variances : ndarray of shape (k,)
        Eigenvalues of the covariance, with weights summing to one.
    total : float
        Its trace.

    Raises
    ------
    ValueError
        If X holds NaN or infinity.
    """
    scale = UNWEIGHTED if weights is None else np.sqrt(weights)
    weight = X.shape[0] if weights is None else float(weights.sum())
    solver = automatic_solver(max(X.shape[0], int(weight)), X.shape[1], sp.issparse(X), k)
    if sp.issparse(X) and k >= min(X.shape):
        # an iteration for all directions is no shorter than the eigenproblem
        solver = "covariance_eigh" if X.shape[1] <= X.shape[0] else "gram"
    try:
        spectrum = principal_axes(X, scale, k, solver, Options(seed=seed))
    except FloatingPointError:
        if has_missing(X):
            raise ValueError(NEEDS_ALS) from None
        spectrum = scaled_axes(X, scale, k, solver, Options(seed=seed))
    directions = spectrum.components.astype(X.dtype, copy=False)
    with np.errstate(over="ignore"):
        variances = (spectrum.singular_values / np.sqrt(weight)) ** 2
    return spectrum.mean, directions, variances, spectrum.total / weight
