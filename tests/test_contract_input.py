"""What may come in: every container gives the same answers, and odd data an error in a sentence or a finite answer."""

import datetime

import numpy as np
import pandas
import polars
import pytest
import scipy.sparse as sp
from _contract.cases import (
    FIGURES,
    ROW_METHODS,
    accepts,
    answers,
    assert_close,
    assert_finite,
    assert_same,
    data,
    dense,
    each_class,
    each_variant,
    make,
    state,
    target,
)
from sklearn.base import is_regressor
from sklearn.exceptions import NotFittedError


def whole_numbers(cls, rng):
    X, _ = data(cls, rng, n=70, p=6)
    X = np.rint(X * 2)
    return X, target(cls, X, rng.integers(0, 3, size=len(X)))


def half_empty(cls, rng):
    """Return data with many zeros, none of them in the first column: a row of zeros has no direction."""
    X, _ = data(cls, rng, n=70, p=6)
    X[:, 1:][rng.random((70, 5)) < 0.4] = 0
    return X, target(cls, X, rng.integers(0, 3, size=len(X)))


def sparse_answers(estimator, X):
    """Return what a fitted estimator says about sparse rows; a method may ask for dense ones in a sentence."""
    said = {}
    for name in (method for method in ROW_METHODS if hasattr(estimator, method)):
        try:
            said[name] = dense(getattr(estimator, name)(X))
        except TypeError as error:
            assert "dense" in str(error) and len(str(error).split()) > 3, error
    assert "transform" in said or "predict" in said
    return said


def assert_sparse_close(estimator, X, plain, X_dense, rtol):
    """Assert that an estimator fitted on sparse rows answers as one fitted on the dense."""
    said = sparse_answers(estimator, X)
    assert_close(said, {name: dense(getattr(plain, name)(X_dense)) for name in said}, rtol)


def strided(X):
    return np.repeat(np.repeat(X, 2, axis=0), 3, axis=1)[::2, ::3]


def read_only(X):
    X = X.copy()
    X.setflags(write=False)
    return X


def memmap(X, folder):
    mapped = np.memmap(folder / "X", dtype=X.dtype, mode="w+", shape=X.shape)
    mapped[:] = X
    mapped.flush()
    return np.memmap(folder / "X", dtype=X.dtype, mode="r", shape=X.shape)


def big_endian(X):
    return X.astype(">f8")


SAME_BITS = {
    "fortran": np.asfortranarray,
    "strided": strided,
    "read-only": read_only,
    "reversed": lambda X: X[::-1].copy()[::-1],
    "list": lambda X: X.tolist(),
    "int64": lambda X: X.astype(np.int64),
    "int8": lambda X: np.clip(X, -128, 127).astype(np.int8),
    "object": lambda X: X.astype(object),
    "big-endian": big_endian,
    "subclass": lambda X: X.view(np.matrix).view(type("Sub", (np.ndarray,), {})),
    "pandas": lambda X: pandas.DataFrame(X),
    "pandas-int": lambda X: pandas.DataFrame(X.astype(int)),
    "pandas-nullable": lambda X: pandas.DataFrame(X.astype(int)).astype("Int64"),
    "polars": lambda X: polars.DataFrame(X.tolist(), orient="row"),
}


@pytest.mark.filterwarnings("ignore:X does not have valid feature names", "ignore:X has feature names")
@pytest.mark.parametrize("form", SAME_BITS)
@each_class
def test_containers_give_equal_answers(cls, form, rng):
    X, y = whole_numbers(cls, rng)
    X = np.clip(X, -128, 127)
    plain = make(cls).fit(X, y)
    other = make(cls).fit(SAME_BITS[form](X), y)
    assert_close(answers(other, X), answers(plain, X), rtol=1e-9)
    for name in ROW_METHODS:
        if hasattr(plain, name):
            given = np.asarray(getattr(plain, name)(SAME_BITS[form](X)))
            assert_close({name: given}, {name: np.asarray(getattr(plain, name)(X))}, rtol=1e-9)


FLOAT32 = {
    "big-endian": lambda X: X.astype(">f4"),
    "pandas": pandas.DataFrame,
    "pandas-nullable": lambda X: pandas.DataFrame(X).astype("Float32"),
    "polars": polars.DataFrame,
    "pyarrow": lambda X: polars.DataFrame(X).to_arrow(),
}


