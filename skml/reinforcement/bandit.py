"""The bandit with several arms: one step, whose reward is a matter of luck."""

import numpy as np

from skml.reinforcement.environments import Environment
from skml.reinforcement.finite import Outcomes
from skml.reinforcement.spaces import Discrete

__all__ = ["Bandit"]


class Bandit(Environment):
    """A row of slot machines, of which one is played: an episode is one step.

    State 0 is before it, state 1 after it.

    Parameters
    ----------
    probabilities : array-like of shape (n_arms,)
        With which each arm pays.
    payoffs : float or array-like of shape (n_arms,), default=1.0
        What it pays then; else it pays 0.

    Attributes
    ----------
    mdp : FiniteMDP
        The bandit as a decision process.
    P : dict
        The same in Gymnasium's form.

    Raises
    ------
    ValueError
        If there is no arm, a probability is none, or there are not as many payoffs.

    References
    ----------
    Robbins, H. (1952). Some aspects of the sequential design of experiments. Bulletin of the American Mathematical
    Society 58, 527-535.

    Examples
    --------
    >>> from skml.reinforcement import Bandit
    >>> env = Bandit([0.2, 0.0], payoffs=5.0)
    >>> env.reset(seed=0)
    (0, {})
    >>> env.step(1)
    (1, 0.0, True, False, {})
    >>> env.mdp.rewards
    array([1., 0.])
    """

    metadata = {"render_modes": ["ansi"], "render_fps": 4}

    def __init__(self, probabilities, *, payoffs=1.0):
        p = np.array(probabilities, np.float64)
        if p.ndim != 1 or not p.size or not ((p >= 0) & (p <= 1)).all():
            raise ValueError(
                f"probabilities must hold at least one number, all between 0 and 1; got {probabilities!r}."
            )
        paid = np.array(payoffs, np.float64)
        if paid.shape not in ((), p.shape) or not np.isfinite(paid).all():
            raise ValueError(f"payoffs must be one finite number or {len(p)}, got {payoffs!r}.")
        self.probabilities, self.payoffs = p, paid
        chances, rewards = np.stack([p, 1 - p], axis=1), np.stack([paid + 0 * p, 0 * p], axis=1)
        over = np.array([False, True])[:, None, None]  # after the step there is nothing to win
        outcomes = Outcomes.of_equal(chances, 1, np.where(over, 0.0, rewards), True, np.array([1.0, 0.0]))
        super().__init__(outcomes.table(), Discrete(2), len(p), None, "ansi", outcomes)

    def _text(self):
        return "one of the arms was played\n" if self.state else "no arm was played\n"
