"""Reinforcement learning: a sample is an environment to act in, or a logged observation."""

import importlib

_HOMES = {
    "ActorCritic": "skml.reinforcement.policy_gradient",
    "AdvantageActorCritic": "skml.reinforcement.policy_gradient",
    "Box": "skml.reinforcement.spaces",
    "CartPole": "skml.reinforcement.control",
    "Discrete": "skml.reinforcement.spaces",
    "EnvironmentFailed": "skml.reinforcement.environments",
    "FiniteMDP": "skml.reinforcement.mdp",
    "MountainCar": "skml.reinforcement.control",
    "MultiDiscrete": "skml.reinforcement.spaces",
    "Reinforce": "skml.reinforcement.policy_gradient",
    "check_env": "skml.reinforcement.checking",
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
