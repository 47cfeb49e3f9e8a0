"""Gymnasium's vector environments, with the three ways in which they go on after the end of an episode."""

import numpy as np

from skml.reinforcement.checking_vectors import DISABLED, MODES, NEXT_STEP, RESET, STEP, mode_of
from skml.reinforcement.environments import called
from skml.reinforcement.spaces import Box, Discrete, flat_space


def require_begun(vector):
    """Raise a RuntimeError unless copies in lockstep have begun an episode."""
    if not vector.begun:
        raise RuntimeError("No episode has begun: call reset(seed) first, then step(actions).")


class GymnasiumVector:
    """A vector environment of Gymnasium's kind, as agents see it.

    Parameters
    ----------
    env : object
        With ``num_envs``, ``single_observation_space``, ``single_action_space``, and ``metadata["autoreset_mode"]``
        (without it, the default of Gymnasium: the next step).
    limit : int or None
        Must be None: such an environment keeps the limit of its episodes itself.
    """

    def __init__(self, env, limit):
        if limit is not None:
            raise ValueError(
                f"{type(env).__name__} steps its copies itself, so max_episode_steps can't be set here: set it where "
                "it is made (gymnasium.make_vec(..., max_episode_steps=...))."
            )
        self.env, self.n_envs = env, int(env.num_envs)
        self.raw_observations, self.raw_actions = env.single_observation_space, env.single_action_space
        self.observation_space, self.action_space = flat_space(self.raw_observations), flat_space(self.raw_actions)
        self.mode = mode_of(env)
        if self.mode not in MODES:
            raise ValueError(f"{type(env).__name__} has the autoreset mode {self.mode!r}, which skml doesn't know.")
        self.over = np.zeros(self.n_envs, bool)  # where an episode ended in the last step
        self.live, self.action_mask, self.begun = None, None, False

    def reset(self, seed, first=0):
        """Begin episodes; copies are seeded by the environment, from the seed and `first`."""
        from_stream = np.random.SeedSequence([seed, first]).generate_state(1)[0] >> 1
        observation, info = self._answer("reset", 2, RESET, seed=int(from_stream))
        self.over[:], self.live, self.begun = False, None, True
        self.action_mask = self._mask(info)
        return self._rows(observation)

    def step(self, actions):
        """Take one step of all copies."""
        require_begun(self)
        answer = self._answer("step", 5, STEP, batched(self.raw_actions, np.asarray(actions)))
        observation, reward, terminated, truncated, info = answer
        observation, reward = self._rows(observation), np.array(reward, np.float64)
        terminated = np.array(terminated, bool)
        truncated = np.array(truncated, bool) & ~terminated
        if not np.isfinite(reward).all():
            raise ValueError(f"{type(self.env).__name__} gave the rewards {reward}; they must be finite.")
        if self.mode == NEXT_STEP and not ({"final_obs", "final_observation"} & set(info)):
            return self._after_next_step(observation, reward, terminated, truncated, info)
        self.over = terminated | truncated
        self.action_mask = self._mask(info)
        if self.over.any():
            observation, last = (self._reset_some if self.mode == DISABLED else self._restored)(observation, info)
            return observation, reward, terminated, truncated, last
        return observation, reward, terminated, truncated, observation

    def _after_next_step(self, observation, reward, terminated, truncated, info):
        """Where an episode ended before, this step was none: it began the next episode."""
        began = self.over
        self.live = ~began if began.any() else None
        reward[began], terminated[began], truncated[began] = 0, False, False
        self.over = terminated | truncated
        self.action_mask = self._mask(info)
        return observation, reward, terminated, truncated, observation

    def _restored(self, observation, info):
        """Return observations, and what the step led to: where an episode ended, that is in the info."""
        final = info.get("final_obs", info.get("final_observation"))
        if final is None:
            raise ValueError(
                f"{type(self.env).__name__} begins the next episode in the same step but doesn't give final_obs in its "
                "info, from which to bootstrap."
            )
        last = observation.copy()
        for i in np.flatnonzero(self.over):
            parts = _taken(self.raw_observations, final, i)
            last[i] = columns(self.raw_observations, parts, 1)[0].reshape(last[i].shape)
        return observation, last

    def _reset_some(self, last, info):
        """Begin new episodes where some have ended; return observations, and what the step led to."""
        observation, info = self._answer("reset", 2, RESET, options={"reset_mask": self.over.copy()})
        mask = self._mask(info)
        if mask is not None:
            kept = np.ones_like(mask) if self.action_mask is None else self.action_mask
            self.action_mask = np.where(self.over[:, None], mask, kept)
        return self._rows(observation), last

    def _answer(self, name, n, words, *given, **named):
        """Return what a method of the environment answers, a tuple of n."""
        answer = called(self.env, name, *given, **named)
        if not isinstance(answer, tuple) or len(answer) != n:
            raise ValueError(f"{type(self.env).__name__}: {words}; run check_env on it for all that is wrong.")
        return answer

    def _rows(self, observation):
        rows = columns(self.raw_observations, observation, self.n_envs)
        space = self.observation_space
        if isinstance(space, Box) and space.dtype.kind == "f" and not np.isfinite(rows).all():
            raise ValueError(f"{type(self.env).__name__} gave observations with NaN or infinity.")
        return np.array(rows, space.dtype).reshape(
            self.n_envs, *space.shape
        )  # a copy: some envs use their arrays again

    @property
    def last_mask(self):
        """Which actions there are where the last step led to, (N, A); all, where an episode ended there."""
        return None if self.action_mask is None else self.action_mask | self.over[:, None]

    def _mask(self, info):
        mask = info.get("action_mask")
        if mask is None or not isinstance(self.action_space, Discrete):
            return None
        mask = np.array(mask, bool).reshape(self.n_envs, self.action_space.n)
        mask[~mask.any(axis=1)] = True  # copies about which nothing was told
        return mask


