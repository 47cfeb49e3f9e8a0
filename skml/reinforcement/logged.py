"""Logged data: rows of observations and the actions taken there become steps of episodes."""

from dataclasses import dataclass

import numpy as np
from sklearn.utils import check_array, column_or_1d

from skml._rows import distinct_rows


@dataclass(frozen=True)
class Log:
    """Steps that somebody took: n of them, each a row.

    Attributes
    ----------
    observations : ndarray of shape (n, n_features)
        What was seen before the step; float32 or float64.
    actions : ndarray of shape (n,), int32
        What was done, as codes of the classes.
    n_actions : int
        How many classes there are.
    weights : ndarray of shape (n,), float64
        Of the steps.
    reward : ndarray of shape (n,), float64, or None
        What came of it; None means that the log is a model to imitate.
    following : ndarray of shape (n,), int64
        The row of the next step of the episode; -1 where none is known.
    terminated : ndarray of shape (n,), bool
        Whether the episode truly ended with the step, so that nothing comes after it.
    """

    observations: np.ndarray
    actions: np.ndarray
    n_actions: int
    weights: np.ndarray
    reward: np.ndarray | None = None
    following: np.ndarray | None = None
    terminated: np.ndarray | None = None

    @property
    def teaches(self):
        """Which steps tell what they led to: those that have a successor, or truly ended."""
        return (self.following >= 0) | self.terminated

    @property
    def first(self):
        """The rows that begin an episode, ascending."""
        followed = np.zeros(len(self.actions), dtype=bool)
        followed[self.following[self.following >= 0]] = True
        return np.flatnonzero(~followed)


@dataclass(frozen=True)
class LogColumns:
    """What a log says about its steps besides observations and actions, as the user gave it.

    Attributes
    ----------
    reward, episode, terminated : array-like of shape (n,) or None
        See :meth:`skml.reinforcement.base.BaseAgent.fit`.
    """

    reward: object = None
    episode: object = None
    terminated: object = None

    def given(self):
        """Return the names of what was given."""
        return [name for name, value in vars(self).items() if value is not None]

    def assumed(self):
        """Return in words what is taken for granted of a log with rewards that doesn't say where they end, or None."""
        if self.reward is None or self.terminated is not None:
            return None
        if self.episode is None:
            return (
                "with 'reward', but with neither 'episode' nor 'terminated': all rows are taken for the successive "
                "steps of one episode that never ended. Give these columns; terminated=ones if each step stands alone, "
                "zeros if this is what you mean."
            )
        return (
            "with 'reward' and 'episode', but without 'terminated': no episode is taken to have ended, so that what "
            "the last step of each earned teaches nothing. Give this column; zeros if this is what you mean."
        )


def read_table(X, y, columns):
    """Return observations, actions and :class:`LogColumns` of a log that is a table, as `rollout` returns it.

    Parameters
    ----------
    X : object
        A dictionary or a frame with the columns "observation", or "observation_0" and so on; anything else is left.
    y : array-like or None
        The actions; None takes the column "action", and "reward", "episode" and "terminated" where they are not given.
    columns : LogColumns
        As the user gave it.

    Returns
    -------
    X, y, columns : array-like, array-like or None, LogColumns
        For :func:`imitation_log` and :func:`episode_log`.

    Raises
    ------
    ValueError
        If a dictionary has no column of observations, these are no numbers of steps, or there is no column "action" and
        y is None.
    """
    names = _names(X)
    several = [f"observation_{j}" for j in range(len(names))]
    seen = ["observation"] if "observation" in names else [name for name in several if name in names]
    if not seen and isinstance(X, dict):
        raise ValueError(
            f"A table of steps needs the column 'observation', or 'observation_0' and so on; it has {names}."
        )
    if not seen or not (y is None or isinstance(X, dict)):
        return X, y, columns
    shapes = [np.shape(X[name]) for name in seen]
    if len(set(shapes)) > 1 or len(shapes[0]) != 1:
        raise ValueError(f"A table of steps needs a number of each step in {seen}; their shapes are {shapes}.")
    observations = np.stack([np.asarray(X[name]) for name in seen], axis=1)
    if y is not None:
        return observations, y, columns
    if "action" not in names:
        raise ValueError(f"A table of steps needs the column 'action', a number of each step; it has {names}.")
    given = {name: X[name] for name in ("reward", "episode", "terminated") if name in names}
    given |= {name: value for name, value in vars(columns).items() if value is not None}
    return observations, X["action"], LogColumns(**given)


