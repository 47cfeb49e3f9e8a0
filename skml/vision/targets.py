"""Targets of a regression: numbers become standard ones."""

from dataclasses import dataclass, replace

import numpy as np
from sklearn.utils import check_array, check_consistent_length, column_or_1d

# Targets that vary by no more than this share of their largest number are constant, but for rounding.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Scale:
    """Where targets lie: y = mean + deviation z.

    Attributes
    ----------
    mean, deviation : ndarray of shape (n_targets,), float64
        Of the targets; the deviation of a constant is its absolute value (1 if that is 0).
    constant : ndarray of shape (n_targets,), bool
        Targets that have never been anything but the mean, but for rounding.
    """

    mean: np.ndarray
    deviation: np.ndarray
    constant: np.ndarray

    @property
    def unit(self):
        """What a unit of z is in those of y: nothing for constants, whose answer is the mean."""
        return np.where(self.constant, 0.0, self.deviation)

    def with_more(self, y, weights):
        """Return the same scale after more targets (n, n_targets): those that vary by now are no constants."""
        seen = y if weights is None else y[weights > 0]
        return replace(self, constant=self.constant & (np.abs(self.apply(seen)) <= _ROUNDING).all(axis=0))

    def apply(self, y):
        """Return z of targets (n, n_targets)."""
        return y / self.deviation - self.mean / self.deviation

    def undo(self, z):
        """Return targets of z (n, n_targets), as float64."""
        return z.astype(np.float64) * self.unit + self.mean


def numbers_of(y, X, name):
    """Validate the targets of a regression.

    Parameters
    ----------
    y : array-like of shape (n,) or (n, n_targets)
        As the user gave them.
    X : ndarray of shape (n, n_features)
        The rows.
    name : str
        Of the estimator, for errors.

    Returns
    -------
    y : ndarray of shape (n, n_targets), float64
        Finite.
    single : bool
        Whether there was no second axis.

    Raises
    ------
    ValueError
        If y is nothing like that.
    """
    if y is None:
        raise ValueError(f"{name} requires y to be passed, but the target y is None.")
    y = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y", allow_nd=False)
    check_consistent_length(X, y)
    if y.ndim == 2 and y.shape[1] == 1:
        y = column_or_1d(y, warn=True)
    return y.reshape(len(y), -1), y.ndim == 1


def scale_of(y, weights):
    """Return the weighted mean and standard deviation of targets.

    Parameters
    ----------
    y : ndarray of shape (n, n_targets), float64
        The targets.
    weights : ndarray of shape (n,) or None
        Of the rows.

    Returns
    -------
    scale : Scale
        Sums are made of y over its largest number, so that their squares are ordinary.
    """
    kept = slice(None) if weights is None else weights > 0
    y, weights = y[kept], None if weights is None else weights[kept]
    peak = np.abs(y).max(axis=0)
    peak = np.where(peak > 0, peak, 1.0)
    mean = np.average(y / peak, axis=0, weights=weights)
    spread = np.sqrt(np.average(np.square(y / peak - mean), axis=0, weights=weights))
    constant = spread <= _ROUNDING
    return Scale(mean * peak, np.where(constant, peak, spread * peak), constant)
