"""Magnitude: data so large or so small that its squares are no numbers any more, and data that is no number at all."""

import numpy as np
import scipy.sparse as sp

from skml.decomposition.spectral import Spectrum, finished, principal_axes


def has_missing(X):
    """Return whether X holds NaN; raise a ValueError if it holds infinity, or NaN among sparse entries."""
    values = X.data if sp.issparse(X) else X
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(values.sum()):  # one quick pass where all is well
            return False
    if np.isinf(values).any():
        raise ValueError(f"Input X contains infinity or a value too large for {values.dtype!r}.")
    missing = bool(np.isnan(values).any())
    if missing and sp.issparse(X):
        raise ValueError("Input X contains NaN among its sparse entries; missing values need a dense X.")
    return missing


def weighted_rows(X, weights):
    """Return the rows of positive weight and their weights: the others are no part of the data.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        The data.
    weights : ndarray of shape (n_samples,) or None
        Non-negative, or none.

    Returns
    -------
    X : ndarray or CSR matrix of shape (n_rows, n_features)
        X itself if all its rows count.
    weights : ndarray of shape (n_rows,) or None
        Positive.

    Raises
    ------
    ValueError
        If a row that is left out holds infinity.
    """
    if weights is None or weights.all():
        return X, weights
    has_missing(X[weights == 0])
    return X[weights > 0], weights[weights > 0]


def scaled_axes(X, scale, k, solver, options):
    """Return the Spectrum of finite data whose squares, weighted, overflow, vanish, or are all zero.

    X and the weights are divided by powers of two, which costs no digits, and the result multiplied by them.

    Parameters
    ----------
    X, scale, k, solver, options : see :func:`skml.decomposition.spectral.principal_axes`
        The data, and how to decompose it.

    Returns
    -------
    spectrum : Spectrum
        Its total may be infinite.
    """
    values = X.data if sp.issparse(X) else X
    largest = np.abs(values).max(initial=0.0)
    if largest == 0 or _is_constant(X):
        mean = np.asarray(X[:1].toarray() if sp.issparse(X) else X[:1], dtype=np.float64)[0]
        return finished(mean, np.zeros((k, X.shape[1])), np.zeros(k), 0.0, 0.0)
    exponent, heavy = int(np.frexp(largest)[1]), int(np.frexp(scale.max())[1]) if len(scale) else 0
    small = X.astype(np.float64)
    small = small * 2.0 ** (-exponent // 2) * 2.0 ** (-exponent - -exponent // 2)
    try:
        spectrum = principal_axes(small, np.ldexp(scale, -heavy), k, solver, options)
    except FloatingPointError:
        what = "X" if not len(scale) or scale.max() < 1e50 * scale.min() else "X times sample_weight"
        advice = "its features" if what == "X" else "the weights"
        raise ValueError(f"The squares of {what} overflow or vanish; bring {advice} to similar scales first.") from None
    with np.errstate(over="ignore", under="ignore"):
        return Spectrum(
            np.ldexp(spectrum.mean, exponent),
            spectrum.components.astype(X.dtype),
            np.ldexp(spectrum.singular_values, exponent + heavy),
            float(np.ldexp(spectrum.total, 2 * (exponent + heavy))),
        )


def direct_axes(X, scale, k, solver, options):
    """Return the Spectrum of finite data of whatever magnitude; parameters as in :func:`scaled_axes`."""
    try:
        return principal_axes(X, scale, k, solver, options)
    except FloatingPointError:
        return scaled_axes(X, scale, k, solver, options)


def _is_constant(X):
    if sp.issparse(X):
        return bool((X.max(axis=0).toarray() == X.min(axis=0).toarray()).all())
    return bool((X[0] == X).all())


def per_row(figures, dtype, name):
    """Return figures of rows in a dtype; raise a ValueError if one of them is beyond it.

    Parameters
    ----------
    figures : ndarray of shape (n_samples,), float64
        The figures.
    dtype : dtype
        Of the result.
    name : str
        What they are.

    Returns
    -------
    figures : ndarray of shape (n_samples,)
        Finite.
    """
    with np.errstate(over="ignore"):
        figures = figures.astype(dtype)
    beyond = np.flatnonzero(~np.isfinite(figures))
    if len(beyond):
        raise ValueError(
            f"The {name} of row {beyond[0]} of X is beyond {figures.dtype}: the row is too far from those of fit."
        )
    return figures


def check_representable(spectrum, variance, dtype):
    """Raise a ValueError if a variance or singular value is too large, or too small, for its dtype."""
    limits = np.finfo(dtype)
    largest = variance.max(initial=0.0)
    if not (np.isfinite(spectrum.total) and largest <= limits.max):
        raise ValueError(f"The variance of X is too large for {np.dtype(dtype)}; divide X by a constant first.")
    if spectrum.singular_values.max(initial=0.0) > limits.max:
        raise ValueError(f"The singular values are too large for {np.dtype(dtype)}; divide the weights by a constant.")
    if spectrum.singular_values.max(initial=0.0) > 0 and largest < limits.tiny:
        raise ValueError(f"The variance of X is too small for {np.dtype(dtype)}; multiply X by a constant first.")
