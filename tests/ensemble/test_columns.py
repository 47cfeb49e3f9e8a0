"""Categories, missing values and sparse rows, as they come."""

import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp

from skml import AdaBoost, BaggingForest, BaggingForestRegressor

ALONE = {"n_estimators": 1, "bootstrap": False, "feature_sampling": "none"}
COLOURS = np.array(["red", "green", "blue", "black", "white", "grey"])


def table(rng, n=300):
    """Return a colour, its number, a number, and classes that depend on a subset of the colours."""
    codes = rng.integers(6, size=n)
    return COLOURS[codes], codes, rng.normal(size=n), np.isin(codes, [0, 2, 5]).astype(int)


def framed(library, colours, numbers):
    frames = pytest.importorskip(library)
    if library == "pandas":
        return frames.DataFrame({"colour": frames.Categorical(colours), "x": numbers})
    return frames.DataFrame({"colour": frames.Series(colours.tolist(), dtype=frames.Categorical), "x": numbers})


# ---------------------------------------------------------------------------------------------- categories


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("kind", [BaggingForest, BaggingForestRegressor])
def test_a_subset_of_categories_is_one_split(rng, library, kind):
    colours, _, x, y = table(rng)
    forest = kind(**ALONE).fit(framed(library, colours, x), y)
    tree = forest[0]
    assert tree.get_n_leaves() == 2
    assert np.isnan(tree.tree_.threshold[0])
    np.testing.assert_array_equal(forest.predict(framed(library, colours, x)), y)
    few = colours[[0, 1, 2]]
    np.testing.assert_array_equal(forest.predict(framed(library, few, x[:3])), y[:3])  # other codes, the same names
    first = tree.export_text().splitlines()[0]
    named = set(first.partition("{")[2].rstrip("}").split(", "))
    assert first.startswith("|--- colour in {")
    assert named in ({"red", "blue", "grey"}, {"green", "black", "white"})


def test_all_ways_to_name_a_categorical_column_agree(rng):
    pandas = pytest.importorskip("pandas")
    colours, codes, x, y = table(rng)
    frame = pandas.DataFrame({"colour": colours, "x": x})
    typed = frame.assign(colour=frame["colour"].astype("category"))
    params = {"n_estimators": 5, "random_state": 0}
    expected = BaggingForest(**params).fit(typed, y).predict_proba(typed)
    for wanted in (["colour"], [0], [-2], [True, False], np.array([True, False])):
        found = BaggingForest(**params, categorical_features=wanted).fit(frame, y).predict_proba(frame)
        np.testing.assert_array_equal(found, expected)
    objects = np.column_stack([colours.astype(object), x])
    found = BaggingForest(**params, categorical_features=[0]).fit(objects, y).predict_proba(objects)
    np.testing.assert_array_equal(found, expected)
    order = np.argsort(np.argsort(COLOURS))  # numbers in the order of the names
    numbers = np.column_stack([order[codes], x])
    found = BaggingForest(**params, categorical_features=[0]).fit(numbers, y).predict_proba(numbers)
    np.testing.assert_array_equal(found, expected)


def test_lists_hold_categories_too():
    X, y = [["a", 1], ["b", 2], ["a", 3], ["c", 4]], [0, 1, 0, 1]
    forest = BaggingForest(**ALONE, categorical_features=[0]).fit(X, y)
    np.testing.assert_array_equal(forest.predict([["a", 9], ["c", 0]]), [0, 1])
    with pytest.raises(ValueError, match="X has 1 features, but BaggingForest is expecting 2"):
        forest.predict([["a"]])
    for rows in (["a", 1], [[["a"]]]):
        with pytest.raises(ValueError, match="2D array|features"):
            forest.predict(rows)


