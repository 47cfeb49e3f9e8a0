"""Policy gradients: what learning needs to go on, steps of policy and critic, and what shows how well they go."""

import math
from dataclasses import dataclass, replace

import numpy as np

from skml import _kernels
from skml.network.optimizers import Adam, clip_gradient
from skml.network.schedules import schedule
from skml.reinforcement.policies import EVERYTHING, policy_gradient
from skml.reinforcement.returns import explained_variance

ROWS = 8192  # of a log, that go through the networks at a time
LEAST = 0.1  # of the mean, that a unit of rewards is: where returns hardly differ, their deviation is next to nothing


@dataclass(frozen=True)
class Plan:
    """How to learn.

    Attributes
    ----------
    discount, gae_lambda : float
        Of rewards, and of later errors.
    entropy_weight, value_weight : float
        Of the entropy and of the critic's error in the loss.
    learning_rate : float
        Of Adam.
    schedule : str
        What it is multiplied with, as steps go by.
    gradient_clip : float or None
        The largest norm of the gradient.
    n_steps : int
        The n of n-step returns.
    max_steps : int
        Steps of environments, in all.
    baseline : {"value", "mean", None}
        What whole episodes are compared with.
    critic : {"v", "q"}
        What the critic says.
    normalize_observations, normalize_rewards : bool
        Whether they are scaled as they come.
    """

    discount: float = 0.99
    gae_lambda: float = 1.0
    entropy_weight: float = 0.0
    value_weight: float = 0.5
    learning_rate: float = 1e-3
    schedule: str = "constant"
    gradient_clip: float | None = 0.5
    n_steps: int = 5
    max_steps: int = 100_000
    baseline: str | None = "value"
    critic: str = "v"
    normalize_observations: bool = False
    normalize_rewards: bool = False


@dataclass(frozen=True)
class Moments:
    """A running count, mean and sum of squared deviations (Chan, Golub & LeVeque 1983).

    Attributes
    ----------
    count : float
        How many there were.
    mean, squares : ndarray or float
        Their mean, and their squared deviations from it added up.
    """

    count: float
    mean: object
    squares: object

    def joined(self, count, mean, squares):
        """Return the moments of these and others."""
        total, gap = self.count + count, mean - self.mean
        return Moments(
            total, self.mean + gap * count / total, self.squares + squares + gap**2 * self.count * count / total
        )

    @property
    def variance(self):
        """Their variance."""
        return self.squares / max(self.count, 1)


@dataclass(frozen=True, eq=False)
class Learnt:
    """All that learning needs to go on.

    Attributes
    ----------
    actor : object
        The :class:`Actor`, with the newest scaling of observations.
    flat : ndarray of shape (n_parameters,)
        Of policy and critic.
    moments : tuple of two ndarray of shape (n_parameters,)
        The optimizer's.
    counts : (int, int)
        Steps of the policy's optimizer and of the critic's.
    n_steps, n_episodes : int
        Of environments.
    seed : int
        What chance depends on.
    seen : Moments or None
        Of observations.
    earned : Moments or None
        Of discounted returns.
    best, since : float, int
        Of a log: the least loss so far, and how many iterations it didn't improve.
    """

    actor: object
    flat: np.ndarray
    moments: tuple
    counts: tuple
    n_steps: int
    n_episodes: int
    seed: int
    seen: object = None
    earned: object = None
    best: float = math.inf
    since: int = 0


def begin(actor, seed):
    """Return what learning begins with."""
    flat = actor.initial(np.random.default_rng([seed, 0])).flat
    return Learnt(actor, flat, (np.zeros_like(flat), np.zeros_like(flat)), (0, 0), 0, 0, seed)


