"""Margins of votes, and what they say about rows not seen (Schapire, Freund, Bartlett and Lee 1998)."""

import numpy as np


def margins_of(votes, y, total):
    """Return the margins of rows: the votes for the true class less the most for another, over all votes.

    Parameters
    ----------
    votes : ndarray of shape (n_samples, n_classes)
        The votes for each class.
    y : ndarray of shape (n_samples,), int
        The true classes.
    total : float or ndarray of shape (n_samples,)
        The sum of all votes.

    Returns
    -------
    margins : ndarray of shape (n_samples,)
        In [-1, 1]; 0 where there are no votes.
    """
    others, each = votes.copy(), np.arange(len(y))
    others[each, y] = -np.inf
    margins = votes[each, y] - others.max(axis=1)
    margins = np.divide(margins, total, out=np.zeros_like(margins), where=np.asarray(total) > 0)
    return np.clip(margins, -1, 1)


def log_growth(n_samples, n_features, max_depth):
    """Return the logarithm of a bound on how many ways trees can tell rows apart into two classes.

    Parameters
    ----------
    n_samples, n_features : int
        The size of the data.
    max_depth : int
        The most splits between the root and a leaf.

    Returns
    -------
    log_growth : float
        Of (2 p (m + 1))^(L - 1) 2^L with L = min(2^depth, m) leaves, for more would be empty: per split a feature, one
        of m + 1 places for the threshold, and the side of missing values; per leaf a class.
    """
    leaves = float(min(2 ** min(max_depth, 62), n_samples))
    return (leaves - 1) * np.log(2 * n_features * (n_samples + 1)) + leaves * np.log(2)


def schapire_bound(margins, theta, delta, log_ways):
    """Return the bound of theorem 2 on the error of a vote, its constants written out.

    Parameters
    ----------
    margins : ndarray of shape (n_samples,)
        Of the training rows.
    theta : float
        A margin above 0.
    delta : float
        The probability that the bound may fail with.
    log_ways : float
        The logarithm of how many ways members can tell the training rows apart.

    Returns
    -------
    bound : float
        ``P_S[margin <= theta] + min_N (2 exp(-N theta^2 / 8) + eps_N)``.
    """
    m, most = len(margins), int(np.ceil(8 / theta**2 * np.log(8 * len(margins) + 8))) + 1
    N = np.unique(np.geomspace(1, most, 2000).astype(np.int64)).astype(np.float64)
    # A vote drawn N times from the committee's is one of (N + 1) ways^N; each fails with delta / (N (N + 1)).
    log_ways_of_N = np.log(N + 1) + N * log_ways + np.log(8 * N * (N + 1) / delta)
    apart = 2 * np.exp(-N * theta**2 / 8) + np.sqrt(32 / m * log_ways_of_N)
    return float(np.mean(margins <= theta) + apart.min())
