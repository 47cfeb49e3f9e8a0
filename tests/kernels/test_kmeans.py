"""The kernels of k-means against their twins, and what only the compiled ones promise: the same bits."""

import itertools

import numpy as np
import pytest
import scipy.sparse as sp

from skml import _kernels
from skml._kernels.reference import kmeans as twin
from skml._kernels.reference import seeding as seeding_twin
from skml._kernels.reference import sums as sums_twin
from skml.cluster.bounds import Exponion, Points, Sketch, lengths, packed_around, rounded_up, rounding_slack

kmeans, seeding, sums = _kernels.kmeans, _kernels.seeding, _kernels.sums
DTYPES = (np.float32, np.float64)
# rows, features, centres
SHAPES = [(0, 3, 2), (1, 1, 1), (65, 2, 7), (130, 32, 9), (67, 33, 5), (70, 100, 13), (520, 8, 21)]


def problem(rng, shape, dtype, missing=False):
    n, d, k = shape
    X, centers = rng.normal(size=(n, d)).astype(dtype), rng.normal(size=(k, d)).astype(dtype)
    if missing:
        X[rng.random(X.shape) < 0.3] = np.nan
    return X, centers


def outputs(n, dtype):
    return np.full(n, -7, dtype=np.int32), np.full(n, np.nan, dtype=dtype), np.full(n, np.nan, dtype=dtype)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("missing", [False, True])
def test_distances_equal_the_twins(rng, shape, dtype, missing):
    X, centers = problem(rng, shape, dtype, missing)
    tolerance = 100 * np.finfo(dtype).eps
    ours, theirs = np.empty((2, len(X), len(centers)), dtype=dtype)
    kmeans.all_distances(X, centers, missing, ours, 2)
    twin.all_distances(X, centers, missing, theirs, 1)
    np.testing.assert_allclose(ours, theirs, rtol=tolerance)
    labels, squared, _ = outputs(len(X), dtype)
    kmeans.nearest(X, centers, missing, labels, squared, 2)
    np.testing.assert_array_equal(labels, ours.argmin(axis=1))
    np.testing.assert_array_equal(squared, ours.min(axis=1))  # the same bits: one sequence per pair
    kmeans.own_distances(X, centers, labels, missing, squared, 1)
    np.testing.assert_array_equal(squared, ours.min(axis=1))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_first_bounds_enclose_the_distances(rng, shape, dtype):
    X, centers = problem(rng, shape, dtype)
    labels, upper, lower = outputs(len(X), dtype)
    slack = (shape[1] + 16) * float(np.finfo(dtype).eps)
    kmeans.first_bounds(X, centers, False, slack, labels, upper, lower, 2)
    exact = np.sqrt(((X[:, None].astype(np.longdouble) - centers) ** 2).sum(axis=2))
    own = np.take_along_axis(exact, labels[:, None].astype(np.int64), axis=1)[:, 0]
    assert np.all(upper >= own)
    np.put_along_axis(exact, labels[:, None].astype(np.int64), np.inf, axis=1)
    assert np.all(lower <= exact.min(axis=1, initial=np.inf))
    assert np.allclose(upper, own.astype(dtype), rtol=1e-3)


@pytest.fixture(params=list(itertools.product((2, 33, 120), (0, 1, 65), DTYPES)), ids=str)
def moved(request, rng):
    """Rows and eleven centres, before and after a move, with what every pass is told about the move."""
    d, n, dtype = request.param
    X, centers = problem(rng, (n, d, 11), dtype)
    after = centers + rng.normal(scale=0.2, size=centers.shape).astype(dtype)
    tool = Exponion(Points(X), 11)
    tool.centers = centers
    return X, centers, after, tool.drift(after), tool.half(after), rounding_slack(X), tool


def checked(moved, call, twin_call, floor=None):
    """Compare a pass, from the bounds before the move and for 1 to 3 threads, with the definition after it."""
    X, centers, after, _, _, slack, _ = moved
    runs = []
    for threads in (1, 2, 3):
        state = outputs(len(X), X.dtype)
        kmeans.first_bounds(X, centers, False, slack, *state, 1)
        bounds = floor(state) if floor else ()
        call(*state, *bounds, threads)
        runs.append((*state, *bounds))
    for run in runs[1:]:
        for ours, same in zip(run, runs[0]):
            np.testing.assert_array_equal(ours, same)
    expected = (*outputs(len(X), X.dtype), *(np.empty_like(bound) for bound in runs[0][3:]))
    twin_call(*expected, 1)
    labels, upper, lower = runs[0][:3]
    np.testing.assert_array_equal(labels, expected[0])
    exact = np.sqrt(((X[:, None].astype(np.longdouble) - after) ** 2).sum(axis=2))
    own = np.take_along_axis(exact, labels[:, None].astype(np.int64), axis=1)[:, 0]
    np.put_along_axis(exact, labels[:, None].astype(np.int64), np.inf, axis=1)
    assert np.all(upper >= own)
    assert np.all(lower <= exact.min(axis=1, initial=np.inf))
    return exact, runs[0][3:]


