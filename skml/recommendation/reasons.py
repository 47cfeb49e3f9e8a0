"""Why a score is what it is: the part that each past interaction has in it (Hu, Koren & Volinsky 2008, section 5)."""

import numpy as np


def linear_reasons(target, vectors, pulls, system):
    """Return what each interaction adds to the score of an item, where a user's factors are linear in their ratings.

    ``p = A^-1 sum_j c_j q_j``, so the score of an item is ``sum_j q' A^-1 q_j c_j``.

    Parameters
    ----------
    target : ndarray of shape (K,)
        q.
    vectors : ndarray of shape (n_interactions, K)
        The rows q_j.
    pulls : ndarray of shape (n_interactions,)
        c_j.
    system : ndarray of shape (K, K)
        A.

    Returns
    -------
    contributions : ndarray of shape (n_interactions,)
        Their sum is the score.
    """
    solution = np.linalg.lstsq(system, target, rcond=None)[0]
    return (vectors @ solution) * pulls


def user_system(vectors, weights, ridge, gram=None):
    """Return A: the sum of w_j q_j q_j' and the ridge, and where all other items count as well, their Gram matrix."""
    system = (vectors.T * weights) @ vectors + np.diag(ridge)
    return system if gram is None else system + gram


def reasons(past, pair, solver, factors):
    """Return what each past interaction of a user adds to the score of an item.

    Parameters
    ----------
    past : Ratings
        One row: the user's interactions.
    pair : (int, int)
        The codes of the user and of the item.
    solver : object
        Of :mod:`skml.recommendation.solvers`.
    factors : Factors
        The model.

    Returns
    -------
    contributions : ndarray of shape (n_interactions,)
        In the order of the row. Their sum is the part of the score that fold-in takes from these interactions: the
        product of factors, with the user's bias where it is solved for with them.
    """
    settings, (user, item) = solver.settings, pair
    if settings.ranks:
        return solver.reasons(past, item, factors)
    vectors, targets, ridge = _design(past, user, settings, factors)
    at, weights = past.indices, past.filled_weights().astype(np.float64)
    target, free = vectors[item], np.ones(vectors.shape[1], bool)
    if settings.constraint == "nonnegative":  # linear where the constraint doesn't hold coordinates at 0
        free[: factors.users.shape[1]] = factors.users[user] > 0
    if settings.weighted:
        ridge = ridge * (past.data.sum(dtype=np.float64) if settings.implicit else weights.sum())
    if settings.implicit:  # A = Q'Q + sum (c - 1) q q' + ridge
        confidences = past.data.astype(np.float64)
        system = user_system(vectors[at], confidences - 1, ridge, vectors.T @ vectors)
        return linear_reasons(target, vectors[at], confidences, system)
    system = user_system(vectors[at][:, free], weights, ridge[free])
    return linear_reasons(target[free], vectors[at][:, free], weights * targets, system)


def _design(past, user, settings, factors):
    """Return what a user's coordinates are multiplied with, what they are fitted to, and their ridge, in float64."""
    Q, ridge = factors.items.astype(np.float64), np.full(factors.items.shape[1], 2 * settings.alphas["users"])
    targets = past.data - factors.mean - factors.item_bias[past.indices].astype(np.float64)
    if settings.solver == "svd":
        lengths = np.sqrt(np.einsum("ij,ij->j", factors.users, factors.users, dtype=np.float64))
        penalty = 2 * np.sqrt(settings.alphas["users"] * settings.alphas["items"])
        return Q * np.sqrt(lengths), targets - factors.user_bias[user], np.full(len(lengths), penalty)
    if not settings.fit_bias:
        return Q, targets, ridge
    return np.column_stack([Q, np.ones(len(Q))]), targets, np.append(ridge, 2 * settings.alphas["biases"])
