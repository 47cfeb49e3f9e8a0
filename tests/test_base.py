"""Validation, memory, and all-or-nothing fits: what every estimator stands on."""

import threading
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from sklearn import config_context
from sklearn.base import BaseEstimator
from sklearn.callback import CallbackSupportMixin
from sklearn.exceptions import ConvergenceWarning

from skml import BaggingForest
from skml.base import (
    Step,
    chunk_slices,
    fit_task,
    fitting,
    require_memory,
    run_steps,
    validate_codes,
    validate_weights,
    validate_X,
    warn_caller,
)


class Mean(CallbackSupportMixin, BaseEstimator):
    """The mean of all rows, approached step by step: after step i it is that of the first i rows."""

    _parameter_constraints = {"steps": [int, None], "fail_at": [int, None]}

    def __init__(self, steps=None, fail_at=None):
        self.steps = steps
        self.fail_at = fail_at

    @fitting
    def fit(self, X, y=None):
        X = validate_X(self, X, reset=True)
        self.scratch_ = "written before the end"
        with fit_task(self, X=X, y=y, max_subtasks=len(X)) as context:
            run = run_steps(self, context, self._means(X), task="row", attributes=self._attributes, X=X, y=y)
            vars(self).update(self._attributes(run.state, run.history))
        del self.scratch_
        return self

    def _means(self, X):
        for i in range(len(X)):
            if i == self.fail_at:
                raise ZeroDivisionError("on purpose")
            yield Step(X[: i + 1].mean(axis=0), {"norm": float(np.abs(X[: i + 1].mean()))}, last=i == len(X) - 1)

    def _attributes(self, state, history):
        return {"mean_": state, "history_": history}


class Parts(Mean):
    """A mean whose steps are made of parts, each with a figure of its own."""

    def _means(self, X):
        for i in range(len(X)):
            yield Step(X[: i + 1].mean(axis=0), {"part": np.arange(float(i)), "norm": 1}, last=i == len(X) - 1)


def test_a_step_of_several_parts_has_a_figure_for_each(rng):
    history = Parts().fit(rng.normal(size=(4, 2))).history_
    assert history == {"part": [0.0, 0.0, 1.0, 0.0, 1.0, 2.0], "norm": [1.0, 1.0, 1.0, 1.0]}


# ------------------------------------------------------------------------------------------------ data


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (np.float64, np.float64),
        (np.float32, np.float32),
        (np.int32, np.float64),
        (bool, np.float64),
        (object, np.float64),
    ],
)
def test_floats_stay_and_others_become_float64(given, expected):
    X = validate_X(Mean(), np.eye(3).astype(given), reset=True)
    assert X.dtype == expected


NUMBERS = pd.DataFrame({"a": [1, 0, 200], "b": [3, 4, 5]})
HOLES = pd.DataFrame({"a": [1, None, 200], "b": [3, 4, 5]})
POLARS = {"a": pl.Float32, "b": pl.Float32}
BYTES = {"a": pl.UInt8, "b": pl.UInt8}


@pytest.mark.parametrize(
    ("X", "expected"),
    [
        (NUMBERS.to_numpy().astype(">f4"), "float32"),
        (NUMBERS.to_numpy().astype(">f8"), "float64"),
        (NUMBERS.astype(">f4"), "float32"),
        (NUMBERS.astype("Float32"), "float32"),
        (HOLES.astype("Float32"), "float32"),
        (NUMBERS.astype("float[pyarrow]"), "float32"),
        (NUMBERS.astype("Float64"), "float64"),
        (NUMBERS.astype({"a": "Float32", "b": "float64"}), "float64"),
        (NUMBERS.astype("UInt8"), "uint8"),
        (HOLES.astype("UInt8"), "float64"),
        (pl.DataFrame(NUMBERS.to_dict("list"), POLARS), "float32"),
        (pl.DataFrame(HOLES.to_dict("list"), POLARS, strict=False), "float32"),
        (pl.DataFrame(NUMBERS.to_dict("list"), POLARS | {"b": pl.Boolean}, strict=False), "float32"),
        (pl.DataFrame(NUMBERS.to_dict("list"), POLARS | {"b": pl.Int32}, strict=False), "float64"),
        (pl.DataFrame(NUMBERS.to_dict("list"), BYTES), "uint8"),
        (pl.DataFrame({"a": [1, None, 200], "b": [3, 4, 5]}, BYTES), "float64"),
        (pl.DataFrame(NUMBERS.to_dict("list"), POLARS).to_arrow(), "float32"),
        (NUMBERS.to_numpy().astype("float32").tolist(), "float64"),
    ],
)
def test_a_type_is_kept_in_every_container_and_byte_order(X, expected):
    made = validate_X(Mean(), X, reset=True, allow_nan=True, dtype=(np.float64, np.float32, np.uint8))
    assert made.dtype == expected
    assert made.dtype.isnative
    wanted = NUMBERS if isinstance(X, (np.ndarray, list)) else X.to_pandas() if hasattr(X, "to_pandas") else X
    np.testing.assert_array_equal(made, wanted.astype("float64"))


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_frames_of_no_numbers_are_refused_in_words(frame):
    for column in (["x", "y"], [[1, 2], [3, 4]]):
        with pytest.raises(ValueError, match=".* .* .*"):
            validate_X(Mean(), frame({"a": column, "b": [1.0, 2.0]}), reset=True)


