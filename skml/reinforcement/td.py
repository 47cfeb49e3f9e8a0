"""Temporal differences: what is learned of a step, in any environment, by values of states or of features."""

import math
from dataclasses import dataclass, field

import numpy as np

from skml import _kernels
from skml.base import Step
from skml.reinforcement.exploration import COIN, UCB, choose, expected_value

__all__ = ["COUNTED", "EXPECTED", "MAXIMUM", "RESCALED", "SCHEDULED", "TAKEN", "Learned", "Rule", "walk_steps"]

MAXIMUM, TAKEN, EXPECTED = range(3)
SCHEDULED, COUNTED, RESCALED = range(3)
NEGLIGIBLE = 1e-8  # a trace below this is dropped
PURPOSE = 1  # of the agent's draws; those of the environment have 0
SHARE = 64  # a step taken pays for copying so many values


@dataclass(frozen=True)
class Rule:
    """What is learned of a step, and how actions are chosen meanwhile.

    Attributes
    ----------
    target : int
        What the next state is worth: its MAXIMUM, the value of the action TAKEN there, or what is EXPECTED there.
    exploration : int
        GREEDY, SOFTMAX or UCB, as in :mod:`skml.reinforcement.exploration`.
    levels : ndarray of shape (n,), float64
        Of exploration, over the training cut into equal pieces.
    rate : int
        SCHEDULED, COUNTED (1 / n) or RESCALED (1 / (1 + k (n - 1))), n being the visits of the pair.
    rates : ndarray of shape (n,), float64
        The schedule of SCHEDULED, or the k of RESCALED.
    discount : float
        In [0, 1].
    n_steps : int
        Of a return.
    trace_decay : float
        In [0, 1]; above 0 traces take the place of returns of n steps.
    replacing : int
        Whether a trace is set to 1 at each visit, else raised by 1.
    total_steps, total_episodes : int
        When the training is over; 0 episodes: no limit.
    """

    target: int
    exploration: int
    levels: np.ndarray
    rate: int
    rates: np.ndarray
    discount: float
    n_steps: int = 1
    trace_decay: float = 0.0
    replacing: int = 1
    total_steps: int = 1
    total_episodes: int = 0


@dataclass(frozen=True)
class Learned:
    """What an agent knows.

    Attributes
    ----------
    Q : ndarray of shape (n_tables, n_states, n_actions), float64
        Values of pairs, or weights of features in place of states.
    visits : ndarray of shape (n_states, n_actions), int64
        How often each pair was taken.
    n_steps, n_episodes : int
        Of the training so far.
    n_before : int
        Steps of earlier trainings.
    loop : dict or None
        Where it stopped, if it can be taken up again.
    keys : ndarray of shape (n_states, n_columns) or None
        What tells states apart that have no number.
    """

    Q: np.ndarray
    visits: np.ndarray
    n_steps: int = 0
    n_episodes: int = 0
    n_before: int = 0
    loop: dict | None = field(default=None, repr=False)
    keys: np.ndarray | None = None

    @property
    def first_copy(self):
        """The number of the first copy of environments to go on with: none that has been met before."""
        return self.n_before + self.n_steps


def trace_width(rule, n_pairs):
    """Return how many traces there can be at a time: those above NEGLIGIBLE, of different pairs."""
    fade = rule.discount * rule.trace_decay
    if fade == 0:
        return 1
    if fade == 1:
        return n_pairs
    largest = 1 if rule.replacing else 1 / (1 - fade)
    return min(n_pairs, math.ceil(math.log(NEGLIGIBLE / largest) / math.log(fade)) + 1)


def share_done(rule, n_steps, n_episodes):
    """Return the share of the training that is done, by steps or by episodes."""
    by_episodes = n_episodes / rule.total_episodes if rule.total_episodes else 0.0
    return max(n_steps / rule.total_steps, by_episodes)


def is_over(rule, n_steps, n_episodes):
    """Tell whether the training is over."""
    return bool(share_done(rule, n_steps, n_episodes) >= 1)


