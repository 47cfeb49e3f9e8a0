"""What cannot be learnt from, or not as it is: refused in words, warned of, or made the best of."""

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from skml import ConvAutoencoder, ConvClassifier, ConvRegressor
from skml._sklearn import InvalidParameterError

ALL = [ConvClassifier, ConvRegressor, ConvAutoencoder]
each = pytest.mark.parametrize("cls", ALL)
QUICK = {"filters": (4,), "max_iter": 2, "random_state": 0}


@pytest.fixture
def data(rng):
    """Return (X, y): noise of 8 x 8, flat, and three classes."""
    return rng.normal(size=(60, 64)), rng.permutation(np.arange(60) % 3)


def refused(model, X, y, message, error=ValueError):
    before = dict(vars(model))
    with pytest.raises(error, match=message):
        model.fit(X, y)
    assert vars(model) == before


# -------------------------------------------------------------------------------------- shapes of networks


@each
def test_a_kernel_larger_than_the_image(data, cls):
    refused(cls(**QUICK, kernel_size=9, padding="valid"), *data, "A window of 9 does not fit an axis of 8")
    assert np.isfinite(cls(**QUICK, kernel_size=17).fit(*data).transform(data[0])).all()  # "same" pads


@each
@pytest.mark.parametrize("how", [{"stride": 3, "kernel_size": 5}, {"pool": "max", "pool_size": 5}])
def test_strides_or_pooling_that_leave_nothing(data, cls, how):
    model = cls(**{**QUICK, "filters": (4, 4), "padding": "valid", **how})
    refused(model, *data, r"(?s)does not fit an axis of \d.*layer +output +parameters.*0  Convolution")


@each
@pytest.mark.parametrize("shape", [(8, 9, 1), (8, 8, 3), (60, 1), 63])
def test_an_image_shape_that_is_not_the_number_of_features(data, cls, shape):
    refused(cls(**QUICK, image_shape=shape), *data, r"= \d+ numbers, but X has 64 features")


@each
def test_residual_blocks_need_the_padding_same(data, cls):
    if cls is not ConvAutoencoder:
        refused(cls(**QUICK, residual=True, padding="valid"), *data, "residual=True needs padding='same'")


def test_an_autoencoder_without_convolutions(data):
    for filters in ((), []):
        model = ConvAutoencoder(**{**QUICK, "filters": filters}, hidden_layer_sizes=(5,))
        refused(model, *data, "filters must hold a size for at least one convolution", InvalidParameterError)
    assert ConvClassifier(**{**QUICK, "filters": ()}).fit(*data).n_parameters_ == 65 * 3


# -------------------------------------------------------------------------------------------------- images


@each
def test_other_images_at_predict(rng, cls):
    X = rng.normal(size=(20, 6, 6, 2))
    model = cls(**QUICK).fit(X, np.arange(20) % 2)
    for other, message in (
        (X[..., :1], "holds images of 6 x 6 x 1 .*those of fit were 6 x 6 x 2"),
        (np.concatenate([X, X], axis=3), "holds images of 6 x 6 x 4"),
        (X[:, :5], "holds images of 5 x 6 x 2"),
        (X.reshape(20, -1)[:, 1:], "X has 71 features"),
        (X[..., None], r"X has shape \(20, 6, 6, 2, 1\)"),
        (np.where(X > 0, np.nan, X), "NaN"),
    ):
        with pytest.raises(ValueError, match=message):
            model.transform(other)


@each
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none(data, cls, bad):
    X, y = data
    refused(cls(**QUICK), np.where(np.arange(64) == 5, bad, X), y, "NaN|infinity")


@each
@pytest.mark.parametrize("value", [0.0, 3.0, -1e300, 5e-324, 0, 255])
def test_constant_images(data, cls, value):
    X, y = np.full((60, 64), value), data[1]
    X = X.astype(np.uint8) if isinstance(value, int) else X
    model = cls(**QUICK).fit(X, y)
    assert np.isfinite(model.transform(X)).all()
    if cls is ConvClassifier:
        said = model.predict_proba(X)
        np.testing.assert_allclose(said, said[:1].repeat(60, axis=0), rtol=1e-6)


@each
def test_batches_larger_than_the_data(data, cls):
    for batch_size in (61, 10**12):
        assert cls(**QUICK, batch_size=batch_size).fit(*data).n_steps_ == 2


