"""Margins, their quantiles and bounds."""

import itertools

import numpy as np
import pytest
from sklearn.naive_bayes import GaussianNB

from skml import AdaBoost
from skml.ensemble.boosting import QUANTILES
from skml.ensemble.margins import log_growth, margins_of, schapire_bound


def problem(rng, n=200, K=2):
    X = rng.normal(size=(n, 4))
    y = np.digitize(X[:, 0] + X[:, 1] ** 2, np.linspace(0, 2, K + 1)[1:-1])
    y[:K] = range(K)
    return X, y


def test_margins_by_hand():
    votes = np.array([[3.0, 1.0, 0.0], [1.0, 1.0, 2.0], [0.0, 0.0, 4.0]])
    np.testing.assert_array_equal(margins_of(votes, np.array([0, 1, 2]), 4.0), [0.5, -0.25, 1.0])
    np.testing.assert_array_equal(margins_of(votes, np.array([2, 2, 0]), np.array([4.0, 4.0, 0.0])), [-0.75, 0.25, 0])


@pytest.mark.parametrize("estimator", [None, GaussianNB()])
@pytest.mark.parametrize("algorithm", ["SAMME", "SAMME.R"])
@pytest.mark.parametrize("K", [2, 3])
def test_margins_say_who_is_right(rng, K, algorithm, estimator):
    X, y = problem(rng, K=K)
    boost = AdaBoost(estimator, n_estimators=12, algorithm=algorithm).fit(X, y)
    margins = boost.margins(X, y)
    assert np.abs(margins).max() <= 1
    clear = np.abs(margins) > 1e-12
    np.testing.assert_array_equal((margins > 0)[clear], (boost.predict(X) == y)[clear])
    if K == 2 and algorithm == "SAMME":
        np.testing.assert_allclose(margins, boost.decision_function(X) / 2 * (2 * y - 1), atol=1e-12)


def test_margins_are_sums_of_votes(rng):
    X, y = problem(rng, K=3)
    boost = AdaBoost(n_estimators=9).fit(X, y)
    votes = sum(w * (m.predict(X)[:, None] == range(3)) for m, w in zip(boost.estimators_, boost.estimator_weights_))
    own = votes[np.arange(len(y)), y]
    votes[np.arange(len(y)), y] = -1
    expected = (own - votes.max(axis=1)) / boost.estimator_weights_.sum()
    np.testing.assert_allclose(boost.margins(X, y), expected, atol=1e-12)


@pytest.mark.parametrize("algorithm", ["SAMME", "SAMME.R"])
def test_the_history_holds_quantiles(rng, algorithm):
    X, y = problem(rng)
    weights = rng.integers(0, 4, len(y)) + 1.0 * (np.arange(len(y)) < 2)
    boost = AdaBoost(n_estimators=15, algorithm=algorithm).fit(X, y, sample_weight=weights)
    copies = np.repeat(np.arange(len(y)), weights.astype(int))
    assert boost.margin_history_.shape == (boost.n_iter_, len(QUANTILES))
    for margins, kept in zip(boost.staged_margins(X, y), boost.margin_history_):
        expected = np.quantile(margins[copies], QUANTILES, method="inverted_cdf")
        np.testing.assert_allclose(kept, expected, atol=1e-12)
    last = boost.margins(X, y)[copies]
    np.testing.assert_allclose(boost.history_["training_error"][-1], np.mean(last <= 0), atol=1e-12)


def test_margins_grow_after_the_error_is_zero(rng):
    X = rng.normal(size=(150, 3))
    y = (X.sum(axis=1) > 0).astype(int)
    boost = AdaBoost(n_estimators=800).fit(X, y)
    errors = np.array(boost.history_["training_error"])
    perfect = int(np.argmax(errors == 0))
    assert errors[perfect] == 0
    assert boost.margin_history_[-1, 0] > boost.margin_history_[perfect, 0]


# --------------------------------------------------------------------------------------------------- bounds


def test_stumps_tell_rows_apart_in_no_more_ways(rng):
    for m, p in ((3, 1), (5, 2), (6, 3)):
        X = rng.normal(size=(m, p))
        ways = {tuple([False] * m), tuple([True] * m)}
        for x, side in itertools.product(X.T, (False, True)):
            ways |= {tuple((x <= at) == side) for at in x}
        assert np.log(len(ways)) <= log_growth(m, p, 1)
    assert log_growth(100, 4, 2) > log_growth(100, 4, 1)


def test_the_bound_is_the_formula():
    margins = np.r_[np.full(10, 0.05), np.full(990, 0.5)]
    theta, delta, log_ways = 0.3, 0.05, 3.0
    terms = [
        2 * np.exp(-N * theta**2 / 8) + np.sqrt(32 / 1000 * (np.log(8 * N * (N + 1) ** 2 / delta) + N * log_ways))
        for N in range(1, 3000)
    ]
    np.testing.assert_allclose(schapire_bound(margins, theta, delta, log_ways), 0.01 + min(terms), rtol=1e-3)
    assert schapire_bound(margins, theta, delta, log_ways) >= 0.01 + min(terms) - 1e-12


def test_the_bound_holds_and_shrinks_with_rows(rng):
    margins = rng.uniform(0.3, 1, 1000)
    few, many = schapire_bound(margins, 0.3, 0.05, 5.0), schapire_bound(np.tile(margins, 10_000), 0.3, 0.05, 5.0)
    assert 0 < many < 0.3 < few
    X, y = problem(rng)
    boost = AdaBoost().fit(X, y)
    assert boost.generalization_bound(X, y, 0.1, 0.05) > np.mean(boost.margins(X, y) <= 0.1)


def test_the_bound_says_what_it_does_not_know(rng):
    X, y = problem(rng)
    boost = AdaBoost().fit(X, y)
    for theta, delta in ((0, 0.1), (1.5, 0.1), (0.1, 0), (0.1, 1), (np.nan, 0.1)):
        with pytest.raises(ValueError, match="theta must be in"):
            boost.generalization_bound(X, y, theta, delta)
    X3, y3 = problem(rng, K=3)
    others = (
        (AdaBoost().fit(X3, y3), X3, y3),
        (AdaBoost(algorithm="SAMME.R").fit(X, y), X, y),
        (AdaBoost(GaussianNB(), n_estimators=2).fit(X, y), X, y),
    )
    for other, rows, labels in others:
        with pytest.raises(ValueError, match="two classes, algorithm='SAMME' and the built-in members alone"):
            other.generalization_bound(rows, labels, 0.1, 0.05)


def test_deep_trees_have_no_more_leaves_than_rows():
    assert log_growth(50, 4, 2000) == log_growth(50, 4, 6)
    assert log_growth(50, 4, 6) == pytest.approx(49 * np.log(8 * 51) + 50 * np.log(2))
    assert log_growth(50, 4, 2) == pytest.approx(3 * np.log(8 * 51) + 4 * np.log(2))
