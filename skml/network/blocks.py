"""Transformers: blocks of attention and products, and the network of tokens around them.

B: sequences, T: moments, C: channels, V: tokens in the vocabulary. Parameters have GPT-2's names: "wte.weight",
"wpe.weight", "h.0.ln_1.weight", "h.0.attn.c_attn.weight", "h.0.mlp.c_fc.weight", "ln_f.weight".
"""

import math
from dataclasses import dataclass
from functools import partial

import numpy as np

from skml import _kernels
from skml.network.activations import NO_ROWS, NONE, as_rows
from skml.network.attention import (
    CausalSelfAttention,
    Pool,
    linear_specs,
    product_back,
    product_gradients,
    sinusoidal_positions,
)
from skml.network.composition import numbered, prefixed
from skml.network.layers import Layer, Space, dropout_backward, dropout_forward, empty
from skml.network.parameters import Spec, normal, ones

__all__ = ["FeedForward", "Transformer", "TransformerBlock", "transformer"]

POSITIONS = ("learned", "rotary", "sinusoidal", "none")
ACTIVATIONS = ("gelu", "gelu_tanh")


@dataclass(frozen=True)
class FeedForward(Layer):
    """Two products with a GELU between them, for each moment on its own (Vaswani et al. 2017, section 3.3).

    Attributes
    ----------
    ratio : float, default=4.0
        How many times as many channels there are in the middle.
    std, std_out : float, default=0.02
        Standard deviations of the initial weights of the first and of the last product.
    activation : {"gelu", "gelu_tanh"}, default="gelu"
        z P(Z <= z) with the normal distribution (Hendrycks & Gimpel 2016), or GPT-2's curve near it,
        z (1 + tanh(sqrt(2 / pi) (z + 0.044715 z^3))) / 2.

    Raises
    ------
    ValueError
        If the ratio is not positive, or there is no such activation.

    Examples
    --------
    >>> from skml.network import FeedForward
    >>> [spec.shape for spec in FeedForward().specs((64, 128))]
    [(128, 512), (512,), (512, 128), (128,)]
    """

    ratio: float = 4.0
    std: float = 0.02
    std_out: float = 0.02
    activation: str = "gelu"

    def __post_init__(self):
        if not self.ratio > 0:
            raise ValueError(f"ratio must be positive, got {self.ratio!r}.")
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation={self.activation!r} is unknown; there are {', '.join(ACTIVATIONS)}.")

    @property
    def by_tanh(self):
        """Whether it is the activation near the GELU."""
        return self.activation == "gelu_tanh"

    def _middle(self, C):
        return max(1, round(self.ratio * C))

    def specs(self, shape):
        C, M = shape[-1], self._middle(shape[-1])
        return *linear_specs("c_fc", C, M, self.std), *linear_specs("c_proj", M, C, self.std_out)

    def _buffers(self, shape, B, dtype, pool):
        """Return the space without an output, for which the caller gives room."""
        tall = (B, *shape[:-1], self._middle(shape[-1]))
        return Space(z=empty(tall, dtype), dx=pool.room("dx", (B, *shape), dtype))

    def workspace(self, shape, B, dtype):
        space = self._buffers(shape, B, dtype, Pool())
        space.y = empty((B, *shape), dtype)
        return space

    def forward(self, x, p, space, mode):
        return self._run(x, p, space, mode, space.y[: len(x)])

    def _run(self, x, p, space, mode, out, add=None):
        """Write the output, plus what is to be added, to `out`."""
        space.x = x
        weights = (p[layer][name] for layer in ("c_fc", "c_proj") for name in ("weight", "bias"))
        add = NO_ROWS[x.dtype] if add is None else as_rows(add)
        into = as_rows(space.z[: len(x)]), as_rows(out)
        _kernels.dense.feed_forward(as_rows(x), *weights, add, *into, self.by_tanh, mode.n_threads)
        return out

    def backward(self, dy, p, g, space, mode, need_dx=True):
        return self._back(dy, p, g, space, mode, space.dx[: len(dy)] if need_dx else None)

    def _back(self, dy, p, g, space, mode, out, add=None):
        """Write the gradient at the input, plus what is to be added, to `out` unless that is None."""
        z, into = space.z[: len(dy)], g["c_proj"]
        given = as_rows(dy), p["c_proj"]["weight"], as_rows(z)  # which makes room for its gradient
        _kernels.dense.feed_backward(*given, into["weight"], into["bias"], self.by_tanh, mode.n_threads)
        product_gradients(space.x, z, g["c_fc"], mode)
        return None if out is None else product_back(z, p["c_fc"]["weight"], out, mode, add=add)

    def cost(self, shape):
        return 2 * math.prod(shape) * self._middle(shape[-1])


