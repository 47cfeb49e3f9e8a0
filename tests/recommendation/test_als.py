"""Alternating least squares: the objective as written, its optimum, fold-in, attributes, and the bits."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from skml.recommendation.als import (
    Plan,
    als_steps,
    fold_items,
    fold_users,
    initial_factors,
)
from skml.recommendation.factors import Factors
from skml.recommendation.least_squares import counted_noise, gram_matrix
from skml.recommendation.ratings import build_ratings

each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])

KINDS = {
    "plain": {},
    "biases": {"fit_bias": True},
    "weighted": {"fit_bias": True, "weighted": True},
    "implicit": {"implicit": True},
    "implicit weighted": {"implicit": True, "weighted": True},
}
each_kind = pytest.mark.parametrize("kind", KINDS)


def plan_of(kind, **params):
    penalties = {"user_penalty": 0.3, "item_penalty": 0.5, "bias_penalty": 0.2, "attribute_penalty": 0.7}
    return Plan(**{"n_components": 4, "tol": None, **penalties, **KINDS[kind], **params})


def drawn(rng, n=50, m=30, share=0.3, dtype=np.float64, weights=True, implicit=False):
    """Return ratings; the last user and the last item have none."""
    users, items = np.nonzero(rng.random((n - 1, m - 1)) < share)
    truth = (rng.normal(size=(n, 2)) @ rng.normal(size=(2, m)))[users, items] + 3
    data = 0.2 + 4 * rng.random(len(users)) if implicit else truth + 0.1 * rng.normal(size=len(users))
    w = (0.2 + rng.random(len(users))).astype(dtype) if weights else None
    return build_ratings(users.astype(np.int32), items.astype(np.int32), data.astype(dtype), w, (n, m))


def steps_of(ratings, plan, seed=0, attributes=None, start=None):
    mean = 0.0 if plan.implicit else float(np.average(ratings.data, weights=ratings.weights))
    start = start or initial_factors(ratings, plan, seed, mean)
    return list(als_steps(ratings, start, plan, attributes))


def objective(ratings, f, plan, X=None):
    """J, written out densely in float64."""
    users, items, w = ratings.rows(), ratings.indices, ratings.filled_weights().astype(float)
    P, Q = f.users.astype(float), f.items.astype(float)
    scores = P @ Q.T + f.mean
    if plan.fit_bias:
        scores += f.user_bias[:, None].astype(float) + f.item_bias
    C, T = np.zeros(scores.shape), np.zeros(scores.shape)
    C[users, items], T[users, items] = w, ratings.data
    if plan.implicit:
        C[:], T[:] = 1, 0
        C[users, items], T[users, items] = w * ratings.data, 1
    sums = np.zeros(len(P)), np.zeros(len(Q))
    np.add.at(sums[0], users, C[users, items])
    np.add.at(sums[1], items, C[users, items])
    s_u, s_i = (np.where(s > 0, s, 1) if plan.weighted else np.ones_like(s) for s in sums)
    E, e_bias = Q, f.item_bias
    if X is not None:
        A = f.attributes.astype(float)
        E = Q - X @ A[:, : Q.shape[1]]
        e_bias = f.item_bias - X @ A[:, -1] if plan.fit_bias else None
    J = (C * (T - scores) ** 2).sum() / 2
    J += plan.user_penalty * (s_u @ P**2).sum() + plan.item_penalty * (s_i @ E**2).sum()
    if plan.fit_bias:
        J += plan.bias_penalty * (s_u @ f.user_bias.astype(float) ** 2 + s_i @ e_bias.astype(float) ** 2)
    return J + (plan.attribute_penalty * (A**2).sum() if X is not None else 0)


def with_attributes(rng, m, d=3, sparse=False):
    X = rng.normal(size=(m, d)) * (rng.random((m, d)) < 0.7)
    return (sp.csr_matrix(X), X) if sparse else (X, X)


@each_kind
@each_dtype
@pytest.mark.parametrize("inner", ["cholesky", "cg"])
@pytest.mark.parametrize("hybrid", [False, True])
def test_the_objective_is_as_written_and_never_increases(rng, kind, dtype, inner, hybrid):
    plan = plan_of(kind, inner=inner, max_iter=12)
    ratings = drawn(rng, dtype=dtype, implicit=plan.implicit, weights=bool(rng.integers(2)))
    X, dense = with_attributes(rng, 30) if hybrid else (None, None)
    steps = steps_of(ratings, plan, attributes=X)
    tol = 1e-4 if dtype == np.float32 else 1e-10
    for step in steps:
        assert step.state.users.dtype == step.state.items.dtype == dtype
        np.testing.assert_allclose(step.metrics["objective"], objective(ratings, step.state, plan, dense), rtol=tol)
    reported = np.array([step.metrics["objective"] for step in steps])
    assert np.all(np.diff(reported) <= (1e-6 if dtype == np.float32 else 1e-13) * reported[1:])
    assert reported[-1] < 0.99 * reported[0]
    assert [step.last for step in steps] == [False] * 11 + [True]


@each_kind
@pytest.mark.parametrize("hybrid", [False, True])
def test_it_ends_where_no_number_can_be_moved_for_the_better(rng, kind, hybrid):
    plan = plan_of(kind, max_iter=3000, tol=1e-15)
    ratings = drawn(rng, n=20, m=12, share=0.6, implicit=plan.implicit)
    X = with_attributes(rng, 12)[0] if hybrid else None
    end = steps_of(ratings, plan, attributes=X)[-1]
    f, at_end = end.state, objective(ratings, end.state, plan, X)
    further = steps_of(ratings, replace(plan, max_iter=1), attributes=X, start=f)[-1]
    # J is a parabola in each direction d of items: its slope is at most what the next sweep gains allows. Users and
    # attributes were solved for after what they depend on.
    gain = end.metrics["objective"] - further.metrics["objective"] + 1e-13 * at_end
    names = ["users", "items"] + ["user_bias", "item_bias"] * plan.fit_bias + ["attributes"] * hybrid
    for name in names:
        d = rng.normal(size=getattr(f, name).shape)
        up, down = (objective(ratings, replace(f, **{name: getattr(f, name) + s * d}), plan, X) for s in (1, -1))
        slope, curvature = (up - down) / 2, up + down - 2 * at_end
        assert curvature > 0, name
        assert abs(slope) <= np.sqrt(2 * gain * curvature) + 1e-12 * (up + down), name


@each_kind
def test_a_folded_user_is_the_fitted_one(rng, kind):
    plan = plan_of(kind, max_iter=2)  # at any time, as users are solved for last
    ratings = drawn(rng, implicit=plan.implicit)
    f = steps_of(ratings, plan)[-1].state
    users, bias = fold_users(ratings, f, plan)
    np.testing.assert_allclose(users, f.users, atol=1e-10)
    np.testing.assert_allclose(bias, f.user_bias, atol=1e-10)
    assert np.any(bias != 0) == plan.fit_bias


@each_kind
@pytest.mark.parametrize("hybrid", [False, True])
def test_a_folded_item_is_that_of_the_next_sweep(rng, kind, hybrid):
    # Items are solved for first, given users and A: at convergence, where sweeps change nothing, it is the fitted one.
    plan = plan_of(kind, max_iter=5)
    ratings = drawn(rng, n=25, m=12, share=0.6, implicit=plan.implicit)
    X = with_attributes(rng, 12)[0] if hybrid else None
    before, after = (step.state for step in steps_of(ratings, plan, attributes=X)[-2:])
    items, bias = fold_items(ratings.flipped()[0], before, plan, X)
    np.testing.assert_allclose(items, after.items, atol=1e-10)
    np.testing.assert_allclose(bias, after.item_bias, atol=1e-10)
    assert np.any(bias != 0) == plan.fit_bias


@each_kind
def test_conjugate_gradients_stay_where_cholesky_ends(rng, kind):
    exact = plan_of(kind, max_iter=5000, tol=1e-16)
    ratings = drawn(rng, n=25, m=12, share=0.6, implicit=exact.implicit)
    end = steps_of(ratings, exact)[-1]
    again = steps_of(ratings, plan_of(kind, max_iter=3, inner="cg"), start=end.state)
    np.testing.assert_allclose(again[-1].state.users, end.state.users, atol=1e-5)
    np.testing.assert_allclose(again[-1].metrics["objective"], end.metrics["objective"], rtol=1e-9)


@each_kind
@each_dtype
@pytest.mark.parametrize("inner", ["cholesky", "cg"])
def test_threads_change_no_bit(rng, kind, dtype, inner):
    ratings = drawn(rng, n=200, m=80, dtype=dtype, implicit=KINDS[kind].get("implicit", False))
    ends = [steps_of(ratings, plan_of(kind, inner=inner, max_iter=3, n_threads=t))[-1] for t in (1, 2, 3)]
    for other in ends[1:]:
        np.testing.assert_array_equal(other.state.users, ends[0].state.users)
        np.testing.assert_array_equal(other.state.items, ends[0].state.items)
        assert other.metrics == ends[0].metrics


@each_kind
def test_weights_are_copies(rng, kind):
    plan = plan_of(kind, max_iter=3)
    ratings = drawn(rng, weights=False, implicit=plan.implicit)
    doubled = build_ratings(
        ratings.rows(),
        ratings.indices,
        ratings.data,
        np.full(len(ratings.data), 2.0),
        (ratings.n_rows, ratings.n_columns),
    )
    if plan.implicit:
        same = ratings.with_data(2 * ratings.data)
        a, b = (steps_of(r, plan)[-1].state for r in (doubled, same))
    else:
        penalties = {name: 2 * getattr(plan, name) for name in ("user_penalty", "item_penalty", "bias_penalty")}
        a = steps_of(doubled, plan if plan.weighted else replace(plan, **penalties))[-1].state
        b = steps_of(ratings, plan)[-1].state
    np.testing.assert_allclose(a.users, b.users, atol=1e-9)
    np.testing.assert_allclose(a.items, b.items, atol=1e-9)


def test_a_rank_one_matrix_is_found():
    u, v = np.arange(1.0, 13), np.arange(1.0, 9) / 4
    seen = (np.add.outer(np.arange(12), np.arange(8)) % 2 == 0) | (np.arange(8) < 3)  # joins the checkerboard's halves
    users, items = (part.astype(np.int32) for part in np.nonzero(seen))
    ratings = build_ratings(users, items, (u[users] * v[items]), None, (12, 8))
    plan = Plan(n_components=1, user_penalty=1e-9, item_penalty=1e-9, max_iter=500, tol=None)
    f = list(als_steps(ratings, initial_factors(ratings, plan, 0), plan))[-1].state
    np.testing.assert_allclose(f.users @ f.items.T, np.outer(u, v), rtol=1e-4)


def test_rows_without_ratings_are_zero(rng):
    for kind in KINDS:
        plan = plan_of(kind, max_iter=2)
        f = steps_of(drawn(rng, implicit=plan.implicit), plan)[-1].state
        assert not f.users[-1].any()
        assert not f.items[-1].any()


@each_dtype
@pytest.mark.parametrize("kind", ["biases", "weighted", "implicit"])
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("d", [3, 40])  # fewer and more attributes than items
def test_an_item_nobody_rated_is_what_its_attributes_say(rng, dtype, kind, sparse, d):
    plan = plan_of(kind, max_iter=4)
    ratings = drawn(rng, dtype=dtype, implicit=plan.implicit)
    given, X = with_attributes(rng, 30, d, sparse)
    before, f = (step.state for step in steps_of(ratings, plan, attributes=given)[-2:])
    tol = {"atol": 1e-4 if dtype == np.float32 else 1e-10}
    assert f.attributes.dtype == np.float64
    assert f.items.dtype == dtype
    if plan.fit_bias:
        cold = build_ratings(np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, dtype), None, (30, 50))
        items, bias = fold_items(cold, f, plan, given)
        np.testing.assert_allclose(items, (X @ f.attributes)[:, :4], **tol)
        last = X @ before.attributes  # items are solved for before A
        np.testing.assert_allclose(bias, (X @ f.attributes)[:, 4], **tol)
        np.testing.assert_allclose(f.items[-1], last[-1, :4], **tol)
        np.testing.assert_allclose(f.item_bias[-1], last[-1, 4], **tol)


def test_attributes_help_items_of_which_little_is_known(rng):
    n, m, d = 200, 150, 4
    X, B, P = rng.normal(size=(m, d)), rng.normal(size=(d, 3)), rng.normal(size=(n, 3))
    truth = P @ (X @ B).T
    users, items = (part.astype(np.int32) for part in np.nonzero(rng.random((n, m)) < 0.2 * (np.arange(m) < 100)))
    ratings = build_ratings(users, items, truth[users, items], None, (n, m))
    plan = Plan(n_components=3, user_penalty=0.05, item_penalty=5.0, attribute_penalty=0.01, max_iter=60, tol=None)
    f = steps_of(ratings, plan, attributes=X)[-1].state
    scores = f.users @ (X @ f.attributes).T + f.mean
    assert np.corrcoef(scores[:, 100:].ravel(), truth[:, 100:].ravel())[0, 1] > 0.95


def test_it_stops_when_still(rng):
    plan = plan_of("biases", max_iter=500, tol=1e-4)
    steps = steps_of(drawn(rng), plan)
    J = [step.metrics["objective"] for step in steps]
    assert len(steps) < 500
    assert J[-2] - J[-1] <= 1e-4 * J[-1]
    assert all(before - after > 1e-4 * after for before, after in zip(J[:-2], J[1:-1]))


@each_kind
def test_it_goes_on_where_it_stopped(rng, kind):
    for inner in ("cholesky", "cg"):
        plan = plan_of(kind, max_iter=6, inner=inner)
        ratings = drawn(rng, implicit=plan.implicit)
        whole = steps_of(ratings, plan)
        again = steps_of(ratings, replace(plan, max_iter=3), start=whole[2].state)
        np.testing.assert_allclose(again[-1].state.users, whole[-1].state.users, atol=1e-9)


def test_states_are_memory_of_their_own(rng):
    plan = plan_of("biases", max_iter=3)
    ratings = drawn(rng)
    states = (step.state for step in als_steps(ratings, initial_factors(ratings, plan, 0, 3.0), plan))
    kept = [(state, state.users.copy(), state.item_bias.copy()) for state in states]
    for state, users, item_bias in kept:
        np.testing.assert_array_equal(state.users, users)
        np.testing.assert_array_equal(state.item_bias, item_bias)


def test_noise_is_counted():
    noise = counted_noise(5, 5000, 8, np.float64)
    np.testing.assert_array_equal(noise[:7], counted_noise(5, 7, 8, np.float64))
    np.testing.assert_allclose((noise**2).sum(axis=1).mean(), 1, rtol=0.02)
    np.testing.assert_allclose(noise.mean(axis=0), 0, atol=0.03)
    assert len(np.unique(noise)) == noise.size
    assert not np.array_equal(noise, counted_noise(6, 5000, 8, np.float64))


@each_dtype
def test_gram_matrix(rng, dtype):
    rows = rng.normal(size=(1300, 8)).astype(dtype)
    np.testing.assert_allclose(
        gram_matrix(rows), rows.astype(float).T @ rows.astype(float), atol=1e-2 * (dtype == np.float32) + 1e-9
    )


def test_given_factors_are_left_alone(rng):
    plan = plan_of("biases", max_iter=2)
    ratings = drawn(rng)
    given = Factors(rng.normal(size=(50, 4)), rng.normal(size=(30, 4)), rng.normal(size=50), rng.normal(size=30), 3.0)
    before = [array.copy() for array in (given.users, given.items, given.user_bias, given.item_bias)]
    steps_of(ratings, plan, start=given)
    fold_users(ratings, given, plan)
    for array, kept in zip((given.users, given.items, given.user_bias, given.item_bias), before):
        np.testing.assert_array_equal(array, kept)
