"""Control tasks with continuous states: a cart with a pole on it, and a car in a valley."""

import numpy as np

from skml.reinforcement.environments import Control, Environment
from skml.reinforcement.spaces import Box

__all__ = ["CartPole", "MountainCar"]

ANGLE = 12 * 2 * np.pi / 360  # of the pole, beyond which it has fallen
WHITE, BLACK, BROWN, GREY = (255, 255, 255), (30, 30, 30), (190, 140, 90), (150, 150, 150)


class CartPole(Environment):
    """A cart on a track, to be pushed left or right so that the pole on it stays up.

    Dynamics, reward and end are those of Gymnasium's CartPole-v1. An observation holds the cart's place and speed and
    the pole's angle and angular speed; each step earns 1, and the episode is over when the pole leans by more than 12
    degrees or the cart leaves the track.

    Parameters
    ----------
    gravity : float, default=9.8
        How strongly the pole is pulled down.
    cart_mass : float, default=1.0
        Of the cart alone.
    pole_mass : float, default=0.1
        Of the pole.
    pole_length : float, default=0.5
        Half of the pole's length.
    force : float, default=10.0
        With which the cart is pushed.
    sutton_barto_reward : bool, default=False
        Whether a step earns 0, and the last one, in which the pole falls, -1.
    max_episode_steps : int or None, default=500
        After so many steps an episode is cut off (`truncated`); None for no limit.
    render_mode : {"rgb_array", "ansi"}, default="rgb_array"
        What :meth:`render` returns.

    Attributes
    ----------
    observation_space : Box
        Four numbers, float32.
    action_space : Discrete
        0 pushes to the left, 1 to the right.
    state : ndarray of shape (4,), float64
        The observation's numbers as they are computed with.

    Raises
    ------
    ValueError
        If a mass or the length isn't positive.

    References
    ----------
    Barto, A. G., Sutton, R. S. & Anderson, C. W. (1983). Neuronlike adaptive elements that can solve difficult learning
    control problems. IEEE Transactions on Systems, Man, and Cybernetics 13, 834-846.

    Examples
    --------
    >>> from skml.reinforcement import CartPole
    >>> env = CartPole()
    >>> observation, info = env.reset(seed=0)
    >>> observation.shape, observation.dtype
    ((4,), dtype('float32'))
    >>> observation, reward, terminated, truncated, info = env.step(1)
    >>> reward, terminated, truncated
    (1.0, False, False)
    """

    metadata = {"render_modes": ["rgb_array", "ansi"], "render_fps": 50}

    def __init__(
        self,
        *,
        gravity=9.8,
        cart_mass=1.0,
        pole_mass=0.1,
        pole_length=0.5,
        force=10.0,
        sutton_barto_reward=False,
        max_episode_steps=500,
        render_mode="rgb_array",
    ):
        self.gravity, self.cart_mass, self.pole_mass = float(gravity), float(cart_mass), float(pole_mass)
        self.pole_length, self.force, self.sutton_barto_reward = float(pole_length), float(force), sutton_barto_reward
        _require_positive(cart_mass=cart_mass, pole_mass=pole_mass, pole_length=pole_length)
        rewards = (0.0, -1.0) if sutton_barto_reward else (1.0, 1.0)
        parameters = [gravity, cart_mass, pole_mass, pole_length, force, 0.02, *rewards, -0.05, 0.05]
        high = np.array([4.8, np.inf, 2 * ANGLE, np.inf], np.float32)
        dynamics = Control(0, _finite(parameters))
        super().__init__(dynamics, Box(-high, high), 2, max_episode_steps, render_mode)

    def _text(self):
        return "place {:.3f}, speed {:.3f}, angle {:.3f}, angular speed {:.3f}\n".format(*self.state)

    def _pixels(self):
        place, _, angle, _ = self.state
        image = np.full((100, 150, 3), WHITE, np.uint8)
        x = 75 + place * 150 / 4.8
        image[75] = GREY
        _fill(image, 70, 80, x - 8, x + 8, BLACK)
        for along in np.linspace(0, 100 * self.pole_length, 120):
            y, at = 70 - along * np.cos(angle), x + along * np.sin(angle)
            _fill(image, y - 1, y + 1, at - 1, at + 1, BROWN)
        return image


