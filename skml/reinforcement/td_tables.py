"""Temporal differences on finite worlds: the whole loop of episodes compiled, over tables of outcomes."""

import math
from dataclasses import dataclass

import numpy as np

from skml import _kernels
from skml.base import Step
from skml.reinforcement.td import Learned, is_over, trace_width

TASKS = 100  # into which a training is divided
LONGEST = 1e8  # nanoseconds that a call may take, roughly
ROOM = 4096  # episodes that a call may finish


@dataclass(frozen=True)
class Worlds:
    """Tables of outcomes, one world after another, as the kernel reads them.

    Attributes
    ----------
    offsets : ndarray of shape (n_worlds * n_states + 1,), int32
        The pairs of each state.
    pair_actions, indptr, cumulative, next_states, rewards, ends : ndarray
        As of :class:`skml.reinforcement.mdp.Outcomes`.
    starts : ndarray of shape (n_worlds, n_states), float64
        Running sums of the start distributions.
    n_actions : int
        Of all states together.
    world_of : ndarray of shape (n_copies,), int32
        The world of each copy.
    """

    offsets: np.ndarray
    pair_actions: np.ndarray
    indptr: np.ndarray
    cumulative: np.ndarray
    next_states: np.ndarray
    rewards: np.ndarray
    ends: np.ndarray
    starts: np.ndarray
    n_actions: int
    world_of: np.ndarray


@dataclass
class Loop:
    """What goes on from call to call; the kernel writes into all of it.

    Attributes
    ----------
    Q : ndarray of shape (n_tables, n_states, n_actions), float64
        Values; two tables for double learning.
    visits : ndarray of shape (n_states, n_actions), int64
        How often each pair was taken.
    clock : ndarray of shape (n_copies, 4), int64
        Stream, episode, step and limit of each copy.
    places : ndarray of shape (n_copies, 2), int64
        State and pair; -1 where not known yet.
    sums : ndarray of shape (n_copies, 2), float64
        Of the episode so far: rewards and absolute errors.
    memory, weights : ndarray of shape (n_copies, width)
        Pairs that await their return, with rewards; or pairs that have a trace, with it.
    held : ndarray of shape (n_copies,), int64
        How many of them.
    done : ndarray of shape (2,), int64
        Steps and episodes so far.
    moves, gains, worths, scores, finished : ndarray
        Room for what a tick does, and for episodes that end.
    """

    Q: np.ndarray
    visits: np.ndarray
    clock: np.ndarray
    places: np.ndarray
    sums: np.ndarray
    memory: np.ndarray
    weights: np.ndarray
    held: np.ndarray
    done: np.ndarray
    moves: np.ndarray
    gains: np.ndarray
    worths: np.ndarray
    scores: np.ndarray
    finished: np.ndarray


GOING_ON = ("clock", "places", "sums", "memory", "weights", "held", "done")  # of a loop that is taken up again


def stack_worlds(tables, world_of):
    """Return tables of outcomes as one.

    Parameters
    ----------
    tables : list of skml.reinforcement.environments.Table
        Of equally many states and actions.
    world_of : array-like of shape (n_copies,)
        The table that each copy plays.

    Returns
    -------
    worlds : Worlds
        A single table is shared, not copied.

    Raises
    ------
    ValueError
        If they hold more pairs or outcomes than 32-bit indices can count.
    """
    columns = list(zip(*(table.arrays for table in tables)))
    offsets, indptr = (_stacked_bounds(columns[k]) for k in (0, 2))
    actions, cumulative, next_states, rewards, ends = (
        columns[k][0] if len(tables) == 1 else np.concatenate(columns[k]) for k in (1, 3, 4, 5, 6)
    )
    starts, world_of = np.stack(columns[7]), np.asarray(world_of, dtype=np.int32)
    return Worlds(
        offsets, actions, indptr, cumulative, next_states, rewards, ends, starts, tables[0].n_actions, world_of
    )


