"""PCA: against scikit-learn and hand-made spectra, weights, batches, sparse data, signs, and bad input."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import skops.io
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.decomposition import PCA as Peer
from sklearn.exceptions import NotFittedError
from threadpoolctl import threadpool_limits

from skml import base
from skml.decomposition import PCA, krylov, magnitude, spectral

DIRECT = ("auto", "full", "covariance_eigh", "gram", "randomized", "em")


def with_spectrum(rng, n_samples, n_features, singular_values):
    """Return centred data with these singular values, and their right vectors."""
    k = len(singular_values)
    A = rng.standard_normal((n_samples, k))
    U = np.linalg.qr(A - A.mean(axis=0))[0]
    V = np.linalg.qr(rng.standard_normal((n_features, k)))[0]
    return (U * singular_values) @ V.T, V.T


@pytest.mark.parametrize("solver", [*DIRECT, "arpack"])
@pytest.mark.parametrize("shape", [(80, 12), (12, 80), (700, 30)])
@pytest.mark.parametrize("whiten", [False, True])
def test_equals_scikit_learn(rng, solver, shape, whiten):
    X = rng.standard_normal(shape) * np.geomspace(1, 1e-2, shape[1]) + 5
    ours = PCA(4, svd_solver=solver, whiten=whiten, random_state=0)
    peer = Peer(4, svd_solver="full", whiten=whiten).fit(X)
    scores = ours.fit_transform(X)
    assert_allclose(scores, peer.transform(X), atol=1e-6)
    for name in ("mean_", "explained_variance_", "explained_variance_ratio_", "singular_values_", "noise_variance_"):
        assert_allclose(getattr(ours, name), getattr(peer, name), rtol=1e-7, err_msg=name)
    assert_allclose(ours.components_, peer.components_, atol=1e-6)
    assert_allclose(ours.inverse_transform(scores), peer.inverse_transform(scores), atol=1e-6)
    assert_allclose(ours.get_covariance(), peer.get_covariance(), atol=1e-8)
    assert_allclose(ours.get_precision() @ ours.get_covariance(), np.eye(shape[1]), atol=1e-6)
    assert_allclose(ours.score_samples(X), peer.score_samples(X), rtol=1e-6, atol=1e-6)
    assert list(ours.get_feature_names_out()) == ["pca0", "pca1", "pca2", "pca3"]


@pytest.mark.parametrize("n_components", [None, 0.9, "mle", 0, 3])
def test_chooses_as_many_components_as_scikit_learn(rng, n_components):
    X = rng.standard_normal((300, 8)) * np.geomspace(1, 0.1, 8)
    ours, peer = PCA(n_components).fit(X), Peer(n_components).fit(X)
    assert ours.n_components_ == peer.n_components_
    assert_allclose(ours.noise_variance_, peer.noise_variance_, rtol=1e-9)


@pytest.mark.parametrize("solver", ["full", "gram"])
@pytest.mark.parametrize("shape", [(60, 900), (900, 60)])
def test_small_singular_values_keep_four_digits(rng, solver, shape):
    wanted = np.geomspace(1, 1e-6, 50)
    X, V = with_spectrum(rng, *shape, wanted)
    pca = PCA(50, svd_solver=solver).fit(X)
    assert_allclose(pca.singular_values_, wanted, rtol=1e-4)
    assert_allclose(pca.components_ @ pca.components_.T, np.eye(50), atol=1e-9)
    assert_allclose(np.abs(np.sum(pca.components_ * V, axis=1)), 1, atol=1e-4)


def test_randomized_bounds_its_error_on_a_slowly_decaying_spectrum(rng):
    X = rng.standard_normal((1700, 1600)).astype(np.float32)
    exact = np.sqrt(np.linalg.eigvalsh(np.cov(X.T.astype(np.float64)))[::-1][:10] * (len(X) - 1))
    ours = PCA(10, svd_solver="randomized", random_state=0).fit(X)
    peer = Peer(10, svd_solver="randomized", random_state=0).fit(X)
    assert np.abs(ours.singular_values_ / exact - 1).max() < 1e-4
    assert np.abs(peer.singular_values_ / exact - 1).max() > 1e-3


@pytest.fixture
def always_krylov(monkeypatch):
    """Iterate whatever the size of the data, and count the iterations that end."""
    monkeypatch.setattr(spectral, "EXACT", 0)
    monkeypatch.setattr(spectral, "SMALL", 0)
    ended = []

    def counted(*args):
        steps = list(krylov_steps(*args))
        ended.append(len(steps))
        return iter(steps)

    krylov_steps = spectral.krylov_steps
    monkeypatch.setattr(spectral, "krylov_steps", counted)
    yield ended
    assert ended


@pytest.mark.parametrize("iterated_power", [0, 1, 3])
@pytest.mark.parametrize("k", [20, 50])
def test_few_steps_still_give_all_components(rng, always_krylov, k, iterated_power):
    X = rng.standard_normal((90, 70))
    pca = PCA(k, svd_solver="randomized", iterated_power=iterated_power).fit(X)
    assert pca.components_.shape == (pca.n_components_, 70) == (k, 70)
    assert_allclose(pca.components_ @ pca.components_.T, np.eye(k), atol=1e-8)


KRYLOV = {"svd_solver": "randomized", "random_state": 0, "tol": 1e-12}


def separated(rng, n_samples, n_features, dtype=np.float64, decay=0.9):
    """Return rows whose directions have well separated variances, far from the origin."""
    return (rng.standard_normal((n_samples, n_features)) * decay ** np.arange(n_features) + 3).astype(dtype)


def assert_same_axes(ours, theirs, tol=1e-6):
    assert_allclose(ours.singular_values_, theirs.singular_values_, rtol=tol)
    assert_allclose(ours.components_, theirs.components_, atol=tol)
    assert_allclose(ours.mean_, theirs.mean_, atol=tol)


def test_krylov_weights_are_copies_in_any_order(rng, always_krylov):
    X, weights = separated(rng, 120, 40), rng.integers(0, 4, 120)
    weights[0] = 1
    weighted = PCA(3, **KRYLOV).fit(X, sample_weight=weights)
    assert_same_axes(weighted, PCA(3, **KRYLOV).fit(rng.permutation(np.repeat(X, weights, axis=0))))
    full = PCA(3, svd_solver="covariance_eigh").fit(X, sample_weight=weights)
    assert_same_axes(weighted, full)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
def test_krylov_has_the_same_bits_for_any_number_of_threads(rng, always_krylov, dtype, form):
    X, said = form(separated(rng, 400, 80, dtype)), []
    for threads in (1, 2, 3):
        with threadpool_limits(threads):
            pca = PCA(5, svd_solver="randomized" if form is np.asarray else "auto", random_state=0).fit(X)
            said.append(pca.components_.tobytes() + pca.singular_values_.tobytes())
    assert said == said[:1] * 3


@pytest.mark.parametrize(
    ("dtype", "tol", "allowed"), [(np.float64, 1e-12, 1e-9), (np.float64, 0, 1e-4), (np.float32, 0, 1e-4)]
)
def test_krylov_has_the_accuracy_asked_for(rng, always_krylov, dtype, tol, allowed):
    X = rng.standard_normal((300, 200)).astype(dtype)
    exact = np.linalg.svd((X - X.mean(axis=0)).astype(np.float64), compute_uv=False)[:8]
    pca = PCA(8, svd_solver="randomized", tol=tol, random_state=0).fit(X)
    assert np.abs(pca.singular_values_ / exact - 1).max() < allowed
    assert_allclose(pca.components_ @ pca.components_.T, np.eye(8), atol=1e-9 if dtype == np.float64 else 1e-5)


@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
def test_krylov_restarts_and_still_converges(rng, always_krylov, monkeypatch, form):
    options, restarts = spectral.krylov_options, []

    def narrow(*args):
        return replace(options(*args), max_basis=24, block=4)

    def restarted(*args):
        restarts.append(1)
        return plain(*args)

    plain = krylov._restarted
    monkeypatch.setattr(spectral, "krylov_options", narrow)
    monkeypatch.setattr(krylov, "_restarted", restarted)
    X = separated(rng, 300, 120, decay=0.97)
    pca = PCA(4, svd_solver="randomized" if form is np.asarray else "auto", tol=1e-11, random_state=0).fit(form(X))
    assert restarts
    exact = PCA(4, svd_solver="covariance_eigh").fit(X)
    assert_allclose(pca.singular_values_, exact.singular_values_, rtol=1e-9)
    assert_allclose(pca.components_, exact.components_, atol=1e-3)


def test_krylov_takes_no_more_products_than_allowed(rng, always_krylov, monkeypatch):
    taken, product = [], spectral.scatter_product

    def counted(rows, V):
        taken.append(V.shape[1])
        return product(rows, V)

    monkeypatch.setattr(spectral, "scatter_product", counted)
    X = rng.standard_normal((400, 300))
    PCA(5, svd_solver="randomized", tol=1e-14, iterated_power=3, random_state=0).fit(X)
    assert len(taken) == 3


@pytest.mark.parametrize("weighted", [False, True])
def test_sparse_krylov_is_as_exact_as_dense(rng, always_krylov, weighted):
    X = sp.random_array((400, 150), density=0.1, rng=rng, format="csr") @ sp.diags_array(0.95 ** np.arange(150))
    weights = rng.uniform(0.5, 2, 400) if weighted else None
    sparse = PCA(6, random_state=0).fit(X, sample_weight=weights)
    dense = PCA(6, svd_solver="covariance_eigh").fit(X.toarray(), sample_weight=weights)
    assert_allclose(sparse.singular_values_, dense.singular_values_, rtol=1e-8)
    assert_allclose(sparse.explained_variance_ratio_, dense.explained_variance_ratio_, rtol=1e-8)


@pytest.mark.parametrize("solver", [*DIRECT, "arpack"])
def test_weights_are_copies(rng, solver):
    X, weights = rng.standard_normal((40, 6)), rng.integers(0, 4, 40)
    weights[0] = 1
    weighted = PCA(3, svd_solver=solver, random_state=0).fit(X, sample_weight=weights)
    copied = PCA(3, svd_solver=solver, random_state=0).fit(np.repeat(X, weights, axis=0))
    for name in ("components_", "explained_variance_", "noise_variance_", "mean_", "n_samples_", "singular_values_"):
        assert_allclose(getattr(weighted, name), getattr(copied, name), rtol=1e-7, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("solver", [*DIRECT, "arpack", "missing"])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_rows_of_no_weight_are_no_rows(rng, solver, method):
    X, kept = rng.standard_normal((7, 10)), np.array([1, 0, 1, 1, 0, 0, 1])
    if solver == "missing":
        solver = "auto"
        X[2, 3] = np.nan if method == "fit" else 0
    pca = PCA(svd_solver=solver, random_state=0)
    weighted = getattr(clone(pca), method)(X, sample_weight=kept)
    alone = getattr(clone(pca), method)(X[kept > 0])
    assert weighted.n_components_ == alone.n_components_ == (3 if solver == "arpack" and method == "fit" else 4)
    assert weighted.n_samples_ == 4
    assert_allclose(weighted.explained_variance_, alone.explained_variance_, atol=1e-9)
    assert_allclose(weighted.transform(X)[:, :2], alone.transform(X)[:, :2], atol=1e-6)
    assert clone(pca).fit_transform(X, sample_weight=kept).shape == (7, 3 if solver == "arpack" else 4)


def test_weights_of_any_size(rng):
    X = rng.standard_normal((40, 5))
    for solver in DIRECT:
        plain = PCA(3, svd_solver=solver, random_state=0).fit(X)
        heavy = PCA(3, svd_solver=solver, random_state=0).fit(X, sample_weight=np.full(40, 1e290))
        assert_allclose(heavy.components_, plain.components_, atol=1e-6)
        assert_allclose(heavy.explained_variance_, plain.explained_variance_ * 39 / 40, rtol=1e-6)
    single = PCA().fit(X, sample_weight=np.append(np.zeros(39), 3))
    assert_allclose(single.explained_variance_, np.zeros(3))
    with pytest.raises(ValueError, match="infinity"):
        PCA().fit(np.where(np.arange(40)[:, None] == 7, np.inf, X), sample_weight=np.arange(40) != 7)


@pytest.mark.parametrize(("heaviest", "what"), [(1.0, "its features"), (1e200, "the weights")])
def test_who_is_to_blame_for_squares_that_are_no_numbers(rng, monkeypatch, heaviest, what):
    def failing(*args):
        raise FloatingPointError

    monkeypatch.setattr(magnitude, "principal_axes", failing)
    monkeypatch.setattr(spectral, "principal_axes", failing)
    with pytest.raises(ValueError, match=f"bring {what} to similar scales"):
        PCA().fit(rng.standard_normal((40, 5)), sample_weight=np.append(np.ones(39), heaviest))


@pytest.mark.parametrize("size", [1, 7, 50])
@pytest.mark.parametrize("n_features", [5, 80])
def test_batches_give_what_one_fit_gives(rng, size, n_features):
    X = rng.standard_normal((60, n_features)) + 10
    batches = PCA()
    for start in range(0, len(X), size):
        batches.partial_fit(X[start : start + size])
    whole = PCA().fit(X)
    rank = min(59, n_features)
    assert batches.n_components_ == whole.n_components_
    assert_allclose(batches.components_[:rank], whole.components_[:rank], atol=1e-8)
    assert_allclose(batches.explained_variance_, whole.explained_variance_, atol=1e-8)
    assert_allclose(batches.mean_, whole.mean_, atol=1e-8)


def test_many_small_batches_do_not_drift(rng):
    X = (rng.standard_normal((4000, 5)) + 100).astype(np.float32)
    batches = PCA()
    for start in range(0, len(X), 4):
        batches.partial_fit(X[start : start + 4])
    assert_allclose(batches.mean_, X.mean(axis=0, dtype=np.float64), rtol=1e-7)
    assert_allclose(batches.explained_variance_, PCA().fit(X.astype(float)).explained_variance_, rtol=1e-6)
    assert batches.components_.dtype == np.float32
    stored = skops.io.loads(skops.io.dumps(batches), trusted=["skml.decomposition.pca.PCA"])  # plain values but for it
    assert_allclose(stored.partial_fit(X[:4]).mean_, batches.partial_fit(X[:4]).mean_, rtol=0)


def test_weighted_batches_and_a_start_from_fit(rng):
    X, weights = rng.standard_normal((60, 4)), rng.uniform(0.5, 2, 60)
    whole = PCA(2).fit(X, sample_weight=weights)
    batches = PCA().fit(X[:30], sample_weight=weights[:30]).partial_fit(X[30:], sample_weight=weights[30:])
    assert_allclose(batches.components_[:2], whole.components_, atol=1e-8)
    assert_allclose(batches.n_samples_, whole.n_samples_)


@pytest.mark.parametrize("solver", ["auto", "arpack", "covariance_eigh", "em"])
@pytest.mark.parametrize("weighted", [False, True])
def test_sparse_equals_dense(rng, solver, weighted):
    X = sp.random_array((200, 30), density=0.2, rng=rng, format="csr")
    weights = rng.uniform(0.5, 2, 200) if weighted else None
    sparse = PCA(4, svd_solver=solver, random_state=0).fit(X, sample_weight=weights)
    dense = PCA(4, svd_solver="full").fit(X.toarray(), sample_weight=weights)
    assert_allclose(sparse.components_, dense.components_, atol=1e-6)
    assert_allclose(sparse.explained_variance_, dense.explained_variance_, rtol=1e-9)
    assert_allclose(sparse.transform(X), dense.transform(X.toarray()), atol=1e-6)
    assert_allclose(sparse.reconstruction_error(X), dense.reconstruction_error(X.toarray()), atol=1e-6)


def test_sparse_float32_is_summed_in_double_precision(rng):
    X = (rng.standard_normal((50_000, 5)) + 10).astype(np.float32)
    sparse = PCA(svd_solver="covariance_eigh").fit(sp.csr_array(X))
    assert_allclose(sparse.explained_variance_, np.linalg.eigvalsh(np.cov(X.T.astype(float)))[::-1], rtol=1e-5)


@pytest.mark.parametrize("n_components", [None, 0.9])
@pytest.mark.parametrize("weighted", [False, True])
def test_sparse_and_wide_takes_the_small_side(rng, monkeypatch, n_components, weighted):
    X = sp.random_array((30, 400), density=0.1, rng=rng, format="csr")
    weights = rng.integers(1, 3, 30) if weighted else None
    dense = PCA(n_components).fit(X.toarray(), sample_weight=weights)
    monkeypatch.setattr(spectral, "_sparse_scatter", None)
    sparse = PCA(n_components).fit(X, sample_weight=weights)
    assert_allclose(sparse.explained_variance_, dense.explained_variance_, atol=1e-12)
    assert_allclose(np.abs(sparse.components_[:9]), np.abs(dense.components_[:9]), atol=1e-8)
    assert_allclose(
        sparse.inverse_transform(sparse.transform(X)), dense.inverse_transform(dense.transform(X.toarray())), atol=1e-8
    )


@pytest.mark.parametrize("solver", ["covariance_eigh", "gram"])
@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
def test_a_matrix_beyond_the_memory_is_refused(rng, monkeypatch, solver, form):
    X = form(rng.standard_normal((20, 30) if solver == "gram" else (30, 20)))
    monkeypatch.setattr(base, "_free_memory", lambda: 1000)
    with pytest.raises(MemoryError, match="matrix of X would take"):
        PCA(svd_solver="auto" if sp.issparse(X) else solver).fit(X)


def test_sparse_data_is_never_made_dense(rng, monkeypatch):
    X = sp.random_array((3000, 2000), density=0.001, rng=rng, format="csr")
    monkeypatch.setattr(type(X), "toarray", None)
    assert PCA(3, random_state=0).fit(X).transform(X).shape == (3000, 3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_is_kept(rng, dtype):
    X = rng.standard_normal((50, 5)).astype(dtype)
    pca = PCA(2).fit(X)
    for name in ("components_", "mean_", "explained_variance_", "singular_values_", "noise_variance_"):
        assert getattr(pca, name).dtype == dtype
    assert pca.transform(X).dtype == pca.inverse_transform(pca.transform(X)).dtype == dtype


def test_large_means_cost_no_digits(rng):
    X = rng.standard_normal((4000, 8))
    near, far = PCA().fit(X), PCA().fit(X + 1e6)
    assert_allclose(far.explained_variance_, near.explained_variance_, rtol=1e-7)


def test_signs_do_not_depend_on_the_order_of_rows(rng):
    X = rng.standard_normal((300, 12))
    assert_allclose(PCA().fit(X).components_, PCA().fit(X[rng.permutation(300)]).components_, atol=1e-8)
    assert np.all(PCA().fit(X).components_.max(axis=1) >= -PCA().fit(X).components_.min(axis=1) * (1 - 1e-7))


def test_reconstruction_error_by_hand():
    X = np.array([[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    assert_allclose(PCA(1).fit(X).reconstruction_error(X), [0, 0, 1, 1], atol=1e-12)


# ------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize("bad", [np.inf, -np.inf])
def test_infinity_is_refused_everywhere(rng, bad):
    X = rng.standard_normal((20, 3))
    pca = PCA(2).fit(X)
    X[3, 1] = bad
    for method in (PCA(2).fit, PCA(2).partial_fit, pca.transform, pca.score_samples, pca.reconstruction_error):
        with pytest.raises(ValueError, match="infinity"):
            method(X)


@pytest.mark.parametrize("solver", ["full", "gram", "covariance_eigh", "auto"])
@pytest.mark.parametrize("exponent", [-150, -100, 100, 150])
def test_extreme_magnitudes(rng, solver, exponent):
    X = rng.standard_normal((40, 5))
    plain, scaled = PCA(3, svd_solver=solver).fit(X), PCA(3, svd_solver=solver).fit(X * 10.0**exponent)
    assert_allclose(scaled.components_, plain.components_, atol=1e-7)
    assert_allclose(scaled.explained_variance_ / 10.0**exponent / 10.0**exponent, plain.explained_variance_, rtol=1e-7)


@pytest.mark.parametrize("factor, word", [(1e200, "too large"), (1e-200, "too small")])
def test_what_cannot_be_represented_is_said(rng, factor, word):
    with pytest.raises(ValueError, match=word):
        PCA().fit(rng.standard_normal((20, 3)) * factor)
    with pytest.raises(ValueError, match=word):
        PCA().fit((rng.standard_normal((20, 3)) * factor**0.15).astype(np.float32))


@pytest.mark.parametrize(("dtype", "far"), [(np.float64, 1e200), (np.float32, 1e25)])
@pytest.mark.parametrize("n_components", [2, 5])
def test_figures_beyond_all_numbers_are_refused(rng, dtype, far, n_components):
    X = rng.standard_normal((20, 5)).astype(dtype)
    pca = PCA(n_components).fit(X)
    X[3] *= far
    methods = (pca.score_samples, pca.score, pca.reconstruction_error)
    for method in methods if n_components == 2 else methods[:2]:
        with pytest.raises(ValueError, match=f"of row 3 of X is beyond {np.dtype(dtype)}"):
            method(X)
    assert np.isfinite(pca.transform(X)).all()


def test_sparse_infinity_is_refused_without_other_warnings(rng):
    X = rng.standard_normal((20, 5))
    X[3, 1] = np.inf
    for solver in ("auto", "covariance_eigh", "arpack"):
        with pytest.raises(ValueError, match="infinity"):
            PCA(2, svd_solver=solver).fit(sp.csr_array(X))


@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("constant", [0.1, 0.3, 0.5, 0.75, 1.0])
def test_a_constant_hides_no_small_variance(rng, constant, form):
    X = np.column_stack([np.full(30, constant), 1e-12 * rng.standard_normal(30)]).astype(np.float32)
    pca = PCA(1).fit(form(X))
    assert_allclose(pca.explained_variance_, X[:, 1].astype(float).var(ddof=1), rtol=1e-3)
    with pytest.raises(ValueError, match="similar scales"):
        PCA(1).fit(form(np.column_stack([np.full(30, constant), 1e-140 * rng.standard_normal(30)])))


@pytest.mark.parametrize("shape", [(9, 2), (2, 9)])
@pytest.mark.parametrize("constant", [0.1, 0.75])
def test_sparse_constant_rows(constant, shape):
    flat = PCA(1).fit(sp.csr_array(np.full(shape, constant)))
    assert flat.explained_variance_ == 0
    assert flat.explained_variance_ratio_ == 0
    assert_allclose(flat.mean_, constant)
    assert PCA().fit(sp.csr_array(np.full(shape, constant))).explained_variance_[0] == 0


def test_sparse_rows_without_entries():
    assert PCA(1).fit(sp.csr_array((9, 2))).explained_variance_ == 0


@pytest.mark.parametrize("solver", ["full", "gram", "covariance_eigh", "randomized", "em"])
def test_constant_and_duplicated_rows(rng, solver):
    for value, weights in [(7.5, None), (0.1, None), (0.3, rng.uniform(1, 3, 10)), (0.1, rng.uniform(1, 3, 10))]:
        constant = PCA(1, svd_solver=solver).fit(np.full((10, 3), value), sample_weight=weights)
        assert constant.explained_variance_ == 0
        assert constant.explained_variance_ratio_ == 0
    row = rng.standard_normal((2, 4))
    twice = PCA(3, svd_solver=solver, random_state=0).fit(np.repeat(row, 5, axis=0))
    assert_allclose(twice.explained_variance_[1:], 0, atol=1e-12)
    assert_allclose(twice.components_ @ twice.components_.T, np.eye(3), atol=1e-8)


@pytest.mark.parametrize(
    ("solver", "form"),
    [("auto", sp.csr_array), ("em", np.asarray), ("em", sp.csr_array), ("randomized", np.asarray)],
)
def test_directions_without_variance_do_not_depend_on_the_order_of_rows(rng, solver, form, always_krylov):
    X = rng.standard_normal((60, 2)) @ rng.standard_normal((2, 12))
    one, other = (PCA(4, svd_solver=solver, random_state=0).fit(form(rows)) for rows in (X, X[::-1].copy()))
    assert_allclose(one.singular_values_[2:], 0)
    assert_allclose(one.components_, other.components_, atol=1e-6)


def test_heavy_weights_in_single_precision_are_refused(rng):
    X = rng.standard_normal((50, 4)).astype(np.float32)
    for fit in (PCA().fit, PCA().partial_fit):
        with pytest.raises(ValueError, match="too large for float32; divide the weights"):
            fit(X, sample_weight=np.full(50, 1e100))


def test_one_column(rng):
    X = rng.standard_normal((30, 1))
    assert_allclose(PCA().fit(X).explained_variance_, X.var(ddof=1))


@pytest.mark.parametrize(
    "X, error, match",
    [
        (np.empty((0, 3)), ValueError, "0 sample"),
        (np.ones((1, 3)), ValueError, "1 sample"),
        (np.ones((3, 0)), ValueError, "0 feature"),
        (np.ones((2, 3, 4)), ValueError, "dim"),
        (np.ones((3, 2)) * 1j, ValueError, "[Cc]omplex"),
        (np.array([["a", "b"], ["c", "d"]], dtype=object), ValueError, "could not convert"),
    ],
)
def test_data_that_is_no_table_of_numbers(X, error, match):
    with pytest.raises(error, match=match):
        PCA().fit(X)


@pytest.mark.parametrize("solver", ["full", "gram", "covariance_eigh", "arpack", "randomized", "em"])
def test_too_many_components(rng, solver):
    with pytest.raises(ValueError, match="n_components=7 must be"):
        PCA(7, svd_solver=solver).fit(rng.standard_normal((20, 6)))


@pytest.mark.parametrize(
    "weights, match",
    [(-np.ones(20), "[Nn]egative"), (np.zeros(20), "zero"), (np.full(20, 0.01), "sum"), (np.ones(3), "shape")],
)
def test_bad_weights(rng, weights, match):
    with pytest.raises(ValueError, match=match):
        PCA().fit(rng.standard_normal((20, 3)), sample_weight=weights)


def test_mismatch_and_not_fitted(rng):
    X = rng.standard_normal((20, 3))
    with pytest.raises(NotFittedError):
        PCA().transform(X)
    pca = PCA(2).fit(X)
    with pytest.raises(ValueError, match="features"):
        pca.transform(X[:, :2])
    with pytest.raises(ValueError, match="components"):
        pca.inverse_transform(X)
    for codes in ("abc", None, 5):
        with pytest.raises(ValueError, match=r"must have shape \(n_samples, 2\), as transform returns it, got"):
            pca.inverse_transform(codes)
    with pytest.raises(TypeError, match="sparse"):
        PCA(2, svd_solver="full").fit(sp.csr_array(X))