@each
def test_floats_for_a_model_of_bytes(rng, cls):
    X, y = rng.integers(0, 256, size=(30, 64), dtype=np.uint8), np.arange(30) % 2
    model = cls(**QUICK).fit(X, y)
    np.testing.assert_allclose(model.transform(X.astype(float)), model.transform(X), atol=1e-5)  # the same unit
    for other, message in ((X / 255, "Multiply by 255"), ((X - 128) / 64.0 - 2, "fitted on uint8.*Undo the scaling")):
        with pytest.warns(UserWarning, match=message) as seen:
            model.transform(other)
        assert len(seen) == 1


@each
def test_bytes_for_a_model_of_floats(rng, cls):
    X, y = rng.integers(0, 2, size=(30, 64), dtype=np.uint8), np.arange(30) % 2
    X[0] = 1
    unit = cls(**QUICK).fit(X * 1.0, y)
    np.testing.assert_allclose(unit.transform(X * np.uint8(255)), unit.transform(X * 1.0))  # divided by 255
    with pytest.warns(UserWarning, match="uint8 of at most 1.*divided by 255") as seen:
        unit.transform(X)
    assert len(seen) == 1
    standard = cls(**QUICK).fit(X * 2.0 - 1, y)
    with pytest.warns(UserWarning, match="uint8 up to 255, while the model was fitted on floats up to 1") as seen:
        standard.transform(X * np.uint8(255))
    assert len(seen) == 1
    grey = cls(**QUICK).fit(X * 16.0, y)
    np.testing.assert_array_equal(grey.transform(X * np.uint8(16)), grey.transform(X * 16.0))  # the same unit


# ------------------------------------------------------------------------------------------------- targets


@pytest.mark.parametrize("weights", [None, [1.0] * 20 + [0.0] * 40])
def test_one_class(data, weights):
    X, y = data
    y = np.zeros(60) if weights is None else np.repeat([0, 1], [20, 40])
    with pytest.raises(ValueError, match="needs rows of at least two classes; y has one class, 0"):
        ConvClassifier(**QUICK).fit(X, y, sample_weight=weights)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["a", None], "several types, NoneType, str; use one, and none that is missing"),
        (["a", np.nan], "several types, float, str"),
        (["a", 1], "several types, int, str"),
        (["a", b"b"], "several types, bytes, str"),
        ([1.0, np.nan], "y contains NaN"),
        ([1.0, np.inf], "y contains infinity"),
        ([0.5, 1.5], "continuous"),
        ([1, None], "several types, NoneType, int"),
        ([None, None], "Unknown label type"),
    ],
)
@pytest.mark.parametrize("form", [list, lambda y: np.array(y, dtype=object)])
def test_labels_that_are_none(data, labels, message, form):
    if isinstance(labels[0], float) and form is not list and labels != [0.5, 1.5]:
        message = "NaN|infinity|Unknown label type"  # numbers as objects are none of scikit-learn's labels
    refused(ConvClassifier(**QUICK), data[0], form(labels * 30), message)


def test_labels_that_are_words(data):
    X, y = data
    names = np.array(["one", "two", "three"])
    model = ConvClassifier(**QUICK).fit(X, list(names[y]))
    assert model.classes_.tolist() == ["one", "three", "two"]
    assert set(model.predict(X)) <= set(names)


def test_a_class_that_batches_lack(data):
    X, y = data
    y = np.where(np.arange(60) == 7, 2, y % 2)
    model = ConvClassifier(**QUICK, batch_size=1).fit(X, y)
    assert model.n_steps_ == 120
    assert np.isfinite(model.predict_proba(X)).all()


@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_a_class_that_the_rows_to_validate_with_lack(data, class_weight):
    X, y = data
    y = np.where(np.arange(60) == 7, 2, y % 2)  # its one row is left to learn from
    model = ConvClassifier(**QUICK, early_stopping=True, class_weight=class_weight).fit(X, y)
    assert model.classes_.tolist() == [0, 1, 2]
    assert np.isfinite(model.history_["validation_loss"]).all()
    assert all(0 <= score <= 1 for score in model.history_["validation_score"])


# ------------------------------------------------------------------------------------------ functions given


@pytest.mark.parametrize(
    ("augment", "message"),
    [
        (
            lambda x, generator: x[:, :4],
            r"shape \(8, 8, 8, 1\), as it is given; it returned ndarray of shape \(8, 4, 8, 1\)",
        ),
        (lambda x, generator: x[:1], r"returned ndarray of shape \(1, 8, 8, 1\)"),
        (lambda x, generator: x[..., 0], r"returned ndarray of shape \(8, 8, 8\)"),
        (lambda x, generator: None, "returned NoneType"),
        (lambda x, generator: "image", "returned str"),
        (lambda x, generator: x + 1j, "type complex"),
        (lambda x, generator: np.where(x > 0, np.nan, x), "a batch with NaN or infinity"),
        (lambda x, generator: x * np.inf, "a batch with NaN or infinity"),
    ],
)
@pytest.mark.parametrize("cls", [ConvClassifier, ConvRegressor])
def test_an_augmentation_that_gives_no_batch(data, cls, augment, message):
    refused(cls(**QUICK, augment=augment), np.abs(data[0]) - 1, data[1], message)


