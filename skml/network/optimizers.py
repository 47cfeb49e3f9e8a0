"""Optimizers: one step over the flat buffer of all parameters, in place.

An optimizer is a frozen set of settings; what it remembers from step to step are its moments, arrays that the caller
keeps. Steps are counted from 1, as in Kingma & Ba (2015).
"""

import math
from dataclasses import dataclass

from skml import _kernels

__all__ = ["SGD", "Adam", "AdamW", "clip_gradient"]


def clip_gradient(g, largest, n_threads=1):
    """Scale a gradient down to a given norm if it is longer (Pascanu, Mikolov & Bengio 2013, algorithm 1).

    Parameters
    ----------
    g : ndarray of shape (n,), float32 or float64
        The gradient of all parameters; changed in place.
    largest : float or None
        The norm; None leaves the gradient as it is.
    n_threads : int, default=1
        How many threads to use; the result does not depend on it.

    Returns
    -------
    norm : float
        Of the gradient as it came; not finite if that has an entry that isn't.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import clip_gradient
    >>> g = np.array([3.0, 4.0])
    >>> clip_gradient(g, 1.0), g
    (5.0, array([0.6, 0.8]))
    """
    norm = math.sqrt(_kernels.fused.sum_of_squares(g, n_threads))
    if largest is not None and largest < norm < math.inf:
        g *= largest / norm
    return norm


@dataclass(frozen=True)
class SGD:
    """Gradient descent with momentum.

    m <- momentum m + g; w <- w - rate m, or with Nesterov's momentum w <- w - rate (momentum m + g) (Sutskever et
    al. 2013, as reformulated by Bengio et al. 2013).

    Attributes
    ----------
    learning_rate : float, default=0.1
        The rate before a schedule's factor.
    momentum : float, default=0.9
        What is kept of the velocity.
    nesterov : bool, default=False
        Whether the gradient's step comes on top of the momentum's.
    weight_decay : float, default=0.0
        What times w is added to the gradient.
    largest_norm : float or None, default=None
        See :func:`clip_gradient`.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import SGD
    >>> optimizer, w = SGD(learning_rate=0.5, momentum=0.0), np.array([1.0])
    >>> optimizer.update(w, 2 * w, optimizer.moments(w), 1)
    >>> w
    array([0.])
    """

    learning_rate: float = 0.1
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0
    largest_norm: float | None = None

    def moments(self, w):
        """Return what to remember before the first step.

        Parameters
        ----------
        w : ndarray of shape (n,)
            The parameters.

        Returns
        -------
        moments : tuple of ndarray of shape (n,)
            Zeros.
        """
        return (0 * w,)

    def update(self, w, g, moments, t, factor=1.0, n_threads=1):
        """Take one step.

        Parameters
        ----------
        w : ndarray of shape (n,)
            The parameters; changed in place.
        g : ndarray of shape (n,)
            Their gradient; used up.
        moments : tuple of ndarray of shape (n,)
            Of the last step; changed in place.
        t : int
            The number of this step, from 1.
        factor : float, default=1.0
            What the learning rate is multiplied with: a schedule's value.
        n_threads : int, default=1
            How many threads to use; the result does not depend on it.
        """
        if self.largest_norm is not None:
            clip_gradient(g, self.largest_norm, n_threads)
        settings = self.learning_rate * factor, self.momentum, self.nesterov, self.weight_decay
        _kernels.fused.sgd(w, g, *moments, *settings, n_threads)


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma & Ba 2015, algorithm 1).

    m <- b1 m + (1 - b1) g; v <- b2 v + (1 - b2) g^2; w <- w - rate (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon)

    Attributes
    ----------
    learning_rate : float, default=0.001
        The rate before a schedule's factor.
    beta1, beta2 : float, default=0.9, 0.999
        What is kept of the running means.
    epsilon : float, default=1e-8
        What keeps small gradients from large steps.
    weight_decay : float, default=0.0
        What times w is added to the gradient; not what :class:`AdamW` does.
    largest_norm : float or None, default=None
        See :func:`clip_gradient`.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import Adam
    >>> optimizer, w = Adam(learning_rate=0.25), np.array([1.0])
    >>> optimizer.update(w, np.array([8.0]), optimizer.moments(w), 1)
    >>> w.round(6)
    array([0.75])
    """

    learning_rate: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    largest_norm: float | None = None

    def moments(self, w):
        """Return what to remember before the first step.

        Parameters
        ----------
        w : ndarray of shape (n,)
            The parameters.

        Returns
        -------
        moments : tuple of two ndarray of shape (n,)
            Zeros.
        """
        return 0 * w, 0 * w

    def update(self, w, g, moments, t, factor=1.0, n_threads=1):
        """Take one step.

        Parameters
        ----------
        w : ndarray of shape (n,)
            The parameters; changed in place.
        g : ndarray of shape (n,)
            Their gradient; used up.
        moments : tuple of two ndarray of shape (n,)
            Of the last step; changed in place.
        t : int
            The number of this step, from 1.
        factor : float, default=1.0
            What the learning rate is multiplied with: a schedule's value.
        n_threads : int, default=1
            How many threads to use; the result does not depend on it.
        """
        if self.largest_norm is not None:
            clip_gradient(g, self.largest_norm, n_threads)
        rate = self.learning_rate * factor
        # (m / c1) / (sqrt(v / c2) + epsilon) = (sqrt(c2) / c1) m / (sqrt(v) + sqrt(c2) epsilon)
        c1, root = 1 - self.beta1**t, math.sqrt(1 - self.beta2**t)
        decay, penalty = (rate * self.weight_decay, 0.0) if self._decoupled() else (0.0, self.weight_decay)
        settings = rate * root / c1, self.beta1, self.beta2, self.epsilon * root, decay, penalty
        _kernels.fused.adam(w, g, *moments, *settings, n_threads)

    def _decoupled(self):
        return False


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with weights that decay on their own (Loshchilov & Hutter 2019, algorithm 2): w <- (1 - rate decay) w too.

    Attributes
    ----------
    learning_rate : float, default=0.001
        The rate before a schedule's factor.
    beta1, beta2 : float, default=0.9, 0.999
        What is kept of the running means.
    epsilon : float, default=1e-8
        What keeps small gradients from large steps.
    weight_decay : float, default=0.01
        What times the rate is taken away from w in each step.
    largest_norm : float or None, default=None
        See :func:`clip_gradient`.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import AdamW
    >>> optimizer, w = AdamW(learning_rate=0.5, weight_decay=0.5), np.array([4.0])
    >>> optimizer.update(w, np.array([0.0]), optimizer.moments(w), 1)
    >>> w
    array([3.])
    """

    weight_decay: float = 0.01

    def _decoupled(self):
        return True
