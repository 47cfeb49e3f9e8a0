"""The gate to the kernels: which build is taken, how many threads run, and that twins do for the whole library."""

import importlib.util
import inspect
import json
import os
import pathlib
import sys
import threading

import numpy as np
import pytest
from _contract import parallel
from _contract.cases import classes
from _contract.children import run, script
from threadpoolctl import threadpool_info, threadpool_limits

from skml import _kernels
from skml._kernels import reference


def blas_counts():
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


# ------------------------------------------------------------------------------------------------ builds


@pytest.mark.skipif(_kernels.LEVEL == "reference", reason="twins would be compared with themselves")
@pytest.mark.parametrize("kernels", ["reference", *_kernels.LEVELS[: _kernels.LEVELS.index(_kernels.CPU_LEVEL)]])
def test_the_library_runs_on_twins_and_on_every_lower_level(kernels):
    said = json.loads(run([script("parallel.py"), "answers"], timeout=300, SKML_KERNELS=kernels))
    assert said.keys() == {cls.__name__ for cls in classes()}
    for cls in classes():
        compiled, others = parallel.small_answers(cls), said[cls.__name__]
        assert compiled.keys() == others.keys()
        for name, (kind, value) in compiled.items():
            assert kind == others[name][0]
            # what PCA leaves where it keeps all components is rounding, squared
            atol = 1e-6 * np.max(np.abs(value), initial=1e-20) if kind == "f" else 0
            np.testing.assert_allclose(others[name][1], value, rtol=0, atol=atol, err_msg=f"{cls.__name__}.{name}")


FAMILIES = sorted(path.stem for path in pathlib.Path(reference.__file__).parent.glob("[a-z]*.py"))


@pytest.fixture
def gate(monkeypatch):
    """Return a function that gives a fresh copy of the gate as it is under a value of SKML_KERNELS."""

    def fresh(build):
        monkeypatch.setenv("SKML_KERNELS", build)
        spec = importlib.util.spec_from_file_location("gate", _kernels.__file__)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return fresh


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_is_there_compiled_and_as_twin(family, gate):
    assert getattr(gate("reference"), family).__name__ == f"skml._kernels.reference.{family}"
    compiled = getattr(gate(""), family).__name__
    assert compiled in (f"skml._kernels.{family}_{_kernels.CPU_LEVEL}", f"skml._kernels.{family}_base")


@pytest.mark.parametrize("value", ["fast", "REFERENCE", "v9", " ", "base" if len(_kernels.LEVELS) > 1 else "v2"])
def test_an_unknown_build_is_refused(value, gate):
    with pytest.raises(ImportError, match=f"SKML_KERNELS={value!r} is unknown"):
        gate(value)


@pytest.mark.parametrize("level", _kernels.LEVELS)
def test_lower_levels_can_be_asked_for_and_higher_ones_cannot(level, gate):
    if _kernels.LEVELS.index(level) <= _kernels.LEVELS.index(_kernels.CPU_LEVEL):
        assert level == gate(level).LEVEL
    else:
        with pytest.raises(ImportError, match="more than this processor has"):
            gate(level)


def test_an_unknown_family_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        _kernels.nothing_of_the_kind  # noqa: B018
    assert not hasattr(_kernels, "_private")


def test_a_family_is_loaded_once():
    assert _kernels.rows is _kernels.rows
    assert inspect.ismodule(_kernels.rows)


# ----------------------------------------------------------------------------------------------- threads


def test_n_threads_follows_the_limits(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "4")  # otherwise the number of cores is a limit as well
    for count in (1, 2, 3):
        with threadpool_limits(count, user_api="openmp"):
            assert _kernels.n_threads() == count


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
def test_a_forked_child_uses_one_thread():
    program = (
        "import os\n"
        "from skml import _kernels\n"
        "assert _kernels.n_threads() == 2\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    with _kernels.blas_threads(1):\n"
        "        os._exit(_kernels.n_threads())\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), _kernels.n_threads())\n"
    )
    assert run(["-c", program], OMP_NUM_THREADS=2).split() == ["1", "2"]


def test_a_fork_while_limits_change_does_not_hang():
    # The child must not inherit a lock that another thread held.
    program = (
        "import os, threading\n"
        "from skml import _kernels\n"
        "done = threading.Event()\n"
        "def busy():\n"
        "    while not done.is_set():\n"
        "        with _kernels.blas_threads(1):\n"
        "            pass\n"
        "thread = threading.Thread(target=busy)\n"
        "thread.start()\n"
        "codes = []\n"
        "for _ in range(8):\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        with _kernels.blas_threads(1):\n"
        "            os._exit(0)\n"
        "    codes.append(os.waitpid(child, 0)[1])\n"
        "done.set()\n"
        "thread.join()\n"
        "print(codes)\n"
    )
    if hasattr(os, "fork"):
        assert run(["-c", program], timeout=60).strip() == str([0] * 8)


def test_blas_limits_nest_and_restore():
    with threadpool_limits(2, user_api="blas"):
        before = blas_counts()
        with _kernels.blas_threads(2):
            with _kernels.blas_threads(1):
                assert set(blas_counts()) == {1}
                with _kernels.blas_threads(2):
                    assert set(blas_counts()) == {1}  # the smallest holds
            assert set(blas_counts()) == {2}
        assert blas_counts() == before == [2] * len(before)


def test_blas_limits_are_restored_after_an_error():
    with threadpool_limits(2, user_api="blas"):
        before = blas_counts()
        with pytest.raises(ZeroDivisionError), _kernels.blas_threads(1):
            raise ZeroDivisionError
        assert blas_counts() == before


def test_blas_limits_of_many_threads_restore():
    seen = []

    def limited(order):
        for _ in range(20):
            with _kernels.blas_threads(1 + order % 2):
                seen.append(max(blas_counts()))

    with threadpool_limits(3, user_api="blas"):
        before = blas_counts()
        threads = [threading.Thread(target=limited, args=(order,)) for order in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert blas_counts() == before
    assert max(seen) <= 2


def test_blas_limits_overlap_in_any_order():
    with threadpool_limits(3, user_api="blas"):
        before = blas_counts()
        first, second = _kernels.blas_threads(1), _kernels.blas_threads(2)
        first.__enter__()
        second.__enter__()
        assert set(blas_counts()) == {1}
        first.__exit__(None, None, None)
        assert set(blas_counts()) == {2}
        second.__exit__(None, None, None)
        assert blas_counts() == before
