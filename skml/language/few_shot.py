"""In-context learning as a classifier."""

import functools
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
import scipy.sparse as sp
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from skml import _kernels
from skml._sklearn import Interval, StrOptions
from skml.base import fit_task, fitting, warn_caller
from skml.language.answering import answer_log_probabilities, batch_bias, calibrated, content_free
from skml.language.base import BaseLanguageModel, Corpus
from skml.language.classifying import BaseDocumentClassifier, Examples, is_fitted
from skml.language.documents import Coder, Rows, distinct_documents, learn_coder, read_rows
from skml.language.prompts import (
    Prompter,
    episodes,
    first_of_each,
    most_similar,
    parse_template,
    random_of_each,
    word_vectors,
)
from skml.language.rnn import RNNLanguageModel
from skml.language.texts import check_documents

CONTENT_FREE = ("N/A", "", "[MASK]")
# Documents over which probabilities are averaged for calibration="batch".
_BATCH = 64


@dataclass(frozen=True)
class Shots:
    """Examples that prompts may hold.

    Attributes
    ----------
    tokens : list of ndarray of shape (n,), int32
        Of each example, its label included, in the order in which they are read.
    n : int
        How many are chosen.
    words : tuple of ndarray or None, default=None
        Numbers, columns and beginnings of the rows of a sparse matrix, by which the most similar are chosen; None means
        that all are read, whatever the document.
    idf : ndarray of shape (n_words,) or None, default=None
        How rare tokens are.
    """

    tokens: list
    n: int
    words: tuple | None = None
    idf: np.ndarray | None = None

    def vectors(self):
        """Return the vectors of examples, a csr_array of shape (n_examples, n_words)."""
        return sp.csr_array(self.words, shape=(len(self.tokens), len(self.idf)))


