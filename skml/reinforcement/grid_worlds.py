"""Grids to walk in, drawn as text: of any map, the frozen lake, and the walk along the cliff."""

import inspect
from dataclasses import dataclass
from numbers import Real

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import breadth_first_order

from skml.reinforcement.environments import Environment
from skml.reinforcement.finite import Outcomes
from skml.reinforcement.spaces import Discrete

__all__ = ["CliffWalking", "FrozenLake", "GridWorld"]

# Orders of actions in which the two beside one are at right angles to it: (down, right) of each.
LEFT_DOWN_RIGHT_UP = ((0, -1), (1, 0), (0, 1), (-1, 0))
UP_RIGHT_DOWN_LEFT = ((-1, 0), (0, 1), (1, 0), (0, -1))

LAKES = {
    "4x4": ("SFFF", "FHFH", "FFFH", "HFFG"),
    "8x8": ("SFFFFFFF", "FFFFFFFF", "FFFHFFFF", "FFFFFHFF", "FFFHFFFF", "FHHFFFHF", "FHFFHFHF", "FFFHFFFG"),
}
CLIFF = ("............", "............", "............", "SCCCCCCCCCCG")

CELL = 16  # pixels
COLORS = {"#": (60, 60, 60), "S": (200, 230, 200), "G": (90, 190, 90), "H": (70, 110, 190), "C": (170, 90, 60)}
GROUND, WALKER = (235, 235, 240), (210, 60, 60)


@dataclass(frozen=True)
class Rules:
    """What happens on a grid.

    Attributes
    ----------
    moves : tuple of (int, int)
        Of each action, (down, right); the two beside one are at right angles to it.
    chances : tuple of float
        Of going straight, and of slipping to either side.
    rewards : dict of str to float
        For entering a letter.
    step_reward : float
        For entering any other.
    ends : str
        Letters on which the episode is over.
    returns : str
        Letters from which one is put back to the start.
    stays : bool
        Whether from where the episode is over every action leads back there, for nothing.
    """

    moves: tuple
    chances: tuple
    rewards: dict
    step_reward: float
    ends: str
    returns: str
    stays: bool


def grid_outcomes(letters, rules):
    """Return the :class:`Outcomes` of a map (R, C) of letters; cell (i, j) is state i C + j, walls ("#") as well."""
    flat, start = letters.ravel(), _start(letters)
    straight, side = rules.chances
    turns = np.array([[(a - 1) % 4, a, (a + 1) % 4] if side else [a] for a in range(4)])  # (A, K)
    reached = _reached(letters, rules.moves)  # (S, 4), cells
    paid = np.full(flat.shape, float(rules.step_reward))
    for letter, reward in rules.rewards.items():
        paid[_among(flat, letter)] = reward
    back = _among(flat, rules.returns)
    leads = np.where(back, _only(start), np.arange(flat.size)).astype(np.int32)[reached] if back.any() else reached
    rewards, ends, keep = paid[reached], _among(flat, rules.ends)[reached], None
    s2, rewards, ends = (column[:, turns] for column in (leads, rewards, ends))  # (S, A, K)
    chances = np.broadcast_to([side, straight, side] if side else [straight], s2.shape)
    stuck = _among(flat, "#" + rules.ends * rules.stays)
    if stuck.any():  # one outcome in place of all
        chances, here = chances.copy(), np.flatnonzero(stuck)
        chances[here], rewards[here], ends[here], s2[here] = 1.0, 0.0, True, here[:, None, None]
        if side:
            keep = np.ones(s2.shape, bool)
            keep[here, :, 1:] = False
    return Outcomes.of_equal(chances, s2, rewards, ends, start, keep)


def _among(letters, few):
    """Tell which letters are among a few; as numbers, which is quicker."""
    return np.isin(letters.view(np.uint32), [ord(letter) for letter in few])


def _reached(letters, moves):
    """Return the cell that each move leads to from each, (S, 4): its own at the edge and before a wall."""
    R, C = letters.shape
    own = np.arange(R * C, dtype=np.int32).reshape(R, C)
    rows, columns = np.arange(R), np.arange(C)
    reached = np.stack(
        [own[np.clip(rows + down, 0, R - 1)][:, np.clip(columns + right, 0, C - 1)] for down, right in moves], axis=2
    ).reshape(R * C, -1)
    return np.where(_among(letters.ravel(), "#")[reached], own.reshape(-1, 1), reached)


