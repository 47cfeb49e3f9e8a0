"""What the two forests share: validation, the fit tree by tree, and what comes out of bag."""

from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.callback import CallbackSupportMixin
from sklearn.utils import check_array, check_consistent_length, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from skml import _kernels
from skml._rows import distinct_rows
from skml._sklearn import Interval, RealNotInt, StrOptions
from skml.base import (
    Step,
    fit_task,
    fitting,
    refuse_series,
    require_memory,
    run_steps,
    validate_weights,
    warn_caller,
)
from skml.ensemble import members, oob
from skml.ensemble.binning import find_bins, kept_rows, lacking, tabulate
from skml.ensemble.columns import (
    STRINGS_IN_TREES,
    as_numbers,
    how_many,
    monotonic_signs,
    read_columns,
    validate_numbers,
)
from skml.ensemble.grove import Grove
from skml.ensemble.grower import Problem, Rule, least_counts
from skml.ensemble.importance import by_impurity, by_permutation
from skml.ensemble.intervals import leaf_pairs
from skml.ensemble.origins import contents, origin, require_same
from skml.ensemble.paths import ways_of_rows
from skml.ensemble.sampling import UNITS, Bagging, Bags, as_counts, least, total_weight, warn_of_small_bags
from skml.ensemble.training import Training, read_groups
from skml.ensemble.trees import BinnedForest, TreeMaker, children_of

MOST_TREES = 1000  # what n_estimators="auto" ends with
_DEEP = 2**31 - 1
# Attributes that not every fit sets.
_OF_ONE_FIT = frozenset(
    ("_table", "_residuals", "_y", "_codes_of_y", "_leaf_rows", "oob_score_", "oob_curve_")
    + ("oob_prediction_", "oob_decision_function_")
)


