"""What an objective charges for the size of its parameters."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Penalties:
    """The factors of squared norms.

    Attributes
    ----------
    users, items, biases : float
        At least 0.
    weighted : bool
        Whether the squared norm of a row's parameters counts once per interaction of the row (times its weight), as in
        Funk's method (Zhou, Wilkinson, Schreiber & Pan 2008); otherwise once.
    """

    users: float
    items: float
    biases: float = 0.0
    weighted: bool = False

    def scales(self, ratings):
        """Return how often the squared norms of each user's and of each item's parameters count."""
        if self.weighted:
            return ratings.row_weights(), ratings.column_weights()
        return np.ones(ratings.n_rows), np.ones(ratings.n_columns)

    def of(self, factors, scales):
        """Return the part of the objective that is not loss: not finite if any parameter is not."""
        charges = self.users, self.items, self.biases, self.biases
        parts = zip(charges, factors.arrays(), (*scales, *scales))
        return sum(charge * float((scale * _squares(array)).sum()) for charge, array, scale in parts)


def _squares(array):
    rows = array.reshape(len(array), -1)
    return np.einsum("ij,ij->i", rows, rows, dtype=np.float64)
