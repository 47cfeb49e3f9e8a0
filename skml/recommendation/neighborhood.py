"""Recommendations by neighbours: items alike, users alike, or learned weights between items."""

from dataclasses import dataclass, replace
from numbers import Integral, Real

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from skml._sklearn import Interval, StrOptions
from skml.base import run_steps, warn_caller
from skml.recommendation.baseline import fit_baseline, row_biases
from skml.recommendation.doors import as_learned
from skml.recommendation.ease import ease_weights, linear_pairs, linear_scores
from skml.recommendation.ids import named
from skml.recommendation.interactions import LARGEST
from skml.recommendation.neighbors import (
    Vote,
    baseline_of,
    deviations,
    item_neighborhood,
    predict_items,
    predict_pairs,
    predict_rows,
    reasons,
    user_neighborhood,
)
from skml.recommendation.ranking import best_of_scores, take_rows
from skml.recommendation.ratings import Ratings
from skml.recommendation.recommender import BaseRecommender
from skml.recommendation.similarity import Measure, largest, shares, similarities, similarities_to
from skml.recommendation.slim import ElasticNet, slim_steps, slim_weights

# So many similarities are kept for each neighbour that may speak.
_CANDIDATES = 10


@dataclass(frozen=True)
class _People:
    """What is known of users: their biases, and their deviations or their similarities to known users."""

    bias: np.ndarray
    rows: Ratings

    def __getitem__(self, part):
        start, stop, _ = part.indices(len(self.bias))
        return _People(self.bias[part], take_rows(self.rows, np.arange(start, stop)))