class FewShotClassifier(BaseDocumentClassifier):
    r"""In-context learning as a classifier: a language model reads some examples and a document, and tells its label.

    Examples of each class are written one after the other as `template` says, then the document, and the language model
    says how probable each label is as what comes next [1]_. Of all texts that it could write, only labels are compared:

    .. math:: p(k) \propto \prod_j p(l_{kj} \mid \text{prompt}, l_{k1}, \ldots, l_{k,j-1}),

    with the tokens :math:`l_{k1}, l_{k2}, \ldots` of the label of class k. Labels that a language model likes whatever
    the document are held back by calibration [2]_. What prompts have in common at their beginnings is read once, for
    all labels and documents.

    Parameters
    ----------
    language_model : RNNLanguageModel, TransformerLanguageModel, FrozenEstimator or None, default=None
        A fitted one of texts is used as it is, also in clones, and stays as it is; its parameters cannot be searched.
        Of one that isn't fitted a clone is trained on the examples, each written as `template` says with its label, so
        that it learns to tell labels [3]_. None is a small recurrent network with byte-pair encoding, trained likewise;
        where documents are rows of numbers or integers, each class has a token of its own.
    template : str, default="{text}\n{label}\n\n"
        How an example is written; ``{text}`` and ``{label}`` must be in it once each, and a brace is written twice. If
        the label comes first, the probability of the text after it counts as well (a noisy channel [4]_). Rows of
        numbers need no template.
    labels : dict, array-like of str or None, default=None
        What to write for each class, as ``{class: text}`` or in the order of the classes; None is ``str(class)``.
    n_shots : int or "auto", default="auto"
        Examples of each class in a prompt; "auto" is 2 for a language model that was fitted before, and 0 for one that
        has been trained on all of them here.
    selection : {"first", "random", "similar"}, default="first"
        Which examples: those of the largest weight, by turns of the classes, and of equal ones the first in an order
        that content alone decides; random ones; or for each document those, of whatever classes, that share most rare
        tokens with it (the largest cosine of tf-idf vectors), the most similar last [5]_.
    calibration : bool, "contextual" or "batch", default=True
        What probabilities are divided by: those that the same prompt gives for inputs without content ("contextual"
        [2]_), or the mean of those of other documents of the fit, over the shares of their classes ("batch" [6]_). True
        is "contextual" for a language model that was fitted before, and "batch" for one that is trained here, to which
        inputs without content mean nothing; to rows of numbers it is nothing but "batch".
    content_free : array-like of str, default=('N/A', '', '[MASK]')
        Inputs without content.
    length_normalization : bool, default=False
        Whether the mean logarithm per token counts in place of the sum, which is against long labels.
    text_weight : float, default=0.1
        What a token that isn't a label's counts when a language model is trained here, where one of a label counts 1.
    use_cache : bool, default=True
        Whether what was read is kept; without, all is read again for each token, and the same is said.
    random_state : int, RandomState instance or None, default=None
        For random examples, and for a language model that has none of its own.
    n_jobs : int or None, default=None
        Threads for reading; None means all that are allowed, -1 all processors. It changes no result.

    Attributes
    ----------
    calibration_ : ndarray of shape (n_classes,) or None
        The logarithms of what probabilities are divided by; None if there is nothing, or if it depends on the document.
    classes_ : ndarray of shape (n_classes,)
        The classes, ascending.
    coder_ : Coder
        How documents are read.
    language_model_ : RNNLanguageModel or TransformerLanguageModel
        What was given, or trained here. One that was trained for rows of numbers reads tokens.
    n_features_in_ : int
        Columns of X, if its rows were numbers.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of columns, if X had names that are all strings.
    prompter_ : Prompter
        What makes prompts of tokens.
    shots_ : list of (document, class)
        The examples that prompts hold, or with ``selection="similar"`` those they may hold.

    See Also
    --------
    FineTunedClassifier : Changes the language model's weights in place of its prompt.

    Notes
    -----
    Equal documents of a class count as one with the sum of their weights, and their order never matters. Where a prompt
    is longer than a transformer's context, its first examples are left out, and if need be the document's first tokens.
    Where one label begins another, the token that follows a label is scored as well. A search may be given a fitted
    language model as it is: clones keep it.

    References
    ----------
    .. [1] T. B. Brown et al. (2020). Language models are few-shot learners. NeurIPS.
    .. [2] T. Z. Zhao et al. (2021). Calibrate before use: improving few-shot performance of language models. ICML.
    .. [3] J. Wei et al. (2022). Finetuned language models are zero-shot learners. ICLR.
    .. [4] S. Min et al. (2022). Noisy channel language model prompting for few-shot text classification. ACL.
    .. [5] J. Liu et al. (2022). What makes good in-context examples for GPT-3? DeeLIO.
    .. [6] H. Zhou et al. (2024). Batch calibration: rethinking calibration for in-context learning. ICLR.

    Examples
    --------
    >>> from skml import FewShotClassifier, RNNLanguageModel
    >>> X = ["so good", "very good", "so bad", "very bad", "good", "bad"]
    >>> y = ["+", "+", "-", "-", "+", "-"]
    >>> model = FewShotClassifier(RNNLanguageModel(max_iter=60), random_state=0).fit(X, y)
    >>> model.predict(["not so bad", "really good"])
    array(['-', '+'], dtype='<U1')
    >>> FewShotClassifier(n_shots=1, template="{text}: {label}. ", random_state=0).fit(X, y).prompts(["fine"])[0][-6:]
    'fine: '
    """

    _parameter_constraints = {
        "language_model": [BaseLanguageModel, FrozenEstimator, None],
        "template": [str],
        "labels": [dict, "array-like", None],
        "n_shots": [Interval(Integral, 0, None, closed="left"), StrOptions({"auto"})],
        "selection": [StrOptions({"first", "random", "similar"})],
        "calibration": ["boolean", StrOptions({"contextual", "batch"})],
        "content_free": ["array-like"],
        "length_normalization": ["boolean"],
        "text_weight": [Interval(Real, 0, None, closed="left")],
        "use_cache": ["boolean"],
        "random_state": ["random_state"],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        language_model=None,
        *,
        template="{text}\n{label}\n\n",
        labels=None,
        n_shots="auto",
        selection="first",
        calibration=True,
        content_free=CONTENT_FREE,
        length_normalization=False,
        text_weight=0.1,
        use_cache=True,
        random_state=None,
        n_jobs=None,
    ):
        self.language_model = language_model
        self.template = template
        self.labels = labels
        self.n_shots = n_shots
        self.selection = selection
        self.calibration = calibration
        self.content_free = content_free
        self.length_normalization = length_normalization
        self.text_weight = text_weight
        self.use_cache = use_cache
        self.random_state = random_state
        self.n_jobs = n_jobs

    @fitting
    def fit(self, X, y, sample_weight=None):
        """Keep examples of each class, and train the language model if it isn't yet.

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
            If there are no documents or fewer than two classes, the template or the labels are unusable, or the
            language model does not read such documents.
        TypeError
            If an element of a list of texts is no string.
        """
        rows, classes, codes, weights = self._validated(X, y, sample_weight)
        index, merged = distinct_documents(rows, weights, codes)
        examples = Examples(rows.take(index), codes[index], merged, classes)
        given = rows.values if rows.kind == "texts" else X
        with fit_task(self, X=given, y=y, sample_weight=weights):
            self._learn(examples)
        return self

    def _learn(self, examples):
        model = self._given(_SMALL[examples.rows.kind == "texts"])
        way = (_of_texts if examples.rows.kind == "texts" else _of_numbers)(self, model, examples)
        sequences = way.coder.read(examples.rows)
        if not is_fitted(model):
            model = self._trained(model, way, examples, sequences)
        fitted = {"classes_": examples.classes, "coder_": way.coder, "language_model_": model}
        vars(self).update(fitted, prompter_=way.prompter, calibration_=None)
        with _kernels.blas_threads(1):
            chosen, self._shots = self._choose(examples, sequences)
            self.shots_ = [(document(examples.rows, i), examples.classes[examples.codes[i]]) for i in chosen]
            self.calibration_ = self._calibration(examples, sequences, chosen)

    def _n_shots(self, trained_here):
        return self.n_shots if self.n_shots != "auto" else 0 if trained_here else 2

    def _trained(self, model, way, examples, sequences):
        """Return the language model, trained on examples as prompts have them."""
        n = self._n_shots(trained_here=True) * len(examples.classes) + 1
        texts, shares = episodes(way.prompter, sequences, examples.codes, examples.weights, n, self.text_weight)
        if way.coder_of_model.tokenizer is None:
            model.set_params(tokenizer=None)  # of a clone, which reads integers now
        return model._fit_corpus(Corpus(way.coder_of_model, texts, np.ones(len(texts)), way.dtype, shares))

    def _choose(self, examples, sequences):
        """Return the numbers of the examples that prompts may hold, and these as shots."""
        K, codes, n = len(examples.classes), examples.codes, self._n_shots(not is_fitted(self.language_model))
        words = idf = None
        if self.selection == "similar":
            chosen, (found, idf) = list(range(len(codes))), self._vectors(sequences)
            words = found.data, found.indices, found.indptr
        elif self.selection == "random":
            chosen = random_of_each(codes, n, K, check_random_state(self.random_state))
        else:
            chosen = first_of_each(codes, examples.weights, n, K)
        tokens = [self.prompter_.example(sequences[i], codes[i])[0].astype(np.int32) for i in chosen]
        return chosen, Shots(tokens, n * K, words, idf)

    def _vectors(self, sequences, idf=None):
        coder = self.coder_
        return word_vectors(sequences, coder.n_tokens, idf, by_place=coder.kind != "texts" and not coder.padded)

    def _shots_of(self, sequences, left_out=None):
        """Return the tokens of the shots that are read before each document."""
        shots = self._shots
        if shots.words is None:
            return [shots.tokens] * len(sequences)
        found = most_similar(shots.vectors(), self._vectors(sequences, shots.idf)[0], shots.n, left_out)
        return [[shots.tokens[i] for i in index] for index in found]

    # ------------------------------------------------------------------------------------------------ answers

    def _calibration(self, examples, sequences, chosen):
        """Return what the logarithms of the probabilities of labels are compared with, if it is always the same."""
        kind = self._calibrates()
        if kind == "contextual":
            return None if self._shots.words is not None else content_free(self._ask([self._shots.tokens])[0][0])
        if kind is None:
            return None
        others = np.setdiff1d(np.arange(len(sequences)), [] if self.selection == "similar" else chosen)
        some = (others if len(others) else np.arange(len(sequences)))[:_BATCH]
        documents = [sequences[i] for i in some]
        questions = self._questions(documents, self._shots_of(documents, some))
        return batch_bias(self._answers(questions), examples.weights[some], examples.shares())

    def _calibrates(self):
        """Return which calibration is asked for, if any."""
        if not self.calibration:
            return None
        if isinstance(self.calibration, str):
            return self.calibration
        return "contextual" if is_fitted(self.language_model) else "batch"

    def _questions(self, sequences, shots):
        return [self.prompter_.question(*one) for one in zip(shots, sequences)]

    def _answers(self, questions):
        logs = answer_log_probabilities(self.language_model_.reader_, questions, self.use_cache, self._threads())
        if self.length_normalization:
            logs /= [[len(answer) for answer in one.answers] for one in questions]
        return logs

    def _ask(self, shots, documents=()):
        """Return the logarithms for inputs without content, (n, n_inputs, K), and for documents (n, K), if any."""
        texts = check_documents(self.content_free)
        if not texts:
            raise ValueError("content_free is empty; give an input at least, or set calibration=False.")
        free = self.coder_.encode(Rows("texts", texts))
        questions = [self.prompter_.question(some, ids) for some in shots for ids in free]
        logs = self._answers([*questions, *self._questions(documents, shots)])
        n = len(questions)
        return logs[:n].reshape(len(shots), len(free), -1), logs[n:]

    def _logs(self, rows):
        sequences = self.coder_.read(rows)
        shots = self._shots_of(sequences)
        if self._shots.words is not None and self._calibrates() == "contextual":
            free, logs = self._ask(shots, sequences)
            return calibrated(logs, np.array([content_free(one) for one in free]))
        logs = self._answers(self._questions(sequences, shots))
        return logs if self.calibration_ is None else calibrated(logs, self.calibration_)

    def prompts(self, X):
        """Return what the language model reads before it is to write a label.

        Parameters
        ----------
        X : iterable of str, or array-like of shape (n_documents, n_columns)
            Documents, as for :meth:`fit`.

        Returns
        -------
        prompts : list of str, or list of ndarray of int
            Texts; of rows of numbers, tokens.
        """
        check_is_fitted(self)
        rows = read_rows(self, X, reset=False)
        with _kernels.blas_threads(1):
            sequences = self.coder_.read(rows)
            questions = self._questions(sequences, self._shots_of(sequences))
        found = [one.prompt[1:] for one in questions]
        return [self.coder_.decode(ids) for ids in found] if self.coder_.kind == "texts" else found


