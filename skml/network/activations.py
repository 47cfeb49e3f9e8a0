"""Activations, each a name and a number, and the softmax.

"relu", "leaky_relu", "tanh" and "sigmoid" know their derivative from what they gave; "gelu" needs what it was given.
"""

import numpy as np

from skml import _kernels

__all__ = ["activation_backward", "activation_forward", "softmax_backward", "softmax_forward"]

# By their numbers in the kernels.
NAMES = ("identity", "relu", "leaky_relu", "gelu", "tanh", "sigmoid")
CODES = {name: code for code, name in enumerate(NAMES)}
FROM_INPUT = ("gelu",)  # whose derivative is a function of z, not of y
ONE_SIDED = ("relu", "leaky_relu", "gelu")

# What a kernel takes for "no bias".
NONE = {np.dtype(dtype): np.empty(0, dtype=dtype) for dtype in (np.float32, np.float64)}
NO_ROWS = {dtype: none.reshape(0, 0) for dtype, none in NONE.items()}


def check_activation(name):
    """Return a name of an activation, or raise a ValueError that says which there are."""
    if name not in CODES:
        raise ValueError(f"activation={name!r} is unknown; there are {', '.join(NAMES)}.")
    return name


def as_rows(a):
    """Return a C-contiguous array as a matrix of the same last axis, without a copy."""
    return a if a.ndim == 2 else a.reshape(-1, a.shape[-1])


def activation_forward(x, activation, out=None, n_threads=1):
    """Apply an activation to each number.

    Parameters
    ----------
    x : ndarray of shape (..., F), float32 or float64
        C-contiguous.
    activation : str
        "identity"; "relu", max(0, x); "leaky_relu", max(0.01 x, x); "gelu", x Phi(x) with the normal distribution
        function Phi (Hendrycks & Gimpel 2016); "tanh"; "sigmoid", 1 / (1 + exp(-x)).
    out : ndarray or None, default=None
        Where to write.
    n_threads : int, default=1
        How many threads to use.

    Returns
    -------
    y : ndarray of the shape of x
        `out`, if given.

    Raises
    ------
    ValueError
        If there is no such activation.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import activation_forward
    >>> activation_forward(np.array([[-1.0, 2.0]]), "leaky_relu")
    array([[-0.01,  2.  ]])
    """
    y = np.empty_like(x) if out is None else out
    y[...] = x
    _kernels.fused.bias_activation(as_rows(y), NONE[x.dtype], CODES[check_activation(activation)], n_threads)
    return y


def activation_backward(dy, y_or_z, activation, out=None, n_threads=1):
    """Carry a gradient back through an activation.

    Parameters
    ----------
    dy : ndarray of shape (..., F)
        The gradient at its output.
    y_or_z : ndarray of the shape of dy
        Its output, or for "gelu" its input.
    activation : str
        Its name, see :func:`activation_forward`.
    out : ndarray or None, default=None
        Where to write.
    n_threads : int, default=1
        How many threads to use.

    Returns
    -------
    dz : ndarray of the shape of dy
        The gradient at its input; that of relu at 0 is 0.

    Raises
    ------
    ValueError
        If there is no such activation.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import activation_backward
    >>> activation_backward(np.array([[5.0, 5.0]]), np.array([[0.0, 2.0]]), "relu")
    array([[0., 5.]])
    """
    dz = np.empty_like(dy) if out is None else out
    code = CODES[check_activation(activation)]
    _kernels.fused.activation_backward(as_rows(dy), as_rows(y_or_z), as_rows(dz), code, n_threads)
    return dz


def softmax_forward(x, out=None):
    """Make each row a distribution: p_k = exp(x_k) / sum_j exp(x_j).

    Parameters
    ----------
    x : ndarray of shape (..., K), float32 or float64
        Logits.
    out : ndarray or None, default=None
        Where to write; may be x.

    Returns
    -------
    p : ndarray of the shape of x
        `out`, if given.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import softmax_forward
    >>> softmax_forward(np.array([[1000.0, 1000.0]]))
    array([[0.5, 0.5]])
    """
    p = np.subtract(x, x.max(axis=-1, keepdims=True), out=out)
    np.exp(p, out=p)
    p /= p.sum(axis=-1, keepdims=True)
    return p


def softmax_backward(dp, p, out=None):
    """Carry a gradient back through the softmax.

    Parameters
    ----------
    dp : ndarray of shape (..., K)
        The gradient at its output.
    p : ndarray of shape (..., K)
        Its output.
    out : ndarray or None, default=None
        Where to write; may be dp.

    Returns
    -------
    dx : ndarray of shape (..., K)
        The gradient at the logits.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import softmax_backward
    >>> softmax_backward(np.array([[1.0, 1.0]]), np.array([[0.3, 0.7]]))
    array([[0., 0.]])
    """
    # dx_k = p_k (dp_k - sum_j dp_j p_j)
    dx = np.subtract(dp, np.einsum("...k,...k->...", dp, p)[..., None], out=out)
    dx *= p
    return dx
