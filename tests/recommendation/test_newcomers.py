"""Fold-in under the ranking losses: whom a person's choices are compared with."""

import numpy as np
import pytest

from skml.recommendation.factors import Factors
from skml.recommendation.newcomers import Ranking


def ranking_of(n_items):
    return Ranking(Factors.unbiased(np.zeros((0, 2)), np.zeros((n_items, 2))), "bpr", 0.1, 0.1, 1, True)


@pytest.mark.parametrize(
    ("n_items", "n_seen", "expected"), [(3000, 700, 512), (600, 300, 300), (40, 40, 0), (40, 0, 40)]
)
def test_as_many_unseen_items_as_there_are_up_to_512(rng, n_items, n_seen, expected):
    seen = rng.permutation(n_items)[:n_seen]
    unseen = ranking_of(n_items).unseen(seen)
    assert len(set(unseen.tolist()) - set(seen.tolist())) == len(unseen) == expected
    np.testing.assert_array_equal(unseen, ranking_of(n_items).unseen(seen))


def test_people_are_compared_with_the_same_items_but_for_their_own():
    ranking = ranking_of(3000)
    usual = ranking.unseen(np.array([], np.int32))
    other = ranking.unseen(usual[:5])
    np.testing.assert_array_equal(other[:-5], usual[5:])
