"""Stochastic gradient descent: it finds what was planted, whatever the threads, the scale or the precision."""

from dataclasses import replace

import numpy as np
import pytest

from skml.recommendation import sgd
from skml.recommendation.factors import Factors
from skml.recommendation.penalties import Penalties
from skml.recommendation.ratings import build_ratings
from skml.recommendation.sgd import Descent, random_factors, sgd_steps
from skml.recommendation.strata import count_parts, cut, deal_evenly, deal_randomly

NONE = Penalties(0, 0, 0, True)
each_loss = pytest.mark.parametrize("loss", ["squared", "bpr", "logistic"])
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def planted(rng, shape=(120, 60), k=2, share=0.5, dtype=np.float64, weighted=False):
    """Return ratings of rank k with biases, of mean 0."""
    U, V = (rng.normal(size=(n, k)) for n in shape)
    full = U @ V.T + rng.normal(size=(shape[0], 1)) + rng.normal(size=shape[1])
    users, items = np.nonzero(rng.random(shape) < share)
    weights = rng.random(len(users)) + 0.5 if weighted else None
    values = full[users, items]
    return build_ratings(
        users.astype(np.int32), items.astype(np.int32), (values - values.mean()).astype(dtype), weights, shape
    )


def large(rng, **params):
    """Return ratings of several parts."""
    return planted(rng, (400, 100), share=0.6, **params)


def learned(ratings, descent, k=3, **start):
    """Return the steps of a descent."""
    start.setdefault("seed", descent.seed)
    begin = random_factors((ratings.n_rows, ratings.n_columns), k, ratings.data.dtype, **start)
    return list(sgd_steps(ratings, begin, descent))


def arrays(state):
    return list(state.arrays())


def squared_objective(ratings, state, penalty):
    """Return J of parameters that stand still, by its definition."""
    users, items, weights = ratings.rows(), ratings.indices, ratings.filled_weights()
    said = state.mean + state.user_bias[users] + state.item_bias[items]
    said = said + (state.users[users] * state.items[items]).sum(axis=1)
    counts = [np.bincount(codes, weights) if penalty.weighted else 1 for codes in (users, items)] * 2
    strengths = penalty.users, penalty.items, penalty.biases, penalty.biases
    sizes = [(array.reshape(len(array), -1) ** 2).sum(axis=1) for array in arrays(state)]
    added = sum(strength * (count * size).sum() for strength, count, size in zip(strengths, counts, sizes))
    return 0.5 * (weights * (ratings.data - said) ** 2).sum() + added


def assert_equal(one, two):
    for a, b in zip(arrays(one), arrays(two), strict=True):
        np.testing.assert_array_equal(a, b)


# ------------------------------------------------------------------------------------------------ ratings


@each_dtype
@pytest.mark.parametrize("learning_rate", ["constant", "invscaling", "adaptive", "cosine"])
def test_planted_ratings_are_found(rng, seed, dtype, learning_rate):
    ratings = planted(rng, dtype=dtype)
    steps = learned(ratings, Descent(learning_rate=learning_rate, eta0=0.05, max_iter=150, penalties=NONE, seed=seed))
    state = steps[-1].state
    assert all(a.dtype == dtype for a in arrays(state))
    left = squared_objective(ratings, state, NONE) / (0.5 * np.sum(ratings.data.astype(float) ** 2))
    assert left < 0.05
    assert [step.last for step in steps] == [False] * 149 + [True]


def test_the_objective_falls_and_is_that_of_the_state(rng, seed):
    ratings = large(rng, weighted=True)
    for weighted in (True, False):
        penalty = Penalties(0.02, 0.03, 0.01, weighted)
        # At the end the learning rate is all but 0: what is met on the way is what the state has.
        steps = learned(ratings, Descent(penalties=penalty, learning_rate="cosine", max_iter=60, seed=seed))
        exact = squared_objective(ratings, steps[-1].state, penalty)
        assert steps[-1].metrics["objective"] < 0.8 * steps[0].metrics["objective"]
        np.testing.assert_allclose(steps[-1].metrics["objective"], exact, rtol=0.02)


