"""What all recommenders share: the two doors, ids, predictions, and the questions one asks them."""

from collections.abc import Hashable
from dataclasses import dataclass
from numbers import Integral

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.callback import CallbackSupportMixin
from sklearn.metrics import r2_score
from sklearn.utils import check_scalar
from sklearn.utils.validation import check_is_fitted

from skml import _kernels
from skml._sklearn import StrOptions
from skml.base import fit_task, fitting, require_memory, validate_weights
from skml.recommendation.baseline import context, fit_rows
from skml.recommendation.doors import (
    as_learned,
    ask_codes,
    door_of,
    frame_histories,
    known_codes,
    matrix_histories,
    no_ratings,
    read_histories,
    read_rows,
    read_table,
    warn_of_doors,
)
from skml.recommendation.holdout import told_and_asked
from skml.recommendation.ids import is_numeric, look_up, merge_ids, named, other_kind
from skml.recommendation.interactions import joined, merged, moved
from skml.recommendation.ranking import (
    best_items,
    blocks_of,
    closest_rows,
    in_order,
    is_one_of_many,
    ndcg_without,
    take_rows,
)
from skml.recommendation.ratings import Ratings, check_range
from skml.recommendation.tables import (
    DENSE_MATRIX,
    ITEMS,
    TWO_DOORS,
    USERS,
    as_column,
    as_table,
    has_row_names,
    is_frame,
    shape_of,
    without_labels,
)

# Predictions are made for so many pairs at a time.
_PAIRS = 1 << 16


@dataclass(frozen=True)
class Extra:
    """What `_learn` may need beside the ratings.

    Attributes
    ----------
    seen : dict
        "X", "y" and "sample_weight" as given, for :func:`skml.base.run_steps`.
    side : dict
        What the recommender's own `fit` handed to `_fit`.
    old_users, old_items : ndarray of int32, or None
        The codes that the users and items of the last fit have now, -1 for those that are gone. None unless the fit
        goes on (`partial_fit`, or `warm_start`); the model's attributes are still those of the last fit.
    new : Ratings or None
        The interactions that `partial_fit` adds, in the new codes; None for `fit`.
    """

    seen: dict
    side: dict
    old_users: np.ndarray | None
    old_items: np.ndarray | None
    new: Ratings | None

    def has_same_ids(self, shape):
        """Tell whether the users and items, so many, are those of the last fit, under the same codes."""
        return all(map(np.array_equal, (self.old_users, self.old_items), map(np.arange, shape)))


