"""Finite decision processes: one layout for every form of tables, and a sentence for what isn't one."""

import copy
import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from skml.reinforcement import FiniteMDP, QLearning
from skml.reinforcement.chains import running_sums

STAY, GO = [[1.0, 0.0], [0.0, 1.0]], [[0.1, 0.9], [0.0, 1.0]]


def two_states(**params):
    """Return a process of two states; in the second one nothing happens."""
    return FiniteMDP([STAY, GO], [[0, -1], [0, 0]], **params)


def random_tables(rng, n_states=6, n_actions=3):
    """Return dense transitions, every other entry 0, and rewards of outcomes."""
    T = rng.random((n_actions, n_states, n_states)) * (rng.random((n_actions, n_states, n_states)) < 0.5)
    T[:, np.arange(n_states), rng.integers(n_states, size=n_states)] += 0.1
    return T / T.sum(axis=2, keepdims=True), rng.normal(size=T.shape)


def layout(mdp):
    """Return the arrays of a process."""
    T = mdp.transitions
    parts = (mdp.offsets, mdp.pair_states, mdp.pair_actions, T.indptr, T.indices, T.data, mdp.rewards)
    return [*parts, mdp.terminal, mdp.start]


def assert_same_layout(ours, theirs):
    for one, other in zip(layout(ours), layout(theirs)):
        assert_allclose(one, other, rtol=1e-14, atol=1e-15)
        assert one.dtype == other.dtype


# ------------------------------------------------------------------------------------------------- layout


def test_a_terminal_state_has_no_pairs():
    mdp = two_states()
    assert_array_equal(mdp.offsets, [0, 2, 2])
    assert_array_equal(mdp.pair_actions, [0, 1])
    assert_array_equal(mdp.terminal, [False, True])
    assert_array_equal(mdp.start, [1, 0])
    assert_array_equal(mdp.available, [[True, True], [False, False]])
    assert (mdp.n_states, mdp.n_actions, mdp.discount) == (2, 2, 0.99)
    assert_allclose(mdp.transitions.toarray(), [[1, 0], [0.1, 0.9]])
    assert_array_equal(mdp.rewards, [0, -1])


@pytest.mark.parametrize("by", ["dense", "lists", "sparse", "sparse arrays", "pairs", "sparse pairs", "shuffled pairs"])
def test_every_form_of_transitions_is_the_same_process(rng, by):
    T, R = random_tables(rng)
    A, S, _ = T.shape
    mdp = FiniteMDP(T, R, 0.9)
    pairs = np.stack([np.tile(np.arange(S), A), np.repeat(np.arange(A), S)], axis=1)
    order = rng.permutation(len(pairs))
    forms = {
        "dense": (np.asfortranarray(T), R, {}),
        "lists": (T.tolist(), R.tolist(), {}),
        "sparse": ([sp.csc_matrix(part) for part in T], [sp.coo_matrix(part) for part in R], {}),
        "sparse arrays": ([sp.csr_array(part) for part in T], R, {}),
        "pairs": (T.reshape(-1, S), R.reshape(-1, S), {"pairs": pairs}),
        "sparse pairs": (sp.csr_array(T.reshape(-1, S)), sp.csr_array(R.reshape(-1, S)), {"pairs": pairs}),
        "shuffled pairs": (T.reshape(-1, S)[order], R.reshape(-1, S)[order], {"pairs": pairs[order]}),
    }
    transitions, rewards, more = forms[by]
    other = FiniteMDP(transitions, rewards, 0.9, **more)
    assert_same_layout(mdp, other)
    assert_allclose(other.outcome_rewards, mdp.outcome_rewards)
    # r(s, a) = sum over s' of p(s' | s, a) r(s, a, s')
    assert_allclose(mdp.rewards.reshape(S, A), np.einsum("ast,ast->sa", T, R), atol=1e-14)


