"""Forests of bagged trees: a classifier and a regressor."""

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets

from skml._sklearn import StrOptions
from skml.base import warn_caller
from skml.ensemble.bagging import BaseBaggingForest
from skml.ensemble.grower import ABSOLUTE, ENTROPY, GINI, POISSON, SQUARED, Classes, fixed_point
from skml.ensemble.trees import ForestTreeClassifier, ForestTreeRegressor
from sklearn.exceptions import DataConversionWarning


class BaggingForest(ClassifierMixin, BaseBaggingForest):
    """A forest."""

    _kind = "classifier"
    _parameter_constraints = BaseBaggingForest._parameter_constraints | {
        "criterion": [StrOptions({"gini", "entropy", "log_loss"})],
        "sampling": [StrOptions({"uniform", "stratified", "balanced"})],
        "class_weight": [None, StrOptions({"balanced", "balanced_subsample"}), dict, list],
        "voting": [StrOptions({"soft", "hard"})],
    }

    def __init__(
        self,
        estimator=None,
        *,
        n_estimators=100,
        criterion="gini",
        max_depth=None,
        min_samples_split=2,
        min_samples_leaf=1,
        min_weight_fraction_leaf=0.0,
        max_features="sqrt",
        feature_sampling="split",
        max_leaf_nodes=None,
        min_impurity_decrease=0.0,
        bootstrap=True,
        max_samples=None,
        sampling="uniform",
        oob_score=False,
        n_iter_no_change=20,
        tol=1e-4,
        class_weight=None,
        ccp_alpha=0.0,
        monotonic_cst=None,
        categorical_features="from_dtype",
        max_bins=255,
        voting="soft",
        n_jobs=None,
        random_state=None,
        warm_start=False,
    ):
        self.estimator = estimator
        self.n_estimators = n_estimators
        self.criterion = criterion
        self.max_depth = max_depth
        self.min_samples_split = min_samples_split
        self.min_samples_leaf = min_samples_leaf
        self.min_weight_fraction_leaf = min_weight_fraction_leaf
        self.max_features = max_features
        self.feature_sampling = feature_sampling
        self.max_leaf_nodes = max_leaf_nodes
        self.min_impurity_decrease = min_impurity_decrease
        self.bootstrap = bootstrap
        self.max_samples = max_samples
        self.sampling = sampling
        self.oob_score = oob_score
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.class_weight = class_weight
        self.ccp_alpha = ccp_alpha
        self.monotonic_cst = monotonic_cst
        self.categorical_features = categorical_features
        self.max_bins = max_bins
        self.voting = voting
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.warm_start = warm_start

    # ---- targets

    def _read_y(self, y, going_on):
        y = as_targets(y)
        check_classification_targets(y)
        found = [np.unique(column, return_inverse=True) for column in y.T]
        classes = [labels for labels, _ in found]
        if going_on:
            known = self._all_classes()
            if len(known) != len(classes) or any(len(a) != len(b) or np.any(a != b) for a, b in zip(known, classes)):
                raise ValueError("fit with warm_start=True cannot go on: the classes of y are not those of the model.")
        self.n_outputs_ = len(classes)
        self.classes_ = classes[0] if len(classes) == 1 else classes
        self.n_classes_ = len(classes[0]) if len(classes) == 1 else [len(labels) for labels in classes]
        return np.column_stack([codes.reshape(-1) for _, codes in found])

    def _all_classes(self):
        return [self.classes_] if self.n_outputs_ == 1 else self.classes_

    def _first(self):
        """Return the first class of each output, and the number of all."""
        return np.append(0, np.cumsum([len(labels) for labels in self._all_classes()])).astype(np.int32)

    def _width(self):
        return int(self._first()[-1])

    def _targets(self, training):
        first = self._first()
        y = np.ascontiguousarray((training.y[training.index] + first[:-1]).T, dtype=np.int32)
        weights = np.ones(first[-1])
        subsample = self.class_weight == "balanced_subsample" and self.bootstrap
        if self.class_weight is not None and not subsample:
            weights = self._class_weights(training)
        balanced = subsample
        if self.monotonic_cst is not None and np.any(self._monotonic(training.X.shape[1], self.n_outputs_)):
            if self.n_classes_ != 2:
                raise ValueError("monotonic_cst needs two classes: it is about the share of the second.")
        return Classes(y, first, weights, balanced), GINI if self.criterion == "gini" else ENTROPY

    def _class_weights(self, training):
        if self.n_outputs_ > 1:
            raise ValueError("class_weight needs a single output; weight the rows by sample_weight.")
        asked = "balanced" if self.class_weight == "balanced_subsample" else self.class_weight
        if isinstance(asked, list):
            raise ValueError("class_weight must be a dict or a name; a list is for several outputs.")
        if isinstance(asked, dict) and (unknown := [label for label in asked if label not in self.classes_.tolist()]):
            raise ValueError(f"class_weight names the classes {unknown}, which y does not have.")
        y = self.classes_[training.y[training.index][:, 0]]
        weights = compute_class_weight(asked, classes=self.classes_, y=y, sample_weight=training.merged)
        if not (np.all(np.isfinite(weights)) and np.all(weights >= 0) and np.any(weights > 0)):
            raise ValueError(f"class_weight must be numbers of at least 0, not all 0, got {self.class_weight}.")
        return weights

    def _strata(self, training, size):
        if self.sampling == "uniform":
            return None, None
        y = training.y[training.index]
        strata = np.unique(y, axis=0, return_inverse=True)[1].reshape(-1)
        held = np.bincount(strata, training.merged)
        shares = held / held.sum() if self.sampling == "stratified" else np.full(len(held), 1 / len(held))
        exact = shares * size
        counts = np.floor(exact + 1e-9).astype(np.int64)
        rest = np.argsort(counts - exact, kind="stable")[: size - counts.sum()]
        counts[rest] += 1
        return strata, np.maximum(counts, 1)

    def _written_y(self, y):
        return np.column_stack([labels[codes] for labels, codes in zip(self._all_classes(), y.T)]) if (
            self.n_outputs_ > 1
        ) else self.classes_[y[:, 0]]

    # ---- answers

    def _by_output(self, shares):
        first = self._first()
        parts = [shares[:, begin:end] for begin, end in zip(first[:-1], first[1:])]
        return parts[0] if len(parts) == 1 else parts

    def _labels(self, shares):
        parts = self._by_output(shares)
        if self.n_outputs_ == 1:
            return self.classes_[parts.argmax(axis=1)]
        return np.column_stack([labels[part.argmax(axis=1)] for labels, part in zip(self.classes_, parts)])

    def _shares(self, X):
        rows = self._rows(X)
        model = self._model.voting(self._first()) if self.voting == "hard" else self._model
        return model.means(rows, self._n_threads()), rows

    def predict_proba(self, X):
        """Return the shares of classes.

        Parameters
        ----------
        X : array-like
            Rows.

        Returns
        -------
        shares : ndarray
            Shares.
        """
        shares, rows = self._shares(X)
        return self._by_output(in_kind(shares, rows))

    def predict(self, X):
        """Return the classes.

        Parameters
        ----------
        X : array-like
            Rows.

        Returns
        -------
        y : ndarray
            Labels.
        """
        return self._labels(self._shares(X)[0])

    @property
    def estimators_(self):
        """The members, as estimators."""
        return self._members(ForestTreeClassifier)


