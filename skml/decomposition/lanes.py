"""Lanes: the fixed parts in which rows or columns are worked through, several at a time.

Where the data is cut never depends on the number of threads, each part is worked on by one thread with BLAS limited
to one, and parts are summed in their order: so the bits of a result don't depend on threads either.
"""

import functools
import os
import threading
from concurrent.futures import ThreadPoolExecutor, wait

import numpy as np

from skml._kernels import blas_threads, n_threads

BLOCK_BYTES = 2**18  # half of a common second-level cache: a centred block is still there when it is multiplied
CALL_FLOPS = 4e9  # at most about a tenth of a second of products between two looks at Ctrl-C

_lane = threading.local()  # ``stop``: the event that ends the lane that this thread works on


class LaneStopped(Exception):
    """Another lane failed, or Ctrl-C: nobody waits for what this one makes."""


def lanes(size, n_lanes):
    """Return `n_lanes` slices (fewer if `size` is less) of nearly equal length that cover ``range(size)``."""
    n_lanes = max(1, min(n_lanes, size))
    edges = [size * i // n_lanes for i in range(n_lanes + 1)]
    return [slice(start, stop) for start, stop in zip(edges, edges[1:])]


def blocks(lane, size):
    """Yield consecutive slices of at most `size` that cover a lane, as long as its result is waited for."""
    stop = getattr(_lane, "stop", None)
    for start in range(lane.start, lane.stop, size):
        if stop is not None and stop.is_set():
            raise LaneStopped
        yield slice(start, min(start + size, lane.stop))


def block_rows(n_columns, itemsize, *, at_least=16):
    """Return how many rows of `n_columns` numbers make a block that stays in the cache."""
    return max(at_least, BLOCK_BYTES // max(1, n_columns * itemsize))


def in_lanes(work, parts):
    """Return ``[work(part) for part in parts]``, computed by as many threads as OpenMP may use.

    The caller is one of them: it takes parts as the others do, so that little work costs little more than its time.

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
        if threads <= 1 or hasattr(_lane, "stop"):
            return [work(part) for part in parts]
        return _Round(work, parts).done_by(threads)


class _Round:
    """Parts that several threads take in turn; the first error, or Ctrl-C, keeps them from taking more."""

    def __init__(self, work, parts):
        self.work, self.results = work, [None] * len(parts)
        self.left = list(enumerate(parts))[::-1]
        self.stop, self.errors = threading.Event(), []

    def done_by(self, threads):
        helpers = [_workers().submit(self.take) for _ in range(threads - 1)]
        try:
            self.take()
            wait([helper for helper in helpers if not helper.cancel()])
        except BaseException:  # Ctrl-C while others were still at it
            self.stop.set()
            wait([helper for helper in helpers if not helper.cancel()])
            raise
        if self.errors:
            raise self.errors[0]
        return self.results

    def take(self):
        _lane.stop = self.stop
        try:
            # NumPy's error state belongs to a thread: what the caller set does not reach the others.
            with np.errstate(over="ignore", invalid="ignore", under="ignore"):
                while not self.stop.is_set() and (taken := self._next()):
                    i, part = taken
                    self.results[i] = self.work(part)
        except BaseException as error:
            self.errors.append(error)
            self.stop.set()
        finally:
            del _lane.stop

    def _next(self):
        try:
            return self.left.pop()
        except IndexError:  # looking first whether there is one would leave time for another thread to take it
            return None


@functools.cache
def _workers():
    """Return the threads that help callers; starting some for each round would cost more than small rounds."""
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="skml-lane")


os.register_at_fork(after_in_child=_workers.cache_clear)
