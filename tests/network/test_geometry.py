"""Where windows lie: sizes by the formula, padding, taps against a search, and errors in words."""

import numpy as np
import pytest

from skml.network import Geometry, convolution_output_size


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((28, 3), 26),
        ((28, 5, 2), 12),
        ((28, 3, 1, 1), 28),
        ((7, 3, 2, 1), 4),
        ((7, 3, 1, 0, 3), 1),
        ((7, 3, 2, "same"), 4),
        ((8, 8, 3, "valid"), 1),
        ((1, 1), 1),
    ],
)
def test_sizes_by_hand(arguments, expected):
    assert convolution_output_size(*arguments) == expected


def test_a_window_larger_than_the_axis_is_refused_in_words():
    with pytest.raises(ValueError, match="A window of 5 does not fit an axis of 4"):
        convolution_output_size(4, 5)
    with pytest.raises(ValueError, match="of 3 at dilation 3 .which reaches 7. does not fit an axis of 4 with 1 of"):
        convolution_output_size(4, 3, padding=1, dilation=3)


@pytest.mark.parametrize("H", [1, 4, 7])
@pytest.mark.parametrize("kernel", [1, 2, 3, (3, 1)])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("padding", ["same", "valid", 1, (2, 0)])
@pytest.mark.parametrize("dilation", [1, 2])
def test_taps_are_those_of_a_search(H, kernel, stride, padding, dilation):
    geometry, W = Geometry(kernel, stride, padding, dilation), 9
    try:
        OH, OW = geometry.output(H, W)
    except ValueError:
        return
    top, left = geometry.pads(H, W)
    expected, found = np.zeros((2, OH, OW, *geometry.kernel), dtype=int) - 1
    for o, p, i, j in np.ndindex(expected.shape):
        row, column = o * stride - top + i * dilation, p * stride - left + j * dilation
        if 0 <= row < H and 0 <= column < W:
            expected[o, p, i, j] = row * W + column
    pixels_of = np.arange(H * W).reshape(H, W)
    for i, j, windows, pixels in geometry.taps(H, W):
        found[:, :, i, j][windows] = pixels_of[pixels]
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4])
def test_same_pads_evenly_and_sees_all_of_it(kernel, stride):
    for size in range(1, 12):
        geometry = Geometry(kernel, stride, "same")
        (n, _), (top, _) = geometry.output(size, size), geometry.pads(size, size)
        bottom = (n - 1) * stride + kernel - size - top
        assert n == -(-size // stride)
        assert bottom - top in (0, 1) or (top == 0 and bottom < 0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"kernel": 0}, "kernel must be a whole number of at least 1"),
        ({"kernel": (3, 3, 3)}, "or two of them"),
        ({"kernel": 3, "stride": 1.5}, "stride must be a whole number"),
        ({"kernel": 3, "padding": -1}, "padding must be a whole number of at least 0"),
        ({"kernel": 3, "padding": "full"}, "padding='full' is unknown; use 'same', 'valid'"),
        ({"kernel": 3, "dilation": True}, "dilation must be"),
        ({"kernel": 3, "groups": 0}, "groups must be a whole number of at least 1"),
    ],
)
def test_what_is_no_geometry_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        Geometry(**arguments)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"stride": 0}, "stride must be a whole number of at least 1, got 0"),
        ({"dilation": 0}, "dilation must be a whole number"),
        ({"kernel_size": 0}, "kernel_size must be a whole number"),
        ({"size": 0}, "size must be a whole number"),
        ({"size": 4.5}, "size must be a whole number"),
        ({"padding": -1}, "padding must be a whole number of at least 0"),
        ({"padding": "full"}, "padding='full' is unknown"),
        ({"stride": 0, "padding": "same"}, "stride must be a whole number"),
    ],
)
def test_sizes_of_nonsense_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        convolution_output_size(**{"size": 8, "kernel_size": 3, **arguments})
