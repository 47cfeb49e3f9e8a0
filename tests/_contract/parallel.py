"""What an estimator gives with other numbers of threads, from many threads at once, and after a fork.

Usage: python parallel.py bits CLASS COUNT...   prints, per count and variant, a digest of the fitted model
       python parallel.py fork CLASS            fits before and after os.fork; exits with 0 if all is equal
       python parallel.py fit CLASS             prints the numbers of a small fit, for another build of the kernels
"""

import hashlib
import json
import os
import sys
import time
import warnings

import numpy as np
from threadpoolctl import threadpool_limits

from _contract.cases import answers, data, find, label, make, settings, state

FORK_SECONDS = 60


def large(cls):
    """Return data large enough for BLAS and the kernels to use several threads."""
    return data(cls, np.random.default_rng(0), n=3_000, p=24)


def digest(estimator, X):
    """Return a digest of all fitted arrays and all answers."""
    held = hashlib.sha256()
    for name, value in sorted({**state(estimator), **answers(estimator, X)}.items()):
        held.update(name.encode())
        held.update(np.ascontiguousarray(value).tobytes() if isinstance(value, np.ndarray) else repr(value).encode())
    return held.hexdigest()


def bits(cls, counts):
    """Print a JSON line per variant and number of threads."""
    X, y = large(cls)
    short = {"max_iter": 8} if "max_iter" in cls().get_params() else {}  # enough to see a difference, and soon over
    variants = [(np.float64, params) for params in settings(cls.__name__)] + [(np.float32, {})]
    for dtype, params in variants:
        for count in counts:
            with threadpool_limits(count):
                said = digest(make(cls, {**params, **short}).fit(X.astype(dtype), y), X.astype(dtype))
            print(json.dumps([f"{label(params)} {dtype.__name__}", count, said]), flush=True)


def fork(cls):
    """Fit with all threads, fork, and fit and answer again in the child; exit with 0 if it ended and was equal."""
    X, y = large(cls)
    estimator = make(cls).fit(X, y)
    before = digest(estimator, X)
    child = os.fork()
    if child == 0:
        same = digest(estimator, X) == before and digest(make(cls).fit(X, y), X) == before
        os._exit(0 if same else 3)
    deadline = time.monotonic() + FORK_SECONDS
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            sys.exit(os.waitstatus_to_exitcode(status))
        time.sleep(0.01)
    os.kill(child, 9)
    os.waitpid(child, 0)
    sys.exit("the forked child hangs")


def fit(cls):
    """Print the answers of a small fit as JSON."""
    X, y = data(cls, np.random.default_rng(0))
    said = answers(make(cls).fit(X, y), X)
    print(json.dumps({name: [value.dtype.kind, value.tolist()] for name, value in said.items()}))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    command, name, *rest = sys.argv[1:]
    {"bits": bits, "fork": fork, "fit": fit}[command](find(name), *([list(map(int, rest))] if rest else []))
