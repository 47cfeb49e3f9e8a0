"""Early stopping of factorisations: interactions held out, and the factors that do best on them."""

from dataclasses import replace

import numpy as np

from skml.recommendation.ranking import ndcg_without, take_rows
from skml.recommendation.ratings import Ratings
from skml.recommendation.reconstruction import row_products, squared_error

_MOST_USERS = 2000  # that many users' rankings are looked at


def hold_out(ratings, fraction, seed):
    """Return ratings without a random part, and this part; every user and every item keeps one.

    Parameters
    ----------
    ratings : Ratings
        By user.
    fraction : float
        Of the interactions, between 0 and 1.
    seed : int
        Of the random numbers; the part depends on it and on where interactions are, not on what they say.

    Returns
    -------
    kept, held : Ratings
        Of the same shape.

    Raises
    ------
    ValueError
        If there is nothing that could be held out.
    """
    order = np.random.default_rng([seed, 3]).permutation(len(ratings.data))
    users, items = ratings.rows()[order], ratings.indices[order]
    needed = np.zeros(len(order), bool)
    for codes in (users, items):
        needed[np.unique(codes, return_index=True)[1]] = True
    held = np.zeros(len(order), bool)
    held[order[~needed][: round(fraction * len(order))]] = True
    if not held.any():
        raise ValueError(
            "early_stopping holds out interactions of users and items that have others, and there are none; "
            "set early_stopping=False, or raise validation_fraction."
        )
    return _part(ratings, ~held), _part(ratings, held)


def _part(ratings, mask):
    indptr = np.append(np.int32(0), np.cumsum(mask, dtype=np.int32))[ratings.indptr]
    weights = None if ratings.weights is None else ratings.weights[mask]
    return Ratings(indptr, ratings.indices[mask], ratings.data[mask], weights, ratings.n_columns)


def told_and_asked(ratings):
    """Return each row's ratings in two parts: what is told of a person, and what is then to be found, about a fifth.

    The choice is that of chance, but depends on nothing but the row's own items.

    Parameters
    ----------
    ratings : Ratings
        By user.

    Returns
    -------
    told, asked : Ratings
        Of the same shape. Nothing is asked of rows of a single item.
    """
    rows, counts = ratings.rows(), np.diff(ratings.indptr)
    marks = _mixed(ratings.indices.astype(np.uint64))
    sums = np.append(np.uint64(0), np.cumsum(marks))[ratings.indptr]
    marks = _mixed(marks + (sums[1:] - sums[:-1])[rows])
    order = np.lexsort((marks, rows))
    place = np.empty(len(order), np.intp)
    place[order] = np.arange(len(order)) - np.repeat(ratings.indptr[:-1], counts)
    asked = place < np.where(counts > 1, np.ceil(counts / 5), 0)[rows]
    return _part(ratings, ~asked), _part(ratings, asked)


def _mixed(numbers):
    """Return other 64-bit numbers in place of some, whose bits look like chance (Steele, Lea & Flood 2014)."""
    z = numbers + np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        z = (z ^ (z >> np.uint64(shift))) * np.uint64(factor)
    return z ^ (z >> np.uint64(31))


def error_on(held, n_threads):
    """Return a function of factors that gives the root mean squared error on held-out ratings."""
    total = held.total_weight

    def measure(factors):
        return np.sqrt(squared_error(held, factors, n_threads) / total)

    return measure


def ranking_on(held, kept, n_threads):
    """Return a function of factors that gives ndcg@10 for held-out items among those that have not been kept."""
    users = np.flatnonzero(np.diff(held.indptr))
    users = users[:: -(-len(users) // _MOST_USERS)]
    relevant, seen = take_rows(held, users), take_rows(kept, users)

    def measure(factors):
        def score(rows, candidates):
            return row_products(factors.users[users[rows]], factors.items, n_threads) + factors.item_bias

        return ndcg_without(score, relevant, seen, n_threads)

    return measure


def _is_less(name):
    return name == "validation_rmse"


def best_of(history, name):
    """Return the index of the sweep of a history whose factors :func:`watched` has kept."""
    values = np.array(history[name]) if _is_less(name) else np.negative(history[name])
    return int(np.argmin(np.where(np.isnan(values), np.inf, values)))


def waited(values, name, tol):
    """Return how many of the last sweeps have not bettered what was measured before."""
    least, count = np.inf, 0
    for value in values if _is_less(name) else np.negative(values):
        count = 0 if least == np.inf or value < least - tol * abs(least) else count + 1
        least = min(least, value)
    return count


def watched(steps, measure, name, patience, tol, so_far=((), None)):
    """Yield steps whose state is the best so far, and end when it has not been bettered for a while.

    Parameters
    ----------
    steps : iterator of Step
        States are Factors.
    measure : callable
        Of factors.
    name : str
        What it measures; of "validation_rmse" less is better, else more.
    patience : int
        So many steps in a row without a new best end it.
    tol : float
        What is no better by this part of the best is not new.
    so_far : (sequence of float, Factors or None)
        What earlier sweeps measured, of which the last was the best, and its factors.

    Yields
    ------
    step : Step
        With the measure among its metrics.
    """
    values, best = list(so_far[0]), so_far[1]
    for step in steps:
        values.append(float(measure(step.state)))
        if best is None or best_of({name: values}, name) == len(values) - 1:
            best = step.state
        last = step.last or waited(values, name, tol) >= patience
        yield replace(step, state=best, metrics={**step.metrics, name: values[-1]}, last=last)
        if last:
            return
