"""Matrix to interactions and back, exactly; ids and their codes; duplicates."""

import numpy as np
import pandas
import polars
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from skml.recommendation import ids as ids_module
from skml.recommendation import interactions, ratings_matrix
from skml.recommendation.ids import encode, look_up, merge_ids, named
from skml.recommendation.interactions import joined, merged, require_small
from skml.recommendation.ratings import stable_order
from skml.recommendation.tables import as_column, as_table, column_of


def holes(rng, shape=(7, 5), share=0.5):
    R = np.rint(rng.normal(size=shape) * 2)
    R[rng.random(shape) < share] = np.nan
    return R


# --------------------------------------------------------------------------------------------- conversions


def test_matrix_to_interactions_and_back_is_exact(rng):
    few = holes(rng, (3, 9), 0.9)
    few[0, 0] = 1
    for R in (holes(rng), holes(rng, (1, 1), 0), few, holes(rng).astype(np.float32)):
        X, y = interactions(R)
        assert y.dtype == R.dtype
        back = ratings_matrix(X, y, user_ids=np.arange(len(R)), item_ids=np.arange(R.shape[1]))
        dense = np.full(R.shape, np.nan, R.dtype)
        rows = np.repeat(np.arange(len(R)), np.diff(back.matrix.indptr))
        dense[rows, back.matrix.indices] = back.matrix.data
        np.testing.assert_array_equal(dense, R, strict=True)


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "lil"])
def test_sparse_to_interactions_and_back_is_exact(rng, form):
    R = sp.random_array((9, 6), density=0.4, rng=rng, format="coo")
    R.data[::3] = 0  # a stored zero is a rating
    X, y = interactions(R.asformat(form))
    assert len(y) == R.asformat(form).nnz
    matrix, users, items = ratings_matrix(X, y, user_ids=np.arange(9), item_ids=np.arange(6))
    expected = sp.csr_array(R)
    np.testing.assert_array_equal(matrix.indptr, expected.indptr if form != "lil" else matrix.indptr)
    np.testing.assert_array_equal(matrix.toarray(), R.toarray())
    assert users.tolist() == list(range(9))


def test_interactions_to_matrix_and_back_is_exact(rng):
    X = np.array([["b", "x"], ["a", "y"], ["b", "y"]], dtype=object)
    y = np.array([0.0, 2.0, -1.0])
    matrix, users, items = ratings_matrix(X, y)
    assert matrix.nnz == 3
    again, ratings = interactions(matrix, user_ids=users, item_ids=items)
    order = np.lexsort((X[:, 1].astype(str), X[:, 0].astype(str)))
    np.testing.assert_array_equal(again, X[order])
    np.testing.assert_array_equal(ratings, y[order])


def test_entries_stored_twice_are_added_up_as_scipy_means_them():
    R = sp.coo_array(([1.0, 2.0, 4.0], ([0, 0, 1], [1, 1, 0])), shape=(2, 2))
    X, y = interactions(R)
    assert X.tolist() == [[0, 1], [1, 0]]
    assert y.tolist() == [3.0, 4.0]
    assert R.nnz == 3


def test_frames_have_names():
    frame = pandas.DataFrame([[5.0, np.nan], [np.nan, 0.0]], index=["ann", "bob"], columns=["tea", "milk"])
    X, y = interactions(frame)
    assert X.tolist() == [["ann", "tea"], ["bob", "milk"]]
    X, y = interactions(polars.DataFrame({"tea": [5.0, float("nan")], "milk": [1.0, 0.0]}))
    assert X.tolist() == [[0, "tea"], [0, "milk"], [1, "milk"]]


def test_given_ids_keep_their_order_and_those_without_ratings():
    matrix, users, items = ratings_matrix([["a", 1]], [3], user_ids=["z", "a"], item_ids=[9, 1, 4])
    assert matrix.toarray().tolist() == [[0, 0, 0], [0, 3, 0]]
    assert matrix.dtype.kind == "i"
    assert users.tolist() == ["z", "a"]
    with pytest.raises(ValueError, match="item_ids doesn't have.*row 0"):
        ratings_matrix([["a", 7]], [3], item_ids=[9, 1, 4])


def test_bad_conversions_are_refused():
    with pytest.raises(ValueError, match="Rows 0 and 1"):
        ratings_matrix([[1, 1], [1, 1]], [1, 2])
    assert ratings_matrix([[1, 1], [1, 1]], [1, 2], duplicates="mean").matrix.toarray().tolist() == [[1.5]]
    with pytest.raises(ValueError, match="duplicates must be"):
        ratings_matrix([[1, 1]], [1], duplicates="first")
    with pytest.raises(ValueError, match="one id for each of 2 columns"):
        interactions(np.eye(2), item_ids=["a"])
    with pytest.raises(ValueError, match="distinct"):
        interactions(np.eye(2), item_ids=["a", "a"])
    with pytest.raises(ValueError, match="two columns"):
        ratings_matrix([[1], [2]], [1, 2])
    with pytest.raises(ValueError, match="sparse"):
        ratings_matrix(sp.csr_array(np.eye(2)), [1, 2])


