"""Work on one number after the other, several at a time, given back in order, and over soon where it is given up."""

import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor, wait

from skml import _kernels

_SECONDS = 0.1  # how long to wait without a look at signals


def in_order(function, numbers, n_threads):
    """Yield a function's results for numbers, in their order, computed side by side.

    Where an error or Ctrl-C ends it, kernels at work are stopped.

    Parameters
    ----------
    function : callable
        It lets go of the interpreter while it works.
    numbers : iterable of int
        What to call it with.
    n_threads : int
        How many at a time.

    Yields
    ------
    result : object
        Of each number.
    """
    if n_threads == 1:
        yield from map(function, numbers)
        return
    stop = threading.Event()

    def one(number):
        with _kernels.stoppable(stop):
            return function(number)

    pending, numbers = deque(), iter(numbers)
    with ThreadPoolExecutor(n_threads) as pool:
        try:
            for number in numbers:
                pending.append(pool.submit(one, number))
                if len(pending) > 2 * n_threads:
                    yield _result(pending.popleft())
            while pending:
                yield _result(pending.popleft())
        finally:
            stop.set()
            for future in pending:
                future.cancel()


def _result(future):
    """Return a future's result; Ctrl-C is seen also where another thread was given the signal."""
    while not wait([future], timeout=_SECONDS).done:
        pass
    return future.result()
