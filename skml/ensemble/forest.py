"""Forests of bagged trees: a classifier and a regressor."""

from numbers import Real

import numpy as np
import scipy.sparse as sp
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.exceptions import DataConversionWarning
from sklearn.utils import Bunch, check_array
from sklearn.utils.multiclass import check_classification_targets

from skml._dtypes import kept_dtype
from skml._sklearn import StrOptions
from skml.base import warn_caller
from skml.ensemble.bagging import BaseBaggingForest
from skml.ensemble.criteria import ABSOLUTE, ENTROPY, GINI, POISSON, SQUARED
from skml.ensemble.grower import Classes, fixed_point
from skml.ensemble.intervals import deviations, draws, entropies, jackknife_plus, quantiles
from skml.ensemble.labels import as_given, balancing_weights, numbered
from skml.ensemble.leaf_rows import rows_of_leaves
from skml.ensemble.sampling import largest_bag, least, stratum_sizes
from skml.ensemble.trees import ForestTreeClassifier, ForestTreeRegressor


class BaggingForest(ClassifierMixin, BaseBaggingForest):
    """A forest of bagged trees, or a bag of any classifiers.

    The trees are skml's own: features are binned once for the whole forest, each tree is grown from histograms over
    its bootstrap sample, and its prediction is a walk over bytes. What :class:`sklearn.ensemble.RandomForestClassifier`
    does, several times faster, with missing values, categories without encoding, out-of-bag validation and
    uncertainty. Rows are put in an order of their own and equal ones are merged before anything is drawn, so neither
    the order of rows nor writing a row twice instead of weighting it 2 changes the forest. With `estimator` that is so
    where all of X is numbers.

    Parameters
    ----------
    estimator : estimator, list of estimators or None, default=None
        What is bagged: None grows skml's own histogram trees; otherwise any classifier or pipeline, or several, taken
        in turn. Members are given tables as they are; `class_weight` is multiplied into their weights. Parameters that
        only trees have, such as `max_depth`, are refused if they are set: set them in the members.
    n_estimators : int or "auto", default=100
        How many members; "auto" adds them until the out-of-bag score has not risen by `tol` for `n_iter_no_change`
        members (1000 at most).
    criterion : {"gini", "entropy", "log_loss"}, default="gini"
        The impurity that splits lower; "entropy" and "log_loss" are the same.
    max_depth : int or None, default=None
        The longest way down; None sets no limit.
    min_samples_split : int or float, default=2
        The least count of rows in a node that is split, drawn copies counted; a float is a share of all rows. Weights
        that are no whole numbers count relative to their mean where rows are not drawn one by one.
    min_samples_leaf : int or float, default=1
        The least count of rows in a leaf, in the same sense.
    min_weight_fraction_leaf : float, default=0.0
        The least weight of a leaf as a share of the bag's.
    max_features : {"sqrt", "log2"}, int, float or None, default="sqrt"
        How many features `feature_sampling` draws; a float is a share of them, None all.
    feature_sampling : {"split", "tree", "none"}, default="split"
        Whether features are drawn at each split, once per tree, or not at all. Members of other kinds are given
        columns of their own with "tree", else all.
    max_leaf_nodes : int or None, default=None
        With a limit, the node that gains most is split next.
    min_impurity_decrease : float, default=0.0
        A split must lower the impurity of the whole bag by so much.
    bootstrap : bool, default=True
        Whether each member has a bag of its own; otherwise each learns from all rows.
    max_samples : int, float or None, default=None
        How many rows (or groups) a bag draws, a float as a share of all; None draws as many as there are, weights
        counted as copies, but with ``sampling="balanced"`` from each class as many as the smallest has.
    sampling : {"uniform", "stratified", "balanced"}, default="uniform"
        Whether bags draw from all rows, a fixed number from each class in proportion to its weight, or as many from
        each class: as many as the smallest has (the balanced forest of Chen, Liaw & Breiman 2004), or of
        `max_samples` in all an equal part. Of several outputs each combination of classes is one.
    oob_score : bool, str or callable, default=False
        Whether each member is asked about the rows out of its bag: True scores accuracy, a name is that of a scorer,
        a callable is ``metric(y_true, y_pred)``. A row that has copies (equal rows,
        whole-number weights) counts by the share of them that is out of the bag: of k copies drawn c times
        (1 - 1/k)^c.
    n_iter_no_change : int, default=20
        The patience of ``n_estimators="auto"``.
    tol : float, default=1e-4
        What counts as a rise of the out-of-bag score for ``n_estimators="auto"``.
    class_weight : dict, "balanced", "balanced_subsample" or None, default=None
        Weights of the classes within a node, or for members of other kinds of their rows; "balanced" is inversely
        proportional to their weights in all rows, "balanced_subsample" in each bag. Rows of a class of weight 0 are in
        no bag. For a single output.
    ccp_alpha : float, default=0.0
        Minimal cost-complexity pruning: subtrees that lower the impurity by less per leaf are cut off.
    monotonic_cst : array-like of int of shape (n_features,), dict of str to int, or None, default=None
        1 where the prediction may only rise with a feature, -1 where it may only fall, 0 elsewhere (of the second
        of two classes).
    categorical_features : "from_dtype", array-like of bool, int or str, or None, default="from_dtype"
        Which columns are split by subsets of their values, needing no encoding: those of a categorical type (pandas,
        polars), or just those of a mask, indices, or names. Beyond `max_bins` (254 at most) categories the rare ones
        share a branch.
    max_bins : int, default=255
        Numbers with more distinct values are cut into so many bins at their quantiles; others are exact.
    voting : {"soft", "hard"}, default="soft"
        Whether the members' shares of classes are averaged, or each votes for its most likely class.
    n_jobs : int or None, default=None
        How many trees grow, and rows are predicted, at a time; None is 1, -1 all processors. It changes no result.
    random_state : int, RandomState or None, default=None
        Seeds the bags and the draws of features.
    warm_start : bool, default=False
        Whether `fit` adds members to those of the last fit until there are `n_estimators`. It ends with the bits of a
        single fit; other data, bags, bins or criteria than those of the last fit are refused.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,), or a list of such
        The class labels, of each output.
    n_classes_ : int or list of int
        Their number.
    estimators_ : list of estimators
        The members. Trees have `tree_`, `apply`, `decision_path`, `get_depth`, `get_n_leaves` and `export_text` beside
        `predict`.
    feature_importances_ : ndarray of shape (n_features,)
        What each feature's splits lower the impurity by, on average (mean decrease in impurity, MDI); sums to 1. It
        favours features with many values: `oob_impurity_importance` does not. Zeros if members are no trees of ours.
    n_features_in_ : int
        The number of features.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns. Only if X has names.
    n_outputs_ : int
        The number of outputs.
    history_ : dict of str to list
        "n_leaves" of each tree, or "n_features" that a member of another kind was given, and, if out-of-bag answers
        are kept, "oob_score" after it.
    estimators_features_ : list of ndarray of int
        The columns that each member takes: all, but for members of other kinds with ``feature_sampling="tree"``.
    estimators_samples_ : list of ndarray of int
        The rows in each bag, as often as they were drawn, in ascending order; of equal rows one stands for all.
    oob_samples_ : list of ndarray of int
        The rows of which each bag holds no copy; of equal rows one is named.
    oob_score_ : float
        The score of the out-of-bag answers; NaN if no row was out of any bag. Only if `oob_score` is set or
        `n_estimators` is "auto".
    oob_curve_ : ndarray of shape (n_estimators,)
        That score after each member; NaN while there are none, or the metric refuses the few rows that were out of a
        bag. Only if `oob_score` is set or `n_estimators` is "auto".
    oob_decision_function_ : ndarray of shape (n_samples, n_classes), or a list of such
        The shares of classes that members give to rows out of their bags; NaN for rows that were in all. Only if
        `oob_score` is set or `n_estimators` is "auto".

    See Also
    --------
    BaggingForestRegressor : The same for numbers.
    sklearn.ensemble.RandomForestClassifier : Exact splits, one value at a time.
    sklearn.ensemble.BaggingClassifier : Bags of any one classifier.

    Notes
    -----
    NaN goes to the side of a split where it lowers the impurity more; where a node saw none, and for categories it
    did not see, to the heavier side. Several categories are split in the order of their shares of the second class,
    the best subset for two classes (Breiman et al. 1984), or along the first principal component of their shares of
    several (Coppersmith, Hong & Hosking 1999). Splits that differ by rounding alone are ties: the first drawn is kept.

    References
    ----------
    .. [1] L. Breiman (1996). Bagging predictors. Machine Learning 24.
    .. [2] L. Breiman (2001). Random forests. Machine Learning 45.
    .. [3] C. Chen, A. Liaw and L. Breiman (2004). Using random forest to learn imbalanced data. Technical report 666,
       Department of Statistics, University of California, Berkeley.
    .. [4] G. Ke et al. (2017). LightGBM: a highly efficient gradient boosting decision tree. NeurIPS.
    .. [5] D. Coppersmith, S. J. Hong and J. R. M. Hosking (1999). Partitioning nominal attributes in decision trees.
       Data Mining and Knowledge Discovery 3.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from skml import BaggingForest
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> forest = BaggingForest(oob_score=True, random_state=0).fit(X, y)
    >>> forest.oob_score_ > 0.95
    True
    >>> print(forest.estimators_[0].export_text(max_depth=1))  # doctest: +ELLIPSIS
    |--- ...
    """

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
        y = as_targets(as_given(y))
        if y.dtype.kind == "f":
            check_array(y, input_name="y")
        found = [numbered(column, "y") for column in y.T]
        with np.errstate(invalid="ignore"):  # it turns floats into integers to see what they are
            # columns of several types are looked at one by one
            for column in (np.array(one.tolist()) for one in y.T) if y.dtype == object and y.shape[1] > 1 else (y,):
                check_classification_targets(column)
        classes = [labels for labels, _ in found]
        if going_on:
            known = self._all_classes()
            if len(known) != len(classes) or any(len(a) != len(b) or np.any(a != b) for a, b in zip(known, classes)):
                raise ValueError("fit with warm_start=True cannot go on: the classes of y are not those of the model.")
        self.n_outputs_ = len(classes)
        self.classes_ = classes[0] if len(classes) == 1 else classes
        self.n_classes_ = len(classes[0]) if len(classes) == 1 else [len(labels) for labels in classes]
        return np.column_stack([codes for _, codes in found])

    def _all_classes(self):
        return [self.classes_] if self.n_outputs_ == 1 else self.classes_

    def _first(self):
        """Return the first class of each output, and the number of all."""
        return np.append(0, np.cumsum([len(labels) for labels in self._all_classes()])).astype(np.int32)

    def _width(self):
        return int(self._first()[-1])

    def _targets(self, training, bagging):
        first = self._first()
        y = np.ascontiguousarray((training.y[training.index] + first[:-1]).T, dtype=np.int32)
        weights, subsample = self._weights_of_classes(training)
        weights = np.ones(first[-1]) if weights is None else weights
        if len(self._monotonic(training.X.shape[1], self.n_outputs_)) and self.n_classes_ != 2:
            raise ValueError("monotonic_cst needs two classes: it is about the share of the second.")
        return Classes(y, first, weights, subsample), GINI if self.criterion == "gini" else ENTROPY

    def _kept_targets(self, training, grove):
        if grove.oob is None or grove.table is None:
            return {}
        return {"_codes_of_y": least(training.y[training.index]), "_table": grove.table}

    def _columns_of_y(self):
        first = self._first()
        out = np.zeros((len(self._codes_of_y), int(first[-1])))
        for begin, codes in zip(first, self._codes_of_y.T):
            out[np.arange(len(out)), begin + codes] = 1.0
        return out

    def _weights_of_classes(self, training):
        if self.class_weight is None:
            return None, False
        return self._class_weights(training), self.class_weight == "balanced_subsample" and self.bootstrap

    def _class_weights(self, training):
        if self.n_outputs_ > 1:
            raise ValueError("class_weight needs a single output; weight the rows by sample_weight.")
        if isinstance(self.class_weight, list):
            raise ValueError("class_weight must be a dict or a name; a list is for several outputs.")
        if isinstance(self.class_weight, dict):
            return self._asked_weights()
        return balancing_weights(training.y[training.index][:, 0], training.merged, len(self.classes_))

    def _asked_weights(self):
        labels = self.classes_.tolist()
        if unknown := [label for label in self.class_weight if label not in labels]:
            raise ValueError(f"class_weight names the classes {unknown}, which y does not have.")
        weights = np.array([self.class_weight.get(label, 1.0) for label in labels], dtype=np.float64)
        if not (np.all(np.isfinite(weights)) and np.all(weights >= 0) and np.any(weights > 0)):
            raise ValueError(f"class_weight must be numbers of at least 0, not all 0, got {self.class_weight}.")
        return weights

    def _counted(self, y, weights):
        if not isinstance(self.class_weight, dict) or self.n_outputs_ > 1:
            return weights
        nothing = self._asked_weights()[y[:, 0]] == 0
        if not nothing.any():
            return weights
        weights = np.where(nothing, 0.0, 1.0 if weights is None else weights)
        if not weights.any():
            raise ValueError("class_weight and sample_weight leave no row of any weight.")
        return weights

    def _labels_of_rows(self, training):
        return list(zip(self._all_classes(), training.y[training.index].T))

    def _strata(self, training):
        if self.sampling == "uniform":
            return None
        return np.unique(training.y[training.index], axis=0, return_inverse=True)[1].reshape(-1)

    def _usual_size(self, training, strata, total):
        if self.sampling != "balanced":
            return total
        sizes = stratum_sizes(training.merged, strata)
        return len(sizes) * int(sizes.min())

    def _shares(self, training, strata, size):
        """Return how many of a bag's draws fall on each stratum."""
        held = np.bincount(strata, training.merged)
        shares = held / held.sum() if self.sampling == "stratified" else np.full(len(held), 1 / len(held))
        exact = shares * size
        counts = np.floor(exact + 1e-9).astype(np.int64)
        rest = np.argsort(counts - exact, kind="stable")[: size - counts.sum()]
        counts[rest] += 1
        return np.maximum(counts, 1)

    def _written_y(self, y):
        return (
            np.column_stack([labels[codes] for labels, codes in zip(self._all_classes(), y.T)])
            if (self.n_outputs_ > 1)
            else self.classes_[y[:, 0]]
        )

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

    def _voters(self, model):
        return model.voting(self._first()) if self.voting == "hard" else model

    def predict_proba(self, X):
        """Return the shares of classes that the members give, on average.

        Parameters
        ----------
        X : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_features)
            Rows; NaN means missing.

        Returns
        -------
        shares : ndarray of shape (n_samples, n_classes), or a list of such
            Of each output; with ``voting="hard"`` the shares of votes.
        """
        rows = self._rows(X)
        return self._by_output(in_kind(self._voters(self._model).means(rows, self._n_threads()), rows))

    def predict_log_proba(self, X):
        """Return the logarithms of :meth:`predict_proba`; minus infinity for classes that no member names.

        Parameters
        ----------
        X : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_features)
            Rows; NaN means missing.

        Returns
        -------
        logs : ndarray of shape (n_samples, n_classes), or a list of such
            Of each output.
        """
        shares = self.predict_proba(X)
        with np.errstate(divide="ignore"):
            return [np.log(part) for part in shares] if isinstance(shares, list) else np.log(shares)

    def predict(self, X):
        """Return the class of the largest share, the first of several.

        Parameters
        ----------
        X : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_features)
            Rows; NaN means missing.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Labels.
        """
        rows = self._rows(X)
        return self._labels(self._voters(self._model).means(rows, self._n_threads()))

    def staged_predict_proba(self, X):
        """Yield the shares of classes after each member.

        Parameters
        ----------
        X : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_features)
            Rows; NaN means missing.

        Yields
        ------
        shares : ndarray of shape (n_samples, n_classes), or a list of such
            Of each output.
        """
        rows = self._rows(X)
        for means in self._voters(self._model).staged(rows, self._n_threads()):
            yield self._by_output(in_kind(means, rows))

    def staged_predict(self, X):
        """Yield the classes after each member.

        Parameters
        ----------
        X : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_features)
            Rows; NaN means missing.

        Yields
        ------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Labels.
        """
        rows = self._rows(X)
        for means in self._voters(self._model).staged(rows, self._n_threads()):
            yield self._labels(means)

    def predict_uncertainty(self, X):
        """Return how uncertain the forest is of each row, and why.

        The entropy of the averaged shares is the mean entropy within the members (the classes overlap there) plus
        what the members disagree by (little was seen like it).

        Parameters
        ----------
        X : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_features)
            Rows; NaN means missing.

        Returns
        -------
        uncertainty : Bunch
            With ``total``, ``within`` and ``between``, ndarrays of shape (n_samples,) in nats; the first is the sum of
            the others. Trees grown to pure leaves are certain each: set `min_samples_leaf` for ``within`` to speak.

        Raises
        ------
        ValueError
            If there are several outputs.

        References
        ----------
        .. [1] S. Depeweg et al. (2018). Decomposition of uncertainty in Bayesian deep learning. ICML.
        """
        rows = self._rows(X)
        if self.n_outputs_ > 1:
            raise ValueError(f"predict_uncertainty needs a single output; the forest has {self.n_outputs_}.")
        parts = [part for _, part in entropies(self._voters(self._model).of_members(rows, self._n_threads()))]
        total, within, between = np.concatenate(parts, axis=1)
        return Bunch(total=total, within=within, between=between)

    def _name_out_of_bag(self, values, curve):
        return {"oob_score_": curve[-1], "oob_decision_function_": self._by_output(values)}

    def _how_to_answer(self):
        return self._labels, self._by_output, self.classes_

    @property
    def estimators_(self):
        """The members, as estimators."""
        return self._members(ForestTreeClassifier)