@each
@pytest.mark.parametrize("factor", [None, np.nan, np.inf, -1.0, "fast", [1.0]])
def test_a_schedule_that_gives_no_factor(data, cls, factor):
    model = cls(**QUICK, learning_rate=lambda step, total: factor)
    refused(model, *data, "The schedule of the learning rate gave .* for step 0 of 16; .* finite number of at least 0")


# ---------------------------------------------------------------------------------------------- divergence


@each
@pytest.mark.parametrize("rate", [1e200, 1e300])
def test_a_rate_that_diverges_to_infinity(data, cls, rate):
    X, y = data
    with pytest.warns(ConvergenceWarning, match="The training diverged in epoch .* before it are kept"):
        model = cls(**QUICK, solver="sgd", hidden_layer_sizes=(8,), learning_rate_init=rate).fit(X, y)
    assert np.isfinite(model.transform(1e6 * X)).all()
    assert np.isfinite(model.pool_.program.parameters.flat).all()


@each
def test_a_rate_that_diverges_short_of_infinity(data, cls):
    X, y = data
    with pytest.warns(ConvergenceWarning, match="in the last epoch the loss was .* before the first step"):
        model = cls(**QUICK, learning_rate_init=300.0).fit(X, y)
    assert model.n_iter_ == 2
    assert model.history_["loss"][-1] > 5
    assert np.isfinite(model.transform(X)).all()


# --------------------------------------------------------------------------------------------- shapes of X


@each
def test_arrays_that_look_like_signals_are_told_to_be_read_as_images(cls, rng):
    y = [0, 1] * 4
    for sizes, first, signals in (
        ((30, 3), False, r"length 30 with 3 channels are image_shape=\(30, 3\)"),
        ((3, 30), True, r"length 30 with 3 channels are image_shape=\(30, 3\)"),
        ((54, 6), False, r"image_shape=\(54, 6\)"),
        ((6, 54), False, r"image_shape=\(6, 54\)"),
    ):
        X = rng.normal(size=(8, *sizes))
        order = {"data_format": "channels_first" if first else "channels_last"}
        for given in (X, list(X)):
            with pytest.warns(UserWarning, match=f"height {sizes[0]} and width {sizes[1]}.*{signals}") as seen:
                model = cls(**QUICK, **order).fit(given, y)
            assert [one.filename for one in seen] == [__file__]
        assert model.image_shape_ == (*sizes, 1)
        model.partial_fit(X, y)
        model._rows(X, reset=False)
        cls(**QUICK, **order, image_shape=(*sizes, 1)).fit(X, y)


@each
def test_arrays_that_look_like_images_are_no_reason_to_warn(cls, rng):
    for sizes in ((4, 4), (8, 4), (5, 40), (8, 3, 1), (30, 3, 1)):
        assert cls(**QUICK).fit(rng.normal(size=(8, *sizes)), [0, 1] * 4).image_shape_ == (*sizes, 1)[:3]
    assert cls(**QUICK, image_shape=(30, 3)).fit(rng.normal(size=(8, 30, 3)), [0, 1] * 4).image_shape_ == (1, 30, 3)


@each
def test_arrays_of_other_dimensions_are_told_which_are_taken(cls):
    for X in (np.zeros((8, 2, 2, 2, 2)), np.zeros((0, 8, 8)), np.zeros((8, 0, 8)), [np.zeros((2, 2, 2, 2))] * 8):
        with pytest.raises(ValueError, match=r"flat rows .*grey images .*images .*, width, channels\) or.*signals"):
            cls(**QUICK).fit(X, [0, 1] * 4)


def test_an_image_shape_of_two_equal_numbers_is_told_as_it_was_given(rng):
    model = ConvClassifier(**QUICK, image_shape=(8, 8)).fit(rng.normal(size=(8, 8, 8)), [0, 1] * 4)
    with pytest.raises(ValueError, match=r"holds images of 9 x 9 x 1 .*; image_shape=\(8, 8\) means 8 x 8 x 1"):
        model.predict(np.zeros((2, 9, 9)))