# ----------------------------------------------------------------------------------------------- documents and labels


@dataclass(frozen=True)
class Way:
    """How documents and labels are read.

    Attributes
    ----------
    coder : Coder
        For documents.
    coder_of_model : Coder
        What the language model takes tokens for.
    prompter : Prompter
        What makes prompts of tokens.
    dtype : dtype
        To compute in, unless the language model has an opinion.
    """

    coder: object
    coder_of_model: object
    prompter: object
    dtype: np.dtype


# What is trained where no language model is given: for rows of numbers, and for texts.
_SMALL = (
    functools.partial(RNNLanguageModel, hidden_size=32, dropout=0.2, learning_rate_init=0.03, max_iter=12),
    functools.partial(RNNLanguageModel, hidden_size=64, dropout=0.2, learning_rate_init=0.02, tokenizer="bpe"),
)


def _of_texts(settings, model, examples):
    template, names = parse_template(settings.template), label_texts(settings.labels, examples.classes)
    if is_fitted(model):
        coder = model.coder_
        if coder.kind != "texts":
            raise ValueError(f"The language model was fitted on {coder.kind}, but X holds texts.")
    else:
        texts = [template.filled(text, names[k]) for text, k in zip(examples.rows.values, examples.codes)]
        coder = learn_coder(Rows("texts", texts), model.tokenizer)
    around = [template.before, template.between, template.after]
    parts = coder.encode(Rows("texts", around))
    labels = coder.encode(Rows("texts", names))
    _check_labels(names, labels)
    _check_known(coder, around, parts, names, labels)
    prompter = Prompter(tuple(parts), tuple(labels), template.label_first, coder.start, coder.end, _capacity(model))
    return Way(coder, coder, prompter, np.dtype(np.float32))


