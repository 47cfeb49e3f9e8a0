"""Recurrent layers: plain (Elman 1990), GRU (Cho et al. 2014) and LSTM (Hochreiter & Schmidhuber 1997).

B: batch, T: time, C: channels, H: hidden units, V: codes; G gates (1, 3, 4), K numbers kept per unit (1, 4, 4) and
S arrays of state (1, 1, 2) of the three cells. The order of the gates and the two biases are those of torch.nn.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from skml import _kernels
from skml.network.activations import CODES
from skml.network.layers import Layer, Space, embedding_forward
from skml.network.parameters import Spec, he_normal, he_uniform, zeros

__all__ = [
    "Cell",
    "EmbeddedRecurrent",
    "Recurrent",
    "RecurrentStep",
    "Trail",
    "recurrent_backward",
    "recurrent_forward",
    "recurrent_step",
]

_NAMES = ("rnn", "gru", "lstm")
_ACTIVATIONS = ("tanh", "relu", "identity")
_NO_CODES = np.empty((0, 0), dtype=np.int32)


@dataclass(frozen=True)
class Cell:
    r"""What happens from one moment to the next.

    With the products :math:`a_t = x_t W_{ih} + b_{ih}` and :math:`m_t = h_{t-1} W_{hh} + b_{hh}`, cut into gates:

    - "rnn" (Elman 1990): :math:`h_t = f(a_t + m_t)`.
    - "gru" (Cho et al. 2014, the reset gate after the product): :math:`r_t = \sigma(a_t^r + m_t^r)`,
      :math:`z_t = \sigma(a_t^z + m_t^z)`, :math:`n_t = \tanh(a_t^n + r_t m_t^n)`,
      :math:`h_t = (1 - z_t) n_t + z_t h_{t-1}`; the gates lie in the order r, z, n.
    - "lstm" (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000):
      :math:`i_t, f_t, o_t = \sigma(a_t + m_t)`, :math:`g_t = \tanh(a_t^g + m_t^g)`,
      :math:`c_t = f_t c_{t-1} + i_t g_t`, :math:`h_t = o_t \tanh(c_t)`; the gates lie in the order i, f, g, o.

    Attributes
    ----------
    name : {"rnn", "gru", "lstm"}, default="lstm"
        Which one.
    activation : {"tanh", "relu", "identity"}, default="tanh"
        The f of "rnn".

    Raises
    ------
    ValueError
        If there is no such cell or activation, or another activation than tanh in a cell with gates.

    Examples
    --------
    >>> from skml.network import Cell
    >>> cell = Cell("gru")
    >>> cell.n_gates, cell.n_kept, cell.n_states
    (3, 4, 1)
    """

    name: str = "lstm"
    activation: str = "tanh"

    def __post_init__(self):
        if self.name not in _NAMES:
            raise ValueError(f"cell={self.name!r} is unknown; there are {', '.join(_NAMES)}.")
        if self.activation not in _ACTIVATIONS:
            raise ValueError(f"activation={self.activation!r} is unknown; there are {', '.join(_ACTIVATIONS)}.")
        if self.name != "rnn" and self.activation != "tanh":
            raise ValueError(f"The activation of cell={self.name!r} is tanh, got {self.activation!r}.")

    @property
    def code(self):
        """The number of the cell in the kernels."""
        return _NAMES.index(self.name)

    @property
    def n_gates(self):
        """How many products with the state there are per unit."""
        return (1, 3, 4)[self.code]

    @property
    def n_kept(self):
        """How many numbers per unit `backward` needs of each moment."""
        return 1 if self.name == "rnn" else 4

    @property
    def n_states(self):
        """How many arrays the state has: h, and c of an LSTM."""
        return 2 if self.name == "lstm" else 1

    @property
    def settings(self):
        """The numbers of the cell and of the activation in the kernels."""
        return self.code, CODES[self.activation]


class Trail:
    """What the way forward leaves for the way back, and its output.

    Parameters
    ----------
    cell : Cell
        Which one.
    sizes : (int, int, int)
        B, T and H.
    dtype : dtype
        float32 or float64.

    Attributes
    ----------
    y : ndarray of shape (B, T, H)
        The state h after each moment.
    kept : ndarray of shape (B, T, K H)
        Gates; after `recurrent_backward`, the gradients at the products with the input (the first G H columns).
    before, cells : ndarray of shape (B, T, H)
        h and, of an LSTM, c before each moment.

    Examples
    --------
    >>> from skml.network import Cell, Trail
    >>> Trail(Cell("gru"), (2, 5, 3), "float32").kept.shape
    (2, 5, 12)
    """

    def __init__(self, cell, sizes, dtype):
        B, T, H = sizes
        self.cell = cell
        self.y, self.before = np.empty(sizes, dtype=dtype), np.empty(sizes, dtype=dtype)
        self.cells = np.empty(sizes if cell.name == "lstm" else (B, 0, 0), dtype=dtype)
        self.kept = np.empty((B, T, cell.n_kept * H), dtype=dtype)
        self.packed = np.empty(_kernels.recurrent.packed_size(H, cell.n_gates * H), dtype=dtype)
        self.packed_back = np.empty(_kernels.recurrent.packed_size(cell.n_gates * H, H), dtype=dtype)

    def head(self, b):
        """Return the trail of the leading rows; its arrays are views.

        Parameters
        ----------
        b : int
            How many rows.

        Returns
        -------
        trail : Trail
            Of a smaller batch.
        """
        if b == len(self.y):
            return self
        part = object.__new__(Trail)
        vars(part).update(vars(self))
        for name in ("y", "before", "cells", "kept"):
            setattr(part, name, getattr(self, name)[:b])
        return part

    def inputs(self):
        """Return where the products with the input may be written before they become `kept`.

        Returns
        -------
        inputs : ndarray of shape (B T, G H)
            A view, its rows further apart for a GRU.
        """
        B, T, width = self.kept.shape
        return self.kept.reshape(B * T, width)[:, : self.cell.n_gates * self.y.shape[2]]


def recurrent_forward(inputs, weight, bias, trail, state, *, codes=None, first=None, n_threads=1):
    """Run a cell over sequences, given the products with the input; see :class:`Cell` for the equations.

    Parameters
    ----------
    inputs : ndarray of shape (N, G H), float32 or float64
        x W_ih for each row and moment, N = B T; with `codes`, for each code. May be ``trail.inputs()``.
    weight : ndarray of shape (H, G H)
        W_hh.
    bias : ndarray of shape (K H,)
        b_ih + b_hh; of a GRU those of r and z, then b_ih and b_hh of n.
    trail : Trail
        Where to write; it is needed for the way back.
    state : ndarray of shape (S, B, H)
        Before the first moment; it is replaced by that after the last.
    codes : ndarray of shape (B, T), int32, or None, default=None
        Which row of `inputs` each moment has.
    first : ndarray of shape (B, T), int32, or None, default=None
        A row forgets its state before moment t if its number there is t; None means at 0.
    n_threads : int, default=1
        How many threads to use; the result does not depend on it.

    Returns
    -------
    y : ndarray of shape (B, T, H)
        ``trail.y``: the state h after each moment.

    Raises
    ------
    ValueError
        If shapes disagree, or a code lies outside.

    Examples
    --------
    The linear recurrence h_t = 2 h_{t-1} + x_t:

    >>> import numpy as np
    >>> from skml.network import Cell, Trail, recurrent_forward
    >>> trail = Trail(Cell("rnn", "identity"), (1, 3, 1), "float64")
    >>> x, w, b = np.array([[1.0], [1.0], [1.0]]), np.array([[2.0]]), np.zeros(1)
    >>> recurrent_forward(x, w, b, trail, np.zeros((1, 1, 1))).ravel()
    array([1., 3., 7.])
    """
    _kernels.recurrent.pack(weight, trail.packed)
    rows = _NO_CODES if codes is None else codes, trail.packed, bias, _NO_CODES if first is None else first
    written = state, trail.kept, trail.before, trail.cells, trail.y
    _kernels.recurrent.forward(inputs, *rows, *written, *trail.cell.settings, n_threads)
    return trail.y


def recurrent_backward(dy, weight, trail, dstate, *, first=None, out=None, n_threads=1):
    """Carry a gradient back through ``recurrent_forward``, over all moments (Werbos 1990).

    Parameters
    ----------
    dy : ndarray of shape (B, T, H)
        At the output; C-contiguous.
    weight : ndarray of shape (H, G H)
        As before.
    trail : Trail
        From `recurrent_forward`; it serves once.
    dstate : ndarray of shape (S, B, H)
        The gradient at the last state, often zeros; it is replaced by that at the first.
    first : ndarray of shape (B, T), int32, or None, default=None
        As before.
    out : ndarray of shape (H, G H) or None, default=None
        Where to write dweight.
    n_threads : int, default=1
        How many threads to use; the result does not depend on it.

    Returns
    -------
    dinputs : ndarray of shape (B T, G H)
        ``trail.inputs()``: the gradient at the products with the input.
    dweight : ndarray of shape (H, G H)
        The gradient at W_hh.
    dbias : ndarray of shape (K H,)
        The gradient at the bias.

    Examples
    --------
    h_1 = x_1, h_2 = 2 h_1 + x_2: an h_2 that counts gives x_1 a slope of 2, and the weight one of h_1.

    >>> import numpy as np
    >>> from skml.network import Cell, Trail, recurrent_backward, recurrent_forward
    >>> trail, w = Trail(Cell("rnn", "identity"), (1, 2, 1), "float64"), np.array([[2.0]])
    >>> y = recurrent_forward(np.array([[5.0], [1.0]]), w, np.zeros(1), trail, np.zeros((1, 1, 1)))
    >>> dx, dw, db = recurrent_backward(np.array([[[0.0], [1.0]]]), w, trail, np.zeros((1, 1, 1)))
    >>> dx.ravel(), dw.ravel(), db
    (array([2., 1.]), array([5.]), array([3.]))
    """
    cell, (B, T, H) = trail.cell, dy.shape
    _kernels.recurrent.pack(weight.T, trail.packed_back)
    first = _NO_CODES if first is None else first
    given = trail.kept, trail.before, trail.cells, *cell.settings
    _kernels.recurrent.backward(dy, trail.packed_back, first, dstate, *given, n_threads)
    dw, d = np.empty_like(weight) if out is None else out, trail.kept.reshape(B * T, cell.n_kept * H)
    states = trail.before.reshape(B * T, H).T
    own = (cell.n_gates - (cell.name == "gru")) * H  # columns whose gradients are those at the inputs
    # dW_hh = sum_t h_{t-1}' dm_t
    _kernels.matrices.multiply(states, d[:, :own], dw[:, :own], False, n_threads)
    if cell.name == "gru":
        _kernels.matrices.multiply(states, d[:, 3 * H :], dw[:, own:], False, n_threads)
    return trail.inputs(), dw, d.sum(axis=0)


# ------------------------------------------------------------------------------------------------ biases


def _joined(bias_ih, bias_hh, cell):
    """Return the bias of the kernels."""
    if cell.name != "gru":
        return bias_ih + bias_hh
    own = len(bias_ih) // 3 * 2
    return np.concatenate([bias_ih[:own] + bias_hh[:own], bias_ih[own:], bias_hh[own:]])


def _part(dbias, cell, g):
    """Write the gradients at the two biases, given that at the joined one."""
    width = len(g["bias_ih"])
    g["bias_ih"][:] = g["bias_hh"][:] = dbias[:width]
    if cell.name == "gru":
        g["bias_hh"][width // 3 * 2 :] = dbias[width:]


def forgetful(generator, shape, fan_in, fan_out, dtype):
    """Return the first bias of an LSTM: ones for its forget gate, so that it remembers at first (Gers et al. 2000)."""
    bias = np.zeros(shape, dtype=dtype)
    bias[shape[0] // 4 : shape[0] // 2] = 1
    return bias


# ------------------------------------------------------------------------------------------------ layers


def _cell_of(layer):
    """Return the cell of a layer; raise a ValueError if its settings are wrong."""
    if layer.n_hidden < 1 or layer.carry < 0:
        given = f"{layer.n_hidden} and {layer.carry}"
        raise ValueError(f"n_hidden must be at least 1 and carry at least 0, got {given}.")
    return Cell(layer.cell, layer.activation)


def _weights(layer, C):
    """Return what is trained of a cell with C inputs."""
    width = _cell_of(layer).n_gates * layer.n_hidden
    # U(-1 / sqrt(H), 1 / sqrt(H)): the bound of he_uniform is sqrt(6 / fan_in)
    fans = 6 * layer.n_hidden, width
    weights = [Spec(f"weight_{at}", (n, width), he_uniform, *fans) for at, n in (("ih", C), ("hh", layer.n_hidden))]
    first = Spec("bias_ih", (width,), forgetful if layer.cell == "lstm" else zeros)
    return *weights, first, Spec("bias_hh", (width,))


def _carried(layer):
    """Return the states that a training carries from batch to batch."""
    cell = _cell_of(layer)
    return (Spec("carried", (cell.n_states, layer.carry, layer.n_hidden)),) if layer.carry else ()


def _space(layer, B, T, dtype, **others):
    cell, H = _cell_of(layer), layer.n_hidden
    carried = np.zeros((cell.n_states, B, H), dtype=dtype)
    return Space(trail=Trail(cell, (B, T, H), dtype), carried=carried, state=np.empty_like(carried).ravel(), **others)


def _through(layer, inputs, p, space, mode, b, codes=None):
    """Run the cell over b rows, from the states that they had, and keep those which they come to."""
    kept = p["carried"] if layer.carry and mode.train else space.carried
    if b > kept.shape[1]:
        raise ValueError(f"The layer carries the states of {kept.shape[1]} rows, but the batch has {b}.")
    trail, state = space.trail.head(b), _buffer(space, b)
    state[...] = kept[:, :b]
    bias = _joined(p["bias_ih"], p["bias_hh"], trail.cell)
    options = {"codes": codes, "first": mode.first, "n_threads": mode.n_threads}
    y = recurrent_forward(inputs, p["weight_hh"], bias, trail, state, **options)
    kept[:, :b] = state
    return y


def _back(dy, p, g, space, mode):
    """Carry a gradient back to the products with the input; those of the weights are written but W_ih's."""
    trail, dstate = space.trail.head(len(dy)), _buffer(space, len(dy))
    dstate[...] = 0  # where a sequence is cut, nothing comes back
    options = {"first": mode.first, "out": g["weight_hh"], "n_threads": mode.n_threads}
    dinputs, _, dbias = recurrent_backward(dy, p["weight_hh"], trail, dstate, **options)
    _part(dbias, trail.cell, g)
    return dinputs


