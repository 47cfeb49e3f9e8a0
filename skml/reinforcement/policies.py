"""Policies: what is done at an observation, as a distribution whose logarithm can be differentiated.

An :class:`Actor` says how a policy, and a critic where there is one, are made: of which numbers observations become,
networks, and a distribution over actions. It holds no parameters: these lie in one flat array, which an optimizer sees.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from skml import _kernels
from skml.network.activations import CODES
from skml.network.parameters import Parameters, Spec, initialize, orthogonal

ACTIVATIONS = ("identity", "leaky_relu", "relu", "sigmoid", "tanh")
EVERYTHING = np.empty((0, 0), dtype=np.uint8)  # the mask that allows all actions
LN_2PI = math.log(2 * math.pi)


@dataclass(frozen=True)
class Mlp:
    """A small network of linear layers, which a kernel runs whole.

    Attributes
    ----------
    sizes : tuple of int
        The numbers that go in, and those that each layer gives.
    activation : str, default="tanh"
        After each layer but the last.
    gain : float, default=1.0
        The scale of the last layer's first matrix.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.reinforcement.policies import Mlp
    >>> net = Mlp((2, 3, 1), "relu")
    >>> w = np.ones(net.n_parameters)
    >>> net.outputs(net.forward(np.ones((4, 2)), w), 4).ravel()
    array([10., 10., 10., 10.])
    """

    sizes: tuple
    activation: str = "tanh"
    gain: float = 1.0

    @cached_property
    def table(self):
        """The sizes as kernels take them."""
        return np.array(self.sizes, dtype=np.int32)

    @cached_property
    def code(self):
        """The activation's number."""
        return CODES[self.activation]

    @property
    def n_outputs(self):
        """The numbers that come out."""
        return self.sizes[-1]

    @cached_property
    def n_parameters(self):
        """The numbers of all matrices and biases."""
        return sum((K + 1) * M for K, M in zip(self.sizes[:-1], self.sizes[1:]))

    @cached_property
    def n_kept(self):
        """The numbers that all layers give for a row."""
        return sum(self.sizes[1:])

    def specs(self, prefix):
        """Return the arrays, layer by layer, named ``prefix.0.weight`` and so on.

        They begin orthogonal (Saxe et al. 2014), with a gain of sqrt(2) before an activation.
        """
        specs = []
        for layer, (K, M) in enumerate(zip(self.sizes[:-1], self.sizes[1:])):
            gain = self.gain if layer + 2 == len(self.sizes) else math.sqrt(2)
            specs.append(Spec(f"{prefix}.{layer}.weight", (K, M), _Orthogonal(gain), K, M))
            specs.append(Spec(f"{prefix}.{layer}.bias", (M,)))
        return specs

    def forward(self, x, w, n_threads=1):
        """Return the outputs of all layers of rows x (n, n_in), layer by layer in one flat array."""
        y = np.empty(len(x) * self.n_kept, dtype=x.dtype)
        _kernels.actors.forward(x, w, self.table, self.code, y, n_threads)
        return y

    def outputs(self, y, n, layer=-1):
        """Return the outputs (n, n_out) of a layer, from what `forward` returned for n rows."""
        layer %= len(self.sizes) - 1
        before = n * sum(self.sizes[1 : layer + 1])
        return y[before : before + n * self.sizes[layer + 1]].reshape(n, -1)

    def backward(self, x, w, y, dz, g, n_threads=1):
        """Write to g the gradient at w, given that at the outputs of the first len(dz) rows."""
        _kernels.actors.backward(x, w, self.table, self.code, y, dz, g, n_threads)


@dataclass(frozen=True)
class _Orthogonal:
    """An orthogonal matrix times a gain; an initialiser of :class:`skml.network.Spec`."""

    gain: float

    def __call__(self, generator, shape, fan_in, fan_out, dtype):
        return (orthogonal(generator, shape, fan_in, fan_out, np.float64) * self.gain).astype(dtype)


