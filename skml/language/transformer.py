"""The transformer language model."""

from numbers import Integral, Real

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skml import _kernels
from skml._sklearn import Interval, StrOptions
from skml.language import checkpoints
from skml.language.base import POSITIVE, TRAINING_CONSTRAINTS, BaseLanguageModel
from skml.language.reading import WindowReader, program_of, twin
from skml.language.scoring import begun
from skml.language.windows import packed, padded
from skml.network.blocks import transformer
from skml.network.training import Training


class TransformerLanguageModel(BaseLanguageModel):
    r"""Transformer language model: attention to all tokens before tells the next one.

    Finds the parameters of a decoder of GPT-2's kind [1]_ that minimise the weighted mean of
    :math:`-\ln p(w_t \mid w_1, \ldots, w_{t-1})` over all tokens of all documents and their ends. In each of `n_layers`
    blocks there are, beside short cuts, causal attention with `n_heads` heads [2]_,

    .. math:: \operatorname{softmax}(Q K^\top / \sqrt{d}) V,

    and a network of one hidden layer that each token goes through alone.

    Parameters
    ----------
    n_layers : int, default=2
        Blocks.
    n_heads : int, default=2
        Heads of attention in each.
    embedding_size : int, default=32
        Numbers that stand for a token, a multiple of `n_heads`.
    context_length : int, default=64
        The most tokens that are looked at together.
    position : {"learned", "rotary", "sinusoidal"}, default="learned"
        How the network is told of positions: vectors of their own, keys and queries that turn [3]_, or waves [2]_.
    mlp_ratio : float, default=4.0
        Hidden units in the feed-forward part, for each number of an embedding.
    activation : {"gelu", "gelu_tanh"}, default="gelu"
        Of hidden units: z P(Z <= z) with the normal distribution [4]_, or the curve near it that GPT-2 has.
    norm : {"layer", "rms"} or None, default="layer"
        How numbers are brought to scale; None leaves them, and deep networks suffer.
    norm_position : {"pre", "post"}, default="pre"
        Whether before each part of a block, or after its short cut.
    norm_epsilon : float, default=1e-5
        What is added to a variance before its root is taken.
    residual : bool, default=True
        Whether there are short cuts; without, deep networks hardly learn.
    tie_embeddings : bool, default=True
        Whether the vectors of tokens are also the weights of their logits.
    stride : int or None, default=None
        From one window to the next where a document is longer than the context, when it is scored or written on; None
        is half the context. Fewer tokens mean more context for each, and more work.
    tokenizer : {"char", "word", "bpe"}, Tokenizer or None, default="char"
        Of texts; a tokenizer that is fitted already is used as it is, of another a clone is fitted. Rows of numbers get
        a :class:`QuantileTokenizer` of at most 64 bins, in which up to 256 different whole numbers, and integers of any
        number, keep a token each, unless an object is given. None takes rows of integers as tokens.
    batching : {"pack", "pad"}, default="pack"
        Whether documents follow each other in a window, none looking into another, or each has windows of its own.
    pooling : {"last", "mean", "attention"}, default="last"
        What :meth:`transform` makes of the states of a document: the last, their mean, or their mean weighted by how
        much each resembles the last.
    dropout : float, default=0.0
        The share of embeddings and of what each part of a block adds that is dropped while training.
    batch_size : int or "auto", default="auto"
        Windows of a batch; "auto" is a 16th of them, but at least 8 and at most 32.
    learning_rate_init : float, default=0.003
        The rate that the schedule starts from.
    learning_rate : {"constant", "step", "cosine", "one_cycle"} or callable, default="constant"
        The schedule; "cosine" warms up over the first twentieth of all steps, as is usual for long fits. A function
        gets (step, total) and gives a factor.
    max_iter : int, default=20
        The most epochs, those of earlier fits included with `warm_start`.
    max_steps : int or None, default=None
        The most steps of the optimizer; whichever comes first ends the fit.
    weight_decay : float, default=0.01
        What times the rate is taken away from weights in each step (AdamW).
    gradient_clip : float or None, default=1.0
        The largest norm of a gradient; longer ones are scaled down.
    early_stopping : bool, default=False
        Whether to stop when documents that are set aside are told no better, and to keep the best epoch.
    validation_fraction : float, default=0.1
        The share of documents that `early_stopping` sets aside.
    n_iter_no_change : int, default=5
        Epochs in a row without an improvement after which it stops.
    tol : float, default=1e-4
        What counts as an improvement, in nats per token.
    dtype : {"float32", "float64"} or None, default=None
        What to compute in; None is float32 for texts and tokens, and the type of X for numbers.
    random_state : int, RandomState instance or None, default=None
        For the initial weights, the order of documents and what is set aside; and for :meth:`generate`.
    n_jobs : int or None, default=None
        Threads; None means all that are allowed, -1 all processors. It changes no result.
    warm_start : bool, default=False
        Whether another `fit` goes on with the network of the last; its tokens stay the same.

    Attributes
    ----------
    coder_ : Coder
        How documents are read.
    history_ : dict of str to list of float
        For each epoch "loss" and "learning_rate", and "validation_loss" and "validation_score" (the share of tokens
        told right) with `early_stopping`.
    n_features_in_ : int
        Columns of X, if its rows were numbers.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of columns, if X had names that are all strings.
    n_iter_ : int
        Epochs begun.
    n_parameters_ : int
        Numbers that were learnt.
    n_steps_ : int
        Steps of the optimizer.
    reader_ : WindowReader
        The trained network.
    tokenizer_ : Tokenizer or None
        What makes tokens of documents.
    training_ : Training
        Where training stands, for `warm_start` and :meth:`partial_fit`.
    vocabulary_ : list
        What each token stands for.

    See Also
    --------
    RNNLanguageModel : Recurrence in place of attention.
    skml.CharTokenizer : The default tokenizer of texts.

    Notes
    -----
    A document is read as (start, w_1, .., w_m), and its end is told like a token. Tokens are learnt from the documents
    without their weights. Equal documents count as one with the sum of their weights, and their order never matters.
    In training, a window knows nothing of what came before it. In scoring, each token of a long document sees at least
    ``context_length - stride`` tokens before it.

    References
    ----------
    .. [1] A. Radford et al. (2019). Language models are unsupervised multitask learners (GPT-2).
    .. [2] A. Vaswani et al. (2017). Attention is all you need. NeurIPS.
    .. [3] J. Su et al. (2021). RoFormer: enhanced transformer with rotary position embedding.
    .. [4] D. Hendrycks, K. Gimpel (2016). Gaussian error linear units (GELUs).

    Examples
    --------
    >>> from skml import TransformerLanguageModel
    >>> X = ["abababab", "babababa"] * 8
    >>> model = TransformerLanguageModel(max_iter=60, random_state=0).fit(X)
    >>> model.generate("abab", max_new_tokens=4)
    'abab'
    >>> bool(model.score(["abababab"]) > model.score(["aaaabbbb"]))
    True
    """

    _parameter_constraints = {
        "n_layers": [POSITIVE],
        "n_heads": [POSITIVE],
        "embedding_size": [POSITIVE],
        "context_length": [POSITIVE],
        "position": [StrOptions({"learned", "rotary", "sinusoidal"})],
        "mlp_ratio": [Interval(Real, 0, None, closed="neither")],
        "activation": [StrOptions({"gelu", "gelu_tanh"})],
        "norm": [StrOptions({"layer", "rms"}), None],
        "norm_position": [StrOptions({"pre", "post"})],
        "norm_epsilon": [Interval(Real, 0, None, closed="neither")],
        "residual": ["boolean"],
        "tie_embeddings": ["boolean"],
        "stride": [Interval(Integral, 1, None, closed="left"), None],
        **TRAINING_CONSTRAINTS,
    }

    def __init__(
        self,
        n_layers=2,
        *,
        n_heads=2,
        embedding_size=32,
        context_length=64,
        position="learned",
        mlp_ratio=4.0,
        activation="gelu",
        norm="layer",
        norm_position="pre",
        norm_epsilon=1e-5,
        residual=True,
        tie_embeddings=True,
        stride=None,
        tokenizer="char",
        batching="pack",
        pooling="last",
        dropout=0.0,
        batch_size="auto",
        learning_rate_init=0.003,
        learning_rate="constant",
        max_iter=20,
        max_steps=None,
        weight_decay=0.01,
        gradient_clip=1.0,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=5,
        tol=1e-4,
        dtype=None,
        random_state=None,
        n_jobs=None,
        warm_start=False,
    ):
        self.n_layers = n_layers
        self.n_heads = n_heads
        self.embedding_size = embedding_size
        self.context_length = context_length
        self.position = position
        self.mlp_ratio = mlp_ratio
        self.activation = activation
        self.norm = norm
        self.norm_position = norm_position
        self.norm_epsilon = norm_epsilon
        self.residual = residual
        self.tie_embeddings = tie_embeddings
        self.stride = stride
        self.tokenizer = tokenizer
        self.batching = batching
        self.pooling = pooling
        self.dropout = dropout
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.learning_rate = learning_rate
        self.max_iter = max_iter
        self.max_steps = max_steps
        self.weight_decay = weight_decay
        self.gradient_clip = gradient_clip
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.dtype = dtype
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.warm_start = warm_start

    @classmethod
    def from_pretrained(cls, folder):
        """Return the fitted model that a folder holds: a checkpoint of GPT-2's kind, as transformers writes it.

        Parameters
        ----------
        folder : str or path-like
            With ``config.json``; ``tokenizer.json``, or ``vocab.json`` and ``merges.txt``; and ``model.safetensors``,
            or several such files and ``model.safetensors.index.json``. It is read with the package `safetensors` (``pip
            install 'skml[pretrained]'``). Nothing is fetched from elsewhere, and nothing in it is executed.

        Returns
        -------
        model : TransformerLanguageModel
            It can be used, fine-tuned and fitted further. Its parameters are those of the checkpoint; others, such as
            `learning_rate_init`, are defaults that ``set_params`` changes. Half precision is read as float32.

        Raises
        ------
        ValueError
            If something is missing or broken, or the checkpoint is of another kind.
        TypeError
            If `folder` is no path.
        MemoryError
            If the model needs more memory than is free.
        ImportError
            If `safetensors` is not installed.
        OSError
            If a file cannot be read.

        Examples
        --------
        >>> import tempfile
        >>> from skml import TransformerLanguageModel
        >>> X = ["abababab", "babababa"] * 8
        >>> model = TransformerLanguageModel(tokenizer="bpe", max_iter=2, random_state=0).fit(X)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save_pretrained(folder)
        ...     loaded = TransformerLanguageModel.from_pretrained(folder)
        >>> bool((loaded.predict_proba(X) == model.predict_proba(X)).all())
        True
        """
        checkpoint = checkpoints.look_into(folder)
        model = cls(**checkpoint.parameters)
        model._validate_params()
        network = model._network(checkpoint.coder, 1)
        shapes = {spec.name: spec.shape for spec in network.specs((2, 1))}
        program = program_of(network, (2, 1), checkpoints.read_numbers(checkpoint, shapes))
        w = program.parameters.flat
        start = Training(w, np.empty(0, dtype=w.dtype), model._optimizer().moments(w))
        vars(model).update(model._attributes(program, checkpoint.coder, start, {}))
        return model

    def save_pretrained(self, folder):
        """Write the model as a checkpoint of GPT-2's kind, which :meth:`from_pretrained` and transformers read.

        Parameters
        ----------
        folder : str or path-like
            Where to; it is made if need be. Files of these names are replaced, each whole or not at all.

        Raises
        ------
        ValueError
            If GPT-2 has no place for something in the model: positions that are not learned, another norm or none,
            norms after short cuts, no short cuts, or another tokenizer than :class:`BPETokenizer`.
        TypeError
            If `folder` is no path.
        ImportError
            If the package `safetensors` is not installed.
        OSError
            If it cannot be written.

        Notes
        -----
        A document begins with the start token here; transformers puts it there only if it is given.
        """
        check_is_fitted(self)
        checkpoints.write(folder, self.reader_.program, self.coder_)

    def _network(self, coder, rows):
        if self.embedding_size % self.n_heads:
            raise ValueError(
                f"embedding_size={self.embedding_size} is no multiple of n_heads={self.n_heads}: heads share it evenly."
            )
        if self.position == "rotary" and self.embedding_size // self.n_heads % 2:
            raise ValueError(
                f"position='rotary' turns pairs of numbers, but a head has {self.embedding_size // self.n_heads}: "
                "change embedding_size or n_heads."
            )
        if self.stride is not None and self.stride > self.context_length:
            raise ValueError(f"stride={self.stride} is more than context_length={self.context_length}.")
        names = ("n_layers", "n_heads", "position", "norm", "norm_position", "mlp_ratio", "activation", "dropout")
        settings = {name: getattr(self, name) for name in names}
        settings.update(width=self.embedding_size, residual=bool(self.residual), tied=bool(self.tie_embeddings))
        return transformer(coder.n_tokens, self.context_length, eps=float(self.norm_epsilon), **settings)

    def _width(self):
        return self.n_layers * self.embedding_size

    def _most(self):
        return self.context_length

    def _windows(self, stream, T, B):
        return (padded if self.batching == "pad" else packed)(stream, T), None

    def _may_change(self, name, layers):
        """Tell whether fine-tuning of some layers changes a parameter."""
        network = self.reader_.program.network
        if layers == "lora":
            return name.startswith("h.") and name.endswith((".c_attn.weight", ".c_proj.weight", ".c_fc.weight"))
        head = name.startswith(("ln_f.", "lm_head.")) or (layers == "head" and network.tied and name == "wte.weight")
        return head or (layers == "last" and name.startswith(f"h.{len(network.blocks) - 1}."))

    def attention_weights(self, X, layer=-1):
        """Return how much each token looks at each one before it.

        Parameters
        ----------
        X : iterable of str, or array-like of shape (n_documents, n_columns)
            Documents, as for :meth:`fit`.
        layer : int, default=-1
            The block, from the end if negative.

        Returns
        -------
        weights : list of ndarray of shape (n_heads, n_tokens + 1, n_tokens + 1)
            Of each document, the token that begins it included; rows add up to 1. Of a document that is longer than the
            context, of its last window.

        Raises
        ------
        ValueError
            If there is no such block.
        """
        _, sequences = self._read(X)
        n = len(self.reader_.program.network.blocks)
        if not isinstance(layer, Integral) or not -n <= layer < n:
            raise ValueError(f"layer={layer!r} is none of 0 to {n - 1}.")
        with _kernels.blas_threads(1):
            return [self.reader_.attention(ids, layer) for ids in begun(sequences, self.coder_)]

    def _reader(self, program, parameters):
        stride = max(1, self.context_length // 2) if self.stride is None else self.stride
        return WindowReader(twin(program, program.network, (2, 1), parameters), stride)
