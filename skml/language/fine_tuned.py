"""A language model with a classification head."""

import copy
import functools
import math
from dataclasses import dataclass
from numbers import Integral

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_random_state

from skml import _kernels
from skml._labels import Labels, class_weighted, weights_of_classes
from skml._sklearn import Interval, StrOptions
from skml.base import fit_task, fitting, require_memory, run_steps
from skml.language.base import POSITIVE, TRAINING_CONSTRAINTS, WORTH, BaseLanguageModel
from skml.language.classification_head import (
    POOLINGS,
    PooledClassifier,
    SharedCrossEntropy,
    body_of,
    head_optimizer,
    pooled_samples,
)
from skml.language.classifying import BaseDocumentClassifier, is_fitted
from skml.language.documents import distinct_documents
from skml.language.fine_tuning import LAYERS
from skml.language.rnn import RNNLanguageModel
from skml.language.scoring import pooled_states
from skml.network.layers import Linear
from skml.network.optimizers import Adam, AdamW
from skml.network.program import Program
from skml.network.schedules import schedule
from skml.network.training import Data, Job, Plan, split_rows, start_training, training_steps

_OF_TRAINING = (
    "batch_size", "learning_rate_init", "learning_rate", "max_iter", "max_steps", "weight_decay", "gradient_clip",
    "early_stopping", "validation_fraction", "n_iter_no_change", "tol", "random_state", "n_jobs",
)  # fmt: skip


