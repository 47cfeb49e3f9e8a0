"""Fused passes: compiled equals twin for any number of threads, gradients are right, wrong arguments are refused."""

import numpy as np
import pytest
from scipy.special import ndtr

from skml import _kernels
from skml._kernels import fused
from skml._kernels.reference import fused as twin

each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
each_activation = pytest.mark.parametrize("activation", range(6))
# Nothing, one number, odd sizes, more than one part and more than one thread.
SHAPES = [(0, 3), (3, 0), (1, 1), (7, 5), (64, 10), (9, 33), (700, 129), (20000, 16)]
each_shape = pytest.mark.parametrize("shape", SHAPES)


def tolerance(dtype, factor=16):
    return {"rtol": factor * np.finfo(dtype).eps, "atol": factor * np.finfo(dtype).eps}


def same(name, arguments, outputs, tol):
    """Call the kernel with 1, 2 and 3 threads and its twin on copies; their outputs are close, the kernel's equal."""
    results = []
    for module, n_threads in ((fused, 1), (fused, 2), (fused, 3), (twin, 1)):
        copies = [a.copy() if isinstance(a, np.ndarray) else a for a in arguments]
        returned = getattr(module, name)(*copies, n_threads)
        results.append([np.array(returned)] if returned is not None else [copies[i] for i in outputs])
    for other in results[1:3]:
        for ours, theirs in zip(results[0], other):
            np.testing.assert_array_equal(ours, theirs)
    for ours, theirs in zip(results[0], results[3]):
        np.testing.assert_allclose(ours, theirs, **tol)
    return results[0]


def normal(rng, shape, dtype):
    return rng.normal(size=shape).astype(dtype)


# --------------------------------------------------------------------------------------------- activations


@each_dtype
@each_shape
@each_activation
def test_activations_are_the_twins(rng, dtype, shape, activation):
    z, b, dy = normal(rng, shape, dtype) * 3, normal(rng, shape[1], dtype), normal(rng, shape, dtype)
    for bias in (b, b[:0]):
        (y,) = same("bias_activation", [z, bias, activation], [0], tolerance(dtype))
    known = z if activation == 3 else y
    same("activation_backward", [dy, known, np.full_like(z, np.nan), activation], [2], tolerance(dtype))


@each_activation
def test_derivatives_of_activations_are_differences(rng, activation):
    z, h = rng.normal(size=(1, 200)), 1e-6
    z[np.abs(z) < 1e-3] = 1
    around = []
    for moved in (z - h, z + h, z):
        around.append(moved.copy())
        fused.bias_activation(around[-1], z[0, :0], activation, 1)
    dz = np.ones_like(z)
    fused.activation_backward(dz, z if activation == 3 else around[2], dz, activation, 1)
    np.testing.assert_allclose(dz, (around[1] - around[0]) / (2 * h), rtol=1e-7, atol=1e-9)


@each_dtype
def test_activations_are_accurate_to_the_last_places(dtype):
    x = np.concatenate([np.linspace(-90, 90, 40001), np.linspace(-1, 1, 40001), 10.0 ** np.linspace(-30, 1, 2001)])
    x = x.astype(dtype)
    wide = x.astype(np.longdouble)
    truth = {4: np.tanh(wide), 5: 1 / (1 + np.exp(-wide))}
    for activation, expected in truth.items():
        y = x[None].copy()
        fused.bias_activation(y, x[:0], activation, 1)
        ulp = np.spacing(np.maximum(np.abs(expected).astype(dtype), np.finfo(dtype).tiny))
        inside = np.abs(x) < 80  # of float32's exponents
        assert (np.abs(y[0].astype(np.longdouble) - expected) / ulp)[inside].max() < 3


@each_dtype
@each_activation
def test_activations_keep_what_is_no_number(dtype, activation):
    z = np.array([[np.nan, np.inf, -np.inf, 0.0, -0.0] * 9], dtype=dtype)
    expected = {
        0: z[0, :5],
        1: [np.nan, np.inf, 0, 0, 0],
        2: [np.nan, np.inf, -np.inf, 0, 0],
        3: [np.nan, np.inf, np.nan, 0, 0],  # -inf times 0, as torch has it
        4: [np.nan, 1, -1, 0, 0],
        5: [np.nan, 1, 0, 0.5, 0.5],
    }[activation]
    fused.bias_activation(z, z[0, :0], activation, 1)
    np.testing.assert_allclose(z[0], np.tile(expected, 9), atol=1e-30)


# -------------------------------------------------------------------------------------------------- losses


@each_dtype
@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (7, 5), (64, 10), (9, 33), (300, 1000)])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_cross_entropy_is_the_twins(rng, dtype, shape, smoothing, weighted):
    B, K = shape
    z, codes = normal(rng, shape, dtype) * 5, rng.integers(K, size=B).astype(np.int32)
    w, of_class = (rng.random(B), rng.random(K)) if weighted else (np.empty(0), np.empty(0))
    out = [np.full_like(z, np.nan), np.full(B, np.nan)]
    tol = {"rtol": 100 * np.finfo(dtype).eps, "atol": 100 * np.finfo(dtype).eps}
    same("softmax_cross_entropy", [z, codes, w, smoothing, of_class, *out], [5, 6], tol)


