"""Forests as arrays: joined, in part, pickled in few bytes, and refused where they were tampered with."""

import copy
import dataclasses
import itertools
import pickle
import tracemalloc

import numpy as np
import pytest
import scipy.sparse
from sklearn import config_context

from skml import BaggingForestRegressor
from skml.ensemble.binning import encode, find_bins, tabulate
from skml.ensemble.criteria import GINI, SQUARED
from skml.ensemble.grower import Classes, Problem, Rule, fixed_point, grow_tree
from skml.ensemble.leaf_rows import rows_of_leaves
from skml.ensemble.predictor import Forest, joined, leaf_values, leaves, member_values, part, sums
from skml.ensemble.sampling import Bagging, draw_bag

KINDS = ("classes", "several", "numbers", "stump")


def grown(rng, seed, kind, n_trees=6):
    """Return trees and codes of rows; categories and missing values among them."""
    return problem_and_grown(rng, seed, kind, n_trees)[1:]


def problem_and_grown(rng, seed, kind, n_trees=6, n=120):
    X = np.column_stack([rng.normal(size=n), rng.integers(0, 30, n), rng.normal(size=n)])
    X[rng.random(X.shape) < 0.1] = np.nan
    bins = find_bins(X, np.ones(n), np.array([False, True, False]), 255, 1)
    if kind == "numbers":
        targets = fixed_point(rng.normal(size=(2, n)), n)
    else:
        first = np.array([0, 3, 5] if kind == "several" else [0, 3], np.int32)
        targets = Classes(
            np.array([rng.integers(a, b, n) for a, b in itertools.pairwise(first)], np.int32), first, np.ones(first[-1])
        )
    rule = Rule(
        criterion=SQUARED if kind == "numbers" else GINI,
        max_depth=0 if kind == "stump" else 5,
        max_leaves=0,
        max_features=2,
        min_split=2,
        min_leaf=1,
        min_weight=0.0,
        min_gain=-np.inf,
        monotonic=np.empty(0, np.int8),
    )
    problem = Problem(tabulate(bins, X, 1), targets, Bagging(np.ones(n), seed, size=n), rule, 3)
    return problem, [grow_tree(problem, number)[0] for number in range(n_trees)], encode(bins, X, 1)


def assert_same(ours, theirs):
    for name, value in vars(theirs).items():
        np.testing.assert_array_equal(getattr(ours, name), value, err_msg=name)
        assert np.asarray(getattr(ours, name)).dtype == np.asarray(value).dtype, name


each_kind = pytest.mark.parametrize("kind", KINDS)


@each_kind
def test_joined_trees_say_what_they_said(rng, seed, kind):
    trees, codes = grown(rng, seed, kind)
    forest = joined(trees)
    assert forest.n_trees == 6
    alone = [sums(tree, codes, 1) for tree in trees]
    total = np.zeros_like(alone[0])
    for one in alone:
        total += one
    np.testing.assert_array_equal(sums(forest, codes, 1), total)
    np.testing.assert_array_equal(sums(forest, codes, 3), total)
    found = leaves(forest, codes, 1)
    before = np.cumsum([0, *(len(tree.weights) for tree in trees)])
    np.testing.assert_array_equal(forest.leaf_starts, before)
    np.testing.assert_array_equal(forest.node_starts, np.cumsum([0, *(len(tree.nodes) for tree in trees)]))
    for t, tree in enumerate(trees):
        own = leaves(tree, codes, 1)[:, 0]
        np.testing.assert_array_equal(found[:, t], own + before[t])
        np.testing.assert_array_equal(leaf_values(forest, found[:, t]), leaf_values(tree, own))
        np.testing.assert_array_equal(forest.weights[found[:, t]], tree.weights[own])


@each_kind
def test_joining_can_be_done_in_any_steps(rng, seed, kind):
    trees, _ = grown(rng, seed, kind)
    before = copy.deepcopy(trees)
    forest = joined(trees)
    assert_same(joined([joined(trees[:2]), trees[2], joined(trees[3:])]), forest)
    for tree, was in zip(trees, before):
        assert_same(tree, was)  # nothing was changed
    assert joined(trees[:1]) is trees[0]


@each_kind
def test_rows_in_leaves_of_joined_trees(rng, seed, kind):
    problem, trees, codes = problem_and_grown(rng, seed, kind)
    forest = joined(trees)
    held = rows_of_leaves(forest, problem.table, problem.bagging, 2)
    for t, tree in enumerate(trees):
        rows, counts = draw_bag(problem.bagging, t)
        reached = leaves(tree, codes[rows], 1)[:, 0]
        for leaf in range(len(tree.weights)):
            here = slice(*held.starts[forest.leaf_starts[t] + leaf :][:2])
            np.testing.assert_array_equal(held.rows[here], rows[reached == leaf])
            assert counts[reached == leaf].sum() == tree.weights[leaf]