def test_numbers_as_categories_have_no_order(rng):
    X = rng.integers(-3, 9, size=(300, 1)) * 10.0
    y = np.isin(X[:, 0], [-30, 0, 20, 70]).astype(int)
    forest = BaggingForest(**ALONE, categorical_features=[0]).fit(X, y)
    assert forest[0].get_n_leaves() == 2
    assert forest.score(X, y) == 1
    assert BaggingForest(**ALONE).fit(X, y)[0].get_n_leaves() > 2
    sparse = BaggingForest(**ALONE, categorical_features=[0]).fit(sp.csr_array(X), y)
    np.testing.assert_array_equal(sparse.predict_proba(X), forest.predict_proba(X))


def test_the_best_subset_is_found_for_two_classes_and_for_numbers(rng):
    codes = np.repeat(np.arange(7), 30)
    for kind, y in ((BaggingForest, rng.integers(2, size=210)), (BaggingForestRegressor, rng.normal(size=210))):
        forest = kind(**ALONE, max_depth=1, categorical_features=[0]).fit(codes[:, None], y)
        said = forest.predict_proba(codes[:, None])[:, 1] if kind is BaggingForest else forest.predict(codes[:, None])

        def loss(left, y=y):
            inside = np.isin(codes, left)
            return sum(((y[side] - y[side].mean()) ** 2).sum() for side in (inside, ~inside))

        subsets = [[c for c in range(7) if bits >> c & 1] for bits in range(1, 64)]
        assert ((y - said) ** 2).sum() == pytest.approx(min(map(loss, subsets)), rel=1e-9)


@pytest.mark.parametrize("kind", [BaggingForest, BaggingForestRegressor])
def test_hundreds_of_categories(rng, kind):
    names = np.array([f"city {i:03}" for i in range(400)], dtype=object)
    chosen = np.concatenate([np.arange(400), rng.integers(60, size=3000)])
    X, y = names[chosen][:, None], (chosen % 2 == 0).astype(int)
    forest = kind(n_estimators=5, categorical_features=[0], random_state=0).fit(X, y)
    said = forest.predict(X)
    assert np.mean((said > 0.5) == y) > 0.93  # the rare ones share a branch, the frequent ones are known
    assert np.all((said[400:] > 0.5) == y[400:])


def test_several_classes_of_categories(rng):
    codes = rng.integers(9, size=600)
    y = np.array(list("abc"))[codes % 3]
    forest = BaggingForest(**ALONE, categorical_features=[0]).fit(codes[:, None], y)
    assert forest.score(codes[:, None], y) == 1
    assert forest[0].get_n_leaves() == 3


@pytest.mark.parametrize("kind", [BaggingForest, BaggingForestRegressor])
def test_unseen_categories_follow_the_heavier_side(kind):
    X = np.array(["a"] * 5 + ["b"] * 3, dtype=object)[:, None]
    forest = kind(**ALONE, categorical_features=[0]).fit(X, [0] * 5 + [1] * 3)
    np.testing.assert_array_equal(forest.predict(np.array([["z"], ["a"], ["b"]], dtype=object)), [0, 0, 1])
    forest.fit(X, [0] * 5 + [1] * 3, sample_weight=[1] * 5 + [9] * 3)
    np.testing.assert_array_equal(forest.predict(np.array([["z"], ["a"], ["b"]], dtype=object)), [1, 0, 1])
    numbers = kind(**ALONE, categorical_features=[0]).fit([[1.0]] * 5 + [[2.0]] * 3, [0] * 5 + [1] * 3)
    np.testing.assert_array_equal(numbers.predict([[7.0], [1.5], [1], [2]]), [0, 0, 0, 1])


@pytest.mark.parametrize("missing", [None, np.nan])
def test_a_missing_category_is_one_of_its_own(missing):
    X = np.array(["a", "a", "b", "b", missing, missing], dtype=object)[:, None]
    y = [0, 0, 0, 0, 1, 1]
    forest = BaggingForest(**ALONE, categorical_features=[0]).fit(X, y)
    np.testing.assert_array_equal(forest.predict(X), y)
    assert forest[0].get_n_leaves() == 2


