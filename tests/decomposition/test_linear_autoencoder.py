"""LinearAutoencoder: optimality, the three solvers against each other, missing values, weights, resuming, bad input."""

import copy
import pickle
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import minimize
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA as ReferencePCA
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.utils.estimator_checks import check_estimator
from threadpoolctl import threadpool_limits

from skml import LinearAutoencoder
from skml.base import FitInterruptedWarning, validate_X
from skml.callback import Checkpoint, EarlyStopping, TimeBudget
from skml.decomposition import alternating, gradient, linear_autoencoder
from skml.decomposition.autoencoding import LinearCode, gains, largest_angle, mean_loss
from skml.decomposition.row_blocks import open_block

pytestmark = pytest.mark.filterwarnings("ignore:.*did not converge")  # many a test cuts a fit short

SOLVERS = ("exact", "als", "sgd")
CLOSE = {"solver": "als", "tol": 1e-15, "max_iter": 3000}


@pytest.fixture
def X(rng):
    """Correlated rows with well separated variances 16, 8, 4, 2, 1, 0.5 and a mean far from zero."""
    directions, _ = np.linalg.qr(rng.standard_normal((6, 6)))
    codes, _ = np.linalg.qr(np.column_stack([np.ones(80), rng.standard_normal((80, 6))]))
    return 7.0 + codes[:, 1:] * np.sqrt(80 * 2.0 ** np.arange(4, -2, -1)) @ directions


@pytest.fixture(scope="module")
def digits():
    return load_digits().data


def loss(model, X, alpha=0.0, unit=1.0):
    """The definition, written out, for a model of X in other units."""
    residual = X - model.inverse_transform(model.transform(unit * X)) / unit
    return (residual**2).sum() / len(X) + alpha * ((model.encoder_**2).sum() + (model.decoder_**2).sum())


def optimum(X, k):
    return ReferencePCA(svd_solver="full").fit(X).explained_variance_[k:].sum() * (len(X) - 1) / len(X)


# -------------------------------------------------------------------------------------------- what is computed


def test_exact_gives_the_principal_directions(X):
    model = LinearAutoencoder(3).fit(X)
    reference = ReferencePCA(3).fit(X)
    signs = np.sign(np.sum(model.decoder_ * reference.components_, axis=1))
    np.testing.assert_allclose(model.decoder_ * signs[:, None], reference.components_, atol=1e-9)
    np.testing.assert_array_equal(model.encoder_, model.decoder_.T)
    np.testing.assert_allclose(loss(model, X), 2 + 1 + 0.5, rtol=1e-9)
    np.testing.assert_allclose(model.loss_curve_, [3.5], rtol=1e-9)


@pytest.mark.parametrize("solver", ["exact", "als"])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 3.0])
def test_no_gradient_at_the_solution(X, solver, alpha):
    options = CLOSE if solver == "als" else {}
    model = LinearAutoencoder(3, alpha=alpha, random_state=0, **options).fit(X)
    weights, step = np.ones(len(X)), 1e-5
    for name in ("encoder", "decoder"):
        for entry in [(0, 0), (1, 2), (2, 1)]:
            sides = []
            for sign in (1, -1):
                parts = {"encoder": model.encoder_.copy(), "decoder": model.decoder_.copy()}
                parts[name][entry] += sign * step
                sides.append(mean_loss(X, weights, LinearCode(**parts, mean=model.mean_), alpha))
            assert abs(sides[0] - sides[1]) / (2 * step) < 1e-4


@pytest.mark.parametrize("alpha", [0.7, 5.0])
def test_closed_form_against_numerical_minimisation(X, rng, alpha):
    model = LinearAutoencoder(2, alpha=alpha).fit(X)
    E = X - X.mean(axis=0)
    C = E.T @ E / len(E)

    def objective(flat):
        W, V = flat[:12].reshape(6, 2), flat[12:].reshape(2, 6)
        R = W @ V - np.eye(6)
        dW, dV = 2 * C @ R @ V.T + 2 * alpha * W, 2 * W.T @ C @ R + 2 * alpha * V
        return np.trace(R.T @ C @ R) + alpha * (flat @ flat), np.concatenate([dW.ravel(), dV.ravel()])

    found = minimize(objective, rng.standard_normal(24), jac=True, method="BFGS", options={"gtol": 1e-9})
    np.testing.assert_allclose(model.loss_curve_[-1], found.fun, rtol=1e-7)
    np.testing.assert_allclose(loss(model, X, alpha), found.fun, rtol=1e-7)
    product = found.x[:12].reshape(6, 2) @ found.x[12:].reshape(2, 6)
    np.testing.assert_allclose(model.encoder_ @ model.decoder_, product, atol=1e-4)
    np.testing.assert_allclose(
        np.linalg.norm(model.encoder_, axis=0), np.sqrt(1 - alpha / np.array([16, 8])), rtol=1e-9
    )


