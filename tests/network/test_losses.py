"""Losses: hand-computed values, gradients by differences, and weights that count copies."""

import numpy as np
import pytest

from skml.network import (
    BinaryCrossEntropy,
    CrossEntropy,
    Huber,
    Squared,
    binary_cross_entropy,
    cross_entropy,
    huber,
    squared,
)

B, K = 6, 4


def codes(rng):
    return rng.integers(K, size=B).astype(np.int32)


def labels(rng):
    return rng.integers(2, size=(B, K)).astype(np.float64)


def numbers(rng):
    return rng.normal(size=(B, K))


CASES = {
    "cross-entropy": (CrossEntropy(), codes),
    "smoothed": (CrossEntropy(smoothing=0.2), codes),
    "classes weighted": (CrossEntropy(class_weight=np.array([0.5, 2.0, 1.0, 0.0])), codes),
    "binary": (BinaryCrossEntropy(), labels),
    "squared": (Squared(), numbers),
    "huber": (Huber(delta=0.7), numbers),
}
each_loss = pytest.mark.parametrize("name", CASES)
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def mean_loss(loss, z, y, weights):
    w = loss.weights(y, weights)
    losses, dz = loss(z, y, w)
    return (losses.mean() if w is None else losses @ w / w.sum() if w.sum() else 0.0), dz


@each_loss
@pytest.mark.parametrize("weighted", [False, True])
def test_gradients_are_differences(rng, name, weighted):
    loss, targets = CASES[name]
    z, y, h = rng.normal(size=(B, K)), targets(rng), 1e-6
    weights = rng.random(B) if weighted else None
    _, dz = mean_loss(loss, z, y, weights)
    for i in range(B):
        for k in range(K):
            moved = [z.copy(), z.copy()]
            moved[0][i, k] -= h
            moved[1][i, k] += h
            low, high = (mean_loss(loss, m, y, weights)[0] for m in moved)
            assert abs((high - low) / (2 * h) - dz[i, k]) < 1e-8


@each_loss
@each_dtype
def test_a_weight_is_a_number_of_copies(rng, name, dtype):
    loss, targets = CASES[name]
    z, y, counts = rng.normal(size=(B, K)).astype(dtype), targets(rng), np.array([1, 3, 0, 2, 1, 5])
    rows = np.repeat(np.arange(B), counts)
    value, dz = mean_loss(loss, z, y, counts.astype(np.float64))
    copied, of_copies = mean_loss(loss, z[rows], y[rows], None)
    tol = 20 * np.finfo(dtype).eps
    assert abs(value - copied) < tol
    summed = np.zeros_like(z)
    np.add.at(summed, rows, of_copies)
    np.testing.assert_allclose(dz, summed, atol=tol)
    assert dz.dtype == dtype


@each_loss
def test_rows_without_weight_give_no_gradient(rng, name):
    loss, targets = CASES[name]
    _, dz = loss(rng.normal(size=(B, K)), targets(rng), np.zeros(B))
    np.testing.assert_array_equal(dz, 0)


@each_loss
@each_dtype
def test_empty_batches(rng, name, dtype):
    loss, targets = CASES[name]
    with np.errstate(all="raise"):
        losses, dz = loss(np.empty((0, K), dtype), targets(rng)[:0])
    assert losses.shape == (0,)
    assert dz.shape == (0, K)


def test_values_by_hand():
    z, y = np.log(np.array([[1.0, 3.0], [2.0, 2.0]])), np.array([1, 0], dtype=np.int32)
    losses, dz = cross_entropy(z, y)
    np.testing.assert_allclose(losses, [np.log(4 / 3), np.log(2)])
    np.testing.assert_allclose(dz, np.array([[0.25, -0.25], [-0.5, 0.5]]) / 2)
    losses, _ = cross_entropy(z[:1], y[:1], smoothing=0.5)  # q = (1/4, 3/4), which is the softmax
    np.testing.assert_allclose(losses, [np.log(4) - 0.75 * np.log(3)])
    losses, dz = binary_cross_entropy(np.log([[3.0, 1.0]]), np.array([[1.0, 0.0]]))
    np.testing.assert_allclose(losses, [(np.log(4 / 3) + np.log(2)) / 2])
    np.testing.assert_allclose(dz, [[-1 / 8, 1 / 4]])
    losses, dz = squared(np.array([[1.0, 3.0], [0.0, 0.0]]), np.array([[0.0, 1.0], [0.0, 0.0]]), np.array([3.0, 1.0]))
    np.testing.assert_allclose(losses, [2.5, 0])
    np.testing.assert_allclose(dz, [[0.75, 1.5], [0, 0]])
    losses, dz = huber(np.array([[3.0, -0.5]]), np.zeros((1, 2)), delta=2.0)
    np.testing.assert_allclose(losses, [(2 * (3 - 1) + 0.125) / 2])
    np.testing.assert_allclose(dz, [[1.0, -0.25]])


