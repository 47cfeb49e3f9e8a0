"""Records: what copies of an environment in lockstep see, do and earn under a policy, T steps at a time."""

from dataclasses import dataclass, field, replace

import numpy as np

from skml import _kernels
from skml.base import require_memory
from skml.reinforcement.environments import Control, Table
from skml.reinforcement.policies import EVERYTHING, Softmax

WORK, OTHER = 2e8, 1000  # multiplications of a call, some 0.1 s; what a step costs besides those of the network


@dataclass(eq=False)
class Record:
    """T steps of N copies; a recorder writes into the same arrays again and again.

    Attributes
    ----------
    x : ndarray of shape ((2 T + 1) N, n_features)
        Features before each step, after the last one, and of what each truncated step led to, in order.
    actions : ndarray of shape (T, N) or (T, N, k)
        As the policy's distribution has them.
    reward : ndarray of shape (T, N), float64
        r_tp1.
    ended : ndarray of shape (2, T, N), uint8
        Whether terminated, and whether truncated.
    totals : ndarray of shape (T, N), float64
        What the episode had earned up to each step.
    there : ndarray of shape (T, N), bool, or None
        Which steps were any; None means all.
    allowed : ndarray of shape (T N, n_actions), uint8, or (0, 0)
        Which actions there were; all if it is empty.
    allowed_after : ndarray of shape (N + n_truncated, n_actions), uint8, or (0, 0)
        The same after the last step, and of what each truncated step led to.
    n_truncated : int
        How many steps were truncated.
    """

    x: np.ndarray
    actions: np.ndarray
    reward: np.ndarray
    ended: np.ndarray
    totals: np.ndarray
    there: np.ndarray | None = None
    allowed: np.ndarray = field(default_factory=lambda: EVERYTHING)
    allowed_after: np.ndarray = field(default_factory=lambda: EVERYTHING)
    n_truncated: int = 0

    @property
    def rows(self):
        """The features that were written."""
        T, N = self.reward.shape
        return self.x[: (T + 1) * N + self.n_truncated]

    @property
    def masks(self):
        """Which actions there were in each of `rows`, bool; None for all."""
        if not len(self.allowed) and not len(self.allowed_after):
            return None
        width, n_rows = max(self.allowed.shape[1], self.allowed_after.shape[1]), (self.reward.size, len(self.rows))
        lengths = n_rows[0], n_rows[1] - n_rows[0]
        parts = [
            part if len(part) else np.ones((length, width), np.uint8)
            for part, length in zip((self.allowed, self.allowed_after), lengths)
        ]
        return np.concatenate(parts).astype(bool)

    def copy(self):
        """Return the same in arrays of its own."""
        names = ("x", "actions", "reward", "ended", "totals", "there", "allowed", "allowed_after")
        arrays = {name: getattr(self, name) for name in names}
        return replace(self, **{name: None if array is None else array.copy() for name, array in arrays.items()})

    def finished(self):
        """Return what the episodes that ended have earned."""
        return self.totals[self.ended.any(axis=0)]


