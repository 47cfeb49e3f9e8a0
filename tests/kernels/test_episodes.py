"""Whole episodes over tables: compiled equals twin for every rule, calls can be cut anywhere, bad arguments refused."""

from types import SimpleNamespace

import numpy as np
import pytest

from skml import _kernels
from skml._kernels import environments, episodes
from skml._kernels.reference import episodes as twin

MAXIMUM, TAKEN, EXPECTED = range(3)
GREEDY, SOFTMAX, UCB = range(3)
SCHEDULED, COUNTED, RESCALED = range(3)

RULES = {
    "q-learning": {},
    "double": {"n_tables": 2},
    "double, softmax, 3 steps": {"n_tables": 2, "exploration": SOFTMAX, "levels": [1.0, 0.2], "n_steps": 3},
    "sarsa": {"target": TAKEN},
    "sarsa, counted, softmax": {"target": TAKEN, "rate": COUNTED, "exploration": SOFTMAX, "levels": [0.5]},
    "expected": {"target": EXPECTED, "rate": RESCALED},
    "expected, softmax": {"target": EXPECTED, "exploration": SOFTMAX, "levels": [2.0, 0.1, 0.3]},
    "expected, ucb": {"target": EXPECTED, "exploration": UCB, "levels": [1.5]},
    "ucb": {"exploration": UCB, "levels": [0.7], "rate": COUNTED},
    "4 steps": {"n_steps": 4, "rate": RESCALED},
    "sarsa, 2 steps": {"target": TAKEN, "n_steps": 2},
    "watkins": {"trace_decay": 0.8},
    "sarsa, traces": {"target": TAKEN, "trace_decay": 0.9},
    "sarsa, accumulating": {"target": TAKEN, "trace_decay": 0.9, "replacing": 0},
    "expected, few traces": {"target": EXPECTED, "trace_decay": 0.95, "width": 3, "discount": 1.0},
}
each_rule = pytest.mark.parametrize("name", RULES)


def tables(rng, n_states=7, n_actions=4, n_worlds=1, n_copies=1):
    """Return ragged worlds: each state but the last has one to all actions, each pair one to three outcomes."""
    actions, offsets, indptr, cumulative, next_states = [], [0], [0], [], []
    for _ in range(n_worlds):
        for state in range(n_states):
            n = rng.integers(1, n_actions + 1) if state < n_states - 1 else 0
            actions.extend(np.sort(rng.choice(n_actions, n, replace=False)))
            offsets.append(len(actions))
            for _ in range(n):
                m = rng.integers(1, 4)
                shares = np.cumsum(rng.random(m) + 0.1)
                cumulative.extend(shares / shares[-1])
                next_states.extend(rng.integers(n_states, size=m))
                indptr.append(len(cumulative))
    next_states = np.array(next_states, dtype=np.int32)
    starts = np.cumsum(np.append(np.ones(n_states - 1), 0) / (n_states - 1)).clip(max=1)
    starts[-2:] = 1
    return SimpleNamespace(
        offsets=np.array(offsets, dtype=np.int32),
        pair_actions=np.array(actions, dtype=np.int32),
        indptr=np.array(indptr, dtype=np.int32),
        cumulative=np.array(cumulative),
        next_states=next_states,
        rewards=rng.normal(size=len(next_states)),
        ends=((next_states == n_states - 1) | (rng.random(len(next_states)) < 0.05)).astype(np.uint8),
        starts=np.tile(starts, (n_worlds, 1)),
        n_actions=n_actions,
        world_of=(np.arange(n_copies) % n_worlds).astype(np.int32),
    )


def rule(target=MAXIMUM, exploration=GREEDY, rate=SCHEDULED, levels=(0.3, 0.1), **changed):
    """Return what is learned and how."""
    given = {"replacing": 1, "discount": 0.9, "trace_decay": 0.0, "n_steps": 1, "total_steps": 300}
    given |= {"rates": np.array([0.5, 0.2, 0.1]), "total_episodes": 0} | changed
    return SimpleNamespace(target=target, exploration=exploration, rate=rate, levels=np.array(levels), **given)


