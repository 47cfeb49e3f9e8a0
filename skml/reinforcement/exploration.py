"""How an agent tries what it doesn't know yet: rules that choose among actions by their values and counts."""

import numpy as np

__all__ = ["GREEDY", "KINDS", "SOFTMAX", "UCB", "choose", "expected_value", "knots_of"]

GREEDY, SOFTMAX, UCB = range(3)
KINDS = {"epsilon-greedy": GREEDY, "optimistic": GREEDY, "softmax": SOFTMAX, "ucb": UCB}
EXPLORE, PICK, COIN = range(3)  # which draw of a step is for what
KNOTS = 1024  # pieces on which a schedule is constant


def knots_of(schedule, total, name, low=0.0, high=np.inf):
    """Return the values that a schedule takes, over a training cut into equal pieces.

    Parameters
    ----------
    schedule : float, pair of floats, or callable
        A constant; the first and the last value, with a straight line between them; or a function of (step, total).
    total : int
        The steps of the training.
    name : str
        Of the parameter, for errors.
    low : float, default=0.0
        The least value that is allowed.
    high : float, default=inf
        The largest.

    Returns
    -------
    knots : ndarray of shape (1,) or (1024,), float64
        One for each piece.

    Raises
    ------
    ValueError
        If a value lies outside, or is no number.
    """
    if callable(schedule):
        values = [schedule(step, total) for step in np.arange(KNOTS) * (total / KNOTS)]
    elif np.ndim(schedule) == 0:
        values = [schedule]
    else:
        values = np.linspace(*schedule, KNOTS) if len(schedule) == 2 else schedule
    try:
        values = np.array(values, dtype=np.float64).reshape(-1)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must give numbers, got {values[0]!r}.") from None
    outside = ~((values >= low) & (values <= high))
    if outside.any() or len(values) not in (1, KNOTS):
        got = values[int(np.argmax(outside))] if outside.any() else f"{len(values)} numbers"
        raise ValueError(
            f"{name} must be one number or two, or a function, of values in [{low:g}, {high:g}]; got {got}."
        )
    return values


def choose(rule, level, values, counts, allowed, draws):
    """Choose an action for each of N copies.

    Parameters
    ----------
    rule : int
        GREEDY (a random action with probability `level`, else the best), SOFTMAX (probabilities proportional to
        exp(Q / level)) or UCB (the largest Q + level sqrt(ln N(s) / N(s, a))).
    level : float
        Of exploration.
    values, counts : ndarray of shape (N, A)
        Of the actions: their values, and how often each was taken.
    allowed : ndarray of shape (N, A), bool, or None
        Which actions there are; None for all.
    draws : ndarray of shape (N, 3)
        Numbers in [0, 1).

    Returns
    -------
    actions : ndarray of shape (N,), int
        Ties are broken by a draw.
    """
    scores = _scores(rule, level, values, counts, allowed)
    if rule == SOFTMAX:
        return _drawn_softly(scores, level, draws[:, EXPLORE])
    choices = scores == scores.max(axis=1, keepdims=True)
    if rule == GREEDY and level > 0:
        random = draws[:, EXPLORE] < level
        choices[random] = True if allowed is None else allowed[random]
    return _picked(choices, draws[:, PICK])


def expected_value(rule, level, values, counts, allowed):
    """Return the mean of Q(s, .) under the rule of exploration.

    Parameters
    ----------
    rule : int
        GREEDY, SOFTMAX or UCB, as for :func:`choose`.
    level : float
        Of exploration.
    values, counts : ndarray of shape (N, A)
        Of the actions: their values, and how often each was taken.
    allowed : ndarray of shape (N, A), bool, or None
        Which actions there are; None for all.

    Returns
    -------
    expected : ndarray of shape (N,)
        For each copy.
    """
    scores = _scores(rule, level, values, counts, allowed)
    best = scores.max(axis=1)
    if rule == GREEDY:
        there = np.ones(values.shape, dtype=bool) if allowed is None else allowed
        return (1 - level) * best + level * (_in_order(np.where(there, values, 0.0)) / there.sum(axis=1))
    weights = _softened(scores, level) if rule == SOFTMAX else 1.0 * (scores == best[:, None])
    return _in_order(weights * values) / _in_order(weights)


def _scores(rule, level, values, counts, allowed):
    """Return the values, with a bonus for what was seldom tried where UCB explores; -inf for what is not allowed."""
    if rule == UCB:
        tried = counts if allowed is None else np.where(allowed, counts, 0)
        spread = np.log(np.maximum(1, tried.sum(axis=1, keepdims=True)))
        # Q + c sqrt(ln N(s) / N(s, a))
        bonus = level * np.sqrt(spread / np.maximum(1, tried))
        values = values + np.where(tried > 0, bonus, np.inf)
    return values if allowed is None else np.where(allowed, values, -np.inf)


def _softened(scores, temperature):
    """Return exp((Q - max) / temperature)."""
    return np.exp((scores - scores.max(axis=1, keepdims=True)) / temperature)


def _in_order(columns):
    """Return sums over columns, added from left to right as a kernel does."""
    total = columns[:, 0].copy()
    for column in columns.T[1:]:
        total += column
    return total


def _drawn_softly(scores, temperature, u):
    soft = _softened(scores, temperature)
    left, actions = u * _in_order(soft), np.zeros(len(soft), dtype=np.int64)
    going = np.ones(len(soft), dtype=bool)
    for column in soft.T[:-1]:
        going &= left >= column
        left = np.where(going, left - column, left)
        actions += going
    return actions


def _picked(choices, u):
    """Return for each row one of the columns that are true, all with the same probability."""
    number = (u * choices.sum(axis=1)).astype(np.int64)
    return (choices.cumsum(axis=1) > number[:, None]).argmax(axis=1)
