"""What a row is: shapes, formats, scaling."""

import numpy as np
import pytest

from skml import ConvAutoencoder, ConvClassifier, ConvRegressor
from skml.vision.images import LIMIT, as_shape, flat_rows, scale_images, shape_of_rows


def scaled(X, shape=None, channels_first=False, weights=None, dtype=np.float64):
    """Return what a network is shown of all rows."""
    shape = shape or (1, X.shape[1], 1)
    weights = np.ones(len(X)) if weights is None else weights
    images = scale_images(X, shape, channels_first, np.arange(len(X)), weights)
    out = np.empty((len(X), *shape), dtype=dtype)
    images.preparation(X.dtype, np.dtype(dtype))(X, out)
    return out, images


@pytest.mark.parametrize(
    ("asked", "shape"),
    [((4, 5, 3), (4, 5, 3)), ([7, 2], (1, 7, 2)), ((9,), (1, 9, 1)), (9, (1, 9, 1)), (np.array([4, 5, 3]), (4, 5, 3))],
)
def test_shapes_that_may_be_asked_for(asked, shape):
    assert as_shape(asked) == shape


@pytest.mark.parametrize("asked", [(4, 5, 3, 1), (), (0, 4), (2.0, 3), ("a",)])
def test_other_shapes_are_refused(asked):
    with pytest.raises(ValueError, match="image_shape must be"):
        as_shape(asked)


@pytest.mark.parametrize(("n", "shape"), [(784, (28, 28, 1)), (10, (1, 10, 1)), (1, (1, 1, 1))])
def test_flat_rows_are_square_or_a_signal(n, shape):
    assert shape_of_rows(n, None) == shape


def test_a_shape_must_multiply_to_the_features():
    with pytest.raises(ValueError, match="28 x 28 x 1 = 784 numbers, but X has 785 features"):
        shape_of_rows(785, (28, 28, 1))


@pytest.mark.parametrize(
    ("sizes", "asked", "first", "shape"),
    [
        ((6, 5), None, False, (6, 5, 1)),
        ((6, 5, 3), None, False, (6, 5, 3)),
        ((3, 6, 5), None, True, (6, 5, 3)),
        ((6, 5), (6, 5, 1), True, (6, 5, 1)),
        ((30, 4), (30, 4), False, (1, 30, 4)),
        ((4, 30), (30, 4), True, (1, 30, 4)),
        ((30, 1), 30, False, (1, 30, 1)),
        ((1, 30), (1, 30, 1), False, (1, 30, 1)),
    ],
)
def test_arrays_of_images_are_made_flat(rng, sizes, asked, first, shape):
    X = rng.random((2, *sizes))
    flat, found = flat_rows(X, asked, first)
    assert found == shape
    np.testing.assert_array_equal(flat, X.reshape(2, -1))
    np.testing.assert_array_equal(flat_rows(list(X), asked, first)[0], flat)


@pytest.mark.parametrize(("sizes", "asked"), [((6, 5), (5, 6, 1)), ((6, 5, 3), (6, 5, 1)), ((30, 4), (4, 30))])
def test_arrays_of_another_shape_are_refused(sizes, asked):
    with pytest.raises(ValueError, match="holds images of"):
        flat_rows(np.zeros((2, *sizes)), asked, False)


def test_an_ambiguous_shape_is_refused():
    with pytest.raises(ValueError, match="three dimensions.*give image_shape"):
        flat_rows(np.zeros((2, 8, 1)), None, False)


def test_images_of_several_shapes_are_refused():
    with pytest.raises(ValueError, match="several shapes"):
        flat_rows([np.zeros((2, 2)), np.zeros((2, 3))], None, False)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_are_standardised_by_channel(rng, dtype):
    X = (rng.normal(size=(40, 6, 3)) * [1, 10, 100] + [5, -3, 1000]).astype(dtype).reshape(40, -1)
    weights = rng.integers(1, 4, size=40) * 1.0
    x, images = scaled(X, (2, 3, 3), weights=weights)
    mean = np.average(x.mean(axis=(1, 2)), axis=0, weights=weights)
    square = np.average(np.square(x).mean(axis=(1, 2)), axis=0, weights=weights)
    np.testing.assert_allclose(mean, 0, atol=1e-4)
    np.testing.assert_allclose(square, 1, rtol=1e-4)
    assert images.kind == "numbers"


