"""What users of networks behind scikit-learn's interface have run into elsewhere, named after where they told of it."""

import copy
import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skml import ConvAutoencoder, ConvClassifier, ConvRegressor
from skml.callback import EarlyStopping
from skml.network import Convolution, GlobalPooling

QUICK = {"filters": (4,), "max_iter": 2, "random_state": 0}


@pytest.fixture
def images(rng):
    """Return (X, y): noise of 8 x 8, float32, and two classes."""
    X = rng.normal(size=(60, 8, 8)).astype(np.float32)
    return X, rng.permutation(np.arange(60) % 2)


@pytest.mark.parametrize("label", [np.int8, np.uint8, np.int32, np.uint64, np.float32, np.float64, bool, str])
def test_skorch_518_labels_of_any_type(images, label):
    X, y = images
    plain, other = ConvClassifier(**QUICK).fit(X, y), ConvClassifier(**QUICK).fit(X, y.astype(label))
    np.testing.assert_array_equal(other.predict_proba(X), plain.predict_proba(X))
    np.testing.assert_array_equal(other.predict(X), plain.predict(X).astype(label))
    assert other.predict(X).dtype == y.astype(label).dtype


@pytest.mark.parametrize("cls", [ConvClassifier, ConvRegressor, ConvAutoencoder])
@pytest.mark.parametrize("kind", [np.float16, np.int16, np.int64, bool, np.dtype(">f4"), np.dtype(">f8"), object])
def test_skorch_518_images_of_any_type(images, cls, kind):
    X, y = images
    X = (8 * X).astype(kind)
    same = X.astype(np.float32 if kind == np.dtype(">f4") else np.float64)
    scores = cross_val_score(cls(**QUICK), X.reshape(60, -1), y, cv=2, error_score="raise")
    np.testing.assert_array_equal(scores, cross_val_score(cls(**QUICK), same.reshape(60, -1), y, cv=2))
    np.testing.assert_array_equal(cls(**QUICK).fit(X, y).transform(X), cls(**QUICK).fit(same, y).transform(same))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_skorch_518_training_and_use_may_be_of_two_types(images, dtype):
    X, y = images
    model = ConvClassifier(**QUICK).fit(X.astype(dtype), y)
    said = model.predict_proba(X)
    assert said.dtype == model.predict_proba(X.astype(np.float64)).dtype == dtype  # the network's
    np.testing.assert_allclose(model.predict_proba(X.astype(np.float64)), said, atol=1e-5)


def test_skorch_766_a_search_without_targets(images):
    X, _ = images
    found = GridSearchCV(ConvAutoencoder(**QUICK), {"n_components": [1, 8]}, cv=2).fit(X.reshape(60, -1))
    assert np.isfinite(found.best_score_)
    for cls in (ConvClassifier, ConvRegressor):
        with pytest.raises((ValueError, TypeError), match="y"):
            GridSearchCV(cls(**QUICK), {"max_iter": [1]}, cv=2, error_score="raise").fit(X, None)


def test_skorch_768_arrays_of_images_pass_through_scikit_learn(images):
    X, y = images
    pipeline = make_pipeline(FunctionTransformer(lambda X: X[..., 0]), ConvClassifier(**QUICK))
    assert cross_val_score(pipeline, X[..., None], y, cv=3, error_score="raise").shape == (3,)
    search = GridSearchCV(ConvClassifier(**QUICK), {"filters": [(4,), (4, 4)]}, cv=2, error_score="raise")
    assert search.fit(X, y).predict(X).shape == (60,)


def test_skorch_1110_a_search_can_be_copied_and_kept(images):
    X, y = images
    grid = {"architecture": [[Convolution(4, activation="relu")], [Convolution(6, activation="relu"), GlobalPooling()]]}
    classifier = ConvClassifier(**QUICK).set_callbacks(EarlyStopping("loss"))
    search = GridSearchCV(classifier, grid, cv=2, error_score="raise").fit(X, y)
    for twin in (copy.deepcopy(search), pickle.loads(pickle.dumps(search))):
        np.testing.assert_array_equal(twin.predict_proba(X), search.predict_proba(X))
    again = clone(search.best_estimator_).fit(X, y)
    np.testing.assert_array_equal(again.predict_proba(X), search.predict_proba(X))
    deep = copy.deepcopy(search.best_estimator_).partial_fit(X, y)  # its numbers are its own
    assert (deep.predict_proba(X) != search.predict_proba(X)).any()
    np.testing.assert_array_equal(again.predict_proba(X), search.predict_proba(X))


@pytest.mark.parametrize("method", ["sigmoid", "isotonic", "temperature"])
@pytest.mark.parametrize("weighted", [False, True])
def test_sklearn_28245_probabilities_of_float32_suit_calibration(images, rng, method, weighted):
    X, y = images
    weights = rng.random(60) if weighted else None  # float64, beside predictions of float32
    calibrated = CalibratedClassifierCV(ConvClassifier(**QUICK), method=method, cv=2)
    said = calibrated.fit(X.reshape(60, -1), y, sample_weight=weights).predict_proba(X.reshape(60, -1))
    np.testing.assert_allclose(said.sum(axis=1), 1, rtol=1e-6)


def test_sklearn_28245_rows_of_float32_sum_to_one(images, rng):
    X, _ = images
    single = ConvClassifier(**QUICK).fit(X, np.arange(60) % 20).predict_proba(1e3 * X)
    assert single.dtype == np.float32
    # each is off by half a unit in the last place at most, which is 6e-8 of itself, and so is their sum
    np.testing.assert_allclose(single.sum(axis=1, dtype=np.float64), 1, atol=1e-7)