@dataclass(frozen=True)
class Norm(Layer):
    """Normalisation of each moment, by mean and variance ("layer") or by the mean of squares ("rms").

    Attributes
    ----------
    kind : {"layer", "rms"}, default="layer"
        Ba, Kiros & Hinton (2016), or Zhang & Sennrich (2019).
    eps : float, default=1e-5
        Added to the variance, or to the mean of squares.

    Raises
    ------
    ValueError
        If there is no such kind.
    """

    kind: str = "layer"
    eps: float = 1e-5

    def __post_init__(self):
        if self.kind not in ("layer", "rms"):
            raise ValueError(f"norm={self.kind!r} is unknown; there are layer and rms.")

    def specs(self, shape):
        scale = Spec("weight", (shape[-1],), ones)
        return (scale, Spec("bias", (shape[-1],))) if self.kind == "layer" else (scale,)

    def workspace(self, shape, B, dtype):
        N = B * math.prod(shape[:-1])
        rstd, mean = np.empty(N, dtype=dtype), np.empty(N if self.kind == "layer" else 0, dtype=dtype)
        return Space(rstd=rstd, mean=mean)

    def run(self, x, p, space, mode, out):
        """Write the normalised rows to `out`."""
        rows, y, N = as_rows(x), as_rows(out), x.size // x.shape[-1]
        if self.kind == "rms":
            _kernels.sequences.rms_norm(rows, p["weight"], self.eps, y, space.rstd[:N], mode.n_threads)
        else:
            statistics = space.mean[:N], space.rstd[:N]
            _kernels.fused.layer_norm(rows, p["weight"], p["bias"], self.eps, y, *statistics, mode.n_threads)
        return out

    def back(self, dy, x, p, g, space, mode, out, add=None):
        """Write the gradient at x, plus what is to be added, to `out`."""
        N, none = x.size // x.shape[-1], NO_ROWS[x.dtype]
        statistics = space.mean[:N], space.rstd[:N]
        into = as_rows(out), g["weight"], g.get("bias", NONE[x.dtype])
        add = none if add is None else as_rows(add)
        given = as_rows(dy), as_rows(x), p["weight"], *statistics, add
        _kernels.sequences.norm_backward(*given, *into, mode.n_threads)
        return out


@dataclass(frozen=True)
class Vectors(Layer):
    """A vector for each of n tokens, places or logits: parameters that a :class:`Transformer` reads itself.

    Attributes
    ----------
    n : int
        How many there are.
    std : float
        The standard deviation of initial ones.
    """

    n: int
    std: float

    def specs(self, shape):
        return (Spec("weight", (self.n, shape[-1]), partial(normal, self.std), self.n, shape[-1]),)


@dataclass(frozen=True)
class Branch:
    """A layer within a block, with its normalisation, its short cut and the names of both.

    Attributes
    ----------
    name, norm_name : str
        Of the layer and of the normalisation.
    layer : CausalSelfAttention or FeedForward
        What learns.
    norm : Norm or None
        Before the layer, or after the sum.
    """

    name: str
    norm_name: str
    layer: Layer
    norm: Norm | None