def _taken(space, final, i):
    """Return the batch of one that is entry i of final observations, an array of objects or a batch."""
    entry = final[i] if isinstance(final, np.ndarray) else None
    if entry is not None and (final.dtype == object or not hasattr(space, "spaces")):
        return _with_axis(space, entry)
    inner = space.spaces
    if hasattr(inner, "keys"):
        return {key: _taken(inner[key], final[key], i) for key in inner}
    return tuple(_taken(part, values, i) for part, values in zip(inner, final))


def _with_axis(space, x):
    inner = getattr(space, "spaces", None)
    if inner is None:
        return np.asarray(x)[None]
    if hasattr(inner, "keys"):
        return {key: _with_axis(inner[key], x[key]) for key in inner}
    return tuple(_with_axis(part, value) for part, value in zip(inner, x))


def columns(space, batch, n):
    """Return a batch of elements of a space as rows, (n, k).

    Parameters
    ----------
    space : object
        Of one element.
    batch : ndarray, tuple or dict
        n elements: arrays of shape (n, ...), in a tuple or dictionary where the space is one.
    n : int
        How many.

    Returns
    -------
    rows : ndarray of shape (n, k)
        The parts of a tuple or dictionary one after another.
    """
    inner = getattr(space, "spaces", None)
    if inner is None:
        return np.asarray(batch).reshape(n, -1)
    keys = list(inner.keys()) if hasattr(inner, "keys") else range(len(inner))
    return np.concatenate([columns(inner[key], batch[key], n) for key in keys], axis=1)


def batched(space, rows):
    """Return rows (n, k), or numbers (n,), as a batch of elements of a space: the other way round than `columns`."""
    made, _ = _batched(space, rows.reshape(len(rows), -1))
    return made


def _batched(space, rows):
    inner = getattr(space, "spaces", None)
    if inner is None:
        shape = tuple(space.shape or ())
        size = int(np.prod(shape))
        return rows[:, :size].reshape(len(rows), *shape).astype(space.dtype), rows[:, size:]
    made = []
    for part in inner.values() if hasattr(inner, "values") else inner:
        batch, rows = _batched(part, rows)
        made.append(batch)
    return (dict(zip(inner, made)) if hasattr(inner, "keys") else tuple(made)), rows
