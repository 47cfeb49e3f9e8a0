"""The honest gate: scikit-learn's check_estimator on every public estimator, default-constructed, counted.

Each check that ``check_estimator`` would run is one test here. Their number has a floor, because one wrong tag
silently drops up to all of them; the last line of a pytest run says how many there were.
"""

import importlib.util
import inspect
import os
from unittest import SkipTest

import pytest
from _contract.cases import accepts, classes, each_class, takes_weights
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    ClusterMixin,
    RegressorMixin,
    TransformerMixin,
    is_classifier,
    is_clusterer,
    is_regressor,
)
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import estimator_checks_generator

import skml

# {(estimator name, check name): why it cannot pass}. It stays empty.
EXPECTED_FAILURES = {}


def checks(estimator):
    """Return what ``check_estimator(estimator)`` runs, in its order."""
    return [check for _, check in estimator_checks_generator(estimator, legacy=True, mark=None)]


def name_of(check):
    return getattr(check, "func", check).__name__


def cases():
    """Yield one pytest case per estimator and check."""
    for cls in classes():
        for number, check in enumerate(checks(cls())):
            yield pytest.param(cls, check, id=f"{cls.__name__}-{number:02d}-{name_of(check)}")


# check_estimator runs under the user's own filters; a check that wants a warning asks for it.
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("cls", "check"), list(cases()))
def test_check_estimator(cls, check, record_property):
    outcome = "failed"
    try:
        check(cls())
        outcome = "passed"
    except SkipTest as skipped:
        outcome = "skipped"
        raise AssertionError(f"{name_of(check)} was skipped: {skipped}") from skipped
    except Exception:
        if (cls.__name__, name_of(check)) in EXPECTED_FAILURES:
            outcome = "excused"
        raise
    finally:
        record_property("check_estimator", (cls.__name__, outcome))


def floor(cls):
    """Return how many checks the kind of an estimator is owed, by scikit-learn 1.9's lists."""
    transforms, weighted = hasattr(cls, "transform"), takes_weights(cls)
    owed = 41
    if is_classifier(cls()):
        owed = 55
    elif is_regressor(cls()):
        owed = 52
    elif is_clusterer(cls()):
        owed = 46 - transforms  # the n_iter check of a clusterer gives way to that of a transformer
    owed += 6 * transforms + 7 * weighted
    owed += weighted and accepts(cls, "sparse")
    # Where NaN means missing there is no check of NaN and infinity; tests/test_contract_input.py has one.
    return owed - accepts(cls, "allow_nan")


@each_class
def test_no_check_is_missing(cls):
    assert len(checks(cls())) >= floor(cls)


def test_floors_are_those_of_the_kinds():
    def kind(*mixins, weights):
        def fit(self, X, y=None, sample_weight=None):
            return self

        def fit_unweighted(self, X, y=None):
            return self

        methods = {"fit": fit if weights else fit_unweighted}
        if TransformerMixin in mixins:
            methods["transform"] = lambda self, X: X
        return type("Kind", (*mixins, BaseEstimator), methods)

    assert floor(kind(weights=False)) == 41
    assert floor(kind(TransformerMixin, weights=False)) == 47
    assert floor(kind(ClusterMixin, weights=False)) == 46
    assert floor(kind(TransformerMixin, ClusterMixin, weights=True)) == 58
    assert floor(kind(ClassifierMixin, weights=False)) == 55
    assert floor(kind(ClassifierMixin, weights=True)) == 62
    assert floor(kind(RegressorMixin, weights=False)) == 52
    assert floor(kind(RegressorMixin, weights=True)) == 59


@each_class
def test_no_tag_drops_checks(cls):
    tags = get_tags(cls())
    assert not tags._skip_test
    assert not tags.no_validation
    assert not tags.non_deterministic
    assert tags.requires_fit
    assert tags.input_tags.two_d_array
    assert not tags.input_tags.pairwise
    assert not tags.input_tags.positive_only
    for kind in (tags.classifier_tags, tags.regressor_tags):
        assert kind is None or not kind.poor_score
    if tags.transformer_tags is not None:
        assert set(tags.transformer_tags.preserves_dtype) >= {"float64", "float32"}


@each_class
def test_weights_are_in_the_signature(cls):
    assert takes_weights(cls)
    for name in ("fit", "partial_fit", "fit_transform", "fit_predict"):
        if inspect.isfunction(getattr(cls, name, None)) and getattr(cls, name).__module__.startswith("skml"):
            parameters = inspect.signature(getattr(cls, name)).parameters.values()
            assert all(parameter.kind is not parameter.VAR_KEYWORD for parameter in parameters), name


@each_class
@pytest.mark.parametrize("name", ["partial_fit", "decision_function"])
def test_what_is_there_is_implemented(cls, name):
    # check_estimator counts a method that raises NotImplementedError as passed.
    if hasattr(cls, name):
        assert "NotImplementedError" not in inspect.getsource(getattr(cls, name))


def test_nothing_is_excused():
    assert EXPECTED_FAILURES == {}


def test_nothing_can_be_skipped_for_want_of_a_library():
    assert os.environ["SCIPY_ARRAY_API"] == "1"
    for library in ("array_api_strict", "pandas", "polars"):
        assert importlib.util.find_spec(library), library


def test_every_public_estimator_is_covered():
    tokenizers = {name for name in skml.__all__ if name.endswith("Tokenizer")}  # tests/language keeps their contract
    public = {name for name in skml.__all__ if inspect.isclass(getattr(skml, name))} - tokenizers
    assert {cls.__name__ for cls in classes()} == public
    assert public
