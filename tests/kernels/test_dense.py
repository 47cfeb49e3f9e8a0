"""Products with what follows them: compiled equals twin for any sizes and threads; wrong arguments are refused."""

import threading

import numpy as np
import pytest

from skml import _kernels
from skml._kernels import dense
from skml._kernels.reference import dense as twin

each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
SIZES = [(1, 3, 5), (70, 17, 33), (260, 40, 70), (0, 3, 4), (5, 3, 0), (300, 130, 1)]
SIZES += [(70, 600, 300), (3, 4100, 5), (3, 5, 1060)]  # weights in several pieces, of either side


def close(found, expected, dtype):
    # sums of some thousand products of normal numbers at most: rounding adds up to K / 5 eps or so, the sums to sqrt(K)
    assert abs(found - expected).max(initial=0) <= 200 * np.finfo(dtype).eps * max(1, abs(expected).max(initial=0))


def normals(rng, dtype, *shapes):
    return [rng.normal(size=shape).astype(dtype) for shape in shapes]


def assert_same(found, dtype):
    """Assert that what kernels wrote is the twin's, which comes first, and each other's to the bit."""
    for expected, own, *others in zip(*found):
        close(own, expected, dtype)
        for other in others:
            np.testing.assert_array_equal(other, own)


@each_dtype
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("after", ["", "bias", "bias add", "add"])
def test_multiply_is_the_twins(rng, dtype, size, transposed, after):
    N, K, M = size
    x, w, b, add = normals(rng, dtype, (N, K), (M, K) if transposed else (K, M), (M if "bias" in after else 0,), (N, M))
    add = add if "add" in after else np.empty((0, 0), dtype)
    found = []
    for module, n_threads in ((twin, 1), (dense, 1), (dense, 2), (dense, 3)):
        y = np.full((N, M), np.nan, dtype)
        module.multiply(x, w, transposed, b, add, y, n_threads)
        found.append((y,))
    assert_same(found, dtype)


@each_dtype
@pytest.mark.parametrize("size", [(1, 3, 5, 2), (70, 17, 33, 20), (260, 40, 70, 50), (0, 3, 4, 5), (130, 300, 2100, 3)])
@pytest.mark.parametrize("by_tanh", [False, True])
@pytest.mark.parametrize("add", [False, True])
def test_feed_forward_is_the_twins(rng, dtype, size, by_tanh, add):
    N, K, M, L = size
    x, w, b, w_out, b_out, more = normals(rng, dtype, (N, K), (K, M), M, (M, L), L, (N, L) if add else (0, 0))
    w, w_out = w / np.sqrt(K, dtype=dtype), w_out / np.sqrt(M, dtype=dtype)
    found = []
    for module, n_threads in ((twin, 1), (dense, 1), (dense, 2), (dense, 3)):
        z, y = np.full((N, M), np.nan, dtype), np.full((N, L), np.nan, dtype)
        module.feed_forward(x, w, b, w_out, b_out, more, z, y, by_tanh, n_threads)
        found.append((z, y))
    assert_same(found, dtype)


@each_dtype
@pytest.mark.parametrize("size", [(1, 5, 3), (70, 33, 17), (530, 70, 40), (0, 4, 3), (5, 0, 3), (300, 1400, 260)])
@pytest.mark.parametrize("by_tanh", [False, True])
def test_feed_backward_is_the_twins(rng, dtype, size, by_tanh):
    N, M, L = size
    dy, w_out, z = normals(rng, dtype, (N, L), (M, L), (N, M))
    w_out /= np.sqrt(L, dtype=dtype)
    found = []
    for module, n_threads in ((twin, 1), (dense, 1), (dense, 2), (dense, 3)):
        dz, dw, db = z.copy(), np.full_like(w_out, np.nan), np.full(L, np.nan, dtype)
        module.feed_backward(dy, w_out, dz, dw, db, by_tanh, n_threads)
        found.append((dz, dw, db))
    assert_same(found, dtype)


@each_dtype
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("bias", [True, False])
def test_gradients_are_the_twins(rng, dtype, size, bias):
    N, K, M = size
    x, dy = normals(rng, dtype, (N, K), (N, M))
    found = []
    for module, n_threads in ((twin, 1), (dense, 1), (dense, 2), (dense, 3)):
        dw, db = np.full((K, M), np.nan, dtype), np.full(M if bias else 0, np.nan, dtype)
        module.gradients(x, dy, dw, db, n_threads)
        found.append((dw, db))
    assert_same(found, dtype)


@pytest.mark.skipif(_kernels.LEVEL == "reference", reason="a twin is not told to stop")
def test_products_stop_when_they_are_told_to(rng):
    told, N = threading.Event(), 200
    x, w, y, h, db, dw = normals(rng, np.float64, (N, 3), (3, 3), (N, 3), (N, 3), 3, (3, 3))
    none = np.empty((0, 0))
    told.set()
    for call in (
        lambda: dense.multiply(x, w, False, db, none, y, 1),
        lambda: dense.feed_forward(x, w, db, w, db, none, h, y, False, 1),
        lambda: dense.feed_backward(x, w, y, dw, db, False, 1),
        lambda: dense.gradients(x, y, w, db, 1),
    ):
        with _kernels.stoppable(told), pytest.raises(_kernels.Stopped):
            call()


