"""Normalisation: by hand, by differences while training and not, and the running averages."""

import numpy as np
import pytest
from _contract.gradients import Run, check_gradients, check_layer

from skml.network import (
    BatchNormalization,
    LayerNormalization,
    Mode,
    RMSNormalization,
    batch_normalization_backward,
    batch_normalization_forward,
    layer_normalization_backward,
    layer_normalization_forward,
    rms_normalization_backward,
    rms_normalization_forward,
)
from skml.network.activations import NAMES
from skml.network.normalization import batch_statistics


@pytest.mark.parametrize("activation", NAMES)
@pytest.mark.parametrize("shape", [(4,), (3, 2, 4)])
def test_batch_gradients(rng, activation, shape):
    check_layer(BatchNormalization(activation), shape, rng, B=5, tol=1e-5)


@pytest.mark.parametrize("activation", ["identity", "relu", "gelu"])
def test_batch_gradients_outside_training(rng, activation):
    check_layer(BatchNormalization(activation), (3, 4), rng, mode=Mode(train=False))


def test_batch_pair(rng):
    x, gamma, beta, dy = rng.normal(size=(6, 3)), rng.normal(size=3), rng.normal(size=3), rng.normal(size=(6, 3))

    def forward():
        mean, _, rstd = batch_statistics(x, 1e-5)
        return batch_normalization_forward(x, mean, rstd, gamma, beta)

    mean, _, rstd = batch_statistics(x, 1e-5)
    gradients = batch_normalization_backward(dy, x, mean, rstd, gamma)
    check_gradients(forward, [x, gamma, beta], gradients, dy, rng, tol=1e-5)


def test_batch_output_is_normal(rng):
    run = Run(BatchNormalization(), (5, 5, 3), 20)
    y = run.forward(rng.normal(3, 7, size=(20, 5, 5, 3)), Mode(train=True))
    assert np.allclose(y.mean(axis=(0, 1, 2)), 0)
    assert np.allclose(y.std(axis=(0, 1, 2)), 1, atol=1e-5)


def test_running_averages_by_hand():
    run, x = Run(BatchNormalization(momentum=0.25), (1,), 4), np.array([[1.0], [3.0]])
    run.forward(x, Mode(train=True))
    assert run.states["running_mean"][0] == 0.5  # 3/4 * 0 + 1/4 * 2
    assert run.states["running_var"][0] == 1.25  # 3/4 * 1 + 1/4 * 2, the unbiased variance
    before = run.states.flat.copy()
    y = run.forward(x, Mode())
    assert np.array_equal(run.states.flat, before)
    assert np.allclose(y.ravel(), (x.ravel() - 0.5) / np.sqrt(1.25 + 1e-5))


def test_a_constant_channel_and_a_batch_of_one_stay_finite():
    run = Run(BatchNormalization(), (2,), 3)
    for x in (np.full((3, 2), 7.0), np.full((1, 2), 7.0)):
        assert np.isfinite(run.forward(x, Mode(train=True))).all()
        assert np.isfinite(run.backward(np.ones_like(x), Mode(train=True))).all()
    assert np.isfinite(run.states.flat).all()


def test_statistics_of_shifted_float32_hold(rng):
    x = (rng.normal(size=(5000, 2)) + 1000).astype(np.float32)
    mean, var, _ = batch_statistics(x, 1e-5)
    assert mean.dtype == np.float32
    assert np.allclose(mean, x.mean(axis=0, dtype=np.float64), rtol=1e-6)
    assert np.allclose(var, x.var(axis=0, dtype=np.float64), rtol=1e-3)


@pytest.mark.parametrize("shape", [(6,), (3, 6), (2, 2, 6)])
def test_layer_gradients(rng, shape):
    check_layer(LayerNormalization(), shape, rng, tol=1e-5)


@pytest.mark.parametrize("shape", [(6,), (3, 6)])
def test_rms_gradients(rng, shape):
    check_layer(RMSNormalization(), shape, rng, tol=1e-5)


def test_rms_pair_by_hand_and_by_differences(rng):
    y, rstd = rms_normalization_forward(np.array([[2.0, -2.0]]), np.array([1.0, 2.0]), eps=12)
    assert (y.tolist(), rstd.tolist()) == ([[0.5, -1.0]], [0.25])
    x, gamma, dy = rng.normal(size=(4, 5)), rng.normal(size=5), rng.normal(size=(4, 5))
    _, rstd = rms_normalization_forward(x, gamma)
    gradients = rms_normalization_backward(dy, x, rstd, gamma)
    check_gradients(lambda: rms_normalization_forward(x, gamma)[0], [x, gamma], gradients, dy, rng, tol=1e-5)


def test_layer_pair_by_hand_and_by_differences(rng):
    y, mean, rstd = layer_normalization_forward(np.array([[0.0, 4.0]]), np.array([1.0, 2.0]), np.ones(2), eps=0)
    assert (y.tolist(), mean.tolist(), rstd.tolist()) == ([[0, 3]], [2], [0.5])
    x, gamma, beta, dy = rng.normal(size=(4, 5)), rng.normal(size=5), rng.normal(size=5), rng.normal(size=(4, 5))
    _, mean, rstd = layer_normalization_forward(x, gamma, beta)
    gradients = layer_normalization_backward(dy, x, mean, rstd, gamma)
    check_gradients(
        lambda: layer_normalization_forward(x, gamma, beta)[0], [x, gamma, beta], gradients, dy, rng, tol=1e-5
    )


def test_an_unknown_activation_is_refused():
    with pytest.raises(ValueError, match="activation='swish' is unknown"):
        BatchNormalization("swish")
