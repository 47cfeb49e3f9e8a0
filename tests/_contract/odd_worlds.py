"""Small environments in Gymnasium's words, sound ones and broken ones, without Gymnasium."""

import numpy as np

from skml.reinforcement import Box, Discrete


class Corridor:
    """Cells 0 to n - 1 in a row; action 1 goes up, 0 down; the last one ends the episode and earns 1.

    An observation is the cell, as a number or (with `width`) as an array that holds it. Seeded starts.
    """

    def __init__(self, n=5, width=0, random_start=False):
        self.n, self.width, self.random_start = n, width, random_start
        self.observation_space = Box(0, n, (width,)) if width else Discrete(n)
        self.action_space = Discrete(2)
        self.generator = np.random.default_rng()
        self.n_resets = 0

    def reset(self, *, seed=None, options=None):
        if seed is not None:
            self.generator = np.random.default_rng(seed)
        self.cell = int(self.generator.integers(0, self.n - 1)) if self.random_start else 0
        self.n_resets += 1
        return self.seen(), {}

    def step(self, action):
        self.cell = max(0, self.cell + (1 if action else -1))
        over = self.cell == self.n - 1
        return self.seen(), float(over), over, False, {}

    def seen(self):
        return np.full(self.width, self.cell, np.float32) if self.width else self.cell


class Unseeded(Corridor):
    """Its reset takes no seed."""

    def reset(self):
        return super().reset()


class Failing(Corridor):
    """Raises in step number `when`, counted over all episodes."""

    def __init__(self, when=3, **given):
        super().__init__(**given)
        self.when, self.n_steps = when, 0

    def step(self, action):
        self.n_steps += 1
        if self.n_steps == self.when:
            raise ZeroDivisionError("the pole has melted")
        return super().step(action)


class Answering(Corridor):
    """Answers what a function makes of (observation, reward, terminated, truncated, info)."""

    def __init__(self, changed, changed_reset=None, **given):
        super().__init__(**given)
        self.changed, self.changed_reset = changed, changed_reset

    def reset(self, *, seed=None, options=None):
        answer = super().reset(seed=seed)
        return answer if self.changed_reset is None else self.changed_reset(*answer)

    def step(self, action):
        return self.changed(*super().step(action))


class Uncopyable(Corridor):
    """Refuses to be copied, as what holds a window or a socket does."""

    def __deepcopy__(self, memo):
        raise TypeError("cannot copy a socket")


class Endless(Corridor):
    """Never ends."""

    def step(self, action):
        self.cell = (self.cell + 1) % self.n
        return self.seen(), 1.0, False, False, {}


class Masked(Corridor):
    """Says which actions there are: the one that goes down is missing in cell 0, and fails there."""

    def info(self):
        return {"action_mask": np.array([self.cell > 0, True], np.int8)}

    def reset(self, *, seed=None, options=None):
        observation, _ = super().reset(seed=seed)
        return observation, self.info()

    def step(self, action):
        if action == 0 and self.cell == 0:
            raise ValueError("there is no way down")
        observation, reward, terminated, truncated, _ = super().step(action)
        return observation, reward, terminated, truncated, self.info()
