"""Policies: their gradients against finite differences, what observations become, and draws."""

import numpy as np
import pytest
from scipy.special import softmax

from skml.reinforcement import Box, Discrete, MultiDiscrete
from skml.reinforcement.policies import (
    EVERYTHING,
    Actor,
    Encoder,
    Gaussian,
    Mlp,
    Softmax,
    policy_gradient,
    spaces_encoder,
)

PLAIN = Encoder(np.array([[0.0], [1.0]]) * np.ones(3))


def actor_of(head, hidden=(5,), activation="tanh", critic=False):
    policy = Mlp((3, *hidden, head.n_outputs), activation)
    return Actor(PLAIN, head, policy, Mlp((3, 4, 1)) if critic else None, "float64")


def gaussian():
    return Gaussian(np.array([-1.0, 0.0]), np.array([1.0, 4.0]))


@pytest.mark.parametrize("hidden", [(), (5,), (4, 6)])
@pytest.mark.parametrize("kind", ["softmax", "masked", "gaussian"])
def test_the_gradient_is_that_of_finite_differences(rng, hidden, kind):
    head = gaussian() if kind == "gaussian" else Softmax(4)
    actor, x = actor_of(head, hidden), rng.normal(size=(6, 3))
    flat = rng.normal(size=sum(np.prod(spec.shape) for spec in actor.specs())) * 0.5
    allowed = EVERYTHING
    if kind == "masked":
        allowed = np.ones((6, 4), np.uint8)
        allowed[::2, 1] = 0
    actions = rng.normal(size=(6, 2)) if kind == "gaussian" else rng.choice([0, 2, 3], size=6).astype(np.int32)
    weights, bonus = rng.normal(size=6), rng.random(6)

    def loss(parameters, g):
        figures = policy_gradient(actor, parameters, x, (actions, allowed), (weights, bonus), g)
        return -weights @ figures[:, 0] - bonus @ figures[:, 1]

    g, spare = np.empty_like(flat), np.empty_like(flat)
    loss(flat, g)
    for i in range(len(flat)):
        ahead, behind = flat.copy(), flat.copy()
        ahead[i] += 1e-5
        behind[i] -= 1e-5
        assert abs((loss(ahead, spare) - loss(behind, spare)) / 2e-5 - g[i]) < 1e-6 * max(1, abs(g[i]))


def test_probabilities_logarithms_and_entropy_agree(rng):
    z, actions = rng.normal(size=(7, 5)) * 3, rng.integers(5, size=7).astype(np.int32)
    _, _, figures = Softmax(5).slopes(z, np.empty(0), actions, np.ones(7), np.zeros(7))
    p = Softmax(5).probabilities(z)
    np.testing.assert_allclose(p, softmax(z, axis=1), rtol=1e-12)
    np.testing.assert_allclose(figures[:, 0], np.log(p[np.arange(7), actions]), rtol=0, atol=1e-12)
    np.testing.assert_allclose(figures[:, 1], -(p * np.log(p)).sum(axis=1), rtol=0, atol=1e-12)
    np.testing.assert_allclose(figures[:, 2], p.min(axis=1), rtol=1e-10)


def test_scores_have_the_mean_zero(rng):
    # sum_a pi(a|s) grad ln pi(a|s) = grad sum_a pi(a|s) = 0, in each state
    actor, x = actor_of(Softmax(3), critic=True), rng.normal(size=(1, 3))
    flat = actor.initial(rng).flat
    p = actor.head.probabilities(actor.judged(x, flat))[0]
    scores = actor.score(np.repeat(x, 3, axis=0), np.arange(3, dtype=np.int32), flat)
    assert scores.shape == (3, actor.parts[3].stop)
    np.testing.assert_allclose(p @ scores, 0, atol=1e-12)
    assert np.abs(scores).max() > 0.01


def test_the_first_policy_is_almost_even(rng):
    policy = Mlp((3, 64, 64, 4), "tanh", 0.01)
    actor = Actor(PLAIN, Softmax(4), policy, None, "float32")
    z = actor.judged(rng.normal(size=(20, 3)).astype(np.float32), actor.initial(rng).flat)
    assert np.abs(actor.head.probabilities(z) - 0.25).max() < 0.05


def test_parameters_have_names_and_are_views(rng):
    actor = actor_of(gaussian(), critic=True)
    flat = actor.initial(rng).flat
    parameters = actor.parameters(flat)
    assert list(parameters)[:5] == [
        "policy.0.weight",
        "policy.0.bias",
        "policy.1.weight",
        "policy.1.bias",
        "log_deviation",
    ]
    parameters["critic.1.bias"][:] = 7
    assert flat[-1] == 7
    np.testing.assert_array_equal(parameters["log_deviation"], 0)


# ------------------------------------------------------------------------------------------ Gaussian


def test_gaussian_actions_have_the_units_of_the_space(rng):
    head = gaussian()
    np.testing.assert_allclose(head.played(np.array([[0.0, 0.0], [0.5, 0.5], [-9, 9]])), [[0, 2], [0.5, 3], [-1, 4]])
    inside = rng.uniform([-1, 0], [1, 4], size=(5, 2))
    np.testing.assert_allclose(head.played(head.unplayed(inside)), inside, rtol=0, atol=1e-12)
    free = Gaussian(np.array([-np.inf, 0.0]), np.array([np.inf, np.inf]))
    np.testing.assert_allclose(free.played(np.array([[30.0, -2.0]])), [[30.0, 0.0]])


def test_gaussian_draws_have_their_mean_and_deviation():
    drawn = gaussian().draw(np.full((20_000, 2), 3.0), np.log([0.5, 2.0]), EVERYTHING, 4, 1)
    # five standard errors; chance depends on the seed and the step alone, so this is the same in every run
    np.testing.assert_allclose(drawn.mean(axis=0), 3, atol=5 * 2 / np.sqrt(20_000))
    np.testing.assert_allclose(drawn.std(axis=0), [0.5, 2.0], rtol=5 / np.sqrt(40_000))
    again = gaussian().draw(np.full((20_000, 2), 3.0), np.log([0.5, 2.0]), EVERYTHING, 4, 1)
    np.testing.assert_array_equal(drawn, again)


# ------------------------------------------------------------------------------------------- encoders


def test_spaces_and_what_their_observations_become():
    numbers = spaces_encoder(Box(np.full(2, -1, np.float32), np.full(2, 1, np.float32)))
    np.testing.assert_array_equal(numbers.features(np.array([[0.5, -0.5]]), "float64"), [[0.5, -0.5]])
    states = spaces_encoder(Discrete(3, start=5))
    np.testing.assert_array_equal(states.features(np.array([7, 5]), "float32"), [[0, 0, 1], [1, 0, 0]])
    pairs = spaces_encoder(MultiDiscrete([2, 3]))
    found = pairs.features(np.array([[1, 0], [0, 2]]), "float64")
    np.testing.assert_array_equal(found, [[0, 1, 1, 0, 0], [1, 0, 0, 0, 1]])
    assert (numbers.n_features, states.n_features, pairs.n_features) == (2, 3, 5)