@pytest.mark.parametrize("form", ["states", "pairs", "outcomes", "ragged"])
def test_every_form_of_rewards_is_the_same_process(rng, form):
    T, _ = random_tables(rng)
    A, S, _ = T.shape
    r = rng.normal(size=S)
    by_pair = np.repeat(r[:, None], A, axis=1)
    pairs = np.stack([np.repeat(np.arange(S), A), np.tile(np.arange(A), S)], axis=1)
    if form == "ragged":
        mdp = FiniteMDP(T.transpose(1, 0, 2).reshape(-1, S), by_pair.ravel(), pairs=pairs)
    else:
        mdp = FiniteMDP(T, {"states": r, "pairs": by_pair, "outcomes": np.tile(r[:, None], (A, 1, S))}[form])
    assert_allclose(mdp.rewards, by_pair.ravel(), rtol=1e-12)


def test_actions_may_differ_from_state_to_state():
    rows = [[0, 1, 0], [0.5, 0, 0.5], [1, 0, 0]]
    mdp = FiniteMDP(rows, [1, 2, 3], pairs=[[0, 4], [0, 1], [1, 0]], terminal=[2])
    assert_array_equal(mdp.offsets, [0, 2, 3, 3])
    assert_array_equal(mdp.pair_actions, [1, 4, 0])
    assert_array_equal(mdp.rewards, [2, 1, 3])
    assert mdp.n_actions == 5
    assert mdp.available.sum() == 3


def test_states_that_nothing_leaves_are_terminal_only_if_they_pay_nothing():
    T = np.array([np.eye(3)])
    assert_array_equal(FiniteMDP(T, [0.0, 1.0, 0.0]).terminal, [True, False, True])
    assert_array_equal(FiniteMDP(T, [0.0, 1.0, 0.0], terminal=[]).terminal, [False] * 3)
    R = np.zeros((1, 3, 3))
    R[0, 1, 1] = 1.0
    assert_array_equal(FiniteMDP(T, R).terminal, [True, False, True])


def test_what_tables_say_of_terminal_states_is_ignored():
    T = [[[0, 1.0], [-7, np.nan]]]
    mdp = FiniteMDP(T, [1.0, np.inf], terminal=np.array([False, True]))
    assert_array_equal(mdp.rewards, [1.0])
    assert mdp.transitions.nnz == 1


def test_rows_are_divided_by_their_sums():
    mdp = FiniteMDP(np.full((1, 3, 3), 1 / 3, dtype=np.float32), [1.0, 2.0, 3.0])
    assert_allclose(mdp.transitions.sum(axis=1), 1, rtol=1e-15)
    assert mdp.transitions.data.dtype == np.float64


def test_zeros_are_no_outcomes():
    T = sp.csr_array((np.array([1.0, 0.0, 0.0, 1.0]), np.array([0, 1, 0, 1]), np.array([0, 2, 4])), shape=(2, 2))
    mdp = FiniteMDP([T], [1.0, 2.0])
    assert mdp.transitions.nnz == 2


def test_what_was_given_is_left_alone(rng):
    T, R = random_tables(rng)
    sparse = [sp.csr_array(part) for part in T]
    kept = T.copy(), R.copy(), [part.copy() for part in sparse]
    start = np.full(6, 1 / 6)
    FiniteMDP(T, R, start=start)
    FiniteMDP(sparse, R)
    single = sp.csr_array(T.reshape(-1, 6))
    pairs = np.stack([np.tile(np.arange(6), 3), np.repeat(np.arange(3), 6)], axis=1)
    paid = sp.csr_array((rng.normal(size=single.nnz), single.indices, single.indptr), shape=single.shape)
    by_pair = rng.normal(size=18)
    ours = FiniteMDP(single, paid, pairs=pairs), FiniteMDP(single, by_pair, pairs=pairs)
    assert not np.shares_memory(ours[0].outcome_rewards, paid.data)
    assert not np.shares_memory(ours[1].rewards, by_pair)
    assert_array_equal(T, kept[0])
    assert_array_equal(R, kept[1])
    for part, before in zip(sparse, kept[2]):
        assert_array_equal(part.toarray(), before.toarray())
    for array in (T, R, start, single.data, single.indices, single.indptr, pairs, paid.data, by_pair):
        assert array.flags.writeable