@each_dtype
def test_softmax_is_accurate_to_the_last_places(rng, dtype):
    z = (np.rint(rng.random((50, 400)) * 6000) / 128).astype(dtype)  # whose differences are exact
    dz, loss, none = np.empty_like(z), np.empty(50), np.empty(0)
    fused.softmax_cross_entropy(z, np.zeros(50, np.int32), none, 0.0, none, dz, loss, 1)
    wide = z.astype(np.longdouble)
    p = np.exp(wide - wide.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    assert (np.abs(dz.astype(np.longdouble) - p) / np.spacing(p.astype(dtype)))[:, 1:].max() < 6


@each_dtype
def test_cross_entropy_of_large_logits(dtype):
    z = np.array([[1e4, 0, -1e4], [0, 1e4, 0]], dtype=dtype)
    dz, loss, none = np.empty_like(z), np.empty(2), np.empty(0)
    fused.softmax_cross_entropy(z, np.array([0, 2], np.int32), none, 0.0, none, dz, loss, 1)
    np.testing.assert_allclose(loss, [0, 1e4], atol=1e-30)
    np.testing.assert_allclose(dz, [[0, 0, 0], [0, 1, -1]], atol=1e-30)
    z[0, 1] = np.nan
    fused.softmax_cross_entropy(z, np.array([0, 2], np.int32), none, 0.0, none, dz, loss, 1)
    assert np.isnan(loss[0])
    assert loss[1] == 1e4


# ------------------------------------------------------------------------------------------- normalisation


@each_dtype
@each_shape
def test_layer_norm_is_the_twins(rng, dtype, shape):
    N, F = shape
    x, gamma, beta = normal(rng, shape, dtype) + 3, normal(rng, F, dtype), normal(rng, F, dtype)
    empty = [np.zeros_like(x), np.zeros(N, dtype), np.zeros(N, dtype)]
    tol = {"rtol": 3000 * np.finfo(dtype).eps, "atol": 3000 * np.finfo(dtype).eps}
    same("layer_norm", [x, gamma, beta, 1e-3, *empty], [4, 5, 6], tol)


@each_dtype
@pytest.mark.parametrize("shape", SHAPES[1:])
def test_batch_norm_is_the_twins(rng, dtype, shape):
    N, F = shape
    x, dy, gamma = normal(rng, shape, dtype) + 3, normal(rng, shape, dtype), normal(rng, F, dtype)
    tol = {"rtol": 100 * np.finfo(dtype).eps, "atol": 100 * np.finfo(dtype).eps}
    mean, var = same("batch_norm_statistics", [x, np.zeros(F, dtype), np.zeros(F, dtype)], [1, 2], tol)
    for activation in range(6):
        same("batch_norm", [x, gamma, gamma[::-1].copy(), np.zeros_like(x), activation], [3], tol)
    rstd = (1 / np.sqrt(var + 1e-3)).astype(dtype)
    out = [np.zeros_like(x), np.full(F, np.nan, dtype), np.full(F, np.nan, dtype)]
    scale = {"rtol": 10 * tol["rtol"], "atol": 10 * tol["atol"] * max(1, N) ** 0.5}
    same("batch_norm_backward", [dy, x, mean, rstd, gamma, *out], [5, 6, 7], scale)


def test_statistics_of_a_far_away_column_are_its_own(rng):
    x = rng.normal(size=(5000, 3)) * 1e-3 + 1e6
    mean, var = np.empty(3), np.empty(3)
    fused.batch_norm_statistics(x, mean, var, 1)
    np.testing.assert_allclose(var, x.var(axis=0), rtol=1e-6)
    fused.batch_norm_statistics(np.full((7, 3), 0.1), mean, var, 1)
    np.testing.assert_array_equal(var, 0)


# -------------------------------------------------------------------------------- optimisers and dropout


@each_dtype
@pytest.mark.parametrize("n", [0, 1, 17, 8192, 8193, 100_003])
def test_updates_are_the_twins(rng, dtype, n):
    w, g, m, v = (normal(rng, n, dtype) for _ in range(4))
    v = np.abs(v)
    same("adam", [w, g, m, v, 0.01, 0.9, 0.999, 1e-8, 0.001, 0.1], [0, 2, 3], tolerance(dtype, 64))
    for nesterov in (False, True):
        same("sgd", [w, g, m, 0.01, 0.9, nesterov, 0.001], [0, 2], tolerance(dtype))
    same("sum_of_squares", [w], [], {"rtol": 1e-12})


@each_dtype
@pytest.mark.parametrize("n", [0, 1, 8191, 8192, 100_003])
@pytest.mark.parametrize("p", [0.0, 0.3, 0.999])
def test_dropout_is_the_twins(rng, dtype, n, p, seed):
    (y,) = same("dropout", [normal(rng, n, dtype), np.full(n, np.nan, dtype), p, seed, 2**40, 3], [1], tolerance(dtype))
    if p == 0:
        assert (y != 0).all()


def test_masks_of_dropout_are_independent(seed):
    n, masks = 200_000, []
    for key in ((seed, 0, 0), (seed, 1, 0), (seed, 0, 1), (seed + 1, 0, 0)):
        masks.append(np.empty(n))
        fused.dropout(np.ones(n), masks[-1], 0.25, *key, 1)
    kept = np.array(masks) > 0
    np.testing.assert_allclose(kept.mean(axis=1), 0.75, atol=0.006)
    np.testing.assert_allclose(np.corrcoef(kept) - np.eye(4), 0, atol=0.015)
    for lag in (1, 2, 16, 8192):
        assert abs(np.corrcoef(kept[0, lag:], kept[0, :-lag])[0, 1]) < 0.015
    np.testing.assert_array_equal(masks[0][kept[0]], 1 / 0.75)


def test_dropout_of_fewer_elements_is_a_part_of_the_whole(rng):
    x = rng.normal(size=10_000)
    whole, part = np.empty(10_000), np.empty(9_000)
    fused.dropout(x, whole, 0.5, 1, 2, 3, 2)
    fused.dropout(x[:9_000], part, 0.5, 1, 2, 3, 1)
    np.testing.assert_array_equal(part, whole[:9_000])


@each_dtype
def test_gelu_is_exact(dtype):
    z = np.linspace(-12, 12, 40_001).astype(dtype)
    y, wide = z[None].copy(), z.astype(np.float64)
    fused.bias_activation(y, z[:0], 3, 1)
    eps = np.finfo(dtype).eps
    # z^2 / 2 in the exponent is rounded, so that what is left of a far tail is less exact
    allowed = eps * (16 + wide**2) * np.abs(wide) * ndtr(wide) + 1e-300
    assert (np.abs(y[0] - wide * ndtr(wide)) <= allowed).all()
    slopes = np.ones_like(y)
    fused.activation_backward(slopes, z[None], slopes, 3, 1)
    expected = ndtr(wide) + wide * np.exp(-0.5 * wide**2) / np.sqrt(2 * np.pi)
    np.testing.assert_allclose(slopes[0], expected, atol=4 * eps)


# -------------------------------------------------------------------------------------------------- refusals


def good_arguments():
    x, f, n = np.ones((4, 3)), np.ones(3), np.ones(4)
    codes, none = np.zeros(4, np.int32), np.empty(0)
    return {
        "bias_activation": [x, f, 1, 1],
        "activation_backward": [x, x, x.copy(), 1, 1],
        "softmax_cross_entropy": [x, codes, none, 0.0, none, x.copy(), n.copy(), 1],
        "layer_norm": [x, f, f, 1e-5, x.copy(), n.copy(), n.copy(), 1],
        "batch_norm_statistics": [x, f.copy(), f.copy(), 1],
        "batch_norm": [x, f, f, x.copy(), 0, 1],
        "batch_norm_backward": [x, x, f, f, f, x.copy(), f.copy(), f.copy(), 1],
        "adam": [n.copy(), n, n.copy(), n.copy(), 0.1, 0.9, 0.999, 1e-8, 0.0, 0.0, 1],
        "sgd": [n.copy(), n, n.copy(), 0.1, 0.9, False, 0.0, 1],
        "sum_of_squares": [n, 1],
        "dropout": [n, n.copy(), 0.5, 1, 2, 3, 1],
    }


@pytest.mark.skipif(_kernels.LEVEL == "reference", reason="a twin trusts its caller")
@pytest.mark.parametrize("name", sorted(good_arguments()))
def test_entries_refuse_what_does_not_fit(name):
    good, function = good_arguments()[name], getattr(fused, name)
    function(*good)
    worse = [(len(good) - 1, 0)]
    arrays = [i for i, argument in enumerate(good) if isinstance(argument, np.ndarray) and argument.size]
    if name != "sum_of_squares":
        alone = 0 if name in ("bias_activation", "batch_norm_statistics") else None  # alone in having rows
        worse += [(i, np.zeros((9, *good[i].shape[1:]), good[i].dtype)) for i in arrays if i != alone]
        worse += [(i, np.zeros((len(good[i]), 9))) for i in arrays if good[i].ndim == 2]
    worse += {
        "bias_activation": [(2, 6), (2, -1)],
        "activation_backward": [(3, 6)],
        "softmax_cross_entropy": [
            (1, np.full(4, 3, np.int32)),
            (1, np.full(4, -1, np.int32)),
            (2, np.ones(3)),
            (3, 1.5),
            (3, np.nan),
            (4, np.ones(2)),
        ],
        "batch_norm_statistics": [(0, np.ones((0, 3)))],
        "batch_norm": [(4, 9)],
        "dropout": [(2, 1.0), (2, -0.1), (2, np.nan)],
    }.get(name, [])
    for at, value in worse:
        with pytest.raises(ValueError):
            function(*[value if i == at else argument for i, argument in enumerate(good)])
    for i in arrays:
        with pytest.raises((TypeError, ValueError)):
            function(*[a.astype(np.float16) if j == i else a for j, a in enumerate(good)])
