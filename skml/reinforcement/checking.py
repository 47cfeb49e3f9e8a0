"""What is wrong with an environment, in words: all findings at once."""

import copy
import inspect
from numbers import Real

import numpy as np

from skml.reinforcement.checking_vectors import RESET, STEP, vector_findings
from skml.reinforcement.spaces import Discrete, flat_space, flattened, unflattened

__all__ = ["check_env"]


def check_env(env, n_steps=200, *, random_state=0):
    """Play an environment with random actions and refuse it with all that is wrong with it.

    Parameters
    ----------
    env : object
        With the methods and attributes of a Gymnasium environment: ``reset(seed=)``, ``step(action)``,
        ``observation_space``, ``action_space``; or of a vector environment. Played is a copy, if it can be copied.
    n_steps : int, default=200
        How many steps to take, twice: what is drawn under one seed must be the same both times.
    random_state : int, default=0
        The seed of the environment and of the actions.

    Raises
    ------
    ValueError
        With a line for each finding: missing methods, tuples of a wrong length, observations outside their space
        (shape, type, values), rewards that aren't finite numbers, flags that aren't booleans, an ``info`` that is no
        dictionary, masks of actions of a wrong shape, a seed that isn't taken or doesn't fix what happens, exceptions.

    Examples
    --------
    >>> from skml.reinforcement import CartPole, check_env
    >>> check_env(CartPole())
    >>> class Broken(CartPole):
    ...     def step(self, action):
    ...         return super().step(action)[:4]
    >>> check_env(Broken())
    Traceback (most recent call last):
    ...
    ValueError: Broken is no environment to act in:
    - step() must return (observation, reward, terminated, truncated, info); it returned 4 values.
    """
    found = dict.fromkeys(structure_findings(env))
    if not found:
        played = vector_findings if is_vector(env) else _played_findings
        found = dict.fromkeys(played(_copied(env), n_steps, random_state))
    if found:
        raise ValueError("\n- ".join([f"{type(env).__name__} is no environment to act in:", *found]))


def require_structure(env):
    """Raise a ValueError with what can be seen to be wrong with an environment before it is played."""
    found = list(structure_findings(env))
    if found:
        raise ValueError("\n- ".join([f"{type(env).__name__} is no environment to act in:", *found]))


def structure_findings(env):
    """Yield what can be seen to be wrong before an environment is played."""
    if isinstance(env, type):
        yield f"it is a class; give an object of it, {env.__name__}()."
    if isinstance(env, str):
        yield f"it is a name; give the environment, for instance gymnasium.make({env!r})."
        return
    for name in ("reset", "step"):
        if not callable(getattr(env, name, None)):
            yield f"it has no method {name}."
    which = "single_" if is_vector(env) else ""
    for name in (f"{which}observation_space", f"{which}action_space"):
        if getattr(env, name, None) is None:
            yield f"it has no attribute {name}."
        else:
            try:
                flat_space(getattr(env, name))
            except (ValueError, TypeError, AttributeError) as error:
                yield f"its {name} cannot be read: {error}"


def is_vector(env):
    """Tell whether an object is a vector environment of Gymnasium's kind."""
    return hasattr(env, "num_envs") and hasattr(env, "single_action_space")


def takes_seed(env):
    """Tell whether an environment's reset takes a seed."""
    try:
        parameters = inspect.signature(env.reset).parameters.values()
    except (TypeError, ValueError):
        return True
    return any(p.name == "seed" or p.kind is p.VAR_KEYWORD for p in parameters)


def _copied(env):
    try:
        return copy.deepcopy(env)
    except Exception:  # whatever an environment holds
        return env


def _played_findings(env, n_steps, seed):
    """Yield what two runs under one seed show."""
    if not takes_seed(env):
        yield "reset() takes no seed, so that its episodes can't be repeated; give it the parameter seed=None."
    runs = [_Run(env) for _ in range(2)]
    for run in runs:
        yield from run.play(n_steps, seed)
        if run.broken:
            return
    if takes_seed(env):
        yield from _differences(*(run.seen for run in runs))


def _differences(first, second):
    for t, (one, other) in enumerate(zip(first, second)):
        if repr(one) != repr(other):
            when = "observation of reset()" if t == 0 else f"step {t}"
            yield f"the {when} differs between two runs with the same seed and actions; chance must follow the seed."
            return


