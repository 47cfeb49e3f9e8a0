"""Stand-in until the PCA core is there."""

import numpy as np
import scipy.sparse as sp


def principal_directions(X, weights, n_components, random_state):
    X = X.toarray() if sp.issparse(X) else X
    w = np.full(len(X), 1 / len(X)) if weights is None else weights / weights.sum()
    mean = w @ X
    E = X - mean
    if not np.isfinite(np.sum(E**2)):
        return mean, E, E, np.inf
    _, s, Vt = np.linalg.svd(np.sqrt(w)[:, None] * E, full_matrices=False)
    Vt = Vt * np.sign(Vt[np.arange(len(Vt)), np.abs(Vt).argmax(1)])[:, None]
    return mean, Vt[:n_components].astype(X.dtype), s[:n_components] ** 2, float((s**2).sum())