def scheduled(knots, share):
    """Return the value of a schedule at a share of the training."""
    return float(knots[min(int(share * len(knots)), len(knots) - 1)])


# ------------------------------------------------------------------------------------- values of what is seen


class Table:
    """Values of states.

    Parameters
    ----------
    learned : Learned
        Taken up and written into.
    encoder : object
        ``encoder.of(observations)`` gives the states of N observations, and may find new ones; ``encoder.n_states``.
    initial : float
        The value of a new state.
    """

    def __init__(self, learned, encoder, initial):
        self.Q, self.visits, self.encoder, self.initial = learned.Q.copy(), learned.visits.copy(), encoder, initial

    def seen(self, observations):
        """Return what stands for observations: their states, (N,)."""
        states = self.encoder.of(observations)
        if self.encoder.n_states > self.Q.shape[1]:
            self._grow(2 * self.encoder.n_states)
        return states

    def _grow(self, n_states):
        room = n_states - self.Q.shape[1]
        self.Q = np.pad(self.Q, ((0, 0), (0, room), (0, 0)), constant_values=self.initial)
        self.visits = np.pad(self.visits, ((0, room), (0, 0)))

    def values(self, seen, table=None):
        """Return the values of all actions, (N, A): of one table, or their mean."""
        if len(self.Q) == 1:
            return self.Q[0][seen]
        return 0.5 * (self.Q[0][seen] + self.Q[1][seen]) if table is None else self.Q[table, seen]

    def counts(self, seen):
        """Return how often each action was taken, (N, A)."""
        return self.visits[seen]

    def pairs(self, state, action):
        """Return the entries of the table that a pair is made of, and their weights."""
        return np.array([state * self.visits.shape[1] + action]), 1.0

    def learned(self, *done):
        """Return a copy of what is known."""
        n = self.encoder.n_states
        return Learned(self.Q[:, :n].copy(), self.visits[:n].copy(), *done, keys=getattr(self.encoder, "keys", None))


class Linear(Table):
    """Values that are sums of weights of features.

    Parameters
    ----------
    learned : Learned
        Taken up and written into; features stand in place of states.
    encoder : object
        ``encoder.of(observations)`` gives the indices (N, k) of features and their values (N, k).
    initial : float
        Not used: weights begin as `learned` has them.
    """

    def seen(self, observations):
        """Return what stands for observations: features, (N, 2, k), indices and values."""
        return np.stack(self.encoder.of(observations), axis=1)

    def _parts(self, seen):
        return seen[:, 0].astype(np.int64), seen[:, 1]

    def values(self, seen, table=None):
        """Return the values of all actions, (N, A): of one table, or their mean."""
        index, weight = self._parts(seen)
        if table is None and len(self.Q) > 1:
            Q = self.Q[:, index].mean(axis=0)
        else:
            Q = self.Q[table or 0][index]
        return (Q * weight[:, :, None]).sum(axis=1)

    def counts(self, seen):
        """Return how often each action was taken where the features were there, (N, A)."""
        index, _ = self._parts(seen)
        return self.visits[index].mean(axis=1)

    def pairs(self, seen, action):
        """Return the entries of the table that a pair is made of, and their weights."""
        there = seen[1] != 0
        return seen[0][there].astype(np.int64) * self.visits.shape[1] + action, seen[1][there]


# ------------------------------------------------------------------------------------------------------- walking


