"""Finite Markov decision processes: states, actions, transitions, rewards, a discount and where an episode starts."""

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp

from skml.reinforcement import chains, counts
from skml.reinforcement.environments import MDPEnvironment
from skml.reinforcement.mdp_tables import (
    Pairs,
    absorbing_states,
    check_discount,
    check_probabilities,
    check_rewards,
    check_start,
    check_terminal,
    endless_state,
    expected_rewards,
    keep_rows,
    read_tables,
    without_zeros,
)

__all__ = ["FiniteMDP", "Outcomes"]


@dataclass(frozen=True)
class Outcomes:
    """A :class:`FiniteMDP` as a kernel plays it: pairs, and the outcomes of each, as flat arrays.

    Attributes
    ----------
    offsets : ndarray of shape (n_states + 1,), int32
        The pairs of state s are ``offsets[s]:offsets[s + 1]``; a terminal state has none.
    pair_actions : ndarray of shape (n_pairs,), int32
        The action of each pair, ascending within a state.
    indptr : ndarray of shape (n_pairs + 1,), int32
        The outcomes of pair i are ``indptr[i]:indptr[i + 1]``.
    cumulative : ndarray of shape (n_outcomes,), float64
        Running sums of the probabilities within each pair; the last of a pair is exactly 1.
    next_states : ndarray of shape (n_outcomes,), int32
        Where each outcome leads to.
    rewards : ndarray of shape (n_outcomes,), float64
        What it pays.
    ends : ndarray of shape (n_outcomes,), uint8
        Whether the episode ends with this outcome; true of every terminal next state.
    terminal : ndarray of shape (n_states,), uint8
        Whether a state is terminal.
    start_cumulative : ndarray of shape (n_states,), float64
        Running sums of the start distribution; the last is exactly 1.
    """

    offsets: np.ndarray
    pair_actions: np.ndarray
    indptr: np.ndarray
    cumulative: np.ndarray
    next_states: np.ndarray
    rewards: np.ndarray
    ends: np.ndarray
    terminal: np.ndarray
    start_cumulative: np.ndarray


