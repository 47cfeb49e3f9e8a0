"""pad_sequences: by hand, by its laws, and what it refuses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skml.language import pad_sequences

ROWS = [[1, 2, 3], [4], []]


@pytest.mark.parametrize(
    ("length", "padding", "truncation", "expected"),
    [
        (None, "right", "right", [[1, 2, 3], [4, -1, -1], [-1, -1, -1]]),
        (None, "left", "right", [[1, 2, 3], [-1, -1, 4], [-1, -1, -1]]),
        (2, "right", "right", [[1, 2], [4, -1], [-1, -1]]),
        (2, "left", "left", [[2, 3], [-1, 4], [-1, -1]]),
        (2, "right", "left", [[2, 3], [4, -1], [-1, -1]]),
        (4, "left", "error", [[-1, 1, 2, 3], [-1, -1, -1, 4], [-1, -1, -1, -1]]),
        (0, "left", "left", [[], [], []]),
    ],
)
def test_by_hand(length, padding, truncation, expected):
    ids, mask = pad_sequences(ROWS, length, padding=padding, truncation=truncation)
    assert ids.dtype == np.int32
    assert mask.dtype == bool
    assert ids.tolist() == expected
    assert mask.tolist() == [[token != -1 for token in row] for row in expected]


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.lists(st.integers(0, 9), max_size=8), max_size=6),
    st.sampled_from(["left", "right"]),
    st.integers(-5, 20),
)
def test_what_the_mask_holds_is_the_sequences(rows, side, pad_id):
    ids, mask = pad_sequences(rows, padding=side, pad_id=pad_id)
    assert [row[known].tolist() for row, known in zip(ids, mask)] == rows
    assert np.all(ids[~mask] == pad_id)
    flipped, flipped_mask = pad_sequences(
        [row[::-1] for row in rows], padding="right" if side == "left" else "left", pad_id=pad_id
    )
    assert np.array_equal(flipped, ids[:, ::-1])
    assert np.array_equal(flipped_mask, mask[:, ::-1])


def test_no_sequences():
    assert pad_sequences([])[0].shape == (0, 0)
    assert pad_sequences([], 5)[1].shape == (0, 5)
    assert pad_sequences(iter([np.array([3], dtype=np.uint8)]))[0].tolist() == [[3]]


def test_padding_in_the_input_is_left_out():
    ids, mask = pad_sequences(np.array([[-1, 5, 6], [7, -1, -1]]), padding="right")
    assert ids.tolist() == [[5, 6], [7, -1]]
    assert mask.tolist() == [[True, True], [True, False]]


@pytest.mark.parametrize(
    ("rows", "options", "words"),
    [
        (ROWS, {"length": 2, "truncation": "error"}, "Sequence 0 has 3 tokens, more than length=2"),
        (ROWS, {"length": -1}, "length"),
        (ROWS, {"length": 2.0}, "length"),
        (ROWS, {"length": True}, "length"),
        (ROWS, {"padding": "both"}, "padding"),
        (ROWS, {"truncation": None}, "truncation"),
        (ROWS, {"pad_id": 0.5}, "pad_id"),
        (ROWS, {"pad_id": 2**31}, "pad_id"),
        ([[-2]], {}, "Sequence 0 holds -2"),
        ([[2**31]], {}, "holds 2147483648"),
        ([["a"]], {}, "sequence of integers"),
        (["ab"], {}, "sequence 0 is none"),
        ("ab", {}, "got str"),
        (5, {}, "got int"),
        ([5], {}, "sequence 0 is none"),
    ],
)
def test_what_is_refused(rows, options, words):
    with pytest.raises(ValueError, match=words):
        pad_sequences(rows, **options)


def test_what_would_not_fit_is_refused_first():
    with pytest.raises(MemoryError, match="Padded sequences would take"):
        pad_sequences(ROWS, 2**50)