def test_columns_of_strings_that_nobody_named(rng):
    pandas = pytest.importorskip("pandas")
    colours, _, x, y = table(rng)
    frame = pandas.DataFrame({"colour": colours, "x": x})
    with pytest.raises(ValueError, match="convert|string"):
        BaggingForest(n_estimators=1).fit(frame, y)
    with pytest.raises(ValueError, match="Column 'colour'.* not hold numbers; name it in categorical_features, with"):
        BaggingForest(n_estimators=1, categorical_features=["x"]).fit(frame.assign(x=colours), y)
    mixed = np.array([["a"], [1], ["b"]], dtype=object)
    with pytest.raises(ValueError, match="categories of several types"):
        BaggingForest(n_estimators=1, categorical_features=[0]).fit(mixed, [0, 1, 0])


def test_a_column_that_names_leave_out_is_told_with_its_type():
    pandas = pytest.importorskip("pandas")
    letters = {name: pandas.Categorical(values) for name, values in (("b", ["x", "y"]), ("c", ["u", "v"]))}
    frame = pandas.DataFrame({"a": [1.0, 2.0], **letters})
    frame["day"] = pandas.to_datetime(["2020-01-01", "2020-01-02"])
    told = "Column {}, of dtype {}.*; name it in categorical_features, with all other columns of categories"
    for named in (["b"], [1], [False, True, False, False]):
        with pytest.raises(ValueError, match=told.format("'c'", "category")):
            BaggingForest(n_estimators=1, categorical_features=named).fit(frame, [0, 1])
    with pytest.raises(ValueError, match=told.format("'day'", "datetime64")):
        BaggingForest(n_estimators=1, categorical_features=["b", "c"]).fit(frame, [0, 1])
    with pytest.raises(ValueError, match=told.format("'b'", "category")):
        BaggingForest(n_estimators=1, categorical_features=None).fit(frame[["a", "b"]], [0, 1])
    BaggingForest(n_estimators=1, categorical_features=["b", "c"]).fit(frame.drop(columns="day"), [0, 1])


KINDS = [
    (BaggingForest, "; name it in categorical_features, with all other columns of categories, to split it by"),
    (BaggingForestRegressor, "; name it in categorical_features, with all other columns of categories, to split it by"),
    (AdaBoost, "; encode it before, e.g. by a OneHotEncoder or OrdinalEncoder"),
]


@pytest.mark.parametrize(("kind", "cure"), KINDS)
@pytest.mark.parametrize("package", ["pandas", "polars"])
def test_a_column_of_strings_is_told_by_its_name(rng, kind, cure, package):
    library = pytest.importorskip(package)
    colours, _, x, y = table(rng)
    strings, numbers = (library.DataFrame({"x": x, "colour": column}) for column in (colours.tolist(), x))
    pattern = f"Column 'colour'{{}} holds strings such as '[a-z]+'{cure}"
    typed = pattern.format(f", of dtype {strings['colour'].dtype},")
    with pytest.raises(ValueError, match=typed):
        kind(n_estimators=1).fit(strings, y)
    fitted = kind(n_estimators=1).fit(numbers, y)
    with pytest.raises(ValueError, match=typed):
        fitted.predict(strings)
    pattern = pattern.format("")
    with (
        pytest.warns(UserWarning, match="X does not have valid feature names"),
        pytest.raises(ValueError, match=pattern),
    ):
        fitted.predict(np.column_stack([x.astype(object), colours]))


