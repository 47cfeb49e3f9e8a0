"""Finite worlds: by hand, their tables beside Gymnasium's, and what is drawn from them."""

import copy
import pickle

import numpy as np
import pytest

from skml.reinforcement import Bandit, CliffWalking, FiniteMDP, FrozenLake, GridWorld, Taxi, vectorize

LEFT, DOWN, RIGHT, UP = range(4)
WORLDS = {
    "lake": lambda: FrozenLake(),
    "lake8": lambda: FrozenLake("8x8"),
    "cliff": lambda: CliffWalking(is_slippery=True),
    "taxi": lambda: Taxi(is_rainy=True),
    "bandit": lambda: Bandit([0.3, 0.9], payoffs=[2.0, 1.0]),
    "grid": lambda: GridWorld(["S.#", ".CG", "SH."], slip=0.3, returns="", step_reward=-1),
}
each_world = pytest.mark.parametrize("name", WORLDS)


def walk(env, actions):
    """Return (state, reward, terminated) of each step."""
    return [env.step(action)[:3] for action in actions]


# ------------------------------------------------------------------------------------------------ by hand


def test_a_grid_by_hand():
    env = GridWorld("S.C\n.#.\nH.G", rewards={"G": 5.0, "C": -2.0, "H": -1.0}, step_reward=-0.5)
    assert env.reset(seed=0) == (0, {})
    assert walk(env, [LEFT, UP, RIGHT, DOWN]) == [
        (0, -0.5, False),
        (0, -0.5, False),
        (1, -0.5, False),
        (1, -0.5, False),
    ]
    assert walk(env, [RIGHT]) == [(0, -2.0, False)]  # from the cliff back to the start
    assert walk(env, [DOWN, RIGHT, DOWN]) == [(3, -0.5, False), (3, -0.5, False), (6, -1.0, True)]
    env.reset(options={"state": 7})
    assert walk(env, [RIGHT]) == [(8, 5.0, True)]


def test_a_slippery_grid_by_hand():
    env = GridWorld(["S.", "#."], slip=0.4)
    assert env.P[0][RIGHT] == [(0.2, 0, 0.0, False), (0.6, 1, 0.0, False), (0.2, 0, 0.0, False)]
    assert env.P[1][DOWN] == [(0.2, 0, 0.0, False), (0.6, 3, 0.0, False), (0.2, 1, 0.0, False)]
    assert env.P[2][UP] == [(1.0, 2, 0.0, True)]  # a wall, which nobody enters
    np.testing.assert_allclose(env.mdp.transitions.toarray()[RIGHT], [0.4, 0.6, 0, 0])


def test_letters_of_ones_own():
    env = GridWorld(["Sab"], rewards={"a": 0.25, "b": 4.0}, ends="b")
    env.reset(seed=0)
    assert walk(env, [RIGHT, RIGHT]) == [(1, 0.25, False), (2, 4.0, True)]


def test_several_starts_are_equally_likely(seed):
    vector = vectorize(GridWorld(["S.S", ".S.", "..G"]), 3000)
    counts = np.bincount(vector.reset(seed), minlength=9)
    assert set(np.flatnonzero(counts)) == {0, 2, 4}
    assert np.all(np.abs(counts[[0, 2, 4]] - 1000) < 7 * np.sqrt(3000 * 2 / 9))


def test_the_cliff_by_hand():
    env = CliffWalking()
    assert env.reset(seed=0)[0] == 36
    assert walk(env, [1]) == [(36, -100.0, False)]
    way = walk(env, [0] + [1] * 11 + [2])
    assert [reward for _, reward, _ in way] == [-1.0] * 13
    assert way[-1] == (47, -1.0, True)
    assert env.mdp.n_states == 48 and env.mdp.terminal.sum() == 1


def test_a_ride_by_hand():
    env = Taxi()
    state = ((0 * 5 + 1) * 5 + 0) * 4 + 2  # beside R, where the passenger is, who wants to go to Y
    _, info = env.reset(options={"state": state})
    np.testing.assert_array_equal(info["action_mask"], [1, 0, 0, 1, 0, 0])
    assert env.step(4)[:3] == (state, -10.0, False)
    assert env.step(5)[:3] == (state, -10.0, False)
    assert env.step(2)[:3] == (state, -1.0, False)  # a wall
    answer = env.step(3)
    assert answer[:3] == (2, -1.0, False)
    np.testing.assert_array_equal(answer[4]["action_mask"], [1, 0, 1, 0, 1, 0])
    assert env.step(4)[:3] == (18, -1.0, False)
    assert env.step(5)[:3] == (2, -1.0, False)  # set down where they were
    env.step(4)
    assert [env.step(0)[1] for _ in range(4)] == [-1.0] * 4
    observation, reward, terminated, truncated, _ = env.step(5)
    assert (reward, terminated, truncated) == (20.0, True, False)
    assert observation == ((4 * 5 + 0) * 5 + 2) * 4 + 2


