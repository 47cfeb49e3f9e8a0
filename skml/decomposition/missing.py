"""Missing entries: probabilistic PCA by expectation maximization over what is observed.

The model is ``x = mean + W z + noise`` with ``z ~ N(0, I)`` (Tipping & Bishop 1999). Of each row only the observed
entries O enter (Ilin & Raiko 2010)::

    M = W_O' W_O + noise I        z ~ N(M^-1 W_O' (x_O - mean_O), noise M^-1)    given x_O
"""

import zlib
from typing import NamedTuple

import numpy as np

from skml._kernels import blas_threads
from skml.base import Step, require_memory
from skml.decomposition.lanes import blocks, in_lanes, lanes
from skml.decomposition.magnitude import direct_axes
from skml.decomposition.spectral import Options, Spectrum, finished, rounding

CHUNK_NUMBERS = 2**19  # numbers in the largest temporary of a chunk of rows
NOISE_FLOOR = 1e-10  # relative to the mean variance: noise of zero would leave rows with few entries undetermined


class Factors(NamedTuple):
    """Parameters of the model, and what is behind them: likelihood, iterations, the last gain, on which data."""

    mean: np.ndarray
    W: np.ndarray
    noise: float
    log_likelihood: float = -np.inf
    n_iter: int = 0
    gain: float = np.inf
    data: int = 0


class Posterior(NamedTuple):
    """What the observed entries of some rows tell about their z."""

    z: np.ndarray
    inverse: np.ndarray
    log_density: np.ndarray
    centred: np.ndarray
    observed: np.ndarray


def informative_rows(X, weights):
    """Return the rows that have an entry, and their weights; raise a ValueError for an empty column."""
    weights = np.ones(len(X)) if weights is None else weights
    observed = ~np.isnan(X)
    keep = observed.any(axis=1)
    empty = np.flatnonzero(~observed[keep].any(axis=0))
    if len(empty):
        raise ValueError(
            f"Input X has no value but NaN in column {empty[0]}; drop such columns first (there are {len(empty)})."
        )
    if np.count_nonzero(keep) < 2:
        raise ValueError("Input X has 1 sample with values other than NaN; PCA needs at least 2.")
    return X[keep], weights[keep]


def refuse_extremes(X):
    """Raise a ValueError if the known entries of X are too large or too small to be squared and summed."""
    largest = float(np.nanmax(np.abs(X)))
    if largest > 1e100 or 0 < largest < 1e-100:
        raise ValueError(
            f"The largest entry of X is {largest:g}; with missing values it must lie between 1e-100 and 1e100: "
            "multiply X by a constant first."
        )


def constant_columns(X):
    """Return the values of the columns if no known entry differs from another of its column, else None."""
    low, high = np.nanmin(X, axis=0), np.nanmax(X, axis=0)
    return low if np.array_equal(low, high) else None


def fingerprint(X, weights):
    """Return a number that tells whether a later fit goes on with the same data."""
    return zlib.crc32(weights.tobytes(), zlib.crc32(np.ascontiguousarray(X)))


def iteration_done(factors, data, tol, max_iter):
    """Tell whether the iterations behind `factors` have ended on this data already."""
    return factors.data == data and (factors.gain < tol or factors.n_iter >= max_iter)


@blas_threads(1)
def first_factors(X, weights, k):
    """Return a start: the principal axes of the data with column means in the gaps.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        The data; NaN is missing, no column is all NaN.
    weights : ndarray of shape (n_samples,)
        Of the rows.
    k : int
        The size of z, at most ``min(n_samples, n_features) - 1``.

    Returns
    -------
    factors : Factors
        With a noise that is not zero.
    """
    observed = ~np.isnan(X)
    filled = np.where(observed, X, 0).astype(np.float64)
    mean = (weights @ filled) / (weights @ observed)
    filled = np.where(observed, filled, mean)
    spectrum = direct_axes(filled, np.sqrt(weights), k, "full", Options())
    variances = spectrum.singular_values**2 / weights.sum()
    left = max(0.0, spectrum.total / weights.sum() - variances.sum())
    floor = NOISE_FLOOR * spectrum.total / weights.sum() / X.shape[1]
    noise = max(left / (X.shape[1] - k), floor)
    W = spectrum.components.T * np.sqrt(np.maximum(variances - noise, noise))
    return Factors(mean, W, noise)


