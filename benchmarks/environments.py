"""Environments beside Gymnasium's: steps per second, of copies in lockstep and of one environment, on one thread."""

import time

import numpy as np
from _bench import compare, row

from skml.reinforcement import CartPole, FrozenLake, MountainCar, Taxi, vectorize

try:
    import gymnasium
except ImportError:
    gymnasium = None


def copies(n_envs, n_calls=400):
    """Compare CartPole in lockstep: one call steps all copies."""
    actions = np.random.default_rng(0).integers(0, 2, (n_calls, n_envs))
    ours = vectorize(CartPole(), n_envs)
    ours.reset(0)
    theirs = gymnasium.make_vec("CartPole-v1", num_envs=n_envs, vectorization_mode="vector_entry_point")
    theirs.reset(seed=0)

    def step_all(vector):
        for action in actions:
            vector.step(action)

    seconds = compare(lambda: step_all(ours), lambda: step_all(theirs), clock=time.process_time)
    report(f"CartPole, {n_envs} copies", n_envs * n_calls, seconds)


def alone(make, name, n_steps=4000):
    """Compare one environment that is stepped from Python, resets included."""

    def play(env):
        env.reset(seed=0)
        for t in range(n_steps):
            _, _, terminated, truncated, _ = env.step(t % 2)
            if terminated or truncated:
                env.reset()

    theirs = gymnasium.make(name).unwrapped
    seconds = compare(lambda: play(make()), lambda: play(theirs), clock=time.process_time)
    report(f"{make.__name__}, one at a time", n_steps, seconds)


def report(what, n_steps, seconds):
    ours, theirs, ratio = seconds
    row(what, n_steps / ours / 1e6, n_steps / theirs / 1e6, ratio)


if __name__ == "__main__":
    if gymnasium is None:
        raise SystemExit("Gymnasium isn't installed; there is nothing to compare with.")
    row("million steps per second", "skml", "gymnasium", "ratio")
    for n in (1, 8, 64, 1024):
        copies(n)
    newest = {spec.partition("-v")[0]: spec for spec in sorted(gymnasium.registry)}
    for make in (CartPole, MountainCar, FrozenLake, Taxi):
        alone(make, newest[make.__name__])
