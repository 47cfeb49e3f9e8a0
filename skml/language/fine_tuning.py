"""Fine-tuning: an optimizer that changes a part of the parameters, or matrices by products of low rank.

Both take the place of the optimizer that they hold, which sees as one array what may change.
"""

from dataclasses import dataclass

import numpy as np

LAYERS = ("all", "last", "head", "lora")


@dataclass(frozen=True)
class Partial:
    """An optimizer of some parameters; all others stay as they are.

    Attributes
    ----------
    optimizer : object
        Such as :class:`skml.network.Adam`.
    parts : tuple of (int, int)
        Where in the flat buffer the parameters begin and end.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.language.fine_tuning import Partial
    >>> from skml.network import SGD
    >>> optimizer, w = Partial(SGD(1.0, momentum=0.0), ((1, 2),)), np.zeros(3)
    >>> optimizer.update(w, np.ones(3), optimizer.moments(w), t=1)
    >>> w
    array([ 0., -1.,  0.])
    """

    optimizer: object
    parts: tuple

    @property
    def learning_rate(self):
        """The rate before a schedule's factor."""
        return self.optimizer.learning_rate

    def _of(self, flat):
        return np.concatenate([flat[start:stop] for start, stop in self.parts])

    def moments(self, w):
        """Return what to remember before the first step."""
        return self.optimizer.moments(self._of(w))

    def update(self, w, g, moments, t, factor=1.0, n_threads=1):
        """Take one step; see :meth:`skml.network.Adam.update`."""
        some = self._of(w)
        self.optimizer.update(some, self._of(g), moments, t, factor, n_threads)
        at = 0
        for start, stop in self.parts:
            w[start:stop] = some[at : at + stop - start]
            at += stop - start


@dataclass(frozen=True)
class LowRank:
    """An optimizer of W = W_0 + A B, where W_0 stays as it is and A and B have few columns and rows (Hu et al. 2022).

    Attributes
    ----------
    optimizer : object
        Such as :class:`skml.network.Adam`.
    matrices : tuple of (int, (int, int))
        Where in the flat buffer each W begins, and its shape. Everything else stays as it is.
    rank : int
        The columns of A and rows of B.
    seed : int, default=0
        What the first A depends on; the first B is zero.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.language.fine_tuning import LowRank
    >>> from skml.network import SGD
    >>> optimizer, w = LowRank(SGD(0.1), ((0, (4, 3)),), rank=1), np.zeros(14)
    >>> moments = optimizer.moments(w)
    >>> for t in range(2):
    ...     optimizer.update(w, np.ones(14), moments, t + 1)
    >>> int(np.linalg.matrix_rank(w[:12].reshape(4, 3))), w[12:].tolist()
    (1, [0.0, 0.0])
    """

    optimizer: object
    matrices: tuple
    rank: int
    seed: int = 0

    @property
    def learning_rate(self):
        """The rate before a schedule's factor."""
        return self.optimizer.learning_rate

    def moments(self, w):
        """Return what to remember: A and B of all matrices, W_0, and the moments of the optimizer."""
        generator, parts = np.random.default_rng(self.seed), []
        for _, (rows, columns) in self.matrices:
            parts.append(generator.standard_normal(rows * self.rank) / np.sqrt(rows))
            parts.append(np.zeros(self.rank * columns))
        factors = np.concatenate(parts).astype(w.dtype)
        return factors, w.copy(), *self.optimizer.moments(factors)

    def update(self, w, g, moments, t, factor=1.0, n_threads=1):
        """Take one step; see :meth:`skml.network.Adam.update`."""
        factors, base, *others = moments
        slopes = np.empty_like(factors)
        for (start, shape), (a, b), (da, db) in zip(self.matrices, self._pairs(factors), self._pairs(slopes)):
            dw = g[start : start + shape[0] * shape[1]].reshape(shape)
            np.matmul(dw, b.T, out=da)
            np.matmul(a.T, dw, out=db)
        self.optimizer.update(factors, slopes, tuple(others), t, factor, n_threads)
        for (start, shape), (a, b) in zip(self.matrices, self._pairs(factors)):
            part = slice(start, start + shape[0] * shape[1])
            w[part] = base[part] + (a @ b).ravel()

    def _pairs(self, flat):
        """Yield A and B of each matrix."""
        at = 0
        for _, (rows, columns) in self.matrices:
            middle, stop = at + rows * self.rank, at + (rows + columns) * self.rank
            yield flat[at:middle].reshape(rows, self.rank), flat[middle:stop].reshape(self.rank, columns)
            at = stop


def tuning_optimizer(optimizer, parameters, names, rank=None, seed=0):
    """Return an optimizer that changes some parameters alone.

    Parameters
    ----------
    optimizer : object
        What it makes its steps with.
    parameters : Parameters
        All there are.
    names : collection of str
        Those that may change.
    rank : int or None, default=None
        Of the change; None lets the parameters become anything.
    seed : int, default=0
        What chance depends on.

    Returns
    -------
    optimizer : object
        For the flat buffer of all parameters.
    """
    sizes = [view.size for view in parameters.values()]
    starts = dict(zip(parameters, np.cumsum([0, *sizes]).tolist()))
    if rank is None:
        return Partial(optimizer, tuple((starts[name], starts[name] + parameters[name].size) for name in names))
    return LowRank(optimizer, tuple((starts[name], parameters[name].shape) for name in names), rank, seed)
