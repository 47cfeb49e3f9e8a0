"""Returns: hand-computed ones, what ends of episodes mean, and how the kinds of returns belong together."""

import numpy as np
import pytest

from skml.reinforcement.returns import (
    discounted_returns,
    explained_variance,
    generalized_advantages,
    n_step_returns,
)


def test_returns_of_a_record_by_hand():
    np.testing.assert_allclose(discounted_returns([1.0, 2.0, 4.0], discount=0.5), [3.0, 4.0, 4.0])
    np.testing.assert_allclose(discounted_returns([1.0, 2.0, 4.0], discount=0), [1.0, 2.0, 4.0])
    np.testing.assert_allclose(discounted_returns([1.0, 2.0, 4.0], discount=1), [7.0, 6.0, 4.0])


def test_a_terminated_step_has_nothing_after_it_and_a_truncated_one_its_last_state():
    reward, last = np.ones(4), np.array([0.0, 10.0, 0.0, 20.0])
    over = np.array([False, True, False, False])
    np.testing.assert_allclose(discounted_returns(reward, over, None, last, discount=0.5), [1.5, 1, 6.5, 11])
    np.testing.assert_allclose(discounted_returns(reward, None, over, last, discount=0.5), [4, 6, 6.5, 11])
    # what is both has ended
    np.testing.assert_allclose(discounted_returns(reward, over, over, last, discount=0.5), [1.5, 1, 6.5, 11])


def records(rng, T=9, N=4):
    reward, value, after = rng.normal(size=(3, T, N))
    return reward, value, after, rng.random((T, N)) < 0.2, rng.random((T, N)) < 0.2


def by_definition(reward, value, after, terminated, truncated, discount, gae_lambda):
    """Add up errors one by one, for one copy."""
    T, found = len(reward), np.zeros(len(reward))
    for t in range(T):
        factor = 1.0
        for i in range(t, T):
            error = reward[i] + (0 if terminated[i] else discount * after[i]) - value[i]
            found[t] += factor * error
            if terminated[i] or truncated[i]:
                break
            factor *= discount * gae_lambda
    return found


@pytest.mark.parametrize("gae_lambda", [0.0, 0.6, 1.0])
def test_advantages_are_sums_of_errors(rng, gae_lambda):
    columns = records(rng)
    found = generalized_advantages(*columns, discount=0.9, gae_lambda=gae_lambda)
    for i in range(4):
        expected = by_definition(*(column[:, i] for column in columns), 0.9, gae_lambda)
        np.testing.assert_allclose(found[:, i], expected, rtol=0, atol=1e-12)


def test_one_step_and_all_steps_are_the_two_ends_of_advantages(rng):
    reward, value, after, terminated, truncated = records(rng)
    args = reward, value, after, terminated, truncated
    one = n_step_returns(*args, discount=0.9, n_steps=1)
    np.testing.assert_allclose(one - value, generalized_advantages(*args, discount=0.9, gae_lambda=0), atol=1e-12)
    # values that agree with each other: what a step led to is what the next one begins with
    after = np.where(terminated | truncated, after, np.append(value[1:], after[-1:], axis=0))
    args = reward, value, after, terminated, truncated
    every = n_step_returns(*args, discount=0.9, n_steps=100)
    np.testing.assert_allclose(every - value, generalized_advantages(*args, discount=0.9), rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        every, discounted_returns(reward, terminated, truncated, after, discount=0.9), rtol=0, atol=1e-12
    )


def test_two_step_returns_by_hand():
    reward, value, after = [1.0, 2.0, 4.0, 8.0], [0.0, 10.0, 20.0, 30.0], [10.0, 20.0, 30.0, 40.0]
    found = n_step_returns(reward, value, after, [False, False, True, False], discount=0.5, n_steps=2)
    np.testing.assert_allclose(found, [1 + 1 + 0.25 * 20, 2 + 2, 4, 8 + 20])
    found = n_step_returns(reward, value, after, None, [False, False, True, False], discount=0.5, n_steps=2)
    np.testing.assert_allclose(found, [1 + 1 + 0.25 * 20, 2 + 2 + 0.25 * 30, 4 + 15, 8 + 20])


def test_copies_do_not_mix(rng):
    columns = records(rng)
    together = generalized_advantages(*columns, discount=0.9, gae_lambda=0.5)
    alone = generalized_advantages(*(column[:, 2] for column in columns), discount=0.9, gae_lambda=0.5)
    np.testing.assert_array_equal(together[:, 2], alone)


def test_explained_variance_of_a_perfect_a_constant_and_a_bad_critic(rng):
    returns = rng.normal(size=50)
    assert explained_variance(returns, returns) == 1
    assert explained_variance(np.full(50, 3.0), returns) == pytest.approx(0, abs=1e-12)
    assert explained_variance(-returns, returns) == pytest.approx(-3, abs=1e-12)
    assert explained_variance([1.0, 2.0], [5.0, 5.0]) == 0


@pytest.mark.parametrize("function", [generalized_advantages, n_step_returns])
def test_what_does_not_fit_is_refused(function):
    with pytest.raises(ValueError):
        function([1.0, 2.0], [1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="shape of reward"):
        function([1.0, 2.0], [1.0, 2.0], [1.0, 2.0], [True])
    with pytest.raises(ValueError, match="one step"):
        function([], [], [])


def test_returns_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="n_steps"):
        n_step_returns([1.0], [1.0], [1.0], n_steps=0)
    with pytest.raises(ValueError, match="shape of reward"):
        discounted_returns([1.0, 2.0], truncated=[True])
    with pytest.raises(ValueError):
        discounted_returns([1.0, 2.0], last_value=[1.0, 2.0, 3.0])
