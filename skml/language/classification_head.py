"""A classification head on a language model: states of all moments are pooled, and a product makes logits of classes.

B: rows, T: moments, C: numbers of a state, K: classes.
"""

from dataclasses import dataclass, replace

import numpy as np

from skml.language.fine_tuning import tuning_optimizer
from skml.language.recurrent_network import RecurrentStates
from skml.language.scoring import begun
from skml.network.composition import numbered, prefixed
from skml.network.layers import Layer, Linear, Space
from skml.network.losses import cross_entropy

POOLINGS = ("last", "mean")


@dataclass(frozen=True)
class PooledClassifier(Layer):
    """Tokens in, the logits of classes out: z = W^T sum_t a_t h_t + b.

    A sample is of shape (3, T): tokens; ``first``, see :class:`RecurrentNetwork`; and the weights a of the moments.

    Attributes
    ----------
    body : Layer
        From samples of shape (2, T) to states (T, C).
    n_classes : int
        K.
    """

    body: Layer
    n_classes: int

    def output_shape(self, shape):
        return (self.n_classes,)

    def parts(self, shape):
        inner = (2, shape[1])
        width = self.body.output_shape(inner)[1]
        return ("body", self.body, inner), ("head", Linear(self.n_classes), (width,))

    def specs(self, shape):
        return prefixed(self.parts(shape), "specs")

    def states(self, shape):
        return prefixed(self.parts(shape), "states")

    def workspace(self, shape, B, dtype):
        (_, body, inner), (_, head, width) = self.parts(shape)
        space = Space(parts=(body.workspace(inner, B, dtype), head.workspace(width, B, dtype)))
        space.pooled, space.dh = np.empty((B, *width), dtype=dtype), np.empty((B, shape[1], *width), dtype=dtype)
        return numbered(space)

    def forward(self, x, p, space, mode):
        space.a, pooled = x[:, 2], space.pooled[: len(x)]
        h = self.body.forward(x[:, :2], p["body"], space.parts[0], mode)
        np.einsum("bt,btc->bc", space.a, h, out=pooled)
        return Linear(self.n_classes).forward(pooled, p["head"], space.parts[1], mode)

    def backward(self, dy, p, g, space, mode, need_dx=True):
        dpooled = Linear(self.n_classes).backward(dy, p["head"], g["head"], space.parts[1], mode)
        dh = space.dh[: len(dy)]
        np.multiply(space.a[:, :, None], dpooled[:, None], out=dh)
        self.body.backward(dh, p["body"], g["body"], space.parts[0], mode, False)

    def cost(self, shape):
        return sum(layer.cost(at) for _, layer, at in self.parts(shape))


def body_of(network):
    """Return the layers of a language model below its logits."""
    if hasattr(network, "blocks"):
        return type(network)(**{**vars(network), "head": False})
    return RecurrentStates(replace(network, carry=0))


def pooled_samples(sequences, coder, pooling, T, dtype):
    """Return documents as samples of a :class:`PooledClassifier`.

    Parameters
    ----------
    sequences : list of ndarray of shape (m,), int32
        Documents of at most T - 1 tokens.
    coder : Coder
        What begins them.
    pooling : {"last", "mean"}
        Which moments count.
    T : int
        Moments of a sample.
    dtype : dtype
        Of the network.

    Returns
    -------
    samples : ndarray of shape (n_documents, 3, T)
        Filled up on the right.

    Examples
    --------
    >>> import numpy as np
    >>> from types import SimpleNamespace
    >>> from skml.language.classification_head import pooled_samples
    >>> pooled_samples([np.array([7])], SimpleNamespace(start=1), "mean", 3, np.float32)[0]
    array([[1. , 7. , 0. ],
           [0. , 0. , 0. ],
           [0.5, 0.5, 0. ]], dtype=float32)
    """
    samples = np.zeros((len(sequences), 3, T), dtype=dtype)
    for sample, ids in zip(samples, begun(sequences, coder)):
        sample[0, : len(ids)] = ids
        sample[2, len(ids) - 1 if pooling == "last" else slice(len(ids))] = 1 if pooling == "last" else 1 / len(ids)
    return samples


@dataclass(frozen=True)
class SharedCrossEntropy:
    """Cross-entropy of classes in which a batch counts as much as its rows weigh.

    Attributes
    ----------
    mean_weight : float, default=1.0
        Of all rows. A batch of light rows then changes little, whatever else there is in it.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.language.classification_head import SharedCrossEntropy
    >>> SharedCrossEntropy(4.0)(np.zeros((1, 2)), np.array([1], dtype=np.int32), np.array([1.0]))[1]
    array([[ 0.125, -0.125]])
    """

    mean_weight: float = 1.0

    def __call__(self, z, y, weights, n_threads=1):
        """Return the losses of rows, and the gradient of sum_i w_i l_i over b times the mean weight."""
        losses, dz = cross_entropy(z, y, weights, n_threads=n_threads)
        dz *= z.dtype.type(weights.sum() / (len(z) * self.mean_weight))
        return losses, dz

    def weights(self, y, weights):
        """Return the weights of rows as they are."""
        return weights

    def tally(self, z, y, weights):
        """Return the weight of the rows that are told right."""
        return weights @ (z.argmax(axis=1) == y)

    def score(self, tally, y, weights):
        """Return the share of rows that are told right."""
        return float(tally / weights.sum())


@dataclass(frozen=True)
class Joint:
    """Two optimizers, each of parameters of its own.

    Attributes
    ----------
    first, second : object
        Such as :class:`Partial`.
    n_moments : int
        How many arrays the first has to remember.
    """

    first: object
    second: object
    n_moments: int

    @property
    def learning_rate(self):
        """The rate before a schedule's factor."""
        return self.first.learning_rate

    def moments(self, w):
        """Return what to remember before the first step."""
        return *self.first.moments(w), *self.second.moments(w)

    def update(self, w, g, moments, t, factor=1.0, n_threads=1):
        """Take one step; see :meth:`skml.network.Adam.update`."""
        n = self.n_moments
        self.first.update(w, g, moments[:n], t, factor, n_threads)
        self.second.update(w, g, moments[n:], t, factor, n_threads)


def head_optimizer(optimizer, parameters, changes, rank, seed):
    """Return an optimizer of the head, and of what else may change.

    Parameters
    ----------
    optimizer : object
        What it makes its steps with.
    parameters : Parameters
        Of a :class:`PooledClassifier`.
    changes : callable
        Of a parameter's name in the body: whether it may change.
    rank : int or None
        Of the change of matrices in the body; None lets them become anything.
    seed : int
        What chance depends on.

    Returns
    -------
    optimizer : object
        For the flat buffer of all parameters.
    """
    head = [name for name in parameters if name.startswith("head.")]
    body = [name for name in parameters if name.startswith("body.") and changes(name.removeprefix("body."))]
    if rank is None:
        return tuning_optimizer(optimizer, parameters, body + head)
    low = tuning_optimizer(optimizer, parameters, body, rank, seed)
    n_moments = len(low.moments(parameters.flat))
    return Joint(low, tuning_optimizer(optimizer, parameters, head), n_moments)
