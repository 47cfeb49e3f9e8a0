"""Scorers of ranked lists, on a recommender whose lists are known: the most popular items not seen in training."""

import copy
import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import LinearRegression
from sklearn.metrics import get_scorer as sklearn_get_scorer
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skml.recommendation.metrics import ndcg_at_k
from skml.recommendation.scorers import RankingScorer, get_scorer
from skml.recommendation.splitters import PerUserKFold


class Popular(RegressorMixin, BaseEstimator):
    """Recommends by number of interactions, or by the fewest."""

    def __init__(self, best_first=True):
        self.best_first = best_first

    def fit(self, X, y=None, sample_weight=None):
        X = np.asarray(X)
        self.item_ids_, counts = np.unique(X[:, 1], return_counts=True)
        self.order_ = np.argsort(-counts if self.best_first else counts, kind="stable")
        self.seen_ = {(user, item) for user, item in X[:, :2].tolist()}
        return self

    def predict(self, X):
        return np.zeros(len(X))

    def recommend(self, users, n=10, *, exclude_seen=True):
        lists = np.full((len(users), n), None if self.item_ids_.dtype.kind == "O" else -1, self.item_ids_.dtype)
        scores = np.full((len(users), n), np.nan)
        for row, score, user in zip(lists, scores, users.tolist()):
            ranked = self.item_ids_[self.order_].tolist()
            kept = [item for item in ranked if not (exclude_seen and (user, item) in self.seen_)][:n]
            row[: len(kept)] = kept
            score[: len(kept)] = -np.arange(len(kept))
        return lists, scores


TRAIN = np.array([[0, 1], [1, 1], [2, 1], [0, 2], [1, 2], [0, 3]])  # 1 is liked more than 2, and 2 more than 3
NAMES = ("ndcg@3", "recall@2", "precision@2", "map@2", "mrr", "coverage")


def random_interactions(rng):
    users, items = np.divmod(rng.choice(20 * 15, 160, replace=False), 15)
    return np.column_stack([users, items]), rng.integers(1, 6, 160).astype(float)


def test_scores_by_hand():
    model = Popular().fit(TRAIN)
    X = np.array([[1, 3], [2, 3], [2, 9], [3, 2]])  # lists: of 1 [3], of 2 [2, 3], of 3 [1, 2, 3]
    assert get_scorer("recall@2")(model, X) == pytest.approx((1 + 1 / 2 + 1) / 3)
    assert get_scorer("recall@1")(model, X) == pytest.approx(1 / 3)
    assert get_scorer("precision@2")(model, X) == pytest.approx(1 / 2)
    assert get_scorer("mrr")(model, X) == pytest.approx((1 + 1 / 2 + 1 / 2) / 3)
    assert get_scorer("map@2")(model, X) == pytest.approx((1 + 1 / 4 + 1 / 2) / 3)
    assert get_scorer("coverage@1")(model, X) == 1
    assert get_scorer("coverage@1")(model, X[:1]) == pytest.approx(1 / 3)
    second = 1 / np.log2(3)
    assert get_scorer("ndcg@2")(model, X) == pytest.approx((1 + second / (1 + second) + second) / 3)


def test_the_threshold_says_what_is_relevant():
    model, X = Popular().fit(TRAIN), [[1, 3], [2, 2], [2, 3]]
    assert get_scorer("recall@1")(model, X, [5, 1, 5]) == 0.75
    assert get_scorer("recall@1", threshold=4)(model, X, [5, 1, 5]) == 0.5
    assert get_scorer("recall@1", threshold=5)(model, X, [1, 5, 5]) == 0.5  # user 1 has nothing to find
    assert get_scorer("coverage", threshold=9)(model, X, [1, 1, 1]) == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="No row is relevant"):
        get_scorer("recall@1", threshold=6)(model, X, [5, 1, 5])
    with pytest.raises(ValueError, match="needs y"):
        get_scorer("recall@1", threshold=6)(model, X)


def test_gains_are_ratings():
    model, X, y = Popular().fit(TRAIN), np.array([[2, 2], [2, 3]]), [1.0, 3.0]
    expected = ndcg_at_k([[2, 3]], [[2, 3]], 2, gains=[y])
    assert get_scorer("ndcg@2", gains="rating")(model, X, y) == pytest.approx(expected) and expected < 1
    assert get_scorer("ndcg@2")(model, X, y) == 1
    with pytest.raises(ValueError, match="not negative"):
        get_scorer("ndcg@2", gains="rating")(model, X, [-1, 2])
    with pytest.raises(ValueError, match="have no gain"):
        get_scorer("ndcg@2", gains="rating")(model, X, [0, 0])


def test_what_was_seen_is_not_recommended_unless_asked():
    model = Popular().fit(TRAIN)
    assert get_scorer("recall@10")(model, TRAIN) == 0
    assert get_scorer("recall@10", exclude_seen=False)(model, TRAIN) == 1


