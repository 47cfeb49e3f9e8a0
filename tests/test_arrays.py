"""Arrays of another library in, the same kind out: array_api_strict refuses whatever the standard doesn't promise."""

import array_api_strict as xp
import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler
from sklearn.utils.estimator_checks import check_array_api_input_and_values, check_array_api_same_namespace

from skml import PCA


@pytest.fixture(autouse=True)
def dispatch():
    with config_context(array_api_dispatch=True):
        yield


@pytest.mark.parametrize("params", [{}, {"whiten": True}, {"n_components": 0.1}, {"svd_solver": "arpack"}], ids=str)
def test_scikit_learns_checks_of_array_libraries(params):
    # Called by name: the tag array_api_support would add one skipped check per library that isn't installed.
    check_array_api_input_and_values("PCA", PCA(**params), "array_api_strict", check_sample_weight=True)
    check_array_api_same_namespace("PCA", PCA(**params), "array_api_strict")


def as_numpy(array):
    assert type(array).__module__.startswith("array_api_strict")
    return np.from_dlpack(array)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("holes", [0, 5])
def test_the_answer_is_numpys_in_the_callers_kind(rng, dtype, holes):
    X = rng.normal(size=(30, 6)).astype(dtype)
    X.flat[rng.choice(X.size, holes, replace=False)] = np.nan
    weights = rng.uniform(0.5, 2, size=30)
    ours, theirs = PCA(2), PCA(2)
    expected = ours.fit_transform(X, sample_weight=weights)
    got = theirs.fit_transform(xp.asarray(X), sample_weight=xp.asarray(weights))
    np.testing.assert_array_equal(as_numpy(got), expected)
    np.testing.assert_array_equal(as_numpy(theirs.components_), ours.components_)
    assert as_numpy(theirs.mean_).dtype == dtype
    for method in ("transform", "score_samples", "reconstruction_error"):
        np.testing.assert_array_equal(as_numpy(getattr(theirs, method)(xp.asarray(X))), getattr(ours, method)(X))
    np.testing.assert_array_equal(as_numpy(theirs.inverse_transform(got)), ours.inverse_transform(expected))
    np.testing.assert_array_equal(as_numpy(theirs.get_covariance()), ours.get_covariance())
    assert theirs.score(xp.asarray(X)) == ours.score(X)


def test_batches_go_on_in_the_callers_kind(rng):
    X = rng.normal(size=(40, 5))
    pca, whole = PCA(), PCA().fit(X)
    for batch in (X[:15], X[15:]):
        pca.partial_fit(xp.asarray(batch))
    np.testing.assert_allclose(as_numpy(pca.singular_values_), whole.singular_values_)
    pca.fit(X)  # back to NumPy
    np.testing.assert_array_equal(pca.components_, whole.components_)


def test_another_kind_than_the_fitted_one_is_refused(rng):
    X = rng.normal(size=(20, 4))
    with pytest.raises(ValueError, match=r"PCA.transform\(\) must use the same namespace"):
        PCA().fit(xp.asarray(X)).transform(X)
    with pytest.raises(ValueError, match=r"PCA.score_samples\(\) must use the same namespace"):
        PCA().fit(X).score_samples(X=xp.asarray(X))


def test_x_may_be_a_keyword_anywhere(rng):
    X = rng.normal(size=(20, 4))
    pca = PCA(2).fit(sample_weight=np.ones(20), X=xp.asarray(X))
    np.testing.assert_array_equal(as_numpy(pca.transform(X=xp.asarray(X))), PCA(2).fit(X).transform(X))


def test_a_failed_fit_leaves_the_fitted_arrays_as_they_were(rng):
    X = rng.normal(size=(20, 4))
    pca = PCA(2).fit(xp.asarray(X))
    components = pca.components_
    with pytest.raises(ValueError, match="infinity"):
        pca.partial_fit(xp.asarray(np.full((2, 4), np.inf)))
    assert pca.components_ is components


def test_frames_lists_and_pipelines_work_as_ever(rng):
    X = rng.normal(size=(20, 4))
    frame = pd.DataFrame(X, columns=list("abcd"))
    pca = PCA(2).fit(frame)
    assert list(pca.feature_names_in_) == list("abcd")
    np.testing.assert_array_equal(pca.transform(frame), PCA(2).fit(X).transform(X))
    np.testing.assert_array_equal(PCA(2).fit(X.tolist()).components_, pca.components_)
    pipeline = make_pipeline(MaxAbsScaler(), PCA(2)).fit(xp.asarray(X))
    expected = make_pipeline(MaxAbsScaler(), PCA(2)).fit_transform(X)
    np.testing.assert_allclose(as_numpy(pipeline.transform(xp.asarray(X))), expected, atol=1e-12)
