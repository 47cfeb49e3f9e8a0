"""Small networks and rollouts: compiled equals twin for any sizes and threads; wrong arguments are refused."""

import numpy as np
import pytest

from skml._kernels import actors, environments
from skml._kernels.reference import actors as twin

each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
SIZES = [
    ((4, 64, 64, 2), 40),
    ((3, 5, 7, 2), 130),
    ((2, 1), 1),
    ((70, 33, 2), 530),
    ((4, 64, 64, 1), 0),
    ((1, 17, 16), 7),
]
CART = [9.8, 1, 0.1, 0.5, 10, 0.02, 1, 1, -0.05, 0.05]
NOTHING = np.empty((0, 0), dtype=np.uint8)


def network(rng, dtype, sizes, n):
    """Return rows, parameters, sizes, and room for outputs and gradients."""
    table = np.array(sizes, dtype=np.int32)
    w = rng.normal(size=int((table[:-1] + 1) @ table[1:])).astype(dtype) / np.sqrt(max(sizes))
    x = rng.normal(size=(n, sizes[0])).astype(dtype)
    return x, w.astype(dtype), table, np.full(n * int(table[1:].sum()), np.nan, dtype)


def close(found, expected, dtype):
    # sums of at most some hundred products of numbers near 1, layer upon layer
    bound = 500 * np.finfo(dtype).eps * max(1, np.abs(expected).max(initial=0))
    assert np.abs(found - expected).max(initial=0) <= bound


@each_dtype
@pytest.mark.parametrize(("sizes", "n"), SIZES)
@pytest.mark.parametrize("activation", [0, 1, 2, 4, 5])
def test_forward_and_backward_are_the_twins(rng, dtype, sizes, n, activation):
    x, w, table, y = network(rng, dtype, sizes, n)
    ys, gs = [], []
    for module, n_threads in ((twin, 1), (actors, 1), (actors, 2), (actors, 3)):
        out, g = y.copy(), np.full_like(w, np.nan)
        module.forward(x, w, table, activation, out, n_threads)
        # the slopes of relu jump where a sum is 0: both go on from the same outputs
        out = ys[0] if ys else out
        dz = np.cos(np.arange(n * sizes[-1])).reshape(n, sizes[-1]).astype(dtype)
        module.backward(x, w, table, activation, out, dz, g, n_threads)
        ys.append(out if not ys else None)
        gs.append(g)
    for g in gs[1:]:
        close(g, gs[0], dtype)
        np.testing.assert_array_equal(g, gs[1])
    outs = []
    for module, n_threads in ((twin, 1), (actors, 1), (actors, 2), (actors, 3)):
        out = y.copy()
        module.forward(x, w, table, activation, out, n_threads)
        outs.append(out)
    for out in outs[1:]:
        close(out, outs[0], dtype)
        np.testing.assert_array_equal(out, outs[1])


@each_dtype
@pytest.mark.parametrize("activation", [1, 4, 5])
def test_how_rows_are_batched_shows_in_no_bit(rng, dtype, activation):
    x, w, table, y = network(rng, dtype, (5, 30, 21, 3), 150)
    actors.forward(x, w, table, activation, y, 2)
    together = y[-150 * 3 :].reshape(150, 3)
    for start, end in ((0, 1), (7, 8), (20, 33), (100, 150)):
        some = np.empty((end - start) * 54, dtype)
        actors.forward(x[start:end], w, table, activation, some, 1)
        np.testing.assert_array_equal(some[-(end - start) * 3 :].reshape(-1, 3), together[start:end])


def test_the_gradient_of_the_first_rows_alone(rng):
    x, w, table, y = network(rng, np.float64, (3, 8, 2), 9)
    dz, g, few = rng.normal(size=(9, 2)), np.empty_like(w), np.empty_like(w)
    for module in (twin, actors):
        module.forward(x, w, table, 4, y, 1)
        module.backward(x, w, table, 4, y, dz[:4], few, 1)
        dz[4:] = 0
        module.backward(x, w, table, 4, y, dz, g, 1)
        np.testing.assert_allclose(few, g, rtol=0, atol=1e-13)


@pytest.mark.parametrize("activation", [0, 4, 5])
def test_the_gradient_is_that_of_finite_differences(rng, activation):
    x, w, table, y = network(rng, np.float64, (3, 6, 5, 2), 4)
    dz, g = rng.normal(size=(4, 2)), np.empty_like(w)
    actors.forward(x, w, table, activation, y, 1)
    actors.backward(x, w, table, activation, y, dz, g, 1)

    def objective(parameters):
        actors.forward(x, parameters, table, activation, y, 1)
        return (y[-8:].reshape(4, 2) * dz).sum()

    step = 1e-6
    for i in rng.choice(len(w), size=12, replace=False):
        ahead, behind = w.copy(), w.copy()
        ahead[i], behind[i] = w[i] + step, w[i] - step
        assert abs((objective(ahead) - objective(behind)) / (2 * step) - g[i]) < 1e-7