def _buffer(space, b):
    """Return room for the states of b rows side by side."""
    n_states, _, H = space.carried.shape
    return space.state[: n_states * b * H].reshape(n_states, b, H)


@dataclass(frozen=True)
class Recurrent(Layer):
    """A recurrent cell over rows of vectors: (T, C) -> (T, H), the state after each moment.

    ``mode.first`` tells where documents begin: there the state is forgotten. A document that began before its row goes
    on from the state in which the same row of the last batch ended: that is kept in the buffers or, if `carry` is given
    and in training, in the network's states, so that a training that is taken up later goes on with it.

    Attributes
    ----------
    n_hidden : int
        H.
    cell : {"rnn", "gru", "lstm"}, default="lstm"
        See :class:`Cell`.
    activation : {"tanh", "relu", "identity"}, default="tanh"
        Of "rnn".
    carry : int, default=0
        The most rows in a batch whose states are carried on in training; 0 leaves them to the buffers.

    Raises
    ------
    ValueError
        If there is no such cell or activation, or a number is too small.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import Mode, Program, Recurrent
    >>> program = Program(Recurrent(3, "gru"), (5, 2))
    >>> program.forward(np.zeros((4, 5, 2), dtype=np.float32), Mode()).shape, program.parameters.count
    ((4, 5, 3), 63)
    """

    n_hidden: int
    cell: str = "lstm"
    activation: str = "tanh"
    carry: int = 0

    def __post_init__(self):
        _cell_of(self)

    def output_shape(self, shape):
        if len(shape) != 2:
            raise ValueError(f"Recurrent takes rows of vectors, not samples of shape {shape}.")
        return shape[0], self.n_hidden

    def specs(self, shape):
        return _weights(self, shape[1])

    def states(self, shape):
        return _carried(self)

    def workspace(self, shape, B, dtype):
        return _space(self, B, shape[0], dtype, dx=np.empty((B, *shape), dtype=dtype))

    def forward(self, x, p, space, mode):
        space.x = x
        inputs = space.trail.head(len(x)).inputs()
        _kernels.matrices.multiply(_flat(x), p["weight_ih"], inputs, False, mode.n_threads)
        return _through(self, inputs, p, space, mode, len(x))

    def backward(self, dy, p, g, space, mode, need_dx=True):
        d = _back(dy, p, g, space, mode)
        _kernels.matrices.multiply(_flat(space.x).T, d, g["weight_ih"], False, mode.n_threads)
        if not need_dx:
            return None
        dx = space.dx[: len(dy)]
        _kernels.matrices.multiply(d, p["weight_ih"].T, _flat(dx), False, mode.n_threads)
        return dx

    def cost(self, shape):
        return shape[0] * (shape[1] + self.n_hidden) * _cell_of(self).n_gates * self.n_hidden


