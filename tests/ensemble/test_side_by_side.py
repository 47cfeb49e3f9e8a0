"""Work side by side: in order, whatever ends it, and kernels that come back to Python while they work."""

import os
import signal
import sys
import threading
import time

import numpy as np
import pytest

from skml import BaggingForest, BaggingForestRegressor, _kernels
from skml.ensemble.side_by_side import in_order

compiled = pytest.mark.skipif(_kernels.LEVEL == "reference", reason="twins are Python all along")


def large(rng, n=300_000):
    X = rng.normal(size=(n, 12)).astype(np.float32)
    return X, X[:, 0] + rng.normal(size=n)


def breaths(monkeypatch, at=np.inf, error=KeyboardInterrupt):
    """Return the list of this thread's processor times at which a kernel came back to Python; raise at one."""
    taken, real = [], _kernels.breathe

    def breathe():
        taken.append(time.thread_time())
        if len(taken) == at:
            raise error
        real()

    monkeypatch.setattr(_kernels, "breathe", breathe)
    return taken


@pytest.mark.parametrize("n_threads", [1, 2, 3, 4])
def test_results_keep_their_order(n_threads):
    gates = [threading.Event() for _ in range(9)]

    def slow(number):
        if n_threads > 1 and number % 2 == 0 and number < 8:
            assert gates[number + 1].wait(20)  # the next is done first
        gates[number].set()
        return number * number

    assert list(in_order(slow, range(9), n_threads)) == [i * i for i in range(9)]
    assert list(in_order(slow, [], n_threads)) == []


@pytest.mark.parametrize("n_threads", [1, 3])
def test_an_error_ends_the_work(n_threads):
    called = []

    def fails(number):
        called.append(number)
        if number == 2:
            raise ZeroDivisionError
        return number

    results = in_order(fails, range(10_000), n_threads)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert len(called) <= 2 + 3 * n_threads + 3
    assert list(results) == []


@pytest.mark.parametrize("n_threads", [1, 3])
def test_who_stops_asking_ends_the_work(n_threads):
    called = []
    results = in_order(lambda number: called.append(number) or number, range(10_000), n_threads)
    assert next(results) == 0
    results.close()
    assert len(called) <= 2 * n_threads + 1
    n_alive = threading.active_count()
    assert n_alive < 50


def test_numbers_are_asked_for_as_they_are_needed():
    asked = []

    def numbers():
        for number in range(1000):
            asked.append(number)
            yield number

    results = in_order(abs, numbers(), 2)
    next(results)
    assert len(asked) <= 6
    results.close()


@compiled
@pytest.mark.parametrize("criterion", ["squared_error", "absolute_error"])
def test_a_tree_comes_back_to_python_twice_a_second(rng, monkeypatch, criterion):
    X, y = large(rng, 300_000 if criterion == "squared_error" else 100_000)
    taken = breaths(monkeypatch)
    began = time.thread_time()
    BaggingForestRegressor(n_estimators=1, criterion=criterion, random_state=0).fit(X, y)
    gaps = np.diff(taken)
    assert time.thread_time() - began > 0.3  # long enough to tell
    assert len(taken) > 4
    assert gaps.max() < 0.5


@compiled
def test_breathing_changes_nothing(rng, monkeypatch):
    X, y = large(rng, 100_000)
    forest = BaggingForestRegressor(n_estimators=1, random_state=0).fit(X, y)
    monkeypatch.setattr(_kernels, "breathe", lambda: time.sleep(0.001))
    again = BaggingForestRegressor(n_estimators=1, random_state=0).fit(X, y)
    np.testing.assert_array_equal(again.predict(X), forest.predict(X))


@compiled
def test_a_tree_is_given_up_where_it_is(rng, monkeypatch):
    X, y = large(rng)
    taken = breaths(monkeypatch, at=1)
    forest = BaggingForest(n_estimators=1, random_state=0)
    with pytest.raises(KeyboardInterrupt):
        forest.fit(X, y > 0)
    assert len(taken) == 1
    assert not hasattr(forest, "classes_")


@compiled
@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no such signal")
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_ctrl_c_ends_trees_at_once(rng, monkeypatch, request, n_jobs):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a process in the background ignores it
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    X, y = large(rng)
    taken, real = [], _kernels.breathe

    def breathe():
        taken.append(threading.get_ident())
        if len(taken) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        real()

    monkeypatch.setattr(_kernels, "breathe", breathe)
    with pytest.raises(KeyboardInterrupt):
        BaggingForestRegressor(n_estimators=20, n_jobs=n_jobs, random_state=0).fit(X, y)
    assert len(taken) < 20  # each tree takes many


def test_a_stopped_thread_raises():
    stop = threading.Event()
    with _kernels.stoppable(stop):
        _kernels.breathe()
        stop.set()
        with pytest.raises(_kernels.Stopped):
            _kernels.breathe()
    _kernels.breathe()