@dataclass(frozen=True, eq=False)
class Encoder:
    """Makes of observations what a network takes.

    Attributes
    ----------
    scaling : ndarray of shape (2, n_features), float64
        Of observations that are numbers: what is taken from them, and what the rest is multiplied with.
    counts : tuple of int, default=()
        Of observations that are numbers of states: how many values each column has. Each value is a feature then, 1
        where it is and 0 elsewhere.
    starts : tuple of int, default=()
        The first value of each column.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.reinforcement.policies import Encoder
    >>> Encoder(np.array([[1.0], [2.0]])).features(np.array([[1.0], [4.0]]), np.float64).ravel()
    array([0., 6.])
    >>> Encoder(np.empty((2, 0)), (3,), (1,)).features(np.array([[3], [1]]), np.float64)
    array([[0., 0., 1.],
           [1., 0., 0.]])
    """

    scaling: np.ndarray
    counts: tuple = ()
    starts: tuple = ()

    @property
    def n_features(self):
        """The numbers that an observation becomes."""
        return sum(self.counts) if self.counts else self.scaling.shape[1]

    @cached_property
    def is_plain(self):
        """Whether numbers stay as they are."""
        return not self.scaling[0].any() and bool((self.scaling[1] == 1).all())

    def features(self, observations, dtype, out=None):
        """Return observations (n, n_columns), or (n,) numbers of states, as rows (n, n_features)."""
        rows = observations.reshape(len(observations), -1)
        out = np.empty((len(rows), self.n_features), dtype=dtype) if out is None else out
        if not self.counts:
            out[:] = rows if self.is_plain else (rows - self.scaling[0]) * self.scaling[1]
            return out
        out[:] = 0
        before = np.cumsum((0, *self.counts[:-1])) - self.starts
        out[np.arange(len(rows))[:, None], rows.astype(np.int64) + before] = 1
        return out


def spaces_encoder(space):
    """Return the encoder of an observation space, which leaves numbers as they are."""
    if hasattr(space, "nvec"):
        return Encoder(np.empty((2, 0)), tuple(space.nvec.tolist()), tuple(space.start.tolist()))
    if hasattr(space, "n"):
        return Encoder(np.empty((2, 0)), (space.n,), (space.start,))
    return Encoder(np.array([[0.0], [1.0]]) * np.ones(space.shape[0]))


# ------------------------------------------------------------------------------------------ distributions


@dataclass(frozen=True)
class Softmax:
    """One of some actions: pi(a|s) = exp(z_a) / sum_b exp(z_b), over the actions that are allowed.

    Attributes
    ----------
    n_actions : int
        How many there are.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.reinforcement.policies import Softmax
    >>> taken, weight, bonus = np.array([1], np.int32), np.ones(1), np.zeros(1)
    >>> dz, _, figures = Softmax(2).slopes(np.zeros((1, 2)), np.empty(0), taken, weight, bonus)
    >>> dz, figures.round(3)  # ln pi, the entropy, the least probability
    (array([[ 0.5, -0.5]]), array([[-0.693,  0.693,  0.5  ]]))
    """

    n_actions: int

    n_spreads = 0

    @property
    def n_outputs(self):
        """What the network gives: a logit for each action."""
        return self.n_actions

    def room(self, *shape):
        """Return room for actions."""
        return np.zeros(shape, dtype=np.int32)

    def draw(self, z, spread, allowed, seed, step):
        """Return actions (n,), drawn by counters: chance depends on the seed, the row and the step alone."""
        actions = np.empty(len(z), dtype=np.int32)
        _kernels.actors.act(z, allowed, seed, step, actions)
        return actions

    def slopes(self, z, spread, actions, weights, bonus, allowed=EVERYTHING):
        """Differentiate the sum of -weight ln pi(a|s) - bonus H(pi(.|s)).

        Parameters
        ----------
        z : ndarray of shape (n, n_outputs)
            Of the network.
        spread : ndarray of shape (n_spreads,)
            Parameters beside the network's.
        actions : ndarray of shape (n,), int32
            That were taken.
        weights, bonus : ndarray of shape (n,), float64
            Of the logarithms and of the entropies H.
        allowed : ndarray of shape (n, n_actions), uint8, default=EVERYTHING
            Which actions there were.

        Returns
        -------
        dz : ndarray of shape (n, n_outputs)
            The gradient at z.
        dspread : ndarray of shape (n_spreads,)
            That at the spread.
        figures : ndarray of shape (n, 3)
            ln pi(a|s), H, and the distance to the boundary: the least probability of an action that was allowed.
        """
        dz, figures = np.empty_like(z), np.empty((len(z), 3))
        _kernels.actors.slopes(z, actions, allowed, weights, bonus, dz, figures)
        return dz, spread, figures

    def probabilities(self, z):
        """Return pi(.|s), (n, n_actions), of the dtype of z, from logits."""
        exact = z.astype(np.float64)
        exact -= exact.max(axis=1, keepdims=True)
        np.exp(exact, out=exact)
        exact /= exact.sum(axis=1, keepdims=True)
        return exact.astype(z.dtype)


