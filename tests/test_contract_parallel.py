"""Threads and processes: the same bits for any number of threads, concurrent calls, and fits after a fork."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from _contract.cases import answers, assert_same, data, each_class, make
from _contract.children import finish, run, script, start

PROGRAM = script("parallel.py")


def digests(out):
    """Return {(variant, threads): digest} of a child's output."""
    return {(variant, count): said for variant, count, said in map(json.loads, out.splitlines())}


@each_class
def test_same_bits_for_one_two_and_three_threads(cls):
    def child(threads, *counts):
        limits = {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        return start([PROGRAM, "bits", cls.__name__, *counts], **limits)

    children = [child(3, 1, 2, 3), child(1, 1)]
    ended = [finish(process, timeout=300) for process in children]
    for code, _, err in ended:
        assert code == 0, err[-3000:]
    limited, alone = (digests(out) for _, out, _ in ended)
    variants = {variant for variant, _ in limited}
    assert len(limited) == 3 * len(variants)
    different = {
        variant
        for variant in variants
        if len({limited[variant, 1], limited[variant, 2], limited[variant, 3], alone[variant, 1]}) > 1
    }
    assert different == set()


@each_class
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
def test_fork_after_a_fit_does_not_hang(cls):
    run([PROGRAM, "fork", cls.__name__], OMP_NUM_THREADS=2, OPENBLAS_NUM_THREADS=2)


@each_class
def test_four_fits_at_once_equal_one_alone(cls, rng):
    sets = [data(cls, rng, n=300 + 100 * i) for i in range(4)]
    alone = [answers(make(cls).fit(X, y), X) for X, y in sets]
    with ThreadPoolExecutor(4) as pool:
        fitted = list(pool.map(lambda Xy: make(cls).fit(*Xy), sets * 3))
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
