"""Quantiles against weights written out by hand, standard deviations, and the coverage of intervals."""

import tracemalloc

import numpy as np
import pytest
import sklearn
from sklearn.linear_model import LinearRegression

from skml import BaggingForestRegressor

LEVELS = [0.0, 0.05, 0.25, 0.5, 0.9, 1.0]


def data(rng, n=200):
    X = rng.normal(size=(n, 3))
    return X, X[:, 0] + (0.2 + np.abs(X[:, 1])) * rng.normal(size=n)


def meinshausen_weights(forest, X, rows):
    """Return w_i(x) of Meinshausen (2006), equation 4, with the bag's counts: (n_rows, n_train)."""
    weights = np.zeros((len(rows), len(X)))
    train, new = forest.apply(X), forest.apply(rows)
    for tree, bag in enumerate(forest.estimators_samples_):
        counts = np.bincount(bag, minlength=len(X))
        for i, leaf in enumerate(new[:, tree]):
            inside = counts * (train[:, tree] == leaf)
            weights[i] += inside / inside.sum() / len(forest)
    return weights


def weighted_quantiles(y, weights, levels):
    order = np.argsort(y)
    reached = np.cumsum(weights[order])
    return [y[order][np.flatnonzero((reached >= level - 1e-9) & (weights[order] > 0))[0]] for level in levels]


@pytest.mark.parametrize("params", [{}, {"min_samples_leaf": 10}, {"max_leaf_nodes": 5, "max_samples": 0.5}])
def test_quantiles_are_meinshausens(rng, params):
    X, y = data(rng)
    forest = BaggingForestRegressor(n_estimators=15, random_state=0, **params).fit(X, y)
    rows = rng.normal(size=(30, 3))
    weights = meinshausen_weights(forest, X, rows)
    np.testing.assert_allclose(forest.predict(rows), weights @ y, atol=1e-9)
    found = forest.predict(rows, quantiles=LEVELS)
    expected = np.array([weighted_quantiles(y, w, LEVELS) for w in weights])
    assert found.shape == (30, len(LEVELS))
    assert (found == expected).mean() > 0.97  # a level reached exactly may round to either side
    np.testing.assert_array_equal(found[:, [0, -1]], expected[:, [0, -1]])
    np.testing.assert_array_equal(forest.predict(rows, quantiles=0.25), found[:, 2])
    means, std = forest.predict(rows, return_std=True)
    np.testing.assert_allclose(std, np.sqrt(weights @ y**2 - (weights @ y) ** 2), atol=1e-6)
    np.testing.assert_array_equal(means, forest.predict(rows))


def test_quantiles_by_hand():
    X, y = np.zeros((4, 1)), [1.0, 2.0, 3.0, 10.0]
    forest = BaggingForestRegressor(n_estimators=1, bootstrap=False).fit(X, y)
    found = forest.predict([[0.0]], quantiles=[0, 0.25, 0.26, 0.5, 0.75, 0.76, 1])
    np.testing.assert_array_equal(found, [[1, 1, 2, 2, 3, 10, 10]])
    assert forest.predict([[0.0]], return_std=True)[1] == pytest.approx(np.std(y))
    weighted = BaggingForestRegressor(n_estimators=1, bootstrap=False).fit(X, y, sample_weight=[1, 1, 1, 5])
    np.testing.assert_array_equal(weighted.predict([[0.0]], quantiles=[0.125, 0.375, 0.376]), [[1, 3, 10]])


def test_a_huge_leaf_fits_in_memory(rng):
    X = rng.normal(size=(2000, 2))
    y = np.where(X[:, 0] < 0, 0.0, 5 + rng.normal(size=2000))  # half of the rows are in a leaf of nearly every tree
    forest = BaggingForestRegressor(n_estimators=40, random_state=0).fit(X, y)
    rows = X[:200]
    found = forest.predict(rows, quantiles=[0.5])  # which finds the rows of the leaves
    with sklearn.config_context(working_memory=4):
        tracemalloc.start()
        again = forest.predict(rows, quantiles=[0.5])
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 12e6
    np.testing.assert_array_equal(again, found)
    assert np.all(found[rows[:, 0] < 0] == 0)


@pytest.mark.filterwarnings("ignore:Some inputs do not have OOB scores")
def test_the_jackknife_in_parts(rng):
    X, y = data(rng, n=301)
    forest = BaggingForestRegressor(n_estimators=30, oob_score=True, random_state=0).fit(X, y)
    found = forest.predict_interval(X, method="jackknife+")
    with sklearn.config_context(working_memory=0.05):
        np.testing.assert_allclose(forest.predict_interval(X, method="jackknife+"), found, atol=1e-9)


