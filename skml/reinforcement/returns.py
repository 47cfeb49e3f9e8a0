"""Returns: what the rewards of a record add up to, from each of its steps on.

T steps of N environments in lockstep stand in arrays of shape (T, N). An episode that terminated has nothing after it;
one that was truncated goes on where nobody looks, so the value of its last state stands for the rest.
"""

import numpy as np

from skml import _kernels

__all__ = ["discounted_returns", "explained_variance", "generalized_advantages", "n_step_returns"]


def discounted_returns(reward, terminated=None, truncated=None, last_value=0.0, *, discount=0.99):
    """Return what follows each step: G_t = r_tp1 + discount G_tp1.

    Parameters
    ----------
    reward : array-like of shape (T,) or (T, N)
        r_tp1, of each step.
    terminated : array-like of the shape of reward, bool, or None, default=None
        Whether the episode ended with the step, so that nothing comes after it. None means nowhere.
    truncated : array-like of the shape of reward, bool, or None, default=None
        Whether the record of the episode was cut off with the step. None means nowhere but at the end.
    last_value : array-like, default=0.0
        The value of what each step led to, of the shape of reward or one that broadcasts to it; it counts where the
        episode was truncated, and at the end of the record.
    discount : float, default=0.99
        Of rewards, from 0 to 1.

    Returns
    -------
    returns : ndarray of the shape of reward, float64
        G_t.

    Raises
    ------
    ValueError
        If the shapes disagree.

    Examples
    --------
    >>> from skml.reinforcement.returns import discounted_returns
    >>> discounted_returns([1.0, 1.0, 1.0], discount=0.5)
    array([1.75, 1.5 , 1.  ])
    >>> discounted_returns([1.0, 1.0, 1.0], terminated=[False, True, False], last_value=8.0, discount=0.5)
    array([1.5, 1. , 5. ])
    """
    reward = _floats(reward, "reward")
    nothing = np.zeros_like(reward)
    last = np.broadcast_to(np.asarray(last_value, dtype=np.float64), reward.shape)
    truncated = _ends(truncated, reward)
    # without values, delta_t is r_tp1; the value of the last state is part of it where a record ends
    bootstrapped = reward + np.where(truncated, discount * last, 0.0)
    ended = _flags(terminated, reward) | truncated
    if terminated is not None:
        bootstrapped = np.where(_flags(terminated, reward), reward, bootstrapped)
    return _advantages(bootstrapped, (nothing, nothing), (np.zeros_like(ended), ended), discount, 1.0)


def n_step_returns(reward, value, next_value, terminated=None, truncated=None, *, discount=0.99, n_steps=5):
    """Return what n steps earn and what is expected after them.

    G_t = r_tp1 + discount r_tp2 + ... + discount^(n - 1) r_tpn + discount^n V(s_tpn), with fewer steps where the record
    of the episode ends before.

    Parameters
    ----------
    reward : array-like of shape (T,) or (T, N)
        r_tp1, of each step.
    value : array-like of the shape of reward
        V(s_t), of the state before each step; it isn't looked at where n_steps goes beyond the record.
    next_value : array-like of the shape of reward
        V(s_tp1), of the state that each step itself led to: at the end of an episode not that of the next one.
    terminated, truncated : array-like of the shape of reward, bool, or None, default=None
        Whether the episode ended with the step, or its record was cut off. None means nowhere.
    discount : float, default=0.99
        Of rewards, from 0 to 1.
    n_steps : int, default=5
        How many rewards are summed up at most.

    Returns
    -------
    returns : ndarray of the shape of reward, float64
        G_t.

    Raises
    ------
    ValueError
        If the shapes disagree or `n_steps` is not positive.

    Examples
    --------
    >>> from skml.reinforcement.returns import n_step_returns
    >>> n_step_returns([1.0, 1.0, 1.0], [0.0, 8.0, 8.0], [8.0, 8.0, 8.0], discount=0.5, n_steps=2)
    array([3.5, 3.5, 5. ])
    """
    reward, value, next_value = (_floats(a, name) for a, name in ((reward, "reward"), (value, "v"), (next_value, "v")))
    if n_steps < 1:
        raise ValueError(f"n_steps must be at least 1, got {n_steps}.")
    if not reward.shape == value.shape == next_value.shape:
        raise ValueError("reward, value and next_value must be of one shape.")
    over = _flags(terminated, reward)
    ended = over | _ends(truncated, reward)
    after = np.where(over, 0.0, next_value)
    total = reward + discount * after
    for _ in range(n_steps - 1):
        # G_t^(n) = r_tp1 + discount G_tp1^(n - 1)
        total = np.where(ended, reward + discount * after, reward + discount * np.append(total[1:], total[-1:], axis=0))
    return total


