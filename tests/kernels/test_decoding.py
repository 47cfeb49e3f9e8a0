"""Decoding: compiled equals twin; rows do not depend on each other nor on threads; wrong arguments are refused."""

import numpy as np
import pytest

from skml import _kernels
from skml._kernels import decoding
from skml._kernels.reference import decoding as twin

each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
L, H, D, M, V, T = 2, 2, 4, 70, 9, 6
C = H * D
SIZES = (C, C, 3 * C * C, 3 * C, C * C, C, C, C, C * M, M, M * C, C)


def arguments(rng, dtype, B, norm="layer", post=False, residual=True, rotary=False, by_tanh=False):
    """Return all arguments of a step, with weights one after the other."""
    ends = np.cumsum([0, *SIZES * L, V * C, C, C, V * C])
    weights = (0.3 * rng.normal(size=ends[-1])).astype(dtype)
    places, last = ends[: 12 * L].reshape(L, 12).copy(), ends[12 * L : -1].reshape(1, 4).copy()
    gone = {"layer": (), "rms": (1,), None: (0, 1)}[norm]
    for i in gone:
        places[:, i] = places[:, i + 6] = last[0, i + 1] = -1
    at = rng.integers(2, T, size=B).astype(np.int32)
    first = rng.integers(0, at + 1).astype(np.int32) if B else at
    tokens = rng.integers(V, size=B).astype(np.int32)
    none, angles = np.empty((0, 0), dtype), rng.normal(size=(2, T, D // 2)).astype(dtype)
    positions = none if rotary else rng.normal(size=(T, C)).astype(dtype)
    cache = rng.normal(size=(L, 2, B, H, T, D)).astype(dtype)
    tables = positions, *(angles if rotary else (none, none))
    return [weights, places, last, (M, post, residual, 1e-5, by_tanh), tokens, first, at, *tables, cache,
            np.full((B, C), np.nan, dtype), np.full((B, V), np.nan, dtype), 1]  # fmt: skip


def run(module, given, n_threads=1):
    given = [*given[:10], *(a.copy() for a in given[10:13]), n_threads]
    module.step(*given)
    return given[10:13]


@each_dtype
@pytest.mark.parametrize("norm", ["layer", "rms", None])
@pytest.mark.parametrize("post", [False, True])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("rotary", [False, True])
@pytest.mark.parametrize("by_tanh", [False, True])
@pytest.mark.parametrize("B", [0, 1, 7])
def test_a_step_is_the_twins(rng, dtype, norm, post, residual, rotary, by_tanh, B):
    given = arguments(rng, dtype, B, norm, post, residual, rotary, by_tanh)
    exact = [a.astype(np.float64) if isinstance(a, np.ndarray) and a.dtype == dtype else a for a in given]
    expected, ours = run(twin, exact), run(decoding, given)
    for found, wanted in zip(ours, expected):
        assert abs(found - wanted).max(initial=0) <= 2000 * np.finfo(dtype).eps * max(1, abs(wanted).max(initial=0))
    for found, same in zip(run(decoding, given, 3), ours):
        np.testing.assert_array_equal(found, same)


@pytest.mark.skipif(_kernels.LEVEL == "reference", reason="BLAS's bits depend on the rows beside")
def test_rows_do_not_depend_on_each_other(rng):
    given = arguments(rng, np.float32, 7)
    cache, hidden, logits = run(decoding, given)
    for b in range(7):
        one = [*given]
        one[4:7] = [a[b : b + 1].copy() for a in given[4:7]]
        one[10:13] = given[10][:, :, b : b + 1].copy(), given[11][b : b + 1].copy(), given[12][b : b + 1].copy()
        alone = run(decoding, one)
        np.testing.assert_array_equal(alone[0][:, :, 0], cache[:, :, b])
        np.testing.assert_array_equal(alone[1][0], hidden[b])
        np.testing.assert_array_equal(alone[2][0], logits[b])


@pytest.mark.parametrize("module", [decoding, twin])
def test_logits_may_be_left_out(rng, module):
    given = arguments(rng, np.float64, 3)
    cache, hidden, _ = run(module, given)
    given[12] = np.empty((0, 0))
    without = run(module, given)
    np.testing.assert_array_equal(without[0], cache)
    np.testing.assert_array_equal(without[1], hidden)


@pytest.mark.parametrize("module", [decoding, twin])
def test_what_does_not_fit_is_refused(rng, module):
    good = arguments(rng, np.float64, 3)
    module.step(*good)
    outside, gone, low = good[1].copy(), good[1].copy(), good[1].copy()
    outside[1, 11], gone[0, 2], low[0, 0] = len(good[0]) - C + 1, -1, -2
    far = good[1].copy()
    far[0, 3] = 2**63 - 1  # whose end would be a number below 0
    no_logits, no_tokens = good[2].copy(), good[2].copy()
    no_logits[0, 3], no_tokens[0, 0] = -1, -1
    bad = [
        (0, good[0][:-1]),
        (1, outside),
        (1, far),
        (1, gone),
        (1, low),
        (1, good[1][:1]),
        (1, good[1][:, :11].copy()),
    ]
    bad += [(2, no_logits), (2, no_tokens), (2, good[2][:, :3].copy()), (4, good[4][:2])]
    bad += [
        (3, (0, False, True, 1e-5, False)),
        (4, np.full(3, -1, np.int32)),
        (4, np.full(3, 10**6, np.int32)),
        (5, good[6] + 1),
        (5, good[5] * 0 - 1),
    ]
    bad += [(6, np.full(3, T, np.int32)), (6, good[6][:2]), (7, good[7][:, :5].copy()), (7, good[7][:1])]
    bad += [
        (10, good[10][:1]),
        (10, good[10][:, :1].copy()),
        (10, good[10][..., :3].copy()),
        (11, good[11][:2]),
        (12, good[12][:2]),
    ]
    good[5][0], good[6][0] = 0, T - 1  # so that the first row is beyond a single position
    for at, value in [*bad, *([(13, 0)] if module is not twin else [])]:
        with pytest.raises(ValueError):
            module.step(*[value if i == at else argument for i, argument in enumerate(good)])
    good = arguments(rng, np.float64, 3, rotary=True)
    for at, value in ((8, good[8][:, :1].copy()), (9, good[9][:1])):
        with pytest.raises(ValueError):
            module.step(*[value if i == at else argument for i, argument in enumerate(good)])
