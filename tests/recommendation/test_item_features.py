"""Attributes of items: from every kind of table to one matrix, and what does not fit."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.compose import make_column_transformer
from sklearn.preprocessing import OneHotEncoder

from skml.recommendation.item_features import fit_item_features, transform_item_features

IDS = np.array(["w", "y"], dtype=object)
EXPECTED = np.array([[0, 1, 0, 1], [0, 0, 1, 1], [10, 0, 0, 0], [20, 1, 0, 1]])  # w, y, then the new x, z


def films():
    pandas = pytest.importorskip("pandas")
    columns = {
        "year": [1990.0, 2000, np.nan, 2010],
        "genre": ["a", "b", None, "a"],
        "plot": ["big dog", "small cat", "dog", None],
        "ok": [True, False, True, True],
    }
    return pandas.DataFrame(columns, index=["w", "x", "y", "z"])


def test_numbers_categories_and_text_by_hand():
    found = fit_item_features(films(), IDS, text="plot")
    assert found.ids.tolist() == ["w", "y", "x", "z"]
    assert found.names.tolist() == ["year", "genre_a", "genre_nan", "ok_True", "text2_big", "text2_dog"]
    np.testing.assert_allclose(found.matrix[:, :4], EXPECTED)
    np.testing.assert_allclose(found.matrix[1:, 4:], [[0, 1], [0, 0], [0, 0]])
    np.testing.assert_allclose(np.linalg.norm(found.matrix[0, 4:]), 1)


def test_names_in_bytes_are_categories():
    found = fit_item_features(np.array([[b"a"], [b"b"], [b"a"]]), np.arange(3))
    np.testing.assert_array_equal(found.matrix, [[1, 0], [0, 1], [1, 0]])


def test_numbers_are_standardised(rng):
    values = rng.normal(3, 5, size=(20, 2))
    found = fit_item_features(values, np.arange(15))
    np.testing.assert_allclose(found.matrix, (values - values[:15].mean(axis=0)) / values[:15].std(axis=0))
    assert found.ids.tolist() == list(range(20))
    assert fit_item_features(values, np.arange(15), dtype=np.float32).matrix.dtype == np.float32


def test_polars_and_pairs_say_the_same():
    polars = pytest.importorskip("polars")
    frame, expected = films(), fit_item_features(films(), IDS, text="plot")
    with_ids = frame.rename_axis("film").reset_index()
    other = polars.from_pandas(with_ids)
    for features, id_column in (
        (other, "film"),
        (other, 0),
        (with_ids, "film"),
        ((["w", "x", "y", "z"], frame.reset_index(drop=True)), None),
        (with_ids.to_numpy(), 0),
    ):
        text = 2 if isinstance(features, np.ndarray) else "plot"
        found = fit_item_features(features, IDS, text=text, id_column=id_column)
        np.testing.assert_allclose(found.matrix, expected.matrix)
        assert found.ids.tolist() == expected.ids.tolist()


def test_new_tables_are_read_as_at_fit():
    frame = films()
    found = fit_item_features(frame, IDS, text="plot")
    ids, matrix = transform_item_features(found, frame[["plot", "ok", "genre", "year"]].loc[["z", "w"]])
    assert ids.tolist() == ["z", "w"]
    np.testing.assert_allclose(matrix, found.matrix[[3, 0]])
    with pytest.raises(ValueError, match="lacks the columns 'ok'"):
        transform_item_features(found, frame[["plot", "genre", "year"]])


def test_a_transformer_of_the_users_own():
    transformer = make_column_transformer((OneHotEncoder(), ["genre"]), ("passthrough", ["ok"]))
    found = fit_item_features(
        films().fillna({"genre": "a"}), np.array(["w", "x"], dtype=object), transformer=transformer
    )
    np.testing.assert_array_equal(found.matrix, [[1, 0, 1], [0, 1, 0], [1, 0, 1], [1, 0, 1]])
    assert not hasattr(transformer, "transformers_")


def test_sparse_attributes_stay_sparse(rng):
    matrix = sp.random_array((30, 200), density=0.1, rng=rng, format="coo")
    found = fit_item_features(matrix, np.array([3.0, 7.0, 29.0]))
    assert sp.issparse(found.matrix) and found.matrix.format == "csr"
    np.testing.assert_array_equal(found.matrix[[0, 1, 2]].toarray(), matrix.toarray()[[3, 7, 29]])
    assert found.matrix.shape == (30, 200)
    zeros = fit_item_features(matrix, np.array([3, 77]), absent="zeros").matrix
    assert zeros[[1]].nnz == 0 and zeros.shape == (31, 200)


def test_absent_items():
    ids = np.array(["q", "w", "r"], dtype=object)
    with pytest.raises(ValueError, match="no row for 2 of 3 items: 'q', 'r'"):
        fit_item_features(films()[["year"]], ids)
    found = fit_item_features(films()[["year"]], ids, absent="zeros")
    np.testing.assert_array_equal(found.matrix[[0, 2]], 0)
    assert found.ids.tolist() == ["q", "w", "r", "x", "y", "z"]


@pytest.mark.parametrize(
    ("features", "options", "message"),
    [
        (np.arange(3.0), {}, "must have shape"),
        (([0, 1], np.eye(3)), {}, "3 rows and 2 ids"),
        (([0, 1, 1], np.eye(3)), {}, "more than once: 1"),
        (([0, 1, None], np.eye(3)), {}, "no id in row 2"),
        ((["a", "b", "c"], np.eye(3)), {}, "use one type"),
        (np.array([[0, np.inf], [1, 2]]), {"transformer": "passthrough"}, "finite numbers"),
        (np.array([[1.0, ["a"]], [2.0, ["b"]]], dtype=object), {}, r"Attribute 1 .* the list \['a'\]; give one string"),
        (np.array([[1.0, []], [2.0, ["b"]]], dtype=object), {}, r"Attribute 1 .* the list \[\]; give one string"),
        (np.eye(3), {"text": "plot"}, "text names the column 'plot'"),
        (np.eye(3), {"text": 5}, "text holds 5"),
        (np.eye(3), {"id_column": "film"}, "id_column='film' names no column"),
        (np.eye(3), {"id_column": 4}, "id_column=4 is no column"),
        (sp.eye_array(3, format="csr"), {"id_column": 0}, "give item_features="),
    ],
)
def test_what_does_not_fit_is_refused(features, options, message):
    if options.get("transformer") == "passthrough":
        options = {"transformer": make_column_transformer(("passthrough", [0, 1]))}
    with pytest.raises(ValueError, match=message):
        fit_item_features(features, np.array([0, 1]), **options)


def test_polars_needs_the_column_of_ids():
    polars = pytest.importorskip("polars")
    with pytest.raises(ValueError, match="polars DataFrame has no index"):
        fit_item_features(polars.DataFrame({"a": [1.0, 2]}), np.array([0, 1]))
