"""ConvAutoencoder: images of any size in a few numbers and back, whatever their type and order."""

import copy

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skml import ConvAutoencoder
from skml._sklearn import InvalidParameterError
from skml.callback import EarlyStopping

QUICK = {"n_components": 4, "filters": (4, 6), "max_iter": 3, "random_state": 0}


@pytest.fixture(scope="module")
def digits():
    X = load_digits(return_X_y=True)[0].astype(np.float32)
    order = np.random.default_rng(0).permutation(len(X))
    return X[order[:1200]], X[order[1200:]]


def blobs(rng, n, H, W, C=1):
    """Return images of one bright spot, whose place is all there is to know."""
    centres = rng.uniform([0, 0], [H - 1, W - 1], size=(n, 2))
    rows, columns = np.mgrid[:H, :W]
    far = (rows - centres[:, :1, None]) ** 2 + (columns - centres[:, 1:, None]) ** 2
    return np.exp(-far / (0.1 * H * W))[..., None] * np.linspace(1, 2, C)


# ------------------------------------------------------------------------------------------------ quality


def test_fewer_errors_than_pca_with_as_many_numbers(digits):
    X, held = digits
    settings = {"learning_rate": "one_cycle", "learning_rate_init": 4e-3, "batch_size": 32}
    autoencoder = ConvAutoencoder(10, filters=(32, 64), random_state=0, **settings).fit(X)
    pca = PCA(10).fit(X)
    linear = np.mean((held - pca.inverse_transform(pca.transform(held))) ** 2)
    assert -autoencoder.score(held) < 0.8 * linear


def test_noise_is_left_out_by_what_has_seen_some(digits, rng):
    X, held = digits
    noisy = held + 4 * rng.normal(size=held.shape).astype(np.float32)
    left = {}
    for denoise in (0.0, 4 / X.std()):
        model = ConvAutoencoder(24, denoise=denoise, batch_size=32, random_state=0).fit(X)
        left[denoise] = np.mean((model.inverse_transform(model.transform(noisy)) - held) ** 2)
    plain, denoising = left.values()
    assert denoising < 0.85 * plain
    assert denoising < 16 / 2


def test_two_numbers_tell_where_a_spot_is(rng):
    X = blobs(rng, 400, 9, 7)
    model = ConvAutoencoder(2, max_iter=60, learning_rate="one_cycle", learning_rate_init=5e-3, random_state=0).fit(X)
    flat = X.reshape(400, -1)
    pca = PCA(2).fit(flat)
    linear = np.mean((flat - pca.inverse_transform(pca.transform(flat))) ** 2)
    assert -model.score(X) < 0.6 * linear


# --------------------------------------------------------------------------------------- shapes and types


@pytest.mark.parametrize("shape", [(13, 9, 3), (7, 7, 1), (1, 1, 2), (2, 5, 1)])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_images_of_any_size_come_back_flat(rng, shape, data_format):
    X = rng.normal(size=(30, *shape))
    X = np.moveaxis(X, 3, 1) if data_format == "channels_first" else X
    model = ConvAutoencoder(data_format=data_format, **QUICK).fit(X)
    assert model.image_shape_ == shape
    codes = model.transform(X)
    assert codes.shape == (30, 4)
    back = model.inverse_transform(codes)
    assert back.shape == (30, X[0].size)
    off = back - X.reshape(30, -1)
    np.testing.assert_allclose(model.reconstruction_error(X), (off**2).sum(axis=1))
    np.testing.assert_allclose(model.score(X), -np.mean(off**2))
    flat = ConvAutoencoder(data_format=data_format, image_shape=shape, **QUICK).fit(X.reshape(30, -1))
    np.testing.assert_array_equal(flat.transform(X.reshape(30, -1)), codes)


def test_channels_first_and_last_are_the_same_images(rng):
    X = rng.normal(size=(40, 6, 5, 2))
    last = ConvAutoencoder(**QUICK).fit(X)
    first = ConvAutoencoder(data_format="channels_first", **QUICK).fit(np.ascontiguousarray(np.moveaxis(X, 3, 1)))
    # rows are ordered by their content, so training differs, and that is all
    assert last.image_shape_ == first.image_shape_
    np.testing.assert_allclose(last.images_.mean, first.images_.mean)


