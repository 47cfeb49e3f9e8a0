"""Episodes under a policy: what they earn, their steps as a table, and their pictures.

An episode has a number, and draws (its own, and the policy's) from the stream of that number under the seed. So results
do not depend on how many episodes are played side by side.
"""

import copy
import warnings
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

from skml._kernels import environments as kernels
from skml.reinforcement.checking import is_vector, takes_seed
from skml.reinforcement.environments import called, checked_limit, checked_seed
from skml.reinforcement.spaces import Discrete, checked_actions, flat_space, flattened, unflattened
from skml.reinforcement.vector import (
    checked_number,
    copy_streams,
    is_own,
    playable,
    vectorize,
)

__all__ = ["Evaluation", "evaluate", "record", "rollout"]

SIDE_BY_SIDE, IN_PYTHON = 128, 8  # copies that play at a time, of our own environments and of others
ENDLESS = 10_000  # steps after which an episode is cut off where nothing else does that
RESAMPLES = 2000


@dataclass(frozen=True)
class Evaluation:
    """What episodes earned.

    Attributes
    ----------
    mean : float
        Of the returns (sums of rewards); of several environments the mean of their means.
    standard_error : float
        Of the mean; NaN where an environment was played once.
    interval : tuple of float
        The confidence interval of the mean, (low, high).
    coverage : float
        Of the interval.
    method : str
        "normal": Student's t, exact where returns are normally distributed; "bootstrap": percentiles of the means of
        2000 resamples.
    returns : ndarray of shape (n_episodes,), float64
        The sum of each episode's rewards.
    lengths : ndarray of shape (n_episodes,), int64
        The steps of each.
    truncated : ndarray of shape (n_episodes,), bool
        Which of them were cut off.
    environment : ndarray of shape (n_episodes,), int64
        The number of the environment of each.
    """

    mean: float
    standard_error: float
    interval: tuple
    coverage: float
    method: str
    returns: np.ndarray
    lengths: np.ndarray
    truncated: np.ndarray
    environment: np.ndarray

    def __repr__(self):
        low, high = self.interval
        percent = f"{100 * self.coverage:g} %"
        return f"Evaluation(mean={self.mean:.4g}, {percent} in [{low:.4g}, {high:.4g}], {len(self.returns)} episodes)"


class Draws:
    """The chance of a policy: as many numbers for each copy as it asks for, from the streams of the episodes.

    Parameters
    ----------
    clock : ndarray of shape (N, 4)
        Stream, episode and step of each copy.
    """

    def __init__(self, clock):
        self.clock, self.purpose = clock, 0

    def random(self, size):
        """Return numbers in [0, 1), each time others.

        Parameters
        ----------
        size : int or tuple
            N, or (N, k).

        Returns
        -------
        numbers : ndarray of that shape, float64
            Row i depends on the episode of copy i alone.
        """
        shape = (size,) if np.ndim(size) == 0 else tuple(size)
        if shape[0] != len(self.clock):
            raise ValueError(f"There are {len(self.clock)} copies to draw for, not {shape[0]}.")
        numbers = np.empty((shape[0], int(np.prod(shape[1:]))))
        self.purpose += 1
        kernels.draws(self.clock, self.purpose, numbers)
        return numbers.reshape(shape)

    def standard_normal(self, size):
        """Return normally distributed numbers; the parameter is that of `random`."""
        return ndtri(self.random(size) + 2.0**-54)


# ----------------------------------------------------------------------------------------------- the public


def evaluate(env, policy, n_episodes=100, *, coverage=0.95, interval="normal", max_episode_steps=None, random_state=0):
    """Play episodes under a policy and return what they earned.

    Parameters
    ----------
    env : environment, FiniteMDP or list of such
        Where to act; episodes are shared out among several.
    policy : estimator or callable
        With a method ``predict`` of observations (n, n_features), or a function of observations alone: the actions.
    n_episodes : int, default=100
        How many, at least one for each environment.
    coverage : float, default=0.95
        Of the confidence interval.
    interval : {"normal", "bootstrap"}, default="normal"
        Student's t, or percentiles of the means of 2000 resamples.
    max_episode_steps : int or None, default=None
        After how many steps an episode is cut off. None leaves that to the environment; where that doesn't, 10000.
    random_state : int, default=0
        The seed: the same one plays the same episodes.

    Returns
    -------
    evaluation : Evaluation
        Mean return, its standard error and confidence interval, the return and length of each episode.

    Raises
    ------
    ValueError
        If the environment is none, or a number is out of its range.
    EnvironmentFailed
        If an environment raises an exception.

    Examples
    --------
    >>> from skml.reinforcement import CartPole, evaluate
    >>> leaning = evaluate(CartPole(), lambda observations: (observations[:, 2] > 0).astype(int), 50)
    >>> swinging = evaluate(CartPole(), lambda x: (x[:, 2] + x[:, 3] > 0).astype(int), 50)
    >>> leaning.interval[1] < 60 < 400 < swinging.interval[0]
    True
    """
    worlds = env if isinstance(env, (list, tuple)) else [env]
    act = _actor(policy)
    return evaluate_policy(worlds, act, n_episodes, coverage, max_episode_steps, random_state, method=interval)


