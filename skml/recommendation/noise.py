"""How much of the spread of ratings is noise: what their largest singular values leave over."""

import math
from dataclasses import replace

import numpy as np

from skml.recommendation.completion import svd_start
from skml.recommendation.ratings import power_of_two

_ROUNDS = 10
_N_VALUES = 12  # singular values that are looked at
_LEAST = 0.2  # of the deviation: where signal is all there is, what is missing still is to be shrunk


def noise_deviation(ratings, n_threads=1):
    """Return an estimate of the standard deviation of the noise of ratings.

    Errors are divided by the roots of the numbers of ratings of their user and item. What has no structure then has
    entries of variance v / N each, N being the number of ratings (of weights w, sum(w)^2 / sum(w^2)), however
    popularity is spread, and singular values up to ``sqrt(v / N) (sqrt(n) + sqrt(m))``; a structure of singular value s
    is seen as x, with (Benaych-Georges and Nadakuditi 2012, t = v / N)::

        x^2 = (s^2 + t n) (s^2 + t m) / s^2

    and the squares s^2 sum to its part of the variance. v is the variance less that of the structure times the share of
    pairs that are known: where few are, not to know the others is noise too.

    Parameters
    ----------
    ratings : Ratings
        By user.
    n_threads : int, default=1
        It does not show in the result.

    Returns
    -------
    deviation : float
        From a fifth of the ratings' own one to all of it, in their units; 0 where they are all the same. The units of
        weights do not matter.
    """
    n, m, dtype = ratings.n_rows, ratings.n_columns, ratings.data.dtype
    errors = ratings.data - dtype.type(np.average(ratings.data, weights=ratings.weights))
    if not errors.any():
        return 0.0
    deviation, weights = ratings.with_data(errors).scale, ratings.filled_weights()
    ratings = replace(ratings, weights=weights / dtype.type(power_of_two(weights)))
    sums = ratings.row_weights(), ratings.column_weights()
    users, items = ((1 / np.sqrt(np.where(of > 0, of, 1))).astype(dtype) for of in sums)
    errors = errors / dtype.type(deviation) * ratings.weights * users[ratings.rows()] * items[ratings.indices]
    n_entries = float(sums[0].sum()) ** 2 / float(np.square(ratings.weights, dtype=np.float64).sum())
    scaled = replace(ratings, data=errors, weights=None)
    sides = svd_start(scaled, min(_N_VALUES, n, m), 0, n_threads=n_threads)[0]
    seen, structure = np.square(sides, dtype=np.float64).sum(axis=0) ** 2, 0.0
    for _ in range(_ROUNDS):
        t = max(1 - len(errors) / (n * m) * structure, _LEAST**2) / n_entries
        structure = min(_structure(seen, t, n, m), 1.0)
    return deviation * math.sqrt(max(1 - structure, _LEAST**2))


def _structure(seen, t, n, m):
    middle = seen - t * (n + m)
    root = middle**2 - 4 * t**2 * n * m
    return float(np.where((middle > 0) & (root > 0), middle + np.sqrt(np.maximum(root, 0)), 0.0).sum() / 2)
