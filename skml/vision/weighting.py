"""Weights in mini-batches: gradients whose mean is that of all rows, and no row that outweighs a batch."""

from dataclasses import dataclass

import numpy as np

# A row heavier than so many rows of mean weight is shown several times in an epoch, each time with its share.
HEAVY = 4.0


def spread(rows, weights):
    """Return how rows are shown in an epoch: heavy ones several times.

    Parameters
    ----------
    rows : ndarray of shape (n,), int
        Distinct rows.
    weights : ndarray of shape (n,), float64
        Positive.

    Returns
    -------
    shown : ndarray of shape (m,), int
        The rows, each of them k times in a row; m is at most n + n / `HEAVY`.
    shares : ndarray of shape (n,), float64
        The weights over k.
    """
    times = np.ceil(weights / (HEAVY * weights.mean())).astype(np.int64)
    times = np.maximum(times, 1)
    return np.repeat(rows, times), weights / times


@dataclass(frozen=True)
class Weighted:
    """A loss whose gradient in a batch is the sum of w_i dl_i over (B mean weight), not over the batch's own weights.

    Its mean over batches is then the gradient of the weighted loss of all rows, also where classes weigh so differently
    that the weights of batches differ.

    Attributes
    ----------
    loss : object
        Such as :class:`skml.network.CrossEntropy`.
    mean : float
        The mean weight of all rows shown.
    """

    loss: object
    mean: float

    def __call__(self, z, y, weights=None, n_threads=1):
        """Return (losses, dz)."""
        losses, dz = self.loss(z, y, weights, n_threads)
        if weights is not None:
            dz *= dz.dtype.type(weights.sum() / (len(weights) * self.mean))
        return losses, dz

    def weights(self, y, weights):
        """Return the weights of rows."""
        return self.loss.weights(y, weights)

    def tally(self, z, y, weights):
        """Return what :meth:`score` needs of some rows."""
        return self.loss.tally(z, y, weights)

    def score(self, tally, y, weights):
        """Return the loss's score."""
        return self.loss.score(tally, y, weights)
