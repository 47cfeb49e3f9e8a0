"""A program: a network for samples of one shape, with its parameters, gradients, states and buffers."""

import numpy as np

from skml.network.composition import format_table, network_table
from skml.network.parameters import initialize

__all__ = ["Program"]


class Program:
    """A network that can be run.

    Parameters
    ----------
    network : Layer
        Usually a :class:`Sequential`.
    shape : tuple of int
        Of a sample.
    dtype : dtype, default=float32
        float32 or float64; of parameters, and of the batches to come.
    seed : int or sequence of int, default=0
        What the initial parameters depend on.

    Attributes
    ----------
    parameters, gradients : Parameters
        What is trained, and where `backward` writes.
    states : Parameters
        What is kept, but not trained: running averages. Best weights and saved ones need them as well.

    Raises
    ------
    ValueError
        If the network cannot take such samples.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import Linear, Mode, Program, Sequential
    >>> program = Program(Sequential([Linear(8, activation="relu"), Linear(2)]), (4,))
    >>> z = program.forward(np.ones((5, 4), dtype=np.float32), Mode(train=True))
    >>> program.backward(np.ones_like(z), Mode(train=True))
    >>> z.shape, program.gradients["1.bias"]
    ((5, 2), array([5., 5.], dtype=float32))
    """

    def __init__(self, network, shape, dtype=np.float32, seed=0):
        self.network, self.shape, self.dtype = network, tuple(shape), np.dtype(dtype)
        self.output_shape = tuple(network.output_shape(self.shape))
        generator = np.random.default_rng(seed)
        self.parameters = initialize(network.specs(self.shape), self.dtype, generator)
        self.states = initialize(network.states(self.shape), self.dtype, generator)
        self.gradients = self.parameters.like()
        self._open()

    def _open(self):
        self._space, self._capacity = None, 0
        self._p, self._g = _merged(self.parameters.tree(), self.states.tree()), self.gradients.tree()

    def __getstate__(self):
        # buffers and views are made anew, and the dtype is that of the parameters
        anew = ("gradients", "dtype")
        return {name: value for name, value in vars(self).items() if not name.startswith("_") and name not in anew}

    def __setstate__(self, state):
        vars(self).update(state)
        self.dtype = self.parameters.flat.dtype
        self.gradients = self.parameters.like()
        self._open()

    def reserve(self, B):
        """Make room for batches of up to `B` samples; `forward` does so itself when it must.

        Parameters
        ----------
        B : int
            The most samples in a batch.
        """
        if self._capacity < B:
            self._space = None  # the old buffers go before the new ones come
            self._space, self._capacity = self.network.workspace(self.shape, B, self.dtype), B

    def release(self):
        """Let go of the buffers."""
        self._space, self._capacity = None, 0

    def forward(self, x, mode):
        """Compute the network's output.

        Parameters
        ----------
        x : ndarray of shape (b, *shape)
            A batch; it must stay as it is until `backward`.
        mode : Mode
            How to run.

        Returns
        -------
        y : ndarray of shape (b, *output_shape)
            It holds until the next call.
        """
        self.reserve(len(x))
        return self.network.forward(x, self._p, self._space, mode)

    def backward(self, dy, mode, need_dx=False):
        """Carry a gradient back through the last `forward`; those at the parameters are in `gradients` then.

        Parameters
        ----------
        dy : ndarray of shape (b, *output_shape)
            At the output.
        mode : Mode
            As for `forward`.
        need_dx : bool, default=False
            Whether the gradient at the input is asked for.

        Returns
        -------
        dx : ndarray of shape (b, *shape) or None
            It holds until the next call.
        """
        return self.network.backward(dy, self._p, self._g, self._space, mode, need_dx)

    def table(self):
        """Return the table of layers, shapes, parameters and multiply-adds.

        Returns
        -------
        text : str
            See :func:`format_table`.
        """
        return format_table(network_table(self.network, self.shape))


def _merged(tree, other):
    """Return a tree that holds what both hold."""
    for name, value in other.items():
        tree[name] = _merged(tree.get(name, {}), value) if isinstance(value, dict) else value
    return tree
