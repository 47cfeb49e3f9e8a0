"""Value iteration: sweeps of the Bellman operator until they change next to nothing."""

from dataclasses import dataclass

import numpy as np

from skml._kernels import bellman, breathe
from skml.base import Step
from skml.reinforcement.bellman import WORK, finite_rounding, policy_model, rounding, shifted, sweep
from skml.reinforcement.endings import refuse_circles

# An evaluation of the policy ends when its error is this part of what the last improvement found.
ENOUGH = 0.1
FEW = 3  # sweeps over a policy
PATIENCE = 16  # iterations after which circles that pay are looked for, and again after twice as many


@dataclass(frozen=True)
class Ending:
    """When a run of value iteration ends.

    Attributes
    ----------
    tol : float
        The largest Bellman residual.
    max_iter : int
    n_evaluations : int
        Sweeps over the policy at most, after each improvement, where the algorithm has them.
    """

    tol: float
    max_iter: int
    n_evaluations: int = 0


def _size(low, high):
    return max(abs(low), abs(high), 0.0) if np.isfinite(low) else 0.0


def _steps(model, ending, v, move):
    """Yield a Step after each ``move(v, i) -> (v, residual)``, until the residual is small enough."""
    for i in range(ending.max_iter):
        v, residual = move(v, i)
        if model.discount == 1 and i >= PATIENCE and i & (i - 1) == 0:
            refuse_circles(model, v, i)
        done = residual <= max(ending.tol, finite_rounding(model, v))
        yield Step(v, {"residual": residual}, last=bool(done or i == ending.max_iter - 1))
        if done:
            return


def synchronous(model, ending, v):
    """Yield values after each v <- T v, moved to the middle of MacQueen's bounds where no episode ends."""

    def move(v, i):
        w, _, low, high = sweep(model, v)
        return shifted(model, w, low, high), _size(low, high)

    return _steps(model, ending, v, move)


def gauss_seidel(model, ending, v):
    """Yield values after each sweep that uses new values at once; forward and backward in turn.

    The residual is the largest change: T v of the new values is nearer to them than that.
    """

    def move(v, i):
        w, _, low, high = sweep(model, v, in_place=True, backward=i % 2 == 1)
        return w, _size(low, high)

    return _steps(model, ending, v, move)


def modified(model, ending, v):
    """Yield values after each improvement of the policy and some sweeps over the new one (Puterman & Shin 1978)."""

    def move(v, i):
        w, pairs, low, high = sweep(model, v)
        residual = _size(low, high)
        w = shifted(model, w, low, high)
        if residual > max(ending.tol, rounding(model, w)):
            w = evaluated(model, w, pairs, ENOUGH * residual, ending.n_evaluations)
        return w, residual

    return _steps(model, ending, v, move)


def evaluated(model, v, pairs, tolerance, n_sweeps):
    """Return the values of a policy: v <- r + discount P v until it changes by the tolerance, or `n_sweeps`."""
    for i in range(n_sweeps):
        if i % 16 == 0:
            enough = max(tolerance, rounding(model, v))
        if i == FEW:  # from here on it pays to have the rows next to each other
            model, pairs = policy_model(model, pairs), None
        v, _, low, high = sweep(model, v, pairs, in_place=not model.endless, backward=i % 2 == 0)
        v = shifted(model, v, low, high)
        # Where values were moved, what is left of the change is half its spread.
        error = _size(low, high) if not model.endless or model.flow[1] >= 1 else (high - low) / 2
        if error <= enough:
            break
    return v


def prioritized(model, ending, v, before):
    """Yield values after each n_states backups, largest bound of the Bellman error first (Moore & Atkeson 1993).

    `before` is CSR (n_states, n_states): row s holds who leads to s and how probably at most.
    """
    w, _, _, _ = sweep(model, v)
    priority = np.abs(w - v)[:-1]
    room = np.empty((2, model.n_states), dtype=np.int32)
    rows = (before.indptr, before.indices, before.data)

    def move(v, i):
        v, left = v.copy(), model.n_states
        tolerance = max(ending.tol, rounding(model, v))
        while left > 0:
            n = bellman.sweep_by_priority(
                *(model.firsts, model.lasts, *model.table, model.discount, *rows),
                *(v, priority, room, tolerance, left, WORK // 4),
            )
            breathe()
            left = left - n if n else 0
        return v, float(priority.max())

    return _steps(model, ending, v, move)


def backward_induction(model, horizon):
    """Yield (values, pairs, n): lists that grow, whose first n entries are for 1, ..., n steps to go (Bellman 1957)."""
    v, values, pairs = np.zeros(model.n_states + 1), [], []
    for n in range(1, horizon + 1):
        v, chosen, low, high = sweep(model, v)
        finite_rounding(model, v)
        values.append(v)
        pairs.append(chosen)
        yield Step((values, pairs, n), {"residual": _size(low, high)}, last=n == horizon)
