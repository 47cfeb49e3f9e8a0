"""Finite decision processes as chains: draws from one, and the chain that a policy makes of it."""

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import breadth_first_order, connected_components
from scipy.sparse.linalg import spsolve
from sklearn.utils import check_random_state

from skml.base import require_memory


def running_sums(probabilities, indptr):
    """Return the running sums within each row of a CSR table; from the last probability above 0 on exactly 1."""
    counts = np.diff(indptr)
    total = np.concatenate([[0.0], np.cumsum(probabilities)])
    sums = total[1:] - np.repeat(total[indptr[:-1]], counts)
    # divided by the last one rather than set to 1 there: a place of probability 0 at the end must not get the rounding
    return sums / np.repeat(sums[indptr[1:][counts > 0] - 1], counts[counts > 0])


def pair_of(mdp, state, action):
    """Return the pair of a state and an action, or raise a ValueError."""
    if not 0 <= state < mdp.n_states:
        raise ValueError(f"state must be 0 to {mdp.n_states - 1}, got {state!r}.")
    first, last = mdp.offsets[state], mdp.offsets[state + 1]
    found = np.flatnonzero(mdp.pair_actions[first:last] == action)
    if len(found) == 0:
        allowed = mdp.pair_actions[first:last].tolist()
        raise ValueError(f"Action {action!r} isn't allowed in state {state}; allowed are {allowed}.")
    return first + found[0]


def step(mdp, state, action, random_state):
    """Draw (next state, reward, terminated)."""
    pair = pair_of(mdp, state, action)
    return _draw(mdp, pair, check_random_state(random_state).random_sample())


def _draw(mdp, pair, u):
    T = mdp.transitions
    first, last = T.indptr[pair], T.indptr[pair + 1]
    # The first outcome whose running sum exceeds u; rounding may leave the last sum just below 1.
    i = min(first + np.searchsorted(np.cumsum(T.data[first:last]), u, side="right"), last - 1)
    next_state = int(T.indices[i])
    reward = mdp.rewards[pair] if mdp.outcome_rewards is None else mdp.outcome_rewards[i]
    ended = mdp.terminal[next_state] or (mdp.ends is not None and mdp.ends[i])
    return next_state, float(reward), bool(ended)


def check_policy(mdp, policy):
    """Return the probability of each pair under a policy, in any of its forms: (n_pairs,)."""
    n_pairs = np.diff(mdp.offsets)
    if policy is None:
        return 1.0 / n_pairs[mdp.pair_states]
    policy = np.asarray(policy)
    if policy.shape == (mdp.n_states,) and policy.dtype.kind in "iu":
        chosen = (policy[mdp.pair_states] == mdp.pair_actions).astype(np.float64)
    elif policy.shape == (mdp.n_states, mdp.n_actions) and policy.dtype.kind in "fiub":
        chosen = policy[mdp.pair_states, mdp.pair_actions].astype(np.float64)
    else:
        raise ValueError(
            f"policy must hold an action for each state, shape ({mdp.n_states},), or probabilities, shape "
            f"({mdp.n_states}, {mdp.n_actions}); got shape {policy.shape} of {policy.dtype}."
        )
    sums = np.bincount(mdp.pair_states, chosen, minlength=mdp.n_states)
    bad = ~mdp.terminal & ~(np.abs(sums - 1) <= 1e-6)
    if bad.any() or not np.all(chosen >= 0):
        state = int(np.argmax(bad))
        raise ValueError(f"The policy gives state {state} no distribution over the actions that are allowed in it.")
    return chosen / sums[mdp.pair_states]