@pytest.mark.filterwarnings("ignore:X does not have valid feature names", "ignore:X has feature names")
@pytest.mark.parametrize("form", FLOAT32)
@each_class
def test_float32_is_float32_in_every_container(cls, form, rng):
    X, y = whole_numbers(cls, rng)
    X = X.astype(np.float32)
    plain, other = make(cls).fit(X, y), make(cls).fit(FLOAT32[form](X), y)
    for name in (name for name in ROW_METHODS if hasattr(plain, name)):
        expected, said = dense(getattr(plain, name)(X)), dense(getattr(other, name)(FLOAT32[form](X)))
        assert said.dtype == expected.dtype, name
        assert_close({name: said}, {name: expected}, rtol=1e-5)


@each_class
def test_memmap_gives_equal_answers(cls, rng, tmp_path):
    X, y = data(cls, rng)
    mapped = memmap(X, tmp_path)
    assert_same(answers(make(cls).fit(mapped, y), mapped), answers(make(cls).fit(X, y), X))


@each_class
def test_booleans_are_numbers(cls, rng):
    X = rng.random((60, 6)) < np.linspace(0.1, 0.6, 6)
    y = target(cls, X.astype(float), np.arange(60) % 3)
    assert_close(answers(make(cls).fit(X, y), X), answers(make(cls).fit(X * 1.0, y), X * 1.0), rtol=1e-9)


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "lil", "dok", "dia", "bsr"])
@pytest.mark.parametrize("container", ["matrix", "array"])
@each_class
def test_sparse_gives_equal_answers(cls, form, container, rng):
    X, y = half_empty(cls, rng)
    sparse = getattr(sp, f"{form}_{container}")(X)
    if not accepts(cls, "sparse"):
        with pytest.raises((TypeError, ValueError), match="(?i)sparse"):
            make(cls).fit(sparse, y)
        return
    assert_sparse_close(make(cls).fit(sparse, y), sparse, make(cls).fit(X, y), X, rtol=1e-6)


@each_variant
def test_sparse_gives_equal_answers_in_every_variant(cls, params, rng):
    X, y = half_empty(cls, rng)
    if not accepts(cls, "sparse", params):
        return
    try:
        estimator = make(cls, params).fit(sp.csr_array(X), y)
    except (TypeError, ValueError) as error:  # e.g. a solver that needs dense data
        assert len(str(error).split()) > 3
        return
    assert_sparse_close(estimator, sp.csr_array(X), make(cls, params).fit(X, y), X, rtol=1e-4)


@pytest.mark.parametrize("kind", ["int64-indices", "unsorted", "duplicates", "explicit-zeros", "float32"])
@each_class
def test_unusual_but_sound_csr(cls, kind, rng):
    if not accepts(cls, "sparse"):
        return
    X, y = half_empty(cls, rng)
    sparse = sp.csr_array(X)
    tolerance = 1e-6
    if kind == "int64-indices":
        sparse.indices, sparse.indptr = sparse.indices.astype(np.int64), sparse.indptr.astype(np.int64)
    elif kind == "unsorted":
        rows = [slice(a, b) for a, b in zip(sparse.indptr[:-1], sparse.indptr[1:])]
        sparse.indices = np.concatenate([sparse.indices[row][::-1] for row in rows])
        sparse.data = np.concatenate([sparse.data[row][::-1] for row in rows])
        sparse.has_sorted_indices = False
    elif kind == "duplicates":
        sparse = sp.csr_array((sparse.data / 2, sparse.indices, sparse.indptr), shape=X.shape)
        parts = (np.repeat(sparse.data, 2), np.repeat(sparse.indices, 2), sparse.indptr * 2)
        sparse = sp.csr_array(parts, shape=X.shape)
        sparse.has_canonical_format = False
    elif kind == "explicit-zeros":
        sparse = sp.csr_array((X.ravel(), np.tile(np.arange(X.shape[1]), len(X)), np.arange(len(X) + 1) * X.shape[1]))
    else:
        sparse, tolerance = sparse.astype(np.float32), 2e-3
    kept = sparse.copy()
    estimator = make(cls).fit(sparse, y)
    assert_sparse_close(estimator, sparse, make(cls).fit(X, y), X, rtol=tolerance)
    for part in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(sparse, part), getattr(kept, part), err_msg=f"{part} was changed")


def says_targets(cls):
    """Tell whether `predict` is about the y of a regression, which may be finer than float32 whatever X is."""
    return is_regressor(cls()) and not hasattr(cls, "recommend")


