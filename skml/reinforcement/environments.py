"""Environments of our own: dynamics that a kernel steps, for one copy or for many in lockstep."""

import inspect
from dataclasses import dataclass, replace

import numpy as np

from skml._kernels import environments as kernels
from skml.base import FitInterruptedWarning, warn_caller
from skml.reinforcement.spaces import Discrete

__all__ = ["Environment", "EnvironmentFailed"]

ENTROPY = 2**63  # seeds are whole numbers below it


class EnvironmentFailed(RuntimeError):
    """An environment raised an exception while it was played.

    Parameters
    ----------
    message : str
        What it was doing.
    original : Exception or None, default=None
        What it raised.

    Attributes
    ----------
    original : Exception or None
        The same.

    Examples
    --------
    >>> from skml.reinforcement import EnvironmentFailed
    >>> error = EnvironmentFailed("Env.step raised ZeroDivisionError.", ZeroDivisionError())
    >>> error.original
    ZeroDivisionError()
    """

    def __init__(self, message, original=None):
        super().__init__(message)
        self.original = original


def called(env, name, *given, **named):
    """Call a method of an environment; what it raises comes back as :class:`EnvironmentFailed`."""
    try:
        return getattr(env, name)(*given, **named)
    except Exception as error:
        inner = type(getattr(env, "unwrapped", env)).__name__
        raise EnvironmentFailed(f"{inner}.{name} raised {type(error).__name__}: {error}", error) from error


def until_failure(steps, name):
    """Go on with steps until an environment raises; then what the last of them learnt is kept, if there was one.

    Parameters
    ----------
    steps : iterator of Step
        That learn.
    name : str
        Of the estimator, for the warning.

    Yields
    ------
    step : Step
        As they come.
    """
    done = None
    try:
        for step in steps:
            done = step
            yield step
    except EnvironmentFailed as error:
        if done is None:
            raise
        warn_caller(
            f"{name}.fit ended early: {error}. What was learnt up to the last finished task, an episode or an "
            "iteration, is kept.",
            FitInterruptedWarning,
        )
        yield replace(done, metrics={}, last=True)


# ----------------------------------------------------------------------------------------------- dynamics


@dataclass(frozen=True, eq=False)
class Table:
    """The dynamics of a finite world, as the kernels read them.

    Attributes
    ----------
    arrays : tuple of ndarray
        offsets (S + 1,), pair_actions, indptr, cumulative, next_states, rewards, ends, and the running sums of the
        start distribution: the fields of :class:`skml.reinforcement.mdp.Outcomes`.
    n_actions : int
        Of all states together.
    masks : ndarray of shape (S, n_actions), bool, or None
        Which actions each state offers; None where all do.
    """

    arrays: tuple
    n_actions: int
    masks: np.ndarray = None

    width = None  # an observation is one number

    @property
    def n_states(self):
        """How many states there are."""
        return len(self.arrays[7])

    def offered(self):
        """Return the table of those pairs alone that the masks allow."""
        offsets, actions, indptr, *outcomes, start = self.arrays
        states = np.repeat(np.arange(self.n_states), np.diff(offsets))
        kept = np.ones(len(states), bool) if self.masks is None else self.masks[states, actions]
        if kept.all():
            return self
        counts, n_outcomes = np.bincount(states[kept], minlength=self.n_states), np.diff(indptr)
        bounds = [np.append(0, np.cumsum(some)).astype(np.int32) for some in (counts, n_outcomes[kept])]
        outcomes = [column[np.repeat(kept, n_outcomes)] for column in outcomes]
        return Table((bounds[0], actions[kept], bounds[1], *outcomes, start), self.n_actions, self.masks)

    def copies(self, n):
        """Return room for the states of n copies."""
        return np.zeros(n, np.int64)

    def start(self, clock, states):
        """Put copies into the states in which their episodes begin, and return what is observed, (N,)."""
        kernels.start_table(self.arrays, clock, states)
        return states.copy()

    def step(self, actions, go_on, clock, states):
        """Take one step of all copies; return observations, rewards, (2, N) ends, and what the step led to."""
        n = len(states)
        last, rewards, ended = np.empty(n, np.int64), np.empty(n), np.empty((2, n), bool)
        kernels.step_table(self.arrays, actions, go_on, clock, states, last, rewards, ended.view(np.uint8))
        return states.copy(), rewards, ended, last

    def mask(self, states):
        """Return which actions the copies have, (N, n_actions), or None for all."""
        return None if self.masks is None else self.masks[states]


