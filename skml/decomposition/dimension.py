"""How many components: by explained variance, or by Minka's maximum of the evidence."""

import numpy as np
from scipy.special import gammaln


def by_explained_variance(ratios, fraction):
    """Return the least number of components that explain more than `fraction` of the variance.

    Parameters
    ----------
    ratios : ndarray of shape (n,)
        The share of each component, falling.
    fraction : float
        Between 0 and 1.

    Returns
    -------
    n_components : int
        At most n.
    """
    return min(int(np.searchsorted(np.cumsum(ratios), fraction, side="right")) + 1, len(ratios))


def by_evidence(explained_variance, n_samples):
    """Return the number of components with the largest evidence (Minka 2000, "Automatic choice of dimensionality").

    Parameters
    ----------
    explained_variance : ndarray of shape (n_features,)
        Of all components, falling.
    n_samples : float
        The number of observations.

    Returns
    -------
    n_components : int
        Between 1 and n_features - 1, or 1 where there is one feature.
    """
    evidence = [log_evidence(explained_variance, rank, n_samples) for rank in range(1, len(explained_variance))]
    return int(np.argmax(evidence)) + 1 if evidence else 1


def log_evidence(explained_variance, rank, n_samples):
    """Return the logarithm of the evidence for `rank` components, up to a constant (Minka 2000, equation 30).

    Parameters
    ----------
    explained_variance : ndarray of shape (n_features,)
        Of all components, falling.
    rank : int
        The number of components, from 1 to n_features - 1.
    n_samples : float
        The number of observations.

    Returns
    -------
    evidence : float
        Minus infinity where the last of the components has no variance.
    """
    d, k, N = len(explained_variance), rank, n_samples
    floor = 1e-15 * max(explained_variance[0], np.finfo(np.float64).tiny)
    if explained_variance[k - 1] < floor:
        return -np.inf
    m = d * k - k * (k + 1) / 2
    lam = explained_variance.astype(np.float64)
    v = max(lam[k:].sum() / (d - k), floor)
    # log p(U) = -k log 2 + sum_i [log Gamma((d - i + 1) / 2) - (d - i + 1) / 2 log pi]
    half = (d - np.arange(1, k + 1) + 1) / 2
    log_pU = -k * np.log(2) + np.sum(gammaln(half) - half * np.log(np.pi))
    # log |A| = sum_{i <= k} sum_{j > i} log[(1 / lam_j' - 1 / lam_i')(lam_i - lam_j) N], lam' being v after k
    smooth = np.where(np.arange(d) < k, lam, v)
    i, j = np.triu_indices(d, 1)
    i, j = i[i < k], j[i < k]
    with np.errstate(divide="ignore", invalid="ignore"):
        log_A = np.sum(np.log((1 / smooth[j] - 1 / smooth[i]) * (lam[i] - lam[j])) + np.log(N))
    return (
        log_pU
        - N / 2 * np.sum(np.log(lam[:k]))
        - N * (d - k) / 2 * np.log(v)
        + (m + k) / 2 * np.log(2 * np.pi)
        - log_A / 2
        - k / 2 * np.log(N)
    )
