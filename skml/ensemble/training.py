"""What a forest is given to learn from, validated."""

from dataclasses import dataclass

import numpy as np
from sklearn.utils import check_consistent_length

from skml.ensemble.labels import numbered


@dataclass(frozen=True)
class Training:
    """Validated training data, rows that are equal merged.

    Attributes
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        As validated; for members that are no trees of ours, as it was given.
    y : ndarray of shape (n_samples, n_outputs)
        Class numbers, or numbers.
    weights : ndarray of shape (n_samples,) or None
        Of the rows.
    index : ndarray of shape (n_rows,), int
        One row of each group of equal ones.
    merged : ndarray of shape (n_rows,)
        Their weights.
    inverse : ndarray of shape (n_samples,), int
        The group of each row; -1 for rows of no weight.
    groups : ndarray of shape (n_samples,), int, or None
        What is drawn whole.
    """

    X: object
    y: np.ndarray
    weights: np.ndarray | None
    index: np.ndarray
    merged: np.ndarray
    inverse: np.ndarray
    groups: np.ndarray | None


def read_groups(groups, X, drawn):
    """Return the number of each row's group, or raise a ValueError.

    Parameters
    ----------
    groups : array-like of shape (n_samples,) or None
        As given; None: there are none.
    X : array-like of shape (n_samples, n_features)
        The rows.
    drawn : bool
        Whether bags are drawn.

    Returns
    -------
    numbers : ndarray of shape (n_samples,), int, or None
        From 0.
    """
    if groups is None:
        return None
    if not drawn:
        raise ValueError("groups are for drawing bags; they have no meaning with bootstrap=False.")
    groups = np.asarray(groups)
    if groups.ndim != 1:
        raise ValueError(f"groups must name one group for each row; they have {groups.ndim} dimensions, not 1.")
    check_consistent_length(X, groups)
    return numbered(groups, "groups")[1]
