"""Rows cut into slices, so that no call of a kernel takes long."""

import numpy as np

CALL_WORK = 2e8  # multiplications in one call of a kernel: well below half a second on one thread
_LEAST_WORK = 2e6  # multiplications of a call that is worth other threads: about half a millisecond


def threads_for(work, n_threads):
    """Return the threads for a call of so many multiplications: one where others would take longer to begin."""
    return n_threads if work > _LEAST_WORK else 1


def work_slices(work, limit):
    """Yield slices that cover all rows, the work of each at most `limit` unless it is a single row.

    Parameters
    ----------
    work : ndarray of shape (n_rows,)
        What each row takes.
    limit : float
        What a slice may take.

    Yields
    ------
    rows : slice
        Consecutive, non-empty.
    """
    done, start = np.cumsum(work, dtype=np.float64), 0
    while start < len(work):
        before = done[start - 1] if start else 0.0
        stop = max(start + 1, int(np.searchsorted(done, before + limit, side="right")))
        yield slice(start, stop)
        start = stop


def row_slices(indptr, per_entry, per_row=16.0):
    """Return slices of compressed rows, each of no more work than one call should do unless it is a single row.

    Parameters
    ----------
    indptr : ndarray of shape (n_rows + 1,)
        Where rows begin.
    per_entry, per_row : float
        Multiplications for an entry, and for a row.

    Returns
    -------
    slices : list of slice
        They cover all rows.
    """
    return list(work_slices(np.diff(indptr) * float(per_entry) + per_row, CALL_WORK))
