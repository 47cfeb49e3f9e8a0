"""Iterations made faster by pushing each state on along the step before."""

import numpy as np


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
