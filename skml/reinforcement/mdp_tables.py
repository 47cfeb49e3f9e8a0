"""The one layout of a finite decision process, made of dense, sparse or ragged tables, and what it refuses.

A *pair* is a state and an action allowed in it; pairs stand in order of state, then action. A terminal state has no
pairs. An *outcome* is an entry of a pair's row: a probability, a next state, a reward, and whether the episode ends.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import breadth_first_order

from skml.base import check_sparse_structure

ROW_SUM_TOLERANCE = 1e-6  # float32 tables pass; the rows are divided by their sums afterwards
LARGEST = np.iinfo(np.int32).max


@dataclass(frozen=True)
class Pairs:
    """Transitions and rewards by pair, sorted.

    Attributes
    ----------
    states, actions : ndarray of shape (n_pairs,), int64
        Which pair a row belongs to.
    transitions : CSR array of shape (n_pairs, n_states), float64
        Outcomes; a next state may occur twice in a row, with different rewards.
    rewards : ndarray of shape (n_pairs,), float64
        Expected.
    outcome_rewards : ndarray of shape (nnz,) or None
        Beside ``transitions.data``.
    ends : ndarray of shape (nnz,), bool, or None
        Which outcomes end the episode although their next state is not terminal.
    """

    states: np.ndarray
    actions: np.ndarray
    transitions: sp.csr_array
    rewards: np.ndarray
    outcome_rewards: np.ndarray | None = None
    ends: np.ndarray | None = None


def read_tables(transitions, rewards, pairs):
    """Return the :class:`Pairs` of what a user hands in, in whichever form, and the number of actions."""
    matrix, states, actions, n_actions = _read_transitions(transitions, pairs)
    key = states * n_actions + actions
    order = slice(None)
    if np.any(key[1:] <= key[:-1]):
        order = np.argsort(key, kind="stable")
        matrix, states, actions = matrix[order], states[order], actions[order]
        _refuse_twins(states, actions)
    expected, outcome_rewards = _read_rewards(rewards, matrix, states, actions, n_actions, order, pairs is not None)
    return Pairs(states, actions, matrix, expected, outcome_rewards), n_actions


# ---------------------------------------------------------------------------------------------- transitions


def _read_transitions(transitions, pairs):
    """Return (matrix, states, actions, n_actions), rows not yet in order."""
    if pairs is not None:
        return _read_pairs(transitions, pairs)
    if isinstance(transitions, (list, tuple)) and any(sp.issparse(part) for part in transitions):
        parts = [_as_csr(part, f"transitions[{a}]") for a, part in enumerate(transitions)]
    else:
        parts = _dense_parts(transitions)
    S = parts[0].shape[1]
    if any(part.shape != (S, S) for part in parts):
        shapes = sorted({part.shape for part in parts})
        raise ValueError(f"The transitions of each action must have shape (n_states, n_states), got {shapes}.")
    states, actions = np.tile(np.arange(S), len(parts)), np.repeat(np.arange(len(parts)), S)
    return sp.vstack(parts, format="csr"), states, actions, len(parts)


def _dense_parts(transitions):
    if sp.issparse(transitions):
        raise ValueError(
            "transitions is one sparse matrix; give a list with a matrix for each action, "
            "or a row for each state and action and say in pairs which."
        )
    table = _numbers(transitions, "transitions")
    if table.ndim != 3 or table.shape[1] != table.shape[2] or 0 in table.shape:
        raise ValueError(
            f"transitions must have shape (n_actions, n_states, n_states), got {table.shape}; "
            "for a row per state and action, say in pairs which."
        )
    return [sp.csr_array(part) for part in table]


def _read_pairs(transitions, pairs):
    matrix = _as_csr(transitions, "transitions")
    pairs = np.asarray(pairs)
    if pairs.shape != (matrix.shape[0], 2) or pairs.dtype.kind not in "iu":
        raise ValueError(
            f"pairs must hold a state and an action for each of the {matrix.shape[0]} rows of transitions as whole "
            f"numbers, shape ({matrix.shape[0]}, 2); got shape {pairs.shape} of {pairs.dtype}."
        )
    if matrix.shape[0] == 0 or pairs.min() < 0 or pairs[:, 0].max() >= matrix.shape[1]:
        raise ValueError(f"pairs must name states 0 to {matrix.shape[1] - 1} and actions from 0, at least one pair.")
    states, actions = pairs.astype(np.int64).T
    return matrix, states, actions, int(actions.max()) + 1


def _as_csr(matrix, name):
    """Return a matrix of numbers as canonical CSR, structure checked; it may share memory with what was given."""
    if not sp.issparse(matrix):
        dense = _numbers(matrix, name)
        if dense.ndim != 2:
            raise ValueError(f"{name} must be a matrix, got shape {dense.shape}.")
        return sp.csr_array(dense)
    try:
        check_sparse_structure(matrix)
    except ValueError as error:
        raise ValueError(str(error).replace("X is", f"{name} is", 1)) from None
    if matrix.dtype.kind not in "biuf":
        raise ValueError(f"{name} must hold real numbers, got {matrix.dtype}.")
    csr = sp.csr_array(matrix, dtype=np.float64)
    if not csr.has_canonical_format:
        csr = csr.copy()
        csr.sum_duplicates()
    return csr


def _numbers(table, name):
    try:
        table = np.asarray(table)
        if table.dtype.kind == "c":
            raise TypeError
        return np.asarray(table, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be an array of real numbers of one shape.") from None


def _refuse_twins(states, actions):
    same = (states[1:] == states[:-1]) & (actions[1:] == actions[:-1])
    if same.any():
        i = int(np.argmax(same))
        raise ValueError(f"pairs names state {states[i]}, action {actions[i]} twice.")


# -------------------------------------------------------------------------------------------------- rewards


def _read_rewards(rewards, matrix, states, actions, n_actions, order, ragged):
    """Return (expected rewards by pair, rewards by outcome or None); NaN is seen to by `check_rewards`."""
    n_pairs, S = matrix.shape
    if sp.issparse(rewards) or (isinstance(rewards, (list, tuple)) and any(sp.issparse(part) for part in rewards)):
        parts = [rewards] if sp.issparse(rewards) else rewards
        parts = [_as_csr(part, "rewards") for part in parts]
        table = sp.vstack(parts, format="csr") if all(part.shape[1] == S for part in parts) else parts[0]
        if table.shape != matrix.shape or len(parts) != (1 if ragged else n_actions):
            raise ValueError(_wrong_rewards(f"{[part.shape for part in parts]}", n_pairs, S, n_actions, ragged))
        return None, _sparse_at(table[order], matrix)
    table = _numbers(rewards, "rewards")
    if ragged and table.shape == (n_pairs,):
        return table[order], None
    if ragged and table.shape == (n_pairs, S):
        return None, _dense_at(table[order], matrix)
    if not ragged and table.shape == (S,):
        return table[states], None
    if table.shape == (S, n_actions):
        return table[states, actions], None
    if not ragged and table.shape == (n_actions, S, S):
        return None, _dense_at(table.reshape(-1, S)[order], matrix)
    raise ValueError(_wrong_rewards(table.shape, n_pairs, S, n_actions, ragged))


def _wrong_rewards(shape, n_pairs, S, n_actions, ragged):
    forms = [(n_pairs,), (n_pairs, S), (S, n_actions)] if ragged else [(S,), (S, n_actions), (n_actions, S, S)]
    return f"rewards must have shape {forms[0]}, {forms[1]} or {forms[2]}, got {shape}."


def _sparse_at(table, matrix):
    """Return the entries of one sparse matrix where another one has entries."""
    if np.array_equal(table.indptr, matrix.indptr) and np.array_equal(table.indices, matrix.indices):
        return table.data
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    return np.asarray(table[rows, matrix.indices], dtype=np.float64).ravel()


def _dense_at(table, matrix):
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    return table[rows, matrix.indices]


def expected_rewards(matrix, outcome_rewards):
    """Return the expected reward of each row: r(s, a) = sum over s' of p(s' | s, a) r(s, a, s')."""
    weighted = sp.csr_array((matrix.data * outcome_rewards, matrix.indices, matrix.indptr), shape=matrix.shape)
    return weighted @ np.ones(matrix.shape[1])


# ----------------------------------------------------------------------------------------------- validation


def named(states, actions, i):
    """Return how a pair is named in an error."""
    return f"state {states[i]}, action {actions[i]}"


def check_probabilities(pairs):
    """Raise a ValueError that names the first row which isn't a probability distribution."""
    matrix = pairs.transitions
    if not matrix.data.min(initial=1) >= 0 or matrix.data.max(initial=0) == np.inf:
        _refuse_numbers(pairs)
    sums = matrix @ np.ones(matrix.shape[1])
    bad = np.abs(sums - 1) > ROW_SUM_TOLERANCE
    if bad.any():
        i = int(np.argmax(bad))
        raise ValueError(
            f"transitions of {named(pairs.states, pairs.actions, i)} sum to {sums[i]:.9g}, expected 1 "
            f"({bad.sum()} of {len(bad)} rows don't sum to 1)."
        )


def _refuse_numbers(pairs):
    matrix = pairs.transitions
    i = int(np.argmax(~(matrix.data >= 0) | np.isinf(matrix.data)))
    row = int(np.searchsorted(matrix.indptr, i, side="right")) - 1
    kind = "negative" if matrix.data[i] < 0 else "not finite"
    raise ValueError(
        f"transitions of {named(pairs.states, pairs.actions, row)} to state {matrix.indices[i]}: "
        f"probability {matrix.data[i]:g} is {kind}."
    )


def check_rewards(pairs):
    """Raise a ValueError that names the first pair whose reward isn't finite."""
    bad = ~np.isfinite(pairs.rewards)
    if bad.any():
        i = int(np.argmax(bad))
        raise ValueError(f"rewards of {named(pairs.states, pairs.actions, i)}: {pairs.rewards[i]} is not finite.")


def check_terminal(terminal, n_states):
    """Return the terminal states as an array of bools, from a mask or a list of states."""
    states = np.asarray(terminal)
    if states.dtype == bool and states.shape == (n_states,):
        return states.copy()
    if states.size == 0:
        return np.zeros(n_states, dtype=bool)
    if states.dtype.kind not in "iu" or states.ndim > 1 or states.min() < 0 or states.max() >= n_states:
        raise ValueError(
            f"terminal must be a mask of shape ({n_states},) or a list of states 0 to {n_states - 1}, got {terminal!r}."
        )
    mask = np.zeros(n_states, dtype=bool)
    mask[states] = True
    return mask


def check_start(start, terminal):
    """Return the distribution of the first state; None is uniform over the states that aren't terminal."""
    n_states = len(terminal)
    if terminal.all():
        raise ValueError("All states are terminal, so there is nothing to decide.")
    if start is None:
        return ~terminal / np.count_nonzero(~terminal)
    given = np.asarray(start)
    if given.ndim == 0 and given.dtype.kind in "iu" and 0 <= given < n_states:
        given = np.bincount([int(given)], minlength=n_states)
    given = _numbers(given, "start")
    if given.shape != (n_states,) or not np.all(given >= 0) or not abs(given.sum() - 1) <= ROW_SUM_TOLERANCE:
        raise ValueError(
            f"start must be a state 0 to {n_states - 1}, or {n_states} probabilities that sum to 1; got {start!r}."
        )
    if (given[terminal] > 0).any():
        state = int(np.argmax(terminal & (given > 0)))
        raise ValueError(f"start gives probability {given[state]:g} to state {state}, which is terminal.")
    return given / given.sum()


def check_discount(discount):
    """Return the discount as a float in [0, 1]."""
    if isinstance(discount, (bool, str)) or not np.isscalar(discount) or not 0 <= discount <= 1:
        raise ValueError(f"discount must be a number in [0, 1], got {discount!r}.")
    return float(discount)


def absorbing_states(pairs, n_states):
    """Return a mask of the states that nothing leaves and that pay nothing, whatever is done: as good as terminal."""
    mask = np.zeros(n_states, dtype=bool)
    mask[pairs.states] = True
    mask[pairs.states[pairs.rewards != 0]] = False
    some = keep_rows(pairs, mask[pairs.states])  # those of states that may be absorbing: few, mostly
    matrix = some.transitions
    rows = np.repeat(some.states, np.diff(matrix.indptr))
    leaves = (matrix.indices != rows) & (matrix.data > 0)
    if some.outcome_rewards is not None:
        leaves |= (some.outcome_rewards != 0) & (matrix.data > 0)
    mask[rows[leaves]] = False
    return mask


def keep_rows(pairs, keep):
    """Return the pairs of a mask alone."""
    if keep.all():
        return pairs
    entries = np.repeat(keep, np.diff(pairs.transitions.indptr))
    outcome_rewards = None if pairs.outcome_rewards is None else pairs.outcome_rewards[entries]
    ends = None if pairs.ends is None else pairs.ends[entries]
    return Pairs(
        pairs.states[keep],
        pairs.actions[keep],
        _entries_of(pairs.transitions, keep, entries),
        None if pairs.rewards is None else pairs.rewards[keep],
        outcome_rewards,
        ends,
    )


def _entries_of(matrix, keep, entries):
    """Return some rows of a CSR array; other than indexing, it keeps entries that share a column apart."""
    indptr = np.concatenate([[0], np.cumsum(np.diff(matrix.indptr)[keep])])
    return sp.csr_array(
        (matrix.data[entries], matrix.indices[entries], indptr), shape=(len(indptr) - 1, matrix.shape[1])
    )


def without_zeros(pairs):
    """Return the pairs without outcomes of probability 0, rows summing to 1 to rounding, indices of 32 bits."""
    matrix = pairs.transitions
    if max(matrix.nnz, *matrix.shape) >= LARGEST:
        raise ValueError(f"Up to {LARGEST:,} outcomes, states and pairs can be held, got {matrix.nnz:,} outcomes.")
    some = matrix.data != 0
    counts, some = (np.diff(matrix.indptr), slice(None)) if some.all() else (_row_sums(some, matrix.indptr), some)
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    data = matrix.data[some] / np.repeat(matrix @ np.ones(matrix.shape[1]), counts)
    transitions = sp.csr_array((data, matrix.indices[some].astype(np.int32), indptr), shape=matrix.shape)
    outcome_rewards = None if pairs.outcome_rewards is None else pairs.outcome_rewards[some]
    ends = None if pairs.ends is None or not pairs.ends.any() else pairs.ends[some]
    return Pairs(pairs.states, pairs.actions, transitions, pairs.rewards, outcome_rewards, ends)


def _row_sums(entries, indptr):
    total = np.concatenate([[0], np.cumsum(entries)])
    return total[indptr[1:]] - total[indptr[:-1]]


def endless_state(pairs, terminal):
    """Return a state from which no actions lead to the end of the episode, or None."""
    n_states, matrix = len(terminal), pairs.transitions
    rows = np.repeat(pairs.states, np.diff(matrix.indptr))
    ending = terminal[matrix.indices] if pairs.ends is None else terminal[matrix.indices] | pairs.ends
    # Backwards from the end, node n_states: an edge from each next state to the states that lead to it.
    sources = np.where(ending, n_states, matrix.indices)
    edges = sp.csr_array((np.ones(len(rows)), (sources, rows)), shape=(n_states + 1, n_states + 1))
    reached = breadth_first_order(edges, n_states, return_predecessors=False)
    endless = ~terminal
    endless[reached[reached < n_states]] = False
    return int(np.argmax(endless)) if endless.any() else None
