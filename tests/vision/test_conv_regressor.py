"""ConvRegressor: numbers of images."""

import numpy as np
import pytest
from sklearn.metrics import r2_score
from sklearn.model_selection import cross_val_score

from skml import ConvRegressor


def slopes(rng, n=300, dtype=np.float64):
    """Return images (n, 8, 8) and how much darker their left half is."""
    X = rng.random((n, 8, 8)).astype(dtype)
    return X, X[:, :, :4].mean(axis=(1, 2)) - X[:, :, 4:].mean(axis=(1, 2))


def quick(**params):
    return ConvRegressor(**{"filters": (8,), "max_iter": 20, "learning_rate_init": 0.01, "random_state": 0, **params})


@pytest.mark.parametrize("params", [{}, {"loss": "huber"}, {"early_stopping": True}, {"residual": True}], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_it_learns(rng, params, dtype):
    X, y = slopes(rng, 600, dtype)
    regressor = quick(**params).fit(X[:400], y[:400])
    assert regressor.score(X[400:], y[400:]) > 0.4
    assert regressor.pool_.program.dtype == dtype
    assert regressor.predict(X).dtype == np.float64


@pytest.mark.parametrize(("factor", "shift"), [(1e-200, 0.0), (1e200, 0.0), (1.0, 1e6)])
def test_any_unit_of_y_is_learnt(rng, factor, shift):
    X, y = slopes(rng)
    regressor = quick().fit(X[:200], y[:200] * factor + shift)
    # 0.71 on average with a deviation of 0.07, for any unit; without scaling it would be nothing or less
    assert r2_score(y[200:], (regressor.predict(X[200:]) - shift) / factor) > 0.25


@pytest.mark.parametrize("kind", [np.float32, np.uint8])
@pytest.mark.parametrize(("factor", "shift"), [(1.0, 1.7e9), (1e40, 0.0)])
def test_a_network_of_single_precision_does_not_round_targets(rng, kind, factor, shift):
    X, y = slopes(rng)
    X = (255 * X).astype(kind)
    regressor = quick(max_iter=3).fit(X, y * factor + shift)
    assert regressor.pool_.program.dtype == np.float32
    z, (scale,) = regressor._outputs(X.reshape(len(X), -1)), regressor.scale_.deviation
    said = regressor.predict(X)
    np.testing.assert_array_equal(said, z[:, 0].astype(np.float64) * scale + regressor.scale_.mean[0], strict=True)
    assert np.isfinite(said).all()
    assert len(np.unique(said)) > 200  # of 300; float32 knows every 128th number near 1.7e9, and none of 1e40


def test_several_targets(rng):
    X, y = slopes(rng)
    both = np.c_[y, 100 * y + 7]
    regressor = quick().fit(X, both)
    assert regressor.predict(X).shape == both.shape
    assert regressor.score(X, both) > 0.5
    np.testing.assert_allclose(regressor.saliency(X[:2], 1).shape, X[:2].shape)
    with pytest.raises(ValueError, match="target holds 2, none of"):
        regressor.saliency(X[:2], 2)
    with pytest.raises(ValueError, match="y has 1 targets"):
        regressor.partial_fit(X, y)


def test_constant_targets(rng):
    X, y = slopes(rng, 30)
    for value in (1e5, 0.0, -0.1):
        regressor = quick(max_iter=2).fit(X, np.full(30, value), sample_weight=rng.random(30) + 0.1)
        np.testing.assert_allclose(regressor.predict(X[::-1] + 1), value, rtol=1e-12)
    both = np.c_[y, np.full(30, -3.3)]
    regressor = quick(max_iter=2).fit(X, both)
    np.testing.assert_allclose(regressor.predict(X)[:, 1], -3.3, rtol=1e-12)
    assert np.ptp(regressor.predict(X)[:, 0]) > 0
    assert not regressor.saliency(X, target=1).any()


def test_a_target_may_be_constant_in_the_first_call_alone(rng):
    X, y = slopes(rng, 60)
    regressor = quick().partial_fit(X[:1], [2.0]).partial_fit(X[:1], [2.0])
    np.testing.assert_allclose(regressor.predict(X), 2.0, rtol=1e-12)
    assert np.ptp(regressor.partial_fit(X, y).predict(X)) > 0
    assert np.ptp(regressor.partial_fit(X[:1], [2.0]).predict(X)) > 0


def test_saliency_is_the_gradient(rng):
    X, y = slopes(rng, 60)
    regressor = quick(activation="tanh", pool="average").fit(X, 30 * y)
    found = regressor.saliency(X[:4])
    direction, step = rng.normal(size=found.shape), 1e-5
    expected = (regressor.predict(X[:4] + step * direction) - regressor.predict(X[:4] - step * direction)) / (2 * step)
    np.testing.assert_allclose((found * direction).sum(axis=(1, 2)), expected, rtol=1e-5, atol=1e-8)


def test_partial_fit_and_warm_start(rng):
    X, y = slopes(rng)
    regressor = quick()
    for _ in range(20):
        regressor.partial_fit(X, y)
    assert regressor.score(X, y) > 0.5
    short = quick(max_iter=2).fit(X, y).set_params(warm_start=True, max_iter=5).fit(X, y)
    np.testing.assert_array_equal(short.predict(X), quick(max_iter=5).fit(X, y).predict(X))


@pytest.mark.parametrize("bad", [None, [np.nan] * 30, ["word"] * 30, [1.0] * 29, np.zeros((30, 2, 2))])
def test_bad_targets(rng, bad):
    X, _ = slopes(rng, 30)
    with pytest.raises(ValueError, match="(?i)y|string|dim|inconsistent"):
        quick().fit(X, bad)


def test_cross_validation(rng):
    X, y = slopes(rng, 90)
    assert np.isfinite(cross_val_score(quick(max_iter=3), X, y, cv=3, error_score="raise")).all()