def test_penalties_by_hand():
    ratings = build_ratings(
        np.array([0, 0], np.int32), np.array([0, 1], np.int32), np.array([1.0, 3.0]), np.array([1.0, 2.0]), (1, 2)
    )
    state = Factors(np.array([[2.0]]), np.array([[1.0], [0.0]]), np.array([0.5]), np.array([0.0, 1.0]))
    # squared norms 4, (1, 0), 0.25, (0, 1); counts 3 and (1, 2)
    plain, counted = Penalties(0.1, 0.2, 0.3), Penalties(0.1, 0.2, 0.3, True)
    found = [penalties.of(state, penalties.scales(ratings)) for penalties in (plain, counted)]
    assert found[0] == pytest.approx(0.1 * 4 + 0.2 * 1 + 0.3 * 0.25 + 0.3 * 1)
    assert found[1] == pytest.approx(0.1 * 12 + 0.2 * 1 + 0.3 * 0.75 + 0.3 * 2)


@pytest.mark.parametrize("weighted", [True, False])
def test_the_end_is_stationary(rng, seed, weighted):
    ratings = planted(rng, (40, 30), weighted=True)
    penalty = Penalties(0.05, 0.04, 0.03, weighted)
    state = learned(ratings, Descent(penalties=penalty, learning_rate="cosine", eta0=0.1, max_iter=600, seed=seed))[
        -1
    ].state
    best = squared_objective(ratings, state, penalty)
    for at, name in enumerate(("users", "items", "user_bias", "item_bias")):
        direction = rng.normal(size=arrays(state)[at].shape)
        near = [
            squared_objective(ratings, replace(state, **{name: arrays(state)[at] + h * direction}), penalty)
            for h in (-1e-4, 1e-4)
        ]
        curved = [
            squared_objective(ratings, replace(state, **{name: arrays(state)[at] + h * direction}), penalty)
            for h in (-1, 1)
        ]
        # the slope is nothing beside the curvature: a Newton step would gain next to nothing
        slope, curvature = (near[1] - near[0]) / 2e-4, sum(curved) - 2 * best
        assert slope**2 / (2 * curvature) < 2e-3 * best


def test_scales_of_ratings_and_weights_change_nothing(rng, seed):
    ratings = large(rng, weighted=True)
    descent = Descent(max_iter=5, penalties=Penalties(0, 0, 0.01, True), seed=seed)
    state = learned(ratings, descent)[-1].state
    scaled = replace(ratings, data=ratings.data * 64, weights=ratings.weights * 8)
    start = random_factors((400, 100), 3, np.float64, seed=seed)
    start = replace(start, users=start.users * 8, items=start.items * 8)
    for step in sgd_steps(scaled, start, descent):
        other = step.state
    for a, b, factor in zip(arrays(state), arrays(other), (8, 8, 64, 64)):
        np.testing.assert_allclose(a * factor, b, rtol=1e-9, atol=1e-12)


def test_without_biases_there_are_none(rng, seed):
    state = learned(planted(rng), Descent(max_iter=2, fit_bias=False, seed=seed))[-1].state
    assert not np.any(np.append(state.user_bias, state.item_bias))


def test_ratings_that_are_all_zero_are_learned(rng, seed):
    ratings = planted(rng)
    state = learned(ratings.with_data(0 * ratings.data), Descent(max_iter=30, seed=seed, eta0=0.1))[-1].state
    assert all(np.isfinite(a).all() for a in arrays(state))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("loss", ["squared", "bpr"])
def test_divergence_is_told_with_the_learning_rate(rng, seed, dtype, loss):
    ratings = large(rng, dtype=dtype)
    with pytest.raises(FloatingPointError, match="learning rate of"):
        learned(ratings, Descent(loss=loss, eta0=1e4 if loss == "squared" else 1e300, penalties=NONE, seed=seed))


# ---------------------------------------------------------------------------------------- without ratings


@pytest.mark.parametrize("loss", ["bpr", "logistic"])
@pytest.mark.parametrize("weighted", [True, False])
def test_a_checkerboard_is_learned_from_what_was_seen(rng, seed, loss, weighted):
    users, items = np.nonzero((np.arange(80)[:, None] + np.arange(48)) % 2 == 0)
    shown = rng.random(len(users)) < 0.7
    seen = users[shown].astype(np.int32), items[shown].astype(np.int32)
    weights = rng.random(shown.sum()) + 0.5 if weighted else None
    ratings = build_ratings(*seen, np.ones(shown.sum()), weights, (80, 48))
    steps = learned(ratings, Descent(loss=loss, eta0=0.1, max_iter=60, n_negatives=2, seed=seed), k=4)
    assert steps[-1].metrics["objective"] < 0.7 * steps[0].metrics["objective"]
    scores = steps[-1].state.users @ steps[-1].state.items.T + steps[-1].state.item_bias
    own, other = scores[users[~shown], items[~shown]], scores[users[~shown], (items[~shown] + 1) % 48]
    assert np.mean(own > other) > 0.95