def test_directions_below_the_penalty_are_dropped(X):
    model = LinearAutoencoder(4, alpha=3.0).fit(X)
    np.testing.assert_allclose(
        np.linalg.norm(model.decoder_, axis=1), np.sqrt([1 - 3 / 16, 1 - 3 / 8, 1 / 4, 0]), atol=1e-9
    )
    np.testing.assert_array_equal(gains(np.array([2.0, 1.0, 0.0]), 1.0), [0.5, 0.0, 0.0])


@pytest.mark.parametrize("alpha", [0.0, 0.3, 3.0])
def test_als_equals_exact_on_complete_data(X, alpha):
    exact = LinearAutoencoder(3, alpha=alpha).fit(X)
    als = LinearAutoencoder(3, alpha=alpha, random_state=0, **CLOSE).fit(X)
    np.testing.assert_allclose(als.decoder_, exact.decoder_, atol=1e-5)
    np.testing.assert_allclose(als.loss_curve_[-1], exact.loss_curve_[-1], rtol=1e-9)
    np.testing.assert_allclose(loss(als, X, alpha), als.loss_curve_[-1], rtol=1e-9)
    assert als.pca_certificate_["angle"] < 1e-4
    assert abs(als.pca_certificate_["excess_loss"]) < 1e-8


def test_als_never_loses_without_penalty(X, seed):
    options = {"solver": "als", "random_state": seed, "tol": 0}
    complete = LinearAutoencoder(2, max_iter=30, **options).fit(X).loss_curve_
    X = np.where(np.random.default_rng(seed).random(X.shape) < 0.1, np.nan, X)
    incomplete = LinearAutoencoder(2, max_iter=80, **options).fit(X).loss_curve_
    for curve in (complete, incomplete[alternating.CAUTIOUS_STEPS :]):
        assert all(later <= earlier * (1 + 1e-9) for earlier, later in zip(curve, curve[1:]))


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("k", [2, 10])
def test_sgd_comes_within_one_percent_on_digits(digits, seed, k, tied):
    for state in (seed, seed + 1):
        model = LinearAutoencoder(k, solver="sgd", tied=tied, random_state=state).fit(digits)
        assert loss(model, digits) <= 1.01 * optimum(digits, k)
        assert 0 <= model.pca_certificate_["excess_loss"] <= 0.01
        np.testing.assert_allclose(model.pca_certificate_["optimal_loss"], optimum(digits, k), rtol=1e-9)
        assert model.pca_certificate_["angle"] < 0.2


def test_sgd_with_penalty_finds_the_principal_directions(X, seed):
    options = {"alpha": 1.0, "max_iter": 1000, "tol": 0, "batch_size": 16}
    sgd = LinearAutoencoder(2, solver="sgd", random_state=seed, **options).fit(X)
    exact = LinearAutoencoder(2, alpha=1.0).fit(X)
    _, scales, directions = np.linalg.svd(sgd.decoder_, full_matrices=False)
    np.testing.assert_allclose(scales, np.linalg.norm(exact.decoder_, axis=1), rtol=0.02)
    cosines = np.abs(np.sum(directions * exact.decoder_, axis=1)) / np.linalg.norm(exact.decoder_, axis=1)
    np.testing.assert_allclose(cosines, 1, atol=0.01)
    np.testing.assert_allclose(sgd.encoder_, sgd.decoder_.T, atol=0.05)


def test_losses_are_ordered(X, seed):
    exact, als, sgd = (
        loss(LinearAutoencoder(2, solver=solver, random_state=seed, max_iter=5).fit(X), X) for solver in SOLVERS
    )
    assert exact <= als * (1 + 1e-12)
    assert exact <= sgd * (1 + 1e-12)
    assert loss(LinearAutoencoder(3).fit(X), X) < exact


def test_tied_single_direction_has_unit_norm(X, seed):
    for solver in ("exact", "als"):
        model = LinearAutoencoder(1, tied=True, solver=solver, random_state=seed).fit(X)
        np.testing.assert_allclose(np.linalg.norm(model.encoder_), 1, rtol=1e-12)
        np.testing.assert_array_equal(model.encoder_, model.decoder_.T)
    options = {"tied": True, "solver": "sgd", "random_state": seed}
    for max_iter in (1, 20):
        for dtype in (np.float64, np.float32):
            model = LinearAutoencoder(1, max_iter=max_iter, **options).fit(X.astype(dtype))
            np.testing.assert_allclose(np.linalg.norm(model.encoder_.astype(np.float64)), 1, rtol=1e-6)
            np.testing.assert_array_equal(model.encoder_, model.decoder_.T)
    halves = LinearAutoencoder(1, max_iter=9, warm_start=True, **options).fit(X).set_params(max_iter=20).fit(X)
    np.testing.assert_array_equal(halves.encoder_, LinearAutoencoder(1, max_iter=20, **options).fit(X).encoder_)
    shrunk = LinearAutoencoder(1, alpha=4.0, max_iter=200, tol=0, **options).fit(X)
    np.testing.assert_allclose(np.linalg.norm(shrunk.encoder_), np.sqrt(1 - 4 / 16), rtol=0.02)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("make", [np.asarray, sp.csr_array])
