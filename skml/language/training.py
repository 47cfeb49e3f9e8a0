"""What a trainer is told about language: windows as its rows, and the loss of their tokens.

B: windows of a batch, T: moments, V: tokens in the vocabulary.
"""

from dataclasses import dataclass

import numpy as np

from skml import _kernels
from skml.network.training import Data

TARGET = np.dtype([("token", np.int32), ("weight", np.float64)])


def training_data(windows):
    """Return windows as a trainer takes them.

    Parameters
    ----------
    windows : Windows
        Of documents.

    Returns
    -------
    data : Data
        Its targets are tokens and their weights, 0 where nothing is to be told.
    """
    y = np.empty(windows.targets.shape, dtype=TARGET)
    y["token"] = windows.targets
    y["weight"] = (windows.targets >= 0) * (1.0 if windows.weights is None else windows.weights)
    return Data(windows.X, y)


@dataclass(frozen=True)
class TokenLoss:
    """Cross-entropy of the next tokens, the mean over all tokens of a batch.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.language.training import TARGET, TokenLoss
    >>> y = np.array([[(1, 1.0), (-1, 0.0)]], dtype=TARGET)
    >>> losses, dz = TokenLoss()(np.zeros((1, 2, 2)), y, np.ones(1))
    >>> losses.round(4), dz.tolist()
    (array([0.6931]), [[[0.5, -0.5], [0.0, 0.0]]])
    """

    def __call__(self, z, y, weights, n_threads=1):
        """Return the mean loss of each window's tokens, and the gradient of that of all, which takes the place of z."""
        rows, w = z.reshape(-1, z.shape[-1]), y["weight"]
        total = w.sum()
        shares = (w / total if total > 0 else w).ravel()
        losses = np.empty(len(rows))
        _kernels.sequences.cross_entropy(
            rows, np.ascontiguousarray(y["token"]).ravel(), shares, rows, losses, n_threads
        )
        sums = np.einsum("ij,ij->i", losses.reshape(w.shape), w)
        return np.divide(sums, weights, out=np.zeros(len(z)), where=weights > 0), z

    def weights(self, y, weights):
        """Return the weight of each window: the sum of its tokens'."""
        return y["weight"].sum(axis=1)

    def tally(self, z, y, weights):
        """Return the weight of the tokens that are told right."""
        return float(((z.argmax(axis=2) == y["token"]) * y["weight"]).sum())

    def score(self, tally, y, weights):
        """Return the share of tokens that are told right."""
        return float(tally / weights.sum())
