"""Twin of seeding.pyx: content hashes, candidate centres, and sparse distances, in plain NumPy."""

import numpy as np

_STEP, _MIX = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)


def _mixed(z):
    for _ in range(2):
        z = (z ^ (z >> np.uint64(32))) * _MIX
    return z ^ (z >> np.uint64(32))


def _entry_hashes(values, columns, coarse):
    values = values.astype(np.float32) if coarse else values
    bits = values.view(np.uint32 if values.dtype == np.float32 else np.uint64).astype(np.uint64)
    bits = np.where(np.isnan(values), np.uint64(0x7FC00000), bits)
    hashes = _mixed(bits + (columns.astype(np.uint64) + np.uint64(1)) * _STEP)
    return np.where(values == 0, np.uint64(0), hashes)


def hash_rows(X, coarse, hashes, n_threads):
    """Write a 64-bit hash of each row's values; zeros of either sign count as absent, any NaN as the same."""
    if len(hashes) != len(X):
        raise ValueError(f"hashes has {len(hashes)} entries for {len(X)} rows.")
    entries = _entry_hashes(np.ascontiguousarray(X), np.arange(X.shape[1])[None, :], coarse)
    hashes[:] = _mixed(entries.sum(axis=1, dtype=np.uint64))


def hash_sparse_rows(data, indices, indptr, n_columns, coarse, hashes, n_threads):
    """Write the hash of each CSR row (without duplicate entries): that of its dense twin."""
    _check_structure(data, indices, indptr, n_columns)
    if len(hashes) != len(indptr) - 1:
        raise ValueError(f"hashes has {len(hashes)} entries for {len(indptr) - 1} rows.")
    running = np.append(np.uint64(0), np.cumsum(_entry_hashes(data, indices, coarse), dtype=np.uint64))
    hashes[:] = _mixed(running[indptr[1:]] - running[indptr[:-1]])


def try_centers(X, weights, closest, candidates, fill, unit, trial, total, n_threads):
    """Try several new centres in one pass over X; the totals are integers, so the rows' order cannot show."""
    if not len(X) == len(weights) == len(closest) == trial.shape[1] or len(trial) != len(candidates):
        raise ValueError("X, weights, closest, candidates, fill, trial and total disagree in shape.")
    for c, candidate in enumerate(candidates):
        gaps = np.nan_to_num(X - candidate) if len(fill) else X - candidate
        squared = np.einsum("ij,ij->i", gaps, gaps) * (fill if len(fill) else X.dtype.type(1))
        trial[c] = np.minimum(closest, squared)
        total[c] = np.floor(trial[c].astype(np.float64) * (weights * unit) + 0.5).astype(np.int64).sum()


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
