"""Ids and columns: numbers in the order of occurrence, places of ids, and columns by name from every container."""

import datetime
from fractions import Fraction

import numpy as np
import pandas
import polars
import pytest

from skml.recommendation.ids import find, listed, missing, number
from skml.recommendation.tables import as_column, named_column, without_labels


@pytest.mark.parametrize(
    "values",
    [
        np.array([7, 3, 7, 9, 3]),
        np.array([7.5, 3, 7.5, 9, 3]),
        np.array(["b", "z", "b", "a", "z"]),
        np.array(["b", "z", "b", "a", "z"], dtype=object),
        np.array([5, "z", 5, (1, 2), "z", None][:5], dtype=object),
        np.array([2**62, -(2**62), 2**62, 0, -(2**62)]),
    ],
    ids=["int", "float", "U", "str", "mixed", "far"],
)
def test_numbers_follow_first_occurrence(values):
    numbers, first = number(values, "The users")
    assert numbers.tolist() == [0, 1, 0, 2, 1]
    assert first.tolist() == [0, 1, 3]


def test_nothing_has_no_numbers():
    for dtype in (int, object):
        numbers, first = number(np.empty(0, dtype), "The users")
        assert len(numbers) == len(first) == 0


def test_ids_are_found_in_any_order():
    assert find(np.array([3, 5, 9]), np.array([9, 1, 3])).tolist() == [2, -1, 0]
    assert find(np.array([3.0, np.nan]), np.array([9, 1, 3])).tolist() == [2, -1]
    objects = np.array(["a", None, 3, (1, 2), np.nan, Fraction(1, 2)], dtype=object)
    known = np.array([(1, 2), "b", 3, "a", 0.5], dtype=object)
    assert find(objects, known).tolist() == [3, -1, 2, 0, -1, 4]
    assert find(np.array(["a", "q"]), known).tolist() == [3, -1]
    assert find(objects, np.empty(0)).tolist() == [-1] * 6


def test_what_is_missing():
    assert missing(np.array([1.0, np.nan])).tolist() == [False, True]
    assert missing(np.array([1, 2])).tolist() == [False, False]
    assert missing(np.array(["2020", "NaT"], "M8[s]")).tolist() == [False, True]
    values = np.array([None, pandas.NA, pandas.NaT, float("nan"), "", 0], dtype=object)
    assert missing(values.reshape(2, 3)).tolist() == [[True] * 3, [True, False, False]]


def test_a_few_are_named():
    assert listed(["a", 1]) == "'a', 1"
    assert listed(range(11)).endswith("9, ...")


def test_columns_by_name_or_place():
    when = [datetime.datetime(2020, 1, day) for day in (1, 3, 2)]
    frame = pandas.DataFrame({"user": pandas.Categorical(["b", "a", "b"]), "item": [1, 2, 3], "when": when})
    other = polars.DataFrame({"user": ["b", "a", "b"], "item": [1, 2, 3], "when": when})
    rows = [["b", 1, when[0]], ["a", 2, when[1]], ["b", 3, when[2]]]
    for X, key in ((frame, "when"), (other, "when"), (rows, 2), (np.array(rows, dtype=object), -1)):
        assert np.argsort(named_column(X, key, "time")).tolist() == [0, 2, 1]
        assert named_column(X, 0, "user").tolist() == ["b", "a", "b"]
    frame.loc[1, "user"] = None
    with pytest.raises(ValueError, match="missing in row 1"):
        named_column(frame, "user", "user")
    with pytest.raises(TypeError, match="times"):
        as_column(frame["when"], "ids")
    assert without_labels(as_column(frame["user"], "ids")).tolist() == ["b", None, "b"]