def test_hamerly_equals_its_twin(moved):
    X, _, after, drift, half, slack, _ = moved
    told = X, after, False, drift, half, slack
    checked(moved, lambda *out: kmeans.hamerly_pass(*told, *out), lambda *out: twin.hamerly_pass(*told, *out))


def test_exponion_equals_its_twin(moved):
    X, _, after, drift, half, slack, tool = moved
    apart = tool.apart(after)
    order = np.argsort(apart, axis=1, kind="stable").astype(np.int32)
    around = packed_around(after, order)
    assert len(around) == (11 if X.shape[1] == 2 else 0)
    told = X, after, order, np.take_along_axis(apart, order, axis=1), around, drift, half, slack
    checked(moved, lambda *out: kmeans.exponion_pass(*told, *out), lambda *out: twin.exponion_pass(*told, *out))


@pytest.mark.parametrize("sketched", [False, True])
def test_elkan_equals_its_twin(moved, sketched):
    X, _, after, drift, half, slack, _ = moved
    if sketched and (len(X) < 2 or X.shape[1] < 96):
        return  # nothing to sketch
    sketch = Sketch.of(X) if sketched else Sketch.none(X)
    images = sketch.apply(after)
    assert images.shape[1] == (32 if sketched else 0)
    fallen = rounded_up(drift.astype(np.float64), X.dtype)
    told = X, after, sketch.rows, images, sketch.reach, lengths(images) * 4e-6, fallen, False, drift, half, slack
    exact, (floor,) = checked(
        moved,
        lambda *out: kmeans.elkan_pass(*told, *out),
        lambda *out: twin.elkan_pass(*told, *out),
        floor=lambda state: (np.repeat(state[2][:, None], 11, axis=1),),
    )
    assert np.all(floor - fallen <= np.where(np.isinf(exact), np.inf, exact) * (1 + 4 * slack) + 1e-30)


def test_groups_equal_their_twin(moved):
    X, _, after, drift, half, slack, _ = moved
    group_of = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 0], dtype=np.int32)
    members = np.argsort(group_of, kind="stable").astype(np.int32)
    starts = np.array([0, 5, 8, 11], dtype=np.int32)
    fallen = rounded_up(np.maximum.reduceat(drift[members].astype(np.float64), starts[:-1]), X.dtype)
    told = X, after, members, starts, group_of, fallen, False, drift, half, slack
    exact, (floor,) = checked(
        moved,
        lambda *out: kmeans.group_pass(*told, *out),
        lambda *out: twin.group_pass(*told, *out),
        floor=lambda state: (np.repeat(state[2][:, None], 3, axis=1),),
    )
    nearest = np.minimum.reduceat(exact[:, members], starts[:-1], axis=1)
    assert np.all(floor - fallen <= nearest * (1 + 4 * slack) + 1e-30)


def test_ties_go_to_the_lowest_index(rng):
    for d, dtype in itertools.product((2, 40), DTYPES):
        X = rng.integers(-1, 2, size=(300, d)).astype(dtype)
        centers = np.concatenate([X[:9], X[:9], -X[:9]])
        labels, squared, _ = outputs(300, dtype)
        kmeans.nearest(X, centers, False, labels, squared, 3)
        np.testing.assert_array_equal(labels, ((X[:, None] - centers) ** 2).sum(axis=2).argmin(axis=1))


