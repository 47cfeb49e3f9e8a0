"""The baseline: equal to ridge regression on indicator columns, whatever the scale."""

import numpy as np
import pytest

from skml.recommendation.baseline import context, fit_baseline, fit_rows
from skml.recommendation.ratings import build_ratings


def design(u, i, x, shape):
    return np.c_[np.eye(shape[0])[u], np.eye(shape[1])[i], x]


def solved(u, i, y, w, x, shape, alphas):
    """Solve the normal equations, dense, for features standardised."""
    mean = np.average(y, weights=w)
    centre = np.average(x, axis=0, weights=w) if x.shape[1] else np.empty(0)
    spread = np.sqrt(np.average((x - centre) ** 2, axis=0, weights=w)) if x.shape[1] else np.empty(0)
    A = design(u, i, (x - centre) / spread, shape)
    penalties = 2 * np.repeat(alphas, (*shape, x.shape[1]))
    solution = np.linalg.lstsq(A.T * w @ A + np.diag(penalties), A.T @ (w * (y - mean)), rcond=None)[0]
    return mean, solution[: shape[0]], solution[shape[0] : sum(shape)], solution[sum(shape) :] / spread


@pytest.mark.parametrize("alphas", [(0.5, 2.0, 1.0), (1e-6, 1e-6, 0.0), (100.0, 0.1, 3.0)])
@pytest.mark.parametrize("p", [0, 2])
@pytest.mark.parametrize("weighted", [True, False])
def test_it_is_ridge_regression(rng, alphas, p, weighted):
    shape, n = (12, 9), 80
    u, i = rng.integers(0, 12, n).astype(np.int32), rng.integers(0, 9, n).astype(np.int32)
    x, y = rng.normal(size=(n, p)) * 30 + 5, rng.normal(size=n) + 3
    w = rng.integers(1, 4, n) * 1.0 if weighted else None
    fit = fit_rows((u, i), y, w, shape, x, alphas)
    expected = solved(u, i, y, np.ones(n) if w is None else w, x, shape, alphas)
    for ours, theirs in zip((fit.mean, fit.user_bias, fit.item_bias, fit.coef), expected):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-8)


def test_without_penalty_predictions_are_those_of_least_squares(rng):
    u, i, y = rng.integers(0, 6, 40).astype(np.int32), rng.integers(0, 5, 40).astype(np.int32), rng.normal(size=40)
    fit = fit_rows((u, i), y, None, (6, 5), np.empty((40, 0)), (0.0, 0.0, 0.0))
    A = design(u, i, np.empty((40, 0)), (6, 5))
    target = y - y.mean()
    expected = A @ np.linalg.lstsq(A, target, rcond=None)[0]
    np.testing.assert_allclose(fit.user_bias[u] + fit.item_bias[i], expected, atol=1e-9)


def test_additive_ratings_are_found_exactly(rng):
    b_u, b_i = rng.normal(size=20), rng.normal(size=15)
    u, i = (part.ravel().astype(np.int32) for part in np.mgrid[:20, :15])
    ratings = build_ratings(u, i, 3 + b_u[u] + b_i[i], None, (20, 15))
    fit = fit_baseline(ratings)
    np.testing.assert_allclose(fit.mean + fit.user_bias[u] + fit.item_bias[i], ratings.data, atol=1e-10)


@pytest.mark.parametrize("scale", [1e-140, 1e140])
def test_scale_of_ratings_does_not_matter(rng, scale):
    u, i, y = rng.integers(0, 6, 40).astype(np.int32), rng.integers(0, 5, 40).astype(np.int32), rng.normal(size=40)
    x = rng.normal(size=(40, 1))
    plain = fit_rows((u, i), y, None, (6, 5), x, (1.0, 1.0, 1.0))
    scaled = fit_rows((u, i), y * scale, None, (6, 5), x * 1e150, (1.0, 1.0, 1.0))
    np.testing.assert_allclose(scaled.user_bias / scale, plain.user_bias, rtol=1e-9)
    added = context(x * 1e150, scaled.coef, scaled.feature_means) / scale
    np.testing.assert_allclose(added, context(x, plain.coef, plain.feature_means), rtol=1e-9)


def test_constant_features_add_nothing():
    for value in (0.0, 7.0, 5e-324, 1e300):
        codes = (np.arange(4, dtype=np.int32), np.zeros(4, np.int32))
        fit = fit_rows(codes, np.arange(4.0), None, (4, 1), np.full((4, 1), value), (0.1, 0.1, 0.1))
        assert fit.coef.tolist() == [0.0]


def test_weights_are_copies_and_nobody_is_zero(rng):
    u, i = rng.integers(0, 6, 40).astype(np.int32), rng.integers(0, 5, 40).astype(np.int32)
    y, x, w = rng.normal(size=40), rng.normal(size=(40, 2)), rng.integers(1, 4, 40)
    weighted = fit_rows((u, i), y, w * 1.0, (8, 5), x, (0.3, 0.3, 0.1))
    rows = np.repeat(np.arange(40), w)
    copies = fit_rows((u[rows], i[rows]), y[rows], None, (8, 5), x[rows], (0.3, 0.3, 0.1))
    np.testing.assert_allclose(weighted.user_bias, copies.user_bias, atol=1e-9)
    np.testing.assert_allclose(weighted.coef, copies.coef, atol=1e-9)
    assert (weighted.user_bias[6:] == 0).all()


def test_float32_stays_float32(rng):
    u = np.arange(5, dtype=np.int32)
    ratings = build_ratings(u, u, rng.normal(size=5).astype(np.float32), None, (5, 5))
    assert fit_baseline(ratings, (1.0, 1.0)).user_bias.dtype == np.float32