@dataclass(frozen=True, eq=False)
class Control:
    """The dynamics of a control task, as the kernels read them.

    Attributes
    ----------
    kind : int
        0: cart and pole, 1: car on a mountain.
    parameters : ndarray of shape (10,) or (N, 10)
        Of the task; rows where copies differ.
    """

    kind: int
    parameters: np.ndarray

    @property
    def width(self):
        """How many numbers an observation has."""
        return (4, 2)[self.kind]

    def copies(self, n):
        """Return room for the states of n copies."""
        return np.zeros((n, self.width))

    def start(self, clock, states):
        """Put copies into the states in which their episodes begin, and return what is observed, (N, width)."""
        observations = np.empty(states.shape, np.float32)
        kernels.start_control(self.kind, self._rows(states), clock, states, observations)
        return observations

    def step(self, actions, go_on, clock, states):
        """Take one step of all copies; return observations, rewards, (2, N) ends, and what the step led to."""
        n = len(states)
        observations, last = np.empty(states.shape, np.float32), np.empty(states.shape, np.float32)
        rewards, ended = np.empty(n), np.empty((2, n), bool)
        out = (states, observations, last, rewards, ended.view(np.uint8))
        kernels.step_control(self.kind, self._rows(states), actions, go_on, clock, *out)
        return observations, rewards, ended, last

    def _rows(self, states):
        return self.parameters if self.parameters.ndim == 2 else np.tile(self.parameters, (len(states), 1))

    def mask(self, states):
        """Return None: every action is always there."""


class Lockstep:
    """Copies of a world of our own, all stepped in one call.

    Parameters
    ----------
    dynamics : Table or Control
        Of all copies.
    n_envs : int
        How many copies, N.
    limits : int or array-like of shape (N,)
        The most steps of an episode; 0 for no limit.
    go_on : bool
        Whether a copy whose episode ends begins the next at once.
    """

    def __init__(self, dynamics, n_envs, limits, go_on):
        if isinstance(dynamics, Control):
            dynamics = Control(dynamics.kind, dynamics._rows(np.empty(n_envs)))
        self.dynamics, self.go_on = dynamics, go_on
        self.clock = np.zeros((n_envs, 4), np.int64)  # stream, episode, step, limit
        self.clock[:, 3] = limits
        self.states = dynamics.copies(n_envs)

    def reset(self, seed, first=0):
        """Begin episode 0 of the copies numbered from `first`, under a seed; return what is observed."""
        kernels.seed_copies(seed, first, self.clock)
        return self.dynamics.start(self.clock, self.states)

    def restart(self):
        """Begin the next episode of all copies; return what is observed."""
        self.clock[:, 1] += 1
        self.clock[:, 2] = 0
        return self.dynamics.start(self.clock, self.states)

    def step(self, actions):
        """Take one step of all copies; return observations, rewards, terminated, truncated, what the step led to."""
        actions = whole_actions(actions)
        observations, rewards, ended, last = self.dynamics.step(actions, self.go_on, self.clock, self.states)
        return observations, rewards, ended[0], ended[1], last

    @property
    def mask(self):
        """Which actions each copy has now, (N, n_actions), or None for all."""
        return self.dynamics.mask(self.states)


def whole_actions(actions):
    """Return actions as a contiguous array of int64; raise a ValueError if they aren't whole numbers."""
    actions = np.asarray(actions)
    if actions.dtype.kind not in "iub":
        raise ValueError(f"Actions must be whole numbers, got {actions.dtype}.")
    return np.ascontiguousarray(actions, np.int64)


# -------------------------------------------------------------------------------------------- environments


