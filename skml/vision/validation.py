"""Validation: rows that a network is judged by and does not learn from, set aside or given."""

from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from skml._rows import distinct_rows
from skml.network.training import Data


@dataclass(frozen=True)
class Rows(Data):
    """Rows in an order of their own.

    Attributes
    ----------
    index : ndarray of int
        The rows that count.
    """

    index: np.ndarray | None = None

    def rows(self):
        """Return the numbers of the rows that count."""
        return self.index


def weighted_rows(X, y, index, weights, prepare):
    """Return the rows of an index, with weights.

    Parameters
    ----------
    X, y : ndarray of shape (n, ...)
        Rows, and their targets or None.
    index : ndarray of shape (m,), int
        Those that count.
    weights : ndarray of shape (m,)
        Theirs.
    prepare : callable
        Of :class:`skml.network.Data`.

    Returns
    -------
    rows : Rows
        In the order of the index.
    """
    of_row = np.zeros(len(X))
    of_row[index] = weights
    return Rows(X, y, of_row, prepare, index=index)


@dataclass(frozen=True)
class HeldOut:
    """Rows that the user gives to validate with.

    Attributes
    ----------
    X, y, weights : array-like or None, default=None
        As they were given; no X means that there are none.
    """

    X: object = None
    y: object = None
    weights: object = None

    def require(self, needs_y=True):
        """Raise a ValueError if a part is given and another one that it needs is not."""
        parts = {"X_val": self.X, "y_val": self.y, "sample_weight_val": self.weights}
        given = [name for name, value in parts.items() if value is not None]
        missing = [name for name in ("X_val", "y_val")[: 1 + needs_y] if name not in given]
        if given and missing:
            raise ValueError(f"{given[0]} is given, but {missing[0]} is not.")


NONE = HeldOut()


@contextmanager
def of_validation():
    """Say in errors that they are about the rows to validate with."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"The rows to validate with cannot be used: {error}") from error


def given_rows(X, y, weights, content, prepare):
    """Return rows that were given to validate with, each once, in an order that their content decides.

    Parameters
    ----------
    X : ndarray of shape (n, n_features)
        Validated.
    y, weights : ndarray of shape (n, ...) or None
        Targets as the loss takes them, and weights.
    content : ndarray of shape (n, ...) or None
        Targets as they were given.
    prepare : callable
        Of :class:`skml.network.Data`.

    Returns
    -------
    rows : Rows
        Distinct.

    Raises
    ------
    ValueError
        If none of them weighs anything.
    """
    if weights is not None and not weights.any():
        raise ValueError("all of them weigh nothing, by sample_weight_val and class_weight.")
    index, merged = distinct_rows(X, weights, content)
    return weighted_rows(X, y, index, merged, prepare)