def test_gradients_by_finite_differences(rng, tied, make):
    X, weights = rng.standard_normal((7, 5)) * (rng.random((7, 5)) < 0.6), rng.random((7, 1))
    mean, scale = rng.standard_normal(5), 2.0
    E = (X - mean) / scale
    P = rng.standard_normal((5, 2 if tied else 4))

    def error(P):
        W, V = (P, P.T) if tied else (P[:, :2], P[:, 2:].T)
        return float((weights * (E @ W @ V - E) ** 2).sum())

    function = gradient.tied_gradient if tied else gradient.untied_gradient
    computed, value = function(open_block(make(X), slice(0, 7), mean, scale), weights, P)
    np.testing.assert_allclose(value + (weights * E**2).sum(), error(P), rtol=1e-10)
    for entry in np.ndindex(P.shape):
        step = np.zeros_like(P)
        step[entry] = 1e-6
        np.testing.assert_allclose(computed[entry], (error(P + step) - error(P - step)) / 2e-6, rtol=1e-5, atol=1e-6)


# ------------------------------------------------------------------------------------------------ certificate


def test_angle_between_known_subspaces():
    axes = np.eye(4)
    tilted = np.array([[1.0, 0, 0, 0], [0, np.cos(0.3), np.sin(0.3), 0]])
    np.testing.assert_allclose(largest_angle(2 * tilted, axes[:2]), 0.3, rtol=1e-12)
    assert largest_angle(np.array([[1.0, 1, 0, 0], [1, -1, 0, 0]]), axes[:2]) < 1e-15
    np.testing.assert_allclose(largest_angle(axes[2:], axes[:2]), np.pi / 2)
    assert largest_angle(axes[:2], axes[:0]) == 0


def test_certificate_on_data_with_a_known_subspace(rng):
    # variances 4, 1 and 0.01 along the axes: a decoder turned by t in the plane of the last two costs 0.99 sin(t)^2
    Q, _ = np.linalg.qr(np.column_stack([np.ones(50), rng.standard_normal((50, 3))]))
    X = Q[:, 1:] * np.sqrt(50 * np.array([4, 1, 0.01]))
    model = LinearAutoencoder(2, solver="als", random_state=0, max_iter=1).fit(X)
    t = 0.2
    model.decoder_ = np.array([[1.0, 0, 0], [0, np.cos(t), np.sin(t)]])
    model.encoder_ = model.decoder_.T
    found = model._certificate(X, None)
    np.testing.assert_allclose(found["angle"], t, rtol=1e-9)
    np.testing.assert_allclose(found["optimal_loss"], 0.01, rtol=1e-9)
    np.testing.assert_allclose(found["excess_loss"], 0.99 * np.sin(t) ** 2 / 0.01, rtol=1e-6)


def test_certificate_is_optional(X):
    assert LinearAutoencoder(solver="als", certify=False).fit(X).pca_certificate_ is None
    assert LinearAutoencoder().fit(X).pca_certificate_["excess_loss"] == 0


# -------------------------------------------------------------------------------------------------- missing


def test_als_completes_low_rank_data(rng):
    truth = 3 + rng.standard_normal((200, 2)) @ rng.standard_normal((2, 10))
    hidden = rng.random(truth.shape) < 0.2
    X = np.where(hidden, np.nan, truth)
    model = LinearAutoencoder(2, solver="als", random_state=0, tol=1e-12).fit(X)
    gaps = hidden & ((~hidden).sum(axis=1) >= 5)[:, None]
    error = (model.inverse_transform(model.transform(X)) - truth)[gaps]
    by_mean = (np.nanmean(X, axis=0) - truth)[gaps]
    assert np.sqrt(np.mean(error**2)) < 0.01 * np.sqrt(np.mean(by_mean**2))
    assert model.pca_certificate_ is None


def test_penalty_and_noise_with_missing_values(rng):
    loadings = 2 * rng.standard_normal((2, 10))
    truth = rng.standard_normal((300, 2)) @ loadings
    hidden = rng.random(truth.shape) < 0.3
    X = np.where(hidden, np.nan, truth + 0.3 * rng.standard_normal(truth.shape))
    X = X[(~hidden).sum(axis=1) >= 5]
    truth, hidden = truth[(~hidden).sum(axis=1) >= 5], np.isnan(X)
    # With a smaller penalty, noise may fit one column by a component of its own, whose codes are then huge.
    model = LinearAutoencoder(2, solver="als", alpha=2.0, random_state=0).fit(X)
    # Where what is seen of a row hardly determines its code, noise alone decides the rest.
    determined = np.linalg.svd(np.where(hidden[:, None, :], 0.0, loadings), compute_uv=False)[:, -1] > 1
    assert determined.mean() > 0.5
    gaps = hidden & determined[:, None]
    error = (model.inverse_transform(model.transform(X)) - truth)[gaps]
    assert np.mean(error**2) < 0.2 * np.mean((np.nanmean(X, axis=0) - truth)[gaps] ** 2)