def test_user_biases_cancel_in_a_ranking(rng, seed):
    state = learned(large(rng), Descent(loss="bpr", max_iter=2, seed=seed))[-1].state
    assert not state.user_bias.any()
    assert state.item_bias.any()


def test_ranking_does_not_look_at_ratings(rng, seed):
    ratings, descent = large(rng), Descent(loss="bpr", max_iter=2, seed=seed)
    assert_equal(
        learned(ratings, descent)[-1].state, learned(ratings.with_data(ratings.data * 0 + 7), descent)[-1].state
    )


# ------------------------------------------------------------------------------------------ the same bits


@each_loss
@each_dtype
def test_threads_and_calls_change_no_bit(rng, seed, loss, dtype, monkeypatch):
    ratings = large(rng, dtype=dtype, weighted=True)
    assert count_parts(ratings) == 4
    one = learned(ratings, Descent(loss=loss, max_iter=3, seed=seed))
    monkeypatch.setattr(sgd, "_CALL", 10**5)
    three = learned(ratings, Descent(loss=loss, max_iter=3, seed=seed, n_threads=3))
    for a, b in zip(one, three):
        assert_equal(a.state, b.state)
        assert a.metrics["objective"] == pytest.approx(b.metrics["objective"], rel=1e-12)


@pytest.mark.parametrize("unseen", [0, 1, 30])
def test_calls_are_as_much_shorter_as_negatives_are_harder_to_find(rng, seed, unseen, monkeypatch):
    # who has seen everything costs all the tries there are, for nothing
    n_users, n_items = 300, 60
    seen = np.ones((n_users, n_items), bool)
    for row in seen:
        row[rng.permutation(n_items)[:unseen]] = False
    users, items = (codes.astype(np.int32) for codes in np.nonzero(seen))
    ratings, sizes = build_ratings(users, items, np.ones(len(users)), None, seen.shape), []
    kernel = sgd.interaction_sgd.rank_blocks
    monkeypatch.setattr(sgd, "_CALL", 10**5)
    monkeypatch.setattr(
        sgd.interaction_sgd, "rank_blocks", lambda *a: sizes.append(int((a[6] - a[5]).sum())) or kernel(*a)
    )
    learned(ratings, Descent(loss="bpr", max_iter=1, seed=seed))
    tries = {0: 64, 1: 60, 30: 2}[unseen]  # at least
    assert max(sizes) * (2 * 8 + tries * sgd._PER_TRY) <= 10**5
    assert sum(sizes) == len(users)


def test_an_epoch_meets_each_interaction_once_window_by_window(rng, seed, monkeypatch):
    ratings, runs, size = large(rng), [], 100
    kernel = sgd.interaction_sgd.rate_blocks
    monkeypatch.setattr(sgd, "_WINDOW", size)
    monkeypatch.setattr(
        sgd.interaction_sgd,
        "rate_blocks",
        lambda *a: runs.extend(a[4][start:stop].copy() for start, stop in zip(*a[5:7])) or kernel(*a),
    )
    learned(ratings, Descent(max_iter=1, seed=seed))
    np.testing.assert_array_equal(np.sort(np.concatenate(runs)), np.arange(len(ratings.data)))
    windows = [run[at : at + size] for run in runs for at in range(0, len(run), size)]
    for window in windows:  # neighbours in the order by user, shuffled
        assert np.ptp(window) == len(window) - 1
    assert all(np.any(np.diff(window) < 0) for window in windows if len(window) > 20)


@each_loss
def test_another_seed_is_another_descent(rng, seed, loss):
    ratings = large(rng)
    one, two = (learned(ratings, Descent(loss=loss, max_iter=1, seed=s), seed=seed)[-1].state for s in (seed, seed + 1))
    assert np.any(one.users != two.users)


@each_loss
def test_a_descent_goes_on_where_it_stopped(rng, seed, loss):
    ratings, descent = large(rng), Descent(loss=loss, learning_rate="invscaling", max_iter=6, seed=seed)
    whole = learned(ratings, descent)
    *_, step = rest = list(sgd_steps(ratings, whole[2].state, descent, [1.0] * 3))
    assert len(rest) == 3
    for a, b in zip(arrays(step.state), arrays(whole[-1].state)):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_states_are_snapshots(rng, seed):
    ratings = large(rng)
    begin = random_factors((400, 100), 3, np.float64, seed=seed)
    before = [a.copy() for a in arrays(begin)]
    steps = sgd_steps(ratings, begin, Descent(max_iter=3, average=2, seed=seed))
    first = next(steps).state
    kept = [a.copy() for a in arrays(first)]
    list(steps)
    for a, b in zip((*arrays(first), *arrays(begin)), (*kept, *before)):
        np.testing.assert_array_equal(a, b)