def _stacked_bounds(bounds):
    """Return the bounds of slices, one after the other."""
    if len(bounds) == 1:
        return bounds[0]
    before = np.cumsum([0, *(int(some[-1]) for some in bounds)])
    if before[-1] > np.iinfo(np.int32).max:
        raise ValueError(f"The environments have {before[-1]:,} outcomes together, more than can be played at once.")
    return np.concatenate([[0], *(some[1:] + n for some, n in zip(bounds, before))]).astype(np.int32)


def new_loop(rule, learned, seed, limits):
    """Return a loop that begins.

    Parameters
    ----------
    rule : Rule
        What is learned.
    learned : Learned
        What is known; it is copied.
    seed : int
        Of all draws.
    limits : array-like of shape (n_copies,), int
        The most steps of an episode of each copy; 0 for no limit.

    Returns
    -------
    loop : Loop
        Going on where `learned` stopped, if it stopped in the middle of such a loop.
    """
    n, width = len(limits), max(rule.n_steps, trace_width(rule, learned.visits.size))
    clock = np.zeros((n, 4), dtype=np.int64)
    _kernels.environments.seed_copies(seed, learned.first_copy, clock)
    clock[:, 3] = limits
    loop = Loop(
        Q=learned.Q.copy(),
        visits=learned.visits.copy(),
        clock=clock,
        places=np.full((n, 2), -1),
        sums=np.zeros((n, 2)),
        memory=np.zeros((n, width), dtype=np.int64),
        weights=np.zeros((n, width)),
        held=np.zeros(n, dtype=np.int64),
        done=np.array([learned.n_steps, learned.n_episodes]),
        moves=np.zeros((n, 3), dtype=np.int64),
        gains=np.zeros(n),
        worths=np.zeros(n),
        scores=np.zeros(learned.visits.shape[1]),
        finished=np.zeros((max(ROOM, n), 3)),
    )
    before = learned.loop
    if before is not None and all(before[name].shape == getattr(loop, name).shape for name in GOING_ON):
        vars(loop).update({name: before[name].copy() for name in GOING_ON})
        loop.clock[:, 3] = limits
    return loop


def table_steps(worlds, rule, loop, n_before=0):
    """Yield a step for each hundredth of the training.

    Parameters
    ----------
    worlds : Worlds
        Where to act.
    rule : Rule
        What is learned, and how long.
    loop : Loop
        Where it goes on from; written into.
    n_before : int, default=0
        Steps of earlier trainings.

    Yields
    ------
    step : Step
        Its state is a :class:`~skml.reinforcement.td.Learned`; its metrics have an entry for each episode that ended.
    """
    task = math.ceil(rule.total_steps / TASKS)
    while True:
        finished = _played(worlds, rule, loop, min(rule.total_steps, (loop.done[0] // task + 1) * task))
        going_on = {name: getattr(loop, name).copy() for name in GOING_ON}
        learned = Learned(loop.Q.copy(), loop.visits.copy(), int(loop.done[0]), int(loop.done[1]), n_before, going_on)
        metrics = dict(zip(("return", "length", "td_error"), finished.T))
        over = is_over(rule, *loop.done)
        yield Step(learned, metrics, last=over)
        if over:
            return


def _played(worlds, rule, loop, until):
    """Play until so many steps are done in all, or the training is over; return the episodes that ended, (n, 3)."""
    n_copies, n_actions = len(loop.places), len(loop.scores)
    cost = n_copies * (100 + 10 * n_actions + 4 * loop.memory.shape[1])
    finished = []
    while loop.done[0] < until and not is_over(rule, *loop.done):
        ticks = min(math.ceil((until - loop.done[0]) / n_copies), max(1, int(LONGEST / cost)))
        finished.append(loop.finished[: _kernels.episodes.run_episodes(worlds, rule, loop, ticks)].copy())
    return np.concatenate([np.empty((0, 3)), *finished])
