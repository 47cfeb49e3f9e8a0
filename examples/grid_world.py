"""The best way over slippery ground: short along the holes, or long and safe? Policies and values of a grid world.

A planner knows what each step may lead to. For a growing probability of slipping it prints the best policy as a map,
what the start is worth, and what 1000 episodes earn; a picture of values and arrows is left in ``tour/grid_world.png``.
"""

import pathlib

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt

from skml import PolicyIteration
from skml.reinforcement import GridWorld, PolicyDisplay

MAP = [
    "............",
    ".##########.",
    "S..........G",
    ".HHHHHHHHHH.",
]
ARROWS = "←↓→↑"
SLIPS = (0.0, 0.01, 0.05, 0.2)


def as_text(env, policy):
    """Return the map with an arrow in each free cell."""
    cells = zip(env.letters.ravel(), policy)
    drawn = "".join(ARROWS[action] if letter in ".S" else letter for letter, action in cells)
    width = env.letters.shape[1]
    return "\n".join(drawn[i : i + width] for i in range(0, len(drawn), width))


def main():
    """Plan for each slip, print and draw."""
    figure, axes = plt.subplots(2, 2, figsize=(12, 6), layout="constrained")
    start = MAP.index("S..........G") * len(MAP[0])
    for slip, axis in zip(SLIPS, axes.ravel()):
        env = GridWorld(MAP, slip=slip, step_reward=-0.03, rewards={"G": 1.0, "H": -1.0})
        planner = PolicyIteration(discount=1.0).fit(env)
        played = planner.evaluate(env, n_episodes=1000, max_episode_steps=500)
        way = "along the holes" if planner.predict([start])[0] == ARROWS.index("→") else "round the wall"
        print(f"slip {slip:g}: {way}, worth {planner.value_[start]:.3f}, 1000 episodes earn {played.mean:.3f}")
        print(as_text(env, planner.policy_) + "\n")
        PolicyDisplay.from_estimator(planner, env, ax=axis).ax_.set_title(f"slip {slip:g}")
    folder = pathlib.Path("tour")
    folder.mkdir(exist_ok=True)
    figure.savefig(folder / "grid_world.png", dpi=120)
    print(f"Picture: {folder / 'grid_world.png'}")


if __name__ == "__main__":
    main()
