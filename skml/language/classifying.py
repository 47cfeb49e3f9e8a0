"""What classifiers of documents share: classes, distinct examples, and the language model that they are given."""

import copy

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.callback import CallbackSupportMixin
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from skml import _kernels
from skml._labels import labels_of
from skml._sklearn import clone_parametrized
from skml.base import validate_weights
from skml.language.base import BaseLanguageModel
from skml.language.documents import read_rows
from skml.language.scoring import log_softmax


class Examples:
    """Distinct documents with their classes.

    Parameters
    ----------
    rows : Rows
        The documents.
    codes : ndarray of shape (n_documents,), int
        Their classes.
    weights : ndarray of shape (n_documents,)
        Their weights.
    classes : ndarray of shape (n_classes,)
        What the codes stand for.
    """

    def __init__(self, rows, codes, weights, classes):
        self.rows, self.codes, self.weights, self.classes = rows, codes, weights, classes

    def shares(self):
        """Return the share of each class's weight."""
        sums = np.bincount(self.codes, self.weights, len(self.classes))
        return sums / sums.sum()


def codes_of(y, weights, n, name):
    """Return the classes of y, and the number of each document's.

    Parameters
    ----------
    y : array-like of shape (n,)
        As the user gave it.
    weights : ndarray of shape (n,) or None
        Of the documents; those of weight 0 belong to no class, and get the number 0.
    n : int
        How many documents there are.
    name : str
        Of the estimator, for errors.

    Returns
    -------
    classes : ndarray of shape (n_classes,)
        Ascending.
    codes : ndarray of shape (n,), int32
        Of the documents.

    Raises
    ------
    ValueError
        If y is missing, of another length, holds NaN, no classes or one class only, or several for a document.
    """
    labels = labels_of(y, np.empty((n, 1)), weights, name)
    if labels.multilabel:
        raise ValueError(f"{name} takes one class per document; y has {len(labels.classes)} columns of 0 and 1.")
    return labels.classes, labels.y


class BaseDocumentClassifier(ClassifierMixin, CallbackSupportMixin, BaseEstimator):
    """The shell of classifiers that are given a language model.

    A class of it returns logarithms of what is proportional to the probabilities of classes in ``_logs(rows)``.
    """

    # Parameters of a fitted language model that still have a meaning.
    _live = ("n_jobs", "pooling", "random_state")

    def set_params(self, **params):
        """Set parameters, those of the language model by names such as ``language_model__hidden_size``.

        Parameters
        ----------
        **params : dict
            By name.

        Returns
        -------
        self : object
            The estimator.

        Raises
        ------
        ValueError
            If there is no such parameter, or a language model that is fitted would have to be fitted anew for it.
        """
        model = params.get("language_model", self.language_model)
        if isinstance(model, BaseLanguageModel) and is_fitted(model):
            _refuse_idle(model, params, self._live)
        return super().set_params(**params)

    def __sklearn_clone__(self):
        """Return an unfitted copy, in which a language model that was given fitted still is."""
        if not is_fitted(self.language_model):
            return clone_parametrized(self)
        bare = copy.copy(self)
        bare.language_model = FrozenEstimator(self.language_model)
        other = clone_parametrized(bare)
        other.language_model = copy.copy(self.language_model)  # whose parameters may be set, but not the user's
        return other

    def _validated(self, X, y, sample_weight):
        """Return checked documents, the classes, the number of each document's class, and the weights."""
        rows = read_rows(self, X, reset=True)
        weights = validate_weights(sample_weight, np.empty((len(rows), 1)))
        return rows, *codes_of(y, weights, len(rows), type(self).__name__), weights

    def _given(self, default):
        """Return the language model that was given if it is fitted, or else an unfitted one to be fitted.

        The given one comes as a copy that shares its weights: who trains theirs on gets new weights, not this one.
        """
        model = self.language_model
        if isinstance(model, FrozenEstimator):
            model = model.estimator
            if not isinstance(model, BaseLanguageModel):
                raise ValueError(f"language_model must be a language model, got a frozen {type(model).__name__}.")
            check_is_fitted(model)
        if is_fitted(model):
            if asked := model._disagreement():
                raise ValueError(
                    f"language_model is fitted and used as it is, but its parameters now ask for {asked}. Set them "
                    "back, or give clone(language_model), which is fitted here."
                )
            return copy.copy(model)
        model = default() if model is None else clone(model)
        if self.random_state is not None and model.random_state is None:
            model.set_params(random_state=int(check_random_state(self.random_state).randint(2**31 - 1)))
        return model

    @property
    def _dtype(self):
        return self.language_model_.reader_.program.dtype

    def _threads(self):
        return _kernels.n_threads() if self.n_jobs is None else _kernels.threads_of(self.n_jobs)

    def _log_p(self, X):
        check_is_fitted(self)
        rows = read_rows(self, X, reset=False)
        with _kernels.blas_threads(1):
            return log_softmax(self._logs(rows))

    def predict_log_proba(self, X):
        """Return the logarithms of the probabilities of classes.

        Parameters
        ----------
        X : iterable of str, or array-like of shape (n_documents, n_columns)
            Documents, as for :meth:`fit`.

        Returns
        -------
        log_p : ndarray of shape (n_documents, n_classes)
            In the order of `classes_`, and in the type of the network.
        """
        return self._log_p(X).astype(self._dtype)

    def predict_proba(self, X):
        """Return the probabilities of classes.

        Parameters
        ----------
        X : iterable of str, or array-like of shape (n_documents, n_columns)
            Documents, as for :meth:`fit`.

        Returns
        -------
        p : ndarray of shape (n_documents, n_classes)
            In the order of `classes_`, and in the type of the network; rows add up to 1.
        """
        return np.exp(self._log_p(X)).astype(self._dtype)

    def predict(self, X):
        """Return the most probable class of each document.

        Parameters
        ----------
        X : iterable of str, or array-like of shape (n_documents, n_columns)
            Documents, as for :meth:`fit`.

        Returns
        -------
        y : ndarray of shape (n_documents,)
            Of `classes_`; the first of equally probable ones.
        """
        best = self.predict_proba(X).argmax(axis=1)
        return self.classes_[best]


def is_fitted(model):
    """Tell whether something is a language model that is fitted."""
    inner = model.estimator if isinstance(model, FrozenEstimator) else model
    return isinstance(inner, BaseLanguageModel) and hasattr(inner, "reader_")


def _refuse_idle(model, params, live):
    """Raise a ValueError if parameters of a fitted language model are to be others, and are none of the live ones."""
    now = model.get_params()
    for key, value in params.items():
        name = key.removeprefix("language_model__")
        if name == key or name not in now or name.partition("__")[0] in live:
            continue
        if value is not now[name] and not np.array_equal(value, now[name]):
            raise ValueError(
                f"{key}={value!r} would change nothing: language_model is fitted, with {name}={now[name]!r}, and is "
                "used as it is. To search its parameters give it unfitted, clone(language_model), which is fitted here."
            )
