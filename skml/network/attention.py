"""Causal self-attention and positions. B: sequences, T: moments, C: channels, H: heads, D = C / H: channels of a head.

A moment t of a sequence sees the moments ``first[b, t]`` to t and no others, and its position is counted from there:
padding on the left and several documents in one sequence are both a matter of this one array.
"""

import math
from dataclasses import dataclass
from functools import partial

import numpy as np

from skml import _kernels
from skml.network.activations import NO_ROWS, NONE, as_rows, softmax_forward
from skml.network.layers import Layer, Space, empty
from skml.network.parameters import Spec, normal

__all__ = [
    "CausalSelfAttention",
    "attention_backward",
    "attention_forward",
    "attention_weights",
    "rotary_angles",
    "sinusoidal_positions",
]


def rotary_angles(n_positions, D, dtype=np.float32, base=10000.0):
    """Return the cosines and sines of rotary positions (Su et al. 2021, eq. 15).

    Parameters
    ----------
    n_positions : int
        From 0 on.
    D : int
        Channels of a head, an even number.
    dtype : dtype, default=float32
        float32 or float64.
    base : float, default=10000.0
        The channels i and i + D / 2 turn by base^(-2 i / D) from one position to the next.

    Returns
    -------
    cosine, sine : ndarray of shape (n_positions, D / 2)
        Of the angles.

    Raises
    ------
    ValueError
        If D is odd.

    Examples
    --------
    >>> from skml.network import rotary_angles
    >>> cosine, sine = rotary_angles(2, 4)
    >>> cosine.shape, sine[0].tolist()
    ((2, 2), [0.0, 0.0])
    """
    if D % 2:
        raise ValueError(f"Rotary positions turn pairs of channels; a head of {D} channels has an odd one.")
    angles = np.arange(n_positions)[:, None] * base ** (-2 * np.arange(D // 2) / max(D, 1))
    return np.cos(angles).astype(dtype), np.sin(angles).astype(dtype)


def sinusoidal_positions(n_positions, C, dtype=np.float32):
    """Return vectors of positions that are not learnt (Vaswani et al. 2017, section 3.5).

    PE(t, 2 i) = sin(t / 10000^(2 i / C)), PE(t, 2 i + 1) = cos(t / 10000^(2 i / C))

    Parameters
    ----------
    n_positions : int
        From 0 on.
    C : int
        Channels.
    dtype : dtype, default=float32
        float32 or float64.

    Returns
    -------
    vectors : ndarray of shape (n_positions, C)
        What is added to those of the tokens.

    Examples
    --------
    >>> from skml.network import sinusoidal_positions
    >>> sinusoidal_positions(2, 4)[0].tolist()
    [0.0, 1.0, 0.0, 1.0]
    """
    even = np.arange(C) // 2 * 2
    angles = np.arange(n_positions)[:, None] / 10000.0 ** (even / max(C, 1))
    return np.where(np.arange(C) % 2, np.cos(angles), np.sin(angles)).astype(dtype)


def _angles(angles, dtype):
    return (NO_ROWS[np.dtype(dtype)],) * 2 if angles is None else angles


def attention_forward(qkv, first, n_heads, angles=None, out=None, n_threads=1):
    """Attend to what came before: softmax(q k^T / sqrt(D)) v in each head (Vaswani et al. 2017, eq. 1).

    It is computed in tiles, and no matrix of all scores is kept (Dao et al. 2022, algorithm 1).

    Parameters
    ----------
    qkv : ndarray of shape (B, T, 3 C), float32 or float64
        Queries, keys and values, each those of one head after the other; C-contiguous.
    first : ndarray of shape (B, T), int32
        The first moment that each one sees; the last is itself.
    n_heads : int
        How many heads there are.
    angles : (ndarray, ndarray) or None, default=None
        See :func:`rotary_angles`: queries and keys are turned by their positions t - first. None turns nothing.
    out : (ndarray, ndarray) or None, default=None
        Where to write.
    n_threads : int, default=1
        How many threads to use; the result does not depend on it.

    Returns
    -------
    y : ndarray of shape (B, T, C)
        What each moment found.
    lse : ndarray of shape (B, H, T)
        The logarithm of the sum of the exponentials of its scores, for the gradient.

    Raises
    ------
    ValueError
        If shapes disagree, or `first` is negative or after its moment.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import attention_forward
    >>> qkv = np.zeros((1, 3, 3))
    >>> qkv[0, :, 2] = [1.0, 3.0, 8.0]  # with equal scores the mean of the values up to here
    >>> attention_forward(qkv, np.zeros((1, 3), dtype=np.int32), n_heads=1)[0].ravel()
    array([1., 2., 4.])
    """
    B, T, wide = qkv.shape
    if out is None:
        out = np.empty((B, T, wide // 3), dtype=qkv.dtype), np.empty((B, n_heads, T), dtype=qkv.dtype)
    _kernels.attention.forward(qkv, first, n_heads, *_angles(angles, qkv.dtype), *out, n_threads)
    return out


def attention_backward(dy, qkv, y, lse, first, n_heads, angles=None, *, out=None, n_threads=1):
    """Carry a gradient back through :func:`attention_forward` (Dao et al. 2022, algorithm 4).

    Parameters
    ----------
    dy : ndarray of shape (B, T, C)
        The gradient at its output.
    qkv : ndarray of shape (B, T, 3 C)
        What went in.
    y, lse : ndarray of shape (B, T, C) and (B, H, T)
        What came out.
    first : ndarray of shape (B, T), int32
        As then.
    n_heads : int
        As then.
    angles : (ndarray, ndarray) or None, default=None
        As then.
    out : ndarray of shape (B, T, 3 C) or None, default=None
        Where to write; may be qkv.
    n_threads : int, default=1
        How many threads to use; the result does not depend on it.

    Returns
    -------
    dqkv : ndarray of shape (B, T, 3 C)
        The gradient at queries, keys and values, before they were turned.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import attention_backward, attention_forward
    >>> qkv, first = np.zeros((1, 2, 3)), np.zeros((1, 2), dtype=np.int32)
    >>> y, lse = attention_forward(qkv, first, n_heads=1)
    >>> attention_backward(np.ones((1, 2, 1)), qkv, y, lse, first, n_heads=1)[..., 2].tolist()
    [[1.5, 0.5]]
    """
    dqkv = np.empty_like(qkv) if out is None else out
    given = dy, qkv, first, n_heads, *_angles(angles, qkv.dtype), y, lse
    _kernels.attention.backward(*given, dqkv, n_threads)
    return dqkv


def attention_weights(qkv, first, n_heads, angles=None):
    """Return how much each moment looks at each other: the matrices that :func:`attention_forward` never makes.

    Parameters
    ----------
    qkv : ndarray of shape (B, T, 3 C), float32 or float64
        Queries, keys and values.
    first : ndarray of shape (B, T), int32
        The first moment that each one sees.
    n_heads : int
        How many heads there are.
    angles : (ndarray, ndarray) or None, default=None
        See :func:`rotary_angles`.

    Returns
    -------
    weights : ndarray of shape (B, H, T, T)
        Rows add up to 1; 0 where nothing is seen.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import attention_weights
    >>> attention_weights(np.zeros((1, 2, 3)), np.zeros((1, 2), dtype=np.int32), n_heads=1)[0, 0]
    array([[1. , 0. ],
           [0.5, 0.5]])
    """
    B, T, wide = qkv.shape
    D, t = wide // (3 * n_heads), np.arange(T)
    q, k = (qkv[..., i * wide // 3 : (i + 1) * wide // 3].reshape(B, T, n_heads, D).swapaxes(1, 2) for i in (0, 1))
    if angles is not None:
        cosine, sine = (part[t - first][:, None] for part in angles)
        q, k = turned(q, cosine, sine), turned(k, cosine, sine)
    seen = (first[:, None, :, None] <= t) & (t <= t[:, None])
    return softmax_forward(np.where(seen, q @ k.swapaxes(2, 3) / math.sqrt(D), -np.inf).astype(qkv.dtype))


def turned(x, cosine, sine):
    """Turn the pairs of channels i and i + D / 2 (Su et al. 2021, eq. 34)."""
    a, b = np.split(x, 2, axis=-1)
    return np.concatenate([a * cosine - b * sine, b * cosine + a * sine], axis=-1)


# ------------------------------------------------------------------------------------------- the layer


class Pool(dict):
    """Buffers by name that layers share which are never busy at the same time; and `first`, which all read."""

    def room(self, name, shape, dtype):
        """Return a buffer of some shape: that of the name if it is large enough, else a new one for those to come."""
        size = math.prod(shape)
        if name not in self or self[name].size < size:
            self[name] = empty((size,), dtype)
        return self[name][:size].reshape(shape)

    def first(self, B, T):
        """Return what each moment sees first, zeros to begin with."""
        return self.setdefault("first", np.zeros((B, T), dtype=np.int32))


def product(x, layer, out, mode, *, add=None):
    """Write x w + b + add, for the parameters of a linear layer."""
    add = NO_ROWS[out.dtype] if add is None else as_rows(add)
    bias = layer.get("bias", NONE[out.dtype])
    _kernels.dense.multiply(as_rows(x), layer["weight"], False, bias, add, as_rows(out), mode.n_threads)
    return out


def product_back(dy, w, out, mode, *, add=None):
    """Write dy w^T + add."""
    add = NO_ROWS[out.dtype] if add is None else as_rows(add)
    _kernels.dense.multiply(as_rows(dy), w, True, NONE[out.dtype], add, as_rows(out), mode.n_threads)
    return out


def product_gradients(x, dy, g, mode):
    """Write the gradients at the parameters of a linear layer."""
    bias = g.get("bias", NONE[dy.dtype])
    _kernels.dense.gradients(as_rows(x), as_rows(dy), g["weight"], bias, mode.n_threads)


def linear_specs(name, n_in, n_out, std):
    """Return the specs of a linear layer with normal weights."""
    return Spec(f"{name}.weight", (n_in, n_out), partial(normal, std), n_in, n_out), Spec(f"{name}.bias", (n_out,))


@dataclass(frozen=True)
class CausalSelfAttention(Layer):
    """Attention of a sequence to itself, each moment to those up to it, with several heads (Vaswani et al. 2017).

    Queries, keys and values are products of the input ("c_attn"), and what the heads found goes through another
    ("c_proj"), as in GPT-2 (Radford et al. 2019). What moments see is in the space: ``space.first``, zeros to begin
    with, may be written to before `forward`.

    Attributes
    ----------
    n_heads : int
        How many heads share the channels.
    position : {"none", "rotary"}, default="none"
        Whether queries and keys are turned by their positions.
    std : float, default=0.02
        The standard deviation of initial weights.
    std_out : float, default=0.02
        That of the last product's.

    Raises
    ------
    ValueError
        If there are no heads, or no such positions.

    Examples
    --------
    >>> from skml.network import CausalSelfAttention
    >>> layer = CausalSelfAttention(4)
    >>> layer.output_shape((64, 128)), [spec.name for spec in layer.specs((64, 128))]
    ((64, 128), ['c_attn.weight', 'c_attn.bias', 'c_proj.weight', 'c_proj.bias'])
    """

    n_heads: int
    position: str = "none"
    std: float = 0.02
    std_out: float = 0.02

    def __post_init__(self):
        if self.n_heads < 1:
            raise ValueError(f"n_heads must be at least 1, got {self.n_heads!r}.")
        if self.position not in ("none", "rotary"):
            raise ValueError(f"position={self.position!r} is unknown; there are none and rotary.")

    def output_shape(self, shape):
        if len(shape) != 2 or shape[1] % self.n_heads:
            raise ValueError(f"{self.n_heads} heads take sequences of (T, C), C a multiple of that; got {shape}.")
        return tuple(shape)

    def specs(self, shape):
        C = shape[1]
        return *linear_specs("c_attn", C, 3 * C, self.std), *linear_specs("c_proj", C, C, self.std_out)

    def _buffers(self, shape, B, dtype, pool):
        """Return the space without an output, for which the caller gives room; in the backward pass others use it."""
        (T, C), H = shape, self.n_heads
        kept = {"qkv": (B, T, 3 * C), "a": (B, T, C), "lse": (B, H, T)}
        space = Space(**{name: empty(shape, dtype) for name, shape in kept.items()})
        space.first, space.dx = pool.first(B, T), pool.room("dx", (B, T, C), dtype)
        space.angles = rotary_angles(T, C // H, dtype) if self.position == "rotary" else None
        return space

    def workspace(self, shape, B, dtype):
        space = self._buffers(shape, B, dtype, Pool())
        space.y = empty((B, *shape), dtype)
        return space

    def forward(self, x, p, space, mode):
        return self._run(x, p, space, mode, space.y[: len(x)])

    def _run(self, x, p, space, mode, out, add=None):
        """Write the output, plus what is to be added, to `out`."""
        b = len(x)
        space.x = x
        qkv = product(x, p["c_attn"], space.qkv[:b], mode)
        into = space.a[:b], space.lse[:b]
        a, _ = attention_forward(qkv, space.first[:b], self.n_heads, space.angles, into, mode.n_threads)
        return product(a, p["c_proj"], out, mode, add=add)

    def backward(self, dy, p, g, space, mode, need_dx=True):
        return self._back(dy, p, g, space, mode, space.dx[: len(dy)] if need_dx else None)

    def _back(self, dy, p, g, space, mode, out, add=None):
        """Write the gradient at the input, plus what is to be added, to `out` unless that is None."""
        b = len(dy)
        product_gradients(space.a[:b], dy, g["c_proj"], mode)
        da = product_back(dy, p["c_proj"]["weight"], space.y[:b], mode)  # whose numbers are not needed any more
        qkv = space.qkv[:b]  # which makes room for its gradient
        of = qkv, space.a[:b], space.lse[:b], space.first[:b], self.n_heads, space.angles
        dqkv = attention_backward(da, *of, out=qkv, n_threads=mode.n_threads)
        product_gradients(space.x, dqkv, g["c_attn"], mode)
        return None if out is None else product_back(dqkv, p["c_attn"]["weight"], out, mode, add=add)

    def cost(self, shape):
        T, C = shape
        return T * 4 * C * C + T * (T + 1) * C
