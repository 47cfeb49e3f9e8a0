"""Agents: a planner on a lake, Q-learning in a taxi, a search over lakes, and an actor-critic that balances a pole.

Peers are what one writes oneself: sweeps in NumPy, and Q-learning as a loop in Python.
"""

import random

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
from sklearn.callback import ProgressBar
from sklearn.model_selection import GridSearchCV

from skml import SARSA, AdvantageActorCritic, PolicyIteration, QLearning
from skml.reinforcement import CartPole, FrozenLake, HistoryDisplay, PolicyDisplay, Taxi, evaluate

N_STEPS, EPSILON, RATE, DISCOUNT = 300_000, 0.1, 0.5, 0.99
SETTINGS = {"epsilon": EPSILON, "learning_rate": RATE, "discount": DISCOUNT, "max_steps": N_STEPS}


def swept(env):
    """Return optimal values by sweeps over dense tables."""
    n, P = env.observation_space.n, env.P
    T, R = np.zeros((4, n, n)), np.zeros((4, n))
    for s, a in np.ndindex(n, 4):
        for p, s2, r, over in P[s][a]:
            T[a, s, s2] += p * (not over)
            R[a, s] += p * r
    v, before = np.zeros(n), np.full(n, np.inf)
    while np.abs(v - before).max() > 1e-10:
        v, before = (R + DISCOUNT * T @ v).max(axis=0), v
    return v


def looped(env):
    """Return action values by Q-learning, step by step."""
    Q, rng, table = [[0.0] * 6 for _ in range(500)], random.Random(0), env.P
    starts, over, begun = np.flatnonzero(env.initial_state_distrib).tolist(), True, 0
    for step in range(N_STEPS):
        if over or step - begun == 200:
            s, begun = rng.choice(starts), step
        a = rng.randrange(6) if rng.random() < EPSILON else max(range(6), key=Q[s].__getitem__)
        ((_, s2, r, over),) = table[s][a]
        Q[s][a] += RATE * (r + (not over) * DISCOUNT * max(Q[s2]) - Q[s][a])
        s = s2
    return np.array(Q)


def visit(pictures, timed):
    """Return rows of (what, score, skml, seconds, peer, seconds)."""
    lake, taxi, pole = FrozenLake(desc=FrozenLake.random_map(20, 0.9, random_state=0)), Taxi(), CartPole()
    planner, seconds = timed(lambda: PolicyIteration(DISCOUNT).fit(lake))
    v, peer_seconds = timed(lambda: swept(lake))
    rows = [("PolicyIteration, lake of 20 x 20 (NumPy)", "value", planner.value_[0], seconds, v[0], peer_seconds)]
    agents = [QLearning(random_state=seed, **SETTINGS) for seed in range(5)]
    (_, seconds), (Q, peer_seconds) = timed(lambda: agents[0].fit(taxi)), timed(lambda: looped(taxi))
    scores = agents[0].score(taxi), evaluate(taxi, lambda X: Q[X[:, 0].astype(int)].argmax(axis=1)).mean
    rows.append(("QLearning, taxi (loop in Python)", "mean return", scores[0], seconds, scores[1], peer_seconds))
    lakes = [FrozenLake(success_rate=rate) for rate in (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)]
    search = GridSearchCV(SARSA(max_steps=50_000, random_state=0), {"discount": [0.9, 0.95, 0.99]}, cv=3)
    _, seconds = timed(lambda: search.fit(lakes))
    rows.append(("SARSA in a grid search over lakes", "success on others", search.best_score_, seconds, None, 0))
    actor = AdvantageActorCritic(max_steps=300_000, random_state=0).set_callbacks(ProgressBar())
    _, seconds = timed(lambda: actor.fit(pole))
    rows.append(("AdvantageActorCritic, cart and pole", "mean return", actor.score(pole), seconds, None, 0))

    figure, axes = plt.subplots(1, 3, figsize=(15, 4.4), layout="constrained")
    PolicyDisplay.from_estimator(planner, lake, ax=axes[0]).ax_.set_title("frozen lake")
    fits = [agent.fit(taxi) for agent in agents]
    HistoryDisplay.from_estimators(fits, figures=["return"], smooth=50, band=1, ax=axes[1])
    axes[1].set(title="taxi", xlim=(0, 1500))
    names = ["left", "right"]
    PolicyDisplay.from_estimator(actor, pole, features=[2, 3], greedy=False, action_names=names, ax=axes[2])
    axes[2].set(title="pole", xlabel="angle", ylabel="angular speed")
    figure.savefig(pictures / "reinforcement.png", dpi=120)
    plt.close(figure)
    return rows
