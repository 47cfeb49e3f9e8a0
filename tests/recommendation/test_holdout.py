"""Parts of interactions that are held out."""

import numpy as np

from skml.recommendation.holdout import told_and_asked
from skml.recommendation.ranking import take_rows
from skml.recommendation.ratings import build_ratings


def sample(rng, n_users=300, n_items=50):
    known = rng.random((n_users, n_items)) < rng.random((n_users, 1))
    users, items = (codes.astype(np.int32) for codes in np.nonzero(known))
    return build_ratings(users, items, rng.random(len(users)), None, known.shape)


def test_about_a_fifth_of_each_row_is_asked(rng):
    ratings = sample(rng)
    told, asked = told_and_asked(ratings)
    counts = np.diff(ratings.indptr)
    np.testing.assert_array_equal(np.diff(asked.indptr), np.where(counts > 1, -(-counts // 5), 0))
    both = told.matrix() + asked.matrix()
    np.testing.assert_array_equal(both.toarray(), ratings.matrix().toarray())
    assert told.matrix().multiply(asked.matrix()).nnz == 0


def test_what_is_asked_depends_on_the_row_alone(rng):
    ratings = sample(rng)
    order = rng.permutation(ratings.n_rows)[:40]
    asked = told_and_asked(ratings)[1].matrix().toarray()
    np.testing.assert_array_equal(told_and_asked(take_rows(ratings, order))[1].matrix().toarray(), asked[order])


def test_every_item_is_asked_about_as_often(rng):
    ratings = sample(rng, 4000, 20)
    often = np.bincount(told_and_asked(ratings)[1].indices, minlength=20) / ratings.column_weights()
    assert often.min() > 0.12 and often.max() < 0.4