class MountainCar(Environment):
    """A car in a valley, too weak to drive straight up: it has to swing.

    Dynamics, reward and end are those of Gymnasium's MountainCar-v0. An observation holds the car's place and speed;
    each step earns -1, and the episode is over on the hill to the right.

    Parameters
    ----------
    force : float, default=0.001
        Of the engine.
    gravity : float, default=0.0025
        How strongly the car is pulled down.
    goal_velocity : float, default=0.0
        The least speed on the hill.
    max_episode_steps : int or None, default=200
        After so many steps an episode is cut off (`truncated`); None for no limit.
    render_mode : {"rgb_array", "ansi"}, default="rgb_array"
        What :meth:`render` returns.

    Attributes
    ----------
    observation_space : Box
        Two numbers, float32.
    action_space : Discrete
        0 drives to the left, 1 lets roll, 2 drives to the right.
    state : ndarray of shape (2,), float64
        The observation's numbers as they are computed with.

    References
    ----------
    Moore, A. W. (1990). Efficient memory-based learning for robot control. Ph.D. thesis, University of Cambridge.

    Examples
    --------
    >>> from skml.reinforcement import MountainCar
    >>> env = MountainCar()
    >>> observation, info = env.reset(seed=0)
    >>> bool(-0.6 <= observation[0] < -0.4), float(observation[1])
    (True, 0.0)
    >>> env.step(2)[1:4]
    (-1.0, False, False)
    """

    metadata = {"render_modes": ["rgb_array", "ansi"], "render_fps": 30}

    def __init__(
        self, *, force=0.001, gravity=0.0025, goal_velocity=0.0, max_episode_steps=200, render_mode="rgb_array"
    ):
        self.force, self.gravity, self.goal_velocity = float(force), float(gravity), float(goal_velocity)
        parameters = [force, gravity, goal_velocity, 0, 0, 0, 0, 0, -0.6, -0.4]
        low, high = np.array([-1.2, -0.07], np.float32), np.array([0.6, 0.07], np.float32)
        dynamics = Control(1, _finite(parameters))
        super().__init__(dynamics, Box(low, high), 3, max_episode_steps, render_mode)

    def _text(self):
        return "place {:.3f}, speed {:.4f}\n".format(*self.state)

    def _pixels(self):
        image = np.full((100, 150, 3), WHITE, np.uint8)
        places = np.linspace(-1.2, 0.6, 150)
        heights = 90 - 35 * (np.sin(3 * places) + 1)
        image[np.arange(100)[:, None] > heights] = GREY
        at, flag = ((x + 1.2) / 1.8 * 149 for x in (self.state[0], 0.5))
        _fill(image, heights[int(flag)] - 15, heights[int(flag)], flag, flag + 1, BROWN)
        _fill(image, heights[int(at)] - 6, heights[int(at)], at - 4, at + 4, BLACK)
        return image


def _finite(parameters):
    parameters = np.array(parameters, np.float64)
    if not np.isfinite(parameters).all():
        raise ValueError("The parameters of an environment must be finite numbers.")
    return parameters


def _require_positive(**numbers):
    for name, value in numbers.items():
        if not value > 0:
            raise ValueError(f"{name} must be positive, got {value!r}.")


def _fill(image, top, bottom, left, right, color):
    """Colour a rectangle, as much of it as is inside."""
    height, width = image.shape[:2]
    rows = slice(*np.clip([round(top), round(bottom) + 1], 0, height))
    image[rows, slice(*np.clip([round(left), round(right) + 1], 0, width))] = color