def triangles(Z):
    """Return the upper triangle of ``z z'`` for each row z, row by row: half of what the squares would take."""
    n_rows, size = Z.shape
    packed, start = np.empty((n_rows, size * (size + 1) // 2)), 0
    for i in range(size):
        np.multiply(Z[:, i : i + 1], Z[:, i:], out=packed[:, start : start + size - i])
        start += size - i
    return packed


def symmetric(packed, size):
    """Return the matrices of shape (size, size) whose upper triangles are packed in rows."""
    upper = np.triu_indices(size)
    full = np.empty((len(packed), size, size))
    full[:, upper[0], upper[1]] = packed
    full[:, upper[1], upper[0]] = packed
    return full


def loading_products(W):
    """Return the :func:`triangles` of the rows of W, if there is memory for them."""
    n_features, k = W.shape
    require_memory(4 * n_features * k * (k + 1), "The products of loadings")
    return triangles(W)


@blas_threads(1)
def posterior(X, factors, products):
    """Return the Posterior of z for some rows.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
        The rows; NaN is missing.
    factors : Factors
        The model.
    products : ndarray of shape (n_features, k * (k + 1) / 2)
        Its :func:`loading_products`.

    Returns
    -------
    posterior : Posterior
        ``inverse`` is M^-1, of shape (n_rows, k, k).
    """
    W, noise, k = factors.W, factors.noise, factors.W.shape[1]
    observed = ~np.isnan(X)
    D = np.where(observed, X - factors.mean, 0.0)
    known = observed.astype(np.float64)
    M = symmetric(known @ products, k) + noise * np.eye(k)
    inverse = np.linalg.inv(M)
    projected = D @ W
    z = np.einsum("nij,nj->ni", inverse, projected)
    n_known = known.sum(axis=1)
    distance = ((D * D).sum(axis=1) - (projected * z).sum(axis=1)) / noise
    log_determinant = (n_known - k) * np.log(noise) + np.linalg.slogdet(M)[1]
    log_density = -0.5 * (distance + log_determinant + n_known * np.log(2 * np.pi))
    return Posterior(z, inverse, log_density, D, known)


def _row_chunk(n_features, k):
    return max(1, CHUNK_NUMBERS // max(n_features, (k + 1) ** 2))


def _expectations(X, weights, factors):
    """Return the sums over rows that the maximization needs, in a fixed order; matrices as :func:`triangles`."""
    n_features, k = factors.W.shape
    width = (k + 1) * (k + 2) // 2
    n_lanes = 4 if n_features * width <= 2**20 else 2  # each has sums of its own
    require_memory(8 * n_lanes * n_features * width, "Least squares for each feature")
    products = loading_products(factors.W)
    upper, (row, column) = np.triu_indices(k + 1), np.triu_indices(k)
    inner = upper[1] < k

    def one_lane(lane):
        A, b, c = np.zeros((n_features, width)), np.zeros((n_features, k + 1)), np.zeros(n_features)
        total, log_likelihood = np.zeros(width), 0.0
        for rows in blocks(lane, _row_chunk(n_features, k)):
            q, w = posterior(X[rows], factors, products), weights[rows]
            z1 = np.column_stack([q.z, np.ones(len(w))])
            moments = triangles(z1)  # E[(z, 1)(z, 1)']
            moments[:, inner] += factors.noise * q.inverse[:, row, column]
            A += (q.observed * w[:, None]).T @ moments
            b += (q.centred * w[:, None]).T @ z1
            c += (q.centred**2 * w[:, None]).sum(axis=0)
            total += w @ moments
            log_likelihood += float(w @ q.log_density)
        return [A, b, c, total, log_likelihood]

    sums, *others = in_lanes(one_lane, lanes(len(X), n_lanes))
    for part in others:
        for i, value in enumerate(part):
            sums[i] += value
    return sums


@blas_threads(1)
def _maximized(factors, sums, sum_of_weights, n_known, floor):
    """Return the Factors that maximize the expected likelihood.

    Afterwards z is brought back to ``N(0, I)``, which saves many iterations (PX-EM, Liu, Rubin & Wu 1998).
    """
    A, b, c, total, log_likelihood = sums
    n_features, k = factors.W.shape
    solution = np.empty_like(b)
    for some in blocks(slice(0, n_features), _row_chunk(1, k)):
        # (W_j, change of mean_j) A_j = b_j
        solution[some] = np.linalg.solve(symmetric(A[some], k + 1), b[some, :, None])[:, :, 0]
    noise = max(float((c - (solution * b).sum(axis=1)).sum()) / n_known, floor)
    W, mean = solution[:, :k], factors.mean + solution[:, k]
    moments = symmetric(total[None], k + 1)[0] / sum_of_weights
    centre = moments[k, :k]
    spread = np.linalg.cholesky(moments[:k, :k] - np.outer(centre, centre))
    return Factors(mean + W @ centre, W @ spread, noise, log_likelihood, factors.n_iter + 1)


def em_steps(X, weights, factors, tol, max_iter):
    """Yield a Step after each iteration of expectation maximization.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        The data; NaN is missing. Each row and each column has an entry.
    weights : ndarray of shape (n_samples,)
        Of the rows.
    factors : Factors
        Where to start.
    tol : float
        Stop when an iteration gains less log-likelihood than this per observed entry.
    max_iter : int
        The last iteration, those behind `factors` counted.

    Yields
    ------
    step : Step
        Its state is a :class:`Factors` with the log-likelihood before its last change; its metrics the mean
        log-likelihood of a row and the noise.
    """
    observed, data = ~np.isnan(X), fingerprint(X, weights)
    n_known = float((weights * observed.sum(axis=1)).sum())
    floor = NOISE_FLOOR * float((np.nanvar(X, axis=0)).mean())
    last = False
    while not last:
        before = factors.log_likelihood
        factors = _maximized(factors, _expectations(X, weights, factors), weights.sum(), n_known, floor)
        factors = factors._replace(gain=(factors.log_likelihood - before) / n_known, data=data)
        last = iteration_done(factors, data, tol, max_iter)
        metrics = {"log_likelihood": factors.log_likelihood / weights.sum(), "noise_variance": factors.noise}
        yield Step(factors, metrics, last)


@blas_threads(1)
def spectrum_of(factors, sum_of_weights, k):
    """Return the Spectrum of the model's covariance matrix, with `k` components.

    Parameters
    ----------
    factors : Factors
        The model.
    sum_of_weights : float
        The number of observations.
    k : int
        The number of components; those beyond the size of z have the variance of the noise.

    Returns
    -------
    spectrum : Spectrum
        As if of complete data with that covariance.
    """
    n_features, size = factors.W.shape
    V, s = np.linalg.svd(factors.W, full_matrices=False)[:2]
    components, variances = np.zeros((k, n_features)), np.zeros(k)
    components[:size], variances[:size] = V.T[:k], s[:k] ** 2 + factors.noise
    total = float((s**2).sum() + n_features * factors.noise)
    filled = finished(factors.mean, components, np.sqrt(variances), total, rounding(V.shape))
    variances[size:] = factors.noise
    return Spectrum(factors.mean, filled.components, np.sqrt(variances * sum_of_weights), total * sum_of_weights)


def factors_of(mean, components, variances, noise):
    """Return the Factors of a fitted model: ``W = V.T sqrt(variances - noise)``.

    With all directions kept the noise is free to be as large as the least variance: the covariance stays the same.
    """
    variances = np.asarray(variances, np.float64)
    largest = max(variances.max(initial=0.0), float(noise)) or 1.0  # without any variance, any noise will do
    if len(components) == components.shape[1]:
        noise = variances.min(initial=largest)
    noise = max(float(noise), NOISE_FLOOR * largest)
    W = components.T.astype(np.float64) * np.sqrt(np.maximum(variances - noise, 0))
    return Factors(np.asarray(mean, np.float64), W, noise)


def completed(X, factors):
    """Yield slices of rows and those rows with missing entries replaced by their expectations.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        The rows; NaN is missing.
    factors : Factors
        The model.

    Yields
    ------
    rows : slice
        Which rows.
    filled : ndarray of shape (n_rows, n_features), float64
        Complete.
    """
    products = loading_products(factors.W)
    for rows in blocks(slice(0, len(X)), _row_chunk(*factors.W.shape)):
        q = posterior(X[rows], factors, products)
        with blas_threads(1):
            expected = q.z @ factors.W.T + factors.mean
        yield rows, np.where(q.observed > 0, X[rows], expected)


def log_density(X, factors):
    """Return the log-density of the observed entries of each row.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        The rows; NaN is missing.
    factors : Factors
        The model.

    Returns
    -------
    log_density : ndarray of shape (n_samples,)
        In nats; 0 for a row without entries.
    """
    chunks = list(blocks(slice(0, len(X)), _row_chunk(*factors.W.shape)))
    products = loading_products(factors.W)
    parts = in_lanes(lambda rows: posterior(X[rows], factors, products).log_density, chunks)
    return np.concatenate(parts)