@each_variant
def test_float32_stays_float32(cls, params, rng):
    X, y = data(cls, rng)
    double = make(cls, params).fit(X, y)
    single = make(cls, params).fit(X.astype(np.float32), y)
    for estimator, dtype in ((single, np.float32), (double, np.float64)):
        for name, value in answers(estimator, X.astype(dtype)).items():
            if name in FIGURES:
                continue
            kind = np.float64 if name == "predict" and says_targets(cls) else dtype
            assert value.dtype.kind != "f" or value.dtype == kind, f"{name} is {value.dtype}"
    for name, value in state(single).items():
        if isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.ndim == 2:
            assert value.dtype == np.float32, f"{name} is {value.dtype}"


@each_variant
def test_input_is_not_written(cls, params, rng):
    X, y = data(cls, rng)
    kept = X.copy()
    weights = rng.integers(1, 4, size=len(X)) * 1.0
    kept_weights = weights.copy()
    estimator = make(cls, params).fit(X, y, sample_weight=weights)
    answers(estimator, X)
    np.testing.assert_array_equal(X, kept)
    np.testing.assert_array_equal(weights, kept_weights)


# ------------------------------------------------------------------------------------------------ batches


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@each_variant
def test_batching_rows_changes_no_decision(cls, params, dtype, rng):
    X, y = data(cls, rng)
    X = X.astype(dtype)
    estimator = make(cls, params).fit(X, y)
    for size, n in ((1, 12), (7, 90), (64, 90)):
        whole = {name: value[:n] for name, value in answers(estimator, X).items()}
        parts = [answers(estimator, X[:n], slice(start, start + size)) for start in range(0, n, size)]
        joined = {name: np.concatenate([part[name] for part in parts]) for name in whole}
        assert_close(joined, whole, rtol=1e-9 if dtype == np.float64 else 2e-4)


# --------------------------------------------------------------------------------------------- bad values


def with_one(X, value):
    X = X.copy()
    X[3, 1] = value
    return X


REFUSED = {
    "inf": (lambda X: with_one(X, np.inf), "(?i)infinity|infinite"),
    "-inf": (lambda X: with_one(X, -np.inf), "(?i)infinity|infinite"),
    "complex": (lambda X: X + 1j, "(?i)complex"),
    "strings": (lambda X: with_one(X.astype(object), "word"), "(?i)string|float|number"),
    "dict": (lambda X: with_one(X.astype(object), {}), "(?i)string|float|number"),
    "datetime64": (lambda X: X.astype(int).astype("datetime64[s]"), "(?i)time|date"),
    "timedelta64": (lambda X: X.astype(int).astype("timedelta64[s]"), "(?i)time|date"),
    "pandas-datetime": (
        lambda X: pandas.DataFrame(X).assign(when=pandas.Timestamp("2020-01-01")).rename(columns=str),
        "(?i)time|date",
    ),
    "polars-datetime": (
        lambda X: polars.DataFrame(X.tolist(), orient="row").with_columns(when=datetime.datetime(2020, 1, 1)),
        "(?i)time|date",
    ),
    "3-D": (lambda X: X[:, :, np.newaxis], "(?i)dim"),
    "1-D": (lambda X: X[:, 0], "(?i)reshape|dim|1D"),
    "0-D": (lambda X: X[0, 0], "(?i)reshape|dim|scalar"),
    "no-rows": (lambda X: X[:0], "(?i)0 sample"),
    "no-columns": (lambda X: X[:, :0], "(?i)0 feature"),
    "None": (lambda X: None, "(?i)none|expected|array|dim"),
    "ragged": (lambda X: [*X.tolist(), [1.0]], "(?i)shape|sequence|inhomogeneous"),
}


@pytest.mark.parametrize("fault", REFUSED)
@each_class
def test_bad_data_is_refused_by_fit_and_by_every_method(cls, fault, rng):
    spoil, message = REFUSED[fault]
    X, y = data(cls, rng)
    estimator = make(cls).fit(X, y)
    before = answers(estimator, X)
    with pytest.raises((ValueError, TypeError), match=message):
        estimator.fit(spoil(X), y)
    assert_same(answers(estimator, X), before)
    for name in ROW_METHODS:
        if hasattr(estimator, name):
            with pytest.raises((ValueError, TypeError), match=message):
                getattr(estimator, name)(spoil(X))