class BaseBaggingForest(CallbackSupportMixin, BaseEstimator):
    """What :class:`BaggingForest` and :class:`BaggingForestRegressor` share."""

    _takes_steps = "a forest takes a step per tree, of which there were none"

    _parameter_constraints = {
        "estimator": [None, "array-like", *members.CONSTRAINTS],
        "n_estimators": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "max_depth": [None, Interval(Integral, 1, None, closed="left")],
        "min_samples_split": [
            Interval(Integral, 2, None, closed="left"),
            Interval(RealNotInt, 0.0, 1.0, closed="right"),
        ],
        "min_samples_leaf": [
            Interval(Integral, 1, None, closed="left"),
            Interval(RealNotInt, 0.0, 1.0, closed="neither"),
        ],
        "min_weight_fraction_leaf": [Interval(Real, 0.0, 0.5, closed="both")],
        "max_features": [
            None,
            StrOptions({"sqrt", "log2"}),
            Interval(Integral, 1, None, closed="left"),
            Interval(RealNotInt, 0.0, 1.0, closed="right"),
        ],
        "feature_sampling": [StrOptions({"split", "tree", "none"})],
        "max_leaf_nodes": [None, Interval(Integral, 2, None, closed="left")],
        "min_impurity_decrease": [Interval(Real, 0.0, None, closed="left")],
        "bootstrap": ["boolean"],
        "max_samples": [
            None,
            Interval(Integral, 1, None, closed="left"),
            Interval(RealNotInt, 0.0, None, closed="neither"),
        ],
        "oob_score": ["boolean", str, callable],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0.0, None, closed="left")],
        "ccp_alpha": [Interval(Real, 0.0, None, closed="left")],
        "monotonic_cst": [None, dict, "array-like"],
        "categorical_features": [None, StrOptions({"from_dtype"}), "array-like"],
        "max_bins": [Interval(Integral, 2, 255, closed="both")],
        "n_jobs": [None, Integral],
        "random_state": ["random_state"],
        "warm_start": ["boolean"],
    }

    @fitting
    def fit(self, X, y, sample_weight=None, groups=None):
        """Grow the forest.

        Parameters
        ----------
        X : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_features)
            Rows; NaN means missing, and columns of categories need no encoding.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight k means the same as k copies of the row. Fractions, and whole numbers that add up to 2**30 or more,
            are shares: bags then draw as many rows as there are. With weights such as 10 everywhere a bag draws ten
            rows for each that there is and has a copy of nearly all: trees are then alike, and out-of-bag scores as
            good as on rows seen. If weights are importance and no copies, divide them by their mean.
        groups : array-like of shape (n_samples,), default=None
            Whole groups of rows are drawn into a bag (block bootstrap).

        Returns
        -------
        self : object
            Fitted estimator.
        """
        going_on = self.warm_start and hasattr(self, "_model")
        training = self._training(X, y, sample_weight, groups, going_on)
        n_before = self._model.n_members if going_on else 0
        goal = self._goal(n_before)
        grove, steps = self._plan(training, n_before, goal)
        with fit_task(self, X=X, y=y, sample_weight=training.weights, max_subtasks=None) as context:
            run = None
            if goal > n_before and not self._is_enough(grove):
                seen = {"X": X, "y": y, "sample_weight": training.weights, "task": "tree"}
                fitted = lambda grove, history: self._attributes(training, grove, history)  # noqa: E731
                history = self.history_ if going_on else None
                run = run_steps(self, context, steps, attributes=fitted, history=history, **seen)
            if grove.oob is not None and not (run and run.stopped):
                self._require_score(training, grove)
            found = self._attributes(training, grove, run.history if run else self.history_)
            for name in _OF_ONE_FIT.intersection(vars(self)).difference(found):
                delattr(self, name)  # an earlier fit kept it, this one does not
            vars(self).update(found)
        if grove.oob is not None:
            few = "n_iter_no_change" if self.n_estimators == "auto" else "n_estimators"
            oob.warn_of_rows_never_out(grove.oob, self._bags.bagging, few, self._labels_of_rows(training))
            oob.warn_of_copies(training.weights, self._bags.bagging)
        return self

    # ---- before the fit

    def _training(self, X, y, sample_weight, groups, going_on):
        """Validate everything that a fit is given."""
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None.")
        if self.estimator is not None:
            members.refuse_parameters_of_trees(self)
        if going_on and (self.estimator is None) != isinstance(self._model, BinnedForest):
            raise ValueError("fit with warm_start=True cannot go on: trees and members of other kinds don't mix.")
        X = self._numbers(X, reset=not going_on)
        y = self._read_y(y, going_on)
        check_consistent_length(X, y)
        weights = validate_weights(sample_weight, y)
        weights = self._counted(y, weights)
        groups = read_groups(groups, X, self.bootstrap)
        content = np.asarray(y, dtype=np.float64)
        if groups is not None:
            content = np.column_stack([content, groups])
        rows = X if self.estimator is None else members.numbers_of(X)
        if rows is not None:
            index, merged, inverse = distinct_rows(rows, weights, content, return_inverse=True)
        else:
            index, merged, inverse = members.rows_of_weight(X.shape[0], weights)
        return Training(X, y, weights, index, merged, inverse, groups)

    def _numbers(self, X, reset):
        """Return X as numbers, its categories found (at fit) or looked up; members of other kinds take it as it is."""
        refuse_series(X)
        if self.estimator is not None:
            return members.as_rows(self, X, reset)
        if reset:
            self._columns = read_columns(X, self.categorical_features)
        if not self._columns.categories:
            takes = {"reset": reset, "accept_sparse": True, "allow_nan": True, "order": "C"}
            return validate_numbers(self, X, STRINGS_IN_TREES, **takes)
        validate_data(self, X, reset=reset, skip_check_array=True)
        return check_array(as_numbers(X, self._columns), ensure_all_finite="allow-nan", order="C", input_name="X")

    def _counted(self, y, weights):
        """Return the weights of rows, 0 for those of classes that weigh nothing."""
        return weights

    def _goal(self, n_before):
        """Return how many members there shall be."""
        goal = MOST_TREES if self.n_estimators == "auto" else self.n_estimators
        if goal < n_before:
            raise ValueError(
                f"n_estimators={goal} must be larger or equal to len(estimators_)={n_before} when warm_start==True"
            )
        if goal == n_before:
            message = "Warm-start fitting without increasing n_estimators does not fit new trees."
            warn_caller(message, UserWarning)
        return goal

    def _n_threads(self):
        return _kernels.threads_of(self.n_jobs)

    def _bagging(self, training, entropy):
        """Return how bags are drawn."""
        total = total_weight(training.merged)
        if not self.bootstrap:
            if self.max_samples is not None:
                raise ValueError(
                    "`max_samples` cannot be set if `bootstrap=False`. Either switch to `bootstrap=True` or set "
                    "`max_samples=None`."
                )
            if getattr(self, "sampling", "uniform") != "uniform":
                raise ValueError(f"sampling={self.sampling!r} is about bags; it has no meaning with bootstrap=False.")
            return Bagging(training.merged, entropy, bootstrap=False)
        groups = None if training.groups is None else training.groups[training.index]
        if groups is not None:
            groups = np.unique(groups, return_inverse=True)[1].reshape(-1)
            total = groups.max() + 1
        strata, size = self._strata(training), self.max_samples
        if size is None:
            size = self._usual_size(training, strata, total)
        elif not isinstance(size, Integral):
            size = max(1, round(size * total))
        if size >= 2 * UNITS:
            raise ValueError(f"max_samples={self.max_samples!r} makes bags of {size} draws; 2**31 - 1 are the most.")
        if strata is not None and groups is not None:
            raise ValueError(f"sampling={self.sampling!r} draws rows, groups draw groups; use one of them.")
        shares = None if strata is None else self._shares(training, strata, int(size))
        return Bagging(training.merged, entropy, True, int(size), strata, shares, groups)

    def _strata(self, training):
        """Return the stratum of each distinct row, or None: bags draw from all rows alike."""

    def _usual_size(self, training, strata, total):
        """Return how many rows, or groups, a bag draws where `max_samples` does not say."""
        return total

    def _weights_of_classes(self, training):
        return None, False

    def _labels_of_rows(self, training):
        """Return the classes of each output, and which of them each distinct row has; numbers have none."""
        return []

    def _rule(self, training, criterion, n_outputs):
        """Return when nodes are split."""
        n_features = training.X.shape[1]
        drawn = self.bootstrap and training.groups is None  # rows count by draws, else by weights
        unit, total = 1.0 if drawn else as_counts(training.merged)[1], total_weight(training.merged)
        split, leaf = least_counts(self.min_samples_split, self.min_samples_leaf, total, unit)
        gain = self.min_impurity_decrease * (np.log(2) if self.criterion in ("entropy", "log_loss") else 1.0)
        return Rule(
            criterion=criterion,
            max_depth=_DEEP if self.max_depth is None else min(self.max_depth, _DEEP),
            max_leaves=0 if self.max_leaf_nodes is None else min(self.max_leaf_nodes, _DEEP),
            max_features=self._n_columns(n_features) if self.feature_sampling == "split" else n_features,
            min_split=split,
            min_leaf=leaf,
            min_weight=self.min_weight_fraction_leaf,
            min_gain=gain * n_outputs if gain > 0 else -np.inf,
            monotonic=self._monotonic(n_features, n_outputs),
        )

    def _n_columns(self, n_features):
        """Return `max_features` as a number."""
        return n_features if self.feature_sampling == "none" else how_many(self.max_features, n_features)

    def _monotonic(self, n_features, n_outputs):
        names = getattr(self, "feature_names_in_", ())
        signs = monotonic_signs(self.monotonic_cst, names, n_features, self._columns.categorical)
        if len(signs) and n_outputs > 1:
            raise ValueError("monotonic_cst needs a single output.")
        return signs

    # ---- the fit

    def _plan(self, training, n_before, goal):
        """Return the members so far, and the generator that adds to them."""
        if not n_before:
            self._entropy = int(check_random_state(self.random_state).randint(2**31 - 1))
        bagging = self._bagging(training, self._entropy)
        warn_of_small_bags(bagging, self.max_samples)
        watched = self.oob_score or self.n_estimators == "auto"
        if watched and not self.bootstrap:
            what = "oob_score" if self.oob_score else "n_estimators='auto'"
            raise ValueError(f"Out of bag estimation only available if bootstrap=True; {what} asks for it.")
        n_features = training.X.shape[1]
        kept = oob.nothing_yet(len(training.merged), self._width()) if watched else None
        if self.estimator is not None:
            maker = self._member_maker(training, bagging)
        else:
            maker = self._tree_maker(training, bagging, n_before)
        zeros, made = np.zeros(n_features), self._made_of(training, bagging, maker)
        grove = Grove([self._model] if n_before else [], zeros, zeros, kept, made, kept_rows(maker.table))
        if n_before:
            require_same(self._origin, made)
            grove.importances, grove.squares = self._importance_sums
            if watched:
                self._ask_again(training, maker, grove)
        return grove, self._grow(training, maker, grove, range(n_before, goal))

    def _made_of(self, training, bagging, maker):
        """Return what another fit must be given to add to this one."""
        settings = {"sampling": getattr(self, "sampling", None)}
        if self.estimator is not None:
            return origin(contents(training.X), training.y, bagging, settings)
        rule = maker.problem.rule
        settings |= {"criterion": rule.criterion, "monotonic_cst": rule.monotonic.tolist(), "max_bins": self.max_bins}
        settings["categorical_features"] = np.asarray(self.categorical_features).tolist()
        return origin(contents(maker.table), maker.problem.targets.y, bagging, settings)

    def _member_maker(self, training, bagging):
        chosen = members.templates(self, self.estimator, self._kind)
        n_columns = self._n_columns(training.X.shape[1]) if self.feature_sampling == "tree" else training.X.shape[1]
        hard = getattr(self, "voting", "soft") == "hard"
        empty = members.Members((), (), self._first(), hard, self._width())
        y = training.y[:, 0] if training.y.shape[1] == 1 else training.y
        rows = (training.X, y, training.index, bagging)
        return members.Plan(chosen, *rows, n_columns, empty, self._n_threads(), *self._weights_of_classes(training))

    def _tree_maker(self, training, bagging, n_before):
        n_threads = self._n_threads()
        X = training.X
        if n_before:
            bins = self._model.bins
        else:
            weights = np.ones(X.shape[0]) if training.weights is None else training.weights
            bins = find_bins(X, weights, self._columns.categorical, self.max_bins, n_threads)
        targets, criterion = self._targets(training, bagging)
        n_features = X.shape[1]
        columns = self._n_columns(n_features) if self.feature_sampling == "tree" else n_features
        rule = self._rule(training, criterion, training.y.shape[1])
        table = tabulate(bins, X, n_threads, training.index)
        self._lacking = lacking(table)
        problem = Problem(table, targets, bagging, rule, columns, self.ccp_alpha)
        voters = self._first() if getattr(self, "voting", "soft") == "hard" else None
        return TreeMaker(problem, n_threads, voters)

    def _grow(self, training, maker, grove, numbers):
        """Yield a Step per member."""
        wanted = grove.oob is not None
        score = self._oob_scorer(training) if wanted else None
        for number, (member, importances, answers) in zip(numbers, maker.make(numbers, wanted)):
            grove.add(member, importances)
            metrics, last = maker.metrics(member), number == numbers[-1]
            if wanted:
                grove.hear(answers, score)
                metrics["oob_score"] = grove.curve[-1]
                last = last or self._is_enough(grove)
            yield Step(grove, metrics, last)

    def _oob_scorer(self, training):
        """Return the function that scores the answers for rows that were out of some bag."""
        kept = training.inverse >= 0
        weights = None if training.weights is None else training.weights[kept]
        score = oob.scorer(self.oob_score, *self._how_to_answer())
        return oob.scored(score, training.inverse[kept], self._written_y(training.y[kept]), weights)

    def _require_score(self, training, grove):
        """Raise if no score has come of it all: the metric refuses, or ``n_estimators="auto"`` had nothing to go by."""
        if np.isnan(grove.curve[-1]):
            if self.n_estimators == "auto":
                oob.require_rows_out(grove.oob, self._bagging(training, self._entropy), "n_estimators='auto'")
            self._oob_scorer(training)(grove.oob, last=True)

    def _is_enough(self, grove):
        """Tell whether ``n_estimators="auto"`` ends here."""
        return self.n_estimators == "auto" and oob.is_flat(grove.curve, self.tol, self.n_iter_no_change)

    def _ask_again(self, training, maker, grove):
        """Ask the members of an earlier fit about the rows out of their bags."""
        score = self._oob_scorer(training)
        for answers in maker.ask_again(self._model):
            grove.hear(answers, score)

    def _attributes(self, training, grove, history):
        """Return the fitted attributes of the members so far."""
        found = {
            "_model": grove.model(),
            "_importance_sums": (grove.importances, grove.squares),
            "_bags": Bags(least(training.index), self._bagging(training, self._entropy)),
            "history_": history,
            "_origin": grove.origin,
        }
        found |= self._kept_targets(training, grove)
        if grove.oob is not None:
            found |= self._out_of_bag(training, grove)
        return found

    def _out_of_bag(self, training, grove):
        """Return the attributes that come out of bag."""
        means = grove.oob.means()
        values = means[training.inverse]
        left_out = training.inverse < 0  # rows of no weight were in no bag
        if left_out.any():
            rows = members.take(training.X, left_out)
            values[left_out] = self._voters(grove.members[0]).means(rows, self._n_threads())
        return {"oob_curve_": np.array(grove.curve), **self._name_out_of_bag(values, grove.curve)}

    # ---- after the fit

    def _voters(self, model):
        """Return the model as it answers."""
        return model

    def _rows(self, X):
        """Return new rows as the members take them."""
        check_is_fitted(self)
        return self._numbers(X, reset=False)

    def __len__(self):
        """Return the number of members."""
        check_is_fitted(self)
        return self._model.n_members

    def __bool__(self):
        """Return True: a forest is no empty list, fitted or not."""
        return True

    def __getitem__(self, number):
        """Return a member, or several."""
        return self.estimators_[number]

    def __iter__(self):
        """Return an iterator over the members."""
        return iter(self.estimators_)

    @property
    def feature_importances_(self):
        """What each feature's splits lower the impurity by, as shares of the whole."""
        check_is_fitted(self)
        importances = self._importance_sums[0]
        total = importances.sum()
        return importances / total if total > 0 else importances.copy()

    def _members(self, kind):
        check_is_fitted(self)
        if self.estimator is not None:
            return list(self._model.estimators)
        return [kind(self, number) for number in range(self._model.n_members)]

    def _need_trees(self, what):
        if self.estimator is not None:
            raise ValueError(f"{what} needs trees of our own; the members of this one are made by `estimator`.")

    def apply(self, X):
        """Return the leaf of each row in each tree.

        Parameters
        ----------
        X : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_features)
            Rows; NaN means missing.

        Returns
        -------
        leaves : ndarray of shape (n_samples, n_estimators), int32
            The number of the node in the ``tree_`` of each of `estimators_`.
        """
        rows = self._rows(X)
        self._need_trees("apply")
        forest, threads = self._model.forest, self._n_threads()
        shift = forest.leaf_starts[:-1] - np.diff(forest.node_starts)
        return (self._model.leaves(rows, threads) - shift).astype(np.int32)

    def decision_path(self, X):
        """Return which nodes each row passes in each tree.

        Parameters
        ----------
        X : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_features)
            Rows; NaN means missing.

        Returns
        -------
        indicator : CSR array of shape (n_samples, n_nodes), int
            1 for nodes that a row passes, its leaf included; tree after tree.
        n_nodes_ptr : ndarray of shape (n_estimators + 1,), int
            The nodes of tree i are the columns from ``n_nodes_ptr[i]`` up to ``n_nodes_ptr[i + 1]``, in the order of
            its ``tree_``.

        Raises
        ------
        ValueError
            If the members are no trees of our own but made by `estimator`, or X is not as it was at fit.

        Examples
        --------
        >>> from skml import BaggingForest
        >>> X, y = [[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1]
        >>> forest = BaggingForest(n_estimators=2, bootstrap=False).fit(X, y)
        >>> indicator, n_nodes_ptr = forest.decision_path(X)
        >>> n_nodes_ptr
        array([0, 3, 6])
        >>> indicator.toarray()
        array([[1, 1, 0, 1, 1, 0],
               [1, 1, 0, 1, 1, 0],
               [1, 0, 1, 1, 0, 1],
               [1, 0, 1, 1, 0, 1]])
        """
        ends, forest = self.apply(X), self._model.forest
        children = [children_of(forest, number).T for number in range(forest.n_trees)]
        return ways_of_rows(children, ends), np.cumsum([0, *(len(left) for left, _ in children)])

    def proximity(self, X, others=None):
        """Return in which share of the trees two rows share a leaf.

        Parameters
        ----------
        X : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_features)
            Rows; NaN means missing.
        others : {array-like, DataFrame, sparse matrix} of shape (n_others, n_features) or None, default=None
            Rows to compare with; None takes X itself.

        Returns
        -------
        proximity : ndarray of shape (n_samples, n_others)
            Between 0 and 1; 1 - proximity is a distance.
        """
        rows = self._rows(X)
        others = rows if others is None else self._rows(others)
        self._need_trees("proximity")
        require_memory(8 * rows.shape[0] * others.shape[0], "The proximities")
        threads = self._n_threads()
        codes = (self._model.codes(some, threads) for some in (rows, others))
        return leaf_pairs(self._model.forest, *codes, threads)

    def oob_permutation_importance(self, n_repeats=5):
        """Return how much worse the trees get, on rows out of their bags, when a feature's values are shuffled.

        Parameters
        ----------
        n_repeats : int, default=5
            How often each feature is shuffled.

        Returns
        -------
        importance : Bunch
            ``importances`` of shape (n_features, n_estimators): the drop in accuracy, or the rise of the mean squared
            error, of each tree (the mean of the outputs), NaN for trees with less than two rows out of bag;
            ``importances_mean`` and ``importances_std`` over the others. The draws depend on `random_state` as the
            bags do.

        Raises
        ------
        ValueError
            If the forest was fitted without `oob_score`, which keeps what this needs.

        References
        ----------
        .. [1] L. Breiman (2001). Random forests, section 10. Machine Learning 45.
        """
        table, targets = self._kept_rows("oob_permutation_importance")
        if isinstance(n_repeats, bool) or not isinstance(n_repeats, Integral) or n_repeats < 1:
            raise ValueError(f"n_repeats must be an integer of at least 1, got {n_repeats!r}.")
        return by_permutation(self._model, table, self._bags.bagging, targets, n_repeats, self._first())

    def oob_impurity_importance(self):
        """Return the impurity decrease of each feature measured on rows out of the bags (MDI-oob).

        Unlike `feature_importances_` it does not favour features with many values: one that is only noise comes out
        at 0 on average.

        Returns
        -------
        importances : ndarray of shape (n_features,)
            In the units of the Gini impurity or of the variance, the mean of the outputs; slightly negative by chance.
            NaN if no tree has rows out of its bag.

        Raises
        ------
        ValueError
            If the forest was fitted without `oob_score`, which keeps what this needs.

        References
        ----------
        .. [1] X. Li, Y. Wang, S. Basu, K. Kumbier and B. Yu (2019). A debiased MDI feature importance measure for
           random forests. NeurIPS.
        """
        table, targets = self._kept_rows("oob_impurity_importance")
        return by_impurity(self._model, table, self._bags.bagging, targets, self.n_outputs_)

    def _kept_rows(self, what):
        check_is_fitted(self)
        self._need_trees(what)
        if not hasattr(self, "oob_curve_"):
            raise ValueError(f"{what} needs out-of-bag rows: fit with oob_score=True.")
        return self._table, self._columns_of_y()

    @property
    def estimators_features_(self):
        """The columns that each member takes."""
        check_is_fitted(self)
        every = np.arange(self.n_features_in_)
        return [every.copy() if columns is None else columns.copy() for columns in self._model.columns]

    @property
    def estimators_samples_(self):
        """The rows in each bag, as often as they were drawn."""
        check_is_fitted(self)
        return [self._bags.rows(number) for number in range(self._model.n_members)]

    @property
    def oob_samples_(self):
        """The rows of which each bag holds no copy."""
        check_is_fitted(self)
        return [self._bags.rows_out(number) for number in range(self._model.n_members)]

    def category_names(self, feature, left_codes):
        """Return the categories of a feature that go left at a node.

        Parameters
        ----------
        feature : int
            The feature.
        left_codes : ndarray of shape (256,), bool
            Which codes do.

        Returns
        -------
        names : list of str
            Known categories; those that share a code are all named.
        """
        return self._model.category_names(feature, left_codes, self._columns.categories.get(int(feature)))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        inner = members.input_tags(self.estimator)
        tags.input_tags.sparse = all(one.sparse for one in inner)
        tags.input_tags.allow_nan = all(one.allow_nan for one in inner)
        tags.target_tags.multi_output = True
        return tags