def test_it_is_read_only_and_survives_a_round_trip(rng):
    mdp = FiniteMDP(*random_tables(rng))
    with pytest.raises(AttributeError, match="read-only"):
        mdp.discount = 0.5
    for array in layout(mdp):
        with pytest.raises(ValueError, match="read-only"):
            array[:1] = 1
    for other in (pickle.loads(pickle.dumps(mdp)), copy.deepcopy(mdp)):
        assert_same_layout(mdp, other)


def test_another_discount_shares_the_tables():
    mdp = two_states(discount=0.5)
    other = mdp.with_discount(0.9)
    assert (mdp.discount, other.discount) == (0.5, 0.9)
    assert other.transitions is mdp.transitions
    assert two_states().with_discount(1.0).discount == 1.0


# ---------------------------------------------------------------------------------------------- bad input

HALF = [[[0.5, 0.5], [0.5, 0.5]]]
BAD = {
    "sum": (([[[0.5, 0.5], [0.5, 0.4]]], [1, 1]), {}, r"state 1, action 0 sum to 0.9, expected 1 \(1 of 2"),
    "negative": (([[[0.5, 0.5], [1.5, -0.5]]], [1, 1]), {}, "state 1, action 0 to state 1: probability -0.5 is neg"),
    "nan": (([[[0.5, 0.5], [0.5, np.nan]]], [1, 1]), {}, "state 1, action 0 to state 1: probability nan is not fin"),
    "infinite": (([[[0.5, 0.5], [0.5, np.inf]]], [1, 1]), {}, "probability inf is not finite"),
    "empty row": (([[[0.5, 0.5], [0, 0]]], [1, 1]), {}, "state 1, action 0 sum to 0"),
    "flat": (([0.5, 0.5], [1, 1]), {}, r"shape \(n_actions, n_states, n_states\), got \(2,\)"),
    "one matrix": ((HALF[0], [1, 1]), {}, "say in pairs which"),
    "one sparse matrix": ((sp.csr_array(HALF[0]), [1, 1]), {}, "give a list with a matrix for each action"),
    "not square": (([[[0.5, 0.5]]], [1]), {}, r"got \(1, 1, 2\)"),
    "sparse shapes": (([sp.eye_array(2), sp.eye_array(3)], [1, 1]), {}, r"\(n_states, n_states\), got \[\(2, 2\)"),
    "ragged lists": (([[[1.0], [0.5, 0.5]]], [1, 1]), {}, "transitions must be an array of real numbers of one shape"),
    "words": (("abc", [1, 1]), {}, "transitions must be an array of real numbers"),
    "complex": ((np.array(HALF) * 1j, [1, 1]), {}, "transitions must be an array of real numbers"),
    "no states": ((np.zeros((1, 0, 0)), []), {}, "transitions must have shape"),
    "rewards' shape": ((HALF, [1, 1, 1]), {}, r"rewards must have shape \(2,\), \(2, 1\) or \(1, 2, 2\), got \(3,\)"),
    "sparse rewards": ((HALF, [sp.eye_array(3)]), {}, r"rewards must have shape"),
    "rewards by pair": ((HALF[0], [1]), {"pairs": [[0, 0], [1, 0]]}, r"rewards must have shape \(2,\)"),
    "reward nan": ((HALF, [[1], [np.nan]]), {}, "rewards of state 1, action 0: nan is not finite"),
    "outcome nan": ((HALF, [[[1, 1], [np.nan, 1]]]), {}, "rewards of state 1, action 0: nan is not finite"),
    "discount": ((HALF, [1, 1], 1.01), {}, r"discount must be a number in \[0, 1\], got 1.01"),
    "negative discount": ((HALF, [1, 1], -0.1), {}, r"discount must be"),
    "nan discount": ((HALF, [1, 1], np.nan), {}, r"discount must be"),
    "discount of a word": ((HALF, [1, 1], "0.9"), {}, r"discount must be"),
    "discount 1": ((HALF, [1, 1], 1), {}, "needs an end of the episode.*from state 0 to a terminal one"),
    "terminal": ((HALF, [1, 1]), {"terminal": [2]}, "list of states 0 to 1"),
    "terminal mask": ((HALF, [1, 1]), {"terminal": [True]}, r"mask of shape \(2,\)"),
    "all terminal": ((HALF, [1, 1]), {"terminal": [0, 1]}, "nothing to decide"),
    "start state": ((HALF, [1, 1]), {"start": 2}, "start must be a state 0 to 1, or 2 probabilities"),
    "start sum": ((HALF, [1, 1]), {"start": [0.5, 0.4]}, "start must be"),
    "start nan": ((HALF, [1, 1]), {"start": [0.5, np.nan]}, "start must be"),
    "start terminal": ((HALF, [1, 1]), {"terminal": [1], "start": 1}, "state 1, which is terminal"),
    "pairs' shape": ((HALF[0], [1, 1]), {"pairs": [0, 1]}, "a state and an action for each of the 2 rows"),
    "pairs' type": ((HALF[0], [1, 1]), {"pairs": [[0.0, 0], [1, 0]]}, "as whole numbers"),
    "pairs outside": ((HALF[0], [1, 1]), {"pairs": [[0, 0], [2, 0]]}, "pairs must name states 0 to 1"),
    "pairs twice": ((HALF[0], [1, 1]), {"pairs": [[0, 0], [0, 0]]}, "state 0, action 0 twice"),
    "a state left out": ((HALF[0], [1, 1]), {"pairs": [[0, 0], [0, 1]]}, "State 1 has no action and isn't terminal"),
}