class Environment:
    """A world of our own with the methods and attributes of a Gymnasium environment; the base of those in skml.

    Episodes are numbered, and what an episode draws is a function of the seed and its number alone.

    Parameters
    ----------
    dynamics : Table or Control
        What a step does.
    observation_space : Discrete or Box
        Of observations.
    n_actions : int
        Of which there are to choose in each step.
    max_episode_steps : int or None
        After so many steps an episode is cut off (`truncated`); None for no limit.
    render_mode : {"ansi", "rgb_array"}
        What :meth:`render` returns: text, or an array of pixels.
    outcomes : object or None, default=None
        What a finite world's `P`, `mdp` and `initial_state_distrib` are made of.

    Attributes
    ----------
    state : int or ndarray
        Where one is; may be set.
    last_action : int or None
        The action of the last step.
    """

    metadata = {"render_modes": ["ansi", "rgb_array"], "render_fps": 4}
    spec = None

    def __init__(self, dynamics, observation_space, n_actions, max_episode_steps, render_mode, outcomes=None):
        self.dynamics, self.observation_space, self.action_space = dynamics, observation_space, Discrete(n_actions)
        self.max_episode_steps = checked_limit(max_episode_steps)
        if render_mode not in self.metadata["render_modes"]:
            raise ValueError(f"render_mode must be among {self.metadata['render_modes']}, got {render_mode!r}.")
        self.render_mode = render_mode
        self.last_action, self.outcomes = None, outcomes
        self._lockstep = Lockstep(dynamics, 1, self.max_episode_steps or 0, go_on=False)
        self._phase = "new"  # then "playing", then "over"

    def reset(self, *, seed=None, options=None):
        """Begin an episode.

        Parameters
        ----------
        seed : int or None, default=None
            With a seed episode 0 of it begins; None goes on to the next episode.
        options : dict or None, default=None
            ``{"state": s}`` begins in that state.

        Returns
        -------
        observation : int or ndarray of shape (n_numbers,), float32
        info : dict
            ``"action_mask"`` where actions are not always all there.

        Raises
        ------
        ValueError
            If the seed is no whole number from 0, or the state is none of this world.
        """
        if seed is None and self._phase == "new":
            seed = int(np.random.SeedSequence().entropy % ENTROPY)
        observation = self._lockstep.restart() if seed is None else self._lockstep.reset(checked_seed(seed))
        self._phase, self.last_action = "playing", None
        if options and "state" in options:
            self.state = options["state"]
            observation = self._lockstep.states.astype(self.observation_space.dtype)
        return self._seen(observation), self._info()

    def step(self, action):
        """Take one step.

        Parameters
        ----------
        action : int
            In ``action_space``.

        Returns
        -------
        observation : int or ndarray of shape (n_numbers,), float32
        reward : float
        terminated : bool
            Whether the episode is over.
        truncated : bool
            Whether it is cut off here by `max_episode_steps`.
        info : dict
            ``"action_mask"`` where actions are not always all there.

        Raises
        ------
        ValueError
            If the action is none of this world.
        RuntimeError
            If no episode has begun, or the last one is over.
        """
        if self._phase != "playing":
            raise RuntimeError("The episode is over: call reset()." if self._phase == "over" else "Call reset() first.")
        if not self.action_space.contains(action):
            raise ValueError(f"{action!r} is no action of {self!r}: actions are 0 to {self.action_space.n - 1}.")
        self.last_action = int(action)
        observation, reward, terminated, truncated, _ = self._lockstep.step(np.array([self.last_action]))
        terminated, truncated = bool(terminated[0]), bool(truncated[0])
        if terminated or truncated:
            self._phase = "over"
        return self._seen(observation), float(reward[0]), terminated, truncated, self._info()

    def _seen(self, observations):
        return int(observations[0]) if self.dynamics.width is None else observations[0]

    def _info(self):
        mask = self._lockstep.mask
        return {} if mask is None else {"action_mask": mask[0].astype(np.int8)}

    @property
    def state(self):
        """The state: a number, or the float64 numbers of which an observation is the float32 ones; may be set."""
        state = self._lockstep.states[0]
        return int(state) if self.dynamics.width is None else state.copy()

    @state.setter
    def state(self, state):
        state = np.asarray(state)
        here = self._lockstep.states
        inside = state.shape == here.shape[1:] and state.dtype.kind in "iuf" and np.isfinite(state).all()
        if not inside or (here.ndim == 1 and not self.observation_space.contains(state)):
            raise ValueError(f"{state!r} is no state of {self!r}.")
        here[0] = state

    def _known_outcomes(self):
        if self.outcomes is None:
            raise AttributeError(f"{type(self).__name__} has no table of transitions.")
        return self.outcomes

    @property
    def P(self):
        """Of a finite world: ``P[s][a] = [(probability, next state, reward, terminated), ...]``, as in Gymnasium."""
        return self._known_outcomes().listed

    @property
    def mdp(self):
        """Of a finite world: the :class:`FiniteMDP` that it is, with discount 0.99."""
        return self._known_outcomes().mdp()

    @property
    def initial_state_distrib(self):
        """Of a finite world: how likely an episode begins in each state, (n_states,)."""
        return self._known_outcomes().start

    def render(self):
        """Return what the world looks like now.

        Returns
        -------
        frame : str or ndarray of shape (height, width, 3), uint8
            As `render_mode` asks.
        """
        if self._phase == "new":
            raise RuntimeError("Call reset() first.")
        return self._text() if self.render_mode == "ansi" else self._pixels()

    def _text(self):
        return f"state {self.state}\n"

    def _pixels(self):
        raise ValueError(f"{type(self).__name__} has no picture; take render_mode='ansi'.")

    def close(self):
        """Do nothing: there is nothing to close."""

    @property
    def unwrapped(self):
        """The environment itself."""
        return self

    def __repr__(self):
        defaults = inspect.signature(type(self)).parameters.items()
        given = [(name, getattr(self, name, p.default)) for name, p in defaults]
        shown = [f"{name}={value!r}" for (name, value), (_, p) in zip(given, defaults) if not _same(value, p.default)]
        return f"{type(self).__name__}({', '.join(shown)})"