class BaseRecommender(CallbackSupportMixin, RegressorMixin, BaseEstimator):
    """Base of recommenders: all but the model itself.

    A recommender has the parameters `feedback`, `duplicates`, `handle_unknown` and `n_jobs`, and implements the hooks
    `_learn`, `_states`, `_fold`, `_scores`, `_pairs`, `_item_vectors`, `_user_vectors` and `_reasons`.
    """

    _parameter_constraints = {
        "feedback": [StrOptions({"explicit", "implicit"})],
        "duplicates": [StrOptions({"mean", "last", "sum", "error"})],
        "handle_unknown": [StrOptions({"bias", "mean", "nan", "error"})],
        "n_jobs": [None, Integral],
    }

    # The penalty of features' coefficients, which are in units of their standard deviations.
    _feature_alpha = 1.0
    _has_attributes = False  # whether the columns of X are attributes of items, also with implicit feedback
    _bias_alphas = (1.0, 1.0)  # those of the biases that are fitted beside the features

    # ---------------------------------------------------------------------------------------------- fitting

    @fitting
    def fit(self, X, y=None, sample_weight=None):
        """Learn from interactions, or from a matrix of ratings.

        Parameters
        ----------
        X : array-like, DataFrame or sparse matrix
            With y, or with implicit feedback: interactions of shape (n_samples, 2 or more), the columns being user,
            item and numeric features. Ids are numbers, strings or anything hashable that has an order. Without y:
            ratings of shape (n_users, n_items), dense with NaN or sparse with unstored entries for missing ones; with
            implicit feedback sparse ones, the confidences.
        y : array-like of shape (n_samples,), default=None
            Ratings; with implicit feedback confidences, None meaning 1.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight k means the same as k copies of the row (of ratings with ``duplicates="mean"``: the other rules tell
            copies from weights), weight 0 that it isn't there.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        return self._fit(X, y, sample_weight)

    @fitting
    def partial_fit(self, X, y=None, sample_weight=None):
        """Take in more interactions, users and items, and go on from the model there is.

        Parameters
        ----------
        X : array-like, DataFrame or sparse matrix
            As for :meth:`fit`, through the same door. Rows of a matrix are new users, unless a DataFrame's index names
            known ones; the index 0, 1, 2... that pandas gives by itself names nobody. The columns of a matrix must be
            those of fit, in their order: a new item comes through the door of interactions. Numbers take on the type
            that the model has.
        y : array-like of shape (n_samples,), default=None
            As for :meth:`fit`.
        sample_weight : array-like of shape (n_samples,), default=None
            As for :meth:`fit`.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        return self._fit(X, y, sample_weight, more=hasattr(self, "_ratings"))

    def _fit(self, X, y, sample_weight, *, more=False, side=None):
        seen = {"X": X, "y": y, "sample_weight": sample_weight}
        door = "matrix" if self._is_matrix(X, y) else "interactions"
        if not more:
            warn_of_doors(X, y, door, not self._is_implicit or self._has_attributes)
        elif door != self._door:
            raise ValueError(f"partial_fit must go on through the door of the first fit ({self._door}). {TWO_DOORS}")
        dtype = self._dtype if more else None  # what is added takes on the model's type
        rows = read_rows(self, X, y, sample_weight, reset=not more, implicit=self._is_implicit, dtype=dtype)
        with fit_task(self, **seen, max_subtasks=None) as task:
            extra = self._take_in(rows, door, more, seen, side or {})
            vars(self).update(self._learn(task, as_learned(self._ratings, self._is_implicit), extra))
        return self

    def _take_in(self, rows, door, more, seen, side):
        """Set the ids and the ratings that a fit learns from."""
        users, items, new, old_users, old_items = rows.user_ids, rows.item_ids, None, None, None
        if more or (getattr(self, "warm_start", False) and hasattr(self, "_ratings")):
            known_users, known_items = self.user_ids_, self.item_ids_
            if more:
                users, old_users, user_places = self._merged_users(seen["X"], rows, door)
                items, old_items, item_places = merge_ids(known_items, rows.item_ids, ITEMS, door != "matrix")
            else:
                old_users, old_items = look_up(known_users, users, USERS), look_up(known_items, items, ITEMS)
        ratings = self._without_context(rows, more)
        if more:
            shape = (len(users), len(items))
            new = moved(ratings, user_places, item_places, shape)
            ratings = joined(moved(self._ratings, old_users, old_items, shape), new, self.duplicates)
        self.user_ids_, self.item_ids_, self._ratings, self._door = users, items, ratings, door
        if not self._is_implicit:
            check_range(ratings)
        self._mean_rating = float(np.average(ratings.data.astype(np.float64), weights=ratings.weights))
        return Extra(seen, side, old_users, old_items, new)

    def _merged_users(self, X, rows, door):
        if door == "interactions" or has_row_names(X):
            return merge_ids(self.user_ids_, rows.user_ids, USERS, door == "interactions")
        if not is_numeric(self.user_ids_):
            raise ValueError(
                "partial_fit needs a DataFrame whose index names the users, as fit had one; 0, 1, 2... do not."
            )
        fresh = np.max(self.user_ids_) + 1 + np.arange(len(rows.user_ids))
        return merge_ids(self.user_ids_, fresh, USERS, False)

    def _without_context(self, rows, more):
        """Return the merged ratings, less what the features of their rows explain."""
        y, data = rows.y, (rows.users, rows.items)
        if not more:
            vars(self).pop("coef_", None)
            vars(self).pop("feature_means_", None)
        if rows.features.shape[1] and not self._is_implicit:
            if not more:
                alphas = (*self._bias_alphas, self._feature_alpha)
                baseline = fit_rows(data, y, rows.weights, rows.shape, rows.features, alphas)
                self.coef_, self.feature_means_ = baseline.coef, baseline.feature_means
            y = y - context(rows.features, self.coef_, self.feature_means_)
        return merged(*data, y, rows.weights, rows.shape, self.duplicates)

    # ------------------------------------------------------------------------------------------ predictions

    def predict(self, X):
        """Predict ratings, or with implicit feedback preferences.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_columns)
            Interactions, with the columns of :meth:`fit`; after a matrix two columns, user and item.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            What is unknown is treated as `handle_unknown` says. With implicit feedback, and no biases of items, users
            of training without interactions get how popular the item is, whatever `handle_unknown` is.
        """
        check_is_fitted(self)
        table = read_table(self._with_columns_of(X, "predict", TWO_DOORS), X, reset=False)
        users, items = ask_codes(table, self.user_ids_, self.item_ids_)
        self._refuse_unknown(users, USERS, table.users)
        self._refuse_unknown(items, ITEMS, table.items)
        return self._predict_rows(users, items, table.features).astype(self._dtype, copy=False)

    def _predict_rows(self, users, items, features):
        predictions = self._predict_codes(users, items)
        if hasattr(self, "coef_"):
            added = context(features, self.coef_, self.feature_means_)
            plain = (self.handle_unknown == "mean") & ((users < 0) | (items < 0))  # these are the mean of all ratings
            predictions = predictions + np.where(plain, 0, added)
        return predictions

    def _predict_codes(self, users, items):
        parts = [slice(start, start + _PAIRS) for start in range(0, len(users), _PAIRS)]
        predictions = np.concatenate([self._pairs(users[part], items[part]) for part in parts])
        unknown = (users < 0) | (items < 0)
        if unknown.any():
            if self.handle_unknown == "nan":
                predictions[unknown] = np.nan
            elif self.handle_unknown == "mean" or not self._has_baseline:
                predictions[unknown] = getattr(self, "mean_", 0.0) if self._is_implicit else self._mean_rating
        if self._is_popularity:
            # of training, but with an empty row; unknown ones only if nothing else is to be said of them
            asked = self._is_stranger(users) & (items >= 0) & ((users >= 0) | (self.handle_unknown == "bias"))
            if asked.any():
                predictions[asked] = self._popularity()[items[asked]]
        return predictions

    @property
    def _has_baseline(self):
        """Whether the model says something of unknown ones: with implicit feedback that there is no preference."""
        parts = (getattr(self, name, 0.0) for name in ("mean_", "user_bias_", "item_bias_"))
        return self._is_implicit or any(map(np.any, parts))

    def score(self, X, y=None, sample_weight=None):
        """Return how good predictions are: R squared, or with implicit feedback ndcg@10.

        Of a matrix with ratings this is no measure of what the model does for ratings that it has not been told: rows
        are folded in, and compared with the very ratings that were folded in, so that the model that fits closest wins.
        To choose parameters hold out interactions: ``X, y = interactions(R)``, ``cv=PerUserKFold()``.

        Parameters
        ----------
        X : array-like, DataFrame or sparse matrix
            Interactions, or after ``fit(R)`` a matrix, whose rows are people who need not be known. Their known ratings
            are folded in and compared with the predictions of these same entries.
            With implicit feedback the items of each user's rows are looked for among the ten that are recommended, as
            ``get_scorer("ndcg@10")`` does: items that training has of the user, or not at all, are missed. Of a sparse
            matrix about a fifth of each row's items are looked for in what is recommended to somebody with the others
            as a history; rows with a single item do not count. A dense X is interactions then, and after ``fit(R)`` has
            two columns.
        y : array-like of shape (n_samples,), default=None
            Ratings; with implicit feedback confidences, of which only those of 0 make a difference.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; with implicit feedback only those of 0 make a difference.

        Returns
        -------
        score : float
            1 is best.
        """
        check_is_fitted(self)
        if self._is_implicit:
            return self._ranking_score(X, y, sample_weight)
        if y is not None:
            return super().score(X, y, sample_weight)
        if self._door != "matrix":
            raise ValueError(f"y is needed: the model was fitted to interactions. {TWO_DOORS}")
        return self._matrix_score(X, sample_weight)

    def _matrix_score(self, R, sample_weight):
        ratings = matrix_histories(self, R, False, len(self.item_ids_))
        weights = validate_weights(sample_weight, ratings.matrix())
        states, rows = self._fold(ratings), ratings.rows()
        predictions = np.empty_like(ratings.data)
        for user in range(0, ratings.n_rows, 256):
            block = slice(ratings.indptr[user], ratings.indptr[min(user + 256, ratings.n_rows)])
            predictions[block] = self._scores(states[user : user + 256])[rows[block] - user, ratings.indices[block]]
        weights = None if weights is None else weights[rows]
        return float(r2_score(ratings.data, predictions, sample_weight=weights))

    def _ranking_score(self, X, y, sample_weight):
        if self._is_matrix(X, y):
            return self._strangers_score(X, sample_weight)
        estimator = self._with_columns_of(X, "score", DENSE_MATRIX)
        rows = read_rows(estimator, X, y, sample_weight, reset=False, implicit=True)
        users = known_codes(rows.user_ids, self.user_ids_, USERS)
        self._refuse_unknown(users, USERS, rows.user_ids)
        items = known_codes(rows.item_ids, self.item_ids_, ITEMS)
        unknown, n_items = items < 0, len(self.item_ids_)
        items[unknown] = n_items + np.arange(unknown.sum())
        shape = (len(users), n_items + int(unknown.sum()))
        relevant = merged(rows.users, items[rows.items], rows.y, None, shape, "mean")
        scorer, silent = self._block_scorer(users), self.handle_unknown == "nan"

        def scores(rows, candidates):
            block = scorer(rows, candidates)
            if silent:
                block[users[rows] < 0] = np.nan
            return block

        return ndcg_without(scores, relevant, self._seen_by(users), self._n_threads)

    def _strangers_score(self, R, sample_weight):
        """Return ndcg@10 of a part of each row's items, the others being a history."""
        people = matrix_histories(self, R, True, len(self.item_ids_))
        weights = validate_weights(sample_weight, people.matrix())
        if weights is not None:
            people = take_rows(people, np.flatnonzero(weights > 0))
        told, asked = told_and_asked(people)
        if len(asked.data) == 0:
            raise ValueError(
                "No row of the matrix has two items, of which one could be looked for, given the other. Further items "
                "of users of training are looked for as interactions: score(interactions(R)[0])."
            )
        return ndcg_without(self._fold_scorer(told), asked, told, self._n_threads)

    # -------------------------------------------------------------------------------------------- questions

    def recommend(self, users=None, n=10, *, exclude_seen=True, candidates=None, return_scores=True, histories=None):
        """Recommend items, best first; of equal ones that of the lower code (place in ``item_ids_``) first.

        Parameters
        ----------
        users : array-like of shape (n_users,) or None, default=None
            Ids; None means all of ``user_ids_``. Users who are unknown get what people without ratings get, or with
            `handle_unknown` "nan" nothing. With implicit feedback, and no biases of items, that is what is popular:
            their scores are then the share of the users of training who have the item, also with `handle_unknown`
            "mean", where :meth:`predict` and :meth:`rank` give unknown users the mean.
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
            ``item_ids_``, or after ``fit(R)`` those of R; a DataFrame columns named by items, in any order. Items that
            training has not seen are left out, with a warning if it has seen none.

        Returns
        -------
        items : ndarray of shape (n_users, n)
            Ids. Where no item is left: -1 for ids that are integers, NaN for floats, else None or an empty string.
        scores : ndarray of shape (n_users, n)
            NaN where no item is left. Only if `return_scores`.
        """
        check_is_fitted(self)
        _check_count(n)
        chosen = self._candidate_codes(candidates)
        if histories is not None:
            if users is not None:
                raise ValueError("Give users or histories, not both.")
            seen = self._histories(histories)
            scorer, n_users = self._fold_scorer(seen), seen.n_rows
        else:
            codes = self._user_codes(users)
            seen, scorer, n_users = self._seen_by(codes), self._block_scorer(codes), len(codes)
        if not exclude_seen:
            seen = no_ratings(n_users, len(self.item_ids_), self._dtype)
        self._require_room(n_users, n, self.item_ids_)
        items, scores = best_items(scorer, n_users, n, seen, chosen, self._n_threads)
        if histories is None and self.handle_unknown == "nan":
            items[codes < 0], scores[codes < 0] = -1, np.nan
        ids = named(items, self.item_ids_)
        return (ids, scores.astype(self._dtype, copy=False)) if return_scores else ids

    def rank(self, users, items, *, histories=None):
        """Put items into the order of each user's preference.

        Parameters
        ----------
        users : array-like of shape (n_users,) or None
            Ids; None means all of ``user_ids_``, or the people of `histories`.
        items : array-like of shape (n_items,)
            Ids, the same items for each user.
        histories : sequence of dict {item: rating}, matrix or DataFrame, or None, default=None
            In place of `users`, which are None then: people who need not be known, as for :meth:`recommend`.

        Returns
        -------
        ranked : ndarray of shape (n_users, n_items)
            The items, best first; of equal ones that of the lower code first, unknown ones after it.
        scores : ndarray of shape (n_users, n_items)
            What :meth:`predict` gives for them, features aside; of known items and people of `histories`, what
            :meth:`recommend` does.
        """
        check_is_fitted(self)
        column = as_column(items, "items")
        item_codes = self._codes_of(column, self.item_ids_, "items")
        scores = self._scores_of(users, item_codes) if histories is None else self._told(users, histories, item_codes)
        if 0 in scores.shape:
            return np.empty(scores.shape, self.item_ids_.dtype), scores
        order = in_order(scores, item_codes)
        return without_labels(column)[order], np.take_along_axis(scores, order, axis=1)

    def _scores_of(self, users, items):
        codes = self._user_codes(users)
        shape = len(codes), len(items)
        if 0 in shape:
            return np.empty(shape, self._dtype)
        return self._predict_codes(np.repeat(codes, shape[1]), np.tile(items, shape[0])).reshape(shape)

    def _told(self, users, histories, items):
        """Return the scores of items for people of whom we are told histories."""
        if users is not None:
            raise ValueError("Give users or histories, not both: users must be None.")
        told, known = self._histories(histories), items >= 0
        scores = np.empty((told.n_rows, len(items)), self._dtype)
        if not known.all():
            scores[:] = self._predict_codes(np.array([-1], np.int32), np.array([-1], np.int32))
        scorer, wanted = self._fold_scorer(told), items[known]
        for rows in blocks_of(told.n_rows, len(items)):
            scores[rows, known] = scorer(rows, wanted)
        return scores

    def similar_items(self, items, n=10, *, return_scores=True):
        """Find the items most like others, by the cosine of what the model holds of them.

        Parameters
        ----------
        items : array-like of shape (n_asked,)
            Ids.
        n : int, default=10
            How many for each; an item is not among its own.
        return_scores : bool, default=True
            Whether to return cosines as well.

        Returns
        -------
        similar : ndarray of shape (n_asked, n)
            Ids, most similar first; filled as by :meth:`recommend`, also for unknown items.
        scores : ndarray of shape (n_asked, n)
            Cosines. Only if `return_scores`.
        """
        check_is_fitted(self)
        codes = self._codes(items, self.item_ids_, "items")
        _check_count(n)
        return self._similar(codes, "items", self.item_ids_, self._item_vectors, (n, return_scores))

    def similar_users(self, users, n=10, *, return_scores=True):
        """Find the users most like others, by the cosine of what the model holds of them.

        Parameters
        ----------
        users : array-like of shape (n_asked,)
            Ids.
        n : int, default=10
            How many for each; a user is not among its own.
        return_scores : bool, default=True
            Whether to return cosines as well.

        Returns
        -------
        similar : ndarray of shape (n_asked, n)
            Ids, most similar first; filled as by :meth:`recommend`, also for unknown users.
        scores : ndarray of shape (n_asked, n)
            Cosines. Only if `return_scores`.
        """
        check_is_fitted(self)
        _check_count(n)
        return self._similar(self._user_codes(users), "users", self.user_ids_, self._user_vectors, (n, return_scores))

    def _similar(self, codes, name, ids, vectors, asked):
        n, return_scores = asked
        self._require_room(len(codes), n, ids)
        places, cosines = closest_rows(vectors(), codes, n, self._n_threads)
        similar = named(places, ids)
        return (similar, cosines.astype(self._dtype, copy=False)) if return_scores else similar

    def explain(self, user, item):
        """Tell which past interactions speak for an item, and which against it.

        Parameters
        ----------
        user : id
            A user of training.
        item : id
            An item of training.

        Returns
        -------
        items : ndarray of shape (n_interactions,)
            The items that the user has interacted with, the strongest reason first.
        contributions : ndarray of shape (n_interactions,)
            What each adds to the score, which is that of :meth:`rank`. Their sum is what the score owes to the user's
            interactions. What it lacks to the score is, with ratings: of MatrixFactorization the mean and the item's
            bias (with "svd" also the user's); of NeighborhoodFilter and ContentFilter the mean and both biases, with
            ``profile="rocchio"`` also a constant, the intercept of the line from cosines to ratings. With implicit
            feedback nothing, under a loss of ranking the item's bias; but the score of a user without interactions,
            if it is how popular the item is, owes nothing to any. Of MatrixFactorization all that of a fit that has
            converged.
        """
        check_is_fitted(self)
        user_code, item_code = self._code_of(user, self.user_ids_, "user"), self._code_of(item, self.item_ids_, "item")
        past = take_rows(self._ratings, np.array([user_code])).indices
        contributions = np.asarray(self._reasons(user_code, item_code))
        order = np.argsort(-contributions, kind="stable")
        return self.item_ids_[past[order]], contributions[order]

    # ---------------------------------------------------------------------------------------------- helpers

    def _code_of(self, asked, ids, what):
        """Return the code of one known user or item."""
        if not isinstance(asked, Hashable):
            raise TypeError(f"explain takes one {what}, an id and not a {type(asked).__name__}: got {asked!r}.")
        column = as_column([asked], f"The {what}s")
        codes = look_up(column, ids, f"The {what}s")
        if codes[0] < 0:
            why = f" (the ids asked for {words})" if (words := other_kind(column, ids, codes)) else ""
            raise ValueError(f"explain is about users and items of training; it had no {what} {asked!r}{why}.")
        return int(codes[0])

    def _candidate_codes(self, candidates):
        if candidates is None:
            return None
        codes = self._codes(candidates, self.item_ids_, "candidates")
        return np.unique(codes[codes >= 0])

    def _user_codes(self, users):
        if users is None:
            return np.arange(len(self.user_ids_), dtype=np.int32)
        return self._codes(users, self.user_ids_, "users")

    def _codes(self, values, ids, name):
        return self._codes_of(as_column(values, name), ids, name)

    def _codes_of(self, column, ids, name):
        codes = known_codes(column, ids, name)
        self._refuse_unknown(codes, name, column)
        return codes

    def _require_room(self, n_asked, n, ids):
        """Refuse answers that would not fit: codes (twice), whether there are any, scores, and ids."""
        copies = 2 if n > len(ids) else 1  # where some are lacking
        each = 9 + self._dtype.itemsize + copies * ids.dtype.itemsize
        require_memory(each * n_asked * int(n), f"n={n:,} answers for each of {n_asked:,}")

    def _with_columns_of(self, X, method, advice):
        """Return the estimator whose columns interactions must have; after a matrix None, and they must be two."""
        if self._door != "matrix":
            return self
        shape = shape_of(as_table(X))
        if len(shape) == 2 and shape[1] > 2:
            raise ValueError(f"After fit(R), {method} takes two columns, user and item; X has {shape[1]}. {advice}")
        return None

    def _refuse_unknown(self, codes, name, column):
        if self.handle_unknown == "error" and len(codes) and codes.min() < 0:
            row = int(np.argmin(codes))
            found = without_labels(column[[row]]).tolist()[0]
            raise ValueError(
                f"{name} hold ids that training has not seen, the first of them, {found!r}, in place {row}; "
                "handle_unknown='bias' would answer all the same."
            )

    def _histories(self, histories):
        if is_frame(histories):
            return frame_histories(histories, self.item_ids_, self._is_implicit)
        if len(getattr(histories, "shape", ())) == 2:
            return matrix_histories(self, histories, self._is_implicit, len(self.item_ids_))
        return read_histories(histories, self.item_ids_, self._dtype, self._is_implicit, self.duplicates)

    def _seen_by(self, codes):
        return take_rows(self._ratings, codes)

    def _block_scorer(self, codes):
        """Return a function that scores a slice of users, unknown ones as people without a history."""
        strange = self._is_stranger(codes)
        stranger = self._stranger_scorer() if strange.any() else None

        def scores(rows, candidates):
            users, known = codes[rows], ~strange[rows]
            if known.all():
                return self._scores(self._states(users), candidates)
            width = len(self.item_ids_) if candidates is None else len(candidates)
            block = np.empty((len(users), width), self._dtype)
            block[~known] = stranger(candidates)
            if known.any():
                block[known] = self._scores(self._states(users[known]), candidates)
            return block

        return scores

    def _fold_scorer(self, histories):
        empty = np.diff(histories.indptr) == 0
        stranger = self._stranger_scorer() if self._is_popularity and empty.any() else None

        def scores(rows, candidates):
            some = take_rows(histories, np.arange(rows.start, rows.stop))
            block = self._scores(self._fold(as_learned(some, self._is_implicit)), candidates)
            if stranger is not None:
                block[empty[rows]] = stranger(candidates)
            return block

        return scores

    def _is_stranger(self, users):
        """Tell which users the model knows nothing of: unknown ones and, where that is nothing at all, empty rows."""
        if not self._is_popularity:
            return users < 0
        known = np.maximum(users, 0)
        return (users < 0) | (self._ratings.indptr[known] == self._ratings.indptr[known + 1])

    def _stranger_scorer(self):
        """Return a function that gives the scores of candidates for somebody of whom nothing is known."""
        if self._is_popularity:
            popularity = self._popularity()
            return lambda candidates: popularity if candidates is None else popularity[candidates]
        empty = self._fold(no_ratings(1, len(self.item_ids_), self._dtype))
        return lambda candidates: self._scores(empty, candidates)

    @property
    def _is_popularity(self):
        """Whether all that can be said to strangers is how popular items are: a model without biases has 0 for each."""
        return self._is_implicit and not np.any(getattr(self, "item_bias_", 0.0))

    def _popularity(self):
        """Return the share of the users of training who have each item."""
        counts = np.bincount(self._ratings.indices, minlength=self._ratings.n_columns)
        return (counts / self._ratings.n_rows).astype(self._dtype)

    def _is_matrix(self, X, y):
        return door_of(X, y, self._is_implicit) == "matrix"

    @property
    def _is_implicit(self):
        return self.feedback == "implicit"

    @property
    def _dtype(self):
        return self._ratings.data.dtype

    @property
    def _n_threads(self):
        if is_one_of_many():
            return 1
        return _kernels.n_threads() if self.n_jobs is None else _kernels.threads_of(self.n_jobs)

    def __sklearn_tags__(self):
        """Return the tags: interactions need y unless they say nothing but that they happened."""
        tags = super().__sklearn_tags__()
        tags.target_tags.required = not self._is_implicit
        return tags


def _check_count(n):
    """Raise an error unless n is an integer of at least 1; a boolean is none."""
    if isinstance(n, (bool, np.bool_)):
        raise TypeError(f"n must be an integer, got {n!r}.")
    check_scalar(n, "n", Integral, min_val=1)