@pytest.mark.parametrize("name", sorted(BAD))
def test_what_is_no_process_is_refused_in_words(name):
    args, more, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        FiniteMDP(*args, **more)


def test_broken_sparse_tables_are_refused():
    T = sp.csr_array(np.array(HALF[0]))
    T.indices = np.array([0, 9, 0, 1], dtype=np.int32)
    with pytest.raises(ValueError, match=r"transitions\[0\] is a broken CSR matrix: its indices hold 9"):
        FiniteMDP([T], [1, 1])


def test_discount_1_needs_a_way_to_the_end_from_everywhere():
    T = np.zeros((2, 4, 4))
    T[0, [0, 1, 2, 3], [1, 0, 2, 3]] = 1  # a circle of 0 and 1, and 2 stays
    T[1, [0, 1, 2, 3], [0, 2, 2, 3]] = 1
    with pytest.raises(ValueError, match="from state 0 to"):
        FiniteMDP(T, np.ones(4), 1.0, terminal=[3])
    T[1, 2] = [0, 0, 0.99, 0.01]
    assert FiniteMDP(T, np.ones(4), 1.0, terminal=[3]).discount == 1


# ------------------------------------------------------------------------------------------- constructors


class Shown:
    """An environment with a table of its transitions."""

    def __init__(self, P):
        self.P = P


def test_a_table_with_flags_of_states():
    P = {0: {0: [(0.5, 0, 1.0, False), (0.25, 1, 2.0, True), (0.25, 1, 2.0, True)], 1: [(1.0, 1, 0.0, True)]}}
    P[1] = {0: [(1.0, 1, 0.0, True)], 1: [(1.0, 1, 0.0, True)]}
    mdp = FiniteMDP.from_gymnasium(Shown(P), discount=0.5)
    assert_array_equal(mdp.terminal, [False, True])
    assert_array_equal(mdp.offsets, [0, 2, 2])
    assert_allclose(mdp.transitions.toarray(), [[0.5, 0.5], [0, 1]])
    assert_allclose(mdp.rewards, [1.5, 0])
    assert mdp.ends is None
    assert mdp.discount == 0.5


