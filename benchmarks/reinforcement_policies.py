"""Policy gradients on CartPole-v1: environment steps per second beside Stable-Baselines3, and how many seeds solve it.

Both play 8 copies, with 5 steps between updates and two networks of 64 x 64 (tanh) for policy and values, on one
thread; what is compared is processor time, which others' load disturbs little. Needs stable_baselines3 and gymnasium.
Ratios above 1 are in our favour. ``solve`` as an argument fits ten seeds of each agent with its defaults instead.
"""

import sys
import time
import warnings

import numpy as np
from _bench import compare, row

from skml.reinforcement import ActorCritic, AdvantageActorCritic, CartPole, Reinforce

try:
    import gymnasium
    import torch
    from stable_baselines3 import A2C
    from stable_baselines3.common.env_util import make_vec_env
except ModuleNotFoundError:
    A2C = None

OURS, THEIRS = 40_000, 8_000  # steps of a run


def our_run(env, n_steps):
    """Return a function that learns for some steps."""
    return lambda: AdvantageActorCritic(max_steps=n_steps, random_state=0).fit(env)


def their_run(n_steps):
    """Return a function that learns for some steps with Stable-Baselines3, and goes on where it stopped."""
    model = A2C("MlpPolicy", make_vec_env("CartPole-v1", n_envs=8, seed=0), n_steps=5, seed=0, device="cpu")
    model.learn(400)
    return lambda: model.learn(n_steps, reset_num_timesteps=False)


def speeds():
    """Print steps per second of processor time."""
    torch.set_num_threads(1)
    theirs = their_run(THEIRS)
    modes = {"Gymnasium's vectorised CartPole": "vector_entry_point", "Gymnasium's CartPole, 8 in turn": "sync"}
    worlds = {name: gymnasium.make_vec("CartPole-v1", 8, vectorization_mode=mode) for name, mode in modes.items()}
    worlds = {"our CartPole": CartPole(), **worlds}
    row("steps per second (A2C)", "skml", "SB3", "ratio", widths=(34, 12, 12, 9))
    for name, env in worlds.items():
        ours, peer, ratio = compare(our_run(env, OURS), theirs, clock=time.process_time)
        row(name, f"{OURS / ours:,.0f}", f"{THEIRS / peer:,.0f}", ratio * OURS / THEIRS, widths=(34, 12, 12, 9))


def solved(cls, n_seeds=10, **params):
    """Print how many seeds reach 475 on the average of 100 greedy episodes, and the seconds of a fit."""
    scores, seconds = [], []
    for seed in range(n_seeds):
        agent = cls(random_state=seed, **params)
        start = time.perf_counter()
        agent.fit(CartPole())
        seconds.append(time.perf_counter() - start)
        scores.append(agent.score(CartPole(), n_episodes=100))
    said = ", ".join(f"{name}={value}" for name, value in params.items())
    many = f"{sum(score >= 475 for score in scores)} of {n_seeds}"
    row(f"{cls.__name__}({said})", many, f"{min(scores):.0f}", f"{np.median(seconds):.2f} s", widths=(44, 12, 12, 9))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    if "solve" in sys.argv[1:]:
        row("CartPole-v1", "solved", "worst", "time", widths=(44, 12, 12, 9))
        solved(AdvantageActorCritic)
        solved(Reinforce)
        solved(Reinforce, baseline="mean")
        solved(ActorCritic)
    elif A2C is None:
        print("stable_baselines3 is not installed: nothing to compare with")
    else:
        speeds()
