"""What classifiers of documents share: labels."""

import numpy as np
import pytest

from skml.language.classifying import codes_of

BAD = {
    "None among numbers": (np.array([0, None, 1], dtype=object), "several types, NoneType, int"),
    "a string among numbers": (np.array([0, "a", 1], dtype=object), "several types, int, str"),
    "a string in a list of numbers": ([0, "a", 1], "several types, int, str"),
    "NaN": (np.array([0, np.nan, 1]), "NaN"),
    "a column for each class": (np.array([[0, 1], [1, 0], [1, 1]]), "one class per document; y has 2 columns"),
    "one class": (["a", "a", "a"], "at least two classes; y has one class, 'a'"),
    "too few": (["a", "b"], "inconsistent"),
    "nothing": (None, "requires y to be passed"),
}


@pytest.mark.parametrize("fault", BAD)
def test_labels_that_are_none_are_refused_in_words(fault):
    y, message = BAD[fault]
    with pytest.raises(ValueError, match=message):
        codes_of(y, None, 3, "Classifier")


def test_classes_of_weight_0_are_none():
    classes, codes = codes_of(["b", "a", "c", "b"], np.array([1.0, 2.0, 0.0, 1.0]), 4, "Classifier")
    assert classes.tolist() == ["a", "b"]
    assert codes[[0, 1, 3]].tolist() == [1, 0, 1]