def _start(letters):
    flat = letters.ravel()
    starts = _among(flat, "S")
    return starts / starts.sum()


def _only(start):
    if (start > 0).sum() != 1:
        raise ValueError("A map with a letter that leads back to the start must have exactly one S.")
    return int(start.argmax())


def letters_of(drawing):
    """Return a map, text or a list of rows, as an array (R, C) of letters with at least one S."""
    rows = _rows_of(drawing) if isinstance(drawing, str) else list(drawing) if np.iterable(drawing) else []
    if not rows or not all(isinstance(row, str) for row in rows) or len({len(row) for row in rows}) != 1 or not rows[0]:
        raise ValueError(f"A map must be text, or a list of it, with rows of one length; got {drawing!r}.")
    letters = np.array(rows).view("U1").reshape(len(rows), -1)
    if not _among(letters, "S").any():
        raise ValueError("A map must have an S, where episodes begin.")
    return letters


def _rows_of(text):
    """Return the rows of a map in a text, which may be indented as the code is in which it stands."""
    rows = text.strip("\n").split("\n")
    if text.startswith("\n") or len({len(row) for row in rows}) != 1:
        rows = inspect.cleandoc(text).split("\n")
    return rows


def _chances(slip, name):
    if not isinstance(slip, Real) or not 0 <= slip <= 1:
        raise ValueError(f"{name} must be a number between 0 and 1, got {slip!r}.")
    return (1.0 - slip, slip / 2)


def _text_of(letters, state):
    shown = [list(row) for row in letters]
    i, j = divmod(state, letters.shape[1])
    shown[i][j] = "@"
    return "".join("".join(row) + "\n" for row in shown)


def _pixels_of(letters, state):
    colors = np.array([[COLORS.get(letter, GROUND) for letter in row] for row in letters], np.uint8)
    image = colors.repeat(CELL, axis=0).repeat(CELL, axis=1)
    image[::CELL] //= 2
    image[:, ::CELL] //= 2
    i, j = divmod(state, letters.shape[1])
    image[i * CELL + 4 : (i + 1) * CELL - 3, j * CELL + 4 : (j + 1) * CELL - 3] = WALKER
    return image


class GridWorld(Environment):
    """A grid to walk in, drawn as text.

    Actions are 0 left, 1 down, 2 right, 3 up. Who walks into a wall or over the edge stays. A state is a cell: that in
    row i and column j of a map of C columns is number i C + j.

    Parameters
    ----------
    drawing : str or list of str
        The map, a text in lines (which may be indented, as in a text of several lines in code) or a list of rows:
        ``S`` where episodes begin (one of several with the same probability), ``#`` walls, ``G`` goals and
        ``H`` holes, in which an episode is over, ``C`` cliffs, from which one is put back to the start; all other
        letters are ground.
    rewards : dict of str to float or None, default=None
        What entering each letter earns; None means ``{"G": 1.0, "C": -100.0}``.
    step_reward : float, default=0.0
        What entering any other letter earns, and staying before a wall.
    slip : float, default=0.0
        The probability of going to the left or right of where one wants to go, both with half of it.
    ends : str, default="GH"
        Letters on which an episode is over.
    returns : str, default="C"
        Letters from which one is put back to the start.
    max_episode_steps : int or None, default=None
        After so many steps an episode is cut off (`truncated`); None for no limit.
    render_mode : {"ansi", "rgb_array"}, default="ansi"
        What :meth:`render` returns: text with an ``@`` where one is, or a picture.

    Attributes
    ----------
    letters : ndarray of shape (R, C)
        The map.
    mdp : FiniteMDP
        The grid as a decision process.
    P : dict
        The same in Gymnasium's form.

    Raises
    ------
    ValueError
        If the map has rows of different lengths or no ``S``, or a number is out of its range.

    Examples
    --------
    >>> from skml.reinforcement import GridWorld
    >>> env = GridWorld(["S.#", "..G"], step_reward=-0.1)
    >>> env.reset(seed=0)
    (0, {})
    >>> [env.step(action)[:3] for action in (2, 2, 1, 2)]
    [(1, -0.1, False), (1, -0.1, False), (4, -0.1, False), (5, 1.0, True)]
    >>> print(env.render())
    S.#
    ..@
    <BLANKLINE>
    >>> map = '''
    ...     S.#
    ...     ..G
    ... '''
    >>> GridWorld(map).letters.tolist()
    [['S', '.', '#'], ['.', '.', 'G']]
    """

    moves = LEFT_DOWN_RIGHT_UP

    def __init__(
        self,
        drawing,
        *,
        rewards=None,
        step_reward=0.0,
        slip=0.0,
        ends="GH",
        returns="C",
        max_episode_steps=None,
        render_mode="ansi",
    ):
        self.drawing, self.rewards, self.step_reward, self.slip = drawing, rewards, float(step_reward), float(slip)
        self.ends, self.returns = ends, returns
        self.letters = letters_of(drawing)
        paid = {"G": 1.0, "C": -100.0} if rewards is None else dict(rewards)
        if odd := [letter for letter in paid if not (isinstance(letter, str) and len(letter) == 1)]:
            raise ValueError(f"rewards names letters of the map one by one, got {odd[0]!r}.")
        if not np.isfinite([step_reward, *paid.values()]).all():
            raise ValueError(f"Rewards must be finite, got {paid} and {step_reward}.")
        rules = Rules(self.moves, _chances(slip, "slip"), paid, step_reward, ends, returns, True)
        outcomes = grid_outcomes(self.letters, rules)
        super().__init__(outcomes.table(), Discrete(self.letters.size), 4, max_episode_steps, render_mode, outcomes)

    def _text(self):
        return _text_of(self.letters, self.state)

    def _pixels(self):
        return _pixels_of(self.letters, self.state)