def rollout(env, policy, n_episodes=1, *, max_episode_steps=None, random_state=0):
    """Play episodes under a policy and return their steps as a table.

    Parameters
    ----------
    env : environment, FiniteMDP or list of such
        Where to act; episodes are shared out among several.
    policy : estimator or callable
        As for :func:`evaluate`.
    n_episodes : int, default=1
        How many, at least one for each environment.
    max_episode_steps : int or None, default=None
        After how many steps an episode is cut off. None leaves that to the environment; where that doesn't, 10000.
    random_state : int, default=0
        The seed: the same one plays the same episodes.

    Returns
    -------
    table : dict of str to ndarray of shape (n_steps,)
        "episode", "step", the numbers of the observation ("observation", or "observation_0" and so on), those of the
        action likewise, "reward", "terminated" and "truncated"; of several environments also "environment".
        ``pandas.DataFrame(table)`` makes a frame of it.

    Raises
    ------
    ValueError
        If the environment is none, or a number is out of its range.
    EnvironmentFailed
        If an environment raises an exception.

    Examples
    --------
    >>> from skml.reinforcement import CartPole, rollout
    >>> table = rollout(CartPole(), lambda observations: [0] * len(observations))
    >>> list(table)[:4]
    ['episode', 'step', 'observation_0', 'observation_1']
    >>> bool(table["terminated"][-1]), bool(table["terminated"][:-1].any())
    (True, False)
    """
    worlds = env if isinstance(env, (list, tuple)) else [env]
    return rollout_table(worlds, _actor(policy), n_episodes, max_episode_steps, random_state)


def record(env, policy, *, max_episode_steps=None, random_state=0):
    """Play an episode under a policy and return what the environment renders before and after each step.

    Parameters
    ----------
    env : environment or FiniteMDP
        One that renders; played is a copy, if it can be copied.
    policy : estimator or callable
        As for :func:`evaluate`.
    max_episode_steps : int or None, default=None
        After how many steps the episode is cut off. None leaves that to the environment; where that doesn't, 10000.
    random_state : int, default=0
        The seed: the episode is the first one of :func:`evaluate`.

    Returns
    -------
    frames : list of str or of ndarray of shape (height, width, 3)
        One more than there are steps.

    Raises
    ------
    ValueError
        If the environment is none, or renders nothing.
    EnvironmentFailed
        If an environment raises an exception.

    Examples
    --------
    >>> from skml.reinforcement import CartPole, record
    >>> frames = record(CartPole(), lambda observations: [0] * len(observations), max_episode_steps=4)
    >>> len(frames), frames[0].shape
    (5, (100, 150, 3))
    """
    return record_frames(env, _actor(policy), max_episode_steps, random_state)


def _actor(policy):
    """Return a function of observations, masks and draws, as agents hand one in."""
    choose = policy.predict if hasattr(policy, "predict") else policy
    if not callable(choose):
        raise ValueError(f"policy must have a method predict, or be a function of observations; got {policy!r}.")

    def act(observations, allowed, draws):
        return choose(observations)

    return act


# ------------------------------------------------------------------------------------------------- the core