def loop(worlds, seed, n_tables=1, width=64, limit=20, capacity=500):
    """Return the state of a loop that has not begun."""
    shape, n = (worlds.starts.shape[1], worlds.n_actions), len(worlds.world_of)
    clock = np.zeros((n, 4), dtype=np.int64)
    clock[:, 3] = limit
    environments.seed_copies(seed, 0, clock)
    return SimpleNamespace(
        Q=np.zeros((n_tables, *shape)),
        visits=np.zeros(shape, dtype=np.int64),
        clock=clock,
        places=np.full((n, 2), -1),
        moves=np.zeros((n, 3), dtype=np.int64),
        sums=np.zeros((n, 2)),
        gains=np.zeros(n),
        worths=np.zeros(n),
        memory=np.zeros((n, width), dtype=np.int64),
        weights=np.zeros((n, width)),
        held=np.zeros(n, dtype=np.int64),
        done=np.zeros(2, dtype=np.int64),
        scores=np.zeros(shape[1]),
        finished=np.full((capacity, 3), np.nan),
    )


def problem(rng, seed, name="q-learning", n_worlds=1, n_copies=1, **changed):
    """Return worlds, rule and a function that gives a fresh loop."""
    settings = RULES[name] | changed
    kept = {key: settings.pop(key) for key in ("n_tables", "width", "limit", "capacity") if key in settings}
    worlds = tables(rng, n_worlds=n_worlds, n_copies=n_copies)
    return worlds, rule(**settings), lambda: loop(worlds, seed, **kept)


def assert_same_loop(ours, theirs, names=("Q", "visits", "clock", "places", "sums", "held", "done", "finished")):
    for name in names:
        a, b = getattr(ours, name), getattr(theirs, name)
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12, err_msg=name)


# ------------------------------------------------------------------------------------------- against the twin


@each_rule
@pytest.mark.parametrize(("n_worlds", "n_copies"), [(1, 1), (1, 3), (2, 3)])
def test_compiled_equals_twin(name, n_worlds, n_copies, rng, seed):
    worlds, settings, fresh = problem(rng, seed, name, n_worlds, n_copies)
    ours, theirs = fresh(), fresh()
    assert episodes.run_episodes(worlds, settings, ours, 1000) == twin.run_episodes(worlds, settings, theirs, 1000)
    assert ours.done[0] >= 300
    assert ours.done[1] > 0
    assert_same_loop(ours, theirs)


@each_rule
def test_a_run_can_be_cut_anywhere(name, rng, seed):
    worlds, settings, fresh = problem(rng, seed, name, n_copies=2)
    whole, parts, finished = fresh(), fresh(), []
    n = episodes.run_episodes(worlds, settings, whole, 150)
    for ticks in (1, 2, 40, 0, 7, 100):
        n_finished = episodes.run_episodes(worlds, settings, parts, ticks)
        finished.extend(parts.finished[:n_finished].tolist())
    np.testing.assert_array_equal(np.reshape(finished, (-1, 3)), whole.finished[:n])
    for attribute in ("Q", "visits", "clock", "places", "sums", "held", "done"):
        np.testing.assert_array_equal(getattr(parts, attribute), getattr(whole, attribute))


def moves(rng, n_ticks, n_copies, n_states):
    """Return the moves of a world that nobody knows: states, rewards, ends, and where copies go on."""
    ended = rng.choice([0, 0, 0, 0, 1, 2, 3], size=(n_ticks, n_copies))
    states = rng.integers(n_states, size=(n_ticks, n_copies))
    begins = np.where(ended == 0, states, rng.integers(n_states, size=states.shape))
    return states, rng.normal(size=states.shape), ended, begins


@each_rule
def test_moves_of_others_are_followed_as_the_twin_does(name, rng, seed):
    worlds, settings, fresh = problem(rng, seed, name, n_copies=3)
    states, gains, ended, begins = moves(rng, 60, 3, 7)
    loops, actions = (fresh(), fresh()), np.zeros((2, 3), dtype=np.int64)
    for t in range(60):
        for kernel, state, chosen in zip((episodes, twin), loops, actions):
            state.moves[:, 0], state.moves[:, 2], state.gains[:] = states[t], ended[t], gains[t]
            n = kernel.follow_moves(settings, state, t > 0, begins[t], chosen)
            assert n == (np.isin(ended[t], (1, 2)).sum() if t else 0)
        np.testing.assert_array_equal(actions[0], actions[1])
    assert loops[0].done[0] == (ended[1:] != 3).sum()
    assert_same_loop(*loops)


# --------------------------------------------------------------------------------------------- by hand, by law


def line(n_states=4, reward=1.0):
    """Return a corridor: one action goes right, and the last step pays and ends the episode."""
    n = n_states - 1
    return SimpleNamespace(
        offsets=np.append(np.arange(n_states), n).astype(np.int32),
        pair_actions=np.zeros(n, dtype=np.int32),
        indptr=np.arange(n_states, dtype=np.int32),
        cumulative=np.ones(n),
        next_states=np.arange(1, n_states, dtype=np.int32),
        rewards=np.append(np.zeros(n - 1), reward),
        ends=np.append(np.zeros(n - 1), 1).astype(np.uint8),
        starts=np.ones((1, n_states)),
        n_actions=1,
        world_of=np.zeros(1, dtype=np.int32),
    )


