"""Matrix factorization: users and items as vectors whose products are ratings, or preferences."""

from dataclasses import replace
from numbers import Integral, Real

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from skml._sklearn import Interval, StrOptions
from skml.base import fitting, require_memory, run_steps, validate_codes, warn_caller
from skml.recommendation.combinations import check_combination, check_size, resolved_alphas
from skml.recommendation.completion import is_complete
from skml.recommendation.continuing import can_start, carried, seal_of, started, with_newcomers
from skml.recommendation.descent import finite
from skml.recommendation.doors import as_learned, ask_codes, matrix_histories, read_table
from skml.recommendation.factors import Factors
from skml.recommendation.holdout import best_of, error_on, hold_out, ranking_on, waited, watched
from skml.recommendation.hybrid import kept_attributes, widened
from skml.recommendation.ids import look_up
from skml.recommendation.item_features import fit_item_features
from skml.recommendation.ranking import take_rows
from skml.recommendation.reasons import reasons
from skml.recommendation.recommender import BaseRecommender
from skml.recommendation.reconstruction import reconstruction_error, row_products
from skml.recommendation.solvers import Past, Settings, make_solver, threads_worth
from skml.recommendation.tables import ITEMS, USERS


class MatrixFactorization(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseRecommender):
    r"""Matrix factorization: users and items as vectors whose products are ratings, or preferences.

    A rating is explained by

    .. math:: r_{ui} \approx \mu + b_u + b_i + p_u^T q_i

    and the parameters minimise

    .. math:: J = \tfrac12 \sum w_{ui} (r_{ui} - \mu - b_u - b_i - p_u^T q_i)^2
        + \lambda_U \|P\|^2 + \lambda_V \|Q\|^2 + \lambda_b (\|b_U\|^2 + \|b_I\|^2)

    over the known ratings [1]_; with ``feedback="implicit"``, over all pairs of users and items, the confidences being
    weights and what is fitted being 1 where there is an interaction, else 0 [2]_. A row of X is an interaction: a user,
    an item, perhaps numeric features, and y its rating; or X is a matrix of ratings, users x items, NaN being missing.

    Numeric features are those of the interaction, its context: of ratings they become `coef_`, count in
    :meth:`predict`, and are left out of what :meth:`recommend` ranks by; with implicit feedback they mean nothing. So
    an attribute of items as a column of X becomes a coefficient there and says nothing of what a user likes; attributes
    of items go to `item_features` of :meth:`fit`.

    Parameters
    ----------
    n_components : int, default=20
        The length of the vectors. More than there are users or items cost time, and say nothing that as many could not:
        "svd" refuses them.
    solver : {"als", "sgd", "svd", "ccd"}, default="als"
        "als" alternates exact least squares of items and users, for ratings and confidences. "sgd" descends one
        interaction at a time [1]_, also under losses of ranking. "svd" is the singular value decomposition of what mean
        and biases leave over; missing entries are filled by iteration (soft-impute [3]_). "ccd" is coordinate descent
        (CCD++ [4]_), which takes the constraints.
    feedback : {"explicit", "implicit"}, default="explicit"
        Whether y, or the matrix, holds ratings, or confidences that a user likes an item (how often it was played).
    constraint : {"nonnegative", "orthogonal"} or None, default=None
        For ``solver="ccd"``: no factor is negative (non-negative matrix factorization, of incomplete data too), or the
        columns of the item factors are orthonormal.
    alpha : "auto", float or dict, default="auto"
        The penalties: one for all, or a dict with some of the keys "users", "items", "biases" and "attributes". "auto"
        suits the number of ratings and their spread; `alpha_` tells what it came to. "svd" penalises singular values by
        twice the geometric mean of those of users and items, which is the same J. With "orthogonal" that of users is on
        their vectors, and items have none.
    weighted_alpha : bool, default=False
        Whether the penalty of a user's or item's parameters is times the number of its ratings (their weights; of
        confidences, their sum) [5]_. Under a loss of ranking it always is.
    fit_bias : bool or "auto", default="auto"
        Whether there are biases of users and items. "auto": where the model can have them, for ratings that are not
        constrained to be non-negative products, and under losses of ranking.
    global_mean : bool or "auto", default="auto"
        Whether there is a mean, that of the ratings. "auto": where there are biases of ratings.
    confidence : float or None, default=None
        With implicit feedback: an interaction counts ``1 + confidence * y``; None: y. Pairs without one count 1.
    inner : {"cholesky", "cg"}, default="cholesky"
        How "als" solves the equations of a row: exactly, or by conjugate gradients that start where the last sweep
        ended, which is faster for many components.
    cg_steps : int, default=3
        How many conjugate gradients.
    loss : {"squared", "bpr", "logistic"}, default="squared"
        With implicit feedback "sgd" has two losses of ranking: "bpr" [6]_ wants a chosen item to be above a random
        other one, "logistic" tells chosen from random others.
    learning_rate : {"constant", "invscaling", "adaptive", "cosine"}, default="cosine"
        The schedule of "sgd": ``learning_rate_init``, over ``epoch ** power_t``, a fifth whenever the objective has
        stopped to fall, or from there to 0 along half a cosine over `max_iter` epochs.
    learning_rate_init : float, default=0.05
        The first rate of "sgd". It needs no adaptation to the units of the ratings.
    power_t : float, default=0.25
        The exponent of "invscaling".
    average : int, default=0
        "sgd" gives the mean of its last so many epochs; 0 means the last alone.
    n_negatives : int, default=1
        Random other items for each interaction under a loss of ranking; 100,000 at most.
    max_iter : int, default=100
        At most so many sweeps or epochs.
    tol : float or None, default=1e-4
        Ends when a sweep lowers J by no more than `tol` times itself ("sgd": `n_iter_no_change` epochs in a row; not
        with "cosine", which has an end of its own). None never ends early.
    init : {"random", "svd"}, default="random"
        Where to start: small random vectors, or a truncated SVD (non-negative: NNDSVD), which takes fewer sweeps
        but, on large data, more time than these. "svd" as a solver needs neither.
    early_stopping : bool, default=False
        Whether to hold out interactions, to end when predictions of these have not become better for
        `n_iter_no_change` sweeps, and to keep the best factors. What is measured is "validation_rmse", or with implicit
        feedback "validation_ndcg" (at 10), of `history_`.
    validation_fraction : float, default=0.1
        The part of the interactions to hold out; each user and item keeps one.
    n_iter_no_change : int, default=5
        See `tol` and `early_stopping`.
    duplicates : {"mean", "last", "sum", "error"}, default="mean"
        What becomes of several rows of a user and an item: the mean of their ratings, with all their weight; the last
        one; their sum; or an error.
    handle_unknown : {"bias", "mean", "nan", "error"}, default="bias"
        What is predicted where the user or the item is unknown: mean and the bias that is known (the mean of all
        ratings where the model has neither; with implicit feedback how popular the item is, the share of users who
        have it), the mean of all ratings, NaN, or an error.
    n_jobs : int or None, default=None
        Threads; None means all that the process may use. No result depends on them.
    warm_start : bool, default=False
        Whether `fit` starts from the factors of the last one. Where data and parameters are the same, but for how long
        to go on, it goes on, up to `max_iter` sweeps in all, and ends with the bits of a fit that was never cut short
        (but for `average` and "cosine" if `max_iter` changes, on which they depend); else it is a new fit that starts
        from these factors, those who are new being folded in, unless solver, constraint, loss or the number of
        components are others. What "ccd", "svd", "sgd" and conjugate gradients need to go on, as much again as the
        factors, is kept if the last fit had `warm_start` too, or was stopped before its end; without it going beyond
        its end is a new fit that starts from its factors.
    random_state : int, RandomState instance or None, default=None
        Draws the start, the order of "sgd" and what is held out; a fit that goes on keeps the last draw unless this is
        an int. The order of rows does not matter, nor whether a weight is written as copies, but for the rounding of
        sums; that can grow into other factors where they are hardly determined, as with "orthogonal" and next to no
        penalty.

    Attributes
    ----------
    user_factors_ : ndarray of shape (n_users, n_components)
        P; from "svd" ``U @ diag(s)``.
    item_factors_ : ndarray of shape (n_items, n_components)
        Q; from "svd" V, whose columns are orthonormal, as those of "orthogonal" are.
    components_ : ndarray of shape (n_components, n_items)
        Q transposed.
    user_bias_, item_bias_ : ndarray of shape (n_users,), (n_items,)
        Biases; zeros where there are none.
    mean_ : float
        The mean; 0 where there is none.
    coef_ : ndarray of shape (n_features,)
        What the features of a row add to its rating, in deviations from `feature_means_`; only where there are any.
    feature_means_ : ndarray of shape (n_features,)
        Their means.
    alpha_ : dict
        The penalties.
    reconstruction_err_ : float or None
        The root of the sum of squared errors, weighted, over the known ratings; of confidences, over all pairs. None
        under a loss of ranking.
    history_ : dict of str to list
        "objective" (J, after each sweep; from "sgd" the sum of losses met on the way) and "rmse" of each sweep, or
        "learning_rate" of each epoch.
    n_iter_ : int
        Sweeps or epochs done.
    user_ids_, item_ids_ : ndarray of shape (n_users,), (n_items,)
        Who the rows of the factors are.
    n_features_in_ : int
        Number of columns of X seen during fit.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, where X has any.

    See Also
    --------
    sklearn.decomposition.NMF : Non-negative factorization of complete data.
    LinearAutoencoder : Factorization whose rows are observations, complete or not.

    Notes
    -----
    A person who was not in training is folded in: their vector minimises their part of J, the items being given. With
    "als" that is exactly the vector that training would have ended with for them. Biases and features: mean and
    features' coefficients come from a ridge regression on users, items and features, and stay.

    Folds of rows that stand in the order of users, such as those of ``cv=5``, hold out whole users, and compare guesses
    about strangers; hold out interactions by :class:`~skml.recommendation.PerUserKFold` or ``KFold(shuffle=True)``.
    Do not choose parameters by ``fit(R)`` and ``score(R)``: rows of a matrix are folded in, and then these same ratings
    are predicted, so that the model that fits closest wins. ``X, y = interactions(R)`` makes interactions of a matrix.

    References
    ----------
    .. [1] Y. Koren, R. Bell, C. Volinsky, "Matrix factorization techniques for recommender systems", Computer 42, 2009.
    .. [2] Y. Hu, Y. Koren, C. Volinsky, "Collaborative filtering for implicit feedback datasets", ICDM 2008.
    .. [3] R. Mazumder, T. Hastie, R. Tibshirani, "Spectral regularization algorithms for learning large incomplete
       matrices", JMLR 11, 2010.
    .. [4] H.-F. Yu, C.-J. Hsieh, S. Si, I. Dhillon, "Scalable coordinate descent approaches to parallel matrix
       factorization for recommender systems", ICDM 2012.
    .. [5] Y. Zhou, D. Wilkinson, R. Schreiber, R. Pan, "Large-scale parallel collaborative filtering for the Netflix
       prize", AAIM 2008.
    .. [6] S. Rendle, C. Freudenthaler, Z. Gantner, L. Schmidt-Thieme, "BPR: Bayesian personalized ranking from implicit
       feedback", UAI 2009.

    Examples
    --------
    Ann and Bob like comedies, Cid and Dee horror films.

    >>> from skml import MatrixFactorization
    >>> X = [["ann", "airplane"], ["ann", "clue"], ["ann", "alien"], ["bob", "airplane"], ["bob", "saw"],
    ...      ["cid", "alien"], ["cid", "saw"], ["cid", "clue"], ["dee", "alien"], ["dee", "airplane"]]
    >>> y = [5, 5, 1, 5, 1, 5, 5, 1, 5, 1]
    >>> model = MatrixFactorization(n_components=2, alpha=0.1, init="svd", random_state=0).fit(X, y)
    >>> items, scores = model.recommend(["bob", "dee"], n=1)
    >>> items.tolist()
    [['clue'], ['saw']]
    >>> model.recommend(histories=[{"saw": 5, "clue": 1}], n=1, return_scores=False).tolist()
    [['alien']]
    """

    _parameter_constraints = {
        **BaseRecommender._parameter_constraints,
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "solver": [StrOptions({"als", "sgd", "svd", "ccd"})],
        "constraint": [StrOptions({"nonnegative", "orthogonal"}), None],
        "alpha": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left"), dict],
        "weighted_alpha": ["boolean"],
        "fit_bias": ["boolean", StrOptions({"auto"})],
        "global_mean": ["boolean", StrOptions({"auto"})],
        "confidence": [Interval(Real, 0, None, closed="neither"), None],
        "inner": [StrOptions({"cholesky", "cg"})],
        "cg_steps": [Interval(Integral, 1, None, closed="left")],
        "loss": [StrOptions({"squared", "bpr", "logistic"})],
        "learning_rate": [StrOptions({"constant", "invscaling", "adaptive", "cosine"})],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "average": [Interval(Integral, 0, None, closed="left")],
        "n_negatives": [Interval(Integral, 1, 10**5, closed="both")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left"), None],
        "init": [StrOptions({"svd", "random"})],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_components=20,
        *,
        solver="als",
        feedback="explicit",
        constraint=None,
        alpha="auto",
        weighted_alpha=False,
        fit_bias="auto",
        global_mean="auto",
        confidence=None,
        inner="cholesky",
        cg_steps=3,
        loss="squared",
        learning_rate="cosine",
        learning_rate_init=0.05,
        power_t=0.25,
        average=0,
        n_negatives=1,
        max_iter=100,
        tol=1e-4,
        init="random",
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=5,
        duplicates="mean",
        handle_unknown="bias",
        n_jobs=None,
        warm_start=False,
        random_state=None,
    ):
        self.n_components = n_components
        self.solver = solver
        self.feedback = feedback
        self.constraint = constraint
        self.alpha = alpha
        self.weighted_alpha = weighted_alpha
        self.fit_bias = fit_bias
        self.global_mean = global_mean
        self.confidence = confidence
        self.inner = inner
        self.cg_steps = cg_steps
        self.loss = loss
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.average = average
        self.n_negatives = n_negatives
        self.max_iter = max_iter
        self.tol = tol
        self.init = init
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.duplicates = duplicates
        self.handle_unknown = handle_unknown
        self.n_jobs = n_jobs
        self.warm_start = warm_start
        self.random_state = random_state

    # ---------------------------------------------------------------------------------------------- fitting

    @fitting
    def fit(self, X, y=None, sample_weight=None, item_features=None):
        """Learn from interactions, or from a matrix of ratings.

        Parameters
        ----------
        X : array-like, DataFrame or sparse matrix
            With y, or with implicit feedback: interactions of shape (n_samples, 2 or more), the columns being user,
            item and numeric features. Without y: ratings of shape (n_users, n_items), dense with NaN or sparse with
            unstored entries for missing ones; with implicit feedback sparse ones, the confidences (a dense X is
            interactions).
        y : array-like of shape (n_samples,), default=None
            Ratings; with implicit feedback confidences, None meaning 1.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight k means the same as k copies of the row (of ratings with ``duplicates="mean"``: the other rules tell
            copies from weights), weight 0 that it isn't there.
        item_features : DataFrame, array-like or sparse matrix, or pair (ids, table), default=None
            Attributes of the items, for a hybrid model (``solver="als"``): a row for each item of X. The ids are a
            pandas DataFrame's index, or the first of the pair; without either, row j is the item whose id is the
            integer j. Numbers are standardised, categories one-hot; a sparse matrix is taken as it is. Rows of items
            that X doesn't have, or that are no columns of a matrix, make these items known, so that they are
            recommended.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        check_combination(self, item_features is not None)
        return self._fit(X, y, sample_weight, side={"item_features": item_features})

    @fitting
    def partial_fit(self, X, y=None, sample_weight=None, item_features=None):
        """Take in more interactions, users and items, and go on from the factors there are.

        New users and items start where fold-in puts them; then up to `max_iter` sweeps over all interactions follow.

        Parameters
        ----------
        X : array-like, DataFrame or sparse matrix
            As for :meth:`fit`, through the same door. Rows of a matrix are new users, unless a DataFrame's index names
            known ones; the index 0, 1, 2... that pandas gives by itself names nobody. Numbers take on the type that
            the model has.
        y : array-like of shape (n_samples,), default=None
            As for :meth:`fit`.
        sample_weight : array-like of shape (n_samples,), default=None
            As for :meth:`fit`.
        item_features : DataFrame, array-like or sparse matrix, or pair (ids, table), default=None
            Attributes of new items, or other ones of known items, with the columns of :meth:`fit`'s; new items without
            any have zeros. Items that X doesn't have become known, as in :meth:`fit`.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        check_combination(self, item_features is not None)
        more = hasattr(self, "_ratings")
        if more and getattr(self, "_item_features", None) is not None:
            check_combination(self, True)
        return self._fit(X, y, sample_weight, more=more, side={"item_features": item_features})

    def _learn(self, context, ratings, extra):
        ratings, extra = self._with_attributes(self._confident(ratings), extra)
        check_size(self, ratings)
        settings = self._resolved(ratings, extra.old_users is not None)
        solver, side = make_solver(settings), [] if self._item_features is None else [self._item_features.matrix]
        kept, measure = (ratings, None) if not self.early_stopping else self._held_out(ratings, settings)
        seal = seal_of(ratings, settings, *(side or [None]), self.early_stopping and self.validation_fraction)
        start, past = self._start(solver, kept, extra, seal)
        attributes = self._attributes_of(ratings, settings, seal, lambda past: self._has_ended(past, solver, kept))
        if past.n_iter and self._has_ended(past, solver, kept):
            return {**attributes(start, past.history), "_resumes": self._resumes}
        if measure is not None:
            past = self._until_best(past, measure[1])
        steps = finite(solver.steps(kept, start, past, *side), ratings.data.dtype)
        if measure is not None:
            so_far = (past.history[measure[1]], start) if past.n_iter else ((), None)
            steps = watched(steps, *measure, self.n_iter_no_change, self.tol or 0.0, so_far)
        task = "epoch" if self.solver == "sgd" else "sweep"
        run = run_steps(self, context, steps, task=task, attributes=attributes, history=past.history, **extra.seen)
        self._warn_unless_converged(run)
        return attributes(run.state, run.history)

    def _confident(self, ratings):
        if not self._is_implicit or self.confidence is None:
            return ratings
        a = ratings.data.dtype.type(self.confidence)
        return ratings.with_data(1 + a * ratings.data)

    def _with_attributes(self, ratings, extra):
        """Set the attributes of items, and return all with the items that only these know."""
        given, known = extra.side.get("item_features"), getattr(self, "_item_features", None)
        if extra.new is not None and known is None and given is not None:
            raise ValueError("partial_fit takes item_features only if fit had some.")
        if extra.new is not None and known is not None:
            features = kept_attributes(known, extra.old_items, self.item_ids_, given)
        else:
            features = None if given is None else fit_item_features(given, self.item_ids_, dtype=ratings.data.dtype)
        self._item_features = features
        if features is None:
            return ratings, extra
        if extra.old_items is not None and extra.new is None and known is not None:
            extra = replace(extra, old_items=look_up(known.ids, features.ids, ITEMS))
        self.item_ids_, self._ratings = features.ids, widened(self._ratings, len(features.ids))
        return widened(ratings, len(features.ids)), extra

    def _resolved(self, ratings, goes_on):
        model = {name: getattr(self, name) for name in ("n_components", "solver", "constraint", "inner", "cg_steps")}
        descent = {name: getattr(self, name) for name in ("loss", "learning_rate", "power_t", "average", "n_negatives")}
        implicit, biases = self._is_implicit, self._has_biases
        by = "als" if self.constraint == "orthogonal" else self.solver
        return Settings(
            **model,
            **descent,
            implicit=implicit,
            alphas=resolved_alphas(self, ratings),
            weighted=self.weighted_alpha,
            fit_bias=biases if self.fit_bias == "auto" else self.fit_bias,
            global_mean=(biases and not implicit) if self.global_mean == "auto" else self.global_mean,
            eta0=self.learning_rate_init,
            n_iter_no_change=self.n_iter_no_change,
            max_iter=self.max_iter,
            tol=None if self.early_stopping else self.tol,
            init=self.init,
            seed=self._drawn_seed(goes_on),
            n_threads=threads_worth(ratings, self.n_components, self._n_threads, by),
        )

    def _drawn_seed(self, goes_on):
        """Return the seed of random numbers: what goes on keeps that of the last fit unless it is given another."""
        if goes_on and not isinstance(self.random_state, Integral):
            return self._settings.seed
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    @property
    def _has_biases(self):
        """Whether there are biases unless somebody says otherwise."""
        return self.constraint != "nonnegative" and (not self._is_implicit or self.loss != "squared")

    def _held_out(self, ratings, settings):
        kept, held = hold_out(ratings, self.validation_fraction, settings.seed)
        if self._is_implicit:
            return kept, (ranking_on(held, kept, settings.n_threads), "validation_ndcg")
        return kept, (error_on(held, settings.n_threads), "validation_rmse")

    def _start(self, solver, ratings, extra, seal):
        """Return the factors to start from, and what has led to them."""
        goes_on = extra.old_users is not None
        if goes_on and extra.new is not None and self.item_factors_.shape[1] != self.n_components:
            raise ValueError("partial_fit cannot go on: n_components was changed since the last fit.")
        shape = ratings.n_rows, ratings.n_columns
        if goes_on and extra.new is None and seal == self._seal and extra.has_same_ids(shape):
            past = Past(self.history_)
            if self._resumes or self._has_ended(past, solver, ratings):
                return replace(self._factors, motion=self._motion), past  # as if it had not been cut short
        if goes_on and self.item_factors_.shape[1] == self.n_components and can_start(self._settings, solver.settings):
            start = self._carried_start(solver, ratings, extra)
            if start.users.any() or start.items.any():  # else there is nothing that a descent could grow from
                return start, Past()
        return solver.start(ratings), Past()

    def _carried_start(self, solver, ratings, extra):
        """Return the factors of the last fit for other data, or other parameters."""
        shape, features = (ratings.n_rows, ratings.n_columns), self._item_features
        attributes = None if features is None else features.matrix
        names = None if features is None else features.names
        old = self._factors
        if names is None or not np.array_equal(names, self._attribute_names):
            old = replace(old, attributes=None)
        factors, *new = carried(old, extra.old_users, extra.old_items, shape)
        factors = replace(factors, mean=solver.settings.mean_of(ratings))
        width = None if features is None else attributes.shape[1]
        factors = started(factors, solver.settings, ratings.data.dtype, width)
        return with_newcomers(solver, ratings, factors, *new, attributes)

    def _until_best(self, past, name):
        """Return the past of the factors that early stopping has kept, which are not always the last ones."""
        if not past.n_iter:
            return past
        n_iter = best_of(past.history, name) + 1
        return Past({key: values[:n_iter] for key, values in past.history.items()})

    def _attributes_of(self, ratings, settings, seal, has_ended):
        features = self._item_features

        def attributes(factors, history):
            kept = factors.motion is None or self.warm_start or not has_ended(Past(history))
            return {
                "user_factors_": factors.users,
                "item_factors_": factors.items,
                "user_bias_": factors.user_bias,
                "item_bias_": factors.item_bias,
                "mean_": factors.mean,
                "alpha_": settings.alphas,
                "reconstruction_err_": reconstruction_error(ratings, factors, settings),
                "history_": history,
                "n_iter_": len(history["objective"]),
                "_settings": settings,
                "_map": factors.attributes,
                "_motion": factors.motion if kept else None,
                "_resumes": kept,
                "_attribute_names": None if features is None else features.names,
                "_seal": seal,
            }

        return attributes

    def _has_ended(self, past, solver, ratings):
        """Tell whether a fit of the same parameters would do nothing more."""
        if past.n_iter >= self.max_iter or (self.solver == "svd" and is_complete(ratings)):
            return True
        if not self.early_stopping:
            return solver.has_ended(past) if self.solver == "sgd" else self._has_converged(past.history)
        name = "validation_ndcg" if self._is_implicit else "validation_rmse"
        return waited(past.history[name], name, self.tol or 0.0) >= self.n_iter_no_change

    def _has_converged(self, history):
        """Tell whether the last sweep changed next to nothing; epochs and early stopping have ends of their own."""
        if self.solver == "sgd" or self.early_stopping or self.tol is None:
            return False
        objectives = history["objective"]
        return len(objectives) > 1 and objectives[-2] - objectives[-1] <= self.tol * abs(objectives[-1])

    def _warn_unless_converged(self, run):
        if run.stopped or self.solver == "sgd" or self.early_stopping or self.tol is None:
            return
        if len(run.history["objective"]) >= self.max_iter and not self._has_converged(run.history):
            message = f"MatrixFactorization(solver={self.solver!r}) did not converge in {self.max_iter} sweeps; "
            warn_caller(message + "increase max_iter or tol, or set tol=None.", ConvergenceWarning)

    # ------------------------------------------------------------------------------------------------ codes

    def transform(self, X):
        """Return users as vectors, with their bias as a last number where there are biases.

        Parameters
        ----------
        X : array-like, DataFrame or sparse matrix
            Interactions as for :meth:`predict`: each row gives the vector of its user, zeros for an unknown one (or an
            error, if `handle_unknown` is "error"). After ``fit(R)`` a matrix of ratings: its rows are people who need
            not be known, folded in.

        Returns
        -------
        U : ndarray of shape (n_samples, n_components) or (n_samples, n_components + 1)
            Vectors.
        """
        check_is_fitted(self)
        if self._door == "matrix":
            ratings = matrix_histories(self, X, self._is_implicit, len(self.item_ids_))
            return self._fold(as_learned(ratings, self._is_implicit))
        table = read_table(self, X, reset=False)
        users, _ = ask_codes(table, self.user_ids_, self.item_ids_)
        self._refuse_unknown(users, USERS, table.users)
        states = self._states(np.maximum(users, 0))
        states[users < 0] = 0
        return states

    def inverse_transform(self, X):
        """Return the ratings of all items that vectors of users stand for.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components) or (n_samples, n_components + 1)
            As :meth:`transform` returns them.

        Returns
        -------
        R : ndarray of shape (n_samples, n_items)
            Predictions, features aside.
        """
        check_is_fitted(self)
        states = validate_codes(X, self._n_features_out, self.item_factors_.dtype)
        n_bytes = len(states) * len(self.item_ids_) * states.itemsize
        require_memory(n_bytes, f"Predictions of {len(self.item_ids_)} items for {len(states)} users")
        return self._scores(states)

    @property
    def components_(self):
        """The items' factors, a column for each."""
        return self.item_factors_.T

    @property
    def _n_features_out(self):
        return self._settings.n_components + self._settings.fit_bias

    # ------------------------------------------------------------------------------------------------ hooks

    @property
    def _factors(self):
        arrays = self.user_factors_, self.item_factors_, self.user_bias_, self.item_bias_
        return Factors(*arrays, self.mean_, self._map)

    def _solver_of(self, ratings):
        """Return the solver that folds in who has these ratings."""
        n_threads = threads_worth(ratings, self._settings.n_components, self._n_threads)
        return make_solver(replace(self._settings, n_threads=n_threads))

    def _states(self, users):
        return self._joined(self.user_factors_[users], self.user_bias_[users])

    def _joined(self, factors, bias):
        return np.column_stack([factors, bias]) if self._settings.fit_bias else factors

    def _fold(self, ratings):
        return self._joined(*self._solver_of(ratings).fold_users(self._confident(ratings), self._factors))

    def _scores(self, states, items=None):
        items = slice(None) if items is None else items
        V, k = self.item_factors_[items], self._settings.n_components
        shift = self.item_bias_[items] + V.dtype.type(self.mean_)
        scores = row_products(states[:, :k], V, self._n_threads)
        if shift.any():
            scores += shift
        if self._settings.fit_bias:
            scores += states[:, k:]
        return scores

    def _pairs(self, users, items):
        known_users, known_items = users >= 0, items >= 0
        u, i = np.maximum(users, 0), np.maximum(items, 0)
        products = np.einsum("ij,ij->i", self.user_factors_[u], self.item_factors_[i])
        products *= known_users & known_items
        products += self.user_bias_[u] * known_users + self.item_bias_[i] * known_items
        return products + products.dtype.type(self.mean_)

    def _item_vectors(self):
        return self.item_factors_

    def _user_vectors(self):
        return self.user_factors_

    def _reasons(self, user, item):
        past = take_rows(as_learned(self._ratings, self._is_implicit), np.array([user]))
        return reasons(self._confident(past), (user, item), self._solver_of(past), self._factors)

    def __sklearn_tags__(self):
        """Return the tags."""
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
