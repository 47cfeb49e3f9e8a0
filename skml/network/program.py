"""A program: a network for samples of one shape, with its parameters, gradients, states and buffers."""

import math

import numpy as np

from skml.network.composition import Sequential, format_table, network_table
from skml.network.parameters import Parameters, initialize

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

    def tree(self):
        """Return parameters and states by layer, see :meth:`Parameters.tree`.

        Returns
        -------
        tree : dict
            Of views, and of such dicts.
        """
        return self._p

    def with_parts(self, network, parameters, states, shape=None):
        """Return a program of other layers or numbers, with buffers of its own.

        Parameters
        ----------
        network : Layer
            The layers.
        parameters, states : Parameters
            Theirs; they are not copied.
        shape : tuple of int or None, default=None
            Of a sample; None means the same as here.

        Returns
        -------
        twin : Program
            Of the same dtype.
        """
        shape = self.shape if shape is None else tuple(shape)
        twin = type(self).__new__(type(self))
        made = tuple(network.output_shape(shape))
        twin.__setstate__(
            {"network": network, "shape": shape, "output_shape": made, "parameters": parameters, "states": states}
        )
        return twin

    def with_numbers(self, parameters, states):
        """Return a program of the same layers with other numbers, and buffers of its own.

        Parameters
        ----------
        parameters, states : ndarray of shape (n_parameters,) and (n_states,)
            The numbers; they are not copied.

        Returns
        -------
        twin : Program
            The same network.
        """
        arrays = Parameters(self.parameters.shapes, parameters), Parameters(self.states.shapes, states)
        return self.with_parts(self.network, *arrays)

    def part(self, start, stop):
        """Return the program of some of the layers of a :class:`Sequential`; it shares its numbers with the whole.

        Parameters
        ----------
        start, stop : int
            The first layer, and the one after the last.

        Returns
        -------
        part : Program
            It takes what layer `start` is given, and gives what layer `stop` would be given.
        """
        layers = self.network.layers
        shape = Sequential(layers[:start]).output_shape(self.shape)
        arrays = (_part(of, start, stop) for of in (self.parameters, self.states))
        return self.with_parts(Sequential(layers[start:stop]), *arrays, shape)

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


def _part(whole, start, stop):
    """Return the arrays of the layers from `start` to before `stop`, named as if those were all; they lie in order."""
    shapes, before = {}, 0
    for name, shape in whole.shapes.items():
        number, _, rest = name.partition(".")
        if int(number) < start:
            before += math.prod(shape)
        elif int(number) < stop:
            shapes[f"{int(number) - start}.{rest}"] = shape
    return Parameters(shapes, whole.flat[before : before + sum(map(math.prod, shapes.values()))])


def _merged(tree, other):
    """Return a tree that holds what both hold."""
    for name, value in other.items():
        tree[name] = _merged(tree.get(name, {}), value) if isinstance(value, dict) else value
    return tree
