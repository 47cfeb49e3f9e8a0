"""A grid search whose samples are environments: frozen lakes, each of another slipperiness.

Each candidate learns on some lakes and is scored on others, so that what is found doesn't suit one lake alone. Prints
the candidates in the order of their scores, then how often the best one comes across lakes that the search hasn't seen,
beside a planner that knows these lakes.
"""

import numpy as np
from sklearn.model_selection import GridSearchCV, KFold

from skml.reinforcement import FrozenLake, QLearning, ValueIteration

GRID = {"discount": [0.95, 0.99, 0.999], "epsilon": [0.1, (1.0, 0.05)], "learning_rate": [0.1, "rescaled"]}
STEPS = 300  # of an episode


def success(agent, lakes):
    """Return how often the agent comes across the lakes, in many episodes, so that chance plays a small part."""
    return agent.score(lakes, n_episodes=900)


def main():
    """Search, and print what was found."""
    lakes = [FrozenLake(success_rate=rate, max_episode_steps=STEPS) for rate in np.linspace(0.3, 0.9, 9)]
    agent = QLearning(max_steps=30_000, random_state=0)
    search = GridSearchCV(agent, GRID, scoring=success, cv=KFold(3, shuffle=True, random_state=0)).fit(lakes)
    found = search.cv_results_
    for i in np.argsort(found["rank_test_score"], kind="stable"):
        settings = ", ".join(f"{name}={value}" for name, value in found["params"][i].items())
        print(f"{found['mean_test_score'][i]:.3f} +- {found['std_test_score'][i]:.3f}  {settings}")
    print("\nsuccess on other lakes, of the agent that was found and of a planner:")
    for rate in (0.35, 0.6, 0.85):
        lake = FrozenLake(success_rate=rate, max_episode_steps=STEPS)
        planner = ValueIteration(discount=0.999).fit(lake)
        print(f"success_rate {rate:<5} {success(search.best_estimator_, lake):.3f} {success(planner, lake):.3f}")


if __name__ == "__main__":
    main()