def test_taxi_has_300_starts():
    start = Taxi().initial_state_distrib
    assert (start > 0).sum() == 300
    np.testing.assert_allclose(start[start > 0], 1 / 300)


def test_an_arm_pays_as_often_as_it_should(seed):
    vector = vectorize(Bandit([0.25, 1.0, 0.0], payoffs=3.0), 3000)
    vector.reset(seed)
    observation, reward, terminated, _, last = vector.step(np.repeat([0, 1, 2], 1000))
    assert terminated.all() and not observation.any() and (last == 1).all()
    assert np.all(reward[1000:2000] == 3) and not reward[2000:].any()
    assert abs((reward[:1000] == 3).mean() - 0.25) < 7 * np.sqrt(0.25 * 0.75 / 1000)


# ---------------------------------------------------------------------------------------- beside Gymnasium


def gymnasium_env(name, **given):
    gymnasium = pytest.importorskip("gymnasium")
    newest = max(spec for spec in gymnasium.registry if spec.rpartition("-v")[0] == name)
    return gymnasium.make(newest, **given)


@pytest.mark.parametrize(
    ("make", "name", "given"),
    [
        (lambda: FrozenLake(), "FrozenLake", {}),
        (lambda: FrozenLake("8x8"), "FrozenLake8x8", {}),
        (lambda: FrozenLake(is_slippery=False), "FrozenLake", {"is_slippery": False}),
        (lambda: FrozenLake(desc=["SFG", "HFF"]), "FrozenLake", {"desc": ["SFG", "HFF"]}),
        (lambda: CliffWalking(), "CliffWalking", {}),
        (lambda: CliffWalking(is_slippery=True), "CliffWalking", {"is_slippery": True}),
        (lambda: Taxi(), "Taxi", {}),
        (lambda: Taxi(is_rainy=True), "Taxi", {"is_rainy": True}),
    ],
)
def test_tables_are_those_of_gymnasium(make, name, given):
    ours, theirs = make(), gymnasium_env(name, **given)
    assert ours.P == theirs.unwrapped.P
    np.testing.assert_allclose(ours.initial_state_distrib, theirs.unwrapped.initial_state_distrib, rtol=1e-15)
    assert ours.max_episode_steps == theirs.spec.max_episode_steps
    assert ours.observation_space.n == theirs.observation_space.n and ours.action_space.n == theirs.action_space.n


def test_other_chances_of_ice_are_those_of_gymnasium():
    pytest.importorskip("gymnasium")
    try:
        theirs = gymnasium_env("FrozenLake", success_rate=0.7, reward_schedule=(5, -1, -0.1))
    except TypeError:
        pytest.skip("this Gymnasium has no success_rate")
    assert FrozenLake(success_rate=0.7, reward_schedule=(5, -1, -0.1)).P == theirs.unwrapped.P


def test_masks_are_those_of_gymnasium():
    ours, theirs = Taxi(), gymnasium_env("Taxi").unwrapped
    for state in range(500):
        _, info = ours.reset(options={"state": state})
        np.testing.assert_array_equal(info["action_mask"], theirs.action_mask(state))
        assert info["action_mask"].dtype == theirs.action_mask(state).dtype


# --------------------------------------------------------------------------------------------- as a process


@each_world
def test_the_process_is_the_one_of_the_listed_table(name):
    env = WORLDS[name]()
    ours, listed = env.mdp, FiniteMDP.from_gymnasium(env)
    assert ours.n_states == listed.n_states and ours.discount == listed.discount == 0.99
    np.testing.assert_array_equal(ours.terminal, listed.terminal)
    np.testing.assert_array_equal(ours.pair_actions, listed.pair_actions)
    np.testing.assert_allclose(ours.transitions.toarray(), listed.transitions.toarray(), rtol=1e-14)
    np.testing.assert_allclose(ours.rewards, listed.rewards, rtol=1e-13)
    np.testing.assert_allclose(ours.start, listed.start)


