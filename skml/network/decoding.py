"""Decoding: a transformer that is given its tokens one by one and keeps what it has seen.

B: sequences, T: moments, C: channels, V: tokens, L: layers, H: heads, D = C / H.
"""

import numpy as np

from skml import _kernels
from skml.base import chunk_slices
from skml.network.activations import NONE
from skml.network.attention import rotary_angles, sinusoidal_positions, turned
from skml.network.layers import Mode

__all__ = ["Decoder"]

_ARRAYS = tuple(
    f"{name}.{kind}"
    for name in ("ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj")
    for kind in ("weight", "bias")
)
# Tokens from which on a new sequence goes through the layers as a whole, and not token by token.
_WHOLE = 8


class Decoder:
    """A transformer's memory of some sequences: keys and values of all layers, (L, 2, B, H, T, D).

    A step takes a token of each sequence through all layers in one compiled call. The sequences are in step with
    each other, but may have begun at different moments: a shorter one is padded on the left.

    Parameters
    ----------
    network : Transformer
        All of whose blocks are alike.
    parameters : Parameters
        Its own, such as ``program.parameters``; they are not copied.
    B : int
        How many sequences there are.
    capacity : int or None, default=None
        The most moments, padding included; None is the network's context.

    Attributes
    ----------
    n_seen : int
        How many moments there have been.
    start : ndarray of shape (B,), int32
        The first moment of each sequence.
    hidden : ndarray of shape (B, C)
        What the last normalisation gave for the last tokens.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import Decoder, Mode, Program, transformer
    >>> network = transformer(65, 16, n_layers=2, n_heads=2, width=8)
    >>> program = Program(network, (3,))
    >>> decoder = Decoder(network, program.parameters, B=1)
    >>> tokens = np.array([[7, 1, 40]], dtype=np.int32)
    >>> logits = decoder.feed(tokens)
    >>> bool(np.allclose(logits, program.forward(tokens, Mode())[:, -1], atol=1e-6))
    True
    """

    def __init__(self, network, parameters, B, capacity=None):
        T = network.context_length if capacity is None else capacity
        block = network.blocks[0] if network.blocks else None
        if any(other != block for other in network.blocks):
            raise ValueError("The blocks of the network are not alike.")
        dtype, C = parameters.flat.dtype, network.width
        H = block.attention.n_heads if block else 1
        self.network, self.parameters = network, parameters
        self._places, self._ends = _places(network, parameters)
        self._settings = _settings(block, C)
        self._tables = _tables(network, block, parameters, (T, C // H), dtype)
        self._cache = np.empty((len(network.blocks), 2, B, H, T, C // H), dtype=dtype)
        self.hidden, self.n_seen = np.zeros((B, C), dtype=dtype), 0
        self.start = np.zeros(B, dtype=np.int32)

    @property
    def capacity(self):
        """The most moments there may be."""
        return self._cache.shape[4]

    def feed(self, tokens, n_padding=None, n_threads=1):
        """Take several tokens of each sequence.

        Parameters
        ----------
        tokens : ndarray of shape (B, t), int
            In order; t is at least 1.
        n_padding : ndarray of shape (B,), int, or None, default=None
            How many tokens on the left of a new sequence are none; they may be any codes.
        n_threads : int, default=1
            How many threads to use; the result does not depend on it.

        Returns
        -------
        logits : ndarray of shape (B, V)
            Of the tokens that follow the last ones.

        Raises
        ------
        ValueError
            If there is no room, a code is outside, or a sequence that has begun shall be padded.
        """
        if n_padding is not None:
            if self.n_seen or np.min(n_padding, initial=0) < 0 or np.max(n_padding, initial=0) >= tokens.shape[1]:
                raise ValueError("Only a new sequence can be padded, and a token must be left.")
            self.start[:] = n_padding
        at = tokens.shape[1] - 1
        if self.n_seen or not _WHOLE <= at < self.capacity:
            at = 0
        else:
            self._check(tokens)
            self._read(np.ascontiguousarray(tokens[:, :at], dtype=np.int32), n_threads)
        for t in range(at, tokens.shape[1] - 1):
            self.step(tokens[:, t], n_threads, head=False)
        return self.step(tokens[:, -1], n_threads)

    def _read(self, tokens, n_threads):
        """Keep the keys and values of the first tokens, all of which go through each block together."""
        B, t = tokens.shape
        first = np.minimum(self.start[:, None], np.arange(t)).astype(np.int32)
        tree, mode = self.parameters.tree(), Mode(n_threads=n_threads)
        numbers = t * (20 * self.network.width + self._settings[0])
        for rows in chunk_slices(B, numbers * self.hidden.itemsize):
            self._read_rows(rows, tokens[rows], first[rows], tree, mode)
        self.n_seen = t

    def _read_rows(self, rows, tokens, first, tree, mode):
        (B, t), C, dtype = tokens.shape, self.network.width, self.hidden.dtype
        positions, *angles = self._tables
        x = np.empty((B, t, C), dtype=dtype)
        _kernels.sequences.embed(tokens, first, tree["wte"]["weight"], positions, x, mode.n_threads)
        for i, block in enumerate(self.network.blocks):
            if not i:  # the blocks are alike, and one after the other uses the same room
                space = block.workspace((t, C), B, dtype)
                space.parts[0].inner.first[:] = first
            x = block.forward(x, tree["h"][str(i)], space, mode)
            _, keys, values = self._by_heads(space.parts[0].inner.qkv)
            if angles[0].size:
                keys = turned(keys, *(part[np.arange(t) - first][:, None] for part in angles))
            self._cache[i, 0, rows, :, :t], self._cache[i, 1, rows, :, :t] = keys, values

    def _by_heads(self, qkv):
        """Return queries, keys and values, each of shape (B, H, t, D)."""
        B, t, _ = qkv.shape
        return qkv.reshape(B, t, 3, self._cache.shape[3], -1).transpose(2, 0, 3, 1, 4)

    def step(self, tokens, n_threads=1, head=True):
        """Take one token of each sequence.

        Parameters
        ----------
        tokens : ndarray of shape (B,), int
            Codes.
        n_threads : int, default=1
            How many threads to use; the result does not depend on it.
        head : bool, default=True
            Whether logits are asked for.

        Returns
        -------
        logits : ndarray of shape (B, V) or None
            Of the tokens that follow.

        Raises
        ------
        ValueError
            If there is no room, or a code is outside.
        """
        B, V, dtype = len(self.hidden), self.network.n_tokens, self.hidden.dtype
        if self.n_seen >= self.capacity:
            raise ValueError(f"There is no room: all {self.capacity} moments are taken.")
        self._check(tokens)
        at = np.full(B, self.n_seen, dtype=np.int32)
        first = np.minimum(self.start, at)  # before its start a sequence sees its padding alone
        logits = np.empty((B, V), dtype=dtype) if head else NONE[dtype].reshape(0, 0)
        moments = np.ascontiguousarray(tokens, dtype=np.int32), first, at
        fixed = self.parameters.flat, self._places, self._ends, self._settings
        outputs = self._cache, self.hidden, logits
        _kernels.decoding.step(*fixed, *moments, *self._tables, *outputs, n_threads)
        self.n_seen += 1
        return logits if head else None

    def _check(self, tokens):
        V = self.network.n_tokens
        if np.size(tokens) and not 0 <= np.min(tokens) <= np.max(tokens) < V:
            raise ValueError(f"A token is outside 0 to {V - 1}.")

    def select(self, rows):
        """Go on with some of the sequences, in any order, also several times with one.

        Parameters
        ----------
        rows : ndarray of int
            Their numbers.
        """
        self._cache = np.ascontiguousarray(self._cache[:, :, rows])
        self.start, self.hidden = self.start[rows], self.hidden[rows]


def _places(network, parameters):
    """Return where the arrays of blocks (L, 12) and of the ends (1, 4) begin in the buffer; -1 for what isn't there."""
    sizes = [view.size for view in parameters.values()]
    starts = dict(zip(parameters, np.cumsum([0, *sizes]).tolist()))
    blocks = [[starts.get(f"h.{i}.{name}", -1) for name in _ARRAYS] for i in range(len(network.blocks))]
    last = "wte.weight" if network.tied else "lm_head.weight"
    ends = [[starts.get(name, -1) for name in ("wte.weight", "ln_f.weight", "ln_f.bias", last)]]
    return np.array(blocks, dtype=np.int64).reshape(-1, 12), np.array(ends, dtype=np.int64)


def _settings(block, C):
    if block is None:
        return 1, False, True, 1e-5, False
    middle = block.feed_forward.specs((1, C))[0].shape[1]
    return middle, block.norm_position == "post", block.residual, block.eps, block.feed_forward.by_tanh


def _tables(network, block, parameters, shape, dtype):
    """Return what is added to tokens for their positions, and the angles that heads are turned by."""
    T, D = shape
    none = NONE[dtype].reshape(0, 0)
    added = {"learned": lambda: parameters["wpe.weight"], "none": lambda: none}
    added["sinusoidal"] = lambda: sinusoidal_positions(T, network.width, dtype)
    rotary = block is not None and block.attention.position == "rotary"
    return added[network.position](), *(rotary_angles(T, D, dtype) if rotary else (none, none))
