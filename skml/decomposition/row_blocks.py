"""Blocks of rows, centred and scaled: dense rows as they are, sparse rows without being filled in."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from skml.decomposition.lanes import blocks

# Values in one block of rows. A constant, so that sums are taken in the same order whatever the memory settings.
BLOCK_VALUES = 2**19
# Scales whose inverse and square are still ordinary numbers.
SMALLEST_SCALE = {"f": 2.0**-60, "d": 2.0**-500}


@dataclass(frozen=True)
class Block:
    """Rows (values - shift) of which the shift is taken off products only, so that sparse values stay sparse.

    Attributes
    ----------
    values : ndarray or CSR matrix of shape (n_rows, n_features)
        The rows; zero where missing.
    shift : ndarray of shape (n_features,) or None
        What is still to be subtracted from each row; None where that has been done.
    """

    values: object
    shift: np.ndarray | None

    def times(self, basis):
        """Return the product of the rows with `basis`, of shape (n_rows, n_columns)."""
        product = self.values @ basis
        return product if self.shift is None else product - self.shift @ basis

    def transposed_times(self, codes):
        """Return the product of the transposed rows with `codes`, of shape (n_features, n_columns)."""
        product = self.values.T @ codes
        return product if self.shift is None else product - np.outer(self.shift, codes.sum(axis=0))

    def dense(self):
        """Return the rows as one array."""
        return self.values if self.shift is None else self.values.toarray() - self.shift


def row_blocks(n_rows, width):
    """Return slices that cover `n_rows`, of about `BLOCK_VALUES` values at `width` values per row."""
    return blocks(slice(0, n_rows), max(1, BLOCK_VALUES // width))


def open_block(X, rows, mean, scale=1.0):
    """Return the :class:`Block` of (X[rows] - mean) / scale.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        The data.
    rows : slice or ndarray of int
        Which rows.
    mean : ndarray of shape (n_features,)
        The centre, of the data's dtype.
    scale : float, default=1.0
        A power of two, so that scaling is free of rounding.

    Returns
    -------
    block : Block
        Rows ready for products; missing values stay NaN.
    """
    if sp.issparse(X):
        return Block(X[rows] * X.dtype.type(1 / scale), mean * mean.dtype.type(1 / scale))
    values = X[rows] - mean
    if scale != 1.0:
        values *= values.dtype.type(1 / scale)
    return Block(values, None)


@dataclass(frozen=True)
class Centre:
    """The centre of weighted rows, and how far they spread around it.

    Attributes
    ----------
    mean : ndarray of shape (n_features,)
        Weighted mean of the observed values, float64; NaN where a feature has none.
    scale : float
        The power of two next to the root mean square deviation; 1 if all rows are equal.
    total : float
        Sum over features of the weighted mean of squares of (x - mean) / scale, missing values counting zero.
    weight : float
        The sum of the weights.
    """

    mean: np.ndarray
    scale: float
    total: float
    weight: float


def find_centre(X, weights, index=None):
    """Compute the :class:`Centre` of rows, of any magnitude, in two passes.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        The data; NaN is missing.
    weights : ndarray of shape (n_rows,)
        Non-negative, with a positive sum.
    index : ndarray of shape (n_rows,), int, default=None
        The rows to use, in this order; None takes all.

    Returns
    -------
    centre : Centre
        In float64.
    """
    peak = _power_of_two(_largest(X))
    taken = [(rows, rows if index is None else index[rows]) for rows in row_blocks(len(weights), X.shape[1])]
    observed, total, squares = np.zeros(X.shape[1]), np.zeros(X.shape[1]), 0.0
    for rows, source in taken:
        w, values = weights[rows], X[source] / X.dtype.type(peak)
        observed += w.sum()
        if not sp.issparse(X):
            missing = np.isnan(values)
            observed -= w @ missing
            values[missing] = 0.0
        total += values.T @ w
    with np.errstate(invalid="ignore"):
        mean = peak * (total / observed)
    for rows, source in taken:
        squares += weights[rows] @ _squared_norms(X[source], mean, peak)
    spread = squares / weights.sum()
    scale = max(_power_of_two(peak * np.sqrt(spread / X.shape[1])), SMALLEST_SCALE[X.dtype.char])
    return Centre(mean, scale, spread * (peak / scale) ** 2, float(weights.sum()))


def _largest(X):
    values = X.data if sp.issparse(X) else X
    if values.size == 0:
        return 1.0
    return float(max(np.nanmax(values), -np.nanmin(values)))


def _power_of_two(value):
    """Return the power of two at or below a positive number; 1 for zero."""
    return float(np.ldexp(1.0, np.frexp(value)[1] - 1)) if value > 0 else 1.0


def _squared_norms(X, mean, scale):
    """Return |(x - mean) / scale|^2 of each row, in float64, missing values counting zero."""
    mean = mean / scale
    if not sp.issparse(X):
        deviations = X / X.dtype.type(scale) - mean
        deviations[np.isnan(deviations)] = 0.0
        return np.einsum("ij,ij->i", deviations, deviations)
    # |x - m|^2 = |m|^2 + sum over stored values of x^2 - 2 x m
    stored = X.data.astype(np.float64) / scale
    stored *= stored - 2 * mean[X.indices]
    return mean @ mean + sp.csr_array((stored, X.indices, X.indptr), shape=X.shape).sum(axis=1)
