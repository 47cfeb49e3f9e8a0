"""States of observations: those that were seen, the nearest to those that were not, and cells."""

import numpy as np
import pytest
from sklearn.preprocessing import KBinsDiscretizer

from skml.reinforcement.states import NumberedStates, known_states


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_each_distinct_observation_is_a_state(rng, dtype):
    X = rng.integers(4, size=(60, 3)).astype(dtype)
    states = known_states(X)
    at = states.of(X)
    assert states.n_states == len(np.unique(X, axis=0))
    np.testing.assert_array_equal(states.keys[at], X)
    assert set(at) == set(range(states.n_states))


def test_an_unknown_observation_is_taken_for_the_nearest(rng):
    X, shown = rng.normal(size=(50, 3)), rng.normal(size=(200, 3))
    states = known_states(X)
    distances = ((shown[:, None] - states.keys) ** 2).sum(axis=2)
    np.testing.assert_array_equal(states.of(shown), distances.argmin(axis=1))


def test_order_and_copies_change_no_state(rng):
    X = rng.normal(size=(30, 2))
    again = np.r_[X, X][rng.permutation(60)]
    np.testing.assert_array_equal(known_states(X).keys, known_states(again).keys)


def test_cells_of_a_discretizer_are_states(rng):
    X = rng.normal(size=(300, 2))
    discretizer = KBinsDiscretizer(3, encode="ordinal", quantile_method="averaged_inverted_cdf")
    states = known_states(X, discretizer)
    assert states.n_states == 9
    fitted = discretizer.fit(X)
    np.testing.assert_array_equal(states.keys[states.of(X)], fitted.transform(X))


def test_numbers_are_states():
    assert NumberedStates(5, start=2).of(np.array([[2.0], [6.0]])).tolist() == [0, 4]
