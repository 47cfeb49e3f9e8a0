"""Twin of seeding.pyx: candidate centres, and sparse distances, in plain NumPy."""

import numpy as np


def try_centers(X, weights, closest, candidates, fill, unit, trial, total, n_threads):
    """Try several new centres in one pass over X; the totals are integers, so the rows' order cannot show."""
    if not len(X) == len(weights) == len(closest) == trial.shape[1] or len(trial) != len(candidates):
        raise ValueError("X, weights, closest, candidates, fill, trial and total disagree in shape.")
    for c, candidate in enumerate(candidates):
        gaps = np.nan_to_num(X - candidate) if len(fill) else X - candidate
        squared = np.einsum("ij,ij->i", gaps, gaps) * (fill if len(fill) else X.dtype.type(1))
        trial[c] = np.minimum(closest, squared)
        total[c] = np.rint(trial[c].astype(np.float64) * (weights * unit)).astype(np.int64).sum()


def sparse_distances(data, indices, indptr, transposed, norms, squared, n_threads):
    """Write the squared distances of CSR rows to dense centres."""
    _check_structure(data, indices, indptr, len(transposed))
    if squared.shape != (len(indptr) - 1, transposed.shape[1]) or len(norms) != transposed.shape[1]:
        raise ValueError("X, transposed, norms and squared disagree in shape.")
    for i, (begin, end) in enumerate(zip(indptr[:-1], indptr[1:])):
        values = data[begin:end].astype(np.float64)
        squared[i] = np.maximum(values @ values - 2 * (values @ transposed[indices[begin:end]]) + norms, 0)


def _check_structure(data, indices, indptr, n_columns):
    sound = len(indptr) and indptr[0] == 0 and indptr[-1] == len(data) == len(indices) and np.all(np.diff(indptr) >= 0)
    if not sound or (len(indices) and not 0 <= indices.min() <= indices.max() < n_columns):
        raise ValueError("indptr, indices and data are not those of a CSR matrix.")