def test_codes_of_incomplete_rows(X):
    model = LinearAutoencoder(2, random_state=0, **CLOSE).fit(X)
    rows = X[:6].copy()
    rows[0, 2] = rows[1, :3] = rows[2, 1:] = rows[3] = rows[4, [0, 4, 5]] = np.nan
    codes = model.transform(rows)
    for row, code in zip(rows, codes):
        seen = ~np.isnan(row)
        expected = np.linalg.lstsq(model.decoder_[:, seen].T, (row - model.mean_)[seen])[0]
        np.testing.assert_allclose(code, expected, atol=1e-6)
        completed = np.where(seen, row, model.inverse_transform([code])[0])
        np.testing.assert_allclose(model.transform([completed])[0], code, atol=1e-6)
    assert model.reconstruction_error(rows)[3] == 0
    np.testing.assert_allclose(codes[5], model.transform(rows[5:])[0], rtol=1e-10)


def test_codes_of_incomplete_rows_with_penalty(X):
    # the Gaussian with covariance U (Lambda - alpha) U' + alpha I: code of the conditional mean
    model = LinearAutoencoder(2, alpha=1.5, random_state=0, **CLOSE).fit(X)
    U = model.decoder_ / np.linalg.norm(model.decoder_, axis=1, keepdims=True)
    cov = (U.T * (np.array([16, 8]) - 1.5)) @ U + 1.5 * np.eye(6)
    row, seen = X[0].copy(), np.array([True, False, True, True, False, True])
    row[~seen] = np.nan
    filled = X[0] - model.mean_
    filled[~seen] = cov[np.ix_(~seen, seen)] @ np.linalg.solve(cov[np.ix_(seen, seen)], filled[seen])
    np.testing.assert_allclose(model.transform([row])[0], filled @ model.encoder_, atol=1e-5)


def test_complete_data_is_the_limit_of_missing_data(X):
    # one missing value in an added row of hardly any weight: everything else must be as without it
    extra = np.vstack([X, np.where(np.arange(6) == 2, np.nan, X[:1])])
    weights = np.append(np.ones(len(X)), 1e-12)
    options = {**CLOSE, "random_state": 0, "alpha": 0.4}
    whole = LinearAutoencoder(2, **options).fit(X)
    other = LinearAutoencoder(2, **options).fit(extra, sample_weight=weights)
    np.testing.assert_allclose(other.encoder_ @ other.decoder_, whole.encoder_ @ whole.decoder_, atol=1e-5)
    np.testing.assert_allclose(other.mean_, whole.mean_, rtol=1e-9)


def test_where_nan_is_refused(X):
    X = X.copy()
    X[3, 2] = np.nan
    for solver in ("exact", "sgd"):
        with pytest.raises(ValueError, match="NaN; only .*solver='als' takes missing"):
            LinearAutoencoder(solver=solver).fit(X)
        model = LinearAutoencoder(solver=solver, max_iter=2).fit(X[:3])
        for method in (model.transform, model.score, model.reconstruction_error):
            with pytest.raises(ValueError, match="NaN; only .*solver='als' takes missing"):
                method(X)
            with pytest.raises(ValueError, match="NaN among its sparse entries"):
                method(sp.csr_array(X))
    X[:, 2] = np.nan
    with pytest.raises(ValueError, match="no value in column 2"):
        LinearAutoencoder(solver="als").fit(X)
    with pytest.raises(ValueError, match="NaN"):
        LinearAutoencoder(solver="als").fit(sp.csr_array(X))


# ------------------------------------------------------------------------------- weights, order, determinism