def test_a_table_with_flags_of_outcomes_keeps_what_they_say():
    # State 1 is entered both at the end of the episode and in its midst.
    P = {0: {0: [(0.5, 1, 1.0, False), (0.5, 1, 3.0, True)]}, 1: {0: [(1.0, 0, 0.0, False)]}}
    mdp = FiniteMDP.from_gymnasium(Shown(P), discount=1.0)
    assert_array_equal(mdp.terminal, [False, False])
    assert_array_equal(mdp.transitions.indptr, [0, 2, 3])  # outcomes that differ in their reward stay apart
    assert_array_equal(mdp.ends, [False, True, False])
    assert_allclose(mdp.continuation().toarray(), [[0, 0.5, 0.5], [1, 0, 0]])
    assert_array_equal(mdp.outcomes().ends, [0, 1, 0])
    rewards = {mdp.step(0, 0, random_state=seed)[1:] for seed in range(50)}  # the other is missed once in 2 ** 50
    assert rewards == {(1.0, False), (3.0, True)}


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (Shown(None), "Shown has no table P"),
        (Shown({}), "Shown has no table P"),
        (Shown({0: {0: [(1.0, 1, 0.0, False)]}}), "P leads to state 1, outside 0 to 0"),
        (Shown({0: {0: [(0.9, 0, 1.0, False)]}}), "state 0, action 0 sum to 0.9"),
        (Shown({0: {0: [(1.0, 0, np.nan, False)]}}), "rewards of state 0, action 0: nan"),
        (Shown({0: {}}), "P holds no outcome"),
        (Shown, "env is the class Shown"),
    ],
)
def test_a_broken_table_is_refused(env, message):
    with pytest.raises(ValueError, match=message):
        FiniteMDP.from_gymnasium(env)


@pytest.mark.parametrize("name", ["FrozenLake-v1", "CliffWalking-v1", "Taxi-v4"])
def test_gymnasiums_own_tables(name):
    gymnasium = pytest.importorskip("gymnasium")
    env = gymnasium.make(name)
    mdp, P = FiniteMDP.from_gymnasium(env), env.unwrapped.P
    assert_array_equal(mdp.start, env.unwrapped.initial_state_distrib)
    T = mdp.continuation().toarray()
    for pair, (s, a) in enumerate(zip(mdp.pair_states, mdp.pair_actions)):
        row = np.zeros(mdp.n_states + 1)
        for p, s2, _, ended in P[s][a]:
            row[mdp.n_states if ended and not mdp.terminal[s2] else s2] += p
        assert_allclose(T[pair], row, atol=1e-15)
        assert mdp.rewards[pair] == pytest.approx(sum(p * r for p, _, r, _ in P[s][a]))


def steps(**columns):
    data = {"state": [0, 0, 0, 1], "action": [0, 0, 1, 0], "reward": [1.0, 3.0, 5.0, 7.0], "next_state": [0, 1, 1, 2]}
    return {**data, **columns}


@pytest.mark.parametrize("frame", [dict, "pandas"])
def test_observed_steps_become_frequencies_and_means(frame):
    make = frame if frame is dict else pytest.importorskip("pandas").DataFrame
    mdp = FiniteMDP.from_transitions(make(steps()), discount=0.9)
    assert_allclose(mdp.transitions.toarray(), [[0.5, 0.5, 0], [0, 1, 0], [0, 0, 1]])
    assert_array_equal(mdp.rewards, [2, 5, 7])
    assert_array_equal(mdp.visit_counts, [2, 1, 1])
    assert_array_equal(mdp.terminal, [False, False, True])  # nobody acted in state 2
    assert (mdp.n_states, mdp.n_actions) == (3, 2)


def test_weights_and_ends_of_observed_steps():
    data = steps(terminated=[False, True, True, False])
    mdp = FiniteMDP.from_transitions(data, n_states=5, n_actions=3, sample_weight=[3, 1, 0, 2])
    assert_allclose(mdp.continuation().toarray()[:, [0, 1, 2, 5]], [[0.75, 0, 0, 0.25], [0, 0, 1, 0]])
    assert_allclose(mdp.rewards, [1.5, 7])
    assert_array_equal(mdp.visit_counts, [4, 2])
    assert (mdp.n_states, mdp.n_actions) == (5, 3)
    twice = {name: np.repeat(column, [3, 1, 0, 2]) for name, column in data.items()}
    assert_same_layout(mdp, FiniteMDP.from_transitions(twice, n_states=5, n_actions=3))