@dataclass(frozen=True, eq=False)
class Gaussian:
    """Several numbers, each normal around what the network says; their deviations are parameters of their own.

    The network speaks of numbers from -1 to 1, which stand for the bounds of the space where it has both.

    Attributes
    ----------
    low, high : ndarray of shape (k,), float64
        Bounds of the actions; those that are played are cut off there.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.reinforcement.policies import Gaussian
    >>> policy = Gaussian(np.array([-2.0]), np.array([2.0]))
    >>> policy.played(np.array([[0.5], [3.0]]))
    array([[1.],
           [2.]])
    """

    low: np.ndarray
    high: np.ndarray

    @property
    def n_outputs(self):
        """What the network gives: the mean of each number."""
        return len(self.low)

    @property
    def n_spreads(self):
        """How many logarithms of deviations there are."""
        return len(self.low)

    def room(self, *shape):
        """Return room for actions."""
        return np.zeros((*shape, len(self.low)))

    def draw(self, z, spread, allowed, seed, step):
        """Return actions (n, k), in the network's numbers; chance depends on the seed, the row and the step alone."""
        noise = np.random.default_rng([int(seed), 1, int(step)]).standard_normal(z.shape)
        return z + np.exp(spread.astype(np.float64)) * noise

    def slopes(self, z, spread, actions, weights, bonus, allowed=EVERYTHING):
        """Differentiate as :meth:`Softmax.slopes` does; the third figure is the least deviation."""
        log_deviation = spread.astype(np.float64)
        standard = (actions - z) * np.exp(-log_deviation)
        # ln pi = -sum_j (standard_j^2 / 2 + ln sigma_j + ln(2 pi) / 2), H = sum_j (ln sigma_j + (1 + ln(2 pi)) / 2)
        log_p = -0.5 * (standard**2).sum(axis=1) - log_deviation.sum() - 0.5 * LN_2PI * len(spread)
        dz = -weights[:, None] * standard * np.exp(-log_deviation)
        dspread = -(weights @ (standard**2 - 1)) - bonus.sum()
        entropy = log_deviation.sum() + 0.5 * (1 + LN_2PI) * len(spread)
        figures = np.column_stack([log_p, *(np.full(len(z), v) for v in (entropy, np.exp(log_deviation.min())))])
        return dz.astype(z.dtype), dspread.astype(spread.dtype), figures

    @cached_property
    def units(self):
        """What stands for 0, and what for the way from 0 to 1."""
        bounded = np.isfinite(self.low) & np.isfinite(self.high)
        low, high = np.where(bounded, self.low, -1.0), np.where(bounded, self.high, 1.0)
        return (low + high) / 2, np.where(high > low, (high - low) / 2, 1.0)

    def played(self, actions):
        """Return actions as the environment takes them: in its own units, within its bounds."""
        middle, half = self.units
        return np.clip(middle + half * actions, self.low, self.high)

    def unplayed(self, actions):
        """Return actions of an environment in the network's numbers."""
        middle, half = self.units
        return (actions - middle) / half


# ------------------------------------------------------------------------------------------------- actors


