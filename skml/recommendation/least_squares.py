"""Factors of one side given those of the other: many small ridge regressions, one per row of interactions."""

from dataclasses import dataclass, replace

import numpy as np

from skml import _kernels
from skml.recommendation.ratings import Ratings
from skml.recommendation.slices import row_slices

_BLOCK = 512  # rows whose products are summed in the precision of the factors


@dataclass(frozen=True)
class RowProblems:
    """Ridge regressions that share their design: the rows of the other side.

    Row r minimises ``1/2 sum w (t - q'x)^2 + 1/2 s_r sum_j ridge_j (x_j - m_rj)^2`` over its interactions. With
    confidences c instead (`implicit`), ``1/2 sum_all c (t - q'x)^2`` with t = c = 1 where stored, t = 0 elsewhere.

    Attributes
    ----------
    ratings : Ratings
        The targets, or the confidences, by row.
    ridge : ndarray of shape (k,)
        Of the targets' type.
    scales : ndarray of shape (n_rows,) or None
        s_r; None means 1.
    implicit : bool
        Whether `ratings` holds confidences.
    n_threads : int
        Threads to use; no result depends on it.
    """

    ratings: Ratings
    ridge: np.ndarray
    scales: np.ndarray | None = None
    implicit: bool = False
    n_threads: int = 1

    def solve(self, others, found, *, shift=None, gram=None, prior=None, steps=0, losses=None):
        """Solve all rows.

        Parameters
        ----------
        others : ndarray of shape (n_columns, K)
            The rows of the other side, as :func:`skml.recommendation.padding.padded` gives them.
        found : ndarray of shape (n_rows, K)
            Is written; conjugate gradients start from what it holds.
        shift : ndarray of shape (n_columns,) or None
            What is taken from the targets of a column.
        gram : ndarray of shape (K, K) or None
            others' others, where the problem is implicit.
        prior : ndarray of shape (n_rows, K) or None
            Where the ridge draws to: m.
        steps : int, default=0
            Of conjugate gradients; 0 means exactly, by Cholesky.
        losses : ndarray of shape (n_rows,), float64, or None
            Is written: twice the first sum; if implicit, without sum_all (q'x)^2.
        """
        ratings, dtype = self.ratings, found.dtype
        none, nothing = np.empty(0, dtype), np.empty((0, found.shape[1]), dtype)
        given = *ratings.arrays(), others, _or(shift, none), _or(gram, nothing), self.ridge
        given += _or(self.scales, none), _or(prior, nothing), steps
        losses = np.empty(0) if losses is None else losses
        for rows in row_slices(ratings.indptr, *_work(found.shape[1], steps)):
            _kernels.normal.solve_rows(*given, rows.start, rows.stop, found, losses, self.n_threads)


def _or(array, otherwise):
    return otherwise if array is None else array


def _work(width, steps):
    """Return what an entry and a row take, in the time of a multiplication, of which vectors do many at once."""
    return (0.2 * width * (steps + 1), width**2) if steps else (0.05 * width**2, 0.02 * width**3)


def solve_rows(ratings, vectors, offsets, quadratic, own, *, nonnegative=False, n_threads=1):
    """Overwrite `own` by the exact minimiser of each row's ``1/2 sum w (r - offset - x'z)^2`` and a penalty.

    Unlike :class:`RowProblems` in double precision whatever the type, so that no penalty need keep the equations
    from being nearly singular; the penalty may be any quadratic form, and coefficients may have to be 0 or more.

    Parameters
    ----------
    ratings : Ratings
        The interactions by row.
    vectors : ndarray of shape (n_columns, K)
        What the rows' coefficients are multiplied with.
    offsets : ndarray of shape (n_columns,)
        What is subtracted from the ratings of a column first.
    quadratic : (ndarray of shape (K, K), ndarray of shape (K,), ndarray of shape (n_rows,))
        A, c and s of the rows' penalty ``z'Az / 2 + s z'diag(c)z / 2``.
    own : ndarray of shape (n_rows, K)
        Where to start and, afterwards, the solution; in the type of the ratings, as vectors and offsets.
    nonnegative : bool, default=False
        Whether no coefficient may be negative.
    n_threads : int, default=1
        It does not show in the result.
    """
    K = vectors.shape[1]
    base, charges, scales = (np.ascontiguousarray(part, dtype=np.float64) for part in quadratic)
    arrays = (*ratings.arrays(), np.ascontiguousarray(vectors), offsets, base, charges, scales, own)
    for rows in row_slices(ratings.indptr, K * K + 8, K**3 / 6 + (64 * K * K if nonnegative else 16)):
        _kernels.coordinate.solve_rows(*arrays, nonnegative, rows.start, rows.stop, n_threads)


def gram_matrix(rows):
    """Return rows' rows in float64, summed block by block; the same bits for any number of threads."""
    total = np.zeros((rows.shape[1], rows.shape[1]))
    with _kernels.blas_threads(1):
        for start in range(0, len(rows), _BLOCK):
            part = rows[start : start + _BLOCK]
            total += part.T @ part
    return total


def column_squares(rows, scales=None):
    """Return ``sum_r s_r rows[r, j]^2`` for each column j, in float64; s = 1 where `scales` is None."""
    total = np.zeros(rows.shape[1])
    for start in range(0, len(rows), _BLOCK):
        part = rows[start : start + _BLOCK]
        scaled = part if scales is None else scales[start : start + _BLOCK, np.newaxis] * part
        total += np.einsum("ij,ij->j", scaled, part)  # no product of BLAS, whose bits depend on its threads
    return total


def weight_sums(ratings, implicit):
    """Return the sum of weights (of confidences, if implicit) per row, 1 where it is 0: scales of a ridge.

    Zhou, Wilkinson, Schreiber and Pan 2008 weigh the ridge of a user by the number of their ratings.
    """
    sums = (replace(ratings, weights=ratings.data) if implicit else ratings).row_weights()
    return np.where(sums > 0, sums, 1).astype(ratings.data.dtype)


_GOLDEN = 0x9E3779B97F4A7C15  # Steele, Lea and Flood 2014, SplitMix


def _mixed(z):
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def counted_noise(seed, n_rows, width, dtype):
    """Return uniform noise of mean 0 and mean squared length 1 of a row; row r depends on `seed` and r alone.

    Parameters
    ----------
    seed : int
        At least 0; taken modulo 2^64.
    n_rows, width : int
        The shape.
    dtype : dtype
        Of the result.

    Returns
    -------
    noise : ndarray of shape (n_rows, width)
        The first columns are, but for their scale, those of narrower noise.
    """
    noise = np.empty((n_rows, width), dtype)
    columns = np.arange(1, width + 1, dtype=np.uint64) * np.uint64(_GOLDEN)
    for start in range(0, n_rows, 4096):
        rows = np.arange(start + 1, min(start + 4096, n_rows) + 1, dtype=np.uint64)
        keys = _mixed(rows * np.uint64(_GOLDEN) + _mixed(np.array([seed % 2**64], np.uint64)))
        bits = _mixed(keys[:, None] + columns) >> np.uint64(11)
        noise[start : start + 4096] = (bits * 2.0**-53 - 0.5) * np.sqrt(12 / width)
    return noise