@pytest.mark.parametrize(
    ("data", "more", "message"),
    [
        ({"state": [0]}, {}, "action, reward, next_state is missing"),
        (steps(state=[0, 0]), {}, "same length"),
        (steps(state=[0, -1, 0, 1]), {}, "state must hold whole numbers from 0"),
        (steps(action=[0, 0.5, 0, 1]), {}, "action must hold whole numbers"),
        (steps(reward=[0, 0, np.nan, 0]), {}, "reward of step 2 is not finite"),
        (steps(), {"n_states": 2}, "n_states=2 is too small: the steps name number 2"),
        (steps(), {"sample_weight": [1, 1]}, "sample_weight must hold 4 numbers"),
        (steps(), {"sample_weight": [1, 1, -1, 1]}, "sample_weight must hold"),
        (steps(terminated=[0, 1]), {}, "same length"),
    ],
)
def test_observed_steps_that_are_none(data, more, message):
    with pytest.raises(ValueError, match=message):
        FiniteMDP.from_transitions(data, **more)


# ------------------------------------------------------------------------------------------------- playing


def test_outcomes_are_the_layout_with_running_sums(rng):
    mdp = FiniteMDP(*random_tables(rng))
    outcomes = mdp.outcomes()
    for pair in range(len(mdp.rewards)):
        entries = slice(outcomes.indptr[pair], outcomes.indptr[pair + 1])
        assert_allclose(outcomes.cumulative[entries], np.cumsum(mdp.transitions.data[entries]), atol=1e-12)
        assert outcomes.cumulative[entries][-1] == 1.0
        assert np.all(np.diff(outcomes.cumulative[entries]) > 0)
    assert_array_equal(outcomes.rewards, mdp.outcome_rewards)
    assert_array_equal(outcomes.ends, mdp.terminal[outcomes.next_states])
    assert outcomes.start_cumulative[-1] == 1.0


def test_a_step_draws_from_the_row(rng):
    T, R = random_tables(rng)
    mdp = FiniteMDP(T, R, terminal=[5])
    random = np.random.RandomState(int(rng.integers(1000)))
    n, counts = 4000, np.zeros(6)
    for _ in range(n):
        following, reward, ended = mdp.step(2, 1, random)
        assert reward == pytest.approx(R[1, 2, following])
        assert ended == (following == 5)
        counts[following] += 1
    assert np.all(counts[T[1, 2] == 0] == 0)
    # Hoeffding: each frequency is off by 0.06 with probability below 2 exp(-2 * 4000 * 0.06 ** 2) = 6e-13.
    assert_allclose(counts / n, T[1, 2], atol=0.06)


def test_an_action_that_is_not_allowed():
    mdp = two_states()
    with pytest.raises(ValueError, match=r"Action 2 isn't allowed in state 0; allowed are \[0, 1\]"):
        mdp.step(0, 2)
    with pytest.raises(ValueError, match=r"isn't allowed in state 1; allowed are \[\]"):
        mdp.step(1, 0)
    with pytest.raises(ValueError, match="state must be 0 to 1, got 2"):
        mdp.step(2, 0)


def test_what_is_sampled_is_what_from_transitions_reads(rng):
    T, _ = random_tables(rng)
    mdp = FiniteMDP(T, rng.normal(size=(6, 3)), terminal=[5], start=0)
    data = mdp.sample(500, random_state=int(rng.integers(1000)))
    assert {len(column) for column in data.values()} == {500}
    first = np.append(True, data["terminated"][:-1])
    assert np.all(data["state"][first] == 0)
    assert_array_equal(data["state"][1:][~first[1:]], data["next_state"][:-1][~first[1:]])
    assert_array_equal(data["episode"], np.cumsum(first) - 1)
    estimate = FiniteMDP.from_transitions(data, n_states=6, n_actions=3)
    seen = mdp.available & estimate.available
    for s, a in np.argwhere(seen):
        ours, theirs = (m.rewards[m.offsets[s] :][m.pair_actions[m.offsets[s] :] == a][0] for m in (mdp, estimate))
        assert ours == pytest.approx(theirs)
    assert estimate.visit_counts.sum() == 500