@dataclass(frozen=True, eq=False)
class Actor:
    """A policy, and a critic where there is one: what they are made of, without their parameters.

    Attributes
    ----------
    encoder : Encoder
        Makes features of observations.
    head : Softmax or Gaussian
        The distribution of actions.
    policy : Mlp
        From features to what the head takes.
    critic : Mlp or None
        From features to V(s), or to Q(s, .).
    dtype : {"float32", "float64"}
        Of parameters and features.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.reinforcement.policies import Actor, Encoder, Mlp, Softmax
    >>> actor = Actor(Encoder(np.array([[0.0], [1.0]])), Softmax(2), Mlp((1, 2)), Mlp((1, 1)), "float64")
    >>> actor.initial(np.random.default_rng(0))
    Parameters(6 numbers of float64 in 4 arrays)
    """

    encoder: Encoder
    head: object
    policy: Mlp
    critic: Mlp | None
    dtype: str

    def specs(self):
        """Return the arrays of the policy, then those of the critic, in the order in which they lie."""
        spread = [Spec("log_deviation", (self.head.n_spreads,))] if self.head.n_spreads else []
        return self.policy.specs("policy") + spread + (self.critic.specs("critic") if self.critic else [])

    def initial(self, generator):
        """Return parameters to begin with."""
        return initialize(self.specs(), self.dtype, generator)

    def parameters(self, flat):
        """Return named views of a flat array of parameters."""
        return Parameters({spec.name: spec.shape for spec in self.specs()}, flat)

    @cached_property
    def parts(self):
        """Where the policy's network, its spread, the critic and the whole policy lie in the flat array."""
        end = self.policy.n_parameters
        last = end + self.head.n_spreads
        total = last + (self.critic.n_parameters if self.critic else 0)
        return slice(0, end), slice(end, last), slice(last, total), slice(0, last)

    def features(self, observations):
        """Return what networks take."""
        return self.encoder.features(observations, self.dtype)

    def judged(self, x, flat, n_threads=1):
        """Return what the policy's network gives for features: logits, or means."""
        return self.policy.outputs(self.policy.forward(x, flat[self.parts[0]], n_threads), len(x))

    def valued(self, x, flat, n_threads=1):
        """Return what the critic gives for features."""
        return self.critic.outputs(self.critic.forward(x, flat[self.parts[2]], n_threads), len(x))

    def score(self, x, actions, flat, allowed=EVERYTHING):
        """Return grad ln pi(a|s) of each row, (n, n_policy_parameters): the score vectors."""
        scores, zero = np.empty((len(x), self.parts[3].stop), dtype=self.dtype), np.zeros(1)
        for row in range(len(x)):
            some = slice(row, row + 1)
            given = allowed[some] if len(allowed) else allowed
            policy_gradient(self, flat, x[some], (actions[some], given), (np.ones(1), zero), scores[row])
        return -scores


def policy_gradient(actor, flat, x, acts, pulls, g, n_threads=1):
    """Write the gradient of -sum_i weight_i ln pi(a_i|s_i) - sum_i bonus_i H(pi(.|s_i)) at the policy's parameters.

    Parameters
    ----------
    actor : Actor
        The policy.
    flat : ndarray of shape (n_parameters,)
        Its parameters, and the critic's.
    x : ndarray of shape (m, n_features)
        Features; the first n rows are meant.
    acts : (ndarray of shape (n,) or (n, k), ndarray of shape (n, n_actions))
        The actions taken, and which were allowed.
    pulls : (ndarray of shape (n,), ndarray of shape (n,)), float64
        Weights and bonus.
    g : ndarray of shape (n_policy_parameters,)
        Where the gradient is written.
    n_threads : int, default=1
        How many threads to use; no result depends on it.

    Returns
    -------
    figures : ndarray of shape (n, 3)
        ln pi, the entropy, the distance to the boundary.
    """
    (actions, allowed), (weights, bonus) = acts, pulls
    network, spread = actor.parts[:2]
    w, n = flat[network], len(actions)
    y = actor.policy.forward(x, w, n_threads)
    z = actor.policy.outputs(y, len(x))[:n]
    dz, dspread, figures = actor.head.slopes(z, flat[spread], actions, weights, bonus, allowed)
    actor.policy.backward(x, w, y, dz, g[network], n_threads)
    g[spread] = dspread
    return figures