class NeighborhoodFilter(BaseRecommender):
    """Predicts by neighbours: what a user said of similar items, or what similar users said of an item.

    A row of X is an interaction: a user, an item, and whatever features go with it; y is the rating. The prediction is
    a baseline, the mean rating and biases of user and item, and by how much neighbours are above or below theirs.

    Parameters
    ----------
    kind : {"item", "user"}, default="item"
        Whose neighbours speak: other items that the user has rated, or other users who have rated the item.
    metric : {"pearson_baseline", "cosine", "pearson", "adjusted_cosine", "jaccard"}, default="pearson_baseline"
        What is similar. "pearson_baseline" is the cosine of deviations from the baseline (Koren 2010); "cosine" that of
        ratings, and "pearson" their correlation, all over common raters; "adjusted_cosine" the cosine less the mean of
        the other side (for items that of the user); "jaccard" the share of raters that are common. With
        implicit feedback what is not there counts as 0, "pearson_baseline" is "cosine", and "pearson" and
        "adjusted_cosine" have no meaning.
    n_neighbors : int, default=40
        The most neighbours that speak in a prediction, the most similar first.
    n_candidates : int or None, default=None
        How many similarities are kept for each item or user, out of which those who speak are taken for each
        prediction. None stands for ``10 * n_neighbors``.
    shrinkage : float, default=100.0
        Similarities are multiplied by ``n / (n + shrinkage)`` with n common raters: few of them prove little.
    min_support : float, default=0.0
        With fewer common raters there is no similarity.
    damping : float, default=0.1
        Similarity with which the baseline itself takes part in the mean of neighbours.
    negative : bool, default=False
        Whether those who are unlike speak too, against their own deviation.
    baseline : float, (float, float) or None, default=1.0
        The penalties of the squared biases, of users and items if two. None has no biases, only the mean. With
        implicit feedback there is no baseline.
    solver : {"neighbors", "ease", "slim"}, default="neighbors"
        "neighbors" computes similarities by `metric`; the others learn weights of items for each other from what the
        baseline leaves, 0 where nothing is known: "ease" in closed form with a dense matrix (Steck 2019), "slim"
        sparse ones by an elastic net (Ning & Karypis 2011). Learned weights need ``kind="item"``, and of the parameters
        above take `baseline` alone.
    alpha : float, default=200.0
        The penalty of learned weights. Of scikit-learn's ElasticNet it is the alpha times the number of users; sums
        and not means are penalised, so that weight k means k copies.
    l1_ratio : float, default=0.5
        What part of `alpha` is for absolute weights, the rest being for squared ones; of "slim".
    positive : bool, default=False
        Whether weights must not be negative; of "slim".
    max_iter : int, default=1000
        The most sweeps of coordinate descent for an item; of "slim".
    tol : float, default=1e-3
        By how much conditions of optimality may be violated at the end, in units of an item's sum of squares; of
        "slim".
    feedback : {"explicit", "implicit"}, default="explicit"
        Whether y are ratings, or confidences that an interaction has a meaning.
    duplicates : {"mean", "last", "sum", "error"}, default="mean"
        What becomes of several rows of a user and an item: the weighted mean, with the weights added; the last row; the
        sum; or an error.
    handle_unknown : {"bias", "mean", "nan", "error"}, default="bias"
        What is predicted for users or items that training has not seen: the mean and what biases are known (with
        implicit feedback how popular the item is, the share of users who have it), the mean alone, NaN, or an error.
    n_jobs : int or None, default=None
        Threads; None means OpenMP's number of them. Results don't depend on it.

    Attributes
    ----------
    user_ids_ : ndarray of shape (n_users,)
        Known users, sorted.
    item_ids_ : ndarray of shape (n_items,)
        Known items, sorted.
    mean_ : float
        The mean rating; 0 with implicit feedback.
    user_bias_ : ndarray of shape (n_users,)
        How far above the mean users rate.
    item_bias_ : ndarray of shape (n_items,)
        How far above the mean items are rated.
    similarities_ : csr_array or ndarray of shape (n_items, n_items) or (n_users, n_users)
        In row j those who speak for j: similarities to it, or weights learned (an ndarray with "ease").
    coef_ : ndarray of shape (n_features,)
        What features of interactions add to a rating. Only if there are columns after user and item.
    feature_means_ : ndarray of shape (n_features,)
        Where they add nothing. Only if there are columns after user and item.
    history_ : dict of str to list of float
        With "slim" `objective` and `n_sweeps` of the items of each task, a hundredth of all; else empty.
    n_iter_ : int
        The most sweeps that an item took; 1 without "slim".
    n_features_in_ : int
        The number of columns of X.
    feature_names_in_ : ndarray of shape (n_features_in,)
        Their names, where X has any.

    See Also
    --------
    skml.recommendation.interactions : A matrix of ratings as interactions.

    Notes
    -----
    `partial_fit` computes the similarities of all that is known now: it gives what `fit` on all interactions gives,
    features' coefficients aside, which stay.

    Folds of rows that stand in the order of users, such as those of ``cv=5``, hold out whole users, and compare guesses
    about strangers. :class:`skml.recommendation.PerUserKFold` or ``KFold(shuffle=True)`` hold out some rows of each.
    Do not choose parameters by ``fit(R)`` and ``score(R)``: rows of a matrix are folded in, and then these same ratings
    are predicted, so that the model that fits closest wins. ``X, y = interactions(R)`` makes interactions of a matrix.

    `explain` names past interactions of the user. With ``kind="user"`` neighbours are people, and what they add is
    divided among the items that made them similar: each gets the share that it has in the sum of the similarity.

    `similar_items` and `similar_users` give what ``similarities_`` holds where it is about them, similarities shrunk by
    `shrinkage` and no plain cosines, else cosines of what the baseline leaves of their ratings.

    There is no `transform`, hence no `set_output`: what the model holds of a person is no vector of a fixed length.

    With implicit feedback features, the columns of X after the second, mean nothing.

    References
    ----------
    Y. Koren (2010). Factor in the neighbors: scalable and accurate collaborative filtering. ACM TKDD 4.
    B. Sarwar, G. Karypis, J. Konstan, J. Riedl (2001). Item-based collaborative filtering recommendation algorithms.
    WWW.
    H. Steck (2019). Embarrassingly shallow autoencoders for sparse data. WWW.
    X. Ning, G. Karypis (2011). SLIM: sparse linear methods for top-n recommender systems. ICDM.

    Examples
    --------
    >>> from skml.recommendation import NeighborhoodFilter
    >>> X = [["ann", "tea"], ["ann", "milk"], ["bob", "tea"], ["bob", "milk"], ["bob", "beer"],
    ...      ["cid", "beer"], ["cid", "tea"], ["cid", "milk"], ["dee", "tea"]]
    >>> y = [5, 4, 5, 5, 1, 5, 1, 2, 5]
    >>> model = NeighborhoodFilter(shrinkage=0.0).fit(X, y)
    >>> model.predict([["dee", "milk"]]).round(1)
    array([4.8])
    >>> model.recommend(["dee"], n=2, return_scores=False)
    array([['milk', 'beer']], dtype=object)
    >>> model.explain("dee", "milk")[0]
    array(['tea'], dtype=object)
    """

    _parameter_constraints: dict = {
        **BaseRecommender._parameter_constraints,
        "kind": [StrOptions({"item", "user"})],
        "metric": [StrOptions({"cosine", "pearson", "adjusted_cosine", "jaccard", "pearson_baseline"})],
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "n_candidates": [Interval(Integral, 1, None, closed="left"), None],
        "shrinkage": [Interval(Real, 0, None, closed="left")],
        "min_support": [Interval(Real, 0, None, closed="left")],
        "damping": [Interval(Real, 0, None, closed="left")],
        "negative": ["boolean"],
        "baseline": [Interval(Real, 0, None, closed="left"), tuple, list, None],
        "solver": [StrOptions({"neighbors", "ease", "slim"})],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "l1_ratio": [Interval(Real, 0, 1, closed="both")],
        "positive": ["boolean"],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        *,
        kind="item",
        metric="pearson_baseline",
        n_neighbors=40,
        n_candidates=None,
        shrinkage=100.0,
        min_support=0.0,
        damping=0.1,
        negative=False,
        baseline=1.0,
        solver="neighbors",
        alpha=200.0,
        l1_ratio=0.5,
        positive=False,
        max_iter=1000,
        tol=1e-3,
        feedback="explicit",
        duplicates="mean",
        handle_unknown="bias",
        n_jobs=None,
    ):
        self.kind = kind
        self.metric = metric
        self.n_neighbors = n_neighbors
        self.n_candidates = n_candidates
        self.shrinkage = shrinkage
        self.min_support = min_support
        self.damping = damping
        self.negative = negative
        self.baseline = baseline
        self.solver = solver
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.positive = positive
        self.max_iter = max_iter
        self.tol = tol
        self.feedback = feedback
        self.duplicates = duplicates
        self.handle_unknown = handle_unknown
        self.n_jobs = n_jobs

    # ------------------------------------------------------------------------------------------ fitting

    def _fit(self, X, y, sample_weight, **how):
        self._require_sense()
        return super()._fit(X, y, sample_weight, **how)

    def _require_sense(self):
        """Refuse combinations of parameters without a meaning."""
        if self.solver != "neighbors" and self.kind == "user":
            raise ValueError(f"solver={self.solver!r} learns weights of items for each other: kind must be 'item'.")
        if self._is_implicit and self.solver == "neighbors" and self.metric in ("pearson", "adjusted_cosine"):
            raise ValueError(
                f"metric={self.metric!r} compares how ratings vary, but implicit feedback has none: take 'cosine' or "
                "'jaccard'."
            )
        pair = self.baseline if isinstance(self.baseline, (tuple, list)) else (0.0, 0.0)
        if len(pair) != 2 or not all(isinstance(alpha, Real) and 0 <= alpha < np.inf for alpha in pair):
            raise ValueError(f"baseline must be one or two penalties of 0 or more, or None, got {self.baseline!r}.")

    def _learn(self, context, ratings, extra):
        fitted = self._fit_baseline(ratings)
        opinions = deviations(ratings, *fitted.values())
        fitted |= {"history_": {}, "n_iter_": 1}
        if self.solver == "slim":
            return self._learn_slim(context, opinions, fitted, extra)
        if self.solver == "ease":
            weights = ease_weights(opinions, self.alpha, self._n_threads)
            return fitted | {"_likeness": weights.T, "_neighborhood": None}
        return fitted | self._find_neighbors(opinions if self._of_deviations else ratings, opinions)

    def _fit_baseline(self, ratings):
        n_users, n_items, dtype = ratings.n_rows, ratings.n_columns, ratings.data.dtype
        mean, user_bias, item_bias = 0.0, np.zeros(n_users, dtype), np.zeros(n_items, dtype)
        if not self._is_implicit:
            mean = float(np.average(ratings.data.astype(np.float64), weights=ratings.weights))
            if self.baseline is not None:
                baseline = fit_baseline(ratings, self._bias_alphas)
                mean, user_bias, item_bias = baseline.mean, baseline.user_bias, baseline.item_bias
        return {"mean_": mean, "user_bias_": user_bias, "item_bias_": item_bias}

    def _find_neighbors(self, ratings, opinions):
        """Return similarities, and who speaks by them."""
        vote = Vote(min(self.n_neighbors, LARGEST), not self._is_implicit, self.damping)
        if self.kind == "item":
            neighborhood = item_neighborhood(similarities(ratings, self._measure, self._n_threads), vote)
            return {"_likeness": neighborhood.back, "_neighborhood": neighborhood}
        similar = similarities(ratings.flipped()[0], self._measure, self._n_threads)
        return {"_likeness": Ratings.of_matrix(similar), "_neighborhood": user_neighborhood(opinions, vote)}

    def _learn_slim(self, context, opinions, fitted, extra):
        def attributes(blocks, history):
            weights = slim_weights(blocks, opinions.n_columns)
            neighborhood = item_neighborhood(weights, Vote(max(1, opinions.n_columns), mean=False))
            n_iter = max(1, int(max(history["n_sweeps"])))
            learned = {"_likeness": neighborhood.back, "_neighborhood": neighborhood}
            return {**fitted, **learned, "history_": history, "n_iter_": n_iter}

        penalties = self.alpha * self.l1_ratio, self.alpha * (1 - self.l1_ratio)
        net = ElasticNet(*penalties, self.positive, min(self.max_iter, LARGEST), self.tol)
        steps = slim_steps(opinions, net, self._n_threads)
        run = run_steps(self, context, steps, task="items", attributes=attributes, **extra.seen)
        learned = attributes(run.state, run.history)
        if learned["n_iter_"] >= self.max_iter and run.stopped is None:
            warn_caller(f"Some items took max_iter={self.max_iter} sweeps; raise it, or tol.", ConvergenceWarning)
        several = min(opinions.n_rows, opinions.n_columns) > 1 and opinions.data.any()
        if several and run.stopped is None and not learned["_likeness"].data.any():
            warn_caller(f"All weights are 0, nothing is learned: lower alpha={self.alpha:g}, or l1_ratio.", UserWarning)
        return learned

    @property
    def similarities_(self):
        """In row j those who speak for j, and how similar they are, or what weight was learned for them."""
        return self._likeness.matrix() if isinstance(self._likeness, Ratings) else self._likeness

    @property
    def _bias_alphas(self):
        if self.baseline is None:
            return 1.0, 1.0  # of the biases beside which the features are fitted
        return tuple(self.baseline) if isinstance(self.baseline, (tuple, list)) else (self.baseline, self.baseline)

    @property
    def _of_deviations(self):
        return self.metric == "pearson_baseline"

    @property
    def _measure(self):
        return Measure(
            "cosine" if self._of_deviations else self.metric,
            "zero" if self._is_implicit else "unknown",
            self.shrinkage,
            self.min_support,
            self.n_candidates or _CANDIDATES * self.n_neighbors,
            self.negative,
        )

    # -------------------------------------------------------------------------------------- predictions

    def _states(self, users):
        bias = self._bias_of(users)
        if self.kind == "user":
            return _People(bias, take_rows(self._likeness, users))
        return _People(bias, self._heard(self._opinions(take_rows(self._ratings, users), bias)))

    def _fold(self, ratings):
        bias = self._folded_bias(ratings)
        opinions = deviations(ratings, self.mean_, bias, self.item_bias_)
        if self.kind == "item":
            return _People(bias, self._heard(opinions))
        known = self._neighborhood.links if self._of_deviations else as_learned(self._ratings, self._is_implicit)
        told = opinions if self._of_deviations else ratings
        similar = similarities_to(told, known, self._measure, self._n_threads)
        return _People(bias, Ratings.of_matrix(similar))

    def _folded_bias(self, ratings):
        """Return the biases of users given those of items: where the baseline's equations have them."""
        if self._is_implicit or self.baseline is None:
            return np.zeros(ratings.n_rows, self._dtype)
        bias = row_biases(ratings, self.mean_, self.item_bias_, self._bias_alphas[0])
        return bias.astype(self._dtype, copy=False)

    def _opinions(self, ratings, bias):
        return deviations(as_learned(ratings, self._is_implicit), self.mean_, bias, self.item_bias_)

    def _heard(self, opinions):
        """Return opinions as they are heard: learned weights add them up, however much each weighs."""
        return opinions if self.solver == "neighbors" else replace(opinions, weights=None)

    def _bias_of(self, codes):
        return np.where(codes >= 0, self.user_bias_[codes], 0)

    def _scores(self, states, items=None):
        if self.solver == "ease":
            said = linear_scores(states.rows, self._likeness.T, items)
        elif items is None:
            said = predict_rows(states.rows, self._neighborhood, self._n_threads)
        else:
            codes = np.asarray(items, dtype=np.int32)
            said = predict_items(states.rows, self._neighborhood, codes, self._n_threads)
        item_bias = self.item_bias_ if items is None else self.item_bias_[items]
        return said + baseline_of(self.mean_, states.bias[:, np.newaxis], item_bias)

    def _pairs(self, users, items):
        item_bias = np.where(items >= 0, self.item_bias_[items], 0)
        predictions = baseline_of(self.mean_, self._bias_of(users), item_bias)
        known = (users >= 0) & (items >= 0)
        distinct, rows = np.unique(users[known], return_inverse=True)
        pairs = rows.astype(np.int32), items[known].astype(np.int32, copy=False)
        states = self._states(distinct).rows
        if self.solver == "ease":
            predictions[known] += linear_pairs(states, self._likeness.T, *pairs)
        else:
            predictions[known] += predict_pairs(states, self._neighborhood, *pairs, self._n_threads)
        return predictions

    # ---------------------------------------------------------------------------------------- questions

    def _deviation_matrix(self):
        return self._opinions(self._ratings, self.user_bias_).matrix()

    def _item_vectors(self):
        return self._deviation_matrix().T.tocsr()

    def _user_vectors(self):
        return self._deviation_matrix()

    def _similar(self, codes, name, ids, vectors, asked):
        if name != f"{self.kind}s":
            return super()._similar(codes, name, ids, vectors, asked)
        n, return_scores = asked
        self._require_room(len(codes), n, ids)
        known = np.flatnonzero(codes >= 0)
        places = np.full((len(codes), n), -1, np.int32)
        scores = np.full(places.shape, np.nan, self._dtype)
        places[known], scores[known] = self._most_similar(codes[known], n)
        similar = named(places, ids)
        return (similar, scores) if return_scores else similar

    def _most_similar(self, codes, n):
        if isinstance(self._likeness, Ratings):
            return largest(take_rows(self._likeness, codes), n)
        own = np.arange(len(codes) + 1, dtype=np.int32), codes.astype(np.int32, copy=False)
        return best_of_scores(self._likeness[codes], n, own, self._n_threads)

    def _reasons(self, user, item):
        rows = self._states(np.array([user], np.int32)).rows
        if self.solver == "ease":
            return rows.data.astype(np.float64) * self._likeness[item, rows.indices]
        past = self._ratings.indices[self._ratings.indptr[user] : self._ratings.indptr[user + 1]]
        found, contributions = np.zeros(len(past)), reasons(rows, self._neighborhood, 0, item)
        if self.kind == "user":
            contributions = self._by_common_items(user, *contributions)
        np.add.at(found, np.searchsorted(past, contributions[0]), contributions[1])
        return found

    def _by_common_items(self, user, neighbors, contributions):
        """Divide what neighbours add among the items that make them similar to the user."""
        ratings = take_rows(as_learned(self._ratings, self._is_implicit), np.append(user, neighbors))
        if self._of_deviations:
            ratings = take_rows(self._neighborhood.links, np.append(user, neighbors))
        if self.metric == "adjusted_cosine":
            means = self._ratings.flipped()[0].row_means()
            ratings = ratings.with_data(ratings.data - means[ratings.indices])
        parts = [shares(ratings, 0, row, self._measure.metric) for row in range(1, len(neighbors) + 1)]
        items = [items for items, _ in parts]
        terms = [share * contribution for (_, share), contribution in zip(parts, contributions)]
        return np.concatenate([np.empty(0, np.int32), *items]), np.concatenate([np.empty(0), *terms])
