"""What neighbours predict (Koren 2010): by how much those most alike are above or below their baselines.

The deviation of user u's rating of item i from its baseline b_ui = mu + b_u + b_i is taken to be

- item-based: sum_j s_ij w_uj (r_uj - b_uj) / (damping + sum_j |s_ij| w_uj), over the k items j most similar to i of
  those that u rated
- user-based: sum_v s_uv w_vi (r_vi - b_vi) / (damping + sum_v |s_uv| w_vi), over the k users v most similar to u of
  those who rated i

and 0 where there is none. For implicit feedback the sum alone counts, and no baseline. Either way a *state* is all
that is known of a user: their deviations from the baseline, or their similarities to the known users.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from skml import _kernels
from skml.recommendation.ratings import Ratings
from skml.recommendation.slices import threads_for, work_slices

_TERMS_PER_CALL = 3e7  # per thread: below half a second
_PER_TERM = 5  # multiplications that take as long as a term


@dataclass(frozen=True)
class Vote:
    """How neighbours are heard.

    Attributes
    ----------
    n_neighbors : int
        How many speak at most, the most similar (by absolute value) first, of equal ones the lower.
    mean : bool
        Whether the result is their mean, weighted by absolute similarities, or their sum.
    damping : float
        Similarity with which the baseline itself speaks in the mean.
    """

    n_neighbors: int = 40
    mean: bool = True
    damping: float = 0.0


@dataclass(frozen=True)
class Neighborhood:
    """Who speaks on which target.

    Attributes
    ----------
    links : Ratings
        A row per neighbour: the targets it speaks on.
    back : Ratings
        The same by target.
    state_says : bool
        Whether states hold opinions and `links` similarities (item-based), or the other way round (user-based).
    vote : Vote
        How they are heard.
    """

    links: Ratings
    back: Ratings
    state_says: bool
    vote: Vote

    @property
    def n_targets(self):
        """The number of items."""
        return self.back.n_rows

    @property
    def n_neighbors(self):
        """The number of those that may speak."""
        return self.links.n_rows


def item_neighborhood(similar, vote):
    """Return the item-based neighbourhood; its states are deviations by user.

    Parameters
    ----------
    similar : csr_array of shape (n_items, n_items)
        In row i what is similar to item i.
    vote : Vote
        How neighbours are heard.

    Returns
    -------
    neighborhood : Neighborhood
        With a transposed copy of `similar`.
    """
    return Neighborhood(Ratings.of_matrix(sp.csr_array(similar.T)), Ratings.of_matrix(similar), True, vote)


def user_neighborhood(opinions, vote):
    """Return the user-based neighbourhood; its states are similarities to the known users.

    Parameters
    ----------
    opinions : Ratings
        Deviations of the known users' ratings, by user.
    vote : Vote
        How neighbours are heard.

    Returns
    -------
    neighborhood : Neighborhood
        With a copy of `opinions` by item.
    """
    return Neighborhood(opinions, opinions.flipped()[0], False, vote)


def baseline_of(mean, user_bias, item_bias):
    """Return the baseline b_ui = mu + b_u + b_i of pairs, or by broadcasting of users and items.

    Parameters
    ----------
    mean : float
        The mean rating mu.
    user_bias, item_bias : ndarray
        Broadcast against each other.

    Returns
    -------
    baseline : ndarray
        Of the biases' type.
    """
    return user_bias + item_bias + user_bias.dtype.type(mean)


def deviations(ratings, mean, user_bias, item_bias):
    """Return interactions with what the baseline leaves of their ratings.

    Parameters
    ----------
    ratings : Ratings
        Interactions by user.
    mean : float
        The mean rating mu.
    user_bias : ndarray of shape (n_users,)
        How far above it users rate.
    item_bias : ndarray of shape (n_items,)
        How far above it items are rated.

    Returns
    -------
    opinions : Ratings
        r_ui - b_ui, of the ratings' type.
    """
    baseline = baseline_of(mean, user_bias[ratings.rows()], item_bias[ratings.indices])
    return ratings.with_data((ratings.data - baseline).astype(ratings.data.dtype, copy=False))


def predict_pairs(states, neighborhood, rows, targets, n_threads=1):
    """Return what neighbours say of pairs of a state and a target.

    Parameters
    ----------
    states : Ratings
        A row per state.
    neighborhood : Neighborhood
        Who speaks.
    rows, targets : ndarray of shape (n_pairs,), int32
        The pairs.
    n_threads : int, default=1
        It does not show in the result.

    Returns
    -------
    said : ndarray of shape (n_pairs,)
        Deviations from the baseline, of the states' type.
    """
    said = np.empty(len(rows), dtype=states.data.dtype)
    a, back = states.arrays(), neighborhood.back.arrays()
    work = np.diff(a[0]).astype(np.float64)[rows] + np.diff(back[0])[targets] + 10
    n_threads = threads_for(_PER_TERM * work.sum(), n_threads)
    for part in work_slices(work, _TERMS_PER_CALL * n_threads):
        pairs = (neighborhood.n_neighbors, rows[part], targets[part])
        _kernels.similarity.say_pairs(*a, *back, *pairs, *_rule(neighborhood), said[part], n_threads)
    return said


def predict_rows(states, neighborhood, n_threads=1):
    """Return what neighbours say of every target; the same bits as :func:`predict_pairs`.

    Parameters
    ----------
    states : Ratings
        A row per state.
    neighborhood : Neighborhood
        Who speaks.
    n_threads : int, default=1
        It does not show in the result.

    Returns
    -------
    said : ndarray of shape (n_states, n_items)
        Deviations from the baseline, of the states' type.
    """
    a, links, back = (part.arrays() for part in (states, neighborhood.links, neighborhood.back))
    said = np.empty((states.n_rows, neighborhood.n_targets), dtype=states.data.dtype)
    work = _row_work(a, links, back, neighborhood)
    n_threads = threads_for(_PER_TERM * work.sum(), n_threads)
    for part in work_slices(work, _TERMS_PER_CALL * n_threads):
        _kernels.similarity.say_rows(*a, *links, *back, *_rule(neighborhood), part.start, said[part], n_threads)
    return said


def predict_items(states, neighborhood, targets, n_threads=1):
    """Return what neighbours say of some targets.

    Parameters
    ----------
    states : Ratings
        A row per state.
    neighborhood : Neighborhood
        Who speaks.
    targets : ndarray of shape (n_targets,), int32
        The items asked for.
    n_threads : int, default=1
        It does not show in the result.

    Returns
    -------
    said : ndarray of shape (n_states, n_targets)
        Deviations from the baseline, of the states' type.
    """
    rows, n_states = np.repeat(np.arange(states.n_rows, dtype=np.int32), len(targets)), states.n_rows
    pairs = rows, np.tile(targets, n_states)
    return predict_pairs(states, neighborhood, *pairs, n_threads).reshape(n_states, len(targets))


def reasons(states, neighborhood, row, target):
    """Return who speaks on a target, and what each adds to the prediction.

    Parameters
    ----------
    states : Ratings
        A row per state.
    neighborhood : Neighborhood
        Who speaks.
    row, target : int
        The state and the item.

    Returns
    -------
    codes : ndarray of shape (n_speaking,), int32
        Items that the user rated (item-based), or users who rated the item (user-based), ascending.
    contributions : ndarray of shape (n_speaking,)
        float64; they add up to what :func:`predict_pairs` gives.
    """
    vote = neighborhood.vote
    codes, a, v = _row(states, row)
    others, b, w = _row(neighborhood.back, target)
    codes, at, to = np.intersect1d(codes, others, assume_unique=True, return_indices=True)
    products, weights = a[at] * b[to], v[at] * w[to]
    similar = np.abs(b[to] if neighborhood.state_says else a[at])
    kept = np.sort(np.argsort(-similar, kind="stable")[: vote.n_neighbors])
    total = (similar[kept] * weights[kept]).sum() + vote.damping if vote.mean else 1.0
    return codes[kept], products[kept] * weights[kept] / (total if len(kept) else 1.0)


def _row(ratings, row):
    """Return the codes, values and weights of a row."""
    indptr, indices, data, weights = ratings.arrays()
    part = slice(indptr[row], indptr[row + 1])
    values = data[part].astype(np.float64)
    return indices[part], values, weights[part].astype(np.float64) if len(weights) else np.ones(len(values))


def _rule(neighborhood):
    vote = neighborhood.vote
    return vote.n_neighbors, vote.mean, vote.damping, neighborhood.state_says


def _row_work(states, links, back, neighborhood):
    """Return the terms that each state adds up; where more than k may speak, some targets are asked one by one."""
    n_targets, lengths = neighborhood.n_targets, np.diff(states[0])
    terms = np.append(0, np.cumsum(np.diff(links[0])[states[1]], dtype=np.float64))
    terms = np.diff(terms[states[0]])
    again = n_targets * (lengths + len(back[1]) / max(1, n_targets) + 10.0)
    return terms + n_targets + np.where(lengths > neighborhood.vote.n_neighbors, again, 0)