def generalized_advantages(
    reward, value, next_value, terminated=None, truncated=None, *, discount=0.99, gae_lambda=1.0
):
    """Return how much better each step went than was expected (Schulman et al. 2016, equation 16).

    A_t = sum_k (discount gae_lambda)^k delta_tpk, delta_t = r_tp1 + discount V(s_tp1) - V(s_t): with gae_lambda = 0 the
    error of one step, with 1 the return up to the end of the record, what is expected after it included, less V(s_t).

    Parameters
    ----------
    reward : array-like of shape (T,) or (T, N)
        r_tp1, of each step.
    value : array-like of the shape of reward
        V(s_t), of the state before each step.
    next_value : array-like of the shape of reward
        V(s_tp1), of the state that each step itself led to: at the end of an episode not that of the next one.
    terminated, truncated : array-like of the shape of reward, bool, or None, default=None
        Whether the episode ended with the step, or its record was cut off. None means nowhere.
    discount : float, default=0.99
        Of rewards, from 0 to 1.
    gae_lambda : float, default=1.0
        What is kept of later errors, from 0 to 1.

    Returns
    -------
    advantages : ndarray of the shape of reward, float64
        A_t.

    Raises
    ------
    ValueError
        If the shapes disagree.

    Examples
    --------
    >>> from skml.reinforcement.returns import generalized_advantages
    >>> generalized_advantages([1.0, 1.0], [0.0, 0.5], [0.5, 4.0], [False, True], discount=0.5, gae_lambda=0.5)
    array([1.375, 0.5  ])
    """
    reward, value, next_value = (_floats(a, name) for a, name in ((reward, "reward"), (value, "v"), (next_value, "v")))
    flags = _flags(terminated, reward), _ends(truncated, reward)
    return _advantages(reward, (value, next_value), flags, discount, gae_lambda)


def _advantages(reward, values, flags, discount, gae_lambda):
    """Return advantages of arrays of any number of axes after the first."""
    steps = len(reward)
    arrays = [np.ascontiguousarray(array).reshape(steps, -1) for array in (reward, *values)]
    flags = [np.ascontiguousarray(flag, dtype=np.uint8).reshape(steps, -1) for flag in flags]
    out = np.empty_like(arrays[0])
    _kernels.actors.advantages(*arrays, *flags, discount, gae_lambda, out)
    return out.reshape(reward.shape)


def explained_variance(value, returns):
    """Return what share of the variance of returns a critic knows beforehand: 1 - Var(G - V) / Var(G).

    Parameters
    ----------
    value, returns : array-like of shape (n,)
        What was expected, and what came.

    Returns
    -------
    share : float
        At most 1; 0 is what a constant explains, below it a critic is worse than none. 0 where returns don't vary.

    Examples
    --------
    >>> from skml.reinforcement.returns import explained_variance
    >>> explained_variance([1.0, 2.0, 3.0], [2.0, 4.0, 6.0])
    0.75
    """
    value, returns = np.asarray(value, dtype=np.float64), np.asarray(returns, dtype=np.float64)
    variance = returns.var()
    return float(1 - (returns - value).var() / variance) if variance > 0 else 0.0


def _floats(values, name):
    values = np.asarray(values, dtype=np.float64)
    if values.ndim == 0 or len(values) == 0:
        raise ValueError(f"{name} must hold one step at least.")
    return values


def _flags(flags, reward):
    if flags is None:
        return np.zeros(reward.shape, dtype=bool)
    flags = np.asarray(flags, dtype=bool)
    if flags.shape != reward.shape:
        raise ValueError(f"terminated and truncated must have the shape of reward, {reward.shape}, got {flags.shape}.")
    return flags


def _ends(truncated, reward):
    """Return where records end: where they were truncated, and at the last step."""
    flags = _flags(truncated, reward).copy()
    flags[-1] = True
    return flags
