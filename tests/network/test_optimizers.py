"""Optimizers: steps computed by hand, clipping, and minima that are found."""

import math
import tracemalloc

import numpy as np
import pytest

from skml import _kernels
from skml.network import SGD, Adam, AdamW, clip_gradient

each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
OPTIMIZERS = [
    SGD(0.1, momentum=0.0),
    SGD(0.05),
    SGD(0.05, nesterov=True),
    Adam(0.1),
    AdamW(0.1, weight_decay=1e-4),
    Adam(0.1, largest_norm=1.0),
]


def two_steps(optimizer, w, *gradients, factor=1.0):
    w = np.array([w])
    moments = optimizer.moments(w)
    for t, g in enumerate(gradients, 1):
        optimizer.update(w, np.array([g]), moments, t, factor)
    return w[0]


def test_steps_of_sgd_by_hand():
    assert two_steps(SGD(0.5, momentum=0.0), 1.0, 1.0, 2.0) == -0.5
    # velocities 1, 0.5 + 2
    assert two_steps(SGD(0.5, momentum=0.5), 1.0, 1.0, 2.0) == 1 - 0.5 - 1.25
    # steps 0.5 + 1, 1.25 + 2
    assert two_steps(SGD(0.5, momentum=0.5, nesterov=True), 1.0, 1.0, 2.0) == 1 - 0.75 - 1.625
    # gradients 1 + 0.5, then 2 + 0.5 w with w = 1/4
    assert two_steps(SGD(0.5, momentum=0.0, weight_decay=0.5), 1.0, 1.0, 2.0) == 0.25 - 0.5 * 2.125
    assert two_steps(SGD(0.5, momentum=0.0), 1.0, 1.0, 2.0, factor=0.5) == 0.25


def test_steps_of_adam_by_hand():
    eps = 1e-8
    m1, v1 = 0.1 * 2, 0.001 * 4
    w1 = 1 - 0.5 * (m1 / 0.1) / (math.sqrt(v1 / 0.001) + eps)
    m2, v2 = 0.9 * m1 + 0.1 * 3, 0.999 * v1 + 0.001 * 9
    w2 = w1 - 0.5 * (m2 / (1 - 0.9**2)) / (math.sqrt(v2 / (1 - 0.999**2)) + eps)
    assert two_steps(Adam(0.5), 1.0, 2.0, 3.0) == pytest.approx(w2, rel=1e-12)
    decayed = (w1 - 0.05) * 0.95 + (w2 - w1)
    assert two_steps(AdamW(0.5, weight_decay=0.1), 1.0, 2.0, 3.0) == pytest.approx(decayed, rel=1e-12)
    # the penalty is part of the gradient, so the first step is as long as ever
    assert two_steps(Adam(0.5, weight_decay=0.1), 1.0, 2.0) == pytest.approx(0.5)
    assert two_steps(Adam(0.5, epsilon=2.0), 1.0, 2.0) == pytest.approx(1 - 0.5 * 2 / 4)


@pytest.mark.skipif(_kernels.LEVEL == "reference", reason="twins allocate")
@pytest.mark.parametrize("optimizer", [*OPTIMIZERS, Adam(0.1, weight_decay=0.1)], ids=repr)
def test_a_step_allocates_nothing(rng, optimizer):
    w, g = rng.normal(size=(2, 100_000))
    moments = optimizer.moments(w)
    tracemalloc.start()
    try:
        optimizer.update(w, g, moments, 1)
        assert tracemalloc.get_traced_memory()[1] < 10_000
    finally:
        tracemalloc.stop()


@each_dtype
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_minima_are_found(rng, dtype, optimizer):
    target = rng.normal(size=20).astype(dtype)
    w = np.zeros(20, dtype)
    moments = optimizer.moments(w)
    for t in range(1, 401):
        optimizer.update(w, 2 * (w - target), moments, t, 1 - t / 401)
    np.testing.assert_allclose(w, target, atol=2e-3)
    assert w.dtype == moments[0].dtype == dtype


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_no_step_depends_on_threads(rng, optimizer):
    w, g = rng.normal(size=(2, 100_001))
    results = []
    for n_threads in (1, 2, 3):
        moved, moments = w.copy(), optimizer.moments(w)
        optimizer.update(moved, g.copy(), moments, 1, n_threads=n_threads)
        results.append((moved, *moments))
    for other in results[1:]:
        for ours, theirs in zip(results[0], other):
            np.testing.assert_array_equal(ours, theirs)


@each_dtype
def test_clipping(dtype):
    g = np.array([3, 4, 0], dtype=dtype)
    assert clip_gradient(g, 10.0) == 5
    np.testing.assert_array_equal(g, [3, 4, 0])
    assert clip_gradient(g, 2.5) == 5
    np.testing.assert_allclose(g, [1.5, 2, 0])
    assert clip_gradient(g, None) == pytest.approx(2.5)
    assert g.dtype == dtype
    assert clip_gradient(0 * g, 1.0) == 0
    assert not math.isfinite(clip_gradient(np.array([1.0, np.nan]), 1.0))
    assert two_steps(SGD(1.0, momentum=0.0, largest_norm=0.5), 1.0, 8.0) == 0.5