def _names(X):
    """Return the names of the columns of a dictionary or a frame; of anything else none."""
    return [str(name) for name in (X if isinstance(X, dict) else getattr(X, "columns", ()))]


def imitation_log(X, codes, n_actions, weights):
    """Return a log without rewards: steps stand alone, in canonical order, equal ones merged.

    Parameters
    ----------
    X : ndarray of shape (n, n_features)
        Observations.
    codes : ndarray of shape (n,), int
        Actions.
    n_actions : int
        How many there are.
    weights : ndarray of shape (n,) or None
        Of the rows; those of weight 0 are left out.

    Returns
    -------
    log : Log
        Whatever the order of the rows, and whether one is written twice or weighs 2, the same.
    """
    index, merged = distinct_rows(X, weights, codes)
    return Log(X[index], codes[index].astype(np.int32), n_actions, merged)


def episode_log(X, codes, n_actions, weights, columns):
    """Return a log with rewards: its rows are the successive steps of episodes.

    Parameters
    ----------
    X : ndarray of shape (n, n_features)
        Observations.
    codes : ndarray of shape (n,), int
        Actions.
    n_actions : int
        How many there are.
    weights : ndarray of shape (n,) or None
        Of the rows. A step of weight 0 teaches nothing, and yet it is where the step before it led to.
    columns : LogColumns
        With a reward.

    Returns
    -------
    log : Log
        In the order of the rows. Rows of one episode are its steps in the order of the rows, whatever stands between.

    Raises
    ------
    ValueError
        If a reward is missing or infinite, lengths differ, or an episode goes on after it terminated.
    """
    n = len(X)
    reward = _reward_of(columns.reward, n)
    terminated = _flags_of(columns.terminated, n)
    if columns.episode is None:
        following = np.where(terminated, -1, np.arange(1, n + 1))
        following[-1] = -1
    else:
        following = _following(columns.episode, n)
        if (after := terminated & (following >= 0)).any():
            row = int(np.argmax(after))
            raise ValueError(
                f"terminated is true in row {row}, but its episode goes on in row {following[row]}; give the steps of "
                "an episode in their order, and what comes after its end an episode of its own."
            )
    weights = np.ones(n) if weights is None else weights
    return Log(X, codes.astype(np.int32), n_actions, weights, reward, following, terminated)


def _column(values, n, name):
    values = column_or_1d(values, warn=False)
    if len(values) != n:
        raise ValueError(f"{name} has {len(values)} entries for {n} rows of X.")
    return values


def _reward_of(reward, n):
    reward = check_array(reward, ensure_2d=False, dtype=np.float64, input_name="reward", ensure_all_finite=False)
    reward = _column(reward, n, "reward")
    if (absent := ~np.isfinite(reward)).any():
        row = int(np.argmax(absent))
        raise ValueError(
            f"reward is {reward[row]} in row {row}; each step needs a finite one. Without any (reward=None) the log is "
            "imitated."
        )
    return reward


def _flags_of(terminated, n):
    if terminated is None:
        return np.zeros(n, dtype=bool)
    flags = _column(terminated, n, "terminated")
    if flags.dtype.kind not in "biuf" or not np.isin(flags, (0, 1)).all():
        raise ValueError(f"terminated must hold true and false, got {np.unique(flags)[:3].tolist()}.")
    return flags.astype(bool)


def _following(episode, n):
    """Return for each row the next row of the same episode, or -1."""
    episode = _column(episode, n, "episode")
    if episode.dtype.kind == "f" and np.isnan(episode).any():
        raise ValueError(f"episode is NaN in row {int(np.argmax(np.isnan(episode)))}; each step belongs to one.")
    try:
        codes = np.unique(episode, return_inverse=True)[1].reshape(-1)
    except TypeError:
        raise ValueError("episode holds names of several types; use one, and none that is missing.") from None
    order = np.argsort(codes, kind="stable")
    following = np.full(n, -1)
    same = codes[order[1:]] == codes[order[:-1]]
    following[order[:-1][same]] = order[1:][same]
    return following