def test_signals(rng):
    phases = rng.uniform(0, 2 * np.pi, size=(150, 1))
    X = np.stack([np.sin(np.linspace(0, 6, 51) + phases), np.cos(np.linspace(0, 6, 51) + phases)], axis=2)
    model = ConvAutoencoder(2, image_shape=(51, 2), max_iter=40, learning_rate_init=5e-3, random_state=0).fit(X)
    assert model.image_shape_ == (1, 51, 2)
    assert model.inverse_transform(model.transform(X)).shape == (150, 102)
    assert model.score(X) > -0.1 * X.var()


def test_bytes_come_back_in_their_units(digits):
    X = (digits[0][:300] * 15).astype(np.uint8)
    model = ConvAutoencoder(16, random_state=0).fit(X)
    back = model.inverse_transform(model.transform(X))
    assert back.dtype == np.float32
    assert back.max() > 100
    np.testing.assert_allclose(model.score(X), -np.mean((back - X.astype(float)) ** 2), rtol=1e-5)
    assert -model.score(X) < X.astype(float).var() / 2
    np.testing.assert_allclose(model.transform(X.astype(np.float32)), model.transform(X), atol=1e-5)
    with pytest.warns(UserWarning, match="fitted on uint8"):
        model.transform(X / 255)


def test_bytes_stand_for_floats_up_to_one(digits):
    X = (digits[0][:300] * 15).astype(np.uint8)
    model = ConvAutoencoder(**QUICK).fit((X / 255).astype(np.float32))
    np.testing.assert_allclose(model.score(X), model.score((X / 255).astype(np.float32)), rtol=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_types_are_kept(digits, dtype):
    X = digits[0][:100].astype(dtype)
    model = ConvAutoencoder(**QUICK).fit(X)
    assert model.transform(X).dtype == model.inverse_transform(model.transform(X)).dtype == dtype
    assert ConvAutoencoder(dtype="float32", **QUICK).fit(X).transform(X).dtype == np.float32


# --------------------------------------------------------------------------------------------- scikit-learn


def test_pipelines_searches_and_names(digits):
    X = digits[0][:150]
    pipe = make_pipeline(StandardScaler(), ConvAutoencoder(**QUICK)).set_output(transform="pandas").fit(X)
    assert list(pipe.transform(X).columns) == [f"convautoencoder{i}" for i in range(4)]
    search = GridSearchCV(ConvAutoencoder(**QUICK), {"n_components": [1, 8]}, cv=2).fit(X)
    assert search.best_params_ == {"n_components": 8}
    best = copy.deepcopy(search.best_estimator_)
    np.testing.assert_array_equal(best.transform(X), search.transform(X))


def test_weights_are_copies_and_order_is_none(digits, rng):
    X = digits[0][:60]
    k = rng.integers(0, 3, size=60)
    weighted = ConvAutoencoder(**QUICK).fit(X, sample_weight=k)
    copied = ConvAutoencoder(**QUICK).fit(rng.permutation(np.repeat(X, k, axis=0)))
    np.testing.assert_array_equal(weighted.transform(X), copied.transform(X))
    np.testing.assert_allclose(weighted.score(X, sample_weight=k), copied.score(np.repeat(X, k, axis=0)))


def test_partial_fit_goes_on(digits):
    X = digits[0]
    model = ConvAutoencoder(8, random_state=0).partial_fit(X[:400])
    first = model.score(X)
    for _ in range(4):
        model.partial_fit(X)
    assert model.n_iter_ == 5 == len(model.history_["loss"])
    assert model.score(X) > first
    with pytest.raises(ValueError, match="cannot go on"):
        model.set_params(n_components=9).partial_fit(X)


def test_a_warm_start_gives_the_bits_of_one_fit(digits):
    X = digits[0][:200]
    settings = {**QUICK, "denoise": 0.5}
    whole = ConvAutoencoder(**settings).fit(X)
    parts = ConvAutoencoder(**{**settings, "max_iter": 1}, warm_start=True).fit(X)
    parts.set_params(max_iter=3).fit(X)
    np.testing.assert_array_equal(parts.transform(X), whole.transform(X))
    assert parts.history_ == whole.history_


def test_early_stopping_and_callbacks(digits):
    X = digits[0][:300]
    model = ConvAutoencoder(4, early_stopping=True, n_iter_no_change=1, tol=10.0, random_state=0).fit(X)
    assert model.n_iter_ < 20
    assert model.history_["validation_score"] == [-loss for loss in model.history_["validation_loss"]]
    stopped = ConvAutoencoder(4, random_state=0)
    stopped.set_callbacks(EarlyStopping("loss", patience=1, min_delta=10.0)).fit(X)
    assert stopped.n_iter_ < 20


def test_feature_maps_and_summary(digits):
    X = digits[0][:20]
    model = ConvAutoencoder(**QUICK).fit(X)
    assert model.feature_maps(X, 0).shape == (20, 4, 4, 4)
    np.testing.assert_array_equal(model.feature_maps(X, model.n_encoder_layers_ - 1), model.transform(X))
    assert "Unflatten" in model.summary()
    assert model.summary().splitlines()[-1].startswith("total")


# ------------------------------------------------------------------------------------------------ bad input


def test_bad_requests_are_refused_in_words(rng):
    X = rng.normal(size=(20, 30))
    for settings, words in (
        ({"image_shape": (5, 5, 1)}, "5 x 5 x 1 = 25 numbers, but X has 30 features"),
        ({"padding": "valid", "image_shape": (3, 10, 1), "kernel_size": 5}, "does not fit an axis of 3"),
        ({"filters": (4, 4, 4), "padding": "valid", "image_shape": (6, 5, 1)}, "After the layers before it"),
        ({"stride": (1, 1, 1)}, "stride must be one size or one for each of 2 filters"),
    ):
        with pytest.raises(ValueError, match=words):
            ConvAutoencoder(**{**QUICK, **settings}).fit(X)
    for name, bad in (("denoise", -1.0), ("upsampling", "cubic"), ("n_components", 0), ("pool", "median")):
        with pytest.raises(InvalidParameterError, match=name):
            ConvAutoencoder(**{**QUICK, name: bad}).fit(X)
    with pytest.raises(ValueError, match="NaN"):
        ConvAutoencoder().fit(np.full((5, 4), np.nan))
    with pytest.raises(NotFittedError):
        ConvAutoencoder().inverse_transform(X)


def test_a_fitted_model_refuses_other_images_and_codes(rng):
    X = rng.normal(size=(20, 6, 5, 2))
    model = ConvAutoencoder(**QUICK).fit(X)
    for bad in (rng.normal(size=(3, 6, 5, 3)), rng.normal(size=(3, 5, 6, 2)), rng.normal(size=(3, 59))):
        with pytest.raises(ValueError, match="X"):
            model.transform(bad)
    with pytest.raises(ValueError, match=r"\(n_samples, 4\)"):
        model.inverse_transform(np.zeros((2, 5)))
    with pytest.raises(ValueError, match="NaN"):
        model.inverse_transform(np.full((2, 4), np.nan))


@pytest.mark.parametrize("value", [0.0, 5.0, -1e30, 1e300])
def test_constant_images_stay_finite(value):
    X = np.full((20, 16), value)
    model = ConvAutoencoder(**QUICK).fit(X)
    back = model.inverse_transform(model.transform(X))
    assert np.isfinite(back).all()
    assert np.isfinite(model.score(X))


def test_one_image_and_batches_larger_than_the_data(rng):
    X = rng.normal(size=(1, 16))
    assert np.isfinite(ConvAutoencoder(batch_size=1000, **QUICK).fit(X).transform(X)).all()


def test_a_rate_that_diverges_warns_and_stays_finite(digits):
    X = digits[0][:100]
    with pytest.warns(ConvergenceWarning, match="diverged"):
        model = ConvAutoencoder(**{**QUICK, "solver": "sgd", "learning_rate_init": 1e12}).fit(X)
    assert np.isfinite(model.inverse_transform(model.transform(X))).all()
