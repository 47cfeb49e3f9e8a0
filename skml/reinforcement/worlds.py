"""Where agents act: environments and decision processes, alone or in a list, and what observations there look like."""

import inspect

import numpy as np
from sklearn.utils import check_array

from skml._dtypes import kept_dtype
from skml.reinforcement.mdp import FiniteMDP
from skml.reinforcement.spaces import Box, Discrete, MultiDiscrete, flat_space


def is_world(thing):
    """Tell whether something is an environment or a decision process.

    Parameters
    ----------
    thing : object
        Anything.

    Returns
    -------
    is_world : bool
        Whether it is a FiniteMDP, or has the methods ``reset`` and ``step``.
    """
    return isinstance(thing, FiniteMDP) or (hasattr(thing, "reset") and hasattr(thing, "step"))


def worlds_of(X):
    """Return the environments that X is, or None if it is something else.

    Parameters
    ----------
    X : object
        What an estimator is given.

    Returns
    -------
    worlds : list or None
        Environments and decision processes.

    Raises
    ------
    ValueError
        If X is an empty list, a class of environments, the name of one, or holds something else besides.
    """
    if is_world(X):
        if inspect.isclass(X):
            raise ValueError(f"X is the class {X.__name__}; give an environment of it, {X.__name__}(...).")
        return [X]
    if isinstance(X, str):
        raise ValueError(f"X is the text {X!r}; give the environment itself, as from gymnasium.make({X!r}).")
    if isinstance(X, (list, tuple)) and len(X) == 0:
        raise ValueError("X is empty; there is no environment to act in, nor a step to learn from.")
    column = getattr(getattr(X, "dtype", None), "kind", "") == "O" and X.ndim == 1  # of NumPy or pandas
    if not (column or isinstance(X, (list, tuple))) or not any(map(is_world, X)):
        return None
    if others := [thing for thing in X if not is_world(thing)]:
        raise ValueError(f"X holds environments and also {others[0]!r}, which has no reset and step.")
    return [world for one in X for world in worlds_of(one)]


def common_spaces(worlds):
    """Return the spaces that environments have in common.

    Parameters
    ----------
    worlds : list
        Environments and decision processes.

    Returns
    -------
    observation_space, action_space : Discrete, MultiDiscrete or Box
        Flat.

    Raises
    ------
    ValueError
        If they differ.
    """
    first = _spaces(worlds[0])
    for number, world in enumerate(worlds[1:], 1):
        for name, ours, theirs in zip(("observations", "actions"), first, _spaces(world)):
            if ours != theirs:
                raise ValueError(f"Environments differ: {name} of X[0] are in {ours}, of X[{number}] in {theirs}.")
    return first


def spaces_of(worlds):
    """Return the spaces that environments have in common, for agents: whose actions are a number or an array of floats.

    Parameters and spaces are those of :func:`common_spaces`, which also raises a ValueError.
    """
    observation_space, action_space = common_spaces(worlds)
    if isinstance(action_space, MultiDiscrete):
        raise ValueError(f"Actions are in {action_space}; agents choose one number, or an array of floats.")
    return observation_space, action_space


def _spaces(world):
    if isinstance(world, FiniteMDP):
        return Discrete(world.n_states), Discrete(world.n_actions)
    names = ("observation_space", "action_space")
    if absent := [name for name in names if getattr(world, name, None) is None]:
        raise ValueError(f"{world!r} has no {absent[0]}; check_env(env) tells what an environment needs.")
    return tuple(flat_space(getattr(world, f"single_{name}", getattr(world, name))) for name in names)


def number_of_features(space):
    """Return how many numbers an observation of a flat space is."""
    return 1 if isinstance(space, Discrete) else space.shape[0]


def validate_observations(X, space, name):
    """Validate observations of an environment.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features), or of numbers of states (n_samples,)
        As the user gave them; an observation may have the shape that the environment's have.
    space : Discrete, MultiDiscrete or Box
        Flat, as :func:`spaces_of` gives it.
    name : str
        Of the estimator, for errors.

    Returns
    -------
    rows : ndarray of shape (n_samples, n_features)
        float32 where X is; else float64.

    Raises
    ------
    ValueError
        If there are none, their number of features is another one, or numbers of states are none. The bounds of a box
        are not enforced: environments leave them themselves.
    """
    dtype = kept_dtype(X, (np.float64, np.float32))
    rows = check_array(X, dtype=dtype, ensure_2d=False, allow_nd=True, input_name="X", order="C")
    n = number_of_features(space)
    if rows.ndim == 0 or (rows.ndim == 1 and not isinstance(space, Discrete)):
        raise ValueError(f"X has {rows.ndim} axes; give an array of observations, of one observation X[None].")
    rows = rows.reshape(len(rows), -1)
    if rows.shape[1] != n:
        raise ValueError(f"X has {rows.shape[1]} features, but {name} is expecting {n} features as input.")
    if not isinstance(space, Box):
        _require_numbers(rows, space)
    return rows


def _require_numbers(rows, space):
    start = np.atleast_1d(space.start)
    last = start + (space.n if isinstance(space, Discrete) else space.nvec) - 1
    inside = (rows >= start) & (rows <= last) & (rows == np.rint(rows))
    if not inside.all():
        row = int(np.argmin(inside.all(axis=1)))
        raise ValueError(f"The observation {rows[row].tolist()} in row {row} of X is not in {space}.")
