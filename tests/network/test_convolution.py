"""Convolution: by hand, as a matrix, by differences, on every path, and what it refuses."""

import numpy as np
import pytest
from _contract.gradients import check_gradients, check_layer

from skml.network import (
    Convolution,
    Geometry,
    TransposedConvolution,
    columns,
    convolution,
    convolution_backward,
    convolution_forward,
    convolution_matrix,
    transposed_convolution_forward,
)

PATHS = ["direct", "columns"]


@pytest.fixture(params=PATHS)
def path(request, monkeypatch):
    """Take this path wherever it can be taken; chunks are so small that there are many."""
    rule = convolution.path_of

    def forced(geometry, shape, dtype):
        return rule(geometry, shape, dtype) if geometry.groups > 1 else request.param

    monkeypatch.setattr(convolution, "path_of", forced)
    monkeypatch.setattr(columns, "CHUNK_BYTES", 1500)
    return request.param


CASES = [
    {"kernel": 3},
    {"kernel": 3, "padding": "valid"},
    {"kernel": 2, "stride": 2, "padding": "valid"},
    {"kernel": (2, 3), "stride": (2, 1), "padding": (1, 2)},
    {"kernel": 3, "stride": 2},
    {"kernel": 3, "dilation": 2},
    {"kernel": 1},
    {"kernel": 1, "stride": 2, "padding": 0},
    {"kernel": 3, "stride": 3, "padding": "valid"},
    {"kernel": 3, "groups": 2},
    {"kernel": 2, "groups": 4, "stride": 2, "dilation": (1, 2), "padding": 1},
]
each_case = pytest.mark.parametrize("case", CASES, ids=str)


def test_by_hand(path):
    x = np.arange(9.0).reshape(1, 3, 3, 1)
    w = np.array([[1.0, 0.0], [0.0, -1.0]]).reshape(2, 2, 1, 1)
    assert convolution_forward(x, w, np.array([1.0])).ravel().tolist() == [-3, -3, -3, -3]
    y = convolution_forward(x, w, geometry=Geometry(2, padding="same"))
    assert y[0, :, :, 0].tolist() == [[-4, -4, 2], [-4, -4, 5], [6, 7, 8]]
    y = convolution_forward(x, w, geometry=Geometry(2, padding=1), activation="relu")
    assert y[0, :, :, 0].tolist() == [[0, 0, 0, 0], [0, 0, 0, 2], [0, 0, 0, 5], [0, 6, 7, 8]]


@each_case
@pytest.mark.parametrize("image", [(5, 7), (6, 6)])
def test_it_is_the_product_with_its_matrix(rng, path, case, image):
    layer = Convolution(8, **case)
    x, w = rng.normal(size=(3, *image, 4)), rng.normal(size=layer.specs((*image, 4))[0].shape)
    options = {"stride": 1, "padding": "same", "dilation": 1, "groups": 1, **case}
    del options["kernel"]
    matrix = convolution_matrix(w, (*image, 4), **options)
    y = convolution_forward(x, w, geometry=layer.geometry())
    assert np.allclose(y.reshape(3, -1).T, matrix @ x.reshape(3, -1).T)
    dy = rng.normal(size=y.shape)
    dx, dw, _ = convolution_backward(dy, x, w, layer.geometry())
    assert np.allclose(dx.reshape(3, -1).T, matrix.T @ dy.reshape(3, -1).T)
    assert (dw * w).sum() == pytest.approx((y * dy).sum())  # y is linear in w
    spread = transposed_convolution_forward(dy, w, geometry=layer.geometry(), size=image)
    assert np.allclose(spread, dx)


@each_case
def test_gradients(rng, path, case):
    check_layer(Convolution(8, activation="tanh", **case), (5, 6, 4), rng)


@each_case
def test_transposed_gradients(rng, path, case):
    shape = Convolution(1, **{**case, "groups": 1}).output_shape((5, 6, 1))[:2]
    check_layer(TransposedConvolution(4, size=(5, 6), activation="tanh", **case), (*shape, 8), rng)


