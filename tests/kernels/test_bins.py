"""Codes of values: compiled equals twin, and both what NumPy's search says."""

import numpy as np
import pytest

from skml import _kernels
from skml._kernels import bins
from skml._kernels.reference import bins as twin

BOTH = pytest.mark.parametrize("module", [bins, twin], ids=["compiled", "twin"])
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
INF = np.inf


def parts_of(edges, categorical=None, category_codes=None):
    """Return the arrays that the kernels take."""
    categorical = np.zeros(len(edges), np.uint8) if categorical is None else np.asarray(categorical, np.uint8)
    starts = np.append(0, np.cumsum([len(own) for own in edges])).astype(np.int64)
    flat = np.concatenate(edges).astype(np.float64)
    codes = np.zeros(len(flat), np.uint8) if category_codes is None else np.asarray(category_codes, np.uint8)
    return flat, starts, codes, categorical, np.full(len(edges), 254, np.uint8)


def problem(rng, n, dtype):
    """Return rows of five features, of 1 to 255 bins, two of them categories, and the bins."""
    edges = [
        [INF],
        np.append(np.unique(rng.normal(size=7).astype(dtype)), INF),
        np.unique(rng.integers(0, 400, 300)),
        np.append(np.unique(rng.normal(size=254)), INF),
        [2.5],
    ]
    sizes = [len(own) for own in edges]
    parts = parts_of(edges, [0, 0, 1, 0, 1], rng.integers(0, 254, sum(sizes)))
    X = rng.normal(size=(n, 5)).astype(dtype)
    X[:, 2] = rng.integers(-5, 405, n)
    X[:, 4] = rng.choice([2.5, 0], n)
    X[rng.random(X.shape) < 0.1] = np.nan
    X[rng.random(X.shape) < 0.05] = INF
    X[rng.random(X.shape) < 0.05] = -INF
    on_edge = rng.random(n) < 0.5
    X[on_edge, 1] = rng.choice(edges[1], on_edge.sum())
    return X, parts, edges


def layouts(X):
    """Yield the same rows in other strides."""
    yield np.ascontiguousarray(X)
    yield np.asfortranarray(X)
    wide = np.zeros((2 * X.shape[0], 3 * X.shape[1]), X.dtype)
    wide[::2, 1::3] = X
    yield wide[::2, 1::3]
    yield np.ascontiguousarray(X[::-1])[::-1]
    read_only = X.copy()
    read_only.flags.writeable = False
    yield read_only


@each_dtype
@pytest.mark.parametrize("n", [0, 1, 2, 33, 1000])
@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_compiled_equals_twin(rng, dtype, n, n_threads):
    X, parts, _ = problem(rng, n, dtype)
    expected = np.full(X.shape, 77, np.uint8)
    twin.encode(X, *parts, expected, 1)
    for order, rows in zip("CFCFC", layouts(X)):
        codes = np.full(X.shape, 77, np.uint8, order=order)
        bins.encode(rows, *parts, codes, n_threads)
        np.testing.assert_array_equal(codes, expected)


@each_dtype
@pytest.mark.parametrize("n", [0, 1, 500])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_entries_have_the_codes_of_rows(rng, dtype, n, n_threads):
    X, parts, _ = problem(rng, n, dtype)
    features = rng.integers(0, 5, n).astype(np.int32)
    values, rows = np.ascontiguousarray(X[np.arange(n), features]), np.empty(X.shape, np.uint8)
    bins.encode(X, *parts, rows, 1)
    for module in (bins, twin):
        codes = np.full(n, 77, np.uint8)
        module.encode_entries(values, features, *parts, codes, n_threads)
        np.testing.assert_array_equal(codes, rows[np.arange(n), features])


@BOTH
@each_dtype
def test_numbers_are_searched(module, rng, dtype):
    X, parts, edges = problem(rng, 300, dtype)
    codes = np.empty(X.shape, np.uint8)
    module.encode(X, *parts, codes, 1)
    for f in (0, 1, 3):
        expected = np.searchsorted(np.asarray(edges[f])[:-1], X[:, f].astype(np.float64))
        np.testing.assert_array_equal(codes[:, f], np.where(np.isnan(X[:, f]), 255, expected))