class FrozenLake(Environment):
    """A frozen lake to cross, with holes in it, on ice that is slippery.

    Dynamics, reward and end are those of Gymnasium's FrozenLake-v1. Actions are 0 left, 1 down, 2 right, 3 up. Reaching
    the goal earns 1; an episode is over there, and in holes.

    Parameters
    ----------
    map_name : {"4x4", "8x8"}, default="4x4"
        Which of the two usual maps.
    desc : str or list of str or None, default=None
        A map of one's own in place of these: ``S`` start, ``F`` frozen, ``H`` hole, ``G`` goal.
    is_slippery : bool, default=True
        Whether one may go to either side of where one wants to go.
    success_rate : float, default=0.3333333333333333
        On slippery ice, the probability of going where one wants to.
    reward_schedule : tuple of three floats, default=(1, 0, 0)
        For reaching the goal, a hole, and ice.
    max_episode_steps : int or None, default="auto"
        After so many steps an episode is cut off (`truncated`); None for no limit; "auto" is 200 for the map "8x8" and
        100 for all others.
    render_mode : {"ansi", "rgb_array"}, default="ansi"
        What :meth:`render` returns: text with an ``@`` where one is, or a picture.

    Attributes
    ----------
    letters : ndarray of shape (R, C)
        The map.
    mdp : FiniteMDP
        The lake as a decision process.
    P : dict
        The same in Gymnasium's form.

    Raises
    ------
    ValueError
        If the map is unknown, has rows of different lengths or no ``S``, or a number is out of its range.

    Examples
    --------
    >>> from skml.reinforcement import FrozenLake
    >>> env = FrozenLake(is_slippery=False)
    >>> env.reset(seed=0)
    (0, {})
    >>> [env.step(action)[:3] for action in (2, 2, 1, 1, 1, 2)][-1]
    (15, 1.0, True)
    """

    moves = LEFT_DOWN_RIGHT_UP

    def __init__(
        self,
        map_name="4x4",
        *,
        desc=None,
        is_slippery=True,
        success_rate=1.0 / 3.0,
        reward_schedule=(1, 0, 0),
        max_episode_steps="auto",
        render_mode="ansi",
    ):
        if desc is None and map_name not in list(LAKES):
            raise ValueError(f"map_name must be among {list(LAKES)}, got {map_name!r}; give other maps as desc.")
        self.map_name, self.desc, self.is_slippery = map_name, desc, is_slippery
        self.success_rate, self.reward_schedule = success_rate, tuple(reward_schedule)
        self.letters = letters_of(LAKES[map_name] if desc is None else desc)
        _chances(success_rate, "success_rate")
        goal, hole, ice = (float(reward) for reward in reward_schedule)
        chances = (success_rate, (1.0 - success_rate) / 2.0) if is_slippery else (1.0, 0.0)
        rules = Rules(self.moves, chances, {"G": goal, "H": hole}, ice, "GH", "", True)
        outcomes = grid_outcomes(self.letters, rules)
        if max_episode_steps == "auto":
            max_episode_steps = 200 if desc is None and map_name == "8x8" else 100
        super().__init__(outcomes.table(), Discrete(self.letters.size), 4, max_episode_steps, render_mode, outcomes)

    @staticmethod
    def random_map(size=8, frozen=0.8, random_state=None):
        """Return a random map on which the goal can be reached.

        Parameters
        ----------
        size : int, default=8
            Rows and columns, at least 2.
        frozen : float, default=0.8
            The probability that a place is frozen and no hole.
        random_state : int, numpy Generator or None, default=None
            Where the map comes from.

        Returns
        -------
        rows : list of str
            For the parameter `desc`: the start in one corner, the goal in the opposite one.

        Raises
        ------
        ValueError
            If a number is out of its range.
        """
        if size < 2 or not 0 < frozen <= 1:
            raise ValueError(f"size must be at least 2 and frozen above 0 and at most 1, got {size} and {frozen}.")
        generator = np.random.default_rng(random_state)
        while True:
            letters = np.where(generator.random((size, size)) < frozen, "F", "H")
            letters[0, 0], letters[-1, -1] = "S", "G"
            if _is_crossed(letters):
                return ["".join(row) for row in letters]

    def _text(self):
        return _text_of(self.letters, self.state)

    def _pixels(self):
        return _pixels_of(self.letters, self.state)


