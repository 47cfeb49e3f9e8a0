"""Running fitted networks: from rows to outputs, in batches, by any number of callers at once."""

import math
from contextlib import nullcontext

import numpy as np

from skml import _kernels
from skml.network.chains import settled
from skml.network.composition import network_table
from skml.network.inference import for_inference
from skml.network.layers import Mode

# The fewest and the most rows at a time; between them, as many as make so many numbers of a layer: those stay in the
# cache until the next layer reads them.
FEWEST, MOST, NUMBERS = 8, 64, 2**18
# The most rows for which buffers are kept from call to call.
KEPT = 8
# Multiply-adds in a batch from which on several threads are worth waking up.
WORTH = 2**22


def threads_for(n_threads, work):
    """Return how many threads to use for so many multiply-adds; no result depends on it."""
    return n_threads if work >= WORTH else 1


class Runner:
    """A program with buffers of its own and room for its batches, for one caller at a time.

    Parameters
    ----------
    program : Program
        To be run; its numbers must stay as they are.
    backward : bool, default=False
        Whether gradients will be asked for; else less is done for few rows.
    """

    def __init__(self, program, backward=False):
        if backward:
            self.program = program.with_numbers(program.parameters.flat, program.states.flat)
        else:
            self.program = settled(program)
        largest = max((math.prod(row.output_shape) for row in network_table(program.network, program.shape)), default=1)
        self.batch = max(FEWEST, min(MOST, NUMBERS // max(largest, 1)))
        self.cost = program.network.cost(program.shape)
        self.uses_blas = program.network.uses_blas(program.shape, program.dtype)
        self.room = np.empty((0, *program.shape), dtype=program.dtype)

    def twin(self):
        """Return a runner of the same numbers with buffers of its own."""
        return Runner(self.program)

    def mode(self, n, n_threads):
        """Return how to run n rows."""
        return Mode(n_threads=threads_for(n_threads, min(n, self.batch) * self.cost))

    def batches(self, X, prepare):
        """Yield slices of rows, and those rows as the program takes them."""
        if len(self.room) < min(len(X), self.batch):
            self.room = np.empty((min(len(X), self.batch), *self.program.shape), dtype=self.program.dtype)
        limited = _kernels.blas_threads(1) if self.uses_blas else nullcontext()
        with np.errstate(over="ignore"), limited:
            for start in range(0, len(X), self.batch):
                rows = X[start : start + self.batch]
                x = self.room[: len(rows)]
                prepare(rows, x)
                yield slice(start, start + len(rows)), x


class Pool:
    """A fitted network that several threads may run at once: each call has a program of its own.

    Parameters
    ----------
    program : Program
        The network. Its arrays must not be written to any more.
    """

    def __init__(self, program):
        self.program = program
        self.lean = None
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
        runner = self._borrow()
        program, mode = runner.program, runner.mode(len(X), n_threads)
        outputs = np.empty((len(X), *program.output_shape), dtype=program.dtype)
        for some, x in runner.batches(X, self._preparation(X, images)):
            outputs[some] = program.forward(x, mode)
        if len(X) <= KEPT:
            self.idle.append(runner)
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
        runner = Runner(self.program, backward=True)
        program, mode = runner.program, runner.mode(len(X), n_threads)
        gradients = np.empty((len(X), *program.shape), dtype=program.dtype)
        for some, x in runner.batches(X, self._preparation(X, images)):
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

    def _borrow(self):
        """Return a runner that nobody else uses."""
        try:
            return self.idle.pop()
        except IndexError:
            if self.lean is None:  # if two callers come here at once, both make the same
                self.lean = Runner(for_inference(self.program))
            return self.lean.twin()
