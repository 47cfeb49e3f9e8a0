"""Padded rows: whole cache lines, zeros behind what is copied."""

import numpy as np
import pytest

from skml.recommendation.padding import padded, padded_copy

each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@each_dtype
@pytest.mark.parametrize("width", [1, 7, 8, 16, 65])
def test_padded_rows_are_whole_lines(dtype, width):
    rows = padded(3, width, dtype)
    assert rows.shape[0] == 3
    assert rows.shape[1] >= width
    assert rows.shape[1] * rows.itemsize % 64 == 0
    assert rows.ctypes.data % 64 == 0
    assert not rows.any()
    assert padded(0, width, dtype).shape == (0, rows.shape[1])


@each_dtype
@pytest.mark.parametrize("k", [1, 8, 16, 17])
def test_copies_are_scaled(rng, dtype, k):
    array = rng.normal(size=(7, k)).astype(dtype)
    rows = padded_copy(array, dtype, 2.0)
    assert rows.ctypes.data % 64 == 0
    assert rows.strides[0] % 64 == 0
    assert rows.flags.c_contiguous
    np.testing.assert_array_equal(rows[:, :k], 2 * array)
    assert not rows[:, k:].any()