class BaggingForestRegressor(RegressorMixin, BaseBaggingForest):
    """A forest of bagged regression trees, or a bag of any regressors.

    The trees are skml's own, as in :class:`BaggingForest`. Beyond the mean it knows the whole conditional
    distribution: `predict` gives quantiles and standard deviations, `predict_interval` intervals.

    Parameters
    ----------
    estimator : estimator, list of estimators or None, default=None
        What is bagged: None grows skml's own histogram trees; otherwise any regressor or pipeline, or several, taken in
        turn. Members are given tables as they are. Parameters that only trees have, such as `max_depth`, are refused if
        they are set: set them in the members.
    n_estimators : int or "auto", default=100
        How many members; "auto" adds them until the out-of-bag score has not risen by `tol` for `n_iter_no_change`
        members (1000 at most).
    criterion : {"squared_error", "absolute_error", "poisson", "friedman_mse"}, default="squared_error"
        What splits lower. "friedman_mse" ranks splits as "squared_error" does. With "absolute_error" leaves say
        medians, and splits are exact and slower.
    max_depth : int or None, default=None
        The longest way down; None sets no limit.
    min_samples_split : int or float, default=2
        The least count of rows in a node that is split, drawn copies counted; a float is a share of all rows. Weights
        that are no whole numbers count relative to their mean where rows are not drawn one by one.
    min_samples_leaf : int or float, default=1
        The least count of rows in a leaf, in the same sense.
    min_weight_fraction_leaf : float, default=0.0
        The least weight of a leaf as a share of the bag's.
    max_features : {"sqrt", "log2"}, int, float or None, default=1.0
        How many features `feature_sampling` draws; a float is a share of them, None all.
    feature_sampling : {"split", "tree", "none"}, default="split"
        Whether features are drawn at each split, once per tree, or not at all. Members of other kinds are given
        columns of their own with "tree", else all.
    max_leaf_nodes : int or None, default=None
        With a limit, the node that gains most is split next.
    min_impurity_decrease : float, default=0.0
        A split must lower the impurity of the whole bag by so much.
    bootstrap : bool, default=True
        Whether each member has a bag of its own; otherwise each learns from all rows.
    max_samples : int, float or None, default=None
        How many rows (or groups) a bag draws; None draws as many as there are, weights counted as copies.
    oob_score : bool, str or callable, default=False
        Whether each member is asked about the rows out of its bag: True scores R², a name is that of a scorer,
        a callable is ``metric(y_true, y_pred)``. A row that has copies (equal rows,
        whole-number weights) counts by the share of them that is out of the bag: of k copies drawn c times
        (1 - 1/k)^c.
    n_iter_no_change : int, default=20
        The patience of ``n_estimators="auto"``.
    tol : float, default=1e-4
        What counts as a rise of the out-of-bag score for ``n_estimators="auto"``.
    ccp_alpha : float, default=0.0
        Minimal cost-complexity pruning: subtrees that lower the impurity by less per leaf are cut off.
    monotonic_cst : array-like of int of shape (n_features,), dict of str to int, or None, default=None
        1 where the prediction may only rise with a feature, -1 where it may only fall, 0 elsewhere.
    categorical_features : "from_dtype", array-like of bool, int or str, or None, default="from_dtype"
        Which columns are split by subsets of their values, needing no encoding: those of a categorical type (pandas,
        polars), or just those of a mask, indices, or names. Beyond `max_bins` (254 at most) categories the rare ones
        share a branch.
    max_bins : int, default=255
        Numbers with more distinct values are cut into so many bins at their quantiles; others are exact.
    n_jobs : int or None, default=None
        How many trees grow, and rows are predicted, at a time; None is 1, -1 all processors. It changes no result.
    random_state : int, RandomState or None, default=None
        Seeds the bags and the draws of features.
    warm_start : bool, default=False
        Whether `fit` adds members to those of the last fit until there are `n_estimators`. It ends with the bits of a
        single fit; other data, bags, bins or criteria than those of the last fit are refused.

    Attributes
    ----------
    estimators_ : list of estimators
        The members. Trees have `tree_`, `apply`, `decision_path`, `get_depth`, `get_n_leaves` and `export_text` beside
        `predict`.
    feature_importances_ : ndarray of shape (n_features,)
        What each feature's splits lower the impurity by, on average (mean decrease in impurity, MDI); sums to 1. It
        favours features with many values: `oob_impurity_importance` does not. Zeros if members are no trees of ours.
    n_features_in_ : int
        The number of features.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns. Only if X has names.
    n_outputs_ : int
        The number of outputs.
    history_ : dict of str to list
        "n_leaves" of each tree, or "n_features" that a member of another kind was given, and, if out-of-bag answers
        are kept, "oob_score" after it.
    estimators_features_ : list of ndarray of int
        The columns that each member takes: all, but for members of other kinds with ``feature_sampling="tree"``.
    estimators_samples_ : list of ndarray of int
        The rows in each bag, as often as they were drawn, in ascending order; of equal rows one stands for all.
    oob_samples_ : list of ndarray of int
        The rows of which each bag holds no copy; of equal rows one is named.
    oob_score_ : float
        The score of the out-of-bag answers; NaN if no row was out of any bag. Only if `oob_score` is set or
        `n_estimators` is "auto".
    oob_curve_ : ndarray of shape (n_estimators,)
        That score after each member; NaN while there are none, or the metric refuses the few rows that were out of a
        bag. Only if `oob_score` is set or `n_estimators` is "auto".
    oob_prediction_ : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        What members say, on average, of rows out of their bags; NaN for rows that were in all. Only if `oob_score` is
        set or `n_estimators` is "auto".

    See Also
    --------
    BaggingForest : The same for classes.
    sklearn.ensemble.RandomForestRegressor : Exact splits, one value at a time.

    Notes
    -----
    Sums over rows are whole numbers in fixed point, exact to about 45 bits, so their order cannot show; leaves are
    means of the targets themselves. NaN goes to the side where it lowers the impurity more; where a node saw none,
    and for categories it did not see, to the heavier side. Categories are split in the order of their means, the best
    subset for squared errors (Fisher 1958).

    References
    ----------
    .. [1] L. Breiman (2001). Random forests. Machine Learning 45.
    .. [2] N. Meinshausen (2006). Quantile regression forests. JMLR 7.
    .. [3] B. Kim, C. Xu and R. F. Barber (2020). Predictive inference is free with the jackknife+-after-bootstrap.
       NeurIPS.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skml import BaggingForestRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> forest = BaggingForestRegressor(min_samples_leaf=5, random_state=0).fit(X[:400], y[:400])
    >>> intervals = forest.predict_interval(X[400:], coverage=0.9)
    >>> intervals.shape
    (42, 2)
    """

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
        with np.errstate(over="ignore", invalid="ignore"):  # it sums them
            y = check_array(y, dtype=np.float64, input_name="y")
        if self.criterion == "poisson" and np.any(y < 0):
            raise ValueError("Some value(s) of y are negative which is not allowed for Poisson regression.")
        if self.criterion == "poisson" and np.any(y.sum(axis=0) <= 0):
            raise ValueError("Sum of y is not strictly positive which is necessary for Poisson regression.")
        if going_on and y.shape[1] != self.n_outputs_:
            raise ValueError(
                f"fit with warm_start=True cannot go on: y has {y.shape[1]} outputs, not {self.n_outputs_}."
            )
        self.n_outputs_ = y.shape[1]
        return y

    def _first(self):
        return None

    def _width(self):
        return self.n_outputs_

    def _targets(self, training, bagging):
        kinds = {"absolute_error": ABSOLUTE, "poisson": POISSON}
        y = np.ascontiguousarray(training.y[training.index].T)
        return fixed_point(y, largest_bag(bagging)), kinds.get(self.criterion, SQUARED)

    def _written_y(self, y):
        return self._shaped(y)

    def _columns_of_y(self):
        return self._y.T

    def _shaped(self, values):
        return values[:, 0] if self.n_outputs_ == 1 else values

    def predict(self, X, quantiles=None, return_std=False):
        """Return the mean of each row's leaves, or quantiles of the conditional distribution.

        Parameters
        ----------
        X : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_features)
            Rows; NaN means missing.
        quantiles : float, array-like of float of shape (n_quantiles,), or None, default=None
            Levels between 0 and 1; None predicts means. Each training row counts by its mean share of the leaves that
            a row falls in [1]_; the quantile is the least target whose rows up to it weigh that much. The first call
            finds which rows are in which leaf, and keeps 12 bytes per row and tree.
        return_std : bool, default=False
            Whether to return the standard deviation of that distribution as well.

        Returns
        -------
        y : ndarray of shape (n_samples,), (n_samples, n_outputs), (n_samples, n_quantiles) or \
                (n_samples, n_outputs, n_quantiles)
            Means or quantiles, float64 whatever X is: targets may be finer than float32. A single number as
            `quantiles` adds no dimension.
        std : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Likewise float64. Only if asked for.

        Raises
        ------
        ValueError
            If a quantile isn't between 0 and 1, or members are no trees of ours.

        References
        ----------
        .. [1] N. Meinshausen (2006). Quantile regression forests. JMLR 7.
        """
        rows, threads = self._rows(X), self._n_threads()
        if quantiles is None:
            found = self._shaped(self._model.means(rows, threads))
        else:
            found = self._quantiles(rows, quantiles)
        if not return_std:
            return found
        self._need_trees("return_std")
        codes = self._model.codes(rows, threads)
        means = self._model.means(rows, threads)
        std = deviations(self._model.forest, self._rows_of_leaves(), codes, self._y, means, threads)
        return found, self._shaped(std)

    def _quantiles(self, rows, asked):
        self._need_trees("quantiles")
        levels = np.asarray(asked)
        if levels.dtype.kind not in "iuf" or levels.ndim > 1 or not np.all((levels >= 0) & (levels <= 1)):
            raise ValueError(f"quantiles must be numbers between 0 and 1, got {asked!r}.")
        threads = self._n_threads()
        asked = (self._model.codes(rows, threads), self._y, np.atleast_1d(levels).astype(np.float64), threads)
        found = quantiles(self._model.forest, self._rows_of_leaves(), *asked)
        found = found[:, 0] if self.n_outputs_ == 1 else found
        return found[..., 0] if levels.ndim == 0 else found

    def _rows_of_leaves(self):
        """Return the training rows in each leaf: found when first asked for, and never pickled."""
        if not hasattr(self, "_leaf_rows"):
            parts = (self._model.forest, self._table, self._bags.bagging, self._n_threads())
            self._leaf_rows = rows_of_leaves(*parts)
        return self._leaf_rows

    def __getstate__(self):
        """Return what makes a copy: no more than it takes to find the rest."""
        state = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_leaf_rows"}

    def predict_interval(self, X, coverage=0.9, method="quantile"):
        """Return an interval for the target of each row.

        Parameters
        ----------
        X : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_features)
            Rows; NaN means missing.
        coverage : float, default=0.9
            The share of targets that shall be inside.
        method : {"quantile", "jackknife+"}, default="quantile"
            "quantile" reaches between the outer quantiles of :meth:`predict`: narrow where the data is quiet, without a
            guarantee. "jackknife+" is the jackknife+ after bootstrap [1]_, for any members: from the rows out of bag it
            learns how wrong the others are. If rows are exchangeable and the number of members is drawn from a
            binomial distribution, at least ``1 - 2 (1 - coverage)`` of new targets are inside, whatever their
            distribution; in practice about `coverage`. It needs ``oob_score``.

        Returns
        -------
        intervals : ndarray of shape (n_samples, 2), float64
            Lower and upper ends, in this order also where a coverage near 0 would cross those of "jackknife+"; infinite
            where the training set is too small for the coverage.

        Raises
        ------
        ValueError
            If `coverage` isn't between 0 and 1, `method` unknown, the forest has several outputs, or "jackknife+" is
            asked of a forest without out-of-bag answers.

        References
        ----------
        .. [1] B. Kim, C. Xu and R. F. Barber (2020). Predictive inference is free with the jackknife+-after-bootstrap.
           NeurIPS.
        """
        rows = self._rows(X)
        if isinstance(coverage, bool) or not isinstance(coverage, Real) or not 0 < coverage < 1:
            raise ValueError(f"coverage must be between 0 and 1, a single number, got {coverage!r}.")
        if self.n_outputs_ > 1:
            raise ValueError(f"predict_interval needs a single output; the forest has {self.n_outputs_}.")
        if method == "quantile":
            return self._quantiles(rows, [(1 - coverage) / 2, (1 + coverage) / 2])
        if method != "jackknife+":
            raise ValueError(f"method must be 'quantile' or 'jackknife+', got {method!r}.")
        if not hasattr(self, "_residuals"):
            raise ValueError("method='jackknife+' needs out-of-bag answers: fit with oob_score=True.")
        return self._jackknife(rows, 1 - coverage)

    def _jackknife(self, rows, alpha):
        said = ((part, values[:, :, 0]) for part, values in self._model.of_members(rows, self._n_threads()))
        drawn = draws(self._bags.bagging, self._model.n_members)
        parts = jackknife_plus(said, drawn, self._residuals, self._bags.bagging.weights, alpha)
        return np.concatenate([intervals for _, intervals in parts])

    def staged_predict(self, X):
        """Yield the means after each member.

        Parameters
        ----------
        X : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_features)
            Rows; NaN means missing.

        Yields
        ------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs), float64
            Means.
        """
        rows = self._rows(X)
        for means in self._model.staged(rows, self._n_threads()):
            yield self._shaped(means)

    def _kept_targets(self, training, grove):
        y = np.ascontiguousarray(training.y[training.index].T)
        kept = {} if grove.table is None else {"_y": y, "_table": grove.table}
        if grove.oob is not None and self.n_outputs_ == 1:
            kept["_residuals"] = np.abs(y[0] - grove.oob.means()[:, 0])
        return kept

    def _name_out_of_bag(self, values, curve):
        return {"oob_score_": curve[-1], "oob_prediction_": self._shaped(values)}

    def _how_to_answer(self):
        return (self._shaped,)

    @property
    def estimators_(self):
        """The members, as estimators."""
        return self._members(ForestTreeRegressor)


def as_targets(y):
    """Return y as a table."""
    if sp.issparse(y):
        raise ValueError("sparse multilabel-indicator for y is not supported. Give a dense array, y.toarray().")
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
    return values.astype(np.float32) if kept_dtype(X, (np.float64, np.float32)) == np.float32 else values