def test_sizes_beyond_32_bits_are_refused():
    with pytest.raises(ValueError, match="2,147,483,647 interactions"):
        require_small(2**31)
    with pytest.raises(ValueError, match="users"):
        require_small(1, 2**31)
    with pytest.raises(ValueError, match="items"):
        interactions(sp.csr_array((2, 2**31)))


# --------------------------------------------------------------------------------------------------- ids


COLUMNS = {
    "int": np.array([5, -3, 5, 900000]),
    "dense int": np.array([5, 3, 5, 4]),
    "uint64": np.array([2**64 - 1, 3, 2**64 - 1], np.uint64),
    "extremes": np.array([-(2**63), 2**63 - 1, 0]),
    "int8": np.array([-128, 127, -128], np.int8),
    "float": np.array([0.5, -0.0, 0.0, 3.0]),
    "bool": np.array([True, False, True]),
    "U": np.array(["b", "a", "b"]),
    "bytes": np.array([b"b", b"a", b"b"]),
    "object": np.array(["b", "a", "b"], dtype=object),
    "numbers": np.array([3, 1.5, np.int8(3)], dtype=object),
    "tuples": as_column([(1, "b"), (1, "a"), (1, "b")], "x"),
    "pandas": as_column(pandas.Series(["b", "a", "b"]), "x"),
    "categories": as_column(pandas.Series(["b", "a", "b"], dtype="category"), "x"),
    "polars": as_column(polars.Series(["b", "a", "b"]), "x"),
    "huge": np.array([2**70, 1, 2**70], dtype=object),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_ids_are_distinct_and_in_order(name):
    column = COLUMNS[name]
    ids, codes = encode(column, "x")
    assert codes.dtype == np.int32
    assert all(a < b for a, b in zip(ids[:-1], ids[1:]))
    plain = column.values[column.codes] if hasattr(column, "codes") else column
    for code, value in zip(codes, plain):
        assert ids[code] == value
    np.testing.assert_array_equal(look_up(column, ids, "x"), codes)
    np.testing.assert_array_equal(ids[::-1][look_up(column, ids[::-1], "x")], ids[codes])


def test_ids_of_another_kind_are_unknown():
    for known, asked in (([1, 2], ["1", "2"]), (["1"], [1]), ([(1, 2)], ["a"]), (["a"], [2.5])):
        ids, _ = encode(as_column(known, "x"), "x")
        assert (look_up(as_column(asked, "x"), ids, "x") == -1).all()
    ids, _ = encode(np.array([1, 2, 3]), "x")
    assert look_up(np.array([2.0, 2.5, 9.0]), ids, "x").tolist() == [1, -1, -1]
    assert look_up(np.array([2.0, "a"][:1], dtype=object), ids, "x").tolist() == [1]


def test_many_objects_are_numbered_in_pieces(rng, monkeypatch):

    monkeypatch.setattr(ids_module, "_AT_ONCE", 7)
    column = np.array([f"u{k}" for k in rng.integers(0, 40, 200)], dtype=object)
    ids, codes = encode(column, "x")
    np.testing.assert_array_equal(ids[codes], column)


def test_merged_ids():
    ids, old, new = merge_ids(np.array([1, 5]), np.array([3, 5]), "x")
    assert (ids.tolist(), old.tolist(), new.tolist()) == ([1, 3, 5], [0, 2], [1, 2])
    ids, old, new = merge_ids(np.array(["b", "a"]), np.array(["ccc", "a"], dtype=object), "x", ordered=False)
    assert (ids.tolist(), old.tolist(), new.tolist()) == (["b", "a", "ccc"], [0, 1], [2, 1])
    with pytest.raises(ValueError, match="numbers before and are strings"):
        merge_ids(np.array([1]), np.array(["a"]), "x")


def test_codes_get_their_names_back():
    codes = np.array([[1, -1]])
    for ids, fill in ((np.array([4, 7]), -1), (np.array([4, 7], np.uint8), -1), (np.array(["a", "b"], object), None)):
        assert named(codes, ids).tolist() == [[ids[1], fill]]
    assert named(codes, np.array(["a", "b"])).tolist() == [["b", ""]]
    assert np.isnan(named(codes, np.array([1.0, 2.0]))[0, 1])
    assert named(np.array([0]), np.array([4, 7], np.uint8)).dtype == np.uint8


# -------------------------------------------------------------------------------------------- duplicates


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(-9, 9), st.integers(1, 5)), min_size=1))
def test_merging_is_what_it_says(rows):
    u, i, y, w = np.array(rows).T
    y, w = y.astype(float), w.astype(float)
    for rule in ("mean", "last", "sum"):
        ratings = merged(u.astype(np.int32), i.astype(np.int32), y, w, (4, 5), rule)
        pairs = sorted(set(zip(u.tolist(), i.tolist())))
        assert list(zip(ratings.rows().tolist(), ratings.indices.tolist())) == pairs
        for (a, b), value, weight in zip(pairs, ratings.data, ratings.weights):
            at = (u == a) & (i == b)
            expected = {
                "mean": (np.average(y[at], weights=w[at]), w[at].sum()),
                "last": (y[at][-1], w[at][-1]),
                "sum": (y[at].sum(), w[at].mean()),
            }[rule]
            np.testing.assert_allclose((value, weight), expected, rtol=1e-12, atol=1e-12)