class BaggingForestRegressor(RegressorMixin, BaseBaggingForest):
    """A forest."""

    _kind = "regressor"
    _parameter_constraints = BaseBaggingForest._parameter_constraints | {
        "criterion": [StrOptions({"squared_error", "absolute_error", "poisson", "friedman_mse"})],
    }

    def __init__(
        self,
        estimator=None,
        *,
        n_estimators=100,
        criterion="squared_error",
        max_depth=None,
        min_samples_split=2,
        min_samples_leaf=1,
        min_weight_fraction_leaf=0.0,
        max_features=1.0,
        feature_sampling="split",
        max_leaf_nodes=None,
        min_impurity_decrease=0.0,
        bootstrap=True,
        max_samples=None,
        oob_score=False,
        n_iter_no_change=20,
        tol=1e-4,
        ccp_alpha=0.0,
        monotonic_cst=None,
        categorical_features="from_dtype",
        max_bins=255,
        n_jobs=None,
        random_state=None,
        warm_start=False,
    ):
        self.estimator = estimator
        self.n_estimators = n_estimators
        self.criterion = criterion
        self.max_depth = max_depth
        self.min_samples_split = min_samples_split
        self.min_samples_leaf = min_samples_leaf
        self.min_weight_fraction_leaf = min_weight_fraction_leaf
        self.max_features = max_features
        self.feature_sampling = feature_sampling
        self.max_leaf_nodes = max_leaf_nodes
        self.min_impurity_decrease = min_impurity_decrease
        self.bootstrap = bootstrap
        self.max_samples = max_samples
        self.oob_score = oob_score
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.ccp_alpha = ccp_alpha
        self.monotonic_cst = monotonic_cst
        self.categorical_features = categorical_features
        self.max_bins = max_bins
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.warm_start = warm_start

    # ---- targets

    def _read_y(self, y, going_on):
        y = as_targets(y)
        with np.errstate(over="ignore"):
            y = check_array(y, dtype=np.float64, input_name="y")
        if self.criterion == "poisson" and (np.any(y < 0) or np.any(y.sum(axis=0) <= 0)):
            raise ValueError("criterion='poisson' needs y of at least 0, of a positive sum.")
        if going_on and y.shape[1] != self.n_outputs_:
            raise ValueError(f"fit with warm_start=True cannot go on: y has {y.shape[1]} outputs, not {self.n_outputs_}.")
        self.n_outputs_ = y.shape[1]
        return y

    def _first(self):
        return None

    def _width(self):
        return self.n_outputs_

    def _targets(self, training):
        kinds = {"absolute_error": ABSOLUTE, "poisson": POISSON}
        total = max(2**30, int(training.merged.sum()) * 2)
        y = np.ascontiguousarray(training.y[training.index].T)
        return fixed_point(y, total), kinds.get(self.criterion, SQUARED)

    def _written_y(self, y):
        return self._shaped(y)

    def _shaped(self, values):
        return values[:, 0] if self.n_outputs_ == 1 else values

    def predict(self, X):
        """Return the means.

        Parameters
        ----------
        X : array-like
            Rows.

        Returns
        -------
        y : ndarray
            Means.
        """
        rows = self._rows(X)
        return in_kind(self._shaped(self._model.means(rows, self._n_threads())), rows)

    @property
    def estimators_(self):
        """The members, as estimators."""
        return self._members(ForestTreeRegressor)


def as_targets(y):
    """Return y as a table."""
    y = np.asarray(y)
    if y.ndim == 2 and y.shape[1] == 1:
        warn_caller(
            "A column-vector y was passed when a 1d array was expected. Please change the shape of y to "
            "(n_samples,), for example using ravel().",
            DataConversionWarning,
        )
    if y.ndim not in (1, 2):
        raise ValueError(f"y must have one or two dimensions, got {y.ndim}.")
    return y.reshape(-1, 1) if y.ndim == 1 else y


def in_kind(values, X):
    """Return numbers in the float type of X."""
    return values.astype(np.float32) if getattr(X, "dtype", None) == np.float32 else values