@pytest.mark.parametrize("solver", SOLVERS)
def test_weights_are_copies(X, rng, solver):
    weights = rng.integers(0, 4, len(X))
    weights[0] = 2
    options = {"solver": solver, "random_state": 0, "max_iter": 10}
    weighted = LinearAutoencoder(2, **options).fit(X, sample_weight=weights)
    copied = LinearAutoencoder(2, **options).fit(rng.permutation(np.repeat(X, weights, axis=0)))
    np.testing.assert_allclose(weighted.transform(X), copied.transform(X), rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(weighted.score(X, sample_weight=weights), copied.score(np.repeat(X, weights, axis=0)))
    np.testing.assert_allclose(weighted.loss_curve_, copied.loss_curve_, rtol=1e-8)
    if solver == "sgd":
        np.testing.assert_array_equal(weighted.encoder_, copied.encoder_)


def everything(model, X):
    """All numbers of a model that threads could touch."""
    codes = model.transform(X)
    certificate = model.pca_certificate_ or {}
    fitted = (model.encoder_, model.decoder_, model.mean_, model.loss_curve_, list(certificate.values()))
    return (*fitted, codes, model.inverse_transform(codes), model.reconstruction_error(X), model.score(X))


@pytest.mark.parametrize("solver", SOLVERS)
def test_rows_of_no_weight_are_no_rows(X, solver):
    rows, kept = X[:6], np.array([1, 0, 1, 1, 0, 0])
    model = LinearAutoencoder(None, solver=solver, max_iter=5, random_state=0)
    weighted = clone(model).fit(rows, sample_weight=kept)
    alone = clone(model).fit(rows[kept > 0])
    assert weighted.n_components_ == alone.n_components_ == 3
    np.testing.assert_allclose(weighted.transform(rows), alone.transform(rows), rtol=1e-8, atol=1e-8)
    with pytest.raises(ValueError, match=r"min\(n_samples, n_features\)=3"):
        model.set_params(n_components=4).fit(rows, sample_weight=kept)
    # ... and weights are copies here too
    model.fit(rows, sample_weight=2 * kept)
    holes = np.where(kept[:, None] > 0, rows, np.nan)
    if solver != "als":
        with pytest.raises(ValueError, match="NaN"):
            model.fit(holes, sample_weight=kept)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("weight", [1e-290, 1e290])
def test_weights_of_any_size(X, solver, weight):
    model = LinearAutoencoder(2, solver=solver, max_iter=10, random_state=0)
    plain, scaled = clone(model).fit(X), clone(model).fit(X, sample_weight=np.full(len(X), weight))
    np.testing.assert_allclose(scaled.encoder_, plain.encoder_, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(scaled.loss_curve_, plain.loss_curve_, rtol=1e-8)


@pytest.mark.parametrize("solver", [*SOLVERS, "missing"])
def test_same_bits_for_any_number_of_threads(rng, solver):
    # wide enough for BLAS to split its products among threads
    X = 3 + rng.standard_normal((2000, 40)) @ rng.standard_normal((40, 784)) + rng.standard_normal((2000, 784))
    k, rows = (50, X.astype(np.float32)) if solver != "missing" else (10, X[:600, :300].astype(np.float32))
    if solver == "missing":
        solver, rows = "als", np.where(rng.random(rows.shape) < 0.1, np.float32(np.nan), rows)
    runs = []
    for threads in (1, 2, 3):
        with threadpool_limits(threads):
            runs.append(everything(LinearAutoencoder(k, solver=solver, random_state=0, max_iter=1).fit(rows), rows))
    for one, two, three in zip(*runs):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_array_equal(one, three)


@pytest.mark.parametrize("solver", SOLVERS)
def test_sparse_equals_dense(rng, solver):
    X = rng.standard_normal((60, 12)) * (rng.random((60, 12)) < 0.3)
    model = LinearAutoencoder(3, solver=solver, random_state=0, max_iter=10)
    dense = clone(model).fit(X)
    for make in (sp.csr_array, sp.csc_matrix, sp.coo_array):
        sparse = clone(model).fit(make(X))
        np.testing.assert_allclose(sparse.transform(make(X)), dense.transform(X), atol=1e-7)
        np.testing.assert_allclose(sparse.reconstruction_error(make(X)), dense.reconstruction_error(X), atol=1e-9)


def test_sparse_duplicates_are_summed_without_touching_the_input():
    X = sp.csr_array((np.ones(6), np.array([0, 0, 1, 1, 0, 1]), np.array([0, 2, 3, 4, 6])), shape=(4, 2))
    model = LinearAutoencoder(1, solver="sgd", random_state=0).fit(X)
    assert X.nnz == 6
    other = LinearAutoencoder(1, solver="sgd", random_state=0).fit(X.toarray())
    np.testing.assert_allclose(model.encoder_, other.encoder_, rtol=1e-9)


# ------------------------------------------------------------------------------------------------- resuming


@pytest.mark.parametrize("solver", ["als", "sgd"])
@pytest.mark.parametrize("tied", [False, True])
def test_warm_start_continues_to_the_same_bits(X, seed, solver, tied):
    options = {"solver": solver, "tied": tied, "tol": 0, "random_state": seed, "alpha": 0.1}
    whole = LinearAutoencoder(2, max_iter=12, **options).fit(X)
    part = LinearAutoencoder(2, max_iter=5, warm_start=True, **options).fit(X)
    kept = copy.deepcopy(vars(part))
    resumed = pickle.loads(pickle.dumps(part)).set_params(max_iter=12).fit(X)
    np.testing.assert_array_equal(resumed.encoder_, whole.encoder_)
    np.testing.assert_array_equal(resumed.decoder_, whole.decoder_)
    assert resumed.history_ == whole.history_
    assert resumed.n_iter_ == 12
    np.testing.assert_array_equal(part.encoder_, kept["encoder_"])
    again = resumed.fit(X)
    np.testing.assert_array_equal(again.encoder_, whole.encoder_)


@pytest.mark.parametrize("solver", ["als", "sgd"])
def test_converged_fits_have_nothing_to_resume(X, solver):
    model = LinearAutoencoder(2, solver=solver, tol=0.1, max_iter=500, warm_start=True, random_state=0).fit(X)
    assert model.n_iter_ < 500
    before = model.encoder_.copy()
    np.testing.assert_array_equal(model.fit(X).encoder_, before)


def test_resuming_missing_data(X):
    X = np.where(np.random.default_rng(0).random(X.shape) < 0.1, np.nan, X)
    options = {"solver": "als", "tol": 0, "random_state": 0}
    whole = LinearAutoencoder(2, max_iter=60, **options).fit(X)
    for stop in (4, 55):
        part = LinearAutoencoder(2, max_iter=stop, warm_start=True, **options).fit(X)
        np.testing.assert_array_equal(part.set_params(max_iter=60).fit(X).encoder_, whole.encoder_)


@pytest.mark.parametrize("solver", ["als", "sgd"])
def test_early_stopping_and_checkpoint(X, seed, solver, tmp_path):
    options = {"solver": solver, "tol": 0, "random_state": seed, "max_iter": 8}
    whole = LinearAutoencoder(2, **options).fit(X)
    stopped = LinearAutoencoder(2, **options).set_callbacks(EarlyStopping(patience=1, min_delta=1e9)).fit(X)
    assert stopped.n_iter_ == 2
    path = tmp_path / "model.skops"
    LinearAutoencoder(2, **{**options, "max_iter": 3}).set_callbacks(Checkpoint(path)).fit(X)
    resumed = Checkpoint.load(path).set_params(max_iter=8, warm_start=True).fit(X)
    np.testing.assert_array_equal(resumed.encoder_, whole.encoder_)


@pytest.mark.parametrize("solver", ["als", "sgd"])
def test_checkpoint_of_a_converged_fit_has_nothing_to_resume(X, seed, solver, tmp_path):
    path = tmp_path / "model.skops"
    model = LinearAutoencoder(2, solver=solver, random_state=seed, tol=0.05, max_iter=300)
    model.set_callbacks(Checkpoint(path)).fit(X)
    assert model.n_iter_ < 300
    resumed = Checkpoint.load(path).set_params(warm_start=True).fit(X)
    for name in ("encoder_", "decoder_", "mean_"):
        np.testing.assert_array_equal(getattr(resumed, name), getattr(model, name))
    assert resumed.n_iter_ == model.n_iter_
    assert resumed.history_ == model.history_
    assert resumed.pca_certificate_ == model.pca_certificate_


def test_interrupt_keeps_the_last_epoch(X, monkeypatch):
    real, calls = gradient.epoch, []

    def epoch(*args):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(gradient, "epoch", epoch)
    model = LinearAutoencoder(2, solver="sgd", random_state=0, tol=0, max_iter=5, warm_start=True)
    with pytest.warns(FitInterruptedWarning):
        model.fit(X)
    assert model.n_iter_ == 2
    whole = LinearAutoencoder(2, solver="sgd", random_state=0, tol=0, max_iter=5).fit(X)
    np.testing.assert_array_equal(model.fit(X).encoder_, whole.encoder_)


@pytest.mark.parametrize("solver", ["als", "sgd"])
@pytest.mark.parametrize("name", ["principal_directions", "mean_loss"])
def test_interrupt_in_the_certificate_keeps_the_model(X, monkeypatch, solver, name):
    def interrupted(*args):
        raise KeyboardInterrupt

    model = LinearAutoencoder(2, solver=solver, random_state=0, max_iter=4)
    whole = clone(model).fit(X)
    monkeypatch.setattr(linear_autoencoder, name, interrupted)
    with pytest.warns(FitInterruptedWarning, match="without a pca_certificate_") as caught:
        model.fit(X)
    assert [w.filename for w in caught if w.category is FitInterruptedWarning] == [__file__]
    np.testing.assert_array_equal(model.encoder_, whole.encoder_)
    assert model.history_ == whole.history_
    assert model.pca_certificate_ is None


def test_partial_fit_learns_and_counts(X, seed):
    model = LinearAutoencoder(2, solver="sgd", random_state=seed, batch_size=8)
    batches = np.array_split(X, 4)
    for _ in range(100):  # a start that is nearly at right angles to a direction takes long to find it
        for batch in batches:
            model.partial_fit(batch)
    np.testing.assert_allclose(model.mean_, X.mean(axis=0), rtol=1e-9)
    assert model.n_iter_ == len(model.loss_curve_) == 400
    assert loss(model, X) < 1.1 * optimum(X, 2)
    assert model.pca_certificate_ is None
    with pytest.raises(ValueError, match="features"):
        model.partial_fit(X[:, :5])
    with pytest.raises(ValueError, match="cannot go on"):
        model.set_params(n_components=3).partial_fit(X)


def test_partial_fit_weights_are_copies(X, rng):
    weights = rng.integers(1, 4, len(X))
    model = LinearAutoencoder(2, solver="sgd", random_state=0)
    weighted = clone(model).partial_fit(X, sample_weight=weights).partial_fit(X)
    copied = clone(model).partial_fit(np.repeat(X, weights, axis=0)).partial_fit(X[::-1])
    np.testing.assert_array_equal(weighted.encoder_, copied.encoder_)


def test_partial_fit_of_a_single_row_and_only_for_sgd(X):
    model = LinearAutoencoder(2, solver="sgd", random_state=0).partial_fit(X[:1])
    assert np.isfinite(model.encoder_).all()
    assert not hasattr(LinearAutoencoder(), "partial_fit")
    assert not hasattr(LinearAutoencoder(solver="als"), "partial_fit")


# ------------------------------------------------------------------------------------------ interface, dtype


@pytest.mark.parametrize("solver", SOLVERS)
def test_float32_stays_float32(X, solver):
    small = X.astype(np.float32)
    model = LinearAutoencoder(2, solver=solver, random_state=0, max_iter=20).fit(small)
    big = LinearAutoencoder(2, solver=solver, random_state=0, max_iter=20).fit(X)
    codes = model.transform(small)
    outputs = (codes, model.inverse_transform(codes), model.encoder_, model.decoder_, model.mean_)
    assert {output.dtype for output in outputs} == {np.dtype(np.float32)}
    np.testing.assert_allclose(loss(model, X), loss(big, X), rtol=0.1 if solver == "sgd" else 1e-4)


def test_scores(X, rng):
    model = LinearAutoencoder(2).fit(X)
    residual = X - model.inverse_transform(model.transform(X))
    errors = np.sum(residual**2, axis=1)
    np.testing.assert_allclose(model.reconstruction_error(X), errors, rtol=1e-10)
    np.testing.assert_allclose(model.score(X), -np.mean(residual**2), rtol=1e-10)
    np.testing.assert_allclose(model.score(X) * X.shape[1], -model.loss_curve_[-1], rtol=1e-10)
    weights = rng.random(len(X))
    expected = -np.average(residual**2, weights=np.broadcast_to(weights[:, None], X.shape))
    np.testing.assert_allclose(model.score(X, sample_weight=weights), expected, rtol=1e-10)


def test_score_validates_once(X, monkeypatch):
    model, calls = LinearAutoencoder(2).fit(X), []

    def counted(*args, **kwargs):
        calls.append(1)
        return validate_X(*args, **kwargs)

    monkeypatch.setattr(linear_autoencoder, "validate_X", counted)
    model.score(X)
    assert len(calls) == 1


def test_the_score_of_incomplete_rows_counts_what_is_observed(X, rng):
    holes = np.where(rng.random(X.shape) < 0.2, np.nan, X)
    model = LinearAutoencoder(2, solver="als", random_state=0).fit(holes)
    residual = holes - model.inverse_transform(model.transform(holes))
    np.testing.assert_allclose(model.score(holes), -np.nanmean(residual**2), rtol=1e-10)


def test_names_and_frames(X):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=list("abcdef"))
    model = LinearAutoencoder().set_output(transform="pandas").fit(frame)
    assert list(model.transform(frame).columns) == ["linearautoencoder0", "linearautoencoder1"]
    assert list(model.get_feature_names_out()) == ["linearautoencoder0", "linearautoencoder1"]
    with pytest.raises(ValueError, match="feature names"):
        model.transform(frame[list("fedcba")])


@pytest.mark.parametrize(
    "options",
    [{}, {"solver": "als"}, {"solver": "sgd", "batch_size": 7, "max_iter": 10}, {"alpha": 0.01, "tied": True}],
)
def test_check_estimator(options):
    results = check_estimator(LinearAutoencoder(**options), on_fail=None, on_skip=None)
    assert {result["check_name"] for result in results if result["status"] != "passed"} == set()


# ------------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.empty((0, 4)), "0 sample"),
        (np.ones((1, 4)), "n_components=2"),
        (np.ones((5, 1)), "n_components=2"),
        (np.ones(5), "2D array"),
        (np.ones((3, 3, 3)), "dim 3"),
        (np.array([["a", "b", "c"]] * 4, dtype=object), "could not convert"),
        (np.ones((4, 4)) * 1j, "Complex"),
        (np.array([[1.0, np.inf, 0], [0, 0, 1], [2, 1, 0]]), "infinity"),
        (np.array([[1.0, 1e200, 0], [0, 0, 1], [2, 1, 0]]), "too large"),
    ],
)
def test_unusable_input(solver, bad, message):
    with pytest.raises(ValueError, match=message):
        LinearAutoencoder(solver=solver).fit(bad)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("factor", [1e150, 1e-150])