class Learner:
    """A policy and its critic while they learn: parameters that change in place, gradients, figures.

    Parameters
    ----------
    plan : Plan
        How.
    learnt : Learnt
        What to begin with; it is left as it is.
    n_threads : int
        How many threads to use; no result depends on it.
    """

    def __init__(self, plan, learnt, n_threads):
        self.plan, self.actor, self.learnt, self.n_threads = plan, learnt.actor, learnt, n_threads
        self.flat, self.moments = learnt.flat.copy(), tuple(moment.copy() for moment in learnt.moments)
        self.counts, self.n_steps, self.n_episodes = list(learnt.counts), learnt.n_steps, learnt.n_episodes
        # once rewards are no longer divided, values and the entropy's weight are not either
        self.seen, self.earned = learnt.seen, learnt.earned if plan.normalize_rewards else None
        self.optimizer, self.factor = Adam(plan.learning_rate, epsilon=1e-5), schedule(plan.schedule)
        self.g = np.zeros_like(self.flat)
        self.figures = Figures(self.actor.parts[3].stop)

    @property
    def entropy_weight(self):
        """The weight of the entropy, which is in the unit of rewards, beside advantages as they are taken."""
        return self.plan.entropy_weight / unit_of(self.earned)

    def snapshot(self, **others):
        """Return what was learnt so far."""
        return replace(
            self.learnt,
            actor=self.actor,
            flat=self.flat.copy(),
            moments=tuple(moment.copy() for moment in self.moments),
            counts=tuple(self.counts),
            n_steps=self.n_steps,
            n_episodes=self.n_episodes,
            seen=self.seen,
            earned=self.earned,
            **others,
        )

    def gradient_of_policy(self, x, acts, pulls, g=None):
        """Write the policy's gradient and return its figures, see :func:`policy_gradient`."""
        g = self.g[self.actor.parts[3]] if g is None else g
        return policy_gradient(self.actor, self.flat, x, acts, pulls, g, self.n_threads)

    def gradient_of_rows(self, x, actions, pulls):
        """Write the policy's gradient of any number of rows, some at a time, and return their figures."""
        g, parts, figures = self.g[self.actor.parts[3]], np.zeros_like(self.g[self.actor.parts[3]]), []
        for start in range(0, len(x), ROWS):
            some = slice(start, start + ROWS)
            acts, pull = (actions[some], EVERYTHING), tuple(pull[some] for pull in pulls)
            figures.append(self.gradient_of_policy(x[some], acts, pull))
            parts += g
        g[:] = parts
        return np.concatenate(figures)

    def values(self, x):
        """Return the outputs of all the critic's layers."""
        return self.actor.critic.forward(x, self.flat[self.actor.parts[2]], self.n_threads)

    def gradient_of_critic(self, x, y, dz):
        """Write the critic's gradient, given that at its outputs of the first rows."""
        part = self.actor.parts[2]
        self.actor.critic.backward(x, self.flat[part], y, dz, self.g[part], self.n_threads)

    def descend(self, of_policy=True, of_critic=True):
        """Take a step of the policy, of the critic, or of both, along the gradient, cut to its largest norm."""
        policy, critic = self.actor.parts[3], self.actor.parts[2]
        parts = [(0, policy)] * of_policy + [(1, critic)] * (of_critic and self.actor.critic is not None)
        whole = self.g[parts[0][1].start : parts[-1][1].stop]
        if self.plan.gradient_clip is not None:
            clip_gradient(whole, self.plan.gradient_clip)
        rate = self.factor(min(self.n_steps, self.plan.max_steps), self.plan.max_steps)
        for which, part in parts:
            self.counts[which] += 1
            moments = (moment[part] for moment in self.moments)
            self.optimizer.update(self.flat[part], self.g[part], moments, self.counts[which], rate)

    def teach(self, x, target, weights, n_steps, columns=0):
        """Take steps of the critic alone towards targets of rows, of which each counts with a weight."""
        g, columns = self.g[self.actor.parts[2]], np.broadcast_to(columns, len(x))
        for _ in range(n_steps):
            parts = np.zeros_like(g)
            for start in range(0, len(x), ROWS):
                some = slice(start, start + ROWS)
                self._add_to_critic(x[some], target[some], weights[some], columns[some])
                parts += g
            g[:] = parts
            self.descend(of_policy=False)

    def _add_to_critic(self, x, target, weights, columns):
        """Write the critic's gradient of some rows."""
        y, chosen = self.values(x), (np.arange(len(x)), columns)
        outputs = self.actor.critic.outputs(y, len(x))
        dz = np.zeros_like(outputs)
        dz[chosen] = 2 * weights * (outputs[chosen] - target)
        self.gradient_of_critic(x, y, dz)

    def require_finite(self):
        """Raise a FloatingPointError unless all parameters are finite."""
        if not np.isfinite(self.flat).all():
            raise FloatingPointError(
                "The policy's parameters are no longer finite; take a smaller learning_rate_init or gradient_clip."
            )


# -------------------------------------------------------------------------------------------- the figures


