"""Measures of ranked lists, by hand, against a plain loop, and at their limits."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.metrics import ndcg_score

from skml.recommendation.metrics import (
    coverage,
    map_at_k,
    match,
    mrr,
    ndcg_at_k,
    precision_at_k,
    recall_at_k,
    recall_values,
)

MEASURES = {"ndcg": ndcg_at_k, "recall": recall_at_k, "precision": precision_at_k, "map": map_at_k, "mrr": mrr}
each_measure = pytest.mark.parametrize("name", sorted(MEASURES))


def random_lists(rng, n_users=40, n=8, n_items=15):
    recommended = np.argsort(rng.random((n_users, n_items)), axis=1)[:, :n]
    relevant = [rng.choice(n_items, rng.integers(0, n_items), replace=False) for _ in range(n_users)]
    relevant[0] = np.array([recommended[0, 0]])
    return recommended, relevant


def by_hand(name, row, relevant, k, gains=None):
    """Return one user's measure by the textbook."""
    relevant = list(relevant)
    if not relevant:
        return np.nan
    hits = [int(item in relevant) for item in row[:k]]
    if name == "recall":
        return sum(hits) / len(relevant)
    if name == "precision":
        return sum(hits) / k
    if name == "mrr":
        return next((1 / (j + 1) for j, hit in enumerate(hits) if hit), 0.0)
    if name == "map":
        return sum(hit * sum(hits[: j + 1]) / (j + 1) for j, hit in enumerate(hits)) / min(len(relevant), k)
    gain = dict(zip(relevant, np.ones(len(relevant)) if gains is None else gains))
    dcg = sum(gain.get(item, 0) / np.log2(j + 2) for j, item in enumerate(row[:k]))
    best = sorted(gain.values(), reverse=True)[:k]
    ideal = sum(g / np.log2(j + 2) for j, g in enumerate(best))
    return dcg / ideal if ideal else np.nan


def test_numbers_by_hand():
    recommended, relevant = [["a", "b", "c", "d"], ["d", "c", "b", "a"]], [["b", "d", "x"], ["d"]]
    np.testing.assert_allclose(recall_at_k(recommended, relevant, 3, average=False), [1 / 3, 1])
    np.testing.assert_allclose(precision_at_k(recommended, relevant, 3, average=False), [1 / 3, 1 / 3])
    np.testing.assert_allclose(map_at_k(recommended, relevant, 4, average=False), [(1 / 2 + 2 / 4) / 3, 1])
    np.testing.assert_allclose(mrr(recommended, relevant, average=False), [1 / 2, 1])
    ideal = 1 + 1 / np.log2(3) + 1 / 2
    dcg = 1 / np.log2(3) + 1 / np.log2(5)
    np.testing.assert_allclose(ndcg_at_k(recommended, relevant, 4, average=False), [dcg / ideal, 1])
    assert recall_at_k(recommended, relevant, 3) == pytest.approx(2 / 3)
    assert isinstance(recall_at_k(recommended, relevant, 3), float)


@each_measure
@pytest.mark.parametrize("k", [1, 3, 8, 12])
def test_a_loop_agrees(rng, name, k):
    recommended, relevant = random_lists(rng)
    expected = [by_hand(name, row, items, k) for row, items in zip(recommended, relevant)]
    values = MEASURES[name](recommended, relevant, k, average=False)
    np.testing.assert_allclose(values, expected)
    assert MEASURES[name](recommended, relevant, k) == pytest.approx(np.nanmean(expected))


def test_gains_of_ratings(rng):
    recommended, relevant = random_lists(rng)
    gains = [rng.integers(0, 6, len(items)) for items in relevant]
    expected = [by_hand("ndcg", *one[:2], 5, one[2]) for one in zip(recommended, relevant, gains)]
    np.testing.assert_allclose(ndcg_at_k(recommended, relevant, 5, gains=gains, average=False), expected)


def test_ndcg_is_scikit_learns_where_all_items_are_ranked(rng):
    truth, scores = rng.integers(0, 4, (20, 9)).astype(float), rng.random((20, 9))
    truth[:, 0] = 1
    recommended = np.argsort(-scores, axis=1)
    assert ndcg_at_k(recommended, sp.csr_array(truth), 5) == pytest.approx(ndcg_score(truth, scores, k=5))


@each_measure
def test_the_ways_to_say_it_agree(rng, name):
    recommended, relevant = random_lists(rng)
    expected = MEASURES[name](recommended, relevant, 5, average=False)
    matrix = sp.lil_array((40, 15))
    for user, items in enumerate(relevant):
        matrix[user, items] = 1
    names = np.array([f"item {i}" for i in range(15)])
    objects = names.astype(object)
    for form in (
        (recommended.tolist(), [items.tolist() for items in relevant]),
        (recommended.astype(float), relevant),
        (recommended, matrix.tocsr()),
        (names[recommended], [names[items] for items in relevant]),
        (objects[recommended], [names[items] for items in relevant]),
        (names[recommended], [objects[items] for items in relevant]),
    ):
        np.testing.assert_array_equal(MEASURES[name](*form, 5, average=False), expected)


