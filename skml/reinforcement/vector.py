"""Copies of environments in lockstep: one step of all of them, whatever they are.

Agents see environments only through :func:`vectorize`. Every vector has

- ``n_envs`` copies (N), ``observation_space`` and ``action_space`` of one of them (flat: Discrete, MultiDiscrete, Box);
- ``reset(seed, first=0)``: begins episode 0 of the copies numbered from `first`, and returns what is observed: (N,)
  int64 of a Discrete, (N, k) int64 of a MultiDiscrete, (N, d) of a Box. It comes before the first step, else that
  raises a RuntimeError;
- ``step(actions)``: returns (observation, reward, terminated, truncated, last). Where an episode has ended,
  `observation` is already the first of the next one; `last` is what the step itself led to, from which one bootstraps
  where the episode was truncated. Where nothing has ended both are equal. `reward` is float64;
- ``action_mask``: (N, A) bool, the actions that there are now, or None for all;
- ``last_mask``: the same of what the last step itself led to (all, where nothing is known of that);
- ``live``: None, or (N,) bool of the last step: where it is False, the step was none but began the next episode
  (a Gymnasium vector environment that resets in the next step), so the row is to be left out.

Observations and actions have the values of the spaces: a Discrete of start 1 counts from 1.
"""

import copy
import warnings

import numpy as np

from skml._kernels import environments as kernels
from skml.base import require_memory
from skml.reinforcement.checking import RESET, STEP, is_vector, require_structure, takes_seed
from skml.reinforcement.environments import (
    Control,
    Environment,
    Lockstep,
    MDPEnvironment,
    called,
    checked_limit,
    checked_seed,
)
from skml.reinforcement.spaces import Box, Discrete, flat_space, flattened, unflattened
from skml.reinforcement.vector_gymnasium import GymnasiumVector, require_begun
from skml.reinforcement.worlds import common_spaces

__all__ = ["vectorize"]

COPY = 100  # bytes that a copy takes at least: its clock, its state, and what a step answers


def vectorize(envs, n_envs=None, max_episode_steps=None):
    """Return copies of an environment, or of several, that go in lockstep.

    Parameters
    ----------
    envs : environment, FiniteMDP, or list of such
        skml's own step in compiled code; any with Gymnasium's methods are copied (`copy.deepcopy`) and left alone. A
        Gymnasium vector environment is played as it is.
    n_envs : int or None, default=None
        How many copies; of several environments at least one each, dealt round. None takes one each. A vector
        environment has its own number.
    max_episode_steps : int or None, default=None
        After so many steps an episode is cut off (truncated), if the environment itself doesn't do so before.

    Returns
    -------
    vector : object
        As the module describes it.

    Raises
    ------
    ValueError
        If there is no environment, one lacks what it needs, they differ in their spaces, or one cannot be copied.

    Examples
    --------
    >>> from skml.reinforcement import CartPole, vectorize
    >>> vector = vectorize(CartPole(), 3)
    >>> vector.reset(seed=0).shape
    (3, 4)
    >>> observation, reward, terminated, truncated, last = vector.step([0, 1, 0])
    >>> reward
    array([1., 1., 1.])
    """
    worlds = [playable(env) for env in _listed(envs)]
    limit = checked_limit(max_episode_steps)
    if len(worlds) == 1 and is_vector(worlds[0]):
        require_structure(worlds[0])
        return GymnasiumVector(worlds[0], limit)
    for world in worlds:
        if is_vector(world):
            raise ValueError("A vector environment must be given alone, not in a list with others.")
        require_structure(world)
    common_spaces(worlds)
    n = max(len(worlds), checked_number(n_envs) if n_envs is not None else 1)
    require_memory(COPY * n, f"{n:,} copies of an environment")
    dealt = [worlds[i % len(worlds)] for i in range(n)]
    if all(is_own(world) for world in worlds):
        return _compiled(dealt, limit)
    return PythonCopies(dealt, len(worlds), limit)


def _listed(envs):
    listed = list(envs) if isinstance(envs, (list, tuple, np.ndarray)) else [envs]
    if not listed:
        raise ValueError("The list of environments is empty; give at least one.")
    return listed


def playable(env):
    """Return an environment that plays a FiniteMDP, and anything else as it is."""
    return MDPEnvironment(env) if hasattr(env, "outcomes") and hasattr(env, "transitions") else env


def is_own(env):
    """Tell whether compiled code steps an environment: one of skml's, whose step nobody has replaced."""
    return isinstance(env, Environment) and type(env).step is Environment.step and type(env).reset is Environment.reset


def checked_number(number, name="n_envs"):
    """Return a number as an int; raise a ValueError that names it if it is no integer from 1 (10.0 is none)."""
    whole = isinstance(number, (int, np.integer)) and not isinstance(number, bool)
    if not whole or number < 1:
        raise ValueError(f"{name} must be a whole number from 1, of an integer type, got {number!r}.")
    return int(number)


# ------------------------------------------------------------------------------------------------ our own


