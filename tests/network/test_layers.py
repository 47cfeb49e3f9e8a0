"""Plain layers: values by hand, gradients by differences, and what they refuse."""

import numpy as np
import pytest
from _contract.gradients import Run, check_gradients, check_layer

from skml.network import (
    Convolution,
    Dropout,
    Embedding,
    Flatten,
    Layer,
    Linear,
    Mode,
    Softmax,
    TransposedConvolution,
    Upsampling,
    dropout_backward,
    dropout_forward,
    embedding_forward,
    linear_backward,
    linear_forward,
    zeros,
)
from skml.network.activations import NAMES
from skml.network.parameters import glorot_uniform, he_uniform


def test_linear_by_hand():
    w, b = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([0.0, -100.0])
    assert linear_forward(np.array([[1.0, 10.0]]), w, b, "relu").tolist() == [[31.0, 0.0]]


@pytest.mark.parametrize("activation", NAMES)
@pytest.mark.parametrize("bias", [True, False])
def test_linear_gradients(rng, activation, bias):
    check_layer(Linear(4, activation, bias), (5,), rng)


def test_linear_over_moments(rng):
    run = check_layer(Linear(4, "tanh"), (3, 5), rng)
    assert run.layer.output_shape((3, 5)) == (3, 4)
    assert run.layer.cost((3, 5)) == 60


def test_linear_takes_a_matrix_of_any_order_that_fits(rng):
    x, w = rng.normal(size=(6, 5)), rng.normal(size=(3, 5))
    np.testing.assert_array_equal(linear_forward(x, w.T), linear_forward(x, np.ascontiguousarray(w.T)))
    with pytest.raises(ValueError, match="mismatch"):
        linear_forward(x, w)


def test_linear_pair_allocates_what_it_is_not_given(rng):
    x, w, b, dy = rng.normal(size=(6, 3)), rng.normal(size=(3, 2)), rng.normal(size=2), rng.normal(size=(6, 2))
    dx, dw, db = linear_backward(dy, x, w)
    check_gradients(lambda: linear_forward(x, w, b), [x, w, b], [dx, dw, db], dy, rng)
    assert linear_backward(dy, x, w, need_dx=False)[0] is None


def test_linear_refuses_images():
    with pytest.raises(ValueError, match=r"not samples of shape \(8, 8, 3\); put Flatten\(\) before it"):
        Linear(2).output_shape((8, 8, 3))


def test_initialisers_go_by_the_activation():
    assert Linear(2, "relu").specs((3,))[0].init is he_uniform
    assert Linear(2, "tanh").specs((3,))[0].init is glorot_uniform
    assert Linear(2, init=zeros).specs((3,))[0].init is zeros
    assert [spec.name for spec in Linear(2, bias=False).specs((3,))] == ["weight"]


def test_flatten_is_there_and_back(rng):
    check_layer(Flatten(), (2, 3, 2), rng)
    run = Run(Flatten(), (2, 3), 4)
    x = rng.normal(size=(4, 2, 3))
    assert np.array_equal(run.backward(run.forward(x, Mode()), Mode()), x)


def test_embedding_looks_up_and_adds_up(rng):
    codes = np.array([[0, 2, 2], [2, 1, 0]])
    run = check_layer(Embedding(4, 3), (3,), rng, x=codes, B=2)
    dy = rng.normal(size=(2, 3, 3))
    assert run.backward(dy, Mode()) is None
    assert np.allclose(run.g["weight"][2], dy[0, 1] + dy[0, 2] + dy[1, 0])
    assert not run.g["weight"][3].any()


@pytest.mark.parametrize("bad", [-1, 4])
def test_a_code_outside_is_refused(bad):
    with pytest.raises(ValueError, match=f"A code is {bad}, outside 0 to 3"):
        embedding_forward(np.array([0, bad]), np.zeros((4, 2)))
    with pytest.raises(ValueError, match="rows of codes"):
        Embedding(4, 2).output_shape((2, 2))


def test_dropout_gradients(rng):
    check_layer(Dropout(0.4), (20,), rng)
    check_layer(Dropout(0.4), (20,), rng, mode=Mode(train=False))
    check_layer(Dropout(0.0), (20,), rng)


def test_dropout_keeps_the_mean_and_drops_its_share():
    y = dropout_forward(np.ones(20000), 0.25)
    assert set(np.unique(y).round(6)) == {0, round(4 / 3, 6)}
    assert (y == 0).mean() == pytest.approx(0.25, abs=0.02)


def test_dropout_depends_on_seed_step_and_layer_alone():
    x = np.ones((10, 50))
    masks = [
        dropout_forward(x, 0.5, layer, mode=Mode(seed=seed, step=step)).tobytes()
        for seed, step, layer in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    ]
    assert len(set(masks)) == 4
    assert dropout_forward(x, 0.5).tobytes() == masks[0]
    assert np.array_equal(dropout_backward(2 * x, 0.5), 2 * dropout_forward(x, 0.5))


def test_dropout_does_nothing_outside_training(rng):
    run, x = Run(Dropout(0.9), (4,), 3), rng.normal(size=(3, 4))
    assert run.forward(x, Mode()) is x


@pytest.mark.parametrize("rate", [-0.1, 1.0, np.nan])
def test_dropout_refuses_other_rates(rate):
    with pytest.raises(ValueError, match="at least 0 and below 1"):
        Dropout(rate)


def test_a_layer_of_ones_own_need_say_little():
    layer = Layer()
    assert layer.output_shape((3,)) == (3,)
    assert layer.specs((3,)) == layer.states((3,)) == layer.parts((3,)) == ()
    assert layer.cost((3,)) == 0
    for call in (
        lambda: layer.workspace((3,), 1, np.float32),
        lambda: layer.forward(None, {}, None, Mode()),
        lambda: layer.backward(None, {}, {}, None, Mode()),
    ):
        with pytest.raises(NotImplementedError):
            call()


def test_softmax_is_the_pair(rng):
    run = check_layer(Softmax(), (4, 3), rng)
    assert np.allclose(run.forward(rng.normal(size=(2, 4, 3)), Mode()).sum(axis=-1), 1)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Linear(0), "n_out must be a whole number of at least 1, got 0"),
        (lambda: Linear(2.5), "n_out must be a whole number of at least 1, got 2.5"),
        (lambda: Linear(True), "n_out must be a whole number"),
        (lambda: Embedding(0, 3), "n_codes must be a whole number"),
        (lambda: Embedding(3, None), "n_out must be a whole number"),
        (lambda: Convolution(0), "filters must be a whole number of at least 1, got 0"),
        (lambda: TransposedConvolution("8"), "filters must be a whole number of at least 1, got '8'"),
        (lambda: TransposedConvolution(8, size=13), r"size must be two whole numbers of at least 1, \(height, width\)"),
        (lambda: Upsampling(size=13), r"size must be two whole numbers of at least 1, \(height, width\), got 13"),
        (lambda: Upsampling(size=(0, 4)), "size must be two whole numbers"),
        (lambda: Upsampling(0), "factor must be a whole number of at least 1"),
        (lambda: Upsampling(1.5), "factor must be a whole number of at least 1"),
    ],
)
def test_sizes_that_are_none_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()