def test_codes_in_a_frame_keep_their_type():
    codes = pl.DataFrame(NUMBERS.to_dict("list"), POLARS)
    assert validate_codes(codes, 2).dtype == validate_codes(NUMBERS.to_numpy(">f4"), 2).dtype == np.float32


def test_valid_data_is_not_copied(rng):
    X = rng.normal(size=(5, 3))
    assert validate_X(Mean(), X, reset=True) is X


def test_nan_only_where_allowed():
    X = np.array([[1.0, np.nan], [2.0, 3.0]])
    assert np.isnan(validate_X(Mean(), X, reset=True, allow_nan=True)[0, 1])
    with pytest.raises(ValueError, match="NaN"):
        validate_X(Mean(), X, reset=True)
    with pytest.raises(ValueError, match="infinity"):
        validate_X(Mean(), np.array([[1.0, np.inf]]), reset=True, allow_nan=True)


def test_what_overflows_in_float32_is_refused_without_other_warnings():
    with pytest.raises(ValueError, match="infinity"):
        validate_X(Mean(), np.array([[1e300, -1e300]]), reset=True, dtype=[np.float32])
    with pytest.raises(ValueError, match="infinity"):
        validate_X(Mean(), np.array([[np.inf, -np.inf]]), reset=True)


def test_a_series_is_refused_with_what_to_do():
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})
    series = [frame["a"], frame.iloc[0], pd.Series(["u", "v"]), pytest.importorskip("polars").Series([1.0, 2.0])]
    message = r"Expected 2D array, got a Series.*X\[\['name'\]\].*X\.iloc\[\[i\]\]"
    for X in series:
        for estimator in (Mean(), BaggingForest(n_estimators=1)):
            with pytest.raises(ValueError, match=message):
                estimator.fit(X, [0, 1])
    forest = BaggingForest(n_estimators=1).fit(frame.assign(b=pd.Categorical(["x", "y"])), [0, 1])
    with pytest.raises(ValueError, match="got a Series"):
        forest.predict(frame.iloc[0])


@pytest.mark.parametrize("unit", ["datetime64[s]", "timedelta64[D]"])
def test_times_are_refused(unit):
    with pytest.raises(TypeError, match="holds times"):
        validate_X(Mean(), np.zeros((3, 2), dtype=int).astype(unit), reset=True)


def test_dataframes_with_times_are_refused():
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    when = pandas.Timestamp("2020-02-02")
    for frame in (
        pandas.DataFrame({"a": [1.0, 2.0], "b": [when, when]}),
        pandas.DataFrame({"a": [1.0, 2.0], "b": [when - when, when - when]}),
        pandas.DataFrame({"a": [1.0, 2.0], "b": [when.tz_localize("UTC")] * 2}),
        polars.DataFrame({"a": [1.0, 2.0], "b": [when.to_pydatetime()] * 2}),
        polars.DataFrame({"a": [1.0, 2.0], "b": [when.date()] * 2}),
    ):
        with pytest.raises(TypeError, match="holds times"):
            validate_X(Mean(), frame, reset=True)


def test_feature_names_and_number_are_kept():
    pandas = pytest.importorskip("pandas")
    estimator = Mean()
    validate_X(estimator, pandas.DataFrame({"a": [1.0], "b": [2.0]}), reset=True)
    assert estimator.n_features_in_ == 2
    assert list(estimator.feature_names_in_) == ["a", "b"]
    with pytest.raises(ValueError, match="feature names"):
        validate_X(estimator, pandas.DataFrame({"a": [1.0], "c": [2.0]}), reset=False)
    plain = Mean()
    validate_X(plain, np.ones((2, 2)), reset=True)
    with pytest.raises(ValueError, match="1 features, but Mean is expecting 2"):
        validate_X(plain, np.ones((2, 1)), reset=False)