def _compiled(worlds, limit):
    """Return copies of our own environments, one for each of a list, which may name one several times."""
    kinds = {world.dynamics.kind if isinstance(world.dynamics, Control) else id(world) for world in worlds}
    if len(kinds) == 1:
        return CompiledCopies(worlds, limit)
    groups = {}
    for i, world in enumerate(worlds):
        groups.setdefault(id(world), []).append(i)
    return SeveralCopies([CompiledCopies([worlds[i] for i in rows], limit) for rows in groups.values()], groups)


class CompiledCopies:
    """Copies of one environment of our own, or of control tasks that differ in their parameters alone."""

    live, last_mask, begun = None, None, False

    def __init__(self, worlds, limit):
        self.n_envs = len(worlds)
        self.observation_space, self.action_space = worlds[0].observation_space, worlds[0].action_space
        self.dynamics = worlds[0].dynamics
        if isinstance(self.dynamics, Control):
            self.dynamics = Control(self.dynamics.kind, np.stack([world.dynamics.parameters for world in worlds]))
        limits = [min(world.max_episode_steps or limit or 0, limit or world.max_episode_steps or 0) for world in worlds]
        self.lockstep = Lockstep(self.dynamics, self.n_envs, limits, go_on=True)

    def reset(self, seed, first=0):
        """Begin the episodes of copies numbered from `first`."""
        observation, self.begun = self.lockstep.reset(checked_seed(seed), first), True
        return observation

    def step(self, actions):
        """Take one step of all copies."""
        require_begun(self)
        answer = self.lockstep.step(actions)
        self.last_mask = self.dynamics.mask(answer[-1])
        return answer

    @property
    def action_mask(self):
        """Which actions there are now, (N, A), or None for all."""
        return self.lockstep.mask


class SeveralCopies:
    """Copies of several tables of our own: each part steps in one call."""

    live = None

    def __init__(self, parts, groups):
        self.parts, self.rows = parts, [np.array(rows) for rows in groups.values()]
        self.n_envs = sum(part.n_envs for part in parts)
        self.observation_space, self.action_space = parts[0].observation_space, parts[0].action_space

    def _together(self, answers):
        whole = np.empty((self.n_envs, *answers[0].shape[1:]), answers[0].dtype)
        for rows, answer in zip(self.rows, answers):
            whole[rows] = answer
        return whole

    def reset(self, seed, first=0):
        """Begin the episodes of copies numbered from `first`."""
        streams = copy_streams(seed, first, self.n_envs)
        answers = []
        for part, rows in zip(self.parts, self.rows):
            part.lockstep.clock[:, :3], part.begun = streams[rows, :3], True
            answers.append(part.dynamics.start(part.lockstep.clock, part.lockstep.states))
        return self._together(answers)

    def step(self, actions):
        """Take one step of all copies."""
        actions = np.asarray(actions)
        answers = [part.step(actions[rows]) for part, rows in zip(self.parts, self.rows)]
        return tuple(self._together(column) for column in zip(*answers))

    @property
    def action_mask(self):
        """Which actions there are now, (N, A), or None for all."""
        return self._masks([part.action_mask for part in self.parts])

    @property
    def last_mask(self):
        """Which actions there are where the last step led to, (N, A), or None for all."""
        return self._masks([part.last_mask for part in self.parts])

    def _masks(self, masks):
        if all(mask is None for mask in masks):
            return None
        full = [np.ones((part.n_envs, self.action_space.n), bool) for part in self.parts]
        return self._together([every if mask is None else mask for mask, every in zip(masks, full)])


def copy_streams(seed, first, n):
    """Return a clock (n, 4) of copies numbered from `first`: their streams, episode 0, step 0, no limit."""
    clock = np.zeros((n, 4), np.int64)
    kernels.seed_copies(checked_seed(seed), first, clock)
    return clock


# --------------------------------------------------------------------------------------------- anybody's


