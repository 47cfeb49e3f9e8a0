"""Recommendations by what items are: the estimator."""

import copy
from dataclasses import replace
from numbers import Integral, Real

import numpy as np
import scipy.sparse as sp
from sklearn.base import TransformerMixin
from sklearn.utils.validation import check_is_fitted

from skml._sklearn import HasMethods, Interval, StrOptions, check_feature_names_in
from skml.base import fitting, require_memory, warn_caller
from skml.recommendation.baseline import fit_baseline, row_biases
from skml.recommendation.doors import as_learned, ask_codes, matrix_histories, read_table
from skml.recommendation.ids import find, merge_ids
from skml.recommendation.interactions import merged
from skml.recommendation.item_features import (
    check_absent,
    fit_item_features,
    rows_or_zeros,
    transform_item_features,
)
from skml.recommendation.item_means import item_means, scale_of
from skml.recommendation.profiles import (
    People,
    common_profile,
    content_pairs,
    content_scores,
    contributions,
    liked,
    line_through,
    profiles_of,
    ridge_reasons,
    ridge_states,
    rocchio_coefficients,
    rocchio_states,
    whitening,
)
from skml.recommendation.ranking import take_rows, unit_rows
from skml.recommendation.recommender import BaseRecommender
from skml.recommendation.tables import USERS


