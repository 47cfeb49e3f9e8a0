"""Batch, layer and root-mean-square normalisation. N: rows, such as pixels of all samples; F: features or channels."""

from dataclasses import dataclass

import numpy as np

from skml import _kernels
from skml.network.activations import CODES, NO_ROWS, NONE, as_rows, check_activation
from skml.network.layers import Layer, Space, after, before, outputs, undone
from skml.network.parameters import Spec, ones

__all__ = [
    "BatchNormalization",
    "LayerNormalization",
    "RMSNormalization",
    "batch_normalization_backward",
    "batch_normalization_forward",
    "batch_statistics",
    "layer_normalization_backward",
    "layer_normalization_forward",
    "rms_normalization_backward",
    "rms_normalization_forward",
]


def batch_normalization_forward(x, mean, rstd, gamma, beta, activation="identity", *, out=None, n_threads=1):
    """Normalise columns by given statistics: y = activation(gamma (x - mean) rstd + beta).

    Parameters
    ----------
    x : ndarray of shape (..., F), float32 or float64
        C-contiguous.
    mean, rstd : ndarray of shape (F,)
        What is subtracted, and what the difference is multiplied with: see :func:`batch_statistics`.
    gamma, beta : ndarray of shape (F,)
        The scale and the shift that are learnt.
    activation : str, default="identity"
        See :func:`activation_forward`.
    out : ndarray or None, default=None
        Where to write.
    n_threads : int, default=1
        How many threads to use.

    Returns
    -------
    y : ndarray of the shape of x
        `out`, if given.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import batch_normalization_forward
    >>> one = np.ones(1)
    >>> batch_normalization_forward(np.array([[3.0], [5.0]]), 4 * one, one, 2 * one, 0 * one)
    array([[-2.],
           [ 2.]])
    """
    y = np.empty_like(x) if out is None else out
    scale = gamma * rstd
    shift = beta - mean * scale
    _kernels.fused.batch_norm(as_rows(x), scale, shift, as_rows(y), CODES[check_activation(activation)], n_threads)
    return y


def batch_statistics(x, eps, out=None, n_threads=1):
    """Return mean, biased variance, and 1 / sqrt(variance + eps) of columns.

    Parameters
    ----------
    x : ndarray of shape (..., F)
        The batch.
    eps : float
        What keeps a constant column from a division by 0.
    out : (ndarray, ndarray, ndarray) or None, default=None
        Where to write.
    n_threads : int, default=1
        How many threads to use.

    Returns
    -------
    mean, var, rstd : ndarray of shape (F,)
        Of the dtype of x.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import batch_statistics
    >>> batch_statistics(np.array([[1.0], [3.0]]), eps=0.0)
    (array([2.]), array([1.]), array([1.]))
    """
    mean, var, rstd = np.empty((3, x.shape[-1]), dtype=x.dtype) if out is None else out
    _kernels.fused.batch_norm_statistics(as_rows(x), mean, var, n_threads)
    inverse_root(var, eps, rstd)
    return mean, var, rstd


def inverse_root(var, eps, out):
    """Write 1 / sqrt(var + eps)."""
    np.add(var, eps, out=out)
    np.sqrt(out, out=out)
    np.reciprocal(out, out=out)
    return out


def batch_normalization_backward(dy, x, mean, rstd, gamma, out=None, n_threads=1):
    """Carry a gradient back through a normalisation by the statistics of the batch itself.

    Parameters
    ----------
    dy : ndarray of shape (..., F)
        At the output, before any activation.
    x : ndarray of shape (..., F)
        What went in.
    mean, rstd : ndarray of shape (F,)
        Of x.
    gamma : ndarray of shape (F,)
        The scale.
    out : (ndarray, ndarray, ndarray) or None, default=None
        Where to write.
    n_threads : int, default=1
        How many threads to use.

    Returns
    -------
    dx : ndarray of shape (..., F)
        The gradient at x.
    dgamma, dbeta : ndarray of shape (F,)
        The gradients at gamma and beta.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import batch_normalization_backward
    >>> x, one = np.array([[-1.0], [1.0]]), np.ones(1)
    >>> dx, dgamma, dbeta = batch_normalization_backward(np.ones((2, 1)), x, 0 * one, one, one)
    >>> dx.tolist(), dgamma.tolist(), dbeta.tolist()
    ([[0.0], [0.0]], [0.0], [2.0])
    """
    dx, dgamma, dbeta = _gradients(x) if out is None else out
    rows = as_rows(dy), as_rows(x), mean, rstd, gamma
    _kernels.fused.batch_norm_backward(*rows, as_rows(dx), dgamma, dbeta, n_threads)
    return dx, dgamma, dbeta