@each_world
def test_steps_are_drawn_from_the_table(name, seed):
    """Whatever happens is listed, and what happens often is as likely as listed."""
    env = WORLDS[name]()
    n, table = 2000, env.P
    vector = vectorize(env, n)
    states = vector.reset(seed)
    generator = np.random.default_rng(seed)
    for _ in range(4):
        mask = vector.action_mask
        actions = generator.integers(0, env.action_space.n, n)
        if mask is not None:
            actions = np.where(mask[np.arange(n), actions], actions, mask.argmax(axis=1))
        before, (states, reward, terminated, _, last) = states, vector.step(actions)
        for s, a, s2, r, over in zip(before, actions, last, reward, terminated):
            assert any((s2, r, over) == outcome[1:] for outcome in table[s][a] if outcome[0] > 0)
        _compare(table, before, actions, last)


def _compare(table, states, actions, last):
    for s, a in {(s, a) for s, a in zip(states.tolist(), actions.tolist())}:
        here = (states == s) & (actions == a)
        for s2 in {outcome[1] for outcome in table[s][a]}:
            p, n = min(1.0, sum(outcome[0] for outcome in table[s][a] if outcome[1] == s2)), here.sum()
            assert abs((last[here] == s2).mean() - p) <= 8 * np.sqrt(p * (1 - p) / n) + 16 / n


@each_world
def test_a_seed_fixes_an_episode(name, seed):
    def play(env, n):
        seen = [env.reset(seed=seed)[0]]
        for t in range(n):
            info = env._info()
            action = t % env.action_space.n
            action = action if info == {} or info["action_mask"][action] else int(info["action_mask"].argmax())
            *answer, _ = env.step(action)
            seen.append(answer)
            if answer[2] or answer[3]:
                seen.append(env.reset()[0])
        return seen

    first = play(WORLDS[name](), 60)
    assert first == play(WORLDS[name](), 60)
    env = WORLDS[name]()
    assert play(pickle.loads(pickle.dumps(env)), 60) == play(copy.deepcopy(env), 60) == first


@each_world
def test_the_states_are_those_of_the_space(name):
    env = WORLDS[name]()
    env.reset(seed=0)
    assert env.observation_space.contains(env.state)
    for bad in (-1, env.observation_space.n, 0.5, "here", [0]):
        with pytest.raises(ValueError, match="is no state of"):
            env.reset(options={"state": bad})


def test_worlds_without_a_table_say_so():
    from skml.reinforcement import CartPole

    for attribute in ("P", "mdp", "initial_state_distrib"):
        assert not hasattr(CartPole(), attribute)


# --------------------------------------------------------------------------------------------------- maps


def test_a_large_map_is_made_without_a_loop_over_cells(seed):
    letters = np.full((300, 300), ".")
    letters[0, 0], letters[-1, -1] = "S", "G"
    mdp = GridWorld(["".join(row) for row in letters], slip=0.2).mdp
    assert mdp.n_states == 90_000 and mdp.terminal.sum() == 1
    np.testing.assert_allclose(mdp.transitions.sum(axis=1), 1)


def test_random_lakes_can_be_crossed(seed):
    rows = FrozenLake.random_map(6, 0.6, seed)
    assert rows == FrozenLake.random_map(6, 0.6, seed)
    assert len(rows) == 6 and rows[0][0] == "S" and rows[-1][-1] == "G"
    # who may step anywhere arrives: powers of the graph of an icy lake that is not slippery
    mdp = FrozenLake(desc=rows, is_slippery=False).mdp
    reached, graph = np.eye(36)[0] > 0, mdp.graph().toarray() > 0
    for _ in range(36):
        reached = reached | (reached @ graph)
    assert reached[-1]