def test_a_policy_is_actions_or_probabilities():
    mdp = two_states(start=0)
    assert set(mdp.sample(20, policy=[0, 0], random_state=0)["action"]) == {0}
    probabilities = np.array([[0.0, 1.0], [0.5, 0.5]])
    assert set(mdp.sample(20, policy=probabilities, random_state=0)["action"]) == {1}
    for bad, message in (
        ([0, 0, 0], "an action for each state"),
        ([[0.5, 0.4], [0, 0]], "gives state 0 no distribution"),
        ([2, 0], "gives state 0 no distribution"),
        ([[np.nan, 1.0], [0, 1]], "no distribution"),
        ([[2.0, -1.0], [0, 1]], "no distribution"),
    ):
        with pytest.raises(ValueError, match=message):
            mdp.sample(5, policy=np.array(bad))
    with pytest.raises(ValueError, match="n_steps must be"):
        mdp.sample(0)


def test_discounted_return():
    mdp = two_states(discount=0.5)
    assert mdp.discounted_return([1, 2, 4]) == 3.0
    assert_array_equal(mdp.discounted_return([[1, 2], [0, 4]]), [2, 2])
    assert mdp.discounted_return([]) == 0.0


def test_the_stationary_distribution_stays(rng):
    T, R = random_tables(rng)
    T = 0.9 * T + 0.1 / 6  # from everywhere to everywhere
    mdp = FiniteMDP(T, R, terminal=[4], start=0)
    policy = rng.dirichlet(np.ones(3), 6)
    mu = mdp.stationary_distribution(policy)
    P = np.einsum("sa,ast->st", policy, T)
    P[:, 0] += P[:, 4]  # where an episode ends, the next one starts
    P[:, 4] = 0
    assert mu[4] == 0
    assert mu.sum() == pytest.approx(1)
    assert_allclose((mu @ P), mu, atol=1e-12)


def test_a_process_that_can_settle_in_several_places_has_no_one_distribution():
    T = np.array([[[0, 0.5, 0.5], [0, 1, 0], [0, 0, 1]]])
    mdp = FiniteMDP(T, [0.0, 1.0, 1.0], start=0)
    with pytest.raises(ValueError, match="2 separate sets of states"):
        mdp.stationary_distribution()
    assert_array_equal(mdp.with_discount(0.5).graph().toarray(), T[0])


def test_the_graph_holds_the_largest_probability(rng):
    T, R = random_tables(rng)
    assert_allclose(FiniteMDP(T, R, terminal=[]).graph().toarray(), T.max(axis=0))


def test_it_can_be_played_as_an_environment():
    env = two_states(start=0).to_env(max_episode_steps=3)
    assert env.reset(seed=0)[0] == 0
    assert env.step(0)[:4] == (0, 0.0, False, False)
    assert env.step(0)[3] is False
    assert env.step(0)[3] is True


@pytest.mark.parametrize("n", [3, 10, 49])
def test_no_episode_begins_where_none_can_though_shares_do_not_add_up_to_1_exactly(n):
    T = np.eye(n + 1, k=1)[None]
    T[0, n, n] = 1
    outcomes = FiniteMDP(T, [-1.0] * n + [0.0], 0.9).outcomes()
    assert_array_equal(outcomes.start_cumulative[-2:], 1)  # 10 times 0.1 is less than 1, and the last state is the end
    assert_allclose(outcomes.start_cumulative[:n], np.arange(1, n + 1) / n)
    QLearning(max_steps=100).fit(FiniteMDP(T, [-1.0] * n + [0.0], 0.9))


def test_a_policy_never_does_what_it_gives_no_probability():
    cumulative = running_sums(np.array([0.1] * 10 + [0.0] + [0.5, 0.5]), np.array([0, 11, 11, 13]))
    assert_array_equal(cumulative[[9, 10, 12]], 1)
    assert_allclose(cumulative[[0, 8, 11]], [0.1, 0.9, 0.5])
