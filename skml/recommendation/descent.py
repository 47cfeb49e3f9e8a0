"""Descents to ever lower objectives: each state pushed on along the step before, until next to nothing is gained."""

import numpy as np

from skml.base import Step


def accelerated(current, move):
    """Yield states of ever lower objective, each moved on from the last and pushed along the step before.

    The push grows as in Nesterov's method (1983) and starts anew after a push that has raised the objective, which is
    taken back (O'Donoghue & Candes 2015; for alternating non-negative factors Ang & Gillis 2019).

    Parameters
    ----------
    current : object
        The state to start from, with an `objective`.
    move : callable
        ``move(current, before, push)`` returns the next state; with a push of 0 it never has a larger objective.

    Yields
    ------
    state : object
        Without end.
    """
    before, momentum = current, 1.0
    while True:
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        push = (momentum - 1) / following
        after = move(current, before, push)
        if push > 0 and after.objective > current.objective:
            after, following = move(current, current, 0.0), 1.0
        if after.objective > current.objective:  # nothing is left but rounding
            after = current
        before, current, momentum = current, after, following
        yield current


def descent_steps(states, before, total_weight, max_iter, tol):
    """Yield a step for each state, until one lowers the objective by no more than `tol` times itself.

    Parameters
    ----------
    states : iterator of object
        Each with an `objective` and the weighted `squared_error` of all interactions.
    before : float
        The objective at the start.
    total_weight : float
        Of all interactions.
    max_iter : int
        At most so many.
    tol : float
        Of the objective.

    Yields
    ------
    step : Step
        Metrics "objective" and "rmse".
    """
    for n_iter, state in zip(range(1, max_iter + 1), states):
        last = bool(before - state.objective <= tol * before or n_iter == max_iter)
        yield step_of(state, total_weight, last)
        if last:
            return
        before = state.objective


def step_of(state, total_weight, last):
    """Return the step that ends in a state."""
    rmse = float(np.sqrt(state.squared_error / max(total_weight, 1e-300)))
    return Step(state, {"objective": state.objective, "rmse": rmse}, last)
