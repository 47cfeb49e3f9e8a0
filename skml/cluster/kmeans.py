"""k-means with careful seeding and pruned, exact iterations."""

import functools
from dataclasses import replace
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin
from sklearn.callback import CallbackSupportMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted

from skml._sklearn import Interval, StrOptions
from skml.base import (
    FitInterruptedWarning,
    Run,
    fit_task,
    fitting,
    require_memory,
    run_steps,
    validate_weights,
    validate_X,
    warn_caller,
)
from skml.cluster.lloyd import Clustering, Plan, batch_steps, finished, lloyd_steps, resumed
from skml.cluster.points import Points, all_distances, nearest, observed, refuse_unusable, unit_centers, unit_rows
from skml.cluster.seeding import seed

_MANY_INITS = 10  # what n_init="auto" means where starts are poor
_SAME_INERTIA = 1e-6  # relative; a start must beat the best by more than rounding


class KMeansPP(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, CallbackSupportMixin, BaseEstimator):
    """k-means clustering, with careful seeding and exact pruned iterations.

    A drop-in for :class:`sklearn.cluster.KMeans` that also takes missing entries, the cosine metric, more ways to
    start, and batches. Every `algorithm` gives the labels and centres of Lloyd's, bit for bit; results don't depend
    on the number of threads, seeds not on the order of the rows, and centres of dense rows neither (those of sparse
    rows are summed in floats, so their last bits may).

    Seen as vector quantisation, `predict` encodes rows, `inverse_transform` decodes, and `quantization_error` is
    what was lost.

    Parameters
    ----------
    n_clusters : int, default=8
        The number of clusters, at most the number of rows.
    init : {"k-means++", "random", "farthest", "k-means||"}, callable or array-like of shape \
            (n_clusters, n_features), default="k-means++"
        Where to start:

        - "k-means++": rows drawn in proportion to their squared distance from those drawn before [1]_; of
          `init_trials` candidates the best is kept.
        - "random": distinct rows, drawn in proportion to weight.
        - "farthest": a random row, then always the row farthest from all taken [2]_.
        - "k-means||": a few rounds of oversampling, then k-means++ among the samples [3]_.
        - array: the centres themselves.
        - callable: called as ``init(X, n_clusters, random_state=...)``, returns centres.
    n_init : int or "auto", default="auto"
        How many starts; the result of least inertia is kept. "auto" means 10 for "random" and callables, else 1.
    max_iter : int, default=300
        The most iterations per start, those before a warm start included.
    tol : float, default=1e-4
        The fit stops when the centres' squared movement is at most this times the mean variance of the columns.
    verbose : int, default=0
        Above 0, progress is printed.
    random_state : int, RandomState instance or None, default=None
        The source of chance for seeding; an int makes it repeatable.
    copy_x : bool, default=True
        Accepted for compatibility; X is never modified and never copied for centring.
    algorithm : {"auto", "lloyd", "elkan", "hamerly", "exponion", "yinyang"}, default="auto"
        How nearest centres are found. All are exact and give the same result: "auto" picks the fastest for the
        shape of the data; "lloyd" asks all centres; "hamerly" [4]_ and "exponion" [5]_ keep two bounds per row,
        "yinyang" [6]_ one per row and ten centres, "elkan" [7]_ one per row and centre.
    init_trials : int or None, default=None
        Candidates per centre of k-means++; 1 is the plain method, None means ``2 + log(n_clusters)``.
    metric : {"euclidean", "cosine"}, default="euclidean"
        With "cosine", rows are compared by direction: rows and centres are scaled to length 1 (spherical k-means;
        takes a scaled copy of X). A row of zeros is equally far from every centre.
    warm_start : bool, default=False
        Whether `fit` goes on from the centres of the last fit (of its best start); one that had ended, by `tol` or
        `max_iter`, on the same rows, is left as it is.

    Attributes
    ----------
    cluster_centers_ : ndarray of shape (n_clusters, n_features)
        The centres, in the dtype of X.
    labels_ : ndarray of shape (n_samples,)
        The nearest centre of each row, int32.
    inertia_ : float
        The weighted sum of squared distances to the nearest centres; with missing entries, over the entries seen.
    n_iter_ : int
        Iterations run, those before a warm start included.
    n_refilled_ : int
        How many times a cluster was found empty and given the farthest row.
    counts_ : ndarray of shape (n_clusters,)
        The weight of rows seen per centre; what `partial_fit` goes on from.
    history_ : dict of str to list
        "inertia" of each iteration's assignment and "center_shift", the squared movement that followed it.
    n_features_in_ : int
        Number of features seen in fit.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, where X had names that are all strings.

    See Also
    --------
    sklearn.cluster.KMeans : Lloyd's and Elkan's algorithms for complete data.
    sklearn.cluster.MiniBatchKMeans : Approximate k-means on random batches.

    Notes
    -----
    NaN means missing: a row is compared over the entries that it has, and a centre's coordinate is the mean of the
    entries seen there (the k-POD objective [8]_). `transform` scales squared distances by the share of entries seen.
    A row that has no entry at all is refused: it is as near to one centre as to any other.

    A model that callbacks see, or save, between two iterations has the labels and inertia of the assignment that its
    centres are the means of. With several starts, each is a task with its iterations as subtasks: a callback that
    stops an iteration ends that start, one that stops a start ends the fit.

    References
    ----------
    .. [1] D. Arthur and S. Vassilvitskii (2007). k-means++: the advantages of careful seeding. SODA.
    .. [2] T. F. Gonzalez (1985). Clustering to minimize the maximum intercluster distance. Theor. Comput. Sci. 38.
    .. [3] B. Bahmani et al. (2012). Scalable k-means++. VLDB.
    .. [4] G. Hamerly (2010). Making k-means even faster. SDM.
    .. [5] J. Newling and F. Fleuret (2016). Fast k-means with accurate bounds. ICML.
    .. [6] Y. Ding et al. (2015). Yinyang k-means. ICML.
    .. [7] C. Elkan (2003). Using the triangle inequality to accelerate k-means. ICML.
    .. [8] J. T. Chi, E. C. Chi and R. G. Baraniuk (2016). k-POD. The American Statistician 70.

    Examples
    --------
    >>> import numpy as np
    >>> from skml import KMeansPP
    >>> X = np.array([[1.0, 2.0], [1.0, 4.0], [1.0, 0.0], [10.0, 2.0], [10.0, np.nan], [10.0, 0.0]])
    >>> kmeans = KMeansPP(n_clusters=2, random_state=0).fit(X)
    >>> np.sort(kmeans.cluster_centers_, axis=0)
    array([[ 1.,  1.],
           [10.,  2.]])
    >>> codes = kmeans.predict([[0.0, 0.0], [12.0, 3.0]])
    >>> kmeans.inverse_transform(codes)
    array([[ 1.,  2.],
           [10.,  1.]])
    """

    _parameter_constraints = {
        "n_clusters": [Interval(Integral, 1, None, closed="left")],
        "init": [StrOptions({"k-means++", "random", "farthest", "k-means||"}), callable, "array-like"],
        "n_init": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
        "copy_x": ["boolean"],
        "algorithm": [StrOptions({"auto", "lloyd", "elkan", "hamerly", "exponion", "yinyang"})],
        "init_trials": [None, Interval(Integral, 1, None, closed="left")],
        "metric": [StrOptions({"euclidean", "cosine"})],
        "warm_start": ["boolean"],
    }

    def __init__(
        self,
        n_clusters=8,
        *,
        init="k-means++",
        n_init="auto",
        max_iter=300,
        tol=1e-4,
        verbose=0,
        random_state=None,
        copy_x=True,
        algorithm="auto",
        init_trials=None,
        metric="euclidean",
        warm_start=False,
    ):
        self.n_clusters = n_clusters
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.verbose = verbose
        self.random_state = random_state
        self.copy_x = copy_x
        self.algorithm = algorithm
        self.init_trials = init_trials
        self.metric = metric
        self.warm_start = warm_start

    @fitting
    def fit(self, X, y=None, sample_weight=None):
        """Find the clusters.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to cluster; NaN means missing (dense X only).
        y : Ignored
            Not used.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight k means the same as k copies of the row, in seeding too.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        points = self._points(X, sample_weight, reset=True)
        random_state, plan, init = check_random_state(self.random_state), self._plan(points), self._init_array(points)
        going_on = self.warm_start and hasattr(self, "cluster_centers_")
        if going_on:
            self._check_going_on("fit with warm_start=True")
        self._n_init = 1 if going_on else self._n_starts()
        with fit_task(self, X=points.X, y=y, sample_weight=points.weights, max_subtasks=None) as context:
            if going_on:
                best = self._run(context, points, y, self._last(points, plan), plan)
            else:
                best = self._best_run(context, points, y, lambda: self._start(points, init, random_state), plan)
            vars(self).update(self._attributes(points, best.state, best.history))
        self._warn_of_few_clusters()
        return self

    @fitting
    def partial_fit(self, X, y=None, sample_weight=None):
        """Update the centres with a batch: each moves to the mean of all rows it has been given so far.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            A batch of rows; the first one seeds the centres.
        y : Ignored
            Not used.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        self : object
            The updated estimator.

        Raises
        ------
        ValueError
            If the first batch has fewer rows than `n_clusters`, or `n_clusters` was changed since.
        """
        first = not hasattr(self, "cluster_centers_")
        if not first:
            self._check_going_on("partial_fit")
        points = self._points(
            X, sample_weight, reset=first, **({} if first else {"dtype": [self.cluster_centers_.dtype]})
        )
        with fit_task(self, X=points.X, y=y, sample_weight=points.weights, max_subtasks=1) as context:
            if first:
                start = self._start(points, self._init_array(points), check_random_state(self.random_state))
                start, history = replace(start, counts=np.zeros(self.n_clusters)), None
            else:
                start = Clustering(self.cluster_centers_, n_iter=self.n_iter_, counts=self.counts_)
                start, history = replace(start, n_refilled=self.n_refilled_), self.history_
            run = self._drive(context, points, y, batch_steps(points, start, self.metric == "cosine"), "batch", history)
            vars(self).update(self._attributes(points, run.state, run.history))
        return self

    def predict(self, X):
        """Encode: give each row the index of its nearest centre.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            New rows; NaN means missing.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Codes, int32; the lowest index where centres are equally near.
        """
        check_is_fitted(self)
        points = self._points(X, None, reset=False)
        return nearest(points, self._centers_like(points))[0]

    def fit_predict(self, X, y=None, sample_weight=None):
        """Find the clusters and return ``labels_``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to cluster.
        y : Ignored
            Not used.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            The nearest centre of each row.
        """
        return self.fit(X, sample_weight=sample_weight).labels_

    def transform(self, X):
        """Return the distances of rows to all centres.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            New rows; squared distances over the entries a row has are scaled by ``n_features / n_seen``.

        Returns
        -------
        distances : ndarray of shape (n_samples, n_clusters)
            Euclidean distances, or cosine distances (1 - cosine) with ``metric="cosine"``.
        """
        check_is_fitted(self)
        points = self._points(X, None, reset=False)
        require_memory(points.X.shape[0] * len(self.cluster_centers_) * points.X.dtype.itemsize, "The distances")
        squared = all_distances(points, self._centers_like(points))
        if points.missing:
            squared *= (points.X.shape[1] / observed(points.X))[:, None]
        return squared / 2 if self.metric == "cosine" else np.sqrt(squared, out=squared)

    def fit_transform(self, X, y=None, sample_weight=None):
        """Find the clusters and return the rows' distances to all centres.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to cluster.
        y : Ignored
            Not used.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        distances : ndarray of shape (n_samples, n_clusters)
            As :meth:`transform` gives them.
        """
        return self.fit(X, sample_weight=sample_weight).transform(X)

    def inverse_transform(self, X):
        """Decode: give back the centre that each code stands for.

        Parameters
        ----------
        X : array-like of shape (n_samples,) or (n_samples, n_clusters)
            Codes, as :meth:`predict` gives them, or distances, as :meth:`transform` does, of which the least counts.

        Returns
        -------
        rows : ndarray of shape (n_samples, n_features)
            One centre per code.

        Raises
        ------
        ValueError
            If a code isn't an integer from 0 to ``n_clusters - 1``, or there isn't a distance per centre.
        """
        check_is_fitted(self)
        k, codes = len(self.cluster_centers_), np.asarray(X)
        if codes.ndim == 2 and codes.shape[1] == k:
            codes = check_array(codes).argmin(axis=1)
        if codes.ndim != 1 or codes.dtype.kind not in "iu":
            raise ValueError(
                f"X must hold integer codes, or {k} distances per row, got {codes.dtype} of {codes.shape}."
            )
        if np.any((codes < 0) | (codes >= k)):
            raise ValueError(f"Codes run from 0 to {k - 1}, got {codes[(codes < 0) | (codes >= k)][0]}.")
        return self.cluster_centers_[codes]

    def quantization_error(self, X):
        """Return each row's squared distance to its nearest centre: what encoding it loses.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            New rows; NaN means missing.

        Returns
        -------
        errors : ndarray of shape (n_samples,)
            Squared distances, over the entries that each row has.
        """
        check_is_fitted(self)
        points = self._points(X, None, reset=False)
        return nearest(points, self._centers_like(points))[1]

    def score(self, X, y=None, sample_weight=None):
        """Return the negative inertia of rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            New rows.
        y : Ignored
            Not used.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        score : float
            Minus the weighted sum of squared distances to the nearest centres.
        """
        check_is_fitted(self)
        points = self._points(X, sample_weight, reset=False)
        return -points.weighed(nearest(points, self._centers_like(points))[1])

    # ---- what the methods share

    def _points(self, X, sample_weight, reset, **checks):
        X = validate_X(self, X, reset=reset, accept_sparse=True, allow_nan=True, order="C", **checks)
        weights = validate_weights(sample_weight, X)
        missing = refuse_unusable(X, 1.0 if weights is None else max(1.0, weights.max()), whole=reset)
        if missing and reset and weights is not None:
            refuse_unusable(X[weights > 0], 1.0, whole=True)  # rows of no weight say nothing of their columns
        return Points(unit_rows(X, missing) if self.metric == "cosine" else X, weights, missing)

    def _check_going_on(self, method):
        known = len(self.cluster_centers_)
        if known != self.n_clusters:
            raise ValueError(f"{method} cannot go on: n_clusters is {self.n_clusters}, the model has {known} centers.")

    def _centers_like(self, points):
        return np.ascontiguousarray(self.cluster_centers_, dtype=points.X.dtype)

    def _n_starts(self):
        named = isinstance(self.init, str)
        if not named and not callable(self.init):
            if self.n_init not in ("auto", 1):
                message = (
                    "Explicit initial center position passed: performing only one init in {} instead of n_init={}."
                )
                warn_caller(message.format(type(self).__name__, self.n_init), RuntimeWarning)
            return 1
        if self.n_init != "auto":
            return self.n_init
        return 1 if named and self.init != "random" else _MANY_INITS

    def _plan(self, points):
        algorithm = self.algorithm
        if algorithm == "elkan" and self.n_clusters == 1:
            message = "algorithm='elkan' doesn't make sense for a single cluster. Using 'lloyd' instead."
            warn_caller(message, RuntimeWarning)
            algorithm = "lloyd"
        return Plan(algorithm, self.max_iter, self.tol, self.metric == "cosine")

    def _init_array(self, points):
        """Check n_clusters against the rows; return `init`, its array made sound."""
        if points.X.shape[0] < self.n_clusters:
            raise ValueError(f"n_samples={points.X.shape[0]} should be >= n_clusters={self.n_clusters}.")
        if isinstance(self.init, str) or callable(self.init):
            return self.init
        return self._sound_centers(self.init, points)

    def _sound_centers(self, centers, points):
        with np.errstate(over="ignore", invalid="ignore"):
            centers = check_array(centers, dtype=points.X.dtype, order="C", copy=True, input_name="init")
        expected = (self.n_clusters, points.X.shape[1])
        for axis, what in enumerate(("number of clusters", "number of features of the data")):
            if centers.shape[axis] != expected[axis]:
                shape = f"The shape of the initial centers {centers.shape}"
                raise ValueError(f"{shape} does not match the {what} {expected[axis]}.")
        refuse_unusable(centers, 1.0, whole=False)
        return unit_centers(centers) if self.metric == "cosine" else centers

    def _start(self, points, init, random_state):
        """Return the clustering before the first iteration."""
        if callable(init):
            init = self._sound_centers(init(points.X, self.n_clusters, random_state=random_state), points)
        elif isinstance(init, str):
            init = seed(points, self.n_clusters, init, random_state, self.init_trials)
        if self.verbose:
            print("Initialization complete")
        return Clustering(init)

    def _last(self, points, plan):
        """Return where the last fit ended."""
        centers = self._sound_centers(self.cluster_centers_, points)
        last = Clustering(centers, self.labels_, self.inertia_, self.n_iter_, self.n_refilled_)
        return resumed(points, last, self.history_["center_shift"][-1], plan)

    def _best_run(self, context, points, y, draw, plan):
        """Iterate from several starts; return the Run of least inertia among those that were finished."""
        best = None
        for _ in range(self._n_init):
            try:
                run = (self._run if self._n_init == 1 else self._start_task)(context, points, y, draw(), plan)
            except KeyboardInterrupt:
                if best is None:
                    raise
                message = f"{type(self).__name__}.fit was interrupted; the best of the finished starts is kept."
                warn_caller(message, FitInterruptedWarning)
                break
            if best is None or run.state.inertia < best.state.inertia * (1 - _SAME_INERTIA):
                best = run
            if run.stopped:
                break
        return best

    def _start_task(self, context, points, y, start, plan):
        """Run one of several starts as a task of its own; it is stopped if the starts after it are to be left out."""
        weights = None if points.weights is None else {"sample_weight": points.weights}
        seen = {"estimator": self, "X": points.X, "y": y, "metadata": weights}
        task = context.subcontext(task_name="start", max_subtasks=None)
        task.call_on_fit_task_begin(**seen)
        run = self._run(task, points, y, start, plan)
        fitted = functools.partial(self._attributes, points, run.state, run.history)
        asked = task.call_on_fit_task_end(reconstruction_attributes=fitted, **seen)
        return replace(run, stopped="callback" if asked else run.stopped if run.stopped == "interrupt" else None)

    def _run(self, context, points, y, start, plan):
        """Iterate from a start; return a finished Run, whoever stopped it."""
        if start.outcome:
            return Run(start, self.history_, None)
        steps = lloyd_steps(points, start, plan)
        steps, history = narrated(steps) if self.verbose else steps, self.history_ if start.n_iter else None
        run = self._drive(context, points, y, steps, "iteration", history)
        return replace(run, state=finished(points, run.state))

    def _drive(self, context, points, y, steps, task, history):
        attributes = functools.partial(self._attributes, points)
        seen = {"X": points.X, "y": y, "sample_weight": points.weights}
        return run_steps(self, context, steps, task=task, attributes=attributes, history=history, **seen)

    def _attributes(self, points, state, history):
        counts = state.counts
        if counts is None:
            counts = np.bincount(state.labels, points.weights, minlength=len(state.centers)).astype(np.float64)
        return {
            "cluster_centers_": state.centers,
            "labels_": state.labels,
            "inertia_": state.inertia,
            "n_iter_": state.n_iter,
            "n_refilled_": state.n_refilled,
            "counts_": counts,
            "history_": history,
            "_n_features_out": len(state.centers),
        }

    def _warn_of_few_clusters(self):
        found = np.count_nonzero(np.bincount(self.labels_))
        if found < self.n_clusters:
            warn_caller(
                f"Number of distinct clusters ({found}) found smaller than n_clusters ({self.n_clusters}). "
                "Possibly due to duplicate points in X, or to weights of zero.",
                ConvergenceWarning,
            )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def narrated(steps):
    """Print what each step did."""
    for step in steps:
        i, shift = step.state.n_iter - 1, step.metrics["center_shift"]
        print(f"Iteration {i}, inertia {step.metrics['inertia']}.")
        if step.state.outcome == "strict":
            print(f"Converged at iteration {i}: strict convergence.")
        elif step.state.outcome == "shift":
            print(f"Converged at iteration {i}: center shift {shift} within tolerance.")
        yield step