@pytest.mark.parametrize("module", [dense, twin])
def test_what_does_not_fit_is_refused(module):
    x, w, b, y, none = np.ones((5, 3)), np.ones((3, 4)), np.ones(4), np.ones((5, 4)), np.empty((0, 0))
    threads = [0] if module is not twin else []
    good = [x, w, False, b, none, y, 1]
    module.multiply(*good)
    bad = [(0, x[:4]), (0, np.ones((5, 2))), (1, np.ones((3, 5))), (2, True), (3, b[:3]), (4, np.ones((5, 3))), (4, y)]
    refused(module.multiply, good, [*bad, (5, np.ones((5, 5))), *((6, n) for n in threads)])
    refused(module.multiply, [np.ones((5, 0)), np.ones((0, 4)), False, b, none, y, 1], [(6, 1)])
    z, c = np.ones((5, 2)), np.ones(2)
    good = [x, np.ones((3, 2)), c, np.ones((2, 4)), b, none, z, y, False, 1]
    module.feed_forward(*good)
    bad = [(0, x[:4]), (1, w), (2, b), (3, w), (4, b[:3]), (5, x), (5, y), (6, z[:4]), (7, y[:4]), (7, x)]
    refused(module.feed_forward, good, [*bad, *((9, n) for n in threads)])
    good = [np.ones((5, 0)), np.ones((0, 2)), c, np.ones((2, 4)), b, none, z, y, False, 1]
    refused(module.feed_forward, good, [(9, 1)])
    good = [y, w, x.copy(), np.ones((3, 4)), b, False, 1]
    module.feed_backward(*good)
    bad = [(0, y[:4]), (1, np.ones((3, 5))), (2, x[:4]), (3, np.ones((3, 5))), (3, np.ones((2, 4))), (4, b[:3])]
    refused(module.feed_backward, good, [*bad, *((6, n) for n in threads)])
    good = [np.ones((5, 0)), np.ones((3, 0)), x.copy(), np.ones((3, 0)), b[:0], False, 1]
    refused(module.feed_backward, good, [(6, 1)])
    good = [x, y, np.ones((3, 4)), b, 1]
    module.gradients(*good)
    bad = [(0, x[:4]), (1, y[:4]), (2, np.ones((3, 3))), (3, b[:3])]
    refused(module.gradients, good, [*bad, *((4, n) for n in threads)])


@pytest.mark.skipif(_kernels.LEVEL == "reference", reason="a twin computes before it writes")
def test_what_is_written_shares_nothing_with_what_is_read():
    room, square, c, none = np.ones((10, 4)), np.ones((4, 4)), np.ones(4), np.empty((0, 0))
    x, y, z = room[:5], room[5:], np.ones((5, 4))  # side by side is apart
    calls = [
        (dense.multiply, [x, square, False, c, none, y, 1], [(5, room[4:9]), (5, room[1:6]), (1, room[5:9])]),
        (dense.feed_forward, [x, square, c, square, c, none, z, y, False, 1], [(6, y), (6, x), (7, room[4:9])]),
        (dense.feed_backward, [x, square, y, square.copy(), c, False, 1], [(2, room[1:6]), (3, room[:4]), (3, y[:4])]),
        (dense.gradients, [x, y, square, c, 1], [(2, room[:4]), (2, room[6:])]),
    ]
    for function, good, bad in calls:
        function(*good)
        for at, value in bad:
            with pytest.raises(ValueError, match="may share no memory"):
                function(*[value if i == at else argument for i, argument in enumerate(good)])


def refused(function, good, bad):
    for at, value in bad:
        with pytest.raises(ValueError):
            function(*[value if i == at else argument for i, argument in enumerate(good)])


@pytest.mark.skipif(_kernels.LEVEL == "reference", reason="twins are slow, and keep nothing")
def test_a_product_within_a_product_changes_nothing(rng, monkeypatch):
    # between two parts of a long one handlers of signals run
    x, w, other = rng.normal(size=(70_000, 256)), rng.normal(size=(256, 256)), np.ones((256, 512), dtype=np.float32)
    x, w, b, none = x.astype(np.float32), w.astype(np.float32), np.empty(0, np.float32), np.empty((0, 0), np.float32)
    found, within = np.empty((2, 70_000, 256), np.float32), []

    def handler():
        y = np.empty((8, 512), np.float32)
        if not within:
            within.append(y)
            dense.multiply(other[:8, :256] + 0, other, False, b, none, y, 1)

    dense.multiply(x, w, False, b, none, found[0], 1)
    monkeypatch.setattr(dense, "breathe", handler)
    dense.multiply(x, w, False, b, none, found[1], 1)
    np.testing.assert_array_equal(within, np.full((1, 8, 512), 256))
    np.testing.assert_array_equal(*found)
