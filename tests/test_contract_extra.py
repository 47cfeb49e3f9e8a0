"""scikit-learn's common tests that ``check_estimator`` leaves out, and the routing of sample weights."""

import numpy as np
import pytest
from _contract.cases import answers, assert_same, data, each_class, make
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks
from sklearn.utils.metadata_routing import get_routing_for_object

from skml._sklearn import Interval, InvalidParameterError

ALWAYS = [
    estimator_checks.check_param_validation,
    estimator_checks.check_dataframe_column_names_consistency,
    estimator_checks.check_inplace_ensure_writeable,
]
OF_TRANSFORMERS = [
    estimator_checks.check_transformer_get_feature_names_out,
    estimator_checks.check_transformer_get_feature_names_out_pandas,
    estimator_checks.check_get_feature_names_out_error,
    estimator_checks.check_set_output_transform,
    estimator_checks.check_set_output_transform_pandas,
    estimator_checks.check_global_output_transform_pandas,
    estimator_checks.check_set_output_transform_polars,
    estimator_checks.check_global_set_output_transform_polars,
]


def name_of(check):
    return check.__name__


@each_class
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("check", ALWAYS, ids=name_of)
def test_more_common_checks(cls, check):
    check(cls.__name__, cls())


@each_class
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("check", OF_TRANSFORMERS, ids=name_of)
def test_more_checks_of_transformers(cls, check):
    if hasattr(cls, "transform"):
        check(cls.__name__, cls())


@each_class
def test_the_extra_checks_apply(cls):
    # Several of them return at once where these are missing.
    if hasattr(cls, "transform"):
        assert hasattr(cls, "set_output")
        assert hasattr(cls, "get_feature_names_out")


@each_class
def test_every_constraint_is_declared(cls):
    constraints = cls._parameter_constraints
    assert constraints.keys() == cls().get_params(deep=False).keys()
    assert [name for name, allowed in constraints.items() if allowed == "no_validation"] == []


@each_class
def test_true_is_no_number(cls, rng):
    X, y = data(cls, rng)
    for name, allowed in cls._parameter_constraints.items():
        if any(isinstance(one, Interval) for one in allowed) and "boolean" not in allowed:
            for value in (True, False, np.True_):
                with pytest.raises(InvalidParameterError, match=f"The '{name}' parameter of {cls.__name__} must be"):
                    make(cls).set_params(**{name: value}).fit(X, y)


@each_class
def test_output_container_keeps_rows_and_numbers(cls, rng):
    pandas = pytest.importorskip("pandas")
    if not hasattr(cls, "transform"):
        return
    X, y = data(cls, rng)
    frame = pandas.DataFrame(X, index=rng.permutation(len(X)), columns=[f"c{i}" for i in range(X.shape[1])])
    estimator = make(cls).fit(frame, y)
    plain = estimator.transform(frame)
    out = estimator.set_output(transform="pandas").transform(frame)
    assert list(out.columns) == list(estimator.get_feature_names_out())
    assert out.index.equals(frame.index)
    np.testing.assert_array_equal(out.to_numpy(), plain)


@each_class
def test_weights_are_routed(cls, rng):
    X, y = data(cls, rng)
    weights = rng.integers(1, 5, size=len(X)) * 1.0
    with config_context(enable_metadata_routing=True):
        estimator = make(cls).set_fit_request(sample_weight=True)
        assert get_routing_for_object(estimator).fit.requests["sample_weight"] is True
        pipeline = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), estimator)
        routed = pipeline.fit(X, y, sample_weight=weights)[-1]
        unasked = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), make(cls))
        with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
            unasked.fit(X, y, sample_weight=weights)
    scaled = StandardScaler().fit_transform(X)
    assert_same(answers(routed, scaled), answers(make(cls).fit(scaled, y, sample_weight=weights), scaled))
    unweighted = answers(clone(routed).fit(scaled, y), scaled)
    assert any(not np.array_equal(value, unweighted[name]) for name, value in answers(routed, scaled).items())
