"""Reinforcement learning: a sample is an environment to act in, or a logged observation."""

import importlib

_HOMES = {
    "ActorCritic": "skml.reinforcement.policy_gradient",
    "AdvantageActorCritic": "skml.reinforcement.policy_gradient",
    "Bandit": "skml.reinforcement.bandit",
    "Box": "skml.reinforcement.spaces",
    "CartPole": "skml.reinforcement.control",
    "CliffWalking": "skml.reinforcement.grid_worlds",
    "Discrete": "skml.reinforcement.spaces",
    "EnvironmentFailed": "skml.reinforcement.environments",
    "Evaluation": "skml.reinforcement.evaluation",
    "FiniteMDP": "skml.reinforcement.mdp",
    "FrozenLake": "skml.reinforcement.grid_worlds",
    "GridWorld": "skml.reinforcement.grid_worlds",
    "HistoryDisplay": "skml.displays",
    "MountainCar": "skml.reinforcement.control",
    "MultiDiscrete": "skml.reinforcement.spaces",
    "PolicyDisplay": "skml.reinforcement.displays",
    "PolicyIteration": "skml.reinforcement.planning",
    "QLearning": "skml.reinforcement.tabular",
    "Reinforce": "skml.reinforcement.policy_gradient",
    "SARSA": "skml.reinforcement.tabular",
    "Taxi": "skml.reinforcement.taxi",
    "TileCoding": "skml.reinforcement.tile_coding",
    "ValueIteration": "skml.reinforcement.planning",
    "check_env": "skml.reinforcement.checking",
    "evaluate": "skml.reinforcement.evaluation",
    "record": "skml.reinforcement.evaluation",
    "rollout": "skml.reinforcement.evaluation",
    "to_gymnasium": "skml.reinforcement.gymnasium_bridge",
    "vectorize": "skml.reinforcement.vector",
}

__all__ = sorted(_HOMES)


def __getattr__(name):
    """Import a public name on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'skml.reinforcement' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__():
    return __all__