class _Run:
    """One run of an environment under random actions, and what it showed."""

    def __init__(self, env):
        self.env, self.seen, self.broken = env, [], False
        self.actions = flat_space(env.action_space)

    def play(self, n_steps, seed):
        """Yield findings of n steps; `broken` says afterwards that it had to stop."""
        generator = np.random.default_rng(seed)
        mask = yield from self._reset(seed)
        for t in range(n_steps):
            if self.broken:
                return
            over, mask = yield from self._step(self._action(mask, generator), t + 1)
            if over and not self.broken:
                mask = yield from self._reset(None)

    def _reset(self, seed):
        """Yield findings of a reset, and return the mask of actions."""
        named = {"seed": seed} if seed is not None and takes_seed(self.env) else {}
        answer = yield from self._call("reset()", lambda: self.env.reset(**named))
        if self.broken:
            return None
        if not isinstance(answer, tuple) or len(answer) != 2:
            self.broken = True
            yield f"{RESET}; it returned {_words(answer)}."
            return None
        yield from self._look("reset()", answer[0])
        return (yield from self._mask("reset()", answer[1]))

    def _step(self, action, t):
        """Yield findings of a step, and return whether the episode is over, and the mask of actions."""
        answer = yield from self._call(f"step({action!r})", lambda: self.env.step(action))
        if self.broken:
            return True, None
        if not isinstance(answer, tuple) or len(answer) != 5:
            self.broken = True
            yield f"{STEP}; it returned {_words(answer)}."
            return True, None
        observation, reward, terminated, truncated, info = answer
        yield from self._look("step()", observation)
        self.seen[-1].append(_number(reward))
        if not np.isfinite(_number(reward)):
            yield f"the reward of step() must be a finite number; it was {reward!r}."
        for name, flag in (("terminated", terminated), ("truncated", truncated)):
            if not isinstance(flag, (bool, np.bool_)):
                yield f"{name} of step() must be True or False; it was {flag!r}, a {type(flag).__name__}."
        mask = yield from self._mask("step()", info)
        return bool(np.any(terminated) or np.any(truncated)), mask

    def _call(self, what, call):
        try:
            return call()
        except Exception as error:  # whatever an environment raises is a finding
            self.broken = True
            yield f"{what} raised {type(error).__name__}: {error}"

    def _look(self, what, observation):
        """Yield what is wrong with an observation, and keep it."""
        words = outside(self.env.observation_space, observation)
        if words:
            yield f"the observation of {what} is outside the observation space: {words}."
        try:
            self.seen.append(np.ravel(flattened(self.env.observation_space, observation)).tolist())
        except Exception:  # then there is a finding already
            self.seen.append([])

    def _mask(self, what, info):
        """Yield what is wrong with what else is told, and return the mask of actions."""
        if not isinstance(info, dict):
            yield f"info of {what} must be a dictionary; it was {_words(info)}."
            return None
        mask = info.get("action_mask")
        if mask is None or not isinstance(self.actions, Discrete):
            return None
        if np.shape(mask) != (self.actions.n,) or not np.any(mask):
            n = self.actions.n
            yield f"info['action_mask'] of {what} must have {n} entries, one of them true; it was {mask!r}."
            return None
        return np.asarray(mask, bool)

    def _action(self, mask, generator):
        if mask is not None:
            return int(generator.choice(np.flatnonzero(mask))) + self.actions.start
        return unflattened(self.env.action_space, self.actions.sample(generator))


def outside(space, x):
    """Return in words why x is no element of a space, or None.

    Parameters
    ----------
    space : object
        As for :func:`skml.reinforcement.spaces.flat_space`.
    x : object
        Anything.

    Returns
    -------
    words : str or None
        None if it is one.
    """
    if hasattr(space, "spaces"):
        return _outside_parts(space.spaces, x)
    try:
        numbers = np.asarray(x)
    except ValueError:
        return "it is no array"
    shape = tuple(space.shape or ())
    if numbers.shape != shape:
        return f"its shape is {numbers.shape}, not {shape}"
    if numbers.dtype.kind not in "iufb" or not np.can_cast(numbers.dtype, space.dtype, "same_kind"):
        return f"its type is {numbers.dtype}, not {space.dtype}"
    if numbers.dtype.kind == "f" and np.isnan(numbers).any():
        return "it holds NaN"
    low, high = _limits(space)
    beyond = np.atleast_1d((numbers < low) | (numbers > high))
    if not beyond.any():
        return None
    at = int(np.flatnonzero(beyond)[0])
    bounds = [float(np.broadcast_to(bound, shape).ravel()[at]) for bound in (low, high)]
    return f"it holds {numbers.ravel()[at]!s} at place {at}, beyond {bounds[0]:g} to {bounds[1]:g}"


def _outside_parts(spaces, x):
    keys = list(spaces.keys()) if hasattr(spaces, "keys") else range(len(spaces))
    try:
        parts = [x[key] for key in keys]
    except (KeyError, IndexError, TypeError):
        return f"it lacks some of the parts {list(keys)}"
    words = [(key, outside(spaces[key], part)) for key, part in zip(keys, parts)]
    return next((f"in part {key!r} {word}" for key, word in words if word), None)


def _limits(space):
    if hasattr(space, "low"):
        return space.low, space.high
    n = space.nvec if hasattr(space, "nvec") else space.n if not space.shape else 2
    start = getattr(space, "start", 0)
    return start, start + n - 1


def _number(reward):
    """Return a reward as a float, NaN where it is none."""
    array = np.asarray(reward) if isinstance(reward, (Real, np.ndarray)) else np.asarray(None)
    return float(array) if array.shape == () and array.dtype.kind in "iufb" else np.nan


def _words(answer):
    return f"{len(answer)} values" if isinstance(answer, tuple) else f"a {type(answer).__name__}"
