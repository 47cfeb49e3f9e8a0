"""What the language models share: documents come in, a network is trained on their tokens, scores them and writes."""

import copy
import functools
import math
from dataclasses import dataclass, replace
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.callback import CallbackSupportMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from skml import _kernels
from skml._sklearn import HasMethods, Interval, StrOptions
from skml.base import Run, fit_task, fitting, require_memory, run_steps, validate_weights
from skml.language.decoding import Settings, as_stops
from skml.language.documents import distinct_documents, learn_coder, read_rows
from skml.language.fine_tuning import LAYERS, tuning_optimizer
from skml.language.scoring import POOLINGS, next_probabilities, pooled_states, token_log_probabilities
from skml.language.training import TokenLoss, training_data
from skml.language.windows import stream_of
from skml.language.writing import Request, stream_texts, written_texts
from skml.network.composition import format_table, network_table
from skml.network.optimizers import Adam, AdamW
from skml.network.program import Program
from skml.network.schedules import SCHEDULES, constant, schedule
from skml.network.training import Job, Plan, split_rows, start_training, training_outcome, training_steps

# Methods that scikit-learn's vectorizers, whose rows are no sequences of tokens, don't all have.
_TOKENIZER = ["fit", "transform", "inverse_transform", "encode", "decode"]
POSITIVE = Interval(Integral, 1, None, closed="left")
TRAINING_CONSTRAINTS = {
    "tokenizer": [StrOptions({"char", "word", "bpe"}), HasMethods(_TOKENIZER), None],
    "batching": [StrOptions({"pack", "pad"})],
    "pooling": [StrOptions(set(POOLINGS))],
    "dropout": [Interval(Real, 0, 1, closed="left")],
    "batch_size": [POSITIVE, StrOptions({"auto"})],
    "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
    "learning_rate": [StrOptions(set(SCHEDULES)), callable],
    "max_iter": [POSITIVE],
    "max_steps": [POSITIVE, None],
    "weight_decay": [Interval(Real, 0, None, closed="left")],
    "gradient_clip": [Interval(Real, 0, None, closed="neither"), None],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    "n_iter_no_change": [POSITIVE],
    "tol": [Interval(Real, 0, None, closed="left")],
    "dtype": [StrOptions({"float32", "float64"}), None],
    "random_state": ["random_state"],
    "n_jobs": [Integral, None],
    "warm_start": ["boolean"],
}
# Multiply-adds of a batch from which on several threads are worth waking up.
WORTH = 2**20


@dataclass(frozen=True)
class Corpus:
    """Documents to learn from.

    Attributes
    ----------
    coder : Coder
        How they are read.
    sequences : list of ndarray
        Their tokens, each distinct document once, in canonical order.
    weights : ndarray of shape (n_documents,)
        Their weights.
    dtype : dtype
        That of the documents; float32 for texts.
    shares : list of ndarray of shape (n_tokens + 1,), or None, default=None
        What each token and the end of a document count, times its weight; None means 1.
    """

    coder: object
    sequences: list
    weights: np.ndarray
    dtype: np.dtype
    shares: list | None = None

    @property
    def n_moments(self):
        """How many tokens there are to tell, the ends included."""
        return sum(map(len, self.sequences)) + len(self.sequences)

    def take(self, index):
        """Return some of the documents."""
        shares = None if self.shares is None else [self.shares[i] for i in index]
        return replace(self, sequences=[self.sequences[i] for i in index], weights=self.weights[index], shares=shares)


