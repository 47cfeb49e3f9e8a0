"""The kernel of coordinate descent for item weights against its twin."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from skml._kernels import slim
from skml._kernels.reference import slim as twin


def gram(rng, n):
    X = rng.standard_normal((3 * n + 1, n)) * (rng.uniform(size=(3 * n + 1, n)) < 0.3)
    X[:, n // 2 : n // 2 + 1] = 0  # an item without interactions
    return X.T @ X


def solve(module, G, plan, max_work, n_threads=1, most=None):
    products, n = sp.csr_array(G), len(G)
    parts = products.indptr.astype(np.int32), products.indices.astype(np.int32), products.data, np.diagonal(G).copy()
    W, Q, most = np.zeros((n, n)), G.copy(), most or max(n, 1)
    done, n_sweeps = np.zeros((2, n), dtype=np.int32)
    room = np.empty((n_threads, n + most * (most + 2))), np.empty((n_threads, n), np.int32)
    targets = np.arange(n, dtype=np.int32)
    for _ in range(10_000):
        module.descend_columns(*parts, targets, *plan, max_work, most, W, Q, done, n_sweeps, *room, n_threads)
        if np.all(done | (n_sweeps >= plan[-1])):
            break
    return W, Q, done, n_sweeps


@pytest.mark.parametrize("n", [0, 1, 2, 9, 30])
@pytest.mark.parametrize("nonnegative", [False, True])
@pytest.mark.parametrize("penalty", [(0.1, 0.1), (0.0, 0.5), (0.3, 0.0)])
def test_as_its_twin(rng, n, nonnegative, penalty):
    G = gram(rng, n)
    ours, theirs = (solve(module, G, (*penalty, nonnegative, 1e-9, 40), 1e9) for module in (slim, twin))
    assert_allclose(ours[0], theirs[0], rtol=0, atol=1e-6)
    assert_allclose(ours[1], G - ours[0] @ G, rtol=0, atol=1e-9)


@pytest.mark.parametrize("max_work", [1, 50, 1e9])
@pytest.mark.parametrize("n_threads", [1, 3])
def test_neither_threads_nor_pauses_change_a_bit(rng, max_work, n_threads):
    G, plan = gram(rng, 12), (0.05, 0.05, True, 1e-8, 200)
    for one, other in zip(solve(slim, G, plan, 1e9), solve(slim, G, plan, max_work, n_threads)):
        assert_array_equal(one, other)


def test_the_twin_pauses_as_well(rng):
    G, plan = gram(rng, 6), (0.05, 0.05, False, 1e-8, 50)
    for one, other in zip(solve(twin, G, plan, 1e9), solve(twin, G, plan, 7)):
        assert_array_equal(one, other)


@pytest.mark.parametrize("most", [1, 3, 7])
@pytest.mark.parametrize("module", [slim, twin])
def test_a_small_working_set_finds_the_same_minimum(rng, module, most):
    G = gram(rng, 9)
    whole, small = (solve(module, G, (0.1, 0.5, False, 1e-9, 100_000), 1e9, most=m) for m in (None, most))
    assert small[2].all()
    assert_allclose(small[0], whole[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("module", [slim, twin])
@pytest.mark.parametrize("broken", ["targets", "indices", "threads", "sizes", "room", "none"])
def test_refuses_what_points_outside(module, broken):
    indices = np.array([0, 5 if broken == "indices" else 1], np.int32)
    parts = np.array([0, 1, 2], np.int32), indices, np.ones(2), np.ones(2)
    targets = np.array([2 if broken == "targets" else 1], np.int32)
    state = np.zeros((1 + (broken == "sizes"), 2)), np.zeros((1, 2)), np.zeros(1, np.int32), np.zeros(1, np.int32)
    room = np.empty((1, 9 if broken == "room" else 10)), np.empty((1, 2), np.int32)
    plan = 0.1, 0.1, True, 1e-4, 9, 1e3, 0 if broken == "none" else 2
    with pytest.raises(ValueError):
        module.descend_columns(*parts, targets, *plan, *state, *room, 2 if broken == "threads" else 1)
