"""What estimators give with other numbers of threads, after a fork, and on other builds of the kernels.

Usage: python parallel.py digests   prints a JSON object of class: digest of a model fitted on large data
       python parallel.py forks     prints one of class: what a forked child that fits and answers again came to
       python parallel.py jobs      prints the same of one whose n_jobs asks for two threads, where it has n_jobs
       python parallel.py answers   prints one of class: the answers after a small fit
"""

import hashlib
import json
import os
import sys
import time
import warnings

import numpy as np

from _contract.cases import answers, classes, data, make, state

FORK_SECONDS = 60


def large(cls):
    """Return data large enough for BLAS and the kernels to use several threads."""
    return data(cls, np.random.default_rng(0), n=n_large(cls), p=24)


def n_large(cls):
    """Return how many rows that takes: a row of a language model is a document of as many tokens as columns."""
    return 200 if hasattr(cls, "surprisal") else 3_000


def short(cls):
    """Return a limit of iterations: enough to see a difference, and soon over."""
    return {"max_iter": 3} if "max_iter" in cls().get_params() else {}


def digest(cls, params, X, y):
    """Return a digest of all fitted arrays and all answers of a fit."""
    estimator = make(cls, {**params, **short(cls)}).fit(X, y)
    held = hashlib.sha256()
    for name, value in sorted({**state(estimator), **answers(estimator, X)}.items()):
        held.update(name.encode())
        held.update(np.ascontiguousarray(value).tobytes() if isinstance(value, np.ndarray) else repr(value).encode())
    return held.hexdigest()


def fork(cls, params=()):
    """Fit with all threads, fork, fit again in the child, and say what came of it."""
    X, y = large(cls)
    before = digest(cls, dict(params), X, y)
    child = os.fork()
    if child == 0:
        os._exit(0 if digest(cls, dict(params), X, y) == before else 3)
    deadline = time.monotonic() + FORK_SECONDS
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return {0: "equal", 3: "different"}.get(os.waitstatus_to_exitcode(status), f"status {status}")
        time.sleep(0.01)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return "hangs"


def fork_with_jobs(cls):
    """Do the same with two jobs asked for in words, which a child must not believe."""
    return fork(cls, {"n_jobs": 2}) if "n_jobs" in cls().get_params() else "takes no n_jobs"


def small_answers(cls):
    """Return the answers of a small fit as lists."""
    X, y = data(cls, np.random.default_rng(0))
    return {name: [value.dtype.kind, value.tolist()] for name, value in answers(make(cls).fit(X, y), X).items()}


COMMANDS = {
    "digests": lambda cls: digest(cls, {}, *large(cls)),
    "forks": fork,
    "jobs": fork_with_jobs,
    "answers": small_answers,
}

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(json.dumps({cls.__name__: COMMANDS[sys.argv[1]](cls) for cls in classes()}))