def _is_crossed(letters):
    """Tell whether the last cell can be reached from the first without a hole."""
    n = letters.size
    reached = _reached(letters, LEFT_DOWN_RIGHT_UP)
    here, there = np.repeat(np.arange(n), 4), reached.ravel()
    free = (letters.ravel()[here] != "H") & (letters.ravel()[there] != "H")
    graph = sp.csr_array((np.ones(free.sum()), (here[free], there[free])), shape=(n, n))
    return n - 1 in breadth_first_order(graph, 0, return_predecessors=False)


class CliffWalking(Environment):
    """A walk along a cliff, from one end to the other.

    Dynamics, reward and end are those of Gymnasium's CliffWalking-v1. Actions are 0 up, 1 right, 2 down, 3 left. A step
    earns -1, one over the cliff -100, and that puts one back to the start. The shortest way earns -13.

    Parameters
    ----------
    is_slippery : bool, default=False
        Whether one goes to either side of where one wants to go, each with probability 1/3.
    max_episode_steps : int or None, default=None
        After so many steps an episode is cut off (`truncated`); None for no limit, as in Gymnasium.
    render_mode : {"ansi", "rgb_array"}, default="ansi"
        What :meth:`render` returns: text with an ``@`` where one is, or a picture.

    Attributes
    ----------
    letters : ndarray of shape (4, 12)
        The map.
    mdp : FiniteMDP
        The walk as a decision process.
    P : dict
        The same in Gymnasium's form.

    References
    ----------
    Sutton, R. S. & Barto, A. G. (2018). Reinforcement Learning: An Introduction, second edition, example 6.6. MIT
    Press.

    Examples
    --------
    >>> from skml.reinforcement import CliffWalking
    >>> env = CliffWalking()
    >>> env.reset(seed=0)
    (36, {})
    >>> env.step(1)[:3]
    (36, -100.0, False)
    """

    moves = UP_RIGHT_DOWN_LEFT

    def __init__(self, *, is_slippery=False, max_episode_steps=None, render_mode="ansi"):
        self.is_slippery, self.letters = is_slippery, letters_of(CLIFF)
        chances = (1 / 3, 1 / 3) if is_slippery else (1.0, 0.0)
        outcomes = grid_outcomes(self.letters, Rules(self.moves, chances, {"C": -100}, -1, "G", "C", False))
        super().__init__(outcomes.table(), Discrete(self.letters.size), 4, max_episode_steps, render_mode, outcomes)

    def _text(self):
        return _text_of(self.letters, self.state)

    def _pixels(self):
        return _pixels_of(self.letters, self.state)
