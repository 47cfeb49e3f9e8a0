"""Attention: compiled equals twin, for any heads, padding, positions and threads; wrong arguments are refused."""

import threading

import numpy as np
import pytest

from skml import _kernels
from skml._kernels import attention
from skml._kernels.reference import attention as twin
from skml.network import rotary_angles

each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
# B, T, H, D
SIZES = [(1, 1, 1, 1), (4, 5, 2, 3), (4, 64, 1, 32), (4, 65, 2, 20), (4, 150, 2, 17), (0, 4, 2, 4), (2, 0, 2, 4)]


def firsts(rng, B, T):
    """Return what moments see first: all, packed documents, padding on the left, and anything."""
    t = np.arange(T)
    kinds = [np.zeros(T), np.maximum.accumulate(np.where(rng.random(T) < 0.1, t, 0))]
    kinds += [np.minimum(t, T // 2), t - rng.integers(0, t + 1)]
    return np.array(kinds, dtype=np.int32).reshape(4, T)[:B].copy()


def angles(T, D, dtype, rotary):
    return rotary_angles(T + 2, D, dtype) if rotary else (np.empty((0, 0), dtype),) * 2


def run(module, qkv, dout, first, H, turned, n_threads=1):
    B, T, wide = qkv.shape
    out, lse = np.full((B, T, wide // 3), np.nan, qkv.dtype), np.full((B, H, T), np.nan, qkv.dtype)
    dqkv = np.full_like(qkv, np.nan)
    module.forward(qkv, first, H, *turned, out, lse, n_threads)
    module.backward(dout, qkv, first, H, *turned, out, lse, dqkv, n_threads)
    in_place = qkv.copy()
    module.backward(dout, in_place, first, H, *turned, out, lse, in_place, n_threads)
    np.testing.assert_array_equal(in_place, dqkv)
    return out, lse, dqkv


@each_dtype
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("rotary", [False, True])
def test_attention_is_the_twins(rng, dtype, size, rotary):
    B, T, H, D = size
    D += D % 2 if rotary else 0
    qkv, dout = rng.normal(size=(B, T, 3 * H * D)), rng.normal(size=(B, T, H * D))
    first, exact = firsts(rng, B, T), angles(T, D, np.float64, rotary)
    expected = run(twin, qkv, dout, first, H, exact)
    given = qkv.astype(dtype), dout.astype(dtype), first, H, angles(T, D, dtype, rotary)
    ours = run(attention, *given)
    tol = 100 * np.finfo(dtype).eps  # sums of some hundred numbers of about one
    for found, wanted in zip(ours, expected):
        assert abs(found - wanted).max(initial=0) <= tol * max(1, abs(wanted).max(initial=0))
    for n_threads in (2, 3):
        for found, same in zip(run(attention, *given, n_threads), ours):
            np.testing.assert_array_equal(found, same)


@each_dtype
def test_what_is_not_seen_does_not_matter(rng, dtype):
    B, T, H, D = 2, 130, 2, 8
    first = np.repeat([[70]], T, axis=1)
    first = np.minimum(first, np.arange(T)).repeat(B, axis=0).astype(np.int32)
    qkv, dout = (rng.normal(size=(B, T, n * H * D)).astype(dtype) for n in (3, 1))
    dout[:, :70] = 0
    none = angles(T, D, dtype, False)
    before = run(attention, qkv, dout, first, H, none)
    qkv[:, :70] *= 50
    after = run(attention, qkv, dout, first, H, none)
    np.testing.assert_array_equal(before[0][:, 70:], after[0][:, 70:])
    np.testing.assert_array_equal(before[2][:, 70:], after[2][:, 70:])
    assert not after[2][:, :70].any()


@pytest.mark.skipif(_kernels.LEVEL == "reference", reason="a twin is not told to stop")
def test_attention_stops_when_it_is_told_to(rng):
    told, first = threading.Event(), np.zeros((1, 3), np.int32)
    qkv, y, lse = rng.normal(size=(1, 3, 6)), rng.normal(size=(1, 3, 2)), rng.normal(size=(1, 1, 3))
    none = angles(3, 2, np.float64, False)
    told.set()
    for call in (
        lambda: attention.forward(qkv, first, 1, *none, y, lse, 1),
        lambda: attention.backward(y.copy(), qkv, first, 1, *none, y, lse, np.empty_like(qkv), 1),
    ):
        with _kernels.stoppable(told), pytest.raises(_kernels.Stopped):
            call()


def test_large_scores_stay_finite():
    qkv = np.zeros((1, 70, 3), np.float32)
    qkv[0, :, 0], qkv[0, :, 1], qkv[0, :, 2] = 1e4, np.arange(70) * 100, np.arange(70)
    out, _, dqkv = run(
        attention, qkv, np.ones((1, 70, 1), np.float32), np.zeros((1, 70), np.int32), 1, angles(70, 1, np.float32, 0)
    )
    np.testing.assert_array_equal(out.ravel(), np.arange(70))  # the last key has by far the largest score
    assert np.isfinite(dqkv).all()


def test_nan_stays_nan():
    qkv = np.zeros((1, 3, 3))
    qkv[0, 1, 1] = np.nan
    out = run(attention, qkv, np.ones((1, 3, 1)), np.zeros((1, 3), np.int32), 1, angles(3, 1, np.float64, False))[0]
    assert np.isnan(out.ravel()).tolist() == [False, True, True]


@pytest.mark.parametrize("module", [attention, twin])
def test_what_does_not_fit_is_refused(module):
    B, T, H = 2, 6, 2
    qkv, first, out, lse = np.ones((B, T, 24)), np.zeros((B, T), np.int32), np.ones((B, T, 8)), np.ones((B, H, T))
    cosine = np.ones((T, 2))
    late, early = first.copy(), first.copy()
    late[1, 2], early[1, 2] = 3, -1
    good = [qkv, first, H, cosine, cosine, out, lse, 1]
    module.forward(*good)
    bad = [
        (0, qkv[:1]),
        (0, qkv[:, :5].copy()),
        (0, qkv[..., :23].copy()),
        (1, first[:1]),
        (1, late),
        (1, early),
        (2, 0),
        (2, 5),
    ]
    bad += [
        (3, cosine[:5]),
        (4, cosine[:5]),
        (5, out[:1]),
        (5, out[..., :7].copy()),
        (6, lse[:, :1].copy()),
        (6, lse[:1]),
    ]
    bad += [(7, 0)] if module is not twin else []
    for at, value in bad:
        with pytest.raises(ValueError):
            module.forward(*[value if i == at else argument for i, argument in enumerate(good)])
    for columns in (1, 3):
        with pytest.raises(ValueError):
            module.forward(qkv, first, H, np.ones((T, columns)), np.ones((T, columns)), out, lse, 1)
    good = [out, qkv, first, H, cosine, cosine, out, lse, qkv.copy(), 1]
    module.backward(*good)
    for at, value in [
        (0, out[:1]),
        (8, qkv[:1]),
        (8, qkv[..., :12].copy()),
        (6, out[:1]),
        (7, lse[:1]),
        (2, late),
        (3, 0),
    ]:
        with pytest.raises(ValueError):
            module.backward(*[value if i == at else argument for i, argument in enumerate(good)])