class ContentFilter(TransformerMixin, BaseRecommender):
    r"""Recommends items by what they are: each user has a profile over the attributes of items.

    It can recommend items that nobody has rated, and it works for people who have rated a single item.

    A rating is explained by a baseline and the profile :math:`p_u` of the user over the attributes :math:`a_i` of
    the item,

    .. math:: r_{ui} \approx \mu + b_u + b_i + p_u^T a_i.

    The attributes are the rows of `item_features` given to :meth:`fit`; or, without that, the columns of X after
    the second, averaged over the rows of each item; or, if there are none either, each item is its own attribute,
    and of an item that a user has not rated the baseline alone speaks.

    Parameters
    ----------
    profile : {"ridge", "rocchio"}, default="ridge"
        "ridge" regresses what the baseline leaves of a user's ratings on the attributes of the rated items. "rocchio"
        takes the mean direction of the attributes of items that the user likes, less `gamma` times that of the
        others; scores are cosines, and one line through all training ratings turns them into ratings.
    alpha : float, default=10.0
        The ridge penalty on profiles, attributes being standardised.
    bias_alpha : float, default=1.0
        The penalty on the biases of users and items.
    threshold : float or None, default=None
        For "rocchio": a user likes items rated at least this; None means at least as the user rates on average. With
        implicit feedback all items of a user are liked.
    gamma : float, default=0.25
        For "rocchio": how much items count that are not liked.
    transformer : transformer or None, default=None
        Makes numbers of `item_features` without their ids, e.g. a ColumnTransformer; a clone is fitted on the items
        of training. None: numbers are standardised, missing ones replaced by the mean; categories are one-hot; columns
        of `text` are tf-idf; a sparse matrix is taken as it is.
    text : str, int, list of these or None, default=None
        Columns of `item_features` that hold text; for the default transformer.
    id_column : str, int or None, default=None
        The column of `item_features` that holds the items' ids; None means the index of a pandas DataFrame, else the
        row numbers.
    absent : {"error", "zeros"}, default="error"
        What to do with items of training that have no row in `item_features`: refuse, or give them zeros, which among
        standardised numbers are the mean.
    feedback : {"explicit", "implicit"}, default="explicit"
        Whether y are ratings; else they are confidences that a user likes an item, and everything that a user has no
        interaction with counts as not liked with confidence 1 ("ridge"; the items of training are meant).
    duplicates : {"mean", "last", "sum", "error"}, default="mean"
        What becomes of several ratings of an item by a user: their weighted mean, weights added; the last row; the
        sum; or a ValueError.
    handle_unknown : {"bias", "mean", "nan", "error"}, default="bias"
        How to predict where the user or the item is unknown: what is known is used, which for an unknown item
        includes the attributes that X itself has columns of, and of an unknown user with implicit feedback how popular
        the item is, the share of users who have it; the mean of all ratings; NaN; or a ValueError. Rows of
        `item_features` make their items known.
    n_jobs : int or None, default=None
        The number of threads; None means all that are allowed, -1 all processors. It changes no result.

    Attributes
    ----------
    user_ids_ : ndarray of shape (n_users,)
        The users of training.
    item_ids_ : ndarray of shape (n_items,)
        The items of training, sorted or as a matrix has them, then those that only `item_features` knows.
    item_attributes_ : ndarray or sparse array of shape (n_items, n_attributes)
        What profiles are about.
    user_profiles_ : ndarray or sparse array of shape (n_users, n_attributes)
        The profiles.
    mean_ : float
        The mean rating; 0 with implicit feedback.
    user_bias_ : ndarray of shape (n_users,)
        How much more than others a user gives; 0 with implicit feedback.
    item_bias_ : ndarray of shape (n_items,)
        How much more than others an item gets. Of items without ratings it is what their attributes let expect.
    attribute_coef_ : ndarray of shape (n_attributes,)
        What an attribute adds to the bias of an item nobody has rated, by ridge regression of the others' biases.
    coef_ : ndarray of shape (n_columns - 2,)
        What the columns of X after the second add to a rating, only if there are any and `item_features` too.
    feature_means_ : ndarray of shape (n_columns - 2,)
        Their means, only if there is ``coef_``.
    transformer_ : estimator or None
        The fitted transformer of `item_features`; None without them and for a sparse matrix.
    n_features_in_ : int
        The number of columns of X.
    feature_names_in_ : ndarray of shape (n_features_in,)
        Their names, if X has any.

    See Also
    --------
    MatrixFactorization : Factors that are learned from ratings alone, or with attributes for new items.
    NeighborhoodFilter : What users said of similar items.
    skml.recommendation.get_scorer : Scorers of ranked lists, such as "ndcg@10".

    Notes
    -----
    The table of attributes need not be aligned with X, but scikit-learn's model selection cuts metadata of as many rows
    as X has as if it were. A pair ``(ids, table)`` is never cut.

    Folds of rows that stand in the order of users, such as those of ``cv=5``, hold out whole users, and compare guesses
    about strangers. :class:`skml.recommendation.PerUserKFold` or ``KFold(shuffle=True)`` hold out some rows of each.
    Do not choose parameters by ``fit(R)`` and ``score(R)``: rows of a matrix are folded in, and then these same ratings
    are predicted, so that the model that fits closest wins. ``X, y = interactions(R)`` makes interactions of a matrix.

    :meth:`explain` says what each past rating adds to the prediction by what it is above or below the baseline: with
    "ridge" the terms of the profile, which is linear in them. They add up to :math:`p_u^T a_i`; with "rocchio" to that
    times the slope of the line, whose intercept no rating explains.

    A user's profile costs one small linear system, of the order of the user's ratings or of the attributes, whichever
    is less. :meth:`partial_fit` computes all profiles anew, from all interactions so far.

    References
    ----------
    Rocchio (1971). Relevance feedback in information retrieval. In: The SMART retrieval system.
    Lops, de Gemmis, Semeraro (2011). Content-based recommender systems: state of the art and trends. In: Recommender
    systems handbook.
    Hu, Koren, Volinsky (2008). Collaborative filtering for implicit feedback datasets. ICDM.

    Examples
    --------
    >>> import numpy as np
    >>> from skml import ContentFilter
    >>> X = [["ann", "alien"], ["ann", "amelie"], ["bob", "alien"], ["bob", "amelie"]]
    >>> films = (["alien", "amelie", "solaris", "chocolat"], [["space"], ["romance"], ["space"], ["romance"]])
    >>> model = ContentFilter(alpha=1.0).fit(X, [5, 1, 2, 4], item_features=films)
    >>> model.recommend(["ann", "bob"], n=1, return_scores=False).tolist()
    [['solaris'], ['chocolat']]
    >>> items, reasons = model.explain("ann", "solaris")
    >>> items.tolist(), bool(reasons[0] > 0)
    (['alien', 'amelie'], True)
    >>> later = (["gravity", "titanic"], [["space"], ["romance"]])
    >>> model.recommend(["ann"], n=1, candidates=["gravity", "titanic"], item_features=later)[0].tolist()
    [['gravity']]
    """

    _has_attributes = True
    _parameter_constraints = {
        "profile": [StrOptions({"ridge", "rocchio"})],
        "alpha": [Interval(Real, 0, None, closed="neither")],
        "bias_alpha": [Interval(Real, 0, None, closed="left")],
        "threshold": [Interval(Real, None, None, closed="neither"), None],
        "gamma": [Interval(Real, 0, None, closed="left")],
        "transformer": [HasMethods(["fit", "transform"]), None],
        "text": [str, Interval(Integral, 0, None, closed="left"), list, tuple, None],
        "id_column": [str, Interval(Integral, 0, None, closed="left"), None],
        "absent": [StrOptions({"error", "zeros"})],
        **BaseRecommender._parameter_constraints,
    }

    def __init__(
        self,
        profile="ridge",
        *,
        alpha=10.0,
        bias_alpha=1.0,
        threshold=None,
        gamma=0.25,
        transformer=None,
        text=None,
        id_column=None,
        absent="error",
        feedback="explicit",
        duplicates="mean",
        handle_unknown="bias",
        n_jobs=None,
    ):
        self.profile = profile
        self.alpha = alpha
        self.bias_alpha = bias_alpha
        self.threshold = threshold
        self.gamma = gamma
        self.transformer = transformer
        self.text = text
        self.id_column = id_column
        self.absent = absent
        self.feedback = feedback
        self.duplicates = duplicates
        self.handle_unknown = handle_unknown
        self.n_jobs = n_jobs

    # ---------------------------------------------------------------------------------------------- fitting

    @fitting
    def fit(self, X, y=None, sample_weight=None, item_features=None):
        """Learn profiles from interactions, or from a matrix of ratings.

        Parameters
        ----------
        X : array-like, DataFrame or sparse matrix
            Interactions of shape (n_samples, 2 or more): user, item, and numeric features, which without
            `item_features` are attributes of the row's item. Without y: ratings of shape (n_users, n_items), dense with
            NaN or sparse with unstored entries for missing ones; with implicit feedback sparse confidences (a dense X
            is interactions).
        y : array-like of shape (n_samples,), default=None
            Ratings; with implicit feedback confidences, None meaning 1.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight k means the same as k copies of the row (of ratings with ``duplicates="mean"``: the other rules tell
            copies from weights), weight 0 that it isn't there.
        item_features : DataFrame, array-like, sparse matrix, or pair (ids, table), default=None
            A row of attributes for each item, in any order. Rows of items that X does not have are new items, which
            can be recommended.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        return self._fit(X, y, sample_weight, side={"item_features": item_features})

    @fitting
    def partial_fit(self, X, y=None, sample_weight=None, item_features=None):
        """Take in more interactions, users and items.

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
        item_features : DataFrame, array-like, sparse matrix, or pair (ids, table), default=None
            The attributes of further items, with the columns that :meth:`fit` had. Those of items known before stay.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        return self._fit(X, y, sample_weight, more=hasattr(self, "_ratings"), side={"item_features": item_features})

    def _take_in(self, rows, door, more, seen, side):
        table = side["item_features"]
        if more and table is not None and self._source != "table":
            raise ValueError("partial_fit takes item_features only if fit had them.")
        if not more:
            has_columns = rows.features.shape[1] > 0
            self._source = "table" if table is not None else "columns" if has_columns else "items"
            self._warn_of_unused(table)
        extra = super()._take_in(rows, door, more, seen, side)
        by = {"table": self._describe_by_table, "columns": self._describe_by_columns, "items": self._describe_by_items}
        by[self._source](rows, extra, table)
        return extra

    def _warn_of_unused(self, table):
        names = [name for name in ("transformer", "text", "id_column") if getattr(self, name) is not None]
        if names and table is None:
            said = "is about item_features, and fit" if len(names) == 1 else "are about item_features, and fit"
            warn_caller(f"{', '.join(names)} {said} was not given any: fit(X, y, item_features=table).", UserWarning)

    def _without_context(self, rows, more):
        if self._source == "table":
            return super()._without_context(rows, more)
        for name in () if more else ("coef_", "feature_means_"):
            vars(self).pop(name, None)
        return merged(rows.users, rows.items, rows.y, rows.weights, rows.shape, self.duplicates)

    def _describe_by_items(self, rows, extra, table):
        self.item_attributes_ = sp.eye_array(len(self.item_ids_), dtype=self._dtype, format="csr")
        self.transformer_ = None

    def _describe_by_columns(self, rows, extra, table):
        items, features, weights = find(rows.item_ids, self.item_ids_)[rows.items], rows.features, rows.weights
        if extra.new is not None:
            old = self._means
            weights = np.ones(len(items)) if weights is None else weights
            items, weights = np.append(extra.old_items, items), np.append(old.weights, weights)
            features = np.concatenate([old.means, features])
        self._means = item_means(items, features, weights, len(self.item_ids_))
        self._scale = scale_of(self._means.means)
        self.item_attributes_ = self._scale.standardised(self._means.means, self._dtype)
        self.transformer_ = None

    def _describe_by_table(self, rows, extra, table):
        if extra.new is None:
            text = () if self.text is None else self.text
            options = {"transformer": self.transformer, "text": text, "id_column": self.id_column}
            found = fit_item_features(table, self.item_ids_, absent=self.absent, dtype=self._dtype, **options)
            ids, attributes = found.ids, found.matrix
            self._reader, self.transformer_ = replace(found, ids=ids[:0], matrix=attributes[:0]), found.transformer
        else:
            ids, attributes = self._with_more(extra.old_items, table)
        self.item_ids_, self.item_attributes_ = ids, attributes
        self._ratings = replace(self._ratings, n_columns=len(ids))

    def _with_more(self, old_items, table):
        """Return ids and attributes of all items, of which some have got other codes."""
        ids, rows, pool = self.item_ids_, np.full(len(self.item_ids_), -1), self.item_attributes_
        if table is not None:
            more_ids, more = transform_item_features(self._reader, table)
            ids, _, codes = merge_ids(ids, more_ids, "The ids of items", ordered=False)
            rows = np.full(len(ids), -1)
            rows[codes] = pool.shape[0] + np.arange(len(codes))
            pool = _stacked(pool, more)
        rows[old_items] = np.arange(len(old_items))
        check_absent(ids, rows, self.absent)
        return ids, rows_or_zeros(pool, rows)

    def _learn(self, context, ratings, extra):
        self._set_compared()
        self._set_baseline(ratings)
        self._line = (1.0, 0.0)
        people = self._fold(ratings)
        if self.profile == "rocchio" and not self._is_implicit:
            rest, pairs = self._rest(ratings, people.bias), (ratings.rows(), ratings.indices)
            scores = content_pairs(people.profiles, self._compared, *pairs)
            self._line = line_through(scores, rest.data, rest.weights)
        return {"_people": people, "user_bias_": people.bias}

    def _set_compared(self):
        """Set attributes as profiles see them."""
        self._back = None
        if self.profile == "ridge" and self._is_implicit:
            if self._source == "items":
                self._back = np.sqrt(1 / (1 + self.alpha)).astype(self._dtype)
            else:
                trained = np.bincount(self._ratings.indices, minlength=len(self.item_ids_)) > 0
                self._back = whitening(_dense(self.item_attributes_[trained]), self.alpha)
        self._compared = self._as_compared(self.item_attributes_)

    def _as_compared(self, attributes):
        if self.profile == "rocchio":
            return unit_rows(attributes)
        if self._back is None:
            return attributes
        return attributes * self._back if self._source == "items" else _dense(attributes) @ self._back

    def _set_baseline(self, ratings):
        n_items = len(self.item_ids_)
        self.mean_, self.item_bias_ = 0.0, np.zeros(n_items, self._dtype)
        self.attribute_coef_ = np.zeros(self.item_attributes_.shape[1], self._dtype)
        if self._is_implicit:
            return
        baseline = fit_baseline(ratings, (self.bias_alpha, self.bias_alpha))
        weights = ratings.column_weights()
        coef = common_profile(self.item_attributes_, baseline.item_bias, weights, self.alpha)
        expected = self.item_attributes_ @ coef
        self.mean_, self.attribute_coef_ = baseline.mean, coef
        self.item_bias_ = np.where(weights > 0, baseline.item_bias, expected)

    # ---------------------------------------------------------------------------------------------- model

    def _states(self, users):
        return self._people[users]

    def _fold(self, ratings):
        bias = np.zeros(ratings.n_rows, self._dtype)
        if not self._is_implicit:
            bias = row_biases(ratings, self.mean_, self.item_bias_, self.bias_alpha).astype(self._dtype, copy=False)
        states = rocchio_states if self.profile == "rocchio" else ridge_states
        arguments, options = self._posed(ratings, bias)
        return People(bias, states(*arguments, **options))

    def _rest(self, ratings, bias):
        """Return ratings less the baseline."""
        base = bias[ratings.rows()] + self.item_bias_[ratings.indices]
        return ratings.with_data((ratings.data - base - self.mean_).astype(self._dtype))

    def _posed(self, ratings, bias):
        """Return what the functions of profiles take."""
        if self.profile == "ridge":
            rest = ratings if self._is_implicit else self._rest(ratings, bias)
            options = {"confidence": self._is_implicit, "n_threads": self._n_threads}
            return (rest, self._compared, 1.0 if self._is_implicit else self.alpha), options
        if self._is_implicit:
            weighted = replace(ratings, weights=ratings.data)
            return (weighted, self._compared, np.ones(len(ratings.data), bool), self.gamma), {}
        return (ratings, self._compared, liked(ratings, self.threshold, self.mean_), self.gamma), {}

    def _scores(self, states, items=None):
        wanted = self._compared if items is None else self._compared[items]
        scores = content_scores(states.among(self._compared.shape[0]).profiles, self._compared, wanted)
        if self._is_implicit:
            return scores
        slope, intercept = self._line
        item_bias = self.item_bias_ if items is None else self.item_bias_[items]
        return slope * scores + (self.mean_ + intercept) + states.bias[:, np.newaxis] + item_bias

    def _pairs(self, users, items):
        u, i = np.maximum(users, 0), np.maximum(items, 0)
        profiles = self._people.among(self._compared.shape[0]).profiles
        scores = np.where((users >= 0) & (items >= 0), content_pairs(profiles, self._compared, u, i), 0)
        if self._is_implicit:
            return scores
        slope, intercept = self._line
        b_u, b_i = np.where(users >= 0, self._people.bias[u], 0), np.where(items >= 0, self.item_bias_[i], 0)
        return slope * scores + (self.mean_ + intercept) + b_u + b_i

    def _predict_rows(self, users, items, features):
        predictions, new = super()._predict_rows(users, items, features), items < 0
        if self._source == "columns" and self.handle_unknown == "bias" and new.any():
            # an unknown item of which X tells the attributes
            n_items, n_new = len(self.item_ids_), int(new.sum())
            other = self._with_items(self._scale.standardised(features[new], self._dtype))
            predictions[new] = other._predict_codes(users[new], n_items + np.arange(n_new, dtype=np.int32))
        return predictions

    def _with_items(self, attributes):
        """Return a copy that knows further items by their attributes."""
        other = copy.copy(self)
        other._compared = _stacked(self._compared, self._as_compared(attributes))
        other._ratings = replace(self._ratings, n_columns=other._compared.shape[0])
        other.item_bias_ = np.append(self.item_bias_, attributes @ self.attribute_coef_)
        return other

    def _item_vectors(self):
        return self.item_attributes_

    def _user_vectors(self):
        return self.user_profiles_

    def _reasons(self, user, item):
        past = as_learned(take_rows(self._ratings, np.array([user])), self._is_implicit)
        arguments, options = self._posed(past, self.user_bias_[[user]])
        own, wanted = self._compared[past.indices], self._compared[[item]]
        if self.profile == "rocchio":
            return self._line[0] * contributions(rocchio_coefficients(*arguments), own, wanted)
        rest, attributes, alpha = arguments
        return ridge_reasons(rest, attributes, wanted, alpha, confidence=options["confidence"])

    # -------------------------------------------------------------------------------------------- questions

    def recommend(
        self,
        users=None,
        n=10,
        *,
        exclude_seen=True,
        candidates=None,
        return_scores=True,
        histories=None,
        item_features=None,
    ):
        """Recommend items, best first; of equal ones that of the lower code (place in ``item_ids_``) first.

        Parameters
        ----------
        users : array-like of shape (n_users,) or None, default=None
            Ids; None means all of ``user_ids_``. Users who are unknown get what people without ratings get, or with
            `handle_unknown` "nan" nothing. With implicit feedback that is what is popular, also with "mean".
        n : int, default=10
            How many for each.
        exclude_seen : bool, default=True
            Whether to leave out what a user has interacted with.
        candidates : array-like of shape (n_candidates,) or None, default=None
            Items to choose from; unknown ones are left out. None means all.
        return_scores : bool, default=True
            Whether to return scores as well.
        histories : sequence of dict {item: rating}, matrix of shape (n_users, n_items), or None, default=None
            In place of `users`: people who need not be known, by what they have said; an empty history is one. With
            implicit feedback lists of items will do. A matrix (sparse, or dense with NaN) has a column for each of
            ``item_ids_``, or after ``fit(R)`` those of R; a DataFrame columns named by items, in any order.
        item_features : DataFrame, array-like, sparse matrix, or pair (ids, table), default=None
            Attributes of items that came after the fit, with the columns that :meth:`fit` had: they can then be
            recommended. The attributes of known items stay as they are.

        Returns
        -------
        items : ndarray of shape (n_users, n)
            Ids. Where no item is left: -1 for ids that are integers, NaN for floats, else None or an empty string.
        scores : ndarray of shape (n_users, n)
            NaN where no item is left. Only if `return_scores`.
        """
        check_is_fitted(self)
        model = self if item_features is None else self._with_table(item_features)
        asked = {"exclude_seen": exclude_seen, "candidates": candidates, "histories": histories}
        return super(ContentFilter, model).recommend(users, n, return_scores=return_scores, **asked)

    def _with_table(self, table):
        if self._source != "table":
            raise ValueError("recommend takes item_features only if fit had them.")
        ids, attributes = transform_item_features(self._reader, table)
        new = find(ids, self.item_ids_) < 0
        if not new.any():
            return self
        other = self._with_items(attributes[new])
        other.item_ids_ = merge_ids(self.item_ids_, ids[new], "The ids of items", ordered=False)[0]
        return other

    # --------------------------------------------------------------------------------------------- profiles

    @property
    def user_profiles_(self):
        """The profiles of the users of training."""
        return self._profiles(self._people)

    def _profiles(self, people):
        """Return profiles over the attributes as they are."""
        profiles = profiles_of(people.among(self._compared.shape[0]).profiles, self._compared)
        if self._back is None:
            return profiles
        return profiles * self._back if self._source == "items" else profiles @ self._back.T

    def transform(self, X):
        """Return profiles over the attributes of items.

        Parameters
        ----------
        X : array-like, DataFrame or sparse matrix
            Interactions, of which the users are looked at; or after ``fit(R)`` a matrix, whose rows are folded in.

        Returns
        -------
        profiles : ndarray or sparse array of shape (n_samples, n_attributes)
            Of each row's user, zeros for an unknown one; sparse where ``item_attributes_`` is.
        """
        check_is_fitted(self)
        if self._door == "matrix":
            histories = matrix_histories(self, X, self._is_implicit, len(self.item_ids_))
            return self._profiles(self._fold(as_learned(histories, self._is_implicit)))
        table = read_table(self, X, reset=False)
        users, _ = ask_codes(table, self.user_ids_, self.item_ids_)
        self._refuse_unknown(users, USERS, table.users)
        return rows_or_zeros(self.user_profiles_, users)

    def get_feature_names_out(self, input_features=None):
        """Return the names of the attributes.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            The columns of X; None means their names at fit, else x0, x1...

        Returns
        -------
        names : ndarray of str of shape (n_attributes,)
            From `item_features`, the columns of X after the second, or the items.
        """
        check_is_fitted(self)
        names = check_feature_names_in(self, input_features)
        if self._source == "table":
            return self._reader.names
        return names[2:] if self._source == "columns" else np.array([str(one) for one in self.item_ids_], dtype=object)

    def __sklearn_tags__(self):
        """Return the tags: profiles have the type of the ratings."""
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _stacked(matrix, more):
    if sp.issparse(matrix):
        return sp.csr_array(sp.vstack([matrix, sp.csr_array(more)], format="csr"))
    return np.vstack([matrix, more])


def _dense(attributes):
    if not sp.issparse(attributes):
        return attributes
    n, d = attributes.shape
    require_memory(8 * (2 * n * d + 3 * d * d), "Implicit ridge profiles over sparse attributes")
    return attributes.toarray()
