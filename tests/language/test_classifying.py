"""What classifiers of documents share: labels, and parameters of the language model that they are given."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from skml import FewShotClassifier, FineTunedClassifier, RNNLanguageModel, TransformerLanguageModel
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


# --------------------------------------------------------------------------------------- a fitted language model

TEXTS, CLASSES = ["ax aax x\n", "by bby y\n"] * 4, ["x", "y"] * 4
CLASSIFIERS = pytest.mark.parametrize("cls", [FewShotClassifier, FineTunedClassifier])


@pytest.fixture(scope="module", params=["recurrent", "transformer"])
def fitted(request):
    if request.param == "recurrent":
        return RNNLanguageModel(hidden_size=4, max_iter=1, random_state=0).fit(TEXTS)
    return TransformerLanguageModel(embedding_size=4, max_iter=1, random_state=0).fit(TEXTS)


@CLASSIFIERS
def test_parameters_that_a_fitted_language_model_does_not_use_are_not_searched_in_vain(cls, fitted):
    size = next(name for name in ("hidden_size", "embedding_size") if name in fitted.get_params())
    for name in (size, "max_iter"):
        asked = {f"language_model__{name}": [fitted.get_params()[name], 8]}
        search = GridSearchCV(cls(fitted, random_state=0), asked, cv=2, error_score="raise")
        with pytest.raises(ValueError, match=f"language_model__{name}=8 would change nothing.*clone"):
            search.fit(TEXTS, CLASSES)
    assert fitted.get_params()[size] == 4


def test_what_is_still_used_of_a_fitted_language_model_is_searched(fitted):
    asked = {"language_model__learning_rate_init": [1e-9, 0.05]}
    model = FineTunedClassifier(fitted, max_iter=5, random_state=0)
    first, second = (
        clone(model).set_params(language_model__learning_rate_init=rate).fit(TEXTS, CLASSES).history_["loss"]
        for rate in asked["language_model__learning_rate_init"]
    )
    assert first[-1] > second[-1]
    assert first[-1] == pytest.approx(first[0], rel=1e-5)
    GridSearchCV(model, asked, cv=2, error_score="raise").fit(TEXTS, CLASSES)
    with pytest.raises(ValueError, match="learning_rate_init=0.5 would change nothing"):
        FewShotClassifier(fitted).set_params(language_model__learning_rate_init=0.5)


@CLASSIFIERS
def test_parameters_that_stay_are_set_and_others_of_an_unfitted_language_model_too(cls, fitted):
    model = cls(fitted)
    model.set_params(**model.get_params())
    model.set_params(**clone(model).get_params())
    model.set_params(language_model=clone(fitted), language_model__max_iter=8)
    assert (model.language_model.max_iter, fitted.max_iter) == (8, 1)
    with pytest.raises(ValueError, match="max_iter=8 would change nothing"):
        model.set_params(language_model=fitted, language_model__max_iter=8)
    with pytest.raises(ValueError, match="would change nothing"):  # arrays are compared as a whole
        cls(fitted).set_params(language_model__max_iter=np.array([1, 8]))


@CLASSIFIERS
def test_a_language_model_whose_parameters_are_no_longer_those_of_its_fit_is_refused(cls):
    fitted = RNNLanguageModel(hidden_size=4, max_iter=1, random_state=0).fit(TEXTS)
    for name, value, message in (("hidden_size", 8, "another network"), ("dtype", "float64", "dtype='float64'")):
        before = fitted.get_params()[name]
        fitted.set_params(**{name: value})
        with pytest.raises(ValueError, match=f"now ask for {message}"):
            cls(fitted).fit(TEXTS, CLASSES)
        fitted.set_params(**{name: before})
    cls(fitted.set_params(dropout=0.5, max_iter=9), random_state=0).fit(TEXTS, CLASSES)