@dataclass(frozen=True)
class TransformerBlock(Layer):
    """Attention, then products for each moment, each with a normalisation and a short cut.

    y = x + f(norm(x)) (norm_position "pre", Xiong et al. 2020), or y = norm(x + f(x)) ("post", Vaswani et al. 2017).

    Attributes
    ----------
    attention : CausalSelfAttention
        Of (T, C).
    feed_forward : FeedForward, default=FeedForward()
        Of (T, C).
    norm : {"layer", "rms"} or None, default="layer"
        Which normalisation, if any.
    norm_position : {"pre", "post"}, default="pre"
        Where.
    residual : bool, default=True
        Whether there are short cuts; without them deep networks hardly learn.
    dropout : float, default=0.0
        The share of what attention and products give that is dropped while training.
    eps : float, default=1e-5
        Of the normalisation.

    Raises
    ------
    ValueError
        If a setting is unknown.

    Examples
    --------
    >>> from skml.network import CausalSelfAttention, TransformerBlock
    >>> block = TransformerBlock(CausalSelfAttention(4))
    >>> [spec.name for spec in block.specs((64, 128))][:4]
    ['ln_1.weight', 'ln_1.bias', 'attn.c_attn.weight', 'attn.c_attn.bias']
    """

    attention: CausalSelfAttention
    feed_forward: FeedForward = FeedForward()
    norm: str | None = "layer"
    norm_position: str = "pre"
    residual: bool = True
    dropout: float = 0.0
    eps: float = 1e-5

    def __post_init__(self):
        if self.norm_position not in ("pre", "post"):
            raise ValueError(f"norm_position={self.norm_position!r} is unknown; there are pre and post.")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, got {self.dropout!r}.")
        self._branches()

    def _branches(self):
        """Return the two halves."""
        norm = None if self.norm is None else Norm(self.norm, self.eps)
        return Branch("attn", "ln_1", self.attention, norm), Branch("mlp", "ln_2", self.feed_forward, norm)

    def output_shape(self, shape):
        return self.attention.output_shape(shape)

    def parts(self, shape):
        found = []
        for branch in self._branches():
            norm = [] if branch.norm is None else [(branch.norm_name, branch.norm, shape)]
            found += [*norm, (branch.name, branch.layer, shape)]
        return tuple(found)

    def specs(self, shape):
        return prefixed(self.parts(shape), "specs")

    def cost(self, shape):
        return sum(layer.cost(shape) for _, layer, _ in self.parts(shape))

    def workspace(self, shape, B, dtype):
        return numbered(self._buffers(shape, B, dtype, Pool()))

    def _buffers(self, shape, B, dtype, pool):
        """Return the space, with what blocks can share from a pool."""
        # a normalisation adds to the gradient of a short cut in its place, a product does not
        names = ("dx", "dx") if self.norm else ("dx", "dx1")
        halves = [self._half(branch, shape, B, dtype, (pool, dx)) for branch, dx in zip(self._branches(), names)]
        return Space(parts=tuple(halves), dx=halves[0].dx)

    def _half(self, branch, shape, B, dtype, shared):
        pool, dx = shared
        size = (B, *shape)
        space = branch.layer._buffers(shape, B, dtype, pool)
        half = Space(y=empty(size, dtype), dx=pool.room(dx, size, dtype), inner=space, branch=branch)
        space.y = half.y
        if branch.norm is not None:
            post = self.norm_position == "post"
            half.norm = branch.norm.workspace(shape, B, dtype)
            half.normed = empty(size, dtype) if post else pool.room("normed", size, dtype)
            # what comes out of a norm makes room for its gradient, what goes into one does not
            half.dnorm = pool.room("dnorm", size, dtype) if post else half.normed
        if self.dropout:
            half.dropped = pool.room("dropped", size, dtype)
        return half

    def forward(self, x, p, space, mode):
        for half in space.parts:
            x = self._forward(half.branch, x, p, half, mode)
        return x

    def _forward(self, branch, x, p, half, mode):
        b = len(x)
        half.x, post = x, self.norm_position == "post"
        if branch.norm is None:
            return self._with_short_cut(branch, x, x, p, half, mode, half.y[:b])
        normed = half.normed[:b]
        if post:  # what is normalised is kept in `normed`
            total = self._with_short_cut(branch, x, x, p, half, mode, normed)
            return branch.norm.run(total, p[branch.norm_name], half.norm, mode, half.y[:b])
        u = branch.norm.run(x, p[branch.norm_name], half.norm, mode, normed)
        return self._with_short_cut(branch, u, x, p, half, mode, half.y[:b])

    def _with_short_cut(self, branch, u, x, p, half, mode, out):
        """Write f(u) + x, or f(u) if there are no short cuts."""
        add = x if self.residual else None
        if not (self.dropout and mode.train):
            return branch.layer._run(u, p[branch.name], half.inner, mode, out, add)
        f = branch.layer._run(u, p[branch.name], half.inner, mode, half.dropped[: len(x)])
        dropout_forward(f, self.dropout, half.number, out, mode)
        return out if add is None else np.add(out, add, out=out)

    def backward(self, dy, p, g, space, mode, need_dx=True):
        for half in space.parts[::-1]:
            dy = self._backward(half.branch, dy, p, g, half, mode)
        return dy if need_dx else None

    def _backward(self, branch, dy, p, g, half, mode):
        b, post = len(dy), self.norm_position == "post"
        norm, dx = branch.norm, half.dx[:b]
        if norm is None:
            return self._undo(branch, dy, p, g, half, mode, dx)
        given = p[branch.norm_name], g[branch.norm_name], half.norm, mode
        if post:
            total = norm.back(dy, half.normed[:b], *given, half.dnorm[:b])
            return self._undo(branch, total, p, g, half, mode, dx)
        norm.run(half.x, p[branch.norm_name], half.norm, mode, half.normed[:b])  # others have used the room since
        du = self._undo(branch, dy, p, g, half, mode, half.dnorm[:b], short_cut=False)
        return norm.back(du, half.x, *given, dx, dy if self.residual else None)

    def _undo(self, branch, dy, p, g, half, mode, out, *, short_cut=True):
        """Write the gradient at f's input, plus that of the short cut."""
        add = dy if self.residual and short_cut else None
        df = dy
        if self.dropout and mode.train:
            df = dropout_backward(dy, self.dropout, half.number, half.dropped[: len(dy)], mode)
        return branch.layer._back(df, p[branch.name], g[branch.name], half.inner, mode, out, add)