def test_extreme_magnitudes_are_right(X, solver, factor):
    plain = LinearAutoencoder(2, solver=solver, random_state=0).fit(X)
    scaled = LinearAutoencoder(2, solver=solver, random_state=0).fit(factor * X)
    # the order of the batches depends on the content, so "sgd" meets another noise
    np.testing.assert_allclose(loss(scaled, X, unit=factor), loss(plain, X), rtol=0.1 if solver == "sgd" else 1e-6)
    assert np.isfinite(scaled.score(factor * X))
    assert np.isfinite(scaled.loss_curve_).all()


@pytest.mark.parametrize("solver", SOLVERS)
def test_degenerate_data(X, solver):
    model = LinearAutoencoder(2, solver=solver, random_state=0)
    for data in (np.full((5, 3), 3.7), np.zeros((4, 4)), np.repeat(X[:1], 6, axis=0)):
        fitted = clone(model).fit(data)
        np.testing.assert_allclose(fitted.inverse_transform(fitted.transform(data)), data, rtol=1e-12, atol=1e-12)
        assert np.isfinite(fitted.encoder_).all()
    constant = np.column_stack([X[:, :3], np.full(len(X), 5.0)])
    fitted = clone(model).fit(constant)
    np.testing.assert_allclose(fitted.inverse_transform(fitted.transform(constant))[:, 3], 5.0, atol=0.1)
    one = clone(model).set_params(n_components=1)
    np.testing.assert_allclose(one.fit(X[:, :1]).score(X[:, :1]), 0, atol=1e-3 * X[:, 0].var())
    single = one.fit(X[:1])
    np.testing.assert_allclose(single.inverse_transform(single.transform(X[:1])), X[:1], rtol=1e-12)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_bad_weights(X, solver, value):
    weights = np.ones(len(X)) if value != 0 else np.zeros(len(X))
    weights[0] = value
    with pytest.raises(ValueError, match="sample_weight|weight"):
        LinearAutoencoder(solver=solver).fit(X, sample_weight=weights)