@pytest.mark.parametrize("target", [MAXIMUM, TAKEN, EXPECTED])
@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, [0, 0, 0.5]),
        ({"n_steps": 2}, [0, 0.45, 0.5]),
        ({"n_steps": 9}, [0.405, 0.45, 0.5]),
        ({"trace_decay": 0.5}, [0.5 * 0.45**2, 0.5 * 0.45, 0.5]),
    ],
)
def test_the_first_episode_of_a_corridor_by_hand(target, changed, expected):
    state = loop(line(), 0)
    settings = rule(target=target, rates=np.array([0.5]), **changed)
    assert episodes.run_episodes(line(), settings, state, 3) == 1
    np.testing.assert_allclose(state.Q[0, :, 0], [*expected, 0], rtol=1e-15)
    np.testing.assert_array_equal(state.visits[:, 0], [1, 1, 1, 0])
    np.testing.assert_allclose(state.finished[0, :2], [1, 3])


def test_an_episode_that_is_cut_off_learns_from_where_it_is():
    worlds = line()
    for limit, value in ((0, 0.0), (3, 0.0), (2, 0.9 * 5)):  # only the clock's end leaves something to come
        state = loop(worlds, 0, limit=limit)
        state.Q[0, 2, 0] = 5.0
        episodes.run_episodes(worlds, rule(rates=np.array([1.0]), n_steps=9), state, 2)
        assert state.Q[0, 1, 0] == value
        assert state.done[1] == (limit == 2)


def test_counted_rates_give_the_mean(rng, seed):
    worlds, settings, fresh = problem(rng, seed, rate=COUNTED, discount=0.0, levels=[1.0], total_steps=2000)
    settings.n_steps = 1
    state, seen = fresh(), {}
    for _ in range(400):
        before = state.visits.copy()
        n = episodes.run_episodes(worlds, settings, state, 1)
        pair = tuple(np.argwhere(state.visits != before)[0])
        seen.setdefault(pair, []).append(state.gains[0])
        assert n in (0, 1)
    for pair, gains in seen.items():
        np.testing.assert_allclose(state.Q[0][pair], np.mean(gains), atol=1e-12)


def test_steps_and_episodes_are_limits(rng, seed):
    worlds, settings, fresh = problem(rng, seed, n_copies=3)
    settings.total_steps = 100
    state = fresh()
    episodes.run_episodes(worlds, settings, state, 1000)
    assert state.done[0] == 102  # whole ticks of 3 copies
    settings.total_steps, settings.total_episodes = 10**9, 5
    state = fresh()
    assert 5 <= episodes.run_episodes(worlds, settings, state, 10**6) < 5 + 3
    state = loop(worlds, seed, capacity=4)
    settings.total_episodes = 0
    assert 2 <= episodes.run_episodes(worlds, settings, state, 10**6) <= 4  # as many as there is room for


def test_copies_draw_apart_and_seeds_repeat(rng, seed):
    worlds, settings, fresh = problem(rng, seed, levels=[1.0], n_copies=2)
    one, again, other = fresh(), fresh(), loop(worlds, seed + 1)
    for state in (one, again, other):
        episodes.run_episodes(worlds, settings, state, 100)
    np.testing.assert_array_equal(one.Q, again.Q)
    assert (one.Q != other.Q).any()
    assert (one.clock[0] != one.clock[1]).any()


# ------------------------------------------------------------------------------------------------- bad arguments