@dataclass(frozen=True)
class EmbeddedRecurrent(Layer):
    """An embedding and a recurrent cell in one: rows of codes (T,) -> (T, H).

    The same as ``Embedding`` and :class:`Recurrent` one after the other. But where there are fewer codes than moments
    in a batch, a code's vector is multiplied with the weights once, not wherever it stands, and gradients are summed
    over equal codes before they are: for characters, half of all multiplications are saved.

    Attributes
    ----------
    n_codes, n_embedding, n_hidden : int
        V, C and H.
    cell, activation : str, default="lstm", "tanh"
        As of :class:`Recurrent`.
    carry : int, default=0
        As of :class:`Recurrent`.
    init : callable, default=he_normal
        The initialiser of the vectors, as of ``Embedding``.

    Raises
    ------
    ValueError
        As of :class:`Recurrent`.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import EmbeddedRecurrent, Mode, Program
    >>> program = Program(EmbeddedRecurrent(65, 8, 16), (3,))
    >>> program.forward(np.array([[0, 64, 2]], dtype=np.int32), Mode()).shape
    (1, 3, 16)
    """

    n_codes: int
    n_embedding: int
    n_hidden: int
    cell: str = "lstm"
    activation: str = "tanh"
    carry: int = 0
    init: Callable = he_normal

    def __post_init__(self):
        _cell_of(self)

    def output_shape(self, shape):
        if len(shape) != 1:
            raise ValueError(f"EmbeddedRecurrent takes rows of codes, not samples of shape {shape}.")
        return shape[0], self.n_hidden

    def specs(self, shape):
        vectors = Spec("embedding", (self.n_codes, self.n_embedding), self.init, 2, self.n_embedding)
        return vectors, *_weights(self, self.n_embedding)

    def _by_code(self, b, T):
        return self.n_codes <= b * T

    def states(self, shape):
        return _carried(self)

    def workspace(self, shape, B, dtype):
        (T,), width = shape, _cell_of(self).n_gates * self.n_hidden
        table = np.empty((self.n_codes, width) if self._by_code(B, T) else (0, width), dtype=dtype)
        vectors = np.empty((0 if self._by_code(B, T) else B, T, self.n_embedding), dtype=dtype)
        return _space(self, B, T, dtype, codes=np.empty((B, T), dtype=np.int32), table=table, vectors=vectors)

    def forward(self, x, p, space, mode):
        codes = space.codes[: len(x)]
        np.copyto(codes, x, casting="unsafe")  # the batches of a trainer are floats
        if self._by_code(*codes.shape):
            # e_k W_ih for each code k, not for each moment
            _kernels.matrices.multiply(p["embedding"], p["weight_ih"], space.table, False, mode.n_threads)
            return _through(self, space.table, p, space, mode, len(x), codes)
        vectors = embedding_forward(codes, p["embedding"], self._vectors(space, len(x)))
        inputs = space.trail.head(len(x)).inputs()
        _kernels.matrices.multiply(_flat(vectors), p["weight_ih"], inputs, False, mode.n_threads)
        return _through(self, inputs, p, space, mode, len(x))

    def _vectors(self, space, b):
        """Return room for the vectors of a batch; one that is much smaller than the space allows needs its own."""
        if len(space.vectors) < b:
            space.vectors = np.empty((b, space.codes.shape[1], self.n_embedding), dtype=space.table.dtype)
        return space.vectors[:b]

    def backward(self, dy, p, g, space, mode, need_dx=True):
        d, codes = _back(dy, p, g, space, mode), space.codes[: len(dy)]
        by_code, n = self._by_code(*codes.shape), mode.n_threads
        if by_code:
            _kernels.sequences.sum_rows(d, codes.reshape(-1), space.table, n)
        d, vectors = (space.table, p["embedding"]) if by_code else (d, _flat(space.vectors[: len(dy)]))
        _kernels.matrices.multiply(vectors.T, d, g["weight_ih"], False, n)
        dvectors = g["embedding"] if by_code else vectors  # the vectors are not needed any more
        _kernels.matrices.multiply(d, p["weight_ih"].T, dvectors, False, n)
        if not by_code:
            _kernels.sequences.sum_rows(dvectors, codes.reshape(-1), g["embedding"], n)

    def cost(self, shape):
        return shape[0] * (self.n_embedding + self.n_hidden) * _cell_of(self).n_gates * self.n_hidden


