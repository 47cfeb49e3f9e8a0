"""Convolutions: compiled equals twin, the twin equals sums by hand, and the entries refuse what doesn't fit."""

import numpy as np
import pytest

from skml import _kernels
from skml._kernels import convolution
from skml._kernels.reference import convolution as twin

each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
each_module = pytest.mark.parametrize("module", [convolution, twin])

# (B, H, W, C, F, kernel, stride, pad, dilation, groups)
CASES = {
    "one number": (1, 1, 1, 1, 1, (1, 1), (1, 1), (0, 0), (1, 1), 1),
    "MNIST": (3, 28, 28, 1, 16, (3, 3), (1, 1), (1, 1), (1, 1), 1),
    "colours": (2, 9, 11, 3, 32, (3, 3), (1, 1), (1, 1), (1, 1), 1),
    "one filter": (2, 7, 6, 16, 1, (3, 3), (1, 1), (1, 1), (1, 1), 1),
    "three filters of 64": (2, 9, 8, 64, 3, (5, 3), (1, 1), (1, 2), (2, 1), 1),
    "three filters of 12": (5, 3, 4, 12, 3, (3, 3), (1, 1), (1, 0), (1, 1), 1),
    "two filters, strides": (2, 9, 8, 24, 2, (3, 3), (2, 2), (1, 1), (1, 1), 1),
    "three filters": (2, 7, 6, 10, 3, (5, 5), (1, 1), (2, 2), (1, 1), 1),
    "odd filters": (3, 6, 5, 7, 77, (3, 2), (1, 1), (1, 0), (1, 1), 1),
    "13 filters": (2, 6, 5, 4, 13, (3, 3), (1, 1), (1, 1), (1, 1), 1),
    "43 filters": (2, 6, 5, 4, 43, (3, 3), (1, 1), (1, 1), (1, 1), 1),
    "pointwise": (4, 5, 5, 24, 40, (1, 1), (1, 1), (0, 0), (1, 1), 1),
    "pointwise, every second": (4, 7, 8, 24, 40, (1, 1), (2, 2), (0, 0), (1, 1), 1),
    "whole image": (20, 4, 4, 8, 16, (4, 4), (1, 1), (0, 0), (1, 1), 1),
    "tiny images": (70, 2, 3, 5, 9, (3, 3), (1, 1), (1, 1), (1, 1), 1),
    "strides": (2, 12, 15, 5, 18, (3, 3), (2, 2), (1, 1), (1, 1), 1),
    "uneven": (2, 12, 15, 5, 18, (4, 2), (3, 2), (2, 0), (2, 3), 1),
    "stride over kernel": (2, 13, 11, 4, 6, (2, 1), (3, 4), (0, 0), (1, 1), 1),
    "stride meets dilation": (1, 17, 16, 3, 6, (3, 4), (4, 2), (3, 2), (2, 2), 1),
    "pad over kernel": (2, 5, 4, 3, 6, (2, 2), (1, 1), (4, 3), (1, 1), 1),
    "groups": (2, 8, 7, 12, 30, (3, 3), (1, 1), (1, 1), (1, 1), 3),
    "groups and strides": (2, 9, 8, 12, 6, (3, 3), (2, 2), (1, 1), (1, 1), 6),
    "depthwise": (2, 8, 7, 21, 21, (3, 3), (1, 1), (1, 1), (1, 1), 21),
    "depthwise, strides": (2, 9, 7, 40, 40, (3, 3), (2, 1), (1, 1), (1, 2), 40),
    "depthwise, 2 channels": (2, 5, 7, 2, 2, (3, 2), (1, 1), (1, 1), (1, 1), 2),
    "depthwise, 7 channels": (3, 5, 9, 7, 7, (4, 4), (1, 2), (1, 1), (1, 1), 7),
    "signals": (3, 1, 500, 2, 8, (1, 7), (1, 1), (0, 3), (1, 1), 1),
    "a long signal": (1, 1, 9000, 9, 2, (1, 3), (1, 1), (0, 1), (1, 1), 1),
    "tiles of Winograd's": (3, 8, 7, 32, 64, (3, 3), (1, 1), (1, 1), (1, 1), 1),
    "tiles of Winograd's, odd": (2, 9, 11, 47, 65, (3, 3), (1, 1), (0, 2), (1, 1), 1),
    "a large image": (1, 90, 80, 12, 4, (3, 3), (1, 1), (1, 1), (1, 1), 1),
}
each_case = pytest.mark.parametrize("case", CASES)


