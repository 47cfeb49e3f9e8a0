"""The kernels of Bellman sweeps against their twins."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from skml._kernels import bellman
from skml._kernels.reference import bellman as twin


def process(rng, n_states, n_actions=3, density=0.4):
    """Return firsts, lasts and the table of a random process; some states have no pairs, some rows no outcomes."""
    counts = rng.integers(0, n_actions + 1, n_states)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    T = sp.random_array((offsets[-1], n_states + 1), density=density, format="csr", rng=rng)
    data = T.data / np.repeat(np.maximum(T.sum(axis=1), 1e-9), np.diff(T.indptr))
    table = T.indptr.astype(np.int32), T.indices.astype(np.int32), data
    return offsets[:-1].copy(), offsets[1:].copy(), *table, rng.normal(size=offsets[-1])


def swept(module, model, v, block, in_place=False, backward=False, parts=1, n_threads=1):
    """Return what a sweep writes, in one call or several."""
    n = len(v) - 1
    w, pairs = (v.copy() if in_place else np.zeros(n + 1)), np.full(n, -7, dtype=np.int32)
    change = np.tile([np.inf, -np.inf], (-(-n // block), 1))
    edges = np.linspace(0, n, parts + 1).astype(int)
    ranges = list(zip(edges[:-1], edges[1:]))
    for first, last in reversed(ranges) if backward else ranges:
        how = (first, last, block, in_place, backward, n_threads)
        module.sweep(*model, 0.9, v, w, pairs, change, *how)
    return w, pairs, change


@pytest.mark.parametrize("n", [0, 1, 2, 7, 40])
@pytest.mark.parametrize("block", [1, 3, 64])
@pytest.mark.parametrize(("in_place", "backward"), [(False, False), (True, False), (True, True)])
def test_a_sweep_is_as_its_twin(rng, n, block, in_place, backward):
    model, v = process(rng, n), np.append(rng.normal(size=n), 0.0)
    ours, theirs = (swept(module, model, v, block, in_place, backward) for module in (bellman, twin))
    for one, other in zip(ours, theirs):
        assert_allclose(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("in_place", "backward"), [(False, False), (True, False), (True, True)])
def test_neither_threads_nor_parts_change_a_bit(rng, in_place, backward):
    model, v = process(rng, 200, density=0.05), np.append(rng.normal(size=200), 0.0)
    whole = swept(bellman, model, v, 16, in_place, backward)
    for parts, n_threads in ((1, 2), (1, 5), (3, 1), (7, 2)):
        for one, other in zip(whole, swept(bellman, model, v, 16, in_place, backward, parts, n_threads)):
            assert_array_equal(one, other)


def test_a_block_of_one_state_reads_old_values_alone(rng):
    model, v = process(rng, 30), np.append(rng.normal(size=30), 0.0)
    loops = sp.csr_array((model[4], model[3], model[2]))  # but for a step from a state to itself, nothing is new
    assert loops.nnz > 0
    for one, other in zip(swept(bellman, model, v, 1, in_place=True)[:2], swept(bellman, model, v, 1)[:2]):
        assert_array_equal(one, other)


@pytest.mark.parametrize("n", [0, 1, 5, 2000])
def test_pair_values(rng, n):
    model, v = process(rng, n, density=min(1.0, 5 / (n + 1))), np.append(rng.normal(size=n), 0.0)
    n_pairs = len(model[5])
    results = []
    for module, n_threads in ((twin, 1), (bellman, 1), (bellman, 3)):
        q = np.full(n_pairs, np.nan)
        for first, last in ((0, n_pairs // 3), (n_pairs // 3, n_pairs)):
            module.pair_values(*model[2:], 0.9, v, q, first, last, n_threads)
        results.append(q)
    assert_allclose(results[1], results[0], rtol=1e-12, atol=1e-12)
    assert_array_equal(results[1], results[2])


def by_priority(module, model, tolerance, most=10**9, work=10**9):
    """Run to the end, in calls of limited length; return values, priorities and the number of backups."""
    n = len(model[0])
    rows = np.repeat(np.arange(len(model[5])), np.diff(model[2]))
    states = np.repeat(np.arange(n), model[1] - model[0])
    reach = np.zeros((n, n + 1))
    np.maximum.at(reach, (states[rows], model[3]), model[4])
    before = sp.csr_array(reach[:, :n].T)
    before = before.indptr.astype(np.int32), before.indices.astype(np.int32), before.data
    v, room = np.zeros(n + 1), np.empty((2, n), dtype=np.int32)
    priority, total = np.abs(swept(bellman, model, v, 64)[0])[:-1], 0
    while done := module.sweep_by_priority(*model, 0.9, *before, v, priority, room, tolerance, most, work):
        total += done
    return v, priority, total


@pytest.mark.parametrize("n", [0, 1, 2, 15])
def test_prioritized_sweeping_is_as_its_twin(rng, n):
    model = process(rng, n)
    ours, theirs = (by_priority(module, model, 1e-6) for module in (bellman, twin))
    assert_allclose(ours[0], theirs[0], rtol=0, atol=1e-4)  # rounding may order equals another way
    for v, priority, _ in (ours, theirs):
        assert np.all(priority <= 1e-6)
        error = np.abs(swept(twin, model, v, 64)[0] - v)[:-1]
        assert np.all(error <= priority + 1e-12)  # priorities bound the errors


def test_prioritized_sweeping_may_pause_anywhere(rng):
    model = process(rng, 40, density=0.1)
    whole = by_priority(bellman, model, 1e-9)
    for most, work in ((1, 10**9), (7, 10**9), (10**9, 1), (10**9, 100)):
        for one, other in zip(whole, by_priority(bellman, model, 1e-9, most, work)):
            assert_array_equal(one, other)


SOUND = {
    "firsts": [0, 1],
    "lasts": [1, 2],
    "indptr": [0, 1, 2],
    "indices": [0, 2],
    "data": [1.0, 1.0],
    "rewards": [0.0, 0.0],
}


@pytest.mark.parametrize("module", [bellman, twin])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"indices": [0, 3]}, "outside"),
        ({"indices": [-1, 0]}, "outside"),
        ({"indptr": [0, 1, 3]}, "outside"),
        ({"indptr": [-1, 1, 2]}, "outside"),
        ({"indptr": [0, 2, 1]}, "outside"),
        ({"firsts": [-1, 1]}, "outside"),
        ({"lasts": [1, 3]}, "outside"),
        ({"firsts": [2, 1]}, "outside"),
        ({"lasts": [1, 2, 2]}, "agree"),
        ({"rewards": [0.0]}, "agree"),
        ({"data": [1.0]}, "agree"),
    ],
)
def test_a_broken_table_is_refused(module, change, message):
    parts = {**SOUND, **change}
    model = [np.array(x, dtype=np.float64 if name in ("data", "rewards") else np.int32) for name, x in parts.items()]
    with pytest.raises(ValueError, match=message):
        swept(module, model, np.zeros(3), 4)
    before = np.array([0, 1, 2], np.int32), np.array([0, 1], np.int32), np.ones(2)
    state = np.ones(3), np.ones(2), np.empty((2, 2), np.int32)
    with pytest.raises(ValueError, match=message):
        while module.sweep_by_priority(*model, 0.5, *before, *state, 1e-3, 100, 100):
            pass


@pytest.mark.parametrize("module", [bellman, twin])
@pytest.mark.parametrize(("first", "last", "block"), [(-1, 2, 1), (0, 3, 1), (2, 1, 1), (0, 2, 0)])
def test_states_outside_are_refused(module, first, last, block):
    model = [np.array(x, dtype=float if name in ("data", "rewards") else np.int32) for name, x in SOUND.items()]
    change = np.zeros((2, 2))
    with pytest.raises(ValueError, match=r"States|blocks?|not within"):
        module.sweep(
            *model, 0.9, np.zeros(3), np.zeros(3), np.zeros(2, np.int32), change, first, last, block, False, False, 1
        )
    with pytest.raises(ValueError, match="not within"):
        module.pair_values(*model[2:], 0.9, np.zeros(3), np.zeros(2), 0, 3, 1)