class Walk:
    """Copies of an environment in lockstep, and an agent that acts and learns in them.

    Each tick all copies choose, then all move, then all look ahead, then all learn, as the kernel ``episodes`` does.

    Parameters
    ----------
    vector : object
        The copies, as :mod:`skml.reinforcement.vector` describes them.
    rule : Rule
        What is learned.
    values : Table
        What is known; written into.
    seed : int
        Of all draws.
    learned : Learned
        Says how many steps and episodes went before.
    """

    def __init__(self, vector, rule, values, seed, learned):
        self.vector, self.rule, self.Q = vector, rule, values
        n = vector.n_envs
        self.n_steps, self.n_episodes, self.n_before = learned.n_steps, learned.n_episodes, learned.n_before
        first = learned.first_copy
        self.clock = np.zeros((n, 4), dtype=np.int64)
        _kernels.environments.seed_copies(seed, first, self.clock)
        self.carried, self.sums = np.full(n, -1), np.zeros((n, 2))
        self.memory = [[] for _ in range(n)]
        self.finished = []
        self.here = values.seen(vector.reset(seed, first))

    @property
    def done(self):
        """Steps and episodes so far."""
        return self.n_steps, self.n_episodes

    @property
    def size(self):
        """How many values there are."""
        return self.Q.Q.size

    def learned(self):
        """Return a copy of what is known."""
        return self.Q.learned(self.n_steps, self.n_episodes, self.n_before)

    def tick(self):
        """Take one step of all copies and learn from it."""
        share = share_done(self.rule, self.n_steps, self.n_episodes)
        self.rate, self.level = scheduled(self.rule.rates, share), scheduled(self.rule.levels, share)
        self.allowed = self.vector.action_mask
        draws = self._draws()
        actions = self._chosen(self.here, self.allowed, draws) if (self.carried < 0).any() else self.carried
        actions = np.where(self.carried >= 0, self.carried, actions)
        observation, reward, terminated, truncated, last = self.vector.step(actions + self.vector.action_space.start)
        ended = terminated | truncated
        there = self.Q.seen(last)
        follows = self.Q.seen(observation) if ended.any() else there
        live = np.ones(len(actions), dtype=bool) if self.vector.live is None else self.vector.live
        self.clock[live, 2] += 1
        mask = self._mask_after()
        self.carried = np.where(live, self._next_actions(there, mask), -1)
        worth = np.where(terminated, 0.0, self._worth(there, self.carried, mask))
        for i in np.flatnonzero(live).tolist():
            self._learn(i, int(actions[i]), float(reward[i]), ended[i], float(worth[i]))
        self._finish(np.flatnonzero(ended & live))
        self.here = follows
        self.n_steps += int(live.sum())

    def _draws(self):
        draws = np.empty((len(self.clock), 3))
        _kernels.environments.draws(self.clock, PURPOSE, draws)
        return draws

    def _chosen(self, seen, allowed, draws):
        rule = self.rule.exploration
        return choose(rule, self.level, self.Q.values(seen), self._counts(seen), allowed, draws)

    def _counts(self, seen):
        """Return how often actions were taken, if that matters."""
        return self.Q.counts(seen) if self.rule.exploration == UCB else None

    def _mask_after(self):
        """Return which actions there are where the step led to; all, where there are none."""
        mask = self.vector.last_mask
        return mask if mask is None else mask | ~mask.any(axis=1, keepdims=True)

    def _next_actions(self, there, mask):
        if self.rule.target != TAKEN:
            return np.full(len(self.carried), -1)
        return self._chosen(there, mask, self._draws())

    def _worth(self, there, actions, mask):
        """Return what the states that the step led to are worth, (N,)."""
        rule, rows = self.rule, np.arange(len(actions))
        if rule.target == TAKEN:
            return self.Q.values(there)[rows, actions]
        if rule.target == EXPECTED:
            return expected_value(rule.exploration, self.level, self.Q.values(there), self._counts(there), mask)
        if len(self.Q.Q) == 1:
            return _allowed(self.Q.values(there), mask).max(axis=1)
        self.learner = (self._draws()[:, COIN] < 0.5).astype(int)
        tables = [self.Q.values(there, table) for table in (0, 1)]
        best = [_allowed(values, mask).argmax(axis=1) for values in tables]
        # each table is judged by the other: Q_1(s, argmax Q_0(s, .))
        return np.where(self.learner, tables[0][rows, best[1]], tables[1][rows, best[0]])

    def _learn(self, i, action, reward, ended, worth):
        pairs, weights = self.Q.pairs(self.here[i], action)
        self.Q.visits.reshape(-1)[pairs] += 1
        self.sums[i, 0] += reward
        norm = np.dot(weights, weights)
        if self.rule.trace_decay > 0:
            self._learn_traces(i, action, (pairs, weights, norm), reward + self.rule.discount * worth, ended)
        else:
            self._learn_returns(i, (pairs, weights, norm, reward), ended, worth)

    def _learn_returns(self, i, step, ended, worth):
        """Learn G = r + discount r' + ... + discount^n V of the oldest pending pair; of all if the episode ended."""
        pending, table = self.memory[i], self.learner[i] if len(self.Q.Q) > 1 else 0
        pending.append(step)
        flat = self.Q.Q[table].reshape(-1)
        while len(pending) == self.rule.n_steps or (ended and pending):
            G = worth
            for *_, reward in reversed(pending):
                G = reward + self.rule.discount * G
            pairs, weights, norm, _ = pending.pop(0)
            delta = G - np.dot(flat[pairs], weights * np.ones(len(pairs)))
            flat[pairs] += self._rates(pairs) * delta * weights / norm
            self.sums[i, 1] += abs(delta)

    def _learn_traces(self, i, action, pair, target, ended):
        """Q <- Q + rate delta e for all pairs with a trace e, which fades by discount * trace_decay a step."""
        pairs, weights, norm = pair
        values = self.Q.values(self.here[i : i + 1])[0]
        allowed = values if self.allowed is None else values[self.allowed[i]]
        # Watkins: what led to an action that isn't the best learns nothing from it
        cut = self.rule.target == MAXIMUM and allowed.max() > values[action]
        old = self.memory[i][0] if self.memory[i] and not cut else (pairs[:0], np.empty(0))
        traced, traces = _faded(self.rule, *old, pairs, weights * np.ones(len(pairs)))
        delta, flat = target - values[action], self.Q.Q[0].reshape(-1)
        flat[traced] += self._rates(traced) * delta * traces / norm
        self.sums[i, 1] += abs(delta)
        self.memory[i] = [] if ended else [(traced, traces)]

    def _rates(self, pairs):
        """Return the learning rates of entries of the table."""
        if self.rule.rate == SCHEDULED:
            return self.rate
        n = self.Q.visits.reshape(-1)[pairs]
        return 1 / n if self.rule.rate == COUNTED else 1 / (1 + self.rate * (n - 1))

    def _finish(self, rows):
        """Write down episodes that ended, and begin the next."""
        for i in rows.tolist():
            length = int(self.clock[i, 2])
            self.finished.append((self.sums[i, 0], length, self.sums[i, 1] / length))
            self.memory[i] = []
        self.carried[rows], self.sums[rows] = -1, 0
        self.clock[rows, 1] += 1
        self.clock[rows, 2] = 0
        self.n_episodes += len(rows)