def test_images_and_columns_are_targets_as_well(rng):
    z = rng.normal(size=(2, 3, 3, 1))
    for loss in (squared, huber):
        losses, dz = loss(z, np.zeros((2, 9)))
        np.testing.assert_allclose(losses, loss(z.reshape(2, 9), np.zeros((2, 9)))[0])
        assert dz.shape == z.shape
    losses, _ = squared(np.ones((3, 1)), np.zeros(3))
    np.testing.assert_array_equal(losses, 1)
    with pytest.raises(ValueError):
        squared(np.ones((3, 2)), np.zeros(3))


@pytest.mark.parametrize("loss", [binary_cross_entropy, squared, huber])
def test_gradients_go_where_they_are_asked_to(rng, loss):
    z, y = rng.normal(size=(B, K)), labels(rng)
    kept, out = z.copy(), np.full((B, K), np.nan)
    _, dz = loss(z, y, out=out)
    assert dz is out
    np.testing.assert_array_equal(dz, loss(z, y)[1])
    np.testing.assert_array_equal(z, kept)


def test_scores():
    z, w = np.array([[0.0, 1.0], [2.0, 1.0], [5.0, 6.0]]), np.array([1.0, 2.0, 1.0])
    y = np.array([1, 0, 0], dtype=np.int32)
    assert CrossEntropy().score(CrossEntropy().tally(z, y, w), y, w) == 0.75
    binary, y = BinaryCrossEntropy(), np.array([[0, 1], [1, 1], [0, 1]])
    assert binary.score(binary.tally(z, y, w), y, w) == 0.75
    loss, y = Squared(), np.array([[0.0, 7.0], [1.0, 7.0], [5.0, 7.0]])
    part = sum(loss.tally(z[i : i + 1], y[i : i + 1], w[i : i + 1]) for i in range(3))
    spread = w @ (y[:, 0] - np.average(y[:, 0], weights=w)) ** 2
    assert loss.score(part, y, w) == pytest.approx(1 - (2 / spread + 1) / 2)
    assert loss.score(0 * part, y, w) == 1


def test_links():
    z = np.array([[0.0, np.log(3)]])
    np.testing.assert_allclose(CrossEntropy().link(z), [[0.25, 0.75]])
    np.testing.assert_allclose(BinaryCrossEntropy().link(z), [[0.5, 0.75]])
    assert Huber().link(z) is z
    assert [loss.n_outputs(5) for loss in (CrossEntropy(), BinaryCrossEntropy(), Squared(), Huber())] == [5] * 4


def test_classes_may_be_of_any_whole_type(rng):
    z, y = rng.normal(size=(B, K)), codes(rng)
    expected = cross_entropy(z, y)
    for dtype in (np.int64, np.int8, np.uint8, np.uint64):
        for found, known in zip(cross_entropy(z, y.astype(dtype)), expected):
            np.testing.assert_array_equal(found, known)
    np.testing.assert_array_equal(cross_entropy(z, y.tolist())[1], expected[1])
    np.testing.assert_array_equal(cross_entropy(z, np.repeat(y, 2)[::2])[1], expected[1])
    for wrong in (2**40, K, -1, 2**32):
        with pytest.raises(ValueError, match="outside 0 to 3"):
            cross_entropy(z, np.append(y[1:].astype(np.int64), wrong))
    with pytest.raises(ValueError, match="Classes are whole numbers from 0 on, not of dtype float64"):
        cross_entropy(z, y.astype(float))