SMALL = {
    "plain": np.array([[1.0, 2.0]]),
    "float32": np.array([[1, 2]], dtype=np.float32),
    "integers": np.array([[1, 2]]),
    "float32 in the other byte order": np.array([[1, 2]], dtype=np.dtype(np.float32).newbyteorder()),
    "the other byte order": np.array([[1.0, 2.0]], dtype=np.dtype(float).newbyteorder()),
    "objects": np.array([[1.0, 2.0]], dtype=object),
    "masked": np.ma.masked_equal([[1.0, 2.0]], 2),
    "Fortran's order": np.asfortranarray([[1.0, 2.0], [3.0, 4.0]]),
    "every other row": np.ones((4, 2))[::2],
    "NaN": np.array([[1.0, np.nan]]),
    "infinity": np.array([[1.0, np.inf]]),
    "a column more": np.ones((1, 3)),
    "no rows": np.ones((0, 2)),
    "a row alone": np.ones(2),
}


@pytest.mark.parametrize("kind", SMALL)
@pytest.mark.parametrize("allow_nan", [True, False])
@pytest.mark.parametrize(
    "asked", [{}, {"order": "C"}, {"order": "F"}, {"dtype": [np.float64]}, {"ensure_min_samples": 2}]
)
@pytest.mark.parametrize("named", [True, False])
def test_small_arrays_are_validated_alike(kind, allow_nan, asked, named, monkeypatch):
    fitted = np.ones((3, 2))
    estimator = BaseEstimator()
    validate_X(estimator, pd.DataFrame(fitted, columns=["a", "b"]) if named else fitted, reset=True)

    def outcome():
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                X = validate_X(estimator, SMALL[kind], reset=False, allow_nan=allow_nan, **asked)
            except ValueError as error:
                return str(error)
        return X.tobytes(), X.dtype, X.flags.c_contiguous, type(X), X is SMALL[kind], [str(one.message) for one in said]

    quick = outcome()
    monkeypatch.setattr("skml.base._is_plain", lambda *parts: False)
    assert quick == outcome()


# ---------------------------------------------------------------------------------------------- sparse


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "lil", "dok", "dia", "bsr"])
@pytest.mark.parametrize("container", ["array", "matrix"])
def test_sparse_comes_back_as_csr_with_small_indices(form, container, rng):
    dense = np.where(rng.random((12, 6)) < 0.4, rng.normal(size=(12, 6)), 0.0)
    X = validate_X(Mean(), getattr(sp, f"{form}_{container}")(dense), reset=True, accept_sparse=True)
    assert X.format == "csr"
    assert X.indices.dtype == X.indptr.dtype == np.int32
    np.testing.assert_array_equal(X.toarray(), dense)


def test_sparse_values_are_shared_and_the_callers_matrix_is_unchanged():
    X = sp.csr_array(np.eye(4))
    X.indices, X.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    valid = validate_X(Mean(), X, reset=True, accept_sparse=True)
    assert np.shares_memory(valid.data, X.data)
    assert X.indices.dtype == np.int64


def test_sparse_is_refused_where_only_dense_will_do():
    with pytest.raises(TypeError, match="(?i)sparse"):
        validate_X(Mean(), sp.csr_array(np.eye(3)), reset=True)


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("indices", [0, 5, 2], "indices hold 5, outside 0 to 2"),
        ("indices", [0, -1, 2], "indices hold -1, outside 0 to 2"),
        ("indptr", [0, 2, 1, 3], "decreases after entry 1"),
        ("indptr", [1, 1, 2, 3], "starts at 1"),
        ("indptr", [0, 1, 2, 9], "ends at 9, expected 3"),
        ("indptr", [0, 1, 2], "has 3 entries, expected 4"),
        ("indices", [0, 1], "2 indices for 3 values"),
    ],
)
@pytest.mark.parametrize("index_type", [np.int32, np.int64])
@pytest.mark.parametrize("form", ["csr", "csc"])
def test_broken_sparse_says_what_and_where(form, part, value, message, index_type):
    X = getattr(sp, f"{form}_array")(np.eye(3))
    setattr(X, part, np.array(value, dtype=index_type))
    with pytest.raises(ValueError, match=f"broken {form.upper()} matrix.*{message}"):
        validate_X(Mean(), X, reset=True, accept_sparse=True)


# --------------------------------------------------------------------------------------------- weights


