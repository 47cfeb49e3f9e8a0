"""Losses: what a row's output costs, and the gradient at the output, together.

B: batch, K: outputs. A loss is a function of the outputs z (B, K), the targets y and weights that returns the loss of
each row (B,), unweighted and in float64, and dz, the gradient of sum_i w_i l_i / sum_i w_i. The weight k of a row thus
equals k copies of it in the batch. The objects hold the settings and know what a trainer has to ask.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, softmax

from skml import _kernels

__all__ = [
    "BinaryCrossEntropy",
    "CrossEntropy",
    "Huber",
    "Loss",
    "Squared",
    "binary_cross_entropy",
    "cross_entropy",
    "huber",
    "squared",
]

_NONE = np.empty(0)


def _shares(weights, n):
    """Return the weights over their sum: zeros if all are zero."""
    if weights is None:
        return np.full(n, 1 / max(n, 1))
    weights = np.asarray(weights, dtype=np.float64)
    total = weights.sum()
    return weights / total if total > 0 else np.zeros(n)


def cross_entropy(z, y, weights=None, *, smoothing=0.0, out=None, n_threads=1):
    """Compute l = ln sum_k exp(z_k) - sum_k q_k z_k, with q = (1 - s) [k = y] + s / K.

    Parameters
    ----------
    z : ndarray of shape (B, K), float32 or float64
        Logits.
    y : ndarray of shape (B,), int
        Classes, 0 to K - 1; int32 is taken as it is.
    weights : ndarray of shape (B,) or None, default=None
        Of the rows.
    smoothing : float, default=0.0
        The share s of a target that is spread over all classes (Szegedy et al. 2016, section 7).
    out : ndarray of shape (B, K) or None, default=None
        Where to write dz.
    n_threads : int, default=1
        How many threads to use; the result does not depend on it.

    Returns
    -------
    losses : ndarray of shape (B,), float64
        Of the rows, unweighted.
    dz : ndarray of shape (B, K)
        The gradient of the weighted mean: w (softmax(z) - q) / sum w.

    Raises
    ------
    ValueError
        If a class lies outside or is no whole number, or shapes disagree.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import cross_entropy
    >>> losses, dz = cross_entropy(np.zeros((1, 2)), np.array([1], dtype=np.int32))
    >>> losses.round(4), dz
    (array([0.6931]), array([[ 0.5, -0.5]]))
    """
    dz, losses = np.empty_like(z) if out is None else out, np.empty(len(z))
    arguments = _NONE, float(smoothing), _NONE, dz, losses, n_threads
    _kernels.fused.softmax_cross_entropy(z, _codes(y), *arguments)
    dz *= _shares(weights, len(z)).astype(z.dtype)[:, None]
    return losses, dz


def _codes(y):
    """Return classes as the kernel takes them."""
    y = np.asarray(y)
    if y.dtype == np.int32 and y.flags.c_contiguous:
        return y
    if y.dtype.kind not in "iu":
        raise ValueError(f"Classes are whole numbers from 0 on, not of dtype {y.dtype}.")
    # what an int32 cannot hold is too large for the kernel as well
    return np.ascontiguousarray(np.clip(y.astype(np.int64), -1, 2**31 - 1), dtype=np.int32)


def binary_cross_entropy(z, y, weights=None, *, out=None):
    """Compute l = mean_k [ln(1 + exp(z_k)) - y_k z_k]: each output is a yes or no of its own.

    Parameters
    ----------
    z : ndarray of shape (B, K), float32 or float64
        Logits.
    y : ndarray of shape (B, K)
        Targets, 0 to 1.
    weights : ndarray of shape (B,) or None, default=None
        Of the rows.
    out : ndarray of shape (B, K) or None, default=None
        Where to write dz.

    Returns
    -------
    losses : ndarray of shape (B,), float64
        Of the rows, unweighted.
    dz : ndarray of shape (B, K)
        The gradient of the weighted mean: w (sigmoid(z) - y) / (K sum w).

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import binary_cross_entropy
    >>> losses, dz = binary_cross_entropy(np.zeros((1, 2)), np.array([[0.0, 1.0]]))
    >>> losses.round(4), dz
    (array([0.6931]), array([[ 0.25, -0.25]]))
    """
    y = _like(y, z)
    losses = (np.logaddexp(0, z) - y * z).mean(axis=1, dtype=np.float64)
    return losses, _scaled(expit(z) - y, weights, out)


def squared(z, y, weights=None, *, out=None):
    """Compute l = mean_k (z_k - y_k)^2.

    Parameters
    ----------
    z : ndarray of shape (B, ...), float32 or float64
        Outputs.
    y : ndarray of shape (B, ...)
        Targets.
    weights : ndarray of shape (B,) or None, default=None
        Of the rows.
    out : ndarray of shape (B, ...) or None, default=None
        Where to write dz.

    Returns
    -------
    losses : ndarray of shape (B,), float64
        Of the rows, unweighted.
    dz : ndarray of shape (B, ...)
        The gradient of the weighted mean: 2 w (z - y) / (K sum w).

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import squared
    >>> squared(np.array([[3.0, 0.0]]), np.array([[1.0, 0.0]]))
    (array([2.]), array([[2., 0.]]))
    """
    off = np.subtract(z, _like(y, z), out=out)
    rows = _rows(off)
    losses = np.einsum("ij,ij->i", rows, rows).astype(np.float64) / rows.shape[1]
    return losses, _scaled(off, weights, off, 2)


def huber(z, y, weights=None, *, delta=1.0, out=None):
    """Compute l = mean_k h(z_k - y_k): h(e) = e^2 / 2, and delta (abs(e) - delta / 2) beyond delta (Huber 1964).

    Parameters
    ----------
    z : ndarray of shape (B, ...), float32 or float64
        Outputs.
    y : ndarray of shape (B, ...)
        Targets.
    weights : ndarray of shape (B,) or None, default=None
        Of the rows.
    delta : float, default=1.0
        The error from which on the loss grows linearly.
    out : ndarray of shape (B, ...) or None, default=None
        Where to write dz.

    Returns
    -------
    losses : ndarray of shape (B,), float64
        Of the rows, unweighted.
    dz : ndarray of shape (B, ...)
        The gradient of the weighted mean: w clip(z - y, -delta, delta) / (K sum w).

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import huber
    >>> huber(np.array([[3.0, 0.5]]), np.zeros((1, 2)))
    (array([1.3125]), array([[0.5 , 0.25]]))
    """
    off = np.subtract(z, _like(y, z), out=out)
    cut = np.clip(off, -delta, delta)
    # e cut - cut^2 / 2 is both: there cut = e, here cut = delta sign(e)
    losses = _rows(cut * (off - 0.5 * cut))
    return losses.mean(axis=1, dtype=np.float64), _scaled(cut, weights, off)


def _like(y, z):
    """Return targets in the shape and type of the outputs."""
    return y.reshape(z.shape).astype(z.dtype, copy=False)


def _rows(array):
    """Return an array as rows of numbers."""
    return array.reshape(len(array), math.prod(array.shape[1:]))


def _scaled(slopes, weights, out, factor=1):
    """Return w slopes factor / (K sum w)."""
    shares = _shares(weights, len(slopes)) * (factor / max(1, math.prod(slopes.shape[1:])))
    shares = shares.astype(slopes.dtype).reshape(-1, *[1] * (slopes.ndim - 1))
    return np.multiply(slopes, shares, out=slopes if out is None else out)


# ------------------------------------------------------------------------------------------- settings


class Loss:
    """What a trainer asks of a loss; base class of the losses' settings, with the answers of those of numbers.

    Examples
    --------
    >>> from skml.network import CrossEntropy, Loss
    >>> isinstance(CrossEntropy(), Loss)
    True
    """

    def n_outputs(self, n_targets):
        """Return how many outputs a network needs.

        Parameters
        ----------
        n_targets : int
            How many classes, labels or targets there are.

        Returns
        -------
        n_outputs : int
            As many, unless the loss says otherwise.
        """
        return n_targets

    def weights(self, y, weights):
        """Return the weights of rows, those of their classes included.

        Parameters
        ----------
        y : ndarray of shape (B, ...)
            Targets.
        weights : ndarray of shape (B,) or None
            Of the rows.

        Returns
        -------
        weights : ndarray of shape (B,) or None
            None means ones.
        """
        return weights

    def link(self, z):
        """Return what outputs mean: probabilities of classes or labels, or the predictions themselves.

        Parameters
        ----------
        z : ndarray of shape (B, K)
            Outputs of a network.

        Returns
        -------
        predictions : ndarray of shape (B, K)
            In the type of `z`.
        """
        return z

    def tally(self, z, y, weights):
        """Return what :meth:`score` needs of some rows.

        Parameters
        ----------
        z : ndarray of shape (B, K)
            Outputs.
        y : ndarray of shape (B, ...)
            Targets.
        weights : ndarray of shape (B,)
            Of the rows.

        Returns
        -------
        tally : float or ndarray
            Tallies of several batches may be added up.
        """
        return weights @ np.square(_rows(z - _like(y, z)), dtype=np.float64)

    def score(self, tally, y, weights):
        """Return how good the outputs of some rows are, more being better.

        Accuracy for classes, the share of rows with all labels right for labels, R^2 for numbers (the mean of that of
        all outputs; 0 for an output that is constant unless it is met exactly).

        Parameters
        ----------
        tally : float or ndarray
            The sum of their tallies.
        y : ndarray of shape (n_rows, ...)
            Their targets.
        weights : ndarray of shape (n_rows,)
            Their weights.

        Returns
        -------
        score : float
            At most 1.
        """
        y = _rows(y).astype(np.float64)
        spread = weights @ np.square(y - np.average(y, axis=0, weights=weights))
        ratio = np.divide(tally, spread, out=(tally > 0).astype(np.float64), where=spread > 0)
        return float(1 - ratio.mean())


@dataclass(frozen=True)
class CrossEntropy(Loss):
    """Cross-entropy of classes.

    Attributes
    ----------
    smoothing : float, default=0.0
        See :func:`cross_entropy`.
    class_weight : ndarray of shape (K,) or None, default=None
        What the weights of each class's rows are multiplied with.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import CrossEntropy
    >>> loss = CrossEntropy(class_weight=np.array([1.0, 3.0]))
    >>> loss.weights(np.array([1, 0]), None)
    array([3., 1.])
    """

    smoothing: float = 0.0
    class_weight: np.ndarray | None = None

    def __call__(self, z, y, weights=None, n_threads=1):
        """Return (losses, dz); the weights are those of :meth:`weights`."""
        return cross_entropy(z, y, weights, smoothing=self.smoothing, n_threads=n_threads)

    def weights(self, y, weights):
        if self.class_weight is None:
            return weights
        return self.class_weight[y] * (1 if weights is None else weights)

    def link(self, z):
        return softmax(z, axis=1)

    def tally(self, z, y, weights):
        return weights @ (z.argmax(axis=1) == y)

    def score(self, tally, y, weights):
        return float(tally / weights.sum())


@dataclass(frozen=True)
class BinaryCrossEntropy(Loss):
    """Cross-entropy of labels that may hold together.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import BinaryCrossEntropy
    >>> BinaryCrossEntropy().link(np.zeros((1, 3)))
    array([[0.5, 0.5, 0.5]])
    """

    def __call__(self, z, y, weights=None, n_threads=1):
        """Return (losses, dz)."""
        return binary_cross_entropy(z, y, weights)

    def link(self, z):
        return expit(z)

    def tally(self, z, y, weights):
        return weights @ ((z > 0) == (_like(y, z) > 0.5)).all(axis=1)

    def score(self, tally, y, weights):
        return float(tally / weights.sum())


@dataclass(frozen=True)
class Squared(Loss):
    """Squared error.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import Squared
    >>> loss, y, w = Squared(), np.array([[1.0], [3.0]]), np.ones(2)
    >>> loss.score(loss.tally(np.array([[1.0], [2.0]]), y, w), y, w)
    0.5
    """

    def __call__(self, z, y, weights=None, n_threads=1):
        """Return (losses, dz)."""
        return squared(z, y, weights)


@dataclass(frozen=True)
class Huber(Loss):
    """Huber's loss; the score is R^2 as well.

    Attributes
    ----------
    delta : float, default=1.0
        See :func:`huber`.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import Huber
    >>> Huber(delta=2.0)(np.array([[3.0]]), np.array([[0.0]]))
    (array([4.]), array([[2.]]))
    """

    delta: float = 1.0

    def __call__(self, z, y, weights=None, n_threads=1):
        """Return (losses, dz)."""
        return huber(z, y, weights, delta=self.delta)