@pytest.mark.parametrize(("kind", "cure"), KINDS)
@pytest.mark.parametrize("dtype", [object, str, list])
def test_a_column_of_strings_is_told_by_its_number(kind, cure, dtype):
    X, y = [["1.5", "red"], ["2", "blue"]], [0, 1]
    X = X if dtype is list else np.array(X, dtype=dtype)
    with pytest.raises(ValueError, match=f"Column 1 holds strings such as 'red'{cure}"):
        kind(n_estimators=1).fit(X, y)
    with pytest.raises(ValueError, match=f"Column 1 holds strings such as 'red'{cure}"):
        kind(n_estimators=1).fit([[1, 2], [3, 4]], y).predict(X)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ([True], "mask of 1 columns; X has 2"),
        ([2], "the columns of X are 0 to 1"),
        ([-3], "the columns of X are 0 to 1"),
        (["nobody"], "names the column 'nobody'"),
        ([0.5], "mask, indices or names"),
        ([[0]], "mask, indices or names"),
        ("colour", "categorical_features"),
    ],
)
def test_bad_categorical_features(rng, wanted, message):
    with pytest.raises(ValueError, match=message):
        BaggingForest(n_estimators=1, categorical_features=wanted).fit(rng.normal(size=(5, 2)), [0, 1, 0, 1, 0])


def test_other_columns_at_predict(rng):
    colours, _, x, y = table(rng)
    frame = framed("pandas", colours, x)
    forest = BaggingForest(n_estimators=2, random_state=0).fit(frame, y)
    for other in (frame[["x", "colour"]], frame.rename(columns={"x": "z"}), frame.assign(more=1)):
        with pytest.raises(ValueError, match="feature names"):
            forest.predict(other)
    assert list(frame.columns) == list(forest.feature_names_in_)
    plain = BaggingForest(n_estimators=2).fit(rng.normal(size=(20, 3)), rng.integers(2, size=20))
    with pytest.raises(ValueError, match="X has 2 features, but BaggingForest is expecting 3"):
        plain.predict(np.zeros((1, 2)))


# ------------------------------------------------------------------------------------------------- missing


@pytest.mark.parametrize("kind", [BaggingForest, BaggingForestRegressor])
@pytest.mark.parametrize("side", [0, 1])
def test_missing_values_go_to_the_better_side(kind, side):
    X = np.array([[0.0], [1], [2], [3], [np.nan], [np.nan]])
    y = [0, 0, 1, 1, side, side]
    forest = kind(**ALONE).fit(X, y)
    np.testing.assert_array_equal(forest.predict(X), y)
    shape = forest[0].tree_
    assert (shape.node_count, shape.threshold[0]) == (3, 1.5)
    assert shape.missing_go_to_left[0] == (side == 0)


def test_being_missing_may_be_all_that_counts(rng):
    X = rng.normal(size=(100, 1))
    X[rng.permutation(100)[:30]] = np.nan
    y = np.isnan(X[:, 0]).astype(int)
    for forest in (BaggingForest(**ALONE), BaggingForestRegressor(**ALONE)):
        assert forest.fit(X, y)[0].get_n_leaves() == 2
        np.testing.assert_array_equal(forest.predict(X), y)


@pytest.mark.parametrize("kind", [BaggingForest, BaggingForestRegressor])
def test_values_first_missing_at_predict_follow_the_heavier_side(kind):
    X, y = np.array([[0.0]] * 5 + [[1.0]] * 3), [0] * 5 + [1] * 3
    assert kind(**ALONE).fit(X, y).predict([[np.nan]]) == 0
    assert kind(**ALONE).fit(X, y, sample_weight=[1] * 5 + [9] * 3).predict([[np.nan]]) == 1


@pytest.mark.parametrize("kind", [BaggingForest, BaggingForestRegressor])
def test_a_feature_all_missing_says_nothing(rng, kind):
    X, y = rng.normal(size=(60, 2)), rng.integers(2, size=60)
    forest = kind(n_estimators=4, max_features=None, random_state=0)
    lost = np.column_stack([X, np.full(60, np.nan)])
    assert forest.fit(lost, y).feature_importances_[2] == 0
    known = np.column_stack([X, np.zeros(60)])
    np.testing.assert_array_equal(forest.predict(known), forest.predict(lost))
    assert not any(2 in tree.tree_.feature for tree in forest.estimators_)
    assert kind(n_estimators=2).fit(np.full((6, 1), np.nan), [0, 1] * 3).predict([[1.0]]).shape == (1,)