def _flat(x):
    """Return rows of vectors as one matrix, without a copy."""
    return x.reshape(-1, x.shape[-1])


# ------------------------------------------------------------------------------------------- one by one


class RecurrentStep:
    """The weights of a layer, prepared for going one moment at a time; they are copied.

    Parameters
    ----------
    p : mapping of str to ndarray
        The parameters of a :class:`Recurrent`, or of an :class:`EmbeddedRecurrent`.
    cell : Cell
        Which one.
    by_code : bool, default=False
        Whether inputs will be codes of p["embedding"]: their products are then computed here, once.

    Examples
    --------
    See :func:`recurrent_step`.
    """

    def __init__(self, p, cell, by_code=False):
        self.cell, self.by_code = cell, by_code
        self.inputs = p["embedding"] @ p["weight_ih"] if by_code else p["weight_ih"].copy()
        self.packed = np.empty(_kernels.recurrent.packed_size(*p["weight_hh"].shape), dtype=self.inputs.dtype)
        _kernels.recurrent.pack(p["weight_hh"], self.packed)
        self.bias = _joined(p["bias_ih"], p["bias_hh"], cell)

    def start(self, B):
        """Return the state before the first moment.

        Parameters
        ----------
        B : int
            Rows.

        Returns
        -------
        state : ndarray of shape (S, B, H)
            Zeros.
        """
        H = len(self.bias) // self.cell.n_kept
        return np.zeros((self.cell.n_states, B, H), dtype=self.bias.dtype)


