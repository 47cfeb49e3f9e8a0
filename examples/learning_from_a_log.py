"""Learning from a log: better than those who wrote it, without a step in the world.

A log holds 500 episodes in Russell and Norvig's world of 4 x 3 cells, of somebody who mostly goes up or to the right
and knows nothing. Agents learn from it alone: by imitation, or from the rewards as well. For each it prints what
off-policy evaluation expects it to earn, by another such log, and what it truly earns. Plain importance sampling lives
on the few episodes that go as the agent would; the doubly robust estimate learns from all.
"""

import numpy as np

from skml import PolicyIteration
from skml.reinforcement import SARSA, GridWorld, QLearning, rollout

SETTINGS = {"discount": 0.99, "max_steps": 10**7}
MAP = ["...G", ".#.H", "S..."]
HABIT = np.array([0.15, 0.1, 0.35, 0.4])  # left, down, right, up
N_EPISODES, N_PLAYED = 500, 5000


def write_log(env, seed):
    """Return observations, actions, and what else belongs to the steps of somebody with a habit."""
    rng = np.random.default_rng(seed)
    table = rollout(env, lambda X: rng.choice(4, size=len(X), p=HABIT), N_EPISODES, random_state=seed)
    X, y = table["observation"][:, None].astype(np.float64), table["action"]
    return X, y, {name: table[name] for name in ("reward", "episode", "terminated")}


def main():
    """Write two logs, learn from one, judge by the other, and print."""
    env = GridWorld(MAP, slip=0.2, step_reward=-0.04, rewards={"G": 1.0, "H": -1.0}, max_episode_steps=200)
    X, y, steps = write_log(env, seed=0)
    X_test, y_test, steps_test = write_log(env, seed=1)
    earned = steps["reward"].sum() / N_EPISODES
    print(f"The log has {len(X)} steps of {N_EPISODES} episodes, which earn {earned:.3f} on average.\n")
    agents = {
        "imitation (SARSA)": SARSA().fit(X, y),
        "rewards, SARSA": SARSA(**SETTINGS).fit(X, y, **steps),
        "rewards, Q-learning": QLearning(**SETTINGS).fit(X, y, **steps),
        "rewards, planner": PolicyIteration(discount=0.99).fit(X, y, **steps),
        "no log, planner": PolicyIteration(discount=0.99).fit(env),
    }
    methods = ("ordinary", "weighted", "doubly_robust")
    print(f"{'expected by':<22}" + "".join(f"{method:>14}" for method in methods) + f"{'in truth':>14}")
    for name, agent in agents.items():
        behavior = HABIT[y_test]
        told = [agent.ope_score(X_test, y_test, **steps_test, behavior=behavior, method=method) for method in methods]
        truth = agent.evaluate(env, N_PLAYED, greedy=False).mean  # imitation draws actions as the log has them
        print(f"{name:<22}" + "".join(f"{number:>14.3f}" for number in (*told, truth)))


if __name__ == "__main__":
    main()
