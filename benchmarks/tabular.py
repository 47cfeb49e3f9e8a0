"""QLearning and SARSA: what they reach in small worlds, and how fast, beside a plain loop in Python.

``python benchmarks/tabular.py [returns] [speed] [cliff] [car]``; the loop plays Gymnasium's frozen lake, so
Gymnasium is needed for "speed". Ratios above 1 are in our favour.
"""

import sys
import time

import numpy as np
from _bench import compare, row

from skml import SARSA, QLearning
from skml.reinforcement import CliffWalking, FrozenLake, MountainCar, Taxi, TileCoding

SEEDS = range(20)


def mean_return(env, policy, horizon):
    """Return the exact mean return of `horizon` steps of a policy."""
    mdp = env.mdp
    chosen = np.flatnonzero(mdp.pair_actions == policy[mdp.pair_states])
    chain, value = mdp.continuation()[chosen], np.zeros(mdp.n_states + 1)
    for _ in range(horizon):
        value[mdp.pair_states[chosen]] = mdp.rewards[chosen] + chain @ value
    return float(mdp.start @ value[:-1])


def returns():
    """Print the exact greedy returns of many seeds beside the best there are."""
    row("world, steps", "mean", "least", "best", "seconds")
    worlds = (("frozen lake", FrozenLake(), 100, 0.7442), ("cliff", CliffWalking(), 200, -13.0))
    for name, env, horizon, best in (*worlds, ("taxi", Taxi(), 200, 7.93)):
        for max_steps in (200_000, 500_000, 1_000_000):
            start = time.perf_counter()
            agents = [QLearning(max_steps=max_steps, random_state=seed).fit(env) for seed in SEEDS]
            seconds = (time.perf_counter() - start) / len(SEEDS)
            reached = [mean_return(env, agent.policy_, horizon) for agent in agents]
            row(f"{name}, {max_steps}", float(np.mean(reached)), min(reached), best, seconds)


def plain_loop(env, n_steps, rng):
    """Learn by Q-learning as a beginner's script does."""
    Q = np.zeros((16, 4))
    state, _ = env.reset(seed=0)
    for _ in range(n_steps):
        action = rng.integers(4) if rng.random() < 0.1 else int(np.argmax(Q[state]))
        following, reward, terminated, truncated, _ = env.step(action)
        best = 0.0 if terminated else Q[following].max()
        Q[state, action] += 0.1 * (reward + 0.99 * best - Q[state, action])
        state = following
        if terminated or truncated:
            state, _ = env.reset()
    return Q


def speed():
    """Print steps per second beside the plain loop, on our frozen lake and on Gymnasium's."""
    import gymnasium

    theirs, rng = gymnasium.make("FrozenLake-v1"), np.random.default_rng(0)
    settings = {"learning_rate": 0.1, "epsilon": 0.1, "random_state": 0}
    row("Q-learning", "ours, ns", "loop, ns", "ratio")
    for name, env, n_steps, n_envs in (
        ("our frozen lake", FrozenLake(), 2_000_000, 1),
        ("Gymnasium's", theirs, 20_000, 1),
        ("Gymnasium's, 8 copies", theirs, 20_000, 8),
    ):
        agent = QLearning(max_steps=n_steps, n_envs=n_envs, **settings)
        ours, loop, ratio = compare(
            lambda agent=agent, env=env: agent.fit(env),
            lambda: plain_loop(theirs, 20_000, rng),
            clock=time.process_time,
        )
        row(name, ours / n_steps * 1e9, loop / 20_000 * 1e9, ratio * n_steps / 20_000)


def cliff():
    """Print the figure 6.4 of Sutton & Barto: returns while learning, and lengths of the greedy paths."""
    env = CliffWalking(max_episode_steps=500)
    row("500 episodes, 100 runs", "last 100", "greedy")
    for cls in (QLearning, SARSA):
        settings = {"discount": 1.0, "epsilon": 0.1, "learning_rate": 0.5, "max_episodes": 500}
        agents = [cls(random_state=seed, **settings).fit(env) for seed in range(100)]
        late = np.mean([agent.history_["return"][-100:] for agent in agents])
        row(cls.__name__, float(late), float(np.median([mean_return(env, agent.policy_, 500) for agent in agents])))


def car():
    """Print how the car climbs the mountain with tiles."""
    row("mountain car, tiles, 300 episodes", "return", "us/step")
    for name, params in (("SARSA", {}), ("SARSA, traces 0.9", {"trace_decay": 0.9, "learning_rate": 0.1})):
        settings = {"discount": 1.0, "epsilon": 0.0, "max_episodes": 300, "learning_rate": 0.5, "random_state": 0}
        start = time.process_time()
        agent = SARSA(feature_map=TileCoding(), **(settings | params)).fit(MountainCar())
        micro = (time.process_time() - start) / agent.n_steps_ * 1e6
        row(name, float(agent.score(MountainCar(), n_episodes=100)), micro)


if __name__ == "__main__":
    for part in sys.argv[1:] or ("returns", "speed", "cliff", "car"):
        globals()[part]()