@pytest.mark.parametrize("criterion", ["squared_error", "absolute_error"])
def test_rows_of_leaves_are_found_again(rng, criterion):
    X, y = data(rng)
    X[:, 2] = rng.integers(0, 5, len(X))
    X[rng.random(X.shape) < 0.1] = np.nan
    params = {"criterion": criterion, "categorical_features": [2], "ccp_alpha": 0.001, "random_state": 0}
    forest = BaggingForestRegressor(n_estimators=8, **params).fit(X, y)
    held, model = forest._rows_of_leaves(), forest._model.forest
    sizes = np.diff(held.starts)
    assert sizes.min() >= 1
    assert sizes.sum() == sum(len(np.unique(bag)) for bag in forest.estimators_samples_)
    leaf = np.repeat(np.arange(len(sizes)), sizes)
    np.testing.assert_allclose(np.bincount(leaf, held.shares), 1)
    if criterion == "squared_error":
        means = np.bincount(leaf, held.shares * forest._y[0, held.rows])
        np.testing.assert_allclose(means, model.values[:, 0], atol=1e-12)


def test_quantiles_never_cross(rng):
    X, y = data(rng)
    found = BaggingForestRegressor(n_estimators=10, random_state=0).fit(X, y).predict(X, quantiles=LEVELS)
    assert np.all(np.diff(found, axis=1) >= 0)


def test_quantiles_of_several_outputs(rng):
    X, y = data(rng)
    both = np.column_stack([y, -y])
    forest = BaggingForestRegressor(n_estimators=10, min_samples_leaf=5, random_state=0).fit(X, both)
    found = forest.predict(X, quantiles=[0.1, 0.5])
    assert found.shape == (200, 2, 2)
    weights = meinshausen_weights(forest, X, X[:20])
    for output in range(2):
        expected = np.array([weighted_quantiles(both[:, output], w, [0.1, 0.5]) for w in weights])
        assert (found[:20, output] == expected).mean() > 0.9
    std = forest.predict(X, return_std=True)[1]
    np.testing.assert_allclose(std[:, 0], std[:, 1], rtol=1e-9)


def test_quantiles_follow_the_noise(rng):
    X, y = data(rng, n=3000)
    forest = BaggingForestRegressor(n_estimators=50, min_samples_leaf=20, random_state=0).fit(X, y)
    width = np.diff(forest.predict_interval(np.array([[0, 0, 0], [0, 2.0, 0]]), coverage=0.8), axis=1)
    assert width[1, 0] > 2 * width[0, 0]


@pytest.mark.parametrize("method", ["quantile", "jackknife+"])
@pytest.mark.parametrize("coverage", [0.8, 0.9])
@pytest.mark.filterwarnings("ignore:Some inputs do not have OOB scores")
def test_intervals_cover(rng, method, coverage):
    X, y = data(rng, n=1600)
    forest = BaggingForestRegressor(n_estimators=60, min_samples_leaf=5, oob_score=True, random_state=0)
    forest.fit(X[:600], y[:600])
    intervals = forest.predict_interval(X[600:], coverage=coverage, method=method)
    assert intervals.shape == (1000, 2)
    inside = np.mean((intervals[:, 0] <= y[600:]) & (y[600:] <= intervals[:, 1]))
    assert inside >= 1 - 2 * (1 - coverage)  # what jackknife+ promises
    if method == "jackknife+":  # quantiles come without any promise
        assert coverage - 0.07 < inside < coverage + 0.07
    assert np.all(intervals[:, 0] <= intervals[:, 1])


@pytest.mark.filterwarnings("ignore:Some inputs do not have OOB scores")
@pytest.mark.parametrize("copies", [False, True])
@pytest.mark.parametrize("estimator", [None, LinearRegression()])
def test_the_jackknife_written_out(rng, estimator, copies):
    X, y = data(rng, n=60)
    X, y = (X[:, :2].round(), y.round()) if copies else (X[:, :2], y)
    forest = BaggingForestRegressor(estimator, n_estimators=12, oob_score=True, random_state=0).fit(X, y)
    rows, alpha = rng.normal(size=(5, 2)), 0.2
    said = np.array([member.predict(rows) for member in forest])
    own = np.array([member.predict(X) for member in forest])
    equal = np.all(np.column_stack([X, y])[:, None] == np.column_stack([X, y]), axis=2)
    assert copies == (equal.sum() > 60)
    drawn = np.array([np.bincount(some, minlength=60) for some in forest.estimators_samples_])
    out = (1 - 1 / equal.sum(axis=1)) ** (drawn @ equal)
    low, high = [], []
    for i in np.flatnonzero(out.any(axis=0)):
        residual = abs(y[i] - np.average(own[:, i], weights=out[:, i]))
        low.append(np.average(said, weights=out[:, i], axis=0) - residual)
        high.append(np.average(said, weights=out[:, i], axis=0) + residual)
    n = len(low)
    bottom = np.sort(low, axis=0)[int(np.floor(alpha * (n + 1) + 1e-9)) - 1]
    top = np.sort(high, axis=0)[int(np.ceil((1 - alpha) * (n + 1) - 1e-9)) - 1]
    found = forest.predict_interval(rows, coverage=1 - alpha, method="jackknife+")
    np.testing.assert_allclose(found, np.column_stack([bottom, top]), atol=1e-9)


