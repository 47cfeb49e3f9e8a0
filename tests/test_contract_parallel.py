"""Threads and processes: the same bits for any number of threads, concurrent calls, and fits after a fork."""

import json
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from _contract import parallel
from _contract.cases import answers, assert_same, classes, data, each_class, each_variant, make
from _contract.children import run, script
from threadpoolctl import threadpool_limits

PROGRAM = script("parallel.py")


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@each_variant
def test_same_bits_for_one_two_and_three_threads(cls, params, seed):
    n = 400 if params.get("svd_solver") == "gram" else parallel.n_large(cls)  # a Gram matrix has n rows
    X, y = data(cls, np.random.default_rng(seed), n=n, p=24)
    for dtype in (np.float64, np.float32) if params == {} else (np.float64,):
        said = []
        for count in (1, 2, 3):
            with threadpool_limits(count):
                said.append(parallel.digest(cls, params, X.astype(dtype), y))
        assert said == said[:1] * 3, dtype


@pytest.mark.parametrize("threads", [1, 2])
def test_same_bits_for_any_environment(threads):
    limits = {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
    said = json.loads(run([PROGRAM, "digests"], timeout=300, **limits))
    with warnings.catch_warnings(action="ignore"), threadpool_limits(3):
        assert said == {cls.__name__: parallel.COMMANDS["digests"](cls) for cls in classes()}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
def test_a_fork_after_a_fit_does_not_hang():
    said = json.loads(run([PROGRAM, "forks"], timeout=300, OMP_NUM_THREADS=2, OPENBLAS_NUM_THREADS=2))
    assert said == {cls.__name__: "equal" for cls in classes()}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
def test_a_fork_does_not_hang_where_two_jobs_are_asked_for():
    said = json.loads(run([PROGRAM, "jobs"], timeout=300, OMP_NUM_THREADS=2, OPENBLAS_NUM_THREADS=2))
    assert set(said.values()) == {"equal", "takes no n_jobs"}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@each_class
def test_four_fits_at_once_equal_one_alone(cls, rng):
    sets, params = [data(cls, rng, n=300 + 100 * i) for i in range(4)], parallel.short(cls)
    alone = [answers(make(cls, params).fit(X, y), X) for X, y in sets]
    with ThreadPoolExecutor(4) as pool:
        fitted = list(pool.map(lambda Xy: make(cls, params).fit(*Xy), sets * 3))
    for number, estimator in enumerate(fitted):
        assert_same(answers(estimator, sets[number % 4][0]), alone[number % 4])


@each_class
def test_four_threads_share_a_fitted_model(cls, rng):
    X, y = data(cls, rng, n=400)
    estimator = make(cls).fit(X, y)
    parts = [slice(start, start + 100) for start in range(0, 400, 100)] * 4
    alone = [answers(estimator, X, rows) for rows in parts]
    with ThreadPoolExecutor(4) as pool:
        for said, expected in zip(pool.map(lambda rows: answers(estimator, X, rows), parts), alone):
            assert_same(said, expected)