@pytest.mark.parametrize("activation", ["identity", "relu", "leaky_relu", "gelu", "sigmoid"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layer", [Convolution, TransposedConvolution])
def test_activations_are_fused(rng, path, layer, activation, bias):
    check_layer(layer(3, activation=activation, bias=bias), (4, 3, 2), rng)


def test_the_pair_allocates_what_it_is_not_given(rng):
    x, w, b = rng.normal(size=(2, 4, 4, 2)), rng.normal(size=(3, 3, 2, 3)), rng.normal(size=3)
    dy = rng.normal(size=(2, 2, 2, 3))
    gradients = convolution_backward(dy, x, w)
    check_gradients(lambda: convolution_forward(x, w, b), [x, w, b], gradients, dy, rng)
    assert convolution_backward(dy, x, w, need_dx=False)[0] is None


def test_signals_are_images_of_height_one(rng):
    check_layer(Convolution(3, (1, 5), activation="relu"), (1, 11, 2), rng)
    x, w = rng.normal(size=(1, 1, 9, 1)), rng.normal(size=4)
    y = convolution_forward(x, w.reshape(1, 4, 1, 1)).ravel()
    assert np.allclose(y, np.correlate(x.ravel(), w, "valid"))
    assert np.allclose(y, convolution_matrix(w, 9) @ x.ravel())


def test_all_paths_agree_in_float32(rng, monkeypatch):
    x, w = rng.normal(size=(3, 9, 8, 5)).astype(np.float32), rng.normal(size=(3, 3, 5, 6)).astype(np.float32)
    geometry, found = Geometry(3, 1, "same"), []
    for name in PATHS:
        monkeypatch.setattr(convolution, "path_of", lambda *_, name=name: name)
        found.append(convolution_forward(x, w, None, geometry, "gelu"))
    assert found[0].dtype == found[1].dtype == np.float32
    assert np.allclose(*found, atol=1e-5)


def test_the_path_is_a_rule():
    rule = convolution.path_of
    assert rule(Geometry(1), (8, 8, 4, 4), np.float32) == "matmul"
    assert rule(Geometry(1, padding=1), (8, 8, 4, 4), np.float32) == "direct"
    assert rule(Geometry(3), (8, 8, 4, 4), np.float32) == "direct"
    assert rule(Geometry(3), (8, 8, 512, 4), np.float32) == "columns"
    assert rule(Geometry(3, groups=4), (8, 8, 512, 4), np.float32) == "direct"


def test_columns_take_a_megabyte_at_most():
    for shape in [(28, 28, 16, 32), (64, 64, 64, 64), (8, 8, 512, 16)]:
        made = columns.Columns(Geometry(3, 1, "same"), shape, 64, np.float32)
        assert made.col.nbytes <= 2**20


def test_columns_do_not_depend_on_the_size_of_chunks(rng, monkeypatch):
    monkeypatch.setattr(convolution, "path_of", lambda *_: "columns")
    x, w = rng.normal(size=(5, 7, 6, 3)), rng.normal(size=(3, 3, 3, 4))
    found = []
    for size in (1, 2000, 2**20):
        monkeypatch.setattr(columns, "CHUNK_BYTES", size)
        y = convolution_forward(x, w)
        found.append((y, *convolution_backward(y, x, w)))
    for other in found[1:]:
        assert all(np.allclose(a, b) for a, b in zip(found[0], other))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Convolution(4, 9, padding="valid").output_shape((8, 8, 1)), "A window of 9 does not fit an axis of 8"),
        (lambda: Convolution(4, groups=3).output_shape((8, 8, 6)), "3 groups do not divide 6 channels and 4 filters"),
        (lambda: Convolution(4).output_shape((64,)), r"takes images of shape \(height, width, channels\), not"),
        (lambda: TransposedConvolution(4).output_shape((64,)), "takes images of shape"),
        (lambda: Convolution(4, activation="swish"), "activation='swish' is unknown"),
        (lambda: Convolution(4, stride=0), "stride must be a whole number of at least 1"),
        (lambda: convolution_forward(np.ones((1, 4, 4, 3)), np.ones((2, 2, 2, 1))), "images have 3 channels, the fil"),
        (lambda: convolution_forward(np.ones((4, 4, 3)), np.ones((2, 2, 3, 1))), "four axes each"),
        (
            lambda: convolution_forward(np.ones((1, 4, 4, 1)), np.ones((2, 2, 1, 1)), geometry=Geometry(3)),
            r"filters are 2 x 2, the geometry's kernel is \(3, 3\)",
        ),
        (
            lambda: TransposedConvolution(4, stride=2, size=(9, 8)).output_shape((4, 4, 1)),
            r"An image of \(4, 4\) cannot be spread to \(9, 8\): the convolution makes \(5, 4\) of it",
        ),
        (lambda: convolution_matrix(np.ones((2, 2)), 5), "do not belong together"),
        (lambda: convolution_matrix(np.ones(6), 5), "A window of 6 does not fit an axis of 5"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_the_matrix_shares_its_parameters():
    matrix = convolution_matrix([1, 2, 3], 6, stride=2, padding=1).toarray()
    assert matrix.tolist() == [[2, 3, 0, 0, 0, 0], [0, 1, 2, 3, 0, 0], [0, 0, 0, 1, 2, 3]]
    two = convolution_matrix(np.arange(4.0).reshape(2, 2), (2, 3)).toarray()
    assert two.tolist() == [[0, 1, 0, 2, 3, 0], [0, 0, 1, 0, 2, 3]]


@pytest.mark.parametrize(("stride", "padding", "expected"), [(2, "same", (10, 8)), (2, 1, (9, 7)), (1, 0, (7, 6))])
def test_a_transposed_size_is_by_default_the_least(stride, padding, expected):
    layer = TransposedConvolution(2, 3, stride, padding)
    assert layer.output_shape((5, 4, 1))[:2] == expected


def test_costs_are_counted():
    assert Convolution(16, 3).cost((28, 28, 8)) == 28 * 28 * 16 * 9 * 8
    assert Convolution(16, 3, groups=8).cost((28, 28, 8)) == 28 * 28 * 16 * 9
    assert TransposedConvolution(8, 2, 2).cost((7, 7, 16)) == 7 * 7 * 16 * 4 * 8
