"""Descents to ever lower objectives: each state pushed on along the step before, until next to nothing is gained."""

from dataclasses import dataclass

import numpy as np

from skml.base import Step


@dataclass(frozen=True)
class Motion:
    """Where a descent is, and all that its next step depends on: from here it goes on as if it had not been cut short.

    Attributes
    ----------
    current : object
        The state, with an `objective` and the weighted `squared_error` of all interactions.
    before : object or None
        The state before, along the step from which the next one is pushed; None at the start.
    momentum : float
        Of what the push grows with.
    """

    current: object
    before: object = None
    momentum: float = 1.0


def accelerated(motion, move):
    """Yield motions of ever lower objective, each moved on from the last and pushed along the step before.

    The push grows as in Nesterov's method (1983) and starts anew after a push that has raised the objective, which is
    taken back (O'Donoghue & Candes 2015; for alternating non-negative factors Ang & Gillis 2019).

    Parameters
    ----------
    motion : Motion
        Where to start.
    move : callable
        ``move(current, before, push)`` returns the next state; with a push of 0 it never has a larger objective.

    Yields
    ------
    motion : Motion
        Without end.
    """
    while True:
        current, before, momentum = motion.current, motion.before, motion.momentum
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        push = (momentum - 1) / following
        after = move(current, before, push)
        if push > 0 and after.objective > current.objective:
            after, following = move(current, None, 0.0), 1.0
        if after.objective > current.objective:  # nothing is left but rounding
            after = current
        motion = Motion(after, current, following)
        yield motion


def descent_steps(motions, before, total_weight, max_iter, tol):
    """Yield a step for each motion, until one lowers the objective by no more than `tol` times itself.

    Parameters
    ----------
    motions : iterator of Motion
        Of ever lower objective.
    before : float
        The objective of the sweep before; inf where there is none, so that there are at least two.
    total_weight : float
        Of all interactions.
    max_iter : int
        At most so many.
    tol : float
        Of the objective.

    Yields
    ------
    step : Step
        State :class:`Motion`; metrics "objective" and "rmse".
    """
    for n_iter, motion in zip(range(1, max_iter + 1), motions):
        objective = motion.current.objective
        last = bool(before - objective <= tol * abs(objective) or n_iter == max_iter)
        yield step_of(motion, total_weight, last)
        if last:
            return
        before = objective


def finite(steps, dtype):
    """Yield steps as long as their objective is finite.

    Parameters
    ----------
    steps : iterator of Step
        With the metric "objective".
    dtype : dtype
        In which they are computed.

    Yields
    ------
    step : Step
        The same.

    Raises
    ------
    ValueError
        If ratings, weights and penalties together have left the range of the type.
    """
    for step in steps:
        if not np.isfinite(step.metrics["objective"]):
            raise ValueError(
                f"What is minimised is not finite: together ratings, weights and penalties are beyond {dtype.name}. "
                "Bring ratings and weights nearer to 1" + (", or use float64." if dtype.itemsize < 8 else ".")
            )
        yield step


def step_of(motion, total_weight, last):
    """Return the step that ends in a motion."""
    rmse = float(np.sqrt(motion.current.squared_error / total_weight)) if total_weight else 0.0
    return Step(motion, {"objective": motion.current.objective, "rmse": rmse}, last)