@pytest.mark.parametrize("mode", [0, 1, 2])
@pytest.mark.parametrize("weighted", [False, True])
def test_sums_equal_the_twins_bit_for_bit(rng, mode, weighted):
    for d, dtype in itertools.product((1, 5, 70), DTYPES):
        X, _ = problem(rng, (90, d, 1), dtype, missing=mode > 0)
        weights = rng.random(90) if weighted else np.empty(0)
        before, after = rng.integers(-1, 4, size=(2, 90)).astype(np.int32)
        made = []
        for module, threads in ((sums, 1), (sums, 2), (sums, 3), (sums_twin, 1)):
            high, low = np.zeros((2, 4, d + 1), dtype=np.int64)
            scale = np.full(d + 1, 2.0**20)
            changed = module.move_sums(X, weights, before, after, mode, scale, 2.0**30, high, low, threads)
            assert changed == np.count_nonzero(before != after)
            made.append((high, low))
        for high, low in made[:-1]:
            np.testing.assert_array_equal(high, made[-1][0])
            np.testing.assert_array_equal(low, made[-1][1])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("d", [3, 50])
@pytest.mark.parametrize("missing", [False, True])
def test_tried_centers_equal_the_twins(rng, dtype, d, missing):
    X, candidates = problem(rng, (300, d, 6), dtype, missing)
    closest, weights = rng.random(300).astype(dtype) * d, rng.random(300)
    fill = rng.random(300).astype(dtype) + 1 if missing else np.empty(0, dtype=dtype)
    trial, total = np.empty((2, 6, 300), dtype=dtype), np.empty((3, 6), dtype=np.int64)
    for threads, out in ((1, 0), (3, 1)):
        seeding.try_centers(X, weights, closest, candidates, fill, 2.0**40, trial[0], total[out], threads)
    np.testing.assert_array_equal(total[0], total[1])
    seeding_twin.try_centers(X, weights, closest, candidates, fill, 2.0**40, trial[1], total[2], 1)
    np.testing.assert_allclose(trial[0], trial[1], rtol=1e-4 if dtype == np.float32 else 1e-12)
    np.testing.assert_allclose(total[0], total[2], rtol=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
def test_sparse_distances_equal_the_twins(rng, dtype):
    X = sp.random(80, 30, density=0.2, format="csr", dtype=dtype, random_state=int(rng.integers(100)))
    transposed = rng.normal(size=(30, 7))
    norms, ours, theirs = (transposed**2).sum(axis=0), np.empty((80, 7)), np.empty((80, 7))
    seeding.sparse_distances(X.data, X.indices, X.indptr, transposed, norms, ours, 2)
    seeding_twin.sparse_distances(X.data, X.indices, X.indptr, transposed, norms, theirs, 1)
    np.testing.assert_allclose(ours, theirs, rtol=1e-10)


@pytest.mark.skipif(_kernels.LEVEL == "reference", reason="a twin trusts its caller")
def test_wrong_shapes_and_indices_are_refused(rng):
    X, centers = problem(rng, (10, 3, 4), np.float64)
    labels, squared, _ = outputs(10, np.float64)
    with pytest.raises(ValueError, match="length"):
        kmeans.nearest(X, centers, False, labels[:9], squared, 1)
    with pytest.raises(ValueError, match="columns"):
        kmeans.nearest(X[:, :2].copy(), centers, False, labels, squared, 1)
    with pytest.raises(ValueError, match=r"labels\[0\] is -7"):
        kmeans.own_distances(X, centers, labels, False, squared, 1)
    with pytest.raises(ValueError, match="dtype mismatch"):
        kmeans.nearest(X, centers.astype(np.float32), False, labels, squared, 1)
    indices = np.array([5], dtype=np.int32)
    with pytest.raises(ValueError, match="outside"):
        indptr = np.array([0, 1], dtype=np.int32)
        seeding.sparse_distances(np.ones(1), indices, indptr, np.ones((5, 2)), np.ones(2), np.empty((1, 2)), 1)


@pytest.mark.skipif(_kernels.LEVEL == "reference", reason="a twin trusts its caller")
def test_neighbours_that_fit_no_vectors_are_refused(rng):
    call, arguments = next(entry for entry in entries(rng) if entry[0].__name__ == "exponion_pass")
    for around in (np.empty((4, 3, 3)), np.empty((4, 2, 8)), np.empty((3, 3, 8))):
        with pytest.raises(ValueError, match="around must hold, per centre, the 3 x 4 centers"):
            call(*arguments[:4], around, *arguments[5:], 1)


def entries(rng):
    """Yield every entry with valid arguments, all but the number of threads."""
    X, centers = problem(rng, (10, 3, 4), np.float64)
    labels, upper, lower = np.zeros(10, dtype=np.int32), np.ones(10), np.zeros(10)
    drift, half, empty = np.zeros(4), np.zeros(4), np.empty((0, 1, 1))
    moves, state = (drift, half, 1e-9), (labels, upper, lower)
    index = np.arange(4, dtype=np.int32)
    order, table = np.tile(index, (4, 1)), np.zeros((4, 4))
    no_sketch = X[:, :0], centers[:, :0], np.zeros(10), np.zeros(4), np.zeros(4)
    groups = index, np.array([0, 4], dtype=np.int32), np.zeros(4, dtype=np.int32), np.zeros(1)
    yield kmeans.nearest, (X, centers, False, labels, upper)
    yield kmeans.own_distances, (X, centers, labels, False, upper)
    yield kmeans.all_distances, (X, centers, False, np.empty((10, 4)))
    yield kmeans.first_bounds, (X, centers, False, 1e-9, *state)
    yield kmeans.hamerly_pass, (X, centers, False, *moves, *state)
    yield kmeans.exponion_pass, (X, centers, order, table, empty, *moves, *state)
    yield kmeans.elkan_pass, (X, centers, *no_sketch, False, *moves, *state, np.zeros((10, 4)))
    yield kmeans.group_pass, (X, centers, *groups, False, *moves, *state, np.zeros((10, 1)))
    trial, total = np.empty((4, 10)), np.empty(4, dtype=np.int64)
    yield seeding.try_centers, (X, upper, upper.copy(), centers, np.empty(0), 1.0, trial, total)
    sparse = sp.csr_matrix(X)
    yield (
        seeding.sparse_distances,
        (sparse.data, sparse.indices, sparse.indptr, centers.T.copy(), half, np.empty((10, 4))),
    )
    yield sums.move_sums, moved_rows()


def moved_rows(n_rows=2, n_weights=0, n_scales=4, n_high=3, n_low=3, mode=0, before=-1, after=1):
    moves = np.full(2, before, dtype=np.int32), np.full(2, after, dtype=np.int32)
    high, low = np.zeros((n_high, 4), dtype=np.int64), np.zeros((n_low, 4), dtype=np.int64)
    return np.ones((n_rows, 3)), np.ones(n_weights), *moves, mode, np.ones(n_scales), 1.0, high, low


@pytest.mark.skipif(_kernels.LEVEL == "reference", reason="a twin trusts its caller")
@pytest.mark.parametrize("n_threads", [0, -1])
def test_too_few_threads_are_refused(rng, n_threads):
    seen = set()
    for call, arguments in entries(rng):
        with pytest.raises(ValueError, match=f"n_threads must be at least 1, got {n_threads}"):
            call(*arguments, n_threads)
        seen.add(call.__name__)
    public = {name for family in (kmeans, seeding, sums) for name in vars(family) if not name.startswith("_")}
    assert public - seen <= {"layout", "np"}


@pytest.mark.skipif(_kernels.LEVEL == "reference", reason="a twin trusts its caller")
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_low": 2}, r"high and low must agree in length, got \(3, 2\)"),
        ({"n_rows": 5}, r"X, before and after must agree in length, got \(5, 2, 2\)"),
        ({"n_weights": 3}, r"X and weights must agree in length, got \(2, 3\)"),
        ({"n_scales": 3}, r"scale, high and low must agree in length, got \(4, 3, 4, 4\)"),
        ({"mode": 3}, "mode must be 0, 1 or 2, got 3"),
        ({"mode": -1}, "mode must be 0, 1 or 2"),
        ({"before": 3}, r"before\[0\] is 3, outside -1 to 2"),
        ({"after": -2}, r"after\[0\] is -2, outside -1 to 2"),
    ],
)
def test_wrong_moves_are_refused_by_name(wrong, message):
    with pytest.raises(ValueError, match=message):
        sums.move_sums(*moved_rows(**wrong), 1)


@pytest.mark.skipif(_kernels.LEVEL == "reference", reason="a twin trusts its caller")
@pytest.mark.parametrize("name", ["members", "starts", "group_of"])
def test_wrong_groups_are_refused_by_name(rng, name):
    _, arguments = next(entry for entry in entries(rng) if entry[0].__name__ == "group_pass")
    arguments = list(arguments)
    place = {"members": 2, "starts": 3, "group_of": 4}[name]
    arguments[place] = arguments[place].copy()
    arguments[place][0] = -1
    with pytest.raises(ValueError, match=rf"{name}\[0\] is -1"):
        kmeans.group_pass(*arguments, 1)