def test_weights_are_copies():
    model, X = Popular().fit(TRAIN), np.array([[1, 3], [2, 3], [2, 9], [3, 2]])
    scorer, weights = get_scorer("recall@2"), np.array([1, 0, 2, 3])
    assert scorer(model, X, sample_weight=weights) == scorer(model, np.repeat(X, weights, axis=0))


@pytest.mark.parametrize("name", NAMES)
def test_kinds_of_tables_agree(rng, name):
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    X, y = random_interactions(rng)
    train, test = next(PerUserKFold(3, random_state=0).split(X))
    scorer, expected = get_scorer(name), None
    for table in (X, X.astype(float), X.tolist(), pandas.DataFrame(X), polars.DataFrame(X)):
        model = Popular().fit(X[train])
        rows = [table[i] for i in test] if isinstance(table, list) else None
        rows = table.iloc[test] if hasattr(table, "iloc") else table[test] if rows is None else rows
        score = scorer(model, rows, y[test])
        expected = score if expected is None else expected
        assert score == expected


def test_ids_of_strings():
    X = np.array([["ann", "tea"], ["bob", "tea"], ["ann", "milk"]], dtype=object)
    assert get_scorer("recall@3")(Popular().fit(X), [["bob", "milk"], ["cid", "rum"]]) == 0.5


def test_in_a_search(rng):
    X, y = random_interactions(rng)
    cv = PerUserKFold(3, random_state=0)
    scoring = {name: get_scorer(name, threshold=2) for name in NAMES}
    found = cross_validate(Popular(), X, y, cv=cv, scoring={**scoring, "r2": get_scorer("r2")})
    assert all(np.isfinite(found[f"test_{name}"]).all() for name in (*NAMES, "r2"))
    assert np.isfinite(cross_validate(Popular(), X, cv=cv, scoring=get_scorer("mrr"))["test_score"]).all()
    grid = {"best_first": [True, False]}
    search = GridSearchCV(Popular(), grid, cv=cv, scoring=get_scorer("ndcg@5")).fit(X, y)
    assert get_scorer("ndcg@5")(search, X[:20], y[:20]) == get_scorer("ndcg@5")(search.best_estimator_, X[:20], y[:20])
    weights = np.ones(len(X))
    GridSearchCV(Popular(), grid, cv=cv, scoring=scoring, refit="mrr").fit(X, y, sample_weight=weights)


def test_a_search_over_the_recommender_itself(rng):
    X, y = random_interactions(rng)
    pipeline = make_pipeline(FunctionTransformer(), Popular())
    grid = {"popular": [Popular(), Popular(best_first=False)]}
    search = GridSearchCV(pipeline, grid, cv=PerUserKFold(3, random_state=0), scoring=get_scorer("recall@5"))
    search.fit(X, y)
    assert len(search.cv_results_["mean_test_score"]) == 2
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert 0 <= get_scorer("recall@5")(search, X, y) <= 1


def test_scorers_are_values():
    scorer = get_scorer("ndcg@7", threshold=4, gains="rating", exclude_seen=False)
    assert repr(scorer) == "get_scorer('ndcg@7', threshold=4, gains='rating', exclude_seen=False)"
    for same in (pickle.loads(pickle.dumps(scorer)), copy.deepcopy(scorer), eval(repr(scorer))):
        assert same == scorer and same is not scorer
        assert hash(same) == hash(scorer)
    assert scorer != get_scorer("ndcg@7")
    assert repr(get_scorer("mrr")) == "get_scorer('mrr@10')"


def test_scikit_learns_names_pass():
    assert repr(get_scorer("recall")) == repr(sklearn_get_scorer("recall"))
    assert get_scorer(None) is None
    assert get_scorer(len) is len


@pytest.mark.parametrize("name", ["ndgc@10", "ndcg", "map", "ndcg@0", "ndcg@", "ndcg@-1", "NDCG@10", ""])
def test_an_unknown_name_is_answered_with_the_names(name):
    with pytest.raises(ValueError, match=r"those of ranked lists are ndcg@k, .*coverage@k, mrr, coverage, k a number"):
        get_scorer(name)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RankingScorer("auc"), "metric must be one of ndcg"),
        (lambda: RankingScorer("ndcg", 0), "k must be a positive integer"),
        (lambda: RankingScorer("ndcg", gains="log"), "gains must be"),
        (lambda: RankingScorer("ndcg", threshold="high"), "threshold must be a number"),
        (lambda: get_scorer("r2", threshold=4), "are for ranked lists"),
    ],
)
def test_bad_parameters(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_bad_input():
    scorer, model = get_scorer("ndcg@3"), Popular().fit(TRAIN)
    with pytest.raises(TypeError, match="LinearRegression has no method recommend"):
        scorer(LinearRegression(), TRAIN)
    with pytest.raises(ValueError, match="sparse ratings matrix"):
        scorer(model, sp.eye_array(3, format="csr"))
    with pytest.raises(ValueError, match="item=1 is no column"):
        scorer(model, np.ones((3, 1)))