def test_stable_order_is_argsort(rng):
    for n, size in ((0, 3), (1, 1), (1000, 7), (50, 5000)):
        codes = rng.integers(0, size, n).astype(np.int32)
        np.testing.assert_array_equal(stable_order(codes, size), np.argsort(codes, kind="stable"))


@pytest.mark.parametrize("rule", ["mean", "last", "sum"])
def test_joining_is_merging_all(rng, rule):
    u, i = rng.integers(0, 6, (2, 60)).astype(np.int32)
    y, w = rng.normal(size=60), rng.integers(1, 4, 60) * 1.0
    distinct = {}
    for k in range(60):
        distinct[u[k], i[k], k // 30] = k  # each pair at most once in either half
    kept = np.sort(list(distinct.values()))
    u, i, y, w = u[kept], i[kept], y[kept], w[kept]
    halves = [kept < 30, kept >= 30]
    parts = [merged(u[half], i[half], y[half], w[half], (6, 6), "error") for half in halves]
    ours, theirs = joined(*parts, rule), merged(u, i, y, w, (6, 6), rule)
    for name in ("indptr", "indices", "data", "weights"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-12, atol=1e-15)


INTEGERS = st.sampled_from("bBhHiIqQ").flatmap(
    lambda char: st.tuples(
        st.just(char),
        st.lists(st.integers(int(np.iinfo(char).min), int(np.iinfo(char).max)), min_size=1, max_size=20),
    )
)


@settings(deadline=None)
@given(INTEGERS)
def test_codes_lead_back_to_integers_of_any_type(made):
    char, values = made
    column = np.array(values, char)
    ids, codes = encode(column, "ids")
    assert ids.dtype == column.dtype
    np.testing.assert_array_equal(ids[codes], column)
    assert (ids[:-1] < ids[1:]).all()


@pytest.mark.parametrize("values", [[-100, 100, 5, -100], [-128, 127]])
def test_small_integers_far_apart(values):
    ids, codes = encode(np.array(values, np.int8), "ids")
    assert ids[codes].tolist() == values


@pytest.mark.parametrize("values", [[2**100, 2**100 + 1, 5], [2**53 + 1, 2**53, 0.5], [2**63, -1, 2**63 + 1]])
def test_numbers_that_floats_would_merge_stay_apart(values):
    for column in (as_column(values, "ids"), np.array(values, dtype=object)):
        ids, codes = encode(column, "ids")
        assert ids[codes].tolist() == values
        assert ids.tolist() == sorted(values)
        assert look_up(column, ids, "ids").tolist() == codes.tolist()


def test_ids_of_other_number_types_are_compared_exactly():
    big = np.array([2**53, 2**53 + 1])
    assert ids_module.find(np.array([2.0**53, 2.0**53 + 2, 1.0]), big[1:]).tolist() == [-1, -1, -1]
    assert ids_module.find(np.array([2.0**53]), big).tolist() == [0]
    assert ids_module.find(np.array([2**63 + 1], np.uint64), np.array([1, 2**62])).tolist() == [-1]
    for ordered in (True, False):
        known, new = np.array([2**63, 2**63 + 1], np.uint64), np.array([-1, 3])
        ids, places, codes = merge_ids(known, new, "ids", ordered)
        assert [ids[place] for place in places] == known.tolist()
        assert [ids[code] for code in codes] == new.tolist()
        again, _, codes = merge_ids(ids, np.array([3, 7]), "ids", ordered)
        assert [again[code] for code in codes] == [3, 7]


def test_rows_with_a_feature_do_not_round_ids():
    X = [[2**53 + 1, 5, 0.5], [2**53, 5, 0.25], [2**53 + 2, 6, 0.5]]
    table = as_table(X)
    assert [int(user) for user in encode(column_of(table, 0), "users")[0]] == [2**53, 2**53 + 1, 2**53 + 2]