@dataclass(frozen=True)
class Transformer(Layer):
    """Tokens in, the logits of each next token out.

    A sample is a row of T codes, or of shape (2, T): codes, and the first moment that each moment sees. They may be
    numbers of any type: the codes that a program for float32 is given are exact up to 2^24.

    Attributes
    ----------
    n_tokens : int
        How many codes there are.
    width : int
        Channels C.
    blocks : sequence of TransformerBlock
        In order.
    context_length : int
        The most positions.
    position : {"learned", "sinusoidal", "none"}, default="learned"
        What is added to the vectors of tokens; with rotary attention "none".
    norm : {"layer", "rms"} or None, default="layer"
        After the last block.
    tied : bool, default=True
        Whether the vectors of tokens are also the weights of the logits (Press & Wolf 2017).
    head : bool, default=True
        Whether logits come out, or else the last hidden states (T, C).
    dropout : float, default=0.0
        The share of the embedding that is dropped while training.
    std : float, default=0.02
        The standard deviation of the initial embeddings.
    eps : float, default=1e-5
        Of the last normalisation.

    Raises
    ------
    ValueError
        If a setting is unknown.

    See Also
    --------
    transformer : Makes one of a few numbers.

    Examples
    --------
    >>> from skml.network import transformer
    >>> transformer(65, 64, n_layers=2, n_heads=4, width=32).output_shape((64,))
    (64, 65)
    """

    n_tokens: int
    width: int
    blocks: tuple
    context_length: int
    position: str = "learned"
    norm: str | None = "layer"
    tied: bool = True
    head: bool = True
    dropout: float = 0.0
    std: float = 0.02
    eps: float = 1e-5

    def __post_init__(self):
        object.__setattr__(self, "blocks", tuple(self.blocks))
        if self.position not in ("learned", "sinusoidal", "none"):
            raise ValueError(f"position={self.position!r} is unknown; there are learned, sinusoidal and none.")
        if min(self.n_tokens, self.width, self.context_length) < 1:
            raise ValueError("n_tokens, width and context_length must be at least 1.")

    def output_shape(self, shape):
        if len(shape) not in (1, 2) or (len(shape) == 2 and shape[0] != 2):
            raise ValueError(f"A transformer takes samples of shape (T,) or (2, T), not {tuple(shape)}.")
        if shape[-1] > self.context_length:
            raise ValueError(f"{shape[-1]} moments are more than the context of {self.context_length}.")
        return shape[-1], self.n_tokens if self.head else self.width

    def parts(self, shape):
        inner, last = (shape[-1], self.width), self.norm is not None
        found = [("wte", Vectors(self.n_tokens, self.std), inner)]
        found += [("wpe", Vectors(self.context_length, self.std), inner)] if self.position == "learned" else []
        found += [(f"h.{i}", block, inner) for i, block in enumerate(self.blocks)]
        found += [("ln_f", Norm(self.norm, self.eps), inner)] if last else []
        found += [("lm_head", Vectors(self.n_tokens, self.std), inner)] if self.head and not self.tied else []
        return tuple(found)

    def specs(self, shape):
        return prefixed(self.parts(shape), "specs")

    def cost(self, shape):
        inner, head = (shape[-1], self.width), self.head * self.n_tokens * self.width
        return sum(block.cost(inner) for block in self.blocks) + shape[-1] * head

    def workspace(self, shape, B, dtype):
        T, size, pool = shape[-1], (B, shape[-1], self.width), Pool()
        blocks = tuple(block._buffers(size[1:], B, dtype, pool) for block in self.blocks)
        space = Space(parts=blocks, tokens=np.empty((B, T), dtype=np.int32), first=pool.first(B, T))
        # looked up where the first block will write, and once more when all after it is undone
        space.x = blocks[0].parts[-1].y if blocks else empty(size, dtype)
        space.dx = pool.room("dx", size, dtype)
        space.places = (
            sinusoidal_positions(T, self.width, dtype) if self.position == "sinusoidal" else NO_ROWS[np.dtype(dtype)]
        )
        if self.norm is not None:
            space.norm = Norm(self.norm, self.eps).workspace(size[1:], B, dtype)
            space.hidden = pool.room("normed", size, dtype)  # that only blocks before and after it use
        if self.head:
            space.z, space.dhidden = empty((B, T, self.n_tokens), dtype), pool.room("normed", size, dtype)
        return numbered(space)

    def forward(self, x, p, space, mode):
        b = len(x)
        pairs = x.ndim == 3
        np.copyto(space.tokens[:b], x[:, 0] if pairs else x, casting="unsafe")
        np.copyto(space.first[:b], x[:, 1] if pairs else 0, casting="unsafe")
        hidden = self._hidden(b, p, space, mode)
        return self._logits(hidden, p, space.z[:b], mode) if self.head else hidden

    def _embedded(self, b, p, space, mode):
        wpe = p["wpe"]["weight"] if self.position == "learned" else space.places
        x = space.x[:b]
        _kernels.sequences.embed(space.tokens[:b], space.first[:b], p["wte"]["weight"], wpe, x, mode.n_threads)
        return dropout_forward(x, self.dropout, space.number, x, mode) if self.dropout and mode.train else x

    def _hidden(self, b, p, space, mode):
        x = self._embedded(b, p, space, mode)
        for i, (block, part) in enumerate(zip(self.blocks, space.parts)):
            x = block.forward(x, p["h"][str(i)], part, mode)
        space.last = x
        return x if self.norm is None else self._norm().run(x, p["ln_f"], space.norm, mode, space.hidden[:b])

    def _norm(self):
        return Norm(self.norm, self.eps)

    def _output(self, tree):
        """Return the weights of the logits, or their gradient."""
        return tree["wte" if self.tied else "lm_head"]["weight"]

    def _logits(self, hidden, p, out, mode):
        return product_back(hidden, self._output(p), out, mode)

    def backward(self, dy, p, g, space, mode, need_dx=True):
        b = len(dy)
        dwte = g["wte"]["weight"]
        if not (self.head and self.tied):
            dwte[...] = 0
        if self.head:
            dy = self._through_head(dy, p, g, space, mode)
        if self.norm is not None:
            dy = self._norm().back(dy, space.last, p["ln_f"], g["ln_f"], space.norm, mode, space.dx[:b])
        for i in reversed(range(len(self.blocks))):
            given = p["h"][str(i)], g["h"][str(i)], space.parts[i], mode
            if i == 0:
                self._embedded(b, p, space, mode)
            dy = self.blocks[i].backward(dy, *given)
        self._embed_back(dy, g, space, mode)

    def _through_head(self, dz, p, g, space, mode):
        b, none = len(dz), NO_ROWS[dz.dtype]
        hidden = space.last if self.norm is None else space.hidden[:b]
        product_gradients(dz, hidden, {"weight": self._output(g)}, mode)
        out = space.dhidden[:b]  # which is `hidden`, if that is a norm's
        given = as_rows(dz), self._output(p), False, NONE[dz.dtype], none, as_rows(out)
        _kernels.dense.multiply(*given, mode.n_threads)
        return out

    def _embed_back(self, dy, g, space, mode):
        b = len(dy)
        if self.dropout and mode.train:
            dy = dropout_backward(dy, self.dropout, space.number, space.x[:b], mode)  # x is not needed any more
        dwpe = NO_ROWS[dy.dtype]
        if self.position == "learned":
            dwpe = g["wpe"]["weight"]
            dwpe[...] = 0
        given = dy, space.tokens[:b], space.first[:b], g["wte"]["weight"], dwpe
        _kernels.sequences.embed_backward(*given, mode.n_threads)