def _gradients(x):
    return np.empty_like(x), *np.empty((2, x.shape[-1]), dtype=x.dtype)


@dataclass(frozen=True)
class BatchNormalization(Layer):
    """Normalise each channel over a batch (Ioffe & Szegedy 2015).

    While training by mean and variance of the batch, and else by their running averages, its two states
    "running_mean" and "running_var" (the variance there is the unbiased one). The batch's own statistics know no
    weights of samples.

    Attributes
    ----------
    activation : str, default="identity"
        Applied afterwards, see :func:`activation_forward`.
    momentum : float, default=0.1
        The share of the batch in a new running average.
    eps : float, default=1e-5
        Added to the variance.

    Raises
    ------
    ValueError
        If there is no such activation.

    Examples
    --------
    >>> from skml.network import BatchNormalization
    >>> [spec.name for spec in BatchNormalization().states((8, 8, 16))]
    ['running_mean', 'running_var']
    """

    activation: str = "identity"
    momentum: float = 0.1
    eps: float = 1e-5

    def __post_init__(self):
        check_activation(self.activation)

    def specs(self, shape):
        return Spec("gamma", (shape[-1],), ones), Spec("beta", (shape[-1],))

    def states(self, shape):
        return Spec("running_mean", (shape[-1],)), Spec("running_var", (shape[-1],), ones)

    def uses_blas(self, shape, dtype):
        return False

    def workspace(self, shape, B, dtype):
        buffers = outputs(shape, B, dtype, self.activation)
        statistics = dict(zip(("mean", "var", "rstd"), np.empty((3, shape[-1]), dtype=dtype)))
        return Space(dx=np.empty((B, *shape), dtype=dtype), **buffers, **statistics)

    def forward(self, x, p, space, mode):
        space.x = x
        if mode.train:
            batch_statistics(x, self.eps, (space.mean, space.var, space.rstd), mode.n_threads)
            self._remember(x.size // x.shape[-1], p, space)
        else:
            space.mean[:] = p["running_mean"]
            inverse_root(p["running_var"], self.eps, space.rstd)
        product, activation = before(space, self.activation, len(x))
        given = x, space.mean, space.rstd, p["gamma"], p["beta"], activation
        batch_normalization_forward(*given, out=product, n_threads=mode.n_threads)
        return after(space, self.activation, len(x), mode)

    def _remember(self, n, p, space):
        """Move the running averages; n is the number of rows."""
        for state, value in ((p["running_mean"], space.mean), (p["running_var"], space.var * (n / max(n - 1, 1)))):
            state += self.momentum * (value - state)

    def backward(self, dy, p, g, space, mode, need_dx=True):
        dz, dx = undone(dy, space, self.activation, mode), space.dx[: len(dy)]
        if mode.train:
            statistics, out = (space.mean, space.rstd, p["gamma"]), (dx, g["gamma"], g["beta"])
            batch_normalization_backward(dz, space.x, *statistics, out, mode.n_threads)
            return dx if need_dx else None
        np.subtract(space.x, space.mean, out=dx)
        dx *= space.rstd
        np.einsum("nf,nf->f", as_rows(dz), as_rows(dx), out=g["gamma"])
        as_rows(dz).sum(axis=0, out=g["beta"])
        return np.multiply(dz, p["gamma"] * space.rstd, out=dx) if need_dx else None


def layer_normalization_forward(x, gamma, beta, eps=1e-5, out=None, n_threads=1):
    """Normalise rows to mean 0 and variance 1, and scale and shift their columns (Ba, Kiros & Hinton 2016).

    Parameters
    ----------
    x : ndarray of shape (..., F), float32 or float64
        C-contiguous.
    gamma, beta : ndarray of shape (F,)
        The scale and the shift that are learnt.
    eps : float, default=1e-5
        Added to the variance.
    out : (ndarray, ndarray, ndarray) or None, default=None
        Where to write.
    n_threads : int, default=1
        How many threads to use.

    Returns
    -------
    y : ndarray of the shape of x
        gamma (x - mean) rstd + beta.
    mean, rstd : ndarray of shape (N,)
        Mean and 1 / sqrt(variance + eps) of each row.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import layer_normalization_forward
    >>> y, mean, rstd = layer_normalization_forward(np.array([[1.0, 3.0]]), np.ones(2), np.zeros(2), eps=0.0)
    >>> y.tolist(), mean.tolist(), rstd.tolist()
    ([[-1.0, 1.0]], [2.0], [1.0])
    """
    N = x.size // x.shape[-1]
    y, mean, rstd = (np.empty_like(x), *np.empty((2, N), dtype=x.dtype)) if out is None else out
    _kernels.fused.layer_norm(as_rows(x), gamma, beta, eps, as_rows(y), mean, rstd, n_threads)
    return y, mean, rstd


def layer_normalization_backward(dy, x, mean, rstd, gamma, out=None, n_threads=1):
    """Carry a gradient back through :func:`layer_normalization_forward`.

    Parameters
    ----------
    dy : ndarray of shape (..., F)
        At the output.
    x : ndarray of shape (..., F)
        What went in.
    mean, rstd : ndarray of shape (N,)
        Of the rows of x.
    gamma : ndarray of shape (F,)
        The scale.
    out : (ndarray, ndarray, ndarray) or None, default=None
        Where to write; dx is not dy.
    n_threads : int, default=1
        How many threads to use.

    Returns
    -------
    dx : ndarray of shape (..., F)
        The gradient at x.
    dgamma, dbeta : ndarray of shape (F,)
        The gradients at gamma and beta.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import layer_normalization_backward
    >>> x, one = np.array([[-1.0, 1.0]]), np.ones(1)
    >>> dx, dgamma, dbeta = layer_normalization_backward(np.array([[1.0, 0.0]]), x, 0 * one, one, np.ones(2))
    >>> dx.tolist(), dgamma.tolist(), dbeta.tolist()
    ([[0.0, 0.0]], [-1.0, 0.0], [1.0, 0.0])
    """
    dx, dgamma, dbeta = _gradients(x) if out is None else out
    rows = as_rows(dy), as_rows(x), gamma, mean, rstd, NO_ROWS[x.dtype]
    _kernels.sequences.norm_backward(*rows, as_rows(dx), dgamma, dbeta, n_threads)
    return dx, dgamma, dbeta


@dataclass(frozen=True)
class LayerNormalization(Layer):
    """Normalise the last axis of each sample: its channels at a pixel or moment, or all its features.

    Attributes
    ----------
    eps : float, default=1e-5
        Added to the variance.

    Examples
    --------
    >>> from skml.network import LayerNormalization
    >>> [spec.name for spec in LayerNormalization().specs((20, 64))]
    ['gamma', 'beta']
    """

    eps: float = 1e-5

    def specs(self, shape):
        return Spec("gamma", (shape[-1],), ones), Spec("beta", (shape[-1],))

    def uses_blas(self, shape, dtype):
        return False

    def workspace(self, shape, B, dtype):
        y, dx = np.empty((B, *shape), dtype=dtype), np.empty((B, *shape), dtype=dtype)
        mean, rstd = np.empty((2, y.size // shape[-1]), dtype=dtype)
        return Space(y=y, dx=dx, mean=mean, rstd=rstd)

    def forward(self, x, p, space, mode):
        N = x.size // x.shape[-1]
        space.x = x
        out = space.y[: len(x)], space.mean[:N], space.rstd[:N]
        return layer_normalization_forward(x, p["gamma"], p["beta"], self.eps, out, mode.n_threads)[0]

    def backward(self, dy, p, g, space, mode, need_dx=True):
        N = dy.size // dy.shape[-1]
        statistics, out = (space.mean[:N], space.rstd[:N], p["gamma"]), (space.dx[: len(dy)], g["gamma"], g["beta"])
        dx = layer_normalization_backward(dy, space.x, *statistics, out, mode.n_threads)[0]
        return dx if need_dx else None


def rms_normalization_forward(x, gamma, eps=1e-5, out=None, n_threads=1):
    """Divide rows by their root mean square, and scale their columns (Zhang & Sennrich 2019, eq. 4).

    Parameters
    ----------
    x : ndarray of shape (..., F), float32 or float64
        C-contiguous.
    gamma : ndarray of shape (F,)
        The scale that is learnt.
    eps : float, default=1e-5
        Added to the mean square.
    out : (ndarray, ndarray) or None, default=None
        Where to write.
    n_threads : int, default=1
        How many threads to use.

    Returns
    -------
    y : ndarray of the shape of x
        gamma x rstd.
    rstd : ndarray of shape (N,)
        1 / sqrt(mean(x^2) + eps) of each row.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import rms_normalization_forward
    >>> y, rstd = rms_normalization_forward(np.array([[1.0, 7.0]]), np.ones(2), eps=0.0)
    >>> y.tolist(), rstd.tolist()
    ([[0.2, 1.4000000000000001]], [0.2])
    """
    y, rstd = (np.empty_like(x), np.empty(x.size // x.shape[-1], dtype=x.dtype)) if out is None else out
    _kernels.sequences.rms_norm(as_rows(x), gamma, eps, as_rows(y), rstd, n_threads)
    return y, rstd


def rms_normalization_backward(dy, x, rstd, gamma, out=None, n_threads=1):
    """Carry a gradient back through :func:`rms_normalization_forward`.

    Parameters
    ----------
    dy : ndarray of shape (..., F)
        At the output.
    x : ndarray of shape (..., F)
        What went in.
    rstd : ndarray of shape (N,)
        Of the rows of x.
    gamma : ndarray of shape (F,)
        The scale.
    out : (ndarray, ndarray) or None, default=None
        Where to write; not dy.
    n_threads : int, default=1
        How many threads to use.

    Returns
    -------
    dx : ndarray of shape (..., F)
        The gradient at x.
    dgamma : ndarray of shape (F,)
        The gradient at gamma.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import rms_normalization_backward
    >>> dx, dgamma = rms_normalization_backward(np.array([[1.0, 0.0]]), np.ones((1, 2)), np.ones(1), np.ones(2))
    >>> dx.tolist(), dgamma.tolist()
    ([[0.5, -0.5]], [1.0, 0.0])
    """
    dx, dgamma = (np.empty_like(x), np.empty_like(gamma)) if out is None else out
    none = NONE[x.dtype]
    given = as_rows(dy), as_rows(x), gamma, none, rstd, NO_ROWS[x.dtype]
    _kernels.sequences.norm_backward(*given, as_rows(dx), dgamma, none, n_threads)
    return dx, dgamma


@dataclass(frozen=True)
class RMSNormalization(Layer):
    """Divide the last axis of each sample by its root mean square.

    Attributes
    ----------
    eps : float, default=1e-5
        Added to the mean square.

    Examples
    --------
    >>> from skml.network import RMSNormalization
    >>> [spec.name for spec in RMSNormalization().specs((20, 64))]
    ['gamma']
    """

    eps: float = 1e-5

    def specs(self, shape):
        return (Spec("gamma", (shape[-1],), ones),)

    def workspace(self, shape, B, dtype):
        y, dx = np.empty((B, *shape), dtype=dtype), np.empty((B, *shape), dtype=dtype)
        return Space(y=y, dx=dx, rstd=np.empty(y.size // shape[-1], dtype=dtype))

    def forward(self, x, p, space, mode):
        space.x = x
        out = space.y[: len(x)], space.rstd[: x.size // x.shape[-1]]
        return rms_normalization_forward(x, p["gamma"], self.eps, out, mode.n_threads)[0]

    def backward(self, dy, p, g, space, mode, need_dx=True):
        out, rstd = (space.dx[: len(dy)], g["gamma"]), space.rstd[: dy.size // dy.shape[-1]]
        dx = rms_normalization_backward(dy, space.x, rstd, p["gamma"], out, mode.n_threads)[0]
        return dx if need_dx else None