# ---------------------------------------------------------------------------------------------- choices


def masks(rng, n, n_actions):
    allowed = (rng.random((n, n_actions)) < 0.5).astype(np.uint8)
    allowed[np.arange(n), rng.integers(n_actions, size=n)] = 1
    return allowed


@each_dtype
@pytest.mark.parametrize("masked", [False, True])
def test_slopes_are_the_twins(rng, dtype, masked):
    z = (rng.normal(size=(23, 5)) * 5).astype(dtype)
    z[0] = [900, -900, 0, 0, 0]
    allowed = masks(rng, 23, 5) if masked else NOTHING
    actions = np.array([rng.choice(np.flatnonzero(row)) for row in allowed] if masked else rng.integers(5, size=23))
    weights, bonus, found = rng.normal(size=23), rng.random(23), []
    for module in (twin, actors):
        dz, figures = np.full_like(z, np.nan), np.full((23, 3), np.nan)
        module.slopes(z, actions.astype(np.int32), allowed, weights, bonus, dz, figures)
        found.append((dz, figures))
    np.testing.assert_allclose(found[1][0], found[0][0], rtol=0, atol=20 * np.finfo(dtype).eps)
    np.testing.assert_allclose(found[1][1], found[0][1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("masked", [False, True])
def test_slopes_are_those_of_finite_differences(rng, masked):
    z, allowed = rng.normal(size=(6, 4)), masks(rng, 6, 4) if masked else NOTHING
    actions = np.array([np.flatnonzero(row)[0] for row in allowed] if masked else rng.integers(4, size=6), np.int32)
    weights, bonus = rng.normal(size=6), rng.random(6)
    dz, figures = np.empty_like(z), np.empty((6, 3))
    actors.slopes(z, actions, allowed, weights, bonus, dz, figures)

    def objective(logits):
        spare, said = np.empty_like(z), np.empty((6, 3))
        actors.slopes(logits, actions, allowed, weights, bonus, spare, said)
        return -(weights @ said[:, 0]) - bonus @ said[:, 1]

    for i in range(6):
        for k in range(4):
            ahead, behind = z.copy(), z.copy()
            ahead[i, k] += 1e-5
            behind[i, k] -= 1e-5
            assert abs((objective(ahead) - objective(behind)) / 2e-5 - dz[i, k]) < 1e-8


def test_actions_are_drawn_with_their_probabilities(rng):
    z = np.log([[0.1, 0.6, 0.3]])
    counts, drawn = np.zeros(3), np.empty(1, np.int32)
    for step in range(4000):
        actors.act(z, NOTHING, 5, step, drawn)
        counts[drawn[0]] += 1
    # five deviations of a binomial share; and draws are the same in every run
    assert np.all(np.abs(counts / 4000 - np.exp(z[0])) < 5 * np.sqrt(0.25 / 4000))


@each_dtype
def test_acting_is_the_twins(rng, dtype):
    z, allowed = rng.normal(size=(50, 6)).astype(dtype), masks(rng, 50, 6)
    for mask in (NOTHING, allowed):
        found = np.empty((2, 50), np.int32)
        for module, drawn in zip((twin, actors), found):
            module.act(z, mask, 2**63 + 11, 2**40, drawn)
        np.testing.assert_array_equal(found[0], found[1])
    assert allowed[np.arange(50), found[1]].all()


# ------------------------------------------------------------------------------------------ advantages


@pytest.mark.parametrize(("T", "N"), [(1, 1), (7, 3), (0, 2), (3, 0)])
def test_advantages_are_the_twins(rng, T, N):
    reward, value, after = rng.normal(size=(3, T, N))
    terminated, ended = (rng.random((2, T, N)) < 0.3).astype(np.uint8)
    found = np.full((2, T, N), np.nan)
    for module, out in zip((twin, actors), found):
        module.advantages(reward, value, after, terminated, ended, 0.9, 0.7, out)
    np.testing.assert_allclose(found[0], found[1], rtol=0, atol=1e-13)


# -------------------------------------------------------------------------------------------- rollouts


def drawn_network(dtype, sizes):
    _, w, table, _ = network(np.random.default_rng(0), dtype, sizes, 1)
    return w, table


def fresh(dtype, T, N, width):
    """Return what a rollout writes, by name."""
    return {
        "x": np.zeros(((2 * T + 1) * N, width), dtype),
        "actions": np.zeros((T, N), np.int32),
        "reward": np.full((T, N), np.nan),
        "ended": np.full((2, T, N), 9, np.uint8),
        "totals": np.full((T, N), np.nan),
        "running": np.zeros(N),
        "idle": np.zeros(N, np.uint8),
        "seed": 9,
        "step": 2,
        "go_on": True,
    }


def control(kind, dtype, T, N, limit=20):
    """Return all of a rollout of a control task, by name."""
    d, A = (4, 2) if kind == 0 else (2, 3)
    clock, states = np.zeros((N, 4), np.int64), np.zeros((N, d))
    clock[:, 3] = limit
    parameters = np.tile(CART if kind == 0 else [0.001, 0.0025, 0, 0, 0, 0, 0, 0, -0.6, -0.4], (N, 1)).astype(float)
    environments.seed_copies(3, 0, clock)
    environments.start_control(kind, parameters, clock, states, np.empty((N, d), np.float32))
    w, sizes = drawn_network(dtype, (d, 16, A))
    scaling = np.array([[0.1], [2.0]]) * np.ones(d)
    task = {"kind": kind, "parameters": parameters, "clock": clock, "states": states, "scaling": scaling}
    return task | {"w": w, "sizes": sizes, "activation": 4} | fresh(dtype, T, N, d)


def play(module, given):
    """Run a rollout of a control task."""
    task = tuple(given[name] for name in ("kind", "parameters", "clock", "states", "scaling"))
    return _played(module.play_control, task, given)


def _played(function, task, given):
    policy = given["w"], given["sizes"], given["activation"]
    record = tuple(given[name] for name in ("actions", "reward", "ended", "totals", "running", "idle"))
    return function(task, policy, given["seed"], given["step"], given["go_on"], given["x"], record)


# Three states in a row and an end: action 0 goes on with probability 0.7 and pays 1; action 1 stays, where it is there.
TABLE = (
    np.array([0, 2, 3, 5, 5], np.int32),
    np.array([0, 1, 0, 0, 1], np.int32),
    np.array([0, 2, 3, 5, 7, 8], np.int32),
    np.array([0.3, 1, 1, 0.3, 1, 0.3, 1, 1]),
    np.array([0, 1, 0, 1, 2, 2, 3, 2], np.int32),
    np.array([0.0, 1, 0, 0, 1, 0, 1, 0]),
    np.array([0, 0, 0, 0, 0, 0, 1, 0], np.uint8),
    np.array([0.5, 1, 1, 1]),
)
MASKS = np.array([[1, 1], [1, 0], [1, 1], [1, 1]], np.uint8)


def finite(dtype, T, N, limit=5):
    """Return all of a rollout of a finite world, by name."""
    clock, states = np.zeros((N, 4), np.int64), np.zeros(N, np.int64)
    clock[:, 3] = limit
    environments.seed_copies(3, 0, clock)
    environments.start_table(TABLE, clock, states)
    w, sizes = drawn_network(dtype, (4, 7, 2))
    task = {"table": TABLE, "clock": clock, "states": states, "masks": MASKS}
    return task | {"w": w, "sizes": sizes, "activation": 4} | fresh(dtype, T, N, 4)


def play_finite(module, given):
    task = tuple(given[name] for name in ("table", "clock", "states", "masks"))
    return _played(module.play_table, task, given)


WRITTEN = ("clock", "states", "x", "actions", "reward", "ended", "totals", "running", "idle")


@each_dtype
@pytest.mark.parametrize("kind", [0, 1, "finite"])
@pytest.mark.parametrize("go_on", [True, False])
def test_a_rollout_is_the_twins(dtype, kind, go_on):
    found = []
    for module in (twin, actors):
        if kind == "finite":
            given = finite(dtype, 30, 6) | {"go_on": go_on}
            n_cut = play_finite(module, given)
        else:
            given = control(kind, dtype, 50, 5, limit=17) | {"go_on": go_on}
            n_cut = play(module, given)
        assert n_cut == given["ended"][1].sum() > 0
        found.append(given)
    for name in WRITTEN:
        # the network's rounding never decides here: the draws of this seed lie far from where actions change
        np.testing.assert_allclose(found[1][name], found[0][name], rtol=1e-5, atol=1e-5, err_msg=name)


def test_a_rollout_of_a_finite_world_takes_actions_that_are_there():
    given = finite(np.float64, 200, 8)
    play_finite(actors, given)
    states = given["x"][: 200 * 8].argmax(axis=1)
    assert MASKS[states, given["actions"].ravel()].all()
    assert set(given["actions"].ravel()) == {0, 1}
    assert given["ended"][0].any() and given["ended"][1].any()
    np.testing.assert_array_equal(given["x"].sum(axis=1)[: 201 * 8], 1)


def test_a_rollout_in_parts_is_the_whole():
    whole, first = control(0, np.float32, 30, 4), control(0, np.float32, 15, 4)
    second = control(0, np.float32, 15, 4) | {name: first[name] for name in ("clock", "states", "running", "idle")}
    second["step"] = 17
    for given in (whole, first, second):
        play(actors, given)
    for name in ("actions", "reward", "totals"):
        np.testing.assert_array_equal(np.concatenate([first[name], second[name]]), whole[name])
    np.testing.assert_array_equal(second["states"], whole["states"])


def test_a_copy_that_is_idle_stays_where_it_is():
    given = control(0, np.float64, 6, 3)
    given["idle"][1] = 1
    before = given["states"].copy(), given["clock"].copy()
    play(actors, given)
    np.testing.assert_array_equal(given["states"][1], before[0][1])
    np.testing.assert_array_equal(given["clock"][1], before[1][1])
    assert (given["states"][[0, 2]] != before[0][[0, 2]]).any(axis=1).all()
    assert not given["reward"][:, 1].any()
    assert given["reward"][:, 0].all()


# ------------------------------------------------------------------------------------------- refusals


def refused(function, good, bad):
    function(*good)
    for at, value in bad:
        with pytest.raises(ValueError):
            function(*[value if i == at else argument for i, argument in enumerate(good)])


@pytest.mark.parametrize("module", [actors, twin])
def test_what_does_not_fit_is_refused(rng, module):
    x, w, table, y = network(rng, np.float64, (3, 4, 2), 5)
    threads = [(5, 0)] if module is actors else []
    bad = [(0, x[:4]), (0, np.ones((5, 2))), (1, w[1:]), (2, table[:1]), (2, table * 0), (3, 3), (3, 6), (4, y[1:])]
    refused(module.forward, [x, w, table, 4, y, 1], [*bad, *threads])
    dz, g = np.ones((5, 2)), np.empty_like(w)
    bad = [(0, x[:4]), (1, w[1:]), (2, table[:2]), (3, -1), (4, y[1:]), (5, np.ones((6, 2))), (5, np.ones((5, 3)))]
    refused(module.backward, [x, w, table, 4, y, dz, g, 1], [*bad, (6, g[1:])])
    z, actions, ones = np.ones((4, 3)), np.zeros(4, np.int32), np.ones(4)
    none, shut = np.ones((4, 3), np.uint8), np.zeros((4, 3), np.uint8)
    refused(module.act, [z, none, 0, 0, actions], [(1, none[:3]), (1, shut), (4, actions[:3]), (0, np.ones((4, 0)))])
    bad = [(1, actions[:3]), (1, actions + 3), (1, actions - 1), (2, shut), (3, ones[:3]), (4, ones[:3])]
    bad += [(5, np.ones((4, 2))), (6, np.ones((4, 2)))]
    refused(module.slopes, [z, actions, none, ones, ones, np.ones((4, 3)), np.ones((4, 3))], bad)
    a, flags = np.ones((4, 3)), np.zeros((4, 3), np.uint8)
    good = [a, a, a, flags, flags, 0.9, 0.9, np.empty((4, 3))]
    refused(module.advantages, good, [(i, good[i][:3]) for i in (0, 1, 2, 3, 4, 7)])


@pytest.mark.parametrize("module", [actors, twin])
def test_a_rollout_that_does_not_fit_is_refused(module):
    wrong = {
        "kind": 2,
        "parameters": np.ones((2, 9)),
        "clock": np.zeros((2, 3), np.int64),
        "states": np.zeros((2, 2)),
        "w": np.ones(7),
        "x": np.zeros((13, 4)),
        "reward": np.zeros((2, 2)),
        "ended": np.zeros((1, 3, 2), np.uint8),
        "totals": np.zeros((3, 1)),
        "sizes": np.array([4, 16, 3], np.int32),
    }
    if module is actors:
        wrong |= {"scaling": np.zeros((1, 4)), "running": np.zeros(1), "idle": np.zeros(3, np.uint8)}
    for name, value in wrong.items():
        with pytest.raises((ValueError, IndexError)):
            play(module, control(0, np.float64, 3, 2) | {name: value})


@pytest.mark.parametrize("module", [actors, twin])
def test_a_finite_world_that_does_not_fit_is_refused(module):
    leads_out = (*TABLE[:4], TABLE[4] + 4, *TABLE[5:])
    wrong = {
        "table": leads_out,
        "states": np.array([0, 4]),
        "clock": np.zeros((2, 3), np.int64),
        "masks": MASKS[:3],
        "sizes": np.array([5, 7, 2], np.int32),
        "w": np.ones(3),
    }
    for name, value in wrong.items():
        with pytest.raises(ValueError):
            play_finite(module, finite(np.float64, 3, 2) | {name: value})
    with pytest.raises(ValueError):
        play_finite(module, finite(np.float64, 3, 2) | {"table": (*TABLE[:7], TABLE[7][:3])})