class Recorder:
    """Plays copies of an environment and writes down what happens.

    Parameters
    ----------
    vector : object
        Copies in lockstep, as :mod:`skml.reinforcement.vector` describes them.
    actor : Actor
        The policy; its encoder may be replaced between records.
    seed : int
        What chance depends on.
    n_steps : int
        T.
    go_on : bool, default=True
        Whether a copy whose episode ends begins the next one; else it is idle until `restart`.
    n_done : int, default=0
        The number of the first step.
    """

    def __init__(self, vector, actor, seed, n_steps, go_on=True, n_done=0):
        self.vector, self.actor, self.seed, self.go_on, self.n_done = vector, actor, seed, go_on, n_done
        T, N = n_steps, vector.n_envs
        rows, width = (2 * T + 1) * N, actor.encoder.n_features
        require_memory(rows * width * np.dtype(actor.dtype).itemsize, f"A record of {T:,} steps of {N:,} copies")
        x = np.empty((rows, width), dtype=actor.dtype)
        arrays = np.empty((T, N)), np.empty((2, T, N), dtype=np.uint8), np.empty((T, N))
        self.record = Record(x, actor.head.room(T, N), *arrays)
        self.running, self.idle = np.zeros(N), np.zeros(N, dtype=np.uint8)
        self.is_compiled = _is_compiled(vector, actor)
        masks = getattr(getattr(vector, "dynamics", None), "masks", None)
        self.masks = EVERYTHING if masks is None else np.ascontiguousarray(masks, dtype=np.uint8)
        self.first_action = getattr(vector.action_space, "start", 0)
        self.observation = vector.reset(seed, n_done * N)  # copies that have not played before

    def restart(self, seed, first):
        """Begin the episodes of copies numbered from `first`."""
        self.running[:], self.idle[:] = 0, 0
        self.observation = self.vector.reset(seed, first)

    def play(self, flat):
        """Let the copies act for T steps under the policy of some parameters.

        Parameters
        ----------
        flat : ndarray of shape (n_parameters,)
            Of the actor.

        Returns
        -------
        record : Record
            It holds until the next call.
        """
        (self._play_compiled if self.is_compiled else self._play_any)(flat)
        self.n_done += len(self.record.reward)
        return self.record

    def _play_compiled(self, flat):
        record, was_idle = self.record, self.idle.astype(bool)
        T, N = record.reward.shape
        piece = max(1, int(WORK / (N * (len(flat[self.actor.parts[0]]) + OTHER))))
        if piece < T:
            record.n_truncated = self._play_in_pieces(flat, piece)
        else:
            columns = record.actions, record.reward, record.ended, record.totals
            record.n_truncated = self._call(flat, 0, record.x, columns)
        if not self.go_on:
            over = record.ended.any(axis=0)
            record.there = (np.cumsum(over, axis=0) == over) & ~was_idle
        if len(self.masks):
            masks = self.masks[record.rows.argmax(axis=1)]
            record.allowed, record.allowed_after = masks[: record.reward.size], masks[record.reward.size :]

    def _play_in_pieces(self, flat, piece):
        """Do the same in calls of fewer steps, between which Python looks up."""
        record, cut = self.record, []
        T, N = record.reward.shape
        for start in range(0, T, piece):
            steps = slice(start, min(start + piece, T))
            ended = np.empty((2, steps.stop - start, N), np.uint8)
            columns = record.actions[steps], record.reward[steps], ended, record.totals[steps]
            n = self._call(flat, start, record.x[start * N :], columns)
            record.ended[:, steps] = ended
            cut.append(record.x[(steps.stop + 1) * N :][:n].copy())  # the next piece writes there
        rows = np.concatenate(cut)
        record.x[(T + 1) * N :][: len(rows)] = rows
        return len(rows)

    def _call(self, flat, start, x, columns):
        """Let a kernel play from step `start` on, and return how many steps were truncated."""
        kernel, task = self._task()
        net = flat[self.actor.parts[0]], self.actor.policy.table, self.actor.policy.code
        written = (*columns, self.running, self.idle)
        return kernel(task, net, self.seed, self.n_done + start, self.go_on, x, written)

    def _task(self):
        """Return the kernel that plays, and what it plays."""
        lockstep = self.vector.lockstep
        dynamics, where = lockstep.dynamics, (lockstep.clock, lockstep.states)
        if isinstance(dynamics, Control):
            scaling = self.actor.encoder.scaling
            return _kernels.rollouts.play_control, (dynamics.kind, dynamics.parameters, *where, scaling)
        return _kernels.rollouts.play_table, (dynamics.arrays, *where, self.masks)

    def _play_any(self, flat):
        record, vector, head = self.record, self.vector, self.actor.head
        T, N = record.reward.shape
        record.there, record.n_truncated, masks = np.empty((T, N), dtype=bool), 0, []
        self.cut_masks, self.cut_lengths = [], []
        for t in range(T):
            if self.idle.all():
                self._leave_out(t)
                break
            x = self._see(self.observation, t * N, N)
            allowed = _flags(vector.action_mask)
            masks.append(allowed)
            drawn = head.draw(*self._said(x, flat), allowed, self.seed, self.n_done + t)
            self._step(t, drawn)
        self._see(self.observation, T * N, N)
        record.allowed = _stacked(masks, [N] * T)
        record.allowed_after = _stacked([_flags(vector.action_mask), *self.cut_masks], [N, *self.cut_lengths])

    def _leave_out(self, t):
        """Write down that nothing is left to do from step t on."""
        record = self.record
        record.there[t:], record.reward[t:], record.ended[:, t:], record.totals[t:] = False, 0, 0, 0

    def _said(self, x, flat):
        """Return what the policy says of rows, and its spread."""
        return self.actor.judged(x, flat), flat[self.actor.parts[1]]

    def _see(self, observations, row, n):
        x = self.record.x[row : row + n]
        self.actor.encoder.features(observations, x.dtype, x)
        return x

    def _step(self, t, drawn):
        """Take one step of all copies and write it down."""
        record, head, vector = self.record, self.actor.head, self.vector
        played = drawn + self.first_action if isinstance(head, Softmax) else head.played(drawn)
        self.observation, reward, terminated, truncated, last = vector.step(played)
        there = self._there()
        record.actions[t], record.there[t] = drawn, True if there is None else there
        if there is not None:
            reward, terminated, truncated = np.where(there, reward, 0), terminated & there, truncated & there
        record.reward[t], record.ended[0, t], record.ended[1, t] = reward, terminated, truncated
        self.running += reward
        record.totals[t] = self.running
        if (over := terminated | truncated).any():
            self.running[over], self.idle[over] = 0, not self.go_on
            self._see_cut(last[truncated], None if vector.last_mask is None else vector.last_mask[truncated])

    def _there(self):
        """Return which copies the last step was a step of; None for all."""
        live = self.vector.live
        if self.go_on:
            return live
        return self.idle == 0 if live is None else live & (self.idle == 0)

    def _see_cut(self, last, mask):
        """Write down what truncated steps led to."""
        T, N = self.record.reward.shape
        if len(last):
            self.cut_masks.append(_flags(mask))
            self.cut_lengths.append(len(last))
            self._see(last, (T + 1) * N + self.record.n_truncated, len(last))
            self.record.n_truncated += len(last)


def _flags(mask):
    """Return a mask as kernels take it; that of all actions is empty."""
    return EVERYTHING if mask is None else np.ascontiguousarray(mask, dtype=np.uint8)


def _stacked(masks, lengths):
    """Return masks of so many rows each, one below the other, or none if all actions were always there."""
    if not any(len(mask) for mask in masks):
        return EVERYTHING
    width = max(mask.shape[1] for mask in masks)
    masks = [*masks, *[EVERYTHING] * (len(lengths) - len(masks))]
    return np.concatenate([mask if len(mask) else np.ones((n, width), np.uint8) for mask, n in zip(masks, lengths)])


def _is_compiled(vector, actor):
    """Tell whether a kernel plays these copies under this policy."""
    dynamics = getattr(getattr(vector, "lockstep", None), "dynamics", None)
    return isinstance(dynamics, (Control, Table)) and isinstance(actor.head, Softmax)
