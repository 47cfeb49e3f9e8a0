"""Our environments for those who need a real Gymnasium environment."""

import copy

from skml.reinforcement.environments import Environment
from skml.reinforcement.spaces import Discrete
from skml.reinforcement.vector import playable

__all__ = ["to_gymnasium"]


def to_gymnasium(env):
    """Return an environment of skml, or a FiniteMDP, as an environment of Gymnasium's own class.

    For libraries that ask for one (skml's agents don't): its spaces are Gymnasium's, so wrappers, vector environments
    and other libraries' agents take it. Where Gymnasium isn't installed, ``pip install skml[rl]``.

    Parameters
    ----------
    env : environment of skml, or FiniteMDP
        Of which a copy is wrapped.

    Returns
    -------
    env : gymnasium.Env
        Steps as the original does; a finite one keeps its `P` and `mdp`.

    Raises
    ------
    ImportError
        If Gymnasium isn't installed.
    ValueError
        If `env` is not one of skml's.

    Examples
    --------
    >>> import pytest
    >>> gymnasium = pytest.importorskip("gymnasium")
    >>> from skml.reinforcement import FrozenLake, to_gymnasium
    >>> env = gymnasium.wrappers.RecordEpisodeStatistics(to_gymnasium(FrozenLake()))
    >>> env.observation_space, env.reset(seed=0)
    (Discrete(16), (0, {}))
    """
    try:
        import gymnasium
    except ImportError as error:
        raise ImportError("to_gymnasium needs Gymnasium, of the extra rl: pip install skml[rl].") from error
    env = copy.deepcopy(playable(env))
    if not isinstance(env, Environment):
        raise ValueError(f"env must be an environment of skml or a FiniteMDP, got {type(env).__name__}.")

    class Wrapped(gymnasium.Env):
        """An environment of skml."""

        def __init__(self):
            self.inner, self.metadata, self.render_mode = env, env.metadata, env.render_mode
            self.observation_space = _gymnasium_space(gymnasium, env.observation_space)
            self.action_space = _gymnasium_space(gymnasium, env.action_space)

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return self.inner.reset(seed=seed, options=options)

        def step(self, action):
            return self.inner.step(int(action))

        def render(self):
            return self.inner.render()

        def __getattr__(self, name):
            if name in ("P", "mdp", "initial_state_distrib"):
                return getattr(self.inner, name)
            raise AttributeError(f"{type(self.inner).__name__} of skml has no attribute {name!r}.")

        def __str__(self):
            return f"<{self.inner!r}>"

    return Wrapped()


def _gymnasium_space(gymnasium, space):
    if isinstance(space, Discrete):
        return gymnasium.spaces.Discrete(space.n, start=space.start)
    return gymnasium.spaces.Box(space.low, space.high, dtype=space.dtype.type)
