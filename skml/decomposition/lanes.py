"""Lanes: the fixed parts in which rows or columns are worked through, several at a time.

Where the data is cut never depends on the number of threads, each part is worked on by one thread with BLAS limited
to one, and parts are summed in their order: so the bits of a result don't depend on threads either.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from skml._kernels import blas_threads, n_threads

BLOCK_BYTES = 2**18  # half of a common second-level cache: a centred block is still there when it is multiplied
CALL_FLOPS = 4e9  # at most about a tenth of a second of products between two looks at Ctrl-C


def lanes(size, n_lanes):
    """Return `n_lanes` slices (fewer if `size` is less) of nearly equal length that cover ``range(size)``."""
    n_lanes = max(1, min(n_lanes, size))
    edges = [size * i // n_lanes for i in range(n_lanes + 1)]
    return [slice(start, stop) for start, stop in zip(edges, edges[1:])]


def blocks(lane, size):
    """Cut a lane into consecutive slices of at most `size`."""
    return [slice(start, min(start + size, lane.stop)) for start in range(lane.start, lane.stop, size)]


def block_rows(n_columns, itemsize, *, at_least=16):
    """Return how many rows of `n_columns` numbers make a block that stays in the cache."""
    return max(at_least, BLOCK_BYTES // max(1, n_columns * itemsize))


def in_lanes(work, parts):
    """Return ``[work(part) for part in parts]``, computed by as many threads as OpenMP may use.

    Parameters
    ----------
    work : callable
        Takes a part; it should spend its time in kernels and BLAS, which release the interpreter.
    parts : list
        What to work on.

    Returns
    -------
    results : list
        In the order of `parts`.
    """
    with blas_threads(1), np.errstate(over="ignore", invalid="ignore", under="ignore"):
        threads = min(n_threads(), len(parts))
        if threads <= 1:
            return [work(part) for part in parts]
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(_quiet(work), parts))


def _quiet(work):
    # NumPy's error state belongs to a thread: what the caller set does not reach the pool.
    def quiet(part):
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            return work(part)

    return quiet