def test_missing_values_of_sparse_rows(rng):
    X = rng.normal(size=(200, 3)) * (rng.random((200, 3)) < 0.5)
    X[rng.random((200, 3)) < 0.1] = np.nan
    y = (np.nan_to_num(X[:, 0], nan=2) > 0.1).astype(int)
    dense, sparse = (BaggingForest(n_estimators=4, random_state=0).fit(rows, y) for rows in (X, sp.csr_array(X)))
    np.testing.assert_array_equal(dense.predict_proba(X), sparse.predict_proba(sp.csr_array(X)))


# -------------------------------------------------------------------------------------------------- sparse


@pytest.mark.parametrize("container", [sp.csr_array, sp.csc_array, sp.coo_array, sp.csr_matrix])
@pytest.mark.parametrize("params", [{}, {"feature_sampling": "tree", "max_features": 0.5}, {"max_leaf_nodes": 9}])
def test_sparse_is_dense(rng, container, params):
    X = rng.normal(size=(200, 8)).round(1) * (rng.random((200, 8)) < 0.3)
    y = rng.integers(3, size=200)
    for kind in (BaggingForest, BaggingForestRegressor):
        dense = kind(n_estimators=4, random_state=0, **params).fit(X, y)
        sparse = kind(n_estimators=4, random_state=0, **params).fit(container(X), y)
        np.testing.assert_array_equal(dense.apply(X), sparse.apply(container(X)))
        np.testing.assert_array_equal(dense.predict(X), sparse.predict(container(X)))
        np.testing.assert_array_equal(dense.feature_importances_, sparse.feature_importances_)


def test_wide_sparse_rows_are_never_made_dense(rng):
    X = sp.random(2000, 50_000, density=1e-3, format="csr", random_state=int(rng.integers(1000)))
    y = (np.asarray(X[:, :500].sum(axis=1)).ravel() > 0).astype(int)
    tracemalloc.start()
    forest = BaggingForest(n_estimators=3, max_features=0.2, max_depth=6, random_state=0).fit(X, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60e6  # 800 MB as numbers, 100 MB as bytes
    assert forest.score(X, y) > 0.55


@pytest.mark.parametrize("kind", ["string", "category", "boolean", "Int64"])
def test_na_of_pandas_is_missing_beside_categories(kind):
    pd = pytest.importorskip("pandas")
    held = {"boolean": [True, False], "Int64": [4, 7]}.get(kind, ["x", "y"])
    column = pd.array([*held, None] * 10, dtype="string" if kind == "category" else kind)
    X = pd.DataFrame({"a": pd.array([1, 2, None] * 10, dtype="Int64"), "c": pd.Series(column)})
    X = X.astype({"c": kind})
    plain = pd.DataFrame({"a": [1, 2, np.nan] * 10, "c": np.array([0, 1, np.nan] * 10)})
    y = [0, 1, 1] * 10
    forest = BaggingForest(n_estimators=3, categorical_features=["c"], random_state=0)
    shares = forest.fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(shares, forest.fit(plain, y).predict_proba(plain))


def test_lists_in_a_column_of_categories_are_refused():
    pd = pytest.importorskip("pandas")
    X = pd.DataFrame({"tags": ["x", "y", "x"]})
    forest = BaggingForest(n_estimators=2, categorical_features=["tags"])
    with pytest.raises(ValueError, match=r"Column 'tags' holds the list \['x'\]; a category is one string or number"):
        forest.fit(pd.DataFrame({"tags": [["x"], ["y"], ["x"]]}), [0, 1, 0])
    with pytest.raises(ValueError, match="Column 'tags' holds the ndarray"):
        forest.fit(X, [0, 1, 0]).predict(pd.DataFrame({"tags": [np.arange(2), "y", "x"]}))