def transformer(
    n_tokens, context_length, *, n_layers=4, n_heads=4, width=128, position="learned", norm="layer", **other
):
    """Make a decoder of GPT-2's kind (Radford et al. 2019).

    Parameters
    ----------
    n_tokens : int
        How many codes there are.
    context_length : int
        The most moments.
    n_layers : int, default=4
        Blocks.
    n_heads : int, default=4
        Heads in each.
    width : int, default=128
        Channels, a multiple of the heads.
    position : {"learned", "rotary", "sinusoidal", "none"}, default="learned"
        How the network is told of positions.
    norm : {"layer", "rms"} or None, default="layer"
        Which normalisation, if any.
    **other : object
        ``norm_position`` ("pre" or "post"), ``residual`` (bool), ``mlp_ratio`` (float), ``activation`` ("gelu" or
        "gelu_tanh"), ``dropout`` (float), ``tied`` (bool), ``head`` (bool), ``eps`` (float): see
        :class:`TransformerBlock`, :class:`FeedForward` and :class:`Transformer`.

    Returns
    -------
    network : Transformer
        Initial weights are N(0, 0.02^2), those of each short cut's last product less by sqrt(2 n_layers).

    Raises
    ------
    ValueError
        If a setting is unknown, or sizes do not go together.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import Mode, Program, transformer
    >>> program = Program(transformer(65, 64, n_layers=1, n_heads=2, width=16), (8,))
    >>> program.forward(np.zeros((3, 8), dtype=np.int32), Mode()).shape
    (3, 8, 65)
    """
    known = {
        "norm_position": "pre",
        "residual": True,
        "mlp_ratio": 4.0,
        "activation": "gelu",
        "dropout": 0.0,
        "tied": True,
        "head": True,
        "eps": 1e-5,
    }
    if unknown := set(other) - set(known):
        raise ValueError(f"Unknown settings of a transformer: {', '.join(sorted(unknown))}.")
    s = {**known, **other}
    if position not in POSITIONS:
        raise ValueError(f"position={position!r} is unknown; there are {', '.join(POSITIONS)}.")
    rotary = "rotary" if position == "rotary" else "none"
    std_out = 0.02 / math.sqrt(2 * max(n_layers, 1))
    attention = CausalSelfAttention(n_heads, rotary, std_out=std_out)
    feed_forward = FeedForward(s["mlp_ratio"], std_out=std_out, activation=s["activation"])
    shared = norm, s["norm_position"], s["residual"], s["dropout"], s["eps"]
    block = TransformerBlock(attention, feed_forward, *shared)
    attention.output_shape((context_length, width))
    added = "none" if rotary == "rotary" else position
    last = norm if s["norm_position"] == "pre" else None  # after the last block there is one already
    ends = {name: s[name] for name in ("tied", "head", "dropout", "eps")}
    return Transformer(n_tokens, width, (block,) * n_layers, context_length, added, last, **ends)
