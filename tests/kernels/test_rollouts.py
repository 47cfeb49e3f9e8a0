"""Rollouts: compiled equals twin, in parts and with idle copies; what does not fit is refused."""

import numpy as np
import pytest

from skml._kernels import environments, rollouts
from skml._kernels.reference import rollouts as twin

each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
CART = [9.8, 1, 0.1, 0.5, 10, 0.02, 1, 1, -0.05, 0.05]


def drawn_network(dtype, sizes):
    """Return parameters and sizes of a network."""
    table = np.array(sizes, dtype=np.int32)
    w = np.random.default_rng(0).normal(size=int((table[:-1] + 1) @ table[1:]))
    return (w / np.sqrt(max(sizes))).astype(dtype), table


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
    for module in (twin, rollouts):
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
    play_finite(rollouts, given)
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
        play(rollouts, given)
    for name in ("actions", "reward", "totals"):
        np.testing.assert_array_equal(np.concatenate([first[name], second[name]]), whole[name])
    np.testing.assert_array_equal(second["states"], whole["states"])


def test_a_copy_that_is_idle_stays_where_it_is():
    given = control(0, np.float64, 6, 3)
    given["idle"][1] = 1
    before = given["states"].copy(), given["clock"].copy()
    play(rollouts, given)
    np.testing.assert_array_equal(given["states"][1], before[0][1])
    np.testing.assert_array_equal(given["clock"][1], before[1][1])
    assert (given["states"][[0, 2]] != before[0][[0, 2]]).any(axis=1).all()
    assert not given["reward"][:, 1].any()
    assert given["reward"][:, 0].all()


@pytest.mark.parametrize("module", [rollouts, twin])
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
    if module is rollouts:
        wrong |= {"scaling": np.zeros((1, 4)), "running": np.zeros(1), "idle": np.zeros(3, np.uint8)}
    for name, value in wrong.items():
        with pytest.raises((ValueError, IndexError)):
            play(module, control(0, np.float64, 3, 2) | {name: value})


@pytest.mark.parametrize("module", [rollouts, twin])
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
