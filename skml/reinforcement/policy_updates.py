"""Policy gradients in environments: updates every n steps, and updates after whole episodes."""

from dataclasses import replace

import numpy as np

from skml import _kernels
from skml.base import Step, warn_caller
from skml.reinforcement.policies import EVERYTHING
from skml.reinforcement.policy_learning import Learner, rescale, scaled_rewards
from skml.reinforcement.recording import Recorder

PER_TASK = 2048  # environment steps that the updates of one iteration take, at least
CHUNK, MOST = 64, 2**15  # steps of whole episodes that are recorded at a time, and those of all copies together
CRITIC_STEPS = 10  # that follow an update after whole episodes


# ----------------------------------------------------------------------------------- updates every n steps


def advantage_steps(vector, plan, learnt, n_threads):
    """Learn from n steps of all copies at a time, as advantage actor-critics do (Mnih et al. 2016).

    Parameters
    ----------
    vector : object
        Copies of an environment.
    plan : Plan
        How.
    learnt : Learnt
        What to begin with.
    n_threads : int
        How many threads to use; no result depends on it.

    Yields
    ------
    step : Step
        After some updates; its state is a :class:`Learnt`.
    """
    learner = Learner(plan, learnt, n_threads)
    recorder = Recorder(vector, learner.actor, learnt.seed, plan.n_steps, n_done=learnt.n_steps // vector.n_envs)
    per_update = plan.n_steps * vector.n_envs
    n_updates = max(2, -(-PER_TASK // per_update))
    while learner.n_steps < plan.max_steps:
        learner.figures.clear()
        for _ in range(n_updates):
            record = recorder.play(learner.flat)
            learner.n_steps += per_update
            _advantage_update(learner, record)
            rescale(learner, recorder, record)
            if learner.n_steps >= plan.max_steps:
                break
        learner.require_finite()
        yield Step(learner.snapshot(), learner.figures.metrics(), learner.n_steps >= plan.max_steps)


def _advantage_update(learner, record):
    plan, figures = learner.plan, learner.figures
    T, N = record.reward.shape
    n, x = T * N, record.rows
    y = learner.values(x)
    value, after, slope = _expected(learner, x, y, record)
    terminated, truncated = record.ended
    ended, partly = terminated | truncated, record.there is not None and not record.there.all()
    if partly:
        ended |= ~record.there
    out, reward = np.empty((T, N)), scaled_rewards(learner, record)
    _kernels.actors.advantages(reward, value, after, terminated, ended, plan.discount, plan.gae_lambda, out)
    target = (out + value).reshape(-1)
    weights = record.there.reshape(-1) / max(1, record.there.sum()) if partly else np.full(n, 1 / n)
    acts = record.actions.reshape(n, *record.actions.shape[2:]), record.allowed
    found = learner.gradient_of_policy(x, acts, (out.reshape(-1) * weights, learner.entropy_weight * weights))
    learner.gradient_of_critic(x, y, slope(target, 2 * plan.value_weight * weights))
    figures.add_gradient(learner.g[learner.actor.parts[3]])
    learner.descend()
    there = slice(None) if not partly else record.there.reshape(-1)
    if not partly or there.any():
        figures.add(found[there])
        figures.pairs.append((value.reshape(-1)[there], target[there]))
    _count_episodes(learner, record)


def _expected(learner, x, y, record):
    """Return V(s_t), V(s_tp1), and a function of targets and weights: the gradient at the critic's output."""
    T, N = record.reward.shape
    n, critic = T * N, learner.actor.critic.outputs(y, len(x))
    if learner.plan.critic == "q":
        return _expected_of_actions(learner, x, critic, record)
    v = critic[:, 0].astype(np.float64)

    def slope(target, weights):
        return (weights * (v[:n] - target)).astype(critic.dtype)[:, None]

    return v[:n].reshape(T, N), _after(v, record), slope


def _expected_of_actions(learner, x, critic, record):
    """Return the same for a critic of actions: V(s) = sum_a pi(a|s) Q(s, a)."""
    T, N = record.reward.shape
    n, q = T * N, critic.astype(np.float64)
    z, masks = learner.actor.judged(x, learner.flat, learner.n_threads), record.masks
    if masks is not None:
        z = np.where(masks | ~masks.any(axis=1, keepdims=True), z, -np.inf)
    v = (learner.actor.head.probabilities(z) * q).sum(axis=1)
    chosen = np.arange(n), record.actions.reshape(n)

    def slope(target, weights):
        dz = np.zeros((n, q.shape[1]), dtype=critic.dtype)
        dz[chosen] = weights * (q[chosen] - target)
        return dz

    return v[:n].reshape(T, N), _after(v, record), slope


def _after(v, record):
    """Return the values of what each step led to, (T, N), of those of all rows of a record."""
    T, N = record.reward.shape
    if not record.n_truncated:
        return v[N : N + T * N].reshape(T, N)
    after = v[N : N + T * N].reshape(T, N).copy()
    after[record.ended[1] > 0] = v[(T + 1) * N :]
    return after


def _count_episodes(learner, record):
    if record.ended.any():
        returns = record.finished()
        learner.n_episodes += len(returns)
        learner.figures.returns.append(returns)


# ----------------------------------------------------------------------------- updates after whole episodes


def episode_steps(vector, plan, learnt, n_threads):
    """Learn from a whole episode of each copy at a time, as REINFORCE does (Williams 1992).

    Parameters
    ----------
    vector : object
        Copies of an environment.
    plan : Plan
        How.
    learnt : Learnt
        What to begin with.
    n_threads : int
        How many threads to use; no result depends on it.

    Yields
    ------
    step : Step
        After each update; its state is a :class:`Learnt`.
    """
    learner = Learner(plan, learnt, n_threads)
    chunk = max(1, min(CHUNK, MOST // vector.n_envs))
    recorder = Recorder(vector, learner.actor, learnt.seed, chunk, go_on=False, n_done=learnt.n_steps)
    while learner.n_steps < plan.max_steps:
        learner.figures.clear()
        recorder.restart(learnt.seed, learner.n_episodes)
        episodes = record_episodes(recorder, learner.flat, plan.max_steps)
        learner.n_steps += int(episodes.there.sum())
        episode_update(learner, episodes)
        rescale(learner, recorder, episodes)
        learner.require_finite()
        yield Step(learner.snapshot(), learner.figures.metrics(), learner.n_steps >= plan.max_steps)


def record_episodes(recorder, flat, most):
    """Play until all copies have ended their episodes, and return one record of all their steps.

    Parameters
    ----------
    recorder : Recorder
        Just begun.
    flat : ndarray of shape (n_parameters,)
        Of the actor.
    most : int
        After so many steps in all, or a few more, episodes are cut off, with a warning.

    Returns
    -------
    record : Record
        Of as many steps as the longest episode has; ``x`` ends with what truncated steps led to.
    """
    parts, n_steps = [], 0
    while not recorder.idle.all():
        record = recorder.play(flat)
        n_steps += int(record.there.sum())
        if n_steps >= most and not recorder.idle.all():
            _cut_off(recorder, record)
        parts.append(record.copy())
    return _joined(parts)


def _cut_off(recorder, record):
    """Truncate the episodes that go on."""
    going = np.flatnonzero(recorder.idle == 0)
    T, N = record.reward.shape
    # what truncated steps led to stands in the order of the steps, and of the copies where they are of one step
    already = np.flatnonzero(record.ended[1, -1])
    end, copies = (T + 1) * N + record.n_truncated, np.concatenate([already, going])
    start = end - len(already)
    rows = np.concatenate([record.x[start:end], record.x[T * N :][going]])
    record.x[start : start + len(rows)] = rows[np.argsort(copies)]
    record.n_truncated += len(going)
    record.ended[1, -1, going] = 1
    recorder.idle[:] = 1
    message = "Episodes were cut off: no update had been made when max_steps ran out. Give max_episode_steps."
    warn_caller(message, UserWarning)


def _joined(parts):
    """Return records one after another as one."""
    T, N = parts[0].reward.shape
    d = parts[0].x.shape[1]
    seen = [part.x[: T * N].reshape(T, N, d) for part in parts]
    last = [part.x[(T + 1) * N : (T + 1) * N + part.n_truncated] for part in parts]
    n_steps = max(1, sum(int(part.there.any(axis=1).sum()) for part in parts))
    x = np.concatenate([np.concatenate(seen)[:n_steps].reshape(-1, d), *last])
    record = replace(
        parts[0],
        x=x,
        actions=np.concatenate([part.actions for part in parts])[:n_steps],
        reward=np.concatenate([part.reward for part in parts])[:n_steps],
        ended=np.ascontiguousarray(np.concatenate([part.ended for part in parts], axis=1)[:, :n_steps]),
        totals=np.concatenate([part.totals for part in parts])[:n_steps],
        there=np.concatenate([part.there for part in parts])[:n_steps],
        n_truncated=len(x) - n_steps * N,
    )
    if any(len(part.allowed) for part in parts):
        width = max(part.allowed.shape[1] for part in parts)
        masks = [part.allowed if len(part.allowed) else np.ones((T * N, width), np.uint8) for part in parts]
        record.allowed = np.concatenate(masks)[: n_steps * N]
    return record


def episode_update(learner, record):
    """Take a step along g = sum_t (Q_t - b_t) grad ln pi(a_t|s_t), the mean over episodes, and teach the critic."""
    plan, figures, E = learner.plan, learner.figures, record.reward.shape[1]
    returns, baseline = returns_and_baselines(learner, record)
    advantage = returns - baseline
    found = [_episode_gradient(learner, record, i, advantage[:, i] / E) for i in range(E)]
    learner.g[learner.actor.parts[3]] = figures.total
    figures.add(np.concatenate(found))
    there = record.there.reshape(-1)
    figures.pairs = [(baseline[record.there], returns[record.there])] if plan.baseline else []
    figures.returns.append(record.finished())
    learner.n_episodes += E
    learner.descend(of_critic=False)
    if learner.actor.critic is not None:
        rows = record.x[: len(there)][there]
        learner.teach(rows, returns[record.there], np.full(len(rows), 1 / len(rows)), CRITIC_STEPS)


def returns_and_baselines(learner, record):
    """Return Q_t = r_tp1 + discount Q_tp1 and what it is compared with, (T, N) each."""
    plan, shape = learner.plan, record.reward.shape
    value, after = np.zeros(shape), np.zeros(shape)
    if plan.baseline == "value":
        v = learner.actor.valued(record.x, learner.flat, learner.n_threads)[:, 0].astype(np.float64)
        value, after[record.ended[1] > 0] = v[: value.size].reshape(shape), v[value.size :]
    terminated, truncated = record.ended
    returns, zero = np.empty(shape), np.zeros(shape)
    arrays = scaled_rewards(learner, record), zero, after, terminated, terminated | truncated
    _kernels.actors.advantages(*arrays, plan.discount, 1.0, returns)
    if plan.baseline == "mean" and shape[1] > 1:
        # the mean of the other episodes at the same step, 0 where they are over: it knows nothing of a_t
        value = (returns.sum(axis=1, keepdims=True) - returns) / (shape[1] - 1)
    return returns, value


def _episode_gradient(learner, record, i, advantage):
    """Add the gradient of one episode to the figures."""
    T, N = record.reward.shape
    there = record.there[:, i]
    x = record.x[: T * N].reshape(T, N, -1)[there, i]
    allowed = record.allowed.reshape(T, N, -1)[there, i] if len(record.allowed) else EVERYTHING
    weights = advantage[there]
    bonus = np.full(len(x), learner.entropy_weight / N)
    g = np.empty(learner.actor.parts[3].stop, dtype=x.dtype)
    found = learner.gradient_of_policy(x, (record.actions[there, i], allowed), (weights, bonus), g)
    learner.figures.add_gradient(g)
    return found