@each_variant
def test_nan_is_missing_or_refused(cls, params, rng):
    X, y = data(cls, rng)
    holes = X.copy()
    holes[rng.random(X.shape) < 0.05] = np.nan
    if not accepts(cls, "allow_nan", params):
        with pytest.raises(ValueError, match="NaN"):
            make(cls, params).fit(holes, y)
        estimator = make(cls, params).fit(X, y)
        for name in ROW_METHODS:
            if hasattr(estimator, name):
                with pytest.raises(ValueError, match="NaN"):
                    getattr(estimator, name)(holes)
        return
    try:
        estimator = make(cls, params).fit(holes, y)
    except ValueError as error:  # a solver that needs complete rows says so
        assert "nan" in str(error).lower() or "missing" in str(error).lower()
        return
    assert_finite(answers(estimator, holes))


def outcome(cls, params, X, y=None):
    """Fit and answer; return the finite answers, or None after an error that is a sentence."""
    try:
        estimator = make(cls, params).fit(X, y)
        said = answers(estimator, X)
    except ValueError as error:
        assert len(str(error).split()) > 3, f"not a sentence: {error}"
        return None
    assert_finite(said)
    for name, value in state(estimator).items():
        if isinstance(value, np.ndarray) and value.dtype.kind == "f":
            assert np.isfinite(value).all(), name
    return said


DEGENERATE = {
    "one-row": lambda X: X[:1],
    "two-rows": lambda X: X[:2],
    "one-column": lambda X: X[:, :1],
    "one-cell": lambda X: X[:1, :1],
    "constant-column": lambda X: np.c_[X, np.full(len(X), 7.0)],
    "all-constant": lambda X: np.ones_like(X),
    "all-zero": lambda X: np.zeros_like(X),
    "all-rows-equal": lambda X: np.repeat(X[:1], len(X), axis=0),
    "each-row-twice": lambda X: np.repeat(X, 2, axis=0),
    "column-twice": lambda X: np.c_[X, X],
    "rank-one": lambda X: np.outer(X[:, 0], X[0]),
    "wide": lambda X: X[:4],
    "huge": lambda X: X * 1e150,
    "tiny": lambda X: X * 1e-150,
    "mixed": lambda X: X * np.logspace(-150, 150, X.shape[1]),
    "float-max": lambda X: with_one(X, np.finfo(float).max),
    "subnormal": lambda X: np.full_like(X, 5e-324),
    "offset": lambda X: X + 1e9,
    "float32-max": lambda X: with_one(X.astype(np.float32), np.finfo(np.float32).max),
    "float32-tiny": lambda X: (X * 1e-38).astype(np.float32),
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("kind", DEGENERATE)
@each_variant
def test_degenerate_data_gives_a_finite_answer_or_a_sentence(cls, params, kind, rng):
    X, _ = data(cls, rng, n=40, p=5)
    X = DEGENERATE[kind](X)
    outcome(cls, params, X, target(cls, X.astype(float) / 1e300, np.arange(len(X)) % 3))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@each_variant
def test_a_column_of_nan(cls, params, rng):
    X, y = data(cls, rng, n=40, p=5)
    X[:, 2] = np.nan
    said = outcome(cls, params, X, y)
    assert said is None or accepts(cls, "allow_nan", params)


# ------------------------------------------------------------------------------------- columns and order


@each_class
def test_wrong_number_of_columns_is_refused(cls, rng):
    X, y = data(cls, rng)
    estimator = make(cls).fit(X, y)
    for wrong in (X[:, :-1], np.c_[X, X[:, 0]]):
        for name in ROW_METHODS:
            if hasattr(estimator, name):
                with pytest.raises(ValueError, match=f"{wrong.shape[1]} features.*{X.shape[1]} features"):
                    getattr(estimator, name)(wrong)


@each_class
def test_wrong_names_of_columns_are_refused(cls, rng):
    X, y = data(cls, rng)
    table = pandas.DataFrame(X, columns=[f"c{i}" for i in range(X.shape[1])])
    estimator = make(cls).fit(table, y)
    for wrong in (table[table.columns[::-1]], table.rename(columns={"c0": "other"})):
        for name in ROW_METHODS:
            if hasattr(estimator, name):
                with pytest.raises(ValueError, match="feature names"):
                    getattr(estimator, name)(wrong)


@each_class
def test_not_fitted_is_said(cls, rng):
    X, _ = data(cls, rng)
    for name in (*ROW_METHODS, "inverse_transform"):
        if hasattr(cls, name):
            with pytest.raises(NotFittedError, match=cls.__name__):
                getattr(make(cls), name)(X)
