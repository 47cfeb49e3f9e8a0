"""Rows of sequences: compiled equals twin for any sizes and threads; wrong arguments are refused."""

import numpy as np
import pytest

from skml._kernels import sequences
from skml._kernels.reference import sequences as twin

each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
EVERY = ((twin, 1), (sequences, 1), (sequences, 2), (sequences, 3))


def close(found, expected, dtype):
    assert abs(found - expected).max(initial=0) <= 500 * np.finfo(dtype).eps * max(1, abs(expected).max(initial=0))


def compared(found, dtype):
    """Compare what the twin found with what was found by threads; these must agree in all bits."""
    expected, ours, *others = found
    for i in range(len(ours)):
        close(ours[i], expected[i], dtype)
        for other in others:
            np.testing.assert_array_equal(other[i], ours[i])


@each_dtype
@pytest.mark.parametrize("size", [(1, 1, 1), (3, 7, 40), (20, 30, 70), (0, 3, 4), (3, 0, 4)])
@pytest.mark.parametrize("learned", [True, False])
def test_embeddings_are_the_twins(rng, dtype, size, learned):
    B, T, C = size
    V, P = 11, 33
    tokens = rng.integers(V, size=(B, T)).astype(np.int32)
    first = rng.integers(0, np.arange(T) + 1, size=(B, T)).astype(np.int32)
    wte, dy = rng.normal(size=(V, C)).astype(dtype), rng.normal(size=(B, T, C)).astype(dtype)
    wpe = rng.normal(size=(P, C) if learned else (0, 0)).astype(dtype)
    found = []
    for module, n_threads in EVERY:
        y, dwte, dwpe = np.full((B, T, C), np.nan, dtype), wte.copy(), wpe.copy()
        module.embed(tokens, first, wte, wpe, y, n_threads)
        module.embed_backward(dy, tokens, first, dwte, dwpe, n_threads)
        found.append((y, dwte, dwpe))
    compared(found, dtype)


@each_dtype
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (300, 130), (0, 4), (4, 0)])
@pytest.mark.parametrize("kind", ["layer", "rms"])
@pytest.mark.parametrize("short_cut", [True, False])
def test_norms_are_the_twins(rng, dtype, size, kind, short_cut):
    N, F = size
    x, dy, more = (rng.normal(size=size).astype(dtype) for _ in range(3))
    gamma = rng.normal(size=F).astype(dtype)
    mean = x.mean(axis=1) if kind == "layer" and F else np.empty(0, dtype)
    rstd = (1 / (0.1 + rng.random(N))).astype(dtype)
    add = more if short_cut else np.empty((0, 0), dtype)
    found = []
    for module, n_threads in EVERY:
        y, r, dx = np.full(size, np.nan, dtype), np.full(N, 1, dtype), np.full(size, np.nan, dtype)
        dgamma, dbeta = np.full(F, np.nan, dtype), np.full(F if len(mean) else 0, np.nan, dtype)
        module.rms_norm(x, gamma, 1e-5, y, r, n_threads)
        module.norm_backward(dy, x, gamma, mean, rstd, add, dx, dgamma, dbeta, n_threads)
        in_place = add.copy() if short_cut else dx.copy()
        given = in_place if short_cut else add
        module.norm_backward(dy, x, gamma, mean, rstd, given, in_place, dgamma, dbeta, n_threads)
        np.testing.assert_array_equal(in_place, dx)
        found.append((y, r, dx, dgamma, dbeta))
    compared(found, dtype)


def test_rms_by_hand():
    y, rstd = np.empty((1, 2)), np.empty(1)
    sequences.rms_norm(np.array([[3.0, 4.0]]), np.array([1.0, 2.0]), 0.0, y, rstd, 1)
    np.testing.assert_allclose(rstd, np.sqrt(2) / 5)
    np.testing.assert_allclose(y, [[3 * np.sqrt(2) / 5, 8 * np.sqrt(2) / 5]])


def refused(function, good, bad):
    function(*good)
    for at, value in bad:
        with pytest.raises(ValueError):
            function(*[value if i == at else argument for i, argument in enumerate(good)])


@pytest.mark.parametrize("module", [sequences, twin])
def test_what_does_not_fit_is_refused(module):
    B, T, C = 2, 4, 3
    tokens, first = np.ones((B, T), np.int32), np.zeros((B, T), np.int32)
    low, high, late, early = tokens.copy(), tokens.copy(), first.copy(), first.copy()
    low[1, 3], high[1, 3], late[0, 1], early[0, 1] = -1, 5, 2, -1
    y, wte, wpe = np.ones((B, T, C)), np.ones((5, C)), np.ones((4, C))
    bad = [(0, tokens[:1]), (0, low), (0, high), (1, first[:1]), (1, late), (1, early), (2, np.ones((5, 2)))]
    bad += [(3, np.ones((4, 2))), (3, np.ones((3, C))), (4, y[:1]), (4, np.ones((B, 3, C)))]
    refused(module.embed, [tokens, first, wte, wpe, y, 1], bad)
    order = {0: 1, 1: 2, 2: 3, 3: 4, 4: 0}
    refused(module.embed_backward, [y, tokens, first, wte, wpe, 1], [(order[at], value) for at, value in bad])
    x, gamma, rows = np.ones((6, C)), np.ones(C), np.ones(6)
    bad = [(0, x[:5]), (1, gamma[:2]), (3, np.ones((6, 2))), (4, rows[:5])]
    refused(module.rms_norm, [x, gamma, 0.1, np.ones((6, C)), rows, 1], bad)
    good = [x, np.ones((6, C)), gamma, rows, rows, x, np.ones((6, C)), np.ones(C), np.ones(C), 1]
    bad = [(0, x[:5]), (1, x[:5]), (2, gamma[:2]), (3, rows[:5]), (4, rows[:5]), (5, x[:5]), (6, x[:5]), (7, gamma[:2])]
    refused(module.norm_backward, good, [*bad, (8, gamma[:2])])
    if module is not twin:
        refused(module.embed, [tokens, first, wte, wpe, y, 1], [(5, 0)])