class Figures:
    """What shows how learning goes, gathered over the updates of an iteration.

    Parameters
    ----------
    n_parameters : int
        Of the policy.
    """

    def __init__(self, n_parameters):
        self.last_return = math.nan
        self.n_parameters = n_parameters
        self.clear()

    def clear(self):
        """Begin an iteration."""
        self.total, self.squares, self.n_gradients = np.zeros(self.n_parameters), 0.0, 0
        self.sums, self.n_updates, self.returns, self.pairs = np.zeros(2), 0, [], []

    def add_gradient(self, g):
        """Take note of the gradient of an update, or of an episode."""
        self.total += g
        self.squares += float(_kernels.fused.sum_of_squares(g, 1))
        self.n_gradients += 1

    def add(self, figures, weights=None):
        """Take note of the entropy and of the distance to the boundary."""
        self.sums += figures[:, 1:].mean(axis=0) if weights is None else weights @ figures[:, 1:] / weights.sum()
        self.n_updates += 1

    def signal_to_noise(self):
        """Return |mean g|^2 / (s^2 / n) of n gradients with the sum s^2 of the variances of their numbers.

        It is 1 on the average where there is nothing but noise.
        """
        n = self.n_gradients
        if n < 2:
            return math.nan
        signal = float(self.total @ self.total) / n**2
        noise = (self.squares - n * signal) / (n - 1) / n
        return signal / noise if noise > 0 else math.inf

    def metrics(self):
        """Return the figures of the iteration; the mean return is that of the last one where no episode has ended."""
        returns = np.concatenate(self.returns) if self.returns else np.empty(0)
        if len(returns):
            self.last_return = float(returns.mean())
        entropy, boundary = self.sums / max(self.n_updates, 1)
        metrics = {
            "return": self.last_return,
            "n_episodes": len(returns),
            "gradient_snr": self.signal_to_noise(),
            "entropy": entropy,
            "boundary_distance": boundary,
        }
        if self.pairs:
            value, target = (np.concatenate([pair[i] for pair in self.pairs]) for i in (0, 1))
            metrics["explained_variance"] = explained_variance(value, target)
        return metrics


# ------------------------------------------------------------------------------------- scales as they come


def scaled_rewards(learner, record):
    """Return rewards, divided by the deviation of discounted returns so far if that is asked for."""
    if not learner.plan.normalize_rewards:
        return record.reward
    seen = _gathered(learner, record)
    seen = seen if record.there is None else seen[record.there]
    if seen.size:
        mean, earned = seen.mean(), learner.earned or Moments(0, 0.0, 0.0)
        learner.earned = earned.joined(seen.size, mean, ((seen - mean) ** 2).sum())
    return record.reward / unit_of(learner.earned)


def unit_of(earned):
    """Return what rewards are divided by, given the moments of what was earned: at least a part of the mean."""
    return 1.0 if earned is None else max(math.sqrt(earned.variance), LEAST * abs(earned.mean)) or 1.0


def _gathered(learner, record):
    """Return what each episode has earned up to each step, earlier rewards discounted: C_t = r_tp1 + discount C_tm1."""
    ended, before = record.ended.any(axis=0), getattr(learner, "going", None)
    reward, after_end, found = record.reward[::-1].copy(), np.zeros(ended.shape, np.uint8), np.empty(ended.shape)
    after_end[:-1], zero = ended[:-1][::-1], np.zeros(ended.shape)
    if before is not None:
        reward[-1] += learner.plan.discount * before
    # the recursion of advantages, backwards in time
    _kernels.actors.advantages(reward, zero, zero, zero.astype(np.uint8), after_end, learner.plan.discount, 1.0, found)
    learner.going = np.where(ended[-1], 0.0, found[0])
    return found[::-1]


def rescale(learner, recorder, record):
    """Learn from a record what observations are centred and scaled with, if that is asked for."""
    if not learner.plan.normalize_observations or learner.actor.encoder.counts:
        return
    rows = record.x[: record.reward.size]
    rows = rows if record.there is None else rows[record.there.reshape(-1)]
    shift, scale = learner.actor.encoder.scaling
    raw = rows / scale + shift
    mean = raw.mean(axis=0)
    seen = learner.seen or Moments(0, np.zeros_like(mean), np.zeros_like(mean))
    learner.seen = seen.joined(len(raw), mean, ((raw - mean) ** 2).sum(axis=0))
    deviation = np.sqrt(learner.seen.variance)
    scaling = np.stack([learner.seen.mean, 1 / np.where(deviation > 1e-8, deviation, 1)])
    learner.actor = recorder.actor = replace(learner.actor, encoder=replace(learner.actor.encoder, scaling=scaling))
