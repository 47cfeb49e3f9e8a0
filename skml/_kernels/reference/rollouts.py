"""Twin of rollouts.pyx: copies of environments that act under a policy in plain NumPy."""

import numpy as np

from skml._kernels.reference.actors import act, forward
from skml._kernels.reference.environments import step_control, step_table
from skml._kernels.reference.fused import _same

_ALL = np.empty((0, 0), dtype=np.uint8)


def play_control(task, policy, seed, step, go_on, x, record):
    """Let copies of a control task act under a policy for T steps; return how many steps were truncated."""
    kind, parameters, clock, states, scaling = task

    def see(some):
        return (some.astype(np.float32) - scaling[0]) * scaling[1]

    def move(there, actions, reward, ended):
        some, last = (clock[there], states[there]), np.empty((there.sum(), states.shape[1]), np.float32)
        step_control(kind, parameters[there], actions, go_on, *some, np.empty_like(last), last, reward, ended)
        clock[there], states[there] = some
        return last

    _same(len(states) == record[0].shape[1], policy[1][-1] == (2, 3)[kind])
    return _play((see, move), states, lambda: _ALL, policy, (seed, step, go_on), x, record)


def play_table(task, policy, seed, step, go_on, x, record):
    """Let copies of a finite world act under a policy for T steps; return how many steps were truncated."""
    table, clock, states, masks = task

    def move(there, actions, reward, ended):
        some, last = (clock[there], states[there]), np.empty(there.sum(), np.int64)
        step_table(table, actions.astype(np.int64), go_on, *some, last, reward, ended)
        clock[there], states[there] = some
        return last

    S = len(table[7])
    _same(len(states) == record[0].shape[1], len(masks) in (0, S), states.min() >= 0, states.max() < S)
    worlds = (lambda some: np.eye(S)[some]), move
    return _play(worlds, states, lambda: masks[states] if len(masks) else _ALL, policy, (seed, step, go_on), x, record)


def _play(worlds, states, allowed, policy, chance, x, record):
    """Play T steps of N copies, which are seen and moved by two functions, and write them down."""
    (see, move), (seed, step, go_on), (actions, reward, ended, totals, running, idle) = worlds, chance, record
    (T, N), extra = actions.shape, 0
    _same(T > 0, N > 0, len(x) >= (2 * T + 1) * N, totals.shape == reward.shape == (T, N), ended.shape == (2, T, N))
    for t in range(T):
        seen, there = x[t * N : (t + 1) * N], idle == 0
        seen[:], reward[t], ended[:, t] = see(states), 0, 0
        act(_outputs(seen, *policy), allowed(), seed, step + t, actions[t])
        last = see(_moved(move, there, actions[t], reward[t], ended[:, t]))[ended[1, t, there] > 0]
        x[(T + 1) * N + extra : (T + 1) * N + extra + len(last)], extra = last, extra + len(last)
        _tally(there, go_on, ended[:, t].any(axis=0), actions[t], reward[t], totals[t], running, idle)
    x[T * N : (T + 1) * N] = see(states)
    return extra


def _moved(move, there, actions, reward, ended):
    """Let the copies that are there take a step; return what it led to."""
    paid, over = reward[there], ended[:, there]
    last = move(there, actions[there], paid, over)
    reward[there], ended[:, there] = paid, over
    return last


def _tally(there, go_on, over, actions, reward, totals, running, idle):
    """Add up what episodes earn, and see which copies are idle from now on."""
    actions[~there], running[there] = 0, running[there] + reward[there]
    totals[:] = np.where(there, running, 0)
    running[over] = 0
    idle[over] = not go_on


def _outputs(x, w, sizes, activation):
    """Return what a network makes of rows."""
    y = np.empty(len(x) * sizes[1:].sum(), x.dtype)
    forward(x, w, sizes, activation, y, 1)
    return y[-len(x) * sizes[-1] :].reshape(len(x), -1)