@BOTH
def test_numbers_by_hand(module):
    parts = parts_of([[-INF, -1.0, 0.0, 0.5, INF]])
    X = np.array([[-INF, -2, -1, -0.5, -0.0, 0, 0.5, np.nextafter(0.5, 1), 9, INF, np.nan]]).T
    codes = np.empty(X.shape, np.uint8)
    module.encode(X, *parts, codes, 1)
    np.testing.assert_array_equal(codes[:, 0], [0, 1, 1, 2, 2, 2, 3, 4, 4, 4, 255])


@BOTH
@each_dtype
def test_categories_by_hand(module, dtype):
    parts = parts_of([[-3.0, 0.0, 0.5, 7.0], [INF]], [1, 1], [9, 0, 4, 4, 0])
    X = np.array([[-3, 1], [-0.0, 0], [0.5, np.nan], [7, 5], [7.5, 5], [-9, 5], [INF, 5], [np.nan, 5]], dtype)
    codes = np.empty(X.shape, np.uint8)
    module.encode(X, *parts, codes, 1)
    np.testing.assert_array_equal(codes[:, 0], [9, 0, 4, 4, 254, 254, 254, 255])
    np.testing.assert_array_equal(codes[:, 1], [254, 254, 255, *[254] * 5])


@BOTH
def test_255_bins_are_all_told_apart(module):
    parts = parts_of([np.append(np.arange(254.0), INF)])
    codes = np.empty((256, 1), np.uint8)
    module.encode(np.append(np.arange(255.0), np.nan)[:, None], *parts, codes, 1)
    np.testing.assert_array_equal(codes[:, 0], np.arange(256))


@BOTH
def test_wrong_bins_are_refused(module):
    X, out = np.zeros((3, 2)), np.zeros((3, 2), np.uint8)

    def refused(*parts):
        with pytest.raises(ValueError):
            module.encode(X, *parts, out, 1)
        with pytest.raises(ValueError):
            module.encode_entries(X[:, 0].copy(), np.zeros(3, np.int32), *parts, out[:, 0].copy(), 1)

    edges, starts, codes, categorical, unknown = parts_of([[1.0, INF], [INF]])
    refused(edges, starts, codes[:2], categorical, unknown)
    refused(edges, starts, codes, categorical[:1], unknown)
    refused(edges, starts, codes, categorical, unknown[:1])
    refused(edges, starts[:2], codes, categorical, unknown)
    refused(edges[:0], starts[:1], codes[:0], categorical[:0], unknown[:0])
    for wrong in ([1, 2, 3], [0, 2, 2], [0, 0, 3], [0, 4, 3], [0, -1, 3], [0, 2, 4]):
        refused(edges, np.array(wrong, np.int64), codes, categorical, unknown)
    refused(*parts_of([np.arange(256.0), [INF]]))


@BOTH
def test_wrong_rows_are_refused(module):
    parts, codes = parts_of([[1.0, INF], [INF]]), np.zeros((3, 2), np.uint8)
    for shape in ((3, 1), (3, 3), (2, 2), (4, 2)):
        with pytest.raises(ValueError):
            module.encode(np.zeros(shape), *parts, codes, 1)
    values, features, one = np.zeros(3), np.zeros(3, np.int32), np.zeros(3, np.uint8)
    for wrong in (
        (values[:2], features, one),
        (values, features[:2], one),
        (values, features, one[:2]),
        (values, features + np.int32(2), one),
        (values, features - np.int32(1), one),
    ):
        with pytest.raises(ValueError):
            module.encode_entries(*wrong[:2], *parts, wrong[2], 1)


