"""Recommendations of many blocks of users: the same bits from any number of threads, whatever recommends."""

import numpy as np
import pytest

from skml.recommendation import ContentFilter, MatrixFactorization, NeighborhoodFilter

RECOMMENDERS = {
    "als": MatrixFactorization(3, random_state=0),
    "als, implicit": MatrixFactorization(3, feedback="implicit", random_state=0),
    "bpr": MatrixFactorization(3, feedback="implicit", solver="sgd", loss="bpr", max_iter=5, random_state=0),
    "svd": MatrixFactorization(3, solver="svd", random_state=0),
    "items": NeighborhoodFilter(),
    "users": NeighborhoodFilter(kind="user"),
    "ease": NeighborhoodFilter(solver="ease"),
    "slim": NeighborhoodFilter(solver="slim", alpha=1.0),
    "content": ContentFilter(),
    "rocchio": ContentFilter(profile="rocchio"),
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", RECOMMENDERS)
def test_threads_show_in_no_bit_of_many_blocks(name, rng, monkeypatch):
    X, y = rng.integers(0, (60, 20), size=(500, 2)), rng.integers(1, 6, size=500).astype(float)
    side = {"item_features": rng.normal(size=(20, 4))} if isinstance(RECOMMENDERS[name], ContentFilter) else {}
    model = RECOMMENDERS[name].set_params(n_jobs=1).fit(X, y, **side)
    monkeypatch.setattr("skml.recommendation.ranking._BLOCK_BYTES", 20 * 8 * 7)
    people = [{item: 5.0 for item in row} for row in rng.integers(0, 20, size=(40, 3)).tolist()]
    asks = ({}, {"candidates": np.arange(0, 20, 3)}, {"users": np.arange(55, 70)}, {"histories": people})
    alone = [model.recommend(n=4, **ask) for ask in asks]
    model.set_params(n_jobs=4)
    for ask, (ids, scores) in zip(asks, alone):
        again, also = model.recommend(n=4, **ask)
        np.testing.assert_array_equal(ids, again)
        np.testing.assert_array_equal(scores, also)