@pytest.mark.parametrize("solver", SOLVERS)
def test_failed_fits_leave_the_model_alone(X, solver):
    model = LinearAutoencoder(2, solver=solver, random_state=0).fit(X)
    before = dict(vars(model))
    with pytest.raises(ValueError, match="n_components=9 must be at most min"):
        model.set_params(n_components=9).fit(X)
    model.set_params(n_components=2)
    assert vars(model).keys() == before.keys()
    assert all(vars(model)[name] is value for name, value in before.items())


def test_use_before_fit_and_with_other_features(X):
    for method in ("transform", "inverse_transform", "score", "reconstruction_error"):
        with pytest.raises(NotFittedError):
            getattr(LinearAutoencoder(), method)(X)
    model = LinearAutoencoder(2).fit(X)
    with pytest.raises(ValueError, match="features"):
        model.transform(X[:, :4])
    with pytest.raises(ValueError, match="codes of this model have 2"):
        model.inverse_transform(X)
    for codes in ("abc", None, 5):
        with pytest.raises(ValueError, match=r"must have shape \(n_samples, 2\), as transform returns it, got"):
            model.inverse_transform(codes)


def test_figures_beyond_all_numbers_are_refused(X):
    model = LinearAutoencoder().fit(X)
    far = X * np.where(np.arange(len(X)) == 3, 1e200, 1)[:, None]
    for method in (model.score, model.reconstruction_error):
        with pytest.raises(ValueError, match="of row 3 of X is beyond float64"):
            method(far)
    small = LinearAutoencoder().fit(X.astype(np.float32))
    with pytest.raises(ValueError, match="beyond float32"):
        small.reconstruction_error(np.float32(1e25) * X.astype(np.float32))