class FineTunedClassifier(BaseDocumentClassifier):
    r"""A language model with a classification head, fine-tuned on labelled documents.

    The states of the language model's last layer over a document are pooled, a product with a matrix makes logits of
    classes of them, and both learn from the weighted cross-entropy [1]_:

    .. math:: p(\cdot \mid w_1, \ldots, w_m) = \operatorname{softmax}\Big(W^\top \sum_t a_t h_t + b\Big).

    Parameters
    ----------
    language_model : RNNLanguageModel, TransformerLanguageModel, FrozenEstimator or None, default=None
        A fitted one is where training begins, also in clones, and stays itself as it is; its parameters cannot be
        searched, but for its `learning_rate_init`, and `stride`. Of one that isn't fitted a clone is fitted on the
        documents first, without their classes. None is a small recurrent network with byte-pair encoding, or bins for
        rows of numbers.
    layers : {"all", "last", "head", "lora"}, default="all"
        What learns beside the new head: all of the language model; its last layer; nothing; or the matrices of all
        layers, by a product of two matrices of rank `rank` [2]_.
    rank : int, default=8
        Of the change with "lora".
    pooling : {"last", "mean", "auto"}, default="auto"
        Whether the last state counts, or the mean of all; "auto" is the mean for texts, and the last for rows of
        numbers, in which each place has a meaning of its own.
    max_length : int or None, default=256
        The most tokens of a document that are read, from its beginning; None reads all. A transformer reads no more
        than its context.
    class_weight : dict, "balanced" or None, default=None
        What weights of documents are multiplied with, by class; "balanced" gives each class the same sum.
    batch_size : int or "auto", default="auto"
        Documents of a batch; "auto" is a 16th of them, but at least 8 and at most 32.
    learning_rate_init : float or None, default=None
        The rate that the schedule starts from; None means that of the language model. A large one that has seen much
        text wants less, such as 1e-4.
    learning_rate : {"constant", "step", "cosine", "one_cycle"} or callable, default="constant"
        The schedule; a function gets (step, total) and gives a factor.
    max_iter : int, default=10
        The most epochs.
    max_steps : int or None, default=None
        The most steps of the optimizer; whichever comes first ends the fit.
    weight_decay : float, default=0.0
        What times the rate is taken away from weights in each step (AdamW), if not 0.
    gradient_clip : float or None, default=1.0
        The largest norm of a gradient; longer ones are scaled down.
    early_stopping : bool, default=False
        Whether to stop when documents that are set aside are told no better, and to keep the best epoch.
    validation_fraction : float, default=0.1
        The share of documents that `early_stopping` sets aside.
    n_iter_no_change : int, default=5
        Epochs in a row without an improvement, of the loss on the documents set aside or else on all, after which the
        fit ends.
    tol : float, default=1e-4
        What counts as an improvement.
    random_state : int, RandomState instance or None, default=None
        For the head's initial weights, the order of documents and what is set aside, and for a language model that has
        none of its own.
    n_jobs : int or None, default=None
        Threads; None means all that are allowed, -1 all processors. It changes no result.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes, ascending.
    coder_ : Coder
        How documents are read.
    coef_ : ndarray of shape (n_states, n_classes)
        W, the head.
    intercept_ : ndarray of shape (n_classes,)
        b.
    history_ : dict of str to list of float
        For each epoch "loss" and "learning_rate", and "validation_loss" and "validation_score" (the share of documents
        told right) with `early_stopping`.
    language_model_ : RNNLanguageModel or TransformerLanguageModel
        What the states are those of, fine-tuned.
    n_features_in_ : int
        Columns of X, if its rows were numbers.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of columns, if X had names that are all strings.
    n_iter_ : int
        Epochs begun.
    n_steps_ : int
        Steps of the optimizer.

    See Also
    --------
    FewShotClassifier : Changes what the language model reads in place of its weights.

    Notes
    -----
    Equal documents of a class count as one with the sum of their weights, and their order never matters. The mean is
    over all states, that of the token which begins documents included, so that an empty document has one.

    References
    ----------
    .. [1] A. Radford et al. (2018). Improving language understanding by generative pre-training.
    .. [2] E. J. Hu et al. (2022). LoRA: low-rank adaptation of large language models. ICLR.

    Examples
    --------
    >>> from skml import FineTunedClassifier, RNNLanguageModel
    >>> X = ["so good", "very good", "so bad", "very bad", "good", "bad"]
    >>> y = ["+", "+", "-", "-", "+", "-"]
    >>> model = FineTunedClassifier(RNNLanguageModel(), random_state=0).fit(X, y)
    >>> model.predict(["not so bad", "really good"])
    array(['-', '+'], dtype='<U1')
    """

    _parameter_constraints = {
        "language_model": [BaseLanguageModel, FrozenEstimator, None],
        "layers": [StrOptions(set(LAYERS))],
        "rank": [POSITIVE],
        "pooling": [StrOptions({*POOLINGS, "auto"})],
        "max_length": [Interval(Integral, 1, None, closed="left"), None],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        **{name: TRAINING_CONSTRAINTS[name] for name in _OF_TRAINING},
        "learning_rate_init": [*TRAINING_CONSTRAINTS["learning_rate_init"], None],
    }

    _live = (*BaseDocumentClassifier._live, "learning_rate_init", "stride")

    def __init__(
        self,
        language_model=None,
        *,
        layers="all",
        rank=8,
        pooling="auto",
        max_length=256,
        class_weight=None,
        batch_size="auto",
        learning_rate_init=None,
        learning_rate="constant",
        max_iter=10,
        max_steps=None,
        weight_decay=0.0,
        gradient_clip=1.0,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=5,
        tol=1e-4,
        random_state=None,
        n_jobs=None,
    ):
        self.language_model = language_model
        self.layers = layers
        self.rank = rank
        self.pooling = pooling
        self.max_length = max_length
        self.class_weight = class_weight
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
        self.random_state = random_state
        self.n_jobs = n_jobs

    @fitting
    def fit(self, X, y, sample_weight=None):
        """Learn from labelled documents.

        Parameters
        ----------
        X : iterable of str, or array-like of shape (n_documents, n_columns)
            Texts; or rows of integers or numbers.
        y : array-like of shape (n_documents,)
            Their classes.
        sample_weight : array-like of shape (n_documents,), default=None
            Non-negative weights; weight k equals k copies of the document.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If there are no documents or fewer than two classes, or the language model does not read such documents.
        TypeError
            If an element of a list of texts is no string.
        """
        rows, classes, codes, weights = self._validated(X, y, sample_weight)
        index, merged = distinct_documents(rows, weights, codes)
        labels = Labels(classes, codes[index], multilabel=False)
        of_class = weights_of_classes(self.class_weight, labels, merged)
        seen = {"X": rows.values if rows.kind == "texts" else X, "y": y, "sample_weight": weights}
        with fit_task(self, **seen, max_subtasks=self.max_iter) as context:
            model = self._model(rows.take(index), merged)
            tuning = self._tuning(model, rows.take(index), labels.y, class_weighted(of_class, labels.y, merged))
            attributes = functools.partial(self._attributes, tuning, classes)
            with _kernels.blas_threads(1):
                steps = training_steps(tuning.job, tuning.start)
                run = run_steps(self, context, steps, task="epoch", attributes=attributes, **seen)
            vars(self).update(attributes(run.state, run.history))
        return self

    def _model(self, rows, weights):
        """Return a fitted language model that reads such documents."""
        model = self._given(_SMALL[rows.kind == "texts"])
        if not is_fitted(model):
            return model.fit(rows.values, sample_weight=weights)
        if (rows.kind == "texts") != (model.coder_.kind == "texts"):
            raise ValueError(f"The language model was fitted on {model.coder_.kind}, but X holds {rows.kind}.")
        return model

    def _tuning(self, model, rows, codes, weights):
        """Return what is trained: the language model and a head, or where only the head learns, that alone."""
        sequences = self._cut(model, model.coder_.read(rows))
        reader, K = model.reader_, int(codes.max()) + 1
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        dtype = reader.program.dtype
        if self.layers == "head":
            samples, network = self._pooled(model, sequences), Linear(K)
        else:
            T = 1 + max(map(len, sequences))
            network = PooledClassifier(body_of(reader.program.network), K)
            size = sum(math.prod(spec.shape) for spec in network.specs((3, T)))
            require_memory(
                dtype.itemsize * (4 * size + T * (3 * len(sequences) + 32 * reader.width * self._batch(len(codes)))),
                f"{type(self).__name__} with documents of {T} tokens",
            )
            samples = pooled_samples(sequences, model.coder_, self._pooling(model), T, dtype)
        program = Program(network, samples.shape[1:], dtype, seed)
        n_body = program.parameters.count - (reader.width + 1) * K
        program.parameters.flat[:n_body] = reader.program.parameters.flat[:n_body]
        optimizer = self._optimizer(model, program, seed)
        start = start_training(program, optimizer, seed)
        return Tuning(model, n_body, self._job(program, optimizer, (samples, codes, weights), seed), start)

    def _optimizer(self, model, program, seed):
        kind = AdamW if self.weight_decay else Adam
        rate = model.learning_rate_init if self.learning_rate_init is None else self.learning_rate_init
        optimizer = kind(rate, weight_decay=self.weight_decay, largest_norm=self.gradient_clip)
        if self.layers in ("all", "head"):
            return optimizer
        changes = functools.partial(model._may_change, layers=self.layers)
        rank = self.rank if self.layers == "lora" else None
        return head_optimizer(optimizer, program.parameters, changes, rank, seed)

    def _batch(self, n):
        return min(min(max(n // 16, 8), 32) if self.batch_size == "auto" else self.batch_size, n)

    def _job(self, program, optimizer, data, seed):
        """Return what to train, with documents set aside if they tell when to stop."""
        samples, codes, weights = data
        B, stops = self._batch(len(codes)), self.early_stopping
        worth = B * program.network.cost(program.shape) >= WORTH
        plan = Plan(
            SharedCrossEntropy(mean_weight=float(weights.mean())),
            optimizer,
            schedule(self.learning_rate),
            B,
            self.max_iter,
            self.max_steps,
            monitor="validation_loss" if stops else "loss",
            patience=self.n_iter_no_change,
            tol=self.tol,
            restore_best=stops,
            n_threads=self._threads() if worth else 1,
        )
        data = Data(samples, codes.astype(np.int32), weights)
        if not stops:
            return Job(program, data, plan)
        kept, aside = split_rows(len(codes), self.validation_fraction, seed, codes)
        taken = (Data(data.X[some], data.y[some], data.weights[some]) for some in (kept, aside))
        return Job(program, next(taken), plan, next(taken))

    def _attributes(self, tuning, classes, state, history):
        model, (parameters, _) = copy.copy(tuning.model), state.model()
        program, K = model.reader_.program, len(classes)
        whole = program.parameters.flat.copy()  # what makes logits of tokens stays as it is
        whole[: tuning.n_body] = parameters[: tuning.n_body]
        model.reader_ = model._reader(program, whole)
        head = parameters[tuning.n_body :]
        return {
            "classes_": classes,
            "coder_": model.coder_,
            "coef_": head[:-K].reshape(-1, K).copy(),
            "history_": history,
            "intercept_": head[-K:].copy(),
            "language_model_": model,
            "n_iter_": state.n_iter,
            "n_steps_": state.n_steps,
        }

    # ------------------------------------------------------------------------------------------------ documents

    def _cut(self, model, sequences):
        """Return the first tokens of documents, as many as are read."""
        most = [self.max_length, getattr(model.reader_, "length", None)]
        most = min([n - (i == 1) for i, n in enumerate(most) if n is not None], default=None)  # the start is read too
        return [ids[:most] for ids in sequences]

    def _pooling(self, model):
        if self.pooling != "auto":
            return self.pooling
        return "mean" if model.coder_.kind == "texts" else "last"

    def _pooled(self, model, sequences):
        with _kernels.blas_threads(1):
            return pooled_states(model.reader_, sequences, model.coder_, self._pooling(model), self._threads())

    def _logs(self, rows):
        model = self.language_model_
        pooled = self._pooled(model, self._cut(model, self.coder_.read(rows))).astype(np.float64)
        return np.einsum("ij,jk->ik", pooled, self.coef_.astype(np.float64)) + self.intercept_

    def decision_function(self, X):
        """Return the logits of classes; of two classes how much larger the second's is.

        Parameters
        ----------
        X : iterable of str, or array-like of shape (n_documents, n_columns)
            Documents, as for :meth:`fit`.

        Returns
        -------
        z : ndarray of shape (n_documents, n_classes), or (n_documents,) of two classes
            In the type of the network.
        """
        z = self._log_p(X)
        return (z[:, 1] - z[:, 0] if len(self.classes_) == 2 else z).astype(self._dtype)


@dataclass(frozen=True)
class Tuning:
    """A training that begins.

    Attributes
    ----------
    model : BaseLanguageModel
        Fitted.
    n_body : int
        How many of its parameters are trained along.
    job : Job
        What is trained.
    start : Training
        From where.
    """

    model: object
    n_body: int
    job: object
    start: object


# What is fitted where no language model is given: for rows of numbers, and for texts.
_SMALL = tuple(
    functools.partial(
        RNNLanguageModel, hidden_size=size, tokenizer="bpe", dropout=0.2, learning_rate_init=0.02, max_iter=5
    )
    for size in (32, 64)
)
