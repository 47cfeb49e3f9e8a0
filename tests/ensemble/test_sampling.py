"""Bags: draws in proportion, exact strata, whole groups, and each bag its own."""

import pickle
import tracemalloc

import numpy as np
import pytest
from scipy import stats

from skml import BaggingForest
from skml.ensemble.sampling import UNITS, Bagging, as_counts, draw_bag, draw_copies, generator, unit_of, whole


def counts_of(bagging, number):
    """Return how often each row is in a bag."""
    rows, counts = draw_bag(bagging, number)
    assert rows.dtype == counts.dtype == np.int32
    assert np.all(np.diff(rows) > 0)
    assert np.all(counts >= 1)
    out = np.zeros(len(bagging.weights), np.int64)
    out[rows] = counts
    return out


@pytest.mark.parametrize("weights", [np.ones(8), np.arange(1.0, 9), np.arange(1.0, 9) * 0.37, np.arange(1.0, 9) * 1000])
def test_rows_are_drawn_in_proportion_to_their_weights(weights):
    drawn = counts_of(Bagging(weights, 5, size=200_000), 3)
    assert drawn.sum() == 200_000
    assert stats.chisquare(drawn, 200_000 * weights / weights.sum()).pvalue > 1e-4  # of fixed seeds


def test_a_row_that_is_drawn_is_in_the_bag_two_times_of_three(seed):
    n = 4000
    rows, _ = draw_bag(Bagging(np.ones(n), seed, size=n), 0)
    assert abs(len(rows) / n - (1 - np.exp(-1))) < 0.05  # nine standard deviations


def test_without_drawing_a_bag_is_the_whole():
    rows, counts = draw_bag(Bagging(np.array([1.0, 3, 2]), 7, bootstrap=False), 5)
    np.testing.assert_array_equal(rows, [0, 1, 2])
    np.testing.assert_array_equal(counts, [1, 3, 2])


@pytest.mark.parametrize("most", [4, 40])  # with and without a list of copies
def test_weights_are_as_many_copies(rng, seed, most):
    weights = rng.integers(1, most, 50).astype(np.float64)
    weights[0] = most
    owners = np.repeat(np.arange(50), weights.astype(int))
    drawn = counts_of(Bagging(weights, seed, size=70), 1)
    copies = counts_of(Bagging(np.ones(len(owners)), seed, size=70), 1)
    np.testing.assert_array_equal(drawn, np.bincount(owners, copies))


def test_great_weights_need_no_list_of_copies(seed):
    weights = np.array([2.0**29, 1, 2**29 - 7])
    drawn = counts_of(Bagging(weights, seed, size=1000), 1)
    assert drawn.sum() == 1000
    assert abs(drawn[0] - 500) < 150


def test_strata_have_their_shares_exactly(rng, seed):
    strata = rng.permutation(np.repeat([0, 1, 2], [5, 20, 75]))
    for weights in (np.ones(100), rng.integers(1, 4, 100).astype(float), rng.uniform(0.1, 2, 100)):
        bagging = Bagging(weights, seed, size=66, strata=strata, shares=np.array([33, 20, 13]))
        for number in range(5):
            drawn = counts_of(bagging, number)
            np.testing.assert_array_equal(np.bincount(strata, drawn), [33, 20, 13])


def test_within_strata_rows_are_drawn_in_proportion():
    weights, strata = np.array([1.0, 2, 3, 4]), np.array([0, 1, 0, 1])
    drawn = counts_of(Bagging(weights, 11, size=90_000, strata=strata, shares=np.array([60_000, 30_000])), 0)
    expected = [60_000 / 4, 30_000 / 3, 60_000 * 3 / 4, 30_000 * 2 / 3]
    assert stats.chisquare(drawn, expected).pvalue > 1e-4


def test_groups_are_drawn_whole(rng, seed):
    groups, weights = rng.permutation(np.repeat(np.arange(12), 5)), rng.integers(1, 5, 60).astype(float)
    for number in range(5):
        drawn = counts_of(Bagging(weights, seed, size=12, groups=groups), number)
        times = drawn / weights
        per_group = np.array([np.unique(times[groups == group]) for group in range(12)])
        assert per_group.shape == (12, 1)
        assert per_group.sum() == 12


def test_groups_are_drawn_evenly():
    drawn = counts_of(Bagging(np.ones(20), 3, size=40_000, groups=np.repeat([0, 1, 2, 3], [1, 2, 7, 10])), 0)
    assert stats.chisquare(drawn[[0, 1, 3, 10]]).pvalue > 1e-4