def evaluate_policy(worlds, act, n_episodes, coverage, max_episode_steps, seed, *, method="normal"):
    """Return the :class:`Evaluation` of a policy.

    Parameters
    ----------
    worlds : list of environment or FiniteMDP
        Where to act.
    act : callable
        Of observations (n, n_features), masks of actions (n, A) or None, and :class:`Draws`: the actions.
    n_episodes, coverage, max_episode_steps, seed, method
        As for :func:`evaluate`.

    Returns
    -------
    evaluation : Evaluation
        Of all episodes.
    """
    if not 0 < coverage < 1:
        raise ValueError(f"coverage must be between 0 and 1, got {coverage!r}.")
    if method not in ("normal", "bootstrap"):
        raise ValueError(f"interval must be 'normal' or 'bootstrap', got {method!r}.")
    shares = _shared_out(worlds, n_episodes)
    returns, lengths = np.zeros(sum(shares)), np.zeros(sum(shares), np.int64)
    truncated, first = np.zeros(sum(shares), bool), 0
    for world, share in zip(worlds, shares):
        for moment in played(world, act, share, max_episode_steps, seed):
            at = first + moment.episodes
            returns[at] += moment.rewards
            lengths[at] += 1
            truncated[at] = moment.truncated
        first += share
    environment = np.repeat(np.arange(len(worlds)), shares)
    groups = np.split(returns, np.cumsum(shares)[:-1])
    mean, error = float(np.mean([group.mean() for group in groups])), _standard_error(groups)
    bounds = (_normal if method == "normal" else _bootstrap)(groups, mean, error, coverage, seed)
    return Evaluation(mean, error, bounds, coverage, method, returns, lengths, truncated, environment)