class FiniteMDP:
    """A finite Markov decision process (S, A, T, R, discount, start), checked, and read-only.

    Dense, sparse and ragged tables all come into one layout: a *pair* is a state with an action allowed in it, and
    pairs stand in order of state, then action; `transitions` has a sparse row for each. Nothing is ever made dense.
    An episode ends on entering a terminal state. Such a state has value 0 and no pairs.

    Parameters
    ----------
    transitions : array of shape (n_actions, n_states, n_states), list of n_actions sparse matrices, or matrix
        p(s' | s, a). With `pairs`, a matrix of shape (n_pairs, n_states), dense or sparse. Rows sum to 1 within 1e-6
        and are divided by their sum.
    rewards : array of shape (n_states,), (n_states, n_actions) or as `transitions`
        R(s), R(s, a) or R(s, a, s'). With `pairs`: of shape (n_pairs,), (n_pairs, n_states) or (n_states, n_actions).
    discount : float, default=0.99
        In [0, 1]. With 1, a terminal state must be within reach of every other state.
    start : int, array of shape (n_states,) or None, default=None
        The first state of an episode or the probabilities of it; None is uniform over the states that are not terminal.
    terminal : array of bool of shape (n_states,), list of states or None, default=None
        The terminal states; what `transitions` and `rewards` hold of them is ignored. None takes the states that
        nothing leaves and that pay nothing.
    pairs : array of int of shape (n_pairs, 2) or None, default=None
        The state and the action of each row of `transitions`, where not every action is allowed everywhere.

    Attributes
    ----------
    n_states, n_actions : int
        How many there are.
    discount : float
        Of the values of next states.
    offsets : ndarray of shape (n_states + 1,), int32
        The pairs of state s are ``offsets[s]:offsets[s + 1]``.
    pair_actions : ndarray of shape (n_pairs,), int32
        The action of each pair.
    pair_states : ndarray of shape (n_pairs,), int32
        The state of each pair.
    transitions : CSR array of shape (n_pairs, n_states), float64
        Probabilities of the next states, 32-bit indices.
    rewards : ndarray of shape (n_pairs,), float64
        Expected rewards.
    outcome_rewards : ndarray of shape (n_outcomes,), float64, or None
        The reward of each outcome, beside ``transitions.data``, where it isn't the pair's.
    ends : ndarray of shape (n_outcomes,), bool, or None
        Which outcomes end the episode although their next state isn't terminal (only from `from_gymnasium` and
        `from_transitions`, where the flag belongs to the outcome). The value after such an outcome is 0.
    terminal : ndarray of shape (n_states,), bool
        Which states end an episode that enters them.
    start : ndarray of shape (n_states,), float64
        How probable each is as the first state.
    visit_counts : ndarray of shape (n_pairs,), float64, or None
        How often each pair was seen, from `from_transitions`.

    Raises
    ------
    ValueError
        If a table has a wrong shape, a row doesn't sum to 1 or holds a negative number, a reward isn't finite, the
        discount is outside [0, 1], or is 1 while some state has no way to a terminal state.

    See Also
    --------
    ValueIteration : Plans on it.
    PolicyIteration : Plans on it, exactly.

    References
    ----------
    Puterman, M. L. (1994). Markov Decision Processes. Wiley, chapter 2.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.reinforcement import FiniteMDP
    >>> stay, go = [[1, 0], [0, 1]], [[0.1, 0.9], [0, 1]]
    >>> mdp = FiniteMDP([stay, go], rewards=[[0, -1], [0, 0]], discount=0.9, start=0)
    >>> mdp
    FiniteMDP(n_states=2, n_actions=2, n_pairs=2, n_outcomes=3, discount=0.9)
    >>> mdp.terminal
    array([False,  True])
    >>> mdp.discounted_return([1, 1, 1])
    2.71
    """

    def __init__(self, transitions, rewards, discount=0.99, start=None, *, terminal=None, pairs=None):
        table, n_actions = read_tables(transitions, rewards, pairs)
        n_states = table.transitions.shape[1]
        if terminal is not None:
            terminal = check_terminal(terminal, n_states)
            table = keep_rows(table, ~terminal[table.states])
        check_probabilities(table)
        if table.outcome_rewards is not None:
            table = replace(table, rewards=expected_rewards(table.transitions, table.outcome_rewards))
        check_rewards(table)
        if terminal is None:
            terminal = absorbing_states(table, n_states)
            table = keep_rows(table, ~terminal[table.states])
        self._settle(without_zeros(table), n_actions, terminal, start, discount)

    def _settle(self, table, n_actions, terminal, start, discount):
        """Set all attributes from a sound table of the pairs of states that aren't terminal."""
        start = check_start(start, terminal)
        n_states = len(terminal)
        n_pairs = np.bincount(table.states, minlength=n_states)
        if (n_pairs[~terminal] == 0).any():
            state = int(np.argmax(~terminal & (n_pairs == 0)))
            raise ValueError(f"State {state} has no action and isn't terminal; name it in terminal, or give it a pair.")
        vars(self).update(
            n_states=n_states,
            n_actions=int(n_actions),
            offsets=np.concatenate([[0], np.cumsum(n_pairs)]).astype(np.int32),
            pair_states=table.states.astype(np.int32),
            pair_actions=table.actions.astype(np.int32),
            transitions=table.transitions,
            rewards=np.array(table.rewards),  # a copy: what was given stays the caller's
            outcome_rewards=None if table.outcome_rewards is None else np.array(table.outcome_rewards),
            ends=table.ends,
            terminal=terminal,
            start=start,
            visit_counts=None,
        )
        self._set_discount(discount)
        self._lock()

    def _set_discount(self, discount):
        vars(self)["discount"] = check_discount(discount)
        if self.discount == 1:
            self.require_end()

    def _lock(self):
        parts = self.transitions
        for array in (*vars(self).values(), parts.data, parts.indices, parts.indptr):
            if isinstance(array, np.ndarray):
                array.setflags(write=False)

    def __setattr__(self, name, value):
        raise AttributeError(f"A FiniteMDP is read-only; make another one to change its {name}.")

    def require_end(self):
        """Raise a ValueError unless from every state some actions lead to the end of the episode."""
        table = Pairs(self.pair_states, self.pair_actions, self.transitions, self.rewards, None, self.ends)
        state = endless_state(table, self.terminal)
        if state is not None:
            raise ValueError(
                f"discount=1 needs an end of the episode within reach of every state, but no actions lead from state "
                f"{state} to a terminal one, so its value may be infinite or undefined; take a discount below 1."
            )

    def __repr__(self):
        sizes = f"n_states={self.n_states}, n_actions={self.n_actions}, n_pairs={len(self.rewards)}"
        return f"FiniteMDP({sizes}, n_outcomes={self.transitions.nnz}, discount={self.discount:g})"

    # ------------------------------------------------------------------------------------------ constructors

    @classmethod
    def of_table(cls, table, n_actions, terminal, start=None, discount=0.99, visit_counts=None):
        """Return a process made of a table of outcomes, in which a row may hold a next state more than once.

        Parameters
        ----------
        table : skml.reinforcement.mdp_tables.Pairs
            Sorted, no pairs of terminal states, with rewards by pair or by outcome.
        n_actions : int
            How many actions there are, at least one more than the largest of the table.
        terminal : ndarray of bool of shape (n_states,)
            The terminal states.
        start : int, array of shape (n_states,) or None, default=None
            As for the constructor.
        discount : float, default=0.99
            In [0, 1].
        visit_counts : ndarray of shape (n_pairs,) or None, default=None
            How often each pair was seen.

        Returns
        -------
        mdp : FiniteMDP
            Checked as in the constructor.
        """
        mdp = cls.__new__(cls)
        check_probabilities(table)
        if table.outcome_rewards is not None:
            table = replace(table, rewards=expected_rewards(table.transitions, table.outcome_rewards))
        check_rewards(table)
        mdp._settle(without_zeros(table), n_actions, terminal, start, discount)
        vars(mdp)["visit_counts"] = visit_counts
        mdp._lock()
        return mdp

    @classmethod
    def from_gymnasium(cls, env, discount=0.99):
        """Return the process that an environment in Gymnasium's toy-text form describes.

        Parameters
        ----------
        env : object
            Has a table ``P[s][a] = [(probability, next state, reward, terminated), ...]`` (looked for on
            ``env.unwrapped`` first); and ``initial_state_distrib``, else episodes start anywhere.
        discount : float, default=0.99
            In [0, 1].

        Returns
        -------
        mdp : FiniteMDP
            A state that is only ever entered at the end of an episode is terminal; where a state is entered both
            ways, `ends` says which outcomes end the episode.

        Raises
        ------
        ValueError
            If the environment has no such table, or a broken one, or is a class of environments.
        """
        if isinstance(env, type):
            raise ValueError(f"env is the class {env.__name__}; give an environment of it, {env.__name__}(...).")
        inner = getattr(env, "unwrapped", env)
        P = getattr(inner, "P", None)
        if not hasattr(P, "__getitem__") or not len(P):
            raise ValueError(
                f"{type(inner).__name__} has no table P of its transitions; a planner needs the model of its "
                "environment, so give a FiniteMDP, or learn from steps with QLearning or SARSA."
            )
        table, n_actions, terminal = counts.read_gymnasium(P)
        start = getattr(inner, "initial_state_distrib", None)
        return cls.of_table(table, n_actions, terminal, start, discount)

    @classmethod
    def from_transitions(cls, data, *, n_states=None, n_actions=None, discount=0.99, start=None, sample_weight=None):
        """Return the most likely process given observed steps: frequencies as probabilities, means as rewards.

        Parameters
        ----------
        data : DataFrame or dict of array-likes
            Columns ``state``, ``action``, ``reward``, ``next_state`` and, if any step ended its episode,
            ``terminated``. States and actions are whole numbers from 0.
        n_states, n_actions : int or None, default=None
            None takes the largest number seen, plus 1.
        discount : float, default=0.99
            In [0, 1].
        start : int, array of shape (n_states,) or None, default=None
            As for the constructor.
        sample_weight : array-like of shape (n_steps,) or None, default=None
            How often each step counts.

        Returns
        -------
        mdp : FiniteMDP
            With `visit_counts`. A state in which no action was seen counts as terminal.

        Raises
        ------
        ValueError
            If a column is missing, too short, or holds anything but whole numbers or, in ``reward``, finite ones.
        """
        table, n_actions, terminal, visits = counts.read_steps(data, n_states, n_actions, sample_weight)
        return cls.of_table(table, n_actions, terminal, start, discount, visits)

    def with_discount(self, discount):
        """Return the same process with another discount; the tables are shared.

        Parameters
        ----------
        discount : float
            In [0, 1].

        Returns
        -------
        mdp : FiniteMDP
            Shares every array with this one.
        """
        mdp = type(self).__new__(type(self))
        vars(mdp).update(vars(self))
        mdp._set_discount(discount)
        return mdp

    # -------------------------------------------------------------------------------------------------- views

    @property
    def available(self):
        """Which actions each state allows: (n_states, n_actions), bool; none in a terminal state."""
        mask = np.zeros((self.n_states, self.n_actions), dtype=bool)
        mask[self.pair_states, self.pair_actions] = True
        return mask

    def continuation(self):
        """Return the transitions that go on: (n_pairs, n_states + 1), what ends an episode in the last column.

        Returns
        -------
        matrix : CSR array of shape (n_pairs, n_states + 1)
            Shares its numbers with `transitions`. Against values with a 0 in the last place it gives
            E[v(s')] over the outcomes after which the episode goes on; terminal states have value 0 anyway.
        """
        T, S = self.transitions, self.n_states
        indices = T.indices if self.ends is None else np.where(self.ends, np.int32(S), T.indices)
        return sp.csr_array((T.data, indices, T.indptr), shape=(T.shape[0], S + 1))

    def outcomes(self):
        """Return the process as a kernel plays it.

        Returns
        -------
        outcomes : Outcomes
            Flat arrays; running sums of probabilities in place of probabilities.
        """
        T = self.transitions
        ends = self.terminal[T.indices] if self.ends is None else self.terminal[T.indices] | self.ends
        rewards = self.outcome_rewards
        return Outcomes(
            self.offsets,
            self.pair_actions,
            T.indptr,
            chains.running_sums(T.data, T.indptr),
            T.indices,
            np.repeat(self.rewards, np.diff(T.indptr)) if rewards is None else rewards,
            ends.astype(np.uint8),
            self.terminal.astype(np.uint8),
            chains.running_sums(self.start, np.array([0, self.n_states])),
        )

    def graph(self):
        """Return who leads to whom: for `scipy.sparse.csgraph`.

        Returns
        -------
        graph : CSR array of shape (n_states, n_states)
            The largest probability, over the actions, of going from a state to the next.
        """
        return chains.reach(self)

    # ------------------------------------------------------------------------------------------------ playing

    def to_env(self, max_episode_steps=None):
        """Return an environment with Gymnasium's methods that plays this process.

        Parameters
        ----------
        max_episode_steps : int or None, default=None
            After so many steps an episode is cut off; None for no limit.

        Returns
        -------
        env : skml.reinforcement.environments.MDPEnvironment
            Observations are numbers of states.
        """
        return MDPEnvironment(self, max_episode_steps)

    def step(self, state, action, random_state=None):
        """Draw what an action leads to.

        Parameters
        ----------
        state, action : int
            A pair of this process.
        random_state : int, RandomState instance or None, default=None
            Where the draw comes from.

        Returns
        -------
        next_state : int
        reward : float
        terminated : bool

        Raises
        ------
        ValueError
            If the action isn't allowed in the state.
        """
        return chains.step(self, state, action, random_state)

    def sample(self, n_steps, policy=None, random_state=None):
        """Draw steps under a policy; where an episode ends, the next one starts.

        Parameters
        ----------
        n_steps : int
            Steps in all, at least 1.
        policy : array of shape (n_states,) of int, of shape (n_states, n_actions), or None, default=None
            Actions, or probabilities of actions; None takes every allowed action equally often.
        random_state : int, RandomState instance or None, default=None
            Where the draws come from.

        Returns
        -------
        steps : dict of ndarray of shape (n_steps,)
            ``episode``, ``state``, ``action``, ``reward``, ``next_state``, ``terminated``: what `from_transitions`
            reads, and what makes a DataFrame.
        """
        return chains.sample(self, n_steps, policy, random_state)

    def discounted_return(self, rewards):
        """Return sum over t of discount^t r_(t+1).

        Parameters
        ----------
        rewards : array-like of shape (..., n_steps)
            The rewards of an episode in order.

        Returns
        -------
        discounted : float or ndarray of shape (...)
        """
        rewards = np.asarray(rewards, dtype=np.float64)
        total = rewards @ self.discount ** np.arange(rewards.shape[-1])
        return float(total) if total.ndim == 0 else total

    def stationary_distribution(self, policy=None):
        """Return how often each state is visited in the long run; where an episode ends, the next one starts.

        Parameters
        ----------
        policy : array of shape (n_states,) of int, of shape (n_states, n_actions), or None, default=None
            As for `sample`.

        Returns
        -------
        distribution : ndarray of shape (n_states,)
            Sums to 1; 0 at terminal states, in which no step is taken.

        Raises
        ------
        ValueError
            If the chain can settle in more than one set of states, so that there is no one distribution.
        """
        return chains.stationary(self, policy)