def sample(mdp, n_steps, policy, random_state):
    """Draw `n_steps` steps as a dict of columns."""
    if not isinstance(n_steps, (int, np.integer)) or n_steps < 1:
        raise ValueError(f"n_steps must be a whole number from 1, got {n_steps!r}.")
    random, choice = check_random_state(random_state), check_policy(mdp, policy)
    choice, start = running_sums(choice, mdp.offsets), running_sums(mdp.start, np.array([0, mdp.n_states]))
    names = ("episode", "state", "action", "reward", "next_state", "terminated")
    columns = {name: np.empty(n_steps, dtype) for name, dtype in zip(names, "qqqdq?")}
    episode, state = 0, None
    for t in range(n_steps):
        u = random.random_sample(3)
        if state is None:
            state = int(np.searchsorted(start, u[0], side="right"))
        first, last = mdp.offsets[state], mdp.offsets[state + 1]
        pair = first + np.searchsorted(choice[first:last], u[1], side="right")
        following, reward, ended = _draw(mdp, pair, u[2])
        row = (episode, state, mdp.pair_actions[pair], reward, following, ended)
        for name, value in zip(names, row):
            columns[name][t] = value
        episode, state = (episode + 1, None) if ended else (episode, following)
    return columns


# ------------------------------------------------------------------------------------------- the whole chain


def chain(mdp, choice):
    """Return (n_states, n_states + 1) probabilities of going on, in the last column of ending: CSR."""
    going_on = mdp.continuation()
    ending = np.where(np.append(mdp.terminal, True)[going_on.indices], np.int32(mdp.n_states), going_on.indices)
    going_on = sp.csr_array((going_on.data, ending, going_on.indptr), shape=going_on.shape)
    by_state = sp.csr_array((choice, np.arange(len(choice)), mdp.offsets), shape=(mdp.n_states, len(choice)))
    return sp.csr_array(by_state @ going_on)


def reach(mdp):
    """Return the largest probability over the actions of each transition, CSR (n_states, n_states)."""
    T = mdp.transitions.copy()
    T.sum_duplicates()
    rows = np.repeat(mdp.pair_states, np.diff(T.indptr))
    order = np.lexsort((-T.data, T.indices, rows))
    rows, columns, data = rows[order], T.indices[order], T.data[order]
    new = np.ones(len(rows), dtype=bool)
    new[1:] = (rows[1:] != rows[:-1]) | (columns[1:] != columns[:-1])
    return sp.csr_array((data[new], (rows[new], columns[new])), shape=(mdp.n_states, mdp.n_states))


def stationary(mdp, policy):
    """Return the stationary distribution of the chain that starts anew where an episode ends."""
    flow = chain(mdp, check_policy(mdp, policy))
    S = mdp.n_states
    # Node S stands between two episodes: its row is the start distribution.
    loop = sp.csr_array(sp.vstack([flow, sp.csr_array(np.append(mdp.start, 0.0)[None])], format="csr"))
    loop.eliminate_zeros()
    reached = np.sort(breadth_first_order(loop, S, return_predecessors=False))
    inner = loop[reached][:, reached]
    members = _closed_class(inner)
    P = inner[members][:, members]
    weights = np.zeros(S + 1)
    weights[reached[members]] = _balance(P)
    weights = weights[:S]  # no step is taken between episodes
    return weights / weights.sum()


def _closed_class(P):
    """Return the states of the one closed class of a chain."""
    n_classes, label = connected_components(P, directed=True, connection="strong")
    rows = np.repeat(np.arange(P.shape[0]), np.diff(P.indptr))
    leaves = label[rows] != label[P.indices]
    closed = np.setdiff1d(np.arange(n_classes), label[rows[leaves]])
    if len(closed) > 1:
        raise ValueError(
            f"Under this policy the process can settle in {len(closed)} separate sets of states, "
            "so it has no one stationary distribution; give another start or policy."
        )
    return np.flatnonzero(label == closed[0])


def _balance(P):
    """Solve mu P = mu, sum mu = 1, for an irreducible chain."""
    n = P.shape[0]
    if n == 1:
        return np.ones(1)
    require_memory(8 * n, "The stationary distribution")
    # With mu_0 = 1 the other equations (I - P')^T mu' = P_0' have full rank.
    A = sp.csc_array(sp.identity(n - 1, format="csc") - P[1:, 1:].T)
    return np.append(1.0, spsolve(A, P[0, 1:].toarray().ravel() if sp.issparse(P[0, 1:]) else P[0, 1:]))