BAD = {
    "an action outside": ("worlds", "pair_actions", lambda a: a + 4),
    "a negative action": ("worlds", "pair_actions", lambda a: a - 4),
    "a state outside": ("worlds", "next_states", lambda a: a + 7),
    "a world outside": ("worlds", "world_of", lambda a: a + 1),
    "too few rewards": ("worlds", "rewards", lambda a: a[1:]),
    "too few ends": ("worlds", "ends", lambda a: a[1:]),
    "a step into nowhere": ("worlds", "next_states", lambda a: np.full_like(a, 6)),  # where no action is
    "offsets that do not begin at 0": ("worlds", "offsets", lambda a: a + 1),
    "offsets too short": ("worlds", "offsets", lambda a: a[:-1]),
    "indptr too long": ("worlds", "indptr", lambda a: np.append(a, a[-1])),
    "a pair without outcome": ("worlds", "indptr", lambda a: np.r_[a[0], a[0], a[2:]]),
    "starts that do not add up": ("worlds", "starts", lambda a: 0.9 * a),
    "a start without action": ("worlds", "starts", lambda a: np.where(np.arange(7) < 6, 0.5, 1.0)[None]),
    "a strange target": ("rule", "target", lambda a: 3),
    "no rates": ("rule", "rates", lambda a: a[:0]),
    "no levels": ("rule", "levels", lambda a: a[:0]),
    "no steps": ("rule", "n_steps", lambda a: 0),
    "more steps than memory": ("rule", "n_steps", lambda a: 65),
    "no budget": ("rule", "total_steps", lambda a: 0),
    "a table of another shape": ("loop", "Q", lambda a: a[:, 1:].copy()),
    "three tables": ("loop", "Q", lambda a: np.concatenate([a, a, a])),
    "counts of another shape": ("loop", "visits", lambda a: a[1:]),
    "another type": ("loop", "Q", lambda a: a.astype(np.float32)),
    "no order": ("loop", "Q", lambda a: np.zeros((1, 4, 7)).transpose(0, 2, 1)),
    "too many places": ("loop", "places", lambda a: np.concatenate([a, a])),
    "a place outside": ("loop", "places", lambda a: a + 8),
    "a pair outside": ("loop", "places", lambda a: np.array([[0, 10**6]])),
    "a memory that is too full": ("loop", "held", lambda a: a + 65),
    "a memory of nothing": ("loop", "memory", lambda a: a[:, :0]),
    "no room": ("loop", "finished", lambda a: a[:0]),
    "scores too short": ("loop", "scores", lambda a: a[1:]),
    "a clock without limit": ("loop", "clock", lambda a: a[:, :3].copy()),
    "a done too short": ("loop", "done", lambda a: a[:1]),
}


@pytest.mark.skipif(_kernels.LEVEL == "reference", reason="a twin trusts its caller")
@pytest.mark.parametrize("fault", BAD)
def test_bad_arguments_are_refused(fault, rng, seed):
    worlds, settings, fresh = problem(rng, seed)
    parts = {"worlds": worlds, "rule": settings, "loop": fresh()}
    part, name, spoil = BAD[fault]
    vars(parts[part])[name] = spoil(getattr(parts[part], name))
    with pytest.raises(ValueError):
        episodes.run_episodes(parts["worlds"], parts["rule"], parts["loop"], 10)


@pytest.mark.parametrize("fault", ["target", "trace_decay"])
def test_two_tables_learn_from_maxima_without_traces(fault, rng, seed):
    worlds, settings, fresh = problem(rng, seed, n_tables=2, **{fault: 1})
    for kernel in (episodes, twin):
        with pytest.raises(ValueError):
            kernel.run_episodes(worlds, settings, fresh(), 10)


BAD_MOVES = {
    "a state outside": ("moves", lambda a: a + 7),
    "an end of no kind": ("moves", lambda a: a + np.array([0, 0, 4])),
    "a place outside": ("places", lambda a: a + 7),
    "a table of another shape": ("Q", lambda a: a[:, 1:].copy()),
    "no table": ("Q", lambda a: a[:, :0].copy()),
    "a begin outside": ("begins", lambda a: a + 7),
    "a begin before all": ("begins", lambda a: a - 8),
    "too many begins": ("begins", lambda a: np.concatenate([a, a])),
    "too few actions": ("actions", lambda a: a[1:]),
}


@pytest.mark.skipif(_kernels.LEVEL == "reference", reason="a twin trusts its caller")
@pytest.mark.parametrize("fault", BAD_MOVES)
def test_bad_moves_are_refused(fault, rng, seed):
    _, settings, fresh = problem(rng, seed, n_copies=2)
    given = {"begins": np.zeros(2, dtype=np.int64), "actions": np.zeros(2, dtype=np.int64)}
    state = fresh()
    episodes.follow_moves(settings, state, False, **given)
    name, spoil = BAD_MOVES[fault]
    held = given if name in given else vars(state)
    held[name] = spoil(held[name])
    with pytest.raises(ValueError):
        episodes.follow_moves(settings, state, True, **given)


def test_a_copy_that_moved_had_chosen(rng, seed):
    _, settings, fresh = problem(rng, seed)
    for kernel in (episodes, twin):
        with pytest.raises(ValueError, match="without an action"):
            kernel.follow_moves(settings, fresh(), True, np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64))
