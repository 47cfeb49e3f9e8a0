"""The parameters of a factorisation, as all solvers take and give them."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Factors:
    """A model ``r_ui = mean + b_u + b_i + p_u'q_i``.

    Attributes
    ----------
    users, items : ndarray of shape (n_users, n_components), (n_items, n_components)
        The rows p_u and q_i.
    user_bias, item_bias : ndarray of shape (n_users,), (n_items,)
        b_u and b_i; zeros where the model has none.
    mean : float
        What all ratings have in common; 0 where the model has none.
    attributes : ndarray of shape (n_attributes, n_components), or with one more column, for the bias, or None
        The map from attributes of items to their factors, in float64.
    motion : object or None
        What a solver needs beside to go on from here as if it had not been cut short; None: nothing, or a new start.
    """

    users: np.ndarray
    items: np.ndarray
    user_bias: np.ndarray
    item_bias: np.ndarray
    mean: float = 0.0
    attributes: np.ndarray | None = None
    motion: object = None

    @classmethod
    def unbiased(cls, users, items, mean=0.0):
        """Return factors with biases of 0."""
        return cls(users, items, *(np.zeros(len(rows), rows.dtype) for rows in (users, items)), mean)

    def flipped(self):
        """Return the same parameters with users and items exchanged."""
        return Factors(self.items, self.users, self.item_bias, self.user_bias, self.mean)

    def arrays(self):
        """Return the factors and biases of users and items."""
        return self.users, self.items, self.user_bias, self.item_bias