def problem(rng, case, dtype, more=0):
    """Return x, w, b, dy and the numbers of a case; y reaches `more` positions further than the padding does."""
    B, H, W, C, F, kernel, stride, pad, dilation, groups = CASES[case]
    last = [
        (n + 2 * p - (k - 1) * d - 1) // s + 1 + more for n, p, k, d, s in zip((H, W), pad, kernel, dilation, stride)
    ]
    shapes = ((B, H, W, C), (*kernel, C // groups, F), (F,), (B, *last, F))
    return *(rng.normal(size=shape).astype(dtype) for shape in shapes), (stride, pad, dilation, groups)


def run(module, x, w, b, dy, numbers, activation=0, n_threads=1):
    """Return y, dx, dw and db."""
    y, dx, dw, db = (np.full_like(like, np.nan) for like in (dy, x, w, b))
    module.forward(x, w, b, y, *numbers, activation, n_threads)
    module.backward_data(dy, w, dx, *numbers, n_threads)
    module.backward_weights(x, dy, dw, db, *numbers, n_threads)
    return y, dx, dw, db


def n_terms(x, w, dy):
    """Return how many products y, dx, dw and db are sums of, at most."""
    windows, taps = dy[..., 0].size, w[..., 0, 0].size
    return taps * w.shape[2], taps * w.shape[3], windows, windows


def assert_close(ours, theirs, dtype, terms):
    # A sum of n products of independent normal numbers passes through values of the size of sqrt(n), though it may end
    # near 0; each step rounds to a share of what it is then.
    tol = 1e-5 if dtype == np.float32 else 1e-13
    for found, expected, n in zip(ours, theirs, terms, strict=True):
        assert found.dtype == dtype
        size = max(1 + np.abs(expected).max(), np.sqrt(n))
        np.testing.assert_allclose(found, expected, rtol=tol, atol=tol * size)


@each_dtype
@each_case
@pytest.mark.parametrize("more", [0, 1])
def test_compiled_is_the_twin(rng, dtype, case, more):
    x, w, b, dy, numbers = problem(rng, case, dtype, more)
    ours, theirs = (run(module, x, w, b, dy, numbers) for module in (convolution, twin))
    assert_close(ours, theirs, dtype, n_terms(x, w, dy))


@each_dtype
@each_case
def test_results_do_not_depend_on_threads(rng, dtype, case):
    given = problem(rng, case, dtype)
    expected = run(convolution, *given)
    for n_threads in (2, 3, 9):
        for found, one in zip(run(convolution, *given, n_threads=n_threads), expected):
            np.testing.assert_array_equal(found, one)


@each_dtype
@each_case
def test_images_do_not_depend_on_each_other(rng, dtype, case):
    x, w, b, dy, numbers = problem(rng, case, dtype)
    y, dx, _, _ = run(convolution, x, w, b, dy, numbers)
    for i in (0, len(x) - 1):
        alone = run(convolution, x[i : i + 1], w, b, dy[i : i + 1], numbers)
        np.testing.assert_array_equal(alone[0], y[i : i + 1])
        np.testing.assert_array_equal(alone[1], dx[i : i + 1])


@each_module
@pytest.mark.parametrize("case", ["strides", "uneven", "groups and strides", "pad over kernel", "depthwise, strides"])
def test_the_two_gradients_are_those_of_the_sum(rng, module, case):
    # y is linear in x and in w: <dy, y(x)> = <dx, x> = <dw, w>, and for the bias <dy, y> = <db, b>
    x, w, b, dy, numbers = problem(rng, case, np.float64)
    y, dx, dw, db = run(module, x, w, b * 0, dy, numbers)
    total = (dy * y).sum()
    np.testing.assert_allclose([(dx * x).sum(), (dw * w).sum()], total, rtol=1e-10)
    np.testing.assert_allclose(db, dy.sum(axis=(0, 1, 2)))


@each_module
def test_a_convolution_by_hand(module):
    x = np.arange(9.0).reshape(1, 3, 3, 1)
    w = np.array([[1.0, 2.0], [3.0, 4.0]]).reshape(2, 2, 1, 1)
    numbers = ((1, 1), (0, 0), (1, 1), 1)
    y, dx, dw, db = run(module, x, w, np.array([0.5]), np.ones((1, 2, 2, 1)), numbers)
    assert y.ravel().tolist() == [27.5, 37.5, 57.5, 67.5]  # 0 + 2 + 9 + 16 + 0.5, ...
    assert dx.ravel().tolist() == [1, 3, 2, 4, 10, 6, 3, 7, 4]
    assert dw.ravel().tolist() == [8, 12, 20, 24]
    assert db.tolist() == [4]


@each_dtype
@pytest.mark.parametrize("activation", range(6))
@pytest.mark.parametrize(
    "case",
    ["MNIST", "odd filters", "groups", "depthwise", "a long signal", "three filters of 12", "tiles of Winograd's, odd"],
)
def test_activations_are_the_twins(rng, dtype, activation, case):
    x, w, b, dy, numbers = problem(rng, case, dtype)
    ours, theirs = (run(module, x, w, b, dy, numbers, activation, 2)[:1] for module in (convolution, twin))
    assert_close(ours, theirs, dtype, n_terms(x, w, dy)[:1])


@each_dtype
@each_module
def test_activations_of_large_numbers(dtype, module):
    x = np.array([-1e30, -100, -0.0, 0, 100, 1e30, np.nan], dtype=dtype).reshape(1, 1, 7, 1)
    one, none, y = np.ones((1, 1, 1, 1), dtype), np.empty(0, dtype), np.empty_like(x)
    expected = {
        0: x.ravel(),
        1: [0, 0, 0, 0, 100, 1e30, np.nan],
        2: [-1e28, -1, 0, 0, 100, 1e30, np.nan],
        3: [0, 0, 0, 0, 100, 1e30, np.nan],
        4: [-1, -1, 0, 0, 1, 1, np.nan],
        5: [0, 0, 0.5, 0.5, 1, 1, np.nan],
    }
    for activation, values in expected.items():
        module.forward(x, one, none, y, (1, 1), (0, 0), (1, 1), 1, activation, 1)
        np.testing.assert_allclose(y.ravel(), values, rtol=1e-6, atol=1e-30)


@each_dtype
@each_module
@pytest.mark.parametrize("case", ["MNIST", "tiles of Winograd's"])
@pytest.mark.parametrize("at", [2, 3])
def test_not_a_number_shows_where_it_is_read_and_nowhere_else(rng, dtype, module, case, at):
    x, w, b, dy, numbers = problem(rng, case, dtype)
    x[1, at, at, 0] = dy[1, at, at, 0] = np.nan
    reached = np.zeros(x.shape[:3], dtype=bool)
    reached[1, at - 1 : at + 2, at - 1 : at + 2] = True
    for found in run(module, x, w, b, dy, numbers)[:2]:
        np.testing.assert_array_equal(np.isnan(found), np.broadcast_to(reached[..., None], found.shape))


@each_dtype
@each_module
def test_the_bias_may_be_left_out(rng, dtype, module):
    x, w, b, dy, numbers = problem(rng, "colours", dtype)
    with_bias, without = run(module, x, w, b * 0, dy, numbers), run(module, x, w, b[:0], dy, numbers)
    for found, expected in zip(without[:3], with_bias):
        np.testing.assert_array_equal(found, expected)
    assert without[3].shape == (0,)


@each_dtype
@each_module
def test_a_batch_of_none(dtype, module):
    x, w, b = np.empty((0, 5, 5, 2), dtype), np.ones((3, 3, 2, 4), dtype), np.ones(4, dtype)
    y, dx, dw, db = run(module, x, w, b, np.empty((0, 5, 5, 4), dtype), ((1, 1), (1, 1), (1, 1), 1))
    assert len(y) == len(dx) == 0
    assert not dw.any()
    assert not db.any()


@each_module
def test_what_is_outside_an_image_does_not_leak_in(rng, module):
    # not a number in one image stays in it, though windows of several images lie side by side
    x, w, b, dy, numbers = problem(rng, "tiny images", np.float32)
    x[1], dy[1] = np.nan, np.nan
    y, dx, _, _ = run(module, x, w, b, dy, numbers)
    for array in (y, dx):
        assert np.isfinite(np.delete(array, 1, axis=0)).all()
        assert not np.isfinite(array[1]).any()


def refused(function, *arguments, error=ValueError):
    with pytest.raises(error):
        function(*arguments)


def replaced(arguments, at, value):
    return [value if i == at else argument for i, argument in enumerate(arguments)]


@each_module
def test_what_does_not_fit_is_refused(rng, module):
    x, w, b, dy, numbers = problem(rng, "groups", np.float64)
    shared = [(4, (0, 1)), (4, (1, -1)), (5, (-1, 0)), (6, (0, 1)), (7, 0), (7, 2), (7, -3), (7, 5)]
    arrays = [
        (0, x[:1]),
        (0, x[..., :9].copy()),
        (0, x.astype(np.float32)),
        (0, x[:, ::-1]),
        (1, w[..., :27].copy()),
        (1, w[:, :, :3].copy()),
        (1, w[:0]),
        (1, w.astype(np.float32)),
        (3, dy[:, :0]),
        (3, dy[:, ::2]),
        (3, dy[..., :27].copy()),
    ]
    good = [x, w, b, dy.copy(), *numbers, 0, 1]
    for at, value in [*arrays, *shared, (2, b[:2].copy()), (2, b.astype(np.float32)), (8, 6), (8, -1), (9, 0)]:
        refused(module.forward, *replaced(good, at, value))
    good = [dy, w, x.copy(), *numbers, 1]
    for at, value in [*((2 - at if at == 0 else 0 if at == 3 else 1, v) for at, v in arrays), (7, 0)]:
        refused(module.backward_data, *replaced(good, at, value))
    for at, value in shared:
        refused(module.backward_data, *replaced(good, at - 1, value))
    good = [x, dy, w.copy(), b.copy(), *numbers, 1]
    places = {0: 0, 1: 2, 3: 1}
    for at, value in [*((places[at], v) for at, v in arrays), *shared, (3, b[:1].copy()), (8, 0)]:
        refused(module.backward_weights, *replaced(good, at, value))


@pytest.mark.skipif(_kernels.LEVEL == "reference", reason="a twin trusts its caller")
def test_numbers_too_large_to_count_are_refused():
    one = np.ones((1, 1, 1, 1))
    good = [one, np.ones((2, 2, 1, 1)), one[0, 0, 0], one.copy(), (1, 1), (0, 0), (1, 1), 1, 0, 1]
    for at, value in ((4, (2**31, 2**31)), (6, (2**31, 1)), (6, (2**62, 1)), (6, (2**20, 2**20))):
        refused(convolution.forward, *replaced(good, at, value))
    for at, value in ((5, (2**61, 2**61)), (4, (2**70, 1))):
        refused(convolution.forward, *replaced(good, at, value), error=(ValueError, OverflowError))


@pytest.mark.parametrize("at", [0, 1, 2, 3])
def test_read_only_input_is_read_and_never_written(rng, at):
    x, w, b, dy, numbers = problem(rng, "colours", np.float32)
    copies = [array.copy() for array in (x, w, b, dy)]
    for array in (x, w, b, dy):
        array.flags.writeable = False
    run(convolution, x, w, b, dy, numbers)
    np.testing.assert_array_equal((x, w, b, dy)[at], copies[at])