# ------------------------------------------------------------------------------- schedules, averages, ends


def test_learning_rates_by_hand():
    def rates(learning_rate, epochs):
        descent = Descent(learning_rate=learning_rate, eta0=0.1, power_t=0.5, max_iter=4)
        return [sgd.rate_at(descent, epoch) for epoch in epochs]

    assert rates("constant", (1, 4)) == [0.1, 0.1]
    assert rates("invscaling", (1, 4)) == pytest.approx([0.1, 0.05])
    assert rates("cosine", (1, 3, 5)) == pytest.approx([0.1, 0.05, 0.0])


def test_an_adaptive_rate_falls_when_the_objective_does_not(rng, seed):
    ratings = planted(rng, (60, 40))
    steps = learned(ratings, Descent(learning_rate="adaptive", eta0=0.1, tol=0.02, max_iter=60, seed=seed,
                                     n_iter_no_change=100))  # fmt: skip
    rates = np.array([step.metrics["learning_rate"] for step in steps])
    assert rates[0] == 0.1
    assert rates[-1] < 0.1
    np.testing.assert_allclose(np.unique(np.round(rates[1:] / rates[:-1], 9)), [0.2, 1.0])


def test_a_plateau_ends_the_descent(rng, seed):
    steps = learned(planted(rng), Descent(tol=0.05, n_iter_no_change=2, max_iter=500, seed=seed))
    assert len(steps) < 500
    assert steps[-1].last
    assert not any(step.last for step in steps[:-1])


def test_the_average_is_that_of_the_last_epochs(rng, seed):
    ratings, descent = large(rng), Descent(max_iter=6, seed=seed)
    plain = [step.state for step in learned(ratings, descent)]
    means = [step.state for step in learned(ratings, replace(descent, average=3))]
    assert_equal(plain[2], means[2])
    for at, array in enumerate(arrays(means[-1])):
        np.testing.assert_allclose(array, np.mean([arrays(s)[at] for s in plain[3:]], axis=0), rtol=1e-9, atol=1e-12)


def test_fewer_random_errors_remain_in_an_average(rng, seed):
    ratings = large(rng)
    noisy = ratings.with_data(ratings.data + 2 * rng.normal(size=len(ratings.data)))
    descent = Descent(eta0=0.05, max_iter=30, penalties=Penalties(0.1, 0.1, 0.01, True), seed=seed)
    last, mean = (learned(noisy, replace(descent, average=n))[-1].state for n in (0, 10))
    assert squared_objective(noisy, mean, descent.penalties) < squared_objective(noisy, last, descent.penalties)


# -------------------------------------------------------------------------------------------------- parts


@pytest.mark.parametrize("n_parts", [1, 3, 4])
def test_blocks_of_a_stratum_share_nothing_and_strata_hold_all(rng, n_parts):
    ratings = large(rng)
    parts = deal_evenly(np.diff(ratings.indptr), n_parts), deal_randomly(100, n_parts, rng)
    strata, rows = cut(ratings, *parts, n_parts), ratings.rows()
    met = []
    for shift in range(n_parts):
        starts, stops, items = strata.stratum(shift)
        blocks = [strata.order[a:b] for a, b in zip(starts, stops)]
        for codes in (rows, ratings.indices):
            each = [set(codes[block]) for block in blocks]
            assert sum(map(len, each)) == len(set().union(*each))
        for block, part in zip(blocks, items):
            members = strata.members[strata.member_starts[part] : strata.member_starts[part + 1]]
            assert set(ratings.indices[block]) <= set(members)
        met.extend(blocks)
    np.testing.assert_array_equal(np.sort(np.concatenate(met)), np.arange(len(rows)))


def test_parts_are_even(rng):
    counts = (1000 / np.arange(1, 501)).astype(int)
    loads = np.bincount(deal_evenly(counts, 4), counts)
    assert loads.max() - loads.min() <= counts.max()
    assert set(np.bincount(deal_randomly(500, 4, rng))) == {125}


def test_the_parts_depend_on_sizes_alone(rng):
    assert count_parts(planted(rng, (10, 10))) == 1
    assert count_parts(large(rng)) == 4
