"""What is wrong with a vector environment, in words."""

import numpy as np

from skml.reinforcement.spaces import flat_space, unflattened

RESET = "reset() must return (observation, info)"
STEP = "step() must return (observation, reward, terminated, truncated, info)"
NEXT_STEP, SAME_STEP, DISABLED = "NextStep", "SameStep", "Disabled"
MODES = (NEXT_STEP, SAME_STEP, DISABLED)


def mode_of(env):
    """Return how a vector environment goes on after the end of an episode, in Gymnasium's words."""
    mode = getattr(env, "metadata", {}).get("autoreset_mode", NEXT_STEP)
    return getattr(mode, "value", mode)


def vector_findings(env, n_steps, seed):
    """Yield what is wrong with a vector environment that is played with random actions."""
    mode, n, generator = mode_of(env), int(env.num_envs), np.random.default_rng(seed)
    if mode not in MODES:
        yield f"its metadata['autoreset_mode'] is {mode!r}; it must be among {list(MODES)}."
    try:
        yield from _answer_findings(env, env.reset(seed=seed), n, RESET, 2)
        for _ in range(n_steps):
            answer = env.step(_actions(env, n, generator))
            found = list(_answer_findings(env, answer, n, STEP, 5)) or list(_end_findings(env, answer, mode))
            yield from found
            if found:
                return
    except Exception as error:  # whatever an environment raises is a finding
        yield f"it raised {type(error).__name__}: {error}"


def _actions(env, n, generator):
    """Return a batch of n random actions."""
    flat = flat_space(env.single_action_space)
    return _batch([unflattened(env.single_action_space, flat.sample(generator)) for _ in range(n)])


def _batch(elements):
    first = elements[0]
    if isinstance(first, dict):
        return {key: _batch([element[key] for element in elements]) for key in first}
    if isinstance(first, tuple):
        return tuple(_batch(list(parts)) for parts in zip(*elements))
    return np.array(elements)


def _answer_findings(env, answer, n, words, size):
    if not isinstance(answer, tuple) or len(answer) != size:
        yield f"{words}; it returned {len(answer) if isinstance(answer, tuple) else 'no'} values."
        return
    if not isinstance(answer[-1], dict):
        yield f"info must be a dictionary; it was a {type(answer[-1]).__name__}."
    yield from _observation_findings(env.single_observation_space, answer[0], n)
    for name, values in zip(("reward", "terminated", "truncated"), answer[1:-1]):
        kinds = "iufb" if name == "reward" else "b"
        values = np.asarray(values)
        if values.shape != (n,) or values.dtype.kind not in kinds:
            yield f"{name} must have one {'number' if name == 'reward' else 'boolean'} for each of {n} copies."
        elif not np.isfinite(values).all():
            yield f"{name} must be finite; it was {values}."


def _observation_findings(space, batch, n):
    inner = getattr(space, "spaces", None)
    if inner is not None:
        keys = list(inner.keys()) if hasattr(inner, "keys") else range(len(inner))
        for key in keys:
            yield from _observation_findings(inner[key], batch[key], n)
        return
    wanted = (n, *(space.shape or ()))
    if np.shape(batch) != wanted:
        yield f"observations have the shape {np.shape(batch)}; it must be {wanted}."


def _end_findings(env, answer, mode):
    """Yield what is wrong where an episode has ended; begin the next one where nobody else does."""
    over = np.asarray(answer[2]) | np.asarray(answer[3])
    if not over.any():
        return
    if mode == SAME_STEP and not {"final_obs", "final_observation"} & set(answer[4]):
        yield "it begins the next episode in the same step, but its info has no final_obs, from which to bootstrap."
    if mode == DISABLED:
        yield from _answer_findings(env, env.reset(options={"reset_mask": over}), len(over), RESET, 2)