class PythonCopies:
    """Copies of environments that are stepped one after another in Python."""

    live, begun = None, False

    def __init__(self, worlds, n_given, limit):
        self.n_envs, self.limit = len(worlds), limit
        self.raw_observations, self.raw_actions = worlds[0].observation_space, worlds[0].action_space
        self.observation_space, self.action_space = flat_space(self.raw_observations), flat_space(self.raw_actions)
        self.envs = [_copy_of(world, i < n_given) for i, world in enumerate(worlds)]
        self.steps = np.zeros(self.n_envs, np.int64)
        self._masks = self._last_masks = [None] * self.n_envs
        self.seeded = [takes_seed(env) for env in self.envs]
        if not all(self.seeded):
            name = type(self.envs[self.seeded.index(False)]).__name__
            warnings.warn(
                f"{name}.reset takes no seed: its episodes are random whatever random_state is, and can't be repeated. "
                "Give reset the parameter seed=None.",
                stacklevel=3,
            )

    def reset(self, seed, first=0):
        """Begin the episodes of copies numbered from `first`: each copy is seeded once, and draws on from there."""
        self.steps[:] = 0
        seeds = self.seeds(seed, first)
        observation = self._stacked([self._begin(i, int(seeds[i])) for i in range(self.n_envs)])
        self.begun = True
        return observation

    def seeds(self, seed, first):
        """Return the seeds of copies numbered from `first`, (N,), which any environment takes."""
        return copy_streams(seed, first, self.n_envs)[:, 0] & 0x7FFFFFFF

    def step(self, actions):
        """Take one step of all copies."""
        require_begun(self)
        reward, ended = np.empty(self.n_envs), np.zeros((2, self.n_envs), bool)
        self.steps += 1
        rows = [self._advance(i, action, reward, ended) for i, action in enumerate(self._own(actions))]
        last, self._last_masks = self._stacked(rows), list(self._masks)
        over = np.flatnonzero(ended.any(axis=0))
        observation = last.copy() if over.size else last
        for i in over:
            self.steps[i] = 0
            observation[i] = self._begin(i, None)
        return observation, reward, ended[0], ended[1], last

    def _own(self, actions):
        """Return actions as the environments take them."""
        actions = np.asarray(actions)
        if actions.shape != (self.n_envs, *self.action_space.shape):
            wanted = (self.n_envs, *self.action_space.shape)
            raise ValueError(f"Actions must have the shape {wanted}, got {actions.shape}.")
        if isinstance(self.action_space, Discrete):
            return actions.tolist()
        return [unflattened(self.raw_actions, row) for row in actions]

    def _advance(self, i, action, reward, ended):
        """Take one step of copy i and return what it led to."""
        answer = called(self.envs[i], "step", action)
        if not isinstance(answer, tuple) or len(answer) != 5:
            raise ValueError(f"{self._name(i)}: {STEP}; run check_env on it for all that is wrong.")
        observation, earned, terminated, truncated, info = answer
        reward[i], terminated = self._reward(i, earned), bool(np.any(terminated))
        late = self.limit is not None and self.steps[i] >= self.limit
        ended[0, i], ended[1, i] = terminated, not terminated and (bool(np.any(truncated)) or late)
        self._masks[i] = info.get("action_mask") if isinstance(info, dict) else None
        return self._seen(i, observation)

    def _reward(self, i, earned):
        try:
            number = float(np.asarray(earned).item())
        except (TypeError, ValueError):
            number = np.nan
        if not np.isfinite(number):
            raise ValueError(f"{self._name(i)} gave the reward {earned!r}; rewards must be finite numbers.")
        return number

    def _begin(self, i, seed):
        """Begin an episode of copy i and return what is observed."""
        named = {"seed": seed} if seed is not None and self.seeded[i] else {}
        answer = called(self.envs[i], "reset", **named)
        if not isinstance(answer, tuple) or len(answer) != 2:
            raise ValueError(f"{self._name(i)}: {RESET}; run check_env on it for all that is wrong.")
        self._masks[i] = answer[1].get("action_mask") if isinstance(answer[1], dict) else None
        return self._seen(i, answer[0])

    def _seen(self, i, observation):
        row = flattened(self.raw_observations, observation)
        space = self.observation_space
        if isinstance(space, Box):
            if space.dtype.kind == "f" and not np.isfinite(row).all():
                raise ValueError(f"{self._name(i)} gave an observation with NaN or infinity: {observation!r}.")
        elif not space.contains(row):
            raise ValueError(f"{self._name(i)} gave the observation {observation!r}, outside {self.raw_observations}.")
        return row

    def _stacked(self, rows):
        return np.array(rows, self.observation_space.dtype).reshape(self.n_envs, *self.observation_space.shape)

    def _name(self, i):
        return type(getattr(self.envs[i], "unwrapped", self.envs[i])).__name__

    @property
    def action_mask(self):
        """Which actions there are now, (N, A), or None for all."""
        return stacked_masks(self._masks, self.action_space)

    @property
    def last_mask(self):
        """Which actions there are where the last step led to, (N, A), or None for all."""
        return stacked_masks(self._last_masks, self.action_space)


def stacked_masks(masks, action_space):
    """Return masks of actions, None for all, as one array (N, A), or None if there is none."""
    if not isinstance(action_space, Discrete) or all(mask is None for mask in masks):
        return None
    every = np.ones(action_space.n, bool)
    masks = [every if mask is None else np.asarray(mask, bool) for mask in masks]
    for mask in masks:
        if mask.shape != every.shape or not mask.any():
            raise ValueError(f"A mask of actions must have {len(every)} entries, one of them true; got {mask}.")
    return np.stack(masks)


def _copy_of(world, is_first):
    """Return a copy of an environment; the environment itself if it can't be copied and needs to be there but once."""
    try:
        return copy.deepcopy(world)
    except Exception as error:  # whatever an environment holds
        if is_first:
            return world
        raise ValueError(
            f"{type(world).__name__} can't be copied ({type(error).__name__}: {error}); give n_envs=1, or a list of as "
            "many environments as there are to be copies."
        ) from error