@each_kind
def test_some_trees_are_a_forest(rng, seed, kind):
    trees, codes = grown(rng, seed, kind)
    forest = joined(trees)
    some = part(forest, np.array([4, 1]))
    assert some.n_trees == 2
    np.testing.assert_array_equal(leaves(some, codes, 1), leaves(forest, codes, 1)[:, [4, 1]])
    np.testing.assert_array_equal(sums(some, codes, 1), sums(trees[4], codes, 1) + sums(trees[1], codes, 1))
    assert some.values is forest.values


@each_kind
def test_members_are_told_in_chunks(rng, seed, kind):
    trees, codes = grown(rng, seed, kind)
    forest = joined(trees)
    with config_context(working_memory=1e-3):
        chunks = list(member_values(forest, codes, 1))
    assert len(chunks) > 2
    assert [rows.start for rows, _ in chunks][1:] == [rows.stop for rows, _ in chunks][:-1]
    told = np.concatenate([values for _, values in chunks])
    assert told.shape == (len(codes), 6, forest.values.shape[1])
    for t, tree in enumerate(trees):
        np.testing.assert_array_equal(told[:, t], sums(tree, codes, 1))


@each_kind
def test_no_rows_are_told_nothing(rng, seed, kind):
    trees, codes = grown(rng, seed, kind, n_trees=2)
    forest = joined(trees)
    assert sums(forest, codes[:0], 2).shape == (0, forest.values.shape[1])
    assert leaves(forest, codes[:0], 2).shape == (0, 2)


# ---------------------------------------------------------------------------------------------- pickling


@each_kind
def test_a_forest_comes_back_as_it_was(rng, seed, kind):
    trees, codes = grown(rng, seed, kind)
    forest = joined(trees)
    for again in (pickle.loads(pickle.dumps(forest)), copy.deepcopy(forest), pickle.loads(pickle.dumps(trees[0]))):
        assert_same(again, forest if again.n_trees == 6 else trees[0])
        np.testing.assert_array_equal(sums(again, codes, 1), sums(forest if again.n_trees == 6 else trees[0], codes, 1))
    assert_same(joined([pickle.loads(pickle.dumps(tree)) for tree in trees]), forest)


def test_few_bytes_hold_a_forest(rng, seed):
    forest = joined(grown(rng, seed, "classes", n_trees=3)[0])
    state = forest.__getstate__()
    assert state["features"].dtype == state["bounds"].dtype == state["kinds"].dtype == np.uint8
    assert 0 < len(state["numbers"]) <= 3 * 2**5
    assert state["numbers"].dtype == np.uint8
    assert "nodes" not in state
    assert not {"rows", "counts", "row_starts"} & state.keys()  # the training rows stay behind
    assert forest.nodes.shape[1] == 4  # the forest itself is as before


@pytest.mark.parametrize(("most", "kind"), [(255, np.uint8), (256, np.uint16), (65535, np.uint16), (65536, np.int32)])
def test_the_smallest_type_that_holds_them(rng, seed, most, kind):
    forest = joined(grown(rng, seed, "classes")[0])
    numbers = forest.numbers.copy()
    numbers[0] = most
    values = np.zeros((most + 1 - forest.n_pure, forest.values.shape[1]))
    forest = dataclasses.replace(forest, numbers=numbers, values=values)
    assert forest.__getstate__()["numbers"].dtype == kind
    assert_same(copy.deepcopy(forest), forest)


def state_of(rng, seed, kind):
    state = joined(grown(rng, seed, kind)[0]).__getstate__()
    return {name: value.copy() if isinstance(value, np.ndarray) else value for name, value in state.items()}


def refused(state, **changed):
    with pytest.raises((ValueError, IndexError, KeyError, AttributeError)):
        Forest.__new__(Forest).__setstate__(state | changed)


def with_value(array, at, value):
    array = array.astype(np.int64)
    array[at] = value
    return array


