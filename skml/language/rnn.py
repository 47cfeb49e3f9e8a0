"""The recurrent language model."""

from dataclasses import replace
from numbers import Integral

import numpy as np

from skml._sklearn import Interval, StrOptions
from skml.language.base import POSITIVE, TRAINING_CONSTRAINTS, BaseLanguageModel
from skml.language.reading import StateReader, twin
from skml.language.recurrent_network import RecurrentNetwork
from skml.language.windows import lanes, padded, queues
from skml.network.sequences import StreamOrder


class RNNLanguageModel(BaseLanguageModel):
    r"""Recurrent language model: an Elman network, GRU or LSTM that tells the next token.

    Finds the parameters of a network that minimise the weighted mean of

    .. math:: -\ln p(w_t \mid w_1, \ldots, w_{t-1}), \quad p(\cdot \mid w_1, \ldots, w_{t-1}) = \operatorname{softmax}(
        W h_t + b), \quad h_t = f(h_{t-1}, e_{w_{t-1}})

    over all tokens of all documents and their ends. Gradients are those of back-propagation through time, cut after
    `sequence_length` tokens; the state goes on [1]_.

    Parameters
    ----------
    cell : {"rnn", "gru", "lstm"}, default="gru"
        The plain network of Elman [2]_, gated recurrent units [3]_, or long short-term memory [4]_.
    activation : {"tanh", "relu", "identity"}, default="tanh"
        Of the plain cell; others have their own.
    hidden_size : int, default=64
        Units of a layer.
    embedding_size : int, default=32
        Numbers that stand for a token.
    n_layers : int, default=1
        Recurrent layers, one on top of the other.
    tie_embeddings : bool, default=False
        Whether the vectors of tokens are also the weights of their logits [5]_. Where `hidden_size` is another than
        `embedding_size`, a product with a matrix comes between.
    sequence_length : int, default=64
        Tokens over which gradients go back.
    tokenizer : {"char", "word", "bpe"}, Tokenizer or None, default="char"
        Of texts; a tokenizer that is fitted already is used as it is, of another a clone is fitted. Rows of numbers get
        a :class:`QuantileTokenizer` of at most 64 bins, in which up to 256 different whole numbers, and integers of any
        number, keep a token each, unless an object is given. None takes rows of integers as tokens.
    batching : {"pack", "pad"}, default="pack"
        Whether documents follow each other in the rows of a batch, or each begins a row of its own.
    pooling : {"last", "mean", "attention"}, default="last"
        What :meth:`transform` makes of the states of a document: the last, their mean, or their mean weighted by how
        much each resembles the last.
    dropout : float, default=0.0
        The share of each layer's output that is dropped while training.
    batch_size : int or "auto", default="auto"
        Rows of a batch; "auto" is a 16th of the windows, but at least 8 and at most 32.
    learning_rate_init : float, default=0.01
        The rate that the schedule starts from.
    learning_rate : {"constant", "step", "cosine", "one_cycle"} or callable, default="constant"
        The schedule; a function gets (step, total) and gives a factor.
    max_iter : int, default=20
        The most epochs, those of earlier fits included with `warm_start`.
    max_steps : int or None, default=None
        The most steps of the optimizer; whichever comes first ends the fit.
    weight_decay : float, default=0.0
        What times the rate is taken away from weights in each step (AdamW), if not 0.
    gradient_clip : float or None, default=1.0
        The largest norm of a gradient; longer ones are scaled down [1]_.
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
    reader_ : StateReader
        The trained network.
    tokenizer_ : Tokenizer or None
        What makes tokens of documents.
    training_ : Training
        Where training stands, for `warm_start` and :meth:`partial_fit`.
    vocabulary_ : list
        What each token stands for.

    See Also
    --------
    TransformerLanguageModel : Attention in place of recurrence.
    skml.CharTokenizer : The default tokenizer of texts.

    Notes
    -----
    A document is read as (start, w_1, .., w_m), and its end is told like a token. Tokens are learnt from the documents
    without their weights. Equal documents count as one with the sum of their weights, and their order never matters.
    Scores of documents of any length are exact: the state goes on from their first token to their last.

    References
    ----------
    .. [1] R. Pascanu, T. Mikolov, Y. Bengio (2013). On the difficulty of training recurrent neural networks. ICML.
    .. [2] J. L. Elman (1990). Finding structure in time. Cognitive Science 14, 179-211.
    .. [3] K. Cho et al. (2014). Learning phrase representations using RNN encoder-decoder. EMNLP.
    .. [4] S. Hochreiter, J. Schmidhuber (1997). Long short-term memory. Neural Computation 9, 1735-1780.
    .. [5] O. Press, L. Wolf (2017). Using the output embedding to improve language models. EACL.

    Examples
    --------
    >>> from skml import RNNLanguageModel
    >>> X = ["abababab", "babababa"] * 8
    >>> model = RNNLanguageModel(hidden_size=16, max_iter=80, random_state=0).fit(X)
    >>> model.generate("abab", max_new_tokens=4)
    'abab'
    >>> bool(model.score(["abababab"]) > model.score(["aaaabbbb"]))
    True
    """

    _parameter_constraints = {
        "cell": [StrOptions({"rnn", "gru", "lstm"})],
        "activation": [StrOptions({"tanh", "relu", "identity"})],
        "hidden_size": [POSITIVE],
        "embedding_size": [POSITIVE],
        "n_layers": [POSITIVE],
        "tie_embeddings": ["boolean"],
        "sequence_length": [Interval(Integral, 1, None, closed="left")],
        **TRAINING_CONSTRAINTS,
    }

    def __init__(
        self,
        cell="gru",
        *,
        activation="tanh",
        hidden_size=64,
        embedding_size=32,
        n_layers=1,
        tie_embeddings=False,
        sequence_length=64,
        tokenizer="char",
        batching="pack",
        pooling="last",
        dropout=0.0,
        batch_size="auto",
        learning_rate_init=0.01,
        learning_rate="constant",
        max_iter=20,
        max_steps=None,
        weight_decay=0.0,
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
        self.cell = cell
        self.activation = activation
        self.hidden_size = hidden_size
        self.embedding_size = embedding_size
        self.n_layers = n_layers
        self.tie_embeddings = tie_embeddings
        self.sequence_length = sequence_length
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

    def _network(self, coder, rows):
        return RecurrentNetwork(
            coder.n_tokens,
            self.embedding_size,
            self.hidden_size,
            self.n_layers,
            self.cell,
            self.activation if self.cell == "rnn" else "tanh",
            bool(self.tie_embeddings),
            float(self.dropout),
            rows,
        )

    def _width(self):
        return self.n_layers * (self.embedding_size + self.hidden_size)

    def _most(self):
        return self.sequence_length

    def _windows(self, stream, T, B):
        if self.batching == "pad":
            longest = np.bincount(stream.start).max()
            return (padded(stream, T), None) if longest <= T else (queues(stream, T, B), _in_order)
        windows = lanes(stream, T, B)
        return windows, StreamOrder(len(windows) // B, B)

    def _may_change(self, name, layers):
        """Tell whether fine-tuning of some layers changes a parameter."""
        last, network = name.startswith(f"{self.reader_.program.network.n_layers - 1}."), self.reader_.program.network
        if layers == "lora":
            return ".weight_" in name
        head = name.startswith("head.") or (layers == "head" and network.tied and name == "0.embedding")
        return head or (layers == "last" and last)

    def _reader(self, program, parameters):
        return StateReader(twin(program, replace(program.network, carry=0), (2, 1), parameters))


def _in_order(rows, generator):
    """Return the rows of an epoch as they are: those of one document follow each other."""
    return rows