def test_als_says_when_it_did_not_converge(X):
    model = LinearAutoencoder(solver="als", random_state=0, tol=1e-14, max_iter=3, warm_start=True)
    with pytest.warns(ConvergenceWarning, match="did not converge in 3 iterations") as caught:
        model.fit(X)
    assert [warning.filename for warning in caught] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.set_params(max_iter=1000).fit(X)
        assert 3 < model.n_iter_ < 1000
        model.set_params(warm_start=False).set_callbacks(TimeBudget(1e-9)).fit(X)


def test_none_keeps_everything(X):
    model = LinearAutoencoder(None).fit(X)
    assert model.n_components_ == 6
    np.testing.assert_allclose(model.inverse_transform(model.transform(X)), X, rtol=1e-10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert LinearAutoencoder(None, solver="als").fit(X).pca_certificate_["angle"] < 1e-6


def test_wide_sparse_data_needs_no_matrix_of_its_features(rng):
    X = sp.random_array((20, 100_000), density=1e-3, format="csr", rng=rng)
    model = LinearAutoencoder(20).fit(X)
    np.testing.assert_allclose(model.reconstruction_error(X), 0, atol=1e-9)


@pytest.mark.parametrize(("dtype", "size"), [("d", 1e-200), ("f", 1e-25)])
def test_differences_too_small_for_squares_are_refused(rng, dtype, size):
    X = (rng.normal(size=(50, 4)) * size).astype(dtype)
    with pytest.raises(ValueError, match="varies too little"):
        LinearAutoencoder(2, solver="sgd").fit(X)