@pytest.mark.parametrize("bad", ["", [], ["S.", "."], ["..", ".."], [[1, 2]], 3])
def test_broken_maps_are_refused(bad):
    with pytest.raises((ValueError, TypeError)):
        GridWorld(bad)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: GridWorld(["SSC"]), "exactly one S"),
        (lambda: GridWorld(["S."], slip=1.5), "slip"),
        (lambda: GridWorld(["S."], rewards={"G": np.inf}), "finite"),
        (lambda: GridWorld(["S."], step_reward=np.nan), "finite"),
        (lambda: GridWorld(["SGH"], rewards={"GH": 1.0}), "letters of the map one by one, got 'GH'"),
        (lambda: GridWorld(["SGH"], rewards={1: 1.0}), "one by one, got 1"),
        (lambda: GridWorld(["S."], max_episode_steps=0), "max_episode_steps"),
        (lambda: GridWorld(["S."], render_mode="human"), "render_mode"),
        (lambda: FrozenLake("5x5"), "map_name"),
        (lambda: FrozenLake(["SF", "FG"]), "map_name must be among .* give other maps as desc"),
        (lambda: FrozenLake(success_rate="high"), "success_rate must be a number between 0 and 1, got 'high'"),
        (lambda: GridWorld(None), "A map must be text, or a list of it"),
        (lambda: FrozenLake(success_rate=-0.1), "success_rate"),
        (lambda: FrozenLake.random_map(1), "size"),
        (lambda: FrozenLake.random_map(4, 0), "frozen"),
        (lambda: Taxi(rainy_probability=2), "rainy_probability"),
        (lambda: Bandit([]), "probabilities"),
        (lambda: Bandit([0.5, 1.5]), "probabilities"),
        (lambda: Bandit([[0.5]]), "probabilities"),
        (lambda: Bandit([0.5], payoffs=[1, 2]), "payoffs"),
        (lambda: Bandit([0.5], payoffs=np.nan), "payoffs"),
    ],
)
def test_nonsense_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


@each_world
def test_worlds_are_drawn_as_text(name):
    env = WORLDS[name]()
    env.reset(seed=0)
    assert isinstance(env.render(), str) and env.render().endswith("\n")


def test_grids_are_drawn_as_pictures():
    for make in (FrozenLake, CliffWalking, lambda **given: GridWorld(["S.", ".G"], **given)):
        env = make(render_mode="rgb_array")
        env.reset(seed=0)
        first = env.render()
        assert first.shape == (16 * env.letters.shape[0], 16 * env.letters.shape[1], 3) and first.dtype == np.uint8
        env.reset(options={"state": 1})
        assert not np.array_equal(first, env.render())
    with pytest.raises(ValueError, match="render_mode"):
        Taxi(render_mode="rgb_array")


def test_repr_names_what_was_given():
    assert repr(FrozenLake()) == "FrozenLake(max_episode_steps=100)"
    assert repr(Taxi(is_rainy=True)) == "Taxi(is_rainy=True)"
    assert repr(Bandit([0.5])).startswith("Bandit(probabilities=array([0.5])")


def test_the_listed_outcomes_are_made_once():
    env = FrozenLake()
    before = pickle.dumps(env)
    assert env.P is env.P
    assert pickle.dumps(env) == before  # copies carry no list
    assert copy.deepcopy(env).P == env.P
    assert env.P[14][2] == [
        (pytest.approx(1 / 3), 14, 0.0, False),
        (pytest.approx(1 / 3), 15, 1.0, True),
        (pytest.approx(1 / 3), 10, 0.0, False),
    ]


@pytest.mark.parametrize(
    "drawing",
    [
        "S.#\n..G",
        "S.#\n..G\n",
        "\nS.#\n..G\n",
        """
            S.#
            ..G
        """,
        """S.#
           ..G""",
        ["S.#", "..G"],
    ],
)
def test_maps_may_be_indented(drawing):
    assert ["".join(row) for row in GridWorld(drawing).letters] == ["S.#", "..G"]


def test_spaces_are_ground_where_rows_are_of_one_length():
    assert GridWorld("  S\n G ").letters.tolist() == [[" ", " ", "S"], [" ", "G", " "]]
    with pytest.raises(ValueError, match="rows of one length"):
        GridWorld("""
            S..
            .G
        """)


def test_a_large_grid_is_built_of_arrays():
    drawing = np.full((300, 300), ".")
    drawing[0, 0], drawing[-1, -1], drawing[5, 1:] = "S", "G", "#"
    env = GridWorld(["".join(row) for row in drawing], slip=0.2, step_reward=-1.0)
    mdp = env.mdp
    assert mdp.n_states == 90_000
    offsets, _, indptr, _, next_states, rewards, ends, _ = env.dynamics.arrays
    for state, action, led_to in (
        (0, 2, [300, 1, 0]),
        (1200, 1, [1200, 1500, 1201]),
        (89_998, 2, [89_999, 89_998, 89_698]),
    ):
        outcomes = slice(*indptr[offsets[state] + action :][:2])
        assert sorted(next_states[outcomes]) == sorted(led_to)
    assert ends[next_states == 89_999].all() and (rewards[ends == 0] == -1).all()