@pytest.mark.filterwarnings("ignore:Some inputs do not have OOB scores")
def test_too_few_rows_for_the_coverage_give_infinite_ends(rng):
    X, y = data(rng, n=8)
    forest = BaggingForestRegressor(n_estimators=40, oob_score=True, random_state=0).fit(X, y)
    assert np.all(np.isinf(forest.predict_interval(X, coverage=0.99, method="jackknife+")))


@pytest.mark.parametrize("coverage", [0, 1, -1, 2, True, np.nan])
def test_bad_coverage(rng, coverage):
    X, y = data(rng, n=20)
    with pytest.raises(ValueError, match="coverage must be between 0 and 1"):
        BaggingForestRegressor(n_estimators=2).fit(X, y).predict_interval(X, coverage=coverage)


def test_what_cannot_be_told_is_refused(rng):
    X, y = data(rng, n=30)
    forest = BaggingForestRegressor(n_estimators=2).fit(X, y)
    with pytest.raises(ValueError, match="fit with oob_score=True"):
        forest.predict_interval(X, method="jackknife+")
    with pytest.raises(ValueError, match="method must be"):
        forest.predict_interval(X, method="magic")
    for levels in ([0.5, 1.2], -0.1, np.nan, [[0.5]]):
        with pytest.raises(ValueError, match="quantiles must be numbers between 0 and 1"):
            forest.predict(X, quantiles=levels)
    bag = BaggingForestRegressor(LinearRegression(), n_estimators=2).fit(X, y)
    for call in ({"quantiles": [0.5]}, {"return_std": True}):
        with pytest.raises(ValueError, match="needs trees of our own"):
            bag.predict(X, **call)
    with pytest.raises(ValueError, match="needs trees of our own"):
        bag.predict_interval(X)
    with pytest.raises(ValueError, match="single output"):
        forest.fit(X, np.column_stack([y, y])).predict_interval(X)


@pytest.mark.filterwarnings("ignore:Some inputs do not have OOB scores")
def test_an_earlier_fit_leaves_no_residuals(rng):
    X, y = data(rng, n=30)
    forest = BaggingForestRegressor(n_estimators=2, oob_score=True).fit(X, y)
    assert forest.predict_interval(X, method="jackknife+").shape == (30, 2)
    forest.set_params(oob_score=False).fit(X, y)
    assert not hasattr(forest, "oob_score_")
    with pytest.raises(ValueError, match="fit with oob_score=True"):
        forest.predict_interval(X, method="jackknife+")


@pytest.mark.parametrize("scale", [0.5, 0.01])
def test_the_jackknife_takes_fractional_weights_as_shares(rng, scale):
    X, y = data(rng)
    X = X.round(1)  # few values: the bins are exact
    whole, scaled = (
        BaggingForestRegressor(n_estimators=20, oob_score=True, random_state=0)
        .fit(X, y, sample_weight=np.full(200, weight))
        .predict_interval(X[:20], method="jackknife+")
        for weight in (1.0, scale)
    )
    assert np.all(np.isfinite(scaled))
    np.testing.assert_allclose(scaled, whole, rtol=1e-9)


@pytest.mark.parametrize("scale", [1e160, 1e307])
@pytest.mark.parametrize("bootstrap", [True, False])
def test_huge_targets_are_told_like_others(rng, scale, bootstrap):
    X = rng.normal(size=(100, 3))
    y = np.where(X[:, 0] > 0, 17.0, -17.0)
    params = {"n_estimators": 30, "min_samples_leaf": 8, "bootstrap": bootstrap}
    huge = BaggingForestRegressor(**params, random_state=0).fit(X, scale * y)
    means, std = huge.predict(X, return_std=True)
    assert np.all(np.isfinite(means) & np.isfinite(std))
    # The distribution of each row by its quantiles, in the units of y
    levels = (np.arange(200) + 0.5) / 200
    drawn = huge.predict(X, quantiles=levels) / scale
    np.testing.assert_allclose(means / scale, drawn.mean(axis=1), atol=0.3)
    np.testing.assert_allclose(std / scale, drawn.std(axis=1), atol=0.6)
    alone = BaggingForestRegressor(n_estimators=1, bootstrap=False).fit(X, np.sign(y) * 1.7e308)
    np.testing.assert_allclose(alone.predict(X), np.sign(y) * 1.7e308)


def test_the_ends_of_an_interval_never_cross(rng):
    X = rng.normal(size=(120, 3))
    y = X[:, 0] + rng.normal(size=120)
    forest = BaggingForestRegressor(n_estimators=30, oob_score=True, random_state=0).fit(X[:80], y[:80])
    for coverage in (1e-9, 0.01, 0.05):
        low, high = forest.predict_interval(X[80:], coverage=coverage, method="jackknife+").T
        assert np.all(low <= high)