def test_weights_are_floats_or_none():
    X = np.ones((3, 1))
    assert validate_weights(None, X) is None
    np.testing.assert_array_equal(validate_weights([1, 2, 0], X), [1.0, 2.0, 0.0])
    np.testing.assert_array_equal(validate_weights(2.5, X), [2.5, 2.5, 2.5])
    assert validate_weights([1, 2, 3], X, dtype=np.float32).dtype == np.float32


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1, -1, 1], "(?i)negative"),
        ([1, np.nan, 1], "NaN"),
        ([1, np.inf, 1], "infinity"),
        ([0, 0, 0], "(?i)zero"),
        ([1, 1], "sample_weight"),
        ([[1], [1], [1]], "1D"),
        ([1e308] * 3, "sum of sample_weight, inf, is too large"),
        ([1e300] * 3, "too large"),
        ([1e-310] * 3, "sum of sample_weight, 3e-310, is too small"),
    ],
)
def test_bad_weights_are_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        validate_weights(weights, np.ones((3, 1)))


# ---------------------------------------------------------------------------------------------- memory


def test_what_does_not_fit_is_refused_with_its_bytes():
    with pytest.raises(
        MemoryError, match=r"The Gram matrix would take .* \(1,152,921,504,606,846,976 bytes\).*are free"
    ):
        require_memory(2**60, "The Gram matrix")
    require_memory(1, "A byte")


@pytest.mark.parametrize("n_rows", [0, 1, 7, 1000])
def test_chunks_cover_all_rows_once_and_fit(n_rows):
    with config_context(working_memory=1):
        chunks = list(chunk_slices(n_rows, bytes_per_row=100_000))
    assert [i for chunk in chunks for i in range(n_rows)[chunk]] == list(range(n_rows))
    assert all(0 < chunk.stop - chunk.start <= 10 for chunk in chunks)


def test_a_row_larger_than_the_working_memory_comes_alone():
    with config_context(working_memory=1):
        assert list(chunk_slices(2, bytes_per_row=10**9)) == [slice(0, 1), slice(1, 2)]
    assert list(chunk_slices(3, bytes_per_row=0)) == [slice(0, 3)]


# ------------------------------------------------------------------------------------------------ fits


def test_a_fit_that_raises_leaves_no_trace(rng):
    estimator = Mean(fail_at=2)
    with pytest.raises(ZeroDivisionError, match="on purpose"):
        estimator.fit(rng.normal(size=(5, 2)))
    assert vars(estimator) == {"steps": None, "fail_at": 2}


def test_a_second_fit_that_raises_keeps_the_first(rng):
    X = rng.normal(size=(5, 2))
    estimator = Mean().fit(X)
    before = dict(vars(estimator))
    with pytest.raises(ZeroDivisionError, match="on purpose"):
        estimator.set_params(fail_at=2).fit(rng.normal(size=(6, 3)))
    assert vars(estimator) == {**before, "fail_at": 2}
    np.testing.assert_array_equal(estimator.mean_, X.mean(axis=0))


def test_bad_parameters_are_refused_before_anything_happens(rng):
    with pytest.raises(ValueError, match="The 'steps' parameter of Mean must be"):
        Mean(steps="many").fit(rng.normal(size=(5, 2)))


def test_history_belongs_to_the_fit_alone(rng):
    X = rng.normal(size=(5, 2))
    estimator = Mean().fit(X)
    history = estimator.history_
    assert len(history["norm"]) == 5
    assert estimator.fit(X[:3]).history_ is not history
    assert len(history["norm"]) == 5
    assert len(estimator.history_["norm"]) == 3


def test_fits_in_threads_do_not_meet(rng):
    sets = [rng.normal(size=(20, 3)) + i for i in range(4)]
    estimators = [Mean() for _ in sets]
    threads = [threading.Thread(target=e.fit, args=(X,)) for e, X in zip(estimators, sets)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for estimator, X in zip(estimators, sets):
        np.testing.assert_allclose(estimator.mean_, X.mean(axis=0))


def test_a_caller_without_a_name_is_warned_too():
    with pytest.warns(ConvergenceWarning, match="now"):
        exec("warn_caller('now', category)", {"warn_caller": warn_caller, "category": ConvergenceWarning})


def test_masked_entries_are_refused(rng):
    X = np.ma.masked_array(rng.normal(size=(5, 2)), mask=np.eye(5, 2, dtype=bool))
    with pytest.raises(ValueError, match="masked array"):
        validate_X(BaseEstimator(), X, reset=True)
    assert validate_X(BaseEstimator(), np.ma.masked_array(X.data), reset=True).shape == (5, 2)