class BaseLanguageModel(ClassNamePrefixFeaturesOutMixin, TransformerMixin, CallbackSupportMixin, BaseEstimator):
    """The shell of estimators that train a network to tell the next token.

    A class of it says what its network is in ``_network(coder)``, how documents are cut in ``_windows(stream, B)``, how
    many batches of how many rows there are in ``_batch(corpus)``, and how the trained network reads in
    ``_reader(program)``.
    """

    # ------------------------------------------------------------------------------------------------ fitting

    @fitting
    def fit(self, X, y=None, sample_weight=None):
        """Learn from documents.

        Parameters
        ----------
        X : iterable of str, or array-like of shape (n_documents, n_columns)
            Texts; or rows of integers, whose distinct values are the symbols (-1 is padding, unless there are smaller
            numbers; with ``tokenizer=None`` they are the tokens themselves); or rows of numbers.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_documents,), default=None
            Non-negative weights; weight k equals k copies of the document.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If there are no documents, all are empty, or X is no documents at all.
        TypeError
            If an element of a list of texts is no string.
        """
        goes_on = self.warm_start and hasattr(self, "reader_")
        return self._learn(X, y, sample_weight, goes_on, self._plan)

    @fitting
    def partial_fit(self, X, y=None, sample_weight=None):
        """Train for one epoch over some documents, at the rate `learning_rate_init`.

        Parameters
        ----------
        X : iterable of str, or array-like of shape (n_documents, n_columns)
            Any number of documents. The first call decides what the tokens are.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_documents,), default=None
            Non-negative weights; weight k equals k copies of the document.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If X is unusable as for :meth:`fit`, or of another kind than before.
        """
        return self._learn(X, y, sample_weight, hasattr(self, "reader_"), self._one_epoch, again=True)

    def fine_tune(self, X, y=None, sample_weight=None, *, layers="all", learning_rate=None, max_iter=None, rank=8):
        """Return a new model that has been trained on with other documents; this one stays as it is.

        Parameters
        ----------
        X : iterable of str, or array-like of shape (n_documents, n_columns)
            Documents of the same kind as those of :meth:`fit`; tokens stay the same.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_documents,), default=None
            Non-negative weights; weight k equals k copies of the document.
        layers : {"all", "last", "head", "lora"}, default="all"
            What may change: everything; the last layer and what makes logits of it; the latter alone, which with tied
            embeddings includes these; or the matrices of all layers, by a product of two matrices of rank `rank` [1]_.
        learning_rate : float or None, default=None
            The rate that the schedule starts from; None means `learning_rate_init`.
        max_iter : int or None, default=None
            Epochs; None means `max_iter`.
        rank : int, default=8
            Of the change with "lora".

        Returns
        -------
        tuned : object
            The fitted new estimator. Its ``history_`` and ``n_iter_`` are those of the fine-tuning.

        Raises
        ------
        ValueError
            If X is unusable as for :meth:`fit`, or a parameter makes no sense.

        References
        ----------
        .. [1] E. J. Hu et al. (2022). LoRA: low-rank adaptation of large language models. ICLR.
        """
        check_is_fitted(self)
        _check_tuning(layers, learning_rate, max_iter, rank)
        tuned = copy.copy(self)
        epochs = self.max_iter if max_iter is None else max_iter
        rate = self.learning_rate_init if learning_rate is None else learning_rate
        return tuned._tune(X, sample_weight, layers, rank, {"max_iter": epochs, "learning_rate": rate})

    @fitting
    def _tune(self, X, sample_weight, layers, rank, given):
        optimizer, parameters = replace(self._optimizer(), learning_rate=given["learning_rate"]), self._parameters()
        if layers != "all":
            seed = self.training_.seed
            names = [name for name in parameters if self._may_change(name, layers)]
            lora = rank if layers == "lora" else None
            optimizer = tuning_optimizer(optimizer, parameters, names, lora, seed)
        w = parameters.flat
        start = replace(self.training_.again(), parameters=w, moments=optimizer.moments(w), n_steps=0, n_epochs=0)
        self.training_, self.history_ = start, {}

        def plan_of(start):
            return replace(self._plan(start), optimizer=optimizer, max_iter=given["max_iter"], max_steps=None)

        self._learn(X, None, sample_weight, True, plan_of, tuning=True)
        fresh = self._optimizer().moments(self.training_.parameters)  # those of another optimizer mean nothing to it
        self.training_ = replace(self.training_, moments=fresh)
        return self

    def _parameters(self):
        """Return the parameters of the fitted network by name."""
        return self.reader_.program.parameters

    def _learn(self, X, y, sample_weight, goes_on, plan_of, again=False, tuning=False):
        rows = read_rows(self, X, reset=not ((again or tuning) and goes_on))
        weights = validate_weights(sample_weight, np.empty((len(rows), 1)))
        given = rows.values if rows.kind == "texts" else X  # a generator is empty by now
        seen = {"X": given, "y": y, "sample_weight": weights}
        return self._learn_corpus(self._corpus(rows, weights, goes_on), goes_on, plan_of, again, seen)

    @fitting
    def _fit_corpus(self, corpus):
        """Learn from documents that are tokens already, as a classifier has them."""
        return self._learn_corpus(corpus, False, self._plan, False, {})

    def _learn_corpus(self, corpus, goes_on, plan_of, again, seen):
        program, start = self._beginning(corpus, goes_on, again)
        job = self._job(program, plan_of(start), corpus, start)
        with fit_task(self, **seen, max_subtasks=max(job.plan.max_iter - start.n_epochs, 0)) as context:
            attributes = functools.partial(self._attributes, program, corpus.coder)
            run = self._run(context, job, start, attributes, seen, self.history_ if goes_on else {})
            vars(self).update(attributes(run.state, run.history))
        return self

    def _corpus(self, rows, weights, goes_on):
        """Return the distinct documents as tokens."""
        if goes_on and (rows.kind == "texts") != (self.coder_.kind == "texts"):
            raise self._refusal(f"{rows.kind}; the last fit was of {self.coder_.kind}")
        index, merged = distinct_documents(rows, weights)
        known = rows.take(index)
        coder = self.coder_ if goes_on else learn_coder(known, self.tokenizer)
        sequences = coder.read(known)
        if not any(map(len, sequences)):
            raise ValueError("All documents in X are empty; there is nothing to learn from.")
        as_given = rows.kind != "texts" and self.tokenizer is not None
        return Corpus(coder, sequences, merged, rows.values.dtype if as_given else np.dtype(np.float32))

    def _refusal(self, asked):
        """Return the error that says why a fit cannot go on."""
        return ValueError(
            f"{type(self).__name__} cannot go on: its parameters and X ask for {asked}. Set warm_start=False, or fit a "
            "clone."
        )

    def _beginning(self, corpus, goes_on, again):
        """Return a program, and the state to train it from."""
        length, rows = self._window(corpus)
        network = self._network(corpus.coder, rows)
        if goes_on:
            return self._last(network, length, again)
        dtype = np.dtype(self.dtype or corpus.dtype)
        sizes = sum(math.prod(spec.shape) for spec in network.specs((2, length)))
        batch = rows * length * (corpus.coder.n_tokens + 16 * self._width())
        require_memory(dtype.itemsize * (4 * sizes + batch), f"{type(self).__name__} with batches of {rows} windows")
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        with _kernels.blas_threads(1):
            program = Program(network, (2, length), dtype, seed)
        return program, start_training(program, self._optimizer(), seed)

    def _last(self, network, length, again):
        """Return the last fit's program, and where its training stands, if the parameters still ask for them."""
        if asked := self._disagreement(network):
            raise self._refusal(asked)
        last = self.reader_.program
        start = self.training_.again() if again else self.training_
        program = Program(network, (2, length), last.dtype)
        if program.states.count != len(start.states):
            start = replace(start, states=program.states.flat.copy())
        return program, start

    def _disagreement(self, network=None):
        """Return what the parameters ask for, which is a network if given, that the fitted model is not, or None."""
        last = self.reader_.program
        network = self._network(self.coder_, 1) if network is None else network
        if _what_learns(network) != _what_learns(last.network):
            return "another network than the last fit's"
        if self.dtype not in (None, last.dtype.name):
            return f"dtype={self.dtype!r}; the last fit computed in {last.dtype}"
        return None

    def _window(self, corpus):
        """Return how many moments a window has, and how many windows a batch."""
        lengths = np.array([len(ids) + 1 for ids in corpus.sequences])
        if self.batching == "pad":
            length = min(self._most(), int(lengths.max()))
            n = int((-(-lengths // length)).sum())
        else:
            length = min(self._most(), int(lengths.sum()))
            n = -(-int(lengths.sum()) // length)
        rows = min(max(n // 16, 8), 32) if self.batch_size == "auto" else self.batch_size
        return length, min(rows, n)

    def _optimizer(self):
        kind = AdamW if self.weight_decay else Adam
        return kind(self.learning_rate_init, weight_decay=self.weight_decay, largest_norm=self.gradient_clip)

    def _plan(self, start):
        """Return how to train."""
        stops = self.early_stopping
        return Plan(
            TokenLoss(),
            self._optimizer(),
            schedule(self.learning_rate),
            max_iter=self.max_iter,
            max_steps=self.max_steps,
            monitor="validation_loss" if stops else "loss",
            patience=self.n_iter_no_change if stops else None,
            tol=self.tol,
            restore_best=stops,
            n_threads=self._threads(),
        )

    def _one_epoch(self, start):
        fixed = {"schedule": constant, "max_steps": None, "monitor": "loss", "patience": None, "restore_best": False}
        return replace(self._plan(start), max_iter=start.n_epochs + 1, **fixed)

    def _threads(self):
        return _kernels.n_threads() if self.n_jobs is None else _kernels.threads_of(self.n_jobs)

    def _worth(self, work):
        """Return how many threads so many multiply-adds are worth; no result depends on it."""
        return self._threads() if work >= WORTH else 1

    def _job(self, program, plan, corpus, start):
        """Return what to train, with documents set aside if the plan looks at them."""
        length, rows = program.shape[1], self._window(corpus)[1]
        work = rows * program.network.cost(program.shape)
        plan = replace(plan, batch_size=rows, n_threads=self._worth(work))
        validation = None
        if plan.patience is not None:
            kept, aside = split_rows(len(corpus.sequences), self.validation_fraction, start.seed)
            validation = self._data(corpus.take(aside), length, rows)
            corpus = corpus.take(kept)
        return Job(program, self._data(corpus, length, rows), plan, validation)

    def _data(self, corpus, length, rows):
        coder = corpus.coder
        stream = stream_of(corpus.sequences, corpus.weights, coder.start, coder.end, corpus.shares)
        windows, arrange = self._windows(stream, length, rows)
        return replace(training_data(windows), arrange=arrange)

    def _run(self, context, job, start, attributes, seen, history):
        if training_outcome(start, job.plan) is not None:
            return Run(start, history, None)
        steps = training_steps(job, start)
        with _kernels.blas_threads(1):
            return run_steps(self, context, steps, task="epoch", attributes=attributes, history=history, **seen)

    def _attributes(self, program, coder, state, history):
        parameters, _ = state.model()
        return {
            "coder_": coder,
            "history_": history,
            "n_iter_": state.n_iter,
            "n_parameters_": program.parameters.count,
            "n_steps_": state.n_steps,
            "reader_": self._reader(program, parameters),
            "tokenizer_": coder.tokenizer,
            "training_": state,
            "vocabulary_": coder.vocabulary(),
        }

    # ---------------------------------------------------------------------------------------------- documents

    def _read(self, X):
        """Return what a fitted model is asked about: documents, and their tokens."""
        check_is_fitted(self)
        rows = read_rows(self, X, reset=False)
        return rows, self.coder_.read(rows)

    def _asked(self, X):
        """Return what functions of the core are given to answer about X."""
        _, sequences = self._read(X)
        return self.reader_, sequences, self.coder_

    def _log_probabilities(self, sequences):
        with _kernels.blas_threads(1):
            return token_log_probabilities(self.reader_, sequences, self.coder_, self._threads())

    def score_samples(self, X):
        """Return the logarithm of each document's probability.

        Parameters
        ----------
        X : iterable of str, or array-like of shape (n_documents, n_columns)
            Documents, as for :meth:`fit`.

        Returns
        -------
        log_p : ndarray of shape (n_documents,), float64
            The sum of ln p(w_t | w_1 .. w_{t-1}) over its tokens and its end.
        """
        _, sequences = self._read(X)
        return np.array([one.sum() for one in self._log_probabilities(sequences)])

    def score(self, X, y=None, sample_weight=None):
        """Return the mean log-likelihood per token; higher is better.

        Parameters
        ----------
        X : iterable of str, or array-like of shape (n_documents, n_columns)
            Documents, as for :meth:`fit`.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_documents,), default=None
            Non-negative weights of the documents.

        Returns
        -------
        score : float
            In nats, the ends of documents counted as tokens.
        """
        rows, sequences = self._read(X)
        weights = validate_weights(sample_weight, np.empty((len(rows), 1)))
        weights = np.ones(len(rows)) if weights is None else weights
        found = self._log_probabilities(sequences)
        sums, counts = np.array([(one.sum(), len(one)) for one in found]).T
        return float((weights * sums).sum() / (weights * counts).sum())

    def perplexity(self, X, sample_weight=None):
        """Return exp(-score): among how many equally probable tokens the model has to choose, so to speak.

        Parameters
        ----------
        X : iterable of str, or array-like of shape (n_documents, n_columns)
            Documents, as for :meth:`fit`.
        sample_weight : array-like of shape (n_documents,), default=None
            Non-negative weights of the documents.

        Returns
        -------
        perplexity : float
            At least 1, and 1 is best; infinite where float64 has no such number.
        """
        with np.errstate(over="ignore"):
            return float(np.exp(-self.score(X, sample_weight=sample_weight)))

    def bits_per_character(self, X):
        """Return how many bits it takes to write the documents with this model, per character.

        Parameters
        ----------
        X : iterable of str, or array-like of shape (n_documents, n_columns)
            Documents, as for :meth:`fit`.

        Returns
        -------
        bits : float
            Whatever the tokens are, figures can be compared. Of rows of numbers, bits per number.

        Raises
        ------
        ValueError
            If all documents are empty.
        """
        rows, sequences = self._read(X)
        total = int(self.coder_.sizes(rows).sum())
        if not total:
            raise ValueError("All documents in X are empty: there are no characters.")
        return float(-sum(one.sum() for one in self._log_probabilities(sequences)) / math.log(2) / total)

    def surprisal(self, X):
        """Return how surprising each token is: -ln p(w_t | w_1 .. w_{t-1}).

        Parameters
        ----------
        X : iterable of str, or array-like of shape (n_documents, n_columns)
            Documents, as for :meth:`fit`.

        Returns
        -------
        surprisal : list of ndarray of shape (n_tokens + 1,), float64
            In nats, for each token that ``tokenizer_.transform(X)`` gives, and last for the document's end.
        """
        return [-one for one in self._log_probabilities(self._read(X)[1])]

    def predict_proba(self, X):
        """Return the probabilities of the tokens that may follow.

        Parameters
        ----------
        X : iterable of str, or array-like of shape (n_documents, n_columns)
            Documents, as for :meth:`fit`.

        Returns
        -------
        p : ndarray of shape (n_documents, n_tokens)
            In the order of `vocabulary_`, and in the type of the network.
        """
        asked = self._asked(X)
        with _kernels.blas_threads(1):
            return next_probabilities(*asked, self._threads())

    def predict(self, X):
        """Return the most probable next token.

        Parameters
        ----------
        X : iterable of str, or array-like of shape (n_documents, n_columns)
            Documents, as for :meth:`fit`.

        Returns
        -------
        tokens : ndarray of shape (n_documents,), int64
            Their numbers in `vocabulary_`.
        """
        return self.predict_proba(X).argmax(axis=1)

    def transform(self, X):
        """Return a vector for each document.

        Parameters
        ----------
        X : iterable of str, or array-like of shape (n_documents, n_columns)
            Documents, as for :meth:`fit`.

        Returns
        -------
        vectors : ndarray of shape (n_documents, n_features_out)
            The last layer's states, put together as `pooling` says; in the type of the network.
        """
        asked = self._asked(X)
        with _kernels.blas_threads(1):
            return pooled_states(*asked, self.pooling, self._threads())

    def generate(
        self,
        prompts="",
        max_new_tokens=100,
        *,
        strategy="greedy",
        temperature=1.0,
        top_k=None,
        top_p=1.0,
        n_beams=4,
        length_penalty=1.0,
        repetition_penalty=1.0,
        stop=None,
        n_samples=1,
        random_state=None,
        stream=False,
        use_cache=True,
    ):
        """Go on writing.

        Parameters
        ----------
        prompts : str, iterable of str, or array-like of shape (n_prompts, n_columns), default=""
            How documents begin; rows of numbers may be of any length.
        max_new_tokens : int, default=100
            The most tokens that follow; a text may end before.
        strategy : {"greedy", "sample", "beam"}, default="greedy"
            Whether the next token is the most probable one, is drawn, or the text is sought that is most probable as a
            whole.
        temperature : float, default=1.0
            What logits are divided by before a draw: below 1 the probable becomes more so.
        top_k : int or None, default=None
            How many of the most probable tokens may be drawn.
        top_p : float, default=1.0
            The most probable tokens that together have this probability may be drawn.
        n_beams : int, default=4
            How many texts beam search follows.
        length_penalty : float, default=1.0
            The power of the length that log-probabilities are divided by in beam search; 0 compares them as they are.
        repetition_penalty : float, default=1.0
            Above 1, tokens that are there already become less probable.
        stop : str, sequence of str or None, default=None
            Where to stop; it isn't written itself.
        n_samples : int, default=1
            Texts for each prompt: draws, or the best that beam search finds.
        random_state : int, RandomState instance or None, default=None
            What draws depend on; None means that of the estimator. Nothing depends on the other prompts.
        stream : bool, default=False
            Whether to return a generator of what is new after each token.
        use_cache : bool, default=True
            Whether what was read is kept; without, all is read again for each token, and the same is written.

        Returns
        -------
        texts : str, list of str or list of list of str
            What follows each prompt, without it: one for a single prompt, and a list for each if `n_samples` is above
            1. Of rows of numbers, arrays. With `stream`, a generator of pieces of such texts, which in order are the
            whole.

        Raises
        ------
        ValueError
            If a parameter makes no sense, or the prompts are no documents of the model's kind.
        """
        check_is_fitted(self)
        _check_flags(use_cache=use_cache, stream=stream)
        settings = Settings(
            max_new_tokens, strategy, temperature, top_k, top_p, n_beams, length_penalty, repetition_penalty,
            as_stops(stop, self.coder_.kind), n_samples,
        )  # fmt: skip
        asked = self.random_state if random_state is None else random_state
        seed = int(check_random_state(asked).randint(2**31 - 1))
        request = Request(self.reader_, self.coder_, settings, seed, use_cache, self._threads())
        return (stream_texts if stream else written_texts)(request, prompts)

    def summary(self):
        """Return the table of layers, output shapes, parameters and multiply-adds.

        Returns
        -------
        table : str
            A line for each layer, and one for the sum.
        """
        check_is_fitted(self)
        program = self.reader_.program
        *rows, whole = network_table(program.network, program.shape)
        # what belongs to no layer inside: embeddings, and what makes logits
        n = program.parameters.count - sum(row.n_parameters for row in rows)
        cost = program.network.cost(program.shape) - sum(row.cost for row in rows)
        return format_table([*rows, replace(whole, n_parameters=n, cost=cost)])

    @property
    def _n_features_out(self):
        return self.reader_.width

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _check_tuning(layers, learning_rate, max_iter, rank):
    if layers not in LAYERS:
        raise ValueError(f"layers must be one of {', '.join(map(repr, LAYERS))}, got {layers!r}.")
    for name, value in (("max_iter", max_iter), ("rank", rank)):
        whole = isinstance(value, Integral) and not isinstance(value, bool) and value >= 1
        if not whole and not (name == "max_iter" and value is None):
            raise ValueError(f"{name} must be an integer of at least 1, got {value!r}.")
    if learning_rate is not None and not (isinstance(learning_rate, Real) and 0 < learning_rate < math.inf):
        raise ValueError(f"learning_rate must be a number above 0 or None, got {learning_rate!r}.")


def _check_flags(**flags):
    for name, value in flags.items():
        if not isinstance(value, (bool, np.bool_)):
            raise ValueError(f"{name} must be True or False, got {value!r}.")


def _what_learns(network):
    """Return a network without what its arrays do not depend on: dropout, and rows whose states it carries on."""
    others = {name: 0 for name in ("carry", "dropout") if hasattr(network, name)}
    if hasattr(network, "blocks"):
        others["blocks"] = tuple(replace(block, dropout=0) for block in network.blocks)
    return replace(network, **others)