def _of_numbers(settings, model, examples):
    """Rows of numbers: each label is a token of its own, which only a language model to come can know."""
    if settings.labels is not None:
        raise ValueError("labels are for texts; where rows are numbers, each class gets a token of its own.")
    if settings.calibration == "contextual":
        raise ValueError("calibration='contextual' is for texts: no row of numbers is without content. Use 'batch'.")
    if is_fitted(model):
        raise ValueError("A fitted language model of numbers has no tokens for labels; give an unfitted one, or None.")
    coder = learn_coder(examples.rows, "char" if model.tokenizer is None else model.tokenizer)
    n, K, nothing = coder.n_tokens, len(examples.classes), np.empty(0, dtype=np.int32)
    labels = tuple(np.array([n + k], dtype=np.int32) for k in range(K))
    prompter = Prompter((nothing,) * 3, labels, False, coder.start, coder.end, _capacity(model))
    coder_of_model = Coder("integers", None, n + K, coder.start, coder.end, padded=True)
    return Way(coder, coder_of_model, prompter, examples.rows.values.dtype)


def _capacity(model):
    """Return how many tokens a language model reads together; None means any number."""
    if is_fitted(model):
        return getattr(model.reader_, "length", None)
    return getattr(model, "context_length", None)


def label_texts(labels, classes):
    """Return the text of each class.

    Parameters
    ----------
    labels : dict, array-like of str or None
        By class, or in their order; None writes classes as Python does.
    classes : ndarray of shape (n_classes,)
        Ascending.

    Returns
    -------
    texts : list of str
        In the order of the classes.

    Raises
    ------
    ValueError
        If there is a class without a text.
    """
    known = classes.tolist()
    if labels is None:
        texts = [str(label) for label in known]
    elif isinstance(labels, dict):
        if missing := [label for label in known if label not in labels]:
            raise ValueError(f"labels has no text for the class {missing[0]!r}.")
        texts = [labels[label] for label in known]
    else:
        texts = list(labels)
        if len(texts) != len(known):
            raise ValueError(f"labels has {len(texts)} texts for {len(known)} classes; the order is that of classes.")
    if wrong := [text for text in texts if not isinstance(text, str) or not text]:
        raise ValueError(f"labels must be strings that are not empty, got {wrong[0]!r}.")
    return texts


