"""KMeansPP against hand-computed clusterings, Lloyd's own answer, and scikit-learn."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics.pairwise import cosine_distances

from skml import KMeansPP, _kernels
from skml.base import FitInterruptedWarning
from skml.callback import Checkpoint, EarlyStopping, History, TimeBudget
from skml.cluster import bounds, lloyd, points

ALGORITHMS = ("hamerly", "exponion", "yinyang", "elkan", "auto")


def fitted(X, k, **params):
    return KMeansPP(k, n_init=1, init=X[:k].copy(), **params).fit(X)


def same_bits(a, b):
    return (
        a.n_iter_ == b.n_iter_
        and np.array_equal(a.labels_, b.labels_)
        and np.array_equal(a.cluster_centers_, b.cluster_centers_)
        and a.inertia_ == b.inertia_
    )


def test_weighted_points_on_a_line_by_hand():
    X = np.array([[0.0, 0], [0.5, 0], [0.5, 1], [1, 1]])
    kmeans = KMeansPP(2, init=[[0, 0], [1, 1]]).fit(X, sample_weight=[3, 1, 1, 3])
    np.testing.assert_array_equal(kmeans.labels_, [0, 0, 1, 1])
    np.testing.assert_array_equal(kmeans.cluster_centers_, [[0.125, 0], [0.875, 1]])
    assert kmeans.inertia_ == 0.375
    assert kmeans.n_iter_ == 2


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(3000, 1, 7), (4000, 2, 40), (3000, 8, 33), (1500, 40, 25), (800, 120, 60)])
def test_every_algorithm_gives_lloyds_bits(rng, algorithm, dtype, shape):
    n, d, k = shape
    for offset in (0.0, 1e4):
        X = (rng.normal(size=(n, d)) + offset).astype(dtype)
        assert same_bits(fitted(X, k, algorithm=algorithm), fitted(X, k, algorithm="lloyd"))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_gives_lloyds_bits_where_ties_abound(rng, algorithm):
    for d in (3, 40):
        X = rng.integers(0, 5, size=(2000, d)).astype(np.float32)
        X = np.concatenate([np.unique(X, axis=0)[:30], X])
        assert same_bits(fitted(X, 30, algorithm=algorithm), fitted(X, 30, algorithm="lloyd"))


def test_auto_follows_the_shape_and_the_spread_of_the_data(rng, monkeypatch):
    X = rng.normal(size=(1000, 100))
    assert bounds.choose(points.Points(X[:, :9].copy()), 3) == "lloyd"
    assert bounds.choose(points.Points(sp.csr_matrix(X)), 50) == "lloyd"
    assert bounds.choose(points.Points(X), 50) == "hamerly"
    monkeypatch.setattr(bounds, "_MANY_TERMS", 1)
    assert bounds.choose(points.Points(X), 50) == "hamerly"  # no direction leads
    told = np.ascontiguousarray(X[:, :9] @ X[:9])
    assert bounds.choose(points.Points(told), 50) == "elkan"  # nine directions in a hundred features
    assert bounds.choose(points.Points(told), 24) == "hamerly"
    assert bounds.choose(points.Points(told, missing=True), 50) == "hamerly"


def test_rows_too_wide_for_the_rounding_of_a_sketch_have_none(rng):
    for d, columns in ((95, 0), (96, 32), (10_000, 32), (10_001, 0)):
        X = rng.normal(size=(40, d))
        tool = bounds.Elkan(points.Points(X), 3)
        np.testing.assert_array_equal(tool(X[:3]), lloyd.nearest(points.Points(X), X[:3])[0])
        assert tool.sketch.rows.shape[1] == columns


def test_the_same_stop_as_scikit_learn(rng):
    X, blobs = make_blobs(2000, 10, centers=8, cluster_std=4, random_state=int(rng.integers(1000)))
    init = X[np.unique(blobs, return_index=True)[1]]  # a row of each, so that no cluster empties
    for tol in (1e-2, 1e-4, 0):
        ours, theirs = (cls(8, init=init, n_init=1, tol=tol).fit(X) for cls in (KMeansPP, KMeans))
        assert ours.n_iter_ == theirs.n_iter_
        np.testing.assert_array_equal(ours.labels_, theirs.labels_)
        np.testing.assert_allclose(ours.cluster_centers_, theirs.cluster_centers_)
        assert ours.inertia_ == pytest.approx(theirs.inertia_, rel=1e-9)


# ------------------------------------------------------------------------------------------- invariances


@pytest.mark.parametrize("init", ["k-means++", "random", "farthest", "k-means||"])
@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_neither_order_nor_copies_change_seeds(rng, seed, init, kind):
    X, weights = rng.integers(0, 4, size=(80, 3)).astype(float), rng.integers(0, 4, size=80)
    shuffled = rng.permutation(np.repeat(X, weights, axis=0))
    make = np.asarray if kind == "dense" else sp.csr_matrix
    kmeans = KMeansPP(5, init=init, n_init=1, random_state=seed, max_iter=50)
    weighted = clone(kmeans).fit(make(X), sample_weight=weights)
    repeated = clone(kmeans).fit(make(shuffled))
    np.testing.assert_allclose(weighted.cluster_centers_, repeated.cluster_centers_, rtol=1e-12, atol=1e-12)
    assert weighted.inertia_ == pytest.approx(repeated.inertia_)


def test_the_order_of_rows_leaves_the_bits_of_centres(rng, seed):
    X = rng.normal(size=(500, 6))
    order = rng.permutation(500)
    a, b = (KMeansPP(7, random_state=seed).fit(rows) for rows in (X, X[order]))
    np.testing.assert_array_equal(a.cluster_centers_, b.cluster_centers_)
    np.testing.assert_array_equal(a.labels_[order], b.labels_)


def test_sparse_equals_dense(rng, seed):
    X = sp.random(300, 20, density=0.2, format="csr", random_state=seed)
    dense, sparse = (KMeansPP(6, random_state=seed).fit(rows) for rows in (X.toarray(), X))
    np.testing.assert_array_equal(dense.labels_, sparse.labels_)
    np.testing.assert_allclose(dense.cluster_centers_, sparse.cluster_centers_, atol=1e-12)
    np.testing.assert_allclose(dense.transform(X), sparse.transform(X.toarray()), atol=1e-7)
    explicit = X.copy()
    explicit.data[:50] = 0
    np.testing.assert_array_equal(sparse.predict(explicit), sparse.predict(explicit.toarray()))


def test_batches_do_not_change_codes(rng):
    X = rng.normal(size=(200, 50)).astype(np.float32)
    kmeans = fitted(X, 12)
    one_by_one = np.concatenate([kmeans.predict(row[None]) for row in X])
    np.testing.assert_array_equal(kmeans.predict(X), one_by_one)
    np.testing.assert_array_equal(kmeans.predict(X), kmeans.labels_)


# ------------------------------------------------------------------------------------------ what is new


def test_missing_entries_by_hand():
    X = np.array([[0.0, 0], [2, np.nan], [np.nan, 1], [10, 10], [12, np.nan]])
    kmeans = KMeansPP(2, init=[[0, 0], [11, 11]]).fit(X)
    np.testing.assert_array_equal(kmeans.labels_, [0, 0, 0, 1, 1])
    np.testing.assert_array_equal(kmeans.cluster_centers_, [[1, 0.5], [11, 10]])
    assert kmeans.inertia_ == 1 + 0.25 + 1 + 0.25 + 1 + 1
    np.testing.assert_allclose(kmeans.transform([[3.0, np.nan]])[0], np.sqrt([2 * 4, 2 * 64]))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("d", [4, 120])
def test_missing_entries_leave_every_algorithm_exact(rng, algorithm, d):
    X = rng.normal(size=(600, d))
    X[rng.random(X.shape) < 0.2] = np.nan
    X[:, 0] = rng.normal(size=600)
    init = rng.normal(size=(30, d))
    runs = [KMeansPP(30, init=init, algorithm=name).fit(X) for name in ("lloyd", algorithm)]
    assert same_bits(*runs)
    assert np.all(np.diff(runs[0].history_["inertia"]) <= 1e-9 * runs[0].inertia_)


@pytest.mark.parametrize("init", ["k-means++", "random", "farthest", "k-means||"])
def test_seeds_of_incomplete_rows_are_complete(rng, seed, init):
    X = rng.normal(size=(60, 5))
    X[rng.random(X.shape) < 0.3] = np.nan
    X[:, 2] = rng.normal(size=60)
    kmeans = KMeansPP(4, init=init, random_state=seed).fit(X)
    assert np.isfinite(kmeans.cluster_centers_).all()
    assert kmeans.inertia_ < np.nansum((X - np.nanmean(X, axis=0)) ** 2)


def test_the_cosine_metric_sees_directions_only(rng, seed):
    angles = np.concatenate([rng.normal(0, 0.05, 50), rng.normal(2, 0.05, 50)])
    X = np.column_stack([np.cos(angles), np.sin(angles)]) * rng.uniform(0.01, 100, size=(100, 1))
    X = np.concatenate([X, np.zeros((1, 2))])
    for rows in (X, sp.csr_matrix(X)):
        kmeans = KMeansPP(2, metric="cosine", random_state=seed).fit(rows)
        assert len({*kmeans.labels_[:50]}) == len({*kmeans.labels_[50:100]}) == 1
        np.testing.assert_allclose(np.linalg.norm(kmeans.cluster_centers_, axis=1), 1)
        np.testing.assert_allclose(
            kmeans.transform(rows)[:100], cosine_distances(X[:100], kmeans.cluster_centers_), atol=1e-7
        )
        np.testing.assert_allclose(kmeans.transform(rows)[100], 0.5)


def test_codes_and_back(rng):
    X = rng.normal(size=(100, 4))
    kmeans = fitted(X, 9)
    codes = kmeans.predict(X)
    np.testing.assert_array_equal(kmeans.inverse_transform(codes), kmeans.cluster_centers_[codes])
    np.testing.assert_array_equal(kmeans.inverse_transform(kmeans.transform(X)), kmeans.inverse_transform(codes))
    lost = ((X - kmeans.inverse_transform(codes)) ** 2).sum(axis=1)
    np.testing.assert_allclose(kmeans.quantization_error(X), lost)
    assert kmeans.score(X) == pytest.approx(-lost.sum())
    for bad in ([0.5], [[0, 1]]):
        with pytest.raises(ValueError, match="integer codes"):
            kmeans.inverse_transform(bad)
    for bad, said in (([9], 9), ([3, -1, 0], -1), ([0, 12, 8, 9], 12)):
        with pytest.raises(ValueError, match=rf"Codes run from 0 to 8, got {said}\."):
            kmeans.inverse_transform(bad)


def test_batches_of_partial_fit_add_up(rng):
    X = np.concatenate([rng.normal(0, 0.1, size=(200, 2)), rng.normal(9, 0.1, size=(100, 2))])
    X = rng.permutation(X)
    kmeans = KMeansPP(2, init=[[1, 1], [8, 8]])
    for batch in np.split(X, 10):
        kmeans.partial_fit(batch)
    near = X[:, 0] < 5
    np.testing.assert_allclose(kmeans.cluster_centers_, [X[near].mean(axis=0), X[~near].mean(axis=0)])
    np.testing.assert_array_equal(kmeans.counts_, [near.sum(), (~near).sum()])
    assert kmeans.n_iter_ == len(kmeans.history_["inertia"]) == 10


def test_a_warm_start_goes_on_with_the_same_bits(rng):
    X = rng.normal(size=(600, 5))
    whole = fitted(X, 8)
    cut = KMeansPP(8, init=X[:8].copy(), n_init=1, max_iter=3, warm_start=True).fit(X)
    resumed = cut.set_params(max_iter=300).fit(X)
    assert same_bits(resumed, whole)
    np.testing.assert_allclose(resumed.history_["inertia"], whole.history_["inertia"])


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("ending", [{"tol": 1e-2}, {"tol": 0}, {"tol": 0, "max_iter": 3}])
def test_a_fit_that_had_ended_is_left_as_it_is(rng, metric, ending):
    for X in (rng.normal(size=(600, 5)), sp.random(300, 20, density=0.3, format="csr", random_state=1)):
        whole = KMeansPP(8, metric=metric, random_state=0, n_init=3, **ending).fit(X)
        resumed = clone(whole).fit(X).set_params(warm_start=True).fit(X)
        assert same_bits(resumed, whole)
        assert resumed.history_ == whole.history_


def test_the_checkpoint_of_a_converged_fit_is_resumed_without_a_step(rng, tmp_path):
    pytest.importorskip("skops")
    X, path, history = rng.normal(size=(400, 4)), tmp_path / "kmeans.skops", History()
    whole = KMeansPP(6, tol=1e-2, n_init=2, random_state=0).set_callbacks(Checkpoint(path)).fit(X)
    resumed = Checkpoint.load(path).set_params(warm_start=True).set_callbacks(history).fit(X)
    assert same_bits(resumed, whole)
    assert not history.records


def test_a_fit_that_had_ended_goes_on_when_asked_for_more(rng):
    X = rng.normal(size=(600, 5))
    whole = fitted(X, 8, tol=1e-8)
    resumed = fitted(X, 8, tol=1e-2, warm_start=True).set_params(tol=1e-8).fit(X)
    assert same_bits(resumed, whole)
    moved = resumed.fit(X + 1)  # other rows: the centres follow them
    assert moved.inertia_ < -whole.score(X + 1)
    assert moved.n_iter_ > whole.n_iter_


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_warm_start_on_the_sphere_has_the_same_bits(rng, dtype):
    X = rng.normal(size=(600, 5)).astype(dtype)
    whole = fitted(X, 8, metric="cosine")
    for cut in (1, 2, 4):
        short = fitted(X, 8, metric="cosine", max_iter=cut, warm_start=True)
        assert same_bits(short.set_params(max_iter=300).fit(X), whole)


def test_an_empty_cluster_is_refilled_by_the_farthest_row():
    X = np.array([[0.0], [1.0], [2.0], [30.0], [30.0]])
    kmeans = KMeansPP(2, init=[[1.0], [1e3]]).fit(X)
    np.testing.assert_array_equal(kmeans.labels_, [0, 0, 0, 1, 1])
    assert kmeans.n_refilled_ == 1
    np.testing.assert_array_equal(kmeans.cluster_centers_, [[1.0], [30.0]])


def test_the_history_is_the_inertia_and_never_rises(rng):
    X = rng.normal(size=(800, 5)) + 100
    kmeans = fitted(X, 10, tol=0)
    inertia = np.array(kmeans.history_["inertia"])
    assert len(inertia) == kmeans.n_iter_
    assert np.all(np.diff(inertia) <= 1e-9 * inertia[0])
    assert inertia[-1] == pytest.approx(kmeans.inertia_, rel=1e-9)


@pytest.mark.parametrize(("dtype", "far"), [(np.float64, 1e8), (np.float32, 1e4)])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_history_keeps_its_digits_in_tight_groups_far_apart(rng, dtype, far, weighted):
    X = (rng.normal(scale=0.1, size=(400, 3)) + np.repeat([[-far], [far]], 200, axis=0)).astype(dtype)
    weights = rng.random(400) if weighted else None
    kmeans = KMeansPP(4, init=X[::100].copy(), tol=0).fit(X, sample_weight=weights)
    inertia = np.array(kmeans.history_["inertia"])
    assert inertia[-1] == pytest.approx(kmeans.inertia_, rel=1e-4)
    assert np.all(np.diff(inertia) <= 1e-4 * inertia[-1])


@pytest.mark.parametrize("share", [1e-3, 1e-4])
def test_the_history_of_single_precision_is_right(rng, share):
    X = (rng.normal(scale=share, size=(3000, 3)) + np.repeat([[-1], [1]], 1500, axis=0)).astype(np.float32)
    kmeans = KMeansPP(2, init=X[::1500].copy(), tol=0).fit(X)
    gaps = X.astype(np.float64) - kmeans.cluster_centers_[kmeans.labels_]
    assert kmeans.history_["inertia"][-1] == pytest.approx((gaps**2).sum(), rel=1e-4)


@pytest.mark.filterwarnings("ignore:Number of distinct clusters")  # one step may leave a cluster empty
def test_greedy_seeding_beats_plain_and_random(rng):
    X = make_blobs(2000, 4, centers=40, random_state=int(rng.integers(1000)))[0]

    def cost(**params):
        return np.mean(
            [-KMeansPP(40, n_init=1, max_iter=1, random_state=i, **params).fit(X).score(X) for i in range(8)]
        )

    assert cost() < cost(init_trials=1) < cost(init="random")
    assert cost(init="k-means||") < cost(init="random")


# --------------------------------------------------------------------------------------- stops on the way


def interrupted_at(call):
    """Return an `init` that presses Ctrl-C when it is called the given time."""
    calls = []

    def init(X, n_clusters, random_state):
        calls.append(1)
        if len(calls) == call:
            raise KeyboardInterrupt
        return X[random_state.permutation(len(X))[:n_clusters]]

    return init


def test_ctrl_c_between_starts_keeps_the_finished_ones(rng):
    X = rng.normal(size=(200, 3))
    first = KMeansPP(6, init=interrupted_at(0), n_init=1, random_state=0).fit(X)
    kmeans = KMeansPP(6, init=interrupted_at(2), n_init=3, random_state=0)
    with pytest.warns(FitInterruptedWarning, match="best of the finished starts"):
        kmeans.fit(X)
    assert same_bits(kmeans, first)
    fresh = KMeansPP(6, init=interrupted_at(1), n_init=3)
    with pytest.raises(KeyboardInterrupt):
        fresh.fit(X)
    assert not hasattr(fresh, "cluster_centers_")


def test_early_stopping_ends_a_start_and_a_time_budget_the_fit(rng):
    X = rng.normal(size=(500, 3))
    params = {"n_clusters": 6, "init": "random", "n_init": 5, "random_state": 0, "tol": 0}
    history, early = History(), EarlyStopping("inertia", patience=1, min_delta=1e9)
    KMeansPP(**params).set_callbacks(early, history).fit(X)
    assert [record["step"] for record in history.records] == [0, 1] * 5
    short = KMeansPP(**params).set_callbacks(early).fit(X)
    assert short.inertia_ == pytest.approx(KMeansPP(**params | {"max_iter": 2}).fit(X).inertia_)
    history = History()
    KMeansPP(**params).set_callbacks(TimeBudget(1e-9), history).fit(X)
    assert len(history.records) == 1


def test_callbacks_cost_no_scan_of_the_rows(rng, monkeypatch):
    X, calls, scan = rng.normal(size=(500, 3)), [], lloyd.nearest
    monkeypatch.setattr(lloyd, "nearest", lambda *args: calls.append(1) or scan(*args))
    kmeans = KMeansPP(6, algorithm="hamerly", random_state=0).set_callbacks(EarlyStopping("inertia")).fit(X)
    assert kmeans.n_iter_ > 2
    assert len(calls) <= 1
    np.testing.assert_array_equal(kmeans.labels_, kmeans.predict(X))


def test_partial_fit_is_a_task_with_a_step_per_batch(rng):
    history = History()
    kmeans = KMeansPP(3, random_state=0).set_callbacks(history)
    for batch in rng.normal(size=(4, 30, 2)):
        kmeans.partial_fit(batch)
    assert [record["task"] for record in history.records] == ["batch"] * 4
    assert [record["inertia"] for record in history.records] == kmeans.history_["inertia"]


def test_partial_fit_keeps_dtype_and_number_of_clusters(rng):
    X = rng.normal(size=(30, 2))
    for dtype, other in ((np.float64, np.float32), (np.float32, np.float64)):
        kmeans = KMeansPP(3, random_state=0).partial_fit(X.astype(dtype)).partial_fit(X.astype(other))
        assert kmeans.cluster_centers_.dtype == dtype
    with pytest.raises(ValueError, match="n_clusters is 7, the model has 3 centers"):
        kmeans.set_params(n_clusters=7).partial_fit(X)
    assert len(kmeans.cluster_centers_) == 3


# The kernels that go through rows, and the argument that tells how many.
SLICED = [
    *((_kernels.kmeans, name, 0) for name in ("nearest", "own_distances", "all_distances", "first_bounds")),
    *((_kernels.kmeans, f"{name}_pass", 0) for name in ("hamerly", "exponion", "elkan", "group")),
    (_kernels.sums, "move_sums", 0),
    (_kernels.seeding, "try_centers", 3),
    (_kernels.seeding, "sparse_distances", 2),
]


@pytest.mark.parametrize("algorithm", ["lloyd", *ALGORITHMS])
@pytest.mark.parametrize("kind", ["dense", "missing", "sparse"])
def test_every_kernel_call_is_short_and_slices_leave_the_bits(rng, monkeypatch, algorithm, kind):
    X = rng.normal(size=(400, 12))
    if kind == "missing":
        X[rng.random(X.shape) < 0.1] = np.nan
    X = sp.csr_matrix(X) if kind == "sparse" else X
    whole = KMeansPP(30, algorithm=algorithm, random_state=0).fit(X)
    rows = []

    def spied(call, argument):
        return lambda *args: rows.append(len(args[argument])) or call(*args)

    for family, name, argument in SLICED:
        monkeypatch.setattr(family, name, spied(getattr(family, name), argument))
    monkeypatch.setattr(points, "_TERMS_PER_CALL", 1)
    assert same_bits(KMeansPP(30, algorithm=algorithm, random_state=0).fit(X), whole)
    assert 1 < max(rows) <= 65  # 65 entries of indptr are 64 rows


# --------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.empty((0, 3)), "0 sample"),
        (np.empty((3, 0)), "0 feature"),
        (np.ones(5), "1D array"),
        (np.ones((2, 2, 2)), "dim 3"),
        ([["a", "b"], ["c", "d"]], "string"),
        (np.array([[1 + 1j, 2], [3, 4]]), "Complex"),
        ([[np.inf, 1], [2, 3]], "infinity"),
        ([[np.nan, 1], [np.nan, 3]], "Column 0 of X has no value"),
        ([[np.nan, np.nan], [2, 3]], "Row 0 of X has no value"),
        ([[1e200, 1], [2, 3]], "overflow float64"),
        (np.array([[1e25, 1], [2, 3]], dtype=np.float32), "overflow float32"),
        ([[1e-165, 0], [0, -2e-165]], "vanish in float64"),
        (np.array([[1e-25, 0], [2e-25, 0]], dtype=np.float32), "vanish in float32"),
        (sp.csr_matrix([[0, 1e-165], [0, 2e-165]]), "vanish in float64"),
        (sp.csr_matrix([[np.nan, 1], [2, 3]]), "Sparse X holds NaN"),
        ([[1.0, 2.0]], r"n_samples=1 should be >= n_clusters=2"),
    ],
)
def test_bad_data_is_refused_clearly(X, message):
    kmeans = KMeansPP(2)
    with pytest.raises((ValueError, TypeError), match=message):
        kmeans.fit(X)
    assert not hasattr(kmeans, "cluster_centers_")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_infinities_of_both_signs_are_an_error_without_a_warning(rng, dtype):
    X = rng.normal(size=(3000, 4)).astype(dtype)
    kmeans = KMeansPP(3, random_state=0).fit(X)
    X[3, 1], X[7, 2] = np.inf, -np.inf
    X[0, 0] = np.nan if rng.random() < 0.5 else 0
    for call in (kmeans.predict, kmeans.transform, kmeans.score, kmeans.partial_fit, kmeans.fit):
        with pytest.raises(ValueError, match="infinity"):
            call(X)
    X[3, 1], X[7, 2] = np.finfo(dtype).max, -np.finfo(dtype).max
    X[8:] = np.finfo(dtype).max
    with pytest.raises(ValueError, match="overflow"):
        kmeans.fit(X)
    with pytest.raises(ValueError, match="infinity"):
        KMeansPP(2, init=[[np.inf], [-np.inf]]).fit([[0.0], [1.0]])


@pytest.mark.parametrize("name", ["n_clusters", "n_init", "max_iter", "init_trials"])
def test_true_is_no_number(name):
    with pytest.raises(ValueError, match=rf"'{name}' parameter of KMeansPP must be .*an int .* Got True instead"):
        KMeansPP(**{name: True}).fit([[0.0], [1.0]])


@pytest.mark.parametrize(
    ("weights", "message"),
    [([1, -1, 1], "[Nn]egative"), ([0, 0, 0], "zero"), ([1, np.nan, 1], "NaN"), ([1, 1], "shape|samples")],
)
def test_bad_weights_are_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        KMeansPP(1).fit([[0.0], [1.0], [2.0]], sample_weight=weights)


@pytest.mark.parametrize("scale", [1e150, 1e-150])
def test_extreme_magnitudes_are_right(scale):
    X = np.array([[0.0, 1], [0, 2], [8, 1], [8, 2]]) * scale
    kmeans = KMeansPP(2, random_state=0).fit(X)
    np.testing.assert_allclose(np.sort(kmeans.cluster_centers_[:, 0]), [0, 8 * scale])
    assert kmeans.inertia_ == pytest.approx(scale * scale, rel=1e-9, abs=0)
    assert kmeans.labels_[0] == kmeans.labels_[1] != kmeans.labels_[2] == kmeans.labels_[3]


def test_small_and_zero_rows_are_not_refused_beside_a_model():
    kmeans = KMeansPP(2, random_state=0).fit([[0.0], [1.0]])
    np.testing.assert_array_equal(kmeans.predict([[1e-200]]), kmeans.predict([[0.0]]))
    assert KMeansPP(1).fit(np.zeros((3, 2))).inertia_ == 0


@pytest.mark.parametrize("init", ["k-means++", "random", "farthest", "k-means||"])
def test_few_distinct_rows_warn_once(init, seed):
    X = np.repeat([[0.0, 1], [2, 3]], 5, axis=0)
    with pytest.warns(ConvergenceWarning, match=r"distinct clusters \(2\) found smaller than n_clusters \(4\)") as seen:
        kmeans = KMeansPP(4, init=init, n_init=2, random_state=seed).fit(X)
    assert len(seen) == 1
    assert kmeans.inertia_ == 0


@pytest.mark.parametrize("algorithm", ["lloyd", *ALGORITHMS])
def test_as_many_clusters_as_rows(rng, algorithm):
    X = rng.normal(size=(20, 3))
    kmeans = KMeansPP(20, algorithm=algorithm, random_state=0).fit(X)
    assert kmeans.inertia_ == 0
    assert sorted(kmeans.labels_) == list(range(20))


def test_a_constant_and_a_single_row():
    with pytest.warns(ConvergenceWarning):
        assert KMeansPP(2).fit(np.full((6, 2), 3.0)).inertia_ == 0
    np.testing.assert_array_equal(KMeansPP(1).fit([[4.0]]).cluster_centers_, [[4.0]])


def test_an_outlier_does_not_spoil_the_other_centres():
    X = np.array([[1e12], [0.1], [0.3], [5.0]])
    kmeans = KMeansPP(3, init=[[1e12], [0.0], [5.0]]).fit(X)
    np.testing.assert_allclose(kmeans.cluster_centers_, [[1e12], [0.2], [5.0]], rtol=1e-12)


def test_rows_to_predict_are_checked(rng):
    kmeans = fitted(rng.normal(size=(20, 3)), 2)
    with pytest.raises(ValueError, match="features"):
        kmeans.predict(np.ones((2, 4)))
    with pytest.raises(NotFittedError):
        KMeansPP().predict(np.ones((2, 4)))
    with pytest.raises(ValueError, match="metric='cosine'"):
        KMeansPP(1, metric="cosine").fit([[1.0, np.nan], [1.0, 2.0]])


def test_a_column_known_only_to_rows_of_no_weight_is_refused():
    X = np.array([[1, np.nan], [2, np.nan], [3, 4.0]])
    with pytest.raises(ValueError, match="Column 1 of X has no value"):
        KMeansPP(2, n_init=1).fit(X, sample_weight=[1, 1, 0])


def test_going_on_needs_as_many_clusters(rng):
    X = rng.normal(size=(30, 2))
    model = KMeansPP(3, random_state=0, warm_start=True).fit(X).set_params(n_clusters=4)
    with pytest.raises(ValueError, match="fit with warm_start=True cannot go on: n_clusters is 4, .* 3 centers"):
        model.fit(X)
    with pytest.raises(ValueError, match="partial_fit cannot go on: n_clusters is 4, .* 3 centers"):
        model.partial_fit(X)


@pytest.mark.parametrize("codes", ["abc", None, 1.5, [["a", "b"]], [0.5]])
def test_what_is_no_code_is_refused(rng, codes):
    model = KMeansPP(2, random_state=0).fit(rng.normal(size=(30, 2)))
    with pytest.raises(ValueError, match="integer codes|(?i:convert)"):
        model.inverse_transform(codes)