def _shared_out(worlds, n_episodes):
    n = checked_number(n_episodes, "n_episodes")
    if not len(worlds):
        raise ValueError("The list of environments is empty; give at least one.")
    if n < len(worlds):
        raise ValueError(
            f"n_episodes={n} is too few: there are {len(worlds)} environments, each is played at least once."
        )
    return [n // len(worlds) + (i < n % len(worlds)) for i in range(len(worlds))]


def _standard_error(groups):
    if any(len(group) < 2 for group in groups):
        return float("nan")
    return float(np.sqrt(sum(group.var(ddof=1) / len(group) for group in groups)) / len(groups))


def _normal(groups, mean, error, coverage, seed):
    """Student's interval; with the degrees of freedom of Welch (1947) where there are several environments."""
    if not error > 0:
        return (mean + 0 * error, mean + 0 * error)
    parts = np.array([group.var(ddof=1) / len(group) for group in groups])
    freedom = parts.sum() ** 2 / np.sum(parts**2 / [len(group) - 1 for group in groups])
    half = float(stdtrit(freedom, (1 + coverage) / 2)) * error
    return (mean - half, mean + half)


def _bootstrap(groups, mean, error, coverage, seed):
    """The percentile interval (Efron 1979), each environment resampled by itself."""
    generator = np.random.default_rng(checked_seed(seed))
    means = np.zeros(RESAMPLES)
    for group in groups:
        means += group[generator.integers(0, len(group), (RESAMPLES, len(group)))].mean(axis=1) / len(groups)
    low, high = np.quantile(means, [(1 - coverage) / 2, (1 + coverage) / 2])
    return (float(low), float(high))


@dataclass(frozen=True)
class Moment:
    """One step of all episodes that are still being played.

    Attributes
    ----------
    episodes : ndarray of shape (n,), int64
        Their numbers.
    step : int
        From 0.
    observations : ndarray of shape (n, n_features)
        Before the step.
    actions : ndarray of shape (n,) or (n, k)
        What was done.
    rewards : ndarray of shape (n,), float64
        What it earned.
    terminated, truncated : ndarray of shape (n,), bool
        Whether it ended the episode, or the episode was cut off after it.
    """

    episodes: np.ndarray
    step: int
    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray


def played(world, act, n_episodes, max_episode_steps, seed):
    """Yield the moments of episodes, wave after wave of as many as there are copies.

    Parameters
    ----------
    world : environment or FiniteMDP
        Where to act.
    act, n_episodes, max_episode_steps, seed
        As for :func:`evaluate_policy`.

    Yields
    ------
    moment : Moment
        Of each step, of the episodes not over before it.
    """
    world, known = playable(world), checked_limit(max_episode_steps) or _own_limit(world)
    vector = vectorize(world, min(n_episodes, SIDE_BY_SIDE if is_own(world) else IN_PYTHON))
    n_cut = 0
    for first in range(0, n_episodes, vector.n_envs):
        for moment in _wave(vector, act, (first, min(vector.n_envs, n_episodes - first)), known or ENDLESS, seed):
            n_cut += 0 if known or moment.step + 1 < ENDLESS else int(moment.truncated.sum())
            yield moment
    if n_cut:
        warnings.warn(
            f"{n_cut} of {n_episodes} episodes were cut off after {ENDLESS} steps, since neither the environment nor "
            "max_episode_steps ends them; give max_episode_steps.",
            stacklevel=4,
        )


def _own_limit(world):
    """Return after how many steps an environment says that it cuts episodes off, or None."""
    return getattr(world, "max_episode_steps", None) or getattr(getattr(world, "spec", None), "max_episode_steps", None)


def _wave(vector, act, share, limit, seed):
    """Yield the moments of the episodes numbered share[0] and on, share[1] of them."""
    first, n = share
    clock = copy_streams(seed, first, vector.n_envs)
    observations = _rows(vector, vector.reset(seed, first))
    going = np.arange(vector.n_envs) < n
    while going.any():
        answer = act(observations, vector.action_mask, Draws(clock))
        actions = checked_actions(answer, vector.n_envs, vector.action_space)
        before, (seen, rewards, terminated, truncated, _) = observations, vector.step(actions)
        observations = _rows(vector, seen)
        step = int(clock[0, 2])
        clock[:, 2] += 1
        truncated = truncated | (~terminated & (step + 1 >= limit))
        at = np.flatnonzero(going)
        yield Moment(at + first, step, before[at], actions[at], rewards[at], terminated[at], truncated[at])
        going &= ~(terminated | truncated)


def _rows(vector, observations):
    return observations.reshape(vector.n_envs, -1)


def rollout_table(worlds, act, n_episodes, max_episode_steps, seed):
    """Return the steps of episodes as a table, as `rollout` does; parameters as for :func:`evaluate_policy`."""
    shares, first, moments, environment = _shared_out(worlds, n_episodes), 0, [], []
    for i, (world, share) in enumerate(zip(worlds, shares)):
        for moment in played(world, act, share, max_episode_steps, seed):
            moments.append(_columns(world, moment, first))
            environment.append(np.full(len(moment.episodes), i))
        first += share
    if len(worlds) > 1:
        moments = [{"environment": which, **columns} for which, columns in zip(environment, moments)]
    table = {name: np.concatenate([columns[name] for columns in moments]) for name in moments[0]}
    order = np.lexsort((table["step"], table["episode"]))
    return {name: column[order] for name, column in table.items()}


def _columns(world, moment, first):
    numbers = _named("observation", moment.observations, None if is_numbered(world) else "several")
    numbers |= _named("action", moment.actions.reshape(len(moment.episodes), -1), moment.actions.ndim > 1)
    steps = np.full(len(moment.episodes), moment.step)
    ends = {"reward": moment.rewards, "terminated": moment.terminated, "truncated": moment.truncated}
    return {"episode": moment.episodes + first, "step": steps, **numbers, **ends}


def is_numbered(world):
    """Tell whether an observation of an environment is one whole number."""
    space = getattr(world, "single_observation_space", getattr(world, "observation_space", None))
    return space is None or isinstance(flat_space(space), Discrete)


def _named(name, rows, several):
    if not several:
        return {name: rows[:, 0]}
    return {f"{name}_{j}": rows[:, j] for j in range(rows.shape[1])}


def record_frames(world, act, max_episode_steps, seed):
    """Return the frames of an episode; parameters as for :func:`evaluate_policy`."""
    if is_vector(world):
        raise ValueError("A vector environment can't be recorded; give one environment.")
    world, vector = playable(world), vectorize(playable(world))
    env, number = (copy.deepcopy(world), seed) if is_own(world) else (vector.envs[0], vector.seeds(seed, 0)[0])
    observation, info = called(env, "reset", **({"seed": int(number)} if takes_seed(env) else {}))
    clock, frames = copy_streams(seed, 0, 1), _frames(env)
    for _ in range(checked_limit(max_episode_steps) or _own_limit(world) or ENDLESS):
        rows = np.reshape(flattened(env.observation_space, observation), (1, -1))
        mask = info.get("action_mask")
        answer = act(rows, None if mask is None else np.asarray(mask, bool)[None], Draws(clock))
        action = checked_actions(answer, 1, flat_space(env.action_space))[0]
        observation, _, terminated, truncated, info = called(env, "step", unflattened(env.action_space, action))
        clock[:, 2] += 1
        frames += _frames(env)
        if terminated or truncated:
            break
    return frames


def _frames(env):
    """Return what an environment renders, as a list."""
    frame = called(env, "render") if callable(getattr(env, "render", None)) else None
    if frame is None:
        raise ValueError(
            f"{type(getattr(env, 'unwrapped', env)).__name__} renders nothing; make it with render_mode='rgb_array' or "
            "'ansi'."
        )
    return list(frame) if isinstance(frame, list) else [frame]