def _check_labels(names, labels):
    """Raise a ValueError if the language model cannot tell labels apart."""
    seen = {}
    for name, ids in zip(names, labels):
        if not len(ids):
            raise ValueError(f"The label {name!r} is no token for the language model; give it another text in labels.")
        if (key := tuple(ids.tolist())) in seen:
            raise ValueError(
                f"The labels {seen[key]!r} and {name!r} are the same tokens for the model; give others in labels."
            )
        seen[key] = name


def _check_known(coder, template, parts, names, labels):
    """Warn of what the language model cannot read of a prompt; raise a ValueError if it can read none of a label."""
    unknown = getattr(coder.tokenizer, "unknown_id_", None)
    if unknown is None:
        return
    for name, ids in zip(names, labels):
        if (ids == unknown).all():
            raise ValueError(f"The language model knows nothing of the label {name!r}; give it another text in labels.")
    texts, sequences = [*template, *names], [*parts, *labels]
    if strange := [text for text, ids in zip(texts, sequences) if (ids == unknown).any()]:
        warn_caller(
            f"The language model does not know all of {', '.join(map(repr, strange))} in template and labels, which "
            "reads as unknown; write them with what its texts were made of.",
            UserWarning,
        )


def document(rows, i):
    """Return a document as it was given."""
    return rows.values[i] if rows.kind == "texts" else rows.values[i].tolist()