def recurrent_step(x, step, state):
    """Go one moment ahead with each row, for decoding.

    Parameters
    ----------
    x : ndarray of shape (B, C), or of shape (B,), int32
        The inputs: vectors, or codes if `step` was made for them.
    step : RecurrentStep
        The weights.
    state : ndarray of shape (S, B, H)
        The states; they are replaced.

    Returns
    -------
    h : ndarray of shape (B, H)
        The new state h; it does not share memory with `state`.

    Raises
    ------
    ValueError
        If shapes disagree, or a code lies outside.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import Cell, Mode, Program, Recurrent, RecurrentStep, recurrent_step
    >>> program, x = Program(Recurrent(4, "gru"), (3, 2)), np.ones((1, 3, 2), dtype=np.float32)
    >>> step = RecurrentStep(program.parameters, Cell("gru"))
    >>> state = step.start(1)
    >>> h = [recurrent_step(x[:, t], step, state) for t in range(3)]
    >>> bool(np.allclose(np.stack(h, axis=1), program.forward(x, Mode()), atol=1e-6))
    True
    """
    (_, B, H), dtype = state.shape, state.dtype
    codes = x[:, None] if step.by_code else _NO_CODES
    inputs = step.inputs if step.by_code else x @ step.inputs
    y, none = np.empty((B, 1, H), dtype=dtype), np.empty((0, 0, 0), dtype=dtype)
    going_on = np.full((B, 1), -1, dtype=np.int32)
    weights = np.ascontiguousarray(codes, dtype=np.int32), step.packed, step.bias, going_on
    _kernels.recurrent.forward(inputs, *weights, state, none, none, none, y, *step.cell.settings, 1)
    return y[:, 0]
