"""Temporal differences in any environment, by a table: the environment moves in Python, the rest is compiled."""

import numpy as np

from skml import _kernels
from skml.reinforcement.td import Learned
from skml.reinforcement.td_tables import new_loop

NOT, TERMINATED, TRUNCATED, IDLE = range(4)


class TableWalk:
    """Copies of an environment in lockstep, and an agent with values of states that acts and learns in them.

    Does what :class:`skml.reinforcement.td.Walk` does, where all states have all actions.

    Parameters
    ----------
    vector : object
        The copies, as :mod:`skml.reinforcement.vector` describes them.
    rule : Rule
        What is learned.
    learned : Learned
        What is known.
    encoder : object
        ``encoder.of(observations)`` gives the states of N observations, and may find new ones; ``encoder.n_states``.
    initial : float
        The value of a new state.
    seed : int
        Of all draws.
    """

    def __init__(self, vector, rule, learned, encoder, initial, seed):
        self.vector, self.rule, self.encoder, self.initial = vector, rule, encoder, initial
        self.n_before, self.finished = learned.n_before, []
        first = learned.first_copy
        self.loop = new_loop(rule, learned, seed, np.zeros(vector.n_envs, dtype=np.int64))
        self.actions = np.zeros(vector.n_envs, dtype=np.int64)
        self._follow(self._states(vector.reset(seed, first)), moved=False)

    @property
    def done(self):
        """Steps and episodes so far."""
        n_steps, n_episodes = self.loop.done.tolist()
        return n_steps, n_episodes

    @property
    def size(self):
        """How many values there are."""
        return self.loop.Q.size

    def learned(self):
        """Return a copy of what is known."""
        n, loop = self.encoder.n_states, self.loop
        keys = getattr(self.encoder, "keys", None)
        return Learned(loop.Q[:, :n].copy(), loop.visits[:n].copy(), *self.done, self.n_before, keys=keys)

    def tick(self):
        """Take one step of all copies and learn from it."""
        vector, moves = self.vector, self.loop.moves
        actions = self.actions + vector.action_space.start
        observation, self.loop.gains[:], terminated, truncated, last = vector.step(actions)
        moves[:, 0] = begins = self._states(last)
        moves[:, 2] = np.where(terminated, TERMINATED, np.where(truncated, TRUNCATED, NOT))
        if vector.live is not None:
            moves[~vector.live, 2] = IDLE
        if last is not observation and moves[:, 2].any():
            begins = self._states(observation)
        self._follow(begins, moved=True)

    def _follow(self, begins, moved):
        n = _kernels.episodes.follow_moves(self.rule, self.loop, moved, begins, self.actions)
        self.finished.extend(self.loop.finished[:n].tolist())

    def _states(self, observations):
        """Return the states of observations, (N,), with a row in the tables for each."""
        states = np.ascontiguousarray(self.encoder.of(observations), dtype=np.int64)
        if self.encoder.n_states > self.loop.Q.shape[1]:
            self._grow(2 * self.encoder.n_states)
        return states

    def _grow(self, n_states):
        loop = self.loop
        room = n_states - loop.Q.shape[1]
        loop.Q = np.pad(loop.Q, ((0, 0), (0, room), (0, 0)), constant_values=self.initial)
        loop.visits = np.pad(loop.visits, ((0, room), (0, 0)))
        if self.rule.trace_decay * self.rule.discount > 0:
            more = ((0, 0), (0, max(0, loop.visits.size - loop.memory.shape[1])))
            loop.memory, loop.weights = np.pad(loop.memory, more), np.pad(loop.weights, more)
