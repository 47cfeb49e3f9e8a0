"""Running fitted networks: from rows to outputs, in batches, by any number of callers at once."""

import numpy as np

from skml import _kernels
from skml.network.composition import Sequential
from skml.network.layers import Mode
from skml.network.parameters import Parameters
from skml.network.program import Program

# Rows at a time, and the most for which buffers are kept from call to call.
BATCH, KEPT = 64, 1
# Multiply-adds in a batch from which on several threads are worth waking up.
WORTH = 2**22


def threads_for(n_threads, work):
    """Return how many threads to use for so many multiply-adds; no result depends on it."""
    return n_threads if work >= WORTH else 1


def with_arrays(program, parameters, states):
    """Return a program with other numbers, and buffers of its own.

    Parameters
    ----------
    program : Program
        What to run.
    parameters, states : ndarray of shape (n_parameters,) and (n_states,)
        The numbers; they are not copied.

    Returns
    -------
    twin : Program
        The same network.
    """
    arrays = {"parameters": parameters, "states": states}
    held = {name: Parameters(getattr(program, name).shapes, flat) for name, flat in arrays.items()}
    return _program({**program.__getstate__(), **held})


def without_last(program, k):
    """Return the program of the first k layers; it shares its numbers with the whole.

    Parameters
    ----------
    program : Program
        Of a :class:`Sequential`.
    k : int
        How many layers to keep.

    Returns
    -------
    head : Program
        What it gives is what layer k would be given.
    """
    network = Sequential(program.network.layers[:k])
    changed = {"network": network, "output_shape": tuple(network.output_shape(program.shape))}
    for name in ("parameters", "states"):
        whole = getattr(program, name)
        shapes = {key: shape for key, shape in whole.shapes.items() if int(key.partition(".")[0]) < k}
        size = sum(int(np.prod(shape)) for shape in shapes.values())
        changed[name] = Parameters(shapes, whole.flat[:size])  # they lie in the order of the layers
    return _program({**program.__getstate__(), **changed})


def _program(state):
    program = Program.__new__(Program)
    program.__setstate__(state)
    return program


class Pool:
    """A fitted network that several threads may run at once: each call has a program of its own.

    Parameters
    ----------
    program : Program
        The network. Its arrays must not be written to any more.
    """

    def __init__(self, program):
        self.program = program
        self.cost = program.network.cost(program.shape)
        self.idle = []
        self.prepared = {}

    def __repr__(self):
        return f"Pool({self.program.network!r}, {self.program.parameters!r})"

    def __getstate__(self):
        return {"program": self.program}

    def __setstate__(self, state):
        self.__init__(**state)

    def outputs(self, X, images, n_threads=1):
        """Return what the network says about rows.

        Parameters
        ----------
        X : ndarray of shape (n, n_features)
            Rows.
        images : Images
            What they are.
        n_threads : int, default=1
            How many threads to use; the result does not depend on it.

        Returns
        -------
        outputs : ndarray of shape (n, *output_shape)
            Of the network's dtype.
        """
        program, mode = self._borrow(), self._mode(len(X), n_threads)
        outputs = np.empty((len(X), *program.output_shape), dtype=program.dtype)
        for some, x in batches(X, self._preparation(X, images), program):
            outputs[some] = program.forward(x, mode)
        self._give_back(program, len(X))
        return outputs

    def gradients(self, X, images, slopes, n_threads=1):
        """Return the gradient of each row's outputs, weighted by `slopes`, at the row's scaled numbers.

        Parameters
        ----------
        X : ndarray of shape (n, n_features)
            Rows.
        images : Images
            What they are.
        slopes : ndarray of shape (n, n_outputs)
            Of the network's dtype.
        n_threads : int, default=1
            How many threads to use; the result does not depend on it.

        Returns
        -------
        gradients : ndarray of shape (n, H, W, C)
            Of the network's dtype.
        """
        program, mode = self._borrow(), self._mode(len(X), n_threads)
        gradients = np.empty((len(X), *program.shape), dtype=program.dtype)
        for some, x in batches(X, self._preparation(X, images), program):
            program.forward(x, mode)
            gradients[some] = program.backward(slopes[some], mode, need_dx=True)
        return gradients

    def _preparation(self, X, images):
        """Return what makes batches of rows of such a type."""
        known, prepare = self.prepared.get(X.dtype.char, (None, None))
        if known is not images:
            prepare = images.preparation(X.dtype, self.program.dtype)
            self.prepared[X.dtype.char] = images, prepare
        return prepare

    def _mode(self, n, n_threads):
        return Mode(n_threads=threads_for(n_threads, min(n, BATCH) * self.cost))

    def _borrow(self):
        try:
            return self.idle.pop()
        except IndexError:
            return with_arrays(self.program, self.program.parameters.flat, self.program.states.flat)

    def _give_back(self, program, n):
        if n <= KEPT:
            self.idle.append(program)


def batches(X, prepare, program):
    """Yield slices of rows, and those rows as the program takes them."""
    buffer = np.empty((min(len(X), BATCH), *program.shape), dtype=program.dtype)
    with np.errstate(over="ignore"), _kernels.blas_threads(1):
        for start in range(0, len(X), BATCH):
            rows = X[start : start + BATCH]
            prepare(rows, buffer[: len(rows)])
            yield slice(start, start + len(rows)), buffer[: len(rows)]