@pytest.mark.parametrize("heavy", [1e6, 1e-3, 0.5])
def test_counts_of_groups_stay_within_32_bits(seed, heavy):
    # One group holds nearly all the weight and is drawn again and again.
    weights = np.array([heavy, 0.1, 0.1, 0.1])
    for number in range(30):
        bagging = Bagging(weights, seed, size=40, groups=np.array([0, 1, 2, 2]))
        rows, counts = draw_bag(bagging, number)
        assert np.all(counts >= 1)
        assert counts.sum(dtype=np.int64) < 2 * UNITS
        if {0, 1} <= set(rows) and heavy < 1e3:
            times = counts[np.isin(rows, (0, 1))] / weights[:2]
            drawn = np.bincount(generator(seed, number).integers(3, size=40), minlength=3)[:2]
            np.testing.assert_allclose(times / times.sum(), drawn / drawn.sum(), rtol=1e-5)


def test_each_bag_is_its_own(seed):
    bagging = Bagging(np.ones(100), seed, size=100)
    bags = [counts_of(bagging, number) for number in range(5)]
    for number in (4, 0, 2):  # whatever was drawn before
        np.testing.assert_array_equal(counts_of(bagging, number), bags[number])
    for i in range(5):
        assert all(np.any(bags[i] != bags[j]) for j in range(i))
    assert np.any(counts_of(Bagging(np.ones(100), seed + 1, size=100), 0) != bags[0])


def test_random_numbers_depend_on_entropy_and_number_alone():
    first = generator(2**63, 7).random(3)
    np.testing.assert_array_equal(generator(2**63, 7).random(3), first)
    assert not np.any(np.isin(generator(2**63, 8).random(3), first))
    assert not np.any(np.isin(generator(7, 2**40).random(3), first))


def test_whole_weights_count_as_they_are():
    counts, unit = as_counts(np.array([1.0, 5, 2]))
    np.testing.assert_array_equal(counts, [1, 5, 2])
    assert (counts.dtype, unit) == (np.int32, 1.0)
    assert whole(np.ones(3))
    assert not whole(np.array([1.0, 1.5]))
    assert not whole(np.array([UNITS / 2.0, UNITS / 2.0]))


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_other_weights_are_rounded_to_a_billionth(rng, scale):
    weights = rng.uniform(0.5, 2, 40) * scale
    counts, unit = as_counts(weights)
    np.testing.assert_allclose(counts / counts.sum(), weights / weights.sum(), rtol=1e-6)
    assert abs(counts.sum() - UNITS) <= 40
    np.testing.assert_allclose(counts * unit, weights / weights.mean(), rtol=1e-6)
    counts, _ = as_counts(np.array([1e-30, 0.7]))
    assert counts[0] == 1  # what has weight counts


def test_many_draws_take_no_memory():
    weights = np.append(np.full(599, 1e6), 3e6)
    tracemalloc.start()
    drawn = counts_of(Bagging(weights, 3, size=int(weights.sum())), 1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e6
    assert drawn.sum() == weights.sum()
    assert stats.chisquare(drawn, weights).pvalue > 1e-4  # of a fixed seed


def test_a_forest_of_great_weights(rng):
    X = rng.normal(size=(600, 3))
    for weight in (1e6, 2.0**30):  # copies, and more than can be copies
        forest = BaggingForest(n_estimators=10, random_state=0).fit(X, X[:, 0] > 0, sample_weight=np.full(600, weight))
        assert forest.score(X, X[:, 0] > 0) > 0.9


def test_weights_that_are_not_drawn_are_no_copies(rng, seed):
    weights, groups = rng.uniform(0.5, 2, 40), np.arange(40) // 4
    whole_bag = Bagging(weights, seed, bootstrap=False)
    rows, copies, weighed = draw_copies(whole_bag, 0)
    np.testing.assert_array_equal(rows, np.arange(40))
    np.testing.assert_array_equal(copies, 1)
    np.testing.assert_array_equal(weighed, weights)
    of_groups = Bagging(weights, seed, size=10, groups=groups)
    rows, copies, weighed = draw_copies(of_groups, 3)
    times = np.bincount(generator(seed, 3).integers(10, size=10), minlength=10)
    np.testing.assert_array_equal(copies, times[groups][rows])
    np.testing.assert_array_equal(weighed, copies * weights[rows])
    for bagging in (whole_bag, of_groups):
        counts = draw_bag(bagging, 3)[1]
        unit = unit_of(bagging, 3, counts.sum(dtype=float))
        np.testing.assert_allclose(counts * unit * weights.mean(), draw_copies(bagging, 3)[2], rtol=1e-6)


@pytest.mark.parametrize("weights", [np.ones(500), np.arange(500) % 7 + 1.0, np.linspace(0.1, 2, 500)])
def test_a_bagging_is_pickled_in_few_bytes(weights, seed):
    bagging = Bagging(weights, seed, size=300, strata=np.arange(500) % 3, shares=np.array([100, 100, 100]))
    again = pickle.loads(pickle.dumps(bagging))
    assert again.weights.dtype == np.float64
    np.testing.assert_array_equal(again.weights, weights)
    for ours, theirs in zip(draw_bag(again, 5), draw_bag(bagging, 5)):
        np.testing.assert_array_equal(ours, theirs)
    assert len(pickle.dumps(bagging)) < 1500 + (weights[0] < 1) * 4000 + (weights[-1] > 2) * 500