@pytest.mark.skipif(_kernels.LEVEL == "reference", reason="a twin trusts its caller")
def test_wrong_types_and_threads_are_refused():
    parts, X, codes = parts_of([[1.0, INF], [INF]]), np.zeros((3, 2)), np.zeros((3, 2), np.uint8)
    for n_threads in (0, -1):
        with pytest.raises(ValueError, match="n_threads must be at least 1"):
            bins.encode(X, *parts, codes, n_threads)
        with pytest.raises(ValueError, match="n_threads must be at least 1"):
            bins.encode_entries(X[:, 0].copy(), np.zeros(3, np.int32), *parts, codes[:, 0].copy(), n_threads)
    with pytest.raises(TypeError):
        bins.encode(X.astype(np.int64), *parts, codes, 1)
    for i, kind in enumerate((np.float32, np.int32, np.int8, np.int8, np.int8)):
        wrong = [part.astype(kind) if i == j else part for j, part in enumerate(parts)]
        with pytest.raises(ValueError, match="Buffer dtype mismatch"):
            bins.encode(X, *wrong, codes, 1)
    with pytest.raises(ValueError, match="Buffer dtype mismatch"):
        bins.encode(X, *parts, codes.astype(np.int32), 1)
    with pytest.raises(ValueError, match="read-only"):
        codes.flags.writeable = False
        bins.encode(X, *parts, codes, 1)


@pytest.mark.parametrize("n", [1, 2, 63, 64, 65, 200])
@pytest.mark.parametrize("p", [1, 47, 48, 49, 100])
def test_packed_rows_equal_the_twins_and_come_back(rng, n, p):
    common = rng.integers(0, 256, p).astype(np.uint8)
    codes = np.where(rng.random((n, p)) < rng.random(), common, rng.integers(0, 256, (n, p))).astype(np.uint8)
    rows = rng.integers(0, n, 9).astype(np.int32)
    found = [packed(module, codes, common) for module in (bins, twin)]
    for ours, theirs in zip(*found):
        np.testing.assert_array_equal(ours, theirs)
    assert len(found[0][2]) == np.sum(codes != common)
    for module in (bins, twin):
        out = np.empty((9, p), np.uint8)
        module.unpack(*found[0][:3], common, rows, out)
        np.testing.assert_array_equal(out, codes[rows])


def packed(module, codes, common):
    """Return packed rows, and the same by column."""
    n, p = codes.shape
    words, starts, room = np.empty((n, -(-p // 48)), np.uint64), np.empty(n + 1, np.int64), np.empty(n * p, np.uint8)
    module.pack(codes, common, words, starts, room)
    entries = room[: starts[-1]].copy()
    columns = np.zeros((p, -(-n // 64)), np.uint64), np.empty(p + 1, np.int64), np.empty(len(entries), np.uint8)
    module.turn(words, starts, entries, *columns)
    return words, starts, entries, *columns


@BOTH
def test_packed_rows_of_wrong_shapes_are_refused(module, rng):
    codes, common = rng.integers(0, 2, (5, 50)).astype(np.uint8), np.zeros(50, np.uint8)
    words, starts, entries, *columns = packed(module, codes, common)
    rows, out = np.array([0, 4], np.int32), np.empty((2, 50), np.uint8)
    room = np.empty(250, np.uint8)
    for parts in (
        (codes, common[:-1], words, starts, room),
        (codes, common, words[:, :1].copy(), starts, room),
        (codes, common, words, starts[:-1], room),
        (codes, common, words, starts, room[:-1]),
    ):
        with pytest.raises(ValueError):
            module.pack(*parts)
    for parts in (
        (words, starts, entries[:-1], common, rows, out),
        (words, starts[:-1], entries, common, rows, out),
        (words, starts, entries, common, rows + 1, out),
        (words, starts, entries, common, rows - 1, out),
        (words, starts, entries, common, rows, out[:1]),
    ):
        with pytest.raises(ValueError):
            module.unpack(*parts)
    for parts in (
        (columns[0][:-1], *columns[1:]),
        (columns[0], columns[1][:-1], columns[2]),
        (*columns[:2], columns[2][1:]),
    ):
        with pytest.raises(ValueError):
            module.turn(words, starts, entries, *parts)
