"""The gate to the compiled kernels: picks the build for this processor, counts threads, limits BLAS.

``from skml._kernels import kmeans`` gives the family ``kmeans`` at the best level the processor has (x86-64-v4,
-v3, -v2, or the plain build), or its NumPy twin from ``skml._kernels.reference`` when the environment variable
``SKML_KERNELS`` is ``reference``. ``SKML_KERNELS`` may also name a lower level (``v2``, ``v3``) for comparisons.
"""

import importlib
import os
import threading
from contextlib import contextmanager

from joblib import effective_n_jobs
from threadpoolctl import ThreadpoolController

from skml._kernels import cpu_base
from skml._sklearn import openmp_threads

CPU_LEVEL = cpu_base.level()
if CPU_LEVEL == "none":
    raise ImportError("skml's kernels need a processor of x86-64-v2 or later (SSE4.2 and POPCNT); this one is older.")
LEVELS = ("base",) if CPU_LEVEL == "base" else ("v2", "v3", "v4")
_asked = os.environ.get("SKML_KERNELS", "")
if _asked not in ("", "reference", *LEVELS):
    raise ImportError(f"SKML_KERNELS={_asked!r} is unknown; use 'reference', or one of {', '.join(LEVELS)}.")
if _asked in LEVELS and LEVELS.index(_asked) > LEVELS.index(CPU_LEVEL):
    raise ImportError(f"SKML_KERNELS={_asked!r} asks for more than this processor has ({CPU_LEVEL}).")
LEVEL = _asked or CPU_LEVEL

_forked = False


def _before_fork():
    # OpenBLAS has a lock of its own, which a child would wait for if a thread were changing its limit just now.
    _limits.lock.acquire()


def _after_fork_in_parent():
    _limits.lock.release()


def _after_fork_in_child():
    # OpenMP's worker threads do not survive a fork: a child that asked for them would wait for ever.
    global _forked, _limits
    _forked = True
    _limits = _BlasLimits()


def __getattr__(family):
    """Return the module of a kernel family at the level in use (PEP 562)."""
    if family.startswith("_"):
        raise AttributeError(f"module 'skml._kernels' has no attribute {family!r}")
    module = _load(family)
    globals()[family] = module
    return module


def _load(family):
    at_most = () if LEVEL == "reference" else (*LEVELS[LEVELS.index(LEVEL) :: -1], "base")
    for name in [f"skml._kernels.{family}_{level}" for level in at_most] or [f"skml._kernels.reference.{family}"]:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
    raise AttributeError(f"module 'skml._kernels' has no kernel family {family!r}")


def n_threads():
    """Return the number of threads to hand to a kernel: OpenMP's limit, and 1 in a forked child."""
    return 1 if _forked else openmp_threads()


def threads_of(n_jobs):
    """Return the number of threads that an estimator's ``n_jobs`` asks for, in joblib's words; 1 in a forked child."""
    return 1 if _forked else effective_n_jobs(n_jobs)


class Stopped(Exception):
    """A kernel ended because its thread was told to stop."""


_told = threading.local()


@contextmanager
def stoppable(stop):
    """Let a ``threading.Event`` end the long kernels that this thread runs inside the block, with :class:`Stopped`."""
    _told.stop = stop
    try:
        yield
    finally:
        _told.stop = None


def breathe():
    """Come back to Python from a kernel that takes long, every tenth of a second or so: signals are seen to here."""
    stop = getattr(_told, "stop", None)
    if stop is not None and stop.is_set():
        raise Stopped


class _BlasLimits:
    """Nested and concurrent limits of BLAS threads: the strictest holds, the last one out restores."""

    def __init__(self):
        self.lock = threading.RLock()  # a signal's handler may fork while its thread holds it
        self.asked = []
        self.controller = None
        self.saved = None
        self.limit = None

    def enter(self, n):
        with self.lock:
            if self.controller is None:
                self.controller = ThreadpoolController().select(user_api="blas")
            if not self.asked:
                self.saved = [library.num_threads for library in self.controller.lib_controllers]
            self.asked.append(n)
            self._apply()

    def leave(self, n):
        with self.lock:
            self.asked.remove(n)
            self._apply()

    def _apply(self):
        limit = min(self.asked, default=None)
        if limit == self.limit:
            return
        self.limit = limit
        for library, saved in zip(self.controller.lib_controllers, self.saved):
            _set_threads(library, saved if limit is None else limit)


def _set_threads(library, n):
    """Set a BLAS library's threads from whichever thread this is.

    threadpoolctl 3.8 gives OpenBLAS to the first thread that sets its limit and ignores all others while that one
    lives. The counts above already keep threads from undoing each other, so ownership is given up before and after.
    """
    disown = getattr(library, "clear_controlling_thread", lambda force: None)
    disown(force=True)
    library.set_num_threads(n)
    disown(force=True)


_limits = _BlasLimits()
os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)


@contextmanager
def blas_threads(n):
    """Limit BLAS to `n` threads inside the block; nested and concurrent blocks are safe.

    The limit is a property of the process, so while blocks overlap the smallest holds for all of them;
    the thread counts found by the first are restored by the last.
    """
    limits = _limits
    limits.enter(n)
    try:
        yield
    finally:
        limits.leave(n)
