"""SARSA and Q-learning beside a cliff: who learns while exploring should keep away from the edge.

Both explore with probability 0.1. Q-learning learns the shortest way, along the edge, and falls now and then as it
explores; SARSA takes its own missteps into account and learns the safe way (Sutton & Barto 2018, example 6.6). Prints
what they earn while they learn and afterwards, and leaves learning curves with bands in ``tour/cliff.png``.
"""

import pathlib

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np

from skml.reinforcement import SARSA, CliffWalking, HistoryDisplay, PolicyDisplay, QLearning

N_SEEDS, N_EPISODES, LATE = 20, 500, 100
SETTINGS = {"learning_rate": 0.5, "epsilon": 0.1, "discount": 1.0, "max_episodes": N_EPISODES, "max_steps": 10**6}


def main():
    """Learn with several seeds, print and draw."""
    env = CliffWalking(max_episode_steps=1000)
    figure = plt.figure(figsize=(12, 6), layout="constrained")
    panels = figure.subplot_mosaic([["curves", "SARSA"], ["curves", "QLearning"]], width_ratios=[3, 2])
    for cls in (SARSA, QLearning):
        agents = [cls(random_state=seed, **SETTINGS).fit(env) for seed in range(N_SEEDS)]
        late = np.array([np.mean(agent.history_["return"][-LATE:]) for agent in agents])
        greedy = [agent.score(env, n_episodes=1) for agent in agents]
        print(
            f"{cls.__name__:<10} learning: {late.mean():6.1f} +- {late.std(ddof=1) / np.sqrt(N_SEEDS):.1f}"
            f"   afterwards, greedy: {np.median(greedy):6.1f}"
        )
        HistoryDisplay.from_estimators(
            agents, figures=["return"], smooth=20, band=0.8, name=cls.__name__, ax=panels["curves"]
        )
        PolicyDisplay.from_estimator(agents[0], env, ax=panels[cls.__name__]).ax_.set_title(cls.__name__)
    panels["curves"].set_ylim(-120, 0)
    folder = pathlib.Path("tour")
    folder.mkdir(exist_ok=True)
    figure.savefig(folder / "cliff.png", dpi=120)
    print(f"\nPicture: {folder / 'cliff.png'}")


if __name__ == "__main__":
    main()