def _allowed(values, mask):
    return values if mask is None else np.where(mask, values, -np.inf)


def _faded(rule, pairs, traces, own, weights):
    """Return pairs and their traces one step later, those just visited last."""
    faded = traces * (rule.discount * rule.trace_decay)
    again = np.isin(pairs, own)
    if not rule.replacing:
        weights = weights + np.array([faded[pairs == pair].sum() for pair in own])
    kept = ~again & (faded >= NEGLIGIBLE)
    return np.concatenate([pairs[kept], own]), np.concatenate([faded[kept], weights])


def walk_steps(walk):
    """Yield a step whenever an episode ends, or now and then where they are short or long.

    Parameters
    ----------
    walk : Walk or TableWalk
        Goes on.

    Yields
    ------
    step : Step
        Its state is a :class:`Learned`; its metrics have an entry for each episode that ended.
    """
    (before, _), longest = walk.done, max(1, walk.rule.total_steps // 100)
    if is_over(walk.rule, *walk.done):  # nothing is left to do
        yield Step(walk.learned(), last=True)
        return
    while True:
        walk.tick()
        over, gone = is_over(walk.rule, *walk.done), walk.done[0] - before
        if over or gone >= longest or (walk.finished and gone * SHARE >= walk.size):
            finished = np.array(walk.finished, dtype=np.float64).reshape(-1, 3)
            walk.finished, before = [], walk.done[0]
            yield Step(walk.learned(), dict(zip(("return", "length", "td_error"), finished.T)), last=over)
        if over:
            return
