"""The taxi that brings a passenger from one place to another."""

import numpy as np

from skml.reinforcement.environments import Environment
from skml.reinforcement.finite import Outcomes
from skml.reinforcement.spaces import Discrete

__all__ = ["Taxi"]

TOWN = ("R:.|.:.:G", ".:.|.:.:.", ".:.:.:.:.", ".|.:.|.:.", "Y|.:.|B:.")  # a colon can be crossed, a bar cannot
PLACES = ((0, 0), (0, 4), (4, 0), (4, 3))  # R, G, Y, B
SHAPE = (5, 5, 5, 4)  # row, column, passenger (4: in the taxi), destination
MOVES = ((1, 0), (-1, 0), (0, 1), (0, -1))  # of actions 0 to 3: (down, right)
ASIDE = ((2, 3), (3, 2), (1, 0), (0, 1))  # where rain may take each of them: to the left, to the right
OPEN = np.array([[mark == ":" for mark in row[1::2]] for row in TOWN])  # (5, 4), whether one gets to the next column


class Taxi(Environment):
    """A taxi that is to pick up a passenger at one of four places and to set them down at another.

    Dynamics, reward and end are those of Gymnasium's Taxi-v4 (and, without rain, of Taxi-v3). Actions are 0 down, 1 up,
    2 right, 3 left, 4 pick up, 5 set down. A step earns -1, picking up or setting down where that can't be -10, and
    setting down at the destination 20, which is the end. The actions that change something stand in
    ``info["action_mask"]``; agents keep to them while they learn and when they are judged.

    Parameters
    ----------
    is_rainy : bool, default=False
        Whether the taxi may be taken aside.
    rainy_probability : float, default=0.8
        In rain, the probability of going where one wants to; else one goes to either side of it.
    max_episode_steps : int or None, default=200
        After so many steps an episode is cut off (`truncated`); None for no limit.
    render_mode : {"ansi"}, default="ansi"
        What :meth:`render` returns: text.

    Attributes
    ----------
    mdp : FiniteMDP
        The town as a decision process of 500 states: ``((row * 5 + column) * 5 + passenger) * 4 + destination``.
    P : dict
        The same in Gymnasium's form.

    Raises
    ------
    ValueError
        If `rainy_probability` is not between 0 and 1.

    References
    ----------
    Dietterich, T. G. (2000). Hierarchical reinforcement learning with the MAXQ value function decomposition. Journal of
    Artificial Intelligence Research 13, 227-303.

    Examples
    --------
    >>> from skml.reinforcement import Taxi
    >>> env = Taxi()
    >>> observation, info = env.reset(seed=0, options={"state": 328})
    >>> print(env.render())
    R:.|.:.:G
    .:.|.:.:.
    .:.:.:.:.
    .|@:.|.:.
    Y|.:.|B:.
    passenger at Y, to R
    <BLANKLINE>
    >>> env.step(4)[:3]
    (328, -10.0, False)
    """

    metadata = {"render_modes": ["ansi"], "render_fps": 4}

    def __init__(self, *, is_rainy=False, rainy_probability=0.8, max_episode_steps=200, render_mode="ansi"):
        if not 0 <= rainy_probability <= 1:
            raise ValueError(f"rainy_probability must be between 0 and 1, got {rainy_probability!r}.")
        self.is_rainy, self.rainy_probability = is_rainy, rainy_probability
        outcomes = taxi_outcomes((rainy_probability, (1.0 - rainy_probability) / 2) if is_rainy else (1.0,))
        n_states = int(np.prod(SHAPE))
        super().__init__(outcomes.table(taxi_masks()), Discrete(n_states), 6, max_episode_steps, render_mode, outcomes)

    def _text(self):
        row, column, passenger, destination = np.unravel_index(self.state, SHAPE)
        town = [list(line) for line in TOWN]
        town[row][2 * column] = "@"
        where = "in the taxi" if passenger == 4 else f"at {'RGYB'[passenger]}"
        return "".join("".join(line) + "\n" for line in town) + f"passenger {where}, to {'RGYB'[destination]}\n"


def taxi_outcomes(chances):
    """Return the :class:`Outcomes` of the town; chances of going straight and, in rain, to either side."""
    row, column, passenger, destination = np.unravel_index(np.arange(np.prod(SHAPE)), SHAPE)
    cells = np.stack([_moved(row, column, move) for move in MOVES])  # (4, 2, S)
    s2 = np.empty((len(row), 6, 3), np.int64)
    for action, aside in enumerate(ASIDE):
        for k, way in enumerate((action, *aside)):
            # Where the way is barred nobody is taken aside.
            there = np.where((cells[action] == (row, column)).all(axis=0), (row, column), cells[way])
            s2[:, action, k] = np.ravel_multi_index((*there, passenger, destination), SHAPE)
    rewards, ends = np.full(s2.shape, -1.0), np.zeros(s2.shape, bool)
    s2[:, 4], rewards[:, 4] = _picked_up(row, column, passenger, destination)
    s2[:, 5], rewards[:, 5], ends[:, 5] = _set_down(row, column, passenger, destination)
    straight, *side = chances
    p = np.array([straight, *side, *side]) if side else np.array([straight, 0.0, 0.0])
    keep = np.ones(s2.shape, bool)
    keep[:, :4, 1:], keep[:, 4:, 1:] = bool(side), False
    chance = np.where(np.arange(6)[:, None] < 4, p, 1.0)
    starts = (passenger < 4) & (passenger != destination)
    return Outcomes.of_equal(chance, s2, rewards, ends, starts / starts.sum(), keep)


def _moved(row, column, move):
    """Return the cells that a move leads to, (2, S): the same where something is in the way."""
    down, right = move
    if down:
        return np.clip(row + down, 0, 4), column
    gap = column + min(right, 0)  # the line that is crossed
    free = (gap >= 0) & (gap < 4) & OPEN[row, np.clip(gap, 0, 3)]
    return row, np.where(free, column + right, column)


def _place_of(row, column):
    """Return which of the four places cells are, -1 for none."""
    at = np.full(len(row), -1)
    for k, (i, j) in enumerate(PLACES):
        at[(row == i) & (column == j)] = k
    return at


def _picked_up(row, column, passenger, destination):
    there = (passenger < 4) & (_place_of(row, column) == passenger)
    s2 = np.ravel_multi_index((row, column, np.where(there, 4, passenger), destination), SHAPE)
    return s2[:, None], np.where(there, -1.0, -10.0)[:, None]


def _set_down(row, column, passenger, destination):
    place = _place_of(row, column)
    can = (passenger == 4) & (place >= 0)
    arrived = can & (place == destination)
    s2 = np.ravel_multi_index((row, column, np.where(can, place, passenger), destination), SHAPE)
    return s2[:, None], np.select([arrived, can], [20.0, -1.0], -10.0)[:, None], arrived[:, None]


def taxi_masks():
    """Return which actions change something, (500, 6)."""
    row, column, passenger, _ = np.unravel_index(np.arange(np.prod(SHAPE)), SHAPE)
    moves = [(np.array(_moved(row, column, move)) != (row, column)).any(axis=0) for move in MOVES]
    place = _place_of(row, column)
    can = [(passenger < 4) & (place == passenger), (passenger == 4) & (place >= 0)]
    return np.stack([*moves, *can], axis=1)