def _same(a, b):
    return type(a) is type(b) and np.array_equal(a, b)


class MDPEnvironment(Environment):
    """An environment that plays a :class:`FiniteMDP`.

    Parameters
    ----------
    mdp : FiniteMDP
        States are observed.
    max_episode_steps : int or None, default=None
        After so many steps an episode is cut off; None for no limit.

    Examples
    --------
    >>> from skml.reinforcement import FiniteMDP
    >>> from skml.reinforcement.environments import MDPEnvironment
    >>> mdp = FiniteMDP([[[0, 1], [0, 1]]], rewards=[2.0, 0.0], start=0)
    >>> env = MDPEnvironment(mdp)
    >>> env.reset(seed=0), env.step(0)
    ((0, {}), (1, 2.0, True, False, {}))
    """

    def __init__(self, mdp, max_episode_steps=None):
        outcomes = mdp.outcomes()
        arrays = (outcomes.offsets, outcomes.pair_actions, outcomes.indptr, outcomes.cumulative)
        arrays += (outcomes.next_states, outcomes.rewards, outcomes.ends, outcomes.start_cumulative)
        have = mdp.available
        masks = None if have[~mdp.terminal].all() else have
        self._mdp = mdp
        table = Table(tuple(np.ascontiguousarray(array) for array in arrays), mdp.n_actions, masks)
        super().__init__(table, Discrete(mdp.n_states), mdp.n_actions, max_episode_steps, "ansi")

    @property
    def mdp(self):
        """The process that is played."""
        return self._mdp

    @property
    def initial_state_distrib(self):
        """How likely an episode begins in each state, (n_states,)."""
        return self._mdp.start


def checked_limit(max_episode_steps):
    """Return the limit of an episode's steps, or None; raise a ValueError if it is no whole number from 1."""
    if max_episode_steps is None:
        return None
    whole = isinstance(max_episode_steps, (int, np.integer)) and not isinstance(max_episode_steps, bool)
    if not whole or max_episode_steps < 1:
        raise ValueError(f"max_episode_steps must be a whole number from 1 or None, got {max_episode_steps!r}.")
    return int(max_episode_steps)


def checked_seed(seed):
    """Return a seed as an int; raise a ValueError if it is no whole number from 0 to 2**63 - 1."""
    whole = isinstance(seed, (int, np.integer)) and not isinstance(seed, bool)
    if not whole or not 0 <= seed < ENTROPY:
        raise ValueError(f"seed must be a whole number from 0 to 2**63 - 1, got {seed!r}.")
    return int(seed)
