"""What a picture of a policy shows: at which observations the policy is asked, and how they lie on the paper."""

from dataclasses import dataclass

import numpy as np
from sklearn.utils import check_array

from skml.reinforcement.evaluation import rollout
from skml.reinforcement.grid_worlds import LEFT_DOWN_RIGHT_UP
from skml.reinforcement.mdp import FiniteMDP
from skml.reinforcement.spaces import Box, Discrete, MultiDiscrete
from skml.reinforcement.worlds import is_world, number_of_features, spaces_of

EPISODES = 10  # played where an environment doesn't say how far its observations go
MOST_NUMBERS = 1000  # whole numbers that are each a place of their own; of more a selection is shown


@dataclass(frozen=True, eq=False)
class Scene:
    """Observations, and where they lie.

    Attributes
    ----------
    observations : ndarray of shape (n, n_features)
        At which the policy is asked.
    grid : tuple of ndarray or None
        Letters (R, C) of a map, whose cells the observations are; the move (down, right) of each of the world's
        actions; and in which cells one may act, (R, C) of bool.
    plane : tuple of ndarray or None
        The places along one axis or along two; observations run through the last one fastest.
    names : tuple of str
        Of the axes.
    first_action : int
        The number of the world's first action.
    """

    observations: np.ndarray
    grid: tuple = None
    plane: tuple = None
    names: tuple = ()
    first_action: int = 0


def scene_of(X, estimator, features, resolution):
    """Return the scene of an environment, or of observations.

    Parameters
    ----------
    X : environment, FiniteMDP or array-like of shape (n_samples, n_features)
        Where the policy acts, or what it has seen.
    estimator : estimator
        The policy.
    features : list of int or None
        Which one or two numbers of an observation to draw; None where there are no more.
    resolution : int
        Places along an axis.

    Returns
    -------
    scene : Scene
        A map, a plane, or numbered states.

    Raises
    ------
    ValueError
        If observations have more numbers, and `features` don't choose among them.
    """
    if not is_world(X):
        seen = check_array(X, dtype=np.float64, ensure_2d=False, input_name="X")
        seen = seen.reshape(len(seen), -1)
        return _states(np.unique(seen)) if _is_numbered(seen) else _plane(seen, None, features, resolution, estimator)
    observation_space, action_space = spaces_of([X])
    if isinstance(observation_space, Discrete):
        first = getattr(action_space, "start", 0)
        return _finite_scene(X, observation_space, first)
    return _plane(None, (X, observation_space), features, resolution, estimator)


def _is_numbered(seen):
    return seen.shape[1] == 1 and (seen == np.rint(seen)).all() and np.ptp(seen) < MOST_NUMBERS


def _states(numbers, first_action=0):
    numbers = np.asarray(numbers, dtype=np.float64)
    return Scene(numbers[:, None], None, (numbers,), ("state",), first_action)


# --------------------------------------------------------------------------------------------- finite worlds


def _finite_scene(world, space, first_action):
    acting, reached = _cells_of(world, space.n)
    numbers = space.start + np.arange(space.n)
    drawn = map_of(world)
    if drawn is None or drawn[0].size != space.n:
        return _states(numbers[acting], first_action)
    letters, moves = drawn
    inside = (acting & reached).reshape(letters.shape)
    return Scene(numbers[:, None].astype(np.float64), (letters, moves, inside), first_action=first_action)


def _cells_of(world, n_states):
    """Return in which states one may act, and which an episode can come to, as far as the model is known."""
    mdp = _model_of(world)
    if mdp is None or mdp.n_states != n_states:
        return np.ones(n_states, bool), np.ones(n_states, bool)
    reached = mdp.start > 0
    reached[mdp.transitions.indices] = True
    return ~mdp.terminal, reached


def _model_of(world):
    if isinstance(world, FiniteMDP):
        return world
    inner = getattr(world, "unwrapped", world)
    mdp = getattr(inner, "mdp", None)
    if isinstance(mdp, FiniteMDP):
        return mdp
    return FiniteMDP.from_gymnasium(world) if hasattr(inner, "P") else None


def map_of(world):
    """Return the map of a grid world: letters (R, C), and the move (down, right) of each action; None if it has none.

    Parameters
    ----------
    world : environment
        With `letters` and `moves`, or with the `desc` of Gymnasium's frozen lake.

    Returns
    -------
    drawn : tuple of ndarray or None
        Letters, and moves of shape (n_actions, 2).
    """
    inner = getattr(world, "unwrapped", world)
    letters, moves = getattr(inner, "letters", None), getattr(inner, "moves", None)
    if letters is None and getattr(inner, "desc", None) is not None:
        letters, moves = np.asarray(inner.desc).astype(str), LEFT_DOWN_RIGHT_UP
    return None if letters is None or moves is None else (np.asarray(letters), np.asarray(moves))


# ---------------------------------------------------------------------------------------------------- planes


def _plane(seen, world, features, resolution, estimator):
    """Return the scene of one or two numbers of an observation; others stand at their medians among those seen."""
    n = seen.shape[1] if world is None else number_of_features(world[1])
    features = _chosen(features, n)
    bounds = None if world is None else _bounds(world[1])
    if seen is None and (len(features) < n or not np.isfinite(bounds[:, features]).all()):
        seen = _visited(world[0], estimator)
    low, high = (seen.min(axis=0), seen.max(axis=0)) if seen is not None else bounds
    if bounds is not None:
        low, high = (np.where(np.isfinite(bound), bound, end) for bound, end in zip(bounds, (low, high)))
    whole = isinstance(world[1], MultiDiscrete) if world else (seen == np.rint(seen)).all()
    axes = [_places(low[j], high[j], whole, resolution) for j in features]
    points = np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1)
    observations = np.tile(low if seen is None else np.median(seen, axis=0), (len(points), 1))
    observations[:, features] = points
    names = getattr(estimator, "feature_names_in_", [f"observation {j}" for j in range(n)])
    first = getattr(spaces_of([world[0]])[1], "start", 0) if world else 0
    return Scene(observations, None, tuple(axes), tuple(str(names[j]) for j in features), first)


def _chosen(features, n):
    if features is None and n > 2:
        raise ValueError(f"An observation has {n} numbers; choose one or two of them to draw, such as features=[0, 1].")
    chosen = list(range(n)) if features is None else list(np.atleast_1d(features))
    if not 1 <= len(chosen) <= 2 or len(set(chosen)) < len(chosen) or not all(j in range(n) for j in chosen):
        raise ValueError(f"features must be one or two different numbers from 0 to {n - 1}, got {features!r}.")
    return [int(j) for j in chosen]


def _bounds(space):
    """Return the least and the largest numbers of observations, (2, n_features)."""
    if isinstance(space, Box):
        return np.array([space.low, space.high], dtype=np.float64).reshape(2, -1)
    start = np.broadcast_to(space.start, space.nvec.shape)
    return np.array([start, start + space.nvec - 1], dtype=np.float64)


def _visited(world, estimator):
    """Return observations of some episodes that the estimator plays."""
    table = rollout(world, estimator, EPISODES)
    return np.stack([column for name, column in table.items() if name.startswith("observation")], axis=1)


def _places(low, high, whole, resolution):
    if whole and high - low < MOST_NUMBERS:
        return np.arange(low, high + 1)
    if not low < high:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, resolution)