def test_channels_first_is_the_same_images(rng):
    pixels = rng.normal(size=(10, 4, 5, 3)) * [1, 2, 3]
    last, _ = scaled(pixels.reshape(10, -1), (4, 5, 3))
    first, images = scaled(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)).reshape(10, -1), (4, 5, 3), True)
    np.testing.assert_allclose(first, last, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(images.rows(pixels), pixels.transpose(0, 3, 1, 2).reshape(10, -1))
    np.testing.assert_array_equal(images.pixels(images.rows(pixels)), pixels)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bytes_are_divided_by_255(dtype):
    X = np.arange(256, dtype=np.uint8).reshape(4, 64)
    x, images = scaled(X, (8, 8, 1), dtype=dtype)
    np.testing.assert_allclose(x.ravel(), np.arange(256) / 255, rtol=1e-6)
    assert images.kind == "bytes"
    same = np.empty_like(x)
    images.preparation(np.float64, np.dtype(dtype))(X * 1.0, same)
    np.testing.assert_allclose(same, x, rtol=1e-6)


def test_floats_up_to_one_stand_for_bytes(rng):
    X = rng.integers(0, 256, size=(9, 16), dtype=np.uint8)
    x, images = scaled(X / 255, (4, 4, 1))
    assert images.kind == "unit"
    same = np.empty_like(x)
    images.preparation(np.uint8, np.float64)(X, same)
    np.testing.assert_allclose(same, x, atol=1e-12)


@pytest.mark.parametrize("value", [0.0, 0.1, 7.0, -1e300, 5e-324])
def test_a_constant_channel_stays_finite(value):
    x, images = scaled(np.full((7, 5), value))
    assert np.abs(x).max() < 1e-3 or abs(value) < 1e-300
    assert np.isfinite(x).all()
    assert (images.deviation > 0).all()


@pytest.mark.parametrize("factor", [1e-300, 1e-150, 1e150, 1e300])
def test_any_scale_gives_the_same(rng, factor):
    X = rng.normal(size=(20, 6))
    np.testing.assert_allclose(scaled(X * factor)[0], scaled(X)[0], rtol=1e-9, atol=1e-9)


def test_tiny_float32(rng):
    X = rng.normal(size=(20, 6)).astype(np.float32)
    x = scaled(X * np.float32(1e-36), dtype=np.float32)[0]
    np.testing.assert_allclose(x, scaled(X, dtype=np.float32)[0], rtol=1e-3, atol=1e-3)


def test_numbers_far_outside_are_cut_off(rng):
    _, images = scaled(rng.normal(size=(20, 6)))
    far, out = np.array([[1e308, -1e308, 0, 0, 0, 1e300]]), np.empty((1, 1, 6, 1))
    images.preparation(far.dtype, np.float64)(far, out)
    assert np.abs(out).max() == LIMIT


NETWORKS = [ConvClassifier, ConvRegressor, ConvAutoencoder]
TINY = {"filters": (2,), "max_iter": 1, "random_state": 0}


@pytest.mark.parametrize("network", NETWORKS)
def test_two_equal_sides_beside_images_are_grey_images(network, rng):
    X, y = rng.normal(size=(12, 8, 8)), np.arange(12) % 2
    fitted = network(image_shape=(8, 8), **TINY).fit(X, y)
    assert fitted.image_shape_ == (8, 8, 1)
    answer = "transform" if network is ConvAutoencoder else "predict"
    of_images, of_rows = (getattr(fitted, answer)(some) for some in (X, X.reshape(12, 64)))
    np.testing.assert_array_equal(of_images, of_rows)


def test_two_equal_sides_beside_images_of_one_channel_are_grey_images(rng):
    X = rng.normal(size=(3, 8, 8))
    for images, first in ((X, False), (X, True), (X[..., None], False), (X[:, None], True)):
        rows, shape = flat_rows(images, (8, 8), first)
        assert shape == (8, 8, 1)
        np.testing.assert_array_equal(rows, X.reshape(3, 64))
    assert flat_rows(X[:, None], (8, 8), False)[1] == (1, 8, 8)  # one row of pixels of 8 channels
    with pytest.raises(ValueError, match="holds images of 8 x 8 x 2"):
        flat_rows(rng.normal(size=(3, 8, 8, 2)), (8, 8), False)


@pytest.mark.parametrize("network", NETWORKS)
def test_two_equal_sides_beside_flat_rows_are_a_signal_and_said_so_once(network, rng):
    X, y = rng.normal(size=(12, 64)), np.arange(12) % 2
    with pytest.warns(UserWarning, match=r"signals of length 8 with 8 channels.*image_shape=\(8, 8, 1\)") as warned:
        fitted = network(image_shape=(8, 8), **TINY).fit(X, y)
    assert sum("signals of length" in str(warning.message) for warning in warned) == 1
    assert fitted.image_shape_ == (1, 8, 8)
    answer = getattr(fitted, "transform" if network is ConvAutoencoder else "predict")
    np.testing.assert_array_equal(answer(X.reshape(12, 8, 8)), answer(X))


def test_grey_images_go_on_as_flat_rows_of_grey_images(rng):
    X, y = rng.normal(size=(12, 8, 8)), np.arange(12) % 2
    fitted, other = (ConvClassifier(image_shape=(8, 8), **TINY).partial_fit(X, y, classes=[0, 1]) for _ in range(2))
    fitted.partial_fit(X, y), other.partial_fit(X.reshape(12, 64), y)
    np.testing.assert_array_equal(fitted.predict_proba(X), other.predict_proba(X))
    with pytest.raises(ValueError, match="images of 1 x 16 x 4.*; those of the last fit were 8 x 8 x 1"):
        other.set_params(image_shape=(16, 4)).partial_fit(X.reshape(12, 64), y)


def test_sides_that_differ_are_a_signal(rng):
    X, y = rng.normal(size=(12, 9, 2)), np.arange(12) % 2
    assert ConvClassifier(image_shape=(9, 2), **TINY).fit(X, y).image_shape_ == (1, 9, 2)