@each_measure
def test_order_of_users_and_of_relevant_items_is_all_one(rng, name):
    recommended, relevant = random_lists(rng)
    values = MEASURES[name](recommended, relevant, 5, average=False)
    order = rng.permutation(40)
    shuffled = [rng.permutation(np.tile(relevant[user], 2)) for user in order]  # and each of them said twice
    np.testing.assert_allclose(MEASURES[name](recommended[order], shuffled, 5, average=False), values[order])


@each_measure
def test_best_and_worst(name):
    assert MEASURES[name]([[1, 2, 3]], [[3, 1, 2]], 3) == 1
    assert MEASURES[name]([[1, 2, 3]], [[4]], 3) == 0


@each_measure
@pytest.mark.parametrize("fill", [-1, None, np.nan, "nothing"])
def test_short_lists_are_filled(name, fill):
    dtype = object if fill is None or isinstance(fill, str) else float
    recommended = np.array([[4, 7, fill, fill], [7, fill, fill, fill]], dtype=dtype)
    values = MEASURES[name](recommended, [[7, 5], [7]], 4, average=False)
    expected = [by_hand(name, [4, 7, -1, -1], [7, 5], 4), by_hand(name, [7, -1, -1, -1], [7], 4)]
    np.testing.assert_allclose(values, expected)


def test_fewer_columns_than_k():
    assert precision_at_k([[1, 2]], [[1, 2]], 4) == 0.5
    assert recall_at_k([[1, 2]], [[1, 2, 3, 4]], 4) == 0.5
    assert map_at_k([[1, 2]], [[1, 2, 3, 4]], 4) == 0.5
    assert ndcg_at_k([[1]], [[1, 2]], 2) == pytest.approx(1 / (1 + 1 / np.log2(3)))
    for measure in MEASURES.values():
        assert measure(np.empty((1, 0), int), [[1]], 3) == 0


def test_users_without_relevant_items_are_left_out():
    for measure in MEASURES.values():
        values = measure([[1, 2], [1, 2]], [[], [1]], 1, average=False)
        np.testing.assert_array_equal(values, [np.nan, 1])
        assert measure([[1, 2], [1, 2]], [[], [1]], 1) == 1
        with pytest.raises(ValueError, match="Nothing is relevant to any user"):
            measure([[1, 2]], [[]], 1)


def test_an_item_recommended_twice_counts_once():
    assert recall_at_k([[1, 1, 1]], [[1, 2]], 3) == 0.5
    assert precision_at_k([[1, 1, 1]], [[1, 2]], 3) == pytest.approx(1 / 3)
    assert ndcg_at_k([[1, 1]], [[1, 2]], 2) == pytest.approx(1 / (1 + 1 / np.log2(3)))


def test_ids_that_recur_are_ids_where_no_matrix_could_be_meant():
    assert ndcg_at_k([[0, 1], [5, 2]], [[0, 0], [1, 1]], 2, average=False).tolist() == [1, 0]  # no column is item 5's
    assert recall_at_k([["a", "b"]], [["a", "a"]], 2) == 1
    for call in (ndcg_at_k, recall_at_k):
        with pytest.raises(ValueError, match="name each once"):
            call([[0, 1], [1, 2]], [[0, 1, 1], [1, 0, 0]], 2)


def test_coverage():
    assert coverage([[0, 1], [1, 2]], 4) == 0.75
    assert coverage([["a", "b"], ["b", "b"]], ["a", "b", "c", "d"]) == 0.5
    assert coverage(np.array([["a", None]], dtype=object), ["a", "b"]) == 0.5
    assert coverage([[0, 1], [2, 3]], np.arange(4), k=1) == 0.5
    assert coverage([[-1, -1]], 3) == 0
    with pytest.raises(ValueError, match="holds no items"):
        coverage([[1]], 0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: recall_at_k([[1, 2], [1]], [[1], [2]]), "differ in length"),
        (lambda: recall_at_k([1, 2], [[1]]), r"a list of ids for each user"),
        (lambda: recall_at_k(np.arange(3), [[1]]), "shape"),
        (lambda: recall_at_k([[1, 2]], [[1], [2]]), "has 1 users .* has 2"),
        (lambda: recall_at_k([[1, 2]], [["1"]]), "use one type"),
        (lambda: recall_at_k([[1, 2]], [[1, None]]), "stand for no item"),
        (lambda: recall_at_k([[1, 2]], [[np.nan]]), "stand for no item"),
        (lambda: recall_at_k([[1, 2]], [[1]], 0), "k must be a positive integer"),
        (lambda: recall_at_k([[1, 2]], [[1]], 2.5), "k must be a positive integer"),
        (lambda: ndcg_at_k([[1, 2]], [[1]], gains=[[-1]]), "not negative"),
        (lambda: ndcg_at_k([[1, 2]], [[1]], gains=[[np.nan]]), "finite"),
        (lambda: ndcg_at_k([[1, 2]], [[1]], gains=[[1, 2]]), "one number for each"),
        (lambda: ndcg_at_k([[0, 1]], sp.csr_array([[1.0, 0]]), gains=[[1]]), "leave gains=None"),
        (lambda: ndcg_at_k([[0, 1]], [[0]], gains=[[0]]), "Nothing is relevant"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()


def test_more_pairs_of_users_and_items_than_32_bits_count():
    n = 50_000
    codes = np.arange(n, dtype=np.int32)
    hits = match(codes[:, np.newaxis], codes, codes, None)
    assert recall_values(hits, 1).mean() == 1.0
