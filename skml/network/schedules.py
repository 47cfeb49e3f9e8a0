"""Schedules: what the learning rate is multiplied with in a step of so many."""

import functools
import math

__all__ = ["SCHEDULES", "constant", "cosine", "one_cycle", "schedule", "stepwise"]


def constant(step, total):
    """Return 1.

    Parameters
    ----------
    step : int
        The number of the step, from 0.
    total : int
        How many steps there are.

    Returns
    -------
    factor : float
        One.

    Examples
    --------
    >>> from skml.network import constant
    >>> constant(3, 10)
    1.0
    """
    return 1.0


def stepwise(step, total, *, drop=0.1, every=0.33):
    """Return `drop` to the power of how many times a share `every` of all steps has gone by.

    Parameters
    ----------
    step : int
        The number of the step, from 0.
    total : int
        How many steps there are.
    drop : float, default=0.1
        The factor between one stair and the next.
    every : float, default=0.33
        The length of a stair, as a share of all steps.

    Returns
    -------
    factor : float
        In (0, 1] if `drop` is.

    Examples
    --------
    >>> from skml.network import stepwise
    >>> [stepwise(step, 8, drop=0.5, every=0.25) for step in range(8)]
    [1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125]
    """
    length = max(1, round(every * total))
    return float(drop ** (step // length))


def cosine(step, total, *, warmup=0.0, least=0.0):
    """Rise in a straight line to 1, then fall along half a cosine (Loshchilov & Hutter 2017, equation 5).

    Parameters
    ----------
    step : int
        The number of the step, from 0.
    total : int
        How many steps there are.
    warmup : float, default=0.0
        The share of all steps in which to rise; in the first of n it is 1 / n.
    least : float, default=0.0
        What the cosine falls to, just after the last step.

    Returns
    -------
    factor : float
        In [least, 1].

    Examples
    --------
    >>> from skml.network import cosine
    >>> [round(cosine(step, 6, warmup=1 / 3), 3) for step in range(6)]
    [0.5, 1.0, 1.0, 0.854, 0.5, 0.146]
    """
    rise = round(warmup * total)
    if step < rise:
        return (step + 1) / rise
    done = min(1.0, (step - rise) / max(1, total - rise))
    return least + (1 - least) * (1 + math.cos(math.pi * done)) / 2


def one_cycle(step, total, *, rise=0.3, start=0.04, end=4e-6):
    """Rise along half a cosine from `start` to 1, then fall along another to `end` (Smith & Topin 2018).

    Parameters
    ----------
    step : int
        The number of the step, from 0.
    total : int
        How many steps there are.
    rise : float, default=0.3
        The share of all steps in which to rise.
    start : float, default=0.04
        The factor in the first step.
    end : float, default=4e-06
        The factor in the last step.

    Returns
    -------
    factor : float
        In [min(start, end), 1].

    Examples
    --------
    >>> from skml.network import one_cycle
    >>> [round(one_cycle(step, 5, rise=0.6, start=0.2, end=0.0), 3) for step in range(5)]
    [0.2, 0.6, 1.0, 0.5, 0.0]
    """
    top, last = rise * total - 1, total - 1
    if step <= top and top > 0:
        return _between(start, 1.0, step / top)
    return _between(1.0, end, min(1.0, (step - max(top, 0)) / max(1e-9, last - max(top, 0))))


def _between(first, second, done):
    """Go from `first` to `second` along half a cosine."""
    return second + (first - second) * (1 + math.cos(math.pi * done)) / 2


SCHEDULES = {
    "constant": constant,
    "step": stepwise,
    "cosine": functools.partial(cosine, warmup=0.05),
    "one_cycle": one_cycle,
}


def schedule(name):
    """Return a schedule by its name, or the function that was given instead.

    Parameters
    ----------
    name : {"constant", "step", "cosine", "one_cycle"} or callable
        "cosine" warms up over the first twentieth of all steps. A function gets (step, total).

    Returns
    -------
    schedule : callable
        Of (step, total).

    Raises
    ------
    ValueError
        If there is none of that name.

    Examples
    --------
    >>> from skml.network import schedule
    >>> schedule("constant")(0, 10)
    1.0
    """
    if callable(name):
        return name
    if not isinstance(name, str) or name not in SCHEDULES:
        raise ValueError(f"There is no schedule {name!r}; there are {', '.join(map(repr, SCHEDULES))}.")
    return SCHEDULES[name]