@pytest.mark.parametrize("kind", KINDS[:3])
def test_links_that_lead_astray_are_refused(rng, seed, kind):
    state = state_of(rng, seed, kind)
    Forest.__new__(Forest).__setstate__(state)
    n_inner, n_leaves = len(state["children"]), len(state["weights"])
    for at, value in (((0, 0), 0), ((2, 1), 1), ((0, 1), n_inner), ((0, 0), ~n_leaves), ((n_inner - 1, 0), 2**31 - 1)):
        refused(state, children=with_value(state["children"], at, value).astype(np.int32))
    for value in (n_inner, ~n_leaves):
        refused(state, roots=with_value(state["roots"], 0, value).astype(np.int32))
    by_set = np.flatnonzero(state["kinds"] == 2)
    assert len(by_set)
    refused(state, features=with_value(state["features"], by_set[0], len(state["sets"])))
    refused(state, features=with_value(state["features"], 0, -1))
    refused(state, set_features=with_value(state["set_features"], 0, -1).astype(np.int32))
    plain = np.flatnonzero(state["kinds"] != 2)
    refused(state, features=with_value(state["features"], plain[0], 3))
    refused(state, set_features=with_value(state["set_features"], 0, 3).astype(np.int32))
    refused(state, n_features=1)
    refused(state, children=state["children"][:, :1])
    refused(state, children=state["children"][:-1])


@each_kind
def test_arrays_that_disagree_are_refused(rng, seed, kind):
    state = state_of(rng, seed, kind)
    for name in ("weights", "bounds", "kinds", "features", "sets", "set_features", "leaf_starts", "node_starts"):
        if len(state[name]):
            refused(state, **{name: state[name][:-1]})
    refused(state, leaf_starts=with_value(state["leaf_starts"], -1, 10**9))
    refused(state, sets=np.zeros((len(state["sets"]), 7), np.uint32))
    refused(state, values=state["values"][:, 0])
    refused(state, n_pure=state["values"].shape[1] + 1)
    refused(state, n_pure=-1)
    for name in state:
        refused({key: value for key, value in state.items() if key != name})
    if len(state["numbers"]):
        most = state["n_pure"] + len(state["values"])
        for value in (-1, most, 2**31 - 1):
            refused(state, numbers=with_value(state["numbers"], 0, value))
        refused(state, numbers=state["numbers"][:-1])
        refused(state, numbers=state["numbers"][:0])
    else:
        refused(state, values=state["values"][:-1])


@each_kind
def test_rows_of_another_width_are_refused(rng, seed, kind):
    trees, codes = grown(rng, seed, kind, n_trees=2)
    forest = joined(trees)
    for wrong in (codes[:, :2], codes[:, :0], np.column_stack([codes, codes])):
        for ask in (sums, leaves):
            with pytest.raises(ValueError, match="columns; the trees ask about 3"):
                ask(forest, np.ascontiguousarray(wrong), 1)


def test_trees_of_other_columns_than_the_bins_are_refused(rng):
    wide = BaggingForestRegressor(n_estimators=2, random_state=0).fit(rng.normal(size=(50, 4)), rng.normal(size=50))
    narrow = BaggingForestRegressor(n_estimators=2, random_state=0).fit(rng.normal(size=(50, 3)), rng.normal(size=50))
    for bins, forest in ((wide, narrow), (narrow, wide)):
        mixed = dataclasses.replace(bins._model, forest=forest._model.forest)
        for again in (copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))):
            with pytest.raises(ValueError, match="columns, of which"):
                again(mixed)


@pytest.mark.parametrize("missing", [0.0, 0.1])
def test_batches_of_any_size_say_the_same(rng, missing):
    # Some features are categories, and batches of 256 rows and more walk over packed trees.
    X = np.column_stack([rng.normal(size=(1000, 3)), rng.integers(0, 9, 1000)])
    X[rng.random(X.shape) < missing] = np.nan
    y = X[:, 0] + np.isin(X[:, 3], [1, 4, 5]) + rng.normal(size=1000)
    forest = BaggingForestRegressor(n_estimators=9, categorical_features=[3], random_state=0)
    forest.fit(X, np.nan_to_num(y))
    one_by_one = np.concatenate([forest.predict(X[i : i + 1]) for i in range(300)])
    np.testing.assert_array_equal(forest.predict(X)[:300], one_by_one)
    np.testing.assert_array_equal(forest.predict(X[:255]), one_by_one[:255])
    with config_context(working_memory=1e-3):
        np.testing.assert_array_equal(forest.predict(X)[:300], one_by_one)
        np.testing.assert_array_equal(forest.apply(X), forest.apply(X[np.arange(1000)]))


def test_sparse_rows_are_walked_chunk_by_chunk(rng):
    X = scipy.sparse.random(2000, 5000, 0.001, "csr", rng=rng)
    y = rng.normal(size=2000)
    forest = BaggingForestRegressor(n_estimators=2, max_depth=3, random_state=0).fit(X, y)
    whole = forest.predict(X)
    with config_context(working_memory=1):
        tracemalloc.start()
        np.testing.assert_array_equal(forest.predict(X), whole)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 5e6  # all codes would take 10 MB
